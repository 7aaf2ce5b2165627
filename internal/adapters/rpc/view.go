package rpc

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/journal"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// viewSubscription shows a subscription as of a revision. What it points to belongs to the state and is only read.
func viewSubscription(s subscription.State, at event.Revision) *ledgerv1.Subscription {
	v := &ledgerv1.Subscription{
		MerchantId:     s.Started.GetMerchantId(),
		SubscriptionId: s.Started.GetSubscriptionId(),
		Number:         s.Started.GetNumber(),
		State:          s.Status,
		Buyer:          viewBuyer(s),
		Terms:          s.Terms(),
		ConnectionId:   s.Connection.ID,
		ExternalRef:    s.Started.GetExternalRef(),
		Quantity:       s.Started.GetQuantity(),
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
		PaymentMethod:  s.Method,
		FirstOrderId:   s.FirstOrder,
		LastOrderId:    s.LastOrder(),
		StartedAt:      timestamp(s.StartedAt),
		Revision:       int64(at),
		ChargedBy:      ledgerv1.ChargedBy_CHARGED_BY_LEDGER,
		Metadata:       viewPairs(s.Started.GetMetadata()),
		AnchorAt:       timestamp(s.Anchor),
		Held:           s.Held(),
		NextAmounts:    s.NextAmounts(),

		ForeignFirstOrderId: s.Import.GetForeignFirstOrderId(),
	}
	if s.ByGateway() {
		v.ChargedBy = ledgerv1.ChargedBy_CHARGED_BY_GATEWAY
	}
	if a, ok := s.OpenAttempt(); ok {
		v.OpenAttempt = viewAttempt(a)
	}
	return v
}

func viewPairs(ps []*ledgerv1.Pair) map[string]string {
	if len(ps) == 0 {
		return nil
	}
	m := make(map[string]string, len(ps))
	for _, p := range ps {
		m[p.GetKey()] = p.GetValue()
	}
	return m
}

// viewBuyer puts the buyer's id, which is stored in clear, back to what is stored under seal.
func viewBuyer(s subscription.State) *ledgerv1.Buyer {
	b := &ledgerv1.Buyer{}
	if s.Buyer != nil {
		b = proto.CloneOf(s.Buyer)
	}
	b.Id = s.Started.GetBuyerId()
	return b
}

func viewAttempt(a *subscription.Attempt) *ledgerv1.OpenAttempt {
	return &ledgerv1.OpenAttempt{
		PayNumber:   a.Number,
		Attempt:     a.Attempt,
		Reattempt:   a.Reattempt,
		Amounts:     a.Amounts,
		Status:      attemptStatus(a.Status),
		NextAction:  a.NextAction,
		ExpiresAt:   timestamp(a.ExpiresAt),
		RequestedAt: timestamp(a.RequestedAt),
		Withdrawn:   a.Withdrawn,
	}
}

// entryOf shows the journal entry of an event that has not happened; false if it moves no money.
func entryOf(s subscription.State, e *ledgerv1.Event) (*ledgerv1.Entry, bool) {
	postings, _ := journal.Entry(e, s.Started.GetConnectionId())
	if len(postings) == 0 {
		return nil, false
	}
	return &ledgerv1.Entry{
		MerchantId: s.Started.GetMerchantId(), SubscriptionId: s.Started.GetSubscriptionId(), EventType: event.TypeName(e),
		OccurredAt: e.GetMetadata().GetOccurredAt(), RecordedAt: e.GetMetadata().GetRecordedAt(),
		Mode: s.Started.GetMode(), Postings: postings,
	}, true
}

// timestamp is t in an answer; a zero time is absent.
func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// viewEvent shows a stored event of a subscription, its secrets blanked.
func viewEvent(subscriptionID string, raw event.RawRecorded) (*ledgerv1.RecordedEvent, error) {
	e, err := event.Decode(raw)
	if err != nil {
		return nil, err
	}
	blankSecrets(e.Event.ProtoReflect())
	return &ledgerv1.RecordedEvent{
		EventId:        e.ID.String(),
		SubscriptionId: subscriptionID,
		Revision:       int64(e.Revision),
		Position:       e.Position.String(),
		Type:           event.TypeName(e.Event),
		Event:          e.Event,
	}, nil
}

// blankSecrets clears every field of m that is marked (ledger.v1.secret), however deep.
func blankSecrets(m protoreflect.Message) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case isSecret(fd):
			m.Clear(fd)
		case fd.Message() == nil || fd.IsMap():
		case fd.IsList():
			for i := range v.List().Len() {
				blankSecrets(v.List().Get(i).Message())
			}
		default:
			blankSecrets(v.Message())
		}
		return true
	})
}

func isSecret(fd protoreflect.FieldDescriptor) bool {
	secret, _ := proto.GetExtension(fd.Options(), ledgerv1.E_Secret).(bool)
	return secret
}
