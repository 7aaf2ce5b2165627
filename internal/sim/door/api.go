package door

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
)

// API is the way from an adapter to the HTTP API of its gateway.
type API interface {
	http.RoundTripper
	// About tells requests apart that may be on their way at once.
	About(*http.Request) string
	// Looks reports whether a request changes nothing: to lose its answer is no more than not to send it.
	Looks(*http.Request) bool
}

// ToAPI is an API behind a door of that name.
func ToAPI(name string, api API, g Guard) http.RoundTripper {
	return apiTransport{
		guardedTransport{api, g, func(r *http.Request) Call { return Call{Gateway, name, api.About(r)} }},
		guardedTransport{api, sight{g}, func(r *http.Request) Call { return Call{Gateway, name, api.About(r)} }},
		api,
	}
}

// sight is a guard of calls whose answers do not matter to it.
type sight struct{ Guard }

// After implements Guard.
func (sight) After(context.Context, Call) error { return nil }

// apiTransport tells how far a request got, as http.Transport does: of one that has not begun to be sent, the adapter
// knows that it was not.
type apiTransport struct {
	act, look guardedTransport
	api       API
}

// RoundTrip implements http.RoundTripper.
func (t apiTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	trace := httptrace.ContextClientTrace(r.Context())
	if trace != nil && trace.GetConn != nil {
		trace.GetConn(r.URL.Host)
	}
	through := t.act
	if t.api.Looks(r) {
		through = t.look
	}
	res, err := through.RoundTrip(r)
	if !errors.Is(err, ErrNotSent) && trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{})
	}
	return res, err
}
