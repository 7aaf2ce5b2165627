package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ledger.internal/ledger/internal/adapters/db"
	"ledger.internal/ledger/internal/adapters/eventstore/transfer"
	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

// besideLog are the stores that go along with a log.
type besideLog struct {
	*moving
	dir string // where they are when it is done
}

const (
	workName, viewsName = "work.db", "views.db"
	unfinished          = ".copy" // what the name of a copy ends in until it is whole
)

// storesBeside refuses to go where a ledger has run: its stores are not replaced.
func (m *moving) storesBeside(ctx context.Context) (*besideLog, error) {
	s := &besideLog{moving: m, dir: m.beside}
	if m.beside == "" || m.to.elsewhere() || samePlace(m.beside, m.to.dir) {
		return s, nil
	}
	s.dir = m.to.dir
	home, err := work.HomeOf(ctx, s.file(workName))
	if err != nil {
		return nil, storeError(err)
	}
	if _, err := os.Stat(s.file(workName)); err == nil && !home.Copied {
		return nil, fmt.Errorf("a ledger has run in %s, and its stores are not replaced; nothing was written (LOG_NOT_EMPTY)", s.dir)
	}
	return s, nil
}

func (s *besideLog) file(name string) string { return filepath.Join(s.dir, name) }

// copies reports whether the stores are copied, and not changed where they are.
func (s *besideLog) copies() bool { return s.dir != s.beside }

// carryOver compares the logs, and makes the stores those of the copy.
func (s *besideLog) carryOver(ctx context.Context, t transfer.Transfer, copied transfer.Summary) error {
	if s.dir == "" {
		return t.Compare(ctx, copied, nil)
	}
	name := workName
	if s.copies() {
		name += unfinished
		if err := s.copyStores(); err != nil {
			return err
		}
	}
	if err := s.move(ctx, s.file(name), t, copied); err != nil {
		return err
	}
	if name == workName {
		return nil
	}
	if err := os.Rename(s.file(name), s.file(workName)); err != nil {
		return err
	}
	return db.SyncDir(s.dir)
}

// move carries the positions in a work store over, in one transaction.
func (s *besideLog) move(ctx context.Context, file string, t transfer.Transfer, copied transfer.Summary) (err error) {
	if err := work.Check(file); err != nil {
		return storeError(err)
	}
	w, err := work.Open(file)
	if err != nil {
		return storeError(err)
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	home, err := w.Home(ctx)
	if err != nil {
		return err
	}
	if !s.copies() {
		if home.Log == s.to.name() {
			return t.Compare(ctx, copied, nil) // this was done before
		}
		if err := s.leaveViews(ctx); err != nil {
			return err
		}
	}
	return w.Update(ctx, func(tx projection.Tx) error {
		move, err := projection.NewMove(tx)
		if err != nil {
			return err
		}
		if err := t.Compare(ctx, copied, func(from, to event.RawRecorded) error {
			return move.Event(from.ID, from.Position, to.Position)
		}); err != nil {
			return err
		}
		if err := move.Finish(); err != nil {
			return err
		}
		return work.SetHome(tx, work.Home{Log: s.to.name(), Copied: s.copies()})
	})
}

// leaveViews has the views begin anew. What comes after it may be interrupted: views that begin anew are right on
// either log, and views of the one are wrong on the other.
func (s *besideLog) leaveViews(ctx context.Context) error {
	views, err := s.openViews()
	if err != nil || views == nil {
		return err
	}
	return errors.Join(views.Update(ctx, projection.StartOver), views.Close())
}

// renewViews builds the views from the copy if they are not.
func (s *besideLog) renewViews(ctx context.Context, log event.Log) (err error) {
	views, err := s.openViews()
	if err != nil || views == nil {
		return err
	}
	defer func() { err = errors.Join(err, views.Close()) }()
	if err := views.Update(ctx, func(tx projection.Tx) error { _, err := tx.Exec(projection.CursorSchema); return err }); err != nil {
		return err
	}
	cursors, err := readCursors(ctx, views)
	if err != nil || len(cursors) > 0 {
		return err
	}
	fmt.Fprintln(s.progress, "building the views")
	_, err = projection.Rebuild{Log: log, Store: views, Views: projection.Views()}.Run(ctx)
	return err
}

// openViews opens the views that go along; nil if there are none.
func (s *besideLog) openViews() (*db.DB, error) {
	file := s.file(viewsName)
	if _, err := os.Stat(file); s.dir == "" || errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	views, err := db.Open(file, db.Options{Synchronous: "NORMAL", Version: viewsVersion})
	if err != nil {
		return nil, storeError(err)
	}
	return views, nil
}

// copyStores copies all that lies beside the log to the log's new directory, in the place of what an earlier copy has
// left there. The views are left out, for they are made from the log; the work store is not whole yet.
func (s *besideLog) copyStores() error {
	for _, left := range []string{"", "-wal", "-shm"} {
		if err := os.RemoveAll(s.file(workName + unfinished + left)); err != nil {
			return err
		}
	}
	return filepath.WalkDir(s.beside, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == s.beside {
			return err
		}
		name, err := filepath.Rel(s.beside, path)
		if err != nil {
			return err
		}
		to := filepath.Join(s.dir, name)
		switch {
		case d.IsDir() && samePlace(path, s.dir):
			return fs.SkipDir
		case d.IsDir():
			return os.MkdirAll(to, 0o700)
		case !d.Type().IsRegular() || staysBehind(name):
			return nil
		case strings.HasPrefix(name, workName):
			to = filepath.Join(s.dir, workName+unfinished+strings.TrimPrefix(name, workName))
		}
		return copyFile(path, to)
	})
}

// staysBehind reports whether a file is no part of what goes along. Of databases that nobody has open, the file and its
// write-ahead log are all there is.
func staysBehind(name string) bool {
	return name == "lock" || strings.HasPrefix(name, "log.db") || strings.HasPrefix(name, viewsName) ||
		strings.HasSuffix(name, "-shm") || strings.Contains(name, unfinished)
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
