package sandbox_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

func usd(minorUnits int64) *ledgerv1.Money {
	return &ledgerv1.Money{CurrencyCode: "USD", MinorUnits: minorUnits}
}

// made posts what the sandbox is to do by itself and returns the name of what came of it.
func (w *world) made(t testing.TB, path string, q map[string]any) (id string) {
	t.Helper()
	var got struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal([]byte(w.post(t, w.account()+path, q, http.StatusOK)), &got); err != nil || got.ID == "" {
		t.Fatalf("POST %s: %v, want an id", path, err)
	}
	return got.ID
}

// get answers what stands at a path of the account.
func (w *world) get(t *testing.T, path string, v any) {
	t.Helper()
	resp, err := http.Get(w.account() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(v); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, %v", path, resp.Status, err)
	}
}

func TestPaymentByItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	stored := w.charge(t, "k", "tok_ok-settled", nil).Method
	w.clock.Set(start.Add(time.Hour))
	amount := bookMoney{"USD", 1000}
	id := w.made(t, "/payments", map[string]any{"amount": amount, "method": stored.Reference})
	n := w.notice(t)
	want := gateway.Notice{
		ID: n.ID, Kind: gateway.NoticePayment, Subscription: "s1",
		Payment: &gateway.ObservedPayment{
			Reference: id, Amount: usd(1000), Fee: usd(59), Settled: &ledgerv1.Money{CurrencyCode: "EUR", MinorUnits: 900},
			Method: stored, At: start.Add(time.Hour),
		},
	}
	if d := cmp.Diff(want, n, protocmp.Transform()); d != "" || n.ID == "" {
		t.Errorf("notice (-want +got):\n%s", d)
	}
	w.noMore(t)

	second := w.made(t, "/payments", map[string]any{"amount": amount, "metadata": map[string]any{"subscription": "s2"}})
	if n := w.notice(t); n.Subscription != "s2" || n.Payment.Reference != second || second == id || n.Payment.Method.GetReference() == stored.Reference {
		t.Errorf("got %+v about %+v, want a payment of its own by a method of its own", n, n.Payment)
	}
	w.restart(t)
	var one bookCharge
	var list struct{ Charges []bookCharge }
	w.get(t, "/charges/"+id, &one)
	w.get(t, "/charges?key=", &list)
	if one.Status != "succeeded" || one.Key != "" || len(list.Charges) != 2 || list.Charges[0] != one || len(w.book(t).Charges) != 3 {
		t.Errorf("looked up %+v and %+v, want both payments as they were", one, list)
	}
}

func TestPaymentByItselfThatFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	amount := bookMoney{"USD", 1000}
	w.made(t, "/payments", map[string]any{"amount": amount, "token": "tok_soft-500_charged", "metadata": map[string]any{"subscription": "s1"}})
	w.noMore(t)
	if c := w.book(t).Charges; len(c) != 1 || c[0].Status != "failed" {
		t.Errorf("the book has %+v, want one that failed", c)
	}
	w.made(t, "/payments", map[string]any{"amount": amount, "token": "tok_soft-500_charged", "metadata": map[string]any{"subscription": "s1"}})
	method := w.notice(t).Payment.Method.GetReference() // nobody is there to get a 500
	w.post(t, w.account()+"/methods/"+method+"/revoke", nil, http.StatusOK)
	if n := w.notice(t); n.Kind != gateway.NoticeAgreement || n.Method != method {
		t.Errorf("got notice %+v, want the end of the agreement on %s", n, method)
	}
	w.post(t, w.account()+"/payments", map[string]any{"amount": amount, "method": method}, http.StatusConflict)
	for name, q := range map[string]map[string]any{
		"on nothing":     {"amount": amount},
		"on two methods": {"amount": amount, "token": "tok_ok", "method": method},
		"of nothing":     {"amount": bookMoney{"USD", 0}, "token": "tok_ok"},
		"no such method": {"amount": amount, "method": "pm_0"},
	} {
		t.Run(name, func(t *testing.T) { w.post(t, w.account()+"/payments", q, http.StatusBadRequest) })
	}
	w.post(t, w.conn.URL+"/v1/accounts/nobody/payments", map[string]any{"amount": amount, "token": "tok_ok", "metadata": map[string]any{"subscription": "s1"}}, http.StatusUnauthorized)
	w.noMore(t)
}

func TestRefundAtTheDesk(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	c := w.charge(t, "k", "tok_refund_fails", nil) // its refunds fail when we ask for them, not at the desk
	path := "/charges/" + c.Reference + "/refunds"
	id := w.made(t, path, map[string]any{"amount": bookMoney{"USD", 700}, "reason": "a kindness"})
	n := w.notice(t)
	want := gateway.Notice{
		ID: n.ID, Kind: gateway.NoticeRefundMade, Subscription: "s1",
		Refund: &gateway.ObservedRefund{
			Reference: id, ChargeKey: "k", ChargeReference: c.Reference, Amount: usd(700), Reason: "a kindness", At: start,
		},
	}
	if d := cmp.Diff(want, n, protocmp.Transform()); d != "" || n.ID == "" {
		t.Errorf("notice (-want +got):\n%s", d)
	}
	w.post(t, w.account()+path, map[string]any{"amount": bookMoney{"USD", 4001}}, http.StatusConflict)
	w.post(t, w.account()+path, map[string]any{"amount": bookMoney{"EUR", 1}}, http.StatusConflict)
	w.post(t, w.account()+path, map[string]any{"amount": bookMoney{"USD", 0}}, http.StatusBadRequest)
	w.post(t, w.account()+"/charges/ch_0/refunds", map[string]any{}, http.StatusNotFound)
	w.made(t, path, nil)
	if n := w.notice(t); n.Refund.Amount.GetMinorUnits() != 4000 || n.Refund.Reference == id {
		t.Errorf("got %+v, want all that was left, by another name", n.Refund)
	}
	w.post(t, w.account()+path, map[string]any{}, http.StatusConflict)
	w.noMore(t)
	w.restart(t)
	wantBook := []bookRefund{{Status: "succeeded", Amount: bookMoney{"USD", 700}}, {Status: "succeeded", Amount: bookMoney{"USD", 4000}}}
	if d := cmp.Diff(wantBook, w.book(t).Refunds); d != "" || w.book(t).Charges[0].Returned != 4700 {
		t.Errorf("book (-want +got):\n%s", d)
	}
}

// A payment that nobody asked for is disputed like any other, and named by its reference alone.
func TestDisputeOfAPaymentByItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	id := w.made(t, "/payments", map[string]any{"amount": bookMoney{"USD", 1000}, "token": "tok_dispute", "metadata": map[string]any{"subscription": "s1"}})
	w.notice(t)
	w.advance(t, 24*time.Hour)
	for range 2 {
		if n := w.notice(t); n.Kind != gateway.NoticeDispute || n.Subscription != "s1" || n.Dispute.ChargeReference != id || n.Dispute.ChargeKey != "" {
			t.Errorf("got %+v about %+v, want a dispute of %s", n, n.Dispute, id)
		}
	}
	w.noMore(t)
}

// A signed webhook that lacks what it speaks of is not taken for one that speaks of nothing.
func TestFactThatIsNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	for _, body := range []string{
		`{"id":"e1","account":"m1.c1","type":"payment.made"}`,
		`{"id":"e1","account":"m1.c1","type":"payment.made","payment":{"id":"ch_1","status":"failed","amount":{"currency_code":"USD","minor_units":1}}}`,
		`{"id":"e1","account":"m1.c1","type":"payment.made","payment":{"id":"ch_1","status":"succeeded"}}`,
		`{"id":"e1","account":"m1.c1","type":"refund.made"}`,
		`{"id":"e1","account":"m1.c1","type":"refund.made","refund":{"id":"re_1","status":"succeeded","amount":{"currency_code":"USD","minor_units":1}}}`,
		`{"id":"e1","account":"m1.c1","type":"dispute.updated"}`,
	} {
		if n, err := w.gateway.Read(w.conn, []byte(body)); err == nil {
			t.Errorf("%s is read as %+v, want an error", body, n)
		}
	}
}
