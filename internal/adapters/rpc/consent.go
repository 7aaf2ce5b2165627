package rpc

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"ledger.internal/ledger/internal/adapters/connect"
	"ledger.internal/ledger/internal/adapters/plainpage"
	"ledger.internal/ledger/internal/aggregate/connection"
)

// consents takes merchants who come back from a gateway at /connect/<gateway>, where they were asked for their consent.
type consents struct{ *Config }

// ServeHTTP implements http.Handler. A merchant goes where he was to be sent when the consent was asked for, and nowhere
// else; if that is nowhere, a page tells him what became of it.
func (h *consents) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	plainpage.Protect(w.Header())
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	outcome, err := h.Connections.Consented(r.Context(), strings.TrimPrefix(r.URL.Path, "/connect/"), r.URL.Query())
	switch {
	case errors.Is(err, connect.ErrNoSuchConsent):
		h.page(w, r, http.StatusBadRequest, plainpage.Words{Title: "Not connected", Text: sentence(err.Error())})
		return
	case err != nil:
		h.Logger.ErrorContext(r.Context(), "a consent was not taken in", slog.Any("error", err))
		w.Header().Set("Retry-After", "30")
		h.page(w, r, http.StatusServiceUnavailable, plainpage.Words{Title: "Not connected", Text: "We cannot answer right now.", Next: "Begin again in a moment."})
		return
	}
	if outcome.ReturnURL != "" {
		http.Redirect(w, r, withOutcome(outcome.ReturnURL, outcome.State), http.StatusSeeOther)
		return
	}
	if refused := outcome.State.Refusal; refused != nil {
		h.page(w, r, http.StatusOK, plainpage.Words{Title: "Not connected", Text: sentence(refused.Message)})
		return
	}
	h.page(w, r, http.StatusOK, plainpage.Words{
		Title: "Connected", Text: "The account " + accountName(outcome.State) + " is connected.", Next: "You can close this page.",
	})
}

func (h *consents) page(w http.ResponseWriter, r *http.Request, status int, words plainpage.Words) {
	page, err := plainpage.Render(words)
	if err != nil {
		h.Logger.ErrorContext(r.Context(), "a page was not made", slog.Any("error", err))
		status = http.StatusInternalServerError
	}
	plainpage.Write(w, status, page)
}

// sentence is a message as a page says it.
func sentence(message string) string {
	first, size := utf8.DecodeRuneInString(message)
	if !strings.HasSuffix(message, ".") {
		message += "."
	}
	return string(unicode.ToUpper(first)) + message[size:]
}

func accountName(s connection.State) string {
	if s.AccountName == "" {
		return s.Account
	}
	return s.AccountName + " (" + s.Account + ")"
}

// withOutcome adds to an address what became of a connection.
func withOutcome(address string, s connection.State) string {
	u, err := url.Parse(address)
	if err != nil { // it was checked when it was stored
		return address
	}
	q := u.Query()
	q.Set("connection_id", s.ID)
	q.Set("status", "connected")
	if s.Refusal != nil {
		q.Set("status", "refused")
		q.Set("reason", s.Refusal.Reason)
	}
	u.RawQuery = q.Encode()
	return u.String()
}
