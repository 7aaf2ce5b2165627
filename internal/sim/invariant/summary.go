package invariant

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
	"ledger.internal/ledger/internal/projection"
)

// Summary is what the subscriptions view must say of a subscription whose first event was recorded at `created`.
func Summary(s subscription.State, created time.Time) *ledgerv1.SubscriptionSummary {
	st := s.Started
	return &ledgerv1.SubscriptionSummary{
		MerchantId:     st.GetMerchantId(),
		SubscriptionId: st.GetSubscriptionId(),
		Number:         st.GetNumber(),
		State:          s.Status,
		BuyerId:        st.GetBuyerId(),
		Email:          strings.ToLower(s.Buyer.GetEmail()),
		ExternalRef:    st.GetExternalRef(),
		ConnectionId:   s.Connection.ID,
		Mode:           st.GetMode(),
		ProductId:      s.Terms().GetProductId(),
		ProductName:    s.Terms().GetProductName(),
		PricePoint:     s.Terms().GetPricePoint(),
		Kind:           s.Terms().GetKind(),
		PaidNumber:     s.Paid,
		PaymentsLeft:   s.PaymentsLeft(),
		NextDueAt:      timestamp(s.NextDue),
		NextAttemptAt:  timestamp(s.NextAttempt),
		PaidThrough:    timestamp(s.PaidThrough),
		CancelAt:       timestamp(s.CancelAt),
		CancelReason:   s.CancelReason,
		InDoubt:        s.InDoubt(),
		Disputed:       s.Disputed(),
		AmountMismatch: s.Mismatch,
		ChargedBy:      chargedBy(s),
		NextAmount:     s.NextAmounts().GetFull(),
		DeclineCode:    declineCode(s),
		CreatedAt:      timestamp(created),
		StartedAt:      timestamp(s.StartedAt),
	}
}

func chargedBy(s subscription.State) ledgerv1.ChargedBy {
	if s.ByGateway() {
		return ledgerv1.ChargedBy_CHARGED_BY_GATEWAY
	}
	return ledgerv1.ChargedBy_CHARGED_BY_LEDGER
}

func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// declineCode is why the open pay number was declined last; empty if it was not.
func declineCode(s subscription.State) string {
	for i := len(s.Attempts) - 1; i >= 0 && s.Attempts[i].Number > s.Paid; i-- {
		if a := s.Attempts[i]; a.Category != ledgerv1.DeclineCategory_DECLINE_CATEGORY_UNSPECIFIED {
			return a.Code
		}
	}
	return ""
}

// checkSubscriptions compares the subscriptions view with the folded streams, both ways and column by column.
func (h *history) checkSubscriptions(ctx context.Context, views projection.Reader) error {
	merchants := map[string]bool{}
	for stream := range h.subscriptions {
		merchant, _ := owner(stream)
		merchants[merchant] = true
	}
	seen := 0
	for merchant := range merchants {
		page := projection.Page{Size: projection.MaxPageSize}
		for {
			rows, next, err := projection.ListSubscriptions(ctx, views, projection.SubscriptionFilter{MerchantID: merchant}, page)
			if err != nil {
				return fmt.Errorf("list the subscriptions of %s: %w", merchant, err)
			}
			for _, row := range rows {
				seen++
				h.checkSummary(row)
			}
			if page.Token = next; next == "" {
				break
			}
		}
	}
	if seen < len(h.subscriptions) {
		h.broken("I-12", "the subscriptions view has %d subscriptions of %d", seen, len(h.subscriptions))
	}
	return nil
}

func (h *history) checkSummary(got *ledgerv1.SubscriptionSummary) {
	name := subscription.Stream(got.GetMerchantId(), got.GetSubscriptionId())
	l, ok := h.subscriptions[name]
	if !ok {
		h.broken("I-12", "the subscriptions view has %s, which no event started", name)
		return
	}
	want := Summary(l.state, h.streams[name].created)
	if proto.Equal(got, want) {
		return
	}
	for _, f := range differing(got, want) {
		h.broken("I-12", "%s: %s", name, f)
	}
}

// differing names the fields in which a row is not what it should be.
func differing(got, want *ledgerv1.SubscriptionSummary) (lines []string) {
	fields := want.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		only := func(s *ledgerv1.SubscriptionSummary) *ledgerv1.SubscriptionSummary {
			o := &ledgerv1.SubscriptionSummary{}
			if s.ProtoReflect().Has(fields.Get(i)) {
				o.ProtoReflect().Set(fields.Get(i), s.ProtoReflect().Get(fields.Get(i)))
			}
			return o
		}
		if g, w := only(got), only(want); !proto.Equal(g, w) {
			lines = append(lines, fmt.Sprintf("%s is {%s} in the view and {%s} in the events",
				fields.Get(i).Name(), prototext.MarshalOptions{}.Format(g), prototext.MarshalOptions{}.Format(w)))
		}
	}
	return lines
}
