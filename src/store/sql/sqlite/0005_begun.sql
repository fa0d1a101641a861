-- Tells the keys with which a service has begun this log; 0 before that. Keys that a service has with a log that was
-- not begun with them are older than it.
ALTER TABLE head ADD COLUMN begun INTEGER NOT NULL DEFAULT 0;
