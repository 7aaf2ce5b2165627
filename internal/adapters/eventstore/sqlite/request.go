package sqlite

import (
	"errors"
	"sync/atomic"

	"ledger.internal/ledger/internal/aggregate/event"
)

// request is an append on its way through the writer.
type request struct {
	stream string
	at     event.Revision
	events []event.Raw

	state    atomic.Int32
	position event.Position // valid once answered is closed, like err
	err      error
	answered chan struct{}
}

// A request is waiting until either the writer takes it or its caller withdraws it, whoever is first.
const (
	taken     = 1
	withdrawn = 2
)

// withdraw reports whether the request will never be written. If not, it may have been.
func (r *request) withdraw() bool { return r.state.CompareAndSwap(0, withdrawn) }

// abandon is what the caller is told who will not wait any longer, for reason.
func (r *request) abandon(reason error) (event.Position, error) {
	if r.withdraw() {
		return event.Position{}, reason
	}
	select {
	case <-r.answered: // just in time
		return r.position, r.err
	default:
		return event.Position{}, errors.Join(event.ErrUnknownOutcome, reason)
	}
}

// take reports whether the writer may work on the request.
func (r *request) take() bool { return r.state.CompareAndSwap(0, taken) }

func (r *request) answer() { close(r.answered) }
