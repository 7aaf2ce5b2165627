package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// redacted stands for a secret.
const redacted = "(secret)"

func configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "check, show or begin a configuration",
		Long: `A setting of "ledger serve" is a flag (--data-dir), a variable
(LEDGER_DATA_DIR, or LEDGER_DATA_DIR_FILE for a file that holds nothing else
and that only its owner may read), or a key in the YAML file that --config or
LEDGER_CONFIG names (data-dir). The flag counts before the variable, and the
variable before the file.`,
	}
	cmd.AddCommand(configCheckCommand(), configPrintCommand(), configExampleCommand())
	return cmd
}

func configCheckCommand() *cobra.Command {
	var cfg config
	cmd := &cobra.Command{
		Use:   "check",
		Short: "check the settings, and tell which of them came from where",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cfg.check(); err != nil {
				return err
			}
			var rows [][]any
			for _, f := range settingsOf(cmd) {
				if from := originOf(f); from != "default" {
					rows = append(rows, []any{f.Name, from})
				}
			}
			table(cmd.OutOrStdout(), "nothing is set, everything has its default", []any{"SETTING", "FROM"}, rows)
			fmt.Fprintln(cmd.OutOrStdout(), "the configuration is good")
			return nil
		},
	}
	cfg.flags(cmd.Flags())
	return cmd
}

func configPrintCommand() *cobra.Command {
	var cfg config
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "print",
		Short: "print the settings that \"serve\" would have, each with its origin",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cfg.check(); err != nil {
				return err
			}
			cfg = cfg.withDefaults() // the flags look into cfg
			return printSettings(cmd.OutOrStdout(), settingsOf(cmd), asJSON)
		},
	}
	cfg.flags(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func configExampleCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "example",
		Short: "print a configuration file with every setting at its default",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return printExample(cmd.OutOrStdout(), new(config).settings())
		},
	}
}

// settingsOf are a command's flags that are settings.
func settingsOf(cmd *cobra.Command) (all []*pflag.Flag) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if noted(f, isSetting) {
			all = append(all, f)
		}
	})
	return all
}

// printSettings writes settings with their values and origins; of a secret only whether it is there.
func printSettings(w io.Writer, settings []*pflag.Flag, asJSON bool) error {
	type setting struct {
		Name  string `json:"name"`
		Value string `json:"value"`
		From  string `json:"from"`
	}
	var all []setting
	var rows [][]any
	for _, f := range settings {
		s := setting{f.Name, withoutSecret(f, f.Value.String()), originOf(f)}
		all = append(all, s)
		rows = append(rows, []any{s.Name, s.Value, s.From})
	}
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(all)
	}
	table(w, "there are no settings", []any{"SETTING", "VALUE", "FROM"}, rows)
	return nil
}

// printExample writes a configuration file in which every setting is explained.
func printExample(w io.Writer, settings *pflag.FlagSet) error {
	doc := &yaml.Node{Kind: yaml.MappingNode}
	settings.VisitAll(func(f *pflag.Flag) {
		doc.Content = append(doc.Content,
			&yaml.Node{Kind: yaml.ScalarNode, Value: f.Name, HeadComment: fmt.Sprintf("%s (%s)", f.Usage, variable(f.Name))},
			&yaml.Node{Kind: yaml.ScalarNode, Value: f.DefValue})
	})
	return yaml.NewEncoder(w).Encode(doc)
}
