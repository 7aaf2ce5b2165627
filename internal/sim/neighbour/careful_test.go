package neighbour_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/sim/neighbour"
)

// client is a small ledger: it charges subscriptions, one attempt after another, and keeps the rules if it is careful.
type client struct {
	*world
	random   *rand.Rand
	careless bool
	listens  bool     // to every answer
	said     []string // what it heard
}

func (c *client) says(what string, r gateway.Result) {
	if !c.listens {
		return
	}
	said, err := json.Marshal(r)
	if err != nil {
		c.t.Fatal(err)
	}
	c.said = append(c.said, what+" "+string(said))
}

// live charges a subscription up to three times and returns some of it.
func (c *client) live(id string) {
	charge := gateway.Charge{Amount: usd(4700), Token: "tok-" + id, Merchant: "acme", Subscription: id}
	for n := range uint32(3) {
		charge.PayNumber = n + 1
		r, ok := c.pay(charge)
		if !ok {
			return
		}
		charge.Token, charge.Method = "", r.Method
		if c.random.IntN(2) == 0 {
			c.decide("refund-"+id+fmt.Sprint(n), func(key string) gateway.Result {
				return c.refund(key, r.Reference, usd(1+c.random.Int64N(4700)))
			})
		}
		c.world.now = c.world.now.Add(24 * time.Hour)
		c.Act(c.random)
	}
}

// pay tries a number a few times.
func (c *client) pay(charge gateway.Charge) (gateway.Result, bool) {
	for attempt := range uint32(4) {
		charge.Attempt = attempt + 1
		r, known := c.decide(fmt.Sprintf("%s-%d-%d", charge.Subscription, charge.PayNumber, charge.Attempt), func(key string) gateway.Result {
			charge.Key = key
			return c.charge(charge)
		})
		switch {
		case known && r.Class == gateway.Accepted:
			return r, r.Amount.GetMinorUnits() == 4700 && r.Amount.GetCurrencyCode() == "USD"
		case known && (r.Category == ledgerv1.DeclineCategory_DECLINE_CATEGORY_HARD || attempt == 0 && charge.Method == nil):
			return r, false
		}
		c.world.now = c.world.now.Add(3 * 24 * time.Hour)
	}
	return gateway.Result{}, false
}

// decide makes a call and finds out what became of it; known is false if it is proved that nothing did.
func (c *client) decide(key string, call func(key string) gateway.Result) (r gateway.Result, known bool) {
	r = call(key)
	c.says("call", r)
	for r.Class == gateway.NotSent {
		c.world.now = c.world.now.Add(10 * time.Minute)
		r = call(key)
		c.says("call again", r)
	}
	from := c.world.now
	for r.Class == gateway.Unknown || r.Class == gateway.Pending {
		if c.careless {
			return r, false
		}
		c.world.now = c.world.now.Add(2 * time.Minute)
		found, ok, err := c.Lookup(c.t.Context(), c.conn, key, from)
		c.says(fmt.Sprintf("look up %v %v", ok, err), found)
		switch {
		case ok:
			r = found
		case err == nil && r.Class == gateway.Unknown && c.world.now.Sub(from) >= c.Traits().Horizon:
			return r, false
		}
	}
	return r, true
}

func newClient(t *testing.T, b neighbour.Behaviour, seed uint64) *client {
	random := rand.New(rand.NewPCG(seed, 1))
	return &client{world: newSeededWorld(t, b, neighbour.DrawMischief(random), seed), random: random}
}

// Whatever a gateway does, whoever keeps the rules is not blamed and pays no number twice, unless he was lied to.
func TestWhoKeepsTheRulesIsNotBlamed(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b neighbour.Behaviour) {
		for seed := range uint64(100) {
			c := newClient(t, b, seed)
			for i := range 8 {
				c.live(fmt.Sprintf("s%d", i))
			}
			if v := c.Violations(); len(v) > 0 {
				t.Fatalf("seed %d: %q", seed, v)
			}
			times := map[string]int{}
			for _, got := range c.Captures() {
				if pays := fmt.Sprint(got.Subscription, got.PayNumber); !got.Denied {
					if times[pays]++; times[pays] > 1 {
						t.Fatalf("seed %d: captured twice: %+v", seed, got)
					}
				}
			}
		}
	})
}

func TestWhoBreaksTheRulesIsBlamed(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b neighbour.Behaviour) {
		blamed := 0
		for seed := range uint64(50) {
			c := newClient(t, b, seed)
			c.careless = true
			for i := range 8 {
				c.live(fmt.Sprintf("s%d", i))
			}
			if len(c.Violations()) > 0 {
				blamed++
			}
		}
		if blamed < 10 {
			t.Errorf("blamed in %d of 50 runs", blamed)
		}
	})
}

// Every fault of a gateway happens to somebody who keeps the rules.
func TestEveryFaultHappens(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, b := range neighbour.Behaviours() {
		for seed := range uint64(60) {
			c := newClient(t, b, seed)
			for i := range 8 {
				id := fmt.Sprintf("s%d", i)
				c.live(id)
				first := gateway.Charge{Key: id + "-1-1", Amount: usd(4700), Token: "tok-" + id, Merchant: "acme", Subscription: id, PayNumber: 1}
				c.charge(first) // as after a crash; the last days' charges know nothing of it
				c.charge(c.next(first, &ledgerv1.PaymentMethod{Reference: "pm_other"}))
				c.refund("much", "ch_other", usd(1))
				c.Schedule(c.conn, "theirs", usd(900))
				c.Act(c.random)
			}
			soon := c.first(neighbour.Accepted)
			c.charge(soon)
			c.charge(soon)
			for _, h := range c.hits {
				seen[h] = true
			}
		}
	}
	for _, f := range neighbour.Faults() {
		if !seen[f] && !receivers(f) {
			t.Errorf("%s never happened", f)
		}
	}
	known := append(neighbour.Faults(), neighbour.KeyCarriedOutAgain)
	for f := range seen {
		if !slices.Contains(known, f) {
			t.Errorf("%s happened and is not listed", f)
		}
	}
}

// The same seed and the same calls give the same answers, webhooks, faults and books; another seed gives others.
func TestSameSeedSameEverything(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b neighbour.Behaviour) {
		run := func(seed uint64) []any {
			c := newClient(t, b, seed)
			c.listens = true
			for i := range 8 {
				c.live(fmt.Sprintf("s%d", i))
			}
			c.Heal()
			return []any{c.said, c.mail, c.hits, c.Captures(), c.Returns(), c.Violations()}
		}
		different := false
		for seed := range uint64(20) {
			once := run(seed)
			if again := run(seed); !reflect.DeepEqual(once, again) {
				t.Fatalf("seed %d (-once +again):\n%s", seed, cmp.Diff(once, again))
			}
			different = different || !reflect.DeepEqual(once, run(seed+1000))
		}
		if !different {
			t.Error("all seeds are alike")
		}
	})
}

// After Heal all that is open is decided within an hour, by look-up and by webhook, and nothing goes wrong any more.
func TestHeal(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b neighbour.Behaviour) {
		w := newWorld(t, b, neighbour.Mischief{})
		charges := []gateway.Charge{}
		for range 20 {
			c := w.first(neighbour.Pending)
			w.charge(c)
			charges = append(charges, c)
		}
		_, paid := w.paid()
		w.Mischief = neighbour.Mischief{RefundPending: 1, LateCapture: 1, Lagging: 1}
		w.wantClass(w.refund("r1", paid.Reference, usd(1)), gateway.Pending)
		late := w.first(neighbour.Soft)
		w.wantClass(w.charge(late), gateway.Rejected)
		w.Mischief = neighbour.Mischief{Broken: 1, TooMany: 1, LookupFails: 1, Lost: 1}
		w.charge(w.first(neighbour.Accepted))
		w.now = w.now.Add(time.Minute)

		w.Heal()
		healed := w.now
		w.wantClass(w.charge(w.first(neighbour.Accepted)), gateway.Accepted)
		w.now = healed.Add(time.Hour)
		for _, c := range charges {
			if r, found := w.lookup(c.Key); !found || r.Class == gateway.Pending {
				t.Errorf("%s an hour later: %+v", c.Key, r)
			}
		}
		if r, _ := w.lookup("r1"); r.Class == gateway.Pending {
			t.Errorf("the refund an hour later: %+v", r)
		}
		if r, _ := w.lookup(late.Key); b != neighbour.LikePayabl && r.Class != gateway.Accepted {
			t.Errorf("the late capture an hour later: %+v", r)
		}
		captures := len(w.Captures())
		w.now = w.now.AddDate(0, 1, 0)
		w.wantCaptures(captures)
		if b == neighbour.LikePayabl {
			return
		}
		told := false
		for _, m := range w.mail {
			told = told || w.read(m).Key == late.Key && m.NotBefore.After(healed) && m.NotBefore.Before(healed.Add(time.Hour))
		}
		if !told {
			t.Error("the late capture is not told within the hour")
		}
	})
}

// A key whose first answer was a 500 is not stuck with it after Heal.
func TestHealForgetsFailures(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		w := newSeededWorld(t, neighbour.LikeStripe, neighbour.Mischief{Broken: 1}, seed)
		c := w.first(neighbour.Accepted)
		w.wantClass(w.charge(c), gateway.Unknown)
		w.Heal()
		w.wantClass(w.charge(c), gateway.Accepted)
		w.wantCaptures(1)
	}
}
