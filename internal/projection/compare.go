package projection

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// shownDifferences is how many rows of a table a Comparison names.
const shownDifferences = 20

// Comparison is how a table of the store stands beside the one that was built anew.
type Comparison struct {
	View, Table string
	Skipped     string // why it was not compared; empty if it was
	Rows        int64  // of the table that was built
	Differing   int64  // rows that are wrong, missing, or too many
	First       []Difference
}

// Difference is a row of the store that is not what the log says.
type Difference struct {
	Key     string   // the columns of the primary key, "order_id=10001"
	What    string   // "wrong", "missing" or "too many"
	Columns []string // that are wrong
}

// compare fills in what differs. It never looks into a column that is not part of the key further than whether it is
// the same: rows are personal.
func (c *Comparison) compare(ctx context.Context, s Spare) error {
	columns, key, err := s.Columns(ctx, c.Table)
	if err != nil {
		return err
	}
	if len(key) == 0 {
		return fmt.Errorf("table %s has no primary key", c.Table)
	}
	q := rowDiff{table: c.Table, key: key, columns: without(columns, key)}
	var live, missing, wrong int64
	if err := s.QueryRow(ctx, q.count()).Scan(&live, &c.Rows, &missing, &wrong); err != nil {
		return err
	}
	tooMany := live - (c.Rows - missing)
	c.Differing = wrong + missing + tooMany
	for _, kind := range []struct {
		what  string
		rows  int64
		query string
	}{{"wrong", wrong, q.wrong()}, {"missing", missing, q.missing()}, {"too many", tooMany, q.tooMany()}} {
		if kind.rows == 0 || len(c.First) >= shownDifferences {
			continue
		}
		rows, err := s.Query(ctx, kind.query)
		found, err := collect(rows, err, func(r Row) (Difference, error) { return q.scan(r, kind.what) })
		if err != nil {
			return err
		}
		c.First = append(c.First, found[:min(len(found), shownDifferences-len(c.First))]...)
	}
	return nil
}

// rowDiff writes the queries that compare a table that was built, b, with the live one, l.
type rowDiff struct {
	table        string
	key, columns []string
}

func without(all, some []string) (rest []string) {
	for _, c := range all {
		if !slices.Contains(some, c) {
			rest = append(rest, c)
		}
	}
	return rest
}

// count gives the number of live rows, of built rows, of missing ones and of wrong ones. A built row is looked for
// once.
func (q rowDiff) count() string {
	return "SELECT (SELECT COUNT(*) FROM live." + q.table + "), COUNT(*)," +
		" COALESCE(SUM(CASE WHEN l." + q.key[0] + " IS NULL THEN 1 ELSE 0 END), 0)," +
		" COALESCE(SUM(CASE WHEN l." + q.key[0] + " IS NOT NULL AND (" + q.differ() + ") THEN 1 ELSE 0 END), 0)" +
		" FROM " + q.table + " b LEFT JOIN live." + q.table + " l ON " + q.same()
}

func (q rowDiff) wrong() string {
	flags := make([]string, len(q.columns))
	for i, c := range q.columns {
		flags[i] = ", CASE WHEN b." + c + " IS DISTINCT FROM l." + c + " THEN 1 ELSE 0 END"
	}
	return "SELECT " + q.keyOf("b") + strings.Join(flags, "") +
		" FROM " + q.table + " b JOIN live." + q.table + " l ON " + q.same() + " WHERE " + q.differ() + q.first("b")
}

func (q rowDiff) missing() string { return q.only("b", q.table, "l", "live."+q.table) }
func (q rowDiff) tooMany() string { return q.only("l", "live."+q.table, "b", q.table) }

// only finds the rows of one table that the other does not have.
func (q rowDiff) only(a, one, b, other string) string {
	return "SELECT " + q.keyOf(a) + " FROM " + one + " " + a + " LEFT JOIN " + other + " " + b + " ON " + q.same() +
		" WHERE " + b + "." + q.key[0] + " IS NULL" + q.first(a)
}

func (q rowDiff) keyOf(alias string) string { return alias + "." + strings.Join(q.key, ", "+alias+".") }

func (q rowDiff) first(alias string) string {
	return fmt.Sprintf(" ORDER BY %s LIMIT %d", q.keyOf(alias), shownDifferences)
}

func (q rowDiff) same() string {
	parts := make([]string, len(q.key))
	for i, c := range q.key {
		parts[i] = "b." + c + " = l." + c
	}
	return strings.Join(parts, " AND ")
}

func (q rowDiff) differ() string {
	if len(q.columns) == 0 {
		return "1 = 0"
	}
	parts := make([]string, len(q.columns))
	for i, c := range q.columns {
		parts[i] = "b." + c + " IS DISTINCT FROM l." + c
	}
	return strings.Join(parts, " OR ")
}

// scan reads a row of wrong, missing or tooMany.
func (q rowDiff) scan(r Row, what string) (Difference, error) {
	key, flags := make([]any, len(q.key)), []int64{}
	into := make([]any, 0, len(q.key)+len(q.columns))
	for i := range key {
		into = append(into, &key[i])
	}
	if what == "wrong" {
		flags = make([]int64, len(q.columns))
		for i := range flags {
			into = append(into, &flags[i])
		}
	}
	if err := r.Scan(into...); err != nil {
		return Difference{}, err
	}
	d := Difference{What: what}
	words := make([]string, len(key))
	for i, v := range key {
		words[i] = fmt.Sprintf("%s=%v", q.key[i], v)
	}
	d.Key = strings.Join(words, " ")
	for i, set := range flags {
		if set != 0 {
			d.Columns = append(d.Columns, q.columns[i])
		}
	}
	return d, nil
}
