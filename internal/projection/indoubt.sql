-- Every attempt and refund that still waits for its outcome; the row goes when the outcome comes. Those with a
-- doubt_since are in doubt. Times are microseconds since 1970.
CREATE TABLE IF NOT EXISTS open_intents (
    merchant_id     text   NOT NULL,
    subscription_id text   NOT NULL,
    intent          text   NOT NULL, -- payment:<pay number>.<attempt> or refund:<id>
    pay_number      bigint NOT NULL,
    attempt         bigint NOT NULL, -- 0 for a refund
    refund_id       text   NOT NULL, -- '' for an attempt
    parent_id       bigint NOT NULL, -- the order that is refunded; 0 for an attempt
    sent            bigint NOT NULL, -- 1: it was heard of as pending or unknown, and so it went out, or may have
    withdrawn       bigint NOT NULL, -- 1: not sent any more, but an earlier run may have sent it
    doubt_since     bigint,
    why             text   NOT NULL,
    PRIMARY KEY (merchant_id, subscription_id, intent)
);

CREATE INDEX IF NOT EXISTS open_intents_in_doubt
    ON open_intents (doubt_since, merchant_id, subscription_id, intent) WHERE doubt_since IS NOT NULL;
