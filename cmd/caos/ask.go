package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/spf13/cobra"

	"caos"
	"caos/internal/client"
)

// ask sends a request to the configured server and reads the answer, which it returns as
// the server wrote it too.
func ask[T any](ctx context.Context, e *environment, call client.Call) (*T, []byte, error) {
	cl, err := e.connect()
	if err != nil {
		return nil, nil, err
	}
	a, err := cl.Do(ctx, call)
	if err != nil {
		return nil, nil, err
	}
	v := new(T)
	return v, a.Body, a.Decode(v)
}

func getting(path string, q url.Values) client.Call {
	return client.Call{Method: http.MethodGet, Path: path, Query: q}
}

func posting(path string, body any) client.Call {
	return client.Call{Method: http.MethodPost, Path: path, JSON: body}
}

// patching changes what body names of a thing, if it is still as it was at revision; 0 is
// whatever it is.
func patching(path string, body any, revision string) client.Call {
	call := client.Call{Method: http.MethodPatch, Path: path, JSON: body}
	if revision != "" {
		call.Header = http.Header{"If-Match": {`"` + strings.Trim(revision, `"`) + `"`}}
	}
	return call
}

// removing deletes what a path and a query name.
func removing(path string, pairs ...string) client.Call {
	return client.Call{Method: http.MethodDelete, Path: path, Query: query(pairs...)}
}

// listed reads a list and shows it as a table; row makes one of an item.
type listed[T any] struct {
	path  string
	query url.Values
	page  paging
	head  []string
	drop  []string // columns that a narrow terminal does without, the first first
	room  int      // columns of text that the last one shall have; 0 means enough to tell something
	row   func(T) []string
}

func (l listed[T]) show(ctx context.Context, e *environment) error {
	cl, err := e.connect()
	if err != nil {
		return err
	}
	items, body, err := list[T](ctx, cl, l.path, l.query, l.page)
	if err != nil {
		return err
	}
	return e.give(body, func() { e.fittedTo(max(l.room, fewColumns), l.head, rowsOf(items, l.row), l.drop...) })
}

// fitted writes a table; on a terminal that is too narrow for it, without the columns drop,
// the first first, until the last column has some room.
func (e *environment) fitted(head []string, rows [][]string, drop ...string) {
	e.fittedTo(fewColumns, head, rows, drop...)
}

// fewColumns of text tell something.
const fewColumns = 16

// fittedTo is fitted for a last column that wants so much room.
func (e *environment) fittedTo(room int, head []string, rows [][]string, drop ...string) {
	for _, name := range drop {
		used := 0
		for i := range head[:len(head)-1] {
			used += 2 + widest(head, rows, i)
		}
		if e.width == 0 || used+min(widest(head, rows, len(head)-1), room) <= e.width {
			break
		}
		at := slices.Index(head, name)
		if at < 0 {
			continue
		}
		head = slices.Delete(slices.Clone(head), at, at+1)
		for i := range rows {
			rows[i] = slices.Delete(slices.Clone(rows[i]), at, at+1)
		}
	}
	e.table(head, rows)
}

// hanging writes a text behind first, and what does not fit on a terminal's line behind rest.
func (e *environment) hanging(first, rest, text string) {
	text = clean(text)
	if room := e.width - len(rest); room > 20 {
		text = fold(text, room)
	}
	e.line("%s%s", first, strings.ReplaceAll(text, "\n", "\n"+rest))
}

// prose writes a sentence, between words in lines as wide as the terminal.
func (e *environment) prose(format string, args ...any) {
	text := clean(fmt.Sprintf(format, args...))
	if e.width < 20 {
		e.line("%s", text)
		return
	}
	used := 0
	var b strings.Builder
	for _, word := range strings.Fields(text) {
		w := lipgloss.Width(word)
		switch {
		case used == 0:
		case used+1+w > e.width:
			b.WriteByte('\n')
			used = 0
		default:
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += w
	}
	fmt.Fprintln(e.out, b.String())
}

func widest(head []string, rows [][]string, i int) int {
	w := lipgloss.Width(head[i])
	for _, row := range rows {
		w = max(w, lipgloss.Width(clean(row[i])))
	}
	return w
}

func rowsOf[T any](items []T, row func(T) []string) [][]string {
	var rows [][]string
	for _, it := range items {
		rows = append(rows, row(it))
	}
	return rows
}

// given are the flags that were set, under the names of the fields that they stand for:
// safety-level is safety_level. What was not given is left as it is.
func given(c *cobra.Command, names ...string) map[string]any {
	body := map[string]any{}
	for _, name := range names {
		f := c.Flags().Lookup(name)
		if f == nil || !f.Changed {
			continue
		}
		field := strings.ReplaceAll(name, "-", "_")
		if list, ok := f.Value.(interface{ GetSlice() []string }); ok {
			body[field] = slices.DeleteFunc(list.GetSlice(), func(s string) bool { return s == "" })
			continue
		}
		body[field] = f.Value.String()
	}
	return body
}

// words lets the shell complete a flag that takes one of a few words.
func words(c *cobra.Command, flag string, of []string) {
	_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(of, cobra.ShellCompDirectiveNoFileComp))
}

// modelVersion takes MODEL@VERSION apart.
func modelVersion(arg string) (model, version string, err error) {
	model, version, ok := strings.Cut(arg, "@")
	if !ok {
		return "", "", usage("%q names no version", arg).WithField("version").WithHint("give MODEL@VERSION, such as NN-DLY-001@1.0.0")
	}
	if err := caos.CheckID("model", "model_id", model); err != nil {
		return "", "", err
	}
	return model, version, caos.CheckID("version", "version", version)
}

func versionPath(model, version string) string {
	return "/v1/models/" + escape(model) + "/versions/" + escape(version)
}

// short is a digest as people compare it: its first twelve digits.
func short(digest string) string {
	_, hex, ok := strings.Cut(digest, ":")
	if !ok || len(hex) < 12 {
		return digest
	}
	return hex[:12]
}

// none is a dash for what a table has no word for.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// byWhom writes a moment with the person.
func byWhom(at, who string) string {
	if at == "" || who == "" {
		return at
	}
	return at + " by " + who
}
