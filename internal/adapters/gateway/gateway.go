// Package gateway is the contract between the ledger and the payment gateways. An adapter per gateway lies in a
// folder below; each passes gatewaytest against a server that misbehaves on demand.
package gateway

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// Gateway moves money at one payment gateway.
type Gateway interface {
	Traits() Traits
	// Charge asks for money under c's account. An amount of 0 stores the method and charges nothing.
	Charge(ctx context.Context, conn Connection, c Charge) Result
	// Refund returns money of an earlier charge.
	Refund(ctx context.Context, conn Connection, r Refund) Result
	// Lookup finds what became of a key that may have been sent at `sent`. found is false if the gateway does not
	// know the key now; whether that proves anything is Traits.Horizon's to say. err means that it was not answered.
	Lookup(ctx context.Context, conn Connection, key string, sent time.Time) (r Result, found bool, err error)
}

// Notifier is a Gateway that sends webhooks.
type Notifier interface {
	// Verify checks a raw webhook's signature and reads it. An error means that it is not from the gateway.
	Verify(conn Connection, header http.Header, body []byte, now time.Time) (Notice, error)
	// Read reads a webhook that was verified when it came in. Its signature is not asked for again: the secret may
	// have changed since, and card numbers are blotted out before a webhook is kept.
	Read(conn Connection, body []byte) (Notice, error)
}

// ErrUnreadable is how Verify and Read answer about a message that is authentic and that they cannot make out. It is kept
// for a person to look at; sending it again would not help.
var ErrUnreadable = errors.New("the webhook cannot be read")

// ErrNotConfirmed is how Complete answers about a message that its gateway, asked about it, does not bear out. It may only
// be early; one that stays so is kept for a person to look at.
var ErrNotConfirmed = errors.New("the gateway does not confirm the webhook")

// Completer is a Notifier whose webhooks say less than a Notice does, or more than their signatures cover. What Verify and
// Read answer is then only as much as can be believed: the subscription and the charge's key may be missing.
type Completer interface {
	// Complete asks the gateway for the rest, and is asked before anything else is done with a notice. Its kind becomes
	// NoticeIgnored if it turns out to speak of nothing of ours. An error means that the gateway did not answer, or, if it
	// is an ErrNotConfirmed, that it does not bear the message out.
	Complete(ctx context.Context, conn Connection, n Notice) (Notice, error)
}

// Finder is a Gateway to which a key alone does not say enough. Who still wants what was asked for looks it up here.
type Finder interface {
	// FindCharge is a Lookup of c.Key that also goes on with a payment whose buyer has done his part: at some gateways
	// his consent takes no money, and a second call does. Lookup only looks.
	FindCharge(ctx context.Context, conn Connection, c Charge, sent time.Time) (r Result, found bool, err error)
	// FindRefund is a Lookup of r.Key where the gateway keeps no key of ours with a refund. Lookup finds no refunds there,
	// and that proves nothing.
	FindRefund(ctx context.Context, conn Connection, r Refund, sent time.Time) (res Result, found bool, err error)
}

// FindCharge finds what became of a charge that is still wanted: as g's Finder does, if it is one, else by its key.
func FindCharge(ctx context.Context, g Gateway, conn Connection, c Charge, sent time.Time) (Result, bool, error) {
	if f, ok := g.(Finder); ok {
		return f.FindCharge(ctx, conn, c, sent)
	}
	return g.Lookup(ctx, conn, c.Key, sent)
}

// FindRefund finds what became of a refund: as g's Finder does, if it is one, else by its key.
func FindRefund(ctx context.Context, g Gateway, conn Connection, r Refund, sent time.Time) (Result, bool, error) {
	if f, ok := g.(Finder); ok {
		return f.FindRefund(ctx, conn, r, sent)
	}
	return g.Lookup(ctx, conn, r.Key, sent)
}

// Connector is a Gateway that has to be told of a connection before it can be used.
type Connector interface {
	Connect(ctx context.Context, conn Connection) error
}

// Prover is a Gateway whose connections begin with credentials of the account's own.
type Prover interface {
	// Prove tries a connection's credentials by a call that moves nothing, and tells whose they are. Credentials that the
	// gateway does not accept are a *Refusal; any other error means that it was not answered.
	Prove(ctx context.Context, conn Connection) (Account, error)
}

// Consenter is a Gateway that connects an account by its owner's consent, which he gives at the gateway (OAuth). Nobody
// but the gateway sees a secret of his.
type Consenter interface {
	// ConsentURL is where he gives it. The gateway sends him to callback afterwards, with state. An error that is no *Refusal
	// says what the operator has to set first.
	ConsentURL(conn Connection, state, callback string) (string, error)
	// Consented learns from what he came back with whose account it is, be it the connection's or another. What he or the
	// gateway refused is a *Refusal; if he has consented all the same, to something that is of no use, it comes with the
	// account, so that the consent can be given back. Any other error means that it was not answered. It may be called
	// once for one query.
	Consented(ctx context.Context, conn Connection, query url.Values) (Account, error)
	// Withdraw gives the consent back. What is withdrawn already is no error.
	Withdraw(ctx context.Context, conn Connection) error
}

// Account is a merchant's account as its gateway knows it.
type Account struct {
	ID, Name       string
	PublishableKey string // of the account; empty if the gateway knows none
	Live           bool   // money moves
}

// Refusal is why an account cannot be connected. Reason is one of the reasons below; Message says in a sentence what
// helps.
type Refusal struct{ Reason, Message string }

func (r *Refusal) Error() string { return r.Message }

// The reasons of a Refusal.
const (
	ConsentDenied      = "CONSENT_DENIED"           // the merchant said no
	ConsentCodeInvalid = "CONSENT_CODE_INVALID"     // the code has expired, was used, or was made for somebody else
	AccountIneligible  = "ACCOUNT_INELIGIBLE"       // another platform controls the account
	AccountMismatch    = "ACCOUNT_MISMATCH"         // it is another account than the connection's
	ModeMismatch       = "CONNECTION_MODE_MISMATCH" // a test account for a live connection, or the other way round
	CredentialsRefused = "CREDENTIALS_REFUSED"      // the gateway does not know them
)

// Router is a Notifier whose gateway sends what it tells of every account to one address.
type Router interface {
	// Route checks a raw webhook's signature as Verify does, and tells which account it is about.
	Route(header http.Header, body []byte, now time.Time) (account string, live bool, err error)
}

// Lister is a Notifier whose gateway can be asked what has happened, so that a webhook that was lost is only late.
type Lister interface {
	// List yields what happened in from ≤ t < to, oldest first, as messages that Read reads. One that also came as a
	// webhook has the same id. An error ends it; what was yielded before counts.
	List(ctx context.Context, conn Connection, from, to time.Time) iter.Seq2[Message, error]
}

// Message is a message of a gateway, fetched and therefore authentic.
type Message struct {
	ID   string // unique in the connection for ever
	Body []byte // as Read reads it
	At   time.Time
}

// Abandoner is a Gateway at which a payment that waits for its buyer can be ended.
type Abandoner interface {
	// Abandon ends the payment c of a buyer who has turned back, if nothing was charged yet, and tells what became of it:
	// Expired, if it could be ended. found is false if the gateway does not know it.
	Abandon(ctx context.Context, conn Connection, c Charge, sent time.Time) (r Result, found bool, err error)
}

// Abandon ends the payment of a buyer who has turned back, if g is an Abandoner. Another gateway learns of that by itself,
// or lets the payment run out: it is asked what became of it, and no more than that, for nobody wants the money now.
func Abandon(ctx context.Context, g Gateway, conn Connection, c Charge, sent time.Time) (Result, bool, error) {
	if a, ok := g.(Abandoner); ok {
		return a.Abandon(ctx, conn, c, sent)
	}
	return g.Lookup(ctx, conn, c.Key, sent)
}

// Traits are what a gateway promises.
type Traits struct {
	// Processor is the name under which notifications tell of the gateway; empty if each connection has its own.
	Processor string
	// KeyLifetime is how long the gateway answers a repeated key with the first answer; 0 if it never does, and
	// then an attempt that may have been sent is looked up before it is repeated.
	KeyLifetime time.Duration
	// Horizon is how long after sending a key can still turn up; an empty look-up after it is proof of absence.
	// At least 10 minutes.
	Horizon time.Duration
	// ListEvery is how often a Lister is asked; 15 minutes if zero.
	ListEvery time.Duration
}

// Connection is a merchant's account at a gateway, as an adapter needs it.
type Connection struct {
	Merchant, ID  string
	Gateway       string
	Processor     string
	URL           string
	WebhookSecret string
	// Account is the gateway's own name of the account; Secret is what proves that we may use it, where each account has
	// its own; Live is false for an account that moves no money.
	Account, Secret string
	PublishableKey  string // of an account whose gateway has such; not a secret
	Live            bool
	// NotifyURL is where the gateway sends its webhooks.
	NotifyURL string
	// Blocked says why nothing is charged through it for now; empty if it may be. Adapters need not look at it:
	// whoever calls them does.
	Blocked string
}

// Charge asks for money.
type Charge struct {
	Key    string // derived from business identity; the same for every repeat of one attempt
	Amount *ledgerv1.Money
	// One of the two; neither for a redirect.
	Token  string                  // a one-time token, on the first payment
	Method *ledgerv1.PaymentMethod // a stored method
	// Where the gateway sends the buyer back to after a redirect, and where to if he turned back; CancelURL may be empty.
	ReturnURL, CancelURL   string
	Merchant, Subscription string
	PayNumber, Attempt     uint32
	// Buyer is who pays, for gateways that want to know; nil if it is not told.
	Buyer *ledgerv1.Buyer
	// Once says that nothing is charged after it: there is no need to ask for an agreement or to store the method.
	Once bool
}

// Refund returns money.
type Refund struct {
	Key             string
	ChargeReference string
	Amount          *ledgerv1.Money
	// Others counts the other refunds of the same amount of that charge that were made or are under way, and those in
	// doubt that were asked for before this one: a gateway that keeps no key with a refund is counted through.
	Others int
}

// Class is what a gateway call amounts to. Exactly one fits.
type Class int

// The classes of Result.
const (
	// Unknown: it may have happened. Everything that is not surely one of the others: a time-out after the first
	// byte went out, a reset, 5xx, an unreadable answer.
	Unknown Class = iota
	// NotSent: it surely did not happen (connection refused, DNS, TLS, breaker open, 401, 429). The same key may be used again.
	NotSent
	// Pending: the gateway has it and will decide later.
	Pending
	// Accepted: the money moved.
	Accepted
	// Rejected: it surely did not and will not move.
	Rejected
)

// Result is what a gateway call amounts to.
type Result struct {
	Class     Class
	Reference string // the gateway's id of the charge or refund
	Why       string // Unknown, NotSent: in words for an operator

	// NotSent
	RetryAfter time.Duration // how long to wait, as the gateway or Transport says; 0 if neither does
	Config     bool          // nothing will go out before somebody changes the connection

	// Pending
	NextAction *ledgerv1.NextAction
	ExpiresAt  time.Time // zero if the gateway names none

	// Accepted
	At      time.Time // the gateway's time of it; zero if it names none
	Amount  *ledgerv1.Money
	Fee     *ledgerv1.Money // nil if the gateway does not say
	Settled *ledgerv1.Money // nil if in the same currency
	Method  *ledgerv1.PaymentMethod

	// Rejected
	Category              ledgerv1.DeclineCategory
	Code, Advice, Message string
	Expired               bool // a pending one that ran out at the gateway, or was ended there before anybody paid
	StopOrder             bool // the buyer stopped all payments; nothing may be tried again
	AgreementLost         bool // the right to charge is gone; not a decline
	// Reversed: a refund that had succeeded came back.
	Reversed bool
}

// NoticeKind is what a webhook speaks of.
type NoticeKind int

// The kinds of Notice.
const (
	NoticeIgnored      NoticeKind = iota // authentic, and nothing to us
	NoticeCharge                         // look the charge's key up
	NoticeRefund                         // look the refund's key up; if Key is a charge's, all its refunds that are open
	NoticeDispute                        // Dispute is set
	NoticeAgreement                      // the buyer ended the agreement
	NoticePayment                        // the gateway took a payment by itself; Payment is set
	NoticeRefundMade                     // somebody returned money at the gateway itself; Refund is set
	NoticeDisconnected                   // the merchant took our access to the account away; it names no subscription
)

// Notice is what an authentic webhook says. Of what carries a key of ours, charges and refunds that we asked for, it
// is a hint only: what counts is what a look-up of Key answers. What we did not cause, a dispute, a payment or a refund
// of the gateway's own, has no key to be looked up by and is taken as told.
type Notice struct {
	ID           string // the gateway's id of the message; the same on every redelivery
	Kind         NoticeKind
	Subscription string // as the charge, or the stored method, named it
	Key          string // of the charge or refund it speaks of; empty if that is not of our asking
	Reference    string // what the gateway calls it, where a Completer has yet to learn the rest by it; else empty
	Dispute      *Dispute
	Payment      *ObservedPayment
	Refund       *ObservedRefund
	Code         string // of a lost agreement
	Method       string // the stored method whose agreement was lost; empty if the gateway does not say
}

// Dispute is one step of a dispute. The disputed charge is named by its key if it carried one, and by the gateway's
// reference: one that the gateway made by itself, or another system before us, has no key that we know.
type Dispute struct {
	ID              string
	ChargeKey       string
	ChargeReference string
	Stage           ledgerv1.DisputeStage
	Amount          *ledgerv1.Money
	Fee             *ledgerv1.Money
	Reason          string
	Outcome         ledgerv1.DisputeOutcome
	At              time.Time
}

// ObservedPayment is a payment that nobody asked the gateway for: it runs a schedule of its own. It carries no key of
// ours; Reference is its only name.
type ObservedPayment struct {
	Reference string
	Amount    *ledgerv1.Money
	Fee       *ledgerv1.Money         // nil if the gateway does not say
	Settled   *ledgerv1.Money         // nil if in the same currency
	Method    *ledgerv1.PaymentMethod // nil if the gateway does not say
	At        time.Time
}

// ObservedRefund is money that was returned at the gateway itself, past the ledger. It carries no key of ours;
// Reference is its only name. The charge is named as in Dispute.
type ObservedRefund struct {
	Reference       string
	ChargeKey       string
	ChargeReference string
	Amount          *ledgerv1.Money
	Reason          string
	At              time.Time
}
