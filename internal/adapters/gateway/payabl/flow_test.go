package payabl

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/gateway/payabl/payabltest"
)

func usd(minorUnits int64) *ledgerv1.Money {
	return &ledgerv1.Money{CurrencyCode: "USD", MinorUnits: minorUnits}
}

// firstPayment is one that the buyer has to be sent away for.
func firstPayment(minorUnits int64) gateway.Charge {
	return gateway.Charge{
		Key: "k1", Amount: usd(minorUnits), ReturnURL: "https://shop.example/back", Merchant: "m1", Subscription: "sub-1", PayNumber: 1, Attempt: 1,
		Buyer: &ledgerv1.Buyer{
			FirstName: "Jörg", LastName: "Müßig", Email: "joerg@shop.example", Ip: "127.0.0.1", Language: "de-AT",
			Address: &ledgerv1.Address{CountryCode: "AT"},
		},
	}
}

func wantClass(t *testing.T, what string, r gateway.Result, want gateway.Class) {
	t.Helper()
	if r.Class != want {
		t.Fatalf("%s: got %+v, want class %d", what, r, want)
	}
}

func (w *world) wantMoved(t *testing.T, what, key string, want ...int64) {
	t.Helper()
	var got []int64
	for _, m := range w.charged(key) {
		got = append(got, m.MinorUnits)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s: what truly moved (-want +got):\n%s", what, d)
	}
}

func (w *world) charge(t *testing.T, c gateway.Charge, want gateway.Class) gateway.Result {
	t.Helper()
	r := w.gateway.Charge(t.Context(), w.conn, c)
	wantClass(t, "charge "+c.Key, r, want)
	return r
}

func (w *world) find(t *testing.T, c gateway.Charge, want gateway.Class) gateway.Result {
	t.Helper()
	r, found, err := w.gateway.FindCharge(t.Context(), w.conn, c, start)
	if err != nil || !found {
		t.Fatalf("find %s: %v, found %v", c.Key, err, found)
	}
	wantClass(t, "find "+c.Key, r, want)
	return r
}

func (w *world) look(t *testing.T, key string, want gateway.Class) gateway.Result {
	t.Helper()
	r, found, err := w.gateway.Lookup(t.Context(), w.conn, key, start)
	if err != nil || !found {
		t.Fatalf("look up %s: %v, found %v", key, err, found)
	}
	wantClass(t, "look-up of "+key, r, want)
	return r
}

// wait moves the clock.
func (w *world) wait(d time.Duration) { w.clock.Set(w.clock.Now().Add(d)) }

func TestAgreementAndFirstPayment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := firstPayment(4700)
	r := w.charge(t, c, gateway.Pending)
	if want := start.Add(72*time.Hour + horizon); !r.ExpiresAt.Equal(want) {
		t.Errorf("expires at %s, want %s", r.ExpiresAt, want)
	}
	w.find(t, c, gateway.Pending)
	w.decide(t, r.NextAction.GetRedirectUrl(), true)
	w.look(t, c.Key, gateway.Pending)
	w.wantMoved(t, "the buyer's consent alone", c.Key)

	paid := w.find(t, c, gateway.Accepted)
	want := gateway.Result{
		Class: gateway.Accepted, Reference: paid.Reference, Amount: usd(4700),
		Method: &ledgerv1.PaymentMethod{Reference: r.Reference, Brand: "paypal", AgreementId: r.Reference},
	}
	if d := cmp.Diff(want, paid, protocmp.Transform()); d != "" || paid.Reference == r.Reference {
		t.Errorf("the first payment (-want +got):\n%s", d)
	}
	w.find(t, c, gateway.Accepted)
	w.look(t, c.Key, gateway.Accepted)
	w.wantMoved(t, "found again and again", c.Key, 4700)

	rebill := c
	rebill.Key, rebill.Method, rebill.PayNumber = "k2", paid.Method, 2
	second := w.charge(t, rebill, gateway.Accepted)
	if d := cmp.Diff(second, w.look(t, "k2", gateway.Accepted), protocmp.Transform()); d != "" {
		t.Errorf("the rebill's look-up differs (-answer +look-up):\n%s", d)
	}
}

func TestAgreementAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := firstPayment(0)
	r := w.charge(t, c, gateway.Pending)
	w.decide(t, r.NextAction.GetRedirectUrl(), true)
	stored := w.look(t, c.Key, gateway.Accepted)
	if stored.Amount.GetMinorUnits() != 0 || stored.Amount.GetCurrencyCode() != "USD" || stored.Method.GetReference() != r.Reference {
		t.Errorf("got %+v, want the agreement and no money", stored)
	}
	w.find(t, c, gateway.Accepted)
	w.wantMoved(t, "the agreement", c.Key)
}

func TestReservationIsCaptured(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := firstPayment(4700)
	c.Once = true
	r := w.charge(t, c, gateway.Pending)
	w.decide(t, r.NextAction.GetRedirectUrl(), true)
	w.look(t, c.Key, gateway.Pending)
	w.wantMoved(t, "the reservation", c.Key)
	reserved, err := w.gateway.byID(t.Context(), w.conn, r.Reference)
	if err != nil || reserved == nil {
		t.Fatalf("the reservation: %+v, %v", reserved, err)
	}
	if got := w.find(t, c, gateway.Accepted); got.Reference != r.Reference || got.Amount.GetMinorUnits() != 4700 || got.Method != nil {
		t.Errorf("got %+v, want the captured reservation, and no method", got)
	}
	w.find(t, c, gateway.Accepted)
	w.look(t, c.Key, gateway.Accepted)
	again := w.gateway.capture(t.Context(), w.conn, *reserved) // by somebody who looked before it was captured
	if again.Class != gateway.Accepted || again.Reference != r.Reference || again.Amount.GetMinorUnits() != 4700 {
		t.Errorf("captured again: got %+v, want the first capture", again)
	}
	w.wantMoved(t, "the capture", c.Key, 4700)
	if v := w.gateway.Void(t.Context(), w.conn, r.Reference); v.Class != gateway.Rejected || v.Code != "captured" {
		t.Errorf("got %+v, want no release of what is captured", v)
	}
}

func TestVoid(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := firstPayment(4700)
	c.Once = true
	r := w.charge(t, c, gateway.Pending)
	wantClass(t, "before the approval", w.gateway.Void(t.Context(), w.conn, r.Reference), gateway.Rejected)
	w.decide(t, r.NextAction.GetRedirectUrl(), true)
	wantClass(t, "of a reservation", w.gateway.Void(t.Context(), w.conn, r.Reference), gateway.Accepted)
	wantClass(t, "of nothing", w.gateway.Void(t.Context(), w.conn, "1"), gateway.Rejected)
	if !w.server.Reversed(r.Reference) {
		t.Error("the reservation still stands")
	}
	w.find(t, c, gateway.Rejected)
	w.wantMoved(t, "what was released", c.Key)
}

// What the buyer approves too late takes nothing, and a reservation is given back.
func TestRedirectRunsOut(t *testing.T) {
	t.Parallel()
	for _, kind := range []kind{first, once} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c := firstPayment(4700)
			c.Once = kind == once
			r := w.charge(t, c, gateway.Pending)
			w.wait(72 * time.Hour)
			w.find(t, c, gateway.Pending) // what was sent a moment before may turn up
			w.decide(t, r.NextAction.GetRedirectUrl(), true)
			// Whoever has waited until then gives it up.
			if got := w.find(t, c, gateway.Pending); !got.ExpiresAt.Equal(w.clock.Now().Add(horizon)) {
				t.Errorf("expires at %s, which is not when nothing can turn up any more", got.ExpiresAt)
			}
			w.wait(horizon)
			for range 2 {
				if got := w.find(t, c, gateway.Rejected); !got.Expired || got.Category != ledgerv1.DeclineCategory_DECLINE_CATEGORY_SOFT {
					t.Errorf("got %+v, want it expired", got)
				}
			}
			w.wantMoved(t, "after the deadline", c.Key)
			if w.server.Reversed(r.Reference) != c.Once {
				t.Errorf("released: %v", w.server.Reversed(r.Reference))
			}
		})
	}
}

// A first payment whose answer was lost is found, not made again; so is one that several look-ups would make at once.
func TestFirstPaymentIsMadeOnce(t *testing.T) {
	t.Parallel()
	tests := map[string]payabltest.Behaviour{
		"lost answer": {Fault: payabltest.Cut}, "web page": {Fault: payabltest.WebPage}, "in doubt": {Says: -5000},
		"taken for a repeat": {Says: -2407}, "called declined": {Says: -5002},
	}
	for name, b := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c := firstPayment(4700)
			r := w.charge(t, c, gateway.Pending)
			w.decide(t, r.NextAction.GetRedirectUrl(), true)
			w.server.Behave(r.Reference, b)
			if r, found, err := w.gateway.FindCharge(t.Context(), w.conn, c, start); err == nil && (!found || r.Class != gateway.Accepted) {
				t.Errorf("got %+v, found %v, want the payment or an error", r, found)
			}
			w.find(t, c, gateway.Accepted)
			w.wantMoved(t, "after both", c.Key, 4700)
		})
	}
	t.Run("at once", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		c := firstPayment(4700)
		w.decide(t, w.charge(t, c, gateway.Pending).NextAction.GetRedirectUrl(), true)
		var calls sync.WaitGroup
		for range 8 {
			calls.Go(func() {
				r, found, err := w.gateway.FindCharge(t.Context(), w.conn, c, start)
				if err != nil || !found || r.Class == gateway.Rejected || r.Class == gateway.Unknown {
					t.Errorf("got %+v, found %v, %v", r, found, err)
				}
			})
		}
		calls.Wait()
		w.find(t, c, gateway.Accepted)
		w.wantMoved(t, "after eight", c.Key, 4700)
	})
	t.Run("while it is being made", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		c := firstPayment(4700)
		r := w.charge(t, c, gateway.Pending)
		w.decide(t, r.NextAction.GetRedirectUrl(), true)
		w.server.Behave(r.Reference, payabltest.Behaviour{Fault: payabltest.Silence, Lost: true, Once: true})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var call sync.WaitGroup
		call.Go(func() {
			if r, found, err := w.gateway.FindCharge(ctx, w.conn, c, start); err == nil {
				t.Errorf("got %+v, found %v, want an error", r, found)
			}
		})
		for !w.server.Used(r.Reference) {
			runtime.Gosched()
		}
		w.find(t, c, gateway.Pending)
		cancel()
		call.Wait()
		w.find(t, c, gateway.Accepted)
		w.wantMoved(t, "after both", c.Key, 4700)
	})
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		c := firstPayment(4700)
		r := w.charge(t, c, gateway.Pending)
		w.decide(t, r.NextAction.GetRedirectUrl(), true)
		w.server.Behave(r.Reference, payabltest.Behaviour{Status: -2405})
		w.find(t, c, gateway.Rejected)
		w.find(t, c, gateway.Rejected)
		w.wantMoved(t, "refused", c.Key)
	})
}

// 145005 comes with a transaction of its own and an order id that is not signed. It is believed when tx_diagnose says the
// same, and it says whose agreement it was, months later too.
func TestAgreementIsCancelled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := firstPayment(4700)
	r := w.charge(t, c, gateway.Pending)
	w.decide(t, r.NextAction.GetRedirectUrl(), true)
	paid := w.find(t, c, gateway.Accepted)
	for range 2 { // the approval, and the payment
		<-w.got
	}
	w.wait(100 * 24 * time.Hour)
	ended := w.server.Cancel(r.Reference)
	body := <-w.got
	told, err := w.gateway.Verify(w.conn, nil, body, w.clock.Now())
	if err != nil || told.Kind != gateway.NoticeAgreement || told.Reference != ended || told.Subscription != "" {
		t.Fatalf("told %+v, %v, want the end of an agreement, nobody's yet", told, err)
	}
	want := told
	want.Key, want.Subscription, want.Method, want.Code = c.Key, c.Subscription, paid.Method.Reference, "145005"
	got, err := w.gateway.Complete(t.Context(), w.conn, told)
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("confirmed: %v (-want +got):\n%s", err, d)
	}

	forged := told
	forged.Reference = paid.Reference
	if got, err := w.gateway.Complete(t.Context(), w.conn, forged); !errors.Is(err, gateway.ErrNotConfirmed) {
		t.Errorf("of a payment: got %+v, %v, want no confirmation", got, err)
	}
	forged.Reference = "1"
	if got, err := w.gateway.Complete(t.Context(), w.conn, forged); !errors.Is(err, gateway.ErrNotConfirmed) {
		t.Errorf("of nothing: got %+v, %v, want no confirmation", got, err)
	}

	rebill := c
	rebill.Key, rebill.Method = "k2", paid.Method
	if r := w.charge(t, rebill, gateway.Rejected); !r.AgreementLost || r.Code != "145001" {
		t.Errorf("got %+v, want the agreement lost", r)
	}
}

func TestAgreementIsCancelledBeforeItIsCharged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := firstPayment(4700)
	r := w.charge(t, c, gateway.Pending)
	w.decide(t, r.NextAction.GetRedirectUrl(), true)
	w.server.Cancel(r.Reference)
	if got := w.find(t, c, gateway.Rejected); !got.AgreementLost || got.Code != "145005" || w.server.Used(r.Reference) {
		t.Errorf("got %+v, want the agreement lost, and no payment tried", got)
	}
	w.wantMoved(t, "without an agreement", c.Key)
}

func TestConfirmIgnoresOtherShops(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	page := w.server.Method(payabltest.Behaviour{}, true)
	got, err := w.gateway.Complete(t.Context(), w.conn, gateway.Notice{ID: "1", Kind: gateway.NoticeCharge, Reference: page})
	if err != nil || got.Kind != gateway.NoticeIgnored {
		t.Errorf("a payment: got %+v, %v, want it ignored", got, err)
	}
	ended := w.server.Cancel(page)
	got, err = w.gateway.Complete(t.Context(), w.conn, gateway.Notice{ID: "2", Kind: gateway.NoticeAgreement, Reference: ended})
	if err != nil || got.Kind != gateway.NoticeIgnored {
		t.Errorf("an agreement: got %+v, %v, want it ignored", got, err)
	}
}

func Test3DSecure(t *testing.T) {
	t.Parallel()
	for _, approve := range []bool{true, false} {
		w := newWorld(t)
		c := firstPayment(4700)
		c.Token = w.server.Method(payabltest.Behaviour{ThreeDS: true}, false)
		r := w.charge(t, c, gateway.Pending)
		w.look(t, c.Key, gateway.Pending)
		w.decide(t, r.NextAction.GetRedirectUrl(), approve)
		if approve {
			w.look(t, c.Key, gateway.Accepted)
			w.wantMoved(t, "confirmed", c.Key, 4700)
			continue
		}
		if got := w.look(t, c.Key, gateway.Rejected); got.Category != ledgerv1.DeclineCategory_DECLINE_CATEGORY_BUYER_ACTION {
			t.Errorf("got %+v, want that the buyer has to act", got)
		}
		w.wantMoved(t, "refused", c.Key)
	}
}

func (w *world) findRefund(t *testing.T, r gateway.Refund, sent time.Time) (gateway.Result, bool) {
	t.Helper()
	res, found, err := w.gateway.FindRefund(t.Context(), w.conn, r, sent)
	if err != nil {
		t.Fatal(err)
	}
	return res, found
}

func TestPendingRefunds(t *testing.T) {
	t.Parallel()
	for _, code := range []int{0, -5007} {
		w := newWorld(t)
		c := firstPayment(4700)
		c.Token = w.server.Method(payabltest.Behaviour{Refund: &payabltest.Behaviour{Status: 2000}}, false)
		paid := w.charge(t, c, gateway.Accepted)
		<-w.got
		back := gateway.Refund{Key: "r1", ChargeReference: paid.Reference, Amount: usd(1000)}
		r := w.gateway.Refund(t.Context(), w.conn, back)
		wantClass(t, "refund", r, gateway.Pending)
		looked, _ := w.findRefund(t, back, start)
		if d := cmp.Diff(r, looked, protocmp.Transform()); d != "" || r.Reference == "" {
			t.Errorf("the look-up differs (-answer +look-up):\n%s", d)
		}
		w.server.Decide(paid.Reference, "refund", code)
		told, err := w.gateway.Verify(w.conn, nil, <-w.got, w.clock.Now())
		if err == nil {
			told, err = w.gateway.Complete(t.Context(), w.conn, told)
		}
		if err != nil || told.Kind != gateway.NoticeRefund || told.Key != c.Key || told.Subscription != c.Subscription {
			t.Errorf("told %+v, %v, want refunds of %s", told, err, c.Key)
		}
		want := gateway.Accepted
		if code != 0 {
			want = gateway.Rejected
		}
		looked, found := w.findRefund(t, back, start)
		if !found || looked.Class != want {
			t.Errorf("decided with %d: found %v, %+v", code, found, looked)
		}
	}
}

// payabl. has no names for refunds, so those of one amount are counted.
func TestRefundsOfOneAmount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := firstPayment(4700)
	c.Token = w.server.Method(payabltest.Behaviour{Refund: &payabltest.Behaviour{Status: -5007, Once: true}}, false)
	paid := w.charge(t, c, gateway.Accepted)
	back := func(key string, others int) gateway.Refund {
		return gateway.Refund{Key: key, ChargeReference: paid.Reference, Amount: usd(1000), Others: others}
	}
	wantClass(t, "the first", w.gateway.Refund(t.Context(), w.conn, back("r1", 0)), gateway.Rejected)
	if r, found := w.findRefund(t, back("r1", 0), start); !found || r.Class != gateway.Rejected {
		t.Errorf("the first: found %v, %+v, want the refusal", found, r)
	}
	w.wait(time.Hour)
	if r, found := w.findRefund(t, back("r2", 0), w.clock.Now()); found {
		t.Errorf("the second, never sent: found %+v, which was the first", r)
	}
	wantClass(t, "the second", w.gateway.Refund(t.Context(), w.conn, back("r2", 0)), gateway.Accepted)
	if r, found := w.findRefund(t, back("r2", 0), w.clock.Now()); !found || r.Class != gateway.Accepted {
		t.Errorf("the second: found %v, %+v", found, r)
	}
	w.wait(time.Hour)
	if r, found := w.findRefund(t, back("r3", 1), w.clock.Now()); found {
		t.Errorf("the third, never sent: found %+v, which was the second", r)
	}
	wantClass(t, "the third", w.gateway.Refund(t.Context(), w.conn, back("r3", 1)), gateway.Accepted)
	if r, found := w.findRefund(t, back("r3", 1), w.clock.Now()); !found || r.Class != gateway.Accepted {
		t.Errorf("the third: found %v, %+v", found, r)
	}
}

// A payment that is not shown says nothing of its refunds: that one is absent is told by the payment's steps.
func TestRefundOfAPaymentThatIsNotShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	back := gateway.Refund{Key: "r1", ChargeReference: "1", Amount: usd(1000)}
	if r, found, err := w.gateway.FindRefund(t.Context(), w.conn, back, start); err == nil {
		t.Errorf("got %+v, found %v, want an error", r, found)
	}
}

// A range of a month or more is answered with 504, so a long search goes in steps.
func TestLookupAfterMonths(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := firstPayment(4700)
	c.Token = w.server.Method(payabltest.Behaviour{}, false)
	w.wait(90 * 24 * time.Hour) // it was asked for and could not be sent
	w.charge(t, c, gateway.Accepted)
	w.wait(90 * 24 * time.Hour)
	w.look(t, c.Key, gateway.Accepted)
	if _, found, err := w.gateway.Lookup(t.Context(), w.conn, "other", start); found || err != nil {
		t.Errorf("another key: found %v, %v", found, err)
	}
}

// What cannot be written is refused before anything goes out, and names the field.
func TestRefusedBeforeSending(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	named := firstPayment(4700)
	named.Buyer.FirstName = "Łukasz"
	if r := w.charge(t, named, gateway.Rejected); r.Code != "invalid_firstname" || !strings.Contains(r.Message, "firstname") {
		t.Errorf("got %+v, want the first name refused", r)
	}
	dinars := firstPayment(4700)
	dinars.Amount.CurrencyCode = "KWD"
	w.charge(t, dinars, gateway.Rejected)
	for _, conn := range []gateway.Connection{
		{URL: w.conn.URL, Account: "gateway_test"},
		{URL: w.conn.URL, Secret: secret},
		{URL: w.conn.URL, Account: "gateway_test", Secret: "σ"},
		{URL: w.conn.URL, Account: "gateway_test", Secret: secret, NotifyURL: "here"},
	} {
		r := w.gateway.Charge(t.Context(), conn, firstPayment(4700))
		if r.Class != gateway.NotSent || !r.Config {
			t.Errorf("%+v: got %+v, want that the connection be changed", conn, r)
		}
	}
	if n := len(w.server.Headers()); n != 0 {
		t.Errorf("%d requests went out", n)
	}
}

// Go's transport sends a request again by itself if a header says that it may.
func TestNoHeaderSaysThatARequestCanBeRepeated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := firstPayment(4700)
	c.Token = w.server.Method(payabltest.Behaviour{}, false)
	paid := w.charge(t, c, gateway.Accepted)
	w.look(t, c.Key, gateway.Accepted)
	w.gateway.Refund(t.Context(), w.conn, gateway.Refund{Key: "r", ChargeReference: paid.Reference, Amount: usd(1)})
	headers := w.server.Headers()
	if len(headers) != 3 {
		t.Fatalf("%d requests, want 3", len(headers))
	}
	for _, h := range headers {
		if h.Get("Idempotency-Key") != "" || h.Get("X-Idempotency-Key") != "" {
			t.Errorf("got %v", h)
		}
		if !strings.HasPrefix(h.Get("Content-Type"), "application/x-www-form-urlencoded") {
			t.Errorf("the content is called %s", h.Get("Content-Type"))
		}
	}
	if w.gateway.Traits().KeyLifetime != 0 {
		t.Error("a key is promised to be answered again")
	}
}

// Two letters name a language; what has none of two is left out, and refuses nobody's payment.
func TestLanguage(t *testing.T) {
	t.Parallel()
	for language, want := range map[string]string{
		"de": "de", "de-AT": "de", "DE_at": "de", "": "", "d": "", "fil": "", "fil-PH": "", "x-klingon": "", "ßa": "", "d\xff": "", "-de": "",
	} {
		p := params{}
		p.setBuyer(&ledgerv1.Buyer{Language: language})
		if got := p["language"]; got != want {
			t.Errorf("%q: got %q, want %q", language, got, want)
		}
	}
}

func TestBackOffice(t *testing.T) {
	t.Parallel()
	for want, conn := range map[string]gateway.Connection{
		"https://sandbox.payabl.com/pay/backoffice": {},
		"https://payabl.com/pay/backoffice":         {Live: true},
		"https://pay4.payabl.com/backoffice":        {Live: true, URL: "https://pay4.payabl.com/backoffice"},
	} {
		if got := backOffice(conn); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// A signature that payabl. does not accept says that the connection is wrong, and nothing about a payment.
func TestWrongSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := firstPayment(4700)
	c.Token = w.server.Method(payabltest.Behaviour{}, false)
	w.conn.Secret = "other"
	if r := w.charge(t, c, gateway.NotSent); !r.Config {
		t.Errorf("got %+v, want that the connection be changed", r)
	}
	store := c
	store.Amount = usd(0)
	if r := w.charge(t, store, gateway.NotSent); !r.Config {
		t.Errorf("storing: got %+v, want that the connection be changed", r)
	}
	r := w.gateway.Refund(t.Context(), w.conn, gateway.Refund{Key: "r", ChargeReference: "1", Amount: usd(1)})
	if r.Class != gateway.NotSent || !r.Config {
		t.Errorf("refund: got %+v, want that the connection be changed", r)
	}
	if r, found, err := w.gateway.Lookup(t.Context(), w.conn, c.Key, start); err == nil {
		t.Errorf("look-up: got %+v, found %v, want an error", r, found)
	}
	w.wantMoved(t, "unsigned", c.Key)
}

// One code stands for a wrong signature and for a wrong field. Where the account itself is accepted, it is the payment's
// own: to send it again would end as it did, and there is nothing that the merchant could change at the connection.
func TestWrongFields(t *testing.T) {
	t.Parallel()
	wrong := payabltest.Behaviour{Status: -6000, Lost: true}
	for name, ask := range map[string]func(w *world, c gateway.Charge) gateway.Result{
		"a stored method": func(w *world, c gateway.Charge) gateway.Result {
			c.Token = w.server.Method(wrong, false)
			return w.gateway.Charge(t.Context(), w.conn, c)
		},
		"a buyer who is sent away": func(w *world, c gateway.Charge) gateway.Result {
			c.Amount.CurrencyCode = payabltest.NotEnabled
			return w.gateway.Charge(t.Context(), w.conn, c)
		},
		"a refund": func(w *world, c gateway.Charge) gateway.Result {
			c.Token = w.server.Method(payabltest.Behaviour{Refund: &wrong}, false)
			paid := w.gateway.Charge(t.Context(), w.conn, c)
			return w.gateway.Refund(t.Context(), w.conn, gateway.Refund{Key: "r", ChargeReference: paid.Reference, Amount: usd(1)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := ask(w, firstPayment(4700))
			if r.Class != gateway.Rejected || r.Category != ledgerv1.DeclineCategory_DECLINE_CATEGORY_SOFT ||
				r.Code != "-6000" || !strings.Contains(r.Message, "the account itself is accepted") {
				t.Errorf("got %+v, want this payment refused", r)
			}
		})
	}
	t.Run("and nobody says of which", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.gateway.c.HTTPClient = &http.Client{Transport: blind{w.gateway.c.HTTPClient.Transport}}
		c := firstPayment(4700)
		c.Token = w.server.Method(wrong, false)
		if r := w.charge(t, c, gateway.NotSent); r.Config {
			t.Errorf("got %+v, want it sent again", r)
		}
	})
}

// blind gets no answer to a question.
type blind struct{ next http.RoundTripper }

func (b blind) RoundTrip(req *http.Request) (*http.Response, error) {
	if strings.HasSuffix(req.URL.Path, "/"+diagnoses) {
		return nil, errors.New("no answer")
	}
	return b.next.RoundTrip(req)
}

// A buyer who turns back at PayPal has declined nothing: his payment has ended there.
func TestBuyerTurnsBack(t *testing.T) {
	t.Parallel()
	for _, once := range []bool{true, false} {
		w := newWorld(t)
		c := firstPayment(4700)
		c.Once = once
		w.decide(t, w.charge(t, c, gateway.Pending).NextAction.GetRedirectUrl(), false)
		if r := w.find(t, c, gateway.Rejected); !r.Expired || r.Code != "-5003" {
			t.Errorf("once %v: got %+v, want it ended by -5003", once, r)
		}
		w.wantMoved(t, "after he turned back", c.Key)
	}
}
