// Package payabl charges through payabl., the acquirer that was powercash21 and powerpay21 before.
//
// # What it does
//
// A stored method is charged by payment_authorize with recurring_id, the id of the transaction that the buyer's consent
// was given in: of a card's first payment on payabl.'s own page, or of a PayPal billing agreement. Card numbers never come
// through here, so a new buyer is always sent away, to PayPal, by payment_preauthorize. What he does there is one of two:
//
//   - With recurring_id INIT he approves a billing agreement. Its success, 145006, takes no money: the first payment is a
//     second call, payment_authorize, and is made when FindCharge sees the approval.
//   - A payment after which nothing is charged any more (Charge.Once) asks for no agreement. His approval reserves the
//     money, and FindCharge captures it.
//
// Both end at a deadline of ours, for payabl. names none: after it FindCharge takes nothing any more, and gives a
// reservation back.
//
// # What payabl. does not do
//
// It knows no idempotency: a request sent twice is two payments, but for PayPal agreements, where it declines an order id
// that it has seen. So every request carries an order id derived from our key, and whoever may have sent one asks first.
// It keeps no key of ours with a refund: FindRefund counts those of the same amount. It answers no signature, and that of
// a notification leaves out the order id and the amount: Complete asks for both before anything is believed. It tells of no
// chargeback: List does, and is to be asked every day.
//
// Refunds made at payabl.'s own desk are not listed. tx_diagnose lists refunds without a name, those that we asked for
// among them, by the payment and the day of the booking alone. One of ours that is under way, or in doubt, cannot be told
// from one of the same amount that was made at the desk, and told as made there it would return the same money twice in
// the books. FindRefund errs the other way: it takes one made at the desk for ours, and then money has gone back, once.
//
// # A connection
//
// Account is the merchantid; Secret is the account's one secret, which also signs notifications, so that WebhookSecret is
// of no use here; URL, if set, is the address of the back office with its path, as payabl. sends it to a merchant who goes
// live. The secret goes to payabl. alone: that of a live connection never to a sandbox, and that of a test connection only
// there or to this machine. The public sandbox is told of an invented buyer, because everybody can look into it.
package payabl
