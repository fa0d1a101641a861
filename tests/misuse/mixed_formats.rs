//! Two formats side by side: a token signed by one format's key must not pass for the other's.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pem::Pem;
use waxseal::key::{Algorithm, Format, SigningKey, generate_pem};
use waxseal::keyring::{Keyring, KeyringError};
use waxseal::random::OsRandom;
use waxseal::schedule::Times;
use waxseal::token::Malformed;
use waxseal::token::jws::UntrustedJws;
use waxseal::token::paseto::UntrustedMessage;
use waxseal::verifier::Refusal;

use crate::common::{START, TestServer, signing_pem};
use crate::forger::{Forger, Members, encode, header_and_claims, pae, paseto, quoted};

const BOTH: [Format; 2] = [Format::Jwt, Format::Paseto];

/// A service that issued JWTs before PASETOs, a token of each, and both keys.
struct Mixed {
    server: TestServer,
    tokens: [String; 2],
    forgers: [Forger; 2],
    headers: [Members; 2],
    claims: [Members; 2],
}

impl Mixed {
    async fn new(accepts: &[Format]) -> Self {
        // Accepting a format publishes its keys, so that it can be issued later.
        let server = TestServer::with(|settings| settings.accepts = BOTH.to_vec()).await;
        server.add_user("alice").await;
        let jwt = server.login("alice").await;
        let server = server
            .restart(|settings| settings.format = Format::Paseto)
            .await;
        let tokens = [jwt, server.login("alice").await];
        let server = server.restart(|settings| {
            settings.format = accepts[0];
            settings.accepts = accepts.to_vec();
        });
        let server = server.await;
        let keys = &server.settings.keys_dir;
        let forgers =
            BOTH.map(|format| Forger::from_pem(signing_pem(keys, format).as_bytes(), format));
        let members = |part: usize| {
            tokens
                .each_ref()
                .map(|token| Members::of(&header_and_claims(token)[part]))
        };
        let (headers, claims) = (members(0), members(1));
        Self {
            server,
            tokens,
            forgers,
            headers,
            claims,
        }
    }

    async fn refused(&self, name: &str, token: &str) -> Refusal {
        let refusal = self.server.waxseal.verifier().verify(token);
        let refusal = refusal.expect_err(name);
        assert_eq!(self.server.verify(token).await, 401, "{name}");
        refusal
    }

    async fn refused_for(&self, name: &str, token: &str, why: impl Into<Refusal>) {
        assert_eq!(self.refused(name, token).await, why.into(), "{name}");
    }
}

#[tokio::test]
async fn only_the_formats_that_are_accepted() {
    for (accepts, good) in [
        (&BOTH[..], [true, true]),
        (&[Format::Paseto, Format::Jwt], [true, true]),
        (&[Format::Jwt], [true, false]),
        (&[Format::Paseto], [false, true]),
    ] {
        let mixed = Mixed::new(accepts).await;
        for (token, good) in mixed.tokens.iter().zip(good) {
            if good {
                assert_eq!(mixed.server.verify(token).await, 200, "{accepts:?} {token}");
            } else {
                mixed
                    .refused_for(&format!("{accepts:?}"), token, Malformed::Format)
                    .await;
            }
        }
    }
}

/// Both keys are in use, so only the purpose of each key prevents the attack.
#[tokio::test]
async fn kid_of_the_other_format() {
    let mixed = Mixed::new(&BOTH).await;
    for (this, other) in [(0, 1), (1, 0)] {
        let header = mixed.headers[this].with("kid", mixed.headers[other].raw("kid"));
        let claims = mixed.claims[this].text();
        for forger in &mixed.forgers {
            let token = in_format(forger, BOTH[this], &header.text(), &claims);
            mixed
                .refused_for("the other's kid", &token, Malformed::Algorithm)
                .await;
        }
        let token = in_format(
            &mixed.forgers[other],
            BOTH[this],
            &mixed.headers[this].text(),
            &claims,
        );
        mixed
            .refused_for("the other's key", &token, Malformed::Signature)
            .await;
    }
    // The key's ID in the other format's notation is unknown.
    let public = mixed.forgers[0].public().try_into().unwrap();
    let kid = waxseal::encoding::paserk::public_id(public);
    let header = mixed.headers[0].with("kid", &quoted(&kid));
    let token = mixed.forgers[0].seal(header.text(), mixed.claims[0].text());
    mixed
        .refused_for("k4.pid of the JWT's key", &token, Refusal::UnknownKey)
        .await;
}

fn in_format(forger: &Forger, format: Format, header: &str, claims: &str) -> String {
    match format {
        Format::Jwt => forger.seal_parts(&encode(header), &encode(claims)),
        Format::Paseto => forger.seal_message(claims.as_bytes(), header.as_bytes(), b""),
    }
}

/// The claims of one format in the other: their dates differ.
#[tokio::test]
async fn claims_of_the_other_format() {
    let mixed = Mixed::new(&BOTH).await;
    for (this, other) in [(0, 1), (1, 0)] {
        let token =
            mixed.forgers[this].seal(mixed.headers[this].text(), mixed.claims[other].text());
        let why = mixed.refused("the other's claims", &token).await;
        assert!(
            matches!(why, Refusal::Malformed(Malformed::Claims(_))),
            "{why:?}"
        );
    }
}

#[test]
fn one_key_for_two_formats_is_refused() {
    let pem = generate_pem(Algorithm::EdDsa, &OsRandom::new());
    let keys = BOTH.map(|format| SigningKey::from_pem(pem.as_bytes(), format).unwrap());
    let kids = keys.each_ref().map(|key| key.public().kid().clone());
    assert_ne!(kids[0], kids[1]);
    let [one, other] = kids;
    let why = KeyringError::TwoFormats(one.clone(), other.clone());
    let public = keys.each_ref().map(|key| key.public().clone());
    assert_eq!(
        Keyring::from_verifying_keys(public).unwrap_err(),
        why,
        "to verify"
    );
    let timed = keys.map(|key| (key, Times::first(START))).into();
    assert_eq!(Keyring::new(timed).unwrap_err(), why, "to sign");
    for word in [one.as_str(), other.as_str(), "remove one of them"] {
        assert!(why.to_string().contains(word), "{why}");
    }
}

/// Even if one key were loaded for both formats, a signature for one would not be valid for the other.
#[test]
fn a_signature_for_one_format_is_invalid_for_the_other() {
    let pem = generate_pem(Algorithm::EdDsa, &OsRandom::new());
    let [jwt, v4] = BOTH.map(|format| SigningKey::from_pem(pem.as_bytes(), format).unwrap());
    let forger = Forger::from_pem(pem.as_bytes(), Format::Paseto);
    let header = r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k"}"#;
    let claims = "{}";
    let signed = format!("{}.{}", encode(header), encode(claims));
    let encoded = pae(&[b"v4.public.", claims.as_bytes(), header.as_bytes(), b""]);
    let for_jwt = forger.sign(signed.as_bytes());
    let for_v4 = forger.sign(&encoded);

    let jws = |signature: &[u8]| format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
    let verify = |text: &str| UntrustedJws::parse(text).unwrap().verify(jwt.public());
    assert!(verify(&jws(&for_jwt)).is_ok());
    assert_eq!(verify(&jws(&for_v4)), Err(Malformed::Signature));

    let message = |signature: &[u8]| paseto(claims.as_bytes(), signature, header.as_bytes());
    let verify = |text: &str| {
        let message = UntrustedMessage::parse(text).unwrap();
        message.verify(v4.public(), b"")
    };
    assert!(verify(&message(&for_v4)).is_ok());
    assert_eq!(verify(&message(&for_jwt)), Err(Malformed::Signature));
}

/// A P-256 key cannot be used for PASETO, whatever its file claims.
#[test]
fn a_p256_key_for_paseto() {
    let pem = generate_pem(Algorithm::Es256, &OsRandom::new());
    let der = pem::parse(pem.as_bytes()).unwrap().into_contents();
    let again = pem::encode(&Pem::new("PRIVATE KEY", der));
    let refused = SigningKey::from_pem(again.as_bytes(), Format::Paseto).unwrap_err();
    assert_eq!(refused, waxseal::key::KeyError::NotForPaseto);
}
