package ipn

import (
	"crypto/sha256"
	"encoding/binary"
	"net/http"
	"strconv"
	"time"
)

// maxDelay bounds what a receiver can ask for with Retry-After.
const maxDelay = 24 * time.Hour

// delays lie between the tries: after the first failure, the second, and so on. One more failure is the end.
// They are the schedule of Standard Webhooks, a little more than three days in all.
// Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
func delays() [9]time.Duration {
	return [...]time.Duration{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
		10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
	}
}

// nextTry says when a delivery is tried again after its n-th try failed at `at`; ok is false if that was the last.
// A receiver that asks for more time gets it, up to a day, and none gets less than the schedule has.
func nextTry(id string, n uint32, at time.Time, asked time.Duration) (next time.Time, ok bool) {
	all := delays()
	if n == 0 || int(n) > len(all) {
		return time.Time{}, false
	}
	delay := jitter(id, n, all[n-1])
	if asked > delay {
		delay = max(delay, min(asked, maxDelay))
	}
	return at.Add(delay).Truncate(time.Microsecond), true
}

// jitter spreads a delay by up to a fifth either way, so that what failed together is not tried together again. It
// follows from what is delivered and not from chance, so that a schedule can be foreseen and repeated.
func jitter(id string, n uint32, d time.Duration) time.Duration {
	sum := sha256.Sum256([]byte(id + "/" + strconv.FormatUint(uint64(n), 10)))
	part := float64(binary.BigEndian.Uint64(sum[:8])>>11) / (1 << 53) // [0, 1)
	return time.Duration(float64(d) * (0.8 + 0.4*part))
}

// retryAfter reads the header of that name, seconds or a date; 0 if there is none that can be read. It is heeded
// only where its meaning is clear: the receiver has too much to do.
func retryAfter(status int, h http.Header, now time.Time) time.Duration {
	if status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
		return 0
	}
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}
