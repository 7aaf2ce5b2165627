package rpc

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/projection"
)

// Operator is what those who run the ledger may see and do.
type Operator interface {
	// Followers tells how far each follower has come.
	Followers(ctx context.Context) ([]*ledgerv1.Follower, error)
	// Parked lists a page of what followers have set aside, and the next page's token.
	Parked(ctx context.Context, p projection.Page) (parked []*ledgerv1.Parked, next string, err error)
	// ReplayParked tries a parked stream again now. If it does not go through, reason says why.
	ReplayParked(ctx context.Context, follower, stream string) (cleared bool, reason string, err error)
	// Webhooks lists a page of the gateways' messages that are not dealt with, and the next page's token.
	Webhooks(ctx context.Context, r *ledgerv1.ListWebhooksRequest) (webhooks []*ledgerv1.InboundWebhook, next string, err error)
	// RetryWebhook has one of them tried again.
	RetryWebhook(ctx context.Context, id int64) error
	// ResolveInDoubt ends a doubt by what the gateway answers now.
	ResolveInDoubt(ctx context.Context, r *ledgerv1.ResolveInDoubtRequest) (*ledgerv1.GatewayAnswer, error)
}

// operations is ledgerv1.OperationService.
type operations struct {
	ledgerv1.UnimplementedOperationServiceServer
	*Server
}

// GetStatus implements ledgerv1.OperationServiceServer.
func (s *operations) GetStatus(ctx context.Context, _ *ledgerv1.GetStatusRequest) (*ledgerv1.GetStatusResponse, error) {
	head, err := s.head(ctx)
	if err != nil {
		return nil, err
	}
	followers, err := s.Operator.Followers(ctx)
	if err != nil {
		return nil, err
	}
	return &ledgerv1.GetStatusResponse{
		Now:         timestamppb.New(s.Clock.Now()),
		ManualClock: s.Server.AdvanceClock != nil,
		Head:        head,
		Followers:   followers,
		Version:     s.Version,
	}, nil
}

// AdvanceClock implements ledgerv1.OperationServiceServer.
func (s *operations) AdvanceClock(ctx context.Context, r *ledgerv1.AdvanceClockRequest) (*ledgerv1.AdvanceClockResponse, error) {
	if s.Server.AdvanceClock == nil {
		return nil, aggregate.Refuse("CLOCK_NOT_MANUAL", "time goes by itself here; start the ledger with --clock=manual")
	}
	if r.GetBy().AsDuration() <= 0 {
		return nil, aggregate.InvalidField("by", "DURATION_INVALID", "time only goes forward")
	}
	now, stops, err := s.Server.AdvanceClock(ctx, r.GetBy().AsDuration())
	if err != nil {
		return nil, err
	}
	return &ledgerv1.AdvanceClockResponse{Now: timestamppb.New(now), Stops: stops}, nil
}

// ListInDoubt implements ledgerv1.OperationServiceServer.
func (s *operations) ListInDoubt(ctx context.Context, r *ledgerv1.ListInDoubtRequest) (*ledgerv1.ListInDoubtResponse, error) {
	found, next, err := projection.ListInDoubt(ctx, s.Views, projection.Page{Size: r.GetPageSize(), Token: r.GetPageToken()})
	if err != nil {
		return nil, err
	}
	return &ledgerv1.ListInDoubtResponse{InDoubt: found, NextPageToken: next}, nil
}

// ResolveInDoubt implements ledgerv1.OperationServiceServer.
func (s *operations) ResolveInDoubt(ctx context.Context, r *ledgerv1.ResolveInDoubtRequest) (*ledgerv1.ResolveInDoubtResponse, error) {
	switch {
	case r.GetMerchantId() == "":
		return nil, required("merchant_id")
	case r.GetSubscriptionId() == "":
		return nil, required("subscription_id")
	case r.GetResolution() == ledgerv1.Resolution_RESOLUTION_UNSPECIFIED:
		return nil, aggregate.InvalidField("resolution", "RESOLUTION_REQUIRED", "say whether the money moved")
	case (r.GetRefundId() == "") == (r.GetPayNumber() == 0):
		return nil, aggregate.InvalidField("pay_number", "DOUBT_AMBIGUOUS", "name either an attempt, by its pay number and its own, or a refund")
	}
	answer, err := s.Operator.ResolveInDoubt(ctx, r)
	if err != nil {
		return nil, err
	}
	return &ledgerv1.ResolveInDoubtResponse{Answer: answer}, nil
}

// ListWebhooks implements ledgerv1.OperationServiceServer.
func (s *operations) ListWebhooks(ctx context.Context, r *ledgerv1.ListWebhooksRequest) (*ledgerv1.ListWebhooksResponse, error) {
	webhooks, next, err := s.Operator.Webhooks(ctx, r)
	if err != nil {
		return nil, err
	}
	return &ledgerv1.ListWebhooksResponse{Webhooks: webhooks, NextPageToken: next}, nil
}

// RetryWebhook implements ledgerv1.OperationServiceServer.
func (s *operations) RetryWebhook(ctx context.Context, r *ledgerv1.RetryWebhookRequest) (*ledgerv1.RetryWebhookResponse, error) {
	if err := s.Operator.RetryWebhook(ctx, r.GetWebhookId()); err != nil {
		return nil, err
	}
	return &ledgerv1.RetryWebhookResponse{}, nil
}

// ListParked implements ledgerv1.OperationServiceServer.
func (s *operations) ListParked(ctx context.Context, r *ledgerv1.ListParkedRequest) (*ledgerv1.ListParkedResponse, error) {
	parked, next, err := s.Operator.Parked(ctx, projection.Page{Size: r.GetPageSize(), Token: r.GetPageToken()})
	if err != nil {
		return nil, err
	}
	return &ledgerv1.ListParkedResponse{Parked: parked, NextPageToken: next}, nil
}

// ReplayParked implements ledgerv1.OperationServiceServer.
func (s *operations) ReplayParked(ctx context.Context, r *ledgerv1.ReplayParkedRequest) (*ledgerv1.ReplayParkedResponse, error) {
	cleared, reason, err := s.Operator.ReplayParked(ctx, r.GetFollower(), r.GetStream())
	if err != nil {
		return nil, err
	}
	return &ledgerv1.ReplayParkedResponse{Cleared: cleared, Reason: reason}, nil
}
