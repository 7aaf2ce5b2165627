package rpc

import (
	"context"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/projection"
)

// ListSubscriptions implements ledgerv1.SubscriptionServiceServer.
func (s *subscriptions) ListSubscriptions(ctx context.Context, r *ledgerv1.ListSubscriptionsRequest) (*ledgerv1.ListSubscriptionsResponse, error) {
	asOf, err := s.asOf(r.GetAsOf())
	if err != nil {
		return nil, err
	}
	if err := s.reach(ctx, projection.Subscriptions().Name, r.GetMinPosition()); err != nil {
		return nil, err
	}
	if r.GetGatewayReference() != "" { // it is looked up among the orders
		if err := s.reach(ctx, projection.Orders().Name, r.GetMinPosition()); err != nil {
			return nil, err
		}
	}
	found, next, err := projection.ListSubscriptions(ctx, s.Views, projection.SubscriptionFilter{
		MerchantID:       r.GetMerchantId(),
		States:           r.GetStates(),
		BuyerID:          r.GetBuyerId(),
		Email:            r.GetEmail(),
		ExternalRef:      r.GetExternalRef(),
		ConnectionID:     r.GetConnectionId(),
		ProductID:        r.GetProductId(),
		OrderID:          r.GetOrderId(),
		GatewayReference: r.GetGatewayReference(),
		InDoubt:          r.InDoubt,
		Disputed:         r.Disputed,
		DueFrom:          instant(r.GetDueFrom()),
		DueTo:            instant(r.GetDueTo()),
		AsOf:             asOf,
	}, projection.Page{Size: r.GetPageSize(), Token: r.GetPageToken()})
	if err != nil {
		return nil, err
	}
	return &ledgerv1.ListSubscriptionsResponse{Subscriptions: found, NextPageToken: next}, nil
}
