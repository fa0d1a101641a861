//! A service, the requests sent to it, and the content of its answers, in seconds since the last login.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{Request, StatusCode};
use chrono::DateTime;
use serde_json::{Value, json};
use waxseal::claims::Claims;
use waxseal::key::{Format, SigningKey};
use waxseal::keyring::Keyring;
use waxseal::policy::Timeouts;
use waxseal::store::key_folder;
use waxseal::time::{Clock, Timestamp};
use waxseal::token;

use crate::common::{Answer, PASSWORD, TestServer};

/// The session cookie up to its value.
const COOKIE_START: &str = "__Host-Http-waxseal=";
/// The attributes that follow the value where the service sets the cookie.
const ATTRIBUTES: &str = "; Path=/; Secure; HttpOnly; SameSite=Lax";

/// How a token is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    Cookie,
    Bearer,
}

/// A client's use of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// `GET /session` with the cookie.
    Visit,
    /// `GET /session` with the cookie, marked as no activity.
    Poll,
    /// `GET /session` with the token in the header.
    Read,
    /// `GET /verify` with the token in the header.
    Verify,
    /// `POST /session/renew`.
    Renew(Carrier),
    /// `POST /logout`.
    Logout(Carrier),
    /// `POST /password` with the correct password, which stays the same.
    Password(Carrier),
}

impl Event {
    pub const fn carrier(self) -> Carrier {
        match self {
            Self::Visit | Self::Poll => Carrier::Cookie,
            Self::Read | Self::Verify => Carrier::Bearer,
            Self::Renew(carrier) | Self::Logout(carrier) | Self::Password(carrier) => carrier,
        }
    }

    pub fn request(self, token: &str) -> Request<Body> {
        let request = match self {
            Self::Visit | Self::Read => Request::get("/session"),
            Self::Poll => Request::get("/session").header("waxseal-activity", "none"),
            Self::Verify => Request::get("/verify"),
            Self::Renew(_) => Request::post("/session/renew"),
            Self::Logout(_) => Request::post("/logout"),
            Self::Password(_) => {
                Request::post("/password").header("content-type", "application/json")
            }
        };
        let body = match self {
            Self::Password(_) => {
                let body = json!({ "current_password": PASSWORD, "new_password": PASSWORD });
                Body::from(body.to_string())
            }
            _ => Body::empty(),
        };
        let request = match self.carrier() {
            Carrier::Cookie => request
                .header(COOKIE, format!("{COOKIE_START}{token}"))
                .header("sec-fetch-site", "same-origin"),
            Carrier::Bearer => request.header("authorization", format!("Bearer {token}")),
        };
        request.body(body).unwrap()
    }
}

/// The generation, the idle deadline, the renewal time and the absolute end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State(pub u32, pub i64, pub i64, pub i64);

/// The outcome of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Accepted, with the session unchanged.
    Kept(State),
    /// Accepted, with a later idle deadline.
    Touched(State),
    /// Accepted, with a new session ID.
    Renewed(State),
    /// Accepted, without information about the session.
    Good,
    /// Logged out.
    Out,
    /// 401, and the cookie is left alone.
    Refused,
    /// 401, and the cookie is cleared.
    Cleared,
}

impl Verdict {
    pub const fn is_good(self) -> bool {
        matches!(
            self,
            Self::Kept(_) | Self::Touched(_) | Self::Renewed(_) | Self::Good
        )
    }
}

pub struct Fixture {
    pub server: TestServer,
    pub format: Format,
    /// The beginning of the session from which times count, in seconds.
    began: AtomicI64,
}

impl Fixture {
    pub async fn with(format: Format, timeouts: Timeouts) -> Self {
        let server = TestServer::with(|settings| {
            settings.format = format;
            settings.accepts = vec![format];
            settings.timeouts = timeouts;
        })
        .await;
        server.add_user("alice").await;
        Self {
            began: AtomicI64::new(server.clock.now().secs()),
            server,
            format,
        }
    }

    /// Creates a fixture for each format, with the default timeouts.
    pub async fn of_each_format() -> [Self; 2] {
        [
            Self::with(Format::Jwt, Timeouts::default()).await,
            Self::with(Format::Paseto, Timeouts::default()).await,
        ]
    }

    /// Begins another session of the one user, from which times count from now on.
    pub async fn login(&self) -> String {
        let now = self.server.clock.now().secs();
        self.began.store(now, Ordering::SeqCst);
        self.server.login("alice").await
    }

    /// Logs in as a browser with this cookie, or with none. Returns the new cookie.
    pub async fn login_by_cookie(&self, former: Option<&str>) -> String {
        let mut request = Request::post("/login")
            .header("content-type", "application/json")
            .header("sec-fetch-site", "same-origin");
        if let Some(former) = former {
            request = request.header(COOKIE, format!("{COOKIE_START}{former}"));
        }
        let body = json!({ "username": "alice", "password": PASSWORD, "delivery": "cookie" });
        let request = request.body(Body::from(body.to_string())).unwrap();
        let answer = self.server.send(request).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let cookie = set_cookie(&answer).flatten().unwrap();
        assert_eq!(
            self.header(&answer, Some(&cookie)),
            Some(Verdict::Renewed(self.state(&self.claims(&cookie))))
        );
        cookie
    }

    /// Returns the seconds since the login.
    pub fn since(&self, time: Timestamp) -> i64 {
        time.secs() - self.began.load(Ordering::SeqCst)
    }

    pub fn at(&self, second: i64) -> Timestamp {
        Timestamp::from_secs(self.began.load(Ordering::SeqCst) + second)
    }

    /// Advances the clock to this many seconds after the login.
    pub async fn until(&self, second: i64) {
        let left = self.at(second).millis() - self.server.clock.now().millis();
        let left = u64::try_from(left).expect("time goes forward");
        self.server.pass(Duration::from_millis(left)).await;
    }

    /// Returns the claims of a token that is valid now.
    pub fn claims(&self, token: &str) -> Claims {
        let verified = self.server.waxseal.verifier().verify(token);
        verified.unwrap().claims().clone()
    }

    pub fn state(&self, claims: &Claims) -> State {
        State(
            claims.session_id.generation,
            self.since(claims.expires_at),
            self.since(claims.renew_at),
            self.since(claims.session_expiry),
        )
    }

    /// Returns the outcome of an event, and the token that the client gets from it, if any. Asserts that headers, body
    /// and token agree on the session.
    pub async fn take(&self, event: Event, token: &str) -> (Verdict, Option<String>) {
        let presented = self.server.waxseal.verifier().verify(token);
        let presented = presented.map(|verified| verified.claims().clone());
        let answer = self.server.send(event.request(token)).await;
        let cookie = set_cookie(&answer);
        let what = || {
            format!(
                "{event:?} at {}: {answer:?}",
                self.since(self.server.clock.now())
            )
        };
        if event.carrier() == Carrier::Bearer {
            assert!(cookie.is_none(), "{}", what());
            assert!(
                !answer.headers.contains_key("waxseal-session"),
                "{}",
                what()
            );
        }
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NO_CONTENT => {
                let cleared = cookie == Some(None);
                assert_eq!(cleared, event.carrier() == Carrier::Cookie, "{}", what());
                return (Verdict::Out, None);
            }
            StatusCode::UNAUTHORIZED => {
                assert_eq!(answer.code(), "invalid_token");
                assert!(
                    !answer.headers.contains_key("waxseal-session"),
                    "{}",
                    what()
                );
                assert!(!matches!(cookie, Some(Some(_))), "{}", what());
                let cleared = cookie.map_or(Verdict::Refused, |_| Verdict::Cleared);
                return (cleared, None);
            }
            _ => panic!("{}", what()),
        }
        let presented = presented.unwrap_or_else(|cause| panic!("{cause}: {}", what()));
        if matches!(event, Event::Visit | Event::Poll | Event::Read) {
            // The resource shows the session as the request carried it.
            assert_eq!(
                self.view(&answer.json()),
                self.state(&presented),
                "{}",
                what()
            );
        }
        match event {
            Event::Verify | Event::Read => (Verdict::Good, None),
            Event::Renew(Carrier::Bearer) | Event::Password(Carrier::Bearer) => {
                self.renewed_by_bearer(&answer, token, &presented)
            }
            _ => {
                let new = cookie.map(|cookie| cookie.expect("cleared by a good answer"));
                let verdict = self.header(&answer, new.as_deref());
                if let Event::Renew(_) | Event::Password(_) = event {
                    let body = answer.json();
                    assert!(body.get("access_token").is_none(), "{}", what());
                    assert!(body.get("token_type").is_none(), "{}", what());
                    let held = self.claims(new.as_deref().unwrap_or(token));
                    assert_eq!(self.view(&body["session"]), self.state(&held), "{}", what());
                    assert_eq!(body["expires_in"], self.left(&held));
                }
                if new.is_none()
                    && let Some(Verdict::Kept(state)) = verdict
                {
                    assert_eq!(state, self.state(&presented), "{}", what());
                }
                (verdict.unwrap_or(Verdict::Good), new)
            }
        }
    }

    fn renewed_by_bearer(
        &self,
        answer: &Answer,
        token: &str,
        presented: &Claims,
    ) -> (Verdict, Option<String>) {
        let body = answer.json();
        assert_eq!(body["token_type"], "Bearer");
        let new = body["access_token"].as_str().unwrap();
        let claims = self.claims(new);
        let state = self.state(&claims);
        assert_eq!(self.view(&body["session"]), state, "{answer:?}");
        assert_eq!(body["expires_in"], self.left(&claims));
        if new == token {
            return (Verdict::Kept(state), None);
        }
        assert_ne!(claims.token_id, presented.token_id);
        let same_sid = claims.session_id == presented.session_id;
        let verdict = [Verdict::Renewed(state), Verdict::Touched(state)][usize::from(same_sid)];
        (verdict, Some(new.to_owned()))
    }

    /// Returns the service's time: the clock's, or up to two seconds more after the clock was set back.
    fn now(&self) -> Timestamp {
        let (clock, now) = (self.server.clock.now(), self.server.waxseal.issuer().now());
        assert!((0..=2000).contains(&(now.millis() - clock.millis())));
        now
    }

    fn left(&self, claims: &Claims) -> i64 {
        claims.expires_at.secs() - self.now().secs()
    }

    /// Returns the content of `Waxseal-Session`. Asserts that it agrees with the cookie in the same answer, if there is
    /// one.
    fn header(&self, answer: &Answer, cookie: Option<&str>) -> Option<Verdict> {
        let value = answer.headers.get("waxseal-session")?.to_str().unwrap();
        let members: Vec<_> = value
            .split(", ")
            .map(|member| member.split_once('=').unwrap())
            .collect();
        let [
            ("did", did),
            ("id", id),
            ("now", now),
            ("idle", idle),
            ("renew", renew),
            ("end", end),
        ] = members[..]
        else {
            panic!("{value}")
        };
        assert_eq!(now.parse(), Ok(self.now().secs()), "{value}");
        let second = |text: &str| self.since(Timestamp::from_secs(text.parse().unwrap()));
        let id = id.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
        let (_, generation) = id.split_once('.').unwrap();
        let generation = generation.parse().unwrap();
        let state = State(generation, second(idle), second(renew), second(end));
        if let Some(cookie) = cookie {
            let claims = self.claims(cookie);
            assert_eq!(claims.session_id.to_string(), id);
            assert_eq!(self.state(&claims), state);
            assert_eq!(claims.issued_at, self.now().whole_second());
        }
        let (verdict, comes_with_a_cookie) = match did {
            "kept" => (Verdict::Kept(state), false),
            "touched" => (Verdict::Touched(state), true),
            "renewed" => (Verdict::Renewed(state), true),
            _ => panic!("{value}"),
        };
        assert_eq!(comes_with_a_cookie, cookie.is_some(), "{value}");
        Some(verdict)
    }

    /// Returns the state in a session's JSON.
    fn view(&self, session: &Value) -> State {
        let time = |name: &str| DateTime::parse_from_rfc3339(session[name].as_str().unwrap());
        let millis = |name: &str| Timestamp::from_millis(time(name).unwrap().timestamp_millis());
        assert_eq!(millis("now"), self.now());
        let (_, generation) = session["id"].as_str().unwrap().split_once('.').unwrap();
        State(
            generation.parse().unwrap(),
            self.since(millis("idle_expires_at")),
            self.since(millis("renew_at")),
            self.since(millis("expires_at")),
        )
    }

    /// Returns the reason of each log entry, oldest first.
    pub async fn log(&self) -> Vec<&'static str> {
        let page = self.server.waxseal.log().read(0, 10_000).await.unwrap();
        let reasons = page.entries.iter();
        reasons
            .map(|entry| entry.revocation.reason.name())
            .collect()
    }

    /// Signs claims with the service's own key, as only the service should.
    pub fn forge(&self, claims: &Claims) -> String {
        token::sign(claims, self.key(&self.keyring())).unwrap()
    }

    pub fn keyring(&self) -> Keyring {
        key_folder::keyring(&self.server.settings.keys_dir).unwrap()
    }

    fn key<'a>(&self, keyring: &'a Keyring) -> &'a SigningKey {
        let now = self.server.clock.now();
        keyring.signing(self.format, now, |_| false).unwrap()
    }
}

/// Returns the session cookie that an answer sets or clears.
fn set_cookie(answer: &Answer) -> Option<Option<String>> {
    let mut values = answer.headers.get_all(SET_COOKIE).iter();
    let value = values.next()?.to_str().unwrap();
    assert!(values.next().is_none(), "{answer:?}");
    assert_eq!(answer.headers["cache-control"], "no-store");
    let value = value.strip_prefix(COOKIE_START).unwrap();
    if let Some(kept) = value.strip_suffix("; Max-Age=0") {
        assert_eq!(kept, ATTRIBUTES);
        return Some(None);
    }
    let token = value.strip_suffix(ATTRIBUTES).unwrap();
    assert!(!token.is_empty() && !token.contains(';'), "{value}");
    Some(Some(token.to_owned()))
}
