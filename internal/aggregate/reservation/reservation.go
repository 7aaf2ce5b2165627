// Package reservation decides which subscription may ask a buyer for the first payment of a price point, so that a
// buyer who tries again while nobody knows what became of the first try does not pay twice.
//
// A reservation only says who has it. Whether its holder still needs it stands in the holder's own stream, and so
// nobody ever has to give one back.
package reservation

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
)

// Category is the category of reservation streams.
const Category = "reservation"

// Stream names the stream of a buyer and a price point. It holds a hash of them: a stream's name outlives the person.
// The texts are hashed with their lengths, so that no two triples run together and nothing depends on how they print.
func Stream(merchant, buyer, product string, pricePoint uint32) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d:%s%d:%s%d", len(buyer), buyer, len(product), product, pricePoint))
	hash := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:20])
	return Category + "-" + merchant + "." + strings.ToLower(hash)
}

// Type ties State and Evolve to the runner.
func Type() aggregate.Type[State] {
	return aggregate.Type[State]{
		Category: Category,
		New:      func() State { return State{} },
		Evolve:   Evolve,
	}
}

// State says who has the reservation, and since when. The zero State is one that nobody ever had.
type State struct {
	Merchant, Subscription string
	At                     time.Time
}

// Evolve is the state after an event. Events of other aggregates change nothing.
func Evolve(s State, e *ledgerv1.Event) State {
	r := e.GetFirstPaymentReserved()
	if r == nil {
		return s
	}
	return State{Merchant: r.MerchantId, Subscription: r.SubscriptionId, At: e.Metadata.GetRecordedAt().AsTime()}
}

// Reserve takes the reservation for a subscription: from nobody, or from Past, of which the caller knows that its first
// payment is decided. Taking what one has changes nothing, unless Past is oneself: then it begins anew.
type Reserve struct {
	Merchant, Subscription string
	Past                   string
}

// Decide implements aggregate.Command.
func (c Reserve) Decide(s State) ([]*ledgerv1.Event, error) {
	switch s.Subscription {
	case "", c.Past: // also if it is the one that asks: it begins anew
	case c.Subscription:
		return nil, nil
	default:
		return nil, aggregate.Refuse("FIRST_PAYMENT_IN_DOUBT",
			"another first payment of this buyer for this price point is not decided yet").With("subscription", s.Subscription)
	}
	return []*ledgerv1.Event{{Kind: &ledgerv1.Event_FirstPaymentReserved{FirstPaymentReserved: &ledgerv1.FirstPaymentReserved{
		MerchantId: c.Merchant, SubscriptionId: c.Subscription,
	}}}}, nil
}
