package rpc

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/connect"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/connection"
	"ledger.internal/ledger/internal/projection"
)

// connections is ledgerv1.ConnectionService.
type connections struct {
	ledgerv1.UnimplementedConnectionServiceServer
	*Server
}

// CreateConnection implements ledgerv1.ConnectionServiceServer.
func (s *connections) CreateConnection(ctx context.Context, r *ledgerv1.CreateConnectionRequest) (*ledgerv1.ConnectionResponse, error) {
	if err := s.merchantExists(ctx, r.GetMerchantId()); err != nil {
		return nil, err
	}
	a := connect.Account{
		Merchant: r.GetMerchantId(), ID: givenOr(r.GetConnectionId(), "con", r.GetMerchantId(), r.GetRequestId()),
		Gateway: r.GetGateway(), Processor: r.GetProcessor(), Mode: r.GetMode(), URL: r.GetUrl(),
		Account: r.GetAccount(), PublishableKey: r.GetPublishableKey(), Secret: r.GetSecret(), WebhookSecret: r.GetWebhookSecret(),
	}
	if r.GetUpdateBy() != nil {
		a.UpdateBy = r.GetUpdateBy().AsTime()
	}
	return s.answer(s.Connections.Create(ctx, request(r, s.Clock.Now()), a))
}

// RequestConsent implements ledgerv1.ConnectionServiceServer.
func (s *connections) RequestConsent(ctx context.Context, r *ledgerv1.RequestConsentRequest) (*ledgerv1.RequestConsentResponse, error) {
	if err := s.merchantExists(ctx, r.GetMerchantId()); err != nil {
		return nil, err
	}
	res, url, err := s.Connections.RequestConsent(ctx, request(r, s.Clock.Now()), connect.Consent{
		Merchant: r.GetMerchantId(), ID: givenOr(r.GetConnectionId(), "con", r.GetMerchantId(), r.GetRequestId()),
		Gateway: r.GetGateway(), Mode: r.GetMode(), ReturnURL: r.GetReturnUrl(),
	})
	if err != nil {
		return nil, err
	}
	return &ledgerv1.RequestConsentResponse{
		Connection: s.view(res.State), ConsentUrl: url, ExpiresAt: timestamppb.New(res.State.Consent.ExpiresAt),
		Position: res.Position().String(), Replayed: res.Replayed,
	}, nil
}

// ReplaceCredentials implements ledgerv1.ConnectionServiceServer.
func (s *connections) ReplaceCredentials(ctx context.Context, r *ledgerv1.ReplaceCredentialsRequest) (*ledgerv1.ConnectionResponse, error) {
	return s.answer(s.Connections.ReplaceCredentials(ctx, request(r, s.Clock.Now()), r.GetMerchantId(), r.GetConnectionId(), r.GetSecret(), r.GetWebhookSecret()))
}

// DisconnectConnection implements ledgerv1.ConnectionServiceServer.
func (s *connections) DisconnectConnection(ctx context.Context, r *ledgerv1.DisconnectConnectionRequest) (*ledgerv1.ConnectionResponse, error) {
	return s.answer(s.Connections.Disconnect(ctx, request(r, s.Clock.Now()), r.GetMerchantId(), r.GetConnectionId(), r.GetReason()))
}

// BlockConnection implements ledgerv1.ConnectionServiceServer.
func (s *connections) BlockConnection(ctx context.Context, r *ledgerv1.BlockConnectionRequest) (*ledgerv1.ConnectionResponse, error) {
	return s.change(ctx, r.GetMerchantId(), r.GetConnectionId(), request(r, s.Clock.Now()),
		connection.Block{ID: r.GetConnectionId(), Reason: r.GetReason()})
}

// UnblockConnection implements ledgerv1.ConnectionServiceServer.
func (s *connections) UnblockConnection(ctx context.Context, r *ledgerv1.UnblockConnectionRequest) (*ledgerv1.ConnectionResponse, error) {
	return s.change(ctx, r.GetMerchantId(), r.GetConnectionId(), request(r, s.Clock.Now()),
		connection.Unblock{ID: r.GetConnectionId()})
}

func (s *connections) change(ctx context.Context, merchantID, id string, q aggregate.Request, c aggregate.Command[connection.State]) (*ledgerv1.ConnectionResponse, error) {
	return s.answer(s.Connections.Runner.Do(ctx, connection.Stream(merchantID, id), q, c))
}

func (s *connections) answer(res connect.Result, err error) (*ledgerv1.ConnectionResponse, error) {
	if err != nil {
		return nil, err
	}
	return &ledgerv1.ConnectionResponse{
		Connection: s.view(res.State), Position: res.Position().String(), Replayed: res.Replayed,
	}, nil
}

// GetConnection implements ledgerv1.ConnectionServiceServer.
func (s *connections) GetConnection(ctx context.Context, r *ledgerv1.GetConnectionRequest) (*ledgerv1.Connection, error) {
	c, err := s.Connections.Load(ctx, r.GetMerchantId(), r.GetConnectionId())
	if err != nil {
		return nil, err
	}
	if !c.Exists() {
		return nil, aggregate.ErrNotFound("connection", r.GetConnectionId())
	}
	return s.show(ctx, c)
}

// ListConnections implements ledgerv1.ConnectionServiceServer.
func (s *connections) ListConnections(ctx context.Context, r *ledgerv1.ListConnectionsRequest) (*ledgerv1.ListConnectionsResponse, error) {
	if err := s.reach(ctx, projection.Connections().Name, r.GetMinPosition()); err != nil {
		return nil, err
	}
	found, next, err := projection.ListConnections(ctx, s.Work, projection.ConnectionFilter{
		MerchantID: r.GetMerchantId(), Gateway: r.GetGateway(), States: r.GetStates(),
	}, projection.Page{Size: r.GetPageSize(), Token: r.GetPageToken()})
	if err != nil {
		return nil, err
	}
	return s.list(ctx, found, next)
}

// ListOverdueConnections implements ledgerv1.ConnectionServiceServer.
func (s *connections) ListOverdueConnections(ctx context.Context, r *ledgerv1.ListOverdueConnectionsRequest) (*ledgerv1.ListConnectionsResponse, error) {
	found, next, err := projection.ListOverdueConnections(ctx, s.Work, projection.Page{Size: r.GetPageSize(), Token: r.GetPageToken()})
	if err != nil {
		return nil, err
	}
	return s.list(ctx, found, next)
}

func (s *connections) list(ctx context.Context, refs []projection.ConnectionRef, next string) (*ledgerv1.ListConnectionsResponse, error) {
	answer := &ledgerv1.ListConnectionsResponse{NextPageToken: next}
	for _, ref := range refs {
		c, err := s.Connections.Load(ctx, ref.Merchant, ref.ID)
		if err != nil {
			return nil, err
		}
		shown, err := s.show(ctx, c)
		if err != nil {
			return nil, err
		}
		answer.Connections = append(answer.Connections, shown)
	}
	return answer, nil
}

// show is a connection with what it holds up.
func (s *connections) show(ctx context.Context, c connection.State) (*ledgerv1.Connection, error) {
	shown := s.view(c)
	if c.Held() == "" {
		return shown, nil
	}
	var err error
	shown.HeldPayments, err = projection.CountHeld(ctx, s.Views, c.Merchant, c.ID, s.Clock.Now())
	return shown, err
}

// view shows a connection without its secrets.
func (s *connections) view(c connection.State) *ledgerv1.Connection {
	shown := &ledgerv1.Connection{
		MerchantId: c.Merchant, ConnectionId: c.ID, Gateway: c.Gateway, Processor: c.Processor, Mode: c.Mode, Url: c.URL,
		WebhookPath: s.Connections.WebhookPath(c), Blocked: c.Blocked, BlockedReason: c.BlockedReason,
		State: c.Status, Account: c.Account, AccountName: c.AccountName, PublishableKey: c.PublishableKey,
		DisconnectedReason: c.DisconnectedReason,
	}
	if !c.UpdateBy.IsZero() {
		shown.UpdateBy = timestamppb.New(c.UpdateBy)
	}
	if r := c.Refusal; r != nil {
		shown.Refusal = &ledgerv1.ConnectionRefusal{Reason: r.Reason, Message: r.Message, Account: r.Account, AccountName: r.AccountName}
	}
	return shown
}
