//! How deep a policy text may go.
//!
//! Cedar 4.14 recurses over what it parsed. Where the stack is short, a text of 200 bytes ends the
//! process, the strict validator *passes* what it could not look at, and every evaluation fails. So
//! the shape is bounded before a text is parsed; it is then parsed and validated on a thread with
//! an ample stack ([`checking`]), and evaluated where enough is left of the caller's
//! ([`evaluating`]).

use super::error::{PolicyError, Problem};

/// How deep brackets may nest in a policy text.
pub const NESTING_MAX: usize = 16;

/// How many operators one policy may have: `&&`, `||`, `+`, `-`, `*`, `if`, `when`, `unless`, and
/// `.` or `[` after a bracket. Sets (`[…].contains(…)`) name many things with few of them.
pub const OPERATORS_MAX: usize = 50;

/// How many names one path may have: `context.task.server.trust_domain` has four.
pub const PATH_MAX: usize = 8;

/// What was counted of one policy.
#[derive(Debug, Default)]
struct Depth<'a> {
    brackets: usize,
    operators: usize,
    dots: usize,
    before: &'a str,
}

/// Refuses a text that cannot be parsed safely.
///
/// # Errors
/// [`PolicyError::Invalid`], at the place where a bound is crossed.
pub(super) fn check(text: &str) -> Result<(), PolicyError> {
    let mut depth = Depth::default();
    for (offset, token) in Tokens::of(text) {
        depth.add(token);
        if let Some(message) = depth.excess() {
            let problem = Problem::at(text, offset, message);
            return Err(PolicyError::invalid(vec![problem]));
        }
    }
    Ok(())
}

impl<'a> Depth<'a> {
    fn add(&mut self, token: &'a str) {
        let more = |count: &mut usize| *count = count.saturating_add(1);
        if matches!(token, "(" | "[" | "{") {
            more(&mut self.brackets);
        }
        match token {
            ")" | "]" | "}" => self.brackets = self.brackets.saturating_sub(1),
            "." | "[" if matches!(self.before, ")" | "]" | "}") => more(&mut self.operators),
            "." => more(&mut self.dots),
            "&&" | "||" | "+" | "-" | "*" | "if" | "when" | "unless" => more(&mut self.operators),
            ";" => self.operators = 0,
            _ => {}
        }
        let within_path = token == "." || self.before == ".";
        if !within_path {
            self.dots = 0;
        }
        self.before = token;
    }

    fn excess(&self) -> Option<String> {
        if self.brackets > NESTING_MAX {
            let what = "brackets nest deeper than";
            return Some(format!("{what} {NESTING_MAX}"));
        }
        if self.operators > OPERATORS_MAX {
            let what = "this policy has more operators than";
            return Some(format!("{what} {OPERATORS_MAX}; split it"));
        }
        (self.dots >= PATH_MAX).then(|| format!("this path has more names than {PATH_MAX}"))
    }
}

/// The stack for parsing and validating, in bytes; several times what texts at the bounds were seen
/// to need.
const CHECKING: usize = 64 * 1024 * 1024;

/// The stack for one evaluation at the bounds, in bytes. Frames are some ten times larger without
/// optimisation.
const EVALUATING: usize = if cfg!(debug_assertions) { 8 } else { 1 } * 1024 * 1024;

/// Parses or validates: runs `work` on a stack that texts within the bounds cannot exhaust.
///
/// # Errors
/// Those of `work`, and [`PolicyError::Resources`] if there is no thread to be had.
pub(super) fn checking<T: Send>(
    work: impl FnOnce() -> Result<T, PolicyError> + Send,
) -> Result<T, PolicyError> {
    let builder = std::thread::Builder::new()
        .name("policy".to_owned())
        .stack_size(CHECKING);
    std::thread::scope(|scope| {
        let thread = builder
            .spawn_scoped(scope, work)
            .map_err(|source| PolicyError::Resources { source })?;
        thread
            .join()
            .unwrap_or_else(|_| Err(PolicyError::BuiltIn("checking a set panicked".to_owned())))
    })
}

/// Evaluates: runs `work` where it is, unless too little is left of the stack.
pub(super) fn evaluating<T>(work: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(EVALUATING, EVALUATING.saturating_mul(2), work)
}

/// Words and single characters of a text, without white space, strings and comments.
struct Tokens<'a> {
    text: &'a str,
    offset: usize,
}

impl<'a> Tokens<'a> {
    fn of(text: &'a str) -> Self {
        Self { text, offset: 0 }
    }

    /// What is not read yet.
    fn rest(&self) -> &'a str {
        self.text.get(self.offset..).unwrap_or_default()
    }

    fn skip(&mut self, bytes: usize) {
        self.offset = self.offset.saturating_add(bytes);
    }

    /// Moves behind what is no token.
    fn skip_silence(&mut self) {
        loop {
            let rest = self.rest();
            if rest.starts_with("//") {
                // Cedar's comments end at a bare carriage return, too.
                self.skip(rest.find(['\n', '\r']).unwrap_or(rest.len()));
            } else if rest.starts_with('"') {
                self.skip(string_length(rest));
            } else if let Some(space) = rest.chars().next().filter(|c| c.is_whitespace()) {
                self.skip(space.len_utf8());
            } else {
                return;
            }
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = (usize, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        self.skip_silence();
        let (start, rest) = (self.offset, self.rest());
        let first = rest.chars().next()?;
        let in_word = |c: char| c.is_alphanumeric() || c == '_';
        let length = if in_word(first) {
            rest.find(|c| !in_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("&&") || rest.starts_with("||") {
            2
        } else {
            first.len_utf8()
        };
        self.skip(length);
        Some((start, rest.get(..length).unwrap_or_default()))
    }
}

/// The length of the string literal that a text begins with, in bytes, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (offset, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return offset.saturating_add(1),
            _ => {}
        }
    }
    text.len()
}
