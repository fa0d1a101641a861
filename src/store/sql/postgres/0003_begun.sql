-- 1 once a service has begun this log. Keys that a service has with a log that was not begun are older than it.
ALTER TABLE head ADD COLUMN begun BIGINT NOT NULL DEFAULT 0;
