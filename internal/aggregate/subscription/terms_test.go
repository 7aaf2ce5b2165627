package subscription_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

const (
	weekly      = ledgerv1.Period_PERIOD_WEEKLY
	every2Weeks = ledgerv1.Period_PERIOD_EVERY_2_WEEKS
	everyMonth  = ledgerv1.Period_PERIOD_MONTHLY
	every2Years = ledgerv1.Period_PERIOD_EVERY_2_YEARS

	recurring             = subscription.Recurring
	installments          = subscription.Installments
	recurringInstallments = subscription.RecurringInstallments
	oneTime               = subscription.OneTime
)

func TestTermsAreChecked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		terms *ledgerv1.Terms
		trial bool
		want  string
		field string
	}{
		{"none", nil, false, "TERMS_REQUIRED", ""},
		{"no product id", terms(recurring, func(t *ledgerv1.Terms) { t.ProductId = "" }), false, "PRODUCT_REQUIRED", ".product_id"},
		{"no product name", terms(recurring, func(t *ledgerv1.Terms) { t.ProductName = "" }), false, "PRODUCT_REQUIRED", ".product_id"},
		{"no price point", terms(recurring, func(t *ledgerv1.Terms) { t.PricePoint = 0 }), false, "PRICE_POINT_INVALID", ".price_point"},
		{"no kind", terms(0), false, "PRICE_KIND_INVALID", ".kind"},
		{"a kind that is none", terms(9), false, "PRICE_KIND_INVALID", ".kind"},
		{"recurring without a period", terms(recurring, every(0)), false, "PERIOD_REQUIRED", ".period"},
		{"a period that is none", terms(recurring, every(99)), false, "PERIOD_REQUIRED", ".period"},
		{"one-time with a period", terms(oneTime, every(everyMonth)), false, "PERIOD_NOT_ALLOWED", ".period"},
		{"no payments", terms(installments), false, "INSTALLMENTS_INVALID", ".installments"},
		{"too many payments", terms(installments, payments(1201)), false, "INSTALLMENTS_INVALID", ".installments"},
		{"recurring with payments", terms(recurring, payments(3)), false, "INSTALLMENTS_INVALID", ".installments"},
		{"one-time with payments", terms(oneTime, payments(1)), false, "INSTALLMENTS_INVALID", ".installments"},
		{"no frequency", terms(recurringInstallments, payments(3)), false, "FREQUENCY_INVALID", ".frequency"},
		{"a frequency that is none", terms(recurringInstallments, payments(3), func(t *ledgerv1.Terms) { t.Frequency = 9 }), false, "FREQUENCY_INVALID", ".frequency"},
		{"installments with a frequency", terms(installments, yearly(3)), false, "FREQUENCY_INVALID", ".frequency"},
		{"13 months in a year", terms(recurringInstallments, yearly(13)), false, "INSTALLMENTS_EXCEED_FREQUENCY", ".installments"},
		{"53 weeks in a year", terms(recurringInstallments, yearly(53), every(weekly)), false, "INSTALLMENTS_EXCEED_FREQUENCY", ".installments"},
		{"2 years in a year", terms(recurringInstallments, yearly(1), every(every2Years)), false, "INSTALLMENTS_EXCEED_FREQUENCY", ".installments"},
		{"trial without an initial payment", terms(recurring), true, "INITIAL_REQUIRED", ".initial"},
		{"initial payment without a trial", terms(recurring, trial(1, 0)), false, "INITIAL_NOT_ALLOWED", ".initial"},
		{"trial of no days", terms(recurring, trial(0, 0)), true, "DAYS_INVALID", ".initial.days"},
		{"trial of more than ten years", terms(recurring, trial(3661, 0)), true, "DAYS_INVALID", ".initial.days"},
		{"no amounts", terms(recurring, func(t *ledgerv1.Terms) { t.Regular = nil }), false, "AMOUNT_REQUIRED", ".regular.base"},
		{"amounts that do not add up", terms(recurring, func(t *ledgerv1.Terms) { t.Regular.Full = usd(1) }), false, "AMOUNTS_UNBALANCED", ".regular.full"},
		{"no initial amounts", terms(recurring, func(t *ledgerv1.Terms) { t.Initial = &ledgerv1.InitialPayment{Days: 1} }), true, "AMOUNT_REQUIRED", ".initial.amounts.base"},
		{"initial amounts in another currency", terms(recurring, func(t *ledgerv1.Terms) {
			t.Initial = &ledgerv1.InitialPayment{Days: 1, Amounts: &ledgerv1.Amounts{Base: &ledgerv1.Money{CurrencyCode: "EUR"}}}
		}), true, "CURRENCY_MISMATCH", ".initial.amounts"},
		{"a coupon for no payments", terms(recurring, coupon(0, 100)), false, "INTRODUCTORY_INVALID", ".introductory.payments"},
		{"a coupon without amounts", terms(recurring, func(t *ledgerv1.Terms) { t.Introductory = &ledgerv1.Introductory{Payments: 1} }), false, "AMOUNT_REQUIRED", ".introductory.amounts.base"},
		{"a coupon in another currency", terms(recurring, func(t *ledgerv1.Terms) {
			t.Introductory = &ledgerv1.Introductory{Payments: 1, Amounts: &ledgerv1.Amounts{Base: &ledgerv1.Money{CurrencyCode: "EUR"}}}
		}), false, "CURRENCY_MISMATCH", ".introductory.amounts"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := startAt(t0, c.terms)
			s.Trial = c.trial
			_, err := s.Decide(state{})
			equal(t, "reason", reasonOf(err), c.want)
			if err != nil && !strings.HasPrefix(err.Error(), "start.terms"+c.field) {
				t.Errorf("got %q, want it to name start.terms%s", err, c.field)
			}
		})
	}
}

// lived starts a subscription at an instant, pays each payment on the instant it is due, and tells of each when
// that was, how much, and how many payments were left after it.
func lived(t *testing.T, begin time.Time, tm *ledgerv1.Terms, n int) (got []string) {
	t.Helper()
	l := newLife(t)
	l.do(startAt(begin, tm))
	now := begin
	for range n {
		a, ok := l.state.OpenAttempt()
		if !ok {
			break
		}
		l.do(settle(now, a.Number, 1, a.Amounts.Full.MinorUnits))
		e := l.history[len(l.history)-1]
		if e.GetSubscriptionCompleted() != nil {
			e = l.history[len(l.history)-2]
		}
		p := e.GetPaymentSucceeded()
		if p.GetPayNumber() != a.Number {
			t.Fatalf("number %d was paid by %v", a.Number, e)
		}
		if !l.state.Ended() && p.PaymentsLeft != l.state.PaymentsLeft() {
			t.Errorf("the event says %d payments are left, the state %d", p.PaymentsLeft, l.state.PaymentsLeft())
		}
		got = append(got, fmt.Sprintf("%s %d, %d left", a.Due.Format("2006-01-02"), a.Amounts.Full.MinorUnits, p.PaymentsLeft))
		if !p.PaidThrough.AsTime().Equal(p.NextDue.AsTime()) {
			t.Errorf("paid through %v, next due %v", p.PaidThrough, p.NextDue)
		}
		if l.state.Ended() {
			break
		}
		if now = l.state.NextDue; !now.Equal(l.state.Due(time.Time{})) {
			t.Fatalf("next due %s, but a wake is wanted at %s", now, l.state.Due(time.Time{}))
		}
		l.do(wake(now.Add(-1)))
		if a, ok := l.state.OpenAttempt(); ok {
			t.Fatalf("number %d is asked for before it is due at %s", a.Number, now)
		}
		l.do(wake(now))
	}
	return got
}

func date(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 10, 0, 0, 0, time.UTC)
}

func TestDueInstants(t *testing.T) {
	t.Parallel()
	biyearly := func(n uint32) change {
		return func(t *ledgerv1.Terms) {
			t.Installments, t.Frequency = n, ledgerv1.Frequency_FREQUENCY_EVERY_2_YEARS
		}
	}
	jan31 := date(2026, time.January, 31)
	for _, c := range []struct {
		name  string
		begin time.Time
		terms *ledgerv1.Terms
		n     int
		want  string
	}{
		{"one-time", jan31, terms(oneTime), 9, "2026-01-31 4700, 0 left"},
		{"one-time with an initial payment", jan31, terms(oneTime, trial(14, 100)), 9, "2026-01-31 100, 1 left; 2026-02-14 4700, 0 left"},
		{"weekly", jan31, terms(recurring, every(weekly)), 3, "2026-01-31 4700, 9999 left; 2026-02-07 4700, 9999 left; 2026-02-14 4700, 9999 left"},
		{"every 2 weeks", jan31, terms(recurring, every(every2Weeks)), 3, "2026-01-31 4700, 9999 left; 2026-02-14 4700, 9999 left; 2026-02-28 4700, 9999 left"},
		{"monthly from the 31st", jan31, terms(recurring), 4, "2026-01-31 4700, 9999 left; 2026-02-28 4700, 9999 left; 2026-03-31 4700, 9999 left; 2026-04-30 4700, 9999 left"},
		{"every 2 months from the 31st", date(2026, time.December, 31), terms(recurring, every(ledgerv1.Period_PERIOD_EVERY_2_MONTHS)), 3, "2026-12-31 4700, 9999 left; 2027-02-28 4700, 9999 left; 2027-04-30 4700, 9999 left"},
		{"quarterly from the 31st", jan31, terms(recurring, every(ledgerv1.Period_PERIOD_QUARTERLY)), 3, "2026-01-31 4700, 9999 left; 2026-04-30 4700, 9999 left; 2026-07-31 4700, 9999 left"},
		{"every 6 months from the 31st", date(2026, time.August, 31), terms(recurring, every(ledgerv1.Period_PERIOD_EVERY_6_MONTHS)), 3, "2026-08-31 4700, 9999 left; 2027-02-28 4700, 9999 left; 2027-08-31 4700, 9999 left"},
		{"yearly from a leap day", date(2024, time.February, 29), terms(recurring, every(ledgerv1.Period_PERIOD_YEARLY)), 5, "2024-02-29 4700, 9999 left; 2025-02-28 4700, 9999 left; 2026-02-28 4700, 9999 left; 2027-02-28 4700, 9999 left; 2028-02-29 4700, 9999 left"},
		{"every 2 years from a leap day", date(2024, time.February, 29), terms(recurring, every(every2Years)), 3, "2024-02-29 4700, 9999 left; 2026-02-28 4700, 9999 left; 2028-02-29 4700, 9999 left"},
		{"a trial into a leap day", date(2028, time.February, 22), terms(recurring, trial(7, 100)), 3, "2028-02-22 100, 9999 left; 2028-02-29 4700, 9999 left; 2028-03-29 4700, 9999 left"},
		{"a coupon for two payments", jan31, terms(recurring, coupon(2, 700)), 3, "2026-01-31 700, 9999 left; 2026-02-28 700, 9999 left; 2026-03-31 4700, 9999 left"},
		{"a coupon after a trial", jan31, terms(recurring, trial(14, 100), coupon(1, 700)), 3, "2026-01-31 100, 9999 left; 2026-02-14 700, 9999 left; 2026-03-14 4700, 9999 left"},
		{"one installment", jan31, terms(installments, payments(1)), 9, "2026-01-31 4700, 0 left"},
		{"three installments", jan31, terms(installments, payments(3)), 9, "2026-01-31 4700, 2 left; 2026-02-28 4700, 1 left; 2026-03-31 4700, 0 left"},
		{"two installments after a trial", jan31, terms(installments, payments(2), trial(14, 100)), 9, "2026-01-31 100, 2 left; 2026-02-14 4700, 1 left; 2026-03-14 4700, 0 left"},
		{"one payment a year", jan31, terms(recurringInstallments, yearly(1)), 3, "2026-01-31 4700, 0 left; 2027-01-31 4700, 0 left; 2028-01-31 4700, 0 left"},
		{"two payments a year", jan31, terms(recurringInstallments, yearly(2)), 5, "2026-01-31 4700, 1 left; 2026-02-28 4700, 0 left; 2027-01-31 4700, 1 left; 2027-02-28 4700, 0 left; 2028-01-31 4700, 1 left"},
		{"two payments every two years", jan31, terms(recurringInstallments, biyearly(2)), 4, "2026-01-31 4700, 1 left; 2026-02-28 4700, 0 left; 2028-01-31 4700, 1 left; 2028-02-29 4700, 0 left"},
		{"two payments a year after a trial", jan31, terms(recurringInstallments, yearly(2), trial(14, 100)), 4, "2026-01-31 100, 2 left; 2026-02-14 4700, 1 left; 2026-03-14 4700, 0 left; 2027-02-14 4700, 1 left"},
		{"two half-years fit exactly", date(2026, time.August, 31), terms(recurringInstallments, yearly(2), every(ledgerv1.Period_PERIOD_EVERY_6_MONTHS)), 4, "2026-08-31 4700, 1 left; 2027-02-28 4700, 0 left; 2027-08-31 4700, 1 left; 2028-02-29 4700, 0 left"},
		{"a leap day a year keeps its day", date(2024, time.February, 29), terms(recurringInstallments, yearly(2)), 9, "2024-02-29 4700, 1 left; 2024-03-29 4700, 0 left; 2025-02-28 4700, 1 left; 2025-03-29 4700, 0 left; 2026-02-28 4700, 1 left; 2026-03-29 4700, 0 left; 2027-02-28 4700, 1 left; 2027-03-29 4700, 0 left; 2028-02-29 4700, 1 left"},
		{"weeks of a year begin anew on its day", jan31, terms(recurringInstallments, yearly(2), every(weekly)), 5, "2026-01-31 4700, 1 left; 2026-02-07 4700, 0 left; 2027-01-31 4700, 1 left; 2027-02-07 4700, 0 left; 2028-01-31 4700, 1 left"},
		{"one payment in two years", jan31, terms(recurringInstallments, biyearly(1), every(every2Years)), 2, "2026-01-31 4700, 0 left; 2028-01-31 4700, 0 left"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			equal(t, "payments", strings.Join(lived(t, c.begin, c.terms, c.n), "; "), c.want)
		})
	}
}

func TestFullYearsOfInstallments(t *testing.T) {
	t.Parallel()
	months := lived(t, t0, terms(recurringInstallments, yearly(12)), 13)
	equal(t, "12 months: last of the year", months[11], "2026-12-31 4700, 0 left")
	equal(t, "12 months: first of the next", months[12], "2027-01-31 4700, 11 left")
	weeks := lived(t, t0, terms(recurringInstallments, yearly(52), every(weekly)), 54)
	equal(t, "52 weeks: last of the year", weeks[51], "2027-01-23 4700, 0 left")
	equal(t, "52 weeks: first of the next", weeks[52], "2027-01-31 4700, 51 left")
	equal(t, "52 weeks: second of the next", weeks[53], "2027-02-07 4700, 50 left")
}

// Periods that passed while nothing could be charged are skipped, not stacked; the pay number does not advance.
func TestPeriodsAreSkipped(t *testing.T) {
	t.Parallel()
	outage := func(late time.Duration, tm *ledgerv1.Terms, paid int) (*life, time.Time) {
		l := newLife(t)
		l.do(start(tm))
		now := t0
		for range paid {
			a, _ := l.state.OpenAttempt()
			l.do(settle(now, a.Number, 1, 4700))
			now = l.state.NextDue
			if len(l.state.Charges) == paid {
				now = now.Add(late)
			}
			l.do(wake(now))
		}
		return l, now
	}
	jan := func(year, d int) time.Time { return date(year, time.January, d) }
	for _, c := range []struct {
		name string
		late time.Duration
		tm   *ledgerv1.Terms
		paid int
		then events
	}{
		{"ten days in a month: none", 10 * day, terms(recurring), 1, events{succeeded(2, 2, 1, 0, 4700, 9999, mar)}},
		{"ten days in weeks", 10 * day, terms(recurring, every(weekly)), 1, events{
			succeeded(2, 2, 1, 0, 4700, 9999, t0.Add(21*day)), skipped(1, t0.Add(14*day), t0.Add(14*day), t0.Add(21*day))}},
		{"three months", 92 * day, terms(recurring), 1, events{
			succeeded(2, 2, 1, 0, 4700, 9999, date(2026, time.June, 30)), skipped(3, mar, may, date(2026, time.June, 30))}},
		{"three months in a plan: it ends later", 92 * day, terms(installments, payments(3)), 1, events{
			succeeded(2, 2, 1, 0, 4700, 1, date(2026, time.June, 30)), skipped(3, mar, may, date(2026, time.June, 30))}},
		{"at the end of a plan: none", 92 * day, terms(installments, payments(2)), 1, events{succeeded(2, 2, 1, 0, 4700, 0, never), completed(2)}},
		{"in a cycle", 92 * day, terms(recurringInstallments, yearly(3)), 1, events{
			succeeded(2, 2, 1, 0, 4700, 1, date(2026, time.June, 30)), skipped(3, mar, may, date(2026, time.June, 30))}},
		{"between cycles: none", 92 * day, terms(recurringInstallments, yearly(2)), 1, events{succeeded(2, 2, 1, 0, 4700, 0, jan(2027, 31))}},
		{"over the next cycle's beginning", 400 * day, terms(recurringInstallments, yearly(2)), 1, events{
			// from 28 February 2026 to 4 April 2027: the cycle of 31 January 2027 begins on 30 April
			succeeded(2, 2, 1, 0, 4700, 0, date(2027, time.April, 30)), skipped(3, jan(2027, 31), date(2027, time.March, 31), date(2027, time.April, 30))}},
		{"over the next cycle's beginning, in weeks", 400 * day, terms(recurringInstallments, yearly(2), every(weekly)), 1, events{
			// from 7 February 2026 to 14 March 2027, which is six weeks after 31 January 2027
			succeeded(2, 2, 1, 0, 4700, 0, date(2027, time.March, 21)), skipped(7, jan(2027, 31), date(2027, time.March, 14), date(2027, time.March, 21))}},
		{"a full year that ran late begins anew one period after its last payment", 10 * day, terms(recurringInstallments, yearly(2), every(ledgerv1.Period_PERIOD_EVERY_6_MONTHS)), 1,
			events{succeeded(2, 2, 1, 0, 4700, 0, jan(2027, 31))}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l, now := outage(c.late, c.tm, c.paid)
			(&scenarioOf{t, l}).expect(settle(now, 2, 1, 4700), c.then)
			if next := l.state.NextDue; !next.IsZero() {
				(&scenarioOf{t, l}).expect(wake(next), events{requested(3, 1, 0, 4700, next)})
			}
		})
	}
}

// scenarioOf goes on with a life that is too long for a row.
type scenarioOf struct {
	t *testing.T
	*life
}

func (s *scenarioOf) expect(when command, then events) {
	s.t.Helper()
	got, err := s.ask(when)
	if err != nil {
		s.t.Fatalf("%T: %v", when, err)
	}
	equalEvents(s.t, got, then)
}

// A cycle that was pushed beyond its year is followed by the next one a period later, and not by two at once.
func TestCycleThatRanLate(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	s := &scenarioOf{t, l}
	half := terms(recurringInstallments, yearly(2), every(ledgerv1.Period_PERIOD_EVERY_6_MONTHS))
	l.do(start(half), settle(t0, 1, 1, 4700))
	july, next := date(2026, time.July, 31), date(2027, time.January, 31)
	l.do(wake(july), doubt(july, 2, 1))
	found := next.Add(10 * day)
	s.expect(settle(found, 2, 1, 4700), events{
		succeeded(2, 2, 1, 0, 4700, 0, date(2027, time.July, 31)),
		skipped(1, next, next, date(2027, time.July, 31)),
	})
	equal(t, "cycle", l.state.CycleStart, date(2027, time.July, 31))
	l.do(wake(date(2027, time.July, 31)))
	s.expect(settle(date(2027, time.July, 31), 3, 1, 4700), events{succeeded(3, 3, 1, 0, 4700, 1, date(2028, time.January, 31))})
	l.do(wake(date(2028, time.January, 31)))
	s.expect(settle(date(2028, time.January, 31), 4, 1, 4700), events{succeeded(4, 4, 1, 0, 4700, 0, date(2028, time.July, 31))})
}

// Skipped periods push a cycle's last payment to where the next cycle would have begun: that one waits a period.
func TestCycleThatEndsAfterItsYear(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	s := &scenarioOf{t, l}
	apr, found, oct, jan := date(2026, time.April, 30), date(2026, time.August, 10), date(2026, time.October, 31), date(2027, time.January, 31)
	l.do(start(terms(recurringInstallments, yearly(4), every(ledgerv1.Period_PERIOD_QUARTERLY))), settle(t0, 1, 1, 4700), wake(apr))
	s.expect(settle(found, 2, 1, 4700), events{succeeded(2, 2, 1, 0, 4700, 2, oct), skipped(1, date(2026, time.July, 31), date(2026, time.July, 31), oct)})
	l.do(wake(oct))
	s.expect(settle(oct, 3, 1, 4700), events{succeeded(3, 3, 1, 0, 4700, 1, jan)})
	l.do(wake(jan))
	s.expect(settle(jan, 4, 1, 4700), events{succeeded(4, 4, 1, 0, 4700, 0, date(2027, time.April, 30))})
	equal(t, "cycle", l.state.CycleStart, date(2027, time.April, 30))
}

// The first regular payment after a trial is never skipped, however late the trial's payment is learned.
func TestTrialLearnedLate(t *testing.T) {
	t.Parallel()
	run(t, []scenario{{name: "three months", status: subscription.Trialing,
		given: commands{start(terms(recurring, trial(14, 100))), doubt(t0, 1, 1)},
		when:  subscription.SettlePayment{Now: may, At: t0, Number: 1, Attempt: 1, Amount: usd(100)},
		then:  events{succeeded(1, 1, 1, 0, 100, 9999, t0.Add(14*day))},
	}})
}

// What a gateway's or our clock says in nanoseconds is decided in microseconds, as it is stored.
func TestInstantsAreMicroseconds(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	local := t0.In(time.FixedZone("", 3600))
	l.do(startAt(local.Add(1999), terms(recurring)), settle(local.Add(2999), 1, 1, 4700))
	equal(t, "recorded", l.history[1].Metadata.RecordedAt.AsTime(), t0.Add(1000))
	equal(t, "anchor", l.state.Anchor, t0.Add(2000))
	equal(t, "next due", l.state.NextDue, feb.Add(2000))
	equal(t, "payments left", l.state.PaymentsLeft(), uint32(subscription.Endless))
	equal(t, "of nothing", state{}.PaymentsLeft(), uint32(0))
}
