package stripe

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/stripe/stripe-go/v85/webhook"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

const (
	signatureHeader = "Stripe-Signature"
	// tolerance is how far a webhook's time may be from ours, either way.
	// https://docs.stripe.com/webhooks#replay-attacks
	tolerance = 5 * time.Minute
)

// Why Verify refuses a webhook.
var (
	ErrNoSecret     = errors.New("no webhook secret is set")
	ErrBadSignature = errors.New("the webhook's signature is missing or wrong")
	ErrOldSignature = errors.New("the webhook's signature is too old or of the future")
	ErrBadBody      = fmt.Errorf("it is signed: %w", gateway.ErrUnreadable)
	// ErrOtherAccount: a platform's endpoint gets the events of all its accounts, and this one came to the wrong one.
	ErrOtherAccount = fmt.Errorf("it is about another account: %w", gateway.ErrUnreadable)
)

// deauthorized tells that an account has taken our access away.
const deauthorized = "account.application.deauthorized"

// EventTypes are the events that an endpoint has to be registered for. https://docs.stripe.com/api/events/types
func EventTypes() []string {
	return []string{
		deauthorized,
		"charge.dispute.closed", "charge.dispute.created", "charge.dispute.funds_reinstated", "charge.dispute.funds_withdrawn",
		"charge.dispute.updated",
		"checkout.session.async_payment_failed", "checkout.session.async_payment_succeeded", "checkout.session.completed",
		"checkout.session.expired",
		"payment_intent.canceled", "payment_intent.payment_failed", "payment_intent.processing", "payment_intent.succeeded",
		"payment_method.detached",
		"refund.created", "refund.failed", "refund.updated",
		"setup_intent.canceled", "setup_intent.setup_failed", "setup_intent.succeeded",
	}
}

// Verify implements gateway.Notifier.
func (g *Gateway) Verify(conn gateway.Connection, header http.Header, body []byte, now time.Time) (gateway.Notice, error) {
	secrets := g.c.WebhookSecrets
	if conn.WebhookSecret != "" {
		secrets = []string{conn.WebhookSecret}
	}
	if err := checkSignature(secrets, header.Get(signatureHeader), body, now); err != nil {
		return gateway.Notice{}, err
	}
	return g.Read(conn, body)
}

// checkSignature refuses a body that none of the secrets has signed a short while ago.
// https://docs.stripe.com/webhooks#verify-manually
func checkSignature(secrets []string, signature string, body []byte, now time.Time) error {
	err := ErrNoSecret
	for _, secret := range secrets {
		if secret == "" {
			continue // what it would sign, anybody could
		}
		refused := webhook.ValidatePayloadIgnoringTolerance(body, signature, secret)
		if refused == nil {
			// The library measures by a clock of its own, and believes the future.
			if d := now.Sub(signedAt(signature)); d > tolerance || d < -tolerance {
				return ErrOldSignature
			}
			return nil
		}
		err = fmt.Errorf("%w: %w", ErrBadSignature, refused)
	}
	return err
}

// signedAt is the time that a valid header vouches for: the last one, if there are several, is what was signed.
func signedAt(header string) time.Time {
	var unix int64
	for part := range strings.SplitSeq(header, ",") {
		if t, ok := strings.CutPrefix(part, "t="); ok {
			unix, _ = strconv.ParseInt(t, 10, 64) // the library has read it already
		}
	}
	return time.Unix(unix, 0)
}

// event is https://docs.stripe.com/api/events/object. Its objects are rendered under the API version of the endpoint,
// not of the library, so no more is read of them than has been the same in all.
type event struct {
	ID       string `json:"id"`
	Object   string `json:"object"`
	Type     string `json:"type"`
	Account  string `json:"account"`
	Livemode bool   `json:"livemode"`
	Created  int64  `json:"created"`
	Data     struct {
		Object   json.RawMessage `json:"object"`
		Previous struct {
			Customer string `json:"customer"`
		} `json:"previous_attributes"`
	} `json:"data"`
}

func eventOf(body []byte) (*event, error) {
	var e event
	if err := json.Unmarshal(body, &e); err != nil || e.ID == "" || e.Object != "event" || e.Type == "" {
		return nil, ErrBadBody
	}
	return &e, nil
}

// Read implements gateway.Notifier.
func (g *Gateway) Read(conn gateway.Connection, body []byte) (gateway.Notice, error) {
	e, err := eventOf(body)
	if err != nil {
		return gateway.Notice{}, err
	}
	if want := account(conn); want != nil && e.Account != *want || want == nil && e.Account != "" && e.Account != conn.Account {
		return gateway.Notice{}, ErrOtherAccount
	}
	// A platform's live endpoint gets the test events of its accounts too.
	// https://docs.stripe.com/connect/webhooks
	if e.Livemode != conn.Live {
		return gateway.Notice{ID: e.ID}, nil
	}
	return e.notice(conn)
}

func (e *event) notice(conn gateway.Connection) (gateway.Notice, error) {
	switch kind := e.Type; {
	case kind == deauthorized:
		return gateway.Notice{ID: e.ID, Kind: gateway.NoticeDisconnected}, nil
	case told[kind]:
		return e.chargeNotice(conn)
	case strings.HasPrefix(kind, "refund."):
		return e.refundNotice(conn)
	case strings.HasPrefix(kind, "charge.dispute."):
		return e.disputeNotice()
	case kind == "payment_method.detached":
		return e.detachedNotice()
	}
	return gateway.Notice{ID: e.ID}, nil
}

// told are the events after which a charge's key is looked up.
var told = map[string]bool{
	"payment_intent.canceled": true, "payment_intent.payment_failed": true, "payment_intent.processing": true, "payment_intent.succeeded": true,
	"setup_intent.canceled": true, "setup_intent.setup_failed": true, "setup_intent.succeeded": true,
	"checkout.session.completed": true, "checkout.session.expired": true,
	"checkout.session.async_payment_succeeded": true, "checkout.session.async_payment_failed": true,
}

// chargeNotice: what does not carry our key, or another merchant's, is none of ours.
func (e *event) chargeNotice(conn gateway.Connection) (gateway.Notice, error) {
	var o anything
	if err := json.Unmarshal(e.Data.Object, &o); err != nil || o.ID == "" {
		return gateway.Notice{}, ErrBadBody
	}
	n := gateway.Notice{ID: e.ID}
	if o.Metadata[metaKey] != "" && o.Metadata[metaMerchant] == conn.Merchant {
		n.Kind, n.Key, n.Subscription = gateway.NoticeCharge, o.Metadata[metaKey], o.Metadata[metaSubscription]
	}
	return n, nil
}

// refundNotice tells of our refund by its key, and of one made at the desk once it has succeeded.
func (e *event) refundNotice(conn gateway.Connection) (gateway.Notice, error) {
	var r refund
	if err := json.Unmarshal(e.Data.Object, &r); err != nil || r.ID == "" || r.PaymentIntent == "" && r.Charge == "" {
		return gateway.Notice{}, ErrBadBody
	}
	n := gateway.Notice{ID: e.ID, Refund: &gateway.ObservedRefund{
		Reference: r.ID, ChargeReference: paidBy(r.PaymentIntent, r.Charge), Amount: inMoney(r.Currency, r.Amount),
		Reason: r.Reason, At: at(r.Created),
	}}
	switch {
	case r.Metadata[metaKey] != "":
		n.Kind, n.Key = gateway.NoticeRefund, r.Metadata[metaKey]
		if r.Metadata[metaMerchant] != conn.Merchant {
			return gateway.Notice{ID: e.ID}, nil
		}
	case r.Status == statusSucceeded && r.Amount > 0 && r.Currency != "":
		n.Kind = gateway.NoticeRefundMade
	default:
		return gateway.Notice{ID: e.ID}, nil
	}
	return n, nil
}

// paidBy is the reference of a payment: its intent's id, or its charge's if it has none.
func paidBy(intent, charge string) string {
	if intent != "" {
		return intent
	}
	return charge
}

// dispute is https://docs.stripe.com/api/disputes/object.
type dispute struct {
	ID                  string               `json:"id"`
	Amount              int64                `json:"amount"`
	Currency            string               `json:"currency"`
	Charge              expandable[struct{}] `json:"charge"`
	PaymentIntent       expandable[struct{}] `json:"payment_intent"`
	Reason              string               `json:"reason"`
	Status              string               `json:"status"`
	BalanceTransactions []balanceTransaction `json:"balance_transactions"`
}

func (e *event) disputeNotice() (gateway.Notice, error) {
	var d dispute
	if err := json.Unmarshal(e.Data.Object, &d); err != nil || d.ID == "" || d.PaymentIntent.ID == "" && d.Charge.ID == "" || d.Currency == "" {
		return gateway.Notice{}, ErrBadBody
	}
	stage, outcome := d.stage(e.Type)
	if stage == ledgerv1.DisputeStage_DISPUTE_STAGE_UNSPECIFIED {
		return gateway.Notice{ID: e.ID}, nil
	}
	step := &gateway.Dispute{
		ID: d.ID, ChargeReference: paidBy(d.PaymentIntent.ID, d.Charge.ID), Stage: stage, Outcome: outcome,
		Amount: inMoney(d.Currency, d.Amount), Reason: d.Reason, At: at(e.Created),
	}
	if stage == ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_WITHDRAWN {
		step.Fee = d.fee()
	}
	return gateway.Notice{ID: e.ID, Kind: gateway.NoticeDispute, Dispute: step}, nil
}

// stage is what an event says of a dispute. Its statuses: https://docs.stripe.com/api/disputes/object#dispute_object-status
func (d *dispute) stage(kind string) (ledgerv1.DisputeStage, ledgerv1.DisputeOutcome) {
	inquiry := strings.HasPrefix(d.Status, "warning_")
	switch kind {
	case "charge.dispute.created", "charge.dispute.updated":
		switch {
		case inquiry:
			return ledgerv1.DisputeStage_DISPUTE_STAGE_INQUIRY, 0
		case kind == "charge.dispute.created" || d.Status == "needs_response": // an inquiry may turn into a dispute
			return ledgerv1.DisputeStage_DISPUTE_STAGE_OPENED, 0
		}
	case "charge.dispute.funds_withdrawn":
		return ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_WITHDRAWN, 0
	case "charge.dispute.funds_reinstated":
		return ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_REINSTATED, 0
	case "charge.dispute.closed":
		if o, ok := outcomes[d.Status]; ok {
			return ledgerv1.DisputeStage_DISPUTE_STAGE_CLOSED, o
		}
	}
	return 0, 0
}

// outcomes are the last statuses of disputes. One that was prevented ended before money moved by it; what was given back
// to the buyer instead is a refund, and told as such.
var outcomes = map[string]ledgerv1.DisputeOutcome{
	"won":            ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_WON,
	"lost":           ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_LOST,
	"warning_closed": ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_INQUIRY_CLOSED,
	"prevented":      ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_INQUIRY_CLOSED,
}

// fee is what Stripe took for the dispute when it withdrew the money; nil if it does not say.
func (d *dispute) fee() *ledgerv1.Money {
	for _, b := range d.BalanceTransactions {
		if b.Amount < 0 && b.Fee > 0 && b.Currency != "" {
			return inMoney(b.Currency, b.Fee)
		}
	}
	return nil
}

// detachedNotice tells that a stored method can no longer be charged. It names the customer that had it.
func (e *event) detachedNotice() (gateway.Notice, error) {
	var m paymentMethod
	if err := json.Unmarshal(e.Data.Object, &m); err != nil || m.ID == "" {
		return gateway.Notice{}, ErrBadBody
	}
	if e.Data.Previous.Customer == "" {
		return gateway.Notice{ID: e.ID}, nil
	}
	return gateway.Notice{
		ID: e.ID, Kind: gateway.NoticeAgreement, Code: "payment_method_detached",
		Method: methodReference(e.Data.Previous.Customer, m.ID),
	}, nil
}
