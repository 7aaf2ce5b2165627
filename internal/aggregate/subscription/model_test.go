package subscription_test

import (
	"slices"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// model is a second opinion on one subscription. It is written from the rules of the book and not from the aggregate:
// no events, no intents, its own calendar, amounts as plain cents. It changes in place, for nobody replays it.
//
// A method does what its name says, or answers every reason why not: where several hold, the ledger may name any.
type model struct {
	sold    *ledgerv1.Terms
	changes []changedTerms

	status, remembered ledgerv1.SubscriptionState // remembered: what a pause goes back to
	paid               uint32
	anchor, cycle, due time.Time // cycle: when the running cycle of recurring installments began
	moved              time.Time // the due instant that due was moved away from alone
	next               time.Time // when the open number is tried by itself
	first              time.Time // when the open number was tried first: its dunning days count from here
	days               []uint32  // its dunning days
	cancelAt           time.Time

	method  int  // how often it was replaced
	stored  bool // at the gateway
	stopped bool // after a hard decline

	blocked  bool // what merchant and connection say now
	policies *ledgerv1.Policies

	tries    []*try
	payments []*payment
	refunds  []*returning
	disputes []*quarrel
	orders   int64
}

type changedTerms struct {
	from  uint32
	cents int64
}

// fate is what is known of a try.
type fate int

const (
	asked fate = iota
	waiting
	unknown
	charged
	refused
	neverCharged
	duplicated
)

type try struct {
	number, attempt, step uint32
	cents, order          int64
	at, due, expires      time.Time
	method                int
	fate                  fate
	withdrawn             bool
}

func (t *try) open() bool { return t.fate <= unknown }

type payment struct{ order, cents, returned, takenBack int64 }

type returning struct {
	of    *payment
	cents int64
	fate  fate // asked, charged: it arrived, refused, duplicated: it came back
}

type quarrel struct {
	of                       *payment
	taken                    int64
	holds, won, lost, repaid bool
}

// The calendar.

// months and weeks are the length of a period; one of them is 0.
func (m *model) months() int {
	switch m.sold.Period {
	case ledgerv1.Period_PERIOD_MONTHLY:
		return 1
	case ledgerv1.Period_PERIOD_QUARTERLY:
		return 3
	case ledgerv1.Period_PERIOD_YEARLY:
		return 12
	}
	return 0
}

func (m *model) weeks() int {
	switch m.sold.Period {
	case ledgerv1.Period_PERIOD_WEEKLY:
		return 1
	case ledgerv1.Period_PERIOD_EVERY_2_WEEKS:
		return 2
	}
	return 0
}

// monthsOn keeps the day of the month where the month has it.
func monthsOn(t time.Time, n int) time.Time {
	first := time.Date(t.Year(), t.Month()+time.Month(n), 1, t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
	for d := first.AddDate(0, 0, t.Day()-1); ; d = d.AddDate(0, 0, -1) {
		if d.Month() == first.Month() {
			return d
		}
	}
}

// after is the first anchor + k periods after t.
func (m *model) after(t time.Time) time.Time {
	for k := 0; ; k++ {
		due := m.anchor.AddDate(0, 0, 7*m.weeks()*k)
		if m.weeks() == 0 {
			due = monthsOn(m.anchor, m.months()*k)
		}
		if due.After(t) {
			return due
		}
	}
}

// The plan.

func (m *model) regular(number uint32) uint32 {
	if m.sold.Initial != nil {
		return number - 1
	}
	return number
}

func (m *model) planned() uint32 {
	switch m.sold.Kind {
	case oneTime:
		return 1
	case installments:
		return m.sold.Installments
	}
	return 0
}

// beginsCycle reports whether the next number is the first of a cycle.
func (m *model) beginsCycle() bool {
	return m.sold.Kind == recurringInstallments && m.regular(m.paid+1) > 0 && (m.regular(m.paid+1)-1)%m.sold.Installments == 0
}

func (m *model) paymentsLeft() uint32 {
	done := uint32(0)
	if m.paid > 0 {
		done = m.regular(m.paid)
	}
	switch {
	case m.ended():
		return 0
	case m.planned() > 0:
		return m.planned() - done
	case m.sold.Kind == recurring:
		return 9999
	case done == 0:
		return m.sold.Installments
	}
	return m.sold.Installments - 1 - (done-1)%m.sold.Installments
}

// owed is what a number asks for.
func (m *model) owed(number uint32) int64 {
	for _, c := range slices.Backward(m.changes) {
		if number >= c.from {
			return c.cents
		}
	}
	switch r := m.regular(number); {
	case r == 0:
		return m.sold.Initial.Amounts.Full.MinorUnits
	case r <= m.sold.Introductory.GetPayments():
		return m.sold.Introductory.Amounts.Full.MinorUnits
	}
	return m.sold.Regular.Full.MinorUnits
}

// plan says when the number after a paid one is due; never if none is left.
func (m *model) plan(now time.Time, t *try) {
	m.due = never
	if n := m.planned(); n > 0 && m.regular(t.number) >= n {
		m.status, m.remembered = subscription.Completed, 0
		return
	}
	due := t.due
	if t.number == 1 {
		m.anchor = now.AddDate(0, 0, int(m.sold.Initial.GetDays()))
		m.cycle, due = m.anchor, m.anchor
		if m.sold.Initial != nil {
			m.due = m.anchor
			return
		}
	}
	m.due = m.after(later(due, m.moved))
	if m.beginsCycle() {
		begin := monthsOn(m.cycle, 12*int(m.sold.Frequency))
		switch {
		case m.weeks() > 0: // weeks do not add up to years
			m.due = later(begin, m.due)
			m.anchor = m.due
		default:
			m.due = later(m.after(begin.Add(-1)), m.due)
		}
	}
	if !m.due.After(now) {
		m.due = m.after(now) // skipped, not stacked
	}
	if m.beginsCycle() {
		m.cycle = m.due
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// The life.

func (m *model) ended() bool {
	return m.status == subscription.Completed || m.status == subscription.Cancelled || m.status == subscription.Failed
}

func (m *model) paused() bool { return m.status == subscription.Paused }

func (m *model) life() ledgerv1.SubscriptionState {
	if m.paused() {
		return m.remembered
	}
	return m.status
}

func (m *model) live(s ledgerv1.SubscriptionState) {
	if m.paused() {
		m.remembered = s
	} else {
		m.status = s
	}
}

func (m *model) over(now time.Time) bool { return !m.cancelAt.IsZero() && !now.Before(m.cancelAt) }

func (m *model) held() bool {
	return slices.ContainsFunc(m.disputes, func(q *quarrel) bool { return q.holds && q.taken > 0 && !q.won && !q.lost })
}

// trying is the try of the open number that waits for an outcome.
func (m *model) trying() *try {
	for _, t := range m.tries {
		if t.open() && t.number > m.paid {
			return t
		}
	}
	return nil
}

func (m *model) lastTry() *try {
	if n := len(m.tries); n > 0 && m.tries[n-1].number > m.paid {
		return m.tries[n-1]
	}
	return nil
}

func (m *model) windowEnd() time.Time {
	return m.first.AddDate(0, 0, int(m.days[len(m.days)-1]))
}

// rests is until when the method in use must not be tried: of a card, 15 tries in 30 days may be declined.
func (m *model) rests() time.Time {
	var declined []time.Time
	for _, t := range m.tries {
		if t.fate == refused && t.method == m.method {
			declined = append(declined, t.at)
		}
	}
	if n := len(declined); n >= 15 {
		return declined[n-15].AddDate(0, 0, 30)
	}
	return never
}

// rested is t, or when the method may be tried again if that is later; never if the window is over by then.
func (m *model) rested(t time.Time) time.Time {
	switch rests := m.rests(); {
	case t.IsZero() || !rests.After(t):
		return t
	case m.life() == subscription.PastDue && rests.After(m.windowEnd()):
		return never
	default:
		return rests
	}
}

// end is a cancellation that takes effect. It makes an order if anything was sold.
func (m *model) end() {
	if len(m.payments) > 0 {
		m.orders++
	}
	if m.status == subscription.Pending {
		m.status = subscription.Failed
	} else {
		m.status = subscription.Cancelled
	}
	m.remembered, m.due, m.next, m.cancelAt = 0, never, never, never
	for _, t := range m.tries {
		t.withdrawn = true
	}
}

// Charging.

func (m *model) start(now time.Time) {
	m.status = subscription.Pending
	m.charge(now, m.owed(1))
}

// again is what the open number is asked for when it is tried by itself: a re-attempt asks for what the try before it did.
func (m *model) again() int64 {
	if t := m.lastTry(); t != nil {
		return t.cents
	}
	return m.owed(m.paid + 1)
}

func (m *model) charge(now time.Time, cents int64) {
	t := &try{number: m.paid + 1, attempt: 1, step: m.step(now), cents: cents, at: now, due: m.due, method: m.method}
	if last := m.lastTry(); last != nil {
		t.attempt = last.attempt + 1
	} else {
		m.first, m.days = now, []uint32{3, 6, 9}
		if own := m.policies.GetDunningDays(); len(own) > 0 {
			m.days = own
		}
	}
	m.next = never
	m.tries = append(m.tries, t)
	if cents == 0 && m.stored {
		m.pay(now, t)
	}
}

// step is the dunning step of a try made now: the last day that came. Tries that were not the schedule's keep the step.
func (m *model) step(now time.Time) uint32 {
	last := m.lastTry()
	if last == nil || m.life() != subscription.PastDue {
		return 0
	}
	step := last.step
	if m.next.IsZero() || now.Before(m.next) || last.fate == neverCharged || last.method != m.method {
		return step
	}
	for i, d := range m.days {
		if !now.Before(m.first.AddDate(0, 0, int(d))) {
			step = max(step, uint32(i+1))
		}
	}
	return step
}

// pay is proof that a try charged, whenever it comes.
func (m *model) pay(now time.Time, t *try) {
	switch {
	case t.fate == charged || t.fate == duplicated:
		return
	case t.number <= m.paid:
		t.fate = duplicated
		return
	}
	t.fate = charged
	m.orders++
	m.payments = append(m.payments, &payment{order: m.orders, cents: t.cents})
	m.paid = t.number
	if m.ended() {
		return // never revived
	}
	m.stored = m.stored || t.method == m.method
	if m.sold.Initial != nil && t.number == 1 {
		m.live(subscription.Trialing)
	} else {
		m.live(subscription.Active)
	}
	m.plan(now, t)
	m.next, m.moved, m.stopped = m.due, never, false
	for _, other := range m.tries {
		other.withdrawn = true // of the number that is paid now
	}
}

func (m *model) decline(now time.Time, t *try, kind ledgerv1.DeclineCategory, stop, expired bool) {
	switch {
	case !t.open():
		return
	case m.ended() || t.number <= m.paid:
		t.fate = neverCharged // nobody waits for it
		return
	case m.status == subscription.Pending && expired:
		t.fate, m.status = neverCharged, subscription.Failed
		return
	}
	m.orders++
	t.fate, t.order, m.next = refused, m.orders, never
	if m.status == subscription.Pending {
		m.status = subscription.Failed // a first payment has no dunning
		return
	}
	m.live(subscription.PastDue)
	isSoft := kind == soft || expired
	switch {
	case stop:
		m.end()
		return
	case t.method != m.method:
		m.next = now // the new method is charged at once
		return
	case isSoft:
		for i, d := range m.days {
			if day := m.first.AddDate(0, 0, int(d)); m.next.IsZero() && uint32(i) >= t.step && day.After(now) {
				m.next = day
			}
		}
		m.next = m.rested(m.next)
	}
	m.stopped = !isSoft
	if m.next.IsZero() && !now.Before(m.windowEnd()) && !m.paused() && !m.held() {
		m.end()
	}
}

// absent is proof that a try did not charge and never will.
func (m *model) absent(now time.Time, t *try) {
	if !t.open() {
		return
	}
	t.fate = neverCharged
	switch {
	case m.status == subscription.Pending:
		m.status = subscription.Failed
	case !m.ended() && t.number > m.paid && !m.stopped:
		m.next = later(now, m.due)
	}
}

func (m *model) doubt(t *try) {
	if t.fate == asked {
		t.fate = unknown
	}
}

func (m *model) pend(now time.Time, t *try) {
	if t.open() && t.fate != waiting {
		t.fate, t.expires = waiting, now.Add(72*time.Hour)
	}
}

// wake is time that passed.
func (m *model) wake(now time.Time) {
	t, next := m.trying(), m.rested(m.next)
	switch {
	case m.ended():
	case m.over(now):
		m.end()
	case t != nil:
		if m.status == subscription.Pending && t.fate == waiting && !now.Before(t.expires) {
			m.absent(now, t)
		}
	case m.paused() || m.held() || m.blocked:
	case !next.IsZero():
		if !now.Before(next) {
			m.charge(now, m.again())
		}
	case m.status == subscription.PastDue && !now.Before(m.windowEnd()):
		m.end()
	}
}

// reasons are those of the given ones that hold.
func reasons(all map[string]bool) (against []string) {
	for reason, holds := range all {
		if holds {
			against = append(against, reason)
		}
	}
	return against
}

func (m *model) rebill(now time.Time, cents int64) []string {
	t := m.trying()
	inDoubt := t != nil && (t.fate == unknown || t.withdrawn)
	against := reasons(map[string]bool{
		"STATE_INVALID":           m.ended() || m.paused() || m.status == subscription.Pending || m.over(now),
		"PAYMENT_OUTCOME_UNKNOWN": inDoubt,
		"PAYMENT_IN_PROGRESS":     t != nil && !inDoubt,
		"NOT_DUE":                 now.Before(m.due),
		"METHOD_STOPPED":          m.stopped,
		"PAYMENT_HELD":            m.held(),
		"CONNECTION_BLOCKED":      m.blocked,
		"RETRY_CAP":               now.Before(m.rests()),
		"AMOUNT_NOT_CONSENTED":    cents > m.owed(m.paid+1),
	})
	if against == nil {
		m.charge(now, cents)
	}
	return against
}

func (m *model) replace(now time.Time) []string {
	if m.ended() || m.status == subscription.Pending {
		return []string{"STATE_INVALID"}
	}
	m.method, m.stored, m.stopped = m.method+1, false, false
	if m.life() != subscription.PastDue {
		return nil
	}
	m.next = now
	if m.trying() == nil && !m.paused() && !m.held() && !m.blocked {
		m.charge(now, m.again())
	}
	return nil
}

// The plan changes.

func (m *model) cancel(now time.Time, atPeriodEnd bool) []string {
	switch {
	case m.status == subscription.Completed:
		return []string{"STATE_INVALID"}
	case m.ended():
	case !atPeriodEnd || m.over(now) || !now.Before(m.due):
		m.end()
	case m.cancelAt.Equal(m.due):
		return []string{"CANCELLATION_SCHEDULED"}
	default:
		m.cancelAt = m.due
	}
	return nil
}

func (m *model) withdraw(now time.Time) []string {
	against := reasons(map[string]bool{
		"STATE_INVALID":              m.ended() || m.over(now),
		"CANCELLATION_NOT_SCHEDULED": m.cancelAt.IsZero(),
	})
	if against == nil {
		m.cancelAt = never
	}
	return against
}

func (m *model) pause() []string {
	if m.ended() || m.paused() || m.status == subscription.Pending {
		return []string{"STATE_INVALID"}
	}
	m.status, m.remembered = subscription.Paused, m.status
	if t := m.trying(); t != nil && t.fate == asked {
		t.withdrawn = true
	}
	return nil
}

func (m *model) resume(now time.Time) []string {
	if !m.paused() {
		return []string{"STATE_INVALID"}
	}
	m.status, m.remembered = m.remembered, 0
	switch {
	case m.status == subscription.PastDue:
		m.next = never
		if !m.stopped {
			m.next = m.rested(now)
		}
		if m.trying() == nil && !m.stopped && !m.held() && !m.blocked && !now.Before(m.rests()) {
			m.charge(now, m.again())
		}
		return nil
	case m.due.After(now) || m.trying() != nil:
	case m.sold.Kind == oneTime:
		m.due = now
	default:
		m.due = m.after(now)
		if m.beginsCycle() {
			m.cycle = m.due
		}
	}
	m.next = m.due
	return nil
}

func (m *model) reschedule(now, due time.Time, keepAnchor bool) []string {
	against := reasons(map[string]bool{
		"STATE_INVALID":       m.life() != subscription.Trialing && m.life() != subscription.Active || m.over(now),
		"PAYMENT_IN_PROGRESS": m.trying() != nil,
		"DUE_RANGE":           !due.After(now),
		"UNCHANGED":           due.Equal(m.due) && (keepAnchor || due.Equal(m.anchor)),
	})
	if against != nil {
		return against
	}
	if m.moved.IsZero() {
		m.moved = m.due
	}
	m.due, m.next = due, due
	if !m.cancelAt.IsZero() {
		m.cancelAt = due
	}
	if keepAnchor {
		return nil
	}
	m.anchor, m.moved = due, never
	if m.beginsCycle() {
		m.cycle = due
	}
	return nil
}

func (m *model) changeTerms(cents int64) []string {
	from := m.paid + 1
	if m.lastTry() != nil {
		from++
	}
	against := reasons(map[string]bool{
		"STATE_INVALID":   m.ended() || m.status == subscription.Pending,
		"NO_PAYMENT_LEFT": m.planned() > 0 && m.regular(from) > m.planned(),
		"UNCHANGED":       cents == m.owed(from) && cents == m.owed(9999),
	})
	if against == nil {
		m.changes = append(m.changes, changedTerms{from, cents})
	}
	return against
}

// Money that goes back.

// refundable is what is left of a payment.
func (m *model) refundable(p *payment) int64 {
	left := p.cents - p.returned - p.takenBack
	for _, r := range m.refunds {
		if r.of == p && r.fate == asked {
			left -= r.cents
		}
	}
	return max(0, left)
}

// refund asks for cents of an order to go back; 0 is all that is left.
func (m *model) refund(order, cents int64) []string {
	i := slices.IndexFunc(m.payments, func(p *payment) bool { return p.order == order })
	if i < 0 {
		declined := slices.ContainsFunc(m.tries, func(t *try) bool { return t.order == order })
		doubtful := slices.ContainsFunc(m.tries, func(t *try) bool { return t.fate == unknown || t.open() && t.withdrawn })
		return reasons(map[string]bool{
			"NOT_CAPTURED": declined, "PAYMENT_OUTCOME_UNKNOWN": doubtful, "PAYMENT_NOT_FOUND": !doubtful,
		})
	}
	p := m.payments[i]
	left := m.refundable(p)
	if cents == 0 {
		cents = left
	}
	against := reasons(map[string]bool{
		"NOT_CAPTURED": p.cents == 0, "REFUND_EXCEEDS_CAPTURED": p.cents > 0 && (cents > left || left == 0),
	})
	if against == nil {
		m.refunds = append(m.refunds, &returning{of: p, cents: cents})
	}
	return against
}

func (m *model) refunded(r *returning) {
	if r.fate == asked || r.fate == refused { // proof counts, even if it was given up
		m.orders++
		r.fate = charged
		r.of.returned += r.cents
	}
}

func (m *model) refundFails(r *returning) {
	if r.fate == asked {
		r.fate = refused
	}
}

func (m *model) refundComesBack(r *returning) []string {
	switch r.fate {
	case asked, refused:
		return []string{"REFUND_NOT_DONE"}
	case charged:
		m.orders++
		r.fate = duplicated
		r.of.returned -= r.cents
	}
	return nil
}

// takeBack is a chargeback: the bank takes the whole payment.
func (m *model) takeBack(q *quarrel) {
	if q.taken > 0 {
		return // once per dispute
	}
	m.orders++
	q.taken = q.of.cents
	q.of.takenBack += q.taken
	policy := m.policies.GetChargeback()
	q.holds = policy == holds
	if ends := policy != holds && policy != ignores || q.holds && q.lost; ends && !m.ended() {
		m.end()
	}
}

func (m *model) giveIn(q *quarrel) []string {
	if q.taken == 0 {
		return []string{"DISPUTE_NOT_WITHDRAWN"}
	}
	if !q.repaid {
		m.orders++
		q.repaid = true
		q.of.takenBack -= q.taken
	}
	return nil
}

func (m *model) close(now time.Time, q *quarrel, won bool) {
	if q.won || q.lost {
		return
	}
	held := m.held()
	q.won, q.lost = won, !won
	if q.lost && q.holds && !m.ended() {
		m.end()
	}
	if held && !m.held() && m.life() == subscription.PastDue && !m.stopped && m.next.IsZero() {
		m.next = now // its days passed while it was held
	}
}
