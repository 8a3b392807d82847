package httpapi

import (
	"caos/internal/auth"
	"caos/internal/readiness"
)

type decisionList struct {
	Paging
	Subject string `query:"subject" maxLength:"200" doc:"id of what was decided on"`
	Model   string `query:"model_id" maxLength:"64"`
	Person  string `query:"person" maxLength:"64"`
	Project string `query:"project" maxLength:"100"`
}

type decisionPath struct {
	ID string `path:"decision_id" maxLength:"64" example:"DEC-20261122T101500.123456Z"`
}

func (a *API) registerDecisions() {
	read := may("decision:read")
	operation(a, get("/v1/decisions", read).as("list-decisions", "decisions", "What people decided in their own name, latest first"), a.listDecisions)
	operation(a, get("/v1/decisions/{decision_id}", read).as("get-decision", "decisions", "A decision: what it means, who decided, when, and how that is proven").
		about("The statement is what was signed, to the byte. proof is sshsig for a signature of the person's own key (key_id), or server where a second factor stands for it. "+
			"The audit record of the decision states the statement's digest; packages carry all of it, and caos-verify checks it."),
		func(c *call, p *decisionPath, _ *none) (*readiness.Decision, error) {
			d, err := a.Readiness.DecisionByID(c.ctx(), p.ID)
			if err != nil {
				return nil, c.unknown("decision", err)
			}
			return d, a.see(c, "decision", decisionResource(d))
		})
}

func decisionResource(d *readiness.Decision) auth.Resource {
	return auth.Resource{Type: "Decision", ID: d.DecisionID, Project: d.Project, Classification: d.Classification, Owner: d.Person}
}

func (a *API) listDecisions(c *call, p *decisionList, _ *none) (Page[*readiness.Decision], error) {
	sees, err := a.visibility(c)
	if err != nil {
		return Page[*readiness.Decision]{}, err
	}
	f := readiness.DecisionFilter{Subject: p.Subject, ModelID: p.Model, Person: p.Person, Project: onlyProject(sees, p.Project), Limit: p.Limit}
	list, next, err := a.Readiness.Decisions(c.ctx(), f, p.Cursor)
	return visible(sees, list, next, decisionResource), err
}
