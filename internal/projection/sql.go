package projection

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/event"
)

// subscriptions is the category that the views follow; see the subscription package.
const subscriptions = "subscription"

// ownerOf reads the merchant and the subscription from the name of a stream, "subscription-<merchant>.<id>".
func ownerOf(stream string) (merchant, id string, err error) {
	rest, ok := strings.CutPrefix(stream, subscriptions+"-")
	merchant, id, dot := strings.Cut(rest, ".")
	if !ok || !dot || merchant == "" || id == "" {
		return "", "", fmt.Errorf("%q is not the stream of a subscription", stream)
	}
	return merchant, id, nil
}

// unknownKind is the answer to an event that a projection neither handles nor lists as silent: it must stop, since
// skipping would leave the view wrong for ever.
func unknownKind(projection string, e *ledgerv1.Event) error {
	return fmt.Errorf("%w: %s has no case for %T", event.ErrUnknownKind, projection, e.GetKind())
}

// micros is how a time is stored; nil, which is NULL, if it is absent.
func micros(t *timestamppb.Timestamp) any {
	if t == nil {
		return nil
	}
	return t.AsTime().UnixMicro()
}

// timestamp reads what micros wrote.
func timestamp(us *int64) *timestamppb.Timestamp {
	if us == nil {
		return nil
	}
	return timestamppb.New(time.UnixMicro(*us))
}

// minor are the minor units of a money that may be absent.
func minor(m *ledgerv1.Money) int64 { return m.GetMinorUnits() }

// parts is how Amounts are read: five columns and their currency.
type parts struct {
	full, base, discount, shipping, tax *int64
	currency                            string
}

func (p *parts) amounts() *ledgerv1.Amounts {
	if p.full == nil {
		return nil
	}
	return &ledgerv1.Amounts{
		Full:     p.money(p.full),
		Base:     p.money(p.base),
		Discount: p.money(p.discount),
		Shipping: p.money(p.shipping),
		Tax:      p.money(p.tax),
	}
}

func (p *parts) money(units *int64) *ledgerv1.Money {
	m := &ledgerv1.Money{CurrencyCode: p.currency}
	if units != nil {
		m.MinorUnits = *units
	}
	return m
}

// enum is any generated enum.
type enum interface {
	protoreflect.Enum
	String() string
}

// word is how an enum's value is stored: its name in lower case without the enum's prefix, so that an analyst reads
// "partial_refund" and not a number.
func word(prefix string, v enum) string {
	return strings.ToLower(strings.TrimPrefix(v.String(), prefix))
}

// value reads what word wrote; values is the generated map of names. Another word is 0, UNSPECIFIED.
func value(values map[string]int32, prefix, word string) int32 {
	return values[prefix+strings.ToUpper(word)]
}

// Prefixes of the names of stored enums.
const (
	orderTypePrefix      = "ORDER_TYPE_"
	modePrefix           = "MODE_"
	payNumberStatePrefix = "PAY_NUMBER_STATE_"
)

// where collects the conditions of a query and their arguments.
type where struct {
	conditions []string
	args       []any
}

// arg adds an argument and returns its placeholder.
func (w *where) arg(v any) string {
	w.args = append(w.args, v)
	return fmt.Sprintf("$%d", len(w.args))
}

// and adds a condition in which each %s stands for one of the arguments.
func (w *where) and(condition string, args ...any) {
	places := make([]any, len(args))
	for i, a := range args {
		places[i] = w.arg(a)
	}
	w.conditions = append(w.conditions, fmt.Sprintf(condition, places...))
}

// in adds the condition that a column has one of the values; no values, no condition.
func (w *where) in(column string, values []string) {
	if len(values) == 0 {
		return
	}
	places := make([]string, len(values))
	for i, v := range values {
		places[i] = w.arg(v)
	}
	w.conditions = append(w.conditions, column+" IN ("+strings.Join(places, ", ")+")")
}

// between adds the conditions of a half-open stretch of time; a zero end is open.
func (w *where) between(column string, from, to time.Time) {
	if !from.IsZero() {
		w.and(column+" >= %s", from.UnixMicro())
	}
	if !to.IsZero() {
		w.and(column+" < %s", to.UnixMicro())
	}
}

// versionAt adds the condition that a version held at an instant; now, if that is zero.
func (w *where) versionAt(asOf time.Time) {
	if asOf.IsZero() {
		w.and("known_to IS NULL")
		return
	}
	w.and("known_from <= %s AND (known_to IS NULL OR known_to > %s)", asOf.UnixMicro(), asOf.UnixMicro())
}

func (w *where) String() string { return "WHERE " + strings.Join(w.conditions, " AND ") }

// collect reads the rows of an answer one by one.
func collect[R any](rows Rows, err error, scan func(Row) (R, error)) ([]R, error) {
	if err != nil {
		return nil, err
	}
	var out []R
	for rows.Next() {
		r, err := scan(rows)
		if err != nil {
			rows.Close()
			return nil, err
		}
		out = append(out, r)
	}
	if err := rows.Err(); err != nil {
		rows.Close()
		return nil, err
	}
	return out, rows.Close()
}
