//! Compares contenders that take turns.

use std::hint::black_box;
use std::time::Instant;

/// Prints the heading of the table.
pub fn heading() {
    println!("{:<64} {:>8}  {:>8}", "", "ratio", "goal");
}

/// Prints one line of the table.
pub fn line(what: &str, ratio: f64, goal: Option<f64>, detail: &str) {
    let goal = goal.map_or(String::from("-"), |goal| format!("≤ {goal:.4}"));
    println!("{what:<64} {ratio:>8.4}  {goal:>8}  {detail}");
}

/// Lets the contenders take turns, each first equally often. Returns the results of each contender by round.
pub fn take_turns<const N: usize>(
    rounds: usize,
    contenders: [&mut dyn FnMut(usize) -> f64; N],
) -> [Vec<f64>; N] {
    let mut said = std::array::from_fn(|_| Vec::with_capacity(rounds));
    for round in 0..rounds {
        for turn in 0..N {
            let who = (round + turn) % N;
            said[who].push(contenders[who](round));
        }
    }
    said
}

/// Starts a measurement.
#[expect(clippy::disallowed_methods, reason = "a stopwatch, not a clock")]
pub fn stopwatch() -> Instant {
    Instant::now()
}

/// Returns the nanoseconds per call of `call`, with each index of `turn`.
pub fn nanos<T>(
    turn: impl ExactSizeIterator<Item = usize>,
    mut call: impl FnMut(usize) -> T,
) -> f64 {
    let calls = turn.len() as f64;
    let start = stopwatch();
    for index in turn {
        black_box(call(index));
    }
    start.elapsed().as_nanos() as f64 / calls
}

/// Returns the median.
pub fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Returns the median of the rounds' ratios.
pub fn ratio(these: &[f64], those: &[f64]) -> f64 {
    let ratios: Vec<f64> = these.iter().zip(those).map(|(a, b)| a / b).collect();
    median(&ratios)
}

/// Describes both contenders' medians in microseconds, from nanoseconds.
pub fn micros(these: &[f64], those: &[f64]) -> String {
    format!(
        "{:.2} µs to {:.2} µs",
        median(these) / 1e3,
        median(those) / 1e3
    )
}
