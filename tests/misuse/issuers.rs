//! Tokens that are valid for another issuer or audience.

use waxseal::key::Algorithm;
use waxseal::policy::Unacceptable;
use waxseal::token::Malformed;
use waxseal::verifier::Refusal;

use crate::common::TestServer;
use crate::fixture::{Fixture, JWT_ALGORITHMS};
use crate::forger::{Forger, Members, header_and_claims, parts, quoted};

/// A second service with the same issuer and a key of its own.
#[tokio::test]
async fn another_issuers_good_token() {
    for ours in Algorithm::ALL {
        for theirs in Algorithm::ALL {
            let fixture = Fixture::with(ours).await;
            let other = Fixture::with(theirs).await;
            let why = if ours.format() == theirs.format() {
                Refusal::UnknownKey
            } else {
                Malformed::Format.into()
            };
            fixture
                .refused_for("theirs", &other.genuine, why.clone())
                .await;
            other.refused_for("ours", &fixture.genuine, why).await;
        }
    }
}

#[tokio::test]
async fn another_issuers_good_token_under_our_kid() {
    for algorithm in Algorithm::ALL {
        let fixture = Fixture::with(algorithm).await;
        let other = Fixture::with(algorithm).await;
        let header = other.header.with("kid", fixture.header.raw("kid"));
        let token = other.seal(&header, &other.claims);
        fixture
            .refused_for("our kid", &token, Malformed::Signature)
            .await;
    }
}

#[tokio::test]
async fn our_header_and_claims_with_anothers_signature() {
    for algorithm in Algorithm::ALL {
        let fixture = Fixture::with(algorithm).await;
        let token = Forger::stranger(algorithm).resign(&fixture.genuine);
        fixture
            .refused_for("a stranger's", &token, Malformed::Signature)
            .await;
    }
}

/// Two services that share a key folder, each with its own issuer.
#[tokio::test]
async fn our_key_signed_it_for_another_issuer() {
    for fixture in Fixture::of_each_format().await {
        let keys = fixture.server.settings.keys_dir.clone();
        let other = TestServer::with(|settings| {
            settings.keys_dir = keys;
            settings.format = fixture.format();
            settings.accepts = vec![fixture.format()];
            settings.issuer = "https://other.example".to_owned();
            settings.audience = "https://other.example".to_owned();
        })
        .await;
        other.add_user("alice").await;
        let theirs = other.login("alice").await;
        assert_eq!(other.verify(&theirs).await, 200);
        fixture
            .refused_for("theirs", &theirs, Unacceptable::Issuer)
            .await;

        let claims =
            Members::of(&header_and_claims(&theirs)[1]).with("iss", fixture.claims.raw("iss"));
        let token = fixture.seal(&fixture.header, &claims);
        fixture
            .refused_for("ours for them", &token, Unacceptable::Audience)
            .await;
    }
}

#[tokio::test]
async fn parts_of_two_good_tokens_of_one_issuer() {
    for algorithm in JWT_ALGORITHMS {
        let fixture = Fixture::with(algorithm).await;
        fixture.server.add_user("bob").await;
        let bobs = fixture.server.login("bob").await;
        let [header, payload, signature] = parts(&fixture.genuine);
        let [bobs_header, bobs_payload, bobs_signature] = parts(&bobs);
        assert_eq!(header, bobs_header);
        for token in [
            format!("{header}.{payload}.{bobs_signature}"),
            format!("{header}.{bobs_payload}.{signature}"),
        ] {
            fixture
                .refused_for("mixed", &token, Malformed::Signature)
                .await;
        }
    }
}

#[tokio::test]
async fn near_misses_of_iss_and_aud() {
    for fixture in Fixture::of_each_format().await {
        for (claim, why) in [
            ("iss", Unacceptable::Issuer),
            ("aud", Unacceptable::Audience),
        ] {
            let good: String = serde_json::from_str(fixture.claims.raw(claim)).unwrap();
            for near in [
                format!("{good}/"),
                format!("{good}."),
                format!("{good}:443"),
                format!("{good}#"),
                format!("{good}?"),
                format!("{good}.evil.example"),
                format!("{good}\0"),
                format!("{good} "),
                format!(" {good}"),
                format!("{good}\n"),
                format!("{good},https://other.example"),
                format!("{good} https://other.example"),
                format!("x{good}"),
                good.to_uppercase(),
                good.replace("https", "HTTPS"),
                good.replace("issuer", "Issuer"),
                good.replace("https", "http"),
                good.replace("://", ":/"),
                good.replace("e", "\u{435}"),
                good.replace("i", "%69"),
                good[..good.len() - 1].to_owned(),
                good[1..].to_owned(),
                "issuer.example".to_owned(),
                "*".to_owned(),
                String::new(),
            ] {
                let token = fixture.with_claim(claim, &quoted(&near));
                fixture
                    .refused_for(&format!("{claim} {near:?}"), &token, why)
                    .await;
            }
        }
    }
}

#[tokio::test]
async fn iss_or_aud_as_an_array() {
    for fixture in Fixture::of_each_format().await {
        for claim in ["iss", "aud"] {
            let good = fixture.claims.raw(claim);
            for raw in [
                format!("[{good}]"),
                format!(r#"[{good},"https://other.example"]"#),
                format!(r#"["https://other.example",{good}]"#),
                "[]".to_owned(),
                format!(r#"{{"0":{good}}}"#),
            ] {
                let token = fixture.with_claim(claim, &raw);
                fixture
                    .refused_for(&raw, &token, Malformed::Claims(claim))
                    .await;
            }
        }
    }
}
