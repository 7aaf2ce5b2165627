package gatewaytest

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/aggregate/money"
)

// testMatrix crosses everything that goes wrong with everything that is asked for. In each cell one request meets one
// fault; then all is well again, and what is learned has to be the truth.
func testMatrix(t *testing.T, world func(*testing.T) World) {
	w := world(t)
	left := map[string]int{}
	for _, row := range rows() {
		cells := row.cells(w, left)
		if len(cells) == 0 {
			t.Errorf("%s: no operation meets it", row.name)
		}
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			for _, cell := range cells {
				t.Run(cell.name, func(t *testing.T) {
					t.Parallel()
					cell.run(t, world(t))
				})
			}
		})
	}
	t.Run("left out", func(t *testing.T) {
		for why, n := range left {
			t.Logf("%s: %d cells", why, n)
		}
	})
}

// row is a fault with the operations that can meet it.
type row struct {
	name    string
	columns []column
}

// column is an operation that meets a fault. not says why the gateway has no such cell; "" if it has.
type column struct {
	name string
	not  func(World) string
	run  func(*testing.T, World)
}

func rows() []row {
	var list []row
	for _, f := range slices.Concat(onTheLine(), scripted()) {
		list = append(list, row{f.name, f.columns()})
	}
	return append(list, told()...)
}

// cells are the columns that the gateway has; left counts the others.
func (r row) cells(w World, left map[string]int) (cells []column) {
	for _, c := range r.columns {
		if why := c.not(w); why != "" {
			left[c.name+": "+why]++
			continue
		}
		cells = append(cells, c)
	}
	return cells
}

// columns are the operations that a fault can happen to.
func (f fault) columns() (list []column) {
	for _, o := range operations() {
		if f.of == anything || f.of == o.of {
			list = append(list, column{o.name, func(w World) string { return o.why(w, f) }, func(t *testing.T, w World) {
				counts := w.counts()
				if o.stores && w.StoresByAsking {
					counts = all
				}
				newCell(t, w, f, counts).prove(o.build)
			}})
		}
	}
	if f.script != OK {
		return list
	}
	for _, q := range questions() {
		list = append(list, column{q.name, func(w World) string { return q.not(w, f) }, func(t *testing.T, w World) {
			counts := w.counts()
			if q.looks {
				counts = all
			}
			newCell(t, w, f, counts).inquire(q.build)
		}})
	}
	return list
}

func all(*http.Request) bool { return true }

func (w World) counts() func(*http.Request) bool {
	if w.Counts == nil {
		return all
	}
	return w.Counts
}

// cell is one operation that meets one fault in a world of its own.
type cell struct {
	t     *testing.T
	w     World
	fault fault
	line  *line
	conn  gateway.Connection // through the line
}

func newCell(t *testing.T, w World, f fault, counts func(*http.Request) bool) *cell {
	t.Helper()
	c := &cell{t: t, w: w, fault: f, line: newLine(t, w.Connection.URL, counts), conn: w.Connection}
	c.conn.URL = c.line.near.String()
	if f.deaf {
		c.conn.URL = nowhere(t, c.line.near)
	}
	return c
}

// nowhere is an address at which nobody listens.
func nowhere(t testing.TB, like *url.URL) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to := *like
	to.Host = l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return to.String()
}

// spoilt makes a call through the line while it has the fault.
func spoilt[T any](c *cell, call func(context.Context, gateway.Gateway, gateway.Connection) T) T {
	c.t.Helper()
	c.line.meets(&c.fault)
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	switch {
	case c.fault.hangs:
		return givenUp(ctx, c, call)
	case c.fault.outwaits:
		got := call(ctx, c.w.Impatient, c.conn)
		if ctx.Err() != nil {
			c.t.Error("the adapter has waited for longer than its time")
		}
		return got
	}
	return call(ctx, c.w.Gateway, c.conn)
}

// givenUp makes a call, and gives up once what was to happen at the gateway has happened.
func givenUp[T any](ctx context.Context, c *cell, call func(context.Context, gateway.Gateway, gateway.Connection) T) T {
	c.t.Helper()
	calling, cancel := context.WithCancel(ctx)
	defer cancel()
	got := make(chan T, 1)
	go func() { got <- call(calling, c.w.Gateway, c.conn) }()
	select {
	case <-c.line.spoilt:
	case <-ctx.Done():
		c.t.Error("the request did not come to the line")
	}
	cancel()
	return <-got
}

// patience is how long a test waits for what has to come.
const patience = 30 * time.Second

// prove makes one request under the fault, and then finds out what became of it as the ledger would.
func (c *cell) prove(build func(w World, t testing.TB, s Script, key string) ask) {
	t, f := c.t, c.fault
	if f.foreign {
		other := build(c.w, t, f.script, "other")
		wantClass(t, "what another asked for", other.send(t.Context(), c.w.Gateway, c.conn), other.done)
	}
	a := build(c.w, t, f.script, "k")
	r := c.meet(a)
	c.wantAnswer(a, r)
	wantMoved(t, "after the fault", a.moved(), f.moved(a, false)...)

	if f.settles {
		a.settle(r, f.ends == gateway.Accepted)
	}
	truth, found := a.find()
	c.wantTruth(a, r, truth, found)
	if !found && r.Class == gateway.Unknown {
		c.w.Advance(t, c.w.Gateway.Traits().Horizon+time.Minute)
		if truth, found := a.find(); found {
			t.Errorf("after the horizon the look-up found %+v", truth)
		}
	}
	if found && c.w.Gateway.Traits().KeyLifetime == 0 && r.Class != gateway.NotSent {
		return // then nobody may ask again
	}
	c.again(a, r, truth, found)
}

// meet makes the request, once, or once for every way to cut the answer short.
func (c *cell) meet(a ask) gateway.Result {
	c.t.Helper()
	if c.fault.cuts {
		whole := eachCut(c, a.send, func(n int, got, whole gateway.Result) {
			if got.Class != gateway.Unknown && cmp.Diff(whole, got, protocmp.Transform()) != "" {
				c.t.Errorf("of %d bytes of the answer was made %+v", n, got)
			}
		})
		if whole.Class == gateway.Unknown {
			c.t.Errorf("of the whole answer was made %+v", whole)
		}
		return whole
	}
	r := spoilt(c, a.send)
	if n := c.line.hits.Load(); n > 1 || n == 0 && c.mustArrive() {
		c.t.Errorf("the gateway was asked %d times, want once", n)
	}
	return r
}

// mustArrive says that a request comes to the line in any case. On a slow machine, it may not before its time is up.
func (c *cell) mustArrive() bool {
	return c.fault.tell != nil && !c.fault.deaf && !c.fault.outwaits
}

// maxCuts bounds the ways in which an answer is cut short: of a longer one every second byte is tried, or every third.
const maxCuts = 512

// eachCut makes a call again and again. One after the other, the answers that it needs get longer and longer, until all are
// whole. What is made of each is compared with what is made of the whole.
func eachCut[T any](c *cell, call func(context.Context, gateway.Gateway, gateway.Connection) T, compare func(n int, got, whole T)) T {
	c.t.Helper()
	var cuts []int
	got := []T{spoilt(c, call)} // of nothing, which tells how long the first answer would have been
	for of := 0; ; of++ {
		size, ok := c.line.size(of)
		if !ok {
			break
		}
		for n := 0; n <= size; n++ {
			if size > maxCuts && n < size && n%(size/maxCuts+1) != 0 {
				continue
			}
			c.line.cutAt(of, n)
			cuts, got = append(cuts, n), append(got, spoilt(c, call))
		}
	}
	whole := got[len(got)-1]
	for i, n := range cuts {
		compare(n, got[i+1], whole)
	}
	compare(0, got[0], whole)
	return whole
}

// wantAnswer judges what was made of the spoilt answer.
func (c *cell) wantAnswer(a ask, r gateway.Result) {
	t, f := c.t, c.fault
	t.Helper()
	allowed := f.want
	if f.legible {
		allowed = append(slices.Clone(allowed), a.done)
	}
	if f.outwaits && c.line.hits.Load() == 0 {
		allowed = append(slices.Clone(allowed), gateway.NotSent)
	}
	if !slices.Contains(allowed, r.Class) {
		t.Fatalf("got %s: %+v", className(r.Class), r)
	}
	if (r.Class == gateway.Unknown || r.Class == gateway.NotSent) && r.Why == "" {
		t.Error("no reason is given")
	}
	if r.Class == gateway.NotSent && r.Config != f.config {
		t.Errorf("got config %v", r.Config)
	}
	if r.Class == gateway.NotSent && f.waits != nil && !f.waits(r.RetryAfter) {
		t.Errorf("got retry after %s", r.RetryAfter)
	}
	if c.line.followed.Load() {
		t.Error("the adapter followed a redirect")
	}
}

// moved is what is to have moved; settled says that the gateway has decided by now.
func (f fault) moved(a ask, settled bool) []*ledgerv1.Money {
	moves := f.happens && f.ends == gateway.Unknown || settled && f.ends == gateway.Accepted
	if !moves || a.done != gateway.Accepted || money.IsZero(a.amount) {
		return nil
	}
	return []*ledgerv1.Money{f.charged(a)}
}

// charged is the amount that the gateway charges where it is asked for a's.
func (f fault) charged(a ask) *ledgerv1.Money {
	m := &ledgerv1.Money{CurrencyCode: a.amount.CurrencyCode, MinorUnits: a.amount.MinorUnits + f.extra}
	if f.currency != "" {
		m.CurrencyCode = f.currency
	}
	return m
}

// wantTruth judges what the look-up has found.
func (c *cell) wantTruth(a ask, r, truth gateway.Result, found bool) {
	t, f := c.t, c.fault
	t.Helper()
	there := f.happens || f.ends != gateway.Unknown || r.Class == gateway.Rejected
	if found != there && !a.asksOnly {
		t.Fatalf("the look-up found %v: %+v", found, truth)
	}
	want := a.done
	switch {
	case f.ends != gateway.Unknown:
		want = f.ends
	case r.Class == gateway.Rejected:
		want = gateway.Rejected
	}
	if found {
		wantClass(t, "the look-up", truth, want)
		c.wantAmount("the look-up", a, truth)
	}
	if r.Class == gateway.Accepted {
		c.wantAmount("the answer", a, r)
		if d := cmp.Diff(truth, r, protocmp.Transform()); d != "" {
			t.Errorf("the answer differs from the look-up (-look-up +answer):\n%s", d)
		}
	}
	wantMoved(t, "when all is decided", a.moved(), f.moved(a, true)...)
}

func (c *cell) wantAmount(what string, a ask, r gateway.Result) {
	c.t.Helper()
	if r.Class != gateway.Accepted {
		return
	}
	if d := cmp.Diff(c.fault.charged(a), r.Amount, protocmp.Transform()); d != "" {
		c.t.Errorf("%s: the amount (-moved +told):\n%s", what, d)
	}
}

// again makes the request once more, when all is well: what has moved moves no more, and what has not moves once.
func (c *cell) again(a ask, r, truth gateway.Result, found bool) {
	t, f := c.t, c.fault
	t.Helper()
	second := a.send(t.Context(), c.w.Gateway, c.w.Connection)
	want := a.done
	if found {
		want = truth.Class
	}
	if f.sticks && second.Class == r.Class {
		wantMoved(t, "asked again", a.moved(), f.moved(a, true)...)
		return
	}
	wantClass(t, "asked again", second, want)
	if found && second.Reference != truth.Reference {
		t.Errorf("asked again: got %s, want %s", second.Reference, truth.Reference)
	}
	if second.Class == gateway.Pending {
		second = c.approved(a, second)
	}
	if second.Class != gateway.Accepted || money.IsZero(a.amount) {
		wantMoved(t, "asked again", a.moved())
		return
	}
	wantMoved(t, "asked again", a.moved(), f.charged(a))
}

// approved is what a payment comes to that the buyer approves in the end.
func (c *cell) approved(a ask, r gateway.Result) gateway.Result {
	t := c.t
	t.Helper()
	wantMoved(t, "before the buyer has approved", a.moved())
	a.settle(r, true)
	truth, found := a.find()
	if !found {
		t.Fatal("the look-up found nothing after the approval")
	}
	wantClass(t, "after the approval", truth, gateway.Accepted)
	return truth
}

// inquire asks under the fault: what is learned is true, or nothing is learned.
func (c *cell) inquire(build func(w World, t testing.TB, key string) question) {
	t := c.t
	t.Helper()
	if c.fault.foreign {
		if _, err := build(c.w, t, "other").ask(t.Context(), c.w.Gateway, c.conn); err != nil {
			t.Fatalf("what another asked: %v", err)
		}
	}
	q := build(c.w, t, "k")
	got := c.learn(q)
	want, err := q.ask(t.Context(), c.w.Gateway, c.w.Connection)
	if err != nil {
		t.Fatalf("when all is well: %v", err)
	}
	if got.err == nil && !c.fault.legible {
		t.Errorf("got %+v, want an error", got.value)
	}
	if d := cmp.Diff(want, got.value, protocmp.Transform()); got.err == nil && d != "" {
		t.Errorf("learned under the fault (-truth +learned):\n%s", d)
	}
	again, err := q.ask(t.Context(), c.w.Gateway, c.w.Connection)
	if d := cmp.Diff(want, again, protocmp.Transform()); err != nil || d != "" {
		t.Errorf("asked again: %v (-first +second):\n%s", err, d)
	}
	wantMoved(t, "when all is asked", q.moved(), q.moves...)
}

type learned struct {
	value any
	err   error
}

func (c *cell) learn(q question) learned {
	c.t.Helper()
	call := func(ctx context.Context, g gateway.Gateway, conn gateway.Connection) learned {
		v, err := q.ask(ctx, g, conn)
		return learned{v, err}
	}
	if !c.fault.cuts {
		return spoilt(c, call)
	}
	whole := eachCut(c, call, func(n int, got, whole learned) {
		if d := cmp.Diff(whole.value, got.value, protocmp.Transform()); got.err == nil && d != "" {
			c.t.Errorf("of %d bytes of the answer was learned (-whole +part):\n%s", n, d)
		}
	})
	if whole.err != nil {
		c.t.Errorf("of the whole answer was learned nothing: %v", whole.err)
	}
	return whole
}
