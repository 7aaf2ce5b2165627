# make help lists what can be made.
BUF := go tool -modfile=tools/buf.mod buf
KILLS ?= 1000
LOG ?= sqlite
SEEDS ?= 10000
FAULTS ?= 1000
FROM ?= 1
.DEFAULT_GOAL := help

help:      ## list the targets
	@sed -n 's/^\([a-z-]*\): *## /\1\t/p' Makefile
run:       ## serve with the defaults: SQLite in ./ledger-data, a sandbox gateway, loopback ports
	go run ./cmd/ledger serve
demo:      ## two hundred subscriptions through fourteen months in under a minute
	go run ./cmd/ledger demo
test:      ## all tests; needs nothing but Go
	go vet ./...
	go test ./...
race:      ## all tests under the race detector
	go test -race ./...
kill:      ## the crash harness: KILLS=1000 times kill -9 and all else that can happen to a process; LOG=esdb puts the log on a server that fails, too; SEED repeats a run
	@mkdir -p bin && rm -f bin/kill.txt
	@LEDGER_TEST_KILL_LOG=$(LOG) LEDGER_TEST_KILLS=$(KILLS) LEDGER_TEST_SEED=$(SEED) LEDGER_TEST_FIGURES=$(CURDIR)/bin/kill.txt \
	  go test -count=1 -v -timeout 0 -run '^TestKill$$' ./cmd/ledger; status=$$?; cat bin/kill.txt; exit $$status
sim:       ## the simulation: SEEDS=10000 worlds, the first of them FROM=1; everything that fails can be seen again
	@mkdir -p bin
	@go test -c -o bin/sim ./internal/sim
	@LEDGER_SIM_SEEDS=$(SEEDS) LEDGER_SIM_FROM=$(FROM) bin/sim -test.timeout 0 -test.run '^TestSeeds$$'
soak:      ## FAULTS=1000 things that happen to the servers of a log, and as many to three of them
	LEDGER_TEST_SOAK=$(FAULTS) go test -count=1 -v -timeout 0 -run '^TestSoak$$' ./internal/adapters/eventstore/esdb | grep -v level=
planted:   ## bugs planted in the ledger one at a time; the simulation has to find each
	LEDGER_TEST_PLANTED=1 go test -count=1 -v -timeout 30m -run TestPlanted ./internal/sim/planted
gen:       ## generate Go, the REST API's description and the list of errors
	$(BUF) format -w api/proto
	rm -rf bin/openapi
	$(BUF) generate
	go tool openapiv3-merge bin/openapi/ledger/v1/*.openapi.json > bin/openapi/merged.json
	go run ./api/openapi/gen bin/openapi/merged.json
lint:      ## vet, staticcheck, buf lint and buf format
	go vet ./...
	$$(go tool -modfile=tools/lint.mod -n staticcheck) ./...
	$(BUF) lint
	$(BUF) format -d --exit-code api/proto
bench:     ## the benchmarks, each figure beside the limit that it is measured against
	go test -run '^$$' -bench . -benchtime 2s ./internal/adapters/eventstore/sqlite ./internal/adapters/eventstore/esdb ./internal/adapters/rpc ./internal/adapters/ipn ./internal/projection ./cmd/ledger
.PHONY: help run demo test race sim soak planted kill gen lint bench
