package ipn

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const (
	maxRead = 16 << 10 // of an answer; it is of no use beyond telling what went wrong
	maxKept = 1 << 10
	// userAgent names us to receivers.
	userAgent = "Ledger-IPN/1"
)

// newClient returns the client for receivers, which are strangers: it follows no redirect.
func newClient(t http.RoundTripper) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     t,
	}
}

// publicTransport uses no proxy, inflates nothing, and dials no address that is not public, whatever a name resolves
// to, except those that are allowed.
func publicTransport(connect time.Duration, idle int, allowed []netip.Prefix) *http.Transport {
	dialer := &net.Dialer{Timeout: connect, Control: guard(allowed)}
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    connect,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    idle, // many endpoints may be on one host
		MaxIdleConns:           4 * idle,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// azureHost looks public, and is what every machine in Azure asks for its configuration.
// https://learn.microsoft.com/en-us/azure/virtual-network/what-is-ip-address-168-63-129-16
var azureHost = netip.MustParsePrefix("168.63.129.16/32")

// guard is asked with the concrete address just before each dial, so no name can be resolved to something else in
// between. Any port may be dialled: merchants run receivers on odd ones.
func guard(allowed []netip.Prefix) func(network, address string, c syscall.RawConn) error {
	var v4, v6 []netip.Prefix
	for _, p := range allowed {
		if p.Addr().Is4() {
			v4 = append(v4, p)
		} else {
			v6 = append(v6, p)
		}
	}
	return ssrf.New(ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...), ssrf.WithDeniedV4Prefixes(azureHost)).Safe
}

// answer is what became of one sending.
type answer struct {
	status     int    // 0: there was none
	err        string // why it is not an acknowledgement; "" if it is
	body       string // how it began
	retryAfter time.Duration
	took       time.Duration
}

func (a answer) delivered() bool { return a.status >= 200 && a.status < 300 }

// message is a notification on its way.
type message struct {
	id            string // webhook-id
	url           string
	signingSecret string
	body          []byte
}

// post sends a message at `now` and reads the answer. Everything that can go wrong is an answer, too.
func post(ctx context.Context, client *http.Client, timeout time.Duration, m message, now time.Time) answer {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := newRequest(ctx, m, now)
	if err != nil {
		return answer{err: plain(err)}
	}
	began := time.Now()
	res, err := client.Do(req)
	if err != nil {
		return answer{err: plain(err), took: time.Since(began)}
	}
	defer res.Body.Close()
	// The status has arrived: whatever happens to the rest of the answer changes nothing.
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxRead))
	a := answer{
		status:     res.StatusCode,
		body:       clean(string(body), maxKept),
		retryAfter: retryAfter(res.StatusCode, res.Header, now),
		took:       time.Since(began),
	}
	switch {
	case a.delivered():
	case a.status >= 300 && a.status < 400:
		a.err = fmt.Sprintf("HTTP %d: redirects are not followed", a.status)
	default:
		a.err = fmt.Sprintf("HTTP %d", a.status)
	}
	return a
}

// newRequest signs a message as Standard Webhooks has it. The time is the try's own, the id and the body are the
// same on each.
func newRequest(ctx context.Context, m message, now time.Time) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url, bytes.NewReader(m.body))
	if err != nil {
		return nil, err
	}
	signer, err := webhooks.NewWebhook(m.signingSecret)
	if err != nil {
		return nil, errors.New("the signing secret is not base64")
	}
	signature, err := signer.Sign(m.id, now, m.body)
	if err != nil {
		return nil, err
	}
	req.Header.Set(webhooks.HeaderWebhookID, m.id)
	req.Header.Set(webhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(webhooks.HeaderWebhookSignature, signature)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("User-Agent", userAgent)
	return req, nil
}

// plain is an error without the address it is about, which may hold a secret of the merchant's.
func plain(err error) string {
	var about *url.Error
	if errors.As(err, &about) {
		err = about.Err
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, ssrf.ErrProhibitedIP), errors.Is(err, ssrf.ErrProhibitedNetwork):
		return "the address is not a public one"
	}
	return clean(err.Error(), 255)
}

// clean keeps the beginning of a text from outside, in a form that every database can hold.
func clean(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
