//! What verification, revocation and logout cost, as ratios.
//!
//! A machine is noisy and differs from the next one, so each line sets two things side by side in one
//! run: they take turns in short rounds, and the line has the median of the rounds' ratios.
//!
//! `cargo bench --locked --bench verify` measures, in a few minutes. With `--quick`, `--test` or
//! `WAXSEAL_BENCH_QUICK=1`, and wherever cargo does not ask for a measurement (`cargo test --locked --benches`),
//! it only proves that it works. Names of sections, `memo` or `start` for example, leave the others out.

mod expiry;
mod harness;
mod list;
mod maps;
mod memo;
mod memos;
mod meters;
mod signature;
mod start;
mod store;
mod subject;

/// How much is measured.
struct Size {
    /// How often the contenders take turns.
    rounds: usize,
    /// Entries of the small list.
    small: usize,
    /// Entries of the large list.
    large: usize,
    /// Entries of a list that few will ever have.
    huge: usize,
    /// Entries that expire at once.
    expiring: usize,
    /// Different tokens that are verified against the lists.
    tokens: usize,
    /// Live tokens of a service with few people.
    few_tokens: usize,
    /// Live tokens of one with many.
    many_tokens: usize,
    /// How often one caller and many take turns.
    store_rounds: usize,
    /// Logouts of one caller in one turn.
    logouts: usize,
    /// How often a service starts.
    starts: usize,
}

/// A measurement, of a few minutes.
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

/// A proof that it works, of about a second.
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

/// A part of the table, and its name.
type Section = (&'static str, fn(&Size));

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    if let [maps::WEIGH, map, entries] = *arguments.iter().map(String::as_str).collect::<Vec<_>>() {
        println!("{}", maps::weigh(map, entries.parse().unwrap()));
        return;
    }
    if has("--list") {
        // A test runner that asks for tests; this program has none by name.
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
        ("memo", memo::repeated),
        ("memos", memos::look_up),
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
