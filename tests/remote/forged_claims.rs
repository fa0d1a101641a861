//! Claims that the issuer did not write, signed with its own key, and the verdict on each.

use super::common::ISSUER;
use super::forger::quoted;
use super::forgeries::Forgery;
use super::javascript::{ORDERS, Verdict};
use Verdict::{Client as Service, Refused, Session};

const DAY: i64 = 24 * 3600;

/// Forged claims of a session's token.
pub const SESSIONS: &[(&str, Forgery, Verdict)] = &[
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
    // The audience and the issuer.
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
    // The times.
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
        |s| s.claim("exp", s.claims.raw("iat")),
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
        "nbf: past",
        |s| s.claim("nbf", &(s.second("iat") - DAY).to_string()),
        Session,
    ),
    (
        "nbf: in ten minutes",
        |s| s.claim("nbf", &(s.second("iat") + 600).to_string()),
        Refused,
    ),
    (
        "nbf: the end of the year 9999",
        |s| s.claim("nbf", "253402300799"),
        Refused,
    ),
    (
        "nbf: beyond the year 9999",
        |s| s.claim("nbf", "253402300800"),
        Refused,
    ),
    (
        "nbf: near 2^64",
        |s| s.claim("nbf", "18446744073709551615"),
        Refused,
    ),
    (
        "nbf: a text",
        |s| s.claim("nbf", &quoted(s.claims.raw("iat"))),
        Refused,
    ),
    (
        "nbf: a fraction",
        |s| s.claim("nbf", &format!("{}.5", s.claims.raw("iat"))),
        Refused,
    ),
    ("nbf: negative", |s| s.claim("nbf", "-1"), Refused),
    ("nbf: null", |s| s.claim("nbf", "null"), Refused),
    (
        "nbf: twice",
        |s| {
            let once = s.claims.with("nbf", s.claims.raw("iat"));
            s.seal(&s.header, &once.and("nbf", s.claims.raw("iat")))
        },
        Refused,
    ),
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
        "renew_at: before 1970",
        |s| s.claim("renew_at", "-1"),
        Refused,
    ),
    (
        "renew_at: beyond the year 9999",
        |s| s.claim("renew_at", "253402300800"),
        Refused,
    ),
    (
        "session_expiry: missing",
        |s| s.without_claim("session_expiry"),
        Refused,
    ),
    // The identifiers, `amr` and `scope`.
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
    // JSON that two parsers read differently.
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
];

/// Forged claims of a client's token.
pub const CLIENTS: &[(&str, Forgery, Verdict)] = &[
    (
        "nothing is changed",
        |s| s.seal(&s.header, &s.claims),
        Service,
    ),
    ("no scope", |s| s.claim("scope", r#""""#), Service),
    (
        "a claim that nobody asked for",
        |s| s.claim("more", r#"{"a": [1, 2.5, null]}"#),
        Service,
    ),
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
        "nbf: past",
        |s| s.claim("nbf", s.claims.raw("iat")),
        Service,
    ),
    (
        "nbf: in a minute",
        |s| s.claim("nbf", &(s.second("iat") + 60).to_string()),
        Refused,
    ),
    ("nbf: a text", |s| s.claim("nbf", r#""now""#), Refused),
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
