package invariant

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

// Snapshot is what a ledger at rest consists of, by digests: what no restart may change.
type Snapshot struct {
	Head        event.Position
	Views, Work Dump
}

// Dump is a digest of the rows of every table.
type Dump map[string]string

// seats are the columns that say who has written a row, and not what; and how far a cursor has come, which moves past
// events that are nothing to its follower. The last one that was something to it is compared.
var seats = []string{"owner", "epoch", "lease_owner", "commit_pos", "prepare_pos"}

// Take makes a Snapshot of a world. It looks at Log, Views and Work.
func Take(ctx context.Context, w World) (s Snapshot, err error) {
	if s.Head, err = w.Log.Head(ctx); err != nil {
		return Snapshot{}, fmt.Errorf("the log's head: %w", err)
	}
	if w.Views != nil {
		if s.Views, err = TakeDump(ctx, w.Views); err != nil {
			return Snapshot{}, err
		}
	}
	if w.Work != nil {
		if s.Work, err = TakeDump(ctx, w.Work); err != nil {
			return Snapshot{}, err
		}
	}
	return s, nil
}

// TakeDump digests a store.
func TakeDump(ctx context.Context, r projection.Reader) (Dump, error) {
	tables, err := tablesOf(ctx, r)
	if err != nil {
		return nil, err
	}
	d := Dump{}
	for _, t := range tables {
		var lines []string
		err := t.rows(ctx, r, seats, func(_ []string, row []any) error {
			lines = append(lines, inOneLine(row))
			return nil
		})
		if err != nil {
			return nil, err
		}
		slices.Sort(lines)
		d[t.name] = fmt.Sprintf("%d rows %x", len(lines), sha256.Sum256([]byte(strings.Join(lines, "\n"))))
	}
	return d, nil
}

// inOneLine is a row in one line; no two rows have the same.
func inOneLine(row []any) string {
	var b strings.Builder
	for _, v := range row {
		fmt.Fprintf(&b, "%T %q ", v, text(v))
	}
	return b.String()
}

// Changed says, one violation each, what a later Snapshot has otherwise.
func (s Snapshot) Changed(later Snapshot) (found []string) {
	if s.Head != later.Head {
		found = append(found, fmt.Sprintf("I-21: the log ended at %s and ends at %s", s.Head, later.Head))
	}
	for _, store := range []struct {
		name          string
		before, after Dump
	}{{"views", s.Views, later.Views}, {"work", s.Work, later.Work}} {
		names := maps.Clone(store.before)
		if names == nil {
			names = Dump{}
		}
		maps.Copy(names, store.after)
		for _, t := range slices.Sorted(maps.Keys(names)) {
			if was, is := store.before[t], store.after[t]; was != is {
				found = append(found, fmt.Sprintf("I-21: table %s of %s was %q and is %q", t, store.name, was, is))
			}
		}
	}
	return found
}
