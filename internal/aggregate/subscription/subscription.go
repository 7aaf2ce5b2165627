// Package subscription decides what may happen to a subscription: one buyer's agreement on terms.
//
// State and Evolve are here; each decision has a file of its own (start, charge, dunning, pause, refund, dispute, …),
// with its command, its rule and its step of Evolve together. Wake is how time reaches the aggregate: Due
// says when, Wake says what. What a decision must know of a merchant or a connection comes in as Circumstances.
//
// A State is a value: Evolve returns a new one, and whatever it replaces in a slice it replaces in a copy, so states
// can be kept and compared.
package subscription

import (
	"slices"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
)

// Category is the category of subscription streams.
const Category = "subscription"

// Stream names the stream of a merchant's subscription.
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

// Short names for the states of a subscription's life.
const (
	Pending   = ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_PENDING
	Trialing  = ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_TRIALING
	Active    = ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_ACTIVE
	PastDue   = ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_PAST_DUE
	Paused    = ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_PAUSED
	Cancelled = ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_CANCELLED
	Completed = ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_COMPLETED
	Failed    = ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_FAILED

	unspecified = ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_UNSPECIFIED
)

// State is a subscription as of its last event. The zero State is one that does not exist.
type State struct {
	Status  ledgerv1.SubscriptionState
	Resumes ledgerv1.SubscriptionState    // while Paused: the state that a resumption goes back to
	Started *ledgerv1.SubscriptionStarted // as sold, or as imported; nil if the subscription does not exist
	Import  *ledgerv1.SubscriptionImported
	Buyer   *ledgerv1.Buyer // as known now; no decision depends on it
	Changes []*ledgerv1.TermsChanged

	Way             // how it is charged
	Before   *Way   // what counts again if the gateway refuses the method that replaced it
	Replaced uint32 // how often the method was replaced, refused replacements included
	// Replacing is the last replacement, ReplacedAt when it was asked for; nil if there was none.
	Replacing   *ledgerv1.PaymentMethodReplaced
	ReplacedAt  time.Time
	Refused     *ledgerv1.PaymentMethodRefused // the last replacement that the gateway did not take; nil if it took all
	Connections []Connection                   // all that were ever in use; the last one is

	StartedAt   time.Time // when the first payment succeeded; zero before
	Paid        uint32    // the highest pay number that is paid
	Anchor      time.Time // due instants are Anchor + k periods
	Slot        time.Time // the due instant that NextDue was moved away from alone; zero if it was not
	CycleStart  time.Time // when the running cycle of recurring installments began
	NextDue     time.Time // of number Paid+1; zero if no payment is left
	PaidThrough time.Time // until when the buyer is entitled; zero for ever, or if he never was

	// The open pay number (Paid+1).
	FirstAttemptAt time.Time // when it was first tried; its dunning days count from here
	NextAttempt    time.Time // when the ledger tries it next by itself; zero if it does not
	DunningDays    []uint32  // the days of its re-attempts; empty for the default

	CancelAt     time.Time // the end that was asked for; zero if none
	CancelReason ledgerv1.CancelReason
	Mismatch     bool // a charge of another amount turned up: blocked until it is resolved

	// Shared between states: an element is replaced, never changed.
	Attempts []*Attempt
	Closed   int // so many of the first Attempts wait for nothing any more; who looks for open ones begins behind them
	Charges  []*Charge
	Refunds  []*RefundRecord
	Disputes []*Dispute

	Ordinal    int64 // of the last order
	FirstOrder int64 // id of the first order; 0 before
}

// AttemptStatus is what became of an attempt.
type AttemptStatus int

// The statuses of an Attempt. The first three are open: they end by an outcome.
const (
	AttemptRequested AttemptStatus = iota
	AttemptPending
	AttemptUnknown
	AttemptSucceeded
	AttemptDeclined
	AttemptNotCharged
	AttemptMismatched
	AttemptDuplicate // a second capture; see Duplicate
)

// Attempt is one try at charging a pay number.
type Attempt struct {
	Number, Attempt, Reattempt uint32
	Amounts                    *ledgerv1.Amounts
	Due                        time.Time
	Key                        string
	Method                     *ledgerv1.PaymentMethod // nil while none is stored
	Token                      string                  // what is charged while no method is stored
	Connection                 string
	Replacement                uint32 // Way.Replacement of what it charges
	Status                     AttemptStatus
	RequestedAt                time.Time
	// Withdrawn attempts must not be sent any more; they only wait for proof of what an earlier run may have done.
	Withdrawn   bool
	WithdrawnAt time.Time

	SentAt       time.Time // pending or unknown: when it went out, or the time it was learned
	DoubtfulFrom time.Time // when looking up began
	Why          string    // unknown: why nobody knows
	Reference    string
	NextAction   *ledgerv1.NextAction
	ExpiresAt    time.Time
	OrderID      int64 // of the order it made; 0 if none
	Category     ledgerv1.DeclineCategory
	Code         string
	// Duplicate: under which key the second capture is returned, how much, and whether it was.
	RefundKey string
	Captured  *ledgerv1.Money
	Returned  bool
}

// Open reports whether the attempt still waits for an outcome.
func (a *Attempt) Open() bool { return a.Status <= AttemptUnknown }

// InDoubt reports whether only a look-up can tell what became of the attempt.
func (a *Attempt) InDoubt() bool {
	return a.Status == AttemptUnknown || a.Open() && a.Withdrawn
}

// Charge is a payment that was captured, or that was 0.
type Charge struct {
	OrderID     int64
	Number      uint32
	Attempt     uint32
	Key         string
	Connection  string
	Amounts     *ledgerv1.Amounts
	Reference   string
	At          time.Time
	Late        bool
	Refunded    *ledgerv1.Amounts // done
	ChargedBack *ledgerv1.Amounts // withdrawn and not reinstated
}

// RefundStatus is what became of a refund.
type RefundStatus int

// The statuses of a RefundRecord. The first three are open.
const (
	RefundRequested RefundStatus = iota
	RefundPending
	RefundUnknown
	RefundSucceeded
	RefundFailed
	RefundReversed
)

// RefundRecord is money on its way back to the buyer.
type RefundRecord struct {
	ID              string
	Parent          int64 // the order that is refunded
	Number          uint32
	Amounts         *ledgerv1.Amounts
	Key             string
	Connection      string
	ChargeReference string
	Status          RefundStatus
	Withdrawn       bool // the money went back another way: not sent any more
	RequestedAt     time.Time
	SentAt          time.Time
	DoubtfulFrom    time.Time
	Why             string
	Reference       string
	OrderID         int64
	Code            string
	Excess          *ledgerv1.Money // how much more went back than was left; nil if none
}

// Open reports whether the refund still waits for an outcome.
func (r *RefundRecord) Open() bool { return r.Status <= RefundUnknown }

// InDoubt reports whether only a look-up can tell what became of the refund.
func (r *RefundRecord) InDoubt() bool { return r.Status == RefundUnknown || r.Open() && r.Withdrawn }

// Dispute is a buyer's quarrel about a payment.
type Dispute struct {
	ID         string
	Parent     int64
	Number     uint32
	Amount     *ledgerv1.Money
	Inquiry    bool
	Withdrawn  *ledgerv1.Amounts         // nil until funds were withdrawn
	Excess     *ledgerv1.Money           // how much more that was than was left; nil if none
	Policy     ledgerv1.ChargebackPolicy // what the withdrawal does to the subscription
	Reinstated bool
	Closed     bool
	Outcome    ledgerv1.DisputeOutcome
}

// Way is how a subscription is charged.
type Way struct {
	Method      *ledgerv1.PaymentMethod // stored at the gateway; nil before the first success and while a new one is not stored
	Token       string                  // the gateway's one-time token, while Method is nil
	Connection  Connection              // the account through which it is charged
	Replacement uint32                  // the replacement that brought it; 0 for what was given at first
	Stopped     bool                    // a hard or buyer-action decline: no further try with this method
	Lost        bool                    // its agreement is gone
}

// Connection is a merchant's account at a gateway, as far as a subscription is concerned.
type Connection struct {
	ID, Gateway string
	Processor   string // as told in notifications
}

// Exists reports whether the subscription was ever started.
func (s State) Exists() bool { return s.Started != nil }

// Terms are what was sold.
func (s State) Terms() *ledgerv1.Terms { return s.Started.GetTerms() }

// Ended reports whether nothing will ever be charged again.
func (s State) Ended() bool {
	return s.Status == Cancelled || s.Status == Completed || s.Status == Failed
}

// life is the state of a subscription's life, whether it is paused or not.
func (s State) life() ledgerv1.SubscriptionState {
	if s.Status == Paused {
		return s.Resumes
	}
	return s.Status
}

// inLife is the subscription in another state of its life; a pause goes on around it.
func (s State) inLife(st ledgerv1.SubscriptionState) State {
	if s.Status == Paused {
		s.Resumes = st
	} else {
		s.Status = st
	}
	return s
}

// ByGateway reports whether the gateway runs the schedule.
func (s State) ByGateway() bool {
	return s.Import.GetChargedBy() == ledgerv1.ChargedBy_CHARGED_BY_GATEWAY
}

// Uses reports whether anything was ever charged, or may have been, through a connection.
func (s State) Uses(connection string) bool {
	return slices.ContainsFunc(s.Connections, func(c Connection) bool { return c.ID == connection })
}

// known is a connection that was ever in use; an empty id is that of the first one.
func (s State) known(id string) Connection {
	for _, c := range s.Connections {
		if c.ID == id || id == "" {
			return c
		}
	}
	return Connection{ID: id}
}

// Processor names who processes payments through a connection; empty is the first one.
func (s State) Processor(connection string) string {
	for _, c := range s.Connections {
		if c.ID == connection {
			return c.Processor
		}
	}
	return s.Started.GetProcessor()
}

// InDoubt reports whether the outcome of an attempt or a refund is unknown.
func (s State) InDoubt() bool {
	return slices.ContainsFunc(s.Attempts[s.Closed:], (*Attempt).InDoubt) || slices.ContainsFunc(s.Refunds, (*RefundRecord).InDoubt)
}

// Disputed reports whether a dispute is open.
func (s State) Disputed() bool {
	return slices.ContainsFunc(s.Disputes, func(d *Dispute) bool { return !d.Closed })
}

// LastOrder is the id of the latest order; 0 if there is none.
func (s State) LastOrder() int64 {
	if s.Ordinal == 0 {
		return 0
	}
	return s.orderID(s.Ordinal)
}

// OpenAttempt is the latest attempt that still waits for an outcome.
func (s State) OpenAttempt() (*Attempt, bool) {
	for i := len(s.Attempts) - 1; i >= s.Closed; i-- {
		if s.Attempts[i].Open() {
			return s.Attempts[i], true
		}
	}
	return nil, false
}

// trying is the attempt of the open pay number that still waits for an outcome. Doubt about an attempt whose number
// was paid by another one keeps nothing from going on.
func (s State) trying() (*Attempt, bool) {
	a, ok := s.OpenAttempt()
	return a, ok && a.Number > s.Paid
}

// lastTry is the latest attempt of the open pay number.
func (s State) lastTry() (*Attempt, bool) {
	if n := len(s.Attempts); n > 0 && s.Attempts[n-1].Number > s.Paid {
		return s.Attempts[n-1], true
	}
	return nil, false
}

// FindAttempt finds an attempt of a pay number.
func (s State) FindAttempt(number, attempt uint32) (*Attempt, bool) {
	if i := s.attempt(number, attempt); i >= 0 {
		return s.Attempts[i], true
	}
	return nil, false
}

// FindAttemptByKey finds the attempt that the gateway knows by key.
func (s State) FindAttemptByKey(key string) (*Attempt, bool) {
	for i := len(s.Attempts) - 1; i >= 0; i-- {
		if s.Attempts[i].Key == key {
			return s.Attempts[i], true
		}
	}
	return nil, false
}

// FindRefund finds a refund by its id.
func (s State) FindRefund(id string) (*RefundRecord, bool) {
	if i := s.refund(id); i >= 0 {
		return s.Refunds[i], true
	}
	return nil, false
}

// FindCharge finds a captured payment by its order.
func (s State) FindCharge(order int64) (*Charge, bool) {
	if i := s.charge(order); i >= 0 {
		return s.Charges[i], true
	}
	return nil, false
}

func (s State) attempt(number, attempt uint32) int {
	for i := len(s.Attempts) - 1; i >= 0; i-- {
		if a := s.Attempts[i]; a.Number == number && a.Attempt == attempt {
			return i
		}
	}
	return -1
}

func (s State) refund(id string) int {
	return slices.IndexFunc(s.Refunds, func(r *RefundRecord) bool { return r.ID == id })
}

func (s State) charge(order int64) int {
	for i := len(s.Charges) - 1; i >= 0; i-- {
		if s.Charges[i].OrderID == order {
			return i
		}
	}
	return -1
}

func (s State) dispute(id string) int {
	return slices.IndexFunc(s.Disputes, func(d *Dispute) bool { return d.ID == id })
}
