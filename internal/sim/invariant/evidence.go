package invariant

import "time"

// Evidence is what others saw of the ledger: callers, gateways and receivers. What is nil was not seen, and nothing is
// compared with it. A list that is not nil has all there was, if it is empty too.
type Evidence struct {
	Captures []Capture
	Returns  []Return
	Acks     []Ack    // may be some of those that were given
	Asked    []string // the ids of the requests that callers have sent, acknowledged or not
	Receipts []Receipt
	Messages []Message // may be some of those that were acknowledged
}

// Capture is a successful charge as a gateway's own book has it.
type Capture struct {
	Merchant, Subscription string
	PayNumber              uint32
	Connection             string // empty where the book does not say
	// Key is ours; empty if we did not ask for the charge. Of those the ledger knows only if it was told.
	Key       string
	Reference string // the gateway's
	Currency  string
	Minor     int64
	// Denied charges are those of which the gateway had said before that it would not make them: declined, or absent when
	// that was final. What the ledger did on the strength of that was right.
	Denied bool
	At     time.Time
}

// Return is money that went back, or came back after that, as a gateway's own book has it.
type Return struct {
	Merchant, Subscription, Connection string
	Kind                               ReturnKind
	Key                                string // ours; empty if we did not ask for it
	// Reference is the gateway's: of the refund, also of one that is reversed, or of the dispute.
	Reference, ChargeReference string
	Currency                   string
	Minor                      int64 // positive
	Denied                     bool  // as in Capture: the gateway had said before that it would not return it
	At                         time.Time
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
	// Needless commands may find nothing to do: a step of a dispute that is known, the end of what has ended. Of the
	// latter Check knows by itself.
	Needless bool
}

// Receipt is a notification as a receiver got it. Receipts stand in the order in which they arrived.
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
