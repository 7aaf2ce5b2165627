package sandbox

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"ledger.internal/ledger/internal/projection"
)

// Operations, as faults and remembered keys name them.
const (
	opCharge = "charge"
	opRefund = "refund"
	opLookup = "lookup"
	opList   = "list" // the events
	opAny    = "any"  // of these
	// opWebhook is what the sandbox does, not its caller.
	opWebhook = "webhook"
)

// maxAmount keeps fees and sums far from overflowing.
const maxAmount = 100_000_000_000_000

func (q *chargeRequest) check() error {
	if q.Token != "" && q.Method != "" {
		return errors.New("token and method exclude each other")
	}
	if len(q.Metadata.Subscription) > 255 || len(q.Metadata.Merchant) > 255 {
		return errors.New("metadata holds at most 255 characters each")
	}
	return errors.Join(checkKey(q.Key), q.Amount.check(0))
}

func (m money) check(least int64) error {
	if len(m.CurrencyCode) != 3 || strings.Trim(m.CurrencyCode, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return errors.New("currency_code is three capital letters")
	}
	if m.MinorUnits < least || m.MinorUnits > maxAmount {
		return fmt.Errorf("minor_units is between %d and %d", least, int64(maxAmount))
	}
	return nil
}

func checkKey(key string) error {
	if key == "" || len(key) > 255 {
		return errors.New("key has 1 to 255 characters")
	}
	return nil
}

// fingerprint is what must be the same when a key is repeated: all but the addresses, which move with the caller.
func (q chargeRequest) fingerprint() (string, error) {
	q.NotifyURL, q.ReturnURL, q.CancelURL = "", "", ""
	return fingerprint(q)
}

func fingerprint(v any) (string, error) {
	b, err := json.Marshal(v)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), err
}

// name derives an id from what it stands for, so that a replayed script names everything the same.
func name(prefix string, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return prefix + hex.EncodeToString(sum[:12])
}

// repeat answers a key that was sent before. ok is false if the request has to be carried out.
func (row *requestRow) repeat(print string, byKey bool) (a answer, ok bool) {
	switch {
	case !byKey:
		return answer{}, false
	case row.Fingerprint != print:
		return problem(http.StatusConflict, codeKeyReused, "The key was used with other parameters."), true
	case row.Answer == nil:
		return answer{}, false
	}
	return *row.Answer, true
}

// carryOutCharge carries out a request to charge, inside a change.
func carryOutCharge(tx projection.Tx, account string, q chargeRequest, byKey bool, base string, now time.Time) (answer, error) {
	acc, found, err := loadAccount(tx, account)
	if err != nil || !found {
		return problem(http.StatusUnauthorized, "unauthorized", "No such account."), err
	}
	print, err := q.fingerprint()
	if err != nil {
		return answer{}, err
	}
	row, known, err := loadRequest(tx, account, opCharge, q.Key)
	if err != nil {
		return answer{}, err
	}
	if known && now.Sub(row.At) < keyLifetime {
		if a, ok := row.repeat(print, byKey); ok {
			return a, nil
		}
	} else {
		var refused *answer
		if row, refused, err = firstCharge(tx, account, acc, q, now); err != nil || refused != nil {
			return deref(refused), err
		}
		row.Fingerprint = print
	}
	row.Calls++
	a, err := takePayment(tx, account, acc, q, row, base, now)
	if err != nil {
		return answer{}, err
	}
	return a, row.save(tx, account, opCharge, q.Key)
}

func deref(a *answer) answer {
	if a == nil {
		return answer{}
	}
	return *a
}

// firstCharge gives a new key its step: a fault's, the method's next, or the redirect.
func firstCharge(tx projection.Tx, account string, acc *accountBody, q chargeRequest, now time.Time) (*requestRow, *answer, error) {
	row := &requestRow{At: now, Step: "redirect"}
	fault, err := takeFault(tx, account, opCharge)
	if err != nil {
		return nil, nil, err
	}
	if q.Token != "" || q.Method != "" {
		m, refused, err := methodOf(tx, account, acc, q)
		if err != nil || refused != nil {
			return nil, refused, err
		}
		row.MethodID, row.Step = m.Reference, "lost"
		if !m.Revoked && fault == "" {
			row.Step = m.take()
		}
		if special := amountStep(q.Amount.MinorUnits); row.Step == "ok" && special != "" {
			row.Step = special
		}
		if err := m.save(tx); err != nil {
			return nil, nil, err
		}
	}
	if fault != "" {
		row.Step = fault
	}
	return row, nil, nil
}

// methodOf is the method that a charge names, or that its token becomes. The same token used again for the same
// subscription is the same method, so that a script goes on where it was.
func methodOf(tx projection.Tx, account string, acc *accountBody, q chargeRequest) (*methodRow, *answer, error) {
	if q.Method != "" {
		m, found, err := loadMethod(tx, q.Method)
		if err == nil && (!found || m.Account != account) {
			a := problem(http.StatusBadRequest, codeUnknownMethod, "No such method.")
			return nil, &a, nil
		}
		return m, nil, err
	}
	steps, ok := script(q.Token)
	if !ok {
		a := problem(http.StatusBadRequest, codeUnknownToken, "No such token.")
		return nil, &a, nil
	}
	identity := q.Metadata.Merchant + "\x00" + q.Metadata.Subscription
	if q.Metadata.Subscription == "" {
		identity = q.Key
	}
	for n := 0; ; n++ {
		id := name("pm_", account, q.Token, identity, strconv.Itoa(n))
		m, found, err := loadMethod(tx, id)
		switch {
		case err != nil:
			return nil, nil, err
		case !found:
			return newMethod(id, account, acc, q.Metadata, q.NotifyURL, steps), nil, nil
		case !m.Revoked:
			return m, nil, nil
		}
	}
}

func newMethod(id, account string, acc *accountBody, md metadata, notifyURL string, steps []string) *methodRow {
	m := &methodRow{
		storedMethod: storedMethod{Reference: id, Brand: "visa", Last4: "4242"},
		Account:      account, Subscription: md.Subscription, NotifyURL: notifyURL, Steps: steps,
	}
	if strings.EqualFold(acc.Processor, "PayPal") {
		sum := sha256.Sum256([]byte(id))
		agreement := "B-" + base32.StdEncoding.EncodeToString(sum[:])[:17]
		m.storedMethod = storedMethod{Reference: id, Brand: "paypal", AgreementID: agreement}
	}
	return m
}

// takePayment does what the step of row says, and words the answer.
func takePayment(tx projection.Tx, account string, acc *accountBody, q chargeRequest, row *requestRow, base string, now time.Time) (answer, error) {
	b, ok := chargeStep(row.Step)
	if row.Step == "redirect" {
		b, ok = behaviour{effect: pend, then: expired}, true
	}
	if !ok {
		return answer{}, fmt.Errorf("charge %s: no step %q", q.Key, row.Step)
	}
	if a, away := turnAway(b.telling); away && row.Calls == 1 {
		return a, nil
	}
	if b.effect == nothing {
		a := answer{}.spoil(b.telling, "")
		if b.telling == by500 {
			row.Answer = &a
		}
		return a, nil
	}
	c, err := newCharge(tx, account, acc, q, row, now)
	if err != nil {
		return answer{}, err
	}
	if err := c.begin(tx, b, now); err != nil {
		return answer{}, err
	}
	if err := c.insert(tx); err != nil {
		return answer{}, err
	}
	a, err := answerWith(http.StatusOK, c.at(base))
	if c.Status == hidden {
		a = inProgress()
	}
	a = a.spoil(b.telling, c.ID)
	row.Answer = &a
	return a, err
}

func newCharge(tx projection.Tx, account string, acc *accountBody, q chargeRequest, row *requestRow, now time.Time) (*chargeRow, error) {
	var before int
	if err := tx.QueryRow(`SELECT count(*) FROM charges WHERE account = $1 AND charge_key = $2`, account, q.Key).Scan(&before); err != nil {
		return nil, err
	}
	c := &chargeRow{
		charge: charge{
			ID:      name("ch_", account, q.Key, strconv.Itoa(before)),
			Account: account, Key: q.Key, Amount: q.Amount, CreatedAt: now, ExpiresAt: q.ExpiresAt, Metadata: q.Metadata,
		},
		NotifyURL: q.NotifyURL, ReturnURL: q.ReturnURL, CancelURL: q.CancelURL, Step: row.Step, MethodID: row.MethodID,
	}
	if c.NotifyURL == "" {
		c.NotifyURL = acc.NotifyURL
	}
	return c, nil
}

// begin lets a new charge happen as b says.
func (c *chargeRow) begin(tx projection.Tx, b behaviour, now time.Time) error {
	switch b.effect {
	case decline:
		return c.fail(tx, b.decline, now)
	case declineLate:
		return errors.Join(c.fail(tx, b.decline, now), later(tx, now.Add(lateAfter), jobLate, c.ID))
	case pend:
		c.Status = pending
		due := now.Add(decideAfter)
		if c.Step == "redirect" {
			due = now.Add(redirectExpiry)
		}
		if b.then == expired {
			if c.ExpiresAt == nil {
				c.ExpiresAt = &due
			}
			due = *c.ExpiresAt
		}
		return later(tx, due, jobDecide, c.ID)
	case appear:
		c.Status = hidden
		return later(tx, now.Add(decideAfter), jobAppear, c.ID)
	case wrongAmount:
		c.Amount.MinorUnits++
	case wrongCurrency:
		c.Amount.CurrencyCode = other(c.Amount.CurrencyCode)
	}
	if err := c.succeed(tx, now); err != nil {
		return err
	}
	if b.dispute {
		if err := later(tx, now.Add(disputeAfter), jobDispute, c.ID); err != nil {
			return err
		}
	}
	if b.twice {
		return errors.Join(c.notify(tx, now), c.notify(tx, now))
	}
	return nil
}

// other is a currency that is not the given one.
func other(currency string) string {
	if currency == "EUR" {
		return "USD"
	}
	return "EUR"
}

// succeed moves the money.
func (c *chargeRow) succeed(tx projection.Tx, at time.Time) error {
	c.Status, c.Decline, c.DecidedAt = succeeded, nil, &at
	if n := c.Amount.MinorUnits; n > 0 {
		c.Fee = &money{CurrencyCode: c.Amount.CurrencyCode, MinorUnits: (n*29+500)/1000 + 30}
	}
	if b, _ := chargeStep(c.Step); b.settled {
		c.Settled = &money{CurrencyCode: other(c.Amount.CurrencyCode), MinorUnits: c.Amount.MinorUnits * 9 / 10}
	}
	m, found, err := loadMethod(tx, c.MethodID)
	if found {
		c.Method = &m.storedMethod
	}
	return err
}

// fail refuses the money. If the agreement is lost, it is lost for all charges to come.
func (c *chargeRow) fail(tx projection.Tx, d *declined, at time.Time) error {
	c.Status, c.Decline, c.DecidedAt = failed, d, &at
	if !d.AgreementLost {
		return nil
	}
	m, found, err := loadMethod(tx, c.MethodID)
	if err != nil || !found {
		return err
	}
	m.Revoked = true
	return m.save(tx)
}
