//! Strict JSON: UTF-8, one object, unique keys at every depth, at most eight levels deep.
//!
//! RFC 8259 leaves duplicate keys to each parser, and two parsers that read one token differently are a security hole
//! (RFC 7519, section 4; RFC 8725, section 2.4).

use std::borrow::Cow;

/// The largest depth of nested arrays and objects.
pub const MAX_DEPTH: usize = 8;

/// The text is not JSON, or is JSON that two parsers could read differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not strict JSON")]
pub struct NotStrictJson;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// An integer that fits into an `i64`.
    Integer(i64),
    /// Any other number: with a fraction or an exponent, or out of range.
    OtherNumber,
    /// Text.
    Text(Cow<'a, str>),
    /// An array.
    Array(Vec<Value<'a>>),
    /// An object.
    Object(Object<'a>),
}

impl<'a> Value<'a> {
    /// The text, if the value is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Text(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// The integer, if the value is one.
    #[must_use]
    pub const fn as_integer(&self) -> Option<i64> {
        if let Self::Integer(number) = self {
            Some(*number)
        } else {
            None
        }
    }

    /// The elements, if the value is an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Value<'a>]> {
        if let Self::Array(elements) = self {
            Some(elements)
        } else {
            None
        }
    }

    /// The object, if the value is one.
    #[must_use]
    pub const fn as_object(&self) -> Option<&Object<'a>> {
        if let Self::Object(object) = self {
            Some(object)
        } else {
            None
        }
    }
}

/// The members of a JSON object, in their order. Keys are unique.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object<'a>(Vec<(MemberName<'a>, Value<'a>)>);

impl<'a> Object<'a> {
    /// Parses one object, and refuses anything beside it.
    ///
    /// # Errors
    /// [`NotStrictJson`].
    pub fn parse(json: &'a [u8]) -> Result<Self, NotStrictJson> {
        let mut reader = Parser::of(json)?;
        let object = reader.object(0)?;
        reader.end()?;
        Ok(object)
    }

    fn add(&mut self, name: Cow<'a, str>, value: Value<'a>) -> Result<(), NotStrictJson> {
        let key = MemberName::new(name);
        if self.0.iter().any(|(known, _)| known.is(&key)) {
            return Err(NotStrictJson);
        }
        if self.0.is_empty() {
            self.0.reserve(16);
        }
        self.0.push((key, value));
        Ok(())
    }

    /// The value of the member `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        let name = MemberName::new(name);
        self.0
            .iter()
            .find(|(key, _)| key.is(&name))
            .map(|(_, value)| value)
    }

    /// The names of the members, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.name.as_ref())
    }
}

/// Parses one object, and refuses anything beside it. Returns the values of the members `names`. The other members are
/// parsed just as strictly. Parsing is fastest if the members come in the order of `names`.
///
/// # Errors
/// [`NotStrictJson`].
pub(crate) fn members<'a, const N: usize>(
    json: &'a [u8],
    names: &[&str; N],
) -> Result<[Option<Value<'a>>; N], NotStrictJson> {
    let (mut values, mut others) = ([const { None }; N], Object::default());
    let mut next = 0;
    let mut reader = Parser::of(json)?;
    let depth = deeper(0)?;
    let mut more = reader.begin_object()?;
    while more {
        let expected = names.get(next).filter(|name| reader.skip_name(name));
        let found = match expected {
            Some(_) => Ok(next),
            None => {
                let name = reader.name()?;
                let at = names.iter().position(|known| *known == name);
                at.ok_or(name)
            }
        };
        let value = reader.value(depth)?;
        match found {
            Ok(at) if values[at].is_none() => {
                values[at] = Some(value);
                next = at + 1;
            }
            Ok(_) => return Err(NotStrictJson),
            Err(name) => others.add(name, value)?,
        }
        more = reader.more_members()?;
    }
    reader.end()?;
    Ok(values)
}

/// A key and its fingerprint: the length and the first bytes, which tell nearly all keys apart.
#[derive(Clone, Debug, PartialEq)]
struct MemberName<'a> {
    look: u64,
    name: Cow<'a, str>,
}

impl<'a> MemberName<'a> {
    fn new(name: impl Into<Cow<'a, str>>) -> Self {
        let name = name.into();
        let first = name.bytes().take(6);
        let look = first.fold(name.len() as u64, |look, byte| look << 8 | u64::from(byte));
        Self { look, name }
    }

    fn is(&self, other: &Self) -> bool {
        self.look == other.look && self.name == other.name
    }
}

/// Parses from `at` on. Integers and texts without escapes, which tokens consist of, are parsed here. For rarer numbers
/// and texts, this finds only the extent, and serde_json checks and parses them.
struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    /// A parser after the `{` of an object.
    fn of(json: &'a [u8]) -> Result<Self, NotStrictJson> {
        // Invalid UTF-8 is not JSON, inside or outside of a text.
        let text = std::str::from_utf8(json).map_err(|_| NotStrictJson)?;
        let mut reader = Self { text, at: 0 };
        match reader.next() {
            Some(b'{') => Ok(reader),
            _ => Err(NotStrictJson),
        }
    }

    /// Checks that nothing follows what was parsed.
    fn end(mut self) -> Result<(), NotStrictJson> {
        match self.next() {
            None => Ok(()),
            Some(_) => Err(NotStrictJson),
        }
    }

    /// The next byte that is not white space, without consuming it.
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// The bytes that are not parsed yet.
    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// The text from `start` to the current position.
    fn since(&self, start: usize) -> Result<&'a str, NotStrictJson> {
        self.text.get(start..self.at).ok_or(NotStrictJson)
    }

    /// Parses the value at the current position, at nesting level `depth`.
    fn value(&mut self, depth: usize) -> Result<Value<'a>, NotStrictJson> {
        match self.next().ok_or(NotStrictJson)? {
            b'"' => self.string().map(Value::Text),
            b'-' | b'0'..=b'9' => self.number(),
            b'[' => self.array(depth).map(Value::Array),
            b'{' => self.object(depth).map(Value::Object),
            b't' => self.word("rue", Value::Bool(true)),
            b'f' => self.word("alse", Value::Bool(false)),
            b'n' => self.word("ull", Value::Null),
            _ => Err(NotStrictJson),
        }
    }

    fn word(&mut self, rest: &str, value: Value<'a>) -> Result<Value<'a>, NotStrictJson> {
        if self.rest().starts_with(rest.as_bytes()) {
            self.at += rest.len();
            Ok(value)
        } else {
            Err(NotStrictJson)
        }
    }

    /// Parses an array after its `[`.
    fn array(&mut self, depth: usize) -> Result<Vec<Value<'a>>, NotStrictJson> {
        let depth = deeper(depth)?;
        let mut elements = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(elements);
        }
        loop {
            elements.push(self.value(depth)?);
            match self.next() {
                Some(b',') => {}
                Some(b']') => return Ok(elements),
                _ => return Err(NotStrictJson),
            }
        }
    }

    /// Parses an object after its `{`.
    fn object(&mut self, depth: usize) -> Result<Object<'a>, NotStrictJson> {
        let mut object = Object::default();
        if self.begin_object()? {
            let depth = deeper(depth)?;
            loop {
                let name = self.name()?;
                let value = self.value(depth)?;
                object.add(name, value)?;
                if !self.more_members()? {
                    break;
                }
            }
        }
        Ok(object)
    }

    /// Whether an object has a member. The parser is after its `{`.
    fn begin_object(&mut self) -> Result<bool, NotStrictJson> {
        let empty = self.peek().ok_or(NotStrictJson)? == b'}';
        self.at += usize::from(empty);
        Ok(!empty)
    }

    /// Whether another member follows.
    fn more_members(&mut self) -> Result<bool, NotStrictJson> {
        match self.next() {
            Some(b',') => Ok(true),
            Some(b'}') => Ok(false),
            _ => Err(NotStrictJson),
        }
    }

    /// Parses the name of a member and the `:`.
    fn name(&mut self) -> Result<Cow<'a, str>, NotStrictJson> {
        if self.next() != Some(b'"') {
            return Err(NotStrictJson);
        }
        let name = self.string()?;
        match self.next() {
            Some(b':') => Ok(name),
            _ => Err(NotStrictJson),
        }
    }

    /// Skips the name of a member and the `:`, if the name is `name` and is written without white space or escapes.
    /// Otherwise consumes nothing.
    fn skip_name(&mut self, name: &str) -> bool {
        let rest = self.rest().strip_prefix(b"\"");
        let rest = rest.and_then(|rest| rest.strip_prefix(name.as_bytes()));
        let is_it = rest.is_some_and(|rest| rest.starts_with(b"\":"));
        if is_it {
            self.at += name.len() + 3;
        }
        is_it
    }

    /// Parses a text after its first `"`.
    fn string(&mut self) -> Result<Cow<'a, str>, NotStrictJson> {
        let start = self.at;
        let mut escapes = false;
        loop {
            self.at += plain(self.rest());
            match self.rest().first() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escapes = true;
                    self.at += 2;
                }
                _ => return Err(NotStrictJson),
            }
        }
        let text = self.since(start)?;
        self.at += 1;
        if !escapes {
            return Ok(Cow::Borrowed(text));
        }
        let quoted = self.since(start - 1)?;
        serde_json::from_str(quoted)
            .map(Cow::Owned)
            .map_err(|_| NotStrictJson)
    }

    /// Parses a number after its first byte.
    fn number(&mut self) -> Result<Value<'a>, NotStrictJson> {
        self.at -= 1;
        let (start, rest) = (self.at, self.rest());
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let (whole, more) = rest.split_at(digits);
        let usual = match whole {
            [_] => true,
            [b'1'..=b'9', ..] => digits <= LONGEST,
            _ => false,
        };
        if usual && !matches!(more.first(), Some(b'.' | b'e' | b'E')) {
            self.at += digits;
            let digit = |number, byte: &u8| number * 10 + i64::from(byte - b'0');
            return Ok(Value::Integer(whole.iter().fold(0, digit)));
        }
        let part = |b: &&u8| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        self.at += rest.iter().take_while(part).count();
        let number = self.since(start)?;
        serde_json::from_str::<f64>(number).map_err(|_| NotStrictJson)?;
        // Negative zero is not an integer.
        let whole = number.parse().ok().filter(|_| number != "-0");
        Ok(whole.map_or(Value::OtherNumber, Value::Integer))
    }
}

/// The largest number of digits that always fits into an `i64`.
const LONGEST: usize = 18;

fn deeper(depth: usize) -> Result<usize, NotStrictJson> {
    if depth < MAX_DEPTH {
        Ok(depth + 1)
    } else {
        Err(NotStrictJson)
    }
}

/// Counts the bytes before the first `"`, `\` or control character (RFC 8259, section 7), eight at a time. A
/// subtraction borrows from a byte's highest bit if the byte was too small, and corrupts at most the bytes after it.
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let is_zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let (words, _) = bytes.as_chunks();
    let mut plain = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let quote = is_zero(word ^ (ONES * u64::from(b'"')));
        let escape = is_zero(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let first = (quote | escape | control) & (ONES * 0x80);
        if first != 0 {
            return plain + first.trailing_zeros() as usize / 8;
        }
        plain += 8;
    }
    let special = |b: &u8| matches!(b, b'"' | b'\\' | 0..0x20);
    let rest = bytes.get(plain..).unwrap_or_default();
    plain + rest.iter().position(special).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Members come in any order, with others between them, duplicated or broken.
        #[test]
        fn members_are_picked_as_they_are_found(
            written in proptest::collection::vec((0..7_usize, 0..6_usize), 0..6),
        ) {
            const NAMES: [&str; 4] = ["iss", "sub", "issuer", ""];
            let keys = ["iss", "sub", "issuer", "", "other", "i\\u0073s", "more"];
            let values = ["1", "\"text\"", "[{\"a\":1}]", "{\"iss\":2}", "{\"a\":1,\"a\":2}", "tru"];
            let written = written.iter().map(|(key, value)| format!("\"{}\": {}", keys[*key], values[*value]));
            let json = format!("{{{}}}", written.collect::<Vec<_>>().join(","));
            let found = Object::parse(json.as_bytes());
            let found = found.map(|object| NAMES.map(|name| object.get(name).cloned()));
            prop_assert_eq!(members(json.as_bytes(), &NAMES), found, "{}", json);
        }
    }

    fn refused(json: &[u8]) {
        assert_eq!(
            Object::parse(json),
            Err(NotStrictJson),
            "{:?}",
            String::from_utf8_lossy(json)
        );
    }

    #[test]
    fn ambiguous_json_is_refused() {
        refused(br#"{"a":1,"a":1}"#);
        refused(br#"{"a":1,"\u0061":1}"#);
        refused(br#"{"b":{"a":1,"a":2}}"#);
        refused(br#"{"b":[{"a":1,"a":2}]}"#);
        refused(b"{\"a\":\"\xff\"}");
        refused(b"{\"\xff\":1}");
        refused(br#"{"a":"\ud800"}"#);
        refused(br#"{"a":"\udc00\ud800"}"#);
        refused(br#"{"a":1}{}"#);
        refused(br#"{"a":1,}"#);
        refused(br#"{"a":01}"#);
        refused(br#"{"a":NaN}"#);
        refused(b"\xef\xbb\xbf{}");
        refused(b"");
        for other in ["[]", "null", "1", "\"{}\""] {
            refused(other.as_bytes());
        }
    }

    #[test]
    fn depth_is_bounded_everywhere() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Object::parse(format!("{{\"a\":{}}}", nested(MAX_DEPTH - 1)).as_bytes()).is_ok());
        refused(format!("{{\"a\":{}}}", nested(MAX_DEPTH)).as_bytes());
        refused(format!("{{\"a\":{}}}", nested(100_000)).as_bytes());
    }

    #[test]
    fn numbers_are_whole_or_nothing() {
        let number = |text: &str| {
            Object::parse(format!("{{\"n\":{text}}}").as_bytes())
                .unwrap()
                .get("n")
                .unwrap()
                .as_integer()
        };
        assert_eq!(number("17"), Some(17));
        assert_eq!(number("-17"), Some(-17));
        for other in ["1.0", "1e3", "1e19", "18446744073709551615", "-0", "-0.0"] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
