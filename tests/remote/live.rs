//! Streaming responses end with the session, within the bound.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::WebSocketUpgrade;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::{Stream, StreamExt, stream};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpListener;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use waxseal::account::UserChange;
use waxseal::{Principal, Session, Verifier};

use super::bounded::BOUND;
use super::common::{Place, TestServer};
use super::service::{Client, http, ready, start};

const SECOND: Duration = Duration::from_secs(1);

fn ticks() -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        Some((Ok(Event::default().data("tick")), ()))
    })
}

async fn events(session: Session) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(session.live().guard(ticks()))
}

async fn socket(who: Principal, upgrade: WebSocketUpgrade) -> Response {
    let live = who.live();
    upgrade
        .on_upgrade(async move |mut socket| {
            let talk = async { while socket.recv().await.is_some() {} };
            let _ = live.during(talk).await;
        })
        .into_response()
}

/// An app with streaming routes, on a real socket.
async fn app(verifier: Arc<Verifier>) -> String {
    let app = Router::new()
        .route("/events", get(events))
        .route("/socket", get(socket))
        .with_state(verifier);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    url
}

/// Opens a stream, and waits for its beginning.
async fn open(url: &str, token: &str) -> reqwest::Response {
    let request = reqwest::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .get(url);
    let mut answer = request.bearer_auth(token).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.chunk().await.unwrap().is_some());
    answer
}

/// Reads a stream to its end.
async fn ends(mut answer: reqwest::Response) {
    let end = async { while answer.chunk().await.unwrap().is_some() {} };
    let end = tokio::time::timeout(Duration::from_secs(60), end).await;
    end.expect("the stream ends");
}

/// What ends a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Logout,
    Idle,
    /// The list is no longer kept fresh.
    Stale,
}

#[tokio::test]
async fn a_stream_ends_with_what_its_session_ends_with() {
    for end in [End::Logout, End::Idle, End::Stale] {
        let server = TestServer::new().await;
        server.add_user("alice").await;
        let url = app(server.waxseal.verifier()).await;
        let token = server.login("alice").await;
        let other = server.login("alice").await;
        let mut answer = open(&format!("{url}/events"), &token).await;
        let mut spared = open(&format!("{url}/events"), &other).await;
        // Revocations of other sessions, and time within the idle timeout, end nothing.
        let third = server.login("alice").await;
        server.post("/logout", Some(&third), None).await;
        for _ in 0..20 {
            server.pass(SECOND * 4).await;
        }
        for _ in 0..100 {
            assert!(answer.chunk().await.unwrap().is_some(), "{end:?}");
        }
        match end {
            End::Logout => {
                assert_eq!(server.post("/logout", Some(&token), None).await.status, 204);
            }
            End::Idle => server.pass(SECOND * (15 * 60 + 5)).await,
            End::Stale => server.clock.advance(SECOND * 5),
        }
        ends(answer).await;
        if end == End::Logout {
            assert!(spared.chunk().await.unwrap().is_some());
        }
    }
}

#[tokio::test]
async fn a_stream_of_a_user_who_is_disabled_ends_and_a_websocket_too() {
    let server = TestServer::new().await;
    let alice = server.add_user("alice").await;
    let url = app(server.waxseal.verifier()).await;
    let token = server.login("alice").await;
    let answer = open(&format!("{url}/events"), &token).await;
    let mut request = format!("{}/socket", url.replace("http", "ws"))
        .into_client_request()
        .unwrap();
    let bearer = format!("Bearer {token}").parse().unwrap();
    request.headers_mut().insert("authorization", bearer);
    let (mut socket, _) = connect_async(request.clone()).await.unwrap();
    server.change_user(alice, UserChange::Disable).await;
    ends(answer).await;
    let end = tokio::time::timeout(Duration::from_secs(60), async {
        while let Some(Ok(_)) = socket.next().await {}
    });
    end.await.expect("the socket is closed");
    assert!(
        connect_async(request).await.is_err(),
        "and does not open again"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(
    clippy::disallowed_methods,
    reason = "real processes are measured on the real clock"
)]
async fn in_another_process_it_ends_within_the_bound_after_a_logout_and_when_nobody_can_tell() {
    let place = Place::new();
    place.add_user("alice");
    let reader = Client::reader(&place, "orders");
    let issuer = place.serve();
    let service = start(&issuer.url, &reader);
    let http = http();
    ready(&http, &service).await;
    let news = format!("{}/news", service.url);
    let mut delays = Vec::new();
    for _ in 0..50 {
        let token = issuer.login(&http, "alice").await;
        let answer = open(&news, &token).await;
        assert_eq!(issuer.logout(&http, &token).await.unwrap(), 204);
        let began = Instant::now();
        ends(answer).await;
        delays.push(began.elapsed());
    }
    delays.sort();
    println!(
        "a stream elsewhere ends after a logout: 50 logouts, median {:?}, maximum {:?}; bound {BOUND:?}",
        delays[25], delays[49]
    );

    let token = issuer.login(&http, "alice").await;
    let answer = open(&news, &token).await;
    let pid = Pid::from_child(&issuer.child);
    kill_process(pid, Signal::STOP).unwrap();
    let began = Instant::now();
    ends(answer).await;
    println!("and after the issuer was stopped: {:?}", began.elapsed());
    kill_process(pid, Signal::CONT).unwrap();
    ready(&http, &service).await;
    let answer = open(&news, &token).await;
    drop(answer);
}
