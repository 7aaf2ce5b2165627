package rpc

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// subscriptions is ledgerv1.SubscriptionService.
type subscriptions struct {
	ledgerv1.UnimplementedSubscriptionServiceServer
	*Server
}

// StartTrial implements ledgerv1.SubscriptionServiceServer.
func (s *subscriptions) StartTrial(ctx context.Context, r *ledgerv1.StartTrialRequest) (*ledgerv1.CommandResponse, error) {
	return s.start(ctx, r, true)
}

// StartSubscription implements ledgerv1.SubscriptionServiceServer.
func (s *subscriptions) StartSubscription(ctx context.Context, r *ledgerv1.StartSubscriptionRequest) (*ledgerv1.CommandResponse, error) {
	return s.start(ctx, r, false)
}

// ImportSubscription implements ledgerv1.SubscriptionServiceServer.
func (s *subscriptions) ImportSubscription(ctx context.Context, r *ledgerv1.ImportSubscriptionRequest) (*ledgerv1.CommandResponse, error) {
	return s.importOne(ctx, r)
}

// Rebill implements ledgerv1.SubscriptionServiceServer.
func (s *subscriptions) Rebill(ctx context.Context, r *ledgerv1.RebillRequest) (*ledgerv1.CommandResponse, error) {
	return s.existing(ctx, r, func(in circumstances) (aggregate.Command[subscription.State], error) {
		return subscription.Rebill{Now: in.now, Number: r.GetPayNumber(), Amounts: r.GetAmounts(), Circumstances: in.Circumstances}, nil
	})
}

// Refund implements ledgerv1.SubscriptionServiceServer.
func (s *subscriptions) Refund(ctx context.Context, r *ledgerv1.RefundRequest) (*ledgerv1.CommandResponse, error) {
	return s.existing(ctx, r, func(in circumstances) (aggregate.Command[subscription.State], error) {
		return subscription.Refund{Now: in.now, ID: subscription.RefundID(in.stream, r.GetRequestId()),
			OrderID: r.GetOrderId(), Amount: r.GetAmount(), Parts: r.GetParts(), Reason: r.GetReason(),
			Cancel: r.GetAlsoCancel(), CancelReason: r.GetCancelReason()}, nil
	})
}

// Chargeback implements ledgerv1.SubscriptionServiceServer.
func (s *subscriptions) Chargeback(ctx context.Context, r *ledgerv1.ChargebackRequest) (*ledgerv1.CommandResponse, error) {
	return s.existing(ctx, r, func(in circumstances) (aggregate.Command[subscription.State], error) {
		return subscription.Chargeback{Now: in.now, At: instant(r.GetOccurredAt()), OrderID: r.GetOrderId(), DisputeID: r.GetDisputeId(),
			Stage: r.GetStage(), Amount: r.GetAmount(), Fee: r.GetFee(), Reason: r.GetReason(), Outcome: r.GetOutcome(),
			Circumstances: in.Circumstances}, nil
	})
}

// Cancel implements ledgerv1.SubscriptionServiceServer.
func (s *subscriptions) Cancel(ctx context.Context, r *ledgerv1.CancelRequest) (*ledgerv1.CommandResponse, error) {
	return s.existing(ctx, r, func(in circumstances) (aggregate.Command[subscription.State], error) {
		return subscription.Cancel{Now: in.now, Reason: r.GetReason(), AtPeriodEnd: r.GetAtPeriodEnd()}, nil
	})
}

// WithdrawCancellation implements ledgerv1.SubscriptionServiceServer.
func (s *subscriptions) WithdrawCancellation(ctx context.Context, r *ledgerv1.WithdrawCancellationRequest) (*ledgerv1.CommandResponse, error) {
	return s.existing(ctx, r, func(in circumstances) (aggregate.Command[subscription.State], error) {
		return subscription.WithdrawCancellation{Now: in.now}, nil
	})
}

// Pause implements ledgerv1.SubscriptionServiceServer.
func (s *subscriptions) Pause(ctx context.Context, r *ledgerv1.PauseRequest) (*ledgerv1.CommandResponse, error) {
	return s.existing(ctx, r, func(in circumstances) (aggregate.Command[subscription.State], error) {
		return subscription.Pause{Now: in.now, Reason: r.GetReason()}, nil
	})
}

// Resume implements ledgerv1.SubscriptionServiceServer.
func (s *subscriptions) Resume(ctx context.Context, r *ledgerv1.ResumeRequest) (*ledgerv1.CommandResponse, error) {
	return s.existing(ctx, r, func(in circumstances) (aggregate.Command[subscription.State], error) {
		return subscription.Resume{Now: in.now, Circumstances: in.Circumstances}, nil
	})
}

// Reschedule implements ledgerv1.SubscriptionServiceServer.
func (s *subscriptions) Reschedule(ctx context.Context, r *ledgerv1.RescheduleRequest) (*ledgerv1.CommandResponse, error) {
	return s.existing(ctx, r, func(in circumstances) (aggregate.Command[subscription.State], error) {
		return subscription.Reschedule{Now: in.now, Due: instant(r.GetNextDueAt()), KeepAnchor: r.GetKeepAnchor()}, nil
	})
}

// ReplacePaymentMethod implements ledgerv1.SubscriptionServiceServer.
func (s *subscriptions) ReplacePaymentMethod(ctx context.Context, r *ledgerv1.ReplacePaymentMethodRequest) (*ledgerv1.CommandResponse, error) {
	return s.existing(ctx, r, func(in circumstances) (aggregate.Command[subscription.State], error) {
		id := r.GetConnectionId()
		if id == "" {
			id = in.state.Connection.ID
		}
		conn, err := s.chargeable(ctx, "connection_id", r.GetMerchantId(), id)
		if err != nil {
			return nil, err
		}
		if in.Circumstances, err = s.Circumstances(ctx, r.GetMerchantId(), id); err != nil {
			return nil, err
		}
		return subscription.ReplacePaymentMethod{Now: in.now, Token: r.GetPaymentMethodToken(), Mode: conn.Mode,
			Connection:    subscription.Connection{ID: id, Gateway: conn.Gateway, Processor: conn.Processor},
			Circumstances: in.Circumstances}, nil
	})
}

// ChangeTerms implements ledgerv1.SubscriptionServiceServer.
func (s *subscriptions) ChangeTerms(ctx context.Context, r *ledgerv1.ChangeTermsRequest) (*ledgerv1.CommandResponse, error) {
	return s.existing(ctx, r, func(in circumstances) (aggregate.Command[subscription.State], error) {
		return subscription.ChangeTerms{Now: in.now, Amounts: r.GetAmounts(), Consent: r.GetConsentReference()}, nil
	})
}

// UpdateBuyer implements ledgerv1.SubscriptionServiceServer.
func (s *subscriptions) UpdateBuyer(ctx context.Context, r *ledgerv1.UpdateBuyerRequest) (*ledgerv1.CommandResponse, error) {
	return s.existing(ctx, r, func(in circumstances) (aggregate.Command[subscription.State], error) {
		return subscription.UpdateBuyer{Now: in.now, Buyer: r.GetBuyer()}, nil
	})
}

// ObservePayment implements ledgerv1.SubscriptionServiceServer.
func (s *subscriptions) ObservePayment(ctx context.Context, r *ledgerv1.ObservePaymentRequest) (*ledgerv1.CommandResponse, error) {
	return s.existing(ctx, r, func(in circumstances) (aggregate.Command[subscription.State], error) {
		if r.GetAmounts() == nil {
			return nil, aggregate.InvalidField("amounts", "AMOUNT_REQUIRED", "say what was paid")
		}
		return subscription.ObservePayment{Now: in.now, At: instant(r.GetOccurredAt()), Reference: r.GetReference(), Amounts: r.GetAmounts(),
			Fee: r.GetFee(), Settled: r.GetSettled(), Method: r.GetPaymentMethod()}, nil
	})
}

// ObserveRefund implements ledgerv1.SubscriptionServiceServer.
func (s *subscriptions) ObserveRefund(ctx context.Context, r *ledgerv1.ObserveRefundRequest) (*ledgerv1.CommandResponse, error) {
	return s.existing(ctx, r, func(in circumstances) (aggregate.Command[subscription.State], error) {
		return subscription.ObserveRefund{Now: in.now, At: instant(r.GetOccurredAt()), OrderID: r.GetOrderId(),
			Reference: r.GetReference(), Amount: r.GetAmount(), Reason: r.GetReason()}, nil
	})
}

// ResolveMismatch implements ledgerv1.SubscriptionServiceServer.
func (s *subscriptions) ResolveMismatch(ctx context.Context, r *ledgerv1.ResolveMismatchRequest) (*ledgerv1.CommandResponse, error) {
	return s.existing(ctx, r, func(in circumstances) (aggregate.Command[subscription.State], error) {
		return subscription.ResolveMismatch{Now: in.now, Number: r.GetPayNumber(), Attempt: r.GetAttempt(), Reference: r.GetReference()}, nil
	})
}

// GetSubscription implements ledgerv1.SubscriptionServiceServer.
func (s *subscriptions) GetSubscription(ctx context.Context, r *ledgerv1.GetSubscriptionRequest) (*ledgerv1.Subscription, error) {
	asOf, err := s.asOf(r.GetAsOf())
	if err != nil {
		return nil, err
	}
	state, revision, err := s.load(ctx, subscription.Stream(r.GetMerchantId(), r.GetSubscriptionId()), asOf)
	if err != nil {
		return nil, err
	}
	if !state.Exists() {
		return nil, aggregate.ErrNotFound("subscription", r.GetSubscriptionId())
	}
	return viewSubscription(state, revision), nil
}

// instant is a time of a request; zero if it is absent.
func instant(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	at := t.AsTime()
	if at.IsZero() {
		at = at.Add(time.Microsecond) // the first instant that a Timestamp can name is not an absent one
	}
	return at
}
