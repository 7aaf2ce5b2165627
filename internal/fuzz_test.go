package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// fewestSeeds is how many inputs are committed for a fuzz target at least: one that is taken, one that is refused, and
// one that a careless rewrite would get wrong.
const fewestSeeds = 3

// TestFuzzTargetsHaveSeeds: every fuzz target begins with inputs that somebody has thought of, each named for what it
// is, and .ci/run looks for targets rather than naming them.
func TestFuzzTargetsHaveSeeds(t *testing.T) {
	t.Parallel()
	targets := 0
	err := filepath.WalkDir("..", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, "_test.go") {
			return err
		}
		names, err := fuzzTargets(file)
		if err != nil {
			return err
		}
		for _, name := range names {
			targets++
			seeds := path.Join(filepath.ToSlash(filepath.Dir(file)), "testdata/fuzz", name)
			checkSeeds(t, seeds)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if targets == 0 {
		t.Fatal("there is no fuzz target")
	}
	ci, err := os.ReadFile("../.ci/run")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(ci), "go test -list '^Fuzz' ./...") {
		t.Error(".ci/run does not list the fuzz targets")
	}
}

// fuzzTargets are the names of the targets in a file.
func fuzzTargets(file string) (names []string, err error) {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Fuzz") {
			names = append(names, fn.Name.Name)
		}
	}
	return names, nil
}

func checkSeeds(t *testing.T, dir string) {
	t.Helper()
	seeds, err := os.ReadDir(dir)
	if err != nil || len(seeds) < fewestSeeds {
		t.Errorf("%s: %d seeds, %v; want %d at least", dir, len(seeds), err, fewestSeeds)
	}
	for _, s := range seeds {
		if hexName(s.Name()) {
			t.Errorf("%s/%s: name it for what it is", dir, s.Name())
		}
	}
}

// hexName reports whether a seed has the name that go test gave it.
func hexName(name string) bool {
	return len(name) == 16 && strings.Trim(name, "0123456789abcdef") == ""
}
