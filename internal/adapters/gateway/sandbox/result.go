package sandbox

import (
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

// result is what the charge amounts to; a status or a reason that is not known amounts to Unknown.
func (c charge) result() gateway.Result {
	switch c.Status {
	case succeeded:
		return gateway.Result{
			Class: gateway.Accepted, Reference: c.ID, At: value(c.DecidedAt),
			Amount: c.Amount.proto(), Fee: c.Fee.proto(), Settled: c.Settled.proto(), Method: c.Method.proto(),
		}
	case pending:
		r := gateway.Result{Class: gateway.Pending, Reference: c.ID, ExpiresAt: value(c.ExpiresAt)}
		if c.RedirectURL != "" {
			r.NextAction = &ledgerv1.NextAction{RedirectUrl: c.RedirectURL}
		}
		return r
	case expired:
		return gateway.Result{
			Class: gateway.Rejected, Reference: c.ID, Expired: true,
			Category: ledgerv1.DeclineCategory_DECLINE_CATEGORY_SOFT, Code: "expired",
		}
	case failed:
		return c.Decline.result(c.ID)
	}
	return unknown("charge %s has the status %q", c.ID, c.Status)
}

// result is what the refund amounts to.
func (r refund) result() gateway.Result {
	switch r.Status {
	case succeeded:
		return gateway.Result{Class: gateway.Accepted, Reference: r.ID, At: value(r.DecidedAt), Amount: r.Amount.proto()}
	case pending:
		return gateway.Result{Class: gateway.Pending, Reference: r.ID}
	case failed:
		return r.Decline.result(r.ID)
	case reversed:
		res := r.Decline.result(r.ID)
		res.Reversed = true
		res.At = value(r.DecidedAt)
		return res
	}
	return unknown("refund %s has the status %q", r.ID, r.Status)
}

func (d *declined) result(id string) gateway.Result {
	if d == nil {
		return unknown("%s failed without a reason", id)
	}
	r := gateway.Result{
		Class: gateway.Rejected, Reference: id, Code: d.Code, Advice: d.Advice, Message: d.Message,
		StopOrder: d.StopOrder, AgreementLost: d.AgreementLost,
	}
	switch d.Category {
	case "soft":
		r.Category = ledgerv1.DeclineCategory_DECLINE_CATEGORY_SOFT
	case "hard":
		r.Category = ledgerv1.DeclineCategory_DECLINE_CATEGORY_HARD
	case "buyer_action":
		r.Category = ledgerv1.DeclineCategory_DECLINE_CATEGORY_BUYER_ACTION
	default:
		return unknown("%s failed with the category %q", id, d.Category)
	}
	return r
}

func (m *storedMethod) proto() *ledgerv1.PaymentMethod {
	if m == nil {
		return nil
	}
	return &ledgerv1.PaymentMethod{Reference: m.Reference, Brand: m.Brand, Last4: m.Last4, AgreementId: m.AgreementID}
}

func value(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}
