package export

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"

	"ledger.internal/ledger/internal/projection"
)

// csvWriter writes RFC 4180: lines end with CR LF, also those within a text, the first one names the columns, and
// absent is empty.
type csvWriter struct {
	w       *csv.Writer
	columns []projection.Column
	line    []string
}

func newCSV(w io.Writer, columns []projection.Column) (Writer, error) {
	c := &csvWriter{w: csv.NewWriter(w), columns: columns, line: make([]string, len(columns))}
	c.w.UseCRLF = true
	return c, c.w.Write(names(columns))
}

func (c *csvWriter) Write(row []any) (err error) {
	for i, v := range row {
		if c.line[i], err = csvCell(c.columns[i], v); err != nil {
			return err
		}
	}
	return c.w.Write(c.line)
}

func (c *csvWriter) Close() error {
	c.w.Flush()
	return c.w.Error()
}

func csvCell(c projection.Column, v any) (string, error) {
	switch {
	case v == nil:
		return "", nil
	case c.Kind == projection.Integer:
		n, err := integer(c, v)
		return strconv.FormatInt(n, 10), err
	}
	s, err := text(c, v)
	if c.Kind == projection.Text {
		s = harmless(s)
	}
	return s, err
}

// harmless keeps a spreadsheet from taking a buyer's text for a formula that it then runs:
// https://owasp.org/www-community/attacks/CSV_Injection
func harmless(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}
