package subscription_test

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

func TestStart(t *testing.T) {
	t.Parallel()
	c := startAt(t0, terms(subscription.Recurring))
	c.Request.Terms.Regular = &ledgerv1.Amounts{Base: usd(5000), Discount: usd(300)}
	c.Request.ExternalRef = "cart-1"
	c.Request.Urls = &ledgerv1.Urls{Success: "https://shop.example/thanks"}
	c.Request.Tracking = &ledgerv1.Tracking{Id_1: "spring"}
	got, err := c.Decide(state{})
	if err != nil {
		t.Fatal(err)
	}
	amounts := &ledgerv1.Amounts{Full: usd(4700), Base: usd(5000), Discount: usd(300), Shipping: usd(0), Tax: usd(0)}
	frozen := terms(subscription.Recurring)
	frozen.Regular = amounts
	meta := &ledgerv1.Metadata{OccurredAt: at(t0), RecordedAt: at(t0)}
	equal(t, "events", got, events{
		{Metadata: meta, Kind: &ledgerv1.Event_SubscriptionStarted{SubscriptionStarted: &ledgerv1.SubscriptionStarted{
			MerchantId: "acme", SubscriptionId: "s1", Number: 7, BuyerId: "lead-1", Buyer: &ledgerv1.Buyer{FirstName: "Zoë"},
			Terms: frozen, ConnectionId: "main", Gateway: "sandbox", Processor: "Stripe", Mode: ledgerv1.Mode_MODE_TEST,
			PaymentMethodToken: "tok", Quantity: 1, Urls: c.Request.Urls, ExternalRef: "cart-1", Tracking: c.Request.Tracking,
		}}},
		{Metadata: meta, Kind: &ledgerv1.Event_PaymentRequested{PaymentRequested: &ledgerv1.PaymentRequested{
			PayNumber: 1, Attempt: 1, Amounts: amounts, Due: at(t0), ConnectionId: "main",
			Key: got[1].GetPaymentRequested().GetKey(),
		}}},
	})
	equal(t, "the request's own buyer", c.Request.Buyer.Id, "lead-1")
	equal(t, "the request's own amounts", c.Request.Terms.Regular.Full, (*ledgerv1.Money)(nil))

	s := after(t, c)
	equal(t, "state", s.Status, subscription.Pending)
	equal(t, "exists", s.Exists(), true)
	equal(t, "last order", s.LastOrder(), int64(0))
	equal(t, "stream", subscription.Stream("acme", "s1"), "subscription-acme.s1")
	if ty := subscription.Type(); ty.Category != subscription.Category || ty.Due == nil {
		t.Errorf("got type %+v", ty)
	}
}

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*subscription.Start)
		want   string
		field  string
	}{
		"no request":          {func(c *subscription.Start) { c.Request = nil }, "TERMS_REQUIRED", "start.terms"},
		"id":                  {func(c *subscription.Start) { c.ID = "a-b" }, "ID_INVALID", "start.subscription_id"},
		"no buyer":            {func(c *subscription.Start) { c.Request.Buyer = nil }, "BUYER_REQUIRED", "start.buyer.id"},
		"buyer without id":    {func(c *subscription.Start) { c.Request.Buyer.Id = "" }, "BUYER_REQUIRED", "start.buyer.id"},
		"gdpr status":         {func(c *subscription.Start) { c.Request.Buyer.GdprStatus = 6 }, "GDPR_STATUS_INVALID", "start.buyer.gdpr_status"},
		"country":             {func(c *subscription.Start) { c.Request.Buyer.Address = &ledgerv1.Address{CountryCode: "XX"} }, "COUNTRY_INVALID", "start.buyer.address.country_code"},
		"country of shipping": {func(c *subscription.Start) { c.Request.Buyer.ShippingAddress = &ledgerv1.Address{CountryCode: "de"} }, "COUNTRY_INVALID", "start.buyer.shipping_address.country_code"},
		"quantity":            {func(c *subscription.Start) { c.Request.Quantity = 1_000_000_001 }, "QUANTITY_INVALID", "start.quantity"},
		"url":                 {func(c *subscription.Start) { c.Request.Urls = &ledgerv1.Urls{Return: "/thanks"} }, "URL_INVALID", "start.urls.return"},
		"the first of two urls": {func(c *subscription.Start) {
			c.Request.Urls = &ledgerv1.Urls{Failure: "javascript:alert(1)", Return: "/thanks"}
		}, "URL_INVALID", "start.urls.failure"},
		"url over http": {func(c *subscription.Start) {
			c.Mode, c.Request.Urls = ledgerv1.Mode_MODE_TEST, &ledgerv1.Urls{Success: "http://shop.example/"}
		}, "URL_INVALID", "start.urls.success"},
		"url of this machine, live": {func(c *subscription.Start) {
			c.Mode, c.Request.Urls = ledgerv1.Mode_MODE_LIVE, &ledgerv1.Urls{Success: "http://localhost:3000/"}
		}, "URL_INVALID", "start.urls.success"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startAt(t0, terms(subscription.Recurring))
			c.change(&s)
			_, err := s.Decide(state{})
			equal(t, "reason", reasonOf(err), c.want)
			if e, ok := err.(*aggregate.Error); ok {
				equal(t, "field", e.Field, c.field)
			}
		})
	}
}

func TestStartKeepsWhatIsAllowed(t *testing.T) {
	t.Parallel()
	c := startAt(t0, terms(subscription.Recurring))
	c.Request.Quantity = 3
	c.Request.Buyer.Address = &ledgerv1.Address{CountryCode: "DE"}
	c.Request.Buyer.GdprStatus = 5
	s := after(t, c)
	equal(t, "quantity", s.Started.Quantity, uint32(3))
	equal(t, "amount", s.Attempts[0].Amounts, price(4700))
}

// Commands on what was never started say that it is not there.
func TestNothingIsThere(t *testing.T) {
	t.Parallel()
	var scenarios []scenario
	all := commands{
		rebill(t0), cancel(t0), subscription.Refund{}, subscription.Chargeback{}, subscription.UpdateBuyer{}, subscription.LoseAgreement{},
		subscription.WithdrawCancellation{}, subscription.Pause{}, subscription.Resume{}, subscription.Reschedule{}, subscription.ReplacePaymentMethod{},
		subscription.ChangeTerms{}, subscription.ObservePayment{}, subscription.ObserveRefund{}, subscription.ResolveMismatch{},
	}
	for _, c := range all {
		scenarios = append(scenarios, scenario{name: fmt.Sprintf("%T", c), when: c, refused: "NOT_FOUND"})
	}
	run(t, append(scenarios,
		scenario{name: "wake", when: wake(t0)},
		scenario{name: "start twice", given: bought(), when: start(terms(subscription.OneTime)), refused: "SUBSCRIPTION_EXISTS"},
	))
}

func TestUpdateBuyer(t *testing.T) {
	t.Parallel()
	update := func(b *ledgerv1.Buyer) command { return subscription.UpdateBuyer{Now: t0.Add(time.Hour), Buyer: b} }
	updated := events{{Kind: &ledgerv1.Event_BuyerUpdated{BuyerUpdated: &ledgerv1.BuyerUpdated{
		BuyerId: "lead-1", Buyer: &ledgerv1.Buyer{FirstName: "Zoe"},
	}}}}
	run(t, []scenario{
		{name: "without id", given: bought(), when: update(&ledgerv1.Buyer{FirstName: "Zoe"}), then: updated},
		{name: "with id", given: bought(), when: update(&ledgerv1.Buyer{Id: "lead-1", FirstName: "Zoe"}), then: updated},
		{name: "of what has ended", given: with(bought(), cancel(t0)), when: update(&ledgerv1.Buyer{FirstName: "Zoe"}), then: updated},
		{name: "nobody", given: bought(), when: update(nil), refused: "BUYER_REQUIRED"},
		{name: "somebody else", given: bought(), when: update(&ledgerv1.Buyer{Id: "lead-2"}), refused: "BUYER_FIXED"},
		{name: "wrongly", given: bought(), when: update(&ledgerv1.Buyer{GdprStatus: 9}), refused: "GDPR_STATUS_INVALID"},
		{name: "the same", given: bought(), when: update(&ledgerv1.Buyer{FirstName: "Zoë"}), refused: "UNCHANGED"},
	})
	s := after(t, with(bought(), update(&ledgerv1.Buyer{FirstName: "Zoe"}))...)
	if want := (&ledgerv1.Buyer{FirstName: "Zoe"}); !proto.Equal(s.Buyer, want) || s.Started.Buyer.FirstName != "Zoë" {
		t.Errorf("known now %v, as sold %v; want %v beside the buyer as sold", s.Buyer, s.Started.Buyer, want)
	}
}

// Events of other aggregates change nothing.
func TestEvolveLeavesForeignEvents(t *testing.T) {
	t.Parallel()
	s := after(t, bought()...)
	foreign := &ledgerv1.Event{Kind: &ledgerv1.Event_MerchantCreated{MerchantCreated: &ledgerv1.MerchantCreated{}}}
	equal(t, "state", subscription.Evolve(s, foreign), s)
	equal(t, "state, after news of an attempt that was never made", subscription.Evolve(s, duplicate(9, 9)).Attempts, s.Attempts)
}

// A state is a value: what comes of it one way does not show in what comes of it another way.
func TestStatesDoNotShare(t *testing.T) {
	t.Parallel()
	base := with(due(), decline(feb, 2, 1, soft), rebill(feb), decline(feb, 2, 2, soft))
	for _, refunds := range []int{1, 2, 3, 4, 5} {
		base = with(base, refund(fmt.Sprint("r", refunds), 1))
		s := after(t, base...)
		fork := func(c command) state {
			es, err := c.Decide(s)
			if err != nil {
				t.Fatal(err)
			}
			return subscription.Evolve(s, es[0])
		}
		one := fork(refund("one", 1))
		fork(refund("two", 2))
		equal(t, "the last refund of one", one.Refunds[refunds].ID, "one")
	}
}

func TestStartOfAShopOnThisMachine(t *testing.T) {
	t.Parallel()
	c := startAt(t0, terms(subscription.Recurring))
	c.Mode = ledgerv1.Mode_MODE_TEST
	c.Request.Urls = &ledgerv1.Urls{Success: "http://localhost:3000/thanks", Failure: "http://[::1]/", Return: "https://shop.example/"}
	if _, err := c.Decide(state{}); err != nil {
		t.Errorf("got %v, want it taken", err)
	}
}
