//! What the token cache saves and how much memory it takes. This program stands alone because it counts the
//! allocations of the whole process.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod common;

#[path = "../misuse/forger.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod forger;

#[path = "../oauth/fixture.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod fixture;

mod token_cache;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use waxseal::id::{ClientId, Lineage, TokenId, UserId};
use waxseal::key::{Algorithm, SigningKey, generate_pem};
use waxseal::keyring::{Keyring, SharedKeyring};
use waxseal::policy::{Policy, Timeouts};
use waxseal::random::{OsRandom, SeededRandom};
use waxseal::revocation::freshness::Freshness;
use waxseal::revocation::internals;
use waxseal::revocation::list::RevocationList;
use waxseal::revocation::{ALL, Reason, Revocation, Target};
use waxseal::time::{Clock, SystemClock, Timestamp};
use waxseal::verifier::Verifier;
use waxseal::{session, token};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const ISSUER: &str = "https://issuer.example";
const CALLS: u64 = 1000;

/// The holder of this lock counts; no other test allocates meanwhile.
static COUNTING: Mutex<()> = Mutex::new(());

/// One revocation of each kind. None affects the token.
fn list(now: Timestamp, random: &SeededRandom) -> RevocationList {
    let list = RevocationList::new();
    let targets = [
        Target::Session(Lineage::new(now, random)),
        Target::Token(TokenId::new(now, random)),
        Target::User(UserId::new(now, random)),
        Target::Client(ClientId::new(now, random)),
        Target::Key("another".parse().unwrap()),
        Target::Everything,
    ];
    for (seq, target) in (1..).zip(targets) {
        let everything = target == Target::Everything;
        internals::apply(
            &list,
            &Revocation {
                seq,
                target,
                from: if everything { 1 } else { ALL },
                grace_until: None,
                spared: None,
                expires_at: now.plus(Duration::from_secs(9000)),
                reason: Reason::Operator,
                at: now,
            },
        );
    }
    list
}

fn allocations(work: impl Fn()) -> u64 {
    let before = dhat::HeapStats::get().total_blocks;
    for _ in 0..CALLS {
        work();
    }
    dhat::HeapStats::get().total_blocks - before
}

#[test]
fn a_repeated_verification_allocates_nothing() {
    let _counting = COUNTING.lock().unwrap_or_else(PoisonError::into_inner);
    let _profiler = dhat::Profiler::builder()
        .testing()
        .trim_backtraces(Some(4))
        .build();
    let (clock, random) = (SystemClock, SeededRandom::new(5));
    let now = clock.now();
    for algorithm in Algorithm::ALL {
        let pem = generate_pem(algorithm, &OsRandom::new());
        let key = SigningKey::from_pem(pem.as_bytes(), algorithm.format()).unwrap();
        let keyring = Keyring::from_verifying_keys([key.public().clone()]).unwrap();
        let policy = Policy::new(ISSUER, ISSUER, Timeouts::default()).unwrap();
        let freshness = Freshness::new(Duration::from_secs(3600));
        internals::prove(&freshness, clock.uptime());
        let verifier = Verifier::new(
            Arc::new(SharedKeyring::new(keyring)),
            vec![algorithm.format()],
            policy.clone(),
            Arc::new(list(now, &random)),
            Arc::new(freshness),
            Arc::new(clock),
        );
        let (user, lineage) = (UserId::new(now, &random), Lineage::new(now, &random));
        let claims = session::begin(&policy, user, lineage, now, &random);
        let text = token::sign(&claims, &key).unwrap();
        verifier.verify(&text).unwrap();
        // Threads that another test left may allocate meanwhile, but not all the time.
        let counts = (0..10).map(|_| allocations(|| drop(verifier.verify(&text).unwrap())));
        assert_eq!(counts.min(), Some(0), "{}", algorithm.name());
        // The counter does count: without the token cache there are allocations.
        let plain = verifier.with_token_cache(0);
        assert!(allocations(|| drop(plain.verify(&text).unwrap())) >= CALLS);
    }
}
