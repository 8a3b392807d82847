package httpapi

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"caos"
	"caos/internal/trigger"
)

// TriggerBody is what people write of a trigger.
type TriggerBody struct {
	Name           string          `json:"name,omitempty" maxLength:"48" doc:"lower case, never changed; in the path when a trigger is changed"`
	Kind           string          `json:"kind" enum:"EVENT,CRON,WEBHOOK" doc:"never changed"`
	Description    string          `json:"description,omitempty" maxLength:"500"`
	Hook           string          `json:"hook_id" maxLength:"100"`
	Input          json.RawMessage `json:"input" doc:"the hook's input; a string that is a reference such as ${event.data.package_id} stands for that value"`
	EventType      string          `json:"event_type,omitempty" maxLength:"100" doc:"EVENT: a type or pattern such as caos.package.closed"`
	Where          map[string]any  `json:"where,omitempty" doc:"EVENT, WEBHOOK: fields and the values that they must have, such as data.full_coverage: true"`
	Cron           string          `json:"cron,omitempty" maxLength:"100" doc:"CRON: minute hour day month weekday"`
	Zone           string          `json:"zone,omitempty" maxLength:"64" doc:"CRON: IANA time zone; UTC if left out"`
	RunsAs         string          `json:"runs_as" maxLength:"64" doc:"the service account that submits"`
	Project        string          `json:"project,omitempty" maxLength:"100"`
	Classification string          `json:"classification,omitempty" enum:"Public,Internal,Restricted,Confidential,Regulated"`
	Enabled        bool            `json:"enabled,omitempty"`
}

func (b *TriggerBody) definition() trigger.Definition {
	return trigger.Definition{Name: b.Name, Kind: trigger.Kind(b.Kind), Description: b.Description, Hook: b.Hook, Input: b.Input, EventType: b.EventType,
		Where: b.Where, Cron: b.Cron, Zone: b.Zone, RunsAs: b.RunsAs, Project: b.Project, Classification: b.Classification, Enabled: b.Enabled}
}

// TriggerSecret is a trigger with the secret of its webhook.
type TriggerSecret struct {
	Trigger *trigger.Trigger `json:"trigger"`
	Secret  string           `json:"secret,omitempty" doc:"of a webhook, shown this once"`
}

type triggerPath struct {
	Name    string `path:"name" maxLength:"100" example:"package-closed"`
	IfMatch string `header:"If-Match" maxLength:"64" doc:"ETag of the trigger that is changed"`
}

func (a *API) registerTriggers() {
	write := mayWithMFA("trigger:write")
	operation(a, get("/v1/triggers", may("trigger:read")).as("list-triggers", "triggers", "What makes hooks run by themselves"), a.listTriggers)
	operation(a, get("/v1/triggers/{name}", may("trigger:read")).as("get-trigger", "triggers", "A trigger, and what became of it"),
		func(c *call, p *triggerPath, _ *none) (*trigger.Trigger, error) { return a.triggerNamed(c, p.Name) })
	operation(a, post("/v1/triggers", write).answers(http.StatusCreated).as("create-trigger", "triggers", "Make a trigger").
		about("Whoever enables it is recorded with everything that it does, and answers for it."),
		func(c *call, _ *none, body *TriggerBody) (TriggerSecret, error) {
			t, secret, err := a.Triggers.Create(c.ctx(), c.by, body.definition())
			if err != nil {
				return TriggerSecret{}, err
			}
			c.set("Location", "/v1/triggers/"+url.PathEscape(t.Name))
			c.set("ETag", etag(t.Revision))
			return TriggerSecret{t, secret}, nil
		})
	operation(a, put("/v1/triggers/{name}", write).as("put-trigger", "triggers", "Change a trigger"),
		func(c *call, p *triggerPath, body *TriggerBody) (*trigger.Trigger, error) {
			if body.Name != "" && body.Name != p.Name {
				return nil, caos.Errorf(caos.Invalid, "it is not the trigger of the path").WithField("name")
			}
			body.Name = p.Name
			return a.changeTrigger(c, p, func(by trigger.Change) (*trigger.Trigger, error) {
				return a.Triggers.Update(c.ctx(), by, body.definition())
			})
		})
	operation(a, post("/v1/triggers/{name}/enable", write).as("enable-trigger", "triggers", "Switch a trigger on"),
		func(c *call, p *triggerPath, _ *none) (*trigger.Trigger, error) {
			return a.changeTrigger(c, p, func(by trigger.Change) (*trigger.Trigger, error) { return a.Triggers.Enable(c.ctx(), by, p.Name) })
		})
	operation(a, post("/v1/triggers/{name}/disable", write).as("disable-trigger", "triggers", "Switch a trigger off"),
		func(c *call, p *triggerPath, _ *none) (*trigger.Trigger, error) {
			return a.changeTrigger(c, p, func(by trigger.Change) (*trigger.Trigger, error) { return a.Triggers.Disable(c.ctx(), by, p.Name) })
		})
	operation(a, post("/v1/triggers/{name}/secret", write).as("rotate-trigger-secret", "triggers", "Give a webhook a new secret"),
		func(c *call, p *triggerPath, _ *none) (TriggerSecret, error) {
			var secret string
			t, err := a.changeTrigger(c, p, func(by trigger.Change) (t *trigger.Trigger, err error) {
				t, secret, err = a.Triggers.RotateSecret(c.ctx(), by, p.Name)
				return t, err
			})
			return TriggerSecret{t, secret}, err
		})
	operation(a, del("/v1/triggers/{name}", write).as("delete-trigger", "triggers", "Remove a trigger"),
		func(c *call, p *triggerPath, _ *none) (Done, error) {
			_, err := a.changeTrigger(c, p, func(by trigger.Change) (*trigger.Trigger, error) {
				return nil, a.Triggers.Delete(c.ctx(), by, p.Name)
			})
			return Done{err == nil}, err
		})
	a.registerWebhooks()
}

func (a *API) listTriggers(c *call, p *Paging, _ *none) (Page[trigger.Trigger], error) {
	page := Page[trigger.Trigger]{Items: []trigger.Trigger{}}
	sees, err := a.visibility(c)
	if err != nil {
		return page, err
	}
	list, err := a.Triggers.List(c.ctx(), p.Cursor, p.Limit+1)
	if len(list) > p.Limit {
		list = list[:p.Limit]
		page.NextCursor = list[p.Limit-1].Name
	}
	for _, t := range list {
		if sees.Sees("", t.Project, t.Classification) {
			page.Items = append(page.Items, *t)
		}
	}
	return page, err
}

// triggerNamed returns a trigger that the caller may see.
func (a *API) triggerNamed(c *call, name string) (*trigger.Trigger, error) {
	t, err := a.Triggers.Get(c.ctx(), name)
	if err != nil {
		return nil, c.unknown("trigger", err)
	}
	if err := a.seeFor(c, "trigger:read", "trigger", t.Resource()); err != nil {
		return nil, err
	}
	c.set("ETag", etag(t.Revision))
	return t, nil
}

// changeTrigger changes a trigger that the caller may see. Whether they may change it is
// decided in the transaction.
func (a *API) changeTrigger(c *call, p *triggerPath, do func(trigger.Change) (*trigger.Trigger, error)) (*trigger.Trigger, error) {
	revision, err := revisionOf(p.IfMatch)
	if err != nil {
		return nil, err
	}
	if _, err := a.triggerNamed(c, p.Name); err != nil {
		return nil, err
	}
	c.w.Header().Del("ETag")
	t, err := do(trigger.Change{By: c.by, IfRevision: revision})
	if err != nil {
		return nil, precondition(err)
	}
	if t != nil {
		c.set("ETag", etag(t.Revision))
	}
	return t, nil
}

// registerWebhooks adds the route that other systems call. It is public because the
// signature is the credential; what is not signed learns nothing.
func (a *API) registerWebhooks() {
	e := post("/v1/triggers/{name}/webhook", anyone()).as("deliver", "triggers", "Deliver to a webhook").
		about("Signed as Standard Webhooks has it, with the secret that was shown when the trigger was made: webhook-signature is \"v1,\" and the base64 of " +
			"HMAC-SHA256 over webhook-id, \".\", webhook-timestamp, \".\" and the body. A repetition under the same webhook-id does nothing again.")
	e.limit = trigger.MaxDelivery
	responses := a.answersWith("200", "It was taken in", trigger.Received{})
	maps.Copy(responses, a.answersWith("202", "It is kept, and will be submitted", trigger.Received{}))
	a.plain(e, huma.Operation{
		Parameters: []*huma.Param{
			param("name", "path", "the trigger", words()), param("webhook-id", "header", "of the delivery", words()),
			param("webhook-timestamp", "header", "seconds since 1970", words()), param("webhook-signature", "header", "one or more, between spaces", words()),
		},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{}}}},
		Responses:   responses,
	}, func(c *call) error {
		ct, err := c.mediaType()
		if err != nil {
			return err
		}
		body, err := c.readBody(c.endpoint.bodyLimit())
		if err != nil {
			return err
		}
		h := c.r.Header
		got, err := a.Triggers.Receive(c.ctx(), trigger.Delivery{Trigger: c.path("name"), ID: h.Get("Webhook-Id"), Timestamp: h.Get("Webhook-Timestamp"),
			Signature: h.Get("Webhook-Signature"), ContentType: ct, Body: body})
		if err != nil {
			return err
		}
		c.execution = got.Execution
		if got.State == "PENDING" {
			return c.json(http.StatusAccepted, got)
		}
		return c.json(http.StatusOK, got)
	})
}
