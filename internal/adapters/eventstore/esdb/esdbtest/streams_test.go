package esdbtest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAppendReadSubscribe(t *testing.T) {
	t.Parallel()
	w := open(t, alone{})
	answer, _, err := w.append("order-1", NoStream, named("ab")...)
	if err != nil || answer.GetSuccess().GetCurrentRevision() != 1 {
		t.Fatalf("append: %v, %v", answer, err)
	}
	told, err := w.story(ofStream("order-1", 0))
	if diff := cmp.Diff(numbers("order-1", 0, 1), told); diff != "" || err != nil {
		t.Errorf("read: %v\n%s", err, diff)
	}
	c := w.read(fromStart, subscribed)
	for _, want := range []string{"confirmation", "0@order-1", "1@order-1", "caught up"} {
		m, err := c.Recv()
		if err != nil || tell(m) != want {
			t.Fatalf("got %v, %v, want %s", m, err, want)
		}
	}
	w.must("order-2", named("c")...)
	if m, err := c.Recv(); err != nil || tell(m) != "0@order-2" {
		t.Errorf("got %v, %v", m, err)
	}
}
