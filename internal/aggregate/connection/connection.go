// Package connection decides about connections: merchants' accounts at gateways. One begins as active, or as pending
// until the gateway has accepted its credentials or the merchant has given his consent there. It is charged through
// while it is active and nobody blocks it; what is due otherwise is held.
package connection

import (
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
)

// Category is the category of connection streams.
const Category = "connection"

// Sandbox is the gateway that comes with the service: it stands for a processor and moves no money.
const Sandbox = "sandbox"

// Stripe is the processor that a sandbox stands for where none is named.
const Stripe = "Stripe"

// Processors are the names under which notifications tell who processed a payment.
func Processors() []string {
	return []string{Stripe, "PayPal", "Braintree", "Authorize.net", "payabl"}
}

// Stream names the stream of a merchant's connection.
func Stream(merchant, id string) string { return Category + "-" + merchant + "." + id }

// Type ties State and Evolve to the runner.
func Type() aggregate.Type[State] {
	return aggregate.Type[State]{
		Category: Category,
		New:      func() State { return State{} },
		Evolve:   Evolve,
		Due:      State.Due,
	}
}

// State is a connection as of its last event. The zero State is one that does not exist.
type State struct {
	Merchant, ID  string
	Gateway       string // the adapter's name
	Processor     string // as told in notifications
	Mode          ledgerv1.Mode
	URL           string // where the gateway is, if not where it always is
	WebhookSecret string // what the gateway signs its webhooks with, where that is not among the credentials
	Credentials   []byte // sealed; none if the platform's own are used, or none are needed
	Status        ledgerv1.ConnectionState
	// Account, AccountName and PublishableKey are the gateway's names of the account, as far as they are known.
	Account, AccountName, PublishableKey string
	UpdateBy                             time.Time // until when it has to be renewed by consent; zero: no such day
	Consent                              *Consent  // that was asked for last and not answered yet
	Refusal                              *Refusal  // why it could not be proved; nil since it was
	DisconnectedReason                   string
	Blocked                              bool // nothing is charged through it for now
	BlockedReason                        string
}

// Consent is what a merchant was sent to the gateway for.
type Consent struct {
	Request   string // the id of the request that asked for it
	Token     []byte // what he has to come back with, sealed
	ExpiresAt time.Time
	ReturnURL string
}

// Refusal is why a connection could not be proved.
type Refusal struct {
	Reason, Message      string
	Account, AccountName string // that was refused, as far as it is known
}

// Exists reports whether the connection was ever created.
func (s State) Exists() bool { return s.ID != "" }

// Live reports whether money moves.
func (s State) Live() bool { return s.Mode == ledgerv1.Mode_MODE_LIVE }

// Connected reports whether the account may be used, as far as that is known.
func (s State) Connected() bool {
	return s.Status == ledgerv1.ConnectionState_CONNECTION_STATE_ACTIVE ||
		s.Status == ledgerv1.ConnectionState_CONNECTION_STATE_NEEDS_UPDATE
}

// Held says why nothing is charged through the connection now; empty if it is.
func (s State) Held() string {
	switch s.Status {
	case ledgerv1.ConnectionState_CONNECTION_STATE_PENDING:
		return "it is not proved yet that the account may be used"
	case ledgerv1.ConnectionState_CONNECTION_STATE_REFUSED:
		return "the account was not connected"
	case ledgerv1.ConnectionState_CONNECTION_STATE_EXPIRED:
		return "it was not renewed in time"
	case ledgerv1.ConnectionState_CONNECTION_STATE_DISCONNECTED:
		return "the account is disconnected: " + s.DisconnectedReason
	}
	return s.BlockedReason
}

// Evolve is the state after an event. Events of other aggregates change nothing.
func Evolve(s State, e *ledgerv1.Event) State {
	switch k := e.GetKind().(type) {
	case *ledgerv1.Event_ConnectionCreated:
		return created(k.ConnectionCreated)
	case *ledgerv1.Event_ConsentRequested:
		return s.asked(e.GetMetadata().GetRequestId(), k.ConsentRequested)
	case *ledgerv1.Event_ConnectionActivated:
		return s.activated(k.ConnectionActivated)
	case *ledgerv1.Event_ConnectionRefused:
		return s.refused(k.ConnectionRefused)
	case *ledgerv1.Event_ConnectionUpdateNeeded:
		s.Status = ledgerv1.ConnectionState_CONNECTION_STATE_NEEDS_UPDATE
	case *ledgerv1.Event_ConnectionExpired:
		s.Status = ledgerv1.ConnectionState_CONNECTION_STATE_EXPIRED
	case *ledgerv1.Event_ConnectionDisconnected:
		s.Status, s.DisconnectedReason = ledgerv1.ConnectionState_CONNECTION_STATE_DISCONNECTED, k.ConnectionDisconnected.Reason
	case *ledgerv1.Event_ConnectionResealed:
		s.Credentials = k.ConnectionResealed.Credentials
	case *ledgerv1.Event_ConnectionBlocked:
		s.Blocked, s.BlockedReason = true, k.ConnectionBlocked.Reason
	case *ledgerv1.Event_ConnectionUnblocked:
		s.Blocked, s.BlockedReason = false, ""
	}
	return s
}
