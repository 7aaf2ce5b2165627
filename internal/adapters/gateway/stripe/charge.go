package stripe

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	stripego "github.com/stripe/stripe-go/v85"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

// What stands in the metadata of our objects. https://docs.stripe.com/api/metadata
const (
	metaKey          = "ledger_key"
	metaMerchant     = "ledger_merchant"
	metaSubscription = "ledger_subscription"
	metaPayNumber    = "ledger_pay_number"
	metaAttempt      = "ledger_attempt"
	metaCurrency     = "ledger_currency" // of a SetupIntent, which has none
	metaCheckout     = "ledger_checkout" // set if the intent belongs to a Checkout Session
)

const (
	offSession = "off_session"
	// automatic has the charge booked before it is answered; the default leaves its fee open.
	// https://docs.stripe.com/payments/payment-intents/asynchronous-capture
	automatic = "automatic"
)

// metadata is what our objects are found by.
func metadata(c gateway.Charge) map[string]string {
	return map[string]string{
		metaKey: c.Key, metaMerchant: c.Merchant, metaSubscription: c.Subscription,
		metaPayNumber: strconv.FormatUint(uint64(c.PayNumber), 10), metaAttempt: strconv.FormatUint(uint64(c.Attempt), 10),
	}
}

// methodReference names a stored method together with its customer; splitReference undoes it.
func methodReference(customer, method string) string { return customer + "/" + method }

func splitReference(reference string) (customer, method string) {
	if customer, method, ok := strings.Cut(reference, "/"); ok {
		return customer, method
	}
	return "", reference
}

// Charge implements gateway.Gateway.
func (g *Gateway) Charge(ctx context.Context, conn gateway.Connection, c gateway.Charge) gateway.Result {
	units, err := inUnits(c.Amount)
	if err != nil {
		return gateway.Result{Class: gateway.Rejected, Category: hard, Code: "amount_not_expressible", Message: err.Error()}
	}
	if c.Token == "" && c.Method == nil {
		return g.checkout(ctx, conn, c, units)
	}
	customer, method := splitReference(c.Method.GetReference())
	if c.Token != "" {
		var res gateway.Result
		if customer, res = g.customer(ctx, conn, c); customer == "" {
			return res
		}
	}
	var reply gateway.Reply
	if units == 0 {
		reply, err = g.call(conn, http.MethodPost, "/v1/setup_intents", setup(ctx, conn, c, customer, method))
	} else {
		reply, err = g.call(conn, http.MethodPost, "/v1/payment_intents", payment(ctx, conn, c, units, customer, method))
	}
	if err != nil {
		return failed(err)
	}
	return charged(reply, c.Key)
}

// charged judges the answer to a charge.
func charged(reply gateway.Reply, key string) gateway.Result {
	if reply.Status != http.StatusOK {
		if e := errorOf(reply); e != nil && !e.isAbout(key) {
			return unknown("the error is not about this charge")
		}
		return refused(reply)
	}
	i, err := intentOf(reply.Body)
	if err != nil {
		return unknown("%v", err)
	}
	if i.Metadata[metaKey] != key {
		return unknown("the answer is about %s %s and not about this charge", i.Object, i.ID)
	}
	return i.result()
}

// isAbout reports whether an error that names an intent names the one of key.
func (e *apiError) isAbout(key string) bool {
	for _, i := range []*intent{e.PaymentIntent, e.SetupIntent} {
		if i != nil && i.Metadata[metaKey] != key {
			return false
		}
	}
	return true
}

func intentOf(body []byte) (*intent, error) {
	var i intent
	if err := json.Unmarshal(body, &i); err != nil {
		return nil, fmt.Errorf("unreadable answer: %w", err)
	}
	if i.ID == "" || i.Object != paymentIntent && i.Object != setupIntent {
		return nil, errors.New("the answer is no intent")
	}
	return &i, nil
}

// payment words a payment. https://docs.stripe.com/api/payment_intents/create
func payment(ctx context.Context, conn gateway.Connection, c gateway.Charge, units int64, customer, method string) *stripego.PaymentIntentCreateParams {
	p := &stripego.PaymentIntentCreateParams{
		Params: as(ctx, conn, c.Key), Amount: &units, Currency: currency(c.Amount), Confirm: stripego.Bool(true),
		CaptureMethod: stripego.String(automatic), Customer: optional(customer), ReturnURL: optional(c.ReturnURL),
		Metadata: metadata(c), Expand: expandIntent(paymentIntent),
		AutomaticPaymentMethods: &stripego.PaymentIntentCreateAutomaticPaymentMethodsParams{
			Enabled: stripego.Bool(true), AllowRedirects: redirects(c.ReturnURL),
		},
	}
	switch {
	case c.Token == "":
		p.PaymentMethod, p.OffSession = &method, stripego.Bool(true)
	case isConfirmation(c.Token):
		p.ConfirmationToken, p.SetupFutureUsage = &c.Token, stripego.String(offSession)
	default:
		p.PaymentMethod, p.SetupFutureUsage = &c.Token, stripego.String(offSession)
	}
	return p
}

// setup words the storing of a method without a payment. https://docs.stripe.com/api/setup_intents/create
func setup(ctx context.Context, conn gateway.Connection, c gateway.Charge, customer, method string) *stripego.SetupIntentCreateParams {
	p := &stripego.SetupIntentCreateParams{
		Params: as(ctx, conn, c.Key), Confirm: stripego.Bool(true), Usage: stripego.String(offSession),
		Customer: optional(customer), ReturnURL: optional(c.ReturnURL), Metadata: metadata(c), Expand: expandIntent(setupIntent),
		AutomaticPaymentMethods: &stripego.SetupIntentCreateAutomaticPaymentMethodsParams{
			Enabled: stripego.Bool(true), AllowRedirects: redirects(c.ReturnURL),
		},
	}
	p.Metadata[metaCurrency] = c.Amount.GetCurrencyCode()
	switch {
	case c.Token == "":
		p.PaymentMethod = &method
	case isConfirmation(c.Token):
		p.ConfirmationToken = &c.Token
	default:
		p.PaymentMethod = &c.Token
	}
	return p
}

// redirects says that methods which need an address to come back to are possible only with one; Stripe refuses the
// request otherwise.
func redirects(returnURL string) *string {
	if returnURL == "" {
		return stripego.String("never")
	}
	return nil
}

// isConfirmation tells a ConfirmationToken from a PaymentMethod. https://docs.stripe.com/api/confirmation_tokens
func isConfirmation(token string) bool { return strings.HasPrefix(token, "ctoken_") }

// expandIntent are the objects that an answer is to hold whole: the method's digits, and the fee.
func expandIntent(object string) []*string {
	if object == setupIntent {
		return stripego.StringSlice([]string{"payment_method"})
	}
	return stripego.StringSlice([]string{"payment_method", "latest_charge.balance_transaction"})
}

func currency(m *ledgerv1.Money) *string {
	return stripego.String(strings.ToLower(m.GetCurrencyCode()))
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// customerTries is how often the making of a customer is tried under another key.
const customerTries = 3

// customer makes the customer that a first payment's method is kept for; "" with the reason if it could not. Nothing was
// charged then. The keys derive from the charge's, so that the charge's repeat names the same customer; the next one is
// taken after an internal error, because Stripe would repeat that for a day.
func (g *Gateway) customer(ctx context.Context, conn gateway.Connection, c gateway.Charge) (string, gateway.Result) {
	ctx, cancel := context.WithTimeout(ctx, customerTimeout)
	defer cancel()
	var res gateway.Result
	for try := range customerTries {
		reply, err := g.call(conn, http.MethodPost, "/v1/customers", &stripego.CustomerCreateParams{
			Params:   as(ctx, conn, fmt.Sprintf("%s-customer-%d", c.Key, try)),
			Metadata: map[string]string{metaMerchant: c.Merchant, metaSubscription: c.Subscription},
		})
		if err != nil {
			res = failed(err)
			break
		}
		var made struct {
			ID     string `json:"id"`
			Object string `json:"object"`
		}
		if err := json.Unmarshal(reply.Body, &made); err == nil && reply.Status == http.StatusOK && made.Object == "customer" && made.ID != "" {
			return made.ID, gateway.Result{}
		}
		res = refused(reply)
		if reply.Status < http.StatusInternalServerError {
			break
		}
	}
	if res.Class == gateway.Unknown {
		res = gateway.Result{Class: gateway.NotSent, Why: "no customer could be made to charge: " + res.Why}
	}
	return "", res
}

// checkout sends the buyer to Stripe's own page. https://docs.stripe.com/api/checkout/sessions/create
func (g *Gateway) checkout(ctx context.Context, conn gateway.Connection, c gateway.Charge, units int64) gateway.Result {
	p := &stripego.CheckoutSessionCreateParams{
		Params: as(ctx, conn, c.Key), Metadata: metadata(c), CustomerCreation: stripego.String("always"),
		SuccessURL: optional(c.ReturnURL), CancelURL: optional(cmp.Or(c.CancelURL, c.ReturnURL)),
	}
	carried := metadata(c)
	carried[metaCheckout] = "1"
	if units == 0 {
		carried[metaCurrency] = c.Amount.GetCurrencyCode()
		p.Mode, p.Currency = stripego.String("setup"), currency(c.Amount)
		p.SetupIntentData = &stripego.CheckoutSessionCreateSetupIntentDataParams{Metadata: carried}
	} else {
		p.Mode = stripego.String("payment")
		p.LineItems = []*stripego.CheckoutSessionCreateLineItemParams{lineItem(c, units)}
		p.PaymentIntentData = &stripego.CheckoutSessionCreatePaymentIntentDataParams{
			Metadata: carried, SetupFutureUsage: stripego.String(offSession), CaptureMethod: stripego.String(automatic),
		}
	}
	reply, err := g.call(conn, http.MethodPost, "/v1/checkout/sessions", p)
	if err != nil {
		return failed(err)
	}
	if reply.Status != http.StatusOK {
		return refused(reply)
	}
	s, err := sessionOf(reply.Body)
	if err != nil {
		return unknown("%v", err)
	}
	if s.Metadata[metaKey] != c.Key {
		return unknown("the answer is about %s and not about this charge", s.ID)
	}
	return s.result()
}

// lineItem is what the page shows. The ledger knows no product by name.
func lineItem(c gateway.Charge, units int64) *stripego.CheckoutSessionCreateLineItemParams {
	return &stripego.CheckoutSessionCreateLineItemParams{
		Quantity: stripego.Int64(1),
		PriceData: &stripego.CheckoutSessionCreateLineItemPriceDataParams{
			Currency: currency(c.Amount), UnitAmount: &units,
			ProductData: &stripego.CheckoutSessionCreateLineItemPriceDataProductDataParams{
				Name: stripego.String("Subscription " + cmp.Or(c.Subscription, c.Key)),
			},
		},
	}
}

func sessionOf(body []byte) (*session, error) {
	var s session
	if err := json.Unmarshal(body, &s); err != nil {
		return nil, fmt.Errorf("unreadable answer: %w", err)
	}
	if s.ID == "" || s.Object != "checkout.session" {
		return nil, errors.New("the answer is no checkout session")
	}
	return &s, nil
}
