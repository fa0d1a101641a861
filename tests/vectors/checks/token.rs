//! Tokens in both formats, against jsonwebtoken and pasetors.

use std::collections::BTreeSet;

use chrono::DateTime;
use serde_json::{Map, Value, json};
use waxseal::claims::{Claims, ClientClaims};
use waxseal::key::{Format, VerifyingKey};
use waxseal::time::Timestamp;
use waxseal::token::{UntrustedToken, types};
use waxseal::verifier::{Refusal, Verified};

use super::fixture::{Fixture, ISSUER, LEEWAY, NOW};
use super::others::{jose, paseto};

pub fn check(data: &[u8]) -> bool {
    let fixture = Fixture::get();
    let Some(text) = fixture.text(data, types::ACCESS_TOKEN) else {
        return false;
    };
    let verdict = fixture.plain.verify_any(&text);
    for _ in 0..2 {
        assert_eq!(
            fixture.remembering.verify_any(&text),
            verdict,
            "with a memo"
        );
    }
    if let Err(why) = UntrustedToken::parse(&text) {
        assert_eq!(verdict, Err(Refusal::Malformed(why)), "by a known header");
    }
    let Ok(verified) = verdict else {
        return false;
    };
    let key = fixture.key(verified.kid().as_str());
    let theirs = Theirs::read(&text, key).unwrap_or_else(|| panic!("refused: {text}"));
    match &verified {
        Verified::Session(session) => theirs.are_sessions(session.claims()),
        Verified::Client(client) => theirs.are_clients(client.claims()),
    }
    theirs.are_in_force();
    true
}

/// The claims as another implementation reads them.
struct Theirs {
    claims: Map<String, Value>,
    format: Format,
}

impl Theirs {
    fn read(text: &str, key: &VerifyingKey) -> Option<Self> {
        let format = key.algorithm().format();
        let claims = match format {
            Format::Jwt => {
                let expected = jose::Expected {
                    issuer: ISSUER,
                    audience: ISSUER,
                    required: &["aud", "exp", "iss", "sub"],
                };
                let token = jose::verified(text, key, &expected)?;
                assert_eq!(token.header.typ.as_deref(), Some(types::ACCESS_TOKEN));
                assert_eq!(token.header.kid.as_deref(), Some(key.kid().as_str()));
                token.claims
            }
            Format::Paseto => {
                let (message, footer) = paseto::verified(text, key, b"")?;
                let footer: Map<String, Value> = serde_json::from_slice(&footer).ok()?;
                assert_eq!(
                    footer.get("kid").and_then(Value::as_str),
                    Some(key.kid().as_str())
                );
                assert_eq!(footer.len(), 1);
                serde_json::from_slice(&message).ok()?
            }
        };
        Some(Self { claims, format })
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str()
    }

    fn time(&self, name: &str) -> Option<Timestamp> {
        let value = self.claims.get(name)?;
        let second = match self.format {
            Format::Jwt => value.as_i64()?,
            Format::Paseto => {
                let time = DateTime::parse_from_rfc3339(value.as_str()?).ok()?;
                assert_eq!(time.timestamp_subsec_nanos(), 0, "{name}: {time}");
                time.timestamp()
            }
        };
        Some(Timestamp::from_secs(second))
    }

    fn are_sessions(&self, claims: &Claims) {
        let Claims {
            issuer,
            subject,
            audience,
            client_id,
            issued_at,
            not_before,
            expires_at,
            token_id,
            session_id,
            auth_time,
            renew_at,
            session_expiry,
            methods,
            scope,
            ..
        } = claims;
        for (name, ours) in [
            ("iss", issuer),
            ("sub", &subject.to_string()),
            ("aud", audience),
            ("client_id", client_id),
            ("jti", &token_id.to_string()),
            ("sid", &session_id.to_string()),
            ("scope", scope),
        ] {
            assert_eq!(self.text(name), Some(ours.as_str()), "{name}");
        }
        for (name, ours) in [
            ("iat", issued_at),
            ("exp", expires_at),
            ("auth_time", auth_time),
            ("renew_at", renew_at),
            ("session_expiry", session_expiry),
        ] {
            assert_eq!(self.time(name), Some(*ours), "{name}");
        }
        self.begins(*not_before);
        let amr: Vec<_> = methods.iter().map(|method| json!(method)).collect();
        assert_eq!(self.claims.get("amr"), Some(&Value::Array(amr)));
    }

    fn are_clients(&self, claims: &ClientClaims) {
        let ClientClaims {
            issuer,
            client,
            audience,
            issued_at,
            not_before,
            expires_at,
            token_id,
            scopes,
            ..
        } = claims;
        let client = client.to_string();
        for (name, ours) in [
            ("iss", issuer),
            ("sub", &client),
            ("client_id", &client),
            ("aud", audience),
            ("jti", &token_id.to_string()),
        ] {
            assert_eq!(self.text(name), Some(ours.as_str()), "{name}");
        }
        assert_eq!(self.time("iat"), Some(*issued_at));
        assert_eq!(self.time("exp"), Some(*expires_at));
        self.begins(*not_before);
        let words =
            |text: &str| -> BTreeSet<String> { text.split(' ').map(str::to_owned).collect() };
        let theirs = self.text("scope").map(words);
        assert_eq!(theirs, Some(words(&scopes.to_string())), "scope");
        // A session's claim in a client's token would make it both.
        for name in ["sid", "auth_time", "renew_at", "session_expiry", "amr"] {
            assert_eq!(self.claims.get(name), None, "{name}");
        }
    }

    fn begins(&self, not_before: Option<Timestamp>) {
        assert_eq!(self.time("nbf"), not_before, "nbf");
        assert_eq!(self.claims.contains_key("nbf"), not_before.is_some());
    }

    /// jsonwebtoken compares times with the system's clock alone, and pasetors is not asked about claims.
    fn are_in_force(&self) {
        assert_eq!(self.text("iss"), Some(ISSUER));
        assert_eq!(self.text("aud"), Some(ISSUER));
        assert!(self.time("exp").is_some_and(|end| NOW < end.plus(LEEWAY)));
        let latest = NOW.plus(LEEWAY);
        assert!(self.time("iat").is_some_and(|from| from <= latest));
        assert!(self.time("nbf").is_none_or(|from| from <= latest));
    }
}
