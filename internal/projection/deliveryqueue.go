package projection

import (
	"context"
	"errors"
	"strconv"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/event"
)

// This file is what senders do with the rows of deliveries: find what is due, claim it, move it on, conclude it. Each
// step names the state that it starts from, so of two senders one wins, and a step that came too late does nothing.

// DueDelivery is a notification that may be sent now: it is due, and no earlier one of its endpoint and subscription
// is open.
type DueDelivery struct {
	ID             string
	MerchantID     string
	EndpointID     string
	SubscriptionID string
	Endpoint       string         // the endpoint's stream
	EndpointAt     event.Position // of the endpoint's last change before the event
	EventID        string
	Stream         string // of the event
	Revision       event.Revision
	Position       event.Position
	Type           ledgerv1.IpnType
	OrderID        int64
	Tries          uint32 // made so far
	LastHTTPStatus uint32 // of the last of them
	LastError      string
}

// dueEndpoints skips from endpoint to endpoint through the index, so that it costs the same however many rows wait
// for one that is dead.
const dueEndpoints = `WITH RECURSIVE waiting (endpoint) AS (
		SELECT min(endpoint_stream) FROM delivery_rows WHERE next_try_at IS NOT NULL
		UNION ALL
		SELECT (SELECT min(d.endpoint_stream) FROM delivery_rows d
			WHERE d.next_try_at IS NOT NULL AND d.endpoint_stream > waiting.endpoint)
		FROM waiting WHERE waiting.endpoint IS NOT NULL)
	SELECT endpoint, (SELECT min(d.next_try_at) FROM delivery_rows d
		WHERE d.next_try_at IS NOT NULL AND d.endpoint_stream = endpoint)
	FROM waiting WHERE endpoint IS NOT NULL`

// DeliveryEndpoints returns, for each endpoint for which notifications wait, when the first of them is due.
func DeliveryEndpoints(ctx context.Context, r Reader) (map[string]time.Time, error) {
	type first struct {
		endpoint string
		at       *int64
	}
	rows, err := r.Query(ctx, dueEndpoints)
	all, err := collect(rows, err, func(row Row) (f first, err error) { return f, row.Scan(&f.endpoint, &f.at) })
	if err != nil {
		return nil, err
	}
	out := make(map[string]time.Time, len(all))
	for _, f := range all {
		if f.at != nil {
			out[f.endpoint] = time.UnixMicro(*f.at).UTC()
		}
	}
	return out, nil
}

const selectDue = `SELECT delivery_id, merchant_id, endpoint_id, subscription_id, endpoint_stream,
	endpoint_commit, endpoint_prepare, event_id, stream, revision, pos_commit, pos_prepare, type, order_id,
	tries, last_http_status, last_error FROM delivery_rows `

// DueDeliveries reads what may be sent to an endpoint at `now`, what has waited longest first.
func DueDeliveries(ctx context.Context, r Reader, endpoint string, now time.Time, limit int) ([]DueDelivery, error) {
	// The limit is no parameter: SQLite would plan the query anew each time that it differs.
	rows, err := r.Query(ctx, selectDue+`WHERE endpoint_stream = $1 AND next_try_at IS NOT NULL AND next_try_at <= $2
		ORDER BY next_try_at, pos_commit, pos_prepare LIMIT `+strconv.Itoa(limit), endpoint, now.UnixMicro())
	return collect(rows, err, scanDue)
}

// FindDelivery reads what Render needs of a merchant's notification, whatever its state.
func FindDelivery(ctx context.Context, r Reader, merchant, id string) (DueDelivery, error) {
	d, err := scanDue(r.QueryRow(ctx, selectDue+`WHERE merchant_id = $1 AND delivery_id = $2`, merchant, id))
	return d, noDelivery(err, id)
}

func scanDue(row Row) (DueDelivery, error) {
	var (
		d                                          DueDelivery
		commit, prepare, revision, atCommit, atPre int64
		kind                                       string
		tries, status                              int64
	)
	err := row.Scan(&d.ID, &d.MerchantID, &d.EndpointID, &d.SubscriptionID, &d.Endpoint,
		&atCommit, &atPre, &d.EventID, &d.Stream, &revision, &commit, &prepare, &kind, &d.OrderID,
		&tries, &status, &d.LastError)
	if err != nil {
		return DueDelivery{}, err
	}
	d.EndpointAt = event.Position{Commit: uint64(atCommit), Prepare: uint64(atPre)}
	d.Position = event.Position{Commit: uint64(commit), Prepare: uint64(prepare)}
	d.Revision = event.Revision(revision)
	d.Type = ledgerv1.IpnType(value(ledgerv1.IpnType_value, ipnTypePrefix, kind))
	d.Tries, d.LastHTTPStatus = uint32(tries), uint32(status)
	return d, nil
}

// Lease says who is sending, and until when nobody else may.
type Lease struct {
	Owner string
	Until time.Time
}

// BeginTry claims a notification for one more try and writes the try down, before a byte goes out. It reports false
// if somebody else was faster.
func BeginTry(tx Tx, d DueDelivery, l Lease, now time.Time) (bool, error) {
	n, err := tx.Exec(`UPDATE delivery_rows SET state = 'sending', tries = tries + 1, next_try_at = NULL, lease_owner = $3, lease_until = $4
		WHERE delivery_id = $1 AND tries = $2 AND state = 'pending' AND next_try_at IS NOT NULL`,
		d.ID, int64(d.Tries), l.Owner, l.Until.UnixMicro())
	if err != nil || n == 0 {
		return false, err
	}
	_, err = tx.Exec(`INSERT INTO delivery_tries (delivery_id, number, started_at, http_status, error, took_ms, response)
		VALUES ($1, $2, $3, 0, '', 0, '')`, d.ID, int64(d.Tries)+1, now.UnixMicro())
	return true, err
}

// EndTry writes down what came of a try.
func EndTry(tx Tx, id string, t *ledgerv1.DeliveryTry) error {
	_, err := tx.Exec(`UPDATE delivery_tries SET http_status = $3, error = $4, took_ms = $5, response = $6
		WHERE delivery_id = $1 AND number = $2`,
		id, int64(t.GetNumber()), int64(t.GetHttpStatus()), t.GetError(), t.GetTookMs(), t.GetResponse())
	return err
}

// PostponeDelivery puts a notification back after its latest try failed. It does nothing if somebody has begun another
// one since.
func PostponeDelivery(tx Tx, id string, t *ledgerv1.DeliveryTry, next time.Time) error {
	_, err := tx.Exec(`UPDATE delivery_rows SET state = 'pending', next_try_at = $3, lease_owner = '', lease_until = 0,
			last_http_status = $4, last_error = $5
		WHERE delivery_id = $1 AND tries = $2 AND concluded_at IS NULL`,
		id, int64(t.GetNumber()), next.UnixMicro(), int64(t.GetHttpStatus()), t.GetError())
	return err
}

// ConcludeDelivery ends a notification as its event says and passes the turn to the next one of its endpoint and
// subscription. It reports false, and does nothing, if the row is concluded already or is not there.
func ConcludeDelivery(tx Tx, c *ledgerv1.DeliveryConcluded, at time.Time) (bool, error) {
	var pair string
	err := tx.QueryRow(`UPDATE delivery_rows SET state = $2, tries = $3, last_http_status = $4, last_error = $5,
			next_try_at = NULL, lease_owner = '', lease_until = 0, concluded_at = $6
		WHERE delivery_id = $1 AND concluded_at IS NULL RETURNING delivery_stream`,
		c.GetDeliveryId(), word(conclusionPrefix, c.GetConclusion()), int64(c.GetTries()), int64(c.GetHttpStatus()),
		c.GetError(), at.UnixMicro()).Scan(&pair)
	if errors.Is(err, ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	_, err = tx.Exec(`UPDATE delivery_rows SET next_try_at = $2
		WHERE state = 'pending' AND next_try_at IS NULL AND delivery_id =
			(SELECT delivery_id FROM delivery_rows WHERE delivery_stream = $1 AND concluded_at IS NULL ORDER BY revision LIMIT 1)`,
		pair, at.UnixMicro())
	return err == nil, err
}

// AbandonedDeliveries returns when the first lease ends of what is being sent; zero if nothing is.
func AbandonedDeliveries(ctx context.Context, r Reader) (time.Time, error) {
	var at *int64
	err := r.QueryRow(ctx, `SELECT min(lease_until) FROM delivery_rows WHERE state = 'sending'`).Scan(&at)
	if err != nil || at == nil {
		return time.Time{}, err
	}
	return time.UnixMicro(*at).UTC(), nil
}

// ReclaimDeliveries puts back what was being sent under leases that have ended by `now`, and everything under the
// leases of `owner`, if one is named: he says that he is not sending, he has just started. Whether these
// notifications were concluded is for the log to say.
func ReclaimDeliveries(tx Tx, owner string, now time.Time) error {
	_, err := tx.Exec(`UPDATE delivery_rows SET state = 'pending', next_try_at = $2, lease_owner = '', lease_until = 0
		WHERE state = 'sending' AND (lease_until <= $2 OR lease_owner = $1)`, owner, now.UnixMicro())
	return err
}

// Prefixes of the names of stored enums.
const (
	ipnTypePrefix    = "IPN_TYPE_"
	conclusionPrefix = "DELIVERY_CONCLUSION_"
)
