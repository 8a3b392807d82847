package dataset

import (
	"context"

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
	Depth     int           `json:"depth"` // how far it was followed
	Nodes     []LineageNode `json:"nodes"` // the root first, then by distance and key
	Edges     []LineageEdge `json:"edges"` // all between the nodes, by their ends and kind
	Cut       bool          `json:"cut"`   // there is more than the depth or the limits let through
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
	From        string `json:"from"`
	To          string `json:"to"`
	Kind        string `json:"kind"`
	ExecutionID string `json:"execution_id"`
	At          string `json:"at"`
	By          string `json:"by"`
}

// Lineage follows the edges from a node, in one query. What the caller may not know of is
// not there for it: it is neither shown nor counted, and nothing is followed through it.
// Errors: NotFound for what is not in the lineage, or not the caller's to know of; Invalid
// for a query of the wrong form.
func (d *Datasets) Lineage(ctx context.Context, q LineageQuery) (*Lineage, error) {
	return nil, caos.Errorf(caos.Unavailable, "not there yet")
}

// NodesByDigest returns the versions of data whose content, or one of whose files, has a
// digest: dataset versions first, then the latest first, at most 20.
func (d *Datasets) NodesByDigest(tx *db.Tx, digest string) ([]Node, error) {
	return nil, caos.Errorf(caos.Unavailable, "not there yet")
}
