package sandbox

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/projection"
)

// Abandon implements gateway.Abandoner.
func (g *Gateway) Abandon(ctx context.Context, conn gateway.Connection, c gateway.Charge, sent time.Time) (gateway.Result, bool, error) {
	r, found, err := g.Lookup(ctx, conn, c.Key, sent)
	if err != nil || !found || r.Class != gateway.Pending {
		return r, found, err
	}
	reply, err := g.call(ctx, conn, http.MethodPost, "/charges/"+url.PathEscape(r.Reference)+"/cancel", "", struct{}{})
	if err != nil {
		return gateway.Result{}, false, fmt.Errorf("cancel %s: %w", r.Reference, err)
	}
	if reply.Status != http.StatusOK && reply.Status != http.StatusConflict {
		return gateway.Result{}, false, fmt.Errorf("cancel %s: status %d", r.Reference, reply.Status)
	}
	return g.Lookup(ctx, conn, c.Key, sent) // it may have been decided meanwhile
}

// postCancel ends a charge that is pending. It is answered again as long as nothing else has become of the charge.
func (s *Server) postCancel(w http.ResponseWriter, r *http.Request) {
	s.change(w, r, func(tx projection.Tx) (answer, error) {
		c, found, err := loadCharge(tx, r.PathValue("charge"))
		if err != nil || !found || c.Account != r.PathValue("account") || c.Status == hidden {
			return problem(http.StatusNotFound, "not_found", "No such charge."), err
		}
		switch c.Status {
		case expired:
		case pending:
			if err := c.decide(tx, expired, s.clock.Now()); err != nil {
				return answer{}, err
			}
		default:
			return problem(http.StatusConflict, "charge_state", "The charge is "+string(c.Status)+"."), nil
		}
		return answerWith(http.StatusOK, c.charge)
	})
}
