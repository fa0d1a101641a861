//! The clients, the nodes and the checker together, without faults.

use std::sync::Arc;
use std::time::Duration;

use super::super::checker::{Report, Rule, Terms, check};
use super::super::history::{Event, History, Mode};
use super::super::load::{Load, Plan, client, ready};
use super::super::nodes::Nodes;
use super::super::token_forge::TestRng;

const MAX_STALENESS: Duration = Duration::from_secs(1);

fn users() -> Vec<String> {
    ["alice", "bob", "carol"].map(str::to_owned).to_vec()
}

fn plan(steps: usize) -> Plan {
    Plan {
        mode: Mode::Bounded,
        max_staleness: MAX_STALENESS,
        callers: 6,
        users: users(),
        patience: Duration::from_secs(10),
        think: Duration::from_millis(5),
        steps,
    }
}

fn read(history: &History, nodes: usize) -> Report {
    let terms = Terms {
        nodes,
        max_staleness: MAX_STALENESS,
    };
    let report = check(&history.events(), terms);
    println!("{report}");
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_that_is_paused_killed_and_restarted_keeps_every_promise() {
    let (_, seed) = TestRng::new();
    let nodes = Nodes::start(
        &["sqlite".to_owned()],
        &[("WAXSEAL_MAX_STALENESS", "1s")],
        &users(),
    );
    let history = Arc::new(History::new());
    let load = Load::start(nodes.sites(), plan(usize::MAX), &history, seed);
    let seen = async |what: &str, is_it: fn(&Event) -> bool| {
        let before = history.events().len();
        for _ in 0..3000 {
            if history.events()[before..]
                .iter()
                .filter(|event| is_it(event))
                .count()
                >= 5
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("never: {what}");
    };
    let logouts = |event: &Event| matches!(event, Event::Logout { call, .. } if call.succeeded());
    let failures =
        |event: &Event| matches!(event, Event::Verification { call, .. } if call.status.is_none());
    let faulted = |name, from| {
        let until = history.now();
        history.record(Event::Fault { name, from, until });
    };
    let node = &nodes.0[0];

    seen("logouts", logouts).await;
    let from = history.now();
    node.pause();
    tokio::time::sleep(2 * MAX_STALENESS).await;
    node.resume();
    faulted("paused", from);
    seen("logouts after a pause", logouts).await;
    let from = history.now();
    node.kill();
    seen("broken connections", failures).await;
    node.start();
    faulted("killed", from);
    ready(&client(Duration::from_secs(10)), &node.site()).await;
    seen("logouts after a kill", logouts).await;
    node.terminate();
    assert_eq!(node.log(), "", "nobody is there");
    node.start();
    assert!(node.says("listening on http://127.0.0.1:"));
    seen("logouts after a restart", logouts).await;
    let metrics = client(Duration::from_secs(10)).get(&node.metrics).send();
    assert_eq!(metrics.await.unwrap().status(), 200);
    load.finish().await;

    let report = read(&history, 1);
    report.assert_clean();
    let (all, killed) = (report.all, report.by_fault["killed"]);
    assert!(
        all.logins > 5 && all.logouts >= 20 && all.accepted > 0,
        "{all:?}"
    );
    assert!(all.refused_after_logout >= all.logouts, "{all:?}");
    assert!(killed.unanswered > 0, "{killed:?}");
    assert_eq!(all.other, 0, "{all:?}");
}

/// Two services with the same keys and separate logs, which two nodes must never be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_checker_finds_nodes_that_do_not_share_their_log() {
    let (_, seed) = TestRng::new();
    let nodes = Nodes::prepare(&["sqlite".to_owned(), "sqlite".to_owned()], &[], &users());
    // Both get a log, and know the same users.
    let [first, second] = [0, 1].map(|node| nodes.0[node].place.path());
    for folder in ["data", "mark"] {
        let done = std::process::Command::new("cp")
            .arg("-a")
            .args([first.join(folder), second.to_owned()])
            .status();
        assert!(done.unwrap().success());
    }
    for node in &nodes.0 {
        node.start();
    }
    let history = Arc::new(History::new());
    for mode in [Mode::Bounded, Mode::Fenced] {
        let mut load = Load::start(nodes.sites(), Plan { mode, ..plan(20) }, &history, seed);
        load.run_out().await;
        load.finish().await;
    }
    let report = read(&history, 2);
    assert_eq!(
        report.broken(),
        [Rule::Fenced, Rule::Bounded, Rule::Lost].into()
    );
}
