package neighbour_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/sim/neighbour"
)

// How one message becomes several, or none.
func TestWebhooks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                    string
		mischief                neighbour.Mischief
		genuine, forged, edited int
		fault                   string
	}{
		{name: "well behaved", genuine: 1},
		{name: "lost", mischief: neighbour.Mischief{Lost: 1}, fault: neighbour.WebhookLost},
		{name: "twice", mischief: neighbour.Mischief{Twice: 1}, genuine: 2, fault: neighbour.WebhookTwice},
		{name: "ten times", mischief: neighbour.Mischief{TenTimes: 1}, genuine: 10, fault: neighbour.WebhookTenTimes},
		{name: "edited", mischief: neighbour.Mischief{Edited: 1}, genuine: 1, edited: 1, fault: neighbour.WebhookEdited},
		{name: "forged", mischief: neighbour.Mischief{Forged: 1}, genuine: 1, forged: 1, fault: neighbour.WebhookForged},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, neighbour.LikePayPal, c.mischief)
			charge, _ := w.paid()
			var genuine, forged, edited int
			for _, m := range w.mail {
				n, err := w.Verify(w.conn, m.Header, m.Body, w.now)
				switch {
				case !m.Genuine:
					forged++
					if !errors.Is(err, neighbour.ErrBadSignature) {
						t.Errorf("a forged one: %v", err)
					}
				case m.Edited:
					edited++
					if n.ID != w.mail[0].ID || bytes.Equal(m.Body, w.mail[0].Body) || err != nil {
						t.Errorf("an edited one: %+v, %v", n, err)
					}
				default:
					genuine++
					if n.Kind != gateway.NoticeCharge || n.Key != charge.Key || n.Subscription != charge.Subscription || n.ID != m.ID || err != nil {
						t.Errorf("got %+v, %v", n, err)
					}
				}
				if m.Path() != "/webhooks/paypal/acme/main" {
					t.Errorf("got the path %s", m.Path())
				}
			}
			if genuine != c.genuine || forged != c.forged || edited != c.edited {
				t.Errorf("got %d genuine, %d forged, %d edited", genuine, forged, edited)
			}
			if c.fault != "" {
				w.wantHit(c.fault)
			}
		})
	}
}

// A message that must not be lost is only reworded: the edited one may arrive first, and is then the one that counts.
func TestEditedMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, neighbour.LikePayPal, neighbour.Mischief{Edited: 1})
	c, _ := w.paid()
	if got := w.read(w.mail[1]).Key; got == c.Key {
		t.Errorf("an edited hint still names %s", got)
	}
	w.mail = nil
	w.Schedule(w.conn, "theirs", usd(900))
	r := rand.New(rand.NewPCG(1, 0))
	for range 20 {
		if what, _ := w.Act(r); what == neighbour.SelfAgreement {
			w.mail = w.mail[:len(w.mail)-2]
		}
	}
	for i := 0; i < len(w.mail); i += 2 {
		if d := cmp.Diff(w.read(w.mail[i]), w.read(w.mail[i+1]), protocmp.Transform()); d != "" || !w.mail[i+1].Edited {
			t.Errorf("edited is %v (-first +edited):\n%s", w.mail[i+1].Edited, d)
		}
	}
}

func TestWhenWebhooksArrive(t *testing.T) {
	t.Parallel()
	arrives := func(m neighbour.Mischief) time.Time {
		w := newWorld(t, neighbour.LikePayPal, m)
		w.paid()
		return w.mail[0].NotBefore
	}
	if at := arrives(neighbour.Mischief{}); !at.After(start) || at.After(start.Add(time.Minute)) {
		t.Errorf("one that is well behaved arrives at %s", at)
	}
	if at := arrives(neighbour.Mischief{Early: 1}); !at.IsZero() {
		t.Errorf("one that is early arrives at %s", at)
	}
	if at := arrives(neighbour.Mischief{Late: 1}); !at.After(start.Add(time.Minute)) || at.After(start.Add(6*time.Hour)) {
		t.Errorf("one that is late arrives at %s", at)
	}
}

func TestSignatures(t *testing.T) {
	t.Parallel()
	w := newWorld(t, neighbour.LikeStripe, neighbour.Mischief{})
	w.paid()
	m := w.mail[0]
	want := w.read(m)
	if got, err := w.Read(w.conn, m.Body); err != nil || cmp.Diff(want, got, protocmp.Transform()) != "" {
		t.Errorf("read later: %+v, %v", got, err)
	}
	for i := range m.Body {
		changed := bytes.Clone(m.Body)
		changed[i] ^= 1
		if _, err := w.Verify(w.conn, m.Header, changed, w.now); !errors.Is(err, neighbour.ErrBadSignature) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	other := w.conn
	other.WebhookSecret = ""
	if _, err := w.Verify(other, m.Header, m.Body, w.now); !errors.Is(err, neighbour.ErrNoSecret) {
		t.Errorf("no secret: %v", err)
	}
	other = w.conn
	other.ID = "second"
	if _, err := w.Verify(other, m.Header, m.Body, w.now); !errors.Is(err, gateway.ErrUnreadable) {
		t.Errorf("another connection: %v", err)
	}
}

func TestSilentGateway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, neighbour.LikePayabl, neighbour.Mischief{TenTimes: 1, Forged: 1})
	_, paid := w.paid()
	w.refund("r1", paid.Reference, usd(1))
	if len(w.mail) > 0 {
		t.Errorf("got %d webhooks, want none", len(w.mail))
	}
}

// Whoever looks up what a message names finds it, if nobody will look again: a record that still hid would be lost.
func TestWhatMustNotBeLostIsFound(t *testing.T) {
	t.Parallel()
	for _, heal := range []bool{false, true} {
		w := newWorld(t, neighbour.LikeAuthorizeNet, neighbour.Mischief{})
		_, paid := w.paid()
		w.mail = nil
		w.Mischief = neighbour.Mischief{Lagging: 1, LateCapture: 1, RefundReversed: 1, Lost: 1}
		for i := range 2000 {
			w.refund(fmt.Sprintf("r%d", i), paid.Reference, usd(1))
		}
		w.charge(w.first(neighbour.Soft))
		if heal {
			w.mail = nil
			w.Heal()
		}
		if len(w.mail) < 1900 {
			t.Fatalf("got %d messages, want one of each", len(w.mail))
		}
		slices.SortFunc(w.mail, func(a, b neighbour.Webhook) int { return a.NotBefore.Compare(b.NotBefore) })
		for _, m := range w.mail {
			w.now = m.NotBefore
			key := w.read(m).Key
			if r, found := w.lookup(key); !found || r.Class != gateway.Accepted && !r.Reversed {
				t.Fatalf("healed %v: %s is told at %s and found %v: %+v", heal, key, m.NotBefore, found, r)
			}
		}
	}
}
