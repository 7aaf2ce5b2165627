// Package dialect brings the real adapters into the simulated world, each in front of its vendor's server as the adapter's
// own tests know it: stripetest and payabltest. The ledger calls the adapter, and the adapter an http.RoundTripper that
// leads to the server's handler without a socket, so that the seed decides what becomes of each request.
//
// It does what package neighbour does, and by the same Mischief, one floor below: not the answer to a charge is spoiled,
// but the HTTP exchange in which one is asked for, and of a charge that takes two exchanges any of the two. A request may
// be turned away, be lost, arrive long after its caller has given up, be answered by something that stands before the
// server, or be carried out and answered badly. What becomes of a payment after that, what a bank or a buyer does, is
// planned when it begins to wait for them, and happens in the world's time.
//
// Nothing in here starts a goroutine, waits, or reads a clock of its own. Webhooks are signed when they are delivered, as
// the vendors do, and go through the simulation's mail.
package dialect
