package subscription_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

const (
	soft  = ledgerv1.DeclineCategory_DECLINE_CATEGORY_SOFT
	hard  = ledgerv1.DeclineCategory_DECLINE_CATEGORY_HARD
	buyer = ledgerv1.DeclineCategory_DECLINE_CATEGORY_BUYER_ACTION

	byBuyer      = ledgerv1.CancelReason_CANCEL_REASON_BUYER
	byMerchant   = ledgerv1.CancelReason_CANCEL_REASON_MERCHANT
	byDunning    = ledgerv1.CancelReason_CANCEL_REASON_DUNNING
	byAgreement  = ledgerv1.CancelReason_CANCEL_REASON_AGREEMENT
	byChargeback = ledgerv1.CancelReason_CANCEL_REASON_CHARGEBACK

	day = 24 * time.Hour
	// orders are the ids of all orders here, before their ordinal.
	orders = 70_000
)

// t0 is when every subscription here starts; feb and mar are when its second and third month are due.
var (
	t0    = time.Date(2026, time.January, 31, 10, 0, 0, 0, time.UTC)
	feb   = time.Date(2026, time.February, 28, 10, 0, 0, 0, time.UTC)
	mar   = time.Date(2026, time.March, 31, 10, 0, 0, 0, time.UTC)
	apr   = time.Date(2026, time.April, 30, 10, 0, 0, 0, time.UTC)
	may   = time.Date(2026, time.May, 31, 10, 0, 0, 0, time.UTC)
	never time.Time
)

type (
	state    = subscription.State
	command  = aggregate.Command[state]
	commands = []command
	events   = []*ledgerv1.Event
)

// scenario is one row: after the given commands, `when` makes the events of `then`, or is refused with a reason.
type scenario struct {
	name    string
	given   commands
	when    command
	then    events
	refused string
	// status is what the subscription is in afterwards; not looked at if it is unspecified.
	status ledgerv1.SubscriptionState
}

func run(t *testing.T, scenarios []scenario) {
	t.Helper()
	for _, c := range scenarios {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLife(t)
			l.do(c.given...)
			got, err := l.ask(c.when)
			if r := reasonOf(err); r != c.refused {
				t.Fatalf("got error %q (%v), want %q", r, err, c.refused)
			}
			equalEvents(t, got, c.then)
			if c.status != 0 && l.state.Status != c.status {
				t.Errorf("state is %v, want %v", l.state.Status, c.status)
			}
		})
	}
}

// compared leaves out what every event of its kind says in the same way; tests of their own look at that.
func compared() []cmp.Option {
	return []cmp.Option{
		protocmp.Transform(),
		protocmp.IgnoreFields(&ledgerv1.Event{}, "metadata"),
		protocmp.IgnoreFields(&ledgerv1.PaymentRequested{}, "key", "connection_id", "method"),
		protocmp.IgnoreFields(&ledgerv1.PaymentPending{}, "reference"),
		protocmp.IgnoreFields(&ledgerv1.PaymentSucceeded{}, "reference", "method", "connection_id"),
		protocmp.IgnoreFields(&ledgerv1.PaymentDeclined{}, "method", "connection_id"),
		protocmp.IgnoreFields(&ledgerv1.PaymentObserved{}, "method", "connection_id"),
		protocmp.IgnoreFields(&ledgerv1.LateChargeObserved{}, "reference", "method", "connection_id"),
		protocmp.IgnoreFields(&ledgerv1.DuplicateChargeObserved{}, "refund_key", "connection_id", "reference"),
		protocmp.IgnoreFields(&ledgerv1.DuplicateChargeReturned{}, "connection_id"),
		protocmp.IgnoreFields(&ledgerv1.AmountMismatchObserved{}, "reference", "connection_id"),
		protocmp.IgnoreFields(&ledgerv1.PaymentNotCharged{}, "next_attempt_at"),
		protocmp.IgnoreFields(&ledgerv1.MismatchResolved{}, "connection_id", "next_attempt_at"),
		protocmp.IgnoreFields(&ledgerv1.DisputeClosed{}, "next_attempt_at"),
		protocmp.IgnoreFields(&ledgerv1.RefundRequested{}, "key", "connection_id", "charge_reference"),
		protocmp.IgnoreFields(&ledgerv1.RefundSucceeded{}, "connection_id"),
		protocmp.IgnoreFields(&ledgerv1.RefundObserved{}, "refund_id", "connection_id"),
		protocmp.IgnoreFields(&ledgerv1.RefundReversed{}, "connection_id"),
		protocmp.IgnoreFields(&ledgerv1.DisputeFundsWithdrawn{}, "connection_id"),
		protocmp.IgnoreFields(&ledgerv1.DisputeFundsReinstated{}, "connection_id"),
		protocmp.IgnoreFields(&ledgerv1.SubscriptionCancelled{}, "method", "connection_id"),
		protocmp.IgnoreFields(&ledgerv1.PaymentMethodReplaced{}, "key", "gateway", "processor", "next_attempt_at"),
		protocmp.IgnoreFields(&ledgerv1.PaymentMethodRefused{}, "connection_id", "next_attempt_at"),
	}
}

func reasonOf(err error) string {
	if err == nil {
		return ""
	}
	var e *aggregate.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return err.Error()
}

// life is a subscription with its history. Whatever is asked of it, it checks that the answer changed nothing.
type life struct {
	t interface {
		Helper()
		Fatalf(format string, args ...any)
	}
	history events
	state   state
}

func newLife(t *testing.T) *life { return &life{t: t} }

// ask lets a command decide and takes its events into the history.
func (l *life) ask(c command) (events, error) {
	l.t.Helper()
	got, err := c.Decide(l.state)
	l.unchanged(fmt.Sprintf("%T", c))
	if err != nil && got != nil {
		l.t.Fatalf("%T: both events and an error: %v, %v", c, got, err)
	}
	for _, e := range got {
		before, history := l.state, l.history
		l.state = subscription.Evolve(l.state, e)
		l.saysWhatFollows(e)
		l.history = append(l.history, l.stored(e))
		(&life{t: l.t, state: before, history: history}).unchanged(fmt.Sprintf("evolving %T", e.Kind))
	}
	return got, err
}

// saysWhatFollows holds what an event says of the next attempt and of the connection in use against the state after it:
// views copy it.
func (l *life) saysWhatFollows(e *ledgerv1.Event) {
	l.t.Helper()
	kind := e.ProtoReflect().WhichOneof(e.ProtoReflect().Descriptor().Oneofs().ByName("kind"))
	m := e.ProtoReflect().Get(kind).Message()
	if next := m.Descriptor().Fields().ByName("next_attempt_at"); next != nil {
		var said time.Time
		if m.Has(next) {
			said = m.Get(next).Message().Interface().(*timestamppb.Timestamp).AsTime()
		}
		if !said.Equal(l.state.NextAttempt) {
			l.t.Fatalf("%T says %v of the next attempt, the state %v", e.Kind, said, l.state.NextAttempt)
		}
	}
	if r := e.GetPaymentMethodRefused(); r != nil && r.ConnectionId != l.state.Connection.ID {
		l.t.Fatalf("%T says connection %q, the state %q", e.Kind, r.ConnectionId, l.state.Connection.ID)
	}
}

// stored is an event as it comes back from a log.
func (l *life) stored(e *ledgerv1.Event) *ledgerv1.Event {
	l.t.Helper()
	const stream = "subscription-acme.s1"
	revision := event.Revision(len(l.history))
	raw, err := event.Encode(nil, stream, revision, event.ID(stream, "", int(revision)), proto.CloneOf(e))
	if err != nil {
		l.t.Fatalf("%T is not stored: %v", e.Kind, err)
	}
	back, err := event.Decode(event.RawRecorded{Stream: stream, Revision: revision, Raw: raw})
	if err != nil {
		l.t.Fatalf("%T is not read back: %v", e.Kind, err)
	}
	return back.Event
}

// do is ask for what must not be refused.
func (l *life) do(cs ...command) {
	l.t.Helper()
	for i, c := range cs {
		if _, err := l.ask(c); err != nil {
			l.t.Fatalf("command %d, %T: %v", i, c, err)
		}
	}
}

// unchanged compares the state with the history folded from its first event.
func (l *life) unchanged(by string) {
	l.t.Helper()
	if n := len(l.history); n > 40 && n%16 != 0 {
		return // long lives are folded now and then
	}
	// proto.Equal, not protocmp: there are thousands of these comparisons.
	if diff := cmp.Diff(fold(l.history), l.state, cmp.Comparer(func(a, b proto.Message) bool { return proto.Equal(a, b) })); diff != "" {
		l.t.Fatalf("%s changed a state (-folded from the first +held):\n%s", by, diff)
	}
}

func fold(history events) state {
	s := subscription.Type().New()
	for _, e := range history {
		s = subscription.Evolve(s, e)
	}
	return s
}

// after lives a subscription through commands and returns its state.
func after(t *testing.T, cs ...command) state {
	t.Helper()
	l := newLife(t)
	l.do(cs...)
	return l.state
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func equalEvents(t *testing.T, got, want events) {
	t.Helper()
	if diff := cmp.Diff(want, got, compared()...); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// with puts more commands behind others.
func with(given commands, more ...command) commands {
	return append(given[:len(given):len(given)], more...)
}

// What is sold.

func usd(minor int64) *ledgerv1.Money { return &ledgerv1.Money{CurrencyCode: "USD", MinorUnits: minor} }

func price(minor int64) *ledgerv1.Amounts {
	return &ledgerv1.Amounts{Full: usd(minor), Base: usd(minor), Discount: usd(0), Shipping: usd(0), Tax: usd(0)}
}

type change = func(*ledgerv1.Terms)

func terms(kind ledgerv1.PriceKind, changes ...change) *ledgerv1.Terms {
	t := &ledgerv1.Terms{ProductId: "42", ProductName: "Course", PricePoint: 1, Kind: kind, Regular: price(4700)}
	if kind != subscription.OneTime {
		t.Period = ledgerv1.Period_PERIOD_MONTHLY
	}
	for _, c := range changes {
		c(t)
	}
	return t
}

func every(p ledgerv1.Period) change { return func(t *ledgerv1.Terms) { t.Period = p } }

func payments(n uint32) change { return func(t *ledgerv1.Terms) { t.Installments = n } }

func yearly(n uint32) change {
	return func(t *ledgerv1.Terms) {
		t.Installments, t.Frequency = n, ledgerv1.Frequency_FREQUENCY_EVERY_YEAR
	}
}

func trial(days uint32, minor int64) change {
	return func(t *ledgerv1.Terms) { t.Initial = &ledgerv1.InitialPayment{Days: days, Amounts: price(minor)} }
}

func coupon(n uint32, minor int64) change {
	return func(t *ledgerv1.Terms) { t.Introductory = &ledgerv1.Introductory{Payments: n, Amounts: price(minor)} }
}

func regular(minor int64) change { return func(t *ledgerv1.Terms) { t.Regular = price(minor) } }

// Commands.

func startAt(now time.Time, t *ledgerv1.Terms) subscription.Start {
	return subscription.Start{
		Now: now, Trial: t.GetInitial() != nil, Number: orders / 10_000, Merchant: "acme", ID: "s1",
		Gateway: "sandbox", Processor: "Stripe", Mode: ledgerv1.Mode_MODE_TEST,
		Request: &ledgerv1.StartRequest{
			Buyer: &ledgerv1.Buyer{Id: "lead-1", FirstName: "Zoë"}, Terms: t, ConnectionId: "main", PaymentMethodToken: "tok",
		},
	}
}

func start(t *ledgerv1.Terms) command { return startAt(t0, t) }

func card() *ledgerv1.PaymentMethod {
	return &ledgerv1.PaymentMethod{Reference: "pm_1", Brand: "visa", Last4: "4242"}
}

func settle(now time.Time, number, attempt uint32, minor int64) command {
	return subscription.SettlePayment{Now: now, Number: number, Attempt: attempt, Amount: usd(minor), Method: card(),
		Reference: fmt.Sprintf("ch_%d_%d", number, attempt)}
}

func decline(now time.Time, number, attempt uint32, c ledgerv1.DeclineCategory) command {
	return subscription.DeclinePayment{Now: now, Number: number, Attempt: attempt, Category: c}
}

func doubt(now time.Time, number, attempt uint32) command {
	return subscription.DoubtPayment{Now: now, SentAt: now.Add(-time.Second), Number: number, Attempt: attempt, Why: "timeout"}
}

func pend(now time.Time, number, attempt uint32) command {
	return subscription.PendPayment{Now: now, Number: number, Attempt: attempt, Reference: "pi_1"}
}

func absent(now time.Time, number, attempt uint32) command {
	return subscription.ClearPayment{Now: now, Number: number, Attempt: attempt, Proof: "absent"}
}

func wake(now time.Time) command   { return subscription.Wake{Now: now} }
func rebill(now time.Time) command { return subscription.Rebill{Now: now} }
func cancel(now time.Time) command { return subscription.Cancel{Now: now, Reason: byBuyer} }

// bought is a subscription whose first payment of 47.00 succeeded at once.
func bought(changes ...change) commands {
	t := terms(subscription.Recurring, changes...)
	minor := t.Regular.Full.MinorUnits
	if t.Initial != nil {
		minor = t.Initial.Amounts.Full.MinorUnits
	}
	return commands{start(t), settle(t0, 1, 1, minor)}
}

// due is one whose second payment was asked for when it was due.
func due() commands { return with(bought(), wake(feb)) }

// Events.

func at(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func requested(number, attempt, reattempt uint32, minor int64, due time.Time) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentRequested{PaymentRequested: &ledgerv1.PaymentRequested{
		PayNumber: number, Attempt: attempt, Reattempt: reattempt, Amounts: price(minor), Due: at(due),
	}}}
}

func succeeded(order int64, number, attempt, reattempt uint32, minor int64, left uint32, next time.Time) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentSucceeded{PaymentSucceeded: &ledgerv1.PaymentSucceeded{
		OrderId: orders + order, PayNumber: number, Attempt: attempt, Reattempt: reattempt, Amounts: price(minor),
		OriginalOrderId: orders + 1, PaymentsLeft: left, NextDue: at(next), PaidThrough: at(next),
	}}}
}

// late is a charge that turned up too late; where nothing follows from it though something was paid for, after the end.
func late(order int64, number, attempt, reattempt uint32, left uint32, next, through time.Time) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_LateChargeObserved{LateChargeObserved: &ledgerv1.LateChargeObserved{
		OrderId: orders + order, PayNumber: number, Attempt: attempt, Reattempt: reattempt, Amounts: price(4700),
		OriginalOrderId: orders + 1, PaymentsLeft: left, NextDue: at(next), PaidThrough: at(through), Ended: next.IsZero() && !through.IsZero(),
	}}}
}

func declined(order int64, number, attempt, reattempt uint32, c ledgerv1.DeclineCategory, next time.Time) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentDeclined{PaymentDeclined: &ledgerv1.PaymentDeclined{
		OrderId: orders + order, PayNumber: number, Attempt: attempt, Reattempt: reattempt, Amounts: price(4700),
		Category: c, OriginalOrderId: orders + 1, NextAttemptAt: at(next),
	}}}
}

func notCharged(number, attempt uint32, proof string) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentNotCharged{PaymentNotCharged: &ledgerv1.PaymentNotCharged{
		PayNumber: number, Attempt: attempt, Proof: proof,
	}}}
}

func pending(number, attempt uint32, expires time.Time) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentPending{PaymentPending: &ledgerv1.PaymentPending{
		PayNumber: number, Attempt: attempt, ExpiresAt: at(expires),
	}}}
}

func duplicate(number, attempt uint32) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_DuplicateChargeObserved{DuplicateChargeObserved: &ledgerv1.DuplicateChargeObserved{
		PayNumber: number, Attempt: attempt, Amount: usd(4700),
	}}}
}

func skipped(count uint32, first, last, next time.Time) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_PeriodsSkipped{PeriodsSkipped: &ledgerv1.PeriodsSkipped{
		Count: count, First: at(first), Last: at(last), NextDue: at(next),
	}}}
}

// cancelled makes an order unless it is 0.
func cancelled(order int64, reason ledgerv1.CancelReason) *ledgerv1.Event {
	e := &ledgerv1.SubscriptionCancelled{Reason: reason}
	if order != 0 {
		e.OrderId, e.OriginalOrderId = orders+order, orders+1
	}
	return &ledgerv1.Event{Kind: &ledgerv1.Event_SubscriptionCancelled{SubscriptionCancelled: e}}
}

func completed(payments uint32) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_SubscriptionCompleted{SubscriptionCompleted: &ledgerv1.SubscriptionCompleted{Payments: payments}}}
}

// excess is how much more went back than was left; nil if it is none.
func excess(minor int64) *ledgerv1.Money {
	if minor == 0 {
		return nil
	}
	return usd(minor)
}
