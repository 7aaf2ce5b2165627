// Package merchant decides about merchants: the tenants, who own everything else.
package merchant

import (
	"cmp"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/calendar"
	"ledger.internal/ledger/internal/aggregate/text"
)

// Category is the category of merchant streams.
const Category = "merchant"

// defaultZone is where a merchant thinks who names no time zone.
const defaultZone = "UTC"

// Stream names the stream of a merchant.
func Stream(id string) string { return Category + "-" + id }

// Type ties State and Evolve to the runner.
func Type() aggregate.Type[State] {
	return aggregate.Type[State]{
		Category: Category,
		New:      func() State { return State{} },
		Evolve:   Evolve,
	}
}

// State is a merchant as of its last event. The zero State is one that does not exist.
type State struct {
	ID string
	Settings
}

// Settings are what a merchant can change.
type Settings struct {
	Name     string
	TimeZone string             // IANA name
	GDPROff  bool               // every buyer's GDPR status is told as 0
	Policies *ledgerv1.Policies // nil for the defaults
}

// Exists reports whether the merchant was ever created.
func (s State) Exists() bool { return s.ID != "" }

// Evolve is the state after an event. Events of other aggregates change nothing.
func Evolve(s State, e *ledgerv1.Event) State {
	switch k := e.GetKind().(type) {
	case *ledgerv1.Event_MerchantCreated:
		m := k.MerchantCreated
		return State{ID: m.MerchantId, Settings: Settings{Name: m.Name, TimeZone: m.TimeZone, GDPROff: m.GdprOff, Policies: m.Policies}}
	case *ledgerv1.Event_MerchantChanged:
		m := k.MerchantChanged
		s.Settings = Settings{Name: m.Name, TimeZone: m.TimeZone, GDPROff: m.GdprOff, Policies: m.Policies}
	}
	return s
}

// Create adds a merchant. An empty time zone is UTC.
type Create struct {
	ID string
	Settings
	ZoneKnown bool // the zone files have TimeZone
}

// Decide implements aggregate.Command.
func (c Create) Decide(s State) ([]*ledgerv1.Event, error) {
	if !text.ValidID(c.ID) {
		return nil, aggregate.InvalidField("merchant_id", "ID_INVALID", "an id has 1 to 40 letters, digits or underscores")
	}
	if s.Exists() {
		return nil, &aggregate.Error{Kind: aggregate.Exists, Reason: "MERCHANT_EXISTS", Message: "there is a merchant " + c.ID + " already"}
	}
	want, err := c.Settings.checked(c.ZoneKnown)
	if err != nil {
		return nil, err
	}
	return []*ledgerv1.Event{{Kind: &ledgerv1.Event_MerchantCreated{MerchantCreated: &ledgerv1.MerchantCreated{
		MerchantId: c.ID, Name: want.Name, TimeZone: want.TimeZone, GdprOff: want.GDPROff, Policies: want.Policies,
	}}}}, nil
}

// Update replaces a merchant's settings as a whole.
type Update struct {
	ID string
	Settings
	ZoneKnown bool // the zone files have TimeZone
}

// Decide implements aggregate.Command.
func (c Update) Decide(s State) ([]*ledgerv1.Event, error) {
	if !s.Exists() {
		return nil, aggregate.ErrNotFound("merchant", c.ID)
	}
	want, err := c.Settings.checked(c.ZoneKnown)
	if err != nil {
		return nil, err
	}
	if want.equal(s.Settings) {
		return nil, aggregate.Refuse("UNCHANGED", "the merchant has these settings already")
	}
	return []*ledgerv1.Event{{Kind: &ledgerv1.Event_MerchantChanged{MerchantChanged: &ledgerv1.MerchantChanged{
		Name: want.Name, TimeZone: want.TimeZone, GdprOff: want.GDPROff, Policies: want.Policies,
	}}}}, nil
}

func (s Settings) checked(zoneKnown bool) (Settings, error) {
	if strings.TrimSpace(s.Name) == "" {
		return Settings{}, aggregate.InvalidField("name", "NAME_REQUIRED", "a merchant has a name")
	}
	var err error
	if s.Policies, err = checkPolicies(s.Policies); err != nil {
		return Settings{}, err
	}
	zoneKnown = zoneKnown || s.TimeZone == ""
	s.TimeZone = cmp.Or(s.TimeZone, defaultZone)
	return s, calendar.CheckZone("time_zone", s.TimeZone, zoneKnown)
}

func (s Settings) equal(t Settings) bool {
	return s.Name == t.Name && s.TimeZone == t.TimeZone && s.GDPROff == t.GDPROff && proto.Equal(s.Policies, t.Policies)
}

const (
	// maxReattempts is how often a declined payment is tried again: no card scheme likes more.
	maxReattempts = 8
	// maxDunningDay is how long a subscription can be past due.
	maxDunningDay = 60
)

// checkPolicies returns policies that name every choice; nil stays nil, for the defaults.
func checkPolicies(p *ledgerv1.Policies) (*ledgerv1.Policies, error) {
	if p == nil {
		return nil, nil
	}
	p = proto.CloneOf(p)
	if p.Chargeback == ledgerv1.ChargebackPolicy_CHARGEBACK_POLICY_UNSPECIFIED {
		p.Chargeback = ledgerv1.ChargebackPolicy_CHARGEBACK_POLICY_CANCEL
	}
	if p.LateCharge == ledgerv1.LateChargePolicy_LATE_CHARGE_POLICY_UNSPECIFIED {
		p.LateCharge = ledgerv1.LateChargePolicy_LATE_CHARGE_POLICY_KEEP
	}
	days := p.DunningDays
	rising := slices.IsSorted(days) && len(slices.Compact(slices.Clone(days))) == len(days)
	if len(days) > maxReattempts || !rising || len(days) > 0 && (days[0] < 1 || days[len(days)-1] > maxDunningDay) {
		return nil, aggregate.InvalidField("policies.dunning_days", "DUNNING_DAYS_INVALID", "at most %d rising days, from 1 to %d", maxReattempts, maxDunningDay)
	}
	return p, nil
}
