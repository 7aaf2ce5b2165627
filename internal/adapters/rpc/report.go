package rpc

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/journal"
	"ledger.internal/ledger/internal/aggregate/money"
	"ledger.internal/ledger/internal/projection"
)

// reports is ledgerv1.ReportService.
type reports struct {
	ledgerv1.UnimplementedReportServiceServer
	*Server
}

// ListEntries implements ledgerv1.ReportServiceServer.
func (s *reports) ListEntries(ctx context.Context, r *ledgerv1.ListEntriesRequest) (*ledgerv1.ListEntriesResponse, error) {
	if r.GetAccount() != "" {
		if err := checkAccount(r.GetAccount()); err != nil {
			return nil, err
		}
	}
	period, err := s.period(ctx, r)
	if err != nil {
		return nil, err
	}
	found, next, err := projection.ListEntries(ctx, s.Views, projection.EntryFilter{
		MerchantID:     period.MerchantID,
		OrderID:        r.GetOrderId(),
		SubscriptionID: r.GetSubscriptionId(),
		Account:        r.GetAccount(),
		Mode:           r.GetMode(),
		OccurredFrom:   period.OccurredFrom,
		OccurredTo:     period.OccurredTo,
		AsOf:           period.AsOf,
	}, projection.Page{Size: r.GetPageSize(), Token: r.GetPageToken()})
	if err != nil {
		return nil, err
	}
	return &ledgerv1.ListEntriesResponse{Entries: found, NextPageToken: next}, nil
}

// GetTrialBalance implements ledgerv1.ReportServiceServer.
func (s *reports) GetTrialBalance(ctx context.Context, r *ledgerv1.GetTrialBalanceRequest) (*ledgerv1.GetTrialBalanceResponse, error) {
	period, err := s.period(ctx, r)
	if err != nil {
		return nil, err
	}
	books, err := projection.TrialBalance(ctx, s.Views, period)
	if err != nil {
		return nil, err
	}
	return &ledgerv1.GetTrialBalanceResponse{Books: books}, nil
}

// GetStatement implements ledgerv1.ReportServiceServer.
func (s *reports) GetStatement(ctx context.Context, r *ledgerv1.GetStatementRequest) (*ledgerv1.GetStatementResponse, error) {
	if err := checkAccount(r.GetAccount()); err != nil {
		return nil, err
	}
	if !money.Known(r.GetCurrencyCode()) {
		return nil, aggregate.InvalidField("currency_code", "CURRENCY_INVALID", "name a currency of ISO 4217 in upper case")
	}
	if r.GetMode() == ledgerv1.Mode_MODE_UNSPECIFIED {
		return nil, aggregate.InvalidField("mode", "MODE_REQUIRED", "say whether the test or the live book is meant")
	}
	period, err := s.period(ctx, r)
	if err != nil {
		return nil, err
	}
	opening, lines, next, err := projection.ReadStatement(ctx, s.Views, projection.StatementFilter{
		PeriodFilter: period,
		Account:      r.GetAccount(),
		Currency:     r.GetCurrencyCode(),
		Mode:         r.GetMode(),
	}, projection.Page{Size: r.GetPageSize(), Token: r.GetPageToken()})
	if err != nil {
		return nil, err
	}
	return &ledgerv1.GetStatementResponse{Opening: opening, Lines: lines, NextPageToken: next}, nil
}

func checkAccount(name string) error {
	if !journal.ValidAccount(name) {
		return aggregate.InvalidField("account", "ACCOUNT_INVALID", "there is no account of this name")
	}
	return nil
}

// report is what all requests for reports have in common.
type report interface {
	GetMerchantId() string
	GetOccurredFrom() *timestamppb.Timestamp
	GetOccurredTo() *timestamppb.Timestamp
	GetAsOf() *timestamppb.Timestamp
	GetMinPosition() string
}

// period reads which stretch of the books is asked for, once the journal has seen what the caller has.
func (s *reports) period(ctx context.Context, r report) (projection.PeriodFilter, error) {
	asOf, err := s.asOf(r.GetAsOf())
	if err != nil {
		return projection.PeriodFilter{}, err
	}
	from, to := instant(r.GetOccurredFrom()), instant(r.GetOccurredTo())
	if r.GetOccurredFrom() != nil && r.GetOccurredTo() != nil && from.After(to) {
		return projection.PeriodFilter{}, aggregate.InvalidField("occurred_to", "PERIOD_INVALID", "the period ends before it begins")
	}
	return projection.PeriodFilter{MerchantID: r.GetMerchantId(), OccurredFrom: from, OccurredTo: to, AsOf: asOf},
		s.reach(ctx, projection.Journal().Name, r.GetMinPosition())
}
