package main

import (
	"encoding/json"
	"net/http"
	"net/http/pprof"
)

// adminPages are for those who run the ledger: is it alive, is it ready, what is it doing.
func (s *service) adminPages() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", s.ready)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// ready answers 200 while the ledger serves and its log can be read, with how far every follower has come.
func (s *service) ready(w http.ResponseWriter, _ *http.Request) {
	code, status := http.StatusOK, map[string]any{"version": version()}
	if starting := s.starting.Load(); starting != nil {
		code, status["log"] = http.StatusServiceUnavailable, starting.why.Error()
	} else {
		head, err := s.health.look(s.log)
		if err != nil {
			code, status["log"] = http.StatusServiceUnavailable, "cannot be read: "+err.Error()
		} else {
			status["head"] = head.String()
		}
		status["followers"] = s.positions()
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(status) // a caller that is gone needs no answer
}

// positions are how far every follower has come.
func (s *service) positions() map[string]string {
	followers := map[string]string{}
	for _, f := range s.followers {
		followers[f.Name()] = f.Position().String()
	}
	for _, h := range s.bus.Status() {
		followers[h.Handler] = h.Position.String()
	}
	return followers
}
