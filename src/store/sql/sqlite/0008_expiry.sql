-- Expired failures are found without a scan of the whole table.
CREATE INDEX login_failure_by_expiry ON login_failure (expires_at);
