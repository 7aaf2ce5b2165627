package main

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// completeInBash loads the completion script as a shell does and prints what it offers for the words in $LINE. The
// package bash-completion, which a shell of a person has, brings _get_comp_words_by_ref.
const completeInBash = `
_get_comp_words_by_ref() {
	words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; cur=${words[cword]}; prev=${words[cword-1]}
}
compopt() { :; }
source <(ledger completion bash)
read -ra COMP_WORDS <<<"$LINE"
[[ $LINE == *' ' ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_LINE=$LINE; COMP_POINT=${#LINE}
__start_ledger
printf '%s\n' "${COMPREPLY[@]}"
`

func TestBashCompletion(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash")
	}
	for line, want := range map[string]string{
		"ledger ser":                 "serve",
		"ledger clock a":             "advance",
		"ledger config ":             "check example print",
		"ledger completion ":         "bash fish zsh",
		"ledger help par":            "parked",
		"ledger serve --gateway":     "--gateway-timeout",
		"ledger serve --clock ":      "manual wall",
		"ledger parked replay --jso": "--json",
		"ledger verify n":            "",
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), bash, "--norc", "-c", completeInBash)
			cmd.Env = append(os.Environ(), "LINE="+line)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			var offered []string
			for text := range strings.Lines(string(out)) {
				if word, _, _ := strings.Cut(strings.TrimSpace(text), " "); word != "" {
					offered = append(offered, word)
				}
			}
			slices.Sort(offered)
			if got := strings.Join(offered, " "); got != want {
				t.Errorf("offered %q, want %q", got, want)
			}
		})
	}
}

func TestCompletionScripts(t *testing.T) {
	t.Parallel()
	for shell, begins := range map[string]string{"bash": "# bash completion", "zsh": "#compdef ledger", "fish": "# fish completion"} {
		if code, out, errs := inMemory("completion", shell); code != 0 || !strings.HasPrefix(out, begins) {
			t.Errorf("%s: exit %d, stderr %q, stdout begins with %.30q; want 0 and %q", shell, code, errs, out, begins)
		}
	}
}

// Every command explains itself in the same way whether it is asked by -h or by help, on a screen of 80 columns.
func TestHelp(t *testing.T) {
	t.Parallel()
	var visit func(path []string, c *cobra.Command)
	visit = func(path []string, c *cobra.Command) {
		code, byFlag, _ := inMemory(append(slices.Clone(path), "-h")...)
		again, byCommand, _ := inMemory(append([]string{"help"}, path...)...)
		if code != 0 || again != 0 || byFlag != byCommand || !strings.Contains(byFlag, "Usage:") {
			t.Errorf("ledger %s -h: exit %d\n%s\nhelp: exit %d\n%s", strings.Join(path, " "), code, byFlag, again, byCommand)
		}
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s is described as %q; want a phrase", c.Name(), c.Short)
		}
		for line := range strings.Lines(byFlag) {
			if n := len([]rune(strings.TrimRight(line, "\n"))); n > 80 {
				t.Errorf("%s: %d columns: %s", c.Name(), n, line)
			}
		}
		for _, below := range c.Commands() {
			visit(append(slices.Clone(path), below.Name()), below)
		}
	}
	visit(nil, root())
}
