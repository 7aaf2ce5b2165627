package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ledger.internal/ledger/internal/projection"
)

// rebuildOptions are what rebuild is told.
type rebuildOptions struct {
	dataDir, log string
	views        []string
	check, work  bool
}

func rebuildCommand() *cobra.Command {
	var o rebuildOptions
	cmd := &cobra.Command{
		Use:   "rebuild",
		Short: "build the views anew from the log, with the ledger stopped",
		Long: `rebuild reads the whole log and builds every view anew, beside the ones there
are. It prints the rows that were not what the log says, and then puts the new
ones in their place, in one transaction. Interrupted, also by a signal or a
crash, it has changed nothing, and the next rebuild begins from the start.

Only the views are built: deliveries and timers are not, since more is known of
them than the log says. With --work they are, at the next start, for a log that
is not the one they were made from: what gateways have sent is kept, and the
tries of deliveries are not.`,
		Example: "  ledger rebuild\n  ledger rebuild --check\n  ledger rebuild --view orders\n  ledger rebuild --work",
		RunE: func(cmd *cobra.Command, _ []string) error {
			views, err := viewsNamed(o.views)
			if err != nil {
				return usageError{cmd, err}
			}
			if err := checkStores(o.dataDir, o.log); err != nil {
				return err
			}
			return rebuild(cmd.Context(), o, views, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	dataDirFlag(cmd.Flags(), &o.dataDir)
	logFlag(cmd.Flags(), &o.log)
	cmd.Flags().StringSliceVar(&o.views, "view", nil, "only these views; all if none is named")
	cmd.Flags().BoolVar(&o.check, "check", false, "only compare; exit with 1 if rows differ")
	cmd.Flags().BoolVar(&o.work, "work", false, "have the work store begin anew, too")
	cmd.MarkFlagsMutuallyExclusive("check", "work")
	return cmd
}

// checkStores refuses a data directory that does not exist, and a log that cannot be.
func checkStores(dataDir, log string) error {
	if err := checkLog("--log", log); err != nil {
		return err
	}
	if _, err := os.Stat(dataDir); err != nil {
		return configError{fmt.Errorf("--data-dir: %w", err)}
	}
	return nil
}

// viewsNamed are the projections of these names, or all.
func viewsNamed(names []string) (found []projection.Projection, err error) {
	all := projection.Views()
	if len(names) == 0 {
		return all, nil
	}
	wanted := map[string]bool{}
	for _, n := range names {
		wanted[n] = true
	}
	var there []string
	for _, v := range all {
		if there = append(there, v.Name); wanted[v.Name] {
			found = append(found, v)
			delete(wanted, v.Name)
		}
	}
	for n := range wanted {
		return nil, fmt.Errorf("--view %s: there is no such view; there are %s", n, strings.Join(there, ", "))
	}
	return found, nil
}

// rebuild opens the stores of a ledger that is not running, and has the views built.
func rebuild(ctx context.Context, o rebuildOptions, views []projection.Projection, out, progress io.Writer) error {
	s := newService(config{DataDir: o.dataDir, Log: o.log}, logger(progress))
	defer s.close()
	if err := s.openStores(ctx); err != nil {
		return err
	}
	if err := s.checkLog(ctx); err != nil {
		return err
	}
	began := time.Now()
	pace := func(events int) {
		fmt.Fprintf(progress, "%d events, %.0f a second\n", events, float64(events)/time.Since(began).Seconds())
	}
	done, err := projection.Rebuild{Log: s.log, Store: s.views, Views: views, Check: o.check, Progress: pace}.Run(ctx)
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted; the views are as they were")
	}
	if err != nil {
		return err
	}
	printRebuilt(out, done)
	if o.work {
		if err := s.work.StartOver(ctx); err != nil {
			return err
		}
		fmt.Fprintln(out, "handlers, timers and deliveries begin anew at the next start")
	}
	rows, tables := done.Differing()
	switch {
	case done.Switched:
		fmt.Fprintf(out, "the views were built anew from %d events\n", done.Events)
	case rows+int64(tables) > 0:
		return fmt.Errorf("%d rows differ from what %d events say, and %d tables cannot be compared", rows, done.Events, tables)
	default:
		fmt.Fprintf(out, "the views are what %d events say\n", done.Events)
	}
	return nil
}

// printRebuilt names what differed; of many rows of a table the first ones.
func printRebuilt(w io.Writer, done *projection.Rebuilt) {
	for _, t := range done.Tables {
		switch {
		case t.Skipped != "":
			fmt.Fprintf(w, "%s: not compared, %s\n", t.Table, t.Skipped)
		case t.Differing > 0:
			fmt.Fprintf(w, "%s: %d rows differ\n", t.Table, t.Differing)
		}
		for _, d := range t.First {
			fmt.Fprintf(w, "  %s: %s\n", d.Key, strings.TrimSpace(d.What+" "+strings.Join(d.Columns, ", ")))
		}
		if more := t.Differing - int64(len(t.First)); more > 0 {
			fmt.Fprintf(w, "  and %d more\n", more)
		}
	}
}
