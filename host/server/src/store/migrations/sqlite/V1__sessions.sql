-- One row per session. Times are microseconds since 1970-01-01T00:00:00Z, from the events' own clock;
-- `received_us` and `end_received_us` are this machine's clock when the event was stored.
CREATE TABLE sessions (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    session_id        TEXT    NOT NULL UNIQUE,
    event_id          TEXT    NOT NULL UNIQUE,
    correlation_id    TEXT,
    session_type      TEXT    NOT NULL,
    component_name    TEXT    NOT NULL,
    shell_type        TEXT    NOT NULL,
    pid               INTEGER NOT NULL,
    username          TEXT    NOT NULL,
    home              TEXT    NOT NULL,
    hostname          TEXT    NOT NULL,
    python_version    TEXT    NOT NULL,
    platform          TEXT    NOT NULL,
    working_directory TEXT    NOT NULL,
    metadata          TEXT    NOT NULL,
    start_us          INTEGER NOT NULL,
    received_us       INTEGER NOT NULL,
    state             TEXT    NOT NULL CHECK (state IN ('active', 'ended', 'crashed', 'lost')),
    end_us            INTEGER,
    end_event_id      TEXT,
    end_metadata      TEXT,
    end_received_us   INTEGER,
    exit_status       INTEGER,
    exit_reason       TEXT,
    CHECK ((state = 'active') = (end_us IS NULL))
) STRICT;

CREATE INDEX sessions_newest ON sessions (start_us, id);
CREATE INDEX sessions_by_component ON sessions (component_name, start_us, id);
CREATE INDEX sessions_by_correlation ON sessions (correlation_id) WHERE correlation_id IS NOT NULL;
CREATE INDEX sessions_active ON sessions (start_us, id) WHERE state = 'active';
