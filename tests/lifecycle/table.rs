//! Each timeout at its edge and a second to either side, under the default timeouts: idle 900 s, absolute 7200 s,
//! renewal 1800 s, touch interval 60 s, grace 30 s, leeway 5 s. All times are seconds since the login.

use std::time::Duration;

use waxseal::time::Clock;

use crate::fixture::Carrier::{Bearer, Cookie};
use crate::fixture::Event::{self, Poll, Read, Renew, Verify, Visit};
use crate::fixture::Verdict::{self, Cleared, Good, Refused};
use crate::fixture::{Fixture, State};

const fn kept(generation: u32, idle: i64, renew: i64) -> Verdict {
    Verdict::Kept(State(generation, idle, renew, 7200))
}

const fn touched(generation: u32, idle: i64, renew: i64) -> Verdict {
    Verdict::Touched(State(generation, idle, renew, 7200))
}

const fn renewed(generation: u32, idle: i64, renew: i64) -> Verdict {
    Verdict::Renewed(State(generation, idle, renew, 7200))
}

/// The times of earlier activity, and the verdict of the event at each of these times.
type Row<'a> = (&'a [i64], &'a [(i64, Verdict)]);

/// Asserts every verdict of the rows, each in a new session with earlier activity of kind `before`.
async fn holds(before: Event, event: Event, rows: &[Row<'_>]) {
    for fixture in Fixture::of_each_format().await {
        for (active, verdicts) in rows {
            for (at, expected) in *verdicts {
                let mut token = fixture.login().await;
                for second in *active {
                    fixture.until(*second).await;
                    let (verdict, new) = fixture.take(before, &token).await;
                    assert!(verdict.is_good(), "{before:?} {active:?}: {second}");
                    token = new.unwrap_or(token);
                }
                fixture.until(*at).await;
                let (verdict, _) = fixture.take(event, &token).await;
                assert_eq!(
                    verdict, *expected,
                    "{:?} {event:?} at {at} after {before:?} at {active:?}",
                    fixture.format
                );
                // The next login must not be in the same second.
                fixture.until(at + 1).await;
            }
        }
    }
}

/// Active every 600 s, so that the session is renewed at 1800, 3600 and 5400.
const ALWAYS: &[i64] = &[
    600, 1200, 1800, 2400, 3000, 3600, 4200, 4800, 5400, 6000, 6600,
];

/// [`ALWAYS`] without the last time.
const SO_FAR: &[i64] = &[600, 1200, 1800, 2400, 3000, 3600, 4200, 4800, 5400, 6000];

#[tokio::test]
async fn a_token_is_accepted_up_to_its_idle_deadline_and_the_leeway() {
    let rows: &[Row<'_>] = &[
        (
            &[],
            &[
                (0, Good),
                (899, Good),
                (900, Good),
                (901, Good),
                (903, Good),
                (904, Good),
                (905, Refused),
                (906, Refused),
            ],
        ),
        // The deadline is 900 s after the last touch.
        (&[60], &[(964, Good), (965, Refused), (966, Refused)]),
        (&[899], &[(1803, Good), (1804, Refused), (1805, Refused)]),
        // The renewal is overdue, and no request asked for it.
        (
            &[800, 1600],
            &[
                (1799, Good),
                (1800, Good),
                (2499, Good),
                (2500, Good),
                (2504, Good),
                (2505, Refused),
            ],
        ),
    ];
    for event in [Verify, Read] {
        holds(Renew(Bearer), event, rows).await;
    }
}

#[tokio::test]
async fn a_client_that_asks_is_touched_at_once_and_renewed_when_that_is_due() {
    let rows: &[Row<'_>] = &[
        (
            &[],
            &[
                (0, kept(0, 900, 1800)),
                (1, touched(0, 901, 1800)),
                (898, touched(0, 1798, 1800)),
                (899, touched(0, 1799, 1800)),
            ],
        ),
        (
            &[800, 1600],
            &[
                (1601, touched(0, 2501, 1800)),
                (1768, touched(0, 2668, 1800)),
                (1769, touched(0, 2669, 1800)),
                // In the last grace before renewal, the answer has the same token again.
                (1770, kept(0, 2500, 1800)),
                (1771, kept(0, 2500, 1800)),
                (1799, kept(0, 2500, 1800)),
                (1800, renewed(1, 2700, 3600)),
                (1801, renewed(1, 2701, 3601)),
                (2498, renewed(1, 3398, 4298)),
                (2499, renewed(1, 3399, 4299)),
            ],
        ),
        (
            &[800, 1600, 1800],
            &[
                (1800, kept(1, 2700, 3600)),
                (1801, touched(1, 2701, 3600)),
                (2699, touched(1, 3599, 3600)),
            ],
        ),
    ];
    holds(Renew(Bearer), Renew(Bearer), rows).await;
    holds(Renew(Cookie), Renew(Cookie), rows).await;
    // From the deadline on the token is not exchanged, though verifiers accept it for the leeway.
    let over: &[Row<'_>] = &[
        (
            &[],
            &[
                (900, Refused),
                (901, Refused),
                (904, Refused),
                (905, Refused),
                (906, Refused),
            ],
        ),
        (&[800, 1600], &[(2500, Refused), (2501, Refused)]),
    ];
    holds(Renew(Bearer), Renew(Bearer), over).await;
    let over: &[Row<'_>] = &[(&[], &[(905, Cleared), (906, Cleared)])];
    holds(Renew(Cookie), Renew(Cookie), over).await;
}

#[tokio::test]
async fn a_visitor_is_touched_once_a_touch_interval_and_renewed_when_that_is_due() {
    let rows: &[Row<'_>] = &[
        (
            &[],
            &[
                (0, kept(0, 900, 1800)),
                (1, kept(0, 900, 1800)),
                (59, kept(0, 900, 1800)),
                (60, touched(0, 960, 1800)),
                (61, touched(0, 961, 1800)),
                (898, touched(0, 1798, 1800)),
                (899, touched(0, 1799, 1800)),
                (905, Cleared),
                (906, Cleared),
            ],
        ),
        (&[59], &[(60, touched(0, 960, 1800))]),
        (
            &[60],
            &[
                (61, kept(0, 960, 1800)),
                (119, kept(0, 960, 1800)),
                (120, touched(0, 1020, 1800)),
                (121, touched(0, 1021, 1800)),
            ],
        ),
        (
            &[800, 1600],
            &[
                (1659, kept(0, 2500, 1800)),
                (1660, touched(0, 2560, 1800)),
                (1768, touched(0, 2668, 1800)),
                (1769, touched(0, 2669, 1800)),
                (1770, kept(0, 2500, 1800)),
                (1771, kept(0, 2500, 1800)),
                (1799, kept(0, 2500, 1800)),
                (1800, renewed(1, 2700, 3600)),
                (1801, renewed(1, 2701, 3601)),
                (2499, renewed(1, 3399, 4299)),
            ],
        ),
        (
            &[800, 1600, 1800],
            &[
                (1859, kept(1, 2700, 3600)),
                (1860, touched(1, 2760, 3600)),
                (1861, touched(1, 2761, 3600)),
            ],
        ),
    ];
    holds(Visit, Visit, rows).await;
}

#[tokio::test]
async fn requests_that_are_not_activity_neither_touch_nor_renew() {
    let rows: &[Row<'_>] = &[
        (
            &[],
            &[
                (0, kept(0, 900, 1800)),
                (59, kept(0, 900, 1800)),
                (60, kept(0, 900, 1800)),
                (61, kept(0, 900, 1800)),
                (899, kept(0, 900, 1800)),
                (900, kept(0, 900, 1800)),
                (904, kept(0, 900, 1800)),
                (905, Refused),
                (906, Refused),
            ],
        ),
        // A visit without a touch leaves the deadline unchanged, and a touch moves it.
        (&[59], &[(904, kept(0, 900, 1800)), (905, Refused)]),
        (&[60], &[(964, kept(0, 960, 1800)), (965, Refused)]),
        (&[61], &[(965, kept(0, 961, 1800)), (966, Refused)]),
        (
            &[800, 1600],
            &[
                (1799, kept(0, 2500, 1800)),
                (1800, kept(0, 2500, 1800)),
                (1801, kept(0, 2500, 1800)),
                (2504, kept(0, 2500, 1800)),
                (2505, Refused),
            ],
        ),
    ];
    holds(Visit, Poll, rows).await;
    // Polls do not keep a session alive.
    let row: Row<'_> = (
        &[300, 600, 890],
        &[(904, kept(0, 900, 1800)), (905, Refused)],
    );
    holds(Poll, Poll, &[row]).await;
}

/// Renewed at 2000, 4000 and 5900, so that the next renewal would be due after the absolute end.
const LATE: &[i64] = &[
    800, 1500, 2000, 2700, 3400, 4000, 4700, 5400, 5900, 6100, 6250,
];

#[tokio::test]
async fn an_active_session_ends_at_its_absolute_end_and_no_token_outlives_it() {
    let rows: &[Row<'_>] = &[
        (
            SO_FAR,
            &[
                (6060, touched(3, 6960, 7200)),
                (6299, touched(3, 7199, 7200)),
                (6300, touched(3, 7200, 7200)),
                (6301, touched(3, 7200, 7200)),
                (6899, touched(3, 7200, 7200)),
            ],
        ),
        (
            ALWAYS,
            &[
                (6661, kept(3, 7200, 7200)),
                (7169, kept(3, 7200, 7200)),
                (7170, kept(3, 7200, 7200)),
                (7199, kept(3, 7200, 7200)),
                (7205, Cleared),
                (7206, Cleared),
            ],
        ),
        (
            LATE,
            &[
                (6310, touched(3, 7200, 7700)),
                (7149, touched(3, 7200, 7700)),
            ],
        ),
        // Renewed within the last idle timeout: the new token also ends with the session.
        (
            &[800, 1500, 2000, 2700, 3400, 4000, 4700, 5400, 5760],
            &[
                (6299, renewed(3, 7199, 8099)),
                (6300, renewed(3, 7200, 8100)),
                (6301, renewed(3, 7200, 8101)),
                (6659, renewed(3, 7200, 8459)),
            ],
        ),
    ];
    holds(Visit, Visit, rows).await;
    holds(Renew(Cookie), Renew(Cookie), rows).await;
    let verdicts: &[(i64, Verdict)] = &[
        (7199, Good),
        (7200, Good),
        (7204, Good),
        (7205, Refused),
        (7206, Refused),
    ];
    holds(Renew(Bearer), Verify, &[(ALWAYS, verdicts)]).await;
    let verdicts: &[(i64, Verdict)] = &[
        (7199, kept(3, 7200, 7200)),
        (7200, Refused),
        (7204, Refused),
        (7205, Refused),
    ];
    holds(Renew(Bearer), Renew(Bearer), &[(ALWAYS, verdicts)]).await;
}

/// Tokens carry whole seconds, rounded down, so rounding lengthens no lifetime.
#[tokio::test]
async fn a_fraction_of_a_second_lengthens_nothing() {
    for fixture in Fixture::of_each_format().await {
        let millis = |millis: i64| {
            let to = fixture.at(0).millis() + millis - fixture.server.clock.now().millis();
            fixture
                .server
                .pass(Duration::from_millis(to.try_into().unwrap()))
        };
        fixture.server.pass(Duration::from_millis(999)).await;
        let first = fixture.login().await;
        millis(900_999).await;
        assert_eq!(fixture.take(Verify, &first).await.0, Good);
        assert_eq!(fixture.take(Renew(Bearer), &first).await.0, Refused);
        millis(904_999).await;
        assert_eq!(fixture.take(Verify, &first).await.0, Good);
        millis(905_000).await;
        assert_eq!(fixture.take(Verify, &first).await.0, Refused);

        fixture.until(1000).await;
        fixture.server.pass(Duration::from_millis(999)).await;
        let mut token = fixture.login().await;
        for second in [800, 1600] {
            millis(second * 1000 + 999).await;
            token = fixture.take(Visit, &token).await.1.unwrap();
        }
        millis(1_799_999).await;
        assert_eq!(fixture.take(Visit, &token).await.0, kept(0, 2500, 1800));
        millis(1_800_999).await;
        assert_eq!(fixture.take(Visit, &token).await.0, renewed(1, 2700, 3600));
        millis(1_830_998).await;
        assert_eq!(fixture.take(Verify, &token).await.0, Good);
        millis(1_830_999).await;
        assert_eq!(fixture.take(Verify, &token).await.0, Refused);
    }
}

/// Every answer to a valid cookie carries the session's deadlines, also within the leeway.
#[tokio::test]
async fn a_cookie_that_only_the_leeway_carries_is_answered_with_its_deadlines() {
    let rows: &[Row<'_>] = &[(
        &[],
        &[
            (900, kept(0, 900, 1800)),
            (901, kept(0, 900, 1800)),
            (904, kept(0, 900, 1800)),
        ],
    )];
    holds(Visit, Visit, rows).await;
}

/// A 401 clears a cookie that is not superseded.
#[tokio::test]
async fn a_cookie_that_is_over_and_was_to_be_renewed_is_taken_away() {
    let rows: &[Row<'_>] = &[(&[], &[(900, Cleared), (901, Cleared), (904, Cleared)])];
    holds(Renew(Cookie), Renew(Cookie), rows).await;
}
