//! Identifiers. Each is validated when it is parsed, and formats to the text that it was parsed from.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use uuid::{Builder, Uuid};

use crate::random::Random;
use crate::time::Timestamp;

/// The error for a text that is not a valid identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {0}")]
pub struct InvalidId(&'static str);

impl InvalidId {
    pub(crate) const fn of(what: &'static str) -> Self {
        Self(what)
    }
}

/// Returns a UUID version 7 (RFC 9562, section 5.7) with this time and randomness.
fn uuid_v7(at: Timestamp, random: &dyn Random) -> Uuid {
    let mut bytes = [0; 10];
    random.fill(&mut bytes);
    Builder::from_unix_timestamp_millis(u64::try_from(at.millis()).unwrap_or(0), &bytes).into_uuid()
}

/// Parses only the canonical form: 36 characters, lower case, hyphens, version 7, variant of RFC 9562.
fn parse_uuid_v7(text: &str) -> Option<Uuid> {
    // Perf: checks every byte without an early exit, so that many are compared at once.
    let upper = text
        .bytes()
        .fold(false, |any, b| any | b.is_ascii_uppercase());
    let canonical = text.len() == 36 && !upper;
    let uuid = canonical.then(|| Uuid::try_parse(text).ok()).flatten()?;
    let fits = uuid.get_version_num() == 7 && uuid.get_variant() == uuid::Variant::RFC4122;
    fits.then_some(uuid)
}

/// The maximum length of an identifier as text, in bytes.
pub(crate) const MOST_BYTES: usize = 47;

/// The length of a UUID as text, in bytes.
const UUID_BYTES: usize = 36;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Creates an identifier with the time `at`.
            #[must_use]
            pub fn new(at: Timestamp, random: &dyn Random) -> Self {
                Self(uuid_v7(at, random))
            }

            /// Returns the time in the identifier, to the millisecond.
            #[must_use]
            pub fn created_at(self) -> Timestamp {
                let millis = self.0.as_u128() >> 80;
                Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
            }

            /// Formats the identifier into `place`.
            pub(crate) fn written(self, place: &mut [u8; MOST_BYTES]) -> &str {
                let uuid = self.0.hyphenated();
                if $prefix.is_empty() {
                    return uuid.encode_lower(place);
                }
                let (prefix, rest) = place.split_at_mut($prefix.len());
                prefix.copy_from_slice($prefix.as_bytes());
                uuid.encode_lower(rest);
                str::from_utf8(&place[..$prefix.len() + UUID_BYTES]).unwrap_or_default()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.written(&mut [0; MOST_BYTES]))
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let uuid = text.strip_prefix($prefix).and_then(parse_uuid_v7);
                uuid.map(Self).ok_or(InvalidId($what))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.written(&mut [0; MOST_BYTES]))
            }
        }
    };
}

uuid_id!(
    /// A session's fixed identity, a UUIDv7 that carries the session's creation time. Elsewhere known as a token
    /// family.
    Lineage, "", "session lineage (a UUID version 7)"
);
uuid_id!(
    /// The identity of one token, its `jti`.
    TokenId, "", "token ID (a UUID version 7)"
);
uuid_id!(
    /// A user's identity, the `sub` of the user's tokens. It is never reused, unlike a username.
    UserId, "", "user ID (a UUID version 7)"
);
uuid_id!(
    /// A client's identity, its `client_id` and the `sub` of its tokens. The prefix `client-` prevents confusion with a
    /// user (RFC 9068, section 5).
    ClientId, "client-", "client ID (client- and a UUID version 7)"
);

uuid_id!(
    /// The identity of one run of a service. A node gets a new one at each start.
    #[doc(hidden)]
    NodeId, "node-", "node ID (node- and a UUID version 7)"
);

/// A session ID, `<lineage>.<generation>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId {
    /// The session's fixed identity.
    pub lineage: Lineage,
    /// The number of times that the session got a new session ID.
    pub generation: u32,
}

impl SessionId {
    /// Formats the session ID into `place`.
    pub(crate) fn written(self, place: &mut [u8; MOST_BYTES]) -> &str {
        let mut at = place.len();
        let mut left = self.generation;
        loop {
            at -= 1;
            place[at] = b'0' + (left % 10) as u8;
            left /= 10;
            if left == 0 {
                break;
            }
        }
        at -= 1;
        place[at] = b'.';
        let start = at - UUID_BYTES;
        let lineage = self.lineage.0.hyphenated();
        lineage.encode_lower(&mut place[start..at]);
        str::from_utf8(&place[start..]).unwrap_or_default()
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.written(&mut [0; MOST_BYTES]))
    }
}

impl FromStr for SessionId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let refused = InvalidId("session ID (LINEAGE.GENERATION)");
        let (lineage, generation) = text.split_once('.').ok_or(refused)?;
        let number: u32 = generation.parse().map_err(|_| refused)?;
        // `+1` and `01` parse as numbers too, and would give a session a second ID.
        if generation.starts_with('+') || (generation.starts_with('0') && generation != "0") {
            return Err(refused);
        }
        Ok(Self {
            lineage: lineage.parse().map_err(|_| refused)?,
            generation: number,
        })
    }
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.written(&mut [0; MOST_BYTES]))
    }
}

/// A key ID, the `kid` of RFC 7515, section 4.1.4: 1 to 128 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Arc<str>);

impl KeyId {
    /// Returns the ID that stands for a key that is not made, in a plan that is only shown.
    #[cfg(feature = "server")]
    pub(crate) fn placeholder(number: usize) -> Self {
        Self(format!("to-be-made-{number}").into())
    }

    /// Returns the key ID as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for KeyId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let fits = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| Self(text.into())).ok_or(InvalidId("key ID"))
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;

    #[test]
    fn ids_are_written_as_they_always_were() {
        let at = Timestamp::from_millis(1_700_000_000_123);
        let random = SeededRandom::new(1);
        let lineage = Lineage::new(at, &random);
        for generation in [0, 1, 9, 10, 99, 100, 4_294_967_289, u32::MAX] {
            let id = SessionId {
                lineage,
                generation,
            };
            let text = format!("{}.{generation}", lineage.0.hyphenated());
            assert_eq!(id.to_string(), text);
            assert_eq!(text.parse(), Ok(id));
            assert_eq!(serde_json::to_value(id).unwrap(), text);
        }
        let client = ClientId::new(at, &random);
        assert_eq!(
            client.to_string(),
            format!("client-{}", client.0.hyphenated())
        );
        let node = NodeId::new(at, &random);
        assert_eq!(node.to_string(), format!("node-{}", node.0.hyphenated()));
    }

    #[test]
    fn a_lineage_carries_its_time_and_has_one_name() {
        let at = Timestamp::from_millis(1_700_000_000_123);
        let lineage = Lineage::new(at, &SeededRandom::new(1));
        assert_eq!(lineage.created_at(), at);
        let text = lineage.to_string();
        assert_eq!(text.parse(), Ok(lineage));
        assert!(text.to_uppercase().parse::<Lineage>().is_err());
        assert!(text.replace('-', "").parse::<Lineage>().is_err());
        assert!(format!("{{{text}}}").parse::<Lineage>().is_err());
        assert!(
            "00000000-0000-4000-8000-000000000000"
                .parse::<Lineage>()
                .is_err()
        );
    }

    #[test]
    fn a_session_id_has_one_name() {
        let lineage = Lineage::new(Timestamp::from_secs(1_700_000_000), &SeededRandom::new(2));
        assert!(format!("{lineage}.0").parse::<SessionId>().is_ok());
        for bad in [
            "",
            ".",
            "0",
            &format!("{lineage}"),
            &format!("{lineage}."),
            &format!("{lineage}.01"),
            &format!("{lineage}.+1"),
            &format!("{lineage}.-1"),
            &format!("{lineage}.4294967296"),
            &format!("{lineage}.1.1"),
            &format!(" {lineage}.1"),
        ] {
            assert!(bad.parse::<SessionId>().is_err(), "{bad}");
        }
    }
}
