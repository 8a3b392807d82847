package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/httpapi"
	"caos/internal/registry"
)

func newLink(e *environment) *cobra.Command {
	return parent("link", "Keep traceability links, and follow them", linkAdd(e), linkList(e), linkShow(e), linkTrace(e), linkRemove(e))
}

func linkPath(id string) string { return "/v1/links/" + escape(id) }

// relationWords are the relations in words, from the source of a link and from its target. A
// programme's matrix goes from what was there first to what came of it: a requirement IMPL a
// process reads "the process implements the requirement".
func relationWords(r registry.Relation) (from, to string) {
	switch r {
	case registry.Derives:
		return "is the origin of", "derived from"
	case registry.Refines:
		return "refined by", "refines"
	case registry.Implements:
		return "implemented by", "implements"
	case registry.Validates:
		return "validated by", "validates"
	case registry.Depends:
		return "needed by", "depends on"
	case registry.Parent:
		return "parent of", "child of"
	case registry.References:
		return "referenced by", "references"
	case registry.Supersedes:
		return "superseded by", "supersedes"
	}
	return string(r), string(r)
}

func relationHelp() string {
	var parts []string
	for _, r := range registry.Relations() {
		from, _ := relationWords(registry.Relation(r))
		parts = append(parts, r+" "+from)
	}
	return strings.Join(parts, ", ")
}

func linkAdd(e *environment) *cobra.Command {
	var b httpapi.LinkBody
	c := &cobra.Command{
		Use: "add SOURCE RELATION TARGET", Short: "Make a traceability link, or change what is said of it", Args: wants("SOURCE", "RELATION", "TARGET"),
		Long: "Makes a link from one thing to another that came of it: " + relationHelp() + ".\n\nA link between a thing of type Requirement and a model, a version (MODEL@VERSION) or a baseline " +
			"makes that a requirement which a freeze has to show verified. Types are guessed from the ids where they can be.",
		Example: "  caos link add 95-00-03-REQ-001 IMPL NN-DLY-001@1.0.0 --verified-on 2026-11-20",
		RunE: func(c *cobra.Command, args []string) error {
			b.SourceID, b.Relation, b.TargetID = args[0], strings.ToUpper(args[1]), args[2]
			if err := oneOf("RELATION", b.Relation, registry.Relations()...); err != nil {
				return caos.AsError(err).WithHint("one of %s", relationHelp())
			}
			for _, end := range []struct {
				flag, id string
				kind     *string
			}{{"source-type", b.SourceID, &b.SourceType}, {"target-type", b.TargetID, &b.TargetType}} {
				if *end.kind == "" {
					*end.kind = thing(end.id)
				}
				if *end.kind == "" {
					return usage("what %s is cannot be told from its id", end.id).WithField(end.flag).WithHint("give --%s, such as Requirement, Design, Test or Document", end.flag)
				}
			}
			l, body, err := ask[registry.Link](c.Context(), e, posting("/v1/links", b))
			if err != nil {
				return err
			}
			return e.give(body, func() { e.link(l) })
		},
	}
	f := c.Flags()
	f.StringVar(&b.SourceType, "source-type", "", "what the source is, such as Model or Requirement")
	f.StringVar(&b.TargetType, "target-type", "", "what the target is")
	f.StringVar(&b.Rationale, "rationale", "", "why")
	f.StringVar(&b.Status, "status", "", "where it stands; ACTIVE if left out")
	f.StringVar(&b.VerifiedOn, "verified-on", "", "day on which it was, as YYYY-MM-DD")
	f.StringVar(&b.VerifiedBy, "verified-by", "", "person, team or role")
	f.StringVar(&b.Project, "project", "", "that of the model at an end, or yours, if left out")
	f.StringVar(&b.Classification, "classification", "", "that of the model at an end if left out")
	words(c, "classification", caos.Classifications())
	c.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 1 {
			return registry.Relations(), cobra.ShellCompDirectiveNoFileComp
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c
}

// thing tells from an id what it names, "" if it cannot be told.
func thing(id string) string {
	model, _, _ := strings.Cut(id, "@")
	switch {
	case caos.CheckID("model", "", model) == nil:
		return "Model"
	case strings.HasPrefix(id, "BL-"):
		return "Baseline"
	case strings.HasPrefix(id, "EVID-"):
		return "Evidence"
	case strings.Contains(id, "-REQ-"):
		return "Requirement"
	}
	return ""
}

func (e *environment) link(l *registry.Link) {
	from, _ := relationWords(l.Relation)
	e.pairs(pair{"link", l.LinkID}, pair{"from", l.SourceID + " (" + l.SourceType + ")"}, pair{"relation", string(l.Relation) + ", " + from},
		pair{"to", l.TargetID + " (" + l.TargetType + ")"}, pair{"status", l.Status}, pair{"rationale", l.Rationale}, pair{"verified", byWhom(l.VerifiedOn, l.VerifiedBy)},
		pair{"stated by", l.Source}, pair{"project", l.Project}, pair{"classification", l.Classification}, pair{"made", byWhom(moment(l.CreatedAt), l.CreatedBy)})
}

func linkList(e *environment) *cobra.Command {
	l := listed[registry.Link]{path: "/v1/links", head: []string{"source", "relation", "target", "target is", "status", "link"}, drop: []string{"target is", "status"}, row: func(x registry.Link) []string {
		return []string{x.SourceID, string(x.Relation), x.TargetID, x.TargetType, x.Status, x.LinkID}
	}}
	var end, source, target, relation string
	c := &cobra.Command{
		Use: "list", Short: "List traceability links, latest first", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l.query = query("end", end, "source_id", source, "target_id", target, "relation", strings.ToUpper(relation))
			return l.show(c.Context(), e)
		},
	}
	l.page.bind(c)
	f := c.Flags()
	f.StringVar(&end, "of", "", "with this at either end")
	f.StringVar(&source, "source", "", "from this")
	f.StringVar(&target, "target", "", "to this")
	f.StringVar(&relation, "relation", "", "of the kind "+strings.Join(registry.Relations(), ", "))
	words(c, "relation", registry.Relations())
	return c
}

func linkShow(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "show LINK", Short: "Show a traceability link", Args: wants("LINK"),
		RunE: func(c *cobra.Command, args []string) error {
			l, body, err := ask[registry.Link](c.Context(), e, getting(linkPath(args[0]), nil))
			if err != nil {
				return err
			}
			return e.give(body, func() { e.link(l) })
		},
	}
}

func linkRemove(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "remove LINK", Short: "Remove a traceability link", Args: wants("LINK"), Long: "Removes a link. What it said stays in the audit log.",
		RunE: func(c *cobra.Command, args []string) error {
			_, body, err := ask[httpapi.Done](c.Context(), e, removing(linkPath(args[0])))
			if err != nil {
				return err
			}
			return e.give(body, func() { e.line("%s is removed", args[0]) })
		},
	}
}

func linkTrace(e *environment) *cobra.Command {
	var depth int
	c := &cobra.Command{
		Use: "trace THING", Short: "Show what hangs together with something, as a tree", Args: wants("THING"),
		Long:    "Follows links in both directions. What is in the tree already is not unfolded again, which … shows.",
		Example: "  caos link trace NN-DLY-001@1.0.0 --depth 4",
		RunE: func(c *cobra.Command, args []string) error {
			t, body, err := ask[registry.Trace](c.Context(), e, getting("/v1/trace/"+escape(args[0]), query("depth", strconv.Itoa(depth))))
			if err != nil {
				return err
			}
			return e.give(body, func() { e.trace(t) })
		},
	}
	c.Flags().IntVar(&depth, "depth", 3, "how many links away, 1 to 8")
	return c
}

// trace writes a trace as a tree from its root.
func (e *environment) trace(t *registry.Trace) {
	if len(t.Links) == 0 {
		e.line("%s has no links", clean(t.Root))
		return
	}
	tree := tracing{e: e, nodes: map[string]registry.TraceNode{}, links: map[string][]*registry.Link{}, shown: map[string]bool{t.Root: true}}
	for _, n := range t.Nodes {
		tree.nodes[n.ID] = n
	}
	for _, l := range t.Links {
		tree.links[l.SourceID] = append(tree.links[l.SourceID], l)
		tree.links[l.TargetID] = append(tree.links[l.TargetID], l)
	}
	e.line("%s %s", e.paint.bold(clean(t.Root)), e.paint.dim(clean(tree.nodes[t.Root].Type)))
	tree.below(t.Root, "", "")
	e.line("")
	e.line("%s, %s, up to %s away", plural(len(t.Nodes)-1, "thing", "things"), plural(len(t.Links), "link", "links"), plural(t.Depth, "link", "links"))
	if t.More {
		e.line("%s", e.paint.warn("There is more: give a greater --depth, or trace from what is at the edge."))
	}
}

// tracing is a tree on its way to the screen.
type tracing struct {
	e     *environment
	nodes map[string]registry.TraceNode
	links map[string][]*registry.Link
	shown map[string]bool
}

// below writes what hangs at id, except by the link that led there. Only what lies farther
// from the root is unfolded, so the tree ends.
func (t *tracing) below(id, indent, by string) {
	links := slices.DeleteFunc(slices.Clone(t.links[id]), func(l *registry.Link) bool { return l.LinkID == by })
	links = slices.DeleteFunc(links, func(l *registry.Link) bool {
		other, known := t.nodes[otherEnd(l, id)]
		return !known || other.Distance < t.nodes[id].Distance // the link shows up there
	})
	slices.SortFunc(links, func(a, b *registry.Link) int {
		return strings.Compare(string(a.Relation)+otherEnd(a, id)+a.LinkID, string(b.Relation)+otherEnd(b, id)+b.LinkID)
	})
	for i, l := range links {
		other := otherEnd(l, id)
		branch, more := "├─ ", "│  "
		if i == len(links)-1 {
			branch, more = "└─ ", "   "
		}
		from, to := relationWords(l.Relation)
		if l.SourceID != id {
			from = to
		}
		tail := ""
		unfold := !t.shown[other] && t.nodes[other].Distance > t.nodes[id].Distance
		if !unfold && len(t.links[other]) > 1 {
			tail = " …"
		}
		t.e.line("%s%s%s %s%s", t.e.paint.dim(indent+branch), t.e.paint.accent(from+" "), clean(other), t.e.paint.dim(clean(t.nodes[other].Type)), tail)
		if unfold {
			t.shown[other] = true
			t.below(other, indent+more, l.LinkID)
		}
	}
}

func otherEnd(l *registry.Link, id string) string {
	if l.SourceID == id {
		return l.TargetID
	}
	return l.SourceID
}
