//! What a session token says.

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::id::{SessionId, TokenId, UserId};
use crate::time::Timestamp;
use crate::token::Malformed;
use crate::token::strict_json::{Object, Value};

/// The last second of the year 9999: no honest NumericDate is later, and none is negative.
const LAST_NUMERIC_DATE: i64 = 253_402_300_799;

/// The claims of a session token (RFC 9068, section 2.2, and our own), each of its type. Times are
/// whole seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `iss`: who issued it.
    pub issuer: String,
    /// `sub`: whose session it is.
    pub subject: UserId,
    /// `aud`: the one audience that it is meant for.
    pub audience: String,
    /// `client_id`: the client that it was issued to (RFC 8693, section 4.3).
    pub client_id: String,
    /// `iat`: when this token was signed.
    pub issued_at: Timestamp,
    /// `exp`: the absolute end of this token.
    pub expires_at: Timestamp,
    /// `jti`: this token.
    pub token_id: TokenId,
    /// `sid`: the session.
    pub session_id: SessionId,
    /// `auth_time`: when the user logged in.
    pub auth_time: Timestamp,
    /// `renew_at`: when the session is due for a new session ID.
    pub renew_at: Timestamp,
    /// `session_expiry`: the absolute end of the session. It never moves.
    pub session_expiry: Timestamp,
    /// `amr`: how the user logged in (RFC 8176).
    pub methods: Vec<String>,
    /// `scope`: space-separated (RFC 8693, section 4.2).
    pub scope: String,
}

impl Claims {
    pub(crate) fn from_object(claims: &Object<'_>) -> Result<Self, Malformed> {
        let get = |name| claims.get(name);
        Ok(Self {
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
}

/// The claims' names in the token are those of the RFCs.
impl Serialize for Claims {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(13))?;
        map.serialize_entry("iss", &self.issuer)?;
        map.serialize_entry("sub", &self.subject)?;
        map.serialize_entry("aud", &self.audience)?;
        map.serialize_entry("client_id", &self.client_id)?;
        map.serialize_entry("iat", &self.issued_at.secs())?;
        map.serialize_entry("exp", &self.expires_at.secs())?;
        map.serialize_entry("jti", &self.token_id)?;
        map.serialize_entry("sid", &self.session_id)?;
        map.serialize_entry("auth_time", &self.auth_time.secs())?;
        map.serialize_entry("renew_at", &self.renew_at.secs())?;
        map.serialize_entry("session_expiry", &self.session_expiry.secs())?;
        map.serialize_entry("amr", &self.methods)?;
        map.serialize_entry("scope", &self.scope)?;
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

fn id<T: std::str::FromStr>(value: Option<&Value<'_>>, name: &'static str) -> Result<T, Malformed> {
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
