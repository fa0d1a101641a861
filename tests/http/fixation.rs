//! A login begins a new session whatever credentials come with it, and ends the session that it replaces.

use std::time::Duration;

use serde_json::{Value, json};
use waxseal::revocation::Reason;

use super::browser::{
    COOKIE, Jar, OWN_PAGE, cookie, credentials, from_own_page, jar, lineage, login, login_with,
    request, sql,
};
use super::common::TestServer;

const MINUTE: Duration = Duration::from_secs(60);

async fn of_alice_and_bob() -> TestServer {
    let server = TestServer::new().await;
    server.add_user("alice").await;
    server.add_user("bob").await;
    server
}

/// Returns the reasons of the written revocations, oldest first.
async fn reasons(server: &TestServer) -> Vec<Reason> {
    let page = server.waxseal.log().read(0, u32::MAX).await.unwrap();
    let reason = |entry: &waxseal::revocation::log::Entry| entry.revocation.reason;
    page.entries.iter().map(reason).collect()
}

#[tokio::test]
async fn a_cookie_login_keeps_no_session_that_came_in_and_ends_the_one_that_was_there() {
    let other = of_alice_and_bob().await;
    let server = of_alice_and_bob().await;
    let dead = login(&server, "alice").await;
    server.post("/logout", Some(&dead), None).await;
    // A token for the same user, signed by another service's key.
    let forged = login(&other, "alice").await;
    let cases = [
        ("bob's", login(&server, "bob").await, true),
        ("her own", login(&server, "alice").await, true),
        ("forged", forged.clone(), false),
        (
            "altered",
            login(&server, "bob").await.replacen("ey", "eY", 1),
            false,
        ),
        ("dead", dead, false),
        ("nonsense", "x".to_owned(), false),
        ("empty", String::new(), false),
    ];
    for (name, held, was_good) in cases {
        let written = reasons(&server).await.len();
        let former = was_good.then(|| lineage(&server, &held));
        let (header, value) = cookie(&held);
        let token = login_with(&server, "alice", &[(header, &value), OWN_PAGE]).await;
        assert_ne!(token, held, "{name}");
        assert_ne!(Some(lineage(&server, &token)), former, "{name}");
        assert_eq!(server.verify(&token).await, 200, "{name}");
        assert_ne!(server.verify(&held).await, 200, "{name}");
        let reasons = reasons(&server).await;
        let ended: &[Reason] = if was_good {
            &[Reason::LoggedInAgain]
        } else {
            &[]
        };
        assert_eq!(&reasons[written..], ended, "{name}");
    }
    assert_eq!(other.verify(&forged).await, 200);
}

/// A browser's cookie and a program's bearer token are two sessions; a login by one does not replace the other.
#[tokio::test]
async fn a_login_ends_only_what_was_sent_along_in_the_way_it_answers() {
    for (sent, delivery, ended) in [
        ("cookie", "cookie", true),
        ("cookie", "bearer", false),
        ("bearer", "bearer", true),
        ("bearer", "cookie", false),
    ] {
        let server = of_alice_and_bob().await;
        let (held, elsewhere) = (login(&server, "bob").await, login(&server, "alice").await);
        let along = match sent {
            "cookie" => cookie(&held),
            _ => ("authorization", format!("Bearer {held}")),
        };
        let headers = [along, (OWN_PAGE.0, OWN_PAGE.1.to_owned())];
        let login = request("POST", "/login", headers, &credentials("alice", delivery));
        let answer = server.send(login).await;
        assert_eq!(answer.status, 200);
        let name = format!("{sent} at a {delivery} login");
        assert_eq!(
            jar(&answer) == Jar::Untouched,
            delivery == "bearer",
            "{name}"
        );
        assert_eq!(server.verify(&held).await == 401, ended, "{name}");
        assert_eq!(server.verify(&elsewhere).await, 200, "{name}");
    }
}

#[tokio::test]
async fn a_login_that_fails_ends_nothing() {
    let server = of_alice_and_bob().await;
    let held = login(&server, "bob").await;
    let wrong =
        |delivery| json!({ "username": "alice", "password": "wrong", "delivery": delivery });
    for (status, body) in [
        (401, wrong("cookie")),
        (401, wrong("bearer")),
        (400, json!({ "username": "alice" })),
        (400, credentials("alice", "post")),
    ] {
        let answer = from_own_page(&server, "POST", "/login", &held, body).await;
        assert_eq!(
            (answer.status.as_u16(), jar(&answer)),
            (status, Jar::Untouched)
        );
    }
    // A request from a page of another site ends nothing either.
    let headers = [cookie(&held), ("sec-fetch-site", "cross-site".to_owned())];
    let login = request("POST", "/login", headers, &credentials("alice", "cookie"));
    assert_eq!(server.send(login).await.status, 403);
    assert_eq!(server.verify(&held).await, 200);
    assert_eq!(reasons(&server).await, []);
}

/// Otherwise a session would go on whose cookie no browser holds, and nobody would log it out.
#[tokio::test]
async fn a_cookie_login_overwrites_no_cookie_of_a_continuing_session() {
    type Along = fn(&str) -> Vec<(&'static str, String)>;
    let own_page = || (OWN_PAGE.0, OWN_PAGE.1.to_owned());
    let cases: [(&str, Along); 6] = [
        ("alone", |held| vec![cookie(held)]),
        ("with a bearer token that agrees", |held| {
            vec![cookie(held), ("authorization", format!("Bearer {held}"))]
        }),
        ("with a bearer token that does not", |held| {
            vec![cookie(held), ("authorization", "Bearer x".to_owned())]
        }),
        ("with credentials of another scheme", |held| {
            vec![cookie(held), ("authorization", "Basic YTpi".to_owned())]
        }),
        ("with a malformed Authorization", |held| {
            vec![cookie(held), ("authorization", "Bearer".to_owned())]
        }),
        ("twice", |held| vec![cookie(held), cookie(held)]),
    ];
    let mut left_behind = Vec::new();
    for from_a_page in [true, false] {
        for (name, along) in cases {
            let server = of_alice_and_bob().await;
            let held = login(&server, "alice").await;
            let headers = along(&held).into_iter().chain(from_a_page.then(own_page));
            let again = request("POST", "/login", headers, &credentials("alice", "cookie"));
            let answer = server.send(again).await;
            let replaced = jar(&answer) != Jar::Untouched;
            if replaced && server.verify(&held).await == 200 {
                left_behind.push((name, from_a_page));
            }
        }
    }
    assert_eq!(
        left_behind,
        [],
        "(how the cookie came, from a page of ours)"
    );
}

/// Two parties hold the session, and the login overwrites the only trace of it.
#[tokio::test]
async fn a_cookie_login_ends_the_session_of_a_superseded_cookie_too() {
    let server = of_alice_and_bob().await;
    let mut mine = login(&server, "alice").await;
    for _ in 0..2 {
        server.pass(10 * MINUTE).await;
        let touched = from_own_page(&server, "GET", "/session", &mine, Value::Null).await;
        let Jar::Set(token) = jar(&touched) else {
            panic!("{touched:?}")
        };
        mine = token;
    }
    // Somebody who copied the cookie is the first to use it when renewal is due.
    server.pass(10 * MINUTE).await;
    let renewed = from_own_page(&server, "GET", "/session", &mine, Value::Null).await;
    let Jar::Set(stolen) = jar(&renewed) else {
        panic!("{renewed:?}")
    };
    server.pass(MINUTE).await;
    assert_eq!(server.verify(&mine).await, 401, "it was superseded");
    assert_eq!(server.verify(&stolen).await, 200);
    let (header, value) = cookie(&mine);
    login_with(&server, "alice", &[(header, &value), OWN_PAGE]).await;
    assert_eq!(
        server.verify(&stolen).await,
        401,
        "the stolen session outlives the login that should end it"
    );
}

/// The service cannot tell whether the former session is valid. It must not leave the session alive for that reason.
#[tokio::test]
async fn a_cookie_login_while_the_list_is_stale_leaves_no_former_session_behind() {
    let server = of_alice_and_bob().await;
    let held = login(&server, "alice").await;
    server.clock.advance(waxseal::embedded::MAX_STALENESS);
    let answer = from_own_page(
        &server,
        "POST",
        "/login",
        &held,
        credentials("alice", "cookie"),
    )
    .await;
    server.pass(Duration::ZERO).await;
    let replaced = jar(&answer) != Jar::Untouched;
    assert!(
        !replaced || server.verify(&held).await == 401,
        "its cookie was replaced with {}, and it goes on",
        answer.status
    );
}

/// The answer contains no token, so nobody holds the session that the login began.
#[tokio::test]
async fn a_login_that_cannot_end_the_former_session_leaves_the_browser_as_it_was() {
    let server = of_alice_and_bob().await;
    let held = login(&server, "alice").await;
    let trigger = "CREATE TRIGGER full BEFORE INSERT ON revocation
        BEGIN SELECT RAISE(ABORT, 'full'); END";
    sql(&server, trigger).await;
    let again = credentials("alice", "cookie");
    let answer = from_own_page(&server, "POST", "/login", &held, again).await;
    assert_eq!(
        (answer.status.as_u16(), jar(&answer)),
        (503, Jar::Untouched)
    );
    sql(&server, "DROP TRIGGER full").await;
    server.pass(Duration::ZERO).await;
    assert_eq!(server.verify(&held).await, 200);
}

/// No request data can choose the session ID.
#[tokio::test]
async fn no_header_and_no_query_names_the_new_session() {
    let server = of_alice_and_bob().await;
    let wanted = "01a20636-65df-7d0c-a454-25cc62cdf196";
    let headers = [
        ("x-session-id", wanted),
        ("waxseal-session", wanted),
        ("cookie", "sid=01a20636-65df-7d0c-a454-25cc62cdf196"),
        OWN_PAGE,
    ];
    for path in [
        "/login".to_owned(),
        format!("/login?sid={wanted}&{COOKIE}={wanted}"),
    ] {
        let login = request("POST", &path, headers, &credentials("alice", "cookie"));
        let answer = server.send(login).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(!format!("{answer:?}").contains(wanted));
    }
}
