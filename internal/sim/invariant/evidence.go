package invariant

import "time"

// Evidence is what others saw of the ledger: callers, gateways and receivers. The zero value saw nothing.
type Evidence struct {
	Captures []Capture
	Returns  []Return
	Acks     []Ack
	Receipts []Receipt // in the order in which they arrived
	Messages []Message
}

// Return is money that went back, or came back after that, as a gateway's own book has it.
type Return struct {
	Merchant, Subscription, Connection string
	Kind                               ReturnKind
	Key                                string // ours; empty if we did not ask for it
	Reference, ChargeReference         string // the gateway's
	Currency                           string
	Minor                              int64 // positive
	At                                 time.Time
}

// ReturnKind is what a Return was.
type ReturnKind string

// The kinds of Return.
const (
	Refunded           ReturnKind = "refund"
	RefundReversed     ReturnKind = "refund_reversed"
	ChargedBack        ReturnKind = "chargeback"
	ChargebackReversed ReturnKind = "chargeback_reversed"
)

// Ack is a command that the ledger told its caller was done.
type Ack struct {
	Stream, RequestID string
	Revision          int64
	Position          string // as answered
	Waited            bool   // then revision and position may be a later event's
	Replayed          bool
}

// Receipt is a notification as a receiver got it.
type Receipt struct {
	Merchant, Endpoint string
	WebhookID          string
	Body               string
	At                 time.Time
	Genuine            bool // the signature was right
	Acknowledged       bool // the receiver said so; whether the ledger heard it is another matter
}

// Message is a gateway's webhook that the ledger has acknowledged.
type Message struct {
	Gateway, Merchant, Connection string
	ID                            string
}
