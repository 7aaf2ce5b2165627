package sandbox

import (
	"context"
	"errors"
	"net/http"

	"ledger.internal/ledger/internal/projection"
)

// found answers a look-up, unless a fault is meant for it.
func (s *Server) found(w http.ResponseWriter, r *http.Request, operation string, look func(context.Context) (any, error)) {
	var faults int
	if err := s.book.QueryRow(r.Context(), `SELECT count(*) FROM faults`).Scan(&faults); err != nil {
		s.broken(w, r, err)
		return
	}
	var step string
	if faults > 0 {
		err := s.book.do(func(tx projection.Tx) (err error) {
			step, err = takeFault(tx, r.PathValue("account"), operation)
			return err
		})
		if err != nil {
			s.broken(w, r, err)
			return
		}
	}
	v, err := look(r.Context())
	if err != nil {
		s.broken(w, r, err)
		return
	}
	a, err := answerWith(http.StatusOK, v)
	if v == nil {
		a = problem(http.StatusNotFound, "not_found", "No such thing.")
	}
	if err != nil {
		s.broken(w, r, err)
		return
	}
	b, _ := commonStep(step)
	if away, ok := turnAway(b.telling); ok {
		a = away
	}
	s.tell(w, r, a.spoil(b.telling, ""))
}

func (s *Server) listCharges(w http.ResponseWriter, r *http.Request) {
	s.found(w, r, opLookup, func(ctx context.Context) (any, error) {
		list, err := all[charge](ctx, s.book, `SELECT doc FROM charges WHERE account = $1 AND charge_key = $2 ORDER BY seq`,
			r.PathValue("account"), r.URL.Query().Get("key"))
		seen := []charge{}
		for _, c := range list {
			if c.Status != hidden {
				seen = append(seen, c.at(base(r)))
			}
		}
		return chargeList{seen}, err
	})
}

// at is the charge as seen at an address, which may have changed since the charge was made.
func (c charge) at(base string) charge {
	if c.Status == pending {
		c.RedirectURL = base + "/redirect/" + c.ID
	}
	return c
}

func (s *Server) listRefunds(w http.ResponseWriter, r *http.Request) {
	s.found(w, r, opLookup, func(ctx context.Context) (any, error) {
		list, err := all[refund](ctx, s.book, `SELECT doc FROM refunds WHERE account = $1 AND refund_key = $2 ORDER BY seq`,
			r.PathValue("account"), r.URL.Query().Get("key"))
		return refundList{list}, err
	})
}

func (s *Server) getCharge(w http.ResponseWriter, r *http.Request) {
	s.found(w, r, opLookup, func(ctx context.Context) (any, error) {
		var c charge
		found, err := one(s.book.QueryRow(ctx, `SELECT doc FROM charges WHERE id = $1`, r.PathValue("charge")), &c)
		if err != nil || !found || c.Account != r.PathValue("account") || c.Status == hidden {
			return nil, err
		}
		return c.at(base(r)), nil
	})
}

// bookBody is everything that ever happened, for those who compare.
type bookBody struct {
	Charges  []charge  `json:"charges"`
	Refunds  []refund  `json:"refunds"`
	Disputes []dispute `json:"disputes"`
}

func (s *Server) getBook(w http.ResponseWriter, r *http.Request) {
	const of = ` WHERE $1 = '' OR account = $1 ORDER BY seq`
	account := r.URL.Query().Get("account")
	var b bookBody
	var errs [3]error
	b.Charges, errs[0] = all[charge](r.Context(), s.book, `SELECT doc FROM charges`+of, account)
	b.Refunds, errs[1] = all[refund](r.Context(), s.book, `SELECT doc FROM refunds`+of, account)
	b.Disputes, errs[2] = all[dispute](r.Context(), s.book, `SELECT doc FROM disputes`+of, account)
	a, err := answerWith(http.StatusOK, b)
	if err = errors.Join(append(errs[:], err)...); err != nil {
		s.broken(w, r, err)
		return
	}
	s.tell(w, r, a)
}
