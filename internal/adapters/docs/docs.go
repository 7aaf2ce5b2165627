// Package docs is the documentation that the ledger serves about itself: a page at /docs, made of the published OpenAPI
// document and the list of errors, and both of these as they are. All of it is in the program: a reader needs no
// network, and the page may load nothing from elsewhere.
package docs

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"time"

	"ledger.internal/ledger/api/openapi"
)

//go:embed page.html docs.css docs.js icon.svg
var files embed.FS

// policy lets the page have its own style and script, and nothing else.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Register makes mux answer the page, the documents that it is made of, and /, which leads to it.
func Register(mux *http.ServeMux) error {
	page, err := render(openapi.Document, openapi.Errors)
	if err != nil {
		return fmt.Errorf("docs: %w", err)
	}
	mux.Handle("GET /{$}", http.RedirectHandler("/docs", http.StatusFound))
	mux.Handle("GET /docs/{$}", http.RedirectHandler("/docs", http.StatusFound))
	mux.Handle("GET /docs", fixed("text/html; charset=utf-8", page))
	mux.Handle("GET /openapi.json", fixed("application/json", openapi.Document))
	mux.Handle("GET /errors.json", fixed("application/json", openapi.Errors))
	for name, media := range map[string]string{
		"docs.css": "text/css; charset=utf-8", "docs.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml",
	} {
		content, err := files.ReadFile(name)
		if err != nil {
			return fmt.Errorf("docs: %w", err)
		}
		mux.Handle("GET /docs/"+name, fixed(media, content))
	}
	return nil
}

// render makes the page.
func render(document, errors []byte) ([]byte, error) {
	p, err := newPage(document, errors)
	if err != nil {
		return nil, err
	}
	t, err := template.New("page.html").Funcs(template.FuncMap{"prose": p.Prose, "breakable": breakable, "short": short}).ParseFS(files, "page.html")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, p)
	return b.Bytes(), err
}

// fixed answers content that stays the same as long as the program does.
func fixed(media string, content []byte) http.Handler {
	sum := sha256.Sum256(content)
	etag := `"` + hex.EncodeToString(sum[:8]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", media)
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache") // asked again each time, and answered 304 while it is the same
		h.Set("ETag", etag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	})
}
