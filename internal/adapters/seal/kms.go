package seal

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/hashicorp/vault/api"
	"github.com/tink-crypto/tink-go-awskms/v3/integration/awskms"
	"github.com/tink-crypto/tink-go-gcpkms/v2/integration/gcpkms"
	"github.com/tink-crypto/tink-go-hcvault/v2/integration/hcvault"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// The services, as the URIs of their keys begin (https://developers.google.com/tink/get-key-uri).
const (
	awsScheme   = "aws-kms://"
	gcpScheme   = "gcp-kms://"
	vaultScheme = "hcvault://"
)

// uris are how the URIs of keys look.
var uris = []struct {
	scheme, example string
	form            *regexp.Regexp
}{
	{awsScheme, "arn:aws:kms:eu-central-1:111122223333:key/1234abcd", regexp.MustCompile(`^arn:[a-z-]+:kms:[a-z0-9-]+:\d+:(key|alias)/[\w/-]+$`)},
	{gcpScheme, "projects/P/locations/global/keyRings/R/cryptoKeys/K", regexp.MustCompile(`^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$`)},
	{vaultScheme, "vault.example.com:8200/transit/keys/ledger", regexp.MustCompile(`^[^/@?#]+/[^@?#]+/keys/[^/@?#]+$`)},
}

// CheckKMS refuses a URI that does not name a key. It asks no service, and does not repeat the URI: somebody may have
// put credentials into it, which every service takes from its own environment.
func CheckKMS(uri string) error {
	var known []string
	for _, u := range uris {
		key, ok := strings.CutPrefix(uri, u.scheme)
		switch {
		case ok && u.form.MatchString(key):
			return nil
		case ok:
			return fmt.Errorf("%w: write it like %s%s", ErrKMS, u.scheme, u.example)
		}
		known = append(known, u.scheme+u.example)
	}
	return fmt.Errorf("%w: write it like %s", ErrKMS, strings.Join(known, ", or "))
}

// dialKMS is a key of a service, used there: it never leaves the service. The service knows us by what its own tools
// look for in the environment.
func dialKMS(ctx context.Context, uri string) (key tink.AEADWithContext, err error) {
	if err := CheckKMS(uri); err != nil {
		return nil, err
	}
	switch {
	case strings.HasPrefix(uri, awsScheme):
		key, err = awskms.NewAEADWithContext(ctx, strings.TrimPrefix(uri, awsScheme))
	case strings.HasPrefix(uri, gcpScheme):
		key, err = gcpkms.GetAEADWithContext(ctx, uri)
	default:
		key, err = dialVault(uri)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return key, nil
}

// dialVault uses a key of Vault's transit engine. Address and key come from the URI, the rest (token, authority) from
// Vault's own variables (https://developer.hashicorp.com/vault/docs/commands#environment-variables).
func dialVault(uri string) (tink.AEADWithContext, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return nil, err
	}
	c := api.DefaultConfig()
	if c.Error != nil {
		return nil, c.Error
	}
	c.Address, c.Timeout = "https://"+u.Host, patience
	client, err := api.NewClient(c)
	if err != nil {
		return nil, err
	}
	key, err := hcvault.NewAEAD(u.EscapedPath(), client.Logical())
	return withoutContext{key}, err
}

// withoutContext is a key whose calls end by themselves.
type withoutContext struct{ key tink.AEAD }

// EncryptWithContext implements tink.AEADWithContext.
func (w withoutContext) EncryptWithContext(ctx context.Context, plain, associated []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return w.key.Encrypt(plain, associated)
}

// DecryptWithContext implements tink.AEADWithContext.
func (w withoutContext) DecryptWithContext(ctx context.Context, sealed, associated []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return w.key.Decrypt(sealed, associated)
}
