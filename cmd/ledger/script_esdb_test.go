package main

import (
	"os"

	"ledger.internal/ledger/internal/adapters/eventstore/esdb/esdbtest"
)

// firstLog is where a story has its log from the beginning; empty if it is embedded.
func (w *world) firstLog() (url string, err error) {
	if url = os.Getenv("LEDGER_TEST_LOG"); url != "double" {
		return url, nil
	}
	if w.esdb, err = esdbtest.New(esdbtest.Config{}); err != nil {
		return "", err
	}
	return w.esdb.URL(), nil
}
