-- What gateways sent us, as it came: written before the gateway gets its answer, read afterwards. A row stays when it
-- is done, so that a redelivery is known; its header and body do not. retry_at is null once it is done, or set aside:
-- then it has a reason, and is whole. body_sha256 is empty for what we asked for ourselves.
CREATE TABLE IF NOT EXISTS webhooks (
    id          bigint NOT NULL PRIMARY KEY,
    merchant    text   NOT NULL,
    connection  text   NOT NULL,
    gateway     text   NOT NULL,
    message_id  text   NOT NULL,
    received_at bigint NOT NULL,
    header      text   NOT NULL,
    body        bytea  NOT NULL,
    body_sha256 text   NOT NULL,
    tries       bigint NOT NULL,
    reason      text   NOT NULL,
    retry_at    bigint,
    UNIQUE (merchant, connection, message_id)
);

CREATE INDEX IF NOT EXISTS webhooks_by_retry ON webhooks (retry_at, id) WHERE retry_at IS NOT NULL;

CREATE INDEX IF NOT EXISTS webhooks_not_done ON webhooks (id) WHERE reason <> '' OR retry_at IS NOT NULL;

-- The messages that speak of nothing of ours, and since when that is known. Like those that were set aside they are
-- whole, but not for ever.
CREATE TABLE IF NOT EXISTS webhooks_unmatched (
    id    bigint NOT NULL PRIMARY KEY,
    since bigint NOT NULL
);

CREATE INDEX IF NOT EXISTS webhooks_unmatched_by_since ON webhooks_unmatched (since);
