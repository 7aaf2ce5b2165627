package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"ledger.internal/ledger/internal/projection"
)

const (
	// eventsPage is how many events one page holds.
	eventsPage = 100
	// stepLost is the fault of a webhook that is never sent. Only the list of events tells of it.
	stepLost = "lost"
)

// event is what a webhook tells, or would have told, and when.
type event struct {
	ID   string          `json:"id"`
	At   time.Time       `json:"at"`
	Body json.RawMessage `json:"body"` // to the byte what the webhook's is
}

// eventList is one page, the oldest first. Next is empty on the last one.
type eventList struct {
	Events *[]event `json:"events"`
	Next   string   `json:"next,omitempty"`
}

// keepEvent notes what happened at `at`. What is told twice happened once.
func keepEvent(tx projection.Tx, m message, at time.Time, body []byte) error {
	_, err := tx.Exec(`INSERT INTO events (at, account, id, body) VALUES ($1, $2, $3, $4) ON CONFLICT (account, id) DO NOTHING`,
		at.UnixMicro(), m.Account, m.ID, body)
	return err
}

func (s *Server) listEvents(w http.ResponseWriter, r *http.Request) {
	from, to, err := period(r.URL.Query())
	if err != nil {
		s.invalid(w, r, err)
		return
	}
	s.found(w, r, opList, func(ctx context.Context) (any, error) {
		return s.book.events(ctx, r.PathValue("account"), from, to, r.URL.Query().Get("after"))
	})
}

func period(q url.Values) (from, to time.Time, err error) {
	from, err = time.Parse(time.RFC3339Nano, q.Get("from"))
	to, err2 := time.Parse(time.RFC3339Nano, q.Get("to"))
	if errors.Join(err, err2) != nil {
		return from, to, errors.New("from and to are times, as RFC 3339 has them")
	}
	return from, to, nil
}

// events is the page of what happened in from ≤ t < to that begins behind the event named after; empty: the first.
func (b *book) events(ctx context.Context, account string, from, to time.Time, after string) (_ eventList, err error) {
	rows, err := b.Query(ctx, `SELECT id, at, body FROM events WHERE account = $1 AND at >= $2 AND at < $3
		AND (at, seq) > (coalesce((SELECT at FROM events WHERE account = $1 AND id = $4), -1), coalesce((SELECT seq FROM events WHERE account = $1 AND id = $4), -1))
		ORDER BY at, seq LIMIT $5`, account, from.UnixMicro(), to.UnixMicro(), after, eventsPage+1)
	if err != nil {
		return eventList{}, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	page := []event{}
	for rows.Next() {
		var e event
		var at int64
		var body []byte
		if err := rows.Scan(&e.ID, &at, &body); err != nil {
			return eventList{}, err
		}
		e.At, e.Body = time.UnixMicro(at).UTC(), body
		page = append(page, e)
	}
	list := eventList{Events: &page}
	if len(page) > eventsPage {
		page = page[:eventsPage]
		list.Next = page[eventsPage-1].ID
	}
	return list, rows.Err()
}
