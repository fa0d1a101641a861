//! The session cookie: how it is set, read and cleared.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use waxseal::http::SameSite;
use waxseal::key::Format;

use super::browser::{COOKIE, Jar, NOTHING, OWN_PAGE, cookie, credentials, jar, login, request};
use super::common::{PASSWORD, Place, TestServer};

const MINUTE: Duration = Duration::from_secs(60);

async fn of_alice() -> TestServer {
    let server = TestServer::new().await;
    server.add_user("alice").await;
    server.add_user("bob").await;
    server
}

#[tokio::test]
async fn a_cookie_login_returns_the_token_in_the_cookie_alone() {
    for format in Format::ALL {
        for (same_site, word) in [
            (SameSite::Lax, "Lax"),
            (SameSite::Strict, "Strict"),
            (SameSite::None, "None"),
        ] {
            let server = TestServer::with(|settings| {
                settings.format = format;
                settings.accepts = vec![format];
                settings.same_site = same_site;
            })
            .await;
            server.add_user("alice").await;
            let login = request("POST", "/login", NOTHING, &credentials("alice", "cookie"));
            let answer = server.send(login).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.headers["cache-control"], "no-store");
            let lines: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
            assert_eq!(lines.len(), 1);
            let line = lines[0].to_str().unwrap();
            let token = line
                .strip_prefix("__Host-Http-waxseal=")
                .and_then(|rest| {
                    let flags = format!("; Path=/; Secure; HttpOnly; SameSite={word}");
                    rest.strip_suffix(&flags)
                })
                .unwrap_or_else(|| panic!("{line}"));
            assert_eq!(server.verify(token).await, 200);

            let body = answer.json();
            let members: Vec<_> = body.as_object().unwrap().keys().collect();
            assert_eq!(members, ["expires_in", "session"]);
            assert_eq!(body["expires_in"], 900);
            let (_, signature) = token.rsplit_once('.').unwrap();
            let said = format!("{body} {:?}", without(&answer.headers, "set-cookie"));
            for secret in [token, signature, &signature[signature.len() - 20..]] {
                assert!(!said.contains(secret), "{said}");
            }
            let told = answer.headers["waxseal-session"].to_str().unwrap();
            let id = body["session"]["id"].as_str().unwrap();
            assert!(told.contains(&format!("id=\"{id}\"")), "{told}");
        }
    }
}

fn without(headers: &HeaderMap, name: &str) -> HeaderMap {
    let mut headers = headers.clone();
    headers.remove(name);
    headers
}

#[tokio::test]
async fn a_login_is_by_bearer_unless_it_asks_for_the_cookie() {
    let server = of_alice().await;
    let plain = json!({ "username": "alice", "password": PASSWORD });
    for body in [plain, credentials("alice", "bearer")] {
        let answer = server
            .send(request("POST", "/login", [OWN_PAGE], &body))
            .await;
        assert_eq!(
            (answer.status.as_u16(), jar(&answer)),
            (200, Jar::Untouched)
        );
        let body = answer.json();
        let members: Vec<_> = body.as_object().unwrap().keys().collect();
        assert_eq!(
            members,
            ["access_token", "expires_in", "session", "token_type"]
        );
        assert!(!answer.headers.contains_key("waxseal-session"));
    }
    for odd in [
        json!("Cookie"),
        json!("cookie "),
        json!(""),
        json!(null),
        json!(true),
        json!(["cookie"]),
        json!({ "cookie": null }),
    ] {
        let body = json!({ "username": "alice", "password": PASSWORD, "delivery": odd });
        let answer = server
            .send(request("POST", "/login", [OWN_PAGE], &body))
            .await;
        assert_eq!(
            (answer.status.as_u16(), jar(&answer)),
            (400, Jar::Untouched)
        );
        assert_eq!(answer.code(), "invalid_request", "{body}");
    }
}

/// How the service must classify a `Cookie` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// The session cookie, valid.
    Good,
    /// No session cookie.
    None,
    /// A session cookie with an invalid value.
    Bad,
    /// More than one session cookie.
    Two,
}

/// Returns unusual `Cookie` headers with this token, and the classification of each.
fn odd_cookies(token: &str) -> Vec<(Vec<Vec<u8>>, Found)> {
    let ours = format!("{COOKIE}={token}");
    let text = |lines: &[String], found| {
        let lines = lines.iter().map(|line| line.clone().into_bytes());
        (lines.collect(), found)
    };
    let one = |line: String, found| text(&[line], found);
    let bytes = |value: &[u8], found| {
        let line = [format!("{COOKIE}=").as_bytes(), value].concat();
        (vec![line], found)
    };
    let long = |length: usize| bytes(&vec![b'A'; length], Found::Bad);
    vec![
        one(ours.clone(), Found::Good),
        // axum-extra's jar decodes names and would accept this one.
        one(format!("%5F_Host-Http-waxseal={token}"), Found::None),
        one(format!("__Host-Http-waxseal%00={token}"), Found::None),
        one(format!("__Host%2DHttp-waxseal={token}"), Found::None),
        one(format!("%5F_Host-Http-waxseal=x; {ours}"), Found::Good),
        one(format!("{ours}; %5F_Host-Http-waxseal=x"), Found::Good),
        // Cookie names are case-sensitive, prefixes or not.
        one(format!("__host-http-waxseal={token}"), Found::None),
        one(format!("__HOST-HTTP-WAXSEAL={token}"), Found::None),
        one(format!("__Host-Http-Waxseal={token}; {ours}"), Found::Good),
        one(format!("x{ours}"), Found::None),
        one(format!("x-{ours}"), Found::None),
        one(format!("__Host-Http-waxseal2={token}"), Found::None),
        one(format!("__Host-Http-waxseal.={token}"), Found::None),
        one(format!("__Host-waxseal={token}"), Found::None),
        one(format!("waxseal={token}"), Found::None),
        one(format!("a={COOKIE}={token}"), Found::None),
        one(
            format!("__Host-Http-waxseal2=x; {ours}; y{ours}"),
            Found::Good,
        ),
        one(format!("{ours}; {ours}"), Found::Two),
        one(format!("{ours};{COOKIE}=x"), Found::Two),
        one(format!("{COOKIE}=; {ours}"), Found::Two),
        one(format!("{ours}; a=b; {ours}"), Found::Two),
        text(&[ours.clone(), ours.clone()], Found::Two),
        text(&[ours.clone(), format!("a=b; {COOKIE}=x")], Found::Two),
        text(&[format!("{COOKIE}=x"), ours.clone()], Found::Two),
        // HTTP/2 sends each cookie on a line of its own.
        text(
            &["a=b".to_owned(), ours.clone(), "c=d".to_owned()],
            Found::Good,
        ),
        // Quotes hide nothing: a cookie between two that an attacker planted around it is still found.
        one(format!("a=\"x; {ours}; y\""), Found::Good),
        one(format!("a=\"x; {ours}; {COOKIE}=y\""), Found::Two),
        one(format!("{COOKIE}=\"{token}\""), Found::Bad),
        one(format!("{COOKIE}=\"{token}; {COOKIE}=\""), Found::Two),
        one(format!("\"{COOKIE}\"={token}"), Found::None),
        // RFC 2965's attributes are cookies with other names.
        one(format!("$Version=1; {ours}; $Path=/"), Found::Good),
        one(format!("$Version=1; {ours}, {COOKIE}=x"), Found::Bad),
        one(format!("={ours}"), Found::None),
        one(COOKIE.to_owned(), Found::None),
        one(format!("{COOKIE}; {ours}"), Found::Good),
        one(format!("; ;{ours};;"), Found::Good),
        one(String::new(), Found::None),
        // White space around a pair is ignored; within the pair it makes another name or value.
        one(format!(" \t {ours} \t "), Found::Good),
        one(format!("a=b;{ours};c=d"), Found::Good),
        one(format!("a=b;\t {ours} ;c=d"), Found::Good),
        one(format!("{COOKIE} ={token}"), Found::None),
        one(format!("{COOKIE}\t={token}"), Found::None),
        one(format!("{COOKIE}= {token}"), Found::Bad),
        one(format!("{COOKIE}=\t{token}"), Found::Bad),
        one(format!("{ours} x"), Found::Bad),
        one(format!("{ours}\tx"), Found::Bad),
        one(format!("{COOKIE}="), Found::Bad),
        one(format!("{COOKIE}=  ; a=b"), Found::Bad),
        one(format!("{COOKIE}=={token}"), Found::Bad),
        one(format!("{ours}="), Found::Bad),
        one(format!("{ours},{ours}"), Found::Bad),
        one(format!("{ours}, {ours}"), Found::Bad),
        one(format!("a=b, {ours}"), Found::None),
        one(format!("a=b,{ours}"), Found::None),
        one(format!("{ours}%00"), Found::Bad),
        one(
            format!("{COOKIE}={}", token.replace('.', "%2E")),
            Found::Bad,
        ),
        one(format!("{COOKIE}=Bearer {token}"), Found::Bad),
        bytes(b"\xff\xfe", Found::Bad),
        bytes(&[token.as_bytes(), b"\xff"].concat(), Found::Bad),
        bytes(
            &["\u{e9}".as_bytes(), token.as_bytes()].concat(),
            Found::Bad,
        ),
        bytes(&[b"x; \xff=\xff; ", ours.as_bytes()].concat(), Found::Two),
        (
            vec![[b"\xff=\xff; ", ours.as_bytes()].concat()],
            Found::Good,
        ),
        long(8 * 1024),
        long(8 * 1024 + 1),
        long(100_000),
        bytes(&[token.as_bytes(), &[b'A'; 9000]].concat(), Found::Bad),
        one(format!("a={}; {ours}", "A".repeat(100_000)), Found::Good),
    ]
}

#[tokio::test]
async fn a_session_cookie_counts_if_its_name_is_exact_and_unique() {
    let server = of_alice().await;
    let cases = odd_cookies("").len();
    for case in 0..cases {
        let token = login(&server, "alice").await;
        let (lines, found) = odd_cookies(&token).swap_remove(case);
        for (method, path) in [("GET", "/session"), ("POST", "/logout")] {
            let lines = lines.iter().map(|line| ("cookie", line.as_slice()));
            let headers = lines.chain([(OWN_PAGE.0, OWN_PAGE.1.as_bytes())]);
            let answer = server
                .send(request(method, path, headers, &Value::Null))
                .await;
            let name = format!("case {case}, {method}: {answer:?}");
            let (status, code, done) = match (found, path) {
                (Found::Good, "/session") => (200, None, Jar::Untouched),
                (Found::Good, _) => (204, None, Jar::Cleared),
                (Found::None, _) => (401, Some("no_credentials"), Jar::Untouched),
                (Found::Bad, _) => (401, Some("invalid_token"), Jar::Cleared),
                (Found::Two, _) => (400, Some("invalid_request"), Jar::Untouched),
            };
            assert_eq!(answer.status.as_u16(), status, "{name}");
            assert_eq!(jar(&answer), done, "{name}");
            if let Some(code) = code {
                assert_eq!(answer.code(), code, "{name}");
            }
            assert!(!format!("{answer:?}").contains(&token), "{name}");
        }
        let alive = found != Found::Good;
        assert_eq!(server.verify(&token).await == 200, alive, "case {case}");
    }
}

/// Control bytes other than the tab, and DEL, are not allowed in any header.
#[tokio::test]
async fn a_cookie_with_control_bytes_is_refused() {
    let place = Place::new();
    place.add_user("alice");
    let server = place.serve();
    let token = server.login(&reqwest::Client::new(), "alice").await;
    let ask = |cookie: &[u8]| {
        let mut socket = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
        socket.set_read_timeout(Some(MINUTE)).unwrap();
        let head =
            b"GET /session HTTP/1.1\r\nHost: issuer.example\r\nConnection: close\r\nCookie: ";
        socket
            .write_all(&[head, cookie, b"\r\n\r\n"].concat())
            .unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    };
    let ours = format!("{COOKIE}={token}");
    assert!(ask(ours.as_bytes()).starts_with("HTTP/1.1 200"));
    // A line feed, alone or after a carriage return, ends the line: what follows is another line.
    let bytes = (0..0x20).chain([0x7f]);
    for byte in bytes.filter(|byte| !b"\t\r\n".contains(byte)) {
        for odd in [
            [ours.as_bytes(), &[byte]].concat(),
            [&[byte], ours.as_bytes()].concat(),
            [COOKIE.as_bytes(), &[byte], b"=", token.as_bytes()].concat(),
        ] {
            let answer = ask(&odd);
            assert!(answer.starts_with("HTTP/1.1 400"), "{byte}: {answer}");
            assert!(!answer.to_ascii_lowercase().contains("set-cookie"));
            assert!(HeaderValue::from_bytes(&odd).is_err(), "{byte}");
        }
    }
}

/// A gateway in front of the service makes the browser send its credentials with each request. They are not meant for
/// the service: the cookie decides, and is touched, renewed and cleared as without them.
#[tokio::test]
async fn beside_credentials_of_another_scheme_the_cookie_decides() {
    for scheme in [
        "Basic YTpi",
        "Negotiate YII=",
        r#"Digest username="a", realm="b""#,
    ] {
        let server = of_alice().await;
        let ask = async |method: &str, path: &str, token: &str, site: &str, body: Value| {
            let headers = [
                cookie(token),
                ("authorization", scheme.to_owned()),
                ("sec-fetch-site", site.to_owned()),
            ];
            let answer = server.send(request(method, path, headers, &body)).await;
            (answer.status.as_u16(), jar(&answer))
        };
        let mut token = login(&server, "alice").await;
        for path in ["/session", "/sessions", "/verify"] {
            let answer = ask("GET", path, &token, "cross-site", Value::Null).await;
            assert_eq!(answer, (200, Jar::Untouched), "{scheme}: {path}");
        }
        // Touched, then renewed.
        for _ in 0..4 {
            server.pass(10 * MINUTE).await;
            let answer = ask("GET", "/session", &token, "same-origin", Value::Null).await;
            let (200, Jar::Set(next)) = answer else {
                panic!("{scheme}: {answer:?}")
            };
            token = next;
        }
        let verified = server.waxseal.verifier().verify(&token).unwrap();
        assert_eq!(verified.session_id().generation, 1);
        let (status, renewed) =
            ask("POST", "/session/renew", &token, "same-origin", Value::Null).await;
        assert_eq!(status, 200, "{scheme}: {renewed:?}");
        let wrong =
            json!({ "current_password": "wrong", "new_password": "another horse entirely" });
        for (site, status) in [("same-origin", 403), ("cross-site", 403)] {
            let answer = ask("POST", "/password", &token, site, wrong.clone()).await;
            assert_eq!(answer, (status, Jar::Untouched), "{scheme}");
        }
        assert_eq!(
            ask("POST", "/logout", &token, "cross-site", Value::Null)
                .await
                .0,
            403
        );
        let again = ask(
            "POST",
            "/login",
            &token,
            "same-origin",
            credentials("alice", "cookie"),
        );
        let (200, Jar::Set(next)) = again.await else {
            panic!("{scheme}: no login")
        };
        assert_eq!(server.verify(&token).await, 401, "the login replaced it");
        let logout = ask("POST", "/logout", &next, "same-origin", Value::Null).await;
        assert_eq!(logout, (204, Jar::Cleared), "{scheme}");
        let dead = ask("GET", "/session", &next, "same-origin", Value::Null).await;
        assert_eq!(dead, (401, Jar::Cleared), "{scheme}");
    }
}

#[tokio::test]
async fn a_cookie_and_a_bearer_token_must_agree() {
    let server = of_alice().await;
    let mine = login(&server, "alice").await;
    let other = server.login("alice").await;
    let bobs = server.login("bob").await;
    let both = |held: &str, sent: &str| {
        let (name, value) = cookie(held);
        [(name, value), ("authorization", format!("Bearer {sent}"))]
    };
    let differing = [
        (&mine, &other),
        (&mine, &bobs),
        (&bobs, &mine),
        (&mine, &"nonsense".to_owned()),
        (&"nonsense".to_owned(), &mine),
        (&String::new(), &mine),
    ];
    for (held, sent) in differing {
        for (method, path) in [("GET", "/session"), ("POST", "/logout")] {
            let headers = both(held, sent);
            let answer = server
                .send(request(method, path, headers, &Value::Null))
                .await;
            assert_eq!(answer.status, 400, "{answer:?}");
            assert_eq!(answer.code(), "invalid_request");
            assert_eq!(jar(&answer), Jar::Untouched, "{answer:?}");
        }
    }
    for token in [&mine, &other, &bobs] {
        assert_eq!(server.verify(token).await, 200);
    }
    // Nor does another scheme beside them hide the disagreement.
    let headers = both(&mine, &other).into_iter();
    let headers = headers.chain([("authorization", "Basic YTpi".to_owned())]);
    let answer = server.send(request("GET", "/session", headers, &Value::Null));
    assert_eq!(answer.await.code(), "invalid_request");
    // A client that knows the token needs neither a cookie nor a page of the service.
    let headers = both(&mine, &mine);
    let agreed = request("GET", "/session", headers.clone(), &Value::Null);
    assert_eq!(server.send(agreed).await.status, 200);
    let cross_site = headers
        .into_iter()
        .chain([("sec-fetch-site", "cross-site".to_owned())]);
    let agreed = request("POST", "/logout", cross_site, &Value::Null);
    assert_eq!(server.send(agreed).await.status, 204);
    assert_eq!(server.verify(&mine).await, 401);
}
