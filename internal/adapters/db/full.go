package db

import (
	"errors"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"ledger.internal/ledger/internal/aggregate/event"
)

// full is an error that came from a full disk.
type full struct{ error }

func (f full) Unwrap() []error { return []error{event.ErrStoreFull, f.error} }

// diskFull reports whether err says that the disk, or the quota, is used up. SQLite turns the system's ENOSPC into
// its own code where it writes; where it does something else the system's error comes through.
func diskFull(err error) bool {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code()&0xff == sqlite3.SQLITE_FULL
	}
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
