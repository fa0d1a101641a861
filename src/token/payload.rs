//! The claims as JSON, under the same names in both formats. Only times are written differently: as
//! NumericDate in a JWT (RFC 7519, section 2), as RFC 3339 in a PASETO (its Registered Claims).

use std::str::FromStr;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Malformed;
use super::strict_json::{Object, Value};
use crate::claims::Claims;
use crate::key::Format;
use crate::time::Timestamp;

/// The last second of the year 9999: no honest time is later, and none is before 1970.
const LAST_SECOND: i64 = 253_402_300_799;

/// Reads the claims that somebody signed.
pub(super) fn parse(json: &[u8], format: Format) -> Result<Claims, Malformed> {
    let object =
        Object::parse(json).map_err(|_| Malformed::Claims("not one strict JSON object"))?;
    let get = |name| object.get(name);
    let time = |name| {
        match format {
            Format::Jwt => get(name).and_then(Value::as_integer).and_then(numeric_date),
            Format::Paseto => get(name)
                .and_then(Value::as_str)
                .and_then(Timestamp::parse_second),
        }
        .filter(|time| (0..=LAST_SECOND).contains(&time.secs()))
        .ok_or(Malformed::Claims(name))
    };
    Ok(Claims {
        issuer: text(get("iss"), "iss")?,
        subject: id(get("sub"), "sub")?,
        audience: text(get("aud"), "aud")?,
        client_id: text(get("client_id"), "client_id")?,
        issued_at: time("iat")?,
        expires_at: time("exp")?,
        token_id: id(get("jti"), "jti")?,
        session_id: id(get("sid"), "sid")?,
        auth_time: time("auth_time")?,
        renew_at: time("renew_at")?,
        session_expiry: time("session_expiry")?,
        methods: texts(get("amr"), "amr")?,
        scope: text(get("scope"), "scope")?,
    })
}

/// The claims as they stand in a token of that format.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    claims: &'a Claims,
    format: Format,
}

impl<'a> Payload<'a> {
    /// `claims` as a token of `format` has them.
    #[must_use]
    pub const fn new(claims: &'a Claims, format: Format) -> Self {
        Self { claims, format }
    }
}

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { claims, format } = self;
        let mut map = serializer.serialize_map(Some(13))?;
        map.serialize_entry("iss", &claims.issuer)?;
        map.serialize_entry("sub", &claims.subject)?;
        map.serialize_entry("aud", &claims.audience)?;
        map.serialize_entry("client_id", &claims.client_id)?;
        let times = [
            ("iat", claims.issued_at),
            ("exp", claims.expires_at),
            ("auth_time", claims.auth_time),
            ("renew_at", claims.renew_at),
            ("session_expiry", claims.session_expiry),
        ];
        for (name, time) in times {
            match format {
                Format::Jwt => map.serialize_entry(name, &time.secs())?,
                Format::Paseto => map.serialize_entry(name, &time.whole_second())?,
            }
        }
        map.serialize_entry("jti", &claims.token_id)?;
        map.serialize_entry("sid", &claims.session_id)?;
        map.serialize_entry("amr", &claims.methods)?;
        map.serialize_entry("scope", &claims.scope)?;
        map.end()
    }
}

fn text(value: Option<&Value<'_>>, name: &'static str) -> Result<String, Malformed> {
    value
        .and_then(Value::as_str)
        .map(str::to_owned)
        .ok_or(Malformed::Claims(name))
}

fn texts(value: Option<&Value<'_>>, name: &'static str) -> Result<Vec<String>, Malformed> {
    let elements = value
        .and_then(Value::as_array)
        .ok_or(Malformed::Claims(name))?;
    elements
        .iter()
        .map(|element| text(Some(element), name))
        .collect()
}

fn id<T: FromStr>(value: Option<&Value<'_>>, name: &'static str) -> Result<T, Malformed> {
    let text = value.and_then(Value::as_str);
    text.and_then(|text| text.parse().ok())
        .ok_or(Malformed::Claims(name))
}

fn numeric_date(seconds: i64) -> Option<Timestamp> {
    (0..=LAST_SECOND)
        .contains(&seconds)
        .then(|| Timestamp::from_secs(seconds))
}
