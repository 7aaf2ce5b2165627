-- Endpoints as far as the deliveries projection needs them: who hears of what.
CREATE TABLE IF NOT EXISTS delivery_endpoints (
    merchant_id  text   NOT NULL,
    endpoint_id  text   NOT NULL,
    types        bigint NOT NULL, -- bit n: the type of number n; 0: all types
    disabled     bigint NOT NULL,
    born_commit  bigint NOT NULL, -- where the endpoint's creation stands in the log
    born_prepare bigint NOT NULL,
    pos_commit   bigint NOT NULL, -- and where its last change does
    pos_prepare  bigint NOT NULL,
    PRIMARY KEY (merchant_id, endpoint_id)
);

-- One row per notification and endpoint. The projection inserts it and the senders carry it to its end; how it ended
-- is an event, so that rows made anew end as these did. Times are microseconds since 1970.
CREATE TABLE IF NOT EXISTS delivery_rows (
    delivery_id      text   PRIMARY KEY, -- webhook-id
    merchant_id      text   NOT NULL,
    endpoint_id      text   NOT NULL,
    subscription_id  text   NOT NULL,
    endpoint_stream  text   NOT NULL,
    delivery_stream  text   NOT NULL, -- one per endpoint and subscription: within it, rows are sent in order
    event_id         text   NOT NULL,
    stream           text   NOT NULL, -- of the event
    revision         bigint NOT NULL,
    pos_commit       bigint NOT NULL,
    pos_prepare      bigint NOT NULL,
    endpoint_commit  bigint NOT NULL, -- the endpoint as it was when it heard of the event
    endpoint_prepare bigint NOT NULL,
    type             text   NOT NULL, -- sale, rebill, failed, refund, partial_refund, chargeback, cancellation
    order_id         bigint NOT NULL,
    state            text   NOT NULL, -- pending, sending, delivered, gave_up, disabled
    tries            bigint NOT NULL,
    next_try_at      bigint,          -- only while pending; null while an earlier row of its stream is not concluded
    lease_owner      text   NOT NULL, -- while sending: who does, and until when nobody else may
    lease_until      bigint NOT NULL,
    last_http_status bigint NOT NULL,
    last_error       text   NOT NULL,
    created_at       bigint NOT NULL,
    concluded_at     bigint
);

-- What may be sent, per endpoint; what is not concluded, per pair; what somebody is sending.
CREATE INDEX IF NOT EXISTS deliveries_due     ON delivery_rows (endpoint_stream, next_try_at, pos_commit, pos_prepare) WHERE next_try_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS deliveries_open    ON delivery_rows (delivery_stream, revision) WHERE concluded_at IS NULL;
CREATE INDEX IF NOT EXISTS deliveries_sending ON delivery_rows (lease_until) WHERE state = 'sending';

-- One index per filter, each in the order of the list.
CREATE INDEX IF NOT EXISTS deliveries_by_time         ON delivery_rows (merchant_id, pos_commit, pos_prepare, delivery_id);
CREATE INDEX IF NOT EXISTS deliveries_by_endpoint     ON delivery_rows (merchant_id, endpoint_id, pos_commit, pos_prepare, delivery_id);
CREATE INDEX IF NOT EXISTS deliveries_by_subscription ON delivery_rows (merchant_id, subscription_id, pos_commit, pos_prepare, delivery_id);
CREATE INDEX IF NOT EXISTS deliveries_by_order        ON delivery_rows (merchant_id, order_id, pos_commit, pos_prepare, delivery_id);

-- One row per sending, written before the first byte goes out. Only the senders write here.
CREATE TABLE IF NOT EXISTS delivery_tries (
    delivery_id text   NOT NULL,
    number      bigint NOT NULL,
    started_at  bigint NOT NULL,
    http_status bigint NOT NULL, -- 0: there was no answer
    error       text   NOT NULL,
    took_ms     bigint NOT NULL,
    response    text   NOT NULL, -- how the answer began
    PRIMARY KEY (delivery_id, number)
);
