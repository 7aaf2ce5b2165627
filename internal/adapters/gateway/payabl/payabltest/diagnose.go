package payabltest

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// longest is more than the range of dates that is answered: https://docs.payabl.com/docs/diagnose-interface-1.
const longest = 31 * 24 * time.Hour

// diagnose answers tx_diagnose, in ISO-8859-1 and with a blank before each id.
func (s *Server) diagnose(w http.ResponseWriter, form url.Values, refusal int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, to, dated := period(form)
	if dated && to.Sub(from) >= longest {
		http.Error(w, "Gateway Time-out", http.StatusGatewayTimeout)
		return
	}
	var b strings.Builder
	switch kind := form.Get("type"); kind {
	case "tx":
		if t := s.find(form.Get("transactionid")); t != nil {
			b.WriteString(t.xml())
		}
	case "orderid":
		for _, t := range s.transactions {
			if dated && t.order == form.Get("orderid") && within(t.steps[0].at, from, to) {
				b.WriteString(t.xml())
			}
		}
	case "chb", "retrieval_request":
		for _, e := range s.entries {
			if dated && e.list == kind && within(e.at, from, to) {
				b.WriteString(e.xml())
			}
		}
	default:
		refusal = -6000
	}
	w.Header().Set("Content-Type", "text/xml;charset=ISO-8859-1")
	fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n<response>\n<process>\n<error_message>%s</error_message>\n"+
		"<process_time>%s</process_time>\n<status>%d</status>\n</process>\n", map[bool]string{true: "Pr\xfcfung fehlgeschlagen"}[refusal != 0], stamp(s.c.Now()), refusal)
	if refusal == 0 {
		fmt.Fprint(w, b.String())
	}
	fmt.Fprint(w, "</response>\n")
}

func period(form url.Values) (from, to time.Time, ok bool) {
	from, err := time.ParseInLocation("02.01.2006", form.Get("start_date"), zone)
	to, err2 := time.ParseInLocation("02.01.2006", form.Get("end_date"), zone)
	return from, to, err == nil && err2 == nil
}

// within counts the last day in.
func within(at, from, to time.Time) bool {
	return !at.Before(from) && at.Before(to.AddDate(0, 0, 1))
}

func stamp(t time.Time) string { return t.In(zone).Format("02.01.2006 15:04:05") }

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder takes everything
	return b.String()
}

func (t *transaction) xml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "<transaction>\n<transaction_id> %s</transaction_id>\n<transaction_status>\n", t.id)
	for i, st := range t.steps {
		fmt.Fprintf(&b, "<step%d>\n<amount>%s</amount>\n<creation_date>%s</creation_date>\n<currency>%s</currency>\n<custom1>%s</custom1>\n"+
			"<error_code>%d</error_code>\n<order_id>%s</order_id>\n<type>%s</type>\n</step%d>\n",
			i+1, decimal(st.amount), stamp(st.at), t.currency, escape(t.custom), st.code, escape(t.order), st.kind, i+1)
	}
	return b.String() + "</transaction_status>\n</transaction>\n"
}

func (e entry) xml() string {
	return fmt.Sprintf("<transaction>\n<amount>%s</amount>\n<booking_date>%s</booking_date>\n<currency>%s</currency>\n"+
		"<issue_date>%s</issue_date>\n<order_id>%s</order_id>\n<transaction_id> %s</transaction_id>\n</transaction>\n",
		decimal(e.amount), stamp(e.at), e.of.currency, stamp(e.at), escape(e.of.order), e.of.id)
}
