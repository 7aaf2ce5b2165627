package neighbour_test

import (
	"testing"
	"time"

	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/sim/neighbour"
)

func TestTraits(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b neighbour.Behaviour) {
		if traits := newWorld(t, b, neighbour.Mischief{}).Traits(); traits.Horizon < 10*time.Minute {
			t.Errorf("the horizon is %s, want 10 minutes at least", traits.Horizon)
		}
	})
}

// What a gateway does with a key that comes a second time.
func TestRepeatedKeys(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		behaviour neighbour.Behaviour
		after     time.Duration
		class     gateway.Class
		captures  int
		blamed    int
	}{
		{neighbour.LikeStripe, 23 * time.Hour, gateway.Accepted, 1, 0},
		{neighbour.LikeStripe, 25 * time.Hour, gateway.Accepted, 2, 1},
		{neighbour.LikePayPal, 2 * time.Hour, gateway.Accepted, 1, 0},
		{neighbour.LikePayPal, 5 * time.Hour, gateway.Accepted, 1, 1}, // longer than promised
		{neighbour.LikePayPal, 7 * time.Hour, gateway.Accepted, 2, 1},
		{neighbour.LikePayabl, time.Second, gateway.Accepted, 2, 1},
		{neighbour.LikeBraintree, 10 * time.Second, gateway.Unknown, 1, 1},
		{neighbour.LikeBraintree, time.Minute, gateway.Accepted, 2, 1},
		{neighbour.LikeAuthorizeNet, 7 * time.Hour, gateway.Accepted, 1, 0},
		{neighbour.LikeAuthorizeNet, 9 * time.Hour, gateway.Accepted, 2, 1},
	} {
		t.Run(string(c.behaviour)+" after "+c.after.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.behaviour, neighbour.Mischief{})
			asked, first := w.paid()
			w.now = w.now.Add(c.after)
			second := w.charge(asked)
			w.wantClass(second, c.class)
			w.wantCaptures(c.captures)
			w.wantViolations(c.blamed)
			if same := second.Reference == first.Reference; c.class == gateway.Accepted && same != (c.captures == 1) {
				t.Errorf("got %s, and %s before", second.Reference, first.Reference)
			}
		})
	}
}

// The first answer is what the gateway said then, whatever has become of it; the present state is that.
func TestAnswersToRepeatedKeys(t *testing.T) {
	t.Parallel()
	for b, want := range map[neighbour.Behaviour]bool{neighbour.LikeStripe: true, neighbour.LikeAuthorizeNet: false} {
		w := newWorld(t, b, neighbour.Mischief{})
		c := w.first(neighbour.Pending)
		w.wantClass(w.charge(c), gateway.Pending)
		w.now = w.now.Add(7 * time.Hour)
		for found, _ := w.lookup(c.Key); found.Class == gateway.Pending; found, _ = w.lookup(c.Key) {
			c = w.first(neighbour.Pending) // this one takes longer
			w.charge(c)
			w.now = w.now.Add(7 * time.Hour)
		}
		if pending := w.charge(c).Class == gateway.Pending; pending != want {
			t.Errorf("%s: pending is %v, want %v", b, pending, want)
		}
		w.wantViolations(0)
	}
}

// A gateway that repeats its first answer repeats a 500 too, whether there was an effect or not. A look-up knows.
func TestFailureIsRepeated(t *testing.T) {
	t.Parallel()
	w := newWorld(t, neighbour.LikeStripe, neighbour.Mischief{Broken: 1})
	done := 0
	for range 20 {
		c := w.first(neighbour.Accepted)
		w.wantClass(w.charge(c), gateway.Unknown)
		w.wantClass(w.charge(c), gateway.Unknown)
		if r, found := w.lookup(c.Key); found {
			w.wantClass(r, gateway.Accepted)
			done++
		}
	}
	w.wantHit(neighbour.KeyFailureAgain)
	if done == 0 || done == 20 {
		t.Errorf("%d of 20 had an effect, want some and not all", done)
	}
	w.wantCaptures(done)
	w.wantViolations(0)
}

// What a repeated key is answered is told as well as what the first call is answered.
func TestRepeatedAnswerIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, neighbour.LikeStripe, neighbour.Mischief{Untold: 1})
	c := w.first(neighbour.Soft)
	w.wantClass(w.charge(c), gateway.Unknown)
	w.wantClass(w.charge(c), gateway.Rejected)
	c.Key, c.Attempt, c.Token = "again", 2, neighbour.Token(neighbour.Accepted, "again")
	w.charge(c)
	w.wantViolations(0)
}

// A key with other parameters is not carried out where keys are compared.
func TestKeyWithAnotherAmount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, neighbour.LikeStripe, neighbour.Mischief{})
	c, _ := w.paid()
	c.Amount = usd(1)
	w.wantClass(w.charge(c), gateway.Unknown)
	w.wantCaptures(1)
	w.wantViolations(1)
}

// What is unknown to the ledger is known to a look-up if it happened, and never charged twice by looking.
func TestUnknown(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b neighbour.Behaviour) {
		for m, captures := range map[neighbour.Mischief]int{{Untold: 1}: 1, {LostOnTheWay: 1}: 0} {
			w := newWorld(t, b, m)
			c := w.first(neighbour.Accepted)
			r := w.charge(c)
			w.wantClass(r, gateway.Unknown)
			if r.Why == "" || r.Reference != "" {
				t.Errorf("got %+v, want a reason and nothing else", r)
			}
			if _, found := w.lookup(c.Key); found != (captures == 1) {
				t.Errorf("%+v: found is %v", m, found)
			}
			w.wantCaptures(captures)
		}
	})
}

// What was turned away has not happened, and can come again under the same key.
func TestTurnedAway(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b neighbour.Behaviour) {
		for m, config := range map[neighbour.Mischief]bool{{TooMany: 1}: false, {Unauthorized: 1}: true} {
			w := newWorld(t, b, m)
			c := w.first(neighbour.Accepted)
			r := w.charge(c)
			w.wantClass(r, gateway.NotSent)
			if r.Config != config || r.Why == "" {
				t.Errorf("got %+v", r)
			}
			w.Mischief = neighbour.Mischief{}
			w.wantClass(w.charge(c), gateway.NotSent) // for a while
			w.now = w.now.Add(30 * time.Minute)
			w.wantClass(w.charge(c), gateway.Accepted)
			w.wantCaptures(1)
			w.wantViolations(0)
		}
	})
}

// A record may hide from look-ups, never as long as the horizon: then the emptiness would be taken for a proof.
func TestLaggingLookups(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b neighbour.Behaviour) {
		w := newWorld(t, b, neighbour.Mischief{Lagging: 1})
		for range 50 {
			c, _ := w.paid()
			if _, found := w.lookup(c.Key); found {
				t.Error("found at once")
			}
			w.now = w.now.Add(w.Traits().Horizon)
			if _, found := w.lookup(c.Key); !found {
				t.Error("not found after the horizon")
			}
		}
		w.wantHit(neighbour.LookupNotYet)
		w.Mischief.LookupFails = 1
		if _, found, err := w.Lookup(t.Context(), w.conn, "key-1", start); err == nil || found {
			t.Errorf("found %v, error %v, want an error", found, err)
		}
	})
}

// What the gateway sees the ledger do wrong, and what is right.
func TestBlame(t *testing.T) {
	t.Parallel()
	second := func(c gateway.Charge) gateway.Charge {
		c.Key, c.Attempt = c.Key+"-2", 2
		c.Token = neighbour.Token(neighbour.Accepted, c.Key)
		return c
	}
	for _, c := range []struct {
		name     string
		mischief neighbour.Mischief
		do       func(*world)
		blamed   int
	}{
		{name: "a second key after a decline", do: func(w *world) {
			c := w.first(neighbour.Soft)
			w.charge(c)
			w.charge(second(c))
		}},
		{name: "a second key for what is paid", do: func(w *world) {
			c, _ := w.paid()
			w.charge(second(c))
		}, blamed: 1},
		{name: "a second key for what is in doubt", mischief: neighbour.Mischief{Untold: 1}, do: func(w *world) {
			c := w.first(neighbour.Soft)
			w.charge(c)
			w.charge(second(c))
		}, blamed: 1},
		{name: "a second key after the look-up of a decline", mischief: neighbour.Mischief{Untold: 1}, do: func(w *world) {
			c := w.first(neighbour.Soft)
			w.charge(c)
			w.lookup(c.Key)
			w.charge(second(c))
		}},
		{name: "a second key after a look-up that proves nothing", mischief: neighbour.Mischief{LostOnTheWay: 1}, do: func(w *world) {
			c := w.first(neighbour.Accepted)
			w.charge(c)
			w.lookup(c.Key)
			w.charge(second(c))
		}, blamed: 1},
		{name: "a second key after proof of absence", mischief: neighbour.Mischief{LostOnTheWay: 1}, do: func(w *world) {
			c := w.first(neighbour.Accepted)
			w.charge(c)
			w.now = w.now.Add(w.Traits().Horizon)
			w.lookup(c.Key)
			w.charge(second(c))
		}},
		{name: "the same key after proof of absence", mischief: neighbour.Mischief{LostOnTheWay: 1}, do: func(w *world) {
			c := w.first(neighbour.Accepted)
			w.charge(c)
			w.now = w.now.AddDate(0, 0, 2)
			w.lookup(c.Key)
			w.charge(c)
		}},
		{name: "a second key after what was turned away", mischief: neighbour.Mischief{TooMany: 1}, do: func(w *world) {
			c := w.first(neighbour.Accepted)
			w.charge(c)
			w.charge(second(c))
		}},
		{name: "another try of what was refused for good", do: func(w *world) {
			c := w.first(neighbour.Hard)
			w.charge(c)
			again := second(c)
			again.Token = c.Token
			w.charge(again)
		}, blamed: 1},
		{name: "more is asked back than was captured", do: func(w *world) {
			_, r := w.paid()
			w.refund("r1", r.Reference, usd(4000))
			w.refund("r2", r.Reference, usd(701))
		}, blamed: 1},
		{name: "all of it is asked back in parts", do: func(w *world) {
			_, r := w.paid()
			w.refund("r1", r.Reference, usd(4000))
			w.refund("r2", r.Reference, usd(700))
		}},
		{name: "asked back after a return at the desk", do: func(w *world) {
			_, r := w.paid()
			w.ReturnAtDesk("acme", "main", r.Reference)
			w.refund("r1", r.Reference, usd(4700))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, b neighbour.Behaviour) {
				w := newWorld(t, b, c.mischief)
				c.do(w)
				w.wantViolations(c.blamed)
			})
		})
	}
}
