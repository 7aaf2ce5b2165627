//go:build unix

package esdbtest_test

import (
	"errors"
	"net/url"
	"slices"
	"syscall"
	"testing"

	"google.golang.org/grpc/codes"

	"ledger.internal/ledger/internal/adapters/eventstore/esdb/esdbtest"
)

// TestProcess: the same double, across the border of a process.
func TestProcess(t *testing.T) {
	t.Parallel()
	target, p := esdbtest.StartProcess(t, "-version", "26.1.0")
	u, err := url.Parse(target)
	must(t, err)
	w := dial(t, u.Host)
	w.fill("a", 2)
	call := w.follow(subscription("a", 1))
	if _, err := call.Recv(); err != nil { // caught up
		t.Fatal(err)
	}
	must(t, p.Restart())
	_, err = call.Recv()
	wantCode(t, "subscription", err, codes.Unavailable)
	w = dial(t, u.Host)
	if got, err := w.revisions("a"); err != nil || !slices.Equal(got, []uint64{0, 1}) {
		t.Errorf("after the restart: read %v, %v, want 0 and 1", got, err)
	}

	must(t, p.Pause())
	short, cancel := w.within(soon)
	defer cancel()
	_, err = short.revisions("a")
	wantCode(t, "read from a process that is stopped", err, codes.DeadlineExceeded)
	must(t, p.Resume())
	if _, err := w.revisions("a"); err != nil {
		t.Errorf("read from a process that runs again: %v", err)
	}

	p.Kill()
	_, err = w.revisions("a")
	wantCode(t, "read from a process that is killed", err, codes.Unavailable)
	if err := syscall.Kill(p.PID(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the process is still there: %v", err)
	}
}

// TestSecureProcess: the connection string has all that a client needs.
func TestSecureProcess(t *testing.T) {
	t.Parallel()
	target, _ := esdbtest.StartProcess(t, "-tls", t.TempDir())
	u, err := url.Parse(target)
	must(t, err)
	password, _ := u.User.Password()
	w := dialTLS(t, u.Host, u.Query().Get("tlsCaFile")).as(u.User.Username(), password)
	if _, err := w.messages(wholeLog()); err != nil {
		t.Errorf("reading everything: %v", err)
	}
}
