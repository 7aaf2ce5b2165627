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

// ready answers 200 while the stores can be read, with how far every follower has come.
func (s *service) ready(w http.ResponseWriter, r *http.Request) {
	status := map[string]any{"version": version()}
	head, err := s.log.Head(r.Context())
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		status["log"] = "cannot be read"
	} else {
		status["head"] = head.String()
	}
	followers := map[string]string{}
	for _, f := range s.followers {
		followers[f.Name()] = f.Position().String()
	}
	for _, h := range s.bus.Status() {
		followers[h.Handler] = h.Position.String()
	}
	status["followers"] = followers
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(status) // a caller that is gone needs no answer
}
