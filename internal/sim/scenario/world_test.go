// Package scenario_test lives subscriptions through what is hard about recurring payments wherever they are made: a
// refund in three parts, a chargeback that comes back, a gateway that changes its mind, a plan of twelve payments.
//
// Each scenario is a table of commands and the instants at which they are given. The commands go through the
// aggregate's runner to a log, and what is compared is what a merchant would see: which events came of each command,
// his orders, his books, and how the subscription stands. Amounts are those of real cases, to the cent. No gateway is
// called and nothing happens by itself; the stories in cmd/ledger/testdata have the whole program.
package scenario_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/db"
	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/money"
	"ledger.internal/ledger/internal/aggregate/subscription"
	"ledger.internal/ledger/internal/projection"
	"ledger.internal/ledger/internal/sim/invariant"
)

const (
	merchant = "acme"
	day      = 24 * time.Hour
)

type (
	state   = subscription.State
	command = aggregate.Command[state]
)

// act is a command that is given at an instant.
type act func(now time.Time) command

// step is one thing that happens: when, what, and the events that come of it in short, or why it is refused.
type step struct {
	at   string // "2012-03-02" or "2012-03-02 12:02"
	do   act
	made string // "payment_requested 2.1 249.95", more of them separated by commas; or "refused: NOT_DUE"
}

// scenario is one subscription's life, and what is left of it.
type scenario struct {
	name   string
	steps  []step
	stands string   // "active, paid 2, due 2012-04-02"
	orders []string // "10002 partial_refund 1 -10.00 of 10001"
	books  []string // "gateway:main 228.95 USD": debits less credits, accounts with nothing on them left out
}

// live plays scenarios, each in a world of its own.
func live(t *testing.T, scenarios []scenario) {
	t.Helper()
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.live("s1", s.steps...)
			if got := w.stands("s1"); got != s.stands {
				t.Errorf("it stands so: %s; want %s", got, s.stands)
			}
			views := w.views()
			equal(t, "orders", w.orders(views, "s1"), s.orders)
			equal(t, "books", w.books(views, projection.PeriodFilter{}), s.books)
		})
	}
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// world is a log with subscriptions of one merchant.
type world struct {
	t        *testing.T
	log      *memory.Log
	runner   *aggregate.Runner[state]
	requests int
	events   map[string][]*ledgerv1.Event // by subscription
}

func newWorld(t *testing.T) *world {
	t.Helper()
	log := memory.New()
	return &world{t: t, log: log, runner: aggregate.NewRunner(log, subscription.Type()), events: map[string][]*ledgerv1.Event{}}
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// live takes a subscription through steps.
func (w *world) live(id string, steps ...step) {
	w.t.Helper()
	for i, s := range steps {
		if got := w.do(id, on(s.at), s.do); got != s.made {
			w.t.Fatalf("step %d, on %s: %s; want %s", i+1, s.at, orNothing(got), orNothing(s.made))
		}
	}
}

func orNothing(made string) string {
	if made == "" {
		return "nothing"
	}
	return made
}

// do gives a command and says in short what came of it.
func (w *world) do(id string, now time.Time, a act) string {
	w.t.Helper()
	w.requests++
	res, err := w.runner.Do(w.t.Context(), subscription.Stream(merchant, id),
		aggregate.Request{ID: fmt.Sprintf("r%d", w.requests), Actor: "api", At: now}, a(now))
	var refusal *aggregate.Error
	if errors.As(err, &refusal) {
		return "refused: " + refusal.Reason
	}
	w.ok(err)
	made := make([]string, len(res.Events))
	for i, e := range res.Events {
		made[i] = inShort(e.Event)
		w.events[id] = append(w.events[id], e.Event)
	}
	return strings.Join(made, ", ")
}

// inShort says what an event is, of which attempt, and over how much.
func inShort(e *ledgerv1.Event) string {
	says := []string{event.TypeName(e)}
	m := e.ProtoReflect()
	kind := m.Get(m.WhichOneof(m.Descriptor().Oneofs().ByName("kind"))).Message().Interface()
	if k, ok := kind.(interface {
		GetPayNumber() uint32
		GetAttempt() uint32
	}); ok {
		says = append(says, fmt.Sprintf("%d.%d", k.GetPayNumber(), k.GetAttempt()))
	}
	switch k := kind.(type) {
	case interface{ GetAmounts() *ledgerv1.Amounts }:
		says = append(says, money.Format(k.GetAmounts().GetFull()))
	case interface{ GetCharged() *ledgerv1.Money }:
		says = append(says, inWords(k.GetCharged()))
	}
	if k, ok := kind.(interface{ GetOverReturned() bool }); ok && k.GetOverReturned() {
		says = append(says, "over-returned")
	}
	return strings.Join(says, " ")
}

func inWords(m *ledgerv1.Money) string { return money.Format(m) + " " + m.GetCurrencyCode() }

// on reads an instant in UTC. The text is the test's own.
func on(text string) time.Time {
	for _, layout := range []string{time.DateOnly, "2006-01-02 15:04"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t
		}
	}
	panic("scenario: there is no instant " + text)
}

func (w *world) state(id string) state {
	w.t.Helper()
	s, _, err := w.runner.Load(w.t.Context(), subscription.Stream(merchant, id))
	w.ok(err)
	return s
}

// stands says how a subscription is.
func (w *world) stands(id string) string {
	w.t.Helper()
	s := w.state(id)
	says := []string{subscription.StateName(s.Status), fmt.Sprintf("paid %d", s.Paid)}
	for _, at := range []struct {
		name string
		time time.Time
	}{{"due", s.NextDue}, {"attempt", s.NextAttempt}} {
		if at.time.IsZero() || at.name == "attempt" && at.time.Equal(s.NextDue) {
			continue
		}
		says = append(says, at.name+" "+strings.TrimSuffix(at.time.Format("2006-01-02 15:04"), " 00:00"))
	}
	for _, flag := range []struct {
		name string
		is   bool
	}{{"in doubt", s.InDoubt()}, {"disputed", s.Disputed()}, {"held", s.Held()}, {"another amount was charged", s.Mismatch}} {
		if flag.is {
			says = append(says, flag.name)
		}
	}
	return strings.Join(says, ", ")
}

// views makes the rows that a merchant reads, and checks all that the ledger promises of them.
func (w *world) views() *db.DB {
	w.t.Helper()
	store, err := db.Open(filepath.Join(w.t.TempDir(), "views.db"), db.Options{Synchronous: "NORMAL"})
	w.ok(err)
	w.t.Cleanup(func() { w.ok(store.Close()) })
	ctx, stop := context.WithCancel(w.t.Context())
	defer stop()
	head, err := w.log.Head(ctx)
	w.ok(err)
	for _, p := range projection.Views() {
		f := projection.NewFollower(w.log, store, p)
		w.ok(f.Prepare(ctx))
		ended := make(chan error, 1)
		go func() { ended <- f.Run(ctx) }()
		w.t.Cleanup(func() { <-ended })
		w.ok(f.WaitFor(ctx, head))
	}
	r, err := invariant.Check(ctx, invariant.World{Log: w.log, Views: store})
	w.ok(err)
	for _, v := range r.Violations {
		w.t.Errorf("violation: %s", v)
	}
	return store
}

// orders lists a subscription's orders, oldest first: id, type, pay number with its re-attempt, what it did to the
// merchant's money or, if that is nothing, its amount; how a payment stands, and whether nobody is told of it.
func (w *world) orders(r projection.Reader, id string) []string {
	w.t.Helper()
	list, next, err := projection.ListOrders(w.t.Context(), r,
		projection.OrderFilter{MerchantID: merchant, SubscriptionID: id}, projection.Page{Size: projection.MaxPageSize})
	w.ok(err)
	if next != "" {
		w.t.Fatalf("%s has more orders than a page has", id)
	}
	slices.Reverse(list)
	told := w.told(id)
	var lines []string
	for _, o := range list {
		lines = append(lines, orderLine(o, told[o.OrderId]))
	}
	return lines
}

func orderLine(o *ledgerv1.Order, told string) string {
	kind := lower(o.Type.String(), "ORDER_TYPE_")
	says := []string{fmt.Sprint(o.OrderId), kind}
	if o.Reattempt > 0 {
		says = append(says, fmt.Sprintf("%d+%d", o.PayNumber, o.Reattempt))
	} else if o.PayNumber > 0 {
		says = append(says, fmt.Sprint(o.PayNumber))
	}
	if effect := o.CashEffect; effect.GetMinorUnits() != 0 {
		sign := "+"
		if effect.GetMinorUnits() < 0 {
			sign = ""
		}
		says = append(says, sign+money.Format(effect))
	} else if o.Amounts != nil {
		says = append(says, money.Format(o.Amounts.Full))
	}
	switch o.Status {
	case ledgerv1.OrderStatus_ORDER_STATUS_DONE, ledgerv1.OrderStatus_ORDER_STATUS_FAILED:
	default:
		says = append(says, lower(o.Status.String(), "ORDER_STATUS_"))
	}
	if o.ParentOrderId != 0 {
		says = append(says, fmt.Sprintf("of %d", o.ParentOrderId))
	}
	if o.Late {
		says = append(says, "late")
	}
	switch told {
	case kind:
	case "":
		says = append(says, "silent")
	default:
		says = append(says, "told as "+told)
	}
	return strings.Join(says, " ")
}

// told is as what the merchant's endpoints hear of the orders.
func (w *world) told(id string) map[int64]string {
	w.t.Helper()
	told := map[int64]string{}
	for _, e := range w.events[id] {
		kind, order, ok := projection.IPNType(e)
		if !ok {
			continue
		}
		if told[order] != "" {
			w.t.Errorf("order %d is told twice", order)
		}
		told[order] = lower(kind.String(), "IPN_TYPE_")
	}
	return told
}

func lower(name, prefix string) string { return strings.ToLower(strings.TrimPrefix(name, prefix)) }

// books are the balances of a period. That debits and credits are the same is said by the row's own sums.
func (w *world) books(r projection.Reader, f projection.PeriodFilter) []string {
	w.t.Helper()
	f.MerchantID = merchant
	all, err := projection.TrialBalance(w.t.Context(), r, f)
	w.ok(err)
	var lines []string
	for _, b := range all {
		if b.Debits.MinorUnits != b.Credits.MinorUnits {
			w.t.Errorf("the book has debits of %s and credits of %s", inWords(b.Debits), inWords(b.Credits))
		}
		for _, a := range b.Accounts {
			if a.Balance.MinorUnits != 0 {
				lines = append(lines, a.Account+" "+inWords(a.Balance))
			}
		}
	}
	return lines
}
