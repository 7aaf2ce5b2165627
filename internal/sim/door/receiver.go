package door

import "net/http"

// ToReceivers is the way to the receivers of notifications, behind a door.
func ToReceivers(t http.RoundTripper, g Guard) http.RoundTripper {
	return guardedTransport{t, g, func(r *http.Request) Call {
		// Several notifications may be on their way to one receiver at once.
		return Call{Receiver, "post", r.URL.Host + r.URL.Path + " " + r.Header.Get("webhook-id")}
	}}
}

type guardedTransport struct {
	transport http.RoundTripper
	guard     Guard
	call      func(*http.Request) Call
}

// RoundTrip implements http.RoundTripper. A request whose answer is lost has arrived.
func (t guardedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	c := t.call(r)
	if err := t.guard.Before(r.Context(), c); err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // as a RoundTripper has to
		}
		return nil, err
	}
	res, err := t.transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if lost := t.guard.After(r.Context(), c); lost != nil {
		_ = res.Body.Close()
		return nil, lost
	}
	return res, nil
}
