// Package internal_test checks who imports whom: the two tables below, on every file that is not a test.
package internal_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const module = "ledger.internal/ledger/"

// A layer says what the packages of a directory may import of ours, and what of the world they must not touch. In
// all patterns "x/..." is x and everything below it.
type layer struct {
	dir    string
	may    []string // packages of ours
	no     []string // packages of others
	pure   bool     // besides, nothing of impure, and no look at the clock
	except []string // from impure
}

const (
	api      = "api/proto/..."
	decision = "internal/aggregate"
	memory   = "internal/aggregate/event"
)

// impure are the packages by which the world gets in: decisions and what they lean on are functions of values.
var impure = []string{
	"context", "database/sql/...", "net", "net/http/...", "net/netip", "net/rpc/...", "net/smtp", "os/...", "io/ioutil",
	"log/...", "syscall", "math/rand/...", "crypto/rand", "embed", "testing/...",
}

// layers is read from the top; the first row that fits a package counts, and each package needs one.
var layers = []layer{
	{dir: "cmd/...", may: []string{"..."}},
	{dir: "internal/sim/...", may: []string{"..."}},
	{dir: api, may: []string{api}},
	{dir: "api/openapi"},
	{dir: "api/openapi/gen", may: []string{"internal/adapters/rpc", api}},

	// Suites and histories that tests share.
	{dir: "internal/aggregate/event/storetest", may: []string{memory, api}},
	{dir: "internal/aggregate/aggregatetest", may: []string{"internal/aggregate/...", api}},

	{dir: memory, may: []string{api}, pure: true, except: []string{"context"}},
	// The runner waits a random moment before it decides anew.
	{dir: decision, may: []string{memory, api}, pure: true, except: []string{"context", "math/rand/..."}},
	{dir: "internal/aggregate/text", pure: true},
	{dir: "internal/aggregate/country", pure: true},
	{dir: "internal/aggregate/money", may: []string{decision, api}, pure: true},
	{dir: "internal/aggregate/calendar", may: []string{decision, api}, pure: true},
	// The allocator waits for a reservation.
	{dir: "internal/aggregate/numbers", may: []string{decision, memory, api}, pure: true, except: []string{"context"}},
	// The nouns and the journal. They do not know of each other.
	{dir: "internal/aggregate/...", pure: true, may: []string{
		decision, memory, api, "internal/aggregate/money", "internal/aggregate/calendar",
		"internal/aggregate/text", "internal/aggregate/country",
	}},

	{dir: "internal/projection/...", may: []string{
		decision, memory, api, "internal/aggregate/money", "internal/aggregate/journal", "internal/projection/...",
	}, no: []string{"net/http/...", "database/sql/..."}},

	// Besides, a package may import those above and below it in its own adapter: siblings never know of each other,
	// and so one gateway never knows of another.
	{dir: "internal/adapters/...", may: []string{
		"internal/projection/...", "internal/aggregate/...", api, "api/openapi",
		"internal/adapters/gateway", "internal/adapters/bus", "internal/adapters/db", "internal/adapters/work",
		"internal/adapters/clock", "internal/adapters/auth", "internal/adapters/keys", "internal/adapters/connect", "internal/adapters/plainpage",
	}},
}

// doors says which packages may import what others have made: one door per dependency.
var doors = map[string][]string{
	"modernc.org/...":                                  {"internal/adapters/db/..."},
	"github.com/jackc/...":                             {"internal/adapters/db/..."},
	"github.com/pressly/goose/...":                     {"internal/adapters/db/..."},
	"database/sql/...":                                 {"internal/adapters/db/...", "internal/adapters/eventstore/sqlite"},
	"github.com/EventStore/...":                        {"internal/adapters/eventstore/esdb/..."},
	"github.com/ThreeDotsLabs/...":                     {"internal/adapters/bus/..."},
	"github.com/grpc-ecosystem/grpc-gateway/...":       {"internal/adapters/rpc/...", api},
	"github.com/grpc-ecosystem/go-grpc-middleware/...": {"internal/adapters/rpc/..."},
	"google.golang.org/grpc/...": {
		"internal/adapters/rpc/...", "internal/adapters/auth/...", "internal/adapters/eventstore/esdb/...", api, "cmd/...", "internal/sim/...",
	},
	"html/template":                          {"internal/adapters/console/...", "internal/adapters/docs", "internal/adapters/gateway/sandbox", "internal/adapters/plainpage"},
	"text/template":                          {},
	"github.com/stripe/...":                  {"internal/adapters/gateway/stripe"},
	"github.com/standard-webhooks/...":       {"internal/adapters/ipn/...", "cmd/ledger"}, // signs; and the demo's receiver verifies
	"code.dny.dev/ssrf":                      {"internal/adapters/ipn/..."},
	"github.com/sony/gobreaker/...":          {"internal/adapters/gateway"},
	"golang.org/x/time/...":                  {"internal/adapters/gateway"},
	"github.com/bojanz/currency":             {"internal/aggregate/money"},
	"github.com/coreos/go-oidc/...":          {"internal/adapters/auth/..."},
	"github.com/tink-crypto/...":             {"internal/adapters/keys/...", "internal/adapters/seal"},
	"github.com/hashicorp/vault/...":         {"internal/adapters/seal"},
	"github.com/parquet-go/...":              {"internal/adapters/export"},
	"github.com/xuri/...":                    {"internal/adapters/export"},
	"github.com/spf13/...":                   {"cmd/ledger"},
	"github.com/lmittmann/tint":              {"cmd/ledger"},
	"github.com/schollz/progressbar/...":     {"cmd/ledger"},
	"go.yaml.in/yaml/...":                    {"cmd/ledger"},
	"go.opentelemetry.io/otel/sdk/...":       {"cmd/ledger"},
	"go.opentelemetry.io/otel/exporters/...": {"cmd/ledger"},
	"net/http/pprof":                         {"cmd/ledger"},
}

// testing tools belong into tests, into packages that tests share (their names end in "test"), and into the simulation.
var testingTools = []string{
	"testing/...", "net/http/httptest", "github.com/google/go-cmp/...", "pgregory.net/rapid", "go.uber.org/goleak",
	"github.com/rogpeppe/go-internal/...", "google.golang.org/protobuf/testing/...", "github.com/getkin/kin-openapi/...",
}

// readsClock are the functions of package time that tell now, or what this machine knows.
var readsClock = []string{"Now", "Since", "Until", "LoadLocation", "Local"}

func TestImports(t *testing.T) {
	t.Parallel()
	files, problems, err := check(os.DirFS(".."))
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		t.Fatal("got no files to check, want those of the module")
	}
	for _, p := range problems {
		t.Error(p)
	}
}

// check reads the module in tree and says how many files it looked at and what is wrong with them.
func check(tree fs.FS) (files int, problems []string, err error) {
	err = fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if skipped(tree, name) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		src, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files++
		for _, p := range checkFile(path.Dir(name), f) {
			problems = append(problems, name+": "+p)
		}
		return nil
	})
	return files, problems, err
}

// skipped are the folders that the go tool skips too: test data, hidden ones, and other modules.
func skipped(tree fs.FS, dir string) bool {
	base := path.Base(dir)
	if dir == "." {
		return false
	}
	if base == "testdata" || base == "vendor" || base[0] == '.' || base[0] == '_' {
		return true
	}
	_, err := fs.Stat(tree, path.Join(dir, "go.mod"))
	return err == nil
}

func checkFile(dir string, f *ast.File) (problems []string) {
	i := slices.IndexFunc(layers, func(l layer) bool { return matches(l.dir, dir) })
	if i < 0 {
		return []string{"no layer has " + dir}
	}
	l := layers[i]
	for _, spec := range f.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return append(problems, err.Error())
		}
		if our, ok := strings.CutPrefix(imported, module); ok {
			problems = append(problems, checkOurs(dir, l, our)...)
		} else {
			problems = append(problems, checkOthers(dir, l, imported)...)
		}
	}
	if l.pure {
		problems = append(problems, checkClock(f)...)
	}
	return problems
}

func checkOurs(dir string, l layer, imported string) []string {
	switch {
	case strings.HasSuffix(imported, "test") && !sharedByTests(dir) && !matches("cmd/...", dir):
		return []string{fmt.Sprintf("imports %s, which is for tests", imported)}
	case !anyMatches(l.may, imported) && !sameAdapter(dir, imported):
		return []string{fmt.Sprintf("imports %s, which %s may not", imported, l.dir)}
	}
	return nil
}

func checkOthers(dir string, l layer, imported string) (problems []string) {
	for _, dependency := range slices.Sorted(maps.Keys(doors)) {
		if matches(dependency, imported) && !anyMatches(doors[dependency], dir) {
			problems = append(problems, fmt.Sprintf("imports %s, whose doors are %v", imported, doors[dependency]))
		}
	}
	if anyMatches(testingTools, imported) && !sharedByTests(dir) {
		problems = append(problems, fmt.Sprintf("imports %s, which is for tests", imported))
	}
	if anyMatches(l.no, imported) || l.pure && anyMatches(impure, imported) && !anyMatches(l.except, imported) {
		problems = append(problems, fmt.Sprintf("imports %s, which %s must not", imported, l.dir))
	}
	return problems
}

// checkClock finds the uses of what readsClock lists.
func checkClock(f *ast.File) (problems []string) {
	name := ""
	for _, spec := range f.Imports {
		if spec.Path.Value != `"time"` {
			continue
		}
		name = "time"
		if spec.Name != nil {
			name = spec.Name.Name
		}
	}
	if name == "." {
		return []string{"imports time without its name, which hides looks at the clock"}
	}
	for n := range ast.Preorder(f) {
		s, ok := n.(*ast.SelectorExpr)
		if !ok || !slices.Contains(readsClock, s.Sel.Name) {
			continue
		}
		if x, ok := s.X.(*ast.Ident); ok && name != "" && x.Name == name {
			problems = append(problems, "uses time."+s.Sel.Name+"; the time is given to it")
		}
	}
	return problems
}

// sharedByTests reports whether a package is made for tests, as what stands below such a one is too.
func sharedByTests(dir string) bool {
	return strings.Contains(dir+"/", "test/") || matches("internal/sim/...", dir)
}

// sameAdapter reports whether one package stands above the other in one adapter's folder.
func sameAdapter(a, b string) bool {
	const adapters = "internal/adapters/"
	return strings.HasPrefix(a, adapters) && strings.HasPrefix(b, adapters) && (matches(a+"/...", b) || matches(b+"/...", a))
}

func anyMatches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, name) })
}

func matches(pattern, name string) bool {
	parent, below := strings.CutSuffix(pattern, "...")
	if !below {
		return pattern == name
	}
	return parent == "" || strings.HasPrefix(name+"/", parent)
}

func TestCheckFindsViolations(t *testing.T) {
	t.Parallel()
	importing := func(imports ...string) string {
		src := "package p\n"
		for _, i := range imports {
			src += "import _ " + strconv.Quote(i) + "\n"
		}
		return src
	}
	for name, c := range map[string]struct {
		file, src string
		want      string // part of the one problem; empty for none
	}{
		"a noun imports its tools": {
			"internal/aggregate/refund/a.go",
			importing(module+"internal/aggregate", module+"internal/aggregate/money", module+"api/proto/ledger/v1", "net/url", "time", "crypto/sha256"), "",
		},
		"a noun imports another": {
			"internal/aggregate/refund/a.go", importing(module + "internal/aggregate/merchant"), "imports internal/aggregate/merchant",
		},
		"a noun looks up": {
			"internal/aggregate/refund/a.go", importing(module + "internal/adapters/db"), "imports internal/adapters/db",
		},
		"a noun takes a context":     {"internal/aggregate/refund/a.go", importing("context"), "imports context"},
		"a noun reads files":         {"internal/aggregate/refund/a.go", importing("os"), "imports os"},
		"a noun dials":               {"internal/aggregate/refund/a.go", importing("net/http"), "imports net/http"},
		"a noun logs":                {"internal/aggregate/refund/a.go", importing("log/slog"), "imports log/slog"},
		"a noun rolls dice":          {"internal/aggregate/refund/a.go", importing("math/rand/v2"), "imports math/rand/v2"},
		"a noun makes secrets":       {"internal/aggregate/refund/a.go", importing("crypto/rand"), "imports crypto/rand"},
		"the numbers wait":           {"internal/aggregate/numbers/a.go", importing("context"), ""},
		"the runner dials":           {"internal/aggregate/a.go", importing("net"), "imports net"},
		"the runner knows a noun":    {"internal/aggregate/a.go", importing(module + "internal/aggregate/merchant"), "imports internal/aggregate/merchant"},
		"events know aggregates":     {"internal/aggregate/event/a.go", importing(module + "internal/aggregate"), "imports internal/aggregate"},
		"money formats":              {"internal/aggregate/money/a.go", importing("github.com/bojanz/currency"), ""},
		"a noun formats by itself":   {"internal/aggregate/refund/a.go", importing("github.com/bojanz/currency"), "whose doors are"},
		"a view opens a database":    {"internal/projection/a.go", importing(module + "internal/adapters/db"), "imports internal/adapters/db"},
		"an adapter opens one":       {"internal/adapters/ipn/a.go", importing(module + "internal/adapters/db"), ""},
		"an adapter brings a driver": {"internal/adapters/work/a.go", importing("modernc.org/sqlite"), "whose doors are"},
		"pgx comes in by the window": {"internal/adapters/eventstore/sqlite/a.go", importing("github.com/jackc/pgx/v5/stdlib"), "whose doors are"},
		"the command brings one":     {"cmd/ledger/a.go", importing("github.com/EventStore/EventStore-Client-Go/v4/esdb"), "whose doors are"},
		"the command wires":          {"cmd/ledger/a.go", importing(module+"internal/adapters/rpc", module+"internal/aggregate/merchant", "github.com/spf13/cobra"), ""},
		"Watermill spreads":          {"internal/adapters/process/a.go", importing("github.com/ThreeDotsLabs/watermill/message"), "whose doors are"},
		"a page in the sandbox":      {"internal/adapters/gateway/sandbox/a.go", importing("html/template"), ""},
		"a page elsewhere":           {"internal/adapters/rpc/a.go", importing("html/template"), "whose doors are"},
		"a gateway and the contract": {"internal/adapters/gateway/stripe/a.go", importing(module+"internal/adapters/gateway", "github.com/stripe/stripe-go/v85"), ""},
		"a gateway knows another":    {"internal/adapters/gateway/stripe/a.go", importing(module + "internal/adapters/gateway/paypal"), "imports internal/adapters/gateway/paypal"},
		"a transport charges":        {"internal/adapters/rpc/a.go", importing(module + "internal/adapters/process"), "imports internal/adapters/process"},
		"a double's own command":     {"internal/adapters/eventstore/esdb/esdbtest/esdbtestd/a.go", importing(module + "internal/adapters/eventstore/esdb/esdbtest"), ""},
		"an adapter and its double":  {"internal/adapters/eventstore/esdb/a.go", importing(module + "internal/adapters/eventstore/esdb/esdbtest"), "which is for tests"},
		"an adapter picks a log":     {"internal/adapters/process/a.go", importing(module + "internal/adapters/eventstore/memory"), "imports internal/adapters/eventstore/memory"},
		"a test's tool":              {"internal/adapters/process/a.go", importing("github.com/google/go-cmp/cmp"), "which is for tests"},
		"a test's package":           {"internal/adapters/process/a.go", importing(module + "internal/aggregate/aggregatetest"), "which is for tests"},
		"a suite uses them":          {"internal/adapters/gateway/gatewaytest/a.go", importing("testing", "net/http/httptest", module+"internal/adapters/gateway"), ""},
		"the contract knows us":      {"api/proto/ledger/v1/a.go", importing(module + "internal/aggregate"), "imports internal/aggregate"},
		"a package out of the map":   {"internal/util/a.go", importing(), "no layer has internal/util"},
		"a look at the clock":        {"internal/aggregate/refund/a.go", "package p\nimport \"time\"\nvar t = time.Now()\n", "uses time.Now"},
		"a look by another name":     {"internal/aggregate/refund/a.go", "package p\nimport clock \"time\"\nvar f = clock.Since\n", "uses time.Since"},
		"a look without a name":      {"internal/aggregate/refund/a.go", "package p\nimport . \"time\"\nvar t = Now()\n", "without its name"},
		"zone files":                 {"internal/aggregate/refund/a.go", "package p\nimport \"time\"\nvar l, _ = time.LoadLocation(\"UTC\")\n", "uses time.LoadLocation"},
		"somebody else's now":        {"internal/aggregate/refund/a.go", "package p\nvar t = c.Now()\n", ""},
		"the clock's own look":       {"internal/adapters/clock/a.go", "package p\nimport \"time\"\nvar t = time.Now()\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files, problems, err := check(fstest.MapFS{c.file: {Data: []byte(c.src)}})
			if err != nil || files != 1 {
				t.Fatalf("got %d files and error %v, want 1 file", files, err)
			}
			switch {
			case c.want == "" && len(problems) > 0:
				t.Errorf("got %q, want no problem", problems)
			case c.want != "" && (len(problems) != 1 || !strings.Contains(problems[0], c.want)):
				t.Errorf("got %q, want one problem that tells %q", problems, c.want)
			}
		})
	}
}

func TestCheckLooksAtWhatIsCompiledOnly(t *testing.T) {
	t.Parallel()
	bad := &fstest.MapFile{Data: []byte("package p\nimport _ \"modernc.org/sqlite\"\n")}
	files, problems, err := check(fstest.MapFS{
		"internal/projection/a_test.go":      bad,
		"internal/projection/testdata/a.go":  bad,
		"tools/go.mod":                       {Data: []byte("module tools\n")},
		"tools/a.go":                         bad,
		".hidden/a.go":                       bad,
		"internal/projection/notes.txt":      bad,
		"internal/projection/deeper/good.go": {Data: []byte("package p\n")},
	})
	if err != nil || files != 1 || len(problems) != 0 {
		t.Errorf("got %d files, %q and error %v; want 1 file and nothing else", files, problems, err)
	}
	if _, _, err := check(fstest.MapFS{"internal/a.go": {Data: []byte("no Go")}}); err == nil {
		t.Error("got no error for a file that is no Go, want one")
	}
}
