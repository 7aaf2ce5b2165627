// Package stripe charges through Stripe. Requests are worded and addressed by Stripe's own library, under the API
// version that it is pinned to; every byte goes out through gateway.Exchange, once, so that what was sent and what was
// not stays distinguishable. The library's retries and telemetry are off.
//
// # Payments
//
// A payment is a PaymentIntent (https://docs.stripe.com/api/payment_intents), created and confirmed by one request; its
// id is the charge's reference. A stored method is charged off session. The first payment is on session: Charge.Token is
// a PaymentMethod or a ConfirmationToken that Stripe's script made in the buyer's browser, a customer is made for it,
// and setup_future_usage keeps it. An amount of 0 is a SetupIntent. With neither token nor method the buyer is sent to a
// Checkout Session, whose page stays open if he turns back: Abandon expires it. A stored method is known as
// "cus_…/pm_…", because Stripe charges one only together with its customer; one that is imported has to be given so too.
//
// A payment that the buyer has to authenticate is Pending with the client secret for Stripe's script, and with an address
// if Stripe has one. If the buyer fails, the look-up that finds it cancels the intent before it says Rejected: whoever
// still holds the secret could pay it later.
//
// # Keys
//
// The ledger's key is the Idempotency-Key and stands in the metadata, with the merchant, subscription, pay number and
// attempt. Stripe answers a repeated key with its first answer for at least 24 hours, an internal error included
// (https://docs.stripe.com/api/idempotent_requests). A 500 is therefore Unknown and stays so; only a look-up ends it.
//
// A look-up reads the lists of what was created since the key was asked for, and compares metadata. Lists show at once
// what was written, the search API only after a while (https://docs.stripe.com/search#data-freshness); so a list without
// the key proves that nothing was executed until now, and after Traits.Horizon that nothing will be. It costs a request
// for every hundred objects of the account, at most maxPages of them.
//
// # Refunds and disputes
//
// A refund is an object of its own, named by its key in the metadata; the cumulative charge.amount_refunded is not
// needed, and charge.refunded is ignored in favour of refund.created, .updated and .failed. A payment that has not
// settled yet is refunded by the same request, so there is no void. Inquiries (warning_…) are disputes in which no money
// has moved.
//
// A refund's or dispute's webhook names its payment by id and nothing else of ours, and a detached method names its
// customer: Complete asks Stripe for the rest. A webhook that was lost is found in the list of events, where Stripe keeps
// it for 30 days; an account that took our access away is the one thing that cannot be learned there.
//
// # Connections
//
// A merchant connects his account by his consent on Stripe's page (https://docs.stripe.com/connect/oauth-reference): from
// then on the platform's key acts for it, named by its id, and nothing of his is kept that opens anything. Or he gives a
// secret key of his own. Either key is sent to Stripe alone, whatever address a connection names. The platform's endpoint
// gets the events of all its accounts; Route tells them apart.
package stripe
