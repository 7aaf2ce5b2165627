-- views.db: who is past due, why, and when it is tried again.
SELECT f.buyer_id, p.subscription_id, p.pay_number, p.full_amount, p.currency,
       substr(p.due_at, 1, 10) AS due, p.attempts, p.decline_code, substr(p.next_attempt_at, 1, 10) AS next_attempt
FROM pay_numbers AS p
JOIN orders AS f ON f.merchant_id = p.merchant_id AND f.subscription_id = p.subscription_id
                AND f.type = 'failed' AND f.pay_number = p.pay_number AND f.attempt = p.attempts
WHERE p.merchant_id = 'default' AND p.state = 'declined' AND p.next_attempt_at IS NOT NULL
ORDER BY p.due_at, p.subscription_id;
