//! The header lines of a message: names and values keep their spelling, their order and their number.

/// One `name: value`, without white space around either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    /// A token of RFC 9110, section 5.6.2, so ASCII.
    pub(super) name: String,
    /// Visible characters, spaces and tabs; beyond ASCII in whatever encoding.
    pub(super) value: Vec<u8>,
}

/// All of them, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fields(Vec<Field>);

impl Field {
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

impl Fields {
    pub(super) fn push(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.0.push(Field { name: name.to_owned(), value: value.into() });
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Field> {
        self.0.iter()
    }

    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.0.iter().filter(move |field| field.is(name)).map(|field| field.value.as_slice())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|field| field.is(name))
    }

    pub(super) fn retain(&mut self, keeps: impl FnMut(&Field) -> bool) {
        self.0.retain(keeps);
    }

    /// The members of a list that may be spread over several lines, in small letters. Only blanks and tabs
    /// stand around one: whoever takes more away sees another word than the next one does.
    ///
    /// Source: RFC 9110, sections 5.6.1 and 5.6.3.
    pub(super) fn words(&self, name: &str) -> Vec<String> {
        let text = |value| String::from_utf8_lossy(value).into_owned();
        let words = |value: String| {
            let words = value.split(',').map(|word| word.trim_matches([' ', '\t']).to_ascii_lowercase());
            words.filter(|word| !word.is_empty()).collect::<Vec<_>>()
        };
        self.values(name).map(text).flat_map(words).collect()
    }

    /// `name: value` line by line, without the empty line at the end.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for field in &self.0 {
            out.extend_from_slice(field.name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(&field.value);
            out.extend_from_slice(b"\r\n");
        }
    }
}

impl FromIterator<Field> for Fields {
    fn from_iter<T: IntoIterator<Item = Field>>(fields: T) -> Self {
        Self(fields.into_iter().collect())
    }
}

impl From<&[httparse::Header<'_>]> for Fields {
    fn from(headers: &[httparse::Header<'_>]) -> Self {
        let field =
            |header: &httparse::Header<'_>| Field { name: header.name.to_owned(), value: unfolded(header.value) };
        headers.iter().map(field).collect()
    }
}

/// A value that goes on in the next line goes on behind a space.
///
/// Source: RFC 9112, section 5.2: what a gateway does before it forwards an answer.
fn unfolded(value: &[u8]) -> Vec<u8> {
    if !value.contains(&b'\n') {
        return value.to_vec();
    }
    let mut lines = value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let mut joined = lines.next().unwrap_or_default().to_vec();
    for line in lines {
        joined.push(b' ');
        joined.extend_from_slice(line);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_may_be_spread_over_lines_and_names_have_no_case() {
        let mut fields = Fields::default();
        fields.push("Connection", "Keep-Alive, ,X-One");
        fields.push("connection", "\t x-two ,\u{a0}x-three\u{3000}");
        assert_eq!(fields.words("CONNECTION"), ["keep-alive", "x-one", "x-two", "\u{a0}x-three\u{3000}"]);
        assert_eq!(fields.values("connection").count(), 2);
    }

    #[test]
    fn what_is_written_is_what_was_read() {
        let mut fields = Fields::default();
        fields.push("X-Odd_Name", vec![b'a', 0xE9, b'\t', b'b']);
        fields.push("x-odd_name", "");
        let mut out = Vec::new();
        fields.write(&mut out);
        assert_eq!(out, b"X-Odd_Name: a\xE9\tb\r\nx-odd_name: \r\n");
    }

    #[test]
    fn folded_lines_become_one() {
        assert_eq!(unfolded(b"a\r\n  b\n\tc"), b"a b c");
        assert_eq!(unfolded(b"\r\n a"), b"a");
        assert_eq!(unfolded(b"a  b"), b"a  b");
    }
}
