//! A running server loads changes of the key folder, and no broken folder takes its keys away.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use waxseal::time::{Clock, SystemClock};
use waxseal::token::UntrustedToken;

use super::common::{PASSWORD, Place, Server};
use super::folder::{age, edit, names};

pub const HOUR: Duration = Duration::from_secs(3600);

pub fn kid(token: &str) -> String {
    UntrustedToken::parse(token).unwrap().kid().to_string()
}

/// Waits until `so` returns `true`: the service promises a second. Returns the time that it took.
pub async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) -> Duration {
    let began = SystemClock.uptime();
    for _ in 0..100 {
        if so().await {
            return SystemClock.uptime() - began;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not after two seconds: {what}");
}

/// A server with one user, and the tokens and keys that it shows.
pub struct Running {
    pub place: Place,
    pub server: Server,
    pub client: Client,
}

impl Running {
    pub fn new() -> Self {
        let place = Place::new();
        place.add_user("alice");
        let server = place.serve();
        Self {
            place,
            server,
            client: Client::new(),
        }
    }

    pub fn keys(&self) -> PathBuf {
        self.place.path().join("keys")
    }

    pub fn restart(&mut self) {
        self.server.terminate();
        self.server = self.place.serve();
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        let url = format!("{}{path}", self.server.url);
        let response = self.client.get(url).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    pub async fn login(&self) -> String {
        self.server.login(&self.client, "alice").await
    }

    pub async fn verify(&self, token: &str) -> u16 {
        self.server.verify(&self.client, token).await
    }

    pub async fn published(&self) -> Vec<String> {
        let (_, jwks) = self.get("/.well-known/jwks.json").await;
        let keys = jwks["keys"].as_array().unwrap().iter();
        keys.map(|key| key["kid"].as_str().unwrap().to_owned())
            .collect()
    }

    async fn keys_are(&self, state: &str) -> bool {
        let (status, ready) = self.get("/readyz").await;
        assert_eq!(status, 200, "keys that are broken are no reason to stop");
        ready["keys"] == state
    }

    /// The keys in that state, according to `waxseal keys list`.
    pub fn listed(&self, state: &str) -> Vec<String> {
        let rows: Value =
            serde_json::from_str(&self.place.ok(&["keys", "list", "--json"], "")).unwrap();
        let rows = rows.as_array().unwrap().iter();
        let rows = rows.filter(|row| row["state"] == state);
        rows.map(|row| row["kid"].as_str().unwrap().to_owned())
            .collect()
    }
}

pub fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).unwrap();
    for name in names(from, "") {
        fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}

#[tokio::test]
async fn a_running_server_takes_up_a_rotation_within_a_second() {
    let running = Running::new();
    let old = running.login().await;
    let [successor] = running.listed("successor").try_into().unwrap();
    assert_eq!(
        running.published().await.len(),
        2,
        "the successor is published"
    );

    running.place.ok(&["keys", "rotate"], "");
    let [next] = running.listed("successor").try_into().unwrap();
    let took = until("the new successor is published", async || {
        running.published().await.contains(&next)
    });
    println!("a rotation is taken up after {:?}", took.await);
    assert_eq!(
        kid(&running.login().await),
        kid(&old),
        "it is not the successor's turn yet"
    );

    age(&running.keys(), HOUR);
    let took = until("the successor signs", async || {
        kid(&running.login().await) == successor
    });
    println!("a turn is taken up after {:?}", took.await);
    assert_eq!(running.verify(&old).await, 200);
    assert!(!running.server.log().contains("broken"));
}

type Break = fn(&Path);

fn one_pem(keys: &Path) -> PathBuf {
    keys.join(names(keys, ".pem").pop_first().unwrap())
}

/// Ways to break a folder, and what a refusal names.
const BREAKS: [(Break, &str); 7] = [
    (
        |keys| {
            let path = keys.join("keyring.json");
            let text = fs::read(&path).unwrap();
            fs::write(&path, &text[..text.len() / 2]).unwrap();
        },
        "keyring.json",
    ),
    (|keys| fs::remove_file(one_pem(keys)).unwrap(), ".pem"),
    (
        |keys| fs::set_permissions(one_pem(keys), fs::Permissions::from_mode(0o644)).unwrap(),
        "chmod 600",
    ),
    (
        |keys| fs::write(one_pem(keys), "-----BEGIN PRIVATE KEY-----\nAAAA").unwrap(),
        ".pem",
    ),
    (
        |keys| {
            let pem = fs::read(one_pem(keys)).unwrap();
            for name in names(keys, ".pem") {
                fs::write(keys.join(name), &pem).unwrap();
            }
        },
        "is not the key",
    ),
    (
        |keys| {
            edit(keys, |rows| {
                rows[0]["signs_until"] = "2027-01-01T00:00:00Z".into();
            });
        },
        "waxseal keys rotate",
    ),
    (
        |keys| edit(keys, |rows| rows[0]["signs_from"] = "soon".into()),
        "keyring.json",
    ),
];

/// These are broken only for a server that had more keys.
const LOSSES: [Break; 4] = [
    |keys| fs::remove_dir_all(keys).unwrap(),
    |keys| fs::remove_file(keys.join("keyring.json")).unwrap(),
    |keys| {
        for name in names(keys, "") {
            fs::remove_file(keys.join(name)).unwrap();
        }
    },
    |keys| edit(keys, Vec::clear),
];

#[tokio::test]
async fn no_broken_folder_takes_the_keys_away_from_a_running_server() {
    let running = Running::new();
    let keys = running.keys();
    let good = running.place.path().join("good");
    copy(&keys, &good);
    let (old, published) = (running.login().await, running.published().await);
    let said = |running: &Running| running.server.log().matches("folder is broken").count();
    let breaks = BREAKS.map(|(change, _)| change).into_iter().chain(LOSSES);
    for (number, change) in breaks.enumerate() {
        change(&keys);
        until(&format!("{number} is noticed"), async || {
            running.keys_are("broken").await
        })
        .await;
        // Long enough for further reads of the folder.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert!(running.keys_are("broken").await);
        assert_eq!(said(&running), number + 1, "{}", running.server.log());
        assert_eq!(running.verify(&old).await, 200, "{number}");
        let new = running.login().await;
        assert_eq!(kid(&new), kid(&old));
        assert_eq!(running.verify(&new).await, 200, "{number}");
        assert_eq!(running.published().await, published);

        let _ = fs::remove_dir_all(&keys);
        copy(&good, &keys);
        until(&format!("{number} is repaired"), async || {
            running.keys_are("current").await
        })
        .await;
        assert_eq!(running.published().await, published);
    }
}

#[test]
fn a_server_does_not_start_on_a_broken_folder_and_names_the_file() {
    let place = Place::new();
    place.add_user("alice");
    drop(place.serve());
    let (keys, good) = (place.path().join("keys"), place.path().join("good"));
    copy(&keys, &good);
    for (change, word) in BREAKS {
        change(&keys);
        let output = place.run(&["serve", "--listen", "127.0.0.1:0"], "");
        let talk = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{talk}");
        assert!(talk.contains("keys") && talk.contains(word), "{talk}");
        fs::remove_dir_all(&keys).unwrap();
        copy(&good, &keys);
    }
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once_and_for_good_and_its_successor_signs() {
    let mut running = Running::new();
    let (keys, before) = (running.keys(), running.place.path().join("before"));
    copy(&keys, &before);
    let old = running.login().await;
    let gone = kid(&old);
    let [successor] = running.listed("successor").try_into().unwrap();

    running.place.ok(&["keys", "revoke", &gone], "");
    let refused = until("the revoked key is refused", async || {
        running.verify(&old).await == 401
    });
    println!("a revoked key is refused after {:?}", refused.await);
    let new = running.login().await;
    assert_eq!(kid(&new), successor);
    assert_eq!(running.verify(&new).await, 200);
    assert!(!running.published().await.contains(&gone));
    let [next] = running.listed("successor").try_into().unwrap();
    until("another successor is published", async || {
        running.published().await.contains(&next)
    })
    .await;

    // The revocation is not in the folder, but in the log.
    running.restart();
    for restored in [false, true] {
        if restored {
            fs::remove_dir_all(&keys).unwrap();
            copy(&before, &keys);
            tokio::time::sleep(Duration::from_millis(1100)).await;
        }
        for _ in 0..2 {
            assert_eq!(running.verify(&old).await, 401);
            assert_eq!(running.verify(&new).await, 200);
            assert_eq!(kid(&running.login().await), successor);
            assert!(!running.published().await.contains(&gone));
            running.restart();
        }
    }
    assert_eq!(running.listed("revoked"), [gone.as_str()]);
    let plan = running.place.run(&["keys", "plan"], "");
    assert_eq!(plan.status.code(), Some(3), "{plan:?}");
    let dry = running.place.ok(&["keys", "rotate", "--dry-run"], "");
    assert!(dry.contains("would be"), "{dry}");
    running.place.ok(&["keys", "rotate", "--every", "30d"], "");
    running.place.ok(&["keys", "plan"], "");
    assert_eq!(running.verify(&old).await, 401);
    assert_eq!(kid(&running.login().await), successor);
}

#[tokio::test]
async fn a_key_that_is_revoked_alone_is_replaced_at_once() {
    let place = Place::new();
    place.add_user("alice");
    let pem = waxseal::key::generate_pem(
        waxseal::key::Algorithm::EdDsa,
        &waxseal::random::OsRandom::new(),
    );
    place.ok(&["keys", "import"], &pem);
    let running = Running {
        server: place.serve(),
        place,
        client: Client::new(),
    };
    assert!(running.listed("successor").is_empty());
    let old = running.login().await;
    running.place.ok(&["keys", "revoke", &kid(&old)], "");
    until("another key signs", async || {
        let login = running.client.post(format!("{}/login", running.server.url));
        let login = login.json(&json!({ "username": "alice", "password": PASSWORD }));
        let answer: Value = login.send().await.unwrap().json().await.unwrap();
        let token = answer["access_token"].as_str();
        token.is_some_and(|token| kid(token) != kid(&old))
    })
    .await;
    let new = running.login().await;
    assert_eq!(running.listed("signs"), [kid(&new)]);
    assert_eq!(running.listed("successor").len(), 1);
    assert_eq!(running.verify(&new).await, 200);
    assert_eq!(running.verify(&old).await, 401);
    let again = running.place.run(&["keys", "import"], &pem);
    assert_eq!(again.status.code(), Some(1));
    let talk = String::from_utf8_lossy(&again.stderr);
    assert!(talk.contains("revoked"), "{talk}");
}
