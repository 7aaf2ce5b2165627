package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"ledger.internal/ledger/internal/aggregate"
)

// What is noted at a flag, beside what pflag knows of it.
const (
	isSetting = "ledger_setting" // it stands for a field of config, and the configuration file may give it
	isSecret  = "ledger_secret"  // its value is never printed
	isURL     = "ledger_url"     // its value is a log's URL, and a password in it is never printed
	oneOf     = "ledger_one_of"  // the values it can have
	origin    = "ledger_origin"  // where its value came from
)

func note(f *pflag.Flag, key string, values ...string) {
	if f.Annotations == nil {
		f.Annotations = map[string][]string{}
	}
	f.Annotations[key] = values
}

func noted(f *pflag.Flag, key string) bool {
	_, ok := f.Annotations[key]
	return ok
}

// originOf tells where a flag's value came from.
func originOf(f *pflag.Flag) string {
	if from := f.Annotations[origin]; len(from) > 0 {
		return from[0]
	}
	return "default"
}

// variable is a flag's name in the environment.
func variable(name string) string {
	return "LEDGER_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// fill gives the flags that the command line leaves alone their values: from the environment and then, those that are
// settings, from the configuration file. It tells all that is wrong at once.
func fill(cmd *cobra.Command, _ []string) error {
	flags := cmd.Flags()
	flags.Visit(func(f *pflag.Flag) { note(f, origin, "--"+f.Name) })
	errs := fromEnvironment(flags)
	if file := flags.Lookup("config"); file != nil {
		errs = append(errs, unknownVariables(cmd.Root(), os.Environ())...)
		errs = append(errs, fromFile(flags, file.Value.String())...)
	}
	return errors.Join(errs...)
}

// fromEnvironment takes LEDGER_<NAME>, or what is in the file that LEDGER_<NAME>_FILE names. An empty variable is one
// that is not set: that is how many tools write "none".
func fromEnvironment(flags *pflag.FlagSet) (errs []error) {
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed {
			return
		}
		name := variable(f.Name)
		value, path := os.Getenv(name), os.Getenv(name+"_FILE")
		switch {
		case path == "" || f.Name == "config":
		case value != "":
			errs = append(errs, configError{aggregate.InvalidField(name, "CONFIG_TWICE", "%s_FILE is set as well", name)})
			return
		default:
			var err error
			if value, err = readSecret(path); err != nil {
				errs = append(errs, configError{aggregate.InvalidField(name+"_FILE", "SECRET_FILE", "%v", err)})
				return
			}
			name += "_FILE"
		}
		if value != "" {
			errs = append(errs, set(flags, f.Name, value, name))
		}
	})
	return errs
}

// readSecret reads a value from a file of its own, which nobody but its owner may touch. Editors end a file with a
// newline that does not belong to the secret.
func readSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return "", fmt.Errorf("%s is open to others (mode %04o): chmod 600 %s", path, mode, path)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return "", err
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if value == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return value, nil
}

// set gives a flag a value that came from somewhere else than the command line.
func set(flags *pflag.FlagSet, name, value, from string) error {
	f := flags.Lookup(name)
	if err := flags.Set(name, value); err != nil {
		return configError{aggregate.InvalidField(from, "CONFIG_INVALID", "%q is not %s", withoutSecret(f, value), allowed(f))}
	}
	note(f, origin, from)
	return nil
}

// withoutSecret is a flag's value as everybody may see it.
func withoutSecret(f *pflag.Flag, value string) string {
	if noted(f, isURL) && value != "" {
		p, err := placeOf(value, "")
		if err != nil {
			return redacted
		}
		return p.String()
	}
	if noted(f, isSecret) && value != "" {
		return redacted
	}
	return value
}

// hasSecret reports whether a value is not for others.
func hasSecret(f *pflag.Flag, value string) bool {
	if noted(f, isURL) {
		p, err := placeOf(value, "")
		return err == nil && p.at.Secret()
	}
	return noted(f, isSecret) && value != ""
}

// allowed says what values a flag takes.
func allowed(f *pflag.Flag) string {
	if v, ok := f.Value.(interface{ allowed() string }); ok {
		return v.allowed()
	}
	switch kind := f.Value.Type(); kind {
	case "bool":
		return "true or false"
	case "duration":
		return "a duration like 30s or 5m"
	case "int", "int64", "uint64":
		return "a whole number"
	default:
		return "a " + kind
	}
}

// unknownVariables finds variables that nothing will ever read: a LEDGER_DATADIR that is passed over in silence opens
// another ledger than the one that was meant. The flags of all commands are known, for one environment may serve them
// all.
func unknownVariables(root *cobra.Command, environ []string) (errs []error) {
	known := variables(root)
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "LEDGER_") || value == "" || foreign(name) {
			continue
		}
		if !slices.Contains(known, strings.TrimSuffix(name, "_FILE")) && !slices.Contains(known, name) || name == variable("config")+"_FILE" {
			errs = append(errs, unknownKey("the environment", name, known))
		}
	}
	return errs
}

// variables are the names that a command, and those below it, read from the environment.
func variables(cmd *cobra.Command) (names []string) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, variable(f.Name)) })
	for _, c := range cmd.Commands() {
		names = append(names, variables(c)...)
	}
	return names
}

// serviceLink are the variables that Kubernetes gives to every container for a service named ledger, or ledger-….
var serviceLink = regexp.MustCompile(`^LEDGER_(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_\d+_.+)?)$`)

// foreign reports whether a variable that begins like ours is no setting: it is for Kubernetes, for our tests, or for
// the fail points of a build that has some.
func foreign(name string) bool {
	return strings.HasPrefix(name, "LEDGER_TEST_") || name == failPointVariable || serviceLink.MatchString(name)
}

func unknownKey(where, name string, known []string) error {
	return configError{aggregate.InvalidField(where, "CONFIG_UNKNOWN_KEY", "there is no %s%s", name, didYouMean(name, known))}
}

// fromFile takes settings from the configuration file. Every key and value in it is checked, also those that this
// command has no use for.
func fromFile(flags *pflag.FlagSet, path string) (errs []error) {
	if path == "" {
		return nil
	}
	given, err := readConfig(path)
	if err != nil {
		return []error{configError{aggregate.InvalidField(path, "CONFIG_FILE", "%v", err)}}
	}
	all := new(config).settings()
	for _, l := range given {
		known := all.Lookup(l.key)
		if known == nil {
			errs = append(errs, unknownKey(l.at(), l.key, names(all)))
			continue
		}
		if err := set(all, l.key, l.value, l.at()+", "+l.key); err != nil {
			errs = append(errs, err)
			continue
		}
		if hasSecret(known, l.value) && l.open {
			errs = append(errs, configError{aggregate.InvalidField(l.at(), "SECRET_FILE", "%s holds a secret, and the file is open to others: chmod 600 %s", l.key, path)})
			continue
		}
		if f := flags.Lookup(l.key); f != nil && noted(f, isSetting) && !f.Changed && l.value != "" {
			errs = append(errs, set(flags, l.key, l.value, l.at()))
		}
	}
	return errs
}

func names(flags *pflag.FlagSet) (all []string) {
	flags.VisitAll(func(f *pflag.Flag) { all = append(all, f.Name) })
	return all
}

// line is a setting in the configuration file.
type line struct {
	key, value, file string
	number           int
	open             bool // others can read the file
}

func (l line) at() string { return fmt.Sprintf("%s, line %d", l.file, l.number) }

// readConfig reads a configuration file: YAML, because it takes comments and its reader tells where a key stands. Of
// YAML it is only one plain list of keys with single values.
func readConfig(path string) ([]line, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	var doc, more yaml.Node
	in := yaml.NewDecoder(bytes.NewReader(text))
	if err := in.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil // nothing but comments
	} else if err != nil {
		return nil, err
	}
	if err := in.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, cmp.Or(err, errors.New("it holds more than one document"))
	}
	return lines(path, doc.Content[0], info.Mode().Perm()&0o077 != 0)
}

func lines(path string, n *yaml.Node, open bool) (all []line, err error) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return nil, nil
	}
	if n.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: write settings like data-dir: /var/lib/ledger", n.Line)
	}
	seen := map[string]int{}
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		l := line{key: key.Value, value: value.Value, file: path, number: key.Line, open: open}
		if key.Kind != yaml.ScalarNode || value.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("line %d: %s takes a single value", key.Line, cmp.Or(l.key, "a key"))
		}
		if first := seen[l.key]; first > 0 {
			return nil, fmt.Errorf("line %d: %s stands on line %d too", l.number, l.key, first)
		}
		if value.Tag == "!!null" {
			l.value = ""
		}
		seen[l.key] = l.number
		all = append(all, l)
	}
	return all, nil
}
