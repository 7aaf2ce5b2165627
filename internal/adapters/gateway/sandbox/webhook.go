package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"time"

	"ledger.internal/ledger/internal/projection"
)

// How webhooks are sent: at most sendsAtOnce at a time, and again after a failure with doubling pauses, for about
// two days.
const (
	sendsAtOnce = 8
	sendTimeout = 10 * time.Second
	firstPause  = 5 * time.Second
	longestWait = 6 * time.Hour
	maxTries    = 20
)

// send notes an event, and its webhook if it has an address to go to and no fault loses it. Its id derives from what it tells, so that telling it twice is a duplicate.
func send(tx projection.Tx, at time.Time, url string, m message, about ...string) error {
	m.ID = name("evt_", append([]string{m.Account, m.Type}, about...)...)
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := keepEvent(tx, m, at, body); err != nil || url == "" {
		return err
	}
	if step, err := takeFault(tx, m.Account, opWebhook); err != nil || step == stepLost {
		return err
	}
	_, err = tx.Exec(`INSERT INTO messages (due, tries, account, url, body) VALUES ($1, 0, $2, $3, $4)`, at.UnixMicro(), m.Account, url, body)
	return err
}

// notify tells of a charge's state; of one that nobody asked for, all there is to it.
func (c *chargeRow) notify(tx projection.Tx, at time.Time) error {
	m := message{Type: chargeUpdated, Account: c.Account, Key: c.Key, Subscription: c.Metadata.Subscription}
	if c.Key == "" {
		m.Type, m.Payment = paymentMade, &c.charge
	}
	return send(tx, at, c.NotifyURL, m, c.ID, string(c.Status))
}

type outgoing struct {
	seq          int64
	tries        int
	account, url string
	body         []byte
}

// startSends puts what is due on its way, as far as there is room; a send that ends pokes the loop. What was on its
// way before the rows were read is left alone even if it has arrived meanwhile: its row may be the old one.
func (s *Server) startSends() error {
	s.mu.Lock()
	busy := maps.Clone(s.sending)
	s.mu.Unlock()
	list, err := s.dueMessages(s.clock.Now())
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range list {
		if busy[o.seq] || len(s.sending) == sendsAtOnce {
			continue
		}
		s.sending[o.seq] = true
		s.sends.Go(func() { s.sendOut(o) })
	}
	return nil
}

func (s *Server) dueMessages(now time.Time) (_ []outgoing, err error) {
	rows, err := s.book.Query(s.stopping, `SELECT seq, tries, account, url, body FROM messages WHERE due <= $1 ORDER BY due, seq LIMIT $2`, now.UnixMicro(), batch)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var list []outgoing
	for rows.Next() {
		var o outgoing
		if err := rows.Scan(&o.seq, &o.tries, &o.account, &o.url, &o.body); err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	return list, rows.Err()
}

// sendOut sends one message once and notes how it went.
func (s *Server) sendOut(o outgoing) {
	err := s.post(o)
	if err == nil || s.stopping.Err() == nil { // a send that Close broke off does not count
		if err != nil {
			s.log.Info("sandbox: webhook not taken", "url", o.url, "try", o.tries+1, "error", err)
		}
		if noted := s.note(o, err == nil); noted != nil {
			s.log.Error("sandbox: webhook", "error", noted)
		}
	}
	s.mu.Lock()
	delete(s.sending, o.seq)
	s.mu.Unlock()
	s.poke()
}

func (s *Server) note(o outgoing, taken bool) error {
	var due any // NULL: done with
	if o.tries++; !taken && o.tries < maxTries {
		due = s.clock.Now().Add(min(firstPause<<(o.tries-1), longestWait)).UnixMicro()
	}
	return s.book.do(func(tx projection.Tx) error {
		_, err := tx.Exec(`UPDATE messages SET due = $1, tries = $2 WHERE seq = $3`, due, o.tries, o.seq)
		return err
	})
}

func (s *Server) post(o outgoing) error {
	var acc accountBody
	if _, err := one(s.book.QueryRow(s.stopping, `SELECT doc FROM accounts WHERE account = $1`, o.account), &acc); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.stopping, sendTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.url, bytes.NewReader(o.body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(signatureHeader, sign(acc.WebhookSecret, s.clock.Now(), o.body))
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxRequest)) // so that the connection can be used again
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}
