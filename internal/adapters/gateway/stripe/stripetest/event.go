package stripetest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Event is what a webhook's body tells. Nothing is sent by itself: who tests sends it never, twice, late or early.
type Event struct {
	Type string
	Body []byte
	// Account is the connected account that it is about: the platform's endpoint gets it. That of an account which is not
	// connected has an endpoint of its own, if any. https://docs.stripe.com/connect/webhooks
	Account string
}

// deauthorized is the last event of an account that the platform gets.
// https://docs.stripe.com/connect/oauth-reference#post-deauthorize
const deauthorized = "account.application.deauthorized"

func (s *Server) event(kind string, o object) { s.changed(kind, o, nil) }

func (s *Server) changed(kind string, o, before object) {
	data := object{"object": o}
	if before != nil {
		data["previous_attributes"] = before
	}
	e := object{
		"id": s.id("evt"), "object": "event", "type": kind, "created": s.c.Now().Unix(), "livemode": s.c.Live,
		"api_version": "2022-11-15", "data": data, // the endpoint's, which need not be the caller's
	}
	account := ""
	if a, ok := s.accounts[s.acting]; ok && (a.granted || kind == deauthorized) {
		account, e["account"] = a.ID, a.ID
	}
	body, err := json.MarshalIndent(e, "", "  ") // as Stripe sends them
	if err != nil {
		panic(err) // our own objects
	}
	s.events = append(s.events, Event{kind, body, account})
	s.kept = append(s.kept, keptEvent{e["id"].(string), kind, s.acting, s.c.Now(), e})
	close(s.arrived)
	s.arrived = make(chan struct{})
}

// keptFor is how long events are listed. https://docs.stripe.com/api/events/list
const keptFor = 30 * 24 * time.Hour

// mostTypes is how many types one request may name. https://docs.stripe.com/api/events/list#list_events-types
const mostTypes = 20

// keptEvent is an event as the list has it.
type keptEvent struct {
	id, kind, account string
	at                time.Time
	whole             object
}

// listEvents lists those of the last 30 days. To whoever asks in an account's name the account is not named.
func (s *Server) listEvents(r *request) answer {
	types := map[string]bool{}
	for name, values := range r.form {
		if strings.HasPrefix(name, "types[") {
			types[values[0]] = true
		}
	}
	if len(types) > mostTypes {
		return invalid("types", "", "You may only specify up to 20 event types.")
	}
	var wanted []keptEvent
	for _, e := range s.kept {
		if e.account == s.acting && s.c.Now().Sub(e.at) < keptFor && (len(types) == 0 || types[e.kind]) {
			wanted = append(wanted, e)
		}
	}
	return listOf(s, r, wanted, func(e keptEvent) (string, time.Time) { return e.id, e.at }, func(e keptEvent) object {
		listed := maps.Clone(e.whole)
		delete(listed, "account")
		return listed
	})
}

// Emit makes an event of the first account that no change has made.
func (s *Server) Emit(kind string, o map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acting = s.c.Account
	s.event(kind, o)
}

// Events are all events so far.
func (s *Server) Events() []Event { return s.Since(0) }

// Since are the events after the first n.
func (s *Server) Since(n int) []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events[n:])
}

// Next waits for the event after the first n.
func (s *Server) Next(ctx context.Context, n int) (Event, error) {
	for {
		s.mu.Lock()
		if len(s.events) > n {
			defer s.mu.Unlock()
			return s.events[n], nil
		}
		arrived := s.arrived
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return Event{}, ctx.Err()
		case <-arrived:
		}
	}
}

// Sign is the header of a webhook sent at that time. With several secrets it holds a signature of each, as while an
// endpoint's secret is exchanged. https://docs.stripe.com/webhooks#verify-manually
func Sign(at time.Time, body []byte, secrets ...string) http.Header {
	t := strconv.FormatInt(at.Unix(), 10)
	value := "t=" + t
	for _, secret := range secrets {
		m := hmac.New(sha256.New, []byte(secret))
		m.Write([]byte(t + "."))
		m.Write(body)
		value += ",v1=" + hex.EncodeToString(m.Sum(nil))
	}
	return http.Header{"Stripe-Signature": {value}}
}

// Deliver sends an event to url, signed at that time.
func (s *Server) Deliver(ctx context.Context, url string, e Event, at time.Time) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(e.Body))
	if err != nil {
		return 0, err
	}
	req.Header = Sign(at, e.Body, s.c.WebhookSecret)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("deliver %s: %w", e.Type, err)
	}
	return resp.StatusCode, resp.Body.Close()
}
