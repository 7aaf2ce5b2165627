package payabl

import (
	"bytes"
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/adapters/gateway"
)

// How tx_diagnose writes dates, and in what portions it is asked: ranges of a month or more are answered with 504
// (https://docs.payabl.com/docs/diagnose-interface-1). The end is inclusive.
const (
	dayLayout    = "02.01.2006"
	timeLayout   = "02.01.2006 15:04:05"
	longestRange = 28 * 24 * time.Hour
)

// zoneSlack is how far a date of payabl.'s may be from the same instant in UTC: no page says which zone they are in.
const zoneSlack = 24 * time.Hour

// aZone is what zones differ by.
const aZone = 15 * time.Minute

// transaction is one of payabl.'s with what has happened to it, or an entry of a list, which has a booking date instead.
type transaction struct {
	id, order string
	amount    *ledgerv1.Money
	booked    time.Time
	bookedAs  string // as it is written: it does not move with the clocks
	steps     []step
}

// step is one thing that happened to a transaction: its order, a capture, a refund.
type step struct {
	kind    string
	code    int
	amount  *ledgerv1.Money
	order   string
	custom  string
	created time.Time // zero if it cannot be said
}

// diagnose asks for transactions. An error means that it was not answered; no transaction, that payabl. knows of none.
func (g *Gateway) diagnose(ctx context.Context, conn gateway.Connection, p params) ([]transaction, error) {
	reply, err := g.post(ctx, conn, diagnoses, p)
	if err != nil {
		return nil, err
	}
	if r, refused := gateway.Refused(reply, g.c.Clock.Now()); refused {
		return nil, &refusalError{r}
	}
	if reply.Status != http.StatusOK {
		return nil, fmt.Errorf("tx_diagnose: status %d", reply.Status)
	}
	list, err := parseDiagnosis(reply.Body, g.c.Clock.Now())
	if err != nil {
		return nil, fmt.Errorf("tx_diagnose: %w", err)
	}
	return list, nil
}

// A refusalError is a question that payabl. did not look at, with what that says of whoever asked.
type refusalError struct{ result gateway.Result }

func (e *refusalError) Error() string { return e.result.Why }

// refusal is the error of a question that was answered with a status other than 0.
func refusal(status, message string) error {
	if n, err := parseCode(status); err == nil {
		if r, ok := turnedAway(n); ok && r.Class == gateway.NotSent {
			return &refusalError{r}
		}
	}
	return fmt.Errorf("refused with %.20q: %.200q", status, message)
}

// byOrder finds the transactions with an order id that came in at `from` or later, latest range first. It stops at the
// first range that has any.
func (g *Gateway) byOrder(ctx context.Context, conn gateway.Connection, order string, from time.Time) ([]transaction, error) {
	for start, end := range backwards(from, g.c.Clock.Now()) {
		list, err := g.diagnose(ctx, conn, params{"type": "orderid", "orderid": order, "start_date": start, "end_date": end})
		if err != nil || len(list) > 0 {
			return list, errors.Join(err, allOf(list, order))
		}
	}
	return nil, nil
}

func allOf(list []transaction, order string) error {
	for _, t := range list {
		if t.order != order {
			return errors.New("tx_diagnose: the answer is about another order")
		}
	}
	return nil
}

// byID finds a transaction; nil if payabl. has none of that id.
func (g *Gateway) byID(ctx context.Context, conn gateway.Connection, id string) (*transaction, error) {
	list, err := g.diagnose(ctx, conn, params{"type": "tx", "transactionid": id})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	if len(list) > 1 || list[0].id != id {
		return nil, errors.New("tx_diagnose: the answer is about another transaction")
	}
	return &list[0], nil
}

// backwards are the ranges of dates from now back to from, with a day to spare at either end.
func backwards(from, now time.Time) func(yield func(start, end string) bool) {
	from, end := from.UTC().Add(-zoneSlack), now.UTC().Add(zoneSlack)
	if from.After(now) {
		from = now.Add(-zoneSlack)
	}
	return func(yield func(string, string) bool) {
		for ; end.After(from); end = end.Add(-longestRange) {
			start := end.Add(-longestRange)
			if start.Before(from) {
				start = from
			}
			if !yield(start.Format(dayLayout), end.Format(dayLayout)) {
				return
			}
		}
	}
}

// The answer as it is written. Steps are called step1, step2 and so on.
type (
	wireDiagnosis struct {
		XMLName xml.Name `xml:"response"`
		Process *struct {
			Status string `xml:"status"`
			Error  string `xml:"error_message"`
			Time   string `xml:"process_time"`
		} `xml:"process"`
		Transactions []wireTransaction `xml:"transaction"`
	}
	wireTransaction struct {
		ID       string `xml:"transaction_id"`
		Amount   string `xml:"amount"`
		Currency string `xml:"currency"`
		Order    string `xml:"order_id"`
		Booked   string `xml:"booking_date"`
		Status   struct {
			Steps []wireStep `xml:",any"`
		} `xml:"transaction_status"`
	}
	wireStep struct {
		XMLName  xml.Name
		Type     string `xml:"type"`
		Code     string `xml:"error_code"`
		Amount   string `xml:"amount"`
		Currency string `xml:"currency"`
		Order    string `xml:"order_id"`
		Custom   string `xml:"custom1"`
		Created  string `xml:"creation_date"`
	}
)

// deepest is how far elements may be nested; the published answers need four levels.
const deepest = 16

// zone is what makes UTC of payabl.'s dates, by what it calls now: no page says which zone it keeps. It is nil if that
// cannot be told.
type zone func(time.Time) time.Time

func zoneOf(processTime string, now time.Time) zone {
	theirs, err := readTime(processTime)
	ahead := theirs.Sub(now.UTC()).Round(aZone)
	if err != nil || theirs.IsZero() || ahead.Abs() > zoneSlack {
		return nil
	}
	return func(t time.Time) time.Time { return t.Add(-ahead) }
}

func (z zone) read(text string) (time.Time, error) {
	t, err := readTime(text)
	if err != nil || z == nil || t.IsZero() {
		return time.Time{}, err
	}
	return z(t), nil
}

// parseDiagnosis reads an answer that came at now.
func parseDiagnosis(body []byte, now time.Time) ([]transaction, error) {
	if err := checkXML(body); err != nil {
		return nil, err
	}
	var w wireDiagnosis
	if err := newDecoder(body).Decode(&w); err != nil {
		return nil, fmt.Errorf("unreadable: %w", err)
	}
	if w.Process == nil {
		return nil, errors.New("unreadable: it says nothing of itself")
	}
	if s := strings.TrimSpace(w.Process.Status); s != "0" {
		return nil, refusal(s, w.Process.Error)
	}
	var list []transaction
	z := zoneOf(w.Process.Time, now)
	for _, wt := range w.Transactions {
		t, err := wt.read(z)
		if err != nil {
			return nil, fmt.Errorf("unreadable: %w", err)
		}
		list = append(list, t)
	}
	return list, nil
}

// checkXML refuses what no answer of payabl.'s needs and a parser may stumble over: declarations of entities, depth, and
// anything after the end.
func checkXML(body []byte) error {
	d, depth, roots := newDecoder(body), 0, 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("unreadable: %w", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if depth == 0 {
				roots++
			}
			depth++
		case xml.EndElement:
			depth--
		case xml.Directive:
			return errors.New("unreadable: it declares something")
		case xml.CharData:
			if depth == 0 && len(bytes.TrimSpace(token)) > 0 {
				return errors.New("unreadable: text outside of the answer")
			}
		}
		if depth > deepest {
			return errors.New("unreadable: too deep")
		}
	}
	if roots != 1 {
		return errors.New("unreadable: not one answer")
	}
	return nil
}

// newDecoder reads ISO-8859-1 where that is declared, once: each time more would double the length of what follows.
func newDecoder(body []byte) *xml.Decoder {
	d := xml.NewDecoder(bytes.NewReader(body))
	declared := false
	d.CharsetReader = func(charset string, in io.Reader) (io.Reader, error) {
		if declared || !strings.EqualFold(charset, "ISO-8859-1") {
			return nil, fmt.Errorf("no such encoding here: %.20q", charset)
		}
		declared = true
		b, err := io.ReadAll(in)
		return strings.NewReader(fromLatin1(string(b))), err
	}
	return d
}

// read makes sense of a transaction. Ids come with blanks before them.
func (w wireTransaction) read(z zone) (transaction, error) {
	t := transaction{id: strings.TrimSpace(w.ID), order: strings.TrimSpace(w.Order), bookedAs: strings.TrimSpace(w.Booked)}
	if t.id == "" {
		return t, errors.New("a transaction without an id")
	}
	var err error
	if t.booked, err = z.read(w.Booked); err != nil {
		return t, err
	}
	if t.amount, err = readAmount(w.Amount, w.Currency); err != nil {
		return t, err
	}
	slices.SortStableFunc(w.Status.Steps, func(a, b wireStep) int { return cmp.Compare(a.number(), b.number()) })
	for _, ws := range w.Status.Steps {
		s, err := ws.read(z)
		if err != nil {
			return t, err
		}
		if t.order == "" {
			t.order = s.order
		}
		t.steps = append(t.steps, s)
	}
	return t, nil
}

func (w wireStep) number() int {
	n, _ := strconv.Atoi(strings.TrimPrefix(w.XMLName.Local, "step")) // 0 for a stranger, which then says what it is itself
	return n
}

func (w wireStep) read(z zone) (s step, err error) {
	s = step{kind: strings.TrimSpace(w.Type), order: strings.TrimSpace(w.Order), custom: strings.TrimSpace(w.Custom)}
	if s.code, err = parseCode(strings.TrimSpace(w.Code)); err != nil {
		return s, err
	}
	if s.created, err = z.read(w.Created); err != nil {
		return s, err
	}
	s.amount, err = readAmount(w.Amount, w.Currency)
	return s, err
}

func readTime(text string) (time.Time, error) {
	if text = strings.TrimSpace(text); text == "" {
		return time.Time{}, nil
	}
	return time.Parse(timeLayout, text)
}

func readAmount(amount, currency string) (*ledgerv1.Money, error) {
	if amount = strings.TrimSpace(amount); amount == "" {
		return nil, nil
	}
	return parseAmount(amount, strings.TrimSpace(currency))
}
