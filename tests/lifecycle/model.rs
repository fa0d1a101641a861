//! Random lives of sessions in one browser, with slow answers, a thief and a slightly unsteady clock, compared with the
//! reference model.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestRunner;
use waxseal::key::Format;
use waxseal::policy::Timeouts;
use waxseal::time::{Clock, Timestamp};

use crate::common::START;
use crate::fixture::Carrier::{Bearer, Cookie};
use crate::fixture::Event::{self, Logout, Password, Poll, Renew, Verify, Visit};
use crate::fixture::{Fixture, Verdict};
use crate::reference::{Limits, Model, Said, Token};

#[derive(Clone, Debug)]
enum Step {
    /// Passes this many milliseconds.
    Pass(u64),
    /// Passes to a deadline of the token in the jar, or to a second before or after it.
    PassToEdge(usize, i64),
    Back(i64),
    Login,
    /// A tab sends the event with the cookie in the jar, and gets its answer at once.
    Send(Event),
    /// The other tab sends the event, and its answer is delayed.
    SendSlowly(Event),
    /// A delayed answer reaches the jar.
    Arrive(Index),
    /// A thief presents a copy of the n-th last token, and keeps a copy of the result.
    Theft(usize, Event),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => Just(Visit),
        3 => Just(Poll),
        4 => Just(Renew(Cookie)),
        1 => Just(Verify),
    ]
}

fn pass() -> impl Strategy<Value = Step> {
    let millis = prop_oneof![6 => 0..1500_u64, 6 => 0..6000_u64, 1 => 0..30_000_u64];
    let edge = prop_oneof![6 => Just(2_usize), 6 => Just(3), 1 => 0..6_usize];
    let seconds = (0..8_u64).prop_map(|seconds| seconds * 1000);
    prop_oneof![
        1 => millis.prop_map(Step::Pass),
        1 => seconds.prop_map(Step::Pass),
        3 => (edge, -1..=1_i64).prop_map(|(edge, by)| Step::PassToEdge(edge, by)),
    ]
}

/// Steps of an honest user, on a clock that only advances.
fn honest() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => pass(),
        1 => Just(Step::Login),
        16 => event().prop_map(Step::Send),
        8 => event().prop_map(Step::SendSlowly),
        6 => any::<Index>().prop_map(Step::Arrive),
        1 => select(vec![Logout(Cookie), Logout(Bearer)]).prop_map(Step::Send),
        1 => Just(Step::Send(Password(Cookie))),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let theft = prop_oneof![
        10 => event(),
        2 => Just(Renew(Bearer)),
        1 => Just(Logout(Cookie)),
        1 => Just(Logout(Bearer)),
        1 => select(vec![Password(Cookie), Password(Bearer)]),
    ];
    prop_oneof![
        24 => honest(),
        // Its answer does not reach the jar, which keeps the token that was renewed.
        1 => Just(Step::Send(Renew(Bearer))),
        2 => (1..1500_i64).prop_map(Step::Back),
        6 => (0..6_usize, theft).prop_map(|(copy, event)| Step::Theft(copy, event)),
    ]
}

prop_compose! {
    /// Short timeouts, so that much happens. The grace is at least `least_grace`, and the renewal timeout at least
    /// twice the grace.
    fn limits(least_grace: i64)
        (grace in least_grace..=4_i64, touch in 1..=3_i64)
        (
            grace in Just(grace),
            touch in Just(touch),
            idle in grace + touch + 1..=30,
            renewal in 2 * grace..=14,
            absolute in 20..=120_i64,
            leeway in 0..=4_i64,
        ) -> Limits {
        Limits { idle, absolute, renewal, touch, grace, leeway }
    }
}

/// A cookie on its way to the jar, or an answer that clears it.
struct OnItsWay {
    cookie: Option<usize>,
    sent: i64,
}

struct World {
    fixture: Fixture,
    model: Model,
    /// Every token that ever existed, as the service and as the model issued it.
    tokens: Vec<(String, Token)>,
    jar: Option<usize>,
    on_their_way: Vec<OnItsWay>,
    /// The longest delay of an answer, in milliseconds.
    patience: i64,
    /// The number of times that each outcome occurred.
    happened: BTreeMap<&'static str, usize>,
}

impl World {
    async fn new(format: Format, limits: Limits, patience: i64) -> Self {
        let seconds = |seconds: i64| Duration::from_secs(seconds.try_into().unwrap());
        let timeouts = Timeouts {
            idle: seconds(limits.idle),
            absolute: seconds(limits.absolute),
            renewal: seconds(limits.renewal),
            touch_interval: seconds(limits.touch),
            renewal_grace: seconds(limits.grace),
            leeway: seconds(limits.leeway),
        };
        Self {
            fixture: Fixture::with(format, timeouts).await,
            model: Model {
                limits,
                shown: 0,
                sessions: Vec::new(),
            },
            tokens: Vec::new(),
            jar: None,
            on_their_way: Vec::new(),
            patience,
            happened: BTreeMap::new(),
        }
    }

    fn millis(&self) -> i64 {
        self.fixture.server.clock.now().millis() - START.millis()
    }

    fn look_at_the_clock(&mut self) {
        self.model.shown = self.model.shown.max(self.millis());
    }

    async fn pass_to(&mut self, millis: i64) {
        // No answer is delayed for too long.
        while let Some(first) =
            (0..self.on_their_way.len()).min_by_key(|i| self.on_their_way[*i].sent)
            && self.on_their_way[first].sent + self.patience <= millis
        {
            let due = self.on_their_way[first].sent + self.patience;
            let left = (due - self.millis()).max(0);
            self.fixture
                .server
                .pass(Duration::from_millis(left.try_into().unwrap()))
                .await;
            self.jar = self.on_their_way.remove(first).cookie;
        }
        let left = (millis - self.millis()).max(0);
        self.fixture
            .server
            .pass(Duration::from_millis(left.try_into().unwrap()))
            .await;
        self.look_at_the_clock();
    }

    async fn take(&mut self, step: &Step) {
        match step {
            Step::Pass(by) => {
                self.pass_to(self.millis() + i64::try_from(*by).unwrap())
                    .await
            }
            Step::PassToEdge(edge, by) => {
                let Some(token) = self.jar.map(|jar| self.tokens[jar].1) else {
                    return;
                };
                let Limits {
                    touch,
                    grace,
                    leeway,
                    ..
                } = self.model.limits;
                let edges = [
                    token.issued + touch,
                    token.renew - grace,
                    token.renew,
                    self.model.sessions[token.session].grace_until / 1000,
                    token.idle,
                    token.idle + leeway,
                ];
                // Time only advances here: the edge may already be past.
                let to = (edges[*edge] + by) * 1000;
                self.pass_to(to.max(self.millis())).await;
            }
            Step::Back(by) => {
                // A larger step back would count as a clock reset and end more.
                let to = (self.millis() - by).max(self.model.shown - 2000);
                let to = Timestamp::from_millis(START.millis() + to.min(self.millis()));
                self.fixture.server.clock.step_to(to);
                self.look_at_the_clock();
            }
            Step::Login => self.login().await,
            Step::Send(event) => match self.jar {
                None => self.login().await,
                Some(jar) => {
                    if let Some(cookie) = self.present(jar, *event).await {
                        self.jar = cookie;
                    }
                }
            },
            Step::SendSlowly(event) => {
                let Some(jar) = self.jar else { return };
                let sent = self.millis();
                if let Some(cookie) = self.present(jar, *event).await {
                    self.on_their_way.push(OnItsWay { cookie, sent });
                }
            }
            Step::Arrive(which) => {
                if !self.on_their_way.is_empty() {
                    let which = which.index(self.on_their_way.len());
                    self.jar = self.on_their_way.remove(which).cookie;
                }
            }
            Step::Theft(copy, event) => {
                if let Some(copy) = self.tokens.len().checked_sub(copy + 1) {
                    self.present(copy, *event).await;
                }
            }
        }
    }

    async fn login(&mut self) {
        let former = self.jar.map(|jar| self.tokens[jar].clone());
        let text = former.as_ref().map(|(text, _)| text.as_str());
        let text = self.fixture.login_by_cookie(text).await;
        if let Some((_, former)) = former {
            // A login ends a valid session, as a logout does, and a superseded one, for theft.
            let said = self.model.present(former, Verify);
            let raised = self.model.sessions[former.session].raised;
            let stolen = said == Said::Superseded
                && former.generation >= raised
                && self.model.now() < former.idle;
            self.model.sessions[former.session].over |= said == Said::Kept || stolen;
        }
        let token = self.model.begin();
        assert_eq!(
            self.fixture.state(&self.fixture.claims(&text)),
            token.state()
        );
        self.jar = Some(self.tokens.len());
        self.tokens.push((text, token));
    }

    /// Presents a token to the service and to the model, and compares the results. Returns the change for the jar, if
    /// there is one.
    async fn present(&mut self, index: usize, event: Event) -> Option<Option<usize>> {
        let (text, token) = self.tokens[index].clone();
        let (verdict, new) = self.fixture.take(event, &text).await;
        let before = self.model.sessions[token.session];
        let said = self.model.present(token, event);
        let after = self.model.sessions[token.session];
        let kept = match event {
            Verify => Verdict::Good,
            Logout(_) => Verdict::Out,
            _ => Verdict::Kept(token.state()),
        };
        // The answer to a poll may come late, so it clears no cookie.
        let clears = event.carrier() == Cookie && event != Poll;
        let dead = [Verdict::Refused, Verdict::Cleared][usize::from(clears)];
        let (name, expected, given) = match said {
            Said::Dead => ("dead", dead, None),
            Said::Superseded if after.over => ("theft", Verdict::Refused, None),
            Said::Superseded if token.generation < after.raised => {
                ("superseded by a password", Verdict::Refused, None)
            }
            Said::Superseded => ("superseded", Verdict::Refused, None),
            Said::Kept => ("kept", kept, None),
            // The table covers the rest of this answer.
            Said::AtItsEnd => ("at its end", verdict, None),
            Said::Touched(token) => ("touched", Verdict::Touched(token.state()), Some(token)),
            Said::Renewed(token) => {
                let first = after.generation > before.generation;
                let name = match event {
                    Password(_) => "password changed",
                    _ => ["renewed again", "renewed"][usize::from(first)],
                };
                (name, Verdict::Renewed(token.state()), Some(token))
            }
        };
        assert_eq!(
            verdict,
            expected,
            "{event:?} {token:?} at {}",
            self.model.now()
        );
        if said == Said::AtItsEnd {
            assert_eq!(verdict.is_good(), event == Visit, "{event:?} {token:?}");
        }
        *self.happened.entry(name).or_default() += 1;
        assert_eq!(new.is_some(), given.is_some());
        if let (Some(text), Some(token)) = (new, given) {
            self.tokens.push((text, token));
            // A client that reads its token from a body does not change the jar.
            return (event.carrier() == Cookie).then_some(Some(self.tokens.len() - 1));
        }
        let emptied =
            verdict == Verdict::Cleared || (verdict == Verdict::Out && event == Logout(Cookie));
        emptied.then_some(None)
    }

    /// Asserts that service and model agree, in the end, on every token that ever existed.
    async fn all_are_as_the_model_says(&mut self) {
        for index in 0..self.tokens.len() {
            self.present(index, Verify).await;
        }
        let log = self.fixture.log().await;
        // A password change writes two entries: one for this session and one for the others.
        let written = |of: &str| log.iter().filter(|reason| **reason == of).count();
        let renewed = written("renewed") + written("password_changed") / 2;
        let generations = self.model.sessions.iter().map(|session| session.generation);
        assert_eq!(u32::try_from(renewed).unwrap(), generations.sum::<u32>());
    }
}

fn format() -> impl Strategy<Value = Format> {
    select(Format::ALL.to_vec())
}

/// Plays the generated steps, and returns the number of times that each outcome occurred.
fn play(
    cases: u32,
    steps: impl Strategy<Value = (Format, Limits, Vec<Step>)>,
    patience: impl Fn(Limits) -> i64,
    check: impl Fn(&BTreeMap<&'static str, usize>),
) -> BTreeMap<&'static str, usize> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 400,
        ..ProptestConfig::with_cases(cases)
    };
    let all = RefCell::new(BTreeMap::new());
    TestRunner::new(config)
        .run(&steps, |(format, limits, steps)| {
            let seen = runtime.block_on(async {
                let mut world = World::new(format, limits, patience(limits)).await;
                for step in &steps {
                    world.take(step).await;
                }
                let seen = world.happened.clone();
                check(&seen);
                world.all_are_as_the_model_says().await;
                seen
            });
            for (name, times) in seen {
                *all.borrow_mut().entry(name).or_default() += times;
            }
            Ok(())
        })
        .unwrap();
    let all = all.into_inner();
    println!("{all:?}");
    all
}

/// Returns the number of lives to play: 150, or `WAXSEAL_LIVES` for a campaign.
fn lives() -> u32 {
    let wanted = std::env::var("WAXSEAL_LIVES").ok();
    wanted.map_or(150, |wanted| wanted.parse().unwrap())
}

#[test]
fn the_service_agrees_with_the_model_after_any_actions() {
    let steps = (
        format(),
        limits(1),
        prop::collection::vec(any_step(), 20..80),
    );
    // An answer may be delayed for longer than its session tolerates.
    let seen = play(lives(), steps, |_| 20_000, |_| {});
    assert_eq!(seen.len(), 10, "{seen:?}");
    let rarest = *seen.values().min().unwrap();
    assert!(
        rarest >= lives() as usize / 100,
        "the lives prove too little: {seen:?}"
    );
}

/// A user never looks like a thief as long as every answer is late by less than the grace and the clock only advances.
/// The last grace before a renewal begins up to a second late, because tokens carry whole seconds.
#[test]
fn a_user_with_two_tabs_and_slow_answers_is_never_taken_for_a_thief() {
    let steps = (format(), limits(2), prop::collection::vec(honest(), 20..80));
    let patience = |limits: Limits| limits.grace * 1000 - 1000;
    let seen = play(70, steps, patience, |seen| {
        let taken_for_a_thief = seen.contains_key("theft") || seen.contains_key("superseded");
        assert!(!taken_for_a_thief, "{seen:?}");
    });
    let often = |name: &&str| seen[*name] >= 5;
    assert!(
        ["renewed", "renewed again", "touched"].iter().all(often),
        "{seen:?}"
    );
}
