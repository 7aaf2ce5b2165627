// Package door stands between the ledger and its neighbours: the log, the stores, the gateways and the receivers of
// notifications. Every call through a door is a point at which a Guard may let it fail before or after it has taken
// effect, hold it up, or end the process. The simulation's guard is its scheduler; the crash harness's kills.
//
// The doors are the interfaces that production uses. None exists for the sake of a guard.
package door

import (
	"context"
	"errors"
)

// The neighbours.
const (
	Log      = "log"
	Work     = "work"
	Views    = "views"
	Gateway  = "gateway"
	Receiver = "receiver"
)

// Call is one call through a door.
type Call struct {
	Neighbour string
	Name      string // what is called: append, update, charge, …
	Of        string // what it is about: a stream, a key, an address; may be empty
}

// Point names the place of a call, whatever it is about.
func (c Call) Point() string { return c.Neighbour + "." + c.Name }

func (c Call) String() string {
	if c.Of == "" {
		return c.Point()
	}
	return c.Point() + " " + c.Of
}

// Guard stands at the doors. It may keep a call waiting in both of its methods.
type Guard interface {
	// Before is asked before a call goes through. With an error the call is not made, and the error is what the caller
	// gets, in the form that the neighbour's failures have.
	Before(ctx context.Context, c Call) error
	// After is asked when a call has taken effect. With an error the caller never learns that.
	After(ctx context.Context, c Call) error
}

// ErrNotSent is for Before at a gateway: the caller knows that nothing went out.
var ErrNotSent = errors.New("nothing was sent")

// Points are the points at which a guard is asked, in the order of the doors.
func Points() []string {
	return []string{
		"log.append", "log.read", "log.follow", "log.head",
		"work.update", "work.query", "views.update", "views.query",
		"gateway.charge", "gateway.refund", "gateway.lookup",
		"receiver.post",
	}
}
