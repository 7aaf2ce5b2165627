package projection_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

// opened applies what becomes of connections to a new table.
func opened(t *testing.T, events ...event.Recorded) *views {
	t.Helper()
	v := newViews(t, projection.Connections())
	v.apply(events...)
	return v
}

// of is an event of a merchant's connection, recorded in the n-th minute.
func of(n int, merchant, id string, e *ledgerv1.Event) event.Recorded {
	e.Metadata = &ledgerv1.Metadata{RecordedAt: timestamppb.New(minute(n))}
	return event.Recorded{Stream: "connection-" + merchant + "." + id, Event: e}
}

func madeBy(c *ledgerv1.ConnectionCreated) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_ConnectionCreated{ConnectionCreated: c}}
}

func proved(account string, consented bool) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_ConnectionActivated{ConnectionActivated: &ledgerv1.ConnectionActivated{Account: account, Consented: consented}}}
}

func TestConnectionsAreFound(t *testing.T) {
	t.Parallel()
	keys := &ledgerv1.ConnectionCreated{Gateway: "stripe", Unproved: true, UpdateBy: timestamppb.New(minute(90))}
	v := opened(t,
		of(1, "acme", "b", madeBy(keys)), of(2, "acme", "b", proved("acct_1", false)),
		of(3, "acme", "a", madeBy(&ledgerv1.ConnectionCreated{Gateway: "sandbox"})),
		of(4, "books", "a", madeBy(&ledgerv1.ConnectionCreated{Gateway: "stripe", Unproved: true})), of(5, "books", "a", proved("acct_1", true)),
		of(6, "books", "c", madeBy(&ledgerv1.ConnectionCreated{Gateway: "payabl", Account: "acct_1", Unproved: true})),
		of(7, "books", "c", &ledgerv1.Event{Kind: &ledgerv1.Event_ConnectionRefused{ConnectionRefused: &ledgerv1.ConnectionRefused{
			State: ledgerv1.ConnectionState_CONNECTION_STATE_REFUSED,
		}}}),
	)
	due := minute(90).UnixMicro()
	b := projection.ConnectionRef{Merchant: "acme", ID: "b", State: "active", UpdateBy: due, CreatedAt: minute(1)}
	a := projection.ConnectionRef{Merchant: "acme", ID: "a", State: "active", CreatedAt: minute(3)}
	books := projection.ConnectionRef{Merchant: "books", ID: "a", State: "active", CreatedAt: minute(4)}
	refused := projection.ConnectionRef{Merchant: "books", ID: "c", State: "refused", CreatedAt: minute(6)}
	for name, c := range map[string]struct {
		gateway, account string
		want             []projection.ConnectionRef
	}{
		"all":             {"", "", []projection.ConnectionRef{a, b, books, refused}},
		"of an account":   {"stripe", "acct_1", []projection.ConnectionRef{b, books}},
		"of another name": {"payabl", "acct_1", []projection.ConnectionRef{refused}},
		"of nobody":       {"stripe", "acct_2", nil},
	} {
		got, err := projection.FindConnections(t.Context(), v.store, c.gateway, c.account)
		if d := cmp.Diff(c.want, got); err != nil || d != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, d)
		}
	}
	got, _, err := projection.ListConnections(t.Context(), v.store, projection.ConnectionFilter{
		MerchantID: "books", States: []ledgerv1.ConnectionState{ledgerv1.ConnectionState_CONNECTION_STATE_ACTIVE},
	}, projection.Page{})
	if d := cmp.Diff([]projection.ConnectionRef{books}, got); err != nil || d != "" {
		t.Errorf("active ones: %v (-want +got):\n%s", err, d)
	}
}

func TestPagesOfConnections(t *testing.T) {
	t.Parallel()
	var events []event.Recorded
	for i, id := range []string{"c", "a", "b"} {
		events = append(events, of(i, "acme", id, madeBy(&ledgerv1.ConnectionCreated{Gateway: "sandbox"})))
	}
	v := opened(t, events...)
	var ids []string
	for page := (projection.Page{Size: 1}); ; {
		got, next, err := projection.ListConnections(t.Context(), v.store, projection.ConnectionFilter{MerchantID: "acme"}, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range got {
			ids = append(ids, c.ID)
		}
		if page.Token = next; next == "" {
			break
		}
	}
	if d := cmp.Diff([]string{"a", "b", "c"}, ids); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// Those that need an update come by their day, of all merchants, until they are renewed.
func TestOverdueConnections(t *testing.T) {
	t.Parallel()
	until := func(n int) *ledgerv1.Event {
		return madeBy(&ledgerv1.ConnectionCreated{Gateway: "stripe", UpdateBy: timestamppb.New(minute(n))})
	}
	needed := func() *ledgerv1.Event {
		return &ledgerv1.Event{Kind: &ledgerv1.Event_ConnectionUpdateNeeded{ConnectionUpdateNeeded: &ledgerv1.ConnectionUpdateNeeded{}}}
	}
	v := opened(t,
		of(1, "acme", "late", until(90)), of(1, "acme", "soon", until(80)), of(1, "books", "over", until(20)), of(1, "books", "renewed", until(30)),
		of(1, "acme", "not yet", until(99)),
		of(2, "acme", "late", needed()), of(2, "acme", "soon", needed()), of(2, "books", "over", needed()), of(2, "books", "renewed", needed()),
		of(20, "books", "over", &ledgerv1.Event{Kind: &ledgerv1.Event_ConnectionExpired{ConnectionExpired: &ledgerv1.ConnectionExpired{}}}),
		of(25, "books", "renewed", proved("acct_1", true)),
	)
	var ids []string
	for page := (projection.Page{Size: 2}); ; {
		got, next, err := projection.ListOverdueConnections(t.Context(), v.store, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range got {
			ids = append(ids, c.Merchant+"."+c.ID+" "+c.State)
		}
		if page.Token = next; next == "" {
			break
		}
	}
	if d := cmp.Diff([]string{"books.over expired", "acme.soon needs_update", "acme.late needs_update"}, ids); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
