package rpc

import (
	"context"
	"errors"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

// orders is ledgerv1.OrderService.
type orders struct {
	ledgerv1.UnimplementedOrderServiceServer
	*Server
}

// GetOrder implements ledgerv1.OrderServiceServer.
func (s *orders) GetOrder(ctx context.Context, r *ledgerv1.GetOrderRequest) (*ledgerv1.Order, error) {
	asOf, err := s.asOf(r.GetAsOf())
	if err != nil {
		return nil, err
	}
	if err := s.reach(ctx, projection.Orders().Name, r.GetMinPosition()); err != nil {
		return nil, err
	}
	return projection.GetOrder(ctx, s.Views, r.GetMerchantId(), r.GetOrderId(), asOf)
}

// ListOrders implements ledgerv1.OrderServiceServer.
func (s *orders) ListOrders(ctx context.Context, r *ledgerv1.ListOrdersRequest) (*ledgerv1.ListOrdersResponse, error) {
	asOf, err := s.asOf(r.GetAsOf())
	if err != nil {
		return nil, err
	}
	if err := s.reach(ctx, projection.Orders().Name, r.GetMinPosition()); err != nil {
		return nil, err
	}
	found, next, err := projection.ListOrders(ctx, s.Views, projection.OrderFilter{
		MerchantID:       r.GetMerchantId(),
		SubscriptionID:   r.GetSubscriptionId(),
		BuyerID:          r.GetBuyerId(),
		ExternalRef:      r.GetExternalRef(),
		GatewayReference: r.GetGatewayReference(),
		Types:            r.GetTypes(),
		OccurredFrom:     instant(r.GetOccurredFrom()),
		OccurredTo:       instant(r.GetOccurredTo()),
		AsOf:             asOf,
	}, projection.Page{Size: r.GetPageSize(), Token: r.GetPageToken()})
	if err != nil {
		return nil, err
	}
	return &ledgerv1.ListOrdersResponse{Orders: found, NextPageToken: next}, nil
}

// ListPayNumbers implements ledgerv1.OrderServiceServer.
func (s *orders) ListPayNumbers(ctx context.Context, r *ledgerv1.ListPayNumbersRequest) (*ledgerv1.ListPayNumbersResponse, error) {
	asOf, err := s.asOf(r.GetAsOf())
	if err != nil {
		return nil, err
	}
	if err := s.reach(ctx, projection.PayNumbers().Name, r.GetMinPosition()); err != nil {
		return nil, err
	}
	found, next, err := projection.ListPayNumbers(ctx, s.Views, projection.PayNumberFilter{
		MerchantID:     r.GetMerchantId(),
		SubscriptionID: r.GetSubscriptionId(),
		States:         r.GetStates(),
		DueFrom:        instant(r.GetDueFrom()),
		DueTo:          instant(r.GetDueTo()),
		AsOf:           asOf,
	}, projection.Page{Size: r.GetPageSize(), Token: r.GetPageToken()})
	if err != nil {
		return nil, err
	}
	return &ledgerv1.ListPayNumbersResponse{PayNumbers: found, NextPageToken: next}, nil
}

// reachTimeout is how long a list waits for its view to see a min_position.
const reachTimeout = 2 * time.Second

// reach waits until a view has seen the position that the caller names.
func (s *Server) reach(ctx context.Context, view, position string) error {
	p, err := event.ParsePosition(position)
	if err != nil {
		return aggregate.InvalidField("min_position", "POSITION_INVALID", "is not a position of this ledger")
	}
	if p.IsZero() {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	err = s.WaitFor(limited, view, p)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return &aggregate.Error{Kind: aggregate.Unavailable, Reason: "POSITION_NOT_REACHED",
			Message: "the view has not seen this position yet; try again", Metadata: map[string]string{"view": view}}
	}
	return err
}
