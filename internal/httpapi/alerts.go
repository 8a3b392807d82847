package httpapi

import (
	"caos/internal/alert"
	"caos/internal/auditlog"
	"caos/internal/auth"
	"caos/internal/db"
)

type alertList struct {
	Paging
	State    string `query:"state" enum:"OPEN,ACKNOWLEDGED,CLOSED"`
	Unclosed bool   `query:"unclosed" doc:"OPEN and ACKNOWLEDGED ones"`
	Type     string `query:"alert_type" enum:"LATENCY,ACCURACY,DRIFT,ANOMALY"`
	Severity string `query:"min_severity" enum:"LOW,MEDIUM,HIGH,CRITICAL"`
	Model    string `query:"model_id" maxLength:"100"`
	Subject  string `query:"subject" maxLength:"200"`
	Project  string `query:"project" maxLength:"100"`
}

type alertPath struct {
	ID string `path:"alert_id" maxLength:"100" example:"ALERT-DATA-20261122T101500.123456Z"`
}

// NoteBody says what is being done about an alert.
type NoteBody struct {
	Note string `json:"note,omitempty" maxLength:"1000"`
}

func (a *API) registerAlerts() {
	operation(a, get("/v1/alerts", may("alert:read")).as("list-alerts", "alerts", "List alerts, newest first"), a.listAlerts)
	operation(a, get("/v1/alerts/{alert_id}", may("alert:read")).as("get-alert", "alerts", "An alert"),
		func(c *call, p *alertPath, _ *none) (alert.Alert, error) {
			x, err := a.Alerts.Get(c.ctx(), p.ID)
			if err != nil {
				return x, c.unknown("alert", err)
			}
			if err := a.see(c, "alert", alertResource(&x)); err != nil {
				return x, err
			}
			c.set("ETag", etag(x.Version))
			return x, nil
		})
	operation(a, post("/v1/alerts/{alert_id}/ack", may("alert:ack")).as("acknowledge-alert", "alerts", "Say that you look after an alert"),
		func(c *call, p *alertPath, body *NoteBody) (alert.Alert, error) {
			return a.changeAlert(c, p.ID, "acknowledged", func(tx *db.Tx) (alert.Alert, error) {
				return a.Alerts.Acknowledge(tx, p.ID, c.by.ID, body.Note)
			})
		})
	operation(a, post("/v1/alerts/{alert_id}/close", may("alert:close")).as("close-alert", "alerts", "Say that an alert is dealt with, and how"),
		func(c *call, p *alertPath, body *ReasonBody) (alert.Alert, error) {
			return a.changeAlert(c, p.ID, "closed", func(tx *db.Tx) (alert.Alert, error) {
				return a.Alerts.Close(tx, p.ID, c.by.ID, body.Reason)
			})
		})
}

func alertResource(x *alert.Alert) auth.Resource {
	return auth.Resource{Type: "Alert", ID: x.AlertID, Project: x.Project, Classification: x.Classification}
}

func (a *API) listAlerts(c *call, p *alertList, _ *none) (Page[alert.Alert], error) {
	page := Page[alert.Alert]{Items: []alert.Alert{}}
	sees, err := a.visibility(c)
	if err != nil {
		return page, err
	}
	f := alert.Filter{State: alert.State(p.State), Unclosed: p.Unclosed, Type: alert.Type(p.Type), MinSeverity: alert.Severity(p.Severity),
		ModelID: p.Model, Subject: p.Subject, Project: p.Project, Limit: p.Limit}
	if sees.Scoped && len(sees.Projects) == 1 && f.Project == "" {
		f.Project = sees.Projects[0]
	}
	list, next, err := a.Alerts.List(c.ctx(), f, p.Cursor)
	page.NextCursor = next
	for _, x := range list {
		if sees.Sees("", x.Project, x.Classification) {
			page.Items = append(page.Items, x)
		}
	}
	return page, err
}

// changeAlert changes an alert that the caller may see, with the decision and the audit
// record in the same transaction.
func (a *API) changeAlert(c *call, id, event string, do func(*db.Tx) (alert.Alert, error)) (alert.Alert, error) {
	before, err := a.Alerts.Get(c.ctx(), id)
	if err != nil {
		return before, c.unknown("alert", err)
	}
	if err := a.seeFor(c, "alert:read", "alert", alertResource(&before)); err != nil {
		return before, err
	}
	var after alert.Alert
	err = a.DB.Update(c.ctx(), func(tx *db.Tx) error {
		var err error
		if after, err = do(tx); err != nil {
			return err
		}
		if err := a.authorize(c, tx, alertResource(&after)); err != nil {
			return err
		}
		_, err = a.Log.Append(tx, auditlog.Record{Type: auditlog.Alert, Time: a.now(), Actor: c.by.ID, RecordedBy: c.by.ID, Resources: []string{id},
			Details: map[string]any{"event": event, "note": after.Note, "state": after.State}, Project: after.Project, Classification: after.Classification})
		return err
	})
	if err != nil {
		return before, err
	}
	c.set("ETag", etag(after.Version))
	return after, nil
}
