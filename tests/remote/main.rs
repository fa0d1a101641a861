//! Verification in another process: the feed, the verifier that follows it, and streaming responses.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod common;

use common::wire;

mod actions;
mod bounded;
mod feed_page;
mod forged_claims;
mod forged_texts;
#[path = "../misuse/forger.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod forger;
mod forgeries;
mod javascript;
mod keys;
mod liar;
mod lies;
mod live;
mod log;
mod long;
mod metrics;
mod outages;
mod quotas;
mod readers;
mod ready;
mod service;
mod settings;
