// Package numbers gives out subscription numbers.
//
// Blocks of numbers are reserved in the log, in one stream for everybody; an Allocator hands out the numbers of a
// block and reserves the next when it is used up. What a restart leaves of a block is never given out: numbers are
// unique, and need not be without gaps.
package numbers

import (
	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
)

// Category is the category of the one stream of numbers, and its name.
const Category = "numbers"

const (
	// BlockSize is how many numbers one reservation takes.
	BlockSize = 100
	// Last is the highest number: an order's id is number x 10,000 + ordinal and stays below 2^53.
	Last = 1<<53/10_000 - 1
)

// Stream names the one stream of numbers.
func Stream() string { return Category }

// Type ties State and Evolve to the runner.
func Type() aggregate.Type[State] {
	return aggregate.Type[State]{
		Category: Category,
		New:      func() State { return State{} },
		Evolve:   Evolve,
	}
}

// State says how far numbers are reserved.
type State struct {
	Blocks int64 // how many blocks are taken; the next one's index, and its event's revision
}

// Evolve is the state after an event. Events of other aggregates change nothing.
func Evolve(s State, e *ledgerv1.Event) State {
	if e.GetNumbersReserved() != nil {
		s.Blocks++
	}
	return s
}

// Reserve takes the next block.
type Reserve struct{}

// Decide implements aggregate.Command.
func (Reserve) Decide(s State) ([]*ledgerv1.Event, error) {
	first := s.Blocks*BlockSize + 1
	if first > Last-BlockSize {
		return nil, &aggregate.Error{Kind: aggregate.Exhausted, Reason: "NUMBERS_EXHAUSTED", Message: "there are no more subscription numbers"}
	}
	return []*ledgerv1.Event{{Kind: &ledgerv1.Event_NumbersReserved{NumbersReserved: &ledgerv1.NumbersReserved{
		First: first, Count: BlockSize,
	}}}}, nil
}
