package subscription

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/money"
)

// key is the name under which a gateway knows one attempt or refund. It derives from what is done, not from chance,
// so that the same thing done again after a restore of an older backup is recognised.
func key(parts ...any) string {
	sum := sha256.Sum256([]byte(fmt.Sprintln(parts...)))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:20]))
}

// Rebill charges the open pay number: when it is due, or while it is past due.
type Rebill struct {
	Now     time.Time
	Number  uint32            // the number the caller means; 0 for whichever is open
	Amounts *ledgerv1.Amounts // less than the terms say; nil for the terms' own
	Circumstances
}

// Decide implements aggregate.Command.
func (c Rebill) Decide(s State) ([]*ledgerv1.Event, error) {
	if err := c.check(s); err != nil {
		return nil, err
	}
	asked := s.amounts(s.Paid + 1)
	if c.Amounts != nil {
		given, err := money.NormalizeAmounts("amounts", c.Amounts)
		if err != nil {
			return nil, err
		}
		if given.Full.CurrencyCode != asked.Full.CurrencyCode {
			return nil, aggregate.InvalidField("amounts", "CURRENCY_MISMATCH", "the subscription is in %s", asked.Full.CurrencyCode)
		}
		if given.Full.MinorUnits > asked.Full.MinorUnits {
			return nil, aggregate.Refuse("AMOUNT_NOT_CONSENTED", "the buyer agreed to %s", money.Format(asked.Full))
		}
		asked = given
	}
	d := s.decide(c.Now, time.Time{})
	d.request(asked, c.Circumstances)
	return d.done()
}

func (c Rebill) check(s State) error {
	if err := s.exists(); err != nil {
		return err
	}
	open, isOpen := s.trying()
	switch {
	case c.Number > s.Paid+1:
		return aggregate.Refuse("PAY_NUMBER_GAP", "pay number %d is next", s.Paid+1).With("next", fmt.Sprint(s.Paid+1))
	case c.Number != 0 && c.Number <= s.Paid:
		return aggregate.Refuse("PAY_NUMBER_PAID", "pay number %d is paid", c.Number)
	case s.Ended():
		return stateInvalid(s)
	case s.Mismatch:
		return aggregate.Refuse("AMOUNT_MISMATCH", "the gateway charged another amount; that is resolved first")
	case isOpen && open.InDoubt():
		return aggregate.Refuse("PAYMENT_OUTCOME_UNKNOWN", "nobody knows yet what became of the last attempt").
			With("since", open.DoubtfulFrom.Format(time.RFC3339))
	case s.ByGateway():
		return byGateway()
	case s.Status == Pending || s.Status == Paused:
		return stateInvalid(s)
	case isOpen:
		return aggregate.Refuse("PAYMENT_IN_PROGRESS", "an attempt is under way")
	case c.Now.Before(s.NextDue):
		return aggregate.Refuse("NOT_DUE", "the next payment is due at %s", s.NextDue.Format(time.RFC3339)).
			With("due", s.NextDue.Format(time.RFC3339))
	case s.endsBy(c.Now):
		return endsNow(s)
	case s.Stopped:
		return aggregate.Refuse("METHOD_STOPPED", "this payment method must not be tried again")
	case s.Held():
		return aggregate.Refuse("PAYMENT_HELD", "nothing is charged while the dispute is open")
	case c.Blocked:
		return aggregate.Refuse("CONNECTION_BLOCKED", "nothing can be charged through connection %s now", s.Connection.ID)
	case s.resting(c.Now):
		return retryCap(s.restsUntil(nil))
	case s.ordersExhausted():
		return orderLimit()
	}
	return nil
}

// byGateway refuses what only makes sense where the ledger charges.
func byGateway() error {
	return aggregate.Refuse("GATEWAY_SCHEDULE", "the gateway runs this subscription's schedule; change it there")
}

func stateInvalid(s State) error {
	name := StateName(s.Status)
	return aggregate.Refuse("STATE_INVALID", "the subscription is %s", name).With("state", name)
}

// retryCap refuses a try that a network would fine, and says when it is one no more.
func retryCap(until time.Time) error {
	at := until.Format(time.RFC3339Nano)
	return (&aggregate.Error{Kind: aggregate.Exhausted, Reason: "RETRY_CAP",
		Message: "the payment method was declined too often; card networks let it be tried again at " + at}).With("allowed_at", at)
}

func orderLimit() error {
	return &aggregate.Error{Kind: aggregate.Exhausted, Reason: "ORDER_LIMIT",
		Message: "a subscription has at most 9,999 orders"}
}

// StateName is a state's name as people write it: "past_due".
func StateName(st ledgerv1.SubscriptionState) string {
	return strings.ToLower(strings.TrimPrefix(st.String(), "SUBSCRIPTION_STATE_"))
}

// request emits the intent to charge the open pay number. A payment of 0 with a stored method needs no gateway and
// succeeds at once.
func (d *decision) request(a *ledgerv1.Amounts, c Circumstances) {
	number := d.Paid + 1
	attempt := d.attemptsOf(number) + 1
	due := d.NextDue
	if due.IsZero() {
		due = d.now
	}
	st := d.Started
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_PaymentRequested{PaymentRequested: &ledgerv1.PaymentRequested{
		PayNumber:    number,
		Attempt:      attempt,
		Reattempt:    d.step(),
		Amounts:      a,
		Due:          stamp(due),
		Key:          key("charge", st.MerchantId, st.SubscriptionId, number, attempt),
		ConnectionId: d.Connection.ID,
		Method:       d.Method,
		DunningDays:  d.newDunningDays(c),
	}}})
	if a.Full.MinorUnits == 0 && d.Method != nil {
		open, _ := d.OpenAttempt()
		d.succeed(open, SettlePayment{Amount: a.Full, Method: d.Method})
	}
}

func (s State) attemptsOf(number uint32) uint32 {
	var n uint32
	for i := len(s.Attempts) - 1; i >= 0 && s.Attempts[i].Number == number; i-- {
		n = max(n, s.Attempts[i].Attempt)
	}
	return n
}

func (s State) paymentRequested(m *ledgerv1.Metadata, e *ledgerv1.PaymentRequested) State {
	at := instant(m.RecordedAt)
	s.Attempts = added(s.Attempts, Attempt{
		Number: e.PayNumber, Attempt: e.Attempt, Reattempt: e.Reattempt,
		Amounts: e.Amounts, Due: instant(e.Due), Key: e.Key, RequestedAt: at,
		Method: e.Method, Token: s.Token, Connection: e.ConnectionId, Replacement: s.Replacement,
	})
	if s.FirstAttemptAt.IsZero() {
		s.FirstAttemptAt, s.DunningDays = at, e.DunningDays
	}
	s.NextAttempt = time.Time{}
	return s
}
