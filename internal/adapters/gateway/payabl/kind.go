package payabl

import "ledger.internal/ledger/internal/adapters/gateway"

// Name is the adapter's name in connections.
const Name = "payabl"

// Kind is payabl. as a service is built with it. Every merchant has an account of his own there, so there is nothing to
// be set for all.
type Kind struct{}

var _ gateway.Kind = Kind{}

// Settings implements gateway.Kind.
func (Kind) Settings() []gateway.Setting { return nil }

// Check implements gateway.Kind.
func (Kind) Check() error { return nil }

// Open implements gateway.Kind.
func (Kind) Open(env gateway.Environment) gateway.Gateway {
	return New(Config{HTTPClient: env.Client, Timeout: env.Timeout, Clock: env.Clock})
}
