//! The kinds of faults.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::super::common::postgres::Postgres;
use super::super::common::wire::{Delay, State};
use super::super::nodes::Node;
use super::super::token_forge::TestRng;
use super::BOUND;
use super::fixture::Fixture;

/// The kind of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    DatabaseKilled,
    DatabaseDown,
    DatabaseHung,
    DatabaseSlow,
    DatabaseFull,
    DatabaseReadOnly,
    ConnectionsEnded,
    NodeKilled,
    NodeRestarted,
    NodePaused,
    WireCut,
    WireHeld,
    QuestionsHeld,
    AnswersHeld,
    AnswersBroken,
}

/// Faults of the database, and of nodes that need it to start. Two of these never overlap.
pub const GREAT: [Kind; 9] = [
    Kind::DatabaseKilled,
    Kind::DatabaseDown,
    Kind::DatabaseHung,
    Kind::DatabaseSlow,
    Kind::DatabaseFull,
    Kind::DatabaseReadOnly,
    Kind::ConnectionsEnded,
    Kind::NodeKilled,
    Kind::NodeRestarted,
];

/// Faults of one node that keeps running. They may happen at any time.
pub const SMALL: [Kind; 6] = [
    Kind::NodePaused,
    Kind::WireCut,
    Kind::WireHeld,
    Kind::QuestionsHeld,
    Kind::AnswersHeld,
    Kind::AnswersBroken,
];

/// A fault, with all its random parameters.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub kind: Kind,
    /// The node, if the fault affects one node.
    pub node: usize,
    /// The node whose wire is spared, if the fault affects all wires.
    pub spared: Option<usize>,
    /// The delay from the start of the round to the start of the fault.
    pub delay: Duration,
    pub lasts: Duration,
    some: usize,
}

fn millis(rng: &TestRng, from: Duration, to: Duration) -> Duration {
    let most = usize::try_from((to - from).as_millis()).unwrap();
    from + Duration::from_millis(rng.below(most + 1) as u64)
}

impl Fault {
    pub fn choose(kind: Kind, node: usize, spared: Option<usize>, rng: &TestRng) -> Self {
        let second = Duration::from_secs(1);
        let (from, to) = match kind {
            Kind::DatabaseDown => (second, 10 * second),
            Kind::DatabaseKilled | Kind::NodeKilled | Kind::NodeRestarted => {
                (Duration::ZERO, 2 * second)
            }
            Kind::ConnectionsEnded => (Duration::ZERO, second / 10),
            // Mostly longer than a node may use what it knows.
            Kind::DatabaseHung | Kind::NodePaused => (BOUND, BOUND + 2 * second),
            _ => (second, BOUND + 2 * second),
        };
        Self {
            kind,
            node,
            spared,
            delay: millis(rng, Duration::ZERO, second),
            lasts: millis(rng, from, to),
            some: rng.below(400),
        }
    }

    /// Whether the other nodes keep serving as usual.
    pub fn is_small(&self) -> bool {
        SMALL.contains(&self.kind)
    }

    /// Causes the fault. It ends no earlier than `goes_on` returns.
    pub async fn happen(&self, fixture: &Fixture, goes_on: impl AsyncFnOnce()) {
        let lasts = async || {
            sleep(self.lasts).await;
            goes_on().await;
        };
        match self.kind {
            Kind::DatabaseKilled => {
                at(fixture, Postgres::kill).await;
                lasts().await;
                at(fixture, Postgres::start_again).await;
            }
            Kind::DatabaseDown => {
                at(fixture, Postgres::stop).await;
                lasts().await;
                at(fixture, Postgres::start_again).await;
            }
            Kind::DatabaseHung => {
                at(fixture, Postgres::pause).await;
                lasts().await;
                at(fixture, Postgres::resume).await;
            }
            Kind::DatabaseFull => {
                at(fixture, |database| database.take_room_of_owner(true)).await;
                lasts().await;
                at(fixture, |database| database.take_room_of_owner(false)).await;
            }
            Kind::DatabaseReadOnly => {
                at(fixture, |database| database.read_only(true)).await;
                lasts().await;
                at(fixture, |database| database.read_only(false)).await;
            }
            Kind::ConnectionsEnded => {
                at(fixture, Postgres::end_connections).await;
                lasts().await;
            }
            Kind::NodeKilled => {
                self.at_node(fixture, Node::kill).await;
                lasts().await;
                self.at_node(fixture, Node::start).await;
            }
            Kind::NodeRestarted => {
                self.at_node(fixture, Node::terminate).await;
                lasts().await;
                self.at_node(fixture, Node::start).await;
            }
            Kind::NodePaused => {
                self.at_node(fixture, Node::pause).await;
                lasts().await;
                self.at_node(fixture, Node::resume).await;
            }
            Kind::DatabaseSlow
            | Kind::WireCut
            | Kind::WireHeld
            | Kind::QuestionsHeld
            | Kind::AnswersHeld
            | Kind::AnswersBroken => {
                self.wires(fixture, self.state());
                lasts().await;
                self.wires(fixture, State::Whole);
            }
        }
    }

    fn wires(&self, fixture: &Fixture, state: State) {
        let all = self.kind == Kind::DatabaseSlow;
        for (number, wire) in fixture.wires.iter().enumerate() {
            if (all && Some(number) != self.spared) || (!all && number == self.node) {
                wire.set(state);
            }
        }
    }

    fn state(&self) -> State {
        let most = Duration::from_millis(self.some as u64);
        match self.kind {
            Kind::DatabaseSlow => State::Slow {
                questions: Delay::up_to(most),
                answers: Delay::up_to(most),
            },
            Kind::WireCut => State::Cut,
            Kind::WireHeld => State::Held,
            Kind::QuestionsHeld => State::QuestionsHeld,
            Kind::AnswersHeld => State::AnswersHeld,
            Kind::AnswersBroken => State::BreaksAfter(1 + self.some),
            _ => State::Whole,
        }
    }

    async fn at_node(&self, fixture: &Fixture, act: impl FnOnce(&Node) + Send + 'static) {
        let node = fixture.node(self.node);
        spawn_blocking(move || act(&node)).await.unwrap();
    }
}

async fn at<T: Send + 'static>(
    fixture: &Fixture,
    act: impl FnOnce(&Postgres) -> T + Send + 'static,
) -> T {
    let database = Arc::clone(&fixture.database);
    spawn_blocking(move || act(&database)).await.unwrap()
}
