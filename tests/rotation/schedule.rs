//! For any schedule that the tool accepts and any instant, exactly one key signs for each format, and every token that
//! any key signed is verifiable until it expires.

use std::collections::HashSet;
use std::convert::Infallible;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use waxseal::id::KeyId;
use waxseal::key::{Algorithm, Format};
use waxseal::policy::{LIFETIME_CAP, MAX_LEEWAY};
use waxseal::schedule::{
    LEAD, PROPAGATION, Planned, Rotation, SETTLE, SKEW, ScheduleError, TAIL, Times, check, of,
    prune, revoke, rotate, signer,
};
use waxseal::time::Timestamp;

const START: Timestamp = Timestamp::from_secs(1_800_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);

/// The latest time at which any verifier may accept a token that was signed at `at`.
fn dead(at: Timestamp) -> Timestamp {
    at.plus(LIFETIME_CAP).plus(MAX_LEEWAY)
}

fn first_turn(plan: &[Planned], format: Format) -> Option<Timestamp> {
    of(plan, format)
        .filter_map(|key| key.times.signs_from)
        .min()
}

fn times(plan: &[Planned], kid: &KeyId) -> Option<Times> {
    let key = plan.iter().find(|key| key.kid == *kid)?;
    Some(key.times)
}

/// Every boundary of the schedule, a moment before and after each, now, and long after.
fn instants(plan: &[Planned], now: Timestamp) -> Vec<Timestamp> {
    let boundaries = plan.iter().flat_map(|key| {
        let Times {
            published,
            signs_from,
            signs_until,
            verifies_until,
            ..
        } = key.times;
        [
            Some(published),
            signs_from,
            Some(signs_until),
            Some(verifies_until),
        ]
    });
    let near = |at: Timestamp| [at.minus(MS), at, at.plus(MS)];
    let long_after = now.plus(HOUR * 24 * 3650);
    let all = boundaries.flatten().chain([now, long_after]).flat_map(near);
    all.filter(|at| *at < Timestamp::NEVER).collect()
}

/// Asserts the properties of every accepted schedule.
fn holds(plan: &[Planned], now: Timestamp) {
    for format in Format::ALL {
        let Some(first) = first_turn(plan, format) else {
            continue;
        };
        for at in instants(plan, now).into_iter().filter(|at| first <= *at) {
            let turns = of(plan, format).filter(|key| key.times.signs(at)).count();
            assert_eq!(turns, 1, "turns at {at} of {plan:#?}");
            let signer = signer(plan, format, at, |_| false);
            let signer = signer.unwrap_or_else(|| panic!("nobody signs at {at}: {plan:#?}"));
            assert_eq!(signer.times.revoked_at, None, "{signer:?} signs at {at}");
            let until = signer.times.verifies_until;
            assert!(until >= dead(at), "{signer:?} signs at {at}");
        }
    }
}

struct Model {
    plan: Vec<Planned>,
    now: Timestamp,
    made: u32,
    early: HashSet<KeyId>,
    revoked: HashSet<KeyId>,
    tokens: Vec<(KeyId, Timestamp)>,
}

impl Model {
    fn new() -> Self {
        Self {
            plan: Vec::new(),
            now: START,
            made: 0,
            early: HashSet::new(),
            revoked: HashSet::new(),
            tokens: Vec::new(),
        }
    }

    fn rotate(&mut self, algorithm: Algorithm, every: Option<Duration>) -> Rotation {
        let made = &mut self.made;
        let Ok(rotation) = rotate(&mut self.plan, algorithm, self.now, every, || {
            *made += 1;
            Ok::<_, Infallible>(kid(*made))
        });
        if let Rotation::First(kid) = &rotation {
            self.early.insert(kid.clone());
        }
        let waits = of(&self.plan, algorithm.format())
            .filter(|key| key.times.signs_from.is_none() && key.times.revoked_at.is_none());
        assert_eq!(waits.count(), 1, "one successor is published");
        rotation
    }

    /// Revokes a key as `waxseal keys revoke` does.
    fn revoke(&mut self, kid: &KeyId) {
        let before = self.plan.clone();
        revoke(&mut self.plan, kid, self.now);
        let algorithm = before.iter().find(|key| key.kid == *kid).unwrap().algorithm;
        self.rotate(algorithm, Some(Duration::MAX));
        self.revoked.insert(kid.clone());
        let moved = self.plan.iter().filter(|key| {
            times(&before, &key.kid).map(|times| times.signs_from) != Some(key.times.signs_from)
        });
        self.early.extend(moved.map(|key| key.kid.clone()));
        assert!(!times(&self.plan, kid).unwrap().verifies(self.now));
    }

    /// Asserts that a node that has not learned of a change may sign as before for a while.
    fn late_node(&self, before: &[Planned]) {
        let at = self.now.plus(PROPAGATION).plus(SKEW);
        for format in Format::ALL {
            let signer = signer(before, format, at, |kid| self.revoked.contains(kid));
            if let Some(Planned { kid, .. }) = signer {
                let times = times(&self.plan, kid).expect("a signer is not pruned");
                assert!(times.verifies_until >= dead(at), "{kid}: {times:?}");
            }
        }
    }

    fn step(&mut self, step: &Step) {
        let before = self.plan.clone();
        match step {
            Step::Rotate(algorithm, every) => {
                let rotation = self.rotate(*algorithm, *every);
                if !matches!(rotation, Rotation::First(_)) {
                    let once = self.plan.clone();
                    self.rotate(*algorithm, *every);
                    assert_eq!(self.plan, once, "a rotation at once after one is none");
                }
            }
            Step::Revoke(which) => {
                if !before.is_empty() {
                    self.revoke(&which.get(&before).kid);
                }
            }
            Step::Prune => {
                for kid in prune(&mut self.plan, self.now) {
                    let times = times(&before, &kid).unwrap();
                    assert!(!times.verifies(self.now) && !times.signs(self.now));
                }
            }
            Step::Advance(by) => self.now = self.now.plus(*by),
            Step::Back(by) => {
                self.now = self.now.minus(*by);
                // Every verifier refuses these as issued in the future, now and until the clock reaches that time
                // again: the promise holds only for clocks within the leeway.
                let now = self.now;
                self.tokens.retain(|(_, at)| *at <= now.plus(MAX_LEEWAY));
            }
        }
        check(&self.plan).unwrap_or_else(|why| panic!("{why}\n{step:?}\n{:#?}", self.plan));
        holds(&self.plan, self.now);
        self.late_node(&before);
        for key in &self.plan {
            if let Some(from) = key.times.signs_from {
                let in_time = from >= key.times.published.plus(LEAD);
                assert!(in_time || self.early.contains(&key.kid), "{key:?}");
            }
        }
        let (plan, now) = (&self.plan, self.now);
        self.tokens.retain(|(_, at)| now < dead(*at));
        for (kid, at) in &self.tokens {
            let verifies = times(plan, kid).is_some_and(|times| times.verifies(now));
            let revoked = self.revoked.contains(kid);
            assert!(verifies || revoked, "{kid} signed at {at}, now {now}");
        }
        for format in Format::ALL {
            let signer = signer(plan, format, now, |_| false);
            self.tokens.extend(signer.map(|key| (key.kid.clone(), now)));
        }
    }
}

fn kid(number: u32) -> KeyId {
    format!("key-{number}").parse().unwrap()
}

#[derive(Clone, Debug)]
enum Step {
    Rotate(Algorithm, Option<Duration>),
    Revoke(Index),
    Prune,
    Advance(Duration),
    Back(Duration),
}

fn span() -> impl Strategy<Value = Duration> {
    let marks = [
        Duration::ZERO,
        MS,
        MAX_LEEWAY,
        SETTLE,
        LEAD,
        HOUR,
        HOUR * 24,
        TAIL,
        HOUR * 24 * 30,
    ];
    prop_oneof![
        proptest::sample::select(marks.to_vec()),
        (0_u64..2_000_000).prop_map(Duration::from_millis),
        (0_u64..200_000).prop_map(Duration::from_secs),
    ]
}

fn steps(length: usize) -> impl Strategy<Value = Vec<Step>> {
    let algorithm = proptest::sample::select(Algorithm::ALL.to_vec());
    let step = prop_oneof![
        4 => (algorithm, proptest::option::of(span())).prop_map(|(algorithm, every)| Step::Rotate(algorithm, every)),
        2 => any::<Index>().prop_map(Step::Revoke),
        1 => Just(Step::Prune),
        5 => span().prop_map(Step::Advance),
        1 => span().prop_map(Step::Back),
    ];
    proptest::collection::vec(step, 1..length)
}

/// A manual change of the schedule.
#[derive(Clone, Debug)]
enum Slip {
    Shift(Index, u8, bool, Duration),
    Unset(Index, u8),
    Drop(Index),
    Double(Index),
}

fn slip() -> impl Strategy<Value = Slip> {
    prop_oneof![
        6 => (any::<Index>(), 0_u8..5, any::<bool>(), span()).prop_map(|(which, field, later, by)| Slip::Shift(which, field, later, by)),
        2 => (any::<Index>(), 0_u8..5).prop_map(|(which, field)| Slip::Unset(which, field)),
        1 => any::<Index>().prop_map(Slip::Drop),
        1 => any::<Index>().prop_map(Slip::Double),
    ]
}

fn slipped(plan: &mut Vec<Planned>, slip: &Slip, now: Timestamp) {
    let (Slip::Shift(which, ..) | Slip::Unset(which, _) | Slip::Drop(which) | Slip::Double(which)) =
        slip;
    let index = which.index(plan.len());
    let times = &mut plan[index].times;
    match slip {
        Slip::Shift(_, field, later, by) => {
            let shift = |time: Timestamp| {
                let time = if time < Timestamp::NEVER { time } else { now };
                if *later {
                    time.plus(*by)
                } else {
                    time.minus(*by)
                }
            };
            match field {
                0 => times.published = shift(times.published),
                1 => times.signs_from = Some(shift(times.signs_from.unwrap_or(now))),
                2 => times.signs_until = shift(times.signs_until),
                3 => times.verifies_until = shift(times.verifies_until),
                _ => times.revoked_at = Some(shift(now)),
            }
        }
        Slip::Unset(_, field) => match field {
            0 | 1 => times.signs_from = None,
            2 => times.signs_until = Timestamp::NEVER,
            3 => times.verifies_until = Timestamp::NEVER,
            _ => times.revoked_at = None,
        },
        Slip::Drop(_) => {
            plan.remove(index);
        }
        Slip::Double(_) => plan.push(plan[index].clone()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn exactly_one_key_signs_and_what_it_signed_verifies(steps in steps(40)) {
        let mut model = Model::new();
        for step in &steps {
            model.step(step);
        }
    }

    #[test]
    fn edited_schedules_are_refused_or_keep_the_promise(
        steps in steps(12),
        slips in proptest::collection::vec(slip(), 1..4),
    ) {
        let mut model = Model::new();
        for step in &steps {
            model.step(step);
        }
        let mut plan = model.plan;
        for slip in slips {
            if !plan.is_empty() {
                slipped(&mut plan, &slip, model.now);
            }
        }
        if check(&plan).is_ok() {
            holds(&plan, model.now);
        }
    }
}

/// Three keys that have signed or are signing, and a successor.
fn good() -> Vec<Planned> {
    let mut model = Model::new();
    for _ in 0..3 {
        model.rotate(Algorithm::EdDsa, None);
        model.now = model.now.plus(HOUR);
    }
    assert_eq!(model.plan.len(), 4);
    check(&model.plan).unwrap();
    model.plan
}

#[test]
fn every_slip_of_the_hand_has_its_error_with_the_key_and_the_fix() {
    type Change = fn(&mut Vec<Planned>);
    type Wanted = fn(&ScheduleError) -> bool;
    let cases: [(Change, Wanted, &str, &str); 11] = [
        (
            |plan| plan[1].times.signs_from = plan[1].times.signs_from.map(|at| at.plus(HOUR)),
            |why| matches!(why, ScheduleError::Gap { .. }),
            "key-2",
            "set signs_from of key-2 to 2027-",
        ),
        (
            |plan| {
                plan.remove(1);
            },
            |why| matches!(why, ScheduleError::Gap { .. }),
            "key-3",
            "set signs_from of key-3 to 2027-",
        ),
        (
            |plan| plan[1].times.signs_from = plan[1].times.signs_from.map(|at| at.minus(MS)),
            |why| matches!(why, ScheduleError::Overlap { .. }),
            "key-2",
            "set its signs_from to 2027-",
        ),
        (
            |plan| plan[1].times.published = plan[1].times.published.plus(HOUR),
            |why| matches!(why, ScheduleError::TooEarly { .. }),
            "key-2",
            "set its signs_from to 2027-",
        ),
        (
            |plan| plan[0].times.verifies_until = plan[0].times.verifies_until.minus(MS),
            |why| matches!(why, ScheduleError::TooShort { .. }),
            "key-1",
            "set its verifies_until to 2027-",
        ),
        (
            |plan| plan[2].times.verifies_until = START.plus(HOUR * 24 * 365),
            |why| matches!(why, ScheduleError::TooShort { .. }),
            "key-3",
            "set its verifies_until to null",
        ),
        (
            |plan| plan[3].times.verifies_until = START.plus(HOUR * 24 * 365),
            |why| matches!(why, ScheduleError::TooShort { .. }),
            "key-4",
            "set its verifies_until to null",
        ),
        (
            |plan| plan[2].times.signs_until = START.plus(HOUR * 24 * 365),
            |why| matches!(why, ScheduleError::End { .. }),
            "key-3",
            "run waxseal keys rotate",
        ),
        (
            |plan| {
                plan[2].times.revoked_at = Some(START);
                plan.remove(3);
            },
            |why| matches!(why, ScheduleError::End { .. }),
            "key-3",
            "run waxseal keys rotate",
        ),
        (
            |plan| plan[0].times.signs_until = START.minus(HOUR),
            |why| matches!(why, ScheduleError::Backwards(_)),
            "key-1",
            "correct its signs_from and signs_until",
        ),
        (
            |plan| plan.push(plan[1].clone()),
            |why| matches!(why, ScheduleError::DoubleKid(_)),
            "key-2",
            "remove one of them",
        ),
    ];
    for (change, wanted, key, fix) in cases {
        let mut plan = good();
        change(&mut plan);
        let why = check(&plan).unwrap_err();
        let text = why.to_string();
        assert!(wanted(&why), "{why:?}");
        assert!(text.contains(key) && text.contains(fix), "{text}");
    }
}

#[test]
fn a_rotation_heals_a_schedule_that_ends() {
    for other_first in [false, true] {
        let mut model = Model::new();
        if other_first {
            // The keys of another format must not change.
            model.rotate(Algorithm::V4Public, None);
        }
        model.rotate(Algorithm::EdDsa, None);
        let paseto: Vec<_> = of(&model.plan, Format::Paseto).cloned().collect();
        let at = model.plan.len() - 2;
        model.plan[at].times.signs_until = START.plus(HOUR);
        model.plan[at].times.verifies_until = START.plus(HOUR).plus(TAIL);
        assert!(matches!(check(&model.plan), Err(ScheduleError::End { .. })));
        model.now = START.plus(HOUR * 2);
        let rotation = model.rotate(Algorithm::EdDsa, Some(HOUR * 24 * 30));
        assert!(matches!(rotation, Rotation::TakesOver(..)), "{rotation:?}");
        check(&model.plan).unwrap();
        holds(&model.plan, model.now);
        let after: Vec<_> = of(&model.plan, Format::Paseto).cloned().collect();
        assert_eq!(after, paseto);
    }
}
