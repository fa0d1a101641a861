-- The first generation that a change of the session left alive at once, such as its user's new password; 0 if there
-- was none. An earlier generation that is presented again is refused, and is no sign of theft.
ALTER TABLE session ADD COLUMN raised INTEGER NOT NULL DEFAULT 0;

-- Until when the user must have changed the initial password, in milliseconds since 1970: the password is dead from
-- then on. NULL once it was changed.
ALTER TABLE "user" ADD COLUMN password_change_required_by INTEGER;
