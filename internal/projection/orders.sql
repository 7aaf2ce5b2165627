-- One row per transaction as the merchant sees it. Rows are inserted and never changed: what became of an order is the
-- sum of the rows that name it as their parent. A plain SELECT sum(cash_effect) is right, and
-- "WHERE known_at <= t" is the table as it was known at t. Times are microseconds since 1970.
CREATE TABLE IF NOT EXISTS order_rows (
    order_id          bigint PRIMARY KEY,
    merchant_id       text   NOT NULL,
    subscription_id   text   NOT NULL,
    type              text   NOT NULL, -- sale, rebill, failed, refund, partial_refund, refund_reversed, chargeback, chargeback_reversed, cancellation
    full_amount       bigint,          -- full = base - discount + shipping + tax, positive; null on a cancellation
    base_amount       bigint,
    discount_amount   bigint,
    shipping_amount   bigint,
    tax_amount        bigint,
    currency          text   NOT NULL,
    cash_effect       bigint NOT NULL, -- what it did to the merchant's money: negative for refunds and chargebacks
    pay_number        bigint NOT NULL,
    attempt           bigint NOT NULL,
    reattempt         bigint NOT NULL,
    parent_id         bigint NOT NULL, -- 0 for none
    original_id       bigint NOT NULL,
    connection_id     text   NOT NULL,
    mode              text   NOT NULL, -- test, live
    gateway_reference text   NOT NULL,
    buyer_id          text   NOT NULL,
    product_id        text   NOT NULL,
    price_point       bigint NOT NULL,
    external_ref      text   NOT NULL,
    late              bigint NOT NULL, -- 1: charged after a decline or after the end
    decline_code      text   NOT NULL,
    occurred_at       bigint NOT NULL,
    recorded_at       bigint NOT NULL,
    known_at          bigint NOT NULL,
    event_id          text   NOT NULL,
    position          text   NOT NULL
);

-- One index per filter, each in the order of the list.
CREATE INDEX IF NOT EXISTS orders_by_time         ON order_rows (merchant_id, occurred_at, order_id);
CREATE INDEX IF NOT EXISTS orders_by_type         ON order_rows (merchant_id, type, occurred_at, order_id);
CREATE INDEX IF NOT EXISTS orders_by_subscription ON order_rows (merchant_id, subscription_id, occurred_at, order_id);
CREATE INDEX IF NOT EXISTS orders_by_buyer        ON order_rows (merchant_id, buyer_id, occurred_at, order_id);
CREATE INDEX IF NOT EXISTS orders_by_external_ref ON order_rows (merchant_id, external_ref, occurred_at, order_id) WHERE external_ref <> '';
CREATE INDEX IF NOT EXISTS orders_by_reference    ON order_rows (merchant_id, gateway_reference, occurred_at, order_id) WHERE gateway_reference <> '';
CREATE INDEX IF NOT EXISTS orders_by_parent       ON order_rows (parent_id) WHERE parent_id <> 0;

-- What only the beginning of a subscription says and every order repeats. The connection is the first one: an order
-- has the one that its event names.
CREATE TABLE IF NOT EXISTS subscription_facts (
    merchant_id     text   NOT NULL,
    subscription_id text   NOT NULL,
    buyer_id        text   NOT NULL,
    connection_id   text   NOT NULL,
    mode            text   NOT NULL,
    product_id      text   NOT NULL,
    price_point     bigint NOT NULL,
    external_ref    text   NOT NULL,
    currency        text   NOT NULL,
    PRIMARY KEY (merchant_id, subscription_id)
);
