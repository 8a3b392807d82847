package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/engine"
)

const stepsConcurrent = 20

// measureSteps measures executions of seven steps, four with an effect in the database and
// three with a no-op outside, in the order ICICICI, twenty at once.
func measureSteps(ctx context.Context, b *bench) ([]row, error) {
	var ours, peers []float64
	for i := range b.reps {
		v, err := b.stepsCAOS(ctx, fmt.Sprintf("steps-%d", i), []string{""})
		if err != nil {
			return nil, err
		}
		p, err := b.stepsDBOS(ctx, fmt.Sprintf("dbos-%d", i))
		if err != nil {
			return nil, err
		}
		ours, peers = append(ours, v), append(peers, p)
	}
	out := []row{rated(fmt.Sprintf("7-step execution, SQLite FULL, %d at once", stepsConcurrent), "/s", ours).against("DBOS Transact", peers, 4).
		with("both run the steps in process, on a connection of their own kind with synchronous=FULL; CAOS also writes and seals audit records")}
	if b.postgres == "" {
		return out, nil
	}
	for _, nodes := range []int{1, 2} {
		var ours []float64
		for i := range b.reps {
			url, drop, err := newDatabase(ctx, b.postgres)
			if err != nil {
				return out, err
			}
			urls := make([]string, nodes)
			for j := range urls {
				urls[j] = url
			}
			v, err := b.stepsCAOS(ctx, fmt.Sprintf("steps-pg-%d-%d", nodes, i), urls)
			drop()
			if err != nil {
				return out, err
			}
			ours = append(ours, v)
		}
		out = append(out, rated(fmt.Sprintf("7-step execution, PostgreSQL, %d node(s), %d at once", nodes, stepsConcurrent), "/s", ours))
	}
	return out, nil
}

const benchHook = "CAOS.PROD.BENCH.STEPS"

type benchState struct {
	Done int `json:"done"`
}

const effectsTable = `CREATE TABLE IF NOT EXISTS bench_effects (trace TEXT NOT NULL)`

// sevenSteps is the flow that is measured.
func sevenSteps() *engine.Flow {
	effect := func(tx *db.Tx, r *engine.Run, s *benchState) error {
		s.Done++
		tx.Exec(`INSERT INTO bench_effects (trace) VALUES ($1)`, r.Key())
		return nil
	}
	nothing := func(context.Context, *engine.Run, *benchState) error { return nil }
	return engine.Plan[benchState]{
		Hook: benchHook, Version: "1.0.0", Revision: 1, Schema: 1,
		Begin: func(*engine.Run, json.RawMessage) (*benchState, error) { return &benchState{}, nil },
		Steps: []engine.Step[benchState]{
			engine.InTx(1, "Check", "check", effect),
			engine.Call(2, "Fetch", "fetch", nothing),
			engine.InTx(3, "Note", "note", effect),
			engine.Call(4, "Push", "push", nothing),
			engine.InTx(5, "Register", "register", effect),
			engine.Call(6, "Tell", "tell", nothing),
			engine.InTx(7, "Close", "close", effect),
		},
		Output: func(s *benchState) any { return s },
	}.Flow()
}

func (b *bench) stepsCAOS(ctx context.Context, name string, urls []string) (rate float64, err error) {
	dir := filepath.Join(b.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	var nodes []*stack
	defer func() {
		for _, s := range nodes {
			err = errors.Join(err, s.close())
		}
	}()
	for _, url := range urls {
		if url == "" {
			url = "sqlite:" + filepath.Join(dir, "caos.db")
		}
		s, err := openStack(ctx, stackOptions{url: url, dir: dir, flows: []*engine.Flow{sevenSteps()}})
		if err != nil {
			return 0, err
		}
		nodes = append(nodes, s)
	}
	if err := nodes[0].db.Write(ctx, func(tx *db.Tx) error { tx.Exec(effectsTable); return nil }); err != nil {
		return 0, err
	}
	by := caos.Principal{ID: "bench", Roles: []string{"service"}}
	done, seconds, err := closedLoop(stepsConcurrent, b.duration, func(i int) error {
		e := nodes[i%len(nodes)].eng
		x, err := e.Submit(ctx, engine.Submission{Hook: benchHook, Input: json.RawMessage(`{}`), By: by})
		if err != nil {
			return err
		}
		if x, err = e.Await(ctx, x.ID, time.Minute); err == nil && x.Status != engine.Succeeded {
			err = fmt.Errorf("%s is %s", x.ID, x.Status)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	if _, err := nodes[0].check(ctx); err != nil {
		return 0, err
	}
	var effects int64
	if err := nodes[0].db.QueryRow(ctx, `SELECT count(*) FROM bench_effects`).Scan(&effects); err != nil {
		return 0, err
	}
	if effects != 4*done {
		return 0, fmt.Errorf("%d executions left %d effects", done, effects)
	}
	return float64(done) / seconds, nil
}
