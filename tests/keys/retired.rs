//! A key that has stopped verifying verifies nothing, not even tokens never seen before.

use std::sync::Arc;
use std::time::Duration;

use waxseal::id::{Lineage, UserId};
use waxseal::key::{Algorithm, SigningKey, generate_pem};
use waxseal::keyring::{Keyring, SharedKeyring};
use waxseal::policy::{Policy, Timeouts};
use waxseal::random::{OsRandom, SeededRandom};
use waxseal::revocation::freshness::Freshness;
use waxseal::revocation::internals;
use waxseal::revocation::list::RevocationList;
use waxseal::schedule::{LEAD, TAIL, Times};
use waxseal::time::{Clock, ManualClock};
use waxseal::verifier::{Refusal, Verifier};
use waxseal::{session, token};

use crate::common::{ISSUER, START};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_token_is_good_until_its_key_stops_verifying() {
    for algorithm in Algorithm::ALL {
        let [former, latter] = [0, 1].map(|_| generate_pem(algorithm, &OsRandom::new()));
        let key = |pem: &str| SigningKey::from_pem(pem.as_bytes(), algorithm.format()).unwrap();
        let turn = START.plus(LEAD);
        let ended = Times {
            signs_until: turn,
            verifies_until: turn.plus(TAIL),
            ..Times::first(START)
        };
        let next = Times {
            signs_from: Some(turn),
            ..Times::successor(START)
        };
        let keyring = Keyring::new(vec![(key(&former), ended), (key(&latter), next)]).unwrap();
        let policy = Policy::new(ISSUER, ISSUER, Timeouts::default()).unwrap();
        let clock = Arc::new(ManualClock::at(START));
        let freshness = Arc::new(Freshness::new(SECOND));
        let verifier = Verifier::new(
            Arc::new(SharedKeyring::new(keyring)),
            vec![algorithm.format()],
            policy.clone(),
            Arc::new(RevocationList::new()),
            Arc::clone(&freshness),
            Arc::clone(&clock) as _,
        );
        // Somebody with a copy of the former key goes on signing with it.
        let verify = || {
            let (now, random) = (clock.now(), SeededRandom::new(1));
            let (user, lineage) = (UserId::new(now, &random), Lineage::new(now, &random));
            let claims = session::begin(&policy, user, lineage, now, &random);
            let token = token::sign(&claims, &key(&former)).unwrap();
            internals::prove(&freshness, clock.uptime());
            verifier.verify(&token).map(drop)
        };
        assert_eq!(verify(), Ok(()));
        clock.advance(LEAD + TAIL - SECOND);
        assert_eq!(verify(), Ok(()));
        clock.advance(SECOND);
        assert_eq!(verify(), Err(Refusal::UnknownKey), "{algorithm:?}");
    }
}
