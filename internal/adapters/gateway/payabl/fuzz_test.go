package payabl

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"ledger.internal/ledger/internal/adapters/gateway"
)

// FuzzVerify says that a notification is believed only under the signature of what it says, within its time, and that
// nothing is believed of what is not signed.
func FuzzVerify(f *testing.F) {
	conn := gateway.Connection{Secret: "b185"}
	g := &Gateway{}
	now := time.Unix(1680525177, 0)
	f.Fuzz(func(t *testing.T, body []byte) {
		n, err := g.Verify(conn, nil, body, now)
		if err == nil {
			wantSigned(t, body, n)
		} else if !errors.Is(err, ErrBadSignature) && !errors.Is(err, ErrOldSignature) && !errors.Is(err, gateway.ErrUnreadable) {
			t.Fatalf("refused: %v", err)
		}
		v, err := parsePairs(body)
		if err != nil || !wellFormed(v) {
			return
		}
		v.Set("timestamp", strconv.FormatInt(now.Unix(), 10))
		v.Set("security", noticeSignature(v.Get("transactionid"), v.Get("type"), v.Get("errorcode"), v.Get("timestamp"), "b185"))
		n, err = g.Verify(conn, nil, []byte(v.Encode()), now)
		if err != nil {
			t.Fatalf("signed and refused: %v", err)
		}
		if again, err := g.Read(conn, []byte(v.Encode())); err != nil || again != n {
			t.Fatalf("read later as %+v, %v, want %+v", again, err, n)
		}
		if _, err := g.Verify(conn, nil, []byte(v.Encode()), now.Add(time.Hour)); !errors.Is(err, ErrOldSignature) {
			t.Fatalf("an hour old: %v", err)
		}
		v.Set("transactionid", v.Get("transactionid")+"1")
		if _, err := g.Verify(conn, nil, []byte(v.Encode()), now); !errors.Is(err, ErrBadSignature) {
			t.Fatalf("another transaction under the same signature: %v", err)
		}
	})
}

func wantSigned(t *testing.T, body []byte, n gateway.Notice) {
	t.Helper()
	v, err := url.ParseQuery(string(body))
	if err != nil {
		t.Fatalf("%q is believed", body)
	}
	want := noticeSignature(v.Get("transactionid"), v.Get("type"), v.Get("errorcode"), v.Get("timestamp"), "b185")
	if v.Get("security") != want || n.ID == "" || n.Reference != v.Get("transactionid") || n.Key+n.Subscription+n.Method != "" {
		t.Fatalf("%q is taken for %+v", body, n)
	}
}

// FuzzDiagnosis says that an answer is read whole or not at all, the same each time, and that whatever is read of it can
// be judged.
func FuzzDiagnosis(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) {
		list, err := parseDiagnosis(body, readAt)
		if err != nil {
			if list != nil {
				t.Fatalf("got %+v with %v", list, err)
			}
			return
		}
		for _, tx := range list {
			if tx.id == "" || tx.id != strings.TrimSpace(tx.id) {
				t.Fatalf("a transaction is called %q", tx.id)
			}
			if tx.given() {
				tx.taken()
			}
			if r := tx.paid(); r.Class == gateway.Accepted && r.Amount == nil {
				t.Fatalf("%+v took no amount", tx)
			}
		}
		tr := trail{redirects: list}
		if r, found := tr.result(readAt); found != (len(list) > 0) || r.Class == gateway.NotSent {
			t.Fatalf("got %+v, found %v", r, found)
		}
		if _, next := tr.next(readAt); next != nothingNext {
			if _, isLost := tr.lost(); isLost {
				t.Fatal("what is lost goes on")
			}
		}
	})
}

// FuzzAnswer says that an answer means what it says whole, or nothing: no beginning of it means something else.
func FuzzAnswer(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := parseAnswer(body)
		if err != nil {
			return
		}
		if a.redirect != "" && !strings.HasPrefix(strings.ToLower(a.redirect), "http") {
			t.Fatalf("the buyer is sent to %q", a.redirect)
		}
		v, _ := parsePairs(body)
		whole := map[string]bool{v.Get("redirect_url"): true, v.Get("url_3ds"): true}
		for n := range min(len(body), 300) {
			if b, err := parseAnswer(body[:n]); err == nil && b.code != a.code {
				t.Fatalf("%q is read as %d, and its beginning %q as %d", body, a.code, body[:n], b.code)
			} else if err == nil && b.redirect != "" && !whole[b.redirect] {
				t.Fatalf("%q sends the buyer to %q, and its beginning %q to %q", body, a.redirect, body[:n], b.redirect)
			}
		}
	})
}
