package main

import (
	"fmt"
	"strings"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// tally counts by name, and lists the names in the order in which they came.
type tally struct {
	names  []string
	counts map[string]int64
}

func newTally() *tally { return &tally{counts: map[string]int64{}} }

func (t *tally) add(name string, n int64) {
	if _, known := t.counts[name]; !known {
		t.names = append(t.names, name)
	}
	t.counts[name] += n
}

// String is "3 active, 1 cancelled".
func (t *tally) String() string {
	var parts []string
	for _, name := range t.names {
		parts = append(parts, fmt.Sprintf("%d %s", t.counts[name], name))
	}
	return strings.Join(parts, ", ")
}

// book names what may be added up: one currency in one mode. Play money is never added to real money.
type book struct {
	currency string
	mode     ledgerv1.Mode
}

// String is "USD", or "USD test".
func (b book) String() string {
	if b.mode == ledgerv1.Mode_MODE_TEST {
		return b.currency + " test"
	}
	return b.currency
}
