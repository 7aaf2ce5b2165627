package rpc

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
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

// webhooks takes the gateways' messages at /webhooks/<gateway>/<merchant>/<connection>. A message is kept before it
// is acknowledged; what it means is found out afterwards, by others.
type webhooks struct{ *Config }

// webhookPath is where a connection's gateway sends its messages.
func webhookPath(gatewayName, merchantID, connectionID string) string {
	return "/webhooks/" + gatewayName + "/" + merchantID + "/" + connectionID
}

// ServeHTTP implements http.Handler. Its answers say as little as a sender needs: a status.
func (h *webhooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(h.receive(w, r))
}

func (h *webhooks) receive(w http.ResponseWriter, r *http.Request) (status int) {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/webhooks/"), "/")
	if len(parts) != 3 || !text.ValidID(parts[1]) || !text.ValidID(parts[2]) {
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
	msg := work.Webhook{Gateway: parts[0], Merchant: parts[1], Connection: parts[2], Header: r.Header.Clone(), Body: body, ReceivedAt: h.Clock.Now()}
	return h.keep(w, r, msg)
}

// keep verifies a message and stores it.
func (h *webhooks) keep(w http.ResponseWriter, r *http.Request, msg work.Webhook) (status int) {
	ctx := r.Context()
	state, _, err := h.Connections.Load(ctx, connection.Stream(msg.Merchant, msg.Connection))
	if err != nil {
		return h.notKept(w, r, err)
	}
	notifier, ok := h.Gateways[msg.Gateway].(gateway.Notifier)
	conn := h.gatewayConnection(state)
	if !ok || !state.Exists() || conn.Gateway != msg.Gateway {
		return http.StatusNotFound
	}
	notice, err := notifier.Verify(conn, msg.Header, msg.Body, msg.ReceivedAt)
	switch {
	case errors.Is(err, gateway.ErrUnreadable):
		notice.ID = "unreadable/" + digest(msg.Body)
	case err != nil:
		h.Logger.WarnContext(ctx, "webhook refused", slog.String("connection", msg.Merchant+"."+msg.Connection), slog.Any("error", err))
		return http.StatusUnauthorized
	}
	msg.MessageID = messageID(notice.ID, msg.Body)
	msg.Body = h.maskPAN(msg)
	for _, name := range []string{"Authorization", "Cookie"} {
		msg.Header.Del(name)
	}
	_, _, err = h.SaveWebhook(ctx, msg)
	if errors.Is(err, work.ErrWebhookDiffers) {
		h.Logger.WarnContext(ctx, "webhook came again with another body; the first one counts", slog.Any("error", err))
		return http.StatusOK
	}
	if err != nil {
		return h.notKept(w, r, err)
	}
	return http.StatusOK
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
