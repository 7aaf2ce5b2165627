package planted

// The files that most bugs are in.
const (
	aggregates    = "internal/aggregate/"
	subscriptions = "internal/aggregate/subscription/"
	processes     = "internal/adapters/process/"
	notifications = "internal/adapters/ipn/"
	projections   = "internal/projection/"
	adapters      = "internal/adapters/gateway/"
)

// bugs is the table. To add one, add a row: the text has to stand in the file exactly once, on as few lines as show
// what is wrong.
var bugs = []bug{
	// What is sent to the gateways.
	{name: "every call has a key of its own", edit: edit{processes + "process.go",
		`Key: a.Key, Amount:`,
		`Key: uuid.NewString(), Amount:`}},
	{name: "after a time-out the number is tried again under a new key", edit: edit{processes + "charge.go",
		`subscription.DoubtPayment{
			Now: p.Clock.Now(), SentAt: sentAt, Number: a.Number, Attempt: a.Attempt, Why: res.Why,
		}`,
		`subscription.ClearPayment{
			Now: p.Clock.Now(), Number: a.Number, Attempt: a.Attempt, Proof: "absent since " + sentAt.String(),
		}`}},
	{name: "a time-out is a decline", edit: edit{processes + "charge.go",
		`subscription.DoubtPayment{
			Now: p.Clock.Now(), SentAt: sentAt, Number: a.Number, Attempt: a.Attempt, Why: res.Why,
		}`,
		`subscription.DeclinePayment{
			Now: p.Clock.Now(), At: sentAt, Number: a.Number, Attempt: a.Attempt, Code: res.Why,
		}`}},
	{name: "what an earlier run may have sent is sent again", edit: edit{processes + "send.go",
		`return ok || intent.Position.Compare(p.Head) <= 0`,
		`return ok`}},
	{name: "a key counts as recognised for a day longer than it is", rare: true, edit: edit{processes + "send.go",
		`< t.KeyLifetime/2`,
		`< t.KeyLifetime+24*time.Hour`}},
	{name: "that a key was sent is forgotten before its outcome is recorded", edit: edit{processes + "send.go",
		`	case res.Class == gateway.NotSent:
		return res, sentAt, p.notSent(key, res)
	}
	return res, sentAt, nil`,
		`	case res.Class == gateway.NotSent:
		return res, sentAt, p.notSent(key, res)
	}
	p.sent.forget(key)
	return res, sentAt, nil`}},
	{name: "what was not sent counts as handled", edit: edit{processes + "send.go",
		`		return res, sentAt, p.notSent(key, res)`,
		`		return res, sentAt, nil`}},
	{name: "what was not sent counts as an attempt", edit: edit{processes + "send.go",
		`		return res, sentAt, p.notSent(key, res)`,
		`		res.Class = gateway.Rejected`}},
	{name: "a return is sent again without a look-up", edit: edit{processes + "send.go",
		`		if !p.mayRepeat(gw.Traits(), key, intent) {`,
		`		if false {`}, also: []edit{{processes + "send.go",
		`	res, found, err := find(ctx, intent.Metadata.RecordedAt.AsTime())
	if err != nil {
		return res, fmt.Errorf("look up %s: %w", key, err)
	}`,
		`	var res gateway.Result
	var found bool`}}},
	{name: "that a look-up finds nothing is proof at once", edit: edit{processes + "reconcile.go",
		`if now.Sub(l.From) < enough || p.sinceSent(l.Key) < enough {`,
		`if enough < 0 || now.IsZero() {`}},
	{name: "the calendar alone proves that a charge never arrived", rare: true, edit: edit{processes + "reconcile.go",
		`if now.Sub(l.From) < enough || p.sinceSent(l.Key) < enough {`,
		`if now.Sub(l.From) < enough {`}},
	{name: "a refund that came back is not noticed", edit: edit{processes + "refund.go",
		`r.Status == subscription.RefundSucceeded:`,
		`false:`}},
	{name: "the timer is gone before anything is decided", edit: edit{processes + "wake.go",
		`	next, err := wakeOne(ctx, t.Stream)`,
		`	if err := w.timers.MoveTimer(ctx, t.Stream, t.Due, time.Time{}); err != nil {
		return err
	}
	next, err := wakeOne(ctx, t.Stream)`}},
	{name: "after a wake nothing is waited for any more", edit: edit{processes + "wake.go",
		`return res.State.Due(now), nil`,
		`_ = res
	return time.Time{}, nil`}},
	{name: "a webhook that could not be dealt with counts as done", edit: edit{processes + "inbound.go",
		`return in.webhooks.WebhookFailed(ctx, w.ID, err.Error(), in.Clock.Now().Add(pause))`,
		`_ = pause
	return in.webhooks.WebhookDone(ctx, w.ID)`}},
	{name: "a message is given up because its gateway is away", rare: true, edit: edit{processes + "inbound.go",
		`|| w.Tries+1 >= inboundTries && hasAnswer(err):`,
		`|| w.Tries+1 >= inboundTries:`}},
	{name: "what is pending expires unasked", rare: true, edit: edit{subscriptions + "wake.go",
		`&& due(open.ExpiresAt) && !c.Unasked {`,
		`&& due(open.ExpiresAt) {`}},
	{name: "a reservation that ran out long ago still counts", rare: true, edit: edit{"internal/adapters/rpc/start.go",
		`	if c.Now.Before(held.At.Add(reservedFor / 2)) {`,
		`	if true {`}},
	{name: "a batch is applied again when the answer to its commit was lost", rare: true, edit: edit{"internal/projection/follow.go",
		`		if f.doubt {`,
		`		if false {`}},
	// What the subscription decides.
	{name: "pay numbers are counted from the attempts", edit: edit{subscriptions + "charge.go",
		`	number := d.Paid + 1
	attempt`,
		`	number := uint32(len(d.Attempts)) + 1
	attempt`}},
	{name: "a payment can be had before it is due", edit: edit{subscriptions + "charge.go",
		`case c.Now.Before(s.NextDue):`,
		`case false:`}},
	{name: "an attempt is settled as often as it is told", edit: edit{subscriptions + "settle.go",
		`if !a.Open() && a.Status != AttemptDeclined && a.Status != AttemptNotCharged {`,
		`if false {`}, also: []edit{{processes + "charge.go",
		`fmt.Sprintf("payment/%d/%d/%s", a.Number, a.Attempt, outcome)`,
		`fmt.Sprintf("payment/%d/%d/%s/%s", a.Number, a.Attempt, outcome, uuid.New())`}}},
	{name: "a late charge is dropped", edit: edit{subscriptions + "settle.go",
		`if !a.Open() && a.Status != AttemptDeclined && a.Status != AttemptNotCharged {`,
		`if !a.Open() {`}},
	{name: "a late charge revives what was cancelled", edit: edit{subscriptions + "settle.go",
		`case s.Ended() || a.Status == AttemptDeclined:`,
		`case a.Status == AttemptDeclined:`}},
	{name: "a charge in another currency is right if its figure is", edit: edit{subscriptions + "settle.go",
		`case !proto.Equal(c.Amount, a.Amounts.Full):`,
		`case c.Amount.GetMinorUnits() != a.Amounts.Full.MinorUnits && !proto.Equal(c.Amount, a.Amounts.Full):`}},
	{name: "a paid attempt can be declined", rare: true, edit: edit{subscriptions + "dunning.go",
		`	if !a.Open() {
		return nil, nil
	}`, ``}},
	{name: "a hard decline is tried again", rare: true, edit: edit{subscriptions + "dunning.go",
		`case c.Category == ledgerv1.DeclineCategory_DECLINE_CATEGORY_SOFT || d.Replacement != a.Replacement:`,
		`default:`}},
	{name: "a stop order is tried again", edit: edit{subscriptions + "dunning.go",
		`	case c.StopOrder || d.Stopped:`,
		`	case d.Stopped:`}, also: []edit{{subscriptions + "dunning.go",
		`	if c.Expired || c.Category ==`,
		`	if c.StopOrder || c.Expired || c.Category ==`}, {subscriptions + "dunning.go",
		`	if c.StopOrder || over {`,
		`	if over {`}}},
	{name: "a second attempt begins while nobody knows of the first", edit: edit{subscriptions + "wake.go",
		`	open, isOpen := s.trying()
	switch {
	case s.endsBy(c.Now):`,
		`	open, isOpen := s.trying()
	isOpen = isOpen && open.Status == AttemptPending
	switch {
	case s.endsBy(c.Now):`}, also: []edit{{subscriptions + "charge.go",
		`	s.NextAttempt = time.Time{}
	return s`,
		`	return s`}}},
	{name: "the last period is charged before the end that was asked for", edit: edit{subscriptions + "wake.go",
		`	case s.endsBy(c.Now):`,
		`	case s.endsBy(c.Now) && !due(s.NextAttempt):`}},
	{name: "an open dispute holds nothing", rare: true, edit: edit{subscriptions + "wake.go",
		`return s.Mismatch || s.Status == Paused || s.Held() ||`,
		`return s.Mismatch || s.Status == Paused ||`}},
	{name: "pending refunds are never looked up", rare: true, edit: edit{subscriptions + "wake.go",
		`if r.Open() && !r.DoubtfulFrom.IsZero() {`,
		`if r.Status == RefundUnknown && !r.DoubtfulFrom.IsZero() {`}},
	{name: "after a pause all that was missed is charged", edit: edit{subscriptions + "pause.go",
		`case s.Resumes == PastDue || trying || s.NextDue.After(now):`,
		`case true || s.Resumes == PastDue || trying || s.NextDue.After(now):`}},
	{name: "catching up charges every period that was missed", edit: edit{subscriptions + "terms.go",
		`	if first.After(now) {
		return plan{next: first}
	}`,
		`	if first.After(now) || true {
		return plan{next: first}
	}`}},
	{name: "refunds under way do not count", rare: true, edit: edit{subscriptions + "refund.go",
		`		if r.Parent == ch.OrderID && r.Open() {`,
		`		if false {`}},
	{name: "a refund succeeds as often as it is told", edit: edit{subscriptions + "refund.go",
		`if r.Status == RefundSucceeded || r.Status == RefundReversed {`,
		`if false {`}, also: []edit{{processes + "refund.go",
		`return "refund/" + r.ID + "/" + outcome`,
		`return "refund/" + r.ID + "/" + outcome + uuid.NewString()`}}},
	{name: "what was charged back can be refunded as well", rare: true, edit: edit{subscriptions + "refund.go",
		`money.SubAmounts(money.SubAmounts(c.Amounts, c.Refunded), c.ChargedBack)`,
		`money.SubAmounts(c.Amounts, c.Refunded)`}},
	{name: "parts are split in floating point", edit: edit{aggregates + "money/amounts.go",
		`		hi, lo := bits.Mul64(uint64(total), uint64(w))
		share, remainder := bits.Div64(hi, lo, sum) // total*w/sum <= total, so it fits
`,
		`		_, _ = bits.Mul64(uint64(total), uint64(w))
		share, remainder := uint64(float32(total)*(float32(w)/float32(sum))), uint64(0)
`}},
	{name: "every block of numbers is the first one", edit: edit{aggregates + "numbers/numbers.go",
		`first := s.Blocks*BlockSize + 1`,
		`first := min(s.Blocks, 0)*BlockSize + 1`}},

	// How decisions become true.
	{name: "an append of unknown outcome counts as done", edit: edit{aggregates + "runner.go",
		`		if unsure = true; errors.Is(err, event.ErrClosed) {
			return last, err
		}`,
		`		return last, nil
`}, also: []edit{{aggregates + "runner.go",
		`if _, alone := r.log.(event.Exclusive); !alone || r.doubt.Load() {`,
		`if r.doubt.Load() {`}}},
	{name: "requests of before the restart are not remembered", edit: edit{aggregates + "runner.go",
		`	return f.note(e)
`,
		`	f.revision, f.last = e.Revision, e.Metadata
	return f
`}},
	{name: "the time goes back with the clock", edit: edit{aggregates + "runner.go",
		`last != nil && at.Before(last.AsTime()) {`,
		`last != nil && at.Before(last.AsTime()) && false {`}},
	{name: "only the first event of a request is chained", edit: edit{aggregates + "runner.go",
		`		prev = e.Metadata.Hash
`,
		``}},
	{name: "fractions of a second are lost in the log", rare: true, edit: edit{aggregates + "event/writejson.go",
		`	case nanos == 0:`,
		`	case nanos < 500_000_000:`}},
	{name: "when a stream wants attention is taken from before the decision", edit: edit{aggregates + "runner.go",
		`r.typ.Due(s, time.Time{})`,
		`r.typ.Due(f.state, time.Time{})`}},
	{name: "a request that comes again with another content is answered as done", edit: edit{aggregates + "runner.go",
		`m.hash != [32]byte{} && q.Hash != m.hash {`,
		`false {`}},

	// A log that several servers keep.
	{name: "what an append wrote is not read back", edit: edit{aggregates + "runner.go",
		`if _, alone := r.log.(event.Exclusive); !alone || r.doubt.Load() {`,
		`if false {`}},
	{name: "what is delivered again is applied again", edit: edit{projections + "follow.go",
		`if order := m.Position.Compare(last); order < 0 || order == 0 && m.Kind == event.KindEvent {`,
		`if order := m.Position.Compare(last); order < -1 {`}},
	{name: "a cursor is not compared with what the log has there", rare: true, edit: edit{"internal/adapters/eventstore/memory/memory.go",
		`last > 0 && l.all[last-1].ID != c.LastID {`,
		`last > 0 && false {`}},

	// What callers and gateways are answered.
	{name: "a webhook is acknowledged though it was not kept", edit: edit{"internal/adapters/rpc/webhook.go",
		`	return h.notKept(w, r, err)`,
		`	return http.StatusOK`}},
	{name: "a first payment is not reserved", rare: true, edit: edit{"internal/adapters/rpc/start.go",
		`	err := reserve(ctx, c)
`,
		`	_ = reserve
	var err error
`}},
	{name: "a number that was used is given back", edit: edit{"internal/adapters/rpc/start.go",
		`if res.Replayed || refusedBy(err) {`,
		`if true {`}},

	// The adapters.
	{name: "stripe: an internal error is a decline", edit: edit{adapters + "stripe/call.go",
		`	return unknown("status %d, %s %s: %s", reply.Status, e.Type, e.Code, e.Message)
}

// errorOf`,
		`	return e.result("")
}

// errorOf`}},
	{name: "stripe: a look-up trusts our clock", rare: true, edit: edit{adapters + "stripe/lookup.go",
		`	skew = time.Hour`,
		`	skew = 5 * time.Minute`}},
	{name: "stripe: a customer is made anew for every call", edit: edit{adapters + "stripe/charge.go",
		`fmt.Sprintf("%s-customer-%d", c.Key, try)`,
		`fmt.Sprintf("%s-customer-%d-%d", c.Key, try, time.Now().UnixNano())`}, also: []edit{{adapters + "stripe/charge.go",
		`	"strings"

	stripego`,
		`	"strings"
	"time"

	stripego`}, {adapters + "stripe/charge.go",
		`Params: as(ctx, conn, c.Key), Amount: &units,`,
		`Params: as(ctx, conn, c.Key+customer), Amount: &units,`}}},
	{name: "stripe: a decline on Stripe's page is the end", rare: true, edit: edit{adapters + "stripe/lookup.go",
		`		case i.Metadata[metaCheckout] != "":`,
		`		case false:`}},
	{name: "stripe: who failed to prove himself may still pay", rare: true, edit: edit{adapters + "stripe/lookup.go",
		`		case authenticationFailed[i.lastError().Code]:`,
		`		case false:`}},
	{name: "stripe: a refund that came back has failed from the start", rare: true, edit: edit{adapters + "stripe/intent.go",
		`cmp.Or(r.FailureReason, r.Status), Reversed: true,`,
		`cmp.Or(r.FailureReason, r.Status),`}},
	{name: "payabl: a payment is sent again without a look-up", rare: true, edit: edit{adapters + "payabl/adapter.go",
		`gateway.Traits{Processor: "payabl", Horizon: horizon, ListEvery: 24 * time.Hour}`,
		`gateway.Traits{Horizon: horizon, KeyLifetime: 24 * time.Hour}`}},
	{name: "payabl: a consent is charged again while nobody has heard of the payment", edit: edit{adapters + "payabl/find.go",
		`	if err != nil || len(t.sales) > 0 {
		return t, err
	}
	t.redirects`,
		`	if err != nil {
		return t, err
	}
	t.sales = nil
	t.redirects`}},
	{name: "payabl: an answer that it does not know itself is a decline", edit: edit{adapters + "payabl/code.go",
		`	case doubt:
		return gateway.Result{Class: gateway.Unknown, Why: why}, true
`,
		``}},

	// Handlers.
	{name: "the cursor passes what is still being handled", edit: edit{"internal/adapters/bus/window.go",
		`	if before := s.at.Prev(); before != nil {
		before.Value.(*slot).upTo = s.upTo
	} else {`,
		`	if w.cursor.Position.Compare(s.upTo.Position) < 0 {`}},
	{name: "an event is done when it goes out", edit: edit{"internal/adapters/bus/window.go",
		`	w.lanes[s.event.Stream].busy = true
	w.out++`,
		`	w.lanes[s.event.Stream].busy = true
	w.finish(s)
	w.out++`}},
	{name: "two events of a stream go out at once", edit: edit{"internal/adapters/bus/window.go",
		`	s := w.ready.Remove(front).(*slot)
	s.wait = nil
	w.lanes[s.event.Stream].busy = true`,
		`	s := w.ready.Remove(front).(*slot)
	s.wait = nil
	l := w.lanes[s.event.Stream]
	l.slots = l.slots[1:]
	w.finish(s)
	w.prepare(s.event.Stream, l)`}},
	{name: "a park begins behind the event that failed", edit: edit{"internal/adapters/work/parks.go",
		`p.Follower, p.Stream, int64(p.From), p.Reason`,
		`p.Follower, p.Stream, int64(p.From)+1, p.Reason`}},

	// Projections.
	{name: "the cursor is saved before the rows", edit: edit{projections + "follow.go",
		`		if err := f.store.Update(ctx, update); err != nil {`,
		`		ahead := f.at
		for _, m := range batch {
			ahead.Cursor.Position = m.Position
			if m.Kind == event.KindEvent {
				ahead.Cursor.LastPosition, ahead.Cursor.LastID = m.Position, m.Event.ID
			}
		}
		if err := f.store.Update(ctx, func(tx Tx) error { return f.seat.Save(tx, ahead) }); err != nil {
			return err
		}
		if err := f.store.Update(ctx, update); err != nil {`}},
	{name: "the rows are one transaction and the cursor another", edit: edit{projections + "follow.go",
		`		return f.seat.Save(tx, to)
	}`,
		`		return nil
	}`}, also: []edit{{projections + "follow.go",
		`		f.unsaved, f.doubt = 0, false
	} else {`,
		`		if err := f.store.Update(ctx, func(tx Tx) error { return f.seat.Save(tx, to) }); err != nil {
			return err
		}
		f.unsaved, f.doubt = 0, false
	} else {`}}},
	{name: "a timer that is there is not moved", edit: edit{projections + "timers.go",
		`ON CONFLICT (stream) DO UPDATE SET due_at = excluded.due_at`,
		`ON CONFLICT (stream) DO NOTHING`}},
	{name: "a wake removes a timer that was set meanwhile", rare: true, edit: edit{"internal/adapters/work/timers.go",
		`DELETE FROM timers WHERE stream = $1 AND due_at = $2`,
		`DELETE FROM timers WHERE stream = $1 AND $2 = $2`}},
	{name: "a resumed subscription is listed as paused", rare: true, edit: edit{projections + "subscriptionchange.go",
		`		r.resumed(k.SubscriptionResumed)
`,
		``}},
	{name: "a reversed refund is posted a second time instead of back", edit: edit{aggregates + "journal/journal.go",
		`refund(k.RefundReversed, first, back), true`,
		`refund(k.RefundReversed, first, forth), true`}},
	{name: "fees are posted on one side", edit: edit{aggregates + "journal/journal.go",
		`	n.credit(Gateway(n.connection), m.GetCurrencyCode(), m.GetMinorUnits())
}`,
		`}`}},
	{name: "all money is posted on the first connection", edit: edit{aggregates + "journal/journal.go",
		`	if connection == "" {
		connection = first`,
		`	if connection != first {
		connection = first`}},

	// Notifications.
	{name: "notifications of a subscription do not wait for each other", edit: edit{projections + "deliveries.go",
		`	if waits > 0 {`,
		`	if waits < 0 {`}},
	{name: "the turn passes to the newest notification", edit: edit{projections + "deliveryqueue.go",
		`concluded_at IS NULL ORDER BY revision LIMIT 1`,
		`concluded_at IS NULL ORDER BY revision DESC LIMIT 1`}},
	{name: "every try has a webhook id of its own", edit: edit{notifications + "deliver.go",
		`return message{id: d.ID,`,
		`return message{id: uuid.NewString(),`}},
	{name: "no answer is an acknowledgement", edit: edit{notifications + "deliver.go",
		`	case a.delivered():`,
		`	case a.delivered() || a.status == 0:`}},
	{name: "a receiver that is gone is tried again", edit: edit{notifications + "deliver.go",
		`	case a.status == http.StatusGone && s.gone(ctx, d, m, t):`,
		`	case a.status == http.StatusGone && false:`}},
	{name: "a notification ends as a row before it ends as an event", edit: edit{notifications + "deliver.go",
		`	q := s.request("delivery/"+d.ID, d)
	at := q.At
`,
		`	q := s.request("delivery/"+d.ID, d)
	at := q.At
	s.write(ctx, d, func(tx projection.Tx) error {
		_, err := projection.ConcludeDelivery(tx, c, at)
		return err
	})
`}},
	{name: "a notification tells of the subscription as it is and not as it was", rare: true, edit: edit{notifications + "source.go",
		`			return before, e, nil
`,
		`			for raw, err := range s.Log.Read(ctx, stream, 0) {
				if err != nil {
					return before, e, err
				}
				now, err := event.Decode(raw)
				if err != nil {
					return before, e, err
				}
				if now.Revision > revision {
					before = subscription.Evolve(before, now.Event)
				}
			}
			return before, e, nil
`}},
	{name: "a notification is written by the endpoint's settings as they are now", rare: true, edit: edit{notifications + "source.go",
		`n.Endpoint, err = s.Endpoints.LoadAt(ctx, d.Endpoint, d.EndpointAt); err`,
		`n.Endpoint, _, err = s.Endpoints.Load(ctx, d.Endpoint); err`}},
	{name: "a notification is forgotten when the process ends while it is being sent", edit: edit{projections + "deliveryqueue.go",
		`WHERE state = 'sending' AND (lease_until <= $2 OR lease_owner = $1)`,
		`WHERE state = 'sending' AND $2 < 0 AND lease_owner = $1`}},
}
