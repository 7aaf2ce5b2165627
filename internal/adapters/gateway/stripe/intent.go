package stripe

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/aggregate/money"
)

// What is read of Stripe's objects. The library's own types would do but for its error, which lacks the advice.

// apiError is https://docs.stripe.com/api/errors, and what an intent remembers of its last failure.
type apiError struct {
	Type               string         `json:"type"`
	Code               string         `json:"code"`
	DeclineCode        string         `json:"decline_code"`
	AdviceCode         string         `json:"advice_code"`
	NetworkAdviceCode  string         `json:"network_advice_code"`
	NetworkDeclineCode string         `json:"network_decline_code"`
	Message            string         `json:"message"`
	Param              string         `json:"param"`
	PaymentIntent      *intent        `json:"payment_intent"`
	SetupIntent        *intent        `json:"setup_intent"`
	PaymentMethod      *paymentMethod `json:"payment_method"`
}

// The statuses of an intent. https://docs.stripe.com/payments/paymentintents/lifecycle
const (
	statusSucceeded             = "succeeded"
	statusProcessing            = "processing"
	statusRequiresAction        = "requires_action"
	statusRequiresPaymentMethod = "requires_payment_method"
	statusCanceled              = "canceled"
)

const (
	paymentIntent = "payment_intent"
	setupIntent   = "setup_intent"
)

// intent is a PaymentIntent or a SetupIntent, which differ little.
type intent struct {
	ID                 string                    `json:"id"`
	Object             string                    `json:"object"`
	Status             string                    `json:"status"`
	Amount             int64                     `json:"amount"`
	AmountReceived     int64                     `json:"amount_received"`
	Currency           string                    `json:"currency"`
	Created            int64                     `json:"created"`
	CancellationReason string                    `json:"cancellation_reason"`
	ClientSecret       string                    `json:"client_secret"`
	Customer           expandable[struct{}]      `json:"customer"`
	PaymentMethod      expandable[paymentMethod] `json:"payment_method"`
	LatestCharge       expandable[charge]        `json:"latest_charge"`
	LastPaymentError   *apiError                 `json:"last_payment_error"`
	LastSetupError     *apiError                 `json:"last_setup_error"`
	NextAction         *struct {
		RedirectToURL *struct {
			URL string `json:"url"`
		} `json:"redirect_to_url"`
	} `json:"next_action"`
	Metadata map[string]string `json:"metadata"`
}

type paymentMethod struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Customer string `json:"customer"`
	Card     *struct {
		Brand string `json:"brand"`
		Last4 string `json:"last4"`
	} `json:"card"`
}

type charge struct {
	ID                 string                         `json:"id"`
	Created            int64                          `json:"created"`
	BalanceTransaction expandable[balanceTransaction] `json:"balance_transaction"`
}

type balanceTransaction struct {
	ID       string `json:"id"`
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
	Fee      int64  `json:"fee"`
}

// expandable is an object, or only its id, as was asked for. https://docs.stripe.com/api/expanding_objects
type expandable[T any] struct {
	ID     string
	Object *T
}

// UnmarshalJSON implements json.Unmarshaler.
func (x *expandable[T]) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(b, []byte{'"'}) || bytes.Equal(b, []byte("null")) {
		return json.Unmarshal(b, &x.ID)
	}
	var named struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(b, &named); err != nil {
		return err
	}
	x.ID = named.ID
	return json.Unmarshal(b, &x.Object)
}

func (i *intent) lastError() *apiError {
	if i.LastPaymentError != nil {
		return i.LastPaymentError
	}
	return i.LastSetupError
}

// result is what the intent amounts to; a status that is not known amounts to Unknown.
func (i *intent) result() gateway.Result {
	switch e := i.lastError(); i.Status {
	case statusSucceeded:
		return i.accepted()
	case statusProcessing:
		return gateway.Result{Class: gateway.Pending, Reference: i.ID}
	case statusRequiresAction:
		return i.pending()
	case statusRequiresPaymentMethod:
		if e == nil {
			return i.pending() // nobody has tried yet
		}
		return e.result(i.ID)
	case statusCanceled:
		if e != nil {
			return e.result(i.ID)
		}
		return gateway.Result{
			Class: gateway.Rejected, Reference: i.ID, Category: soft, Code: cmp.Or(i.CancellationReason, statusCanceled),
			Expired: slices.Contains([]string{"automatic", "expired", "abandoned"}, i.CancellationReason),
		}
	}
	return unknown("%s %s has the status %q", i.Object, i.ID, i.Status)
}

func (i *intent) pending() gateway.Result {
	next := &ledgerv1.NextAction{ClientSecret: i.ClientSecret}
	if i.NextAction != nil && i.NextAction.RedirectToURL != nil {
		next.RedirectUrl = i.NextAction.RedirectToURL.URL
	}
	return gateway.Result{Class: gateway.Pending, Reference: i.ID, NextAction: next}
}

func (i *intent) accepted() gateway.Result {
	r := gateway.Result{Class: gateway.Accepted, Reference: i.ID, At: at(i.Created), Method: i.method()}
	if i.Object == setupIntent {
		if code := i.Metadata[metaCurrency]; code != "" {
			r.Amount = money.New(code, 0)
		}
		return r
	}
	if i.Currency == "" {
		return unknown("%s has succeeded without an amount", i.ID)
	}
	r.Amount = inMoney(i.Currency, i.AmountReceived)
	if c := i.LatestCharge.Object; c != nil {
		r.At = at(c.Created)
		r.Fee, r.Settled = c.BalanceTransaction.Object.fee(), c.BalanceTransaction.Object.settled(i.Currency)
	}
	return r
}

func (i *intent) method() *ledgerv1.PaymentMethod {
	if i.PaymentMethod.ID == "" || i.Customer.ID == "" {
		return nil
	}
	m := &ledgerv1.PaymentMethod{Reference: methodReference(i.Customer.ID, i.PaymentMethod.ID)}
	if p := i.PaymentMethod.Object; p != nil {
		m.Brand = p.Type
		if p.Card != nil {
			m.Brand, m.Last4 = p.Card.Brand, p.Card.Last4
		}
	}
	return m
}

func (b *balanceTransaction) fee() *ledgerv1.Money {
	if b == nil {
		return nil
	}
	return inMoney(b.Currency, b.Fee)
}

// settled is what was booked, where that is in another currency.
func (b *balanceTransaction) settled(currency string) *ledgerv1.Money {
	if b == nil || b.Currency == currency {
		return nil
	}
	return inMoney(b.Currency, b.Amount)
}

// session is https://docs.stripe.com/api/checkout/sessions/object.
type session struct {
	ID            string            `json:"id"`
	Object        string            `json:"object"`
	Status        string            `json:"status"`
	URL           string            `json:"url"`
	ExpiresAt     int64             `json:"expires_at"`
	PaymentIntent string            `json:"payment_intent"`
	SetupIntent   string            `json:"setup_intent"`
	Metadata      map[string]string `json:"metadata"`
}

// The statuses of a session.
const (
	sessionOpen     = "open"
	sessionExpired  = "expired"
	sessionComplete = "complete"
)

// result is what a session amounts to that has led to no payment.
func (s *session) result() gateway.Result {
	switch s.Status {
	case sessionOpen:
		return gateway.Result{
			Class: gateway.Pending, Reference: s.ID, ExpiresAt: at(s.ExpiresAt), NextAction: &ledgerv1.NextAction{RedirectUrl: s.URL},
		}
	case sessionExpired:
		return gateway.Result{Class: gateway.Rejected, Reference: s.ID, Category: soft, Code: "checkout_session_expired", Expired: true}
	}
	return unknown("checkout session %s has the status %q", s.ID, s.Status)
}

// refund is https://docs.stripe.com/api/refunds/object.
type refund struct {
	ID            string            `json:"id"`
	Object        string            `json:"object"`
	Status        string            `json:"status"`
	Amount        int64             `json:"amount"`
	Currency      string            `json:"currency"`
	Created       int64             `json:"created"`
	Charge        string            `json:"charge"`
	PaymentIntent string            `json:"payment_intent"`
	Reason        string            `json:"reason"`
	FailureReason string            `json:"failure_reason"`
	Metadata      map[string]string `json:"metadata"`
}

// result is what the refund amounts to.
func (r *refund) result() gateway.Result {
	switch r.Status {
	case statusSucceeded:
		return gateway.Result{Class: gateway.Accepted, Reference: r.ID, At: at(r.Created), Amount: inMoney(r.Currency, r.Amount)}
	case "pending", statusRequiresAction:
		return gateway.Result{Class: gateway.Pending, Reference: r.ID}
	case "failed", statusCanceled:
		// Stripe does not say whether it had succeeded before; whoever was told so knows.
		return gateway.Result{
			Class: gateway.Rejected, Reference: r.ID, Category: hard, Code: cmp.Or(r.FailureReason, r.Status), Reversed: true,
		}
	}
	return unknown("refund %s has the status %q", r.ID, r.Status)
}

func at(unix int64) time.Time {
	if unix == 0 {
		return time.Time{}
	}
	return time.Unix(unix, 0).UTC()
}
