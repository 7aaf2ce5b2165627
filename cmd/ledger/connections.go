package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

func connectionsCommand() *cobra.Command {
	var c client
	var merchant string
	var overdue bool
	cmd := &cobra.Command{
		Use:   "connections",
		Short: "list a merchant's connections, or connect and disconnect them",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				api := ledgerv1.NewConnectionServiceClient(conn)
				all, err := pages(func(token string) ([]*ledgerv1.Connection, string, error) {
					if overdue {
						r, err := api.ListOverdueConnections(ctx, &ledgerv1.ListOverdueConnectionsRequest{PageSize: 500, PageToken: token})
						return r.GetConnections(), r.GetNextPageToken(), err
					}
					r, err := api.ListConnections(ctx, &ledgerv1.ListConnectionsRequest{MerchantId: merchant, PageSize: 500, PageToken: token})
					return r.GetConnections(), r.GetNextPageToken(), err
				})
				if err != nil {
					return err
				}
				if c.asJSON {
					return printJSON(cmd.OutOrStdout(), all)
				}
				table(cmd.OutOrStdout(), "there are no such connections",
					[]any{"MERCHANT", "CONNECTION", "GATEWAY", "MODE", "STATE", "ACCOUNT", "UPDATE BY", "HELD", "WHY"}, connectionRows(all))
				return nil
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&merchant, "merchant", firstMerchant, "whose connections")
	cmd.Flags().BoolVar(&overdue, "overdue", false, "those of all merchants that need an update or have expired")
	cmd.AddCommand(connectionConsentCommand(), connectionDisconnectCommand())
	return cmd
}

func connectionRows(all []*ledgerv1.Connection) (rows [][]any) {
	for _, c := range all {
		account := c.GetAccount()
		if name := c.GetAccountName(); name != "" {
			account = fmt.Sprintf("%s (%s)", account, name)
		}
		rows = append(rows, []any{
			c.GetMerchantId(), c.GetConnectionId(), c.GetGateway(), enumName(c.GetMode().Descriptor(), c.GetMode().Number()), enumName(c.GetState().Descriptor(), c.GetState().Number()), account,
			when(c.GetUpdateBy()), c.GetHeldPayments(), whyHeld(c),
		})
	}
	return rows
}

// whyHeld says what is the matter with a connection, if anything is.
func whyHeld(c *ledgerv1.Connection) string {
	var all []string
	for _, why := range []string{c.GetBlockedReason(), c.GetDisconnectedReason(), c.GetRefusal().GetMessage()} {
		if why != "" {
			all = append(all, why)
		}
	}
	return strings.Join(all, "; ")
}

func connectionConsentCommand() *cobra.Command {
	var c client
	var merchant, gatewayName, returnURL string
	var live bool
	cmd := &cobra.Command{
		Use:   "consent [CONNECTION]",
		Short: "print where a merchant gives his consent at a gateway",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r := &ledgerv1.RequestConsentRequest{MerchantId: merchant, RequestId: rand.Text(), Gateway: gatewayName, ReturnUrl: returnURL}
			if len(args) > 0 {
				r.ConnectionId = args[0]
			}
			if live {
				r.Mode = ledgerv1.Mode_MODE_LIVE
			}
			return c.call(cmd.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				answer, err := ledgerv1.NewConnectionServiceClient(conn).RequestConsent(ctx, r)
				if err != nil {
					return err
				}
				if c.asJSON {
					return printJSON(cmd.OutOrStdout(), []*ledgerv1.RequestConsentResponse{answer})
				}
				fmt.Fprintln(cmd.OutOrStdout(), answer.GetConsentUrl())
				return nil
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&merchant, "merchant", firstMerchant, "whose connection")
	cmd.Flags().StringVar(&gatewayName, "gateway", "", "of a new connection: where the account is")
	cmd.Flags().StringVar(&returnURL, "return-url", "", "where the merchant goes afterwards; a page of the ledger's own if empty")
	cmd.Flags().BoolVar(&live, "live", false, "a new connection is for real money")
	return cmd
}

func connectionDisconnectCommand() *cobra.Command {
	var c client
	var merchant, reason string
	cmd := &cobra.Command{
		Use:   "disconnect CONNECTION",
		Short: "give an account back; what is due is held",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				_, err := ledgerv1.NewConnectionServiceClient(conn).DisconnectConnection(ctx, &ledgerv1.DisconnectConnectionRequest{
					MerchantId: merchant, RequestId: rand.Text(), ConnectionId: args[0], Reason: reason,
				})
				return err
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&merchant, "merchant", firstMerchant, "whose connection")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for whoever finds payments held")
	return cmd
}
