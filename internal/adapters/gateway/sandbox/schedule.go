package sandbox

import (
	"context"
	"errors"
	"strings"
	"time"

	"ledger.internal/ledger/internal/adapters/db"
	"ledger.internal/ledger/internal/projection"
)

// The kinds of jobs: what the sandbox does by itself when its clock gets there.
const (
	jobDecide  = "decide"  // a pending charge
	jobLate    = "late"    // a declined charge turns out to be charged
	jobAppear  = "appear"  // a hidden charge can be seen
	jobDispute = "dispute" // opened and withdrawn
	jobReverse = "reverse" // a refund comes back
	jobRefund  = "refund:" // a pending refund becomes what stands behind the colon
)

// batch is how many jobs and messages are looked at at once.
const batch = 64

// retryAfterError is how long the loop waits when its own store failed.
const retryAfterError = time.Second

type job struct {
	seq           int64
	due           time.Time
	kind, subject string
}

// run does what is due and sends what waits, until the server stops.
func (s *Server) run() {
	defer close(s.stopped)
	defer s.sends.Wait()
	for {
		now := s.clock.Now() // before the work: what becomes due during it is then next, and at once
		err := errors.Join(s.runJobs(), s.startSends())
		next, ok, nextErr := s.nextAfter(now)
		if err = errors.Join(err, nextErr); err != nil && s.stopping.Err() == nil {
			s.log.Error("sandbox: schedule", "error", err)
			time.AfterFunc(retryAfterError, s.poke)
		}
		s.tellIdle()
		if !s.sleep(next, ok) {
			return
		}
	}
}

// sleep waits for the clock to reach next, or for a poke; it is false once the server stops.
func (s *Server) sleep(next time.Time, ok bool) bool {
	ctx, cancel := context.WithCancel(s.stopping)
	defer cancel()
	if ok {
		reached := make(chan struct{})
		go func() {
			defer close(reached)
			_ = s.clock.WaitUntil(ctx, next) // the loop looks at the clock itself
		}()
		defer func() { cancel(); <-reached }()
		select {
		case <-reached:
		case <-s.pokes:
		}
		return s.stopping.Err() == nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-s.pokes:
		return true
	}
}

// poke makes the loop look again.
func (s *Server) poke() {
	select {
	case s.pokes <- struct{}{}:
	default: // it is about to look anyway
	}
}

func (s *Server) runJobs() error {
	for {
		jobs, err := s.dueJobs(s.clock.Now())
		if err != nil || len(jobs) == 0 {
			return err
		}
		for _, j := range jobs {
			err := s.book.do(func(tx projection.Tx) error {
				if err := j.run(tx); err != nil {
					return err
				}
				_, err := tx.Exec(`DELETE FROM jobs WHERE seq = $1`, j.seq)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
}

func (s *Server) dueJobs(now time.Time) (_ []job, err error) {
	rows, err := s.book.Query(s.stopping, `SELECT seq, due, kind, subject FROM jobs WHERE due <= $1 ORDER BY due, seq LIMIT $2`, now.UnixMicro(), batch)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var jobs []job
	for rows.Next() {
		var j job
		var due int64
		if err := rows.Scan(&j.seq, &due, &j.kind, &j.subject); err != nil {
			return nil, err
		}
		j.due = time.UnixMicro(due).UTC()
		jobs = append(jobs, j)
	}
	return jobs, rows.Err()
}

// run does the job as of the instant it was due. A job whose subject was decided meanwhile does nothing.
func (j job) run(tx projection.Tx) error {
	if to, ok := strings.CutPrefix(j.kind, jobRefund); ok {
		return decideRefund(tx, j.subject, status(to), j.due)
	}
	if j.kind == jobReverse {
		return decideRefund(tx, j.subject, reversed, j.due)
	}
	c, found, err := loadCharge(tx, j.subject)
	if err != nil || !found {
		return err
	}
	switch {
	case j.kind == jobDecide && c.Status == pending:
		b, _ := chargeStep(c.Step)
		if c.Step == "redirect" {
			b.then = expired
		}
		return c.decide(tx, b.then, j.due)
	case j.kind == jobLate && c.Status == failed, j.kind == jobAppear && c.Status == hidden:
		return c.decide(tx, succeeded, j.due)
	case j.kind == jobDispute:
		_, err := c.dispute(tx, disputeRequest{Stage: stageOpened}, j.due)
		if err != nil {
			return err
		}
		_, err = c.dispute(tx, disputeRequest{Stage: stageWithdrawn, Fee: &money{c.Amount.CurrencyCode, disputeFee}}, j.due)
		return err
	}
	return nil
}

// decide ends a charge's waiting and tells it by webhook. A charge that was hidden is not told: it stands for the
// one whose existence only a look-up finds.
func (c *chargeRow) decide(tx projection.Tx, to status, at time.Time) error {
	silent := c.Status == hidden
	var err error
	switch to {
	case succeeded:
		err = c.succeed(tx, at)
	case failed:
		err = c.fail(tx, declineFor("soft"), at)
	default:
		c.Status, c.DecidedAt = to, &at
	}
	if err != nil || silent {
		return errors.Join(err, c.save(tx))
	}
	return c.decided(tx, at)
}

// decided keeps c and tells of it.
func (c *chargeRow) decided(tx projection.Tx, at time.Time) error {
	return errors.Join(c.save(tx), c.notify(tx, at))
}

// nextAfter is the next instant after t at which something happens.
func (s *Server) nextAfter(t time.Time) (time.Time, bool, error) {
	var due int64
	err := s.book.QueryRow(s.stopping, `SELECT coalesce(min(due), -1) FROM (
		SELECT min(due) AS due FROM jobs WHERE due > $1 UNION ALL SELECT min(due) FROM messages WHERE due > $1)`, t.UnixMicro()).Scan(&due)
	return time.UnixMicro(due).UTC(), due >= 0 && err == nil, err
}

// NextAt is the next instant of the clock at which the sandbox will do something by itself: decide, dispute, send a
// webhook (again). ok is false if there is none. It may lie in the past for a moment, until the sandbox got to it.
func (s *Server) NextAt() (at time.Time, ok bool) {
	at, ok, err := s.nextAfter(time.UnixMicro(0))
	if err != nil && !errors.Is(err, db.ErrClosed) && s.stopping.Err() == nil {
		s.log.Error("sandbox: next instant", "error", err)
	}
	return at, ok
}

// Idle waits until nothing is due, no webhook waits to be sent, and none is on its way.
func (s *Server) Idle(ctx context.Context) error {
	for {
		looked := s.looked()
		idle, err := s.idle(ctx)
		if idle || err != nil {
			return err
		}
		select {
		case <-looked:
		case <-s.stopping.Done():
			return errClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *Server) idle(ctx context.Context) (bool, error) {
	var n int
	err := s.book.QueryRow(ctx, `SELECT (SELECT count(*) FROM jobs WHERE due <= $1) + (SELECT count(*) FROM messages WHERE due <= $1)`,
		s.clock.Now().UnixMicro()).Scan(&n)
	s.mu.Lock()
	defer s.mu.Unlock()
	return n == 0 && len(s.sending) == 0, err
}

// looked is closed when the loop has next gone through all that was due.
func (s *Server) looked() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lookedAt
}

func (s *Server) tellIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.lookedAt)
	s.lookedAt = make(chan struct{})
}
