//! Requests as browsers send them, and the effect of an answer on the browser's cookies.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use super::common::{Answer, PASSWORD, TestServer};

/// The cookie's name, spelled out: deployed browsers hold it, so a different name would end their sessions.
pub const COOKIE: &str = "__Host-Http-waxseal";
/// The attributes that follow the value in every `Set-Cookie` of the service.
pub const FLAGS: &str = "; Path=/; Secure; HttpOnly; SameSite=Lax";
/// The header that marks a request from the service's own page.
pub const OWN_PAGE: (&str, &str) = ("sec-fetch-site", "same-origin");

/// No headers.
pub const NOTHING: [(&str, &str); 0] = [];

/// The effect of an answer on the session cookie.
#[derive(Debug, PartialEq, Eq)]
pub enum Jar {
    Untouched,
    Cleared,
    Set(String),
}

/// Parses the answer's `Set-Cookie`, and asserts its exact form.
pub fn jar(answer: &Answer) -> Jar {
    let ours: Vec<_> = answer
        .headers
        .get_all("set-cookie")
        .iter()
        .map(|line| line.to_str().unwrap())
        .filter(|line| line.contains("waxseal"))
        .collect();
    let line = match ours.as_slice() {
        [] => return Jar::Untouched,
        [line] => *line,
        more => panic!("more than one: {more:?}"),
    };
    assert_eq!(answer.headers["cache-control"], "no-store", "{answer:?}");
    assert_eq!(
        answer.headers.get_all("cache-control").iter().count(),
        1,
        "{answer:?}"
    );
    if line == format!("{COOKIE}={FLAGS}; Max-Age=0") {
        return Jar::Cleared;
    }
    let value = line
        .strip_prefix(&format!("{COOKIE}="))
        .and_then(|rest| rest.strip_suffix(FLAGS))
        .unwrap_or_else(|| panic!("not as it must be: {line}"));
    assert!(
        !value.is_empty() && !value.contains([';', ' ', '"', ',']),
        "{line}"
    );
    Jar::Set(value.to_owned())
}

/// The `Cookie` header of a browser that holds this token.
pub fn cookie(token: &str) -> (&'static str, String) {
    ("cookie", format!("{COOKIE}={token}"))
}

/// Builds a request with these headers, and with `body` as JSON if it is not null.
pub fn request<N: AsRef<str>, V: AsRef<[u8]>>(
    method: &str,
    path: &str,
    headers: impl IntoIterator<Item = (N, V)>,
    body: &Value,
) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(name.as_ref(), value.as_ref());
    }
    if body.is_null() {
        return request.body(Body::empty()).unwrap();
    }
    let request = request.header("content-type", "application/json");
    request.body(Body::from(body.to_string())).unwrap()
}

/// Sends a request as a page of the service does, with `token` as its cookie.
pub async fn from_own_page(
    server: &TestServer,
    method: &str,
    path: &str,
    token: &str,
    body: Value,
) -> Answer {
    let (name, value) = cookie(token);
    let headers = [(name, value), (OWN_PAGE.0, OWN_PAGE.1.to_owned())];
    server.send(request(method, path, headers, &body)).await
}

pub fn credentials(name: &str, delivery: &str) -> Value {
    json!({ "username": name, "password": PASSWORD, "delivery": delivery })
}

/// Logs in with these additional headers, and returns the token in the cookie.
pub async fn login_with(server: &TestServer, name: &str, headers: &[(&str, &str)]) -> String {
    let headers = headers.iter().copied();
    let login = request("POST", "/login", headers, &credentials(name, "cookie"));
    let answer = server.send(login).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    match jar(&answer) {
        Jar::Set(token) => token,
        other => panic!("{other:?}"),
    }
}

/// Logs in as a browser without a cookie does.
pub async fn login(server: &TestServer, name: &str) -> String {
    login_with(server, name, &[OWN_PAGE]).await
}

/// Returns the lineages of a user's listed sessions, newest first.
pub async fn listed(server: &TestServer, token: &str) -> Vec<String> {
    let answer = server.get("/sessions", token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    let sessions = body["sessions"].as_array().unwrap();
    let id = |session: &Value| session["id"].as_str().unwrap().to_owned();
    sessions.iter().map(id).collect()
}

/// Returns the lineage of a token's session.
pub fn lineage(server: &TestServer, token: &str) -> String {
    let verified = server.waxseal.verifier().verify(token).unwrap();
    verified.session_id().lineage.to_string()
}

/// Runs SQL statements on the database directly, past the service.
pub async fn sql(server: &TestServer, statements: &str) {
    let database = server.settings.data_dir.join("waxseal.db");
    let url = format!("sqlite:{}", database.display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let statements = AssertSqlSafe(statements.to_owned());
    sqlx::raw_sql(statements)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}
