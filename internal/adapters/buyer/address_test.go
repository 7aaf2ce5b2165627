package buyer

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"ledger.internal/ledger/internal/adapters/gateway"
)

var testSecret = bytes.Repeat([]byte("k"), 32)

func testAddresses(t testing.TB, secret []byte) *Addresses {
	t.Helper()
	a, err := NewAddresses("https://ledger.example/", secret)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var (
	testConnection = gateway.Connection{Gateway: "sandbox"}
	testCharge     = gateway.Charge{Merchant: "acme", Subscription: "sub_1", Key: "abcdefghijklmnopqrstuvwxyz234567"}
)

func TestAddressesAreReadAgain(t *testing.T) {
	t.Parallel()
	a := testAddresses(t, testSecret)
	back, cancel := a.Of(testConnection, testCharge)
	if again, _ := testAddresses(t, testSecret).Of(testConnection, testCharge); again != back {
		t.Errorf("after a restart it is %s, want %s", again, back)
	}
	if cancel != back+"/cancel" || !strings.HasPrefix(back, "https://ledger.example/return/sandbox/") {
		t.Errorf("got %s and %s", back, cancel)
	}
	token := back[strings.LastIndex(back, "/")+1:]
	if url.PathEscape(token) != token {
		t.Errorf("the token %s does not fit into a path as it is", token)
	}
	p, ok := a.read("sandbox", token)
	if want := (payment{"sandbox", "acme", "sub_1", testCharge.Key}); !ok || p != want {
		t.Errorf("read %+v, %v, want %+v", p, ok, want)
	}
}

// The longest ids leave room for the ledger's own name in the 255 characters that a gateway takes.
func TestAddressesAreShort(t *testing.T) {
	t.Parallel()
	c := testCharge
	c.Merchant, c.Subscription = strings.Repeat("m", 40), strings.Repeat("s", 40)
	back, _ := testAddresses(t, testSecret).Of(testConnection, c)
	if own := len("https://ledger.example"); len(back)-own > 195 {
		t.Errorf("%d characters besides the ledger's own, want at most 195: %s", len(back)-own, back)
	}
}

func TestForgedTokens(t *testing.T) {
	t.Parallel()
	a := testAddresses(t, testSecret)
	p := payment{"sandbox", "acme", "sub_1", testCharge.Key}
	token := a.token(p)
	refused := func(what, gatewayName, token string) {
		t.Helper()
		if p, ok := a.read(gatewayName, token); ok {
			t.Errorf("%s is read as %+v: %q", what, p, token)
		}
	}
	for i := range token {
		for c := range 256 {
			if byte(c) != token[i] {
				forged := []byte(token)
				forged[i] = byte(c)
				refused("another character", "sandbox", string(forged))
			}
		}
		refused("a shorter token", "sandbox", token[:i])
		refused("a line break", "sandbox", token[:i]+"\n"+token[i:])
	}
	for name, other := range map[string]payment{
		"the ids moved": {"sandbox", "acm", "e_sub_1", p.key}, "another key": {"sandbox", "acme", "sub_1", "k"},
	} {
		raw := append(a.code(p), other.text()...)
		refused(name, "sandbox", base64.RawURLEncoding.EncodeToString(raw))
	}
	refused("another gateway", "stripe", token)
	refused("no gateway", "", token)
	refused("padding", "sandbox", token+"=")
	refused("more", "sandbox", token+"A")
	refused("too much", "sandbox", strings.Repeat("A", 1<<20))
	refused("another secret", "sandbox", testAddresses(t, bytes.Repeat([]byte("l"), 32)).token(p))
	refused("ids that are none", "sandbox", a.token(payment{"sandbox", "ac-me", "sub_1", p.key}))
}

func TestNoAddressesWithoutASecret(t *testing.T) {
	t.Parallel()
	if _, err := NewAddresses("https://ledger.example", make([]byte, 31)); err == nil {
		t.Error("a short secret is taken, want an error")
	}
}

// FuzzToken says that only our own tokens are read, and each in one way.
func FuzzToken(f *testing.F) {
	a := testAddresses(f, testSecret)
	f.Fuzz(func(t *testing.T, gatewayName, token string) {
		p, ok := a.read(gatewayName, token)
		if ok && (a.token(p) != token || p.gateway != gatewayName) {
			t.Errorf("%q at %q is read as %+v, whose token is %q", token, gatewayName, p, a.token(p))
		}
		ours := payment{gateway: gatewayName, merchant: "acme", subscription: "sub_1", key: token}
		if len(token) > 200 {
			return
		}
		if got, ok := a.read(gatewayName, a.token(ours)); !ok || got != ours {
			t.Errorf("our own token is read as %+v, %v, want %+v", got, ok, ours)
		}
	})
}
