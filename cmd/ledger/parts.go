package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/bus"
	"ledger.internal/ledger/internal/adapters/buyer"
	"ledger.internal/ledger/internal/adapters/connect"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/adapters/ipn"
	"ledger.internal/ledger/internal/adapters/process"
	"ledger.internal/ledger/internal/adapters/rpc"
	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/connection"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/merchant"
	"ledger.internal/ledger/internal/aggregate/numbers"
	"ledger.internal/ledger/internal/aggregate/subscription"
	"ledger.internal/ledger/internal/projection"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// What an empty ledger begins with.
const (
	firstMerchant   = "default"
	firstConnection = "sandbox"
)

// seed makes, on an empty log, a merchant with a connection to the sandbox: something to begin with.
func (s *service) seed(ctx context.Context) error {
	var head event.Position
	if err := s.persist(ctx, func(ctx context.Context) (err error) { head, err = s.log.Head(ctx); return err }); err != nil || !head.IsZero() {
		return err
	}
	request := func(what string) aggregate.Request {
		return aggregate.Request{ID: aggregate.InternalPrefix + "seed/" + what, Actor: "ledger", At: s.clock.Now()}
	}
	create := merchant.Create{ID: firstMerchant, Settings: merchant.Settings{Name: "Default merchant"}, ZoneKnown: true}
	if err := s.persist(ctx, func(ctx context.Context) error {
		_, err := s.merchants.Do(ctx, merchant.Stream(firstMerchant), request("merchant"), create)
		return err
	}); err != nil {
		return err
	}
	return s.persist(ctx, func(ctx context.Context) error {
		_, err := s.connections.Record(ctx, request("connection"), connect.Account{
			Merchant: firstMerchant, ID: firstConnection, Gateway: connection.Sandbox,
		})
		return err
	})
}

// introduce tells the sandbox of the connection that seed made. It does so at every start: the first one may have
// ended in between.
func (s *service) introduce(ctx context.Context) error {
	return s.connections.Introduce(ctx, firstMerchant, firstConnection)
}

// baseURL is where gateways reach this service.
func (s *service) baseURL() string {
	if s.cfg.PublicURL != "" {
		return s.cfg.PublicURL
	}
	return "http://" + s.http.Addr().String()
}

// openAddresses makes the addresses at which buyers come back from gateways. Their secret lies in the work store, for they
// have to be the same after a restart; were it lost, those who are away would find no payment, which wakes and webhooks
// settle all the same.
func (s *service) openAddresses(ctx context.Context) error {
	secret, err := s.work.Secret(ctx, "return addresses")
	if err != nil {
		return err
	}
	s.addresses, err = buyer.NewAddresses(s.baseURL(), secret)
	return err
}

// knownConnections lists the connections that there are: all, or those to one account of a gateway. What was written
// before is among them.
func (s *service) knownConnections(ctx context.Context, gatewayName, account string) (all []connect.Ref, err error) {
	head, err := s.log.Head(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.waitFor(ctx, projection.Connections().Name, head); err != nil {
		return nil, err
	}
	found, err := projection.FindConnections(ctx, s.work, gatewayName, account)
	for _, c := range found {
		all = append(all, connect.Ref{Merchant: c.Merchant, ID: c.ID})
	}
	return all, err
}

// circumstances are what a merchant and a connection say that a decision about a subscription may depend on.
func (s *service) circumstances(ctx context.Context, merchantID, connectionID string) (in subscription.Circumstances, err error) {
	m, _, err := s.merchants.Load(ctx, merchant.Stream(merchantID))
	if err != nil {
		return in, err
	}
	c, err := s.connections.Load(ctx, merchantID, connectionID)
	return subscription.Circumstances{Policies: m.Policies, Blocked: c.Held() != ""}, err
}

// hurry has what the handlers have set aside of a merchant's subscriptions tried again now.
func (s *service) hurry(merchantID string) {
	for _, h := range s.process.All() {
		s.bus.Hurry(h.Name, func(p work.Park) bool { return strings.HasPrefix(p.Stream, subscription.Stream(merchantID, "")) })
	}
}

// reserveNumbers takes a block of subscription numbers.
func (s *service) reserveNumbers(ctx context.Context) (first, count int64, err error) {
	res, err := aggregate.NewRunner(s.log, numbers.Type()).Do(ctx, numbers.Stream(), aggregate.Request{
		ID: aggregate.InternalPrefix + "block/" + rand.Text(), Actor: "ledger", At: s.clock.Now(),
	}, numbers.Reserve{})
	if err != nil {
		return 0, 0, err
	}
	block := res.Events[0].GetNumbersReserved()
	return block.First, block.Count, nil
}

// loopback are the addresses that notifications may go to besides public ones: as long as the ledger itself only
// listens on loopback, so do the receivers it is tried with.
func loopback() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

func (s *service) newSender() *ipn.Sender {
	return ipn.NewSender(ipn.Config{
		Store: s.work, Source: s.source(), Deliveries: s.deliveries, Clock: s.clock, Logger: s.logger, AllowPrivate: loopback(),
		Transport: s.points.receivers(),
	})
}

func (s *service) source() ipn.Source {
	return ipn.Source{Log: s.log, Endpoints: s.endpoints, Merchants: s.merchants}
}

func (s *service) openRPC(context.Context) (err error) {
	c := rpc.Config{
		Log: s.log, Clock: s.clock, Views: s.views, Work: s.work,
		Subscriptions: s.subscriptions, Merchants: s.merchants, Connections: s.connections, Endpoints: s.endpoints,
		Reservations: s.reservations, Circumstances: s.circumstances,
		NextNumber: s.numbers.Next, CountEndpoints: s.countEndpoints,
		SaveWebhook: s.saveWebhook, DeliveryBody: s.deliveryBody,
		WaitFor: s.waitFor, Operator: operator{s}, Version: version(), Logger: s.logger, Reflection: !s.cfg.NoReflection,
	}
	if s.manual != nil {
		c.AdvanceClock = s.advance
	}
	s.rpc, err = rpc.NewServer(c)
	return err
}

// countEndpoints counts a merchant's endpoints as the deliveries projection knows them.
func (s *service) countEndpoints(ctx context.Context, merchantID string) (n int, err error) {
	err = s.work.QueryRow(ctx, `SELECT count(*) FROM delivery_endpoints WHERE merchant_id = $1`, merchantID).Scan(&n)
	return n, err
}

// saveWebhook keeps a webhook and has it read. What came before, or seems not to have been kept, may be there all the
// same, and unread.
func (s *service) saveWebhook(ctx context.Context, w work.Webhook) (id int64, fresh bool, err error) {
	defer s.inbound.Nudge()
	return s.work.SaveWebhook(ctx, w)
}

// saveFetched keeps what a gateway was asked for, and has it read.
func (s *service) saveFetched(ctx context.Context, conn gateway.Connection, m gateway.Message) error {
	return s.rpc.SaveFetched(ctx, conn, m)
}

// listedConnections are those whose gateways are asked what has happened: all that were ever proved, for what was charged
// through one can be disputed whatever has become of it.
func (s *service) listedConnections(ctx context.Context) (all []process.Ref, err error) {
	found, err := projection.FindConnections(ctx, s.work, "", "")
	for _, c := range found {
		if c.State != "pending" && c.State != "refused" {
			all = append(all, process.Ref{Merchant: c.Merchant, Connection: c.ID, Since: c.CreatedAt})
		}
	}
	return all, err
}

// deliveryBody renders a notification as it was, or will be, sent, with the secret key left out.
func (s *service) deliveryBody(ctx context.Context, d *ledgerv1.Delivery) (string, error) {
	due, err := projection.FindDelivery(ctx, s.work, d.MerchantId, d.DeliveryId)
	if err != nil {
		return "", err
	}
	body, err := s.source().Body(ctx, due)
	return string(body.Redacted().Encode()), err
}

// waitFor waits until a projection has seen a position.
func (s *service) waitFor(ctx context.Context, name string, p event.Position) error {
	for _, f := range s.followers {
		if f.Name() == name {
			return f.WaitFor(ctx, p)
		}
	}
	return fmt.Errorf("there is no follower %s", name)
}

// operator shows those who run the ledger how its followers are.
type operator struct{ *service }

// Followers implements rpc.Operator.
func (o operator) Followers(context.Context) ([]*ledgerv1.Follower, error) {
	var all []*ledgerv1.Follower
	for _, f := range o.followers {
		all = append(all, &ledgerv1.Follower{Name: f.Name(), Position: f.Position().String()})
	}
	for _, h := range o.bus.Status() {
		all = append(all, &ledgerv1.Follower{Name: h.Handler, Position: h.Position.String(), Parked: int64(h.Parked)})
	}
	return all, nil
}

// Parked implements rpc.Operator.
func (o operator) Parked(ctx context.Context, p projection.Page) ([]*ledgerv1.Parked, string, error) {
	parks, next, err := projection.ReadPage(p, "parked", nil, func(behind *work.ParkKey, limit int) ([]work.Park, error) {
		return o.work.ListParks(ctx, behind, limit)
	}, work.Park.Key)
	var all []*ledgerv1.Parked
	for _, k := range parks {
		all = append(all, &ledgerv1.Parked{
			Follower: k.Follower, Stream: k.Stream, FromRevision: int64(k.From), Reason: k.Reason,
			Tries: uint32(k.Tries), RetryAt: timestamppb.New(k.RetryAt),
		})
	}
	return all, next, err
}

// ReplayParked implements rpc.Operator.
func (o operator) ReplayParked(ctx context.Context, follower, stream string) (cleared bool, reason string, err error) {
	err = o.bus.Replay(ctx, follower, stream)
	switch {
	case err == nil:
		return true, "", nil
	case errors.Is(err, bus.ErrNotParked):
		return false, "", &aggregate.Error{Kind: aggregate.NotFound, Reason: "NOT_PARKED", Message: follower + " has not parked " + stream}
	case ctx.Err() != nil:
		return false, "", ctx.Err()
	}
	return false, err.Error(), nil
}
