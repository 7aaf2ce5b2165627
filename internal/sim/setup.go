package sim

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/connection"
	"ledger.internal/ledger/internal/aggregate/endpoint"
	"ledger.internal/ledger/internal/aggregate/merchant"
	"ledger.internal/ledger/internal/sim/dialect"
	"ledger.internal/ledger/internal/sim/neighbour"
)

// populate makes the merchants with their connections and endpoints, the gateways and receivers behind them, and the
// callers.
func (w *world) populate() error {
	r := rand.New(rand.NewPCG(w.seed, 3))
	w.receivers = neighbour.NewReceivers(neighbour.ReceiversConfig{
		Now: w.clock.Now, Random: rand.New(rand.NewPCG(w.seed, 4)), Mischief: w.mix.Receivers, Hit: w.hit,
	})
	for i := range w.mix.Gateways {
		name := fmt.Sprintf("gateway%d", i+1)
		w.gateways[name] = w.bank(i)
		w.names = append(w.names, name)
		w.accounts = append(w.accounts, fmt.Sprintf("account%d", i+1))
	}
	for i := range w.mix.Merchants {
		if err := w.settle(fmt.Sprintf("m%d", i+1), r); err != nil {
			return err
		}
	}
	for i := range w.mix.Callers {
		w.customers = append(w.customers, &customer{
			world: w, name: fmt.Sprintf("caller%d", i+1), merchant: fmt.Sprintf("m%d", 1+i%w.mix.Merchants),
			random: rand.New(rand.NewPCG(w.seed, uint64(20+i))),
		})
	}
	return nil
}

// bank makes a world's i-th gateway.
func (w *world) bank(i int) bank {
	random := rand.New(rand.NewPCG(w.seed, uint64(10+i)))
	if i < len(w.mix.Adapters) && w.mix.Adapters[i] != "" {
		return vendor{dialect.New(dialect.Config{
			Kind: w.mix.Adapters[i], Now: w.clock.Now, Random: random, Mischief: w.mix.Gateway, Send: w.post, Hit: w.hit,
		})}
	}
	return manners{neighbour.NewGateway(neighbour.GatewayConfig{
		Behaviour: w.mix.Gateways[i], Now: w.clock.Now, Random: random, Mischief: w.mix.Gateway, Send: w.post, Hit: w.hit,
	})}
}

// settle makes a merchant, by the ledger's own decisions where it has any: connections to gateways that only the
// simulation knows are written as events.
func (w *world) settle(m string, r *rand.Rand) error {
	ctx := context.Background()
	request := func(what string) aggregate.Request {
		return aggregate.Request{ID: what, Actor: "api", At: beginning}
	}
	if _, err := aggregate.NewRunner(w.log, merchant.Type()).Do(ctx, merchant.Stream(m), request("merchant"), merchant.Create{
		ID: m, Settings: merchant.Settings{Name: m, Policies: policies(r)}, ZoneKnown: true,
	}); err != nil {
		return err
	}
	for i, account := range w.accounts {
		c := &ledgerv1.ConnectionCreated{
			MerchantId: m, ConnectionId: account, Gateway: fmt.Sprintf("gateway%d", i+1), Processor: connection.Stripe,
			Mode: ledgerv1.Mode_MODE_TEST, WebhookSecret: accountOf(m, account).WebhookSecret, Url: accountOf(m, account).URL,
		}
		if _, err := aggregate.NewRunner(w.log, connection.Type()).Do(ctx, connection.Stream(m, account), request("connection"), given[connection.State]{
			{Kind: &ledgerv1.Event_ConnectionCreated{ConnectionCreated: c}},
		}); err != nil {
			return err
		}
		if err := w.gateways[c.Gateway].Connect(ctx, accountOf(m, account)); err != nil {
			return err
		}
	}
	for i := range w.mix.Endpoints {
		id := fmt.Sprintf("e%d", i+1)
		secret := "whsec_" + base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%-24s", m+id))
		settings := endpointSettings(m, i+1)
		if _, err := aggregate.NewRunner(w.log, endpoint.Type()).Do(ctx, endpoint.Stream(m, id), request("endpoint"), endpoint.Create{
			Merchant: m, ID: id, Settings: settings, ZoneKnown: true, SigningSecret: secret,
		}); err != nil {
			return err
		}
		if err := w.receivers.Expect(m, id, secret); err != nil {
			return err
		}
	}
	return nil
}

// endpointSettings are those of a merchant's i-th endpoint.
func endpointSettings(m string, i int) *ledgerv1.EndpointSettings {
	id := fmt.Sprintf("e%d", i)
	s := &ledgerv1.EndpointSettings{Url: neighbour.URL(m, id), SecretKey: "canary-key-" + m + id}
	if i > 1 {
		s.Types = []ledgerv1.IpnType{ledgerv1.IpnType_IPN_TYPE_SALE, ledgerv1.IpnType_IPN_TYPE_REFUND}
	}
	return s
}

// given is a command that has been decided on already.
type given[S any] []*ledgerv1.Event

// Decide implements aggregate.Command.
func (g given[S]) Decide(S) ([]*ledgerv1.Event, error) { return g, nil }

// accountOf is a merchant's account as its gateway knows it.
func accountOf(merchantID, id string) gateway.Connection {
	name := "gateway" + strings.TrimPrefix(id, "account")
	return gateway.Connection{Merchant: merchantID, ID: id, Gateway: name, Processor: connection.Stripe,
		// Each account has an address on this machine: no adapter sends a secret to an address of anybody else's.
		URL:           "http://127.1." + strings.TrimPrefix(merchantID, "m") + "." + strings.TrimPrefix(id, "account"),
		WebhookSecret: "canary-webhook-" + merchantID + id, NotifyURL: home + "/webhooks/" + name + "/" + merchantID + "/" + id}
}

// home is where gateways reach the ledger.
const home = "https://ledger.example"
