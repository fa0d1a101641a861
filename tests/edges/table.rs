//! The cases that must hold for every proxy.

use std::thread::sleep;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::common::{PASSWORD, TestServer};
use super::curl::{OTHER_SITE, OWN_PAGE, Request};
use super::fixture::{Edge, Fixture, Kind, PAUSE, TRIES};
use super::service::{CACHE, COOKIES, REFUSES};
pub use super::session::the_service_gets_no_session;

/// Generates the tests of the table for one kind of proxy.
macro_rules! holds_for {
    ($kind:expr; $($case:ident)+) => {$(
        #[test]
        fn $case() {
            crate::table::$case(&$kind);
        }
    )+};
    ($kind:expr) => {
        crate::table::holds_for! { $kind;
            a_good_token_passes_with_its_identity
            a_request_without_a_token_does_not_pass
            a_page_redirects_to_sign_in_and_back
            a_logout_is_refused_at_once
            a_forged_identity_never_reaches_the_service
            another_site_changes_nothing_by_the_cookie
            no_other_spelling_of_a_path_gets_past
            the_cookie_is_touched_and_renewed_on_the_way
            bodies_arrive_as_they_were_sent
            the_service_gets_no_session
            the_address_of_a_login_is_the_clients
            no_request_passes_without_waxseal
            no_request_passes_while_waxseal_cannot_tell
        }
    };
}
pub(crate) use holds_for;

pub fn a_good_token_passes_with_its_identity(kind: &Kind) {
    let fixture = Fixture::new(kind);
    let (bearer, session) = fixture.login_for_bearer();
    let subject = |token: &str| {
        let answer = fixture.send("/session", &Request::get().bearer(token));
        answer.json()["subject"].as_str().unwrap().to_owned()
    };
    let of_session =
        |id: &str| ["session", &subject(&bearer), id, "waxseal", "session"].map(str::to_owned);
    let id = session["id"].as_str().unwrap();
    for (method, path) in [
        ("GET", "/api/a?b=c%20d"),
        ("POST", "/api/a"),
        ("DELETE", "/api/"),
        ("OPTIONS", "/api/a"),
    ] {
        let (answer, seen) = fixture.passes(method, path, &Request::of(method).bearer(&bearer));
        assert_eq!(seen.identity(), of_session(id));
        assert_eq!((seen.method.as_str(), seen.path.as_str()), (method, path));
        assert_eq!(answer.body, b"the service answers");
        assert_eq!(answer.all("set-cookie"), COOKIES);
        assert_eq!(answer.all("cache-control"), [CACHE]);
    }

    let cookie = fixture.login_for_cookie();
    let own = fixture
        .send("/session", &Request::get().cookie(&cookie))
        .json();
    for method in ["GET", "POST", "PATCH"] {
        let request = Request::of(method).cookie(&cookie).header(OWN_PAGE);
        let (_, seen) = fixture.passes(method, "/api/a", &request);
        assert_eq!(seen.identity(), of_session(own["id"].as_str().unwrap()));
    }
    assert_ne!(own["id"], session["id"]);
    // Together with the credentials of a gateway in front of everything.
    let gate = "Authorization: Basic YTpi";
    let beside = Request::get().cookie(&cookie).header(gate);
    let (_, seen) = fixture.passes("beside Basic", "/api/a", &beside);
    assert_eq!(seen.identity(), of_session(own["id"].as_str().unwrap()));
    fixture.is_refused("Basic alone", "/api/a", &Request::get().header(gate), 401);

    let (token, client) = fixture.service_token();
    let (_, seen) = fixture.passes("service", "/api/a", &Request::get().bearer(&token));
    assert_eq!(
        seen.identity(),
        ["service", &client, "", &client, "read write"]
    );
}

pub fn a_request_without_a_token_does_not_pass(kind: &Kind) {
    let fixture = Fixture::new(kind);
    for method in ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH"] {
        let answer = fixture.is_refused(method, "/api/a", &Request::of(method), 401);
        let challenge = answer.all("www-authenticate");
        assert_eq!(challenge, [r#"Bearer realm="waxseal""#], "{method}");
    }
    // The preflight that a browser sends before another origin's request.
    let preflight = Request::of("OPTIONS")
        .header("Origin: https://elsewhere.example")
        .header("Access-Control-Request-Method: POST");
    fixture.is_refused("preflight", "/api/a", &preflight, 401);

    let (token, _) = fixture.login_for_bearer();
    let (other, _) = fixture.login_for_bearer();
    let bad = format!("{}x", &token[..token.len() - 1]);
    fixture.is_refused("bad", "/api/a", &Request::get().bearer(&bad), 401);
    let in_cookie = Request::get().cookie(&bad).header(OWN_PAGE);
    let answer = fixture.is_refused("bad cookie", "/api/a", &in_cookie, 401);
    assert_eq!(answer.session_cookie(), Some(""), "it is cleared");

    let disagree = Request::get().bearer(&token).cookie(&other);
    let answer = fixture.is_refused("they disagree", "/api/a", &disagree, 400);
    assert_eq!(answer.session_cookie(), None);
    let doubled = Request::get().cookie(&token).cookie(&other);
    fixture.is_refused("two cookies", "/api/a", &doubled, 400);
    fixture.passes(
        "and it is good",
        "/api/a",
        &Request::get().bearer(&token).cookie(&token),
    );
}

pub fn a_page_redirects_to_sign_in_and_back(kind: &Kind) {
    let fixture = Fixture::new(kind);
    let page = "/api/page?x=1&y=%2F%20z";
    let html = "Accept: text/html,application/xhtml+xml,*/*;q=0.8";
    let navigation = Request::get().header("Sec-Fetch-Mode: navigate");
    let dead = navigation.clone().cookie("dead");
    for (name, request) in [
        ("a navigation", &navigation),
        ("over plain HTTP", &Request::get().header(html)),
        ("with a dead cookie", &dead),
    ] {
        let answer = fixture.is_refused(name, page, request, 302);
        let location = format!("/?return_to={page}");
        assert_eq!(answer.all("location"), [location], "{name}");
        assert_eq!(answer.all("cache-control"), ["no-store"], "{name}");
    }
    let answer = fixture.is_refused("dead", page, &dead, 302);
    assert_eq!(answer.session_cookie(), Some(""), "it is cleared");

    let script = Request::get().header("Sec-Fetch-Mode: cors").header(html);
    let form = Request::of("POST").header("Sec-Fetch-Mode: navigate");
    let json = Request::get().header("Accept: application/json");
    for (name, request) in [("a script", script), ("a form", form), ("JSON", json)] {
        let answer = fixture.is_refused(name, page, &request, 401);
        let challenge = answer.all("www-authenticate");
        assert_eq!(challenge, [r#"Bearer realm="waxseal""#], "{name}");
    }
    // The service's own 401 passes unchanged.
    let (token, _) = fixture.login_for_bearer();
    let answer = fixture.send(REFUSES, &navigation.bearer(&token));
    assert_eq!((answer.status, fixture.service.seen().len()), (401, 1));
    assert_eq!(answer.all("location"), Vec::<&str>::new());
}

pub fn a_logout_is_refused_at_once(kind: &Kind) {
    let fixture = Fixture::new(kind);
    for by_cookie in [false, true] {
        let (token, request) = if by_cookie {
            let token = fixture.login_for_cookie();
            let request = Request::get().cookie(&token).header(OWN_PAGE);
            (token, request)
        } else {
            let (token, _) = fixture.login_for_bearer();
            let request = Request::get().bearer(&token);
            (token, request)
        };
        fixture.passes("before", "/api/a", &request);
        let logout = Request::of("POST").bearer(&token);
        assert_eq!(fixture.send("/logout", &logout).status, 204);
        let answer = fixture.is_refused("after", "/api/a", &request, 401);
        assert_eq!(answer.session_cookie(), by_cookie.then_some(""));
    }
}

/// Returns spellings that some services take for `X-Waxseal-Subject` and similar headers.
fn forged() -> impl Iterator<Item = Vec<String>> {
    let names = ["Kind", "Subject", "Session", "Client", "Scope"];
    let spellings: [fn(&str) -> Vec<String>; 8] = [
        |name| vec![format!("X-Waxseal-{name}: forged")],
        |name| vec![format!("x-waxseal-{name}: forged").to_lowercase()],
        |name| vec![format!("X-WAXSEAL-{name}: forged").to_uppercase()],
        |name| vec![format!("X-Waxseal-{name}: forged"); 2],
        |name| vec![format!("X_Waxseal_{name}: forged")],
        |name| {
            vec![
                format!("x-waxseal_{name}: forged"),
                format!("X_WAXSEAL-{name}: forged"),
            ]
        },
        |name| {
            vec![
                format!("X.Waxseal.{name}: forged"),
                format!("X-Waxseal~{name}: forged"),
            ]
        },
        |name| vec![format!("X-Waxseal-{name};")],
    ];
    spellings
        .into_iter()
        .map(move |spell| names.iter().flat_map(|name| spell(name)).collect())
}

pub fn a_forged_identity_never_reaches_the_service(kind: &Kind) {
    let fixture = Fixture::new(kind);
    let (bearer, _) = fixture.login_for_bearer();
    let cookie = fixture.login_for_cookie();
    let (token, _) = fixture.service_token();
    let good = [
        ("session by bearer", Request::get().bearer(&bearer)),
        (
            "session by cookie",
            Request::get().cookie(&cookie).header(OWN_PAGE),
        ),
        ("service", Request::get().bearer(&token)),
    ];
    for (name, request) in good {
        let (_, honest) = fixture.passes(name, "/api/a", &request);
        for lines in forged() {
            let name = format!("{name}: {lines:?}");
            let request = lines.iter().fold(request.clone(), Request::header);
            let (_, seen) = fixture.passes(&name, "/api/a", &request);
            assert_eq!(seen.identity(), honest.identity(), "{name}");
            let of_ours = seen
                .headers
                .keys()
                .filter(|key| key.as_str().contains("waxseal"));
            for key in of_ours {
                assert!(honest.headers.contains_key(key), "{name}: {key}");
            }
            assert!(!format!("{:?}", seen.headers).contains("forged"), "{name}");
        }
        // Headers named here are hop-by-hop: the next hop removes them.
        let taken_out = "Connection: close, X-Waxseal-Scope, X-Waxseal-Kind, X-Waxseal-Subject";
        let (_, seen) = fixture.passes(name, "/api/a", &request.clone().header(taken_out));
        assert_eq!(seen.identity(), honest.identity(), "{name}: {taken_out}");
    }
    let unknown = Request::get().bearer(&bearer).header("X-Waxseal-Other: 1");
    let (_, seen) = fixture.passes("unknown", "/api/a", &unknown);
    assert_ne!(
        seen.headers.contains_key("x-waxseal-other"),
        kind.strips_unknown
    );
    for lines in forged() {
        let request = lines.iter().fold(Request::get(), Request::header);
        fixture.is_refused(&format!("{lines:?}"), "/api/a", &request, 401);
    }
}

pub fn another_site_changes_nothing_by_the_cookie(kind: &Kind) {
    let fixture = Fixture::new(kind);
    let cookie = fixture.login_for_cookie();
    let of = |method: &str| Request::of(method).cookie(&cookie).header(OTHER_SITE);
    fixture.passes("it looks", "/api/a", &of("GET"));
    for method in ["POST", "PUT", "DELETE"] {
        let plain = of(method);
        fixture.is_refused(method, "/api/a", &plain, 403);
        // The client cannot override what the proxy says about the request.
        for line in [
            "X-Original-Method: GET",
            "X-Forwarded-Method: GET",
            "X-HTTP-Method-Override: GET",
        ] {
            let request = plain.clone().header(line).header(line);
            fixture.is_refused(line, "/api/a", &request, 403);
        }
        let old_browser = Request::of(method)
            .cookie(&cookie)
            .header("Origin: https://elsewhere.example");
        fixture.is_refused("by Origin", "/api/a", &old_browser, 403);
        for own in [OWN_PAGE, "Origin: http://127.0.0.1:9"] {
            let own_page = Request::of(method).cookie(&cookie).header(own);
            fixture.passes(own, "/api/a", &own_page);
        }
    }
    // A GET opens a WebSocket, which can then change anything.
    let socket = Request::get()
        .cookie(&cookie)
        .header("Connection: Upgrade")
        .header("Upgrade: websocket")
        .header("Sec-WebSocket-Version: 13")
        .header("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==");
    let of_other_site = socket.clone().header(OTHER_SITE);
    fixture.is_refused("WebSocket", "/api/a", &of_other_site, 403);
    fixture.passes("WebSocket", "/api/a", &socket.header(OWN_PAGE));
}

pub fn no_other_spelling_of_a_path_gets_past(kind: &Kind) {
    let fixture = Fixture::new(kind);
    for path in [
        "/api",
        "/api/",
        "/API/a",
        "/%61pi/a",
        "/./api/a",
        "//api/a",
        "/x/../api/a",
        "/x/%2e%2e/api/a",
        "/api%2fa",
        "/x/..%2fapi/a",
        "/x%2f..%2fapi/a",
        "/api/../api/a",
        "/api//a",
        "/api/..;/a",
        "/api;x/a",
        "/\\api/a",
        "/api%00/a",
        "/.verify",
        "/.verify/api/a",
        "/verify/api/a",
        "/@unanswered",
        "/@sign_in",
    ] {
        let answer = fixture.send(path, &Request::get());
        let seen = fixture.service.seen();
        assert!(seen.is_empty(), "{path}: {seen:?}");
        assert!((300..500).contains(&answer.status), "{path}: {answer:?}");
    }
    // Only the proxy may request the verification.
    let (token, _) = fixture.login_for_bearer();
    fixture.is_refused("asked", "/.verify", &Request::get().bearer(&token), 404);
}

pub fn the_cookie_is_touched_and_renewed_on_the_way(kind: &Kind) {
    let settings = [
        "--touch-interval",
        "1s",
        "--renewal-timeout",
        "4s",
        "--renewal-grace",
        "1s",
    ];
    let fixture = Fixture::with(kind, &settings);
    let mut token = fixture.login_for_cookie();
    let mut missing = vec!["did=kept", "did=touched", "did=renewed"];
    for _ in 0..TRIES {
        // A poll is not activity, so it never causes the touch.
        let of_page = Request::get().cookie(&token).header(OWN_PAGE);
        let poll = of_page.clone().header("Waxseal-Activity: none");
        let (answer, _) = fixture.passes("a poll", "/api/a", &poll);
        assert_eq!(answer.session_cookie(), None, "{answer:?}");
        // Nor does the client decide whether cookies are passed on.
        let request = of_page
            .header("Waxseal-Cookie: no")
            .header("waxseal-cookie: no");
        let (answer, _) = fixture.passes("alive", "/api/a", &request);
        assert!(
            COOKIES
                .iter()
                .all(|own| answer.all("set-cookie").contains(own)),
            "{answer:?}"
        );
        let [after] = answer.all("waxseal-session")[..] else {
            panic!("{answer:?}")
        };
        let did = after.split(',').next().unwrap();
        missing.retain(|wanted| *wanted != did);
        match answer.session_cookie() {
            None => assert_eq!(
                (did, answer.all("cache-control")),
                ("did=kept", vec![CACHE])
            ),
            Some(next) => {
                assert_ne!(did, "did=kept", "{answer:?}");
                assert_eq!(
                    answer.all("set-cookie").len(),
                    COOKIES.len() + 1,
                    "{answer:?}"
                );
                token = next.to_owned();
            }
        }
        if missing.is_empty() {
            break;
        }
        sleep(PAUSE);
    }
    assert!(missing.is_empty(), "never {missing:?}");
}

pub fn bodies_arrive_as_they_were_sent(kind: &Kind) {
    let fixture = Fixture::new(kind);
    let (token, _) = fixture.login_for_bearer();
    let cookie = fixture.login_for_cookie();
    // More bytes than Waxseal accepts and than any proxy buffers in memory.
    let body: Vec<u8> = (0_u32..5_000_011)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let own_page = Request::of("POST").cookie(&cookie).header(OWN_PAGE);
    for (name, request) in [
        ("its length is known", Request::of("POST").bearer(&token)),
        (
            "in chunks",
            Request::of("PUT")
                .bearer(&token)
                .header("Transfer-Encoding: chunked"),
        ),
        ("by cookie", own_page),
    ] {
        let (_, seen) = fixture.passes(name, "/api/a", &request.clone().body(body.clone()));
        assert!(seen.body == body, "{name}: {} bytes", seen.body.len());
        let (_, seen) = fixture.passes(name, "/api/a", &request.body(b"short".to_vec()));
        assert_eq!(&seen.body[..], b"short", "{name}");
    }
}

pub fn the_address_of_a_login_is_the_clients(kind: &Kind) {
    let fixture = Fixture::new(kind);
    let body = json!({ "username": "alice", "password": PASSWORD });
    let login = Request::of("POST")
        .json(&body)
        .header("X-Forwarded-For: 198.51.100.1")
        .from("127.0.0.2");
    let answer = fixture.send("/login", &login);
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    let sessions = fixture
        .send("/sessions", &Request::get().bearer(&token))
        .json();
    assert_eq!(
        sessions["sessions"][0]["address"], "127.0.0.2",
        "{sessions}"
    );
}

pub fn no_request_passes_without_waxseal(kind: &Kind) {
    let mut fixture = Fixture::new(kind);
    let (token, _) = fixture.login_for_bearer();
    let cookie = fixture.login_for_cookie();
    let good = Request::get().bearer(&token);
    fixture.passes("before", "/api/a", &good);
    let hangs = rustix::process::Pid::from_child(&fixture.waxseal.child);
    rustix::process::kill_process(hangs, rustix::process::Signal::STOP).unwrap();
    nobody_passes(&fixture, good.clone());
    fixture.waxseal.kill();
    for request in [
        good,
        Request::get().cookie(&cookie).header(OWN_PAGE),
        Request::of("POST").bearer(&token).body(b"short".to_vec()),
        Request::of("OPTIONS").bearer(&token),
        Request::get(),
    ] {
        nobody_passes(&fixture, request);
    }
}

fn nobody_passes(fixture: &Fixture, request: Request) {
    let answer = fixture.send("/api/a", &request);
    let seen = fixture.service.seen();
    assert!((502..=504).contains(&answer.status), "{answer:?}");
    assert!(seen.is_empty(), "{seen:?}");
    assert_eq!(answer.session_cookie(), None);
}

/// Waxseal cannot tell valid tokens from revoked ones here, and says so with 503.
pub fn no_request_passes_while_waxseal_cannot_tell(kind: &Kind) {
    let runtime = Runtime::new().unwrap();
    let (server, token) = runtime.block_on(async {
        let server = TestServer::new().await;
        server.add_user("alice").await;
        let token = server.login("alice").await;
        (server, token)
    });
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let router = server.router.clone();
    runtime.spawn(async { axum::serve(listener, router).await.unwrap() });
    let edge = Edge::start(kind, &address);

    let by_bearer = Request::get().bearer(&token);
    let by_cookie = Request::get().cookie(&token).header(OWN_PAGE);
    edge.passes("before", "/api/a", &by_bearer);
    server.clock.advance(Duration::from_secs(60));
    for request in [&by_bearer, &by_cookie] {
        let answer = edge.is_refused("stale", "/api/a", request, 503);
        assert_ne!(
            answer.all("retry-after").is_empty(),
            kind.says_when,
            "{answer:?}"
        );
        assert_eq!(answer.session_cookie(), None);
    }
    runtime.block_on(server.waxseal.catch_up()).unwrap();
    edge.passes("after", "/api/a", &by_cookie);
}
