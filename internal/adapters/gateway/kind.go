package gateway

import (
	"net/http"
	"time"

	"ledger.internal/ledger/internal/adapters/clock"
)

// Kind is a gateway that a service is built with.
type Kind interface {
	// Settings are what can be set of this gateway, beside what can be set of all.
	Settings() []Setting
	// Check refuses settings that make no sense.
	Check() error
	// Open returns the adapter, once the settings have their values.
	Open(Environment) Gateway
}

// Setting is a value that an operator gives. Its name is in small letters and dashes, and begins with the gateway's.
type Setting struct {
	Name, Usage string
	Secret      bool // never printed
	Value       *string
}

// Environment is what adapters share.
type Environment struct {
	Client  *http.Client
	Timeout time.Duration // for one call
	Clock   clock.Clock
}
