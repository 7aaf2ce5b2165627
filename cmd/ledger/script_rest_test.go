package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// post sends a command as a program of a merchant would.
func post(ts *testscript.TestScript, neg bool, args []string) {
	w := ts.Value(worldKey{}).(*world)
	w.posts++
	key, wait := fmt.Sprintf("request-%d", w.posts), true
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		switch {
		case args[0] == "-now":
			wait, args = false, args[1:]
		case args[0] == "-key" && len(args) > 1:
			key, args = args[1], args[2:]
		default:
			ts.Fatalf("there is no option %s", args[0])
		}
	}
	body := "{}"
	switch len(args) {
	case 1:
	case 2:
		body = filledIn(ts, ts.ReadFile(args[1]))
	default:
		ts.Fatalf("usage: post [-now] [-key KEY] PATH [FILE]")
	}
	req, err := http.NewRequest(http.MethodPost, ts.Getenv("HTTP_URL")+args[0], strings.NewReader(body))
	ts.Check(err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	if wait {
		req.Header.Set("Prefer", "wait=30")
	}
	ask(ts, neg, req)
}

// blank is what a file of a story leaves open: ${NAME}, of the story's environment.
var blank = regexp.MustCompile(`\$\{[A-Z_]+\}`)

func filledIn(ts *testscript.TestScript, text string) string {
	return blank.ReplaceAllStringFunc(text, func(name string) string { return ts.Getenv(name[2 : len(name)-1]) })
}

// get asks as a program of a merchant would.
func get(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, args, "get PATH")
	req, err := http.NewRequest(http.MethodGet, ts.Getenv("HTTP_URL")+args[0], nil)
	ts.Check(err)
	ask(ts, neg, req)
}

// ask prints an answer, and ends the story if it is not of the kind that was to be expected. The gateways' ports are
// others in each run. The whole answer goes to answers.log.
func ask(ts *testscript.TestScript, refused bool, req *http.Request) {
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	text := readableJSON(ts, body)
	if w := ts.Value(worldKey{}).(*world); w.server != nil {
		text = strings.ReplaceAll(text, w.server.sandbox, "http://sandbox")
	}
	if w := ts.Value(worldKey{}).(*world); w.payabl != nil {
		site, _, _ := strings.Cut(w.payabl.URL(), "/pay/")
		text = strings.ReplaceAll(text, site, "http://payabl")
	}
	fmt.Fprintf(ts.Stdout(), "HTTP %d\n%s", resp.StatusCode, text)
	answers, err := os.OpenFile(ts.MkAbs("answers.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	defer answers.Close()
	fmt.Fprintf(answers, "%v\n%s\n", resp.Header, body)
	if got := resp.StatusCode >= 400; got != refused {
		ts.Fatalf("%s %s was answered with %s", req.Method, req.URL.Path, resp.Status)
	}
}

// readableJSON indents an answer, its keys in the order of the alphabet, without what is empty. The position in the
// log is left out, too: it is opaque.
func readableJSON(ts *testscript.TestScript, raw []byte) string {
	var answer any
	if err := json.Unmarshal(raw, &answer); err != nil {
		ts.Fatalf("the answer is not JSON: %s", raw)
	}
	if m, ok := answer.(map[string]any); ok {
		delete(m, "position")
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	ts.Check(e.Encode(withoutEmpty(answer)))
	return text.String()
}

// withoutEmpty is v without the fields that say nothing; nil if nothing is left.
func withoutEmpty(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if v["minor_units"] == "0" {
			return nil // whatever its currency
		}
		for name, field := range v {
			if v[name] = withoutEmpty(field); v[name] == nil {
				delete(v, name)
			}
		}
		if len(v) == 0 {
			return nil
		}
	case []any:
		for i := range v {
			v[i] = withoutEmpty(v[i])
		}
		if len(v) == 0 {
			return nil
		}
	case string:
		if v == "" || v == "0" || strings.HasSuffix(v, "_UNSPECIFIED") {
			return nil
		}
	case float64:
		if v == 0 {
			return nil
		}
	case bool:
		if !v {
			return nil
		}
	}
	return v
}
