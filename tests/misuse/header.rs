//! Attacks on the header: its parameters, the key that it names, and the type that it claims.

use waxseal::key::{Algorithm, Format};
use waxseal::token::Malformed;
use waxseal::verifier::Refusal;

use crate::fixture::Fixture;
use crate::forger::{Forger, encode, quoted};

const EXTRA: Malformed = Malformed::Header("a parameter other than alg, typ and kid");
const NO_TEXT: Malformed = Malformed::Header("a parameter that is not text");

/// The refusals for faults of a JWT's header or a PASETO's footer.
struct Faults {
    extra: Malformed,
    no_key_id: Malformed,
    no_text: Malformed,
}

fn faults(fixture: &Fixture) -> Faults {
    match fixture.format() {
        Format::Jwt => Faults {
            extra: EXTRA,
            no_key_id: Malformed::Header("kid is not a key ID"),
            no_text: NO_TEXT,
        },
        Format::Paseto => Faults {
            extra: Malformed::Header("a member other than kid"),
            no_key_id: Malformed::Header("no kid"),
            no_text: Malformed::Header("no kid"),
        },
    }
}

async fn forbidden(parameter: &str, values: &[&str]) {
    for fixture in Fixture::of_each_format().await {
        for raw in values {
            let header = fixture.header.with(parameter, raw);
            let why = fixture.header_fault(header.text(), faults(&fixture).extra);
            let token = fixture.seal(&header, &fixture.claims);
            fixture
                .refused_for(&format!("{parameter} {raw}"), &token, why)
                .await;
        }
    }
}

macro_rules! forbidden {
    ($($name:ident: $values:expr;)*) => {
        $(#[tokio::test]
        async fn $name() {
            super::forbidden(stringify!($name), &$values).await;
        })*
    };
}

/// Parameters of RFC 7515, section 4.1, RFC 7516, RFC 7797 and RFC 8555: other tokens carry them, and some make
/// libraries fetch a key, trust a key in the token, or read the payload differently.
mod parameter {
    forbidden! {
        crit: [r#"["exp"]"#, r#"["b64"]"#, r#"["alg"]"#, r#"["unheard-of"]"#, "[]", "[1]", r#""exp""#, "null"];
        b64: ["false", "true", "null", r#""false""#];
        zip: [r#""DEF""#, "null"];
        jku: [r#""https://evil.example/jwks.json""#, r#""https://issuer.example/.well-known/jwks.json""#];
        x5u: [r#""https://evil.example/chain.pem""#];
        x5c: ["[]", r#"["MIIB"]"#];
        x5t: [r#""AAAAAAAAAAAAAAAAAAAAAAAAAAA""#];
        cty: [r#""JWT""#, r#""json""#, r#""""#];
        url: [r#""https://issuer.example/verify""#];
        nonce: [r#""0123456789""#];
        enc: [r#""A128GCM""#];
        epk: ["{}"];
        apu: [r#""QWxpY2U""#];
        p2c: ["1000000000"];
        iss: [r#""https://issuer.example""#];
        exp: ["1"];
        unheard_of: ["1"];
    }
}

#[tokio::test]
async fn names_that_are_nearly_allowed() {
    for name in [
        "",
        "Alg",
        "ALG",
        "alg ",
        "Kid",
        "Typ",
        "x5t#S256",
        "alg\\u0000",
    ] {
        forbidden(name, &[r#""EdDSA""#]).await;
    }
}

#[tokio::test]
async fn an_unencoded_payload() {
    let fixture = Fixture::new().await;
    let header = fixture
        .header
        .with("b64", "false")
        .with("crit", r#"["b64"]"#)
        .text();
    let token = fixture
        .forger
        .seal_parts(&encode(header), &fixture.claims.text());
    fixture.refused_for("b64", &token, Malformed::Shape).await;
}

#[tokio::test]
async fn a_key_that_the_token_brings_along() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let fixture = Fixture::with(algorithm).await;
        let stranger = Forger::stranger(algorithm);
        let jwk = match stranger.public() {
            [4, point @ ..] if point.len() == 64 => format!(
                r#"{{"kty":"EC","crv":"P-256","alg":"ES256","x":"{}","y":"{}"}}"#,
                encode(&point[..32]),
                encode(&point[32..])
            ),
            point => format!(
                r#"{{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","x":"{}"}}"#,
                encode(point)
            ),
        };
        let header = fixture.header.with("jwk", &jwk);
        let claims = fixture.claims.text();
        for (name, token) in [
            ("our kid", stranger.seal(header.text(), &claims)),
            (
                "its kid",
                stranger.seal(header.with("kid", r#""theirs""#).text(), &claims),
            ),
            (
                "no kid",
                stranger.seal(header.without("kid").text(), &claims),
            ),
            ("our signature", fixture.forger.seal(header.text(), &claims)),
        ] {
            fixture.refused_for(name, &token, EXTRA).await;
        }
    }
}

#[tokio::test]
async fn kid_of_an_unknown_key() {
    for fixture in Fixture::of_each_format().await {
        let ours: String = serde_json::from_str(fixture.header.raw("kid")).unwrap();
        for kid in [
            "theirs",
            &ours.to_uppercase(),
            &ours[1..],
            &format!("{ours}x"),
            &format!("{ours}="),
            "0",
            "*",
        ] {
            let token = fixture.with_parameter("kid", &quoted(kid));
            fixture.refused_for(kid, &token, Refusal::UnknownKey).await;
        }
    }
}

#[tokio::test]
async fn kid_missing() {
    for fixture in Fixture::of_each_format().await {
        let token = fixture.seal(&fixture.header.without("kid"), &fixture.claims);
        fixture
            .refused_for("missing", &token, Malformed::Header("no kid"))
            .await;
    }
}

#[tokio::test]
async fn kid_no_text() {
    for fixture in Fixture::of_each_format().await {
        for raw in ["null", "0", "true", "{}", "[]", r#"["a"]"#] {
            let token = fixture.with_parameter("kid", raw);
            let why = faults(&fixture).no_text;
            fixture.refused_for(raw, &token, why).await;
        }
    }
}

#[tokio::test]
async fn kid_walks_the_file_system() {
    for fixture in Fixture::of_each_format().await {
        for kid in [
            "../../../../dev/null",
            "/dev/null",
            "..",
            "keys/../keys/key.pem",
            "..\\..\\key.pem",
            "%2e%2e%2fdev%2fnull",
            "file:///dev/null",
            "http://evil.example/key",
            "|/bin/true",
            "$(true)",
        ] {
            let token = fixture.with_parameter("kid", &quoted(kid));
            fixture.refused_for(kid, &token, Refusal::UnknownKey).await;
        }
    }
}

#[tokio::test]
async fn kid_speaks_sql() {
    for fixture in Fixture::of_each_format().await {
        let ours: String = serde_json::from_str(fixture.header.raw("kid")).unwrap();
        for kid in [
            "'or'1'='1".to_owned(),
            "x'/**/UNION/**/SELECT/**/'key'--".to_owned(),
            format!("{ours}'--"),
            "1;DROP/**/TABLE/**/users".to_owned(),
        ] {
            let token = fixture.with_parameter("kid", &quoted(&kid));
            fixture.refused_for(&kid, &token, Refusal::UnknownKey).await;
        }
        let token = fixture.with_parameter("kid", &quoted("x' OR '1'='1"));
        let why = faults(&fixture).no_key_id;
        fixture.refused_for("with spaces", &token, why).await;
    }
}

#[tokio::test]
async fn kid_very_long_or_empty() {
    for fixture in Fixture::of_each_format().await {
        let no_key_id = || Refusal::from(faults(&fixture).no_key_id);
        let too_long = || Refusal::from(Malformed::Header("too long"));
        // The longest accepted length, and one more.
        let lengths = match fixture.format() {
            Format::Jwt => vec![
                (128, Refusal::UnknownKey),
                (129, no_key_id()),
                (330, no_key_id()),
            ],
            Format::Paseto => vec![(86, Refusal::UnknownKey), (87, too_long())],
        };
        let every = [
            (0, no_key_id()),
            (400, too_long()),
            (5000, too_long()),
            (1_000_000, Malformed::TooLong.into()),
        ];
        for (length, why) in lengths.into_iter().chain(every) {
            let token = fixture.with_parameter("kid", &quoted(&"k".repeat(length)));
            fixture.refused_for(&length.to_string(), &token, why).await;
        }
    }
}

#[tokio::test]
async fn kid_with_other_characters_around() {
    for fixture in Fixture::of_each_format().await {
        let ours: String = serde_json::from_str(fixture.header.raw("kid")).unwrap();
        for extra in ["\0", " ", "\n", "\t", "\u{7f}", "\u{e9}", "\u{200b}"] {
            for kid in [format!("{ours}{extra}"), format!("{extra}{ours}")] {
                let token = fixture.with_parameter("kid", &quoted(&kid));
                let why = faults(&fixture).no_key_id;
                fixture
                    .refused_for(&format!("{extra:?}"), &token, why)
                    .await;
            }
        }
    }
}

#[tokio::test]
async fn typ_of_another_token() {
    let fixture = Fixture::new().await;
    for typ in [
        "JWT",
        "jwt",
        "JWS",
        "AT+JWT",
        "At+Jwt",
        "at+JWT",
        "application/at+jwt",
        "at+jwt;v=1",
        " at+jwt",
        "at+jwt ",
        "at+jwt\0",
        "at jwt",
        "at%2Bjwt",
        "logout+jwt",
        "dpop+jwt",
        "secevent+jwt",
        "token-introspection+jwt",
        "oauth-authz-req+jwt",
        "entity-statement+jwt",
        "",
    ] {
        let token = fixture.with_parameter("typ", &quoted(typ));
        fixture
            .refused_for(typ, &token, Malformed::Header("typ is not at+jwt"))
            .await;
    }
}

#[tokio::test]
async fn typ_missing() {
    let fixture = Fixture::new().await;
    let token = fixture.seal(&fixture.header.without("typ"), &fixture.claims);
    fixture
        .refused_for("missing", &token, Malformed::Header("typ is not at+jwt"))
        .await;
}

#[tokio::test]
async fn typ_no_text() {
    let fixture = Fixture::new().await;
    for raw in ["1", "null", "true", "{}", r#"["at+jwt"]"#] {
        let token = fixture.with_parameter("typ", raw);
        fixture.refused_for(raw, &token, NO_TEXT).await;
    }
}
