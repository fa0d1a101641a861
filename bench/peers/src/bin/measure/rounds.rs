//! The contenders take turns.

use crate::field::Contender;
use crate::load::{self, Load};
use crate::{Result, Setup};

/// What wrk is given, everywhere: threads and connections.
pub const LOAD: (u32, u32) = (2, 64);

/// One turn of one contender.
#[derive(Clone, Copy)]
pub struct Turn {
    pub a_second: f64,
    /// Microseconds of the processor a request.
    pub cpu: f64,
    /// In milliseconds.
    pub p99: f64,
}

/// What each did in each round.
pub async fn take_turns(setup: &Setup, contenders: &[Contender]) -> Result<Vec<Vec<Turn>>> {
    let mut turns = vec![Vec::new(); contenders.len()];
    if !setup.quick {
        // What compiles as it runs has done so then, and what remembers has seen each token.
        for contender in contenders {
            turn(setup, contender, 2).await?;
        }
    }
    for round in 0..setup.size.rounds {
        for step in 0..contenders.len() {
            let who = (round + step) % contenders.len();
            let turn = turn(setup, &contenders[who], setup.size.seconds).await?;
            turns[who].push(turn);
        }
        eprintln!("bench: round {} of {}", round + 1, setup.size.rounds);
    }
    Ok(turns)
}

async fn turn(setup: &Setup, contender: &Contender, seconds: u32) -> Result<Turn> {
    let cpu = || -> f64 {
        let processes = contender.processes.iter();
        processes.map(|process| process.cpu()).sum()
    };
    let before = cpu();
    let load = ask(setup, contender, seconds, &[]).await?;
    let used = cpu() - before;
    Ok(Turn {
        a_second: load.a_second(),
        cpu: used / load.requests as f64 * 1e6,
        p99: load.p99,
    })
}

/// GETs with its headers.
pub async fn ask(
    setup: &Setup,
    contender: &Contender,
    seconds: u32,
    pause: &[&str],
) -> Result<Load> {
    let script = setup.bench.join("load/requests.lua");
    let headers = contender.headers.display().to_string();
    let arguments = [&[headers.as_str()], pause].concat();
    let load = load::run(&script, &contender.url, LOAD, seconds, &arguments).await?;
    load.all_good(&contender.name)
}

/// The middle one.
pub fn median(numbers: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = numbers.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// The median of the rounds' ratios.
pub fn ratio(these: &[Turn], those: &[Turn], of: impl Fn(&Turn) -> f64) -> f64 {
    median(these.iter().zip(those).map(|(a, b)| of(a) / of(b)))
}
