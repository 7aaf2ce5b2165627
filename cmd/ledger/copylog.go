package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ledger.internal/ledger/internal/adapters/db"
	"ledger.internal/ledger/internal/adapters/eventstore/sqlite"
	"ledger.internal/ledger/internal/adapters/eventstore/transfer"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

func copyLogCommand() *cobra.Command {
	var dataDir string
	cmd := &cobra.Command{
		Use:   "copy-log FROM TO",
		Short: "move a ledger to another log, with the ledger stopped",
		Long: `copy-log copies every event of the log at FROM to TO, in the log's order and
byte for byte. Each is a data directory, the URL of an EventStoreDB, or @FILE,
a file that holds such a URL and that only its owner may read. It checks all of
FROM before it writes, refuses a TO that holds anything else, and compares both
logs when it is done. Interrupted, it can be run again: what is there is
compared, and the rest copied.

The stores beside a log keep places in it. Those in --data-dir are carried over
to TO, so that the ledger goes on there as if nothing had happened: no try of a
notification is lost, nothing that was set aside, and no unread webhook. If TO
is another directory it gets a copy of them; else they are changed where they
are, and from then on belong to TO.

No ledger may run on either log meanwhile. For a directory that is seen to; of
an EventStoreDB nobody can tell.`,
		Example: "  ledger copy-log /var/lib/ledger esdb://db1,db2,db3\n" +
			"  ledger copy-log /var/lib/ledger @/run/secrets/ledger-log\n" +
			"  ledger copy-log esdb://db1,db2,db3 /var/lib/ledger",
		Args: cobra.ExactArgs(2),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := newMoving(args[0], args[1], dataDir)
			if err != nil {
				return err
			}
			m.dial, m.out, m.progress, m.logger = dial, cmd.OutOrStdout(), cmd.ErrOrStderr(), logger(cmd.ErrOrStderr())
			err = m.run(cmd.Context())
			return errors.Join(err, m.close())
		},
	}
	cmd.Flags().StringVar(&dataDir, "data-dir", "", "where the stores are that belong to the log; FROM or TO, if one is a directory")
	note(cmd.Flags().Lookup("data-dir"), cobra.BashCompSubdirsInDir)
	return cmd
}

// moving is a copy-log: from which log, to which, and which stores go along.
type moving struct {
	from, to place
	beside   string // where the stores are; empty if there are none
	dial     dialer
	logger   *slog.Logger

	out, progress io.Writer
	closers       []func() error // called last to first
}

// newMoving refuses what makes no sense.
func newMoving(from, to, dataDir string) (*moving, error) {
	m := &moving{beside: dataDir}
	var err error
	if m.from, err = placeNamed("FROM", from); err != nil {
		return nil, err
	}
	if m.to, err = placeNamed("TO", to); err != nil {
		return nil, err
	}
	if m.from.name() == m.to.name() && samePlace(m.from.dir, m.to.dir) {
		return nil, configError{errors.New("FROM and TO are the same log")}
	}
	if !m.from.elsewhere() {
		if _, err := os.Stat(m.from.dir); err != nil {
			return nil, configError{fmt.Errorf("FROM: %w", err)}
		}
	}
	if m.beside == "" {
		m.beside = m.from.dir
	}
	if m.beside == "" {
		m.beside = m.to.dir
	} else if _, err := os.Stat(m.beside); err != nil {
		return nil, configError{fmt.Errorf("--data-dir: %w", err)}
	}
	return m, nil
}

// placeNamed reads an argument: a directory, a URL, or a file that holds one.
func placeNamed(name, text string) (place, error) {
	if path, ok := strings.CutPrefix(text, "@"); ok {
		url, err := readSecret(path)
		if err != nil {
			return place{}, configError{aggregate.InvalidField(name, "SECRET_FILE", "%v", err)}
		}
		text = url
	} else if !strings.Contains(text, "://") {
		return place{dir: filepath.Clean(text)}, nil
	}
	p, err := placeOf(text, "")
	if err != nil {
		return p, configError{aggregate.InvalidField(name, "CONFIG_INVALID", "%v", err)}
	}
	return p, nil
}

// samePlace reports whether two directories are one, or neither is.
func samePlace(a, b string) bool {
	if a == b {
		return true
	}
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// close gives back what run opened, last opened first.
func (m *moving) close() (err error) {
	for _, f := range slices.Backward(m.closers) {
		err = errors.Join(err, f())
	}
	m.closers = nil
	return err
}

func (m *moving) run(ctx context.Context) error {
	if err := m.lock(); err != nil {
		return err
	}
	stores, err := m.storesBeside(ctx)
	if err != nil {
		return err
	}
	from, err := m.open(ctx, "FROM", m.from)
	if err != nil {
		return err
	}
	to, err := m.open(ctx, "TO", m.to)
	if err != nil {
		return err
	}
	t := transfer.Transfer{From: from, To: to, Progress: m.pace()}
	done, err := t.Copy(ctx)
	if err == nil {
		err = stores.carryOver(ctx, t, done)
	}
	if err == nil {
		err = stores.renewViews(ctx, to)
	}
	if err != nil {
		return m.explain(ctx, stores.dir, err)
	}
	fmt.Fprintf(m.out, "%s holds the %d events in %d streams of %s; %d of them are new\n", m.to, done.Events, done.Streams, m.from, done.Copied)
	return nil
}

// explain says what an error means for whoever copies, with his stores in a directory.
func (m *moving) explain(ctx context.Context, stores string, err error) error {
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted; run it again to go on")
	case errors.Is(err, transfer.ErrNotEmpty):
		return fmt.Errorf("%s is not empty: %w; nothing was written (LOG_NOT_EMPTY)", m.to, err)
	case errors.Is(err, transfer.ErrBroken):
		return fmt.Errorf("%s: %w; nothing was written (LOG_BROKEN)", m.from, err)
	case errors.Is(err, projection.ErrOtherLog):
		return fmt.Errorf("%s: %w than %s; give the --data-dir of the ledger that ran on it (STORE_DIVERGED)", stores, err, m.from)
	}
	return fmt.Errorf("%w; nothing is lost, run it again to go on", err)
}

// lock takes every directory that takes part.
func (m *moving) lock() error {
	dirs := []string{m.from.dir, m.to.dir, m.beside}
	slices.Sort(dirs)
	var taken []string
	for _, dir := range slices.Compact(dirs) {
		if dir == "" || slices.ContainsFunc(taken, func(other string) bool { return samePlace(dir, other) }) {
			continue
		}
		unlock, err := db.LockDir(dir)
		if errors.Is(err, db.ErrLocked) {
			return fmt.Errorf("another process is using %s (STORE_LOCKED)", dir)
		}
		if err != nil {
			return err
		}
		taken = append(taken, dir)
		m.closers = append(m.closers, unlock)
	}
	return nil
}

// open opens one of the two logs.
func (m *moving) open(ctx context.Context, name string, p place) (event.Log, error) {
	if !p.elsewhere() {
		if err := sqlite.Check(p.dir); err != nil {
			return nil, storeError(err)
		}
		if holds, err := sqlite.Holds(ctx, p.dir); name == "FROM" && (err != nil || !holds) {
			return nil, errors.Join(storeError(err), configError{fmt.Errorf("FROM: %s holds no log", p)})
		}
	}
	log, remote, err := openLog(p, name, m.dial, m.logger)
	if err != nil {
		return nil, err
	}
	m.closers = append(m.closers, log.Close)
	if remote != nil {
		return log, checkLogAt(ctx, remote, p, name)
	}
	return log, nil
}

// pace tells now and then how far a copy has come.
func (m *moving) pace() func(transfer.Step, int, int) {
	last := time.Now()
	return func(step transfer.Step, done, of int) {
		if done != of && time.Since(last) < 2*time.Second {
			return
		}
		last = time.Now()
		if of == 0 {
			fmt.Fprintf(m.progress, "%s: %d events\n", step, done)
		} else {
			fmt.Fprintf(m.progress, "%s: %d of %d events\n", step, done, of)
		}
	}
}
