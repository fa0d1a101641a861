//! A key folder that is mounted read-only, as a Kubernetes secret is, and one without a successor.

use std::fs;
use std::process::{Command, Output};

use axum::http::StatusCode;
use reqwest::Client;
use serde_json::json;
use waxseal::id::{Lineage, TokenId};
use waxseal::key::{Algorithm, Format, generate_pem};
use waxseal::policy::{Policy, Timeouts};
use waxseal::random::{OsRandom, SeededRandom};
use waxseal::revocation::Reason;
use waxseal::revocation::log::Revoke;
use waxseal::store::key_folder;
use waxseal::time::Clock;
use waxseal::{session, token};

use super::common::{ISSUER, PASSWORD, Place, Server, TestServer, program};
use super::reload::{Running, kid, until};

/// A command of the program that sees the key folder read-only.
fn beside_a_mount(place: &Place, arguments: &[&str]) -> Command {
    let mount = r#"mount --bind keys keys && mount -o remount,ro,bind keys && exec "$0" "$@""#;
    let program = program();
    let mut command = Command::new("unshare");
    command
        .args(["-m", "sh", "-c", mount])
        .arg(program.get_program())
        .args(arguments)
        .current_dir(place.path());
    for (name, _) in program.get_envs() {
        command.env_remove(name);
    }
    command
}

fn talk(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_folder_that_is_mounted_read_only_serves_and_revokes() {
    let place = Place::new();
    place.add_user("alice");
    drop(place.serve());
    let probe = beside_a_mount(&place, &["keys", "list"]).output();
    if !probe.as_ref().is_ok_and(|probe| probe.status.success()) {
        eprintln!("LEFT OUT: nothing can be mounted here: {probe:?}");
        return;
    }
    let before = fs::read(place.path().join("keys/keyring.json")).unwrap();
    let server = Server::start(beside_a_mount(
        &place,
        &["serve", "--listen", "127.0.0.1:0", "--issuer", ISSUER],
    ));
    let running = Running {
        place,
        server,
        client: Client::new(),
    };
    let old = running.login().await;
    assert_eq!(running.verify(&old).await, 200);
    let [successor] = running.listed("successor").try_into().unwrap();

    for arguments in [["keys", "rotate"], ["keys", "prune"]] {
        let refused = beside_a_mount(&running.place, &arguments).output().unwrap();
        assert_eq!(refused.status.code(), Some(1));
        let talk = talk(&refused);
        assert!(
            talk.contains("keys/") && talk.contains("Read-only"),
            "{talk}"
        );
    }
    let mut dry = beside_a_mount(&running.place, &["keys", "rotate", "--dry-run"]);
    assert!(dry.output().unwrap().status.success());

    let revoked = beside_a_mount(&running.place, &["keys", "revoke", &kid(&old)])
        .output()
        .unwrap();
    assert!(revoked.status.success(), "{revoked:?}");
    assert!(
        talk(&revoked).contains("revoked, but stays in the key folder"),
        "{revoked:?}"
    );
    until("the revoked key is refused", async || {
        running.verify(&old).await == 401
    })
    .await;
    let new = running.login().await;
    assert_eq!(kid(&new), successor);
    assert_eq!(running.verify(&new).await, 200);
    assert!(!running.published().await.contains(&kid(&old)));
    let after = fs::read(running.keys().join("keyring.json")).unwrap();
    assert_eq!(after, before);
}

#[tokio::test]
async fn logins_fail_without_a_successor_and_other_keys_verify() {
    let (one, two) = [(); 2]
        .map(|()| generate_pem(Algorithm::EdDsa, &OsRandom::new()))
        .into();
    let server = TestServer::with(|settings| {
        fs::create_dir(&settings.keys_dir).unwrap();
        for (name, pem) in [("1.pem", &one), ("2.pem", &two)] {
            let path = settings.keys_dir.join(name);
            fs::write(&path, pem).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            fs::set_permissions(&path, mode).unwrap();
        }
    })
    .await;
    let user = server.add_user("alice").await;
    // The folder had keys, and the log is new.
    server.pass(std::time::Duration::from_secs(2)).await;
    let token = server.login("alice").await;
    let files = key_folder::load(&server.settings.keys_dir).unwrap();
    assert_eq!(kid(&token), files[1].key.public().kid().as_str());

    let (random, now) = (SeededRandom::new(5), server.clock.now());
    let policy = Policy::new(ISSUER, ISSUER, Timeouts::default()).unwrap();
    let lineage = Lineage::new(now, &random);
    let mut claims = session::begin(&policy, user, lineage, now, &random);
    claims.token_id = TokenId::new(now, &random);
    let other = token::sign(&claims, &files[0].key).unwrap();
    assert_eq!(server.verify(&other).await, StatusCode::OK);

    let revoke = Revoke::Key(files[1].key.public().kid().clone());
    let log = server.waxseal.log();
    log.revoke(revoke, Reason::Operator, now).await.unwrap();
    server.waxseal.catch_up().await.unwrap();
    let login = json!({ "username": "alice", "password": PASSWORD });
    let answer = server.post("/login", None, Some(login)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.code(), "unavailable");
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(server.verify(&token).await, StatusCode::UNAUTHORIZED);
    assert_eq!(server.verify(&other).await, StatusCode::OK);
    let readyz = server.get("/readyz", &other).await;
    assert_eq!(readyz.status, StatusCode::OK);
    assert_eq!(readyz.json()["keys"], "no_signing_key");
    let ring = key_folder::keyring(&server.settings.keys_dir).unwrap();
    assert!(ring.signing(Format::Jwt, now, |_| false).is_some());
}
