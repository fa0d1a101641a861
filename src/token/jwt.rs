//! The access token as a JWT, `at+jwt` (RFC 9068).

use std::str::FromStr;

use jsonwebtoken::Header;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Malformed;
use super::jws::UntrustedJws;
use super::strict_json::{Object, Value};
use crate::claims::Claims;
use crate::id::KeyId;
use crate::key::{SigningKey, VerifyingKey};
use crate::time::Timestamp;

/// The type in the header (RFC 9068, section 2.1), compared to the letter.
pub const TYPE: &str = "at+jwt";

/// The last second of the year 9999: no honest NumericDate is later, and none is negative.
const LAST_NUMERIC_DATE: i64 = 253_402_300_799;

/// A token whose signature nobody has checked: it has no claims to read.
#[derive(Debug)]
pub struct UntrustedToken<'a> {
    jws: UntrustedJws<'a>,
    kid: KeyId,
}

impl<'a> UntrustedToken<'a> {
    /// Takes the text apart: size, shape, header, in this order.
    ///
    /// # Errors
    /// [`Malformed`] says what is wrong with it.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        let jws = UntrustedJws::parse(text)?;
        if jws.typ() != Some(TYPE) {
            return Err(Malformed::Header("typ is not at+jwt"));
        }
        let kid = jws.kid().ok_or(Malformed::Header("no kid"))?;
        let kid = kid
            .parse()
            .map_err(|_| Malformed::Header("kid is not a key ID"))?;
        Ok(Self { jws, kid })
    }

    /// The name of the key that it says signed it.
    #[must_use]
    pub const fn kid(&self) -> &KeyId {
        &self.kid
    }

    /// The claims, if `key` signed them. They are authentic, and may be expired, revoked or meant
    /// for somebody else.
    pub(crate) fn verify(self, key: &VerifyingKey) -> Result<Claims, Malformed> {
        let payload = self.jws.verify(key)?;
        let object =
            Object::parse(&payload).map_err(|_| Malformed::Claims("not one strict JSON object"))?;
        from_object(&object)
    }
}

/// A text that could not be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token could not be signed")]
pub struct SigningFailed;

/// Signs `claims`.
///
/// # Errors
/// [`SigningFailed`] if the key does not sign.
pub fn sign(claims: &Claims, key: &SigningKey) -> Result<String, SigningFailed> {
    let mut header = Header::new(key.public().algorithm().jose());
    header.typ = Some(TYPE.to_owned());
    header.kid = Some(key.public().kid().to_string());
    jsonwebtoken::encode(&header, &Payload(claims), key.encoding()).map_err(|_| SigningFailed)
}

fn from_object(claims: &Object<'_>) -> Result<Claims, Malformed> {
    let get = |name| claims.get(name);
    Ok(Claims {
        issuer: text(get("iss"), "iss")?,
        subject: id(get("sub"), "sub")?,
        audience: text(get("aud"), "aud")?,
        client_id: text(get("client_id"), "client_id")?,
        issued_at: numeric_date(get("iat"), "iat")?,
        expires_at: numeric_date(get("exp"), "exp")?,
        token_id: id(get("jti"), "jti")?,
        session_id: id(get("sid"), "sid")?,
        auth_time: numeric_date(get("auth_time"), "auth_time")?,
        renew_at: numeric_date(get("renew_at"), "renew_at")?,
        session_expiry: numeric_date(get("session_expiry"), "session_expiry")?,
        methods: texts(get("amr"), "amr")?,
        scope: text(get("scope"), "scope")?,
    })
}

/// The claims under the names of the RFCs, times as NumericDate.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a>(pub &'a Claims);

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(claims) = self;
        let mut map = serializer.serialize_map(Some(13))?;
        map.serialize_entry("iss", &claims.issuer)?;
        map.serialize_entry("sub", &claims.subject)?;
        map.serialize_entry("aud", &claims.audience)?;
        map.serialize_entry("client_id", &claims.client_id)?;
        map.serialize_entry("iat", &claims.issued_at.secs())?;
        map.serialize_entry("exp", &claims.expires_at.secs())?;
        map.serialize_entry("jti", &claims.token_id)?;
        map.serialize_entry("sid", &claims.session_id)?;
        map.serialize_entry("auth_time", &claims.auth_time.secs())?;
        map.serialize_entry("renew_at", &claims.renew_at.secs())?;
        map.serialize_entry("session_expiry", &claims.session_expiry.secs())?;
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
    value
        .and_then(Value::as_str)
        .and_then(|text| text.parse().ok())
        .ok_or(Malformed::Claims(name))
}

fn numeric_date(value: Option<&Value<'_>>, name: &'static str) -> Result<Timestamp, Malformed> {
    let seconds = value
        .and_then(Value::as_integer)
        .ok_or(Malformed::Claims(name))?;
    if (0..=LAST_NUMERIC_DATE).contains(&seconds) {
        Ok(Timestamp::from_secs(seconds))
    } else {
        Err(Malformed::Claims(name))
    }
}
