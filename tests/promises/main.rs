//! The promises that hold on one node: durable, and never revived. There is one file for each danger.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod common;

use common::mount_namespace;

mod clock;
mod compaction;
mod cut_offs;
mod disk;
mod durable;
mod flood;
mod freshness;
mod leaked_key;
mod log;
mod mark;
mod merging;
mod never_revived;
mod renewal;
mod restored;
mod restored_copy;
mod token_forge;
