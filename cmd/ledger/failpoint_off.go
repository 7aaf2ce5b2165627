//go:build !failpoint

package main

import (
	"net/http"

	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

// failPoints are places at which the ledger can be told to end, to stop or to fail. Only a build with the tag
// "failpoint" has any (failpoint_on.go); in this one nothing stands between the ledger and its neighbours.
type failPoints struct{}

// failPointVariable is no name: who sets a fail point here is told that there are none.
const failPointVariable = ""

func openFailPoints() (failPoints, error) { return failPoints{}, nil }

func (failPoints) log(log event.Log) event.Log                     { return log }
func (failPoints) work(store projection.Store) projection.Store    { return store }
func (failPoints) views(store projection.Spared) projection.Spared { return store }
func (failPoints) gateway(gw gateway.Gateway) gateway.Gateway      { return gw }
func (failPoints) receivers() http.RoundTripper                    { return nil } // the sender's own
func (failPoints) version(version string) string                   { return version }
