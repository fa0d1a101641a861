//! The checker finds each kind of violation, in histories written by hand.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::checker::{CALM, Report, Rule, Terms, check};
use super::super::history::{Call, Event, Mode};

const BOUND: u64 = 1000;
const OTHER: usize = 1;

fn call(node: usize, [asked, answered]: [u64; 2], status: u16) -> Call {
    Call {
        session: 7,
        node,
        life: Some(0),
        asked,
        answered,
        status: (status != 0).then_some(status),
    }
}

/// A logout at node 0 that was answered at 200.
fn logout(mode: Mode, status: u16) -> Event {
    let call = call(0, [100, 200], status);
    Event::Logout { call, mode }
}

fn verified(node: usize, times: [u64; 2], status: u16) -> Event {
    let call = call(node, times, status);
    Event::Verification { call, last: false }
}

fn last(node: usize, times: [u64; 2], status: u16) -> Event {
    let call = call(node, times, status);
    Event::Verification { call, last: true }
}

fn with_life(mut event: Event, number: Option<usize>) -> Event {
    if let Event::Verification { call, .. } = &mut event {
        call.life = number;
    }
    event
}

fn read(events: &[Event]) -> Report {
    let terms = Terms {
        nodes: 2,
        max_staleness: Duration::from_nanos(BOUND),
    };
    let report = check(events, terms);
    // The order in which answers were recorded does not matter.
    let backwards: Vec<Event> = events.iter().rev().cloned().collect();
    let again = check(&backwards, terms);
    assert_eq!(again.broken(), report.broken());
    assert_eq!(again.violations.len(), report.violations.len());
    assert_eq!(again.all, report.all);
    report
}

fn broken(events: &[Event]) -> BTreeSet<Rule> {
    read(events).broken()
}

const NONE: [Rule; 0] = [];

#[test]
fn a_fenced_logout_is_followed_by_no_acceptance_that_was_asked_for_later() {
    let out = || logout(Mode::Fenced, 204);
    // A request that was sent before and answered after is allowed.
    assert_eq!(
        broken(&[out(), verified(OTHER, [200, 5000], 200)]),
        NONE.into()
    );
    assert_eq!(
        broken(&[out(), verified(OTHER, [150, 190], 200)]),
        NONE.into()
    );
    assert_eq!(
        broken(&[out(), verified(OTHER, [201, 210], 503)]),
        NONE.into()
    );
    assert_eq!(
        broken(&[out(), verified(OTHER, [201, 210], 401)]),
        NONE.into()
    );
    assert_eq!(
        broken(&[out(), verified(OTHER, [201, 210], 0)]),
        NONE.into()
    );
    assert_eq!(
        broken(&[out(), verified(OTHER, [201, 210], 200)]),
        [Rule::Fenced].into()
    );
    // Also when the request was sent before the bound was over, or long after.
    assert_eq!(
        broken(&[out(), verified(OTHER, [9000, 9001], 200)]),
        [Rule::Fenced].into()
    );
}

#[test]
fn a_bounded_logout_is_followed_by_none_after_the_bound() {
    let out = || logout(Mode::Bounded, 204);
    let edge = 200 + BOUND;
    assert_eq!(
        broken(&[out(), verified(OTHER, [201, 210], 200)]),
        NONE.into()
    );
    assert_eq!(
        broken(&[out(), verified(OTHER, [edge, edge + 900], 200)]),
        NONE.into()
    );
    let late = verified(OTHER, [edge + 1, edge + 2], 200);
    assert_eq!(broken(&[out(), late.clone()]), [Rule::Bounded].into());
    let report = read(&[out(), late]);
    assert_eq!(
        report.latest_acceptance,
        Some(Duration::from_nanos(BOUND + 1))
    );
    assert!(
        report.to_string().contains("asked 1.001µs after"),
        "{report}"
    );
}

#[test]
fn the_strictest_of_several_logouts_binds() {
    let second = Event::Logout {
        call: call(OTHER, [300, 400], 204),
        mode: Mode::Fenced,
    };
    let history = [
        logout(Mode::Bounded, 204),
        second,
        verified(2, [401, 402], 200),
    ];
    assert_eq!(broken(&history), [Rule::Fenced].into());
}

#[test]
fn a_logout_without_2xx_promises_nothing() {
    for status in [503, 500, 401, 0] {
        for mode in [Mode::Bounded, Mode::Fenced] {
            let history = [
                logout(mode, status),
                verified(0, [9000, 9001], 200),
                last(OTHER, [9002, 9003], 200),
            ];
            let report = read(&history);
            report.assert_clean();
            assert_eq!((report.all.logouts, report.all.failed_logouts), (0, 1));
        }
    }
}

#[test]
fn the_node_that_answered_refuses_at_once() {
    let out = || logout(Mode::Bounded, 204);
    assert_eq!(broken(&[out(), verified(0, [200, 210], 200)]), NONE.into());
    assert_eq!(
        broken(&[out(), verified(0, [201, 210], 200)]),
        [Rule::OwnNode].into()
    );
    // The node's next process too.
    let next = with_life(verified(0, [500, 510], 200), Some(1));
    assert_eq!(broken(&[out(), next]), [Rule::OwnNode].into());
}

#[test]
fn a_process_never_accepts_what_it_has_refused() {
    // The logout itself was not acknowledged, but the node learned of it.
    let out = || logout(Mode::Bounded, 0);
    let refused = || verified(OTHER, [300, 310], 401);
    let again = || verified(OTHER, [311, 320], 200);
    assert_eq!(broken(&[out(), refused(), again()]), [Rule::Revived].into());
    assert_eq!(
        broken(&[out(), refused(), verified(OTHER, [310, 320], 200)]),
        NONE.into()
    );
    assert_eq!(
        broken(&[out(), refused(), verified(2, [311, 320], 200)]),
        NONE.into()
    );
    for other in [Some(1), None] {
        assert_eq!(
            broken(&[out(), refused(), with_life(again(), other)]),
            NONE.into()
        );
        assert_eq!(
            broken(&[out(), with_life(refused(), other), again()]),
            NONE.into()
        );
    }
    // The first refusal by time counts, in whatever order the history has them.
    let later = verified(OTHER, [900, 910], 401);
    assert_eq!(
        broken(&[out(), later, refused(), again()]),
        [Rule::Revived].into()
    );
}

#[test]
fn acknowledged_logouts_are_not_lost() {
    let ends = |status| {
        [
            logout(Mode::Bounded, 204),
            last(0, [500, 510], 401),
            last(OTHER, [500, 510], status),
        ]
    };
    read(&ends(401)).assert_clean();
    // Within the bound; but at the end no request is pending any more.
    assert_eq!(broken(&ends(200)), [Rule::Lost].into());
    for status in [503, 0] {
        let report = read(&ends(status));
        assert_eq!(report.broken(), NONE.into());
        assert_eq!(report.unproven, [(7, OTHER)]);
    }
    let early = [
        logout(Mode::Bounded, 204),
        last(0, [500, 510], 401),
        last(OTHER, [150, 160], 401),
    ];
    assert_eq!(
        read(&early).unproven,
        [(7, OTHER)],
        "asked before the answer"
    );
    let not_last = [
        logout(Mode::Bounded, 204),
        last(0, [500, 510], 401),
        verified(OTHER, [500, 510], 401),
    ];
    assert_eq!(read(&not_last).unproven, [(7, OTHER)]);
}

#[test]
fn no_node_refuses_a_live_session() {
    assert_eq!(
        broken(&[verified(0, [10, 20], 401)]),
        [Rule::LiveRefused].into()
    );
    assert_eq!(broken(&[verified(0, [10, 20], 503)]), NONE.into());
    assert_eq!(
        broken(&[verified(0, [10, 99], 401), logout(Mode::Fenced, 0)]),
        [Rule::LiveRefused].into()
    );
    assert_eq!(
        broken(&[verified(0, [10, 100], 401), logout(Mode::Fenced, 0)]),
        NONE.into()
    );
}

#[test]
fn a_logout_does_not_affect_another_session() {
    let mut other = call(OTHER, [9000, 9001], 200);
    other.session = 8;
    let other = Event::Verification {
        call: other,
        last: true,
    };
    assert_eq!(broken(&[logout(Mode::Fenced, 204), other]), NONE.into());
}

#[test]
fn everything_is_counted_and_by_the_fault_that_it_met() {
    let fault = |name, from, until| Event::Fault { name, from, until };
    let history = [
        Event::Login(call(0, [0, 5], 200)),
        Event::Login(call(0, [0, 5], 503)),
        logout(Mode::Fenced, 204),
        verified(0, [10, 20], 200),
        verified(0, [210, 220], 401),
        verified(OTHER, [150, 250], 401),
        verified(OTHER, [300, 310], 503),
        verified(OTHER, [400, 500], 0),
        verified(OTHER, [600, 610], 418),
        last(OTHER, [700, 710], 401),
        fault("cut", 305, 600),
        fault("cut", 605, 606),
        fault("pause", 500, 650),
        fault("unmet", 8000, 9000),
    ];
    let report = read(&history);
    let all = report.all;
    assert_eq!(
        (
            all.logins,
            all.failed_logins,
            all.logouts,
            all.failed_logouts
        ),
        (1, 1, 1, 0)
    );
    assert_eq!((all.accepted, all.refused, all.unavailable), (1, 3, 1));
    assert_eq!((all.unanswered, all.other), (1, 1));
    assert_eq!(
        (all.refused_after_logout, all.unavailable_after_logout),
        (2, 1)
    );
    let [cut, pause, unmet, calm] =
        ["cut", "pause", "unmet", CALM].map(|name| report.by_fault[name]);
    assert_eq!(
        (cut.unavailable, cut.unanswered, cut.other, cut.refused),
        (1, 1, 1, 0)
    );
    assert_eq!(
        (pause.unavailable, pause.unanswered, pause.other),
        (0, 1, 1)
    );
    assert_eq!(unmet, Default::default());
    assert_eq!(
        (calm.logins, calm.logouts, calm.accepted, calm.refused),
        (1, 1, 1, 3)
    );
    assert_eq!(report.earliest_refusal, Some(Duration::from_nanos(500)));
    assert_eq!(report.latest_acceptance, None);
    assert_eq!(report.broken(), NONE.into());
}
