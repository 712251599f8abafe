//! How far a policy text may go: how deep, and how long each of its policies may be.
//!
//! Cedar 4.14 recurses over what it parsed. Where the stack is short, a text of 200 bytes ends the
//! process, the strict validator *passes* what it could not look at, and every evaluation fails. So
//! the shape is bounded before a text is parsed; it is then parsed and validated on a thread with
//! an ample stack ([`checking`]), and evaluated where enough is left of the caller's
//! ([`evaluating`]).
//!
//! Cedar also keeps and compares, with every problem that it finds, the whole text it was given, and looks
//! for what was meant where a text is broken. So it is given one policy at a time, and a policy has an end.

use super::error::{PolicyError, Problem};
use super::tokens::Tokens;

/// How deep brackets may nest in a policy text.
pub const NESTING_MAX: usize = 16;

/// How many operators one policy may have: `&&`, `||`, `+`, `-`, `*`, `if`, `when`, `unless`, and
/// `.` or `[` after a bracket. Sets (`[…].contains(…)`) name many things with few of them: some 800 SPIFFE IDs
/// of 80 bytes before a policy is too long.
pub const OPERATORS_MAX: usize = 50;

/// How many names one path may have: `context.task.server.trust_domain` has four.
pub const PATH_MAX: usize = 8;

/// How long one policy may be, in bytes, comments within it included: 64 KiB.
pub const POLICY_BYTES_MAX: usize = 64 * 1024;

/// How many tokens one policy may have: Cedar's search for what was meant, after a mistake, costs the square.
pub const TOKENS_MAX: usize = 10_000;

/// How many escapes (`\\`, and carriage returns, which need one) the strings of one policy may have: with every
/// bad one Cedar keeps the whole string.
pub const ESCAPES_MAX: usize = 100;

/// A part of a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    pub(super) text: &'a str,
    /// Where it begins, in bytes from the beginning of the text.
    pub(super) offset: usize,
    /// The line where it begins, counted from 1.
    pub(super) line: usize,
}

/// A text, taken apart.
#[derive(Debug, Default)]
pub(super) struct Parts<'a> {
    /// Its policies, each from its first token to its `;` (the last may lack one).
    pub(super) policies: Vec<Part<'a>>,
    /// What stands before, between and behind them: white space and comments.
    pub(super) silence: Vec<Part<'a>>,
}

/// What was counted of one policy, up to a token.
#[derive(Debug, Default)]
struct Extent<'a> {
    tokens: usize,
    escapes: usize,
    brackets: usize,
    operators: usize,
    dots: usize,
    before: &'a str,
}

/// Takes a text apart; each of its policies can be parsed safely.
///
/// A policy ends with a `;`, which Cedar has nowhere else outside of strings and comments. Nothing is kept
/// from Cedar: should it ever see other strings or comments than we do, a policy is none, or silence is not
/// silent, and the set is refused.
///
/// # Errors
/// [`PolicyError::Invalid`], at the place where a bound is crossed.
pub(super) fn apart(text: &str) -> Result<Parts<'_>, PolicyError> {
    let mut parts = Parts::default();
    let mut tokens = Tokens::of(text).peekable();
    let (mut offset, mut line) = (0, 1_usize);
    let mut part = |end| {
        let part = Part {
            text: text.get(offset..end).unwrap_or_default(),
            offset,
            line,
        };
        offset = end;
        line = line.saturating_add(part.text.matches('\n').count());
        part
    };
    while let Some(&(begin, _)) = tokens.peek() {
        parts.silence.push(part(begin));
        parts
            .policies
            .push(part(policy_end(text, &mut tokens, begin)?));
    }
    parts.silence.push(part(text.len()));
    Ok(parts)
}

/// Reads one policy, and says where it ends.
fn policy_end<'a>(
    text: &str,
    tokens: &mut impl Iterator<Item = (usize, &'a str)>,
    begin: usize,
) -> Result<usize, PolicyError> {
    let mut extent = Extent::default();
    let mut end = begin;
    for (offset, token) in tokens {
        end = offset.saturating_add(token.len());
        extent.add(token);
        if let Some(message) = extent.excess(end.saturating_sub(begin)) {
            let problem = Problem::at(text, offset, message);
            return Err(PolicyError::invalid(vec![problem]));
        }
        if token == ";" {
            break;
        }
    }
    Ok(end)
}

impl<'a> Extent<'a> {
    fn add(&mut self, token: &'a str) {
        let more = |count: &mut usize| *count = count.saturating_add(1);
        more(&mut self.tokens);
        if matches!(token, "(" | "[" | "{") {
            more(&mut self.brackets);
        }
        match token {
            ")" | "]" | "}" => self.brackets = self.brackets.saturating_sub(1),
            "." | "[" if matches!(self.before, ")" | "]" | "}") => more(&mut self.operators),
            "." => more(&mut self.dots),
            "&&" | "||" | "+" | "-" | "*" | "if" | "when" | "unless" => more(&mut self.operators),
            string if string.starts_with('"') => {
                let escapes = string.matches(['\\', '\r']).count();
                self.escapes = self.escapes.saturating_add(escapes);
            }
            _ => {}
        }
        let within_path = token == "." || self.before == ".";
        if !within_path {
            self.dots = 0;
        }
        self.before = token;
    }

    /// Why a policy that is `length` bytes long so far is beyond the bounds.
    fn excess(&self, length: usize) -> Option<String> {
        [
            (length, "this policy is longer in bytes", POLICY_BYTES_MAX),
            (self.tokens, "this policy has more tokens", TOKENS_MAX),
            (self.escapes, "this policy has more escapes", ESCAPES_MAX),
            (self.brackets, "brackets nest deeper", NESTING_MAX),
            (
                self.operators,
                "this policy has more operators",
                OPERATORS_MAX,
            ),
            (
                self.dots.saturating_add(1),
                "this path has more names",
                PATH_MAX,
            ),
        ]
        .into_iter()
        .find(|(count, _, max)| count > max)
        .map(|(_, what, max)| format!("{what} than {max}"))
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
