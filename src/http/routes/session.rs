//! `GET /session`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::json;
use crate::claims::Claims;
use crate::http::principal::Session;
use crate::id::{MOST_BYTES, SessionId, UserId};
use crate::issuer::Issuer;
use crate::time::Timestamp;

/// A session as its owner sees it. Times are RFC 3339.
#[derive(Serialize)]
pub(super) struct SessionView {
    id: SessionId,
    created_at: Timestamp,
    idle_expires_at: Timestamp,
    renew_at: Timestamp,
    expires_at: Timestamp,
    /// The server's time, as the base of countdowns.
    now: Timestamp,
}

impl SessionView {
    pub(super) const fn new(claims: &Claims, now: Timestamp) -> Self {
        Self {
            id: claims.session_id,
            created_at: claims.auth_time,
            idle_expires_at: claims.expires_at,
            renew_at: claims.renew_at,
            expires_at: claims.session_expiry,
            now,
        }
    }
}

impl SessionView {
    /// Returns the session and its subject as JSON.
    ///
    /// Perf: an ID or a time contains nothing that JSON escapes, so this skips the search for it. That search is most
    /// of what serde does here, and clients request this often.
    fn json(&self, subject: UserId) -> String {
        let times = [
            ("created_at", self.created_at),
            ("idle_expires_at", self.idle_expires_at),
            ("renew_at", self.renew_at),
            ("expires_at", self.expires_at),
            ("now", self.now),
        ];
        let mut json = String::with_capacity(json::ROOM);
        let mut text = |before: &str, value: &str| {
            json.push_str(before);
            json.push_str(value);
        };
        text("{\"id\":\"", self.id.written(&mut [0; MOST_BYTES]));
        for (name, time) in times {
            text("\",\"", name);
            text("\":\"", &time.written(&mut [0; 24]));
        }
        text("\",\"subject\":\"", subject.written(&mut [0; MOST_BYTES]));
        text("\"}", "");
        json
    }
}

pub(super) async fn session(State(issuer): State<Arc<Issuer>>, session: Session) -> Response {
    let view = SessionView::new(session.claims(), issuer.now());
    json::answer(view.json(session.subject()))
}

#[cfg(test)]
mod tests {
    use proptest::array::uniform5;
    use proptest::prelude::*;
    use serde_json::to_string;

    use super::*;
    use crate::id::Lineage;
    use crate::random::SeededRandom;

    proptest! {
        #[test]
        fn the_json_equals_that_of_serde(
            seed: u64,
            generation: u32,
            times in uniform5(prop_oneof![0..253_402_300_800_000_i64, any::<i64>()]),
        ) {
            let random = SeededRandom::new(seed);
            let at = |index: usize| Timestamp::from_millis(times[index]);
            let lineage = Lineage::new(at(0), &random);
            let view = SessionView {
                id: SessionId { lineage, generation },
                created_at: at(0),
                idle_expires_at: at(1),
                renew_at: at(2),
                expires_at: at(3),
                now: at(4),
            };
            let subject = UserId::new(at(4), &random);
            let rest = format!(r#","subject":"{subject}"}}"#);
            let expected = to_string(&view).unwrap().replace('}', &rest);
            prop_assert_eq!(view.json(subject), expected);
        }
    }
}
