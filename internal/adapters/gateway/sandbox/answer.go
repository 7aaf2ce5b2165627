package sandbox

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
)

// answer is what a caller is to get, and how.
type answer struct {
	Status     int             `json:"status"`
	Type       string          `json:"type"`
	Body       json.RawMessage `json:"body,omitempty"`
	Text       string          `json:"text,omitempty"` // instead of Body
	RetryAfter int             `json:"retry_after,omitempty"`
	// telling is not stored: a cut connection is not cut again on a repeat.
	telling telling
}

func answerWith(code int, v any) (answer, error) {
	body, err := json.Marshal(v)
	return answer{Status: code, Type: "application/json", Body: body}, err
}

// problem is an answer that says what is wrong.
func problem(code int, name, text string) answer {
	body, err := json.Marshal(errorBody{Error: wireError{Code: name, Message: text}})
	if err != nil {
		panic(err) // three strings
	}
	return answer{Status: code, Type: "application/json", Body: body}
}

func inProgress() answer {
	return problem(http.StatusConflict, codeInProgress, "The first request with this key is still running.")
}

func unavailable() answer {
	a := problem(http.StatusServiceUnavailable, "unavailable", "Out of order, try again.")
	a.RetryAfter = 1
	return a
}

// spoil turns the answer to what was done into what the telling makes of it.
func (a answer) spoil(t telling, id string) answer {
	switch t {
	case by500:
		a = problem(http.StatusInternalServerError, codeInternal, "Something broke.")
	case byHTML:
		a = answer{Status: http.StatusOK, Type: "text/html; charset=utf-8", Text: "<!doctype html><title>Maintenance</title><h1>We will be back soon</h1>\n"}
	case asDuplicate:
		body, err := json.Marshal(errorBody{Error: wireError{Code: codeDuplicate, Message: "This was sent before.", Original: id}})
		if err != nil {
			panic(err) // strings
		}
		a = answer{Status: http.StatusConflict, Type: "application/json", Body: body}
	case asUnnamed:
		a = problem(http.StatusConflict, codeDuplicate, "This was sent before.")
	case by503:
		a = unavailable()
	}
	a.telling = t
	return a
}

// turnAway is the answer to a request that is not looked at; ok is false if t lets it pass.
func turnAway(t telling) (a answer, ok bool) {
	switch t {
	case after429:
		a = problem(http.StatusTooManyRequests, "rate_limited", "Too many requests.")
		a.RetryAfter = 1
		return a, true
	case after401:
		return problem(http.StatusUnauthorized, "unauthorized", "Unknown credentials."), true
	case after409:
		return inProgress(), true
	}
	return answer{}, false
}

// tell sends the answer in its way.
func (s *Server) tell(w http.ResponseWriter, r *http.Request, a answer) {
	body := []byte(a.Body)
	if a.Text != "" {
		body = []byte(a.Text)
	}
	switch a.telling {
	case never:
		select {
		case <-r.Context().Done():
		case <-s.stopping.Done():
		}
		panic(http.ErrAbortHandler)
	case byReset:
		reset(w)
	case byHalf:
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		body = body[:len(body)/2]
	}
	w.Header().Set("Content-Type", a.Type)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if a.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(a.RetryAfter))
	}
	w.WriteHeader(a.Status)
	if _, err := w.Write(body); err != nil {
		return // the caller is gone; he will ask again
	}
	if a.telling == byHalf {
		_ = http.NewResponseController(w).Flush() // the half that is meant to arrive
		panic(http.ErrAbortHandler)
	}
}

// reset cuts the connection the hard way. It does not return.
func reset(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // without it the cut would be a clean end; that is as good
		}
		_ = conn.Close()
	}
	panic(http.ErrAbortHandler)
}

// maxRequest bounds what a caller may send.
const maxRequest = 64 << 10

// read reads one JSON object and nothing else.
func read(w http.ResponseWriter, r *http.Request, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return nil
}
