//! Numbers that have exactly one canonical form.
//!
//! The one thing to know: a number is accepted only if its decimal value *equals* that of its ECMAScript
//! form. "Exactly held by a double" would not do, in either direction: 0.1 is held inexactly, yet nothing
//! else that is accepted shares its form; 2^70 is held exactly, yet shares its form with 1.1805916207174113e+21.

use std::fmt;

/// A finite double together with the certainty that its text had the same decimal value as its canonical form.
#[derive(Clone, Copy, PartialEq)]
pub struct Number(f64);

/// Neither NaN nor an infinity can be parsed.
impl Eq for Number {}

impl Number {
    /// Parses a JSON number; `None` if its canonical form has another value, or it is out of range.
    ///
    /// Minus zero is zero, as RFC 8785 §3.2.2.3 has it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let value: f64 = text.parse().ok()?;
        if !value.is_finite() {
            return None;
        }
        let number = Self(value);
        (Decimal::parse(text)? == Decimal::parse(&number.to_string())?).then_some(number)
    }

    /// A double; `None` if it is not finite.
    #[must_use]
    pub fn from_f64(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self(value))
    }

    /// The number as a double.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.0
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `Number::toString` of ECMAScript (ECMA-262 §6.1.6.1.20), as RFC 8785 §3.2.2.3 demands.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0.0 {
            return f.write_str("0");
        }
        if self.0.is_sign_negative() {
            f.write_str("-")?;
        }
        let (digits, exponent) = shortest(self.0.abs());
        let point = exponent.saturating_add(1);
        let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
        if count <= point && point <= 21 {
            write!(f, "{digits}{}", zeros(point.saturating_sub(count)))
        } else if 0 < point && point <= 21 {
            let (whole, fraction) = split(&digits, point);
            write!(f, "{whole}.{fraction}")
        } else if -6 < point && point <= 0 {
            write!(f, "0.{}{digits}", zeros(point.saturating_neg()))
        } else {
            let (first, others) = split(&digits, 1);
            let dot = if others.is_empty() { "" } else { "." };
            write!(f, "{first}{dot}{others}e{exponent:+}")
        }
    }
}

/// The digits that ECMAScript chooses, and the exponent of the first of them.
///
/// Rust too writes the fewest digits that round-trip and of those the nearest, but of two equally near ones
/// not always the even one. Two decimals of fewer than 16 digits never share a double, so a tie is possible
/// only from there on, and only where the exact value is one digit longer and ends in 5.
fn shortest(value: f64) -> (String, i32) {
    let (digits, exponent) = scientific(&format!("{value:e}"));
    if digits.len() >= 16 {
        let tie = |precision: usize| {
            let (exact, _) = scientific(&format!("{value:.precision$e}"));
            let exact = exact.trim_end_matches('0');
            let longer = exact.len() == digits.len().saturating_add(1);
            exact
                .strip_suffix('5')
                .filter(|_| longer)
                .map(str::to_owned)
        };
        // A glance first; the second look shows all the digits that a double can have.
        if let Some(mut kept) = tie(25).and_then(|_| tie(DOUBLE_DIGITS_MAX))
            && let Some(even) = kept.pop().and_then(even_neighbour)
        {
            kept.push(even);
            return (kept, exponent);
        }
    }
    (digits, exponent)
}

/// No double has more significant decimal digits than this.
const DOUBLE_DIGITS_MAX: usize = 767;

/// Of this digit and the next the even one. 9 never comes here: its neighbour would be a shorter number.
fn even_neighbour(digit: char) -> Option<char> {
    let value = digit.to_digit(10)?;
    char::from_digit(value.next_multiple_of(2), 10)
}

fn scientific(text: &str) -> (String, i32) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let digits = mantissa.chars().filter(char::is_ascii_digit).collect();
    (digits, exponent.parse().unwrap_or_default())
}

fn zeros(count: i32) -> String {
    "0".repeat(usize::try_from(count).unwrap_or_default())
}

fn split(digits: &str, at: i32) -> (&str, &str) {
    let at = usize::try_from(at).unwrap_or_default();
    digits.split_at_checked(at).unwrap_or((digits, ""))
}

/// A decimal value in one form: ± digits × 10^exponent, digits without zeros at either end.
#[derive(PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// `None` if the exponent does not fit; no double has such a value.
    fn parse(text: &str) -> Option<Self> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let digits = all.trim_start_matches('0').trim_end_matches('0');
        if digits.is_empty() {
            return Some(Self {
                negative: false,
                digits: String::new(),
                exponent: 0,
            });
        }
        let end_zeros = all.len().checked_sub(all.trim_end_matches('0').len())?;
        let exponent = exponent
            .parse::<i64>()
            .ok()?
            .checked_sub(i64::try_from(fraction.len()).ok()?)?
            .checked_add(i64::try_from(end_zeros).ok()?)?;
        Some(Self {
            negative,
            digits: digits.to_owned(),
            exponent,
        })
    }
}
