//! Rate limits on client authentication by strangers and on the requests of a client.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use tokio::task::JoinSet;
use tower::ServiceExt;

use super::common::{Answer, TestServer};
use super::fixture::{Service, add_client, ask, basic, error, form, send_as};

const PATHS: [&str; 3] = ["/oauth/token", "/oauth/introspect", "/oauth/revoke"];
const FAILURES: usize = 20;

/// Sends a request over a connection from `peer`, or from a client behind a trusted proxy.
async fn from(server: &TestServer, peer: &str, path: &str, authorization: &str) -> Answer {
    let body = form(&[("grant_type", "client_credentials"), ("token", "none")]);
    let request = Request::post(path)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", authorization);
    let (peer, request) = match peer.split_once(" behind ") {
        None => (peer, request),
        Some((client, proxy)) => (proxy, request.header("x-forwarded-for", client)),
    };
    let mut request = request.body(Body::from(body)).unwrap();
    let peer = SocketAddr::new(peer.parse().unwrap(), 50_000);
    request.extensions_mut().insert(ConnectInfo(peer));
    server.send(request).await
}

/// Returns the seconds that a refusal asks to wait.
fn wait(answer: &Answer) -> u64 {
    assert_eq!(
        error(answer),
        (429, "temporarily_unavailable".to_owned()),
        "{answer:?}"
    );
    assert!(!answer.headers.contains_key("www-authenticate"));
    answer.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap()
}

async fn server() -> (TestServer, Service) {
    let server = TestServer::with(|settings| {
        settings.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
    })
    .await;
    let client = add_client(&server, "billing", "orders:read", &[]).await;
    // The service reads the list of clients when it starts.
    let server = server.restart(|_| {}).await;
    (server, client)
}

#[tokio::test]
async fn failed_authentications_of_a_network_share_one_limit_at_all_endpoints() {
    let (server, client) = server().await;
    let nobody = basic("client-01a20636-65df-7d0c-a454-25cc62cdf196", "wxs_x");
    let another = basic("client-01a20636-65df-7d0c-a454-25cc62cdf197", "wxs_x");
    let added = add_client(&server, "added", "orders:read", &[]).await;
    let network = [
        "2001:db8:1:2::1",
        "2001:db8:1:2:ffff::9",
        "2001:db8:1:2::3 behind 10.0.0.1",
    ];
    for n in 0..FAILURES {
        let who = [&nobody, &another, "Basic !"][n % 3];
        let answer = from(&server, network[n % 3], PATHS[n / 3 % 3], who).await;
        assert_eq!(answer.status, 401, "{n}: {answer:?}");
    }
    for path in PATHS {
        for peer in network {
            assert_eq!(wait(&from(&server, peer, path, &nobody).await), 3);
            // A client that this node does not know yet is limited even with the right secret.
            assert_eq!(wait(&from(&server, peer, path, &added.basic()).await), 3);
            // A known client has a limit of its own, which other clients' guesses do not use up.
            let good = from(&server, peer, path, &client.basic()).await;
            assert_eq!(good.status, 200, "{good:?}");
        }
        let elsewhere = from(&server, "2001:db8:1:3::1", path, &nobody).await;
        assert_eq!(elsewhere.status, 401, "{elsewhere:?}");
        let proxy = from(&server, "10.0.0.1", path, &nobody).await;
        assert_eq!(proxy.status, 401, "{proxy:?}");
    }
    server.pass(Duration::from_secs(3)).await;
    assert_eq!(
        from(&server, network[0], PATHS[0], &nobody).await.status,
        401
    );
    wait(&from(&server, network[0], PATHS[0], &nobody).await);
    let elsewhere = from(&server, "2001:db8:1:4::1", PATHS[0], &added.basic()).await;
    assert_eq!(elsewhere.status, 200, "{elsewhere:?}");
    let good = from(&server, network[0], PATHS[0], &added.basic()).await;
    assert_eq!(good.status, 200, "{good:?}");
}

#[tokio::test]
async fn failures_of_a_neighbour_do_not_block_a_known_client() {
    let (server, client) = server().await;
    let home = "198.51.100.1";
    for _ in 0..FAILURES * 2 {
        let answer = from(&server, home, PATHS[0], &client.basic()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let wrong = basic(&client.id.to_string(), "wxs_x");
    let nobody = basic("client-01a20636-65df-7d0c-a454-25cc62cdf196", "wxs_x");
    for n in 0..FAILURES * 10 {
        let answer = from(&server, home, PATHS[0], &nobody).await;
        let expected = if n < FAILURES { 401 } else { 429 };
        assert_eq!(answer.status, expected, "{n}: {answer:?}");
        // The neighbour may know the client's ID but not its secret.
        assert_eq!(from(&server, home, PATHS[0], &wrong).await.status, 401);
        if n % FAILURES == 0 {
            let good = from(&server, home, PATHS[1], &client.basic()).await;
            assert_eq!(good.status, 200, "{n}: {good:?}");
        }
    }
}

#[tokio::test]
async fn each_client_has_its_own_quota_of_tokens() {
    let (server, client) = server().await;
    let other = add_client(&server, "shipping", "orders:read", &[]).await;
    for n in 0..600 {
        let answer = ask(&server, &client, &[]).await;
        assert_eq!(answer.status, 200, "{n}: {answer:?}");
    }
    assert_eq!(wait(&ask(&server, &client, &[]).await), 1);
    assert_eq!(ask(&server, &other, &[]).await.status, 200);
    // Revocation is never limited.
    let ended = send_as(&server, &client, "/oauth/revoke", &[("token", "none")]).await;
    assert_eq!(ended.status, 200, "{ended:?}");
    server.pass(Duration::from_millis(100)).await;
    assert_eq!(ask(&server, &client, &[]).await.status, 200);
    wait(&ask(&server, &client, &[]).await);
}

#[tokio::test]
async fn each_client_has_its_own_quota_of_introspections() {
    let (server, client) = server().await;
    let mut asked = JoinSet::new();
    for _ in 0..500 {
        let body = form(&[("token", "none")]);
        let request = Request::post("/oauth/introspect")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("authorization", client.basic())
            .body(Body::from(body))
            .unwrap();
        asked.spawn(server.router.clone().oneshot(request));
    }
    let answers = asked.join_all().await;
    for answer in answers {
        let status = answer.unwrap().status().as_u16();
        assert!([200, 429].contains(&status), "{status}");
    }
    // All requests have finished and hold no capacity.
    for _ in 0..100 {
        let answer = send_as(&server, &client, "/oauth/introspect", &[("token", "none")]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}
