package projection

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/event"
)

//go:embed subscriptions.sql
var subscriptionsSchema string

// Subscriptions keeps each subscription as lists show it: how it stands, and how it stood.
func Subscriptions() Projection {
	return Projection{
		Name:       "subscriptions",
		Version:    1,
		Categories: []string{subscriptions},
		Schema:     subscriptionsSchema,
		Tables:     []string{"subscription_versions", "subscription_matters"},
		Views:      []View{subscriptionsView()},
		Apply:      applySubscription,
	}
}

// applySubscription reads the current version, changes it and, if that makes a difference, writes the next one.
func applySubscription(tx Tx, known time.Time, e event.Recorded) error {
	merchant, id, err := ownerOf(e.Stream)
	if err != nil {
		return err
	}
	r, err := readSubscription(tx, merchant, id)
	if err != nil {
		return fmt.Errorf("subscription %s.%s: %w", merchant, id, err)
	}
	before := r.values()
	if !r.change(e.Event) {
		return unknownKind("subscriptions", e.Event)
	}
	if r.State == ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_UNSPECIFIED {
		return fmt.Errorf("%s was never started", e.Stream)
	}
	if err := (matters{tx, merchant, id}).apply(e.Event, r); err != nil {
		return fmt.Errorf("subscription %s.%s: %w", merchant, id, err)
	}
	after := r.values()
	if slices.Equal(before, after) {
		return nil
	}
	if err := r.write(tx, known.UnixMicro(), e.ID.String(), after); err != nil {
		return fmt.Errorf("subscription %s.%s: %w", merchant, id, err)
	}
	return nil
}

// subscriptionRow is a version of a subscription: what is listed, and what decides what later events make of it.
type subscriptionRow struct {
	*ledgerv1.SubscriptionSummary
	currency string

	pausedFrom ledgerv1.SubscriptionState // what a pause goes back to
	trial      bool                       // the first payment is an initial one

	regular, introductory int64  // what is asked for
	introductoryUntil     uint32 // the last pay number that asks for the introductory amount

	knownFrom int64
}

const (
	listedColumns = `merchant_id, subscription_id, number, state, buyer_id, email, external_ref, connection_id, mode,
	product_id, product_name, price_point, kind, charged_by, paid_number, payments_left, next_amount, currency,
	next_due_at, next_attempt_at, paid_through, cancel_at, cancel_reason, decline_code,
	in_doubt, disputed, amount_mismatch, created_at, started_at`
	unlistedColumns = `paused_from, trial, regular_amount, introductory_amount, introductory_until`
)

// values are the columns of a row but for when it held.
func (r *subscriptionRow) values() []any {
	var next any
	if r.NextAmount != nil {
		next = r.NextAmount.GetMinorUnits()
	}
	return []any{
		r.GetMerchantId(), r.GetSubscriptionId(), r.GetNumber(), wordOr(subscriptionStatePrefix, r.State),
		r.GetBuyerId(), r.GetEmail(), r.GetExternalRef(), r.GetConnectionId(), word(modePrefix, r.GetMode()),
		r.GetProductId(), r.GetProductName(), int64(r.GetPricePoint()), word(priceKindPrefix, r.GetKind()),
		word(chargedByPrefix, r.GetChargedBy()), int64(r.GetPaidNumber()), int64(r.GetPaymentsLeft()), next, r.currency,
		micros(r.NextDueAt), micros(r.NextAttemptAt), micros(r.PaidThrough), micros(r.CancelAt),
		wordOr(cancelReasonPrefix, r.CancelReason), r.DeclineCode,
		bit(r.InDoubt), bit(r.Disputed), bit(r.AmountMismatch), micros(r.CreatedAt), micros(r.StartedAt),
		wordOr(subscriptionStatePrefix, r.pausedFrom), bit(r.trial), r.regular, r.introductory, int64(r.introductoryUntil),
	}
}

// scanSubscription reads the listed columns, and those that the caller asked for besides.
func scanSubscription(row Row, besides ...any) (*ledgerv1.SubscriptionSummary, string, error) {
	var (
		s                                     ledgerv1.SubscriptionSummary
		state, mode, kind, by, reason, cur    string
		pricePoint, paid, left                int64
		doubt, disputed, mismatch             int64
		amount                                *int64
		due, attempt, through, cancel, c0, s0 *int64
	)
	err := row.Scan(append([]any{&s.MerchantId, &s.SubscriptionId, &s.Number, &state, &s.BuyerId, &s.Email, &s.ExternalRef,
		&s.ConnectionId, &mode, &s.ProductId, &s.ProductName, &pricePoint, &kind, &by, &paid, &left, &amount, &cur,
		&due, &attempt, &through, &cancel, &reason, &s.DeclineCode, &doubt, &disputed, &mismatch, &c0, &s0}, besides...)...)
	if err != nil {
		return nil, "", err
	}
	s.State = stateOf(state)
	s.Mode = ledgerv1.Mode(value(ledgerv1.Mode_value, modePrefix, mode))
	s.Kind = ledgerv1.PriceKind(value(ledgerv1.PriceKind_value, priceKindPrefix, kind))
	s.ChargedBy = ledgerv1.ChargedBy(value(ledgerv1.ChargedBy_value, chargedByPrefix, by))
	s.CancelReason = ledgerv1.CancelReason(value(ledgerv1.CancelReason_value, cancelReasonPrefix, reason))
	s.PricePoint, s.PaidNumber, s.PaymentsLeft = uint32(pricePoint), uint32(paid), uint32(left)
	if amount != nil {
		s.NextAmount = &ledgerv1.Money{CurrencyCode: cur, MinorUnits: *amount}
	}
	s.NextDueAt, s.NextAttemptAt, s.PaidThrough, s.CancelAt = timestamp(due), timestamp(attempt), timestamp(through), timestamp(cancel)
	s.InDoubt, s.Disputed, s.AmountMismatch = doubt != 0, disputed != 0, mismatch != 0
	s.CreatedAt, s.StartedAt = timestamp(c0), timestamp(s0)
	return &s, cur, nil
}

const selectSubscriptionRowSQL = `SELECT ` + listedColumns + `, ` + unlistedColumns + `, known_from
	FROM subscription_versions WHERE merchant_id = $1 AND subscription_id = $2 AND known_to IS NULL`

// readSubscription reads the version that holds now; an empty one if there is none yet.
func readSubscription(tx Tx, merchant, id string) (*subscriptionRow, error) {
	var (
		r            subscriptionRow
		from         string
		trial, until int64
		err          error
	)
	r.SubscriptionSummary, r.currency, err = scanSubscription(tx.QueryRow(selectSubscriptionRowSQL, merchant, id),
		&from, &trial, &r.regular, &r.introductory, &until, &r.knownFrom)
	if errors.Is(err, ErrNoRows) {
		return &subscriptionRow{SubscriptionSummary: &ledgerv1.SubscriptionSummary{MerchantId: merchant, SubscriptionId: id}}, nil
	}
	r.pausedFrom, r.trial, r.introductoryUntil = stateOf(from), trial != 0, uint32(until)
	return &r, err
}

// A version that began at the same instant would have held for no time: the one that is written now stands in for it.
const (
	endSubscriptionVersionSQL = `UPDATE subscription_versions SET known_to = $3
	WHERE merchant_id = $1 AND subscription_id = $2 AND known_to IS NULL`
	dropSubscriptionVersionSQL = `DELETE FROM subscription_versions
	WHERE merchant_id = $1 AND subscription_id = $2 AND known_from = $3`
)

var insertSubscriptionVersionSQL = insertInto("subscription_versions", listedColumns+", "+unlistedColumns+", event_id, known_from")

// insertInto is a statement with a placeholder for each of the columns.
func insertInto(table, columns string) string {
	places := make([]string, strings.Count(columns, ",")+1)
	for i := range places {
		places[i] = fmt.Sprintf("$%d", i+1)
	}
	return "INSERT INTO " + table + " (" + columns + ") VALUES (" + strings.Join(places, ", ") + ")"
}

// write ends the version before and inserts the one that holds from now on.
func (r *subscriptionRow) write(tx Tx, known int64, eventID string, values []any) error {
	end := endSubscriptionVersionSQL
	if r.knownFrom == known {
		end = dropSubscriptionVersionSQL
	}
	if _, err := tx.Exec(end, r.GetMerchantId(), r.GetSubscriptionId(), known); err != nil {
		return err
	}
	_, err := tx.Exec(insertSubscriptionVersionSQL, append(values, eventID, known)...)
	return err
}

// Prefixes of the names of stored enums.
const (
	subscriptionStatePrefix = "SUBSCRIPTION_STATE_"
	priceKindPrefix         = "PRICE_KIND_"
	chargedByPrefix         = "CHARGED_BY_"
	cancelReasonPrefix      = "CANCEL_REASON_"
)

// wordOr is word, and nothing for what is unspecified.
func wordOr(prefix string, v enum) string {
	if v.Number() == 0 {
		return ""
	}
	return word(prefix, v)
}

func stateOf(word string) ledgerv1.SubscriptionState {
	return ledgerv1.SubscriptionState(value(ledgerv1.SubscriptionState_value, subscriptionStatePrefix, word))
}

// bit is how a flag is stored.
func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
