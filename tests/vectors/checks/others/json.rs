//! JSON by serde_json, with the rules of strict JSON applied to its values.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use waxseal::encoding::strict_json::{MAX_DEPTH, Object, Value};

/// The value of a text.
#[derive(Debug, PartialEq)]
pub enum Said {
    Null,
    Bool(bool),
    Integer(i64),
    OtherNumber,
    Text(String),
    Array(Vec<Said>),
    Object(Vec<(String, Said)>),
}

fn of_object(object: &Object<'_>) -> Said {
    let member = |name: &str| (name.to_owned(), of_value(object.get(name).unwrap()));
    Said::Object(object.names().map(member).collect())
}

fn of_value(value: &Value<'_>) -> Said {
    match value {
        Value::Null => Said::Null,
        Value::Bool(value) => Said::Bool(*value),
        Value::Integer(number) => Said::Integer(*number),
        Value::OtherNumber => Said::OtherNumber,
        Value::Text(text) => Said::Text(text.to_string()),
        Value::Array(elements) => Said::Array(elements.iter().map(of_value).collect()),
        Value::Object(object) => of_object(object),
    }
}

/// The value by Waxseal.
pub fn ours(json: &[u8]) -> Option<Said> {
    Object::parse(json).ok().as_ref().map(of_object)
}

/// The value by serde_json.
pub fn theirs(json: &[u8]) -> Option<Said> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let said = AtDepth(0).deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    matches!(said, Said::Object(_)).then_some(said)
}

struct AtDepth(usize);

impl AtDepth {
    fn deeper<E: Error>(&self) -> Result<Self, E> {
        let deeper = (self.0 < MAX_DEPTH).then_some(Self(self.0 + 1));
        deeper.ok_or(E::custom("too deep"))
    }
}

impl<'de> DeserializeSeed<'de> for AtDepth {
    type Value = Said;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Said, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AtDepth {
    type Value = Said;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Said, E> {
        Ok(Said::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Said, E> {
        Ok(Said::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Said, E> {
        Ok(Said::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Said, E> {
        Ok(i64::try_from(value).map_or(Said::OtherNumber, Said::Integer))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Said, E> {
        Ok(Said::OtherNumber)
    }

    fn visit_str<E>(self, text: &str) -> Result<Said, E> {
        Ok(Said::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Said, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = sequence.next_element_seed(self.deeper()?)? {
            elements.push(element);
        }
        Ok(Said::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Said, A::Error> {
        let mut members: Vec<(String, Said)> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if members.iter().any(|(known, _)| *known == key) {
                return Err(A::Error::custom("double key"));
            }
            members.push((key, map.next_value_seed(self.deeper()?)?));
        }
        Ok(Said::Object(members))
    }
}
