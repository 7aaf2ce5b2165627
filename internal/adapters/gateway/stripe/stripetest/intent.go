package stripetest

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

type method struct {
	id, customer string
	card         card
	detached     bool
}

type intent struct {
	id, kind           string // payment_intent or setup_intent
	status             string
	amount             int64
	currency           string
	customer           string
	method             *method
	charge             *charge
	failure            *apiError
	cancellationReason string
	onSession          bool
	metadata           map[string]string
	created            time.Time
}

// charge is an intent's attempt that succeeded.
type charge struct {
	id       string
	intent   *intent
	amount   int64
	currency string
	refunded int64
	disputed bool
	created  time.Time
}

func (s *Server) createCustomer(r *request) answer {
	if r.step.uncharged() {
		return answer{}.spoiled(r.step)
	}
	id := s.id("cus")
	s.customers[id] = object{"id": id, "object": "customer", "created": s.c.Now().Unix(), "metadata": r.metadata(""), "livemode": s.c.Live}
	return answerWith(s.customers[id]).spoiled(r.step)
}

func (s *Server) getCustomer(r *request) answer {
	c, ok := s.customers[r.PathValue("id")]
	if !ok {
		return missing("customer", r.PathValue("id"), "id")
	}
	return answerWith(c)
}

// methodOf is the payment method that a request names.
func (s *Server) methodOf(r *request) (*method, *answer) {
	name := r.form.Get("payment_method")
	if token := r.form.Get("confirmation_token"); token != "" {
		name = "pm_" + strings.TrimPrefix(token, "ctoken_")
	}
	customer := r.form.Get("customer")
	if _, ok := s.customers[customer]; !ok && customer != "" {
		a := problem(http.StatusBadRequest, apiError{Type: "invalid_request_error", Code: "resource_missing", Param: "customer", Message: "No such customer: '" + customer + "'"})
		return nil, &a
	}
	if m, ok := s.methods[name]; ok {
		if m.detached || m.customer != customer {
			a := problem(http.StatusBadRequest, apiError{Type: "invalid_request_error", Code: "resource_missing", Param: "payment_method", Message: "The customer does not have a payment method with the ID " + name + "."})
			return nil, &a
		}
		return m, nil
	}
	c, ok := cardOf(name)
	if !ok {
		a := problem(http.StatusBadRequest, apiError{Type: "invalid_request_error", Code: "resource_missing", Param: "payment_method", Message: "No such PaymentMethod: '" + name + "'"})
		return nil, &a
	}
	return &method{id: s.id("pm"), card: c}, nil
}

// check are the rules that join the parameters of an intent.
func (r *request) check() *answer {
	var a answer
	switch amount, ok := r.number("amount"); {
	case !ok || amount < 0:
		a = invalid("amount", "parameter_invalid_integer", "Invalid integer: "+r.form.Get("amount"))
	case r.form.Get("currency") != strings.ToLower(r.form.Get("currency")):
		a = invalid("currency", "", "Invalid currency.")
	case r.form.Get("confirm") != "true" && r.form.Get("off_session") != "":
		a = invalid("off_session", "", "off_session is only allowed with confirm=true.")
	case r.form.Get("off_session") == "true" && r.form.Get("setup_future_usage") != "":
		a = invalid("setup_future_usage", "", "You cannot set both.")
	case r.form.Get("return_url") == "" && r.form.Get("automatic_payment_methods[allow_redirects]") != "never":
		a = invalid("return_url", "", "This intent accepts methods that redirect; you must provide a return_url.")
	default:
		return nil
	}
	return &a
}

func (s *Server) createPayment(r *request) answer {
	if a := r.check(); a != nil {
		return *a
	}
	amount, _ := r.number("amount")
	if amount == 0 || r.form.Get("currency") == "" {
		return invalid("amount", "parameter_missing", "Missing required param.")
	}
	return s.createIntent(r, &intent{
		kind: "payment_intent", amount: amount, currency: r.form.Get("currency"), onSession: r.form.Get("setup_future_usage") != "",
	})
}

func (s *Server) createSetup(r *request) answer {
	if a := r.check(); a != nil {
		return *a
	}
	return s.createIntent(r, &intent{kind: "setup_intent", onSession: true})
}

func (s *Server) createIntent(r *request, i *intent) answer {
	m, refused := s.methodOf(r)
	if refused != nil {
		return *refused
	}
	step := m.card.step
	if r.step != "" {
		step = r.step
	}
	if a, away := step.turnedAway(); away && !s.seen[r.key] {
		s.seen[r.key] = true
		return a
	}
	if step.uncharged() {
		return answer{}.spoiled(step)
	}
	i.customer, i.method, i.metadata = r.form.Get("customer"), m, r.metadata("")
	if step == Twice {
		again := *i
		s.confirm(&again, step)
	}
	return s.confirm(i, step).answer(r).spoiled(step)
}

// confirm lets an intent happen, which may be new.
func (s *Server) confirm(i *intent, step Step) *intent {
	if i.id == "" {
		prefix := "pi"
		if i.kind == "setup_intent" {
			prefix = "seti"
		}
		i.id, i.created = s.id(prefix), s.c.Now()
		s.intents = append(s.intents, i)
	}
	d := i.method.card.decline
	if d == nil {
		d = step.decline()
	}
	switch {
	case d != nil:
		s.fail(i, *d)
	case step == Mandate:
		i.status = "requires_payment_method"
		i.failure = &apiError{Type: "invalid_request_error", Code: "payment_intent_mandate_invalid", Message: "The mandate is not active."}
		s.event(i.kind+".payment_failed", i.object(nil))
	case step == Action:
		i.status = "requires_action"
		s.event(i.kind+".requires_action", i.object(nil))
	case step == Processing:
		i.status = "processing"
		s.event(i.kind+".processing", i.object(nil))
	default:
		s.succeed(i, step)
	}
	return i
}

func (s *Server) succeed(i *intent, step Step) {
	switch step {
	case WrongAmount:
		i.amount++
	case WrongCurrency:
		i.currency = "eur"
	case WrongID:
		i.metadata = map[string]string{"ledger_key": "another"}
	}
	i.status, i.failure = "succeeded", nil
	if i.customer != "" && i.method.customer == "" {
		i.method.customer = i.customer
		s.methods[i.method.id] = i.method
	}
	if i.kind == "payment_intent" {
		i.charge = &charge{id: s.id("ch"), intent: i, amount: i.amount, currency: i.currency, created: s.c.Now()}
		s.charges[i.charge.id] = i.charge
	}
	s.event(i.kind+".succeeded", i.object(nil))
}

func (s *Server) fail(i *intent, d Decline) {
	i.status = "requires_payment_method"
	i.failure = &apiError{
		Type: "card_error", Code: d.Code, DeclineCode: d.DeclineCode, AdviceCode: d.Advice, NetworkAdviceCode: d.NetworkAdvice,
		NetworkDeclineCode: d.NetworkDecline, Message: "Your card was declined.", PaymentMethod: i.method.object(),
	}
	name := ".payment_failed"
	if i.kind == "setup_intent" {
		name = ".setup_failed"
	}
	s.event(i.kind+name, i.object(nil))
}

// answer is how the intent is told to who confirms it: a decline is an error.
func (i *intent) answer(r *request) answer {
	if i.status != "requires_payment_method" {
		return answerWith(i.object(r))
	}
	e := *i.failure
	if i.kind == "payment_intent" {
		e.PaymentIntent = i.object(nil)
	} else {
		e.SetupIntent = i.object(nil)
	}
	if e.Type == "card_error" {
		return problem(http.StatusPaymentRequired, e)
	}
	return problem(http.StatusBadRequest, e)
}

func (i *intent) object(r *request) object {
	expanded := func(path string) bool { return r != nil && r.expanded(path) }
	o := object{
		"id": i.id, "object": i.kind, "status": i.status, "created": i.created.Unix(), "metadata": i.metadata,
		"client_secret": i.id + "_secret_x", "cancellation_reason": null(i.cancellationReason), "customer": null(i.customer),
		"payment_method": nil, "next_action": nil,
	}
	switch {
	case i.method == nil || i.status == "requires_payment_method":
	case expanded("payment_method"):
		o["payment_method"] = i.method.object()
	default:
		o["payment_method"] = i.method.id
	}
	if i.status == "requires_action" {
		o["next_action"] = object{"type": "redirect_to_url", "redirect_to_url": object{"url": "https://hooks.stripe.example/3ds/" + i.id}}
	}
	if i.kind == "setup_intent" {
		o["usage"], o["last_setup_error"] = "off_session", i.failure
		return o
	}
	o["amount"], o["currency"], o["last_payment_error"], o["amount_received"] = i.amount, i.currency, i.failure, 0
	o["latest_charge"] = nil
	if c := i.charge; c != nil {
		o["amount_received"], o["latest_charge"] = i.amount, c.id
		if expanded("latest_charge") {
			o["latest_charge"] = c.object(expanded("latest_charge.balance_transaction"))
		}
	}
	return o
}

func (m *method) object() object {
	return object{
		"id": m.id, "object": "payment_method", "type": "card", "customer": null(m.customer),
		"card": object{"brand": m.card.brand, "last4": m.card.last4},
	}
}

func (c *charge) object(booked bool) object {
	o := object{
		"id": c.id, "object": "charge", "amount": c.amount, "currency": c.currency, "created": c.created.Unix(),
		"payment_intent": c.intent.id, "metadata": c.intent.metadata, "balance_transaction": "txn_" + c.id,
	}
	if booked {
		bt := object{"id": "txn_" + c.id, "object": "balance_transaction", "amount": c.amount, "currency": c.currency, "fee": (c.amount*29+500)/1000 + 30}
		if c.intent.method.card.step == Settled {
			bt["amount"], bt["currency"], bt["fee"] = c.amount*9/10, "eur", 150
		}
		o["balance_transaction"] = bt
	}
	return o
}

// null is how Stripe writes what is not there.
func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func (s *Server) find(kind, id string) (*intent, bool) {
	n := slices.IndexFunc(s.intents, func(i *intent) bool { return i.id == id && (kind == "" || i.kind == kind) })
	if n < 0 {
		return nil, false
	}
	return s.intents[n], true
}

func (s *Server) getIntent(kind string) handler {
	return func(r *request) answer {
		i, ok := s.find(kind, r.PathValue("id"))
		if !ok {
			return missing(kind, r.PathValue("id"), "intent")
		}
		return answerWith(i.object(r))
	}
}

func (s *Server) listIntents(kind string) handler {
	return func(r *request) answer {
		var all []*intent
		for _, i := range s.intents {
			if i.kind == kind {
				all = append(all, i)
			}
		}
		return listOf(s, r, all, func(i *intent) (string, time.Time) { return i.id, i.created }, func(i *intent) object { return i.object(nil) })
	}
}

func (s *Server) cancelIntent(kind string) handler {
	return func(r *request) answer {
		i, ok := s.find(kind, r.PathValue("id"))
		if !ok {
			return missing(kind, r.PathValue("id"), "intent")
		}
		if i.status == "succeeded" || i.status == "canceled" || i.status == "processing" {
			return invalid("", "payment_intent_unexpected_state", "You cannot cancel this intent because it has a status of "+i.status+".")
		}
		i.status, i.cancellationReason = "canceled", r.form.Get("cancellation_reason")
		s.event(kind+".canceled", i.object(nil))
		return answerWith(i.object(r))
	}
}
