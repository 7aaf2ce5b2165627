package esdb

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"ledger.internal/ledger/internal/adapters/eventstore/esdb/esdbtest"
	"ledger.internal/ledger/internal/aggregate/event"
)

// told is an event as another client tells of it.
type told struct {
	Stream   string
	Revision event.Revision
	ID       uuid.UUID
	Type     string
	Data     any
	Metadata any
	Position *struct {
		Commit, Prepare uint64 `json:",string"`
	}
}

// TestAnotherClientReads has a client that shares no line with ours read what the log wrote: the one for Node, in a stream
// and in all of them. LEDGER_TEST_NODE=1 lets the test fetch it.
func TestAnotherClientReads(t *testing.T) {
	if os.Getenv("LEDGER_TEST_NODE") == "" {
		t.Skip("LEDGER_TEST_NODE=1 has npm fetch a client for Node, and the test run it")
	}
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/node")); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts")

	url := named
	if url == "" {
		url = esdbtest.Start(t).URL()
	}
	l := open(t, url)
	category := "subscription_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	one, two := category+"-m.1", category+"-m.2"
	var want []event.RawRecorded
	for i, stream := range []string{one, two, one, one} {
		at, size := event.NoStream, i+1
		for _, e := range want {
			if e.Stream == stream {
				at = e.Revision
			}
		}
		events := raw(size)
		events[0].Data = []byte(`{"name":"Zoë 猫 🐈","minor_units":"4700","none":null}`)
		p, err := l.Append(t.Context(), stream, at, events...)
		if err != nil {
			t.Fatal(err)
		}
		for j, e := range events {
			want = append(want, event.RawRecorded{Stream: stream, Revision: at + 1 + event.Revision(j), Raw: e})
		}
		want[len(want)-1].Position = p
	}
	var got struct{ Of, All []told }
	if err := json.Unmarshal(run(t, dir, "node", "read.js", url, one), &got); err != nil {
		t.Fatal(err)
	}
	wantTold(t, "the stream", got.Of, of(want, func(e event.RawRecorded) bool { return e.Stream == one }))
	var ours []told
	for _, e := range got.All {
		if strings.HasPrefix(e.Stream, category) { // a named server holds more
			ours = append(ours, e)
		}
	}
	wantTold(t, "$all", ours, want)
}

func of(all []event.RawRecorded, is func(event.RawRecorded) bool) (some []event.RawRecorded) {
	for _, e := range all {
		if is(e) {
			some = append(some, e)
		}
	}
	return some
}

// wantTold compares events; of the last one of each append, the position is known too.
func wantTold(t *testing.T, where string, got []told, events []event.RawRecorded) {
	t.Helper()
	var want []told
	for i, e := range events {
		w := told{Stream: e.Stream, Revision: e.Revision, ID: e.ID, Type: e.Type}
		for body, to := range map[*any][]byte{&w.Data: e.Data, &w.Metadata: e.Metadata} {
			if err := json.Unmarshal(to, body); err != nil {
				t.Fatal(err)
			}
		}
		if i < len(got) && got[i].Position != nil && !e.Position.IsZero() {
			if p := got[i].Position; p.Commit != e.Position.Commit || p.Prepare != e.Position.Prepare {
				t.Errorf("%s: %s stands at %d-%d, the append answered %s", where, e.ID, p.Commit, p.Prepare, e.Position)
			}
		}
		want = append(want, w)
	}
	for i := range got {
		got[i].Position = nil
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s as the other client reads it (-want +got):\n%s", where, diff)
	}
}

// run runs a program in a directory and gives what it printed.
func run(t *testing.T, dir, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, errs.String())
	}
	return out
}
