package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/money"
)

func ordersCommand() *cobra.Command {
	var c client
	req := &ledgerv1.ListOrdersRequest{PageSize: 500}
	cmd := &cobra.Command{
		Use:     "orders",
		Short:   "list orders: sales, rebills, failures, refunds, chargebacks",
		Example: "  ledger orders --subscription alpha\n  ledger orders --type refund,partial_refund --from 2026-03-01 --to 2026-04-01",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				all, err := listOrders(ctx, conn, req)
				if err != nil {
					return err
				}
				if c.asJSON {
					return printJSON(cmd.OutOrStdout(), all)
				}
				printOrders(cmd.OutOrStdout(), all)
				return nil
			})
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&req.MerchantId, "merchant", firstMerchant, "whose")
	f.StringVar(&req.SubscriptionId, "subscription", "", "only this subscription's")
	f.StringVar(&req.BuyerId, "buyer", "", "only this buyer's, by the merchant's id of him")
	f.StringVar(&req.ExternalRef, "external-ref", "", "only with this reference of the merchant's")
	f.StringVar(&req.GatewayReference, "reference", "", "only with this charge or refund of the gateway")
	choiceVar(f, &req.Types, true, "type", "only of these types")
	instantVar(f, &req.OccurredFrom, "from", "only what occurred then or later")
	instantVar(f, &req.OccurredTo, "to", "only what occurred before")
	instantVar(f, &req.AsOf, "as-of", "as the ledger knew it then")
	return cmd
}

// listOrders are all orders that a request finds, newest first.
func listOrders(ctx context.Context, conn *grpc.ClientConn, req *ledgerv1.ListOrdersRequest) ([]*ledgerv1.Order, error) {
	api := ledgerv1.NewOrderServiceClient(conn)
	return pages(func(token string) ([]*ledgerv1.Order, string, error) {
		req.PageToken = token
		r, err := api.ListOrders(ctx, req)
		return r.GetOrders(), r.GetNextPageToken(), err
	})
}

func printOrders(w io.Writer, all []*ledgerv1.Order) {
	var rows [][]any
	cash := newTally()
	books := map[string]book{}
	for _, o := range all {
		if c := o.CashEffect; c != nil {
			b := book{c.CurrencyCode, o.Mode}
			books[b.String()] = b
			cash.add(b.String(), c.MinorUnits)
		}
		rows = append(rows, []any{
			o.OrderId, dayOf(o.OccurredAt), nameOf(o.Type), o.SubscriptionId, right(numberOf(o.PayNumber, o.Reattempt)),
			right(inWords(o.Amounts.GetFull())), right(cashOf(o)), strings.Join(notesOf(o), ", "),
		})
	}
	table(w, "there are no such orders",
		[]any{"ORDER", "DATE", "TYPE", "SUBSCRIPTION", "PAY", "AMOUNT", "CASH", "STATUS"}, rows)
	if len(all) < 2 {
		return
	}
	slices.Sort(cash.names)
	fmt.Fprintf(w, "\n%d orders\n", len(all))
	for _, name := range cash.names {
		fmt.Fprintf(w, "cash %s %s\n", money.Format(money.New(books[name].currency, cash.counts[name])), name)
	}
}

// cashOf is what an order did to the merchant's money; "-" for nothing.
func cashOf(o *ledgerv1.Order) string {
	if money.IsZero(o.CashEffect) {
		return "-"
	}
	return money.Format(o.CashEffect)
}

// notesOf is how an order stands, and what makes it unlike others of its type.
func notesOf(o *ledgerv1.Order) (notes []string) {
	if o.Status != ledgerv1.OrderStatus_ORDER_STATUS_DONE {
		notes = append(notes, strings.ReplaceAll(nameOf(o.Status), "_", " "))
	}
	if o.ParentOrderId != 0 {
		notes = append(notes, fmt.Sprintf("of %d", o.ParentOrderId))
	}
	if o.Late {
		notes = append(notes, "late")
	}
	if o.DeclineCode != "" {
		notes = append(notes, o.DeclineCode)
	}
	return notes
}

// numberOf is a pay number and, behind a plus, its re-attempt: "3+1".
func numberOf(number, reattempt uint32) string {
	switch {
	case number == 0:
		return "-"
	case reattempt == 0:
		return fmt.Sprint(number)
	}
	return fmt.Sprintf("%d+%d", number, reattempt)
}
