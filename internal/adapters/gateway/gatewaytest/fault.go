package gatewaytest

import (
	"net/http"
	"slices"
	"time"

	"ledger.internal/ledger/internal/adapters/gateway"
)

// fault is a row of the matrix: one thing that goes wrong. What happens on the line happens to every gateway in the same
// way; what has a meaning, the gateway is made to do by a script, in its own language.
type fault struct {
	name   string
	tell   func(*exchange, *reply) // on the line; nil if nothing happens there
	script Script                  // by the gateway; OK if nothing happens there
	of     kind                    // what the script is for
	// happens says that the request is carried out, whatever is told of it.
	happens bool
	// want are the classes that may be answered; legible adds that of a good answer, which is still in there to be read.
	want    []gateway.Class
	legible bool

	hangs    bool // no answer comes before the caller gives up
	outwaits bool // no answer comes before his time is up
	cuts     bool // the answer is cut at every byte
	foreign  bool // the answer is somebody else's
	deaf     bool // nobody listens
	doubled  bool // the gateway gets the request twice

	config   bool                     // NotSent: somebody has to change the connection
	waits    func(time.Duration) bool // NotSent: what may be asked for
	extra    int64                    // so many minor units too much are charged
	currency string                   // what is charged in, if not in what was asked for
	ends     gateway.Class            // what the gateway decides, if it decides anything
	settles  bool                     // it decides later
	sticks   bool                     // a repeated key may get the same bad answer again
}

// kind is what a script is for.
type kind int

const (
	anything kind = iota
	charges
	refunds
)

// Classes, as rows name them.
var (
	doubt   = []gateway.Class{gateway.Unknown}
	unsent  = []gateway.Class{gateway.NotSent}
	waiting = []gateway.Class{gateway.Pending}
	claimed = []gateway.Class{gateway.Accepted}
	denied  = []gateway.Class{gateway.Rejected}
)

const json = "application/json"

// longestWait is the most that a gateway may ask for; what is longer is cut down to it.
const longestWait = time.Hour

// onTheLine are the faults that every gateway meets in the same way.
func onTheLine() []fault {
	rows := slices.Concat(
		either("no answer", fault{tell: silent, want: doubt, hangs: true}),
		either("reset", fault{tell: reset, want: doubt}),
		either("closed before the answer", fault{tell: closed, want: doubt}),
		either("a byte at a time", fault{tell: drip, want: doubt, hangs: true}),
		either("500", fault{tell: says(500, json, `{"error":{"type":"api_error","code":"internal"}}`), want: doubt}),
		either("502 with a page", fault{tell: says(502, "text/html", "<html>Bad gateway</html>"), want: doubt}),
		either("503 with Retry-After", fault{tell: saysLater(503, func() string { return "1" }), want: doubt}),
		either("409", fault{tell: says(409, json, `{"error":{}}`), want: doubt}),
		either("400 of another kind", fault{tell: says(400, json, `{"error":{"code":"bad_request","message":"Bad request"}}`), want: doubt}),
		either("404 of another kind", fault{tell: says(404, json, `{"error":{"code":"not_found","message":"No such address"}}`), want: doubt}),
		either("403 with a page", fault{tell: says(403, "text/html", "<html>Blocked</html>"), want: doubt}),
		either("web page as 200", fault{tell: says(200, "text/html", "<!doctype html><title>Maintenance</title>"), want: doubt}),
		either("empty 200", fault{tell: says(200, json, ""), want: doubt}),
		either("no content", fault{tell: func(x *exchange, _ *reply) { x.w.WriteHeader(http.StatusNoContent) }, want: doubt}),
		either("found elsewhere", fault{tell: redirects(http.StatusFound), want: doubt}),
		either("redirected elsewhere", fault{tell: redirects(http.StatusPermanentRedirect), want: doubt}),
		either("about something else", fault{tell: ofAnother, want: doubt, foreign: true}),
	)
	// Nothing is lost of these but the answer's shape, so each is carried out.
	for _, f := range []fault{
		{name: "half an answer", tell: half, want: doubt},
		{name: "cut at every byte", tell: cutShort, want: doubt, legible: true, cuts: true},
		{name: "huge", tell: huge, want: doubt},
		{name: "told twice over", tell: twice, want: doubt},
		{name: "called a web page", tell: labelled("text/html"), want: doubt, legible: true},
		{name: "called another alphabet", tell: labelled("application/json; charset=utf-16"), want: doubt, legible: true},
		{name: "packed", tell: packed, want: doubt, legible: true},
		{name: "the request comes twice", tell: carriedTwice, legible: true, doubled: true},
		{name: "packed, and not called so", tell: packedSilently, want: doubt},
		{name: "huge once unpacked", tell: bomb, want: doubt},
	} {
		f.happens = true
		rows = append(rows, f)
	}
	later := func(status int, value string) func(*exchange, *reply) {
		return saysLater(status, func() string { return value })
	}
	soon := func() string { return time.Now().Add(2 * time.Minute).UTC().Format(http.TimeFormat) }
	some := func(d time.Duration) bool { return d > 0 && d <= longestWait }
	most := func(d time.Duration) bool { return d == longestWait }
	// These are never carried out: by what they are, nobody has looked at the request.
	rows = append(rows,
		fault{name: "time is up", tell: silent, want: doubt, outwaits: true},
		fault{name: "time is up, a byte at a time", tell: drip, want: doubt, outwaits: true},
		fault{name: "429, in seconds", tell: later(429, "7"), want: unsent, waits: func(d time.Duration) bool { return d == 7*time.Second }},
		fault{name: "429, by a date", tell: saysLater(429, soon), want: unsent, waits: some},
		fault{name: "429, for a year", tell: later(429, "31536000"), want: unsent, waits: most},
		fault{name: "429, for longer than can be counted", tell: later(429, "99999999999999999999"), want: unsent, waits: most},
		fault{name: "429, in the year 9999", tell: later(429, "Fri, 31 Dec 9999 23:59:59 GMT"), want: unsent, waits: most},
		fault{name: "401", tell: says(401, json, `{"error":{"type":"invalid_request_error","code":"unauthorized"}}`), want: unsent, config: true},
		fault{name: "nobody listens", tell: closed, want: unsent, deaf: true},
	)
	for i := range rows {
		rows[i].script = OK
	}
	return rows
}

// either is a fault of the answer, to a request that was carried out and to one that was not.
func either(name string, f fault) []fault {
	done, lost := f, f
	done.name, done.happens = name+", carried out", true
	lost.name = name + ", lost"
	return []fault{done, lost}
}

// scripted are the faults that have a meaning, and so a word in each gateway's language.
func scripted() []fault {
	some := func(d time.Duration) bool { return d > 0 && d <= longestWait }
	return []fault{
		{name: "500 again and again, carried out", script: ErrorCharged, happens: true, want: doubt, sticks: true},
		{name: "500 again and again, lost", script: ErrorUncharged, want: doubt, sticks: true},
		{name: "duplicate of itself", script: Duplicate, happens: true, want: slices.Concat(doubt, claimed), sticks: true},
		{name: "duplicate of what it does not name", script: DuplicateUnnamed, happens: true, want: slices.Concat(doubt, claimed), sticks: true},
		{name: "duplicate of nothing", script: DuplicateOfNothing, want: slices.Concat(doubt, unsent, denied), sticks: true},
		{name: "one like it is running", script: InFlight, want: slices.Concat(doubt, unsent)},
		{name: "wrong amount", script: WrongAmount, of: charges, happens: true, want: claimed, extra: 1},
		{name: "wrong currency", script: WrongCurrency, of: charges, happens: true, want: claimed, currency: "EUR"},
		{name: "pending, then made", script: Pending, happens: true, want: waiting, ends: gateway.Accepted, settles: true, sticks: true},
		{name: "pending, then declined", script: PendingThenDeclined, happens: true, want: waiting, ends: gateway.Rejected, settles: true, sticks: true},
		{name: "declined", script: SoftDecline, of: charges, want: denied, ends: gateway.Rejected},
		{name: "refused", script: RefundRefused, of: refunds, want: denied, ends: gateway.Rejected},
		{
			name: "pending, cut at every byte", script: Pending, tell: cutShort, cuts: true, happens: true,
			want: slices.Concat(doubt, waiting), ends: gateway.Accepted, settles: true, sticks: true,
		},
		{name: "declined, cut at every byte", script: SoftDecline, of: charges, tell: cutShort, cuts: true, want: slices.Concat(doubt, denied), ends: gateway.Rejected},
		{name: "refused, cut at every byte", script: RefundRefused, of: refunds, tell: cutShort, cuts: true, want: slices.Concat(doubt, denied), ends: gateway.Rejected},
		{name: "asked to slow down", script: RateLimited, want: unsent, waits: some},
		{name: "credentials refused", script: Unauthorized, want: unsent, config: true},
	}
}
