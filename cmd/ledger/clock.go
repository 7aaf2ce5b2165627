package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
)

func clockCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "clock",
		Short: "show the time, or move a manual clock",
	}
	var c client
	show := &cobra.Command{
		Use:   "show",
		Short: "show what time the ledger has",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				s, err := ledgerv1.NewOperationServiceClient(conn).GetStatus(ctx, &ledgerv1.GetStatusRequest{})
				if err != nil {
					return err
				}
				kind := "wall"
				if s.ManualClock {
					kind = "manual"
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s (%s clock)\n", s.Now.AsTime().Format(time.RFC3339), kind)
				return nil
			})
		},
	}
	advance := &cobra.Command{
		Use:     "advance DURATION",
		Short:   "move the manual clock, doing on the way whatever becomes due",
		Example: "  ledger clock advance 30d\n  ledger clock advance 36h",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			by, err := parseDuration(args[0])
			if err != nil {
				return usageError{cmd, err}
			}
			return c.call(cmd.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				r, err := ledgerv1.NewOperationServiceClient(conn).AdvanceClock(ctx, &ledgerv1.AdvanceClockRequest{By: durationpb.New(by)})
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "it is now %s; something was due at %d instants on the way\n",
					r.Now.AsTime().Format(time.RFC3339), r.Stops)
				return nil
			})
		},
	}
	c.flags(show)
	c.flags(advance)
	cmd.AddCommand(show, advance)
	cmd.RunE = show.RunE
	c.flags(cmd)
	return cmd
}

// parseDuration reads Go's durations, and days: "30d", "1d12h".
func parseDuration(s string) (time.Duration, error) {
	bad := fmt.Errorf("%q is no duration; give one like 30d, 36h or 90m", s)
	var days time.Duration
	if d, rest, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(d, 10, 16)
		if err != nil {
			return 0, bad
		}
		days, s = time.Duration(n)*24*time.Hour, rest
		if s == "" {
			return days, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, bad
	}
	return days + d, nil
}
