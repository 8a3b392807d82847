package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	_ "github.com/dbos-inc/dbos-transact-golang/dbos/driver/sqlite" // DBOS on SQLite
)

// stepsDBOS measures the same seven steps as a DBOS workflow: the four with an effect are
// transactions on the database that holds its own state, so that effect and checkpoint are
// one commit; the other three are plain steps.
func (b *bench) stepsDBOS(ctx context.Context, name string) (rate float64, err error) {
	dir := filepath.Join(b.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	// One connection: with more, SQLite's busy handler instead of a queue decides who
	// writes next, which made it slower.
	lite, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "dbos.db")+
		"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(ON)")
	if err != nil {
		return 0, err
	}
	defer lite.Close()
	lite.SetMaxOpenConns(1)
	if _, err := lite.ExecContext(ctx, effectsTable); err != nil {
		return 0, err
	}
	var mode string
	if err := lite.QueryRowContext(ctx, `PRAGMA synchronous`).Scan(&mode); err != nil || mode != "2" {
		return 0, errors.Join(err, fmt.Errorf("DBOS runs with synchronous=%s", mode))
	}
	d, err := dbos.NewContext(ctx, dbos.Config{AppName: "bench", SQLiteSystemDB: lite, Logger: slog.New(slog.DiscardHandler), ApplicationVersion: "1"})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, dbos.Shutdown(d, 10*time.Second)) }()
	ds, err := dbos.NewDataSource(d, lite)
	if err != nil {
		return 0, err
	}
	effect := func(c dbos.Context) error {
		_, err := dbos.RunAsTransaction(c, ds, func(ctx context.Context, tx dbos.Tx) (string, error) {
			_, err := tx.Exec(ctx, `INSERT INTO bench_effects (trace) VALUES ($1)`, "effect")
			return "done", err
		})
		return err
	}
	nothing := func(c dbos.Context) error {
		_, err := dbos.RunAsStep(c, func(context.Context) (string, error) { return "done", nil })
		return err
	}
	workflow := func(c dbos.Context, in string) (string, error) {
		for _, step := range []func(dbos.Context) error{effect, nothing, effect, nothing, effect, nothing, effect} {
			if err := step(c); err != nil {
				return "", err
			}
		}
		return in, nil
	}
	dbos.RegisterWorkflow(d, workflow)
	if err := dbos.Launch(d); err != nil {
		return 0, err
	}
	done, seconds, err := closedLoop(stepsConcurrent, b.duration, func(int) error {
		h, err := dbos.RunWorkflow(d, workflow, "{}")
		if err != nil {
			return err
		}
		_, err = h.GetResult()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("dbos: %w", err)
	}
	var effects int64
	if err := lite.QueryRowContext(ctx, `SELECT count(*) FROM bench_effects`).Scan(&effects); err != nil {
		return 0, err
	}
	if effects != 4*done {
		return 0, fmt.Errorf("dbos: %d workflows left %d effects", done, effects)
	}
	return float64(done) / seconds, nil
}
