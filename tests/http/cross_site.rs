//! Requests that pages of other sites make a browser send: they change nothing.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::browser::{
    Jar, cookie, credentials, from_own_page, jar, lineage, listed, login, request,
};
use super::common::{Answer, ISSUER, PASSWORD, TestServer};

const LISTED: &str = "https://app.example";

/// Headers that tell which page sent a request.
type Said = &'static [(&'static str, &'static str)];

/// Headers of the service's own pages.
const OURS: &[Said] = &[
    &[("sec-fetch-site", "same-origin")],
    &[("sec-fetch-site", "same-origin"), ("origin", ISSUER)],
    // A page under `Referrer-Policy: no-referrer` sends this to its own origin.
    &[("sec-fetch-site", "same-origin"), ("origin", "null")],
    &[("origin", ISSUER)],
];

/// Headers of other sites' pages, or headers that cannot be trusted.
const THEIRS: &[Said] = &[
    &[("sec-fetch-site", "same-site")],
    &[("sec-fetch-site", "cross-site")],
    &[("sec-fetch-site", "none")],
    &[("sec-fetch-site", "")],
    &[("sec-fetch-site", "garbage")],
    &[("sec-fetch-site", "Same-Origin")],
    &[("sec-fetch-site", "same-origin;v=1")],
    &[("sec-fetch-site", "same-origin, cross-site")],
    &[
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-site", "same-origin"),
    ],
    &[
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-site", "cross-site"),
    ],
    // `Sec-Fetch-Site` takes precedence over `Origin`.
    &[("sec-fetch-site", "cross-site"), ("origin", ISSUER)],
    &[("sec-fetch-site", "same-site"), ("origin", ISSUER)],
    &[("sec-fetch-site", ""), ("origin", ISSUER)],
    &[("origin", "null")],
    &[("origin", "")],
    &[("origin", "https://evil.example")],
    &[("origin", "https://issuer.example.evil")],
    &[("origin", "https://evilissuer.example")],
    &[("origin", "https://sub.issuer.example")],
    &[("origin", "https://issuer.exampl")],
    &[("origin", "http://issuer.example")],
    &[("origin", "https://issuer.example:443")],
    &[("origin", "https://issuer.example:8443")],
    &[("origin", "https://ISSUER.example")],
    &[("origin", "HTTPS://issuer.example")],
    &[("origin", "https://issuer.example/")],
    &[("origin", "https://issuer.example.")],
    &[("origin", "https://issuer.example@evil.example")],
    &[("origin", "https://evil.example#https://issuer.example")],
    &[("origin", "https://issuer.example https://evil.example")],
    &[("origin", "issuer.example")],
    &[("origin", ISSUER), ("origin", ISSUER)],
    &[("origin", ISSUER), ("origin", "https://evil.example")],
    &[
        ("sec-fetch-site", "same-origin"),
        ("origin", ISSUER),
        ("origin", "null"),
    ],
];

/// Headers of a non-browser program, or of a browser older than both headers.
const NOTHING_SAID: &[Said] = &[
    &[],
    &[("referer", "https://issuer.example/")],
    &[("host", "issuer.example")],
    &[("x-requested-with", "XMLHttpRequest")],
    &[("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")],
];

/// Every change that can be made by cookie.
const CHANGES: [&str; 4] = ["logout", "renew", "password", "end another"];

struct Scene {
    server: TestServer,
    /// A session of alice's that no request touches.
    watch: String,
}

impl Scene {
    async fn new() -> Self {
        let server = TestServer::with(|settings| {
            settings.allowed_origins = vec![LISTED.parse().unwrap()];
        })
        .await;
        server.add_user("alice").await;
        let watch = server.login("alice").await;
        Self { server, watch }
    }

    /// Requests `change`, with two sessions made only for this: one that asks, and another to end.
    async fn ask(&self, change: &str, said: Said, password: &str, by_cookie: bool) -> Attempt {
        let (token, other) = (
            login(&self.server, "alice").await,
            self.server.login("alice").await,
        );
        let (method, path, body) = match change {
            "logout" => ("POST", "/logout".to_owned(), Value::Null),
            "renew" => ("POST", "/session/renew".to_owned(), Value::Null),
            "password" => (
                "POST",
                "/password".to_owned(),
                json!({ "current_password": password, "new_password": "another horse entirely" }),
            ),
            _ => {
                let other = lineage(&self.server, &other);
                ("DELETE", format!("/sessions/{other}"), Value::Null)
            }
        };
        let carried = if by_cookie {
            cookie(&token)
        } else {
            ("authorization", format!("Bearer {token}"))
        };
        let headers = said.iter().map(|(name, value)| (*name, value.to_string()));
        let request = request(method, &path, headers.chain([carried]), &body);
        let answer = self.server.send(request).await;
        Attempt {
            answer,
            token,
            other,
        }
    }

    async fn refuses(&self, change: &str, said: Said) {
        let attempt = self.ask(change, said, PASSWORD, true).await;
        let name = format!("{change} {said:?}: {:?}", attempt.answer);
        assert_eq!(attempt.answer.status, 403, "{name}");
        assert_eq!(attempt.answer.code(), "cross_site", "{name}");
        // A native app learns that it must not use the cookie; a page learns that it is of another site.
        let detail = attempt.answer.json()["detail"].to_string();
        let told = detail.contains("bearer token: log in without delivery");
        assert_eq!(told, NOTHING_SAID.contains(&said), "{name}");
        assert_eq!(jar(&attempt.answer), Jar::Untouched, "{name}");
        assert!(
            !attempt.answer.headers.contains_key("waxseal-session"),
            "{name}"
        );
        for token in [&attempt.token, &attempt.other, &self.watch] {
            assert_eq!(self.server.verify(token).await, 200, "{name}");
        }
        // And the old password still works.
        self.server.login("alice").await;
        self.server
            .post("/logout", Some(&attempt.token), None)
            .await;
    }

    async fn lets_through(&self, change: &str, said: Said, by_cookie: bool) {
        // The service does not tell other sites that a password is wrong, so this error proves that the request got
        // through.
        let attempt = self.ask(change, said, "a wrong one", by_cookie).await;
        let name = format!("{change} {said:?} {by_cookie}: {:?}", attempt.answer);
        let (status, code) = match change {
            "logout" | "end another" => (204, None),
            "renew" => (200, None),
            _ => (403, Some("wrong_password")),
        };
        assert_eq!(attempt.answer.status, status, "{name}");
        if let Some(code) = code {
            assert_eq!(attempt.answer.code(), code, "{name}");
        }
        let ended = match change {
            "logout" => Some(&attempt.token),
            "end another" => Some(&attempt.other),
            _ => None,
        };
        for token in [&attempt.token, &attempt.other, &self.watch] {
            let alive = self.server.verify(token).await == 200;
            assert_eq!(alive, Some(token) != ended, "{name}");
        }
    }
}

struct Attempt {
    answer: Answer,
    token: String,
    other: String,
}

#[tokio::test]
async fn changes_by_cookie_are_accepted_from_own_pages_alone() {
    let scene = Scene::new().await;
    for change in CHANGES {
        for said in OURS {
            scene.lets_through(change, said, true).await;
        }
        for said in THEIRS.iter().chain(NOTHING_SAID) {
            scene.refuses(change, said).await;
        }
    }
}

/// A page of another site cannot know a bearer token, so a request with one is accepted from anywhere.
#[tokio::test]
async fn changes_by_bearer_token_are_accepted_from_anywhere() {
    let scene = Scene::new().await;
    for change in CHANGES {
        for said in OURS.iter().chain(THEIRS).chain(NOTHING_SAID) {
            scene.lets_through(change, said, false).await;
        }
    }
}

#[tokio::test]
async fn a_listed_origin_is_trusted_like_our_own_and_no_other_that_looks_like_it() {
    let scene = Scene::new().await;
    let listed: &[Said] = &[
        &[("sec-fetch-site", "cross-site"), ("origin", LISTED)],
        &[("sec-fetch-site", "same-site"), ("origin", LISTED)],
        &[("origin", LISTED)],
    ];
    let not: &[Said] = &[
        &[("sec-fetch-site", "cross-site"), ("origin", "null")],
        &[
            ("sec-fetch-site", "cross-site"),
            ("origin", "https://app.example.evil"),
        ],
        &[
            ("sec-fetch-site", "cross-site"),
            ("origin", "http://app.example"),
        ],
        &[
            ("sec-fetch-site", "same-site"),
            ("origin", "https://app.example:8443"),
        ],
        &[("origin", "https://app.example/")],
        &[("origin", "https://APP.example")],
        &[("origin", "https://other.app.example")],
        &[
            ("sec-fetch-site", "cross-site"),
            ("origin", LISTED),
            ("origin", LISTED),
        ],
        &[
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "cross-site"),
            ("origin", LISTED),
        ],
        &[
            ("sec-fetch-site", "cross-site"),
            ("referer", "https://app.example/"),
        ],
    ];
    for change in CHANGES {
        for said in listed {
            scene.lets_through(change, said, true).await;
        }
        for said in not {
            scene.refuses(change, said).await;
        }
    }
    for said in listed {
        for delivery in ["cookie", "bearer"] {
            let login = request(
                "POST",
                "/login",
                said.to_vec(),
                &credentials("alice", delivery),
            );
            assert_eq!(scene.server.send(login).await.status, 200, "{said:?}");
        }
    }
}

/// A page that logs its own user in here could see what the victim does afterwards.
#[tokio::test]
async fn other_sites_cannot_log_a_browser_in() {
    let scene = Scene::new().await;
    let before = listed(&scene.server, &scene.watch).await;
    let by_bearer = credentials("alice", "bearer").to_string();
    let by_cookie = credentials("alice", "cookie").to_string();
    let form = "username=alice&password=correct+horse+battery&delivery=cookie";
    // A text/plain form can be crafted to be JSON: name={"username":…,"x":" value="}.
    let bodies = [
        ("application/x-www-form-urlencoded", form),
        ("application/x-www-form-urlencoded", &by_cookie),
        ("multipart/form-data; boundary=x", &by_cookie),
        ("text/plain", &by_cookie),
        ("text/plain;application/json", &by_cookie),
        ("", &by_cookie),
        ("application/json", &by_cookie),
        ("application/json", &by_bearer),
        ("text/plain", &by_bearer),
    ];
    for said in THEIRS {
        for (kind, body) in bodies {
            let mut login = Request::post("/login").header("content-type", kind);
            for (name, value) in *said {
                login = login.header(*name, *value);
            }
            let answer = scene
                .server
                .send(login.body(Body::from(body.to_owned())).unwrap())
                .await;
            assert_eq!(answer.status, 403, "{said:?} {kind}: {answer:?}");
            assert_eq!(answer.code(), "cross_site");
            assert_eq!(jar(&answer), Jar::Untouched);
        }
    }
    assert_eq!(listed(&scene.server, &scene.watch).await, before);
    // A form is not JSON, whichever page sends it.
    for (kind, body) in &bodies[..6] {
        for said in OURS.iter().chain(NOTHING_SAID) {
            let mut login = Request::post("/login").header("content-type", *kind);
            for (name, value) in *said {
                login = login.header(*name, *value);
            }
            let answer = scene
                .server
                .send(login.body(Body::from((*body).to_owned())).unwrap())
                .await;
            assert_eq!(answer.status, 415, "{said:?} {kind}: {answer:?}");
        }
    }
    assert_eq!(listed(&scene.server, &scene.watch).await, before);
    for said in OURS.iter().chain(NOTHING_SAID) {
        for delivery in ["cookie", "bearer"] {
            let login = request(
                "POST",
                "/login",
                said.to_vec(),
                &credentials("alice", delivery),
            );
            assert_eq!(scene.server.send(login).await.status, 200, "{said:?}");
        }
    }
}

#[tokio::test]
async fn no_header_and_no_parameter_makes_another_method_of_a_request() {
    let scene = Scene::new().await;
    let (token, other) = (
        login(&scene.server, "alice").await,
        lineage(&scene.server, &scene.watch),
    );
    let overrides = [
        "x-http-method-override",
        "x-http-method",
        "x-method-override",
        "_method",
    ];
    let paths = [
        ("GET", format!("/sessions/{other}"), "DELETE"),
        ("POST", format!("/sessions/{other}"), "DELETE"),
        ("GET", "/logout".to_owned(), "POST"),
        ("GET", "/session/renew".to_owned(), "POST"),
        ("GET", "/login".to_owned(), "POST"),
        ("GET", "/password".to_owned(), "POST"),
    ];
    for (method, path, wanted) in &paths {
        for site in ["same-origin", "cross-site"] {
            for name in overrides {
                let path = format!("{path}?_method={wanted}");
                let headers = [
                    cookie(&token),
                    ("sec-fetch-site", site.to_owned()),
                    (name, (*wanted).to_owned()),
                    (
                        "content-type",
                        "application/x-www-form-urlencoded".to_owned(),
                    ),
                ];
                let mut request = Request::builder().method(*method).uri(&path);
                for (name, value) in headers {
                    request = request.header(name, value);
                }
                let body = Body::from(format!("_method={wanted}"));
                let answer = scene.server.send(request.body(body).unwrap()).await;
                assert_eq!(answer.status, 405, "{method} {path}: {answer:?}");
                assert_eq!(jar(&answer), Jar::Untouched);
            }
        }
    }
    // A state-changing request cannot pass for a read either.
    for name in overrides {
        let headers = [
            cookie(&token),
            ("sec-fetch-site", "cross-site".to_owned()),
            (name, "GET".to_owned()),
        ];
        let logout = request("POST", "/logout?_method=GET", headers, &Value::Null);
        assert_eq!(scene.server.send(logout).await.status, 403);
    }
    for token in [&token, &scene.watch] {
        assert_eq!(scene.server.verify(token).await, 200);
    }
}

/// Browsers let every site open a WebSocket with cookies, and its messages do not tell their origin.
#[tokio::test]
async fn a_websocket_by_cookie_is_opened_by_a_page_of_ours() {
    let scene = Scene::new().await;
    let token = login(&scene.server, "alice").await;
    let listed: Said = &[("origin", LISTED)];
    for (cases, status) in [
        (OURS, 200),
        (THEIRS, 403),
        (NOTHING_SAID, 403),
        (&[listed], 200),
    ] {
        for said in cases {
            for upgrade in ["websocket", "WebSocket", "h2c", ""] {
                let said = said.iter().map(|(name, value)| (*name, value.to_string()));
                let asked = [
                    cookie(&token),
                    ("connection", "Upgrade".to_owned()),
                    ("upgrade", upgrade.to_owned()),
                ];
                let open = request("GET", "/session", said.chain(asked), &Value::Null);
                let answer = scene.server.send(open).await;
                assert_eq!(answer.status, status, "{cases:?} {upgrade}: {answer:?}");
                assert_eq!(jar(&answer), Jar::Untouched);
            }
        }
    }
}

/// A link on another site leads to a page that recognizes its user.
#[tokio::test]
async fn reads_are_accepted_from_anywhere() {
    let scene = Scene::new().await;
    let token = login(&scene.server, "alice").await;
    for said in OURS.iter().chain(THEIRS).chain(NOTHING_SAID) {
        for (method, path) in [
            ("GET", "/session"),
            ("HEAD", "/session"),
            ("GET", "/sessions"),
            ("GET", "/verify"),
            ("HEAD", "/verify"),
        ] {
            let said = said.iter().map(|(name, value)| (*name, value.to_string()));
            let look = request(method, path, said.chain([cookie(&token)]), &Value::Null);
            assert_eq!(scene.server.send(look).await.status, 200, "{method} {path}");
        }
    }
    let answer = from_own_page(&scene.server, "POST", "/logout", &token, Value::Null).await;
    assert_eq!(answer.status, 204);
}
