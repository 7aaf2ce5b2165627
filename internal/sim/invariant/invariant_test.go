package invariant_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/aggregate/aggregatetest"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/merchant"
	"ledger.internal/ledger/internal/aggregate/subscription"
	"ledger.internal/ledger/internal/projection"
	"ledger.internal/ledger/internal/sim/invariant"
)

func usd(minor int64) *ledgerv1.Money { return &ledgerv1.Money{CurrencyCode: "USD", MinorUnits: minor} }

func stamp(t time.Time) *timestamppb.Timestamp { return timestamppb.New(t) }

func TestAllAreListed(t *testing.T) {
	t.Parallel()
	all := invariant.All()
	if len(all) != 26 || all[0].Number != "I-01" || all[25].Number != "I-26" {
		t.Errorf("got %d promises from %s to %s, want I-01 to I-26", len(all), all[0].Number, all[len(all)-1].Number)
	}
	for i, p := range all {
		if p.Says == "" || p.Where == "" || i > 0 && p.Number <= all[i-1].Number {
			t.Errorf("promise %+v is not said, not looked at, or out of order", p)
		}
	}
}

func TestEveryHistoryIsClean(t *testing.T) {
	t.Parallel()
	w := healthy(t)
	r := w.check(w.world())
	wantClean(t, r)
	if n := len(aggregatetest.Histories()); r.Subscriptions != n || r.Orders == 0 || r.Notifications == 0 || r.Captures == 0 || r.Events == 0 || r.Entries == 0 {
		t.Errorf("looked at %+v, want %d subscriptions and something of everything", r, n)
	}
}

// The same histories again and again, as other subscriptions.
func TestManyHistoriesAreClean(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := 0
	for h := range aggregatetest.Endless() {
		if w.append(h); n == 3*len(aggregatetest.Histories()) {
			break
		}
		n++
	}
	w.see()
	wantClean(t, w.check(invariant.World{Log: w.log, Evidence: w.seen}))
}

// resting is a world that has come to rest, a minute after its last event.
func resting(t *testing.T, change func(*world)) invariant.World {
	t.Helper()
	w := newWorld(t)
	w.live(aggregatetest.Named("free trial, rebilled"), aggregatetest.Named("bought, refunded"))
	w.deliver()
	if change != nil {
		change(w)
	}
	w.project()
	w.see()
	in := w.world()
	in.AtRest, in.Now = true, lastRecorded(w).Add(time.Minute)
	return in
}

func lastRecorded(w *world) (last time.Time) {
	for _, e := range w.events(subscription.Category) {
		if at := e.Metadata.RecordedAt.AsTime(); at.After(last) {
			last = at
		}
	}
	return last
}

func TestRestIsClean(t *testing.T) {
	t.Parallel()
	in := resting(t, nil)
	r, err := invariant.Check(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	wantClean(t, r)
}

// What is open is no matter before rest, and for ever after.
func TestWhatIsOpenAtRestIsFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		history       func(*world)
		in            func(*invariant.World)
		promise, says string
	}{
		{"an attempt", func(w *world) {
			h := aggregatetest.Named("in doubt, charged after all")
			h.Events = h.Events[:2]
			w.append(h)
		}, func(w *invariant.World) { w.Now = w.Now.AddDate(-1, 0, 0) }, "I-09", "became of attempt"},
		{"a refund", func(w *world) {
			h := aggregatetest.Named("refund in doubt, done, and back again")
			h.Events = h.Events[:slices.IndexFunc(h.Events, func(e event.Recorded) bool { return e.GetRefundRequested() != nil })+1]
			w.append(h)
			for _, e := range h.Events {
				w.deliverOne(e, delivered)
			}
		}, nil, "I-09", "became of refund"},
		{"a charge of which the ledger never heard", nil, func(w *invariant.World) {
			w.Captures = append(w.Captures, invariant.Capture{Merchant: "acme", Subscription: w.Returns[0].Subscription, PayNumber: 2, Key: "k", Denied: true, Reference: "ch_x", Currency: "USD", Minor: 1})
		}, "I-02", "does not know it"},
		{"a refund of which the ledger never heard", nil, func(w *invariant.World) {
			r := w.Returns[0]
			r.Key, r.Reference = "", "re_desk"
			w.Returns = append(w.Returns, r)
		}, "I-02", "by itself"},
		{"a chargeback of which the ledger never heard", nil, func(w *invariant.World) {
			r := w.Returns[0]
			r.Key, r.Kind, r.Reference = "", invariant.ChargedBack, "dp_x"
			w.Returns = append(w.Returns, r)
		}, "I-02", "dispute dp_x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			in := resting(t, c.history)
			if c.in != nil {
				c.in(&in)
			}
			open, err := invariant.Check(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			wantBroken(t, open.Violations, c.promise, c.says)
			in.AtRest = false
			r, err := invariant.Check(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			wantClean(t, r)
		})
	}
}

// Rows that do not say what the events say.
func TestTamperedRowsAreFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, store, statement, promise, says string
	}{
		{"an order is missing", "views", `DELETE FROM order_rows WHERE type = 'refund'`, "I-12", "orders of"},
		{"an order is another", "views", `UPDATE order_rows SET cash_effect = cash_effect + 1 WHERE type = 'sale'`, "I-12", "in the view and"},
		{"an order that never was", "views", `UPDATE order_rows SET order_id = 77 WHERE order_id = (SELECT max(order_id) FROM order_rows)`, "I-12", "which no event made"},
		{"an order went through another connection", "views", `UPDATE order_rows SET connection_id = 'other' WHERE type = 'sale'`, "I-12", "in the view and"},
		{"a number is paid in the view only", "views", `UPDATE pay_number_versions SET state = 'paid', order_id = 77 WHERE state = 'declined'`, "I-12", "the view says that order 77"},
		{"a paid number is not", "views", `UPDATE pay_number_versions SET state = 'pending' WHERE state = 'paid'`, "I-12", "paid numbers of"},
		{"a subscription is missing", "views", `DELETE FROM subscription_versions WHERE number = (SELECT max(number) FROM subscription_versions)`, "I-12", "subscriptions of"},
		{"a subscription is another", "views", `UPDATE subscription_versions SET state = 'active' WHERE state = 'cancelled' AND known_to IS NULL`, "I-12", "state is"},
		{"a subscription is due at another time", "views", `UPDATE subscription_versions SET next_due_at = next_due_at + 1 WHERE known_to IS NULL`, "I-12", "next_due_at is"},
		{"a subscription that never was", "views", `UPDATE subscription_versions SET subscription_id = 's99' WHERE number = (SELECT max(number) FROM subscription_versions)`, "I-12", "which no event started"},
		{"a posting is missing", "views", `DELETE FROM journal_postings WHERE account = 'tax_payable'`, "I-01", "postings of"},
		{"a posting is another", "views", `UPDATE journal_postings SET debit = debit + 1, credit = credit - 1 WHERE account = 'sales'`, "I-01", "in the journal and"},
		{"a posting of another mode", "views", `UPDATE journal_postings SET mode = 'live'`, "I-01", "in the journal and"},
		{"a posting that never was", "views", `UPDATE journal_postings SET line = 77 WHERE account = 'sales'`, "I-01", "which no event made"},
		{"a view is ahead of the log", "views", `UPDATE cursors SET commit_pos = commit_pos + 1 WHERE follower = 'orders'`, "I-13", "orders has come to"},
		{"a view was made from another log", "views", `UPDATE cursors SET last_id = '5f0c7d5e-3f53-4d51-8f5f-6f1f0f2c9a6b' WHERE follower = 'orders'`, "I-13", "not in the log"},
		{"a view has read its last event elsewhere", "views", `UPDATE cursors SET last_commit = last_commit - 1, last_prepare = last_prepare - 1 WHERE follower = 'orders'`, "I-13", "where another one stands"},
		{"a notification is missing", "work", `DELETE FROM delivery_rows WHERE type = 'sale'`, "I-10", "was never queued"},
		{"a notification that nobody asked for", "work", `UPDATE delivery_rows SET delivery_id = 'x' WHERE delivery_id = (SELECT min(delivery_id) FROM delivery_rows)`, "I-10", "nothing asks for it"},
		{"given up without an event", "work", `UPDATE delivery_rows SET state = 'gave_up' WHERE type = 'sale'`, "I-10", "was concluded as"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.live(aggregatetest.Named("a full life, recurring"), aggregatetest.Named("monthly, declined to the end"), aggregatetest.Named("free trial, rebilled"), aggregatetest.Named("shipped, refunded by parts and cancelled"))
			w.deliver()
			w.project()
			store := map[string]projection.Store{"views": w.views, "work": w.work}[c.store]
			w.exec(store, c.statement)
			r := w.check(invariant.World{Log: w.log, Views: w.views, Work: w.work})
			wantBroken(t, r.Violations, c.promise, c.says)
		})
	}
}

// What a worker has left undone.
func TestQueuesThatAreNotEmptyAreFound(t *testing.T) {
	t.Parallel()
	parked := `INSERT INTO parks VALUES ('charge', 'subscription-acme.s1', 0, 'poison', 1, 0, 0)`
	unread := `INSERT INTO webhooks VALUES (1, 'acme', 'main', 'sandbox', 'm1', 0, '', x'7b7d', '', 0, '', 0)`
	for _, c := range []struct{ name, statement, promise, says string }{
		{"a stream is parked", parked, "I-22", "is parked"},
		{"a message is not read", unread, "I-22", "is not read"},
		{"a lease is held", `UPDATE delivery_rows SET lease_owner = 'a' WHERE type = 'sale'`, "I-22", "is leased"},
		{"a timer's time has passed", `UPDATE timers SET due_at = 1`, "I-22", "was to be woken"},
		{"a timer is missing", `DELETE FROM timers`, "I-22", "nothing will"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			in := resting(t, nil)
			w := world{t: t}
			w.exec(in.Work.(*work.Work), c.statement)
			wantBroken(t, w.check(in).Violations, c.promise, c.says)
			in.AtRest = false
			wantClean(t, w.check(in))
		})
	}
	t.Run("a notification waits", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.live(aggregatetest.Named("bought once"))
		w.project()
		wantBroken(t, w.check(invariant.World{Log: w.log, Work: w.work, AtRest: true}).Violations, "I-22", "is waiting")
		in := invariant.World{Log: w.log, AtRest: true}
		in.Receipts = []invariant.Receipt{}
		wantBroken(t, w.check(in).Violations, "I-10", "nor given up")
	})
}

func TestTamperedLogIsFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live(aggregatetest.Histories()...)
	var first event.RawRecorded
	for _, c := range []struct {
		name          string
		change        func(n int, e *event.RawRecorded) bool
		promise, says string
		also          []string // what cannot be right either
	}{
		{"one byte of metadata", func(n int, e *event.RawRecorded) bool {
			if n == 9 {
				e.Metadata[slices.Index(e.Metadata, '2')]--
			}
			return false
		}, "I-23", "chain", []string{"I-05", "I-08", "I-14", "I-16"}},
		{"one byte of data", func(n int, e *event.RawRecorded) bool {
			if n == 9 {
				e.Data[1] ^= 1
			}
			return false
		}, "I-23", "chain", []string{"I-14"}},
		{"an event is missing", func(n int, _ *event.RawRecorded) bool { return n == 4 }, "I-08", "follows", []string{"I-23", "I-14", "I-16"}},
		{"an event in another stream", func(n int, e *event.RawRecorded) bool {
			if n == 5 {
				e.Stream = strings.Replace(e.Stream, "subscription", "merchant", 1)
			}
			return false
		}, "I-23", "chain", []string{"I-08", "I-16"}},
		{"positions that go back", func(n int, e *event.RawRecorded) bool {
			if n == 5 {
				e.Position = event.Position{Commit: 1}
			}
			return false
		}, "I-08", "stands at", nil},
		{"an id is given twice", func(n int, e *event.RawRecorded) bool {
			if n == 2 {
				first = *e
			}
			if n == 9 {
				e.ID = first.ID
			}
			return false
		}, "I-08", "another event has", []string{"I-23", "I-16"}},
		{"a stream of which nobody knows", func(n int, e *event.RawRecorded) bool {
			e.Stream = strings.Replace(e.Stream, "endpoint", "end", 1)
			return false
		}, "I-14", "nobody folds", []string{"I-23", "I-16"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := w.check(invariant.World{Log: tampered{w.log, c.change}})
			r.Violations = slices.DeleteFunc(r.Violations, func(v string) bool { return slices.Contains(c.also, v[:4]) })
			wantBroken(t, r.Violations, c.promise, c.says)
		})
	}
}

// What others saw, and the ledger does not say.
func TestEvidenceIsCompared(t *testing.T) {
	t.Parallel()
	w := healthy(t)
	returned := slices.IndexFunc(w.seen.Returns, func(r invariant.Return) bool { return r.Key != "" })
	for _, c := range []struct {
		name          string
		change        func(*invariant.Evidence)
		promise, says string
		also          string // what cannot be right either
	}{
		{"a charge that the ledger does not know", func(e *invariant.Evidence) {
			e.Captures = append(e.Captures, invariant.Capture{Merchant: "acme", Subscription: "s01", PayNumber: 2, Key: "k", Reference: "ch_x", Currency: "USD", Minor: 1})
		}, "I-02", "does not know it", ""},
		{"a sale that the gateway does not have", func(e *invariant.Evidence) { e.Captures = e.Captures[1:] }, "I-02", "the gateway does not have it", ""},
		{"another amount", func(e *invariant.Evidence) { e.Captures[0].Minor++ }, "I-02", "and the gateway as", ""},
		{"another currency", func(e *invariant.Evidence) { e.Captures[0].Currency = "XYZ" }, "I-02", "and the gateway as", ""},
		{"somebody else's", func(e *invariant.Evidence) { e.Captures[0].Subscription = "other" }, "I-02", "is known as one of", ""},
		{"through another connection", func(e *invariant.Evidence) { e.Captures[0].Connection = "other" }, "I-02", "went through other", ""},
		{"a refund that the gateway does not have", func(e *invariant.Evidence) { e.Returns = slices.Delete(e.Returns, returned, returned+1) }, "I-02", "was returned, and", ""},
		{"a refund of another amount", func(e *invariant.Evidence) { e.Returns[returned].Minor-- }, "I-02", "the ledger asked for", ""},
		{"a refund by a key that is not in the log", func(e *invariant.Evidence) { e.Returns[returned].Key = "key" }, "I-02", "a key of ours", ""},
		{"a refund carried out twice", func(e *invariant.Evidence) {
			again := e.Returns[returned]
			again.Reference = "re_again"
			e.Returns = append(e.Returns, again)
		}, "I-06", "twice with one key", ""},
		{"more refunds than the charge was", func(e *invariant.Evidence) {
			for i, r := range e.Captures {
				if r.Reference == e.Returns[returned].ChargeReference {
					e.Captures[i].Minor = 1
				}
			}
		}, "I-06", "were returned by our doing", "and the gateway as"},
		{"an answer to what is not there", func(e *invariant.Evidence) { e.Acks[0].RequestID = "nothing" }, "I-04", "no event of it", ""},
		{"an answer about no stream", func(e *invariant.Evidence) { e.Acks[0].Stream = "subscription-acme.none" }, "I-04", "no such stream", ""},
		{"an answer with a revision that was lost", func(e *invariant.Evidence) { e.Acks[0].Revision, e.Acks[0].Waited = 1000, true }, "I-04", "the stream ends at", ""},
		{"an answer with a position that was lost", func(e *invariant.Evidence) { e.Acks[0].Position, e.Acks[0].Waited = "99999-0", true }, "I-04", "the log ends at", ""},
		{"an answer from before it was done", func(e *invariant.Evidence) { e.Acks[0].Revision-- }, "I-04", "its last event is", ""},
		{"an answer that tells of something else", func(e *invariant.Evidence) { e.Acks[0].Revision++ }, "I-16", "was answered with", ""},
		{"another answer the second time", func(e *invariant.Evidence) {
			again := e.Acks[0]
			again.Replayed = true
			again.Revision++
			e.Acks = append(e.Acks, again)
		}, "I-16", "was answered with", ""},
		{"an event for which nobody asked", func(e *invariant.Evidence) {
			e.Asked = slices.DeleteFunc(e.Asked, func(id string) bool { return id == "start" })
		}, "I-05", "nobody has asked", ""},
		{"a notification of nothing", func(e *invariant.Evidence) { e.Receipts[0].WebhookID = uuid.Nil.String() }, "I-10", "no event made", "nobody has acknowledged"},
		{"another merchant's notification", func(e *invariant.Evidence) { e.Receipts[0].Merchant = "other" }, "I-10", "which was for", "nobody has acknowledged"},
		{"a signature that is wrong", func(e *invariant.Evidence) { e.Receipts[0].Genuine = false }, "I-10", "wrong signature", ""},
		{"other bytes the second time", func(e *invariant.Evidence) {
			again := e.Receipts[0]
			again.Body = "else"
			e.Receipts = append(e.Receipts, again)
		}, "I-10", "something else", ""},
		{"delivered, and nobody knows", func(e *invariant.Evidence) { e.Receipts[0].Acknowledged = false }, "I-10", "nobody has acknowledged", ""},
		{"in another order", func(e *invariant.Evidence) { slices.Reverse(e.Receipts) }, "I-11", "after a later one", ""},
		{"a message that is not kept", func(e *invariant.Evidence) {
			e.Messages = []invariant.Message{{Gateway: "sandbox", Merchant: "acme", Connection: "main", ID: "m1"}}
		}, "I-25", "is not kept", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := w.world()
			in.Captures, in.Returns = slices.Clone(w.seen.Captures), slices.Clone(w.seen.Returns)
			in.Acks, in.Asked, in.Receipts = slices.Clone(w.seen.Acks), slices.Clone(w.seen.Asked), slices.Clone(w.seen.Receipts)
			c.change(&in.Evidence)
			r := w.check(in)
			r.Violations = slices.DeleteFunc(r.Violations, func(v string) bool { return c.also != "" && strings.Contains(v, c.also) })
			wantBroken(t, r.Violations, c.promise, c.says)
		})
	}
}

// Two charges for one number, and what is none.
func TestDoubleChargesAreFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live(aggregatetest.Named("in doubt, never charged, tried again"), aggregatetest.Named("charged another amount, returned, charged"))
	w.project()
	w.see()
	wantClean(t, w.check(w.world()))
	first := w.seen.Captures[0]
	for _, c := range []struct {
		name          string
		second        func(*invariant.Capture)
		promise, says string // none: it is no matter
	}{
		{"with two keys", func(c *invariant.Capture) { c.Key = "other" }, "I-03", "was captured twice"},
		{"with one key", func(*invariant.Capture) {}, "I-03", "with one key"},
		{"after the gateway had denied it", func(c *invariant.Capture) { c.Key, c.Denied = "other", true }, "", ""},
		{"by the gateway itself", func(c *invariant.Capture) { c.Key = "" }, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := w.world()
			second := first
			second.Reference = "ch_second"
			c.second(&second)
			in.Captures = append(slices.Clone(in.Captures), second)
			r := w.check(in)
			r.Violations = slices.DeleteFunc(r.Violations, func(v string) bool { return strings.Contains(v, "ch_second") }) // nobody knows it
			if c.promise == "" {
				wantClean(t, r)
				return
			}
			wantBroken(t, r.Violations, c.promise, c.says)
		})
	}
}

// A message that was acknowledged is there, read or whole.
func TestMessagesAreKept(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, body, retry string
		whole             bool
	}{
		{"not read", "x'7b7d'", "0", true},
		{"read", "x''", "NULL", true},
		{"empty and not read", "x''", "0", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			in := resting(t, nil)
			in.AtRest = false
			w := world{t: t}
			w.exec(in.Work.(*work.Work), `INSERT INTO webhooks VALUES (1, 'acme', 'main', 'sandbox', 'm1', 0, '', `+c.body+`, '', 0, '', `+c.retry+`)`)
			in.Messages = []invariant.Message{{Gateway: "sandbox", Merchant: "acme", Connection: "main", ID: "m1"}}
			r := w.check(in)
			if c.whole {
				wantClean(t, r)
			} else {
				wantBroken(t, r.Violations, "I-25", "is empty")
			}
		})
	}
}

func TestCanariesAreFound(t *testing.T) {
	t.Parallel()
	in := resting(t, nil)
	for _, c := range []struct {
		name, canary string
		sings        bool
	}{
		{"nowhere", "4111111111111111", false},
		{"in a field that is secret", "whsec_c2VjcmV0", false},
		{"in a plain field and in rows", "https://shop.example/thanks", true},
		{"in rows", aggregatetest.Named("bought, refunded").Stream, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			in.Canaries = []string{c.canary}
			r, err := invariant.Check(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			if c.sings {
				wantBroken(t, r.Violations, "I-19", "a secret that was planted")
			} else {
				wantClean(t, r)
			}
		})
	}
}

// Events that no rule allows, with a chain that is right.
func TestForbiddenStepsAreFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		after         string // the history that the events come behind
		more          func(last subscription.State) []*ledgerv1.Event
		promise, says string
		also          []string // what cannot be right either
	}{
		{"a charge after the end", "monthly, cancelled at the period's end", func(s subscription.State) []*ledgerv1.Event {
			return events(requested(s.Paid+1, 9))
		}, "I-15", "after the end", nil},
		{"a number is left out", "free trial, rebilled", func(s subscription.State) []*ledgerv1.Event {
			return events(requested(s.Paid+2, 1))
		}, "I-07", "was next", []string{"I-15"}},
		{"two attempts at once", "free trial, rebilled", func(s subscription.State) []*ledgerv1.Event {
			return events(requested(s.Paid+1, 1), requested(s.Paid+1, 2))
		}, "I-09", "a second attempt", []string{"I-15"}},
		{"an attempt is made twice", "monthly, declined, recovered", func(s subscription.State) []*ledgerv1.Event {
			return events(requested(s.Paid, 1))
		}, "I-09", "a second time", []string{"I-07", "I-15"}},
		{"before it is due", "free trial, rebilled", func(s subscription.State) []*ledgerv1.Event {
			return events(requested(s.Paid+1, 1))
		}, "I-15", "before it was due", nil},
		{"more than was agreed", "free trial, rebilled", func(s subscription.State) []*ledgerv1.Event {
			r := requested(s.Paid+1, 1)
			r.GetPaymentRequested().Amounts.Full.MinorUnits = 1_000_000
			return events(r)
		}, "I-15", "had agreed to", nil},
		{"in a pause", "free trial, rebilled", func(s subscription.State) []*ledgerv1.Event {
			return events(&ledgerv1.Event{Kind: &ledgerv1.Event_SubscriptionPaused{SubscriptionPaused: &ledgerv1.SubscriptionPaused{}}},
				&ledgerv1.Event{Kind: &ledgerv1.Event_PaymentRescheduled{PaymentRescheduled: &ledgerv1.PaymentRescheduled{NextDue: stamp(s.Anchor), PreviousDue: stamp(s.NextDue)}}},
				requested(s.Paid+1, 1))
		}, "I-15", "though paused: true", nil},
		{"after the end that was wished for", "free trial, rebilled", func(s subscription.State) []*ledgerv1.Event {
			return events(&ledgerv1.Event{Kind: &ledgerv1.Event_PaymentRescheduled{PaymentRescheduled: &ledgerv1.PaymentRescheduled{
				NextDue: stamp(s.Anchor), PreviousDue: stamp(s.NextDue), CancelAt: stamp(s.Anchor)}}}, requested(s.Paid+1, 1))
		}, "I-15", "after the end that was wished for", nil},
		{"after a hard decline", "free trial, rebilled", func(s subscription.State) []*ledgerv1.Event {
			return events(requested(s.Paid+1, 1), declined(s, ledgerv1.DeclineCategory_DECLINE_CATEGORY_HARD), requested(s.Paid+1, 2))
		}, "I-17", "a decline that forbids it", []string{"I-15"}},
		{"after the agreement was lost", "free trial, rebilled", func(s subscription.State) []*ledgerv1.Event {
			return events(&ledgerv1.Event{Kind: &ledgerv1.Event_AgreementLost{AgreementLost: &ledgerv1.AgreementLost{}}}, requested(s.Paid+1, 1))
		}, "I-17", "that was stopped", []string{"I-15"}},
		{"too many re-attempts", "free trial, rebilled", func(s subscription.State) []*ledgerv1.Event {
			r := requested(s.Paid+1, 1)
			r.GetPaymentRequested().Reattempt = 4
			return events(r)
		}, "I-17", "re-attempt 4", []string{"I-15"}},
		{"a card is tried too often", "free trial, rebilled", func(s subscription.State) (es []*ledgerv1.Event) {
			for n := range uint32(17) {
				d := declined(s, ledgerv1.DeclineCategory_DECLINE_CATEGORY_SOFT)
				d.GetPaymentDeclined().Attempt, d.GetPaymentDeclined().OrderId = n+1, s.LastOrder()+int64(n)+1
				r := requested(s.Paid+1, n+1)
				r.GetPaymentRequested().Key = uuid.NewString()
				es = append(es, r, d)
			}
			return es
		}, "I-17", "declined 16 times", []string{"I-15"}},
		{"a number is sold twice", "free trial, rebilled", func(s subscription.State) []*ledgerv1.Event {
			return events(&ledgerv1.Event{Kind: &ledgerv1.Event_PaymentSucceeded{PaymentSucceeded: &ledgerv1.PaymentSucceeded{
				OrderId: s.LastOrder() + 1, PayNumber: s.Paid, Attempt: 1, Amounts: s.Charges[0].Amounts, Reference: "ch_again"}}})
		}, "I-07", "was sold 2 times", []string{"I-14"}},
		{"an outcome of nothing", "free trial, rebilled", func(s subscription.State) []*ledgerv1.Event {
			return events(&ledgerv1.Event{Kind: &ledgerv1.Event_PaymentNotCharged{PaymentNotCharged: &ledgerv1.PaymentNotCharged{PayNumber: 9, Attempt: 9}}})
		}, "I-05", "nobody asked for it", nil},
		{"a refund's outcome of nothing", "free trial, rebilled", func(s subscription.State) []*ledgerv1.Event {
			return events(&ledgerv1.Event{Kind: &ledgerv1.Event_RefundFailed{RefundFailed: &ledgerv1.RefundFailed{RefundId: "rf_x"}}})
		}, "I-05", "refund rf_x has an outcome", nil},
		{"an outcome of what has one", "free trial, rebilled", func(s subscription.State) []*ledgerv1.Event {
			return events(&ledgerv1.Event{Kind: &ledgerv1.Event_PaymentNotCharged{PaymentNotCharged: &ledgerv1.PaymentNotCharged{PayNumber: s.Paid, Attempt: 1}}})
		}, "I-14", "cannot have this outcome", nil},
		{"what had ended lives", "bought, refunded", func(s subscription.State) []*ledgerv1.Event {
			return events(&ledgerv1.Event{Kind: &ledgerv1.Event_SubscriptionPaused{SubscriptionPaused: &ledgerv1.SubscriptionPaused{}}})
		}, "I-14", "that was completed became paused", nil},
		{"it begins twice", "free trial, rebilled", func(s subscription.State) []*ledgerv1.Event {
			return events(&ledgerv1.Event{Kind: &ledgerv1.Event_SubscriptionStarted{SubscriptionStarted: proto.CloneOf(s.Started)}})
		}, "I-14", "a second time", nil},
		{"an order id is given twice", "free trial, rebilled", func(s subscription.State) []*ledgerv1.Event {
			return events(&ledgerv1.Event{Kind: &ledgerv1.Event_SubscriptionCancelled{SubscriptionCancelled: &ledgerv1.SubscriptionCancelled{
				OrderId: s.LastOrder(), Reason: ledgerv1.CancelReason_CANCEL_REASON_BUYER}}})
		}, "I-14", "a second time", nil},
		{"an entry is off balance", "free trial, rebilled", func(s subscription.State) []*ledgerv1.Event {
			parts := proto.CloneOf(s.Charges[1].Amounts)
			parts.Tax.MinorUnits++ // and the full amount is as before
			return refunded(s, parts)
		}, "I-01", "off balance", nil},
		{"money without an order", "free trial, rebilled", func(s subscription.State) []*ledgerv1.Event {
			return events(requested(s.Paid+1, 1), &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentSucceeded{PaymentSucceeded: &ledgerv1.PaymentSucceeded{
				PayNumber: s.Paid + 1, Attempt: 1, Amounts: s.Charges[1].Amounts, Reference: "ch_x"}}})
		}, "I-01", "the books", []string{"I-15"}},
		{"one charge for two numbers", "free trial, rebilled", func(s subscription.State) []*ledgerv1.Event {
			return events(requested(s.Paid+1, 1), &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentSucceeded{PaymentSucceeded: &ledgerv1.PaymentSucceeded{
				OrderId: s.LastOrder() + 1, PayNumber: s.Paid + 1, Attempt: 1, Amounts: s.Charges[1].Amounts, Reference: s.Charges[1].Reference}}})
		}, "I-02", "counts for pay number", []string{"I-15"}},
		{"more goes back than came in", "free trial, rebilled", func(s subscription.State) []*ledgerv1.Event {
			return events(askRefund(s, "rf_1"), askRefund(s, "rf_2"))
		}, "I-06", "on their way back", nil},
		{"more went back than came in", "free trial, rebilled", func(s subscription.State) []*ledgerv1.Event {
			twice := proto.CloneOf(s.Charges[1].Amounts)
			twice.Full.MinorUnits *= 2
			twice.Base.MinorUnits += s.Charges[1].Amounts.Full.MinorUnits
			return refunded(s, twice)
		}, "I-06", "are back", nil},
		{"a refund of no payment", "free trial, rebilled", func(s subscription.State) []*ledgerv1.Event {
			r := askRefund(s, "rf_1")
			r.GetRefundRequested().ParentOrderId = 7
			return events(r)
		}, "I-06", "which is no payment", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			h := aggregatetest.Named(c.after)
			w.live(h)
			w.appendBehind(h.Stream, c.more)
			in := invariant.World{Log: w.log}
			if c.promise == "I-02" {
				w.see()
				in.Captures = w.seen.Captures
			}
			r := w.check(in)
			r.Violations = slices.DeleteFunc(r.Violations, func(v string) bool { return slices.Contains(c.also, v[:4]) })
			wantBroken(t, r.Violations, c.promise, c.says)
		})
	}
}

func events(es ...*ledgerv1.Event) []*ledgerv1.Event { return es }

func requested(number, attempt uint32) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentRequested{PaymentRequested: &ledgerv1.PaymentRequested{
		PayNumber: number, Attempt: attempt, Key: uuid.NewString(), ConnectionId: "main",
		Amounts: &ledgerv1.Amounts{Full: usd(1), Base: usd(1), Discount: usd(0), Shipping: usd(0), Tax: usd(0)},
	}}}
}

func declined(s subscription.State, category ledgerv1.DeclineCategory) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentDeclined{PaymentDeclined: &ledgerv1.PaymentDeclined{
		OrderId: s.LastOrder() + 1, PayNumber: s.Paid + 1, Attempt: 1, Category: category, Amounts: s.Charges[1].Amounts}}}
}

func askRefund(s subscription.State, id string) *ledgerv1.Event {
	last := s.Charges[len(s.Charges)-1]
	return &ledgerv1.Event{Kind: &ledgerv1.Event_RefundRequested{RefundRequested: &ledgerv1.RefundRequested{
		RefundId: id, ParentOrderId: last.OrderID, PayNumber: last.Number, Amounts: last.Amounts, Key: id}}}
}

// refunded asks for a refund of the second payment, and carries one out in which these are the parts.
func refunded(s subscription.State, parts *ledgerv1.Amounts) []*ledgerv1.Event {
	ask := askRefund(s, "rf_1")
	ask.GetRefundRequested().ParentOrderId = s.Charges[1].OrderID
	return events(ask, &ledgerv1.Event{Kind: &ledgerv1.Event_RefundSucceeded{RefundSucceeded: &ledgerv1.RefundSucceeded{
		OrderId: s.LastOrder() + 1, RefundId: "rf_1", ParentOrderId: s.Charges[1].OrderID, PayNumber: 2, Amounts: parts}}})
}

// Events whose metadata does not say where they come from.
func TestCausesAreChecked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		change        func(*ledgerv1.Metadata)
		id            func(request string) uuid.UUID
		promise, says string
	}{
		{"nobody asked", func(m *ledgerv1.Metadata) { m.RequestId = "" }, nil, "I-05", "no request made it"},
		{"the ledger asks nothing like it", func(m *ledgerv1.Metadata) { m.RequestId = "ledger:whim" }, nil, "I-05", "makes no request like"},
		{"a wake from the future", func(m *ledgerv1.Metadata) { m.RequestId = "ledger:wake/7" }, nil, "I-05", "had not seen"},
		{"caused by nothing", func(m *ledgerv1.Metadata) { m.Causation = uuid.NewString() }, nil, "I-05", "there was none"},
		{"a random id", func(*ledgerv1.Metadata) {}, func(string) uuid.UUID { return uuid.New() }, "I-16", "would not be known"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			stream := merchant.Stream("acme")
			e := &ledgerv1.Event{Kind: &ledgerv1.Event_MerchantCreated{MerchantCreated: &ledgerv1.MerchantCreated{MerchantId: "acme"}},
				Metadata: &ledgerv1.Metadata{Actor: "api", RequestId: "r", OccurredAt: stamp(time.Now()), RecordedAt: stamp(time.Now())}}
			c.change(e.Metadata)
			id := event.ID(stream, e.Metadata.RequestId, 0)
			if c.id != nil {
				id = c.id(e.Metadata.RequestId)
			}
			raw, err := event.Encode(nil, stream, 0, id, e)
			w.ok(err)
			_, err = w.log.Append(t.Context(), stream, event.NoStream, raw)
			w.ok(err)
			wantBroken(t, w.check(invariant.World{Log: w.log}).Violations, c.promise, c.says)
		})
	}
}

// Two events of a merchant's, the second as a case has it.
func TestSecondEventsAreChecked(t *testing.T) {
	t.Parallel()
	concluded := &ledgerv1.Event{Kind: &ledgerv1.Event_DeliveryConcluded{DeliveryConcluded: &ledgerv1.DeliveryConcluded{
		DeliveryId: "d1", EventId: "e1", OrderId: 1, Type: ledgerv1.IpnType_IPN_TYPE_SALE, Conclusion: delivered}}}
	for _, c := range []struct {
		name          string
		later         time.Duration
		promise, says string
	}{
		{"recorded before the first", -time.Second, "I-08", "before the one ahead of it"},
		{"a notification that ends twice", time.Second, "I-10", "concluded twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			stream, at := "delivery-acme.shop.s1", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			var prev []byte
			for n, request := range []string{"ledger:delivery/d1", "ledger:delivery/d2"} {
				e := proto.CloneOf(concluded)
				e.GetDeliveryConcluded().DeliveryId = strings.TrimPrefix(request, "ledger:delivery/")
				if c.promise == "I-10" {
					e.GetDeliveryConcluded().DeliveryId = "d1"
				}
				at = at.Add(time.Duration(n) * c.later)
				e.Metadata = &ledgerv1.Metadata{Actor: "ledger", RequestId: request, OccurredAt: stamp(at), RecordedAt: stamp(at)}
				raw, err := event.Encode(prev, stream, event.Revision(n), event.ID(stream, request, 0), e)
				w.ok(err)
				_, err = w.log.Append(t.Context(), stream, event.Revision(n-1), raw)
				w.ok(err)
				prev = e.Metadata.Hash
			}
			r := w.check(invariant.World{Log: w.log})
			r.Violations = slices.DeleteFunc(r.Violations, func(v string) bool { return strings.Contains(v, "nothing asks for it") })
			wantBroken(t, r.Violations, c.promise, c.says)
		})
	}
}

// A sender that gave up lets those behind it go ahead, and an answer that needed nothing made nothing.
func TestWhatIsNoViolation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := aggregatetest.Named("bought, refunded")
	w.live(h)
	told := slices.DeleteFunc(w.events(subscription.Category), func(e event.Recorded) bool { _, _, ok := projection.IPNType(e.Event); return !ok })
	w.deliverOne(told[0], ledgerv1.DeliveryConclusion_DELIVERY_CONCLUSION_GAVE_UP)
	for _, e := range told[1:] {
		w.deliverOne(e, delivered)
	}
	slices.Reverse(w.seen.Receipts)
	w.project()
	w.seen.Acks = []invariant.Ack{{Stream: h.Stream, RequestID: "cancel again", Revision: int64(len(h.Events) - 1), Position: "3-3"},
		{Stream: h.Stream, RequestID: "known", Revision: 1, Position: "3-3", Needless: true},
		{Stream: h.Stream, RequestID: "start", Revision: int64(len(h.Events) - 1), Position: "4-4", Waited: true},
		{Stream: h.Stream, RequestID: "start", Revision: 1, Position: "4-4", Replayed: true}}
	wantClean(t, w.check(w.world()))
}

func TestCursorsAreWatched(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live(aggregatetest.Named("bought once"))
	w.project()
	head, err := w.log.Head(t.Context())
	w.ok(err)
	var c invariant.Cursors
	w.ok(c.Look(t.Context(), w.views))
	w.ok(c.Look(t.Context(), w.work))
	if v := c.Violations(head); len(v) > 0 {
		t.Errorf("got %q of followers that stand at the head, want none", v)
	}
	wantBroken(t, c.Violations(event.Position{Commit: 1}), "I-13", "the log ends at 1-0")
	c.Saw("orders", event.Position{Commit: 1})
	wantBroken(t, c.Violations(head), "I-13", "orders went back")
	var again invariant.Cursors
	again.Saw("orders", head)
	again.Forget("orders")
	again.Saw("orders", event.Position{})
	if v := again.Violations(head); len(v) > 0 {
		t.Errorf("got %q of a follower that began anew, want none", v)
	}
}

func TestRebuiltRowsAreCompared(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, store, statement, says string }{
		{"nothing", "", "", ""},
		{"what only workers write", "work", `UPDATE delivery_rows SET next_try_at = 7, created_at = created_at`, ""},
		{"a wrong row", "views", `UPDATE order_rows SET occurred_at = occurred_at + 1`, "wrong occurred_at"},
		{"a missing row", "views", `DELETE FROM pay_number_versions WHERE pay_number = 1`, "missing"},
		{"a row too many", "views", `INSERT INTO open_intents VALUES ('acme', 's1', 'payment:1.1', 1, 1, '', 0, 0, 0, NULL, '')`, "too many"},
		{"how a notification ended", "work", `UPDATE delivery_rows SET tries = 7`, "wrong tries"},
		{"who hears", "work", `UPDATE delivery_endpoints SET disabled = 1`, "wrong disabled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.live(aggregatetest.Named("a full life, recurring"))
			w.deliver()
			w.project()
			if c.store != "" {
				w.exec(map[string]projection.Store{"views": w.views, "work": w.work}[c.store], c.statement)
			}
			found, err := invariant.CompareViews(t.Context(), w.log, w.views, memoryStore(t))
			w.ok(err)
			more, err := invariant.CompareWork(t.Context(), w.log, w.work, memoryStore(t))
			w.ok(err)
			if found = append(found, more...); c.says != "" {
				wantBroken(t, found, "I-12", c.says)
			} else if len(found) > 0 {
				t.Errorf("got %q, want nothing", found)
			}
		})
	}
}

func TestRestartsAreCompared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live(aggregatetest.Named("bought once"))
	w.project()
	before, err := invariant.Take(t.Context(), w.world())
	w.ok(err)
	w.project() // as after a restart: every follower takes its seat again
	after, err := invariant.Take(t.Context(), w.world())
	w.ok(err)
	if found := before.Changed(after); len(found) > 0 {
		t.Errorf("got %q after a restart, want nothing", found)
	}
	w.exec(w.work, `UPDATE delivery_rows SET tries = tries + 1`)
	w.create("second")
	after, err = invariant.Take(t.Context(), w.world())
	w.ok(err)
	found := before.Changed(after)
	wantBroken(t, found, "I-21", "the log ended at")
	wantBroken(t, found, "I-21", "table delivery_rows of work")
}

func BenchmarkCheck(b *testing.B) {
	w := newWorld(b)
	w.create("shop")
	n := 0
	for h := range aggregatetest.Endless() {
		w.append(h)
		if n += len(h.Events); n > 100 {
			break
		}
	}
	w.project()
	w.see()
	for _, c := range []struct {
		name  string
		world invariant.World
	}{
		{"log", invariant.World{Log: w.log, Evidence: w.seen}},
		{"log and rows", w.world()},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				wantClean(b, w.check(c.world))
			}
		})
	}
}
