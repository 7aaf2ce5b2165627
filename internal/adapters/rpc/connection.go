package rpc

import (
	"context"
	"crypto/rand"
	"log/slog"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/connection"
)

// connections is ledgerv1.ConnectionService.
type connections struct {
	ledgerv1.UnimplementedConnectionServiceServer
	*Server
}

// CreateConnection implements ledgerv1.ConnectionServiceServer. The connection is written down before the gateway is
// told of it; a gateway that did not hear is told again by the same request sent again.
func (s *connections) CreateConnection(ctx context.Context, r *ledgerv1.CreateConnectionRequest) (*ledgerv1.ConnectionResponse, error) {
	if err := s.merchantExists(ctx, r.GetMerchantId()); err != nil {
		return nil, err
	}
	gw, ok := s.Gateways[r.GetGateway()]
	if !ok {
		return nil, aggregate.InvalidField("gateway", "GATEWAY_UNKNOWN", "there is no such gateway")
	}
	id := givenOr(r.GetConnectionId(), "con", r.GetMerchantId(), r.GetRequestId())
	res, err := s.Connections.Do(ctx, connection.Stream(r.GetMerchantId(), id), request(r, s.Clock.Now()), connection.Create{
		Merchant: r.GetMerchantId(), ID: id,
		Gateway: r.GetGateway(), Processor: r.GetProcessor(), URL: r.GetUrl(),
		WebhookSecret: givenSecret(r.GetWebhookSecret()),
	})
	if err != nil {
		return nil, err
	}
	if err := s.connect(ctx, gw, s.gatewayConnection(res.State)); err != nil {
		return nil, err
	}
	return answerConnection(res), nil
}

func answerConnection(res aggregate.Result[connection.State]) *ledgerv1.ConnectionResponse {
	return &ledgerv1.ConnectionResponse{
		Connection: viewConnection(res.State), Position: res.Position().String(), Replayed: res.Replayed,
	}
}

// givenSecret is the secret that the caller chose, or else a random one. A request that is repeated meets the one
// that was stored, so it need not come out the same twice.
func givenSecret(given string) string {
	if given != "" {
		return given
	}
	return rand.Text()
}

// connect tells a gateway of a connection, if it wants to be told.
func (s *connections) connect(ctx context.Context, gw gateway.Gateway, c gateway.Connection) error {
	connector, ok := gw.(gateway.Connector)
	if !ok {
		return nil
	}
	if err := connector.Connect(ctx, c); err != nil {
		s.Logger.WarnContext(ctx, "gateway not told of a connection", slog.String("connection", c.Merchant+"."+c.ID), slog.Any("error", err))
		return &aggregate.Error{Kind: aggregate.Unavailable, Reason: "GATEWAY_UNREACHABLE",
			Message: "the connection is kept, but its gateway could not be told; repeat the request with the same request id"}
	}
	return nil
}

func (c *Config) gatewayConnection(s connection.State) gateway.Connection {
	return GatewayConnection(c.BaseURL, s)
}

// GatewayConnection is a connection as its adapter needs it. baseURL is where gateways reach this service.
func GatewayConnection(baseURL string, s connection.State) gateway.Connection {
	return gateway.Connection{
		Merchant: s.Merchant, ID: s.ID, Gateway: s.Gateway, Processor: s.Processor, URL: s.URL, WebhookSecret: s.WebhookSecret,
		NotifyURL: baseURL + webhookPath(s.Gateway, s.Merchant, s.ID), Blocked: s.BlockedReason,
	}
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
	res, err := s.Connections.Do(ctx, connection.Stream(merchantID, id), q, c)
	if err != nil {
		return nil, err
	}
	return answerConnection(res), nil
}

// GetConnection implements ledgerv1.ConnectionServiceServer.
func (s *connections) GetConnection(ctx context.Context, r *ledgerv1.GetConnectionRequest) (*ledgerv1.Connection, error) {
	c, _, err := s.Connections.Load(ctx, connection.Stream(r.GetMerchantId(), r.GetConnectionId()))
	if err != nil {
		return nil, err
	}
	if !c.Exists() {
		return nil, aggregate.ErrNotFound("connection", r.GetConnectionId())
	}
	return viewConnection(c), nil
}

// viewConnection shows a connection without its secret.
func viewConnection(s connection.State) *ledgerv1.Connection {
	return &ledgerv1.Connection{
		MerchantId: s.Merchant, ConnectionId: s.ID, Gateway: s.Gateway, Processor: s.Processor, Mode: s.Mode, Url: s.URL,
		WebhookPath: webhookPath(s.Gateway, s.Merchant, s.ID), Blocked: s.Blocked, BlockedReason: s.BlockedReason,
	}
}
