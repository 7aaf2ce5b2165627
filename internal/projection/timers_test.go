package projection_test

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/projection"
)

func TestTimersFollowTheLastEvent(t *testing.T) {
	t.Parallel()
	due := func(e *ledgerv1.Event, n int) *ledgerv1.Event {
		e.Metadata = &ledgerv1.Metadata{DueAt: timestamppb.New(minute(n))}
		return e
	}
	v := newViews(t, projection.Timers())
	p := newPast("s1").at(1, due(started(), 5)).at(2, due(requested(1, 1, 0), 3), due(unknown(1, 1), 4)).
		at(4, cancelled(0)).at(5, due(late(10001, 1, 1), 9))
	v.apply(newPast("s2").at(1, due(started(), 7)).events...)
	for i, want := range []int{5, 3, 4, 0, 9} {
		v.apply(p.events[i])
		var got int64
		err := v.store.QueryRow(context.Background(), "SELECT due_at FROM timers WHERE stream = $1", "subscription-acme.s1").Scan(&got)
		switch {
		case want == 0:
			if !errors.Is(err, projection.ErrNoRows) {
				t.Errorf("after event %d: due at %d, error %v; want no row", i, got, err)
			}
		case err != nil:
			t.Fatal(err)
		case got != minute(want).UnixMicro():
			t.Errorf("after event %d: due at %d, want %d", i, got, minute(want).UnixMicro())
		}
	}
	var rows int
	if err := v.store.QueryRow(context.Background(), "SELECT count(*) FROM timers").Scan(&rows); err != nil {
		t.Fatal(err)
	}
	if rows != 2 {
		t.Errorf("%d streams have a timer, want 2", rows)
	}
}
