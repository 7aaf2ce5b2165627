package invariant_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/db"
	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/aggregatetest"
	"ledger.internal/ledger/internal/aggregate/endpoint"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/subscription"
	"ledger.internal/ledger/internal/projection"
	"ledger.internal/ledger/internal/sim/invariant"
)

// world is a ledger that was never run: its log holds histories, and its rows were made from them.
type world struct {
	t           *testing.T
	log         *memory.Log
	views, work *db.DB
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, log: memory.New()}
	for name, to := range map[string]**db.DB{"views.db": &w.views, "work.db": &w.work} {
		d, err := db.Open(filepath.Join(t.TempDir(), name), db.Options{Synchronous: "NORMAL"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Close() })
		*to = d
	}
	return w
}

// live appends what the histories say, to an endpoint that hears of all of it.
func (w *world) live(histories ...aggregatetest.History) {
	w.t.Helper()
	_, err := aggregate.NewRunner(w.log, endpoint.Type()).Do(w.t.Context(), endpoint.Stream(aggregatetest.Merchant, "shop"),
		aggregate.Request{ID: "create", At: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)},
		endpoint.Create{Merchant: aggregatetest.Merchant, ID: "shop", SigningSecret: "whsec_c2VjcmV0",
			Settings: &ledgerv1.EndpointSettings{Url: "https://shop.example/ipn"}})
	w.ok(err)
	for _, h := range histories {
		raws, err := h.Raws()
		w.ok(err)
		_, err = w.log.Append(w.t.Context(), h.Stream, event.NoStream, raws...)
		w.ok(err)
	}
}

// project makes the rows.
func (w *world) project() {
	w.t.Helper()
	ctx, stop := context.WithCancel(w.t.Context())
	defer stop()
	head, err := w.log.Head(ctx)
	w.ok(err)
	for store, list := range map[*db.DB][]projection.Projection{w.views: projection.Views(), w.work: projection.Work()} {
		for _, p := range list {
			f := projection.NewFollower(w.log, store, p)
			w.ok(f.Prepare(ctx))
			done := make(chan error, 1)
			go func() { done <- f.Run(ctx) }()
			w.t.Cleanup(func() { <-done })
			w.ok(f.WaitFor(ctx, head))
		}
	}
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// check looks at the world; log, if given, is what is looked at in place of the real one.
func (w *world) check(log event.Log, captures []invariant.Capture) *invariant.Report {
	w.t.Helper()
	if log == nil {
		log = w.log
	}
	r, err := invariant.Check(w.t.Context(), invariant.World{Log: log, Views: w.views, Work: w.work, Captures: captures})
	w.ok(err)
	return r
}

// captures is what a gateway's book would hold.
func (w *world) captures() []invariant.Capture {
	w.t.Helper()
	all := []invariant.Capture{}
	runner := aggregate.NewRunner(w.log, subscription.Type())
	for _, h := range aggregatetest.Histories() {
		s, _, err := runner.Load(w.t.Context(), h.Stream)
		w.ok(err)
		st := s.Started
		for _, c := range s.Charges {
			if full := c.Amounts.Full; c.Reference != "" && full.MinorUnits > 0 {
				all = append(all, invariant.Capture{Merchant: st.MerchantId, Subscription: st.SubscriptionId, PayNumber: c.Number,
					Reference: c.Reference, Currency: full.CurrencyCode, Minor: full.MinorUnits})
			}
		}
		for _, a := range s.Attempts {
			if a.Captured != nil {
				all = append(all, invariant.Capture{Merchant: st.MerchantId, Subscription: st.SubscriptionId, PayNumber: a.Number,
					Reference: a.Reference, Currency: a.Captured.CurrencyCode, Minor: a.Captured.MinorUnits})
			}
		}
	}
	return all
}

func wantViolation(t *testing.T, r *invariant.Report, says string) {
	t.Helper()
	for _, v := range r.Violations {
		if strings.Contains(v, says) {
			return
		}
	}
	t.Errorf("found %q, want a violation that says %q", r.Violations, says)
}

func TestEveryHistoryIsClean(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live(aggregatetest.Histories()...)
	w.project()
	r := w.check(nil, w.captures())
	if len(r.Violations) > 0 {
		t.Errorf("violations in lives that follow the rules:\n%s", strings.Join(r.Violations, "\n"))
	}
	if n := len(aggregatetest.Histories()); r.Subscriptions != n || r.Orders == 0 || r.Notifications == 0 || r.Captures == 0 || r.Events == 0 || r.Entries == 0 {
		t.Errorf("looked at %+v, want %d subscriptions and something of everything", r, n)
	}
}

// Rows that do not say what the events say.
func TestTamperedRowsAreFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, store, statement, says string
	}{
		{"an order is missing", "views", `DELETE FROM order_rows WHERE type = 'refund'`, "orders of"},
		{"an order is another", "views", `UPDATE order_rows SET cash_effect = cash_effect + 1 WHERE type = 'sale'`, "in the view and"},
		{"an order that never was", "views", `UPDATE order_rows SET order_id = 77 WHERE order_id = (SELECT max(order_id) FROM order_rows)`, "which no event made"},
		{"a number is paid in the view only", "views", `UPDATE pay_number_versions SET state = 'paid', order_id = 77 WHERE state = 'declined'`, "the view says that order 77"},
		{"a paid number is not", "views", `UPDATE pay_number_versions SET state = 'pending' WHERE state = 'paid'`, "paid numbers of"},
		{"a subscription is missing", "views", `DELETE FROM subscription_versions WHERE number = (SELECT max(number) FROM subscription_versions)`, "subscriptions of"},
		{"a subscription is another", "views", `UPDATE subscription_versions SET state = 'active' WHERE state = 'cancelled' AND known_to IS NULL`, "state is"},
		{"a subscription is due at another time", "views", `UPDATE subscription_versions SET next_due_at = next_due_at + 1 WHERE known_to IS NULL`, "next_due_at is"},
		{"a subscription that never was", "views", `UPDATE subscription_versions SET subscription_id = 's99' WHERE number = (SELECT max(number) FROM subscription_versions)`, "which no event started"},
		{"a notification is missing", "work", `DELETE FROM delivery_rows WHERE type = 'sale'`, "was never queued"},
		{"a notification that nobody asked for", "work", `UPDATE delivery_rows SET delivery_id = 'x' WHERE delivery_id = (SELECT min(delivery_id) FROM delivery_rows)`, "nothing asks for it"},
		{"delivered without an event", "work", `UPDATE delivery_rows SET state = 'delivered' WHERE type = 'sale'`, "without an event"},
		{"an order went through another connection", "views", `UPDATE order_rows SET connection_id = 'other' WHERE type = 'sale'`, "in the view and"},
		{"a posting is missing", "views", `DELETE FROM journal_postings WHERE account = 'tax_payable'`, "postings of"},
		{"a posting is another", "views", `UPDATE journal_postings SET debit = debit + 1, credit = credit - 1 WHERE account = 'sales'`, "in the journal and"},
		{"a posting of another mode", "views", `UPDATE journal_postings SET mode = 'live'`, "in the journal and"},
		{"a posting that never was", "views", `UPDATE journal_postings SET line = 77 WHERE account = 'sales'`, "which no event made"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.live(aggregatetest.Histories()...)
			w.project()
			store := map[string]*db.DB{"views": w.views, "work": w.work}[c.store]
			w.ok(store.Update(t.Context(), func(tx projection.Tx) error {
				n, err := tx.Exec(c.statement)
				if n == 0 {
					t.Error("the statement changed nothing")
				}
				return err
			}))
			wantViolation(t, w.check(nil, nil), c.says)
		})
	}
}

// tampered is a log that somebody has been at.
type tampered struct {
	event.Log
	change func(n int, e *event.RawRecorded) (drop bool)
}

func (l tampered) Follow(ctx context.Context, categories []string, after event.Cursor, h func(context.Context, event.Message) error) error {
	n := 0
	return l.Log.Follow(ctx, categories, after, func(ctx context.Context, m event.Message) error {
		if m.Kind == event.KindEvent {
			n++
			m.Event.Data = append([]byte(nil), m.Event.Data...)
			m.Event.Metadata = append([]byte(nil), m.Event.Metadata...)
			if l.change(n, &m.Event) {
				return nil
			}
		}
		return h(ctx, m)
	})
}

func TestTamperedLogIsFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live(aggregatetest.Histories()...)
	w.project()
	for _, c := range []struct {
		name   string
		change func(n int, e *event.RawRecorded) bool
		says   string
	}{
		{"one byte of data", func(n int, e *event.RawRecorded) bool { e.Data[1] ^= byte(n & 1); return false }, "chain"},
		{"one byte of metadata", func(n int, e *event.RawRecorded) bool {
			if n == 9 {
				e.Metadata[20] ^= 1
			}
			return false
		}, "chain"},
		{"an event is missing", func(n int, _ *event.RawRecorded) bool { return n == 4 }, "follows"},
		{"an event in another stream", func(n int, e *event.RawRecorded) bool {
			if n == 5 {
				e.Stream += "x"
			}
			return false
		}, "chain"},
		{"positions that go back", func(n int, e *event.RawRecorded) bool {
			if n == 5 {
				e.Position = event.Position{Commit: 1}
			}
			return false
		}, "stands at"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantViolation(t, w.check(tampered{w.log, c.change}, nil), c.says)
		})
	}
}

// What the gateway's own book says, and the ledger does not.
func TestCapturesAreCompared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live(aggregatetest.Histories()...)
	w.project()
	for _, c := range []struct {
		name   string
		change func([]invariant.Capture) []invariant.Capture
		says   string
	}{
		{"a charge that the ledger does not know", func(all []invariant.Capture) []invariant.Capture {
			return append(all, invariant.Capture{Merchant: "acme", Subscription: "s1", PayNumber: 1, Reference: "ch_x", Currency: "USD", Minor: 1})
		}, "does not know it"},
		{"a sale that the gateway does not have", func(all []invariant.Capture) []invariant.Capture { return all[1:] }, "which the gateway does not have"},
		{"another amount", func(all []invariant.Capture) []invariant.Capture { all[0].Minor++; return all }, "but captured"},
		{"another currency", func(all []invariant.Capture) []invariant.Capture { all[0].Currency = "XYZ"; return all }, "but captured"},
		{"somebody else's", func(all []invariant.Capture) []invariant.Capture { all[0].Subscription = "other"; return all }, "was sold by"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantViolation(t, w.check(nil, c.change(w.captures())), c.says)
		})
	}
}

// Events that no rule allows, with a chain that is right.
func TestForbiddenStepsAreFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		after string // the history that the events come behind
		more  func(last subscription.State) []*ledgerv1.Event
		says  string
	}{
		{"a charge after the end", "monthly, declined to the end", func(s subscription.State) []*ledgerv1.Event {
			return []*ledgerv1.Event{requested(s.Paid+1, 9)}
		}, "after the end"},
		{"a number is left out", "free trial, rebilled", func(s subscription.State) []*ledgerv1.Event {
			return []*ledgerv1.Event{requested(s.Paid+2, 1)}
		}, "was next"},
		{"two attempts at once", "free trial, rebilled", func(s subscription.State) []*ledgerv1.Event {
			return []*ledgerv1.Event{requested(s.Paid+1, 1), requested(s.Paid+1, 2)}
		}, "a second attempt"},
		{"before it is due", "free trial, rebilled", func(s subscription.State) []*ledgerv1.Event {
			return []*ledgerv1.Event{requested(s.Paid+1, 1)}
		}, "before it was due"},
		{"a number is sold twice", "free trial, rebilled", func(s subscription.State) []*ledgerv1.Event {
			return []*ledgerv1.Event{{Kind: &ledgerv1.Event_PaymentSucceeded{PaymentSucceeded: &ledgerv1.PaymentSucceeded{
				OrderId: s.LastOrder() + 1, PayNumber: s.Paid, Attempt: 7, Amounts: s.Charges[0].Amounts, Reference: "ch_again"}}}}
		}, "was sold 2 times"},
		{"an order id is given twice", "free trial, rebilled", func(s subscription.State) []*ledgerv1.Event {
			return []*ledgerv1.Event{{Kind: &ledgerv1.Event_SubscriptionCancelled{SubscriptionCancelled: &ledgerv1.SubscriptionCancelled{
				OrderId: s.LastOrder(), Reason: ledgerv1.CancelReason_CANCEL_REASON_BUYER}}}}
		}, "a second time"},
		{"an entry is off balance", "free trial, rebilled", func(s subscription.State) []*ledgerv1.Event {
			parts := proto.CloneOf(s.Charges[1].Amounts)
			parts.Tax.MinorUnits++ // and the full amount is as before
			return []*ledgerv1.Event{{Kind: &ledgerv1.Event_RefundSucceeded{RefundSucceeded: &ledgerv1.RefundSucceeded{
				OrderId: s.LastOrder() + 1, RefundId: "rf_1", ParentOrderId: s.Charges[1].OrderID, PayNumber: 2, Amounts: parts}}}}
		}, "off balance"},
		{"money without an order", "free trial, rebilled", func(s subscription.State) []*ledgerv1.Event {
			return []*ledgerv1.Event{{Kind: &ledgerv1.Event_PaymentSucceeded{PaymentSucceeded: &ledgerv1.PaymentSucceeded{
				PayNumber: s.Paid + 1, Attempt: 1, Amounts: s.Charges[1].Amounts, Reference: "ch_x"}}}}
		}, "the books differ"},
		{"more goes back than came in", "free trial, rebilled", func(s subscription.State) []*ledgerv1.Event {
			last := s.Charges[len(s.Charges)-1]
			ask := func(id string) *ledgerv1.Event {
				return &ledgerv1.Event{Kind: &ledgerv1.Event_RefundRequested{RefundRequested: &ledgerv1.RefundRequested{
					RefundId: id, ParentOrderId: last.OrderID, PayNumber: last.Number, Amounts: last.Amounts, Key: id}}}
			}
			return []*ledgerv1.Event{ask("rf_1"), ask("rf_2")}
		}, "on their way back"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			h := aggregatetest.Named(c.after)
			w.live(h)
			w.appendBehind(h, c.more)
			r, err := invariant.Check(t.Context(), invariant.World{Log: w.log})
			w.ok(err)
			wantViolation(t, r, c.says)
		})
	}
}

func requested(number, attempt uint32) *ledgerv1.Event {
	usd := func(n int64) *ledgerv1.Money { return &ledgerv1.Money{CurrencyCode: "USD", MinorUnits: n} }
	return &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentRequested{PaymentRequested: &ledgerv1.PaymentRequested{
		PayNumber: number, Attempt: attempt, Key: "key", ConnectionId: "main",
		Amounts: &ledgerv1.Amounts{Full: usd(1), Base: usd(1), Discount: usd(0), Shipping: usd(0), Tax: usd(0)},
	}}}
}

// appendBehind writes events behind a history without asking whether they may be.
func (w *world) appendBehind(h aggregatetest.History, more func(subscription.State) []*ledgerv1.Event) {
	w.t.Helper()
	s, revision, err := aggregate.NewRunner(w.log, subscription.Type()).Load(w.t.Context(), h.Stream)
	w.ok(err)
	raws, err := h.Raws()
	w.ok(err)
	last, err := event.Decode(event.RawRecorded{Stream: h.Stream, Revision: revision, Raw: raws[len(raws)-1]})
	w.ok(err)
	prev, at := last.Metadata.Hash, last.Metadata.RecordedAt
	for i, e := range more(s) {
		e.Metadata = &ledgerv1.Metadata{OccurredAt: at, RecordedAt: timestamppb.New(at.AsTime().Add(time.Second)), Actor: "thief", RequestId: "forced"}
		raw, err := event.Encode(prev, h.Stream, revision+1, event.ID(h.Stream, "forced", i), e)
		w.ok(err)
		_, err = w.log.Append(w.t.Context(), h.Stream, revision, raw)
		w.ok(err)
		prev = e.Metadata.Hash
		revision++
	}
}
