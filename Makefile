# make help lists what can be made.
BUF := go tool -modfile=tools/buf.mod buf
KILLS ?= 1000
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
kill:      ## the crash harness: KILLS=1000 times kill -9 and all else that can happen to a process; SEED repeats a run
	@mkdir -p bin && rm -f bin/kill.txt
	@LEDGER_TEST_KILLS=$(KILLS) LEDGER_TEST_SEED=$(SEED) LEDGER_TEST_FIGURES=$(CURDIR)/bin/kill.txt \
	  go test -count=1 -v -timeout 0 -run '^TestKill$$' ./cmd/ledger; status=$$?; cat bin/kill.txt; exit $$status
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
	go test -run '^$$' -bench . -benchtime 2s ./internal/adapters/eventstore/sqlite ./internal/adapters/rpc ./internal/adapters/ipn ./internal/projection ./cmd/ledger
.PHONY: help run demo test race kill gen lint bench
