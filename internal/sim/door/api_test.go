package door_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/sim/door"
)

// api is a gateway's, as far as a door needs one: it looks with GET.
type api struct{ *house }

func (api) About(r *http.Request) string { return r.URL.Path }

func (api) Looks(r *http.Request) bool { return r.Method == http.MethodGet }

// What an adapter is told of a request that failed at the door is what the network would tell it.
func TestAPI(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method        string
		before, after error
		effects       int
		sent, fails   bool
		asked         []string
	}{
		"nobody minds":            {method: "POST", effects: 1, asked: []string{"before gateway.some", "after gateway.some"}},
		"not sent":                {method: "POST", before: fmt.Errorf("%w: today", door.ErrNotSent), fails: true, asked: []string{"before gateway.some"}},
		"lost on the way":         {method: "POST", before: errGuard, fails: true, sent: true, asked: []string{"before gateway.some"}},
		"the answer is lost":      {method: "POST", after: errGuard, effects: 1, fails: true, sent: true, asked: []string{"before gateway.some", "after gateway.some"}},
		"a look fails":            {method: "GET", before: errGuard, fails: true, sent: true, asked: []string{"before gateway.some"}},
		"a look loses its answer": {method: "GET", after: errGuard, effects: 1, asked: []string{"before gateway.some"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			g := &guard{before: c.before, after: c.after}
			req, err := http.NewRequestWithContext(t.Context(), c.method, "https://api.example/v1", nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = gateway.Exchange(&http.Client{Transport: door.ToAPI("some", api{h}, g)}, req, time.Minute)
			sent := err != nil && gateway.Failed(err).Class == gateway.Unknown
			if (err != nil) != c.fails || sent != c.sent || h.posted != c.effects || !slices.Equal(g.asked, c.asked) {
				t.Errorf("got %v, %d effects, asked %v", err, h.posted, g.asked)
			}
		})
	}
}
