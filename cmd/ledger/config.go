package main

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"reflect"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/aggregate"
)

// config holds the settings of a running ledger. The zero value of a field means its default, so that config{} is a
// ledger as it comes. On the command line a field is a flag (--data-dir), in the environment a variable
// (LEDGER_DATA_DIR, or LEDGER_DATA_DIR_FILE for a file that holds nothing else), in the configuration file a key
// (data-dir). The flag counts before the variable, and the variable before the file; settings.go reads them all.
type config struct {
	// DataDir is where the embedded stores lie. Defaults to ledger-data in the working directory.
	DataDir string
	// Log is where the log is: empty for the embedded one in DataDir, or the URL of an EventStoreDB, which may hold a
	// password.
	Log string
	// MasterKey is the file with the key that secrets are sealed with. Defaults to master.key in DataDir.
	MasterKey string
	// MasterKeyKMS names the key of a key management service that wraps what is in that file. Defaults to none.
	MasterKeyKMS string
	// GRPC, HTTP and Admin are the listeners' addresses. Only loopback addresses are taken until callers can be told
	// apart. Defaults to 127.0.0.1:9090, 127.0.0.1:8080 and 127.0.0.1:9464.
	GRPC, HTTP, Admin string
	// Clock is "wall" (the default) or "manual": time then stands still until it is advanced, for sandbox
	// connections only.
	Clock string
	// ClockStart is what a manual clock shows when the data directory is new. Defaults to now.
	ClockStart string
	// PublicURL is how gateways, and the buyers whom they send back, reach the HTTP listener. Defaults to its own address.
	PublicURL string
	// GatewayTimeout is how long a gateway may take to answer. Defaults to 30s.
	GatewayTimeout time.Duration
	// Gateways are the gateways there are, each with settings of its own. Defaults to all.
	Gateways map[string]gateway.Kind
	// NoReflection keeps the API's description from clients like grpcurl, which otherwise can ask for it.
	NoReflection bool
	// Quiet leaves out the lines that tell a person what is there.
	Quiet bool
}

// flags is the one table of the settings: the command line, the environment, the configuration file, "config print"
// and shell completion all go by it.
func (c *config) flags(f *pflag.FlagSet) {
	dataDirFlag(f, &c.DataDir)
	logFlag(f, &c.Log)
	masterKeyFlags(f, &c.MasterKey, &c.MasterKeyKMS)
	f.StringVar(&c.GRPC, "grpc", "127.0.0.1:9090", "address for gRPC; loopback only")
	f.StringVar(&c.HTTP, "http", "127.0.0.1:8080", "address for REST and webhooks; loopback only")
	f.StringVar(&c.Admin, "admin", "127.0.0.1:9464", "address for metrics, health and profiles; loopback only")
	f.StringVar(&c.Clock, "clock", "wall", `"wall", or "manual": time stands still until "ledger clock advance"`)
	f.StringVar(&c.ClockStart, "clock-start", "", "what a manual clock shows at first (RFC 3339); now if empty")
	f.StringVar(&c.PublicURL, "public-url", "", "how gateways and buyers reach the HTTP listener; its own address if empty")
	f.DurationVar(&c.GatewayTimeout, "gateway-timeout", 30*time.Second, "how long a gateway may take to answer")
	c.gatewayFlags(f)
	f.BoolVar(&c.NoReflection, "no-reflection", false, "do not describe the gRPC API to clients that ask")
	f.BoolVar(&c.Quiet, "quiet", false, "do not print what is where")
	f.VisitAll(func(flag *pflag.Flag) { note(flag, isSetting) })
	note(f.Lookup("clock"), oneOf, "wall", "manual")
}

// gatewayFlags are the settings that gateways have of their own.
func (c *config) gatewayFlags(f *pflag.FlagSet) {
	c.Gateways = gatewayKinds()
	for _, kind := range c.Gateways {
		for _, s := range kind.Settings() {
			f.StringVar(s.Value, s.Name, "", s.Usage)
			if s.Secret {
				note(f.Lookup(s.Name), isSecret)
			}
		}
	}
}

// dataDirFlag is a setting that other commands share with "serve".
func dataDirFlag(f *pflag.FlagSet, to *string) {
	f.StringVar(to, "data-dir", "ledger-data", "where the embedded stores lie")
	note(f.Lookup("data-dir"), isSetting)
	note(f.Lookup("data-dir"), cobra.BashCompSubdirsInDir)
}

// logFlag is another one.
func logFlag(f *pflag.FlagSet, to *string) {
	f.StringVar(to, "log", "", "where the log is: an EventStoreDB (esdb://host:2113); in the data directory if empty")
	note(f.Lookup("log"), isSetting)
	note(f.Lookup("log"), isURL)
}

// settings are all settings, without a command.
func (c *config) settings() *pflag.FlagSet {
	f := pflag.NewFlagSet("settings", pflag.ContinueOnError)
	c.flags(f)
	return f
}

// withDefaults fills in what is left at its zero value.
func (c config) withDefaults() config {
	var standard config
	standard.settings()
	mine, defaults := reflect.ValueOf(&c).Elem(), reflect.ValueOf(standard)
	for i := range mine.NumField() {
		if mine.Field(i).IsZero() {
			mine.Field(i).Set(defaults.Field(i))
		}
	}
	return c
}

// check refuses settings that make no sense, all of them at once, each with its name.
func (c *config) check() error {
	return errors.Join(
		checkLog("--log", c.Log),
		checkMasterKey(c.MasterKey, c.MasterKeyKMS),
		wrong("grpc", c.GRPC, checkLoopback(c.GRPC)),
		wrong("http", c.HTTP, checkLoopback(c.HTTP)),
		wrong("admin", c.Admin, checkLoopback(c.Admin)),
		wrong("clock", c.Clock, c.checkClock()),
		wrong("clock-start", c.ClockStart, c.checkClockStart()),
		wrong("public-url", c.PublicURL, checkURL(c.PublicURL)),
		wrong("gateway-timeout", c.GatewayTimeout, c.checkGatewayTimeout()),
		c.checkGateways(),
	)
}

// wrong says what is wrong with the value of a setting.
func wrong(name string, value any, err error) error {
	if err == nil {
		return nil
	}
	return configError{aggregate.InvalidField("--"+name, "CONFIG_INVALID", "%q: %v", fmt.Sprint(value), err)}
}

// checkLog does not repeat the value: what cannot be read as a URL may still hold a password.
func checkLog(name, value string) error {
	if _, err := placeOf(value, ""); err != nil {
		return configError{aggregate.InvalidField(name, "CONFIG_INVALID", "%v", err)}
	}
	return nil
}

func (c *config) checkClock() error {
	if c.Clock != "" && c.Clock != "wall" && c.Clock != "manual" {
		return errors.New(`it is "wall" or "manual"`)
	}
	return nil
}

func (c *config) checkClockStart() error {
	if c.ClockStart == "" {
		return nil
	}
	if c.Clock != "manual" {
		return errors.New("only a manual clock can be set")
	}
	if _, err := time.Parse(time.RFC3339, c.ClockStart); err != nil {
		return errors.New("give a time like 2026-01-31T12:00:00Z")
	}
	return nil
}

func (c *config) checkGatewayTimeout() error {
	if c.GatewayTimeout < 0 {
		return errors.New("it cannot be negative")
	}
	return nil
}

// checkGateways repeats no value: it may be a secret.
func (c *config) checkGateways() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.Gateways)) {
		if err := c.Gateways[name].Check(); err != nil {
			errs = append(errs, configError{aggregate.InvalidField("settings of "+name, "CONFIG_INVALID", "%v", err)})
		}
	}
	return errors.Join(errs...)
}

func checkURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("give a URL like https://ledger.example.com")
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
		return errors.New("give host:port, like 127.0.0.1:9090")
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return errors.New("only loopback addresses are allowed while there is no authentication")
	}
	return nil
}
