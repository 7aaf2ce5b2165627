package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/components/metrics"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"ledger.internal/ledger/internal/aggregate/event"
)

const (
	// parkTopic is the PoisonQueue's name for what poison takes.
	parkTopic = "park"
	// afterGrace is how long the router waits for handlers that were cancelled.
	afterGrace = 10 * time.Second
	// nackPause is the rest of an event whose stream could not even be parked.
	nackPause = time.Second
)

// router puts the handlers behind one another's middlewares: a failed call is tried again, then its stream is parked.
// The park stands outermost, so that it sees what the tries could not mend; the limits of a single try stand inside
// the retry, and the panic's end innermost, so that a panic is an error to all of them.
func (b *Bus) router() (*message.Router, error) {
	levels := map[slog.Level]slog.Level{slog.LevelInfo: slog.LevelDebug} // its beginnings and ends are no news
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: b.config.Grace + afterGrace},
		watermill.NewSlogLoggerWithLevelMapping(b.config.Logger, levels))
	if err != nil {
		return nil, err
	}
	if b.config.Registerer != nil {
		builder := metrics.NewPrometheusMetricsBuilder(b.config.Registerer, "ledger", "bus")
		builder.AddPrometheusRouterMetrics(router)
	}
	park, err := middleware.PoisonQueueWithFilter(poison{b}, parkTopic, worthParking)
	if err != nil {
		return nil, err
	}
	retry := middleware.Retry{
		MaxRetries: b.config.Tries - 1,
		// ShouldRetry makes the pauses grow at twice the pace.
		InitialInterval: b.config.Pause, Multiplier: 1.5, MaxInterval: time.Minute,
		ShouldRetry:         func(p middleware.RetryParams) bool { return worthRetrying(p.Err) },
		ResetContextOnRetry: true, // else the second try begins with the first one's time over
	}
	router.AddMiddleware(park, retry.Middleware)
	for _, h := range b.handlers {
		f, _ := b.follower(h.Name)
		router.AddConsumerHandler(h.Name, h.Category, b.subscriber(f), func(m *message.Message) error {
			_, err := f.attempt(m)
			return err
		})
	}
	return router, nil
}

// subscriber gives the router a follower that is there already: a Watermill router does not come to an end if a
// handler cannot subscribe.
func (b *Bus) subscriber(f *follower) message.Subscriber {
	s := &subscriber{open: func(context.Context, string) (*follower, error) { return f, nil }}
	b.subscribers = append(b.subscribers, s)
	return s
}

// attempt is one call of a handler, for the router and for replays alike.
func (b *Bus) attempt(h Handler) message.HandlerFunc {
	call := func(m *message.Message) ([]*message.Message, error) {
		delete(m.Metadata, retryAfterKey)
		raw, err := rawEvent(m)
		if err != nil {
			return nil, err
		}
		e, err := event.Decode(raw)
		if err != nil {
			return nil, &undecodableError{err}
		}
		return nil, judge(m, h.Handle(m.Context(), e))
	}
	return middleware.Timeout(b.config.Timeout)(middleware.Recoverer(call))
}

// judge says for an error of a handler what the middlewares want to know.
func judge(m *message.Message, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(m.Context().Err(), context.Canceled) {
		// The bus stops. Whatever the handler made of that, it is no failure of the event.
		return fmt.Errorf("%w: %w", context.Canceled, err)
	}
	var wait *retryAfterError
	if errors.As(err, &wait) {
		m.Metadata[retryAfterKey] = wait.after.String()
	}
	if errors.Is(err, context.Canceled) {
		return &ownCancelError{err}
	}
	return err
}

// worthParking is false when the bus stops: the event goes to the next run.
func worthParking(err error) bool { return !errors.Is(err, context.Canceled) }

// worthRetrying is false when trying again at once gives the same.
func worthRetrying(err error) bool {
	var wait *retryAfterError
	var bad *undecodableError
	return !errors.As(err, &wait) && !errors.As(err, &bad)
}

// undecodableError is an event that this program cannot read.
type undecodableError struct{ error }

func (e *undecodableError) Unwrap() error { return e.error }

// ownCancelError is a handler that cancelled something itself; its error must not look like the end of the bus.
type ownCancelError struct{ err error }

func (e *ownCancelError) Error() string { return e.err.Error() }

// As finds a wish for a later try in what is otherwise hidden.
func (e *ownCancelError) As(target any) bool {
	wait, ok := target.(**retryAfterError)
	return ok && errors.As(e.err, wait)
}
