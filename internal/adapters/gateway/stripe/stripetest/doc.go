// Package stripetest is Stripe as far as the ledger's adapter uses it: a server with a memory, written from Stripe's
// published API reference (https://docs.stripe.com/api), that misbehaves on demand. It shares no code with the adapter.
//
// It checks the secret key and the account, the parameters' names, and the rules that join them; it honours
// Idempotency-Key as documented; it keeps customers, payment methods, intents, sessions, refunds and disputes, and makes
// an event of each change. A platform's accounts give it their consent, and take it back; none knows of another's objects,
// and what becomes of one that has taken it back is what the OAuth reference says
// (https://docs.stripe.com/connect/oauth-reference). Nothing moves before it is asked to: there is no clock but the given one.
//
// # Payment methods
//
// What is done with a payment is chosen by its payment method. Stripe's own names for tests
// (https://docs.stripe.com/testing) work, as far as Cards knows them; besides, "pm_x_" and a Step, which spoils the
// payment, and "pm_x_refund_" and a Step, which spoils its refunds. An attached method goes on as it began, until it
// Becomes another.
package stripetest
