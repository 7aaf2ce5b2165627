package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/money"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// choose draws what a customer does next. false: nothing, because there is nothing to do it with.
func (c *customer) choose(id string) (command, bool) {
	mine := c.world.sold[c.merchant]
	if len(mine) == 0 || c.started < 2 && c.random.IntN(2) == 0 || c.random.IntN(12) == 0 {
		return c.begin(id), true
	}
	sub := mine[c.random.IntN(len(mine))]
	s := c.world.peek(subscription.Stream(c.merchant, sub))
	if !s.Exists() {
		return command{}, false
	}
	if len(s.Charges) > 0 && c.random.IntN(3) == 0 {
		return c.refund(id, sub, s), true
	}
	return c.change(id, sub, s)
}

// begin sells or imports a subscription.
func (c *customer) begin(id string) command {
	c.started++
	sub := fmt.Sprintf("s%d", len(c.world.sold[c.merchant])+1)
	c.world.sold[c.merchant] = append(c.world.sold[c.merchant], sub)
	stream := subscription.Stream(c.merchant, sub)
	connection := c.world.connection(c.random)
	buyer := &ledgerv1.Buyer{Id: fmt.Sprintf("b%d", c.random.IntN(4)), Email: c.merchant + "@buyer.example"}
	terms := c.terms()
	if c.random.IntN(8) == 0 && terms.Kind == ledgerv1.PriceKind_PRICE_KIND_RECURRING {
		return c.takeOver(id, sub, connection, buyer, terms)
	}
	start := &ledgerv1.StartRequest{
		SubscriptionId: sub, Buyer: buyer, Terms: terms, ConnectionId: connection, PaymentMethodToken: c.token(connection, sub),
		Urls: &ledgerv1.Urls{Return: "https://shop.example/back"},
	}
	duplicate := c.random.IntN(4) == 0
	c.world.duplicates[stream] = duplicate
	if terms.Initial != nil {
		return command{subscriptions + "StartTrial", &ledgerv1.StartTrialRequest{
			MerchantId: c.merchant, RequestId: id, Start: start, AllowDuplicate: duplicate,
		}, stream}
	}
	return command{subscriptions + "StartSubscription", &ledgerv1.StartSubscriptionRequest{
		MerchantId: c.merchant, RequestId: id, Start: start, AllowDuplicate: duplicate,
	}, stream}
}

// token is what the buyer pays with at a connection's gateway.
func (c *customer) token(connection, id string) string {
	account := accountOf(c.merchant, connection)
	return c.world.gateways[account.Gateway].token(c.random, account, id)
}

// takeOver imports a subscription that another system has sold; some are charged by their gateway.
func (c *customer) takeOver(id, sub, connection string, buyer *ledgerv1.Buyer, terms *ledgerv1.Terms) command {
	terms.Initial = nil
	by := ledgerv1.ChargedBy_CHARGED_BY_LEDGER
	if c.random.IntN(2) == 0 {
		by = ledgerv1.ChargedBy_CHARGED_BY_GATEWAY
	}
	now := c.world.clock.Now()
	account := accountOf(c.merchant, connection)
	method := c.world.gateways[account.Gateway].adopt(c.world, account, sub, terms.Regular.Full, by == ledgerv1.ChargedBy_CHARGED_BY_GATEWAY)
	return command{subscriptions + "ImportSubscription", &ledgerv1.ImportSubscriptionRequest{
		MerchantId: c.merchant, RequestId: id, Import: &ledgerv1.ImportRequest{
			SubscriptionId: sub, Buyer: buyer, Terms: terms, ConnectionId: connection, PaymentMethod: method,
			State: ledgerv1.ImportState_IMPORT_STATE_ACTIVE, PaidNumber: uint32(1 + c.random.IntN(5)),
			NextDueAt: timestamppb.New(now.Add(time.Duration(1+c.random.IntN(20)) * 24 * time.Hour)), ChargedBy: by,
			StartedAt: timestamppb.New(now.Add(-60 * 24 * time.Hour)),
		},
	}, subscription.Stream(c.merchant, sub)}
}

// terms draws what is sold.
func (c *customer) terms() *ledgerv1.Terms {
	r := c.random
	currency := []string{"USD", "EUR", "JPY", "KWD"}[r.IntN(4)]
	t := &ledgerv1.Terms{
		ProductId: fmt.Sprint(r.IntN(3)), ProductName: "Course", PricePoint: 1,
		Kind: ledgerv1.PriceKind_PRICE_KIND_RECURRING, Period: ledgerv1.Period_PERIOD_MONTHLY,
		Regular: price(currency, int64(1+r.IntN(9999)), int64(r.IntN(300))),
	}
	if r.IntN(4) == 0 { // so much that what is reckoned in floating point goes wrong, and no more than a card number has digits
		t.Regular = price(currency, 1+r.Int64N(8e11), r.Int64N(1e11))
	}
	if c.world.mix.Weekly {
		t.Period = ledgerv1.Period_PERIOD_WEEKLY
	}
	switch r.IntN(5) {
	case 0:
		t.Kind, t.Period = ledgerv1.PriceKind_PRICE_KIND_ONE_TIME, ledgerv1.Period_PERIOD_UNSPECIFIED
	case 1:
		t.Kind, t.Installments = ledgerv1.PriceKind_PRICE_KIND_INSTALLMENTS, uint32(2+r.IntN(4))
	}
	if r.IntN(2) == 0 {
		t.Initial = &ledgerv1.InitialPayment{Amounts: price(currency, int64(r.IntN(2)*r.IntN(500)), 0), Days: uint32(1 + r.IntN(14))}
	}
	return t
}

// price is an amount with tax.
func price(currency string, base, tax int64) *ledgerv1.Amounts {
	of := func(units int64) *ledgerv1.Money { return &ledgerv1.Money{CurrencyCode: currency, MinorUnits: units} }
	return &ledgerv1.Amounts{Full: of(base + tax), Base: of(base), Discount: of(0), Shipping: of(0), Tax: of(tax)}
}

// refund returns a payment or a part of it.
func (c *customer) refund(id, sub string, s subscription.State) command {
	r := &ledgerv1.RefundRequest{MerchantId: c.merchant, RequestId: id, SubscriptionId: sub, AlsoCancel: c.random.IntN(5) == 0}
	ch := s.Charges[c.random.IntN(len(s.Charges))]
	r.OrderId = ch.OrderID
	if full := ch.Amounts.GetFull(); c.random.IntN(2) == 0 && full.GetMinorUnits() > 1 {
		minor := 1 + c.random.Int64N(full.MinorUnits)
		if minor%3 == 0 {
			minor = (full.MinorUnits + 2) / 3 // so that some refunds are of the same amount
		}
		r.Amount = money.New(full.CurrencyCode, minor)
	}
	if r.AlsoCancel {
		r.CancelReason = ledgerv1.CancelReason_CANCEL_REASON_BUYER
	}
	return command{subscriptions + "Refund", r, subscription.Stream(c.merchant, sub)}
}

// change does one of the other things that a merchant may do with a subscription.
func (c *customer) change(id, sub string, s subscription.State) (command, bool) {
	m, r := c.merchant, c.random
	about := func(method string, request proto.Message) (command, bool) {
		return command{subscriptions + method, request, subscription.Stream(m, sub)}, true
	}
	switch r.IntN(15) {
	case 0, 1:
		return about("Rebill", &ledgerv1.RebillRequest{MerchantId: m, RequestId: id, SubscriptionId: sub})
	case 2:
		return about("Cancel", &ledgerv1.CancelRequest{MerchantId: m, RequestId: id, SubscriptionId: sub,
			Reason: ledgerv1.CancelReason_CANCEL_REASON_BUYER, AtPeriodEnd: r.IntN(2) == 0})
	case 3:
		return about("WithdrawCancellation", &ledgerv1.WithdrawCancellationRequest{MerchantId: m, RequestId: id, SubscriptionId: sub})
	case 4:
		return about("Pause", &ledgerv1.PauseRequest{MerchantId: m, RequestId: id, SubscriptionId: sub})
	case 5, 6:
		return about("Resume", &ledgerv1.ResumeRequest{MerchantId: m, RequestId: id, SubscriptionId: sub})
	case 7:
		at := c.world.clock.Now().Add(time.Duration(1+r.IntN(20)) * 24 * time.Hour)
		return about("Reschedule", &ledgerv1.RescheduleRequest{MerchantId: m, RequestId: id, SubscriptionId: sub,
			NextDueAt: timestamppb.New(at), KeepAnchor: r.IntN(2) == 0})
	case 8, 9:
		connection := c.world.connection(r)
		return about("ReplacePaymentMethod", &ledgerv1.ReplacePaymentMethodRequest{MerchantId: m, RequestId: id,
			SubscriptionId: sub, PaymentMethodToken: c.token(connection, "new_"+id), ConnectionId: connection})
	case 10:
		full := s.Terms().GetRegular().GetFull()
		return about("ChangeTerms", &ledgerv1.ChangeTermsRequest{MerchantId: m, RequestId: id, SubscriptionId: sub,
			Amounts: price(full.GetCurrencyCode(), 1+r.Int64N(9999), 0), ConsentReference: "mail of today"})
	case 11:
		return c.mismatch(id, sub, s)
	case 12:
		return c.around(id), true
	case 13:
		if c.world.mix.LiveViews {
			return command{orders + "ListOrders", &ledgerv1.ListOrdersRequest{MerchantId: m}, ""}, true
		}
	}
	return about("UpdateBuyer", &ledgerv1.UpdateBuyerRequest{MerchantId: m, RequestId: id, SubscriptionId: sub,
		Buyer: &ledgerv1.Buyer{Id: s.Started.GetBuyerId(), FirstName: id}})
}

// mismatch clears up a charge over another amount, if there is one.
func (c *customer) mismatch(id, sub string, s subscription.State) (command, bool) {
	for _, a := range s.Attempts {
		if a.Status == subscription.AttemptMismatched {
			return command{subscriptions + "ResolveMismatch", &ledgerv1.ResolveMismatchRequest{MerchantId: c.merchant, RequestId: id,
				SubscriptionId: sub, PayNumber: a.Number, Attempt: a.Attempt, Reference: "returned by hand"},
				subscription.Stream(c.merchant, sub)}, true
		}
	}
	return command{}, false
}

// around changes what stands around the subscriptions, an endpoint, a connection or the merchant's policies.
func (c *customer) around(request string) command {
	m, r := c.merchant, c.random
	connection := c.world.connection(r)
	switch r.IntN(4) {
	case 0:
		e := 1 + r.IntN(c.world.mix.Endpoints)
		settings := endpointSettings(m, e)
		settings.DateSuffix = " " + request
		settings.Types = ([]ledgerv1.IpnType{
			ledgerv1.IpnType_IPN_TYPE_SALE, ledgerv1.IpnType_IPN_TYPE_REBILL, ledgerv1.IpnType_IPN_TYPE_FAILED, ledgerv1.IpnType_IPN_TYPE_REFUND,
		})[:r.IntN(5)]
		return command{endpoints + "UpdateEndpoint", &ledgerv1.UpdateEndpointRequest{MerchantId: m, RequestId: request,
			EndpointId: fmt.Sprintf("e%d", e), Settings: settings}, ""}
	case 1:
		return command{connections + "BlockConnection", &ledgerv1.BlockConnectionRequest{MerchantId: m, RequestId: request,
			ConnectionId: connection, Reason: "reconnect it"}, ""}
	case 2:
		return command{connections + "UnblockConnection", &ledgerv1.UnblockConnectionRequest{MerchantId: m, RequestId: request,
			ConnectionId: connection}, ""}
	}
	return command{merchants + "UpdateMerchant", &ledgerv1.UpdateMerchantRequest{MerchantId: m, RequestId: request, Name: m, Policies: policies(r)}, ""}
}

// policies draws what a merchant wants done when a payment fails or is disputed; nil for the defaults.
func policies(r *rand.Rand) *ledgerv1.Policies {
	p := &ledgerv1.Policies{
		Chargeback: ledgerv1.ChargebackPolicy(r.IntN(4)), LateCharge: ledgerv1.LateChargePolicy(r.IntN(3)),
	}
	if r.IntN(2) == 0 {
		p.DunningDays = []uint32{1, 2, 5}[:1+r.IntN(3)]
	}
	return p
}
