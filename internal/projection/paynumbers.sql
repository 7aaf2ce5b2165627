-- The payments of a subscription by number, one row per version: a version holds from known_from until known_to.
-- "WHERE known_to IS NULL" is the table as it stands. No version is empty: of two changes known at the same instant
-- only the later one is kept. Times are microseconds since 1970.
CREATE TABLE IF NOT EXISTS pay_number_versions (
    merchant_id     text   NOT NULL,
    subscription_id text   NOT NULL,
    pay_number      bigint NOT NULL,
    state           text   NOT NULL, -- requested, pending, in_doubt, declined, not_charged, paid, mismatch
    attempts        bigint NOT NULL, -- how many were made so far
    reattempt       bigint NOT NULL, -- the dunning step
    full_amount     bigint NOT NULL,
    base_amount     bigint NOT NULL,
    discount_amount bigint NOT NULL,
    shipping_amount bigint NOT NULL,
    tax_amount      bigint NOT NULL,
    currency        text   NOT NULL,
    due_at          bigint,
    next_attempt_at bigint,
    paid_at         bigint,
    order_id        bigint NOT NULL, -- the order that paid it; 0 while unpaid
    decline_code    text   NOT NULL,
    event_id        text   NOT NULL, -- what made this version
    known_from      bigint NOT NULL,
    known_to        bigint,
    PRIMARY KEY (merchant_id, subscription_id, pay_number, known_from)
);

CREATE INDEX IF NOT EXISTS pay_numbers_by_state ON pay_number_versions (merchant_id, state, subscription_id, pay_number) WHERE known_to IS NULL;
CREATE INDEX IF NOT EXISTS pay_numbers_by_due   ON pay_number_versions (merchant_id, due_at) WHERE known_to IS NULL;
