-- The journal view; see View.
SELECT
    j.entry_id,
    j.line,
    j.merchant_id,
    j.subscription_id,
    NULLIF(j.order_id, 0) AS order_id,
    j.event_type,
    j.mode,
    j.account,
    j.currency,
    j.debit AS debit_minor,
    decimal(j.debit, j.currency) AS debit,
    j.credit AS credit_minor,
    decimal(j.credit, j.currency) AS credit,
    utc(j.occurred_at) AS occurred_at,
    utc(j.recorded_at) AS recorded_at,
    utc(j.known_at) AS known_at
FROM known AS j
