package main

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"caos/internal/client"
	"caos/internal/httpapi"
	"caos/internal/trigger"
)

func newTrigger(e *environment) *cobra.Command {
	return parent("trigger", "Let hooks run by themselves", triggerList(e), triggerShow(e), triggerCreate(e), triggerChange(e),
		triggerSwitch(e, "enable", "Switch a trigger on"), triggerSwitch(e, "disable", "Switch a trigger off"), triggerSecret(e), triggerDelete(e))
}

func triggerPath(name string) string { return "/v1/triggers/" + escape(name) }

func triggerList(e *environment) *cobra.Command {
	var p paging
	c := &cobra.Command{
		Use: "list", Short: "List the triggers", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			items, body, err := list[trigger.Trigger](c.Context(), cl, "/v1/triggers", nil, p)
			if err != nil {
				return err
			}
			return e.give(body, func() {
				var rows [][]string
				for _, t := range items {
					rows = append(rows, []string{t.Name, string(t.Kind), onOff(t), causeOf(t), t.Hook, strconv.FormatInt(t.Submitted, 10), t.LastError})
				}
				e.table([]string{"trigger", "kind", "state", "cause", "hook", "submitted", "last error"}, rows)
			})
		},
	}
	p.bind(c)
	return c
}

func onOff(t trigger.Trigger) string {
	if t.Enabled {
		return "enabled"
	}
	return "disabled"
}

// causeOf is what a trigger waits for.
func causeOf(t trigger.Trigger) string {
	if t.Cron != "" {
		return t.Cron
	}
	return t.EventType
}

func (e *environment) trigger(t trigger.Trigger) {
	where, _ := json.Marshal(t.Where) // came as JSON
	if len(t.Where) == 0 {
		where = nil
	}
	e.pairs(pair{"trigger", t.Name}, pair{"about", t.Description}, pair{"kind", string(t.Kind)}, pair{"state", onOff(t)}, pair{"enabled by", t.EnabledBy},
		pair{"stopped", t.Stopped}, pair{"cause", causeOf(t)}, pair{"zone", t.Zone}, pair{"where", string(where)}, pair{"hook", t.Hook}, pair{"input", string(t.Input)},
		pair{"runs as", t.RunsAs}, pair{"next", when(t.NextAt)}, pair{"fired", strconv.FormatInt(t.Fired, 10)}, pair{"submitted", strconv.FormatInt(t.Submitted, 10)},
		pair{"refused", strconv.FormatInt(t.Refused, 10)}, pair{"last execution", t.LastExecution}, pair{"last error", t.LastError})
}

// triggerCall sends a request whose answer is a trigger, alone or with a secret.
func (e *environment) triggerCall(c *cobra.Command, call client.Call) error {
	cl, err := e.connect()
	if err != nil {
		return err
	}
	a, err := cl.Do(c.Context(), call)
	if err != nil {
		return err
	}
	var with httpapi.TriggerSecret
	if err := a.Decode(&with); err != nil {
		return err
	}
	if with.Trigger == nil {
		with.Trigger = &trigger.Trigger{}
		if err := a.Decode(with.Trigger); err != nil {
			return err
		}
	}
	return e.give(a.Body, func() {
		e.trigger(*with.Trigger)
		if with.Secret != "" {
			e.pairs(pair{"secret", with.Secret})
			e.line("%s", e.paint.dim("The secret is shown this once: whoever delivers to the webhook signs with it."))
		}
	})
}

func triggerShow(e *environment) *cobra.Command {
	return &cobra.Command{Use: "show TRIGGER", Short: "Show a trigger, and what became of it", Args: wants("TRIGGER"),
		RunE: func(c *cobra.Command, args []string) error {
			return e.triggerCall(c, client.Call{Method: http.MethodGet, Path: triggerPath(args[0])})
		}}
}

// definition is a request with the text of a trigger, JSON or YAML.
func (e *environment) definition(call client.Call, file string) (client.Call, error) {
	text, err := e.readInput(file, maxInput)
	if err != nil {
		return call, err
	}
	call.Body, call.Header = text, http.Header{"Content-Type": {"application/json"}}
	if isYAML(file, text) {
		call.Header.Set("Content-Type", "application/yaml")
	}
	return call, nil
}

func triggerCreate(e *environment) *cobra.Command {
	var file string
	c := &cobra.Command{Use: "create --file FILE|-", Short: "Make a trigger", Args: noArgs,
		Long: "Makes a trigger from its definition, JSON or YAML. The secret of a webhook is shown this once. It needs a second factor.",
		RunE: func(c *cobra.Command, _ []string) error {
			call, err := e.definition(client.Call{Method: http.MethodPost, Path: "/v1/triggers"}, file)
			if err != nil {
				return err
			}
			return e.triggerCall(c, call)
		}}
	c.Flags().StringVarP(&file, "file", "f", "", "the definition, - for standard input")
	_ = c.MarkFlagRequired("file")
	return c
}

func triggerChange(e *environment) *cobra.Command {
	var file string
	c := &cobra.Command{Use: "change TRIGGER --file FILE|-", Short: "Change a trigger", Args: wants("TRIGGER"),
		Long: "Replaces a trigger's definition. It needs a second factor.",
		RunE: func(c *cobra.Command, args []string) error {
			call, err := e.definition(client.Call{Method: http.MethodPut, Path: triggerPath(args[0])}, file)
			if err != nil {
				return err
			}
			return e.triggerCall(c, call)
		}}
	c.Flags().StringVarP(&file, "file", "f", "", "the definition, - for standard input")
	_ = c.MarkFlagRequired("file")
	return c
}

func triggerSwitch(e *environment, verb, short string) *cobra.Command {
	var as string
	c := &cobra.Command{Use: verb + " TRIGGER", Short: short, Long: short + ". It needs a second factor.", Args: wants("TRIGGER"),
		RunE: func(c *cobra.Command, args []string) error {
			if as == "" {
				return e.triggerCall(c, client.Call{Method: http.MethodPost, Path: triggerPath(args[0]) + "/" + verb})
			}
			t, _, err := ask[trigger.Trigger](c.Context(), e, getting(triggerPath(args[0]), nil))
			if err != nil {
				return err
			}
			return e.triggerCall(c, enabling(t, as))
		}}
	if verb == "enable" {
		c.Long += " A trigger that comes with CAOS, or that a pipeline's schedule became, is given its service account with --as."
		c.Example = "  caos trigger enable pipeline-validation --as automation"
		c.Flags().StringVar(&as, "as", "", "the service account that submits from now on")
		_ = c.RegisterFlagCompletionFunc("as", e.flagIDs("/v1/users", "id", "name"))
	}
	return c
}

// enabling gives a trigger its service account and switches it on, in one request.
func enabling(t *trigger.Trigger, as string) client.Call {
	d := t.Definition
	body := httpapi.TriggerBody{Name: d.Name, Kind: string(d.Kind), Description: d.Description, Hook: d.Hook, Input: d.Input, EventType: d.EventType, Where: d.Where,
		Cron: d.Cron, Zone: d.Zone, RunsAs: as, Project: d.Project, Classification: d.Classification, Enabled: true}
	return client.Call{Method: http.MethodPut, Path: triggerPath(t.Name), JSON: body, Header: http.Header{"If-Match": {`"` + strconv.FormatInt(t.Revision, 10) + `"`}}}
}

func triggerSecret(e *environment) *cobra.Command {
	return &cobra.Command{Use: "secret TRIGGER", Short: "Give a webhook a new secret", Long: "Gives a webhook a new secret, which is shown this once. It needs a second factor.", Args: wants("TRIGGER"),
		RunE: func(c *cobra.Command, args []string) error {
			return e.triggerCall(c, client.Call{Method: http.MethodPost, Path: triggerPath(args[0]) + "/secret"})
		}}
}

func triggerDelete(e *environment) *cobra.Command {
	return &cobra.Command{Use: "delete TRIGGER", Short: "Remove a trigger", Long: "Removes a trigger. It needs a second factor.", Args: wants("TRIGGER"),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			a, err := cl.Do(c.Context(), client.Call{Method: http.MethodDelete, Path: triggerPath(args[0])})
			if err != nil {
				return err
			}
			return e.give(a.Body, func() { e.line("%s is removed", args[0]) })
		}}
}
