//! The canonical form (RFC 8785 §3.2): no white space, members in order, the fewest escapes.
//!
//! Names nothing outside this room.

use super::Value;
use std::fmt::Write as _;

/// Writes a value in its canonical form.
pub(super) fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => list(out, ['[', ']'], items, write_item),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Null => out.push_str("null"),
        Value::Number(number) => {
            // Writing to a string cannot fail.
            let _infallible = write!(out, "{number}");
        }
        Value::Object(members) => list(out, ['{', '}'], members.iter(), |(name, item), out| {
            string(name, out);
            out.push(':');
            write(item, out);
        }),
        Value::String(text) => string(text, out),
    }
}

fn write_item(value: &Value, out: &mut String) {
    write(value, out);
}

fn list<T>(
    out: &mut String,
    brackets: [char; 2],
    items: impl IntoIterator<Item = T>,
    write: impl Fn(T, &mut String),
) {
    let [open, close] = brackets;
    out.push(open);
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write(item, out);
    }
    out.push(close);
}

/// RFC 8785 §3.2.2.2: the two-character escapes where there are some, `\u00xx` for other controls.
fn string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\0'..='\u{1f}' => {
                let _infallible = write!(out, "\\u{:04x}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}
