-- Subscriptions as lists show them, one row per version: a version holds from known_from until known_to.
-- "WHERE known_to IS NULL" is the table as it stands. No version is empty: of two changes known at the same instant
-- only the later one is kept. Times are microseconds since 1970.
CREATE TABLE IF NOT EXISTS subscription_versions (
    merchant_id     text   NOT NULL,
    subscription_id text   NOT NULL,
    number          bigint NOT NULL, -- its orders are number * 10000 + 1, 2, 3 …
    state           text   NOT NULL, -- pending, trialing, active, past_due, paused, cancelled, completed, failed
    buyer_id        text   NOT NULL,
    email           text   NOT NULL, -- of the buyer, in small letters
    external_ref    text   NOT NULL,
    connection_id   text   NOT NULL, -- through which it is charged
    mode            text   NOT NULL, -- test, live
    product_id      text   NOT NULL,
    product_name    text   NOT NULL,
    price_point     bigint NOT NULL,
    kind            text   NOT NULL, -- one_time, recurring, installments, recurring_installments
    charged_by      text   NOT NULL, -- ledger, gateway
    paid_number     bigint NOT NULL,
    payments_left   bigint NOT NULL, -- 9999 for no end
    next_amount     bigint,          -- what the next payment asks for; null if none is left
    currency        text   NOT NULL,
    next_due_at     bigint,
    next_attempt_at bigint,
    paid_through    bigint,
    cancel_at       bigint,
    cancel_reason   text   NOT NULL, -- buyer, merchant, dunning, agreement, chargeback, fraud; '' for none
    decline_code    text   NOT NULL, -- of the last failed payment; '' if the last one succeeded
    in_doubt        bigint NOT NULL, -- 1: the outcome of an attempt or a refund is unknown
    disputed        bigint NOT NULL,
    amount_mismatch bigint NOT NULL,
    created_at      bigint,
    started_at      bigint,

    -- What is not listed and decides what later events make of the row.
    paused_from         text   NOT NULL, -- the state that a pause goes back to; '' if it is not paused
    trial               bigint NOT NULL, -- 1: the first payment is an initial one
    regular_amount      bigint NOT NULL, -- what is asked for, and what for pay numbers up to introductory_until
    introductory_amount bigint NOT NULL,
    introductory_until  bigint NOT NULL,

    event_id        text   NOT NULL, -- what made this version
    known_from      bigint NOT NULL,
    known_to        bigint,
    PRIMARY KEY (merchant_id, subscription_id, known_from)
);

-- The first one serves the past, too. The others are one per filter, each in the order of the list.
CREATE INDEX IF NOT EXISTS subscriptions_by_number       ON subscription_versions (merchant_id, number, known_from);
CREATE INDEX IF NOT EXISTS subscriptions_by_state        ON subscription_versions (merchant_id, state, number) WHERE known_to IS NULL;
CREATE INDEX IF NOT EXISTS subscriptions_by_buyer        ON subscription_versions (merchant_id, buyer_id, number) WHERE known_to IS NULL;
CREATE INDEX IF NOT EXISTS subscriptions_by_email        ON subscription_versions (merchant_id, email, number) WHERE known_to IS NULL;
CREATE INDEX IF NOT EXISTS subscriptions_by_external_ref ON subscription_versions (merchant_id, external_ref, number) WHERE known_to IS NULL AND external_ref <> '';
CREATE INDEX IF NOT EXISTS subscriptions_by_connection   ON subscription_versions (merchant_id, connection_id, number) WHERE known_to IS NULL;
CREATE INDEX IF NOT EXISTS subscriptions_by_product      ON subscription_versions (merchant_id, product_id, number) WHERE known_to IS NULL;
CREATE INDEX IF NOT EXISTS subscriptions_by_due          ON subscription_versions (merchant_id, next_due_at) WHERE known_to IS NULL;
CREATE INDEX IF NOT EXISTS subscriptions_in_doubt        ON subscription_versions (merchant_id, number) WHERE known_to IS NULL AND in_doubt = 1;
CREATE INDEX IF NOT EXISTS subscriptions_disputed        ON subscription_versions (merchant_id, number) WHERE known_to IS NULL AND disputed = 1;

-- What the flags in_doubt, disputed and amount_mismatch are counted from, as it stands: attempts and refunds until
-- their outcome is known, charges of another amount until they went back, disputes, and payments with what is left of
-- them to return.
CREATE TABLE IF NOT EXISTS subscription_matters (
    merchant_id     text   NOT NULL,
    subscription_id text   NOT NULL,
    kind            text   NOT NULL, -- attempt, refund, mismatch, dispute, payment
    id              text   NOT NULL, -- <pay number>.<attempt>, the refund's, the dispute's, the payment's order
    pay_number      bigint NOT NULL, -- of an attempt; 0 for others
    order_id        bigint NOT NULL, -- of the payment that a refund or a dispute is about; 0 for others
    amount          bigint NOT NULL, -- of a refund; of a payment, what is neither returned nor charged back
    state           text   NOT NULL, -- requested, pending, unknown; open, closed
    withdrawn       bigint NOT NULL, -- 1: not sent any more, but an earlier run may have sent it
    PRIMARY KEY (merchant_id, subscription_id, kind, id)
);
