-- views.db: who is past due, why, and when it is tried again; without a next attempt he has to give another method.
SELECT s.buyer_id, s.email, s.subscription_id, s.next_amount AS amount, s.currency,
       substr(s.next_due_at, 1, 10) AS due, p.attempts, s.decline_code, substr(s.next_attempt_at, 1, 10) AS next_attempt
FROM subscriptions AS s
JOIN pay_numbers AS p ON p.merchant_id = s.merchant_id AND p.subscription_id = s.subscription_id
                     AND p.pay_number = s.paid_number + 1
WHERE s.merchant_id = 'default' AND s.state = 'past_due'
ORDER BY s.next_due_at, s.subscription_id;
