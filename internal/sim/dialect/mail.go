package dialect

import (
	"net/http"
	"time"

	"ledger.internal/ledger/internal/sim/neighbour"
)

// message is a webhook of a vendor's.
type message struct {
	id   string // as the ledger will know it
	body []byte
	// sign makes the headers of one that is sent at an instant; it is a right signature, or a wrong one.
	sign func(at time.Time, right bool) http.Header
	// forged is another body that the signature is not of; nil if a wrong signature does.
	forged []byte
	// losable: the ledger has promised to find out by itself.
	losable bool
	// patient: it is sent again for days if it is refused.
	patient bool
}

// spread sends off what is new at an account, and whatever else comes of it.
func (h *House) spread(a *account) {
	for _, m := range a.news() {
		h.send(a, m)
	}
}

func (h *House) send(a *account, m message) {
	now := h.Now()
	if m.losable && h.chance(h.Mischief.Lost) {
		h.hit(neighbour.WebhookLost)
		return
	}
	from := now.Add(h.within(10 * time.Second))
	switch {
	case h.chance(h.Mischief.Early):
		h.hit(neighbour.WebhookEarly)
		from = time.Time{}
	case h.chance(h.Mischief.Late):
		h.hit(neighbour.WebhookLate)
		from = now.Add(h.within(6 * time.Hour))
	}
	h.post(a, m, from, true)
	again := 0
	switch {
	case h.chance(h.Mischief.TenTimes):
		h.hit(neighbour.WebhookTenTimes)
		again = 9
	case h.chance(h.Mischief.Twice):
		h.hit(neighbour.WebhookTwice)
		again = 1
	}
	for range again {
		h.post(a, m, now.Add(h.within(48*time.Hour)), true)
	}
	if h.chance(h.Mischief.Forged) {
		h.hit(neighbour.WebhookForged)
		h.post(a, m, now.Add(h.within(time.Hour)), false)
	}
}

// post puts a message into the mail. One that nobody signed is posted under the id of the true one, which must not be
// taken for it.
func (h *House) post(a *account, m message, from time.Time, genuine bool) {
	body := m.body
	if !genuine && m.forged != nil {
		body = m.forged
	}
	h.out = append(h.out, neighbour.Webhook{
		Gateway: a.Gateway, Merchant: a.Merchant, Connection: a.ID, ID: m.id, Body: body, NotBefore: from, Genuine: genuine,
		Patient: m.patient && genuine, Sign: func(at time.Time) http.Header { return m.sign(at, genuine) },
	})
}
