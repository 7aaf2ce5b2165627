package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fillDisk has the ledger's disk be full while callers use it: what it says was done is done, everybody else hears
// that the disk is full, and once there is room again it goes on by itself. Then the same with a kill and a start
// while there is no room.
func (h *harness) fillDisk(t *testing.T) {
	disk := smallDisk(t)
	s := h.newSiege(t, 1<<20, 2*time.Minute, disk)
	s.begin(4)
	s.until("the first answers", s.more(20))

	free := s.fill(disk)
	s.until("that the disk is full", func(c callers) bool { return c.full >= 80 })
	free()
	if !s.until("that there is room again", s.more(20)) {
		s.violated("a full disk ended the ledger: %v", s.ledger.err)
		s.launch()
	}

	free = s.fill(disk)
	full := s.full()
	s.until("that the disk is full again", func(c callers) bool { return c.full >= full+80 })
	s.kill(atRandom, 0)
	s.serve(nil, s.release) // it may begin in the room that the last one has left in its files, or end and say why
	s.live(3 * time.Second)
	s.ledger.signal(syscall.SIGKILL)
	if !s.ledger.killed() && !strings.Contains(s.logged.end(), "full") {
		s.violated("a ledger that began on a full disk did not say that it is full; it ended with %v", s.ledger.err)
	}
	free()
	s.launch()
	s.until("that there is room again", s.more(20))
	s.kill(atRandom, s.between(0, 300))
	s.manual = true
	s.end()
	s.add(disks, 2)
}

// full is how often callers heard that the disk is full.
func (s *siege) full() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.callers.full
}

// smallDisk mounts a small file system in memory, with room for what a few callers do in some seconds.
func smallDisk(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("no disk can be filled here, because a small one cannot be mounted (which needs Linux and root): %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

// fill takes all room of a disk, and answers what gives it back.
func (s *siege) fill(disk string) (free func()) {
	s.t.Helper()
	name := filepath.Join(disk, "ballast")
	f, err := os.Create(name)
	s.ok(err)
	defer f.Close()
	// A write that does not fit is cut short, so that the last byte is taken too.
	if _, err := io.Copy(f, zeros{}); !errors.Is(err, syscall.ENOSPC) {
		s.t.Fatalf("the disk is not full: %v", err)
	}
	return func() { s.t.Helper(); s.ok(os.Remove(name)) }
}

type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
