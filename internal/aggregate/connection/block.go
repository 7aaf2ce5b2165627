package connection

import (
	"strings"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
)

// Block says that nothing can be charged through a connection for now: the gateway has suspended the merchant, or he
// has withdrawn his consent. What is due is held, and what was charged before can be refunded and looked up as ever.
type Block struct {
	ID     string
	Reason string // required: whoever finds payments held wants to know why
}

// Decide implements aggregate.Command.
func (c Block) Decide(s State) ([]*ledgerv1.Event, error) {
	if !s.Exists() {
		return nil, aggregate.ErrNotFound("connection", c.ID)
	}
	reason := strings.TrimSpace(c.Reason)
	switch {
	case reason == "":
		return nil, aggregate.InvalidField("reason", "REASON_REQUIRED", "say why nothing can be charged")
	case s.Blocked:
		return nil, aggregate.Refuse("CONNECTION_BLOCKED", "the connection is blocked already: %s", s.BlockedReason)
	}
	return []*ledgerv1.Event{{Kind: &ledgerv1.Event_ConnectionBlocked{ConnectionBlocked: &ledgerv1.ConnectionBlocked{
		MerchantId: s.Merchant, ConnectionId: s.ID, Reason: reason,
	}}}}, nil
}

// Unblock ends a block.
type Unblock struct{ ID string }

// Decide implements aggregate.Command.
func (c Unblock) Decide(s State) ([]*ledgerv1.Event, error) {
	if !s.Exists() {
		return nil, aggregate.ErrNotFound("connection", c.ID)
	}
	if !s.Blocked {
		return nil, aggregate.Refuse("CONNECTION_NOT_BLOCKED", "the connection is not blocked")
	}
	return []*ledgerv1.Event{{Kind: &ledgerv1.Event_ConnectionUnblocked{ConnectionUnblocked: &ledgerv1.ConnectionUnblocked{
		MerchantId: s.Merchant, ConnectionId: s.ID,
	}}}}, nil
}
