package payabl

import (
	"context"
	"errors"
	"fmt"

	"ledger.internal/ledger/internal/adapters/gateway"
)

// Prove implements gateway.Prover. It asks for the chargebacks of one day, which is a short answer about any account; how
// a transaction that is not there would be answered is not published.
// https://docs.payabl.com/docs/diagnose-interface-1
func (g *Gateway) Prove(ctx context.Context, conn gateway.Connection) (gateway.Account, error) {
	day := g.c.Clock.Now().UTC().Format(dayLayout)
	_, err := g.diagnose(ctx, conn, params{"type": "chb", "start_date": day, "end_date": day})
	if message := helpAgainst(err); message != "" {
		reason := gateway.CredentialsRefused
		if errors.Is(err, errOtherMode) {
			reason = gateway.ModeMismatch
		}
		return gateway.Account{}, &gateway.Refusal{Reason: reason, Message: message}
	}
	if err != nil {
		return gateway.Account{}, fmt.Errorf("prove credentials: %w", err)
	}
	return gateway.Account{ID: conn.Account, Live: conn.Live}, nil
}

// helpAgainst is what helps a merchant whose credentials err refuses; empty if it does not say that they are at fault.
func helpAgainst(err error) string {
	var field *fieldError
	var refused *refusalError
	switch {
	case errors.Is(err, errNoCredentials):
		return "The merchant id or the secret is missing. Copy both from what payabl. gave you for your account."
	case errors.As(err, &field):
		return "The merchant id or the secret holds a character that payabl. cannot read. Copy both again from what payabl. gave you for your account."
	case errors.Is(err, errOtherHost):
		return "The connection's URL is not an address of payabl.'s, so nothing was sent there. Copy it from what payabl. gave you for your account, or leave it away."
	case errors.Is(err, errOtherMode):
		return "The connection's URL is one for tests and the connection is for real payments, or the other way round. " +
			"Make a connection of the other kind, or leave the URL away."
	case errors.As(err, &refused) && refused.result.Config: // a wrong signature, an unknown merchant, no permission
		return "payabl. does not accept this merchant id with this secret. Copy both again, and see whether they are of your live account or of its sandbox."
	}
	return ""
}
