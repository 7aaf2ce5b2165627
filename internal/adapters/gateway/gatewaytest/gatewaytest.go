// Package gatewaytest is the suite that every gateway adapter passes. It calls the adapter against its own gateway
// made to misbehave, and against servers that no gateway would be, and asks one thing again and again: does the
// answer claim more than was proved, and did the money move more often than it was asked for.
//
// Most of it is a matrix: what goes wrong (fault.go, told.go) crossed with what is asked for (operation.go). What goes wrong
// on the way is done to every gateway by a line before it (line.go); what has a meaning, by a script in its own language.
package gatewaytest

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

// Script is what a gateway is to do with a payment. What follows RefundOf is done to its refunds.
type Script string

// The scripts of the suite.
const (
	OK               Script = "ok"
	SoftDecline      Script = "soft decline"
	HardDecline      Script = "hard decline"
	BuyerAction      Script = "buyer action"
	StopOrder        Script = "stop order"
	AgreementLost    Script = "agreement lost"
	WrongAmount      Script = "wrong amount"
	Pending          Script = "pending"
	TimeoutCharged   Script = "time-out, charged"
	TimeoutUncharged Script = "time-out, not charged"
	ResetCharged     Script = "reset, charged"
	ResetUncharged   Script = "reset, not charged"
	ErrorCharged     Script = "500, charged"
	ErrorUncharged   Script = "500, not charged"
	PageCharged      Script = "web page, charged"
	HalfCharged      Script = "half an answer, charged"
	Duplicate        Script = "duplicate of itself"
	RateLimited      Script = "429 at first"
	Unauthorized     Script = "401 at first"
	RefundRefused    Script = "refund refused"

	WrongCurrency       Script = "wrong currency"         // EUR
	PendingThenDeclined Script = "pending, then declined" // by Settle
	DuplicateUnnamed    Script = "duplicate of itself, unnamed"
	DuplicateOfNothing  Script = "duplicate of nothing"
	InFlight            Script = "one like it is running, at first"
)

// RefundOf is the script of a payment that succeeds and whose refunds go as s says.
func RefundOf(s Script) Script { return "refund: " + s }

// World is one gateway with one connected account, and a view behind its counter.
type World struct {
	// Gateway is patient: no answer that is going to come is missed.
	Gateway gateway.Gateway
	// Impatient is the same adapter with a time-out of some 250 ms.
	Impatient  gateway.Gateway
	Connection gateway.Connection
	Now        func() time.Time
	// Token is what to send so that the gateway follows the script; "" if it cannot be made to.
	Token func(Script) string
	// Method is a stored method for charges to servers that answer nonsense, where a token takes a request of its own
	// before the one that moves money: what fails before that was not sent. A token is charged if it is empty.
	Method string
	// Charged and Refunded are the amounts that truly moved under a key.
	Charged, Refunded func(t testing.TB, key string) []*ledgerv1.Money
	// Decide is what the buyer does at a redirect; nil if the gateway knows none.
	Decide func(t testing.TB, redirectURL string, approve bool)
	// Webhook waits for the next webhook; nil if there are none.
	Webhook func(t testing.TB) (http.Header, []byte)
	// Unsigned takes the signature off a webhook; nil if dropping the headers does.
	Unsigned func(header http.Header, body []byte) (http.Header, []byte)
	// Stored is a stored method whose charges go as the script says; nil if there can be none.
	Stored func(testing.TB, Script) *ledgerv1.PaymentMethod
	// Counts picks the requests that an operation is about, from those that prepare it or ask; all if nil.
	Counts func(*http.Request) bool
	// StoresByAsking says that a method is stored before it is charged, so that storing it only asks for it.
	StoresByAsking bool
	// Finishes says that a buyer's approval takes no money by itself: FindCharge does.
	Finishes bool
	// Settle decides what is pending: a charge, or a refund of it.
	Settle func(t testing.TB, charge, refund string, ok bool)
	// Advance moves the clock.
	Advance func(testing.TB, time.Duration)
	// Resend is a webhook as the gateway sends it again, now; nil if it does not.
	Resend func(http.Header, []byte) (http.Header, []byte)
	// Incomplete is a notice that Complete has to ask about; nil if there are none.
	Incomplete func(t testing.TB, key string) gateway.Notice
	// ByItself makes the gateway act by itself; nil if it cannot be made to.
	ByItself *ByItself
}

// Run runs the suite; each test asks for a world of its own.
func Run(t *testing.T, world func(t *testing.T) World) {
	tests := []struct {
		name string
		run  func(*testing.T, World)
	}{
		{"the classes of clear answers", testClasses},
		{"a stored method can be charged", testStoredMethod},
		{"an amount of 0 stores the method", testZero},
		{"what is unknown is looked up and never charged twice", testUnknown},
		{"what was not sent can be sent again", testNotSent},
		{"a dead context sends nothing", testDeadContext},
		{"no server, no sending", testRefused},
		{"no claim from an answer that is none", testNonsense},
		{"no error quotes the request", testQuotes},
		{"one key at once charges once", testConcurrent},
		{"one key with another amount", testOtherAmount},
		{"an unknown key is not found", testNotFound},
		{"refunds", testRefunds},
		{"refunds that go wrong", testRefundFaults},
		{"redirects", testRedirect},
		{"redirects that the buyer turned back from", testAbandon},
		{"signatures of webhooks", testSignatures},
		{"what the gateway does by itself", testByItself},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, world(t))
		})
	}
	t.Run("matrix", func(t *testing.T) {
		t.Parallel()
		testMatrix(t, world)
	})
}

func usd(minorUnits int64) *ledgerv1.Money {
	return &ledgerv1.Money{CurrencyCode: "USD", MinorUnits: minorUnits}
}

// token is the script's token; the test is skipped if the gateway has none.
func (w World) token(t *testing.T, s Script) string {
	t.Helper()
	token := w.Token(s)
	if token == "" {
		t.Skipf("the gateway cannot be made to: %s", s)
	}
	return token
}

func payment(key, token string) gateway.Charge {
	return gateway.Charge{
		Key: key, Amount: usd(4700), Token: token, ReturnURL: "https://shop.example/back",
		Merchant: "m1", Subscription: "sub-" + key, PayNumber: 1, Attempt: 1,
	}
}

func wantClass(t *testing.T, what string, r gateway.Result, want gateway.Class) {
	t.Helper()
	if r.Class != want {
		t.Fatalf("%s: got %s, want %s\n%+v", what, className(r.Class), className(want), r)
	}
	if (want == gateway.Unknown || want == gateway.NotSent) && r.Why == "" {
		t.Errorf("%s: %s without a reason", what, className(want))
	}
}

func className(c gateway.Class) string {
	names := map[gateway.Class]string{
		gateway.Unknown: "Unknown", gateway.NotSent: "NotSent", gateway.Pending: "Pending",
		gateway.Accepted: "Accepted", gateway.Rejected: "Rejected",
	}
	return names[c]
}

func wantMoved(t *testing.T, what string, got []*ledgerv1.Money, want ...*ledgerv1.Money) {
	t.Helper()
	if len(got) == 0 && len(want) == 0 {
		return
	}
	if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
		t.Fatalf("%s: what truly moved (-want +got):\n%s", what, d)
	}
}

func (w World) lookup(t *testing.T, key string) (gateway.Result, bool) {
	t.Helper()
	r, found, err := w.Gateway.Lookup(t.Context(), w.Connection, key, w.Now())
	if err != nil {
		t.Fatalf("look up %s: %v", key, err)
	}
	return r, found
}

// find looks up a charge that is still wanted.
func (w World) find(t *testing.T, c gateway.Charge) (gateway.Result, bool) {
	t.Helper()
	r, found, err := gateway.FindCharge(t.Context(), w.Gateway, w.Connection, c, w.Now())
	if err != nil {
		t.Fatalf("find %s: %v", c.Key, err)
	}
	return r, found
}

func (w World) findRefund(t *testing.T, r gateway.Refund) (gateway.Result, bool) {
	t.Helper()
	res, found, err := gateway.FindRefund(t.Context(), w.Gateway, w.Connection, r, w.Now())
	if err != nil {
		t.Fatalf("find refund %s: %v", r.Key, err)
	}
	return res, found
}

// giveUpWhen runs call with a context that ends once done is true, or after a while that is an error.
func giveUpWhen(t *testing.T, done func() bool, call func(context.Context) gateway.Result) gateway.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	result := make(chan gateway.Result, 1)
	go func() { result <- call(ctx) }()
	for !done() {
		if ctx.Err() != nil {
			t.Fatal("what the script promises did not happen")
		}
	}
	cancel()
	return <-result
}
