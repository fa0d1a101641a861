//! How many file descriptors the process may have open (`RLIMIT_NOFILE`, getrlimit(2)), and how many of them
//! connections may take.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::failure::Failure;

/// Descriptors that connections never take: 32 for the metrics port, the rest for the database, the mark, the keys,
/// the log, and what the service itself asks others.
const RESERVE: u64 = 128;

/// With fewer descriptors the service does not start.
const LEAST: u64 = 128;

/// How many connections are open at once without a setting, however many descriptors there are. Systems often have
/// a hard limit of 524,288 or more, which would fill the memory first.
const DEFAULT_MOST: u64 = 8192;

/// Raises the soft limit to the hard one (systemd's default is 1,024 to 524,288), and gives the limit as it then is.
pub fn raise_limit() -> u64 {
    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: before.maximum,
        ..before
    };
    // Without it the service has fewer connections, and is otherwise the same.
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised,
        Err(cause) => {
            tracing::debug!(%cause, "the limit on open files could not be raised");
            before
        }
    };
    limit.current.unwrap_or(u64::MAX)
}

/// How many connections may be open at once under that limit: as many as are wanted, or as fit.
pub fn most_connections(limit: u64, wanted: Option<usize>) -> Result<usize, Failure> {
    if limit < LEAST {
        return Err(Failure::refused(format!(
            "the limit on open files is {limit}, and the service needs at least {LEAST}; raise it: LimitNOFILE= in its systemd unit, --ulimit nofile= of Docker, or ulimit -n"
        )));
    }
    let room = limit - RESERVE.min(limit / 2);
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    match wanted {
        None => Ok(room.min(DEFAULT_MOST as usize)),
        Some(wanted) if wanted <= room => Ok(wanted),
        Some(wanted) => Err(Failure::Usage(format!(
            "max_connections is {wanted}, but the limit on open files is {limit}, which leaves room for {room} connections; lower max_connections, or raise the limit: LimitNOFILE= in its systemd unit, --ulimit nofile= of Docker, or ulimit -n"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_connections_may_take_leaves_the_reserve() {
        for (limit, wanted, most) in [
            (1024, None, Some(896)),
            (1024, Some(896), Some(896)),
            (1024, Some(897), None),
            (1024, Some(1), Some(1)),
            (128, None, Some(64)),
            (127, None, None),
            (0, None, None),
            (524_288, None, Some(8192)),
            (524_288, Some(500_000), Some(500_000)),
            (u64::MAX, None, Some(8192)),
        ] {
            let found = most_connections(limit, wanted).ok();
            assert_eq!(found, most, "{limit} {wanted:?}");
        }
    }
}
