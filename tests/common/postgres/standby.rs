//! A standby server that replicates a primary and can replace it.

use super::{Postgres, template, wait};

impl Postgres {
    /// Starts a standby that streams from this server asynchronously: it can lag behind what is committed here.
    pub fn standby(&self) -> Self {
        let standby = Self::in_folder(None);
        let copied = self
            .command("pg_basebackup")
            .arg("-D")
            .arg(standby.data())
            .args(["-U", "postgres", "-p", &self.port.to_string(), "-h"])
            .arg(self.folder.path())
            // The replication slot retains what the standby has not received, however long it is down.
            .args(["-R", "-N", "-c", "fast", "-X", "stream", "-C", "-S"])
            .arg(format!("standby_{}", standby.port))
            .output()
            .unwrap();
        assert!(copied.status.success(), "{copied:?}");
        template::close(&standby.data());
        standby.start_again();
        self.is_followed_by(&standby);
        standby
    }

    /// Waits until the standby has replayed everything committed here.
    pub fn is_followed_by(&self, standby: &Self) {
        let written = self.sql("SELECT pg_current_wal_lsn()");
        let reached = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'");
        wait("the standby has caught up", || standby.sql(&reached) == "t");
    }

    /// Sets whether a commit here is acknowledged only once a standby has it on disk.
    pub fn wait_for_standby(&self, wait_for_it: bool) {
        let names = if wait_for_it { "*" } else { "" };
        self.sql(&format!(
            "ALTER SYSTEM SET synchronous_standby_names = '{names}'; SELECT pg_reload_conf();"
        ));
        let state = if wait_for_it { "sync" } else { "async" };
        wait("the standby's part is known", || {
            self.sql("SELECT DISTINCT sync_state FROM pg_stat_replication") == state
        });
    }

    /// Stops replication on a standby: later commits of the primary do not arrive.
    pub fn stop_following(&self) {
        self.sql("ALTER SYSTEM SET primary_conninfo = ''; SELECT pg_reload_conf();");
        wait("it follows no more", || {
            self.sql("SELECT count(*) FROM pg_stat_wal_receiver") == "0"
        });
    }

    /// Promotes a standby to a primary that takes writes. The old primary is not told.
    pub fn promote(&self) {
        assert_eq!(
            self.sql("SELECT pg_promote(true, 60)"),
            "t",
            "{}",
            self.log()
        );
        wait("it takes writes", || {
            self.sql("SELECT pg_is_in_recovery()") == "f"
        });
    }
}
