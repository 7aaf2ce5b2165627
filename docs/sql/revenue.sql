-- views.db: revenue by month, net of refunds and chargebacks.
SELECT substr(occurred_at, 1, 7) AS month, currency,
       SUM(CASE WHEN type IN ('sale', 'rebill') THEN cash_effect_minor ELSE 0 END) AS sold,
       SUM(CASE WHEN type IN ('refund', 'partial_refund', 'refund_reversed') THEN cash_effect_minor ELSE 0 END) AS refunded,
       SUM(CASE WHEN type IN ('chargeback', 'chargeback_reversed') THEN cash_effect_minor ELSE 0 END) AS charged_back,
       SUM(cash_effect_minor) AS net
FROM orders
WHERE merchant_id = 'default'
GROUP BY substr(occurred_at, 1, 7), currency
ORDER BY month, currency;
