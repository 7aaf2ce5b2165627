package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

// account is all that "ledger show" tells of a subscription.
type account struct {
	subscription *ledgerv1.Subscription
	events       []*ledgerv1.RecordedEvent
	orders       []*ledgerv1.Order
	deliveries   []*ledgerv1.Delivery
}

func showCommand() *cobra.Command {
	var c client
	var merchant string
	var asOf *timestamppb.Timestamp
	var steps bool
	cmd := &cobra.Command{
		Use:   "show SUBSCRIPTION|ORDER",
		Short: "tell what happened to a subscription, and what comes next",
		Long: `show tells those who answer the buyer or the merchant how a subscription stands,
what happened, what happens next, why the last charge failed, what nobody knows
yet, and what the merchant was told. All of it may be said to the buyer.

An order's id stands for its subscription. Times are in UTC.`,
		Example: "  ledger show alpha\n  ledger show 10002 --as-of 2026-04-03",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				a, err := fetch(ctx, conn, merchant, args[0], asOf)
				if err != nil {
					return err
				}
				if c.asJSON {
					return a.printJSON(cmd)
				}
				a.print(cmd.OutOrStdout(), steps)
				return nil
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&merchant, "merchant", firstMerchant, "whose")
	cmd.Flags().BoolVar(&steps, "steps", false, "also tell what only led to the next event")
	instantVar(cmd.Flags(), &asOf, "as-of", "as the ledger knew it then; deliveries are always those of now")
	return cmd
}

// fetch asks for everything about a subscription, or about the one that made an order.
func fetch(ctx context.Context, conn *grpc.ClientConn, merchant, id string, asOf *timestamppb.Timestamp) (a account, err error) {
	api := ledgerv1.NewSubscriptionServiceClient(conn)
	a.subscription, err = api.GetSubscription(ctx, &ledgerv1.GetSubscriptionRequest{MerchantId: merchant, SubscriptionId: id, AsOf: asOf})
	if order, bad := strconv.ParseInt(id, 10, 64); status.Code(err) == codes.NotFound && bad == nil {
		if id, err = byOrder(ctx, api, merchant, order, err); err != nil {
			return a, err
		}
		a.subscription, err = api.GetSubscription(ctx, &ledgerv1.GetSubscriptionRequest{MerchantId: merchant, SubscriptionId: id, AsOf: asOf})
	}
	if err != nil {
		return a, err
	}
	a.events, err = pages(func(token string) ([]*ledgerv1.RecordedEvent, string, error) {
		r, err := api.ListEvents(ctx, &ledgerv1.ListEventsRequest{MerchantId: merchant, SubscriptionId: id, AsOf: asOf, PageSize: 500, PageToken: token})
		return r.GetEvents(), r.GetNextPageToken(), err
	})
	if err != nil {
		return a, err
	}
	if a.orders, err = listOrders(ctx, conn, &ledgerv1.ListOrdersRequest{MerchantId: merchant, SubscriptionId: id, AsOf: asOf, PageSize: 500}); err != nil {
		return a, err
	}
	a.deliveries, err = listDeliveries(ctx, conn, &ledgerv1.ListDeliveriesRequest{MerchantId: merchant, SubscriptionId: id, PageSize: 500})
	slices.Reverse(a.deliveries)
	return a, err
}

// byOrder finds the subscription that made an order. If there is none, what was asked for first stays not found.
func byOrder(ctx context.Context, api ledgerv1.SubscriptionServiceClient, merchant string, order int64, notFound error) (string, error) {
	r, err := api.ListSubscriptions(ctx, &ledgerv1.ListSubscriptionsRequest{MerchantId: merchant, OrderId: order})
	if err != nil {
		return "", err
	}
	if len(r.Subscriptions) == 0 {
		return "", notFound
	}
	return r.Subscriptions[0].SubscriptionId, nil
}

// printJSON writes what the ledger answered, as it is.
func (a account) printJSON(cmd *cobra.Command) (err error) {
	var all struct {
		Subscription json.RawMessage   `json:"subscription"`
		Events       []json.RawMessage `json:"events"`
		Orders       []json.RawMessage `json:"orders"`
		Deliveries   []json.RawMessage `json:"deliveries"`
	}
	one, err := rawJSON(a.subscription)
	if err != nil {
		return err
	}
	all.Subscription = one[0]
	if all.Events, err = rawJSON(a.events...); err != nil {
		return err
	}
	if all.Orders, err = rawJSON(a.orders...); err != nil {
		return err
	}
	if all.Deliveries, err = rawJSON(a.deliveries...); err != nil {
		return fmt.Errorf("deliveries: %w", err)
	}
	return printIndented(cmd.OutOrStdout(), all)
}
