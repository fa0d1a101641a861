//! The cost of verification, revocation and logout, as ratios.
//!
//! Machines are noisy and differ, so each line compares two things in one run: they take turns in short rounds, and the
//! line shows the median of the rounds' ratios.
//!
//! `cargo bench --locked --bench verify` measures, and takes a few minutes. With `--quick`, `--test` or
//! `WAXSEAL_BENCH_QUICK=1`, and whenever cargo does not request a measurement (`cargo test --locked --benches`), it
//! only checks that everything works. Names of sections as arguments, for example `token-cache` or `start`, select these
//! sections.

mod caches;
mod expiry;
mod harness;
mod list;
mod maps;
mod meters;
mod signature;
mod start;
mod store;
mod subject;
mod token_cache;

/// The extent of the measurement.
struct Size {
    /// Rounds of most contests.
    rounds: usize,
    /// Entries of the small list.
    small: usize,
    /// Entries of the large list.
    large: usize,
    /// Entries of a very large list, which few services will have.
    huge: usize,
    /// Entries that expire at once.
    expiring: usize,
    /// Distinct tokens that are verified against the lists.
    tokens: usize,
    /// Live tokens of a service with few users.
    few_tokens: usize,
    /// Live tokens of a service with many users.
    many_tokens: usize,
    /// Rounds of the contest between one caller and many.
    store_rounds: usize,
    /// Logouts of one caller in one round.
    logouts: usize,
    /// Starts of a service.
    starts: usize,
}

/// A measurement, which takes a few minutes.
const FULL: Size = Size {
    rounds: 2_000,
    small: 1_000,
    large: 1_000_000,
    huge: 10_000_000,
    expiring: 1_000_000,
    tokens: 20_000,
    few_tokens: 1_000,
    many_tokens: 100_000,
    store_rounds: 9,
    logouts: 150,
    starts: 5,
};

/// A check that everything works, which takes about a second.
const QUICK: Size = Size {
    rounds: 5,
    small: 1_000,
    large: 20_000,
    huge: 40_000,
    expiring: 20_000,
    tokens: 250,
    few_tokens: 50,
    many_tokens: 500,
    store_rounds: 1,
    logouts: 10,
    starts: 1,
};

/// The name of a section of the table, and its function.
type Section = (&'static str, fn(&Size));

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    if let [maps::WEIGH, map, entries] = *arguments.iter().map(String::as_str).collect::<Vec<_>>() {
        println!("{}", maps::weigh(map, entries.parse().unwrap()));
        return;
    }
    if has("--list") {
        // A test runner asks for a list of tests; this program has none.
        return;
    }
    let told = std::env::var_os("WAXSEAL_BENCH_QUICK").is_some();
    let quick = told || has("--quick") || has("--test") || !has("--bench");
    let size = if quick { QUICK } else { FULL };
    if quick {
        println!("quick: it works, and its figures mean nothing");
    }
    let sections: [Section; 11] = [
        ("signature", signature::verify_each),
        ("token-cache", token_cache::repeated),
        ("caches", caches::look_up),
        ("meters", meters::counted),
        ("list", list::look_up),
        ("maps", maps::look_up),
        ("memory", maps::memory),
        ("expiry", expiry::housekeeping),
        ("logouts", store::logouts),
        ("start", start::start),
        ("sign", signature::sign_each),
    ];
    let named = |name: &str| arguments.iter().any(|argument| argument == name);
    let all = !sections.iter().any(|(name, _)| named(name));
    harness::heading();
    for (name, section) in sections {
        if all || named(name) {
            section(&size);
        }
    }
}
