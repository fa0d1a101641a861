//! JSON that two parsers read differently, or that breaks a parser.

use waxseal::key::Format;
use waxseal::token::Malformed;

use crate::fixture::Fixture;
use crate::forger::Members;

const BAD_HEADER: Malformed = Malformed::Header("not one strict JSON object");
const BAD_CLAIMS: Malformed = Malformed::Claims("not one strict JSON object");

/// Signs the claims with an additional claim that the service ignores.
fn unread(fixture: &Fixture, raw: impl AsRef<[u8]>) -> String {
    let claims = fixture.claims.text();
    let open = &claims.as_bytes()[..claims.len() - 1];
    fixture.with_claims([open, br#","unread":"#, raw.as_ref(), b"}"].concat())
}

async fn claims_refused(fixture: &Fixture, claims: impl AsRef<[u8]>) {
    let claims = claims.as_ref();
    let name = String::from_utf8_lossy(claims);
    fixture
        .refused_for(&name, &fixture.with_claims(claims), BAD_CLAIMS)
        .await;
}

async fn header_refused(fixture: &Fixture, header: impl AsRef<[u8]>) {
    let header = header.as_ref();
    let name = String::from_utf8_lossy(header);
    let token = fixture.forger.seal(header, fixture.claims.text());
    let why = fixture.header_fault(header, BAD_HEADER);
    fixture.refused_for(&name, &token, why).await;
}

/// Returns `name` with its first letter escaped.
fn escaped(name: &str) -> String {
    format!("\\u{:04x}{}", name.as_bytes()[0], &name[1..])
}

#[tokio::test]
async fn every_claim_twice() {
    for fixture in Fixture::of_each_format().await {
        for name in [
            "iss",
            "sub",
            "aud",
            "client_id",
            "iat",
            "exp",
            "jti",
            "sid",
            "auth_time",
            "renew_at",
            "session_expiry",
            "amr",
            "scope",
        ] {
            let same = fixture.claims.raw(name);
            for second in [name.to_owned(), escaped(name)] {
                for raw in [same, "null", "9"] {
                    let last = fixture.claims.and(&second, raw);
                    claims_refused(&fixture, last.text()).await;
                    // In the opposite order: a parser may use the first member instead.
                    let first = fixture.claims.without(name).and(&second, raw);
                    claims_refused(&fixture, first.and(name, same).text()).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn every_header_parameter_twice() {
    for fixture in Fixture::of_each_format().await {
        for name in fixture.header.names() {
            let same = fixture.header.raw(name);
            for second in [name.to_owned(), escaped(name)] {
                for raw in [same, r#""none""#, "null"] {
                    header_refused(&fixture, fixture.header.and(&second, raw).text()).await;
                    let first = fixture.header.without(name).and(&second, raw);
                    header_refused(&fixture, first.and(name, same).text()).await;
                }
            }
        }
    }
}

/// An escape alone does not create a duplicate.
#[tokio::test]
async fn an_escaped_name_once_is_that_name() {
    for fixture in Fixture::of_each_format().await {
        let raw = fixture.claims.raw("exp");
        let claims = fixture.claims.without("exp").and("\\u0065xp", raw);
        fixture
            .accepted("escaped", &fixture.seal(&fixture.header, &claims))
            .await;
    }
}

#[tokio::test]
async fn a_duplicate_key_deep_in_an_unused_claim() {
    for fixture in Fixture::of_each_format().await {
        fixture
            .accepted("once", &unread(&fixture, r#"{"a":1}"#))
            .await;
        for raw in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"[{"a":1,"a":2}]"#,
            r#"{"a":{"b":{"c":1,"c":2}}}"#,
            r#"{"":1,"":2}"#,
            r#"{"\ud83d\ude00":1,"😀":2}"#,
        ] {
            fixture
                .refused_for(raw, &unread(&fixture, raw), BAD_CLAIMS)
                .await;
        }
    }
}

#[tokio::test]
async fn invalid_utf8_in_the_claims() {
    for fixture in Fixture::of_each_format().await {
        fixture
            .accepted("valid", &unread(&fixture, "\"é😀\""))
            .await;
        for (name, bytes) in [
            ("a stray byte", &b"\xff"[..]),
            ("a continuation", b"\x80"),
            ("cut short", b"\xc3"),
            ("overlong", b"\xc0\xaf"),
            ("an overlong NUL", b"\xc0\x80"),
            ("a surrogate", b"\xed\xa0\x80"),
            ("past the last", b"\xf4\x90\x80\x80"),
            ("UTF-16", b"\0a"),
        ] {
            let text = [b"\"", bytes, b"\""].concat();
            fixture
                .refused_for(name, &unread(&fixture, text), BAD_CLAIMS)
                .await;
            let key = [b"{\"", bytes, b"\":1}"].concat();
            fixture
                .refused_for(name, &unread(&fixture, key), BAD_CLAIMS)
                .await;
            let mut claims = fixture.claims.text().into_bytes();
            let at = claims.windows(6).position(|w| w == b"issuer").unwrap();
            claims.splice(at..at, bytes.iter().copied());
            claims_refused(&fixture, claims).await;
        }
    }
}

#[tokio::test]
async fn invalid_utf8_in_the_header() {
    for fixture in Fixture::of_each_format().await {
        for bytes in [&b"\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\0"] {
            let before: &[&str] = match fixture.format() {
                Format::Jwt => &["at+jwt", "kid\"", "EdDSA"],
                Format::Paseto => &["kid\"", "k4.pid."],
            };
            for before in before {
                let mut header = fixture.header.text().into_bytes();
                let at = header
                    .windows(before.len())
                    .position(|w| w == before.as_bytes());
                let at = at.unwrap();
                header.splice(at..at, bytes.iter().copied());
                header_refused(&fixture, header).await;
            }
        }
    }
}

#[tokio::test]
async fn other_encodings_of_json() {
    for fixture in Fixture::of_each_format().await {
        let claims = fixture.claims.text();
        let little: Vec<u8> = claims.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = claims.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for encoded in [
            little,
            big,
            [b"\xef\xbb\xbf", claims.as_bytes()].concat(),
            [b"\xff\xfe", claims.as_bytes()].concat(),
        ] {
            claims_refused(&fixture, encoded).await;
        }
        header_refused(&fixture, format!("\u{feff}{}", fixture.header.text())).await;
    }
}

#[tokio::test]
async fn lone_surrogates() {
    for fixture in Fixture::of_each_format().await {
        fixture
            .accepted("a pair", &unread(&fixture, r#""\ud83d\ude00""#))
            .await;
        for lone in [
            r"\ud800",
            r"\udc00",
            r"\udfff",
            r"\udc00\ud800",
            r"\ud800\ud800",
            r"\ud800x",
            r"\ud800\n",
        ] {
            for raw in [format!("\"{lone}\""), format!("{{\"{lone}\":1}}")] {
                fixture
                    .refused_for(&raw, &unread(&fixture, &raw), BAD_CLAIMS)
                    .await;
            }
            header_refused(
                &fixture,
                fixture.header.with("kid", &format!("\"{lone}\"")).text(),
            )
            .await;
            claims_refused(
                &fixture,
                fixture.claims.with("iss", &format!("\"{lone}\"")).text(),
            )
            .await;
        }
    }
}

fn arrays(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

fn objects(depth: usize) -> String {
    format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth))
}

/// The claims object is the first level.
#[tokio::test]
async fn nesting_of_depth_nine() {
    for fixture in Fixture::of_each_format().await {
        for nested in [arrays, objects] {
            fixture
                .accepted("eight", &unread(&fixture, nested(7)))
                .await;
            fixture
                .refused_for("nine", &unread(&fixture, nested(8)), BAD_CLAIMS)
                .await;
        }
    }
}

#[tokio::test]
async fn nesting_as_deep_as_a_token_can_be() {
    for fixture in Fixture::of_each_format().await {
        for raw in [
            arrays(2500),
            objects(800),
            "[".repeat(5000),
            r#"{"":"#.repeat(1000),
        ] {
            fixture
                .refused_for(&raw[..20], &unread(&fixture, &raw), BAD_CLAIMS)
                .await;
        }
    }
}

#[tokio::test]
async fn nesting_of_depth_100_000() {
    for fixture in Fixture::of_each_format().await {
        for raw in [arrays(100_000), objects(100_000), "[".repeat(100_000)] {
            fixture
                .refused_for("claims", &unread(&fixture, &raw), Malformed::TooLong)
                .await;
            let token = fixture.forger.seal(&raw, fixture.claims.text());
            fixture
                .refused_for("header", &token, Malformed::TooLong)
                .await;
        }
        for depth in [20, 100] {
            header_refused(&fixture, fixture.header.with("kid", &arrays(depth)).text()).await;
        }
    }
}

#[tokio::test]
async fn claims_other_than_an_object() {
    for fixture in Fixture::of_each_format().await {
        for json in others(&fixture.claims) {
            claims_refused(&fixture, json).await;
        }
    }
}

#[tokio::test]
async fn a_header_other_than_an_object() {
    for fixture in Fixture::of_each_format().await {
        for json in others(&fixture.header) {
            header_refused(&fixture, json).await;
        }
        let missing = match fixture.format() {
            Format::Jwt => "no alg",
            Format::Paseto => "no kid",
        };
        for (json, why) in [("", Malformed::Shape), ("{}", Malformed::Header(missing))] {
            let token = fixture.forger.seal(json, fixture.claims.text());
            fixture.refused_for("empty", &token, why).await;
        }
    }
}

fn others(members: &Members) -> Vec<String> {
    let object = members.text();
    vec![
        "null".to_owned(),
        "true".to_owned(),
        "1".to_owned(),
        r#""text""#.to_owned(),
        "[]".to_owned(),
        format!("[{object}]"),
        serde_json::to_string(&object).unwrap(),
        format!("{object}{object}"),
        format!("{object}{{}}"),
        format!("{object},"),
        format!("{object}\0"),
        format!("{object}x"),
        format!("//\n{object}"),
        format!("{object}/**/"),
        object[..object.len() - 1].to_owned(),
        object[1..].to_owned(),
        object.replace('"', "'"),
        object.replace('{', "{,"),
        object.replace('}', ",}"),
        object.replace('{', "{1:1,"),
        object.replace('{', "{a:1,"),
        " ".to_owned(),
    ]
}

#[tokio::test]
async fn invalid_json_values() {
    for fixture in Fixture::of_each_format().await {
        for raw in [
            "NaN",
            "Infinity",
            "-Infinity",
            "undefined",
            "01",
            "+1",
            "1.",
            ".1",
            "1e",
            "0x1",
            "1_000",
            "'a'",
            "\"\n\"",
            "\"\t\"",
            r#""\x41""#,
            r#""\u12""#,
            "tru",
            "nul",
            "",
        ] {
            fixture
                .refused_for(raw, &unread(&fixture, raw), BAD_CLAIMS)
                .await;
        }
    }
}
