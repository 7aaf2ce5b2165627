package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/aggregatetest"
)

// notOfSubscriptions are the kinds of event that show never meets.
var notOfSubscriptions = []string{
	"merchant_created", "merchant_changed", "connection_created", "connection_blocked", "connection_unblocked",
	"connection_activated", "connection_refused", "connection_update_needed", "connection_expired",
	"connection_disconnected", "connection_resealed", "consent_requested",
	"endpoint_created", "endpoint_changed", "endpoint_disabled", "delivery_concluded", "numbers_reserved", "first_payment_reserved",
}

// eventOf is an event of a kind with nothing in it.
func eventOf(kind protoreflect.FieldDescriptor) *ledgerv1.Event {
	e := &ledgerv1.Event{}
	e.ProtoReflect().Set(kind, e.ProtoReflect().NewField(kind))
	return e
}

func kinds() (all []protoreflect.FieldDescriptor) {
	list := (&ledgerv1.Event{}).ProtoReflect().Descriptor().Oneofs().ByName("kind").Fields()
	for i := range list.Len() {
		all = append(all, list.Get(i))
	}
	return all
}

func TestEveryKindHasWords(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds() {
		h, ok := narrate(eventOf(kind))
		if other := slices.Contains(notOfSubscriptions, string(kind.Name())); ok == other {
			t.Errorf("%s is told as %q; listed as another noun's: %t", kind.Name(), h.words, other)
		}
	}
	if h, ok := narrate(&ledgerv1.Event{}); ok {
		t.Errorf("an event of no known kind is told as %q", h.words)
	}
}

// Every event that speaks of an attempt, a refund or a dispute moves its question: none is left open by a kind that
// was forgotten.
func TestEveryOutcomeAnswers(t *testing.T) {
	t.Parallel()
	about := func(k protoreflect.FieldDescriptor, fields ...protoreflect.Name) bool {
		return !slices.ContainsFunc(fields, func(name protoreflect.Name) bool { return k.Message().Fields().ByName(name) == nil })
	}
	for _, k := range kinds() {
		if !about(k, "pay_number", "attempt") && !about(k, "refund_id") && !about(k, "dispute_id") {
			continue
		}
		if len(answers(kindOf(eventOf(k)))) == 0 {
			t.Errorf("%s answers nothing", k.Name())
		}
	}
}

func TestQuestions(t *testing.T) {
	t.Parallel()
	requested := &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentRequested{PaymentRequested: &ledgerv1.PaymentRequested{PayNumber: 2, Attempt: 1}}}
	unknown := &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentUnknown{PaymentUnknown: &ledgerv1.PaymentUnknown{PayNumber: 2, Attempt: 1}}}
	paid := &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentSucceeded{PaymentSucceeded: &ledgerv1.PaymentSucceeded{PayNumber: 2, Attempt: 1}}}
	again := &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentRequested{PaymentRequested: &ledgerv1.PaymentRequested{PayNumber: 2, Attempt: 2}}}
	twice := &ledgerv1.Event{Kind: &ledgerv1.Event_DuplicateChargeObserved{DuplicateChargeObserved: &ledgerv1.DuplicateChargeObserved{PayNumber: 2, Attempt: 2}}}
	returned := &ledgerv1.Event{Kind: &ledgerv1.Event_DuplicateChargeReturned{DuplicateChargeReturned: &ledgerv1.DuplicateChargeReturned{PayNumber: 2, Attempt: 2}}}
	refund := &ledgerv1.Event{Kind: &ledgerv1.Event_RefundUnknown{RefundUnknown: &ledgerv1.RefundUnknown{RefundId: "r"}}}
	refunded := &ledgerv1.Event{Kind: &ledgerv1.Event_RefundSucceeded{RefundSucceeded: &ledgerv1.RefundSucceeded{RefundId: "r", PayNumber: 2}}}
	taken := &ledgerv1.Event{Kind: &ledgerv1.Event_DisputeFundsWithdrawn{DisputeFundsWithdrawn: &ledgerv1.DisputeFundsWithdrawn{DisputeId: "d", PayNumber: 2}}}
	closed := &ledgerv1.Event{Kind: &ledgerv1.Event_DisputeClosed{DisputeClosed: &ledgerv1.DisputeClosed{DisputeId: "d"}}}
	for name, c := range map[string]struct {
		events []*ledgerv1.Event
		open   []string
	}{
		"nothing":                  {nil, nil},
		"being charged":            {[]*ledgerv1.Event{requested}, []string{"payment 2/1"}},
		"in doubt":                 {[]*ledgerv1.Event{requested, unknown}, []string{"payment 2/1"}},
		"known again":              {[]*ledgerv1.Event{requested, unknown, paid}, nil},
		"another attempt":          {[]*ledgerv1.Event{requested, again}, []string{"payment 2/1", "payment 2/2"}},
		"charged twice":            {[]*ledgerv1.Event{requested, again, paid, twice}, []string{"second payment 2/2"}},
		"the second went back":     {[]*ledgerv1.Event{requested, again, paid, twice, returned}, nil},
		"a refund in doubt":        {[]*ledgerv1.Event{refund}, []string{"refund r"}},
		"refunded":                 {[]*ledgerv1.Event{refund, refunded}, nil},
		"disputed":                 {[]*ledgerv1.Event{taken}, []string{"dispute d"}},
		"the dispute is closed":    {[]*ledgerv1.Event{taken, closed}, nil},
		"one answer, one question": {[]*ledgerv1.Event{taken, refund, closed}, []string{"refund r"}},
	} {
		var events []*ledgerv1.RecordedEvent
		for _, e := range c.events {
			events = append(events, &ledgerv1.RecordedEvent{Event: e})
		}
		var got []string
		for _, q := range questions(events) {
			got = append(got, q.key)
		}
		if !slices.Equal(got, c.open) {
			t.Errorf("%s: open are %q, want %q", name, got, c.open)
		}
	}
}

// unspeakable is what nobody says to a buyer.
var unspeakable = []string{"lost", "stolen", "fraud", "pickup", "pick up", "blacklist", "suspect", "suspicio", "security", "risk", "theft"}

func speakable(t *testing.T, what, text string) {
	t.Helper()
	for _, word := range unspeakable {
		if strings.Contains(strings.ToLower(text), word) {
			t.Errorf("%s is told with %q:\n%s", what, word, text)
		}
	}
}

func TestDeclinesMayBeTold(t *testing.T) {
	t.Parallel()
	codes := []string{
		"approve_with_id", "authentication_required", "call_issuer", "card_not_supported", "card_velocity_exceeded", "currency_not_supported",
		"do_not_honor", "do_not_try_again", "duplicate_transaction", "expired_card", "fraudulent", "generic_decline", "highest_risk_level",
		"incorrect_cvc", "incorrect_number", "insufficient_funds", "invalid_account", "issuer_not_available", "lost_card", "merchant_blacklist",
		"new_account_information_available", "pickup_card", "processing_error", "restricted_card", "revocation_of_authorization",
		"security_violation", "stolen_card", "stop_payment_order", "try_again_later", "41", "43", "59", "-2405", "-5004", "2012", "2013",
		"", "declined", "payments_stopped", "agreement_cancelled", "declined_by_buyer", "expired",
		"invalid_firstname", "invalid_email", "invalid_currency", "-6000", "145005",
	}
	for category := range ledgerv1.DeclineCategory_name {
		hard := declineInWords(ledgerv1.DeclineCategory(category), "do_not_try_again")
		for _, code := range codes {
			words := declineInWords(ledgerv1.DeclineCategory(category), code)
			if words == "" {
				t.Errorf("%q has no words", code)
			}
			speakable(t, code, words)
			if slices.Contains([]string{"lost_card", "stolen_card", "fraudulent", "pickup_card"}, code) && words != hard {
				t.Errorf("%q can be told from other declines: %q, not %q", code, words, hard)
			}
		}
	}
	for reason := range ledgerv1.CancelReason_name {
		speakable(t, "a cancellation", reasonInWords(ledgerv1.CancelReason(reason)))
	}
}

// Whatever has happened, the whole of show may be read out.
func TestShowMayBeTold(t *testing.T) {
	t.Parallel()
	for _, h := range aggregatetest.Histories() {
		a := account{subscription: &ledgerv1.Subscription{SubscriptionId: "s", State: ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_ACTIVE}}
		for _, e := range h.Events {
			a.events = append(a.events, &ledgerv1.RecordedEvent{Event: unspoken(e.Event)})
		}
		var out bytes.Buffer
		a.print(&out, true)
		if strings.Count(out.String(), "\n") < len(h.Events) {
			t.Errorf("%s: %d events are told as\n%s", h.Name, len(h.Events), out.String())
		}
		speakable(t, h.Name, out.String())
	}
}

// unspoken is an event whose texts from outside all say what nobody says to a buyer.
func unspoken(e *ledgerv1.Event) *ledgerv1.Event {
	e = proto.CloneOf(e)
	m := kindOf(e).ProtoReflect()
	for _, name := range []protoreflect.Name{"code", "message", "advice", "why", "reason"} {
		if fd := m.Descriptor().Fields().ByName(name); fd != nil && fd.Kind() == protoreflect.StringKind {
			m.Set(fd, protoreflect.ValueOfString("stolen_card"))
		}
	}
	return e
}

func TestWrapped(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", "one": "one", "one two three": "one two|three", "incomprehensible word": "incomprehensible|word", "äöü ßäö ü": "äöü ßäö|ü",
	} {
		if got := strings.Join(wrapped(text, 7), "|"); got != want {
			t.Errorf("%q is wrapped as %q, want %q", text, got, want)
		}
	}
}

func TestNext(t *testing.T) {
	t.Parallel()
	at := func(text string) *timestamppb.Timestamp {
		var ts *timestamppb.Timestamp
		if err := (instant{&ts}).Set(text); err != nil {
			t.Fatal(err)
		}
		return ts
	}
	amounts := &ledgerv1.Amounts{Full: &ledgerv1.Money{CurrencyCode: "USD", MinorUnits: 4700}}
	const (
		pending   = ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_PENDING
		trialing  = ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_TRIALING
		active    = ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_ACTIVE
		pastDue   = ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_PAST_DUE
		paused    = ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_PAUSED
		cancelled = ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_CANCELLED
	)
	for name, c := range map[string]struct {
		s    *ledgerv1.Subscription
		want string
	}{
		"a trial":      {&ledgerv1.Subscription{State: trialing, PaidNumber: 1, NextDueAt: at("2026-03-01"), NextAmounts: amounts}, "2026-03-01 00:00  payment 2, 47.00 USD is charged"},
		"past due":     {&ledgerv1.Subscription{State: pastDue, PaidNumber: 2, NextDueAt: at("2026-03-01"), NextAttemptAt: at("2026-03-04")}, "2026-03-04 00:00  payment 3 is tried again"},
		"given up":     {&ledgerv1.Subscription{State: pastDue, PaidNumber: 2}, "payment 3 is not tried again by itself: another payment method is needed"},
		"in its hands": {&ledgerv1.Subscription{State: active, NextDueAt: at("2026-03-01"), ChargedBy: ledgerv1.ChargedBy_CHARGED_BY_GATEWAY}, "2026-03-01 00:00  payment 1 is due; the gateway charges it by itself"},
		"ends then":    {&ledgerv1.Subscription{State: active, NextDueAt: at("2026-03-01"), CancelAt: at("2026-03-01"), CancelReason: ledgerv1.CancelReason_CANCEL_REASON_BUYER}, "2026-03-01 00:00  it ends: the buyer wished so"},
		"ends later":   {&ledgerv1.Subscription{State: pastDue, NextAttemptAt: at("2026-03-01"), NextDueAt: at("2026-02-26"), CancelAt: at("2026-03-02")}, "2026-03-01 00:00  payment 1 is tried again\n2026-03-02 00:00  it ends: the merchant ended it"},
		"undecided":    {&ledgerv1.Subscription{State: active, NextDueAt: at("2026-03-02"), OpenAttempt: &ledgerv1.OpenAttempt{ExpiresAt: at("2026-03-05")}}, "payment 1 is not decided yet, until 2026-03-05"},
		"not begun":    {&ledgerv1.Subscription{State: pending}, "the first payment is not decided yet"},
		"paused":       {&ledgerv1.Subscription{State: paused, NextDueAt: at("2026-03-02")}, "nothing is charged until it is resumed"},
		"held":         {&ledgerv1.Subscription{State: active, NextDueAt: at("2026-03-02"), Held: true}, "nothing is charged until the dispute is closed"},
		"blocked":      {&ledgerv1.Subscription{State: active, NextDueAt: at("2026-03-02"), AmountMismatch: true}, "nothing is charged until the charge of another amount is settled"},
		"ended":        {&ledgerv1.Subscription{State: cancelled, CancelAt: at("2026-03-01")}, "nothing more is charged"},
	} {
		if got := strings.Join(account{subscription: c.s}.next(), "\n"); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

func TestLastDecline(t *testing.T) {
	t.Parallel()
	declined := &ledgerv1.RecordedEvent{Event: &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentDeclined{PaymentDeclined: &ledgerv1.PaymentDeclined{Code: "expired_card"}}}}
	paid := &ledgerv1.RecordedEvent{Event: &ledgerv1.Event{Kind: &ledgerv1.Event_PaymentSucceeded{PaymentSucceeded: &ledgerv1.PaymentSucceeded{}}}}
	if d := lastDecline([]*ledgerv1.RecordedEvent{paid, declined}); d.GetCode() != "expired_card" {
		t.Errorf("got %v, want the decline that nothing followed", d)
	}
	if d := lastDecline([]*ledgerv1.RecordedEvent{declined, paid}); d != nil {
		t.Errorf("got %v, want none: the next charge went well", d)
	}
}

func TestShowByOrder(t *testing.T) {
	t.Parallel()
	found := &ledgerv1.ListSubscriptionsResponse{Subscriptions: []*ledgerv1.SubscriptionSummary{{SubscriptionId: "alpha"}}}
	a := &answering{known: "alpha", subscriptions: []*ledgerv1.ListSubscriptionsResponse{found}, orders: &ledgerv1.ListOrdersResponse{}}
	if code, out, errs := a.ledger(t, "show", "10002", "--json", "--as-of=2026-01-31"); code != 0 || !strings.Contains(out, `"subscription_id": "alpha"`) {
		t.Errorf("exit %d, stdout %q, stderr %q; want the order's subscription", code, out, errs)
	}
	if d := cmp.Diff(&ledgerv1.ListSubscriptionsRequest{MerchantId: "default", OrderId: 10002}, a.asked[1], protocmp.Transform()); d != "" {
		t.Errorf("asked (-want +got):\n%s", d)
	}
	if d := cmp.Diff(&ledgerv1.GetSubscriptionRequest{MerchantId: "default", SubscriptionId: "alpha", AsOf: day(30)}, a.asked[2], protocmp.Transform()); d != "" {
		t.Errorf("asked (-want +got):\n%s", d)
	}
	a.subscriptions = []*ledgerv1.ListSubscriptionsResponse{{}}
	for _, id := range []string{"10002", "beta"} {
		if code, out, errs := a.ledger(t, "show", id); code != 1 || out != "" || !strings.Contains(errs, "there is no such subscription") {
			t.Errorf("show %s: exit %d, stdout %q, stderr %q; want 1 and that there is none", id, code, out, errs)
		}
	}
	a.known = "10002" // ids may be digits only
	if code, out, _ := a.ledger(t, "show", "10002"); code != 0 || !strings.Contains(out, "10002 is") {
		t.Errorf("exit %d, stdout %q; want the subscription of that id", code, out)
	}
}
