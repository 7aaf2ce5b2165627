-- When each stream wants attention next, in microseconds since 1970.
CREATE TABLE IF NOT EXISTS timers (
    stream text   PRIMARY KEY,
    due_at bigint NOT NULL
);

CREATE INDEX IF NOT EXISTS timers_by_due ON timers (due_at, stream);
