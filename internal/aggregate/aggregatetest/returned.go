package aggregatetest

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// returned are lives in which money went back, or was meant to.
func returned() []story {
	return []story{
		{"refund failed, asked for again", func(l *life) {
			sale := l.buy(amounts("USD", 4700, 0, 0, 300))
			l.refundRequested("r1", sale, 1, amounts("USD", 4700, 0, 0, 300))
			l.outcome("refund/r1/failed")
			l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_RefundFailed{RefundFailed: &ledgerv1.RefundFailed{
				RefundId: "r1", Code: "insufficient_balance", Message: "The balance is too low.",
			}}})
			l.later(2 * day)
			l.refunded("r2", sale, 1, amounts("USD", 4700, 0, 0, 300), true)
		}},
		{"refund in doubt, done, and back again", func(l *life) {
			sale := l.buy(amounts("USD", 4700, 0, 0, 300))
			parts := amounts("USD", 4700, 0, 0, 300)
			l.refundRequested("r1", sale, 1, parts)
			l.outcome("refund/r1/unknown")
			l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_RefundUnknown{RefundUnknown: &ledgerv1.RefundUnknown{
				RefundId: "r1", Why: "timeout", SentAt: timestamppb.New(l.at),
			}}})
			l.later(time.Minute)
			l.refundSucceeded("r1", sale, 1, parts, true, false)
			l.later(9 * day)
			l.outcome("refund/r1/reversed")
			l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_RefundReversed{RefundReversed: &ledgerv1.RefundReversed{
				OrderId: l.order(), RefundId: "r1", ParentOrderId: sale, OriginalOrderId: l.first, PayNumber: 1,
				Amounts: parts, Code: "expired_card", Message: "The card's account is closed.",
			}}})
		}},
		{"asked about, not disputed", func(l *life) {
			sale := l.buy(amounts("USD", 4700, 0, 0, 300))
			l.later(12 * day)
			l.disputeOpened("dp_3", sale, 5000, true)
			l.later(5 * day)
			l.disputeClosed("dp_3", sale, ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_INQUIRY_CLOSED)
		}},
	}
}

// refunded is a refund from its intent to its success.
func (l *life) refunded(id string, order int64, number uint32, parts *ledgerv1.Amounts, full bool) {
	l.refundRequested(id, order, number, parts)
	l.refundSucceeded(id, order, number, parts, full, false)
}

func (l *life) refundRequested(id string, order int64, number uint32, parts *ledgerv1.Amounts) {
	l.asked("refund-" + id)
	l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_RefundRequested{RefundRequested: &ledgerv1.RefundRequested{
		RefundId: id, ParentOrderId: order, PayNumber: number, Amounts: parts,
		Key: Merchant + "-" + l.id + "-refund-" + id, ConnectionId: Connection,
		ChargeReference: l.reference(number, l.attempt(order)), Reason: "asked by the buyer",
	}}})
}

func (l *life) refundPending(id string) {
	l.outcome("refund/%s/pending", id)
	l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_RefundPending{RefundPending: &ledgerv1.RefundPending{
		RefundId: id, Reference: "re_" + l.id + "_" + id,
	}}})
}

func (l *life) refundSucceeded(id string, order int64, number uint32, parts *ledgerv1.Amounts, full, over bool) {
	l.outcome("refund/%s/succeeded", id)
	l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_RefundSucceeded{RefundSucceeded: &ledgerv1.RefundSucceeded{
		OrderId: l.order(), RefundId: id, ParentOrderId: order, OriginalOrderId: l.first, PayNumber: number,
		Amounts: parts, Reference: "re_" + l.id + "_" + id, Full: full, OverReturned: over,
	}}})
}

func (l *life) disputeOpened(id string, order, units int64, inquiry bool) {
	l.outcome("dispute/%s/opened", id)
	l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_DisputeOpened{DisputeOpened: &ledgerv1.DisputeOpened{
		DisputeId: id, ParentOrderId: order, Inquiry: inquiry, Reason: "fraudulent",
		Amount: &ledgerv1.Money{CurrencyCode: l.terms.Regular.Full.CurrencyCode, MinorUnits: units},
	}}})
}

func (l *life) withdrawn(id string, order int64, number uint32, parts *ledgerv1.Amounts, over bool) {
	l.outcome("dispute/%s/withdrawn", id)
	l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_DisputeFundsWithdrawn{DisputeFundsWithdrawn: &ledgerv1.DisputeFundsWithdrawn{
		OrderId: l.order(), DisputeId: id, ParentOrderId: order, OriginalOrderId: l.first, PayNumber: number,
		Amounts: parts, Fee: &ledgerv1.Money{CurrencyCode: parts.Full.CurrencyCode, MinorUnits: 1500},
		Reason: "fraudulent", OverReturned: over,
	}}})
}

func (l *life) reinstated(id string, order int64, number uint32, parts *ledgerv1.Amounts) {
	l.outcome("dispute/%s/reinstated", id)
	l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_DisputeFundsReinstated{DisputeFundsReinstated: &ledgerv1.DisputeFundsReinstated{
		OrderId: l.order(), DisputeId: id, ParentOrderId: order, OriginalOrderId: l.first, PayNumber: number, Amounts: parts,
	}}})
}

func (l *life) disputeClosed(id string, order int64, how ledgerv1.DisputeOutcome) {
	l.outcome("dispute/%s/closed", id)
	l.add(&ledgerv1.Event{Kind: &ledgerv1.Event_DisputeClosed{DisputeClosed: &ledgerv1.DisputeClosed{
		DisputeId: id, ParentOrderId: order, Outcome: how,
	}}})
}

// attempt is the one that made an order.
func (l *life) attempt(order int64) uint32 {
	for _, e := range l.history.Events {
		if p := e.GetPaymentSucceeded(); p.GetOrderId() == order {
			return p.GetAttempt()
		}
	}
	return 0
}
