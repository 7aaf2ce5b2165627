package subscription_test

import (
	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

const (
	cancels = ledgerv1.ChargebackPolicy_CHARGEBACK_POLICY_CANCEL
	holds   = ledgerv1.ChargebackPolicy_CHARGEBACK_POLICY_HOLD
	ignores = ledgerv1.ChargebackPolicy_CHARGEBACK_POLICY_IGNORE
	refunds = ledgerv1.LateChargePolicy_LATE_CHARGE_POLICY_REFUND
)
