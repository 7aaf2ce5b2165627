package payabl

import (
	"net/http"
	"testing"
	"time"

	"ledger.internal/ledger/internal/adapters/clock"
	"ledger.internal/ledger/internal/adapters/gateway"
)

func TestKind(t *testing.T) {
	t.Parallel()
	if s := (Kind{}).Settings(); len(s) != 0 {
		t.Errorf("settings %v, want none: every merchant has an account of his own", s)
	}
	if err := (Kind{}).Check(); err != nil {
		t.Error(err)
	}
	env := gateway.Environment{Client: &http.Client{}, Timeout: time.Second, Clock: clock.NewStepped(time.Unix(0, 0))}
	g, ok := Kind{}.Open(env).(*Gateway)
	if !ok || g.c.HTTPClient != env.Client || g.c.Timeout != env.Timeout || g.c.Clock != env.Clock {
		t.Errorf("got %+v, want what all adapters share in it", g)
	}
	var _ gateway.Prover = g
}
