package seal

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const vaultKey = "hcvault://127.0.0.1:1/transit/keys/ledger"

func TestCheckKMS(t *testing.T) {
	t.Parallel()
	for uri, good := range map[string]bool{
		"aws-kms://arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab": true,
		"aws-kms://arn:aws-us-gov:kms:us-gov-west-1:111122223333:alias/ledger":                     true,
		"gcp-kms://projects/p/locations/europe-west3/keyRings/r/cryptoKeys/k":                      true,
		"hcvault://vault.example.com:8200/transit/keys/ledger":                                     true,
		"hcvault://vault.example.com/team/a/transit/keys/ledger":                                   true,
		"":                                 false,
		"azure-kms://key":                  false,
		"arn:aws:kms:eu-central-1:1:key/1": false,
		"aws-kms://1234abcd":               false,
		"aws-kms://arn:aws:s3:eu-central-1:1:key/1": false,
		"gcp-kms://projects/p":                      false,
		"gcp-kms://projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1": false,
		"hcvault://vault.example.com":                           false,
		"hcvault://vault.example.com/transit/encrypt/ledger":    false,
		"hcvault://hush@vault.example.com/transit/keys/ledger":  false,
		"hcvault://vault.example.com/transit/keys/k?token=hush": false,
	} {
		err := CheckKMS(uri)
		if good {
			if err != nil {
				t.Errorf("%s: got %v, want it to be taken", uri, err)
			}
			continue
		}
		wantError(t, err, ErrKMS)
		if err != nil && (strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), "://")) {
			t.Errorf("%s: got %v, want how to write it, and not what was written", uri, err)
		}
	}
}

// vault answers as the transit engine of Vault does, with a key that only turns what it gets around
// (https://developer.hashicorp.com/vault/api-docs/secret/transit#encrypt-data).
func vault(w http.ResponseWriter, r *http.Request) {
	var in map[string]string
	if r.Header.Get("X-Vault-Token") != "hush" || json.NewDecoder(r.Body).Decode(&in) != nil {
		http.Error(w, `{"errors":["permission denied"]}`, http.StatusForbidden)
		return
	}
	out := map[string]string{}
	switch r.URL.Path {
	case "/v1/transit/encrypt/ledger":
		out["ciphertext"] = "vault:v1:" + turned(in["plaintext"])
	case "/v1/transit/decrypt/ledger":
		out["plaintext"] = turned(strings.TrimPrefix(in["ciphertext"], "vault:v1:"))
	default:
		http.NotFound(w, r)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"data": out})
}

func turned(text string) string {
	b, _ := base64.StdEncoding.DecodeString(text)
	for i := range b {
		b[i] ^= 0xff
	}
	return base64.StdEncoding.EncodeToString(b)
}

// TestVault is about the environment, and so it runs alone.
func TestVault(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(vault))
	defer server.Close()
	authority := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(authority, text, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("VAULT_CACERT", authority)
	t.Setenv("VAULT_TOKEN", "hush")
	t.Setenv("VAULT_MAX_RETRIES", "0")
	o := Options{
		Path: filepath.Join(t.TempDir(), "master.key"), Create: true,
		KMS: "hcvault://" + strings.TrimPrefix(server.URL, "https://") + "/transit/keys/ledger",
	}
	b := sealed(t, opened(t, o), "hush")
	if text := contents(t, o.Path); !strings.Contains(text, "encryptedKeyset") || strings.Contains(text, `"value"`) {
		t.Errorf("the file holds %s, want a wrapped keyset", text)
	}
	wantOpens(t, opened(t, o), b, "hush")
	t.Setenv("VAULT_TOKEN", "stolen")
	_, err := OpenFile(t.Context(), o)
	wantError(t, err, ErrUnavailable)
	server.Close()
	_, err = OpenFile(t.Context(), o)
	wantError(t, err, ErrUnavailable)
}

// The others are asked nothing here: they need an account. But what they are given is taken.
func TestDialKMS(t *testing.T) {
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for _, uri := range []string{"aws-kms://arn:aws:kms:eu-central-1:111122223333:key/1234abcd", vaultKey} {
		if _, err := dialKMS(t.Context(), uri); err != nil {
			t.Errorf("%s: got %v, want a key", uri, err)
		}
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(t.TempDir(), "nowhere"))
	_, err := dialKMS(t.Context(), "gcp-kms://projects/p/locations/l/keyRings/r/cryptoKeys/k")
	wantError(t, err, ErrUnavailable)
	_, err = dialKMS(t.Context(), "safe://here")
	wantError(t, err, ErrKMS)
}
