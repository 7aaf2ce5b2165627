package main

import (
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
)

// open opens a database of the data directory as an analyst does, beside the ledger; "rw" for what nobody should do.
func (w *world) open(ts *testscript.TestScript, name, mode string) *sql.DB {
	d, err := sql.Open("sqlite", "file:"+(&url.URL{Path: filepath.Join(w.data, name)}).EscapedPath()+"?mode="+mode+"&_pragma=busy_timeout(5000)")
	ts.Check(err)
	ts.Defer(func() { d.Close() })
	return d
}

// question prints what a file of docs/sql answers, on the database that its first line names.
func (w *world) question(ts *testscript.TestScript, args []string) {
	usage(ts, args, "sql NAME")
	w.settled(ts)
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "sql", args[0]+".sql"))
	ts.Check(err)
	var name string
	if _, err := fmt.Sscanf(string(text), "-- %s", &name); err != nil {
		ts.Fatalf("%s does not begin with its database: %v", args[0], err)
	}
	rows, err := w.open(ts, name[:len(name)-1], "ro").Query(string(text))
	ts.Check(err)
	defer rows.Close()
	heads, err := rows.Columns()
	ts.Check(err)
	lines := [][]string{heads}
	for rows.Next() {
		cells, into := make([]sql.NullString, len(heads)), make([]any, len(heads))
		for i := range cells {
			into[i] = &cells[i]
		}
		ts.Check(rows.Scan(into...))
		line := make([]string, len(heads))
		for i, c := range cells {
			if line[i] = "-"; c.Valid {
				line[i] = c.String
			}
		}
		lines = append(lines, line)
	}
	ts.Check(rows.Err())
	columns(ts.Stdout(), lines)
}

// tamper changes rows behind the ledger's back.
func (w *world) tamper(ts *testscript.TestScript, args []string) {
	usage(ts, args, "tamper DATABASE STATEMENT")
	d := w.open(ts, args[0], "rw")
	r, err := d.Exec(args[1])
	ts.Check(err)
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		ts.Fatalf("%s changed %d rows (%v)", args[1], n, err)
	}
	ts.Check(d.Close())
}
