// Gen writes what there is to read about the API: api/openapi/openapi.json, api/openapi/errors.json and docs/errors.md.
// `make gen` runs it at the root of the repository, with the OpenAPI document that grpc-gateway makes of the protos and
// their comments. Gen adds what only the ledger knows: that JSON has the names of the protos, which headers a request
// may carry, how errors look, and examples that a test holds against the description.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"ledger.internal/ledger/internal/adapters/rpc"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("got %d arguments, want the document that openapiv3-merge made", len(args))
	}
	plain, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	document, err := complete(plain, rpc.Reasons())
	if err != nil {
		return err
	}
	list, err := encode(rpc.Reasons())
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"api/openapi/openapi.json": document,
		"api/openapi/errors.json":  list,
		"docs/errors.md":           page(rpc.Reasons()),
	} {
		if err := os.WriteFile(name, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// encode writes JSON for people: indented, and with < and > as they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}
