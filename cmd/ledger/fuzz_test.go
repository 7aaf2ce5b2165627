package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// FuzzConfig reads a flag and a configuration file. What is taken has no key that is not a setting, the flag counts
// before the file, and what came of it, printed and read again, is the same.
func FuzzConfig(f *testing.F) {
	path := filepath.Join(f.TempDir(), "ledger.yaml")
	// read is every setting's value, from a flag and a file.
	read := func(t *testing.T, argument string, text []byte) (map[string]string, error) {
		t.Helper()
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		var c config
		all := c.settings()
		all.Usage = func() {}
		if err := all.Parse([]string{argument}); err != nil {
			return nil, err
		}
		if err := errors.Join(fromFile(all, path)...); err != nil {
			return nil, err
		}
		_ = c.check() // must not panic
		c = c.withDefaults()
		values := map[string]string{}
		all.VisitAll(func(f *pflag.Flag) { values[f.Name] = f.Value.String() })
		return values, nil
	}
	f.Fuzz(func(t *testing.T, argument string, text []byte) {
		alone, refused := read(t, argument, nil)
		values, err := read(t, argument, text)
		if err != nil {
			return
		}
		if refused != nil {
			t.Fatalf("%q is refused alone and not beside a file: %v", argument, refused)
		}
		defaults, err := read(t, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range alone {
			if value != defaults[name] && values[name] != value {
				t.Fatalf("--%s is %q, the file made it %q", name, value, values[name])
			}
		}
		var keys map[string]any
		if err := yaml.Unmarshal(text, &keys); err != nil {
			t.Fatalf("taken, and no YAML: %v", err)
		}
		for key := range keys {
			if _, known := values[key]; !known {
				t.Fatalf("key %q is taken", key)
			}
		}
		printed, err := yaml.Marshal(values)
		if err != nil {
			t.Fatal(err)
		}
		again, err := read(t, "", printed)
		if err != nil {
			t.Fatalf("printed and refused: %v\n%s", err, printed)
		}
		if diff := cmp.Diff(values, again); diff != "" {
			t.Errorf("there and back (-there +back):\n%s", diff)
		}
	})
}
