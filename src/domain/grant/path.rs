//! Paths below a prefix, compared segment by segment.

/// A path that has one reading: no empty, `.` or `..` segment, and nothing that another program could decode
/// into one.
struct Path<'a> {
    absolute: bool,
    segments: Vec<&'a str>,
}

/// Percent-encoded forms that a server may decode after the comparison: NUL, `%`, `.`, `/` and `\`.
const ENCODED: [&str; 5] = ["%00", "%25", "%2e", "%2f", "%5c"];

impl<'a> Path<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let plain = |c: char| c != '\\' && !c.is_control();
        let lower = text.to_ascii_lowercase();
        if text.is_empty()
            || !text.chars().all(plain)
            || ENCODED.iter().any(|it| lower.contains(it))
        {
            return None;
        }
        let (absolute, rest) = match text.strip_prefix('/') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let segments: Vec<&str> = match rest {
            // The root itself.
            "" => Vec::new(),
            _ => rest.split('/').collect(),
        };
        let read_one_way = |segment: &&str| !matches!(*segment, "" | "." | "..");
        segments
            .iter()
            .all(read_one_way)
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
