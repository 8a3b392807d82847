package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"caos"
	"caos/internal/auth"
	"caos/internal/dataset"
	"caos/internal/db"
	"caos/internal/engine"
	"caos/internal/event"
	"caos/internal/hook"
	"caos/internal/location"
	"caos/internal/outbound"
	"caos/internal/sandbox"
	"caos/internal/secret"
	"caos/internal/worker"
)

// openData opens what the hooks of data stand on: the vault, the places that pipelines may
// read from and publish to, what is known about pipelines and datasets, and the worker.
func (a *App) openData(ctx context.Context) (err error) {
	if a.vault, err = secret.Open(ctx, secret.Options{DB: a.db, Keys: a.cfg.path("keys"), Now: a.now}); err != nil {
		return err
	}
	if a.locations, err = location.Open(location.Options{Roots: a.cfg.FileRoots, TargetRoots: a.cfg.TargetRoots, Allow: a.cfg.FetchAllow, Buckets: a.cfg.S3,
		Secrets: a.vault}); err != nil {
		return err
	}
	if a.datasets, err = dataset.Open(dataset.Options{DB: a.db, Log: a.log, Events: a.events, Stamps: a.stamps, Now: a.now, Ended: engine.Ended,
		Limits: dataset.Limits{MemoryBytes: a.cfg.MemoryBytes, Threads: a.cfg.Threads}}); err != nil {
		return err
	}
	if err := a.openLineage(); err != nil {
		return err
	}
	a.worker = worker.New(worker.Options{Program: worker.Find(a.cfg.Worker), Level: sandbox.Level(a.cfg.Sandbox), Logger: a.logger})
	return a.openScratch(ctx)
}

// openLineage lets events of the lineage be sent, if a receiver is configured.
func (a *App) openLineage() error {
	if a.cfg.OpenLineageURL == "" {
		return nil
	}
	opt := dataset.SenderOptions{URL: a.cfg.OpenLineageURL, HTTP: outbound.New(outbound.Config{Allow: a.cfg.openLineageAllow(), MaxRedirects: -1, MaxBytes: 1 << 20}).Client()}
	if a.cfg.OpenLineageToken != "" {
		ref, err := secret.ParseRef(a.cfg.OpenLineageToken)
		if err != nil {
			return caos.AsError(err).WithField("openlineage_token")
		}
		opt.Token = func(ctx context.Context) (string, error) {
			token, err := a.vault.Get(ctx, ref)
			return string(token), err
		}
	}
	s, err := a.datasets.NewSender(opt)
	if err != nil {
		return err
	}
	return a.events.Subscribe(s.Subscription())
}

// listening names the triggers that an event would start. The triggers come after the hooks.
func (a *App) listening(tx *db.Tx, e event.Event) ([]string, error) {
	return a.triggers.Listening(tx, e)
}

// scratch is the folder in which executions have their files.
func (a *App) scratch() string { return a.cfg.path("scratch") }

// scratchKept is how long the files of an execution that has not ended are left alone where
// another node may be at work on them.
const scratchKept = 7 * 24 * time.Hour

// openScratch makes the scratch folder, and removes what an earlier process left in it. An
// execution that goes on does its work again, in a folder of its own.
func (a *App) openScratch(ctx context.Context) error {
	if err := os.MkdirAll(a.scratch(), 0o711); err != nil { // the sandbox's own user must pass through
		return fmt.Errorf("scratch folder: %w", err)
	}
	list, err := os.ReadDir(a.scratch())
	if err != nil {
		return fmt.Errorf("scratch folder: %w", err)
	}
	var removed int
	for _, d := range list {
		left, err := a.isLeft(ctx, d)
		if err != nil {
			return err
		}
		if !left {
			continue
		}
		if err := os.RemoveAll(filepath.Join(a.scratch(), d.Name())); err != nil {
			a.logger.Warn("scratch files could not be removed", "folder", d.Name(), "error", err)
			continue
		}
		removed++
	}
	if removed > 0 {
		a.logger.Info("scratch files of earlier executions removed", "executions", removed)
	}
	return nil
}

// scratchEvery is how often a node looks for what executions that ended at another one have
// left in its own scratch folder.
const scratchEvery = 10 * time.Minute

// sweepScratch removes that until ctx ends.
func (a *App) sweepScratch(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(scratchEvery):
		}
		removed, err := hook.SweepScratch(ctx, a.db, a.scratch())
		if err != nil && ctx.Err() == nil {
			a.logger.Warn("scratch files could not be looked through", "error", err)
		}
		if removed > 0 {
			a.logger.Info("scratch files removed of executions that ended at another node", "executions", removed)
		}
	}
}

// isLeft reports whether nobody is at work in a scratch folder. On one machine nobody is when
// a node starts; with several, whoever's execution has not ended may be.
func (a *App) isLeft(ctx context.Context, d fs.DirEntry) (bool, error) {
	if a.cfg.sqlite() {
		return true, nil
	}
	info, err := d.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("scratch folder: %w", err)
	}
	if a.now().Sub(info.ModTime()) > scratchKept {
		return true, nil
	}
	ended := false
	err = a.db.Write(ctx, func(tx *db.Tx) (err error) {
		ended, err = engine.Ended(tx, d.Name())
		return err
	})
	return ended, err
}

// compute is this node's budget, which the engine keeps.
func (a *App) compute() *engine.Allocator { return a.engine.Allocator() }

// dataQuality reads the dashboard of validations for somebody who sees some projects. Whoever
// sees only what is their own sees no sums over others.
func (a *App) dataQuality(ctx context.Context, sees auth.Visibility) (any, error) {
	return a.datasets.Quality(ctx, func(project, classification string) bool {
		return sees.Owner == "" && sees.Sees("", project, classification)
	})
}
