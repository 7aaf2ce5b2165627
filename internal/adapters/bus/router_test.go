package bus

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
)

func TestRetryPause(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		tries int
		asked string
		want  time.Duration
	}{
		{1, "", 30 * time.Second},
		{2, "", time.Minute},
		{7, "", 32 * time.Minute},
		{8, "", time.Hour},
		{1 << 40, "", time.Hour},
		{8, "5s", 5 * time.Second},
		{1, "24h0m0s", 24 * time.Hour},
	} {
		if got := retryPause(c.tries, c.asked); got != c.want {
			t.Errorf("pause after %d tries, asked for %q: %v, want %v", c.tries, c.asked, got, c.want)
		}
	}
}

func TestWhatIsWorthParking(t *testing.T) {
	t.Parallel()
	running := context.Background()
	stopped, cancel := context.WithCancel(running)
	cancel()
	late, cancel := context.WithDeadline(running, time.Unix(0, 0))
	defer cancel()
	errNo := errors.New("no")
	for name, c := range map[string]struct {
		ctx         context.Context
		err         error
		park, retry bool
	}{
		"failure":                 {running, errNo, true, true},
		"out of time":             {late, late.Err(), true, true},
		"its own cancel":          {running, context.Canceled, true, true},
		"stopped":                 {stopped, context.Canceled, false, true},
		"stopped, another error":  {stopped, errNo, false, true},
		"wish":                    {running, RetryAfter(errNo, time.Second), true, false},
		"wish of its own cancel":  {running, RetryAfter(context.Canceled, time.Second), true, false},
		"wish when it is stopped": {stopped, RetryAfter(errNo, time.Second), false, false},
	} {
		err := judge(message.NewMessageWithContext(c.ctx, "id", nil), c.err)
		if got := worthParking(err); got != c.park {
			t.Errorf("%s: worth parking %t, want %t", name, got, c.park)
		}
		if got := worthRetrying(err); got != c.retry {
			t.Errorf("%s: worth retrying %t, want %t", name, got, c.retry)
		}
	}
}
