package invariant

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

// CompareViews makes all views anew from the log in spare, an empty store, and says which rows of the live ones differ,
// one violation each. The live ones must have seen the whole log.
func CompareViews(ctx context.Context, log event.Log, live projection.Reader, spare projection.Store) ([]string, error) {
	return compare(ctx, log, live, spare, projection.Views(), nil)
}

// CompareWork is CompareViews for the rows of the work store that follow from the log: who hears of what, and how what
// was concluded ended. What workers have done since stands nowhere else.
func CompareWork(ctx context.Context, log event.Log, live projection.Reader, spare projection.Store) ([]string, error) {
	return compare(ctx, log, live, spare, []projection.Projection{projection.Deliveries()}, ofWorkers)
}

// ofWorkers drops from a row what workers write. It reports false if the whole row is theirs.
func ofWorkers(table string, row map[string]string) bool {
	if table == "delivery_tries" {
		return false
	}
	if table != "delivery_rows" {
		return true
	}
	theirs := []string{"next_try_at"}
	if row["concluded_at"] == "null" {
		theirs = append(theirs, "state", "tries", "lease_owner", "lease_until", "last_http_status", "last_error")
	}
	for _, c := range theirs {
		delete(row, c)
	}
	return true
}

// compare builds projections in spare and compares their rows with the live ones.
func compare(
	ctx context.Context, log event.Log, live projection.Reader, spare projection.Store, list []projection.Projection,
	keep func(table string, row map[string]string) bool,
) (found []string, err error) {
	if err := build(ctx, log, spare, list); err != nil {
		return nil, err
	}
	tables, err := tablesOf(ctx, spare)
	if err != nil {
		return nil, err
	}
	for _, t := range tables {
		if !slices.ContainsFunc(list, func(p projection.Projection) bool { return slices.Contains(p.Tables, t.name) }) {
			continue
		}
		is, err := t.load(ctx, live, keep)
		if err != nil {
			return nil, err
		}
		should, err := t.load(ctx, spare, keep)
		if err != nil {
			return nil, err
		}
		found = append(found, t.differ(is, should)...)
	}
	return found, nil
}

// build applies the whole log to projections, in one transaction.
func build(ctx context.Context, log event.Log, spare projection.Store, list []projection.Projection) error {
	return spare.Update(ctx, func(tx projection.Tx) error {
		for _, p := range list {
			if _, err := tx.Exec(p.Schema); err != nil {
				return fmt.Errorf("tables of %s: %w", p.Name, err)
			}
		}
		known := make([]time.Time, len(list)) // each follower's own: it knows of no event that it does not read
		return readAll(ctx, log, func(raw event.RawRecorded) error {
			e, err := event.Decode(raw)
			if err != nil {
				return err
			}
			for i, p := range list {
				if len(p.Categories) > 0 && !slices.Contains(p.Categories, event.Category(e.Stream)) {
					continue
				}
				if at := e.Metadata.GetRecordedAt().AsTime(); at.After(known[i]) {
					known[i] = at
				}
				if err := p.Apply(tx, known[i], e); err != nil {
					return fmt.Errorf("%s at %s/%d: %w", p.Name, e.Stream, e.Revision, err)
				}
			}
			return nil
		})
	})
}

// load reads a table's rows by their keys.
func (t table) load(ctx context.Context, r projection.Reader, keep func(string, map[string]string) bool) (map[string]map[string]string, error) {
	all := map[string]map[string]string{}
	err := t.rows(ctx, r, nil, func(columns []string, values []any) error {
		row := make(map[string]string, len(columns))
		for i, c := range columns {
			row[c] = text(values[i])
		}
		key := make([]string, len(t.key))
		for i, c := range t.key {
			key[i] = c + "=" + row[c]
		}
		if keep == nil || keep(t.name, row) {
			all[strings.Join(key, " ")] = row
		}
		return nil
	})
	return all, err
}

// differ names the rows that are not what they should be, and the columns, but not what stands there: rows are personal.
func (t table) differ(is, should map[string]map[string]string) (found []string) {
	broken := func(key, format string, args ...any) {
		found = append(found, fmt.Sprintf("I-12: table %s, %s: not what the log says: %s", t.name, key, fmt.Sprintf(format, args...)))
	}
	for key, want := range should {
		row, ok := is[key]
		if !ok {
			broken(key, "missing")
			continue
		}
		for _, c := range t.columns {
			if row[c] != want[c] {
				broken(key, "wrong %s", c)
			}
		}
	}
	for key := range is {
		if _, ok := should[key]; !ok {
			broken(key, "too many")
		}
	}
	slices.Sort(found)
	return found
}
