//go:build unix

package esdbtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A Process is a node in a process of its own. Its log is in its memory, and ends with it.
type Process struct {
	cmd   *exec.Cmd
	lines chan string
}

// StartProcess builds and starts the command esdbtestd with these flags, and returns its connection string. It ends
// with the test.
func StartProcess(t testing.TB, flags ...string) (url string, p *Process) {
	t.Helper()
	p, err := startProcess(t.TempDir(), flags)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	url, err = p.line()
	if err != nil {
		t.Fatal(err)
	}
	return url, p
}

func startProcess(dir string, flags []string) (*Process, error) {
	file, err := install(dir)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(file, flags...)
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil { // which ends with this process, and so ends that one
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, lines: make(chan string, 16)}
	go func() {
		defer close(p.lines)
		for in := bufio.NewScanner(stdout); in.Scan(); {
			p.lines <- in.Text()
		}
	}()
	return p, nil
}

// program is the command, built once for all tests of a package. It is kept in memory, for there is no moment at
// which a file that all of them use could be removed.
var program = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "esdbtestd")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "esdbtestd")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", file,
		"ledger.internal/ledger/internal/adapters/eventstore/esdb/esdbtest/esdbtestd")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	return os.ReadFile(file)
})

// install writes the program into dir. Nobody may fork meanwhile: the child would have the file open for writing
// until it runs its own program, and what is open for writing cannot be run.
func install(dir string) (file string, err error) {
	b, err := program()
	if err != nil {
		return "", err
	}
	file = filepath.Join(dir, "esdbtestd")
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return file, os.WriteFile(file, b, 0o700)
}

// line is the next line that the process prints.
func (p *Process) line() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	select {
	case text, ok := <-p.lines:
		if !ok {
			return "", errors.New("esdbtest: the process ended")
		}
		return text, nil
	case <-ctx.Done():
		return "", errors.New("esdbtest: the process says nothing")
	}
}

// PID is for tools that send signals: SIGUSR1 restarts the node.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Restart restarts the node in place, which resets its connections, and returns when it serves again.
func (p *Process) Restart() error {
	if err := p.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		return err
	}
	text, err := p.line()
	if err == nil && !strings.HasPrefix(text, "restarted") {
		err = fmt.Errorf("esdbtest: the process says %q", text)
	}
	return err
}

// Pause stops the process where it is: the kernel goes on taking connections and bytes, and nobody answers.
func (p *Process) Pause() error {
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	var state syscall.WaitStatus
	for { // its threads stop one after another
		_, err := syscall.Wait4(p.PID(), &state, syscall.WUNTRACED, nil)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// Resume undoes Pause.
func (p *Process) Resume() error { return p.cmd.Process.Signal(syscall.SIGCONT) }

// Kill ends the process at once, and its log with it. It may be called again.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	for range p.lines {      // until its output ends
	}
	_ = p.cmd.Wait() // it was killed
}
