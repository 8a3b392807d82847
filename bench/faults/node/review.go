package main

import (
	"encoding/json"
	"net/http"
	"strings"

	"caos"
	"caos/bench/faults/reviewing"
	"caos/internal/engine"
)

// reviews adds what campaigns of reviews ask for.
func (n *node) reviews(mux *http.ServeMux, answer func(http.ResponseWriter, *engine.Execution, error)) {
	mux.HandleFunc("POST /review/{version}", func(w http.ResponseWriter, r *http.Request) {
		req, err := reviewing.Request(version(r), strings.Split(r.URL.Query().Get("board"), ","), r.Header.Get("Idempotency-Key"))
		if err != nil {
			answer(w, nil, err)
			return
		}
		x, err := n.service.Submit(r.Context(), req)
		answer(w, x, err)
	})
	tell := func(w http.ResponseWriter, v any, err error) {
		if err != nil {
			e := caos.AsError(err)
			w.WriteHeader(statusOf(e.Kind))
			v = reviewing.Refusal{Rule: e.Rule, Field: e.Field, Message: e.Error()}
		}
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("POST /act", func(w http.ResponseWriter, r *http.Request) {
		var a reviewing.Act
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&a); err != nil {
			tell(w, nil, caos.Errorf(caos.Invalid, "%v", err))
			return
		}
		out, err := n.board.Do(r.Context(), n.eng, a)
		tell(w, out, err)
	})
	mux.HandleFunc("GET /prr/{id}", func(w http.ResponseWriter, r *http.Request) {
		v, err := n.board.Readiness.Review(r.Context(), r.PathValue("id"))
		tell(w, v, err)
	})
	mux.HandleFunc("GET /release/{id}", func(w http.ResponseWriter, r *http.Request) {
		a, err := n.board.Readiness.Authorization(r.Context(), r.PathValue("id"))
		tell(w, a, err)
	})
}
