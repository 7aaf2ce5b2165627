package rpc_test

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/connection"
	"ledger.internal/ledger/internal/projection"
)

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func text(t testing.TB, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// listed asks for a list page by page, over gRPC and REST, and returns the ids in it.
func (w *world) listed(method string, request proto.Message, set func(token string)) (ids []string) {
	w.t.Helper()
	for token := ""; ; {
		set(token)
		var byGRPC, byREST ledgerv1.ListConnectionsResponse
		w.must("ConnectionService/"+method, request, &byGRPC)
		got := w.rest("ConnectionService/"+method, request)
		if err := protojson.Unmarshal(got.body, &byREST); err != nil || got.status != 200 || !proto.Equal(&byGRPC, &byREST) {
			w.t.Fatalf("%s: REST answers %d %s (%v), gRPC %v", method, got.status, got.body, err, &byGRPC)
		}
		noCanary(w.t, byGRPC.String())
		for _, c := range byGRPC.Connections {
			ids = append(ids, c.MerchantId+"."+c.ConnectionId)
		}
		if token = byGRPC.NextPageToken; token == "" {
			return ids
		}
	}
}

func TestListConnections(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.must("MerchantService/CreateMerchant", &ledgerv1.CreateMerchantRequest{RequestId: "m2", MerchantId: "books", Name: "Books"}, &ledgerv1.MerchantResponse{})
	p.has("acme", "one", "acct_1", ledgerv1.Mode_MODE_TEST)
	p.has("books", "two", "acct_1", ledgerv1.Mode_MODE_TEST)
	p.consent("ask", "asked", "")
	var gone ledgerv1.ConnectionResponse
	p.must("ConnectionService/DisconnectConnection", &ledgerv1.DisconnectConnectionRequest{
		MerchantId: "acme", RequestId: "gone", ConnectionId: "main", Reason: "sold",
	}, &gone)
	if c := gone.Connection; c.State != ledgerv1.ConnectionState_CONNECTION_STATE_DISCONNECTED || c.DisconnectedReason != "sold" {
		t.Errorf("got %v, want it disconnected", c)
	}
	const active, pending = ledgerv1.ConnectionState_CONNECTION_STATE_ACTIVE, ledgerv1.ConnectionState_CONNECTION_STATE_PENDING
	for name, c := range map[string]struct {
		request *ledgerv1.ListConnectionsRequest
		want    []string
	}{
		"all":               {&ledgerv1.ListConnectionsRequest{MerchantId: "acme"}, []string{"acme.asked", "acme.main", "acme.one"}},
		"page by page":      {&ledgerv1.ListConnectionsRequest{MerchantId: "acme", PageSize: 1}, []string{"acme.asked", "acme.main", "acme.one"}},
		"at Stripe":         {&ledgerv1.ListConnectionsRequest{MerchantId: "acme", Gateway: "stripe", PageSize: 1}, []string{"acme.asked", "acme.one"}},
		"those that wait":   {&ledgerv1.ListConnectionsRequest{MerchantId: "acme", States: []ledgerv1.ConnectionState{pending}}, []string{"acme.asked"}},
		"of two states":     {&ledgerv1.ListConnectionsRequest{MerchantId: "acme", States: []ledgerv1.ConnectionState{pending, active}, PageSize: 1}, []string{"acme.asked", "acme.one"}},
		"another's":         {&ledgerv1.ListConnectionsRequest{MerchantId: "books"}, []string{"books.two"}},
		"nobody's":          {&ledgerv1.ListConnectionsRequest{MerchantId: "nobody"}, nil},
		"at another's eyes": {&ledgerv1.ListConnectionsRequest{MerchantId: "books", Gateway: "sandbox"}, nil},
	} {
		c.request.MinPosition = gone.Position
		if got := p.listed("ListConnections", c.request, func(token string) { c.request.PageToken = token }); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

// What has to be connected anew is listed with what it holds up.
func TestListOverdueConnections(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	keys := func(merchant, id string, days int) {
		_, err := p.config.Connections.Runner.Do(t.Context(), connection.Stream(merchant, id), aggregate.Request{ID: "keys", At: start}, connection.Create{
			Merchant: merchant, ID: id, Gateway: "stripe", Mode: ledgerv1.Mode_MODE_TEST, UpdateBy: start.Add(time.Duration(days) * 24 * time.Hour), Now: start,
		})
		p.ok(err)
	}
	keys("acme", "later", 90)
	keys("books", "soon", 20)
	keys("acme", "soonest", 10)
	for _, step := range []struct {
		days int
		want []string
	}{
		{0, []string{"acme.soonest", "books.soon"}},
		{15, []string{"acme.soonest", "books.soon"}},
		{40, []string{"acme.soonest", "books.soon", "acme.later"}},
	} {
		p.clock.Set(start.Add(time.Duration(step.days) * 24 * time.Hour))
		for _, stream := range []string{"connection-acme.later", "connection-books.soon", "connection-acme.soonest"} {
			_, err := p.config.Connections.Wake(t.Context(), stream)
			p.ok(err)
		}
		p.ok(p.followers[projection.Connections().Name].WaitFor(t.Context(), p.head()))
		for _, size := range []int32{1, 0} {
			request := &ledgerv1.ListOverdueConnectionsRequest{PageSize: size}
			if got := p.listed("ListOverdueConnections", request, func(token string) { request.PageToken = token }); !slices.Equal(got, step.want) {
				t.Errorf("after %d days: got %v, want %v", step.days, got, step.want)
			}
		}
	}
	soon := &ledgerv1.Connection{}
	p.must("ConnectionService/GetConnection", &ledgerv1.GetConnectionRequest{MerchantId: "books", ConnectionId: "soon"}, soon)
	if soon.State != ledgerv1.ConnectionState_CONNECTION_STATE_EXPIRED || !soon.UpdateBy.AsTime().Equal(start.Add(20*24*time.Hour)) {
		t.Errorf("got %v, want it expired, and when", soon)
	}
}

// How many payments wait for a connection is told with it.
func TestHeldPayments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, id := range []string{"s1", "s2"} {
		w.start(id, "tok_ok", wait)
	}
	get := &ledgerv1.GetConnectionRequest{MerchantId: "acme", ConnectionId: "main"}
	want := func(when string, held int64) {
		t.Helper()
		w.ok(w.followers["subscriptions"].WaitFor(t.Context(), w.head()))
		var now ledgerv1.Connection
		w.must("ConnectionService/GetConnection", get, &now)
		if now.HeldPayments != held {
			t.Errorf("%s: %d payments are held, want %d", when, now.HeldPayments, held)
		}
	}
	want("as it begins", 0)
	w.must("ConnectionService/DisconnectConnection", &ledgerv1.DisconnectConnectionRequest{MerchantId: "acme", RequestId: "gone", ConnectionId: "main", Reason: "sold"}, &ledgerv1.ConnectionResponse{})
	want("before any is due", 0)
	w.clock.Set(start.AddDate(0, 2, 0))
	want("two months later", 2)
	w.must("ConnectionService/ReplaceCredentials", &ledgerv1.ReplaceCredentialsRequest{MerchantId: "acme", RequestId: "back", ConnectionId: "main"}, &ledgerv1.ConnectionResponse{})
	want("when it is back", 0)
}

// Commands are answered the same over gRPC and REST, and never with what they were given to keep.
func TestConnectionCommands(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		method  string
		request proto.Message
	}{
		{"CreateConnection", &ledgerv1.CreateConnectionRequest{
			MerchantId: "acme", RequestId: "create", ConnectionId: "shop", Gateway: "sandbox", Secret: "canary", WebhookSecret: "canary", Account: "a1", PublishableKey: "pk_1",
		}},
		{"ReplaceCredentials", &ledgerv1.ReplaceCredentialsRequest{MerchantId: "acme", RequestId: "replace", ConnectionId: "shop", Secret: "canary2", WebhookSecret: "canary2"}},
		{"DisconnectConnection", &ledgerv1.DisconnectConnectionRequest{MerchantId: "acme", RequestId: "gone", ConnectionId: "shop", Reason: "sold"}},
	} {
		var first, again ledgerv1.ConnectionResponse
		w.must("ConnectionService/"+c.method, c.request, &first)
		got := w.rest("ConnectionService/"+c.method, c.request)
		if err := protojson.Unmarshal(got.body, &again); err != nil || got.status != 200 || !again.Replayed || first.Replayed || !proto.Equal(first.Connection, again.Connection) {
			t.Errorf("%s: REST answers %d %s (%v), gRPC %v", c.method, got.status, got.body, err, &first)
		}
		noCanary(t, first.String()+string(got.body))
		if first.Connection.GetAccount() != "a1" || first.Connection.GetPublishableKey() != "pk_1" {
			t.Errorf("%s: got %v, want the account's names", c.method, first.Connection)
		}
	}
	var past ledgerv1.CreateConnectionRequest
	proto.Merge(&past, &ledgerv1.CreateConnectionRequest{MerchantId: "acme", RequestId: "past", Gateway: "sandbox", UpdateBy: timestamppb.New(start)})
	check(t, w.call("ConnectionService/CreateConnection", &past, &ledgerv1.ConnectionResponse{}), "InvalidArgument", "UPDATE_BY_PAST")
	if strings.Contains(w.logged.String(), "canary") {
		t.Errorf("a secret is in the log:\n%s", w.logged)
	}
}
