//! Promise 2: a list that was stale when it was read is not trusted because it became fresh afterwards.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use waxseal::Verifier;
use waxseal::key::{Algorithm, Format, SigningKey, generate_pem};
use waxseal::keyring::{Keyring, SharedKeyring};
use waxseal::policy::{Policy, Timeouts};
use waxseal::random::{OsRandom, SeededRandom};
use waxseal::revocation::follower::Follower;
use waxseal::revocation::freshness::Freshness;
use waxseal::revocation::internals;
use waxseal::revocation::list::RevocationList;
use waxseal::revocation::log::{LogReader, Page, RevocationLog, StoreError};
use waxseal::revocation::{ALL, Reason, Revocation, Target, session_revocation_expiry};
use waxseal::time::{Clock, ManualClock, Timestamp};
use waxseal::verifier::Refusal;

use super::common::{ISSUER, START, TestServer};

type Meanwhile = Box<dyn FnOnce() + Send>;

/// A clock that runs a closure during one of its readings, after a number of earlier ones.
struct Busy(Mutex<(usize, Option<Meanwhile>)>);

impl std::fmt::Debug for Busy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Busy")
    }
}

const UPTIME: Duration = Duration::from_secs(1000);

impl Clock for Busy {
    fn now(&self) -> Timestamp {
        START
    }

    fn uptime(&self) -> Duration {
        let mut state = self.0.lock().unwrap();
        match state.0.checked_sub(1) {
            Some(left) => state.0 = left,
            None => {
                if let Some(meanwhile) = state.1.take() {
                    meanwhile();
                }
            }
        }
        UPTIME
    }
}

#[test]
fn a_freshness_proof_during_a_verification_does_not_cover_earlier_look_ups() {
    (0..4).for_each(is_refused_if_the_list_catches_up_after);
}

fn is_refused_if_the_list_catches_up_after(readings: usize) {
    let random = SeededRandom::new(1);
    let pem = generate_pem(Algorithm::EdDsa, &OsRandom::new());
    let key = SigningKey::from_pem(pem.as_bytes(), Format::Jwt).unwrap();
    let keyring = Keyring::from_verifying_keys([key.public().clone()]).unwrap();
    let policy = Policy::new(ISSUER, ISSUER, Timeouts::default()).unwrap();
    let user = waxseal::id::UserId::new(START, &random);
    let lineage = waxseal::id::Lineage::new(START, &random);
    let claims = waxseal::session::begin(&policy, user, lineage, START, &random);
    let token = waxseal::token::sign(&claims, &key).unwrap();

    let list = Arc::new(RevocationList::new());
    let freshness = Arc::new(Freshness::new(Duration::from_secs(5)));
    let revocation = Revocation {
        seq: 1,
        target: Target::Session(lineage),
        from: ALL,
        grace_until: None,
        spared: None,
        expires_at: session_revocation_expiry(claims.session_expiry),
        reason: Reason::Logout,
        at: START,
    };
    // A stale list catches up just when the verifier reads the clock.
    let (learns, proves) = (Arc::clone(&list), Arc::clone(&freshness));
    let catches_up: Meanwhile = Box::new(move || {
        internals::apply(&learns, &revocation);
        internals::prove(&proves, UPTIME);
    });
    let verifier = Verifier::new(
        Arc::new(SharedKeyring::new(keyring)),
        vec![Format::Jwt],
        policy,
        list,
        freshness,
        Arc::new(Busy(Mutex::new((readings, Some(catches_up))))),
    );
    let refusal = verifier.verify(&token).unwrap_err();
    assert!(
        matches!(refusal, Refusal::Revoked(_) | Refusal::Stale),
        "{refusal}"
    );
}

/// A log that takes as long as this to answer.
#[derive(Debug)]
struct SlowLog {
    log: Arc<dyn RevocationLog>,
    clock: Arc<ManualClock>,
    takes: Duration,
}

#[async_trait]
impl LogReader for SlowLog {
    async fn read(&self, after: i64, limit: u32) -> Result<Page, StoreError> {
        let page = self.log.read(after, limit).await;
        self.clock.advance(self.takes);
        page
    }
}

#[tokio::test]
async fn a_reading_proves_the_list_fresh_as_of_the_moment_before_it_began() {
    let server = TestServer::new().await;
    let second = Duration::from_secs(1);
    let clock = Arc::new(ManualClock::at(START));
    let log = SlowLog {
        log: server.waxseal.log(),
        clock: Arc::clone(&clock),
        takes: 3 * second,
    };
    let follower = Follower::new(Arc::new(log), 5 * second, Arc::clone(&clock) as _);
    follower.catch_up().await.unwrap();
    let fresh = || follower.freshness().holds(clock.uptime());
    clock.advance(2 * second - Duration::from_millis(1));
    assert!(fresh());
    clock.advance(Duration::from_millis(2));
    assert!(
        !fresh(),
        "an entry written just after the read is not known"
    );
}
