//! The page.

use std::fmt::{self, Write};
use std::fs;

use crate::field::{Contender, FORGETFUL, Field, HELLO, LIVEZ, READYZ, SESSION, VERIFY};
use crate::flood::{CALLERS, Flood, PAUSE};
use crate::million::Start;
use crate::rounds::{LOAD, Turn, median, ratio};
use crate::{Result, Setup};

/// Markdown.
pub struct Page(String);

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All that was found.
struct Found<'a> {
    setup: &'a Setup,
    field: &'a Field,
    turns: &'a [Vec<Turn>],
    floods: &'a [Flood],
    start: &'a Start,
}

impl Page {
    pub fn new(
        setup: &Setup,
        field: &Field,
        turns: &[Vec<Turn>],
        floods: &[Flood],
        start: &Start,
    ) -> Result<Self> {
        let found = Found {
            setup,
            field,
            turns,
            floods,
            start,
        };
        let mut text = String::new();
        found.heading(&mut text)?;
        found.ratios(&mut text)?;
        found.figures(&mut text)?;
        found.micro(&mut text)?;
        found.how(&mut text)?;
        Ok(Self(text))
    }
}

impl Found<'_> {
    fn heading(&self, text: &mut String) -> Result<()> {
        writeln!(text, "# How fast it is\n")?;
        writeln!(
            text,
            "`scripts/bench docs/performance.md` wrote this page.\n"
        )?;
        if self.setup.quick {
            writeln!(
                text,
                "**Quick: it proves that the bench works, and its figures mean nothing.**\n"
            )?;
        }
        if !self.setup.built.is_empty() {
            writeln!(text, "**{}**\n", self.setup.built)?;
        }
        writeln!(text, "| | |\n|---|---|")?;
        for (what, value) in machine()? {
            writeln!(text, "| {what} | {value} |")?;
        }
        let busy = self.setup.busy * 100.0;
        writeln!(text, "| busy with other things just before | {busy:.0} % |")?;
        writeln!(text, "| commit | {} |", self.setup.commit)?;
        Ok(())
    }

    fn ratios(&self, text: &mut String) -> Result<()> {
        let size = &self.setup.size;
        writeln!(text, "\n## Side by side\n")?;
        writeln!(
            text,
            "Requests a second, and processor time a request, of the first to the second: medians of the ratios of {} alternating rounds of {} s, {} connections, {} tokens in turns.\n",
            size.rounds, size.seconds, LOAD.1, size.tokens
        )?;
        writeln!(
            text,
            "| what | requests a second | goal | processor time |\n|---|---:|---:|---:|"
        )?;
        let mut row = |these: &str, those: &str, goal: &str| -> Result<()> {
            let (a, b) = (self.turns_of(these)?, self.turns_of(those)?);
            let a_second = ratio(a, b, |turn| turn.a_second);
            let cpu = ratio(a, b, |turn| turn.cpu);
            writeln!(
                text,
                "| {these} to {those} | {a_second:.2} | {goal} | {cpu:.2} |"
            )?;
            Ok(())
        };
        row(VERIFY, READYZ, "≥ 0.85")?;
        row(VERIFY, LIVEZ, "≥ 0.85")?;
        row(READYZ, HELLO, "")?;
        row(LIVEZ, HELLO, "")?;
        row(VERIFY, HELLO, "")?;
        row(VERIFY, FORGETFUL, "")?;
        for peer in self.peers() {
            row(SESSION, &peer.name, "> 1")?;
        }
        for (name, why) in &self.field.left_out {
            writeln!(
                text,
                "| {SESSION} to {name} | **left out: {why}** | > 1 | |"
            )?;
        }
        self.others(text)
    }

    /// Rows that no contender takes turns for.
    fn others(&self, text: &mut String) -> Result<()> {
        let start = self.start;
        writeln!(
            text,
            "\n| what | found | goal | in detail |\n|---|---:|---:|---|"
        )?;
        for flood in self.floods {
            let connections = if flood.paused {
                format!("that wait {PAUSE} ms between requests")
            } else {
                "that ask again at once".to_owned()
            };
            writeln!(
                text,
                "| p99 of `/verify` while {CALLERS} callers log in without pause, to idle; {} connections {connections} | {:.2} | ≤ 2 | {:.2} ms to {:.2} ms; {:.0} requests a second to {:.0}; {:.0} logins a second, and {:.0} answered with 503 |",
                LOAD.1,
                flood.ratio,
                flood.flooded,
                flood.idle,
                flood.flooded_a_second,
                flood.idle_a_second,
                flood.logins,
                flood.refused
            )?;
        }
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        writeln!(
            text,
            "| start to ready, {} live revocations in SQLite, nothing of it in memory | {:.2} s | ≤ 2 s | {:.0} MiB |",
            start.revocations,
            start.cold,
            mib(start.database)
        )?;
        writeln!(
            text,
            "| the disk's own share of that: reading the file once | {:.0} % | | {:.3} s, {:.0} MiB/s |",
            start.share * 100.0,
            start.read,
            mib(start.database) / start.read
        )?;
        writeln!(
            text,
            "| the same start with the file in memory | {:.2} s | | |",
            start.warm
        )?;
        writeln!(
            text,
            "| start to ready, nothing revoked | {:.0} ms | | {:.0} ms the first time, when keys, a database and a user are made |",
            start.empty * 1e3,
            start.first * 1e3
        )?;
        writeln!(
            text,
            "| size of the program | {:.1} MiB | | pages included |",
            mib(start.program)
        )?;
        Ok(())
    }

    fn figures(&self, text: &mut String) -> Result<()> {
        writeln!(text, "\n## The figures behind the ratios\n")?;
        writeln!(text, "Medians of the rounds.\n")?;
        writeln!(
            text,
            "| what | requests a second | lowest to highest | processor time a request | p99 |\n|---|---:|---:|---:|---:|"
        )?;
        let order = [HELLO, LIVEZ, READYZ, VERIFY, FORGETFUL, SESSION];
        let peers = self.peers().map(|peer| peer.name.as_str());
        for name in order.into_iter().chain(peers) {
            let turns = self.turns_of(name)?;
            let of = |what: fn(&Turn) -> f64| turns.iter().map(what);
            let a_second = of(|turn| turn.a_second);
            let lowest = a_second.clone().fold(f64::INFINITY, f64::min);
            let highest = a_second.clone().fold(0.0, f64::max);
            writeln!(
                text,
                "| {name} | {:.0} | {lowest:.0} to {highest:.0} | {:.1} µs | {:.2} ms |",
                median(a_second),
                median(of(|turn| turn.cpu)),
                median(of(|turn| turn.p99))
            )?;
        }
        Ok(())
    }

    fn micro(&self, text: &mut String) -> Result<()> {
        writeln!(text, "\n## Within the process\n")?;
        writeln!(text, "`cargo bench --locked --bench verify` said:\n")?;
        writeln!(text, "```text\n{}\n```", self.setup.micro.trim_end())?;
        Ok(())
    }

    fn how(&self, text: &mut String) -> Result<()> {
        writeln!(
            text,
            "
## How it was measured

- Everything runs on one machine, over loopback: wrk ({} threads, {} connections) takes its share of the same cores. So requests a second say how servers compare, and processor time a request what each one costs by itself; a deny list's Redis and the workers of other languages are in it.
- Each request carries another of {} tokens or sessions, in turns: each was there before, as with people who stay signed in. `/livez`, `/readyz` and the hello get the same requests. A hello below the same middleware would lie between the two: `/livez` has no body, and `/readyz` has a few bytes with their type, but makes them and asks whether the list is fresh.
- Each contender takes its turn in each round, and another one begins each round. Each was first checked to let in a good token and to refuse none, a tampered one and an expired one, and a revoked one where it has revocation. An answer other than 2xx ends the run.
- The peers are in `bench/`, their versions in its lock files, built with the same profile, with the system's allocator where the service has mimalloc. jsonwebtoken runs on aws-lc-rs, its fastest. axum-login's users are in memory: a database would cost another query. FastAPI and fastify have a process a core.
- The service has its default settings, but for sessions that last 8 h (a run is longer than the idle timeout) and login limits that are out of the way (`--login-limit-address`, `--login-limit-account` at a million a second): with its defaults, a flood of logins from one address is refused at little cost.
- The log of many revocations is filled with what as many logouts would have written. \"Nothing of it in memory\" is what the system was told of the file (`posix_fadvise`); a host below a virtual machine may still have it.",
            LOAD.0, LOAD.1, self.setup.size.tokens
        )?;
        Ok(())
    }

    fn peers(&self) -> impl Iterator<Item = &Contender> {
        let own = [HELLO, LIVEZ, READYZ, VERIFY, FORGETFUL, SESSION];
        let contenders = self.field.contenders.iter();
        contenders.filter(move |one| !own.contains(&one.name.as_str()))
    }

    fn turns_of(&self, name: &str) -> Result<&[Turn]> {
        let at = self
            .field
            .contenders
            .iter()
            .position(|one| one.name == name);
        Ok(&self.turns[at.ok_or("nobody of that name")?])
    }
}

/// What it ran on, without what would say whose it is.
fn machine() -> Result<[(&'static str, String); 4]> {
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let model = field(&cpu, "model name").unwrap_or("unknown").to_owned();
    let memory = fs::read_to_string("/proc/meminfo")?;
    let kib = field(&memory, "MemTotal").and_then(|total| total.split(' ').next()?.parse().ok());
    let gib = kib.unwrap_or(0.0) / f64::from(1 << 20);
    let cores = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok([
        ("processor", model),
        ("cores", cores.to_string()),
        ("memory", format!("{gib:.0} GiB")),
        ("kernel", format!("Linux {}", kernel.trim())),
    ])
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}
