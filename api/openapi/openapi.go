// Package openapi is what the world can read about the REST API and its errors: generated files, committed, so that a
// change of them is seen in review. `make gen` writes them; gen says how.
package openapi

import _ "embed"

// Document is the OpenAPI 3.1 description of the REST API.
//
//go:embed openapi.json
var Document []byte

// Errors is the list of error reasons: the fields of rpc.Reason, by name.
//
//go:embed errors.json
var Errors []byte
