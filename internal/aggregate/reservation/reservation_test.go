package reservation_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/reservation"
)

func reserved(subscription string) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_FirstPaymentReserved{FirstPaymentReserved: &ledgerv1.FirstPaymentReserved{
		MerchantId: "acme", SubscriptionId: subscription,
	}}}
}

func TestReserve(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		given []*ledgerv1.Event
		past  string
		then  []*ledgerv1.Event
		held  string // who has it, if that is the refusal
	}{
		"nobody has it":                      {then: []*ledgerv1.Event{reserved("s2")}},
		"nobody has it, somebody is past":    {past: "s1", then: []*ledgerv1.Event{reserved("s2")}},
		"it has it already":                  {given: []*ledgerv1.Event{reserved("s2")}},
		"it has it already and begins anew":  {given: []*ledgerv1.Event{reserved("s2")}, past: "s2", then: []*ledgerv1.Event{reserved("s2")}},
		"another has it":                     {given: []*ledgerv1.Event{reserved("s1")}, held: "s1"},
		"another has it and is past":         {given: []*ledgerv1.Event{reserved("s1")}, past: "s1", then: []*ledgerv1.Event{reserved("s2")}},
		"another was faster than the caller": {given: []*ledgerv1.Event{reserved("s1"), reserved("s3")}, past: "s1", held: "s3"},
		"it had it once":                     {given: []*ledgerv1.Event{reserved("s2"), reserved("s3")}, held: "s3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := reservation.Type().New()
			for _, e := range c.given {
				s = reservation.Evolve(s, e)
			}
			got, err := reservation.Reserve{Merchant: "acme", Subscription: "s2", Past: c.past}.Decide(s)
			if diff := cmp.Diff(c.then, got, protocmp.Transform()); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			refusal, _ := err.(*aggregate.Error)
			switch {
			case c.held == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.held != "" && (refusal == nil || refusal.Kind != aggregate.FailedPrecondition ||
				refusal.Reason != "FIRST_PAYMENT_IN_DOUBT" || refusal.Metadata["subscription"] != c.held):
				t.Errorf("got error %#v, want FIRST_PAYMENT_IN_DOUBT of %s", err, c.held)
			}
		})
	}
}

func TestEvolve(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, time.January, 31, 10, 0, 0, 0, time.UTC)
	e := reserved("s1")
	e.Metadata = &ledgerv1.Metadata{RecordedAt: timestamppb.New(at)}
	s := reservation.Evolve(reservation.State{}, e)
	s = reservation.Evolve(s, &ledgerv1.Event{Kind: &ledgerv1.Event_NumbersReserved{NumbersReserved: &ledgerv1.NumbersReserved{}}}) // somebody else's
	if want := (reservation.State{Merchant: "acme", Subscription: "s1", At: at}); s != want {
		t.Errorf("got %+v, want %+v", s, want)
	}
}

// storedStream stands in logs: were it another, a reservation from before would not be found.
const storedStream = "reservation-acme.5cficaohf44egcssoke7wilrgd2fanjn"

func TestStream(t *testing.T) {
	t.Parallel()
	if got := reservation.Stream("acme", "lead-1", "42", 1); got != storedStream {
		t.Errorf("got %s, want %s for ever", got, storedStream)
	}
	if ty := reservation.Type(); ty.Category != reservation.Category || ty.Due != nil {
		t.Errorf("got type %+v", ty)
	}
	shape := regexp.MustCompile(`^reservation-[a-z]+\.[a-z2-7]{32}$`)
	seen := map[string]string{}
	for name, got := range map[string]string{
		"one":                      reservation.Stream("acme", "1", "42", 1),
		"another merchant":         reservation.Stream("beta", "1", "42", 1),
		"another buyer":            reservation.Stream("acme", "2", "42", 1),
		"another product":          reservation.Stream("acme", "1", "43", 1),
		"another price point":      reservation.Stream("acme", "1", "42", 2),
		"a buyer with more of it":  reservation.Stream("acme", "14", "2", 1),
		"a product with more":      reservation.Stream("acme", "1", "421", 1),
		"a price point with more":  reservation.Stream("acme", "1", "4", 21),
		"a buyer like two":         reservation.Stream("acme", `1" "42`, "", 1),
		"a buyer with a length":    reservation.Stream("acme", "12:42", "", 1),
		"a buyer who is not ASCII": reservation.Stream("acme", "Zoë", "42", 1),
	} {
		if other, ok := seen[got]; ok || !shape.MatchString(got) {
			t.Errorf("%s: %s, which is also %q", name, got, other)
		}
		seen[got] = name
	}
}
