//! Loopback ports that a server keeps across restarts.

use std::net::TcpListener;
use std::sync::Mutex;

use waxseal::random::{OsRandom, Random};

/// The first port of the range. The range is below Linux's ephemeral ports, so no outgoing connection takes a port
/// while its server is down.
const FIRST: u16 = 20_000;
const BLOCKS: u16 = 120;
const BLOCK: u16 = 100;

/// A block of ports reserved for this process: the first port stays bound for the lifetime of the block.
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

/// Returns a port that nobody listens on and that this process does not return again.
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
