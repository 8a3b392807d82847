// Package piping is what the fault campaigns of pipelines run: the hooks DATA.PIPELINE and
// DATA.VALIDATE with the real worker, the trigger between them, wired as the product wires
// them, and the pipelines that they run.
package piping

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"caos"
	"caos/bench/faults/sample"
	"caos/internal/alert"
	"caos/internal/auditlog"
	"caos/internal/auth"
	"caos/internal/dataset"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
	"caos/internal/event"
	"caos/internal/hook"
	"caos/internal/location"
	"caos/internal/notify"
	"caos/internal/object"
	"caos/internal/policy"
	"caos/internal/sandbox"
	"caos/internal/sign"
	"caos/internal/trigger"
	"caos/internal/worker"
)

// The hooks, and the folders below the one that the nodes share.
const (
	PipelineHook = "CAOS.PROD.DATA.PIPELINE"
	ValidateHook = "CAOS.PROD.DATA.VALIDATE"
	Sources      = "sources"
	Targets      = "targets"
	Scratch      = "scratch" // with one folder for each node, or one for all
)

// Base is the address that datasets are named by.
const Base = "https://caos.test"

// sweepEvery is how often a node looks for scratch folders of executions that ended
// elsewhere; the product does it every few minutes.
const sweepEvery = time.Second

// Budget is what a node gives to runs: three at once.
var Budget = engine.Resources{MemoryBytes: 768 << 20, Threads: 3, Slots: 32}

// Parts are what a Desk stands on.
type Parts struct {
	DB     *db.DB
	Log    *auditlog.Log
	Stamps *caos.Stamper
	Dir    string // which the nodes share
	Node   string // name of this one
	Share  string // name of its scratch folder
	Worker string // program
	Now    func() time.Time
	Logger *slog.Logger
}

// Desk is everything that a run of a pipeline touches.
type Desk struct {
	Parts
	Objects   *object.Store
	Events    *event.Outbox
	Auth      *auth.Auth
	Datasets  *dataset.Datasets
	Locations *location.Locations
	Hooks     []*hook.Hook
	Service   *hook.Service
	Triggers  *trigger.Service

	alerts  *alert.Store
	sealer  *auth.FileSealer
	engine  *engine.Engine
	cancel  context.CancelFunc
	swept   chan struct{}
	closers []func() error
}

// Open opens a desk. Close ends what it opened and not what it stands on.
func Open(ctx context.Context, p Parts) (d *Desk, err error) {
	d = &Desk{Parts: p}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	scratch := filepath.Join(p.Dir, Scratch, p.Share)
	for _, dir := range []string{filepath.Join(p.Dir, Sources), filepath.Join(p.Dir, Targets), scratch} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return d, err
		}
	}
	if p.DB.Dialect() == db.SQLite { // as the product does when it starts alone
		left, err := os.ReadDir(scratch)
		if err != nil {
			return d, err
		}
		for _, f := range left {
			if err := os.RemoveAll(filepath.Join(scratch, f.Name())); err != nil {
				return d, err
			}
		}
	}
	if d.Objects, err = object.Open(filepath.Join(p.Dir, "objects"), p.DB, p.Now); err != nil {
		return d, err
	}
	d.closers = append(d.closers, d.Objects.Close)
	if d.Events, err = event.Open(event.Options{DB: p.DB, Stamps: p.Stamps, Now: p.Now, Node: p.Node, Log: slog.New(slog.DiscardHandler)}); err != nil {
		return d, err
	}
	policies, err := policy.Load()
	if err != nil {
		return d, err
	}
	if d.sealer, err = auth.OpenFileSealer(filepath.Join(p.Dir, "keys")); err != nil {
		return d, err
	}
	if d.Auth, err = auth.New(auth.Options{DB: p.DB, Log: p.Log, Policies: policies, Sealer: d.sealer, Origin: sample.Origin, Now: p.Now, Logger: p.Logger}); err != nil {
		return d, err
	}
	if d.Locations, err = location.Open(location.Options{Roots: []string{filepath.Join(p.Dir, Sources)}, TargetRoots: []string{filepath.Join(p.Dir, Targets)}}); err != nil {
		return d, err
	}
	if d.Datasets, err = dataset.Open(dataset.Options{DB: p.DB, Log: p.Log, Events: d.Events, Stamps: p.Stamps, Now: p.Now, Ended: engine.Ended,
		Limits: dataset.Limits{MemoryBytes: Budget.MemoryBytes, Threads: Budget.Threads}}); err != nil {
		return d, err
	}
	notifier, err := notify.New(notify.Options{DB: p.DB, Stamps: p.Stamps, People: d.Auth, Now: p.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return d, err
	}
	d.alerts = alert.New(p.DB, d.Events, p.Stamps, p.Now)
	parts := hook.Collaborators{Directory: directory{d.Auth}, Objects: d.Objects, Notifier: notifier, People: d.Auth, Allowed: d.Auth.Authorize, DB: p.DB, Log: p.Log, Now: p.Now, BaseURL: Base,
		Datasets: d.Datasets, Locations: d.Locations, Worker: worker.New(worker.Options{Program: p.Worker, Level: sandbox.Namespaces, Logger: p.Logger}),
		Events: d.Events, Alerts: d.alerts, Compute: d.compute, Scratch: scratch,
		Listens: func(tx *db.Tx, e event.Event) ([]string, error) { return d.Triggers.Listening(tx, e) }}
	d.Hooks = []*hook.Hook{hook.DataPipeline(parts), hook.DataValidate(parts)}
	return d, nil
}

func (d *Desk) compute() *engine.Allocator {
	if d.engine == nil {
		return nil
	}
	return d.engine.Allocator()
}

// Serve makes the services on top of an engine that does not run yet.
func (d *Desk) Serve(ctx context.Context, e *engine.Engine) (err error) {
	d.engine = e
	if d.Service, err = hook.NewService(ctx, hook.ServiceOptions{DB: d.DB, Engine: e, Auth: d.Auth, Log: d.Log, Hooks: d.Hooks, Now: d.Now, Logger: d.Logger}); err != nil {
		return err
	}
	d.Triggers, err = trigger.New(trigger.Options{DB: d.DB, Log: d.Log, Events: d.Events, Alerts: d.alerts, Auth: d.Auth, Hooks: starter{d.Service}, Sealer: d.sealer,
		Now: d.Now, Logger: d.Logger})
	return err
}

// Start sets in motion what works in the background, once the engine runs.
func (d *Desk) Start(ctx context.Context) error {
	if err := d.Auth.Start(ctx); err != nil {
		return err
	}
	if err := d.Events.Start(ctx); err != nil {
		return err
	}
	if err := d.Triggers.Start(ctx); err != nil {
		return err
	}
	run, cancel := context.WithCancel(context.Background())
	d.cancel, d.swept = cancel, make(chan struct{})
	go func() {
		defer close(d.swept)
		for run.Err() == nil {
			if _, err := hook.SweepScratch(run, d.DB, filepath.Join(d.Dir, Scratch, d.Share)); err != nil && run.Err() == nil {
				d.Logger.Warn("scratch", "error", err)
			}
			select {
			case <-run.Done():
			case <-time.After(sweepEvery):
			}
		}
	}()
	return nil
}

// Quiet stops what Start began.
func (d *Desk) Quiet() {
	if d.cancel == nil {
		return
	}
	d.cancel()
	<-d.swept
	d.Triggers.Close()
	d.Events.Close()
	d.cancel = nil
}

// Close ends what was opened, the last first.
func (d *Desk) Close() error {
	d.Quiet()
	var errs error
	for i := len(d.closers) - 1; i >= 0; i-- {
		errs = errors.Join(errs, d.closers[i]())
	}
	d.closers = nil
	return errs
}

// OpenAlone opens a desk, and what it stands on, where no node runs. It serves, but for the
// work in the background.
func OpenAlone(ctx context.Context, url, dir string) (d *Desk, err error) {
	quiet := slog.New(slog.DiscardHandler)
	p := Parts{Dir: dir, Node: "alone", Share: "alone", Now: time.Now, Logger: quiet}
	var closers []func() error
	defer func() {
		if err != nil {
			for _, end := range closers {
				err = errors.Join(err, end())
			}
		}
	}()
	if p.DB, err = db.Open(ctx, db.Options{URL: url, Log: quiet, Budget: dbtest.Budget}); err != nil {
		return nil, err
	}
	closers = append(closers, p.DB.Close)
	keys, err := sign.OpenKeys(filepath.Join(dir, "keys"))
	if err != nil {
		return nil, err
	}
	closers = append(closers, keys.Close)
	floor, err := auditlog.LastTime(ctx, p.DB)
	if err != nil {
		return nil, err
	}
	p.Stamps = caos.NewStamper(time.Now, floor, 0, 1)
	p.Log, err = auditlog.Open(ctx, auditlog.Options{DB: p.DB, Keys: keys, Origin: sample.Origin, Stamps: p.Stamps,
		Sink: auditlog.NewFileSink(filepath.Join(dir, sample.Published)), Log: quiet})
	if err != nil {
		return nil, err
	}
	closers = append(closers, p.Log.Close)
	if d, err = Open(ctx, p); err != nil {
		return nil, err
	}
	d.closers = append(closers, d.closers...)
	e, err := engine.New(engine.Options{DB: p.DB, Log: p.Log, Stamps: p.Stamps, Now: p.Now, Flows: hook.Flows(d.Hooks), Logger: quiet})
	if err == nil {
		err = d.Serve(ctx, e)
	}
	return d, err
}

// Engineer asks for every run.
func Engineer() caos.Principal {
	return caos.Principal{ID: "dana", Roles: []string{"data-engineer"}, MFA: "totp"}
}

// Request is the submission of a run of a pipeline.
func Request(p Pipeline, key string) (hook.Request, error) {
	body, err := json.Marshal(map[string]any{"pipeline_id": p.ID(), "pipeline_version": "1.0", "execution_mode": "ON_DEMAND", "data_sources": []string{}, "target_datasets": []string{}})
	return hook.Request{Hook: PipelineHook, Body: body, ContentType: "application/json", IdemKey: key, By: Engineer()}, err
}

type starter struct{ hooks *hook.Service }

func (s starter) Known(id string) bool { return s.hooks.Lookup(id) != nil }

func (s starter) Submit(ctx context.Context, sub trigger.Submission) (string, error) {
	x, err := s.hooks.Submit(ctx, hook.Request{Hook: sub.Hook, Body: sub.Input, ContentType: "application/json", IdemKey: sub.Key, By: sub.By})
	if err != nil {
		return "", err
	}
	return x.ID, nil
}

type directory struct{ *auth.Auth }

func (directory) UnknownResources(*db.Tx, []string) ([]string, error) { return nil, nil }
func (directory) Authorization(*db.Tx, string, string, []string) (bool, bool, []string, error) {
	return true, true, nil, nil
}
func (directory) MayActFor(*db.Tx, caos.Principal, string) bool { return false }
