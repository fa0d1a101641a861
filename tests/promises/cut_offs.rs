//! Promise 4 for cut-offs: each ends every session begun before it and none begun after, whatever the clocks do and
//! whatever runs concurrently.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use waxseal::account::password::{Hasher, Password};
use waxseal::account::{BeginSession, LoginStart, UserChange, Username};
use waxseal::claims::Claims;
use waxseal::id::{KeyId, Lineage, UserId};
use waxseal::inventory::{Entered, LoginOrigin};
use waxseal::issuer::LoginError;
use waxseal::policy::{Policy, Timeouts};
use waxseal::random::SeededRandom;
use waxseal::revocation::follower::Follower;
use waxseal::revocation::internals;
use waxseal::revocation::list::{Dead, RevocationList};
use waxseal::revocation::log::Revoke;
use waxseal::revocation::{Reason, TargetKind};
use waxseal::session::{self, LoginMethods};
use waxseal::time::{Clock, Timestamp};
use waxseal::verifier::Refusal;

use super::common::{CHEAP, ISSUER, PASSWORD, START, TestServer};

const LOGINS: usize = 4;

/// One step of a schedule. A login takes three steps: it reads the clock and the store, in the issuer's order; it gets
/// its lineage; it is written.
#[derive(Clone, Copy, Debug)]
enum Step {
    Go(usize),
    /// A cut-off by a process whose clock is off by that many milliseconds.
    CutOff(CutOff, i64),
    Enable,
    Clock(i64),
    Restart,
}

#[derive(Clone, Copy, Debug)]
enum CutOff {
    All,
    /// All sessions but the one of this login, if it has one.
    Others(usize),
    Disable,
    Password,
    Everything,
}

fn step() -> impl Strategy<Value = Step> {
    let cut_off = prop_oneof![
        3 => Just(CutOff::All),
        3 => (0..LOGINS).prop_map(CutOff::Others),
        1 => Just(CutOff::Disable),
        2 => Just(CutOff::Password),
        2 => Just(CutOff::Everything),
    ];
    let skew = prop_oneof![Just(0), Just(0), -7_200_000..7_200_000_i64];
    let by = prop_oneof![-3..3_i64, -7_200_000..7_200_000_i64];
    prop_oneof![
        12 => (0..LOGINS).prop_map(Step::Go),
        4 => (cut_off, skew).prop_map(|(kind, skew)| Step::CutOff(kind, skew)),
        1 => Just(Step::Enable),
        3 => by.prop_map(Step::Clock),
        1 => Just(Step::Restart),
    ]
}

/// A pending login, and the outcome that it must have.
#[derive(Default)]
struct Login {
    time: Option<Timestamp>,
    start: Option<LoginStart>,
    /// A cut-off came after the login started.
    cut: bool,
    /// An enabling came after the login started: the login may win or lose.
    touched: bool,
    /// The clock was stepped after the login read it, so the horizon may have passed the login.
    stepped: bool,
    claims: Option<Claims>,
    alive: bool,
}

struct World {
    server: TestServer,
    user: UserId,
    random: SeededRandom,
    policy: Policy,
    kid: KeyId,
    logins: Vec<Login>,
    /// How many sessions that began after a cut-off were found alive.
    begun_after: usize,
    cut_offs: usize,
}

impl World {
    async fn new() -> Self {
        let server = TestServer::new().await;
        let user = server.add_user("alice").await;
        Self {
            user,
            random: SeededRandom::new(5),
            policy: Policy::new(ISSUER, ISSUER, Timeouts::default()).unwrap(),
            kid: "any".parse().unwrap(),
            logins: (0..LOGINS).map(|_| Login::default()).collect(),
            begun_after: 0,
            cut_offs: 0,
            server,
        }
    }

    /// Takes the next step of a login. A finished login is followed by another one.
    async fn go(&mut self, index: usize, list: &RevocationList) {
        let accounts = self.server.waxseal.accounts();
        let login = &mut self.logins[index];
        match (login.time, login.start.take(), &login.claims) {
            (None, ..) => {
                login.time = Some(self.server.clock.now());
                login.stepped = false;
            }
            (Some(_), None, None) => {
                let name: Username = "alice".parse().unwrap();
                login.start = Some(accounts.start_login(&name).await.unwrap());
                (login.cut, login.touched) = (false, false);
            }
            (Some(time), Some(start), None) => {
                let user = start.user.unwrap();
                let first = Timestamp::from_millis(start.first_lineage);
                let past_horizon = list.horizon().plus(Duration::from_millis(1));
                let lineage_time = time.max(first).max(past_horizon);
                let lineage = Lineage::new(lineage_time, &self.random);
                if !user.enabled {
                    *login = Login::default();
                    return;
                }
                let claims = session::begin(&self.policy, self.user, lineage, time, &self.random);
                let begin = BeginSession {
                    user: self.user,
                    version: user.version,
                    everything_version: start.everything_version,
                    session: Entered {
                        lineage,
                        auth_time: claims.auth_time,
                        session_expiry: claims.session_expiry,
                        renew_at: claims.renew_at,
                        idle_end: claims.session_expiry,
                        methods: LoginMethods::password(),
                        origin: LoginOrigin::default(),
                    },
                };
                let begun = accounts.begin_session(begin).await.unwrap();
                if login.cut {
                    assert!(!begun, "a login that a cut-off overtook has lost");
                } else if !login.touched {
                    assert!(begun, "nothing came in between");
                }
                login.claims = Some(claims);
                login.alive = begun;
                if begun {
                    internals::note_lineage(list, lineage_time);
                }
                self.begun_after += usize::from(begun && self.cut_offs > 0);
            }
            (Some(_), _, Some(_)) if !login.alive => *login = Login::default(),
            (Some(_), _, Some(_)) => {}
        }
    }

    async fn cut_off(&mut self, kind: CutOff, skew: i64) {
        let accounts = self.server.waxseal.accounts();
        let at = Timestamp::from_millis(self.server.clock.now().millis() + skew);
        let session = |index: usize| {
            let login: &Login = &self.logins[index];
            let claims = login.claims.as_ref().filter(|_| login.alive);
            claims.map(|claims| claims.session_id.lineage)
        };
        let end = |spared| UserChange::EndSessions {
            spared,
            reason: Reason::Logout,
        };
        let mut spared = None;
        let change = match kind {
            CutOff::Everything => {
                let log = self.server.waxseal.log();
                let what = Revoke::Everything;
                log.revoke(what, Reason::Operator, at).await.unwrap();
                None
            }
            CutOff::All => Some(end(None)),
            CutOff::Others(index) => {
                spared = session(index);
                Some(end(spared))
            }
            CutOff::Disable => Some(UserChange::Disable),
            CutOff::Password => {
                let hasher = Hasher::new(CHEAP, 1, Arc::new(SeededRandom::new(9))).unwrap();
                let password = Password::chosen(PASSWORD.into(), "alice").unwrap();
                Some(UserChange::Password(hasher.hash(password).await.unwrap()))
            }
        };
        if let Some(change) = change {
            let seq = accounts.change_user(self.user, change, at).await.unwrap();
            assert!(seq.is_some());
        }
        self.cut_offs += 1;
        for login in &mut self.logins {
            login.cut = true;
            let lineage = login
                .claims
                .as_ref()
                .map(|claims| claims.session_id.lineage);
            login.alive &= spared.is_some() && lineage == spared;
        }
    }

    async fn take(&mut self, step: Step, list: &RevocationList) {
        match step {
            Step::Go(index) => self.go(index, list).await,
            Step::CutOff(kind, skew) => self.cut_off(kind, skew).await,
            Step::Enable => {
                let accounts = self.server.waxseal.accounts();
                assert!(accounts.enable_user(self.user).await.unwrap());
                self.logins
                    .iter_mut()
                    .for_each(|login| login.touched = true);
            }
            Step::Clock(by) => {
                let now = self.server.clock.now().millis() + by;
                self.server.clock.step_to(Timestamp::from_millis(now));
                internals::observe(list, self.server.clock.now(), Timeouts::default().leeway);
                for login in &mut self.logins {
                    login.stepped = true;
                }
            }
            // A restart loses only the list.
            Step::Restart => {}
        }
    }

    /// Asserts that a list that has followed the whole log ends no session that began after every cut-off or that all
    /// of them spared.
    fn check(&self, list: &RevocationList) {
        for login in self.logins.iter().filter(|login| login.alive) {
            let claims = login.claims.as_ref().unwrap();
            match how_dead(list, claims, &self.kid, self.server.clock.now()) {
                None => {}
                Some(Dead::Revoked(TargetKind::Horizon)) if login.stepped => {}
                Some(how) => panic!("ended by {how:?}: {claims:?}"),
            }
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
    let mut dead: Vec<Claims> = Vec::new();
    for step in steps {
        let before: Vec<_> = world.logins.iter().map(|login| login.alive).collect();
        world.take(*step, &list).await;
        if matches!(step, Step::Restart) {
            (follower, list) = world.follower();
        }
        for (login, was) in world.logins.iter().zip(before) {
            if was && !login.alive {
                dead.extend(login.claims.clone());
            }
        }
        follower.catch_up().await.unwrap();
        world.check(&list);
        for claims in &dead {
            let verdict = how_dead(&list, claims, &world.kid, world.server.clock.now());
            assert!(verdict.is_some(), "cut off, and alive again: {claims:?}");
        }
    }
    (dead.len(), world.begun_after)
}

#[test]
fn a_cut_off_ends_all_before_it_and_none_after_in_every_order() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let given = std::env::var("WAXSEAL_SCHEDULES").ok();
    let schedules = given.map_or(40, |text| {
        text.parse().expect("WAXSEAL_SCHEDULES is a number")
    });
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(schedules)
    };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let seen = std::cell::Cell::new((0, 0));
    runner
        .run(&prop::collection::vec(step(), 8..40), |steps| {
            let (dead, begun_after) = runtime.block_on(play(&steps));
            let (all_dead, all_after) = seen.get();
            seen.set((all_dead + dead, all_after + begun_after));
            Ok(())
        })
        .unwrap();
    let (dead, begun_after) = seen.get();
    let enough = schedules as usize / 4;
    println!("{dead} sessions cut off, {begun_after} begun after a cut-off");
    assert!(
        dead >= enough && begun_after >= enough,
        "the schedules prove too little"
    );
}

/// Also when the second logout finds nothing to end.
#[tokio::test]
async fn a_login_that_a_repeated_logout_everywhere_else_overtakes_loses() {
    for scope in [
        Step::CutOff(CutOff::Others(0), 0),
        Step::CutOff(CutOff::All, 0),
    ] {
        let begin = [Step::Go(0); 3];
        let overtaken = [Step::Go(1), Step::Go(1), scope, Step::Go(1)];
        for cut_offs_before in 0..3 {
            let before = vec![scope; cut_offs_before];
            play(&[&begin[..], &before, &overtaken].concat()).await;
        }
    }
}

fn how_dead(list: &RevocationList, claims: &Claims, kid: &KeyId, now: Timestamp) -> Option<Dead> {
    list.dead(claims, kid, now, Timeouts::default().leeway)
}

async fn login(server: &TestServer) -> Result<String, LoginError> {
    let issuer = server.waxseal.issuer();
    // The other futures get their turn at different points of this one.
    for _ in 0..server.clock.now().millis() % 5 {
        tokio::task::yield_now().await;
    }
    let password = Password::presented(PASSWORD.into()).unwrap();
    issuer
        .login("alice", password, LoginOrigin::default())
        .await
        .map(|login| login.issued.token)
}

fn alive(server: &TestServer, token: &str) -> bool {
    match server.waxseal.verifier().verify(token) {
        Ok(_) => true,
        Err(Refusal::Revoked(_)) => false,
        Err(other) => panic!("{other}"),
    }
}

/// A new password with the same text: only the race matters.
async fn new_password() -> UserChange {
    let hasher = Hasher::new(CHEAP, 1, Arc::new(SeededRandom::new(17))).unwrap();
    let password = Password::chosen("another horse battery".into(), "alice").unwrap();
    UserChange::Password(hasher.hash(password).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_races_a_disabling_a_deletion_or_a_new_password_loses() {
    let (mut lost, mut won) = (0, 0);
    for round in 0..60_u64 {
        let server = TestServer::new().await;
        let user = server.add_user("alice").await;
        let accounts = server.waxseal.accounts();
        let before = login(&server).await.unwrap();
        // The time of the change is after that of the login `before` and before those of the racing logins: the times
        // alone would not end these.
        let at = START.plus(Duration::from_secs(2));
        server.clock.step_to(START.plus(Duration::from_secs(4)));
        let change = match round % 3 {
            0 => UserChange::Disable,
            1 => UserChange::Delete,
            _ => new_password().await,
        };
        let race = async {
            tokio::time::sleep(Duration::from_micros(round * 40)).await;
            accounts.change_user(user, change, at).await.unwrap()
        };
        let (seq, a, b, c) = tokio::join!(race, login(&server), login(&server), login(&server));
        assert!(seq.is_some());
        server.waxseal.catch_up().await.unwrap();
        for raced in [a, b, c, Ok(before)] {
            match raced {
                Ok(token) => {
                    won += 1;
                    assert!(!alive(&server, &token), "round {round}");
                }
                Err(LoginError::Refused) => lost += 1,
                Err(other) => panic!("{other}"),
            }
        }
        assert!(matches!(login(&server).await, Err(LoginError::Refused)));
    }
    println!("{lost} logins lost, {won} won and were cut off");
    assert!(lost >= 10 && won >= 70, "the races prove too little");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_begun_before_a_logout_everywhere_end_and_those_after_live() {
    for round in 0..40_i64 {
        let server = TestServer::new().await;
        let user = server.add_user("alice").await;
        let accounts = server.waxseal.accounts();
        let before = [login(&server).await.unwrap(), login(&server).await.unwrap()];
        // The clock stands still, moves forward or moves back between all steps.
        let by = [0, 1, -1, 1500, -1500][usize::try_from(round % 5).unwrap()];
        let step = || {
            let now = server.clock.now().millis() + by;
            server.clock.step_to(Timestamp::from_millis(now));
        };
        step();
        let spared = (round % 2 == 0).then(|| {
            let claims = server.waxseal.verifier().verify(&before[0]).unwrap();
            claims.session_id().lineage
        });
        let change = UserChange::EndSessions {
            spared,
            reason: Reason::Logout,
        };
        let at = server.clock.now();
        let race = async {
            tokio::time::sleep(Duration::from_micros(u64::try_from(round).unwrap() * 60)).await;
            accounts.change_user(user, change, at).await.unwrap()
        };
        let (seq, a, b) = tokio::join!(race, login(&server), login(&server));
        assert!(seq.is_some());
        step();
        let after = login(&server).await.unwrap();
        server.waxseal.catch_up().await.unwrap();
        for raced in [a, b] {
            assert!(
                matches!(raced, Ok(_) | Err(LoginError::Refused)),
                "{:?}",
                raced.err()
            );
        }
        assert_eq!(
            alive(&server, &before[0]),
            spared.is_some(),
            "round {round}"
        );
        assert!(!alive(&server, &before[1]), "round {round}");
        assert!(alive(&server, &after), "round {round}");
        // A second cut-off does not spare the session that the first one spared.
        let change = UserChange::EndSessions {
            spared: None,
            reason: Reason::Logout,
        };
        server.change_user(user, change).await;
        for token in [&before[0], &before[1], &after] {
            assert!(!alive(&server, token), "round {round}");
        }
    }
}
