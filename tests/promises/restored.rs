//! Promise 4, when an older copy of the log is put back under a running service: the service notices it, what it had
//! learned still binds, and no logout is lost silently.

use std::fs;
use std::path::Path;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use waxseal::embedded::{MAX_STALENESS, open_store};
use waxseal::id::UserId;
use waxseal::issuer::LogoutReach;
use waxseal::policy::{MAX_LEEWAY, Timeouts};
use waxseal::revocation::follower::FollowError;
use waxseal::revocation::log::{RevocationLog, Revoke};
use waxseal::revocation::{Reason, session_revocation_expiry};
use waxseal::store::sql::SqlStore;
use waxseal::time::{Clock, Timestamp};
use waxseal::verifier::Refusal;

use super::common::TestServer;
use super::token_forge::{Token, TokenForge};

/// How far the log grows again after it lost three entries: not at all, less far, as far, and further.
const GROWN_AGAIN: [usize; 5] = [0, 1, 3, 4, 9];
const LOST: usize = 3;

pub async fn sql(database: &Path, statements: &str) {
    let url = format!("sqlite:{}", database.display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let statements = AssertSqlSafe(statements.to_owned());
    sqlx::raw_sql(statements)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

struct World {
    server: TestServer,
    forge: TokenForge,
    alice: UserId,
}

impl World {
    async fn new() -> Self {
        let server = TestServer::new().await;
        let forge = TokenForge::new(&server.settings.keys_dir, 21);
        let alice = server.add_user("alice").await;
        Self {
            server,
            forge,
            alice,
        }
    }

    /// Writes as a version without marks would, or a process with another mark.
    async fn by_another_hand<T>(&self, write: impl AsyncFnOnce(SqlStore) -> T) -> T {
        let mark = tempfile::tempdir().unwrap();
        let mut settings = self.server.settings.clone();
        settings.mark_dir = mark.path().to_owned();
        write(open_store(&settings).await.unwrap()).await
    }

    async fn compact(&self, until: Timestamp) -> u64 {
        let compact = async |store: SqlStore| store.compact(until).await.unwrap();
        self.by_another_hand(compact).await
    }

    fn session(&self) -> Token {
        self.forge.session(self.server.clock.now())
    }

    /// Revokes new sessions in another process.
    async fn revoke(&self, count: usize) -> Vec<Token> {
        let tokens: Vec<_> = (0..count).map(|_| self.session()).collect();
        self.revoke_these(tokens).await
    }

    async fn revoke_these(&self, tokens: Vec<Token>) -> Vec<Token> {
        let revoke = async |store: SqlStore| {
            for token in &tokens {
                let until = session_revocation_expiry(token.claims.session_expiry);
                let what = Revoke::Session(token.lineage(), until);
                let at = self.server.clock.now();
                store.revoke(what, Reason::Operator, at).await.unwrap();
            }
        };
        self.by_another_hand(revoke).await;
        tokens
    }

    fn files(&self) -> (std::path::PathBuf, std::path::PathBuf) {
        let data = &self.server.settings.data_dir;
        (data.join("waxseal.db"), data.join("older.db"))
    }

    async fn back_up(&self) {
        let (database, older) = self.files();
        sql(&database, &format!("VACUUM INTO '{}'", older.display())).await;
    }

    /// Restores the copy in one transaction, as SQLite's own restore does.
    async fn restore(&self) {
        let (database, older) = self.files();
        let mut script = format!("ATTACH '{}' AS older; BEGIN IMMEDIATE;", older.display());
        for table in ["revocation", "user", "head"] {
            script += &format!(
                "DELETE FROM main.{table}; INSERT INTO main.{table} SELECT * FROM older.{table};"
            );
        }
        sql(&database, &(script + "COMMIT; DETACH older")).await;
    }

    fn all_revoked(&self, tokens: &[Token]) {
        for token in tokens {
            let verdict = self.server.waxseal.verifier().verify(&token.text);
            assert!(matches!(verdict, Err(Refusal::Revoked(_))), "{verdict:?}");
        }
    }

    /// Three revocations, a copy, and three more that are lost again. Returns all six tokens.
    async fn went_back() -> (Self, Vec<Token>) {
        let world = Self::new().await;
        let mut revoked = world.revoke(3).await;
        world.back_up().await;
        revoked.extend(world.revoke(LOST).await);
        world.server.waxseal.catch_up().await.unwrap();
        world.all_revoked(&revoked);
        world.restore().await;
        (world, revoked)
    }
}

#[tokio::test]
async fn a_log_that_went_back_is_noticed_and_what_was_learned_binds() {
    for grown in GROWN_AGAIN {
        let (world, revoked) = World::went_back().await;
        world.revoke(grown).await;
        let live = world.session();
        let verifier = world.server.waxseal.verifier();
        for _ in 0..3 {
            let noticed = world.server.waxseal.catch_up().await;
            assert!(
                matches!(noticed, Err(FollowError::Broken(_))),
                "grown by {grown}: {noticed:?}"
            );
            world.all_revoked(&revoked);
            world.revoke(1).await;
        }
        world.server.clock.advance(MAX_STALENESS);
        assert!(world.server.waxseal.catch_up().await.is_err());
        assert_eq!(verifier.verify(&live.text), Err(Refusal::Stale));
        world.all_revoked(&revoked);
    }
}

/// Also in the time before the service has noticed.
#[tokio::test]
async fn logouts_on_an_older_log_are_kept_or_fail() {
    for scope in [LogoutReach::This, LogoutReach::Others, LogoutReach::All] {
        for grown in GROWN_AGAIN {
            let (world, revoked) = World::went_back().await;
            let forge = TokenForge {
                user: world.alice,
                ..TokenForge::new(&world.server.settings.keys_dir, 22)
            };
            let verifier = world.server.waxseal.verifier();
            world.revoke(grown).await;
            for _ in 0..LOST + 2 {
                let at = world.server.clock.now();
                let (here, there) = (forge.session(at), forge.session(at));
                let Ok(claims) = verifier.verify(&here.text) else {
                    continue;
                };
                let answer = world.server.waxseal.issuer().logout(&claims, scope).await;
                let ended = match scope {
                    LogoutReach::This => &here,
                    LogoutReach::Others | LogoutReach::All => &there,
                };
                let verdict = verifier.verify(&ended.text);
                assert!(
                    answer.is_err() || verdict.is_err(),
                    "grown by {grown}, {scope:?}: acknowledged, and still accepted"
                );
                world.all_revoked(&revoked);
            }
        }
    }
}

#[tokio::test]
async fn a_log_that_went_back_and_was_compacted_revives_nothing_that_was_learned() {
    for grown in GROWN_AGAIN {
        let (world, revoked) = World::went_back().await;
        world.revoke(grown).await;
        let now = world.server.clock.now();
        let dropped = session_revocation_expiry(revoked[0].claims.session_expiry);
        let dropped = world.compact(dropped).await;
        assert_eq!(dropped, 3 + grown as u64);
        world.revoke(grown).await;
        // Whether this is noticed depends on what is left to compare.
        let _ = world.server.waxseal.catch_up().await;
        assert_eq!(world.server.clock.now(), now);
        world.all_revoked(&revoked);
    }
}

/// A compaction past the cursor must not hide that other entries replaced those that were read. So a cursor before the
/// newest dropped entry gets a snapshot.
#[tokio::test]
async fn an_older_compacted_log_is_noticed_or_read_again() {
    let brief = Timeouts {
        absolute: Duration::from_secs(600),
        ..Timeouts::default()
    };
    for grown in 0..=LOST {
        for more in [0, 1, 3] {
            let (world, learned) = World::went_back().await;
            let mut revoked = world.revoke(grown).await;
            // These expire first, and lie past the cursor, at least when the log has grown that far.
            let now = world.server.clock.now();
            let short = |_| world.forge.session_under(brief, world.forge.user, now);
            world.revoke_these((0..2).map(short).collect()).await;
            revoked.extend(world.revoke(more).await);
            let until = now.plus(brief.absolute + MAX_LEEWAY);
            let dropped = world.compact(until).await;
            assert_eq!(dropped, 2);
            let caught_up = world.server.waxseal.catch_up().await;
            world.all_revoked(&learned);
            for token in &revoked {
                let verdict = world.server.waxseal.verifier().verify(&token.text);
                assert!(
                    caught_up.is_err() || verdict.is_err(),
                    "grown by {grown} and {more}: the list calls itself fresh without it"
                );
            }
        }
    }
}

/// The keys are there and the log is not: what it had revoked is unknown.
#[tokio::test]
async fn a_lost_log_ends_every_session_that_the_keys_have_signed() {
    let server = TestServer::new().await;
    server.add_user("alice").await;
    let (revoked, live) = (server.login("alice").await, server.login("alice").await);
    let answer = server.post("/logout", Some(&revoked), None).await;
    assert_eq!(answer.status, 204);
    let mut server = server
        .restart(|settings| settings.data_dir = settings.data_dir.with_file_name("empty"))
        .await;
    server.add_user("alice").await;
    for _ in 0..2 {
        assert_eq!(server.verify(&revoked).await, 401);
        assert_eq!(server.verify(&live).await, 401);
        let new = server.login("alice").await;
        assert_eq!(server.verify(&new).await, 200);
        server = server.restart(|_| {}).await;
        assert_eq!(server.verify(&new).await, 200, "only once");
    }
}

/// The keys are as old as the log: nothing can have been lost.
#[tokio::test]
async fn restarts_without_any_login_revoke_nothing() {
    let mut server = TestServer::new().await;
    for _ in 0..2 {
        server = server.restart(|_| {}).await;
        let head = server.waxseal.log().read(0, 0).await.unwrap().head;
        assert_eq!(head.cursor.seq, 0);
    }
}

/// There was no login under the new log, and it began with its own keys.
#[tokio::test]
async fn keys_that_are_put_back_beside_a_new_log_end_what_they_have_signed() {
    let lost = TestServer::new().await;
    lost.add_user("alice").await;
    let token = lost.login("alice").await;
    let server = TestServer::new().await;
    let (from, to) = (&lost.settings.keys_dir, server.settings.keys_dir.clone());
    let put_back = async || {
        fs::remove_dir_all(&to).unwrap();
        fs::create_dir(&to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    };
    let server = server.restart_after(put_back).await;
    assert_eq!(server.verify(&token).await, 401);
}
