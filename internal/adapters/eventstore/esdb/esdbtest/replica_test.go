package esdbtest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// letters are the data of the letters among records.
func letters(records []Record) string {
	var b strings.Builder
	for _, r := range records {
		if r.Type == "happened" {
			b.Write(r.Data)
		}
	}
	return b.String()
}

// TestNoQuorum: what no quorum has is answered late, and with nothing; nobody can read it; its repetition is not
// answered either.
func TestNoQuorum(t *testing.T) {
	t.Parallel()
	w := open(t, alone{}, func(s *Store) { s.CommitTimeout = 50 * time.Millisecond })
	w.must("s", named("a")...)
	var asked []string
	w.store.Replicate = func(tail []Record) bool { asked = append(asked, letters(tail)); return false }
	sub := w.read(fromEnd, subscribed)
	w.hears(sub, "confirmation", "caught up")
	timeout := "Aborted: Operation timed out: Commit phase timeout."
	for _, row := range []struct {
		name     string
		expected Expected
		events   string
		want     string
	}{
		{"written", 0, "b", timeout},
		{"repeated", 0, "b", timeout},
		{"repeated, by any", Any, "b", timeout},
		{"the next one, at a number that nobody can read", 1, "c", timeout},
		{"another one at the number that it took", 0, "x", ""},
	} {
		began := time.Now()
		answer, trailer, err := w.append("s", row.expected, named(row.events)...)
		if w.same(row.want, err, trailer); err != nil && time.Since(began) < w.store.CommitTimeout {
			t.Errorf("%s: answered after %v", row.name, time.Since(began))
		}
		if err == nil && answer.GetWrongExpectedVersion().GetCurrentRevision() != 2 {
			t.Errorf("%s: %v", row.name, answer)
		}
	}
	if diff := cmp.Diff([]string{"b", "bc"}, asked); diff != "" {
		t.Errorf("a quorum was asked for\n%s", diff)
	}
	told, err := w.story(ofStream("s", 0))
	if diff := cmp.Diff([]string{"0@s"}, told); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if shown, tail := letters(w.store.Records()), letters(w.store.Tail()); shown != "a" || tail != "bc" {
		t.Errorf("%q is shown, %q is the tail", shown, tail)
	}

	w.store.Replicate = nil
	if got := w.answer("s", 2, "d"); got != "3 at d" {
		t.Error(got)
	}
	w.hears(sub, "1@s", "2@s", "3@s") // a quorum that has the newest has all before it
	if got := w.answer("s", 0, "bc"); got != "2 at c" {
		t.Errorf("repeated now: %s", got)
	}
}

// TestQuorumInTime: an append that waits for its quorum is answered when another one brings it.
func TestQuorumInTime(t *testing.T) {
	t.Parallel()
	w := open(t, alone{}, func(s *Store) { s.CommitTimeout = time.Minute })
	asked := make(chan bool)
	w.store.Replicate = func(tail []Record) bool { asked <- true; return len(tail) > 1 }
	got := make(chan string)
	go func() { got <- w.answer("s", NoStream, "a") }()
	<-asked
	go func() { <-asked }()
	if second := w.answer("s", 0, "b"); second != "1 at b" {
		t.Error(second)
	}
	if first := <-got; first != "0 at a" {
		t.Error(first)
	}
}

// TestOtherEventInItsPlace: an append that waits is not answered when others get the position that it lost.
func TestOtherEventInItsPlace(t *testing.T) {
	t.Parallel()
	w := open(t, alone{}, func(s *Store) { s.CommitTimeout = 200 * time.Millisecond })
	asked := make(chan bool)
	w.store.Replicate = func([]Record) bool { asked <- true; return <-asked }
	got := make(chan error)
	go func() {
		_, _, err := w.append("s", NoStream, named("a")...)
		got <- err
	}()
	<-asked
	w.store.Truncate()
	asked <- false
	go func() {
		<-asked
		asked <- true
	}()
	w.must("s", named("b")...)
	w.same("Aborted: Operation timed out: Commit phase timeout.", <-got, nil)
}

// TestTruncate: what is dropped was never there, for those who repeat it too, and its positions are given again.
func TestTruncate(t *testing.T) {
	t.Parallel()
	s := NewStore()
	s.Replicate = func([]Record) bool { return false }
	lost, err := s.Append("s", NoStream, named("ab"))
	if !errors.Is(err, ErrNotReplicated) {
		t.Fatal(err)
	}
	s.Truncate()
	s.Replicate = nil
	if len(s.Tail()) > 0 {
		t.Errorf("left over: %v", s.Tail())
	}
	out, err := s.Append("s", Any, named("ba"))
	if err != nil || out.Position != lost.Position || out.Revision != 1 {
		t.Errorf("%+v, %v after %+v", out, err, lost)
	}
	if got := letters(s.Records()); got != "ba" {
		t.Error(got)
	}
}

// TestTruncateWhileReplicating: an append whose events are dropped under it was not written, whatever the quorum says.
func TestTruncateWhileReplicating(t *testing.T) {
	t.Parallel()
	s := NewStore()
	s.Replicate = func([]Record) bool { s.Truncate(); return true }
	if _, err := s.Append("s", NoStream, named("a")); !errors.Is(err, ErrNotReplicated) {
		t.Errorf("got %v", err)
	}
	if got := letters(s.Records()) + letters(s.Tail()); got != "" {
		t.Error(got)
	}
}

// TestRevealWhileReplicating: what is shown meanwhile stays shown.
func TestRevealWhileReplicating(t *testing.T) {
	t.Parallel()
	s, other := NewStore(), NewStore()
	other.Replace(s.Records())
	s.Replicate = func(tail []Record) bool {
		other.ApplyReplica(tail)
		if _, err := other.Append("s", Any, named("b")); err != nil {
			t.Error(err)
		}
		s.ApplyReplica(other.Records())
		return true
	}
	if _, err := s.Append("s", NoStream, named("a")); err != nil {
		t.Fatal(err)
	}
	if got := letters(s.Records()); got != "ab" {
		t.Error(got)
	}
}

// TestReveal shows what a quorum does not have, and Truncate takes nothing of it back.
func TestReveal(t *testing.T) {
	t.Parallel()
	w := open(t, alone{})
	w.store.Replicate = func([]Record) bool { return false }
	sub := w.read(fromEnd, subscribed)
	w.hears(sub, "confirmation", "caught up")
	if _, err := w.store.Append("s", NoStream, named("a")); !errors.Is(err, ErrNotReplicated) {
		t.Fatal(err)
	}
	w.store.Reveal()
	w.hears(sub, "0@s")
	if w.store.Truncate(); letters(w.store.Records()) != "a" {
		t.Error("truncated what readers saw")
	}
}

// TestReplicas copies logs between nodes.
func TestReplicas(t *testing.T) {
	t.Parallel()
	leader := NewStore()
	write := func(s *Store, stream, letters string) {
		t.Helper()
		if _, err := s.Append(stream, Any, named(letters)); err != nil {
			t.Fatal(err)
		}
	}
	write(leader, "s", "abc")
	follower := NewStore()
	follower.Replace(leader.Records())
	same := func() {
		t.Helper()
		if diff := cmp.Diff(leader.Records(), follower.Records()); diff != "" {
			t.Errorf("-leader +follower\n%s", diff)
		}
	}
	same()
	write(leader, "t", "de")
	follower.ApplyReplica(leader.Records()) // more than it lacks
	same()
	write(follower, "s", "xyz") // alone, while it thinks that it leads
	write(leader, "s", "fgh")
	follower.ApplyReplica(leader.Records())
	same()
	follower.Replace(leader.Records()[:3]) // a backup
	if got := letters(follower.Records()); got != "ab" {
		t.Error(got)
	}
	if out, err := follower.Append("s", 1, named("c")); err != nil || out.Position != int64(leader.Records()[3].Position) {
		t.Errorf("%+v, %v, after a backup", out, err)
	}
	if err := follower.Lead(); err != nil {
		t.Fatal(err)
	}
	if r := follower.Records(); r[len(r)-1].Stream != epochs || r[len(r)-1].Number != 1 {
		t.Errorf("the second epoch is %+v", r[len(r)-1])
	}
	if out, err := follower.Append("s", Any, named("c")); err != nil || out.Revision != 3 {
		t.Errorf("a new leader knows ids: %+v, %v", out, err)
	}
}

// TestSubscriptionAcrossReplicas: a subscription hears what a follower is given.
func TestSubscriptionAcrossReplicas(t *testing.T) {
	t.Parallel()
	w, leader := open(t, alone{}), NewStore()
	w.store.Replace(leader.Records())
	c := w.read(fromStart, subscribed)
	w.hears(c, "confirmation", "caught up")
	if _, err := leader.Append("s", NoStream, named("ab")); err != nil {
		t.Fatal(err)
	}
	w.store.ApplyReplica(leader.Records())
	w.hears(c, "0@s", "1@s")
}
