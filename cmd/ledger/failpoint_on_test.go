//go:build failpoint

package main

import (
	"errors"
	"strings"
	"testing"

	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/sim/door"
)

func TestFailPointsAreRead(t *testing.T) {
	for _, c := range []struct{ text, refused string }{
		{"log.append:after:3:kill", ""},
		{"log.append:before:1:error", ""},
		{"receiver.post:1:pause", ""},
		{"log.append", "is not point[:before|after]:n:action"},
		{"log.append:during:1:kill", `"during" is neither before nor after`},
		{"log.apend:1:kill", `no point "log.apend"`},
		{"log.append:0:kill", `"0" is no number from 1`},
		{"log.append:x:kill", `"x" is no number from 1`},
		{"log.append:1:sulk", `"sulk" is not kill, pause or error`},
	} {
		_, err := parseFailPoint(c.text)
		if (err == nil) != (c.refused == "") || err != nil && !strings.Contains(err.Error(), c.refused) {
			t.Errorf("%s: got error %v, want one that says %q", c.text, err, c.refused)
		}
	}
}

func TestFailPointFailsOnce(t *testing.T) {
	p, err := parseFailPoint("log.append:after:2:error")
	if err != nil {
		t.Fatal(err)
	}
	appending, reading := door.Call{Neighbour: door.Log, Name: "append"}, door.Call{Neighbour: door.Log, Name: "read"}
	var failed []int
	for i := range 4 {
		if err := errors.Join(p.Before(t.Context(), appending), p.After(t.Context(), reading)); err != nil {
			t.Errorf("a call that is not at the fail point failed: %v", err)
		}
		if err := p.After(t.Context(), appending); errors.Is(err, event.ErrUnavailable) {
			failed = append(failed, i)
		}
	}
	if len(failed) != 1 || failed[0] != 1 {
		t.Errorf("the calls %v failed, want the second only, which is 1", failed)
	}
}
