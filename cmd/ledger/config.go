package main

import (
	"fmt"
	"net"
	"time"

	"github.com/spf13/pflag"
)

// config holds the settings of a running ledger. Each works at its zero value. On the command line a field is a flag
// (--data-dir), in the environment a variable (LEDGER_DATA_DIR).
type config struct {
	// DataDir is where the embedded stores lie. Defaults to ledger-data in the working directory.
	DataDir string
	// GRPC, HTTP and Admin are the listeners' addresses. Only loopback addresses are taken until callers can be told
	// apart. Defaults to 127.0.0.1:9090, 127.0.0.1:8080 and 127.0.0.1:9464.
	GRPC, HTTP, Admin string
	// Clock is "wall" (the default) or "manual": time then stands still until it is advanced, for sandbox
	// connections only.
	Clock string
	// ClockStart is what a manual clock shows when the data directory is new. Defaults to now.
	ClockStart string
	// PublicURL is how gateways reach the HTTP listener. Defaults to its own address.
	PublicURL string
	// GatewayTimeout is how long a gateway may take to answer. Defaults to 30s.
	GatewayTimeout time.Duration
	// Reflection lets clients like grpcurl ask for the API's description. Defaults to true.
	Reflection bool
	// Quiet leaves out the lines that tell a person what is there.
	Quiet bool
}

func (c *config) flags(f *pflag.FlagSet) {
	f.StringVar(&c.DataDir, "data-dir", "ledger-data", "where the embedded stores lie")
	f.StringVar(&c.GRPC, "grpc", "127.0.0.1:9090", "address for gRPC; loopback only")
	f.StringVar(&c.HTTP, "http", "127.0.0.1:8080", "address for REST and webhooks; loopback only")
	f.StringVar(&c.Admin, "admin", "127.0.0.1:9464", "address for metrics, health and profiles; loopback only")
	f.StringVar(&c.Clock, "clock", "wall", `"wall", or "manual": time stands still until "ledger clock advance"`)
	f.StringVar(&c.ClockStart, "clock-start", "", "what a manual clock shows at first (RFC 3339); now if empty")
	f.StringVar(&c.PublicURL, "public-url", "", "how gateways reach the HTTP listener; its own address if empty")
	f.DurationVar(&c.GatewayTimeout, "gateway-timeout", 30*time.Second, "how long a gateway may take to answer")
	f.BoolVar(&c.Reflection, "reflection", true, "describe the gRPC API to clients that ask")
	f.BoolVar(&c.Quiet, "quiet", false, "do not print what is where")
}

// check refuses settings that make no sense, each with the setting's name.
func (c *config) check() error {
	for name, addr := range map[string]string{"grpc": c.GRPC, "http": c.HTTP, "admin": c.Admin} {
		if err := checkLoopback(addr); err != nil {
			return configError{fmt.Errorf("--%s %q: %w", name, addr, err)}
		}
	}
	if c.Clock != "" && c.Clock != "wall" && c.Clock != "manual" {
		return configError{fmt.Errorf(`--clock %q: it is "wall" or "manual"`, c.Clock)}
	}
	if c.ClockStart != "" {
		if c.Clock != "manual" {
			return configError{fmt.Errorf("--clock-start: only a manual clock can be set")}
		}
		if _, err := time.Parse(time.RFC3339, c.ClockStart); err != nil {
			return configError{fmt.Errorf("--clock-start %q: give a time like 2026-01-31T12:00:00Z", c.ClockStart)}
		}
	}
	if c.GatewayTimeout < 0 {
		return configError{fmt.Errorf("--gateway-timeout %v: it cannot be negative", c.GatewayTimeout)}
	}
	return nil
}

// checkLoopback takes only addresses that nobody else can reach: the ledger cannot tell callers apart yet, and it
// moves money.
func checkLoopback(addr string) error {
	if addr == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("give host:port, like 127.0.0.1:9090")
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("only loopback addresses are allowed while there is no authentication")
	}
	return nil
}
