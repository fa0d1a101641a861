//! Checks a history against the rules that every history must satisfy.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::history::{Call, Event, Mode};

/// The settings of the nodes.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub nodes: usize,
    pub max_staleness: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// No node accepts a session in a request that is sent after the 2xx of a fenced logout was received.
    Fenced,
    /// No node accepts a session later than `max_staleness` after the 2xx of a bounded logout.
    Bounded,
    /// The node that answered a logout with 2xx refuses the session from then on.
    OwnNode,
    /// A process that has refused a session never accepts it again.
    Revived,
    /// After the run, no node accepts a session whose logout was answered with 2xx.
    Lost,
    /// No node refuses a session that no client has asked to end.
    LiveRefused,
}

/// Two answers that contradict each other, or one that is wrong alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub rule: Rule,
    pub before: Option<Call>,
    pub call: Call,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, before, call } = self;
        write!(f, "{rule:?}: session {} at {call:?}", call.session)?;
        match before {
            Some(before) => {
                let late = Duration::from_nanos(call.asked.saturating_sub(before.answered));
                write!(f, ", asked {late:?} after {before:?}")
            }
            None => Ok(()),
        }
    }
}

/// What a history contains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub logins: usize,
    pub failed_logins: usize,
    /// Logouts that were answered with 2xx.
    pub logouts: usize,
    /// Logouts with any other answer, or none.
    pub failed_logouts: usize,
    /// Verifications, by answer.
    pub accepted: usize,
    pub refused: usize,
    pub unavailable: usize,
    pub unanswered: usize,
    pub other: usize,
    /// Refusals in requests that were sent after a logout's 2xx: the subject of the promises.
    pub refused_after_logout: usize,
    /// The same for 503.
    pub unavailable_after_logout: usize,
}

/// The findings of the checker.
#[derive(Debug, Default)]
pub struct Report {
    pub violations: Vec<Violation>,
    /// Pairs of session and node: the logout was answered with 2xx, and no last verification at that node was refused.
    pub unproven: Vec<(usize, usize)>,
    pub all: Counts,
    /// What overlapped each fault, and what overlapped none.
    pub by_fault: BTreeMap<&'static str, Counts>,
    /// The latest acceptance by another node, after a logout's 2xx.
    pub latest_acceptance: Option<Duration>,
    /// The earliest request after a logout's 2xx that another node refused.
    pub earliest_refusal: Option<Duration>,
}

/// The name of the time without any fault.
pub const CALM: &str = "none";

impl Report {
    pub fn broken(&self) -> BTreeSet<Rule> {
        self.violations.iter().map(|found| found.rule).collect()
    }

    /// Asserts that there are no violations and no unproven refusals.
    pub fn assert_clean(&self) {
        assert!(self.violations.is_empty(), "{self}");
        assert!(self.unproven.is_empty(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "all: {:?}", self.all)?;
        for (fault, counts) in &self.by_fault {
            writeln!(f, "fault {fault}: {counts:?}")?;
        }
        writeln!(
            f,
            "after a logout's 2xx: the latest acceptance {:?}, the earliest refusal {:?}",
            self.latest_acceptance, self.earliest_refusal
        )?;
        writeln!(
            f,
            "{} violations {:?}, {} unproven",
            self.violations.len(),
            self.broken(),
            self.unproven.len()
        )?;
        for violation in self.violations.iter().take(20) {
            writeln!(f, "{violation}")?;
        }
        for (session, node) in self.unproven.iter().take(20) {
            writeln!(f, "unproven: session {session} at node {node}")?;
        }
        Ok(())
    }
}

/// The events of one session.
#[derive(Default)]
struct Session<'a> {
    logouts: Vec<(&'a Call, Mode)>,
    verifications: Vec<(&'a Call, bool)>,
}

impl Session<'_> {
    /// Whether a logout's 2xx was received before `asked`.
    fn was_over(&self, asked: u64) -> bool {
        let mut over = self.acknowledged();
        over.any(|(logout, _)| logout.answered < asked)
    }

    fn acknowledged(&self) -> impl Iterator<Item = (&Call, Mode)> {
        let logouts = self.logouts.iter().map(|(call, mode)| (*call, *mode));
        logouts.filter(|(call, _)| call.succeeded())
    }
}

/// Checks a history.
pub fn check(events: &[Event], terms: Terms) -> Report {
    let mut sessions: BTreeMap<usize, Session<'_>> = BTreeMap::new();
    for event in events {
        match event {
            Event::Logout { call, mode } => {
                let session = sessions.entry(call.session).or_default();
                session.logouts.push((call, *mode));
            }
            Event::Verification { call, last } => {
                let session = sessions.entry(call.session).or_default();
                session.verifications.push((call, *last));
            }
            Event::Login(_) | Event::Fault { .. } => {}
        }
    }
    let mut report = Report::default();
    for (number, session) in &sessions {
        accepted_after_logout(session, terms, &mut report);
        revived(session, &mut report);
        live_refused(session, &mut report);
        unproven(*number, session, terms, &mut report);
    }
    count(events, &sessions, &mut report);
    report
}

fn accepted_after_logout(session: &Session<'_>, terms: Terms, report: &mut Report) {
    let bound = u64::try_from(terms.max_staleness.as_nanos()).unwrap();
    for (logout, mode) in session.acknowledged() {
        for (call, last) in &session.verifications {
            if call.asked <= logout.answered {
                continue;
            }
            let late = call.asked - logout.answered;
            let elsewhere = call.node != logout.node;
            if call.status == Some(401) && elsewhere {
                let after = Duration::from_nanos(late);
                let earliest = report.earliest_refusal.get_or_insert(after);
                *earliest = after.min(*earliest);
            }
            if call.status != Some(200) {
                continue;
            }
            if elsewhere {
                report.latest_acceptance = report
                    .latest_acceptance
                    .max(Some(Duration::from_nanos(late)));
            }
            let broken = [
                (mode == Mode::Fenced, Rule::Fenced),
                (mode == Mode::Bounded && late > bound, Rule::Bounded),
                (!elsewhere, Rule::OwnNode),
                (*last, Rule::Lost),
            ];
            for (_, rule) in broken.into_iter().filter(|(is_broken, _)| *is_broken) {
                report.violations.push(Violation {
                    rule,
                    before: Some(*logout),
                    call: **call,
                });
            }
        }
    }
}

fn revived(session: &Session<'_>, report: &mut Report) {
    let mut first_refusal: BTreeMap<(usize, usize), &Call> = BTreeMap::new();
    let processes = |status| {
        let calls = session.verifications.iter().map(|(call, _)| *call);
        calls.filter_map(move |call| {
            let process = (call.node, call.life?);
            (call.status == Some(status)).then_some((process, call))
        })
    };
    for (process, call) in processes(401) {
        let first = first_refusal.entry(process).or_insert(call);
        if call.answered < first.answered {
            *first = call;
        }
    }
    for (process, call) in processes(200) {
        if let Some(before) = first_refusal.get(&process)
            && call.asked > before.answered
        {
            report.violations.push(Violation {
                rule: Rule::Revived,
                before: Some(**before),
                call: *call,
            });
        }
    }
}

fn live_refused(session: &Session<'_>, report: &mut Report) {
    let ended = session.logouts.iter().map(|(call, _)| call.asked).min();
    for (call, _) in &session.verifications {
        if call.status == Some(401) && ended.is_none_or(|ended| call.answered < ended) {
            report.violations.push(Violation {
                rule: Rule::LiveRefused,
                before: None,
                call: **call,
            });
        }
    }
}

fn unproven(number: usize, session: &Session<'_>, terms: Terms, report: &mut Report) {
    if session.acknowledged().next().is_none() {
        return;
    }
    for node in 0..terms.nodes {
        let proven = session.verifications.iter().any(|(call, last)| {
            *last && call.node == node && call.status == Some(401) && session.was_over(call.asked)
        });
        if !proven {
            report.unproven.push((number, node));
        }
    }
}

fn count(events: &[Event], sessions: &BTreeMap<usize, Session<'_>>, report: &mut Report) {
    let faults: Vec<(&'static str, u64, u64)> = events
        .iter()
        .filter_map(|event| match event {
            Event::Fault { name, from, until } => Some((*name, *from, *until)),
            _ => None,
        })
        .collect();
    for (name, ..) in &faults {
        report.by_fault.entry(name).or_default();
    }
    for event in events {
        let (Event::Login(call) | Event::Logout { call, .. } | Event::Verification { call, .. }) =
            event
        else {
            continue;
        };
        let over = sessions
            .get(&call.session)
            .is_some_and(|session| session.was_over(call.asked));
        report.all.add(event, over);
        let during = faults
            .iter()
            .filter(|(_, from, until)| call.asked <= *until && *from <= call.answered);
        let mut names: BTreeSet<&'static str> = during.map(|(name, ..)| *name).collect();
        if names.is_empty() {
            names.insert(CALM);
        }
        for name in names {
            report.by_fault.entry(name).or_default().add(event, over);
        }
    }
}

impl Counts {
    fn add(&mut self, event: &Event, over: bool) {
        let count = match event {
            Event::Fault { .. } => return,
            Event::Login(call) if call.succeeded() => &mut self.logins,
            Event::Login(_) => &mut self.failed_logins,
            Event::Logout { call, .. } if call.succeeded() => &mut self.logouts,
            Event::Logout { .. } => &mut self.failed_logouts,
            Event::Verification { call, .. } => {
                self.refused_after_logout += usize::from(over && call.status == Some(401));
                self.unavailable_after_logout += usize::from(over && call.status == Some(503));
                match call.status {
                    Some(200) => &mut self.accepted,
                    Some(401) => &mut self.refused,
                    Some(503) => &mut self.unavailable,
                    None => &mut self.unanswered,
                    Some(_) => &mut self.other,
                }
            }
        };
        *count += 1;
    }
}
