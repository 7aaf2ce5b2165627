-- The orders view; see View.
SELECT
    o.order_id,
    o.merchant_id,
    o.subscription_id,
    o.type,
    CASE
        WHEN o.type = 'failed' THEN 'failed'
        WHEN o.type NOT IN ('sale', 'rebill') THEN 'done'
        WHEN o.charged_back > 0 THEN 'charged_back'
        WHEN o.returned <= 0 THEN 'paid'
        WHEN o.returned < o.full_amount THEN 'partially_refunded'
        ELSE 'refunded'
    END AS status,
    o.currency,
    o.cash_effect AS cash_effect_minor,
    decimal(o.cash_effect, o.currency) AS cash_effect,
    o.full_amount AS full_amount_minor,
    decimal(o.full_amount, o.currency) AS full_amount,
    o.base_amount AS base_amount_minor,
    decimal(o.base_amount, o.currency) AS base_amount,
    o.discount_amount AS discount_amount_minor,
    decimal(o.discount_amount, o.currency) AS discount_amount,
    o.shipping_amount AS shipping_amount_minor,
    decimal(o.shipping_amount, o.currency) AS shipping_amount,
    o.tax_amount AS tax_amount_minor,
    decimal(o.tax_amount, o.currency) AS tax_amount,
    CASE WHEN o.type IN ('sale', 'rebill') THEN o.returned END AS returned_minor,
    CASE WHEN o.type IN ('sale', 'rebill') THEN decimal(o.returned, o.currency) END AS returned,
    NULLIF(o.pay_number, 0) AS pay_number,
    NULLIF(o.attempt, 0) AS attempt,
    o.reattempt,
    NULLIF(o.parent_id, 0) AS parent_id,
    NULLIF(o.original_id, 0) AS original_id,
    o.connection_id,
    o.mode,
    NULLIF(o.gateway_reference, '') AS gateway_reference,
    o.buyer_id,
    o.product_id,
    o.price_point,
    NULLIF(o.external_ref, '') AS external_ref,
    CASE o.late WHEN 0 THEN 'no' ELSE 'yes' END AS late,
    NULLIF(o.decline_code, '') AS decline_code,
    utc(o.occurred_at) AS occurred_at,
    utc(o.recorded_at) AS recorded_at,
    utc(o.known_at) AS known_at,
    o.event_id
FROM (
    SELECT p.*,
        COALESCE((SELECT -SUM(c.cash_effect) FROM known AS c
            WHERE c.parent_id = p.order_id AND c.parent_id <> 0), 0) AS returned,
        COALESCE((SELECT SUM(CASE c.type WHEN 'chargeback' THEN 1 WHEN 'chargeback_reversed' THEN -1 ELSE 0 END)
            FROM known AS c WHERE c.parent_id = p.order_id AND c.parent_id <> 0), 0) AS charged_back
    FROM known AS p
) AS o
