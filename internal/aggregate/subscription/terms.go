package subscription

import (
	"time"

	"google.golang.org/protobuf/proto"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/calendar"
	"ledger.internal/ledger/internal/aggregate/money"
)

// Short names for the price kinds.
const (
	OneTime               = ledgerv1.PriceKind_PRICE_KIND_ONE_TIME
	Recurring             = ledgerv1.PriceKind_PRICE_KIND_RECURRING
	Installments          = ledgerv1.PriceKind_PRICE_KIND_INSTALLMENTS
	RecurringInstallments = ledgerv1.PriceKind_PRICE_KIND_RECURRING_INSTALLMENTS
)

const (
	// Endless is the number of payments left that means "until the customer cancels".
	Endless = 9999
	// maxDays bounds an initial period to ten years.
	maxDays = 3660
	// maxInstallments keeps a plan's payments apart from Endless.
	maxInstallments = 1200
)

// checkTerms returns terms with every amount complete, or says what is wrong with them.
func checkTerms(field string, t *ledgerv1.Terms, trial bool) (*ledgerv1.Terms, error) {
	if t == nil {
		return nil, aggregate.InvalidField(field, "TERMS_REQUIRED", "say what is sold")
	}
	t = proto.CloneOf(t)
	if t.ProductId == "" || t.ProductName == "" {
		return nil, aggregate.InvalidField(field+".product_id", "PRODUCT_REQUIRED", "a product needs an id and a name")
	}
	if t.PricePoint == 0 {
		return nil, aggregate.InvalidField(field+".price_point", "PRICE_POINT_INVALID", "price points count from 1")
	}
	if err := checkKind(field, t); err != nil {
		return nil, err
	}
	if err := checkInitial(field, t, trial); err != nil {
		return nil, err
	}
	if err := checkAmounts(field, t); err != nil {
		return nil, err
	}
	return t, nil
}

// checkKind checks that period, installments and frequency stand exactly where the price kind has them.
func checkKind(field string, t *ledgerv1.Terms) error {
	bad := func(name, reason, format string, args ...any) error {
		return aggregate.InvalidField(field+"."+name, reason, format, args...)
	}
	// Whoever speaks protobuf can send numbers that no name stands for.
	period := t.Period != ledgerv1.Period_PERIOD_UNSPECIFIED && ledgerv1.Period_name[int32(t.Period)] != ""
	frequency := t.Frequency != ledgerv1.Frequency_FREQUENCY_UNSPECIFIED && ledgerv1.Frequency_name[int32(t.Frequency)] != ""
	plan := t.Kind == Installments || t.Kind == RecurringInstallments
	periodic := plan || t.Kind == Recurring
	switch {
	case !periodic && t.Kind != OneTime:
		return bad("kind", "PRICE_KIND_INVALID", "name the kind of price")
	case periodic && !period:
		return bad("period", "PERIOD_REQUIRED", "say how far apart the payments are")
	case !periodic && t.Period != ledgerv1.Period_PERIOD_UNSPECIFIED:
		return bad("period", "PERIOD_NOT_ALLOWED", "a one-time price has no period")
	case plan && (t.Installments == 0 || t.Installments > maxInstallments):
		return bad("installments", "INSTALLMENTS_INVALID", "from 1 to %d payments", maxInstallments)
	case !plan && t.Installments != 0:
		return bad("installments", "INSTALLMENTS_INVALID", "only installments have a number of payments")
	case t.Kind == RecurringInstallments && !frequency:
		return bad("frequency", "FREQUENCY_INVALID", "say how often the installments begin anew")
	case t.Kind != RecurringInstallments && t.Frequency != ledgerv1.Frequency_FREQUENCY_UNSPECIFIED:
		return bad("frequency", "FREQUENCY_INVALID", "only recurring installments begin anew")
	case t.Kind == RecurringInstallments && !calendar.FitsCycle(t.Period, t.Installments, t.Frequency):
		return bad("installments", "INSTALLMENTS_EXCEED_FREQUENCY", "%d payments do not fit before the next cycle", t.Installments)
	}
	return nil
}

func checkInitial(field string, t *ledgerv1.Terms, trial bool) error {
	switch {
	case trial && t.Initial == nil:
		return aggregate.InvalidField(field+".initial", "INITIAL_REQUIRED", "a trial has an initial payment; it may be 0")
	case !trial && t.Initial != nil:
		return aggregate.InvalidField(field+".initial", "INITIAL_NOT_ALLOWED", "start a trial to have an initial payment")
	case trial && (t.Initial.Days == 0 || t.Initial.Days > maxDays):
		return aggregate.InvalidField(field+".initial.days", "DAYS_INVALID", "from 1 to %d days", maxDays)
	}
	return nil
}

// checkAmounts completes every amount of t in place and checks that all are in one currency.
func checkAmounts(field string, t *ledgerv1.Terms) (err error) {
	if t.Regular, err = money.NormalizeAmounts(field+".regular", t.Regular); err != nil {
		return err
	}
	currency := t.Regular.Full.CurrencyCode
	sameCurrency := func(name string, a *ledgerv1.Amounts) error {
		if a.Full.CurrencyCode != currency {
			return aggregate.InvalidField(field+name, "CURRENCY_MISMATCH", "a subscription has one currency for life")
		}
		return nil
	}
	if t.Initial != nil {
		if t.Initial.Amounts, err = money.NormalizeAmounts(field+".initial.amounts", t.Initial.Amounts); err != nil {
			return err
		}
		if err := sameCurrency(".initial.amounts", t.Initial.Amounts); err != nil {
			return err
		}
	}
	if t.Introductory == nil {
		return nil
	}
	if t.Introductory.Payments == 0 {
		return aggregate.InvalidField(field+".introductory.payments", "INTRODUCTORY_INVALID", "say for how many payments")
	}
	if t.Introductory.Amounts, err = money.NormalizeAmounts(field+".introductory.amounts", t.Introductory.Amounts); err != nil {
		return err
	}
	return sameCurrency(".introductory.amounts", t.Introductory.Amounts)
}

// regular counts which regular payment a pay number is: the initial payment is none.
func regular(t *ledgerv1.Terms, number uint32) uint32 {
	if t.GetInitial() != nil && number > 0 {
		return number - 1
	}
	return number
}

// amounts are what the terms ask for a pay number.
func amounts(t *ledgerv1.Terms, number uint32) *ledgerv1.Amounts {
	r := regular(t, number)
	switch {
	case r == 0:
		return t.GetInitial().GetAmounts()
	case r <= t.GetIntroductory().GetPayments():
		return t.Introductory.Amounts
	}
	return t.GetRegular()
}

// amounts are what is asked for a pay number: the terms, as far as they were not changed.
func (s State) amounts(number uint32) *ledgerv1.Amounts {
	for i := len(s.Changes) - 1; i >= 0; i-- {
		if c := s.Changes[i]; number >= c.FromPayNumber {
			return c.Amounts
		}
	}
	return amounts(s.Terms(), number)
}

// total is the number of regular payments; 0 if there is no end.
func total(t *ledgerv1.Terms) uint32 {
	switch t.GetKind() {
	case OneTime:
		return 1
	case Installments:
		return t.Installments
	}
	return 0
}

// cycleEnds reports whether a pay number is the last of a cycle of recurring installments.
func cycleEnds(t *ledgerv1.Terms, number uint32) bool {
	r := regular(t, number)
	return t.GetKind() == RecurringInstallments && r > 0 && r%t.Installments == 0
}

// paymentsLeft counts the payments after a pay number: of the plan, or of the running cycle.
func paymentsLeft(t *ledgerv1.Terms, number uint32) uint32 {
	r := regular(t, number)
	switch t.GetKind() {
	case OneTime, Installments:
		return total(t) - min(r, total(t))
	case RecurringInstallments:
		if r == 0 {
			return t.Installments
		}
		return t.Installments - 1 - (r-1)%t.Installments
	}
	return Endless
}

// PaymentsLeft counts the payments to come: of the plan, or of the running cycle; Endless if there is no end.
func (s State) PaymentsLeft() uint32 {
	if !s.Exists() || s.Ended() {
		return 0
	}
	return paymentsLeft(s.Terms(), s.Paid)
}

// plan is what follows from a payment.
type plan struct {
	next        time.Time // zero if no payment is left
	skipped     int       // due instants between the payment's own and next that passed unused
	first, last time.Time // of the skipped ones
}

// planAfter says when the payment after `number` is due, if `number`, due at `due`, is paid: it happened at `at` and
// is decided at `now`. Due instants are anchor + k periods; those that have passed are skipped, never stacked. Only
// the one after an initial payment is kept though it passed: the first regular payment is not skipped.
func (s State) planAfter(number uint32, due, at, now time.Time) plan {
	t := s.Terms()
	if n := total(t); n > 0 && regular(t, number) >= n {
		return plan{}
	}
	anchor := s.Anchor
	if number == 1 {
		anchor = firstAnchor(t, at)
		if t.Initial != nil {
			return plan{next: anchor}
		}
		due = anchor
	}
	if s.Slot.After(due) {
		due = s.Slot // it was moved forward alone: the period that it stands for is not paid twice
	}
	_, first := calendar.FirstAfter(anchor, t.Period, due) // one period on
	if cycleEnds(t, number) {
		first = s.nextCycle(anchor, first)
		if weekly(t.Period) {
			anchor = first
		}
	}
	if first.After(now) {
		return plan{next: first}
	}
	from, _ := calendar.FirstAfter(anchor, t.Period, first.Add(-time.Nanosecond))
	k, next := calendar.FirstAfter(anchor, t.Period, now)
	return plan{next: next, skipped: k - from, first: first, last: calendar.Due(anchor, t.Period, k-1)}
}

// firstAnchor is the instant from which due instants count, if the first payment happened at `at`.
func firstAnchor(t *ledgerv1.Terms, at time.Time) time.Time {
	return at.Add(time.Duration(t.GetInitial().GetDays()) * 24 * time.Hour)
}

// nextCycle is when a new cycle of recurring installments begins: one or two years after the running one began, or
// one period after its last payment, whichever is later.
func (s State) nextCycle(anchor, onePeriodOn time.Time) time.Time {
	t := s.Terms()
	began := s.CycleStart
	if began.IsZero() {
		began = anchor
	}
	next := calendar.AddYears(began, calendar.Years(t.Frequency))
	if !weekly(t.Period) {
		// A cycle that began on 28 February because there was no 29th must not lose the anchor's day for ever.
		_, next = calendar.FirstAfter(anchor, t.Period, next.Add(-time.Nanosecond))
	}
	if onePeriodOn.After(next) {
		return onePeriodOn
	}
	return next
}

// cycleBegins moves the beginning of a cycle whose first payment is not made: it begins with that.
func (s State) cycleBegins(at time.Time) State {
	if t := s.Terms(); t.GetKind() == RecurringInstallments && regular(t, s.Paid)%t.Installments == 0 {
		s.CycleStart = at
	}
	return s
}

// weekly reports whether a period is made of weeks. Weeks do not add up to years: each cycle has an anchor of its
// own. Months do, and keep theirs.
func weekly(p ledgerv1.Period) bool {
	return p == ledgerv1.Period_PERIOD_WEEKLY || p == ledgerv1.Period_PERIOD_EVERY_2_WEEKS
}
