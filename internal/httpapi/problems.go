package httpapi

import (
	"net/http"
	"net/url"
	"slices"

	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/registry"
)

type problemList struct {
	Paging
	Model    string `query:"model_id" maxLength:"64"`
	Owner    string `query:"owner" maxLength:"64"`
	Status   string `query:"status" enum:"OPEN,IN_PROGRESS,CLOSED"`
	Severity string `query:"severity" enum:"CRITICAL,HIGH,MEDIUM,LOW"`
	Project  string `query:"project" maxLength:"100"`
}

// ProblemPath names a problem report.
type ProblemPath struct {
	ID string `path:"problem_id" maxLength:"100" example:"PR-FCS-1"`
}

type problemEditPath struct {
	ProblemPath
	IfMatch string `header:"If-Match" maxLength:"64" doc:"ETag of the report that is edited"`
}

// NewProblemBody reports a problem of a model.
type NewProblemBody struct {
	ProblemID      string   `json:"problem_id,omitempty" maxLength:"64" doc:"PR-…; the model's next number if left out"`
	ModelID        string   `json:"model_id" maxLength:"64"`
	Title          string   `json:"title" minLength:"1" maxLength:"300"`
	Description    string   `json:"description,omitempty" maxLength:"4000"`
	Severity       string   `json:"severity" enum:"CRITICAL,HIGH,MEDIUM,LOW" doc:"an open CRITICAL or HIGH one stands against a freeze"`
	Baselines      []string `json:"baselines,omitempty" maxItems:"100" doc:"ids of the baselines in which it was found; none means every version has it"`
	Impact         string   `json:"impact,omitempty" maxLength:"4000"`
	Owner          string   `json:"owner,omitempty" maxLength:"64" doc:"the caller if left out"`
	Classification string   `json:"classification,omitempty" enum:"Public,Internal,Restricted,Confidential,Regulated"`
}

// ProblemEditBody changes what it names of a problem report that is not closed.
type ProblemEditBody struct {
	Title       *string   `json:"title,omitempty" maxLength:"300"`
	Description *string   `json:"description,omitempty" maxLength:"4000"`
	Severity    *string   `json:"severity,omitempty" enum:"CRITICAL,HIGH,MEDIUM,LOW"`
	Status      *string   `json:"status,omitempty" enum:"OPEN,IN_PROGRESS"`
	Baselines   *[]string `json:"baselines,omitempty" maxItems:"100"`
	Impact      *string   `json:"impact,omitempty" maxLength:"4000"`
	Owner       *string   `json:"owner,omitempty" maxLength:"64"`
}

func (a *API) registerProblems() {
	read := may("problem:read")
	operation(a, get("/v1/problem-reports", read).as("list-problems", "problem-reports", "List problem reports, latest first"), a.listProblems)
	operation(a, post("/v1/problem-reports", may("problem:write")).answers(http.StatusCreated).as("create-problem", "problem-reports", "Report a problem of a model"), a.createProblem)
	operation(a, get("/v1/problem-reports/{problem_id}", read).as("get-problem", "problem-reports", "A problem report"),
		func(c *call, p *ProblemPath, _ *none) (*registry.ProblemReport, error) {
			x, err := a.problemNamed(c, p.ID)
			if err == nil {
				c.set("ETag", etag(x.Revision))
			}
			return x, err
		})
	operation(a, patch("/v1/problem-reports/{problem_id}", may("problem:write")).as("edit-problem", "problem-reports", "Edit a problem report that is not closed").
		about("So that an open problem stands against less than before, the caller must be somebody who could close it."), a.editProblem)
	operation(a, post("/v1/problem-reports/{problem_id}/close", may("problem:close")).as("close-problem", "problem-reports", "Close a problem report with evidence that the problem is gone").
		about("Never by who wrote or owned it."), a.closeProblem)
}

func problemResource(x *registry.ProblemReport) auth.Resource {
	return auth.Resource{Type: "Problem", ID: x.ProblemID, Project: x.Project, Classification: x.Classification, Owner: x.Owner, Parties: x.Involved}
}

// problemNamed returns a problem report that the caller may see.
func (a *API) problemNamed(c *call, id string) (*registry.ProblemReport, error) {
	x, err := a.Registry.Problem(c.ctx(), id)
	if err != nil {
		return nil, c.unknown("problem report", err)
	}
	return x, a.seeFor(c, "problem:read", "problem report", problemResource(x))
}

func (a *API) listProblems(c *call, p *problemList, _ *none) (Page[*registry.ProblemReport], error) {
	sees, err := a.visibility(c)
	if err != nil {
		return Page[*registry.ProblemReport]{}, err
	}
	f := registry.ProblemFilter{ModelID: p.Model, Owner: p.Owner, Status: registry.ProblemStatus(p.Status), Severity: registry.Severity(p.Severity),
		Project: onlyProject(sees, p.Project), Limit: p.Limit}
	list, next, err := a.Registry.Problems(c.ctx(), f, p.Cursor)
	return visible(sees, list, next, problemResource), err
}

func (a *API) createProblem(c *call, _ *none, body *NewProblemBody) (*registry.ProblemReport, error) {
	if _, err := a.aboutModel(c, body.ModelID); err != nil {
		return nil, err
	}
	x := registry.ProblemReport{ProblemID: body.ProblemID, ModelID: body.ModelID, Title: body.Title, Description: body.Description,
		Severity: registry.Severity(body.Severity), Baselines: body.Baselines, Impact: body.Impact, Owner: orSelf(body.Owner, c), Classification: body.Classification}
	var made *registry.ProblemReport
	err := a.DB.Update(c.ctx(), func(tx *db.Tx) (err error) {
		if err := a.knownPerson(tx, "owner", x.Owner); err != nil {
			return err
		}
		if made, err = a.Registry.CreateProblem(tx, x, c.who()); err != nil {
			return err
		}
		return a.authorize(c, tx, problemResource(made))
	})
	if err != nil {
		return nil, err
	}
	c.set("Location", "/v1/problem-reports/"+url.PathEscape(made.ProblemID))
	c.set("ETag", etag(made.Revision))
	return made, nil
}

func (a *API) editProblem(c *call, p *problemEditPath, body *ProblemEditBody) (*registry.ProblemReport, error) {
	revision, err := seen(p.IfMatch)
	if err != nil {
		return nil, err
	}
	if _, err := a.problemNamed(c, p.ID); err != nil {
		return nil, err
	}
	u := registry.ProblemUpdate{Title: body.Title, Description: body.Description, Impact: body.Impact, Owner: body.Owner,
		Severity: (*registry.Severity)(body.Severity), Status: (*registry.ProblemStatus)(body.Status), Baselines: body.Baselines}
	var after *registry.ProblemReport
	err = a.DB.Update(c.ctx(), func(tx *db.Tx) error {
		before, err := a.Registry.ProblemIn(tx, p.ID)
		if err != nil {
			return err
		}
		if err := a.authorize(c, tx, problemResource(before)); err != nil {
			return err
		}
		if body.Owner != nil && *body.Owner != before.Owner {
			if err := a.knownPerson(tx, "owner", *body.Owner); err != nil {
				return err
			}
		}
		if after, err = a.Registry.UpdateProblem(tx, p.ID, u, revision, c.who()); err != nil {
			return err
		}
		// What no longer stands against a freeze is as good as closed.
		if before.Severity.Blocks() && (!after.Severity.Blocks() || narrowed(before.Baselines, after.Baselines)) {
			return a.Auth.Authorize(tx, c.by, "problem:close", problemResource(before), nil)
		}
		return nil
	})
	if err != nil {
		return nil, stale(err)
	}
	c.set("ETag", etag(after.Revision))
	return after, nil
}

// narrowed reports whether fewer baselines are affected than before; none stands for all.
func narrowed(before, after []string) bool {
	if len(before) == 0 || len(after) == 0 {
		return len(after) > 0
	}
	return slices.ContainsFunc(before, func(id string) bool { return !slices.Contains(after, id) })
}

func (a *API) closeProblem(c *call, p *ProblemPath, body *ClosingBody) (*registry.ProblemReport, error) {
	if _, err := a.problemNamed(c, p.ID); err != nil {
		return nil, err
	}
	if err := a.citable(c, body.Evidence); err != nil {
		return nil, err
	}
	var after *registry.ProblemReport
	err := a.DB.Update(c.ctx(), func(tx *db.Tx) error {
		before, err := a.Registry.ProblemIn(tx, p.ID)
		if err != nil {
			return err
		}
		if err := a.authorize(c, tx, problemResource(before)); err != nil {
			return err
		}
		after, err = a.Registry.CloseProblem(tx, p.ID, registry.Closing{Evidence: body.Evidence, Statement: body.Statement}, c.who())
		return err
	})
	if err != nil {
		return nil, err
	}
	c.set("ETag", etag(after.Revision))
	return after, nil
}
