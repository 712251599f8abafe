//! Paths below a prefix, compared segment by segment.
//!
//! The one thing to know: whoever opens the path decodes it once more, by rules that nobody here knows. So a path
//! that a decoder, a Unicode normalisation or a servlet container could read as another one lies nowhere.

/// A path that has one reading: no empty, `.` or `..` segment, and nothing that another program could take for
/// one, or for a separator.
struct Path<'a> {
    absolute: bool,
    segments: Vec<&'a str>,
}

/// Percent-encoded forms that a server may decode after the comparison: NUL, `%`, `.`, `/` and `\`.
const ENCODED: [&str; 5] = ["%00", "%25", "%2e", "%2f", "%5c"];

/// Whether some program reads this as a separator, or as the sign of an encoding: backslash, division and fraction
/// slash, set minus, the full-width and small forms, and percent signs that decoding has left or made.
fn is_sign(c: char) -> bool {
    matches!(
        c,
        '\\' | '%'
            | '\u{2044}' | '\u{2215}' | '\u{2216}' // fraction slash, division slash, set minus
            | '\u{a5}' | '\u{20a9}' // yen and won sign: the backslash of code pages 932 and 949
            | '\u{fe68}' | '\u{fe6a}' | '\u{ff05}' | '\u{ff0f}' | '\u{ff3c}'
    )
}

/// Whether some program reads this as dots, or drops it: a segment of nothing else may be `.`, `..` or empty there.
fn is_nothing(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '.' | '\u{2024}'..='\u{2026}' | '\u{3002}' | '\u{fe12}' | '\u{fe19}' | '\u{fe30}' | '\u{fe52}'
                | '\u{ff0e}' | '\u{ff61}'
                // Other scripts' dots (UTS #39), and marks that a name is compared without.
                | '\u{660}' | '\u{6f0}' | '\u{701}'..='\u{702}' | '\u{a4f8}'..='\u{a4fb}' | '\u{10a50}' | '\u{1d16d}'
                | '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
                | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}'
                // Default_Ignorable_Code_Point (Unicode 16): some file systems compare names without them.
                | '\u{ad}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
                | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Whether a decoded segment is a name in every reading: also without what a server that takes the path for a part
/// of a URL cuts off, from a `;`, `?` or `#` on.
fn is_name(segment: &str) -> bool {
    let ends = |c: char| matches!(c, ';' | '?' | '#' | '\u{ff1b}' | '\u{ff1f}' | '\u{ff03}');
    let name = segment.split(ends).next().unwrap_or_default();
    !name.chars().all(is_nothing)
}

/// The text without its percent-encoding; `None` where a `%` begins no byte in two hex digits, or where the bytes
/// are no UTF-8: overlong forms of a dot, other character sets, `%u002e`.
fn decoded(text: &str) -> Option<String> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
            u8::try_from((high << 4) | low).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}

impl<'a> Path<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        if text.is_empty() || ENCODED.iter().any(|it| lower.contains(it)) {
            return None;
        }
        let decoded = decoded(text)?;
        if decoded.chars().any(|c| is_sign(c) || c.is_control()) {
            return None;
        }
        let (absolute, rest) = match text.strip_prefix('/') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if rest.is_empty() {
            // The root itself.
            let segments = Vec::new();
            return Some(Self { absolute, segments });
        }
        // Encoded slashes were refused: both texts have the same segments.
        let plain = decoded.strip_prefix('/').unwrap_or(&decoded);
        let segments = rest.split('/').collect();
        plain
            .split('/')
            .all(is_name)
            .then_some(Self { absolute, segments })
    }
}

/// Whether this can be a prefix: a path that has one reading.
#[must_use]
pub fn is_path(text: &str) -> bool {
    Path::parse(text).is_some()
}

/// Whether `path` is `prefix` or lies below it. A path with more than one reading lies nowhere.
#[must_use]
pub(super) fn below(path: &str, prefix: &str) -> bool {
    let (Some(path), Some(prefix)) = (Path::parse(path), Path::parse(prefix)) else {
        return false;
    };
    path.absolute == prefix.absolute && path.segments.starts_with(&prefix.segments)
}
