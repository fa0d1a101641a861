//! Ports of loopback that a server gets again when it is restarted.

use std::net::TcpListener;
use std::sync::Mutex;

use waxseal::random::{OsRandom, Random};

/// Below the ports that Linux gives away by itself: while a server is down, no connection of anybody
/// takes its port.
const FIRST: u16 = 20_000;
const BLOCKS: u16 = 120;
const BLOCK: u16 = 100;

/// Ports that no other process of these tests takes: it holds the first of them open, for as long as
/// it lives.
struct Block {
    _anchor: TcpListener,
    next: u16,
    end: u16,
}

fn bind(port: u16) -> Option<TcpListener> {
    TcpListener::bind(("127.0.0.1", port)).ok()
}

impl Block {
    fn take() -> Self {
        let random = OsRandom::new();
        for _ in 0..1000 {
            let mut bytes = [0; 2];
            random.fill(&mut bytes);
            let first = FIRST + u16::from_be_bytes(bytes) % BLOCKS * BLOCK;
            if let Some(anchor) = bind(first) {
                return Self {
                    _anchor: anchor,
                    next: first + 1,
                    end: first + BLOCK,
                };
            }
        }
        panic!("no ports are free");
    }
}

/// A port that nobody listens on, and that this process gives to nobody else.
pub fn free() -> u16 {
    static BLOCKS: Mutex<Vec<Block>> = Mutex::new(Vec::new());
    let mut blocks = BLOCKS.lock().unwrap();
    loop {
        if blocks.last().is_none_or(|block| block.next == block.end) {
            blocks.push(Block::take());
        }
        let block = blocks.last_mut().unwrap();
        let port = block.next;
        block.next += 1;
        if bind(port).is_some() {
            return port;
        }
    }
}
