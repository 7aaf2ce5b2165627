package main

import (
	"context"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

func parkedCommand() *cobra.Command {
	var c client
	cmd := &cobra.Command{
		Use:   "parked",
		Short: "list the streams that followers have set aside",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				api := ledgerv1.NewOperationServiceClient(conn)
				all, err := pages(func(token string) ([]*ledgerv1.Parked, string, error) {
					r, err := api.ListParked(ctx, &ledgerv1.ListParkedRequest{PageSize: 500, PageToken: token})
					return r.GetParked(), r.GetNextPageToken(), err
				})
				if err != nil {
					return err
				}
				if c.asJSON {
					return printJSON(cmd.OutOrStdout(), all)
				}
				var rows [][]any
				for _, p := range all {
					rows = append(rows, []any{p.Follower, p.Stream, p.FromRevision, p.Tries, when(p.RetryAt), p.Reason})
				}
				table(cmd.OutOrStdout(), "nothing is parked",
					[]any{"FOLLOWER", "STREAM", "FROM REVISION", "TRIES", "NEXT TRY", "REASON"}, rows)
				return nil
			})
		},
	}
	c.flags(cmd)
	var again client
	replay := &cobra.Command{
		Use:   "replay FOLLOWER STREAM",
		Short: "try a parked stream again now",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return again.call(cmd.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				r, err := ledgerv1.NewOperationServiceClient(conn).ReplayParked(ctx,
					&ledgerv1.ReplayParkedRequest{Follower: args[0], Stream: args[1]})
				if err != nil {
					return err
				}
				if !r.Cleared {
					cmd.Printf("still parked: %s\n", r.Reason)
					return nil
				}
				cmd.Println("done")
				return nil
			})
		},
	}
	again.flags(replay)
	cmd.AddCommand(replay)
	return cmd
}
