package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// answering is a server that gives one answer to each method, and keeps what it was asked.
type answering struct {
	ledgerv1.UnimplementedSubscriptionServiceServer
	ledgerv1.UnimplementedOrderServiceServer
	ledgerv1.UnimplementedReportServiceServer
	ledgerv1.UnimplementedEndpointServiceServer

	subscriptions []*ledgerv1.ListSubscriptionsResponse // a page each
	known         string                                // the only subscription there is
	orders        *ledgerv1.ListOrdersResponse
	entries       *ledgerv1.ListEntriesResponse
	balance       *ledgerv1.GetTrialBalanceResponse
	statements    []*ledgerv1.GetStatementResponse
	asked         []proto.Message
}

func (a *answering) ask(m proto.Message) { a.asked = append(a.asked, proto.Clone(m)) }

func (a *answering) ListSubscriptions(_ context.Context, r *ledgerv1.ListSubscriptionsRequest) (*ledgerv1.ListSubscriptionsResponse, error) {
	a.ask(r)
	return a.subscriptions[len(r.PageToken)], nil // tokens are "", "x", "xx"
}

func (a *answering) GetSubscription(_ context.Context, r *ledgerv1.GetSubscriptionRequest) (*ledgerv1.Subscription, error) {
	a.ask(r)
	if r.SubscriptionId != a.known {
		return nil, status.Error(codes.NotFound, "there is no such subscription")
	}
	return &ledgerv1.Subscription{SubscriptionId: r.SubscriptionId}, nil
}

func (a *answering) ListEvents(context.Context, *ledgerv1.ListEventsRequest) (*ledgerv1.ListEventsResponse, error) {
	return &ledgerv1.ListEventsResponse{}, nil
}

func (a *answering) ListDeliveries(context.Context, *ledgerv1.ListDeliveriesRequest) (*ledgerv1.ListDeliveriesResponse, error) {
	return &ledgerv1.ListDeliveriesResponse{}, nil
}

func (a *answering) ListOrders(_ context.Context, r *ledgerv1.ListOrdersRequest) (*ledgerv1.ListOrdersResponse, error) {
	a.ask(r)
	return a.orders, nil
}

func (a *answering) ListEntries(_ context.Context, r *ledgerv1.ListEntriesRequest) (*ledgerv1.ListEntriesResponse, error) {
	a.ask(r)
	return a.entries, nil
}

func (a *answering) GetTrialBalance(_ context.Context, r *ledgerv1.GetTrialBalanceRequest) (*ledgerv1.GetTrialBalanceResponse, error) {
	a.ask(r)
	return a.balance, nil
}

func (a *answering) GetStatement(_ context.Context, r *ledgerv1.GetStatementRequest) (*ledgerv1.GetStatementResponse, error) {
	a.ask(r)
	return a.statements[len(r.PageToken)], nil
}

// ledger runs a client command against a server that answers so.
func (a *answering) ledger(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	ledgerv1.RegisterSubscriptionServiceServer(s, a)
	ledgerv1.RegisterOrderServiceServer(s, a)
	ledgerv1.RegisterReportServiceServer(s, a)
	ledgerv1.RegisterEndpointServiceServer(s, a)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	code, stdout, stderr = inMemory(append(args, "--grpc", l.Addr().String())...)
	s.Stop()
	if err := <-ended; err != nil && !errors.Is(err, grpc.ErrServerStopped) { // some command lines ask nothing
		t.Error(err)
	}
	return code, stdout, stderr
}

// prints checks what a command prints. The wanted text stands between two lines and is indented by two tabs.
func (a *answering) prints(t *testing.T, want string, args ...string) {
	t.Helper()
	code, out, errs := a.ledger(t, args...)
	want = strings.ReplaceAll(strings.TrimPrefix(strings.TrimRight(want, "\t"), "\n"), "\t\t", "")
	if d := cmp.Diff(want, out); code != 0 || d != "" {
		t.Errorf("ledger %s: exit %d, stderr %q, stdout (-want +got):\n%s\n%s", strings.Join(args, " "), code, errs, d, out)
	}
}

// askedFor checks the last request.
func (a *answering) askedFor(t *testing.T, want proto.Message) {
	t.Helper()
	if len(a.asked) == 0 {
		t.Fatal("nothing was asked")
	}
	if d := cmp.Diff(want, a.asked[len(a.asked)-1], protocmp.Transform()); d != "" {
		t.Errorf("asked (-want +got):\n%s", d)
	}
}

func usd(minor int64) *ledgerv1.Money { return &ledgerv1.Money{CurrencyCode: "USD", MinorUnits: minor} }

func day(d int64) *timestamppb.Timestamp {
	return &timestamppb.Timestamp{Seconds: 1767225600 + d*86400} // 2026-01-01 and d days
}

func TestListSubscriptions(t *testing.T) {
	t.Parallel()
	a := &answering{subscriptions: []*ledgerv1.ListSubscriptionsResponse{
		{NextPageToken: "x", Subscriptions: []*ledgerv1.SubscriptionSummary{{
			SubscriptionId: "beta", State: ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_PAST_DUE, BuyerId: "1002", ProductName: "A b\x1b[2Jook",
			PaidNumber: 11, NextDueAt: day(31), NextAmount: usd(123456), InDoubt: true, Mode: ledgerv1.Mode_MODE_TEST, CancelAt: day(90),
		}}},
		{Subscriptions: []*ledgerv1.SubscriptionSummary{{
			SubscriptionId: "alpha", State: ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_CANCELLED, BuyerId: "1", ProductName: "A course", PaidNumber: 2,
		}}},
	}}
	a.prints(t, `
		SUBSCRIPTION  STATE      BUYER  PRODUCT     PAID  NEXT DUE         AMOUNT  MARKS
		beta          past_due   1002   A b`+"\uFFFD"+`[2Jook    11  2026-02-01  1234.56 USD  in doubt, ends 2026-04-01, test
		alpha         cancelled  1      A course       2  -                     -

		2 subscriptions: 1 past_due, 1 cancelled
		`, "subscriptions", "--state=past_due,cancelled", "--state", "active", "--buyer=1002", "--email=b@example.com", "--external-ref=r",
		"--connection=main", "--product=p", "--order=10002", "--reference=ch_1", "--due-from=2026-01-01", "--due-to=2026-02-02T00:00:00Z",
		"--in-doubt", "--disputed=false", "--as-of=2026-01-31", "--merchant=books")
	a.askedFor(t, &ledgerv1.ListSubscriptionsRequest{
		MerchantId: "books", PageSize: 500, PageToken: "x", BuyerId: "1002", Email: "b@example.com", ExternalRef: "r", ConnectionId: "main",
		ProductId: "p", OrderId: 10002, GatewayReference: "ch_1", DueFrom: day(0), DueTo: day(32), AsOf: day(30), InDoubt: proto.Bool(true),
		Disputed: proto.Bool(false), States: []ledgerv1.SubscriptionState{
			ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_PAST_DUE, ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_CANCELLED,
			ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_ACTIVE,
		},
	})
	code, out, _ := a.ledger(t, "subscriptions", "--json")
	var all []map[string]any
	if err := json.Unmarshal([]byte(out), &all); err != nil || code != 0 || len(all) != 2 || all[0]["subscription_id"] != "beta" {
		t.Errorf("exit %d, %v: %s; want both as JSON", code, err, out)
	}
	a.askedFor(t, &ledgerv1.ListSubscriptionsRequest{MerchantId: "default", PageSize: 500, PageToken: "x"})
}

func TestListOrders(t *testing.T) {
	t.Parallel()
	a := &answering{orders: &ledgerv1.ListOrdersResponse{Orders: []*ledgerv1.Order{
		{
			OrderId: 10003, SubscriptionId: "alpha", Type: ledgerv1.OrderType_ORDER_TYPE_PARTIAL_REFUND, Status: ledgerv1.OrderStatus_ORDER_STATUS_DONE,
			Amounts: &ledgerv1.Amounts{Full: usd(1000)}, CashEffect: usd(-1000), PayNumber: 1, ParentOrderId: 10001, OccurredAt: day(2), Mode: ledgerv1.Mode_MODE_LIVE,
		},
		{
			OrderId: 10002, SubscriptionId: "alpha", Type: ledgerv1.OrderType_ORDER_TYPE_FAILED, Status: ledgerv1.OrderStatus_ORDER_STATUS_FAILED,
			Amounts: &ledgerv1.Amounts{Full: usd(4700)}, CashEffect: usd(0), PayNumber: 2, Reattempt: 1, DeclineCode: "do_not_honor", OccurredAt: day(1), Mode: ledgerv1.Mode_MODE_LIVE,
		},
		{
			OrderId: 10001, SubscriptionId: "alpha", Type: ledgerv1.OrderType_ORDER_TYPE_SALE, Status: ledgerv1.OrderStatus_ORDER_STATUS_PARTIALLY_REFUNDED,
			Amounts: &ledgerv1.Amounts{Full: usd(4700)}, CashEffect: usd(4700), PayNumber: 1, OccurredAt: day(0), Mode: ledgerv1.Mode_MODE_LIVE,
		},
		{
			OrderId: 20001, SubscriptionId: "play", Type: ledgerv1.OrderType_ORDER_TYPE_SALE, Status: ledgerv1.OrderStatus_ORDER_STATUS_PAID,
			Amounts: &ledgerv1.Amounts{Full: usd(100)}, CashEffect: usd(100), PayNumber: 1, Late: true, OccurredAt: day(0), Mode: ledgerv1.Mode_MODE_TEST,
		},
		{OrderId: 10004, SubscriptionId: "alpha", Type: ledgerv1.OrderType_ORDER_TYPE_CANCELLATION, Status: ledgerv1.OrderStatus_ORDER_STATUS_DONE, OccurredAt: day(3)},
	}}}
	a.prints(t, `
		ORDER  DATE        TYPE            SUBSCRIPTION  PAY     AMOUNT    CASH  STATUS
		10003  2026-01-03  partial_refund  alpha           1  10.00 USD  -10.00  of 10001
		10002  2026-01-02  failed          alpha         2+1  47.00 USD       -  failed, do_not_honor
		10001  2026-01-01  sale            alpha           1  47.00 USD   47.00  partially refunded
		20001  2026-01-01  sale            play            1   1.00 USD    1.00  paid, late
		10004  2026-01-04  cancellation    alpha           -          -       -

		5 orders
		cash 37.00 USD
		cash 1.00 USD test
		`, "orders", "--type=sale", "--from=2026-01-01", "--to=2026-02-01", "--as-of=2026-01-31", "--subscription=alpha", "--buyer=1", "--reference=ch", "--external-ref=r")
	a.askedFor(t, &ledgerv1.ListOrdersRequest{
		MerchantId: "default", PageSize: 500, SubscriptionId: "alpha", BuyerId: "1", GatewayReference: "ch", ExternalRef: "r",
		Types: []ledgerv1.OrderType{ledgerv1.OrderType_ORDER_TYPE_SALE}, OccurredFrom: day(0), OccurredTo: day(31), AsOf: day(30),
	})
}

// books are two books of a merchant.
func books() *ledgerv1.GetTrialBalanceResponse {
	jpy := func(minor int64) *ledgerv1.Money { return &ledgerv1.Money{CurrencyCode: "JPY", MinorUnits: minor} }
	return &ledgerv1.GetTrialBalanceResponse{Books: []*ledgerv1.Book{
		{
			CurrencyCode: "JPY", Mode: ledgerv1.Mode_MODE_TEST, Debits: jpy(500), Credits: jpy(500), Accounts: []*ledgerv1.AccountBalance{
				{Account: "gateway:main", Debits: jpy(500), Credits: jpy(0), Balance: jpy(500)},
				{Account: "sales", Debits: jpy(0), Credits: jpy(500), Balance: jpy(-500)},
			},
		},
		{
			CurrencyCode: "USD", Mode: ledgerv1.Mode_MODE_LIVE, Debits: usd(5700), Credits: usd(5700), Accounts: []*ledgerv1.AccountBalance{
				{Account: "gateway:main", Debits: usd(4700), Credits: usd(1000), Balance: usd(3700)},
				{Account: "refunds", Debits: usd(1000), Credits: usd(0), Balance: usd(1000)},
				{Account: "sales", Debits: usd(0), Credits: usd(4700), Balance: usd(-4700)},
			},
		},
	}}
}

func TestTrialBalance(t *testing.T) {
	t.Parallel()
	a := &answering{balance: books()}
	a.prints(t, `
		BOOK      ACCOUNT       DEBITS  CREDITS  BALANCE
		JPY test  gateway:main  500.00            500.00
		JPY test  sales                  500.00  -500.00
		JPY test  sum           500.00   500.00
		USD       gateway:main   47.00    10.00    37.00
		USD       refunds        10.00             10.00
		USD       sales                   47.00   -47.00
		USD       sum            57.00    57.00
		`, "journal", "balance", "--from=2026-01-01", "--to=2026-02-01", "--as-of=2026-01-31")
	a.askedFor(t, &ledgerv1.GetTrialBalanceRequest{MerchantId: "default", OccurredFrom: day(0), OccurredTo: day(31), AsOf: day(30)})
	a.balance.Books[1].Credits.MinorUnits++
	if code, _, errs := a.ledger(t, "journal", "balance"); code != 1 || !strings.Contains(errs, "the book USD is not balanced") {
		t.Errorf("exit %d, stderr %q; want 1 for a book that is not balanced", code, errs)
	}
	a.balance = &ledgerv1.GetTrialBalanceResponse{}
	a.prints(t, "nothing is booked\n", "journal", "balance")
}

func TestEntries(t *testing.T) {
	t.Parallel()
	a := &answering{entries: &ledgerv1.ListEntriesResponse{Entries: []*ledgerv1.Entry{
		{
			EventType: "payment_succeeded", OccurredAt: day(0), Mode: ledgerv1.Mode_MODE_LIVE, Postings: []*ledgerv1.Posting{
				{Account: "gateway:main", Debit: usd(4700), OrderId: 10001},
				{Account: "sales", Credit: usd(4000), OrderId: 10001},
				{Account: "tax_payable", Credit: usd(700), OrderId: 10001},
			},
		},
		{
			EventType: "amount_mismatch_observed", OccurredAt: day(1), Mode: ledgerv1.Mode_MODE_LIVE, Postings: []*ledgerv1.Posting{
				{Account: "gateway:main", Debit: usd(1)}, {Account: "suspense:main", Credit: usd(1)},
			},
		},
	}}}
	a.prints(t, `
		DATE        EVENT                     ORDER  ACCOUNT        DEBIT  CREDIT  BOOK
		2026-01-01  payment succeeded         10001  gateway:main   47.00          USD
		                                      10001  sales                  40.00  USD
		                                      10001  tax_payable             7.00  USD
		2026-01-02  amount mismatch observed      -  gateway:main    0.01          USD
		                                          -  suspense:main           0.01  USD
		                                             sum            47.01   47.01  USD
		`, "journal", "entries", "--order=10001", "--account=sales", "--subscription=alpha", "--mode=live", "--from=2026-01-01")
	a.askedFor(t, &ledgerv1.ListEntriesRequest{
		MerchantId: "default", PageSize: 500, OrderId: 10001, Account: "sales", SubscriptionId: "alpha", Mode: ledgerv1.Mode_MODE_LIVE, OccurredFrom: day(0),
	})
}

func TestStatement(t *testing.T) {
	t.Parallel()
	a := &answering{balance: books(), statements: []*ledgerv1.GetStatementResponse{
		{Opening: usd(100), NextPageToken: "x", Lines: []*ledgerv1.StatementLine{
			{EventType: "payment_succeeded", OrderId: 10001, OccurredAt: day(0), Debit: usd(4700), Balance: usd(4800)},
		}},
		{Opening: usd(4800), Lines: []*ledgerv1.StatementLine{
			{EventType: "refund_succeeded", OrderId: 10002, OccurredAt: day(1), Credit: usd(1000), Balance: usd(3800)},
		}},
	}}
	const want = `
		DATE        EVENT              ORDER  DEBIT  CREDIT  BALANCE USD
		            opening balance                                 1.00
		2026-01-01  payment succeeded  10001  47.00                48.00
		2026-01-02  refund succeeded   10002          10.00        38.00
		            closing balance           47.00   10.00        38.00
		`
	a.prints(t, want, "journal", "statement", "refunds", "--from=2026-01-01")
	a.askedFor(t, &ledgerv1.GetStatementRequest{
		MerchantId: "default", PageSize: 500, PageToken: "x", Account: "refunds", CurrencyCode: "USD", Mode: ledgerv1.Mode_MODE_LIVE, OccurredFrom: day(0),
	})
	a.prints(t, want, "journal", "statement", "sales", "--mode=live")
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"two books":      {[]string{"sales"}, 64, "JPY test, USD live"},
		"another":        {[]string{"nothing"}, 1, `nothing was ever booked on the account "nothing"`},
		"no account":     {nil, 64, "accepts 1 arg"},
		"no such mode":   {[]string{"sales", "--mode=real"}, 64, `--mode: "real" is not one of test, live`},
		"no such day":    {[]string{"sales", "--to=yesterday"}, 64, `"yesterday" is not a day like 2026-01-31`},
		"another's book": {[]string{"sales", "--currency=EUR"}, 1, "nothing was ever booked"},
	} {
		if code, out, errs := a.ledger(t, append([]string{"journal", "statement"}, c.args...)...); code != c.code || out != "" || !strings.Contains(errs, c.says) {
			t.Errorf("%s: exit %d, stdout %q, stderr %q; want %d and %q", name, code, out, errs, c.code, c.says)
		}
	}
}
