package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

func subscriptionsCommand() *cobra.Command {
	var c client
	req := &ledgerv1.ListSubscriptionsRequest{PageSize: 500}
	cmd := &cobra.Command{
		Use:     "subscriptions",
		Short:   "list subscriptions and how they stand",
		Example: "  ledger subscriptions --state past_due --due-to 2026-04-01\n  ledger subscriptions --order 10002",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				api := ledgerv1.NewSubscriptionServiceClient(conn)
				all, err := pages(func(token string) ([]*ledgerv1.SubscriptionSummary, string, error) {
					req.PageToken = token
					r, err := api.ListSubscriptions(ctx, req)
					return r.GetSubscriptions(), r.GetNextPageToken(), err
				})
				if err != nil {
					return err
				}
				if c.asJSON {
					return printJSON(cmd.OutOrStdout(), all)
				}
				printSubscriptions(cmd.OutOrStdout(), all)
				return nil
			})
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&req.MerchantId, "merchant", firstMerchant, "whose")
	choiceVar(f, &req.States, true, "state", "only in these states")
	f.StringVar(&req.BuyerId, "buyer", "", "only this buyer's, by the merchant's id of him")
	f.StringVar(&req.Email, "email", "", "only the buyer's with this whole e-mail address")
	f.StringVar(&req.ExternalRef, "external-ref", "", "only with this reference of the merchant's")
	f.StringVar(&req.ConnectionId, "connection", "", "only those charged through this connection")
	f.StringVar(&req.ProductId, "product", "", "only of this product")
	f.Int64Var(&req.OrderId, "order", 0, "only the one that made this order")
	f.StringVar(&req.GatewayReference, "reference", "", "only the one with this charge or refund of the gateway")
	instantVar(f, &req.DueFrom, "due-from", "only those due then or later")
	instantVar(f, &req.DueTo, "due-to", "only those due before")
	maybeVar(f, &req.InDoubt, "in-doubt", "only those with an outcome that nobody knows; =false for the others")
	maybeVar(f, &req.Disputed, "disputed", "only those with a disputed payment; =false for the others")
	instantVar(f, &req.AsOf, "as-of", "as the ledger knew it then")
	return cmd
}

func printSubscriptions(w io.Writer, all []*ledgerv1.SubscriptionSummary) {
	var rows [][]any
	states := newTally()
	for _, s := range all {
		states.add(nameOf(s.State), 1)
		rows = append(rows, []any{
			s.SubscriptionId, nameOf(s.State), s.BuyerId, s.ProductName, s.PaidNumber, dayOf(s.NextDueAt),
			right(inWords(s.NextAmount)), strings.Join(marksOf(s), ", "),
		})
	}
	table(w, "there are no such subscriptions",
		[]any{"SUBSCRIPTION", "STATE", "BUYER", "PRODUCT", "PAID", "NEXT DUE", "AMOUNT", "MARKS"}, rows)
	if len(all) > 1 {
		fmt.Fprintf(w, "\n%d subscriptions: %s\n", len(all), states)
	}
}

// marksOf is what makes a subscription unlike others in its state.
func marksOf(s *ledgerv1.SubscriptionSummary) (marks []string) {
	for _, m := range []struct {
		set  bool
		mark string
	}{
		{s.InDoubt, "in doubt"},
		{s.Disputed, "disputed"},
		{s.AmountMismatch, "wrong amount"},
		{s.ChargedBy == ledgerv1.ChargedBy_CHARGED_BY_GATEWAY, "charged by the gateway"},
		{s.CancelAt != nil && s.State != ledgerv1.SubscriptionState_SUBSCRIPTION_STATE_CANCELLED, "ends " + dayOf(s.CancelAt)},
		{s.Mode == ledgerv1.Mode_MODE_TEST, "test"},
	} {
		if m.set {
			marks = append(marks, m.mark)
		}
	}
	return marks
}
