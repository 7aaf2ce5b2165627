package dialect

import "ledger.internal/ledger/internal/sim/neighbour"

// What only real adapters meet.
const (
	Straggler    = "call.arrived_after_it_was_given_up"
	HalfAnAnswer = "call.half_an_answer"

	BuyerProved      = "buyer.authenticated"
	BuyerFailed      = "buyer.failed_to_authenticate"
	BuyerTriedAgain  = "buyer.tried_again_after_failing"
	BuyerNeverProved = "buyer.never_authenticated"
	RedirectApproved = "redirect.approved"
	RedirectDeclined = "redirect.declined"
	RedirectEnded    = "redirect.ran_out"
	RedirectAborted  = "redirect.aborted"
	RedirectNever    = "redirect.never"

	RefusedForAMinute = "call.refused_for_a_minute"
)

// common are the faults that every kind can have.
var common = []string{
	Straggler, HalfAnAnswer, RedirectApproved,
	neighbour.ChargeSoft, neighbour.ChargeHard, neighbour.ChargeBuyerAction, neighbour.ChargeAgreementLost,
	neighbour.ChargePendingAccepted, neighbour.ChargePendingDeclined, neighbour.ChargeWrongAmount,
	neighbour.RefundRefused, neighbour.RefundPendingSucceeded, neighbour.RefundPendingFailed,
	neighbour.CallTooMany, neighbour.CallUnauthorized, neighbour.CallLostOnTheWay, neighbour.CallBrokenUndone, neighbour.CallBrokenDone,
	neighbour.CallTimeoutDone, neighbour.CallResetDone, neighbour.CallGarbledDone, neighbour.LookupFailed,
	neighbour.WebhookLost, neighbour.WebhookEarly, neighbour.WebhookLate, neighbour.WebhookTwice, neighbour.WebhookTenTimes,
	neighbour.WebhookForged, neighbour.SelfAgreement,
}

// own are those of one kind.
var own = map[Kind][]string{
	Stripe: {
		BuyerProved, BuyerFailed, BuyerTriedAgain, BuyerNeverProved, RedirectDeclined, RedirectEnded,
		neighbour.ChargeStopOrder, neighbour.ChargeWrongCurrency, neighbour.RefundReversed,
		neighbour.SelfInquiry, neighbour.SelfOpened, neighbour.SelfWon, neighbour.SelfLost, neighbour.SelfInquiryClosed, neighbour.SelfRefund,
	},
	Payabl: {RedirectAborted, RedirectNever, RefusedForAMinute},
}

// Faults lists the names that houses tell to Hit: each fault with each adapter that can have it.
func Faults() (all []string) {
	for _, k := range Kinds() {
		for _, list := range [][]string{common, own[k]} {
			for _, f := range list {
				all = append(all, (&House{Config: Config{Kind: k}}).fault(f))
			}
		}
	}
	return all
}
