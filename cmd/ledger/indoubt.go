package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

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
	cmd.AddCommand(resolveCommand())
	return cmd
}

// resolutions are what people call them.
var resolutions = map[string]ledgerv1.Resolution{
	"charged":     ledgerv1.Resolution_RESOLUTION_CHARGED,
	"not_charged": ledgerv1.Resolution_RESOLUTION_NOT_CHARGED,
}

func resolveCommand() *cobra.Command {
	var c client
	var as string
	req := &ledgerv1.ResolveInDoubtRequest{}
	cmd := &cobra.Command{
		Use:   "resolve SUBSCRIPTION",
		Short: "end a doubt by what the gateway answers now",
		Long: `resolve asks the gateway now what became of an attempt or a refund, and records
what it answers if that is what --as says. As charged needs the gateway to show
the charge. As not charged needs the gateway to know of none, once none can turn
up there any more; a gateway that does not answer takes --override-reason, which
says how else it is known.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			resolution, ok := resolutions[as]
			if !ok {
				return usageError{cmd, fmt.Errorf("--as %q: it is charged or not_charged", as)}
			}
			req.SubscriptionId, req.Resolution = args[0], resolution
			return c.call(cmd.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				r, err := ledgerv1.NewOperationServiceClient(conn).ResolveInDoubt(ctx, req)
				if err != nil {
					return err
				}
				if c.asJSON {
					return printJSON(cmd.OutOrStdout(), []*ledgerv1.GatewayAnswer{r.Answer})
				}
				a := r.Answer
				cmd.Println(strings.Join(slices.DeleteFunc([]string{"the gateway:", a.Outcome, a.Amount, a.Reference, a.Why},
					func(s string) bool { return s == "" }), " "))
				return nil
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&req.MerchantId, "merchant", "default", "whose")
	cmd.Flags().Uint32Var(&req.PayNumber, "pay-number", 0, "which payment")
	cmd.Flags().Uint32Var(&req.Attempt, "attempt", 1, "which attempt at it")
	cmd.Flags().StringVar(&req.RefundId, "refund", "", "which refund, instead of a payment")
	cmd.Flags().StringVar(&as, "as", "", "charged or not_charged")
	cmd.Flags().StringVar(&req.Reference, "reference", "", "the gateway's id of it, to be sure that it is meant")
	cmd.Flags().StringVar(&req.Reason, "reason", "", "why it is resolved by hand")
	cmd.Flags().StringVar(&req.OverrideReason, "override-reason", "", "how it is known that nothing was charged, if the gateway does not answer")
	return cmd
}
