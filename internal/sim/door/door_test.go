package door_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"ledger.internal/ledger/internal/adapters/db"
	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
	"ledger.internal/ledger/internal/sim/door"
)

var errGuard = errors.New("not today")

// guard fails at one side of every door, and notes where it was asked.
type guard struct {
	before, after error
	asked         []string
}

func (g *guard) Before(_ context.Context, c door.Call) error {
	g.asked = append(g.asked, "before "+c.Point())
	return g.before
}

func (g *guard) After(_ context.Context, c door.Call) error {
	g.asked = append(g.asked, "after "+c.Point())
	return g.after
}

// house is what lies behind the doors, with what went through.
type house struct {
	t       *testing.T
	log     *memory.Log
	store   *db.Memory
	charged int
	posted  int
}

func newHouse(t *testing.T) *house {
	t.Helper()
	store, err := db.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	err = store.Update(t.Context(), func(tx projection.Tx) error {
		_, err := tx.Exec(`CREATE TABLE notes (n integer)`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return &house{t: t, log: memory.New(), store: store}
}

func (h *house) appended() int {
	h.t.Helper()
	head, err := h.log.Head(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return int(head.Commit)
}

func (h *house) noted() (n int) {
	h.t.Helper()
	if err := h.store.QueryRow(h.t.Context(), `SELECT count(*) FROM notes`).Scan(&n); err != nil {
		h.t.Fatal(err)
	}
	return n
}

// Charge, Refund and Lookup implement gateway.Gateway.
func (h *house) Charge(context.Context, gateway.Connection, gateway.Charge) gateway.Result {
	h.charged++
	return gateway.Result{Class: gateway.Accepted}
}

func (h *house) Refund(context.Context, gateway.Connection, gateway.Refund) gateway.Result {
	return gateway.Result{Class: gateway.Accepted}
}

func (h *house) Lookup(context.Context, gateway.Connection, string, time.Time) (gateway.Result, bool, error) {
	return gateway.Result{}, true, nil
}

func (h *house) Traits() gateway.Traits { return gateway.Traits{} }

// RoundTrip implements http.RoundTripper.
func (h *house) RoundTrip(*http.Request) (*http.Response, error) {
	h.posted++
	answer := httptest.NewRecorder()
	return answer.Result(), nil
}

// calls are one call through each door that has two sides: how often it took effect, and what the
// caller gets.
var calls = map[string]func(h *house, g door.Guard) (effects int, err error){
	"log.append": func(h *house, g door.Guard) (int, error) {
		_, err := door.ToLog(h.log, g).Append(h.t.Context(), "note-a", event.NoStream, event.Raw{
			ID: uuid.New(), Type: "noted", Data: []byte("{}"), Metadata: []byte("{}"),
		})
		return h.appended(), err
	},
	"work.update": func(h *house, g door.Guard) (int, error) {
		err := door.ToStore(door.Work, h.store, g).Update(h.t.Context(), func(tx projection.Tx) error {
			_, err := tx.Exec(`INSERT INTO notes VALUES (1)`)
			return err
		})
		return h.noted(), err
	},
	"gateway.charge": func(h *house, g door.Guard) (int, error) {
		res := door.ToGateway(h, g).Charge(h.t.Context(), gateway.Connection{}, gateway.Charge{})
		if res.Class != gateway.Accepted {
			return h.charged, errors.New(res.Why)
		}
		return h.charged, nil
	},
	"receiver.post": func(h *house, g door.Guard) (int, error) {
		req, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, "https://shop.example/ipn", strings.NewReader("x"))
		if err != nil {
			h.t.Fatal(err)
		}
		res, err := door.ToReceivers(h, g).RoundTrip(req)
		if err == nil {
			err = res.Body.Close()
		}
		return h.posted, err
	},
}

// A call that fails before takes no effect; one that fails after has taken it, and its caller does not know.
func TestEachSideOfADoor(t *testing.T) {
	t.Parallel()
	for point, call := range calls {
		for _, c := range []struct {
			name    string
			guard   guard
			fails   bool
			effects int
		}{
			{name: "nobody minds", effects: 1},
			{name: "before", guard: guard{before: errGuard}, fails: true},
			{name: "after", guard: guard{after: errGuard}, fails: true, effects: 1},
		} {
			t.Run(point+" "+c.name, func(t *testing.T) {
				t.Parallel()
				g := c.guard
				effects, err := call(newHouse(t), &g)
				if (err != nil) != c.fails || effects != c.effects {
					t.Errorf("got %v and %d effects, want an error: %v, and %d", err, effects, c.fails, c.effects)
				}
				if !slices.Contains(g.asked, "before "+point) || !slices.Contains(door.Points(), point) {
					t.Errorf("asked at %v, of the points %v; want before %s", g.asked, door.Points(), point)
				}
			})
		}
	}
}

// What the caller can conclude is what the neighbour's own failures would tell him.
func TestFailuresAreTheNeighbours(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if _, err := calls["log.append"](h, &guard{after: errGuard}); !errors.Is(err, event.ErrUnknownOutcome) {
		t.Errorf("an append whose answer is lost: got %v, want %v", err, event.ErrUnknownOutcome)
	}
	if _, alone := door.ToLog(h.log, &guard{}).(event.Exclusive); !alone {
		t.Error("a log that is one process's alone is not that any more behind its door")
	}
	for before, want := range map[error]gateway.Class{door.ErrNotSent: gateway.NotSent, errGuard: gateway.Unknown} {
		if res := door.ToGateway(h, &guard{before: before}).Charge(t.Context(), gateway.Connection{}, gateway.Charge{}); res.Class != want {
			t.Errorf("%v: got class %d, want %d", before, res.Class, want)
		}
	}
	if _, notifies := door.ToGateway(h, &guard{}).(gateway.Notifier); notifies {
		t.Error("a gateway that sends no webhooks does behind its door")
	}
}

// able is a gateway that can do all that process may ask of one.
type able struct {
	*house
	asked []string
}

func (a *able) Connect(context.Context, gateway.Connection) error { return nil }

func (a *able) FindCharge(context.Context, gateway.Connection, gateway.Charge, time.Time) (gateway.Result, bool, error) {
	a.asked = append(a.asked, "find charge")
	return gateway.Result{}, true, nil
}

func (a *able) FindRefund(context.Context, gateway.Connection, gateway.Refund, time.Time) (gateway.Result, bool, error) {
	a.asked = append(a.asked, "find refund")
	return gateway.Result{}, true, nil
}

func (a *able) Abandon(context.Context, gateway.Connection, gateway.Charge, time.Time) (gateway.Result, bool, error) {
	a.asked = append(a.asked, "abandon")
	return gateway.Result{}, true, nil
}

func (a *able) Complete(_ context.Context, _ gateway.Connection, n gateway.Notice) (gateway.Notice, error) {
	a.asked = append(a.asked, "complete")
	return n, nil
}

// TestGatewayBehindItsDoor: what a gateway can do besides is asked of it, past the guard; what it cannot is done without.
func TestGatewayBehindItsDoor(t *testing.T) {
	t.Parallel()
	ask := func(gw gateway.Gateway) (failed int) {
		_, _, charge := gateway.FindCharge(t.Context(), gw, gateway.Connection{}, gateway.Charge{}, time.Time{})
		_, _, refund := gateway.FindRefund(t.Context(), gw, gateway.Connection{}, gateway.Refund{}, time.Time{})
		_, _, abandoned := gateway.Abandon(t.Context(), gw, gateway.Connection{}, gateway.Charge{}, time.Time{})
		_, completed := gw.(gateway.Completer).Complete(t.Context(), gateway.Connection{}, gateway.Notice{})
		for _, err := range []error{charge, refund, abandoned, completed} {
			if err != nil {
				failed++
			}
		}
		return failed
	}
	want := []string{"find charge", "find refund", "abandon", "complete"}
	for _, guarded := range []error{nil, errGuard} {
		a, asked, refused := &able{house: newHouse(t)}, want, 0
		if guarded != nil {
			asked, refused = nil, len(want)
		}
		gw := door.ToGateway(a, &guard{before: guarded})
		if failed := ask(gw); failed != refused || !slices.Equal(a.asked, asked) {
			t.Errorf("with a guard that says %v: asked %v, %d failed; want %v and %d", guarded, a.asked, failed, asked, refused)
		}
		if _, connects := gw.(gateway.Connector); !connects {
			t.Error("a gateway that has to be told of connections is not told behind its door")
		}
	}
	if failed := ask(door.ToGateway(newHouse(t), &guard{})); failed != 0 {
		t.Errorf("%d calls of a gateway that can do nothing besides failed, want none", failed)
	}
}
