//! Reports of revocations. With fenced logouts a command reports success once every node refuses what it revoked.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use waxseal::embedded::Logout;
use waxseal::id::NodeId;
use waxseal::report::report;
use waxseal::revocation::explain::{Explanation, NodeReport, NodeState, watch};
use waxseal::revocation::fence::{Fence, Fenced};
use waxseal::revocation::log::StoreError;
use waxseal::revocation::register::{Register, over_after};
use waxseal::store::sql::SqlStore;
use waxseal::time::{Clock, SystemClock, Timestamp};

use crate::config::Config;
use crate::failure::Failure;
use crate::output::{Output, Receipt};

/// With SQLite and bounded logouts no server registers, so the program cannot tell whether one runs.
const UNREGISTERED: &str = "a server on a SQLite file whose logouts are bounded is not entered anywhere: if one runs here it reads the log itself, and refuses within its max_staleness";

/// A committed revocation, with its report.
#[derive(Debug)]
pub struct EndedReport {
    seq: i64,
    /// The result as JSON.
    pub value: Value,
    text: String,
    see: &'static str,
    committed: Instant,
}

/// An instant, by the wall clock and by the uptime.
#[derive(Clone, Copy, Debug)]
struct Instant {
    wall: Timestamp,
    uptime: Duration,
}

impl Instant {
    fn now() -> Self {
        Self {
            wall: SystemClock.now(),
            uptime: SystemClock.uptime(),
        }
    }

    /// Converts a later uptime to the wall clock's time, rounded up to a millisecond.
    fn wall_at(self, uptime: Duration) -> Timestamp {
        let later = uptime.saturating_sub(self.uptime);
        self.wall.plus(later + Duration::from_millis(1))
    }
}

impl EndedReport {
    /// Creates the report of the entry `seq`, which was committed just now. The command `see` shows the result.
    pub fn by(seq: i64, value: Value, text: String, see: &'static str) -> Self {
        Self {
            seq,
            value,
            text,
            see,
            committed: Instant::now(),
        }
    }

    /// Reports success; with fenced logouts, once no node accepts what was revoked.
    pub async fn say(
        mut self,
        store: SqlStore,
        config: &Config,
        receipt: Receipt,
    ) -> Result<(), Failure> {
        if config.settings.logout == Logout::Fenced {
            let register: Arc<dyn Register> = Arc::new(store);
            if let Err(cause) = self.wait(register, config).await {
                if receipt.has_secret() {
                    // The secret that was shown is valid, so the result must be complete even though the wait failed.
                    receipt.finish(&self.value, &self.text, self.see)?;
                }
                return Err(self.not_known(&cause));
            }
        }
        receipt.finish(&self.value, &self.text, self.see)
    }

    async fn wait(
        &mut self,
        register: Arc<dyn Register>,
        config: &Config,
    ) -> Result<(), StoreError> {
        // This read only provides the names. The fence decides which nodes to wait for.
        let names = register.nodes().await.map(|read| read.nodes);
        let names = names.unwrap_or_default().into_iter();
        let names = names.map(|known| (known.node.id, known.node.name));
        let names = names.collect();
        let (clock, bound) = (Arc::new(SystemClock), config.settings.bound());
        let fence = Fence::new(Arc::clone(&register), clock, None, bound);
        let fenced = fence.wait(self.seq, self.committed.uptime).await?;
        self.add(&fenced, &names);
        if !config.settings.database.is_shared() {
            let nodes = register.nodes().await?.nodes;
            let known = nodes.iter().any(|node| node.has(self.seq));
            self.value["fence"]["registered"] = known.into();
            if !known {
                self.text = format!("{}\n{UNREGISTERED}", self.text);
            }
        }
        Ok(())
    }

    fn add(&mut self, fenced: &Fenced, names: &HashMap<NodeId, String>) {
        let named = |id: &NodeId| names.get(id).map_or("?", String::as_str);
        let node = |id: &NodeId| {
            let acknowledged = !fenced.expired_leases.contains(id);
            json!({ "id": id.to_string(), "name": named(id), "acknowledged": acknowledged })
        };
        let waited_for: Vec<_> = fenced.waited_for.iter().map(node).collect();
        self.value["fence"] = json!({ "ms": millis(fenced.took), "waited_for": waited_for });
        if fenced.waited_for.is_empty() {
            return;
        }
        let how = |id: &NodeId| match fenced.expired_leases.contains(id) {
            true => ", which did not answer and refuses every token until it does",
            false => "",
        };
        let who = |id: &NodeId| format!("{} {id}{}", named(id), how(id));
        let whom: Vec<_> = fenced.waited_for.iter().map(who).collect();
        self.text = format!(
            "{}\nwaited {} ms for {}",
            self.text,
            millis(fenced.took),
            whom.join("; ")
        );
    }

    fn not_known(&self, cause: &StoreError) -> Failure {
        Failure::refused(format!(
            "it IS written, as seq {}, and every node that serves will refuse; but whether each of them does by now is not known: {}. Each does within its own lease or max_staleness, or answers 503",
            self.seq,
            report(cause)
        ))
    }

    /// Waits until the answer is known, and reports which nodes have applied the revocation and when one can last have
    /// accepted what it ends.
    pub async fn explain(
        mut self,
        store: SqlStore,
        config: &Config,
        output: Output,
    ) -> Result<(), Failure> {
        let settings = &config.settings;
        // A failed output does not end the wait.
        let lost = RefCell::new(None);
        let say = |text: String| {
            if let Err(cause) = output.line(|| text) {
                lost.borrow_mut().get_or_insert(cause);
            }
        };
        say(self.text.clone());
        let (seq, committed) = (self.seq, self.committed);
        let mut explanation = Explanation::new(seq, committed.uptime);
        let tell = |known: &NodeReport| say(line(known, committed));
        let watched = watch(
            &mut explanation,
            &store,
            &SystemClock,
            settings.bound(),
            tell,
        );
        watched.await.map_err(|cause| self.not_known(&cause))?;
        let last = explanation.last_use().unwrap_or(committed.uptime);
        // The server of a database that is not shared is in the register only if its own logouts are fenced.
        let has = |known: &NodeReport| known.standing == NodeState::Applied;
        let alone = !settings.database.is_shared() && !explanation.nodes().any(has);
        let last = if alone {
            last.max(committed.uptime + over_after(settings.max_staleness))
        } else {
            last
        };
        let last = committed.wall_at(last);
        let node = |known: &NodeReport| {
            json!({
                "id": known.id.to_string(), "name": known.name, "state": known.standing.name(),
                "at_first": known.at_first.name(), "refuses_from": committed.wall_at(known.refuses_from),
            })
        };
        let nodes: Vec<_> = explanation.nodes().map(node).collect();
        self.value["explain"] = json!({
            "written_at": committed.wall, "nodes": nodes, "registered": !alone, "last_use": last,
        });
        say(summary(
            alone,
            nodes.is_empty(),
            settings.max_staleness,
            last,
        ));
        if let Some(lost) = lost.take() {
            return Err(lost.after(&self.text, self.see));
        }
        let text = if output.json { &*self.text } else { "" };
        output.receipt().finish(&self.value, text, self.see)
    }
}

fn line(known: &NodeReport, committed: Instant) -> String {
    let NodeReport { id, name, .. } = known;
    let when = committed.wall_at(known.refuses_from);
    match known.standing {
        NodeState::Applied => format!("{name} {id}: applied"),
        NodeState::Pending => format!(
            "{name} {id}: pending; refuses every token from {when} unless it has applied the revocation"
        ),
        NodeState::Expired => format!(
            "{name} {id}: lease expired; refuses every token from {when} until it has applied the revocation"
        ),
        NodeState::Departed => {
            format!("{name} {id}: departed; left the register or was removed, and no longer serves")
        }
    }
}

fn summary(alone: bool, nobody: bool, max_staleness: Duration, last: Timestamp) -> String {
    let first = if alone {
        format!("{UNREGISTERED} (here {} s)\n", max_staleness.as_secs())
    } else if nobody {
        "no node is registered: none serves\n".to_owned()
    } else {
        String::new()
    };
    format!(
        "{first}the last instant at which a node can have accepted it: {last}\nremote verifiers refuse it within their own max_staleness after it was written, or refuse everything"
    )
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
