package sim

import (
	"encoding/json"
	"math"
	"math/rand/v2"

	"ledger.internal/ledger/internal/sim/dialect"
	"ledger.internal/ledger/internal/sim/door"
	"ledger.internal/ledger/internal/sim/neighbour"
)

// Mix is what a seed is made of: how big its world is, and what goes wrong in it how often. Each seed draws its own,
// with some kinds of faults left out, because a world in which everything goes wrong at once hides what one fault
// alone would show.
type Mix struct {
	Merchants int
	Callers   int
	Commands  int // of each caller
	Endpoints int // of each merchant
	Window    int // of each handler
	LiveViews bool
	Gateways  []neighbour.Behaviour
	Adapters  []dialect.Kind // of the gateways that are real adapters; empty for the others
	Weekly    bool           // subscriptions are paid weekly rather than monthly
	Cluster   bool           // several servers keep the log

	// All of these are probabilities at each step, or at each call.
	Crash  float64
	Outage float64 // of a crash: nobody starts the ledger again for days
	Stop   float64 // as an operator stops it
	Hold   float64 // a call is held up for many steps
	HangUp float64 // a caller does not wait for his answer
	Cut    float64 // nobody can reach one neighbour for a while
	Jump   float64 // the ledger's clock is set wrong, or right again
	Act    float64 // a gateway does something by itself
	// Fail and Lose are by neighbour: a call fails before it has an effect, or after it, with the answer lost.
	Fail, Lose map[string]float64

	// Of a log that several servers keep.
	Mute     float64 // its leader drops appends for a while
	Apart    float64 // its leader's appends do not reach the others for a while
	Deposed  float64 // of that: they never do, for another one leads then
	Leaking  float64 // of that: subscriptions have shown them
	Failover float64 // another server leads from now on
	Late     float64 // an append is delayed
	Others   float64 // another ledger appends an event

	Gateway   neighbour.Mischief
	Receivers neighbour.ReceiverMischief
}

// neighbours in a fixed order.
var neighbours = []string{door.Log, door.Work, door.Views, door.Gateway, door.Receiver, caller}

// caller is who gives commands: his lines can be cut like any other's.
const caller = "caller"

// drawMix draws a seed's mix.
func drawMix(r *rand.Rand) Mix {
	m := Mix{
		Merchants: 1 + r.IntN(2)*r.IntN(2),
		Callers:   1 + r.IntN(3),
		Commands:  3 + r.IntN(9),
		Endpoints: 1 + r.IntN(2),
		Window:    1 + r.IntN(16),
		LiveViews: r.IntN(8) == 0,
		Weekly:    r.IntN(3) > 0,
		Fail:      map[string]float64{}, Lose: map[string]float64{},
	}
	all := neighbour.Behaviours()
	for range 1 + r.IntN(2) {
		m.Gateways = append(m.Gateways, all[r.IntN(len(all))])
	}
	// at draws a probability between a low and a high one, evenly by magnitude; in a part of the seeds it is zero.
	at := func(low, high float64) float64 {
		if r.IntN(3) == 0 {
			return 0
		}
		return low * math.Pow(high/low, r.Float64())
	}
	m.Crash = 0.0007 * math.Pow(12, r.Float64()) // every seed crashes
	m.Outage = at(0.01, 0.3)
	m.Stop = at(0.0002, 0.004)
	m.Hold = at(0.001, 0.05)
	m.HangUp = at(0.0005, 0.01)
	m.Cut = at(0.0003, 0.003)
	m.Jump = at(0.0003, 0.003)
	m.Act = at(0.001, 0.02)
	for _, n := range neighbours {
		m.Fail[n] = at(0.002, 0.1)
		m.Lose[n] = at(0.002, 0.1)
	}
	m.Gateway = neighbour.DrawMischief(r)
	m.Receivers = neighbour.DrawReceiverMischief(r)
	if m.Cluster = r.IntN(2) == 0; m.Cluster {
		m.Mute = at(0.0005, 0.005)
		m.Apart = at(0.0005, 0.005)
		m.Deposed = at(0.1, 1)
		m.Leaking = at(0.05, 0.3)
		m.Failover = at(0.0003, 0.003)
		m.Late = at(0.002, 0.1)
		m.Others = at(0.0003, 0.003)
	}
	for range m.Gateways {
		kinds := append(dialect.Kinds(), "", "")
		m.Adapters = append(m.Adapters, kinds[r.IntN(len(kinds))])
	}
	return m
}

// calm is a mix in which nothing goes wrong: one merchant, one caller, one gateway.
func calm(b neighbour.Behaviour) func(*Mix) {
	return func(m *Mix) {
		*m = Mix{Merchants: 1, Callers: 1, Endpoints: 1, Window: 4, Gateways: []neighbour.Behaviour{b}}
	}
}

// String is the whole mix on one line.
func (m Mix) String() string {
	b, err := json.Marshal(m)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
