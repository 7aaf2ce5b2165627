package payabl

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

const prolog = `<?xml version="1.0" encoding="ISO-8859-1"?>` + "\n"

// listed is the published answer to type=capture: https://docs.payabl.com/docs/diagnose-interface-1.
const listed = prolog + `<response>
<process>
<error_message/>
<process_time>13.02.2012 16:41:19</process_time>
<status>0</status>
</process>
<transaction>
<amount>1.23</amount>
<booking_date>10.02.2012 16:52:25</booking_date>
<currency>EUR</currency>
<issue_date>10.02.2012 16:19:10</issue_date>
<order_id>1234-123456789-4321</order_id>
<transaction_id> 6905370</transaction_id>
</transaction>
</response>
`

// The same page's clock is an hour ahead of UTC in February, if it is read when it says.
var readAt = time.Date(2012, time.February, 13, 15, 41, 20, 0, time.UTC)

func diagnosis(transactions string) string {
	return prolog + "<response><process><status>0</status><process_time>13.02.2012 16:41:19</process_time></process>" + transactions + "</response>"
}

func TestParseDiagnosis(t *testing.T) {
	t.Parallel()
	eur := func(minor int64) *ledgerv1.Money { return &ledgerv1.Money{CurrencyCode: "EUR", MinorUnits: minor} }
	stepped := func(number, kind, code string) string {
		return "<step" + number + "><amount>1.00</amount><creation_date>31.08.2011 01:55:17</creation_date><currency>EUR</currency><custom1>K\xf6ln</custom1>" +
			"<error_code>" + code + "</error_code><order_id>43</order_id><type>" + kind + "</type></step" + number + ">"
	}
	at := time.Date(2011, time.August, 31, 0, 55, 17, 0, time.UTC)
	tests := []struct {
		name, body string
		want       []transaction
	}{
		{"the published list", listed, []transaction{{
			id: "6905370", order: "1234-123456789-4321", amount: eur(123),
			booked: time.Date(2012, time.February, 10, 15, 52, 25, 0, time.UTC), bookedAs: "10.02.2012 16:52:25",
		}}},
		{"nothing", diagnosis(""), nil},
		{
			"steps, which are in order of their numbers",
			diagnosis("<transaction><transaction_id>\n 56854852</transaction_id><transaction_status>" +
				stepped("10", "refund", "2000") + stepped("9", "capture", "0") + stepped("1", "order", "-5002") + "</transaction_status></transaction>"),
			[]transaction{{id: "56854852", order: "43", steps: []step{
				{"order", -5002, eur(100), "43", "Köln", at}, {"capture", 0, eur(100), "43", "Köln", at}, {"refund", 2000, eur(100), "43", "Köln", at},
			}}},
		},
		{
			"no amount, and no dates",
			diagnosis("<transaction><transaction_id>1</transaction_id><transaction_status><step1><error_code>0</error_code><amount/><order_id>2</order_id></step1></transaction_status></transaction>"),
			[]transaction{{id: "1", order: "2", steps: []step{{order: "2"}}}},
		},
	}
	for _, test := range tests {
		got, err := parseDiagnosis([]byte(test.body), readAt)
		if d := cmp.Diff(test.want, got, cmp.AllowUnexported(transaction{}, step{}), protocmp.Transform()); err != nil || d != "" {
			t.Errorf("%s: %v (-want +got):\n%s", test.name, err, d)
		}
	}
}

func TestDiagnosisIsRefused(t *testing.T) {
	t.Parallel()
	entities := prolog + "<!DOCTYPE response [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>\n"
	for name, body := range map[string]string{
		"empty":                  "",
		"a web page":             "<html><body>Maintenance</body></html>",
		"pairs":                  "status=0&errormessage=",
		"broken off":             listed[:len(listed)-20],
		"two answers":            listed + listed[len(prolog):],
		"text after it":          listed + "x",
		"another encoding":       strings.Replace(listed, "ISO-8859-1", "UTF-16", 1),
		"declared twice":         prolog + prolog + listed[len(prolog):],
		"declared again inside":  strings.Replace(listed, "<process>", prolog+"<process>", 1),
		"says nothing of itself": prolog + "<response></response>",
		"an error":               strings.Replace(listed, "<status>0<", "<status>-999<", 1),
		"no id":                  strings.Replace(listed, "6905370", "", 1),
		"no such currency":       strings.Replace(listed, "EUR", "EU", 1),
		"no such amount":         strings.Replace(listed, "1.23", "1,23", 1),
		"no such day":            strings.Replace(listed, "10.02.2012 16:52:25", "30.02.2012 16:52:25", 1),
		"no code":                diagnosis("<transaction><transaction_id>1</transaction_id><transaction_status><step1/></transaction_status></transaction>"),
		"an entity":              entities + listed[len(prolog):],
		"an entity that is used": entities + strings.Replace(listed[len(prolog):], "1234", "&b;", 1),
		"a file":                 prolog + "<!DOCTYPE r [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>" + strings.Replace(listed[len(prolog):], "1234", "&x;", 1),
		"too deep":               diagnosis(strings.Repeat("<a>", deepest) + strings.Repeat("</a>", deepest)),
	} {
		if got, err := parseDiagnosis([]byte(body), readAt); err == nil {
			t.Errorf("%s: got %+v, want an error", name, got)
		}
	}
}

// A zone that cannot be told is no zone: a date in it says nothing.
func TestZone(t *testing.T) {
	t.Parallel()
	const noon = "13.02.2012 12:00:00"
	for processTime, want := range map[string]time.Duration{
		"13.02.2012 15:41:19": 0, "13.02.2012 16:41:40": time.Hour, "13.02.2012 21:11:00": 5*time.Hour + 30*time.Minute, "13.02.2012 10:41:19": -5 * time.Hour,
	} {
		got, err := zoneOf(processTime, readAt).read(noon)
		if wanted := time.Date(2012, time.February, 13, 12, 0, 0, 0, time.UTC).Add(-want); err != nil || !got.Equal(wanted) {
			t.Errorf("%s: got %s, %v, want %s", processTime, got, err, wanted)
		}
	}
	for _, processTime := range []string{"", "soon", "16.02.2012 12:00:00"} {
		if got, err := zoneOf(processTime, readAt).read(noon); err != nil || !got.IsZero() {
			t.Errorf("%q: got %s, %v, want no time", processTime, got, err)
		}
	}
}

func TestBackwards(t *testing.T) {
	t.Parallel()
	day := func(n int) time.Time { return time.Date(2026, time.January, n, 12, 0, 0, 0, time.UTC) }
	tests := []struct {
		name      string
		from, now time.Time
		want      []string
	}{
		{"today", day(10), day(10), []string{"09.01.2026-11.01.2026"}},
		{"a month", day(1), day(31), []string{"04.01.2026-01.02.2026", "31.12.2025-04.01.2026"}},
		{"tomorrow, by a clock that is behind", day(12), day(10), []string{"09.01.2026-11.01.2026"}},
	}
	for _, test := range tests {
		var got []string
		for start, end := range backwards(test.from, test.now) {
			got = append(got, start+"-"+end)
		}
		if d := cmp.Diff(test.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, d)
		}
	}
	for start := range backwards(time.Time{}.AddDate(2000, 0, 0), day(1)) {
		_ = start
		break // it ends when the caller has found what he was after
	}
}
