package stripe

import (
	"net/http"
	"time"
)

// Route implements gateway.Router: a platform's endpoint gets the events of every account that is connected to it, each
// with the account's id. One about the platform's own account names none. https://docs.stripe.com/connect/webhooks
func (g *Gateway) Route(header http.Header, body []byte, now time.Time) (account string, live bool, err error) {
	if err := checkSignature(g.c.WebhookSecrets, header.Get(signatureHeader), body, now); err != nil {
		return "", false, err
	}
	e, err := eventOf(body)
	if err != nil {
		return "", false, err
	}
	return e.Account, e.Livemode, nil
}
