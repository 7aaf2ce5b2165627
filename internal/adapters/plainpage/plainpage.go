// Package plainpage has the page that says one thing to somebody whom a gateway has sent here: a buyer after his payment, a
// merchant after his consent. It loads nothing, runs nothing, and is kept nowhere.
package plainpage

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page and its style
	"encoding/base64"
	"html/template"
	"net/http"
)

//go:embed page.html
var html string

//go:embed page.css
var css string

var page = template.Must(template.New("page").Parse(html))

// Words are what a page says: the Title, what is so, and what to do now. Next may be empty.
type Words struct{ Title, Text, Next string }

// Render is the page that says words.
func Render(w Words) ([]byte, error) {
	var b bytes.Buffer
	err := page.Execute(&b, struct {
		Words
		Style template.CSS
	}{w, template.CSS(css)})
	return b.Bytes(), err
}

// Protect keeps an answer from being kept, its address from being passed on, and its page from loading anything. The
// page's own style is known by what it is.
func Protect(h http.Header) {
	style := sha256.Sum256([]byte(css))
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(style[:])+
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
}

// Write answers with a page.
func Write(w http.ResponseWriter, status int, page []byte) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(page) // who is gone is not told
}
