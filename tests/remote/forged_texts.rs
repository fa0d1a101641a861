//! Headers, signatures and texts that the issuer did not write. Both verifiers refuse all of them.

use waxseal::key::Algorithm;

use super::forger::{Forger, encode, parts, quoted};
use super::forgeries::{Forgery, Stolen};

/// Forged texts of a session's token.
pub const TEXTS: &[(&str, Forgery)] = &[
    // The header.
    ("crit", |s| s.parameter("crit", r#"["exp"]"#)),
    ("crit: none", |s| s.parameter("crit", "[]")),
    ("b64: false", |s| s.parameter("b64", "false")),
    ("b64: true", |s| s.parameter("b64", "true")),
    ("b64: false, and critical", |s| {
        s.seal(
            &s.header.with("b64", "false").with("crit", r#"["b64"]"#),
            &s.claims,
        )
    }),
    ("jku", |s| {
        s.parameter("jku", r#""https://issuer.example/.well-known/jwks.json""#)
    }),
    ("jwk", |s| s.parameter("jwk", "{}")),
    ("x5u", |s| {
        s.parameter("x5u", r#""https://evil.example/chain.pem""#)
    }),
    ("cty", |s| s.parameter("cty", r#""JWT""#)),
    ("zip", |s| s.parameter("zip", r#""DEF""#)),
    ("unheard of", |s| s.parameter("unheard_of", "1")),
    ("typ: JWT", |s| s.parameter("typ", r#""JWT""#)),
    ("typ: in capitals", |s| s.parameter("typ", r#""AT+JWT""#)),
    ("typ: in full", |s| {
        s.parameter("typ", r#""application/at+jwt""#)
    }),
    ("typ: a page of the feed", |s| {
        s.parameter("typ", r#""waxseal-revocations+jwt""#)
    }),
    ("typ: null", |s| s.parameter("typ", "null")),
    ("typ: missing", |s| {
        s.seal(&s.header.without("typ"), &s.claims)
    }),
    ("kid: unknown", |s| s.parameter("kid", r#""somebody-else""#)),
    ("kid: a path", |s| s.parameter("kid", r#""../../dev/null""#)),
    ("kid: a prototype", |s| s.parameter("kid", r#""__proto__""#)),
    ("kid: empty", |s| s.parameter("kid", r#""""#)),
    ("kid: a number", |s| s.parameter("kid", "1")),
    ("kid: missing", |s| {
        s.seal(&s.header.without("kid"), &s.claims)
    }),
    ("alg twice", |s| {
        s.seal(&s.header.and("alg", s.header.raw("alg")), &s.claims)
    }),
    ("a long header", |s| {
        let header = s.header.text() + &" ".repeat(512);
        s.forger.seal(header, s.claims.text())
    }),
    // The algorithm is a property of the key.
    ("alg: none", |s| s.parameter("alg", r#""none""#)),
    ("alg: none, unsigned", |s| {
        let header = encode(s.header.with("alg", r#""none""#).text());
        format!("{header}.{}.", parts(&s.genuine)[1])
    }),
    ("alg: none, with something for a signature", |s| {
        let header = encode(s.header.with("alg", r#""none""#).text());
        format!("{header}.{}.AAAA", parts(&s.genuine)[1])
    }),
    ("alg: HS256 with the public key", |s| {
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
    }),
    ("alg: ES512", |s| s.parameter("alg", r#""ES512""#)),
    ("alg: Ed25519", |s| s.parameter("alg", r#""Ed25519""#)),
    ("alg: in small letters", |s| {
        s.parameter("alg", &s.header.raw("alg").to_lowercase())
    }),
    ("alg: missing", |s| {
        s.seal(&s.header.without("alg"), &s.claims)
    }),
    // The signature.
    ("another's Ed25519 key", |s| {
        Forger::stranger(Algorithm::EdDsa).resign(&s.genuine)
    }),
    ("another's P-256 key", |s| {
        Forger::stranger(Algorithm::Es256).resign(&s.genuine)
    }),
    ("zeros", |s| signature(s, &encode([0; 64]))),
    ("short", |s| signature(s, &encode([1; 63]))),
    ("none", |s| signature(s, "")),
    ("of other claims", |s| {
        let [header, _, signature] = parts(&s.genuine);
        format!(
            "{header}.{}.{signature}",
            encode(s.claims.with("scope", r#""admin""#).text())
        )
    }),
    // The text.
    ("padded", |s| format!("{}=", s.genuine)),
    ("a padded header", |s| s.genuine.replacen('.', "=.", 1)),
    ("a dot after it", |s| format!("{}.", s.genuine)),
    ("a dot before it", |s| format!(".{}", s.genuine)),
    ("a space after it", |s| format!("{} ", s.genuine)),
    ("a line end after it", |s| format!("{}\n", s.genuine)),
    ("white space within", |s| s.genuine.replacen('.', ". ", 1)),
    ("a null after it", |s| format!("{}\0", s.genuine)),
    ("a second reading of the last character", |s| {
        let (rest, last) = s.genuine.split_at(s.genuine.len() - 1);
        const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let place = ALPHABET.find(last).unwrap();
        format!("{rest}{}", &ALPHABET[place + 1..=place + 1])
    }),
    ("two parts", |s| {
        s.genuine.rsplit_once('.').unwrap().0.to_owned()
    }),
    ("twice", |s| format!("{0}.{0}", s.genuine)),
    ("too long", |s| s.claim("more", &quoted(&"a".repeat(8192)))),
    ("a PASETO", |s| {
        format!("v4.public.{}", parts(&s.genuine)[1])
    }),
    ("a flattened JWS", |s| {
        let [header, payload, signature] = parts(&s.genuine);
        format!(r#"{{"protected":"{header}","payload":"{payload}","signature":"{signature}"}}"#)
    }),
    ("empty", |_| String::new()),
    ("dots", |_| "..".to_owned()),
    ("a word", |_| "garbage".to_owned()),
];

fn signature(stolen: &Stolen, signature: &str) -> String {
    let (signed, _) = stolen.genuine.rsplit_once('.').unwrap();
    format!("{signed}.{signature}")
}
