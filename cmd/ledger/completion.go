package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// completionCommand prints what a shell needs to complete commands and flags. The script asks this program for the
// words, so that they are those of the tables that the command line itself goes by.
func completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:       "completion bash|zsh|fish",
		Short:     "print a script that completes commands and flags in a shell",
		Example:   "  source <(ledger completion bash)\n  ledger completion zsh > \"${fpath[1]}/_ledger\"\n  ledger completion fish | source",
		ValidArgs: []string{"bash", "zsh", "fish"},
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch w, root := cmd.OutOrStdout(), cmd.Root(); args[0] {
			case "bash":
				return root.GenBashCompletionV2(w, true)
			case "zsh":
				return root.GenZshCompletion(w)
			case "fish":
				return root.GenFishCompletion(w, true)
			}
			return errors.New("unreachable: the arguments were checked")
		},
	}
}

// completeFlags lets a shell complete the values of flags that take only a few.
func completeFlags(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if values := f.Annotations[oneOf]; len(values) > 0 {
			if err := cmd.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
				panic(fmt.Sprintf("flag %s of %s: %v", f.Name, cmd.Name(), err))
			}
		}
	})
}

// helpCommand is cobra's, but for a command that does not exist: that is a usage error.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "tell what a command does and which flags it has",
		Args:  cobra.ArbitraryArgs,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) (words []cobra.Completion, _ cobra.ShellCompDirective) {
			of, _, err := cmd.Root().Find(args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			for _, c := range of.Commands() {
				if c.IsAvailableCommand() {
					words = append(words, cobra.CompletionWithDesc(c.Name(), c.Short))
				}
			}
			return words, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			of, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return usageError{of, nameOne(of, rest)}
			}
			of.InitDefaultHelpFlag()
			return of.Help()
		},
	}
}
