package hook

import (
	"encoding/json"
	"fmt"
	"strings"

	"caos"
	"caos/internal/db"
	"caos/internal/event"
	"caos/internal/notify"
	"caos/internal/registry"
)

// ProposeFreeze is the specification's Trigger line of MODEL.FREEZE, as far as a machine may
// go: when a V&V report that says PASSED is registered, the model's owner is told what "why"
// says of a freeze. Freezing is for people.
func ProposeFreeze(c Collaborators) func(tx *db.Tx, e event.Event) error {
	h := newModelFreeze(c)
	return func(tx *db.Tx, e event.Event) error {
		raw, err := json.Marshal(e.Data)
		if err != nil {
			return fmt.Errorf("event %s: %w", e.ID, err)
		}
		var d struct {
			ID      string `json:"document_id"`
			Kind    string `json:"kind"`
			Model   string `json:"model_id"`
			Version string `json:"model_version"`
			Status  string `json:"status"`
		}
		if err := json.Unmarshal(raw, &d); err != nil {
			return fmt.Errorf("event %s: %w", e.ID, err)
		}
		if d.Kind != registry.KindVVReport || d.Status != "PASSED" || d.Model == "" || d.Version == "" {
			return nil
		}
		f, err := h.registry.FreezeFacts(tx, d.Model, d.Version, d.ID)
		if caos.KindOf(err) == caos.NotFound {
			return nil
		}
		if err != nil {
			return err
		}
		if f.VVReport == nil || f.Version.FreezeID != "" || f.Version.Freezing != "" {
			return nil // it is frozen already, or about to be
		}
		in := FreezeInput{ModelID: d.Model, ModelVersion: d.Version, VVReportID: d.ID, VVStatus: f.VVReport.Stated}
		_, err = h.notifier.Send(tx, proposal(f, freezeVerdicts(f, freezeQuery{in: in}), e.ID))
		return err
	}
}

// proposal is the letter to the owner.
func proposal(f *registry.FreezeFacts, gates []Verdict, source string) notify.Notice {
	key := versionName(f)
	var stop []string
	for _, v := range gates {
		if !v.Pass {
			stop = append(stop, "- "+v.Finding.Message+"\n  "+v.Finding.Remedy)
		}
	}
	n := notify.Notice{
		Subject: key + " passed its V&V and can be frozen",
		Body:    fmt.Sprintf("The V&V report %s@%s says PASSED, and all %d gates hold.\n", f.VVReport.DocumentID, f.VVReport.Version, len(gates)),
		Link:    "/v1/models/" + f.Model.ModelID + "/versions/" + f.Version.Version + "/why/freeze", Source: source, People: []string{f.Model.Owner},
		Project: f.Model.Project, Classification: f.Model.Classification,
	}
	if len(stop) > 0 {
		n.Subject = key + " passed its V&V; before it can be frozen, one matter is open"
		n.Body = fmt.Sprintf("The V&V report %s@%s says PASSED. Of %d gates, %d do not hold yet:\n%s\n", f.VVReport.DocumentID, f.VVReport.Version, len(gates), len(stop), strings.Join(stop, "\n"))
		if len(stop) > 1 {
			n.Subject = fmt.Sprintf("%s passed its V&V; before it can be frozen, %d matters are open", key, len(stop))
		}
	}
	n.Body += "See every gate with: caos why " + key + " freeze"
	return n
}
