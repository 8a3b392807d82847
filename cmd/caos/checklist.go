package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/client"
	"caos/internal/httpapi"
	"caos/internal/readiness"
)

func newChecklist(e *environment) *cobra.Command {
	named := completed(e.ids("/v1/checklists", "checklist_id", "title"), checklistShow(e))
	items := completed(e.checklistItems, checklistAssign(e), checklistComplete(e), checklistReopen(e))
	return parent("checklist", "Answer what a version must show before production", append(append([]*cobra.Command{newTemplate(e), checklistList(e),
		completed(e.ids("/v1/baselines", "baseline_id", "version"), checklistOpen(e))[0]}, named...), items...)...)
}

func checklistPath(id string) string { return "/v1/checklists/" + escape(id) }

// checklistItems completes a checklist, and then an open item of it.
func (e *environment) checklistItems(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		return e.ids("/v1/checklists", "checklist_id", "title")(c, args, typed)
	case 1:
		l, _, err := ask[readiness.Checklist](c.Context(), e, getting(checklistPath(args[0]), nil))
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []cobra.Completion
		for _, i := range l.Items {
			if !i.Closed() {
				out = append(out, cobra.CompletionWithDesc(clean(i.ItemID), clean(i.Title)))
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// latest finds what belongs to MODEL@VERSION: the newest that the server lists at path. An
// id is left as it is.
func (e *environment) latest(ctx context.Context, arg, path, field, what string) (string, error) {
	if !strings.Contains(arg, "@") {
		return arg, nil
	}
	model, version, err := modelVersion(arg)
	if err != nil {
		return "", err
	}
	cl, err := e.connect()
	if err != nil {
		return "", err
	}
	items, _, err := list[map[string]any](ctx, cl, path, query("model_id", model, "model_version", version), paging{limit: 1})
	if err != nil {
		return "", err
	}
	if len(items) > 0 {
		if id, _ := items[0][field].(string); id != "" {
			return id, nil
		}
	}
	return "", caos.Errorf(caos.NotFound, "%s has no %s", arg, what).WithField(field)
}

func (e *environment) checklistOf(ctx context.Context, arg string) (string, error) {
	return e.latest(ctx, arg, "/v1/checklists", "checklist_id", "checklist")
}

func checklistList(e *environment) *cobra.Command {
	l := listed[readiness.Checklist]{path: "/v1/checklists", head: []string{"checklist", "about", "template", "opened", "ready since", "title"}, drop: []string{"template", "opened"},
		row: func(x readiness.Checklist) []string {
			return []string{x.ChecklistID, about(x.ModelID, x.Version), x.TemplateID + " " + x.TemplateVersion, moment(x.OpenedAt), orDash(when(x.CompletedAt)), x.Title}
		}}
	var model, version, baseline, template, project string
	c := &cobra.Command{
		Use: "list", Short: "List checklists, latest first", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l.query = query("model_id", model, "model_version", version, "baseline_id", baseline, "template_id", template, "project", project)
			return l.show(c.Context(), e)
		},
	}
	l.page.bind(c)
	f := c.Flags()
	f.StringVar(&model, "model", "", "of this model")
	f.StringVar(&version, "model-version", "", "of this version of it")
	f.StringVar(&baseline, "baseline", "", "of this baseline")
	f.StringVar(&template, "template", "", "made from this template")
	f.StringVar(&project, "project", "", "of this project")
	return c
}

func checklistOpen(e *environment) *cobra.Command {
	template := readiness.ShippedTemplate
	c := &cobra.Command{
		Use: "open BASELINE", Short: "Open a checklist for a baseline", Args: wants("BASELINE"),
		Long: "Opens a checklist of a template for a frozen version. A freeze opens the one of " + readiness.ShippedTemplate +
			" by itself; this is for templates of your own. Opening it again changes nothing.",
		Example: "  caos checklist open BL-DLY-1.0.0 --template 95-00-09-01-006",
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkBaselines(args); err != nil {
				return err
			}
			x, body, err := ask[readiness.Checklist](c.Context(), e, posting("/v1/checklists", map[string]string{"template_id": template, "baseline_id": args[0]}))
			if err != nil {
				return err
			}
			return e.give(body, func() { e.checklist(x, showing{}) })
		},
	}
	c.Flags().StringVar(&template, "template", template, "id of the template")
	_ = c.RegisterFlagCompletionFunc("template", e.flagIDs("/v1/checklist-templates", "template_id", "title"))
	return c
}

// flagIDs completes a flag with ids that the server lists.
func (e *environment) flagIDs(path, field, title string) cobra.CompletionFunc {
	return func(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return e.listIDs(c.Context(), path, nil, field, title), cobra.ShellCompDirectiveNoFileComp
	}
}

func checklistShow(e *environment) *cobra.Command {
	var s showing
	c := &cobra.Command{
		Use: "show CHECKLIST", Short: "Show a checklist, what is open first", Args: wants("CHECKLIST"),
		Long: "Shows a checklist: how far it is, what is open (critical items first, overdue ones marked), and what is closed by what. " +
			"Instead of its id MODEL@VERSION will do.",
		Example: "  caos checklist show CHK-DLY-1.0.0\n  caos checklist show NN-DLY-001@1.0.0 --item 3.2",
		RunE: func(c *cobra.Command, args []string) error {
			id, err := e.checklistOf(c.Context(), args[0])
			if err != nil {
				return err
			}
			x, body, err := ask[readiness.Checklist](c.Context(), e, getting(checklistPath(id), nil))
			if err != nil {
				return err
			}
			if s.item != "" {
				i := itemOf(x, s.item)
				if i == nil {
					return noItem(x, s.item)
				}
				return e.itemGiven(body, x, i)
			}
			return e.give(body, func() { e.checklist(x, s) })
		},
	}
	f := c.Flags()
	f.BoolVar(&s.open, "open", false, "only what is open")
	f.StringVar(&s.item, "item", "", "only this item, with all that is said of it")
	f.StringVar(&s.owner, "owner", "", "only the items of this account")
	c.MarkFlagsMutuallyExclusive("open", "item")
	return c
}

func itemOf(x *readiness.Checklist, id string) *readiness.Item {
	for _, i := range x.Items {
		if i.ItemID == id {
			return i
		}
	}
	return nil
}

func noItem(x *readiness.Checklist, id string) error {
	return caos.Errorf(caos.NotFound, "%s has no item %q", x.ChecklistID, id).WithField("item").WithHint("caos checklist show %s lists them", x.ChecklistID)
}

// itemGiven writes one item: its part of the server's answer for programs.
func (e *environment) itemGiven(body []byte, x *readiness.Checklist, i *readiness.Item) error {
	if e.machine() {
		return e.giveValue(i, nil)
	}
	return e.give(body, func() { e.item(x, i) })
}

// itemChanged sends what changes an item and shows it.
func (e *environment) itemChanged(ctx context.Context, id, item string, call client.Call) error {
	cl, err := e.connect()
	if err != nil {
		return err
	}
	a, err := cl.Do(ctx, call)
	if err != nil {
		return err
	}
	return e.itemAfter(ctx, id, item, a.Body)
}

// itemAfter shows an item as it is now, under the server's answer for programs.
func (e *environment) itemAfter(ctx context.Context, id, item string, body []byte) error {
	if e.machine() {
		return e.give(body, nil)
	}
	x, _, err := ask[readiness.Checklist](ctx, e, getting(checklistPath(id), nil))
	if err != nil {
		return err
	}
	i := itemOf(x, item)
	if i == nil {
		return noItem(x, item)
	}
	e.item(x, i)
	e.line("")
	e.checklistProgress(x)
	return nil
}

func itemPath(id, item string) string { return checklistPath(id) + "/items/" + escape(item) }

func checklistAssign(e *environment) *cobra.Command {
	var revision string
	c := &cobra.Command{
		Use: "assign CHECKLIST ITEM", Short: "Say who answers an item, until when, and how far it is", Args: wants("CHECKLIST", "ITEM"),
		Long:    "Gives an open item an owner, a due date, a note or a state. Its owner is reminded a week and a day before it is due. It is closed with caos checklist complete alone.",
		Example: "  caos checklist assign CHK-DLY-1.0.0 3.2 --owner quinn --due 2026-12-10\n  caos checklist assign NN-DLY-001@1.0.0 3.2 --status IN_PROGRESS --note 'Fault tree under review'",
		RunE: func(c *cobra.Command, args []string) error {
			body := given(c, "owner", "note", "status")
			if f := c.Flags().Lookup("due"); f.Changed {
				body["due_on"] = f.Value.String()
			}
			if len(body) == 0 {
				return usage("nothing is to be changed").WithHint("give at least one of %s", flagsOf([]string{"owner", "due", "note", "status"}))
			}
			if s, ok := body["status"].(string); ok {
				s = strings.ToUpper(s)
				if err := oneOf("status", s, openStates()...); err != nil {
					return err
				}
				body["status"] = s
			}
			id, err := e.checklistOf(c.Context(), args[0])
			if err != nil {
				return err
			}
			return e.itemChanged(c.Context(), id, args[1], patching(itemPath(id, args[1]), body, revision))
		},
	}
	f := c.Flags()
	f.String("owner", "", "account that answers it; \"\" for nobody")
	f.String("due", "", "day by which, such as 2026-12-10; \"\" for none")
	f.String("note", "", "in a sentence")
	f.String("status", "", "how far it is: "+strings.Join(openStates(), " or "))
	f.StringVar(&revision, "revision", "", "only if the item is still as it was at this revision")
	words(c, "status", openStates())
	_ = c.RegisterFlagCompletionFunc("owner", e.flagIDs("/v1/users", "id", "name"))
	return c
}

func openStates() []string {
	return []string{string(readiness.ItemPlanned), string(readiness.ItemInProgress)}
}

func checklistComplete(e *environment) *cobra.Command {
	var b readiness.Completion
	var s signing
	c := &cobra.Command{
		Use: "complete CHECKLIST ITEM", Short: "Close an item with evidence or a signed statement", Args: wants("CHECKLIST", "ITEM"),
		Long: "Closes an item with the ids of what shows it: evidence, documents, a baseline, a freeze, a passport or an audit record of this model. " +
			"Where there is no such thing, a statement in your own name closes it, which you sign. That a question does not arise for this version " +
			"(--not-applicable) is always such a statement, by a qa-lead or a safety-engineer who does not own the item.",
		Example: "  caos checklist complete CHK-DLY-1.0.0 2.1 --evidence EVID-DLY-20261123T101500.123456Z\n" +
			"  caos checklist complete CHK-DLY-1.0.0 6.3 --statement 'Runs on the qualified host alone' --not-applicable --key ~/.ssh/id_ed25519",
		RunE: func(c *cobra.Command, args []string) error {
			id, err := e.checklistOf(c.Context(), args[0])
			if err != nil {
				return err
			}
			body := httpapi.CompleteItemBody{Evidence: b.Evidence, Reason: b.Statement, NotApplicable: b.NotApplicable}
			a := act{title: "Complete item " + args[1] + " of " + id, path: itemPath(id, args[1]) + "/complete", of: "the item, its answer and the baseline",
				what: []string{"complete:" + id + "/" + args[1]}, says: []string{string(readiness.ItemComplete) + ":", b.Statement}}
			if b.NotApplicable {
				a.title, a.says[0] = "Say that item "+args[1]+" of "+id+" does not apply", string(readiness.ItemNotApplicable)+":"
			}
			if b.Statement == "" { // evidence speaks for itself; nothing at all is for the server to refuse
				return e.itemChanged(c.Context(), id, args[1], posting(a.path, body))
			}
			if a.body, err = bodyOf(body); err != nil {
				return err
			}
			_, answer, err := decided[readiness.Item](c.Context(), e, a, s)
			if err != nil {
				return err
			}
			return e.itemAfter(c.Context(), id, args[1], answer)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&b.Evidence, "evidence", nil, "id of what shows it")
	f.StringVar(&b.Statement, "statement", "", "what you state in your own name")
	f.BoolVar(&b.NotApplicable, "not-applicable", false, "the question does not arise for this version")
	s.bind(c)
	return c
}

func checklistReopen(e *environment) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "reopen CHECKLIST ITEM --reason TEXT", Short: "Open a closed item again", Args: wants("CHECKLIST", "ITEM"),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := e.checklistOf(c.Context(), args[0])
			if err != nil {
				return err
			}
			return e.itemChanged(c.Context(), id, args[1], posting(itemPath(id, args[1])+"/reopen", map[string]string{"reason": reason}))
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why")
	_ = c.MarkFlagRequired("reason")
	return c
}
