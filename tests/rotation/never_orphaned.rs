//! **Never orphaned**: through many rotations under a constant load of logins, touches and verifications, verifiers
//! that hold their copy of the keys as long as they may refuse no live token.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;
use waxseal::embedded::KeyFolder;
use waxseal::id::{Lineage, TokenId, UserId};
use waxseal::key::{Algorithm, Format, VerifyingKey};
use waxseal::keyring::{Keyring, KeyringError, SharedKeyring};
use waxseal::policy::{LIFETIME_CAP, MAX_LEEWAY, Policy, Timeouts};
use waxseal::random::{OsRandom, SeededRandom};
use waxseal::revocation::freshness::Freshness;
use waxseal::revocation::internals;
use waxseal::revocation::list::RevocationList;
use waxseal::schedule::{
    LEAD, MAX_AGE, PROPAGATION, Planned, Rotation, SETTLE, SKEW, ScheduleError, Times,
};
use waxseal::session;
use waxseal::store::key_folder::{self, KeyFolderChange, KeyFolderError};
use waxseal::time::{Clock, ManualClock, Timestamp};
use waxseal::verifier::Refusal;
use waxseal::{Settings, Verifier, Waxseal, token};

use super::common::{CHEAP, ISSUER, TestServer};

const MS: Duration = Duration::from_millis(1);

const FORMATS: [(Format, Algorithm); 2] = [
    (Format::Jwt, Algorithm::EdDsa),
    (Format::Paseto, Algorithm::V4Public),
];

async fn get(router: &Router, path: &str) -> (HeaderMap, Vec<u8>) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    assert_eq!(parts.status, 200);
    (
        parts.headers,
        body.collect().await.unwrap().to_bytes().to_vec(),
    )
}

fn max_age(headers: &HeaderMap) -> Duration {
    let cache = headers["cache-control"].to_str().unwrap();
    let seconds = cache.strip_prefix("public, max-age=").unwrap();
    Duration::from_secs(seconds.parse().unwrap())
}

/// Fetches the public keys as any client does, and how long they may be cached.
async fn published(router: &Router, format: Format) -> (Keyring, Duration) {
    match format {
        Format::Jwt => {
            let (headers, body) = get(router, "/.well-known/jwks.json").await;
            (Keyring::from_jwks(&body).unwrap(), max_age(&headers))
        }
        Format::Paseto => {
            let (headers, body) = get(router, "/.well-known/paserks.json").await;
            let json: Value = serde_json::from_slice(&body).unwrap();
            let keys = json["keys"].as_array().unwrap().iter().map(|key| {
                let parsed = VerifyingKey::from_paserk(key["paserk"].as_str().unwrap()).unwrap();
                assert_eq!(key["kid"], parsed.kid().as_str());
                parsed
            });
            (
                Keyring::from_verifying_keys(keys).unwrap(),
                max_age(&headers),
            )
        }
    }
}

/// A verifier in another process. It fetches the keys when its copy is too old, and never before.
struct Remote {
    verifier: Verifier,
    keyring: Arc<SharedKeyring>,
    stale_at: Timestamp,
}

impl Remote {
    fn new(format: Format, clock: &Arc<ManualClock>) -> Self {
        let keyring = Arc::new(SharedKeyring::new(Keyring::default()));
        // Revocation is not tested here: the list is empty, and always fresh.
        let freshness = Freshness::new(Duration::from_secs(1 << 40));
        internals::prove(&freshness, clock.uptime());
        let verifier = Verifier::new(
            Arc::clone(&keyring),
            vec![format],
            Policy::new(ISSUER, ISSUER, Timeouts::default()).unwrap(),
            Arc::new(RevocationList::new()),
            Arc::new(freshness),
            Arc::clone(clock) as _,
        );
        Self {
            verifier,
            keyring,
            stale_at: Timestamp::EPOCH,
        }
    }

    /// Fetches the keys, as a verifier that has just started.
    async fn fetch(&mut self, from: &Router, format: Format, now: Timestamp) {
        let (keyring, max_age) = published(from, format).await;
        self.keyring.replace(keyring);
        self.stale_at = now.plus(max_age);
    }
}

#[derive(Debug, Default)]
struct Count {
    rotations: u32,
    signed: u32,
    verified: u32,
    unknown: u32,
    refused: u32,
}

/// Two nodes that share a key folder, and remote verifiers. One node learns of a change as late as allowed.
struct World {
    format: Format,
    algorithm: Algorithm,
    server: TestServer,
    late: Waxseal,
    late_router: Router,
    late_keyring: Keyring,
    prompt_keyring: Keyring,
    user: UserId,
    random: SeededRandom,
    /// Two that fetch from time to time, and four that start in turn at the worst moments.
    remotes: [Remote; 6],
    worst: usize,
    live: VecDeque<(String, Timestamp)>,
    count: Count,
}

impl World {
    async fn new(format: Format, algorithm: Algorithm) -> Self {
        let set = |settings: &mut Settings| {
            settings.format = format;
            settings.accepts = vec![format];
        };
        let server = TestServer::with(set).await;
        let mut settings = server.settings.clone();
        settings.data_dir.set_file_name("late");
        settings.mark_dir.set_file_name("late mark");
        let clock = Arc::clone(&server.clock);
        let late = Waxseal::open_with(
            &settings,
            Arc::clone(&clock) as _,
            Arc::new(SeededRandom::new(8)),
            CHEAP,
        );
        let late = late.await.unwrap();
        let user = server.add_user("alice").await;
        // The late node's log is new, and it accepts nothing from before.
        clock.advance(Duration::from_secs(2));
        Self {
            late_router: late.router(),
            prompt_keyring: key_folder::keyring(&settings.keys_dir).unwrap(),
            late_keyring: key_folder::keyring(&settings.keys_dir).unwrap(),
            remotes: [(); 6].map(|()| Remote::new(format, &clock)),
            worst: 0,
            random: SeededRandom::new(7),
            live: VecDeque::new(),
            count: Count::default(),
            format,
            algorithm,
            server,
            late,
            user,
        }
    }

    fn now(&self) -> Timestamp {
        self.server.clock.now()
    }

    async fn late_learns(&mut self) {
        self.late.reload_keys().await;
        self.late_keyring = key_folder::keyring(&self.server.settings.keys_dir).unwrap();
    }

    /// The next of the worst-case verifiers starts, and gets the oldest keys that any node still serves.
    async fn worst_fetches(&mut self) {
        let now = self.now();
        self.worst = (self.worst + 1) % 4;
        self.remotes[2 + self.worst]
            .fetch(&self.late_router, self.format, now)
            .await;
    }

    /// A token of the same session with another `jti` and a later end, as a touch makes it, with the key that signs at
    /// `at`: a signing node's clock may be ahead.
    fn touch(&self, keyring: &Keyring, at: Timestamp, lifetime: Duration) -> (String, Timestamp) {
        let now = self.now();
        let policy = Policy::new(ISSUER, ISSUER, Timeouts::default()).unwrap();
        let lineage = Lineage::new(now, &self.random);
        let mut claims = session::begin(&policy, self.user, lineage, now, &self.random);
        claims.token_id = TokenId::new(now, &self.random);
        claims.expires_at = now.whole_second().plus(lifetime);
        claims.session_expiry = claims.expires_at;
        let key = keyring.signing(self.format, at, |_| false).unwrap();
        (token::sign(&claims, key).unwrap(), claims.expires_at)
    }

    /// Logs in, touches, and verifies everywhere: the new tokens, those that are about to expire, and some of the
    /// others.
    async fn load(&mut self) {
        let now = self.now();
        self.server.pass(Duration::ZERO).await;
        self.late.catch_up().await.unwrap();
        for (number, remote) in self.remotes.iter_mut().enumerate() {
            if remote.stale_at <= now {
                let from = [&self.server.router, &self.late_router][number % 2];
                remote.fetch(from, self.format, now).await;
            }
        }
        let idle = Timeouts::default().idle;
        let ahead = now.plus(SKEW);
        let prompt = &self.prompt_keyring;
        let new = [
            (
                self.server.login("alice").await,
                now.whole_second().plus(idle),
            ),
            self.touch(prompt, now, idle),
            self.touch(prompt, ahead, LIFETIME_CAP),
            self.touch(&self.late_keyring, now, LIFETIME_CAP),
        ];
        self.count.signed += 4;
        self.live.retain(|(_, until)| now < *until);
        let step = self.live.len() / 4 + 1;
        let some = self.live.iter().step_by(step);
        let mut tokens: Vec<_> = new.iter().chain(some).collect();
        let dying = self.live.iter().min_by_key(|(_, until)| *until);
        tokens.extend(dying);
        let nodes = [self.server.waxseal.verifier(), self.late.verifier()];
        let nodes = nodes.iter().map(|node| &**node);
        let remotes = self.remotes.iter().map(|remote| &remote.verifier);
        for verifier in nodes.chain(remotes) {
            for (token, _) in &tokens {
                self.count.verified += 1;
                match verifier.verify(token) {
                    Ok(_) => {}
                    Err(Refusal::UnknownKey) => self.count.unknown += 1,
                    Err(why) => {
                        self.count.refused += 1;
                        eprintln!("refused: {why}");
                    }
                }
            }
        }
        self.live.extend(new);
    }

    async fn load_for(&mut self, time: Duration, every: Duration) {
        let until = self.now().plus(time);
        while self.now().plus(every) <= until {
            self.server.clock.advance(every);
            self.load().await;
        }
        let left = until.millis() - self.now().millis();
        self.server
            .clock
            .advance(Duration::from_millis(left.unsigned_abs()));
        self.load().await;
    }

    /// Runs the load after a change of the folder, until every node has learned of it.
    async fn changed(&mut self) {
        self.server.waxseal.reload_keys().await;
        self.prompt_keyring = key_folder::keyring(&self.server.settings.keys_dir).unwrap();
        self.load().await;
        self.load_for(PROPAGATION - MS, Duration::from_secs(40))
            .await;
        self.worst_fetches().await;
        self.load_for(MS, MS).await;
        self.late_learns().await;
        self.load().await;
    }

    async fn rotate(&mut self) -> Timestamp {
        self.worst_fetches().await;
        let folder = KeyFolder::new(&self.server.settings.keys_dir);
        let (clock, none) = (&*self.server.clock, HashSet::new());
        folder.prune(clock).unwrap();
        let rotated = folder.rotate(self.algorithm, None, &none, clock, &OsRandom::new());
        self.count.rotations += 1;
        let Rotation::TakesOver(_, at) = rotated.unwrap().rotation else {
            panic!("no rotation");
        };
        at
    }
}

#[tokio::test]
async fn never_orphaned_jwt() {
    never_orphaned(Format::Jwt, Algorithm::EdDsa).await;
}

#[tokio::test]
async fn never_orphaned_paseto() {
    never_orphaned(Format::Paseto, Algorithm::V4Public).await;
}

async fn never_orphaned(format: Format, algorithm: Algorithm) {
    let mut world = World::new(format, algorithm).await;
    world.load().await;
    // The verifiers of the first keys, too, have had their copies for a while.
    world.load_for(LEAD, Duration::from_secs(60)).await;
    while world.count.rotations < 22 {
        // The successor has been published for long enough, and signs at once.
        let at = world.rotate().await;
        assert_eq!(at, world.now());
        world.changed().await;
        world
            .load_for(SETTLE - PROPAGATION, Duration::from_secs(30))
            .await;
        // This successor has only just been published.
        let published = world.now().minus(SETTLE);
        let at = world.rotate().await;
        assert_eq!(at, published.plus(LEAD));
        world.changed().await;
        // From here on, a signing clock that is ahead by the skew uses the new key.
        let left = at.minus(SKEW).millis() - world.now().millis();
        let left = Duration::from_millis(left.unsigned_abs());
        world.load_for(left - MS, Duration::from_secs(60)).await;
        world.load_for(MS, MS).await;
        world.load_for(SKEW - MS, Duration::from_secs(20)).await;
        world.load_for(MS, MS).await;
        world
            .load_for(Duration::from_secs(1200), Duration::from_secs(60))
            .await;
        world
            .load_for(Duration::from_secs(5 * 3600), Duration::from_secs(1800))
            .await;
    }
    let keys = key_folder::load(&world.server.settings.keys_dir).unwrap();
    assert!(keys.len() < 16, "what is over is pruned: {}", keys.len());
    println!("{}: {:?}", format.name(), world.count);
    assert_eq!((world.count.unknown, world.count.refused), (0, 0));
}

/// Adds a key that signs from now on and claims to be published at `published(now)`.
async fn rotate_at_once(
    world: &mut World,
    published: impl Fn(Timestamp) -> Timestamp,
) -> Result<(), KeyFolderError> {
    let now = world.now();
    let mut change = KeyFolderChange::begin(&world.server.settings.keys_dir).unwrap();
    let pem = waxseal::key::generate_pem(world.algorithm, &OsRandom::new());
    let (kid, algorithm) = change.add_pem(&pem, world.format, now).unwrap();
    let turns = change.plan.iter_mut();
    let last = turns
        .filter(|key| key.times.signs_until == Timestamp::NEVER)
        .find(|key| key.times.signs_from.is_some())
        .unwrap();
    last.times.signs_until = now;
    last.times.verifies_until = now.plus(waxseal::schedule::TAIL);
    let times = Times {
        signs_from: Some(now),
        ..Times::successor(published(now))
    };
    change.plan.push(Planned {
        kid,
        algorithm,
        times,
    });
    change.commit()
}

#[tokio::test]
async fn without_publishing_ahead_tokens_are_orphaned() {
    for (format, algorithm) in FORMATS {
        let mut world = World::new(format, algorithm).await;
        world.load().await;
        for _ in 0..3 {
            world.server.clock.advance(Duration::from_secs(3600));
            world.load().await;
            let refused = rotate_at_once(&mut world, |now| now).await.unwrap_err();
            let KeyFolderError::Keyring { why, .. } = refused else {
                panic!("{refused}");
            };
            let too_early = KeyringError::Schedule(ScheduleError::TooEarly {
                kid: match &why {
                    KeyringError::Schedule(ScheduleError::TooEarly { kid, .. }) => kid.clone(),
                    other => panic!("{other}"),
                },
                short_by: LEAD,
                earliest: world.now().plus(LEAD),
            });
            assert_eq!(why, too_early);
            // So the schedule has to lie about when the key was published.
            rotate_at_once(&mut world, |now| now.minus(LEAD))
                .await
                .unwrap();
            world.count.rotations += 1;
            world.changed().await;
            world
                .load_for(Duration::from_secs(900), Duration::from_secs(60))
                .await;
        }
        println!("{}, at once: {:?}", format.name(), world.count);
        assert!(world.count.unknown > 0);
    }
}

#[tokio::test]
async fn the_lead_outlasts_every_copy_of_the_keys() {
    const { assert!(MAX_AGE.as_secs() <= 600) };
    const { assert!(LEAD.as_secs() >= MAX_AGE.as_secs() + SKEW.as_secs() + PROPAGATION.as_secs()) };
    assert_eq!(SKEW, MAX_LEEWAY, "no clock is further off than the leeway");
    let server = TestServer::new().await;
    for path in ["/.well-known/jwks.json", "/.well-known/paserks.json"] {
        let (headers, _) = get(&server.router, path).await;
        assert_eq!(max_age(&headers), MAX_AGE, "{path}");
    }
}
