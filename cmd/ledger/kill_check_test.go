package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"slices"

	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/subscription"
	"ledger.internal/ledger/internal/sim/invariant"
)

// check compares what was promised with what is there, now that everything has come to rest.
func (s *siege) check() {
	s.t.Helper()
	ledger, err := open(s.ctx, config{
		DataDir: s.data, Log: s.server.url(), GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0", Clock: "manual",
	}, slog.New(slog.DiscardHandler))
	s.ok(err)
	defer func() { s.ok(ledger.close()) }()
	seen := s.evidence()
	r := s.verified(ledger, seen)
	for _, violation := range r.Violations {
		s.violated("broken: %s", violation)
	}
	s.checkAcked(ledger, seen.Acks)
	s.checkCaptured(seen.Captures)
	s.checkRefunded(ledger, seen.Returns)
	s.checkSettled(ledger)
	s.checkTold(ledger)
	s.sum(r)
}

// verify has the program itself check what the last ledger left, as an operator would.
func (s *siege) verify() {
	s.t.Helper()
	cmd := exec.CommandContext(s.ctx, s.release, "verify", "--data-dir="+s.data, "--log="+s.server.url())
	cmd.Env = []string{"HOME=" + s.dir, "TMPDIR=" + s.dir}
	if out, err := cmd.CombinedOutput(); err != nil {
		s.violated("ledger verify: %v\n%s", err, out)
	}
}

// verified lets the projections catch up and checks every promise.
func (s *siege) verified(ledger *service, seen invariant.Evidence) *invariant.Report {
	s.t.Helper()
	head, err := ledger.log.Head(s.ctx)
	s.ok(err)
	ctx, stop := context.WithCancel(s.ctx)
	ended := make(chan error, len(ledger.followers))
	for _, f := range ledger.followers {
		go func() { ended <- f.Run(ctx) }()
	}
	for _, f := range ledger.followers {
		s.ok(f.WaitFor(ctx, head))
	}
	r, err := invariant.Check(ctx, invariant.World{Log: ledger.log, Views: ledger.views, Work: ledger.work, Evidence: seen,
		AtRest: true, Now: ledger.clock.Now()})
	stop()
	for range ledger.followers {
		err = errors.Join(err, <-ended)
	}
	s.ok(err)
	return r
}

// checkAcked checks that everything that was acknowledged is in the log, where the answer said, and once.
func (s *siege) checkAcked(ledger *service, acks []invariant.Ack) {
	s.t.Helper()
	head, err := ledger.log.Head(s.ctx)
	s.ok(err)
	streams := map[string][]event.Recorded{}
	for _, a := range acks {
		events, read := streams[a.Stream]
		if !read {
			events = s.events(ledger, a.Stream)
			streams[a.Stream] = events
		}
		if problem := missing(a, events, head); problem != "" {
			s.violated("%s on %s was acknowledged at revision %d, position %s: %s", a.RequestID, a.Stream, a.Revision, a.Position, problem)
		}
	}
}

func (s *siege) events(ledger *service, stream string) (all []event.Recorded) {
	s.t.Helper()
	for raw, err := range ledger.log.Read(s.ctx, stream, 0) {
		s.ok(err)
		e, err := event.Decode(raw)
		s.ok(err)
		all = append(all, e)
	}
	return all
}

// missing says what the log lacks of an acknowledged command; "" if nothing.
func missing(a invariant.Ack, events []event.Recorded, head event.Position) string {
	if int64(len(events)) <= a.Revision {
		return fmt.Sprintf("the stream ends at revision %d", len(events)-1)
	}
	position, err := event.ParsePosition(a.Position)
	if err != nil || position.Compare(head) > 0 {
		return fmt.Sprintf("the log ends at %s (%v)", head, err)
	}
	made := slices.DeleteFunc(slices.Clone(events), func(e event.Recorded) bool { return e.Metadata.RequestId != a.RequestID })
	if len(made) == 0 {
		var s subscription.State
		for _, e := range events[:a.Revision+1] {
			s = subscription.Evolve(s, e.Event)
		}
		if s.Ended() {
			return "" // a cancellation of what had ended
		}
		return "the stream has no event of it"
	}
	last := made[len(made)-1]
	if int(last.Revision-made[0].Revision) != len(made)-1 {
		return fmt.Sprintf("it was done more than once: its events stand from revision %d to %d", made[0].Revision, last.Revision)
	}
	if int64(last.Revision) > a.Revision || !a.Waited && !a.Replayed && (int64(last.Revision) != a.Revision || last.Position != position) {
		return fmt.Sprintf("its last event is revision %d at %s", last.Revision, last.Position)
	}
	return ""
}

// checkCaptured checks the gateway's own book: no payment was ever taken twice.
func (s *siege) checkCaptured(captures []invariant.Capture) {
	s.t.Helper()
	type payment struct {
		subscription string
		number       uint32
	}
	times := map[payment]int{}
	for _, c := range captures {
		times[payment{c.Subscription, c.PayNumber}]++
	}
	for p, n := range times {
		if n > 1 {
			s.violated("pay number %d of %s was captured %d times", p.number, p.subscription, n)
		}
	}
}

// checkRefunded compares the refunds in the gateway's own book with those in the log, both ways.
func (s *siege) checkRefunded(ledger *service, returns []invariant.Return) {
	s.t.Helper()
	known := map[string]bool{}
	for _, d := range s.drivers {
		for _, b := range d.bought {
			for _, e := range s.events(ledger, b.stream()) {
				if r := e.GetRefundSucceeded(); r != nil {
					known[r.Reference] = true
				}
			}
		}
	}
	byKey := map[string]int{}
	for _, r := range returns {
		if byKey[r.Key]++; byKey[r.Key] > 1 {
			s.violated("the refund with key %s was carried out %d times", r.Key, byKey[r.Key])
		}
		if !known[r.Reference] {
			s.violated("the gateway has returned %s, and the ledger does not know it", r.Reference)
		}
		delete(known, r.Reference)
	}
	for id := range known {
		s.violated("the ledger says that %s was returned, and the gateway does not know it", id)
	}
}

// checkSettled checks that nothing that was asked for was forgotten: every attempt and refund has its outcome.
func (s *siege) checkSettled(ledger *service) {
	s.t.Helper()
	for _, d := range s.drivers {
		for _, b := range d.bought {
			var state subscription.State
			for _, e := range s.events(ledger, b.stream()) {
				state = subscription.Evolve(state, e.Event)
			}
			for _, a := range state.Attempts {
				if a.Open() {
					s.violated("nobody knows what became of attempt %d at pay number %d of %s", a.Attempt, a.Number, b.id)
				}
			}
			for _, r := range state.Refunds {
				if r.Open() {
					s.violated("nobody knows what became of refund %s of %s", r.ID, b.id)
				}
			}
		}
	}
}

// checkTold checks that the merchant has acknowledged every notification that he was owed, and none that he was not.
// That a repeated one was the same, and that they came in order, was checked when they came.
func (s *siege) checkTold(ledger *service) {
	s.t.Helper()
	r := s.hearing.merchant
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, fault := range r.faults {
		s.violated("receiver: %s", fault)
	}
	rows, err := ledger.work.Query(s.ctx, `SELECT delivery_id, state FROM delivery_rows`)
	s.ok(err)
	defer rows.Close()
	owed := 0
	for rows.Next() {
		var id, state string
		s.ok(rows.Scan(&id, &state))
		owed++
		if _, told := r.bodies[id]; !told || state != "delivered" {
			s.violated("notification %s is %s; acknowledged by the merchant: %t", id, state, told)
		}
	}
	s.ok(rows.Err())
	if owed != len(r.bodies) {
		s.violated("%d notifications were owed and %d acknowledged", owed, len(r.bodies))
	}
}

// leastDone is how many commands have to be done in a world for the kills to meet anything.
const leastDone = 50

// sum tells what was done, and fails if that was not enough to prove anything.
func (s *siege) sum(r *invariant.Report) {
	s.t.Helper()
	var done, repeated, replayed, refused int
	for _, d := range s.drivers {
		done += len(d.acked)
		repeated += d.repeated
		replayed += d.replayed
		refused += d.refused
	}
	s.add(acks, done)
	s.add(repetitions, repeated)
	s.add(charges, r.Captures)
	s.add(notifications, r.Notifications)
	s.t.Logf("%d commands done (%d repetitions, %d of what had been done), %d refused; %d events, %d captures, %d notifications (%d told twice)",
		done, repeated, replayed, refused, r.Events, r.Captures, r.Notifications, s.hearing.merchant.repeats)
	if done < leastDone || repeated == 0 || r.Captures == 0 || r.Notifications == 0 {
		s.t.Error("too little happened for the kills to meet anything")
	}
}
