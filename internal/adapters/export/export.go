// Package export writes rows to files for other programs: CSV for all of them, Parquet for databases and notebooks,
// XLSX for people. It streams: what it holds does not grow with the rows. Which rows there are is left to the caller.
package export

import (
	"context"
	"fmt"
	"io"
	"slices"

	"ledger.internal/ledger/internal/projection"
)

// Formats are what New can write.
func Formats() []string { return []string{"csv", "parquet", "xlsx"} }

// IsBinary reports whether a format is nothing for a terminal.
func IsBinary(format string) bool { return format != "csv" }

// Writer writes rows to a file. A file is whole only after Close.
type Writer interface {
	// Write adds a row: for each column nil, an int64 for an Integer, a string for anything else.
	Write(row []any) error
	Close() error
}

// New begins a file of a format, with a header of the columns' names.
func New(format string, w io.Writer, name string, columns []projection.Column) (Writer, error) {
	switch format {
	case "csv":
		return newCSV(w, columns)
	case "parquet":
		return newParquet(w, name, columns), nil
	case "xlsx":
		return newXLSX(w, name, columns, sheetRows)
	}
	return nil, fmt.Errorf("there is no format %q; there are %v", format, Formats())
}

// Copy writes all rows and ends the file. It says how many there were.
func Copy(ctx context.Context, to Writer, columns []projection.Column, rows projection.Rows) (n int64, err error) {
	row, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range row {
		into[i] = &row[i]
	}
	for ; rows.Next(); n++ {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		if err := rows.Scan(into...); err != nil {
			return n, err
		}
		if err := to.Write(row); err != nil {
			return n, fmt.Errorf("row %d: %w", n+1, err)
		}
	}
	if err := rows.Err(); err != nil {
		return n, err
	}
	return n, to.Close()
}

// text is a value that has to be a string.
func text(c projection.Column, v any) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", fmt.Errorf("%s is %T, want text", c.Name, v)
	}
	return s, nil
}

// integer is a value that has to be a whole number.
func integer(c projection.Column, v any) (int64, error) {
	n, ok := v.(int64)
	if !ok {
		return 0, fmt.Errorf("%s is %T, want an integer", c.Name, v)
	}
	return n, nil
}

func names(columns []projection.Column) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = c.Name
	}
	return slices.Clip(out)
}
