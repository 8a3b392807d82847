package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strconv"

	"caos"
	"caos/bench/faults/piping"
	"caos/internal/engine"
	"caos/internal/hook"
)

// openPipes opens what pipelines need and gives the engine their hooks.
func (n *node) openPipes(ctx context.Context, o options, stamps *caos.Stamper, eo *engine.Options, logger *slog.Logger) (err error) {
	share := filepath.Base(o.outside)
	if o.share {
		share = "all"
	}
	n.pipes, err = piping.Open(ctx, piping.Parts{DB: n.db, Log: n.log, Stamps: stamps, Dir: o.dir, Node: filepath.Base(o.outside), Share: share, Worker: o.worker, Now: n.now, Logger: logger})
	if err != nil {
		return err
	}
	eo.Flows, eo.Budget = hook.Flows(n.pipes.Hooks), piping.Budget
	eo.CheckOutput, err = hook.OutputCheck(n.pipes.Hooks)
	return err
}

// closePipes ends what works in the background before the engine ends, and the rest after.
func (n *node) closePipes() error {
	if n.pipes == nil {
		return nil
	}
	return n.pipes.Close()
}

func (n *node) quietPipes() error {
	if n.pipes != nil {
		n.pipes.Quiet()
	}
	return nil
}

// pipelines adds what campaigns of pipelines ask for.
func (n *node) pipelines(mux *http.ServeMux, answer func(http.ResponseWriter, *engine.Execution, error)) {
	mux.HandleFunc("POST /pipe/{pipeline}", func(w http.ResponseWriter, r *http.Request) {
		i, err := strconv.Atoi(r.PathValue("pipeline"))
		if err != nil {
			answer(w, nil, caos.Errorf(caos.Invalid, "%v", err))
			return
		}
		req, err := piping.Request(piping.Pipeline(i), r.Header.Get("Idempotency-Key"))
		if err != nil {
			answer(w, nil, err)
			return
		}
		x, err := n.pipes.Service.Submit(r.Context(), req)
		answer(w, x, err)
	})
	mux.HandleFunc("POST /cancel/{id}", func(w http.ResponseWriter, r *http.Request) {
		x, err := n.eng.Cancel(r.Context(), r.PathValue("id"), "not now", piping.Engineer(), nil)
		answer(w, x, err)
	})
	mux.HandleFunc("GET /restless", func(w http.ResponseWriter, r *http.Request) {
		var firings, events int64
		err := n.db.QueryRow(r.Context(), `SELECT (SELECT count(*) FROM trigger_firings WHERE state='PENDING'),
 (SELECT COALESCE(max((SELECT seq FROM event_head WHERE id = 1) - cursor_seq), 0) FROM event_subscribers)`).Scan(&firings, &events)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, firings+events)
	})
	mux.HandleFunc("GET /usage", func(w http.ResponseWriter, r *http.Request) {
		total, free, waiting := n.eng.Allocator().Usage()
		_ = json.NewEncoder(w).Encode(map[string]any{"held": total.MemoryBytes - free.MemoryBytes, "waiting": waiting})
	})
}
