//! JSON with one reading: UTF-8, one object, unique keys at every depth, no more than eight deep.
//!
//! RFC 8259 leaves double keys to each parser, and two parsers that differ about a token are a hole
//! (RFC 7519, section 4; RFC 8725, section 2.4).

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// How deep arrays and objects may nest.
pub const MAX_DEPTH: usize = 8;

/// Not JSON, or JSON that two readers could read differently.
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
    /// A whole number that fits.
    Integer(i64),
    /// Any other number: with a point, an exponent, or out of range.
    OtherNumber,
    /// Text.
    Text(Cow<'a, str>),
    /// An array.
    Array(Vec<Value<'a>>),
    /// An object.
    Object(Object<'a>),
}

impl<'a> Value<'a> {
    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Text(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// The whole number, if it is one.
    #[must_use]
    pub const fn as_integer(&self) -> Option<i64> {
        if let Self::Integer(number) = self {
            Some(*number)
        } else {
            None
        }
    }

    /// The elements, if it is an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Value<'a>]> {
        if let Self::Array(elements) = self {
            Some(elements)
        } else {
            None
        }
    }

    /// The members, if it is an object.
    #[must_use]
    pub const fn as_object(&self) -> Option<&Object<'a>> {
        if let Self::Object(object) = self {
            Some(object)
        } else {
            None
        }
    }
}

/// A JSON object's members, in their order, each key once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

impl<'a> Object<'a> {
    /// Parses one object and nothing beside it.
    ///
    /// # Errors
    /// [`NotStrictJson`].
    pub fn parse(json: &'a [u8]) -> Result<Self, NotStrictJson> {
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let value = AtDepth(0)
            .deserialize(&mut deserializer)
            .map_err(|_| NotStrictJson)?;
        deserializer.end().map_err(|_| NotStrictJson)?;
        if let Value::Object(object) = value {
            Ok(object)
        } else {
            Err(NotStrictJson)
        }
    }

    /// The member of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// The members' names, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_ref())
    }
}

struct AtDepth(usize);

impl AtDepth {
    fn deeper<E: Error>(&self) -> Result<Self, E> {
        if self.0 < MAX_DEPTH {
            Ok(Self(self.0 + 1))
        } else {
            Err(E::custom("too deep"))
        }
    }
}

impl<'de> DeserializeSeed<'de> for AtDepth {
    type Value = Value<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AtDepth {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(value).map_or(Value::OtherNumber, Value::Integer))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Value::OtherNumber)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = sequence.next_element_seed(self.deeper()?)? {
            elements.push(element);
        }
        Ok(Value::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: Vec<(Cow<'de, str>, Value<'de>)> = Vec::with_capacity(16);
        while let Some(key) = map.next_key_seed(Key)? {
            if members.iter().any(|(known, _)| *known == key) {
                return Err(A::Error::custom("double key"));
            }
            members.push((key, map.next_value_seed(self.deeper()?)?));
        }
        Ok(Value::Object(Object(members)))
    }
}

struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &[u8]) {
        assert_eq!(
            Object::parse(json),
            Err(NotStrictJson),
            "{:?}",
            String::from_utf8_lossy(json)
        );
    }

    #[test]
    fn two_readings_are_none() {
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
