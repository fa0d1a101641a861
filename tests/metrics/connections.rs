//! Connections beyond a limit are closed at once and counted per limit.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::common::Place;
use super::scrape::{Page, Watched};

const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 8);
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

/// Connects from `from`. Returns `None` if the server refused so early that the connect call fails.
async fn connect(server: SocketAddr, from: Ipv4Addr) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    socket.connect(server).await.ok()
}

/// Returns whether the server answers a connection from this address.
async fn is_served(server: SocketAddr, from: Ipv4Addr) -> bool {
    let Some(mut stream) = connect(server, from).await else {
        return false;
    };
    let request = b"GET /livez HTTP/1.1\r\nHost: waxseal\r\nConnection: close\r\n\r\n";
    let mut answer = String::new();
    let asked = stream.write_all(request).await;
    asked.is_ok()
        && stream.read_to_string(&mut answer).await.is_ok()
        && answer.starts_with("HTTP/1.1 200")
}

/// Returns the page's connection figures: the open ones, and those that each limit refused.
fn figures(page: &Page) -> [f64; 3] {
    let refused = |limit| page.read("waxseal_connections_refused_total", &[("limit", limit)]);
    let open = page.read("waxseal_connections", &[]);
    [open, refused("address"), refused("total")].map(Option::unwrap)
}

/// Waits until the page shows these figures: the service may still be accepting connections.
async fn says(watched: &Watched, wanted: [f64; 3]) -> Page {
    let mut page = watched.scrape().await;
    for _ in 0..100 {
        if figures(&page) == wanted {
            return page;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        page = watched.scrape().await;
    }
    panic!("not {wanted:?}: {:?}", figures(&page));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_has_an_eighth_and_a_trusted_proxy_all_that_is_left() {
    let place = Place::new();
    place.add_user("alice");
    let proxy = PROXY.to_string();
    let watched = Watched::start(
        &place,
        &[
            ("WAXSEAL_MAX_CONNECTIONS", "80"),
            ("WAXSEAL_TRUSTED_PROXIES", &proxy),
        ],
    );
    let server = watched.server.url.strip_prefix("http://").unwrap();
    let server: SocketAddr = server.parse().unwrap();
    let mut open = Vec::new();
    for _ in 0..15 {
        open.extend(connect(server, STRANGER).await);
    }
    says(&watched, [10.0, 5.0, 0.0]).await;
    assert!(!is_served(server, STRANGER).await);
    assert!(is_served(server, PROXY).await);
    says(&watched, [10.0, 6.0, 0.0]).await;
    for _ in 0..75 {
        open.extend(connect(server, PROXY).await);
    }
    let page = says(&watched, [80.0, 6.0, 5.0]).await;
    assert_eq!(page.read("waxseal_connections_max", &[]), Some(80.0));
    assert_eq!(page.read("waxseal_accepts_failed_total", &[]), Some(0.0));
    drop(open);
    says(&watched, [0.0, 6.0, 5.0]).await;
    assert!(is_served(server, STRANGER).await);
}
