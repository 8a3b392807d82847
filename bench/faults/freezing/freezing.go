// Package freezing is what the fault campaigns of freezes run: the hooks MODEL.FREEZE and
// DPP.CREATE, wired as the product wires them, and the versions of models that they freeze.
package freezing

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"caos"
	"caos/bench/faults/sample"
	"caos/internal/auditlog"
	"caos/internal/auth"
	"caos/internal/baseline"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/dpp"
	"caos/internal/engine"
	"caos/internal/event"
	"caos/internal/hook"
	"caos/internal/notify"
	"caos/internal/object"
	"caos/internal/registry"
	"caos/internal/sign"
)

// The hooks, and the folder of baselines below the one that the nodes share.
const (
	FreezeHook   = "CAOS.PROD.MODEL.FREEZE"
	PassportHook = "CAOS.PROD.DPP.CREATE"
	Baselines    = "baselines"
)

// Requester asks for every freeze.
const Requester = "conny"

// Submitter is who authenticates when a freeze is submitted.
func Submitter() caos.Principal {
	return caos.Principal{ID: Requester, Roles: []string{"configuration-manager"}, MFA: "totp"}
}

// Parts are what a Desk stands on.
type Parts struct {
	DB     *db.DB
	Log    *auditlog.Log
	Keys   *sign.Keys
	Stamps *caos.Stamper
	Dir    string // of objects and baselines, which the nodes share
	Now    func() time.Time
}

// Desk is everything that a freeze touches.
type Desk struct {
	Parts
	Objects   *object.Store
	Registry  *registry.Registry
	Baselines *baseline.Store
	Passports *dpp.Passports
	Events    *event.Outbox
	Hooks     []*hook.Hook
	closers   []func() error
}

// Open opens a desk. Close ends what it opened and not what it stands on.
func Open(p Parts) (d *Desk, err error) {
	d = &Desk{Parts: p}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if d.Objects, err = object.Open(filepath.Join(p.Dir, "objects"), p.DB, p.Now); err != nil {
		return d, err
	}
	d.closers = append(d.closers, d.Objects.Close)
	if d.Events, err = event.Open(event.Options{DB: p.DB, Stamps: p.Stamps, Now: p.Now, Log: slog.New(slog.DiscardHandler)}); err != nil {
		return d, err
	}
	if d.Registry, err = registry.Open(registry.Options{DB: p.DB, Objects: d.Objects, Log: p.Log, Events: d.Events, Now: p.Now}); err != nil {
		return d, err
	}
	if d.Baselines, err = baseline.Open(filepath.Join(p.Dir, Baselines), p.Now); err != nil {
		return d, err
	}
	d.closers = append(d.closers, d.Baselines.Close)
	const base = "https://caos.test"
	if d.Passports, err = dpp.Open(dpp.Options{DB: p.DB, Objects: d.Objects, Log: p.Log, Keys: p.Keys, Now: p.Now, BaseURL: base, Origin: sample.Origin}); err != nil {
		return d, err
	}
	notifier, err := notify.New(notify.Options{DB: p.DB, Stamps: p.Stamps, People: people{}, Now: p.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return d, err
	}
	d.Hooks = []*hook.Hook{
		hook.ModelFreeze(hook.Collaborators{Objects: d.Objects, Notifier: notifier, People: people{}, Registry: d.Registry, Baselines: d.Baselines, Keys: p.Keys, BaseURL: base}),
		hook.DPPCreate(hook.DPPCollaborators{Registry: d.Registry, Passports: d.Passports, Objects: d.Objects, Baselines: d.Baselines, BaseURL: base}),
	}
	return d, nil
}

// OpenAlone opens a desk, and what it stands on, where no node runs.
func OpenAlone(ctx context.Context, url, dir string) (d *Desk, err error) {
	p := Parts{Dir: dir, Now: time.Now}
	var closers []func() error
	defer func() {
		if err != nil {
			for _, end := range closers {
				err = errors.Join(err, end())
			}
		}
	}()
	if p.DB, err = db.Open(ctx, db.Options{URL: url, Log: slog.New(slog.DiscardHandler), Budget: dbtest.Budget}); err != nil {
		return nil, err
	}
	closers = append(closers, p.DB.Close)
	if p.Keys, err = sign.OpenKeys(filepath.Join(dir, "keys")); err != nil {
		return nil, err
	}
	closers = append(closers, p.Keys.Close)
	floor, err := auditlog.LastTime(ctx, p.DB)
	if err != nil {
		return nil, err
	}
	p.Stamps = caos.NewStamper(time.Now, floor, 0, 1)
	p.Log, err = auditlog.Open(ctx, auditlog.Options{DB: p.DB, Keys: p.Keys, Origin: sample.Origin, Stamps: p.Stamps,
		Sink: auditlog.NewFileSink(filepath.Join(dir, sample.Published)), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	closers = append(closers, p.Log.Close)
	if d, err = Open(p); err != nil {
		return nil, err
	}
	d.closers = append(closers, d.closers...)
	return d, nil
}

// Close ends what was opened, the last first.
func (d *Desk) Close() error {
	var errs error
	for i := len(d.closers) - 1; i >= 0; i-- {
		errs = errors.Join(errs, d.closers[i]())
	}
	d.closers = nil
	return errs
}

// Service makes the service that freezes are submitted to, whoever asks.
func (d *Desk) Service(ctx context.Context, e *engine.Engine) (*hook.Service, error) {
	return hook.NewService(ctx, hook.ServiceOptions{DB: d.DB, Engine: e, Auth: anybody{}, Log: d.Log, Hooks: d.Hooks, Now: d.Now})
}

// Request is the submission of the freeze of a version.
func Request(v Version, key string) (hook.Request, error) {
	body, err := json.Marshal(map[string]any{"model_id": v.Model(), "model_version": v.Number(), "vv_report_id": v.document(vvReport), "vv_status": "PASSED",
		"freeze_requester": Requester, "freeze_rationale": "V&V is complete"})
	return hook.Request{Hook: FreezeHook, Body: body, ContentType: "application/json", IdemKey: key, By: Submitter()}, err
}

// people are the accounts: everybody is one.
type people struct{}

func (people) KnownPerson(*db.Tx, string) (bool, error) { return true, nil }
func (people) WithRole(*db.Tx, string, string, string) ([]string, error) {
	return []string{"bo"}, nil
}

// anybody may do everything: who may is what others test.
type anybody struct{}

func (anybody) AuthorizeHook(*db.Tx, caos.Principal, string, string, string) error { return nil }
func (anybody) Authorize(*db.Tx, caos.Principal, string, auth.Resource, map[string]any) error {
	return nil
}
