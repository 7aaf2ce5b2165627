package connection

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
)

// Activate says that the gateway has proved whose account a connection is: by its credentials, or by the consent that
// the merchant gave there. It is refused for another account than the one that the connection was before: what was
// stored and charged there is not at another one.
type Activate struct {
	Account, Name, PublishableKey string // as the gateway tells them
	Live                          bool
	// First says that the credentials are the ones that the connection began with. What is not pending any more has been
	// proved, or given back, while the gateway was asked; then nothing happens.
	First bool
	// Consent is the request that asked for the merchant's consent; empty if credentials have proved it.
	Consent string
	// Credentials are sealed; none with a consent, and none if they stay as they are.
	Credentials []byte
}

// Decide implements aggregate.Command.
func (c Activate) Decide(s State) ([]*ledgerv1.Event, error) {
	if !s.Exists() {
		return nil, aggregate.ErrNotFound("connection", "")
	}
	if err := s.answers(c.Consent); err != nil {
		return nil, err
	}
	switch {
	case c.First && s.Status != ledgerv1.ConnectionState_CONNECTION_STATE_PENDING:
		return nil, nil
	case c.Live != s.Live():
		return nil, aggregate.Refuse("CONNECTION_MODE_MISMATCH", "the connection is for %s, and the account is one for %s: test and live are never mixed",
			modeName(s.Live()), modeName(c.Live))
	case !c.isOf(s):
		return nil, aggregate.Refuse("ACCOUNT_MISMATCH", "this is account %s, and the connection is one of account %s: choose the same one, so that what is stored there can go on being charged",
			NameOf(c.Account, c.Name), NameOf(cmp.Or(s.Account, s.PublishableKey), s.AccountName)).
			With("account", c.Account).With("account_name", c.Name).With("connected", s.Account).With("connected_name", s.AccountName)
	}
	return []*ledgerv1.Event{{Kind: &ledgerv1.Event_ConnectionActivated{ConnectionActivated: &ledgerv1.ConnectionActivated{
		MerchantId: s.Merchant, ConnectionId: s.ID, Account: c.Account, AccountName: c.Name, PublishableKey: c.PublishableKey,
		Consented: c.Consent != "", Credentials: c.Credentials,
	}}}}, nil
}

// answers refuses what answers another request for consent than the last one, or one that was answered.
func (s State) answers(consent string) error {
	if consent != "" && (s.Consent == nil || s.Consent.Request != consent) {
		return aggregate.Refuse("CONSENT_CODE_INVALID", "this consent was used, or another one was asked for since: begin again")
	}
	return nil
}

// isOf reports whether the account is the one of the connection, as far as that one is known. One that is connected by its
// keys may be known by its publishable key alone: a consent has to name the same one, while the secret key that came with
// it is the account's own, whose gateway need not name any.
func (c Activate) isOf(s State) bool {
	switch {
	case s.Account != "":
		return s.Account == c.Account
	case s.PublishableKey == "", s.PublishableKey == c.PublishableKey:
		return true
	}
	return c.Consent == "" && c.PublishableKey == ""
}

func (s State) activated(a *ledgerv1.ConnectionActivated) State {
	s.Status = ledgerv1.ConnectionState_CONNECTION_STATE_ACTIVE
	s.Account, s.AccountName = a.Account, a.AccountName
	s.PublishableKey = cmp.Or(a.PublishableKey, s.PublishableKey)
	if a.Consented {
		s.Credentials, s.UpdateBy = nil, time.Time{}
	} else if len(a.Credentials) > 0 {
		s.Credentials = a.Credentials
	}
	s.Consent, s.Refusal, s.DisconnectedReason = nil, nil, ""
	return s
}

// Refuse says why a connection could not be proved. It stays what it was, unless it was never active.
type Refuse struct {
	Refusal
	Consent string // as in Activate
}

// Decide implements aggregate.Command.
func (c Refuse) Decide(s State) ([]*ledgerv1.Event, error) {
	if !s.Exists() {
		return nil, aggregate.ErrNotFound("connection", "")
	}
	if err := s.answers(c.Consent); err != nil {
		return nil, err
	}
	return []*ledgerv1.Event{{Kind: &ledgerv1.Event_ConnectionRefused{ConnectionRefused: &ledgerv1.ConnectionRefused{
		MerchantId: s.Merchant, ConnectionId: s.ID, Reason: c.Reason, Message: c.Message, Account: c.Account, AccountName: c.AccountName,
		State: s.afterRefusal(),
	}}}}, nil
}

func (s State) afterRefusal() ledgerv1.ConnectionState {
	if s.Status == ledgerv1.ConnectionState_CONNECTION_STATE_PENDING {
		return ledgerv1.ConnectionState_CONNECTION_STATE_REFUSED
	}
	return s.Status
}

func (s State) refused(r *ledgerv1.ConnectionRefused) State {
	s.Status, s.Consent = r.State, nil
	s.Refusal = &Refusal{Reason: r.Reason, Message: r.Message, Account: r.Account, AccountName: r.AccountName}
	return s
}

// Reseal puts a connection's credentials under another master key. From are the ones that were read.
type Reseal struct{ From, Credentials []byte }

// Decide implements aggregate.Command.
func (c Reseal) Decide(s State) ([]*ledgerv1.Event, error) {
	if string(s.Credentials) != string(c.From) {
		return nil, nil // they were replaced meanwhile
	}
	return []*ledgerv1.Event{{Kind: &ledgerv1.Event_ConnectionResealed{ConnectionResealed: &ledgerv1.ConnectionResealed{
		MerchantId: s.Merchant, ConnectionId: s.ID, Credentials: c.Credentials,
	}}}}, nil
}

func modeName(live bool) string {
	if live {
		return "live"
	}
	return "test"
}

// NameOf is an account as a merchant knows it.
func NameOf(account, name string) string {
	if name == "" {
		return account
	}
	return fmt.Sprintf("%s (%s)", account, strings.TrimSpace(name))
}
