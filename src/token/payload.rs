//! The claims as JSON, with the same names in both formats. Only times differ: NumericDate in a JWT (RFC 7519, section
//! 2), RFC 3339 in a PASETO (its Registered Claims).

use std::str::FromStr;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::error::Malformed;
use crate::claims::{AnyClaims, Claims, ClientClaims};
use crate::encoding::strict_json::{self, Value};
use crate::id::ClientId;
use crate::key::Format;
use crate::scope::Scopes;
use crate::time::Timestamp;

/// The last second of the year 9999. A time after it or before 1970 is refused.
const LAST_SECOND: i64 = 253_402_300_799;

/// The claims that are read, in the order in which [`Payload`] writes them: the parser is fastest in this order. Other
/// claims are ignored.
const NAMES: [&str; 14] = [
    // Required: a session's token without one of them is refused, and a client's token has all but a session's own.
    "iss",
    "sub",
    "aud",
    "client_id",
    "iat",
    "exp",
    "auth_time",
    "renew_at",
    "session_expiry",
    "jti",
    "sid",
    "amr",
    "scope",
    // Optional: read with `optional`. A new claim begins here, because the live tokens of older nodes do not have it.
    "nbf",
];

type Members<'a> = [Option<Value<'a>>; NAMES.len()];

/// Parses signed claims. The subject decides between session and client: no user ID has the form of a client ID.
pub(super) fn parse(json: &[u8], format: Format) -> Result<AnyClaims, Malformed> {
    let members = strict_json::members(json, &NAMES);
    let members = members.map_err(|_| Malformed::Claims("not one strict JSON object"))?;
    let [_, subject, ..] = &members;
    let subject = subject.as_ref().and_then(Value::as_str);
    match subject.and_then(|subject| subject.parse().ok()) {
        Some(client) => client_claims(&members, client, format).map(AnyClaims::Client),
        None => session_claims(&members, format).map(AnyClaims::Session),
    }
}

fn session_claims(members: &Members<'_>, format: Format) -> Result<Claims, Malformed> {
    let [
        iss,
        sub,
        aud,
        client_id,
        iat,
        exp,
        auth_time,
        renew_at,
        session_expiry,
        jti,
        sid,
        amr,
        scope,
        nbf,
    ] = members;
    // A mixture of session and client claims is neither.
    if id::<ClientId>(client_id, "client_id").is_ok() {
        return Err(Malformed::Claims("client_id"));
    }
    Ok(Claims {
        issuer: text(iss, "iss")?,
        subject: id(sub, "sub")?,
        audience: text(aud, "aud")?,
        client_id: text(client_id, "client_id")?,
        issued_at: time(iat, "iat", format)?,
        not_before: optional(nbf, |nbf| time(nbf, "nbf", format))?,
        expires_at: time(exp, "exp", format)?,
        token_id: id(jti, "jti")?,
        session_id: id(sid, "sid")?,
        auth_time: time(auth_time, "auth_time", format)?,
        renew_at: time(renew_at, "renew_at", format)?,
        session_expiry: time(session_expiry, "session_expiry", format)?,
        methods: texts(amr, "amr")?,
        scope: text(scope, "scope")?,
    })
}

fn client_claims(
    members: &Members<'_>,
    client: ClientId,
    format: Format,
) -> Result<ClientClaims, Malformed> {
    let [
        iss,
        _,
        aud,
        client_id,
        iat,
        exp,
        auth_time,
        renew_at,
        session_expiry,
        jti,
        sid,
        amr,
        scope,
        nbf,
    ] = members;
    if id::<ClientId>(client_id, "client_id")? != client {
        return Err(Malformed::Claims("client_id"));
    }
    // A mixture of session and client claims is neither.
    for (name, value) in [
        ("sid", sid),
        ("auth_time", auth_time),
        ("renew_at", renew_at),
        ("session_expiry", session_expiry),
        ("amr", amr),
    ] {
        if value.is_some() {
            return Err(Malformed::Claims(name));
        }
    }
    let scopes: Scopes = id(scope, "scope")?;
    Ok(ClientClaims {
        issuer: text(iss, "iss")?,
        client,
        audience: text(aud, "aud")?,
        issued_at: time(iat, "iat", format)?,
        not_before: optional(nbf, |nbf| time(nbf, "nbf", format))?,
        expires_at: time(exp, "exp", format)?,
        token_id: id(jti, "jti")?,
        scopes,
    })
}

/// Serializes claims for a token of one format.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    claims: Either<'a>,
    format: Format,
}

#[derive(Clone, Copy, Debug)]
enum Either<'a> {
    Session(&'a Claims),
    Client(&'a ClientClaims),
}

impl<'a> Payload<'a> {
    /// The `claims` of a session, for a token of `format`.
    #[must_use]
    pub const fn new(claims: &'a Claims, format: Format) -> Self {
        Self {
            claims: Either::Session(claims),
            format,
        }
    }

    /// The `claims` of a client, for a token of `format`.
    #[must_use]
    pub const fn of_client(claims: &'a ClientClaims, format: Format) -> Self {
        Self {
            claims: Either::Client(claims),
            format,
        }
    }

    fn times<M: SerializeMap>(
        &self,
        map: &mut M,
        times: &[(&'static str, Timestamp)],
    ) -> Result<(), M::Error> {
        for (name, time) in times {
            match self.format {
                Format::Jwt => map.serialize_entry(name, &time.secs())?,
                Format::Paseto => map.serialize_entry(name, &time.whole_second())?,
            }
        }
        Ok(())
    }

    fn not_before<M: SerializeMap>(
        &self,
        map: &mut M,
        from: Option<Timestamp>,
    ) -> Result<(), M::Error> {
        match from {
            None => Ok(()),
            Some(from) => self.times(map, &[("nbf", from)]),
        }
    }
}

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.claims {
            Either::Session(claims) => {
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
                self.times(&mut map, &times)?;
                map.serialize_entry("jti", &claims.token_id)?;
                map.serialize_entry("sid", &claims.session_id)?;
                map.serialize_entry("amr", &claims.methods)?;
                map.serialize_entry("scope", &claims.scope)?;
                self.not_before(&mut map, claims.not_before)?;
                map.end()
            }
            Either::Client(claims) => {
                let mut map = serializer.serialize_map(Some(8))?;
                map.serialize_entry("iss", &claims.issuer)?;
                map.serialize_entry("sub", &claims.client)?;
                map.serialize_entry("aud", &claims.audience)?;
                map.serialize_entry("client_id", &claims.client)?;
                let times = [("iat", claims.issued_at), ("exp", claims.expires_at)];
                self.times(&mut map, &times)?;
                map.serialize_entry("jti", &claims.token_id)?;
                map.serialize_entry("scope", &claims.scopes.to_string())?;
                self.not_before(&mut map, claims.not_before)?;
                map.end()
            }
        }
    }
}

fn time(
    value: &Option<Value<'_>>,
    name: &'static str,
    format: Format,
) -> Result<Timestamp, Malformed> {
    let value = value.as_ref();
    match format {
        Format::Jwt => value.and_then(Value::as_integer).and_then(numeric_date),
        Format::Paseto => value
            .and_then(Value::as_str)
            .and_then(Timestamp::parse_second),
    }
    .filter(|time| (0..=LAST_SECOND).contains(&time.secs()))
    .ok_or(Malformed::Claims(name))
}

/// Reads a claim that a token may lack. A claim that is present must be well-formed: `null` is not absent.
fn optional<'v, T>(
    value: &'v Option<Value<'_>>,
    read: impl FnOnce(&'v Option<Value<'_>>) -> Result<T, Malformed>,
) -> Result<Option<T>, Malformed> {
    match value {
        None => Ok(None),
        Some(_) => read(value).map(Some),
    }
}

fn text(value: &Option<Value<'_>>, name: &'static str) -> Result<String, Malformed> {
    let text = value.as_ref().and_then(Value::as_str);
    text.map(str::to_owned).ok_or(Malformed::Claims(name))
}

fn texts(value: &Option<Value<'_>>, name: &'static str) -> Result<Vec<String>, Malformed> {
    let elements = value.as_ref().and_then(Value::as_array);
    let texts = elements.ok_or(Malformed::Claims(name))?.iter();
    let texts = texts.map(|element| element.as_str().map(str::to_owned));
    texts.collect::<Option<_>>().ok_or(Malformed::Claims(name))
}

fn id<T: FromStr>(value: &Option<Value<'_>>, name: &'static str) -> Result<T, Malformed> {
    let text = value.as_ref().and_then(Value::as_str);
    text.and_then(|text| text.parse().ok())
        .ok_or(Malformed::Claims(name))
}

fn numeric_date(seconds: i64) -> Option<Timestamp> {
    (0..=LAST_SECOND)
        .contains(&seconds)
        .then(|| Timestamp::from_secs(seconds))
}
