package gateway

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/sony/gobreaker/v2"
)

const (
	// tripsAfter is how many requests in a row have to go unanswered before no more are sent.
	// gobreaker's own default is one more: https://pkg.go.dev/github.com/sony/gobreaker/v2#Settings
	tripsAfter = 5
	// movesRest is how long nothing is sent then that moves money; after it, one request tries. If that is not answered
	// either, it is one more whose outcome is in doubt, so it is not tried often.
	movesRest = 30 * time.Second
	// looksRest is the same for look-ups. Their trying costs nothing, and what is in doubt waits for them.
	looksRest = 10 * time.Second
)

var (
	errOpen = errors.New("the gateway has not answered lately")
	// errServer marks an answer that says that the gateway failed. It never leaves the circuit.
	errServer = errors.New("server error")
)

// circuit is a circuit breaker. It counts as a failure what says nothing about a request: no connection, no whole answer
// in time, a status of 500 and more. A decline, like every other answer, shows that the gateway works.
//
// A request that it keeps back is surely not sent. It never judges what was sent: that stays what it is without it.
type circuit struct {
	breaker *gobreaker.CircuitBreaker[*http.Response]
	pause   *pause // while it is open
	rest    time.Duration
	// trial is taken by the request that tries whether the gateway answers again. Where others wait for what comes of
	// it, it has room for one; nil where they are kept back.
	trial chan struct{}
}

// newMoves is the circuit of requests that move something.
func newMoves(now func() time.Time) *circuit { return newCircuit(now, movesRest) }

// newLooks is the circuit of look-ups. Of two that come at once when the gateway is to be tried again, the second waits for
// the first: kept back, it might not be asked again for a day.
func newLooks(now func() time.Time) *circuit {
	c := newCircuit(now, looksRest)
	c.trial = make(chan struct{}, 1)
	return c
}

func newCircuit(now func() time.Time, rest time.Duration) *circuit {
	c := &circuit{pause: &pause{now: now, longest: rest}, rest: rest}
	c.breaker = gobreaker.NewCircuitBreaker[*http.Response](gobreaker.Settings{
		MaxRequests: 1,
		Timeout:     1, // by the machine's clock, and so none: the pause goes by ours
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= tripsAfter },
		IsExcluded:  saysNothing,
		OnStateChange: func(_ string, _, to gobreaker.State) {
			if to == gobreaker.StateOpen {
				c.pause.begin(rest)
			}
		},
	})
	return c
}

// saysNothing reports whether err is nothing that the gateway can do anything about: the request was kept back, or
// whoever asked for it went away.
func saysNothing(err error) bool {
	return errors.Is(err, errPaced) || errors.Is(err, context.Canceled)
}

func (c *circuit) do(ctx context.Context, send func() (*http.Response, error)) (*http.Response, error) {
	if c.trial != nil && c.breaker.State() != gobreaker.StateClosed {
		select {
		case c.trial <- struct{}{}:
			defer func() { <-c.trial }()
		case <-ctx.Done():
			return nil, &SendError{Err: ctx.Err()}
		}
	}
	if d := c.pause.left(); d > 0 {
		return nil, &SendError{RetryAfter: d, Err: errOpen}
	}
	resp, err := c.breaker.Execute(func() (*http.Response, error) {
		resp, err := send()
		if err == nil && resp.StatusCode >= http.StatusInternalServerError {
			return resp, errServer
		}
		return resp, err
	})
	switch {
	case errors.Is(err, errServer):
		return resp, nil
	case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests):
		return nil, &SendError{RetryAfter: c.rest, Err: errOpen}
	}
	return resp, err
}
