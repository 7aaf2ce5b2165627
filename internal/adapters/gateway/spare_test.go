package gateway_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ledger.internal/ledger/internal/adapters/clock"
	"ledger.internal/ledger/internal/adapters/gateway"
)

// far is a gateway in memory, so that time can be made up. It answers with a status; 0 breaks the connection, and 1 never
// answers.
type far struct {
	status     atomic.Int32
	retryAfter string
	takes      time.Duration

	mu sync.Mutex
	at []time.Time // of the requests
}

func (f *far) requests() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.at)
}

func (f *far) RoundTrip(req *http.Request) (*http.Response, error) {
	f.mu.Lock()
	f.at = append(f.at, time.Now())
	f.mu.Unlock()
	time.Sleep(f.takes)
	switch status := int(f.status.Load()); status {
	case 0:
		return nil, io.ErrUnexpectedEOF
	case 1:
		<-req.Context().Done()
		return nil, req.Context().Err()
	default:
		return &http.Response{
			StatusCode: status, Header: http.Header{"Retry-After": {f.retryAfter}}, Body: io.NopCloser(strings.NewReader("{}")),
		}, nil
	}
}

// way is how requests come to a far gateway.
type way struct {
	*testing.T
	far    *far
	client *http.Client
}

func newWay(t *testing.T, status int32) *way {
	f := &far{}
	f.status.Store(status)
	return &way{t, f, &http.Client{Transport: gateway.NewTransport(f, clock.Wall{})}}
}

// request is one of the kinds that are told apart.
type request struct {
	method, account string
	looks           bool
	perSecond       int
}

var (
	charge = request{method: http.MethodPost, account: "acct_1"}
	look   = request{method: http.MethodGet, account: "acct_1"}
)

func (w *way) send(ctx context.Context, r request) error {
	w.Helper()
	ctx = gateway.InNameOf(ctx, gateway.Connection{Gateway: "g", Account: r.account}, r.perSecond)
	if r.looks {
		ctx = gateway.Looking(ctx)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, "https://gateway.example/v1", strings.NewReader("{}"))
	if err != nil {
		w.Fatal(err)
	}
	_, err = gateway.Exchange(w.client, req, 20*time.Second)
	return err
}

// fails sends so many requests that are not answered well.
func (w *way) fails(n int, r request) {
	w.Helper()
	for range n {
		if err := w.send(w.Context(), r); err != nil && gateway.Failed(err).Class != gateway.Unknown {
			w.Fatalf("what may have been sent: got %v, want it unknown", err)
		}
	}
}

// sends wants a request to reach the gateway, whatever becomes of it.
func (w *way) sends(what string, r request) {
	w.Helper()
	before := w.far.requests()
	err := w.send(w.Context(), r)
	if w.far.requests() != before+1 {
		w.Errorf("%s: got %v, want it sent", what, err)
	}
}

// keeps wants a request not to be sent for a while.
func (w *way) keeps(what string, r request, want time.Duration) {
	w.Helper()
	before := w.far.requests()
	res := gateway.Failed(w.send(w.Context(), r))
	if w.far.requests() != before {
		w.Fatalf("%s: it was sent", what)
	}
	if res.Class != gateway.NotSent || res.RetryAfter != want || res.Config || res.Why == "" {
		w.Fatalf("%s: got %+v, want NotSent and to come again after %s", what, res, want)
	}
}

// What says nothing about a request opens the circuit when it comes five times in a row; whatever else is said does not.
func TestCircuitOpens(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		status int32
		opens  bool
	}{
		{"broken connection", 0, true},
		{"no answer in time", 1, true},
		{"500", 500, true},
		{"503", 503, true},
		{"200", 200, false},
		{"a declined card", 402, false},
		{"a request that is refused", 400, false},
		{"bad credentials", 401, false},
		{"too many requests", 429, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWay(t, test.status)
				w.fails(5, charge)
				if !test.opens {
					w.sends("the next one", charge)
					return
				}
				w.keeps("the next one", charge, 30*time.Second)
				w.sends("another account's", request{method: http.MethodPost, account: "acct_2"})
			})
		})
	}
}

func TestCircuitCountsInARow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWay(t, 500)
		w.fails(4, charge)
		w.far.status.Store(402)
		w.sends("a decline", charge)
		w.far.status.Store(500)
		w.fails(4, charge)
		w.sends("after eight failures and a decline among them", charge)
		w.keeps("after five in a row", charge, 30*time.Second)
	})
}

// Whoever goes away himself proves nothing about the gateway.
func TestCircuitIgnoresCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWay(t, 1)
		for range 10 {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			if err := w.send(ctx, charge); !errors.Is(err, context.Canceled) || gateway.Failed(err).Class != gateway.Unknown {
				t.Fatalf("got %v, want it cancelled and unknown", err)
			}
		}
		w.sends("after ten that were cancelled", charge)
	})
}

func TestCircuitTriesAndCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWay(t, 500)
		w.fails(5, charge)
		time.Sleep(20 * time.Second)
		w.keeps("before it has rested", charge, 10*time.Second)
		time.Sleep(10 * time.Second)
		w.sends("the one that tries", charge)
		w.keeps("as that was not answered well", charge, 30*time.Second)
		time.Sleep(30 * time.Second)
		w.far.status.Store(200)
		w.sends("the next that tries", charge)
		w.sends("all after it", charge)
	})
}

// While one request tries, no second one does.
func TestCircuitTriesOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWay(t, 500)
		w.fails(5, charge)
		time.Sleep(30 * time.Second)
		w.far.status.Store(1)
		tried := make(chan error)
		go func() { tried <- w.send(t.Context(), charge) }()
		synctest.Wait()
		w.keeps("beside the one that tries", charge, 30*time.Second)
		if err := <-tried; gateway.Failed(err).Class != gateway.Unknown {
			t.Errorf("the one that tried: got %v, want it unknown", err)
		}
	})
}

// Look-ups end doubt. Neither may charges that fail keep them back, nor may they be kept back for ever by their own
// failing; and that they succeed does not prove that charges would.
func TestLookupsHaveACircuitOfTheirOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWay(t, 500)
		w.fails(5, charge)
		w.keeps("a charge", charge, 30*time.Second)
		w.fails(4, look)
		w.far.status.Store(200)
		w.sends("a look-up while the circuit of charges is open", look)
		w.sends("one that is no GET", request{method: http.MethodPost, account: "acct_1", looks: true})
		w.keeps("a charge after look-ups were answered", charge, 30*time.Second)
		w.far.status.Store(0)
		w.fails(5, look)
		for range 100 { // for as long as the gateway is away, and at a low rate
			w.keeps("a look-up that failed five times", look, 10*time.Second)
			time.Sleep(10 * time.Second)
			w.sends("the look-up that tries", look)
		}
		w.far.status.Store(200)
		time.Sleep(10 * time.Second)
		w.sends("the look-up that tries when the gateway is back", look)
		w.sends("the look-ups after it", look)
		w.sends("the charge that tries", charge)
	})
}

// Of two look-ups that come at once when the gateway is to be tried, neither is kept back: what is in doubt is looked up
// once a day in the end. One whose caller gives up goes away.
func TestLookupsWaitForTheOneThatTries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWay(t, 500)
		w.fails(5, look)
		time.Sleep(10 * time.Second)
		w.far.status.Store(200)
		w.far.takes = time.Second
		answered := make(chan error, 2)
		for range 2 {
			go func() { answered <- w.send(t.Context(), look) }()
		}
		synctest.Wait()
		ctx, giveUp := context.WithTimeout(t.Context(), time.Millisecond)
		defer giveUp()
		if err := w.send(ctx, look); gateway.Failed(err).Class != gateway.NotSent {
			t.Errorf("the one that gave up: got %v, want it not sent", err)
		}
		for range 2 {
			if err := <-answered; err != nil {
				t.Errorf("got %v, want an answer", err)
			}
		}
	})
}

// In no second goes more to the gateway than it takes; what would have to wait for long is not sent.
func TestPace(t *testing.T) {
	t.Parallel()
	const n = 1000
	for _, perSecond := range []int{2, 3, 10, 25, 100} {
		synctest.Test(t, func(t *testing.T) {
			w := newWay(t, 200)
			var sent, kept atomic.Int32
			var all sync.WaitGroup
			for range n {
				all.Go(func() {
					switch err := w.send(t.Context(), request{method: http.MethodPost, account: "acct_1", perSecond: perSecond}); {
					case err == nil:
						sent.Add(1)
					case gateway.Failed(err).RetryAfter > 2*time.Second:
						kept.Add(1)
					}
				})
			}
			all.Wait()
			if sent.Load()+kept.Load() != n || kept.Load() == 0 {
				t.Errorf("%d a second: %d were sent and %d kept back for longer than 2 s, want %d in all", perSecond, sent.Load(), kept.Load(), n)
			}
			if got := w.far.mostInASecond(); got > perSecond || 2*got < perSecond {
				t.Errorf("%d a second: got %d", perSecond, got)
			}
			w.sends("another account's", request{method: http.MethodPost, account: "acct_2", perSecond: perSecond})
			time.Sleep(2 * time.Second)
			w.sends("one more, later", request{method: http.MethodGet, account: "acct_1", perSecond: perSecond})
		})
	}
}

// mostInASecond is the most requests that came in any one second.
func (f *far) mostInASecond() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	most := 0
	for i, from := range f.at {
		n := 0
		for _, at := range f.at[i:] {
			if at.Sub(from) < time.Second {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// Who goes away while he waits has sent nothing, and takes nobody's turn.
func TestPaceEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWay(t, 200)
		slow := request{method: http.MethodPost, account: "acct_1", perSecond: 1}
		w.sends("the first", slow)
		for range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			res := gateway.Failed(w.send(ctx, slow))
			cancel()
			if res.Class != gateway.NotSent {
				t.Fatalf("got %+v, want it not sent", res)
			}
		}
		w.sends("the one after those", slow)
		if got := w.far.requests(); got != 2 {
			t.Errorf("%d came, want 2", got)
		}
	})
}

// What a 429 asks for holds for the whole account, for its look-ups too, and not for others.
func TestAskedToSlowDown(t *testing.T) {
	t.Parallel()
	tests := []struct {
		retryAfter string
		want       time.Duration
	}{
		{"7", 7 * time.Second}, {"3600", time.Hour}, {"86400", time.Hour}, {"", 0}, {"soon", 0},
		{time.Date(2000, 1, 1, 0, 1, 0, 0, time.UTC).Format(http.TimeFormat), time.Minute}, // synctest begins in 2000
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			w := newWay(t, 429)
			w.far.retryAfter = test.retryAfter
			w.sends("the first", charge)
			w.far.status.Store(200)
			if test.want > 0 {
				w.keeps("a charge", charge, test.want)
				w.keeps("a look-up", look, test.want)
			}
			w.sends("another account's", request{method: http.MethodPost, account: "acct_2"})
			time.Sleep(test.want)
			w.sends("a charge, later", charge)
			w.sends("a look-up, later", look)
		})
	}
}

// A 429 also holds back what was waiting for its turn.
func TestAskedToSlowDownWhileWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWay(t, 429)
		w.far.retryAfter, w.far.takes = "60", time.Second/2
		slow := request{method: http.MethodPost, account: "acct_1", perSecond: 1}
		var all sync.WaitGroup
		all.Go(func() { w.sends("the first", slow) })
		synctest.Wait()
		w.keeps("the one that waits a second for its turn", slow, time.Minute-time.Second/2)
		all.Wait()
	})
}

// hands is a clock that is set by hand, also back.
type hands struct {
	clock.Wall
	at time.Time
}

func (h *hands) Now() time.Time { return h.at }

// Where time is moved by hand, pauses pass with it; and a clock that is set back makes none longer.
func TestPausesGoByTheClock(t *testing.T) {
	t.Parallel()
	hand := &hands{at: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)}
	w := newWay(t, 500)
	w.client.Transport = gateway.NewTransport(w.far, hand)
	w.fails(5, charge)
	w.keeps("the next one", charge, 30*time.Second)
	hand.at = hand.at.Add(30 * time.Second)
	w.far.status.Store(429)
	w.far.retryAfter = "3600"
	w.sends("half a minute later", charge)
	w.far.status.Store(200)
	w.keeps("as it was asked to", look, time.Hour)
	hand.at = hand.at.Add(time.Hour)
	w.sends("an hour later", look)
	w.far.status.Store(500)
	w.fails(5, look)
	w.keeps("the look-up after those", look, 10*time.Second)
	hand.at = hand.at.Add(-24 * time.Hour)
	w.sends("the day before", look)
}
