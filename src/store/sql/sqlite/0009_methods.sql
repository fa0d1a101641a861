-- The methods of the login (RFC 8176), separated by a space. A server that does not know the column begins sessions with
-- a password alone.
ALTER TABLE session ADD COLUMN login_methods TEXT NOT NULL DEFAULT 'pwd';
