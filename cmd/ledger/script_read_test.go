package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// minute is how the stories write instants.
const minute = "2006-01-02 15:04"

// state prints how a subscription stands, what matters only.
func (w *world) state(ts *testscript.TestScript, args []string) {
	usage(ts, args, "state SUB")
	s := w.subscription(ts, args[0])
	says := []string{subscription.StateName(s.State), fmt.Sprintf("paid up to number %d", s.PaidNumber)}
	for name, at := range pairs("next due", s.NextDueAt, "next attempt", s.NextAttemptAt, "paid through", s.PaidThrough, "ends", s.CancelAt) {
		if at != nil {
			says = append(says, name+" "+at.AsTime().Format(minute))
		}
	}
	if s.CancelReason != 0 {
		says = append(says, "reason "+enumName(s.CancelReason.Descriptor(), s.CancelReason.Number()))
	}
	if s.InDoubt {
		says = append(says, "in doubt")
	}
	if s.Disputed {
		says = append(says, "disputed")
	}
	fmt.Fprintln(ts.Stdout(), strings.Join(says, "\n"))
}

// pairs yields names and instants in their order.
func pairs(list ...any) func(yield func(string, *timestamppb.Timestamp) bool) {
	return func(yield func(string, *timestamppb.Timestamp) bool) {
		for i := 0; i < len(list); i += 2 {
			if !yield(list[i].(string), list[i+1].(*timestamppb.Timestamp)) {
				return
			}
		}
	}
}

// subscription is a subscription of the merchant default, once all that can happen now has happened.
func (w *world) subscription(ts *testscript.TestScript, id string) *ledgerv1.Subscription {
	s, err := ledgerv1.NewSubscriptionServiceClient(w.settled(ts).conn).GetSubscription(context.Background(),
		&ledgerv1.GetSubscriptionRequest{MerchantId: firstMerchant, SubscriptionId: id})
	ts.Check(err)
	return s
}

// orders prints a subscription's orders, oldest first. A pay number is followed by its re-attempt: 3+1.
func (w *world) orders(ts *testscript.TestScript, args []string) {
	usage(ts, args, "orders SUB")
	r, err := ledgerv1.NewOrderServiceClient(w.settled(ts).conn).ListOrders(context.Background(),
		&ledgerv1.ListOrdersRequest{MerchantId: firstMerchant, SubscriptionId: args[0], PageSize: 500})
	ts.Check(err)
	slices.Reverse(r.Orders)
	var rows [][]string
	if len(r.Orders) > 0 {
		rows = [][]string{{"ORDER", "TYPE", "PAY", "AMOUNT", "STATUS", "ON", "NOTE"}}
	}
	for _, o := range r.Orders {
		number, amount := "", ""
		if o.PayNumber > 0 {
			number = strconv.Itoa(int(o.PayNumber))
		}
		if o.Reattempt > 0 {
			number += fmt.Sprintf("+%d", o.Reattempt)
		}
		if o.Amounts != nil {
			amount = inWords(o.Amounts.Full)
		}
		var notes []string
		if o.ParentOrderId != 0 {
			notes = append(notes, fmt.Sprintf("of %d", o.ParentOrderId))
		}
		if o.DeclineCode != "" {
			notes = append(notes, o.DeclineCode)
		}
		if o.Late {
			notes = append(notes, "late")
		}
		rows = append(rows, []string{
			strconv.FormatInt(o.OrderId, 10), enumName(o.Type.Descriptor(), o.Type.Number()), number, amount,
			enumName(o.Status.Descriptor(), o.Status.Number()), o.OccurredAt.AsTime().Format(time.DateOnly), strings.Join(notes, ", "),
		})
	}
	columns(ts.Stdout(), rows)
}

// events prints a subscription's history, and of each event what a reader of the story wants to know.
func (w *world) events(ts *testscript.TestScript, args []string) {
	usage(ts, args, "events SUB")
	r, err := ledgerv1.NewSubscriptionServiceClient(w.settled(ts).conn).ListEvents(context.Background(),
		&ledgerv1.ListEventsRequest{MerchantId: firstMerchant, SubscriptionId: args[0], PageSize: 500})
	ts.Check(err)
	var rows [][]string
	for _, e := range r.Events {
		m := e.Event.ProtoReflect()
		kind := m.Get(m.WhichOneof(m.Descriptor().Oneofs().ByName("kind"))).Message()
		rows = append(rows, []string{e.Event.Metadata.RecordedAt.AsTime().Format(minute), e.Type, strings.Join(telling(kind), " ")})
	}
	columns(ts.Stdout(), rows)
}

// telling are the fields of an event that a story shows.
func telling(m protoreflect.Message) (fields []string) {
	list := m.Descriptor().Fields()
	for i := range list.Len() {
		fd := list.Get(i)
		if !m.Has(fd) {
			continue
		}
		switch name := string(fd.Name()); name {
		case "order_id", "parent_order_id", "pay_number", "attempt", "reattempt", "amount", "amounts", "charged", "category", "code",
			"next_attempt_at", "next_due", "cancel_at", "expires_at", "proof", "reason", "inquiry", "outcome", "full", "fee",
			"count", "payments", "over_returned":
			fields = append(fields, name+"="+fieldText(fd, m.Get(fd)))
		}
	}
	return fields
}

func fieldText(fd protoreflect.FieldDescriptor, v protoreflect.Value) string {
	if fd.Kind() == protoreflect.EnumKind {
		return enumName(fd.Enum(), v.Enum())
	}
	if fd.Kind() != protoreflect.MessageKind {
		return strings.ReplaceAll(v.String(), " ", "_")
	}
	switch m := v.Message().Interface().(type) {
	case *timestamppb.Timestamp:
		return m.AsTime().Format("2006-01-02T15:04")
	case *ledgerv1.Money:
		return inWords(m)
	case *ledgerv1.Amounts:
		return inWords(m.Full)
	}
	return "?"
}

// columns writes rows as a table without blanks at the ends of its lines.
func columns(w io.Writer, rows [][]string) {
	var text strings.Builder
	tw := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(tw, strings.Join(row, "\t"))
	}
	tw.Flush()
	for line := range strings.Lines(text.String()) {
		fmt.Fprintln(w, strings.TrimRight(line, " \n"))
	}
}
