package sandbox

import (
	"fmt"
	"html"
	"net/http"
	"net/url"

	amount "ledger.internal/ledger/internal/aggregate/money"
	"ledger.internal/ledger/internal/projection"
)

const page = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Sandbox payment</title>
<style>
body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 26rem; margin: 4rem auto; padding: 0 1rem }
form { display: inline }
button { font: inherit; padding: .4rem 1.4rem; margin-right: .6rem }
small { color: GrayText }
</style></head>
<body><h1>Sandbox payment</h1>
<p>%s</p>
%s
<p><small>Nobody pays here: this gateway is made of paper.</small></p>
</body></html>
`

const buttons = `<form method="post" action="?result=approve"><button>Approve</button></form>
<form method="post" action="?result=decline"><button>Decline</button></form>`

// turnBack is for a charge that says where to.
const turnBack = `
<form method="post" action="?result=cancel"><button>Cancel</button></form>`

// pageAnswer is a page that says text; only text is not ours.
func pageAnswer(code int, text, rest string) answer {
	return answer{Status: code, Type: "text/html; charset=utf-8", Text: fmt.Sprintf(page, html.EscapeString(text), rest)}
}

// getRedirect is where a buyer is sent to decide about a pending charge.
func (s *Server) getRedirect(w http.ResponseWriter, r *http.Request) {
	var c chargeRow
	found, err := one(s.book.QueryRow(r.Context(), `SELECT doc FROM charges WHERE id = $1`, r.PathValue("charge")), &c)
	switch {
	case err != nil:
		s.broken(w, r, err)
	case !found || c.Status == hidden:
		s.tell(w, r, pageAnswer(http.StatusNotFound, "No such payment.", ""))
	case c.Status != pending:
		s.tell(w, r, pageAnswer(http.StatusOK, "The payment is "+string(c.Status)+".", ""))
	default:
		choice := buttons
		if c.CancelURL != "" {
			choice += turnBack
		}
		s.tell(w, r, pageAnswer(http.StatusOK, fmt.Sprintf("%s %s to %s", amount.Format(c.Amount.proto()), c.Amount.CurrencyCode, c.Metadata.Merchant), choice))
	}
}

// postRedirect decides a pending charge: ?result=approve, optionally with &token= as the script of the method that
// is stored, or ?result=decline. The buyer goes back to the return URL with the result added. With ?result=cancel he goes
// to the cancel URL, and nothing is decided: whether the payment ends is for the merchant to say.
func (s *Server) postRedirect(w http.ResponseWriter, r *http.Request) {
	result, token := r.URL.Query().Get("result"), r.URL.Query().Get("token")
	if token == "" {
		token = tokenPrefix + "ok"
	}
	steps, ok := script(token)
	if !ok || result != "approve" && result != "decline" && result != "cancel" {
		s.tell(w, r, pageAnswer(http.StatusBadRequest, "The result is approve, decline or cancel; the token is a script.", ""))
		return
	}
	var back string
	decide := func(tx projection.Tx) (answer, error) {
		c, found, err := loadCharge(tx, r.PathValue("charge"))
		if err != nil || !found || c.Status == hidden {
			return pageAnswer(http.StatusNotFound, "No such payment.", ""), err
		}
		if c.Status != pending {
			return pageAnswer(http.StatusConflict, "The payment is "+string(c.Status)+" already.", ""), nil
		}
		if result == "cancel" {
			back = returnTo(c.CancelURL, result)
			return pageAnswer(http.StatusOK, "The payment is pending.", ""), nil
		}
		now := s.clock.Now()
		if result == "decline" {
			c.Decline = &declined{Category: "soft", Code: "declined_by_buyer", Message: "The buyer declined."}
			c.Status, c.DecidedAt = failed, &now
			err = c.decided(tx, now)
		} else {
			err = s.approve(tx, c, steps)
		}
		back = returnTo(c.ReturnURL, result)
		return pageAnswer(http.StatusOK, "The payment is "+string(c.Status)+".", ""), err
	}
	var a answer
	if err := s.book.do(func(tx projection.Tx) (err error) { a, err = decide(tx); return err }); err != nil {
		s.broken(w, r, err)
		return
	}
	s.poke()
	if a.Status == http.StatusOK && back != "" {
		w.Header().Set("Location", back)
		a.Status = http.StatusSeeOther
	}
	s.tell(w, r, a)
}

// approve lets a pending charge succeed, storing a method if it came without one.
func (s *Server) approve(tx projection.Tx, c *chargeRow, steps []string) error {
	now := s.clock.Now()
	if c.MethodID == "" {
		acc, _, err := loadAccount(tx, c.Account)
		if err != nil {
			return err
		}
		m := newMethod(name("pm_", c.ID), c.Account, acc, c.Metadata, c.NotifyURL, steps)
		c.MethodID = m.Reference
		if err := m.save(tx); err != nil {
			return err
		}
	}
	return c.decide(tx, succeeded, now)
}

// returnTo is the address with the result; "" if there is none that a browser should follow.
func returnTo(raw, result string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	q := u.Query()
	q.Set("result", result)
	u.RawQuery = q.Encode()
	return u.String()
}
