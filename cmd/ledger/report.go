package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/money"
	"ledger.internal/ledger/internal/sim/invariant"
)

// demoReport is what the demo found.
type demoReport struct {
	Seed          uint64            `json:"seed"`
	From          time.Time         `json:"from"`
	To            time.Time         `json:"to"`
	Seconds       float64           `json:"seconds"`
	Subscriptions map[string]int    `json:"subscriptions"` // by state
	Orders        []orderTotal      `json:"orders"`
	PayNumbers    []payNumberLine   `json:"pay_numbers"` // of one subscription
	Showcase      string            `json:"showcase"`
	Notification  string            `json:"notification"` // one body
	Notifications map[string]int    `json:"notifications"`
	Repeated      int               `json:"notifications_repeated"`
	Refused       int               `json:"notifications_refused_at_first"`
	Replays       int               `json:"requests_replayed"`
	Verified      *invariant.Report `json:"verified"`
	Violations    []string          `json:"violations"`
}

// orderTotal is what all orders of a type and currency come to.
type orderTotal struct {
	Type     string `json:"type"`
	Currency string `json:"currency"`
	Count    int    `json:"count"`
	Cash     string `json:"cash_effect"`
	minor    int64
}

type payNumberLine struct {
	Number   uint32 `json:"pay_number"`
	State    string `json:"state"`
	Attempts uint32 `json:"attempts"`
	Amount   string `json:"amount"`
	Due      string `json:"due"`
	Paid     string `json:"paid"`
	Order    int64  `json:"order_id"`
}

// report looks at everything once more, through the API where there is one.
func (st *story) report(ctx context.Context, s *service) (*demoReport, error) {
	r := &demoReport{From: demoBegins(), To: st.now, Subscriptions: map[string]int{}, Replays: st.replays}
	for _, look := range []func(context.Context, *demoReport) error{st.lookAtSubscriptions, st.lookAtOrders, st.lookAtPayNumbers} {
		if err := look(ctx, r); err != nil {
			return nil, err
		}
	}
	captures, err := st.captures(ctx)
	if err != nil {
		return nil, err
	}
	r.Verified, err = invariant.Check(ctx, invariant.World{Log: s.log, Views: s.views, Work: s.work,
		Evidence: invariant.Evidence{Captures: captures}})
	if err != nil {
		return nil, err
	}
	r.Violations = append(r.Verified.Violations, st.leftovers(ctx)...)
	st.receiver.look(r)
	return r, nil
}

func (st *story) lookAtSubscriptions(ctx context.Context, r *demoReport) error {
	best := 0
	for _, l := range st.buyers {
		s, err := st.get(ctx, l)
		if err != nil {
			return err
		}
		r.Subscriptions[strings.ToLower(strings.TrimPrefix(s.State.String(), "SUBSCRIPTION_STATE_"))]++
		// The showcase has a life that is worth looking at, and fits on a screen.
		interest := int(s.Revision) - 2*int(s.PaidNumber)
		if s.PaidNumber >= 4 && s.PaidNumber <= 9 && interest > best {
			best, r.Showcase = interest, l.merchant+"/"+l.id
		}
	}
	return nil
}

func (st *story) lookAtOrders(ctx context.Context, r *demoReport) error {
	totals := map[string]*orderTotal{}
	for _, m := range demoMerchants() {
		orders, err := pages(func(token string) ([]*ledgerv1.Order, string, error) {
			p, err := st.orders.ListOrders(ctx, &ledgerv1.ListOrdersRequest{MerchantId: m.id, PageSize: 500, PageToken: token})
			return p.GetOrders(), p.GetNextPageToken(), err
		})
		if err != nil {
			return err
		}
		for _, o := range orders {
			kind, currency := strings.ToLower(strings.TrimPrefix(o.Type.String(), "ORDER_TYPE_")), o.GetCashEffect().GetCurrencyCode()
			key := fmt.Sprintf("%02d %s", o.Type, currency)
			if totals[key] == nil {
				totals[key] = &orderTotal{Type: kind, Currency: currency}
			}
			totals[key].Count++
			totals[key].minor += o.GetCashEffect().GetMinorUnits()
		}
	}
	for _, key := range slices.Sorted(maps.Keys(totals)) {
		t := totals[key]
		t.Cash = money.Format(money.New(t.Currency, t.minor))
		r.Orders = append(r.Orders, *t)
	}
	return nil
}

func (st *story) lookAtPayNumbers(ctx context.Context, r *demoReport) error {
	merchant, id, _ := strings.Cut(r.Showcase, "/")
	p, err := st.orders.ListPayNumbers(ctx, &ledgerv1.ListPayNumbersRequest{MerchantId: merchant, SubscriptionId: id, PageSize: 500})
	if err != nil {
		return err
	}
	for _, n := range p.PayNumbers {
		r.PayNumbers = append(r.PayNumbers, payNumberLine{
			Number: n.PayNumber, State: strings.ToLower(strings.TrimPrefix(n.State.String(), "PAY_NUMBER_STATE_")), Attempts: n.Attempts,
			Amount: money.Format(n.Amounts.Full) + " " + n.Amounts.Full.CurrencyCode,
			Due:    when(n.DueAt), Paid: when(n.PaidAt), Order: n.OrderId,
		})
	}
	return nil
}

// captures is what the sandbox's own book says was charged.
func (st *story) captures(ctx context.Context) ([]invariant.Capture, error) {
	return sandboxCaptures(ctx, st.sandbox)
}

// sandboxCaptures reads the successful charges from a sandbox's own book.
func sandboxCaptures(ctx context.Context, sandbox string) ([]invariant.Capture, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, sandbox+"/v1/book", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var book struct {
		Charges []struct {
			ID, Key string
			Account string // <merchant>.<connection>
			Status  string
			Amount  struct {
				Currency string `json:"currency_code"`
				Minor    int64  `json:"minor_units"`
			}
			Metadata struct {
				Merchant, Subscription string
				PayNumber              uint32 `json:"pay_number"`
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&book); err != nil {
		return nil, fmt.Errorf("the sandbox's book: %w", err)
	}
	captures := []invariant.Capture{}
	for _, c := range book.Charges {
		if c.Status == "succeeded" && c.Amount.Minor > 0 {
			_, connection, _ := strings.Cut(c.Account, ".")
			captures = append(captures, invariant.Capture{
				Merchant: c.Metadata.Merchant, Subscription: c.Metadata.Subscription, PayNumber: c.Metadata.PayNumber,
				Connection: connection, Key: c.Key, Reference: c.ID, Currency: c.Amount.Currency, Minor: c.Amount.Minor,
			})
		}
	}
	return captures, nil
}

// leftovers is what should not be left when everything has come to rest.
func (st *story) leftovers(ctx context.Context) (found []string) {
	parked, err := st.operations.ListParked(ctx, &ledgerv1.ListParkedRequest{})
	if err != nil {
		return []string{"list parked: " + err.Error()}
	}
	for _, p := range parked.Parked {
		found = append(found, fmt.Sprintf("%s has parked %s: %s", p.Follower, p.Stream, p.Reason))
	}
	for _, m := range demoMerchants() {
		gaveUp, err := st.endpoints.ListDeliveries(ctx, &ledgerv1.ListDeliveriesRequest{MerchantId: m.id, States: []string{"gave_up", "disabled"}})
		if err != nil {
			return append(found, "list deliveries: "+err.Error())
		}
		for _, d := range gaveUp.Deliveries {
			found = append(found, fmt.Sprintf("notification %s was given up: %s", d.DeliveryId, d.LastError))
		}
	}
	return found
}

// look adds what the merchants' receiver saw.
func (r *receiver) look(report *demoReport) {
	r.mu.Lock()
	defer r.mu.Unlock()
	report.Notifications = maps.Clone(r.types)
	report.Repeated, report.Refused = r.repeats, r.refused
	report.Violations = append(report.Violations, r.faults...)
	if n := report.Verified.Notifications; n != len(r.bodies) {
		report.Violations = append(report.Violations, fmt.Sprintf("%d notifications were owed and %d acknowledged", n, len(r.bodies)))
	}
	for _, id := range slices.Sorted(maps.Keys(r.bodies)) {
		form, err := url.ParseQuery(r.bodies[id])
		if err == nil && form.Get("transaction_type") == "rebill" && form.Get("shipping_city") != "N/A" && form.Get("payment_processor_type") == "Stripe" {
			report.Notification = r.bodies[id]
			return
		}
	}
}

// print writes the report for people.
func (r *demoReport) print(w io.Writer) {
	title := func(format string, args ...any) { fmt.Fprintf(w, "\n"+format+"\n\n", args...) }
	fmt.Fprintf(w, "%s to %s lived through in %.1f s\n", r.From.Format(time.DateOnly), r.To.Format(time.DateOnly), r.Seconds)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)

	title("SUBSCRIPTIONS")
	for _, state := range slices.Sorted(maps.Keys(r.Subscriptions)) {
		fmt.Fprintf(tw, "  %s\t%d\n", state, r.Subscriptions[state])
	}
	tw.Flush()

	title("ORDERS")
	r.printOrders(w)

	title("PAY NUMBERS of %s", r.Showcase)
	fmt.Fprintf(tw, "  NUMBER\tSTATE\tATTEMPTS\tAMOUNT\tDUE\tPAID\tORDER\n")
	for _, n := range r.PayNumbers {
		fmt.Fprintf(tw, "  %d\t%s\t%d\t%s\t%s\t%s\t%d\n", n.Number, n.State, n.Attempts, n.Amount, n.Due, n.Paid, n.Order)
	}
	tw.Flush()

	title("ONE NOTIFICATION, as the merchant got it")
	for _, pair := range strings.Split(r.Notification, "&") {
		key, value, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(value)
		if err != nil {
			plain = value
		}
		fmt.Fprintf(tw, "  %s\t%s\n", key, plain)
	}
	tw.Flush()

	title("NOTIFICATIONS acknowledged")
	for _, kind := range slices.Sorted(maps.Keys(r.Notifications)) {
		fmt.Fprintf(tw, "  %s\t%d\n", kind, r.Notifications[kind])
	}
	tw.Flush()
	fmt.Fprintf(w, "  (%d were refused at first and came again, %d came twice)\n", r.Refused, r.Repeated)

	title("VERIFIED")
	printVerified(w, r.Verified, r.Violations)
}

// printOrders writes a line per type of order: how many there were, and what they did to the merchants' money.
func (r *demoReport) printOrders(w io.Writer) {
	var types, currencies []string
	counts, cash := map[string]int{}, map[string]string{}
	for _, o := range r.Orders {
		if counts[o.Type] == 0 {
			types = append(types, o.Type)
		}
		if !slices.Contains(currencies, o.Currency) {
			currencies = append(currencies, o.Currency)
		}
		counts[o.Type] += o.Count
		cash[o.Type+o.Currency] = o.Cash
	}
	slices.Sort(currencies)
	fmt.Fprintf(w, "  %-20s%8s", "TYPE", "COUNT")
	for _, c := range currencies {
		fmt.Fprintf(w, "%15s", "CASH "+c)
	}
	fmt.Fprintln(w)
	for _, t := range types {
		fmt.Fprintf(w, "  %-20s%8d", t, counts[t])
		for _, c := range currencies {
			fmt.Fprintf(w, "%15s", cmp.Or(cash[t+c], "-"))
		}
		fmt.Fprintln(w)
	}
}

// printVerified writes what was checked and what was found.
func printVerified(w io.Writer, v *invariant.Report, violations []string) {
	looked := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(looked, "  events\t%d in %d streams\trevisions, times, hash chains\n", v.Events, v.Streams)
	fmt.Fprintf(looked, "  subscriptions\t%d\tfolded; every step allowed, every pay number sold once\n", v.Subscriptions)
	fmt.Fprintf(looked, "  orders\t%d\tin the view as in the events\n", v.Orders)
	fmt.Fprintf(looked, "  entries\t%d\tbalanced; in the journal as in the events; their cash is that of the orders\n", v.Entries)
	fmt.Fprintf(looked, "  notifications\t%d\tqueued once, told or waiting\n", v.Notifications)
	if v.Captures > 0 {
		fmt.Fprintf(looked, "  captures\t%d\tin the gateway's own book, each sold once\n", v.Captures)
	}
	looked.Flush()
	if len(violations) == 0 {
		fmt.Fprintf(w, "  no promise was broken\n")
		return
	}
	const most = 20
	for i, broken := range violations {
		if i == most {
			fmt.Fprintf(w, "  … and %d more\n", len(violations)-most)
			break
		}
		fmt.Fprintf(w, "  BROKEN: %s\n", broken)
	}
}
