package esdbtest

import (
	"strings"
	"sync"
)

// A Fault is a rule by which calls go wrong.
type Fault struct {
	Method string // as in Calls; any if empty
	Stream string // calls about streams whose names begin so, "$all" among them; any if empty
	Skip   int    // so many calls pass first
	Times  int    // so many calls are hit, then the rule is done; 0 is all, until it is removed
	Do     Action
}

// An Action is what happens to a call instead of being served. It is one of the functions here, or made by one.
type Action func(*call) error

// Inject adds a rule. Of several, the first that is for a call and not skipping it or done has it.
func (s *Server) Inject(f Fault) (remove func()) {
	r := &rule{Fault: f}
	s.rules.mu.Lock()
	defer s.rules.mu.Unlock()
	s.rules.list = append(s.rules.list, r)
	return func() {
		s.rules.mu.Lock()
		defer s.rules.mu.Unlock()
		r.removed = true
	}
}

type rules struct {
	mu   sync.Mutex
	list []*rule
}

type rule struct {
	Fault
	seen    int
	removed bool
}

// pick is what is to happen to a call; nil is nothing out of the ordinary.
func (r *rules) pick(c *call) Action {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rule := range r.list {
		if rule.takes(c) {
			return rule.Do
		}
	}
	return nil
}

func (r *rule) takes(c *call) bool {
	if r.removed || r.Method != "" && r.Method != c.method || !strings.HasPrefix(c.stream(), r.Stream) {
		return false
	}
	if r.Times > 0 && r.seen >= r.Skip+r.Times {
		return false
	}
	r.seen++
	return r.seen > r.Skip
}
