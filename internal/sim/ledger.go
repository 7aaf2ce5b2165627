package sim

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/connect"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/ipn"
	"ledger.internal/ledger/internal/adapters/process"
	"ledger.internal/ledger/internal/adapters/rpc"
	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/connection"
	"ledger.internal/ledger/internal/aggregate/delivery"
	"ledger.internal/ledger/internal/aggregate/endpoint"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/merchant"
	"ledger.internal/ledger/internal/aggregate/numbers"
	"ledger.internal/ledger/internal/aggregate/reservation"
	"ledger.internal/ledger/internal/aggregate/subscription"
	"ledger.internal/ledger/internal/projection"
	"ledger.internal/ledger/internal/sim/door"
)

// ledger is one run of the ledger, from a start to its end: the parts that production ties together in cmd/ledger,
// behind doors. What is in it is gone after a crash; what is behind the doors stays.
type ledger struct {
	world   *world
	ctx     context.Context
	end     context.CancelFunc
	dead    atomic.Bool
	serving atomic.Bool // everything has started

	mu      sync.Mutex
	running int   // goroutines
	failed  error // why it ended by itself

	log   event.Log
	work  *work.Work
	views projection.Store // nil if this seed has no live views

	subscriptions *aggregate.Runner[subscription.State]
	merchants     *aggregate.Runner[merchant.State]
	connections   *connect.Connections
	endpoints     *aggregate.Runner[endpoint.State]
	reservations  *aggregate.Runner[reservation.State]
	deliveries    *aggregate.Runner[delivery.State]

	gateways  map[string]gateway.Gateway
	followers []*projection.Follower
	handlers  []*handler
	inbound   *process.Inbound
	api       *rpc.Direct
}

// launch starts a run of the ledger.
func (w *world) launch() *ledger {
	l := &ledger{world: w, gateways: map[string]gateway.Gateway{}}
	l.ctx, l.end = context.WithCancel(context.Background())
	w.run.Store(l)
	l.start(l.ctx, "start", l.open)
	return l
}

// start has a part of the ledger run. If it fails while the ledger should go on, all of it ends, as in production.
func (l *ledger) start(ctx context.Context, actor string, part func(context.Context) error) {
	l.mu.Lock()
	l.running++
	l.mu.Unlock()
	go func() {
		err := recovered(func() error { return part(withActor(ctx, actor)) })
		l.mu.Lock()
		defer l.mu.Unlock()
		l.running--
		if err != nil && l.ctx.Err() == nil && l.failed == nil {
			l.failed = fmt.Errorf("%s: %w", actor, err)
		}
	}()
}

// state tells how many parts of the run still run, and why it has ended by itself, if it has.
func (l *ledger) state() (running int, failed error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.running, l.failed
}

// open makes everything ready and starts it, in the order of production.
func (l *ledger) open(ctx context.Context) (err error) {
	w, g := l.world, guard{l}
	l.log = door.ToLog(w.log, g)
	if l.work, err = work.New(ctx, door.ToStore(door.Work, w.work, g)); err != nil {
		return err
	}
	l.subscriptions = aggregate.NewRunner(l.log, subscription.Type())
	l.merchants = aggregate.NewRunner(l.log, merchant.Type())
	l.endpoints = aggregate.NewRunner(l.log, endpoint.Type())
	l.reservations = aggregate.NewRunner(l.log, reservation.Type())
	l.deliveries = aggregate.NewRunner(l.log, delivery.Type())
	for name, gw := range w.gateways {
		l.gateways[name] = gw.reached(l)
	}
	l.connections = connect.New(connect.Config{
		Runner: aggregate.NewRunner(l.log, connection.Type()), Gateways: l.gateways, BaseURL: home, Clock: w.ledgerClock, Logger: w.logger,
	})
	head, err := l.log.Head(ctx)
	if err != nil {
		return err
	}
	p := process.New(process.Config{
		Subscriptions: l.subscriptions, Connect: l.connect, Circumstances: l.circumstances, Clock: w.ledgerClock,
		Logger: w.logger, Head: head, Wakers: map[string]process.Waker{connection.Category: l.connections.Wake}, Addresses: returnTo,
	})
	wake := process.NewWake(p, l.work)
	l.inbound = process.NewInbound(p, l.work)
	sender := ipn.NewSender(ipn.Config{
		Store: l.work, Source: ipn.Source{Log: l.log, Endpoints: l.endpoints, Merchants: l.merchants},
		Deliveries: l.deliveries, Clock: w.ledgerClock, Logger: w.logger, Transport: door.ToReceivers(w.receivers, g),
	})
	for _, v := range projection.Work() {
		f := projection.NewFollower(l.log, l.work, lean(v))
		switch v.Name {
		case projection.Timers().Name:
			f.OnCommit(wake.Nudge)
		case projection.Deliveries().Name:
			f.OnCommit(sender.Notify)
		}
		l.followers = append(l.followers, f)
	}
	if w.mix.LiveViews {
		l.views = door.ToStore(door.Views, w.views, g)
		for _, v := range projection.Views() {
			l.followers = append(l.followers, projection.NewFollower(l.log, l.views, lean(v)))
		}
	}
	for _, f := range l.followers {
		if err := f.Prepare(ctx); err != nil {
			return err
		}
	}
	for _, h := range p.All() {
		d, err := l.newHandler(ctx, h)
		if err != nil {
			return err
		}
		l.handlers = append(l.handlers, d)
	}
	if l.api, err = rpc.NewDirect(l.apiConfig()); err != nil {
		return err
	}
	for _, f := range l.followers {
		l.start(l.ctx, "projection "+f.Name(), f.Run)
	}
	for _, h := range l.handlers {
		l.start(l.ctx, "handler "+h.Name, h.follow)
	}
	l.start(l.ctx, "wake", wake.Run)
	l.start(l.ctx, "inbound", l.inbound.Run)
	l.start(l.ctx, "sender", sender.Run)
	l.serving.Store(true)
	w.callersWait.Broadcast()
	return nil
}

// returnTo is where a gateway sends a buyer back to.
func returnTo(conn gateway.Connection, c gateway.Charge) (back, cancel string) {
	back = home + "/return/" + conn.Gateway + "/" + c.Key
	return back, back + "/cancel"
}

// lean is a projection without the SQL views for analysts: to make them takes a third of a start.
func lean(p projection.Projection) projection.Projection {
	p.Views = nil
	return p
}

func (l *ledger) apiConfig() rpc.Config {
	w := l.world
	next := numbers.NewAllocator(l.reserveNumbers)
	var views projection.Reader = w.views // that nobody keeps up to date
	if l.views != nil {
		views = l.views
	}
	return rpc.Config{
		Log: l.log, Clock: w.ledgerClock, Views: views, Work: l.work,
		Subscriptions: l.subscriptions, Merchants: l.merchants, Connections: l.connections, Endpoints: l.endpoints,
		Reservations: l.reservations, Circumstances: l.circumstances, NextNumber: next.Next,
		CountEndpoints: func(context.Context, string) (int, error) { return 0, nil },
		DeliveryBody:   func(context.Context, *ledgerv1.Delivery) (string, error) { return "", nil },
		SaveWebhook: func(ctx context.Context, h work.Webhook) (id int64, fresh bool, err error) {
			defer l.inbound.Nudge()
			return l.work.SaveWebhook(ctx, h)
		},
		WaitFor:  func(context.Context, string, event.Position) error { return nil },
		Operator: nobody{}, Version: "simulated", Logger: w.logger,
	}
}

// nobody operates the simulated ledger.
type nobody struct{ rpc.Operator }

// connect finds a connection and its adapter.
func (l *ledger) connect(ctx context.Context, merchantID, id string) (gateway.Connection, gateway.Gateway, error) {
	conn, gw, err := l.connections.Find(ctx, merchantID, id)
	if err != nil {
		return conn, nil, err
	}
	return l.world.gateways[conn.Gateway].credentials(conn), gw, nil
}

// circumstances are what a merchant and a connection say that a decision about a subscription may depend on.
func (l *ledger) circumstances(ctx context.Context, merchantID, connectionID string) (in subscription.Circumstances, err error) {
	m, _, err := l.merchants.Load(ctx, merchant.Stream(merchantID))
	if err != nil {
		return in, err
	}
	c, err := l.connections.Load(ctx, merchantID, connectionID)
	return subscription.Circumstances{Policies: m.Policies, Blocked: c.Held() != ""}, err
}

// reserveNumbers takes a block of subscription numbers.
func (l *ledger) reserveNumbers(ctx context.Context) (first, count int64, err error) {
	l.world.blocks++
	res, err := aggregate.NewRunner(l.log, numbers.Type()).Do(ctx, numbers.Stream(), aggregate.Request{
		ID: fmt.Sprintf("%sblock/%d", aggregate.InternalPrefix, l.world.blocks), Actor: "ledger", At: l.world.ledgerClock.Now(),
	}, numbers.Reserve{})
	if err != nil {
		return 0, 0, err
	}
	block := res.Events[0].GetNumbersReserved()
	return block.First, block.Count, nil
}

// quiet reports whether the handlers have handled all that they were given.
func (l *ledger) quiet() string {
	var busy []string
	for _, h := range l.handlers {
		if !h.quiet() {
			busy = append(busy, h.Name)
		}
	}
	return strings.Join(busy, ", ")
}

// silent is where the simulated ledger logs to.
func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }
