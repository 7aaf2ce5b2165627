package connection

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// Notice is how long before its last day a connection is announced to need an update.
const Notice = 60 * 24 * time.Hour

// Wake says what time it is: what a day brings, it brings now.
type Wake struct{ Now time.Time }

// Decide implements aggregate.Command.
func (c Wake) Decide(s State) ([]*ledgerv1.Event, error) { return s.deadlines(c.Now), nil }

// deadlines are the events that a connection's last day, and the announcement of it, bring by now.
func (s State) deadlines(now time.Time) (all []*ledgerv1.Event) {
	if s.mayNeedUpdate() && !now.Before(s.UpdateBy.Add(-Notice)) {
		all = append(all, &ledgerv1.Event{Kind: &ledgerv1.Event_ConnectionUpdateNeeded{ConnectionUpdateNeeded: &ledgerv1.ConnectionUpdateNeeded{
			MerchantId: s.Merchant, ConnectionId: s.ID, UpdateBy: timestamppb.New(s.UpdateBy),
		}}})
		s.Status = ledgerv1.ConnectionState_CONNECTION_STATE_NEEDS_UPDATE
	}
	if s.mayExpire() && !now.Before(s.UpdateBy) {
		all = append(all, &ledgerv1.Event{Kind: &ledgerv1.Event_ConnectionExpired{ConnectionExpired: &ledgerv1.ConnectionExpired{
			MerchantId: s.Merchant, ConnectionId: s.ID,
		}}})
	}
	return all
}

// Due is the first instant after `after` at which the connection wants a Wake; zero for never.
func (s State) Due(after time.Time) time.Time {
	switch {
	case s.mayNeedUpdate():
		return later(s.UpdateBy.Add(-Notice), after)
	case s.mayExpire():
		return later(s.UpdateBy, after)
	}
	return time.Time{}
}

func (s State) mayNeedUpdate() bool {
	return !s.UpdateBy.IsZero() && s.Status == ledgerv1.ConnectionState_CONNECTION_STATE_ACTIVE
}

func (s State) mayExpire() bool {
	return !s.UpdateBy.IsZero() && s.Status == ledgerv1.ConnectionState_CONNECTION_STATE_NEEDS_UPDATE
}

// later is t, or the first instant after `after` if t has passed by then.
func later(t, after time.Time) time.Time {
	if t.After(after) {
		return t
	}
	return after.Add(time.Microsecond)
}
