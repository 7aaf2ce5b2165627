package gatewaytest

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

func testClasses(t *testing.T, w World) {
	type answer struct {
		Class                    gateway.Class
		Category                 ledgerv1.DeclineCategory
		StopOrder, AgreementLost bool
		Amount                   int64
	}
	accepted := answer{Class: gateway.Accepted, Amount: 4700}
	tests := []struct {
		script Script
		want   answer
	}{
		{OK, accepted},
		{Duplicate, accepted},
		{WrongAmount, answer{Class: gateway.Accepted, Amount: 4701}},
		{Pending, answer{Class: gateway.Pending}},
		{SoftDecline, answer{Class: gateway.Rejected, Category: ledgerv1.DeclineCategory_DECLINE_CATEGORY_SOFT}},
		{HardDecline, answer{Class: gateway.Rejected, Category: ledgerv1.DeclineCategory_DECLINE_CATEGORY_HARD}},
		{BuyerAction, answer{Class: gateway.Rejected, Category: ledgerv1.DeclineCategory_DECLINE_CATEGORY_BUYER_ACTION}},
		{StopOrder, answer{Class: gateway.Rejected, Category: ledgerv1.DeclineCategory_DECLINE_CATEGORY_HARD, StopOrder: true}},
		{AgreementLost, answer{Class: gateway.Rejected, Category: ledgerv1.DeclineCategory_DECLINE_CATEGORY_HARD, AgreementLost: true}},
	}
	for _, test := range tests {
		t.Run(string(test.script), func(t *testing.T) {
			c := payment("k-"+string(test.script), w.token(t, test.script))
			r := w.Gateway.Charge(t.Context(), w.Connection, c)
			got := answer{r.Class, r.Category, r.StopOrder, r.AgreementLost, r.Amount.GetMinorUnits()}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Fatalf("(-want +got):\n%s%+v", d, r)
			}
			if r.Class == gateway.Rejected && r.Code == "" {
				t.Error("a decline without a code")
			}
			if r.Reference == "" {
				t.Error("no reference")
			}
			looked, found := w.lookup(t, c.Key)
			if d := cmp.Diff(r, looked, protocmp.Transform()); !found || d != "" {
				t.Errorf("the look-up (found: %v) differs from the answer (-answer +look-up):\n%s", found, d)
			}
			moved := w.Charged(t, c.Key)
			if test.want.Class == gateway.Accepted {
				wantMoved(t, "after the answer", moved, usd(test.want.Amount))
			} else {
				wantMoved(t, "after the answer", moved)
			}
		})
	}
}

func testStoredMethod(t *testing.T, w World) {
	first := payment("first", w.token(t, OK))
	r := w.Gateway.Charge(t.Context(), w.Connection, first)
	wantClass(t, "first payment", r, gateway.Accepted)
	if r.Method.GetReference() == "" {
		t.Fatalf("no stored method in %+v", r)
	}
	second := first
	second.Key, second.Token, second.Method, second.PayNumber = "second", "", r.Method, 2
	wantClass(t, "by the stored method", w.Gateway.Charge(t.Context(), w.Connection, second), gateway.Accepted)
	wantMoved(t, "second", w.Charged(t, "second"), usd(4700))
}

func testZero(t *testing.T, w World) {
	c := payment("zero", w.token(t, OK))
	c.Amount = usd(0)
	r := w.Gateway.Charge(t.Context(), w.Connection, c)
	wantClass(t, "storing", r, gateway.Accepted)
	if r.Method.GetReference() == "" || r.Amount.GetMinorUnits() != 0 || r.Fee.GetMinorUnits() != 0 {
		t.Errorf("got %+v, want a method, no amount and no fee", r)
	}
}

// testUnknown: what may have happened is Unknown; the look-up tells the truth; the same key moves nothing twice.
func testUnknown(t *testing.T, w World) {
	tests := []struct {
		script  Script
		charged bool
	}{
		{TimeoutCharged, true}, {TimeoutUncharged, false},
		{ResetCharged, true}, {ResetUncharged, false},
		{ErrorCharged, true}, {ErrorUncharged, false},
		{PageCharged, true}, {HalfCharged, true},
	}
	for _, test := range tests {
		t.Run(string(test.script), func(t *testing.T) {
			c := payment("k-"+string(test.script), w.token(t, test.script))
			var want []*ledgerv1.Money
			if test.charged {
				want = append(want, usd(4700))
			}
			wantClass(t, "first call", w.chargeBadly(t, test.script, c), gateway.Unknown)
			wantMoved(t, "after the first call", w.Charged(t, c.Key), want...)
			w.wantFound(t, c.Key, test.charged)
			if w.Gateway.Traits().KeyLifetime == 0 {
				return // then nobody may send the key again
			}
			again := w.Impatient.Charge(t.Context(), w.Connection, c)
			if again.Class == gateway.Rejected || again.Class == gateway.Accepted && !test.charged && len(w.Charged(t, c.Key)) != 1 {
				t.Errorf("the second call claims %s: %+v", className(again.Class), again)
			}
			if moved := w.Charged(t, c.Key); len(moved) > 1 || test.charged && len(moved) != 1 {
				t.Errorf("after the second call %d charges stand in the book: %v", len(moved), moved)
			}
		})
	}
}

// chargeBadly charges with a script that gives no clear answer. Where none comes at all, the caller gives up when
// what the script promises has happened.
func (w World) chargeBadly(t *testing.T, s Script, c gateway.Charge) gateway.Result {
	t.Helper()
	switch s {
	case TimeoutCharged:
		return giveUpWhen(t, func() bool { return len(w.Charged(t, c.Key)) > 0 }, func(ctx context.Context) gateway.Result {
			return w.Gateway.Charge(ctx, w.Connection, c)
		})
	case TimeoutUncharged:
		return w.Impatient.Charge(t.Context(), w.Connection, c)
	}
	return w.Gateway.Charge(t.Context(), w.Connection, c)
}

func (w World) wantFound(t *testing.T, key string, want bool) {
	t.Helper()
	r, found := w.lookup(t, key)
	if found != want {
		t.Fatalf("look-up found the key: %v, want %v", found, want)
	}
	if found {
		wantClass(t, "look-up", r, gateway.Accepted)
	}
}

func testNotSent(t *testing.T, w World) {
	for _, s := range []Script{RateLimited, Unauthorized} {
		t.Run(string(s), func(t *testing.T) {
			c := payment("k-"+string(s), w.token(t, s))
			r := w.Gateway.Charge(t.Context(), w.Connection, c)
			wantClass(t, "first call", r, gateway.NotSent)
			if r.Config != (s == Unauthorized) || (r.RetryAfter > 0) != (s == RateLimited) {
				t.Errorf("got config %v, retry after %v", r.Config, r.RetryAfter)
			}
			wantMoved(t, "after the first call", w.Charged(t, c.Key))
			wantClass(t, "second call", w.Gateway.Charge(t.Context(), w.Connection, c), gateway.Accepted)
			wantMoved(t, "after the second call", w.Charged(t, c.Key), usd(4700))
		})
	}
}

func testDeadContext(t *testing.T, w World) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := payment("dead", w.token(t, OK))
	wantClass(t, "with a dead context", w.Gateway.Charge(ctx, w.Connection, c), gateway.NotSent)
	wantMoved(t, "with a dead context", w.Charged(t, c.Key))
}

func testConcurrent(t *testing.T, w World) {
	if w.Gateway.Traits().KeyLifetime == 0 {
		t.Skip("the gateway knows no real idempotency")
	}
	c := payment("at-once", w.token(t, OK))
	results := make([]gateway.Result, 8)
	var calls sync.WaitGroup
	for i := range results {
		calls.Go(func() { results[i] = w.Gateway.Charge(t.Context(), w.Connection, c) })
	}
	calls.Wait()
	for i, r := range results {
		if r.Class != gateway.Accepted && r.Class != gateway.Unknown {
			t.Errorf("call %d: got %s, want Accepted or Unknown: %+v", i, className(r.Class), r)
		}
	}
	wantMoved(t, "after eight calls", w.Charged(t, c.Key), usd(4700))
}

func testOtherAmount(t *testing.T, w World) {
	if w.Gateway.Traits().KeyLifetime == 0 {
		t.Skip("the gateway knows no real idempotency")
	}
	c := payment("reused", w.token(t, OK))
	wantClass(t, "first call", w.Gateway.Charge(t.Context(), w.Connection, c), gateway.Accepted)
	c.Amount = usd(9900)
	wantClass(t, "the same key with another amount", w.Gateway.Charge(t.Context(), w.Connection, c), gateway.Unknown)
	wantMoved(t, "after both", w.Charged(t, c.Key), usd(4700))
}

func testNotFound(t *testing.T, w World) {
	if r, found := w.lookup(t, "never sent"); found {
		t.Errorf("found %+v", r)
	}
}

func testRedirect(t *testing.T, w World) {
	if w.Decide == nil {
		t.Skip("the gateway knows no redirects")
	}
	for _, approve := range []bool{true, false} {
		c := payment("approve", "")
		want := gateway.Accepted
		if !approve {
			c.Key, want = "decline", gateway.Rejected
		}
		r := w.Gateway.Charge(t.Context(), w.Connection, c)
		wantClass(t, "start of a redirect", r, gateway.Pending)
		if r.NextAction.GetRedirectUrl() == "" || !r.ExpiresAt.After(w.Now()) {
			t.Fatalf("got %+v, want a redirect URL and a time of expiry", r)
		}
		wantMoved(t, "before the decision", w.Charged(t, c.Key))
		w.Decide(t, r.NextAction.GetRedirectUrl(), approve)
		got, found := w.find(t, c)
		if !found {
			t.Fatal("the look-up found nothing after the decision")
		}
		wantClass(t, "after the decision", got, want)
		if looked, found := w.lookup(t, c.Key); !found || looked.Class != want {
			t.Errorf("later, the look-up of the key found %v, %+v", found, looked)
		}
		if approve {
			wantMoved(t, "after the decision", w.Charged(t, c.Key), c.Amount)
		} else {
			wantMoved(t, "after the decision", w.Charged(t, c.Key))
		}
		if approve && got.Method.GetReference() == "" {
			t.Error("no method was stored")
		}
	}
}

// testAbandon: what is ended is told as expired and cannot be paid any more; what is decided stays as it is.
func testAbandon(t *testing.T, w World) {
	a, ok := w.Gateway.(gateway.Abandoner)
	if !ok || w.Decide == nil {
		t.Skip("the gateway ends no redirects")
	}
	abandon := func(c gateway.Charge) gateway.Result {
		t.Helper()
		r, found, err := a.Abandon(t.Context(), w.Connection, c, w.Now())
		if err != nil || !found {
			t.Fatalf("ending %s: found %v, %v", c.Key, found, err)
		}
		return r
	}
	c := payment("turned back", "")
	wantClass(t, "start of a redirect", w.Gateway.Charge(t.Context(), w.Connection, c), gateway.Pending)
	for _, what := range []string{"ended", "ended again"} {
		r := abandon(c)
		wantClass(t, what, r, gateway.Rejected)
		if !r.Expired {
			t.Errorf("%s: got %+v, want it expired", what, r)
		}
	}
	r, found := w.find(t, c)
	if wantClass(t, "looked up later", r, gateway.Rejected); !found || !r.Expired {
		t.Errorf("looked up later: found %v, %+v, want it expired", found, r)
	}
	wantMoved(t, "after it was ended", w.Charged(t, c.Key))

	paid := payment("paid first", "")
	page := w.Gateway.Charge(t.Context(), w.Connection, paid)
	w.Decide(t, page.NextAction.GetRedirectUrl(), true)
	wantClass(t, "a payment that was made", abandon(paid), gateway.Accepted)
	wantMoved(t, "a payment that was made", w.Charged(t, paid.Key), paid.Amount)

	if _, found, err := a.Abandon(t.Context(), w.Connection, payment("never sent", ""), w.Now()); found || err != nil {
		t.Errorf("a key that was never sent: found %v, %v", found, err)
	}
}

func testSignatures(t *testing.T, w World) {
	n, ok := w.Gateway.(gateway.Notifier)
	if !ok || w.Webhook == nil || w.Decide == nil {
		t.Skip("the gateway sends no webhooks that the suite could cause")
	}
	c := payment("told", "")
	r := w.Gateway.Charge(t.Context(), w.Connection, c)
	wantClass(t, "start of a redirect", r, gateway.Pending)
	w.Decide(t, r.NextAction.GetRedirectUrl(), true)
	header, body := w.Webhook(t)

	notice, err := n.Verify(w.Connection, header, body, w.Now())
	if err != nil {
		t.Fatalf("a good webhook: %v", err)
	}
	notice = w.confirmed(t, notice)
	if notice.ID == "" || notice.Kind != gateway.NoticeCharge || notice.Key != c.Key || notice.Subscription != c.Subscription {
		t.Errorf("got %+v, want a notice about the charge", notice)
	}
	other := w.Connection
	other.Secret, other.WebhookSecret = "another secret", "another secret"
	silent := w.Connection
	silent.Secret, silent.WebhookSecret = "", ""
	edited := append([]byte(nil), body...)
	edited[len(edited)-2] ^= 1
	bare, unsigned := http.Header{}, body
	if w.Unsigned != nil {
		bare, unsigned = w.Unsigned(header, body)
	}
	tests := []struct {
		name   string
		conn   gateway.Connection
		header http.Header
		body   []byte
		now    time.Time
	}{
		{"edited body", w.Connection, header, edited, w.Now()},
		{"longer body", w.Connection, header, append(append([]byte(nil), body...), ' '), w.Now()},
		{"another secret", other, header, body, w.Now()},
		{"no secret", silent, header, body, w.Now()},
		{"no signature", w.Connection, bare, unsigned, w.Now()},
		{"an hour old", w.Connection, header, body, w.Now().Add(time.Hour)},
		{"of the future", w.Connection, header, body, w.Now().Add(-time.Hour)},
	}
	for _, test := range tests {
		if got, err := n.Verify(test.conn, test.header, test.body, test.now); err == nil {
			t.Errorf("%s: got %+v, want an error", test.name, got)
		}
	}
}

// confirmed is a notice as the gateway bears it out.
func (w World) confirmed(t *testing.T, n gateway.Notice) gateway.Notice {
	t.Helper()
	c, ok := w.Gateway.(gateway.Completer)
	if !ok {
		return n
	}
	n, err := c.Complete(t.Context(), w.Connection, n)
	if err != nil {
		t.Fatalf("confirm %s: %v", n.ID, err)
	}
	return n
}
