package aggregate

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// A lock is kept as long as somebody holds it or waits for it, and then forgotten.
func TestLocksAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l locks
		lock := func(name string) func() {
			unlock, err := l.lock(t.Context(), name)
			if err != nil {
				t.Error(err)
			}
			return unlock
		}
		first, other := lock("a"), lock("b")
		held := make(chan func())
		next := func() { held <- lock("a") }
		go next()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := l.lock(ctx, "a"); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		first()
		second := <-held
		go next()
		synctest.Wait()
		select {
		case <-held:
			t.Error("two hold the lock at once")
		default:
		}
		second()
		(<-held)()
		other()
		if len(l.byName) != 0 {
			t.Errorf("%d locks are kept that nobody holds", len(l.byName))
		}
	})
}
