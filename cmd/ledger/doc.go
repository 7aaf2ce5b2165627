// Ledger remembers every step of every subscription as events, charges through payment gateways, tells merchants by
// instant payment notifications, and answers services (gRPC), other people's code (REST) and analysts.
//
// # A tour, bottom up
//
// The words: a merchant sells on terms to a buyer; their agreement is a subscription. Its payments have pay numbers
// 1, 2, 3 …, each paid at most once, by an attempt. What the merchant sees as one transaction is an order. A
// connection is the merchant's account at a gateway, an endpoint is where his notifications go, a delivery is one
// notification for one endpoint.
//
// api/proto says it all once: event.proto has the one list of everything that can happen, the services have what can
// be asked.
//
// internal/aggregate decides. An aggregate is a pure pair: a command's Decide says which events follow from a state,
// Evolve says which state follows from an event. Runner (runner.go) makes a decision true by appending its events to
// the log at the exact revision; event.Log is the log's contract, event/storetest its suite. Read subscription/refund.go
// for one feature from command to state. journal says, as purely, which accounts an event debits and credits.
//
// internal/projection copies events into rows that can be queried: orders, pay numbers, subscriptions, what is in
// doubt, the journal with its trial balance and statements, and, in the work store, deliveries and timers. A view is what
// analysts open of them; rebuild makes them anew from the log.
//
// internal/adapters is the outside world. bus carries events to handlers, one at a time per stream, and parks what
// keeps failing; process are the handlers: charge, refund and store methods at the gateways, wake what is due, look up
// what is in doubt, take in webhooks. gateway is the contract of the gateways and sandbox the one that comes with the
// program. connect opens merchants' connections, with credentials that seal keeps under the master key, and buyer answers
// whom a gateway sends back. ipn renders, signs and delivers notifications. rpc answers gRPC and REST, and docs explains
// them. export writes rows for spreadsheets.
// eventstore, db, work and clock keep things and tell the time: the log is embedded (sqlite) or elsewhere (esdb), and
// transfer copies the one into the other.
//
// The way is always the same: a command decides, an append makes it true, followers act on it, and what they learn
// comes back as the next command. No layer looks back up, and no transaction spans two stores.
//
// cmd/ledger, here, ties it together: config.go has every setting and settings.go says where their values come from,
// wire.go has the visible lists of projections, handlers and gateways, and each subcommand a file of its own. logplace.go
// opens the log from its setting, wherever it is; await.go and steady.go are about one that is away; copylog.go moves a
// ledger from one log to another.
package main
