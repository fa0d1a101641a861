//! The SQL statements that move a database. Each table is read from SQLite in pages (the number of rows, the last key,
//! and the rows as JSON), and written to PostgreSQL from that JSON.

/// Raises the time limits of the transaction to 60 s, because a page may be slow.
pub(super) const PATIENCE: &str = "SELECT set_config('statement_timeout', '60s', true), set_config('idle_in_transaction_session_timeout', '60s', true)";

/// Counts the tables in the schema, or returns 0 if the schema has the migration table and so belongs to Waxseal.
pub(super) const FOREIGN_TABLES: &str = "SELECT CASE WHEN bool_or(relname = '_sqlx_migrations') THEN 0 ELSE count(*) END FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = current_schema() AND relkind IN ('r', 'p', 'v', 'm', 'f')";

pub(super) const COUNTS: &str = r#"SELECT (SELECT count(*) FROM revocation), (SELECT count(*) FROM "user"), (SELECT count(*) FROM session), (SELECT count(*) FROM client), (SELECT count(*) FROM assertion)"#;
/// Counts the rows that a node or a tool leaves after working in the database.
pub(super) const OTHERS: &str = "SELECT (SELECT count(*) FROM node) + (SELECT count(*) FROM mark)";

/// Blocks every change, because each one updates the head row.
pub(super) const CLOSE: &str = "CREATE TRIGGER IF NOT EXISTS moved BEFORE UPDATE ON head BEGIN SELECT RAISE(ABORT, 'this database was moved to PostgreSQL by waxseal migrate'); END";
pub(super) const IS_CLOSED: &str =
    "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name = 'moved'";

pub(super) const REVOCATIONS: (&str, &str) = (
    r#"SELECT count(*), max(seq), json_group_array(json_object('seq', seq, 'scope', scope, 'key', key, 'from', "from", 'spared', spared, 'expires_at', expires_at, 'reason', reason, 'at', at, 'hash', hex(hash), 'grace_until', grace_until)) FROM (SELECT * FROM revocation WHERE seq > $1 ORDER BY seq LIMIT $2)"#,
    r#"INSERT INTO revocation (seq, scope, key, "from", spared, expires_at, reason, at, hash, grace_until) SELECT seq, scope, key, "from", spared, expires_at, reason, at, decode(hash, 'hex'), grace_until FROM json_to_recordset(CAST($1 AS json)) AS r (seq BIGINT, scope TEXT, key TEXT, "from" BIGINT, spared TEXT, expires_at BIGINT, reason TEXT, at BIGINT, hash TEXT, grace_until BIGINT)"#,
);

pub(super) const USERS: (&str, &str) = (
    r#"SELECT count(*), max(id), json_group_array(json_object('id', id, 'username', username, 'password_hash', password_hash, 'enabled', enabled, 'created_at', created_at, 'version', version, 'newest_lineage', newest_lineage, 'from', "from", 'spared', spared, 'password_change_required_by', password_change_required_by)) FROM (SELECT * FROM user WHERE id > $1 ORDER BY id LIMIT $2)"#,
    r#"INSERT INTO "user" (id, username, password_hash, enabled, created_at, version, newest_lineage, "from", spared, password_change_required_by) SELECT id, username, password_hash, enabled <> 0, created_at, version, newest_lineage, "from", spared, password_change_required_by FROM json_to_recordset(CAST($1 AS json)) AS r (id TEXT, username TEXT, password_hash TEXT, enabled BIGINT, created_at BIGINT, version BIGINT, newest_lineage BIGINT, "from" BIGINT, spared TEXT, password_change_required_by BIGINT)"#,
);

pub(super) const SESSIONS: (&str, &str) = (
    r#"SELECT count(*), max(lineage), json_group_array(json_object('lineage', lineage, 'user', "user", 'auth_time', auth_time, 'session_expiry', session_expiry, 'generation', generation, 'renew_at', renew_at, 'grace_until', grace_until, 'idle_end', idle_end, 'address', address, 'browser', browser, 'raised', raised, 'login_methods', login_methods)) FROM (SELECT * FROM session WHERE lineage > $1 ORDER BY lineage LIMIT $2)"#,
    r#"INSERT INTO session (lineage, "user", auth_time, session_expiry, generation, renew_at, grace_until, idle_end, address, browser, raised, login_methods) SELECT lineage, "user", auth_time, session_expiry, generation, renew_at, grace_until, idle_end, address, browser, raised, login_methods FROM json_to_recordset(CAST($1 AS json)) AS r (lineage TEXT, "user" TEXT, auth_time BIGINT, session_expiry BIGINT, generation BIGINT, renew_at BIGINT, grace_until BIGINT, idle_end BIGINT, address TEXT, browser TEXT, raised BIGINT, login_methods TEXT)"#,
);

pub(super) const CLIENTS: (&str, &str) = (
    r#"SELECT count(*), max(id), json_group_array(json_object('id', id, 'name', name, 'scopes', scopes, 'audiences', audiences, 'enabled', enabled, 'created_at', created_at, 'secret', CASE WHEN secret IS NOT NULL THEN hex(secret) END, 'former', CASE WHEN former IS NOT NULL THEN hex(former) END, 'keys', keys, 'version', version, 'newest', newest, 'from', "from")) FROM (SELECT * FROM client WHERE id > $1 ORDER BY id LIMIT $2)"#,
    r#"INSERT INTO client (id, name, scopes, audiences, enabled, created_at, secret, former, keys, version, newest, "from") SELECT id, name, scopes, audiences, enabled <> 0, created_at, decode(secret, 'hex'), decode(former, 'hex'), keys, version, newest, "from" FROM json_to_recordset(CAST($1 AS json)) AS r (id TEXT, name TEXT, scopes TEXT, audiences TEXT, enabled BIGINT, created_at BIGINT, secret TEXT, former TEXT, keys TEXT, version BIGINT, newest BIGINT, "from" BIGINT)"#,
);

pub(super) const ASSERTIONS: (&str, &str) = (
    "SELECT count(*), max(digest), json_group_array(json_object('digest', hex(digest), 'expires_at', expires_at)) FROM (SELECT * FROM assertion WHERE digest > $1 ORDER BY digest LIMIT $2)",
    "INSERT INTO assertion (digest, expires_at) SELECT decode(digest, 'hex'), expires_at FROM json_to_recordset(CAST($1 AS json)) AS r (digest TEXT, expires_at BIGINT)",
);

/// SQLite has the time of a known network in milliseconds, PostgreSQL in nanoseconds.
pub(super) const NETWORKS: (&str, &str) = (
    "SELECT count(*), max(network), json_group_array(json_object('account', hex(account), 'network', hex(network), 'seen', seen)) FROM (SELECT * FROM login_network WHERE network > $1 ORDER BY network LIMIT $2)",
    "INSERT INTO login_network (account, network, seen) SELECT decode(account, 'hex'), decode(network, 'hex'), seen * 1000000 FROM json_to_recordset(CAST($1 AS json)) AS r (account TEXT, network TEXT, seen BIGINT)",
);
