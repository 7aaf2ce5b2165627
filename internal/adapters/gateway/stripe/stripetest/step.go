package stripetest

import "strings"

// Step is what happens to a request.
type Step string

// The steps. A step without "uncharged" in its name does what was asked for and then tells it badly.
const (
	OK               Step = "ok"
	TimeoutCharged   Step = "timeout_charged"   // no answer until the caller gives up
	TimeoutUncharged Step = "timeout_uncharged" //
	ResetCharged     Step = "reset_charged"     // the connection is cut
	ResetUncharged   Step = "reset_uncharged"
	ErrorCharged     Step = "500_charged" // and repeated under the same key
	ErrorUncharged   Step = "500_uncharged"
	Page             Step = "html" // a web page with status 200
	Half             Step = "truncated"
	Huge             Step = "huge"           // 8 MiB
	Drip             Step = "drip"           // a byte, and nothing more until the caller gives up
	RateLimited      Step = "rate_limited"   // 429 on the key's first request
	LockTimeout      Step = "lock_timeout"   // 429 on the key's first request, because an object is locked
	Unauthorized     Step = "unauthorized"   // 401 on the key's first request
	InUse            Step = "in_use"         // 409 on the key's first request: another one with the key is running
	InUseCharged     Step = "in_use_charged" // the same, and the other one has come to its end by now
	Repeated         Step = "repeated"       // the request came twice on its way, and this is the second one's answer
	WrongAmount      Step = "wrong_amount"   // one unit more
	WrongCurrency    Step = "wrong_currency"
	WrongID          Step = "wrong_id" // the answer is about another intent
	Twice            Step = "twice"    // carried out twice under one key
	Processing       Step = "processing"
	Action           Step = "action"  // the buyer has to authenticate, off session too
	Settled          Step = "settled" // booked in another currency
	Mandate          Step = "mandate" // the mandate is gone
	Refused          Step = "refused" // a refund that fails at once
)

// Declined is the step of a payment that the issuer declines with that code, whatever its payment method.
func Declined(code string) Step { return Step(declinedPrefix + code) }

const declinedPrefix = "decline_"

// decline is how the issuer refuses because of the step, if it does.
func (s Step) decline() *Decline {
	code, ok := strings.CutPrefix(string(s), declinedPrefix)
	if !ok {
		return nil
	}
	return &Decline{Code: "card_declined", DeclineCode: code}
}

// turnedAway is the answer to a key's first request that is not looked at.
func (s Step) turnedAway() (answer, bool) {
	switch s {
	case RateLimited:
		return problem(429, apiError{Type: "invalid_request_error", Code: "rate_limit", Message: "Request rate limit exceeded."}).after(1), true
	case LockTimeout:
		return problem(429, apiError{Type: "invalid_request_error", Code: "lock_timeout", Message: "This object cannot be accessed right now."}).after(1), true
	case Unauthorized:
		return problem(401, apiError{Type: "invalid_request_error", Message: "Invalid API Key provided."}), true
	case InUse:
		return inUse(), true
	}
	return answer{}, false
}

// uncharged reports whether nothing happens.
func (s Step) uncharged() bool { return strings.HasSuffix(string(s), "_uncharged") }

// Decline is how an issuer refuses.
type Decline struct {
	Code, DeclineCode, Advice, NetworkAdvice, NetworkDecline string
}

// card is what a payment method does.
type card struct {
	step, refund Step
	decline      *Decline
	brand, last4 string
}

// Cards are Stripe's payment methods for tests that the server knows, with what their issuers say.
// https://docs.stripe.com/testing#declined-payments
func Cards() map[string]*Decline {
	return map[string]*Decline{
		"pm_card_visa":                                 nil,
		"pm_card_visa_chargeDeclined":                  {Code: "card_declined", DeclineCode: "generic_decline"},
		"pm_card_visa_chargeDeclinedInsufficientFunds": {Code: "card_declined", DeclineCode: "insufficient_funds", Advice: "try_again_later", NetworkDecline: "51"},
		"pm_card_visa_chargeDeclinedLostCard":          {Code: "card_declined", DeclineCode: "lost_card", NetworkDecline: "41"},
		"pm_card_visa_chargeDeclinedStolenCard":        {Code: "card_declined", DeclineCode: "stolen_card", NetworkDecline: "43"},
		"pm_card_chargeDeclinedExpiredCard":            {Code: "expired_card", DeclineCode: "expired_card", Advice: "confirm_card_data", NetworkDecline: "54"},
		"pm_card_chargeDeclinedProcessingError":        {Code: "processing_error", DeclineCode: "processing_error"},
	}
}

// cardOf is what the payment method of that name does; ok is false if there is none. Declines that Stripe has no method
// for are "pm_x_decline_" and the decline code.
func cardOf(name string) (c card, ok bool) {
	c = card{step: OK, refund: OK, brand: "visa", last4: "4242"}
	if d, known := Cards()[name]; known {
		c.decline = d
		return c, true
	}
	rest, ok := strings.CutPrefix(name, "pm_x_")
	if !ok {
		return c, false
	}
	switch d := Step(rest).decline(); {
	case d != nil:
		c.decline = d
	case strings.HasPrefix(rest, "refund_"):
		c.refund = Step(strings.TrimPrefix(rest, "refund_"))
	default:
		c.step = Step(rest)
	}
	return c, true
}
