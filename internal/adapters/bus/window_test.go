package bus

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"ledger.internal/ledger/internal/aggregate/event"
)

// at makes an event at a position; its id tells the position.
func at(position uint64, stream string, r event.Revision) event.RawRecorded {
	e := event.RawRecorded{Stream: stream, Revision: r, Position: event.Position{Commit: position, Prepare: position}}
	e.ID = uuid.NewSHA1(uuid.NameSpaceOID, []byte(fmt.Sprint(position)))
	return e
}

// given is what Next gives, as "stream@revision".
func given(w *Window) []string {
	var out []string
	for e, ok := w.Next(); ok; e, ok = w.Next() {
		out = append(out, fmt.Sprintf("%s@%d", e.Stream, e.Revision))
	}
	return out
}

func wantGiven(t *testing.T, w *Window, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, given(w)); diff != "" {
		t.Errorf("events that may go out (-want +got):\n%s", diff)
	}
}

func wantCursor(t *testing.T, w *Window, position uint64) {
	t.Helper()
	if got := w.Cursor().Position.Commit; got != position {
		t.Errorf("cursor at %d, want %d", got, position)
	}
}

func TestWindowOneEventPerStream(t *testing.T) {
	t.Parallel()
	w := NewWindow(10, event.Cursor{})
	w.Offer(at(1, "a", 0))
	w.Offer(at(2, "a", 1))
	w.Offer(at(3, "b", 0))
	wantGiven(t, w, "a@0", "b@0")
	w.Done(at(3, "b", 0))
	wantCursor(t, w, 0)
	wantGiven(t, w)
	w.Done(at(1, "a", 0))
	wantCursor(t, w, 1)
	wantGiven(t, w, "a@1")
	w.Advance(event.Position{Commit: 9})
	wantCursor(t, w, 1)
	got := w.Done(at(2, "a", 1))
	want := event.Cursor{Position: event.Position{Commit: 9}, LastPosition: at(3, "", 0).Position, LastID: at(3, "", 0).ID}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("cursor (-want +got):\n%s", diff)
	}
	if !w.Idle() {
		t.Error("not idle although all is done")
	}
}

// A subscription that began again further back delivers again what came before.
func TestWindowTakesAnEventOnce(t *testing.T) {
	t.Parallel()
	w := NewWindow(10, event.Cursor{Position: at(2, "", 0).Position})
	w.Offer(at(1, "a", 0))
	w.Offer(at(3, "a", 1))
	w.Offer(at(4, "b", 0))
	wantGiven(t, w, "a@1", "b@0")
	w.Done(at(4, "b", 0))
	w.Offer(at(3, "a", 1))
	w.Offer(at(4, "b", 0))
	wantGiven(t, w)
	w.Done(at(3, "a", 1))
	wantCursor(t, w, 4)
	w.Offer(at(2, "a", 0))
	wantGiven(t, w)
	wantCursor(t, w, 4)
	w.Park("b", 1)
	w.Offer(at(5, "b", 1))
	w.Offer(at(6, "b", 2))
	w.Offer(at(5, "b", 1))
	if w.Replayed("b", 1) {
		t.Error("b is taken back before all of it was replayed")
	}
}

func TestWindowIsFullOfUnfinishedEventsOnly(t *testing.T) {
	t.Parallel()
	w := NewWindow(2, event.Cursor{})
	w.Offer(at(1, "slow", 0))
	given(w)
	for i := range uint64(100) {
		e := at(i+2, "fast", event.Revision(i))
		if w.Full() {
			t.Fatalf("full before event %d although one event is unfinished", i)
		}
		w.Offer(e)
		given(w)
		w.Done(e)
	}
	wantCursor(t, w, 0)
	w.Offer(at(200, "b", 0))
	if !w.Full() {
		t.Error("not full with two unfinished events")
	}
	w.Done(at(1, "slow", 0))
	wantCursor(t, w, 101)
}

func TestWindowPark(t *testing.T) {
	t.Parallel()
	w := NewWindow(10, event.Cursor{})
	w.Offer(at(1, "a", 4))
	w.Offer(at(2, "a", 5))
	w.Offer(at(3, "b", 0))
	wantGiven(t, w, "a@4", "b@0")
	w.Park("a", 4)
	wantCursor(t, w, 2)
	w.Done(at(1, "a", 4)) // acknowledged after it was parked
	w.Offer(at(4, "a", 6))
	wantGiven(t, w)
	w.Done(at(3, "b", 0))
	wantCursor(t, w, 4)

	if w.Replayed("a", 5) {
		t.Fatal("taken back although revision 6 was diverted and not replayed")
	}
	if !w.Replayed("a", 7) { // the replay has read further than the log has offered
		t.Fatal("not taken back although all that was diverted was replayed")
	}
	w.Offer(at(5, "a", 7))
	w.Offer(at(6, "a", 8))
	wantGiven(t, w) // kept back
	wantCursor(t, w, 5)
	w.Resume("a")
	wantGiven(t, w, "a@8")
	w.Done(at(6, "a", 8))
	wantCursor(t, w, 6)
}

func TestWindowParkAgainBeforeResume(t *testing.T) {
	t.Parallel()
	w := NewWindow(10, event.Cursor{})
	w.Park("a", 0)
	if !w.Replayed("a", 0) {
		t.Fatal("not taken back")
	}
	w.Offer(at(2, "a", 1))
	w.Park("a", 0)
	wantCursor(t, w, 2)
	if w.Replayed("a", 0) {
		t.Error("taken back although revision 1 was diverted")
	}
}

// TestWindowLaws drives a window in any order against a model that remembers what has happened to each event.
func TestWindowLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newWindowModel(rapid.IntRange(1, 8).Draw(t, "size"))
		t.Repeat(map[string]func(*rapid.T){
			"":        m.check,
			"append":  m.append,
			"offer":   m.offer,
			"other":   m.advance,
			"next":    m.next,
			"done":    m.done,
			"park":    m.park,
			"replay":  m.replay,
			"unpark":  m.takeBack,
			"resume":  m.resume,
			"restart": m.restart,
		})
		m.finish(t)
	})
}

// windowModel is a log, a window on it, and the truth about every event.
type windowModel struct {
	size     int
	w        *Window
	log      []event.RawRecorded
	offered  int                          // how many of the log
	end      uint64                       // of the log, with the events of other categories
	last     map[string]event.Revision    // by stream: its end
	handled  map[string]event.Revision    // by stream: up to where the handler has come, without a gap
	out      map[string]event.RawRecorded // by stream
	replayed map[string]event.Revision    // by parked stream: up to where its replay has come
	rows     map[string]event.Revision    // by stream: from where it is parked, as written down
	earlier  map[string]event.Revision    // by parked stream: its end when the window began; a replay reads at least so far
	held     map[string]bool              // taken back and not resumed
	cursor   event.Cursor                 // seen last
}

func newWindowModel(size int) *windowModel {
	return &windowModel{
		size: size, w: NewWindow(size, event.Cursor{}),
		last: map[string]event.Revision{}, handled: map[string]event.Revision{}, out: map[string]event.RawRecorded{},
		replayed: map[string]event.Revision{}, rows: map[string]event.Revision{},
		earlier: map[string]event.Revision{}, held: map[string]bool{},
	}
}

func (m *windowModel) append(t *rapid.T) {
	stream := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "stream")
	if _, ok := m.last[stream]; !ok {
		m.last[stream], m.handled[stream] = event.NoStream, event.NoStream
	}
	m.last[stream]++
	m.end++
	m.log = append(m.log, at(m.end, stream, m.last[stream]))
}

func (m *windowModel) offer(t *rapid.T) {
	if m.offered == len(m.log) || m.w.Full() {
		t.Skip("nothing to offer")
	}
	m.w.Offer(m.log[m.offered])
	m.offered++
}

func (m *windowModel) advance(t *rapid.T) {
	if m.offered < len(m.log) {
		t.Skip("there are events in between")
	}
	m.end++
	m.w.Advance(event.Position{Commit: m.end, Prepare: m.end})
}

func (m *windowModel) next(t *rapid.T) {
	e, ok := m.w.Next()
	if !ok {
		t.Skip("nothing to give")
	}
	_, twice := m.out[e.Stream]
	_, parked := m.replayed[e.Stream]
	if twice || parked || m.held[e.Stream] {
		t.Fatalf("%s@%d goes out: another is out %t, parked %t, held %t", e.Stream, e.Revision, twice, parked, m.held[e.Stream])
	}
	if want := m.handled[e.Stream] + 1; e.Revision != want {
		t.Fatalf("%s@%d goes out, want revision %d", e.Stream, e.Revision, want)
	}
	m.out[e.Stream] = e
}

// draw chooses a stream.
func draw[V any](t *rapid.T, of map[string]V) string {
	if len(of) == 0 {
		t.Skip("none")
	}
	return rapid.SampledFrom(slices.Sorted(maps.Keys(of))).Draw(t, "stream")
}

func (m *windowModel) done(t *rapid.T) {
	e := m.out[draw(t, m.out)]
	delete(m.out, e.Stream)
	m.handled[e.Stream] = e.Revision
	m.w.Done(e)
}

func (m *windowModel) park(t *rapid.T) {
	e := m.out[draw(t, m.out)]
	delete(m.out, e.Stream)
	m.rows[e.Stream], m.replayed[e.Stream] = e.Revision, e.Revision-1
	delete(m.earlier, e.Stream)
	m.w.Park(e.Stream, e.Revision)
	m.w.Done(e) // the acknowledgement that follows must not count twice
}

// replay handles the next event of a parked stream, whether the window was offered it or not.
func (m *windowModel) replay(t *rapid.T) {
	stream := draw(t, m.replayed)
	if m.replayed[stream] == m.last[stream] {
		t.Skip("at the end")
	}
	m.replayed[stream]++
	m.handled[stream] = m.replayed[stream]
}

func (m *windowModel) takeBack(t *rapid.T) {
	stream := draw(t, m.replayed)
	if m.replayed[stream] < m.earlier[stream] {
		t.Skip("the replay has not read the stream to its end")
	}
	diverted := m.rows[stream]
	for _, e := range m.log[:m.offered] {
		if e.Stream == stream {
			diverted = max(diverted, e.Revision)
		}
	}
	got, want := m.w.Replayed(stream, m.replayed[stream]), diverted <= m.replayed[stream]
	if got != want {
		t.Fatalf("%s replayed up to %d, diverted up to %d: taken back %t, want %t", stream, m.replayed[stream], diverted, got, want)
	}
	if got {
		delete(m.replayed, stream)
		m.held[stream] = true
	}
}

func (m *windowModel) resume(t *rapid.T) {
	stream := draw(t, m.held)
	delete(m.held, stream)
	delete(m.rows, stream)
	m.w.Resume(stream)
}

// restart goes on from the cursor, with the parks that were written down. Events behind the cursor come again, and
// so do those of a replay.
func (m *windowModel) restart(*rapid.T) {
	m.w = NewWindow(m.size, m.w.Cursor())
	clear(m.out)
	clear(m.held)
	m.offered = 0
	for _, e := range m.log {
		if e.Position.Compare(m.w.Cursor().Position) <= 0 {
			m.offered++
		}
	}
	for _, e := range m.log[m.offered:] {
		m.handled[e.Stream] = min(m.handled[e.Stream], e.Revision-1)
	}
	for stream, from := range m.rows {
		m.w.Park(stream, from)
		m.earlier[stream] = m.last[stream]
		m.replayed[stream], m.handled[stream] = from-1, from-1
	}
}

func (m *windowModel) check(t *rapid.T) {
	got := m.w.Cursor()
	if got.Position.Compare(m.cursor.Position) < 0 {
		t.Fatalf("cursor went back from %v to %v", m.cursor.Position, got.Position)
	}
	m.cursor = got
	if m.w.Held() > m.size || m.w.Out() != len(m.out) {
		t.Fatalf("holds %d of at most %d, %d out, want %d", m.w.Held(), m.size, m.w.Out(), len(m.out))
	}
	unfinished := 0
	for i, e := range m.log {
		if _, parked := m.replayed[e.Stream]; parked || e.Revision <= m.handled[e.Stream] {
			continue
		}
		if i < m.offered {
			unfinished++
		}
		if e.Position.Compare(got.Position) <= 0 {
			t.Fatalf("cursor at %v has passed %s@%d, which is not finished", got.Position, e.Stream, e.Revision)
		}
	}
	if m.w.Idle() != (unfinished == 0) {
		t.Fatalf("idle %t with %d unfinished events", m.w.Idle(), unfinished)
	}
}

// finish lets everything come to its end: nothing may be left over, nothing may come twice.
func (m *windowModel) finish(t *rapid.T) {
	for m.offered < len(m.log) || !m.w.Idle() || len(m.rows) > 0 {
		for stream := range m.replayed {
			m.replayed[stream], m.handled[stream] = m.last[stream], m.last[stream]
			if !m.w.Replayed(stream, m.last[stream]) {
				t.Fatalf("%s is not taken back although its replay has come to the end", stream)
			}
			m.held[stream] = true
			delete(m.replayed, stream)
		}
		for stream := range m.held {
			delete(m.held, stream)
			delete(m.rows, stream)
			m.w.Resume(stream)
		}
		for m.offered < len(m.log) && !m.w.Full() {
			m.offer(t)
		}
		for e, ok := m.w.Next(); ok; e, ok = m.w.Next() {
			if e.Revision != m.handled[e.Stream]+1 {
				t.Fatalf("%s@%d goes out, want revision %d", e.Stream, e.Revision, m.handled[e.Stream]+1)
			}
			m.out[e.Stream] = e
		}
		for stream, e := range m.out {
			delete(m.out, stream)
			m.handled[stream] = e.Revision
			m.w.Done(e)
		}
	}
	if diff := cmp.Diff(m.last, m.handled); diff != "" {
		t.Fatalf("handled at the end (-want +got):\n%s", diff)
	}
	m.check(t)
	if n := len(m.log); n > 0 && m.w.Cursor().Position.Compare(m.log[n-1].Position) < 0 {
		t.Fatalf("cursor at %v at the end, want at least %v", m.w.Cursor().Position, m.log[n-1].Position)
	}
}
