-- The merchants' books: one row per posting, its entry is the event that made it. Rows are inserted and never changed;
-- within an entry, and so within each book (merchant, mode, currency), sum(debit) = sum(credit).
-- "WHERE known_at <= t" is the table as it was known at t. Times are microseconds since 1970.
CREATE TABLE IF NOT EXISTS journal_postings (
    entry_id        text   NOT NULL, -- the event's id
    line            bigint NOT NULL, -- from 1
    merchant_id     text   NOT NULL,
    subscription_id text   NOT NULL,
    order_id        bigint NOT NULL, -- 0 if it belongs to none, as money in suspense
    event_type      text   NOT NULL, -- payment_succeeded, refund_succeeded, …
    mode            text   NOT NULL, -- test, live
    account         text   NOT NULL, -- gateway:<connection>, sales, shipping, tax_payable, discounts, refunds, chargebacks, gateway_fees, losses, suspense:<connection>
    currency        text   NOT NULL,
    debit           bigint NOT NULL, -- minor units; of debit and credit one is 0
    credit          bigint NOT NULL,
    occurred_at     bigint NOT NULL, -- the entry date
    recorded_at     bigint NOT NULL,
    known_at        bigint NOT NULL,
    pos_commit      bigint NOT NULL, -- the event's position: what occurred at the same instant stands in this order
    pos_prepare     bigint NOT NULL,
    PRIMARY KEY (entry_id, line)
);

-- One index per filter, each in the order of the list.
CREATE INDEX IF NOT EXISTS journal_by_time         ON journal_postings (merchant_id, occurred_at, pos_commit, pos_prepare, entry_id);
CREATE INDEX IF NOT EXISTS journal_by_account      ON journal_postings (merchant_id, account, occurred_at, pos_commit, pos_prepare, entry_id, line);
CREATE INDEX IF NOT EXISTS journal_by_subscription ON journal_postings (merchant_id, subscription_id, occurred_at, pos_commit, pos_prepare, entry_id);
CREATE INDEX IF NOT EXISTS journal_by_order        ON journal_postings (merchant_id, order_id, occurred_at, pos_commit, pos_prepare, entry_id) WHERE order_id <> 0;
-- For the last of them, up to which a statement is read.
CREATE INDEX IF NOT EXISTS journal_by_position     ON journal_postings (merchant_id, pos_commit, pos_prepare);

-- What only the beginning of a subscription says: in which book it stands, and which connection is meant by an event
-- that names none.
CREATE TABLE IF NOT EXISTS journal_subscriptions (
    merchant_id     text NOT NULL,
    subscription_id text NOT NULL,
    connection_id   text NOT NULL,
    mode            text NOT NULL,
    PRIMARY KEY (merchant_id, subscription_id)
);
