package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/projection"
	"ledger.internal/ledger/internal/sim/invariant"
)

func verifyCommand() *cobra.Command {
	cfg := config{Clock: "wall", GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0", Quiet: true}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "check every promise on the data of a ledger that does not run",
		Long: `verify reads the whole log: every hash chain, every revision, every cause,
every stream folded, every step of every subscription allowed, every journal
entry balanced. It lets the views and the queue of notifications catch up, and
compares them with what the events say; and what the orders did to the
merchant's money has to be what lies at his gateways, plus fees, less what is in
suspense. At last it builds the views anew and compares every row. It exits with
1 if anything is off. What is off begins with the number of the promise that was
broken, I-01 to I-26; internal/sim/invariant lists them.

With a log that is elsewhere nobody can tell whether its ledger is stopped: see
to it, for what it appends meanwhile is not in the views yet.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkStores(cfg.DataDir, cfg.Log); err != nil {
				return err
			}
			r, err := newService(cfg, logger(os.Stderr)).verify(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				err = enc.Encode(r)
			} else {
				printVerified(cmd.OutOrStdout(), r, r.Violations)
			}
			if n := len(r.Violations); err == nil && n > 0 {
				return fmt.Errorf("%d promises were broken", n)
			}
			return err
		},
	}
	dataDirFlag(cmd.Flags(), &cfg.DataDir)
	logFlag(cmd.Flags(), &cfg.Log)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// verify opens a ledger's stores, lets its projections catch up, and checks. Nothing else runs: no gateway is called
// and nobody is told anything.
func (s *service) verify(ctx context.Context) (*invariant.Report, error) {
	s.looking = true
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	defer s.close()
	head, err := s.log.Head(ctx)
	if err != nil {
		return nil, err
	}
	following, stop := context.WithCancel(ctx)
	ended := make(chan error, len(s.followers))
	for _, f := range s.followers {
		go func() { ended <- divergence(f.Run(following)) }()
	}
	report, err := s.check(following, head)
	stop()
	for range s.followers {
		if stopped := <-ended; err == nil {
			err = stopped
		}
	}
	if err == nil {
		err = s.compareRebuilt(ctx, report)
	}
	return report, err
}

// compareRebuilt builds the views anew beside the ones there are, and reports the rows that differ.
func (s *service) compareRebuilt(ctx context.Context, report *invariant.Report) error {
	done, err := projection.Rebuild{Log: s.log, Store: s.views, Views: projection.Views(), Check: true}.Run(ctx)
	if err != nil {
		return err
	}
	for _, t := range done.Tables {
		if t.Skipped != "" {
			report.Violations = append(report.Violations, fmt.Sprintf("I-12: table %s cannot be compared with the log: %s", t.Table, t.Skipped))
		}
		for _, d := range t.First {
			report.Violations = append(report.Violations,
				fmt.Sprintf("I-12: table %s, %s: not what the log says: %s", t.Table, d.Key, strings.TrimSpace(d.What+" "+strings.Join(d.Columns, ", "))))
		}
		if more := t.Differing - int64(len(t.First)); more > 0 {
			report.Violations = append(report.Violations, fmt.Sprintf("I-12: table %s: %d more rows are not what the log says", t.Table, more))
		}
	}
	return nil
}

// check waits for the projections to reach head, then looks at everything.
func (s *service) check(ctx context.Context, head event.Position) (*invariant.Report, error) {
	for _, f := range s.followers {
		if err := f.WaitFor(ctx, head); err != nil {
			return nil, divergence(err)
		}
	}
	return invariant.Check(ctx, invariant.World{Log: s.log, Views: s.views, Work: s.work})
}
