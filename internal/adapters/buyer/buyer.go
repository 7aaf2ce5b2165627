// Package buyer answers the buyers whom a payment has sent away and whom a gateway gives back.
//
// A gateway is told two addresses of ours, /return/<gateway>/<token> and the same with /cancel for a buyer who has turned
// back. That somebody comes there proves nothing: the gateway is asked what became of the payment, and what it says is
// recorded as any look-up is. Who has turned back ends a subscription's first payment, if the gateway can end it and
// nothing was paid. Then the buyer is sent on, to one of the addresses that the merchant gave when the subscription
// started: success; failure, if the payment was declined, has run out or was ended; return, while it is open. For a
// missing one of the first two return stands in, and for that success; a page of our own says what happened if nothing is
// left. The addresses are used as they are: nothing of the request is added, nor anything of ours, for a buyer can edit it
// and the merchant might believe it.
//
// What the package leaves to others: asking gateways and recording what they say (process), and what a gateway is told
// (its adapter).
package buyer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"ledger.internal/ledger/internal/adapters/clock"
	"ledger.internal/ledger/internal/adapters/plainpage"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// Config is what a Handler needs. Fields without "defaults to" are required.
type Config struct {
	Addresses     *Addresses
	Subscriptions *aggregate.Runner[subscription.State]
	// Settle finds out what became of what the gateway knows by key, and records it; Abandon ends it before, if it is a
	// first payment that nobody has made. Both answer the subscription as it is afterwards. A gateway that does not answer
	// is no error.
	Settle, Abandon func(ctx context.Context, stream, key string) (subscription.State, error)
	// Elapsed is the time that has really passed. Defaults to the wall clock's.
	Elapsed func() time.Duration
	// Logger defaults to slog's.
	Logger *slog.Logger
}

// Handler answers everything under Path.
type Handler struct {
	Config
	pages map[page][]byte
	asks  asks
}

// New returns a Handler.
func New(c Config) (*Handler, error) {
	if c.Addresses == nil || c.Subscriptions == nil || c.Settle == nil || c.Abandon == nil {
		return nil, errors.New("buyer: Config lacks something that is required")
	}
	if c.Elapsed == nil {
		c.Elapsed = clock.Wall{}.Elapsed
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	pages, err := render()
	if err != nil {
		return nil, fmt.Errorf("buyer: %w", err)
	}
	return &Handler{Config: c, pages: pages}, nil
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	plainpage.Protect(w.Header())
	p, turnedBack, ok := h.asked(r.URL.Path)
	switch {
	case !ok:
		h.show(w, http.StatusNotFound, unknownPage)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodPost: // some gateways post
		w.Header().Set("Allow", "GET, POST")
		h.show(w, http.StatusMethodNotAllowed, unknownPage)
		return
	case strings.HasPrefix(r.Header.Get("Sec-Purpose"), "prefetch"):
		// A browser that looks ahead must not end a payment whose buyer is still at the gateway.
		// https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Sec-Purpose
		h.unavailable(w)
		return
	}
	s, err := h.find(r.Context(), p, turnedBack)
	if err != nil {
		h.Logger.ErrorContext(r.Context(), "a buyer who came back could not be answered", slog.String("stream", p.stream()), slog.Any("error", err))
		h.unavailable(w)
		return
	}
	h.sendOn(w, r, s, p.key)
}

// asked is the payment that a path names, and whether its buyer has turned back.
func (h *Handler) asked(path string) (p payment, turnedBack, ok bool) {
	parts := strings.Split(strings.TrimPrefix(path, Path), "/")
	if len(parts) == 3 && parts[2] == cancelled {
		turnedBack, parts = true, parts[:2]
	}
	if len(parts) != 2 {
		return payment{}, false, false
	}
	p, ok = h.Addresses.read(parts[0], parts[1])
	return p, turnedBack, ok
}

// sendOn sends the buyer to the merchant. A token of ours may name a payment that the log does not have: it may be an
// older copy.
func (h *Handler) sendOn(w http.ResponseWriter, r *http.Request, s subscription.State, key string) {
	o, ok := outcomeOf(s, key)
	if !ok {
		h.show(w, http.StatusNotFound, unknownPage)
		return
	}
	if to := target(s.Started.GetUrls(), o); to != "" {
		http.Redirect(w, r, to, http.StatusSeeOther)
		return
	}
	h.show(w, http.StatusOK, page(o))
}

func (h *Handler) unavailable(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "5")
	h.show(w, http.StatusServiceUnavailable, unavailablePage)
}
