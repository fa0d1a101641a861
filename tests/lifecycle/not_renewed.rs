//! Tokens that cannot be renewed: the answer is 401, and nothing is written.

use std::time::Duration;

use waxseal::account::BeginSession;
use waxseal::claims::Claims;
use waxseal::embedded::MAX_STALENESS;
use waxseal::id::{Lineage, SessionId};
use waxseal::inventory::{Entered, LoginOrigin};
use waxseal::key::{Algorithm, Format, SigningKey, generate_pem};
use waxseal::policy::{Policy, Timeouts};
use waxseal::random::{OsRandom, SeededRandom};
use waxseal::session::{self, LoginMethods};
use waxseal::time::Clock;
use waxseal::token;

use crate::common::ISSUER;
use crate::stage::Carrier::{Bearer, Cookie};
use crate::stage::Event::{Logout, Password, Poll, Renew, Verify, Visit};
use crate::stage::Verdict::{Cleared, Good, Kept, Out, Refused, Renewed, Touched};
use crate::stage::{Stage, State};

/// Asserts that the token is refused for exchange with either carrier, without effect.
async fn is_not_renewed(stage: &Stage, name: &str, token: &str) {
    let log = stage.log().await;
    for carrier in [Bearer, Cookie] {
        let (verdict, new) = stage.take(Renew(carrier), token).await;
        let refused = matches!(verdict, Refused | Cleared);
        assert!(refused && new.is_none(), "{name} {carrier:?}: {verdict:?}");
    }
    // A page that shows the session may still be answered, without a new token.
    let (_, new) = stage.take(Visit, token).await;
    assert_eq!(new, None, "{name}");
    assert_eq!(stage.log().await, log, "{name}");
}

/// Returns a token whose renewal is due now, at 1800.
async fn due(stage: &Stage) -> String {
    let mut token = stage.login().await;
    for second in [800, 1600] {
        stage.until(second).await;
        token = stage.take(Visit, &token).await.1.unwrap();
    }
    stage.until(1800).await;
    token
}

async fn is_renewed(stage: &Stage, token: &str) {
    let (verdict, _) = stage.take(Visit, token).await;
    assert_eq!(verdict, Renewed(State(1, 2700, 3600, 7200)));
}

#[tokio::test]
async fn an_expired_one() {
    for stage in Stage::of_each_format().await {
        let token = due(&stage).await;
        for second in [2500, 2501, 2504, 2505, 2506, 7199, 7200, 100_000] {
            stage.until(second).await;
            is_not_renewed(&stage, &second.to_string(), &token).await;
        }
    }
}

#[tokio::test]
async fn a_revoked_one() {
    for stage in Stage::of_each_format().await {
        let token = due(&stage).await;
        assert_eq!(stage.take(Logout(Bearer), &token).await.0, Out);
        is_not_renewed(&stage, "logged out", &token).await;
        for event in [Visit, Renew(Cookie)] {
            assert_eq!(stage.take(event, &token).await.0, Cleared);
        }
        assert_eq!(stage.log().await, ["logout"]);
    }
}

#[tokio::test]
async fn one_that_was_issued_in_the_future() {
    for stage in Stage::of_each_format().await {
        let token = due(&stage).await;
        let claims = stage.claims(&token);
        let issued_at = |second| {
            stage.forge(&Claims {
                issued_at: stage.at(second),
                ..claims.clone()
            })
        };
        for second in [1806, 1807, 2499] {
            is_not_renewed(&stage, &second.to_string(), &issued_at(second)).await;
        }
        // The clocks of two nodes may differ by the leeway.
        is_renewed(&stage, &issued_at(1805)).await;
    }
}

#[tokio::test]
async fn a_generation_that_was_never_issued() {
    for stage in Stage::of_each_format().await {
        let token = due(&stage).await;
        let claims = stage.claims(&token);
        let of_generation = |generation| {
            let session_id = SessionId {
                generation,
                ..claims.session_id
            };
            stage.forge(&Claims {
                session_id,
                ..claims.clone()
            })
        };
        for generation in [1, 2, u32::MAX - 1, u32::MAX] {
            is_not_renewed(&stage, &generation.to_string(), &of_generation(generation)).await;
        }
        is_renewed(&stage, &of_generation(0)).await;
        for generation in [2, u32::MAX] {
            is_not_renewed(&stage, &generation.to_string(), &of_generation(generation)).await;
        }
    }
}

#[tokio::test]
async fn a_session_that_was_never_begun() {
    for stage in Stage::of_each_format().await {
        let token = due(&stage).await;
        let claims = stage.claims(&token);
        let lineage = Lineage::new(stage.at(0), &SeededRandom::new(99));
        let session_id = SessionId {
            lineage,
            ..claims.session_id
        };
        let unknown = stage.forge(&Claims {
            session_id,
            ..claims.clone()
        });
        is_not_renewed(&stage, "unknown", &unknown).await;
        is_renewed(&stage, &token).await;
    }
}

#[tokio::test]
async fn one_that_another_issuer_signed() {
    for stage in Stage::of_each_format().await {
        let token = due(&stage).await;
        let claims = stage.claims(&token);
        let algorithm = match stage.format {
            Format::Jwt => Algorithm::EdDsa,
            Format::Paseto => Algorithm::V4Public,
        };
        let pem = generate_pem(algorithm, &OsRandom::new());
        let key = SigningKey::from_pem(pem.as_bytes(), stage.format).unwrap();
        let foreign = token::sign(&claims, &key).unwrap();
        is_not_renewed(&stage, "another key", &foreign).await;
        let elsewhere = |claims| stage.forge(&claims);
        let issuer = "https://other.example".to_owned();
        let other_issuer = Claims {
            issuer: issuer.clone(),
            ..claims.clone()
        };
        is_not_renewed(&stage, "another issuer", &elsewhere(other_issuer)).await;
        let other_audience = Claims {
            audience: issuer,
            ..claims.clone()
        };
        is_not_renewed(&stage, "another audience", &elsewhere(other_audience)).await;
        is_renewed(&stage, &token).await;
    }
}

/// A malformed token is no evidence of theft: the session continues.
#[tokio::test]
async fn nonsense_ends_nothing() {
    for stage in Stage::of_each_format().await {
        let token = due(&stage).await;
        let cut = &token[..token.len() - 1];
        for nonsense in ["", "nonsense", "a.b.c", "v4.public.AAAA", cut] {
            for event in [Visit, Renew(Cookie)] {
                let (verdict, _) = stage.take(event, nonsense).await;
                assert_eq!(verdict, Cleared, "{event:?} {nonsense}");
            }
        }
        assert!(stage.log().await.is_empty());
        is_renewed(&stage, &token).await;
    }
}

/// A client with a bearer token and one with a cookie share a session as two tabs do.
#[tokio::test]
async fn the_carrier_makes_no_difference_to_the_session() {
    for stage in Stage::of_each_format().await {
        let token = due(&stage).await;
        let (verdict, by_bearer) = stage.take(Renew(Bearer), &token).await;
        assert_eq!(verdict, Renewed(State(1, 2700, 3600, 7200)));
        stage.until(1810).await;
        let (verdict, by_cookie) = stage.take(Renew(Cookie), &token).await;
        assert_eq!(verdict, Renewed(State(1, 2710, 3600, 7200)));
        stage.until(1900).await;
        for token in [by_bearer.unwrap(), by_cookie.unwrap()] {
            let (verdict, touched) = stage.take(Visit, &token).await;
            assert_eq!(verdict, Touched(State(1, 2800, 3600, 7200)));
            assert_eq!(stage.take(Verify, &touched.unwrap()).await.0, Good);
        }
        assert_eq!(stage.log().await, ["renewed"]);
    }
}

/// A login in a browser that has a session replaces it, and the old cookie is dead.
#[tokio::test]
async fn one_that_a_new_login_took_the_place_of() {
    for stage in Stage::of_each_format().await {
        let timeouts = Timeouts::default();
        let first = stage.login_by_cookie(None).await;
        stage.house.pass(timeouts.touch_interval).await;
        let second = stage.login_by_cookie(Some(&first)).await;
        assert_eq!(stage.take(Visit, &first).await.0, Cleared);
        is_not_renewed(&stage, "replaced", &first).await;
        assert_eq!(stage.log().await, ["logged_in_again"]);
        stage.house.pass(Duration::from_secs(1)).await;
        let (verdict, _) = stage.take(Visit, &second).await;
        assert!(matches!(verdict, Kept(_)), "{verdict:?}");
    }
}

/// The service cannot tell whether the token was revoked: it changes nothing, and the client tries again.
#[tokio::test]
async fn one_that_a_stale_list_cannot_vouch_for() {
    for stage in Stage::of_each_format().await {
        let token = due(&stage).await;
        stage.house.clock.advance(MAX_STALENESS);
        for event in [Visit, Poll, Renew(Cookie), Renew(Bearer)] {
            let answer = stage.house.send(event.request(&token)).await;
            assert_eq!(answer.status, 503, "{event:?}");
            for header in ["set-cookie", "waxseal-session"] {
                assert!(!answer.headers.contains_key(header), "{event:?} {header}");
            }
        }
        assert!(stage.log().await.is_empty());
        stage.house.waxseal.catch_up().await.unwrap();
        let (verdict, _) = stage.take(Visit, &token).await;
        assert_eq!(verdict, Renewed(State(1, 2705, 3605, 7200)));
    }
}

/// Begins a session as a login with a password and a second factor would. Returns the claims of its token.
async fn begin_with_otp(stage: &Stage) -> Claims {
    let accounts = stage.house.waxseal.accounts();
    let start = accounts.start_login(&"alice".parse().unwrap()).await;
    let start = start.unwrap();
    let user = start.user.unwrap();
    let (now, random) = (stage.house.clock.now(), OsRandom::new());
    let policy = Policy::new(ISSUER, ISSUER, Timeouts::default()).unwrap();
    let lineage = Lineage::new(now, &random);
    let methods = LoginMethods::of(["pwd", "otp"]).unwrap();
    let claims = Claims {
        methods: methods.claim(),
        ..session::begin(&policy, user.id, lineage, now, &random)
    };
    let begin = BeginSession {
        user: user.id,
        version: user.version,
        everything_version: start.everything_version,
        session: Entered {
            lineage,
            auth_time: claims.auth_time,
            session_expiry: claims.session_expiry,
            renew_at: claims.renew_at,
            idle_end: claims.session_expiry,
            methods,
            origin: LoginOrigin::default(),
        },
    };
    assert!(accounts.begin_session(begin).await.unwrap());
    claims
}

/// The inventory knows the methods of a login: a forged factor is exchanged for nothing, and the order has no meaning.
#[tokio::test]
async fn one_with_other_methods_than_its_login_had() {
    for stage in Stage::of_each_format().await {
        let claims = begin_with_otp(&stage).await;
        let by = |methods: &[&str], second| {
            stage.forge(&Claims {
                methods: methods.iter().map(|method| (*method).to_owned()).collect(),
                issued_at: stage.at(second),
                expires_at: stage.at(second + 900),
                ..claims.clone()
            })
        };
        let others: [&[&str]; 6] = [
            &["pwd", "otp", "hwk"],
            &["otp"],
            &["PWD", "otp"],
            &["otp pwd"],
            &["pwd", "otp", ""],
            &[],
        ];
        stage.until(100).await;
        for methods in others {
            let token = by(methods, 0);
            is_not_renewed(&stage, &format!("touch {methods:?}"), &token).await;
            assert_eq!(stage.take(Password(Bearer), &token).await.0, Refused);
        }
        for methods in [["pwd", "otp"], ["otp", "pwd"]] {
            let (verdict, touched) = stage.take(Renew(Bearer), &by(&methods, 0)).await;
            assert_eq!(verdict, Touched(State(0, 1000, 1800, 7200)));
            assert_eq!(stage.claims(&touched.unwrap()).methods, methods);
        }
        stage.until(1800).await;
        for methods in others.into_iter().chain([&["pwd"][..]]) {
            let name = format!("renewal {methods:?}");
            is_not_renewed(&stage, &name, &by(methods, 1600)).await;
        }
        for methods in [["otp", "pwd"], ["pwd", "otp"]] {
            let (verdict, renewed) = stage.take(Renew(Bearer), &by(&methods, 1600)).await;
            assert_eq!(verdict, Renewed(State(1, 2700, 3600, 7200)));
            assert_eq!(stage.claims(&renewed.unwrap()).methods, methods);
        }
    }
}
