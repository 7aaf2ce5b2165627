package gatewaytest

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"ledger.internal/ledger/internal/adapters/gateway"
)

// tale is something that is decided after its answer, and told by a webhook.
type tale struct {
	ask
	keys []string // what the webhook may name: the request's key, or the payment's
}

// told are the rows of webhooks: they are never trusted, never needed, and may come at any time and any number of times.
func told() []row {
	rows := []struct {
		name   string
		buyers bool // also of what the buyer decides, who has to have an answer first
		run    func(*testing.T, World, tale)
	}{
		{"webhook never", true, toldNever},
		{"webhook twice", true, toldTwice},
		{"webhook late", true, toldLate},
		{"webhook before the answer", false, toldBefore},
		{"webhook with a bad signature", true, toldUnsigned},
		{"webhook with an old timestamp", true, toldOld},
		{"webhook with any byte changed", true, toldChanged},
	}
	var list []row
	for _, r := range rows {
		var columns []column
		for _, s := range tales() {
			if s.buyers && !r.buyers {
				continue
			}
			columns = append(columns, column{s.name, s.not, func(t *testing.T, w World) { r.run(t, w, s.begin(w, t)) }})
		}
		list = append(list, row{r.name, columns})
	}
	return list
}

type taleColumn struct {
	name   string
	buyers bool
	not    func(World) string
	begin  func(World, testing.TB) tale
}

func tales() []taleColumn {
	not := func(s Script) func(World) string {
		return func(w World) string {
			switch {
			case w.Webhook == nil:
				return "the gateway sends no webhooks that the suite could cause"
			case s == "" && w.Decide == nil:
				return noRedirect
			case s != "" && w.Token(s) == "":
				return cannot
			}
			return ""
		}
	}
	return []taleColumn{
		{"first charge", false, not(Pending), func(w World, t testing.TB) tale {
			return tale{w.charging(t, payment("k", w.Token(Pending))), []string{"k"}}
		}},
		{"sending the buyer away", true, not(""), func(w World, t testing.TB) tale {
			return tale{w.charging(t, payment("k", "")), []string{"k"}}
		}},
		{"refund of a part", false, not(RefundOf(Pending)), func(w World, t testing.TB) tale {
			return tale{w.refunding(t, Pending, "k", 1000), []string{"k", "paid-k"}}
		}},
	}
}

// decided is the request made, answered as pending, and then decided.
func (s tale) decided(t *testing.T, w World) {
	t.Helper()
	r := s.send(t.Context(), w.Gateway, w.Connection)
	wantClass(t, "the answer", r, gateway.Pending)
	s.settle(r, true)
}

// wantMade finds it out without a webhook.
func (s tale) wantMade(t *testing.T, what string) {
	t.Helper()
	r, found := s.find()
	if !found {
		t.Fatalf("%s: the look-up found nothing", what)
	}
	wantClass(t, what, r, gateway.Accepted)
	wantMoved(t, what, s.moved(), s.amount)
}

// webhook is the webhook that tells of it, with its notice.
func (s tale) webhook(t *testing.T, w World) (http.Header, []byte, gateway.Notice) {
	t.Helper()
	for {
		header, body := w.Webhook(t)
		n, err := w.Gateway.(gateway.Notifier).Verify(w.Connection, header, body, w.Now())
		if err != nil {
			t.Fatalf("a good webhook: %v", err)
		}
		whole := w.confirmed(t, n)
		for _, key := range s.keys {
			if whole.Key == key && whole.Kind != gateway.NoticeIgnored {
				return header, body, n
			}
		}
	}
}

func toldNever(t *testing.T, w World, s tale) {
	s.decided(t, w)
	s.wantMade(t, "without a webhook")
}

func toldTwice(t *testing.T, w World, s tale) {
	s.decided(t, w)
	header, body, n := s.webhook(t, w)
	for range 2 {
		w.wantSame(t, header, body, n)
		s.wantMade(t, "told")
	}
}

// wantSame reads a webhook and wants the same notice.
func (w World) wantSame(t *testing.T, header http.Header, body []byte, want gateway.Notice) {
	t.Helper()
	got, err := w.Gateway.(gateway.Notifier).Verify(w.Connection, header, body, w.Now())
	if d := cmp.Diff(want, got, protocmp.Transform()); err != nil || d != "" || got.ID == "" {
		t.Fatalf("told again: %v (-first +again):\n%s", err, d)
	}
	if d := cmp.Diff(w.confirmed(t, want), w.confirmed(t, got), protocmp.Transform()); d != "" {
		t.Errorf("completed again (-first +again):\n%s", d)
	}
}

// late is longer than any webhook is believed.
const late = 48 * time.Hour

// toldLate: sent anew it is the same notice; the old one is not believed any more, and is not needed.
func toldLate(t *testing.T, w World, s tale) {
	s.decided(t, w)
	header, body, n := s.webhook(t, w)
	w.Advance(t, late)
	if w.Resend != nil {
		header, body := w.Resend(header, body)
		w.wantSame(t, header, body, n)
	}
	if got, err := w.Gateway.(gateway.Notifier).Verify(w.Connection, header, body, w.Now()); err == nil {
		t.Errorf("the old one: got %+v, want an error", got)
	}
	s.wantMade(t, "told late")
}

// toldBefore: the answer is on its way while the payment is decided and told.
func toldBefore(t *testing.T, w World, s tale) {
	release := make(chan struct{})
	held := fault{happens: true, tell: func(x *exchange, a *reply) {
		x.met()
		select {
		case <-release:
			x.give(a)
		case <-x.stopping:
		}
	}}
	c := newCell(t, w, held, w.counts())
	c.line.meets(&held)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	answer := make(chan gateway.Result, 1)
	go func() { answer <- s.send(ctx, w.Gateway, c.conn) }()
	select {
	case <-c.line.spoilt:
	case <-ctx.Done():
		t.Fatal("the request did not come to the line")
	}
	r, found := s.find()
	if !found {
		t.Fatal("the look-up found nothing before the answer")
	}
	s.settle(r, true)
	s.webhook(t, w)
	s.wantMade(t, "told before the answer")
	close(release)
	wantClass(t, "the answer, by now an old one", <-answer, gateway.Pending)
	s.wantMade(t, "told, and answered")
}

func toldUnsigned(t *testing.T, w World, s tale) {
	s.decided(t, w)
	header, body, _ := s.webhook(t, w)
	other, silent := w.Connection, w.Connection
	other.Secret, silent.Secret = "another secret", ""
	other.WebhookSecret, silent.WebhookSecret = other.Secret, silent.Secret
	bare, unsigned := http.Header{}, body
	if w.Unsigned != nil {
		bare, unsigned = w.Unsigned(header, body)
	}
	for name, test := range map[string]struct {
		conn   gateway.Connection
		header http.Header
		body   []byte
	}{
		"another secret": {other, header, body},
		"no secret":      {silent, header, body},
		"no signature":   {w.Connection, bare, unsigned},
	} {
		if got, err := w.Gateway.(gateway.Notifier).Verify(test.conn, test.header, test.body, w.Now()); err == nil {
			t.Errorf("%s: got %+v, want an error", name, got)
		}
	}
}

func toldOld(t *testing.T, w World, s tale) {
	s.decided(t, w)
	header, body, _ := s.webhook(t, w)
	for _, d := range []time.Duration{time.Hour, -time.Hour} {
		if got, err := w.Gateway.(gateway.Notifier).Verify(w.Connection, header, body, w.Now().Add(d)); err == nil {
			t.Errorf("%s later: got %+v, want an error", d, got)
		}
	}
}

// toldChanged: a byte that is signed cannot be changed; one that is not changes nothing.
func toldChanged(t *testing.T, w World, s tale) {
	s.decided(t, w)
	header, body, n := s.webhook(t, w)
	verify := func(what string, signed bool, header http.Header, body []byte) {
		t.Helper()
		got, err := w.Gateway.(gateway.Notifier).Verify(w.Connection, header, body, w.Now())
		if err != nil {
			return
		}
		if d := cmp.Diff(n, got, protocmp.Transform()); signed || d != "" {
			t.Errorf("%s: it is believed (-as sent +changed):\n%s", what, d)
		}
	}
	for i := range body {
		for _, bit := range []byte{1, 0x20, 0x80} {
			changed := bytes.Clone(body)
			changed[i] ^= bit
			verify("the body", w.Unsigned == nil, header, changed)
		}
	}
	for name, values := range header {
		for i := range values[0] {
			changed := header.Clone()
			value := []byte(values[0])
			value[i] ^= 1
			changed[name] = []string{string(value)}
			verify(name, strings.Contains(name, "Signature"), changed, body)
		}
	}
}
