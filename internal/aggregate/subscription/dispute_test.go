package subscription_test

import (
	"testing"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

const (
	inquiryStage   = ledgerv1.DisputeStage_DISPUTE_STAGE_INQUIRY
	openedStage    = ledgerv1.DisputeStage_DISPUTE_STAGE_OPENED
	withdrawnStage = ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_WITHDRAWN
	givenBackStage = ledgerv1.DisputeStage_DISPUTE_STAGE_FUNDS_REINSTATED
	closedStage    = ledgerv1.DisputeStage_DISPUTE_STAGE_CLOSED

	won  = ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_WON
	lost = ledgerv1.DisputeOutcome_DISPUTE_OUTCOME_LOST
)

// dispute reports a stage of a dispute about the first payment.
func dispute(id string, stage ledgerv1.DisputeStage) subscription.Chargeback {
	return subscription.Chargeback{Now: t0.Add(2 * day), OrderID: orders + 1, DisputeID: id, Stage: stage, Reason: "fraudulent"}
}

// takeBack withdraws an amount; 0 for all that was captured.
func takeBack(id string, minor int64) command {
	c := dispute(id, withdrawnStage)
	if minor != 0 {
		c.Amount = usd(minor)
	}
	return c
}

func giveBack(id string) command { return dispute(id, givenBackStage) }

func closeDispute(id string, o ledgerv1.DisputeOutcome) command {
	c := dispute(id, closedStage)
	c.Outcome = o
	return c
}

func opened(id string, inquiry bool) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_DisputeOpened{DisputeOpened: &ledgerv1.DisputeOpened{
		DisputeId: id, ParentOrderId: orders + 1, Amount: usd(4700), Reason: "fraudulent", Inquiry: inquiry,
	}}}
}

func withdrawn(order int64, id string, minor int64, over int64) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_DisputeFundsWithdrawn{DisputeFundsWithdrawn: &ledgerv1.DisputeFundsWithdrawn{
		OrderId: orders + order, DisputeId: id, ParentOrderId: orders + 1, OriginalOrderId: orders + 1, PayNumber: 1,
		Amounts: price(minor), Reason: "fraudulent", OverReturned: over > 0, Excess: excess(over), Policy: ledgerv1.ChargebackPolicy_CHARGEBACK_POLICY_CANCEL,
	}}}
}

func reinstated(order int64, id string, minor int64) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_DisputeFundsReinstated{DisputeFundsReinstated: &ledgerv1.DisputeFundsReinstated{
		OrderId: orders + order, DisputeId: id, ParentOrderId: orders + 1, OriginalOrderId: orders + 1, PayNumber: 1, Amounts: price(minor),
	}}}
}

func closed(id string, o ledgerv1.DisputeOutcome) *ledgerv1.Event {
	return &ledgerv1.Event{Kind: &ledgerv1.Event_DisputeClosed{DisputeClosed: &ledgerv1.DisputeClosed{
		DisputeId: id, ParentOrderId: orders + 1, Outcome: o,
	}}}
}

func TestDispute(t *testing.T) {
	t.Parallel()
	taken := with(bought(), takeBack("d1", 0))
	unnamed := dispute("d1", givenBackStage)
	unnamed.OrderID = 0
	other := dispute("d1", givenBackStage)
	other.OrderID = orders + 2
	run(t, []scenario{
		{name: "inquiry: a flag only", given: bought(), when: dispute("d1", inquiryStage), status: subscription.Active, then: events{opened("d1", true)}},
		{name: "inquiry twice", given: with(bought(), dispute("d1", inquiryStage)), when: dispute("d1", inquiryStage)},
		{name: "inquiry becomes a dispute", given: with(bought(), dispute("d1", inquiryStage)), when: dispute("d1", openedStage), then: events{opened("d1", false)}},
		{name: "opened: a flag only", given: bought(), when: dispute("d1", openedStage), status: subscription.Active, then: events{opened("d1", false)}},
		{name: "inquiry after it was opened", given: with(bought(), dispute("d1", openedStage)), when: dispute("d1", inquiryStage)},
		{name: "withdrawn: told, and the end", given: with(bought(), dispute("d1", openedStage)), when: takeBack("d1", 0), status: subscription.Cancelled,
			then: events{withdrawn(2, "d1", 4700, 0), cancelled(3, byChargeback)}},
		{name: "withdrawn without having been opened", given: bought(), when: takeBack("d1", 0), status: subscription.Cancelled,
			then: events{withdrawn(2, "d1", 4700, 0), cancelled(3, byChargeback)}},
		{name: "a part is withdrawn", given: bought(), when: takeBack("d1", 1000), then: events{withdrawn(2, "d1", 1000, 0), cancelled(3, byChargeback)}},
		{name: "withdrawn twice", given: taken, when: takeBack("d1", 0)},
		{name: "withdrawn again after it was reinstated", given: with(taken, giveBack("d1")), when: takeBack("d1", 0)},
		{name: "opened after it was withdrawn", given: taken, when: dispute("d1", openedStage)},
		{name: "another dispute about the same payment", given: with(bought(), takeBack("d1", 1000)), when: takeBack("d2", 1000), status: subscription.Cancelled,
			then: events{withdrawn(4, "d2", 1000, 0)}},
		{name: "more than is left", given: with(bought(), refund("r1", 0), refunded("r1")), when: takeBack("d1", 0), status: subscription.Cancelled,
			then: events{withdrawn(3, "d1", 4700, 4700), cancelled(4, byChargeback)}},
		{name: "more than was captured", given: bought(), when: takeBack("d1", 5000), then: events{withdrawn(2, "d1", 5000, 300), cancelled(3, byChargeback)}},
		{name: "on a trial payment", given: commands{start(terms(subscription.Recurring, trial(14, 4700))), settle(t0, 1, 1, 4700)}, when: takeBack("d1", 0), status: subscription.Cancelled,
			then: events{withdrawn(2, "d1", 4700, 0), cancelled(3, byChargeback)}},
		{name: "after the end", given: with(bought(), cancel(t0)), when: takeBack("d1", 0), status: subscription.Cancelled, then: events{withdrawn(3, "d1", 4700, 0)}},
		{name: "of what is completed", given: commands{start(terms(subscription.OneTime)), settle(t0, 1, 1, 4700)}, when: takeBack("d1", 0), status: subscription.Completed,
			then: events{withdrawn(2, "d1", 4700, 0)}},
		{name: "reinstated: no revival", given: taken, when: giveBack("d1"), status: subscription.Cancelled, then: events{reinstated(4, "d1", 4700)}},
		{name: "reinstated without the order's name", given: taken, when: unnamed, then: events{reinstated(4, "d1", 4700)}},
		{name: "reinstated twice", given: with(taken, giveBack("d1")), when: giveBack("d1")},
		{name: "reinstated before it was withdrawn", given: with(bought(), dispute("d1", openedStage)), when: giveBack("d1"), refused: "DISPUTE_NOT_WITHDRAWN"},
		{name: "won", given: with(taken, giveBack("d1")), when: closeDispute("d1", won), then: events{closed("d1", won)}},
		{name: "lost", given: taken, when: closeDispute("d1", lost), then: events{closed("d1", lost)}},
		{name: "closed twice", given: with(taken, closeDispute("d1", lost)), when: closeDispute("d1", lost)},
		{name: "closed before it was heard of", given: bought(), when: closeDispute("d1", lost), status: subscription.Active, then: events{closed("d1", lost)}},
		{name: "opened after it was closed", given: with(bought(), closeDispute("d1", lost)), when: dispute("d1", openedStage)},
		{name: "withdrawn after it was closed", given: with(bought(), closeDispute("d1", lost)), when: takeBack("d1", 0), then: events{withdrawn(2, "d1", 4700, 0), cancelled(3, byChargeback)}},
		{name: "reinstated after it was closed", given: with(taken, closeDispute("d1", won)), when: giveBack("d1"), then: events{reinstated(4, "d1", 4700)}},

		{name: "closed without an outcome", given: taken, when: closeDispute("d1", 0), refused: "DISPUTE_OUTCOME_REQUIRED"},
		{name: "no name", given: bought(), when: dispute("", openedStage), refused: "DISPUTE_REQUIRED"},
		{name: "no stage", given: bought(), when: dispute("d1", 0), refused: "DISPUTE_STAGE_INVALID"},
		{name: "neither known nor about a payment", given: bought(), when: unnamed, refused: "DISPUTE_NOT_FOUND"},
		{name: "about another payment", given: taken, when: other, refused: "DISPUTE_ORDER_MISMATCH"},
		{name: "about no payment", given: bought(), when: other, refused: "PAYMENT_NOT_FOUND"},
		{name: "about a free trial", given: commands{start(terms(subscription.Recurring, trial(14, 0))), settle(t0, 1, 1, 0)}, when: takeBack("d1", 0), refused: "NOT_CAPTURED"},
		{name: "about nothing", given: bought(), refused: "AMOUNT_RANGE",
			when: subscription.Chargeback{Now: t0, OrderID: orders + 1, DisputeID: "d1", Stage: openedStage, Amount: usd(0)}},
		{name: "about less than nothing", given: bought(), when: takeBack("d1", -1), refused: "AMOUNT_RANGE"},
		{name: "in another currency", given: bought(), refused: "CURRENCY_MISMATCH",
			when: subscription.Chargeback{Now: t0, OrderID: orders + 1, DisputeID: "d1", Stage: withdrawnStage, Amount: &ledgerv1.Money{CurrencyCode: "EUR", MinorUnits: 1}}},
		{name: "a fee that cannot be", given: bought(), refused: "AMOUNT_RANGE",
			when: subscription.Chargeback{Now: t0, OrderID: orders + 1, DisputeID: "d1", Stage: withdrawnStage, Fee: usd(-1)}},
	})
}

func TestDisputeIsRemembered(t *testing.T) {
	t.Parallel()
	at1 := t0.Add(36 * time.Hour)
	l := newLife(t)
	l.do(bought()...)
	l.do(dispute("d1", inquiryStage))
	equal(t, "disputed by an inquiry", l.state.Disputed(), true)
	got, err := l.ask(subscription.Chargeback{Now: t0.Add(2 * day), At: at1, DisputeID: "d1", Stage: withdrawnStage, Amount: usd(1000), Fee: usd(1500)})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "fee", got[0].GetDisputeFundsWithdrawn().Fee, usd(1500))
	equal(t, "occurred", got[0].Metadata.OccurredAt.AsTime(), at1)
	equal(t, "charged back", l.state.Charges[0].ChargedBack, price(1000))
	equal(t, "dispute", l.state.Disputes[0], &subscription.Dispute{ID: "d1", Parent: orders + 1, Number: 1, Amount: usd(4700), Withdrawn: price(1000),
		Policy: ledgerv1.ChargebackPolicy_CHARGEBACK_POLICY_CANCEL})
	l.do(giveBack("d1"))
	equal(t, "charged back, then reinstated", l.state.Charges[0].ChargedBack, price(0))
	equal(t, "disputed until it is closed", l.state.Disputed(), true)
	l.do(closeDispute("d1", won))
	equal(t, "disputed", l.state.Disputed(), false)
}

// Whatever order the gateway's messages come in, and however often, they lead to the same money. Only a
// reinstatement has to wait for its withdrawal: it is refused until then, and the gateway sends it again.
func TestDisputeInAnyOrder(t *testing.T) {
	t.Parallel()
	messages := commands{dispute("d1", inquiryStage), dispute("d1", openedStage), takeBack("d1", 0), giveBack("d1"), closeDispute("d1", won)}
	for _, order := range permutations(len(messages)) {
		l := newLife(t)
		l.do(bought()...)
		for round := range 3 {
			for _, i := range order {
				if got, err := l.ask(messages[i]); err != nil && (reasonOf(err) != "DISPUTE_NOT_WITHDRAWN" || round > 0) {
					t.Fatalf("order %v, round %d, message %d: %v", order, round, i, err)
				} else if round == 2 && len(got) > 0 {
					t.Fatalf("order %v: message %d changed something the third time: %v", order, i, got)
				}
			}
		}
		var kinds [3]int
		for _, e := range l.history {
			switch e.Kind.(type) {
			case *ledgerv1.Event_DisputeFundsWithdrawn:
				kinds[0]++
			case *ledgerv1.Event_DisputeFundsReinstated:
				kinds[1]++
			case *ledgerv1.Event_DisputeClosed:
				kinds[2]++
			}
		}
		if kinds != [3]int{1, 1, 1} || l.state.Disputed() || l.state.Status != subscription.Cancelled || l.state.Charges[0].ChargedBack.Full.MinorUnits != 0 {
			t.Errorf("order %v: withdrawn, reinstated, closed %v times; disputed %v, state %v, charged back %v", order, kinds,
				l.state.Disputed(), l.state.Status, l.state.Charges[0].ChargedBack.Full)
		}
	}
}

func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var all [][]int
	for _, p := range permutations(n - 1) {
		for i := range n {
			q := append([]int{}, p[:i]...)
			all = append(all, append(append(q, n-1), p[i:]...))
		}
	}
	return all
}
