package process_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/gateway/sandbox"
	"ledger.internal/ledger/internal/adapters/process"
	"ledger.internal/ledger/internal/adapters/work"
)

// leaver is a gateway whose every webhook says that the merchant has left.
type leaver struct {
	*sandbox.Gateway
	back bool // he has come again since
}

func (*leaver) Read(gateway.Connection, []byte) (gateway.Notice, error) {
	return gateway.Notice{ID: "m1", Kind: gateway.NoticeDisconnected}, nil
}

func (g *leaver) Complete(_ context.Context, _ gateway.Connection, n gateway.Notice) (gateway.Notice, error) {
	if g.back {
		return gateway.Notice{ID: n.ID}, nil
	}
	return n, nil
}

// leave takes in that the merchant has left, and returns what was logged.
func (w *world) leave(g *leaver, told func(ctx context.Context, merchant, connection, reason string) error) (log *bytes.Buffer) {
	w.t.Helper()
	log = &bytes.Buffer{}
	w.process.Logger, w.process.Disconnected = slog.New(slog.NewTextHandler(log, nil)), told
	w.process.Connect = func(context.Context, string, string) (gateway.Connection, gateway.Gateway, error) {
		return w.connection(), g, nil
	}
	w.inbound = process.NewInbound(w.process, w.work)
	_, _, err := w.work.SaveWebhook(w.t.Context(), work.Webhook{
		Merchant: merchant, Connection: connection, Gateway: "sandbox", MessageID: "m1", ReceivedAt: w.clock.Now(), Body: []byte("{}"),
	})
	w.ok(err)
	w.ok(w.inbound.Idle(w.t.Context()))
	return log
}

// wantTakenIn says that no webhook waits any more, and that none was set aside.
func (w *world) wantTakenIn() {
	w.t.Helper()
	if _, waits, err := w.work.NextWebhookAt(w.t.Context()); err != nil || waits {
		w.t.Errorf("the webhook still waits (%v), want it taken in", err)
	}
	if got := w.setAside(); len(got) != 0 {
		w.t.Errorf("set aside for %q", got)
	}
}

// That a merchant has left is told until somebody has heard it, and once.
func TestDisconnected(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	var heard []string
	deaf := 2
	w.leave(&leaver{Gateway: w.gateway}, func(_ context.Context, merchant, connection, reason string) error {
		if deaf--; deaf >= 0 {
			return errors.New("the log is away")
		}
		heard = append(heard, merchant+"."+connection+": "+reason)
		return nil
	})
	if len(heard) != 0 {
		t.Errorf("heard %q", heard)
	}
	w.advance(time.Hour)
	want := merchant + "." + connection + ": the merchant took the access to his account away at sandbox"
	if len(heard) != 1 || heard[0] != want || deaf != -1 {
		t.Errorf("heard %q, want %q once", heard, want)
	}
	w.wantTakenIn()
}

// Who has come again is not told to have left.
func TestDisconnectedAndBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.leave(&leaver{Gateway: w.gateway, back: true}, func(context.Context, string, string, string) error {
		t.Error("told that he has left")
		return nil
	})
	w.wantTakenIn()
}

func TestDisconnectedAndNobodyListens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	log := w.leave(&leaver{Gateway: w.gateway}, nil)
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "taken away") || !strings.Contains(log.String(), merchant+"."+connection) {
		t.Errorf("got %q, want a warning that names the connection", log)
	}
	w.wantTakenIn()
}
