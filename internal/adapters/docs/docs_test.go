package docs

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ledger.internal/ledger/api/openapi"
)

func served(t *testing.T) *http.ServeMux {
	t.Helper()
	mux := http.NewServeMux()
	if err := Register(mux); err != nil {
		t.Fatal(err)
	}
	return mux
}

func get(mux http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	return w
}

func TestServes(t *testing.T) {
	t.Parallel()
	mux := served(t)
	for path, want := range map[string]struct {
		status int
		header string
		value  string
	}{
		"/":              {http.StatusFound, "Location", "/docs"},
		"/docs/":         {http.StatusFound, "Location", "/docs"},
		"/docs":          {http.StatusOK, "Content-Type", "text/html; charset=utf-8"},
		"/docs/docs.css": {http.StatusOK, "Content-Type", "text/css; charset=utf-8"},
		"/docs/docs.js":  {http.StatusOK, "Content-Type", "text/javascript; charset=utf-8"},
		"/docs/icon.svg": {http.StatusOK, "Content-Type", "image/svg+xml"},
		"/openapi.json":  {http.StatusOK, "Content-Type", "application/json"},
		"/errors.json":   {http.StatusOK, "Content-Type", "application/json"},
		"/docs/page":     {http.StatusNotFound, "", ""},
	} {
		got := get(mux, path)
		if got.Code != want.status || got.Header().Get(want.header) != want.value {
			t.Errorf("%s: got %d with %v, want %d with %s %q", path, got.Code, got.Header(), want.status, want.header, want.value)
		}
		if want.status != http.StatusOK {
			continue
		}
		if csp := got.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none';") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: got policy %q, want a strict one", path, csp)
		}
		if again := get(mux, path, "If-None-Match", got.Header().Get("Etag")); again.Code != http.StatusNotModified {
			t.Errorf("%s: got %d for what is the same, want 304", path, again.Code)
		}
	}
}

// element is a start tag of the page.
type element struct {
	name       string
	attributes map[string]string
	text       string // up to the next tag
}

// elements reads the page; an end tag without its start is an error.
func elements(t *testing.T) (all []element) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(get(served(t), "/docs").Body.String()))
	d.Strict, d.AutoClose, d.Entity = false, append(slices.Clone(xml.HTMLAutoClose), "wbr"), xml.HTMLEntity
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := element{name: token.Name.Local, attributes: map[string]string{}}
			for _, a := range token.Attr {
				e.attributes[a.Name.Local] = a.Value
			}
			all = append(all, e)
		case xml.CharData:
			if len(all) > 0 {
				all[len(all)-1].text += string(token)
			}
		}
	}
}

func TestPageNeedsNobodyElse(t *testing.T) {
	t.Parallel()
	for _, e := range elements(t) {
		for name, value := range e.attributes {
			local := strings.HasPrefix(value, "/docs") || strings.HasPrefix(value, "#") || value == "/openapi.json" || value == "/errors.json"
			if (name == "href" || name == "src") && !local {
				t.Errorf("<%s %s=%q> leads elsewhere", e.name, name, value)
			}
			if name == "style" || strings.HasPrefix(name, "on") {
				t.Errorf("<%s %s=%q> is refused by the page's policy", e.name, name, value)
			}
		}
		if (e.name == "script" || e.name == "style") && strings.TrimSpace(e.text) != "" {
			t.Errorf("<%s> within the page is refused by its policy", e.name)
		}
	}
	for _, name := range []string{"docs.css", "docs.js", "icon.svg"} {
		content, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if outside := regexp.MustCompile(`url\(|@import|fetch\(|(src|href)=`).FindString(string(content)); outside != "" {
			t.Errorf("%s has %s", name, outside)
		}
	}
}

func TestPageLeadsSomewhere(t *testing.T) {
	t.Parallel()
	ids, links := map[string]bool{}, map[string]bool{}
	for _, e := range elements(t) {
		if id, ok := e.attributes["id"]; ok {
			if ids[id] {
				t.Errorf("there are two with id %s", id)
			}
			ids[id] = true
		}
		if id, ok := strings.CutPrefix(e.attributes["href"], "#"); ok {
			links[id] = true
		}
	}
	for id := range links {
		if !ids[id] {
			t.Errorf("a link leads to #%s, which is not there", id)
		}
	}
	var d document
	if err := json.Unmarshal(openapi.Document, &d); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, item := range d.Paths {
		for _, o := range item {
			want = append(want, o.OperationID)
		}
	}
	var errs []reason
	if err := json.Unmarshal(openapi.Errors, &errs); err != nil {
		t.Fatal(err)
	}
	for _, r := range errs {
		want = append(want, r.Reason)
	}
	if len(want) < 100 {
		t.Fatalf("got %d operations and reasons, want all", len(want))
	}
	for _, id := range want {
		if !ids[id] || !links[id] {
			t.Errorf("got id %t and link %t for %s, want both", ids[id], links[id], id)
		}
	}
}

// TestCurl is one line that a reader copies, as he sees it.
func TestCurl(t *testing.T) {
	t.Parallel()
	body := get(served(t), "/docs").Body.String()
	_, refund, _ := strings.Cut(body, `<article id="SubscriptionService_Refund"`)
	_, sample, _ := strings.Cut(refund, "<pre tabindex=\"0\"><code>")
	sample, _, _ = strings.Cut(sample, "</code>")
	got := html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(sample, ""))
	const want = `curl 'http://127.0.0.1:8080/v1/merchants/default/subscriptions/alpha:refund' \
  -H 'Content-Type: application/json' \
  -H 'Idempotency-Key: refund-1' \
  -H 'Prefer: wait=10' \
  -d '{
  "order_id": "10002",
  "amount": {"currency_code": "USD", "minor_units": "1000"},
  "reason": "a kindness"
}'`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestOrderIsThatOfTheProtos is about the things that JSON, as a map, does not keep in order.
func TestOrderIsThatOfTheProtos(t *testing.T) {
	t.Parallel()
	p, err := newPage(openapi.Document, openapi.Errors)
	if err != nil {
		t.Fatal(err)
	}
	operations := p.Services[0].Operations
	refund := operations[slices.IndexFunc(operations, func(o operation) bool { return o.ID == "SubscriptionService_Refund" })]
	money := p.Messages[slices.IndexFunc(p.Messages, func(m message) bool { return m.Name == "ledger.v1.Money" })]
	for _, c := range []struct{ what, got, want string }{
		{"the first operation", operations[0].ID, "SubscriptionService_StartTrial"},
		{"the second operation", operations[1].ID, "SubscriptionService_StartSubscription"},
		{"a body's first field", refund.Body[0].Name, "order_id"},
		{"a body's second field", refund.Body[1].Name, "amount"},
		{"a message's first field", money.Fields[0].Name, "currency_code"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %s, want %s", c.what, c.got, c.want)
		}
	}
}

func TestProse(t *testing.T) {
	t.Parallel()
	p := page{Errors: []reason{{Reason: "NOT_DUE"}}}
	for in, want := range map[string]string{
		"plain":              "plain",
		"a < b & c":          "a &lt; b &amp; c",
		"`<b>`":              "<code>&lt;b&gt;</code>",
		"**strong** words":   "<strong>strong</strong> words",
		"refused: NOT_DUE":   `refused: <a href="#NOT_DUE"><code>NOT_DUE</code></a>`,
		"NOT_DUE_YET, NO_ID": "NOT_DUE_YET, NO_ID",
	} {
		if got := string(p.Prose(in)); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestBrokenDocumentsAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string][2]string{
		"no JSON":     {"{", "[]"},
		"no errors":   {string(openapi.Document), "{"},
		"no examples": {`{"tags": [{"name": "SubscriptionService"}]}`, "[]"},
	} {
		if _, err := render([]byte(c[0]), []byte(c[1])); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}
