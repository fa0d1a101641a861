//! Clients, with and without a running server.

use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use waxseal::key::{Algorithm, Format, SigningKey, generate_pem};
use waxseal::random::OsRandom;

use super::commands::{ends, json, refused};
use super::common::{ISSUER, Place, Server};

/// Requests a token, and returns the answer's status and body.
async fn ask(server: &Server, client: &reqwest::Client, id: &str, secret: &str) -> (u16, Value) {
    let request = client
        .post(format!("{}/oauth/token", server.url))
        .basic_auth(id, Some(secret))
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body("grant_type=client_credentials");
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn token(server: &Server, client: &reqwest::Client, id: &str, secret: &str) -> String {
    let (status, body) = ask(server, client, id, secret).await;
    assert_eq!(status, 200, "{body}");
    body["access_token"].as_str().unwrap().to_owned()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// Other programs rely on this output.
#[tokio::test]
async fn a_client_is_added_before_the_first_start_and_its_secret_is_shown_once() {
    let place = Place::new();
    let orders = "https://orders.example";
    let added = json(&place.ok(
        &[
            "client",
            "add",
            "Billing",
            "--scope",
            "stock:read orders:read",
            "--audience",
            orders,
            "--audience",
            ISSUER,
            "--json",
        ],
        "",
    ));
    let (id, secret) = (text(&added, "client_id"), text(&added, "client_secret"));
    assert!(id.starts_with("client-"), "{added}");
    assert!(secret.starts_with("wxs_") && secret.len() == 47, "{added}");
    assert_eq!(added["name"], "billing");
    assert_eq!(added["scope"], "orders:read stock:read");
    assert_eq!(added["audience"], json!([orders, ISSUER]));
    assert_eq!(
        (&added["enabled"], &added["secrets"], &added["keys"]),
        (&true.into(), &1.into(), &0.into())
    );

    let listed = place.ok(&["client", "list", "--json"], "");
    assert!(
        !listed.contains("secret\":\"") && !listed.contains(secret),
        "{listed}"
    );
    let mut expected = added.clone();
    expected.as_object_mut().unwrap().remove("client_secret");
    assert_eq!(json(&listed), json!([expected]));
    let people = place.ok(&["client", "list"], "");
    for word in [id, "enabled", "billing", "orders:read stock:read"] {
        assert!(people.contains(word), "{word} is missing in {people}");
    }
    assert!(!people.contains(secret));

    let server = place.serve();
    let client = reqwest::Client::new();
    let (status, body) = ask(&server, &client, id, secret).await;
    assert_eq!(
        (status, &body["scope"]),
        (200, &"orders:read stock:read".into())
    );
    // The same in the format for people.
    let added = place.ok(&["client", "add", "stock"], "");
    let line = |name: &str| {
        let line = added.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {added}"))
    };
    let secret = line("client_secret: ")
        .strip_suffix(" (shown once)")
        .unwrap();
    token(&server, &client, line("client_id: "), secret).await;
    assert!(!server.log().contains(secret));
}

#[tokio::test]
async fn a_running_server_sees_every_change_at_once() {
    let place = Place::new();
    let server = place.serve();
    let client = reqwest::Client::new();
    let added = json(&place.ok(&["client", "add", "billing", "--json"], ""));
    let (id, first) = (text(&added, "client_id"), text(&added, "client_secret"));
    let before = token(&server, &client, id, first).await;
    assert_eq!(server.verify(&client, &before).await, 200);

    // A new secret is valid next to the old one until the rotation is finished.
    let rotated = json(&place.ok(&["client", "rotate-secret", "billing", "--json"], ""));
    let second = text(&rotated, "client_secret");
    assert_eq!(rotated["client_id"], id);
    assert_ne!(first, second);
    for secret in [first, second] {
        token(&server, &client, id, secret).await;
    }
    let listed = json(&place.ok(&["client", "list", "--json"], ""));
    assert_eq!(listed[0]["secrets"], 2);
    place.ok(&["client", "rotate-secret", "billing", "--finish"], "");
    let (status, body) = ask(&server, &client, id, first).await;
    assert_eq!((status, &body["error"]), (401, &"invalid_client".into()));
    token(&server, &client, id, second).await;
    assert_eq!(
        server.verify(&client, &before).await,
        200,
        "tokens outlive the secret"
    );

    // The client's tokens end and it gets new ones: by name, and by ID.
    let mut last = before;
    for name in ["billing", id] {
        let revoked = json(&place.ok(&["revoke", "client", name, "--json"], ""));
        assert_eq!(
            (&revoked["scope"], &revoked["key"]),
            (&"client".into(), &id.into())
        );
        assert!(revoked["seq"].as_i64().unwrap() >= 1);
        assert!(ends(&server, &client, &last).await, "{name}");
        last = token(&server, &client, id, second).await;
        assert_eq!(server.verify(&client, &last).await, 200);
    }

    let disabled = json(&place.ok(&["client", "disable", "billing", "--json"], ""));
    assert!(disabled["seq"].as_i64().unwrap() >= 3, "{disabled}");
    assert_eq!(ask(&server, &client, id, second).await.0, 401);
    assert!(ends(&server, &client, &last).await);
    let listed = json(&place.ok(&["client", "list", "--json"], ""));
    assert_eq!(listed[0]["enabled"], false);
    place.ok(&["client", "enable", "billing"], "");
    let last = token(&server, &client, id, second).await;
    assert_eq!(server.verify(&client, &last).await, 200);

    place.ok(&["client", "delete", id], "");
    assert_eq!(ask(&server, &client, id, second).await.0, 401);
    assert!(ends(&server, &client, &last).await);
    assert_eq!(
        json(&place.ok(&["client", "list", "--json"], "")),
        json!([])
    );
    refused(
        &place.run(&["client", "delete", "billing"], ""),
        1,
        &["billing", "client list"],
    );
    // The name is free again, for a client with another ID.
    let again = json(&place.ok(&["client", "add", "billing", "--json"], ""));
    assert_ne!(again["client_id"], id);
    for secret in [first, second] {
        assert!(!server.log().contains(secret));
    }
}

#[tokio::test]
async fn revoking_all_ends_clients_tokens_too() {
    let place = Place::new();
    let server = place.serve();
    let client = reqwest::Client::new();
    let added = json(&place.ok(&["client", "add", "billing", "--json"], ""));
    let (id, secret) = (text(&added, "client_id"), text(&added, "client_secret"));
    let before = token(&server, &client, id, secret).await;
    place.ok(&["revoke", "all"], "");
    assert!(ends(&server, &client, &before).await);
    let after = token(&server, &client, id, secret).await;
    assert_eq!(server.verify(&client, &after).await, 200);
}

fn jwk(algorithm: Algorithm) -> Value {
    let pem = generate_pem(algorithm, &OsRandom::new());
    let key = SigningKey::from_pem(pem.as_bytes(), Format::Jwt).unwrap();
    serde_json::to_value(key.public().jwk().unwrap()).unwrap()
}

#[test]
fn a_client_may_have_keys_in_place_of_a_secret_and_others_later() {
    let place = Place::new();
    let (one, two) = (jwk(Algorithm::EdDsa), jwk(Algorithm::Es256));
    let arguments = ["client", "add", "signer", "--keys-stdin", "--json"];
    let added = json(&place.ok(&arguments, &json!({ "keys": [one, two] }).to_string()));
    assert_eq!(added.get("client_secret"), None, "{added}");
    assert_eq!((&added["secrets"], &added["keys"]), (&0.into(), &2.into()));
    // A single key does not need a set.
    place.ok(&["client", "set-keys", "signer"], &one.to_string());
    let listed = json(&place.ok(&["client", "list", "--json"], ""));
    assert_eq!(
        (&listed[0]["secrets"], &listed[0]["keys"]),
        (&0.into(), &1.into())
    );
    // A client with a secret may also have keys.
    place.ok(&["client", "add", "both"], "");
    place.ok(&["client", "set-keys", "both"], &two.to_string());
    let listed = json(&place.ok(&["client", "list", "--json"], ""));
    assert_eq!(
        (&listed[0]["secrets"], &listed[0]["keys"]),
        (&1.into(), &1.into())
    );
}

#[test]
fn invalid_keys_are_refused_and_change_nothing() {
    let place = Place::new();
    let good = jwk(Algorithm::EdDsa);
    place.ok(
        &["client", "add", "signer", "--keys-stdin"],
        &good.to_string(),
    );
    let with = |name: &str, value: Value| {
        let mut key = good.clone();
        key[name] = value;
        key
    };
    let private = with("d", "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A".into());
    let many: Vec<_> = (0..9).map(|_| jwk(Algorithm::EdDsa)).collect();
    let pem = generate_pem(Algorithm::EdDsa, &OsRandom::new());
    let rsa = json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB" });
    for (input, word) in [
        (private.to_string(), "secret"),
        (json!({ "keys": [good, private] }).to_string(), "secret"),
        (
            json!({ "kty": "oct", "k": "c2VjcmV0" }).to_string(),
            "secret",
        ),
        (json!({ "keys": [good, good] }).to_string(), "one kid"),
        (json!({ "keys": [] }).to_string(), "1 to 8"),
        (json!({ "keys": many }).to_string(), "1 to 8"),
        (json!({ "keys": good }).to_string(), "not a list"),
        (json!({ "keys": ["x"] }).to_string(), "not an object"),
        (json!({ "keys": [good, rsa] }).to_string(), "no algorithm"),
        (with("use", "enc".into()).to_string(), "use"),
        (with("x", "AAAA".into()).to_string(), "coordinate"),
        (pem.to_string(), "strict JSON"),
        (String::new(), "strict JSON"),
        ("[]".to_owned(), "strict JSON"),
        (
            format!("{{\"keys\":[],{}", " ".repeat(70_000)),
            "strict JSON",
        ),
    ] {
        let words = [word, "public EdDSA or ES256 keys"];
        refused(
            &place.run(&["client", "set-keys", "signer"], &input),
            1,
            &words,
        );
        refused(
            &place.run(&["client", "add", "other", "--keys-stdin"], &input),
            1,
            &words,
        );
    }
    let listed = json(&place.ok(&["client", "list", "--json"], ""));
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["keys"], 1);
}

#[test]
fn names_scopes_and_audiences_that_are_wrong_are_named() {
    let place = Place::new();
    let id = "client-01a20636-65a6-7b0b-ba2c-8e6795508a1e";
    for name in ["", "two words", "a/b", "ä", &"x".repeat(65), id] {
        refused(
            &place.run(&["client", "add", name], ""),
            2,
            &["client name"],
        );
    }
    for scope in [
        "a  b",
        " a",
        "a ",
        "a\"b",
        "a\\b",
        "a\tb",
        "ä",
        &"x".repeat(1025),
    ] {
        let output = place.run(&["client", "add", "billing", "--scope", scope], "");
        refused(&output, 2, &["--scope", "scopes"]);
    }
    for audience in [
        "",
        "https://a.example https://b.example",
        "ä",
        &"x".repeat(1025),
    ] {
        let output = place.run(&["client", "add", "billing", "--audience", audience], "");
        refused(&output, 2, &["--audience"]);
    }
    assert_eq!(
        json(&place.ok(&["client", "list", "--json"], "")),
        json!([])
    );
}

#[test]
fn a_client_that_is_there_already_or_is_not_there_is_named_with_advice() {
    let place = Place::new();
    for action in [&["client", "list"][..], &["client", "disable", "billing"]] {
        refused(&place.run(action, ""), 1, &["waxseal.db"]);
    }
    place.ok(&["client", "add", "billing"], "");
    let output = place.run(&["client", "add", "BILLING"], "");
    refused(&output, 1, &["billing", "rotate-secret"]);
    let unknown = "client-01a20636-65a6-7b0b-ba2c-8e6795508a1e";
    for name in ["nobody", unknown, "no name at all"] {
        for action in [
            &["client", "rotate-secret", name][..],
            &["client", "rotate-secret", name, "--finish"],
            &["client", "disable", name],
            &["client", "enable", name],
            &["client", "delete", name],
            &["revoke", "client", name],
        ] {
            refused(&place.run(action, ""), 1, &[name, "waxseal client list"]);
        }
        let keys = jwk(Algorithm::EdDsa).to_string();
        refused(&place.run(&["client", "set-keys", name], &keys), 1, &[name]);
    }
}
