package connection

import (
	"strings"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
)

// Disconnect says that the account may be used no more: the merchant has said so here, or at the gateway. Nothing is
// cancelled by it: what is due is held until he connects the account again.
type Disconnect struct {
	ID     string
	Reason string // required: whoever finds payments held wants to know why
}

// Decide implements aggregate.Command.
func (c Disconnect) Decide(s State) ([]*ledgerv1.Event, error) {
	if !s.Exists() {
		return nil, aggregate.ErrNotFound("connection", c.ID)
	}
	reason := strings.TrimSpace(c.Reason)
	switch {
	case reason == "":
		return nil, aggregate.InvalidField("reason", "REASON_REQUIRED", "say why the account is given back")
	case s.Status == ledgerv1.ConnectionState_CONNECTION_STATE_DISCONNECTED:
		return nil, aggregate.Refuse("CONNECTION_DISCONNECTED", "the connection is disconnected already: %s", s.DisconnectedReason)
	}
	return []*ledgerv1.Event{{Kind: &ledgerv1.Event_ConnectionDisconnected{ConnectionDisconnected: &ledgerv1.ConnectionDisconnected{
		MerchantId: s.Merchant, ConnectionId: s.ID, Reason: reason,
	}}}}, nil
}
