package buyer

import (
	"net/http"

	"ledger.internal/ledger/internal/adapters/plainpage"
)

// page is one that says something, whatever was asked for.
type page string

const (
	unknownPage     page = "unknown"
	unavailablePage page = "unavailable"
)

// said is what the pages say. None tells of a payment to somebody who has no token for it.
var said = map[page]plainpage.Words{
	page(succeeded): {Title: "Thank you", Text: "Your payment went through.", Next: "You can close this page."},
	page(failed):    {Title: "Not paid", Text: "The payment did not go through, and you were not charged.", Next: "To try again, go back to the shop."},
	page(pending): {
		Title: "Not decided yet", Text: "Your payment is not confirmed yet. That can take a few minutes.",
		Next: "Please do not pay a second time. Load this page again later to see what became of it.",
	},
	unknownPage: {Title: "Page not found", Text: "No payment belongs to this address.", Next: "If you came here from a payment, ask the shop: what became of it is found out without this page."},
	unavailablePage: {
		Title: "One moment, please", Text: "We cannot look up your payment right now. Whatever you did, it is not lost.",
		Next: "Load this page again in a few seconds.",
	},
}

// render makes the pages. They are the same for everybody.
func render() (map[page][]byte, error) {
	pages := map[page][]byte{}
	for p, w := range said {
		var err error
		if pages[p], err = plainpage.Render(w); err != nil {
			return nil, err
		}
	}
	return pages, nil
}

func (h *Handler) show(w http.ResponseWriter, status int, p page) {
	plainpage.Write(w, status, h.pages[p])
}
