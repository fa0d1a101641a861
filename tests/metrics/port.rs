//! The operators' port answers one request, which no other port answers.

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use super::common::Place;
use super::scrape::Watched;

#[tokio::test]
async fn the_operators_port_has_the_metrics_and_nothing_else() {
    let place = Place::new();
    place.add_user("alice");
    let watched = Watched::start(&place, &[]);
    let status = async |method, url: String| {
        let answer = watched.http.request(method, url).send().await.unwrap();
        answer.status().as_u16()
    };
    use reqwest::Method;
    let own = watched.metrics.strip_suffix("/metrics").unwrap();
    assert_ne!(own, watched.server.url);
    assert_eq!(status(Method::GET, watched.metrics.clone()).await, 200);
    for path in [
        "/",
        "/livez",
        "/readyz",
        "/login",
        "/metrics/",
        "/revocations",
    ] {
        assert_eq!(
            status(Method::GET, format!("{own}{path}")).await,
            404,
            "{path}"
        );
    }
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        assert_eq!(status(method, watched.metrics.clone()).await, 405);
    }
    assert_eq!(
        status(Method::GET, format!("{}/metrics", watched.server.url)).await,
        404
    );
}

#[test]
fn without_the_setting_there_is_no_port() {
    let place = Place::new();
    place.add_user("alice");
    let server = place.serve();
    assert!(!server.log().contains("metrics are at"), "{}", server.log());
}

#[test]
fn the_metrics_port_drops_silent_clients_and_stops_with_the_service() {
    let place = Place::new();
    place.add_user("alice");
    let mut watched = Watched::start(&place, &[]);
    let address = watched.metrics.strip_prefix("http://").unwrap();
    let address = address.strip_suffix("/metrics").unwrap().to_owned();
    let mut silent = TcpStream::connect(&address).unwrap();
    silent
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let read = silent.read(&mut [0; 1]);
    assert!(
        matches!(read, Ok(0))
            || read
                .as_ref()
                .is_err_and(|cause| cause.kind() == std::io::ErrorKind::ConnectionReset),
        "a client that sends nothing is shown out: {read:?}"
    );
    assert!(watched.server.terminate().success());
    assert!(TcpStream::connect(&address).is_err());
}
