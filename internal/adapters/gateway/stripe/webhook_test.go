package stripe_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/gateway/stripe"
	"ledger.internal/ledger/internal/adapters/gateway/stripe/stripetest"
)

// The signature that Stripe's scheme gives for a secret, a time and a body.
func TestSignatureVector(t *testing.T) {
	t.Parallel()
	const (
		sum  = "7656fc2882a7ca0a651666b36bf2f2f22ee204f54f608f227498a2419f2890b2"
		body = `{"id":"evt_1"}`
	)
	at := time.Unix(1492774577, 0)
	conn := gateway.Connection{WebhookSecret: "whsec_test"}
	header := http.Header{"Stripe-Signature": {"t=1492774577,v1=" + sum}}
	if got := stripetest.Sign(at, []byte(body), "whsec_test"); got.Get("Stripe-Signature") != header.Get("Stripe-Signature") {
		t.Errorf("the server signs %v", got)
	}
	// It is signed, and no event.
	if _, err := stripe.New(stripe.Config{}).Verify(conn, header, []byte(body), at); !errors.Is(err, gateway.ErrUnreadable) {
		t.Errorf("got %v, want ErrUnreadable", err)
	}
}

func TestSignatures(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.paid(t, "k")
	body := w.server.Events()[0].Body
	good := stripetest.Sign(start, body, webhookSecret).Get("Stripe-Signature")
	sum := strings.TrimPrefix(good, "t="+good[2:12]+",v1=")
	stamp := good[:12]
	for name, test := range map[string]struct {
		header string
		body   []byte
		after  time.Duration
		want   error
	}{
		"good":                             {header: good},
		"at the edge":                      {header: good, after: 5 * time.Minute},
		"one of two secrets, the second":   {header: stripetest.Sign(start, body, "whsec_old", webhookSecret).Get("Stripe-Signature")},
		"one of two secrets, the first":    {header: stripetest.Sign(start, body, webhookSecret, "whsec_new").Get("Stripe-Signature")},
		"another scheme besides":           {header: stamp + ",v0=ff,v1=" + sum},
		"only another scheme":              {header: stamp + ",v0=" + sum, want: stripe.ErrBadSignature},
		"no header":                        {want: stripe.ErrBadSignature},
		"no time":                          {header: "v1=" + sum, want: stripe.ErrBadSignature},
		"another time":                     {header: "t=1,v1=" + sum, want: stripe.ErrBadSignature},
		"an old time before the right one": {header: "t=1," + good},
		"the right time before an old one": {header: good + ",t=1", want: stripe.ErrBadSignature},
		"no hex":                           {header: stamp + ",v1=zz", want: stripe.ErrBadSignature},
		"half a sum":                       {header: good[:len(good)-2], want: stripe.ErrBadSignature},
		"another secret":                   {header: stripetest.Sign(start, body, "whsec_other").Get("Stripe-Signature"), want: stripe.ErrBadSignature},
		"another body":                     {header: good, body: append(bytes.Clone(body), ' '), want: stripe.ErrBadSignature},
		"too old":                          {header: good, after: 5*time.Minute + time.Second, want: stripe.ErrOldSignature},
		"of the future":                    {header: good, after: -5*time.Minute - time.Second, want: stripe.ErrOldSignature},
	} {
		if test.body == nil {
			test.body = body
		}
		n, err := w.gateway.Verify(w.conn, http.Header{"Stripe-Signature": {test.header}}, test.body, start.Add(test.after))
		if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) || (err == nil) != (n.ID != "") {
			t.Errorf("%s: got %+v, %v, want %v", name, n, err, test.want)
		}
	}
}

// A connection's own secret counts, if it has one, else the platform's; nothing is signed by no secret.
func TestWhoseSecretCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.paid(t, "k")
	body := w.server.Events()[0].Body
	for name, test := range map[string]struct {
		own      string
		platform []string
		signed   string
		want     error
	}{
		"none":                             {signed: "", want: stripe.ErrNoSecret},
		"an empty one":                     {platform: []string{""}, signed: "", want: stripe.ErrNoSecret},
		"its own":                          {own: "whsec_own", signed: "whsec_own"},
		"its own, and not the platform's":  {own: "whsec_own", platform: []string{"whsec_a"}, signed: "whsec_a", want: stripe.ErrBadSignature},
		"the platform's only":              {platform: []string{"whsec_a"}, signed: "whsec_a"},
		"the platform's second":            {platform: []string{"whsec_a", "whsec_b"}, signed: "whsec_b"},
		"the platform's, after an empty":   {platform: []string{"", "whsec_b"}, signed: "whsec_b"},
		"the platform's, before another":   {platform: []string{"whsec_a", "whsec_b"}, signed: "whsec_a"},
		"a third beside the platform's":    {platform: []string{"whsec_a", "whsec_b"}, signed: "whsec_c", want: stripe.ErrBadSignature},
		"signed by nothing, with a secret": {platform: []string{"whsec_a", ""}, signed: "", want: stripe.ErrBadSignature},
	} {
		conn := w.conn
		conn.WebhookSecret = test.own
		g := stripe.New(stripe.Config{TestKey: secretKey, WebhookSecrets: test.platform})
		if _, err := g.Verify(conn, stripetest.Sign(start, body, test.signed), body, start); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
	}
}

// read are the notices of the events after the first n, completed.
func (w *world) read(t *testing.T, n int) (list []gateway.Notice) {
	t.Helper()
	for _, e := range w.server.Events()[n:] {
		if !slices.Contains(stripe.EventTypes(), e.Type) {
			t.Errorf("no endpoint is registered for %s", e.Type)
		}
		notice, err := w.gateway.Read(w.conn, e.Body)
		must(t, err)
		again, err := w.gateway.Read(w.conn, e.Body)
		must(t, err)
		equal(t, "told again", again, notice)
		notice, err = w.gateway.Complete(t.Context(), w.conn, notice)
		must(t, err)
		notice.ID = ""
		list = append(list, notice)
	}
	return list
}

func TestWebhooksOfCharges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.charge(t, first("ok", "pm_card_visa"))
	w.charge(t, first("declined", "pm_card_visa_chargeDeclined"))
	r := w.charge(t, first("processing", "pm_x_processing"))
	must(t, w.server.Settle(r.Reference, true))
	zero := first("zero", "pm_card_visa")
	zero.Amount = usd(0)
	w.charge(t, zero)
	page := w.charge(t, first("page", "")).NextAction.GetRedirectUrl()
	must(t, w.server.Expire(page))
	var want []gateway.Notice
	for _, key := range []string{"ok", "declined", "processing", "processing", "zero", "page"} {
		want = append(want, gateway.Notice{Kind: gateway.NoticeCharge, Key: key, Subscription: "s1"})
	}
	equal(t, "notices", w.read(t, 0), want)
}

func TestWebhooksOfRefunds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	paid := w.paid(t, "k")
	before := len(w.server.Events())
	ours := w.gateway.Refund(t.Context(), w.conn, gateway.Refund{Key: "r", ChargeReference: paid.Reference, Amount: usd(1000)})
	theirs, err := w.server.RefundAtDesk(paid.Reference, 700)
	must(t, err)
	must(t, w.server.DecideRefund(ours.Reference, false))
	observed := func(id string, amount int64, reason string) *gateway.ObservedRefund {
		return &gateway.ObservedRefund{
			Reference: id, ChargeReference: paid.Reference, ChargeKey: "k", Amount: usd(amount), Reason: reason, At: start,
		}
	}
	of := gateway.Notice{Kind: gateway.NoticeRefund, Key: "r", Subscription: "s1", Refund: observed(ours.Reference, 1000, "")}
	equal(t, "notices", w.read(t, before), []gateway.Notice{
		of,
		{Kind: gateway.NoticeRefundMade, Subscription: "s1", Refund: observed(theirs, 700, "requested_by_customer")},
		of,
	})
}

func TestWebhooksOfDisputes(t *testing.T) {
	t.Parallel()
	const (
		inquiry    = ledgerv1.DisputeStage_DISPUTE_STAGE_INQUIRY
		opened     = ledgerv1.DisputeStage_DISPUTE_STAGE_OPENED
		withdrawn  = ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_WITHDRAWN
		reinstated = ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_REINSTATED
		closed     = ledgerv1.DisputeStage_DISPUTE_STAGE_CLOSED
	)
	for name, test := range map[string]struct {
		statuses []string
		want     []ledgerv1.DisputeStage
		outcome  ledgerv1.DisputeOutcome
	}{
		"lost":                       {[]string{"needs_response", "under_review", "lost"}, []ledgerv1.DisputeStage{opened, withdrawn, 0, closed}, ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_LOST},
		"won":                        {[]string{"needs_response", "won"}, []ledgerv1.DisputeStage{opened, withdrawn, reinstated, closed}, ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_WON},
		"an inquiry":                 {[]string{"warning_needs_response", "warning_under_review", "warning_closed"}, []ledgerv1.DisputeStage{inquiry, inquiry, closed}, ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_INQUIRY_CLOSED},
		"an inquiry becomes serious": {[]string{"warning_needs_response", "needs_response", "lost"}, []ledgerv1.DisputeStage{inquiry, opened, withdrawn, closed}, ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_LOST},
		"prevented":                  {[]string{"warning_needs_response", "prevented"}, []ledgerv1.DisputeStage{inquiry, closed}, ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_INQUIRY_CLOSED},
	} {
		w := newWorld(t)
		paid := w.paid(t, "k")
		before := len(w.server.Events())
		id, err := w.server.Dispute(paid.Reference, test.statuses[0])
		must(t, err)
		for _, status := range test.statuses[1:] {
			must(t, w.server.DisputeBecomes(id, status))
		}
		var want []gateway.Notice
		for _, stage := range test.want {
			if stage == 0 {
				want = append(want, gateway.Notice{})
				continue
			}
			d := &gateway.Dispute{
				ID: id, ChargeKey: "k", ChargeReference: paid.Reference, Stage: stage, Amount: usd(4700), Reason: "fraudulent", At: start,
			}
			if stage == withdrawn {
				d.Fee = usd(1500)
			}
			if stage == closed {
				d.Outcome = test.outcome
			}
			want = append(want, gateway.Notice{Kind: gateway.NoticeDispute, Subscription: "s1", Dispute: d})
		}
		equal(t, name, w.read(t, before), want)
	}
}

func TestWebhooksOfEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	method := w.paid(t, "k").Method.Reference
	before := len(w.server.Events())
	_, pm, _ := strings.Cut(method, "/")
	must(t, w.server.Detach(pm))
	equal(t, "of a method", w.read(t, before), []gateway.Notice{
		{Kind: gateway.NoticeAgreement, Subscription: "s1", Method: method, Code: "payment_method_detached"},
	})
	before = len(w.server.Events())
	must(t, w.server.Disconnect(account))
	equal(t, "of the access", w.read(t, before), []gateway.Notice{{Kind: gateway.NoticeDisconnected}})
}

// What is none of ours is authentic and ignored; what is of another account is not taken.
func TestWebhooksOfOthers(t *testing.T) {
	t.Parallel()
	event := func(kind, object string) string {
		return `{"id":"evt_1","object":"event","type":"` + kind + `","account":"acct_1","livemode":false,"created":1769860800,"data":{"object":` + object + `}}`
	}
	const ours = `"metadata":{"ledger_key":"k","ledger_merchant":"m1","ledger_subscription":"s1"}`
	g := stripe.New(stripe.Config{})
	conn := gateway.Connection{Merchant: "m1", Account: account}
	for name, test := range map[string]struct {
		body string
		want error
		kind gateway.NoticeKind
	}{
		"ours":                       {body: event("payment_intent.succeeded", `{"id":"pi_1",`+ours+`}`), kind: gateway.NoticeCharge},
		"another merchant's":         {body: event("payment_intent.succeeded", `{"id":"pi_1","metadata":{"ledger_key":"k","ledger_merchant":"m2"}}`)},
		"another system's":           {body: event("payment_intent.succeeded", `{"id":"pi_1","metadata":{}}`)},
		"a type that nobody knows":   {body: event("moon.rose", `{}`)},
		"a cumulative refund":        {body: event("charge.refunded", `{"id":"ch_1","amount_refunded":1000,`+ours+`}`)},
		"a refund that is not yet":   {body: event("refund.created", `{"id":"re_1","charge":"ch_1","amount":1,"currency":"usd","status":"pending"}`)},
		"another merchant's refund":  {body: event("refund.created", `{"id":"re_1","charge":"ch_1","metadata":{"ledger_key":"k","ledger_merchant":"m2"}}`)},
		"a method that had no owner": {body: event("payment_method.detached", `{"id":"pm_1"}`)},
		"of the other mode":          {body: strings.Replace(event("payment_intent.succeeded", `{"id":"pi_1",`+ours+`}`), "false", "true", 1)},
		"of another account":         {body: strings.Replace(event("payment_intent.succeeded", `{"id":"pi_1",`+ours+`}`), "acct_1", "acct_2", 1), want: stripe.ErrOtherAccount},
		"of no account":              {body: strings.Replace(event("payment_intent.succeeded", `{"id":"pi_1",`+ours+`}`), "acct_1", "", 1), want: stripe.ErrOtherAccount},
		"no object":                  {body: event("payment_intent.succeeded", `{}`), want: stripe.ErrBadBody},
		"a dispute of nothing":       {body: event("charge.dispute.created", `{"id":"dp_1"}`), want: stripe.ErrBadBody},
		"a refund of nothing":        {body: event("refund.created", `{"id":"re_1"}`), want: stripe.ErrBadBody},
		"a method without a name":    {body: event("payment_method.detached", `{}`), want: stripe.ErrBadBody},
		"no event":                   {body: `{"id":"evt_1","object":"v2.core.event","type":"x"}`, want: stripe.ErrBadBody},
		"an array":                   {body: `[]`, want: stripe.ErrBadBody},
		"nothing":                    {body: ``, want: stripe.ErrBadBody},
	} {
		n, err := g.Read(conn, []byte(test.body))
		if !errors.Is(err, test.want) || n.Kind != test.kind || err != nil && !errors.Is(err, gateway.ErrUnreadable) || (err == nil) != (n.ID == "evt_1") {
			t.Errorf("%s: got %+v, %v, want kind %d, %v", name, n, err, test.kind, test.want)
		}
	}
}

// What cannot be completed now is an error; what turns out to be another's is ignored.
func TestComplete(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	paid := w.paid(t, "k")
	n := gateway.Notice{ID: "evt_1", Kind: gateway.NoticeDispute, Dispute: &gateway.Dispute{ID: "dp_1", ChargeReference: paid.Reference}}
	for _, step := range []stripetest.Step{stripetest.ErrorUncharged, stripetest.Page, stripetest.Half, stripetest.RateLimited} {
		w.server.Spoil("/v1/payment_intents", step)
		if got, err := w.gateway.Complete(t.Context(), w.conn, n); err == nil {
			t.Errorf("%s: got %+v, want an error", step, got)
		}
	}
	ignored := gateway.Notice{ID: "evt_1"}
	other := w.conn
	other.Merchant = "m2"
	got, err := w.gateway.Complete(t.Context(), other, n)
	must(t, err)
	equal(t, "another merchant's", got, ignored)
	n.Dispute.ChargeReference = "pi_unknown"
	got, err = w.gateway.Complete(t.Context(), w.conn, n)
	must(t, err)
	equal(t, "of a payment that is not there", got, ignored)
	if n.Subscription != "" || n.Dispute.ChargeKey != "" {
		t.Errorf("the notice given was changed: %+v", n)
	}
}

// A webhook may overtake the answer, which may never come; the look-up that it hints at knows already.
func TestAWebhookBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithCancel(patience(t))
	done := make(chan gateway.Result, 1)
	go func() { done <- w.gateway.Charge(ctx, w.conn, first("k", "pm_x_timeout_charged")) }()
	e, err := w.server.Next(ctx, 0)
	must(t, err)
	n, err := w.gateway.Verify(w.conn, stripetest.Sign(start, e.Body, webhookSecret), e.Body, start)
	must(t, err)
	if r := w.lookup(t, n.Key); r.Class != gateway.Accepted {
		t.Errorf("got %+v", r)
	}
	cancel()
	if r := <-done; r.Class != gateway.Unknown {
		t.Errorf("got %+v, want Unknown", r)
	}
}

// A webhook is signed anew each time that it is sent, and keeps its name.
func TestARedeliveredWebhook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.paid(t, "k")
	var got []gateway.Notice
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		n, refused := w.gateway.Verify(w.conn, r.Header, body, w.clock.Now())
		if errors.Join(err, refused) != nil {
			rw.WriteHeader(http.StatusBadRequest)
			return
		}
		got = append(got, n)
	}))
	t.Cleanup(srv.Close)
	e := w.server.Events()[0]
	for late, want := range map[time.Duration]int{0: 200, 72 * time.Hour: 200} {
		w.clock.Set(start.Add(late))
		status, err := w.server.Deliver(t.Context(), srv.URL, e, w.clock.Now())
		must(t, err)
		equal(t, "status", status, want)
	}
	status, err := w.server.Deliver(t.Context(), srv.URL, e, w.clock.Now().Add(-time.Hour))
	must(t, err)
	equal(t, "of a replay", status, 400)
	if len(got) != 2 || got[0].ID != got[1].ID || got[0].ID == "" {
		t.Errorf("got %+v, want one notice twice", got)
	}
}
