package export

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/xuri/excelize/v2"

	"ledger.internal/ledger/internal/projection"
)

// sheetRows is how many rows a sheet can have, its header among them:
// https://support.microsoft.com/office/excel-specifications-and-limits-1672b34d-7043-467e-8e27-269d656771c3
const sheetRows = excelize.TotalRows

// xlsxWriter writes a workbook, further sheets when one is full. Amounts are numbers, so that they can be summed;
// texts are strings, which no spreadsheet takes for formulas.
type xlsxWriter struct {
	file    *excelize.File
	out     io.Writer
	name    string
	columns []projection.Column
	limit   int // rows of a sheet

	sheets int
	sheet  *excelize.StreamWriter
	rows   int // of the sheet
	cells  []any
}

func newXLSX(w io.Writer, name string, columns []projection.Column, limit int) (Writer, error) {
	x := &xlsxWriter{
		file: excelize.NewFile(), out: w, name: name, columns: columns, limit: limit, cells: make([]any, len(columns)),
	}
	// It would put the whole file together in memory; this way it goes out as it is made.
	x.file.SetZipWriter(func(io.Writer) excelize.ZipWriter { return zip.NewWriter(w) })
	return x, x.nextSheet()
}

// nextSheet ends a sheet and begins another one with the header.
func (x *xlsxWriter) nextSheet() error {
	if x.sheet != nil {
		if err := x.sheet.Flush(); err != nil {
			return err
		}
	}
	x.sheets++
	name := x.name
	var err error
	if x.sheets == 1 {
		err = x.file.SetSheetName(x.file.GetSheetName(0), name)
	} else {
		name = fmt.Sprintf("%s %d", x.name, x.sheets)
		_, err = x.file.NewSheet(name)
	}
	if err != nil {
		return err
	}
	if x.sheet, err = x.file.NewStreamWriter(name); err != nil {
		return err
	}
	x.rows = 0
	header := make([]any, len(x.columns))
	for i, n := range names(x.columns) {
		header[i] = n
	}
	return x.add(header)
}

func (x *xlsxWriter) add(cells []any) error {
	x.rows++
	return x.sheet.SetRow("A"+strconv.Itoa(x.rows), cells)
}

func (x *xlsxWriter) Write(row []any) (err error) {
	if x.rows == x.limit {
		if err := x.nextSheet(); err != nil {
			return err
		}
	}
	for i, v := range row {
		if x.cells[i], err = xlsxCell(x.columns[i], v); err != nil {
			return err
		}
	}
	return x.add(x.cells)
}

func xlsxCell(c projection.Column, v any) (any, error) {
	switch {
	case v == nil:
		return nil, nil
	case c.Kind == projection.Integer:
		return integer(c, v)
	}
	s, err := text(c, v)
	if err != nil || c.Kind != projection.Decimal {
		return s, err
	}
	return strconv.ParseFloat(s, 64)
}

func (x *xlsxWriter) Close() error {
	return errors.Join(x.sheet.Flush(), x.file.Write(x.out), x.file.Close())
}
