//! Promise 4 for a leaked key: what it signed dies with it, and so does what was exchanged for that.

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use waxseal::claims::Claims;
use waxseal::embedded::{KeyFolder, Planned};
use waxseal::id::{Lineage, TokenId};
use waxseal::key::{Algorithm, Format, SigningKey};
use waxseal::random::OsRandom;
use waxseal::revocation::log::Revoke;
use waxseal::revocation::{Reason, Target};
use waxseal::schedule;
use waxseal::time::{Clock, Timestamp};

use super::common::TestServer;
use super::never_revived::log;
use super::token_forge::TokenForge;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Makes the published successor sign.
async fn rotate(server: &TestServer) {
    server.pass(14 * MINUTE).await;
    let (none, random) = (HashSet::new(), OsRandom::new());
    KeyFolder::new(&server.settings.keys_dir)
        .rotate(Algorithm::EdDsa, None, &none, &*server.clock, &random)
        .unwrap();
    server.waxseal.reload_keys().await;
    // The successor takes over a little later than the rotation.
    server.pass(2 * MINUTE).await;
}

#[tokio::test]
async fn tokens_forged_with_a_leaked_key_cannot_be_exchanged() {
    let server = TestServer::new().await;
    let leaked = TokenForge::new(&server.settings.keys_dir, 7);
    let victim = server.add_user("alice").await;
    let own = |token: &str| server.waxseal.verifier().verify(token).unwrap();
    let begun = own(&server.login("alice").await).claims().clone();
    server.add_user("mallory").await;
    let mallorys = own(&server.login("mallory").await).claims().clone();
    rotate(&server).await;
    let at = server.clock.now();
    let kid = leaked.key().public().kid().clone();
    let after = server.login("alice").await;
    assert_ne!(*own(&after).kid(), kid, "it was rotated");

    let idle = |mut claims: Claims| {
        claims.issued_at = at.whole_second();
        claims.expires_at = at.plus(10 * MINUTE).whole_second();
        claims.token_id = TokenId::new(at, &leaked.random);
        claims
    };
    let invented = |lineage_time: Timestamp| {
        let mut claims = idle(begun.clone());
        claims.session_id.lineage = Lineage::new(lineage_time, &leaked.random);
        claims
    };
    let due = |mut claims: Claims| {
        claims.renew_at = at.whole_second();
        claims
    };
    let mut as_victim = idle(mallorys);
    as_victim.subject = victim;
    let mut longer = idle(begun.clone());
    longer.session_expiry = begun.auth_time.plus(23 * HOUR);
    let mut scope = idle(begun.clone());
    scope.scope = "session admin".to_owned();
    let mut methods = idle(begun.clone());
    methods.methods = vec!["pwd".to_owned(), "otp".to_owned()];
    let mut fresh = idle(begun.clone());
    fresh.auth_time = at.whole_second();
    let forgeries = [
        ("a session that nobody began", invented(at)),
        ("one from the future", invented(at.plus(22 * HOUR))),
        ("the thief's own as the victim's", as_victim),
        ("one that lasts longer", longer),
        ("a wider scope", scope),
        ("another factor", methods),
        ("a later login", fresh),
    ];
    let entries = log(&server).await.entries.len();
    let mut laundered = Vec::new();
    for (name, claims) in forgeries {
        for claims in [claims.clone(), due(claims)] {
            let forged = leaked.sign(claims);
            assert_eq!(
                server.verify(&forged.text).await,
                200,
                "{name}: until it is known"
            );
            let answer = server
                .post("/session/renew", Some(&forged.text), None)
                .await;
            if answer.status != 401 {
                laundered.push((name, answer.json()["session"].clone()));
            }
        }
    }
    assert_eq!(laundered, []);
    assert_eq!(log(&server).await.entries.len(), entries);

    // A session that began here is touched under the new key: a rotation ends no session. It is the same session, and
    // ends with whatever ends that.
    let touched = leaked.sign(idle(begun.clone()));
    let answer = server
        .post("/session/renew", Some(&touched.text), None)
        .await;
    assert_eq!(answer.status, 200);
    let touched = answer.json()["access_token"].as_str().unwrap().to_owned();
    let log = server.waxseal.log();
    log.revoke(Revoke::Key(kid), Reason::Operator, at)
        .await
        .unwrap();
    log.revoke(Revoke::Everything, Reason::Operator, server.clock.now())
        .await
        .unwrap();
    server.waxseal.catch_up().await.unwrap();
    for token in [&touched, &after] {
        assert_eq!(server.verify(token).await, 401);
    }
}

/// The log alone has the revocation, as when the command ran where another copy of the folder is.
#[tokio::test]
async fn a_rotation_takes_out_a_key_that_was_revoked_elsewhere() {
    let server = TestServer::new().await;
    server.add_user("alice").await;
    server.pass(14 * MINUTE).await;
    let token = server.login("alice").await;
    let verified = server.waxseal.verifier().verify(&token).unwrap();
    let kid = verified.kid().clone();
    assert_eq!(server.waxseal.revoked_keys(), HashSet::new());
    let revoke = Revoke::Key(kid.clone());
    let log = server.waxseal.log();
    log.revoke(revoke, Reason::Operator, server.clock.now())
        .await
        .unwrap();
    server.waxseal.catch_up().await.unwrap();
    assert_eq!(server.verify(&token).await, 401);

    let folder = KeyFolder::new(&server.settings.keys_dir);
    let month = Some(720 * HOUR);
    let rotate = |revoked: &HashSet<_>| {
        let random = OsRandom::new();
        folder
            .rotate(Algorithm::EdDsa, month, revoked, &*server.clock, &random)
            .unwrap()
    };
    let signer = |plan: &[Planned]| {
        let soon = server.clock.now().plus(2 * MINUTE);
        let signer = schedule::signer(plan, Format::Jwt, soon, |_| false);
        signer.map(|key| key.kid.clone())
    };
    let unaware = rotate(&HashSet::new());
    assert_eq!(signer(&unaware.plan).as_ref(), Some(&kid));
    let aware = rotate(&server.waxseal.revoked_keys());
    assert!(signer(&aware.plan).is_some_and(|signer| signer != kid));
    server.waxseal.reload_keys().await;
    server.pass(2 * MINUTE).await;
    let token = server.login("alice").await;
    assert_eq!(server.verify(&token).await, 200);
}

/// A thief who has the private key can sign in either format.
#[tokio::test]
async fn a_revoked_key_is_revoked_under_its_name_in_the_other_format_too() {
    let server = TestServer::new().await;
    let leaked = TokenForge::new(&server.settings.keys_dir, 7);
    let kid = leaked.key().public().kid().clone();
    let names = fs::read_dir(&server.settings.keys_dir)
        .unwrap()
        .filter_map(|file| fs::read(file.unwrap().path()).ok())
        .filter_map(|pem| {
            let name = |format| {
                let key = SigningKey::from_pem(&pem, format).ok()?;
                Some(key.public().kid().clone())
            };
            Some([name(Format::Jwt)?, name(Format::Paseto)?])
        })
        .find(|[jwt, _]| *jwt == kid)
        .unwrap();

    let folder = KeyFolder::new(&server.settings.keys_dir);
    let (store, random) = (server.waxseal.log(), OsRandom::new());
    let revoked = folder.revoke(&kid, &*store, &*server.clock, &random);
    revoked.await.unwrap().left.unwrap();
    let page = log(&server).await;
    let entries = page.entries.into_iter();
    let targets: Vec<_> = entries.map(|entry| entry.revocation.target).collect();
    assert_eq!(targets, names.map(Target::Key));
}

/// Among several leeways, the one under which a token was refused first counts.
#[tokio::test]
async fn a_larger_leeway_revives_no_expired_token() {
    let server = TestServer::with(|settings| settings.timeouts.leeway = Duration::ZERO).await;
    server.add_user("alice").await;
    let token = server.login("alice").await;
    server.pass(15 * MINUTE).await;
    assert_eq!(server.verify(&token).await, 401);
    for leeway in [5, 60] {
        let leeway = Duration::from_secs(leeway);
        // Nothing was compacted meanwhile, and the service was killed.
        server_restarts(&server, leeway, &token).await;
    }
    let server = server
        .restart(|settings| settings.timeouts.leeway = MINUTE)
        .await;
    assert_eq!(server.verify(&token).await, 401);
    let after = server.login("alice").await;
    assert_eq!(server.verify(&after).await, 200);
}

async fn server_restarts(server: &TestServer, leeway: Duration, token: &str) {
    let mut settings = server.settings.clone();
    settings.timeouts.leeway = leeway;
    let random = std::sync::Arc::new(OsRandom::new());
    let clock = std::sync::Arc::clone(&server.clock) as _;
    let again = waxseal::Waxseal::open_with(&settings, clock, random, super::common::CHEAP)
        .await
        .unwrap();
    let verdict = again.verifier().verify(token);
    assert!(verdict.is_err(), "{leeway:?}: {verdict:?}");
}
