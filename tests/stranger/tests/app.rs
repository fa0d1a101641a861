//! The library alone: keys from a JWK set, a revocation log of the app's own, and the extractor. Only the tokens are made
//! with what the library hides.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use tower::ServiceExt;
use waxseal::Verifier;
use waxseal::claims::Claims;
use waxseal::http::COOKIE_NAME;
use waxseal::http::origins::Origins;
use waxseal::http::session_cookies::SessionCookies;
use waxseal::id::{Lineage, UserId};
use waxseal::key::{Algorithm, SigningKey, VerifyingKey, generate_pem};
use waxseal::keyring::{Keyring, SharedKeyring};
use waxseal::policy::{Policy, Timeouts};
use waxseal::random::{OsRandom, SeededRandom};
use waxseal::revocation::follower::Follower;
use waxseal::revocation::log::{Cursor, Entry, Head, LogReader, Page, StoreError};
use waxseal::revocation::{ALL, Reason, Revocation, Target, session_revocation_expiry};
use waxseal::time::{Clock, ManualClock, Timestamp};
use waxseal::token;

const NAME: &str = "https://issuer.example";

/// The app's log, in memory.
#[derive(Debug)]
struct OwnLog {
    all: Mutex<Page>,
}

impl OwnLog {
    fn new() -> Self {
        let head = Head {
            cursor: Cursor::START,
            compacted: 0,
            horizon: Timestamp::EPOCH,
            newest_lineage: Timestamp::EPOCH,
        };
        let entries = Vec::new();
        Self {
            all: Mutex::new(Page { head, entries }),
        }
    }

    fn append(&self, revocation: Revocation) {
        let mut all = self.all.lock().unwrap();
        let hash = revocation.chain(&all.head.cursor.hash);
        let seq = revocation.seq;
        all.head.cursor = Cursor { seq, hash };
        all.entries.push(Entry { revocation, hash });
    }
}

#[async_trait]
impl LogReader for OwnLog {
    async fn read(&self, after: i64, limit: u32) -> Result<Page, StoreError> {
        let mut page = self.all.lock().unwrap().clone();
        page.entries.retain(|entry| entry.revocation.seq > after);
        page.entries.truncate(limit as usize);
        Ok(page)
    }
}

struct Place {
    key: SigningKey,
    policy: Policy,
    log: Arc<OwnLog>,
    follower: Follower,
    clock: Arc<ManualClock>,
    verifier: Arc<Verifier>,
}

async fn place(algorithm: Algorithm) -> Place {
    let pem = generate_pem(algorithm, &OsRandom::new());
    let key = SigningKey::from_pem(pem.as_bytes(), algorithm.format()).unwrap();
    let keyring = as_published(&key);
    let policy = Policy::new(NAME, NAME, Timeouts::default()).unwrap();
    let log = Arc::new(OwnLog::new());
    let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_800_000_000)));
    let bound = Duration::from_secs(5);
    let follower = Follower::new(Arc::clone(&log) as _, bound, Arc::clone(&clock) as _);
    let verifier = Arc::new(Verifier::following(
        Arc::new(SharedKeyring::new(keyring)),
        vec![algorithm.format()],
        policy.clone(),
        &follower,
    ));
    assert!(!verifier.is_fresh(), "nothing was read yet");
    follower.catch_up().await.unwrap();
    Place {
        key,
        policy,
        log,
        follower,
        clock,
        verifier,
    }
}

/// The keyring that an app builds from the texts of the key endpoints.
fn as_published(key: &SigningKey) -> Keyring {
    let published = Keyring::from_verifying_keys([key.public().clone()]).unwrap();
    let now = Timestamp::EPOCH;
    if let Some((_, paserk)) = published.paserks(now, |_| false).first() {
        return Keyring::from_verifying_keys([VerifyingKey::from_paserk(paserk).unwrap()]).unwrap();
    }
    let jwks = serde_json::to_vec(&published.jwks(now, |_| false)).unwrap();
    Keyring::from_jwks(&jwks).unwrap()
}

impl Place {
    fn token(&self) -> (String, Claims) {
        let (now, random) = (self.clock.now(), SeededRandom::new(1));
        let claims = waxseal::session::begin(
            &self.policy,
            UserId::new(now, &random),
            Lineage::new(now, &random),
            now,
            &random,
        );
        (token::sign(&claims, &self.key).unwrap(), claims)
    }

    async fn get(&self, path: &str, authorization: Option<&str>) -> (StatusCode, String) {
        let mut request = Request::get(path);
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        let response = stranger::app(Arc::clone(&self.verifier))
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 4096).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}

#[tokio::test]
async fn a_strangers_app_is_protected() {
    for algorithm in Algorithm::ALL {
        let place = place(algorithm).await;
        let (token, claims) = place.token();
        let bearer = format!("Bearer {token}");
        assert_eq!(
            place.get("/mine", Some(&bearer)).await,
            (StatusCode::OK, claims.subject.to_string())
        );
        assert_eq!(place.get("/mine", None).await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(
            place.get("/hello", None).await,
            (StatusCode::OK, "hello, stranger".to_owned())
        );
        assert_eq!(
            place.get("/hello", Some("Bearer x.y.z")).await.0,
            StatusCode::UNAUTHORIZED
        );
        // Credentials of another scheme count as none.
        assert_eq!(
            place.get("/hello", Some("Basic eDp5")).await,
            (StatusCode::OK, "hello, stranger".to_owned())
        );
        assert_eq!(
            place.get("/mine", Some("Basic eDp5")).await.0,
            StatusCode::UNAUTHORIZED
        );
        assert_eq!(
            place.get("/hello", Some("Bearer")).await.0,
            StatusCode::BAD_REQUEST
        );

        place.log.append(Revocation {
            seq: 1,
            target: Target::Session(claims.session_id.lineage),
            from: ALL,
            grace_until: None,
            spared: None,
            expires_at: session_revocation_expiry(claims.session_expiry),
            reason: Reason::Logout,
            at: place.clock.now(),
        });
        place.follower.catch_up().await.unwrap();
        for path in ["/mine", "/hello"] {
            assert_eq!(
                place.get(path, Some(&bearer)).await.0,
                StatusCode::UNAUTHORIZED
            );
        }
    }
}

#[tokio::test]
async fn a_list_that_is_not_kept_fresh_refuses_tokens() {
    let place = place(Algorithm::EdDsa).await;
    let bearer = format!("Bearer {}", place.token().0);
    assert_eq!(place.get("/mine", Some(&bearer)).await.0, StatusCode::OK);
    place.clock.advance(Duration::from_secs(5));
    assert_eq!(
        place.get("/mine", Some(&bearer)).await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    place.follower.catch_up().await.unwrap();
    assert_eq!(place.get("/mine", Some(&bearer)).await.0, StatusCode::OK);
}

#[tokio::test]
async fn below_its_layer_the_cookie_counts_and_is_left_to_its_issuer() {
    let place = place(Algorithm::EdDsa).await;
    let (token, claims) = place.token();
    let cookies = SessionCookies::new(Origins::new(NAME, &[]));
    let plain = stranger::app(Arc::clone(&place.verifier));
    let layered = plain.clone().layer(cookies);
    let get = async |app: &Router, cookie: &str| {
        let ask = async |authorization: Option<&str>| {
            let mut request = Request::get("/mine").header("cookie", cookie);
            if let Some(value) = authorization {
                request = request.header("authorization", value);
            }
            let request = request.body(Body::empty()).unwrap();
            let response = app.clone().oneshot(request).await.unwrap();
            assert!(!response.headers().contains_key("set-cookie"), "{cookie}");
            response.status()
        };
        let status = ask(None).await;
        assert_eq!(ask(Some("Basic eDp5")).await, status, "{cookie}");
        status
    };
    let good = format!("theme=dark; {COOKIE_NAME}={token}");
    assert_eq!(get(&plain, &good).await, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&layered, &good).await, StatusCode::OK);
    let bad = format!("{COOKIE_NAME}=x.y.z");
    assert_eq!(get(&layered, &bad).await, StatusCode::UNAUTHORIZED);
    let two = format!("{good}; {COOKIE_NAME}={token}");
    assert_eq!(get(&layered, &two).await, StatusCode::BAD_REQUEST);

    // The issuer renewed the session: the old generation stays valid for the grace.
    place.log.append(Revocation {
        seq: 1,
        target: Target::Session(claims.session_id.lineage),
        from: 1,
        grace_until: Some(place.clock.now().plus(Duration::from_secs(4))),
        spared: None,
        expires_at: session_revocation_expiry(claims.session_expiry),
        reason: Reason::Renewed,
        at: place.clock.now(),
    });
    place.follower.catch_up().await.unwrap();
    assert_eq!(get(&layered, &good).await, StatusCode::OK);
    place.clock.advance(Duration::from_secs(4));
    assert_eq!(get(&layered, &good).await, StatusCode::UNAUTHORIZED);
}
