package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/schollz/progressbar/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// story is what happens in the demo: who buys what when, and what the merchants and buyers do about it later. All of
// it is drawn from the seed, and all of it goes through the public API and the sandbox's HTTP.
type story struct {
	subscriptions ledgerv1.SubscriptionServiceClient
	orders        ledgerv1.OrderServiceClient
	merchants     ledgerv1.MerchantServiceClient
	connections   ledgerv1.ConnectionServiceClient
	endpoints     ledgerv1.EndpointServiceClient
	operations    ledgerv1.OperationServiceClient

	sandbox  string
	receiver *receiver
	random   *rand.Rand
	now      time.Time
	requests int // numbers the request ids
	buyers   []*life
	byDay    map[int][]func(context.Context) error
	replays  int
}

// life is one subscription's part in the story.
type life struct {
	merchant, id string
	trial        bool
	start        *ledgerv1.StartRequest
	redirected   string // "approve" or "decline" for a buyer who pays on the gateway's page
	request      string // the id under which it was started
}

// demoMerchants are the merchants and the processors that their sandbox connections stand for.
func demoMerchants() []struct{ id, name, processor, zone string } {
	return []struct{ id, name, processor, zone string }{
		{"books", "A bookshop", "Stripe", "Europe/Berlin"},
		{"gym", "A gym", "PayPal", "America/New_York"},
		{"tools", "A software house", "Braintree", "Asia/Tokyo"},
	}
}

func newStory(conn *grpc.ClientConn, sandbox string, r *receiver, seed uint64) *story {
	return &story{
		subscriptions: ledgerv1.NewSubscriptionServiceClient(conn),
		orders:        ledgerv1.NewOrderServiceClient(conn),
		merchants:     ledgerv1.NewMerchantServiceClient(conn),
		connections:   ledgerv1.NewConnectionServiceClient(conn),
		endpoints:     ledgerv1.NewEndpointServiceClient(conn),
		operations:    ledgerv1.NewOperationServiceClient(conn),
		sandbox:       sandbox,
		receiver:      r,
		random:        rand.New(rand.NewPCG(seed, 0x1ed9e5)),
		now:           demoBegins(),
		byDay:         map[int][]func(context.Context) error{},
	}
}

// live lets the days pass.
func (st *story) live(ctx context.Context, progress io.Writer) error {
	if err := st.settle(ctx); err != nil {
		return err
	}
	st.plan()
	bar := progressbar.NewOptions(demoDays,
		progressbar.OptionSetWriter(progress), progressbar.OptionSetWidth(30), progressbar.OptionThrottle(200*time.Millisecond),
		progressbar.OptionSetElapsedTime(false), progressbar.OptionSetPredictTime(false), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetVisibility(isTerminal(progress)))
	pass := func(by time.Duration) error {
		r, err := st.operations.AdvanceClock(ctx, &ledgerv1.AdvanceClockRequest{By: durationpb.New(by)})
		if err == nil {
			st.now = r.Now.AsTime()
		}
		return err
	}
	for day := range demoDays {
		for _, act := range st.byDay[day] {
			if err := act(ctx); err != nil {
				return err
			}
		}
		if err := pass(24 * time.Hour); err != nil {
			return err
		}
		bar.Describe(fmt.Sprintf("%s  %d subscriptions  %d notifications", st.now.Format("January 2006"), len(st.buyers), st.receiver.count()))
		if err := bar.Add(1); err != nil {
			return err
		}
	}
	// What was refused last comes again within the hour.
	st.receiver.refuseNothing()
	if err := pass(time.Hour); err != nil {
		return err
	}
	return bar.Finish()
}

// settle makes the merchants, their connections and their endpoints.
func (st *story) settle(ctx context.Context) error {
	for _, m := range demoMerchants() {
		if _, err := st.merchants.CreateMerchant(ctx, &ledgerv1.CreateMerchantRequest{
			RequestId: st.request(), MerchantId: m.id, Name: m.name, TimeZone: m.zone,
		}); err != nil {
			return err
		}
		if _, err := st.connections.CreateConnection(ctx, &ledgerv1.CreateConnectionRequest{
			RequestId: st.request(), MerchantId: m.id, ConnectionId: "main", Gateway: "sandbox", Processor: m.processor,
		}); err != nil {
			return err
		}
		e, err := st.endpoints.CreateEndpoint(ctx, &ledgerv1.CreateEndpointRequest{
			RequestId: st.request(), MerchantId: m.id, EndpointId: "shop",
			Settings: &ledgerv1.EndpointSettings{Url: st.receiver.url(m.id), SecretKey: "shared-" + m.id},
		})
		if err != nil {
			return err
		}
		st.receiver.expect(m.id, e.Endpoint.SigningSecret)
	}
	return nil
}

func (st *story) request() string {
	st.requests++
	return fmt.Sprintf("demo-%d", st.requests)
}

// at schedules an act for a day; what would be after the end is left out.
func (st *story) at(day int, act func(context.Context) error) {
	if day < demoDays {
		st.byDay[day] = append(st.byDay[day], act)
	}
}

// between draws a whole number from lo to hi.
func (st *story) between(lo, hi int) int { return lo + st.random.IntN(hi-lo+1) }

// plan draws everybody's life.
func (st *story) plan() {
	merchants := demoMerchants()
	for i := range demoSubscriptions {
		m := merchants[i%len(merchants)].id
		day := st.between(0, 75)
		l := st.draw(i, m)
		st.buyers = append(st.buyers, l)
		st.at(day, func(ctx context.Context) error { return st.begin(ctx, l) })
		if l.redirected != "" {
			st.at(day+1, func(ctx context.Context) error { return st.decide(ctx, l) })
		}
		st.planLater(l, i, day)
	}
}

// planLater draws what happens to a subscription after its start.
func (st *story) planLater(l *life, i, day int) {
	later := func(lo, hi int, act func(context.Context, *life) error) {
		st.at(day+st.between(lo, hi), func(ctx context.Context) error { return act(ctx, l) })
	}
	switch i % 12 {
	case 1:
		later(3, 40, st.refundAll)
	case 3:
		later(3, 20, st.refundPart)
		later(21, 60, st.refundPart)
		later(61, 120, st.refundRest)
	case 5:
		later(30, 200, st.cancelNow)
	case 7:
		later(30, 200, st.cancelLater)
	case 8:
		later(20, 120, st.chargeback)
	case 10:
		later(5, 300, st.move)
	case 11:
		later(2, 3, st.again)
	}
}

// decide is the buyer on the gateway's page.
func (st *story) decide(ctx context.Context, l *life) error {
	s, err := st.get(ctx, l)
	if err != nil {
		return err
	}
	page := s.GetOpenAttempt().GetNextAction().GetRedirectUrl()
	if page == "" {
		return fmt.Errorf("subscription %s waits for no redirect", l.id)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, page+"?result="+l.redirected, nil)
	if err != nil {
		return err
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode >= 400 {
		return fmt.Errorf("the sandbox's page answered %s", resp.Status)
	}
	return nil
}

func (st *story) get(ctx context.Context, l *life) (*ledgerv1.Subscription, error) {
	return st.subscriptions.GetSubscription(ctx, &ledgerv1.GetSubscriptionRequest{MerchantId: l.merchant, SubscriptionId: l.id})
}
