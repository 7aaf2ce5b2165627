package aggregate

import (
	"context"
	"sync"
)

// locks hands out one lock per name. A lock that nobody holds or waits for takes no memory.
type locks struct {
	mu     sync.Mutex
	byName map[string]*lock
}

type lock struct {
	held chan struct{} // holds one token while locked
	uses int           // holders and waiters
}

// lock waits for the lock of a name, or for ctx to end. Who comes when his ctx has ended gets no lock, free or not.
func (l *locks) lock(ctx context.Context, name string) (unlock func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	if l.byName == nil {
		l.byName = map[string]*lock{}
	}
	k := l.byName[name]
	if k == nil {
		k = &lock{held: make(chan struct{}, 1)}
		l.byName[name] = k
	}
	k.uses++
	l.mu.Unlock()

	select {
	case k.held <- struct{}{}:
		return func() { <-k.held; l.release(name, k) }, nil
	case <-ctx.Done():
		l.release(name, k)
		return nil, ctx.Err()
	}
}

func (l *locks) release(name string, k *lock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.uses--; k.uses == 0 {
		delete(l.byName, name)
	}
}
