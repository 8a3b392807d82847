package httpapi

import (
	"context"
	"encoding/json"

	"caos"
	"caos/internal/auth"
	"caos/internal/db"
)

// Trigger is a row of the trigger table: what makes a hook run by itself.
type Trigger struct {
	ID             string          `json:"trigger_id"`
	Kind           string          `json:"kind" enum:"event,cron,webhook"`
	Source         string          `json:"source" doc:"an event type, with * as its last word for all below; a cron expression; or the name of a webhook"`
	HookID         string          `json:"hook_id"`
	Input          json.RawMessage `json:"input,omitempty" doc:"the hook's input, with places that the event fills"`
	Enabled        bool            `json:"enabled"`
	Identity       string          `json:"identity" doc:"the service account that it acts as"`
	EnabledBy      string          `json:"enabled_by,omitempty" doc:"the person who switched it on; recorded with everything that it does"`
	Shipped        bool            `json:"shipped" doc:"it comes with CAOS"`
	Project        string          `json:"project,omitempty"`
	Classification string          `json:"classification,omitempty"`
	Revision       int64           `json:"-"` // counts changes, for ETags
}

// TriggerChange is a trigger as somebody wants it.
type TriggerChange struct {
	Trigger    Trigger
	By         caos.Principal
	IfRevision int64 // the revision that the caller has seen; -1 for any
	// Allow decides inside the transaction on the trigger as it is there, and as it will be.
	Allow func(tx *db.Tx, t Trigger) error
}

// Triggers is the trigger table.
type Triggers interface {
	List(ctx context.Context) ([]Trigger, error)
	Get(ctx context.Context, id string) (Trigger, error)
	Put(ctx context.Context, change TriggerChange) (Trigger, error)
}

// TriggerBody is what can be said of a trigger.
type TriggerBody struct {
	Kind     string          `json:"kind" enum:"event,cron,webhook"`
	Source   string          `json:"source"`
	HookID   string          `json:"hook_id"`
	Input    json.RawMessage `json:"input,omitempty"`
	Enabled  bool            `json:"enabled"`
	Identity string          `json:"identity"`
	Project  string          `json:"project,omitempty"`
}

func (a *API) registerTriggers() {
	type path struct {
		ID      string `path:"trigger_id" maxLength:"100"`
		IfMatch string `header:"If-Match" maxLength:"64" doc:"ETag of the trigger that is changed"`
	}
	operation(a, get("/v1/triggers", may("trigger:read")).as("list-triggers", "triggers", "What makes hooks run by themselves"),
		func(c *call, _ *none, _ *none) (Page[Trigger], error) {
			page := Page[Trigger]{Items: []Trigger{}}
			sees, err := a.visibility(c)
			if err != nil {
				return page, err
			}
			list, err := a.Triggers.List(c.ctx())
			for _, t := range list {
				if sees.Sees("", t.Project, t.Classification) {
					page.Items = append(page.Items, t)
				}
			}
			return page, err
		})
	operation(a, get("/v1/triggers/{trigger_id}", may("trigger:read")).as("get-trigger", "triggers", "A trigger"),
		func(c *call, p *path, _ *none) (Trigger, error) {
			t, err := a.Triggers.Get(c.ctx(), p.ID)
			if err != nil {
				return t, err
			}
			c.set("ETag", etag(t.Revision))
			return t, a.see(c, "trigger", triggerResource(t))
		})
	operation(a, put("/v1/triggers/{trigger_id}", mayWithMFA("trigger:write")).as("put-trigger", "triggers", "Make or change a trigger").
		about("Whoever enables it is recorded with everything that it does."),
		func(c *call, p *path, body *TriggerBody) (Trigger, error) {
			revision, err := revisionOf(p.IfMatch)
			if err != nil {
				return Trigger{}, err
			}
			t, err := a.Triggers.Put(c.ctx(), TriggerChange{By: c.by, IfRevision: revision,
				Trigger: Trigger{ID: p.ID, Kind: body.Kind, Source: body.Source, HookID: body.HookID, Input: body.Input, Enabled: body.Enabled,
					Identity: body.Identity, Project: body.Project},
				Allow: func(tx *db.Tx, t Trigger) error { return a.authorize(c, tx, triggerResource(t)) }})
			if err != nil {
				return t, precondition(err)
			}
			c.set("ETag", etag(t.Revision))
			return t, nil
		})
}

func triggerResource(t Trigger) auth.Resource {
	return auth.Resource{Type: "Trigger", ID: t.ID, Project: t.Project, Classification: t.Classification}
}
