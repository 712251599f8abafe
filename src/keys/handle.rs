//! How hard a foreign handle is to guess, judged by its shape.
//!
//! Names nothing. The one thing to know: no text proves its own randomness. This finds names that *cannot*
//! be random enough (short, narrow alphabet, counters, time-ordered UUIDs); a server that pads a counter with
//! noise that only looks random is beyond it.

/// Random bits that a handle must have room for (A37). A UUID of version 4 has 122.
pub const HANDLE_BITS_MIN: u32 = 120;

/// A random text of this much room repeats characters, but not down to fewer than these.
const DISTINCT_MIN: usize = 8;

/// Whether a handle has room for [`HANDLE_BITS_MIN`] random bits; if not, refuse it or wrap it with our own.
#[must_use]
pub fn handle_is_strong(handle: &str) -> bool {
    if let Some(version) = uuid_version(handle) {
        return version == b'4' && distinct(handle) >= DISTINCT_MIN;
    }
    // What precedes or follows a separator may be a constant or a counter: only the longest part counts.
    handle
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'))
        .map(without_prefix)
        .any(|part| {
            !is_ulid(part) && bits(part) >= HANDLE_BITS_MIN && distinct(part) >= DISTINCT_MIN
        })
}

/// Drops a constant such as `task-` or `req_`: base64url needs the same two characters.
fn without_prefix(part: &str) -> &str {
    match part.split_once(['-', '_']) {
        Some((prefix, rest))
            if (2..=12).contains(&prefix.len())
                && prefix.bytes().all(|b| b.is_ascii_lowercase()) =>
        {
            rest
        }
        _ => part,
    }
}

/// A ULID is a time and only 80 random bits.
fn is_ulid(part: &str) -> bool {
    part.len() == 26
        && part.starts_with(|c: char| matches!(c, '0'..='7'))
        && part.bytes().all(|b| {
            let upper = b.to_ascii_uppercase();
            upper.is_ascii_alphanumeric() && !matches!(upper, b'I' | b'L' | b'O' | b'U')
        })
        && !(part.bytes().any(|b| b.is_ascii_lowercase())
            && part.bytes().any(|b| b.is_ascii_uppercase()))
}

fn distinct(text: &str) -> usize {
    let mut characters: Vec<u8> = text.bytes().collect();
    characters.sort_unstable();
    characters.dedup();
    characters.len()
}

/// Length × bits per character of the narrowest usual alphabet that has all of them, rounded down.
fn bits(text: &str) -> u32 {
    let all = |class: fn(&u8) -> bool| text.bytes().all(|b| class(&b));
    let one_case = all(|b| !b.is_ascii_uppercase()) || all(|b| !b.is_ascii_lowercase());
    let hundredths: u32 = if all(u8::is_ascii_digit) {
        332
    } else if all(u8::is_ascii_hexdigit) {
        400
    } else if all(u8::is_ascii_alphabetic) {
        if one_case { 470 } else { 570 }
    } else if all(u8::is_ascii_alphanumeric) {
        // Base 32, or bases 36 to 62.
        if one_case { 500 } else { 570 }
    } else {
        600
    };
    u32::try_from(text.len())
        .unwrap_or(u32::MAX)
        .saturating_mul(hundredths)
        .checked_div(100)
        .unwrap_or_default()
}

/// The version digit of the first UUID in the text, wherever it stands.
fn uuid_version(text: &str) -> Option<u8> {
    text.as_bytes()
        .windows(36)
        .find(|window| {
            window.iter().enumerate().all(|(at, b)| match at {
                8 | 13 | 18 | 23 => *b == b'-',
                _ => b.is_ascii_hexdigit(),
            })
        })
        .and_then(|uuid| uuid.get(14))
        .copied()
}
