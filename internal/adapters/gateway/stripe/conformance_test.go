package stripe_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/clock"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/gateway/gatewaytest"
	"ledger.internal/ledger/internal/adapters/gateway/stripe"
	"ledger.internal/ledger/internal/adapters/gateway/stripe/stripetest"
)

const (
	secretKey     = "sk_test_platform"
	webhookSecret = "whsec_test"
	account       = "acct_1"
	unpaced       = 1_000_000 // a limit that no test reaches
)

var start = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// world is a Stripe on loopback, and a merchant's account there.
type world struct {
	server  *stripetest.Server
	clock   *clock.Stepped
	url     string
	gateway *stripe.Gateway
	conn    gateway.Connection
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{clock: clock.NewStepped(start), gateway: stripe.New(stripe.Config{TestKey: secretKey, PerSecond: unpaced})}
	w.server = stripetest.New(stripetest.Config{Key: secretKey, Account: account, WebhookSecret: webhookSecret, Now: w.clock.Now})
	srv := httptest.NewServer(w.server)
	t.Cleanup(srv.Close)
	t.Cleanup(w.server.Close) // first, so that nobody waits
	w.url = srv.URL
	w.conn = gateway.Connection{
		Merchant: "m1", ID: "c1", Gateway: "stripe", Processor: "Stripe", URL: srv.URL, Account: account, WebhookSecret: webhookSecret,
	}
	return w
}

func TestConformance(t *testing.T) {
	t.Parallel()
	gatewaytest.Run(t, func(t *testing.T) gatewaytest.World {
		w := newWorld(t)
		told := 0
		return gatewaytest.World{
			Gateway:    w.gateway,
			Impatient:  stripe.New(stripe.Config{TestKey: secretKey, PerSecond: unpaced, Timeout: 250 * time.Millisecond}),
			Connection: w.conn,
			Now:        w.clock.Now,
			Token:      func(s gatewaytest.Script) string { return tokens()[s] },
			Method:     "cus_1/pm_1",
			Charged:    func(_ testing.TB, key string) []*ledgerv1.Money { return monies(w.server.Paid(key)) },
			Refunded:   func(_ testing.TB, key string) []*ledgerv1.Money { return monies(w.server.Returned(key)) },
			Decide: func(t testing.TB, url string, approve bool) {
				act := w.server.Expire
				if approve {
					act = func(url string) error { return w.server.Pay(url, "pm_card_visa") }
				}
				if err := act(url); err != nil {
					t.Fatal(err)
				}
			},
			Webhook: func(t testing.TB) (http.Header, []byte) {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				e, err := w.server.Next(ctx, told)
				if err != nil {
					t.Fatal(err)
				}
				told++
				return stripetest.Sign(w.clock.Now(), e.Body, webhookSecret), e.Body
			},
			Stored: func(t testing.TB, s gatewaytest.Script) *ledgerv1.PaymentMethod {
				customer, method, err := w.server.Store(tokens()[s])
				if err != nil {
					t.Fatal(err)
				}
				return &ledgerv1.PaymentMethod{Reference: customer + "/" + method}
			},
			Counts: func(r *http.Request) bool { return r.URL.Path != "/v1/customers" },
			Settle: func(t testing.TB, charge, refund string, ok bool) {
				err := w.server.Settle(charge, ok)
				if refund != "" {
					err = w.server.DecideRefund(refund, ok)
				}
				if err != nil {
					t.Fatal(err)
				}
			},
			Advance: func(_ testing.TB, d time.Duration) { w.clock.Set(w.clock.Now().Add(d)) },
			Resend: func(_ http.Header, body []byte) (http.Header, []byte) {
				return stripetest.Sign(w.clock.Now(), body, webhookSecret), body
			},
			Incomplete: func(t testing.TB, key string) gateway.Notice {
				paid := w.gateway.Charge(t.Context(), w.conn, first(key, "pm_card_visa"))
				if _, err := w.server.RefundAtDesk(paid.Reference, 700); err != nil {
					t.Fatal(err)
				}
				events := w.server.Events()
				n, err := w.gateway.Read(w.conn, events[len(events)-1].Body)
				if err != nil {
					t.Fatal(err)
				}
				return n
			},
		}
	})
}

// tokens: Stripe says nothing like "duplicate" of a key, but answers it again, or that it is in use; there is a decline of
// what looks like another payment.
func tokens() map[gatewaytest.Script]string {
	spoiled := map[gatewaytest.Script]stripetest.Step{
		gatewaytest.TimeoutCharged:   stripetest.TimeoutCharged,
		gatewaytest.TimeoutUncharged: stripetest.TimeoutUncharged,
		gatewaytest.ResetCharged:     stripetest.ResetCharged,
		gatewaytest.ResetUncharged:   stripetest.ResetUncharged,
		gatewaytest.ErrorCharged:     stripetest.ErrorCharged,
		gatewaytest.ErrorUncharged:   stripetest.ErrorUncharged,
		gatewaytest.PageCharged:      stripetest.Page,
		gatewaytest.HalfCharged:      stripetest.Half,
		gatewaytest.RateLimited:      stripetest.RateLimited,
		gatewaytest.Unauthorized:     stripetest.Unauthorized,
		gatewaytest.WrongAmount:      stripetest.WrongAmount,
		gatewaytest.Pending:          stripetest.Processing,
		gatewaytest.AgreementLost:    stripetest.Mandate,

		gatewaytest.WrongCurrency:       stripetest.WrongCurrency,
		gatewaytest.PendingThenDeclined: stripetest.Processing,
		gatewaytest.Duplicate:           stripetest.Repeated,
		gatewaytest.DuplicateUnnamed:    stripetest.InUseCharged,
		gatewaytest.InFlight:            stripetest.InUse,
	}
	t := map[gatewaytest.Script]string{
		gatewaytest.OK:                                  "pm_card_visa",
		gatewaytest.SoftDecline:                         "pm_card_visa_chargeDeclinedInsufficientFunds",
		gatewaytest.HardDecline:                         "pm_card_visa_chargeDeclinedLostCard",
		gatewaytest.BuyerAction:                         "pm_card_chargeDeclinedExpiredCard",
		gatewaytest.DuplicateOfNothing:                  "pm_x_decline_duplicate_transaction",
		gatewaytest.StopOrder:                           "pm_x_decline_revocation_of_all_authorizations",
		gatewaytest.RefundOf(gatewaytest.RefundRefused): "pm_x_refund_" + string(stripetest.Refused),
	}
	for script, step := range spoiled {
		t[script] = "pm_x_" + string(step)
		t[gatewaytest.RefundOf(script)] = "pm_x_refund_" + string(step)
	}
	return t
}

func monies(amounts []stripetest.Amount) []*ledgerv1.Money {
	var list []*ledgerv1.Money
	for _, a := range amounts {
		list = append(list, &ledgerv1.Money{CurrencyCode: strings.ToUpper(a.Currency), MinorUnits: a.Units})
	}
	return list
}
