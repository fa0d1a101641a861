//! The timeouts, written as `90s`, `15m` or `2h`.

use std::time::Duration;

use waxseal::policy::{Policy, Timeouts};

use super::refusal::bad;
use crate::cli::duration;
use crate::failure::Failure;

/// The timeouts as the user wrote them; `None` for the default.
pub struct WrittenTimeouts {
    pub idle: Option<String>,
    pub absolute: Option<String>,
    pub renewal: Option<String>,
    pub touch_interval: Option<String>,
    pub renewal_grace: Option<String>,
    pub leeway: Option<String>,
}

pub fn read(wanted: &WrittenTimeouts) -> Result<Timeouts, Failure> {
    let read = |key, text: &Option<String>, default| match text {
        None => Ok(default),
        Some(text) => {
            duration(text).map_err(|_| bad(key, text, "a duration such as 90s, 15m or 2h"))
        }
    };
    let default = Timeouts::default();
    let idle = read("idle_timeout", &wanted.idle, default.idle)?;
    let renewal = read("renewal_timeout", &wanted.renewal, default.renewal)?;
    // These defaults shrink with a short timeout, so that it is valid to set a short timeout alone.
    let quarter = |of: Duration| Duration::from_secs((of.as_secs() / 4).max(1));
    let touch_interval = default.touch_interval.min(quarter(idle));
    let renewal_grace = default
        .renewal_grace
        .min(quarter(idle))
        .min(quarter(renewal));
    let timeouts = Timeouts {
        idle,
        absolute: read("absolute_timeout", &wanted.absolute, default.absolute)?,
        renewal,
        touch_interval: read("touch_interval", &wanted.touch_interval, touch_interval)?,
        renewal_grace: read("renewal_grace", &wanted.renewal_grace, renewal_grace)?,
        leeway: read("leeway", &wanted.leeway, default.leeway)?,
    };
    let written = |key: &str| {
        let text = match key {
            "idle_timeout" => &wanted.idle,
            "absolute_timeout" => &wanted.absolute,
            "renewal_timeout" => &wanted.renewal,
            "touch_interval" => &wanted.touch_interval,
            "renewal_grace" => &wanted.renewal_grace,
            _ => &wanted.leeway,
        };
        text.clone().unwrap_or_else(|| "its default".to_owned())
    };
    match Policy::new("checked elsewhere", "checked elsewhere", timeouts) {
        Ok(_) => Ok(timeouts),
        Err(wrong) => {
            let wanted = wrong.why.trim_start_matches("must be ");
            Err(bad(wrong.key, &written(wrong.key), wanted))
        }
    }
}
