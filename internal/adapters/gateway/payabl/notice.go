package payabl

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ledger.internal/ledger/internal/adapters/gateway"
)

// tolerance is how far a notification's time may be from ours, either way. Nothing but the time keeps an old one from
// being sent again by somebody; what is refused for its age is learned by looking up.
const tolerance = 15 * time.Minute

// agreementAge is how far back the consent of an agreement is looked for, once the buyer has ended it.
const agreementAge = 5 * 365 * 24 * time.Hour

// Why Verify refuses a notification.
var (
	ErrNoSecret     = errors.New("the connection has no secret")
	ErrBadSignature = errors.New("the notification's signature is missing or wrong")
	ErrOldSignature = errors.New("the notification is too old or of the future")
	errBadBody      = fmt.Errorf("it is signed: %w", gateway.ErrUnreadable)
	errBadFetched   = fmt.Errorf("it was listed: %w", gateway.ErrUnreadable)
)

// Verify implements gateway.Notifier. The signature stands in the body, so that has to be taken apart first, into pairs
// and no further; it covers the transaction, the type, the code and the time, and the notice says nothing else. It is made
// with the account's one secret, so that whoever replaces that has replaced both.
func (g *Gateway) Verify(conn gateway.Connection, _ http.Header, body []byte, now time.Time) (gateway.Notice, error) {
	if conn.Secret == "" {
		return gateway.Notice{}, ErrNoSecret
	}
	v, err := parsePairs(body)
	if err != nil || !wellFormed(v) || isFetched(body) {
		return gateway.Notice{}, ErrBadSignature
	}
	secret, err := toLatin1("secret", conn.Secret)
	if err != nil {
		return gateway.Notice{}, ErrNoSecret
	}
	want := noticeSignature(v.Get("transactionid"), v.Get("type"), v.Get("errorcode"), v.Get("timestamp"), secret)
	if !sameSignature(v.Get("security"), want) {
		return gateway.Notice{}, ErrBadSignature
	}
	unix, err := strconv.ParseInt(v.Get("timestamp"), 10, 64)
	if err != nil {
		return gateway.Notice{}, ErrOldSignature
	}
	if d := now.Sub(time.Unix(unix, 0)); d.Abs() > tolerance {
		return gateway.Notice{}, ErrOldSignature
	}
	return readNotice(v)
}

// Read implements gateway.Notifier.
func (g *Gateway) Read(_ gateway.Connection, body []byte) (gateway.Notice, error) {
	if isFetched(body) {
		return readFetched(body)
	}
	v, err := parsePairs(body)
	if err != nil || !wellFormed(v) {
		return gateway.Notice{}, errBadBody
	}
	return readNotice(v)
}

// wellFormed reports whether what is signed can be read in one way only. The signature has nothing between its parts, so
// a digit might be moved from one to the next; digits, letters, a number and ten digits leave no room for that.
func wellFormed(v url.Values) bool {
	kind := v.Get("type")
	_, err := parseCode(v.Get("errorcode"))
	return err == nil && digits(v.Get("transactionid")) && kind != "" && strings.Trim(kind, "abcdefghijklmnopqrstuvwxyz_") == "" &&
		digits(v.Get("timestamp")) && len(v.Get("timestamp")) == 10
}

func readNotice(v url.Values) (gateway.Notice, error) {
	code, err := parseCode(v.Get("errorcode"))
	if err != nil {
		return gateway.Notice{}, errBadBody
	}
	n := gateway.Notice{
		ID:        strings.Join([]string{v.Get("transactionid"), v.Get("type"), v.Get("errorcode"), v.Get("timestamp")}, "."),
		Reference: v.Get("transactionid"),
	}
	switch s := (step{kind: v.Get("type")}); {
	case code == codeCancelled:
		n.Kind, n.Code = gateway.NoticeAgreement, strconv.Itoa(code)
	case isRefund(s):
		n.Kind = gateway.NoticeRefund
	case isOrder(s), isCapture(s):
		n.Kind = gateway.NoticeCharge
	}
	return n, nil
}

// Complete implements gateway.Completer. What the notification says of the order is not signed, so it is asked for by the
// transaction.
func (g *Gateway) Complete(ctx context.Context, conn gateway.Connection, n gateway.Notice) (gateway.Notice, error) {
	if n.Kind == gateway.NoticeIgnored {
		return n, nil
	}
	t, err := g.byID(ctx, conn, n.Reference)
	if err != nil {
		return n, fmt.Errorf("confirm %s: %w", n.ID, err)
	}
	if t == nil {
		return n, fmt.Errorf("%w: %s: no such transaction", gateway.ErrNotConfirmed, n.ID)
	}
	if n.Kind == gateway.NoticeAgreement {
		return g.confirmLoss(ctx, conn, n, *t)
	}
	note, err := t.ours()
	if err != nil {
		n.Kind = gateway.NoticeIgnored // of the merchant's other shop
		return n, nil
	}
	n.Key, n.Subscription = note.key, note.subscription
	if n.Dispute != nil {
		d := *n.Dispute
		d.ChargeKey, n.Dispute = note.key, &d
	}
	return n, nil
}

// ours is the memo of a transaction whose order id it fits.
func (t transaction) ours() (memo, error) {
	note, err := t.memo()
	if err == nil && t.order != orderID(roleSale, note.key) && t.order != orderID(roleRedirect, note.key) {
		err = errNoMemo
	}
	return note, err
}

// confirmLoss finds out whose agreement has ended. That comes as a transaction of its own, which has the order id of the
// consent and nothing else of it.
func (g *Gateway) confirmLoss(ctx context.Context, conn gateway.Connection, n gateway.Notice, t transaction) (gateway.Notice, error) {
	if _, ended := (trail{redirects: []transaction{t}}).lost(); !ended || t.order == "" {
		return n, fmt.Errorf("%w: %s: no agreement ended", gateway.ErrNotConfirmed, n.ID)
	}
	now := g.c.Clock.Now()
	for start, end := range backwards(now.Add(-agreementAge), now) {
		list, err := g.diagnose(ctx, conn, params{"type": "orderid", "orderid": t.order, "start_date": start, "end_date": end})
		if err = errors.Join(err, allOf(list, t.order)); err != nil {
			return n, fmt.Errorf("confirm %s: %w", n.ID, err)
		}
		for _, consent := range list {
			if note, err := consent.ours(); err == nil {
				n.Key, n.Subscription, n.Method = note.key, note.subscription, consent.id
				return n, nil
			}
		}
	}
	n.Kind = gateway.NoticeIgnored // of the merchant's other shop
	return n, nil
}
