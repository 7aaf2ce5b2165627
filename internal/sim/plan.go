package sim

// plan says how a seed is run other than by its own drawing: for shrinking, for crashes at chosen calls, and to be
// looked at.
type plan struct {
	verbose bool       // keep the whole trace
	change  func(*Mix) // called with what was drawn
	// skip has faults left out, by their number in the run: what a failure does not need.
	skip map[int]bool
	// script is what the one customer does, in place of what he draws.
	script []act
	// crashAt are the calls of the ledger, counted from 1 until the world heals, at which it crashes.
	crashAt []int
}

// allows reports whether the next fault may happen, and counts it.
func (p plan) allows(w *world) bool {
	w.faulted++
	return !p.skip[w.faulted]
}
