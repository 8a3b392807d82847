package main

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// completeTime is how long a shell waits for the server when it completes a word.
const completeTime = 3 * time.Second

// ids completes the first argument with ids that the server lists at path, each with what
// else is said of it. Without a server there is nothing to complete, and no error: the
// shell would show it in the middle of what is typed.
func (e *environment) ids(path, field, title string) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveDefault // files, where there are any
		}
		return e.listIDs(c.Context(), path, nil, field, title), cobra.ShellCompDirectiveNoFileComp
	}
}

// versions completes the first argument with MODEL@VERSION, in two steps.
func (e *environment) versions(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	model, _, ok := strings.Cut(typed, "@")
	if !ok {
		models := e.listIDs(c.Context(), "/v1/models", nil, "model_id", "name")
		for i, m := range models {
			id, title, _ := strings.Cut(m, "\t")
			models[i] = cobra.CompletionWithDesc(id+"@", title)
		}
		return models, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	versions := e.listIDs(c.Context(), modelPath(model)+"/versions", nil, "version", "state")
	for i, v := range versions {
		versions[i] = model + "@" + v
	}
	return versions, cobra.ShellCompDirectiveNoFileComp
}

func (e *environment) listIDs(ctx context.Context, path string, q url.Values, field, title string) []cobra.Completion {
	cl, err := e.connect()
	if err != nil {
		return nil
	}
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completeTime)
	defer cancel()
	items, _, err := list[map[string]any](ctx, cl, path, q, paging{limit: 100})
	if err != nil {
		return nil
	}
	var out []cobra.Completion
	for _, it := range items {
		id, _ := it[field].(string)
		text, _ := it[title].(string)
		if id != "" {
			out = append(out, cobra.CompletionWithDesc(clean(id), clean(text)))
		}
	}
	return out
}

// completed gives commands what completes their first argument.
func completed(by cobra.CompletionFunc, commands ...*cobra.Command) []*cobra.Command {
	for _, c := range commands {
		c.ValidArgsFunction = by
	}
	return commands
}
