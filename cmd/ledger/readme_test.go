package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// notRun marks a block of the README that only shows something.
const notRun = "# not run by the test"

// TestREADME runs the README's commands as they are printed: every sh block in its order, in one bash that ends at the
// first failure. It needs the ports that a ledger has by default, so it has to be asked for.
func TestREADME(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	script := readmeScript(string(readme))
	if strings.Count(script, "\n") < 10 {
		t.Fatalf("README.md has hardly any commands:\n%s", script)
	}
	if os.Getenv("LEDGER_TEST_README") == "" {
		t.Skip("set LEDGER_TEST_README=1 to run README.md's commands; they use the ledger's default ports")
	}
	output := filepath.Join(t.TempDir(), "output")
	if err := runBash(t, script, output); err != nil {
		said, _ := os.ReadFile(output)
		t.Fatalf("README.md's commands ended with %v, and said:\n%s", err, said)
	}
}

// readmeScript is the README's sh blocks as one script that says where it is.
func readmeScript(readme string) string {
	script := &strings.Builder{}
	script.WriteString("set -e\n")
	var inside, skipped bool
	for i, line := range strings.Split(readme, "\n") {
		switch {
		case !inside:
			inside, skipped = line == "```sh", false
			if inside {
				fmt.Fprintf(script, "echo '== README.md, line %d'\n", i+2)
			}
		case line == "```":
			inside = false
		case line == notRun:
			skipped = true
		case !skipped:
			script.WriteString(line + "\n")
		}
	}
	return script.String()
}

// runBash runs a script in the repository, its output going to a file, and ends all that it leaves running.
func runBash(t *testing.T, script, output string) error {
	t.Helper()
	said, err := os.Create(output)
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir = "../.."
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that what runs in the background is in reach
	everybody := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel = everybody
	err = cmd.Run()
	if cmd.Process != nil {
		if err := everybody(); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Errorf("something was left running: %v", err)
		}
	}
	return err
}

func TestREADMEScript(t *testing.T) {
	t.Parallel()
	got := readmeScript("# A\n```sh\none\n```\ntwo\n```\nthree\n```\n```sh\n" + notRun + "\nfour\n```\n```sh\nfive &\n```\n")
	const want = "set -e\necho '== README.md, line 3'\none\necho '== README.md, line 10'\necho '== README.md, line 14'\nfive &\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestREADMEAsksWhatDocsAsk: the README shows the files of docs/sql as they are. The story three_questions has their
// answers.
func TestREADMEAsksWhatDocsAsk(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../docs/sql/*.sql")
	if err != nil || len(files) != 3 {
		t.Fatalf("docs/sql holds %v (%v), want three questions", files, err)
	}
	story, err := os.ReadFile("testdata/three_questions.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(readme), "```sql\n"+string(text)+"```\n") {
			t.Errorf("README.md does not show %s as it is", file)
		}
		if name := strings.TrimSuffix(filepath.Base(file), ".sql"); !strings.Contains(string(story), "\nsql "+name+"\ncmp stdout "+name+"\n") {
			t.Errorf("three_questions.txtar does not ask %s", name)
		}
	}
	if got := strings.Count(string(readme), "```sql\n"); got != len(files) {
		t.Errorf("README.md has %d questions, docs/sql %d", got, len(files))
	}
}
