// Package sandbox is a payment gateway to play and to test with: Server is the gateway, a real HTTP server whose
// tokens choose what goes wrong, and Gateway is the adapter that calls it like any other.
//
// The server is the truth about money in tests. It keeps a book of its own, durable before it answers, and knows
// nothing of the ledger. It asks for no password: an account's name opens it, so it must never hold real money.
//
// # Requests
//
// Bodies are JSON; money is {"currency_code": "USD", "minor_units": 4700}; times are RFC 3339. Whatever fails
// answers {"error": {"code", "message"}}.
//
//	PUT    /v1/accounts/{account}                            {webhook_secret, processor, notify_url}
//	POST   /v1/accounts/{account}/charges                    {key, amount, token | method | neither, notify_url, return_url, cancel_url, expires_at, metadata}
//	GET    /v1/accounts/{account}/charges?key=…              {charges: […]}
//	GET    /v1/accounts/{account}/charges/{charge}
//	POST   /v1/accounts/{account}/charges/{charge}/cancel    {}: ends it while it is pending
//	POST   /v1/accounts/{account}/charges/{charge}/disputes  {id, stage, amount, fee, reason, outcome}
//	POST   /v1/accounts/{account}/charges/{charge}/refunds   {amount, reason}: at the sandbox's own desk
//	POST   /v1/accounts/{account}/payments                   {amount, token | method | neither, metadata}: by itself
//	POST   /v1/accounts/{account}/refunds                    {key, charge, amount}
//	GET    /v1/accounts/{account}/refunds?key=…              {refunds: […]}
//	POST   /v1/accounts/{account}/methods/{method}/revoke    the buyer ends the agreement
//	GET    /v1/accounts/{account}/events?from=…&to=…         {events: [{id, at, body}], next}: what webhooks told
//	POST   /v1/accounts/{account}/faults                     {operation: charge | refund | lookup | list | webhook | any, step, times}
//	DELETE /v1/accounts/{account}/faults
//	GET    /v1/book?account=…                                {charges, refunds, disputes}: all that ever happened
//	GET    /redirect/{charge}                                a page with buttons
//	POST   /redirect/{charge}?result=approve|decline|cancel  what they do; approve takes &token=, the stored method's script
//
// An account that was never put is answered with 401. Metadata is {merchant, subscription, pay_number, attempt}. A
// charge is pending, succeeded, failed (with a decline) or expired; a refund also reversed. Every success carries a
// fee of 2.9 % and 30 minor units. An amount of 0 stores the method and moves nothing. A charge with neither token
// nor method is a redirect: pending for 72 hours, until expires_at, or until it is cancelled, and expired then. A buyer
// who presses Cancel is sent to cancel_url, and that is all: the charge stays pending until it is cancelled.
//
// A dispute's stages are inquiry, opened, funds_withdrawn, funds_reinstated and closed (with the outcome won, lost
// or inquiry_closed). With the processor PayPal a method has no card digits but an agreement_id.
//
// # By itself
//
// A gateway does things that nobody asked it for. A payment of a schedule of its own is taken when it is told to, at
// once, on a stored method or a token's, or, with neither, on the agreement that the buyer of metadata.subscription
// has with it. It stands in the book as a charge with an empty key; its method's script goes on with it, but only what
// a step says of the money counts: declined, settled, disputed, how refunds go. A refund at the desk returns an amount
// of any charge, or all that is left, under an empty key. Disputes of such charges are opened as of any other. Charges
// and refunds with an empty key are listed by ?key=.
//
// # Keys
//
// A request that says its key in the header Idempotency-Key too is answered, for 24 hours, like the first with that
// key: the same bytes, an internal error included (so a repeated 500 proves nothing), but an answer that never
// arrived arrives. Other parameters are refused with 409, key_reused; the addresses do not count as parameters.
// After 24 hours, without the header, or with ServerConfig.NoKeys, the request is carried out again: who does not
// look first charges twice, and the book shows it. Requests of one key never run at once.
//
// # Scripts
//
// A token is "tok_" and steps joined by "-" or ",". It becomes a stored method; each new key charged to the method
// takes the next step, and the last one repeats. A key keeps its step. The same token of the same subscription is
// the same method, until it is revoked. Unknown tokens are refused.
//
//	ok                  charged
//	soft, hard, buyer_action  declined so
//	stop                declined for good: the buyer stopped all payments (advice 21)
//	lost                the agreement is gone, for all charges to come
//	timeout_charged     charged, and no answer until the caller gives up
//	timeout_uncharged   not charged, no answer
//	timeout_later       no answer; nothing to be found for 5 minutes, then charged
//	reset_charged, reset_uncharged    the connection is cut
//	500_charged, 500_uncharged        an internal error
//	unavailable         503, not charged
//	html                charged, but the answer is a web page with status 200
//	truncated           charged, but the answer breaks off
//	duplicate           charged, but answered "duplicate" with the charge's id
//	duplicate_unnamed, duplicate_of_nothing    the same without an id; the second is not charged
//	in_progress         409 on the key's first call, as if another one ran, then ok
//	rate_limited        429 on the key's first call, then ok
//	unauthorized        401 on the key's first call, then ok
//	pending_ok, pending_fail, pending_expire   pending; decided after 5 minutes, or at once on its redirect page
//	mismatch, mismatch_currency       charged one unit too much, in another currency
//	settled             charged, and paid out in another currency
//	late                declined, and an hour later charged after all
//	dispute             charged; a day later disputed and withdrawn, with a fee of 1500 minor units
//	webhook_twice       charged, and told by the same webhook twice
//	refund_…            charged; each refund then does what follows: fails, fails_later (reversed after a day),
//	                    pending_ok, pending_fail, timeout_charged, 500_uncharged, html, duplicate, …
//
// Where the step is ok, an amount of 4000.01 to 4000.11 (minor units 400001 …) chooses instead: soft, hard,
// buyer_action, stop, lost, pending_ok, timeout_charged, timeout_uncharged, 500_charged, mismatch, dispute.
// Faults come before scripts, and use up none of their steps.
//
// # Webhooks
//
// What changes after the answer is told to the charge's notify_url, or its account's: {id, type, account,
// subscription, …} with the types charge.updated {key}, refund.updated {key}, dispute.updated {dispute}, agreement.ended
// {code, method}, and of what it did by itself payment.made {payment} and refund.made {refund}: the charge and the
// refund as they are answered. A dispute and a refund name their charge by its id and its key. The header Sandbox-Signature is t=<unix time>,v1=<hex HMAC-SHA256 of t + "." + body>, the time
// being the sandbox's. A webhook is stored first and repeated with growing pauses until it is taken with 2xx; the
// id stays. They come in any order. The fault of the operation webhook is lost: it is never sent.
//
// All that webhooks tell, or would have told, also stands in the list of events: of a time from ≤ t < to, the oldest
// first, 100 on a page; &after= is the next of the page before.
package sandbox
