package sim

import (
	"context"
	"math/rand/v2"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/sim/dialect"
	"ledger.internal/ledger/internal/sim/door"
	"ledger.internal/ledger/internal/sim/invariant"
	"ledger.internal/ledger/internal/sim/neighbour"
)

// bank is a gateway as the world has it: one that only the simulation knows, or a real adapter with its vendor.
type bank interface {
	Connect(context.Context, gateway.Connection) error
	Act(*rand.Rand) (what string, ok bool)
	Heal()
	Captures() []invariant.Capture
	Returns() []invariant.Return
	Knows(key string) bool
	Violations() []string

	// reached is the gateway as a run of the ledger calls it.
	reached(*ledger) gateway.Gateway
	// next is when something happens there by itself, and pass has happen what was to happen until now.
	next() (time.Time, bool)
	pass()
	// token is what a buyer pays with for the first time; empty if he is sent to a page of the gateway's.
	token(r *rand.Rand, conn gateway.Connection, id string) string
	// credentials completes a connection by what proves that the ledger may use it.
	credentials(gateway.Connection) gateway.Connection
	// adopt gives an account a method that it had before the ledger came, and perhaps a schedule of its own.
	adopt(w *world, conn gateway.Connection, sub string, amount *ledgerv1.Money, byGateway bool) *ledgerv1.PaymentMethod
	// final says that what it has declined is never captured.
	final() bool
	// expressible reports whether an amount can be asked for there at all.
	expressible(*ledgerv1.Money) bool
}

// manners is a gateway of package neighbour.
type manners struct{ *neighbour.Gateway }

func (m manners) reached(l *ledger) gateway.Gateway { return door.ToGateway(m.Gateway, guard{l}) }

func (manners) next() (at time.Time, ok bool) { return at, false }

func (manners) pass() {}

func (manners) token(_ *rand.Rand, _ gateway.Connection, id string) string { return "tok_" + id }

func (manners) credentials(conn gateway.Connection) gateway.Connection { return conn }

func (manners) final() bool { return false }

func (manners) expressible(*ledgerv1.Money) bool { return true }

func (m manners) adopt(w *world, conn gateway.Connection, sub string, amount *ledgerv1.Money, byGateway bool) *ledgerv1.PaymentMethod {
	method := &ledgerv1.PaymentMethod{Reference: "pm_imported_" + conn.Merchant + "_" + sub}
	if w.faults.IntN(8) > 0 { // what is imported is not always right
		m.Store(conn, sub, method)
	}
	if byGateway {
		m.Schedule(conn, sub, amount)
	}
	return method
}

// vendor is a real adapter in front of its vendor.
type vendor struct{ *dialect.House }

func (v vendor) reached(l *ledger) gateway.Gateway {
	return v.Adapter(door.ToAPI(string(v.Kind), v.House, guard{l}), l.world.ledgerClock)
}

func (v vendor) next() (time.Time, bool) { return v.Next() }

func (v vendor) pass() { v.Pass() }

func (v vendor) token(r *rand.Rand, conn gateway.Connection, _ string) string {
	return v.Token(conn, r)
}

func (v vendor) credentials(conn gateway.Connection) gateway.Connection { return v.Credentials(conn) }

func (vendor) final() bool { return true }

func (v vendor) expressible(m *ledgerv1.Money) bool { return v.Expressible(m) }

func (v vendor) adopt(w *world, conn gateway.Connection, _ string, _ *ledgerv1.Money, _ bool) *ledgerv1.PaymentMethod {
	return v.Store(conn, w.faults.IntN(8) == 0) // what is imported is not always right
}
