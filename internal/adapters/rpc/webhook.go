package rpc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"unicode"

	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/aggregate/connection"
	"ledger.internal/ledger/internal/aggregate/text"
)

// maxWebhook is the size of the largest webhook.
const maxWebhook = 1 << 20

// webhooks takes the gateways' messages: at /webhooks/<gateway>/<merchant>/<connection> those of one account, and at
// /webhooks/<gateway> those of a gateway that tells of all accounts at one address. A message is kept before it is
// acknowledged; what it means is found out afterwards, by others.
type webhooks struct{ *Config }

// ServeHTTP implements http.Handler. Its answers say as little as a sender needs: a status.
func (h *webhooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(h.receive(w, r))
}

func (h *webhooks) receive(w http.ResponseWriter, r *http.Request) (status int) {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/webhooks/"), "/")
	ofOne := len(parts) == 3 && text.ValidID(parts[1]) && text.ValidID(parts[2])
	if !ofOne && len(parts) != 1 {
		return http.StatusNotFound
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return http.StatusMethodNotAllowed
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxWebhook))
	var tooMuch *http.MaxBytesError
	switch {
	case errors.As(err, &tooMuch):
		return http.StatusRequestEntityTooLarge
	case err != nil:
		return http.StatusBadRequest
	}
	msg := work.Webhook{Gateway: parts[0], Header: r.Header.Clone(), Body: body, ReceivedAt: h.Clock.Now()}
	if ofOne {
		err = h.take(r.Context(), msg, parts[1], parts[2])
	} else {
		err = h.route(r.Context(), msg)
	}
	switch {
	case err == nil:
		return http.StatusOK
	case errors.Is(err, errNoReceiver):
		return http.StatusNotFound
	case errors.Is(err, errForged):
		h.Logger.WarnContext(r.Context(), "webhook refused", slog.String("path", r.URL.Path), slog.Any("error", err))
		return http.StatusUnauthorized
	}
	return h.notKept(w, r, err)
}

var (
	// errNoReceiver says that nobody here gets messages at an address.
	errNoReceiver = errors.New("nobody gets webhooks here")
	// errForged says that a message is not from the gateway.
	errForged = errors.New("it is not from the gateway")
)

// route keeps a message for every connection to the account that it is about. One about no account of ours is kept for
// nobody, so that somebody may find out why it came.
func (h *webhooks) route(ctx context.Context, msg work.Webhook) error {
	router, ok := h.Connections.Gateways[msg.Gateway].(gateway.Router)
	if !ok {
		return errNoReceiver
	}
	account, live, err := router.Route(msg.Header, msg.Body, msg.ReceivedAt)
	if err != nil && !errors.Is(err, gateway.ErrUnreadable) {
		return fmt.Errorf("%w: %w", errForged, err)
	}
	receivers, err := h.receivers(ctx, msg.Gateway, account, live)
	if err != nil {
		return err
	}
	var errs []error
	kept := false
	for _, receiver := range receivers {
		switch err := h.keep(ctx, msg, receiver); {
		case err == nil:
			kept = true
		case !errors.Is(err, errForged): // else it has a webhook secret of its own, and gets its messages elsewhere
			errs = append(errs, err)
		}
	}
	if kept || len(errs) > 0 {
		return errors.Join(errs...)
	}
	msg.Merchant, msg.Connection, msg.MessageID = "", "", "unrouted/"+digest(msg.Body)
	return h.accept(ctx, msg)
}

// receivers are the connections to an account in one mode; none if it is nobody's.
func (h *webhooks) receivers(ctx context.Context, gatewayName, account string, live bool) (all []connection.State, err error) {
	if account == "" { // as that of a connection which is not proved yet
		return nil, nil
	}
	known, err := h.Connections.Known(ctx, gatewayName, account)
	for _, ref := range known {
		c, err := h.Connections.Load(ctx, ref.Merchant, ref.ID)
		if err != nil {
			return nil, err
		}
		if c.Live() == live {
			all = append(all, c)
		}
	}
	return all, err
}

// take keeps a message that came to a connection's own address.
func (h *webhooks) take(ctx context.Context, msg work.Webhook, merchant, id string) error {
	state, err := h.Connections.Load(ctx, merchant, id)
	if err != nil {
		return err
	}
	return h.keep(ctx, msg, state)
}

// keep verifies a message of a connection and stores it.
func (h *webhooks) keep(ctx context.Context, msg work.Webhook, state connection.State) error {
	notifier, ok := h.Connections.Gateways[msg.Gateway].(gateway.Notifier)
	if !ok || !state.Exists() || state.Gateway != msg.Gateway {
		return errNoReceiver
	}
	msg.Merchant, msg.Connection = state.Merchant, state.ID
	conn, err := h.Connections.Opened(state)
	if err != nil {
		return err
	}
	notice, err := notifier.Verify(conn, msg.Header, msg.Body, msg.ReceivedAt)
	switch {
	case errors.Is(err, gateway.ErrUnreadable):
		notice.ID = "unreadable/" + digest(msg.Body)
	case err != nil:
		return fmt.Errorf("%w: connection %s.%s: %w", errForged, msg.Merchant, msg.Connection, err)
	}
	msg.MessageID = notice.ID
	return h.accept(ctx, msg)
}

// accept stores an authentic message that came by itself, without what is not ours to keep.
func (h *webhooks) accept(ctx context.Context, msg work.Webhook) error {
	msg.Header = msg.Header.Clone()
	for _, name := range []string{"Authorization", "Cookie"} {
		msg.Header.Del(name)
	}
	err := h.save(ctx, msg)
	if errors.Is(err, work.ErrWebhookDiffers) {
		h.Logger.WarnContext(ctx, "webhook came again with another body; the first one counts", slog.Any("error", err))
		return nil
	}
	return err
}

// save keeps a message without card numbers.
func (h *webhooks) save(ctx context.Context, msg work.Webhook) error {
	msg.MessageID = messageID(msg.MessageID, msg.Body)
	msg.Body = h.maskPAN(msg)
	_, _, err := h.SaveWebhook(ctx, msg)
	return err
}

// SaveFetched keeps a message that was fetched from a connection's gateway as one that came by itself. It is believed: who
// fetched it has asked the gateway.
func (s *Server) SaveFetched(ctx context.Context, conn gateway.Connection, m gateway.Message) error {
	return s.webhooks.save(ctx, work.Webhook{
		Gateway: conn.Gateway, Merchant: conn.Merchant, Connection: conn.ID, MessageID: m.ID, Body: m.Body,
		ReceivedAt: s.Clock.Now(), Fetched: true,
	})
}

// messageID is the name under which a message is kept: the gateway's own, unless that looks like a card number. Two
// messages whose names look alike without it are told apart by what they say.
func messageID(id string, body []byte) string {
	if masked, found := maskPAN([]byte(id)); found {
		return string(masked) + "/" + digest(body)
	}
	return id
}

func digest(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// notKept asks the gateway to send again: what is not stored is not acknowledged.
func (h *webhooks) notKept(w http.ResponseWriter, r *http.Request, err error) int {
	h.Logger.ErrorContext(r.Context(), "webhook not kept", slog.String("path", r.URL.Path), slog.Any("error", err))
	w.Header().Set("Retry-After", "30")
	return http.StatusServiceUnavailable
}

// digitGroups is what a card number in a message looks like.
var digitGroups = regexp.MustCompile(`\pN(?:[\pZ\pP]{0,3}\pN){12,}`)

// maskPAN is a message's body without card numbers. A body that held one no longer fits its signature; whoever reads
// it later does not ask for that again.
func (h *webhooks) maskPAN(msg work.Webhook) []byte {
	masked, found := maskPAN(msg.Body)
	if found {
		h.Logger.Warn("webhook held a card number; it was blotted out",
			slog.String("connection", msg.Merchant+"."+msg.Connection), slog.String("message", msg.MessageID))
	}
	return masked
}

// maskPAN blots out card numbers but for their last four digits. In a message in which one is hidden better than
// that, it blots out every digit.
func maskPAN(body []byte) (masked []byte, found bool) {
	if !text.FindPAN(string(body)) {
		return body, false
	}
	masked = digitGroups.ReplaceAllFunc(body, func(group []byte) []byte {
		if !text.FindPAN(string(group)) {
			return group
		}
		return blot(group, 4)
	})
	if text.FindPAN(string(masked)) {
		masked = blot(body, 0)
	}
	return masked, true
}

// blot replaces all but the last `keep` digits.
func blot(s []byte, keep int) []byte {
	runes := []rune(string(s))
	for i := len(runes) - 1; i >= 0; i-- {
		if !unicode.IsDigit(runes[i]) {
			continue
		}
		if keep > 0 {
			keep--
			continue
		}
		runes[i] = '*'
	}
	return []byte(string(runes))
}
