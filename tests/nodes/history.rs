//! The requests to the nodes and their answers, on one clock.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use waxseal::time::{Clock, SystemClock};

/// What a logout promises with its 2xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Every node refuses the session within `max_staleness`.
    Bounded,
    /// Every node refuses the session at once.
    Fenced,
}

/// A request and its answer. The times are nanoseconds since the history began, taken before the request was sent and
/// after the answer was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    pub session: usize,
    pub node: usize,
    /// Which process of the node answered, where that is certain. It counts the restarts.
    pub life: Option<usize>,
    pub asked: u64,
    pub answered: u64,
    /// `None` if there was no answer: the connection broke, or the caller timed out.
    pub status: Option<u16>,
}

impl Call {
    pub fn succeeded(&self) -> bool {
        self.status
            .is_some_and(|status| (200..300).contains(&status))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// `session` is the number that a successful login uses.
    Login(Call),
    Logout {
        call: Call,
        mode: Mode,
    },
    Verification {
        call: Call,
        /// Sent after the end of the load, when every node answers again.
        last: bool,
    },
    Fault {
        name: &'static str,
        from: u64,
        until: u64,
    },
}

impl Event {
    pub fn call(&self) -> Option<&Call> {
        match self {
            Self::Login(call) | Self::Logout { call, .. } | Self::Verification { call, .. } => {
                Some(call)
            }
            Self::Fault { .. } => None,
        }
    }
}

/// How much later than another event an event that was answered before it can be recorded, in nanoseconds.
const SLACK: u64 = 1_000_000_000;

/// All events so far.
#[derive(Debug)]
pub struct History {
    began: Duration,
    sessions: AtomicUsize,
    events: Mutex<Vec<Event>>,
}

impl History {
    pub fn new() -> Self {
        Self {
            began: SystemClock.uptime(),
            sessions: AtomicUsize::new(0),
            events: Mutex::default(),
        }
    }

    /// Nanoseconds since the history began.
    pub fn now(&self) -> u64 {
        let passed = SystemClock.uptime() - self.began;
        passed.as_nanos().try_into().unwrap()
    }

    /// Returns a session number that is unique in this history.
    pub fn new_session(&self) -> usize {
        self.sessions.fetch_add(1, Ordering::SeqCst)
    }

    pub fn record(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }

    /// Counts the matching events whose requests were sent at or after `from`.
    pub fn count_since(&self, from: u64, is_it: impl Fn(&Event) -> bool) -> usize {
        let events = self.events.lock().unwrap();
        // The events are nearly in the order of their answers.
        let late = events.iter().rev().take_while(|event| {
            let answered = event.call().map_or(u64::MAX, |call| call.answered);
            answered.saturating_add(SLACK) >= from
        });
        let asked = late.filter(|event| event.call().is_some_and(|call| call.asked >= from));
        asked.filter(|event| is_it(event)).count()
    }

    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }
}
