package payabl

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/gateway/payabl/payabltest"
	"ledger.internal/ledger/internal/aggregate/text"
)

// disputed is what is listed of a time, read and completed, by its amount.
func (w *world) disputed(t *testing.T, from, to time.Time) (of map[int64]gateway.Notice, ids []string) {
	t.Helper()
	of = map[int64]gateway.Notice{}
	for m, err := range w.gateway.List(t.Context(), w.conn, from, to) {
		if err != nil {
			t.Fatal(err)
		}
		n, err := w.gateway.Read(w.conn, m.Body)
		if err != nil || n.ID != m.ID || text.FindPAN(m.ID+string(m.Body)) {
			t.Fatalf("%s reads as %+v, %v", m.Body, n, err)
		}
		amount := n.Dispute.Amount.MinorUnits
		if of[amount], err = w.gateway.Complete(t.Context(), w.conn, n); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, m.ID)
	}
	return of, ids
}

func TestListOfDisputes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := firstPayment(4700)
	c.Token = w.server.Method(payabltest.Behaviour{}, false)
	paid := w.charge(t, c, gateway.Accepted)
	theirs := w.server.Method(payabltest.Behaviour{}, false)
	w.wait(54 * 24 * time.Hour) // a day that two ranges of dates have in common
	w.server.AskAbout(paid.Reference, 4700)
	w.wait(26 * 24 * time.Hour)
	w.server.ChargeBack(paid.Reference, 4000)
	w.server.ChargeBack(paid.Reference, 1) // booked in the same second
	booked := w.clock.Now()
	w.wait(time.Hour)
	w.server.ChargeBack(paid.Reference, 699)
	w.server.ChargeBack(theirs, 100)
	w.wait(24 * time.Hour)

	of, ids := w.disputed(t, start, w.clock.Now())
	id := "chb." + paid.Reference + ".at.2026-04-21T14:00:00.USD4000"
	want := gateway.Notice{
		ID: id, Kind: gateway.NoticeDispute, Subscription: "sub-1", Key: c.Key, Reference: paid.Reference, Dispute: &gateway.Dispute{
			ID: id, ChargeKey: c.Key, ChargeReference: paid.Reference, Stage: ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_WITHDRAWN,
			Amount: usd(4000), At: booked,
		},
	}
	if d := cmp.Diff(want, of[4000], protocmp.Transform()); d != "" {
		t.Errorf("the chargeback (-want +got):\n%s", d)
	}
	if len(ids) != 5 || len(of) != 5 || of[100].Kind != gateway.NoticeIgnored || of[4700].Dispute.Stage != ledgerv1.DisputeStage_DISPUTE_STAGE_INQUIRY {
		t.Errorf("got %+v, want its parts, a stranger's, and an inquiry", of)
	}
	if !strings.HasPrefix(ids[0], "retrieval_request.") {
		t.Errorf("%s is told first, want the inquiry, which is the oldest", ids[0])
	}
	// A window that overlaps, or comes after a booking that is listed late, tells the same under the same ids.
	again, _ := w.disputed(t, booked.Add(10*24*time.Hour), w.clock.Now().Add(10*24*time.Hour))
	if d := cmp.Diff(of[4000], again[4000], protocmp.Transform()); d != "" || len(again) != 4 {
		t.Errorf("listed again: %d (-first +again):\n%s", len(again), d)
	}
}

func TestListThatIsNotAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conn.Secret = "wrong"
	var failed error
	for m, err := range w.gateway.List(t.Context(), w.conn, start, start.Add(time.Hour)) {
		if failed = err; err == nil {
			t.Errorf("listed %+v", m)
		}
	}
	if failed == nil {
		t.Error("no error")
	}
}

func TestReadOfWhatWasFetched(t *testing.T) {
	t.Parallel()
	const good = `{"list":"chb","transaction":"1","booked":"2026-04-21T14:00:00","at":"2026-04-21T12:00:00Z","currency":"USD","minor_units":1}`
	g := New(Config{})
	if _, err := g.Read(gateway.Connection{}, []byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{
		"another list":   strings.Replace(good, "chb", "refund", 1),
		"no transaction": strings.Replace(good, `"1"`, `""`, 1),
		"no amount":      strings.Replace(good, `"minor_units":1`, `"minor_units":0`, 1),
		"no currency":    strings.Replace(good, "USD", "", 1),
		"broken off":     good[:len(good)-1],
	} {
		if n, err := g.Read(gateway.Connection{}, []byte(body)); !errors.Is(err, gateway.ErrUnreadable) {
			t.Errorf("%s: got %+v, %v, want ErrUnreadable", name, n, err)
		}
	}
}

// What reads as fetched must not come in as a notification. Of an authentic one everything but four values can be
// changed under its signature, and pairs can be put before it.
func TestNothingFetchedComesAsANotification(t *testing.T) {
	t.Parallel()
	const forged = `{"list":"chb","transaction":"105108236","booked":"2026-04-21T14:00:00","at":"2026-04-21T12:00:00Z","currency":"USD","minor_units":4700}`
	w := newWorld(t)
	stamp := strconv.FormatInt(start.Unix(), 10)
	signed := url.Values{
		"transactionid": {"105108236"}, "type": {"order"}, "errorcode": {"0"}, "timestamp": {stamp},
		"security": {noticeSignature("105108236", "order", "0", stamp, secret)},
	}.Encode()
	if _, err := w.gateway.Verify(w.conn, http.Header{}, []byte(signed), start); err != nil {
		t.Fatalf("the notification itself: %v", err)
	}
	for name, body := range map[string]string{
		"alone":                       forged,
		"with a notification behind":  forged + "&" + signed,
		"as a name of a notification": forged + "=&" + signed,
		"as a value":                  "{=" + url.QueryEscape(forged) + "&" + signed,
		"after blanks":                " \n" + forged + "&" + signed,
		"behind a notification":       signed + "&" + forged,
	} {
		n, err := w.gateway.Verify(w.conn, http.Header{}, []byte(body), start)
		if err != nil {
			continue
		}
		if n.Dispute != nil {
			t.Errorf("%s: taken for a dispute", name)
		}
		if read, err := w.gateway.Read(w.conn, []byte(body)); err != nil || read.Dispute != nil {
			t.Errorf("%s: reads as %+v, %v", name, read, err)
		}
	}
	for _, body := range []string{forged, forged + "=&" + signed, "{=&" + signed} {
		if n, err := w.gateway.Verify(w.conn, http.Header{}, []byte(body), start); !errors.Is(err, ErrBadSignature) {
			t.Errorf("%s: got %+v, %v, want ErrBadSignature", body, n, err)
		}
	}
}
