package main

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway/payabl/payabltest"
)

// atPayablUsage lists what happens at payabl., or is done there. What the buyer does is "buyer approve|cancel|back SUB".
const atPayablUsage = `
	payabl start ACCOUNT SECRET   a back office with one account, at $PAYABL_URL; its clock is the ledger's
	payabl away|back              it answers nobody for a while
	payabl rotates SECRET         the account gets another secret, and that before is good for nothing
	payabl stores NAME            a buyer has stored a card on payabl.'s own page, which is $NAME
	payabl declines SUB CODE      the next payment of a subscription is answered so
	payabl silent SUB charged|uncharged   it is answered by nothing
	payabl refunds SUB CODE       so are refunds of its last payment, from now on
	payabl decides SUB CODE       the last refund of that payment, which was pending, came to this
	payabl chargeback SUB MINOR   the buyer's bank takes so much of its last payment back
	payabl cancels SUB            the buyer ends the agreement at PayPal
	payabl notify once|twice|late|never|forged   how notifications come from now on
	payabl notify now             those that were late come
	payabl tells SUB TYPE CODE [FIELD=VALUE…]   somebody sends a notification about its payment: signed as payabl. does, then
	                              changed; print how it is answered
	payabl book                   print all transactions: what really happened`

// tellings are the ways of telling by their names.
var tellings = map[string]payabltest.Telling{
	"once": payabltest.Once, "twice": payabltest.Twice, "late": payabltest.Late, "never": payabltest.Never, "forged": payabltest.Forged,
}

// atPayabl does what happens at payabl.
func (w *world) atPayabl(ts *testscript.TestScript, args []string) {
	what, rest := strings.Join(args[:min(1, len(args))], ""), args[min(1, len(args)):]
	if what == "start" && len(rest) == 2 && w.payabl == nil {
		w.startPayabl(ts, rest[0], rest[1])
		return
	}
	if w.payabl == nil {
		ts.Fatalf("usage:%s", atPayablUsage)
	}
	switch {
	case (what == "away" || what == "back") && len(rest) == 0:
		w.payabl.Away(what == "away")
	case what == "rotates" && len(rest) == 1:
		w.payabl.Rotate(rest[0])
	case what == "stores" && len(rest) == 1:
		ts.Setenv(rest[0], w.payabl.Method(payabltest.Behaviour{}, false))
	case what == "notify" && len(rest) == 1:
		w.notifyBy(ts, rest[0])
	case what == "book" && len(rest) == 0:
		w.settled(ts)
		w.payablBook(ts.Stdout())
	case what == "tells" && len(rest) >= 3:
		w.tells(ts, rest[0], rest[1], number(ts, rest[2]), rest[3:])
	default:
		w.payablDoes(ts, what, rest)
	}
}

// startPayabl starts a back office whose clock is the ledger's: what the data directory remembers of that.
func (w *world) startPayabl(ts *testscript.TestScript, account, secret string) {
	file := filepath.Join(ts.Getenv("LEDGER_DATA_DIR"), clockFile)
	w.payabl = payabltest.NewServer(account, secret, func() time.Time {
		now, _, err := rememberedTime(file)
		if err != nil {
			panic(err) // the ledger replaces the file, and never writes into it
		}
		return now
	})
	ts.Setenv("PAYABL_URL", w.payabl.URL())
}

// payablDoes is what happens to a subscription's method, or to its last payment.
func (w *world) payablDoes(ts *testscript.TestScript, what string, args []string) {
	method := func() string { return w.subscription(ts, args[0]).GetPaymentMethod().GetReference() }
	switch {
	case what == "declines" && len(args) == 2:
		w.payabl.Behave(method(), payabltest.Behaviour{Status: number(ts, args[1]), Once: true})
	case what == "silent" && len(args) == 2 && (args[1] == "charged" || args[1] == "uncharged"):
		w.payabl.Behave(method(), payabltest.Behaviour{Fault: payabltest.Silence, Lost: args[1] == "uncharged", Once: true})
	case what == "refunds" && len(args) == 2:
		refund := payabltest.Behaviour{Status: number(ts, args[1])}
		w.payabl.Behave(w.lastCharge(ts, args[0]), payabltest.Behaviour{Refund: &refund})
	case what == "decides" && len(args) == 2:
		w.payabl.Decide(w.lastCharge(ts, args[0]), "refund", number(ts, args[1]))
		w.toldByPayabl(ts)
	case what == "chargeback" && len(args) == 2:
		w.payabl.ChargeBack(w.lastCharge(ts, args[0]), int64(number(ts, args[1])))
	case what == "cancels" && len(args) == 1:
		w.payabl.Cancel(method())
		w.toldByPayabl(ts)
	default:
		ts.Fatalf("usage:%s", atPayablUsage)
	}
}

func number(ts *testscript.TestScript, text string) int {
	n, err := strconv.Atoi(text)
	ts.Check(err)
	return n
}

// notifyBy says how notifications come.
func (w *world) notifyBy(ts *testscript.TestScript, how string) {
	if how == "now" {
		w.payabl.Tell()
		w.toldByPayabl(ts)
		return
	}
	telling, ok := tellings[how]
	if !ok {
		ts.Fatalf("usage:%s", atPayablUsage)
	}
	w.payabl.Notify(telling)
}

// toldByPayabl returns once no notification of payabl.'s is on its way, and the ledger has acted on those that came.
func (w *world) toldByPayabl(ts *testscript.TestScript) {
	if w.payabl != nil {
		w.payabl.Told()
		w.settled(ts)
	}
}

// pageOf is the transaction in the address of a page of payabl.'s.
var pageOf = regexp.MustCompile(`token=(\d+)`)

// tells sends a notification of a subscription's open payment, or of its last one.
func (w *world) tells(ts *testscript.TestScript, id, kind string, code int, changes []string) {
	var transaction string
	if page := pageOf.FindStringSubmatch(w.subscription(ts, id).GetOpenAttempt().GetNextAction().GetRedirectUrl()); page != nil {
		transaction = page[1]
	} else {
		transaction = w.lastCharge(ts, id)
	}
	to, form := w.payabl.Notice(transaction, kind, code)
	for _, c := range changes {
		name, value, ok := strings.Cut(c, "=")
		if !ok {
			ts.Fatalf("%q changes nothing", c)
		}
		form.Set(name, value)
	}
	resp, err := http.PostForm(to, form)
	ts.Check(err)
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	ts.Check(err)
	w.settled(ts)
	fmt.Fprintf(ts.Stdout(), "HTTP %d\n%s", resp.StatusCode, said)
}

// payablBook prints the back office's transactions.
func (w *world) payablBook(to io.Writer) {
	var rows [][]string
	for _, line := range w.payabl.Lines() {
		var steps []string
		for _, s := range line.Steps {
			steps = append(steps, fmt.Sprintf("%s %s %d", s.Kind, inWords(&ledgerv1.Money{CurrencyCode: s.Currency, MinorUnits: s.Amount}), s.Code))
		}
		rows = append(rows, []string{line.ID, strings.Join(steps, ", ")})
	}
	columns(to, rows)
}
