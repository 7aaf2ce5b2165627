package stripe_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/gateway/stripe/stripetest"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A buyer who has to authenticate is Pending with what his page needs, and then either.
func TestAuthentication(t *testing.T) {
	t.Parallel()
	for _, right := range []bool{true, false} {
		w := newWorld(t)
		r := w.charge(t, first("k", "pm_x_action"))
		if r.Class != gateway.Pending || r.NextAction.GetClientSecret() == "" || r.NextAction.GetRedirectUrl() == "" || r.Reference == "" {
			t.Fatalf("got %+v, want a next action", r)
		}
		equal(t, "looked up meanwhile", w.lookup(t, "k"), r)
		must(t, w.server.Authenticate(r.Reference, right))
		got := w.lookup(t, "k")
		if right {
			if got.Class != gateway.Accepted || got.Method.GetReference() == "" {
				t.Errorf("authenticated: got %+v", got)
			}
			continue
		}
		if got.Class != gateway.Rejected || got.Code != "payment_intent_authentication_failure" {
			t.Errorf("not authenticated: got %+v", got)
		}
		// Rejected means that it cannot be paid any more, not even by the buyer's open page.
		if err := w.server.Retry(r.Reference, "pm_card_visa"); err == nil {
			t.Error("the buyer could still pay what was told as declined")
		}
		equal(t, "looked up again", w.lookup(t, "k"), got)
	}
}

// A buyer who is refused on Stripe's page may try again there; nothing is decided until it closes.
func TestCheckoutAfterADecline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.charge(t, first("k", ""))
	if !r.ExpiresAt.Equal(start.Add(24 * time.Hour)) {
		t.Errorf("got %v, want a day", r.ExpiresAt)
	}
	page := r.NextAction.GetRedirectUrl()
	must(t, w.server.Pay(page, "pm_card_visa_chargeDeclined"))
	equal(t, "after a decline", w.lookup(t, "k"), r)
	must(t, w.server.Pay(page, "pm_card_visa"))
	if got := w.lookup(t, "k"); got.Class != gateway.Accepted || got.Method.GetReference() == "" {
		t.Errorf("paid: got %+v", got)
	}
}

// A page without a price keeps the method; so does one whose buyer comes after the first half hour.
func TestCheckoutOfNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := first("k", "")
	c.Amount = usd(0)
	r := w.charge(t, c)
	w.clock.Set(start.Add(2 * time.Hour))
	must(t, w.server.Pay(r.NextAction.GetRedirectUrl(), "pm_card_visa"))
	got := w.lookup(t, "k")
	if got.Class != gateway.Accepted || got.Method.GetReference() == "" {
		t.Errorf("got %+v", got)
	}
	equal(t, "amount", got.Amount, usd(0))
}

func TestProcessingThenEither(t *testing.T) {
	t.Parallel()
	for _, paid := range []bool{true, false} {
		w := newWorld(t)
		r := w.charge(t, first("k", "pm_x_processing"))
		must(t, w.server.Settle(r.Reference, paid))
		want := gateway.Rejected
		if paid {
			want = gateway.Accepted
		}
		if got := w.lookup(t, "k"); got.Class != want || got.Reference != r.Reference {
			t.Errorf("paid %v: got %+v", paid, got)
		}
	}
}

// A payment is found though our clock was wrong when it was asked for, and has been set right since.
func TestAClockThatWasAhead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.paid(t, "k")
	for _, wrong := range []time.Duration{-40 * time.Minute, 40 * time.Minute} {
		if _, found, err := w.gateway.Lookup(t.Context(), w.conn, "k", start.Add(wrong)); !found || err != nil {
			t.Errorf("wrong by %v: found %v, %v", wrong, found, err)
		}
	}
}

// A key that was carried out twice is told as the payment that it was.
func TestTwiceUnderOneKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.charge(t, first("k", "pm_x_twice"))
	if got := w.lookup(t, "k"); got.Class != gateway.Accepted || len(w.server.Paid("k")) != 2 {
		t.Errorf("got %+v", got)
	}
}

// Look-ups go through all pages, and through what was sent long after it was asked for.
func TestPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.paid(t, "oldest")
	for n := range 205 {
		w.paid(t, fmt.Sprint("between ", n))
	}
	w.clock.Set(start.Add(72 * time.Hour))
	w.paid(t, "late")
	for _, key := range []string{"oldest", "between 0", "between 204", "late"} {
		if r := w.lookup(t, key); r.Class != gateway.Accepted {
			t.Errorf("%s: got %+v", key, r)
		}
	}
	if _, found, err := w.gateway.Lookup(t.Context(), w.conn, "never", start); found || err != nil {
		t.Errorf("found %v, %v", found, err)
	}
	if _, found, err := w.gateway.Lookup(t.Context(), w.conn, "oldest", start.Add(2*time.Hour)); found || err != nil {
		t.Errorf("what was created before it was asked for is not it: found %v, %v", found, err)
	}
}

// A look-up that is not answered in all its parts is no absence.
func TestNoAnswerIsNoAbsence(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/v1/payment_intents", "/v1/checkout/sessions", "/v1/refunds", "/v1/setup_intents"} {
		for _, step := range []stripetest.Step{
			stripetest.ErrorUncharged, stripetest.Page, stripetest.Half, stripetest.Huge, stripetest.RateLimited, stripetest.Unauthorized,
		} {
			w := newWorld(t)
			w.server.Spoil(path, step)
			if r, found, err := w.gateway.Lookup(t.Context(), w.conn, "k", start); err == nil {
				t.Errorf("%s, %s: found %v, %+v", path, step, found, r)
			}
		}
	}
}

// A method that was taken away, or a customer that is not there.
func TestStoredMethodIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	method := w.paid(t, "k1").Method
	_, pm, _ := strings.Cut(method.Reference, "/")
	must(t, w.server.Detach(pm))
	c := first("k2", "")
	c.Method = method
	if r := w.charge(t, c); r.Class != gateway.Rejected || !r.AgreementLost {
		t.Errorf("detached: got %+v", r)
	}
	c.Key, method.Reference = "k3", "cus_other/"+pm
	if r := w.charge(t, c); r.Class != gateway.Rejected || r.AgreementLost {
		t.Errorf("another customer: got %+v", r)
	}
}

func TestRefundsThatAreDecidedLater(t *testing.T) {
	t.Parallel()
	for _, step := range []stripetest.Step{stripetest.Processing, stripetest.Action, stripetest.OK} {
		for _, ok := range []bool{true, false} {
			w := newWorld(t)
			paid := w.charge(t, first("k", "pm_x_refund_"+string(step)))
			r := w.gateway.Refund(t.Context(), w.conn, gateway.Refund{Key: "r", ChargeReference: paid.Reference, Amount: usd(1000)})
			if want := map[bool]gateway.Class{true: gateway.Accepted, false: gateway.Pending}[step == stripetest.OK]; r.Class != want {
				t.Fatalf("%s: got %+v", step, r)
			}
			must(t, w.server.DecideRefund(r.Reference, ok))
			got := w.lookup(t, "r")
			if ok && got.Class != gateway.Accepted || !ok && (got.Class != gateway.Rejected || !got.Reversed || got.Code == "") {
				t.Errorf("%s, then %v: got %+v", step, ok, got)
			}
		}
	}
}

func TestRefundsThatStripeRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	paid := w.paid(t, "k")
	if _, err := w.server.Dispute(paid.Reference, "needs_response"); err != nil {
		t.Fatal(err)
	}
	r := w.gateway.Refund(t.Context(), w.conn, gateway.Refund{Key: "r", ChargeReference: paid.Reference, Amount: usd(1)})
	if r.Class != gateway.Rejected || r.Code != "charge_disputed" {
		t.Errorf("disputed: got %+v", r)
	}
	other := w.charge(t, first("k2", "pm_x_refund_wrong_id"))
	if r := w.gateway.Refund(t.Context(), w.conn, gateway.Refund{Key: "r2", ChargeReference: other.Reference, Amount: usd(1)}); r.Class != gateway.Unknown {
		t.Errorf("an answer about another refund: got %+v", r)
	}
}

// Who turns back at Stripe's page leaves it open; when the payment is abandoned nobody can pay there any more. A decline
// on the page before that counts as one.
func TestAbandonedCheckout(t *testing.T) {
	t.Parallel()
	for _, declined := range []bool{false, true} {
		w := newWorld(t)
		c := first("k", "")
		c.CancelURL = "https://ledger.example/return/stripe/token/cancel"
		r := w.charge(t, c)
		if declined {
			must(t, w.server.Pay(r.NextAction.GetRedirectUrl(), "pm_card_visa_chargeDeclined"))
		}
		got, found, err := w.gateway.Abandon(t.Context(), w.conn, c, start)
		if err != nil || !found || got.Class != gateway.Rejected || got.Expired == declined {
			t.Errorf("declined before: %v: found %v, %+v, %v", declined, found, got, err)
		}
		if err := w.server.Pay(r.NextAction.GetRedirectUrl(), "pm_card_visa"); err == nil {
			t.Errorf("declined before: %v: the page can still be paid", declined)
		}
		for _, req := range w.server.Requests() {
			if req.Path == "/v1/checkout/sessions" && req.Method == "POST" &&
				(req.Form.Get("cancel_url") != c.CancelURL || req.Form.Get("success_url") != c.ReturnURL) {
				t.Errorf("Stripe was told %v", req.Form)
			}
		}
	}
}

// As long as Stripe does not say that the page is closed, nothing is known.
func TestAbandonedWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := first("k", "")
	page := w.charge(t, c).NextAction.GetRedirectUrl()
	w.server.Spoil("/v1/checkout/sessions/"+page[strings.LastIndex(page, "/")+1:]+"/expire", stripetest.ErrorUncharged)
	if got, _, err := w.gateway.Abandon(t.Context(), w.conn, c, start); err == nil {
		t.Errorf("got %+v, want an error", got)
	}
	if got, _, err := w.gateway.Abandon(t.Context(), w.conn, c, start); err != nil || !got.Expired {
		t.Errorf("the second time: got %+v, %v, want it ended", got, err)
	}
}

// A buyer who never authenticates leaves an intent that could be paid for ever; when the payment is abandoned it is
// cancelled. One that has gone through meanwhile stays what it is.
func TestAbandonedAuthentication(t *testing.T) {
	t.Parallel()
	for _, paid := range []bool{false, true} {
		w := newWorld(t)
		c := first("k", "pm_x_action")
		r := w.charge(t, c)
		if paid {
			must(t, w.server.Authenticate(r.Reference, true))
		}
		got, found, err := w.gateway.Abandon(t.Context(), w.conn, c, start)
		if err != nil || !found || (got.Class == gateway.Accepted) != paid || got.Expired == paid {
			t.Errorf("paid before: %v: found %v, %+v, %v", paid, found, got, err)
		}
		if err := w.server.Authenticate(r.Reference, true); err == nil {
			t.Errorf("paid before: %v: the buyer can still pay", paid)
		}
		equal(t, "looked up again", w.lookup(t, "k"), got)
	}
}
