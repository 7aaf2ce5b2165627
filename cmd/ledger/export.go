package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ledger.internal/ledger/internal/adapters/db"
	"ledger.internal/ledger/internal/adapters/export"
	"ledger.internal/ledger/internal/adapters/work"
	"ledger.internal/ledger/internal/projection"
)

// exportOptions are what export is told.
type exportOptions struct {
	dataDir, view, asOf, format, out, merchant string
}

// exported is what exportOptions mean.
type exported struct {
	view    projection.View
	store   string // its file
	version int    // and its version
	asOf    time.Time
}

func exportCommand() *cobra.Command {
	var o exportOptions
	cmd := &cobra.Command{
		Use:   "export",
		Short: "write a view to a file: CSV, Parquet or XLSX",
		Long: `export writes the rows of a view as they stand, or as they were known at a
time. It only reads, so the ledger may be running. docs/views.md says what the
columns mean. In CSV a text that a spreadsheet would take for a formula has a '
in front.`,
		Example: "  ledger export --view orders --out orders.csv\n" +
			"  ledger export --view pay_numbers --as-of 2026-04-03T00:00:00Z \\\n    --format parquet --out march.parquet",
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := o.parse()
			if err != nil {
				return usageError{cmd, err}
			}
			if o.out == "" && export.IsBinary(o.format) && isTerminal(cmd.OutOrStdout()) {
				return usageError{cmd, fmt.Errorf("--format %s is nothing for a terminal; give --out FILE", o.format)}
			}
			return runExport(cmd.Context(), o, e, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&o.dataDir, "data-dir", "ledger-data", "where the embedded stores lie")
	cmd.Flags().StringVar(&o.view, "view", "", "which view: "+strings.Join(exportable(), ", "))
	cmd.Flags().StringVar(&o.asOf, "as-of", "", "what was known then (RFC 3339); now if empty")
	cmd.Flags().StringVar(&o.format, "format", "csv", strings.Join(export.Formats(), ", "))
	cmd.Flags().StringVar(&o.out, "out", "", "the file to write; standard output if empty")
	cmd.Flags().StringVar(&o.merchant, "merchant", "", "only this merchant's rows")
	return cmd
}

// exportable are the names of all views.
func exportable() (names []string) {
	for _, v := range slices.Concat(projection.AnalystViews()) {
		names = append(names, v.Name)
	}
	return names
}

// parse refuses what makes no sense.
func (o exportOptions) parse() (e exported, err error) {
	views, inWork := projection.AnalystViews()
	var ok bool
	e.store, e.version = "views.db", viewsVersion
	if e.view, ok = projection.Find(views, o.view); !ok {
		e.store, e.version = "work.db", work.Version
		e.view, ok = projection.Find(inWork, o.view)
	}
	if !ok {
		return e, fmt.Errorf("--view %q: there is no such view; there are %s", o.view, strings.Join(exportable(), ", "))
	}
	if !slices.Contains(export.Formats(), o.format) {
		return e, fmt.Errorf("--format %q: there are %s", o.format, strings.Join(export.Formats(), ", "))
	}
	if o.asOf == "" {
		return e, nil
	}
	if e.asOf, err = time.Parse(time.RFC3339Nano, o.asOf); err != nil {
		return e, fmt.Errorf("--as-of %q: give a time like 2026-04-03T00:00:00Z", o.asOf)
	}
	now, err := timeIn(o.dataDir)
	switch {
	case err != nil:
		return e, err
	case e.asOf.After(now):
		return e, fmt.Errorf("--as-of %s is in the future; it is %s", o.asOf, now.UTC().Format(time.RFC3339))
	case e.view.History == projection.NoHistory:
		return e, fmt.Errorf("--as-of: %s has only the rows of now", o.view)
	}
	return e, nil
}

// timeIn is what time a ledger has: that of its manual clock if it has one.
func timeIn(dir string) (time.Time, error) {
	at, ok, err := rememberedTime(filepath.Join(dir, clockFile))
	if err != nil || ok {
		return at, err
	}
	return time.Now(), nil
}

// runExport writes to the output, or to a file that has its name only once it is whole.
func runExport(ctx context.Context, o exportOptions, e exported, stdout io.Writer) error {
	store, err := db.OpenReadOnly(filepath.Join(o.dataDir, e.store), e.version)
	if errors.Is(err, fs.ErrNotExist) {
		return configError{fmt.Errorf("--data-dir: %w", err)}
	}
	if err != nil {
		return storeError(err)
	}
	defer store.Close()
	if o.out == "" {
		return writeExport(ctx, o, e, store, stdout)
	}
	file, err := os.CreateTemp(filepath.Dir(o.out), "."+filepath.Base(o.out)+".*") // readable by its owner alone
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if err := errors.Join(writeExport(ctx, o, e, store, file), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), o.out)
}

func writeExport(ctx context.Context, o exportOptions, e exported, store projection.Reader, w io.Writer) error {
	buffered := bufio.NewWriterSize(w, 1<<16)
	to, err := export.New(o.format, buffered, e.view.Name, e.view.Columns)
	if err != nil {
		return err
	}
	query, args := e.view.Export(e.asOf, o.merchant)
	rows, err := store.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	if _, err := export.Copy(ctx, to, e.view.Columns, rows); err != nil {
		return err
	}
	return buffered.Flush()
}
