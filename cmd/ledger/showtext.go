package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/money"
	"ledger.internal/ledger/internal/aggregate/subscription"
)

// print writes the account for people.
func (a account) print(w io.Writer, steps bool) {
	for _, line := range wrapped(headline(a.subscription), 80) {
		fmt.Fprintln(w, plain(line))
	}
	for _, text := range a.circumstances() {
		for _, line := range wrapped(text, 78) {
			fmt.Fprintf(w, "  %s\n", plain(line))
		}
	}
	section(w, "WHAT HAPPENED")
	a.printTimeline(w, steps)
	section(w, "WHAT COMES NEXT")
	for _, line := range a.next() {
		fmt.Fprintf(w, "  %s\n", plain(line))
	}
	if d := lastDecline(a.events); d != nil {
		section(w, "WHY THE LAST CHARGE FAILED")
		fmt.Fprintf(w, "  %s\n", declineInWords(d.Category, d.Code))
	}
	if open := questions(a.events); len(open) > 0 {
		section(w, "WHAT IS OPEN")
		printQuestions(w, open)
	}
	section(w, "WHAT THE MERCHANT WAS TOLD")
	a.printDeliveries(w)
}

func section(w io.Writer, title string) { fmt.Fprintf(w, "\n%s\n", title) }

// headline says who, what and how it stands: "alpha is active: A course, 47.00 USD monthly, for buyer 1001".
func headline(s *ledgerv1.Subscription) string {
	state := strings.ReplaceAll(subscription.StateName(s.State), "_", " ")
	if s.InDoubt {
		state += ", in doubt"
	}
	if s.Disputed {
		state += ", disputed"
	}
	return fmt.Sprintf("%s is %s: %s, %s, for %s", s.SubscriptionId, state,
		s.Terms.GetProductName(), priceOf(s.Terms), buyerOf(s.Buyer))
}

// buyerOf names a buyer by what is known of him.
func buyerOf(b *ledgerv1.Buyer) string {
	if name := strings.TrimSpace(b.GetFirstName() + " " + b.GetLastName()); name != "" {
		return fmt.Sprintf("buyer %s (%s)", b.GetId(), name)
	}
	return "buyer " + b.GetId()
}

// circumstances are what stands below the headline: how it is paid, and what came of it.
func (a account) circumstances() []string {
	s := a.subscription
	how := []string{"merchant " + s.MerchantId, "connection " + s.ConnectionId}
	if m := s.PaymentMethod; m.GetLast4() != "" {
		how = append(how, strings.TrimSpace(m.Brand+" "+m.Last4))
	}
	if s.ExternalRef != "" {
		how = append(how, "reference "+s.ExternalRef)
	}
	if email := s.Buyer.GetEmail(); email != "" {
		how = append(how, email)
	}
	came := []string{fmt.Sprintf("%d paid", s.PaidNumber), "cash " + cashTotal(a.orders)}
	if s.StartedAt != nil {
		came = append([]string{"began " + dayOf(s.StartedAt)}, came...)
	}
	if s.PaidThrough != nil {
		came = append(came, "entitled until "+minuteOf(s.PaidThrough))
	}
	return []string{strings.Join(how, ", "), strings.Join(came, ", ")}
}

// cashTotal is what all orders together brought the merchant.
func cashTotal(orders []*ledgerv1.Order) string {
	var total *ledgerv1.Money
	for _, o := range orders {
		if c := o.CashEffect; c != nil {
			total = money.New(c.CurrencyCode, total.GetMinorUnits()+c.MinorUnits) // a subscription has one currency
		}
	}
	if total == nil {
		return "none"
	}
	return inWords(total)
}

func (a account) printTimeline(w io.Writer, steps bool) {
	var rows [][]any
	for _, e := range a.events {
		h, ok := narrate(e.GetEvent())
		if !ok {
			h = happening{at: e.GetEvent().GetMetadata().GetOccurredAt(), words: e.GetType(), number: "-"} // of a newer server
		}
		if h.step && !steps {
			continue
		}
		words := wrapped(h.words, 34) // so that most lines fit on 80 columns
		rows = append(rows, []any{"  " + minuteOf(h.at), orderOf(h.order), right(h.number), right(inWords(h.amount)), words[0]})
		for _, more := range words[1:] {
			rows = append(rows, []any{"", "", "", "", more})
		}
	}
	table(w, "  nothing", []any{"  WHEN", "ORDER", right("PAY"), right("AMOUNT"), "WHAT"}, rows)
}

func printQuestions(w io.Writer, open []question) {
	var rows [][]any
	for _, q := range open {
		words := wrapped(q.words, 66)
		rows = append(rows, []any{"  " + dayOf(q.since), words[0]})
		for _, more := range words[1:] {
			rows = append(rows, []any{"", more})
		}
	}
	table(w, "", []any{"  SINCE", "WHAT"}, rows)
}

// wrapped are the lines of a text, of at most n letters where its words allow that.
func wrapped(text string, n int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line+" "+word) > n {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return append(lines, line)
}

// next says what will happen by itself and when, or why nothing will.
func (a account) next() (lines []string) {
	s := a.subscription
	if still := standstill(s); still != "" {
		lines = append(lines, still)
	} else if s.OpenAttempt != nil || !endsBefore(s) {
		lines = append(lines, payment(s))
	}
	if s.CancelAt != nil && !hasEnded(s) {
		lines = append(lines, fmt.Sprintf("%s  it ends: %s", minuteOf(s.CancelAt), reasonInWords(s.CancelReason)))
	}
	if n := len(a.events); s.InDoubt && n > 0 {
		if due := a.events[n-1].GetEvent().GetMetadata().GetDueAt(); due != nil {
			lines = append(lines, minuteOf(due)+"  the gateway is asked about what is in doubt")
		}
	}
	slices.SortStableFunc(lines, byTime)
	return lines
}

// byTime puts lines that begin with a time in order, behind those that do not.
func byTime(a, b string) int {
	at := func(s string) string {
		if _, err := time.Parse(minuteForm, s[:min(len(s), len(minuteForm))]); err == nil {
			return s[:len(minuteForm)]
		}
		return ""
	}
	return cmp.Compare(at(a), at(b))
}

// endsBefore reports whether a subscription ends before anything is charged again.
func endsBefore(s *ledgerv1.Subscription) bool {
	due := s.NextDueAt
	if s.State == ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_PAST_DUE {
		due = s.NextAttemptAt
	}
	return s.CancelAt != nil && !s.CancelAt.AsTime().After(due.AsTime())
}

func hasEnded(s *ledgerv1.Subscription) bool {
	switch s.State {
	case ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_CANCELLED, ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_COMPLETED,
		ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_FAILED:
		return true
	}
	return false
}

// standstill says why nothing will be charged; empty if something will.
func standstill(s *ledgerv1.Subscription) string {
	switch {
	case hasEnded(s):
		return "nothing more is charged"
	case s.AmountMismatch:
		return "nothing is charged until the charge of another amount is settled"
	case s.Held:
		return "nothing is charged until the dispute is closed"
	case s.State == ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_PAUSED:
		return "nothing is charged until it is resumed"
	case s.State == ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_PENDING:
		return "the first payment is not decided yet" + until(s.OpenAttempt.GetExpiresAt())
	case s.State == ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_PAST_DUE && s.NextAttemptAt == nil && s.OpenAttempt == nil:
		return fmt.Sprintf("payment %d is not tried again by itself: another payment method is needed", s.PaidNumber+1)
	case s.NextDueAt == nil && s.OpenAttempt == nil && s.State != ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_PAST_DUE:
		return "nothing is due"
	}
	return ""
}

// payment says when the next payment is tried.
func payment(s *ledgerv1.Subscription) string {
	number, amount := s.PaidNumber+1, ""
	if s.NextAmounts != nil {
		amount = ", " + inWords(s.NextAmounts.Full)
	}
	switch {
	case s.OpenAttempt != nil:
		return fmt.Sprintf("payment %d%s is not decided yet%s", number, amount, until(s.OpenAttempt.ExpiresAt))
	case s.State == ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_PAST_DUE:
		return fmt.Sprintf("%s  payment %d%s is tried again", minuteOf(s.NextAttemptAt), number, amount)
	case s.ChargedBy == ledgerv1.ChargedBy_CHARGED_BY_GATEWAY:
		return fmt.Sprintf("%s  payment %d%s is due; the gateway charges it by itself", minuteOf(s.NextDueAt), number, amount)
	}
	return fmt.Sprintf("%s  payment %d%s is charged", minuteOf(s.NextDueAt), number, amount)
}

// lastDecline is the decline of the last charge that was decided; nil if that one went well.
func lastDecline(events []*ledgerv1.RecordedEvent) (last *ledgerv1.PaymentDeclined) {
	for _, e := range events {
		switch m := kindOf(e.GetEvent()).(type) {
		case *ledgerv1.PaymentDeclined:
			last = m
		case *ledgerv1.PaymentSucceeded, *ledgerv1.LateChargeObserved, *ledgerv1.PaymentObserved:
			last = nil
		}
	}
	return last
}

func (a account) printDeliveries(w io.Writer) {
	var rows [][]any
	for _, d := range a.deliveries {
		state := strings.ReplaceAll(d.State, "_", " ")
		if d.NextTryAt != nil {
			state += ", next try " + minuteOf(d.NextTryAt)
		}
		rows = append(rows, []any{"  " + minuteOf(d.CreatedAt), d.OrderId, ipnName(d.Type), d.EndpointId, d.Tries, state})
	}
	table(w, "  nothing", []any{"  WHEN", "ORDER", "TYPE", "ENDPOINT", "TRIES", "STATE"}, rows)
}

// minuteForm is how an instant is written for those who do not count seconds.
const minuteForm = "2006-01-02 15:04"

func minuteOf(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	return t.AsTime().Format(minuteForm)
}
