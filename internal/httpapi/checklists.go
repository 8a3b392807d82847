package httpapi

import (
	"net/http"
	"net/url"
	"strings"

	"caos"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/readiness"
)

type checklistList struct {
	Paging
	Model    string `query:"model_id" maxLength:"64"`
	Version  string `query:"model_version" maxLength:"64"`
	Baseline string `query:"baseline_id" maxLength:"100"`
	Template string `query:"template_id" maxLength:"100"`
	Project  string `query:"project" maxLength:"100"`
}

// ChecklistPath names a checklist.
type ChecklistPath struct {
	ID string `path:"checklist_id" maxLength:"100" example:"CHK-DLY-1.0.0"`
}

// ItemPath names an item of a checklist.
type ItemPath struct {
	ChecklistPath
	Item string `path:"item_id" maxLength:"32" example:"1.1"`
}

func (p *ItemPath) ref() readiness.ItemRef {
	return readiness.ItemRef{ChecklistID: p.ID, ItemID: p.Item}
}

type itemEditPath struct {
	ItemPath
	IfMatch string `header:"If-Match" maxLength:"64" doc:"ETag of the item that is changed: its revision in quotes"`
}

type itemCompletePath struct {
	ItemPath
	Proposing
}

// NewChecklistBody opens a checklist.
type NewChecklistBody struct {
	TemplateID string `json:"template_id,omitempty" maxLength:"100" doc:"95-00-09-01-005 if left out"`
	BaselineID string `json:"baseline_id" maxLength:"100" example:"BL-DLY-1.0.0"`
}

// ItemBody changes what it names of an item that is not answered yet.
type ItemBody struct {
	Owner  *string `json:"owner,omitempty" maxLength:"64" doc:"who answers it; empty for nobody"`
	DueOn  *string `json:"due_on,omitempty" maxLength:"10" doc:"empty for none" example:"2026-11-30"`
	Note   *string `json:"note,omitempty" maxLength:"4000"`
	Status *string `json:"status,omitempty" enum:"PLANNED,IN_PROGRESS"`
}

// CompleteItemBody answers an item: with evidence, or with a reason in words, which the
// caller answers for with a proof.
type CompleteItemBody struct {
	Evidence      []string `json:"evidence,omitempty" maxItems:"100" doc:"ids of evidence, documents, baselines, freezes, passports or audit records of this version"`
	Reason        string   `json:"reason,omitempty" maxLength:"1000" doc:"what the caller states in their own name; makes it a personal act. Needed without evidence"`
	NotApplicable bool     `json:"not_applicable,omitempty" doc:"the question does not arise for this version: needs a reason, by a qa-lead or safety-engineer who never owned the item"`
	ProofBody
}

func (a *API) registerChecklists() {
	read, write := may("checklist:read"), may("checklist:write")
	operation(a, get("/v1/checklists", read).as("list-checklists", "checklists", "Checklists without their items, latest first"), a.listChecklists)
	operation(a, post("/v1/checklists", write).answers(http.StatusCreated).as("open-checklist", "checklists", "Ask a template's questions about a baseline").
		about("A freeze opens the one of 95-00-09-01-005 by itself. One that is there already is answered as it is."), a.openChecklist)
	operation(a, get("/v1/checklists/{checklist_id}", read).as("get-checklist", "checklists", "A checklist with its items"),
		func(c *call, p *ChecklistPath, _ *none) (*readiness.Checklist, error) {
			return a.checklistNamed(c, p.ID)
		})
	operation(a, patch("/v1/checklists/{checklist_id}/items/{item_id}", write).as("edit-checklist-item", "checklists", "Assign an item that is not answered yet, or say how far it is").
		about("An item is answered by completing it, never by a status."), a.editItem)
	complete := post("/v1/checklists/{checklist_id}/items/{item_id}/complete", may("checklist:complete")).as("complete-checklist-item", "checklists", "Answer an item, with evidence or in one's own name").
		about("Evidence alone needs no proof. With a reason in words it is a decision in the caller's own name.")
	operation(a, orProposal[readiness.Item](a, complete), a.completeItem)
	operation(a, post("/v1/checklists/{checklist_id}/items/{item_id}/reopen", may("checklist:complete")).as("reopen-checklist-item", "checklists", "Take the answer of an item back").
		about("What the answer was stays in the history."), a.reopenItem)
}

func checklistResource(x *readiness.Checklist) auth.Resource {
	return auth.Resource{Type: "Checklist", ID: x.ChecklistID, Project: x.Project, Classification: x.Classification, Owner: x.OpenedBy}
}

// checklistNamed returns a checklist that the caller may see.
func (a *API) checklistNamed(c *call, id string) (*readiness.Checklist, error) {
	x, err := a.Readiness.Checklist(c.ctx(), id)
	if err != nil {
		return nil, c.unknown("checklist", err)
	}
	return x, a.seeOf(c, "checklist:read", "checklist", checklistResource(x), x.ModelID)
}

func (a *API) listChecklists(c *call, p *checklistList, _ *none) (Page[*readiness.Checklist], error) {
	sees, err := a.visibility(c)
	if err != nil {
		return Page[*readiness.Checklist]{}, err
	}
	f := readiness.ChecklistFilter{ModelID: p.Model, Version: p.Version, BaselineID: p.Baseline, TemplateID: p.Template, Project: onlyProject(sees, p.Project), Limit: p.Limit}
	list, next, err := a.Readiness.Checklists(c.ctx(), f, p.Cursor)
	return visible(sees, list, next, checklistResource), err
}

// aboutBaseline refuses a baseline that is not there or not for the caller, both alike.
func (a *API) aboutBaseline(c *call, id string) error {
	if err := caos.CheckID("resource", "baseline_id", id); err != nil {
		return err
	}
	b, err := a.Registry.Baseline(c.ctx(), id)
	if err == nil {
		err = a.seeFor(c, "baseline:read", "baseline", baselineResource(b))
	}
	if caos.KindOf(err) == caos.NotFound {
		return caos.Errorf(caos.NotFound, "there is no such baseline, or it is not for you").WithField("baseline_id")
	}
	return err
}

// subjectOf is what readiness is told of a baseline.
func (a *API) subjectOf(tx *db.Tx, baselineID string) (readiness.Subject, error) {
	b, err := a.Registry.BaselineIn(tx, baselineID)
	if err != nil {
		return readiness.Subject{}, err
	}
	m, err := a.Registry.ModelIn(tx, b.ModelID)
	if err != nil {
		return readiness.Subject{}, err
	}
	return readiness.Subject{ModelID: b.ModelID, Version: b.Version, BaselineID: b.BaselineID, RootDigest: b.RootDigest, SafetyLevel: m.SafetyLevel,
		Project: m.Project, Classification: m.Classification}, nil
}

func (a *API) openChecklist(c *call, _ *none, body *NewChecklistBody) (*readiness.Checklist, error) {
	if err := a.aboutBaseline(c, body.BaselineID); err != nil {
		return nil, err
	}
	template := body.TemplateID
	if template == "" {
		template = readiness.ShippedTemplate
	}
	var made *readiness.Checklist
	err := a.DB.Update(c.ctx(), func(tx *db.Tx) error {
		s, err := a.subjectOf(tx, body.BaselineID)
		if err != nil {
			return err
		}
		if made, err = a.Readiness.OpenChecklist(tx, template, s, c.actor()); err != nil {
			return err
		}
		return a.authorize(c, tx, checklistResource(made))
	})
	if err != nil {
		return nil, err
	}
	c.set("Location", "/v1/checklists/"+url.PathEscape(made.ChecklistID))
	return made, nil
}

// changeItem runs do in a transaction that may do the route's action to a checklist.
func (a *API) changeItem(c *call, id string, do func(tx *db.Tx) (*readiness.Item, error)) (*readiness.Item, error) {
	x, err := a.checklistNamed(c, id)
	if err != nil {
		return nil, err
	}
	var after *readiness.Item
	err = a.DB.Update(c.ctx(), func(tx *db.Tx) error {
		before, err := a.Readiness.ChecklistIn(tx, id)
		if err != nil {
			return err
		}
		if err := a.authorize(c, tx, checklistResource(before)); err != nil {
			return err
		}
		after, err = do(tx)
		return noItem(err)
	})
	if err != nil {
		return nil, c.refusedAct(checklistResource(x), stale(err))
	}
	c.set("ETag", etag(after.Revision))
	return after, nil
}

// noItem names the part of the path that leads nowhere.
func noItem(err error) error {
	if e := caos.AsError(err); err != nil && e.Kind == caos.NotFound {
		return e.WithField("item_id")
	}
	return err
}

func (a *API) editItem(c *call, p *itemEditPath, body *ItemBody) (*readiness.Item, error) {
	revision, err := seen(p.IfMatch)
	if err != nil {
		return nil, err
	}
	change := readiness.ItemChange{Owner: body.Owner, DueOn: body.DueOn, Note: body.Note, Status: (*readiness.ItemStatus)(body.Status)}
	return a.changeItem(c, p.ID, func(tx *db.Tx) (*readiness.Item, error) {
		return a.Readiness.UpdateItem(tx, p.ref(), change, revision, c.actor())
	})
}

// completeItem answers an item. Only with words of the caller's own is it a personal act.
func (a *API) completeItem(c *call, p *itemCompletePath, body *CompleteItemBody) (any, error) {
	x, err := a.checklistNamed(c, p.ID)
	if err != nil {
		return nil, err
	}
	if err := a.showable(c, body.Evidence); err != nil {
		return nil, c.refusedAct(checklistResource(x), err)
	}
	done := readiness.Completion{Evidence: body.Evidence, Statement: body.Reason, NotApplicable: body.NotApplicable}
	if body.Reason == "" && !p.Propose {
		proof, err := body.proof()
		if err != nil {
			return nil, err
		}
		return a.changeItem(c, p.ID, func(tx *db.Tx) (*readiness.Item, error) {
			return a.Readiness.CompleteItem(tx, p.ref(), done, proof, c.by)
		})
	}
	return a.inPerson(c, personalAct{Proposing: p.Proposing, ProofBody: body.ProofBody,
		subject: func(tx *db.Tx) (auth.Resource, error) {
			x, err := a.Readiness.ChecklistIn(tx, p.ID)
			if err != nil {
				return auth.Resource{}, err
			}
			return checklistResource(x), nil
		},
		ask: func(tx *db.Tx) (readiness.Proposal, error) {
			out, err := a.Readiness.ProposeCompletion(tx, p.ref(), done, c.by)
			return out, noItem(err)
		},
		do: func(tx *db.Tx, proof readiness.Proof) (any, error) {
			i, err := a.Readiness.CompleteItem(tx, p.ref(), done, proof, c.by)
			return i, noItem(err)
		},
	})
}

// showable refuses evidence that is not there or not for the caller, both alike: what answers
// a question can be looked at. Whether it is about the version is found where it is kept; a
// freeze is known with its version.
func (a *API) showable(c *call, ids []string) error {
	var look []string
	for _, id := range ids {
		if !strings.HasPrefix(id, "FREEZE-") {
			look = append(look, id)
		}
	}
	err := a.citable(c, look)
	if caos.KindOf(err) == caos.Invalid {
		return caos.AsError(err).WithRule(readiness.RuleEvidenceKnown)
	}
	return err
}

func (a *API) reopenItem(c *call, p *ItemPath, body *ReasonBody) (*readiness.Item, error) {
	return a.changeItem(c, p.ID, func(tx *db.Tx) (*readiness.Item, error) {
		return a.Readiness.ReopenItem(tx, p.ref(), body.Reason, c.actor())
	})
}
