package dialect_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/clock"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/sim/dialect"
	"ledger.internal/ledger/internal/sim/neighbour"
)

// scene is a vendor with one account, in front of which the adapter stands without a door.
type scene struct {
	*dialect.House
	gateway.Gateway
	clock *clock.Stepped
	conn  gateway.Connection
	mail  []neighbour.Webhook
	hits  map[string]int
}

func newScene(t *testing.T, kind dialect.Kind, m neighbour.Mischief) *scene {
	t.Helper()
	s := &scene{clock: clock.NewStepped(time.Date(2028, 1, 29, 9, 0, 0, 0, time.UTC)), hits: map[string]int{}}
	s.House = dialect.New(dialect.Config{
		Kind: kind, Now: s.clock.Now, Random: rand.New(rand.NewPCG(1, 2)), Mischief: m,
		Send: func(w neighbour.Webhook) { s.mail = append(s.mail, w) },
		Hit:  func(what string) { s.hits[what]++ },
	})
	s.conn = gateway.Connection{
		Merchant: "m1", ID: "c1", Gateway: "g1", URL: "http://127.1.1.1", WebhookSecret: "whsec_1", NotifyURL: "https://ledger.example/webhooks",
	}
	if err := s.Connect(t.Context(), s.conn); err != nil {
		t.Fatal(err)
	}
	s.Gateway = s.Adapter(s.House, s.clock)
	s.conn = s.Credentials(s.conn)
	return s
}

// sell asks for 47 dollars.
func (s *scene) sell(t *testing.T, key string) gateway.Result {
	t.Helper()
	return s.Charge(t.Context(), s.conn, gateway.Charge{
		Key: key, Amount: &ledgerv1.Money{CurrencyCode: "USD", MinorUnits: 4700}, Method: s.Store(s.conn, false),
		Merchant: "m1", Subscription: "s1", PayNumber: 3, Attempt: 1,
	})
}

func (s *scene) lookUp(t *testing.T, key string) (gateway.Result, bool) {
	t.Helper()
	r, found, err := s.Lookup(t.Context(), s.conn, key, s.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	return r, found
}

func each(t *testing.T, test func(t *testing.T, kind dialect.Kind)) {
	t.Parallel()
	for _, kind := range dialect.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			test(t, kind)
		})
	}
}

// Where nothing goes wrong, the book has what the adapter says, and the webhooks are believed.
func TestPeace(t *testing.T) {
	each(t, func(t *testing.T, kind dialect.Kind) {
		s := newScene(t, kind, neighbour.Mischief{})
		r := s.sell(t, "k")
		if r.Class != gateway.Accepted || !s.Knows("k") || s.Knows("other") {
			t.Fatalf("got %+v, known %v", r, s.Knows("k"))
		}
		if c := s.Captures(); len(c) != 1 || c[0].Key != "k" || c[0].Reference != r.Reference || c[0].Minor != 4700 || c[0].Subscription != "s1" || c[0].PayNumber != 3 {
			t.Errorf("captures: %+v", c)
		}
		back := s.Refund(t.Context(), s.conn, gateway.Refund{Key: "b", ChargeReference: r.Reference, Amount: &ledgerv1.Money{CurrencyCode: "USD", MinorUnits: 700}})
		if c := s.Returns(); back.Class != gateway.Accepted || len(c) != 1 || c[0].Key != "b" || c[0].Reference != back.Reference || c[0].Minor != 700 {
			t.Errorf("returned %+v: %+v", back, c)
		}
		for _, w := range s.mail {
			if _, err := s.Gateway.(gateway.Notifier).Verify(s.conn, w.Sign(s.clock.Now()), w.Body, s.clock.Now()); err != nil {
				t.Errorf("%s: %v", w.ID, err)
			}
		}
		if len(s.mail) == 0 || len(s.hits) != 0 {
			t.Errorf("%d webhooks, %v", len(s.mail), s.hits)
		}
	})
}

// A request that its caller has given up arrives later or never, and the adapter claims neither.
func TestStragglers(t *testing.T) {
	each(t, func(t *testing.T, kind dialect.Kind) {
		s := newScene(t, kind, neighbour.Mischief{LostOnTheWay: 0.999})
		for n := 0; n < 40 && len(s.Captures()) == 0; n++ {
			r := s.sell(t, fmt.Sprint("k", n))
			if r.Class != gateway.Unknown && r.Class != gateway.NotSent || len(s.Captures()) > 0 {
				t.Fatalf("got %+v and %v", r, s.Captures())
			}
			s.Heal()
			for at, ok := s.Next(); ok; at, ok = s.Next() {
				s.clock.Set(at)
				s.Pass()
			}
			if _, found := s.lookUp(t, fmt.Sprint("k", n)); found != (len(s.Captures()) == 1) {
				t.Errorf("found %v, and %v was captured", found, s.Captures())
			}
			s.Mischief.LostOnTheWay = 0.999
		}
	})
}

// What spoils an answer does not spoil what the adapter says: nothing that moved is declined, nothing that did not is accepted.
func TestBadAnswers(t *testing.T) {
	each(t, func(t *testing.T, kind dialect.Kind) {
		for name, m := range map[string]neighbour.Mischief{
			"broken": {Broken: 1}, "untold": {Untold: 1}, "turned away": {TooMany: 1, Unauthorized: 1}, "some of all": {
				Broken: 0.3, Untold: 0.3, TooMany: 0.2, Unauthorized: 0.2, LostOnTheWay: 0.3, LookupFails: 0.3,
			},
		} {
			s := newScene(t, kind, m)
			for n := range 30 {
				key := fmt.Sprint("k", n)
				r := s.sell(t, key)
				moved := 0
				for _, c := range s.Captures() {
					if c.Key == key {
						moved++
					}
				}
				if moved > 1 || r.Class == gateway.Accepted && moved == 0 || r.Class == gateway.Rejected || r.Class == gateway.NotSent && moved > 0 {
					t.Errorf("%s: got %+v, and it was captured %d times", name, r, moved)
				}
				s.clock.Set(s.clock.Now().Add(time.Hour))
			}
			if len(s.hits) == 0 {
				t.Errorf("%s: nothing went wrong", name)
			}
		}
	})
}

// Webhooks that nobody signed are refused.
func TestForged(t *testing.T) {
	each(t, func(t *testing.T, kind dialect.Kind) {
		s := newScene(t, kind, neighbour.Mischief{Forged: 1})
		s.sell(t, "k")
		forged := 0
		for _, w := range s.mail {
			_, err := s.Gateway.(gateway.Notifier).Verify(s.conn, w.Sign(s.clock.Now()), w.Body, s.clock.Now())
			if (err == nil) != w.Genuine {
				t.Errorf("%s, genuine %v: %v", w.ID, w.Genuine, err)
			}
			if !w.Genuine {
				forged++
			}
		}
		if forged == 0 {
			t.Error("nothing was forged")
		}
	})
}

// The same seed and the same calls give the same answers, messages and books.
func TestSameSeed(t *testing.T) {
	each(t, func(t *testing.T, kind dialect.Kind) {
		live := func() (all []string) {
			s := newScene(t, kind, neighbour.Mischief{
				Soft: 0.1, Pending: 0.2, RefundPending: 0.2, Broken: 0.1, Untold: 0.2, LostOnTheWay: 0.1, Twice: 0.3, Late: 0.3, AgreementLost: 0.1,
			})
			acts := rand.New(rand.NewPCG(3, 4))
			for n := range 60 {
				r := s.sell(t, fmt.Sprint("k", n))
				all = append(all, fmt.Sprint(r.Class, r.Reference, r.Code, r.Why))
				if r.Class == gateway.Accepted {
					back := s.Refund(t.Context(), s.conn, gateway.Refund{Key: fmt.Sprint("b", n), ChargeReference: r.Reference, Amount: r.Amount})
					all = append(all, fmt.Sprint(back.Class, back.Reference, back.Code, back.Why))
				}
				what, _ := s.Act(acts)
				all = append(all, what)
				s.clock.Set(s.clock.Now().Add(5 * time.Hour))
				s.Pass()
			}
			for _, w := range s.mail {
				all = append(all, fmt.Sprint(w.ID, w.NotBefore, string(w.Body)))
			}
			return append(all, fmt.Sprint(s.Captures(), s.Returns()))
		}
		if d := cmp.Diff(live(), live()); d != "" {
			t.Errorf("the second time it is another (-first +second):\n%s", d)
		}
	})
}

// No account, no answer.
func TestNobodyThere(t *testing.T) {
	each(t, func(t *testing.T, kind dialect.Kind) {
		s := newScene(t, kind, neighbour.Mischief{})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://elsewhere.example/", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := s.RoundTrip(req)
		if err == nil {
			_ = res.Body.Close()
			t.Errorf("got %s", res.Status)
		}
	})
}
