package payabl

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/aggregate/money"
)

// disputeStages are the lists that disputes stand in. A chargeback is booked when the money is gone; a retrieval request
// only asks. payabl. publishes neither reasons nor how one ended.
var disputeStages = map[string]ledgerv1.DisputeStage{
	"chb":               ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_WITHDRAWN,
	"retrieval_request": ledgerv1.DisputeStage_DISPUTE_STAGE_INQUIRY,
}

// listedLate is how long after its day a booking is still looked for. No page says how late one may be listed, and within
// longestRange it costs no request more.
const listedLate = 14 * 24 * time.Hour

// List implements gateway.Lister: it tells of the chargebacks and retrieval requests, which payabl. sends no notifications
// of. What was booked before `from` may be told, too: lists are asked for by days, in a zone that no page names, and a
// booking may be listed late. It has the same id every time.
func (g *Gateway) List(ctx context.Context, conn gateway.Connection, from, to time.Time) iter.Seq2[gateway.Message, error] {
	return func(yield func(gateway.Message, error) bool) {
		all, err := g.disputes(ctx, conn, from, to)
		if err != nil {
			yield(gateway.Message{}, err)
			return
		}
		for _, m := range all {
			if !yield(m, nil) {
				return
			}
		}
	}
}

// disputes are those of some days, the oldest first. There is no order between the lists, so all or none are told.
func (g *Gateway) disputes(ctx context.Context, conn gateway.Connection, from, to time.Time) (all []gateway.Message, err error) {
	seen := map[string]bool{} // ranges share their first and last days
	for _, list := range []string{"retrieval_request", "chb"} {
		for start, end := range backwards(from.Add(-listedLate), to) {
			entries, err := g.diagnose(ctx, conn, params{"type": list, "start_date": start, "end_date": end})
			if err != nil {
				return nil, fmt.Errorf("disputes from %s to %s: %w", start, end, err)
			}
			for _, e := range entries {
				m, err := e.message(list)
				if err != nil {
					return nil, fmt.Errorf("dispute of %s: %w", e.id, err)
				}
				if !seen[m.ID] {
					all = append(all, m)
				}
				seen[m.ID] = true
			}
		}
	}
	slices.SortStableFunc(all, func(a, b gateway.Message) int { return a.At.Compare(b.At) })
	return all, nil
}

// fetched is the body of a message that was fetched: a form of our own, since payabl. has none. It is no notification:
// Verify takes nothing that begins like it, however it is signed, for of a notification more can be chosen freely than is
// signed.
type fetched struct {
	List        string    `json:"list"`
	Transaction string    `json:"transaction"`
	Booked      string    `json:"booked"`
	At          time.Time `json:"at"`
	Currency    string    `json:"currency,omitempty"`
	MinorUnits  int64     `json:"minor_units,omitempty"`
}

// isFetched reports whether a body claims to be in that form.
func isFetched(body []byte) bool { return bytes.HasPrefix(body, []byte("{")) }

// message is an entry of a list. Its id says all that tells one booking from another, since a payment may be charged back
// in parts; what stands between the numbers keeps them from looking like one.
func (t transaction) message(list string) (gateway.Message, error) {
	booked, err := readTime(t.bookedAs) // it does not move with the clocks
	if err != nil {
		return gateway.Message{}, err
	}
	l := fetched{
		List: list, Transaction: t.id, Booked: booked.Format("2006-01-02T15:04:05"), At: t.booked,
		Currency: t.amount.GetCurrencyCode(), MinorUnits: t.amount.GetMinorUnits(),
	}
	body, err := json.Marshal(l)
	return gateway.Message{ID: l.id(), Body: body, At: t.booked}, err
}

func (l fetched) id() string {
	return strings.Join([]string{l.List, l.Transaction, "at", l.Booked, fmt.Sprintf("%s%d", l.Currency, l.MinorUnits)}, ".")
}

// readFetched reads what was fetched. Whose payment it is, Complete asks.
func readFetched(body []byte) (gateway.Notice, error) {
	var l fetched
	err := json.Unmarshal(body, &l)
	stage, known := disputeStages[l.List]
	if err != nil || !known || l.Transaction == "" || l.Currency == "" || l.MinorUnits <= 0 {
		return gateway.Notice{}, errBadFetched
	}
	return gateway.Notice{
		ID: l.id(), Kind: gateway.NoticeDispute, Reference: l.Transaction,
		Dispute: &gateway.Dispute{
			ID: l.id(), ChargeReference: l.Transaction, Stage: stage, Amount: money.New(l.Currency, l.MinorUnits), At: l.At,
		},
	}, nil
}
