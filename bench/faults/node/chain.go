package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strconv"

	"caos"
	"caos/bench/faults/chaining"
	"caos/internal/engine"
	"caos/internal/hook"
)

// openPurse opens what transactions need and gives the engine their hook.
func (n *node) openPurse(o options, stamps *caos.Stamper, eo *engine.Options, logger *slog.Logger) error {
	net, err := chaining.Read(o.dir)
	if err != nil {
		return err
	}
	n.purse, err = chaining.Open(chaining.Parts{DB: n.db, Log: n.log, Stamps: stamps, Dir: o.dir, Node: filepath.Base(o.outside), Now: n.now, Logger: logger}, net)
	if err != nil {
		return err
	}
	eo.Flows = hook.Flows(n.purse.Hooks)
	eo.CheckOutput, err = hook.OutputCheck(n.purse.Hooks)
	return err
}

// quietPurse ends what works in the background before the engine ends, closePurse the rest.
func (n *node) quietPurse() error {
	if n.purse != nil {
		n.purse.Quiet()
	}
	return nil
}

func (n *node) closePurse() error {
	if n.purse == nil {
		return nil
	}
	return n.purse.Close()
}

// transactions adds what campaigns of the chain ask for.
func (n *node) transactions(mux *http.ServeMux, answer func(http.ResponseWriter, *engine.Execution, error)) {
	mux.HandleFunc("POST /record/{number}", func(w http.ResponseWriter, r *http.Request) {
		i, err := strconv.Atoi(r.PathValue("number"))
		if err != nil {
			answer(w, nil, caos.Errorf(caos.Invalid, "%v", err))
			return
		}
		req, err := chaining.Request(n.purse.Network, i, r.Header.Get("Idempotency-Key"))
		if err != nil {
			answer(w, nil, err)
			return
		}
		x, err := n.purse.Service.Submit(r.Context(), req)
		answer(w, x, err)
	})
	mux.HandleFunc("GET /sending", func(w http.ResponseWriter, r *http.Request) {
		open, err := n.purse.Unconfirmed(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, open)
	})
}
