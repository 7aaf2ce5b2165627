package numbers_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/numbers"
)

func reserved(first int64) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_NumbersReserved{NumbersReserved: &ledgerv1.NumbersReserved{First: first, Count: 100}}}
}

func TestReserve(t *testing.T) {
	t.Parallel()
	s := numbers.Type().New()
	for revision := range int64(5) {
		got, err := numbers.Reserve{}.Decide(s)
		if diff := cmp.Diff([]*ledgerv1.Event{reserved(revision*100 + 1)}, got, protocmp.Transform()); err != nil || diff != "" {
			t.Fatalf("block %d: error %v, events (-want +got):\n%s", revision, err, diff)
		}
		s = numbers.Evolve(s, got[0])
		s = numbers.Evolve(s, &ledgerv1.Event{Kind: &ledgerv1.Event_MerchantCreated{}}) // somebody else's
	}
	if got := event.Category(numbers.Stream()); got != numbers.Category {
		t.Errorf("got category %q of stream %q, want %q", got, numbers.Stream(), numbers.Category)
	}
}

func TestReserveEndsBeforeOrderIdsLoseDigits(t *testing.T) {
	t.Parallel()
	const exact = 1 << 53 // up to here a float64 counts every integer
	s := numbers.State{Blocks: numbers.Last/numbers.BlockSize - 2}
	for range 10 {
		events, err := numbers.Reserve{}.Decide(s)
		if err != nil {
			if e, ok := err.(*aggregate.Error); !ok || e.Kind != aggregate.Exhausted || e.Reason != "NUMBERS_EXHAUSTED" {
				t.Fatalf("got error %#v, want NUMBERS_EXHAUSTED", err)
			}
			return
		}
		r := events[0].GetNumbersReserved()
		if highest := (r.First+r.Count-1)*10_000 + 9_999; highest >= exact {
			t.Fatalf("block %d to %d makes order id %d, want it below 2^53", r.First, r.First+r.Count-1, highest)
		}
		s = numbers.Evolve(s, events[0])
	}
	t.Fatal("numbers never end")
}

// blocks is a log of reservations.
type blocks struct {
	mu    sync.Mutex
	taken int64
	size  int64
}

func (b *blocks) reserve(context.Context) (first, count int64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	first = b.taken*b.size + 1
	b.taken++
	return first, b.size, nil
}

func TestAllocatorsNeverRepeat(t *testing.T) {
	t.Parallel()
	log := &blocks{size: 7}
	replicas := []*numbers.Allocator{numbers.NewAllocator(log.reserve), numbers.NewAllocator(log.reserve)}
	const callers, each = 8, 50
	got := make([][]int64, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for range each {
				n, err := replicas[i%len(replicas)].Next(t.Context())
				if err != nil {
					t.Errorf("got error %v, want a number", err)
					return
				}
				got[i] = append(got[i], n)
			}
		})
	}
	wg.Wait()
	all := slices.Concat(got...)
	slices.Sort(all)
	if distinct := slices.Compact(slices.Clone(all)); len(distinct) != callers*each || all[0] < 1 {
		t.Errorf("got %d distinct numbers from %d, want %d from 1 on", len(distinct), all[0], callers*each)
	}
	if used := log.taken; used > callers*each/7+2 {
		t.Errorf("took %d blocks of 7 for %d numbers, want each used up", used, callers*each)
	}
}

func TestAllocatorRecoversFromAFailedReservation(t *testing.T) {
	t.Parallel()
	down := errors.New("log down")
	answers := []struct {
		first, count int64
		err          error
	}{{1, 2, nil}, {0, 0, down}, {0, 100, nil}, {201, 0, nil}, {301, 2, nil}}
	a := numbers.NewAllocator(func(context.Context) (int64, int64, error) {
		next := answers[0]
		answers = answers[1:]
		return next.first, next.count, next.err
	})
	var got []int64
	var failed int
	for range 7 {
		n, err := a.Next(t.Context())
		if err != nil {
			failed++
			if failed == 1 && !errors.Is(err, down) {
				t.Errorf("got error %v, want %v in it", err, down)
			}
			continue
		}
		got = append(got, n)
	}
	if diff := cmp.Diff([]int64{1, 2, 301, 302}, got); diff != "" || failed != 3 {
		t.Errorf("%d failures, want 3; numbers (-want +got):\n%s", failed, diff)
	}
}

func TestWaitingForAReservationEndsWithTheContext(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	a := numbers.NewAllocator(func(context.Context) (int64, int64, error) {
		close(entered)
		<-release
		return 1, 100, nil
	})
	first := make(chan int64, 1)
	go func() {
		n, err := a.Next(context.WithoutCancel(t.Context()))
		if err != nil {
			t.Errorf("got error %v, want a number", err)
		}
		first <- n
	}()
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v while another reserves, want context.Canceled", err)
	}
	close(release)
	if n := <-first; n != 1 {
		t.Errorf("got %d, want 1", n)
	}
	if n, err := a.Next(t.Context()); n != 2 || err != nil {
		t.Errorf("got %d and %v, want 2", n, err)
	}
}
