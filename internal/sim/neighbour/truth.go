package neighbour

import (
	"slices"
	"time"

	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/sim/invariant"
)

// Captures are the charges that moved money, in the order in which they were asked for.
func (g *Gateway) Captures() []invariant.Capture {
	return alone(g, func(now time.Time) (all []invariant.Capture) {
		for _, r := range g.records {
			s, moved := r.moved(now)
			if !moved || r.of != nil || s.Amount.GetMinorUnits() == 0 {
				continue
			}
			all = append(all, invariant.Capture{
				Merchant: r.merchant, Subscription: r.about.Subscription, PayNumber: r.about.PayNumber, Reference: r.reference,
				Currency: s.Amount.CurrencyCode, Minor: s.Amount.MinorUnits,
				Key: r.key, Connection: r.connection, At: s.at, Denied: r.course[0].Class == gateway.Rejected,
			})
		}
		return all
	})
}

// Returns are the refunds, those that came back, and what the banks took and gave back.
func (g *Gateway) Returns() []invariant.Return {
	return alone(g, func(now time.Time) (all []invariant.Return) {
		for _, r := range g.records {
			s, moved := r.moved(now)
			if !moved || r.of == nil {
				continue
			}
			back := invariant.Return{
				Merchant: r.merchant, Subscription: r.of.about.Subscription, Connection: r.connection,
				Kind: invariant.Refunded, Key: r.key, Reference: r.reference, ChargeReference: r.of.reference,
				Currency: s.Amount.CurrencyCode, Minor: s.Amount.MinorUnits, At: s.at,
			}
			all = append(all, back)
			if last, _ := r.standing(now); last.Reversed {
				back.Kind, back.At = invariant.RefundReversed, last.at
				all = append(all, back)
			}
		}
		for _, d := range g.disputes {
			all = append(all, d.returns()...)
		}
		return all
	})
}

func (d *dispute) returns() (all []invariant.Return) {
	add := func(kind invariant.ReturnKind, at time.Time) {
		if at.IsZero() {
			return
		}
		all = append(all, invariant.Return{
			Merchant: d.of.merchant, Subscription: d.of.about.Subscription, Connection: d.of.connection,
			Kind: kind, Reference: d.id, ChargeReference: d.of.reference,
			Currency: d.amount.CurrencyCode, Minor: d.amount.MinorUnits, At: at,
		})
	}
	add(invariant.ChargedBack, d.withdrawn)
	add(invariant.ChargebackReversed, d.reinstated)
	return all
}

// Knows reports whether a charge or a refund was ever entered into the book under a key.
func (g *Gateway) Knows(key string) bool {
	return alone(g, func(time.Time) bool {
		return slices.ContainsFunc(g.records, func(r *record) bool { return r.key == key })
	})
}

// Violations are what the gateway itself saw the ledger do wrong.
func (g *Gateway) Violations() []string {
	return alone(g, func(time.Time) []string { return slices.Clone(g.violations) })
}
