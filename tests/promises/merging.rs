//! Promise 4, in the list itself: a token is dead if any revocation kills it, in whatever order and however often they
//! are applied.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::{Index, subsequence};
use waxseal::claims::Claims;
use waxseal::id::{KeyId, Lineage, TokenId, UserId};
use waxseal::policy::{Policy, Timeouts};
use waxseal::random::SeededRandom;
use waxseal::revocation::internals;
use waxseal::revocation::list::RevocationList;
use waxseal::revocation::{ALL, Reason, Revocation, Target};
use waxseal::session;
use waxseal::time::Timestamp;

use super::common::{ISSUER, START, campaign};

const THINGS: u64 = 6;

fn at(second: u64) -> Timestamp {
    Timestamp::from_millis(START.millis() + i64::try_from(second).unwrap())
}

/// The session of that number. Each has its own randomness, and two may share a creation time.
fn lineage(number: u64) -> Lineage {
    Lineage::new(at(number / 2), &SeededRandom::new(number))
}

fn user(number: u64) -> UserId {
    UserId::new(START, &SeededRandom::new(number % 2))
}

fn key(number: u64) -> KeyId {
    format!("key-{}", number % 2).parse().unwrap()
}

fn claims(number: u64, user_number: u64, generation: u32) -> Claims {
    let policy = Policy::new(ISSUER, ISSUER, Timeouts::default()).unwrap();
    let random = SeededRandom::new(100 + number);
    let user = user(user_number);
    let mut claims = session::begin(&policy, user, lineage(number), START, &random);
    claims.session_id.generation = generation;
    claims.token_id = TokenId::new(START, &SeededRandom::new(200 + number));
    claims
}

/// Any revocation that a log may contain. For a cut-off only the store's rule is kept: with `spared_before`, the spared
/// session began before the cut-off; otherwise it may be any.
fn revocation(spared_before: bool) -> impl Strategy<Value = Revocation> {
    let fields = (
        0..5_u8,
        0..2 * THINGS,
        prop_oneof![Just(ALL), (0..4_i64)],
        0..=THINGS,
        proptest::option::of(0..2 * THINGS),
        0..5_u64,
        any::<bool>(),
    );
    fields.prop_map(
        move |(kind, thing, generation, from, spared, expiry, graced)| {
            let from_time = at(from).millis();
            let spared = spared.map(lineage);
            let spared = spared
                .filter(|lineage| !spared_before || lineage.created_at().millis() < from_time);
            let (target, from, spared) = match kind {
                0 => (Target::Session(lineage(thing)), generation, None),
                1 => {
                    let token = claims(thing, 0, 0).token_id;
                    (Target::Token(token), ALL, None)
                }
                2 => (Target::User(user(thing)), from_time, spared),
                3 if thing == 0 => (Target::Key(key(thing)), ALL, None),
                _ => (Target::Everything, from_time, spared),
            };
            // A renewal spares the generation that it ends for a while.
            let renewal = kind == 0 && (1..ALL).contains(&from) && graced;
            let grace_until = renewal.then(|| at(expiry));
            let expires_at = at(86_400_000 + expiry);
            Revocation {
                seq: 1,
                target,
                from,
                grace_until,
                spared,
                expires_at,
                reason: Reason::Operator,
                at: START,
            }
        },
    )
}

fn list(revocations: &[Revocation]) -> RevocationList {
    let list = RevocationList::new();
    for revocation in revocations {
        internals::apply(&list, revocation);
    }
    list
}

/// Every session of every user and generation.
static SESSIONS: LazyLock<Vec<Claims>> = LazyLock::new(|| {
    let all = (0..2 * THINGS).flat_map(|number| (0..8).map(move |rest| (number, rest)));
    all.map(|(number, rest)| claims(number, u64::from(rest / 4), rest % 4))
        .collect()
});

/// The verdicts on each of them, by each of two keys, before, within and after every grace.
fn verdicts(list: &RevocationList) -> Vec<bool> {
    let (keys, leeway) = ([key(0), key(1)], Timeouts::default().leeway);
    let all = |claims| {
        let at_each_time = |kid| {
            let dead = move |time| list.dead(claims, kid, at(time), leeway).is_some();
            (0..6).map(dead)
        };
        keys.iter().flat_map(at_each_time).collect::<Vec<_>>()
    };
    SESSIONS.iter().flat_map(all).collect()
}

fn dead_if_any_kills(revocations: &[Revocation]) -> Vec<bool> {
    let mut expected = verdicts(&RevocationList::new());
    for revocation in revocations {
        let alone = verdicts(&list(std::slice::from_ref(revocation)));
        for (expected, alone) in expected.iter_mut().zip(alone) {
            *expected |= alone;
        }
    }
    expected
}

fn shuffled(revocations: &[Revocation], order: &[Index]) -> Vec<Revocation> {
    let mut left = revocations.to_vec();
    let mut shuffled = Vec::new();
    for index in order.iter().take(revocations.len()) {
        shuffled.push(left.remove(index.index(left.len())));
    }
    shuffled.extend(left);
    shuffled
}

fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(campaign(100, 4000))
    }
}

fn everything(from: u64, spared: u64) -> Revocation {
    Revocation {
        seq: 1,
        target: Target::Everything,
        from: at(from).millis(),
        grace_until: None,
        spared: Some(lineage(spared)),
        expires_at: at(86_400_000),
        reason: Reason::Operator,
        at: START,
    }
}

/// The smallest case of what the second property below looks for.
#[test]
fn an_unneeded_exception_of_a_cut_off_does_not_displace_a_needed_one() {
    // The first spares a session that began after both; the second spares one that it alone would end.
    let pair = [everything(0, 2 * 5), everything(3, 0)];
    let expected = dead_if_any_kills(&pair);
    assert_eq!(
        verdicts(&list(&[pair[1].clone(), pair[0].clone()])),
        expected
    );
    assert_eq!(verdicts(&list(&pair)), expected, "in the other order");
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn merged_revocations_end_whatever_any_of_them_ends(
        revocations in prop::collection::vec(revocation(true), 1..6),
        order in prop::collection::vec(any::<Index>(), 6),
    ) {
        let expected = dead_if_any_kills(&revocations);
        prop_assert_eq!(verdicts(&list(&revocations)), expected.clone());
        prop_assert_eq!(verdicts(&list(&shuffled(&revocations, &order))), expected);
    }

    #[test]
    fn merged_revocations_with_an_unneeded_exception_end_as_much(
        revocations in prop::collection::vec(revocation(false), 1..6),
        order in prop::collection::vec(any::<Index>(), 6),
    ) {
        let expected = dead_if_any_kills(&revocations);
        prop_assert_eq!(verdicts(&list(&revocations)), expected.clone());
        prop_assert_eq!(verdicts(&list(&shuffled(&revocations, &order))), expected);
    }

    #[test]
    fn a_replay_in_whole_or_in_part_changes_nothing(
        revocations in prop::collection::vec(revocation(true), 1..6),
        again in subsequence((0..5).collect::<Vec<usize>>(), 0..5),
        dropped in any::<bool>(),
    ) {
        let list = list(&revocations);
        let once = (verdicts(&list), list.len());
        if dropped {
            // The horizon is before everything that is checked, and nothing has expired by it.
            internals::raise_horizon(&list, START.minus(Timeouts::default().leeway));
            internals::drop_covered(&list);
        }
        for index in again {
            internals::apply(&list, &revocations[index % revocations.len()]);
        }
        for revocation in revocations.iter().rev() {
            internals::apply(&list, revocation);
        }
        prop_assert_eq!((verdicts(&list), list.len()), once);
    }

    #[test]
    fn merged_revocations_are_kept_until_the_last_of_them_expires(
        mut revocations in prop::collection::vec(revocation(true), 2..6),
        horizon in 0..5_u64,
    ) {
        // All of one target: it leaves the list only when the last of them has expired.
        let target = revocations[0].target.clone();
        revocations.retain(|revocation| revocation.target == target);
        let list = list(&revocations);
        let before = verdicts(&list);
        let last = revocations.iter().map(|revocation| revocation.expires_at).max().unwrap();
        let horizon = at(86_400_000 + horizon);
        internals::raise_horizon(&list, horizon);
        internals::drop_covered(&list);
        prop_assert_eq!(list.is_empty(), last <= horizon);
        // The horizon alone refuses what was dropped, and with it everything of that age.
        for (before, after) in before.iter().zip(verdicts(&list)) {
            prop_assert!(after >= *before);
        }
    }
}
