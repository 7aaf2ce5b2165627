package calendar_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/calendar"
)

// TestEveryAnchorForACentury walks 1200 months from every day of four years, the leap year among them, over 2100, which
// is none: instants come in order, each period has exactly one, a month has its anchor's day or else its last, and weeks
// are weeks to the nanosecond.
func TestEveryAnchorForACentury(t *testing.T) {
	t.Parallel()
	first := time.Date(2025, time.January, 1, 23, 59, 59, 999_999_000, time.UTC)
	for _, p := range periods() {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			for anchor := first; anchor.Year() < 2029; anchor = anchor.AddDate(0, 0, 1) {
				walk(t, anchor, p)
			}
		})
	}
}

// walk checks a century of due instants.
func walk(t *testing.T, anchor time.Time, p ledgerv1.Period) {
	t.Helper()
	end := anchor.AddDate(100, 0, 0)
	months, weeks := lengthOf(t, p)
	for k, due := 0, anchor; due.Before(end); k++ {
		due = calendar.Due(anchor, p, k)
		if due.Location() != time.UTC {
			t.Fatalf("%v + %d: %v is not in UTC", anchor, k, due)
		}
		if weeks > 0 {
			if want := anchor.Add(time.Duration(k*weeks) * 7 * 24 * time.Hour); !due.Equal(want) {
				t.Fatalf("%v + %d: got %v, want %v", anchor, k, due, want)
			}
		} else if !inMonth(due, anchor, k*months) {
			t.Fatalf("%v + %d: got %v, want the anchor's day of the month that is %d on, or its last", anchor, k, due, k*months)
		}
		if k%29 != 0 {
			continue // what comes next is asked for now and then: it is what takes the time
		}
		if i, at := calendar.FirstAfter(anchor, p, due.Add(-1)); i != k || !at.Equal(due) {
			t.Fatalf("%v: just before %v comes %d at %v, want %d", anchor, due, i, at, k)
		}
		if i, at := calendar.FirstAfter(anchor, p, due); i != k+1 || !at.After(due) {
			t.Fatalf("%v: after %v comes %d at %v, want %d", anchor, due, i, at, k+1)
		}
	}
}

// lengthOf is a period as its name says it.
func lengthOf(t *testing.T, p ledgerv1.Period) (months, weeks int) {
	t.Helper()
	for period, n := range map[ledgerv1.Period]int{monthly: 1, every2Months: 2, quarterly: 3, every6Months: 6, yearly: 12, every2Years: 24} {
		if p == period {
			return n, 0
		}
	}
	for period, n := range map[ledgerv1.Period]int{weekly: 1, every2Weeks: 2} {
		if p == period {
			return 0, n
		}
	}
	t.Fatalf("say how long %v is", p)
	return 0, 0
}

// inMonth reports whether due is so many months after anchor, by counting and without any arithmetic of days: on the
// anchor's day or, where the month ends before it, the day before the first.
func inMonth(due, anchor time.Time, months int) bool {
	months += anchor.Year()*12 + int(anchor.Month()) - 1
	if due.Year()*12+int(due.Month())-1 != months {
		return false
	}
	clamped := due.Day() < anchor.Day() && due.AddDate(0, 0, 1).Day() == 1
	return (due.Day() == anchor.Day() || clamped) && due.Sub(due.Truncate(24*time.Hour)) == anchor.Sub(anchor.Truncate(24*time.Hour))
}

// Whoever begins to count at an instant that kept its day, or was late, comes to the same instants as one who never stopped.
func TestSkippingAndAnchoringAnew(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SampledFrom(periods()).Draw(t, "period")
		anchor := anchors().Draw(t, "anchor")
		j, k := rapid.IntRange(0, 600).Draw(t, "periods"), rapid.IntRange(0, 600).Draw(t, "more periods")
		from := calendar.Due(anchor, p, j)
		if from.Day() == anchor.Day() || p == weekly || p == every2Weeks {
			if got, want := calendar.Due(from, p, k), calendar.Due(anchor, p, j+k); !got.Equal(want) {
				t.Fatalf("anchored anew at %v: got %v, want %v", from, got, want)
			}
		}
		late := from.Add(time.Duration(rapid.Int64Range(0, int64(400*24*time.Hour)).Draw(t, "late")))
		i, next := calendar.FirstAfter(anchor, p, late)
		if i <= j || !next.After(late) || calendar.Due(anchor, p, i-1).After(late) || !next.Equal(calendar.Due(anchor, p, i)) {
			t.Fatalf("%v late: %d at %v is not the first after it", late, i, next)
		}
	})
}
