package storetest

import (
	"bytes"
	"context"
	"fmt"
	"runtime/pprof"
	"strconv"
	"strings"
	"testing"
	"time"
)

const testLabel = "storetest"

// nameGoroutines lets this goroutine, and those that descend from it, be known for the test's.
func nameGoroutines(t *testing.T) {
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels(testLabel, t.Name())))
}

// goroutines are those of a test, and where they stand. Other tests run beside it, so counting all proves nothing.
func goroutines(t *testing.T) (n int, stacks string) {
	t.Helper()
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		t.Fatal(err)
	}
	label := strconv.Quote(testLabel) + ":" + strconv.Quote(t.Name())
	for group := range strings.SplitSeq(profile.String(), "\n\n") {
		if !strings.Contains(group, label) {
			continue
		}
		var count int
		group = group[strings.LastIndex(group[:strings.Index(group, " @ ")], "\n")+1:] // the profile's title
		if _, err := fmt.Sscanf(group, "%d @", &count); err != nil {
			t.Fatalf("goroutine profile: %v in %q", err, group)
		}
		n, stacks = n+count, stacks+group+"\n\n"
	}
	return n, stacks
}

// wantGoroutines checks that the test has, soon, no more than want goroutines.
func (s *suite) wantGoroutines(t *testing.T, want int) {
	t.Helper()
	s.eventually(t, func() error {
		if n, stacks := goroutines(t); n > want {
			return fmt.Errorf("%d goroutines are left, want %d:\n%s", n, want, stacks)
		}
		return nil
	})
}

// soon is how long that may take which takes no time at all. It leaves room for a machine that is busy with others.
func (s *suite) soon() time.Duration { return s.Patience / 6 }

// eventually is for what gives no signal when it comes true: it looks again and again.
func (s *suite) eventually(t *testing.T, check func() error) {
	t.Helper()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(s.soon()); ; <-again.C {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Error(err)
			return
		}
	}
}
