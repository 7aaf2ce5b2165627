package main

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

func deliveriesCommand() *cobra.Command {
	var c client
	req := &ledgerv1.ListDeliveriesRequest{PageSize: 500}
	cmd := &cobra.Command{
		Use:   "deliveries",
		Short: "list notifications and what became of them",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				all, err := listDeliveries(ctx, conn, req)
				if err != nil {
					return err
				}
				if c.asJSON {
					return printJSON(cmd.OutOrStdout(), all)
				}
				var rows [][]any
				for _, d := range all {
					rows = append(rows, []any{d.CreatedAt.AsTime().Format(time.DateTime), d.EndpointId, d.SubscriptionId, d.OrderId,
						ipnName(d.Type), d.State, d.Tries, when(d.NextTryAt), cmp.Or(d.LastError, "-")})
				}
				table(cmd.OutOrStdout(), "there are no deliveries",
					[]any{"TIME", "ENDPOINT", "SUBSCRIPTION", "ORDER", "TYPE", "STATE", "TRIES", "NEXT TRY", "LAST ERROR"}, rows)
				return nil
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&req.MerchantId, "merchant", "default", "whose")
	cmd.Flags().StringVar(&req.SubscriptionId, "subscription", "", "only this subscription's")
	cmd.Flags().StringVar(&req.EndpointId, "endpoint", "", "only this endpoint's")
	cmd.Flags().StringSliceVar(&req.States, "state", nil, "only in these states: pending, sending, delivered, gave_up, disabled")
	return cmd
}

// listDeliveries are all notifications that a request finds, newest first.
func listDeliveries(ctx context.Context, conn *grpc.ClientConn, req *ledgerv1.ListDeliveriesRequest) ([]*ledgerv1.Delivery, error) {
	api := ledgerv1.NewEndpointServiceClient(conn)
	return pages(func(token string) ([]*ledgerv1.Delivery, string, error) {
		req.PageToken = token
		r, err := api.ListDeliveries(ctx, req)
		return r.GetDeliveries(), r.GetNextPageToken(), err
	})
}

// ipnName is a notification's type as Kartra writes it.
func ipnName(t ledgerv1.IpnType) string {
	return strings.ToLower(strings.TrimPrefix(t.String(), "IPN_TYPE_"))
}
