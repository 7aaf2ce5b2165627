package connection

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/text"
)

// MaxAccount is the length of the longest name of an account at its gateway, and of a publishable key.
const MaxAccount = 255

// Create connects an account by what it is known by at its gateway. An empty processor is Stripe.
type Create struct {
	Merchant, ID   string
	Gateway        string
	Processor      string
	Mode           ledgerv1.Mode // test if unspecified
	URL            string
	Account        string
	PublishableKey string
	Credentials    []byte // sealed
	Unproved       bool   // it begins as pending
	UpdateBy       time.Time
	Now            time.Time
}

// Decide implements aggregate.Command.
func (c Create) Decide(s State) ([]*ledgerv1.Event, error) {
	if s.Exists() {
		return nil, &aggregate.Error{Kind: aggregate.Exists, Reason: "CONNECTION_EXISTS", Message: "there is a connection " + c.ID + " already"}
	}
	begin, err := c.event()
	if err != nil {
		return nil, err
	}
	after := created(begin.GetConnectionCreated())
	return append([]*ledgerv1.Event{begin}, after.deadlines(c.Now)...), nil
}

func (c Create) event() (*ledgerv1.Event, error) {
	processor := cmp.Or(c.Processor, Stripe)
	mode := cmp.Or(c.Mode, ledgerv1.Mode_MODE_TEST)
	switch {
	case !text.ValidID(c.Merchant):
		return nil, aggregate.InvalidField("merchant_id", "ID_INVALID", "an id has 1 to 40 letters, digits or underscores")
	case !text.ValidID(c.ID):
		return nil, aggregate.InvalidField("connection_id", "ID_INVALID", "an id has 1 to 40 letters, digits or underscores")
	case c.Gateway == "":
		return nil, aggregate.InvalidField("gateway", "GATEWAY_UNKNOWN", "name the gateway that the account is at")
	case !slices.Contains(Processors(), processor):
		return nil, aggregate.InvalidField("processor", "PROCESSOR_UNKNOWN", "the processors are: %s", strings.Join(Processors(), ", "))
	case c.URL != "" && !text.ValidURL(c.URL):
		return nil, aggregate.InvalidField("url", "URL_INVALID", "an absolute http or https address, without user and fragment")
	case len(c.Account) > MaxAccount:
		return nil, aggregate.InvalidField("account", "ACCOUNT_TOO_LONG", "an account's id has at most %d characters", MaxAccount)
	case len(c.PublishableKey) > MaxAccount:
		return nil, aggregate.InvalidField("publishable_key", "ACCOUNT_TOO_LONG", "a publishable key has at most %d characters", MaxAccount)
	case !c.UpdateBy.IsZero() && !c.UpdateBy.After(c.Now):
		return nil, aggregate.InvalidField("update_by", "UPDATE_BY_PAST", "the day by which the account has to be connected anew has passed")
	}
	e := &ledgerv1.ConnectionCreated{
		MerchantId: c.Merchant, ConnectionId: c.ID, Gateway: c.Gateway, Processor: processor, Mode: mode, Url: c.URL,
		Account: c.Account, PublishableKey: c.PublishableKey, Credentials: c.Credentials, Unproved: c.Unproved,
	}
	if !c.UpdateBy.IsZero() {
		e.UpdateBy = timestamppb.New(c.UpdateBy)
	}
	return &ledgerv1.Event{Kind: &ledgerv1.Event_ConnectionCreated{ConnectionCreated: e}}, nil
}

func created(c *ledgerv1.ConnectionCreated) State {
	s := State{
		Merchant: c.MerchantId, ID: c.ConnectionId, Gateway: c.Gateway, Processor: c.Processor, Mode: c.Mode, URL: c.Url,
		WebhookSecret: c.WebhookSecret, Credentials: c.Credentials, Account: c.Account, PublishableKey: c.PublishableKey,
		Status: ledgerv1.ConnectionState_CONNECTION_STATE_ACTIVE,
	}
	if c.Unproved {
		s.Status = ledgerv1.ConnectionState_CONNECTION_STATE_PENDING
	}
	if c.UpdateBy != nil {
		s.UpdateBy = c.UpdateBy.AsTime()
	}
	return s
}
