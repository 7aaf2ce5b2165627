//go:build failpoint

package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
	"ledger.internal/ledger/internal/sim/door"
)

// failPointVariable names one fail point and what happens there: "log.append:after:3:kill" ends the process when the
// third append has taken effect, and before anybody learns it. The points are door.Points(); without a side the call
// has not been made yet.
const failPointVariable = "LEDGER_FAILPOINT"

// failPoints lead every call of a neighbour past the one fail point that is set, if one is.
type failPoints struct{ set *failPoint }

func openFailPoints() (failPoints, error) {
	text := os.Getenv(failPointVariable)
	if text == "" {
		return failPoints{}, nil
	}
	p, err := parseFailPoint(text)
	if err != nil {
		return failPoints{}, fmt.Errorf("%s: %w", failPointVariable, err)
	}
	return failPoints{p}, nil
}

func (f failPoints) log(log event.Log) event.Log {
	if f.set == nil {
		return log
	}
	return door.ToLog(log, f.set)
}

func (f failPoints) work(store projection.Store) projection.Store {
	if f.set == nil {
		return store
	}
	return door.ToStore(door.Work, store, f.set)
}

func (f failPoints) views(store projection.Spared) projection.Spared {
	if f.set == nil {
		return store
	}
	return guardedViews{door.ToStore(door.Views, store, f.set), store}
}

// guardedViews can still be built anew. That goes past no fail point: what it writes is no answer to anybody yet.
type guardedViews struct {
	projection.Store
	spared projection.Spared
}

// Spare implements projection.Spared.
func (v guardedViews) Spare(ctx context.Context) (projection.Spare, error) {
	return v.spared.Spare(ctx)
}

func (f failPoints) gateway(gw gateway.Gateway) gateway.Gateway {
	if f.set == nil {
		return gw
	}
	return door.ToGateway(gw, f.set)
}

// receivers carries notifications. Unlike the sender's own transport it may dial any address: where processes are
// ended on purpose, the receivers are processes beside them.
func (f failPoints) receivers() http.RoundTripper {
	if f.set == nil {
		return nil
	}
	return door.ToReceivers(&http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}, f.set)
}

func (failPoints) version(version string) string { return version + ", with fail points" }

// failPoint is one place in the ledger, and what happens at the nth call that passes it. It is a door.Guard.
type failPoint struct {
	text   string
	point  string
	after  bool
	n      int64
	action string
	passed atomic.Int64
}

// parseFailPoint reads "point[:before|after]:n:kill|pause|error".
func parseFailPoint(text string) (*failPoint, error) {
	p := &failPoint{text: text}
	parts := strings.Split(text, ":")
	if len(parts) == 4 {
		p.after = parts[1] == "after"
		if !p.after && parts[1] != "before" {
			return nil, fmt.Errorf("%q is neither before nor after", parts[1])
		}
		parts = slices.Delete(parts, 1, 2)
	}
	if len(parts) != 3 {
		return nil, fmt.Errorf("%q is not point[:before|after]:n:action", text)
	}
	p.point, p.action = parts[0], parts[2]
	if !slices.Contains(door.Points(), p.point) {
		return nil, fmt.Errorf("there is no point %q; there are %s", p.point, strings.Join(door.Points(), ", "))
	}
	if !slices.Contains([]string{"kill", "pause", "error"}, p.action) {
		return nil, fmt.Errorf("%q is not kill, pause or error", p.action)
	}
	var err error
	if p.n, err = strconv.ParseInt(parts[1], 10, 64); err != nil || p.n < 1 {
		return nil, fmt.Errorf("%q is no number from 1", parts[1])
	}
	return p, nil
}

// Before implements door.Guard.
func (p *failPoint) Before(_ context.Context, c door.Call) error { return p.pass(c, false) }

// After implements door.Guard.
func (p *failPoint) After(_ context.Context, c door.Call) error { return p.pass(c, true) }

// pass counts a call and, if it is the one, does what is to be done. Who started the process learns from its standard
// error that the point was reached: a process that is gone cannot be asked.
func (p *failPoint) pass(c door.Call, after bool) error {
	if after != p.after || c.Point() != p.point || p.passed.Add(1) != p.n {
		return nil
	}
	fmt.Fprintf(os.Stderr, "fail point %s reached at %s\n", p.text, c)
	switch p.action {
	case "kill":
		signalSelf(syscall.SIGKILL)
		select {} // the signal may take a moment, and this call must not go on
	case "pause":
		signalSelf(syscall.SIGSTOP)
		return nil
	}
	// A failure that everybody has to live with; the door says what it means at an append that was made.
	return fmt.Errorf("fail point %s: %w", p.text, event.ErrUnavailable)
}

func signalSelf(s syscall.Signal) {
	if err := syscall.Kill(os.Getpid(), s); err != nil {
		panic(err) // one may always signal oneself
	}
}
