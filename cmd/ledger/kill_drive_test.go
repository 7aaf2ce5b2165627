package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
	"ledger.internal/ledger/internal/sim/invariant"
)

// boughtPerKill bounds how many subscriptions one driver starts, so that days do not get ever fuller.
const boughtPerKill = 6

// driver is a caller who never gives up: it repeats a command under the same id until the ledger answers.
type driver struct {
	*siege
	n      int
	random *rand.Rand
	bought []*bought
	sent   int
	acked  []invariant.Ack
	// how often a command had to be repeated, how many of these had been done the first time, and refusals
	repeated, replayed, refused int
}

// bought is one subscription as its driver knows it.
type bought struct {
	id    string
	order int64 // of its first payment; 0 while that is not known
}

func (b *bought) stream() string { return subscription.Stream(killMerchant, b.id) }

func (s *siege) drive() {
	n := len(s.drivers)
	d := &driver{siege: s, n: n, random: rand.New(rand.NewPCG(s.seed, uint64(n+1)))}
	s.drivers = append(s.drivers, d)
	s.driving.Go(func() {
		for {
			select {
			case <-s.stop:
				return
			case <-s.ctx.Done():
				return
			default:
				d.act()
			}
		}
	})
}

// stopDriving has the drivers bring their last commands to an end.
func (s *siege) stopDriving() {
	close(s.stop)
	s.driving.Wait()
}

// act does one thing that a caller may do.
func (d *driver) act() {
	if len(d.bought) < d.most && (len(d.bought) == 0 || d.random.IntN(2) == 0) {
		d.buy()
		return
	}
	b := d.bought[d.random.IntN(len(d.bought))]
	if b.order == 0 {
		d.look(b)
	}
	switch d.random.IntN(16) {
	case 0, 1, 2, 3:
		d.rebill(b)
	case 4, 5, 6, 7, 8, 9:
		d.refund(b)
	case 10:
		d.pause(b)
	case 11:
		d.resume(b)
	case 12:
		d.reschedule(b)
	case 13:
		d.replaceMethod(b)
	case 14:
		d.changeTerms(b)
	default:
		d.cancel(b)
	}
}

// client speaks gRPC for one half of the drivers, and REST for the other.
func (d *driver) client() ledgerv1.SubscriptionServiceClient {
	to, _ := d.current()
	if d.n%2 == 0 {
		return ledgerv1.NewSubscriptionServiceClient(to.grpc)
	}
	return ledgerv1.NewSubscriptionServiceClient(to.rest)
}

// request is a new request id.
func (d *driver) request() string {
	d.sent++
	return fmt.Sprintf("d%d_%d", d.n, d.sent)
}

// wait is how long the next command waits for the gateway.
func (d *driver) wait() *durationpb.Duration {
	if d.random.IntN(3) == 0 {
		return nil
	}
	return durationpb.New(time.Second)
}

func (d *driver) buy() {
	b := &bought{id: fmt.Sprintf("s%d_%d", d.n, len(d.bought))}
	start := &ledgerv1.StartRequest{
		SubscriptionId: b.id, ConnectionId: killConnection, PaymentMethodToken: d.token(),
		Buyer: &ledgerv1.Buyer{Id: b.id, FirstName: "Ada", Email: "ada@example.com"},
		Terms: &ledgerv1.Terms{ProductId: "p1", ProductName: "Course", PricePoint: 1,
			Kind: ledgerv1.PriceKind_PRICE_KIND_ONE_TIME, Regular: &ledgerv1.Amounts{Base: demoMoney("USD", 4700)}},
	}
	if d.random.IntN(2) == 0 {
		start.Terms.Kind, start.Terms.Period = ledgerv1.PriceKind_PRICE_KIND_RECURRING, ledgerv1.Period_PERIOD_WEEKLY
	}
	request, wait := d.request(), d.wait()
	var a *ledgerv1.CommandResponse
	if d.random.IntN(2) == 0 {
		start.Terms.Initial = &ledgerv1.InitialPayment{Days: 1, Amounts: &ledgerv1.Amounts{Base: demoMoney("USD", 100)}}
		r := &ledgerv1.StartTrialRequest{MerchantId: killMerchant, RequestId: request, Start: start, Wait: wait}
		a = d.send(request, b.id, wait != nil, func(ctx context.Context) (*ledgerv1.CommandResponse, error) { return d.client().StartTrial(ctx, r) })
	} else {
		r := &ledgerv1.StartSubscriptionRequest{MerchantId: killMerchant, RequestId: request, Start: start, Wait: wait}
		a = d.send(request, b.id, wait != nil, func(ctx context.Context) (*ledgerv1.CommandResponse, error) {
			return d.client().StartSubscription(ctx, r)
		})
	}
	b.order = a.GetSubscription().GetFirstOrderId()
	d.bought = append(d.bought, b)
}

// token draws how the buyer's payment method behaves. What has happened has happened at once here: the gateway's own
// clock is not the ledger's.
func (d *driver) token() string {
	tokens := []string{
		"tok_ok", "tok_ok", "tok_ok", "tok_ok-soft-ok", "tok_soft", "tok_ok-hard",
		"tok_reset_charged-ok", "tok_reset_uncharged-ok", "tok_500_charged-ok", "tok_ok-reset_uncharged-ok", "tok_ok-500_charged-ok",
		"tok_html-ok", "tok_truncated-ok", "tok_duplicate-ok", "tok_rate_limited-ok",
		"tok_refund_fails", "tok_refund_reset_charged", "tok_refund_reset_uncharged", "tok_refund_500_charged",
	}
	return tokens[d.random.IntN(len(tokens))]
}

// look learns the order of the first payment, and looks through the list on the way.
func (d *driver) look(b *bought) {
	ctx, cancel := context.WithTimeout(d.ctx, 5*time.Second)
	defer cancel()
	d.calls.RLock()
	defer d.calls.RUnlock()
	_, _ = d.client().ListSubscriptions(ctx, &ledgerv1.ListSubscriptionsRequest{MerchantId: killMerchant})
	s, err := d.client().GetSubscription(ctx, &ledgerv1.GetSubscriptionRequest{MerchantId: killMerchant, SubscriptionId: b.id})
	if err == nil { // else it is learnt another time
		b.order = s.GetFirstOrderId()
	}
}

func (d *driver) rebill(b *bought) {
	r := &ledgerv1.RebillRequest{MerchantId: killMerchant, RequestId: d.request(), SubscriptionId: b.id, Wait: d.wait()}
	d.send(r.RequestId, b.id, r.Wait != nil, func(ctx context.Context) (*ledgerv1.CommandResponse, error) { return d.client().Rebill(ctx, r) })
}

func (d *driver) refund(b *bought) {
	r := &ledgerv1.RefundRequest{MerchantId: killMerchant, RequestId: d.request(), SubscriptionId: b.id, OrderId: b.order, Wait: d.wait()}
	if d.random.IntN(2) == 0 {
		r.Amount = demoMoney("USD", int64(1+d.random.IntN(60)))
	}
	r.AlsoCancel = d.random.IntN(8) == 0
	d.send(r.RequestId, b.id, r.Wait != nil, func(ctx context.Context) (*ledgerv1.CommandResponse, error) { return d.client().Refund(ctx, r) })
}

func (d *driver) cancel(b *bought) {
	r := &ledgerv1.CancelRequest{
		MerchantId: killMerchant, RequestId: d.request(), SubscriptionId: b.id,
		Reason: ledgerv1.CancelReason_CANCEL_REASON_BUYER, AtPeriodEnd: d.random.IntN(2) == 0,
	}
	d.send(r.RequestId, b.id, false, func(ctx context.Context) (*ledgerv1.CommandResponse, error) { return d.client().Cancel(ctx, r) })
}

func (d *driver) pause(b *bought) {
	r := &ledgerv1.PauseRequest{MerchantId: killMerchant, RequestId: d.request(), SubscriptionId: b.id, Reason: "holiday"}
	d.send(r.RequestId, b.id, false, func(ctx context.Context) (*ledgerv1.CommandResponse, error) { return d.client().Pause(ctx, r) })
}

func (d *driver) resume(b *bought) {
	r := &ledgerv1.ResumeRequest{MerchantId: killMerchant, RequestId: d.request(), SubscriptionId: b.id, Wait: d.wait()}
	d.send(r.RequestId, b.id, r.Wait != nil, func(ctx context.Context) (*ledgerv1.CommandResponse, error) { return d.client().Resume(ctx, r) })
}

// reschedule moves the next payment to a day that lies ahead on either clock.
func (d *driver) reschedule(b *bought) {
	r := &ledgerv1.RescheduleRequest{
		MerchantId: killMerchant, RequestId: d.request(), SubscriptionId: b.id, KeepAnchor: d.random.IntN(2) == 0,
		NextDueAt: timestamppb.New(d.now().Add(time.Duration(1+d.random.IntN(20*24)) * time.Hour)),
	}
	d.send(r.RequestId, b.id, false, func(ctx context.Context) (*ledgerv1.CommandResponse, error) { return d.client().Reschedule(ctx, r) })
}

func (d *driver) replaceMethod(b *bought) {
	r := &ledgerv1.ReplacePaymentMethodRequest{
		MerchantId: killMerchant, RequestId: d.request(), SubscriptionId: b.id, Wait: d.wait(),
		// Storing a method is one call with one answer: one that is cut off would be cut off for ever.
		PaymentMethodToken: []string{"tok_ok", "tok_ok-soft-ok", "tok_ok-500_charged-ok"}[d.random.IntN(3)],
	}
	d.send(r.RequestId, b.id, r.Wait != nil, func(ctx context.Context) (*ledgerv1.CommandResponse, error) {
		return d.client().ReplacePaymentMethod(ctx, r)
	})
}

func (d *driver) changeTerms(b *bought) {
	r := &ledgerv1.ChangeTermsRequest{
		MerchantId: killMerchant, RequestId: d.request(), SubscriptionId: b.id, ConsentReference: "mail",
		Amounts: &ledgerv1.Amounts{Base: demoMoney("USD", int64(4000+d.random.IntN(1000)))},
	}
	d.send(r.RequestId, b.id, false, func(ctx context.Context) (*ledgerv1.CommandResponse, error) { return d.client().ChangeTerms(ctx, r) })
}

// send repeats a command until it is done or refused.
func (d *driver) send(request, id string, waited bool, call func(context.Context) (*ledgerv1.CommandResponse, error)) *ledgerv1.CommandResponse {
	for tries := 0; d.ctx.Err() == nil; tries++ {
		_, launched := d.current()
		a, err := d.once(call)
		switch status.Code(err) {
		case codes.OK:
			d.heard(func(a *callers) *int { return &a.done })
			d.note(invariant.Ack{
				Stream: subscription.Stream(killMerchant, id), RequestID: request,
				Revision: a.Subscription.Revision, Position: a.Position, Waited: waited, Replayed: a.Replayed,
			}, tries)
			return a
		case codes.Unavailable, codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.ResourceExhausted:
			d.heard(func(a *callers) *int { return &a.failed })
			if strings.Contains(err.Error(), "disk is full") {
				d.heard(func(a *callers) *int { return &a.full })
			}
			select {
			case <-launched:
			case <-time.After(50 * time.Millisecond): // it may be the same ledger that is there again
			case <-d.ctx.Done():
			}
		case codes.FailedPrecondition, codes.NotFound:
			d.refused++ // the acts are drawn without looking whether they make sense
			return nil
		default:
			d.violated("%s on %s is answered with %v", request, id, err)
			return nil
		}
	}
	return nil
}

func (d *driver) once(call func(context.Context) (*ledgerv1.CommandResponse, error)) (*ledgerv1.CommandResponse, error) {
	ctx, cancel := context.WithTimeout(d.ctx, 10*time.Second)
	defer cancel()
	d.calls.RLock()
	defer d.calls.RUnlock()
	return call(ctx)
}

func (d *driver) note(a invariant.Ack, tries int) {
	d.acked = append(d.acked, a)
	d.repeated += tries
	if a.Replayed {
		d.replayed++
	}
}
