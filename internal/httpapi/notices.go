package httpapi

import (
	"context"
	"net/http"
	"slices"
	"time"

	"caos"
	"caos/internal/auth"
	"caos/internal/evidence"
	"caos/internal/notify"
	"caos/internal/policy"
)

func (a *API) registerNotices() {
	type query struct {
		Paging
		Unread  bool   `query:"unread" doc:"only those not read yet"`
		Project string `query:"project" maxLength:"100"`
	}
	type path struct {
		ID string `path:"notice_id" maxLength:"120"`
	}
	operation(a, get("/v1/notices", may("notice:read")).as("list-notices", "notices", "The caller's notices, newest first"),
		func(c *call, p *query, _ *none) (Page[notify.Received], error) {
			list, next, err := a.Notices.List(c.ctx(), c.by.ID, notify.Filter{Unread: p.Unread, Project: p.Project, Limit: p.Limit}, p.Cursor)
			if err != nil {
				return Page[notify.Received]{}, err
			}
			sees, err := a.visibility(c)
			page := Page[notify.Received]{Items: []notify.Received{}, NextCursor: next}
			for _, n := range list {
				// A token for one project reads no letters about others, nor does somebody who has
				// since lost a project or a clearance; what is about no project was meant for them.
				if sees.Sees(c.by.ID, n.Project, n.Classification) || n.Project == "" && slices.Contains(sees.Classifications, n.Classification) {
					page.Items = append(page.Items, n)
				}
			}
			return page, err
		})
	operation(a, post("/v1/notices/{notice_id}/read", may("notice:read")).as("read-notice", "notices", "Say that a notice was read"),
		func(c *call, p *path, _ *none) (Done, error) {
			err := a.Notices.MarkRead(c.ctx(), c.by.ID, p.ID)
			return Done{err == nil}, err
		})
}

// Dashboard is a projection that is kept in the transactions of what it counts.
type Dashboard struct {
	Name   string // the last part of its path
	Action string // that reading it needs
	About  string // one line
	// Read returns what is visible to the caller.
	Read func(ctx context.Context, sees auth.Visibility) (any, error)
}

// DashboardView is a dashboard as it is served.
type DashboardView struct {
	Name string `json:"name"`
	Data any    `json:"data"`
}

func (a *API) registerDashboards() {
	for _, d := range append(a.ownDashboards(), a.Dashboards...) {
		operation(a, get("/v1/dashboards/"+d.Name, may(d.Action)).as("dashboard-"+d.Name, "dashboards", d.About),
			func(c *call, _ *none, _ *none) (DashboardView, error) {
				sees, err := a.visibility(c)
				if err != nil {
					return DashboardView{}, err
				}
				data, err := d.Read(c.ctx(), sees)
				return DashboardView{Name: d.Name, Data: data}, err
			})
	}
}

// DayCount is how many records of a type there were on a day.
type DayCount struct {
	Day     string `json:"day"` // 2026-11-22, UTC
	Type    string `json:"type"`
	Project string `json:"project"`
	Records int64  `json:"records"`
}

// dayOf writes a day that is given as days since 1970.
func dayOf(days int64) string { return time.Unix(days*24*3600, 0).UTC().Format(time.DateOnly) }

func (a *API) ownDashboards() (list []Dashboard) {
	if a.Log != nil {
		list = append(list, Dashboard{Name: "audit-log", Action: "audit:read", About: "Audit records by day and type", Read: a.auditDashboard})
	}
	if a.Evidence != nil {
		list = append(list, Dashboard{Name: "evidence", Action: "package:read", About: "Certification packages: what is planned, covered and failed", Read: a.evidenceDashboard})
	}
	return list
}

func (a *API) auditDashboard(ctx context.Context, sees auth.Visibility) (any, error) {
	to := a.now()
	counts, err := a.Log.Counts(ctx, to.AddDate(0, 0, -90), to)
	out := []DayCount{}
	for _, n := range counts {
		// Who sees only their own records has no figures about everybody's.
		if sees.Owner == "" && sees.Sees("", n.Project, "") {
			out = append(out, DayCount{Day: dayOf(n.Day), Type: string(n.Type), Project: n.Project, Records: n.N})
		}
	}
	return out, err
}

func (a *API) evidenceDashboard(ctx context.Context, sees auth.Visibility) (any, error) {
	counts, err := a.Evidence.Dashboard(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]evidence.Counts{}
	cursor := ""
	for range 100 { // of a thousand packages each
		list, next, err := a.Evidence.Packages(ctx, evidence.PackageFilter{Project: onlyProject(sees, ""), Limit: 1000}, cursor)
		if err != nil {
			return nil, err
		}
		for _, p := range list {
			if sees.Sees("", p.Project, p.Classification) {
				out[p.PackageID] = counts[p.PackageID]
			}
		}
		if cursor = next; next == "" {
			break
		}
	}
	return out, nil
}

func (a *API) registerPolicies() {
	operation(a, get("/v1/policies", may("policy:read")).as("list-policies", "users", "The policies in force, with their text"),
		func(*call, *none, *none) (Page[policy.Info], error) {
			return Page[policy.Info]{Items: a.Policies.List()}, nil
		})
	operation(a, get("/v1/policies/{policy_id}", may("policy:read")).as("get-policy", "users", "A policy with its text"),
		func(_ *call, p *struct {
			ID string `path:"policy_id" maxLength:"100"`
		}, _ *none) (policy.Info, error) {
			for _, one := range a.Policies.List() {
				if one.ID == p.ID {
					return one, nil
				}
			}
			return policy.Info{}, refuse(http.StatusNotFound, caos.Errorf(caos.NotFound, "there is no such policy").WithHint("GET /v1/policies lists them"))
		})
}
