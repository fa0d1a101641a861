//! Times that are missing, of another type, or out of range.

use std::time::Duration;

use waxseal::key::Algorithm;
use waxseal::policy::{LIFETIME_CAP, MAX_LEEWAY, Unacceptable};
use waxseal::token::Malformed;

use crate::common::{House, START};
use crate::stage::{DATES, Stage, of_algorithm};

/// Asserts that every value that is not a date in whole seconds is refused.
async fn no_date(claim: &'static str) {
    for stage in Stage::of_each_format().await {
        // The issuer writes no `nbf`, and the claim is optional.
        let is_needed = claim != "nbf";
        let good = stage.second(if is_needed { claim } else { "iat" });
        if is_needed {
            let missing = stage.seal(&stage.header, &stage.claims.without(claim));
            stage
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
            let token = stage.with_claim(claim, &raw);
            stage
                .refused_for(&format!("{claim} {raw}"), &token, Malformed::Claims(claim))
                .await;
        }
        // 1e400 exceeds every double, so to some parsers it is not even JSON.
        let why = stage
            .malformed("1e400", &stage.with_claim(claim, "1e400"))
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
fn with_times(stage: &Stage, times: &[(&str, i64)]) -> String {
    let claims = times
        .iter()
        .fold(stage.claims.clone(), |claims, (name, offset)| {
            claims.with(name, &stage.date(START.secs() + offset))
        });
    stage.seal(&stage.header, &claims)
}

#[tokio::test]
async fn expired() {
    for stage in Stage::of_each_format().await {
        let leeway = stage.house.settings.timeouts.leeway;
        let left = stage.second("exp") - START.secs();
        let left = Duration::from_secs(u64::try_from(left).unwrap()) + leeway;
        stage.house.pass(left - Duration::from_millis(1)).await;
        stage.accepted("a moment before", &stage.genuine).await;
        stage.house.pass(Duration::from_millis(1)).await;
        stage
            .refused_for("at exp and leeway", &stage.genuine, Unacceptable::Expired)
            .await;
        stage.house.pass(Duration::from_secs(365 * 86_400)).await;
        stage
            .refused_for("a year later", &stage.genuine, Unacceptable::Expired)
            .await;
    }
}

#[tokio::test]
async fn exp_long_past() {
    for stage in Stage::of_each_format().await {
        for exp in [0, 1, 1_000_000_000] {
            let token = stage.with_claim("exp", &stage.date(exp));
            stage
                .refused_for(&exp.to_string(), &token, Unacceptable::Expired)
                .await;
        }
    }
}

#[tokio::test]
async fn exp_in_milliseconds() {
    let stage = Stage::new().await;
    let exp = format!("{}000", stage.claims.raw("exp"));
    let why = stage.refused("exp", &stage.with_claim("exp", &exp)).await;
    assert_eq!(why, Malformed::Claims("exp").into());
    let all = DATES.iter().fold(stage.claims.clone(), |claims, name| {
        claims.with(name, &format!("{}000", stage.claims.raw(name)))
    });
    stage
        .refused("all dates", &stage.seal(&stage.header, &all))
        .await;
}

#[tokio::test]
async fn exp_at_or_before_iat() {
    for stage in Stage::of_each_format().await {
        for exp in [0, -1, -4] {
            let token = with_times(&stage, &[("exp", exp)]);
            stage
                .refused_for(&exp.to_string(), &token, Unacceptable::Times)
                .await;
        }
        stage
            .accepted("a second after", &with_times(&stage, &[("exp", 1)]))
            .await;
    }
}

#[tokio::test]
async fn exp_after_session_expiry() {
    for stage in Stage::of_each_format().await {
        let end = stage.second("session_expiry") - START.secs();
        stage
            .accepted("at", &with_times(&stage, &[("exp", end)]))
            .await;
        for exp in [end + 1, end + 100_000, 100_000_000] {
            let token = with_times(&stage, &[("exp", exp)]);
            stage
                .refused_for(&exp.to_string(), &token, Unacceptable::Times)
                .await;
        }
    }
}

#[tokio::test]
async fn beyond_the_lifetime_cap() {
    for stage in Stage::of_each_format().await {
        let cap = i64::try_from(LIFETIME_CAP.as_secs()).unwrap();
        let longest = with_times(&stage, &[("exp", cap), ("session_expiry", cap)]);
        stage.accepted("the longest", &longest).await;
        for end in [cap + 1, 10 * cap, 253_402_300_799 - START.secs()] {
            for times in [
                vec![("exp", end), ("session_expiry", end)],
                vec![("session_expiry", end)],
            ] {
                stage
                    .refused_for("longer", &with_times(&stage, &times), Unacceptable::Times)
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
            stage
                .refused_for("earlier", &with_times(&stage, &times), Unacceptable::Times)
                .await;
        }
    }
}

/// The cap holds for every policy, even for the one with the longest sessions.
#[tokio::test]
async fn beyond_the_lifetime_cap_of_the_longest_policy() {
    for algorithm in Algorithm::ALL {
        let house = House::with(|settings| {
            of_algorithm(settings, algorithm);
            settings.timeouts.absolute = LIFETIME_CAP;
            settings.timeouts.idle = LIFETIME_CAP * 10;
            settings.timeouts.leeway = MAX_LEEWAY;
        })
        .await;
        house.add_user("alice").await;
        let token = house.login("alice").await;
        house
            .pass(LIFETIME_CAP + MAX_LEEWAY - Duration::from_millis(1))
            .await;
        assert_eq!(house.verify(&token).await, 200);
        house.pass(Duration::from_millis(1)).await;
        assert_eq!(house.verify(&token).await, 401);
    }
}

#[tokio::test]
async fn iat_in_the_future() {
    for stage in Stage::of_each_format().await {
        let leeway = i64::try_from(stage.house.settings.timeouts.leeway.as_secs()).unwrap();
        for iat in [1, leeway] {
            stage
                .accepted("within leeway", &with_times(&stage, &[("iat", iat)]))
                .await;
        }
        for iat in [leeway + 1, leeway + 600, 1_000_000_000] {
            stage
                .refused_for(
                    "beyond",
                    &with_times(&stage, &[("iat", iat)]),
                    Unacceptable::Future,
                )
                .await;
        }
    }
}

#[tokio::test]
async fn nbf_in_the_future() {
    for stage in Stage::of_each_format().await {
        let leeway = i64::try_from(stage.house.settings.timeouts.leeway.as_secs()).unwrap();
        let from = |nbf| stage.with_claim("nbf", &stage.date(START.secs() + nbf));
        for nbf in [-START.secs(), -1, 0, 1, leeway] {
            stage.accepted("within leeway", &from(nbf)).await;
        }
        for nbf in [leeway + 1, 60, 86_400, 1_000_000_000] {
            stage
                .refused_for("beyond", &from(nbf), Unacceptable::NotYet)
                .await;
        }
        for nbf in [3, 4] {
            let claims = stage
                .claims
                .with("exp", &stage.date(START.secs() + 3))
                .with("nbf", &stage.date(START.secs() + nbf));
            stage
                .refused_for(
                    "at or after exp",
                    &stage.seal(&stage.header, &claims),
                    Unacceptable::Times,
                )
                .await;
        }
        // Also a remembered token, when the clock is set back by more than the verifier tolerates.
        let token = from(leeway);
        stage.accepted("at the edge", &token).await;
        stage
            .house
            .clock
            .step_to(START.minus(Duration::from_millis(2001)));
        stage
            .refused_for("before", &token, Unacceptable::NotYet)
            .await;
        stage.house.clock.step_to(START);
        stage.accepted("at the edge again", &token).await;
    }
}

#[tokio::test]
async fn auth_time_in_the_future() {
    for stage in Stage::of_each_format().await {
        let leeway = i64::try_from(stage.house.settings.timeouts.leeway.as_secs()).unwrap();
        let both = |at| with_times(&stage, &[("iat", at), ("auth_time", at)]);
        stage.accepted("within leeway", &both(leeway)).await;
        stage
            .refused_for("beyond", &both(leeway + 1), Unacceptable::Future)
            .await;
        for auth_time in [leeway + 1, 3600] {
            stage
                .refused_for(
                    "alone",
                    &with_times(&stage, &[("auth_time", auth_time)]),
                    Unacceptable::Future,
                )
                .await;
        }
    }
}

#[tokio::test]
async fn auth_time_after_iat() {
    for stage in Stage::of_each_format().await {
        for times in [
            [("auth_time", 1), ("iat", 0)],
            [("auth_time", 5), ("iat", 4)],
            [("auth_time", 0), ("iat", -1)],
        ] {
            stage
                .refused_for("after", &with_times(&stage, &times), Unacceptable::Times)
                .await;
        }
    }
}

/// A clock that is set back must not make a token valid before it was issued.
#[tokio::test]
async fn used_before_it_was_issued() {
    for stage in Stage::of_each_format().await {
        let leeway = stage.house.settings.timeouts.leeway;
        stage.accepted("when issued", &stage.genuine).await;
        stage
            .house
            .clock
            .step_to(START.minus(leeway + Duration::from_millis(1)));
        stage
            .refused_for("before", &stage.genuine, Unacceptable::Future)
            .await;
        stage.house.clock.step_to(START.minus(leeway));
        stage.accepted("within leeway", &stage.genuine).await;
    }
}
