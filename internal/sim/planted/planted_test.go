// Package planted tests the simulation: it plants bugs in the ledger, one at a time, and the simulation has to find
// each of them.
//
// A bug is a row of the table bugs: a file, a text that stands in it once, and what would stand there instead. Only the
// compiler sees the changed file, as an overlay, so no file of the ledger ever carries a bug. A row whose text is no
// longer there fails, and so does one that does not compile: a bug that cannot be made any more proves nothing.
//
// To find a bug means that a world of some seed breaks a promise that no world breaks without it. The seeds are counted
// from the first, so that the same table takes the same seeds everywhere.
package planted

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// mostSeeds is how many seeds a bug may take to be found.
	mostSeeds = 6000
	// root is the module's, from here.
	root = "../../.."
	// simulation is the package whose tests find the bugs.
	simulation = "./internal/sim"
)

// bug is something wrong that can be made of the ledger.
type bug struct {
	name string // what is wrong, in plain words
	edit
	also []edit // where one change is not enough
	rare bool   // it takes a hundred seeds or more
}

// edit puts another text in the place of one that stands in a file once.
type edit struct {
	file     string // from the module's root
	old, new string
}

func (b bug) edits() []edit { return append([]edit{b.edit}, b.also...) }

// changed are the files that a bug changes, as they would be.
func (b bug) changed() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, e := range b.edits() {
		text, ok := files[e.file]
		if !ok {
			var err error
			if text, err = os.ReadFile(filepath.Join(root, e.file)); err != nil {
				return nil, err
			}
		}
		if n := bytes.Count(text, []byte(e.old)); n != 1 {
			return nil, fmt.Errorf("this stands in %s %d times and not once:\n%s", e.file, n, e.old)
		}
		files[e.file] = bytes.Replace(text, []byte(e.old), []byte(e.new), 1)
	}
	return files, nil
}

// The table fits the ledger as it is now.
func TestTable(t *testing.T) {
	t.Parallel()
	if len(bugs) == 0 {
		t.Fatal("there are no bugs")
	}
	names := map[string]bool{}
	for _, b := range bugs {
		if names[b.name] {
			t.Errorf("two bugs are named %q", b.name)
		}
		names[b.name] = true
		files, err := b.changed()
		if err != nil {
			t.Errorf("%s: %v", b.name, err)
		}
		for name, text := range files {
			if !strings.HasSuffix(name, ".go") {
				continue
			}
			if _, err := parser.ParseFile(token.NewFileSet(), name, text, 0); err != nil {
				t.Errorf("%s: %v", b.name, err)
			}
		}
	}
}

// Every bug is found, and without a bug nothing is. LEDGER_TEST_PLANTED has it run, but for the rare ones: those are
// looked for if it is "all". "make planted" sets it.
func TestPlanted(t *testing.T) {
	if os.Getenv("LEDGER_TEST_PLANTED") == "" {
		t.Skip("it takes minutes: set LEDGER_TEST_PLANTED, or make planted")
	}
	began := time.Now()
	wanted := bugs
	if os.Getenv("LEDGER_TEST_PLANTED") != "all" {
		wanted = slices.DeleteFunc(slices.Clone(bugs), func(b bug) bool { return b.rare })
	}
	var mu sync.Mutex
	var all []finding
	t.Run("bugs", func(t *testing.T) {
		for _, b := range wanted {
			t.Run(b.name, func(t *testing.T) {
				t.Parallel()
				f := b.find(t)
				t.Logf("seed %d: %s", f.seed, f.violation)
				mu.Lock()
				defer mu.Unlock()
				all = append(all, f)
			})
		}
	})
	if len(all) == 0 {
		return // none was asked for
	}
	slices.SortFunc(all, func(a, b finding) int { return a.seed - b.seed })
	last := all[len(all)-1]
	t.Run("control", func(t *testing.T) {
		if f, found := search(t, build(t, nil), last.seed); found {
			t.Errorf("without any bug, seed %d fails: %s", f.seed, f.violation)
		}
	})
	fmt.Printf("planted bugs: %d of %d found, median %d seeds, most %d (%s), %v\n",
		len(all), len(wanted), all[len(all)/2].seed, last.seed, last.bug, time.Since(began).Round(time.Second))
}

// finding is how a bug was found.
type finding struct {
	bug       string
	seed      int // the first that fails
	violation string
}

// find has the simulation look for a bug.
func (b bug) find(t *testing.T) finding {
	t.Helper()
	files, err := b.changed()
	if err != nil {
		t.Fatal(err)
	}
	f, found := search(t, build(t, files), mostSeeds)
	if !found {
		t.Fatalf("not found in %d seeds", mostSeeds)
	}
	f.bug = b.name
	return f
}

// build compiles the simulation with some files changed, and returns the program.
func build(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for name, text := range files {
		original, err := filepath.Abs(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		planted := filepath.Join(dir, strconv.Itoa(len(overlay.Replace))+filepath.Ext(name))
		if err := os.WriteFile(planted, text, 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[original] = planted
	}
	list, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), list, 0o600); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "sim.test")
	// Without what only debuggers need, it is linked in half the time.
	cmd := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-ldflags=-s -w",
		"-overlay", filepath.Join(dir, "overlay.json"), "-o", program, simulation)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("it does not compile: %v\n%s", err, out)
	}
	return program
}

// What a run says that has found something: a promise that was broken, or a panic.
var (
	foundLine = regexp.MustCompile(`found: seed (\d+) of \d+: (.*)`)
	panicLine = regexp.MustCompile(`(?m)^(?:panic|fatal error): .*`)
)

// search runs a simulation until its first failing seed, at most so many.
func search(t *testing.T, program string, seeds int) (f finding, found bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-test.run=^TestSeeds$", "-test.timeout=0")
	cmd.Dir = filepath.Join(root, simulation)
	// One seed after the other, so that the first that fails is always the same; other bugs run beside it.
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "LEDGER_SIM_FIRST=1", "LEDGER_SIM_FROM=1", "LEDGER_SIM_SEEDS="+strconv.Itoa(seeds))
	out, err := cmd.CombinedOutput()
	if err == nil {
		return finding{}, false
	}
	if m := foundLine.FindSubmatch(out); m != nil {
		seed, err := strconv.Atoi(string(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		return finding{seed: seed, violation: string(m[2])}, true
	}
	if m := panicLine.Find(out); m != nil {
		return finding{violation: string(m)}, true
	}
	t.Fatalf("the simulation ended without a word: %v\n%s", err, out)
	return finding{}, false
}
