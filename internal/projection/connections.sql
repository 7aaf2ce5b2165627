-- Every connection, so that it is found by its account and by the day until which it is charged through. What else is
-- known of it stands in its stream. Times are microseconds since 1970.
CREATE TABLE IF NOT EXISTS connections (
    merchant_id   text   NOT NULL,
    connection_id text   NOT NULL,
    gateway       text   NOT NULL,
    account       text   NOT NULL, -- the gateway's own id of the account; '' as long as nobody knows it
    state         text   NOT NULL, -- pending, active, needs_update, expired, disconnected, refused
    update_by     bigint,          -- null for no such day
    created_at    bigint NOT NULL,
    PRIMARY KEY (merchant_id, connection_id)
);

CREATE INDEX IF NOT EXISTS connections_by_account   ON connections (gateway, account);
CREATE INDEX IF NOT EXISTS connections_by_update_by ON connections (update_by, merchant_id, connection_id) WHERE update_by IS NOT NULL;
