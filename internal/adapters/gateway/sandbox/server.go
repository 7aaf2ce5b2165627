package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"ledger.internal/ledger/internal/adapters/clock"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/projection"
)

// keyLifetime is how long a key is answered with its first answer. After it the key is new, as at real gateways:
// who sends it again charges again.
const keyLifetime = 24 * time.Hour

// ServerConfig says how a sandbox runs.
type ServerConfig struct {
	// Dir is where sandbox.db lies; created if need be. Required.
	Dir string
	// Clock decides when pending things are decided; the machine's if nil.
	Clock clock.Clock
	// Logger hears of webhooks that nobody took; nobody does if nil.
	Logger *slog.Logger
	// NoKeys lets the server ignore Idempotency-Key, as gateways without real idempotency do: each request that
	// gets through is a charge of its own.
	NoKeys bool
}

// Server is the sandbox gateway. It serves until Close; mount it on an http.Server.
type Server struct {
	book   *book
	clock  clock.Clock
	log    *slog.Logger
	noKeys bool
	client *http.Client
	mux    *http.ServeMux

	stopping context.Context // done once the server stops
	stop     context.CancelFunc
	stopped  chan struct{} // closed when the loop has ended
	closing  sync.Once
	pokes    chan struct{}
	sends    sync.WaitGroup

	mu       sync.Mutex
	sending  map[int64]bool // messages on their way
	lookedAt chan struct{}  // closed and replaced each time the loop has gone through what was due
}

// NewServer opens the sandbox in c.Dir and goes on with what it finds there.
func NewServer(c ServerConfig) (*Server, error) {
	if c.Dir == "" {
		return nil, errors.New("sandbox: no directory given")
	}
	b, err := openBook(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	s := &Server{
		book: b, clock: c.Clock, log: c.Logger, noKeys: c.NoKeys, client: gateway.NewHTTPClient(),
		stopped: make(chan struct{}), pokes: make(chan struct{}, 1),
		sending: map[int64]bool{}, lookedAt: make(chan struct{}),
	}
	if s.clock == nil {
		s.clock = clock.Wall{}
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.mux = s.routes()
	go s.run()
	return s, nil
}

// Close lets waiting callers go, ends the sending of webhooks, and closes the book. A request that comes later is
// cut off. Closing again does nothing.
func (s *Server) Close() (err error) {
	s.closing.Do(func() {
		s.stop()
		<-s.stopped
		s.client.CloseIdleConnections()
		err = s.book.close()
	})
	return err
}

func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /v1/accounts/{account}", s.putAccount)
	mux.HandleFunc("POST /v1/accounts/{account}/charges", s.postCharge)
	mux.HandleFunc("GET /v1/accounts/{account}/charges", s.listCharges)
	mux.HandleFunc("GET /v1/accounts/{account}/charges/{charge}", s.getCharge)
	mux.HandleFunc("POST /v1/accounts/{account}/charges/{charge}/cancel", s.postCancel)
	mux.HandleFunc("POST /v1/accounts/{account}/charges/{charge}/disputes", s.postDispute)
	mux.HandleFunc("POST /v1/accounts/{account}/charges/{charge}/refunds", s.postDeskRefund)
	mux.HandleFunc("POST /v1/accounts/{account}/payments", s.postPayment)
	mux.HandleFunc("POST /v1/accounts/{account}/refunds", s.postRefund)
	mux.HandleFunc("GET /v1/accounts/{account}/refunds", s.listRefunds)
	mux.HandleFunc("POST /v1/accounts/{account}/methods/{method}/revoke", s.postRevoke)
	mux.HandleFunc("GET /v1/accounts/{account}/events", s.listEvents)
	mux.HandleFunc("POST /v1/accounts/{account}/faults", s.postFault)
	mux.HandleFunc("DELETE /v1/accounts/{account}/faults", s.deleteFaults)
	mux.HandleFunc("GET /v1/book", s.getBook)
	mux.HandleFunc("GET /redirect/{charge}", s.getRedirect)
	mux.HandleFunc("POST /redirect/{charge}", s.postRedirect)
	return mux
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.stopping.Err() != nil {
		panic(http.ErrAbortHandler) // whoever asks a dead server gets no answer
	}
	s.mux.ServeHTTP(w, r)
}

// change runs decide durably and tells its answer.
func (s *Server) change(w http.ResponseWriter, r *http.Request, decide func(projection.Tx) (answer, error)) {
	var a answer
	err := s.book.do(func(tx projection.Tx) (err error) {
		a, err = decide(tx)
		return err
	})
	if err != nil {
		s.broken(w, r, err)
		return
	}
	s.poke()
	s.tell(w, r, a)
}

func (s *Server) broken(w http.ResponseWriter, r *http.Request, err error) {
	if s.stopping.Err() != nil || errors.Is(err, errClosed) {
		panic(http.ErrAbortHandler)
	}
	s.log.Error("sandbox", "method", r.Method, "path", r.URL.Path, "error", err)
	s.tell(w, r, problem(http.StatusInternalServerError, codeInternal, "The sandbox could not keep its book."))
}

func (s *Server) invalid(w http.ResponseWriter, r *http.Request, err error) {
	s.tell(w, r, problem(http.StatusBadRequest, codeInvalid, err.Error()))
}

func (s *Server) putAccount(w http.ResponseWriter, r *http.Request) {
	var acc accountBody
	if err := read(w, r, &acc); err != nil {
		s.invalid(w, r, err)
		return
	}
	s.change(w, r, func(tx projection.Tx) (answer, error) {
		err := exec(tx, `INSERT INTO accounts (doc, account) VALUES ($1, $2) ON CONFLICT (account) DO UPDATE SET doc = excluded.doc`, acc, r.PathValue("account"))
		if err != nil {
			return answer{}, err
		}
		return answerWith(http.StatusOK, struct {
			Account   string `json:"account"`
			Processor string `json:"processor"`
		}{r.PathValue("account"), acc.Processor})
	})
}

// byKey tells whether the request wants to be answered like the first of its key.
func (s *Server) byKey(r *http.Request, key string) (bool, error) {
	h := r.Header.Get(keyHeader)
	if s.noKeys || h == "" {
		return false, nil
	}
	if h != key {
		return false, fmt.Errorf("%s is not the key of the body", keyHeader)
	}
	return true, nil
}

func (s *Server) postCharge(w http.ResponseWriter, r *http.Request) {
	var q chargeRequest
	err := read(w, r, &q)
	byKey, keyErr := s.byKey(r, q.Key)
	if err = errors.Join(err, keyErr); err == nil {
		err = q.check()
	}
	if err != nil {
		s.invalid(w, r, err)
		return
	}
	s.change(w, r, func(tx projection.Tx) (answer, error) {
		return carryOutCharge(tx, r.PathValue("account"), q, byKey, base(r), s.clock.Now())
	})
}

func (s *Server) postRefund(w http.ResponseWriter, r *http.Request) {
	var q refundRequest
	err := read(w, r, &q)
	byKey, keyErr := s.byKey(r, q.Key)
	if err = errors.Join(err, keyErr); err == nil {
		err = q.check()
	}
	if err != nil {
		s.invalid(w, r, err)
		return
	}
	s.change(w, r, func(tx projection.Tx) (answer, error) {
		return carryOutRefund(tx, r.PathValue("account"), q, byKey, s.clock.Now())
	})
}

func (s *Server) postDispute(w http.ResponseWriter, r *http.Request) {
	var q disputeRequest
	if err := read(w, r, &q); err != nil {
		s.invalid(w, r, err)
		return
	}
	s.change(w, r, func(tx projection.Tx) (answer, error) {
		c, found, err := loadCharge(tx, r.PathValue("charge"))
		if err != nil || !found || c.Account != r.PathValue("account") {
			return problem(http.StatusNotFound, codeNoSuchCharge, "No such charge."), err
		}
		return c.dispute(tx, q, s.clock.Now())
	})
}

func (s *Server) postRevoke(w http.ResponseWriter, r *http.Request) {
	s.change(w, r, func(tx projection.Tx) (answer, error) {
		m, found, err := loadMethod(tx, r.PathValue("method"))
		if err != nil || !found || m.Account != r.PathValue("account") {
			return problem(http.StatusNotFound, "no_such_method", "No such method."), err
		}
		if err := m.revoke(tx, s.clock.Now()); err != nil {
			return answer{}, err
		}
		return answerWith(http.StatusOK, m.storedMethod)
	})
}

// base is the address under which the caller knows the server.
func base(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}
