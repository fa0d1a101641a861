//! Verification while many log in.

use std::time::Duration;

use crate::field::{Contender, Field, USERS, VERIFY};
use crate::load::{self, Load};
use crate::rounds::{ask, median};
use crate::service::PASSWORD;
use crate::{Result, Setup};

/// How many log in without pause.
pub const CALLERS: u32 = 50;

/// What connections that pause wait between requests, in milliseconds.
pub const PAUSE: &str = "20";

/// Idle and flooded, in turns.
pub struct Flood {
    /// Whether the connections pause.
    pub paused: bool,
    /// p99 in milliseconds.
    pub idle: f64,
    pub flooded: f64,
    /// The median of the rounds' ratios.
    pub ratio: f64,
    /// Requests a second meanwhile.
    pub idle_a_second: f64,
    pub flooded_a_second: f64,
    /// Logins a second that were answered with 200, and with something else.
    pub logins: f64,
    pub refused: f64,
}

/// With connections that ask again at once, and with such as pause.
pub async fn floods(setup: &Setup, field: &Field) -> Result<Vec<Flood>> {
    let verify = field.contenders.iter().find(|one| one.name == VERIFY);
    let verify = verify.ok_or("the service is not there")?;
    let mut floods = Vec::new();
    for paused in [true, false] {
        let pause: &[&str] = if paused { &[PAUSE] } else { &[] };
        let (mut idle, mut flooded, mut logins) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..setup.size.floods {
            idle.push(ask(setup, verify, setup.size.seconds, pause).await?);
            let (load, login) = under_logins(setup, field, verify, pause).await?;
            flooded.push(load);
            logins.push(login);
        }
        let p99s = idle
            .iter()
            .zip(&flooded)
            .map(|(idle, flooded)| flooded.p99 / idle.p99);
        let good = |load: &Load| (load.requests - load.refused) as f64 / load.seconds;
        floods.push(Flood {
            paused,
            ratio: median(p99s),
            idle: median(idle.iter().map(|load| load.p99)),
            flooded: median(flooded.iter().map(|load| load.p99)),
            idle_a_second: median(idle.iter().map(Load::a_second)),
            flooded_a_second: median(flooded.iter().map(Load::a_second)),
            logins: median(logins.iter().map(good)),
            refused: median(logins.iter().map(|load| load.refused as f64 / load.seconds)),
        });
        eprintln!("bench: logins, connections that pause: {paused}");
    }
    Ok(floods)
}

/// The logins begin before, and end after.
async fn under_logins(
    setup: &Setup,
    field: &Field,
    verify: &Contender,
    pause: &[&str],
) -> Result<(Load, Load)> {
    let script = setup.bench.join("load/logins.lua");
    let url = format!("{}/login", field.service);
    let users = if setup.quick { 2 } else { USERS }.to_string();
    let arguments = [users.as_str(), PASSWORD];
    let seconds = setup.size.seconds + 2;
    let logins = load::run(&script, &url, (1, CALLERS), seconds, &arguments);
    let asked = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        ask(setup, verify, setup.size.seconds, pause).await
    };
    let (logins, asked) = tokio::join!(logins, asked);
    let logins = logins?;
    if logins.requests == logins.refused {
        return Err("nobody could log in".into());
    }
    Ok((asked?, logins))
}
