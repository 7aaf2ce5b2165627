package sim

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"ledger.internal/ledger/internal/sim/door"
	"ledger.internal/ledger/internal/sim/invariant"
	"ledger.internal/ledger/internal/sim/neighbour"
)

// letter is a gateway's webhook on its way. It is sent until it is acknowledged, as gateways do.
type letter struct {
	neighbour.Webhook
	number int
	at     time.Time // not before
	tries  int
	flying bool
}

// post takes a webhook for delivery.
func (w *world) post(h neighbour.Webhook) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.letters++
	w.mail = append(w.mail, &letter{Webhook: h, number: w.letters, at: h.NotBefore})
}

// nextLetter is when the next letter may go out.
func (w *world) nextLetter() (at time.Time, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.mail {
		if !l.flying && (!ok || l.at.Before(at)) {
			at, ok = l.at, true
		}
	}
	return at, ok
}

// deliver sends off all letters whose time has come, in any order. false: there were none.
func (w *world) deliver() (some bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock.Now()
	for _, l := range w.mail {
		if !l.flying && !l.at.After(now) {
			l.flying, some = true, true
			go w.carry(l)
		}
	}
	return some
}

// hasten has letters that were to come late come within the hour.
func (w *world) hasten() {
	w.mu.Lock()
	defer w.mu.Unlock()
	soon := w.clock.Now().Add(time.Hour)
	for _, l := range w.mail {
		if l.at.After(soon) {
			l.at = soon
		}
	}
}

// carry brings a letter to the ledger once.
func (w *world) carry(l *letter) {
	status := w.hand(l)
	w.mu.Lock()
	defer w.mu.Unlock()
	l.flying = false
	l.tries++
	if status/100 == 2 && l.ID != "" {
		w.evidence.Messages = append(w.evidence.Messages, invariant.Message{
			Gateway: l.Gateway, Merchant: l.Merchant, Connection: l.Connection, ID: l.ID,
		})
	}
	if status/100 == 2 || status/100 == 4 && !l.Patient {
		w.forget(l)
		return
	}
	l.at = w.clock.Now().Add(min(time.Minute<<min(l.tries, 10), 6*time.Hour))
}

func (w *world) forget(l *letter) {
	for i, other := range w.mail {
		if other == l {
			w.mail = append(w.mail[:i], w.mail[i+1:]...)
			return
		}
	}
}

// hand gives a letter to the ledger and returns the status that the gateway sees; 0 if it sees none.
func (w *world) hand(l *letter) int {
	actor := fmt.Sprintf("letter %d", l.number)
	line := door.Call{Neighbour: caller, Name: "webhook", Of: l.ID}
	run, err := w.reach(actor, line)
	if err != nil {
		return 0
	}
	req, err := http.NewRequestWithContext(withActor(run.ctx, actor), http.MethodPost,
		home+l.Path(), bytes.NewReader(l.Body))
	if err != nil {
		panic(err) // the address is ours
	}
	if l.Sign != nil {
		req.Header = l.Sign(w.clock.Now())
	}
	for name, values := range l.Header {
		req.Header[name] = values
	}
	answer := httptest.NewRecorder()
	run.api.Webhooks().ServeHTTP(answer, req)
	back := &waiting{actor: actor, call: line, stage: after}
	if run.dead.Load() {
		return 0
	}
	if w.scheduler.stand(back) != nil {
		if answer.Code/100 == 2 { // the ledger has acknowledged it, though nobody heard that
			w.hit("a webhook came again that was acknowledged")
		}
		return 0
	}
	return answer.Code
}
