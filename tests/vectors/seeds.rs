//! The first inputs of every fuzz target: some by hand, and what the vectors of others hold.

use std::collections::BTreeSet;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use waxseal::http::COOKIE_NAME;
use waxseal::key::Format;
use waxseal::token::paseto::UntrustedMessage;
use waxseal::token::payload::Payload;
use waxseal::token::{self, types};

use super::checks::credentials::{FIRST, SECOND};
use super::checks::fixture::{CLIENT, EDDSA, ES256, Fixture, ISSUER, NOW, PASETO, SEPARATOR, TEXT};
use super::checks::page::{DIGEST, HASH, NONCE};
use super::{read_json, vectors};

/// What is found in the vectors.
#[derive(Default)]
pub struct Found {
    /// JWSs and PASETOs.
    signed: BTreeSet<String>,
    /// JWKs and JWK sets.
    keys: BTreeSet<String>,
    /// Other texts that are JSON objects.
    objects: BTreeSet<String>,
}

impl Found {
    /// Reads the vectors of others, where they are.
    pub fn read() -> Self {
        let mut found = Self::default();
        for folder in ["jose-cookbook", "paseto", "status-list", "wycheproof"] {
            if let Some(folder) = vectors(folder) {
                found.folder(&folder);
            }
        }
        found
    }

    pub fn is_empty(&self) -> bool {
        self.signed.is_empty()
    }

    fn folder(&mut self, folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.folder(&path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                self.value(&read_json(&path));
            }
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.text(text),
            Value::Array(elements) => elements.iter().for_each(|element| self.value(element)),
            Value::Object(members) => {
                if members.contains_key("kty") || members.get("keys").is_some_and(Value::is_array) {
                    self.keys.insert(value.to_string());
                }
                members.values().for_each(|member| self.value(member));
            }
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        if text.starts_with('{') {
            self.objects.insert(text.to_owned());
        } else if text.starts_with("eyJ") || text.starts_with("v4.public.") {
            self.signed.insert(text.to_owned());
        }
    }

    /// The seeds of a target.
    pub fn seeds(&self, target: &str) -> Vec<Vec<u8>> {
        let mut seeds = by_hand(target);
        let plain = |texts: &BTreeSet<String>| -> Vec<Vec<u8>> {
            texts.iter().map(|text| text.clone().into_bytes()).collect()
        };
        match target {
            "assertion" | "token" => {
                seeds.extend(self.signed.iter().map(|text| chosen(TEXT, text.as_bytes())));
                seeds.extend(self.signed.iter().filter_map(|text| signed_again(text)));
            }
            "authorization" => {
                let values = self.signed.iter().map(|text| format!("Bearer {text}"));
                seeds.extend(values.map(String::into_bytes));
            }
            "base64url" => {
                let parts = self.signed.iter().flat_map(|text| text.split('.'));
                let parts: BTreeSet<_> = parts.map(str::to_owned).collect();
                seeds.extend(plain(&parts));
            }
            "cookie" => {
                let values = self
                    .signed
                    .iter()
                    .map(|text| format!("{COOKIE_NAME}={text}"));
                seeds.extend(values.map(String::into_bytes));
            }
            "json" => {
                seeds.extend(plain(&self.objects));
                seeds.extend(plain(&self.keys));
                let parts = self.signed.iter().flat_map(|text| text.split('.'));
                let parts: BTreeSet<_> = parts.filter_map(decoded).collect();
                seeds.extend(parts.into_iter().filter(|part| part.starts_with(b"{")));
            }
            "jwk" => seeds.extend(plain(&self.keys)),
            "page" => {
                let pages = self
                    .signed
                    .iter()
                    .map(|text| json!({ "page": text, "entries": [] }));
                seeds.extend(pages.map(|page| chosen(TEXT, page.to_string().as_bytes())));
            }
            _ => {}
        }
        seeds
    }
}

fn decoded(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

fn chosen(choice: u8, rest: &[u8]) -> Vec<u8> {
    [&[choice], rest].concat()
}

fn pair(choice: u8, header: &[u8], payload: &[u8]) -> Vec<u8> {
    chosen(choice, &[header, &[SEPARATOR], payload].concat())
}

/// The header and the payload of a foreign text, for a key of the fixture to sign.
fn signed_again(text: &str) -> Option<Vec<u8>> {
    if let Ok(message) = UntrustedMessage::parse(text) {
        let (body, _) = text.strip_prefix("v4.public.")?.split_once('.')?;
        let body = decoded(body)?;
        let (payload, _) = body.split_last_chunk::<64>()?;
        return Some(pair(PASETO, message.footer(), payload));
    }
    let mut parts = text.split('.').map(decoded);
    let (header, payload) = (parts.next()??, parts.next()??);
    Some(pair(EDDSA, &header, &payload))
}

/// The seeds that are not from vectors.
fn by_hand(target: &str) -> Vec<Vec<u8>> {
    let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    match target {
        "assertion" => assertions(),
        "authorization" => lines(&[
            "Bearer 1",
            "bearer  1",
            "BEARER 2",
            "Bearer 1\nBearer 1",
            "Bearer 1\nBearer 2",
            "Bearer 1\nBasic YTpi",
            "Basic YTpi\nBearer 2",
            "Basic YTpi",
            "Basic YTpi, Bearer 1",
            "Bearer 1, Basic YTpi",
            "Digest username=\"a, Bearer 1\"",
            "Bearer",
            "Bearer ",
            "1",
            "",
        ]),
        "base64url" => texts(&["", "Zg", "Zh", "Zg==", "Zm8", "Zm9v", "+/", "-_-_", "Z"]),
        "cookie" => lines(&[
            "NAME=1",
            "a=b; NAME=2; c=d",
            "NAME=1; NAME=1",
            "NAME=1\nNAME=2",
            "a=b\nNAME=1\nc=d",
            "NAME =1; NAME=2",
            "NAME= 1",
            "NAME=\"1\"",
            "=NAME=1",
            "a=\"x; NAME=1; y\"",
            " \t NAME=1 \t ",
            "NAME",
            "__host-http-waxseal=1; NAME=2",
            "%5F_Host-Http-waxseal=1; NAME=2",
            "\u{2003}NAME=1; NAME=2",
            "",
        ]),
        "forwarded_for" => {
            let lists = [
                "",
                "198.51.100.1",
                "127.0.0.1, 198.51.100.1, 10.0.0.9",
                "198.51.100.1\n192.0.2.7\n10.0.0.9",
                "[2001:db8::9]:4711, 2001:db8:ffff::2",
                "198.51.100.1:4711",
                "::ffff:198.51.100.1, ::ffff:10.0.0.2",
                "unknown, 10.0.0.3",
                "198.51.100.1,, 10.0.0.3",
                "198.51.100.1, 2001:db8:fffe::1, 2001:db8:ffff:1::2",
            ];
            let long = format!("198.51.100.1{}", ",10.0.0.2".repeat(40));
            let lists = lists.into_iter().chain([&*long]);
            let of = |list: &str| (0..4).map(|peer| chosen(peer, list.as_bytes())).collect();
            lists.flat_map(|list| -> Vec<_> { of(list) }).collect()
        }
        "json" => texts(&[
            "{}",
            r#"{"a":1,"b":[true,false,null,-0,1.5e3,18446744073709551615],"c":{"d":"\u00e9\ud83d\ude00\n"}}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a":[[[[[[[1]]]]]]]}"#,
            r#"{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{}}}}}}}}}"#,
            " { \"a\" : \"\t\" } ",
            "[]",
        ]),
        "jwk" => jwks(),
        "page" => pages(),
        "token" => tokens(),
        other => panic!("unknown fuzz target {other}"),
    }
}

/// Lines of a header, with `1` and `2` for the tokens of two sessions and `NAME` for the name of the cookie.
fn lines(texts: &[&str]) -> Vec<Vec<u8>> {
    let stands_for = |byte| match byte {
        b'1' => FIRST,
        b'2' => SECOND,
        other => other,
    };
    let line = |text: &&str| {
        let text = text.replace("NAME", COOKIE_NAME).into_bytes();
        text.into_iter().map(stands_for).collect()
    };
    texts.iter().map(line).collect()
}

fn tokens() -> Vec<Vec<u8>> {
    let fixture = Fixture::get();
    let mut seeds = Vec::new();
    for choice in [EDDSA, ES256, PASETO] {
        let signer = fixture.signer(choice).unwrap();
        let format = signer.public().algorithm().format();
        let (session, client) = (fixture.claims(3), fixture.client_claims());
        for (payload, token) in [
            (
                Payload::new(&session, format),
                token::sign(&session, &signer.key),
            ),
            (
                Payload::of_client(&client, format),
                token::sign_client(&client, &signer.key),
            ),
        ] {
            let payload = serde_json::to_vec(&payload).unwrap();
            seeds.push(chosen(TEXT, token.unwrap().as_bytes()));
            seeds.push(chosen(choice, &payload));
            let header = signer.header(types::ACCESS_TOKEN);
            seeds.push(pair(choice, header.as_bytes(), &payload));
            // Nearly the same key and format.
            seeds.push(pair(choice % 3 + 1, header.as_bytes(), &payload));
            if format == Format::Paseto {
                let payload = String::from_utf8(payload)
                    .unwrap()
                    .replace("Z\"", "+00:00\"");
                seeds.push(chosen(choice, payload.as_bytes()));
            }
        }
    }
    seeds
}

fn assertions() -> Vec<Vec<u8>> {
    let now = NOW.secs();
    let claims = |audience: Value| {
        let claims = json!({
            "iss": CLIENT, "sub": CLIENT, "aud": audience, "exp": now + 60, "iat": now, "nbf": now, "jti": "one",
        });
        claims.to_string()
    };
    let mut seeds = Vec::new();
    for choice in [EDDSA, ES256] {
        let key = Fixture::get().signer(choice).unwrap().public();
        let (alg, kid) = (key.algorithm().name(), key.kid());
        for header in [
            json!({ "alg": alg, "kid": kid }),
            json!({ "alg": alg, "typ": "JWT", "kid": kid }),
            json!({ "alg": "Ed25519", "kid": kid }),
            json!({ "alg": alg, "typ": "at+jwt", "kid": kid }),
            json!({ "alg": alg }),
        ] {
            for audience in [json!(ISSUER), json!([ISSUER])] {
                let (header, claims) = (header.to_string(), claims(audience));
                seeds.push(pair(choice, header.as_bytes(), claims.as_bytes()));
            }
        }
        seeds.push(chosen(choice, claims(json!(ISSUER)).as_bytes()));
    }
    seeds
}

fn jwks() -> Vec<Vec<u8>> {
    let keys = [EDDSA, ES256].map(|choice| {
        let key = Fixture::get().signer(choice).unwrap().public();
        serde_json::to_value(key.jwk().unwrap()).unwrap()
    });
    let mut seeds = vec![json!({ "keys": keys })];
    for key in keys {
        let with = |name: &str, value: Value| {
            let mut key = key.clone();
            key[name] = value;
            key
        };
        seeds.extend([
            with("key_ops", json!(["verify", "sign"])),
            with("key_ops", json!(["sign"])),
            with("key_ops", json!(["verify", 1])),
            with("alg", json!("Ed25519")),
            with("use", json!("enc")),
            with("kid", json!("mine")),
            with("d", json!("AA")),
            with("x5c", json!([])),
            key,
        ]);
    }
    seeds
        .iter()
        .map(|seed| seed.to_string().into_bytes())
        .collect()
}

fn pages() -> Vec<Vec<u8>> {
    let id = "01a31c41-5000-7000-8000-000000000002";
    let entry = |seq: i64, scope: &str, key: &str| json!({ "seq": seq, "scope": scope, "key": key, "expires_at": 1_800_000_900_000_i64, "reason": "logout", "at": 1_800_000_000_000_i64 });
    let statement = |after: i64, snapshot: bool, seq: i64, hash: &str| {
        json!({
            "iss": ISSUER, "aud": CLIENT, "nonce": NONCE, "now": NOW.millis(), "age": 0, "after": after,
            "snapshot": snapshot, "more": false, "seq": seq, "hash": hash, "entries": DIGEST, "horizon": 0, "newest": 0,
        })
    };
    let some_hash = URL_SAFE_NO_PAD.encode([7; 32]);
    let mut cut_off = entry(1, "user", id);
    cut_off["from"] = json!(1_800_000_000_000_i64);
    cut_off["spared"] = json!(id);
    let mut renewed = entry(2, "session", id);
    renewed["from"] = json!(3);
    renewed["grace_until"] = json!(1_800_000_030_000_i64);
    renewed["reason"] = json!("renewed");
    let kinds = json!([
        cut_off,
        renewed,
        entry(3, "token", id),
        entry(4, "client", CLIENT),
        entry(5, "key", "a-key"),
        entry(6, "everything", ""),
    ]);
    let mut continued = statement(6, true, 9, &some_hash);
    continued["after_hash"] = json!(some_hash);
    let mut more = statement(0, true, 6, &some_hash);
    more["more"] = json!(true);
    let readings = [
        vec![statement(0, true, 6, &some_hash), kinds.clone()],
        vec![statement(0, false, 6, HASH), kinds.clone()],
        vec![
            more,
            kinds.clone(),
            continued,
            json!([entry(8, "session", id)]),
        ],
        vec![
            statement(0, true, i64::MAX, &some_hash),
            json!([]),
            statement(i64::MAX, false, i64::MAX, &some_hash),
            json!([entry(1, "session", id)]),
        ],
    ];
    let mut seeds = Vec::new();
    for parts in readings {
        let parts: Vec<_> = parts
            .iter()
            .map(|part| part.to_string().into_bytes())
            .collect();
        let parts = parts.join(&SEPARATOR);
        seeds.extend([EDDSA, ES256, PASETO].map(|choice| chosen(choice, &parts)));
    }
    let text = json!({ "page": "a.b.c", "entries": kinds });
    seeds.push(chosen(TEXT, text.to_string().as_bytes()));
    seeds
}
