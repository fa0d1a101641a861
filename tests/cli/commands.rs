//! Users, keys, tokens and revocations, with and without a running server.

use std::process::Output;

use serde_json::Value;
use waxseal::store::key_folder::load;

use super::common::{ISSUER, PASSWORD, Place, Server};

pub fn refused(output: &Output, code: i32, words: &[&str]) {
    let (talk, result) = (
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout),
    );
    assert_eq!(output.status.code(), Some(code), "{talk}");
    assert_eq!(result, "", "a refusal has no result");
    for word in words {
        assert!(talk.contains(word), "{word:?} is missing in {talk:?}");
    }
    assert!(!talk.contains("panicked"), "{talk}");
}

pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Returns whether the server refuses the token after a revocation by the command line. The server has a second to
/// learn of it.
pub async fn ends(server: &Server, client: &reqwest::Client, token: &str) -> bool {
    for _ in 0..20 {
        if server.verify(client, token).await == 401 {
            return true;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    false
}

#[test]
fn a_folder_without_a_database_is_told_where_to_look() {
    let place = Place::new();
    for command in [
        &["user", "list"][..],
        &["client", "list"],
        &["revoke", "all"],
    ] {
        let words = ["no database at data/waxseal.db", "--data-dir"];
        refused(&place.run(command, ""), 1, &words);
    }
    assert!(!place.path().join("data").exists());
}

#[tokio::test]
async fn users_are_added_changed_and_deleted_beside_a_server() {
    let place = Place::new();
    let server = place.serve();
    let client = reqwest::Client::new();
    assert!(
        server.log().contains("username: admin"),
        "the first start makes a user, and says so"
    );
    assert_eq!(server.log().matches("password: ").count(), 1);

    let added = json(&place.ok(
        &["user", "add", "Alice", "--password-stdin", "--json"],
        &format!("{PASSWORD}\n"),
    ));
    assert_eq!(added["username"], "alice");
    assert_eq!(
        added["password"],
        Value::Null,
        "a password that came in does not go out"
    );
    refused(
        &place.run(&["user", "add", "alice", "--password-stdin"], PASSWORD),
        1,
        &["alice", "user passwd"],
    );

    let token = server.login(&client, "alice").await;
    let session = client
        .get(format!("{}/session", server.url))
        .bearer_auth(&token)
        .send()
        .await
        .unwrap();
    assert_eq!(
        session.json::<Value>().await.unwrap()["subject"],
        added["id"]
    );
    place.ok(&["user", "disable", "alice"], "");
    assert!(ends(&server, &client, &token).await);
    let listed = json(&place.ok(&["user", "list", "--json"], ""));
    assert_eq!(listed[0]["username"], "admin");
    assert_eq!(
        (&listed[1]["username"], &listed[1]["enabled"]),
        (&"alice".into(), &false.into())
    );

    place.ok(&["user", "enable", "alice"], "");
    let token = server.login(&client, "alice").await;
    assert!(
        place
            .ok(
                &["user", "passwd", "alice", "--password-stdin"],
                "another long password"
            )
            .contains("alice")
    );
    assert!(ends(&server, &client, &token).await);
    place.ok(&["user", "passwd", "alice", "--password-stdin"], PASSWORD);
    let token = server.login(&client, "alice").await;
    place.ok(&["user", "delete", "alice"], "");
    assert!(ends(&server, &client, &token).await);
    refused(
        &place.run(&["user", "delete", "alice"], ""),
        1,
        &["alice", "user list"],
    );
}

#[test]
fn a_missing_password_is_generated_and_shown_once() {
    let place = Place::new();
    let made = json(&place.ok(&["user", "add", "bob", "--json"], ""));
    assert!(made["password"].as_str().unwrap().len() >= 22);
    let text = place.ok(&["user", "passwd", "bob"], "");
    assert!(
        text.starts_with("bob ") && text.contains("password: "),
        "{text}"
    );
}

#[test]
fn bad_names_and_passwords_are_refused() {
    let place = Place::new();
    refused(
        &place.run(&["user", "add", "no spaces", "--password-stdin"], PASSWORD),
        2,
        &["no spaces", "username"],
    );
    refused(
        &place.run(&["user", "add", "x", "--password-stdin"], "short"),
        1,
        &["at least 8"],
    );
    refused(
        &place.run(&["user", "add", "x", "--password-stdin"], &"a".repeat(1025)),
        1,
        &["at most 1024"],
    );
    refused(
        &place.run(
            &["user", "add", "x", "--password-stdin"],
            &"a".repeat(1_000_000),
        ),
        1,
        &["at most 1024"],
    );
    place.add_user("alice");
    let acme = ["--issuer", "https://auth.acme.example"];
    let forbidden = ["--forbidden-password-words", "roadrunner, coyote"];
    for (password, settings) in [
        ("Welcome2024!", &[][..]),
        ("alice@12345", &[]),
        ("Acme2024!", &acme),
        ("C0y0te@123", &forbidden),
    ] {
        for command in ["add", "passwd"] {
            let name = if command == "add" { "alice2" } else { "alice" };
            let arguments = [&["user", command, name, "--password-stdin"], settings].concat();
            refused(&place.run(&arguments, password), 1, &["attackers try"]);
        }
    }
    refused(
        &place.run(&["user", "enable", "nobody"], ""),
        1,
        &["nobody", "user list"],
    );
    let usage = place.run(&["user", "add"], "");
    assert_eq!(usage.status.code(), Some(2));
    assert_eq!(place.run(&["nonsense"], "").status.code(), Some(2));
}

#[tokio::test]
async fn revocations_reach_a_server_at_once() {
    let place = Place::new();
    place.add_user("alice");
    let server = place.serve();
    let client = reqwest::Client::new();
    let (one, two, three) = (
        server.login(&client, "alice").await,
        server.login(&client, "alice").await,
        server.login(&client, "alice").await,
    );

    let inspected = json(&place.ok(&["token", "inspect", "--json"], &one));
    assert_eq!(inspected["verified"], false);
    assert_eq!(inspected["header"]["typ"], "at+jwt");
    let sid = inspected["claims"]["sid"].as_str().unwrap();
    let revoked = json(&place.ok(&["revoke", "session", sid, "--json"], ""));
    assert_eq!(revoked["scope"], "session");
    assert!(sid.starts_with(revoked["key"].as_str().unwrap()));
    assert!(ends(&server, &client, &one).await);
    assert_eq!(server.verify(&client, &two).await, 200);

    let by_user = json(&place.ok(&["revoke", "user", "alice", "--json"], ""));
    assert_eq!(
        (&by_user["scope"], &by_user["seq"]),
        (&"user".into(), &2.into())
    );
    assert!(ends(&server, &client, &two).await && ends(&server, &client, &three).await);

    let four = server.login(&client, "alice").await;
    assert!(place.ok(&["revoke", "all"], "").contains("everything"));
    assert!(ends(&server, &client, &four).await);
    let five = server.login(&client, "alice").await;
    assert_eq!(server.verify(&client, &five).await, 200);

    refused(
        &place.run(&["revoke", "session", "x"], ""),
        2,
        &["\"x\"", "token inspect"],
    );
    refused(
        &place.run(&["revoke", "user", "nobody"], ""),
        1,
        &["nobody", "user list"],
    );
    let absent = "01a2062a-da96-7457-a848-bdab89fb15e5";
    refused(
        &place.run(&["revoke", "user", absent], ""),
        1,
        &[absent, "user list"],
    );
}

#[tokio::test]
async fn a_token_is_inspected_and_verified_from_standard_input() {
    let place = Place::new();
    place.add_user("alice");
    let server = place.serve();
    let client = reqwest::Client::new();
    let token = server.login(&client, "alice").await;
    let verify = ["token", "verify", "--issuer", ISSUER, "--json"];
    let verified = json(&place.ok(&verify, &format!("{token}\n")));
    assert_eq!(verified["verified"], true);
    assert_eq!(verified["claims"]["iss"], ISSUER);

    refused(
        &place.run(&["token", "verify"], &token),
        1,
        &["issuer (iss) does not match"],
    );
    refused(&place.run(&verify, &token[1..]), 1, &["refused"]);
    refused(&place.run(&verify, ""), 2, &["standard input has no token"]);
    refused(
        &place.run(&["token", "inspect"], "not a token"),
        1,
        &["not a JWT"],
    );
    refused(
        &place.run(&["token", "verify", &token], ""),
        2,
        &["unexpected argument"],
    );
    refused(
        &place.run(&["token", "verify", "--keys-dir", "elsewhere"], &token),
        1,
        &["elsewhere", "--keys-dir"],
    );
    assert!(
        !place.path().join("elsewhere").exists(),
        "looking makes no keys"
    );

    assert_eq!(server.logout(&client, &token).await.unwrap(), 204);
    refused(&place.run(&verify, &token), 1, &["revoked, scope session"]);
}

#[test]
fn keys_are_listed() {
    let place = Place::new();
    assert_eq!(
        json(&place.ok(&["keys", "list", "--json"], "")),
        serde_json::json!([])
    );
    drop(place.serve());
    let keys = json(&place.ok(&["keys", "list", "--json"], ""));
    assert_eq!(keys.as_array().unwrap().len(), 2);
    for (row, signs, state) in [(0, true, "signs"), (1, false, "successor")] {
        assert_eq!(
            (&keys[row]["algorithm"], &keys[row]["signs"]),
            (&"EdDSA".into(), &signs.into())
        );
        assert_eq!(keys[row]["state"], state);
    }
    assert_ne!(keys[0]["kid"], keys[1]["kid"]);
    let files = load(&place.path().join("keys")).unwrap();
    let file = &files[0].path;
    std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    refused(
        &place.run(&["keys", "list"], ""),
        1,
        &[name, "0644", "chmod 600"],
    );
    refused(
        &place.run(&["serve", "--listen", "127.0.0.1:0"], ""),
        1,
        &[name, "0644", "chmod 600"],
    );
}

#[test]
fn nothing_is_revoked_or_verified_in_a_database_that_is_not_there() {
    let place = Place::new();
    drop(place.serve());
    let token = "eyJ0eXAiOiJhdCtqd3QifQ.e30.AAAA";
    for arguments in [
        &["revoke", "all"][..],
        &["revoke", "user", "alice"],
        &["user", "disable", "alice"],
        &["user", "list"],
        &["token", "verify"],
    ] {
        let elsewhere = [arguments, &["--data-dir", "elsewhere"]].concat();
        refused(&place.run(&elsewhere, token), 1, &["elsewhere/waxseal.db"]);
        assert!(!place.path().join("elsewhere").exists());
    }
}

#[tokio::test]
async fn a_lost_database_revives_nothing() {
    let place = Place::new();
    place.add_user("alice");
    let client = reqwest::Client::new();
    let mut server = place.serve();
    let (ended, live) = (
        server.login(&client, "alice").await,
        server.login(&client, "alice").await,
    );
    assert_eq!(server.logout(&client, &ended).await.unwrap(), 204);
    assert!(server.terminate().success());
    std::fs::remove_dir_all(place.path().join("data")).unwrap();

    let server = place.serve();
    assert!(server.log().contains("the revocation log is new"));
    assert_eq!(server.verify(&client, &ended).await, 401);
    assert_eq!(
        server.verify(&client, &live).await,
        401,
        "nobody knows which were over"
    );
    place.add_user("alice");
    let token = server.login(&client, "alice").await;
    assert_eq!(server.verify(&client, &token).await, 200);
}
