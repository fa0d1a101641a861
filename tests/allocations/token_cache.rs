//! The token cache never exceeds its memory limit, whatever tokens it has to hold.

use std::sync::PoisonError;

use tokio::runtime::Runtime;

use crate::COUNTING;
use crate::common::TestServer;
use crate::fixture::{add_client, token};

/// The limit in this test, in bytes. An eighth of it covers the allocator's overhead, which this test does not see.
const CACHE: i64 = 256 * 1024;
const SEEN: i64 = CACHE / 8 * 7;

/// More tokens than the cache has room for.
const TOKENS: usize = 375;

async fn of_sessions(server: &TestServer) -> Vec<String> {
    server.add_user("ann").await;
    let mut tokens = Vec::new();
    for _ in 0..TOKENS {
        tokens.push(server.login("ann").await);
    }
    tokens
}

async fn of_services(server: &TestServer) -> Vec<String> {
    // One client gets 600 tokens a minute.
    let mut tokens = Vec::new();
    for name in ["billing", "orders", "stock"] {
        let client = add_client(server, name, "orders:read", &[]).await;
        for _ in 0..TOKENS / 3 {
            tokens.push(token(server, &client).await);
        }
    }
    tokens
}

fn bytes() -> i64 {
    i64::try_from(dhat::HeapStats::get().curr_bytes).unwrap()
}

/// The bytes that the process keeps after that many requests to `/verify`, each with another token.
async fn kept(cache: i64, tokens: impl AsyncFn(&TestServer) -> Vec<String>) -> i64 {
    let server =
        TestServer::with(|settings| settings.token_cache = cache.try_into().unwrap()).await;
    let tokens = tokens(&server).await;
    let before = bytes();
    for token in &tokens {
        assert_eq!(server.verify(token).await, 200);
    }
    bytes() - before
}

/// The same bytes, less those that are kept without a cache.
fn taken(what: &str, tokens: impl AsyncFn(&TestServer) -> Vec<String>) {
    let run = |cache| Runtime::new().unwrap().block_on(kept(cache, &tokens));
    let [without, with] = [0, CACHE].map(run);
    let taken = with - without;
    println!("{what}: a cache of {CACHE} bytes takes {taken}; all else that was kept: {without}");
    assert!((CACHE / 4 * 3..=SEEN).contains(&taken), "{what}: {taken}");
}

#[test]
fn a_full_token_cache_stays_within_its_size() {
    let _counting = COUNTING.lock().unwrap_or_else(PoisonError::into_inner);
    let _profiler = dhat::Profiler::builder()
        .testing()
        .trim_backtraces(Some(4))
        .build();
    taken("sessions", of_sessions);
    taken("services", of_services);
}
