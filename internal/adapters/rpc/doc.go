// Package rpc is the ledger's front door: the gRPC services of api/proto, the same as REST, and the gateways' inbound
// webhooks.
//
// A transport translates and nothing else: it checks the form of a request (check.go for every message, json.go for
// what JSON alone can get wrong), lets the aggregate decide, and shows what came of it (view.go). Errors meet the
// outside in error.go only. REST is grpc-gateway in front of the same gRPC server, through a connection in memory, so
// that no interceptor is ever skipped; rest.go stands before it and lets no header, form or method override through.
//
// What the package leaves to others: what may happen (the aggregates), doing it (the handlers), and listening where
// (cmd/ledger).
package rpc
