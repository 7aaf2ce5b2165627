package ipn_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"google.golang.org/protobuf/testing/protocmp"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/eventstore/memory"
	"ledger.internal/ledger/internal/adapters/ipn"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/aggregatetest"
	"ledger.internal/ledger/internal/aggregate/delivery"
	"ledger.internal/ledger/internal/aggregate/endpoint"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

const (
	once  = "bought once"                   // one sale
	again = "free trial, rebilled"          // a sale and two rebills
	other = "monthly in dinars, rebilled"   // a sale and a rebill
	third = "monthly, moved, rebilled"      // the same
	fifth = "in doubt, charged after all"   // the same
	sixth = "declined, charged after all"   // a sale, a failure and a rebill
	last  = "installments, paid to the end" // a sale and two rebills
	more  = "monthly, declined, recovered"  // a sale, a failure and a rebill
	twice = "charged twice, returned once"  // a sale
)

// order is the id of the n-th order of a history.
func order(history string, n int64) int64 {
	return aggregatetest.Named(history).Events[0].GetSubscriptionStarted().Number*10_000 + n
}

func row(endpoint, history string, n int64, state string, tries int) string {
	return fmt.Sprintf("%s %d %s %d", endpoint, order(history, n), state, tries)
}

func wantRows(t *testing.T, w *world, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, w.rows()); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestDelivered(t *testing.T) {
	t.Parallel()
	v := newReceiver(t, func(_ int, w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "thanks") })
	w := newWorld(t)
	w.endpoint("shop", settings(v.at("/ipn.php")))
	w.happened(once)
	w.settle()

	if len(v.got()) != 1 {
		t.Fatalf("the receiver got %d notifications, want 1", len(v.got()))
	}
	g := v.got()[0]
	signer, err := webhooks.NewWebhook(signingSecret)
	if err != nil {
		t.Fatal(err)
	}
	if err := signer.VerifyIgnoringTimestamp(g.body, g.header); err != nil {
		t.Errorf("the signature does not hold: %v", err)
	}
	headers := map[string]string{
		"Webhook-Timestamp": strconv.FormatInt(today().Unix(), 10),
		"Content-Type":      "application/x-www-form-urlencoded",
		"User-Agent":        "Ledger-IPN/1",
		"Accept-Encoding":   "",
	}
	for name, want := range headers {
		if got := g.header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	n := notices(aggregatetest.Named(once))[0]
	n.Endpoint.Settings = settings(v.at("/ipn.php"))
	body, err := ipn.Render(n)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(body.Encode()), string(g.body)); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}

	wantRows(t, w, row("shop", once, 1, "delivered", 1))
	id := projection.DeliveryID(n.Event.ID, "shop")
	if g.id() != id || g.path != "/ipn.php" {
		t.Errorf("it was sent as %s to %s, want %s to /ipn.php", g.id(), g.path, id)
	}
	want := []*ledgerv1.DeliveryConcluded{{
		DeliveryId: id, EventId: n.Event.ID.String(), Type: ledgerv1.IpnType_IPN_TYPE_SALE, OrderId: order(once, 1),
		Conclusion: ledgerv1.DeliveryConclusion_DELIVERY_CONCLUSION_DELIVERED, Tries: 1, HttpStatus: 200,
	}}
	if diff := cmp.Diff(want, w.concluded("shop", aggregatetest.Named(once)), protocmp.Transform()); diff != "" {
		t.Errorf("conclusions in the log (-want +got):\n%s", diff)
	}
	_, tries, err := projection.GetDelivery(w.ctx, w.store, aggregatetest.Merchant, id)
	if err != nil || len(tries) != 1 || tries[0].HttpStatus != 200 || tries[0].Response != "thanks" {
		t.Errorf("tries are %v (%v), want one with status 200 that says thanks", tries, err)
	}
}

func TestTheTryIsWrittenBeforeItIsSent(t *testing.T) {
	t.Parallel()
	type seen struct {
		state string
		tries []*ledgerv1.DeliveryTry
		err   error
	}
	var w *world
	during := make(chan seen, 1)
	v := newReceiver(t, func(int, http.ResponseWriter, *http.Request) {
		id := projection.DeliveryID(notices(aggregatetest.Named(once))[0].Event.ID, "shop")
		d, tries, err := projection.GetDelivery(w.ctx, w.store, aggregatetest.Merchant, id)
		during <- seen{d.GetState(), tries, err}
	})
	w = newWorld(t)
	w.endpoint("shop", settings(v.at("/")))
	w.happened(once)
	w.settle()
	if got := <-during; got.err != nil || got.state != "sending" || len(got.tries) != 1 || got.tries[0].Number != 1 {
		t.Errorf("while it was received the row was %s with tries %v (%v), want sending and the first try", got.state, got.tries, got.err)
	}
}

func TestTriedAgainUnderTheSameIDWithTheSameBytes(t *testing.T) {
	t.Parallel()
	v := answering(t, 500, 404, 200)
	w := newWorld(t)
	w.endpoint("shop", settings(v.at("/")))
	w.happened(once)
	w.settle()
	wantRows(t, w, row("shop", once, 1, "pending", 1))
	w.sleep()
	w.sleep()
	wantRows(t, w, row("shop", once, 1, "delivered", 3))
	all := v.got()
	if len(all) != 3 {
		t.Fatalf("the receiver got %d, want 3", len(all))
	}
	for i, g := range all[1:] {
		if g.id() != all[0].id() || string(g.body) != string(all[0].body) {
			t.Errorf("try %d differs from the first", i+2)
		}
		if g.header.Get("webhook-signature") == all[0].header.Get("webhook-signature") {
			t.Errorf("try %d has the signature of another time", i+2)
		}
	}
}

func TestOrderIsKeptAndOnlyWhereItMatters(t *testing.T) {
	t.Parallel()
	fails := fmt.Sprint(order(again, 1))
	v := newReceiver(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if n == 1 { // the very first: the sale of the first subscription
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	w := newWorld(t)
	w.endpoint("shop", settings(v.at("/")))
	w.happened(again)
	w.settle()
	w.happened(other)
	w.settle()
	wantRows(t, w,
		row("shop", again, 1, "pending", 1), row("shop", again, 2, "pending", 0), row("shop", again, 3, "pending", 0),
		row("shop", other, 1, "delivered", 1), row("shop", other, 2, "delivered", 1))
	w.sleep()
	want := []string{
		fails, // failed
		fmt.Sprint(order(other, 1)), fmt.Sprint(order(other, 2)),
		fails, fmt.Sprint(order(again, 2)), fmt.Sprint(order(again, 3)),
	}
	if diff := cmp.Diff(want, v.orders(t)); diff != "" {
		t.Errorf("received (-want +got):\n%s", diff)
	}
}

func TestADeadReceiverDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	var flying, most atomic.Int32
	dead := newReceiver(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		n := flying.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-hang
		flying.Add(-1)
	})
	alive := answering(t, 200)
	w := newWorld(t, func(c *ipn.Config) { c.Concurrency = 6 })
	t.Cleanup(func() { // before the world ends, which waits for what is in flight
		select {
		case <-hang:
		default:
			close(hang)
		}
	})
	w.endpoint("a_dead", settings(dead.at("/")))
	w.endpoint("b_alive", settings(alive.at("/")))
	w.happened(once, again, other, third, fifth, sixth, last, more, twice)

	delivered := func() (n int) {
		for _, d := range w.deliveries() {
			if d.EndpointId == "b_alive" && d.State == "delivered" {
				n++
			}
		}
		return n
	}
	head, err := w.log.Head(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.follower.WaitFor(w.ctx, head); err != nil {
		t.Fatal(err)
	}
	want := len(w.deliveries()) / 2
	for at := head; delivered() < want; { // each conclusion moves the follower on
		at.Prepare++
		if err := w.follower.WaitFor(w.ctx, at); err != nil {
			t.Fatalf("%d of %d were delivered beside the dead receiver: %v", delivered(), want, err)
		}
		at = w.follower.Position()
	}
	if most.Load() > 4 {
		t.Errorf("%d were in flight to one endpoint, want at most 4", most.Load())
	}
	close(hang)
	w.settle()
	for _, d := range w.deliveries() {
		if d.State != "delivered" {
			t.Errorf("order %d for %s is %s, want delivered", d.OrderId, d.EndpointId, d.State)
		}
	}
}

func TestGone(t *testing.T) {
	t.Parallel()
	v := answering(t, 410)
	w := newWorld(t)
	w.endpoint("shop", settings(v.at("/")))
	w.happened(again)
	w.settle()
	wantRows(t, w, row("shop", again, 1, "disabled", 1), row("shop", again, 2, "disabled", 0), row("shop", again, 3, "disabled", 0))
	if n := len(v.got()); n != 1 {
		t.Errorf("the receiver got %d notifications, want 1", n)
	}
	s, _, err := w.config.Endpoints.Load(w.ctx, endpoint.Stream(aggregatetest.Merchant, "shop"))
	if err != nil || !s.Disabled || s.DisabledReason != "gone" {
		t.Errorf("the endpoint is disabled: %t, because %q (%v), want true, gone", s.Disabled, s.DisabledReason, err)
	}
	w.happened(other)
	w.settle()
	if n := len(v.got()); n != 1 {
		t.Errorf("after that the receiver got %d more, want none", n-1)
	}
}

func TestGoneFromWhereItIsNoMore(t *testing.T) {
	t.Parallel()
	moved := answering(t, 200)
	w := newWorld(t)
	old := newReceiver(t, func(_ int, rw http.ResponseWriter, _ *http.Request) {
		update := endpoint.Update{ID: "shop", Settings: settings(moved.at("/")), ZoneKnown: true}
		if _, err := w.config.Endpoints.Do(w.ctx, endpoint.Stream(aggregatetest.Merchant, "shop"), w.request("move"), update); err != nil {
			t.Error(err)
		}
		rw.WriteHeader(http.StatusGone)
	})
	w.endpoint("shop", settings(old.at("/")))
	w.happened(once)
	w.settle()
	w.sleep()
	wantRows(t, w, row("shop", once, 1, "delivered", 2))
	if len(moved.got()) != 1 {
		t.Errorf("the new receiver got %d, want 1", len(moved.got()))
	}
}

func TestWhatIsNoAcknowledgement(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	elsewhere := answering(t, 200)
	redirect := func(status int) func(int, http.ResponseWriter, *http.Request) {
		return func(_ int, w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, status) }
	}
	for name, c := range map[string]struct {
		answer func(int, http.ResponseWriter, *http.Request)
		status uint32
		want   string
	}{
		"301": {redirect(301), 301, "HTTP 301: redirects are not followed"},
		"302": {redirect(302), 302, "HTTP 302: redirects are not followed"},
		"303": {redirect(303), 303, "HTTP 303: redirects are not followed"},
		"307": {redirect(307), 307, "HTTP 307: redirects are not followed"},
		"308": {redirect(308), 308, "HTTP 308: redirects are not followed"},
		"headers that drip": {func(_ int, w http.ResponseWriter, r *http.Request) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\n")
			for i := 0; ; i++ {
				select {
				case <-hang:
					return
				case <-time.After(5 * time.Millisecond):
				}
				if _, err := fmt.Fprintf(c, "X-%d: a\r\n", i); err != nil {
					return
				}
			}
		}, 0, "no answer in time"},
		"headers without end": {func(_ int, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("a", 1<<20))
		}, 0, "net/http: HTTP/1.x transport connection broken: net/http: server response headers exceeded 65536 bytes; aborted"},
		"not modified": {func(_ int, w http.ResponseWriter, r *http.Request) { w.WriteHeader(304) }, 304, "HTTP 304: redirects are not followed"},
		"an error":     {func(_ int, w http.ResponseWriter, r *http.Request) { w.WriteHeader(502) }, 502, "HTTP 502"},
		"no answer in time": {func(_ int, w http.ResponseWriter, r *http.Request) {
			select {
			case <-hang:
			case <-r.Context().Done():
			}
		}, 0, "no answer in time"},
		"a connection that breaks": {func(_ int, w http.ResponseWriter, r *http.Request) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			c.Close()
		}, 0, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			v := newReceiver(t, c.answer)
			w := newWorld(t, func(config *ipn.Config) {
				if c.want == "no answer in time" {
					config.Timeout = 50 * time.Millisecond
				}
			})
			w.endpoint("shop", settings(v.at("/")))
			w.happened(once)
			w.settle()
			d := w.deliveries()[0]
			if d.State != "pending" || d.LastHttpStatus != c.status || d.LastError != c.want {
				t.Errorf("got %s, status %d, %q; want pending, %d, %q", d.State, d.LastHttpStatus, d.LastError, c.status, c.want)
			}
		})
	}
	if n := len(elsewhere.got()); n != 0 {
		t.Errorf("the redirect was followed %d times", n)
	}
}

func TestAnAnswerOfAnySizeIsCutShort(t *testing.T) {
	t.Parallel()
	v := newReceiver(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "\x00\xff", strings.Repeat("x", 1<<20))
	})
	w := newWorld(t)
	w.endpoint("shop", settings(v.at("/")))
	w.happened(once)
	w.settle()
	_, tries, err := projection.GetDelivery(w.ctx, w.store, aggregatetest.Merchant, w.deliveries()[0].DeliveryId)
	if err != nil || len(tries) != 1 {
		t.Fatalf("tries are %v (%v), want one", tries, err)
	}
	want := "\uFFFD\uFFFD" + strings.Repeat("x", 1022)
	if tries[0].HttpStatus != 200 || tries[0].Response != want {
		t.Errorf("kept are %d bytes with status %d, want %d with 200", len(tries[0].Response), tries[0].HttpStatus, len(want))
	}
}

func TestAnAnswerWithoutEndIsNotReadToItsEnd(t *testing.T) {
	t.Parallel()
	const enough = 32 << 20 // more than all buffers on the way hold
	written := make(chan int, 1)
	v := newReceiver(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		total := 0
		for total < enough {
			n, err := w.Write(make([]byte, 64<<10))
			total += n
			if err != nil {
				break
			}
		}
		written <- total
	})
	w := newWorld(t)
	w.endpoint("shop", settings(v.at("/")))
	w.happened(once)
	w.settle()
	if n := <-written; n >= enough {
		t.Errorf("%d bytes of an answer were read, want a few", n)
	}
	wantRows(t, w, row("shop", once, 1, "delivered", 1))
}

// TestNoAddressThatIsNotPublic writes addresses that lead to this machine, into its network or to a cloud's metadata, in
// every way they can be written. An endpoint may be created with any of them; it is the dial that is refused, whatever a
// name meant when it was looked at before. Only the program itself allows loopback, so that merchants can try it out.
func TestNoAddressThatIsNotPublic(t *testing.T) {
	t.Parallel()
	const guarded = "the address is not a public one"
	v := answering(t, 200)
	_, port, _ := strings.Cut(strings.TrimPrefix(v.URL, "http://"), ":")
	want := map[string]string{}
	for _, host := range []string{
		"127.0.0.1", "127.0.0.2", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]",
		"localhost", "①②⑦.⓪.⓪.①", "127。0。0。1", // names, and what becomes an address on the way
		"10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.1.1", "[fe80::1]", "[fd00::1]", "[fec0::1]",
		"169.254.169.254", "[fd00:ec2::254]", "100.100.100.200", "168.63.129.16", "192.0.0.192", // metadata of clouds
		"224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1", "[ff02::1]", "[2001:db8::1]", "[2002:7f00:1::]",
	} {
		want[host] = guarded
	}
	for _, host := range []string{"127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost.localdomain.", "no-such-host.invalid"} {
		want[host] = "" // whether there is such a name, the machine's resolver says
	}
	w := newWorld(t, func(c *ipn.Config) { c.AllowPrivate, c.PerEndpoint = nil, 1 })
	hosts := map[string]string{}
	for host := range want {
		id := fmt.Sprint("e", len(hosts))
		hosts[id] = host
		w.endpoint(id, settings(func(s *ledgerv1.EndpointSettings) { s.Url = "http://" + host + ":" + port + "/" }))
	}
	w.happened(once)
	w.settle()
	for _, d := range w.deliveries() {
		host := hosts[d.EndpointId]
		delete(hosts, d.EndpointId)
		if d.State != "pending" || d.Tries != 1 || d.LastHttpStatus != 0 || d.LastError == "" || want[host] != "" && d.LastError != want[host] {
			t.Errorf("%s: got %s after %d tries with status %d and error %q, want one try that failed: %s", host, d.State, d.Tries, d.LastHttpStatus, d.LastError, want[host])
		}
	}
	if len(hosts) != 0 {
		t.Errorf("nothing was tried for %v", hosts)
	}
	if n := len(v.got()); n != 0 {
		t.Errorf("%d notifications went to a private address", n)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		status   int
		header   string
		low, top time.Duration
	}{
		"sooner than the schedule":   {503, "1", 4 * time.Second, 6 * time.Second},
		"in an hour":                 {503, "3600", time.Hour, time.Hour},
		"too many requests":          {429, "60", time.Minute, time.Minute},
		"in ten days":                {503, "864000", day, day},
		"at an instant":              {429, today().Add(2 * time.Hour).Format(http.TimeFormat), 2 * time.Hour, 2 * time.Hour},
		"at an instant in the past":  {429, today().Add(-time.Hour).Format(http.TimeFormat), 4 * time.Second, 6 * time.Second},
		"what nobody can read":       {429, "soon", 4 * time.Second, 6 * time.Second},
		"where it means nothing":     {500, "3600", 4 * time.Second, 6 * time.Second},
		"a number that overflows":    {503, "99999999999999999999", 4 * time.Second, 6 * time.Second},
		"less than nothing":          {503, "-5", 4 * time.Second, 6 * time.Second},
		"the largest that is a time": {503, "4294967295", day, day},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newReceiver(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", c.header)
				w.WriteHeader(c.status)
			})
			w := newWorld(t)
			w.endpoint("shop", settings(v.at("/")))
			w.happened(once)
			w.settle()
			if got := w.deliveries()[0].NextTryAt.AsTime().Sub(today()); got < c.low || got > c.top {
				t.Errorf("tried again after %s, want %s to %s", got, c.low, c.top)
			}
		})
	}
}

func TestGaveUp(t *testing.T) {
	t.Parallel()
	v := answering(t, 500)
	w := newWorld(t)
	w.endpoint("shop", settings(v.at("/")))
	w.happened(other)
	w.settle()
	want := []time.Duration{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
		10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
	}
	exact := 0
	for i, delay := range want {
		before := w.clock.Now()
		w.sleep()
		waited := w.clock.Now().Sub(before)
		if waited < delay*8/10 || waited > delay*12/10 {
			t.Errorf("try %d came %s after the one before, want about %s", i+2, waited, delay)
		}
		if waited == delay {
			exact++
		}
	}
	if exact == len(want) {
		t.Error("the delays have no jitter")
	}
	// The second one of the subscription goes on its way when the first one is over.
	wantRows(t, w, row("shop", other, 1, "gave_up", 10), row("shop", other, 2, "pending", 1))
	c := w.concluded("shop", aggregatetest.Named(other))
	if len(c) != 1 || c[0].Conclusion != ledgerv1.DeliveryConclusion_DELIVERY_CONCLUSION_GAVE_UP || c[0].Tries != 10 || c[0].Error != "HTTP 500" {
		t.Errorf("the log says %v, want that it was given up after 10 tries with HTTP 500", c)
	}
}

func TestAnEndpointThatChangesMeanwhile(t *testing.T) {
	t.Parallel()
	old, moved := answering(t, 500), answering(t, 200)
	w := newWorld(t)
	w.endpoint("shop", settings(old.at("/"), func(s *ledgerv1.EndpointSettings) { s.DateSuffix = " EST" }))
	w.happened(other)
	w.settle()
	change := endpoint.Update{ID: "shop", ZoneKnown: true, Settings: settings(moved.at("/"), func(s *ledgerv1.EndpointSettings) {
		s.DateZone, s.SecretKey = "UTC", "another"
	})}
	if _, err := w.config.Endpoints.Do(w.ctx, endpoint.Stream(aggregatetest.Merchant, "shop"), w.request("change"), change); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.sleep()
	w.happened(once)
	w.settle()
	if len(old.got()) != 1 || len(moved.got()) != 3 {
		t.Fatalf("the old receiver got %d and the new one %d, want 1 and 3", len(old.got()), len(moved.got()))
	}
	first := moved.got()[0]
	if string(first.body) != string(old.got()[0].body) {
		t.Errorf("the second try has another body than the first:\n%s\n%s", old.got()[0].body, first.body)
	}
	if date := moved.got()[2].variable(t, "transaction_date"); date != "2026-01-31 02:30:04" {
		t.Errorf("what happened since is dated %q, want it as the endpoint wants it by now", date)
	}
	if key := moved.got()[2].variable(t, "secret_key"); key != "another" {
		t.Errorf("what happened since has the secret key %q, want the new one", key)
	}
}

func TestDisabledByTheMerchant(t *testing.T) {
	t.Parallel()
	v := answering(t, 500)
	w := newWorld(t)
	w.endpoint("shop", settings(v.at("/")))
	w.happened(other)
	w.settle()
	stream := endpoint.Stream(aggregatetest.Merchant, "shop")
	if _, err := w.config.Endpoints.Do(w.ctx, stream, w.request("disable"), endpoint.Disable{ID: "shop", Reason: endpoint.ByMerchant}); err != nil {
		t.Fatal(err)
	}
	w.settle() // at once: nobody has to wait for the next try
	wantRows(t, w, row("shop", other, 1, "disabled", 1), row("shop", other, 2, "disabled", 0))
	if n := len(v.got()); n != 1 {
		t.Errorf("the receiver got %d, want only the first try", n)
	}
	c := w.concluded("shop", aggregatetest.Named(other))
	if len(c) != 2 || c[0].HttpStatus != 500 || c[0].Tries != 1 {
		t.Errorf("the log says %v, want two ends, the first after a try with status 500", c)
	}
}

// brittle is a log that takes no conclusions while it is broken.
type brittle struct {
	*memory.Log
	broken atomic.Bool
	asked  chan struct{}
}

func (b *brittle) Append(ctx context.Context, stream string, at event.Revision, e ...event.Raw) (event.Position, error) {
	if b.broken.Load() && strings.HasPrefix(stream, "delivery-") {
		select {
		case b.asked <- struct{}{}:
		default:
		}
		return event.Position{}, event.ErrUnavailable
	}
	return b.Log.Append(ctx, stream, at, e...)
}

func TestACrashBetweenTheSendingAndItsConclusion(t *testing.T) {
	t.Parallel()
	v := answering(t, 200)
	var broken *brittle
	w := newWorld(t, func(c *ipn.Config) {
		broken = &brittle{Log: c.Log.(*memory.Log), asked: make(chan struct{}, 1)}
		c.Deliveries = aggregate.NewRunner[delivery.State](broken, delivery.Type())
	})
	broken.broken.Store(true)
	w.endpoint("shop", settings(v.at("/")))
	w.happened(other)
	select {
	case <-broken.asked:
	case <-w.ctx.Done():
		t.Fatal("nothing was sent")
	}
	w.stopSender()
	wantRows(t, w, row("shop", other, 1, "sending", 1), row("shop", other, 2, "pending", 0))

	broken.broken.Store(false)
	w.startSender()
	w.settle()
	wantRows(t, w, row("shop", other, 1, "delivered", 2), row("shop", other, 2, "delivered", 1))
	all := v.got()
	if len(all) != 3 || all[0].id() != all[1].id() || string(all[0].body) != string(all[1].body) {
		t.Errorf("the receiver got %v, want the first one twice, then the second", v.orders(t))
	}
}

func TestACrashBetweenAConclusionAndItsRow(t *testing.T) {
	t.Parallel()
	v := answering(t, 200)
	w := newWorld(t)
	w.stopSender()
	w.endpoint("shop", settings(v.at("/")))
	w.happened(once)
	head, err := w.log.Head(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.follower.WaitFor(w.ctx, head); err != nil {
		t.Fatal(err)
	}
	w.stopFollower() // or it would write the row for us

	all, err := projection.DueDeliveries(w.ctx, w.store, endpoint.Stream(aggregatetest.Merchant, "shop"), today(), 1)
	if err != nil || len(all) != 1 {
		t.Fatalf("due are %v (%v), want one", all, err)
	}
	d := all[0]
	err = w.store.Update(w.ctx, func(tx projection.Tx) error {
		_, err := projection.BeginTry(tx, d, projection.Lease{Owner: "ledger", Until: today().Add(time.Hour)}, today())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	end := &ledgerv1.DeliveryConcluded{DeliveryId: d.ID, EventId: d.EventID, Type: d.Type, OrderId: d.OrderID,
		Conclusion: ledgerv1.DeliveryConclusion_DELIVERY_CONCLUSION_DELIVERED, Tries: 1, HttpStatus: 204}
	request := w.request("ledger:delivery/" + d.ID)
	if _, err := w.config.Deliveries.Do(w.ctx, delivery.Stream(d.MerchantID, d.EndpointID, d.SubscriptionID), request, delivery.Conclude{DeliveryConcluded: end}); err != nil {
		t.Fatal(err)
	}

	w.startSender()
	if err := w.sender.Idle(w.ctx); err != nil {
		t.Fatal(err)
	}
	wantRows(t, w, row("shop", once, 1, "delivered", 1))
	if got := w.deliveries()[0]; got.LastHttpStatus != 204 || !got.ConcludedAt.AsTime().Equal(today()) {
		t.Errorf("the row says status %d at %s, want what the log says: 204 at %s", got.LastHttpStatus, got.ConcludedAt.AsTime(), today())
	}
	if n := len(v.got()); n != 0 {
		t.Errorf("the receiver got it %d times more, want none", n)
	}
}

func TestStoppingLetsWhatIsInFlightEnd(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan bool), make(chan bool)
	v := newReceiver(t, func(int, http.ResponseWriter, *http.Request) {
		arrived <- true
		<-release
	})
	w := newWorld(t)
	w.endpoint("shop", settings(v.at("/")))
	w.happened(once)
	<-arrived
	w.cancelSender()
	close(release)
	w.stopSender()
	wantRows(t, w, row("shop", once, 1, "delivered", 1))
}

func TestAnothersLeaseIsHonouredUntilItEnds(t *testing.T) {
	t.Parallel()
	v := answering(t, 200)
	w := newWorld(t)
	w.stopSender()
	w.endpoint("shop", settings(v.at("/")))
	w.happened(once)
	head, err := w.log.Head(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.follower.WaitFor(w.ctx, head); err != nil {
		t.Fatal(err)
	}
	err = w.store.Update(w.ctx, func(tx projection.Tx) error {
		all, err := projection.DueDeliveries(w.ctx, w.store, endpoint.Stream(aggregatetest.Merchant, "shop"), today(), 1)
		if err != nil || len(all) != 1 {
			return fmt.Errorf("due are %v (%w), want one", all, err)
		}
		_, err = projection.BeginTry(tx, all[0], projection.Lease{Owner: "elsewhere", Until: today().Add(time.Minute)}, today())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	w.startSender()
	w.settle()
	wantRows(t, w, row("shop", once, 1, "sending", 1))
	w.clock.Set(today().Add(time.Minute))
	for len(v.got()) == 0 && w.ctx.Err() == nil {
		at := w.follower.Position()
		at.Prepare++
		if err := w.follower.WaitFor(w.ctx, at); err != nil {
			t.Fatal(err)
		}
	}
	w.settle()
	wantRows(t, w, row("shop", once, 1, "delivered", 2))
}

func TestRowsMadeAnewAreNotSentAnew(t *testing.T) {
	t.Parallel()
	v := answering(t, 200, 200, 500)
	w := newWorld(t)
	w.endpoint("shop", settings(v.at("/")))
	w.happened(other)
	w.settle()
	w.happened(once)
	w.settle()
	before := len(v.got())

	// The store is lost, and the sender is faster than the projection: it sees every row before its conclusion.
	w.stopSender()
	w.stopFollower()
	err := w.store.Update(w.ctx, func(tx projection.Tx) error {
		for _, table := range projection.Deliveries().Tables {
			if _, err := tx.Exec("DROP TABLE IF EXISTS " + table); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(projection.Deliveries().Schema); err != nil {
			return err
		}
		for raw, err := range allEvents(w) {
			if err != nil {
				return err
			}
			if strings.HasPrefix(raw.Stream, "delivery-") {
				continue
			}
			if err := projection.Deliveries().Apply(tx, today(), raw); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.startSender()
	if err := w.sender.Idle(w.ctx); err != nil {
		t.Fatal(err)
	}
	for _, d := range w.deliveries() {
		if d.OrderId != order(once, 1) && d.State != "delivered" {
			t.Errorf("order %d is %s, want delivered, as the log says", d.OrderId, d.State)
		}
	}
	// One had failed; its try is the only one that there may be.
	if n := len(v.got()) - before; n > 1 {
		t.Errorf("%d were sent again, want only the one that was not concluded", n)
	}
}

// allEvents are the events of the log in its order.
func allEvents(w *world) func(func(event.Recorded, error) bool) {
	errEnough := errors.New("enough")
	return func(yield func(event.Recorded, error) bool) {
		err := w.log.Follow(w.ctx, nil, event.Cursor{}, func(_ context.Context, m event.Message) error {
			switch m.Kind {
			case event.KindCaughtUp:
				return errEnough
			case event.KindCheckpoint:
				return nil
			}
			e, err := event.Decode(m.Event)
			if !yield(e, err) {
				return errEnough
			}
			return nil
		})
		if !errors.Is(err, errEnough) {
			yield(event.Recorded{}, err)
		}
	}
}

func TestWhatCannotBeWrittenIsVisible(t *testing.T) {
	t.Parallel()
	v := answering(t, 200)
	w := newWorld(t)
	w.endpoint("shop", settings(v.at("/"), func(s *ledgerv1.EndpointSettings) { s.DateZone = "Mars/Olympus" }))
	w.happened(once)
	w.settle()
	d := w.deliveries()[0]
	if d.State != "pending" || d.Tries != 1 || d.LastError != "the notification cannot be written" {
		t.Errorf("got %s after %d tries, %q; want pending, 1, and why", d.State, d.Tries, d.LastError)
	}
	if n := len(v.got()); n != 0 {
		t.Errorf("the receiver got %d, want none", n)
	}
}

func TestNothingToDoIsIdle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle()
	if at, err := w.sender.NextAt(w.ctx); err != nil || !at.IsZero() {
		t.Errorf("the next is due at %s (%v), want never", at, err)
	}
}
