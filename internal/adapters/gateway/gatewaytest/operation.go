package gatewaytest

import (
	"context"
	"errors"
	"strings"
	"testing"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

// ask is a request that means something: a charge or a refund.
type ask struct {
	send   func(context.Context, gateway.Gateway, gateway.Connection) gateway.Result
	find   func() (gateway.Result, bool)
	moved  func() []*ledgerv1.Money
	settle func(r gateway.Result, ok bool) // decides what is pending
	amount *ledgerv1.Money
	done   gateway.Class // what a request comes to that nothing happens to
	// asksOnly says that nothing is left behind.
	asksOnly bool
}

// operation is a column that asks for something.
type operation struct {
	name string
	of   kind
	// stores says that it stores a method, and takes no money.
	stores bool
	not    func(World, fault) string
	build  func(w World, t testing.TB, s Script, key string) ask
}

const (
	cannot       = "the gateway cannot be made to"
	noRedirect   = "the gateway knows no redirects"
	buyerDecides = "the buyer decides, and not a script"
)

func operations() []operation {
	return []operation{
		{"first charge", charges, false, func(w World, f fault) string {
			if w.Token(f.script) == "" {
				return cannot
			}
			return ""
		}, func(w World, t testing.TB, s Script, key string) ask {
			return w.charging(t, payment(key, w.Token(s)))
		}},
		{"charge of a stored method", charges, false, func(w World, f fault) string {
			if w.Stored == nil || w.Token(f.script) == "" {
				return cannot
			}
			return ""
		}, func(w World, t testing.TB, s Script, key string) ask {
			c := payment(key, "")
			c.Method, c.PayNumber = w.Stored(t, s), 2
			return w.charging(t, c)
		}},
		{"storing a method", charges, true, func(_ World, f fault) string {
			if f.script != OK {
				return "nothing is charged"
			}
			return ""
		}, func(w World, t testing.TB, s Script, key string) ask {
			c := payment(key, w.Token(s))
			c.Amount = usd(0)
			a := w.charging(t, c)
			a.asksOnly = w.StoresByAsking
			return a
		}},
		{"sending the buyer away", charges, false, redirectable, func(w World, t testing.TB, _ Script, key string) ask {
			return w.charging(t, payment(key, ""))
		}},
		{"sending the buyer away to store a method", charges, false, redirectable, func(w World, t testing.TB, _ Script, key string) ask {
			c := payment(key, "")
			c.Amount = usd(0)
			return w.charging(t, c)
		}},
		{"refund of all", refunds, false, refundable, func(w World, t testing.TB, s Script, key string) ask {
			return w.refunding(t, s, key, 4700)
		}},
		{"refund of a part", refunds, false, refundable, func(w World, t testing.TB, s Script, key string) ask {
			return w.refunding(t, s, key, 1000)
		}},
	}
}

// why is the reason why a fault does not happen to the operation at this gateway; "" if it can.
func (o operation) why(w World, f fault) string {
	if f.doubled && w.Gateway.Traits().KeyLifetime == 0 {
		return "a request that comes twice is two requests"
	}
	return o.not(w, f)
}

func redirectable(w World, f fault) string {
	switch {
	case w.Decide == nil:
		return noRedirect
	case f.script != OK:
		return buyerDecides
	}
	return ""
}

func refundable(w World, f fault) string {
	if f.script != OK && w.Token(RefundOf(f.script)) == "" {
		return cannot
	}
	return ""
}

// charging asks for a charge.
func (w World) charging(t testing.TB, c gateway.Charge) ask {
	sent := w.Now()
	a := ask{
		amount: c.Amount, done: gateway.Accepted,
		send: func(ctx context.Context, g gateway.Gateway, conn gateway.Connection) gateway.Result {
			return g.Charge(ctx, conn, c)
		},
		find: func() (gateway.Result, bool) {
			r, found, err := gateway.FindCharge(t.Context(), w.Gateway, w.Connection, c, sent)
			if err != nil {
				t.Fatalf("find %s: %v", c.Key, err)
			}
			return r, found
		},
		moved:  func() []*ledgerv1.Money { return some(w.Charged(t, c.Key)) },
		settle: func(r gateway.Result, ok bool) { w.Settle(t, r.Reference, "", ok) },
	}
	if c.Token == "" && c.Method == nil {
		a.done = gateway.Pending
		a.settle = func(r gateway.Result, ok bool) { w.Decide(t, r.NextAction.GetRedirectUrl(), ok) }
	}
	return a
}

// some leaves out what is called a charge and moves nothing: the storing of a method.
func some(list []*ledgerv1.Money) (moved []*ledgerv1.Money) {
	for _, m := range list {
		if m.MinorUnits != 0 {
			moved = append(moved, m)
		}
	}
	return moved
}

// refunding asks for a refund of a payment whose refunds go as the script says.
func (w World) refunding(t testing.TB, s Script, key string, amount int64) ask {
	t.Helper()
	sent := w.Now()
	if s != OK {
		s = RefundOf(s)
	}
	paid := w.Gateway.Charge(t.Context(), w.Connection, payment("paid-"+key, w.Token(s)))
	if paid.Class != gateway.Accepted {
		t.Fatalf("the payment: %+v", paid)
	}
	r := gateway.Refund{Key: key, ChargeReference: paid.Reference, Amount: usd(amount)}
	return ask{
		amount: r.Amount, done: gateway.Accepted,
		send: func(ctx context.Context, g gateway.Gateway, conn gateway.Connection) gateway.Result {
			return g.Refund(ctx, conn, r)
		},
		find: func() (gateway.Result, bool) {
			res, found, err := gateway.FindRefund(t.Context(), w.Gateway, w.Connection, r, sent)
			if err != nil {
				t.Fatalf("find refund %s: %v", key, err)
			}
			return res, found
		},
		moved:  func() []*ledgerv1.Money { return w.Refunded(t, key) },
		settle: func(res gateway.Result, ok bool) { w.Settle(t, paid.Reference, res.Reference, ok) },
	}
}

// question asks what has become of something, or goes on with what the buyer has approved.
type question struct {
	ask   func(context.Context, gateway.Gateway, gateway.Connection) (any, error)
	moved func() []*ledgerv1.Money
	moves []*ledgerv1.Money // what has moved once it is answered
}

// inquiry is a column that asks what has become of something.
type inquiry struct {
	name  string
	looks bool // every request of it is what it is about
	not   func(World, fault) string
	build func(w World, t testing.TB, key string) question
}

func questions() []inquiry {
	always := func(World, fault) string { return "" }
	finishes := func(w World, _ fault) string {
		if !w.Finishes {
			return "the buyer's approval takes the money"
		}
		return ""
	}
	return []inquiry{
		{"look-up of a charge", true, always, func(w World, t testing.TB, key string) question {
			w.pay(t, key)
			return w.looking(t, key)
		}},
		{"look-up of a refund", true, always, func(w World, t testing.TB, key string) question {
			r := gateway.Refund{Key: key, ChargeReference: w.pay(t, "paid-"+key).Reference, Amount: usd(1000)}
			if res := w.Gateway.Refund(t.Context(), w.Connection, r); res.Class != gateway.Accepted {
				t.Fatalf("the refund: %+v", res)
			}
			return question{
				ask: func(ctx context.Context, g gateway.Gateway, conn gateway.Connection) (any, error) {
					res, found, err := gateway.FindRefund(ctx, g, conn, r, w.Now())
					return lookedUp{res, found}, err
				},
				moved: func() []*ledgerv1.Money { return w.Refunded(t, key) }, moves: []*ledgerv1.Money{usd(1000)},
			}
		}},
		{"look-up of what was never sent", true, func(_ World, f fault) string {
			if f.foreign {
				return "nothing is about nobody"
			}
			return ""
		}, func(w World, t testing.TB, key string) question {
			w.pay(t, "paid-"+key) // so that there is something to be mistaken for it
			q := w.looking(t, key)
			q.moves = nil
			return q
		}},
		{"first payment after the consent", false, finishes, func(w World, t testing.TB, key string) question {
			return w.finishing(t, payment(key, ""))
		}},
		{"capture after the approval", false, finishes, func(w World, t testing.TB, key string) question {
			c := payment(key, "")
			c.Once = true
			return w.finishing(t, c)
		}},
		{"completing a notice", true, func(w World, _ fault) string {
			if w.Incomplete == nil {
				return "notices are complete"
			}
			return ""
		}, func(w World, t testing.TB, key string) question {
			n := w.Incomplete(t, key)
			return question{
				ask: func(ctx context.Context, g gateway.Gateway, conn gateway.Connection) (any, error) {
					return g.(gateway.Completer).Complete(ctx, conn, n)
				},
				moved: func() []*ledgerv1.Money { return nil },
			}
		}},
	}
}

// lookedUp is a look-up's answer.
type lookedUp struct {
	Result gateway.Result
	Found  bool
}

func (w World) pay(t testing.TB, key string) gateway.Result {
	t.Helper()
	r := w.Gateway.Charge(t.Context(), w.Connection, payment(key, w.Token(OK)))
	if r.Class != gateway.Accepted {
		t.Fatalf("the payment: %+v", r)
	}
	return r
}

func (w World) looking(t testing.TB, key string) question {
	return question{
		ask: func(ctx context.Context, g gateway.Gateway, conn gateway.Connection) (any, error) {
			r, found, err := g.Lookup(ctx, conn, key, w.Now())
			return lookedUp{r, found}, err
		},
		moved: func() []*ledgerv1.Money { return w.Charged(t, key) }, moves: []*ledgerv1.Money{usd(4700)},
	}
}

// errNotThere is a look-up that has missed what is there.
var errNotThere = errors.New("not found, and it is there")

// finishing has the buyer approve c, and leaves the rest to FindCharge.
func (w World) finishing(t testing.TB, c gateway.Charge) question {
	t.Helper()
	sent := w.Now()
	r := w.Gateway.Charge(t.Context(), w.Connection, c)
	if !strings.HasPrefix(r.NextAction.GetRedirectUrl(), "http") {
		t.Fatalf("got %+v, want a redirect", r)
	}
	w.Decide(t, r.NextAction.GetRedirectUrl(), true)
	return question{
		ask: func(ctx context.Context, g gateway.Gateway, conn gateway.Connection) (any, error) {
			r, found, err := gateway.FindCharge(ctx, g, conn, c, sent)
			if err == nil && !found {
				err = errNotThere
			}
			return lookedUp{r, found}, err
		},
		moved: func() []*ledgerv1.Money { return w.Charged(t, c.Key) }, moves: []*ledgerv1.Money{c.Amount},
	}
}
