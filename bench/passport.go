package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"caos"
	"caos/internal/baseline"
	"caos/internal/db"
	"caos/internal/dpp"
	"caos/internal/engine"
	"caos/internal/event"
	"caos/internal/hook"
	"caos/internal/object"
	"caos/internal/registry"
	"caos/internal/sign"
	"caos/internal/verify"
)

const (
	passportModel   = "NN-BENCH-001"
	passportVersion = "1.0.0"
	passportFile    = "model.bin"
)

// measurePassport measures DPP.CREATE from its submission to its end, one after the other:
// the baseline's file is hashed again, two documents are written and signed, four commits
// are durable.
func measurePassport(ctx context.Context, b *bench) (_ []row, err error) {
	count := 1000
	if b.short {
		count = 150
	}
	dir := filepath.Join(b.dir, "passport")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	o, err := openOffice(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	if err := o.release(ctx, bytes.Repeat([]byte("weights "), 1<<17)); err != nil { // 1 MB, as the demo's model
		return nil, err
	}
	var p50, p99 []float64
	for range b.reps {
		took := make([]float64, count)
		for i := range took {
			begun := time.Now()
			if err := o.issue(ctx); err != nil {
				return nil, err
			}
			took[i] = float64(time.Since(begun).Microseconds()) / 1000
		}
		slices.Sort(took)
		p50, p99 = append(p50, took[count/2]), append(p99, took[count*99/100])
	}
	if err := o.check(ctx, count*b.reps); err != nil {
		return nil, err
	}
	r := rated("passport of a baseline of 1 MB, p99", "ms", p99).atMost(50).with("%d in a row, p50 %.1f ms; from the submission of DPP.CREATE to its end, on SQLite", count, median(p50))
	if b.short {
		r.Verdict = partial
	}
	return []row{r}, nil
}

// office is all that issues passports.
type office struct {
	*stack
	objects   *object.Store
	registry  *registry.Registry
	baselines *baseline.Store
	passports *dpp.Passports
}

func openOffice(ctx context.Context, dir string) (o *office, err error) {
	s, err := openStack(ctx, stackOptions{url: "sqlite:" + filepath.Join(dir, "caos.db"), dir: dir})
	if err != nil {
		return nil, err
	}
	o = &office{stack: s}
	defer func() {
		if err != nil {
			err = errors.Join(err, o.close())
		}
	}()
	for _, p := range []sign.Purpose{sign.Baseline, sign.Passport} {
		if _, err := s.log.KeyCreated(ctx, p, "bench"); err != nil {
			return nil, err
		}
	}
	if o.objects, err = object.Open(filepath.Join(dir, "objects"), s.db, time.Now); err != nil {
		return nil, err
	}
	events, err := event.Open(event.Options{DB: s.db, Stamps: s.stamps})
	if err != nil {
		return nil, err
	}
	if o.registry, err = registry.Open(registry.Options{DB: s.db, Objects: o.objects, Log: s.log, Events: events}); err != nil {
		return nil, err
	}
	if o.baselines, err = baseline.Open(filepath.Join(dir, "baselines"), time.Now); err != nil {
		return nil, err
	}
	const base = "https://caos.bench"
	if o.passports, err = dpp.Open(dpp.Options{DB: s.db, Objects: o.objects, Log: s.log, Keys: s.keys, BaseURL: base, Origin: "caos.bench/log", Events: events}); err != nil {
		return nil, err
	}
	h := hook.DPPCreate(hook.DPPCollaborators{Registry: o.registry, Passports: o.passports, Objects: o.objects, Baselines: o.baselines, BaseURL: base})
	s.eng, err = engine.New(engine.Options{DB: s.db, Log: s.log, Stamps: s.stamps, Flows: hook.Flows([]*hook.Hook{h}), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	return o, s.eng.Start(ctx)
}

func (o *office) close() error {
	err := o.stack.close()
	if o.objects != nil {
		err = errors.Join(err, o.objects.Close())
	}
	if o.baselines != nil {
		err = errors.Join(err, o.baselines.Close())
	}
	return err
}

// release freezes a version of one file and releases it, as the hooks do.
func (o *office) release(ctx context.Context, content []byte) error {
	who := registry.By{Actor: "bench"}
	ref, err := o.objects.Put(ctx, bytes.NewReader(content), object.PutOptions{})
	if err != nil {
		return err
	}
	a := registry.Artifact{Name: passportFile, Role: "weights", Digest: ref.Digest}
	if a.Size, a.Scan, err = o.registry.Inspect(ctx, a.Digest, a.Name); err != nil {
		return err
	}
	a.Format = string(a.Scan.Format)
	err = o.db.Update(ctx, func(tx *db.Tx) error {
		if _, err := o.registry.CreateModel(tx, registry.Model{ModelID: passportModel, Name: "Bench", Owner: "bench"}, who); err != nil {
			return err
		}
		if _, err := o.registry.CreateVersion(tx, registry.Version{ModelID: passportModel, Version: passportVersion}, who); err != nil {
			return err
		}
		if _, err := o.registry.Attach(tx, passportModel, passportVersion, a, who); err != nil {
			return err
		}
		return o.registry.ClaimFreeze(tx, passportModel, passportVersion, frozenBy)
	})
	if err != nil {
		return err
	}
	signer, err := o.keys.Signer(sign.Baseline)
	if err != nil {
		return err
	}
	id := registry.BaselineID(passportModel, passportVersion)
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	sealed, err := o.baselines.Write(ctx, baseline.Draft{ID: id, Owner: frozenBy, Signer: signer, Files: []baseline.Source{{Path: a.Name, Digest: a.Digest, Size: a.Size, Open: open}}}, nil)
	if err != nil {
		return err
	}
	b := registry.Baseline{BaselineID: id, ModelID: passportModel, Version: passportVersion, ExecutionID: frozenBy, RootDigest: sealed.Root, StatementDigest: sealed.StatementDigest,
		BundleDigest: sealed.BundleDigest, KeyID: sealed.KeyID, VVReportID: "95-00-07-01-001", VVReportVersion: "1.0",
		Files: []registry.BaselineFile{{Path: a.Name, Role: a.Role, Digest: a.Digest, Size: a.Size}}}
	return o.db.Update(ctx, func(tx *db.Tx) error {
		if err := o.registry.Freeze(tx, b, who); err != nil {
			return err
		}
		for _, state := range []registry.State{registry.ProductionReady, registry.Released} {
			if _, err := o.registry.Transition(tx, passportModel, passportVersion, state, who); err != nil {
				return err
			}
		}
		return nil
	})
}

// issue has DPP.CREATE make the passport of one more deployment.
func (o *office) issue(ctx context.Context) error {
	input, err := json.Marshal(map[string]any{"model_id": passportModel, "model_version": passportVersion, "lifecycle_event": "DEPLOYMENT",
		"metadata": map[string]any{"platform": "bench"}, "artifacts": []string{"/v1/baselines/" + registry.BaselineID(passportModel, passportVersion) + "/files/" + passportFile}})
	if err != nil {
		return err
	}
	x, err := o.eng.Submit(ctx, engine.Submission{Hook: "CAOS.PROD.DPP.CREATE", Input: input, By: caos.Principal{ID: "bench"}})
	if err != nil {
		return err
	}
	if x, err = o.eng.Await(ctx, x.ID, time.Minute); err == nil && x.Status != engine.Succeeded {
		err = fmt.Errorf("%s is %s: %v", x.ID, x.Status, x.Error)
	}
	return err
}

// check verifies the last passport against the log's own trust file, the number of all, and
// the log.
func (o *office) check(ctx context.Context, want int) error {
	list, _, err := o.passports.List(ctx, dpp.Filter{ModelID: passportModel, Latest: true}, "")
	if err != nil || len(list) != 1 || list[0].Occurrence != int64(want) {
		return fmt.Errorf("%d passports were made, and the index says %+v: %w", want, list, err)
	}
	raw, err := o.passports.Credential(list[0])
	if err != nil {
		return err
	}
	trust, err := o.log.Trust(ctx)
	if err != nil {
		return err
	}
	if _, err := verify.CheckCredential(raw, trust); err != nil {
		return err
	}
	_, err = o.stack.check(ctx)
	return err
}
