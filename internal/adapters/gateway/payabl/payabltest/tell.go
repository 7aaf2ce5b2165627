package payabltest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"sync"
)

// Telling is how notifications come.
type Telling int

// The ways of telling.
const (
	Once   Telling = iota
	Twice          // as payabl. does that gets no answer to the first
	Late           // kept back until Tell
	Never          // lost on the way
	Forged         // signed with another secret
)

// notification is one that is to be sent.
type notification struct {
	to   string
	body []byte
}

// tell sends a notification, as Notify says.
func (s *Server) tell(t *transaction, kind string, code int) {
	if t.notifyURL == "" {
		return
	}
	secret := s.secret
	if s.telling == Forged {
		secret += "?"
	}
	n := notification{t.notifyURL, []byte(encode(s.notice(t, kind, code, secret)))}
	switch s.telling {
	case Never:
	case Late:
		s.kept = append(s.kept, n)
	case Twice:
		s.send(n, n)
	default:
		s.send(n)
	}
}

func (s *Server) send(all ...notification) {
	for _, n := range all {
		s.c.Tell(n.to, n.body)
	}
}

// notice is what a notification says, and signs: https://docs.payabl.com/docs/signature-calculation2.
func (s *Server) notice(t *transaction, kind string, code int, secret string) []string {
	stamp := strconv.FormatInt(s.c.Now().Unix(), 10)
	sum := sha256.Sum256([]byte(t.id + kind + strconv.Itoa(code) + stamp + secret))
	return []string{
		"transactionid", t.id, "errorcode", strconv.Itoa(code), "security", hex.EncodeToString(sum[:]), "type", kind,
		"orderid", t.order, "errormessage", "", "timestamp", stamp,
	}
}

// Notify says how notifications come from now on.
func (s *Server) Notify(how Telling) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.telling = how
}

// Tell sends what was kept back, as it was signed then.
func (s *Server) Tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.send(s.kept...)
	s.kept = nil
}

// Told returns once no notification is on its way.
func (s *Server) Told() { s.told() }

// Notice is a notification of a transaction as payabl. would sign it now, and where it would go.
func (s *Server) Notice(id, kind string, code int) (to string, body url.Values) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.find(id)
	body, err := url.ParseQuery(encode(s.notice(t, kind, code, s.secret)))
	if err != nil {
		panic(err) // it was made of pairs
	}
	return t.notifyURL, body
}

// mail posts notifications.
type mail struct {
	client  http.Client
	mu      sync.Mutex
	sending int
	arrived *sync.Cond // when one of them is there, or is lost
}

func newMail() *mail {
	m := &mail{}
	m.arrived = sync.NewCond(&m.mu)
	return m
}

func (m *mail) post(to string, body []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sending++
	go func() {
		resp, err := m.client.Post(to, "application/x-www-form-urlencoded", bytes.NewReader(body))
		if err == nil {
			_ = resp.Body.Close()
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.sending--
		m.arrived.Broadcast()
	}()
}

func (m *mail) wait() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.sending > 0 {
		m.arrived.Wait()
	}
}
