package dataset

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/db"
)

// Directions of a lineage.
const (
	LineageUp   = "up"   // what something was made from
	LineageDown = "down" // what was made from it
	LineageBoth = "both" // each of the two, from where it begins
)

// Sees says which rows a caller may know of, as a condition over three columns whose first
// argument is $next. auth.Visibility is one.
type Sees interface {
	Where(next int, owner, project, classification string) (string, []any)
}

// LineageQuery says where a lineage begins, which way and how far it goes.
type LineageQuery struct {
	Node      string // key of a node, or what names one: an id, a URI, a digest
	Direction string // "" means both
	Depth     int    // edges from the node; 0 means 8, the most is 32
	Limit     int    // nodes; 0 means 500, the most is 2000
	Sees      Sees   // nil sees everything
}

// Lineage is what a node was made from and what was made from it.
type Lineage struct {
	Root      string        `json:"root"` // key of the node
	Direction string        `json:"direction"`
	Depth     int           `json:"depth"`                  // how far it was followed
	Nodes     []LineageNode `json:"nodes" nullable:"false"` // the root first, then by distance and key
	Edges     []LineageEdge `json:"edges" nullable:"false"` // all between the nodes, by their ends and kind
	Cut       bool          `json:"cut"`                    // there is more than the depth or the limits let through
}

// LineageNode is a node of a lineage.
type LineageNode struct {
	Node
	Key      string `json:"key"`      // kind:id
	Distance int    `json:"distance"` // in edges from the root, the shorter way
	Side     string `json:"side"`     // root, up or down; what is both, in a circle, is on the nearer side
}

// LineageEdge is an edge of a lineage, with the keys of its ends.
type LineageEdge struct {
	From        string    `json:"from"`
	To          string    `json:"to"`
	Kind        string    `json:"kind"`
	ExecutionID string    `json:"execution_id"`
	At          time.Time `json:"at"`
	By          string    `json:"by"`
}

// Bounds of a lineage.
const (
	defaultDepth = 8
	maxDepth     = 32
	defaultNodes = 500
	maxNodes     = 2000
	edgesPerNode = 4 // edges that are shown for each node at most, on the average

	// lineagePatience ends a query through a graph that is wider than anybody reads.
	lineagePatience = 10 * time.Second
)

// check fills in what was left out and refuses what is out of bounds.
func (q *LineageQuery) check() error {
	q.Direction = cmp.Or(q.Direction, LineageBoth)
	q.Depth, q.Limit = cmp.Or(q.Depth, defaultDepth), cmp.Or(q.Limit, defaultNodes)
	if q.Depth < 1 || q.Depth > maxDepth {
		return caos.Errorf(caos.Invalid, "a lineage is 1 to %d edges deep", maxDepth).WithField("depth")
	}
	if q.Limit < 1 || q.Limit > maxNodes {
		return caos.Errorf(caos.Invalid, "a lineage has 1 to %d nodes", maxNodes).WithField("limit")
	}
	if q.Node == "" || len(q.Node) > maxURI || !db.Storable(q.Node) {
		return caos.Errorf(caos.Invalid, "it names no node of the lineage").WithField("node").WithHint(nodeHint)
	}
	return caos.CheckWord("direction", q.Direction, []string{LineageUp, LineageDown, LineageBoth})
}

const nodeHint = "a dataset version (DP-DLY-001.train@3), an execution (EXEC-…), a validation (VAL-EXEC-…), a model version (NN-DLY-001@1.0.0), a baseline (BL-…), a URI or a digest"

// NoNode is the one answer for what is not in the lineage and for what the caller may not
// know of.
func NoNode() error {
	return caos.Errorf(caos.NotFound, "the lineage has no such node, or it is not for you").WithField("node").WithHint(nodeHint)
}

// Lineage follows the edges from a node, in one query. What the caller may not know of is
// not there for it: it is neither shown nor counted, and nothing is followed through it. A
// placeholder would tell that there is something, and what it joins.
//
// Errors: NotFound for what is not in the lineage, or not the caller's to know of; Invalid
// for a query of the wrong form; Limited for a graph that is too wide to follow.
func (d *Datasets) Lineage(ctx context.Context, q LineageQuery) (*Lineage, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, lineagePatience)
	defer cancel()
	l, err := d.lineage(limited, q)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return nil, caos.Errorf(caos.Limited, "too much hangs together with this to be followed").WithField("depth").WithHint("ask for one direction and fewer edges")
	}
	return l, err
}

func (d *Datasets) lineage(ctx context.Context, q LineageQuery) (*Lineage, error) {
	root, err := d.rootOf(ctx, q)
	if err != nil {
		return nil, err
	}
	text, args := lineageSQL(q, root)
	got := answer{nodes: map[string]*LineageNode{}, most: q.Depth}
	if err := d.pool(ctx)(text, args, got.row); err != nil {
		return nil, err
	}
	if got.nodes[root] == nil {
		return nil, NoNode()
	}
	return got.lineage(q, root), nil
}

// visibleTo is the condition under which a caller knows of a node, with its arguments.
func visibleTo(s Sees) (string, []any) {
	if s == nil {
		return "1 = 1", nil
	}
	return s.Where(1, "''", "project", "classification") // a node has no owner
}

// rootOf finds the node that a query names: a key, an id, the latest version of something, or
// the latest at a URI or with a digest, among those that the caller may know of.
func (d *Datasets) rootOf(ctx context.Context, q LineageQuery) (string, error) {
	name := q.Node
	if kind, _, found := strings.Cut(name, ":"); found && slices.Contains(NodeKinds(), kind) {
		return name, nil
	}
	if _, rest, found := strings.Cut(name, "/v1/datasets/"); found {
		if id, n, ok := strings.Cut(rest, "/versions/"); ok {
			name = id + "@" + n
		}
	}
	where, args := visibleTo(q.Sees)
	next := "$" + strconv.Itoa(len(args)+1)
	for _, by := range []string{
		"SELECT node FROM lineage_nodes WHERE " + where + " AND id = " + next + " ORDER BY at DESC, node LIMIT 1",
		"SELECT node FROM lineage_nodes WHERE " + where + " AND family = " + next + " ORDER BY at DESC, node DESC LIMIT 1",
		"SELECT node FROM lineage_nodes WHERE " + where + " AND uri = " + next + " ORDER BY at DESC, node DESC LIMIT 1",
		"SELECT n.node FROM lineage_digests g JOIN lineage_nodes n ON n.node = g.node WHERE " + where + " AND g.digest = " + next + " ORDER BY n.at DESC, n.node DESC LIMIT 1",
	} {
		found := ""
		err := d.pool(ctx)(by, append(slices.Clone(args), name), func(scan func(...any) error) error { return scan(&found) })
		if err != nil || found != "" {
			return found, err
		}
	}
	return "", NoNode()
}

// lineageSQL is the query. A walk visits a node once for each number of edges that lead to
// it, which are at most depth+2, so that so many times the limit of rows hold at least the
// limit of nodes, or all; as both databases walk in breadth, these are the nearest. One
// level more than was asked for tells whether there is more.
func lineageSQL(q LineageQuery, root string) (string, []any) {
	where, args := visibleTo(q.Sees)
	args = append(slices.Clone(args), root)
	beyond := q.Depth + 1
	rows := (q.Limit + 1) * (q.Depth + 2)
	walk := func(name, from, to string) string {
		return fmt.Sprintf(`%s(node, depth) AS (
	SELECT node, 0 FROM start
	UNION
	SELECT e.%s, w.depth + 1 FROM %s w JOIN lineage_edges e ON e.%s = w.node JOIN known k ON k.node = e.%s WHERE w.depth < %d
)`, name, to, name, from, to, beyond)
	}
	var walks, arms []string
	if q.Direction != LineageDown {
		walks = append(walks, walk("up", "to_node", "from_node"))
		arms = append(arms, fmt.Sprintf("SELECT node, depth * 2 AS place FROM (SELECT node, depth FROM up LIMIT %d) u", rows))
	}
	if q.Direction != LineageUp {
		walks = append(walks, walk("down", "from_node", "to_node"))
		arms = append(arms, fmt.Sprintf("SELECT node, depth * 2 + 1 AS place FROM (SELECT node, depth FROM down LIMIT %d) d", rows))
	}
	// What a node was made from is little, what was made from it can be without bound: edges are
	// looked up by their later end.
	return `WITH RECURSIVE known AS NOT MATERIALIZED (SELECT node FROM lineage_nodes WHERE ` + where + `),
start AS (SELECT node FROM known WHERE node = $` + strconv.Itoa(len(args)) + `),
` + strings.Join(walks, ",\n") + `,
chosen AS (SELECT node, MIN(place) AS place FROM (` + strings.Join(arms, " UNION ALL ") + `) r GROUP BY node ORDER BY MIN(place), node LIMIT ` + strconv.Itoa(q.Limit+1) + `)
SELECT c.place, n.node, '' AS other, n.kind, n.id, n.label, n.uri, n.digest, n.row_count, n.byte_count, n.status, n.at, n.project, n.classification
FROM chosen c JOIN lineage_nodes n ON n.node = c.node
UNION ALL
SELECT * FROM (SELECT -1 AS place, e.from_node, e.to_node AS other, e.kind, e.execution_id, e.linked_by, '', '', 0, 0, '', e.at, '', ''
FROM chosen b JOIN lineage_edges e ON e.to_node = b.node JOIN chosen a ON a.node = e.from_node LIMIT ` + strconv.Itoa(edgesPerNode*q.Limit+1) + `) x`, args
}

// answer gathers the rows of a lineage.
type answer struct {
	nodes map[string]*LineageNode
	edges []LineageEdge
	most  int // edges from the root
	deep  bool
}

// row takes a node or an edge.
func (a *answer) row(scan func(...any) error) error {
	var place, rows, bytes, at int64
	var node, other, kind, id, label, uri, digest, status, project, classification string
	if err := scan(&place, &node, &other, &kind, &id, &label, &uri, &digest, &rows, &bytes, &status, &at, &project, &classification); err != nil {
		return err
	}
	if place < 0 {
		a.edges = append(a.edges, LineageEdge{From: node, To: other, Kind: kind, ExecutionID: id, By: label, At: db.Moment(at)})
		return nil
	}
	if int(place/2) > a.most {
		a.deep = true
		return nil
	}
	side := LineageUp
	if place%2 == 1 {
		side = LineageDown
	}
	if place < 2 {
		side = "root"
	}
	counted := func(n int64) *int64 {
		if n < 0 {
			return nil
		}
		return &n
	}
	a.nodes[node] = &LineageNode{Key: node, Distance: int(place / 2), Side: side, Node: Node{Kind: kind, ID: id, Label: cmp.Or(label, id), URI: uri, Digest: digest,
		Rows: counted(rows), Bytes: counted(bytes), Status: status, At: db.Moment(at), Project: project, Classification: classification}}
	return nil
}

// lineage puts the rows in order and cuts what is one too many.
func (a *answer) lineage(q LineageQuery, root string) *Lineage {
	l := &Lineage{Root: root, Direction: q.Direction, Depth: q.Depth, Nodes: []LineageNode{}, Edges: []LineageEdge{}, Cut: a.deep}
	for _, n := range a.nodes {
		l.Nodes = append(l.Nodes, *n)
	}
	slices.SortFunc(l.Nodes, func(x, y LineageNode) int {
		return cmp.Or(cmp.Compare(x.Distance, y.Distance), -cmp.Compare(x.Side, y.Side), cmp.Compare(x.Key, y.Key))
	})
	if len(l.Nodes) > q.Limit {
		for _, n := range l.Nodes[q.Limit:] {
			delete(a.nodes, n.Key)
		}
		l.Nodes, l.Cut = l.Nodes[:q.Limit], true
	}
	if len(a.edges) > edgesPerNode*q.Limit {
		a.edges, l.Cut = a.edges[:edgesPerNode*q.Limit], true
	}
	for _, e := range a.edges {
		if a.nodes[e.From] != nil && a.nodes[e.To] != nil {
			l.Edges = append(l.Edges, e)
		}
	}
	slices.SortFunc(l.Edges, func(x, y LineageEdge) int {
		return cmp.Or(cmp.Compare(x.From, y.From), cmp.Compare(x.To, y.To), cmp.Compare(x.Kind, y.Kind))
	})
	return l
}

// Without returns the lineage as it is without some of its nodes, and without what was
// reached through these alone. It returns nil if the root is among them.
func (l *Lineage) Without(hidden map[string]bool) *Lineage {
	if len(hidden) == 0 {
		return l
	}
	if hidden[l.Root] {
		return nil
	}
	next := map[string]map[string][]string{LineageUp: {}, LineageDown: {}}
	for _, e := range l.Edges {
		next[LineageUp][e.To] = append(next[LineageUp][e.To], e.From)
		next[LineageDown][e.From] = append(next[LineageDown][e.From], e.To)
	}
	type place struct {
		distance int
		side     string
	}
	at := map[string]place{l.Root: {0, "root"}}
	for _, side := range []string{LineageUp, LineageDown} {
		if l.Direction != LineageBoth && l.Direction != side {
			continue
		}
		far := map[string]int{l.Root: 0}
		for front := []string{l.Root}; len(front) > 0; front = front[1:] {
			for _, n := range next[side][front[0]] {
				if _, been := far[n]; been || hidden[n] || far[front[0]] == l.Depth {
					continue
				}
				far[n] = far[front[0]] + 1
				front = append(front, n)
				if p, other := at[n]; !other || far[n] < p.distance {
					at[n] = place{far[n], side}
				}
			}
		}
	}
	out := &Lineage{Root: l.Root, Direction: l.Direction, Depth: l.Depth, Nodes: []LineageNode{}, Edges: []LineageEdge{}, Cut: l.Cut}
	for _, n := range l.Nodes {
		if p, reached := at[n.Key]; reached {
			n.Distance, n.Side = p.distance, p.side
			out.Nodes = append(out.Nodes, n)
		}
	}
	slices.SortStableFunc(out.Nodes, func(x, y LineageNode) int {
		return cmp.Or(cmp.Compare(x.Distance, y.Distance), -cmp.Compare(x.Side, y.Side), cmp.Compare(x.Key, y.Key))
	})
	for _, e := range l.Edges {
		_, from := at[e.From]
		_, to := at[e.To]
		if from && to {
			out.Edges = append(out.Edges, e)
		}
	}
	return out
}

// NodesByDigest returns the versions of data whose content, or one of whose files, has a
// digest: the latest first, at most 20.
func (d *Datasets) NodesByDigest(tx *db.Tx, digest string) ([]Node, error) {
	return nodesIn(within(tx), `lineage_digests g JOIN lineage_nodes n ON n.node = g.node WHERE g.digest = $1`, digest)
}

// NodeIn returns a node by its key, or a NotFound error.
func (d *Datasets) NodeIn(tx *db.Tx, key string) (*Node, error) {
	found, err := nodesIn(within(tx), `lineage_nodes n WHERE n.node = $1`, key)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, NoNode()
	}
	return &found[0], nil
}

func nodesIn(q query, from string, args ...any) (out []Node, err error) {
	err = q(`SELECT n.kind, n.id, n.label, n.uri, n.digest, n.row_count, n.byte_count, n.status, n.at, n.project, n.classification FROM `+from+` ORDER BY n.at DESC, n.node DESC LIMIT 20`,
		args, func(scan func(...any) error) error {
			var n Node
			var rows, bytes, at int64
			if err := scan(&n.Kind, &n.ID, &n.Label, &n.URI, &n.Digest, &rows, &bytes, &n.Status, &at, &n.Project, &n.Classification); err != nil {
				return err
			}
			n.At = db.Moment(at)
			if rows >= 0 {
				n.Rows = &rows
			}
			if bytes >= 0 {
				n.Bytes = &bytes
			}
			out = append(out, n)
			return nil
		})
	return out, err
}
