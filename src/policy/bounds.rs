//! How deep a policy text may go.
//!
//! Cedar 4.14 recurses over what it parsed. Where the stack is short, a text of 200 bytes ends the process, and
//! the strict validator *passes* what it could not look at. So the shape is bounded before a text is parsed, and
//! parsing and validating happen on a stack that is ample for those bounds ([`with_ample_stack`]).

use super::error::{PolicyError, Problem};

/// How deep brackets and `if`s may nest in one policy.
pub const NESTING_MAX: usize = 32;

/// How many operators (`&&`, `||`, `.`, `+`, `-`, `*`, `when`, `unless`) one policy may have.
pub const OPERATORS_MAX: usize = 400;

/// Refuses a text that cannot be parsed safely.
///
/// # Errors
/// [`PolicyError::Invalid`], at the place where a bound is crossed.
pub(super) fn check(text: &str) -> Result<(), PolicyError> {
    let mut brackets: usize = 0;
    let mut ifs: usize = 0;
    let mut operators: usize = 0;
    for (offset, token) in Tokens::of(text) {
        match token {
            "(" | "[" | "{" => brackets = brackets.saturating_add(1),
            ")" | "]" | "}" => brackets = brackets.saturating_sub(1),
            "if" => ifs = ifs.saturating_add(1),
            "&&" | "||" | "." | "+" | "-" | "*" | "when" | "unless" => {
                operators = operators.saturating_add(1);
            }
            ";" => (ifs, operators) = (0, 0),
            _ => {}
        }
        let message = if brackets.saturating_add(ifs) > NESTING_MAX {
            format!("brackets and `if`s nest deeper than {NESTING_MAX}")
        } else if operators > OPERATORS_MAX {
            format!("this policy has more than {OPERATORS_MAX} operators; split it")
        } else {
            continue;
        };
        let problem = Problem::at(text, offset, message);
        return Err(PolicyError::invalid(vec![problem]));
    }
    Ok(())
}

/// The stack for work on a policy text, in bytes; several times what texts at the bounds were seen to need.
const STACK: usize = 64 * 1024 * 1024;

/// Runs `work` on a stack that texts within the bounds cannot exhaust.
///
/// # Errors
/// [`PolicyError::Resources`] if there is no thread to be had.
pub(super) fn with_ample_stack<T: Send>(
    work: impl FnOnce() -> Result<T, PolicyError> + Send,
) -> Result<T, PolicyError> {
    let builder = std::thread::Builder::new()
        .name("policy".to_owned())
        .stack_size(STACK);
    std::thread::scope(|scope| {
        let thread = builder
            .spawn_scoped(scope, work)
            .map_err(|source| PolicyError::Resources { source })?;
        thread
            .join()
            .map_err(|_| PolicyError::BuiltIn("checking the policy set panicked".to_owned()))?
    })
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
                self.skip(rest.find('\n').unwrap_or(rest.len()));
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
