package projection_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ledger.internal/ledger/internal/projection"
)

// doubts lists what is in doubt in short, page by page of the given size: "s1 1.1 since 12:02: timeout".
func doubts(t *testing.T, r projection.Reader, size int32) []string {
	t.Helper()
	lines := []string{}
	for p := (projection.Page{Size: size}); ; {
		list, next, err := projection.ListInDoubt(context.Background(), r, p)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list {
			what := fmt.Sprintf("%d.%d", d.GetPayNumber(), d.GetAttempt())
			if d.GetRefundId() != "" {
				what = fmt.Sprintf("refund %s of %d", d.GetRefundId(), d.GetPayNumber())
			}
			lines = append(lines, fmt.Sprintf("%s %s since %s: %s", d.GetSubscriptionId(), what,
				d.GetSince().AsTime().Format("15:04"), d.GetWhy()))
		}
		if p.Token = next; next == "" {
			return lines
		}
	}
}

func TestInDoubt(t *testing.T) {
	t.Parallel()
	asked := func() *past { return newPast("s1").at(1, started(), requested(1, 1, 0)) }
	sold := func() *past { return asked().at(2, succeeded(10001, 1, 1, 0)) }
	const ended, overtaken = "the subscription ended before the outcome was known", "a chargeback came before the outcome was known"
	tests := []struct {
		name string
		past *past
		want []string
	}{
		{"asked for", asked(), []string{}},
		{"pending", asked().at(2, pending(1, 1)), []string{}},
		{"paid", sold(), []string{}},
		{"unknown", asked().at(2, unknown(1, 1)), []string{"s1 1.1 since 12:02: timeout"}},
		{"unknown twice", asked().at(2, unknown(1, 1)).at(3, unknown(1, 1)), []string{"s1 1.1 since 12:02: timeout"}},
		{"found charged", asked().at(2, unknown(1, 1)).at(3, succeeded(10001, 1, 1, 0)), []string{}},
		{"found absent", asked().at(2, unknown(1, 1)).at(3, notCharged(1, 1)), []string{}},
		{"found declined", asked().at(2, unknown(1, 1)).at(3, declined(10001, 1, 1, 0, 0)), []string{}},
		{"found pending", asked().at(2, unknown(1, 1)).at(3, pending(1, 1)), []string{}},
		{"found another amount", asked().at(2, unknown(1, 1)).at(3, mismatched(1, 1)), []string{}},
		{"cancelled while asked for", asked().at(2, cancelled(0)), []string{"s1 1.1 since 12:02: " + ended}},
		{"cancelled while pending", asked().at(2, pending(1, 1)).at(3, cancelled(0)), []string{"s1 1.1 since 12:03: " + ended}},
		{"cancelled while pending, still pending", asked().at(2, cancelled(0)).at(3, pending(1, 1)), []string{"s1 1.1 since 12:02: " + ended}},
		{"cancelled while unknown", asked().at(2, unknown(1, 1)).at(3, cancelled(0)), []string{"s1 1.1 since 12:02: timeout"}},
		{"cancelled, then found", asked().at(2, cancelled(0)).at(3, late(10001, 1, 1)), []string{}},
		{"paused while asked for", asked().at(2, paused()), []string{"s1 1.1 since 12:02: the subscription was paused before the outcome was known"}},
		{"paused, then found", asked().at(2, paused()).at(3, succeeded(10001, 1, 1, 0)), []string{}},
		{"paused while pending", asked().at(2, pending(1, 1)).at(3, paused()), []string{}},
		{"paused while unknown, then pending", asked().at(2, unknown(1, 1)).at(3, paused()).at(4, pending(1, 1)), []string{}},
		{"paused, a refund open", sold().at(3, refundRequested("a", 10001, 4700)).at(4, paused()), []string{}},
		{"the gateway charged by itself", asked().at(2, observed(10001, 1)), []string{"s1 1.1 since 12:02: the gateway took this payment by itself"}},
		{"the gateway charged another number", sold().at(3, requested(2, 1, 0)).at(4, observed(10002, 3)), []string{}},
		{"cancelled, a refund open", sold().at(3, refundRequested("a", 10001, 4700)).at(4, cancelled(10002)), []string{}},
		{"an earlier attempt paid", sold().at(3, requested(2, 1, 0)).at(4, declined(10002, 2, 1, 0, 6)).at(6, requested(2, 2, 1)).
			at(7, late(10003, 2, 1)), []string{"s1 2.2 since 12:07: another attempt paid this number"}},
		{"refund asked for", sold().at(3, refundRequested("a", 10001, 4700)), []string{}},
		{"refund unknown", sold().at(3, refundRequested("a", 10001, 4700)).at(4, refundUnknown("a")), []string{"s1 refund a of 1 since 12:04: reset"}},
		{"refund found", sold().at(3, refundRequested("a", 10001, 4700), refundUnknown("a")).at(4, refunded(10002, "a", 10001, 4700, true)), []string{}},
		{"refund found failed", sold().at(3, refundRequested("a", 10001, 4700), refundUnknown("a")).at(4, refundFailed("a")), []string{}},
		{"refund found pending", sold().at(3, refundRequested("a", 10001, 4700), refundUnknown("a")).at(4, refundPending("a")), []string{}},
		{"refund overtaken by a chargeback", sold().at(3, refundRequested("a", 10001, 4700)).at(4, withdrawn(10002, 10001, 4700)),
			[]string{"s1 refund a of 1 since 12:04: " + overtaken}},
		{"another order charged back", sold().at(3, refundRequested("a", 10001, 4700)).at(4, withdrawn(10002, 10009, 4700)), []string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := newViews(t, projection.InDoubt())
			v.apply(tt.past.events...)
			if d := cmp.Diff(tt.want, doubts(t, v.store, 0)); d != "" {
				t.Errorf("in doubt (-want +got):\n%s", d)
			}
		})
	}
}

func TestListInDoubtIsOldestFirst(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.InDoubt())
	for i, id := range []string{"s1", "s3", "s2"} {
		v.apply(newPast(id).at(1, started(), requested(1, 1, 0)).at(2+i, unknown(1, 1)).events...)
	}
	v.apply(newPast("s4").at(4, started(), requested(1, 1, 0), unknown(1, 1)).events...)
	want := []string{
		"s1 1.1 since 12:02: timeout", "s3 1.1 since 12:03: timeout",
		"s2 1.1 since 12:04: timeout", "s4 1.1 since 12:04: timeout",
	}
	for size := range int32(6) {
		if d := cmp.Diff(want, doubts(t, v.store, size)); d != "" {
			t.Errorf("in doubt, pages of %d (-want +got):\n%s", size, d)
		}
	}
}

func TestDoubtAboutWhatWasNeverOpen(t *testing.T) {
	t.Parallel()
	v := newViews(t, projection.InDoubt())
	err := v.try(newPast("s1").at(1, started(), unknown(1, 1)).events...)
	if err == nil || !strings.Contains(err.Error(), "never open") {
		t.Errorf("error %v, want one that says that the attempt was never open", err)
	}
}
