-- The deliveries view; see View.
SELECT
    d.delivery_id,
    d.merchant_id,
    d.endpoint_id,
    d.subscription_id,
    d.order_id,
    d.type,
    d.state,
    d.tries,
    utc(d.next_try_at) AS next_try_at,
    NULLIF(d.last_http_status, 0) AS last_http_status,
    NULLIF(d.last_error, '') AS last_error,
    utc(d.created_at) AS created_at,
    utc(d.concluded_at) AS concluded_at,
    d.event_id
FROM known AS d
