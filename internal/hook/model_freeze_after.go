package hook

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"caos"
	"caos/internal/db"
	"caos/internal/engine"
	"caos/internal/notify"
	"caos/internal/readiness"
	"caos/internal/registry"
)

// This file has what follows once the version is frozen: passport, notices, planning. From
// here on nothing is undone; what goes wrong is a finding.

// passportInput is the input of DPP.CREATE for a freeze.
func (h *modelFreeze) passportInput(s *freezeState) map[string]any {
	uris := make([]string, len(s.Files))
	for i, f := range s.Files {
		uris[i] = h.baseURL + "/v1/baselines/" + url.PathEscape(s.BaselineID) + "/files/" + escapePath(f.Path)
	}
	return map[string]any{"model_id": s.In.ModelID, "model_version": s.In.ModelVersion, "lifecycle_event": "FREEZE",
		"metadata": map[string]any{"baseline_id": s.BaselineID, "freeze_id": s.FreezeID, "root_digest": s.Sealed.Root,
			"freeze_timestamp": caos.FormatTime(s.FrozenAt), "vv_report_id": s.In.VVReportID},
		"artifacts": uris}
}

func escapePath(path string) string {
	parts := strings.Split(path, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}

// startPassport starts DPP.CREATE. A passport that cannot even be begun is a finding.
func (h *modelFreeze) startPassport(tx *db.Tx, r *engine.Run, s *freezeState) (engine.WaitSpec, error) {
	id, err := r.Start(tx, engine.ChildSpec{Hook: passportHook, Input: h.passportInput(s), ModelID: s.In.ModelID})
	if err == nil {
		return engine.WaitSpec{Child: id, Deadline: r.Now.Add(passportPatience)}, nil
	}
	if tx.Err() != nil {
		return engine.WaitSpec{}, err
	}
	r.Find(h.noPassport(s, caos.AsError(err).Message))
	return engine.WaitSpec{Until: r.Now}, nil
}

// passportMade takes the passport's id from the child. The freeze stands without it.
func (h *modelFreeze) passportMade(_ *db.Tx, r *engine.Run, s *freezeState, w engine.Wake) (bool, error) {
	switch {
	case w.Kind == engine.WakeDeadline:
		r.Find(h.noPassport(s, "it was not made in "+passportPatience.String()))
	case w.Child == nil:
	case w.Child.Status != engine.Succeeded:
		why := "execution " + w.Child.ID + " ended " + string(w.Child.Status)
		if w.Child.Error != nil {
			why += ": " + w.Child.Error.Message
		}
		r.Find(h.noPassport(s, why))
	default:
		var out struct {
			ID *string `json:"dpp_record_id"`
		}
		if err := json.Unmarshal(w.Child.Output, &out); err != nil {
			return false, fmt.Errorf("read output of %s: %w", w.Child.ID, err)
		}
		s.Out.DPPRecordID = out.ID
	}
	return true, nil
}

func (h *modelFreeze) noPassport(s *freezeState, why string) caos.Finding {
	input, err := json.Marshal(map[string]any{"model_id": s.In.ModelID, "model_version": s.In.ModelVersion, "lifecycle_event": "FREEZE",
		"metadata": map[string]any{"baseline_id": s.BaselineID, "freeze_id": s.FreezeID}, "artifacts": []string{}})
	if err != nil {
		input = []byte("{}")
	}
	return caos.Finding{Rule: "passport-not-made", Subject: s.BaselineID, Message: "the version is frozen, but its passport was not made: " + why,
		Remedy: fmt.Sprintf("once the cause is gone: echo '%s' | caos hook run %s --input - --wait", input, passportHook)}
}

// notifyStakeholders tells the owner, the requester and the board that will review the
// version. A notice that reaches nobody is a finding.
func (h *modelFreeze) notifyStakeholders(tx *db.Tx, r *engine.Run, s *freezeState) error {
	m, err := h.registry.ModelIn(tx, s.In.ModelID)
	if err != nil {
		return err
	}
	passport := "No passport was made; the execution says why."
	if s.Out.DPPRecordID != nil {
		passport = "Passport " + *s.Out.DPPRecordID + "."
	}
	d, err := h.notifier.Send(tx, notify.Notice{
		Subject: fmt.Sprintf("%s %s is frozen as %s", s.In.ModelID, s.In.ModelVersion, s.BaselineID),
		Body: fmt.Sprintf("%s froze %s %s at %s.\n%s, %d bytes, root digest %s.\n%s\nThe production readiness review can be planned.",
			r.RequestedBy, s.In.ModelID, s.In.ModelVersion, caos.FormatTime(s.FrozenAt), count(len(s.Files), "file"), s.Sealed.Bytes, s.Sealed.Root, passport),
		Link: "/v1/baselines/" + s.BaselineID, Source: r.ExecutionID, People: []string{m.Owner, s.In.FreezeRequester}, Roles: []string{"prr-board"},
		Project: m.Project, Classification: m.Classification,
	})
	for _, f := range d.Findings {
		r.Find(f)
	}
	return err
}

// planProduction opens the industrialisation record, which names the checklist by which
// readiness is reviewed, and that checklist for the baseline. A record or a checklist that
// is there already is gone on with.
func (h *modelFreeze) planProduction(tx *db.Tx, r *engine.Run, s *freezeState) error {
	r.Record.Resources = []string{s.In.ModelID, s.BaselineID}
	if err := h.openIndustrialisation(tx, r, s); err != nil {
		if tx.Err() != nil || caos.KindOf(err).Retryable() {
			return err
		}
		e := caos.AsError(err)
		r.Find(caos.Finding{Rule: "planning-not-opened", Subject: s.BaselineID, Message: "the industrialisation record was not opened: " + e.Message,
			Remedy: cmp.Or(e.Hint, "see the record with: caos industrialisation show "+s.In.ModelID+"@"+s.In.ModelVersion)})
	}
	if err := h.openChecklist(tx, r, s); err != nil {
		if tx.Err() != nil || caos.KindOf(err).Retryable() {
			return err
		}
		e := caos.AsError(err)
		r.Find(caos.Finding{Rule: "checklist-not-opened", Subject: s.BaselineID, Message: "the readiness checklist was not opened: " + e.Message,
			Remedy: cmp.Or(e.Hint, "once the cause is gone: caos checklist open "+s.BaselineID+" --template "+readinessTemplate)})
	}
	return nil
}

// openIndustrialisation opens the record of getting the version into production.
func (h *modelFreeze) openIndustrialisation(tx *db.Tx, r *engine.Run, s *freezeState) error {
	_, err := h.registry.OpenIndustrialisation(tx, registry.Industrialisation{ModelID: s.In.ModelID, Version: s.In.ModelVersion,
		ChecklistTemplate: readinessTemplate, ExecutionID: r.ExecutionID}, h.by(r))
	return err
}

// openChecklist asks the questions of readiness about the baseline, and answers those that
// the freeze itself has shown.
func (h *modelFreeze) openChecklist(tx *db.Tx, r *engine.Run, s *freezeState) error {
	if h.readiness == nil {
		return caos.Errorf(caos.NotFound, "this installation keeps no checklists")
	}
	m, err := h.registry.ModelIn(tx, s.In.ModelID)
	if err != nil {
		return err
	}
	by := readiness.By{Actor: r.RequestedBy, RecordedBy: r.By.ID, Execution: r.ExecutionID, Hook: r.HookID}
	c, err := h.readiness.OpenChecklist(tx, readinessTemplate, readiness.Subject{ModelID: s.In.ModelID, Version: s.In.ModelVersion, BaselineID: s.BaselineID,
		RootDigest: s.Sealed.Root, SafetyLevel: m.SafetyLevel, Project: m.Project, Classification: m.Classification}, by)
	if err != nil {
		return err
	}
	r.Record.Resources = append(r.Record.Resources, c.ChecklistID)
	_, err = h.readiness.CompleteFacts(tx, c.ChecklistID, s.shown(), by)
	return err
}

// shown are the facts that the freeze's gates have shown, with what shows each.
func (s *freezeState) shown() map[string][]string {
	from := func(kind string) []string {
		out := []string{s.FreezeID, s.BaselineID}
		for _, d := range s.Documents {
			if d.Kind == kind {
				out = append(out, d.ID)
			}
		}
		return out
	}
	out := map[string][]string{
		readiness.FactFrozen: from(""), readiness.FactVV: from(registry.KindVVReport), readiness.FactTraced: from(registry.KindVVReport),
		readiness.FactNoProblems: from(registry.KindDefectList), readiness.FactSafety: from(registry.KindSafetyAssessment),
		readiness.FactDocuments: from(registry.KindDocumentationReview),
	}
	if s.Out.DPPRecordID != nil {
		out[readiness.FactPassportMade] = []string{*s.Out.DPPRecordID}
	}
	return out
}
