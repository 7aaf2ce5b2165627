package main

import (
	"bytes"
	"os"
	"testing"

	"ledger.internal/ledger/api/openapi"
	"ledger.internal/ledger/internal/adapters/rpc"
)

// TestErrorsAreCurrent compares what is committed with the list in the code. For the document, which needs the
// plugins, the check is `make gen` without a difference afterwards.
func TestErrorsAreCurrent(t *testing.T) {
	t.Parallel()
	list, err := encode(rpc.Reasons())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(list, openapi.Errors) {
		t.Error("api/openapi/errors.json is not the list of internal/adapters/rpc/reason.go: run make gen")
	}
	got, err := os.ReadFile("../../../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, page(rpc.Reasons())) {
		t.Error("docs/errors.md is not the list of internal/adapters/rpc/reason.go: run make gen")
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	summary, description := describe("ListPayNumbers", object{"summary": "ListPayNumbers lists.", "description": "More."})
	if summary != "List pay numbers" || description != "ListPayNumbers lists.\n\nMore." {
		t.Errorf("got %q and %q", summary, description)
	}
}
