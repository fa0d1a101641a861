//! A client requests a token while its tokens are being ended: it gets none, or one that is ended too.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use secrecy::SecretString;
use waxseal::account::client::{BeginToken, ClientChange, ClientStart};
use waxseal::claims::ClientClaims;
use waxseal::id::{ClientId, KeyId, TokenId};
use waxseal::issuer::clients::{ClientCredentials, ClientError, ClientTokenError};
use waxseal::policy::Timeouts;
use waxseal::random::SeededRandom;
use waxseal::revocation::follower::Follower;
use waxseal::revocation::internals;
use waxseal::revocation::list::RevocationList;
use waxseal::revocation::log::Revoke;
use waxseal::revocation::{Reason, TargetKind};
use waxseal::scope::Scopes;
use waxseal::time::{Clock, Timestamp};
use waxseal::verifier::Refusal;

use super::common::{ISSUER, START, TestServer, campaign};
use super::fixture::{Service, add_client};

const CALLERS: usize = 3;

/// One step of a schedule. Issuing a token takes three: the issuer reads the clock, reads the store, and writes.
#[derive(Clone, Copy, Debug)]
enum Step {
    Go(usize),
    /// A cut-off by a process whose clock is off by this many milliseconds.
    CutOff(CutOff, i64),
    Enable,
    Clock(i64),
    Restart,
}

#[derive(Clone, Copy, Debug)]
enum CutOff {
    Tokens,
    Disable,
    Everything,
}

fn step() -> impl Strategy<Value = Step> {
    let cut_off = prop_oneof![
        6 => Just(CutOff::Tokens),
        1 => Just(CutOff::Disable),
        2 => Just(CutOff::Everything),
    ];
    let skew = prop_oneof![Just(0), Just(0), -7_200_000..7_200_000_i64];
    let by = prop_oneof![-3..3_i64, -7_200_000..7_200_000_i64];
    prop_oneof![
        20 => (0..CALLERS).prop_map(Step::Go),
        4 => (cut_off, skew).prop_map(|(kind, skew)| Step::CutOff(kind, skew)),
        3 => Just(Step::Enable),
        3 => by.prop_map(Step::Clock),
        1 => Just(Step::Restart),
    ]
}

/// A token being issued, and what must become of it.
#[derive(Default)]
struct Caller {
    asked: Option<Timestamp>,
    start: Option<ClientStart>,
    /// A cut-off happened after the read of the store.
    cut: bool,
    /// The client was enabled after that read: the test does not prescribe whether issuing fails.
    touched: bool,
    /// The clock was stepped after the issuer read it.
    stepped: bool,
}

/// An issued token that no cut-off followed.
struct Live {
    claims: ClientClaims,
    /// The clock was stepped, so the token may have expired.
    stepped: bool,
}

struct World {
    server: TestServer,
    client: ClientId,
    random: SeededRandom,
    kid: KeyId,
    callers: Vec<Caller>,
    live: Vec<Live>,
    dead: Vec<ClientClaims>,
    cut_offs: usize,
    /// The number of tokens issued after a cut-off.
    got_after: usize,
}

impl World {
    async fn new() -> Self {
        let server = TestServer::new().await;
        let client = add_client(&server, "billing", "", &[]).await.id;
        Self {
            client,
            random: SeededRandom::new(5),
            kid: "any".parse().unwrap(),
            callers: (0..CALLERS).map(|_| Caller::default()).collect(),
            live: Vec::new(),
            dead: Vec::new(),
            cut_offs: 0,
            got_after: 0,
            server,
        }
    }

    /// Performs a caller's next step, in the issuer's order. After one token the caller requests another.
    async fn go(&mut self, index: usize, list: &RevocationList) {
        let clients = self.server.waxseal.clients();
        let caller = &mut self.callers[index];
        let Some(asked) = caller.asked else {
            caller.asked = Some(self.server.clock.now());
            caller.stepped = false;
            return;
        };
        let Some(start) = caller.start.take() else {
            caller.start = Some(clients.start_client(self.client).await.unwrap());
            (caller.cut, caller.touched) = (false, false);
            return;
        };
        caller.asked = None;
        if !start.client.unwrap().enabled {
            return;
        }
        let past_horizon = list.horizon().plus(Duration::from_millis(1));
        let first = Timestamp::from_millis(start.first_time);
        let time = asked.max(first).max(past_horizon);
        let token = TokenId::new(time, &self.random);
        let begin = BeginToken {
            client: self.client,
            version: start.version,
            everything_version: start.everything_version,
            token,
        };
        let begun = clients.begin_token(begin).await.unwrap();
        if caller.cut {
            assert!(!begun, "a token that a cut-off overtook was handed out");
        } else if !caller.touched {
            assert!(begun, "nothing came in between");
        }
        if begun {
            internals::note_lineage(list, time);
            self.got_after += usize::from(self.cut_offs > 0);
            let (scopes, lifetime) = (Scopes::default(), Duration::from_secs(300));
            let claims =
                ClientClaims::new(ISSUER, self.client, ISSUER, scopes, token, asked, lifetime);
            let stepped = caller.stepped;
            self.live.push(Live { claims, stepped });
        }
    }

    async fn cut_off(&mut self, kind: CutOff, skew: i64) {
        let at = Timestamp::from_millis(self.server.clock.now().millis() + skew);
        let clients = self.server.waxseal.clients();
        let change = match kind {
            CutOff::Everything => {
                let log = self.server.waxseal.log();
                let what = Revoke::Everything;
                log.revoke(what, Reason::Operator, at).await.unwrap();
                None
            }
            CutOff::Tokens => Some(ClientChange::EndTokens),
            CutOff::Disable => Some(ClientChange::Disable),
        };
        if let Some(change) = change {
            clients
                .change_client(self.client, change, at)
                .await
                .unwrap();
        }
        self.cut_offs += 1;
        for caller in &mut self.callers {
            caller.cut = true;
        }
        let ended = self.live.drain(..).map(|live| live.claims);
        self.dead.extend(ended);
    }

    async fn take(&mut self, step: Step, list: &RevocationList) {
        match step {
            Step::Go(index) => self.go(index, list).await,
            Step::CutOff(kind, skew) => self.cut_off(kind, skew).await,
            Step::Enable => {
                let (clients, at) = (self.server.waxseal.clients(), self.server.clock.now());
                let change = ClientChange::Enable;
                clients
                    .change_client(self.client, change, at)
                    .await
                    .unwrap();
                self.callers
                    .iter_mut()
                    .for_each(|caller| caller.touched = true);
            }
            Step::Clock(by) => {
                let now = self.server.clock.now().millis() + by;
                self.server.clock.step_to(Timestamp::from_millis(now));
                internals::observe(list, self.server.clock.now(), Timeouts::default().leeway);
                let callers = self.callers.iter_mut().map(|caller| &mut caller.stepped);
                let live = self.live.iter_mut().map(|live| &mut live.stepped);
                callers.chain(live).for_each(|stepped| *stepped = true);
            }
            // A restart loses only the list.
            Step::Restart => {}
        }
    }

    /// Asserts that tokens issued after every cut-off are alive, and that those issued before one are dead.
    fn check(&self, list: &RevocationList) {
        for Live { claims, stepped } in &self.live {
            match list.client_dead(claims, &self.kid) {
                None => {}
                Some(TargetKind::Horizon) if *stepped => {}
                Some(scope) => panic!("ended by {scope}: {claims:?}"),
            }
        }
        for claims in &self.dead {
            let verdict = list.client_dead(claims, &self.kid);
            assert!(verdict.is_some(), "cut off, and alive again: {claims:?}");
        }
    }

    fn follower(&self) -> (Follower, Arc<RevocationList>) {
        let clock = Arc::clone(&self.server.clock) as Arc<dyn Clock>;
        let log = self.server.waxseal.log();
        let follower = Follower::new(log, Duration::from_secs(5), clock);
        let list = follower.list();
        (follower, list)
    }
}

async fn play(steps: &[Step]) -> (usize, usize) {
    let mut world = World::new().await;
    let (mut follower, mut list) = world.follower();
    for step in steps {
        world.take(*step, &list).await;
        if matches!(step, Step::Restart) {
            (follower, list) = world.follower();
        }
        follower.catch_up().await.unwrap();
        world.check(&list);
    }
    (world.dead.len(), world.got_after)
}

#[test]
fn a_cut_off_ends_all_before_it_and_none_after_in_every_order() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cases = campaign(50, 1000);
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let seen = std::cell::Cell::new((0, 0));
    runner
        .run(&prop::collection::vec(step(), 20..50), |steps| {
            let (dead, after) = runtime.block_on(play(&steps));
            let (all_dead, all_after) = seen.get();
            seen.set((all_dead + dead, all_after + after));
            Ok(())
        })
        .unwrap();
    let (dead, after) = seen.get();
    println!("{dead} tokens cut off, {after} got after a cut-off");
    assert!(
        dead.min(after) >= cases as usize / 2,
        "the schedules prove too little"
    );
}

fn credentials(client: &Service) -> ClientCredentials {
    ClientCredentials::Secret(client.id, SecretString::from(client.secret.clone()))
}

fn alive(server: &TestServer, token: &str) -> bool {
    match server.waxseal.verifier().verify_any(token) {
        Ok(_) => true,
        Err(Refusal::Revoked(_)) => false,
        Err(other) => panic!("{other}"),
    }
}

/// In the issuer: the client is already authenticated when the cut-off is written.
#[tokio::test]
async fn a_token_is_not_issued_if_the_client_changes_meanwhile() {
    let (_, kept) = super::fixture::new_secret();
    for wanted in [
        Some(ClientChange::Disable),
        Some(ClientChange::Delete),
        Some(ClientChange::EndTokens),
        // Nor does a secret that was removed meanwhile get a token.
        Some(ClientChange::AddSecret(kept)),
        Some(ClientChange::FinishRotation),
        None,
    ] {
        for behind in [0, 2000] {
            let server = TestServer::new().await;
            let client = add_client(&server, "billing", "", &[]).await;
            let issuer = server.waxseal.issuer();
            server
                .clock
                .step_to(START.plus(Duration::from_millis(behind)));
            let known = issuer
                .authenticate_client(&credentials(&client))
                .await
                .unwrap();
            // With a clock that may be behind, the times alone would not end the token.
            let clients = server.waxseal.clients();
            match wanted.clone() {
                Some(change) => {
                    clients
                        .change_client(client.id, change, START)
                        .await
                        .unwrap();
                }
                None => {
                    let (log, what) = (server.waxseal.log(), Revoke::Everything);
                    log.revoke(what, Reason::Operator, START).await.unwrap();
                }
            }
            let token = issuer.client_token(&known, None, None).await;
            let lost = matches!(token, Err(ClientTokenError::Lost));
            assert!(lost, "{wanted:?}, {behind} ms behind");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_races_a_disabling_a_deletion_or_a_cut_off_loses() {
    let (mut lost, mut won) = (0, 0);
    for round in 0..60_i64 {
        let server = TestServer::new().await;
        let client = add_client(&server, "billing", "", &[]).await;
        let issuer = server.waxseal.issuer();
        let get = async |pause: i64| {
            // Varies the moment at which the change interrupts the request.
            for _ in 0..pause {
                tokio::task::yield_now().await;
            }
            let known = issuer.authenticate_client(&credentials(&client)).await;
            let known = known.map_err(|why| assert!(matches!(why, ClientError::Refused)))?;
            let token = issuer.client_token(&known, None, None).await;
            token
                .map(|token| token.token)
                .map_err(|why| assert!(matches!(why, ClientTokenError::Lost)))
        };
        let before = get(0).await.unwrap();
        // The time of the change is later than that token's and earlier than the others'.
        let at = START.plus(Duration::from_secs(2));
        server.clock.step_to(START.plus(Duration::from_secs(4)));
        let change = match round % 3 {
            0 => ClientChange::Disable,
            1 => ClientChange::Delete,
            _ => ClientChange::EndTokens,
        };
        let ends = matches!(change, ClientChange::EndTokens);
        let race = async {
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
            let clients = server.waxseal.clients();
            clients.change_client(client.id, change, at).await.unwrap();
            server.waxseal.catch_up().await.unwrap();
            // A token requested now is past the cut-off.
            ends.then_some(())
        };
        let (again, a, b, c) = tokio::join!(race, get(round % 7), get(round % 11), get(20));
        assert!(!alive(&server, &before), "round {round}");
        for raced in [a, b, c] {
            match raced {
                Err(()) => lost += 1,
                Ok(token) => {
                    won += 1;
                    // After a disable or delete no token stays alive; after a mere cut-off one may.
                    assert!(again.is_some() || !alive(&server, &token), "round {round}");
                }
            }
        }
        let after = get(0).await;
        assert_eq!(
            after.is_ok_and(|token| alive(&server, &token)),
            ends,
            "round {round}"
        );
    }
    println!("{lost} tokens lost, {won} won");
    assert!(lost >= 10 && won >= 10, "the races prove too little");
}
