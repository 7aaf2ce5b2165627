package payabl

import (
	"context"
	"strings"
	"unicode/utf8"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/aggregate/country"
	"ledger.internal/ledger/internal/aggregate/money"
)

// The ids of payment methods: https://docs.payabl.com/docs/parameters.
const (
	methodCard   = "1"
	methodPayPal = "117"
)

// brandPayPal marks the stored methods that are PayPal agreements.
const brandPayPal = "paypal"

// Charge implements gateway.Gateway. It looks nothing up first: whoever may have sent the key before does.
func (g *Gateway) Charge(ctx context.Context, conn gateway.Connection, c gateway.Charge) gateway.Result {
	m := storedMethod(c)
	switch {
	case m == nil:
		return g.sendAway(ctx, conn, c)
	case money.IsZero(c.Amount):
		return g.checkMethod(ctx, conn, c, m)
	}
	return g.sell(ctx, conn, c, m)
}

// storedMethod is what a charge is made to; nil if the buyer has yet to choose. A token is the id of the transaction in
// which he did so on payabl.'s own page.
func storedMethod(c gateway.Charge) *ledgerv1.PaymentMethod {
	if c.Method.GetReference() != "" {
		return c.Method
	}
	if c.Token != "" {
		return &ledgerv1.PaymentMethod{Reference: c.Token}
	}
	return nil
}

// sell charges a stored method.
func (g *Gateway) sell(ctx context.Context, conn gateway.Connection, c gateway.Charge, m *ledgerv1.PaymentMethod) gateway.Result {
	p := params{
		"orderid": orderID(roleSale, c.Key), "recurring_id": m.Reference, "payment_method": methodCard,
		"custom1": memo{key: c.Key, subscription: c.Subscription, method: m}.String(),
	}
	if m.Brand == brandPayPal {
		p["payment_method"] = methodPayPal
		p.setBuyer(buyerFor(conn, c.Buyer))
	}
	p.set("url_return", c.ReturnURL)
	p.set("notification_url", conn.NotifyURL)
	if err := p.setAmount(c.Amount); err != nil {
		return failed(err)
	}
	a, r, ok := g.pay(ctx, conn, "payment_authorize", p)
	if !ok {
		return r
	}
	return g.sold(ctx, conn, c, m, a)
}

// sold is what the answer to a payment_authorize amounts to.
func (g *Gateway) sold(ctx context.Context, conn gateway.Connection, c gateway.Charge, m *ledgerv1.PaymentMethod, a answer) gateway.Result {
	if !a.about(orderID(roleSale, c.Key)) {
		return unknown("the answer is not about this payment")
	}
	switch codes[a.code].means {
	case approved:
		return acceptedResult(a.transaction, a.amount, m)
	case pending:
		return a.pendingResult()
	case activated:
		return unknown("a payment is answered with the activation of an agreement")
	case again:
		return g.original(ctx, conn, c.Key, a)
	}
	if r, ok := g.turnedAway(ctx, conn, a.code); ok {
		return r
	}
	return declined(a.transaction, a.code)
}

// original is the outcome of the payment that payabl. takes this one for a repeat of, if that was ours too.
func (g *Gateway) original(ctx context.Context, conn gateway.Connection, key string, a answer) gateway.Result {
	t, err := g.trail(ctx, conn, key, g.c.Clock.Now())
	if err != nil {
		return unknown("taken for a repeat, and the first was not found out about: %v", err)
	}
	if r, found := t.result(g.c.Clock.Now()); found && r.Class != gateway.Rejected {
		return r
	}
	r, _ := turnedAway(a.code)
	return r
}

// checkMethod stores a method, which means to ask whether it is there: it was stored when the buyer gave his consent.
func (g *Gateway) checkMethod(ctx context.Context, conn gateway.Connection, c gateway.Charge, m *ledgerv1.PaymentMethod) gateway.Result {
	t, err := g.byID(ctx, conn, m.Reference)
	if err != nil {
		return failed(err)
	}
	if t == nil {
		return refused("no_such_method", "payabl. has no such transaction")
	}
	s, ok := t.last(isOrder)
	if !ok {
		return unknown("transaction %s has no order", t.id)
	}
	switch codes[s.code].means {
	case approved, activated:
		return acceptedResult(t.id, c.Amount, m)
	case pending:
		return gateway.Result{Class: gateway.Pending, Reference: t.id}
	}
	return declined(t.id, s.code)
}

// sendAway begins a payment that the buyer has to approve at PayPal. https://docs.payabl.com/docs/paypal.
func (g *Gateway) sendAway(ctx context.Context, conn gateway.Connection, c gateway.Charge) gateway.Result {
	order := orderID(roleRedirect, c.Key)
	note := memo{key: c.Key, subscription: c.Subscription, kind: kindOf(c), until: g.c.Clock.Now().Add(g.c.RedirectExpiry)}
	p := params{"orderid": order, "payment_method": methodPayPal, "custom1": note.String()}
	if note.kind != once {
		p["recurring_id"] = "INIT"
	}
	p.setBuyer(buyerFor(conn, c.Buyer))
	for _, name := range []string{"url_return", "url_success", "url_failed"} {
		p.set(name, c.ReturnURL)
	}
	p.set("notification_url", conn.NotifyURL)
	if err := p.setAmount(c.Amount); err != nil {
		return failed(err)
	}
	a, r, ok := g.pay(ctx, conn, "payment_preauthorize", p)
	if !ok {
		return r
	}
	if !a.about(order) {
		return unknown("the answer is not about this payment")
	}
	means := codes[a.code].means
	if means == pending && a.redirect == "" {
		return unknown("the answer does not say where the buyer is to go")
	}
	switch means {
	case pending, approved, activated: // even of an approval at once, nothing is charged yet
		r := a.pendingResult()
		r.ExpiresAt = note.over()
		return r
	}
	if r, ok := g.turnedAway(ctx, conn, a.code); ok {
		return r
	}
	return declined(a.transaction, a.code)
}

// kindOf is what has to happen before a redirect's payment counts.
func kindOf(c gateway.Charge) kind {
	switch {
	case money.IsZero(c.Amount):
		return store
	case c.Once:
		return once
	}
	return first
}

// setBuyer says who pays, as PayPal's payments want it, and no more than that.
func (p params) setBuyer(b *ledgerv1.Buyer) {
	if b == nil {
		return
	}
	p.set("firstname", b.FirstName)
	p.set("lastname", b.LastName)
	if name := strings.TrimSpace(b.FirstName + " " + b.LastName); utf8.RuneCountInString(name) >= 3 { // "3-100 characters"
		p["accountname"] = name
	}
	p.set("email", b.Email)
	p.set("customerip", b.Ip)
	if _, alpha3, ok := country.Lookup(b.GetAddress().GetCountryCode()); ok {
		p["country"] = alpha3
	}
	p.set("language", language(b.Language))
}

// language is the ISO 639 alpha-2 code in a tag like "de-AT"; empty if it has none, as "fil" for Filipino.
func language(tag string) string {
	code := strings.ToLower(tag)
	if i := strings.IndexAny(code, "-_"); i >= 0 {
		code = code[:i]
	}
	if len(code) != 2 || strings.Trim(code, "abcdefghijklmnopqrstuvwxyz") != "" {
		return ""
	}
	return code
}
