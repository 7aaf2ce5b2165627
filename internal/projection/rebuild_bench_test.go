package projection_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ledger.internal/ledger/internal/adapters/db"
	"ledger.internal/ledger/internal/adapters/eventstore/sqlite"
	"ledger.internal/ledger/internal/aggregate/aggregatetest"
	"ledger.internal/ledger/internal/projection"
)

// benchSizes are how many events the logs have that BenchmarkRebuild rebuilds from.
func benchSizes(b *testing.B) (sizes []int) {
	b.Helper()
	for _, s := range strings.Split(envOr("LEDGER_BENCH_EVENTS", "100000"), ",") {
		n, err := strconv.Atoi(s)
		if err != nil {
			b.Fatalf("LEDGER_BENCH_EVENTS: give numbers of events, like 100000,1000000: %v", err)
		}
		sizes = append(sizes, n)
	}
	return sizes
}

func envOr(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

// BenchmarkRebuild is the rate at which events become the rows of all views, comparing and switching included, beside
// the rate at which the same rows, versions and all, are upserted into the same tables, many by each statement. With
// LEDGER_BENCH_EVENTS=100000,1000000 it also tells how the rate of a larger log compares with the first one's.
func BenchmarkRebuild(b *testing.B) {
	var first float64
	for _, size := range benchSizes(b) {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			dir := b.TempDir()
			log, err := sqlite.Open(dir)
			fine(b, err)
			defer log.Close()
			fine(b, aggregatetest.Fill(b.Context(), log, size))
			views, err := db.Open(filepath.Join(dir, "views.db"), db.Options{Synchronous: "NORMAL"})
			fine(b, err)
			defer views.Close()
			rebuild := projection.Rebuild{Log: log, Store: views, Views: projection.Views()}
			_, err = rebuild.Run(b.Context()) // from now on there is something to compare with
			fine(b, err)
			var events, rounds int
			var rebuilding, upserting time.Duration
			for b.Loop() {
				began := time.Now()
				done, err := rebuild.Run(b.Context())
				rebuilding += time.Since(began)
				fine(b, err)
				if rows, tables := done.Differing(); rows != 0 || tables != 0 {
					b.Fatalf("%d rows and %d tables differ", rows, tables)
				}
				events += done.Events
				upserting += upsertAll(b, views, filepath.Join(dir, fmt.Sprintf("upserted-%d.db", rounds)))
				rounds++
			}
			rate := float64(events) / rebuilding.Seconds()
			if first == 0 {
				first = rate
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(rate, "events/s")
			b.ReportMetric(float64(upserting)/float64(rebuilding), "of-upsert")
			b.ReportMetric(rate/first, "of-first-size")
		})
	}
}

func fine(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// upsertAll writes all rows of the views to another file, and says how long the writing took.
func upsertAll(b *testing.B, from *db.DB, path string) (took time.Duration) {
	b.Helper()
	to, err := db.Open(path, db.Options{Synchronous: "NORMAL"})
	fine(b, err)
	defer to.Close()
	for _, p := range projection.Views() {
		fine(b, to.Update(b.Context(), func(tx projection.Tx) error { _, err := tx.Exec(p.Schema); return err }))
		for _, table := range p.Tables {
			took += upsertTable(b, from, to, table)
		}
	}
	return took
}

// upsertTable reads a table in pieces, and writes each in one transaction of statements with many rows.
func upsertTable(b *testing.B, from, to *db.DB, table string) (took time.Duration) {
	b.Helper()
	columns, key := tableColumns(b, from, table)
	var set []string
	for _, c := range columns {
		set = append(set, c+" = excluded."+c)
	}
	perStatement := min(500, 32_000/len(columns))
	rows, err := from.Query(b.Context(), "SELECT * FROM "+table)
	fine(b, err)
	defer rows.Close()
	for more := true; more; {
		var piece []any
		for n := 0; n < 10_000/perStatement*perStatement; n++ {
			if more = rows.Next(); !more {
				break
			}
			values, into := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			fine(b, rows.Scan(into...))
			piece = append(piece, values...)
		}
		began := time.Now()
		fine(b, to.Update(context.Background(), func(tx projection.Tx) error {
			for len(piece) > 0 {
				n := min(perStatement, len(piece)/len(columns))
				place := "(" + strings.Repeat("?, ", len(columns)-1) + "?)"
				_, err := tx.Exec("INSERT INTO "+table+" VALUES "+strings.Repeat(place+", ", n-1)+place+
					" ON CONFLICT ("+strings.Join(key, ", ")+") DO UPDATE SET "+strings.Join(set, ", "), piece[:n*len(columns)]...)
				if err != nil {
					return err
				}
				piece = piece[n*len(columns):]
			}
			return nil
		}))
		took += time.Since(began)
	}
	fine(b, rows.Err())
	return took
}

func tableColumns(b *testing.B, d *db.DB, table string) (columns, key []string) {
	b.Helper()
	rows, err := d.Query(b.Context(), "SELECT name, pk FROM pragma_table_info($1) ORDER BY cid", table)
	fine(b, err)
	defer rows.Close()
	for rows.Next() {
		var name string
		var pk int
		fine(b, rows.Scan(&name, &pk))
		columns = append(columns, name)
		if pk > 0 {
			key = append(key, name)
		}
	}
	fine(b, rows.Err())
	return columns, key
}
