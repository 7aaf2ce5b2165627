package main

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"pgregory.net/rapid"
)

// Every field of config can be set in every way, is explained, and is printed with its origin.
func TestEverySetting(t *testing.T) {
	docs := fieldDocs(t)
	samples := map[reflect.Kind]string{reflect.String: "x", reflect.Bool: "true", reflect.Int64: "7s"}
	of := reflect.TypeFor[config]()
	for i := range of.NumField() {
		if of.Field(i).Name == "Gateways" {
			continue // TestSettingsOfGateways
		}
		t.Run(of.Field(i).Name, func(t *testing.T) {
			var c config
			all := c.settings()
			f := flagOf(all, reflect.ValueOf(&c).Elem().Field(i).Addr().Pointer())
			if f == nil {
				t.Fatal("it has no flag")
			}
			if docs[of.Field(i).Name] == "" || f.Usage == "" || !noted(f, isSetting) {
				t.Errorf("doc %q, usage %q, setting %t; want all of them", docs[of.Field(i).Name], f.Usage, noted(f, isSetting))
			}
			value := samples[of.Field(i).Type.Kind()]
			if noted(f, isURL) {
				value = "esdb://db1:2113?tls=false"
			}
			if value == "" {
				t.Fatalf("add a sample of a %s", of.Field(i).Type)
			}
			t.Setenv(variable(f.Name), value)
			for _, err := range fromEnvironment(all) {
				if err != nil {
					t.Fatal(err)
				}
			}
			var out bytes.Buffer
			if err := printSettings(&out, []*pflag.Flag{f}, false); err != nil {
				t.Fatal(err)
			}
			want := value
			if noted(f, isSecret) {
				want = redacted
			}
			row := strings.Fields(strings.Split(out.String(), "\n")[1])
			if got := strings.Join(row, " "); got != f.Name+" "+want+" "+variable(f.Name) {
				t.Errorf("printed as %q, want its name, the value %q and its origin", got, want)
			}
		})
	}
}

// A gateway's settings are settings like all others, under its name; what is secret of them is never printed.
func TestSettingsOfGateways(t *testing.T) {
	t.Parallel()
	var c config
	all, seen := c.settings(), 0
	for name, kind := range c.Gateways {
		for _, s := range kind.Settings() {
			seen++
			f := all.Lookup(s.Name)
			if f == nil || !noted(f, isSetting) || !strings.HasPrefix(s.Name, name+"-") || s.Usage == "" {
				t.Errorf("%s of %s: want a setting under the gateway's name that says what it is", s.Name, name)
				continue
			}
			if err := f.Value.Set("canary"); err != nil || *s.Value != "canary" {
				t.Errorf("%s: set to %q, %v", s.Name, *s.Value, err)
			}
			if shown := withoutSecret(f, "canary"); (shown == redacted) != s.Secret {
				t.Errorf("%s is shown as %q, and is secret: %v", s.Name, shown, s.Secret)
			}
		}
	}
	if seen == 0 {
		t.Error("no gateway has a setting")
	}
}

// fieldDocs are the comments of config's fields.
func fieldDocs(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	docs := map[string]string{}
	for n := range ast.Preorder(file) {
		if s, ok := n.(*ast.TypeSpec); ok && s.Name.Name == "config" {
			for _, f := range s.Type.(*ast.StructType).Fields.List {
				for _, name := range f.Names {
					docs[name.Name] = f.Doc.Text()
				}
			}
		}
	}
	return docs
}

// flagOf is the flag whose value lies at an address.
func flagOf(all *pflag.FlagSet, field uintptr) (found *pflag.Flag) {
	all.VisitAll(func(f *pflag.Flag) {
		if reflect.ValueOf(f.Value).Pointer() == field {
			found = f
		}
	})
	return found
}

func TestZeroMeansDefault(t *testing.T) {
	t.Parallel()
	var standard config
	standard.settings()
	if got := (config{}).withDefaults(); !reflect.DeepEqual(got, standard) {
		t.Errorf("config{} is %+v, want %+v", got, standard)
	}
	if got := (config{DataDir: "mine"}).withDefaults(); got.DataDir != "mine" || got.GRPC != standard.GRPC {
		t.Errorf("got %+v, want my directory and the rest as it comes", got)
	}
	if err := (&config{}).check(); err != nil {
		t.Errorf("config{} is refused: %v", err)
	}
}

// printed is what "config print" says, by setting: the value and its origin.
func printed(t *testing.T, args ...string) map[string][2]string {
	t.Helper()
	code, out, errs := inMemory(append([]string{"config", "print", "--json"}, args...)...)
	if code != 0 {
		t.Fatalf("exit %d, stderr %q", code, errs)
	}
	var all []struct{ Name, Value, From string }
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		t.Fatal(err)
	}
	settings := map[string][2]string{}
	for _, s := range all {
		settings[s.Name] = [2]string{s.Value, s.From}
	}
	return settings
}

func write(t *testing.T, mode os.FileMode, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.yaml")
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	return path
}

func TestPrecedence(t *testing.T) {
	file := write(t, 0o644, "# mine\ndata-dir: from-file\ngrpc: 127.0.0.1:1\nhttp: 127.0.0.1:1\ngateway-timeout: 7s\nclock-start:\n")
	t.Setenv("LEDGER_CONFIG", file)
	t.Setenv("LEDGER_GRPC", "127.0.0.1:2")
	t.Setenv("LEDGER_HTTP", "127.0.0.1:2")
	t.Setenv("LEDGER_ADMIN_FILE", write(t, 0o600, "127.0.0.1:2\n"))
	t.Setenv("LEDGER_QUIET", "")
	got := printed(t, "--http=127.0.0.1:3")
	for name, want := range map[string][2]string{
		"data-dir":        {"from-file", file + ", line 2"},
		"grpc":            {"127.0.0.1:2", "LEDGER_GRPC"},
		"http":            {"127.0.0.1:3", "--http"},
		"admin":           {"127.0.0.1:2", "LEDGER_ADMIN_FILE"},
		"gateway-timeout": {"7s", file + ", line 5"},
		"clock-start":     {"", "default"},
		"quiet":           {"false", "default"},
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if got, want := printed(t, "--http=")["http"], [2]string{"127.0.0.1:8080", "--http"}; got != want {
		t.Errorf("an empty http is printed as %q, want the default that it means: %q", got, want)
	}
	code, out, _ := inMemory("config", "check")
	if code != 0 || !strings.Contains(out, file+", line 2") || !strings.Contains(out, "LEDGER_ADMIN_FILE") {
		t.Errorf("exit %d, stdout %q; want 0 and where the settings came from", code, out)
	}
}

func TestConfigExample(t *testing.T) {
	t.Parallel()
	code, out, _ := inMemory("config", "example")
	if code != 0 {
		t.Fatalf("exit %d", code)
	}
	var standard config
	standard.settings().VisitAll(func(f *pflag.Flag) {
		if !strings.Contains(out, f.Usage) {
			t.Errorf("%s is not explained in\n%s", f.Name, out)
		}
	})
	for name, got := range printed(t, "--config", write(t, 0o644, out)) {
		if want := standard.settings().Lookup(name).DefValue; got[0] != want {
			t.Errorf("the example sets %s to %q, want %q", name, got[0], want)
		}
	}
}

func TestConfigFile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, says string }{
		"a misspelt key":          {"quiet: true\ndata_dir: here\n", `line 2: there is no data_dir; did you mean data-dir? (CONFIG_UNKNOWN_KEY)`},
		"a key like nothing":      {"frobnication: 1\n", "there is no frobnication (CONFIG_UNKNOWN_KEY)"},
		"no duration":             {"gateway-timeout: soon\n", `line 1, gateway-timeout: "soon" is not a duration like 30s or 5m (CONFIG_INVALID)`},
		"a number for a duration": {"gateway-timeout: 30\n", `"30" is not a duration like 30s or 5m`},
		"no bool":                 {"quiet: maybe\n", `"maybe" is not true or false`},
		"a value out of place":    {"grpc: 0.0.0.0:9090\n", `--grpc: "0.0.0.0:9090": only loopback`},
		"a list":                  {"grpc: [1, 2]\n", "line 1: grpc takes a single value (CONFIG_FILE)"},
		"no mapping":              {"- grpc\n", "write settings like data-dir:"},
		"a key twice":             {"quiet: true\nquiet: false\n", "line 2: quiet stands on line 1 too"},
		"two documents":           {"quiet: true\n---\nquiet: false\n", "more than one document"},
		"no YAML":                 {"quiet: [\n", "CONFIG_FILE"},
		"all that is wrong":       {"qiet: true\ngateway-timeout: soon\n", "soon"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out, errs := inMemory("config", "check", "--config", write(t, 0o644, c.text))
			if code != 2 || out != "" || !strings.Contains(errs, c.says) {
				t.Errorf("exit %d, stdout %q, stderr %q; want 2, nothing and %q", code, out, errs, c.says)
			}
		})
	}
	for name, text := range map[string]string{"empty": "", "comments": "# nothing\n", "null": "---\n"} {
		if code, _, errs := inMemory("config", "check", "--config", write(t, 0o644, text)); code != 0 {
			t.Errorf("%s: exit %d, stderr %q; want 0", name, code, errs)
		}
	}
	if code, _, errs := inMemory("config", "check", "--config=nowhere.yaml"); code != 2 || !strings.Contains(errs, "CONFIG_FILE") {
		t.Errorf("a missing file: exit %d, stderr %q; want 2 and CONFIG_FILE", code, errs)
	}
}

func TestUnknownVariables(t *testing.T) {
	t.Parallel()
	for pair, want := range map[string]string{
		"LEDGER_DATADIR=x":                    "LEDGER_DATADIR; did you mean LEDGER_DATA_DIR?",
		"LEDGER_CONFIG_FILE=x":                "LEDGER_CONFIG_FILE; did you mean LEDGER_CONFIG?",
		"LEDGER_DATA_DIR=x":                   "",
		"LEDGER_GRPC_FILE=x":                  "",
		"LEDGER_MERCHANT=x":                   "", // a flag of another command
		"LEDGER_DATADIR=":                     "",
		"LEDGER_TEST_SEED=1":                  "",
		"LEDGER_PORT=tcp://10.0.0.1:80":       "",
		"LEDGER_SERVICE_HOST=10.0.0.1":        "",
		"LEDGER_API_PORT_9090_TCP_PROTO=tcp":  "",
		"LEDGER_API_SERVICE_PORT_GRPC=9090":   "",
		"LEDGERS_OF_OTHERS=x":                 "",
		"LEDGER_SERVICE=x":                    "LEDGER_SERVICE",
		"LEDGER_GATEWAY_TIME_OUT=30s":         "did you mean LEDGER_GATEWAY_TIMEOUT?",
		"LEDGER_GATEWAY_TIMEOUT_FILE=/a/file": "",
	} {
		errs := unknownVariables(root(), []string{"PATH=/bin", pair})
		switch {
		case want == "" && len(errs) > 0:
			t.Errorf("%s: got %v, want no error", pair, errs)
		case want != "" && (len(errs) != 1 || !strings.Contains(errs[0].Error(), want) || !strings.Contains(errs[0].Error(), "CONFIG_UNKNOWN_KEY")):
			t.Errorf("%s: got %v, want CONFIG_UNKNOWN_KEY with %q", pair, errs, want)
		}
	}
}

func TestSecretFile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path string
		want string
		says string
	}{
		"a line":             {write(t, 0o600, "hush\n"), "hush", ""},
		"no newline":         {write(t, 0o400, "hush"), "hush", ""},
		"a line of Windows":  {write(t, 0o600, "hush\r\n"), "hush", ""},
		"more than one line": {write(t, 0o600, "hu\nsh\n\n"), "hu\nsh\n", ""},
		"nothing":            {write(t, 0o600, ""), "", "is empty"},
		"an empty line":      {write(t, 0o600, "\n"), "", "is empty"},
		"the group can read": {write(t, 0o640, "hush\n"), "", "mode 0640"},
		"all can read":       {write(t, 0o604, "hush\n"), "", "chmod 600"},
		"nowhere":            {"nowhere", "", "no such file"},
		"a directory":        {".", "", "mode"},
	} {
		got, err := readSecret(c.path)
		if got != c.want || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %q, %v; want %q and an error with %q", name, got, err, c.want, c.says)
		}
		if err != nil && strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v tells the secret", name, err)
		}
	}
}

// A secret is never printed, wherever it came from and whatever is wrong with it.
func TestSecretsAreRedacted(t *testing.T) {
	var limit int
	var key string
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.StringVar(&key, "api-key", "", "")
	flags.IntVar(&limit, "pin", 0, "")
	note(flags.Lookup("api-key"), isSecret)
	note(flags.Lookup("pin"), isSecret)
	t.Setenv("LEDGER_API_KEY_FILE", write(t, 0o600, "hush\n"))
	t.Setenv("LEDGER_PIN", "hush")
	errs := fromEnvironment(flags)
	if key != "hush" {
		t.Errorf("the key is %q, want what the file says", key)
	}
	var out bytes.Buffer
	if err := printSettings(&out, []*pflag.Flag{flags.Lookup("api-key")}, true); err != nil {
		t.Fatal(err)
	}
	for _, err := range errs {
		if err != nil {
			out.WriteString(err.Error())
		}
	}
	if text := out.String(); strings.Contains(text, "hush") || !strings.Contains(text, "LEDGER_API_KEY_FILE") || !strings.Contains(text, `LEDGER_PIN: "(secret)" is not a whole number`) {
		t.Errorf("got %s, want the origins without the values", text)
	}
	t.Setenv("LEDGER_API_KEY", "hush")
	if errs := fromEnvironment(pflagWith("api-key")); len(errs) != 1 || !strings.Contains(errs[0].Error(), "CONFIG_TWICE") {
		t.Errorf("got %v for a variable and its file, want CONFIG_TWICE", errs)
	}
}

func pflagWith(name string) *pflag.FlagSet {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.String(name, "", "")
	return flags
}

func TestDidYouMean(t *testing.T) {
	t.Parallel()
	known := []string{"data-dir", "grpc", "gateway-timeout"}
	for word, want := range map[string]string{
		"datadir": "; did you mean data-dir?", "grcp": "; did you mean grpc?", "gateway_time_out": "; did you mean gateway-timeout?",
		"frobnicate": "", "x": "",
	} {
		if got := didYouMean(word, known); got != want {
			t.Errorf("didYouMean(%q) = %q, want %q", word, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching("[a-c]{0,6}")
		a, b, c := word.Draw(t, "a"), word.Draw(t, "b"), word.Draw(t, "c")
		if d := distance(a, b); d != distance(b, a) || (d == 0) != (a == b) || d > distance(a, c)+distance(c, b) {
			t.Fatalf("distance(%q, %q) = %d is no distance", a, b, d)
		}
	})
}
