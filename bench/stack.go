package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/engine"
	"caos/internal/sign"
)

// stack is the lower half of a node: database, keys, log and, if it has flows, an engine.
type stack struct {
	db     *db.DB
	keys   *sign.Keys
	stamps *caos.Stamper
	log    *auditlog.Log
	sink   *auditlog.FileSink
	eng    *engine.Engine
	dir    string
}

type stackOptions struct {
	url    string // database
	dir    string // of keys and published checkpoints; nodes of one cluster share it
	origin string
	flows  []*engine.Flow
	slots  int
}

// openStack starts a node's lower half as the product's wiring does.
func openStack(ctx context.Context, o stackOptions) (_ *stack, err error) {
	quiet := slog.New(slog.DiscardHandler)
	s := &stack{dir: o.dir, sink: auditlog.NewFileSink(filepath.Join(o.dir, "checkpoints.txt"))}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.db, err = db.Open(ctx, db.Options{URL: o.url, Log: quiet}); err != nil {
		return nil, err
	}
	if s.keys, err = sign.OpenKeys(filepath.Join(o.dir, "keys")); err != nil {
		return nil, err
	}
	for _, p := range []sign.Purpose{sign.Checkpoint, sign.Evidence} {
		if _, err := s.keys.Signer(p); err == nil {
			continue
		}
		if _, err := s.keys.Create(ctx, p, time.Now()); err != nil {
			return nil, err
		}
	}
	floor, err := auditlog.LastTime(ctx, s.db)
	if err != nil {
		return nil, err
	}
	node, err := engine.ClaimNode(ctx, s.db, "bench")
	if err != nil {
		return nil, err
	}
	s.stamps = caos.NewStamper(time.Now, floor, node.Slot, node.Slots)
	if o.origin == "" {
		o.origin = "caos.bench/log"
	}
	s.log, err = auditlog.Open(ctx, auditlog.Options{DB: s.db, Keys: s.keys, Origin: o.origin, Stamps: s.stamps, Sink: s.sink,
		Log: quiet, PublishEvery: 100 * time.Millisecond})
	if err != nil || len(o.flows) == 0 {
		return s, err
	}
	eo := engine.Options{DB: s.db, Log: s.log, Stamps: s.stamps, Flows: o.flows, Slots: o.slots, Node: node.Name, Logger: quiet}
	if s.db.Dialect() == db.PostgreSQL {
		eo.River = &engine.RiverOptions{URL: o.url}
	}
	if s.eng, err = engine.New(eo); err != nil {
		return nil, err
	}
	return s, s.eng.Start(ctx)
}

func (s *stack) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var err error
	if s.eng != nil {
		err = s.eng.Stop(ctx)
	}
	if s.log != nil {
		err = errors.Join(err, s.log.Close())
	}
	if s.keys != nil {
		err = errors.Join(err, s.keys.Close())
	}
	if s.db != nil {
		err = errors.Join(err, s.db.Close())
	}
	return err
}

// check verifies the whole log, records, tiles and published checkpoints.
func (s *stack) check(ctx context.Context) (auditlog.Summary, error) {
	var first string
	sum, err := auditlog.Verify(ctx, auditlog.VerifyOptions{DB: s.db, Published: []auditlog.Sink{s.sink}, OnProblem: func(p auditlog.Problem) {
		if first == "" {
			first = p.String()
		}
	}})
	if err == nil && sum.Problems > 0 {
		err = errors.New("the log does not verify: " + first)
	}
	return sum, err
}
