//! The parser: RFC 8259 to the letter, one pass, no look-back, depth counted.
//!
//! Names nothing outside this room. It never indexes: what is left to read is a `str` that only shrinks.

use super::{CanonicalError, Members, Number, Value};

/// Parses one document; nothing but white space may follow it.
pub(super) fn document(text: &str, depth_max: u8) -> Result<Value, CanonicalError> {
    let mut parser = Parser {
        length: text.len(),
        rest: text,
        depth: 0,
        depth_max,
    };
    let value = parser.value()?;
    parser.space();
    if parser.rest.is_empty() {
        Ok(value)
    } else {
        Err(parser.syntax())
    }
}

struct Parser<'a> {
    length: usize,
    rest: &'a str,
    depth: u8,
    depth_max: u8,
}

impl<'a> Parser<'a> {
    fn value(&mut self) -> Result<Value, CanonicalError> {
        self.space();
        match self.rest.as_bytes().first() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => Err(self.syntax()),
        }
    }

    fn nested(
        &mut self,
        parse: fn(&mut Self) -> Result<Value, CanonicalError>,
    ) -> Result<Value, CanonicalError> {
        if self.depth >= self.depth_max {
            return Err(CanonicalError::Depth {
                depth_max: self.depth_max,
                offset: self.offset(),
            });
        }
        self.depth = self.depth.saturating_add(1);
        let value = parse(self)?;
        self.depth = self.depth.saturating_sub(1);
        Ok(value)
    }

    fn object(&mut self) -> Result<Value, CanonicalError> {
        let mut members = Vec::new();
        self.expect('{')?;
        self.space();
        if !self.take('}') {
            loop {
                self.space();
                let name = self.string()?;
                self.space();
                self.expect(':')?;
                members.push((name, self.value()?));
                self.space();
                if !self.take(',') {
                    break;
                }
            }
            self.expect('}')?;
        }
        Members::new(members)
            .map(Value::Object)
            .ok_or(CanonicalError::Duplicate {
                offset: self.offset(),
            })
    }

    fn array(&mut self) -> Result<Value, CanonicalError> {
        let mut items = Vec::new();
        self.expect('[')?;
        self.space();
        if !self.take(']') {
            loop {
                items.push(self.value()?);
                self.space();
                if !self.take(',') {
                    break;
                }
            }
            self.expect(']')?;
        }
        Ok(Value::Array(items))
    }

    fn string(&mut self) -> Result<String, CanonicalError> {
        let mut text = String::new();
        self.expect('"')?;
        loop {
            text.push_str(self.take_while(|c| c >= ' ' && c != '"' && c != '\\'));
            if self.take('"') {
                return Ok(text);
            }
            self.expect('\\')?;
            text.push(self.escape()?);
        }
    }

    fn escape(&mut self) -> Result<char, CanonicalError> {
        let mut chars = self.rest.chars();
        let plain = match chars.next() {
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                self.rest = chars.as_str();
                return self.unicode();
            }
            _ => return Err(self.syntax()),
        };
        self.rest = chars.as_str();
        Ok(plain)
    }

    fn unicode(&mut self) -> Result<char, CanonicalError> {
        let alone = CanonicalError::Surrogate {
            offset: self.offset(),
        };
        let first = self.hex4()?;
        if !(0xD800..=0xDFFF).contains(&first) {
            return char::from_u32(u32::from(first)).ok_or(alone);
        }
        if first >= 0xDC00 || !self.take_str("\\u") {
            return Err(alone);
        }
        let second = self.hex4()?;
        match char::decode_utf16([first, second]).next() {
            Some(Ok(c)) => Ok(c),
            _ => Err(alone),
        }
    }

    fn hex4(&mut self) -> Result<u16, CanonicalError> {
        let (digits, rest) = self
            .rest
            .split_at_checked(4)
            .filter(|(digits, _)| digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .ok_or_else(|| self.syntax())?;
        let unit = u16::from_str_radix(digits, 16).map_err(|_not_hex| self.syntax())?;
        self.rest = rest;
        Ok(unit)
    }

    fn number(&mut self) -> Result<Value, CanonicalError> {
        let start = self.rest;
        self.take('-');
        if !self.take('0') {
            self.digits()?;
        }
        if self.take('.') {
            self.digits()?;
        }
        if self.take('e') || self.take('E') {
            if !self.take('+') {
                self.take('-');
            }
            self.digits()?;
        }
        start
            .len()
            .checked_sub(self.rest.len())
            .and_then(|length| start.get(..length))
            .and_then(Number::parse)
            .map(Value::Number)
            .ok_or(CanonicalError::Number {
                offset: self.offset(),
            })
    }

    /// At least one digit.
    fn digits(&mut self) -> Result<(), CanonicalError> {
        if self.take_while(|c| c.is_ascii_digit()).is_empty() {
            return Err(self.syntax());
        }
        Ok(())
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, CanonicalError> {
        if self.take_str(word) {
            Ok(value)
        } else {
            Err(self.syntax())
        }
    }

    fn space(&mut self) {
        self.take_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
    }

    fn expect(&mut self, c: char) -> Result<(), CanonicalError> {
        if self.take(c) {
            Ok(())
        } else {
            Err(self.syntax())
        }
    }

    fn take(&mut self, c: char) -> bool {
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn take_str(&mut self, word: &str) -> bool {
        match self.rest.strip_prefix(word) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn take_while(&mut self, keep: fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !keep(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn offset(&self) -> usize {
        self.length.saturating_sub(self.rest.len())
    }

    fn syntax(&self) -> CanonicalError {
        CanonicalError::Syntax {
            offset: self.offset(),
        }
    }
}
