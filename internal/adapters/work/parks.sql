-- Streams that were set aside for one follower, from a revision on. Everything before it is done; nothing of the
-- stream is given to the follower until a replay has worked from that revision to the stream's end.
CREATE TABLE IF NOT EXISTS parks (
    follower      text   NOT NULL,
    stream        text   NOT NULL,
    from_revision bigint NOT NULL,
    reason        text   NOT NULL,
    tries         bigint NOT NULL,
    parked_at     bigint NOT NULL,
    retry_at      bigint NOT NULL,
    PRIMARY KEY (follower, stream)
);

CREATE INDEX IF NOT EXISTS parks_by_retry ON parks (retry_at, follower, stream);
