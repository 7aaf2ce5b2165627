package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"ledger.internal/ledger/internal/adapters/db"
	"ledger.internal/ledger/internal/projection"
)

// tables hold what must survive a restart, which is everything. A doc column holds the JSON of the thing; beside it
// stands what is searched by.
var tables = [...]string{
	`CREATE TABLE IF NOT EXISTS accounts (account TEXT PRIMARY KEY, doc TEXT NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS methods (id TEXT PRIMARY KEY, doc TEXT NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS charges (seq INTEGER PRIMARY KEY, account TEXT NOT NULL, id TEXT NOT NULL UNIQUE, charge_key TEXT NOT NULL, doc TEXT NOT NULL)`,
	`CREATE INDEX IF NOT EXISTS charges_by_key ON charges (account, charge_key)`,
	`CREATE TABLE IF NOT EXISTS refunds (seq INTEGER PRIMARY KEY, account TEXT NOT NULL, id TEXT NOT NULL UNIQUE, refund_key TEXT NOT NULL, doc TEXT NOT NULL)`,
	`CREATE INDEX IF NOT EXISTS refunds_by_key ON refunds (account, refund_key)`,
	`CREATE TABLE IF NOT EXISTS disputes (seq INTEGER PRIMARY KEY, account TEXT NOT NULL, id TEXT NOT NULL, doc TEXT NOT NULL, UNIQUE (account, id))`,
	`CREATE TABLE IF NOT EXISTS requests (account TEXT NOT NULL, operation TEXT NOT NULL, request_key TEXT NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (account, operation, request_key))`,
	`CREATE TABLE IF NOT EXISTS faults (seq INTEGER PRIMARY KEY, account TEXT NOT NULL, operation TEXT NOT NULL, step TEXT NOT NULL, times INTEGER NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS jobs (seq INTEGER PRIMARY KEY, due BIGINT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL)`,
	`CREATE INDEX IF NOT EXISTS jobs_by_due ON jobs (due, seq)`,
	// due is NULL once the message was taken or given up.
	`CREATE TABLE IF NOT EXISTS messages (seq INTEGER PRIMARY KEY, due BIGINT, tries INTEGER NOT NULL, account TEXT NOT NULL, url TEXT NOT NULL, body BLOB NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS events (seq INTEGER PRIMARY KEY, at BIGINT NOT NULL, account TEXT NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL, UNIQUE (account, id))`,
	`CREATE INDEX IF NOT EXISTS events_by_time ON events (account, at, seq)`,
	`CREATE INDEX IF NOT EXISTS messages_by_due ON messages (due, seq) WHERE due IS NOT NULL`,
}

// groupLimit is how many changes one commit may carry.
const groupLimit = 128

var errClosed = errors.New("the sandbox is closed")

// book is the sandbox's memory. All changes run one after the other on one goroutine, so a change may read, decide
// and write without minding others; what is waiting goes into one commit.
type book struct {
	*db.DB
	changes chan change
	closing chan struct{}
	closed  chan struct{}
}

type change struct {
	run    func(projection.Tx) error
	result chan error
}

func openBook(dir string) (*book, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	d, err := db.Open(filepath.Join(dir, "sandbox.db"), db.Options{})
	if err != nil {
		return nil, err
	}
	err = d.Update(context.Background(), func(tx projection.Tx) error {
		for _, t := range tables {
			if _, err := tx.Exec(t); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	b := &book{DB: d, changes: make(chan change), closing: make(chan struct{}), closed: make(chan struct{})}
	go b.write()
	return b, nil
}

// do runs a change and returns once it is durable. It is not tied to a request's context: a buyer's bank does not
// stop because the shop hung up.
func (b *book) do(run func(projection.Tx) error) error {
	c := change{run: run, result: make(chan error, 1)}
	select {
	case b.changes <- c:
		return <-c.result
	case <-b.closing:
		return errClosed
	}
}

func (b *book) write() {
	defer close(b.closed)
	for {
		select {
		case c := <-b.changes:
			b.commit(b.gather(c))
		case <-b.closing:
			return
		}
	}
}

func (b *book) gather(first change) []change {
	group := []change{first}
	for len(group) < groupLimit {
		select {
		case c := <-b.changes:
			group = append(group, c)
		default:
			return group
		}
	}
	return group
}

// commit makes a group durable; if that fails, each on its own, so that nobody fails for another's sake.
func (b *book) commit(group []change) {
	err := b.Update(context.Background(), func(tx projection.Tx) error {
		for _, c := range group {
			if err := c.run(tx); err != nil {
				return err
			}
		}
		return nil
	})
	for _, c := range group {
		if err != nil && len(group) > 1 {
			c.result <- b.Update(context.Background(), c.run)
			continue
		}
		c.result <- err
	}
}

func (b *book) close() error {
	close(b.closing)
	<-b.closed
	return b.Close()
}

// one reads one document into v; found is false if there is none.
func one(row projection.Row, v any) (found bool, err error) {
	var doc string
	switch err := row.Scan(&doc); {
	case errors.Is(err, projection.ErrNoRows):
		return false, nil
	case err != nil:
		return false, err
	}
	return true, json.Unmarshal([]byte(doc), v)
}

// all reads the documents that a query answers.
func all[T any](ctx context.Context, r projection.Reader, query string, args ...any) (_ []T, err error) {
	rows, err := r.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	list := []T{}
	for rows.Next() {
		var doc string
		var v T
		if err := rows.Scan(&doc); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(doc), &v); err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, rows.Err()
}

// exec writes the document v with a statement whose first placeholder is the document.
func exec(tx projection.Tx, query string, v any, args ...any) error {
	doc, err := json.Marshal(v)
	if err != nil {
		return err
	}
	n, err := tx.Exec(query, append([]any{string(doc)}, args...)...)
	if err == nil && n == 0 {
		err = fmt.Errorf("no row to change: %s", query)
	}
	return err
}

// chargeRow is a charge with what its buyer and merchant do not see.
type chargeRow struct {
	charge
	NotifyURL string `json:"notify_url"`
	ReturnURL string `json:"return_url"`
	CancelURL string `json:"cancel_url"`
	Step      string `json:"step"`
	// MethodID is empty for a redirect until it is approved.
	MethodID string `json:"method_id"`
}

func (c *chargeRow) insert(tx projection.Tx) error {
	return exec(tx, `INSERT INTO charges (doc, account, id, charge_key) VALUES ($1, $2, $3, $4)`, c, c.Account, c.ID, c.Key)
}

func (c *chargeRow) save(tx projection.Tx) error {
	return exec(tx, `UPDATE charges SET doc = $1 WHERE id = $2`, c, c.ID)
}

func loadCharge(tx projection.Tx, id string) (*chargeRow, bool, error) {
	var c chargeRow
	found, err := one(tx.QueryRow(`SELECT doc FROM charges WHERE id = $1`, id), &c)
	return &c, found, err
}

func (r *refund) insert(tx projection.Tx) error {
	return exec(tx, `INSERT INTO refunds (doc, account, id, refund_key) VALUES ($1, $2, $3, $4)`, r, r.Account, r.ID, r.Key)
}

func (r *refund) save(tx projection.Tx) error {
	return exec(tx, `UPDATE refunds SET doc = $1 WHERE id = $2`, r, r.ID)
}

// methodRow is a stored method and its script.
type methodRow struct {
	storedMethod
	Account      string   `json:"account"`
	Subscription string   `json:"subscription"`
	NotifyURL    string   `json:"notify_url"`
	Steps        []string `json:"steps"`
	Next         int      `json:"next"`
	Revoked      bool     `json:"revoked"`
}

// take is the step of the next new charge.
func (m *methodRow) take() string {
	step := m.Steps[min(m.Next, len(m.Steps)-1)]
	m.Next++
	return step
}

func (m *methodRow) save(tx projection.Tx) error {
	return exec(tx, `INSERT INTO methods (doc, id) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET doc = excluded.doc`, m, m.Reference)
}

func loadMethod(tx projection.Tx, id string) (*methodRow, bool, error) {
	var m methodRow
	found, err := one(tx.QueryRow(`SELECT doc FROM methods WHERE id = $1`, id), &m)
	return &m, found, err
}

// requestRow is what is remembered of a key: its parameters, its step, and its first answer.
type requestRow struct {
	Fingerprint string    `json:"fingerprint"`
	Step        string    `json:"step"`
	MethodID    string    `json:"method_id"`
	At          time.Time `json:"at"`
	Calls       int       `json:"calls"`
	Answer      *answer   `json:"answer"` // absent until something was done
}

func loadRequest(tx projection.Tx, account, operation, key string) (*requestRow, bool, error) {
	var r requestRow
	found, err := one(tx.QueryRow(`SELECT doc FROM requests WHERE account = $1 AND operation = $2 AND request_key = $3`, account, operation, key), &r)
	return &r, found, err
}

func (r *requestRow) save(tx projection.Tx, account, operation, key string) error {
	return exec(tx, `INSERT INTO requests (doc, account, operation, request_key) VALUES ($1, $2, $3, $4)
		ON CONFLICT (account, operation, request_key) DO UPDATE SET doc = excluded.doc`, r, account, operation, key)
}

func loadAccount(tx projection.Tx, account string) (*accountBody, bool, error) {
	var a accountBody
	found, err := one(tx.QueryRow(`SELECT doc FROM accounts WHERE account = $1`, account), &a)
	return &a, found, err
}

// later notes a job.
func later(tx projection.Tx, due time.Time, kind, subject string) error {
	_, err := tx.Exec(`INSERT INTO jobs (due, kind, subject) VALUES ($1, $2, $3)`, due.UnixMicro(), kind, subject)
	return err
}
