package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"ledger.internal/ledger/internal/adapters/eventstore/esdb"
	"ledger.internal/ledger/internal/adapters/eventstore/sqlite"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/event"
)

// place is where a log is: embedded in a data directory, or elsewhere, in an EventStoreDB.
type place struct {
	dir string        // of an embedded log; empty if it is elsewhere
	at  esdb.Settings // of one that is elsewhere
}

// placeOf reads what --log says. Without it the log is in the data directory.
func placeOf(setting, dataDir string) (place, error) {
	if setting == "" {
		return place{dir: dataDir}, nil
	}
	at, err := esdb.Parse(setting)
	return place{at: at}, err
}

func (p place) elsewhere() bool { return p.dir == "" }

// String is the place as everybody may see it, without a password.
func (p place) String() string {
	if p.elsewhere() {
		return p.at.String()
	}
	return p.dir
}

// embedded is what a work store calls every log that is embedded: the n-th event of one has the position n, whatever
// directory it is in.
const embedded = "embedded"

// name is what a work store notes of the log that its positions are of: of a URL, the nodes alone.
func (p place) name() string {
	if !p.elsewhere() {
		return embedded
	}
	scheme, rest, _ := strings.Cut(p.at.String(), "://")
	if end := strings.IndexAny(rest, "/?"); end >= 0 {
		rest = rest[:end]
	}
	return scheme + "://" + rest[strings.LastIndexByte(rest, '@')+1:]
}

// remoteLog is a log that is elsewhere: it may not be reachable yet, or no longer.
type remoteLog interface {
	event.Log
	// Check looks once whether the log can be used. An error that is esdb.ErrRefused stays; any other may pass.
	Check(ctx context.Context) error
	// Watch looks now and then whether it still can, until ctx ends, and logs what it finds.
	Watch(ctx context.Context) error
}

// dialer opens a log that is elsewhere. It does not wait until it can be reached.
type dialer func(esdb.Settings, *slog.Logger) (remoteLog, error)

func dial(at esdb.Settings, logger *slog.Logger) (remoteLog, error) {
	return esdb.Open(esdb.Config{Settings: at, Logger: logger})
}

// openLog opens the log at a place; remote is nil if it is embedded. Every command opens its log here. flag is what named
// the place.
func openLog(p place, flag string, dial dialer, logger *slog.Logger) (log event.Log, remote remoteLog, err error) {
	if !p.elsewhere() {
		log, err := sqlite.Open(p.dir)
		if err != nil {
			return nil, nil, storeError(err)
		}
		return log, nil, nil
	}
	remote, err = dial(p.at, logger)
	if errors.Is(err, esdb.ErrRefused) {
		return nil, nil, refused(flag, err)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the log at %s: %w", p, err)
	}
	return remote, remote, nil
}

// checkTime is how long one look at a log that is elsewhere may take.
const checkTime = 10 * time.Second

// checkLogAt looks once whether a log that is elsewhere can be used. flag is what to change if it never can.
func checkLogAt(ctx context.Context, remote remoteLog, p place, flag string) error {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	err := remote.Check(ctx)
	if errors.Is(err, esdb.ErrRefused) {
		return refused(flag, err)
	}
	if err != nil {
		return unreachable{p, flag, err}
	}
	return nil
}

// refused is a log that can be used once somebody has changed something.
func refused(flag string, err error) error {
	return configError{aggregate.InvalidField(flag, "LOG_REFUSED", "%v", err)}
}
