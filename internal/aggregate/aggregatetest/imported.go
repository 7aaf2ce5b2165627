package aggregatetest

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// Short names for the states in which a life is taken over.
const (
	trialing = ledgerv1.ImportState_IMPORT_STATE_TRIALING
	active   = ledgerv1.ImportState_IMPORT_STATE_ACTIVE
	pastDue  = ledgerv1.ImportState_IMPORT_STATE_PAST_DUE
	asleep   = ledgerv1.ImportState_IMPORT_STATE_PAUSED
)

// imported are lives that began elsewhere.
func imported() []story {
	soft := ledgerv1.DeclineCategory_DECLINE_CATEGORY_SOFT
	return []story{
		{"imported, rebilled", func(l *life) {
			l.takenOver(terms(recurring), active, 7, month(begin(), 1))
			l.rebilled(8)
			l.rebilled(9)
		}},
		{"imported in its trial, rebilled", func(l *life) {
			l.takenOver(terms(recurring, trial(14, amounts("USD", 900, 0, 0, 100))), trialing, 1, begin().Add(10*day))
			l.rebilled(2)
		}},
		{"imported past due, recovered, cancelled", func(l *life) {
			l.takenOver(terms(recurring), pastDue, 7, begin().Add(-2*day))
			l.wake()
			l.requested(8, 1, 0)
			l.declined(8, 1, 0, soft, 3*day)
			l.later(3 * day)
			l.wake()
			l.requested(8, 2, 1)
			l.succeeded(8, 2, 1)
			l.later(day)
			l.asked("cancel")
			l.cancelled(ledgerv1.CancelReason_CANCEL_REASON_MERCHANT)
		}},
		{"imported paused, resumed, paid to the end", func(l *life) {
			l.takenOver(terms(installments), asleep, 2, month(begin(), 1))
			l.later(5 * day)
			l.resumed(l.due, l.due)
			l.rebilled(3)
			l.completed()
		}},
		{"imported, cancelled before anything was charged", func(l *life) {
			l.takenOver(terms(recurring), active, 7, month(begin(), 1))
			l.asked("cancel")
			l.cancelled(ledgerv1.CancelReason_CANCEL_REASON_BUYER)
		}},
		{"imported recurring installments, the next cycle", func(l *life) {
			l.takenOver(terms(recurringInstallments), active, 2, month(begin(), 1))
			l.rebilled(3)
			// The cycle's first payment was a month before the one that was due next: the next cycle follows a year later.
			l.due = month(begin(), 12)
			p := l.history.Events[len(l.history.Events)-1].GetPaymentSucceeded()
			p.NextDue, p.PaidThrough = stamp(l.due), stamp(l.due)
			l.anchor, l.anchored = l.due, 4
			l.rebilled(4)
		}},
		{"imported, the gateway charges", func(l *life) {
			l.byPayPal()
			l.takenOver(terms(recurring), active, 2, month(begin(), 1), byGateway)
			l.at = l.instant(3)
			l.observed(3)
			l.at = l.instant(4)
			rebill := l.observed(4)
			l.later(3 * day)
			l.refundObserved("desk", rebill, 4, amounts("USD", 940, 0, 0, 60), false, false)
			l.later(9 * day)
			l.outcome("agreement/lost")
			l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_AgreementLost{AgreementLost: &ledgerv1.AgreementLost{
				Code: "mp_cancel", Message: "The payer cancelled the agreement.",
			}}})
			l.cancelled(ledgerv1.CancelReason_CANCEL_REASON_AGREEMENT)
			l.at = l.instant(5)
			l.observed(5) // the gateway had not heard of it
		}},
		{"imported, the gateway charges to the end", func(l *life) {
			l.takenOver(terms(installments), active, 2, month(begin(), 1), byGateway)
			l.at = l.instant(3)
			l.observed(3)
			l.completed()
		}},
	}
}

// byGateway leaves the schedule to the gateway.
func byGateway(i *ledgerv1.SubscriptionImported) {
	i.ChargedBy = ledgerv1.ChargedBy_CHARGED_BY_GATEWAY
}

// takenOver begins a life of which so many payments were made elsewhere.
func (l *life) takenOver(t *ledgerv1.Terms, state ledgerv1.ImportState, paid uint32, due time.Time, changes ...func(*ledgerv1.SubscriptionImported)) {
	l.terms, l.paid, l.connection = t, paid, Connection
	l.anchor, l.anchored = due, int(paid)+1
	b := buyer()
	i := &ledgerv1.SubscriptionImported{
		MerchantId:          Merchant,
		SubscriptionId:      l.id,
		Number:              l.number,
		BuyerId:             b.Id,
		Buyer:               b,
		Terms:               t,
		Gateway:             "sandbox",
		Processor:           l.processor,
		Mode:                ledgerv1.Mode_MODE_TEST,
		Method:              proto.CloneOf(l.method),
		Quantity:            1,
		ExternalRef:         "old-" + l.id,
		Metadata:            []*ledgerv1.Pair{{Key: "source", Value: "kartra"}},
		State:               state,
		PaidNumber:          paid,
		NextDue:             stamp(due),
		Anchor:              stamp(due),
		ForeignFirstOrderId: "tx_" + l.id,
		ChargedBy:           ledgerv1.ChargedBy_CHARGED_BY_LEDGER,
		StartedAt:           stamp(month(due, -int(paid))),
	}
	b.Id = ""
	for _, change := range changes {
		change(i)
	}
	if i.ChargedBy == ledgerv1.ChargedBy_CHARGED_BY_LEDGER && state != asleep {
		l.due = due
	}
	l.asked("import")
	l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_SubscriptionImported{SubscriptionImported: i}})
	if state == asleep {
		l.due = due
	}
}

// observed is a payment that the gateway took by itself. The ledger wants no attention for the next one.
func (l *life) observed(number uint32) int64 {
	l.outcome("observed/%d", number)
	l.settle(number)
	next, through := l.due, l.due
	if l.over {
		next = time.Time{}
	}
	l.due = time.Time{}
	id := l.order()
	l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_PaymentObserved{PaymentObserved: &ledgerv1.PaymentObserved{
		OrderId:         id,
		PayNumber:       number,
		Amounts:         l.amounts(number),
		Reference:       fmt.Sprintf("ch_%s_%d", l.id, number),
		Method:          proto.CloneOf(l.method),
		OriginalOrderId: l.first,
		PaymentsLeft:    l.left(),
		NextDue:         stamp(next),
		PaidThrough:     stamp(through),
		Ended:           l.over,
	}}})
	return id
}

// refundObserved is a refund that was made at the gateway's desk.
func (l *life) refundObserved(id string, order int64, number uint32, parts *ledgerv1.Amounts, full, over bool) {
	l.outcome("refund/%s/observed", id)
	l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_RefundObserved{RefundObserved: &ledgerv1.RefundObserved{
		OrderId: l.order(), RefundId: "ro_" + l.id + "_" + id, ParentOrderId: order, OriginalOrderId: l.first, PayNumber: number,
		Amounts: parts, Reference: "re_" + l.id + "_" + id, Full: full, OverReturned: over, Reason: "requested_by_customer",
	}}})
}
