//! The words of a policy text, as far as its bounds need them: where a policy ends, how deep it goes.

/// Words, string literals, `&&`, `||` and other single characters of a text with their offsets in bytes, without
/// white space and comments.
pub(super) struct Tokens<'a> {
    text: &'a str,
    offset: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn of(text: &'a str) -> Self {
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
        } else if first == '"' {
            string_length(rest)
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
