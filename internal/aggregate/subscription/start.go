package subscription

import (
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/country"
	"ledger.internal/ledger/internal/aggregate/text"
)

// maxQuantity is what a form field of ten digits can tell.
const maxQuantity = 1_000_000_000

// Start begins a subscription and asks for its first payment.
type Start struct {
	Now     time.Time
	Trial   bool // with an initial payment
	Number  int64
	Request *ledgerv1.StartRequest

	Merchant, ID       string
	Gateway, Processor string
	Mode               ledgerv1.Mode
}

// Decide implements aggregate.Command.
func (c Start) Decide(s State) ([]*ledgerv1.Event, error) {
	if s.Exists() {
		return nil, &aggregate.Error{Kind: aggregate.Exists, Reason: "SUBSCRIPTION_EXISTS",
			Message: "there is a subscription " + c.ID + " already"}
	}
	if !text.ValidID(c.ID) {
		return nil, aggregate.InvalidField("start.subscription_id", "ID_INVALID", "an id has 1 to 40 letters, digits or underscores")
	}
	r := c.Request
	terms, err := checkTerms("start.terms", r.GetTerms(), c.Trial)
	if err != nil {
		return nil, err
	}
	if err := c.checkRest(); err != nil {
		return nil, err
	}
	d := s.decide(c.Now, time.Time{})
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_SubscriptionStarted{SubscriptionStarted: &ledgerv1.SubscriptionStarted{
		MerchantId:         c.Merchant,
		SubscriptionId:     c.ID,
		Number:             c.Number,
		BuyerId:            r.Buyer.Id,
		Buyer:              personal(r.Buyer),
		Terms:              terms,
		ConnectionId:       r.ConnectionId,
		Gateway:            c.Gateway,
		Processor:          c.Processor,
		Mode:               c.Mode,
		PaymentMethodToken: r.PaymentMethodToken,
		Quantity:           max(r.Quantity, 1),
		Urls:               r.Urls,
		ExternalRef:        r.ExternalRef,
		Tracking:           r.Tracking,
		Metadata:           pairs(r.Metadata),
	}}})
	d.request(amounts(terms, 1), Circumstances{})
	return d.done()
}

// checkRest checks all but the terms.
func (c Start) checkRest() error {
	r := c.Request
	if r.GetBuyer().GetId() == "" {
		return aggregate.InvalidField("start.buyer.id", "BUYER_REQUIRED", "name the buyer by the id you know him by")
	}
	if err := checkBuyer("start.buyer", r.Buyer); err != nil {
		return err
	}
	if r.Quantity > maxQuantity {
		return aggregate.InvalidField("start.quantity", "QUANTITY_INVALID", "at most %d", maxQuantity)
	}
	if err := checkMetadata("start.metadata", r.Metadata); err != nil {
		return err
	}
	return c.checkURLs()
}

// checkURLs takes addresses that a buyer can be sent to and nobody on his way can change. While a shop is being made it may
// be on the machine of who makes it.
func (c Start) checkURLs() error {
	u := c.Request.GetUrls()
	for _, u := range []struct{ name, url string }{
		{"success", u.GetSuccess()}, {"failure", u.GetFailure()}, {"return", u.GetReturn()},
	} {
		local := c.Mode == ledgerv1.Mode_MODE_TEST && text.LoopbackURL(u.url)
		if u.url != "" && !text.SecureURL(u.url) && !local {
			return aggregate.InvalidField("start.urls."+u.name, "URL_INVALID",
				"give an absolute https address; in test mode it may be http to this machine")
		}
	}
	return nil
}

func (s State) started(e *ledgerv1.SubscriptionStarted) State {
	s.Started = e
	s.Status = Pending
	s.Buyer = e.Buyer
	s.Token = e.PaymentMethodToken
	return s.through(Connection{ID: e.ConnectionId, Gateway: e.Gateway, Processor: e.Processor})
}

// through is the subscription charged through a connection from here on.
func (s State) through(c Connection) State {
	s.Connection = c
	if !s.Uses(c.ID) {
		s.Connections = append(slices.Clip(s.Connections), c)
	}
	return s
}

// UpdateBuyer replaces what is known of the buyer.
type UpdateBuyer struct {
	Now   time.Time
	Buyer *ledgerv1.Buyer
}

// Decide implements aggregate.Command.
func (c UpdateBuyer) Decide(s State) ([]*ledgerv1.Event, error) {
	if err := s.exists(); err != nil {
		return nil, err
	}
	if c.Buyer == nil {
		return nil, aggregate.InvalidField("buyer", "BUYER_REQUIRED", "say what is known of the buyer")
	}
	if c.Buyer.Id != "" && c.Buyer.Id != s.Started.BuyerId {
		return nil, aggregate.InvalidField("buyer.id", "BUYER_FIXED", "a subscription keeps its buyer for life")
	}
	if err := checkBuyer("buyer", c.Buyer); err != nil {
		return nil, err
	}
	b := personal(c.Buyer)
	if proto.Equal(b, s.Buyer) {
		return nil, aggregate.Refuse("UNCHANGED", "the buyer is known as this already")
	}
	d := s.decide(c.Now, time.Time{})
	d.emit(&ledgerv1.Event{Kind: &ledgerv1.Event_BuyerUpdated{BuyerUpdated: &ledgerv1.BuyerUpdated{
		BuyerId: s.Started.BuyerId, Buyer: b,
	}}})
	return d.done()
}

func checkBuyer(field string, b *ledgerv1.Buyer) error {
	if b.GdprStatus > 5 {
		return aggregate.InvalidField(field+".gdpr_status", "GDPR_STATUS_INVALID", "a status from 0 to 5")
	}
	for _, a := range []struct {
		name    string
		address *ledgerv1.Address
	}{{"address", b.Address}, {"shipping_address", b.ShippingAddress}} {
		if code := a.address.GetCountryCode(); code != "" {
			if _, _, ok := country.Lookup(code); !ok {
				return aggregate.InvalidField(field+"."+a.name+".country_code", "COUNTRY_INVALID", "two capital letters of ISO 3166-1")
			}
		}
	}
	return nil
}

const (
	// maxMetadata is how many pairs of his own a caller may leave with a subscription.
	maxMetadata      = 50
	maxMetadataKey   = 40
	maxMetadataValue = 500
)

func checkMetadata(field string, pairs map[string]string) error {
	if len(pairs) > maxMetadata {
		return aggregate.InvalidField(field, "METADATA_LIMIT", "at most %d pairs", maxMetadata)
	}
	for k, v := range pairs {
		if k == "" || utf8.RuneCountInString(k) > maxMetadataKey || utf8.RuneCountInString(v) > maxMetadataValue {
			return aggregate.InvalidField(field, "METADATA_LIMIT", "keys have 1 to %d characters, values at most %d", maxMetadataKey, maxMetadataValue)
		}
	}
	return nil
}

// pairs are a caller's own pairs as they are stored: a map has no order, and what is hashed needs one.
func pairs(m map[string]string) []*ledgerv1.Pair {
	var ps []*ledgerv1.Pair
	for _, k := range slices.Sorted(maps.Keys(m)) {
		ps = append(ps, &ledgerv1.Pair{Key: k, Value: m[k]})
	}
	return ps
}

// personal is what is stored of a buyer under seal: all but the id, which stands beside it in clear.
func personal(b *ledgerv1.Buyer) *ledgerv1.Buyer {
	b = proto.CloneOf(b)
	b.Id = ""
	return b
}
