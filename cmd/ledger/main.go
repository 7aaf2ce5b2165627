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
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(stderr, "ledger: %s\n", strings.TrimSuffix(line, "\n"))
	}
	var usage usageError
	var config configError
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "\n%s", usage.cmd.UsageString())
		return exitUsage
	case errors.As(err, &config):
		return exitConfig
	}
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

// The groups in which "ledger help" lists the commands.
const (
	running = "running" // run a ledger, or what belongs to one
	looking = "looking" // ask a running ledger
	caring  = "caring"  // for those who look after it
)

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "ledger",
		Short:             "an event-sourced subscription ledger",
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	cmd.SetUsageTemplate(usageTemplate(cmd.UsageTemplate()))
	cmd.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError{cmd, flagError(cmd, err)} })
	add := func(group, title string, commands ...*cobra.Command) {
		cmd.AddGroup(&cobra.Group{ID: group, Title: title})
		for _, c := range commands {
			c.GroupID = group
			cmd.AddCommand(c)
		}
	}
	add(running, "Run:",
		serveCommand(),
		sandboxCommand(),
		demoCommand(),
	)
	add(looking, "Ask a running ledger:",
		showCommand(),
		subscriptionsCommand(),
		ordersCommand(),
		journalCommand(),
		deliveriesCommand(),
	)
	add(caring, "Look after it:",
		clockCommand(),
		connectionsCommand(),
		inDoubtCommand(),
		parkedCommand(),
		webhooksCommand(),
		verifyCommand(),
		rebuildCommand(),
		copyLogCommand(),
		exportCommand(),
		configCommand(),
		keysCommand(),
	)
	help := helpCommand()
	cmd.SetHelpCommand(help)
	cmd.AddCommand(help, completionCommand(), versionCommand())
	prepare(cmd)
	return cmd
}

// needsCommand marks a command that does nothing by itself.
const needsCommand = "needs command"

// usageTemplate changes cobra's: lines fit on a screen of 80 columns, and a command that does nothing by itself is not
// shown as if it did.
func usageTemplate(cobras string) string {
	return strings.NewReplacer(
		".FlagUsages ", ".FlagUsagesWrapped 80 ",
		"{{if .Runnable}}", `{{if and .Runnable (not (index .Annotations "`+needsCommand+`"))}}`,
	).Replace(cobras)
}

// prepare gives a command, and those below it, our manners: every flag can be set by the environment, settings by the
// configuration file too, and a command line that makes no sense is a usage error.
func prepare(cmd *cobra.Command) {
	if cmd.HasSubCommands() {
		cmd.Args = nameOne
	} else if cmd.Args == nil {
		cmd.Args = cobra.NoArgs
	}
	if !cmd.Runnable() {
		cmd.Annotations = map[string]string{needsCommand: "yes"}
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return usageError{cmd, errors.New("name a command")} }
	}
	check := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{cmd, err}
		}
		return nil
	}
	if len(settingsOf(cmd)) > 0 {
		cmd.Flags().String("config", "", "YAML file with settings; see \"ledger config\"")
		note(cmd.Flags().Lookup("config"), cobra.BashCompFilenameExt, "yaml", "yml")
	}
	cmd.PreRunE = fill
	completeFlags(cmd)
	for _, c := range cmd.Commands() {
		prepare(c)
	}
}

// nameOne refuses what is no command below cmd.
func nameOne(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var known []string
	for _, c := range cmd.Commands() {
		known = append(known, c.Name())
	}
	return fmt.Errorf("there is no command %q%s", args[0], didYouMean(args[0], known))
}

// flagError says what is wrong with a flag, and what would be right.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("%w%s", err, didYouMean("--"+unknown.GetSpecifiedName(), dashed(names(cmd.Flags()))))
	case errors.As(err, &invalid):
		return fmt.Errorf("--%s: %q is not %s", invalid.GetFlag().Name, invalid.GetValue(), allowed(invalid.GetFlag()))
	}
	return err
}

func dashed(names []string) []string {
	for i := range names {
		names[i] = "--" + names[i]
	}
	return names
}
