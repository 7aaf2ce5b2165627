package esdbtest

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"
)

// hears takes messages and compares them.
func (w *world) hears(c streams.Streams_ReadClient, want ...string) {
	w.Helper()
	var told []string
	for range want {
		m, err := c.Recv()
		if err != nil {
			w.Fatalf("after %v: %v", told, err)
		}
		told = append(told, tell(m))
	}
	if diff := cmp.Diff(want, told); diff != "" {
		w.Fatalf("-want +got\n%s", diff)
	}
}

// TestSubscribe says what comes first, by what stands in the log: three events of "a", two of "b". Each row ends with
// one more event of each, live.
func TestSubscribe(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		options func(of func(stream string, number int) uint64) []option
		want    string
	}{
		{"all", func(func(string, int) uint64) []option { return []option{fromStart} },
			"confirmation 0@a 1@a 2@a 0@b 1@b (caught up) 3@a 2@b"},
		{"all, from the end", func(func(string, int) uint64) []option { return []option{fromEnd} },
			"confirmation (caught up) 3@a 2@b"},
		{"all, after an event", func(of func(string, int) uint64) []option { return []option{ofAll(of("a", 2), of("a", 2))} },
			"confirmation 0@b 1@b (caught up) 3@a 2@b"},
		{"all, after where an event begins", func(of func(string, int) uint64) []option { return []option{ofAll(of("b", 0), 0)} },
			"confirmation 0@b 1@b (caught up) 3@a 2@b"},
		{"all, after the last", func(of func(string, int) uint64) []option { return []option{ofAll(of("b", 1), of("b", 1))} },
			"confirmation (caught up) 3@a 2@b"},
		{"all, after what is not there yet", func(of func(string, int) uint64) []option {
			next := of("b", 1) + recordHeader + uint64(len("bhappened")) // where 3@a will begin
			return []option{ofAll(next, next)}
		}, "confirmation (caught up) 2@b"},
		{"filtered", func(func(string, int) uint64) []option { return []option{fromStart, prefixes(32, 1, "b")} },
			"confirmation 0@b 1@b checkpoint (caught up) 2@b"},
		{"filtered, nothing matches", func(func(string, int) uint64) []option { return []option{fromStart, prefixes(3, 1, "c")} },
			"confirmation checkpoint checkpoint checkpoint (caught up)"},
		{"filtered, from the end", func(func(string, int) uint64) []option { return []option{fromEnd, prefixes(32, 1, "b")} },
			"confirmation (caught up) 2@b"},
		{"filtered, after an event", func(of func(string, int) uint64) []option {
			return []option{ofAll(of("b", 0), of("b", 0)), prefixes(32, 1, "b")}
		}, "confirmation 1@b checkpoint (caught up) 2@b"},
		{"a stream", func(func(string, int) uint64) []option { return []option{ofStream("a", 0), fromStart} },
			"confirmation 0@a 1@a 2@a (caught up) 3@a"},
		{"a stream, from the end", func(func(string, int) uint64) []option { return []option{ofStream("a", 0), fromEnd} },
			"confirmation (caught up) 3@a"},
		{"a stream, after the first", func(func(string, int) uint64) []option { return []option{ofStream("a", 0)} },
			"confirmation 1@a 2@a (caught up) 3@a"},
		{"a stream, after the last", func(func(string, int) uint64) []option { return []option{ofStream("a", 2)} },
			"confirmation (caught up) 3@a"},
		{"a stream, after what is not there yet", func(func(string, int) uint64) []option { return []option{ofStream("a", 3)} },
			"confirmation (caught up)"},
		{"a stream, after everything", func(func(string, int) uint64) []option { return []option{ofStream("a", math.MaxInt64)} },
			"confirmation (caught up)"},
		{"a stream that is not there", func(func(string, int) uint64) []option { return []option{ofStream("c", 0), fromStart} },
			"confirmation (caught up)"},
	} {
		for _, old := range []bool{false, true} {
			name, want := row.name, strings.ReplaceAll(row.want, "(caught up)", "caught_up")
			if old {
				name, want = name+", before 23.10", strings.ReplaceAll(row.want, "(caught up) ", "")
				want = strings.TrimSuffix(want, " (caught up)")
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w := open(t, alone{}, func(s *Store) { s.NoCaughtUp = old })
				w.must("a", fresh(3)...)
				w.must("b", fresh(2)...)
				of := func(stream string, number int) uint64 {
					r, ok := w.store.target(stream, int64(number))
					if !ok {
						t.Fatal("no such event")
					}
					return r.Position
				}
				c := w.read(append(row.options(of), subscribed)...)
				heard := func() string {
					m, err := c.Recv()
					if err != nil {
						t.Fatal(err)
					}
					return strings.ReplaceAll(tell(m), " ", "_")
				}
				var told []string
				for quiet := len(strings.Fields(want)) - strings.Count(want, "3@a") - strings.Count(want, "2@b"); len(told) < quiet; {
					told = append(told, heard())
				}
				w.must("a", fresh(1)...)
				w.must("b", fresh(1)...)
				for len(told) < len(strings.Fields(want)) {
					told = append(told, heard())
				}
				if got := strings.Join(told, " "); got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			})
		}
	}
}

// TestSubscribeRefused: what a subscription hears that cannot begin, or not go on.
func TestSubscribeRefused(t *testing.T) {
	t.Parallel()
	garbage := "InvalidArgument: Trying to read from an invalid position."
	deleted := "FailedPrecondition: Event stream 's' is deleted.; exception=stream-deleted; stream-name=s"
	for _, row := range []struct {
		name    string
		options []option
		before  func(*world)
		told    []string
		want    string
	}{
		{"garbage", []option{ofAll(1, 1)}, nil, []string{"confirmation"}, garbage},
		{"garbage, filtered", []option{ofAll(1, 1), prefixes(32, 1, "s")}, nil, []string{"confirmation"}, garbage},
		{"a commit before its prepare", []option{ofAll(1, 2)}, nil, nil, "Unknown: Exception was thrown by handler."},
		{"a tombstone", []option{ofStream("s", 0)}, func(w *world) { do(w, (*Store).Tombstone, "s") }, nil, deleted},
		{"a tombstone of nothing", []option{ofStream("s", 0)}, func(w *world) { do(w, (*Store).Tombstone, "s") }, nil, deleted},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := open(t, alone{})
			w.must("s", fresh(1)...)
			if row.before != nil {
				row.before(w)
			}
			c := w.read(append(row.options, subscribed)...)
			w.hears(c, row.told...)
			_, err := c.Recv()
			w.same(row.want, err, c.Trailer())
		})
	}
}

// TestTombstoneEndsSubscription, with the tombstone itself as the last event; softly deleted streams go on.
func TestTombstoneEndsSubscription(t *testing.T) {
	t.Parallel()
	w := open(t, alone{})
	w.must("s", fresh(1)...)
	c := w.read(ofStream("s", 0), fromStart, subscribed)
	w.hears(c, "confirmation", "0@s", "caught up")
	do(w, (*Store).Delete, "s")
	late := w.read(ofStream("s", 0), fromStart, subscribed)
	w.hears(late, "confirmation", "caught up")
	w.must("s", fresh(1)...)
	w.hears(c, "1@s")
	w.hears(late, "1@s")
	do(w, (*Store).Tombstone, "s")
	w.hears(c, "9223372036854775807@s")
	_, err := c.Recv()
	w.same("FailedPrecondition: Event stream 's' is deleted.; exception=stream-deleted; stream-name=s", err, c.Trailer())
}

// TestTombstoneWhileCatchingUp: a stream may be deleted for ever between two pages.
func TestTombstoneWhileCatchingUp(t *testing.T) {
	t.Parallel()
	store := NewStore()
	s := subscription{reader: reader{service: &service{store: store, node: alone{}}, ctx: t.Context()}, stream: "s", at: head}
	if _, err := store.Tombstone("s", Any); err != nil {
		t.Fatal(err)
	}
	if err := s.catchUpStream(); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("got %v", err)
	}
}

// TestSlowSubscriber: a subscriber that does not read is not waited for. It misses nothing, hears nothing twice, is
// told that it caught up once more, and never that it fell behind.
func TestSlowSubscriber(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]option{
		"all":      {fromStart},
		"filtered": {fromStart, prefixes(32, 1, "s")},
		"stream":   {ofStream("s", 0), fromStart},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := open(t, alone{})
			c := w.read(append(options, subscribed)...)
			w.hears(c, "confirmation")
			for m := ""; m != "caught up"; {
				r, err := c.Recv()
				if err != nil {
					t.Fatal(err)
				}
				m = tell(r)
			}
			const n = 500
			for range n {
				e := fresh(1)
				e[0].Data = make([]byte, 10_000)
				w.must("s", e...)
			}
			again := 0
			for next := 0; next < n || again == 0; {
				m, err := c.Recv()
				if err != nil {
					t.Fatal(err)
				}
				switch got := tell(m); got {
				case fmt.Sprintf("%d@s", next):
					next++
				case "caught up":
					again++
				case "checkpoint":
				default:
					t.Fatalf("got %s, want event %d", got, next)
				}
			}
		})
	}
}

// pair is where a message leaves its subscriber.
func pair(m *streams.ReadResp) (p place, ok bool) {
	if c := m.GetCheckpoint(); c != nil {
		return place{int64(c.GetCommitPosition()), int64(c.GetPreparePosition())}, true
	}
	if e := m.GetEvent().GetEvent(); e != nil {
		return place{int64(e.GetCommitPosition()), int64(e.GetPreparePosition())}, true
	}
	return place{}, false
}

// until takes messages up to one.
func until(t interface{ Fatal(...any) }, c streams.Streams_ReadClient, last string) []*streams.ReadResp {
	var got []*streams.ReadResp
	for {
		m, err := c.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, m); tell(m) == last {
			return got
		}
	}
}

// checkpoints are those among messages.
func checkpoints(messages []*streams.ReadResp) []place {
	var of []place
	for _, m := range messages {
		if p, ok := pair(m); ok && m.GetCheckpoint() != nil {
			of = append(of, p)
		}
	}
	return of
}

// TestCheckpointsCatchingUp: of a hundred events that do not match, and one that is hidden, a checkpoint comes after
// each twenty, and one at the end. They are where the server began to look, which is between events.
func TestCheckpointsCatchingUp(t *testing.T) {
	t.Parallel()
	w := open(t, alone{})
	w.must("other", fresh(100)...)
	records := w.store.Records()
	var want []place
	for _, n := range []int{10, 30, 50, 70, 90, 100} {
		want = append(want, place{int64(records[n-1].post()), 0})
	}
	got := checkpoints(until(t, w.read(fromStart, subscribed, prefixes(10, 2, "s")), "caught up"))
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(place{})); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestCheckpointsOfMatches: pages of matching events are shorter than the window, and what was considered above an
// interval counts for the next.
func TestCheckpointsOfMatches(t *testing.T) {
	t.Parallel()
	w := open(t, alone{})
	w.must("s", fresh(200)...)
	var after []string
	last := ""
	for _, m := range until(t, w.read(fromStart, subscribed, prefixes(50, 1, "s")), "caught up") {
		if m.GetCheckpoint() != nil {
			after = append(after, last)
		}
		last = tell(m)
	}
	if diff := cmp.Diff([]string{"63@s", "127@s", "159@s", "199@s"}, after); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestFellBehind: a subscription that finds something forgotten says how far it came, if it says such things and has
// not said it yet, and goes to catch up.
func TestFellBehind(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name     string
		interval int
		told     bool
		want     []string
	}{
		{"filtered", 100, false, []string{"caught up", "checkpoint"}},
		{"filtered, checkpoint told before", 100, true, []string{"caught up"}},
		{"unfiltered", 0, false, []string{"caught up"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			store, first := NewStore(), fresh(1)
			if _, err := store.Append("s", Any, first); err != nil {
				t.Fatal(err)
			}
			var told []string
			s := subscription{
				reader: reader{
					service: &service{store: store, node: alone{}}, ctx: t.Context(), encoder: encoder{log: store},
					send: func(m *streams.ReadResp) error { told = append(told, tell(m)); return nil },
				},
				stream: "$all", live: &live{stream: "$all", allowed: notHidden, interval: row.interval}, told: head,
				place: func(r Record) place { return at(r.Position) },
			}
			last := store.listen(s.live)
			s.at = place{last, last}
			if row.told {
				s.told = s.at
			}
			if _, err := store.Append("s", Any, fresh(liveSize+1)); err != nil {
				t.Fatal(err)
			}
			if err := s.goLive(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(row.want, told); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// TestCheckpointOfNothing: where all is considered at once and nothing matches, the checkpoint is before everything.
func TestCheckpointOfNothing(t *testing.T) {
	t.Parallel()
	w := open(t, alone{})
	got := checkpoints(until(t, w.read(fromStart, subscribed, prefixes(32, 1, "s")), "caught up"))
	if diff := cmp.Diff([]place{{0, 0}}, got, cmp.AllowUnexported(place{})); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestCheckpointsLive: a checkpoint comes with each fourth event that is considered, hidden ones too, after the event
// if that one matches.
func TestCheckpointsLive(t *testing.T) {
	t.Parallel()
	w := open(t, alone{})
	c := w.read(fromEnd, subscribed, prefixes(2, 2, "s"))
	w.hears(c, "confirmation", "caught up")
	other := func(n int) { w.must("other", fresh(n)...) }
	other(2)
	if err := w.store.Lead(); err != nil {
		t.Fatal(err)
	}
	other(1)
	checkpoint := func(r Record) {
		t.Helper()
		m, err := c.Recv()
		if p, ok := pair(m); err != nil || !ok || m.GetCheckpoint() == nil || p != at(r.Position) {
			t.Errorf("got %v, %v, want a checkpoint at %d", m, err, r.Position)
		}
	}
	last := func() Record { r := w.store.Records(); return r[len(r)-1] }
	checkpoint(last())
	other(3)
	w.must("s", fresh(1)...)
	w.hears(c, "0@s")
	checkpoint(last())
	other(2)
	w.must("s", fresh(1)...)
	if err := w.store.Lead(); err != nil {
		t.Fatal(err)
	}
	w.hears(c, "1@s")
	checkpoint(last()) // the epoch, which nobody is shown
	if last().Stream != epochs {
		t.Error("the test means another record")
	}
}

// TestResume is the law of subscriptions: from wherever one was left, by an event or by a checkpoint, another goes on
// with all that was still to come, and places only grow.
func TestResume(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := open(t, alone{})
		some := rapid.SliceOfN(rapid.SampledFrom([]string{"s-1", "s-2", "t", "t", "t", "$epoch"}), 1, 25)
		write := func(names []string) {
			for _, s := range names {
				if s == "$epoch" {
					_ = w.store.Lead()
				} else {
					w.must(s, fresh(1)...)
				}
			}
		}
		window, multiplier := rapid.Uint32Range(1, 5).Draw(rt, "window"), rapid.Uint32Range(1, 3).Draw(rt, "multiplier")
		filter := prefixes(window, multiplier, "s-")
		write(some.Draw(rt, "before"))
		c := w.read(fromStart, subscribed, filter)
		got := until(rt, c, "caught up")
		write(some.Draw(rt, "live"))
		w.must("s-end", fresh(1)...)
		got = append(got, until(rt, c, "0@s-end")...)

		var matching []Record
		for _, r := range w.store.Records() {
			if strings.HasPrefix(r.Stream, "s-") {
				matching = append(matching, r)
			}
		}
		checkpoint, event := head, head
		for _, m := range got {
			p, ok := pair(m)
			if !ok {
				continue
			}
			if c := m.GetCheckpoint(); c != nil && p.compare(checkpoint) <= 0 || c == nil && p.compare(event) <= 0 {
				rt.Fatalf("%v after a checkpoint at %v and an event at %v", m, checkpoint, event)
			}
			if m.GetCheckpoint() != nil {
				checkpoint = p
			} else {
				event = p
			}
			var want []string
			for _, r := range matching {
				if at(r.Position).compare(p) > 0 {
					want = append(want, fmt.Sprintf("%d@%s", r.Number, r.Stream))
				}
			}
			var told []string
			for _, m := range until(rt, w.read(ofAll(uint64(p.commit), uint64(p.prepare)), subscribed, filter), "caught up") {
				if m.GetEvent() != nil {
					told = append(told, tell(m))
				}
			}
			if diff := cmp.Diff(want, told); diff != "" {
				rt.Fatalf("after %v: %s", m, diff)
			}
		}
		if n := len(matching); event != at(matching[n-1].Position) {
			rt.Fatalf("the last event is at %v", event)
		}
	})
}

// watched is a node whose readers lose their right, and which stops.
type watched struct {
	alone
	refuse atomic.Bool
	stop   chan struct{}
}

func (n *watched) canRead(_ context.Context, stream string) error {
	if n.refuse.Load() {
		return errAccessDenied()
	}
	return nil
}

func (n *watched) done() <-chan struct{} { return n.stop }

// TestSubscriptionLosesAccess: when metadata change, the right to read is asked for again.
func TestSubscriptionLosesAccess(t *testing.T) {
	t.Parallel()
	for stream, options := range map[string][]option{"s": {ofStream("s", 0), fromEnd}, "$all": {fromEnd}} {
		t.Run(stream, func(t *testing.T) {
			t.Parallel()
			n := &watched{}
			w := open(t, n)
			c := w.read(append(options, subscribed)...)
			w.hears(c, "confirmation", "caught up")
			n.refuse.Store(true)
			w.must("s", fresh(1)...)
			w.hears(c, "0@s") // nobody asked yet
			if err := w.store.SetMetadata(stream, `{"$acl":{"$r":"ops"}}`); err != nil {
				t.Fatal(err)
			}
			_, err := c.Recv()
			w.same("PermissionDenied: Access Denied; exception=access-denied", err, c.Trailer())
		})
	}
}

func TestStopEndsSubscription(t *testing.T) {
	t.Parallel()
	n := &watched{stop: make(chan struct{})}
	w := open(t, n)
	c := w.read(fromEnd, subscribed)
	w.hears(c, "confirmation", "caught up")
	close(n.stop)
	_, err := c.Recv()
	w.same("Unavailable: the server shuts down", err, nil)
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	if n := len(w.store.live); n > 0 {
		t.Errorf("%d subscriptions are still told what happens", n)
	}
}
