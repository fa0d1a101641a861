//! Attacks on the token's text that leave the JSON in it unchanged.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use waxseal::key::{Algorithm, Format};
use waxseal::token::Malformed;

use crate::common::campaign;
use crate::fixture::Fixture;
use crate::forger::{PASETO, base64_parts, decode, encode, parts};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Applies `change` to one part of the token at a time, and signs again where a signature covers the part's text. A
/// PASETO's signature covers the decoded content instead.
fn each_part(
    fixture: &Fixture,
    token: &str,
    change: impl Fn(&str) -> String,
) -> Vec<(&'static str, String)> {
    if let (PASETO, parts) = base64_parts(token) {
        let [body, footer] = parts.try_into().unwrap();
        return vec![
            ("body", format!("{PASETO}{}.{footer}", change(body))),
            ("footer", format!("{PASETO}{body}.{}", change(footer))),
        ];
    }
    let [header, payload, signature] = parts(token);
    let seal = |header: &str, payload: &str| fixture.forger.seal_parts(header, payload);
    vec![
        ("header", seal(&change(header), payload)),
        ("payload", seal(header, &change(payload))),
        (
            "signature",
            format!("{header}.{payload}.{}", change(signature)),
        ),
    ]
}

/// Returns whether the fault is one of form. A malformed signature need not be told apart from a wrong one.
fn is_of_form(why: Malformed) -> bool {
    matches!(why, Malformed::Shape | Malformed::Signature)
}

/// The distance between two flipped bits: by night every bit is flipped, by day at least one in each byte.
fn stride() -> usize {
    campaign(7, 1)
}

#[tokio::test]
async fn every_flipped_bit() {
    for algorithm in Algorithm::ALL {
        let fixture = Fixture::with(algorithm).await;
        let token = fixture.genuine.as_bytes();
        for bit in (0..token.len() * 8).step_by(stride()) {
            let mut flipped = token.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let name = format!("bit {bit}");
            match std::str::from_utf8(&flipped) {
                Ok(text) => {
                    fixture.refused(&name, text).await;
                }
                Err(_) => fixture.refused_over_http(&name, &flipped).await,
            }
        }
    }
}

/// Flips bits of the decoded parts, so that the text stays canonical.
#[tokio::test]
async fn every_flipped_bit_below_the_base64() {
    for algorithm in Algorithm::ALL {
        let fixture = Fixture::with(algorithm).await;
        let (start, good) = base64_parts(&fixture.genuine);
        for part in 0..good.len() {
            let bytes = decode(good[part]);
            for bit in (0..bytes.len() * 8).step_by(stride()) {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let flipped = encode(flipped);
                let mut all = good.clone();
                all[part] = &flipped;
                let token = format!("{start}{}", all.join("."));
                fixture
                    .refused(&format!("part {part}, bit {bit}"), &token)
                    .await;
            }
        }
    }
}

#[tokio::test]
async fn every_truncation() {
    for fixture in Fixture::of_each_format().await {
        let token = &fixture.genuine;
        for length in 0..token.len() {
            fixture
                .refused(&format!("the first {length}"), &token[..length])
                .await;
            fixture
                .refused(
                    &format!("the last {length}"),
                    &token[token.len() - length..],
                )
                .await;
        }
    }
}

#[tokio::test]
async fn every_missing_and_every_doubled_character() {
    for fixture in Fixture::of_each_format().await {
        let token = &fixture.genuine;
        for at in 0..token.len() {
            let (before, after) = token.split_at(at);
            fixture
                .refused(
                    &format!("without {at}"),
                    &format!("{before}{}", &after[1..]),
                )
                .await;
            let doubled = format!("{before}{}{after}", &after[..1]);
            fixture.refused(&format!("twice {at}"), &doubled).await;
        }
    }
}

#[tokio::test]
async fn base64_padding() {
    for fixture in Fixture::of_each_format().await {
        for spaces in 0..3 {
            // Three lengths, so that each part needs no padding, one character and two characters of it.
            let token = fixture.forger.seal(
                fixture.header.text() + &" ".repeat(spaces),
                fixture.claims.text() + &" ".repeat(spaces),
            );
            fixture.accepted("without padding", &token).await;
            for padding in ["=", "==", "===", "====", "%3D", "."] {
                let padded = |part: &str| format!("{part}{padding}");
                for (part, token) in each_part(&fixture, &token, padded) {
                    let why = fixture.malformed(&format!("{part}{padding}"), &token).await;
                    assert!(is_of_form(why), "{part} {why:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn base64_with_plus_and_slash() {
    for fixture in Fixture::of_each_format().await {
        let mut seen = 0;
        for pad in 0..3 {
            // `>` and `?` at the end of three bytes encode to `-` and `_`.
            let claims = fixture
                .claims
                .with("pad", &format!("\"{}>>>???\"", "x".repeat(pad)));
            let token = fixture.seal(&fixture.header, &claims);
            fixture.accepted("with - and _", &token).await;
            let standard = |part: &str| STANDARD_NO_PAD.encode(decode(part));
            for (part, standard) in each_part(&fixture, &token, standard) {
                if standard != token {
                    seen += 1;
                    let why = fixture.malformed(part, &standard).await;
                    assert!(is_of_form(why), "{part} {why:?}");
                }
            }
        }
        assert!(seen >= 3, "no token had a - or a _");
        for foreign in ["+", "/", "~", "*", "!", "%2B", "\u{e9}", "\0"] {
            let changed = |part: &str| format!("{foreign}{}", &part[1..]);
            for (part, token) in each_part(&fixture, &fixture.genuine, changed) {
                let why = fixture
                    .malformed(&format!("{part} {foreign:?}"), &token)
                    .await;
                assert!(is_of_form(why), "{part} {why:?}");
            }
        }
    }
}

/// Returns `part` with each other value of the unused bits of its last character.
fn other_endings(part: &str) -> Vec<String> {
    let settings = [1, 1, 16, 4][part.len() % 4];
    let (rest, last) = part.split_at(part.len() - 1);
    let value = ALPHABET.iter().position(|c| *c == last.as_bytes()[0]);
    (1..settings)
        .map(|bits| format!("{rest}{}", char::from(ALPHABET[value.unwrap() | bits])))
        .collect()
}

#[tokio::test]
async fn base64_with_another_last_character() {
    for algorithm in Algorithm::ALL {
        let fixture = Fixture::with(algorithm).await;
        let mut seen = vec![0; base64_parts(&fixture.genuine).1.len()];
        for spaces in 0..3 {
            let token = fixture.forger.seal(
                fixture.header.text() + &" ".repeat(spaces),
                fixture.claims.text() + &" ".repeat(spaces),
            );
            for (part, seen) in seen.iter_mut().enumerate() {
                for other in other_endings(base64_parts(&token).1[part]) {
                    *seen += 1;
                    let (name, token) =
                        each_part(&fixture, &token, |_| other.clone())[part].clone();
                    let why = fixture.malformed(name, &token).await;
                    assert!(is_of_form(why), "{name} {why:?}");
                }
            }
        }
        let expected: &[_] = match algorithm.format() {
            Format::Jwt => &[18, 18, 45],
            Format::Paseto => &[18, 18],
        };
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn white_space_anywhere() {
    for fixture in Fixture::of_each_format().await {
        for space in [
            " ", "\t", "\n", "\r\n", "\r", "\u{b}", "\u{c}", "\u{a0}", "\u{200b}", "\u{feff}",
            "\0", "%20",
        ] {
            let changes: [&dyn Fn(&str) -> String; 3] = [
                &|part| format!("{space}{part}"),
                &|part| format!("{}{space}{}", &part[..8], &part[8..]),
                &|part| format!("{part}{space}"),
            ];
            for change in changes {
                for (part, token) in each_part(&fixture, &fixture.genuine, change) {
                    let why = fixture
                        .malformed(&format!("{part} {space:?}"), &token)
                        .await;
                    assert!(is_of_form(why), "{part} {why:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn too_few_and_too_many_parts() {
    let fixture = Fixture::new().await;
    let token = &fixture.genuine;
    let [header, payload, signature] = parts(token);
    for text in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        header.to_owned(),
        format!("{header}."),
        format!("{header}.{payload}"),
        format!(".{payload}.{signature}"),
        format!("{header}.{payload}."),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.."),
        format!("{token}.{signature}"),
        format!("{token}.{token}"),
        format!("{token}{token}"),
        format!("{header}..{payload}.{signature}"),
        format!("{header}.{payload}..{signature}"),
        format!("{header}.{header}.{payload}.{signature}"),
        format!("{header}.{payload}.{payload}.{signature}.{signature}"),
        token.replace('.', "%2E"),
        token.replace('.', "\u{3002}"),
        token.replacen('.', ":", 1),
        format!("~{token}"),
        format!("{token}~"),
        format!("\"{token}\""),
        format!("v4.public.{token}"),
    ] {
        fixture.refused_for(&text, &text, Malformed::Shape).await;
    }
}

/// Each is signed as sent, so that only the empty part is wrong.
#[tokio::test]
async fn empty_parts() {
    let fixture = Fixture::new().await;
    let [header, payload, _] = parts(&fixture.genuine);
    let seal = |header: &str, payload: &str| fixture.forger.seal_parts(header, payload);
    fixture
        .refused_for("no header", &seal("", payload), Malformed::Shape)
        .await;
    let why = fixture.malformed("no payload", &seal(header, "")).await;
    assert!(matches!(why, Malformed::Claims(_)), "{why:?}");
    let more = fixture
        .forger
        .seal_parts(&format!("{header}.{payload}"), payload);
    fixture
        .refused_for("four signed parts", &more, Malformed::Shape)
        .await;
    let detached = seal(header, payload).replace(payload, "");
    fixture
        .refused_for("detached", &detached, Malformed::Signature)
        .await;
}

/// RFC 7515, section 7.2.
#[tokio::test]
async fn json_serialisation() {
    let fixture = Fixture::new().await;
    let [header, payload, signature] = parts(&fixture.genuine);
    for text in [
        format!(r#"{{"payload":"{payload}","protected":"{header}","signature":"{signature}"}}"#),
        format!(
            r#"{{"payload":"{payload}","signatures":[{{"protected":"{header}","signature":"{signature}"}}]}}"#
        ),
        // Without a comma, so that HTTP reads it as one word.
        format!(r#"{{"token":"{}"}}"#, fixture.genuine),
        format!(r#"["{}"]"#, fixture.genuine),
    ] {
        fixture.refused_for(&text, &text, Malformed::Shape).await;
    }
}
