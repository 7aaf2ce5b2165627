package neighbour

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"ledger.internal/ledger/internal/sim/invariant"
)

// ReceiversConfig is what Receivers need. All but Mischief is required.
type ReceiversConfig struct {
	Now      func() time.Time
	Random   *rand.Rand
	Mischief ReceiverMischief
	// Hit is told the name of each fault that was really exercised; see Faults.
	Hit func(fault string)
}

// ReceiverMischief says how often a receiver answers how. The first that is drawn counts. Each endpoint is given to
// some of the kinds only, so that there are good ones among bad ones.
type ReceiverMischief struct {
	// The endpoint may have processed the notification although the sender hears of a failure (Heard), or has never got
	// it (Unheard).
	TimeoutUnheard, TimeoutHeard, ResetHeard float64
	// Refusals. Gone is for good.
	Error, NotFound, Gone, Redirect float64
	// Refusals that say when to come again, in ways from sane to senseless.
	Throttled float64
	// Huge is an acknowledgement with a body without an end in sight.
	Huge float64
}

// DrawReceiverMischief is DrawMischief for receivers.
func DrawReceiverMischief(r *rand.Rand) ReceiverMischief {
	var m ReceiverMischief
	drawInto(r, reflect.ValueOf(&m).Elem())
	m.Gone /= 10 // an endpoint that is gone gets nothing any more
	return m
}

// The faults of receivers.
const (
	ReceiverTimeoutUnheard = "receiver.timeout_unheard"
	ReceiverTimeoutHeard   = "receiver.timeout_heard"
	ReceiverResetHeard     = "receiver.reset_heard"
	ReceiverError          = "receiver.error"
	ReceiverNotFound       = "receiver.not_found"
	ReceiverGone           = "receiver.gone"
	ReceiverRedirect       = "receiver.redirect"
	ReceiverThrottled      = "receiver.throttled"
	ReceiverHuge           = "receiver.huge"
)

func receiverFaults() []string {
	return []string{
		ReceiverTimeoutUnheard, ReceiverTimeoutHeard, ReceiverResetHeard, ReceiverError, ReceiverNotFound, ReceiverGone,
		ReceiverRedirect, ReceiverThrottled, ReceiverHuge,
	}
}

// Receivers are the merchants' endpoints: https://<merchant>.example/<endpoint> for each that is expected. They
// implement http.RoundTripper.
type Receivers struct {
	ReceiversConfig

	mu        sync.Mutex
	endpoints map[string]*endpoint // by host and path
	receipts  []invariant.Receipt
}

type endpoint struct {
	merchant, id string
	secrets      [][]byte
	mischief     ReceiverMischief
	gone         bool
}

// NewReceivers returns receivers that know no endpoint yet.
func NewReceivers(c ReceiversConfig) *Receivers {
	return &Receivers{ReceiversConfig: c, endpoints: map[string]*endpoint{}}
}

// URL is an endpoint's address.
func URL(merchant, endpoint string) string { return "https://" + merchant + ".example/" + endpoint }

// Expect opens an endpoint, or gives it another secret: those before stay good, for a notification may be on its way.
func (r *Receivers) Expect(merchant, id, secret string) error {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return fmt.Errorf("secret of %s/%s: %w", merchant, id, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	at := strings.TrimPrefix(URL(merchant, id), "https://")
	e := r.endpoints[at]
	if e == nil {
		e = &endpoint{merchant: merchant, id: id, mischief: r.character()}
		r.endpoints[at] = e
	}
	e.secrets = append(e.secrets, key)
	return nil
}

// character is what one endpoint is given to: each kind of mischief, or none of it.
func (r *Receivers) character() ReceiverMischief {
	m := r.Mischief
	kinds := reflect.ValueOf(&m).Elem()
	for i := range kinds.NumField() {
		if p := kinds.Field(i); p.Float() < 1 && r.Random.IntN(2) == 0 { // what is certain is so everywhere
			p.SetFloat(0)
		}
	}
	return m
}

// Receipts are the notifications that arrived, in that order. Those that a receiver never got are not among them.
func (r *Receivers) Receipts() []invariant.Receipt {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.receipts)
}

// Heal has every endpoint acknowledge what comes, those included that were gone.
func (r *Receivers) Heal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Mischief = ReceiverMischief{}
	for _, e := range r.endpoints {
		e.mischief, e.gone = ReceiverMischief{}, false
	}
}

// RoundTrip implements http.RoundTripper.
func (r *Receivers) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		defer req.Body.Close()
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	now := r.Now().UTC()
	a := r.receive(req, body, now)
	if a.fault != "" {
		r.Hit(a.fault)
	}
	if a.err != nil {
		return nil, a.err
	}
	return a.response(req), nil
}

// answer is how a receiver answers.
type answer struct {
	fault  string
	err    error // instead of a response
	lost   bool  // the receiver never got it
	acks   bool  // the receiver has taken it, whatever the sender hears
	status int
	header http.Header
	body   io.Reader
}

// receive notes what arrives and answers it.
func (r *Receivers) receive(req *http.Request, body []byte, now time.Time) answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.endpoints[req.URL.Host+req.URL.Path]
	if e == nil || req.URL.Scheme != "https" {
		return answer{err: &net.DNSError{Err: "no such host", Name: req.URL.Host, IsNotFound: true}}
	}
	genuine := e.signed(req.Header, body)
	a := answer{status: http.StatusUnauthorized}
	if genuine && req.Method == http.MethodPost {
		a = r.answer(e, now)
	}
	if !a.lost {
		r.receipts = append(r.receipts, invariant.Receipt{
			Merchant: e.merchant, Endpoint: e.id, WebhookID: req.Header.Get("webhook-id"), Body: string(body), At: now,
			Genuine: genuine, Acknowledged: a.acks,
		})
	}
	return a
}

// signed checks a signature as Standard Webhooks has it. It is written out here, and not left to the library that the
// ledger signs with, so that an error in that would be seen.
func (e *endpoint) signed(h http.Header, body []byte) bool {
	id, stamp := h.Get("webhook-id"), h.Get("webhook-timestamp")
	if _, err := strconv.ParseInt(stamp, 10, 64); err != nil || id == "" {
		return false
	}
	for _, signature := range strings.Fields(h.Get("webhook-signature")) {
		v1, ok := strings.CutPrefix(signature, "v1,")
		got, err := base64.StdEncoding.DecodeString(v1)
		if !ok || err != nil {
			continue
		}
		for _, secret := range e.secrets {
			sum := hmac.New(sha256.New, secret)
			_, _ = fmt.Fprintf(sum, "%s.%s.%s", id, stamp, body) // a hash never fails
			if hmac.Equal(got, sum.Sum(nil)) {
				return true
			}
		}
	}
	return false
}

// answer draws what comes of a genuine notification.
func (r *Receivers) answer(e *endpoint, now time.Time) answer {
	m := e.mischief
	chance := func(p float64) bool { return p > 0 && r.Random.Float64() < p }
	switch {
	case e.gone:
		return answer{fault: ReceiverGone, status: http.StatusGone}
	case chance(m.TimeoutUnheard):
		return answer{fault: ReceiverTimeoutUnheard, err: context.DeadlineExceeded, lost: true}
	case chance(m.TimeoutHeard):
		return answer{fault: ReceiverTimeoutHeard, err: context.DeadlineExceeded}
	case chance(m.ResetHeard):
		return answer{fault: ReceiverResetHeard, err: &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}, acks: true}
	case chance(m.Error):
		return answer{fault: ReceiverError, status: http.StatusInternalServerError, body: strings.NewReader("Internal \xff\x00 error")}
	case chance(m.NotFound):
		return answer{fault: ReceiverNotFound, status: http.StatusNotFound}
	case chance(m.Gone):
		e.gone = true
		return answer{fault: ReceiverGone, status: http.StatusGone}
	case chance(m.Redirect):
		status := [...]int{http.StatusMovedPermanently, http.StatusTemporaryRedirect}[r.Random.IntN(2)]
		return answer{fault: ReceiverRedirect, status: status, header: http.Header{"Location": {URL(e.merchant, e.id)}}}
	case chance(m.Throttled):
		return r.throttled(now)
	case chance(m.Huge):
		return answer{fault: ReceiverHuge, status: http.StatusOK, acks: true, body: io.LimitReader(endless{}, 1<<40)}
	}
	return answer{status: http.StatusOK, acks: true}
}

// throttled asks to come again later, at times that make sense and at such that make none.
func (r *Receivers) throttled(now time.Time) answer {
	status := [...]int{http.StatusTooManyRequests, http.StatusServiceUnavailable}[r.Random.IntN(2)]
	when := [...]string{
		"120", "0", "-5", "99999999999999999999", "31536000", "soon",
		now.Add(10 * time.Minute).Format(http.TimeFormat), now.AddDate(-1, 0, 0).Format(http.TimeFormat),
	}[r.Random.IntN(8)]
	return answer{fault: ReceiverThrottled, status: status, header: http.Header{"Retry-After": {when}}}
}

// endless is a body of zeros.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func (a answer) response(req *http.Request) *http.Response {
	if a.header == nil {
		a.header = http.Header{}
	}
	if a.body == nil {
		a.body = http.NoBody
	}
	return &http.Response{
		StatusCode: a.status, Status: fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: -1,
		Header: a.header, Body: io.NopCloser(a.body), Request: req,
	}
}
