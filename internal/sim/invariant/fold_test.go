package invariant

import (
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/aggregatetest"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// A fold that depends on more than the events comes out in two ways.
func TestFoldsAreCompared(t *testing.T) {
	t.Parallel()
	h := aggregatetest.Named("a full life, recurring")
	for _, c := range []struct {
		name   string
		change func(s *subscription.State, n int)
		same   bool
	}{
		{"as it is", func(*subscription.State, int) {}, true},
		{"a number", func(s *subscription.State, n int) { s.Paid += uint32(n % 2) }, false},
		{"a time", func(s *subscription.State, n int) { s.Anchor = s.Anchor.Add(time.Duration(n)) }, false},
		{"something in a list", func(s *subscription.State, n int) {
			if n%2 == 1 && len(s.Charges) > 0 {
				c := *s.Charges[0]
				c.Refunded = &ledgerv1.Amounts{Full: &ledgerv1.Money{MinorUnits: int64(n)}}
				s.Charges = append([]*subscription.Charge{&c}, s.Charges[1:]...)
			}
		}, false},
		{"the length of a list", func(s *subscription.State, n int) { s.Attempts = s.Attempts[:max(0, len(s.Attempts)-n%2)] }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := 0
			twice := twice[subscription.State]{evolve: func(s subscription.State, e *ledgerv1.Event) subscription.State {
				s = subscription.Evolve(s, e)
				c.change(&s, n)
				n++
				return s
			}}
			for _, e := range h.Events {
				twice.fold(e.Event)
			}
			if got := twice.same(); got != c.same {
				t.Errorf("got same %t, want %t", got, c.same)
			}
		})
	}
}
