package dialect

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/clock"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/gateway/payabl"
	"ledger.internal/ledger/internal/adapters/gateway/payabl/payabltest"
	"ledger.internal/ledger/internal/aggregate/money"
	"ledger.internal/ledger/internal/aggregate/text"
	"ledger.internal/ledger/internal/sim/invariant"
	"ledger.internal/ledger/internal/sim/neighbour"
)

// redirectExpiry is how long a buyer who was sent away may take: less than production gives him, so that a healed world
// comes to rest.
const redirectExpiry = 24 * time.Hour

type payablAccount struct {
	*payabltest.Server
	house *House
	told  [][]byte
	// What the vendor does not keep: the pay numbers of keys, and the keys of refunds by the names they have there.
	numbers map[string]uint32
	refunds map[string]string
}

func openPayabl(h *House, conn gateway.Connection) vendor {
	p := &payablAccount{house: h, numbers: map[string]uint32{}, refunds: map[string]string{}}
	p.Server = payabltest.New(payabltest.Config{
		Merchant: payablCredentials(conn).Account, Secret: conn.WebhookSecret, Now: h.Now, Site: conn.URL,
		Tell: func(_ string, body []byte) { p.told = append(p.told, body) },
	})
	return p
}

// payablCredentials completes a connection: the account's one secret signs everything, and its address is that of the
// back office.
func payablCredentials(conn gateway.Connection) gateway.Connection {
	conn.URL += "/pay/backoffice"
	conn.Account, conn.Secret = "account-of-"+conn.Merchant, conn.WebhookSecret
	return conn
}

// payablAdapter is the adapter, which besides tells the house what it was asked for.
type payablAdapter struct {
	*payabl.Gateway
	house *House
}

func (p *payablAccount) adapter(t http.RoundTripper, c clock.Clock) gateway.Gateway {
	return payablAdapter{payabl.New(payabl.Config{HTTPClient: &http.Client{Transport: t}, Clock: c, RedirectExpiry: redirectExpiry}), p.house}
}

// Charge implements gateway.Gateway.
func (p payablAdapter) Charge(ctx context.Context, conn gateway.Connection, c gateway.Charge) gateway.Result {
	p.house.noteCharge(conn, c)
	return p.Gateway.Charge(ctx, conn, c)
}

// FindCharge implements gateway.Finder.
func (p payablAdapter) FindCharge(ctx context.Context, conn gateway.Connection, c gateway.Charge, sent time.Time) (gateway.Result, bool, error) {
	p.house.noteCharge(conn, c)
	return p.Gateway.FindCharge(ctx, conn, c, sent)
}

// Refund implements gateway.Gateway.
func (p payablAdapter) Refund(ctx context.Context, conn gateway.Connection, r gateway.Refund) gateway.Result {
	p.house.mu.Lock()
	p.house.at(conn).vendor.(*payablAccount).refunds[payablName("f", r.Key)] = r.Key
	p.house.mu.Unlock()
	return p.Gateway.Refund(ctx, conn, r)
}

// noteCharge: a method that is only to be stored is asked for by its own id, and no key is ever sent.
func (h *House) noteCharge(conn gateway.Connection, c gateway.Charge) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at(conn).vendor.(*payablAccount).numbers[c.Key] = c.PayNumber
	if c.Amount.GetMinorUnits() == 0 {
		h.arrived[c.Key] = true
	}
}

// payablName is the name under which the adapter has what was asked for under a key.
func payablName(role, key string) string {
	sum := sha256.Sum256([]byte(role + "\x00" + key))
	return role + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:28]
}

func (p *payablAccount) looks(r *http.Request) bool {
	return strings.HasSuffix(r.URL.Path, "/tx_diagnose")
}

func (p *payablAccount) about(r *http.Request) string { return r.URL.Host + r.URL.Path }

func (p *payablAccount) keyOf(r *request) string {
	if name := r.form.Get("external_id"); name != "" {
		return p.refunds[name]
	}
	return memoOf(r.form.Get("custom1")).Get("k")
}

// memoOf is what the adapter has a payment remember.
func memoOf(custom string) url.Values {
	v, err := url.ParseQuery(custom)
	if err != nil {
		panic(err) // the adapter wrote it
	}
	return v
}

// expressible: https://docs.payabl.com/docs/refund-1
func (p *payablAccount) expressible(m *ledgerv1.Money) bool {
	decimals := money.Decimals(m.GetCurrencyCode())
	return decimals == 0 && m.GetMinorUnits() < 1e8 || decimals == 2 && m.GetMinorUnits() < 1e10
}

func (p *payablAccount) token(r *rand.Rand) string {
	if r.IntN(2) == 0 {
		return ""
	}
	return p.Method(payabltest.Behaviour{}, false)
}

func (p *payablAccount) store(stale bool) *ledgerv1.PaymentMethod {
	m := &ledgerv1.PaymentMethod{Reference: p.Method(payabltest.Behaviour{}, false)}
	if stale {
		p.Cancel(m.Reference)
	}
	return m
}

// spoil has what a request is about come to something once, and nothing again after that.
func (p *payablAccount) spoil(r *request, b payabltest.Behaviour) bool {
	switch {
	case strings.HasSuffix(r.URL.Path, "/payment_authorize"):
		p.Behave(r.form.Get("recurring_id"), b)
	case strings.HasSuffix(r.URL.Path, "/payment_refund"):
		p.Behave(r.form.Get("transactionid"), payabltest.Behaviour{Refund: &b})
	default:
		return false
	}
	return true
}

func (p *payablAccount) breakInside(r *request, done bool) bool {
	if done {
		return p.spoil(r, payabltest.Behaviour{Says: internalError})
	}
	return p.spoil(r, payabltest.Behaviour{Status: internalError, Lost: true})
}

// Codes of https://docs.payabl.com/docs/error-codes.
const (
	failed        = -5002
	fraud         = -2405
	notVerified   = -5010
	refundAborted = -5007
	tooOften      = -2400
	internalError = -5000
	notActive     = 145001
	pending       = 2000
)

func (p *payablAccount) decide(h *House, r *request) {
	m := h.Mischief
	type draw struct {
		p     float64
		fault string
		b     payabltest.Behaviour
	}
	var draws []draw
	switch {
	case strings.HasSuffix(r.URL.Path, "/payment_authorize"):
		draws = []draw{
			{m.Soft, neighbour.ChargeSoft, payabltest.Behaviour{Status: failed}},
			{m.Hard, neighbour.ChargeHard, payabltest.Behaviour{Status: fraud}},
			{m.BuyerAction, neighbour.ChargeBuyerAction, payabltest.Behaviour{Status: notVerified}},
			{m.AgreementLost, neighbour.ChargeAgreementLost, payabltest.Behaviour{Status: notActive}},
			{m.TooMany, RefusedForAMinute, payabltest.Behaviour{Status: tooOften, Lost: true}},
			{m.Pending, "", payabltest.Behaviour{Status: pending}},
			{m.Pending, "", payabltest.Behaviour{ThreeDS: true}},
			{m.Mismatch, neighbour.ChargeWrongAmount, payabltest.Behaviour{Extra: hundredths(r.form.Get("currency"), 1)}},
		}
	case strings.HasSuffix(r.URL.Path, "/payment_refund"):
		draws = []draw{
			{m.RefundDeclined, neighbour.RefundRefused, payabltest.Behaviour{Status: refundAborted}},
			{m.RefundPending, "", payabltest.Behaviour{Status: pending}},
		}
		if m.RefundPending > 0 {
			draws[1].p = 0.7 // "the usual answer": https://docs.payabl.com/docs/refund-1
		}
	}
	for _, d := range draws {
		if !h.chance(d.p) {
			continue
		}
		if d.fault != "" {
			h.hit(d.fault)
		}
		p.spoil(r, d.b)
		return
	}
	p.spoil(r, payabltest.Behaviour{})
}

// hundredths is an amount as the server counts, which has two decimals for every currency.
func hundredths(currency string, minor int64) int64 {
	if money.Decimals(currency) == 0 {
		return minor * 100
	}
	return minor
}

func minorUnits(currency string, hundredths int64) int64 {
	if money.Decimals(currency) == 0 {
		return hundredths / 100
	}
	return hundredths
}

// waits plans what banks and buyers do.
func (p *payablAccount) waits(h *House, a *account) {
	now := h.Now()
	for _, w := range p.Waiting() {
		if !h.first(a, w.Kind+w.ID+" "+strconv.Itoa(w.Step)) {
			continue
		}
		switch w.Kind {
		case "page":
			if h.chance(0.2) {
				h.hit(RedirectNever)
				continue
			}
			p.buyerComes(h, w.ID, now)
		case "3ds": // of which no deadline is known: his bank decides if he does not
			p.buyerComes(h, w.ID, now)
		case "order":
			h.schedule(now.Add(h.within(20*time.Hour)), func() { p.bankPays(h, w.ID) })
		case "refund":
			h.schedule(now.Add(h.within(48*time.Hour)), func() { p.bankRefunds(h, w) })
		}
	}
}

// buyerComes plans what the buyer does where he was sent: he approves or he turns back, perhaps too late.
func (p *payablAccount) buyerComes(h *House, id string, now time.Time) {
	approves := !h.chance(0.25)
	h.schedule(now.Add(h.within(redirectExpiry+time.Hour)), func() {
		if !p.Visit(id, approves) {
			return
		}
		if approves {
			h.hit(RedirectApproved)
		} else {
			h.hit(RedirectAborted)
		}
	})
}

func (p *payablAccount) bankPays(h *House, id string) {
	if h.chance(0.3) {
		h.hit(neighbour.ChargePendingDeclined)
		p.Decide(id, "order", failed)
		return
	}
	h.hit(neighbour.ChargePendingAccepted)
	p.Decide(id, "order", 0)
}

func (p *payablAccount) bankRefunds(h *House, w payabltest.Waiting) {
	code, what := 0, neighbour.RefundPendingSucceeded
	if h.chance(0.3) {
		code, what = refundAborted, neighbour.RefundPendingFailed
	}
	if p.DecideRefund(w.ID, w.Step, code) {
		h.hit(what)
	}
}

// news: notifications are signed when they are made, and believed for a quarter of an hour. All that they tell is looked
// up, or told by the next charge.
func (p *payablAccount) news() (list []message) {
	for _, body := range p.told {
		v := memoOf(string(body))
		id := strings.Join([]string{v.Get("transactionid"), v.Get("type"), v.Get("errorcode"), v.Get("timestamp")}, ".")
		if text.FindPAN(id) {
			id = "" // the ledger has a name of its own for it
		}
		list = append(list, message{
			id: id, body: body, losable: true,
			forged: bytes.Replace(body, []byte("security="), []byte("security=0"), 1),
			sign: func(time.Time, bool) http.Header {
				return http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
			},
		})
	}
	p.told = nil
	return list
}

// acts: payabl. tells of no dispute and of no refund at its desk, so there is only the buyer who ends his agreement.
func (p *payablAccount) acts(*House, *account) []func(*rand.Rand) string {
	return []func(*rand.Rand) string{func(r *rand.Rand) string {
		m, ok := one(r, p.Book().Methods)
		if !ok || r.IntN(4) > 0 { // else few live to be charged again
			return ""
		}
		p.Cancel(m)
		return neighbour.SelfAgreement
	}}
}

func (p *payablAccount) captures() (all []invariant.Capture) {
	for _, t := range p.Book().Payments {
		note := memoOf(t.Custom)
		all = append(all, invariant.Capture{
			Subscription: note.Get("s"), PayNumber: p.numbers[note.Get("k")], Key: note.Get("k"), Reference: t.ID,
			Currency: t.Currency, Minor: minorUnits(t.Currency, t.Amount), At: t.At,
		})
	}
	return all
}

func (p *payablAccount) returns() (all []invariant.Return) {
	for _, r := range p.Book().Refunds {
		all = append(all, invariant.Return{
			Subscription: memoOf(r.Of.Custom).Get("s"), Kind: invariant.Refunded, Key: p.refunds[r.ExternalID], Reference: r.ExternalID,
			ChargeReference: r.Of.ID, Currency: r.Of.Currency, Minor: minorUnits(r.Of.Currency, r.Amount), At: r.At,
		})
	}
	return all
}
