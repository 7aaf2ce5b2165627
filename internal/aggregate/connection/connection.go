// Package connection decides about connections: merchants' accounts at gateways. All of a connection stands from the
// beginning but whether it is blocked.
package connection

import (
	"cmp"
	"slices"
	"strings"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/text"
)

// Category is the category of connection streams.
const Category = "connection"

// Sandbox is the one gateway that there is: it stands for a processor and moves no money.
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
	}
}

// State is a connection as of its last event. The zero State is one that does not exist.
type State struct {
	Merchant, ID  string
	Gateway       string // the adapter's name
	Processor     string // as told in notifications
	Mode          ledgerv1.Mode
	URL           string // where the gateway is; empty for the sandbox that runs with the service
	WebhookSecret string // what the gateway signs its webhooks with
	Blocked       bool   // nothing is charged through it for now
	BlockedReason string
}

// Exists reports whether the connection was ever created.
func (s State) Exists() bool { return s.ID != "" }

// Evolve is the state after an event. Events of other aggregates change nothing.
func Evolve(s State, e *ledgerv1.Event) State {
	switch k := e.GetKind().(type) {
	case *ledgerv1.Event_ConnectionCreated:
		return created(k.ConnectionCreated)
	case *ledgerv1.Event_ConnectionBlocked:
		s.Blocked, s.BlockedReason = true, k.ConnectionBlocked.Reason
	case *ledgerv1.Event_ConnectionUnblocked:
		s.Blocked, s.BlockedReason = false, ""
	}
	return s
}

func created(c *ledgerv1.ConnectionCreated) State {
	return State{
		Merchant:      c.MerchantId,
		ID:            c.ConnectionId,
		Gateway:       c.Gateway,
		Processor:     c.Processor,
		Mode:          c.Mode,
		URL:           c.Url,
		WebhookSecret: c.WebhookSecret,
	}
}

// Create connects an account at the sandbox, and so in test mode. An empty processor is Stripe.
type Create struct {
	Merchant, ID  string
	Gateway       string
	Processor     string
	URL           string
	WebhookSecret string // required; the caller makes one up where the merchant has none
}

// Decide implements aggregate.Command.
func (c Create) Decide(s State) ([]*ledgerv1.Event, error) {
	if s.Exists() {
		return nil, &aggregate.Error{Kind: aggregate.Exists, Reason: "CONNECTION_EXISTS", Message: "there is a connection " + c.ID + " already"}
	}
	processor := cmp.Or(c.Processor, Stripe)
	switch {
	case !text.ValidID(c.Merchant):
		return nil, aggregate.InvalidField("merchant_id", "ID_INVALID", "an id has 1 to 40 letters, digits or underscores")
	case !text.ValidID(c.ID):
		return nil, aggregate.InvalidField("connection_id", "ID_INVALID", "an id has 1 to 40 letters, digits or underscores")
	case c.Gateway != Sandbox:
		return nil, aggregate.InvalidField("gateway", "GATEWAY_UNKNOWN", "the gateways are: %s", Sandbox)
	case !slices.Contains(Processors(), processor):
		return nil, aggregate.InvalidField("processor", "PROCESSOR_UNKNOWN", "the processors are: %s", strings.Join(Processors(), ", "))
	case c.URL != "" && !text.ValidURL(c.URL):
		return nil, aggregate.InvalidField("url", "URL_INVALID", "an absolute http or https address, without user and fragment")
	case c.WebhookSecret == "":
		return nil, aggregate.InvalidField("webhook_secret", "SECRET_REQUIRED", "webhooks are signed")
	}
	return []*ledgerv1.Event{{Kind: &ledgerv1.Event_ConnectionCreated{ConnectionCreated: &ledgerv1.ConnectionCreated{
		MerchantId:    c.Merchant,
		ConnectionId:  c.ID,
		Gateway:       c.Gateway,
		Processor:     processor,
		Mode:          ledgerv1.Mode_MODE_TEST,
		Url:           c.URL,
		WebhookSecret: c.WebhookSecret,
	}}}}, nil
}
