package stripetest

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// keyLifetime is how long a key is remembered. https://docs.stripe.com/api/idempotent_requests
const keyLifetime = 24 * time.Hour

// Config says what the server is.
type Config struct {
	// Key is the secret key that it accepts: a platform's, if there is an Account that is connected to it from the
	// beginning, or a ClientID; else that of the account called Own.
	Key, Account string
	// ClientID is the platform's in the mode of Key, and OtherClientID in the other one.
	ClientID, OtherClientID string
	// Live is the mode of Key.
	Live bool
	// WebhookSecret signs events: it is that of the platform's endpoint, or of the account's own.
	WebhookSecret string
	// Now is the time; the machine's if nil.
	Now func() time.Time
}

// Server is Stripe. It serves until Close.
type Server struct {
	c        Config
	mux      *http.ServeMux
	stopping chan struct{}
	closing  sync.Once

	mu        sync.Mutex
	serial    int
	seen      map[string]bool // keys that were turned away once
	keys      map[string]remembered
	customers map[string]object
	methods   map[string]*method
	intents   []*intent
	charges   map[string]*charge
	sessions  []*session
	refunds   []*refund
	disputes  []*dispute
	events    []Event
	kept      []keptEvent
	arrived   chan struct{} // closed and replaced with each event
	spoils    []spoil
	requests  []Request
	accounts  map[string]*connected
	codes     map[string]*code
	owners    map[string]string // of every object, by its id
	acting    string            // the account that a request is carried out for, or whose object somebody changes at his desk
}

// remembered is a key's first request and its answer.
type remembered struct {
	at     time.Time
	print  string
	answer answer
}

type spoil struct {
	path string
	step Step
}

// Request is one that the server has got.
type Request struct {
	Method, Path string
	Header       http.Header
	Form         url.Values
}

// New returns a server with nothing in it.
func New(c Config) *Server {
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Server{
		c: c, stopping: make(chan struct{}), seen: map[string]bool{}, keys: map[string]remembered{},
		customers: map[string]object{}, methods: map[string]*method{}, charges: map[string]*charge{}, arrived: make(chan struct{}),
		accounts: map[string]*connected{}, codes: map[string]*code{}, owners: map[string]string{},
	}
	if c.Account != "" {
		s.accounts[c.Account] = &connected{Account: Account{ID: c.Account}, granted: true}
	}
	s.mux = s.routes()
	return s
}

// Close lets waiting callers go.
func (s *Server) Close() { s.closing.Do(func() { close(s.stopping) }) }

// Spoil has the next request whose path begins so go as the step says, whatever its payment method. The path may have the
// request's method and a space before it, and is then for those only.
func (s *Server) Spoil(path string, step Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spoils = append(s.spoils, spoil{path, step})
}

// Requests are all that came, in order.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// request is one under way.
type request struct {
	*http.Request
	form  url.Values
	key   string
	owner *connected // whose secret key it carries; nil if it is that of Config
	step  Step       // of a spoil; empty if there is none
}

type handler func(*request) answer

func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	handle := func(pattern string, params []string, h handler) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, s.unwelcome, params, h) })
	}
	oauth := func(pattern string, params []string, h handler) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, s.noPlatform, params, h) })
	}
	lists := []string{"limit", "starting_after", "created", "expand", "payment_intent", "charge", "customer"}
	handle("POST /v1/customers", []string{"metadata"}, s.createCustomer)
	handle("GET /v1/customers/{id}", nil, s.getCustomer)
	handle("POST /v1/payment_intents", []string{
		"amount", "currency", "customer", "payment_method", "confirmation_token", "confirm", "off_session", "setup_future_usage",
		"capture_method", "return_url", "automatic_payment_methods", "metadata", "expand",
	}, s.createPayment)
	handle("GET /v1/payment_intents", lists, s.listIntents("payment_intent"))
	handle("GET /v1/payment_intents/{id}", []string{"expand"}, s.getIntent("payment_intent"))
	handle("POST /v1/payment_intents/{id}/cancel", []string{"cancellation_reason"}, s.cancelIntent("payment_intent"))
	handle("POST /v1/setup_intents", []string{
		"customer", "payment_method", "confirmation_token", "confirm", "usage", "return_url", "automatic_payment_methods", "metadata", "expand",
	}, s.createSetup)
	handle("GET /v1/setup_intents", lists, s.listIntents("setup_intent"))
	handle("GET /v1/setup_intents/{id}", []string{"expand"}, s.getIntent("setup_intent"))
	handle("POST /v1/setup_intents/{id}/cancel", []string{"cancellation_reason"}, s.cancelIntent("setup_intent"))
	handle("POST /v1/checkout/sessions", []string{
		"mode", "currency", "line_items", "payment_intent_data", "setup_intent_data", "customer_creation", "success_url", "cancel_url", "metadata",
	}, s.createSession)
	handle("GET /v1/checkout/sessions", lists, s.listSessions)
	handle("GET /v1/checkout/sessions/{id}", []string{"expand"}, s.getSession)
	handle("POST /v1/checkout/sessions/{id}/expire", []string{"expand"}, s.expireSession)
	handle("POST /v1/refunds", []string{"payment_intent", "charge", "amount", "reason", "metadata"}, s.createRefund)
	handle("GET /v1/refunds", lists, s.listRefunds)
	handle("GET /v1/events", []string{"limit", "starting_after", "created", "types"}, s.listEvents)
	handle("GET /v1/refunds/{id}", []string{"expand"}, s.getRefund)
	handle("GET /v1/account", []string{"expand"}, s.getOwnAccount)
	handle("GET /v1/accounts/{account}", []string{"expand"}, s.getAccount)
	oauth("POST /oauth/token", []string{"grant_type", "code", "client_secret"}, s.exchange)
	oauth("POST /oauth/deauthorize", []string{"client_id", "stripe_user_id"}, s.deauthorize)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.tell(w, r, problem(http.StatusNotFound, apiError{Type: "invalid_request_error", Message: "Unrecognized request URL (" + r.Method + ": " + r.URL.Path + ")."}))
	})
	return mux
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// judge turns requests away that are not to be carried out.
type judge func(r *request, params []string) (answer, bool)

func (s *Server) serve(w http.ResponseWriter, r *http.Request, j judge, params []string, h handler) {
	if err := r.ParseForm(); err != nil {
		s.tell(w, r, invalid("", "", err.Error()))
		return
	}
	s.mu.Lock()
	a := s.answer(&request{Request: r, form: r.Form, key: r.Header.Get("Idempotency-Key")}, j, params, h)
	s.mu.Unlock()
	s.tell(w, r, a)
}

// answer carries a request out. Only one is carried out at a time.
func (s *Server) answer(r *request, j judge, params []string, h handler) answer {
	s.requests = append(s.requests, Request{r.Method, r.URL.Path, r.Header.Clone(), r.form})
	s.acting = r.Header.Get("Stripe-Account")
	if r.owner = s.owner(r); r.owner != nil && s.acting == "" {
		s.acting = r.owner.ID
	}
	if a, ok := j(r, params); ok {
		return a
	}
	for i, sp := range s.spoils {
		if strings.HasPrefix(r.URL.Path, sp.path) || strings.HasPrefix(r.Method+" "+r.URL.Path, sp.path) {
			s.spoils = slices.Delete(s.spoils, i, i+1)
			r.step = sp.step
			break
		}
	}
	if a, away := r.step.turnedAway(); away {
		return a
	}
	// Not those of OAuth: https://docs.stripe.com/connect/oauth-reference#post-token
	if r.Method != http.MethodPost || r.key == "" || strings.HasPrefix(r.URL.Path, "/oauth/") {
		return h(r).spoiled(r.step)
	}
	return s.once(r, h)
}

// once answers a key that is known with its first answer.
func (s *Server) once(r *request, h handler) answer {
	key, print := s.acting+" "+r.key, r.URL.Path+"?"+r.form.Encode()
	if first, ok := s.keys[key]; ok && s.c.Now().Sub(first.at) < keyLifetime {
		if first.print != print {
			return problem(http.StatusBadRequest, apiError{Type: "idempotency_error", Message: "Keys for idempotent requests can only be used with the same parameters they were first used with."})
		}
		first.answer.replayed = true
		return first.answer
	}
	a := h(r)
	// What is not looked at, or not valid, is not remembered; nor how an answer was lost.
	lost := a.step == TimeoutUncharged || a.step == ResetUncharged
	if stored := a.status == http.StatusOK || a.status == http.StatusPaymentRequired || a.status >= 500; stored && !lost {
		kept := a
		kept.step = ""
		s.keys[key] = remembered{s.c.Now(), print, kept}
	}
	return a
}

// unwelcome judges the caller and the parameters' names.
func (s *Server) unwelcome(r *request, params []string) (answer, bool) {
	if r.owner == nil && r.Header.Get("Authorization") != "Bearer "+s.c.Key {
		return problem(http.StatusUnauthorized, apiError{Type: "invalid_request_error", Message: "Invalid API Key provided."}), true
	}
	if !s.granted(r) {
		return noAccess(), true
	}
	if r.Header.Get("Stripe-Version") == "" {
		return invalid("", "", "No version is pinned."), true
	}
	if len(r.key) > 255 {
		return invalid("", "", "The key is too long."), true
	}
	if name, ok := r.stranger(params); ok {
		return invalid(name, "parameter_unknown", "Received unknown parameter: "+name), true
	}
	return s.elsewhere(r)
}

// stranger is a parameter that nobody knows.
func (r *request) stranger(params []string) (name string, ok bool) {
	for name := range r.form {
		base, _, _ := strings.Cut(name, "[")
		if !slices.Contains(params, base) {
			return name, true
		}
	}
	return "", false
}

// elsewhere: no account knows of another's objects.
func (s *Server) elsewhere(r *request) (answer, bool) {
	ids := []string{r.PathValue("id")}
	for _, values := range r.form {
		ids = append(ids, values...)
	}
	for _, id := range ids {
		if owner, ok := s.owners[id]; ok && owner != s.acting {
			return missing("object", id, "id"), true
		}
	}
	return answer{}, false
}

// id names a new object of the account that is acting.
func (s *Server) id(prefix string) string {
	s.serial++
	id := fmt.Sprintf("%s_%014d", prefix, s.serial)
	s.owners[id] = s.acting
	return id
}

// actAs makes an object's owner act.
func (s *Server) actAs(id string) { s.acting = s.owners[id] }

// metadata reads prefix[metadata][…], or metadata[…].
func (r *request) metadata(prefix string) map[string]string {
	open := "metadata["
	if prefix != "" {
		open = prefix + "[metadata]["
	}
	m := map[string]string{}
	for name, values := range r.form {
		if k, ok := strings.CutPrefix(name, open); ok {
			m[strings.TrimSuffix(k, "]")] = values[0]
		}
	}
	return m
}

func (r *request) expanded(path string) bool {
	for name, values := range r.form {
		if strings.HasPrefix(name, "expand[") && (values[0] == path || strings.HasPrefix(values[0], path+".")) {
			return true
		}
	}
	return false
}

// number reads a parameter; ok is false if it is there and no number.
func (r *request) number(name string) (n int64, ok bool) {
	v := r.form.Get(name)
	if v == "" {
		return 0, true
	}
	n, err := strconv.ParseInt(v, 10, 64)
	return n, err == nil
}

// listOf is one page of the newest first. https://docs.stripe.com/api/pagination
func listOf[T any](s *Server, r *request, all []T, of func(T) (id string, created time.Time), write func(T) object) answer {
	limit, ok := r.number("limit")
	if !ok || limit < 0 || limit > 100 {
		return invalid("limit", "parameter_invalid_integer", "limit is from 1 to 100")
	}
	if limit == 0 {
		limit = 10
	}
	after, begun := r.form.Get("starting_after"), r.form.Get("starting_after") == ""
	data, more := []object{}, false
	for _, o := range slices.Backward(all) {
		id, created := of(o)
		switch {
		case !begun:
			begun = id == after
		case s.owners[id] != s.acting:
		case !r.within(created):
		case int64(len(data)) == limit:
			more = true
		default:
			data = append(data, write(o))
		}
	}
	if !begun {
		return invalid("starting_after", "resource_missing", "No such object: "+after)
	}
	return answerWith(object{"object": "list", "url": r.URL.Path, "has_more": more, "data": data})
}

// within reports whether created fits what the request asks for.
func (r *request) within(created time.Time) bool {
	t := created.Unix()
	for name, fits := range map[string]func(int64) bool{
		"created[gt]":  func(n int64) bool { return t > n },
		"created[gte]": func(n int64) bool { return t >= n },
		"created[lt]":  func(n int64) bool { return t < n },
		"created[lte]": func(n int64) bool { return t <= n },
	} {
		if v := r.form.Get(name); v != "" {
			if n, ok := r.number(name); !ok || !fits(n) {
				return false
			}
		}
	}
	return true
}
