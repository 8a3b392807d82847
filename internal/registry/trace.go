package registry

import (
	"context"
	"slices"
	"strconv"

	"caos"
)

// Bounds of a trace.
const (
	maxTraceDepth = 8
	maxTraceNodes = 1000
	maxTraceLinks = 4000
)

// TraceNode is something that a trace reached.
type TraceNode struct {
	ID       string `json:"id"`
	Type     string `json:"type"`     // as the first link that reached it says
	Distance int    `json:"distance"` // in links from where the trace began
}

// Trace is what hangs together with something by traceability links.
type Trace struct {
	Root  string      `json:"root"`
	Depth int         `json:"depth"` // how far it was followed
	Nodes []TraceNode `json:"nodes"` // the root first, then by distance and id
	Links []*Link     `json:"links"` // each once, by id
	More  bool        `json:"more"`  // something lies beyond the depth or the bounds
}

// TraceQuery says where a trace begins, how far it goes (0 means 3, the most is 8) and what
// the caller may see; links that it may not see are not followed. A nil Sees sees all.
type TraceQuery struct {
	ID    string
	Depth int
	Sees  func(project, classification string) bool
}

// Trace follows links in both directions, breadth first, up to 1000 things. Errors: Invalid
// for an id of the wrong form or a depth beyond 8. What has no links is a trace of itself.
func (r *Registry) Trace(ctx context.Context, q TraceQuery) (*Trace, error) {
	if err := caos.CheckID("resource", "id", q.ID); err != nil {
		return nil, err
	}
	if q.Depth == 0 {
		q.Depth = 3
	}
	if q.Depth < 1 || q.Depth > maxTraceDepth {
		return nil, caos.Errorf(caos.Invalid, "a trace is 1 to %d links deep", maxTraceDepth).WithField("depth")
	}
	w := walk{q: q, seen: map[string]int{q.ID: 0}, links: map[string]*Link{}, kinds: map[string]string{}}
	front := []string{q.ID}
	for w.depth = 1; w.depth <= q.Depth && len(front) > 0; w.depth++ {
		var err error
		if front, err = w.step(r.pool(ctx), front); err != nil {
			return nil, err
		}
	}
	// One look further finds the links between the last things, and whether the depth cut
	// something off.
	if len(front) > 0 && !w.more {
		beyond, err := w.step(r.pool(ctx), front)
		if err != nil {
			return nil, err
		}
		w.more = w.more || len(beyond) > 0
	}
	return w.result(), nil
}

// walk is a trace in the making.
type walk struct {
	q     TraceQuery
	depth int
	seen  map[string]int // distance by id
	kinds map[string]string
	links map[string]*Link
	more  bool
}

// step follows all links of the things in front and returns the new things behind them.
func (w *walk) step(q query, front []string) ([]string, error) {
	var next []string
	for _, column := range []string{"source_id", "target_id"} {
		err := byID(q, `SELECT `+linkColumns+` FROM links WHERE `+column+` IN {{ids}} ORDER BY link_id LIMIT `+strconv.Itoa(maxTraceLinks+1), front, func(scan func(...any) error) error {
			l, err := scanLink(scan)
			if err != nil || w.q.Sees != nil && !w.q.Sees(l.Project, l.Classification) {
				return err
			}
			if w.links[l.LinkID] == nil && len(w.links) == maxTraceLinks {
				w.more = true
				return nil
			}
			w.links[l.LinkID] = l
			for id, kind := range map[string]string{l.SourceID: l.SourceType, l.TargetID: l.TargetType} {
				if w.kinds[id] == "" {
					w.kinds[id] = kind
				}
				if _, there := w.seen[id]; !there {
					w.seen[id] = w.depth
					next = append(next, id)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(next)
	return next, nil
}

// result cuts what lies beyond the depth and the bounds.
func (w *walk) result() *Trace {
	t := &Trace{Root: w.q.ID, Depth: w.q.Depth, Nodes: []TraceNode{}, Links: []*Link{}, More: w.more}
	for id, at := range w.seen {
		if at <= w.q.Depth {
			t.Nodes = append(t.Nodes, TraceNode{ID: id, Type: w.kinds[id], Distance: at})
		}
	}
	slices.SortFunc(t.Nodes, func(a, b TraceNode) int {
		if a.Distance != b.Distance {
			return a.Distance - b.Distance
		}
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	if len(t.Nodes) > maxTraceNodes {
		t.Nodes, t.More = t.Nodes[:maxTraceNodes], true
	}
	kept := map[string]bool{}
	for _, n := range t.Nodes {
		kept[n.ID] = true
	}
	for _, l := range w.links {
		if kept[l.SourceID] && kept[l.TargetID] {
			t.Links = append(t.Links, l)
		}
	}
	slices.SortFunc(t.Links, func(a, b *Link) int {
		if a.LinkID < b.LinkID {
			return -1
		}
		return 1
	})
	return t
}
