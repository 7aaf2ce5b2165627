package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"ledger.internal/ledger/internal/adapters/bus"
	"ledger.internal/ledger/internal/adapters/buyer"
	"ledger.internal/ledger/internal/adapters/clock"
	"ledger.internal/ledger/internal/adapters/connect"
	"ledger.internal/ledger/internal/adapters/db"
	"ledger.internal/ledger/internal/adapters/docs"
	"ledger.internal/ledger/internal/adapters/eventstore/sqlite"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/gateway/payabl"
	"ledger.internal/ledger/internal/adapters/gateway/sandbox"
	"ledger.internal/ledger/internal/adapters/gateway/stripe"
	"ledger.internal/ledger/internal/adapters/ipn"
	"ledger.internal/ledger/internal/adapters/process"
	"ledger.internal/ledger/internal/adapters/rpc"
	"ledger.internal/ledger/internal/adapters/seal"
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
)

// service is a running ledger: every part of it, tied together once.
type service struct {
	cfg    config
	logger *slog.Logger
	clock  clock.Clock
	manual *manualClock // nil if the clock is the wall's

	place   place // where the log is
	log     event.Log
	remote  remoteLog // nil if the log is embedded
	dial    dialer
	patient bool // wait for a log that is not there yet
	looking bool // do nothing but look: no secret is needed
	work    *work.Work
	views   projection.Spared
	seal    *seal.Sealer // nil if looking

	starting atomic.Pointer[awaited] // nil while all runs
	admit    func()                  // lets callers in, and says so
	health   health

	subscriptions *aggregate.Runner[subscription.State]
	merchants     *aggregate.Runner[merchant.State]
	connections   *connect.Connections
	endpoints     *aggregate.Runner[endpoint.State]
	reservations  *aggregate.Runner[reservation.State]
	deliveries    *aggregate.Runner[delivery.State]
	numbers       *numbers.Allocator

	gateways   map[string]gateway.Gateway
	sandbox    *sandbox.Server
	sandboxURL string

	followers []*projection.Follower
	bus       *bus.Bus
	addresses *buyer.Addresses
	process   *process.Process
	wake      *process.Wake
	inbound   *process.Inbound
	lists     *process.Reconciler
	sender    *ipn.Sender
	rpc       *rpc.Server

	grpc, http, admin, sandboxListener net.Listener
	points                             failPoints
	closers                            []func() error // called last to first
}

// newService is a service of which nothing is open.
func newService(cfg config, log *slog.Logger) *service {
	s := &service{cfg: cfg.withDefaults(), logger: log, dial: dial, admit: func() {}}
	s.starting.Store(&awaited{errors.New("the ledger is starting")})
	return s
}

// open makes everything ready and starts nothing but the pages of the admin listener. What it opened is closed by
// close.
func open(ctx context.Context, cfg config, log *slog.Logger) (*service, error) {
	s := newService(cfg, log)
	return s, s.open(ctx)
}

// open closes what it opened if there is an error.
func (s *service) open(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.points, err = openFailPoints(); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{
		s.openStores, s.openSeal, s.openClock, s.listen, s.awaitLog, s.openGateways, s.openAggregates, s.openFollowers, s.openRPC,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *service) onClose(f func() error) { s.closers = append(s.closers, f) }

// close gives everything back, last opened first.
func (s *service) close() error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	s.closers = nil
	return errors.Join(errs...)
}

// viewsVersion is the version of the views' file. What stands in it has versions of its own, one per projection.
const viewsVersion = 2

// openStores locks the data directory and opens the log, the work store and the views in it.
func (s *service) openStores(ctx context.Context) error {
	dir := s.cfg.DataDir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	unlock, err := db.LockDir(dir)
	if errors.Is(err, db.ErrLocked) {
		return fmt.Errorf("another process is using %s (STORE_LOCKED)", dir)
	}
	if err != nil {
		return err
	}
	s.onClose(unlock)
	workFile, viewsFile := filepath.Join(dir, "work.db"), filepath.Join(dir, "views.db")
	if s.place, err = placeOf(s.cfg.Log, dir); err != nil {
		return err
	}
	// Opening a store changes it, so that all are asked before the first is opened.
	if err := errors.Join(sqlite.Check(dir), work.Check(workFile), db.CheckVersion(viewsFile, viewsVersion)); err != nil {
		return storeError(err)
	}
	if err := s.checkHome(ctx, workFile); err != nil {
		return err
	}
	log, remote, err := openLog(s.place, "--log", s.dial, s.logger)
	if err != nil {
		return err
	}
	s.onClose(log.Close)
	s.log, s.remote = s.points.log(steady(log, s.logger)), remote
	if s.work, err = work.Open(workFile); err != nil {
		return storeError(err)
	}
	s.work.Store = s.points.work(s.work.Store)
	s.onClose(s.work.Close)
	// The views can be built anew from the log, so they need not wait for the disk.
	views, err := db.Open(viewsFile, db.Options{Synchronous: "NORMAL", Version: viewsVersion})
	if err != nil {
		return storeError(err)
	}
	s.views = s.points.views(views)
	s.onClose(views.Close)
	return nil
}

func storeError(err error) error {
	switch {
	case errors.Is(err, db.ErrTooNew):
		return fmt.Errorf("%w (STORE_TOO_NEW)", err)
	case errors.Is(err, db.ErrTooOld):
		return fmt.Errorf("%w; start the ledger once, or run ledger rebuild (STORE_TOO_OLD)", err)
	}
	return err
}

func (s *service) openClock(context.Context) (err error) {
	if s.cfg.Clock != "manual" {
		s.clock = clock.Wall{}
		return nil
	}
	if s.manual, err = openManualClock(s.cfg.DataDir, s.cfg.ClockStart); err != nil {
		return err
	}
	s.clock = s.manual
	return nil
}

// listen takes the ports before anything else begins, so that a port in use is told at once.
func (s *service) listen(context.Context) error {
	for _, l := range []struct {
		flag, addr string
		to         *net.Listener
	}{
		{"grpc", s.cfg.GRPC, &s.grpc}, {"http", s.cfg.HTTP, &s.http}, {"admin", s.cfg.Admin, &s.admin},
		{"sandbox", "127.0.0.1:0", &s.sandboxListener},
	} {
		listener, err := net.Listen("tcp", l.addr)
		if err != nil {
			return fmt.Errorf("--%s: %w (LISTEN)", l.flag, err)
		}
		*l.to = listener
		s.onClose(func() error { listener.Close(); return nil })
	}
	s.sandboxURL = "http://" + s.sandboxListener.Addr().String()
	s.serveAdmin()
	return nil
}

// serveAdmin answers on the admin listener until close: also while the log is waited for, and until all has stopped.
func (s *service) serveAdmin() {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serveHTTP(ctx, s.admin, s.adminPages()) }()
	s.onClose(func() error { stop(); return <-ended })
}

// gatewayKinds lists the gateways that the service is built with, beside its own sandbox, by the names that connections use.
func gatewayKinds() map[string]gateway.Kind {
	return map[string]gateway.Kind{
		payabl.Name: payabl.Kind{},
		stripe.Name: new(stripe.Kind),
	}
}

// openGateways opens the gateways there are, and the sandbox's server.
func (s *service) openGateways(context.Context) (err error) {
	s.gateways = map[string]gateway.Gateway{
		connection.Sandbox: sandbox.New(sandbox.Config{
			URL: s.sandboxURL, HTTPClient: gateway.NewHTTPClientBy(s.clock), Timeout: s.cfg.GatewayTimeout,
		}),
	}
	for name, kind := range s.cfg.Gateways {
		s.gateways[name] = kind.Open(gateway.Environment{Client: gateway.NewHTTPClientBy(s.clock), Timeout: s.cfg.GatewayTimeout, Clock: s.clock})
	}
	for name, gw := range s.gateways {
		s.gateways[name] = s.points.gateway(gw)
	}
	s.sandbox, err = sandbox.NewServer(sandbox.ServerConfig{
		Dir: filepath.Join(s.cfg.DataDir, "sandbox"), Clock: s.clock, Logger: s.logger,
	})
	if err != nil {
		return storeError(err)
	}
	s.onClose(s.sandbox.Close)
	return nil
}

func (s *service) openAggregates(context.Context) error {
	s.subscriptions = aggregate.NewRunner(s.log, subscription.Type())
	s.merchants = aggregate.NewRunner(s.log, merchant.Type())
	s.connections = connect.New(connect.Config{
		Runner: aggregate.NewRunner(s.log, connection.Type()), Gateways: s.gateways, Sealer: s.seal, BaseURL: s.baseURL(),
		Known: s.knownConnections, Clock: s.clock, Logger: s.logger,
	})
	s.endpoints = aggregate.NewRunner(s.log, endpoint.Type())
	s.reservations = aggregate.NewRunner(s.log, reservation.Type())
	s.deliveries = aggregate.NewRunner(s.log, delivery.Type())
	s.numbers = numbers.NewAllocator(s.reserveNumbers)
	return nil
}

// openFollowers makes everything that reads the log: projections of the views and of the work store, the handlers,
// and the workers that live on what those write.
func (s *service) openFollowers(ctx context.Context) error {
	var head event.Position
	if err := s.persist(ctx, func(ctx context.Context) (err error) { head, err = s.log.Head(ctx); return err }); err != nil {
		return err
	}
	if err := s.openAddresses(ctx); err != nil {
		return err
	}
	s.process = process.New(process.Config{
		Subscriptions: s.subscriptions, Connect: s.connections.Find, Circumstances: s.circumstances, Hurry: s.hurry,
		Wakers: map[string]process.Waker{connection.Category: s.connections.Wake}, Disconnected: s.connections.Disconnected,
		Addresses: s.addresses.Of, Clock: s.clock, Logger: s.logger, Head: head,
	})
	s.wake = process.NewWake(s.process, s.work)
	s.inbound = process.NewInbound(s.process, s.work)
	s.lists = process.NewReconciler(s.process, process.Lists{Connections: s.listedConnections, Save: s.saveFetched, Cursors: s.work})
	s.sender = s.newSender()
	for _, v := range projection.Views() {
		s.followers = append(s.followers, projection.NewFollower(s.log, s.views, v))
	}
	for _, w := range projection.Work() {
		f := projection.NewFollower(s.log, s.work, w)
		switch w.Name {
		case projection.Timers().Name:
			f.OnCommit(s.wake.Nudge)
		case projection.Deliveries().Name:
			f.OnCommit(s.sender.Notify)
		case projection.Connections().Name:
			f.OnCommit(s.lists.Nudge)
		}
		s.followers = append(s.followers, f)
	}
	for _, f := range s.followers {
		if err := f.Prepare(ctx); err != nil {
			return err
		}
	}
	// A call of a handler outlasts a call of a gateway, and stopping outlasts both: an answer that is still to come
	// is worth waiting for.
	calls := s.cfg.GatewayTimeout + 5*time.Second
	s.bus = bus.New(bus.Config{Log: s.log, Work: s.work, Clock: s.clock, Logger: s.logger, Timeout: calls, Grace: calls})
	for _, h := range s.process.All() {
		s.bus.Add(h)
	}
	if err := s.checkCursors(ctx); err != nil {
		return err
	}
	return s.work.SetLog(ctx, s.place.name())
}

// run serves until ctx ends or a part fails, then stops in order: first what takes requests and what acts on them,
// which may take as long as a gateway does, then the sandbox that it may be waiting for.
func (s *service) run(ctx context.Context) error {
	sandbox, stopSandbox := context.WithCancel(context.WithoutCancel(ctx))
	sandboxEnded := make(chan error, 1)
	go func() { sandboxEnded <- serveHTTP(sandbox, s.sandboxListener, s.sandbox) }()
	err := s.serveAll(ctx)
	s.sandbox.Close() // lets go of callers that it keeps waiting
	stopSandbox()
	return errors.Join(err, <-sandboxEnded)
}

// serveAll runs all that is ours.
func (s *service) serveAll(ctx context.Context) error {
	public, err := s.public()
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	if err := s.persist(ctx, s.introduce); err != nil && ctx.Err() == nil {
		s.logger.Error("the sandbox was not told of its first connection", "error", err)
	}
	for _, f := range s.followers {
		group.Go(func() error { return divergence(f.Run(ctx)) })
	}
	if s.afterRotation(ctx) {
		if err := s.resealOnce(ctx); err != nil && ctx.Err() == nil {
			s.logger.Error("not everything is sealed with the newest master key; trying again", "error", err)
		}
	}
	s.admit()
	s.starting.Store(nil)
	defer context.AfterFunc(ctx, func() { s.starting.Store(&awaited{errors.New("the ledger is stopping")}) })()
	group.Go(func() error { return s.reseal(ctx) })
	group.Go(func() error { return s.bus.Run(ctx) })
	group.Go(func() error { return s.wake.Run(ctx) })
	group.Go(func() error { return s.inbound.Run(ctx) })
	group.Go(func() error { return s.lists.Run(ctx) })
	group.Go(func() error { return s.sender.Run(ctx) })
	group.Go(func() error { return s.rpc.Run(ctx, s.grpc) })
	group.Go(func() error { return serveHTTP(ctx, s.http, public) })
	if s.remote != nil {
		group.Go(func() error { s.watch(ctx); return nil })
	}
	return group.Wait()
}

// watch has a log that is elsewhere watched. Nobody stops serving because nobody watches.
func (s *service) watch(ctx context.Context) {
	if err := s.remote.Watch(ctx); err != nil && ctx.Err() == nil {
		s.logger.Error("the log is no longer watched", "error", err)
	}
}

// public is what the HTTP listener answers.
func (s *service) public() (http.Handler, error) {
	buyers, err := buyer.New(buyer.Config{
		Addresses: s.addresses, Subscriptions: s.subscriptions, Settle: s.process.Settle, Abandon: s.process.Abandon, Logger: s.logger,
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/webhooks/", s.rpc.Webhooks())
	mux.Handle("/connect/", s.rpc.Consents())
	mux.Handle(buyer.Path, buyers)
	mux.Handle("/", s.rpc.REST())
	return mux, docs.Register(mux)
}

// serveHTTP serves until ctx ends, then lets requests in flight end.
func serveHTTP(ctx context.Context, l net.Listener, h http.Handler) error {
	server := rpc.HTTPServer(h)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		server.Close()
	}
	return nil
}
