//! The metrics of a remote verifier.

use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use super::liar::{Answers, Liar};
use super::service::until;

/// Reads a metric by its name, and by its label if it has one.
fn read(snapshotter: &Snapshotter, name: &str, label: Option<&str>) -> Option<f64> {
    let metrics = snapshotter.snapshot().into_vec();
    let found = metrics.into_iter().find(|(key, ..)| {
        let label_is = |label| key.key().labels().any(|known| known.value() == label);
        key.key().name() == name && label.is_none_or(label_is)
    });
    found.map(|(.., value)| match value {
        DebugValue::Counter(count) => count as f64,
        DebugValue::Gauge(value) => value.into_inner(),
        DebugValue::Histogram(_) => panic!("{name} is a histogram"),
    })
}

// One thread, so that only this test's recorder receives the metrics.
#[tokio::test]
async fn a_verifier_that_cannot_prove_its_freshness_says_so_in_its_metrics() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let liar = Liar::new().await;
    let token = liar.server.login("alice").await;
    let fresh = async || read(&snapshotter, "waxseal_list_fresh", None) == Some(1.0);
    until("it says that it is fresh", fresh).await;
    assert!(liar.is_good(&token));
    // The service itself, in this process too, verifies the reader's tokens, and is never stale.
    let refusals = || read(&snapshotter, "waxseal_verifications_total", Some("stale"));
    assert_eq!(refusals(), Some(0.0));

    liar.answer(Answers::Never);
    liar.pass(Duration::from_secs(5)).await;
    assert!(liar.is_stale(&token));
    assert_eq!(refusals(), Some(1.0));
    let stale = async || read(&snapshotter, "waxseal_list_fresh", None) == Some(0.0);
    until("it says that it is stale", stale).await;
    // Taking a snapshot resets the counters, so one snapshot must show both names.
    let failed = async || {
        let metrics = snapshotter.snapshot().into_vec();
        let names = metrics.iter().filter_map(|(key, ..)| {
            let is_failed = key.key().labels().any(|label| label.value() == "failed");
            is_failed.then(|| key.key().name().to_owned())
        });
        let names: Vec<_> = names.collect();
        let both = [
            "waxseal_remote_feed_requests_total",
            "waxseal_remote_questions_total",
        ];
        both.iter()
            .all(|name| names.iter().any(|known| known == name))
    };
    until("it says that nobody answers", failed).await;

    liar.answer(Answers::Truth);
    until("it says that it is fresh again", fresh).await;
    assert!(liar.is_good(&token));
}
