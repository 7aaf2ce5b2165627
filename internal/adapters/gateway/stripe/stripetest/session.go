package stripetest

import (
	"fmt"
	"strings"
	"time"
)

// sessionExpiry is how long a Checkout Session is open unless it says otherwise.
// https://docs.stripe.com/api/checkout/sessions/create#create_checkout_session-expires_at
const sessionExpiry = 24 * time.Hour

type session struct {
	id, mode, status string
	amount           int64
	currency         string
	metadata         map[string]string
	carried          map[string]string // by the intent
	intent           *intent
	created          time.Time
}

func (s *Server) createSession(r *request) answer {
	cs := &session{mode: r.form.Get("mode"), status: "open", metadata: r.metadata(""), created: s.c.Now()}
	if r.form.Get("success_url") == "" {
		return invalid("success_url", "parameter_missing", "Missing required param: success_url.")
	}
	switch cs.mode {
	case "payment":
		amount, ok := r.number("line_items[0][price_data][unit_amount]")
		cs.amount, cs.currency, cs.carried = amount, r.form.Get("line_items[0][price_data][currency]"), r.metadata("payment_intent_data")
		if !ok || amount <= 0 || cs.currency == "" || r.form.Get("line_items[0][quantity]") != "1" || r.form.Get("line_items[0][price_data][product_data][name]") == "" {
			return invalid("line_items", "parameter_missing", "Missing required param: line_items.")
		}
	case "setup":
		cs.currency, cs.carried = r.form.Get("currency"), r.metadata("setup_intent_data")
		if cs.currency == "" {
			return invalid("currency", "parameter_missing", "Missing required param: currency.")
		}
	default:
		return invalid("mode", "parameter_missing", "Missing required param: mode.")
	}
	cs.id = s.id("cs")
	s.sessions = append(s.sessions, cs)
	return answerWith(cs.object()).spoiled(r.step)
}

func (cs *session) object() object {
	o := object{
		"id": cs.id, "object": "checkout.session", "mode": cs.mode, "status": cs.status, "created": cs.created.Unix(),
		"expires_at": cs.created.Add(sessionExpiry).Unix(), "metadata": cs.metadata, "url": nil, "payment_intent": nil, "setup_intent": nil,
	}
	if cs.status == "open" {
		o["url"] = cs.address()
	}
	if cs.intent != nil {
		o[cs.intent.kind] = cs.intent.id
	}
	return o
}

func (cs *session) address() string { return "https://checkout.stripe.example/c/pay/" + cs.id }

func (s *Server) getSession(r *request) answer {
	for _, cs := range s.sessions {
		if cs.id == r.PathValue("id") {
			return answerWith(cs.object())
		}
	}
	return missing("checkout.session", r.PathValue("id"), "session")
}

// expireSession is https://docs.stripe.com/api/checkout/sessions/expire.
func (s *Server) expireSession(r *request) answer {
	for _, cs := range s.sessions {
		switch {
		case cs.id != r.PathValue("id"):
		case cs.status != "open":
			return invalid("", "", fmt.Sprintf("Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout Session has a status of `%s`.", cs.status))
		default:
			s.expire(cs)
			return answerWith(cs.object()).spoiled(r.step)
		}
	}
	return missing("checkout.session", r.PathValue("id"), "session")
}

func (s *Server) listSessions(r *request) answer {
	var all []*session
	for _, cs := range s.sessions {
		if of := r.form.Get("payment_intent"); of == "" || cs.intent != nil && cs.intent.id == of {
			all = append(all, cs)
		}
	}
	return listOf(s, r, all, func(cs *session) (string, time.Time) { return cs.id, cs.created }, (*session).object)
}

// at finds the open session at an address that the buyer was sent to.
func (s *Server) at(url string) (*session, error) {
	for _, cs := range s.sessions {
		if strings.HasSuffix(url, "/"+cs.id) && cs.status == "open" {
			s.actAs(cs.id)
			return cs, nil
		}
	}
	return nil, fmt.Errorf("no open session at %s", url)
}

// Pay is the buyer at the page, trying that payment method. A decline leaves the page open.
func (s *Server) Pay(url, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	cs, err := s.at(url)
	if err != nil {
		return err
	}
	c, ok := cardOf(name)
	if !ok {
		return fmt.Errorf("no payment method %s", name)
	}
	customer := s.id("cus")
	s.customers[customer] = object{"id": customer, "object": "customer", "metadata": map[string]string{}}
	kind := "payment_intent"
	if cs.mode == "setup" {
		kind = "setup_intent"
	}
	if cs.intent == nil {
		cs.intent = &intent{kind: kind, amount: cs.amount, currency: cs.currency, customer: customer, metadata: cs.carried, onSession: true}
	}
	cs.intent.method = &method{id: s.id("pm"), card: c}
	s.confirm(cs.intent, c.step)
	if cs.intent.status == "succeeded" || cs.intent.status == "processing" {
		cs.status = "complete"
		s.event("checkout.session.completed", cs.object())
	}
	return nil
}

// Expire ends the page at that address.
func (s *Server) Expire(url string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	cs, err := s.at(url)
	if err != nil {
		return err
	}
	s.expire(cs)
	return nil
}

func (s *Server) expire(cs *session) {
	cs.status = "expired"
	s.event("checkout.session.expired", cs.object())
}

// Authenticate is the buyer who proves himself to his bank, or does not.
func (s *Server) Authenticate(id string, right bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.actAs(id)
	i, ok := s.find("", id)
	if !ok || i.status != "requires_action" {
		return fmt.Errorf("%s waits for no buyer", id)
	}
	if right {
		s.succeed(i, OK)
		return nil
	}
	s.fail(i, Decline{Code: i.kind + "_authentication_failure"})
	i.failure.Type = "invalid_request_error"
	return nil
}

// Retry is the buyer with another payment method, on an intent that he holds the client secret of.
func (s *Server) Retry(id, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.actAs(id)
	i, ok := s.find("", id)
	c, known := cardOf(name)
	if !ok || !known || i.status != "requires_payment_method" {
		return fmt.Errorf("%s cannot be confirmed", id)
	}
	i.method = &method{id: s.id("pm"), card: c}
	s.succeed(i, OK)
	return nil
}

// Settle decides an intent that is processing.
func (s *Server) Settle(id string, paid bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.actAs(id)
	i, ok := s.find("", id)
	if !ok || i.status != "processing" {
		return fmt.Errorf("%s is not processing", id)
	}
	if paid {
		s.succeed(i, OK)
		return nil
	}
	s.fail(i, Decline{Code: "card_declined", DeclineCode: "insufficient_funds"})
	return nil
}

// Store keeps a payment method for a new customer of the first account, as one who was there before has it.
func (s *Server) Store(name string) (customer, id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acting = s.c.Account
	c, ok := cardOf(name)
	if !ok {
		return "", "", fmt.Errorf("no payment method %s", name)
	}
	m := &method{id: s.id("pm"), customer: s.id("cus"), card: c}
	s.customers[m.customer] = object{"id": m.customer, "object": "customer", "metadata": map[string]string{}}
	s.methods[m.id] = m
	return m.customer, m.id, nil
}

// Becomes has the card behind a stored payment method do from now on what the payment method of that name does: banks
// change their mind.
func (s *Server) Becomes(id, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.methods[id]
	c, known := cardOf(name)
	if !ok || !known {
		return fmt.Errorf("no payment method %s, or none like %s", id, name)
	}
	m.card = c
	return nil
}

// Detach takes a stored payment method from its customer.
func (s *Server) Detach(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.actAs(id)
	m, ok := s.methods[id]
	if !ok {
		return fmt.Errorf("no payment method %s", id)
	}
	customer := m.customer
	m.customer, m.detached = "", true
	s.changed("payment_method.detached", m.object(), object{"customer": customer})
	return nil
}

// Paid are the amounts that truly moved under a key, in the order in which they did.
func (s *Server) Paid(key string) []Amount {
	s.mu.Lock()
	defer s.mu.Unlock()
	var paid []Amount
	for _, i := range s.intents {
		if i.charge != nil && i.metadata["ledger_key"] == key {
			paid = append(paid, Amount{i.charge.amount, i.charge.currency})
		}
	}
	return paid
}

// Amount is money as Stripe counts it.
type Amount struct {
	Units    int64
	Currency string
}
