package main

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

// till is the least that a gateway can be: whatever is asked for lies in it, under its key. It is its own Kind.
type till struct {
	greeting string
	opened   gateway.Environment
}

func (t *till) Settings() []gateway.Setting {
	return []gateway.Setting{{Name: "till-greeting", Usage: "what it says", Value: &t.greeting}}
}

func (t *till) Check() error {
	if t.greeting == "" {
		return errors.New("till-greeting: it has to say something")
	}
	return nil
}

func (t *till) Open(env gateway.Environment) gateway.Gateway { t.opened = env; return t }

func (t *till) Traits() gateway.Traits {
	return gateway.Traits{KeyLifetime: time.Hour, Horizon: 10 * time.Minute}
}

func (t *till) Charge(_ context.Context, _ gateway.Connection, c gateway.Charge) gateway.Result {
	return gateway.Result{Class: gateway.Accepted, Reference: t.greeting + " " + c.Merchant, Amount: c.Amount, At: t.opened.Clock.Now()}
}

func (t *till) Refund(_ context.Context, _ gateway.Connection, r gateway.Refund) gateway.Result {
	return gateway.Result{Class: gateway.Accepted, Reference: r.Key, Amount: r.Amount}
}

func (t *till) Lookup(context.Context, gateway.Connection, string, time.Time) (gateway.Result, bool, error) {
	return gateway.Result{}, false, nil
}

// A gateway that is added to the ones there are, and to nothing else, is set up, connected and charged through.
func TestAGatewayIsOneLine(t *testing.T) {
	t.Parallel()
	more, cfg := &till{}, config{}
	cfg.settings()
	cfg.Gateways["till"] = more
	if err := cfg.checkGateways(); err == nil {
		t.Error("its settings are not checked")
	}
	more.greeting = "hello"
	cfg.DataDir, cfg.GRPC, cfg.HTTP, cfg.Admin = t.TempDir(), "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	if err := cfg.checkGateways(); err != nil {
		t.Error(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	s, err := open(ctx, cfg, slog.New(slog.DiscardHandler))
	if err == nil {
		err = s.seed(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	conn, err := grpc.NewClient(s.grpc.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(letIn))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := conn.Close()
		stop()
		if err := errors.Join(err, <-ended, s.close()); err != nil {
			t.Error(err)
		}
	})

	_, err = ledgerv1.NewConnectionServiceClient(conn).CreateConnection(ctx, &ledgerv1.CreateConnectionRequest{
		MerchantId: firstMerchant, RequestId: "c", ConnectionId: "till", Gateway: "till",
	})
	if err != nil {
		t.Fatal(err)
	}
	sold, err := ledgerv1.NewSubscriptionServiceClient(conn).StartSubscription(ctx, &ledgerv1.StartSubscriptionRequest{
		MerchantId: firstMerchant, RequestId: "s", Wait: durationpb.New(20 * time.Second),
		Start: &ledgerv1.StartRequest{
			SubscriptionId: "s", ConnectionId: "till", PaymentMethodToken: "coin", Buyer: &ledgerv1.Buyer{Id: "b"},
			Terms: &ledgerv1.Terms{ProductId: "p1", ProductName: "Course", PricePoint: 1, Kind: ledgerv1.PriceKind_PRICE_KIND_ONE_TIME,
				Regular: &ledgerv1.Amounts{Base: demoMoney("USD", 4700)}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	order, err := ledgerv1.NewOrderServiceClient(conn).GetOrder(ctx, &ledgerv1.GetOrderRequest{MerchantId: firstMerchant, OrderId: sold.GetSubscription().GetFirstOrderId(), MinPosition: sold.GetPosition()})
	if err != nil || order.GetGatewayReference() != "hello "+firstMerchant {
		t.Errorf("got the order %v, %v; want it charged at the till", order, err)
	}
}
