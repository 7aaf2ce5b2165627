package rpc

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/codes"

	"ledger.internal/ledger/internal/aggregate"
)

// notReasons are texts in the code that look like a reason and are none.
var notReasons = []string{
	"NO_COLOR", "LEDGER_FAILPOINT",
	// Codes of a gateway.
	"AGREEMENT_ALREADY_CANCELLED", "BILLING_AGREEMENT_NOT_FOUND", "PAYER_ACTION_REQUIRED", "TOKEN_ID_NOT_FOUND",
}

func TestReasonsAreThoseOfTheCode(t *testing.T) {
	t.Parallel()
	inCode, err := reasonsIn(os.DirFS("../../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(inCode) < 50 {
		t.Fatalf("got %d reasons in the code, want to have found them", len(inCode))
	}
	listed := map[string][]given{}
	for _, row := range reasons {
		if _, twice := listed[row.name]; twice {
			t.Errorf("%s is listed twice: leave one of its rows in reason.go", row.name)
		}
		listed[row.name] = row.given
	}
	for _, name := range slices.Sorted(maps.Keys(inCode)) {
		if _, ok := listed[name]; !ok {
			t.Errorf("%s is given at %s and is not listed: add a row to reason.go, then make gen (or, if it is no reason, add it to notReasons here)",
				name, inCode[name][0].at)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(listed)) {
		if len(inCode[name]) == 0 {
			t.Errorf("%s is listed, but no code gives it: remove its row from reason.go, then make gen", name)
		}
		for _, use := range inCode[name] {
			if use.given != nil && !slices.Contains(listed[name], *use.given) {
				t.Errorf("%s is given as %v with HTTP %d at %s, but is listed with %v: correct its row in reason.go, then make gen",
					name, use.given.code, use.given.http, use.at, listed[name])
			}
		}
	}
}

func TestReasonsAreExplained(t *testing.T) {
	t.Parallel()
	for _, r := range Reasons() {
		for what, text := range map[string]string{"meaning": r.Meaning, "action": r.Action} {
			if !strings.HasSuffix(text, ".") || strings.ToUpper(text[:1]) != text[:1] && text[0] != '`' {
				t.Errorf("got %q as the %s of %s, want a sentence", text, what, r.Name)
			}
		}
		if strings.Count(r.Meaning+r.Action, "`")%2 != 0 {
			t.Errorf("%s: got an odd number of backquotes", r.Name)
		}
	}
}

func TestRetryable(t *testing.T) {
	t.Parallel()
	want := map[string]bool{
		"REVISION_CONFLICT": true, "STORE_UNAVAILABLE": true, "POSITION_NOT_REACHED": true,
		"NOT_DUE": false, "AMOUNT_RANGE": false, "ENDPOINT_LIMIT": false, "MESSAGE_TOO_LARGE": false, "STORE_LOCKED": false,
	}
	for _, r := range Reasons() {
		if again, ok := want[r.Name]; ok && r.Retryable != again {
			t.Errorf("%s: got retryable %t, want %t", r.Name, r.Retryable, again)
		}
		delete(want, r.Name)
	}
	if len(want) > 0 {
		t.Errorf("got no reasons %v", want)
	}
}

// A use is a place in the code that gives a reason.
type use struct {
	at    string
	given *given // nil if the place does not show it
}

var (
	snake = regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$`)
	// The program says as it ends: "--http: address already in use (LISTEN)".
	atEnd = regexp.MustCompile(`\(([A-Z][A-Z0-9_]+)\)$`)
)

// reasonsIn finds every reason that the Go files of a tree give: whatever text is written like one, and single words
// where only a reason can stand. The list and what is only for tests do not count.
func reasonsIn(tree fs.FS) (map[string][]use, error) {
	found := map[string][]use{}
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || strings.HasSuffix(d.Name(), "test") ||
			slices.Contains([]string{"testdata", "api", "sim", "bin"}, d.Name())):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || name == "internal/adapters/rpc/reason.go":
			return nil
		}
		src, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		uses := map[string][]use{}
		collect(fset, file, uses)
		for reason, at := range uses {
			if strings.HasPrefix(name, "cmd/") { // the program itself answers nobody: it ends
				for i := range at {
					at[i].given = nil
				}
			}
			found[reason] = append(found[reason], at...)
		}
		return nil
	})
	return found, err
}

func collect(fset *token.FileSet, file *ast.File, found map[string][]use) {
	known := map[token.Pos]*given{} // literals that are reasons by their place
	note := func(e ast.Expr, g *given) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING && known[lit.Pos()] == nil {
			known[lit.Pos()] = g
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			noteCall(n, note)
		case *ast.CompositeLit:
			if nameOf(n.Type) == "Error" {
				note(fieldsOf(n)["Reason"], kindGiven(fieldsOf(n)["Kind"]))
			}
		case *ast.BasicLit:
			if n.Kind != token.STRING {
				break
			}
			text, _ := strconv.Unquote(n.Value)
			g, isKnown := known[n.Pos()]
			if m := atEnd.FindStringSubmatch(text); m != nil && file.Name.Name == "main" {
				text, isKnown = m[1], true
			}
			if (isKnown || snake.MatchString(text)) && !slices.Contains(notReasons, text) {
				found[text] = append(found[text], use{at: fset.Position(n.Pos()).String(), given: g})
			}
		}
		return true
	})
}

// noteCall notes the reasons among the arguments of the functions that make errors.
func noteCall(c *ast.CallExpr, note func(ast.Expr, *given)) {
	switch name := nameOf(c.Fun); {
	case name == "InvalidField" && len(c.Args) > 1:
		note(c.Args[1], &invalid[0])
	case name == "Refuse" && len(c.Args) > 0:
		note(c.Args[0], &refusedNow[0])
	case name == "refuse" && len(c.Args) == 4: // the front of REST: status, code, reason, message
		note(c.Args[2], givenAs(c.Args[1], statusNamed(nameOf(c.Args[0]))))
	case name == "detailed" && len(c.Args) == 2: // a code, and an Error without a kind
		if ref, ok := c.Args[1].(*ast.UnaryExpr); ok {
			note(fieldsOf(ref.X)["Reason"], givenAs(c.Args[0], 0))
		}
	}
}

// givenAs is how an error is given with a code and a status, or with the status that follows from the code; nil if
// the code does not stand there by its name.
func givenAs(code ast.Expr, status int) *given {
	for c := codes.OK; c <= codes.Unauthenticated; c++ {
		if c.String() == nameOf(code) {
			g := as(c)[0]
			if status != 0 {
				g.http = status
			}
			return &g
		}
	}
	return nil
}

// nameOf is the last name of a type, a function or a constant.
func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.CallExpr:
		return nameOf(e.Fun)
	}
	return ""
}

// fieldsOf are the fields of a composite literal by their names.
func fieldsOf(e ast.Expr) map[string]ast.Expr {
	fields := map[string]ast.Expr{}
	lit, ok := e.(*ast.CompositeLit)
	if !ok {
		return fields
	}
	for _, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			fields[nameOf(kv.Key)] = kv.Value
		}
	}
	return fields
}

// kindGiven is how an Error of a kind is given; nil if the kind does not stand there by its name.
func kindGiven(kind ast.Expr) *given {
	kinds := map[string][]given{
		"Invalid": invalid, "NotFound": notFound, "Exists": exists, "FailedPrecondition": refusedNow, "Aborted": aborted,
		"Exhausted": exhausted, "Unavailable": unavailable,
	}
	if g, ok := kinds[nameOf(kind)]; ok {
		return &g[0]
	}
	return nil
}

// statusNamed is the status of a constant of net/http; 0 if it is none.
func statusNamed(name string) int {
	for status := 100; status < 600; status++ {
		if "Status"+strings.NewReplacer(" ", "", "-", "").Replace(http.StatusText(status)) == name {
			return status
		}
	}
	return 0
}

// TestReasonsInFindsThem is a check of the check.
func TestReasonsInFindsThem(t *testing.T) {
	t.Parallel()
	const header = "package p\nfunc f() any { return "
	notFound := runtime.HTTPStatusFromCode(codeOf(aggregate.NotFound))
	for name, c := range map[string]struct{ file, src, want string }{
		"a refusal":            {"a.go", header + `aggregate.Refuse("DONE", "x") }`, "[DONE FailedPrecondition 400]"},
		"a field":              {"a.go", header + `aggregate.InvalidField("f", "ODD", "x") }`, "[ODD InvalidArgument 400]"},
		"an error":             {"a.go", header + `&aggregate.Error{Kind: aggregate.NotFound, Reason: "GONE"} }`, fmt.Sprint("[GONE NotFound ", notFound, "]")},
		"in its own package":   {"a.go", header + `&Error{Kind: Aborted, Reason: "TWICE"} }`, "[TWICE Aborted 409]"},
		"with a code":          {"a.go", header + `detailed(codes.Internal, &aggregate.Error{Reason: "FAULT"}) }`, "[FAULT Internal 500]"},
		"by REST alone":        {"a.go", header + `refuse(http.StatusUnsupportedMediaType, codes.InvalidArgument, "MEDIA", "x") }`, "[MEDIA InvalidArgument 415]"},
		"through a helper":     {"a.go", header + `bad("field", "NOT_SO", "x") }`, "[NOT_SO]"},
		"of a variable's kind": {"a.go", header + `&aggregate.Error{Kind: k, Reason: "GONE"} }`, "[GONE]"},
		"at the program's end": {"a.go", "package main\nvar _ = fmt.Errorf(\"--http: %w (LISTEN)\", err)", "[LISTEN]"},
		"a prefix":             {"a.go", header + `"ORDER_TYPE_" }`, "[]"},
		"an event's reason":    {"a.go", header + `&ledgerv1.Refund{Reason: "KINDNESS"} }`, "[]"},
		"in a test":            {"a_test.go", header + `aggregate.Refuse("DONE", "x") }`, "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, err := reasonsIn(fstest.MapFS{c.file: {Data: []byte(c.src)}})
			if err != nil {
				t.Fatal(err)
			}
			got := []string{}
			for reason, uses := range found {
				got = append(got, reason)
				if g := uses[0].given; g != nil {
					got = append(got, g.code.String(), strconv.Itoa(g.http))
				}
			}
			if fmt.Sprint(got) != c.want {
				t.Errorf("got %v, want %s", got, c.want)
			}
		})
	}
}
