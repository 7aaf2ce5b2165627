package rpc_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// get reads over REST; fields come in pairs of name and value.
func (w *world) get(path string, fields ...string) answer {
	w.t.Helper()
	q := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		q.Set(fields[i], fields[i+1])
	}
	return w.do("GET", path+"?"+q.Encode(), "")
}

const (
	entriesPath   = "/v1/merchants/acme/journal/entries"
	balancePath   = "/v1/merchants/acme/journal/trialBalance"
	statementPath = "/v1/merchants/acme/journal/statement"
)

// TestBooks sells twice an hour apart, and reads the journal in all three ways, over gRPC and REST.
func TestBooks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.start("s1", "tok_ok", 20*time.Second).Outcome.GetOrderId()
	w.clock.Set(start.Add(time.Hour))
	second := w.start("s2", "tok_ok", 20*time.Second).Outcome.GetOrderId()
	head, gateway := w.head().String(), "gateway:main"
	test := ledgerv1.Mode_MODE_TEST

	entry := func(id string, order int64, at time.Time) *ledgerv1.Entry {
		return &ledgerv1.Entry{
			MerchantId: "acme", SubscriptionId: id, EventType: "payment_succeeded", Mode: test,
			OccurredAt: timestamppb.New(at), RecordedAt: timestamppb.New(at),
			Postings: []*ledgerv1.Posting{{Account: gateway, Debit: usd(4700), OrderId: order}, {Account: "sales", Credit: usd(4700), OrderId: order}},
		}
	}
	line := func(id string, order int64, at time.Time, balance int64) *ledgerv1.StatementLine {
		return &ledgerv1.StatementLine{EventType: "payment_succeeded", SubscriptionId: id, OrderId: order, OccurredAt: timestamppb.New(at),
			Debit: usd(4700), Balance: usd(balance)}
	}
	book := func(sum int64) *ledgerv1.GetTrialBalanceResponse {
		return &ledgerv1.GetTrialBalanceResponse{Books: []*ledgerv1.Book{{CurrencyCode: "USD", Mode: test, Debits: usd(sum), Credits: usd(sum),
			Accounts: []*ledgerv1.AccountBalance{
				{Account: gateway, Debits: usd(sum), Credits: usd(0), Balance: usd(sum)},
				{Account: "sales", Debits: usd(0), Credits: usd(sum), Balance: usd(-sum)},
			}}}}
	}
	later := start.Add(time.Hour)
	for name, c := range map[string]struct {
		method       string
		request      proto.Message
		path         string
		query        []string
		answer, want proto.Message
	}{
		"entries": {"ReportService/ListEntries", &ledgerv1.ListEntriesRequest{MerchantId: "acme", MinPosition: head},
			entriesPath, []string{"min_position", head}, &ledgerv1.ListEntriesResponse{},
			&ledgerv1.ListEntriesResponse{Entries: []*ledgerv1.Entry{entry("s1", first, start), entry("s2", second, later)}}},
		"entries of an order": {"ReportService/ListEntries",
			&ledgerv1.ListEntriesRequest{MerchantId: "acme", MinPosition: head, OrderId: second, SubscriptionId: "s2", Account: "sales", Mode: test},
			entriesPath, []string{"min_position", head, "subscription_id", "s2", "account", "sales", "mode", "MODE_TEST"}, &ledgerv1.ListEntriesResponse{},
			&ledgerv1.ListEntriesResponse{Entries: []*ledgerv1.Entry{entry("s2", second, later)}}},
		"trial balance": {"ReportService/GetTrialBalance", &ledgerv1.GetTrialBalanceRequest{MerchantId: "acme", MinPosition: head},
			balancePath, []string{"min_position", head}, &ledgerv1.GetTrialBalanceResponse{}, book(9400)},
		"trial balance as of": {"ReportService/GetTrialBalance",
			&ledgerv1.GetTrialBalanceRequest{MerchantId: "acme", MinPosition: head, AsOf: timestamppb.New(start)},
			balancePath, []string{"min_position", head, "as_of", start.Format(time.RFC3339)}, &ledgerv1.GetTrialBalanceResponse{}, book(4700)},
		"trial balance as of now": {"ReportService/GetTrialBalance",
			&ledgerv1.GetTrialBalanceRequest{MerchantId: "acme", MinPosition: head, AsOf: timestamppb.New(later)},
			balancePath, []string{"min_position", head, "as_of", later.Format(time.RFC3339)}, &ledgerv1.GetTrialBalanceResponse{}, book(9400)},
		"trial balance before the first instant": {"ReportService/GetTrialBalance",
			&ledgerv1.GetTrialBalanceRequest{MerchantId: "acme", MinPosition: head, AsOf: timestamppb.New(time.Time{})},
			balancePath, []string{"min_position", head, "as_of", "0001-01-01T00:00:00Z"}, &ledgerv1.GetTrialBalanceResponse{}, &ledgerv1.GetTrialBalanceResponse{}},
		"trial balance of a period": {"ReportService/GetTrialBalance",
			&ledgerv1.GetTrialBalanceRequest{MerchantId: "acme", MinPosition: head, OccurredFrom: timestamppb.New(start), OccurredTo: timestamppb.New(later)},
			balancePath, []string{"min_position", head, "occurred_from", start.Format(time.RFC3339), "occurred_to", later.Format(time.RFC3339)},
			&ledgerv1.GetTrialBalanceResponse{}, book(4700)},
		"trial balance of nobody": {"ReportService/GetTrialBalance", &ledgerv1.GetTrialBalanceRequest{MerchantId: "zeta", MinPosition: head},
			"/v1/merchants/zeta/journal/trialBalance", []string{"min_position", head}, &ledgerv1.GetTrialBalanceResponse{}, &ledgerv1.GetTrialBalanceResponse{}},
		"statement": {"ReportService/GetStatement",
			&ledgerv1.GetStatementRequest{MerchantId: "acme", MinPosition: head, Account: gateway, CurrencyCode: "USD", Mode: test},
			statementPath, []string{"min_position", head, "account", gateway, "currency_code", "USD", "mode", "MODE_TEST"}, &ledgerv1.GetStatementResponse{},
			&ledgerv1.GetStatementResponse{Opening: usd(0), Lines: []*ledgerv1.StatementLine{line("s1", first, start, 4700), line("s2", second, later, 9400)}}},
		"statement of a period": {"ReportService/GetStatement",
			&ledgerv1.GetStatementRequest{MerchantId: "acme", MinPosition: head, Account: gateway, CurrencyCode: "USD", Mode: test, OccurredFrom: timestamppb.New(later)},
			statementPath, []string{"min_position", head, "account", gateway, "currency_code", "USD", "mode", "MODE_TEST", "occurred_from", later.Format(time.RFC3339)},
			&ledgerv1.GetStatementResponse{},
			&ledgerv1.GetStatementResponse{Opening: usd(4700), Lines: []*ledgerv1.StatementLine{line("s2", second, later, 9400)}}},
	} {
		t.Run(name, func(t *testing.T) {
			w.must(c.method, c.request, c.answer)
			ids := protocmp.IgnoreFields(&ledgerv1.Entry{}, "entry_id")
			lineIDs := protocmp.IgnoreFields(&ledgerv1.StatementLine{}, "entry_id")
			if diff := cmp.Diff(c.want, c.answer, protocmp.Transform(), ids, lineIDs); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			got := w.get(c.path, c.query...)
			fromREST := c.answer.ProtoReflect().New().Interface()
			if err := protojson.Unmarshal(got.body, fromREST); got.status != 200 || err != nil {
				t.Fatalf("GET %s: status %d, %v\n%s", c.path, got.status, err, got.body)
			}
			if diff := cmp.Diff(c.answer, fromREST, protocmp.Transform()); diff != "" {
				t.Errorf("GET %s (-gRPC +REST):\n%s", c.path, diff)
			}
		})
	}
}

// TestPagesOfBooks turns pages of one.
func TestPagesOfBooks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, id := range []string{"s1", "s2", "s3"} {
		w.start(id, "tok_ok", 20*time.Second) // all at one instant
	}
	entries := &ledgerv1.ListEntriesRequest{MerchantId: "acme", PageSize: 1, MinPosition: w.head().String()}
	statement := &ledgerv1.GetStatementRequest{MerchantId: "acme", PageSize: 1, MinPosition: w.head().String(),
		Account: "sales", CurrencyCode: "USD", Mode: ledgerv1.Mode_MODE_TEST}
	for n := int64(1); n <= 3; n++ {
		var page ledgerv1.ListEntriesResponse
		var lines ledgerv1.GetStatementResponse
		w.must("ReportService/ListEntries", entries, &page)
		w.must("ReportService/GetStatement", statement, &lines)
		if len(page.Entries) != 1 || len(lines.Lines) != 1 || lines.Lines[0].EntryId != page.Entries[0].EntryId {
			t.Fatalf("page %d has entries %v and lines %v, want the same one", n, page.Entries, lines.Lines)
		}
		if got := lines.Lines[0].GetBalance().GetMinorUnits(); got != -4700*n {
			t.Errorf("page %d ends with a balance of %d, want %d", n, got, -4700*n)
		}
		if last := n == 3; last != (page.NextPageToken == "") || last != (lines.NextPageToken == "") {
			t.Errorf("page %d: next pages %q and %q", n, page.NextPageToken, lines.NextPageToken)
		}
		entries.PageToken, statement.PageToken = page.NextPageToken, lines.NextPageToken
	}
}

func TestReportsRefuse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	future := start.Add(time.Microsecond)
	statement := func(change func(*ledgerv1.GetStatementRequest)) proto.Message {
		r := &ledgerv1.GetStatementRequest{MerchantId: "acme", Account: "sales", CurrencyCode: "USD", Mode: ledgerv1.Mode_MODE_LIVE}
		change(r)
		return r
	}
	type st = ledgerv1.GetStatementRequest
	const entries, balance, lines = "ReportService/ListEntries", "ReportService/GetTrialBalance", "ReportService/GetStatement"
	full := func(more ...string) []string {
		q := []string{"account", "sales", "currency_code", "USD", "mode", "MODE_LIVE"}
		return append(q, more...) // a name that is set again replaces the one before
	}
	for name, c := range map[string]struct {
		method        string
		request       proto.Message
		path          string
		query         []string
		reason, field string
	}{
		"entries of no account": {entries, &ledgerv1.ListEntriesRequest{MerchantId: "acme", Account: "cash"},
			entriesPath, []string{"account", "cash"}, "ACCOUNT_INVALID", "account"},
		"statement of no account": {lines, statement(func(r *st) { r.Account = "gateway:" }), statementPath, full("account", "gateway:"), "ACCOUNT_INVALID", "account"},
		"statement, no account":   {lines, statement(func(r *st) { r.Account = "" }), statementPath, full("account", ""), "ACCOUNT_INVALID", "account"},
		"statement in usd":        {lines, statement(func(r *st) { r.CurrencyCode = "usd" }), statementPath, full("currency_code", "usd"), "CURRENCY_INVALID", "currency_code"},
		"statement, no currency":  {lines, statement(func(r *st) { r.CurrencyCode = "" }), statementPath, full("currency_code", ""), "CURRENCY_INVALID", "currency_code"},
		"statement, no mode":      {lines, statement(func(r *st) { r.Mode = 0 }), statementPath, full("mode", "MODE_UNSPECIFIED"), "MODE_REQUIRED", "mode"},
		"statement backwards": {lines, statement(func(r *st) { r.OccurredFrom, r.OccurredTo = timestamppb.New(future), timestamppb.New(start) }),
			statementPath, full("occurred_from", future.Format(time.RFC3339Nano), "occurred_to", start.Format(time.RFC3339)), "PERIOD_INVALID", "occurred_to"},
		"entries backwards": {entries, &ledgerv1.ListEntriesRequest{MerchantId: "acme", OccurredFrom: timestamppb.New(future), OccurredTo: timestamppb.New(start)},
			entriesPath, []string{"occurred_from", future.Format(time.RFC3339Nano), "occurred_to", start.Format(time.RFC3339)}, "PERIOD_INVALID", "occurred_to"},
		"balance backwards": {balance, &ledgerv1.GetTrialBalanceRequest{MerchantId: "acme", OccurredFrom: timestamppb.New(future), OccurredTo: timestamppb.New(start)},
			balancePath, []string{"occurred_from", future.Format(time.RFC3339Nano), "occurred_to", start.Format(time.RFC3339)}, "PERIOD_INVALID", "occurred_to"},
		"statement of tomorrow": {lines, statement(func(r *st) { r.AsOf = timestamppb.New(future) }),
			statementPath, full("as_of", future.Format(time.RFC3339Nano)), "AS_OF_IN_FUTURE", "as_of"},
		"entries of tomorrow": {entries, &ledgerv1.ListEntriesRequest{MerchantId: "acme", AsOf: timestamppb.New(future)},
			entriesPath, []string{"as_of", future.Format(time.RFC3339Nano)}, "AS_OF_IN_FUTURE", "as_of"},
		"balance of tomorrow": {balance, &ledgerv1.GetTrialBalanceRequest{MerchantId: "acme", AsOf: timestamppb.New(future)},
			balancePath, []string{"as_of", future.Format(time.RFC3339Nano)}, "AS_OF_IN_FUTURE", "as_of"},
		"another list's token": {lines, statement(func(r *st) { r.PageToken = "e30" }), statementPath, full("page_token", "e30"), "PAGE_TOKEN_INVALID", "page_token"},
		"no position":          {balance, &ledgerv1.GetTrialBalanceRequest{MerchantId: "acme", MinPosition: "x"}, balancePath, []string{"min_position", "x"}, "POSITION_INVALID", "min_position"},
	} {
		t.Run(name, func(t *testing.T) {
			err := w.call(c.method, c.request, &emptypb.Empty{})
			check(t, err, "InvalidArgument", c.reason)
			if got := field(status.Convert(err)); got != c.field {
				t.Errorf("got field %q, want %q", got, c.field)
			}
			got := w.get(c.path, c.query...)
			if s := got.refusal(t); got.status != 400 || info(s).GetReason() != c.reason || field(s) != c.field {
				t.Errorf("REST: got %d %s about %q, want 400 %s about %q", got.status, info(s).GetReason(), field(s), c.reason, c.field)
			}
		})
	}
}
