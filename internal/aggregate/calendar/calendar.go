// Package calendar computes due instants.
//
// All of it is in UTC, where every day has 24 hours, and all of it is counted from an anchor and not from the
// previous instant, so that 31 January is followed by 28 February and then by 31 March again.
package calendar

import (
	"fmt"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
)

// Due is anchor + k periods: the anchor's day of the month where the month has it, else the month's last day, at the
// anchor's time of day. A period that is none is a bug, and it panics.
func Due(anchor time.Time, p ledgerv1.Period, k int) time.Time {
	months, days := length(p)
	if months > 0 {
		return addMonths(anchor, months*k)
	}
	return anchor.UTC().AddDate(0, 0, days*k)
}

// FirstAfter finds the first k >= 0 whose due instant is strictly after t, and that instant.
func FirstAfter(anchor time.Time, p ledgerv1.Period, t time.Time) (k int, due time.Time) {
	anchor, t = anchor.UTC(), t.UTC()
	months, days := length(p)
	if months > 0 {
		k = ((t.Year()-anchor.Year())*12 + int(t.Month()-anchor.Month())) / months
	} else {
		// In seconds: a Duration holds no more than 292 years.
		k = int((t.Unix() - anchor.Unix()) / int64(days*24*60*60))
	}
	k = max(0, k) // right, or one too few
	for due = Due(anchor, p, k); !due.After(t); due = Due(anchor, p, k) {
		k++
	}
	return k, due
}

// AddYears is t + n years; 29 February becomes 28 February where there is none.
func AddYears(t time.Time, n int) time.Time { return addMonths(t, 12*n) }

// Years is the length of a cycle of recurring installments. A frequency that is none is a bug, and it panics.
func Years(f ledgerv1.Frequency) int {
	switch f {
	case ledgerv1.Frequency_FREQUENCY_EVERY_YEAR:
		return 1
	case ledgerv1.Frequency_FREQUENCY_EVERY_2_YEARS:
		return 2
	}
	panic(fmt.Sprintf("calendar: no such frequency: %v", f))
}

// FitsCycle reports whether n periods take no longer than a cycle does. A year counts as its shortest, 365 days.
func FitsCycle(p ledgerv1.Period, n uint32, f ledgerv1.Frequency) bool {
	months, days := length(p)
	if months > 0 {
		return int64(n)*int64(months) <= int64(12*Years(f))
	}
	return int64(n)*int64(days) <= int64(365*Years(f))
}

// DaysCeil is how many days of 24 hours d is, rounded up; 0 if d is not positive.
func DaysCeil(d time.Duration) int64 {
	const day = 24 * time.Hour
	if d <= 0 {
		return 0
	}
	return int64((d-1)/day) + 1
}

// length is a period in months or, for weeks, in days; the other one is 0.
func length(p ledgerv1.Period) (months, days int) {
	switch p {
	case ledgerv1.Period_PERIOD_WEEKLY:
		return 0, 7
	case ledgerv1.Period_PERIOD_EVERY_2_WEEKS:
		return 0, 14
	case ledgerv1.Period_PERIOD_MONTHLY:
		return 1, 0
	case ledgerv1.Period_PERIOD_EVERY_2_MONTHS:
		return 2, 0
	case ledgerv1.Period_PERIOD_QUARTERLY:
		return 3, 0
	case ledgerv1.Period_PERIOD_EVERY_6_MONTHS:
		return 6, 0
	case ledgerv1.Period_PERIOD_YEARLY:
		return 12, 0
	case ledgerv1.Period_PERIOD_EVERY_2_YEARS:
		return 24, 0
	}
	panic(fmt.Sprintf("calendar: no such period: %v", p))
}

func addMonths(t time.Time, months int) time.Time {
	t = t.UTC()
	last := time.Date(t.Year(), t.Month()+time.Month(months)+1, 0, 0, 0, 0, 0, time.UTC) // day 0 is the month's last
	day := min(t.Day(), last.Day())
	return time.Date(last.Year(), last.Month(), day, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// CheckZone refuses what is not the name of a time zone as TIME_ZONE_INVALID. Whether a name is known can only be
// found in the zone files, so the caller looks there and says; "Local", which every look-up knows, names none.
func CheckZone(field, name string, known bool) error {
	if !known || name == "" || name == "Local" {
		return aggregate.InvalidField(field, "TIME_ZONE_INVALID", "not an IANA time zone like Europe/Berlin")
	}
	return nil
}
