//! Ages are computed when they are read, even if the task that should renew the item has stopped.

use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder};

use super::common::TestServer;

#[tokio::test]
async fn the_age_of_a_list_grows_while_nothing_refreshes_it() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    // A single thread, so that only this test's recorder receives the metrics.
    let _guard = metrics::set_default_local_recorder(&recorder);
    // No maintenance runs, as if its task hung.
    let server = TestServer::new().await;
    let read = async |name: &str| {
        server.waxseal.measure().await;
        let metrics = snapshotter.snapshot().into_vec();
        let found = metrics
            .into_iter()
            .find(|(key, ..)| key.key().name() == name);
        match found.unwrap().3 {
            DebugValue::Gauge(value) => value.into_inner(),
            other => panic!("{name} is not a gauge: {other:?}"),
        }
    };
    assert_eq!(read("waxseal_list_age_seconds").await, 0.0);
    let key_age = read("waxseal_signing_key_age_seconds").await;
    server.clock.advance(Duration::from_millis(4999));
    assert_eq!(read("waxseal_list_age_seconds").await, 4.999);
    assert_eq!(read("waxseal_list_fresh").await, 1.0);
    server.clock.advance(Duration::from_millis(1));
    assert_eq!(read("waxseal_list_age_seconds").await, 5.0);
    assert_eq!(read("waxseal_list_fresh").await, 0.0);
    assert_eq!(read("waxseal_signing_key_age_seconds").await, key_age + 5.0);
    server.clock.advance(Duration::from_secs(3600));
    assert_eq!(read("waxseal_list_age_seconds").await, 3605.0);
    server.waxseal.catch_up().await.unwrap();
    assert_eq!(read("waxseal_list_age_seconds").await, 0.0);
    assert_eq!(read("waxseal_list_fresh").await, 1.0);
}
