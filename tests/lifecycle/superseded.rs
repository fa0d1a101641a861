//! A superseded session ID: valid for the grace, then dead, and evidence of theft where it is presented for exchange.
//! All times are seconds since the login, under the default timeouts.

use std::time::Duration;

use waxseal::claims::Claims;
use waxseal::embedded::open_store;
use waxseal::id::{SessionId, UserId};
use waxseal::inventory::Renewed::{Current, Reused, Unknown};
use waxseal::inventory::{Inventory, Renew as Renewal};
use waxseal::key::Format;
use waxseal::policy::{Policy, Timeouts};
use waxseal::random::SeededRandom;
use waxseal::revocation::{ALL, Reason, Target};
use waxseal::session::LoginMethods;
use waxseal::time::{Clock, Timestamp};

use crate::common::{ISSUER, START};
use crate::fixture::Carrier::{Bearer, Cookie};
use crate::fixture::Event::{self, Logout, Poll, Read, Renew, Verify, Visit};
use crate::fixture::Verdict::{self, Cleared, Good, Kept, Out, Refused, Renewed, Touched};
use crate::fixture::{Fixture, State};

/// A session that was renewed at 1800, and another one of the same user.
struct Pair {
    /// Touched at 1600, so it expires at 2505 in any case.
    old: String,
    new: String,
    other: String,
}

async fn pair(fixture: &Fixture) -> Pair {
    // The other session begins first, so that times count from the login of the renewed one.
    let mut other = fixture.login().await;
    let mut old = fixture.login().await;
    for second in [800, 1600] {
        fixture.until(second).await;
        for token in [&mut old, &mut other] {
            *token = fixture.take(Visit, token).await.1.unwrap();
        }
    }
    fixture.until(1760).await;
    other = fixture.take(Visit, &other).await.1.unwrap();
    fixture.until(1800).await;
    let (verdict, new) = fixture.take(Visit, &old).await;
    assert_eq!(verdict, Renewed(State(1, 2700, 3600, 7200)));
    assert_eq!(fixture.log().await.last(), Some(&"renewed"));
    Pair {
        old,
        new: new.unwrap(),
        other,
    }
}

/// The state of the user's sessions after an event with the old token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    GoesOn,
    /// The user logged out of the session.
    LoggedOut,
    /// The whole session has ended, but not the user's others.
    Ended,
}

/// Asserts the verdict for the old token at these times, and the state of its session afterwards.
async fn holds(event: Event, rows: &[(i64, Verdict, After)]) {
    for fixture in Fixture::of_each_format().await {
        for (at, expected, after) in rows {
            let what = format!("{:?} {event:?} at {at}", fixture.format);
            let Pair { old, new, other } = pair(&fixture).await;
            fixture.until(*at).await;
            let log_before = fixture.log().await;
            let (verdict, given) = fixture.take(event, &old).await;
            assert_eq!(verdict, *expected, "{what}");
            let log = fixture.log().await;
            let mut written = log[log_before.len()..].to_vec();
            written.dedup();
            let (lives, expected_log) = match after {
                After::GoesOn => (Good, vec![]),
                After::LoggedOut => (Refused, vec!["logout"]),
                After::Ended => (Refused, vec!["reused"]),
            };
            assert_eq!(written, expected_log, "{what}");
            for token in given.iter().chain([&new]) {
                assert_eq!(fixture.take(Verify, token).await.0, lives, "{what}");
            }
            if *after == After::Ended {
                // For good, and for every other use of the session.
                for event in [Renew(Bearer), Logout(Bearer), Read] {
                    assert_eq!(fixture.take(event, &new).await.0, Refused, "{what}");
                }
                assert_eq!(fixture.take(Visit, &new).await.0, Cleared, "{what}");
                assert_eq!(fixture.log().await, log, "{what}");
            }
            assert_eq!(fixture.take(Verify, &other).await.0, Good, "{what}");
            fixture.until(at + 1).await;
        }
    }
}

const fn again(idle: i64) -> Verdict {
    // Not generation 2, and with the renewal time that the other tab has.
    Renewed(State(1, idle, 3600, 7200))
}

#[tokio::test]
async fn exchanged_within_the_grace_it_gives_the_same_generation_and_afterwards_it_is_theft() {
    use After::{Ended, GoesOn};
    for event in [Visit, Renew(Cookie), Renew(Bearer)] {
        let rows = [
            (1800, again(2700), GoesOn),
            (1801, again(2701), GoesOn),
            (1828, again(2728), GoesOn),
            (1829, again(2729), GoesOn),
            (1830, Refused, Ended),
            (1831, Refused, Ended),
            (2499, Refused, Ended),
            // Past its idle deadline the token can do nothing, so it proves nothing.
            (2500, Refused, GoesOn),
            (2501, Refused, GoesOn),
            (2504, Refused, GoesOn),
        ];
        holds(event, &rows).await;
    }
    // Expired like any other token: that it is also superseded does not matter.
    for event in [Visit, Renew(Cookie)] {
        holds(event, &[(2505, Cleared, GoesOn), (2506, Cleared, GoesOn)]).await;
    }
    holds(Poll, &[(2505, Refused, GoesOn), (2506, Refused, GoesOn)]).await;
}

#[tokio::test]
async fn a_superseded_token_elsewhere_gets_a_401_and_keeps_the_session() {
    use After::{GoesOn, LoggedOut};
    for event in [Verify, Read] {
        let rows = [
            (1800, Good, GoesOn),
            (1829, Good, GoesOn),
            (1830, Refused, GoesOn),
            (1831, Refused, GoesOn),
            (2504, Refused, GoesOn),
            (2505, Refused, GoesOn),
        ];
        holds(event, &rows).await;
    }
    // A background request may have been under way for a long time.
    let old = Kept(State(0, 2500, 1800, 7200));
    let rows = [
        (1800, old, GoesOn),
        (1829, old, GoesOn),
        (1830, Refused, GoesOn),
        (1831, Refused, GoesOn),
        (2504, Refused, GoesOn),
    ];
    holds(Poll, &rows).await;
    let rows = [
        (1829, Out, LoggedOut),
        (1830, Refused, GoesOn),
        (1831, Refused, GoesOn),
    ];
    holds(Logout(Bearer), &rows).await;
}

#[tokio::test]
async fn a_logout_with_its_cookie_ends_the_session_one_way_or_the_other() {
    use After::{Ended, LoggedOut};
    let rows = [
        (1829, Out, LoggedOut),
        (1830, Refused, Ended),
        (1831, Refused, Ended),
    ];
    holds(Logout(Cookie), &rows).await;
}

/// Two entries would claim that the token was presented twice.
#[tokio::test]
async fn theft_is_written_to_the_log_once() {
    for event in [Visit, Renew(Bearer), Renew(Cookie)] {
        for fixture in Fixture::of_each_format().await {
            let Pair { old, .. } = pair(&fixture).await;
            fixture.until(1830).await;
            assert_eq!(fixture.take(event, &old).await.0, Refused);
            let log = fixture.log().await;
            assert_eq!(log[log.len() - 2..], ["renewed", "reused"], "{event:?}");
            // A session that is already over is not ended again.
            fixture.take(event, &old).await;
            assert_eq!(fixture.log().await, log, "{event:?}");
        }
    }
}

#[tokio::test]
async fn the_log_entry_of_a_renewal_has_the_end_of_the_grace_and_outlives_the_session() {
    for fixture in Fixture::of_each_format().await {
        let Pair { old, .. } = pair(&fixture).await;
        let lineage = fixture.claims(&old).session_id.lineage;
        fixture.until(1830).await;
        fixture.take(Renew(Bearer), &old).await;
        let page = fixture.server.waxseal.log().read(0, 100).await.unwrap();
        let entries: Vec<_> = page.entries.iter().map(|entry| &entry.revocation).collect();
        let [.., renewed, reused] = &entries[..] else {
            panic!("{entries:?}")
        };
        for (entry, reason, from, grace_until, at) in [
            (renewed, Reason::Renewed, 1, Some(1830), 1800),
            (reused, Reason::Reused, ALL, None, 1830),
        ] {
            assert_eq!(entry.target, Target::Session(lineage));
            assert_eq!((entry.reason, entry.from), (reason, from));
            assert_eq!(
                entry.grace_until,
                grace_until.map(|second| fixture.at(second))
            );
            assert_eq!(entry.at, fixture.at(at));
            assert!(entry.expires_at >= fixture.at(7200 + 60));
        }
    }
}

/// Forges a generation whose renewal is already due, so that the grace is longer than the generation. Only the
/// service's own key could sign it.
fn due_now(fixture: &Fixture, claims: &Claims, second: i64) -> String {
    let mut due = claims.clone();
    due.renew_at = fixture.at(second);
    fixture.forge(&due)
}

#[tokio::test]
async fn a_generation_two_renewals_old_is_refused_at_once() {
    for event in [Visit, Renew(Cookie), Renew(Bearer), Verify, Poll] {
        for fixture in Fixture::of_each_format().await {
            let Pair { old, new, .. } = pair(&fixture).await;
            fixture.until(1805).await;
            assert_eq!(fixture.take(Verify, &old).await.0, Good);
            let due = due_now(&fixture, &fixture.claims(&new), 1805);
            let (verdict, newest) = fixture.take(Visit, &due).await;
            assert_eq!(verdict, Renewed(State(2, 2705, 3605, 7200)));
            // The grace of its own generation would last until 1830.
            assert_eq!(fixture.take(event, &old).await.0, Refused);
            let theft = [Visit, Renew(Cookie), Renew(Bearer)].contains(&event);
            let expected = [Good, Refused][usize::from(theft)];
            for token in [&new, &newest.unwrap()] {
                assert_eq!(fixture.take(Verify, token).await.0, expected, "{event:?}");
            }
            let last = fixture.log().await.last().copied();
            assert_eq!(last, Some(["renewed", "reused"][usize::from(theft)]));
            if !theft {
                // The next generation has a grace of its own.
                fixture.until(1834).await;
                assert_eq!(fixture.take(Verify, &new).await.0, Good);
                fixture.until(1835).await;
                assert_eq!(fixture.take(Verify, &new).await.0, Refused);
            }
        }
    }
}

/// A slow second tab gets the same session ID, valid for as long as the first tab's and renewed together with it.
#[tokio::test]
async fn two_tabs_get_one_session_id_with_one_renewal() {
    for fixture in Fixture::of_each_format().await {
        let Pair { old, new, .. } = pair(&fixture).await;
        fixture.until(1829).await;
        let (verdict, late) = fixture.take(Visit, &old).await;
        assert_eq!(verdict, Renewed(State(1, 2729, 3600, 7200)));
        let late = late.unwrap();
        let ids: Vec<SessionId> = [&new, &late]
            .map(|token| fixture.claims(token).session_id)
            .into();
        assert_eq!(ids[0], ids[1]);
        assert_eq!(fixture.log().await, ["renewed"]);
        fixture.until(2600).await;
        let touched = |idle| Touched(State(1, idle, 3600, 7200));
        let (verdict, new) = fixture.take(Visit, &new).await;
        assert_eq!(verdict, touched(3500));
        let (verdict, late) = fixture.take(Renew(Bearer), &late).await;
        assert_eq!(verdict, touched(3500));
        fixture.until(3400).await;
        let new = fixture.take(Visit, &new.unwrap()).await.1.unwrap();
        let late = fixture.take(Visit, &late.unwrap()).await.1.unwrap();
        fixture.until(3600).await;
        let expected = Renewed(State(2, 4500, 5400, 7200));
        for token in [&late, &new] {
            assert_eq!(fixture.take(Visit, token).await.0, expected);
        }
        assert_eq!(fixture.log().await, ["renewed", "renewed"]);
    }
}

/// The session is younger than the leeway, so no token can have expired since it began.
#[tokio::test]
async fn a_grace_that_was_over_stays_over_in_a_young_session_when_the_clock_is_set_back_by_1_ms() {
    let second = Duration::from_secs;
    let timeouts = Timeouts {
        idle: second(4),
        absolute: second(20),
        renewal: second(2),
        touch_interval: second(1),
        renewal_grace: second(1),
        leeway: second(4),
    };
    for format in Format::ALL {
        let fixture = Fixture::with(format, timeouts).await;
        let to = async |millis: i64| {
            let left = millis - (fixture.server.clock.now().millis() - START.millis());
            fixture
                .server
                .pass(Duration::from_millis(left.try_into().unwrap()))
                .await;
        };
        to(1).await;
        let old = fixture.login().await;
        to(2000).await;
        let (verdict, new) = fixture.take(Visit, &old).await;
        assert!(matches!(verdict, Renewed(_)), "{verdict:?}");
        to(3000).await;
        fixture.take(Visit, &new.unwrap()).await;
        let back = Timestamp::from_millis(START.millis() + 2999);
        fixture.server.clock.step_to(back);
        assert_eq!(fixture.take(Verify, &old).await.0, Refused);
    }
}

/// A clock set back does not restore the grace.
#[tokio::test]
async fn a_grace_that_was_over_stays_over_when_the_clock_is_set_back() {
    for back in [1, 2, 3, 29, 600] {
        for fixture in Fixture::of_each_format().await {
            let Pair { old, new, .. } = pair(&fixture).await;
            fixture.until(1830).await;
            assert_eq!(fixture.take(Verify, &old).await.0, Refused);
            fixture.server.clock.step_to(fixture.at(1830 - back));
            assert_eq!(fixture.take(Verify, &old).await.0, Refused, "{back}");
            if back <= 29 {
                assert_eq!(fixture.take(Verify, &new).await.0, Good, "{back}");
            }
        }
    }
}

/// An answer that is late by less than the grace must not be two generations old, or the next request with it would
/// look like theft: under these timeouts, a request at 18 whose answer arrives 8 seconds late, after another tab's
/// request at 20.
#[test]
fn a_grace_of_more_than_half_a_generation_is_not_permitted() {
    let of = |renewal_grace| Timeouts {
        renewal: Duration::from_secs(10),
        touch_interval: Duration::from_secs(1),
        renewal_grace: Duration::from_secs(renewal_grace),
        ..Timeouts::default()
    };
    let refused = |grace| Policy::new(ISSUER, ISSUER, of(grace)).map_err(|wrong| wrong.key);
    for grace in [6, 9, 10, 11] {
        assert_eq!(refused(grace), Err("renewal_grace"), "{grace}");
    }
    assert!(refused(5).is_ok());
}

/// Verification asks the list first; if a node's list is behind, the store decides.
#[tokio::test]
async fn the_store_detects_superseded_generations() {
    let fixture = Fixture::with(Format::Jwt, Timeouts::default()).await;
    let store = open_store(&fixture.server.settings).await.unwrap();
    let claims = fixture.claims(&fixture.login().await);
    let sid = claims.session_id;
    let current = |generation, second| Current {
        generation,
        renew_at: fixture.at(second),
    };
    for (generation, millis, renew_at, expected) in [
        (1, 1_800_000, 3600, Unknown),
        (0, 1_800_999, 3600, current(1, 3600)),
        (0, 1_830_998, 3630, current(1, 3600)),
        (0, 1_830_999, 3630, Reused),
        (0, 1_832_000, 3632, Reused),
        (2, 1_810_000, 3610, Unknown),
        (u32::MAX, 1_810_000, 3610, Unknown),
        (1, 1_810_000, 3610, current(2, 3610)),
        // The grace of its own generation would not be over.
        (0, 1_811_000, 3611, Reused),
        (1, 1_839_999, 3639, current(2, 3610)),
        (1, 1_840_000, 3640, Reused),
    ] {
        let renewal = Renewal {
            presented: SessionId { generation, ..sid },
            at: Timestamp::from_millis(fixture.at(0).millis() + millis),
            grace: Duration::from_secs(30),
            renew_at: fixture.at(renew_at),
            user: claims.subject,
            auth_time: claims.auth_time,
            session_expiry: claims.session_expiry,
            methods: LoginMethods::password(),
            idle_end: fixture.at(7200),
        };
        // A renewal must match the session's user, times and methods from its beginning.
        let later = claims.session_expiry.plus(Duration::from_secs(1));
        for other in [
            Renewal {
                user: UserId::new(fixture.at(1), &SeededRandom::new(9)),
                ..renewal.clone()
            },
            Renewal {
                auth_time: fixture.at(1),
                ..renewal.clone()
            },
            Renewal {
                session_expiry: later,
                ..renewal.clone()
            },
            Renewal {
                methods: LoginMethods::of(["pwd", "otp"]).unwrap(),
                ..renewal.clone()
            },
        ] {
            assert_eq!(store.renew(other).await.unwrap(), Unknown);
        }
        let renewed = store.renew(renewal).await.unwrap();
        assert_eq!(renewed, expected, "{generation} at {millis}");
    }
    assert_eq!(fixture.log().await, ["renewed", "renewed"]);
}
