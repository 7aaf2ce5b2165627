package calendar_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/calendar"
)

const (
	weekly        = ledgerv1.Period_PERIOD_WEEKLY
	every2Weeks   = ledgerv1.Period_PERIOD_EVERY_2_WEEKS
	monthly       = ledgerv1.Period_PERIOD_MONTHLY
	every2Months  = ledgerv1.Period_PERIOD_EVERY_2_MONTHS
	quarterly     = ledgerv1.Period_PERIOD_QUARTERLY
	every6Months  = ledgerv1.Period_PERIOD_EVERY_6_MONTHS
	yearly        = ledgerv1.Period_PERIOD_YEARLY
	every2Years   = ledgerv1.Period_PERIOD_EVERY_2_YEARS
	everyYear     = ledgerv1.Frequency_FREQUENCY_EVERY_YEAR
	everyTwoYears = ledgerv1.Frequency_FREQUENCY_EVERY_2_YEARS
)

// periods are all of the contract's, so that a new one is tested or panics.
func periods() []ledgerv1.Period {
	var all []ledgerv1.Period
	values := ledgerv1.Period(0).Descriptor().Values()
	for i := range values.Len() {
		if p := ledgerv1.Period(values.Get(i).Number()); p != ledgerv1.Period_PERIOD_UNSPECIFIED {
			all = append(all, p)
		}
	}
	return all
}

func at(t *testing.T, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestDue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		anchor string
		p      ledgerv1.Period
		k      int
		want   string
	}{
		{"2026-01-31T10:20:30Z", monthly, 0, "2026-01-31T10:20:30Z"},
		{"2026-01-31T10:20:30Z", monthly, 1, "2026-02-28T10:20:30Z"},
		{"2026-01-31T10:20:30Z", monthly, 2, "2026-03-31T10:20:30Z"},
		{"2026-01-31T10:20:30Z", monthly, 3, "2026-04-30T10:20:30Z"},
		{"2026-01-31T10:20:30Z", monthly, 11, "2026-12-31T10:20:30Z"},
		{"2026-01-31T10:20:30Z", monthly, 12, "2027-01-31T10:20:30Z"},
		{"2028-01-30T00:00:00Z", monthly, 1, "2028-02-29T00:00:00Z"},
		{"2027-12-31T23:59:59.999999Z", every2Months, 1, "2028-02-29T23:59:59.999999Z"},
		{"2026-11-30T01:00:00Z", quarterly, 1, "2027-02-28T01:00:00Z"},
		{"2026-08-31T01:00:00Z", every6Months, 1, "2027-02-28T01:00:00Z"},
		{"2028-02-29T01:00:00Z", yearly, 1, "2029-02-28T01:00:00Z"},
		{"2028-02-29T01:00:00Z", yearly, 4, "2032-02-29T01:00:00Z"},
		{"2028-02-29T01:00:00Z", every2Years, 1, "2030-02-28T01:00:00Z"},
		{"2028-02-29T01:00:00Z", every2Years, 2, "2032-02-29T01:00:00Z"},
		{"2026-12-28T06:00:00Z", weekly, 1, "2027-01-04T06:00:00Z"},
		{"2026-12-28T06:00:00Z", every2Weeks, 3, "2027-02-08T06:00:00Z"},
		{"2026-03-31T10:00:00Z", monthly, -1, "2026-02-28T10:00:00Z"},
		{"2026-03-01T01:00:00+02:00", monthly, 1, "2026-03-28T23:00:00Z"}, // the day is that of UTC
		{"2026-02-28T10:00:00Z", monthly, 1, "2026-03-28T10:00:00Z"},      // the 28th, not a month's end
	} {
		got := calendar.Due(at(t, c.anchor), c.p, c.k)
		if want := at(t, c.want); !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("%s + %d x %v: got %v, want %v", c.anchor, c.k, c.p, got, want)
		}
	}
}

// anchors draws instants of this century.
func anchors() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		sec := rapid.Int64Range(946684800, 4102444800).Draw(t, "second")
		nano := rapid.Int64Range(0, 999_999_999).Draw(t, "nanosecond")
		if rapid.Bool().Draw(t, "at a month's end") {
			d := time.Unix(sec, nano).UTC()
			return time.Date(d.Year(), d.Month()+1, 0, d.Hour(), d.Minute(), d.Second(), d.Nanosecond(), time.UTC)
		}
		return time.Unix(sec, nano).UTC()
	})
}

func TestDueNeverDriftsInAHundredYears(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SampledFrom(periods()).Draw(t, "period")
		anchor := anchors().Draw(t, "anchor")
		previous := anchor.Add(-1)
		for k := 0; previous.Before(anchor.AddDate(100, 0, 0)); k++ {
			due := calendar.Due(anchor, p, k)
			if !due.After(previous) {
				t.Fatalf("due %d is %v, want it after %v", k, due, previous)
			}
			if due.Sub(due.Truncate(24*time.Hour)) != anchor.Sub(anchor.Truncate(24*time.Hour)) {
				t.Fatalf("due %d is %v, want the time of day of %v", k, due, anchor)
			}
			switch p {
			case weekly, every2Weeks:
				if due.Weekday() != anchor.Weekday() {
					t.Fatalf("due %d is a %v, want a %v", k, due.Weekday(), anchor.Weekday())
				}
			default:
				last := time.Date(due.Year(), due.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
				if want := min(anchor.Day(), last); due.Day() != want {
					t.Fatalf("due %d is %v, want day %d", k, due, want)
				}
			}
			previous = due
		}
	})
}

func TestFirstAfterAgreesWithTheWalk(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SampledFrom(periods()).Draw(t, "period")
		anchor := anchors().Draw(t, "anchor")
		when := anchors().Draw(t, "t")
		if rapid.Bool().Draw(t, "near a due instant") {
			k := rapid.IntRange(0, 300).Draw(t, "k")
			when = calendar.Due(anchor, p, k).Add(time.Duration(rapid.IntRange(-1, 1).Draw(t, "nanoseconds off")))
		}
		wantK := 0
		for !calendar.Due(anchor, p, wantK).After(when) {
			wantK++
		}
		k, due := calendar.FirstAfter(anchor, p, when)
		if want := calendar.Due(anchor, p, wantK); k != wantK || !due.Equal(want) {
			t.Fatalf("%v after %v: got %d, %v; want %d, %v", p, when, k, due, wantK, want)
		}
	})
}

func TestFirstAfterOverAllYears(t *testing.T) {
	t.Parallel()
	first, last := time.Date(1, 1, 31, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 1, 0, 0, 0, 0, time.UTC)
	for _, p := range periods() {
		k, due := calendar.FirstAfter(first, p, last)
		if !due.After(last) || calendar.Due(first, p, k-1).After(last) {
			t.Errorf("%v: got %d, %v; want the first after %v", p, k, due, last)
		}
	}
}

func TestAddYears(t *testing.T) {
	t.Parallel()
	leap := at(t, "2028-02-29T05:00:00Z")
	for n, want := range map[int]string{0: "2028-02-29T05:00:00Z", 1: "2029-02-28T05:00:00Z", 4: "2032-02-29T05:00:00Z"} {
		if got := calendar.AddYears(leap, n); !got.Equal(at(t, want)) {
			t.Errorf("%d years: got %v, want %v", n, got, want)
		}
	}
}

func TestFitsCycle(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		p    ledgerv1.Period
		n    uint32
		f    ledgerv1.Frequency
		want bool
	}{
		{monthly, 12, everyYear, true},
		{monthly, 13, everyYear, false},
		{monthly, 24, everyTwoYears, true},
		{monthly, 25, everyTwoYears, false},
		{weekly, 52, everyYear, true},
		{weekly, 53, everyYear, false},
		{every2Weeks, 26, everyYear, true},
		{every2Weeks, 27, everyYear, false},
		{every2Weeks, 52, everyTwoYears, true},
		{quarterly, 4, everyYear, true},
		{yearly, 1, everyYear, true},
		{every2Years, 1, everyYear, false},
		{every2Years, 1, everyTwoYears, true},
		{every2Years, math.MaxUint32, everyTwoYears, false},
		{weekly, math.MaxUint32, everyYear, false},
	} {
		if got := calendar.FitsCycle(c.p, c.n, c.f); got != c.want {
			t.Errorf("%d x %v in %v: got %v, want %v", c.n, c.p, c.f, got, c.want)
		}
	}
}

func TestDaysCeil(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for d, want := range map[time.Duration]int64{
		-time.Hour: 0, 0: 0, 1: 1, day - 1: 1, day: 1, day + 1: 2, 30 * day: 30, math.MaxInt64: 106752,
	} {
		if got := calendar.DaysCeil(d); got != want {
			t.Errorf("%v: got %d, want %d", d, got, want)
		}
	}
}

func TestAnUnspecifiedPeriodPanics(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(){
		"period":    func() { calendar.Due(time.Time{}, ledgerv1.Period_PERIOD_UNSPECIFIED, 1) },
		"frequency": func() { calendar.Years(ledgerv1.Frequency_FREQUENCY_UNSPECIFIED) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("an unspecified %s did not panic", name)
				}
			}()
			f()
		}()
	}
}

func TestCheckZone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		zone  string
		known bool
		want  string
	}{
		"known":   {"Europe/Berlin", true, ""},
		"unknown": {"Mars/Olympus", false, "TIME_ZONE_INVALID"},
		"empty":   {"", true, "TIME_ZONE_INVALID"},
		"local":   {"Local", true, "TIME_ZONE_INVALID"},
	} {
		got := ""
		if e, ok := calendar.CheckZone("x", c.zone, c.known).(*aggregate.Error); ok {
			got = e.Reason
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
