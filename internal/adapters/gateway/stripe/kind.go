package stripe

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"ledger.internal/ledger/internal/adapters/gateway"
)

// Name is the adapter's name in connections.
const Name = "stripe"

// Kind is Stripe as a service is built with it: with one platform's keys, to which merchants connect by consent.
type Kind struct {
	config  Config
	secrets string // of the platform's endpoints, between commas
}

var _ gateway.Kind = (*Kind)(nil)

// Settings implements gateway.Kind.
func (k *Kind) Settings() []gateway.Setting {
	return []gateway.Setting{
		{Name: "stripe-live-key", Usage: "the platform's secret key for real money (sk_live_…)", Secret: true, Value: &k.config.LiveKey},
		{Name: "stripe-test-key", Usage: "the platform's secret key for test mode (sk_test_…)", Secret: true, Value: &k.config.TestKey},
		{Name: "stripe-live-client-id", Usage: "the platform's OAuth client for real money (ca_…)", Value: &k.config.LiveClientID},
		{Name: "stripe-test-client-id", Usage: "the platform's OAuth client for test mode (ca_…)", Value: &k.config.TestClientID},
		{Name: "stripe-webhook-secrets", Usage: "what the platform's webhook endpoints sign with (whsec_…,whsec_…)", Secret: true, Value: &k.secrets},
		{Name: "stripe-url", Usage: "where Stripe's API is, if not at api.stripe.com", Value: &k.config.URL},
		{Name: "stripe-connect-url", Usage: "where Stripe asks for consent, if not at connect.stripe.com", Value: &k.config.ConnectURL},
	}
}

// Check implements gateway.Kind.
func (k *Kind) Check() error {
	return errors.Join(
		checkClientID("stripe-live-client-id", k.config.LiveClientID), checkClientID("stripe-test-client-id", k.config.TestClientID),
		checkWebhookSecrets("stripe-webhook-secrets", k.webhookSecrets()),
		checkPlatformKey("stripe-live-key", k.config.LiveKey, "_live_"), checkPlatformKey("stripe-test-key", k.config.TestKey, "_test_"),
		checkURL("stripe-url", k.config.URL), checkURL("stripe-connect-url", k.config.ConnectURL),
	)
}

// checkPlatformKey refuses a key of the other mode, and one that may not act for a platform's accounts. It does not repeat it.
// https://docs.stripe.com/keys
func checkPlatformKey(name, key, mode string) error {
	if key == "" || strings.HasPrefix(key, "sk"+mode) || strings.HasPrefix(key, "rk"+mode) {
		return nil
	}
	return fmt.Errorf("%s: a key that begins with sk%s or rk%s is wanted", name, mode, mode)
}

// checkClientID refuses what is no client id: it stands in an address that merchants are sent to, and a secret must not.
// https://docs.stripe.com/connect/oauth-reference#get-authorize-request
func checkClientID(name, id string) error {
	if id == "" || strings.HasPrefix(id, "ca_") {
		return nil
	}
	return fmt.Errorf("%s: an id that begins with ca_ is wanted", name)
}

// checkWebhookSecrets refuses what Stripe signs nothing with. https://docs.stripe.com/webhooks#verify-events
func checkWebhookSecrets(name string, secrets []string) error {
	for i, secret := range secrets {
		if !strings.HasPrefix(secret, "whsec_") {
			return fmt.Errorf("%s: number %d does not begin with whsec_", name, i+1)
		}
	}
	return nil
}

func checkURL(name, address string) error {
	if address == "" {
		return nil
	}
	if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("%s: a URL like https://api.stripe.com is wanted", name)
	}
	return nil
}

// Open implements gateway.Kind.
func (k *Kind) Open(env gateway.Environment) gateway.Gateway {
	c := k.config
	c.HTTPClient = env.Client
	c.Timeout = min(timeout, env.Timeout)
	c.WebhookSecrets = k.webhookSecrets()
	return New(c)
}

// webhookSecrets are the secrets one by one. There are several while one takes another's place.
func (k *Kind) webhookSecrets() (all []string) {
	for secret := range strings.SplitSeq(k.secrets, ",") {
		if secret = strings.TrimSpace(secret); secret != "" {
			all = append(all, secret)
		}
	}
	return all
}
