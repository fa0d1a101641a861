//! The schedule of the faults.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::sleep;

use super::super::checker::{CALM, Report};
use super::super::history::{Event, Mode};
use super::super::token_forge::TestRng;
use super::fixture::{Fixture, NODES};
use super::kinds::{Fault, Kind};

/// The longest quiet time after a round, in milliseconds.
const QUIET: usize = 1000;

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::DatabaseKilled => "database killed",
        Kind::DatabaseDown => "database down",
        Kind::DatabaseHung => "database hung",
        Kind::DatabaseSlow => "database slow",
        Kind::DatabaseFull => "database full of connections",
        Kind::DatabaseReadOnly => "database read-only",
        Kind::ConnectionsEnded => "connections ended",
        Kind::NodeKilled => "node killed",
        Kind::NodeRestarted => "node restarted",
        Kind::NodePaused => "node paused",
        Kind::WireCut => "wire cut",
        Kind::WireHeld => "wire held",
        Kind::QuestionsHeld => "questions held",
        Kind::AnswersHeld => "answers held",
        Kind::AnswersBroken => "answers broken",
    }
}

/// A shuffled deck of fault kinds: each kind comes once before any comes again.
struct Deck {
    kinds: &'static [Kind],
    left: Vec<Kind>,
    rounds: usize,
}

impl Deck {
    fn of(kinds: &'static [Kind]) -> Self {
        Self {
            kinds,
            left: kinds.to_vec(),
            rounds: 0,
        }
    }

    fn draw(&mut self, rng: &TestRng) -> Kind {
        let kind = self.left.swap_remove(rng.below(self.left.len()));
        if self.left.is_empty() {
            self.left = self.kinds.to_vec();
            self.rounds += 1;
        }
        kind
    }
}

/// Draws one fault, or two that overlap.
fn draw(rng: &TestRng, great: &mut Deck, small: &mut Deck) -> Vec<Fault> {
    let first = rng.below(NODES);
    let second = (first + 1 + rng.below(NODES - 1)) % NODES;
    let (with_great, with_small) = match rng.below(5) {
        0 => (true, false),
        1 => (false, true),
        _ => (true, true),
    };
    let mut faults = Vec::new();
    if with_great {
        let spared = with_small.then_some(second);
        faults.push(Fault::choose(great.draw(rng), first, spared, rng));
    }
    if with_small {
        faults.push(Fault::choose(small.draw(rng), second, None, rng));
    }
    faults
}

/// Causes great and small faults of these kinds for `lasts`, and each kind at least once. Then checks the history.
pub async fn run(fixture: Fixture, lasts: Duration, kinds: (&'static [Kind], &'static [Kind])) {
    let (rng, people) = (fixture.rng(), fixture.people());
    let (mut great, mut small) = (Deck::of(kinds.0), Deck::of(kinds.1));
    let mut slowest: BTreeMap<Kind, (Duration, Duration)> = BTreeMap::new();
    let now = || Duration::from_nanos(fixture.history.now());
    fixture.goes_on(0).await;
    while now() < lasts || great.rounds == 0 || small.rounds == 0 {
        let faults = draw(&rng, &mut great, &mut small);
        println!("{:.1?}: {faults:?}", now());
        round(&fixture, &faults, &mut slowest).await;
        sleep(Duration::from_millis(rng.below(QUIET) as u64)).await;
    }
    println!(
        "the longest from the end of a fault until all nodes are ready, and until all goes on:"
    );
    for (kind, (ready, well)) in &slowest {
        println!("  {kind:?}: {ready:.1?}, {well:.1?}");
    }
    let report = fixture.finish(people).await;
    convinces(&report, fixture.form.mode, &[kinds.0, kinds.1].concat());
}

async fn round(
    fixture: &Fixture,
    faults: &[Fault],
    slowest: &mut BTreeMap<Kind, (Duration, Duration)>,
) {
    let alone = faults.len() == 1;
    let happen = async |fault: Fault| {
        sleep(fault.delay).await;
        let from = fixture.history.now();
        let goes_on = async || {
            // A small fault of one node does not affect the others.
            if alone && fault.is_small() {
                fixture.goes_on(from).await;
            }
        };
        fault.happen(fixture, goes_on).await;
        (from, fixture.history.now())
    };
    let happened = match *faults {
        [fault] => vec![(fault, happen(fault).await)],
        [first, second] => {
            let (one, other) = tokio::join!(happen(first), happen(second));
            vec![(first, one), (second, other)]
        }
        _ => panic!("one or two"),
    };
    fixture.ready().await;
    let ready = fixture.history.now();
    // The fault is over when the service works normally again.
    let from = happened.iter().map(|(_, (from, _))| *from).max().unwrap();
    fixture.goes_on(from).await;
    let until = fixture.history.now();
    let ended = happened.iter().map(|(_, (_, ended))| *ended).max().unwrap();
    for (fault, (from, _)) in happened {
        let took = slowest.entry(fault.kind).or_default();
        took.0 = Duration::from_nanos(ready - ended).max(took.0);
        took.1 = Duration::from_nanos(until - ended).max(took.1);
        let name = name(fault.kind);
        fixture.history.record(Event::Fault { name, from, until });
    }
}

/// Asserts that nothing is wrong, and that enough happened for this to mean something.
fn convinces(report: &Report, mode: Mode, kinds: &[Kind]) {
    report.assert_clean();
    let all = report.all;
    assert_eq!(all.other, 0, "{report}");
    for kind in kinds {
        let counts = report.by_fault[name(*kind)];
        assert!(
            counts.accepted > 0 && counts.refused > 0 && counts.logouts > 0,
            "{kind:?}: {counts:?}\n{report}"
        );
    }
    assert!(report.by_fault[CALM].logouts > 0, "{report}");
    assert!(all.refused_after_logout >= all.logouts, "{report}");
    assert!(all.unavailable > 0, "{report}");
    let killed = kinds.contains(&Kind::NodeKilled);
    assert!(!killed || all.unanswered > 0, "{report}");
    if mode == Mode::Fenced {
        assert_eq!(report.latest_acceptance, None, "{report}");
    }
}
