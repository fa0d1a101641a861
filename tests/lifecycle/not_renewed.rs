//! Tokens that cannot be renewed: the answer is 401, and nothing is written.

use std::time::Duration;

use waxseal::account::BeginSession;
use waxseal::claims::Claims;
use waxseal::embedded::MAX_STALENESS;
use waxseal::id::Lineage;
use waxseal::inventory::{Entered, LoginOrigin};
use waxseal::key::{Algorithm, Format, SigningKey, generate_pem};
use waxseal::policy::{Policy, Timeouts};
use waxseal::random::{OsRandom, SeededRandom};
use waxseal::session::{self, LoginMethods};
use waxseal::time::Clock;
use waxseal::token;

use crate::common::ISSUER;
use crate::fixture::Carrier::{Bearer, Cookie};
use crate::fixture::Event::{Logout, Password, Poll, Renew, Verify, Visit};
use crate::fixture::Verdict::{Cleared, Good, Kept, Out, Refused, Renewed, Touched};
use crate::fixture::{Fixture, State};

/// Asserts that the token is refused for exchange with either carrier, without effect.
async fn is_not_renewed(fixture: &Fixture, name: &str, token: &str) {
    let log = fixture.log().await;
    for carrier in [Bearer, Cookie] {
        let (verdict, new) = fixture.take(Renew(carrier), token).await;
        let refused = matches!(verdict, Refused | Cleared);
        assert!(refused && new.is_none(), "{name} {carrier:?}: {verdict:?}");
    }
    // A page that shows the session may still be answered, without a new token.
    let (_, new) = fixture.take(Visit, token).await;
    assert_eq!(new, None, "{name}");
    assert_eq!(fixture.log().await, log, "{name}");
}

/// Returns a token whose renewal is due now, at 1800.
async fn due(fixture: &Fixture) -> String {
    let mut token = fixture.login().await;
    for second in [800, 1600] {
        fixture.until(second).await;
        token = fixture.take(Visit, &token).await.1.unwrap();
    }
    fixture.until(1800).await;
    token
}

async fn is_renewed(fixture: &Fixture, token: &str) {
    let (verdict, _) = fixture.take(Visit, token).await;
    assert_eq!(verdict, Renewed(State(1, 2700, 3600, 7200)));
}

#[tokio::test]
async fn an_expired_token() {
    for fixture in Fixture::of_each_format().await {
        let token = due(&fixture).await;
        for second in [2500, 2501, 2504, 2505, 2506, 7199, 7200, 100_000] {
            fixture.until(second).await;
            is_not_renewed(&fixture, &second.to_string(), &token).await;
        }
    }
}

#[tokio::test]
async fn a_revoked_token() {
    for fixture in Fixture::of_each_format().await {
        let token = due(&fixture).await;
        assert_eq!(fixture.take(Logout(Bearer), &token).await.0, Out);
        is_not_renewed(&fixture, "logged out", &token).await;
        for event in [Visit, Renew(Cookie)] {
            assert_eq!(fixture.take(event, &token).await.0, Cleared);
        }
        assert_eq!(fixture.log().await, ["logout"]);
    }
}

#[tokio::test]
async fn a_token_issued_in_the_future() {
    for fixture in Fixture::of_each_format().await {
        let token = due(&fixture).await;
        let claims = fixture.claims(&token);
        let issued_at = |second| {
            let mut claims = claims.clone();
            claims.issued_at = fixture.at(second);
            fixture.forge(&claims)
        };
        for second in [1806, 1807, 2499] {
            is_not_renewed(&fixture, &second.to_string(), &issued_at(second)).await;
        }
        // The clocks of two nodes may differ by the leeway.
        is_renewed(&fixture, &issued_at(1805)).await;
    }
}

#[tokio::test]
async fn a_generation_that_was_never_issued() {
    for fixture in Fixture::of_each_format().await {
        let token = due(&fixture).await;
        let claims = fixture.claims(&token);
        let of_generation = |generation| {
            let mut claims = claims.clone();
            claims.session_id.generation = generation;
            fixture.forge(&claims)
        };
        for generation in [1, 2, u32::MAX - 1, u32::MAX] {
            is_not_renewed(
                &fixture,
                &generation.to_string(),
                &of_generation(generation),
            )
            .await;
        }
        is_renewed(&fixture, &of_generation(0)).await;
        for generation in [2, u32::MAX] {
            is_not_renewed(
                &fixture,
                &generation.to_string(),
                &of_generation(generation),
            )
            .await;
        }
    }
}

#[tokio::test]
async fn a_session_that_was_never_begun() {
    for fixture in Fixture::of_each_format().await {
        let token = due(&fixture).await;
        let claims = fixture.claims(&token);
        let lineage = Lineage::new(fixture.at(0), &SeededRandom::new(99));
        let mut unknown = claims.clone();
        unknown.session_id.lineage = lineage;
        is_not_renewed(&fixture, "unknown", &fixture.forge(&unknown)).await;
        is_renewed(&fixture, &token).await;
    }
}

#[tokio::test]
async fn a_token_of_another_issuer() {
    for fixture in Fixture::of_each_format().await {
        let token = due(&fixture).await;
        let claims = fixture.claims(&token);
        let algorithm = match fixture.format {
            Format::Jwt => Algorithm::EdDsa,
            Format::Paseto => Algorithm::V4Public,
        };
        let pem = generate_pem(algorithm, &OsRandom::new());
        let key = SigningKey::from_pem(pem.as_bytes(), fixture.format).unwrap();
        let foreign = token::sign(&claims, &key).unwrap();
        is_not_renewed(&fixture, "another key", &foreign).await;
        let other = "https://other.example";
        let mut other_issuer = claims.clone();
        other_issuer.issuer = other.to_owned();
        is_not_renewed(&fixture, "another issuer", &fixture.forge(&other_issuer)).await;
        let mut other_audience = claims.clone();
        other_audience.audience = other.to_owned();
        is_not_renewed(
            &fixture,
            "another audience",
            &fixture.forge(&other_audience),
        )
        .await;
        is_renewed(&fixture, &token).await;
    }
}

/// A malformed token is not evidence of theft: the session continues.
#[tokio::test]
async fn nonsense_ends_nothing() {
    for fixture in Fixture::of_each_format().await {
        let token = due(&fixture).await;
        let cut = &token[..token.len() - 1];
        for nonsense in ["", "nonsense", "a.b.c", "v4.public.AAAA", cut] {
            for event in [Visit, Renew(Cookie)] {
                let (verdict, _) = fixture.take(event, nonsense).await;
                assert_eq!(verdict, Cleared, "{event:?} {nonsense}");
            }
        }
        assert!(fixture.log().await.is_empty());
        is_renewed(&fixture, &token).await;
    }
}

/// A client with a bearer token and one with a cookie share a session as two tabs do.
#[tokio::test]
async fn the_carrier_makes_no_difference_to_the_session() {
    for fixture in Fixture::of_each_format().await {
        let token = due(&fixture).await;
        let (verdict, by_bearer) = fixture.take(Renew(Bearer), &token).await;
        assert_eq!(verdict, Renewed(State(1, 2700, 3600, 7200)));
        fixture.until(1810).await;
        let (verdict, by_cookie) = fixture.take(Renew(Cookie), &token).await;
        assert_eq!(verdict, Renewed(State(1, 2710, 3600, 7200)));
        fixture.until(1900).await;
        for token in [by_bearer.unwrap(), by_cookie.unwrap()] {
            let (verdict, touched) = fixture.take(Visit, &token).await;
            assert_eq!(verdict, Touched(State(1, 2800, 3600, 7200)));
            assert_eq!(fixture.take(Verify, &touched.unwrap()).await.0, Good);
        }
        assert_eq!(fixture.log().await, ["renewed"]);
    }
}

/// A login in a browser that has a session replaces it, and the old cookie is dead.
#[tokio::test]
async fn a_session_replaced_by_a_new_login() {
    for fixture in Fixture::of_each_format().await {
        let timeouts = Timeouts::default();
        let first = fixture.login_by_cookie(None).await;
        fixture.server.pass(timeouts.touch_interval).await;
        let second = fixture.login_by_cookie(Some(&first)).await;
        assert_eq!(fixture.take(Visit, &first).await.0, Cleared);
        is_not_renewed(&fixture, "replaced", &first).await;
        assert_eq!(fixture.log().await, ["logged_in_again"]);
        fixture.server.pass(Duration::from_secs(1)).await;
        let (verdict, _) = fixture.take(Visit, &second).await;
        assert!(matches!(verdict, Kept(_)), "{verdict:?}");
    }
}

/// The service cannot tell whether the token was revoked: it changes nothing, and the client tries again.
#[tokio::test]
async fn a_session_while_the_list_is_stale() {
    for fixture in Fixture::of_each_format().await {
        let token = due(&fixture).await;
        fixture.server.clock.advance(MAX_STALENESS);
        for event in [Visit, Poll, Renew(Cookie), Renew(Bearer)] {
            let answer = fixture.server.send(event.request(&token)).await;
            assert_eq!(answer.status, 503, "{event:?}");
            for header in ["set-cookie", "waxseal-session"] {
                assert!(!answer.headers.contains_key(header), "{event:?} {header}");
            }
        }
        assert!(fixture.log().await.is_empty());
        fixture.server.waxseal.catch_up().await.unwrap();
        let (verdict, _) = fixture.take(Visit, &token).await;
        assert_eq!(verdict, Renewed(State(1, 2705, 3605, 7200)));
    }
}

/// Begins a session as a login with a password and a second factor would. Returns the claims of its token.
async fn begin_with_otp(fixture: &Fixture) -> Claims {
    let accounts = fixture.server.waxseal.accounts();
    let start = accounts.start_login(&"alice".parse().unwrap()).await;
    let start = start.unwrap();
    let user = start.user.unwrap();
    let (now, random) = (fixture.server.clock.now(), OsRandom::new());
    let policy = Policy::new(ISSUER, ISSUER, Timeouts::default()).unwrap();
    let lineage = Lineage::new(now, &random);
    let methods = LoginMethods::of(["pwd", "otp"]).unwrap();
    let mut claims = session::begin(&policy, user.id, lineage, now, &random);
    claims.methods = methods.claim();
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
    for fixture in Fixture::of_each_format().await {
        let claims = begin_with_otp(&fixture).await;
        let by = |methods: &[&str], second| {
            let mut claims = claims.clone();
            claims.methods = methods.iter().map(|method| (*method).to_owned()).collect();
            claims.issued_at = fixture.at(second);
            claims.expires_at = fixture.at(second + 900);
            fixture.forge(&claims)
        };
        let others: [&[&str]; 6] = [
            &["pwd", "otp", "hwk"],
            &["otp"],
            &["PWD", "otp"],
            &["otp pwd"],
            &["pwd", "otp", ""],
            &[],
        ];
        fixture.until(100).await;
        for methods in others {
            let token = by(methods, 0);
            is_not_renewed(&fixture, &format!("touch {methods:?}"), &token).await;
            assert_eq!(fixture.take(Password(Bearer), &token).await.0, Refused);
        }
        for methods in [["pwd", "otp"], ["otp", "pwd"]] {
            let (verdict, touched) = fixture.take(Renew(Bearer), &by(&methods, 0)).await;
            assert_eq!(verdict, Touched(State(0, 1000, 1800, 7200)));
            assert_eq!(fixture.claims(&touched.unwrap()).methods, methods);
        }
        fixture.until(1800).await;
        for methods in others.into_iter().chain([&["pwd"][..]]) {
            let name = format!("renewal {methods:?}");
            is_not_renewed(&fixture, &name, &by(methods, 1600)).await;
        }
        for methods in [["otp", "pwd"], ["pwd", "otp"]] {
            let (verdict, renewed) = fixture.take(Renew(Bearer), &by(&methods, 1600)).await;
            assert_eq!(verdict, Renewed(State(1, 2700, 3600, 7200)));
            assert_eq!(fixture.claims(&renewed.unwrap()).methods, methods);
        }
    }
}
