//! Attacks on the algorithm and on the signature itself (RFC 8725, sections 2.1 and 3.1).

use ring::hmac;
use waxseal::key::{Algorithm, Format};
use waxseal::store::key_folder;
use waxseal::time::Clock;
use waxseal::token::Malformed;

use crate::fixture::{Fixture, JWT_ALGORITHMS};
use crate::forger::{Forger, decode, encode, parts, paseto, paseto_parts, quoted};

#[tokio::test]
async fn alg_none_in_any_case() {
    for algorithm in JWT_ALGORITHMS {
        let fixture = Fixture::with(algorithm).await;
        let kept = parts(&fixture.genuine)[2].to_owned();
        for none in ["none", "None", "NONE", "nOnE", "none ", "", "null"] {
            let header = fixture.header.with("alg", &quoted(none)).text();
            let signed = format!("{}.{}", encode(header), encode(fixture.claims.text()));
            for signature in ["", &kept] {
                let name = format!("{none:?}, signature {signature:?}");
                let why = fixture
                    .malformed(&name, &format!("{signed}.{signature}"))
                    .await;
                let expected = if signature.is_empty() {
                    Malformed::Shape
                } else {
                    Malformed::Algorithm
                };
                assert_eq!(why, expected, "{name}");
            }
            fixture
                .refused_for(
                    none,
                    &fixture.with_parameter("alg", &quoted(none)),
                    Malformed::Algorithm,
                )
                .await;
            fixture.refused("two parts", &signed).await;
        }
    }
}

#[tokio::test]
async fn hmac_with_the_public_key_as_its_secret() {
    for algorithm in JWT_ALGORITHMS {
        let fixture = Fixture::with(algorithm).await;
        let spki = fixture.forger.spki();
        let pem = |ending| {
            let config = pem::EncodeConfig::new().set_line_ending(ending);
            pem::encode_config(&pem::Pem::new("PUBLIC KEY", spki.clone()), config)
        };
        let unix = pem(pem::LineEnding::LF);
        let keyring = key_folder::keyring(&fixture.server.settings.keys_dir).unwrap();
        let jwks = keyring.jwks(fixture.server.clock.now(), |_| false);
        let jwk = jwks.find(&fixture.kid()).unwrap();
        let secrets: [(&str, Vec<u8>); 8] = [
            ("raw bytes", fixture.forger.public().to_vec()),
            ("raw bytes as text", encode(fixture.forger.public()).into()),
            ("SPKI", spki.clone()),
            ("PEM", unix.clone().into()),
            ("PEM without its last line end", unix.trim_end().into()),
            (
                "PEM with other line ends",
                pem(pem::LineEnding::CRLF).into(),
            ),
            ("JWK", serde_json::to_vec(jwk).unwrap()),
            ("JWK set", serde_json::to_vec(&jwks).unwrap()),
        ];
        let methods = [
            ("HS256", hmac::HMAC_SHA256),
            ("HS384", hmac::HMAC_SHA384),
            ("HS512", hmac::HMAC_SHA512),
        ];
        for (what, secret) in &secrets {
            for (alg, method) in methods {
                let header = fixture.header.with("alg", &quoted(alg)).text();
                let signed = format!("{}.{}", encode(header), encode(fixture.claims.text()));
                let tag = hmac::sign(&hmac::Key::new(method, secret), signed.as_bytes());
                let token = format!("{signed}.{}", encode(tag));
                fixture
                    .refused_for(&format!("{alg}, {what}"), &token, Malformed::Algorithm)
                    .await;
            }
        }
    }
}

#[tokio::test]
async fn alg_differs_from_that_of_the_key() {
    let others = [
        "EdDSA", "ES256", "Ed25519", "Ed448", "ES384", "ES512", "ES256K", "RS256", "RS384",
        "RS512", "PS256", "PS384", "PS512", "HS256", "dir", "RSA1_5", "eddsa", "EDDSA", "es256",
        "EdDSA ", " ES256", "EdDSA\0",
    ];
    for algorithm in JWT_ALGORITHMS {
        let fixture = Fixture::with(algorithm).await;
        for alg in others.into_iter().filter(|alg| *alg != algorithm.name()) {
            let token = fixture.with_parameter("alg", &quoted(alg));
            fixture.refused_for(alg, &token, Malformed::Algorithm).await;
        }
    }
}

#[tokio::test]
async fn a_key_of_the_other_algorithm_under_our_kid() {
    for (ours, theirs) in [
        (Algorithm::EdDsa, Algorithm::Es256),
        (Algorithm::Es256, Algorithm::EdDsa),
    ] {
        let fixture = Fixture::with(ours).await;
        let stranger = Forger::stranger(theirs);
        let claims = fixture.claims.text();
        let honest = fixture.header.with("alg", &quoted(theirs.name()));
        fixture
            .refused_for(
                "its own alg",
                &stranger.seal(honest.text(), &claims),
                Malformed::Algorithm,
            )
            .await;
        fixture
            .refused_for(
                "our alg",
                &stranger.seal(fixture.header.text(), &claims),
                Malformed::Signature,
            )
            .await;
    }
}

#[tokio::test]
async fn alg_is_missing_or_no_text() {
    let fixture = Fixture::new().await;
    let token = fixture.seal(&fixture.header.without("alg"), &fixture.claims);
    fixture
        .refused_for("missing", &token, Malformed::Header("no alg"))
        .await;
    for raw in ["null", "0", "true", "{}", r#"["EdDSA"]"#] {
        let token = fixture.with_parameter("alg", raw);
        fixture
            .refused_for(
                raw,
                &token,
                Malformed::Header("a parameter that is not text"),
            )
            .await;
    }
}

#[tokio::test]
async fn a_signature_of_zeros_of_ones_or_of_another_length() {
    for algorithm in JWT_ALGORITHMS {
        let fixture = Fixture::with(algorithm).await;
        let [header, payload, signature] = parts(&fixture.genuine);
        let good = decode(signature);
        let one = [vec![0; 31], vec![1]].concat();
        let forged: [(&str, Vec<u8>); 9] = [
            ("zeros", vec![0; 64]),
            ("ones", vec![0xff; 64]),
            ("r and s of 1", [one.clone(), one].concat()),
            ("a byte more", [good.as_slice(), &[0]].concat()),
            ("a byte before", [&[0], good.as_slice()].concat()),
            ("a byte less", good[..63].to_vec()),
            ("half", good[..32].to_vec()),
            ("twice", good.repeat(2)),
            ("halves swapped", [&good[32..], &good[..32]].concat()),
        ];
        for (name, signature) in forged {
            let token = format!("{header}.{payload}.{}", encode(signature));
            fixture
                .refused_for(name, &token, Malformed::Signature)
                .await;
        }
    }
}

/// RFC 7518, section 3.4, requires R and S as raw bytes; most libraries produce DER.
#[tokio::test]
async fn an_es256_signature_in_der() {
    let fixture = Fixture::with(Algorithm::Es256).await;
    let [header, payload, signature] = parts(&fixture.genuine);
    let signature = decode(signature);
    let integer = |bytes: &[u8]| [&[2, 33, 0], bytes].concat();
    let (r, s) = (integer(&signature[..32]), integer(&signature[32..]));
    let der = [vec![0x30, 70], r, s].concat();
    let token = format!("{header}.{payload}.{}", encode(der));
    fixture
        .refused_for("DER", &token, Malformed::Signature)
        .await;
}

/// S and S + L satisfy the same equation; RFC 8032, section 5.1.7, forbids the second.
#[tokio::test]
async fn an_ed25519_signature_with_the_order_added() {
    for fixture in Fixture::of_each_format().await {
        let token = match fixture.format() {
            Format::Jwt => {
                let [header, payload, signature] = parts(&fixture.genuine);
                let twin = with_order_added(&decode(signature));
                format!("{header}.{payload}.{}", encode(twin))
            }
            Format::Paseto => {
                let [message, signature, footer] = paseto_parts(&fixture.genuine);
                paseto(&message, &with_order_added(&signature), &footer)
            }
        };
        fixture
            .refused_for("S + L", &token, Malformed::Signature)
            .await;
    }
}

fn with_order_added(signature: &[u8]) -> Vec<u8> {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut signature = signature.to_vec();
    let mut carry = 0;
    for (byte, order) in signature[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    signature
}

/// S and N - S are both valid in ECDSA, so that anybody can make a second text of a token. It must not outlive the
/// token.
#[tokio::test]
async fn the_es256_twin_of_a_token_after_logout() {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
        0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let fixture = Fixture::with(Algorithm::Es256).await;
    let [header, payload, signature] = parts(&fixture.genuine);
    let mut signature = decode(signature);
    let mut borrow = 0;
    for (byte, order) in signature[32..].iter_mut().zip(ORDER).rev() {
        let difference = i16::from(order) - i16::from(*byte) - borrow;
        borrow = i16::from(difference < 0);
        *byte = difference.to_le_bytes()[0];
    }
    let twin = format!("{header}.{payload}.{}", encode(signature));
    assert_ne!(twin, fixture.genuine);
    fixture.accepted("the twin", &twin).await;
    let logout = fixture
        .server
        .post("/logout", Some(&fixture.genuine), None)
        .await;
    assert_eq!(logout.status, 204);
    for token in [&twin, &fixture.genuine] {
        let refusal = fixture.refused("after logout", token).await;
        assert!(
            matches!(refusal, waxseal::verifier::Refusal::Revoked(_)),
            "{refusal:?}"
        );
    }
}
