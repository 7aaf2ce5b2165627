package invariant

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"ledger.internal/ledger/internal/projection"
)

// table is a table of a store as it stands, whatever is in it.
type table struct {
	name         string
	columns, key []string // key: the columns of the primary key, in their order in the table
}

// tablesOf lists the tables of a store.
func tablesOf(ctx context.Context, r projection.Reader) (all []table, err error) {
	err = each(ctx, r, `SELECT t.name, c.name, c.pk FROM sqlite_master t JOIN pragma_table_info(t.name) c
		WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' ORDER BY t.name, c.cid`, func(scan func(...any) error) error {
		var name, column string
		var pk int64
		if err := scan(&name, &column, &pk); err != nil {
			return err
		}
		if len(all) == 0 || all[len(all)-1].name != name {
			all = append(all, table{name: name})
		}
		t := &all[len(all)-1]
		t.columns = append(t.columns, column)
		if pk > 0 {
			t.key = append(t.key, column)
		}
		return nil
	})
	return all, err
}

// rows calls f with every row of a table, in no order, but for some columns.
func (t table) rows(ctx context.Context, r projection.Reader, without []string, f func(columns []string, row []any) error) error {
	columns := slices.DeleteFunc(slices.Clone(t.columns), func(c string) bool { return slices.Contains(without, c) })
	row, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range row {
		into[i] = &row[i]
	}
	query := "SELECT " + strings.Join(columns, ", ") + " FROM " + t.name
	return each(ctx, r, query, func(scan func(...any) error) error {
		if err := scan(into...); err != nil {
			return err
		}
		return f(columns, row)
	})
}

// text is a value of a row as text, the same in every driver.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case []byte:
		return string(v)
	case string:
		return v
	}
	return fmt.Sprint(v)
}
