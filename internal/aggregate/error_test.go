package aggregate_test

import (
	"errors"
	"fmt"
	"testing"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
)

func TestError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  *aggregate.Error
		kind aggregate.Kind
		text string
	}{
		{aggregate.InvalidField("start.quantity", "QUANTITY_INVALID", "at most %d", 5), aggregate.Invalid, "start.quantity: at most 5 (QUANTITY_INVALID)"},
		{aggregate.Refuse("NOT_DUE", "due on %s", "Monday"), aggregate.FailedPrecondition, "due on Monday (NOT_DUE)"},
		{aggregate.ErrNotFound("subscription", "s1"), aggregate.NotFound, "there is no subscription s1 (NOT_FOUND)"},
	} {
		expect(t, "kind of "+c.text, c.err.Kind, c.kind)
		expect(t, "text", c.err.Error(), c.text)
	}
}

func TestErrorIsItsReason(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("rebill: %w", aggregate.Refuse("NOT_DUE", "due on Monday"))
	expect(t, "the same reason", errors.Is(err, &aggregate.Error{Reason: "NOT_DUE"}), true)
	expect(t, "another reason", errors.Is(err, &aggregate.Error{Reason: "NOT_FOUND"}), false)
	expect(t, "another error", errors.Is(err, errors.New("NOT_DUE")), false)
}

func TestErrorWith(t *testing.T) {
	t.Parallel()
	err := aggregate.Refuse("NOT_DUE", "later").With("due", "Monday").With("number", "2")
	expect(t, "metadata", err.Metadata, map[string]string{"due": "Monday", "number": "2"})
}

func TestHashOf(t *testing.T) {
	t.Parallel()
	a := aggregate.HashOf(&ledgerv1.RebillRequest{SubscriptionId: "s1", PayNumber: 2})
	expect(t, "the same content", aggregate.HashOf(&ledgerv1.RebillRequest{SubscriptionId: "s1", PayNumber: 2}), a)
	if b := aggregate.HashOf(&ledgerv1.RebillRequest{SubscriptionId: "s1", PayNumber: 3}); a == b {
		t.Errorf("another content has the same hash %x", b)
	}
	defer func() {
		if recover() == nil {
			t.Error("a text that is not UTF-8 was hashed")
		}
	}()
	aggregate.HashOf(&ledgerv1.RebillRequest{SubscriptionId: "\xff"})
}
