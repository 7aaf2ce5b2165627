package main

import (
	"context"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

func inDoubtCommand() *cobra.Command {
	var c client
	cmd := &cobra.Command{
		Use:   "in-doubt",
		Short: "list the payments and refunds whose outcome nobody knows",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				api := ledgerv1.NewOperationServiceClient(conn)
				all, err := pages(func(token string) ([]*ledgerv1.InDoubt, string, error) {
					r, err := api.ListInDoubt(ctx, &ledgerv1.ListInDoubtRequest{PageSize: 500, PageToken: token})
					return r.GetInDoubt(), r.GetNextPageToken(), err
				})
				if err != nil {
					return err
				}
				if c.asJSON {
					return printJSON(cmd.OutOrStdout(), all)
				}
				var rows [][]any
				for _, d := range all {
					what := any(d.RefundId)
					if d.RefundId == "" {
						what = d.PayNumber
					}
					rows = append(rows, []any{d.MerchantId, d.SubscriptionId, what, d.Attempt, when(d.Since), d.Why})
				}
				table(cmd.OutOrStdout(), "nothing is in doubt",
					[]any{"MERCHANT", "SUBSCRIPTION", "PAY NUMBER/REFUND", "ATTEMPT", "SINCE", "WHY"}, rows)
				return nil
			})
		},
	}
	c.flags(cmd)
	return cmd
}
