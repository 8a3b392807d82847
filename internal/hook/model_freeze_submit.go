package hook

import (
	"context"

	"caos"
	"caos/internal/db"
	"caos/internal/engine"
	"caos/internal/registry"
)

// This file has what the request for a freeze alone shows: the gates before an execution
// comes into being, and the report that is meant when nobody names one.

func (h *modelFreeze) versionKnown(tx *db.Tx, q Question) (map[string]any, error) {
	in, err := inputOf[FreezeInput](q.Input)
	if err != nil {
		return nil, err
	}
	facts := map[string]any{"model_id": in.ModelID, "model_version": in.ModelVersion}
	m, err := h.registry.ModelIn(tx, in.ModelID)
	if err != nil {
		return facts, named(err, "model_id")
	}
	facts["owner"] = m.Owner
	v, err := h.registry.VersionIn(tx, in.ModelID, in.ModelVersion)
	if err != nil {
		return facts, named(err, "model_version")
	}
	facts["state"] = v.State
	return facts, nil
}

// versionOpen refuses a version that is frozen or being frozen, naming by what.
func (h *modelFreeze) versionOpen(tx *db.Tx, q Question) (map[string]any, error) {
	in, err := inputOf[FreezeInput](q.Input)
	if err != nil {
		return nil, err
	}
	v, err := h.registry.VersionIn(tx, in.ModelID, in.ModelVersion)
	if err != nil {
		return nil, named(err, "model_version")
	}
	facts := map[string]any{"state": v.State}
	key := registry.VersionKey(in.ModelID, in.ModelVersion)
	switch {
	case v.FreezeID != "":
		facts["freeze_id"], facts["baseline_id"] = v.FreezeID, v.BaselineID
		return facts, caos.Errorf(caos.Conflict, "%s is frozen already: %s", key, v.FreezeID).WithField("model_version").WithRule("version-open").
			WithHint("its baseline is %s; a change needs the next version", v.BaselineID)
	case v.Freezing != "":
		facts["freezing"] = v.Freezing
		if ended, err := engine.Ended(tx, v.Freezing); err != nil || ended {
			return facts, err // of an execution that could not clear up behind itself
		}
		return facts, caos.Errorf(caos.Conflict, "%s is being frozen by %s", key, v.Freezing).WithField("model_version").WithRule("version-open").
			WithHint("follow it with: caos execution show %s", v.Freezing)
	case !v.State.May(registry.Frozen):
		return facts, caos.Errorf(caos.Conflict, "%s is %s", key, v.State).WithField("model_version").WithRule("version-open").WithHint("register the next version")
	}
	return facts, nil
}

func (h *modelFreeze) requesterKnown(tx *db.Tx, q Question) (map[string]any, error) {
	in, err := inputOf[FreezeInput](q.Input)
	if err != nil {
		return nil, err
	}
	facts := map[string]any{"freeze_requester": in.FreezeRequester}
	known, err := h.people.KnownPerson(tx, in.FreezeRequester)
	if err == nil && !known {
		err = caos.Errorf(caos.Invalid, "%s is no enabled person of this installation", in.FreezeRequester).WithField("freeze_requester").
			WithHint("name who asks for the freeze by the id of their account")
	}
	return facts, err
}

// reportKnown refuses a report that is not registered and a status that the registered
// report does not have. What speaks against a report that is known, a freeze finds.
func (h *modelFreeze) reportKnown(tx *db.Tx, q Question) (map[string]any, error) {
	in, err := inputOf[FreezeInput](q.Input)
	if err != nil {
		return nil, err
	}
	facts := map[string]any{"vv_report_id": in.VVReportID, "vv_status": in.VVStatus}
	if in.VVReportID == "" {
		return facts, caos.Errorf(caos.NotFound, "no V&V report of %s is registered", registry.VersionKey(in.ModelID, in.ModelVersion)).WithField("vv_report_id").
			WithHint("a vv-lead who does not own the model registers it: caos document register FILE --id DOCUMENT --kind vv-report --model %s --model-version %s", in.ModelID, in.ModelVersion)
	}
	d, err := h.registry.DocumentIn(tx, in.VVReportID)
	if err == nil && d.ModelID != in.ModelID && (d.Project != q.Named.Project || caos.Stricter(q.Named.highest(), d.Classification) != q.Named.highest()) {
		err = caos.Errorf(caos.NotFound, "there is no document %s, or it is not for you", in.VVReportID) // the caller may not know of it
	}
	if err != nil {
		return facts, named(err, "vv_report_id")
	}
	facts["version"], facts["recorded"] = d.Version, d.Stated
	if d.Kind == registry.KindVVReport && d.Stated != in.VVStatus {
		return facts, caos.Errorf(caos.Invalid, "the registered report %s@%s says %s, not %s", d.DocumentID, d.Version, d.Stated, in.VVStatus).
			WithField("vv_status").WithHint("vv_status repeats what the report says")
	}
	return facts, nil
}

// named makes an error name the input field that it is about.
func named(err error, field string) error {
	if err == nil || caos.KindOf(err) == caos.Internal {
		return err
	}
	return caos.AsError(err).WithField(field)
}

// latestReport is the V&V report of a version that was registered last, nil without one.
func (h *modelFreeze) latestReport(ctx context.Context, about Subject) (*registry.Document, error) {
	list, _, err := h.registry.Documents(ctx, registry.DocumentFilter{Kind: registry.KindVVReport, ModelID: about.Model, ModelVersion: about.Version, Latest: true, Limit: 1}, "")
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list[0], nil
}
