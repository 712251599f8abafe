//! Durations as people write them: one whole number and one unit, such as `250ms`, `10s` or `24h`.
//!
//! Names nothing. One number and one unit only, so that there is one way to read each.

use std::time::Duration;

/// What [`parse`] accepts, for error messages.
pub(super) const FORM: &str = "a duration such as \"250ms\", \"10s\", \"5m\", \"24h\" or \"7d\"";

/// The units, longest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads one duration; `None` for anything else, overflow included.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at_checked(digits_end)?;
    let number: u64 = digits.parse().ok()?;
    let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*unit_ms).map(Duration::from_millis)
}

/// Writes a duration in the largest unit that divides it; [`parse`] reads it back.
pub(super) fn show(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    UNITS
        .iter()
        .find(|(_, unit_ms)| ms.checked_rem(*unit_ms) == Some(0))
        .and_then(|(name, unit_ms)| Some(format!("{}{name}", ms.checked_div(*unit_ms)?)))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{parse, show};
    use std::time::Duration;

    #[test]
    fn a_number_and_a_unit_are_read_and_written_back() {
        for (text, ms) in [
            ("1ms", 1),
            ("250ms", 250),
            ("10s", 10_000),
            ("90s", 90_000),
            ("5m", 300_000),
            ("24h", 86_400_000),
            ("7d", 604_800_000),
        ] {
            let duration = Duration::from_millis(ms);
            assert_eq!(parse(text), Some(duration), "{text}");
            assert_eq!(parse(&show(duration)), Some(duration), "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_duration() {
        for text in [
            "",
            "s",
            "10",
            "10 s",
            "-1s",
            "+1s",
            "1.5s",
            "1h30m",
            "10S",
            "10sec",
            "١s",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
