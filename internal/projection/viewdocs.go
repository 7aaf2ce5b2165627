package projection

import _ "embed"

// The SELECTs of the views that analysts open, each beside what its columns mean.

//go:embed orders.view.sql
var ordersSelect string

func ordersView() View {
	return View{
		Name:    "orders",
		About:   "One row per transaction as the merchant sees it: each sale, rebill, failure, refund, chargeback and cancellation.",
		Select:  ordersSelect,
		Table:   "order_rows",
		History: Insertions,
		Key:     []string{"order_id"},
		Columns: []Column{
			{"order_id", Integer, "The order: the subscription's number times 10,000 and a count. Unique in the ledger."},
			{"merchant_id", Text, "The merchant whose order it is."},
			{"subscription_id", Text, "The subscription that it belongs to."},
			{"type", Text, "sale, rebill, failed, refund, partial_refund, refund_reversed, chargeback, chargeback_reversed or cancellation."},
			{"status", Text, "Of a payment: paid, partially_refunded, refunded or charged_back; failed; done for everything else."},
			{"currency", Text, "ISO 4217 code of all amounts of the row. Amounts of two currencies are never to be added."},
			{"cash_effect_minor", Integer, "What the order did to the merchant's money, in minor units: negative for refunds and chargebacks, 0 for what moved none. SUM of it is revenue net of them."},
			{"cash_effect", Decimal, "The same as decimal text."},
			{"full_amount_minor", Integer, "The whole amount, always positive: base - discount + shipping + tax. NULL for a cancellation."},
			{"full_amount", Decimal, "The same as decimal text."},
			{"base_amount_minor", Integer, "The price before discount, shipping and tax."},
			{"base_amount", Decimal, "The same as decimal text."},
			{"discount_amount_minor", Integer, "What was taken off."},
			{"discount_amount", Decimal, "The same as decimal text."},
			{"shipping_amount_minor", Integer, "Shipping."},
			{"shipping_amount", Decimal, "The same as decimal text."},
			{"tax_amount_minor", Integer, "Tax."},
			{"tax_amount", Decimal, "The same as decimal text."},
			{"returned_minor", Integer, "Of a payment: what was refunded or charged back of it and not reversed. NULL for everything else."},
			{"returned", Decimal, "The same as decimal text."},
			{"pay_number", Integer, "The position of the payment in the subscription, from 1; NULL if the order is about no payment."},
			{"attempt", Integer, "The try at charging that pay number; never repeats. NULL if it was none."},
			{"reattempt", Integer, "The dunning step: 0 on the due day, then 1, 2, 3."},
			{"parent_id", Integer, "The order that was returned, for refunds and chargebacks and their reversals."},
			{"original_id", Integer, "The subscription's first order."},
			{"connection_id", Text, "The merchant's account at the gateway."},
			{"mode", Text, "test or live."},
			{"gateway_reference", Text, "What the gateway calls it."},
			{"buyer_id", Text, "The merchant's id of the buyer."},
			{"product_id", Text, "What was sold."},
			{"price_point", Integer, "At which of its prices."},
			{"external_ref", Text, "The merchant's own reference of the subscription."},
			{"late", Text, "yes if it was charged after a decline or after the end of the subscription, else no."},
			{"decline_code", Text, "Why a payment failed, in the gateway's word."},
			{"occurred_at", Instant, "When it happened, by the gateway's clock: the date of the books."},
			{"recorded_at", Instant, "When the ledger wrote it down."},
			{"known_at", Instant, "From when on every report has it: what --as-of goes by."},
			{"event_id", Text, "The event that made it."},
		},
	}
}

//go:embed paynumbers.view.sql
var payNumbersSelect string

func payNumbersView() View {
	return View{
		Name:    "pay_numbers",
		About:   "One row per payment of a subscription, by number, as it stands: what is due, tried, declined, paid.",
		Select:  payNumbersSelect,
		Table:   "pay_number_versions",
		History: Versions,
		Key:     []string{"merchant_id", "subscription_id", "pay_number"},
		Columns: []Column{
			{"merchant_id", Text, "The merchant whose subscription it is."},
			{"subscription_id", Text, "The subscription."},
			{"pay_number", Integer, "The position of the payment in it, from 1. Paid at most once."},
			{"state", Text, "requested, pending, in_doubt (nobody knows yet whether it was charged), declined, not_charged, paid or mismatch."},
			{"attempts", Integer, "How many tries were made so far."},
			{"reattempt", Integer, "The dunning step: 0 on the due day, then 1, 2, 3."},
			{"currency", Text, "ISO 4217 code of all amounts of the row."},
			{"full_amount_minor", Integer, "What is asked for, in minor units: base - discount + shipping + tax."},
			{"full_amount", Decimal, "The same as decimal text."},
			{"base_amount_minor", Integer, "The price before discount, shipping and tax."},
			{"base_amount", Decimal, "The same as decimal text."},
			{"discount_amount_minor", Integer, "What is taken off."},
			{"discount_amount", Decimal, "The same as decimal text."},
			{"shipping_amount_minor", Integer, "Shipping."},
			{"shipping_amount", Decimal, "The same as decimal text."},
			{"tax_amount_minor", Integer, "Tax."},
			{"tax_amount", Decimal, "The same as decimal text."},
			{"due_at", Instant, "When it was due."},
			{"next_attempt_at", Instant, "When it is tried again; NULL if it is not."},
			{"paid_at", Instant, "When it was paid; NULL while it is not."},
			{"order_id", Integer, "The order that paid it; NULL while it is not."},
			{"decline_code", Text, "Why the last try failed, in the gateway's word."},
			{"known_from", Instant, "Since when it stands like this: what --as-of goes by."},
			{"event_id", Text, "The event that made it so."},
		},
	}
}

//go:embed subscriptions.view.sql
var subscriptionsSelect string

func subscriptionsView() View {
	return View{
		Name:    "subscriptions",
		About:   "One row per subscription as it stands: who pays what for what, how far he has come, and what is next.",
		Select:  subscriptionsSelect,
		Table:   "subscription_versions",
		History: Versions,
		Key:     []string{"merchant_id", "subscription_id"},
		Columns: []Column{
			{"subscription_id", Text, "The subscription."},
			{"merchant_id", Text, "The merchant whose subscription it is."},
			{"number", Integer, "Its number; its orders are number times 10,000 and a count."},
			{"state", Text, "pending, trialing, active, past_due, paused, cancelled, completed or failed."},
			{"buyer_id", Text, "The merchant's id of the buyer."},
			{"email", Text, "The buyer's e-mail, in small letters."},
			{"external_ref", Text, "The merchant's own reference of it."},
			{"connection_id", Text, "The account through which it is charged now."},
			{"mode", Text, "test or live."},
			{"product_id", Text, "What was sold."},
			{"product_name", Text, "What it is called."},
			{"price_point", Integer, "At which of its prices."},
			{"kind", Text, "one_time, recurring, installments or recurring_installments."},
			{"charged_by", Text, "ledger, or gateway if the gateway runs the schedule."},
			{"paid_number", Integer, "The highest pay number that is paid; 0 before the first."},
			{"payments_left", Integer, "How many payments of the plan, or of its running cycle, are to come; NULL if there is no end."},
			{"currency", Text, "ISO 4217 code of its amounts."},
			{"next_amount_minor", Integer, "What the next payment asks for, in minor units; NULL if none is left."},
			{"next_amount", Decimal, "The same as decimal text."},
			{"next_due_at", Instant, "When the next payment is, or was, due; NULL if none is left."},
			{"next_attempt_at", Instant, "When the ledger charges it by itself; NULL if it does not, as in a pause or after a hard decline."},
			{"paid_through", Instant, "Until when the buyer is entitled; NULL for ever, or if he never was."},
			{"cancel_at", Instant, "When a scheduled cancellation takes effect; NULL if there is none."},
			{"cancel_reason", Text, "buyer, merchant, dunning, agreement, chargeback or fraud; NULL if it is not cancelled."},
			{"decline_code", Text, "Why the open payment was declined last, in the gateway's word; NULL if it was not."},
			{"in_doubt", Text, "yes while the outcome of an attempt or a refund is unknown, else no."},
			{"disputed", Text, "yes while a dispute is open, else no."},
			{"amount_mismatch", Text, "yes while a charge of another amount is not resolved, else no."},
			{"created_at", Instant, "When the ledger first knew of it."},
			{"started_at", Instant, "When its first payment succeeded; NULL before."},
			{"known_from", Instant, "Since when it stands like this: what --as-of goes by."},
			{"event_id", Text, "The event that made it so."},
		},
	}
}

//go:embed journal.view.sql
var journalSelect string

func journalView() View {
	return View{
		Name:    "journal",
		About:   "One row per posting of the merchants' books. SUM of debits is SUM of credits in each entry, and so in each merchant's book of a mode and a currency.",
		Select:  journalSelect,
		Table:   "journal_postings",
		History: Insertions,
		Key:     []string{"entry_id", "line"},
		Columns: []Column{
			{"entry_id", Text, "The entry: the id of the event that made it."},
			{"line", Integer, "The posting in its entry, from 1."},
			{"merchant_id", Text, "Whose book it is."},
			{"subscription_id", Text, "The subscription whose event it was."},
			{"order_id", Integer, "The order that the posting belongs to; NULL for money in suspense."},
			{"event_type", Text, "payment_succeeded, refund_succeeded, dispute_funds_withdrawn and so on."},
			{"mode", Text, "test or live; never to be added."},
			{"account", Text, "gateway:<connection>, sales, shipping, tax_payable, discounts, refunds, chargebacks, gateway_fees, losses or suspense:<connection>."},
			{"currency", Text, "ISO 4217 code; amounts of two currencies are never to be added."},
			{"debit_minor", Integer, "In minor units; of debit and credit one is 0."},
			{"debit", Decimal, "The same as decimal text."},
			{"credit_minor", Integer, "In minor units."},
			{"credit", Decimal, "The same as decimal text."},
			{"occurred_at", Instant, "The entry date: when it happened, by the gateway's clock."},
			{"recorded_at", Instant, "When the ledger wrote it down."},
			{"known_at", Instant, "From when on every report has it: what --as-of goes by."},
		},
	}
}

//go:embed deliveries.view.sql
var deliveriesSelect string

func deliveriesView() View {
	return View{
		Name:    "deliveries",
		About:   "One row per notification and endpoint: what merchants were told, or are still to be told.",
		Select:  deliveriesSelect,
		Table:   "delivery_rows",
		History: NoHistory,
		Key:     []string{"delivery_id"},
		Columns: []Column{
			{"delivery_id", Text, "The webhook-id that every try carries."},
			{"merchant_id", Text, "Who is told."},
			{"endpoint_id", Text, "Where."},
			{"subscription_id", Text, "The subscription that it is about."},
			{"order_id", Integer, "The order that it is about."},
			{"type", Text, "sale, rebill, failed, refund, partial_refund, chargeback or cancellation."},
			{"state", Text, "pending, sending, delivered, gave_up, or disabled: the endpoint was, before it was told."},
			{"tries", Integer, "How often it was sent so far."},
			{"next_try_at", Instant, "When it is sent next; NULL if it is not, or waits for the one before it."},
			{"last_http_status", Integer, "What the endpoint answered last; NULL if it never did."},
			{"last_error", Text, "What went wrong last."},
			{"created_at", Instant, "When there was something to tell."},
			{"concluded_at", Instant, "When it ended, well or not; NULL while it has not."},
			{"event_id", Text, "The event that is told."},
		},
	}
}
