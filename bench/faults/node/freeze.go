package main

import (
	"net/http"
	"strconv"

	"caos"
	"caos/bench/faults/freezing"
	"caos/bench/faults/reviewing"
	"caos/internal/engine"
	"caos/internal/hook"
	"caos/internal/sign"
)

// openDesk opens what freezes need and gives the engine their hooks.
func (n *node) openDesk(o options, keys *sign.Keys, stamps *caos.Stamper, eo *engine.Options) (err error) {
	if n.desk, err = freezing.Open(freezing.Parts{DB: n.db, Log: n.log, Keys: keys, Stamps: stamps, Dir: o.dir, Now: n.now}); err != nil {
		return err
	}
	if o.review {
		if n.board, err = reviewing.Open(n.desk); err != nil {
			return err
		}
	}
	eo.Flows = hook.Flows(n.desk.Hooks)
	eo.CheckOutput, err = hook.OutputCheck(n.desk.Hooks)
	return err
}

func (n *node) closeDesk() error {
	if n.desk == nil {
		return nil
	}
	return n.desk.Close()
}

// version is the one that a request is about.
func version(r *http.Request) freezing.Version {
	i, err := strconv.Atoi(r.PathValue("version"))
	if err != nil {
		return -1
	}
	return freezing.Version(i)
}

// freezes adds what campaigns of freezes ask for.
func (n *node) freezes(mux *http.ServeMux, answer func(http.ResponseWriter, *engine.Execution, error)) {
	mux.HandleFunc("POST /freeze/{version}", func(w http.ResponseWriter, r *http.Request) {
		req, err := freezing.Request(version(r), r.Header.Get("Idempotency-Key"))
		if err != nil {
			answer(w, nil, err)
			return
		}
		x, err := n.service.Submit(r.Context(), req)
		answer(w, x, err)
	})
	mux.HandleFunc("POST /cancel/{id}", func(w http.ResponseWriter, r *http.Request) {
		x, err := n.eng.Cancel(r.Context(), r.PathValue("id"), "not now", freezing.Submitter(), nil)
		answer(w, x, err)
	})
	mux.HandleFunc("POST /defects/{version}/{list}", func(w http.ResponseWriter, r *http.Request) {
		if err := n.desk.Defects(r.Context(), version(r), r.PathValue("list")); err != nil {
			answer(w, nil, err)
		}
	})
}
