package payabltest

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// backOffice is the path of the API.
const backOffice = "/pay/backoffice/"

// zone is payabl.'s own, as far as this server goes.
var zone = time.FixedZone("", 2*60*60)

// Fault is how an answer goes wrong on its way.
type Fault int

// The faults.
const (
	None      Fault = iota
	Silence         // no answer until the caller gives up
	Cut             // the connection is cut
	Broken          // an internal error
	WebPage         // 200 and a web page
	HalfSpoke       // the answer breaks off, and its length is that of the half
)

// Behaviour is what payments to a method, or refunds of a payment, come to. The zero value succeeds.
type Behaviour struct {
	Status  int // the code they get; 2000 leaves them pending
	Says    int // the code that is answered although they got another
	Fault   Fault
	Lost    bool  // nothing happens; only the fault
	Once    bool  // the first call alone; the next ones succeed
	Extra   int64 // so many minor units too much
	Euros   bool  // charged in euros, whatever was asked for
	ThreeDS bool  // the buyer has to confirm at his bank
	Refund  *Behaviour
}

// Config is what a back office has to know.
type Config struct {
	// Merchant and Secret are its one account's.
	Merchant, Secret string
	Now              func() time.Time
	// Site is the address of the pages that buyers are sent to.
	Site string
	// Tell gets each notification. It must not call the server.
	Tell func(url string, body []byte)
}

// Server is one back office. Its accounts know each other's transactions no more than payabl.'s do.
type Server struct {
	c        Config
	told     func() // waits for the notifications that are on their way
	end      func() // ends what makes it reachable
	stopping chan struct{}

	mu           sync.Mutex
	secret       string
	away         bool
	telling      Telling
	kept         []notification
	last         int
	transactions []*transaction
	entries      []entry
	headers      []http.Header
}

type transaction struct {
	id, order, custom, method string
	amount                    int64
	currency                  string
	notifyURL, returnURL      string
	init                      bool // recurring_id=INIT
	charge                    bool // payment_authorize: taken with its order
	behaviour                 *Behaviour
	used                      int
	page                      bool // the buyer was sent away
	ended                     bool // the agreement is
	steps                     []step
}

type step struct {
	kind     string
	code     int
	amount   int64
	at       time.Time
	external string    // external_id of a refund
	decided  time.Time // when it got the code that it has
}

// entry is a line of a list: a chargeback, a retrieval request.
type entry struct {
	list   string
	of     *transaction
	amount int64
	at     time.Time
}

// Refunded is money that went back.
type Refunded struct {
	ExternalID string
	Amount     int64
	Currency   string
}

// New is a back office without an address: a handler.
func New(c Config) *Server {
	return &Server{c: c, secret: c.Secret, told: func() {}, end: func() {}, stopping: make(chan struct{}), last: 105108235}
}

// NewServer starts a back office with one account, which sends its notifications. Close it.
func NewServer(merchant, secret string, now func() time.Time) *Server {
	mail := newMail()
	s := New(Config{Merchant: merchant, Secret: secret, Now: now, Tell: mail.post})
	local := httptest.NewServer(s)
	s.c.Site, s.told = local.URL, mail.wait
	s.end = func() {
		mail.wait()
		local.Close()
		mail.client.CloseIdleConnections()
	}
	return s
}

// URL is the address of the API.
func (s *Server) URL() string { return s.c.Site + backOffice }

// Close lets waiting callers go and ends the server.
func (s *Server) Close() {
	close(s.stopping)
	s.end()
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	action, ok := strings.CutPrefix(r.URL.Path, backOffice)
	if !ok {
		s.buyer(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Method != http.MethodPost {
		http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	form, err := url.ParseQuery(string(body))
	s.mu.Lock()
	s.headers = append(s.headers, r.Header.Clone())
	refusal, away := s.refuse(form, err), s.away
	s.mu.Unlock()
	switch {
	case away:
		http.Error(w, "Service Unavailable", http.StatusServiceUnavailable)
	case action == "tx_diagnose":
		s.diagnose(w, form, refusal)
	case refusal != 0:
		writePairs(w, pairs(nil, refusal))
	default:
		s.pay(w, r, action, form)
	}
}

// refuse is the code of a request that is not looked at, or 0.
func (s *Server) refuse(form url.Values, err error) int {
	if err != nil || form.Get("merchantid") != s.c.Merchant {
		return -999
	}
	var names []string
	for name := range form {
		if name != "signature" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var values string
	for _, name := range names {
		values += form.Get(name)
	}
	sum := sha1.Sum([]byte(values + s.secret))
	if hex.EncodeToString(sum[:]) != form.Get("signature") {
		return -6000
	}
	return 0
}

// outcome is what a request came to, before its answer is spoilt.
type outcome struct {
	of     *transaction
	code   int
	fault  Fault
	url    [2]string // the name and value of where the buyer is sent
	amount int64
}

func (s *Server) pay(w http.ResponseWriter, r *http.Request, action string, form url.Values) {
	s.mu.Lock()
	var o outcome
	switch action {
	case "payment_preauthorize":
		o = s.preauthorize(form)
	case "payment_authorize":
		o = s.authorize(form)
	case "payment_capture":
		o = s.capture(form)
	case "payment_reversal":
		o = s.reverse(form)
	case "payment_refund":
		o = s.refund(form)
	default:
		o = outcome{code: -104}
	}
	v := pairs(o.of, o.code)
	if o.of != nil {
		v = append(v, "amount", decimal(o.amount), "price", decimal(o.amount), "currency", o.of.currency, "orderid", o.of.order,
			"payment_method", o.of.method)
	}
	if o.url[0] != "" {
		v = append(v, o.url[0], o.url[1])
	}
	if o.of != nil {
		v = append(v, "user_id", "504459")
	}
	s.mu.Unlock()
	s.answer(w, r, v, o.fault)
}

// answer tells v, or spoils it.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, v []string, f Fault) {
	switch f {
	case Silence:
		select {
		case <-r.Context().Done():
		case <-s.stopping:
		}
		panic(http.ErrAbortHandler)
	case Cut:
		panic(http.ErrAbortHandler)
	case Broken:
		http.Error(w, "Internal Server Error", http.StatusInternalServerError)
	case WebPage:
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<html>Maintenance</html>")
	case HalfSpoke:
		text := encode(v)
		status := strings.Index(text, "&status=")
		fmt.Fprint(w, text[:status+len("&status=")+1])
	default:
		writePairs(w, v)
	}
}

// pairs begin an answer: https://docs.payabl.com/docs/paypal, "Response fields reference".
func pairs(t *transaction, code int) []string {
	var v []string
	if t != nil {
		v = []string{"transactionid", t.id, "transid", t.id}
	}
	message := map[int]string{0: "", 2000: "pending"}
	text, ok := message[code]
	if !ok {
		text = "Zahlung nicht m\xf6glich (" + strconv.Itoa(code) + ")" // in ISO-8859-1, as everything is
	}
	return append(v, "status", strconv.Itoa(code), "errormessage", text, "errmsg", text)
}

func writePairs(w http.ResponseWriter, v []string) {
	w.Header().Set("Content-Type", "text/html;charset=ISO-8859-1")
	fmt.Fprint(w, encode(v))
}

func encode(v []string) string {
	var b strings.Builder
	for i := 0; i < len(v); i += 2 {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(v[i] + "=" + url.QueryEscape(v[i+1]))
	}
	return b.String()
}

func decimal(minor int64) string { return fmt.Sprintf("%d.%02d", minor/100, minor%100) }

// minor reads an amount: no decimals, or two.
func minor(text string) (int64, bool) {
	whole, fraction, dotted := strings.Cut(text, ".")
	if dotted && len(fraction) != 2 || len(whole) > 8 {
		return 0, false
	}
	n, err := strconv.ParseInt(whole+(fraction + "00")[:2], 10, 64)
	return n, err == nil && n >= 0
}

// Away has nobody answered for a while.
func (s *Server) Away(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

// Rotate gives the account another secret. The one before is good for nothing any more.
func (s *Server) Rotate(secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secret = secret
}
