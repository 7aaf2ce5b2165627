package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

func webhooksCommand() *cobra.Command {
	var c client
	var state string
	req := &ledgerv1.ListWebhooksRequest{PageSize: 500}
	cmd := &cobra.Command{
		Use:   "webhooks",
		Short: "list the webhooks that are not dealt with",
		Long: `webhooks lists what gateways have told and what is not dealt with: waiting to be
tried (again), set aside because nobody can place it, or unmatched because it
speaks of nothing of ours. Unmatched ones are kept for 30 days, those that were
set aside until somebody has looked at them.`,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if req.State, err = webhookState(state); err != nil {
				return usageError{cmd, err}
			}
			return c.call(cmd.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				all, err := listWebhooks(ctx, conn, req)
				if err != nil {
					return err
				}
				if c.asJSON {
					return printJSON(cmd.OutOrStdout(), all)
				}
				var rows [][]any
				for _, w := range all {
					rows = append(rows, []any{w.WebhookId, when(w.ReceivedAt), w.MerchantId + "." + w.ConnectionId, w.MessageId,
						webhookStates[w.State], w.Tries, when(w.RetryAt), cmp.Or(w.Why, "-")})
				}
				table(cmd.OutOrStdout(), "there are no such webhooks",
					[]any{"ID", "RECEIVED", "CONNECTION", "MESSAGE", "STATE", "TRIES", "NEXT TRY", "WHY"}, rows)
				for _, w := range all {
					if w.Body != "" {
						fmt.Fprintf(cmd.OutOrStdout(), "\n%d: %q\n", w.WebhookId, w.Body)
					}
				}
				return nil
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&state, "state", "", "only in this state: waiting, set_aside, unmatched")
	cmd.Flags().StringVar(&req.MerchantId, "merchant", "", "only this merchant's")
	cmd.Flags().StringVar(&req.ConnectionId, "connection", "", "only this connection's")
	cmd.Flags().BoolVar(&req.WithBody, "body", false, "show what they say, which may tell of people")
	cmd.AddCommand(retryWebhookCommand())
	return cmd
}

func retryWebhookCommand() *cobra.Command {
	var c client
	cmd := &cobra.Command{
		Use:   "retry ID",
		Short: "have a webhook tried again",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return usageError{cmd, fmt.Errorf("%q is no id of a webhook", args[0])}
			}
			return c.call(cmd.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				_, err := ledgerv1.NewOperationServiceClient(conn).RetryWebhook(ctx, &ledgerv1.RetryWebhookRequest{WebhookId: id})
				if err == nil {
					cmd.Println("it is tried again")
				}
				return err
			})
		},
	}
	c.flags(cmd)
	return cmd
}

// webhookState reads a state as people write it; none if it is empty.
func webhookState(name string) (ledgerv1.WebhookState, error) {
	for state, known := range webhookStates {
		if name == string(known) {
			return state, nil
		}
	}
	if name != "" {
		return 0, fmt.Errorf("--state %q: a state is one of %v", name, slices.Sorted(maps.Values(webhookStates)))
	}
	return ledgerv1.WebhookState_WEBHOOK_STATE_UNSPECIFIED, nil
}

// listWebhooks are all that a request finds, in the order in which they came.
func listWebhooks(ctx context.Context, conn *grpc.ClientConn, req *ledgerv1.ListWebhooksRequest) ([]*ledgerv1.InboundWebhook, error) {
	api := ledgerv1.NewOperationServiceClient(conn)
	return pages(func(token string) ([]*ledgerv1.InboundWebhook, string, error) {
		req.PageToken = token
		r, err := api.ListWebhooks(ctx, req)
		return r.GetWebhooks(), r.GetNextPageToken(), err
	})
}
