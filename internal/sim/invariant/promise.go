package invariant

// Promise is one of the ledger's invariants.
type Promise struct {
	Number string // begins every violation of it
	Says   string
	// Where says what has to be given for Check to look at it, or who looks at it instead.
	Where string
}

// Who looks at a promise.
const (
	always    = "Check"
	withViews = "Check, with Views"
	withWork  = "Check, with Work"
	seen      = "Check, with Evidence"
	atRest    = "Check, AtRest"
	notYet    = "comes with its part of the ledger"
)

// All lists the invariants. Check looks at every one for which World holds something, and the rest have a function of
// their own here, or stand where they can be looked at.
func All() []Promise {
	return []Promise{
		{"I-01", "Every entry's debits equal its credits, every account is the sum of its postings, and what orders did to a merchant's money lies at his gateways.", always + "; " + withViews},
		{"I-02", "What the ledger has as captured and returned is what the gateways' own books have, but for what is still open.", seen},
		{"I-03", "No pay number is captured twice at the gateways with keys of ours.", seen},
		{"I-04", "Of every command that was acknowledged the events are in the log, where the answer said.", seen},
		{"I-05", "Every event has a cause that exists: a request, an event before it, an attempt that was asked for.", always + "; " + seen},
		{"I-06", "No more is returned of a payment than was captured and not charged back, unless the gateway did it by itself and the event says so.", always + "; " + seen},
		{"I-07", "Paid numbers are 1 to n, each paid once, and a failed attempt pays none.", always},
		{"I-08", "Revisions and positions have no gap and no repetition, ids are given once, recorded_at never goes back.", always},
		{"I-09", "A pay number has at most one attempt that may be sent, and in the end nothing is in doubt.", always + "; " + atRest},
		{"I-10", "Every event that has to be told makes exactly one notification per endpoint that wants it, the same bytes each time, and it is acknowledged or visibly given up. Nobody else hears of it.", withWork + "; " + seen},
		{"I-11", "Notifications of a subscription are acknowledged in the order of its events.", seen},
		{"I-12", "Rows say what the log says; made anew they are the same.", withViews + "; CompareViews and CompareWork"},
		{"I-13", "Cursors never go back and never pass the log's head.", withViews + "; " + withWork + "; Cursors"},
		{"I-14", "Every stream folds, by legal steps only, and to the same state each time.", always},
		{"I-15", "Nothing is charged before it is due, after the end, while it is held, or above what the buyer agreed to.", always},
		{"I-16", "A request has one effect and one answer, however often it comes.", always + "; " + seen},
		{"I-17", "A method that must not be tried again is not, and none is tried more often than dunning and card schemes allow.", always},
		{"I-18", "Nothing of one merchant's is in anything of another's.", "deliveries: Check, I-10; the rest " + notYet + ", when callers have names"},
		{"I-19", "Secrets that were planted are nowhere in log and rows, but in fields that are marked as secret.", "Check, with Canaries; logs and errors by who reads them"},
		{"I-20", "What was erased cannot be read any more.", notYet},
		{"I-21", "Starting again without anything to do changes neither log nor rows.", "Take and Snapshot.Changed"},
		{"I-22", "At rest queues are empty, nothing is due, parked or being sent.", atRest},
		{"I-23", "Every stream's hash chain holds: no byte of the log was changed.", always},
		{"I-24", "The same seed makes the same run.", "the simulation"},
		{"I-25", "A gateway's message that was acknowledged is kept until it is read.", seen},
		{"I-26", "Every administrative act and every refusal is in the audit log.", notYet},
	}
}
