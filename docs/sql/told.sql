-- work.db: what we told a merchant about one order, where, and how it ended.
SELECT type, endpoint_id, state, tries, last_http_status, substr(created_at, 1, 16) AS since, substr(concluded_at, 1, 16) AS ended
FROM deliveries
WHERE merchant_id = 'default' AND order_id = 10002
ORDER BY created_at, endpoint_id;
