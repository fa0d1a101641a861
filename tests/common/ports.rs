//! Ports of loopback that a server gets again when it is restarted.

use std::net::TcpListener;

use waxseal::random::{OsRandom, Random};

/// Below the ports that Linux gives away by itself: while a server is down, no connection of anybody
/// takes its port.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A port that nobody listens on.
pub fn free() -> u16 {
    let random = OsRandom::new();
    for _ in 0..1000 {
        let mut bytes = [0; 2];
        random.fill(&mut bytes);
        let port = FIRST + u16::from_be_bytes(bytes) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}
