package connect_test

import (
	"context"
	"sync"
	"testing"

	"ledger.internal/ledger/internal/adapters/connect"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/seal"
)

func TestReseal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create("main")
	_, err := w.Create(t.Context(), w.request("toy"), connect.Account{Merchant: "acme", ID: "toy", Gateway: "toy", WebhookSecret: "whsec"})
	w.ok(err)
	w.connect("ask", "main2", shop) // has none
	w.ok(w.Reseal(t.Context()))
	w.wantEvents("main", "connection_created", "connection_activated")

	old := w.keys().Primary
	_, err = seal.Rotate(t.Context(), w.keyFile, "")
	w.ok(err)
	for range 2 {
		w.ok(w.Reseal(t.Context()))
	}
	w.wantEvents("main", "connection_created", "connection_activated", "connection_resealed")
	w.wantEvents("toy", "connection_created", "connection_resealed")
	w.wantEvents("main2", "connection_created", "consent_requested", "connection_activated")

	// Then the old key can go, and requests of before it are answered as ever.
	w.ok(seal.Retire(t.Context(), w.keyFile, "", old))
	fresh := w.Config
	fresh.Sealer = w.sealer()
	w.Connections = connect.New(fresh)
	w.wantSecrets("main", "sk_1", "whsec_sk_1")
	w.wantSecrets("toy", "", "whsec")
	_, err = w.Create(t.Context(), w.request("toy"), connect.Account{Merchant: "acme", ID: "toy", Gateway: "toy", WebhookSecret: "whsec"})
	w.ok(err)
	w.wantTold("whsec", "whsec")
}

func (w *world) keys() seal.Listed {
	w.t.Helper()
	l, err := seal.List(context.Background(), w.keyFile, "")
	w.ok(err)
	return l
}

// atOpen does something once, after the sealer has opened something.
type atOpen struct {
	connect.Sealer
	once sync.Once
	then func()
}

func (s *atOpen) Open(sealed []byte, resource string) ([]byte, error) {
	plain, err := s.Sealer.Open(sealed, resource)
	s.once.Do(s.then)
	return plain, err
}

// Credentials that are replaced while the former ones are sealed anew stay.
func TestResealAfterReplacement(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create("main")
	_, err := seal.Rotate(t.Context(), w.keyFile, "")
	w.ok(err)
	w.bank.open("sk_2", gateway.Account{ID: "m1", Live: true})
	c := w.Config
	c.Sealer = &atOpen{Sealer: c.Sealer, then: func() {
		_, err := w.ReplaceCredentials(t.Context(), w.request("replace"), "acme", "main", "sk_2", "")
		w.ok(err)
	}}
	w.ok(connect.New(c).Reseal(t.Context()))
	w.wantSecrets("main", "sk_2", "whsec_sk_1")
	w.wantEvents("main", "connection_created", "connection_activated", "connection_activated")
}

// One connection that cannot be read does not keep the others from being sealed anew, and is named.
func TestResealTellsWhatItCouldNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create("main")
	old := w.keys().Primary
	_, err := seal.Rotate(t.Context(), w.keyFile, "")
	w.ok(err)
	_, err = w.Record(t.Context(), w.request("later"), byKey("later", "sk_2"))
	w.ok(err)
	w.ok(seal.Retire(t.Context(), w.keyFile, "", old))
	_, err = seal.Rotate(t.Context(), w.keyFile, "")
	w.ok(err)
	fresh := w.Config
	fresh.Sealer = w.sealer()
	w.Connections = connect.New(fresh)
	if err := w.Reseal(t.Context()); err == nil {
		t.Error("nobody is told that main is lost")
	}
	w.wantEvents("later", "connection_created", "connection_resealed")
}
