package main

import ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"

// declineInWords says why a charge was declined, in words that may be said to the buyer. Whoever is on the phone may
// not be the card's owner, so that a reported loss or a suspicion is never told, nor any code or text of the gateway's
// that could tell it: such codes are not in the table, and have the words of their category, like many harmless ones.
func declineInWords(category ledgerv1.DeclineCategory, code string) string {
	switch code {
	case "insufficient_funds":
		return "there was not enough money on the account"
	case "expired_card":
		return "the card has expired"
	case "incorrect_cvc", "incorrect_number", "incorrect_pin", "incorrect_zip", "invalid_cvc", "invalid_expiry_month",
		"invalid_expiry_year", "invalid_number", "invalid_pin":
		return "the card's details were not right"
	case "authentication_required", "approve_with_id", "PAYER_ACTION_REQUIRED":
		return "the bank wants the buyer to confirm the payment"
	case "card_velocity_exceeded", "withdrawal_count_limit_exceeded":
		return "the card's limit was reached"
	case "issuer_not_available", "processing_error", "reenter_transaction", "try_again_later":
		return "the bank could not be reached"
	case "card_not_supported", "currency_not_supported":
		return "the card cannot be used for this purchase"
	case "new_account_information_available":
		return "the bank has given out a newer card"
	case "payments_stopped", "stop_payment_order", "revocation_of_authorization", "revocation_of_all_authorizations":
		return "the bank was asked to stop these payments"
	case "agreement_cancelled", "AGREEMENT_ALREADY_CANCELLED", "BILLING_AGREEMENT_NOT_FOUND", "TOKEN_ID_NOT_FOUND", "145001", "145005":
		return "the agreement to be charged has ended"
	case "declined_by_buyer":
		return "the buyer declined on the payment page"
	case "invalid_firstname", "invalid_lastname", "invalid_accountname":
		return "the payment service cannot write the buyer's name"
	case "invalid_email":
		return "the payment service does not take the buyer's e-mail address"
	case "invalid_amount", "invalid_currency":
		return "the payment service takes no such amount, or not in this currency"
	case "-6000":
		return "the payment service did not take the buyer's data, or the currency"
	case "expired":
		return "the payment was not confirmed in time"
	}
	switch category {
	case ledgerv1.DeclineCategory_DECLINE_CATEGORY_HARD:
		return "the bank refuses this card; another one is needed"
	case ledgerv1.DeclineCategory_DECLINE_CATEGORY_BUYER_ACTION:
		return "the bank wants the buyer to do something first"
	}
	return "the bank refused it this time"
}
