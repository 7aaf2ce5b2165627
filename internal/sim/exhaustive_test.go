package sim

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/sim/neighbour"
)

// canonical is a life that the ledger has to survive whatever call it dies at.
type canonical struct {
	name   string
	at     neighbour.Behaviour
	change func(*Mix)
	script []act
	money  bool // money is at stake at every call: the ledger dies at every two of them, too
	// cluster has several servers keep the log: it is not the ledger's alone then, and appends are read back.
	cluster bool
}

var lives = []canonical{
	{name: "trial, rebill", at: neighbour.LikePayabl, money: true, script: []act{
		sell(neighbour.Accepted, trial(7)), wait(8 * day),
	}},
	{name: "refund in parts", at: neighbour.LikeBraintree, money: true, script: []act{
		sell(neighbour.Accepted, nil), wait(time.Hour), refunding(1000), refunding(0), wait(time.Hour),
	}},
	{name: "charged, and the answer is lost", at: neighbour.LikeAuthorizeNet, money: true,
		change: func(m *Mix) { m.Gateway.Untold = 1 }, script: []act{sell(neighbour.Accepted, nil), wait(3 * day)}},
	{name: "disputed, lost and won back", at: neighbour.LikeStripe, money: true, script: []act{
		sell(neighbour.Accepted, nil), disputed(ledgerv1.DisputeStage_DISPUTE_STAGE_OPENED, 0),
		disputed(ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_WITHDRAWN, 0), refunding(500),
		disputed(ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_REINSTATED, 0),
		disputed(ledgerv1.DisputeStage_DISPUTE_STAGE_CLOSED, ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_WON), wait(time.Hour),
	}},
	{name: "declined softly, dunning", at: neighbour.LikePayPal, change: func(m *Mix) { m.Gateway.Soft = 0.7 }, script: []act{
		sell(neighbour.Accepted, nil), wait(45 * day),
	}},
	{name: "declined for good, new method", at: neighbour.LikeStripe, change: func(m *Mix) { m.Gateway.Hard = 1 }, script: []act{
		sell(neighbour.Accepted, nil), wait(32 * day), replacing(neighbour.Accepted), wait(day),
	}},
	{name: "cancelled at the period's end", at: neighbour.LikeBraintree, script: []act{
		sell(neighbour.Accepted, nil), wait(day), cancelling(true), wait(31 * day),
	}},
	{name: "paused over a due date", at: neighbour.LikePayabl, script: []act{
		sell(neighbour.Accepted, nil), wait(day), pausing(), wait(40 * day), resuming(), wait(day),
	}},
	{name: "pending, then decided", at: neighbour.LikeStripe, script: []act{sell(neighbour.Pending, nil), wait(4 * day)}},
	{name: "installments to the end", at: neighbour.LikeAuthorizeNet, script: []act{
		sell(neighbour.Accepted, func(t *ledgerv1.Terms) {
			t.Kind, t.Installments, t.Period = ledgerv1.PriceKind_PRICE_KIND_INSTALLMENTS, 2, ledgerv1.Period_PERIOD_WEEKLY
		}), wait(8 * day),
	}},
	{name: "another amount than asked", at: neighbour.LikePayPal, script: []act{
		sell(neighbour.Mismatch, nil), wait(time.Hour), resolving(), wait(time.Hour),
	}},
	{name: "rebilled by hand while past due", at: neighbour.LikePayabl, change: func(m *Mix) { m.Gateway.Soft = 0.5 }, script: []act{
		sell(neighbour.Accepted, nil), wait(32 * day), rebilling(), wait(day), cancelling(false), wait(time.Hour),
	}},
}

func trial(days uint32) func(*ledgerv1.Terms) {
	return func(t *ledgerv1.Terms) {
		t.Initial = &ledgerv1.InitialPayment{Amounts: price("USD", 100, 0), Days: days}
	}
}

func (c canonical) plan(crashAt ...int) plan {
	return plan{crashAt: crashAt, script: c.script, change: func(m *Mix) {
		calm(c.at)(m)
		m.Cluster = c.cluster
		if c.change != nil {
			c.change(m)
		}
	}}
}

// The ledger dies at every single call through its doors, before it is made and after. Without LEDGER_SIM_CRASHES=all it
// does so at some of them only.
func TestEveryCrash(t *testing.T) {
	every := 60
	if os.Getenv("LEDGER_SIM_CRASHES") != "" {
		every = 1
	}
	var crashes atomic.Int64
	t.Run("lives", func(t *testing.T) {
		for _, c := range lives {
			for _, cluster := range []bool{false, true} {
				c := c
				c.cluster = cluster
				t.Run(fmt.Sprintf("%s, on a cluster: %v", c.name, c.cluster), func(t *testing.T) {
					t.Parallel()
					calls := undisturbed(t, c)
					for k := 1; k <= calls; k += every {
						survives(t, c, k)
						crashes.Add(1)
					}
				})
			}
		}
	})
	fmt.Printf("crashes at every %d. call: %d lives, %d crashes\n", every, len(lives), crashes.Load())
}

// The ledger dies at two calls where money is at stake. At which two is drawn, unless LEDGER_SIM_CRASHES=pairs asks for
// all.
func TestTwoCrashes(t *testing.T) {
	all, draw := os.Getenv("LEDGER_SIM_CRASHES") == "pairs", 10
	if os.Getenv("LEDGER_SIM_CRASHES") != "" {
		draw = 200
	}
	var pairs atomic.Int64
	t.Run("lives", func(t *testing.T) {
		for i, c := range lives {
			if !c.money {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				calls := undisturbed(t, c)
				r := rand.New(rand.NewPCG(uint64(i), 0))
				for first := 1; first <= calls; first++ {
					// The second one may come as late as in a life that began again.
					for second := first + 1; second <= calls+calls/2; second++ {
						if all || r.IntN(calls*calls) < draw {
							survives(t, c, first, second)
							pairs.Add(1)
						}
					}
				}
			})
		}
	})
	fmt.Printf("two crashes in one life: %d pairs of calls\n", pairs.Load())
}

// undisturbed lives a life without a crash, and says how many calls it takes.
func undisturbed(t *testing.T, c canonical) int {
	t.Helper()
	r := run(t, 1, c.plan())
	if len(r.violations) > 0 || r.calls == 0 {
		t.Fatalf("without a crash: %v after %d calls\n%v", r.violations, r.calls, strings.Join(r.trace, "\n"))
	}
	return r.calls
}

func survives(t *testing.T, c canonical, crashAt ...int) {
	t.Helper()
	if r := run(t, 1, c.plan(crashAt...)); len(r.violations) > 0 {
		t.Fatalf("crash at %v: %v\n%v", crashAt, r.violations, strings.Join(r.trace, "\n"))
	}
}
