package merchant_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/merchant"
)

const (
	cancels = ledgerv1.ChargebackPolicy_CHARGEBACK_POLICY_CANCEL
	holds   = ledgerv1.ChargebackPolicy_CHARGEBACK_POLICY_HOLD
	keeps   = ledgerv1.LateChargePolicy_LATE_CHARGE_POLICY_KEEP
	refunds = ledgerv1.LateChargePolicy_LATE_CHARGE_POLICY_REFUND
)

func days(n ...uint32) *ledgerv1.Policies { return &ledgerv1.Policies{DunningDays: n} }

func TestPolicies(t *testing.T) {
	t.Parallel()
	invalid := &aggregate.Error{Kind: aggregate.Invalid, Reason: "DUNNING_DAYS_INVALID", Field: "policies.dunning_days"}
	for name, c := range map[string]struct {
		given *ledgerv1.Policies
		want  *ledgerv1.Policies
		err   *aggregate.Error
	}{
		"none: the defaults":   {},
		"given, but not named": {given: &ledgerv1.Policies{}, want: &ledgerv1.Policies{Chargeback: cancels, LateCharge: keeps}},
		"named": {given: &ledgerv1.Policies{DunningDays: []uint32{1, 5}, Chargeback: holds, LateCharge: refunds},
			want: &ledgerv1.Policies{DunningDays: []uint32{1, 5}, Chargeback: holds, LateCharge: refunds}},
		"eight days":       {given: days(1, 2, 3, 4, 5, 6, 7, 60), want: &ledgerv1.Policies{DunningDays: []uint32{1, 2, 3, 4, 5, 6, 7, 60}, Chargeback: cancels, LateCharge: keeps}},
		"nine days":        {given: days(1, 2, 3, 4, 5, 6, 7, 8, 9), err: invalid},
		"the due day":      {given: days(0, 3), err: invalid},
		"a day too late":   {given: days(3, 61), err: invalid},
		"the same twice":   {given: days(3, 3), err: invalid},
		"days that fall":   {given: days(6, 3), err: invalid},
		"one day too late": {given: days(61), err: invalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := proto.CloneOf(c.given)
			wanted := created("Acme", "UTC", false)
			wanted.GetMerchantCreated().Policies = c.want
			got, err := merchant.Create{ID: "acme", Settings: with("Acme", c.given)}.Decide(merchant.State{})
			wantError(t, err, c.err)
			if diff := cmp.Diff(events(wanted, c.err), got, protocmp.Transform()); diff != "" {
				t.Errorf("created (-want +got):\n%s", diff)
			}
			wanted = changed("Acme & Sons", "UTC", false)
			wanted.GetMerchantChanged().Policies = c.want
			got, err = merchant.Update{ID: "acme", Settings: with("Acme & Sons", c.given)}.Decide(merchant.Evolve(merchant.State{}, created("Acme", "UTC", false)))
			wantError(t, err, c.err)
			if diff := cmp.Diff(events(wanted, c.err), got, protocmp.Transform()); diff != "" {
				t.Errorf("changed (-want +got):\n%s", diff)
			}
			if !proto.Equal(asked, c.given) {
				t.Errorf("what was asked for was changed to %v", c.given)
			}
		})
	}
}

func with(name string, p *ledgerv1.Policies) merchant.Settings {
	return merchant.Settings{Name: name, Policies: p}
}

// events are the one that is wanted, or none beside an error.
func events(e *ledgerv1.Event, err *aggregate.Error) []*ledgerv1.Event {
	if err != nil {
		return nil
	}
	return []*ledgerv1.Event{e}
}

// An update to the policies there are is one that changes nothing, however it says them.
func TestUpdatePolicies(t *testing.T) {
	t.Parallel()
	first := created("Acme", "UTC", false)
	first.GetMerchantCreated().Policies = &ledgerv1.Policies{DunningDays: []uint32{1}, Chargeback: cancels, LateCharge: keeps}
	s := merchant.Evolve(merchant.State{}, first)
	for name, c := range map[string]struct {
		policies *ledgerv1.Policies
		err      *aggregate.Error
	}{
		"the same":            {days(1), &aggregate.Error{Kind: aggregate.FailedPrecondition, Reason: "UNCHANGED"}},
		"other days":          {days(2), nil},
		"another choice":      {&ledgerv1.Policies{DunningDays: []uint32{1}, Chargeback: holds}, nil},
		"back to the default": {nil, nil},
	} {
		got, err := merchant.Update{ID: "acme", Settings: with("Acme", c.policies)}.Decide(s)
		t.Run(name, func(t *testing.T) { wantError(t, err, c.err) })
		for _, e := range got {
			if after := merchant.Evolve(s, e); !proto.Equal(after.Policies, e.GetMerchantChanged().Policies) {
				t.Errorf("%s: got %v, want %v", name, after.Policies, e.GetMerchantChanged().Policies)
			}
		}
	}
}
