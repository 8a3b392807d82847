package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"caos"
	"caos/internal/client"
)

// give writes an answer: the server's own JSON for programs, text for people.
func (e *environment) give(body []byte, text func()) error {
	switch e.format {
	case "json":
		return e.writeJSON(body)
	case "yaml":
		out, err := yaml.JSONToYAML(body)
		if err != nil {
			return fmt.Errorf("write YAML: %w", err)
		}
		_, err = e.out.Write(out)
		return err
	}
	text()
	return nil
}

// giveValue is give for what this program made itself.
func (e *environment) giveValue(v any, text func()) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return e.give(body, text)
}

func (e *environment) writeJSON(body []byte) error {
	var b bytes.Buffer
	if err := json.Indent(&b, body, "", "  "); err != nil {
		return caos.Wrap(caos.Internal, err, "the server's answer is not JSON")
	}
	b.WriteByte('\n')
	_, err := e.out.Write(b.Bytes())
	return err
}

// line writes a line of text.
func (e *environment) line(format string, args ...any) { fmt.Fprintf(e.out, format+"\n", args...) }

// pair is a name and its value.
type pair struct{ name, value string }

// pairs writes names and values in two columns; empty values are left out.
func (e *environment) pairs(list ...pair) {
	width := 0
	for _, p := range list {
		if p.value != "" {
			width = max(width, len(p.name))
		}
	}
	for _, p := range list {
		if p.value == "" {
			continue
		}
		fmt.Fprintf(e.out, "%s  %s\n", e.paint.dim(fmt.Sprintf("%-*s", width, p.name)), e.paint.word(clean(p.value)))
	}
}

// table writes rows under a head, in columns. On a terminal the last column is cut to fit.
func (e *environment) table(head []string, rows [][]string) {
	if len(rows) == 0 {
		e.line("%s", e.paint.dim("none"))
		return
	}
	for _, row := range rows {
		for i := range row {
			row[i] = clean(row[i])
		}
	}
	widths := make([]int, len(head))
	for _, row := range append([][]string{head}, rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], lipgloss.Width(cell))
		}
	}
	write := func(row []string, style func(string) string) {
		var b strings.Builder
		used := 0
		for i, cell := range row {
			w := lipgloss.Width(cell)
			if i == len(row)-1 {
				if room := e.width - used; e.width > 0 && w > room && room > 8 {
					cell = cut(cell, room)
				}
				b.WriteString(style(cell))
				break
			}
			b.WriteString(style(cell))
			b.WriteString(strings.Repeat(" ", widths[i]-w+2))
			used += widths[i] + 2
		}
		fmt.Fprintln(e.out, strings.TrimRight(b.String(), " "))
	}
	upper := make([]string, len(head))
	for i, h := range head {
		upper[i] = strings.ToUpper(h)
	}
	write(upper, e.paint.dim)
	for _, row := range rows {
		write(row, e.paint.word)
	}
}

// clean takes out what a terminal would obey: the text may be anybody's.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069:
			return '·'
		}
		return r
	}, s)
}

// cut shortens text without colours to n columns.
func cut(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

// moment writes a time as people read it: UTC, to the second.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// momentOf is moment for the text of an answer.
func momentOf(s string) string {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return s
	}
	return moment(t)
}

func when(t *time.Time) string {
	if t == nil {
		return ""
	}
	return moment(*t)
}

// bytesOf writes a size.
func bytesOf(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	f, suffix := float64(n), ""
	for _, s := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if f /= unit; f < unit || s == "TiB" {
			suffix = s
			break
		}
	}
	return fmt.Sprintf("%.1f %s", f, suffix)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// paging are the flags of lists.
type paging struct {
	limit int
	all   bool
}

func (p *paging) bind(c *cobra.Command) {
	c.Flags().IntVar(&p.limit, "limit", 50, "how many at most")
	c.Flags().BoolVar(&p.all, "all", false, "all of them")
	c.MarkFlagsMutuallyExclusive("limit", "all")
}

// maxPage is the most that the server gives at once.
const maxPage = 500

// list reads pages until there is enough, and returns the items with the whole as JSON.
func list[T any](ctx context.Context, c *client.Client, path string, q url.Values, p paging) ([]T, []byte, error) {
	if p.limit < 1 && !p.all {
		return nil, nil, usage("it is at least 1").WithField("limit")
	}
	var raw []json.RawMessage
	cursor := ""
	for {
		want := maxPage
		if !p.all {
			want = min(maxPage, p.limit-len(raw))
		}
		q := cloned(q)
		q.Set("limit", strconv.Itoa(want))
		if cursor != "" {
			q.Set("cursor", cursor)
		}
		a, err := c.Do(ctx, client.Call{Method: http.MethodGet, Path: path, Query: q})
		if err != nil {
			return nil, nil, err
		}
		var page struct {
			Items []json.RawMessage `json:"items"`
			Next  string            `json:"next_cursor"`
		}
		if err := a.Decode(&page); err != nil {
			return nil, nil, err
		}
		raw = append(raw, page.Items...)
		cursor = page.Next
		if cursor == "" || !p.all && len(raw) >= p.limit {
			break
		}
	}
	return collect[T](raw, cursor)
}

// collect reads the items and writes the list as the server would.
func collect[T any](raw []json.RawMessage, cursor string) ([]T, []byte, error) {
	items := make([]T, len(raw))
	for i := range raw {
		if err := json.Unmarshal(raw[i], &items[i]); err != nil {
			return nil, nil, caos.Wrap(caos.Internal, err, "the server's answer cannot be read").WithHint("is this program as new as the server?")
		}
	}
	if raw == nil {
		raw = []json.RawMessage{}
	}
	whole, err := json.Marshal(struct {
		Items []json.RawMessage `json:"items"`
		Next  string            `json:"next_cursor,omitempty"`
	}{raw, cursor})
	return items, whole, err
}

// unpaged reads a list that the server gives whole.
func unpaged[T any](ctx context.Context, c *client.Client, path string, q url.Values) ([]T, []byte, error) {
	a, err := c.Do(ctx, client.Call{Method: http.MethodGet, Path: path, Query: q})
	if err != nil {
		return nil, nil, err
	}
	var page struct {
		Items []T `json:"items"`
	}
	err = a.Decode(&page)
	return page.Items, a.Body, err
}

func cloned(q url.Values) url.Values {
	out := url.Values{}
	for k, v := range q {
		out[k] = v
	}
	return out
}

// query makes a query of names and values; empty values are left out.
func query(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

// readInput reads a file, or standard input for "-".
func (e *environment) readInput(name string, limit int64) ([]byte, error) {
	var r io.Reader = e.in
	if name != "-" {
		f, err := openFile(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, caos.Wrap(caos.Invalid, err, "%s cannot be read", name)
	}
	if int64(len(data)) > limit {
		return nil, caos.Errorf(caos.TooLarge, "%s is longer than %s", name, bytesOf(limit))
	}
	return data, nil
}
