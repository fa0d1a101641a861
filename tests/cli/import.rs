//! `waxseal keys import`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use waxseal::key::{Algorithm, Format, SigningKey, generate_pem};
use waxseal::random::OsRandom;
use waxseal::store::key_folder::load;

use super::common::Place;
use super::folder::{names, scheduled};

fn pem(algorithm: Algorithm) -> String {
    generate_pem(algorithm, &OsRandom::new()).to_string()
}

/// Returns the private JWK of a generated key.
fn jwk(pem: &str, format: Format) -> Value {
    let key = SigningKey::from_pem(pem.as_bytes(), format).unwrap();
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::engine::general_purpose::STANDARD
        .decode(body)
        .unwrap();
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    match key.public().public_bytes() {
        [4, point @ ..] if point.len() == 64 => json!({
            "kty": "EC", "crv": "P-256", "d": text(&der[36..68]), "x": text(&point[..32]), "y": text(&point[32..]),
        }),
        public => json!({
            "kty": "OKP", "crv": "Ed25519", "d": text(&der[16..48]), "x": text(public),
        }),
    }
}

fn refused(place: &Place, format: &str, input: &str, words: &[&str]) {
    let keys = place.path().join("keys");
    let files = || keys.exists().then(|| names(&keys, ".pem"));
    let before = files();
    let output = place.run(&["keys", "import", "--token-format", format], input);
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{talk}");
    for word in words {
        assert!(talk.contains(word), "{word:?} is missing in {talk:?}");
    }
    assert_eq!(files(), before, "a refused key leaves nothing behind");
}

fn import(place: &Place, format: &str, input: &str) -> Value {
    let arguments = ["keys", "import", "--json", "--token-format", format];
    serde_json::from_str(&place.ok(&arguments, input)).unwrap()
}

fn state(place: &Place, kid: &Value) -> Value {
    let rows: Value = serde_json::from_str(&place.ok(&["keys", "list", "--json"], "")).unwrap();
    let rows = rows.as_array().unwrap();
    let row = rows.iter().find(|row| row["kid"] == *kid).unwrap();
    row["state"].clone()
}

#[test]
fn keys_from_elsewhere_are_taken_in_as_pem_and_as_jwk() {
    let place = Place::new();
    for (format, algorithm) in [
        ("jwt", Algorithm::EdDsa),
        ("jwt", Algorithm::Es256),
        ("paseto", Algorithm::V4Public),
    ] {
        for as_jwk in [false, true] {
            let pem = pem(algorithm);
            let key = SigningKey::from_pem(pem.as_bytes(), algorithm.format()).unwrap();
            let jwk = jwk(&pem, algorithm.format()).to_string();
            let first = !has_keys(&place, algorithm.format());
            let imported = import(&place, format, if as_jwk { &jwk } else { &pem });
            assert_eq!(imported["kid"], key.public().kid().as_str());
            assert_eq!(imported["algorithm"], algorithm.name());
            let wanted = if first { "signs" } else { "successor" };
            assert_eq!(state(&place, &imported["kid"]), wanted);
            for again in [&pem, &jwk] {
                refused(
                    &place,
                    format,
                    again,
                    &["already", key.public().kid().as_str()],
                );
            }
        }
    }
    assert_eq!(scheduled(&place.path().join("keys")).len(), 6);
    place.ok(&["keys", "plan"], "");
    place.ok(&["keys", "plan", "--token-format", "paseto"], "");
    place.ok(&["keys", "rotate"], "");
}

fn has_keys(place: &Place, format: Format) -> bool {
    let files = load(&place.path().join("keys")).unwrap();
    let mut algorithms = files.iter().map(|file| file.key.public().algorithm());
    algorithms.any(|algorithm| algorithm.format() == format)
}

#[test]
fn a_key_serves_one_format() {
    let place = Place::new();
    let one = pem(Algorithm::EdDsa);
    import(&place, "jwt", &one);
    refused(&place, "paseto", &one, &["one key in two formats"]);
    import(&place, "paseto", &pem(Algorithm::V4Public));
    let other = pem(Algorithm::V4Public);
    import(&place, "paseto", &other);
    refused(&place, "jwt", &other, &["one key in two formats"]);
    place.ok(&["keys", "list"], "");
    refused(
        &place,
        "paseto",
        &pem(Algorithm::Es256),
        &["v4.public", "Ed25519"],
    );
}

#[test]
fn input_other_than_a_private_key_is_refused() {
    let place = Place::new();
    let mine = pem(Algorithm::EdDsa);
    let good = jwk(&mine, Format::Jwt);
    let changed = |name: &str, value: Value| {
        let mut jwk = good.clone();
        jwk[name] = value;
        jwk.to_string()
    };
    let other = jwk(&pem(Algorithm::EdDsa), Format::Jwt);
    let public = {
        let mut jwk = good.clone();
        jwk.as_object_mut().unwrap().remove("d");
        jwk.to_string()
    };
    for format in ["jwt", "paseto"] {
        for input in [
            "",
            "rubbish",
            "{}",
            "{",
            &mine[..60],
            &format!("{mine}{mine}"),
            &mine.replace("PRIVATE KEY", "PUBLIC KEY"),
            &mine.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
            &public,
            &changed("x", other["x"].clone()),
            &changed("d", "AA".into()),
            &changed("crv", "Ed448".into()),
            &changed("kty", "oct".into()),
            &format!("{{\"d\":\"x\",{}", &good.to_string()[1..]),
        ] {
            refused(&place, format, input, &["the key on standard input"]);
        }
    }
    assert!(!place.path().join("keys").exists());
    import(&place, "jwt", &mine);
}
