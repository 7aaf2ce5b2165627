package export

import (
	"fmt"
	"io"
	"reflect"
	"time"

	"github.com/parquet-go/parquet-go"

	"ledger.internal/ledger/internal/projection"
)

// rowGroup is how many rows of a Parquet file are kept in memory before they are written.
const rowGroup = 20_000

// parquetWriter writes integers as int64, instants as microseconds in UTC, and everything else as text: a decimal's
// digits depend on its row's currency, so no column of decimals has a scale.
type parquetWriter struct {
	w       *parquet.GenericWriter[any]
	columns []projection.Column
	row     parquet.Row
}

func newParquet(w io.Writer, name string, columns []projection.Column) Writer {
	// A schema that is put together from nodes sorts its columns by name; that of a struct keeps their order.
	fields := make([]reflect.StructField, len(columns))
	for i, c := range columns {
		fields[i] = reflect.StructField{Name: fmt.Sprintf("Column%d", i), Type: reflect.TypeFor[string]()}
		options := ",optional"
		switch c.Kind {
		case projection.Integer:
			fields[i].Type = reflect.TypeFor[int64]()
		case projection.Instant:
			fields[i].Type = reflect.TypeFor[int64]()
			options += ",timestamp(microsecond:utc)"
		}
		fields[i].Tag = reflect.StructTag(fmt.Sprintf(`parquet:"%s%s"`, c.Name, options))
	}
	schema := parquet.NewSchema(name, parquet.SchemaOf(reflect.New(reflect.StructOf(fields)).Interface()))
	return &parquetWriter{
		w:       parquet.NewGenericWriter[any](w, schema, parquet.Compression(&parquet.Zstd), parquet.MaxRowsPerRowGroup(rowGroup)),
		columns: columns,
		row:     make(parquet.Row, len(columns)),
	}
}

func (p *parquetWriter) Write(row []any) error {
	for i, v := range row {
		if v == nil {
			p.row[i] = parquet.NullValue().Level(0, 0, i)
			continue
		}
		value, err := parquetValue(p.columns[i], v)
		if err != nil {
			return err
		}
		p.row[i] = value.Level(0, 1, i)
	}
	_, err := p.w.WriteRows([]parquet.Row{p.row})
	return err
}

func (p *parquetWriter) Close() error { return p.w.Close() }

func parquetValue(c projection.Column, v any) (parquet.Value, error) {
	if c.Kind == projection.Integer {
		n, err := integer(c, v)
		return parquet.Int64Value(n), err
	}
	s, err := text(c, v)
	if err != nil || c.Kind != projection.Instant {
		return parquet.ByteArrayValue([]byte(s)), err
	}
	at, err := time.Parse(time.RFC3339Nano, s)
	return parquet.Int64Value(at.UnixMicro()), err
}
