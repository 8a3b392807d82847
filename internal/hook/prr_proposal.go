package hook

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/event"
	"caos/internal/notify"
	"caos/internal/readiness"
	"caos/internal/registry"
	"caos/internal/report"
)

// EventChecklistCompleted is announced when the last critical item of a checklist closes.
const EventChecklistCompleted = readiness.EventChecklistCompleted

// ProposePRR is the specification's Trigger line of MODEL.PRR, as far as a machine may go:
// when the last critical item of a baseline's checklist closes, the model's owner and the
// release managers are told what "why" says of a review. Calling the board is for people.
func ProposePRR(c Collaborators) func(tx *db.Tx, e event.Event) error {
	h := newModelPRR(c)
	return func(tx *db.Tx, e event.Event) error {
		raw, err := json.Marshal(e.Data)
		if err != nil {
			return fmt.Errorf("event %s: %w", e.ID, err)
		}
		var d struct {
			Checklist string `json:"checklist_id"`
			Model     string `json:"model_id"`
			Baseline  string `json:"baseline_id"`
		}
		if err := json.Unmarshal(raw, &d); err != nil {
			return fmt.Errorf("event %s: %w", e.ID, err)
		}
		s, err := h.subject(tx, PRRInput{ModelID: d.Model, BaselineID: d.Baseline})
		if k := caos.KindOf(err); k == caos.NotFound || k == caos.Invalid {
			return nil
		}
		if err != nil {
			return err
		}
		c, err := h.readiness.ChecklistIn(tx, d.Checklist)
		if caos.KindOf(err) == caos.NotFound {
			return nil
		}
		if err != nil {
			return err
		}
		v, err := h.readiness.ReviewOf(tx, s.BaselineID)
		if err != nil || v != nil && v.Status.Open() {
			return err // the board is at it already
		}
		f, err := h.facts(tx, s, c.TemplateID, h.now())
		if err != nil || f.Freeze.Version.State != registry.Frozen {
			return err
		}
		_, err = h.notifier.Send(tx, prrProposal(f, c.TemplateID, h.now(), e.ID))
		return err
	}
}

// prrProposal is the letter to the owner and the release managers.
func prrProposal(f *prrFacts, template string, now time.Time, source string) notify.Notice {
	key := f.key()
	list := prrVerdicts(f)
	var stop []string
	for _, v := range list {
		if !v.Pass {
			stop = append(stop, "- "+v.Finding.Message+" (at most "+v.Ceiling+")\n  "+v.Finding.Remedy)
		}
	}
	n := notify.Notice{
		Subject: key + " can be reviewed for production",
		Body:    fmt.Sprintf("The last critical item of %s is answered, and all %d checks of a review hold.\n", f.Checklist.ChecklistID, len(list)),
		Link:    "/v1/models/" + f.Subject.ModelID + "/versions/" + f.Subject.Version + "/why/prr", Source: source,
		People: []string{f.Freeze.Model.Owner}, Roles: []string{"release-manager"}, Project: f.Subject.Project, Classification: f.Subject.Classification,
	}
	if len(stop) > 0 {
		n.Body = fmt.Sprintf("The last critical item of %s is answered. Of %d checks of a review, %d do not hold yet; the best decision possible now is %s:\n%s\n",
			f.Checklist.ChecklistID, len(list), len(stop), bestOf(list), strings.Join(stop, "\n"))
		if bestOf(list) == report.Rejected {
			n.Subject = key + " is not ready for its review: " + count(len(stop), "matter") + " open"
		}
	}
	n.Body += fmt.Sprintf("See every check with: caos why %s prr\nCall the board with: caos prr %s --checklist %s --board MEMBER,MEMBER --date %s\nWho calls it has no vote.",
		key, key, template, dayAfter(dayOf(now), 7))
	return n
}
