package rpc

import (
	"context"
	"crypto/rand"
	"encoding/base64"

	"google.golang.org/protobuf/proto"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/endpoint"
	"ledger.internal/ledger/internal/projection"
)

const (
	// maxEndpoints is how many endpoints a merchant may have, disabled ones included.
	maxEndpoints = 100
	// signingSecretSize is the size of a signing secret in bytes; Standard Webhooks has 24 to 64.
	signingSecretSize = 32
)

// endpoints is ledgerv1.EndpointService.
type endpoints struct {
	ledgerv1.UnimplementedEndpointServiceServer
	*Server
}

// CreateEndpoint implements ledgerv1.EndpointServiceServer. Its answer is the only one that shows the signing secret;
// a repeated request shows it again.
func (s *endpoints) CreateEndpoint(ctx context.Context, r *ledgerv1.CreateEndpointRequest) (*ledgerv1.EndpointResponse, error) {
	if err := s.merchantExists(ctx, r.GetMerchantId()); err != nil {
		return nil, err
	}
	id := givenOr(r.GetEndpointId(), "end", r.GetMerchantId(), r.GetRequestId())
	if err := s.roomFor(ctx, r.GetMerchantId(), id); err != nil {
		return nil, err
	}
	res, err := s.Endpoints.Do(ctx, endpoint.Stream(r.GetMerchantId(), id), request(r, s.Clock.Now()), endpoint.Create{
		Merchant: r.GetMerchantId(), ID: id,
		Settings: r.GetSettings(), ZoneKnown: zoneKnown(r.GetSettings().GetDateZone()),
		SigningSecret: newSigningSecret(),
	})
	if err != nil {
		return nil, err
	}
	answer := answerEndpoint(res)
	answer.Endpoint.SigningSecret = res.State.SigningSecret
	return answer, nil
}

// roomFor refuses an endpoint too many. One that is there already takes no room.
func (s *endpoints) roomFor(ctx context.Context, merchantID, id string) error {
	known, _, err := s.Endpoints.Load(ctx, endpoint.Stream(merchantID, id))
	if err != nil || known.Exists() {
		return err
	}
	n, err := s.CountEndpoints(ctx, merchantID)
	if err == nil && n >= maxEndpoints {
		err = (&aggregate.Error{Kind: aggregate.Exhausted, Reason: "ENDPOINT_LIMIT", Message: "a merchant has at most 100 endpoints"}).With("limit", "100")
	}
	return err
}

// newSigningSecret makes a secret up, written as Standard Webhooks has it. A request that is repeated meets the one
// that was stored.
func newSigningSecret() string {
	var b [signingSecretSize]byte
	_, _ = rand.Read(b[:]) // never fails
	return "whsec_" + base64.StdEncoding.EncodeToString(b[:])
}

// UpdateEndpoint implements ledgerv1.EndpointServiceServer.
func (s *endpoints) UpdateEndpoint(ctx context.Context, r *ledgerv1.UpdateEndpointRequest) (*ledgerv1.EndpointResponse, error) {
	return s.change(ctx, r.GetMerchantId(), r.GetEndpointId(), request(r, s.Clock.Now()), endpoint.Update{
		ID: r.GetEndpointId(), Settings: r.GetSettings(), ZoneKnown: zoneKnown(r.GetSettings().GetDateZone()),
	})
}

// DisableEndpoint implements ledgerv1.EndpointServiceServer.
func (s *endpoints) DisableEndpoint(ctx context.Context, r *ledgerv1.DisableEndpointRequest) (*ledgerv1.EndpointResponse, error) {
	return s.change(ctx, r.GetMerchantId(), r.GetEndpointId(), request(r, s.Clock.Now()), endpoint.Disable{
		ID: r.GetEndpointId(), Reason: endpoint.ByMerchant,
	})
}

func (s *endpoints) change(ctx context.Context, merchantID, id string, q aggregate.Request, c aggregate.Command[endpoint.State]) (*ledgerv1.EndpointResponse, error) {
	res, err := s.Endpoints.Do(ctx, endpoint.Stream(merchantID, id), q, c)
	if err != nil {
		return nil, err
	}
	return answerEndpoint(res), nil
}

func answerEndpoint(res aggregate.Result[endpoint.State]) *ledgerv1.EndpointResponse {
	return &ledgerv1.EndpointResponse{Endpoint: viewEndpoint(res.State), Position: res.Position().String(), Replayed: res.Replayed}
}

// GetEndpoint implements ledgerv1.EndpointServiceServer.
func (s *endpoints) GetEndpoint(ctx context.Context, r *ledgerv1.GetEndpointRequest) (*ledgerv1.Endpoint, error) {
	e, _, err := s.Endpoints.Load(ctx, endpoint.Stream(r.GetMerchantId(), r.GetEndpointId()))
	if err != nil {
		return nil, err
	}
	if !e.Exists() {
		return nil, aggregate.ErrNotFound("endpoint", r.GetEndpointId())
	}
	return viewEndpoint(e), nil
}

// viewEndpoint shows an endpoint without its secrets.
func viewEndpoint(s endpoint.State) *ledgerv1.Endpoint {
	settings := proto.CloneOf(s.Settings)
	settings.SecretKey = ""
	return &ledgerv1.Endpoint{
		MerchantId: s.Merchant, EndpointId: s.ID, Settings: settings, Disabled: s.Disabled, DisabledReason: s.DisabledReason,
	}
}

// ListDeliveries implements ledgerv1.EndpointServiceServer.
func (s *endpoints) ListDeliveries(ctx context.Context, r *ledgerv1.ListDeliveriesRequest) (*ledgerv1.ListDeliveriesResponse, error) {
	if err := s.reach(ctx, projection.Deliveries().Name, r.GetMinPosition()); err != nil {
		return nil, err
	}
	found, next, err := projection.ListDeliveries(ctx, s.Work, projection.DeliveryFilter{
		MerchantID:     r.GetMerchantId(),
		EndpointID:     r.GetEndpointId(),
		SubscriptionID: r.GetSubscriptionId(),
		OrderID:        r.GetOrderId(),
		States:         r.GetStates(),
	}, projection.Page{Size: r.GetPageSize(), Token: r.GetPageToken()})
	if err != nil {
		return nil, err
	}
	return &ledgerv1.ListDeliveriesResponse{Deliveries: found, NextPageToken: next}, nil
}

// GetDelivery implements ledgerv1.EndpointServiceServer.
func (s *endpoints) GetDelivery(ctx context.Context, r *ledgerv1.GetDeliveryRequest) (*ledgerv1.GetDeliveryResponse, error) {
	d, tries, err := projection.GetDelivery(ctx, s.Work, r.GetMerchantId(), r.GetDeliveryId())
	if err != nil {
		return nil, err
	}
	body, err := s.DeliveryBody(ctx, d)
	if err != nil {
		return nil, err
	}
	return &ledgerv1.GetDeliveryResponse{Delivery: d, Tries: tries, Body: body}, nil
}
