//! The limit on open file descriptors (`RLIMIT_NOFILE`, getrlimit(2)), and how many of them connections may use.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use waxseal::report::report;

use crate::failure::Failure;

/// Descriptors that connections never use: 32 for the metrics port, the rest for the database, the mark, the keys, the
/// log, and the service's own requests.
const RESERVE: u64 = 128;

/// The minimum number of descriptors: with fewer the service does not start.
const LEAST: u64 = 128;

/// The default limit on open connections, even with more descriptors. Systems often have a hard limit of 524,288 or
/// more, and so many connections would fill the memory first.
const DEFAULT_MOST: u64 = 8192;

/// Raises the soft limit to the hard limit (systemd's defaults are 1,024 and 524,288), and returns the limit that then
/// holds.
pub fn raise_limit() -> u64 {
    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: before.maximum,
        ..before
    };
    // With the lower limit the service allows fewer connections, and is otherwise the same.
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised,
        Err(cause) => {
            tracing::debug!(cause = %report(&cause), "the limit on open files could not be raised");
            before
        }
    };
    limit.current.unwrap_or(u64::MAX)
}

/// Returns how many connections may be open at once under this limit: the wanted number, or by default as many as fit.
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
    fn connections_leave_the_reserve_of_descriptors() {
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
