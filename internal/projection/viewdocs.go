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
