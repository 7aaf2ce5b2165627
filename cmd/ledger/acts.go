package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// draw makes one buyer and what he buys.
func (st *story) draw(i int, merchant string) *life {
	l := &life{merchant: merchant, id: fmt.Sprintf("sub_%03d", i)}
	terms := st.terms(i)
	l.trial = terms.Initial != nil
	l.start = &ledgerv1.StartRequest{
		SubscriptionId: l.id, ConnectionId: "main", Terms: terms,
		ExternalRef: fmt.Sprintf("cart-%d", 1000+i),
		Buyer:       demoBuyer(i),
		Tracking:    &ledgerv1.Tracking{Id_1: fmt.Sprintf("campaign-%d", i%7), Link: "spring"},
	}
	l.start.PaymentMethodToken = st.token()
	switch {
	case i%20 == 6:
		l.start.PaymentMethodToken, l.redirected = "", "approve"
	case i%20 == 16:
		l.start.PaymentMethodToken, l.redirected = "", "decline"
	case i%40 == 19:
		l.start.PaymentMethodToken = "" // the buyer never comes back: it expires
	}
	return l
}

func demoBuyer(i int) *ledgerv1.Buyer {
	countries := []string{"US", "DE", "JP", "KW", "BR", "GB"}
	b := &ledgerv1.Buyer{
		Id: fmt.Sprint(50_000 + i), FirstName: "Buyer", LastName: fmt.Sprintf("No %d", i),
		Email: fmt.Sprintf("buyer%d@example.com", i), Username: fmt.Sprintf("buyer%d", i), Ip: "192.0.2.17",
		PhoneCountryCode: "1", PhoneNumber: fmt.Sprintf("555-01%02d", i%100), GdprStatus: uint32(i % 6),
		Address: &ledgerv1.Address{Line: fmt.Sprintf("%d Example Street", i), City: "Sampletown", Zip: "12345", CountryCode: countries[i%len(countries)]},
	}
	if i%5 == 0 {
		b.ShippingAddress = b.Address
	}
	return b
}

// terms draws what is sold: every price kind, every period, with and without an initial payment.
func (st *story) terms(i int) *ledgerv1.Terms {
	currencies := []string{"USD", "USD", "USD", "USD", "EUR", "EUR", "JPY", "KWD"}
	currency := currencies[st.random.IntN(len(currencies))]
	amounts := func(base int64) *ledgerv1.Amounts {
		a := &ledgerv1.Amounts{Base: demoMoney(currency, base)}
		if st.random.IntN(3) == 0 {
			a.Tax = demoMoney(currency, base*19/100)
		}
		if st.random.IntN(5) == 0 {
			a.Discount = demoMoney(currency, base/10)
		}
		if i%5 == 0 {
			a.Shipping = demoMoney(currency, 499)
		}
		return a
	}
	t := &ledgerv1.Terms{
		ProductId: fmt.Sprintf("p%d", i%9), ProductName: fmt.Sprintf("Product %d", i%9), PricePoint: uint32(1 + i%3),
		Kind: ledgerv1.PriceKind(1 + i%4), Regular: amounts(int64(st.between(500, 20_000))),
	}
	switch t.Kind {
	case ledgerv1.PriceKind_PRICE_KIND_RECURRING:
		t.Period = ledgerv1.Period(1 + st.random.IntN(8))
	case ledgerv1.PriceKind_PRICE_KIND_INSTALLMENTS:
		t.Period, t.Installments = ledgerv1.Period(1+st.random.IntN(5)), uint32(st.between(1, 12))
	case ledgerv1.PriceKind_PRICE_KIND_RECURRING_INSTALLMENTS:
		t.Period, t.Installments = ledgerv1.Period_PERIOD_MONTHLY, uint32(st.between(1, 10))
		t.Frequency = ledgerv1.Frequency(1 + st.random.IntN(2))
	}
	if st.random.IntN(2) == 0 {
		t.Initial = &ledgerv1.InitialPayment{Days: uint32(st.between(1, 30)), Amounts: amounts(int64(st.random.IntN(2) * st.between(100, 900)))}
		t.Initial.Amounts = atLeastNothing(t.Initial.Amounts)
	}
	if st.random.IntN(8) == 0 {
		t.Introductory = &ledgerv1.Introductory{Payments: 2, Amounts: &ledgerv1.Amounts{Base: t.Regular.Base, Discount: t.Regular.Base}}
	}
	return t
}

// atLeastNothing keeps a free initial payment free of shipping.
func atLeastNothing(a *ledgerv1.Amounts) *ledgerv1.Amounts {
	if a.Base.MinorUnits == 0 {
		return &ledgerv1.Amounts{Base: a.Base}
	}
	return a
}

func demoMoney(currency string, minor int64) *ledgerv1.Money {
	return &ledgerv1.Money{CurrencyCode: currency, MinorUnits: minor}
}

// token draws how the buyer's payment method behaves at the gateway.
func (st *story) token() string {
	if st.random.IntN(100) < 60 {
		return "tok_ok"
	}
	tokens := []string{
		"tok_soft", "tok_hard", "tok_ok-soft-ok", "tok_ok-ok-soft-soft-ok", "tok_ok-soft-soft-soft-soft", "tok_ok-hard",
		"tok_ok-ok-buyer_action", "tok_ok-ok-stop", "tok_ok-timeout_charged-ok", "tok_ok-timeout_uncharged-ok",
		"tok_reset_charged-ok", "tok_ok-500_uncharged-ok", "tok_ok-500_charged-ok", "tok_ok-ok-lost", "tok_ok-late-ok",
		"tok_ok-pending_ok-ok", "tok_ok-pending_fail-ok", "tok_pending_ok-ok", "tok_ok-ok-dispute", "tok_duplicate-ok",
		"tok_ok-html-ok", "tok_webhook_twice", "tok_refund_fails_later-ok", "tok_refund_pending_ok-ok", "tok_reset_uncharged-ok",
	}
	return tokens[st.random.IntN(len(tokens))]
}

// begin starts a subscription.
func (st *story) begin(ctx context.Context, l *life) error {
	request := st.request()
	var err error
	if l.trial {
		_, err = st.subscriptions.StartTrial(ctx, &ledgerv1.StartTrialRequest{MerchantId: l.merchant, RequestId: request, Start: l.start})
	} else {
		_, err = st.subscriptions.StartSubscription(ctx, &ledgerv1.StartSubscriptionRequest{MerchantId: l.merchant, RequestId: request, Start: l.start})
	}
	if err != nil {
		return fmt.Errorf("start %s: %w", l.id, err)
	}
	l.request = request
	return nil
}

// again sends the start a second time, as a caller does who never got the answer.
func (st *story) again(ctx context.Context, l *life) error {
	before, err := st.get(ctx, l)
	if err != nil {
		return err
	}
	var r *ledgerv1.CommandResponse
	if l.trial {
		r, err = st.subscriptions.StartTrial(ctx, &ledgerv1.StartTrialRequest{MerchantId: l.merchant, RequestId: l.request, Start: l.start})
	} else {
		r, err = st.subscriptions.StartSubscription(ctx, &ledgerv1.StartSubscriptionRequest{MerchantId: l.merchant, RequestId: l.request, Start: l.start})
	}
	if err != nil {
		return err
	}
	after, err := st.get(ctx, l)
	if err != nil {
		return err
	}
	if !r.Replayed || after.Revision != before.Revision {
		return fmt.Errorf("start %s was done twice", l.id)
	}
	st.replays++
	return nil
}

// paid lists a subscription's payments that something is left of, oldest first.
func (st *story) paid(ctx context.Context, l *life) ([]*ledgerv1.Order, error) {
	r, err := st.orders.ListOrders(ctx, &ledgerv1.ListOrdersRequest{
		MerchantId: l.merchant, SubscriptionId: l.id, PageSize: 500,
		Types: []ledgerv1.OrderType{ledgerv1.OrderType_ORDER_TYPE_SALE, ledgerv1.OrderType_ORDER_TYPE_REBILL},
	})
	if err != nil {
		return nil, err
	}
	left := slices.DeleteFunc(r.Orders, func(o *ledgerv1.Order) bool {
		return o.GatewayReference == "" || o.Returned.GetMinorUnits() >= o.Amounts.Full.MinorUnits
	})
	slices.Reverse(left)
	return left, nil
}

func (st *story) refundAll(ctx context.Context, l *life) error {
	return st.refund(ctx, l, func(*ledgerv1.Order) *ledgerv1.Money { return nil })
}

func (st *story) refundRest(ctx context.Context, l *life) error { return st.refundAll(ctx, l) }

func (st *story) refundPart(ctx context.Context, l *life) error {
	return st.refund(ctx, l, func(o *ledgerv1.Order) *ledgerv1.Money {
		part := proto.CloneOf(o.Amounts.Full)
		part.MinorUnits = max(1, (part.MinorUnits-o.Returned.GetMinorUnits())/3)
		return part
	})
}

// refund asks for some of the first payment that something is left of.
func (st *story) refund(ctx context.Context, l *life, amount func(*ledgerv1.Order) *ledgerv1.Money) error {
	orders, err := st.paid(ctx, l)
	if err != nil || len(orders) == 0 {
		return err
	}
	_, err = st.subscriptions.Refund(ctx, &ledgerv1.RefundRequest{
		MerchantId: l.merchant, RequestId: st.request(), SubscriptionId: l.id,
		OrderId: orders[0].OrderId, Amount: amount(orders[0]), Reason: "the buyer asked",
	})
	return unless(err, "REFUND_EXCEEDS_CAPTURED")
}

func (st *story) cancelNow(ctx context.Context, l *life) error { return st.cancel(ctx, l, false) }

func (st *story) cancelLater(ctx context.Context, l *life) error { return st.cancel(ctx, l, true) }

func (st *story) cancel(ctx context.Context, l *life, atPeriodEnd bool) error {
	_, err := st.subscriptions.Cancel(ctx, &ledgerv1.CancelRequest{
		MerchantId: l.merchant, RequestId: st.request(), SubscriptionId: l.id,
		Reason: ledgerv1.CancelReason_CANCEL_REASON_BUYER, AtPeriodEnd: atPeriodEnd,
	})
	return unless(err, "STATE_INVALID")
}

// chargeback is a bank that takes a payment back, and half of the time returns it.
func (st *story) chargeback(ctx context.Context, l *life) error {
	orders, err := st.paid(ctx, l)
	if err != nil || len(orders) == 0 {
		return err
	}
	stages := []ledgerv1.DisputeStage{ledgerv1.DisputeStage_DISPUTE_STAGE_OPENED, ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_WITHDRAWN}
	outcome := ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_LOST
	if st.random.IntN(2) == 0 {
		stages = append(stages, ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_REINSTATED)
		outcome = ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_WON
	}
	for _, stage := range append(stages, ledgerv1.DisputeStage_DISPUTE_STAGE_CLOSED) {
		req := &ledgerv1.ChargebackRequest{
			MerchantId: l.merchant, RequestId: st.request(), SubscriptionId: l.id, OrderId: orders[0].OrderId,
			DisputeId: "dp_" + l.id, Stage: stage, Reason: "fraudulent",
		}
		if stage == ledgerv1.DisputeStage_DISPUTE_STAGE_CLOSED {
			req.Outcome = outcome
		}
		if _, err := st.subscriptions.Chargeback(ctx, req); err != nil {
			return err
		}
	}
	return nil
}

// move is a buyer with a new address.
func (st *story) move(ctx context.Context, l *life) error {
	b := proto.CloneOf(l.start.Buyer)
	b.Address = &ledgerv1.Address{Line: "1 New Road", City: "Elsewhere", Zip: "54321", CountryCode: "FR"}
	_, err := st.subscriptions.UpdateBuyer(ctx, &ledgerv1.UpdateBuyerRequest{
		MerchantId: l.merchant, RequestId: st.request(), SubscriptionId: l.id, Buyer: b,
	})
	return err
}

// unless lets an error with one of the reasons pass: the story draws acts without looking whether they make sense.
func unless(err error, reasons ...string) error {
	s, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && slices.Contains(reasons, info.Reason) {
			return nil
		}
	}
	return errors.Join(err)
}
