package ipn

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate"
	"ledger.internal/ledger/internal/aggregate/delivery"
	"ledger.internal/ledger/internal/aggregate/endpoint"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
)

// actor is who asks for what the Sender writes.
const actor = "ipn"

// leaseSlack is how much longer a lease is than a sending may take: for what comes before and after it.
const leaseSlack = time.Minute

// Short names for how a notification ends.
const (
	delivered = ledgerv1.DeliveryConclusion_DELIVERY_CONCLUSION_DELIVERED
	gaveUp    = ledgerv1.DeliveryConclusion_DELIVERY_CONCLUSION_GAVE_UP
	disabled  = ledgerv1.DeliveryConclusion_DELIVERY_CONCLUSION_DISABLED
)

// deliver makes one try at a notification that is due and carries the row on. If the log or the store does not
// answer it goes on asking until ctx ends; then the row is left as it is, for whoever runs next.
func (s *Sender) deliver(ctx context.Context, d projection.DueDelivery) {
	var m message
	var over bool
	err := s.persist(ctx, d, "prepare", transient, func() (err error) {
		m, over, err = s.prepare(ctx, d)
		return err
	})
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		// A notification that cannot be written is one that fails: visible, tried again, and in the end given up.
		s.Logger.Error("delivery: cannot be written", "delivery", d.ID, "stream", d.Stream, "revision", d.Revision, "error", err)
	case over:
		s.conclude(ctx, d, disabled, &ledgerv1.DeliveryTry{Number: d.Tries, HttpStatus: d.LastHTTPStatus, Error: d.LastError})
		return
	}
	t := &ledgerv1.DeliveryTry{Number: d.Tries + 1}
	if !s.beginTry(ctx, d, t) {
		return
	}
	a := answer{err: "the notification cannot be written"}
	if err == nil {
		a = post(context.WithoutCancel(ctx), s.client, s.Timeout, m, t.StartedAt.AsTime())
	}
	t.HttpStatus, t.Error, t.TookMs, t.Response = uint32(a.status), a.err, a.took.Milliseconds(), a.body
	s.settle(ctx, d, m, t, a)
}

// prepare asks the log what there is to send. over means nothing: the notification is concluded, or its endpoint
// is disabled.
func (s *Sender) prepare(ctx context.Context, d projection.DueDelivery) (m message, over bool, err error) {
	ended, _, err := s.Deliveries.Load(ctx, streamOf(d))
	if err != nil {
		return m, false, err
	}
	if _, over := ended.Conclusion(d.ID); over {
		return m, true, nil
	}
	// Where to and signed with what is as it is now; what and how is as it was.
	now, _, err := s.Endpoints.Load(ctx, d.Endpoint)
	if err != nil || now.Disabled {
		return m, now.Disabled, err
	}
	body, err := s.Body(ctx, d)
	if err != nil {
		return m, false, err
	}
	return message{id: d.ID, url: now.Settings.GetUrl(), signingSecret: now.SigningSecret, body: body.Encode()}, false, nil
}

func streamOf(d projection.DueDelivery) string {
	return delivery.Stream(d.MerchantID, d.EndpointID, d.SubscriptionID)
}

// beginTry claims the row and writes the try, before a byte goes out. False: somebody else has it.
func (s *Sender) beginTry(ctx context.Context, d projection.DueDelivery, t *ledgerv1.DeliveryTry) (claimed bool) {
	now := s.Clock.Now()
	t.StartedAt = timestamppb.New(now)
	lease := projection.Lease{Owner: s.Owner, Until: now.Add(s.Timeout + leaseSlack)}
	err := s.writer.do(func(tx projection.Tx) (err error) {
		claimed, err = projection.BeginTry(tx, d, lease, now)
		return err
	})
	if err != nil {
		s.Logger.Error("delivery: cannot be claimed", "delivery", d.ID, "error", err)
		pause(ctx, storePause)
		return false
	}
	return claimed
}

// settle draws the conclusion from an answer.
func (s *Sender) settle(ctx context.Context, d projection.DueDelivery, m message, t *ledgerv1.DeliveryTry, a answer) {
	now := s.Clock.Now()
	next, again := nextTry(d.ID, t.Number, now, a.retryAfter)
	switch {
	case a.delivered():
		s.conclude(ctx, d, delivered, t)
	case a.status == http.StatusGone && s.gone(ctx, d, m, t):
		s.conclude(ctx, d, disabled, t)
	case !again:
		s.Logger.Warn("delivery: gave up", "delivery", d.ID, "endpoint", d.Endpoint, "order", d.OrderID, "error", t.Error)
		s.conclude(ctx, d, gaveUp, t)
	default:
		s.write(ctx, d, func(tx projection.Tx) error {
			if err := projection.EndTry(tx, d.ID, t); err != nil {
				return err
			}
			return projection.PostponeDelivery(tx, d.ID, t, next)
		})
	}
}

// conclude ends a notification: first the event, then the row. If the log knows of an end already, that is the one
// which the row gets. t is the last try; one that is not of this run has no start and is left as it was written.
func (s *Sender) conclude(ctx context.Context, d projection.DueDelivery, how ledgerv1.DeliveryConclusion, t *ledgerv1.DeliveryTry) {
	c := &ledgerv1.DeliveryConcluded{
		DeliveryId: d.ID, EventId: d.EventID, Type: d.Type, OrderId: d.OrderID,
		Conclusion: how, Tries: t.Number, HttpStatus: t.HttpStatus, Error: t.Error,
	}
	q := s.request("delivery/"+d.ID, d)
	at := q.At
	err := s.persist(ctx, d, "conclude", always, func() error {
		r, err := s.Deliveries.Do(context.WithoutCancel(ctx), streamOf(d), q, delivery.Conclude{DeliveryConcluded: c})
		for _, e := range r.Events {
			c, at = e.GetDeliveryConcluded(), e.GetMetadata().GetRecordedAt().AsTime()
		}
		return err
	})
	if err != nil {
		return
	}
	s.write(ctx, d, func(tx projection.Tx) error {
		if t.StartedAt != nil {
			if err := projection.EndTry(tx, d.ID, t); err != nil {
				return err
			}
		}
		_, err := projection.ConcludeDelivery(tx, c, at)
		return err
	})
}

// gone disables an endpoint whose receiver says that it is gone for ever. False: the endpoint has another address by
// now, and of that one nothing is known.
func (s *Sender) gone(ctx context.Context, d projection.DueDelivery, m message, t *ledgerv1.DeliveryTry) (yes bool) {
	err := s.persist(ctx, d, "disable the endpoint", always, func() error {
		ctx := context.WithoutCancel(ctx)
		now, _, err := s.Endpoints.Load(ctx, d.Endpoint)
		if err != nil || now.Settings.GetUrl() != m.url {
			return err
		}
		yes = true
		_, err = s.Endpoints.Do(ctx, d.Endpoint, s.request("gone/"+d.ID, d), endpoint.Disable{ID: d.EndpointID, Reason: endpoint.Gone})
		return err
	})
	if yes && err == nil {
		s.Logger.Warn("delivery: endpoint is gone", "endpoint", d.Endpoint, "order", d.OrderID, "try", t.Number)
	}
	return yes && err == nil
}

func (s *Sender) request(id string, d projection.DueDelivery) aggregate.Request {
	cause, err := uuid.Parse(d.EventID)
	if err != nil {
		cause = uuid.Nil
	}
	return aggregate.Request{ID: aggregate.InternalPrefix + id, Actor: actor, At: s.Clock.Now(), Cause: cause}
}

// write carries a row on.
func (s *Sender) write(ctx context.Context, d projection.DueDelivery, f func(projection.Tx) error) {
	// An error means that ctx has ended. The row stays as it is and is taken up by whoever runs next.
	_ = s.persist(ctx, d, "write", always, func() error { return s.writer.do(f) })
}

// persist repeats f, with growing pauses, as long as it fails in a way that may pass and ctx has not ended.
func (s *Sender) persist(ctx context.Context, d projection.DueDelivery, what string, mayPass func(error) bool, f func() error) error {
	const first, longest = 50 * time.Millisecond, 5 * time.Second
	for wait := first; ; wait = min(2*wait, longest) {
		err := f()
		if err == nil || !mayPass(err) || ctx.Err() != nil {
			return err
		}
		if wait == first {
			s.Logger.Error("delivery: will be tried again", "step", what, "delivery", d.ID, "error", err)
		}
		pause(ctx, wait)
	}
}

func always(error) bool { return true }

// transient tells a log that does not answer from one that answers something of no use.
func transient(err error) bool {
	return errors.Is(err, event.ErrUnavailable) || errors.Is(err, event.ErrUnknownOutcome) || errors.Is(err, context.DeadlineExceeded)
}
