package projection

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/event"
)

//go:embed connections.sql
var connectionsSchema string

// connections is the category of connections' streams.
const connections = "connection"

// Connections keeps which connections there are, by account and by the day until which they are charged through.
func Connections() Projection {
	return Projection{
		Name:       "connections",
		Version:    1,
		Categories: []string{connections},
		Schema:     connectionsSchema,
		Tables:     []string{"connections"},
		Apply:      applyConnection,
	}
}

func applyConnection(tx Tx, _ time.Time, e event.Recorded) error {
	merchant, id, err := connectionOf(e.Stream)
	if err != nil {
		return err
	}
	set := func(what string, args ...any) error {
		_, err := tx.Exec(`UPDATE connections SET `+what+` WHERE merchant_id = $1 AND connection_id = $2`, append([]any{merchant, id}, args...)...)
		return err
	}
	switch k := e.GetKind().(type) {
	case *ledgerv1.Event_ConnectionCreated:
		return insertConnection(tx, merchant, id, e)
	case *ledgerv1.Event_ConnectionActivated:
		if k.ConnectionActivated.GetConsented() {
			return set(`state = 'active', account = $3, update_by = NULL`, k.ConnectionActivated.GetAccount())
		}
		return set(`state = 'active', account = $3`, k.ConnectionActivated.GetAccount())
	case *ledgerv1.Event_ConnectionRefused:
		return set(`state = $3`, ConnectionState(k.ConnectionRefused.GetState()))
	case *ledgerv1.Event_ConnectionUpdateNeeded:
		return set(`state = 'needs_update'`)
	case *ledgerv1.Event_ConnectionExpired:
		return set(`state = 'expired'`)
	case *ledgerv1.Event_ConnectionDisconnected:
		return set(`state = 'disconnected'`)
	case *ledgerv1.Event_ConsentRequested:
		return set(`state = $3`, ConnectionState(k.ConsentRequested.GetState()))
	case *ledgerv1.Event_ConnectionResealed, *ledgerv1.Event_ConnectionBlocked, *ledgerv1.Event_ConnectionUnblocked:
		return nil
	}
	return unknownKind("connections", e.Event)
}

// ConnectionState is a connection's state as the table has it.
func ConnectionState(s ledgerv1.ConnectionState) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "CONNECTION_STATE_"))
}

func insertConnection(tx Tx, merchant, id string, e event.Recorded) error {
	c := e.GetConnectionCreated()
	state := ledgerv1.ConnectionState_CONNECTION_STATE_ACTIVE
	if c.GetUnproved() {
		state = ledgerv1.ConnectionState_CONNECTION_STATE_PENDING
	}
	_, err := tx.Exec(`INSERT INTO connections (merchant_id, connection_id, gateway, account, state, update_by, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		merchant, id, c.GetGateway(), c.GetAccount(), ConnectionState(state), micros(c.GetUpdateBy()), micros(e.GetMetadata().GetRecordedAt()))
	return err
}

// connectionOf takes the name of a connection's stream apart.
func connectionOf(stream string) (merchant, id string, err error) {
	rest, ok := strings.CutPrefix(stream, connections+"-")
	merchant, id, dot := strings.Cut(rest, ".")
	if !ok || !dot || merchant == "" || id == "" {
		return "", "", fmt.Errorf("%q is not the stream of a connection", stream)
	}
	return merchant, id, nil
}

// ConnectionRef is a connection as lists find it.
type ConnectionRef struct {
	Merchant, ID string
	State        string
	UpdateBy     int64 // microseconds since 1970; 0 for no such day
	CreatedAt    time.Time
}

func scanConnection(row Row) (c ConnectionRef, err error) {
	var created int64
	err = row.Scan(&c.Merchant, &c.ID, &c.State, &c.UpdateBy, &created)
	c.CreatedAt = time.UnixMicro(created).UTC()
	return c, err
}

const selectConnections = `SELECT merchant_id, connection_id, state, COALESCE(update_by, 0), created_at FROM connections `

// connectionKey is the place of a connection in a list.
type connectionKey struct {
	UpdateBy int64  `json:"u,omitempty"`
	Merchant string `json:"m"`
	ID       string `json:"c"`
}

func (c ConnectionRef) key() connectionKey { return connectionKey{c.UpdateBy, c.Merchant, c.ID} }

// FindConnections lists the connections of all merchants: those to an account of a gateway, or all if gateway is empty.
func FindConnections(ctx context.Context, r Reader, gateway, account string) ([]ConnectionRef, error) {
	query, args := selectConnections, []any(nil)
	if gateway != "" {
		query, args = query+`WHERE gateway = $1 AND account = $2 `, []any{gateway, account}
	}
	rows, err := r.Query(ctx, query+`ORDER BY merchant_id, connection_id`, args...)
	return collect(rows, err, scanConnection)
}

// ConnectionFilter says which connections of a merchant are wanted; what is left out does not filter.
type ConnectionFilter struct {
	MerchantID string
	Gateway    string
	States     []ledgerv1.ConnectionState
}

// ListConnections reads a page of a merchant's connections, by their ids, and the next page's token.
func ListConnections(ctx context.Context, r Reader, f ConnectionFilter, p Page) ([]ConnectionRef, string, error) {
	return ReadPage(p, "connections", f, func(behind *connectionKey, limit int) ([]ConnectionRef, error) {
		w := f.where()
		if behind != nil {
			w.and("connection_id > %s", behind.ID)
		}
		rows, err := r.Query(ctx, selectConnections+w.String()+` ORDER BY connection_id LIMIT `+w.arg(int64(limit)), w.args...)
		return collect(rows, err, scanConnection)
	}, ConnectionRef.key)
}

func (f ConnectionFilter) where() *where {
	w := &where{}
	w.and("merchant_id = %s", f.MerchantID)
	if f.Gateway != "" {
		w.and("gateway = %s", f.Gateway)
	}
	var states []string
	for _, s := range f.States {
		states = append(states, ConnectionState(s))
	}
	w.in("state", states)
	return w
}

// ListOverdueConnections reads a page of the connections of all merchants that need an update or have expired, by the
// day until which they are charged through.
func ListOverdueConnections(ctx context.Context, r Reader, p Page) ([]ConnectionRef, string, error) {
	return ReadPage(p, "overdue connections", nil, func(behind *connectionKey, limit int) ([]ConnectionRef, error) {
		w := &where{}
		w.and("update_by IS NOT NULL AND state IN ('needs_update', 'expired')")
		if behind != nil {
			w.and("(update_by, merchant_id, connection_id) > (%s, %s, %s)", behind.UpdateBy, behind.Merchant, behind.ID)
		}
		rows, err := r.Query(ctx, selectConnections+w.String()+` ORDER BY update_by, merchant_id, connection_id LIMIT `+w.arg(int64(limit)), w.args...)
		return collect(rows, err, scanConnection)
	}, ConnectionRef.key)
}

// CountHeld counts the subscriptions that have a payment due through a connection, and nobody is trying to charge it.
func CountHeld(ctx context.Context, views Reader, merchant, connection string, now time.Time) (n int64, err error) {
	err = views.QueryRow(ctx, `SELECT count(*) FROM subscription_versions WHERE known_to IS NULL AND merchant_id = $1 AND connection_id = $2
		AND state IN ('pending', 'trialing', 'active', 'past_due') AND next_attempt_at <= $3`, merchant, connection, now.UnixMicro()).Scan(&n)
	return n, err
}
