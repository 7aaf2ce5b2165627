package buyer

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/plainpage"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

var noon = time.Date(2030, 3, 4, 12, 0, 0, 0, time.UTC)

const (
	thanks = "https://shop.example/thanks?order=7&x=%C3%A9"
	sorry  = "https://shop.example/sorry"
	here   = "https://shop.example/back"
)

var everywhere = &ledgerv1.Urls{Success: thanks, Failure: sorry, Return: here}

// world is a log with a subscription s of acme, the handler, and a gateway that does as it is told.
type world struct {
	t             *testing.T
	subscriptions *aggregate.Runner[subscription.State]
	handler       *Handler
	requests      int

	mu      sync.Mutex
	elapsed time.Duration
	asked   []string                              // what the gateway was asked
	decides aggregate.Command[subscription.State] // what it says then, if anything
	down    error                                 // the log's
	wait    chan struct{}                         // if not nil, the gateway answers when it is closed
}

func newWorld(t *testing.T, urls *ledgerv1.Urls) *world {
	t.Helper()
	w := &world{t: t, subscriptions: aggregate.NewRunner(memory.New(), subscription.Type())}
	var err error
	w.handler, err = New(Config{
		Addresses: testAddresses(t, testSecret), Subscriptions: w.subscriptions, Logger: slog.New(slog.DiscardHandler),
		Settle: w.ask("settle"), Abandon: w.ask("abandon"),
		Elapsed: func() time.Duration {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.elapsed
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.do(subscription.Start{
		Now: noon, Number: 1, Merchant: "acme", ID: "s", Gateway: "sandbox", Mode: ledgerv1.Mode_MODE_TEST,
		Request: &ledgerv1.StartRequest{
			Buyer: &ledgerv1.Buyer{Id: "b"}, ConnectionId: "main", Urls: urls,
			Terms: &ledgerv1.Terms{
				ProductId: "p", ProductName: "Course", PricePoint: 1, Kind: ledgerv1.PriceKind_PRICE_KIND_RECURRING,
				Period:  ledgerv1.Period_PERIOD_MONTHLY,
				Regular: &ledgerv1.Amounts{Base: &ledgerv1.Money{CurrencyCode: "USD", MinorUnits: 4700}},
			},
		},
	})
	return w
}

func (w *world) ask(what string) func(context.Context, string, string) (subscription.State, error) {
	return func(ctx context.Context, stream, _ string) (subscription.State, error) {
		w.mu.Lock()
		w.asked = append(w.asked, what)
		wait, down, decides := w.wait, w.down, w.decides
		w.mu.Unlock()
		if wait != nil {
			<-wait
		}
		if down != nil {
			return subscription.State{}, down
		}
		if decides != nil {
			w.do(decides)
		}
		s, _, err := w.subscriptions.Load(ctx, stream)
		return s, err
	}
}

func (w *world) do(c aggregate.Command[subscription.State]) {
	w.t.Helper()
	w.requests++
	if _, err := w.subscriptions.Do(context.Background(), subscription.Stream("acme", "s"), aggregate.Request{
		ID: fmt.Sprint("r", w.requests), Actor: "test", At: noon,
	}, c); err != nil {
		w.t.Fatal(err)
	}
}

// back is the path of the first payment's address.
func (w *world) back() string {
	w.t.Helper()
	s, _, err := w.subscriptions.Load(w.t.Context(), subscription.Stream("acme", "s"))
	if err != nil {
		w.t.Fatal(err)
	}
	return w.pathOf(s.Attempts[0].Key)
}

func (w *world) pathOf(key string) string {
	back, _ := w.handler.Addresses.Of(testConnection, gateway.Charge{Merchant: "acme", Subscription: "s", Key: key})
	return strings.TrimPrefix(back, "https://ledger.example")
}

func (w *world) answer(verb, path string) *httptest.ResponseRecorder {
	w.t.Helper()
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, httptest.NewRequest(verb, path, strings.NewReader("next=https://evil.example")))
	wantProtected(w.t, rec)
	return rec
}

// wantSentTo wants a buyer to be sent to an address, or to be shown a page that says so.
func (w *world) wantSentTo(path, want string) {
	w.t.Helper()
	rec := w.answer(http.MethodGet, path)
	if !strings.HasPrefix(want, "https://") {
		if rec.Code != http.StatusOK || rec.Header().Get("Location") != "" || !strings.Contains(rec.Body.String(), want) {
			w.t.Errorf("%s: got %d to %q, want a page that says %q:\n%s", path, rec.Code, rec.Header().Get("Location"), want, rec.Body)
		}
		return
	}
	if got := rec.Header().Get("Location"); rec.Code != http.StatusSeeOther || got != want {
		w.t.Errorf("%s: got %d to %q, want %q", path, rec.Code, got, want)
	}
}

func wantProtected(t *testing.T, rec *httptest.ResponseRecorder) {
	t.Helper()
	h := rec.Header()
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
		"Content-Type": "text/html; charset=utf-8",
	} {
		if got := h.Get(name); got != want && !(name == "Content-Type" && rec.Body.Len() == 0) {
			t.Errorf("%d with %s %q, want %q", rec.Code, name, got, want)
		}
	}
	if !strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none'; ") || strings.Contains(h.Get("Content-Security-Policy"), "unsafe") {
		t.Errorf("policy %q, want one that lets nothing in", h.Get("Content-Security-Policy"))
	}
	if rec.Code != http.StatusSeeOther && strings.Contains(rec.Body.String(), "evil") {
		t.Errorf("the page repeats what was asked: %s", rec.Body)
	}
}

// outcomes are how the first payment may stand.
var outcomes = map[string]struct {
	commands []aggregate.Command[subscription.State]
	want     outcome
}{
	"not sent yet": {nil, pending},
	"pending":      {commandsOf(pend), pending},
	"in doubt":     {commandsOf(subscription.DoubtPayment{Now: noon, Number: 1, Attempt: 1, Why: "no answer"}), pending},
	"paid":         {commandsOf(pend, pay(4700)), succeeded},
	"mismatched":   {commandsOf(pend, pay(4800)), pending},
	"declined":     {commandsOf(pend, subscription.DeclinePayment{Now: noon, Number: 1, Attempt: 1, Code: "soft"}), failed},
	"expired":      {commandsOf(pend, subscription.DeclinePayment{Now: noon, Number: 1, Attempt: 1, Expired: true}), failed},
	"absent":       {commandsOf(subscription.ClearPayment{Now: noon, Number: 1, Attempt: 1, Proof: "absent"}), failed},
	"paid late":    {commandsOf(pend, subscription.DeclinePayment{Now: noon, Number: 1, Attempt: 1, Code: "soft"}, pay(4700)), succeeded},
}

func commandsOf(c ...aggregate.Command[subscription.State]) []aggregate.Command[subscription.State] {
	return c
}

var pend = subscription.PendPayment{Now: noon, Number: 1, Attempt: 1, Reference: "ch_1"}

func pay(minor int64) subscription.SettlePayment {
	return subscription.SettlePayment{
		Now: noon, Number: 1, Attempt: 1, Reference: "ch_1", Amount: &ledgerv1.Money{CurrencyCode: "USD", MinorUnits: minor},
		Method: &ledgerv1.PaymentMethod{Reference: "pm_1"},
	}
}

func TestWhereABuyerIsSent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		urls                       *ledgerv1.Urls
		succeeded, failed, pending string
	}{
		{everywhere, thanks, sorry, here},
		{&ledgerv1.Urls{Success: thanks, Failure: sorry}, thanks, sorry, thanks},
		{&ledgerv1.Urls{Success: thanks}, thanks, "did not go through", thanks},
		{&ledgerv1.Urls{Failure: sorry}, "went through", sorry, "not confirmed yet"},
		{&ledgerv1.Urls{Return: here}, here, here, here},
		{nil, "went through", "did not go through", "not confirmed yet"},
	} {
		for name, o := range outcomes {
			w := newWorld(t, c.urls)
			for _, command := range o.commands {
				w.do(command)
			}
			want := map[outcome]string{succeeded: c.succeeded, failed: c.failed, pending: c.pending}[o.want]
			t.Run(fmt.Sprintf("%s with %v", name, c.urls), func(t *testing.T) {
				w.wantSentTo(w.back(), want)
				w.wantSentTo(w.back()+"/cancel", want) // the gateway does not end anything here
				w.wantSentTo(w.back(), want)
			})
		}
	}
}

// An address that was taken before addresses were looked at closely is no place to send a buyer to.
func TestNobodyIsSentToWhatIsNoAddress(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"javascript:alert(1)", "//evil.example", "/back", "https://u:p@evil.example/", "https://a.example/\r\nSet-Cookie: a=b"} {
		for _, o := range []outcome{succeeded, failed, pending} {
			if got := target(&ledgerv1.Urls{Success: bad, Failure: bad, Return: bad}, o); got != "" {
				t.Errorf("%s: a buyer is sent to %q", o, got)
			}
		}
	}
}

// What the request says but its token decides nothing.
func TestTheRequestDecidesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, everywhere)
	w.do(pend)
	for _, q := range []string{
		"", "?result=approve", "?status=succeeded", "?url=https://evil.example", "?next=//evil.example", "?return=https://evil.example",
		"?success=https://evil.example", "?redirect_uri=https%3A%2F%2Fevil.example", "?token=x&PayerID=y",
	} {
		for _, verb := range []string{http.MethodGet, http.MethodPost} {
			if rec := w.answer(verb, w.back()+q); rec.Header().Get("Location") != here {
				t.Errorf("%s %s: sent to %q, want %q", verb, q, rec.Header().Get("Location"), here)
			}
		}
	}
}

func TestTheGatewayIsAsked(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{"": "settle", "/cancel": "abandon"} {
		w := newWorld(t, everywhere)
		w.do(pend)
		w.decides = pay(4700)
		w.wantSentTo(w.back()+path, thanks)
		if len(w.asked) != 1 || w.asked[0] != want {
			t.Errorf("%q: asked %v, want %s", path, w.asked, want)
		}
	}
}

func TestTurningBackAfterwardsUndoesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, everywhere)
	w.do(pend)
	w.do(pay(4700))
	w.decides = subscription.DeclinePayment{Now: noon, Number: 1, Attempt: 1, Expired: true}
	w.wantSentTo(w.back()+"/cancel", thanks)
	w.wantSentTo(w.back(), thanks)
}

// A page that is loaded again and again asks the gateway once in askAgain, and shows what is known meanwhile.
func TestGatewaysAreLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, everywhere)
	w.do(pend)
	for range 10 {
		w.wantSentTo(w.back(), here)
	}
	w.wantSentTo(w.back()+"/cancel", here) // that is another question
	w.do(pay(4700))
	w.wantSentTo(w.back(), thanks)
	if len(w.asked) != 2 {
		t.Fatalf("asked %v, want once each", w.asked)
	}
	w.mu.Lock()
	w.elapsed += askAgain
	w.mu.Unlock()
	w.wantSentTo(w.back(), thanks)
	if len(w.asked) != 3 || len(w.handler.asks.at) != 1 {
		t.Errorf("asked %v, %d remembered; want asked again, and the others forgotten", w.asked, len(w.handler.asks.at))
	}
}

// Two tabs at once share one question. That the first is closed meanwhile is nothing to the other.
func TestTabsShareAnAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, everywhere)
		w.do(pend)
		w.decides, w.wait = pay(4700), make(chan struct{})
		path := w.back()
		ctx, leave := context.WithCancel(t.Context())
		var tabs sync.WaitGroup
		for i := range 3 {
			req := httptest.NewRequest(http.MethodGet, path, nil)
			if i == 0 {
				req = req.WithContext(ctx)
			}
			tabs.Go(func() {
				rec := httptest.NewRecorder()
				w.handler.ServeHTTP(rec, req)
				if got := rec.Header().Get("Location"); got != thanks {
					t.Errorf("tab %d: got %d to %q, want %q", i, rec.Code, got, thanks)
				}
			})
			synctest.Wait()
		}
		leave()
		close(w.wait)
		tabs.Wait()
		if len(w.asked) != 1 {
			t.Errorf("the gateway was asked %d times, want once", len(w.asked))
		}
	})
}

func TestRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, everywhere)
	good := w.back()
	edited := good[:len(good)-1] + map[bool]string{true: "B", false: "A"}[strings.HasSuffix(good, "A")]
	for name, c := range map[string]struct {
		verb, path string
		want       int
	}{
		"HEAD":                        {http.MethodHead, good, 405},
		"PUT":                         {http.MethodPut, good, 405},
		"DELETE":                      {http.MethodDelete, good + "/cancel", 405},
		"edited":                      {http.MethodGet, edited, 404},
		"edited, to cancel":           {http.MethodPost, edited + "/cancel", 404},
		"edited and DELETE":           {http.MethodDelete, edited, 404},
		"another gateway":             {http.MethodGet, strings.Replace(good, "sandbox", "stripe", 1), 404},
		"no token":                    {http.MethodGet, "/return/sandbox/", 404},
		"nothing":                     {http.MethodGet, "/return/", 404},
		"more":                        {http.MethodGet, good + "/more", 404},
		"more than cancel":            {http.MethodGet, good + "/cancel/", 404},
		"a payment that is not there": {http.MethodGet, w.pathOf("another"), 404},
	} {
		rec := w.answer(c.verb, c.path)
		if rec.Code != c.want || rec.Header().Get("Location") != "" || (c.want == 405) != (rec.Header().Get("Allow") == "GET, POST") {
			t.Errorf("%s: got %d, Allow %q, want %d", name, rec.Code, rec.Header().Get("Allow"), c.want)
		}
	}
}

// A browser that looks ahead ends nothing.
func TestPrefetch(t *testing.T) {
	t.Parallel()
	for _, purpose := range []string{"prefetch", "prefetch;prerender"} {
		w := newWorld(t, everywhere)
		req := httptest.NewRequest(http.MethodGet, w.back()+"/cancel", nil)
		req.Header.Set("Sec-Purpose", purpose)
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, req)
		if rec.Code != http.StatusServiceUnavailable || len(w.asked) != 0 {
			t.Errorf("%s: got %d, asked %v; want 503 and nobody asked", purpose, rec.Code, w.asked)
		}
	}
}

func TestLogUnavailable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, everywhere)
	w.down = fmt.Errorf("read: %w", event.ErrUnavailable)
	rec := w.answer(http.MethodGet, w.back())
	if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" || !strings.Contains(rec.Body.String(), "One moment") {
		t.Errorf("got %d, Retry-After %q, want 503 and when to come again", rec.Code, rec.Header().Get("Retry-After"))
	}
}

// The replacement of a method is told as a payment is.
func TestWhereABuyerIsSentWithAnotherMethod(t *testing.T) {
	t.Parallel()
	stored := subscription.StoreMethod{Now: noon, Replacement: 1, Method: &ledgerv1.PaymentMethod{Reference: "pm_2"}}
	for name, c := range map[string]struct {
		commands []aggregate.Command[subscription.State]
		want     string
	}{
		"asked for": {nil, here},
		"stored":    {commandsOf(stored), thanks},
		"refused":   {commandsOf(subscription.RefuseMethod{Now: noon, Replacement: 1, Code: "stolen"}), sorry},
		"replaced":  {commandsOf(stored, replace), here},
	} {
		w := newWorld(t, everywhere)
		w.do(pay(4700))
		w.do(replace)
		s, _, err := w.subscriptions.Load(t.Context(), subscription.Stream("acme", "s"))
		if err != nil {
			t.Fatal(err)
		}
		path := w.pathOf(s.Replacing.GetKey())
		for _, command := range c.commands {
			w.do(command)
		}
		t.Run(name, func(*testing.T) { w.wantSentTo(path, c.want) })
	}
}

var replace = subscription.ReplacePaymentMethod{
	Now: noon, Token: "tok", Mode: ledgerv1.Mode_MODE_TEST, Connection: subscription.Connection{ID: "main", Gateway: "sandbox"},
}

// Each page says what it has to in well-formed HTML, loads nothing, and has the style that its policy allows.
func TestPages(t *testing.T) {
	t.Parallel()
	pages, err := render()
	if err != nil || len(pages) != 5 {
		t.Fatalf("%d pages, %v; want 5", len(pages), err)
	}
	h := http.Header{}
	plainpage.Protect(h)
	for name, html := range pages {
		text := string(html)
		_, style, _ := strings.Cut(text, "<style>")
		style, _, _ = strings.Cut(style, "</style>")
		sum := sha256.Sum256([]byte(style))
		if want := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(h.Get("Content-Security-Policy"), want) {
			t.Errorf("%s: the policy does not allow the style, want %s in it", name, want)
		}
		for _, external := range []string{"http:", "https:", "url(", "src=", "href=", "<script"} {
			if strings.Contains(text, external) {
				t.Errorf("%s holds %s", name, external)
			}
		}
		wantWellFormed(t, text)
	}
}

func wantWellFormed(t *testing.T, html string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(html))
	d.Strict, d.AutoClose = false, []string{"meta"}
	open := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in:\n%s", err, html)
		}
		switch token.(type) {
		case xml.StartElement:
			open++
		case xml.EndElement:
			open--
		}
	}
	if open != 0 {
		t.Errorf("%d elements are not closed in:\n%s", open, html)
	}
}
