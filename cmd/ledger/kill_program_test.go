package main

import (
	"bytes"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// program is one that runs beside the test, in a process of its own.
type program struct {
	cmd     *exec.Cmd
	first   chan string   // gets its first line
	reached chan struct{} // closed when it came to its fail point
	ended   chan struct{} // closed when it is gone; then err says how
	err     error
}

// start runs a program until the test ends at the latest. Its lines go to take, and what it logs to the siege's log.
func (s *siege) start(take func(string), environment []string, path string, args ...string) *program {
	s.t.Helper()
	p := &program{cmd: exec.Command(path, args...), first: make(chan string, 1), reached: make(chan struct{}), ended: make(chan struct{})}
	p.cmd.Env = append([]string{"HOME=" + s.dir, "TMPDIR=" + s.dir}, environment...)
	said := false
	p.cmd.Stdout = &lineWriter{take: func(line string) {
		if !said {
			said = true
			p.first <- line
		} else if take != nil {
			take(line)
		}
	}}
	var reached sync.Once
	p.cmd.Stderr = &lineWriter{take: func(line string) {
		s.logged.line(line)
		if strings.HasPrefix(line, "fail point ") {
			reached.Do(func() { close(p.reached) })
		}
	}}
	s.ok(p.cmd.Start())
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	s.t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // which also ends what is stopped
		<-p.ended
	})
	return p
}

func (p *program) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) } // it may be gone already

// killed reports whether SIGKILL ended it, whoever sent that. It waits until the process is gone.
func (p *program) killed() bool {
	<-p.ended
	var how *exec.ExitError
	return errors.As(p.err, &how) && how.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
}

// lineWriter cuts what is written to it into lines.
type lineWriter struct {
	take func(string)
	rest []byte
}

// Write implements io.Writer.
func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		line, rest, found := bytes.Cut(w.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		w.take(string(line))
		w.rest = rest
	}
}

// programLog is what all ledgers of a world logged.
type programLog struct {
	mu     sync.Mutex
	lines  []string
	wanted []wanted
}

// wanted is a text that somebody waits for.
type wanted struct {
	text string
	said chan struct{}
}

func (l *programLog) line(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, text)
	l.wanted = slices.DeleteFunc(l.wanted, func(w wanted) bool {
		said := strings.Contains(text, w.text)
		if said {
			close(w.said)
		}
		return said
	})
}

// faults are the lines that no ledger should log, whatever happens to it. What a fail point or a full disk made fail is
// not one of them.
func (l *programLog) faults() (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, "panic") || strings.Contains(line, `"level":"ERROR"`) && !excused(line) {
			found = append(found, line)
		}
	}
	return found
}

func excused(line string) bool {
	for _, cause := range []string{"fail point ", "disk is full", "too many open files", "unable to open database file"} {
		if strings.Contains(line, cause) {
			return true
		}
	}
	return false
}

// says is closed as soon as a line with a text has come.
func (l *programLog) says(text string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := wanted{text, make(chan struct{})}
	for _, line := range l.lines {
		if strings.Contains(line, text) {
			close(w.said)
			return w.said
		}
	}
	l.wanted = append(l.wanted, w)
	return w.said
}

// end is the last of what was logged.
func (l *programLog) end() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines[max(0, len(l.lines)-30):], "\n")
}
