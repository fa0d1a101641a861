//! A clock that is set back revives nothing that had expired by it, and shuts nobody out.

use std::time::Duration;

use super::common::{House, START};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn what_had_expired_stays_dead_when_the_clock_is_set_back() {
    for restarted in [false, true] {
        let house = House::new().await;
        house.add_user("alice").await;
        let first = house.login("alice").await;
        assert_eq!(house.verify(&first).await, 200);
        // It ends after 15 minutes of idleness.
        house.pass(16 * MINUTE).await;
        assert_eq!(house.verify(&first).await, 401);

        let house = if restarted {
            // As the service does every minute: it keeps how far the clock has got.
            house.waxseal.compact().await.unwrap();
            house.clock.step_to(START.plus(6 * MINUTE));
            house.restart(|_| {}).await
        } else {
            house.clock.step_to(START.plus(6 * MINUTE));
            house
        };
        assert_eq!(house.verify(&first).await, 401, "restarted: {restarted}");
        let second = house.login("alice").await;
        assert_eq!(house.verify(&second).await, 200, "restarted: {restarted}");

        // What began while the clock was back is no safer from a second step.
        house.pass(16 * MINUTE).await;
        assert_eq!(house.verify(&second).await, 401);
        house.clock.step_to(START.plus(12 * MINUTE));
        for token in [&first, &second] {
            assert_eq!(house.verify(token).await, 401, "restarted: {restarted}");
        }
        let third = house.login("alice").await;
        assert_eq!(house.verify(&third).await, 200, "restarted: {restarted}");
    }
}
