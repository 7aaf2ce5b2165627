package sim

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/event/storetest"
)

// As long as its servers get along, a cluster is a log like any other.
func TestClusterIsALog(t *testing.T) {
	storetest.Run(t, func(*testing.T) event.Log { return newCluster(func(string) {}) }, storetest.Options{})
}

// servers is a cluster under test.
type servers struct {
	*cluster
	t *testing.T
}

func newServers(t *testing.T) servers { return servers{newCluster(func(string) {}), t} }

// say appends an event named by a word.
func (s servers) say(at event.Revision, word string) error {
	_, err := s.Append(context.Background(), "note-a", at, event.Raw{
		ID: uuid.NewSHA1(uuid.NameSpaceOID, []byte(word)), Type: word, Data: []byte("{}"), Metadata: []byte("{}"),
	})
	return err
}

func (s servers) says(at event.Revision, word string, want error) {
	s.t.Helper()
	if err := s.say(at, word); !errors.Is(err, want) {
		s.t.Errorf("append %s at %d: got %v, want %v", word, at, err, want)
	}
}

// conflicts says that an append finds the stream at another revision.
func (s servers) conflicts(at event.Revision, word string, actual event.Revision) {
	s.t.Helper()
	var wrong *event.WrongRevisionError
	if err := s.say(at, word); !errors.As(err, &wrong) || wrong.Actual != actual {
		s.t.Errorf("append %s at %d: got %v, want a conflict with revision %d", word, at, err, actual)
	}
}

// holds says what can be read.
func (s servers) holds(want ...string) {
	s.t.Helper()
	var got []string
	for e, err := range s.Read(context.Background(), "note-a", 0) {
		if err != nil && !errors.Is(err, event.ErrStreamNotFound) {
			s.t.Fatal(err)
		}
		if err == nil {
			got = append(got, e.Type)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("what can be read (-want +got):\n%s", diff)
	}
}

func TestClusterDropsAppends(t *testing.T) {
	s := newServers(t)
	s.suffer(mute)
	s.says(event.NoStream, "a", event.ErrUnknownOutcome)
	s.says(event.NoStream, "a", event.ErrUnknownOutcome)
	s.holds()
	if err := s.agree(); err != nil {
		t.Fatal(err)
	}
	s.says(event.NoStream, "a", nil)
	s.holds("a")
}

func TestClusterTellsTheOthersLate(t *testing.T) {
	s := newServers(t)
	s.says(event.NoStream, "a", nil)
	s.suffer(apart)
	s.says(0, "b", event.ErrUnknownOutcome)
	s.says(0, "b", event.ErrUnknownOutcome)
	s.says(event.NoStream, "a", nil)
	s.conflicts(0, "c", 1)
	s.holds("a")
	if err := s.agree(); err != nil {
		t.Fatal(err)
	}
	s.says(0, "b", nil)
	s.holds("a", "b")
}

func TestClusterLosesATail(t *testing.T) {
	s := newServers(t)
	s.says(event.NoStream, "a", nil)
	s.suffer(apart)
	s.says(0, "b", event.ErrUnknownOutcome)
	if lost, _ := s.depose(0); lost != 1 {
		t.Errorf("lost %d events, want 1", lost)
	}
	s.says(0, "c", nil)
	s.conflicts(0, "b", 1)
	s.holds("a", "c")
}

func TestClusterAppendsLate(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile string
		want      []string
	}{
		"in time":  {"", []string{"a"}},
		"repeated": {"a", []string{"a"}},
		"too late": {"b", []string{"b"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServers(t)
			s.delay = true
			s.says(event.NoStream, "a", event.ErrUnknownOutcome)
			if c.meanwhile != "" {
				s.says(event.NoStream, c.meanwhile, nil)
			}
			if !s.arrive() || s.arrive() {
				t.Error("want one append to arrive")
			}
			s.holds(c.want...)
		})
	}
}

// followed is what a subscription delivers, and how it ends.
type followed struct {
	words []string
	ended error
}

// follow follows all.
func (s servers) follow(ctx context.Context) *followed {
	f := &followed{}
	go func() {
		f.ended = s.Follow(ctx, nil, event.Cursor{}, func(_ context.Context, m event.Message) error {
			if m.Kind == event.KindEvent {
				f.words = append(f.words, m.Event.Type)
			}
			return nil
		})
	}()
	synctest.Wait()
	return f
}

func TestClusterDeliversAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := newServers(t)
		for i, word := range []string{"a", "b", "c"} {
			s.says(event.Revision(i)-1, word, nil)
		}
		f := s.follow(ctx)
		_, drop := s.depose(2)
		s.says(2, "d", nil)
		drop()
		synctest.Wait()
		cancel()
		synctest.Wait()
		if want := []string{"a", "b", "c", "b", "c", "d"}; !slices.Equal(f.words, want) || !errors.Is(f.ended, context.Canceled) {
			t.Errorf("got %v and %v, want %v and %v", f.words, f.ended, want, context.Canceled)
		}
	})
}

// A subscription that has shown what was lost does not go on, whatever took its place.
func TestClusterNoticesWhatItShowed(t *testing.T) {
	for _, c := range []struct {
		name  string
		after []string
		want  error
	}{
		{"nothing stands there", nil, event.ErrPositionAhead},
		{"another event stands there", []string{"c"}, event.ErrDiverged},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServers(t)
				s.says(event.NoStream, "a", nil)
				s.suffer(leaking)
				s.says(0, "b", event.ErrUnknownOutcome)
				f := s.follow(t.Context())
				s.holds("a")
				_, drop := s.depose(0)
				for _, word := range c.after {
					s.says(0, word, nil)
				}
				drop()
				synctest.Wait()
				if want := []string{"a", "b"}; !slices.Equal(f.words, want) || !errors.Is(f.ended, c.want) {
					t.Errorf("got %v and %v, want %v and %v", f.words, f.ended, want, c.want)
				}
			})
		})
	}
}
