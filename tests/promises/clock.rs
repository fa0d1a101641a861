//! A clock that is set back revives nothing that had expired by it, and refuses no new login.

use std::time::Duration;

use super::common::{START, TestServer};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn expired_tokens_stay_refused_when_the_clock_is_set_back() {
    // Small and large steps. A session that begins after the clock is corrected may end before the time that the clock
    // had shown.
    let hours = 60 * MINUTE;
    for (ahead, restarted) in [
        (16 * MINUTE, false),
        (16 * MINUTE, true),
        (10 * hours, false),
        (10 * hours, true),
    ] {
        let server = TestServer::new().await;
        server.add_user("alice").await;
        let first = server.login("alice").await;
        assert_eq!(server.verify(&first).await, 200);
        // The session ends after 15 minutes of idleness.
        server.pass(ahead).await;
        assert_eq!(server.verify(&first).await, 401);

        let server = if restarted {
            // The service persists the latest time of its clock every minute, and when it stops.
            if ahead == 16 * MINUTE {
                server.waxseal.leave().await;
            } else {
                server.waxseal.compact().await.unwrap();
            }
            server.clock.step_to(START.plus(6 * MINUTE));
            server.restart(|_| {}).await
        } else {
            server.clock.step_to(START.plus(6 * MINUTE));
            server
        };
        assert_eq!(
            server.verify(&first).await,
            401,
            "{ahead:?}, restarted: {restarted}"
        );
        let second = server.login("alice").await;
        assert_eq!(
            server.verify(&second).await,
            200,
            "{ahead:?}, restarted: {restarted}"
        );

        // What began while the clock was set back is not protected from a second step either.
        server.pass(16 * MINUTE).await;
        assert_eq!(server.verify(&second).await, 401);
        server.clock.step_to(START.plus(12 * MINUTE));
        for token in [&first, &second] {
            assert_eq!(
                server.verify(token).await,
                401,
                "{ahead:?}, restarted: {restarted}"
            );
        }
        let third = server.login("alice").await;
        assert_eq!(
            server.verify(&third).await,
            200,
            "{ahead:?}, restarted: {restarted}"
        );
    }
}
