package projection

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"ledger.internal/ledger/internal/aggregate/event"
)

// Spared is a store that can have a second set of tables beside its own.
type Spared interface {
	Store
	// Spare makes one, empty. There is one at a time.
	Spare(ctx context.Context) (Spare, error)
}

// Spare is a second set of tables beside a store's own, for rows that are built anew. In its statements a plain name
// means a table of the spare, and live.<table> the store's, as it was last committed.
type Spare interface {
	Store
	// Columns are those of a table of the spare, in order, and those of them that are its primary key.
	Columns(ctx context.Context, table string) (all, key []string, err error)
	// DropIndexes drops all indexes but those of primary keys: rows come in faster without, and an index of many rows
	// is made faster than kept.
	DropIndexes(ctx context.Context) error
	// Switch runs f in one transaction of the store, after which the spare is of no use. In it spare.<table> is a table
	// of the spare, main.<table> one of the store, and a plain name one of the store if there is such a one.
	Switch(ctx context.Context, f func(Tx) error) error
	// Close removes the spare.
	Close() error
}

// rebuildBatch is how many events of a rebuild share a transaction at most: rows are flushed to the spare in the
// meantime, so it costs no memory to have many.
const rebuildBatch = 10_000

const progressEvery = 100_000

// Rebuild builds views anew, from the first event of the log, beside those of a store, and puts them in their place.
// Nobody else may write to the views meanwhile; the log may grow.
type Rebuild struct {
	Log      event.Log
	Store    Spared
	Views    []Projection
	Check    bool             // only compare, and leave the store as it is
	Progress func(events int) // called every 100,000 events, if not nil
}

// Rebuilt says what a Rebuild has done.
type Rebuilt struct {
	Events   int
	Tables   []Comparison // what the store had, beside what the log says
	Switched bool
}

// Differing is how many rows of the store were not what the log says, and how many tables could not be compared.
func (r *Rebuilt) Differing() (rows int64, tables int) {
	for _, t := range r.Tables {
		rows += t.Differing
		if t.Skipped != "" {
			tables++
		}
	}
	return rows, tables
}

// Run does it. Whatever ends it early, also ctx, leaves the store as it was, and the next run begins anew.
func (r Rebuild) Run(ctx context.Context) (_ *Rebuilt, err error) {
	spare, err := r.Store.Spare(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, spare.Close()) }()
	b := &building{Rebuild: r, spare: spare, report: &Rebuilt{}}
	for _, p := range r.Views {
		v, err := newBuiltView(ctx, r.Store, p)
		if err != nil {
			return nil, err
		}
		b.views = append(b.views, v)
	}
	if err := b.build(ctx); err != nil {
		return nil, err
	}
	if r.Check {
		return b.report, nil
	}
	b.report.Switched = true
	return b.report, b.switchOver(ctx)
}

// builtView is a view that is being built, and how far the live one has come.
type builtView struct {
	Projection
	at       Saved
	live     Saved
	stored   int    // the live one's version
	skip     string // why the live one cannot be compared
	met      bool   // the event that the live one applied last is where it applied it
	compared bool
}

func newBuiltView(ctx context.Context, s Store, p Projection) (*builtView, error) {
	v := &builtView{Projection: p}
	err := s.Update(ctx, func(tx Tx) (err error) {
		if v.stored, err = storedVersion(tx, p.Name); err == nil && v.stored != 0 {
			_, _, v.live, err = readCursor(tx, p.Name)
		}
		return err
	})
	v.met = v.live.Cursor.LastID == uuid.Nil
	switch {
	case err != nil:
		return nil, fmt.Errorf("cursor of %s: %w", p.Name, err)
	case v.stored == 0:
		v.skip = "it was never built"
	case v.stored != p.Version:
		v.skip = fmt.Sprintf("it is of version %d, this program makes version %d", v.stored, p.Version)
	}
	return v, nil
}

// building is a Rebuild that runs.
type building struct {
	Rebuild
	spare  Spare
	views  []*builtView
	report *Rebuilt
}

// build makes the tables, fills them, and compares each view with the live one where that one has stopped.
func (b *building) build(ctx context.Context) error {
	if err := b.createTables(ctx); err != nil {
		return err
	}
	if err := b.spare.DropIndexes(ctx); err != nil {
		return err
	}
	if err := b.load(ctx); err != nil {
		return err
	}
	return b.compareBefore(ctx, theEnd)
}

// createTables makes what is missing of the spare's tables and their indexes.
func (b *building) createTables(ctx context.Context) error {
	return b.spare.Update(ctx, func(tx Tx) error {
		for _, v := range b.views {
			if err := v.createTables(tx); err != nil {
				return err
			}
		}
		return nil
	})
}

// theEnd is behind all positions of a log.
var theEnd = event.Position{Commit: math.MaxUint64, Prepare: math.MaxUint64}

// errEnd ends the following of a log that has no more.
var errEnd = errors.New("end of the log")

// load applies the whole log. It is decoded beside the transaction that applies it.
func (b *building) load(ctx context.Context) error {
	messages := make(chan message, 4*batchSize)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(messages)
		err := b.Log.Follow(ctx, b.categories(), event.Cursor{}, func(ctx context.Context, m event.Message) error {
			select {
			case messages <- decode(m):
			case <-ctx.Done():
				return ctx.Err()
			}
			if m.Kind == event.KindCaughtUp {
				return errEnd
			}
			return nil
		})
		if errors.Is(err, errEnd) {
			return nil
		}
		return fmt.Errorf("read the log: %w", err)
	})
	g.Go(func() error { return b.consume(ctx, messages) })
	return g.Wait()
}

// categories are those of all views together.
func (b *building) categories() (all []string) {
	for _, v := range b.views {
		if len(v.Categories) == 0 {
			return nil
		}
		all = append(all, v.Categories...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// consume applies messages, many in one transaction, but none that a live view has not seen before that view was
// compared.
func (b *building) consume(ctx context.Context, messages <-chan message) error {
	m, more := <-messages
	for more && ctx.Err() == nil {
		if err := b.compareBefore(ctx, m.Position); err != nil {
			return err
		}
		stop := b.nextStop()
		err := b.spare.Update(ctx, func(tx Tx) error {
			for n := 0; more && n < rebuildBatch && m.Position.Compare(stop) <= 0; n++ {
				if err := b.apply(tx, m); err != nil {
					return err
				}
				m, more = <-messages
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (b *building) apply(tx Tx, m message) error {
	for _, v := range b.views {
		if m.Kind == event.KindEvent && !v.follows(m.Event.Stream) {
			continue
		}
		if err := v.step(tx, &v.at, m); err != nil {
			return fmt.Errorf("projection %s: %w", v.Name, &badEventError{event: m.Event, err: err})
		}
		v.met = v.met || v.at.Cursor.LastID == v.live.Cursor.LastID && v.at.Cursor.LastPosition == v.live.Cursor.LastPosition
	}
	if m.Kind != event.KindEvent {
		return nil
	}
	b.report.Events++
	if b.Progress != nil && b.report.Events%progressEvery == 0 {
		b.Progress(b.report.Events)
	}
	return nil
}

// nextStop is the position behind which the next live view is to be compared.
func (b *building) nextStop() event.Position {
	stop := theEnd
	for _, v := range b.views {
		if !v.compared && v.live.Cursor.Position.Compare(stop) < 0 {
			stop = v.live.Cursor.Position
		}
	}
	return stop
}

// compareBefore compares the live views that have not seen position p.
func (b *building) compareBefore(ctx context.Context, p event.Position) error {
	for _, v := range b.views {
		if v.compared || v.live.Cursor.Position.Compare(p) >= 0 {
			continue
		}
		if err := b.compare(ctx, v); err != nil {
			return fmt.Errorf("compare %s: %w", v.Name, err)
		}
	}
	return nil
}

// compare looks for what differs between the rows of a view, as they are now, and the live ones.
func (b *building) compare(ctx context.Context, v *builtView) error {
	v.compared = true
	if v.skip == "" && !v.met {
		v.skip = "it was made from another log"
	}
	for _, table := range v.Tables {
		c := Comparison{View: v.Name, Table: table, Skipped: v.skip}
		if v.skip == "" {
			if err := c.compare(ctx, b.spare); err != nil {
				return err
			}
		}
		b.report.Tables = append(b.report.Tables, c)
	}
	return nil
}

// switchOver puts what was built in the place of what there is.
func (b *building) switchOver(ctx context.Context) error {
	// With the indexes of the tables that they go to, tables are copied page by page.
	if err := b.createTables(ctx); err != nil {
		return err
	}
	return b.spare.Switch(ctx, func(tx Tx) error {
		for _, v := range b.views {
			if err := v.replace(tx); err != nil {
				return fmt.Errorf("switch %s: %w", v.Name, err)
			}
		}
		return nil
	})
}

// replace fills the live tables, made anew, from those of the spare.
func (v *builtView) replace(tx Tx) error {
	if err := v.drop(tx, "main.", v.stored); err != nil {
		return err
	}
	if err := v.create(tx); err != nil {
		return err
	}
	for _, table := range v.Tables {
		if _, err := tx.Exec("INSERT INTO " + table + " SELECT * FROM spare." + table); err != nil {
			return fmt.Errorf("%s: %w", table, err)
		}
	}
	seat, _, _, err := TakeSeat(tx, v.Name, v.Version)
	if err != nil {
		return err
	}
	return seat.Save(tx, v.at)
}
