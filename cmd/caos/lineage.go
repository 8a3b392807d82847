package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"caos/internal/dataset"
	"caos/internal/httpapi"
)

// newLineage shows what something was made from and what was made from it.
func newLineage(e *environment) *cobra.Command {
	var up, down, both bool
	var depth, limit int
	c := &cobra.Command{
		Use: "lineage NODE", Short: "Show what data or a model was made from, and what was made from it",
		Long: "Follows versions of data, executions, validations, versions of models and baselines the way that data flows, and draws them as a tree. " +
			"NODE is an id (DP-DLY-001.train@3, EXEC-…, VAL-EXEC-…, NN-DLY-001@1.0.0, BL-DLY-1.0.0), a URI or a digest; without a version it is the latest. " +
			"What is in the tree already is not unfolded again, which … shows. What is not for you is not there.",
		Example: "  caos lineage BL-DLY-1.0.0 --up\n  caos lineage file:///data/flights.parquet --down\n  caos lineage link DP-DLY-001.train@3 NN-DLY-001@1.0.0 --as training",
		Args:    wants("NODE"),
		RunE: func(c *cobra.Command, args []string) error {
			direction := dataset.LineageBoth
			switch {
			case up && !down && !both:
				direction = dataset.LineageUp
			case down && !up && !both:
				direction = dataset.LineageDown
			}
			l, body, err := ask[dataset.Lineage](c.Context(), e, getting("/v1/lineage",
				query("node", args[0], "direction", direction, "depth", strconv.Itoa(depth), "limit", strconv.Itoa(limit))))
			if err != nil {
				return err
			}
			return e.give(body, func() { e.lineage(l) })
		},
	}
	f := c.Flags()
	f.BoolVar(&up, "up", false, "only what it was made from")
	f.BoolVar(&down, "down", false, "only what was made from it")
	f.BoolVar(&both, "both", false, "both ways, as without a direction")
	f.IntVar(&depth, "depth", 8, "how many edges away, 1 to 32")
	f.IntVar(&limit, "limit", 500, "how many nodes, 1 to 2000")
	c.AddCommand(lineageLink(e), lineageEvents(e))
	return c
}

func lineageLink(e *environment) *cobra.Command {
	var b httpapi.LineageLinkBody
	c := &cobra.Command{
		Use: "link DATA MODEL@VERSION", Short: "Say what data a version of a model was trained or validated on", Args: wants("DATA", "MODEL@VERSION"),
		Long: "Links a version of data that the lineage knows to a version of a model. It can be done at any time, also after the freeze: what is said then " +
			"has its own time and author, and the baseline stays as it is. The audit log keeps it; it is not taken back.",
		Example: "  caos lineage link DP-DLY-001.train@3 NN-DLY-001@1.0.0 --as training",
		RunE: func(c *cobra.Command, args []string) (err error) {
			if b.ModelID, b.ModelVersion, err = modelVersion(args[1]); err != nil {
				return err
			}
			if err := oneOf("as", b.Role, "training", "validation"); err != nil {
				return err
			}
			b.Data = args[0]
			made, body, err := ask[httpapi.LineageLink](c.Context(), e, posting("/v1/lineage/links", b))
			if err != nil {
				return err
			}
			return e.give(body, func() {
				_, from, _ := strings.Cut(made.From, ":")
				e.line("%s was %s %s", args[1], edgeUp(made.Kind), clean(from))
			})
		},
	}
	c.Flags().StringVar(&b.Role, "as", "training", "what the data was for: training or validation")
	words(c, "as", []string{"training", "validation"})
	return c
}

func lineageEvents(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "events EXECUTION", Short: "Show the OpenLineage events of an execution", Args: wants("EXECUTION"),
		Long: "Lists what was told of an execution in the form of OpenLineage; -o json gives the events themselves.",
		RunE: func(c *cobra.Command, args []string) error {
			page, body, err := ask[httpapi.Page[dataset.KeptRunEvent]](c.Context(), e, getting("/v1/lineage/events", query("execution", args[0])))
			if err != nil {
				return err
			}
			return e.give(body, func() {
				rows := make([][]string, len(page.Items))
				for i, x := range page.Items {
					rows[i] = []string{x.EventType, x.RunID, orDash(when(x.SentAt)), x.Refusal}
				}
				e.table([]string{"event", "run", "sent", "not sent because"}, rows)
			})
		},
	}
}

// edgeUp says what an edge is, read from its later end.
func edgeUp(kind string) string {
	switch kind {
	case dataset.EdgeRead:
		return "read"
	case dataset.EdgeWrote:
		return "written by"
	case dataset.EdgeValidated:
		return "checked"
	case dataset.EdgeTrainedOn:
		return "trained on"
	case dataset.EdgeValidatedOn:
		return "validated on"
	case dataset.EdgeFrozenAs:
		return "froze"
	}
	return strings.ToLower(kind)
}

// edgeDown says what an edge is, read from its earlier end.
func edgeDown(kind string) string {
	switch kind {
	case dataset.EdgeRead:
		return "read by"
	case dataset.EdgeWrote:
		return "wrote"
	case dataset.EdgeValidated:
		return "checked by"
	case dataset.EdgeTrainedOn:
		return "trained"
	case dataset.EdgeValidatedOn:
		return "validated"
	case dataset.EdgeFrozenAs:
		return "frozen as"
	}
	return strings.ToLower(kind)
}

// lineage draws a lineage as a tree for each way.
func (e *environment) lineage(l *dataset.Lineage) {
	tree := lineageTree{e: e, nodes: map[string]dataset.LineageNode{}, into: map[string][]dataset.LineageEdge{}, from: map[string][]dataset.LineageEdge{}}
	for _, n := range l.Nodes {
		tree.nodes[n.Key] = n
	}
	for _, x := range l.Edges {
		tree.into[x.To] = append(tree.into[x.To], x)
		tree.from[x.From] = append(tree.from[x.From], x)
	}
	e.line("%s", tree.text(l.Root, true))
	if n := tree.nodes[l.Root]; n.URI != "" {
		e.line("  %s", e.paint.dim(clean(n.URI)))
	}
	for _, way := range []string{dataset.LineageUp, dataset.LineageDown} {
		if l.Direction != dataset.LineageBoth && l.Direction != way {
			continue
		}
		e.line("")
		title, none := "made from", "nothing that the lineage knows"
		if way == dataset.LineageDown {
			title = "what was made from it"
		}
		e.line("%s", e.paint.bold(title))
		tree.up, tree.shown = way == dataset.LineageUp, map[string]bool{l.Root: true}
		if len(tree.next(l.Root)) == 0 {
			e.line("  %s", e.paint.dim(none))
		}
		tree.below(l.Root, "", l.Depth)
	}
	e.line("")
	e.line("%s, %s, up to %s away", plural(len(l.Nodes), "node", "nodes"), plural(len(l.Edges), "edge", "edges"), plural(l.Depth, "edge", "edges"))
	if l.Cut {
		e.line("%s", e.paint.warn("There is more: give a greater --depth or --limit, or one direction."))
	}
}

// lineageTree is a lineage on its way to the screen, one way of it at a time.
type lineageTree struct {
	e          *environment
	nodes      map[string]dataset.LineageNode
	into, from map[string][]dataset.LineageEdge
	up         bool
	shown      map[string]bool // is in the tree already
}

// next are the edges that lead on from a node.
func (t *lineageTree) next(key string) []dataset.LineageEdge {
	if t.up {
		return t.into[key]
	}
	return t.from[key]
}

// below writes what hangs at a node. What was written once is not unfolded again, so that a
// circle ends.
func (t *lineageTree) below(key, indent string, left int) {
	edges := slices.Clone(t.next(key))
	for i, x := range edges {
		branch, more := "├─ ", "│  "
		if i == len(edges)-1 {
			branch, more = "└─ ", "   "
		}
		other, verb := x.To, edgeDown(x.Kind)
		if t.up {
			other, verb = x.From, edgeUp(x.Kind)
		}
		again := t.shown[other]
		tail := ""
		if again && len(t.next(other)) > 0 {
			tail = " …"
		}
		t.e.line("%s%s%s%s", t.e.paint.dim(indent+branch), t.e.paint.accent(verb+" "), t.text(other, !again), tail)
		if !again && left > 1 {
			t.shown[other] = true
			t.below(other, indent+more, left-1)
		}
	}
}

// text is a node on one line: what it is called, and what tells it from others.
func (t *lineageTree) text(key string, whole bool) string {
	n := t.nodes[key]
	name := clean(n.ID)
	var more []string
	switch n.Kind {
	case dataset.NodeExternalVersion: // its id is made of digits, its name is what people know
		name = clean(n.Label) + " " + t.e.paint.dim(name)
	case dataset.NodeExecution, dataset.NodeValidation:
		if n.Label != n.ID {
			more = append(more, clean(n.Label))
		}
	}
	if n.Status != "" {
		more = append(more, clean(n.Status))
	}
	if n.Rows != nil {
		more = append(more, grouped(*n.Rows)+" "+wordFor(*n.Rows, "row", "rows"))
	}
	if n.Digest != "" {
		more = append(more, short(n.Digest))
	}
	if at := moment(n.At); at != "" {
		more = append(more, at)
	}
	if !whole || len(more) == 0 {
		return name
	}
	return name + " " + t.e.paint.dim(strings.Join(more, ", "))
}

func wordFor(n int64, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
