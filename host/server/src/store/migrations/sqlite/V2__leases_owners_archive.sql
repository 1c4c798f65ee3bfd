-- `owner` is the proven identity that began the session: only it may end it. `last_seen_us` is when the
-- session was last heard of, by its own clock; after `lease_until_us`, by this machine's, nobody knows.
-- What is older gets the 30 days of a session that is never renewed.
ALTER TABLE sessions ADD COLUMN owner TEXT;
ALTER TABLE sessions ADD COLUMN last_seen_us INTEGER;
ALTER TABLE sessions ADD COLUMN lease_until_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN archived_us INTEGER;
UPDATE sessions SET lease_until_us = received_us + 30 * 86400 * 1000000;

CREATE INDEX sessions_leases ON sessions (lease_until_us) WHERE state = 'active';
CREATE INDEX sessions_finished ON sessions (end_us) WHERE archived_us IS NULL AND state <> 'active';
