// Command node is the node that the fault campaigns kill: database, log and engine wired as
// the product wires them, with sample hooks of every kind of step, behind a small HTTP API.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"caos"
	"caos/bench/faults/chaining"
	"caos/bench/faults/freezing"
	"caos/bench/faults/piping"
	"caos/bench/faults/reviewing"
	"caos/bench/faults/sample"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/engine"
	"caos/internal/hook"
	"caos/internal/sign"
)

type options struct {
	url, dir, listen, outside string
	doubt                     float64
	offset                    time.Duration
	freeze, review            bool
	pipe, share, chain        bool
	worker                    string
}

func main() {
	var o options
	flag.StringVar(&o.url, "url", "", "database")
	flag.StringVar(&o.dir, "dir", "", "folder of keys and published checkpoints, which the nodes share")
	flag.StringVar(&o.listen, "listen", "", "host:port")
	flag.StringVar(&o.outside, "outside", "", "file that the effects of Calls are appended to")
	flag.Float64Var(&o.doubt, "doubt", 0, "share of commits whose answer is lost")
	flag.DurationVar(&o.offset, "offset", 0, "how wrong the clock is")
	flag.BoolVar(&o.freeze, "freeze", false, "have the hooks of freezes, and not the samples")
	flag.BoolVar(&o.review, "review", false, "have the hooks of freezes and reviews")
	flag.BoolVar(&o.pipe, "pipe", false, "have the hooks of data, and not the samples")
	flag.BoolVar(&o.chain, "chain", false, "have the hook of the chain that network.json in the folder names, and not the samples")
	flag.BoolVar(&o.share, "share", false, "have one scratch folder for all nodes, with -pipe")
	flag.StringVar(&o.worker, "worker", "", "the program caos-worker, with -pipe")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		os.Exit(1)
	}
}

// node is one life of a process.
type node struct {
	db     *db.DB
	log    *auditlog.Log
	eng    *engine.Engine
	offset atomic.Int64 // nanoseconds that the clock is wrong by
	lost   chan struct{}

	desk    *freezing.Desk  // nil without -freeze or -review, as service
	board   *reviewing.Desk // nil without -review
	pipes   *piping.Desk    // nil without -pipe
	purse   *chaining.Desk  // nil without -chain
	service *hook.Service
}

func (n *node) now() time.Time { return time.Now().Add(time.Duration(n.offset.Load())) }

func run(o options) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	outside, err := os.OpenFile(o.outside, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer outside.Close()
	n := &node{lost: make(chan struct{}, 1)}
	n.offset.Store(int64(o.offset))
	if err := n.open(ctx, o, outside); err != nil {
		return err
	}
	l, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: n.api(), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = srv.Serve(l) }() // ends with Shutdown
	fmt.Println("ready")
	select {
	case <-ctx.Done():
	case <-n.lost:
		return errors.New("this node's place was given away")
	}
	end, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return errors.Join(srv.Shutdown(end), n.quietPipes(), n.quietPurse(), n.eng.Stop(end), n.closePipes(), n.closePurse(), n.closeDesk(), n.log.Close(), n.db.Close())
}

func (n *node) open(ctx context.Context, o options, outside *os.File) (err error) {
	warn := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	quiet := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	opt := db.Options{URL: o.url, Log: slog.New(slog.DiscardHandler)}
	if o.doubt > 0 {
		opt.Fault = &db.Fault{At: func(p db.Point) db.Action {
			if p == db.AtCommitted && rand.Float64() < o.doubt {
				return db.Fail
			}
			return db.Proceed
		}}
	}
	if n.db, err = db.Open(ctx, opt); err != nil {
		return err
	}
	err = n.db.Write(ctx, func(tx *db.Tx) error { tx.Exec(sample.Table); return nil })
	if err != nil {
		return err
	}
	keys, err := sign.OpenKeys(filepath.Join(o.dir, "keys"))
	if err != nil {
		return err
	}
	floor, err := auditlog.LastTime(ctx, n.db)
	if err != nil {
		return err
	}
	place, err := engine.ClaimNode(ctx, n.db, "fault")
	if err != nil {
		return err
	}
	stamps := caos.NewStamper(n.now, floor, place.Slot, place.Slots)
	n.log, err = auditlog.Open(ctx, auditlog.Options{DB: n.db, Keys: keys, Origin: sample.Origin, Stamps: stamps, Now: n.now,
		Sink: auditlog.NewFileSink(filepath.Join(o.dir, sample.Published)), Log: quiet, PublishEvery: 50 * time.Millisecond})
	if err != nil {
		return err
	}
	eo := engine.Options{DB: n.db, Log: n.log, Stamps: stamps, Now: n.now, Flows: sample.Flows(outside), Node: place.Name, Logger: warn}
	if n.db.Dialect() == db.PostgreSQL {
		eo.River = &engine.RiverOptions{URL: o.url, Lost: func() { n.lost <- struct{}{} }}
	}
	if o.freeze || o.review {
		if err := n.openDesk(o, keys, stamps, &eo); err != nil {
			return err
		}
	}
	if o.pipe {
		if err := n.openPipes(ctx, o, stamps, &eo, warn); err != nil {
			return err
		}
	}
	if o.chain {
		if err := n.openPurse(o, stamps, &eo, warn); err != nil {
			return err
		}
	}
	if n.eng, err = engine.New(eo); err != nil {
		return err
	}
	if o.freeze || o.review {
		if n.service, err = n.desk.Service(ctx, n.eng); err != nil {
			return err
		}
	}
	if o.pipe {
		if err := n.pipes.Serve(ctx, n.eng); err != nil {
			return err
		}
	}
	if o.chain {
		if err := n.purse.Serve(ctx, n.eng); err != nil {
			return err
		}
	}
	if err := n.eng.Start(ctx); err != nil {
		return err
	}
	switch {
	case o.pipe:
		return n.pipes.Start(ctx)
	case o.chain:
		return n.purse.Start(ctx)
	}
	return nil
}

func (n *node) api() http.Handler {
	by := caos.Principal{ID: "tester", Roles: []string{"service"}}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, x *engine.Execution, err error) {
		if err != nil {
			e := caos.AsError(err)
			http.Error(w, e.Error(), statusOf(e.Kind))
			return
		}
		_ = json.NewEncoder(w).Encode(sample.Answer{ID: x.ID, Status: string(x.Status), Topic: x.Topic})
	}
	mux.HandleFunc("POST /run/{hook}", func(w http.ResponseWriter, r *http.Request) {
		x, err := n.eng.Submit(r.Context(), engine.Submission{Hook: r.PathValue("hook"), Input: json.RawMessage(`{}`), By: by,
			IdemKey: r.Header.Get("Idempotency-Key"), BodyHash: "the same"})
		answer(w, x, err)
	})
	mux.HandleFunc("GET /x/{id}", func(w http.ResponseWriter, r *http.Request) {
		x, err := n.eng.Get(r.Context(), r.PathValue("id"))
		answer(w, x, err)
	})
	mux.HandleFunc("POST /decide/{id}", func(w http.ResponseWriter, r *http.Request) {
		x, err := n.eng.Decide(r.Context(), r.PathValue("id"), engine.Decision{Topic: sample.Topic, Payload: json.RawMessage(`"yes"`), Actor: by.ID, By: by}, nil)
		answer(w, x, err)
	})
	mux.HandleFunc("GET /pending", func(w http.ResponseWriter, r *http.Request) {
		var count int
		if err := n.db.QueryRow(r.Context(), `SELECT count(*) FROM executions WHERE finished_at IS NULL`).Scan(&count); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, count)
	})
	mux.HandleFunc("GET /checkpoint", func(w http.ResponseWriter, r *http.Request) {
		note, err := n.log.Checkpoint(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write(note)
	})
	mux.HandleFunc("POST /clock/{offset}", func(w http.ResponseWriter, r *http.Request) {
		d, err := time.ParseDuration(r.PathValue("offset"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		n.offset.Store(int64(d))
	})
	if n.desk != nil {
		n.freezes(mux, answer)
	}
	if n.board != nil {
		n.reviews(mux, answer)
	}
	if n.pipes != nil {
		n.pipelines(mux, answer)
	}
	if n.purse != nil {
		n.transactions(mux, answer)
	}
	return mux
}

func statusOf(k caos.Kind) int {
	switch k {
	case caos.Invalid:
		return http.StatusUnprocessableEntity
	case caos.Conflict:
		return http.StatusConflict
	case caos.NotFound:
		return http.StatusNotFound
	case caos.Denied:
		return http.StatusForbidden
	case caos.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
