//! Times that are missing, of another type, or out of range.

use std::time::Duration;

use waxseal::key::Algorithm;
use waxseal::policy::{LIFETIME_CAP, MAX_LEEWAY, Unacceptable};
use waxseal::token::Malformed;

use crate::common::{START, TestServer};
use crate::fixture::{DATES, Fixture, of_algorithm};

/// Asserts that every value that is not a date in whole seconds is refused.
async fn no_date(claim: &'static str) {
    for fixture in Fixture::of_each_format().await {
        // The issuer writes no `nbf`, and the claim is optional.
        let is_needed = claim != "nbf";
        let good = fixture.second(if is_needed { claim } else { "iat" });
        if is_needed {
            let missing = fixture.seal(&fixture.header, &fixture.claims.without(claim));
            fixture
                .refused_for("missing", &missing, Malformed::Claims(claim))
                .await;
        }
        for raw in [
            format!("\"{good}\""),
            r#""never""#.to_owned(),
            r#""""#.to_owned(),
            format!("{good}.0"),
            format!("{good}.5"),
            format!("{good}e0"),
            format!("{good}000e-3"),
            "1.8e9".to_owned(),
            "1e19".to_owned(),
            "1e308".to_owned(),
            "-1".to_owned(),
            "-1e19".to_owned(),
            "-0".to_owned(),
            "-9223372036854775808".to_owned(),
            "9223372036854775807".to_owned(),
            "9223372036854775808".to_owned(),
            "18446744073709551615".to_owned(),
            "18446744073709551616".to_owned(),
            "253402300800".to_owned(),
            format!("{good}000000000"),
            "true".to_owned(),
            "false".to_owned(),
            "null".to_owned(),
            format!("[{good}]"),
            "[]".to_owned(),
            format!("{{\"value\":{good}}}"),
            "{}".to_owned(),
        ] {
            let token = fixture.with_claim(claim, &raw);
            fixture
                .refused_for(&format!("{claim} {raw}"), &token, Malformed::Claims(claim))
                .await;
        }
        // 1e400 exceeds every double, so to some parsers it is not even JSON.
        let why = fixture
            .malformed("1e400", &fixture.with_claim(claim, "1e400"))
            .await;
        assert!(matches!(why, Malformed::Claims(_)), "{why:?}");
    }
}

macro_rules! no_date {
    ($($name:ident)*) => {
        $(#[tokio::test]
        async fn $name() {
            super::no_date(stringify!($name)).await;
        })*
    };
}

mod missing_or_no_whole_number {
    no_date!(exp iat nbf auth_time renew_at session_expiry);
}

/// Sets several times together, in seconds from the start of the clock.
fn with_times(fixture: &Fixture, times: &[(&str, i64)]) -> String {
    let claims = times
        .iter()
        .fold(fixture.claims.clone(), |claims, (name, offset)| {
            claims.with(name, &fixture.date(START.secs() + offset))
        });
    fixture.seal(&fixture.header, &claims)
}

#[tokio::test]
async fn expired() {
    for fixture in Fixture::of_each_format().await {
        let leeway = fixture.server.settings.timeouts.leeway;
        let left = fixture.second("exp") - START.secs();
        let left = Duration::from_secs(u64::try_from(left).unwrap()) + leeway;
        fixture.server.pass(left - Duration::from_millis(1)).await;
        fixture.accepted("a moment before", &fixture.genuine).await;
        fixture.server.pass(Duration::from_millis(1)).await;
        fixture
            .refused_for("at exp and leeway", &fixture.genuine, Unacceptable::Expired)
            .await;
        fixture.server.pass(Duration::from_secs(365 * 86_400)).await;
        fixture
            .refused_for("a year later", &fixture.genuine, Unacceptable::Expired)
            .await;
    }
}

#[tokio::test]
async fn exp_long_past() {
    for fixture in Fixture::of_each_format().await {
        for exp in [0, 1, 1_000_000_000] {
            let token = fixture.with_claim("exp", &fixture.date(exp));
            fixture
                .refused_for(&exp.to_string(), &token, Unacceptable::Expired)
                .await;
        }
    }
}

#[tokio::test]
async fn exp_in_milliseconds() {
    let fixture = Fixture::new().await;
    let exp = format!("{}000", fixture.claims.raw("exp"));
    let why = fixture
        .refused("exp", &fixture.with_claim("exp", &exp))
        .await;
    assert_eq!(why, Malformed::Claims("exp").into());
    let all = DATES.iter().fold(fixture.claims.clone(), |claims, name| {
        claims.with(name, &format!("{}000", fixture.claims.raw(name)))
    });
    fixture
        .refused("all dates", &fixture.seal(&fixture.header, &all))
        .await;
}

#[tokio::test]
async fn exp_at_or_before_iat() {
    for fixture in Fixture::of_each_format().await {
        for exp in [0, -1, -4] {
            let token = with_times(&fixture, &[("exp", exp)]);
            fixture
                .refused_for(&exp.to_string(), &token, Unacceptable::Times)
                .await;
        }
        fixture
            .accepted("a second after", &with_times(&fixture, &[("exp", 1)]))
            .await;
    }
}

#[tokio::test]
async fn exp_after_session_expiry() {
    for fixture in Fixture::of_each_format().await {
        let end = fixture.second("session_expiry") - START.secs();
        fixture
            .accepted("at", &with_times(&fixture, &[("exp", end)]))
            .await;
        for exp in [end + 1, end + 100_000, 100_000_000] {
            let token = with_times(&fixture, &[("exp", exp)]);
            fixture
                .refused_for(&exp.to_string(), &token, Unacceptable::Times)
                .await;
        }
    }
}

#[tokio::test]
async fn beyond_the_lifetime_cap() {
    for fixture in Fixture::of_each_format().await {
        let cap = i64::try_from(LIFETIME_CAP.as_secs()).unwrap();
        let longest = with_times(&fixture, &[("exp", cap), ("session_expiry", cap)]);
        fixture.accepted("the longest", &longest).await;
        for end in [cap + 1, 10 * cap, 253_402_300_799 - START.secs()] {
            for times in [
                vec![("exp", end), ("session_expiry", end)],
                vec![("session_expiry", end)],
            ] {
                fixture
                    .refused_for("longer", &with_times(&fixture, &times), Unacceptable::Times)
                    .await;
            }
        }
        // Longer because the session begins earlier.
        for auth_time in [-1, -cap, -START.secs()] {
            let times = [
                ("auth_time", auth_time),
                ("exp", cap),
                ("session_expiry", cap),
            ];
            fixture
                .refused_for(
                    "earlier",
                    &with_times(&fixture, &times),
                    Unacceptable::Times,
                )
                .await;
        }
    }
}

/// The cap holds for every policy, even for the one with the longest sessions.
#[tokio::test]
async fn beyond_the_lifetime_cap_of_the_longest_policy() {
    for algorithm in Algorithm::ALL {
        let server = TestServer::with(|settings| {
            of_algorithm(settings, algorithm);
            settings.timeouts.absolute = LIFETIME_CAP;
            settings.timeouts.idle = LIFETIME_CAP * 10;
            settings.timeouts.leeway = MAX_LEEWAY;
        })
        .await;
        server.add_user("alice").await;
        let token = server.login("alice").await;
        server
            .pass(LIFETIME_CAP + MAX_LEEWAY - Duration::from_millis(1))
            .await;
        assert_eq!(server.verify(&token).await, 200);
        server.pass(Duration::from_millis(1)).await;
        assert_eq!(server.verify(&token).await, 401);
    }
}

#[tokio::test]
async fn iat_in_the_future() {
    for fixture in Fixture::of_each_format().await {
        let leeway = i64::try_from(fixture.server.settings.timeouts.leeway.as_secs()).unwrap();
        for iat in [1, leeway] {
            fixture
                .accepted("within leeway", &with_times(&fixture, &[("iat", iat)]))
                .await;
        }
        for iat in [leeway + 1, leeway + 600, 1_000_000_000] {
            fixture
                .refused_for(
                    "beyond",
                    &with_times(&fixture, &[("iat", iat)]),
                    Unacceptable::Future,
                )
                .await;
        }
    }
}

#[tokio::test]
async fn nbf_in_the_future() {
    for fixture in Fixture::of_each_format().await {
        let leeway = i64::try_from(fixture.server.settings.timeouts.leeway.as_secs()).unwrap();
        let from = |nbf| fixture.with_claim("nbf", &fixture.date(START.secs() + nbf));
        for nbf in [-START.secs(), -1, 0, 1, leeway] {
            fixture.accepted("within leeway", &from(nbf)).await;
        }
        for nbf in [leeway + 1, 60, 86_400, 1_000_000_000] {
            fixture
                .refused_for("beyond", &from(nbf), Unacceptable::NotYet)
                .await;
        }
        for nbf in [3, 4] {
            let claims = fixture
                .claims
                .with("exp", &fixture.date(START.secs() + 3))
                .with("nbf", &fixture.date(START.secs() + nbf));
            fixture
                .refused_for(
                    "at or after exp",
                    &fixture.seal(&fixture.header, &claims),
                    Unacceptable::Times,
                )
                .await;
        }
        // Also a remembered token, when the clock is set back by more than the verifier tolerates.
        let token = from(leeway);
        fixture.accepted("at the edge", &token).await;
        fixture
            .server
            .clock
            .step_to(START.minus(Duration::from_millis(2001)));
        fixture
            .refused_for("before", &token, Unacceptable::NotYet)
            .await;
        fixture.server.clock.step_to(START);
        fixture.accepted("at the edge again", &token).await;
    }
}

#[tokio::test]
async fn auth_time_in_the_future() {
    for fixture in Fixture::of_each_format().await {
        let leeway = i64::try_from(fixture.server.settings.timeouts.leeway.as_secs()).unwrap();
        let both = |at| with_times(&fixture, &[("iat", at), ("auth_time", at)]);
        fixture.accepted("within leeway", &both(leeway)).await;
        fixture
            .refused_for("beyond", &both(leeway + 1), Unacceptable::Future)
            .await;
        for auth_time in [leeway + 1, 3600] {
            fixture
                .refused_for(
                    "alone",
                    &with_times(&fixture, &[("auth_time", auth_time)]),
                    Unacceptable::Future,
                )
                .await;
        }
    }
}

#[tokio::test]
async fn auth_time_after_iat() {
    for fixture in Fixture::of_each_format().await {
        for times in [
            [("auth_time", 1), ("iat", 0)],
            [("auth_time", 5), ("iat", 4)],
            [("auth_time", 0), ("iat", -1)],
        ] {
            fixture
                .refused_for("after", &with_times(&fixture, &times), Unacceptable::Times)
                .await;
        }
    }
}

/// A clock that is set back must not make a token valid before it was issued.
#[tokio::test]
async fn used_before_it_was_issued() {
    for fixture in Fixture::of_each_format().await {
        let leeway = fixture.server.settings.timeouts.leeway;
        fixture.accepted("when issued", &fixture.genuine).await;
        fixture
            .server
            .clock
            .step_to(START.minus(leeway + Duration::from_millis(1)));
        fixture
            .refused_for("before", &fixture.genuine, Unacceptable::Future)
            .await;
        fixture.server.clock.step_to(START.minus(leeway));
        fixture.accepted("within leeway", &fixture.genuine).await;
    }
}
