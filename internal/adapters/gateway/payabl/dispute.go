package payabl

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

// disputeStages are the lists that disputes stand in. A chargeback is booked when the money is gone; a retrieval request
// only asks. payabl. publishes neither reasons nor how one ended.
var disputeStages = map[string]ledgerv1.DisputeStage{
	"chb":               ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_WITHDRAWN,
	"retrieval_request": ledgerv1.DisputeStage_DISPUTE_STAGE_INQUIRY,
}

// Disputes lists the chargebacks and retrieval requests booked from one day to another, both included, as notices: payabl.
// sends none of them. Each has the same ID and the same Dispute whenever it is listed, so days may be asked for again, and
// should be: nothing says how late a booking is listed. Subscription is empty for a payment that is not of our asking.
func (g *Gateway) Disputes(ctx context.Context, conn gateway.Connection, from, to time.Time) ([]gateway.Notice, error) {
	var all []gateway.Notice
	for _, list := range []string{"chb", "retrieval_request"} {
		for start, end := range backwards(from, to) {
			entries, err := g.diagnose(ctx, conn, params{"type": list, "start_date": start, "end_date": end})
			if err != nil {
				return nil, fmt.Errorf("disputes from %s to %s: %w", start, end, err)
			}
			for _, e := range entries {
				n, err := g.dispute(ctx, conn, list, e)
				if err != nil {
					return nil, fmt.Errorf("dispute of %s: %w", e.id, err)
				}
				all = append(all, n)
			}
		}
	}
	return distinct(all), nil
}

// dispute is an entry of a list as a notice. One payment may be charged back in parts, each booked by itself.
func (g *Gateway) dispute(ctx context.Context, conn gateway.Connection, list string, e transaction) (gateway.Notice, error) {
	if e.amount == nil {
		return gateway.Notice{}, errors.New("it names no amount")
	}
	n := gateway.Notice{
		ID: strings.Join([]string{list, e.id, e.bookedAs}, "."), Kind: gateway.NoticeDispute, Reference: e.id,
		Dispute: &gateway.Dispute{ChargeReference: e.id, Stage: disputeStages[list], Amount: e.amount, At: e.booked},
	}
	n.Dispute.ID = n.ID
	t, err := g.byID(ctx, conn, e.id)
	if err != nil || t == nil {
		return n, err
	}
	if note, err := t.ours(); err == nil {
		n.Subscription, n.Dispute.ChargeKey = note.subscription, note.key
	}
	return n, nil
}

// distinct drops what was listed twice: ranges share their first and last days.
func distinct(list []gateway.Notice) []gateway.Notice {
	seen := map[string]bool{}
	kept := list[:0]
	for _, n := range list {
		if !seen[n.ID] {
			kept = append(kept, n)
		}
		seen[n.ID] = true
	}
	return kept
}
