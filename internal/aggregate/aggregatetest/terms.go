package aggregatetest

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// Short names, so that the histories read as what was sold.
const (
	oneTime               = ledgerv1.PriceKind_PRICE_KIND_ONE_TIME
	recurring             = ledgerv1.PriceKind_PRICE_KIND_RECURRING
	installments          = ledgerv1.PriceKind_PRICE_KIND_INSTALLMENTS
	recurringInstallments = ledgerv1.PriceKind_PRICE_KIND_RECURRING_INSTALLMENTS
)

// amounts are the parts of a payment; full follows from them.
func amounts(currency string, base, discount, shipping, tax int64) *ledgerv1.Amounts {
	money := func(units int64) *ledgerv1.Money {
		return &ledgerv1.Money{CurrencyCode: currency, MinorUnits: units}
	}
	return &ledgerv1.Amounts{
		Full:     money(base - discount + shipping + tax),
		Base:     money(base),
		Discount: money(discount),
		Shipping: money(shipping),
		Tax:      money(tax),
	}
}

// terms sell a course at 47.00 USD plus tax.
func terms(kind ledgerv1.PriceKind, changes ...func(*ledgerv1.Terms)) *ledgerv1.Terms {
	t := &ledgerv1.Terms{
		ProductId:   "42",
		ProductName: "Watercolour Course",
		PricePoint:  1,
		Kind:        kind,
		Regular:     amounts("USD", 4700, 0, 0, 300),
	}
	switch kind {
	case recurring:
		t.Period = ledgerv1.Period_PERIOD_MONTHLY
	case installments:
		t.Period, t.Installments = ledgerv1.Period_PERIOD_MONTHLY, 3
	case recurringInstallments:
		t.Period, t.Installments = ledgerv1.Period_PERIOD_MONTHLY, 3
		t.Frequency = ledgerv1.Frequency_FREQUENCY_EVERY_YEAR
	}
	for _, change := range changes {
		change(t)
	}
	return t
}

// at sells at another price.
func at(a *ledgerv1.Amounts) func(*ledgerv1.Terms) {
	return func(t *ledgerv1.Terms) { t.Regular = a }
}

// trial sells with an initial payment.
func trial(days uint32, a *ledgerv1.Amounts) func(*ledgerv1.Terms) {
	return func(t *ledgerv1.Terms) { t.Initial = &ledgerv1.InitialPayment{Amounts: a, Days: days} }
}

// coupon lowers the first regular payments.
func coupon(payments uint32, a *ledgerv1.Amounts) func(*ledgerv1.Terms) {
	return func(t *ledgerv1.Terms) { t.Introductory = &ledgerv1.Introductory{Amounts: a, Payments: payments} }
}

// buyer is a person to whom nothing is shipped.
func buyer() *ledgerv1.Buyer {
	return &ledgerv1.Buyer{
		Id:               "lead-7001",
		FirstName:        "Erwin",
		LastName:         "Schrödinger",
		Email:            "erwin+courses@mail.example",
		Username:         "erwin",
		PhoneCountryCode: "49",
		PhoneNumber:      "30 1234567",
		Address: &ledgerv1.Address{
			Line: "Unter den Linden 5", City: "Berlin", Zip: "10117", State: "Berlin", CountryCode: "DE",
		},
		Ip:                 "203.0.113.9",
		Language:           "de",
		GdprStatus:         2,
		GdprStatusDate:     timestamppb.New(time.Date(2026, time.January, 31, 2, 29, 41, 0, time.UTC)),
		GdprStatusIp:       "203.0.113.9",
		GdprCommunications: true,
	}
}

// company is a person who buys for a firm and has goods sent.
func company() *ledgerv1.Buyer {
	b := buyer()
	b.Id, b.Company, b.SalesTaxId = "lead-7002", "Wellen & Söhne GmbH", "DE123456789"
	b.ShippingAddress = &ledgerv1.Address{
		Line: "99 Rue de l'Université", City: "Paris", Zip: "75001", State: "Île-de-France", CountryCode: "FR",
	}
	return b
}

// boughtBy names the buyer.
func boughtBy(b *ledgerv1.Buyer) func(*ledgerv1.SubscriptionStarted) {
	return func(s *ledgerv1.SubscriptionStarted) { s.Buyer = b }
}

// byPayPal pays with an agreement: no card, and an id that the notifications carry.
func (l *life) byPayPal() {
	l.processor = "PayPal"
	l.method = &ledgerv1.PaymentMethod{Reference: "vault_" + l.id, AgreementId: "I-" + l.id + "BW452GLLEP1G"}
}

// amounts of a pay number.
func (l *life) amounts(number uint32) *ledgerv1.Amounts {
	if l.price != nil && number >= l.priced {
		return proto.CloneOf(l.price)
	}
	t := l.terms
	regular := number // which regular payment it is, from 1
	if t.Initial != nil {
		if number == 1 {
			return proto.CloneOf(t.Initial.Amounts)
		}
		regular--
	}
	if t.Introductory != nil && regular <= t.Introductory.Payments {
		return proto.CloneOf(t.Introductory.Amounts)
	}
	return proto.CloneOf(t.Regular)
}

// settle takes note that a number is paid, and of when the next one is due.
func (l *life) settle(number uint32) {
	l.paid = number
	l.due = time.Time{}
	if l.left() > 0 || l.terms.Kind == recurringInstallments {
		l.due = l.instant(number + 1)
	}
}

// left is how many payments are left after the paid ones.
func (l *life) left() uint32 {
	t := l.terms
	var initial uint32
	if t.Initial != nil {
		initial = 1
	}
	switch t.Kind {
	case recurring:
		return 9999
	case installments:
		return t.Installments + initial - l.paid
	case recurringInstallments:
		if l.paid == initial {
			return t.Installments
		}
		return t.Installments - 1 - (l.paid-initial-1)%t.Installments
	}
	return 1 + initial - l.paid
}

// instant is when a number is due. All periods here are months, all cycles of recurring installments years.
func (l *life) instant(number uint32) time.Time {
	if !l.anchor.IsZero() {
		return month(l.anchor, int(number)-l.anchored+l.skipped)
	}
	anchor, k := l.startedAt(), int(number)-1
	if l.terms.Initial != nil {
		anchor, k = anchor.Add(time.Duration(l.terms.Initial.Days)*day), k-1
	}
	if n := int(l.terms.Installments); l.terms.Kind == recurringInstallments {
		return month(anchor, k/n*12+k%n)
	}
	return month(anchor, k+l.skipped)
}

// startedAt is when the first payment succeeded: now, or what the history says.
func (l *life) startedAt() time.Time {
	for _, e := range l.history.Events {
		if e.GetPaymentSucceeded() != nil || e.GetLateChargeObserved() != nil {
			return e.Metadata.OccurredAt.AsTime()
		}
	}
	return l.at
}

// month is k months after t; the day is kept, or the month's last if it is shorter.
func month(t time.Time, k int) time.Time {
	first := time.Date(t.Year(), t.Month()+time.Month(k), 1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(t.Day(), last)-1)
}
