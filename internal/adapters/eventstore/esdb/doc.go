// Package esdb keeps the log in EventStoreDB (by its later name KurrentDB), on one node or on a cluster of them. Others
// may append to it too; what a ledger knows of streams it proves by exact revisions.
//
// It speaks the protocol itself, over the stubs of EventStoreDB's Go module, and leaves that module's client alone.
// The client's connection dies for good after a second of outage and keeps its callers waiting past their deadline, a
// call that is answered Unavailable leaves a connection behind that nobody can close, Close beside a call panics, and
// it can neither ask for the leader nor say which revision a conflict found. Of the protocol the log needs four calls.
//
// A generation is a connection to one node. Whoever finds that its node is gone, is not the leader or does not answer
// retires it; the next call discovers a node anew, one at a time for all callers and with growing pauses. What was out
// on the old one is tried again on the next: an append with the same ids at the same exact revision, for which the
// server answers what it answered the first time; a read from the event after the last one that came; a follower
// from the last event that was delivered, after a look whether that event still stands where it stood.
package esdb
