//! The SQL statements. Both SQLite and PostgreSQL accept `$1`; a few statements exist once per engine.

/// The server's time in nanoseconds at this moment, not at the begin of the transaction.
macro_rules! now {
    () => {
        "((extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000)"
    };
}

pub(super) const HEAD: &str = "SELECT seq, hash, compacted, horizon, newest_lineage, everything_from, everything_version FROM head WHERE id = 1";
/// The head, whether the server is a standby, and the server's time in milliseconds.
pub(super) const HEAD_AT_PRIMARY: &str = "SELECT seq, hash, compacted, horizon, newest_lineage, everything_from, everything_version, pg_is_in_recovery(), (extract(epoch FROM clock_timestamp()) * 1000)::bigint FROM head WHERE id = 1";
pub(super) const LOCK_HEAD: &str = "SELECT seq, hash, compacted, horizon, newest_lineage, everything_from, everything_version, pg_is_in_recovery(), (extract(epoch FROM clock_timestamp()) * 1000)::bigint FROM head WHERE id = 1 FOR UPDATE";
pub(super) const SET_HEAD: &str = "UPDATE head SET seq = $1, hash = $2, compacted = $3, horizon = $4, newest_lineage = $5, everything_from = $6, everything_version = $7 WHERE id = 1";

pub(super) const LEEWAY: &str = "SELECT leeway FROM head WHERE id = 1";
pub(super) const SET_LEEWAY: &str = "UPDATE head SET leeway = $1 WHERE id = 1";

/// Changes no row if the log was last begun with the same keys.
pub(super) const BEGIN_LOG: &str = "UPDATE head SET begun = $1 WHERE id = 1 AND begun <> $1";
pub(super) const BEGUN: &str = "SELECT begun FROM head WHERE id = 1";

/// Appends entries from a JSON list, with their hashes in hexadecimal.
pub(super) const APPEND: &str = r#"INSERT INTO revocation (seq, scope, key, "from", spared, expires_at, reason, at, hash, grace_until) SELECT value ->> 'seq', value ->> 'scope', value ->> 'key', value ->> 'from', value ->> 'spared', value ->> 'expires_at', value ->> 'reason', value ->> 'at', unhex(value ->> 'hash'), value ->> 'grace_until' FROM json_each($1)"#;
pub(super) const APPEND_AT_SERVER: &str = r#"INSERT INTO revocation (seq, scope, key, "from", spared, expires_at, reason, at, hash, grace_until) SELECT seq, scope, key, "from", spared, expires_at, reason, at, decode(hash, 'hex'), grace_until FROM json_to_recordset(CAST($1 AS json)) AS entry (seq BIGINT, scope TEXT, key TEXT, "from" BIGINT, spared TEXT, expires_at BIGINT, reason TEXT, at BIGINT, hash TEXT, grace_until BIGINT)"#;
/// Packs entries into one row: each column is one text with all its values, separated by a space, and the hashes are
/// concatenated. No value contains a space.
///
/// A row costs more to transfer than to read, and concatenating all columns into one text costs more than the rest.
pub(super) const ENTRIES: &str = r#"SELECT group_concat(seq, ' '), group_concat(scope, ' '), group_concat(key, ' '), group_concat("from", ' '), group_concat(coalesce(spared, ''), ' '), group_concat(expires_at, ' '), group_concat(reason, ' '), group_concat(at, ' '), group_concat(coalesce(grace_until, ''), ' '), CAST(group_concat(hash, '') AS BLOB) FROM revocation WHERE seq > $1 AND seq <= coalesce((SELECT seq FROM revocation WHERE seq > $1 ORDER BY seq LIMIT 1 OFFSET $2 - 1), 9223372036854775807)"#;
pub(super) const ENTRIES_AT_SERVER: &str = r#"SELECT string_agg(CAST(seq AS text), ' '), string_agg(scope, ' '), string_agg(key, ' '), string_agg(CAST("from" AS text), ' '), string_agg(coalesce(spared, ''), ' '), string_agg(CAST(expires_at AS text), ' '), string_agg(reason, ' '), string_agg(CAST(at AS text), ' '), string_agg(coalesce(CAST(grace_until AS text), ''), ' '), string_agg(hash, '') FROM (SELECT * FROM revocation WHERE seq > $1 ORDER BY seq LIMIT $2) AS entry"#;
pub(super) const EXPIRED: &str = "SELECT seq, expires_at FROM revocation WHERE seq > $1 AND expires_at <= $2 ORDER BY seq LIMIT $3";
pub(super) const DROP: &str =
    "DELETE FROM revocation WHERE seq IN (SELECT value FROM json_each($1))";
pub(super) const DROP_AT_SERVER: &str = "DELETE FROM revocation WHERE seq IN (SELECT CAST(json_array_elements_text(CAST($1 AS json)) AS BIGINT))";

pub(super) const USERS: &str = r#"SELECT id, username, enabled, created_at, password_change_required_by FROM "user" ORDER BY username"#;
pub(super) const USER: &str = r#"SELECT id, username, enabled, created_at, password_change_required_by FROM "user" WHERE username = $1"#;
pub(super) const ADD_USER: &str = r#"INSERT INTO "user" (id, username, password_hash, enabled, created_at, password_change_required_by, version, newest_lineage, "from") VALUES ($1, $2, $3, TRUE, $4, $5, 0, 0, 0) ON CONFLICT DO NOTHING"#;
pub(super) const LOGIN_USER: &str = r#"SELECT id, username, password_hash, enabled, version, password_change_required_by, "from" FROM "user" WHERE username = $1"#;
pub(super) const LOGIN_USER_BY_ID: &str = r#"SELECT id, username, password_hash, enabled, version, password_change_required_by, "from" FROM "user" WHERE id = $1"#;
pub(super) const USERNAME: &str = r#"SELECT username FROM "user" WHERE id = $1"#;
pub(super) const SESSION_USER: &str =
    r#"SELECT enabled, version, newest_lineage, "from", spared FROM "user" WHERE id = $1"#;
pub(super) const SET_NEWEST_LINEAGE: &str =
    r#"UPDATE "user" SET newest_lineage = $2 WHERE id = $1"#;
pub(super) const CUT_OFF_USER: &str =
    r#"UPDATE "user" SET version = version + 1, "from" = $2, spared = $3 WHERE id = $1"#;
pub(super) const SET_PASSWORD: &str =
    r#"UPDATE "user" SET password_hash = $2, password_change_required_by = $3 WHERE id = $1"#;
pub(super) const DISABLE_USER: &str = r#"UPDATE "user" SET enabled = FALSE WHERE id = $1"#;
pub(super) const ENABLE_USER: &str =
    r#"UPDATE "user" SET enabled = TRUE, version = version + 1 WHERE id = $1"#;
pub(super) const DELETE_USER: &str = r#"DELETE FROM "user" WHERE id = $1"#;
pub(super) const UPGRADE_HASH: &str =
    r#"UPDATE "user" SET password_hash = $3 WHERE id = $1 AND password_hash = $2"#;

pub(super) const BEGIN_SESSION: &str = r#"INSERT INTO session (lineage, "user", auth_time, session_expiry, generation, renew_at, grace_until, idle_end, address, browser, login_methods) VALUES ($1, $2, $3, $4, 0, $5, 0, $6, $7, $8, $9)"#;
pub(super) const SESSIONS: &str = r#"SELECT lineage, auth_time, session_expiry, renew_at, idle_end, address, browser, login_methods FROM session WHERE "user" = $1 AND session_expiry > $2 ORDER BY auth_time DESC, lineage DESC LIMIT 500"#;
pub(super) const GENERATION: &str = r#"SELECT generation, renew_at, grace_until, raised, login_methods FROM session WHERE lineage = $1 AND "user" = $2 AND auth_time = $3 AND session_expiry = $4"#;
pub(super) const SESSION: &str = r#"SELECT lineage, auth_time, session_expiry, renew_at, idle_end, address, browser, login_methods FROM session WHERE lineage = $1 AND "user" = $2"#;
pub(super) const RENEW: &str = "UPDATE session SET generation = $2, renew_at = $3, grace_until = $4, idle_end = $5 WHERE lineage = $1";
/// Sets `grace_until` to 0: there is no grace.
pub(super) const RAISE: &str = "UPDATE session SET generation = $2, raised = $2, renew_at = $3, grace_until = 0, idle_end = $4 WHERE lineage = $1";
pub(super) const RAISED: &str = "SELECT raised FROM session WHERE lineage = $1";
pub(super) const FORGET_SESSIONS: &str =
    "DELETE FROM session WHERE lineage IN (SELECT value FROM json_each($1))";
pub(super) const FORGET_SESSIONS_AT_SERVER: &str =
    "DELETE FROM session WHERE lineage IN (SELECT json_array_elements_text(CAST($1 AS json)))";
pub(super) const FORGET_OTHERS: &str = r#"DELETE FROM session WHERE "user" = $1 AND lineage <> $2"#;
pub(super) const FORGET_ALL: &str = "DELETE FROM session";
pub(super) const FORGET: &str = "DELETE FROM session WHERE lineage IN (SELECT lineage FROM session WHERE session_expiry <= $1 LIMIT $2)";

pub(super) const CLIENTS: &str = r#"SELECT id, name, scopes, audiences, enabled, created_at, secret, former, keys, version, newest, "from" FROM client ORDER BY name"#;
pub(super) const CLIENT: &str = r#"SELECT id, name, scopes, audiences, enabled, created_at, secret, former, keys, version, newest, "from" FROM client WHERE id = $1"#;
pub(super) const CLIENT_NAMED: &str = r#"SELECT id, name, scopes, audiences, enabled, created_at, secret, former, keys, version, newest, "from" FROM client WHERE name = $1"#;
pub(super) const ADD_CLIENT: &str = r#"INSERT INTO client (id, name, scopes, audiences, enabled, created_at, secret, keys, version, newest, "from") VALUES ($1, $2, $3, $4, TRUE, $5, $6, $7, 0, 0, 0) ON CONFLICT DO NOTHING"#;
pub(super) const CLIENT_VERSION: &str =
    r#"SELECT enabled, version, newest, "from" FROM client WHERE id = $1"#;
pub(super) const SET_NEWEST_TOKEN: &str = "UPDATE client SET newest = $2 WHERE id = $1";
pub(super) const CHANGE_CLIENT: &str =
    r#"UPDATE client SET version = version + 1, "from" = $2 WHERE id = $1"#;
pub(super) const ADD_SECRET: &str = "UPDATE client SET former = secret, secret = $2 WHERE id = $1";
pub(super) const FINISH_ROTATION: &str = "UPDATE client SET former = NULL WHERE id = $1";
pub(super) const SET_CLIENT_KEYS: &str = "UPDATE client SET keys = $2 WHERE id = $1";
pub(super) const SET_CLIENT_ENABLED: &str = "UPDATE client SET enabled = $2 WHERE id = $1";
pub(super) const DELETE_CLIENT: &str = "DELETE FROM client WHERE id = $1";
pub(super) const PRESENT: &str =
    "INSERT INTO assertion (digest, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING";
pub(super) const FORGET_ASSERTIONS: &str = "DELETE FROM assertion WHERE expires_at <= $1";

/// Ignores a heartbeat that arrives after a later one.
pub(super) const ENTER_NODE: &str = "INSERT INTO node (id, name, beat, seq, hash, bound) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO UPDATE SET name = excluded.name, beat = excluded.beat, seq = excluded.seq, hash = excluded.hash, bound = excluded.bound WHERE node.beat < excluded.beat";
pub(super) const NODES: &str = "SELECT head.seq, node.id, node.name, node.beat, node.seq, node.hash, node.bound, (node.seq = head.seq AND node.hash = head.hash) OR EXISTS (SELECT 1 FROM revocation WHERE revocation.seq = node.seq AND revocation.hash = node.hash) FROM head LEFT JOIN node ON TRUE ORDER BY node.name, node.id";
pub(super) const DISMISS_NODE: &str = "DELETE FROM node WHERE id = $1 AND beat = $2";
pub(super) const LEAVE: &str = "DELETE FROM node WHERE id = $1 AND beat <= $2";
pub(super) const RING: &str = "SELECT pg_notify('waxseal', '')";

pub(super) const MARK: &str = "SELECT seq, hash, former_seq, former_hash FROM mark WHERE id = $1";
pub(super) const SET_MARK: &str = "INSERT INTO mark (id, seq, hash, former_seq, former_hash) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, former_seq = excluded.former_seq, former_hash = excluded.former_hash";

/// GCRA (generic cell rate algorithm), exact for any number of nodes that count at once. $2 is the time that one
/// attempt takes up, and $3 is how far ahead of now the earlier attempts may reach. Returns no row if they reach
/// further. A stored time that no attempts can have produced (more than 1 s too late) was written before the clock was
/// set back, and is reduced to the maximum.
pub(super) const COUNT_LOGIN: &str = concat!(
    "INSERT INTO login_limit AS counted (key, tat) VALUES ($1, ",
    now!(),
    " + $2) ON CONFLICT (key) DO UPDATE SET tat = least(greatest(counted.tat, ",
    now!(),
    "), ",
    now!(),
    " + $3) + $2 WHERE counted.tat <= ",
    now!(),
    " + $3 OR counted.tat > ",
    now!(),
    " + $3 + $2 + 1000000000 RETURNING 1"
);
pub(super) const WAIT_FOR_LOGIN: &str = concat!(
    "SELECT tat - $2 - ",
    now!(),
    " FROM login_limit WHERE key = $1"
);
/// Takes one attempt back. $2 is the time that one attempt takes up.
pub(super) const GIVE_LOGIN_BACK: &str = "UPDATE login_limit SET tat = tat - $2 WHERE key = $1";

/// Counts a failure. Returns no row if the last failure is too recent. Below $2 failures there is no wait. At $2 the
/// wait is $3, and it doubles with each further failure, up to $4. Failures are remembered for $5. A last failure that
/// is more than 1 s in the future was written before the clock was set back, and causes no wait.
pub(super) const COUNT_FAILURE: &str = concat!(
    "INSERT INTO login_failure AS slowed (account, failures, last) VALUES ($1, 1, ",
    now!(),
    ") ON CONFLICT (account) DO UPDATE SET failures = CASE WHEN slowed.last < ",
    now!(),
    " - $5 THEN 1 ELSE slowed.failures + 1 END, last = ",
    now!(),
    " WHERE slowed.last + CASE WHEN slowed.failures < $2 THEN 0 ELSE least($4, $3 * power(2, least(slowed.failures - $2, 31)))::bigint END <= ",
    now!(),
    " OR slowed.last > ",
    now!(),
    " + 1000000000 RETURNING 1"
);
/// Returns the number of failures and the time since the last one.
pub(super) const LAST_FAILURE: &str = concat!(
    "SELECT failures, ",
    now!(),
    " - last FROM login_failure WHERE account = $1"
);
/// Takes a failure back, and makes the last one $2 old, which is the longest wait, so that the next attempt does not
/// wait. However many failures are taken back at once, no wait remains, and the other failures are remembered equally
/// long.
pub(super) const GIVE_FAILURE_BACK: &str = concat!(
    "UPDATE login_failure SET failures = failures - 1, last = ",
    now!(),
    " - $2 WHERE account = $1"
);
pub(super) const FORGIVE_FAILURES: &str = "DELETE FROM login_failure WHERE account = $1";
pub(super) const FORGET_FAILURES: &str = concat!(
    "DELETE FROM login_failure WHERE account IN (SELECT account FROM login_failure WHERE last <= ",
    now!(),
    " - $1 OR failures <= 0 LIMIT $2 FOR UPDATE SKIP LOCKED)"
);

/// Skips rows that another transaction is counting on; the next run drops them.
pub(super) const FORGET_LOGINS: &str = concat!(
    "DELETE FROM login_limit WHERE key IN (SELECT key FROM login_limit WHERE tat <= ",
    now!(),
    " - $1 LIMIT $2 FOR UPDATE SKIP LOCKED)"
);
pub(super) const FORGET_NETWORKS_OF: &str =
    "DELETE FROM login_network WHERE account = $1 AND network <> $2";
pub(super) const KNOWN_NETWORK: &str =
    "SELECT 1 FROM login_network WHERE account = $1 AND network = $2";
/// Changes nothing if the network was recorded within $3.
pub(super) const ADD_NETWORK: &str = concat!(
    "INSERT INTO login_network AS known (account, network, seen) VALUES ($1, $2, ",
    now!(),
    ") ON CONFLICT (account, network) DO UPDATE SET seen = excluded.seen WHERE known.seen < excluded.seen - $3"
);
pub(super) const FORGET_OTHER_NETWORKS: &str = "DELETE FROM login_network WHERE account = $1 AND network IN (SELECT network FROM login_network WHERE account = $1 ORDER BY seen DESC OFFSET $2)";

/// Records a network at $3, the time of the one process that writes.
pub(super) const NOTE_NETWORK: &str = "INSERT INTO login_network (account, network, seen) VALUES ($1, $2, $3) ON CONFLICT (network) DO UPDATE SET seen = max(seen, excluded.seen)";
pub(super) const DROP_OTHER_NETWORKS: &str = "DELETE FROM login_network WHERE account = $1 AND network IN (SELECT network FROM login_network WHERE account = $1 ORDER BY seen DESC LIMIT -1 OFFSET $2)";
pub(super) const OLD_NETWORK: &str = "SELECT 1 FROM login_network WHERE seen <= $1 LIMIT 1";
pub(super) const DROP_NETWORKS: &str = "DELETE FROM login_network WHERE network IN (SELECT network FROM login_network WHERE seen <= $1 LIMIT $2)";
pub(super) const KEPT_FAILURES: &str =
    "SELECT account, failures, expires_at FROM login_failure ORDER BY failures DESC LIMIT $1";
/// Stores the failures of a JSON list of accounts, with their digests in hexadecimal.
pub(super) const KEEP_FAILURES: &str = "INSERT INTO login_failure (account, failures, expires_at) SELECT unhex(value ->> 'account'), value ->> 'failures', value ->> 'expires_at' FROM json_each($1) WHERE TRUE ON CONFLICT (account) DO UPDATE SET failures = excluded.failures, expires_at = excluded.expires_at";
/// A row without failures expires at once.
pub(super) const EXPIRED_FAILURE: &str =
    "SELECT 1 FROM login_failure WHERE expires_at <= $1 LIMIT 1";
pub(super) const DROP_FAILURES: &str = "DELETE FROM login_failure WHERE account IN (SELECT account FROM login_failure WHERE expires_at <= $1 LIMIT $2)";

pub(super) const FORGET_NETWORKS: &str = concat!(
    "DELETE FROM login_network WHERE (account, network) IN (SELECT account, network FROM login_network WHERE seen <= ",
    now!(),
    " - $1 LIMIT $2 FOR UPDATE SKIP LOCKED)"
);

/// Begins a read-only transaction that sees one snapshot.
pub(super) const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
