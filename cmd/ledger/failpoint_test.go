package main

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// buildLedger builds the program with the tags, and says where it is.
func buildLedger(t *testing.T, dir, name string, tags ...string) (program string) {
	t.Helper()
	program = filepath.Join(dir, name)
	cmd := exec.CommandContext(t.Context(), "go", "build", "-tags", strings.Join(tags, ","), "-o", program, ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}

// A release has nothing between the ledger and its neighbours, and of the simulation only the check of what was
// promised.
func TestReleaseHasNoFailPoints(t *testing.T) {
	t.Parallel()
	const sim = "ledger.internal/ledger/internal/sim/"
	for _, c := range []struct {
		tags string
		want []string
	}{
		{"", []string{sim + "invariant"}},
		{"failpoint", []string{sim + "door", sim + "invariant"}},
	} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags", c.tags, ".").Output()
		if err != nil {
			t.Fatal(err)
		}
		got := slices.DeleteFunc(strings.Fields(string(out)), func(p string) bool { return !strings.HasPrefix(p, sim) })
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("with tags %q the program contains %q, want %q", c.tags, got, c.want)
		}
	}
}

func TestReleaseRefusesFailPoints(t *testing.T) {
	if has := strings.Contains(version(), "with fail points"); has != (failPointVariable != "") {
		t.Fatalf("the version %q does not say whether there are fail points", version())
	}
	if failPointVariable != "" {
		t.Skip("this build has fail points")
	}
	t.Setenv("LEDGER_FAILPOINT", "log.append:1:kill")
	code, _, errs := inMemory(ports("serve", "--data-dir", t.TempDir())...)
	if code != 2 || !strings.Contains(errs, "CONFIG_UNKNOWN_KEY") {
		t.Errorf("exit %d, stderr %q; want 2 and CONFIG_UNKNOWN_KEY", code, errs)
	}
}
