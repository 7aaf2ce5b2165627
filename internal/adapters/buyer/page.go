package buyer

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page and its style
	"encoding/base64"
	"html/template"
	"net/http"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

// page is one that says something, whatever was asked for.
type page string

const (
	unknownPage     page = "unknown"
	unavailablePage page = "unavailable"
)

// words are what a page says. None tells of a payment to somebody who has no token for it.
type words struct{ Title, Text, Next string }

var said = map[page]words{
	page(succeeded): {"Thank you", "Your payment went through.", "You can close this page."},
	page(failed):    {"Not paid", "The payment did not go through, and you were not charged.", "To try again, go back to the shop."},
	page(pending): {
		"Not decided yet", "Your payment is not confirmed yet. That can take a few minutes.",
		"Please do not pay a second time. Load this page again later to see what became of it.",
	},
	unknownPage: {"Page not found", "No payment belongs to this address.", "If you came here from a payment, ask the shop: what became of it is found out without this page."},
	unavailablePage: {
		"One moment, please", "We cannot look up your payment right now. Whatever you did, it is not lost.",
		"Load this page again in a few seconds.",
	},
}

// render makes the pages. They are the same for everybody.
func render() (map[page][]byte, error) {
	t, err := template.New("page").Parse(pageHTML)
	if err != nil {
		return nil, err
	}
	pages := map[page][]byte{}
	for p, w := range said {
		var b bytes.Buffer
		if err := t.Execute(&b, struct {
			words
			Style template.CSS
		}{w, template.CSS(pageCSS)}); err != nil {
			return nil, err
		}
		pages[p] = b.Bytes()
	}
	return pages, nil
}

// protect keeps an answer from being kept, its address from being passed on, and its page from loading anything. The
// page's own style is known by what it is.
func protect(h http.Header) {
	style := sha256.Sum256([]byte(pageCSS))
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(style[:])+
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
}

func (h *Handler) show(w http.ResponseWriter, status int, p page) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(h.pages[p]) // who is gone is not told
}
