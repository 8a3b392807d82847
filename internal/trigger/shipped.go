package trigger

import (
	"context"
	"encoding/json"
	"time"

	"caos"
	"caos/internal/db"
)

// Shipped lists the triggers that come with CAOS. They are rows like any other, disabled
// until somebody with the right gives them a service account and enables them.
func Shipped() []Definition {
	return []Definition{{
		Name: "package-certified", Kind: KindEvent, Hook: "CAOS.PROD.DPP.CREATE", EventType: "caos.package.closed",
		Description: "A certification package that was closed with full coverage becomes a CERTIFICATION event in the passport of the model's latest frozen version.",
		Where:       map[string]any{"data.full_coverage": true},
		RunsAs:      placeholderAccount,
		Input: json.RawMessage(`{"model_id":"${event.data.model_id}","model_version":"${event.data.model_version}","lifecycle_event":"CERTIFICATION",` +
			`"metadata":{"certification_package_id":"${event.data.package_id}","baseline_id":"${event.data.baseline_id}"},"artifacts":[]}`),
	}, {
		Name: "pipeline-validation", Kind: KindEvent, Hook: "CAOS.PROD.DATA.VALIDATE", EventType: "caos.pipeline.completed",
		Description: "Each dataset that a pipeline published is validated by the contract of its target, if it has one.",
		Where:       map[string]any{"data.has_contract": true},
		RunsAs:      placeholderAccount,
		Input: json.RawMessage(`{"execution_id":"${event.data.execution_id}","validation_rules_id":"${event.data.validation_rules_id}",` +
			`"dataset_uri":"${event.data.dataset_uri}"}`),
	}}
}

// Ship makes a trigger that comes with CAOS known, disabled. One of its name that is there
// already stays as people left it. Whether it was there once and was deleted is the caller's
// to know.
func (s *Service) Ship(ctx context.Context, d Definition) error {
	d = d.normalise()
	d.Enabled = false
	if err := s.check(d); err != nil {
		return err
	}
	by := caos.SystemPrincipal().ID
	err := s.o.DB.Update(ctx, func(tx *db.Tx) error {
		now := s.now().Truncate(time.Microsecond)
		t := &Trigger{Definition: d, Revision: 1, CreatedAt: now, CreatedBy: by, UpdatedAt: now, UpdatedBy: by}
		if err := t.insert(tx); err != nil {
			return err
		}
		return s.record(tx, by, "trigger-shipped", t)
	})
	if caos.KindOf(err) == caos.Conflict {
		return nil
	}
	return err
}
