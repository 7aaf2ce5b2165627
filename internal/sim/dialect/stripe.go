package dialect

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/clock"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/gateway/stripe"
	"ledger.internal/ledger/internal/adapters/gateway/stripe/stripetest"
	"ledger.internal/ledger/internal/sim/invariant"
	"ledger.internal/ledger/internal/sim/neighbour"
)

// StripeToken is the one-time token of a card that is good: what becomes of a payment with it is drawn.
const StripeToken = "pm_card_visa"

// stripeKey is the platform's secret key.
const stripeKey = "sk_test_simulated"

// stripeHorizon is after when a refund that has succeeded may come back: what was in doubt about it is cleared by then.
const stripeHorizon = 10 * time.Minute

type stripeAccount struct {
	*stripetest.Server
	secret string
	told   int // how many events were sent off
}

func openStripe(h *House, conn gateway.Connection) vendor {
	return &stripeAccount{
		Server: stripetest.New(stripetest.Config{Key: stripeKey, WebhookSecret: conn.WebhookSecret, Now: h.Now}),
		secret: conn.WebhookSecret,
	}
}

func (s *stripeAccount) adapter(t http.RoundTripper, _ clock.Clock) gateway.Gateway {
	return stripe.New(stripe.Config{TestKey: stripeKey, HTTPClient: &http.Client{Transport: t}})
}

func (s *stripeAccount) looks(r *http.Request) bool { return r.Method == http.MethodGet }

func (s *stripeAccount) about(r *http.Request) string {
	return strings.TrimSpace(r.Method + " " + r.URL.Host + r.URL.RequestURI() + " " + r.Header.Get("Idempotency-Key"))
}

func (s *stripeAccount) keyOf(r *request) string { return r.form.Get("metadata[ledger_key]") }

// expressible: https://docs.stripe.com/currencies#three-decimal
func (s *stripeAccount) expressible(m *ledgerv1.Money) bool {
	return m.GetCurrencyCode() != "KWD" || m.GetMinorUnits()%10 == 0
}

func (s *stripeAccount) store(ended bool) *ledgerv1.PaymentMethod {
	customer, id, _ := s.Store(StripeToken) // a name that it knows
	if ended {
		_ = s.Detach(id) // it is there
	}
	return &ledgerv1.PaymentMethod{Reference: customer + "/" + id}
}

func (s *stripeAccount) token(r *rand.Rand) string {
	if r.IntN(4) == 0 {
		return ""
	}
	return StripeToken
}

func (s *stripeAccount) breakInside(r *request, done bool) bool {
	step := stripetest.ErrorUncharged
	if done {
		step = stripetest.ErrorCharged
	}
	s.Spoil(r.URL.Path, step)
	return true
}

// draw is what may come of a request, and how it is called.
type draw struct {
	p     float64
	fault string
	step  stripetest.Step
}

func (s *stripeAccount) decide(h *House, r *request) {
	m := h.Mischief
	var draws []draw
	switch r.URL.Path {
	case "/v1/payment_intents", "/v1/setup_intents":
		draws = []draw{
			{m.Soft, neighbour.ChargeSoft, stripetest.Declined("insufficient_funds")},
			{m.Hard, neighbour.ChargeHard, stripetest.Declined("lost_card")},
			{m.BuyerAction, neighbour.ChargeBuyerAction, stripetest.Declined("authentication_required")},
			{m.StopOrder, neighbour.ChargeStopOrder, stripetest.Declined("stop_payment_order")},
			{m.Pending, "", stripetest.Processing},
			{m.Pending, "", stripetest.Action},
		}
		if r.form.Get("off_session") == "true" {
			draws = append(draws, draw{m.AgreementLost, neighbour.ChargeAgreementLost, stripetest.Mandate})
		}
		if r.form.Get("amount") != "" {
			draws = append(draws, draw{m.Mismatch, neighbour.ChargeWrongAmount, stripetest.WrongAmount})
			if r.form.Get("currency") != "eur" {
				draws = append(draws, draw{m.Mismatch, neighbour.ChargeWrongCurrency, stripetest.WrongCurrency})
			}
		}
	case "/v1/refunds":
		draws = []draw{
			{m.RefundDeclined, neighbour.RefundRefused, stripetest.Refused},
			{m.RefundPending, "", stripetest.Processing},
		}
	}
	for _, d := range draws {
		if !h.chance(d.p) {
			continue
		}
		if d.fault != "" {
			h.hit(d.fault)
		}
		if d.step == stripetest.WrongAmount || d.step == stripetest.WrongCurrency {
			h.mismatch[s.keyOf(r)] = true
		}
		s.Spoil(r.URL.Path, d.step)
		return
	}
}

// waits plans what banks and buyers do.
func (s *stripeAccount) waits(h *House, a *account) {
	now := h.Now()
	for _, w := range s.Waiting() {
		if !h.first(a, w.ID) {
			continue
		}
		switch {
		case w.Object == "refund":
			h.schedule(now.Add(h.within(48*time.Hour)), func() { s.bankRefunds(h, w.ID) })
		case w.Object == "checkout.session":
			s.buyerComes(h, w.ID, now)
		case w.Status == "processing":
			h.schedule(now.Add(h.within(20*time.Hour)), func() { s.bankPays(h, w.ID) })
		default:
			if h.chance(0.2) {
				h.hit(BuyerNeverProved)
				continue
			}
			h.schedule(now.Add(h.within(20*time.Hour)), func() { s.buyerProves(h, w.ID) })
		}
	}
	if h.Mischief.RefundReversed == 0 {
		return
	}
	for _, re := range s.Book().Refunds {
		if re.Status == "succeeded" && re.Metadata["ledger_key"] != "" && h.first(a, "success of "+re.ID) && h.chance(h.Mischief.RefundReversed) {
			h.schedule(now.Add(stripeHorizon+h.within(5*24*time.Hour)), func() {
				if s.DecideRefund(re.ID, false) == nil {
					h.hit(neighbour.RefundReversed)
				}
			})
		}
	}
}

// What is planned for something may find that it has come to its end otherwise; then it does nothing.

func (s *stripeAccount) bankRefunds(h *House, id string) {
	ok := !h.chance(0.3)
	if s.DecideRefund(id, ok) != nil {
		return
	}
	if ok {
		h.hit(neighbour.RefundPendingSucceeded)
	} else {
		h.hit(neighbour.RefundPendingFailed)
	}
}

func (s *stripeAccount) bankPays(h *House, id string) {
	paid := !h.chance(0.3)
	if s.Settle(id, paid) != nil {
		return
	}
	if paid {
		h.hit(neighbour.ChargePendingAccepted)
	} else {
		h.hit(neighbour.ChargePendingDeclined)
	}
}

// buyerProves is the buyer at his bank. One who has failed may try another card as long as his payment is not canceled.
func (s *stripeAccount) buyerProves(h *House, id string) {
	right := !h.chance(0.5)
	if s.Authenticate(id, right) != nil {
		return
	}
	if right {
		h.hit(BuyerProved)
		return
	}
	h.hit(BuyerFailed)
	if h.chance(0.5) {
		h.schedule(h.Now().Add(h.within(time.Minute)), func() {
			if s.Retry(id, StripeToken) == nil {
				h.hit(BuyerTriedAgain)
			}
		})
	}
}

// buyerComes plans what the buyer does on Stripe's page: he pays, he is declined and perhaps pays then, or he never comes.
func (s *stripeAccount) buyerComes(h *House, page string, now time.Time) {
	pays := func(after time.Duration) {
		h.schedule(now.Add(after), func() {
			if s.Pay(page, StripeToken) == nil {
				h.hit(RedirectApproved)
			}
		})
	}
	comes := h.within(23 * time.Hour)
	switch h.Random.IntN(4) {
	case 0, 1:
		pays(comes)
	case 2:
		h.schedule(now.Add(comes), func() {
			if s.Pay(page, "pm_card_visa_chargeDeclinedInsufficientFunds") == nil {
				h.hit(RedirectDeclined)
			}
		})
		if h.chance(0.5) {
			pays(comes + h.within(50*time.Minute))
		}
	}
	// https://docs.stripe.com/api/checkout/sessions/create#create_checkout_session-expires_at
	h.schedule(now.Add(24*time.Hour), func() {
		if s.Expire(page) == nil {
			h.hit(RedirectEnded)
		}
	})
}

func (s *stripeAccount) news() (list []message) {
	for _, e := range s.Since(s.told) {
		s.told++
		var said struct {
			ID   string
			Data struct {
				Object struct {
					ID       string
					Metadata map[string]string
				}
			}
		}
		if err := json.Unmarshal(e.Body, &said); err != nil {
			panic(err) // the server's own
		}
		list = append(list, message{
			id: said.ID, body: e.Body, patient: true, losable: s.losable(e.Type, said.Data.Object.ID, said.Data.Object.Metadata["ledger_key"]),
			sign: func(at time.Time, right bool) http.Header {
				secret := s.secret
				if !right {
					secret += "?"
				}
				header := stripetest.Sign(at, e.Body, secret)
				header.Set("Content-Type", "application/json")
				return header
			},
		})
	}
	return list
}

// losable: what nobody looks up is a dispute, a refund at the desk, and one of ours that had succeeded and came back.
func (s *stripeAccount) losable(kind, id, key string) bool {
	switch {
	case strings.HasPrefix(kind, "charge.dispute."):
		return false
	case strings.HasPrefix(kind, "refund."):
		return key != "" && (kind != "refund.failed" || s.refund(id).Succeeded.IsZero())
	}
	return true
}

func (s *stripeAccount) refund(id string) stripetest.Refund {
	for _, re := range s.Book().Refunds {
		if re.ID == id {
			return re
		}
	}
	return stripetest.Refund{}
}

func (s *stripeAccount) acts(h *House, _ *account) []func(*rand.Rand) string {
	return []func(*rand.Rand) string{
		s.detach,
		func(r *rand.Rand) string { return s.returnSome(h, r) },
		func(r *rand.Rand) string { return s.openDispute(h, r) },
		s.goOn, s.goOn,
	}
}

// detach is the buyer taking his card away.
func (s *stripeAccount) detach(r *rand.Rand) string {
	m, ok := one(r, s.Book().Methods)
	if !ok || s.Detach(m.ID) != nil {
		return ""
	}
	return neighbour.SelfAgreement
}

// sales are the payments that may be returned or disputed by others. One of another amount than was asked for belongs to
// whoever sends it back.
func (s *stripeAccount) sales(h *House) (list []stripetest.Payment) {
	for _, p := range s.Book().Payments {
		if p.Left > 0 && !h.mismatch[p.Metadata["ledger_key"]] {
			list = append(list, p)
		}
	}
	return list
}

// returnSome is a refund at Stripe's desk.
func (s *stripeAccount) returnSome(h *House, r *rand.Rand) string {
	p, ok := one(r, s.sales(h))
	if !ok {
		return ""
	}
	units := p.Left
	if r.IntN(2) == 0 {
		units = 1 + r.Int64N(units)
	}
	if _, err := s.RefundAtDesk(p.Intent, units); err != nil {
		return ""
	}
	return neighbour.SelfRefund
}

// openDispute begins a dispute about a payment that had none.
func (s *stripeAccount) openDispute(h *House, r *rand.Rand) string {
	p, ok := one(r, s.sales(h))
	for _, d := range s.Book().Disputes {
		ok = ok && d.Of.Intent != p.Intent
	}
	status, what := "needs_response", neighbour.SelfOpened
	if r.IntN(3) == 0 {
		status, what = "warning_needs_response", neighbour.SelfInquiry
	}
	if !ok {
		return ""
	}
	if _, err := s.Dispute(p.Intent, status); err != nil {
		return ""
	}
	return what
}

// goOn takes a dispute one step on.
func (s *stripeAccount) goOn(r *rand.Rand) string {
	var open []stripetest.Dispute
	for _, d := range s.Book().Disputes {
		if strings.HasSuffix(d.Status, "needs_response") {
			open = append(open, d)
		}
	}
	d, ok := one(r, open)
	if !ok {
		return ""
	}
	inquiry, well := strings.HasPrefix(d.Status, "warning_"), r.IntN(2) == 0
	status, what := "lost", neighbour.SelfLost
	switch {
	case inquiry && well:
		status, what = "warning_closed", neighbour.SelfInquiryClosed
	case inquiry:
		status, what = "needs_response", neighbour.SelfOpened
	case well:
		status, what = "won", neighbour.SelfWon
	}
	if s.DisputeBecomes(d.ID, status) != nil {
		return ""
	}
	return what
}

func (s *stripeAccount) captures() (all []invariant.Capture) {
	for _, p := range s.Book().Payments {
		number, err := strconv.ParseUint(p.Metadata["ledger_pay_number"], 10, 32)
		if err != nil {
			panic(err) // the adapter wrote it
		}
		all = append(all, invariant.Capture{
			Subscription: p.Metadata["ledger_subscription"], PayNumber: uint32(number), Key: p.Metadata["ledger_key"],
			Reference: p.Intent, Currency: strings.ToUpper(p.Amount.Currency), Minor: p.Amount.Units, At: p.At,
		})
	}
	return all
}

func (s *stripeAccount) returns() (all []invariant.Return) {
	b := s.Book()
	add := func(kind invariant.ReturnKind, at time.Time, of stripetest.Payment, r invariant.Return) {
		if at.IsZero() {
			return
		}
		r.Kind, r.At, r.Subscription, r.ChargeReference = kind, at, of.Metadata["ledger_subscription"], of.Intent
		all = append(all, r)
	}
	for _, re := range b.Refunds {
		r := invariant.Return{
			Key: re.Metadata["ledger_key"], Reference: re.ID, Currency: strings.ToUpper(re.Amount.Currency), Minor: re.Amount.Units,
		}
		add(invariant.Refunded, re.Succeeded, re.Of, r)
		if !re.Succeeded.IsZero() {
			add(invariant.RefundReversed, re.Failed, re.Of, r)
		}
	}
	for _, d := range b.Disputes {
		r := invariant.Return{Reference: d.ID, Currency: strings.ToUpper(d.Of.Amount.Currency), Minor: d.Of.Amount.Units}
		add(invariant.ChargedBack, d.Withdrawn, d.Of, r)
		add(invariant.ChargebackReversed, d.Reinstated, d.Of, r)
	}
	return all
}
