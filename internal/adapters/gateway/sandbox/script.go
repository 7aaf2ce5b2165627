package sandbox

import (
	"strings"
	"time"
)

// How long the sandbox's clock runs before what a script announced happens.
const (
	decideAfter      = 5 * time.Minute // pending_ok, pending_fail, pending_expire, timeout_later, refund_pending_*
	lateAfter        = time.Hour       // late
	refundFailsAfter = 24 * time.Hour  // refund_fails_later
	disputeAfter     = 24 * time.Hour  // dispute
	redirectExpiry   = 72 * time.Hour
)

// tokenPrefix begins every token; what follows is the script.
const tokenPrefix = "tok_"

// effect is what happens to the money.
type effect int

const (
	succeed effect = iota
	nothing        // the request is lost before it did anything
	decline
	pend          // decided later, as behaviour.then says
	appear        // done, but visible to nobody before decideAfter
	declineLate   // declined, and charged after lateAfter
	wrongAmount   // one minor unit too many
	wrongCurrency // the same number of another currency
	reverse       // a refund: succeeds, fails after refundFailsAfter
)

// telling is how the caller learns of it.
type telling int

const (
	plainly     telling = iota
	never               // the caller waits until he gives up
	byReset             // the connection is cut
	by500               // an internal error; like the answer to a key, it is repeated
	byHTML              // 200 and a web page
	byHalf              // the answer breaks off
	asDuplicate         // "duplicate", naming the charge although it was the first
	asUnnamed           // "duplicate", naming nothing
	after429            // the first call with a key is turned away, the second goes on
	after401            // the same with 401
	after409            // the same with 409: a request with the key is running
	by503               // nothing is looked at
)

// behaviour is one step of a script.
type behaviour struct {
	effect  effect
	telling telling
	decline *declined
	then    status // what a pending one becomes
	settled bool   // paid out in another currency
	dispute bool   // withdrawn after disputeAfter
	twice   bool   // told by webhook, twice
	refund  string // how refunds of the charge behave: the step without "refund_"
}

// script is the steps of a token. ok is false if one of them does not exist.
func script(token string) (steps []string, ok bool) {
	rest, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok || rest == "" {
		return nil, false
	}
	steps = strings.Split(strings.ReplaceAll(rest, ",", "-"), "-")
	for _, s := range steps {
		if _, ok := chargeStep(s); !ok {
			return nil, false
		}
	}
	return steps, true
}

// chargeStep is what a step of a script does.
func chargeStep(name string) (behaviour, bool) {
	if rest, ok := strings.CutPrefix(name, "refund_"); ok {
		_, known := refundStep(rest)
		return behaviour{refund: rest}, known
	}
	switch name {
	case "soft", "hard", "buyer_action", "stop", "lost":
		return behaviour{effect: decline, decline: declineFor(name)}, true
	case "late":
		return behaviour{effect: declineLate, decline: declineFor("soft")}, true
	case "pending_expire":
		return behaviour{effect: pend, then: expired}, true
	case "mismatch":
		return behaviour{effect: wrongAmount}, true
	case "mismatch_currency":
		return behaviour{effect: wrongCurrency}, true
	case "timeout_later":
		return behaviour{effect: appear, telling: never}, true
	case "settled":
		return behaviour{settled: true}, true
	case "dispute":
		return behaviour{dispute: true}, true
	case "webhook_twice":
		return behaviour{twice: true}, true
	}
	return commonStep(name)
}

// refundStep is what the part of a step after "refund_" does to a refund.
func refundStep(name string) (behaviour, bool) {
	switch name {
	case "fails":
		return behaviour{effect: decline, decline: declineFor("refund")}, true
	case "fails_later":
		return behaviour{effect: reverse}, true
	}
	return commonStep(name)
}

// commonStep is what charges and refunds have in common.
func commonStep(name string) (behaviour, bool) {
	switch name {
	case "ok":
		return behaviour{}, true
	case "pending_ok":
		return behaviour{effect: pend, then: succeeded}, true
	case "pending_fail":
		return behaviour{effect: pend, then: failed}, true
	case "timeout_charged":
		return behaviour{telling: never}, true
	case "timeout_uncharged":
		return behaviour{effect: nothing, telling: never}, true
	case "reset_charged":
		return behaviour{telling: byReset}, true
	case "reset_uncharged":
		return behaviour{effect: nothing, telling: byReset}, true
	case "500_charged":
		return behaviour{telling: by500}, true
	case "500_uncharged":
		return behaviour{effect: nothing, telling: by500}, true
	case "html":
		return behaviour{telling: byHTML}, true
	case "truncated":
		return behaviour{telling: byHalf}, true
	case "duplicate":
		return behaviour{telling: asDuplicate}, true
	case "duplicate_unnamed":
		return behaviour{telling: asUnnamed}, true
	case "duplicate_of_nothing":
		return behaviour{effect: nothing, telling: asUnnamed}, true
	case "in_progress":
		return behaviour{telling: after409}, true
	case "rate_limited":
		return behaviour{telling: after429}, true
	case "unauthorized":
		return behaviour{telling: after401}, true
	case "unavailable":
		return behaviour{effect: nothing, telling: by503}, true
	}
	return behaviour{}, false
}

// declineFor is the decline of a step's name.
func declineFor(name string) *declined {
	switch name {
	case "soft":
		return &declined{Category: "soft", Code: "insufficient_funds", Message: "Not enough money on the account."}
	case "hard":
		return &declined{Category: "hard", Code: "stolen_card", Advice: "03", Message: "The card was reported stolen."}
	case "buyer_action":
		return &declined{Category: "buyer_action", Code: "authentication_required", Message: "The buyer has to confirm the payment."}
	case "stop":
		return &declined{Category: "hard", Code: "payments_stopped", Advice: "21", StopOrder: true, Message: "The buyer stopped all payments to this merchant."}
	case "lost":
		return &declined{Category: "hard", Code: "agreement_cancelled", AgreementLost: true, Message: "The buyer ended the agreement."}
	case "refund":
		return &declined{Category: "hard", Code: "refund_refused", Message: "The bank does not take the money back."}
	}
	return &declined{Category: "soft", Code: "declined", Message: "Declined."}
}

// amountStep is the step that a special amount chooses where the script says "ok"; "" for an ordinary one.
func amountStep(minorUnits int64) string {
	switch minorUnits {
	case 400_001:
		return "soft"
	case 400_002:
		return "hard"
	case 400_003:
		return "buyer_action"
	case 400_004:
		return "stop"
	case 400_005:
		return "lost"
	case 400_006:
		return "pending_ok"
	case 400_007:
		return "timeout_charged"
	case 400_008:
		return "timeout_uncharged"
	case 400_009:
		return "500_charged"
	case 400_010:
		return "mismatch"
	case 400_011:
		return "dispute"
	}
	return ""
}
