package ipn

import (
	"strconv"

	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/calendar"
)

// payment is a charge that succeeded, in time, late, or without being asked for: all are told alike.
type payment interface {
	GetPayNumber() uint32
	GetAmounts() *ledgerv1.Amounts
	GetMethod() *ledgerv1.PaymentMethod
	GetOriginalOrderId() int64
	GetPaymentsLeft() uint32
	GetNextDue() *timestamppb.Timestamp
}

func paymentOf(e *ledgerv1.Event) payment {
	switch k := e.GetKind().(type) {
	case *ledgerv1.Event_LateChargeObserved:
		return k.LateChargeObserved
	case *ledgerv1.Event_PaymentObserved:
		return k.PaymentObserved
	}
	return e.GetPaymentSucceeded()
}

// sale is the list "Sale for one-time payments with an initial payment or sale for a subscription", and the shorter
// one of a plain one-time payment.
// Sources: https://support.kartra.com/support/solutions/articles/153000169511 and …/153000169513
func (f *form) sale(p payment) {
	original := p.GetOriginalOrderId()
	if f.plain() {
		original = 0
	}
	f.paid(p, original, f.trial)
}

// paid is what a sale and a rebill have in common; trial comes between the product and the buyer.
func (f *form) paid(p payment, original int64, trial func()) {
	f.order()
	f.amounts(p.GetAmounts())
	f.dateAndType()
	f.parent(0)
	f.partners()
	f.subscriptionIDs(p.GetMethod())
	f.payNumber(p.GetPayNumber())
	f.card(p.GetMethod())
	f.original(original)
	f.quantity()
	f.product()
	trial()
	f.lead()
	f.shipping()
	f.shippingCost(p.GetAmounts())
	f.secretKey()
	f.tracking()
	f.gdpr()
	f.processorAndCompany()
	f.schedule(p)
}

// trial tells the initial payment: what it costs and for how many days. Without one it is 0, and there is no amount.
func (f *form) trial() {
	initial := f.After.Terms().GetInitial()
	if initial == nil {
		f.add("trial", "0")
		f.add("trial_amount", "")
		f.add("trial_period", "")
		return
	}
	f.add("trial", "1")
	f.add("trial_amount", part(initial.GetAmounts(), initial.GetAmounts().GetFull()))
	f.addInt("trial_period", int64(initial.GetDays()))
}

// schedule tells what is to come. How much of it there is depends on the kind of price.
func (f *form) schedule(p payment) {
	t := f.After.Terms()
	f.addInt("payments_left", int64(p.GetPaymentsLeft()))
	if t.GetKind() == ledgerv1.PriceKind_PRICE_KIND_ONE_TIME {
		return
	}
	f.add("rebill_circle", rebillCircle(f.Event.Metadata.GetOccurredAt(), p.GetNextDue()))
	if t.GetKind() == ledgerv1.PriceKind_PRICE_KIND_RECURRING {
		return
	}
	f.addInt("installments", int64(t.GetInstallments()))
	if t.GetKind() == ledgerv1.PriceKind_PRICE_KIND_RECURRING_INSTALLMENTS {
		f.add("frequency", frequency(t.GetFrequency()))
	}
}

// rebillCircle is Kartra's spelling of the days to the next payment: begun days count, and 0 is none or overdue.
func rebillCircle(from, due *timestamppb.Timestamp) string {
	if due == nil {
		return "0"
	}
	return strconv.FormatInt(calendar.DaysCeil(due.AsTime().Sub(from.AsTime())), 10)
}

func frequency(f ledgerv1.Frequency) string {
	switch f {
	case ledgerv1.Frequency_FREQUENCY_EVERY_YEAR:
		return "every_year"
	case ledgerv1.Frequency_FREQUENCY_EVERY_2_YEARS:
		return "every_2_years"
	}
	return ""
}
