package process_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// adopt takes over a monthly subscription of 47.00 USD whose first payment was made elsewhere and whose schedule the
// gateway runs.
func (w *world) adopt(id string) {
	w.t.Helper()
	w.do(id, subscription.Import{
		Now: w.clock.Now(), Number: 1, Merchant: merchant, ID: id, Gateway: "sandbox", Processor: "PayPal", Mode: ledgerv1.Mode_MODE_TEST,
		Request: &ledgerv1.ImportRequest{
			Buyer: &ledgerv1.Buyer{Id: "b1"}, ConnectionId: connection,
			Terms: &ledgerv1.Terms{
				ProductId: "p1", ProductName: "Course", PricePoint: 1, Kind: ledgerv1.PriceKind_PRICE_KIND_RECURRING,
				Period: ledgerv1.Period_PERIOD_MONTHLY, Regular: &ledgerv1.Amounts{Base: usd(4700)},
			},
			State: ledgerv1.ImportState_IMPORT_STATE_ACTIVE, PaidNumber: 1,
			NextDueAt: timestamppb.New(begins), ChargedBy: ledgerv1.ChargedBy_CHARGED_BY_GATEWAY,
		},
	})
}

// pays has the gateway take 47.00 USD for a subscription by itself.
func (w *world) pays(id string) (charge string, told hook) {
	w.t.Helper()
	charge = w.tell("POST", "/payments", `{"amount": {"currency_code": "USD", "minor_units": 4700}, "metadata": {"subscription": "`+id+`"}}`)
	return charge, w.webhook(`"payment":{"id":"` + charge)
}

// returns has the gateway return a part of a charge at its own desk.
func (w *world) returns(charge string, minor int64) (refund string, told hook) {
	w.t.Helper()
	refund = w.tell("POST", "/charges/"+charge+"/refunds", fmt.Sprintf(
		`{"amount": {"currency_code": "USD", "minor_units": %d}, "reason": "a kindness"}`, minor))
	return refund, w.webhook(`"refund":{"id":"` + refund)
}

// setAside are the reasons of the webhooks that were set aside.
func (w *world) setAside() (reasons []string) {
	w.t.Helper()
	rows, err := w.work.Query(w.t.Context(), `SELECT reason FROM webhooks WHERE retry_at IS NULL AND reason <> '' AND length(body) > 0`)
	w.ok(err)
	defer rows.Close()
	for rows.Next() {
		var reason string
		w.ok(rows.Scan(&reason))
		reasons = append(reasons, reason)
	}
	w.ok(rows.Err())
	return reasons
}

// wantNothingWaits fails the test if a webhook is to be tried again.
func (w *world) wantNothingWaits() {
	w.t.Helper()
	if at, waits, err := w.work.NextWebhookAt(w.t.Context()); err != nil || waits {
		w.t.Errorf("a webhook waits until %v (%v), want none", at, err)
	}
}

func TestPaymentOfTheGatewaysSchedule(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.adopt("s")
	w.run()
	w.clock.Set(begins.Add(time.Hour))
	charge, told := w.pays("s")
	w.clock.Set(begins.Add(time.Hour + time.Minute))
	w.take(told)
	w.take(told)
	w.wantEvents("s", 1, "payment_observed")
	e := w.last("s", "payment_observed")
	p := e.GetPaymentObserved()
	if p.PayNumber != 2 || p.Reference != charge || p.Fee.GetMinorUnits() != 166 || p.Method == nil || p.ConnectionId != connection ||
		!proto.Equal(p.Amounts.GetFull(), usd(4700)) {
		t.Errorf("observed %v, want pay number 2 as the gateway told it", p)
	}
	if at := e.Metadata.OccurredAt.AsTime(); !at.Equal(begins.Add(time.Hour)) || e.Metadata.Actor != "gateway:sandbox" {
		t.Errorf("at %v by %s, want the gateway's time and the gateway", at, e.Metadata.Actor)
	}
	if want := "ledger:observed-payment/" + charge; !strings.HasSuffix(e.Metadata.RequestId, strings.TrimPrefix(want, "ledger:")) {
		t.Errorf("request %s, want the gateway's id of the payment in it", e.Metadata.RequestId)
	}
	w.advance(40 * 24 * time.Hour)
	w.wantNoFailure()
	w.wantEvents("s", 2)
	if got := w.traffic.count("charges"); got != 0 {
		t.Errorf("%d charges were asked for, want none: the gateway does that", got)
	}
}

// What the gateway's desk returns is a refund like any other, whoever had charged.
func TestRefundAtTheDesk(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_ok")
	w.run()
	refund, told := w.returns(w.book().Charges[0].ID, 40)
	w.take(told)
	w.take(told)
	w.wantEvents("s", 3, "refund_observed")
	r := w.last("s", "refund_observed").GetRefundObserved()
	if r.Reference != refund || r.ParentOrderId != w.state("s").Charges[0].OrderID || r.Reason != "a kindness" || r.Full ||
		!proto.Equal(r.Amounts.GetFull(), usd(40)) {
		t.Errorf("observed %v, want a part of the first payment", r)
	}
	if got := w.traffic.count("refunds"); got != 0 {
		t.Errorf("%d refunds were asked for, want none", got)
	}
}

// A refund of our own may be told without its key, before or after its outcome is known: it is not made twice.
func TestRefundOfOursToldWithoutItsKey(t *testing.T) {
	t.Parallel()
	for token, want := range map[string][]string{
		"tok_ok":                   {"refund_requested", "refund_succeeded"},
		"tok_refund_reset_charged": {"refund_requested", "refund_unknown", "refund_succeeded"},
	} {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options{})
			w.start("s", token)
			w.run()
			w.do("s", subscription.Refund{Now: w.clock.Now(), ID: "rf1", OrderID: w.state("s").LastOrder(), Amount: usd(40)})
			w.run()
			r := w.book().Refunds[0]
			w.save(fmt.Sprintf(`{"id": "m1", "account": "acme.main", "type": "refund.made", "subscription": "s", "refund":
				{"id": %q, "charge": %q, "status": "succeeded", "amount": {"currency_code": "USD", "minor_units": 40}}}`, r.ID, r.Charge))
			w.wantEvents("s", 3, want...)
			w.wantLookups(minutes(0)) // it is a hint
			w.wantNothingWaits()
		})
	}
}

// save has a webhook taken in that was verified, whatever it says.
func (w *world) save(body string) {
	w.t.Helper()
	_, _, err := w.work.SaveWebhook(w.t.Context(), work.Webhook{
		Merchant: merchant, Connection: connection, Gateway: "sandbox", MessageID: body, ReceivedAt: w.clock.Now(), Body: []byte(body),
	})
	w.ok(err)
	w.ok(w.inbound.Idle(w.t.Context()))
	w.run()
}

// Messages come in any order. One about a payment that nobody has told of yet waits for it.
func TestFactsInAnyOrder(t *testing.T) {
	t.Parallel()
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}, {2, 1, 1, 0, 0, 2}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options{})
			w.adopt("s")
			charge, payment := w.pays("s")
			_, refund := w.returns(charge, 700)
			w.tell("POST", "/charges/"+charge+"/disputes", `{"id": "dp1", "stage": "funds_withdrawn"}`)
			hooks := []hook{payment, refund, w.webhook(`"stage":"funds_withdrawn"`)}
			for _, i := range order {
				w.take(hooks[i])
			}
			w.advance(time.Hour)
			events := w.events("s")
			slices.Sort(events)
			want := []string{"dispute_funds_withdrawn", "payment_observed", "refund_observed", "subscription_cancelled", "subscription_imported"}
			if !slices.Equal(events, want) {
				t.Errorf("events %v, want each of %v", events, want)
			}
			if c := w.state("s").Charges[0]; c.Refunded.Full.MinorUnits != 700 || c.ChargedBack.Full.MinorUnits != 4000 {
				t.Errorf("of the payment %v is refunded and %v charged back, want 7.00 and 40.00", c.Refunded.Full, c.ChargedBack.Full)
			}
			w.wantNothingWaits()
		})
	}
}

// A payment may be told of while its subscription is still being taken over.
func TestPaymentBeforeTheImport(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	_, told := w.pays("s")
	w.take(told)
	w.adopt("s")
	w.advance(30 * time.Second)
	w.wantEvents("s", 1, "payment_observed")
	w.wantNothingWaits()
}

// Money that the gateway took for a subscription that the ledger charges pays nothing, and is not forgotten either.
func TestPaymentNobodyCanPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_ok")
	w.run()
	charge, told := w.pays("s")
	w.take(told)
	w.take(told)
	w.wantEvents("s", 3)
	w.wantNothingWaits()
	if got := w.setAside(); len(got) != 1 || !strings.Contains(got[0], charge) || !strings.Contains(got[0], "47.00 USD") {
		t.Errorf("set aside for %q, want one reason that names %s and 47.00 USD", got, charge)
	}
}

// What never finds its place is tried for about a day, and then kept with the reason.
func TestFactThatIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, tell := range map[string]func(w *world) hook{
		"of no subscription of ours": func(w *world) hook { _, told := w.pays("nobody"); return told },
		"a refund of no payment": func(w *world) hook {
			charge, _ := w.pays("s")
			_, told := w.returns(charge, 100)
			return told
		},
		"a dispute of no payment": func(w *world) hook {
			charge, _ := w.pays("s")
			w.tell("POST", "/charges/"+charge+"/disputes", `{"stage": "opened"}`)
			return w.webhook("dispute.updated")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options{})
			w.start("s", "tok_ok")
			w.run()
			w.take(tell(w))
			w.advance(12 * time.Hour)
			if got := w.setAside(); len(got) != 0 {
				t.Fatalf("set aside after 12 hours for %q, want it tried on", got)
			}
			w.advance(12 * time.Hour)
			w.wantEvents("s", 3)
			w.wantNothingWaits()
			if got := w.setAside(); len(got) != 1 {
				t.Errorf("set aside for %q, want one reason", got)
			}
		})
	}
}

// A hint without a key is not one of whatever has no key either.
func TestHintOfNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_ok")
	w.run()
	_, told := w.returns(w.book().Charges[0].ID, 40)
	w.take(told)
	w.save(`{"id": "m1", "account": "acme.main", "type": "refund.updated", "subscription": "s"}`)
	w.wantEvents("s", 4)
	w.wantNothingWaits()
	w.wantLookups(nil)
}

// The same reference means another payment at another account.
func TestReferenceOfAnotherConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_ok")
	w.run()
	w.replace("s", "tok_ok", "other")
	w.run()
	charge := w.book().Charges[0].ID
	body := fmt.Sprintf(`{"id": "m1", "account": "acme.other", "type": "refund.made", "subscription": "s", "refund":
		{"id": "re_1", "charge": %q, "status": "succeeded", "amount": {"currency_code": "USD", "minor_units": 40}}}`, charge)
	_, _, err := w.work.SaveWebhook(t.Context(), work.Webhook{
		Merchant: merchant, Connection: "other", Gateway: "sandbox", MessageID: "m1", ReceivedAt: begins, Body: []byte(body),
	})
	w.ok(err)
	w.ok(w.inbound.Idle(t.Context()))
	if events := w.events("s"); slices.Contains(events, "refund_observed") {
		t.Errorf("events %v, want no refund of the other account's payment", events)
	}
}

// A buyer who has given another method may end the old agreement.
func TestAgreementOfAReplacedMethodEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start("s", "tok_ok")
	w.run()
	old := w.state("s").Method.Reference
	w.replace("s", "tok_ok-ok", connection)
	for range 2 { // before the new one is stored, and after
		w.tell("POST", "/methods/"+old+"/revoke", "{}")
		w.take(w.webhook("agreement.ended"))
	}
	w.wantEvents("s", 3, "payment_method_replaced", "payment_method_stored")
	now := w.state("s").Method.Reference
	w.tell("POST", "/methods/"+now+"/revoke", "{}")
	w.take(w.webhook(`"method":"` + now))
	w.wantEvents("s", 5, "agreement_lost", "subscription_cancelled")
}
