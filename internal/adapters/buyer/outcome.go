package buyer

import (
	"cmp"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
	"ledger.internal/ledger/internal/aggregate/text"
)

// outcome is what a buyer is told of a payment.
type outcome string

const (
	pending   outcome = "pending"
	succeeded outcome = "succeeded"
	failed    outcome = "failed"
)

// outcomeOf is what became of what the gateway knows by key; ok is false if the subscription has no such thing.
func outcomeOf(s subscription.State, key string) (o outcome, ok bool) {
	if a, ok := s.FindAttemptByKey(key); ok {
		return outcomeOfAttempt(a), true
	}
	if n, ok := s.FindReplacement(key); ok {
		return outcomeOfReplacement(s, n), true
	}
	return "", false
}

func outcomeOfAttempt(a *subscription.Attempt) outcome {
	switch a.Status {
	case subscription.AttemptSucceeded, subscription.AttemptDuplicate:
		return succeeded
	case subscription.AttemptDeclined, subscription.AttemptNotCharged:
		return failed
	}
	return pending // also after a charge of another amount: a person decides about it
}

// outcomeOfReplacement tells neither of a method that yet another one has replaced: nobody waits for it any more.
func outcomeOfReplacement(s subscription.State, n uint32) outcome {
	switch {
	case s.Refused.GetReplacement() == n:
		return failed
	case s.Replacement == n && s.Method != nil:
		return succeeded
	}
	return pending
}

// target is where a buyer goes on: to an address that the merchant gave when the subscription started, as he gave it.
// It is empty if there is none.
func target(u *ledgerv1.Urls, o outcome) string {
	var to string
	switch o {
	case succeeded:
		to = cmp.Or(u.GetSuccess(), u.GetReturn())
	case failed:
		to = cmp.Or(u.GetFailure(), u.GetReturn())
	default:
		to = cmp.Or(u.GetReturn(), u.GetSuccess())
	}
	if !text.ValidURL(to) {
		return ""
	}
	return to
}
