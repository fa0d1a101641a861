//! The token cache changes no verdict, whatever happens between two verifications of one text.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use waxseal::claims::Claims;
use waxseal::id::{KeyId, Lineage, SessionId, UserId};
use waxseal::key::{Algorithm, Format, SigningKey, VerifyingKey, generate_pem};
use waxseal::keyring::{Keyring, SharedKeyring};
use waxseal::policy::{Policy, Timeouts};
use waxseal::random::{OsRandom, SeededRandom};
use waxseal::revocation::freshness::Freshness;
use waxseal::revocation::internals;
use waxseal::revocation::list::RevocationList;
use waxseal::revocation::{ALL, Reason, Revocation, Target};
use waxseal::time::{Clock, ManualClock, Timestamp};
use waxseal::verifier::{Refusal, Verified, Verifier};
use waxseal::{session, token};

use crate::common::{ISSUER, START};
use crate::forger::encode;

const ALGORITHMS: [Algorithm; 4] = [
    Algorithm::EdDsa,
    Algorithm::EdDsa,
    Algorithm::Es256,
    Algorithm::V4Public,
];

/// One cache small enough to evict tokens, and one large enough to keep them all.
const SIZES: [u64; 2] = [16 * 1024, 1024 * 1024];

/// An event. Numbers select a token or key, modulo their count.
#[derive(Clone, Debug)]
enum Event {
    Sign {
        key: usize,
        user: usize,
        audience: bool,
        ahead: i64,
    },
    Look(usize),
    Edit(usize, usize),
    End(usize, TargetKind),
    Pass(u64),
    StepBack(u64),
    Horizon(i64),
    Prove,
    Doubt,
    Keys(u8),
    /// Another key under the first key's `kid`.
    Impostor,
}

#[derive(Clone, Copy, Debug)]
enum TargetKind {
    Session,
    Renewed,
    Token,
    User,
    Key,
    Everything,
}

fn event() -> impl Strategy<Value = Event> {
    let which = any::<usize>;
    let scope = proptest::sample::select(
        &[
            TargetKind::Session,
            TargetKind::Renewed,
            TargetKind::Token,
            TargetKind::User,
            TargetKind::Key,
            TargetKind::Everything,
        ][..],
    );
    let signed = (
        0..4_usize,
        0..3_usize,
        proptest::bool::weighted(0.9),
        0..9_i64,
    );
    prop_oneof![
        6 => signed.prop_map(|(key, user, audience, ahead)| Event::Sign {
            key, user, audience, ahead: if ahead == 8 { 60 } else { 0 },
        }),
        8 => which().prop_map(Event::Look),
        2 => (which(), which()).prop_map(|(token, at)| Event::Edit(token, at)),
        2 => (which(), scope).prop_map(|(token, scope)| Event::End(token, scope)),
        2 => (0..400_u64).prop_map(Event::Pass),
        1 => (0..100_u64).prop_map(Event::StepBack),
        1 => (0..400_i64).prop_map(Event::Horizon),
        2 => Just(Event::Prove),
        1 => Just(Event::Doubt),
        2 => (0..16_u8).prop_map(Event::Keys),
        1 => Just(Event::Impostor),
    ]
}

struct World {
    clock: Arc<ManualClock>,
    random: SeededRandom,
    keys: Vec<SigningKey>,
    impostor: VerifyingKey,
    keyring: Arc<SharedKeyring>,
    list: Arc<RevocationList>,
    freshness: Arc<Freshness>,
    users: Vec<UserId>,
    tokens: Vec<(String, Claims, KeyId)>,
    plain: Verifier,
    remembering: Vec<Verifier>,
}

fn keys() -> Vec<SigningKey> {
    let key = |algorithm: Algorithm| {
        let pem = generate_pem(algorithm, &OsRandom::new());
        SigningKey::from_pem(pem.as_bytes(), algorithm.format()).unwrap()
    };
    ALGORITHMS.map(key).into()
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let random = SeededRandom::new(11);
        let keys = keys();
        let [named, other] = [&keys[0], &keys[1]].map(|key| key.public());
        let jwk = json!({
            "kty": "OKP", "crv": "Ed25519", "kid": named.kid(), "x": encode(other.public_bytes()),
        });
        let keyring = Arc::new(SharedKeyring::new(Keyring::default()));
        let (list, freshness) = (
            Arc::new(RevocationList::new()),
            Arc::new(Freshness::new(Duration::from_secs(300))),
        );
        let plain = Verifier::new(
            Arc::clone(&keyring),
            Format::ALL.to_vec(),
            Policy::new(ISSUER, ISSUER, Timeouts::default()).unwrap(),
            Arc::clone(&list),
            Arc::clone(&freshness),
            Arc::clone(&clock) as _,
        )
        .with_token_cache(0);
        let world = Self {
            users: (0..3).map(|_| UserId::new(START, &random)).collect(),
            impostor: VerifyingKey::from_jwk(jwk.to_string().as_bytes()).unwrap(),
            remembering: SIZES.map(|bytes| plain.with_token_cache(bytes)).into(),
            tokens: Vec::new(),
            clock,
            random,
            keys,
            keyring,
            list,
            freshness,
            plain,
        };
        world.have_keys(15);
        internals::prove(&world.freshness, world.clock.uptime());
        world
    }

    fn have_keys(&self, mask: u8) {
        let wanted = (0..)
            .zip(&self.keys)
            .filter(|(at, _)| mask & (1 << at) != 0);
        let public = wanted.map(|(_, key)| key.public().clone());
        self.keyring
            .replace(Keyring::from_verifying_keys(public).unwrap());
    }

    fn sign(&mut self, key: usize, user: usize, audience: &str, ahead: i64) {
        let now = self.clock.now();
        let policy = Policy::new(ISSUER, audience, Timeouts::default()).unwrap();
        let began = now.plus(Duration::from_secs(ahead.unsigned_abs()));
        let lineage = Lineage::new(began, &self.random);
        let claims = session::begin(&policy, self.users[user], lineage, began, &self.random);
        let text = token::sign(&claims, &self.keys[key]).unwrap();
        let kid = self.keys[key].public().kid().clone();
        self.tokens.push((text, claims, kid));
    }

    fn end(&self, token: usize, scope: TargetKind) {
        let (_, claims, kid) = &self.tokens[token];
        let now = self.clock.now();
        let SessionId {
            lineage,
            generation,
        } = claims.session_id;
        let (target, from) = match scope {
            TargetKind::Session => (Target::Session(lineage), ALL),
            TargetKind::Renewed => (Target::Session(lineage), i64::from(generation) + 1),
            TargetKind::Token => (Target::Token(claims.token_id), ALL),
            TargetKind::User => (Target::User(claims.subject), now.millis()),
            TargetKind::Key => (Target::Key(kid.clone()), ALL),
            TargetKind::Everything => (Target::Everything, now.millis()),
        };
        internals::apply(
            &self.list,
            &Revocation {
                seq: 1,
                target,
                from,
                grace_until: matches!(scope, TargetKind::Renewed)
                    .then(|| now.plus(Duration::from_secs(30))),
                spared: None,
                expires_at: now.plus(Duration::from_secs(9000)),
                reason: Reason::Operator,
                at: now,
            },
        );
    }

    /// Asks every verifier twice, asserts that they agree, and returns the verdict.
    fn look(&self, text: &str) -> Result<Verified, Refusal> {
        let said = self.plain.verify_any(text);
        for verifier in &self.remembering {
            assert_eq!(verifier.verify_any(text), said, "{text}");
            assert_eq!(verifier.verify_any(text), said, "again: {text}");
        }
        said
    }

    fn happen(&mut self, event: &Event) -> Option<Result<Verified, Refusal>> {
        let some = self.tokens.len();
        match *event {
            Event::Sign {
                key,
                user,
                audience,
                ahead,
            } => {
                let audience = if audience {
                    ISSUER
                } else {
                    "https://other.example"
                };
                self.sign(key, user, audience, ahead);
                return Some(self.look(&self.tokens[some].0));
            }
            Event::Look(token) if some > 0 => return Some(self.look(&self.tokens[token % some].0)),
            Event::Edit(token, at) if some > 0 => {
                let mut text = self.tokens[token % some].0.clone().into_bytes();
                let at = at % text.len();
                text[at] = if text[at] == b'A' { b'B' } else { b'A' };
                return Some(self.look(&String::from_utf8(text).unwrap()));
            }
            Event::End(token, scope) if some > 0 => self.end(token % some, scope),
            Event::Pass(seconds) => self.clock.advance(Duration::from_secs(seconds)),
            Event::StepBack(seconds) => {
                let back = self.clock.now().secs() - i64::try_from(seconds).unwrap();
                self.clock.step_to(Timestamp::from_secs(back));
            }
            Event::Horizon(seconds) => {
                let ahead = self.clock.now().secs() + seconds;
                internals::raise_horizon(&self.list, Timestamp::from_secs(ahead));
            }
            Event::Prove => internals::prove(&self.freshness, self.clock.uptime()),
            Event::Doubt => internals::end(&self.freshness),
            Event::Keys(mask) => self.have_keys(mask),
            Event::Impostor => {
                let keyring = Keyring::from_verifying_keys([self.impostor.clone()]);
                self.keyring.replace(keyring.unwrap());
            }
            _ => {}
        }
        None
    }
}

fn kind(said: &Result<Verified, Refusal>) -> String {
    match said {
        Ok(_) => "good".to_owned(),
        Err(Refusal::Superseded(_)) => "Superseded".to_owned(),
        Err(refusal) => format!("{refusal:?}").replace('(', " ").replace(')', ""),
    }
}

#[test]
fn cached_and_first_verdicts_agree_after_any_events() {
    let seen = RefCell::new(BTreeSet::new());
    let mut runner = TestRunner::new(Config {
        cases: 96,
        failure_persistence: None,
        ..Config::default()
    });
    let run = runner.run(&vec(event(), 1..80), |events| {
        let mut world = World::new();
        for event in &events {
            if let Some(said) = world.happen(event) {
                seen.borrow_mut().insert(kind(&said));
            }
        }
        for (text, ..) in &world.tokens {
            seen.borrow_mut().insert(kind(&world.look(text)));
        }
        Ok(())
    });
    run.unwrap();
    let seen = seen.into_inner();
    for wanted in [
        "good",
        "Malformed Signature",
        "UnknownKey",
        "Unacceptable Audience",
        "Unacceptable Future",
        "Unacceptable Expired",
        "Revoked Session",
        "Revoked Token",
        "Revoked User",
        "Revoked Key",
        "Revoked Everything",
        "Revoked Horizon",
        "Superseded",
        "Stale",
    ] {
        assert!(seen.contains(wanted), "never {wanted}: {seen:?}");
    }
}

/// Each of these events happens between a verification that remembers and the next one.
#[test]
fn a_cached_token_is_checked_again_after_each_kind_of_event() {
    let session = |world: &World| world.tokens[0].0.clone();
    for key in 0..ALGORITHMS.len() {
        for (event, after) in [
            (Event::Pass(1), "good"),
            (Event::End(0, TargetKind::Session), "Revoked Session"),
            (Event::End(0, TargetKind::Token), "Revoked Token"),
            (Event::End(0, TargetKind::Key), "Revoked Key"),
            (Event::Horizon(1000), "Revoked Horizon"),
            (Event::Doubt, "Stale"),
            (Event::Keys(0), "UnknownKey"),
        ] {
            let mut world = World::new();
            world.sign(key, 0, ISSUER, 0);
            let text = session(&world);
            assert_eq!(kind(&world.look(&text)), "good");
            assert_eq!(world.happen(&event), None);
            assert_eq!(kind(&world.look(&text)), after, "{event:?}");
        }
    }
    let mut world = World::new();
    world.sign(0, 0, ISSUER, 0);
    let text = session(&world);
    let verified = world.look(&text).unwrap();
    assert_eq!(world.plain.verify_again(&verified), Ok(()));
    world.happen(&Event::Impostor);
    assert_eq!(
        world.plain.verify_again(&verified),
        Err(Refusal::UnknownKey)
    );
    assert_eq!(kind(&world.look(&text)), "Malformed Signature");
    world.have_keys(15);
    assert_eq!(kind(&world.look(&text)), "good");
}
