//! The other table that the two verifiers share: texts that the issuer did not write, most of them signed with
//! its own key, and what becomes of each.

use serde_json::Value;
use waxseal::key::{Algorithm, Format};

use super::common::{ISSUER, signing_pem};
use super::forger::{Forger, Members, encode, header_and_claims, parts, quoted};
use super::javascript::{Both, ORDERS, Verdict};
use super::service::Client;
use Verdict::{Client as Service, Refused, Session};

/// What a forger has: the issuer's key, and a genuine token.
struct Stolen {
    forger: Forger,
    genuine: String,
    header: Members,
    claims: Members,
}

type Forgery = fn(&Stolen) -> String;

impl Stolen {
    fn new(both: &Both, genuine: String) -> Self {
        let pem = signing_pem(&both.place.path().join("keys"), Format::Jwt);
        let [header, claims] = header_and_claims(&genuine);
        Self {
            forger: Forger::from_pem(pem.as_bytes(), Format::Jwt),
            header: Members::of(&header),
            claims: Members::of(&claims),
            genuine,
        }
    }

    fn seal(&self, header: &Members, claims: &Members) -> String {
        self.forger.seal(header.text(), claims.text())
    }

    fn parameter(&self, name: &str, raw: &str) -> String {
        self.seal(&self.header.with(name, raw), &self.claims)
    }

    fn claim(&self, name: &str, raw: &str) -> String {
        self.seal(&self.header, &self.claims.with(name, raw))
    }

    fn without_claim(&self, name: &str) -> String {
        self.seal(&self.header, &self.claims.without(name))
    }

    fn second(&self, name: &str) -> i64 {
        self.claims.raw(name).parse().unwrap()
    }

    /// With times moved by so many seconds.
    fn moved(&self, times: &[(&str, i64)]) -> String {
        let claims = times
            .iter()
            .fold(self.claims.clone(), |claims, (name, by)| {
                claims.with(name, &(self.second(name) + by).to_string())
            });
        self.seal(&self.header, &claims)
    }

    fn text(&self, name: &str) -> String {
        serde_json::from_str(self.claims.raw(name)).unwrap()
    }
}

const DAY: i64 = 24 * 3600;

/// Of a session's token.
const SESSIONS: &[(&str, Forgery, Verdict)] = &[
    (
        "nothing is changed",
        |s| s.seal(&s.header, &s.claims),
        Session,
    ),
    (
        "another that is meant for here",
        |s| s.claim("aud", &quoted(ORDERS)),
        Session,
    ),
    (
        "a claim that nobody asked for",
        |s| s.claim("more", r#"{"a": [1, 2.5, null]}"#),
        Session,
    ),
    // Whom it is meant for, and whose it is.
    (
        "aud: another",
        |s| s.claim("aud", &quoted("https://other.example")),
        Refused,
    ),
    (
        "aud: a list",
        |s| s.claim("aud", &format!("[{}]", quoted(ISSUER))),
        Refused,
    ),
    (
        "aud: with a slash",
        |s| s.claim("aud", &quoted(&format!("{ISSUER}/"))),
        Refused,
    ),
    ("aud: missing", |s| s.without_claim("aud"), Refused),
    (
        "iss: another",
        |s| s.claim("iss", &quoted("https://other.example")),
        Refused,
    ),
    (
        "iss: with a slash",
        |s| s.claim("iss", &quoted(&format!("{ISSUER}/"))),
        Refused,
    ),
    (
        "iss: in other letters",
        |s| s.claim("iss", &quoted(&ISSUER.to_uppercase())),
        Refused,
    ),
    (
        "iss: a list",
        |s| s.claim("iss", &format!("[{}]", quoted(ISSUER))),
        Refused,
    ),
    ("iss: missing", |s| s.without_claim("iss"), Refused),
    // When.
    (
        "expired",
        |s| {
            s.moved(&[
                ("iat", -DAY / 2),
                ("exp", -DAY / 2),
                ("auth_time", -DAY / 2),
                ("session_expiry", -DAY / 2),
            ])
        },
        Refused,
    ),
    (
        "not issued yet",
        |s| s.moved(&[("iat", 600), ("exp", 600), ("session_expiry", 600)]),
        Refused,
    ),
    (
        "not logged in yet",
        |s| s.moved(&[("auth_time", 600), ("session_expiry", 600)]),
        Refused,
    ),
    (
        "issued before the login",
        |s| s.moved(&[("iat", -1)]),
        Refused,
    ),
    (
        "good for longer than its session",
        |s| s.claim("exp", &(s.second("session_expiry") + 1).to_string()),
        Refused,
    ),
    (
        "a session that is longer than a day",
        |s| {
            s.claim(
                "session_expiry",
                &(s.second("auth_time") + DAY + 1).to_string(),
            )
        },
        Refused,
    ),
    (
        "a session of a day",
        |s| s.claim("session_expiry", &(s.second("auth_time") + DAY).to_string()),
        Session,
    ),
    (
        "issued as it expires",
        |s| s.claim("iat", s.claims.raw("exp")),
        Refused,
    ),
    ("exp: missing", |s| s.without_claim("exp"), Refused),
    (
        "exp: a text",
        |s| s.claim("exp", &quoted(s.claims.raw("exp"))),
        Refused,
    ),
    (
        "exp: a fraction",
        |s| s.claim("exp", &format!("{}.0", s.claims.raw("exp"))),
        Refused,
    ),
    ("exp: an exponent", |s| s.claim("exp", "1e10"), Refused),
    (
        "exp: near 2^64",
        |s| s.claim("exp", "18446744073709551615"),
        Refused,
    ),
    (
        "exp: beyond the year 9999",
        |s| s.claim("exp", "253402300800"),
        Refused,
    ),
    ("exp: negative", |s| s.claim("exp", "-1"), Refused),
    ("exp: null", |s| s.claim("exp", "null"), Refused),
    ("iat: missing", |s| s.without_claim("iat"), Refused),
    (
        "auth_time: missing",
        |s| s.without_claim("auth_time"),
        Refused,
    ),
    (
        "renew_at: a text",
        |s| s.claim("renew_at", r#""soon""#),
        Refused,
    ),
    (
        "session_expiry: missing",
        |s| s.without_claim("session_expiry"),
        Refused,
    ),
    // Names.
    ("sub: missing", |s| s.without_claim("sub"), Refused),
    ("sub: a number", |s| s.claim("sub", "1"), Refused),
    (
        "sub: a client",
        |s| s.claim("sub", &quoted(&format!("client-{}", s.text("sub")))),
        Refused,
    ),
    (
        "sub: in capitals",
        |s| s.claim("sub", &quoted(&s.text("sub").to_uppercase())),
        Refused,
    ),
    ("jti: no UUID", |s| s.claim("jti", r#""1""#), Refused),
    (
        "jti: of version 4",
        |s| s.claim("jti", r#""00000000-0000-4000-8000-000000000000""#),
        Refused,
    ),
    (
        "sid: without a generation",
        |s| s.claim("sid", &quoted(s.text("sid").split('.').next().unwrap())),
        Refused,
    ),
    (
        "sid: 00",
        |s| s.claim("sid", &quoted(&format!("{}0", s.text("sid")))),
        Refused,
    ),
    (
        "sid: +0",
        |s| s.claim("sid", &quoted(&s.text("sid").replace(".0", ".+0"))),
        Refused,
    ),
    (
        "sid: 2^32",
        |s| s.claim("sid", &quoted(&s.text("sid").replace(".0", ".4294967296"))),
        Refused,
    ),
    ("amr: a text", |s| s.claim("amr", r#""pwd""#), Refused),
    ("amr: numbers", |s| s.claim("amr", "[1]"), Refused),
    (
        "scope: a list",
        |s| s.claim("scope", r#"["session"]"#),
        Refused,
    ),
    (
        "client_id: missing",
        |s| s.without_claim("client_id"),
        Refused,
    ),
    // JSON that two readers read differently.
    (
        "a claim twice",
        |s| s.seal(&s.header, &s.claims.and("exp", s.claims.raw("exp"))),
        Refused,
    ),
    (
        "a claim twice, once escaped",
        |s| s.seal(&s.header, &s.claims.and(r"e\u0078p", "9999999999")),
        Refused,
    ),
    (
        "twice within",
        |s| s.claim("more", r#"{"a": 1, "a": 2}"#),
        Refused,
    ),
    (
        "twice within a list",
        |s| s.claim("more", r#"[{"a": 1, "a": 2}]"#),
        Refused,
    ),
    (
        "half a character",
        |s| s.claim("more", r#""\ud800""#),
        Refused,
    ),
    (
        "as deep as may be",
        |s| s.claim("more", &format!("{}1{}", "[".repeat(7), "]".repeat(7))),
        Session,
    ),
    (
        "too deep",
        |s| s.claim("more", &format!("{}1{}", "[".repeat(8), "]".repeat(8))),
        Refused,
    ),
    (
        "a comma too many",
        |s| {
            s.forger
                .seal(s.header.text(), s.claims.text().replace('}', ",}"))
        },
        Refused,
    ),
    (
        "something after it",
        |s| s.forger.seal(s.header.text(), s.claims.text() + "{}"),
        Refused,
    ),
    (
        "white space around it",
        |s| {
            s.forger
                .seal(s.header.text(), format!(" {}\n", s.claims.text()))
        },
        Session,
    ),
    (
        "a byte order mark",
        |s| {
            s.forger
                .seal(s.header.text(), format!("\u{feff}{}", s.claims.text()))
        },
        Refused,
    ),
    (
        "no UTF-8",
        |s| {
            s.forger.seal(
                s.header.text(),
                [
                    s.claims.text().trim_end_matches('}').as_bytes(),
                    b",\"x\":\"\xff\"}",
                ]
                .concat(),
            )
        },
        Refused,
    ),
    ("a list", |s| s.forger.seal(s.header.text(), "[]"), Refused),
    ("nothing", |s| s.forger.seal(s.header.text(), ""), Refused),
    // The header.
    ("crit", |s| s.parameter("crit", r#"["exp"]"#), Refused),
    ("crit: none", |s| s.parameter("crit", "[]"), Refused),
    ("b64: false", |s| s.parameter("b64", "false"), Refused),
    ("b64: true", |s| s.parameter("b64", "true"), Refused),
    (
        "b64: false, and critical",
        |s| {
            s.seal(
                &s.header.with("b64", "false").with("crit", r#"["b64"]"#),
                &s.claims,
            )
        },
        Refused,
    ),
    (
        "jku",
        |s| s.parameter("jku", r#""https://issuer.example/.well-known/jwks.json""#),
        Refused,
    ),
    ("jwk", |s| s.parameter("jwk", "{}"), Refused),
    (
        "x5u",
        |s| s.parameter("x5u", r#""https://evil.example/chain.pem""#),
        Refused,
    ),
    ("cty", |s| s.parameter("cty", r#""JWT""#), Refused),
    ("zip", |s| s.parameter("zip", r#""DEF""#), Refused),
    ("unheard of", |s| s.parameter("unheard_of", "1"), Refused),
    ("typ: JWT", |s| s.parameter("typ", r#""JWT""#), Refused),
    (
        "typ: in capitals",
        |s| s.parameter("typ", r#""AT+JWT""#),
        Refused,
    ),
    (
        "typ: in full",
        |s| s.parameter("typ", r#""application/at+jwt""#),
        Refused,
    ),
    (
        "typ: a page of the feed",
        |s| s.parameter("typ", r#""waxseal-revocations+jwt""#),
        Refused,
    ),
    ("typ: null", |s| s.parameter("typ", "null"), Refused),
    (
        "typ: missing",
        |s| s.seal(&s.header.without("typ"), &s.claims),
        Refused,
    ),
    (
        "kid: unknown",
        |s| s.parameter("kid", r#""somebody-else""#),
        Refused,
    ),
    (
        "kid: a path",
        |s| s.parameter("kid", r#""../../dev/null""#),
        Refused,
    ),
    (
        "kid: a prototype",
        |s| s.parameter("kid", r#""__proto__""#),
        Refused,
    ),
    ("kid: empty", |s| s.parameter("kid", r#""""#), Refused),
    ("kid: a number", |s| s.parameter("kid", "1"), Refused),
    (
        "kid: missing",
        |s| s.seal(&s.header.without("kid"), &s.claims),
        Refused,
    ),
    (
        "alg twice",
        |s| s.seal(&s.header.and("alg", s.header.raw("alg")), &s.claims),
        Refused,
    ),
    (
        "a long header",
        |s| s.parameter("typ", &quoted(&"a".repeat(600))),
        Refused,
    ),
    // The algorithm is the key's.
    ("alg: none", |s| s.parameter("alg", r#""none""#), Refused),
    (
        "alg: none, unsigned",
        |s| {
            let header = encode(s.header.with("alg", r#""none""#).text());
            format!("{header}.{}.", parts(&s.genuine)[1])
        },
        Refused,
    ),
    (
        "alg: none, with something for a signature",
        |s| {
            let header = encode(s.header.with("alg", r#""none""#).text());
            format!("{header}.{}.AAAA", parts(&s.genuine)[1])
        },
        Refused,
    ),
    (
        "alg: HS256 with the public key",
        |s| {
            let signed = format!(
                "{}.{}",
                encode(s.header.with("alg", r#""HS256""#).text()),
                parts(&s.genuine)[1]
            );
            let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, s.forger.public());
            format!(
                "{signed}.{}",
                encode(ring::hmac::sign(&key, signed.as_bytes()))
            )
        },
        Refused,
    ),
    ("alg: ES512", |s| s.parameter("alg", r#""ES512""#), Refused),
    (
        "alg: Ed25519",
        |s| s.parameter("alg", r#""Ed25519""#),
        Refused,
    ),
    (
        "alg: in small letters",
        |s| s.parameter("alg", &s.header.raw("alg").to_lowercase()),
        Refused,
    ),
    (
        "alg: missing",
        |s| s.seal(&s.header.without("alg"), &s.claims),
        Refused,
    ),
    // The signature.
    (
        "another's Ed25519 key",
        |s| Forger::stranger(Algorithm::EdDsa).resign(&s.genuine),
        Refused,
    ),
    (
        "another's P-256 key",
        |s| Forger::stranger(Algorithm::Es256).resign(&s.genuine),
        Refused,
    ),
    ("zeros", |s| signature(s, &encode([0; 64])), Refused),
    ("short", |s| signature(s, &encode([1; 63])), Refused),
    ("none", |s| signature(s, ""), Refused),
    (
        "of other claims",
        |s| {
            let [header, _, signature] = parts(&s.genuine);
            format!(
                "{header}.{}.{signature}",
                encode(s.claims.with("scope", r#""admin""#).text())
            )
        },
        Refused,
    ),
    // The text.
    ("padded", |s| format!("{}=", s.genuine), Refused),
    (
        "a padded header",
        |s| s.genuine.replacen('.', "=.", 1),
        Refused,
    ),
    ("a dot after it", |s| format!("{}.", s.genuine), Refused),
    ("a dot before it", |s| format!(".{}", s.genuine), Refused),
    ("a space after it", |s| format!("{} ", s.genuine), Refused),
    (
        "a line end after it",
        |s| format!("{}\n", s.genuine),
        Refused,
    ),
    (
        "white space within",
        |s| s.genuine.replacen('.', ". ", 1),
        Refused,
    ),
    ("a null after it", |s| format!("{}\0", s.genuine), Refused),
    (
        "a second reading of the last character",
        |s| {
            let (rest, last) = s.genuine.split_at(s.genuine.len() - 1);
            const ALPHABET: &str =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let place = ALPHABET.find(last).unwrap();
            format!("{rest}{}", &ALPHABET[place + 1..=place + 1])
        },
        Refused,
    ),
    (
        "two parts",
        |s| s.genuine.rsplit_once('.').unwrap().0.to_owned(),
        Refused,
    ),
    ("twice", |s| format!("{0}.{0}", s.genuine), Refused),
    (
        "too long",
        |s| s.claim("more", &quoted(&"a".repeat(8192))),
        Refused,
    ),
    (
        "a PASETO",
        |s| format!("v4.public.{}", parts(&s.genuine)[1]),
        Refused,
    ),
    (
        "a flattened JWS",
        |s| {
            let [header, payload, signature] = parts(&s.genuine);
            format!(r#"{{"protected":"{header}","payload":"{payload}","signature":"{signature}"}}"#)
        },
        Refused,
    ),
    ("empty", |_| String::new(), Refused),
    ("dots", |_| "..".to_owned(), Refused),
    ("a word", |_| "garbage".to_owned(), Refused),
];

/// Of a client's token.
const CLIENTS: &[(&str, Forgery, Verdict)] = &[
    (
        "nothing is changed",
        |s| s.seal(&s.header, &s.claims),
        Service,
    ),
    ("no scope", |s| s.claim("scope", r#""""#), Service),
    (
        "meant for another",
        |s| s.claim("aud", &quoted("https://other.example")),
        Refused,
    ),
    (
        "expired",
        |s| s.moved(&[("iat", -DAY), ("exp", -DAY)]),
        Refused,
    ),
    (
        "not issued yet",
        |s| s.moved(&[("iat", 600), ("exp", 600)]),
        Refused,
    ),
    (
        "good for a day",
        |s| s.claim("exp", &(s.second("iat") + DAY).to_string()),
        Service,
    ),
    (
        "good for longer",
        |s| s.claim("exp", &(s.second("iat") + DAY + 1).to_string()),
        Refused,
    ),
    (
        "another client_id",
        |s| s.claim("client_id", &quoted(ISSUER)),
        Refused,
    ),
    (
        "half a session",
        |s| s.claim("sid", &quoted(&format!("{}.0", s.text("jti")))),
        Refused,
    ),
    (
        "half a session, and null",
        |s| s.claim("amr", "null"),
        Refused,
    ),
    (
        "a user",
        |s| s.claim("sub", &quoted(&s.text("jti"))),
        Refused,
    ),
    (
        "scopes with two spaces",
        |s| s.claim("scope", r#""a  b""#),
        Refused,
    ),
    (
        "scopes with a quote",
        |s| s.claim("scope", r#""a\"b""#),
        Refused,
    ),
    (
        "scopes without end",
        |s| s.claim("scope", &quoted(&"a".repeat(1025))),
        Refused,
    ),
];

fn signature(stolen: &Stolen, signature: &str) -> String {
    let (signed, _) = stolen.genuine.rsplit_once('.').unwrap();
    format!("{signed}.{signature}")
}

async fn they_agree_on_forgeries(algorithm: &str) {
    let both = Both::new(algorithm, "30m").await;
    both.place.add_user("alice");
    let session = both.issuer.login(&both.http, "alice").await;
    let caller = Client::add(&both.place, "caller", "orders:read", Some(ORDERS));
    let client = caller.token(&both.http, &both.issuer.url).await;
    both.until("a genuine session", &session, Session).await;
    both.until("a genuine client", &client, Service).await;
    for (genuine, table) in [(session, SESSIONS), (client, CLIENTS)] {
        let stolen = Stolen::new(&both, genuine);
        for (name, forgery, verdict) in table {
            both.is(name, &forgery(&stolen), *verdict);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_verifiers_in_rust_and_javascript_agree_on_every_forgery() {
    they_agree_on_forgeries("EdDSA").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_agree_on_every_forgery_with_es256_too() {
    they_agree_on_forgeries("ES256").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_the_feed_is_no_token() {
    let both = Both::new("EdDSA", "30m").await;
    let reader = Client::reader(&both.place, "second");
    let token = reader.token(&both.http, &both.issuer.url).await;
    both.until("a genuine client", &token, Service).await;
    let answer = both
        .http
        .get(format!("{}/revocations", both.issuer.url))
        .bearer_auth(&token)
        .send()
        .await
        .unwrap();
    let answer: Value = answer.json().await.unwrap();
    both.is("a page", answer["page"].as_str().unwrap(), Refused);
}
