package stripe

import (
	"cmp"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

const (
	soft  = ledgerv1.DeclineCategory_DECLINE_CATEGORY_SOFT
	hard  = ledgerv1.DeclineCategory_DECLINE_CATEGORY_HARD
	buyer = ledgerv1.DeclineCategory_DECLINE_CATEGORY_BUYER_ACTION
)

// adviceCodes are Stripe's digest of what the issuer and the network advise.
// https://docs.stripe.com/declines#retrying-issuer-declines
var adviceCodes = map[string]ledgerv1.DeclineCategory{
	"try_again_later":   soft,
	"confirm_card_data": buyer,
	"do_not_try_again":  hard,
}

// networkAdvice are Mastercard's merchant advice codes, two digits that Stripe passes on.
// https://developer.paypal.com/braintree/docs/reference/general/merchant-responses/merchant-advice-codes; 42 and 99 stand
// in the lists of other acquirers.
var networkAdvice = map[string]ledgerv1.DeclineCategory{
	"01": buyer, // new account information available
	"02": soft,  // try again later
	"03": hard,  // do not try again
	"04": buyer, // token requirements not fulfilled
	"21": hard,  // recurring payment cancelled; a stop order
	"24": soft,  // try again after an hour
	"25": soft,  // a day
	"26": soft,  // two
	"27": soft,  // four
	"28": soft,  // six
	"29": soft,  // eight
	"30": soft,  // ten
	"40": hard,  // a prepaid card that cannot be loaded again
	"41": hard,  // a virtual card number for a single use
	"42": hard,  // sanctions
	"99": hard,  // do not try again
}

// visaNever are Visa's declines of category 1, "issuer will never approve", after which no attempt is allowed.
// https://www.checkout.com/docs/developer-resources/codes/visa-response-codes
var visaNever = map[string]bool{
	"04": true, "07": true, "12": true, "14": true, "15": true, "41": true, "43": true, "46": true, "57": true,
	"R0": true, "R1": true, "R3": true,
}

// stopOrders are the decline codes by which a buyer has his bank stop all payments.
// https://docs.stripe.com/declines/codes; of the network's own: R0, R1 and R3, and the advice 21.
var stopOrders = map[string]bool{
	"stop_payment_order": true, "revocation_of_authorization": true, "revocation_of_all_authorizations": true,
	"R0": true, "R1": true, "R3": true,
}

// declineCodes are what Stripe calls the issuer's reasons. https://docs.stripe.com/declines/codes
var declineCodes = map[string]ledgerv1.DeclineCategory{
	// "Attempt the payment again", or it depends on the balance, a limit or the bank's mood.
	"approve_with_id":                 soft,
	"call_issuer":                     soft,
	"card_velocity_exceeded":          soft,
	"do_not_honor":                    soft,
	"duplicate_transaction":           soft,
	"generic_decline":                 soft,
	"insufficient_funds":              soft,
	"issuer_not_available":            soft,
	"no_action_taken":                 soft,
	"not_permitted":                   soft,
	"processing_error":                soft,
	"reenter_transaction":             soft,
	"service_not_allowed":             soft,
	"try_again_later":                 soft,
	"withdrawal_count_limit_exceeded": soft,

	// The data, the card or the proof has to be another one.
	"authentication_required":               buyer,
	"authentication_not_handled":            buyer,
	"card_not_supported":                    buyer,
	"currency_not_supported":                buyer,
	"expired_card":                          buyer,
	"incorrect_address":                     buyer,
	"incorrect_cvc":                         buyer,
	"incorrect_number":                      buyer,
	"incorrect_pin":                         buyer,
	"incorrect_zip":                         buyer,
	"invalid_amount":                        buyer,
	"invalid_cvc":                           buyer,
	"invalid_expiry_month":                  buyer,
	"invalid_expiry_year":                   buyer,
	"invalid_number":                        buyer,
	"invalid_pin":                           buyer,
	"mobile_device_authentication_required": buyer,
	"new_account_information_available":     buyer,
	"offline_pin_required":                  buyer,
	"online_or_offline_pin_required":        buyer,
	"pin_try_exceeded":                      buyer,

	// Never again on this card.
	"do_not_try_again":                 hard,
	"fraudulent":                       hard,
	"highest_risk_level":               hard,
	"invalid_account":                  hard,
	"lost_card":                        hard,
	"merchant_blacklist":               hard,
	"pickup_card":                      hard,
	"restricted_card":                  hard,
	"revocation_of_all_authorizations": hard,
	"revocation_of_authorization":      hard,
	"security_violation":               hard,
	"stolen_card":                      hard,
	"stop_payment_order":               hard,
	"testmode_decline":                 hard,
	"transaction_not_allowed":          hard,
}

// errorCodes are the codes of a failed payment that has no decline code. https://docs.stripe.com/error-codes
var errorCodes = map[string]ledgerv1.DeclineCategory{
	"authentication_required":                buyer,
	"expired_card":                           buyer,
	"incorrect_cvc":                          buyer,
	"incorrect_number":                       buyer,
	"incorrect_zip":                          buyer,
	"payment_intent_authentication_failure":  buyer,
	"setup_intent_authentication_failure":    buyer,
	"payment_method_provider_decline":        soft,
	"payment_method_provider_timeout":        soft,
	"payment_intent_payment_attempt_failed":  soft,
	"payment_intent_payment_attempt_expired": soft,
	"processing_error":                       soft,
}

// lostCodes say that the mandate behind a stored method is gone. https://docs.stripe.com/error-codes
var lostCodes = map[string]bool{"payment_intent_mandate_invalid": true, "setup_intent_mandate_invalid": true}

const resourceMissing = "resource_missing"

// result is what an error means for the payment with that reference.
func (e *apiError) result(reference string) gateway.Result {
	switch {
	case e.PaymentIntent != nil && e.PaymentIntent.ID != "":
		return e.PaymentIntent.result()
	case e.SetupIntent != nil && e.SetupIntent.ID != "":
		return e.SetupIntent.result()
	}
	return gateway.Result{
		Class: gateway.Rejected, Reference: reference, Category: e.category(), Code: cmp.Or(e.DeclineCode, e.Code, e.Type),
		Advice: cmp.Or(e.NetworkAdviceCode, e.AdviceCode), Message: e.Message, StopOrder: e.stopOrder(), AgreementLost: e.agreementLost(),
	}
}

func (e *apiError) stopOrder() bool {
	return stopOrders[e.DeclineCode] || stopOrders[e.NetworkDeclineCode] || e.NetworkAdviceCode == "21"
}

// agreementLost reports whether the stored method is gone. A customer that is gone might be our own mistake, an account
// exchanged for another, and cancelling every subscription for it could not be undone: that is a hard decline.
func (e *apiError) agreementLost() bool {
	return lostCodes[e.Code] || e.Code == resourceMissing && e.Param == "payment_method"
}

// category says what may be done after the decline. What the networks forbid comes first, since they fine whoever does
// it; then what they advise; what the issuer gives as its reason is the least certain.
func (e *apiError) category() ledgerv1.DeclineCategory {
	visa := e.PaymentMethod != nil && e.PaymentMethod.Card != nil && e.PaymentMethod.Card.Brand == "visa"
	never := e.AdviceCode == "do_not_try_again" || networkAdvice[e.NetworkAdviceCode] == hard || visa && visaNever[e.NetworkDeclineCode]
	switch {
	case e.stopOrder(), never, e.agreementLost():
		return hard
	case e.Type == invalidRequest:
		return cmp.Or(errorCodes[e.Code], hard)
	}
	// A decline that nothing is known of is like "generic_decline".
	return cmp.Or(adviceCodes[e.AdviceCode], networkAdvice[e.NetworkAdviceCode], declineCodes[e.DeclineCode], errorCodes[e.Code], soft)
}
