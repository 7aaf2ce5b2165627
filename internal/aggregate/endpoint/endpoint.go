// Package endpoint decides about endpoints: where a merchant wants which notifications.
//
// It knows nothing of single notifications; how each of them ended is remembered by package delivery.
package endpoint

import (
	"cmp"
	"slices"

	"google.golang.org/protobuf/proto"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/calendar"
	"ledger.internal/ledger/internal/aggregate/text"
)

// Category is the category of endpoint streams.
const Category = "endpoint"

// Why an endpoint is disabled.
const (
	ByMerchant = "merchant"
	Gone       = "gone" // the receiver answered 410
)

// defaultZone is the zone of dates where none is named: fixed UTC-5, as Kartra writes them.
const defaultZone = "EST"

// Stream names the stream of a merchant's endpoint.
func Stream(merchant, id string) string { return Category + "-" + merchant + "." + id }

// Type ties State and Evolve to the runner.
func Type() aggregate.Type[State] {
	return aggregate.Type[State]{
		Category: Category,
		New:      func() State { return State{} },
		Evolve:   Evolve,
	}
}

// State is an endpoint as of its last event. The zero State is one that does not exist.
type State struct {
	Merchant, ID   string
	Settings       *ledgerv1.EndpointSettings // shared with the event it came in: never changed
	SigningSecret  string
	Disabled       bool
	DisabledReason string
}

// Exists reports whether the endpoint was ever created.
func (s State) Exists() bool { return s.ID != "" }

// Wants reports whether notifications of a type go to the endpoint.
func (s State) Wants(t ledgerv1.IpnType) bool {
	if !s.Exists() || s.Disabled || !known(t) {
		return false
	}
	types := s.Settings.GetTypes()
	return len(types) == 0 || slices.Contains(types, t)
}

// Evolve is the state after an event. Events of other aggregates change nothing.
func Evolve(s State, e *ledgerv1.Event) State {
	switch k := e.GetKind().(type) {
	case *ledgerv1.Event_EndpointCreated:
		c := k.EndpointCreated
		return State{Merchant: c.MerchantId, ID: c.EndpointId, Settings: c.Settings, SigningSecret: c.SigningSecret}
	case *ledgerv1.Event_EndpointChanged:
		s.Settings, s.Disabled, s.DisabledReason = k.EndpointChanged.Settings, false, ""
	case *ledgerv1.Event_EndpointDisabled:
		s.Disabled, s.DisabledReason = true, k.EndpointDisabled.Reason
	}
	return s
}

// Create adds an endpoint. Without a secret key, notifications carry N/A in its place.
type Create struct {
	Merchant, ID  string
	Settings      *ledgerv1.EndpointSettings
	ZoneKnown     bool   // the zone files have Settings.DateZone
	SigningSecret string // required; the caller makes it up
}

// Decide implements aggregate.Command.
func (c Create) Decide(s State) ([]*ledgerv1.Event, error) {
	if s.Exists() {
		return nil, &aggregate.Error{Kind: aggregate.Exists, Reason: "ENDPOINT_EXISTS", Message: "there is an endpoint " + c.ID + " already"}
	}
	switch {
	case !text.ValidID(c.Merchant):
		return nil, aggregate.InvalidField("merchant_id", "ID_INVALID", "an id has 1 to 40 letters, digits or underscores")
	case !text.ValidID(c.ID):
		return nil, aggregate.InvalidField("endpoint_id", "ID_INVALID", "an id has 1 to 40 letters, digits or underscores")
	case c.SigningSecret == "":
		return nil, aggregate.InvalidField("signing_secret", "SECRET_REQUIRED", "deliveries are signed")
	}
	want, err := checked(c.Settings, c.ZoneKnown)
	if err != nil {
		return nil, err
	}
	return []*ledgerv1.Event{{Kind: &ledgerv1.Event_EndpointCreated{EndpointCreated: &ledgerv1.EndpointCreated{
		MerchantId: c.Merchant, EndpointId: c.ID, Settings: want, SigningSecret: c.SigningSecret,
	}}}}, nil
}

// Update replaces an endpoint's settings as a whole, but an empty secret key keeps the one it has. It enables an
// endpoint that was disabled.
type Update struct {
	ID        string
	Settings  *ledgerv1.EndpointSettings
	ZoneKnown bool // the zone files have Settings.DateZone
}

// Decide implements aggregate.Command.
func (c Update) Decide(s State) ([]*ledgerv1.Event, error) {
	if !s.Exists() {
		return nil, aggregate.ErrNotFound("endpoint", c.ID)
	}
	want, err := checked(c.Settings, c.ZoneKnown)
	if err != nil {
		return nil, err
	}
	want.SecretKey = cmp.Or(want.SecretKey, s.Settings.GetSecretKey())
	if !s.Disabled && proto.Equal(want, s.Settings) {
		return nil, aggregate.Refuse("UNCHANGED", "the endpoint has these settings already")
	}
	return []*ledgerv1.Event{{Kind: &ledgerv1.Event_EndpointChanged{EndpointChanged: &ledgerv1.EndpointChanged{
		Settings: want,
	}}}}, nil
}

// Disable stops notifications to an endpoint, ByMerchant or because it is Gone.
type Disable struct {
	ID     string
	Reason string
}

// Decide implements aggregate.Command.
func (c Disable) Decide(s State) ([]*ledgerv1.Event, error) {
	if !s.Exists() {
		return nil, aggregate.ErrNotFound("endpoint", c.ID)
	}
	if c.Reason != ByMerchant && c.Reason != Gone {
		return nil, aggregate.InvalidField("reason", "DISABLE_REASON_INVALID", "an endpoint is disabled by its merchant or because it is gone")
	}
	if s.Disabled {
		if c.Reason == Gone {
			return nil, nil // several notifications can meet a 410 at once
		}
		return nil, aggregate.Refuse("ENDPOINT_DISABLED", "the endpoint is disabled already")
	}
	return []*ledgerv1.Event{{Kind: &ledgerv1.Event_EndpointDisabled{EndpointDisabled: &ledgerv1.EndpointDisabled{
		Reason: c.Reason,
	}}}}, nil
}

// checked returns a copy of settings with defaults in place and the types in order, or says what is wrong with them.
func checked(sent *ledgerv1.EndpointSettings, zoneKnown bool) (*ledgerv1.EndpointSettings, error) {
	if !text.ValidURL(sent.GetUrl()) {
		return nil, aggregate.InvalidField("settings.url", "URL_INVALID", "an absolute http or https address, without user and fragment")
	}
	s := proto.CloneOf(sent)
	slices.Sort(s.Types)
	for i, t := range s.Types {
		if !known(t) {
			return nil, aggregate.InvalidField("settings.types", "EVENT_TYPE_UNKNOWN", "there is no notification %v", t)
		}
		if i > 0 && t == s.Types[i-1] {
			return nil, aggregate.InvalidField("settings.types", "EVENT_TYPE_DUPLICATE", "%v is listed twice", t)
		}
	}
	zoneKnown = zoneKnown || s.DateZone == "" || s.DateZone == defaultZone
	s.DateZone = cmp.Or(s.DateZone, defaultZone)
	if err := calendar.CheckZone("settings.date_zone", s.DateZone, zoneKnown); err != nil {
		return nil, err
	}
	return s, nil
}

func known(t ledgerv1.IpnType) bool {
	_, named := ledgerv1.IpnType_name[int32(t)]
	return named && t != ledgerv1.IpnType_IPN_TYPE_UNSPECIFIED
}
