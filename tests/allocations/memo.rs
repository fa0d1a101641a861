//! The memo takes no more memory than it may, and little less: what it reckons a token to weigh is what a token takes.

use std::sync::PoisonError;

use tokio::runtime::Runtime;

use crate::COUNTING;
use crate::common::House;

/// What it may take here, in bytes.
const MEMO: usize = 1024 * 1024;

/// More than it has room for.
const TOKENS: usize = 1500;

/// What the process keeps of that many requests to `/verify`, each with another token, in bytes.
async fn kept(memo: usize) -> usize {
    let house = House::with(|settings| settings.memo = memo as u64).await;
    house.add_user("ann").await;
    let mut tokens = Vec::with_capacity(TOKENS);
    for _ in 0..TOKENS {
        tokens.push(house.login("ann").await);
    }
    let before = dhat::HeapStats::get().curr_bytes;
    for token in &tokens {
        assert_eq!(house.verify(token).await, 200);
    }
    dhat::HeapStats::get().curr_bytes - before
}

#[test]
fn a_memo_that_is_full_takes_what_it_may() {
    let _counting = COUNTING.lock().unwrap_or_else(PoisonError::into_inner);
    let _profiler = dhat::Profiler::builder().testing().build();
    let [without, with] = [0, MEMO].map(|memo| Runtime::new().unwrap().block_on(kept(memo)));
    let takes = with - without;
    println!("a memo of {MEMO} bytes takes {takes}; all else that was kept: {without}");
    assert!((MEMO / 2..=MEMO).contains(&takes), "{takes}");
}
