// Package sim lives the ledger's life a million times over, with everything going wrong that can, and looks whether a
// promise was broken.
//
// A world is made from a seed: merchants with callers who buy, refund, pause and cancel; gateways of five manners that
// charge and lie, or the real adapters for Stripe and payabl. in front of servers that do; receivers that are away; and
// one ledger after the other, for each is killed sooner or later. The ledger in it is the real one: aggregates, runner,
// codec, projections, handlers, look-ups, senders and the API's services, put together in ledger.go as cmd/ledger does,
// behind the doors of package door. What is not in it is what has proofs of its own: Watermill (handler.go drives
// bus.Window in its place), the network, and the disk; those meet the crash harness in cmd/ledger.
//
// Read it in this order:
//
//	scheduler.go   everybody waits at a door, and one call at a time goes on: the seed says which
//	clock.go       time, which passes when nobody has anything to do; the ledger's clock may be wrong
//	world.go       a world's steps: a call goes on, time passes, the ledger is started again
//	faults.go      what goes wrong: calls that fail before or after their effect, crashes, cut lines, wrong clocks
//	cluster.go, failover.go   a log that several servers keep, and what goes wrong between them
//	mix.go         what a seed's world is made of and what goes wrong in it how often
//	ledger.go, handler.go   one run of the ledger
//	gateways.go    what is behind it: gateways of package neighbour, and the real adapters of package dialect
//	caller.go, commands.go, mail.go, setup.go   those who use it
//	run.go, look.go   heal, come to rest, restart twice, build everything anew, check all invariants
//	coverage.go    what a long run has to have met, or it proves nothing
//	explain.go     the shortest way to a failure
//	script.go, exhaustive_test.go   lives of which every call is a crash
//
// In one half of the worlds the log is the ledger's alone, as SQLite is. In the other one several servers keep it, as with
// EventStoreDB: appends are dropped, come late or are never answered, subscriptions begin again further back, and what
// only a deposed leader had is gone. Rarely even subscriptions have shown that before. No server should do that; if one
// does, the ledger must notice and end, and all holds once its views and work are built anew.
//
// The promises stand in package invariant, which the crash harness, the demo and "ledger verify" share. Package
// neighbour has the gateways and receivers, package dialect the real adapters with their vendors' servers. Package
// planted puts bugs into the ledger and has the simulation find them.
//
// A seed is always the same run. Every goroutine but one stands still, in a testing/synctest bubble, so that nothing is
// left to the machine; what breaks that is mended, for a failure that cannot be seen again is worth little. The rules:
// what two goroutines share, they reach through a door, a channel or a lock that is not held over a door; nothing reads
// the machine's clock or draws from its randomness where that could be seen.
//
// To come: several replicas with leases, pauses and zombies; restores from older backups; old and new versions side by
// side.
package sim
