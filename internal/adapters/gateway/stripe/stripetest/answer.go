package stripetest

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// object is a thing of Stripe's, ready to be written.
type object = map[string]any

type apiError struct {
	Type               string `json:"type"`
	Code               string `json:"code,omitempty"`
	DeclineCode        string `json:"decline_code,omitempty"`
	AdviceCode         string `json:"advice_code,omitempty"`
	NetworkAdviceCode  string `json:"network_advice_code,omitempty"`
	NetworkDeclineCode string `json:"network_decline_code,omitempty"`
	Message            string `json:"message"`
	Param              string `json:"param,omitempty"`
	PaymentIntent      object `json:"payment_intent,omitempty"`
	SetupIntent        object `json:"setup_intent,omitempty"`
	PaymentMethod      object `json:"payment_method,omitempty"`
}

// answer is what a caller is to get, and how.
type answer struct {
	status     int
	body       []byte
	replayed   bool
	retryAfter int
	step       Step // how it is told
}

func answerWith(v any) answer {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own objects
	}
	return answer{status: http.StatusOK, body: b}
}

func problem(status int, e apiError) answer {
	a := answerWith(map[string]any{"error": e})
	a.status = status
	return a
}

func invalid(param, code, message string) answer {
	return problem(http.StatusBadRequest, apiError{Type: "invalid_request_error", Param: param, Code: code, Message: message})
}

func inUse() answer {
	return problem(http.StatusConflict, apiError{Type: "idempotency_error", Code: "idempotency_key_in_use", Message: "There is currently another in-progress request using this key."})
}

func missing(what, id, param string) answer {
	return problem(http.StatusNotFound, apiError{Type: "invalid_request_error", Code: "resource_missing", Param: param, Message: "No such " + what + ": '" + id + "'"})
}

func (a answer) after(seconds int) answer {
	a.retryAfter = seconds
	return a
}

// spoiled is the answer as the step has it.
func (a answer) spoiled(s Step) answer {
	switch s {
	case ErrorCharged, ErrorUncharged:
		a = problem(http.StatusInternalServerError, apiError{Type: "api_error", Message: "An unknown error occurred."})
	}
	a.step = s
	return a
}

// tell sends the answer in its way.
func (s *Server) tell(w http.ResponseWriter, r *http.Request, a answer) {
	body, kind := a.body, "application/json"
	switch a.step {
	case TimeoutCharged, TimeoutUncharged:
		s.wait(r)
	case ResetCharged, ResetUncharged:
		reset(w)
	case Half:
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		body = body[:len(body)/2]
	case Drip:
		body = body[:1]
	case Huge:
		body = append(slices.Clip(body), strings.Repeat(" ", 8<<20)...)
	case InUseCharged:
		a.status, body = http.StatusConflict, inUse().body
	case Page: // of something that stands before Stripe
		a.status, kind, body = http.StatusOK, "text/html", []byte("<!doctype html><title>Maintenance</title>")
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	if a.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(a.retryAfter))
	}
	if a.replayed || a.step == Repeated {
		h.Set("Idempotent-Replayed", "true")
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(body) // the caller may be gone
	if a.step == Half || a.step == Drip {
		_ = http.NewResponseController(w).Flush()
		if a.step == Drip {
			s.wait(r)
		}
		panic(http.ErrAbortHandler)
	}
}

// wait lasts until the caller hangs up or the server stops. It does not return.
func (s *Server) wait(r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // so that the server notices when the caller hangs up
	select {
	case <-r.Context().Done():
	case <-s.stopping:
	}
	panic(http.ErrAbortHandler)
}

// reset cuts the connection. It does not return.
func reset(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
	panic(http.ErrAbortHandler)
}
