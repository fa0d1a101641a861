//! Attacks specific to PASETO: on its header, its footer and its body.

use waxseal::key::{Algorithm, Format};
use waxseal::store::key_folder;
use waxseal::token::Malformed;
use waxseal::verifier::Refusal;

use crate::common::START;
use crate::fixture::{Fixture, MAX_FOOTER};
use crate::forger::{Forger, PASETO, base64_parts, encode, pae, paseto, paseto_parts, quoted};

const NOT_JSON: Malformed = Malformed::Header("not one strict JSON object");

async fn fixture() -> Fixture {
    Fixture::with(Algorithm::V4Public).await
}

/// Returns the body and the footer in base64.
fn body_and_footer(fixture: &Fixture) -> [&str; 2] {
    base64_parts(&fixture.genuine).1.try_into().unwrap()
}

#[tokio::test]
async fn too_few_and_too_many_parts() {
    let fixture = fixture().await;
    let token = &fixture.genuine;
    let [body, footer] = body_and_footer(&fixture);
    for text in [
        format!("{token}."),
        format!("{token}.."),
        format!("{token}...."),
        format!("{token}.{footer}"),
        format!("{token}.{token}"),
        format!("{token}{token}"),
        format!("{PASETO}{token}"),
        format!("{PASETO}{body}."),
        format!("{PASETO}{body}.."),
        format!("{PASETO}{body}..{footer}"),
        format!("{PASETO}.{body}.{footer}"),
        format!("{PASETO}.{footer}"),
        format!("{PASETO}{body}.{body}.{footer}"),
        PASETO.to_owned(),
        format!("{PASETO}."),
        format!("{PASETO}.."),
        format!("{body}.{footer}"),
        format!("{footer}.{body}"),
        token.replace('.', "%2E"),
        token.replace('.', "\u{3002}"),
        format!("~{token}"),
        format!("{token}~"),
        format!("\"{token}\""),
        format!(r#"{{"token":"{token}"}}"#),
        format!(r#"["{token}"]"#),
    ] {
        fixture.refused_for(&text, &text, Malformed::Shape).await;
    }
}

/// Signed with an empty footer, written with and without the dot.
#[tokio::test]
async fn an_empty_footer_and_none() {
    let fixture = fixture().await;
    let dotted = fixture.forger.seal(b"", fixture.claims.text());
    assert!(dotted.ends_with('.'));
    fixture
        .refused_for("empty", &dotted, Malformed::Shape)
        .await;
    let none = dotted.trim_end_matches('.');
    fixture.refused_for("none", none, NOT_JSON).await;
    let [body, _] = body_and_footer(&fixture);
    let cut_off = format!("{PASETO}{body}");
    fixture.refused_for("cut off", &cut_off, NOT_JSON).await;
}

#[tokio::test]
async fn foreign_footers() {
    let fixture = fixture().await;
    let kid = fixture.kid();
    for footer in [
        kid.clone(),
        quoted(&kid),
        format!("[{}]", quoted(&kid)),
        "[]".to_owned(),
        "null".to_owned(),
        "arbitrary-string-that-isn't-json".to_owned(),
        format!("kid={kid}"),
        format!("{{kid:{}}}", quoted(&kid)),
        "\0".to_owned(),
    ] {
        let token = fixture.forger.seal(&footer, fixture.claims.text());
        fixture.refused_for(&footer, &token, NOT_JSON).await;
    }
    let extra = Malformed::Header("a member other than kid");
    for footer in [
        fixture.header.with("wpk", "1"),
        fixture.header.with("alg", r#""EdDSA""#),
        fixture.header.with("", "1"),
        fixture.header.without("kid").with("KID", &quoted(&kid)),
    ] {
        let token = fixture.seal(&footer, &fixture.claims);
        fixture.refused_for(&footer.text(), &token, extra).await;
    }
    // A claim in the footer does not count.
    let footer = fixture.header.with("exp", &fixture.date(START.secs() + 60));
    let token = fixture.seal(&footer, &fixture.claims.without("exp"));
    fixture.refused_for("exp", &token, extra).await;
}

#[tokio::test]
async fn very_long_footers() {
    let fixture = fixture().await;
    let good = fixture.header.text();
    let footer = |length: usize| format!("{good}{}", " ".repeat(length - good.len()));
    let longest = MAX_FOOTER * 3 / 4;
    let token = fixture.forger.seal(footer(longest), fixture.claims.text());
    fixture.accepted("the longest", &token).await;
    for (length, why) in [
        (longest + 1, Malformed::Header("too long")),
        (5000, Malformed::Header("too long")),
        (10_000, Malformed::TooLong),
        (1_000_000, Malformed::TooLong),
    ] {
        let token = fixture.forger.seal(footer(length), fixture.claims.text());
        fixture.refused_for(&length.to_string(), &token, why).await;
    }
}

/// Other footers next to an unchanged body.
#[tokio::test]
async fn a_footer_of_another_token() {
    let fixture = fixture().await;
    let files = key_folder::load(&fixture.server.settings.keys_dir).unwrap();
    let next = files.iter().find(|file| file.times.signs_from.is_none());
    let next = next.unwrap();
    let successor = fixture
        .header
        .with("kid", &quoted(next.key.public().kid().as_str()));
    let pem = std::fs::read(&next.path).unwrap();
    let forger = Forger::from_pem(&pem, Format::Paseto);
    let theirs = forger.seal(successor.text(), fixture.claims.text());
    fixture.accepted("the successor's", &theirs).await;

    let (_, ours) = base64_parts(&fixture.genuine);
    let (_, other) = base64_parts(&theirs);
    for (name, body, footer) in [
        ("our body", ours[0], other[1]),
        ("our footer", other[0], ours[1]),
    ] {
        let token = format!("{PASETO}{body}.{footer}");
        fixture
            .refused_for(name, &token, Malformed::Signature)
            .await;
    }
    // To a JSON parser it is the same footer.
    let spaced = encode(format!(" {}", fixture.header.text()));
    let token = format!("{PASETO}{}.{spaced}", ours[0]);
    fixture
        .refused_for("a space", &token, Malformed::Signature)
        .await;

    let elsewhere = Fixture::with(Algorithm::V4Public).await;
    let footer = base64_parts(&elsewhere.genuine).1[1];
    let token = format!("{PASETO}{}.{footer}", ours[0]);
    fixture
        .refused_for("another server's", &token, Refusal::UnknownKey)
        .await;
}

#[tokio::test]
async fn the_message_of_one_token_with_the_signature_of_another() {
    let fixture = fixture().await;
    fixture.server.add_user("bob").await;
    let bobs = fixture.server.login("bob").await;
    let [message, signature, footer] = paseto_parts(&fixture.genuine);
    let [bobs_message, bobs_signature, bobs_footer] = paseto_parts(&bobs);
    assert_eq!(footer, bobs_footer);
    for token in [
        paseto(&message, &bobs_signature, &footer),
        paseto(&bobs_message, &signature, &footer),
    ] {
        fixture
            .refused_for("mixed", &token, Malformed::Signature)
            .await;
    }
}

#[tokio::test]
async fn an_empty_message() {
    let fixture = fixture().await;
    let token = fixture.forger.seal(fixture.header.text(), b"");
    let why = Malformed::Claims("not one strict JSON object");
    fixture.refused_for("empty", &token, why).await;
    let signature = fixture.forger.sign(b"");
    let token = paseto(b"", &signature, fixture.header.text().as_bytes());
    fixture
        .refused_for("nothing signed", &token, Malformed::Signature)
        .await;
}

#[tokio::test]
async fn a_body_shorter_than_a_signature() {
    let fixture = fixture().await;
    let [message, signature, footer] = paseto_parts(&fixture.genuine);
    for length in 0..64 {
        for bytes in [&signature[..length], &message[..length]] {
            let token = paseto(b"", bytes, &footer);
            fixture
                .refused_for(&length.to_string(), &token, Malformed::Shape)
                .await;
        }
    }
}

#[tokio::test]
async fn another_signature() {
    let fixture = fixture().await;
    let [message, good, footer] = paseto_parts(&fixture.genuine);
    let body = [&message[..], &good].concat();
    let halves = [&good[32..], &good[..32]].concat();
    for (name, message, signature) in [
        ("zeros", message.clone(), vec![0; 64]),
        ("ones", message.clone(), vec![0xff; 64]),
        ("halves swapped", message.clone(), halves),
        ("a byte more", message.clone(), [&good[..], &[0]].concat()),
        ("a byte less", message.clone(), good[..63].to_vec()),
        ("twice", message.clone(), good.repeat(2)),
        ("before the message", good.clone(), message.clone()),
        (
            "of the message alone",
            message.clone(),
            fixture.forger.sign(&message),
        ),
        ("of the body", body.clone(), fixture.forger.sign(&body)),
    ] {
        let token = paseto(&message, &signature, &footer);
        fixture
            .refused_for(name, &token, Malformed::Signature)
            .await;
    }
}

/// Signed texts that are ambiguous because the pieces are merely concatenated or wrongly encoded.
#[tokio::test]
async fn another_encoding_of_what_is_signed() {
    let fixture = fixture().await;
    let (message, footer) = (fixture.claims.text(), fixture.header.text());
    let (message, footer) = (message.as_bytes(), footer.as_bytes());
    let header = PASETO.as_bytes();
    let lengths_of_32_bits = [header, message, footer, b""].map(|piece| {
        let length = u32::try_from(piece.len()).unwrap();
        [&length.to_le_bytes()[..], piece].concat()
    });
    for (name, signed) in [
        ("no encoding", [header, message, footer].concat()),
        ("v2, without assertion", pae(&[header, message, footer])),
        ("without header", pae(&[message, footer, b""])),
        (
            "header without its dot",
            pae(&[b"v4.public", message, footer, b""]),
        ),
        ("of v3", pae(&[b"v3.public.", message, footer, b""])),
        (
            "with the key, as v3",
            pae(&[fixture.forger.public(), header, message, footer, b""]),
        ),
        ("the footer before", pae(&[header, footer, message, b""])),
        (
            "message and footer as one",
            pae(&[header, &[message, footer].concat(), b"", b""]),
        ),
        (
            "the encoded body",
            pae(&[header, encode(message).as_bytes(), footer, b""]),
        ),
        (
            "short lengths",
            [&4_u32.to_le_bytes()[..], &lengths_of_32_bits.concat()].concat(),
        ),
        (
            "of a JWT",
            format!("{}.{}", encode(footer), encode(message)).into_bytes(),
        ),
    ] {
        let token = paseto(message, &fixture.forger.sign(&signed), footer);
        fixture
            .refused_for(name, &token, Malformed::Signature)
            .await;
    }
}

#[tokio::test]
async fn an_implicit_assertion() {
    let fixture = fixture().await;
    let (message, footer) = (fixture.claims.text(), fixture.header.text());
    let kid = fixture.kid();
    for assertion in ["x", "{}", "\0", "waxseal", &footer, &kid] {
        let sealed = fixture.forger.seal_message(
            message.as_bytes(),
            footer.as_bytes(),
            assertion.as_bytes(),
        );
        fixture
            .refused_for(assertion, &sealed, Malformed::Signature)
            .await;
    }
}

/// Each is signed with the header that it shows.
#[tokio::test]
async fn other_versions_and_purposes() {
    let fixture = fixture().await;
    let [message, _, footer] = paseto_parts(&fixture.genuine);
    for header in [
        "v1.public.",
        "v2.public.",
        "v3.public.",
        "v5.public.",
        "v0.public.",
        "v40.public.",
        "v.public.",
        "4.public.",
        "v1.local.",
        "v2.local.",
        "v3.local.",
        "v4.local.",
        "v4.Public.",
        "v4.PUBLIC.",
        "V4.public.",
        "V4.PUBLIC.",
        "v4.public",
        "v4.publi.",
        "v4.publics.",
        "v4.secret.",
        "v4..",
        "v4.",
        "v4public.",
        "v4-public.",
        "v4.public:",
        "k4.public.",
        "v4. public.",
        " v4.public.",
        "\u{ff56}4.public.",
        "v4c.public.",
        "v4.public.v4.public.",
    ] {
        let signature = fixture
            .forger
            .sign(&pae(&[header.as_bytes(), &message, &footer, b""]));
        let body = encode([&message[..], &signature].concat());
        let signed = format!("{header}{body}.{}", encode(&footer));
        let relabelled = fixture.genuine.replacen(PASETO, header, 1);
        for token in [signed, relabelled] {
            // A text that is not a PASETO is parsed as a JWT, and some of these headers are valid base64.
            let why = fixture.malformed(header, &token).await;
            assert!(
                [Malformed::Shape, NOT_JSON].contains(&why),
                "{header} {why:?}"
            );
        }
    }
}
