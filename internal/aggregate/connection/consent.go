package connection

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/text"
)

// RequestConsent sends a merchant to the gateway for his consent: to begin a connection, or to renew the one that is
// there, whatever has become of it.
type RequestConsent struct {
	Create           // what begins if nothing is there; Unproved, without credentials
	Token     []byte // what he has to come back with, sealed
	ExpiresAt time.Time
	ReturnURL string
}

// Decide implements aggregate.Command.
func (c RequestConsent) Decide(s State) (all []*ledgerv1.Event, err error) {
	if c.ReturnURL != "" && !text.ValidURL(c.ReturnURL) {
		return nil, aggregate.InvalidField("return_url", "URL_INVALID", "an absolute http or https address, without user and fragment")
	}
	if !s.Exists() {
		c.Unproved = true
		if all, err = c.Create.Decide(s); err != nil {
			return nil, err
		}
	} else if err := c.fits(s); err != nil {
		return nil, err
	}
	return append(all, &ledgerv1.Event{Kind: &ledgerv1.Event_ConsentRequested{ConsentRequested: &ledgerv1.ConsentRequested{
		MerchantId: c.Merchant, ConnectionId: c.ID, Token: c.Token, ExpiresAt: timestamppb.New(c.ExpiresAt), ReturnUrl: c.ReturnURL,
		State: s.afterAsking(),
	}}}), nil
}

// afterAsking is what a connection is while its merchant is away for his consent.
func (s State) afterAsking() ledgerv1.ConnectionState {
	if !s.Exists() || s.Status == ledgerv1.ConnectionState_CONNECTION_STATE_REFUSED {
		return ledgerv1.ConnectionState_CONNECTION_STATE_PENDING
	}
	return s.Status
}

// fits refuses to make another connection of the one that is there.
func (c RequestConsent) fits(s State) error {
	switch {
	case c.Gateway != "" && c.Gateway != s.Gateway:
		return aggregate.InvalidField("gateway", "GATEWAY_MISMATCH", "the connection is one to %s", s.Gateway)
	case c.Mode != ledgerv1.Mode_MODE_UNSPECIFIED && c.Mode != s.Mode:
		return aggregate.InvalidField("mode", "CONNECTION_MODE_MISMATCH", "the connection is for %s: test and live are never mixed", modeName(s.Live()))
	}
	return nil
}

func (s State) asked(request string, r *ledgerv1.ConsentRequested) State {
	s.Status = r.State
	s.Consent = &Consent{Request: request, Token: r.Token, ExpiresAt: r.GetExpiresAt().AsTime(), ReturnURL: r.ReturnUrl}
	return s
}
