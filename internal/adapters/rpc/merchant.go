package rpc

import (
	"context"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/merchant"
)

// merchants is ledgerv1.MerchantService.
type merchants struct {
	ledgerv1.UnimplementedMerchantServiceServer
	*Server
}

// CreateMerchant implements ledgerv1.MerchantServiceServer.
func (s *merchants) CreateMerchant(ctx context.Context, r *ledgerv1.CreateMerchantRequest) (*ledgerv1.MerchantResponse, error) {
	id := givenOr(r.GetMerchantId(), "mer", "", r.GetRequestId())
	return s.do(ctx, id, request(r, s.Clock.Now()), merchant.Create{
		ID:        id,
		Settings:  merchant.Settings{Name: r.GetName(), TimeZone: r.GetTimeZone(), GDPROff: r.GetGdprOff(), Policies: r.GetPolicies()},
		ZoneKnown: zoneKnown(r.GetTimeZone()),
	})
}

// UpdateMerchant implements ledgerv1.MerchantServiceServer.
func (s *merchants) UpdateMerchant(ctx context.Context, r *ledgerv1.UpdateMerchantRequest) (*ledgerv1.MerchantResponse, error) {
	return s.do(ctx, r.GetMerchantId(), request(r, s.Clock.Now()), merchant.Update{
		ID:        r.GetMerchantId(),
		Settings:  merchant.Settings{Name: r.GetName(), TimeZone: r.GetTimeZone(), GDPROff: r.GetGdprOff(), Policies: r.GetPolicies()},
		ZoneKnown: zoneKnown(r.GetTimeZone()),
	})
}

func (s *merchants) do(ctx context.Context, id string, q aggregate.Request, c aggregate.Command[merchant.State]) (*ledgerv1.MerchantResponse, error) {
	res, err := s.Merchants.Do(ctx, merchant.Stream(id), q, c)
	if err != nil {
		return nil, err
	}
	return &ledgerv1.MerchantResponse{Merchant: viewMerchant(res.State), Position: res.Position().String(), Replayed: res.Replayed}, nil
}

// GetMerchant implements ledgerv1.MerchantServiceServer.
func (s *merchants) GetMerchant(ctx context.Context, r *ledgerv1.GetMerchantRequest) (*ledgerv1.Merchant, error) {
	m, _, err := s.Merchants.Load(ctx, merchant.Stream(r.GetMerchantId()))
	if err != nil {
		return nil, err
	}
	if !m.Exists() {
		return nil, aggregate.ErrNotFound("merchant", r.GetMerchantId())
	}
	return viewMerchant(m), nil
}

func viewMerchant(m merchant.State) *ledgerv1.Merchant {
	return &ledgerv1.Merchant{MerchantId: m.ID, Name: m.Name, TimeZone: m.TimeZone, GdprOff: m.GDPROff, Policies: m.Policies}
}

// zoneKnown reports whether the zone files have a zone of this name.
func zoneKnown(name string) bool {
	_, err := time.LoadLocation(name)
	return err == nil && name != "Local"
}
