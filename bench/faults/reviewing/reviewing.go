// Package reviewing is what the fault campaigns of reviews run: the hook MODEL.PRR and what
// people decide about releases, wired as the product wires them, and the frozen versions
// that boards review.
package reviewing

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"caos"
	"caos/bench/faults/freezing"
	"caos/bench/faults/sample"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/engine"
	"caos/internal/evidence"
	"caos/internal/hook"
	"caos/internal/notify"
	"caos/internal/policy"
	"caos/internal/readiness"
	"caos/internal/registry"
)

// Hook is the hook that reviews.
const Hook = "CAOS.PROD.MODEL.PRR"

// Desk is everything that a review touches.
type Desk struct {
	*freezing.Desk
	Auth      *auth.Auth
	Readiness *readiness.Readiness
	Evidence  *evidence.Repository
	Hooks     []*hook.Hook
	scratch   string
}

// Open opens a desk on one of freezes, which stays the caller's to close.
func Open(f *freezing.Desk) (*Desk, error) {
	d := &Desk{Desk: f, scratch: filepath.Join(f.Dir, "scratch")}
	if err := os.MkdirAll(d.scratch, 0o700); err != nil {
		return nil, err
	}
	policies, err := policy.Load()
	if err != nil {
		return nil, err
	}
	sealer, err := auth.OpenFileSealer(filepath.Join(f.Dir, "keys"))
	if err != nil {
		return nil, err
	}
	quiet := slog.New(slog.DiscardHandler)
	if d.Auth, err = auth.New(auth.Options{DB: f.DB, Log: f.Log, Policies: policies, Sealer: sealer, Origin: sample.Origin, Now: f.Now, Logger: quiet}); err != nil {
		return nil, err
	}
	d.Evidence, err = evidence.New(evidence.Options{DB: f.DB, Objects: f.Objects, Log: f.Log, Keys: f.Keys, Stamps: f.Stamps, Now: f.Now, Roots: []string{d.scratch},
		Scratch: d.scratch, Companions: d.companions})
	if err != nil {
		return nil, err
	}
	d.Readiness, err = readiness.Open(readiness.Options{DB: f.DB, Log: f.Log, Events: f.Events, Stamps: f.Stamps, Now: f.Now, People: d.Auth, Keys: d.Auth,
		Origin: sample.Origin, Hands: d.hands, Known: d.known})
	if err != nil {
		return nil, err
	}
	notifier, err := notify.New(notify.Options{DB: f.DB, Stamps: f.Stamps, People: d.Auth, Now: f.Now, Log: quiet})
	if err != nil {
		return nil, err
	}
	parts := hook.Collaborators{Policies: policies, Evidence: d.Evidence, Objects: f.Objects, Notifier: notifier, People: d.Auth, Registry: f.Registry,
		Baselines: f.Baselines, Readiness: d.Readiness, Passports: f.Passports, Keys: f.Keys, DB: f.DB, Log: f.Log, Now: f.Now, BaseURL: "https://caos.test"}
	d.Hooks = []*hook.Hook{hook.ModelFreeze(parts), hook.ModelPRR(parts),
		hook.DPPCreate(hook.DPPCollaborators{Registry: f.Registry, Passports: f.Passports, Objects: f.Objects, Baselines: f.Baselines, BaseURL: parts.BaseURL})}
	f.Hooks = d.Hooks
	return d, nil
}

// hands asks the registry and the engine, as the application does.
func (d *Desk) hands(tx *db.Tx, modelID, version string) ([]readiness.Hand, error) {
	known, err := d.Registry.Hands(tx, modelID, version)
	if err != nil {
		return nil, err
	}
	var out []readiness.Hand
	for _, h := range known {
		out = append(out, readiness.Hand(h))
	}
	asked, err := engine.Requesters(tx, freezing.FreezeHook, modelID)
	for _, r := range asked {
		out = append(out, readiness.Hand{Person: r.RequestedBy, Part: "FREEZE_REQUESTER", Source: r.ExecutionID})
	}
	return out, err
}

// known knows the evidence of the model.
func (d *Desk) known(tx *db.Tx, s readiness.Subject, ids []string) (missing []string, err error) {
	for _, id := range ids {
		there, err := d.Evidence.KnownOf(tx, id, s.ModelID)
		if err != nil {
			return nil, err
		}
		if !there {
			missing = append(missing, id)
		}
	}
	return missing, nil
}

// Package is the certification package of a version's model.
func Package(v freezing.Version) string { return "CERT-PKG-" + caos.ShortID(v.Model()) }

// Evidence is what shows everything about a version's model.
func (d *Desk) evidenceOf(v freezing.Version) string { return d.Evidence.NewID(v.Model()) }

// PRR and Release are the ids of a version's first review and release authorisation.
func PRR(v freezing.Version) string     { return "PRR-" + v.Model() + "-" + v.Number() }
func Release(v freezing.Version) string { return "REL-AUTH-" + v.Model() + "-" + v.Number() }

// Prepare makes people and their keys, and registers and freezes the first n versions, so
// that a review could approve each of them.
func (d *Desk) Prepare(ctx context.Context, n int) (err error) {
	if err := d.people(ctx); err != nil {
		return err
	}
	if err := d.Readiness.Ship(ctx); err != nil {
		return err
	}
	eng, err := engine.New(engine.Options{DB: d.DB, Log: d.Log, Stamps: d.Stamps, Now: d.Now, Flows: hook.Flows(d.Hooks), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	if err := eng.Start(ctx); err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		err = errors.Join(err, eng.Stop(end))
	}()
	service, err := d.Service(ctx, eng)
	if err != nil {
		return err
	}
	shows := ""
	for i := range n {
		v := freezing.Version(i)
		if err := d.Register(ctx, v, 4<<10); err != nil {
			return fmt.Errorf("register %s: %w", v.Baseline(), err)
		}
		req, err := freezing.Request(v, "prepare-"+v.Baseline())
		if err != nil {
			return err
		}
		x, err := service.Submit(ctx, req)
		if err != nil {
			return fmt.Errorf("freeze %s: %w", v.Baseline(), err)
		}
		if x, err = eng.Await(ctx, x.ID, time.Minute); err != nil || x.Status != engine.Succeeded {
			return fmt.Errorf("freeze of %s: %+v %w", v.Baseline(), x, err)
		}
		if v.Number() == freezing.Version(0).Number() { // the first of its model
			if shows, err = d.model(ctx, v); err != nil {
				return fmt.Errorf("evidence of %s: %w", v.Model(), err)
			}
		}
		if err := d.answer(ctx, v, shows); err != nil {
			return fmt.Errorf("checklist of %s: %w", v.Baseline(), err)
		}
	}
	return nil
}

const junit = `<?xml version="1.0"?><testsuite name="flights" tests="1"><testcase classname="flights" name="lands"/></testsuite>`

// model gives a model a small risk and a package whose plan is covered by one item, which it
// returns.
func (d *Desk) model(ctx context.Context, v freezing.Version) (string, error) {
	by := evidence.By{Actor: collector}
	err := d.DB.Update(ctx, func(tx *db.Tx) error {
		if _, err := d.Readiness.CreateRisk(tx, readiness.Risk{RiskID: "RISK-" + caos.ShortID(v.Model()), Title: "Late data", Likelihood: 1, Impact: 2, Owner: mender,
			ModelID: v.Model(), Classification: "Internal"}, readiness.By{Actor: mender}); err != nil {
			return err
		}
		if _, err := d.Evidence.Create(tx, evidence.Package{PackageID: Package(v), ModelID: v.Model()}, by); err != nil {
			return err
		}
		_, err := d.Evidence.SetPlan(tx, evidence.Plan{PackageID: Package(v), Requirements: []string{"REQ-FLT-1"}}, by)
		return err
	})
	if err != nil {
		return "", err
	}
	file := filepath.Join(d.scratch, Package(v)+".xml")
	if err := os.WriteFile(file, []byte(junit), 0o600); err != nil {
		return "", err
	}
	id := d.evidenceOf(v)
	item, err := d.Evidence.Collect(ctx, id, evidence.Request{ModelID: v.Model(), Type: evidence.TestResult, Category: evidence.Verification, ArtifactURI: "file://" + file,
		Metadata: evidence.Metadata{Format: evidence.JUnit, RequirementIDs: []string{"REQ-FLT-1"}}, PackageID: Package(v)}, collector)
	if err != nil {
		return "", err
	}
	return id, d.DB.Update(ctx, func(tx *db.Tx) error {
		_, err := d.Evidence.Insert(tx, *item, by)
		return err
	})
}

// answer completes the checklist of a version.
func (d *Desk) answer(ctx context.Context, v freezing.Version, shows string) error {
	var c *readiness.Checklist
	err := d.DB.Update(ctx, func(tx *db.Tx) (err error) {
		c, err = d.Readiness.ChecklistOf(tx, readiness.ShippedTemplate, v.Baseline())
		return err
	})
	if err != nil {
		return err
	}
	for from := 0; from < len(c.Items); from += 8 {
		err := d.DB.Update(ctx, func(tx *db.Tx) error {
			for _, i := range c.Items[from:min(from+8, len(c.Items))] {
				if i.Closed() {
					continue
				}
				at := readiness.ItemRef{ChecklistID: c.ChecklistID, ItemID: i.ItemID}
				if _, err := d.Readiness.CompleteItem(tx, at, readiness.Completion{Evidence: []string{shows}}, readiness.Proof{}, As(mender)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// EvidenceOf returns an item of a version's model.
func (d *Desk) EvidenceOf(ctx context.Context, v freezing.Version) (string, error) {
	list, _, err := d.Evidence.List(ctx, evidence.Filter{PackageID: Package(v)}, "")
	if err != nil || len(list) == 0 {
		return "", fmt.Errorf("no evidence of %s: %w", v.Model(), err)
	}
	return list[0].EvidenceID, nil
}

// Request is the submission of the review of a version by a board that meets tomorrow.
func Request(v freezing.Version, board []string, key string) (hook.Request, error) {
	body, err := json.Marshal(map[string]any{"model_id": v.Model(), "baseline_id": registry.BaselineID(v.Model(), v.Number()),
		"criteria_checklist_id": readiness.ShippedTemplate, "prr_board_members": board, "prr_date": time.Now().UTC().AddDate(0, 0, 1).Format(time.DateOnly)})
	return hook.Request{Hook: Hook, Body: bytes.TrimSpace(body), ContentType: "application/json", IdemKey: key, By: As(Requester)}, err
}
