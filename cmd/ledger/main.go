package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit codes.
const (
	exitFailure = 1
	exitConfig  = 2
	exitUsage   = 64 // sysexits.h EX_USAGE
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is the program: it never exits by itself, so that tests can run it.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once; nothing is lost by that
	cmd := root()
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var usage usageError
	var config configError
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "ledger: %v\n\n%s", err, usage.cmd.UsageString())
		return exitUsage
	case errors.As(err, &config):
		fmt.Fprintf(stderr, "ledger: %v\n", err)
		return exitConfig
	}
	fmt.Fprintf(stderr, "ledger: %v\n", err)
	return exitFailure
}

// usageError is a command line that makes no sense.
type usageError struct {
	cmd *cobra.Command
	err error
}

func (e usageError) Error() string { return e.err.Error() }

// configError is a setting that makes no sense.
type configError struct{ err error }

func (e configError) Error() string { return e.err.Error() }
func (e configError) Unwrap() error { return e.err }

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "ledger",
		Short:         "an event-sourced subscription ledger",
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{cmd, fmt.Errorf("there is no command %q", args[0])}
			}
			return usageError{cmd, errors.New("name a command")}
		},
		Args: cobra.ArbitraryArgs,
		CompletionOptions: cobra.CompletionOptions{
			DisableDefaultCmd: true,
		},
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError{cmd, err} })
	cmd.AddCommand(
		serveCommand(),
		demoCommand(),
		verifyCommand(),
		clockCommand(),
		inDoubtCommand(),
		parkedCommand(),
		deliveriesCommand(),
		sandboxCommand(),
		versionCommand(),
	)
	for _, c := range cmd.Commands() {
		prepare(c)
	}
	return cmd
}

// prepare gives a command, and those below it, our manners: every flag can be set by the environment, and a wrong
// number of arguments is a usage error.
func prepare(cmd *cobra.Command) {
	if cmd.Args == nil {
		cmd.Args = cobra.NoArgs
	}
	check := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{cmd, err}
		}
		return nil
	}
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error { return fromEnvironment(cmd.Flags()) }
	for _, c := range cmd.Commands() {
		prepare(c)
	}
}

// fromEnvironment sets every flag that the command line leaves alone from LEDGER_<NAME>, if that is set.
func fromEnvironment(flags *pflag.FlagSet) error {
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		name := "LEDGER_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := os.LookupEnv(name)
		if f.Changed || !ok {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			errs = append(errs, configError{fmt.Errorf("%s: %w", name, err)})
		}
	})
	return errors.Join(errs...)
}
