package main

import (
	"encoding/json"
	"net/http"
	"syscall"
	"time"

	"ledger.internal/ledger/internal/sim/invariant"
)

// evidence is what others saw of the ledger: the callers' answers, the gateway's own book and what the receiver got.
// It ends the receiver, so that all that he printed has been read.
func (s *siege) evidence() (seen invariant.Evidence) {
	s.t.Helper()
	s.receiver.signal(syscall.SIGKILL)
	<-s.receiver.ended
	for _, d := range s.drivers {
		seen.Acks = append(seen.Acks, d.acked...)
	}
	var err error
	seen.Captures, err = sandboxCaptures(s.ctx, s.sandbox)
	s.ok(err)
	seen.Returns = s.returns()
	seen.Receipts = s.hearing.receipts
	return seen
}

// returns are the refunds that the gateway has carried out.
func (s *siege) returns() (all []invariant.Return) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.ctx, http.MethodGet, s.sandbox+"/v1/book", nil)
	s.ok(err)
	resp, err := http.DefaultClient.Do(req)
	s.ok(err)
	defer resp.Body.Close()
	var book struct {
		Refunds []struct {
			ID, Key, Charge, Status string
			Amount                  struct {
				Currency string `json:"currency_code"`
				Minor    int64  `json:"minor_units"`
			}
			CreatedAt time.Time `json:"created_at"`
			Metadata  struct{ Merchant, Subscription string }
		}
	}
	s.ok(json.NewDecoder(resp.Body).Decode(&book))
	for _, r := range book.Refunds {
		if r.Status != "succeeded" {
			continue
		}
		all = append(all, invariant.Return{
			Merchant: r.Metadata.Merchant, Subscription: r.Metadata.Subscription, Connection: killConnection, Kind: invariant.Refunded,
			Key: r.Key, Reference: r.ID, ChargeReference: r.Charge, Currency: r.Amount.Currency, Minor: r.Amount.Minor, At: r.CreatedAt,
		})
	}
	return all
}
