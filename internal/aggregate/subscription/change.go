package subscription

import (
	"math"
	"time"

	"google.golang.org/protobuf/proto"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/money"
)

// ChangeTerms changes what is asked for, from the next payment on. A payment that was asked for already stays as it is,
// and so do its re-attempts.
type ChangeTerms struct {
	Now     time.Time
	Amounts *ledgerv1.Amounts
	Consent string // where the buyer's consent can be found
}

// Decide implements aggregate.Command.
func (c ChangeTerms) Decide(s State) ([]*ledgerv1.Event, error) {
	if err := s.exists(); err != nil {
		return nil, err
	}
	if s.ByGateway() {
		return nil, byGateway()
	}
	if s.Ended() || s.Status == Pending {
		return nil, stateInvalid(s)
	}
	if c.Consent == "" {
		return nil, aggregate.InvalidField("consent_reference", "CONSENT_REQUIRED", "say where the buyer's consent can be found")
	}
	want, err := money.NormalizeAmounts("amounts", c.Amounts)
	if err != nil {
		return nil, err
	}
	if code := s.Terms().Regular.Full.CurrencyCode; want.Full.CurrencyCode != code {
		return nil, aggregate.InvalidField("amounts", "CURRENCY_MISMATCH", "a subscription has one currency for life: %s", code)
	}
	from := s.Paid + 1
	if s.attemptsOf(from) > 0 {
		from++
	}
	if n := total(s.Terms()); n > 0 && regular(s.Terms(), from) > n {
		return nil, aggregate.Refuse("NO_PAYMENT_LEFT", "no payment follows that could ask for other amounts")
	}
	if proto.Equal(want, s.amounts(from)) && proto.Equal(want, s.amounts(math.MaxUint32)) { // no coupon runs out either
		return nil, aggregate.Refuse("UNCHANGED", "these are the amounts already")
	}
	d := s.decide(c.Now, time.Time{})
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_TermsChanged{TermsChanged: &ledgerv1.TermsChanged{
		FromPayNumber: from, Amounts: want, ConsentReference: c.Consent,
	}}})
	return d.done()
}

func (s State) termsChanged(e *ledgerv1.TermsChanged) State {
	s.Changes = append(s.Changes[:len(s.Changes):len(s.Changes)], e)
	return s
}
