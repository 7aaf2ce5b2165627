package sandbox_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/gateway/sandbox"
)

// What the book looks like from outside, as its documentation says.
type (
	bookMoney struct {
		CurrencyCode string `json:"currency_code"`
		MinorUnits   int64  `json:"minor_units"`
	}
	bookCharge struct {
		ID       string    `json:"id"`
		Key      string    `json:"key"`
		Status   string    `json:"status"`
		Amount   bookMoney `json:"amount"`
		Returned int64     `json:"returned"`
		Metadata struct {
			Subscription string `json:"subscription"`
			PayNumber    int    `json:"pay_number"`
		} `json:"metadata"`
	}
	bookRefund struct {
		Key    string    `json:"key"`
		Status string    `json:"status"`
		Amount bookMoney `json:"amount"`
	}
	bookDispute struct {
		ID         string `json:"id"`
		Stage      string `json:"stage"`
		Withdrawn  bool   `json:"withdrawn"`
		Reinstated bool   `json:"reinstated"`
	}
	book struct {
		Charges  []bookCharge  `json:"charges"`
		Refunds  []bookRefund  `json:"refunds"`
		Disputes []bookDispute `json:"disputes"`
	}
)

func (m bookMoney) proto() *ledgerv1.Money {
	return &ledgerv1.Money{CurrencyCode: m.CurrencyCode, MinorUnits: m.MinorUnits}
}

// book is called by the suite's busy look-out, too; it asks the server as anybody would.
func (w *world) book(t testing.TB) (b book) {
	t.Helper()
	resp, err := http.Get(w.conn.URL + "/v1/book?account=m1.c1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&b); err != nil {
		t.Fatal(err)
	}
	return b
}

// post sends v and wants the status back.
func (w *world) post(t testing.TB, url string, v any, want int) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Post(url, "application/json", bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != want {
		t.Fatalf("POST %s: got %d, %v, want %d: %s", url, resp.StatusCode, err, want, body)
	}
	return string(body)
}

func (w *world) account() string { return w.conn.URL + "/v1/accounts/m1.c1" }

func (w *world) webhook(t testing.TB) (http.Header, []byte) {
	t.Helper()
	select {
	case h := <-w.hooks.got:
		return h.header, h.body
	case <-time.After(30 * time.Second):
		t.Fatal("no webhook came")
		return nil, nil
	}
}

// notice is the next webhook, verified.
func (w *world) notice(t *testing.T) gateway.Notice {
	t.Helper()
	header, body := w.webhook(t)
	n, err := w.gateway.Verify(w.conn, header, body, w.clock.Now())
	if err != nil {
		t.Fatalf("verify %s: %v", body, err)
	}
	return n
}

func (w *world) noMore(t *testing.T) {
	t.Helper()
	if err := w.server.Idle(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case h := <-w.hooks.got:
		t.Fatalf("one webhook too many: %s", h.body)
	default:
	}
}

func (w *world) charge(t *testing.T, key, token string, method *ledgerv1.PaymentMethod) gateway.Result {
	t.Helper()
	return w.gateway.Charge(t.Context(), w.conn, gateway.Charge{
		Key: key, Amount: &ledgerv1.Money{CurrencyCode: "USD", MinorUnits: 4700}, Token: token, Method: method,
		Merchant: "m1", Subscription: "s1", PayNumber: 1, Attempt: 1,
	})
}

func (w *world) lookup(t *testing.T, key string) (gateway.Result, bool) {
	t.Helper()
	r, found, err := w.gateway.Lookup(t.Context(), w.conn, key, start)
	if err != nil {
		t.Fatal(err)
	}
	return r, found
}

func wantClass(t *testing.T, what string, r gateway.Result, want gateway.Class) {
	t.Helper()
	if r.Class != want {
		t.Fatalf("%s: got class %d, want %d: %+v", what, r.Class, want, r)
	}
}

func TestAnswerHoldsFeeAndMethod(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	r := w.charge(t, "k", "tok_settled", nil)
	got := []any{r.Class, r.At, r.Fee.GetMinorUnits(), r.Settled.GetCurrencyCode(), r.Method.GetBrand(), r.Method.GetLast4(), r.Method.GetAgreementId()}
	want := []any{gateway.Accepted, start, int64(136 + 30), "EUR", "visa", "4242", ""}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestPayPal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.conn.Processor = "PayPal"
	if err := w.gateway.Connect(t.Context(), w.conn); err != nil {
		t.Fatal(err)
	}
	r := w.charge(t, "k", "", nil)
	wantClass(t, "start", r, gateway.Pending)
	w.post(t, r.NextAction.GetRedirectUrl()+"?result=approve&token=tok_soft-ok", nil, http.StatusOK)
	if n := w.notice(t); n.Kind != gateway.NoticeCharge || n.Key != "k" {
		t.Errorf("got notice %+v", n)
	}
	r, _ = w.lookup(t, "k")
	wantClass(t, "after approval", r, gateway.Accepted)
	if !strings.HasPrefix(r.Method.GetAgreementId(), "B-") || r.Method.GetLast4() != "" {
		t.Errorf("got method %v, want an agreement and no digits", r.Method)
	}
	wantClass(t, "the approval's script", w.charge(t, "k2", "", r.Method), gateway.Rejected)
	wantClass(t, "its second step", w.charge(t, "k3", "", r.Method), gateway.Accepted)
}

// A script goes on with each new key, stays where it is for an old one, and its last step repeats: before and after
// a restart.
func TestScriptGoesOnAfterRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	first := w.charge(t, "k1", "tok_ok-soft,hard", nil)
	wantClass(t, "first", first, gateway.Accepted)
	soft := w.charge(t, "k2", "", first.Method)
	w.restart(t)
	w.conn.NotifyURL += "/moved"
	again := w.charge(t, "k1", "tok_ok-soft,hard", nil)
	if d := cmp.Diff(first, again, protocmp.Transform()); d != "" {
		t.Errorf("the key's answer after a restart (-before +after):\n%s", d)
	}
	if d := cmp.Diff(soft, w.charge(t, "k2", "", first.Method), protocmp.Transform()); d != "" {
		t.Errorf("the decline's answer after a restart (-before +after):\n%s", d)
	}
	got := []string{soft.Code, w.charge(t, "k3", "", first.Method).Code, w.charge(t, "k4", "", first.Method).Code}
	if d := cmp.Diff([]string{"insufficient_funds", "stolen_card", "stolen_card"}, got); d != "" {
		t.Errorf("codes of the steps (-want +got):\n%s", d)
	}
	var moved []string
	for _, c := range w.book(t).Charges {
		moved = append(moved, c.Key+" "+c.Status)
	}
	if d := cmp.Diff([]string{"k1 succeeded", "k2 failed", "k3 failed", "k4 failed"}, moved); d != "" {
		t.Errorf("book (-want +got):\n%s", d)
	}
}

func TestPendingIsDecidedLater(t *testing.T) {
	t.Parallel()
	tests := []struct {
		token   string
		class   gateway.Class
		expired bool
	}{
		{"tok_pending_ok", gateway.Accepted, false},
		{"tok_pending_fail", gateway.Rejected, false},
		{"tok_pending_expire", gateway.Rejected, true},
	}
	for _, test := range tests {
		t.Run(test.token, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, false)
			first := w.charge(t, "k", test.token, nil)
			wantClass(t, "at first", first, gateway.Pending)
			due, ok := w.server.NextAt()
			if want := start.Add(5 * time.Minute); !ok || !due.Equal(want) {
				t.Fatalf("next at %v, %v, want %v", due, ok, want)
			}
			w.restart(t)
			w.advance(t, 5*time.Minute)
			if n := w.notice(t); n.Kind != gateway.NoticeCharge || n.Key != "k" || n.Subscription != "s1" {
				t.Errorf("got notice %+v", n)
			}
			r, _ := w.lookup(t, "k")
			wantClass(t, "later", r, test.class)
			if r.Expired != test.expired {
				t.Errorf("expired: got %v, want %v", r.Expired, test.expired)
			}
			wantClass(t, "the key again tells the first answer", w.charge(t, "k", test.token, nil), gateway.Pending)
			if _, ok := w.server.NextAt(); ok {
				t.Error("something is still to come")
			}
			w.noMore(t)
		})
	}
}

func TestPendingDecidedByHandIsNotDecidedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	r := w.charge(t, "k", "tok_pending_ok", nil)
	w.post(t, r.NextAction.GetRedirectUrl()+"?result=decline", nil, http.StatusOK)
	w.post(t, r.NextAction.GetRedirectUrl()+"?result=approve", nil, http.StatusConflict)
	w.notice(t)
	w.advance(t, time.Hour)
	r, _ = w.lookup(t, "k")
	wantClass(t, "an hour later", r, gateway.Rejected)
	w.noMore(t)
}

// A buyer who turns back is sent where the merchant said, and nothing is decided: he may still pay.
func TestRedirectTurnedBackFrom(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	r := w.gateway.Charge(t.Context(), w.conn, gateway.Charge{
		Key: "k", Amount: &ledgerv1.Money{CurrencyCode: "USD", MinorUnits: 4700}, Merchant: "m1", Subscription: "s1",
		ReturnURL: "https://ledger.example/return", CancelURL: "https://ledger.example/cancel?a=b",
	})
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	turnedTo(t, &client, r.NextAction.GetRedirectUrl()+"?result=cancel", "https://ledger.example/cancel?a=b&result=cancel")
	got, _ := w.lookup(t, "k")
	wantClass(t, "after he turned back", got, gateway.Pending)
	turnedTo(t, &client, r.NextAction.GetRedirectUrl()+"?result=approve", "https://ledger.example/return?result=approve")
}

// turnedTo presses a button and wants to be sent there.
func turnedTo(t *testing.T, client *http.Client, button, want string) {
	t.Helper()
	resp, err := client.Post(button, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Location"); resp.StatusCode != http.StatusSeeOther || got != want {
		t.Errorf("%s: got %d to %q, want %q", button, resp.StatusCode, got, want)
	}
}

func TestRedirectExpires(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	r := w.charge(t, "k", "", nil)
	if want := start.Add(72 * time.Hour); !r.ExpiresAt.Equal(want) {
		t.Errorf("expires at %v, want %v", r.ExpiresAt, want)
	}
	resp, err := http.Get(r.NextAction.GetRedirectUrl())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if page, err := io.ReadAll(resp.Body); err != nil || !bytes.Contains(page, []byte("result=approve")) {
		t.Errorf("the page %s (%v) has no button", page, err)
	}
	w.advance(t, 72*time.Hour)
	r, _ = w.lookup(t, "k")
	if r.Class != gateway.Rejected || !r.Expired {
		t.Errorf("got %+v, want expired", r)
	}
}

func TestLateCharge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	wantClass(t, "at first", w.charge(t, "k", "tok_late", nil), gateway.Rejected)
	w.advance(t, time.Hour)
	if n := w.notice(t); n.Kind != gateway.NoticeCharge || n.Key != "k" {
		t.Errorf("got notice %+v", n)
	}
	r, _ := w.lookup(t, "k")
	wantClass(t, "an hour later", r, gateway.Accepted)
}

// A charge can turn up within the horizon that the adapter promises, and not after it.
func TestTurnsUpWithinTheHorizon(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	impatient := sandbox.New(sandbox.Config{Timeout: 250 * time.Millisecond})
	r := impatient.Charge(t.Context(), w.conn, gateway.Charge{
		Key: "k", Amount: &ledgerv1.Money{CurrencyCode: "USD", MinorUnits: 4700}, Token: "tok_timeout_later",
	})
	wantClass(t, "at first", r, gateway.Unknown)
	if r, found := w.lookup(t, "k"); found {
		t.Fatalf("found too early: %+v", r)
	}
	w.advance(t, w.gateway.Traits().Horizon)
	r, found := w.lookup(t, "k")
	if !found {
		t.Fatal("nothing turned up")
	}
	wantClass(t, "after the horizon", r, gateway.Accepted)
}

func TestRefundsDecidedLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	refund := func(key, charge string) gateway.Result {
		return w.gateway.Refund(t.Context(), w.conn, gateway.Refund{
			Key: key, ChargeReference: charge, Amount: &ledgerv1.Money{CurrencyCode: "USD", MinorUnits: 4700},
		})
	}
	slow := w.charge(t, "k1", "tok_refund_pending_ok", nil)
	wantClass(t, "pending at first", refund("r1", slow.Reference), gateway.Pending)
	wantClass(t, "and counted already", refund("r1b", slow.Reference), gateway.Rejected)
	w.advance(t, 5*time.Minute)
	if n := w.notice(t); n.Kind != gateway.NoticeRefund || n.Key != "r1" {
		t.Errorf("got notice %+v", n)
	}
	r, _ := w.lookup(t, "r1")
	wantClass(t, "later", r, gateway.Accepted)

	back := w.charge(t, "k2", "tok_refund_fails_later", nil)
	wantClass(t, "succeeds at first", refund("r2", back.Reference), gateway.Accepted)
	w.advance(t, 24*time.Hour)
	if n := w.notice(t); n.Kind != gateway.NoticeRefund || n.Key != "r2" {
		t.Errorf("got notice %+v", n)
	}
	r, _ = w.lookup(t, "r2")
	if r.Class != gateway.Rejected || !r.Reversed {
		t.Errorf("got %+v, want reversed", r)
	}
	wantClass(t, "there is money to refund again", refund("r3", back.Reference), gateway.Accepted)
}

func TestDisputeOfItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	wantClass(t, "charge", w.charge(t, "k", "tok_dispute", nil), gateway.Accepted)
	w.advance(t, 24*time.Hour)
	got := map[ledgerv1.DisputeStage]*gateway.Dispute{}
	for range 2 { // in any order
		n := w.notice(t)
		if n.Kind != gateway.NoticeDispute || n.Subscription != "s1" {
			t.Fatalf("got notice %+v", n)
		}
		got[n.Dispute.Stage] = n.Dispute
	}
	d := got[ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_WITHDRAWN]
	if d == nil || got[ledgerv1.DisputeStage_DISPUTE_STAGE_OPENED] == nil {
		t.Fatalf("got stages %v, want opened and withdrawn", got)
	}
	if d.ChargeKey != "k" || d.Amount.GetMinorUnits() != 4700 || d.Fee.GetMinorUnits() != 1500 || !d.At.Equal(start.Add(24*time.Hour)) {
		t.Errorf("got %+v", d)
	}
}

func TestDisputeByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	c := w.charge(t, "k", "tok_ok", nil)
	url := w.account() + "/charges/" + c.Reference + "/disputes"
	step := func(stage string, more map[string]any, want int) {
		t.Helper()
		q := map[string]any{"stage": stage}
		for k, v := range more {
			q[k] = v
		}
		w.post(t, url, q, want)
	}
	step("funds_reinstated", nil, http.StatusConflict)
	step("inquiry", nil, http.StatusOK)
	step("funds_withdrawn", map[string]any{"amount": bookMoney{"USD", 4701}}, http.StatusConflict)
	step("funds_withdrawn", map[string]any{"amount": bookMoney{"USD", 4000}}, http.StatusOK)
	step("funds_withdrawn", nil, http.StatusOK) // where it is already
	refund := gateway.Refund{Key: "r", ChargeReference: c.Reference, Amount: &ledgerv1.Money{CurrencyCode: "USD", MinorUnits: 100}}
	wantClass(t, "refund while disputed", w.gateway.Refund(t.Context(), w.conn, refund), gateway.Rejected)
	step("funds_reinstated", nil, http.StatusOK)
	step("closed", map[string]any{"outcome": "perhaps"}, http.StatusConflict)
	step("closed", map[string]any{"outcome": "won"}, http.StatusOK)
	refund.Key = "r2"
	wantClass(t, "refund afterwards", w.gateway.Refund(t.Context(), w.conn, refund), gateway.Accepted)
	want := []bookDispute{{ID: w.book(t).Disputes[0].ID, Stage: "closed", Withdrawn: true, Reinstated: true}}
	if d := cmp.Diff(want, w.book(t).Disputes); d != "" {
		t.Errorf("book (-want +got):\n%s", d)
	}
	for range 4 {
		if n := w.notice(t); n.Kind != gateway.NoticeDispute || n.Key != "k" {
			t.Errorf("got notice %+v", n)
		}
	}
	w.noMore(t)
}

func TestRevokedMethod(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	c := w.charge(t, "k", "tok_ok", nil)
	for range 2 {
		w.post(t, w.account()+"/methods/"+c.Method.GetReference()+"/revoke", nil, http.StatusOK)
	}
	if n := w.notice(t); n.Kind != gateway.NoticeAgreement || n.Subscription != "s1" || n.Code == "" {
		t.Errorf("got notice %+v", n)
	}
	w.noMore(t)
	if r := w.charge(t, "k2", "", c.Method); r.Class != gateway.Rejected || !r.AgreementLost {
		t.Errorf("got %+v, want a lost agreement", r)
	}
	wantClass(t, "the token anew", w.charge(t, "k3", "tok_ok", nil), gateway.Accepted)
}

func TestWebhookTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	wantClass(t, "charge", w.charge(t, "k", "tok_webhook_twice", nil), gateway.Accepted)
	first, second := w.notice(t), w.notice(t)
	if d := cmp.Diff(first, second, protocmp.Transform()); d != "" {
		t.Errorf("the duplicate differs (-first +second):\n%s", d)
	}
	w.noMore(t)
}

// A webhook that nobody takes comes again, later and later, even after a restart, signed anew.
func TestWebhookComesAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.hooks.refuse <- struct{}{}
	w.hooks.refuse <- struct{}{}
	w.charge(t, "k", "tok_pending_ok", nil)
	w.advance(t, 5*time.Minute)
	for _, pause := range []time.Duration{5 * time.Second, 10 * time.Second} {
		at, ok := w.server.NextAt()
		if want := w.clock.Now().Add(pause); !ok || !at.Equal(want) {
			t.Fatalf("next try at %v, %v, want %v", at, ok, want)
		}
		w.restart(t)
		w.advance(t, pause)
	}
	if n := w.notice(t); n.Key != "k" {
		t.Errorf("got notice %+v", n)
	}
	w.noMore(t)
}

// A connection without a secret believes nobody, not even who signs with none.
func TestNoSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.conn.WebhookSecret = ""
	if err := w.gateway.Connect(t.Context(), w.conn); err != nil {
		t.Fatal(err)
	}
	w.charge(t, "k", "tok_webhook_twice", nil)
	header, body := w.webhook(t)
	if _, err := w.gateway.Verify(w.conn, header, body, w.clock.Now()); !errors.Is(err, sandbox.ErrNoSecret) {
		t.Errorf("got %v, want %v", err, sandbox.ErrNoSecret)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.post(t, w.account()+"/faults", map[string]any{"operation": "charge", "step": "hard", "times": 2}, http.StatusOK)
	w.post(t, w.account()+"/faults", map[string]any{"operation": "lookup", "step": "500_uncharged"}, http.StatusOK)
	w.post(t, w.account()+"/faults", map[string]any{"operation": "lookup", "step": "soft"}, http.StatusBadRequest)
	wantClass(t, "first", w.charge(t, "k1", "tok_ok-soft", nil), gateway.Rejected)
	w.restart(t)
	wantClass(t, "second", w.charge(t, "k2", "tok_ok-soft", nil), gateway.Rejected)
	third := w.charge(t, "k3", "tok_ok-soft", nil)
	wantClass(t, "third: the script's first step", third, gateway.Accepted)
	if _, found, err := w.gateway.Lookup(t.Context(), w.conn, "k3", start); err == nil {
		t.Errorf("look-up: found %v, want an error", found)
	}
	if _, found := w.lookup(t, "k3"); !found {
		t.Error("the second look-up found nothing")
	}
	w.post(t, w.account()+"/faults", map[string]any{"operation": "any", "step": "unavailable", "times": -1}, http.StatusOK)
	for _, key := range []string{"k4", "k5"} {
		wantClass(t, "out of order", w.charge(t, key, "tok_ok", nil), gateway.Unknown)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, w.account()+"/faults", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	wantClass(t, "in order again", w.charge(t, "k6", "tok_ok", nil), gateway.Accepted)
}

// After its lifetime a key is new, and who sends it without looking charges twice.
func TestKeyIsForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	first := w.charge(t, "k", "tok_ok", nil)
	w.advance(t, w.gateway.Traits().KeyLifetime-time.Microsecond)
	if r := w.charge(t, "k", "tok_ok", nil); r.Reference != first.Reference {
		t.Errorf("just before: got charge %s, want %s", r.Reference, first.Reference)
	}
	w.advance(t, time.Microsecond)
	if r := w.charge(t, "k", "tok_ok", nil); r.Reference == first.Reference {
		t.Error("the key lives longer than promised")
	}
	if n := len(w.book(t).Charges); n != 2 {
		t.Errorf("the book holds %d charges, want 2", n)
	}
}

// Without real idempotency each call charges, and the book shows it.
func TestWithoutKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	if life := w.gateway.Traits().KeyLifetime; life != 0 {
		t.Errorf("key lifetime %v, want 0", life)
	}
	w.charge(t, "k", "tok_ok", nil)
	w.charge(t, "k", "tok_ok", nil)
	w.gateway = sandbox.New(sandbox.Config{}) // a header that the server ignores
	w.charge(t, "k", "tok_ok", nil)
	if n := len(w.book(t).Charges); n != 3 {
		t.Errorf("the book holds %d charges, want 3", n)
	}
}

func TestUnknownAccountAndToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	for _, token := range []string{"ok", "tok_", "tok_nonsense", "tok_ok-", "tok_ok-refund_nonsense"} {
		r := w.charge(t, "k-"+token, token, nil)
		if r.Class != gateway.Rejected || r.Code != "unknown_token" {
			t.Errorf("token %q: got %+v, want unknown_token", token, r)
		}
	}
	w.conn.ID = "nobody"
	if r := w.charge(t, "k", "tok_ok", nil); r.Class != gateway.NotSent || !r.Config {
		t.Errorf("unknown account: got %+v, want a matter of configuration", r)
	}
}

func TestSpecialAmounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	charge := func(amount int64, token string) gateway.Result {
		return w.gateway.Charge(t.Context(), w.conn, gateway.Charge{
			Key: token + strconv.FormatInt(amount, 10), Token: token, Amount: &ledgerv1.Money{CurrencyCode: "USD", MinorUnits: amount},
		})
	}
	if r := charge(400_001, "tok_ok"); r.Code != "insufficient_funds" {
		t.Errorf("4000.01: got %+v", r)
	}
	if r := charge(400_001, "tok_hard"); r.Code != "stolen_card" {
		t.Errorf("a script that says more than ok: got %+v", r)
	}
	wantClass(t, "4000.00", charge(400_000, "tok_ok"), gateway.Accepted)
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	var calls sync.WaitGroup
	for i := range 200 {
		calls.Go(func() {
			if r := w.charge(t, "k"+strconv.Itoa(i%50), "tok_ok", nil); r.Class != gateway.Accepted {
				t.Errorf("got %+v", r)
			}
		})
	}
	calls.Wait()
	if n := len(w.book(t).Charges); n != 50 {
		t.Errorf("the book holds %d charges, want 50", n)
	}
}

// Closing lets a caller go who waits for an answer that never comes.
func TestCloseEndsWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	done := make(chan gateway.Result, 1)
	go func() { done <- w.charge(t, "k", "tok_timeout_charged", nil) }()
	for len(w.book(t).Charges) == 0 {
	}
	if err := w.server.Close(); err != nil {
		t.Fatal(err)
	}
	wantClass(t, "after closing", <-done, gateway.Unknown)
	w.open(t)
	r, _ := w.lookup(t, "k")
	wantClass(t, "after opening again", r, gateway.Accepted)
}

// An answer that is about something else says nothing about what was asked.
func TestAnswerAboutAnotherKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	for _, body := range []string{
		`{"id":"ch_1","account":"m1.c1","key":"other","status":"succeeded","amount":{"currency_code":"USD","minor_units":4700}}`,
		`{"id":"ch_1","account":"m2.c1","key":"k","status":"succeeded","amount":{"currency_code":"USD","minor_units":4700}}`,
		`{"id":"ch_1","account":"m1.c1","key":"k","status":"thriving","amount":{"currency_code":"USD","minor_units":4700}}`,
		`{"id":"ch_1","account":"m1.c1","key":"k","status":"failed","decline":{"category":"medium","code":"x"}}`,
		`{"id":"ch_1","account":"m1.c1","key":"k","status":"failed"}`,
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				body = `{"charges":[` + body + `]}`
			}
			_, _ = io.WriteString(rw, body) // a client that hung up shows in the result
		}))
		w := *w
		w.conn.URL = srv.URL
		wantClass(t, body, w.charge(t, "k", "tok_ok", nil), gateway.Unknown)
		if r, found, err := w.gateway.Lookup(t.Context(), w.conn, "k", start); err == nil && r.Class != gateway.Unknown {
			t.Errorf("look-up answered %s: got %v, %+v", body, found, r)
		}
		srv.Close()
	}
}
