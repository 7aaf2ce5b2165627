package payabltest

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

func (s *Server) find(id string) *transaction {
	i := slices.IndexFunc(s.transactions, func(t *transaction) bool { return t.id == id })
	if i < 0 {
		return nil
	}
	return s.transactions[i]
}

// NotEnabled is a currency that the account does not have.
const NotEnabled = "CHF"

// open begins a transaction.
func (s *Server) open(form url.Values) (*transaction, bool) {
	amount, ok := minor(form.Get("amount"))
	if currency := form.Get("currency"); !ok || len(currency) != 3 || currency == NotEnabled || len(form.Get("orderid")) > 30 {
		return nil, false
	}
	s.last++
	t := &transaction{
		id: strconv.Itoa(s.last), order: form.Get("orderid"), custom: form.Get("custom1"), method: form.Get("payment_method"),
		amount: amount, currency: form.Get("currency"), notifyURL: form.Get("notification_url"), returnURL: form.Get("url_return"),
	}
	s.transactions = append(s.transactions, t)
	return t, true
}

func (s *Server) step(t *transaction, kind string, code int, amount int64) {
	now := s.c.Now()
	t.steps = append(t.steps, step{kind: kind, code: code, amount: amount, at: now, decided: now})
}

// decide is a step whose code is not final any more: a pending one that is decided, by default the last one of its kind.
func (s *Server) decide(t *transaction, kind string, code int) {
	for i := range slices.Backward(t.steps) {
		if t.steps[i].kind == kind {
			t.steps[i].code, t.steps[i].decided = code, s.c.Now()
			return
		}
	}
}

func (t *transaction) code(kind string) int {
	for _, st := range slices.Backward(t.steps) {
		if st.kind == kind {
			return st.code
		}
	}
	return -1
}

// taken is what was captured.
func (t *transaction) taken() (n int64) {
	for _, st := range t.steps {
		if st.kind == "capture" && st.code == 0 {
			n += st.amount
		}
	}
	return n
}

// stands reports whether a refund was made or is about to be.
func (st step) stands() bool { return st.kind == "refund" && (st.code == 0 || st.code == 2000) }

// seen reports whether an order id was used with PayPal, where each is taken once.
func (s *Server) seen(order string) bool {
	return slices.ContainsFunc(s.transactions, func(t *transaction) bool { return t.order == order && t.method == "117" })
}

func (s *Server) preauthorize(form url.Values) outcome {
	recurring := form.Get("recurring_id")
	if form.Get("payment_method") != "117" || recurring != "" && recurring != "INIT" {
		return outcome{code: -6000}
	}
	repeated := s.seen(form.Get("orderid"))
	t, ok := s.open(form)
	if !ok {
		return outcome{code: -6000}
	}
	t.init, t.behaviour = recurring == "INIT", &Behaviour{}
	if repeated {
		s.step(t, "order", -5002, 0)
		return outcome{of: t, code: -5002}
	}
	to, amount := "/checkoutnow?token=", t.amount
	if t.init {
		to, amount = "/agreements/approve?token=", 0
	}
	t.page = true
	s.step(t, "order", 2000, amount)
	return outcome{of: t, code: 2000, amount: amount, url: [2]string{"redirect_url", s.c.Site + to + t.id}}
}

func (s *Server) authorize(form url.Values) outcome {
	m := s.find(form.Get("recurring_id"))
	if m == nil || !m.init {
		return outcome{code: -6000}
	}
	b := *m.behaviour
	if b.Once {
		m.behaviour = &Behaviour{Refund: b.Refund}
	}
	m.used++
	if m.ended {
		b = Behaviour{Status: 145001}
	}
	if b.Lost {
		return outcome{fault: b.Fault, code: b.Status}
	}
	repeated := s.seen(form.Get("orderid")) && m.method == "117"
	t, ok := s.open(form)
	if !ok {
		return outcome{code: -6000}
	}
	t.charge, t.behaviour = true, m.behaviour
	t.amount += b.Extra
	if b.Euros {
		t.currency = "EUR"
	}
	o := outcome{of: t, code: b.Status, fault: b.Fault, amount: t.amount}
	switch {
	case repeated:
		o.code = -5002
	case b.ThreeDS:
		t.page = true
		o.code, o.url = 2000, [2]string{"url_3ds", s.c.Site + "/3ds?token=" + t.id}
	}
	s.step(t, "order", o.code, t.amount)
	if o.code == 0 {
		s.step(t, "capture", 0, t.amount)
		s.tell(t, "capture", 0)
	}
	if b.Says != 0 {
		o.code = b.Says
	}
	return o
}

func (s *Server) capture(form url.Values) outcome {
	t := s.find(form.Get("transactionid"))
	if t == nil || t.init || t.code("order") != 0 || t.taken() > 0 || t.code("reversal") == 0 {
		return outcome{of: t, code: -5002}
	}
	s.step(t, "capture", 0, t.amount)
	s.tell(t, "capture", 0)
	return outcome{of: t, amount: t.amount}
}

func (s *Server) reverse(form url.Values) outcome {
	t := s.find(form.Get("transactionid"))
	if t == nil || t.charge || t.code("order") != 0 || t.taken() > 0 || t.code("reversal") == 0 {
		return outcome{of: t, code: -5002}
	}
	s.step(t, "reversal", 0, t.amount)
	return outcome{of: t, amount: t.amount}
}

func (s *Server) refund(form url.Values) outcome {
	t := s.find(form.Get("transactionid"))
	amount, ok := minor(form.Get("amount"))
	if t == nil || !ok || form.Get("currency") != t.currency {
		return outcome{code: -5007}
	}
	b := Behaviour{}
	if r := t.behaviour.Refund; r != nil {
		b = *r
	}
	if b.Once {
		t.behaviour = &Behaviour{}
	}
	t.used++
	if b.Lost {
		return outcome{fault: b.Fault, code: b.Status}
	}
	left := t.taken()
	for _, st := range t.steps {
		if st.stands() {
			left -= st.amount
		}
	}
	o := outcome{of: t, code: b.Status, fault: b.Fault, amount: amount}
	if amount > left {
		o.code = -6102
	}
	s.step(t, "refund", o.code, amount)
	t.steps[len(t.steps)-1].external = form.Get("external_id")
	if b.Says != 0 {
		o.code = b.Says
	}
	return o
}

// buyer is what he does where he was sent: ?result=approve, or anything else to cancel.
func (s *Server) buyer(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.find(r.URL.Query().Get("token"))
	if t == nil || t.code("order") != 2000 {
		http.NotFound(w, r)
		return
	}
	s.visit(t, r.URL.Query().Get("result") == "approve")
	http.Redirect(w, r, t.returnURL, http.StatusSeeOther)
}

// Visit is the buyer where the transaction sent him: he approves, or turns back. false: it does not wait for him.
func (s *Server) Visit(id string, approve bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.find(id)
	if t == nil || !t.page || t.code("order") != 2000 {
		return false
	}
	s.visit(t, approve)
	return true
}

func (s *Server) visit(t *transaction, approve bool) {
	code := -5003
	if approve {
		code = 0
		if t.init {
			code = 145006
		}
	}
	s.conclude(t, code)
}

// conclude decides an order; what is taken with its order is taken then.
func (s *Server) conclude(t *transaction, code int) {
	s.decide(t, "order", code)
	s.tell(t, "order", code)
	if code == 0 && t.charge {
		s.step(t, "capture", 0, t.amount)
		s.tell(t, "capture", 0)
	}
}

// Method is a method that a buyer stored on payabl.'s own page; paypal says that it is an agreement, and not a card.
func (s *Server) Method(b Behaviour, paypal bool) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	t := &transaction{id: strconv.Itoa(s.last), order: "page-" + strconv.Itoa(s.last), method: "1", currency: "USD", init: true, behaviour: &b}
	code := 0
	if paypal {
		t.method, code = "117", 145006
	}
	s.step(t, "order", code, 0)
	s.transactions = append(s.transactions, t)
	return t.id
}

// Behave changes what payments to a method come to.
func (s *Server) Behave(method string, b Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.find(method).behaviour = &b
}

// Used reports whether a method was charged, or whether that was tried.
func (s *Server) Used(method string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(method).used > 0
}

// Decide ends what is pending of a transaction: its order, or its last refund.
func (s *Server) Decide(id, kind string, code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.find(id)
	if kind == "order" {
		s.conclude(t, code)
		return
	}
	s.decide(t, kind, code)
	s.tell(t, kind, code)
}

// DecideRefund ends a refund that is pending: the one that is the n-th step of its transaction. false: it is not.
func (s *Server) DecideRefund(id string, n, code int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.find(id)
	if st := &t.steps[n]; st.kind == "refund" && st.code == 2000 {
		st.code, st.decided = code, s.c.Now()
		s.tell(t, "refund", code)
		return true
	}
	return false
}

// Cancel is the buyer ending an agreement at PayPal. It comes as a transaction of its own, whose id is returned.
func (s *Server) Cancel(agreement string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.find(agreement)
	s.last++
	t := &transaction{
		id: strconv.Itoa(s.last), order: m.order, method: "117", currency: m.currency, notifyURL: m.notifyURL, behaviour: &Behaviour{},
	}
	s.step(t, "order", 145005, 0)
	s.transactions = append(s.transactions, t)
	// The agreement's own step stays what it was; only payments to it are refused from now on.
	m.ended = true
	s.tell(t, "order", 145005)
	return t.id
}

// ChargeBack books a chargeback of a payment, AskAbout a retrieval request.
func (s *Server) ChargeBack(id string, amount int64) { s.book("chb", id, amount) }

// AskAbout books a retrieval request.
func (s *Server) AskAbout(id string, amount int64) { s.book("retrieval_request", id, amount) }

func (s *Server) book(list, id string, amount int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries = append(s.entries, entry{list, s.find(id), amount, s.c.Now()})
}

// Charged are the amounts that were taken under an order id, with their currency.
func (s *Server) Charged(order string) (amounts []int64, currency string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.transactions {
		if n := t.taken(); t.order == order && n > 0 {
			amounts, currency = append(amounts, n), t.currency
		}
	}
	return amounts, currency
}

// Line is a transaction as the back office shows it: what was asked for, and what has happened since.
type Line struct {
	ID, Order string
	Steps     []Step
}

// Step is one thing that happened to a transaction.
type Step struct {
	Kind     string
	Code     int
	Amount   int64
	Currency string
}

// Lines is all that the back office has, the oldest first.
func (s *Server) Lines() (all []Line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.transactions {
		line := Line{ID: t.id, Order: t.order}
		for _, st := range t.steps {
			line.Steps = append(line.Steps, Step{st.kind, st.code, st.amount, t.currency})
		}
		all = append(all, line)
	}
	return all
}

// Reversed reports whether a reservation was released.
func (s *Server) Reversed(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(id).code("reversal") == 0
}

// Refunds are what went back under a name of the merchant's, and is not pending.
func (s *Server) Refunds(externalID string) (list []Refunded) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.transactions {
		for _, st := range t.steps {
			if st.kind == "refund" && st.code == 0 && st.external == externalID {
				list = append(list, Refunded{externalID, st.amount, t.currency})
			}
		}
	}
	return list
}

// Headers are those of all requests so far.
func (s *Server) Headers() []http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.headers)
}
