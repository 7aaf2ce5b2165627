package projection

import (
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/event"
)

//go:embed deliveries.sql
var deliveriesSchema string

// The other categories that Deliveries follows.
const (
	endpoints = "endpoint"
	delivered = "delivery"
)

// Deliveries keeps who is told of what: a row per notification and endpoint. An endpoint hears of the events that
// come after its creation, of the types it wants, while it is not disabled; all of that is read from the log in its
// order, so it does not depend on how far any view has come.
//
// The rows live where the senders work, and the senders move them on. A row's end is an event too, which arrives here
// after the sender wrote it, or before a sender could: in a store that is made anew, nothing is told twice.
func Deliveries() Projection {
	return Projection{
		Name:       "deliveries",
		Version:    2,
		Categories: []string{subscriptions, endpoints, delivered},
		Schema:     deliveriesSchema,
		Tables:     []string{"delivery_endpoints", "delivery_rows", "delivery_tries"},
		Former:     map[int][]string{1: {"deliveries"}},
		Views:      []View{deliveriesView()},
		Apply:      applyDelivery,
	}
}

func applyDelivery(tx Tx, known time.Time, e event.Recorded) error {
	switch k := e.GetKind().(type) {
	case *ledgerv1.Event_EndpointCreated:
		return upsertEndpoint(tx, e, k.EndpointCreated.GetSettings())
	case *ledgerv1.Event_EndpointChanged:
		return upsertEndpoint(tx, e, k.EndpointChanged.GetSettings())
	case *ledgerv1.Event_EndpointDisabled:
		return disableEndpoint(tx, e)
	case *ledgerv1.Event_DeliveryConcluded:
		_, err := ConcludeDelivery(tx, k.DeliveryConcluded, e.GetMetadata().GetRecordedAt().AsTime())
		return err
	}
	t, order, ok := ipnOf(e.Event)
	if !ok {
		return unknownKind("deliveries", e.Event)
	}
	if t == ledgerv1.IpnType_IPN_TYPE_UNSPECIFIED {
		return nil
	}
	return tell(tx, known, e, t, order)
}

// DeliveryID names the notification of an event for an endpoint: the webhook-id, the same on every try and replay.
func DeliveryID(eventID uuid.UUID, endpoint string) string {
	return uuid.NewSHA1(eventID, []byte(endpoint)).String()
}

// endpointOf reads the merchant and the endpoint from the name of a stream, "endpoint-<merchant>.<id>".
func endpointOf(stream string) (merchant, id string, err error) {
	rest, ok := strings.CutPrefix(stream, endpoints+"-")
	merchant, id, dot := strings.Cut(rest, ".")
	if !ok || !dot || merchant == "" || id == "" {
		return "", "", fmt.Errorf("%q is not the stream of an endpoint", stream)
	}
	return merchant, id, nil
}

// upsertEndpoint notes an endpoint's settings; to change them enables it again.
func upsertEndpoint(tx Tx, e event.Recorded, s *ledgerv1.EndpointSettings) error {
	merchant, id, err := endpointOf(e.Stream)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO delivery_endpoints
			(merchant_id, endpoint_id, types, disabled, born_commit, born_prepare, pos_commit, pos_prepare)
		VALUES ($1, $2, $3, 0, $4, $5, $4, $5)
		ON CONFLICT (merchant_id, endpoint_id) DO UPDATE SET types = excluded.types, disabled = 0,
			pos_commit = excluded.pos_commit, pos_prepare = excluded.pos_prepare`,
		merchant, id, typeBits(s.GetTypes()), int64(e.Position.Commit), int64(e.Position.Prepare))
	return err
}

// typeBits holds a set of types in a number; 0 for all.
func typeBits(types []ledgerv1.IpnType) int64 {
	var bits int64
	for _, t := range types {
		bits |= 1 << t
	}
	return bits
}

// disableEndpoint ends what an endpoint hears. What it was already to hear is left to the senders, who conclude it:
// at once, whatever was to be waited for.
func disableEndpoint(tx Tx, e event.Recorded) error {
	merchant, id, err := endpointOf(e.Stream)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`UPDATE delivery_endpoints SET disabled = 1, pos_commit = $3, pos_prepare = $4
		WHERE merchant_id = $1 AND endpoint_id = $2`,
		merchant, id, int64(e.Position.Commit), int64(e.Position.Prepare))
	if err != nil {
		return err
	}
	_, err = tx.Exec(`UPDATE delivery_rows SET next_try_at = $2
		WHERE endpoint_stream = $1 AND next_try_at IS NOT NULL AND next_try_at > $2 AND (pos_commit, pos_prepare) < ($3, $4)`,
		e.Stream, micros(e.GetMetadata().GetRecordedAt()), int64(e.Position.Commit), int64(e.Position.Prepare))
	return err
}

// hearer is an endpoint that hears of events.
type hearer struct {
	id              string
	types           int64
	commit, prepare int64
}

// tell makes the rows of an event: one per endpoint of the merchant that wants it.
func tell(tx Tx, known time.Time, e event.Recorded, t ledgerv1.IpnType, order int64) error {
	merchant, subscription, err := ownerOf(e.Stream)
	if err != nil {
		return err
	}
	for h := (hearer{}); ; {
		// One by one: a transaction answers with single rows, and merchants have few endpoints.
		err := tx.QueryRow(`SELECT endpoint_id, types, pos_commit, pos_prepare FROM delivery_endpoints
			WHERE merchant_id = $1 AND endpoint_id > $2 AND disabled = 0 AND (born_commit, born_prepare) < ($3, $4)
			ORDER BY endpoint_id LIMIT 1`, merchant, h.id, int64(e.Position.Commit), int64(e.Position.Prepare)).
			Scan(&h.id, &h.types, &h.commit, &h.prepare)
		if errors.Is(err, ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.types != 0 && h.types&(1<<t) == 0 {
			continue
		}
		if err := insertDelivery(tx, known, e, t, order, merchant, subscription, h); err != nil {
			return fmt.Errorf("delivery of order %d to %s: %w", order, h.id, err)
		}
	}
}

const insertDeliverySQL = `INSERT INTO delivery_rows
	(delivery_id, merchant_id, endpoint_id, subscription_id, endpoint_stream, delivery_stream,
	 event_id, stream, revision, pos_commit, pos_prepare, endpoint_commit, endpoint_prepare, type, order_id,
	 state, tries, next_try_at, lease_owner, lease_until, last_http_status, last_error, created_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 'pending', 0, $16, '', 0, 0, '', $17)
	ON CONFLICT (delivery_id) DO NOTHING`

// insertDelivery makes a row. It waits for its turn if one before it, of the same endpoint and subscription, is not
// concluded; the one that concludes that one passes the turn on.
func insertDelivery(tx Tx, known time.Time, e event.Recorded, t ledgerv1.IpnType, order int64, merchant, subscription string, h hearer) error {
	pair := delivered + "-" + merchant + "." + h.id + "." + subscription
	// An update that changes nothing and not a look: its row locks make a sender on another connection conclude
	// either before it, and then this row has its turn, or after this row is there to be passed the turn.
	waits, err := tx.Exec(`UPDATE delivery_rows SET delivery_stream = delivery_stream
		WHERE delivery_stream = $1 AND concluded_at IS NULL AND revision < $2`, pair, int64(e.Revision))
	if err != nil {
		return err
	}
	next := micros(e.GetMetadata().GetRecordedAt())
	if waits > 0 {
		next = nil
	}
	_, err = tx.Exec(insertDeliverySQL,
		DeliveryID(e.ID, h.id), merchant, h.id, subscription, endpoints+"-"+merchant+"."+h.id, pair,
		e.ID.String(), e.Stream, int64(e.Revision), int64(e.Position.Commit), int64(e.Position.Prepare), h.commit, h.prepare,
		word(ipnTypePrefix, t), order, next, known.UnixMicro())
	return err
}
