package dataset

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/event"
)

// loom is a dataset store with all that it stands on. Its clock moves a millisecond with
// each look.
type loom struct {
	*Datasets
	t      testing.TB
	d      *db.DB
	log    *auditlog.Log
	events *event.Outbox
	clock  atomic.Int64
}

func openLoom(t testing.TB, d *db.DB, opt event.Options) *loom {
	t.Helper()
	k := &loom{t: t, d: d}
	k.clock.Store(time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC).UnixMicro())
	now := func() time.Time { return time.UnixMicro(k.clock.Add(1000)) }
	stamps := caos.NewStamper(now, time.Time{}, 7, 9)
	quiet := slog.New(slog.DiscardHandler)
	var err error
	k.log, err = auditlog.Open(context.Background(), auditlog.Options{DB: d, Origin: "log.example/caos", Stamps: stamps, Now: now, Log: quiet, PublishEvery: time.Hour})
	k.ok(err)
	opt.DB, opt.Stamps, opt.Now, opt.Log = d, stamps, now, quiet
	if opt.Poll == 0 {
		opt.Poll = time.Hour
	}
	k.events, err = event.Open(opt)
	k.ok(err)
	t.Cleanup(func() {
		k.events.Close()
		if err := k.log.Close(); err != nil {
			t.Error(err)
		}
	})
	k.Datasets, err = Open(Options{DB: d, Log: k.log, Events: k.events, Stamps: stamps, Now: now})
	k.ok(err)
	return k
}

func (k *loom) ok(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

func (k *loom) do(fn func(tx *db.Tx) error) error { return k.d.Update(context.Background(), fn) }

func (k *loom) link(edges ...Edge) {
	k.t.Helper()
	k.ok(k.do(func(tx *db.Tx) error { return k.Link(tx, edges, By{Actor: "ada"}) }))
}

func (k *loom) records() int {
	n := 0
	k.ok(k.d.QueryRow(context.Background(), `SELECT COUNT(*) FROM audit_records`).Scan(&n))
	return n
}

// may sees some projects and classifications, as auth.Visibility does.
type may struct{ projects, classifications []string }

func (m may) Where(next int, _, project, classification string) (string, []any) {
	var args []any
	list := func(words []string) string {
		marks := []string{"''"}
		for _, w := range words {
			args = append(args, w)
			marks = append(marks, fmt.Sprintf("$%d", next+len(args)-1))
		}
		return strings.Join(marks, ", ")
	}
	where := classification + " IN (" + list(m.classifications) + ")"
	return where + " AND " + project + " IN (" + list(m.projects) + ")", args
}

func (m may) sees(n Node) bool {
	return slices.Contains(m.projects, n.Project) && slices.Contains(m.classifications, n.Classification)
}

func data(id string) Node { return Node{Kind: NodeDatasetVersion, ID: id}.In("delay", "Internal") }

func run(id string) Node {
	return ExecutionNode(id, "", "SUCCESS", time.Time{}).In("delay", "Internal")
}

func read(d, r Node) Edge { return Edge{From: d, To: r, Kind: EdgeRead, ExecutionID: r.ID} }

func wrote(r, d Node) Edge { return Edge{From: r, To: d, Kind: EdgeWrote, ExecutionID: r.ID} }

func keys(l *Lineage) (out []string) {
	for _, n := range l.Nodes {
		out = append(out, n.Key)
	}
	return out
}

// web is a random graph in memory: the oracle.
type web struct {
	nodes []Node
	edges []Edge
}

// drawWeb draws a graph of the kinds that there are, with circles.
func drawWeb(t *rapid.T, prefix string) web {
	var w web
	node := func(kind, id string) Node {
		return Node{Kind: kind, ID: prefix + id}.In(rapid.SampledFrom([]string{"delay", "delay", "fuel"}).Draw(t, "project"),
			rapid.SampledFrom([]string{"Public", "Internal", "Internal", "Restricted"}).Draw(t, "classification"))
	}
	of := map[string][]Node{}
	for i, kind := range NodeKinds() {
		for n := range rapid.IntRange(1, 6).Draw(t, kind) {
			of[kind] = append(of[kind], node(kind, fmt.Sprintf("%d-%d", i, n)))
		}
		w.nodes = append(w.nodes, of[kind]...)
	}
	for range rapid.IntRange(0, 40).Draw(t, "edges") {
		kind := rapid.SampledFrom(EdgeKinds()).Draw(t, "kind")
		from, to := edgeEnds(kind)
		pick := func(kinds []string) Node {
			return rapid.SampledFrom(of[rapid.SampledFrom(kinds).Draw(t, "end")]).Draw(t, "node")
		}
		w.edges = append(w.edges, Edge{From: pick(from), To: pick(to), Kind: kind})
	}
	return w
}

// reach is what can be reached one way within a number of edges, and how far it is.
func (w web) reach(root Node, up bool, depth int, m may) map[string]int {
	known := map[string]bool{}
	for _, n := range w.nodes {
		known[n.Key()] = m.sees(n)
	}
	at := map[string]int{root.Key(): 0}
	for front := []string{root.Key()}; len(front) > 0; front = front[1:] {
		for _, e := range w.edges {
			from, to := e.From.Key(), e.To.Key()
			if up {
				from, to = to, from
			}
			if _, been := at[to]; from == front[0] && !been && known[to] && at[from] < depth {
				at[to] = at[from] + 1
				front = append(front, to)
			}
		}
	}
	return at
}

func TestLineageIsWhatAGraphSays(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		k, round := openLoom(t, d, event.Options{}), 0
		rapid.Check(t, func(t *rapid.T) {
			round++
			w := drawWeb(t, fmt.Sprintf("r%d-", round))
			if len(w.edges) == 0 {
				return
			}
			if err := k.do(func(tx *db.Tx) error { return k.Link(tx, w.edges, By{Actor: "ada"}) }); err != nil {
				t.Fatal(err)
			}
			linked := map[string]bool{}
			for _, e := range w.edges {
				linked[e.From.Key()], linked[e.To.Key()] = true, true
			}
			m := may{projects: rapid.SampledFrom([][]string{{"delay"}, {"delay", "fuel"}}).Draw(t, "projects"),
				classifications: rapid.SampledFrom([][]string{{"Public", "Internal"}, {"Public", "Internal", "Restricted"}}).Draw(t, "cleared")}
			for range 4 {
				root := rapid.SampledFrom(w.nodes).Draw(t, "root")
				q := LineageQuery{Node: root.Key(), Depth: rapid.IntRange(1, 6).Draw(t, "depth"), Limit: rapid.IntRange(1, 40).Draw(t, "limit"), Sees: m,
					Direction: rapid.SampledFrom([]string{LineageUp, LineageDown, LineageBoth}).Draw(t, "direction")}
				l, err := k.Lineage(context.Background(), q)
				if !linked[root.Key()] || !m.sees(root) {
					if caos.KindOf(err) != caos.NotFound {
						t.Fatalf("%s, which is not to be known of: %v", root.Key(), err)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				w.compare(t, l, q, root, m)
			}
		})
	})
}

// compare holds an answer against the graph.
func (w web) compare(t *rapid.T, l *Lineage, q LineageQuery, root Node, m may) {
	want, side := map[string]int{}, map[string]string{root.Key(): "root"}
	more := false
	for _, up := range []bool{true, false} {
		if q.Direction == LineageUp && !up || q.Direction == LineageDown && up {
			continue
		}
		for key, far := range w.reach(root, up, q.Depth+1, m) {
			if far > q.Depth {
				if _, near := want[key]; !near {
					more = true
				}
				continue
			}
			if d, there := want[key]; !there || far < d {
				want[key] = far
				if far > 0 {
					side[key] = map[bool]string{true: LineageUp, false: LineageDown}[up]
				}
			}
		}
	}
	shown := map[string]int{}
	deepest := 0
	for _, n := range l.Nodes {
		shown[n.Key] = n.Distance
		deepest = max(deepest, n.Distance)
		if d, there := want[n.Key]; !there || d != n.Distance || n.Side != side[n.Key] {
			t.Fatalf("%s %s at %d, the graph says %d %s (%v) for %+v", n.Key, n.Side, n.Distance, d, side[n.Key], there, q)
		}
	}
	if len(shown) != min(len(want), q.Limit) {
		t.Fatalf("%d nodes, the graph has %d for %+v", len(shown), len(want), q)
	}
	for key, far := range want { // the limit cuts the farthest
		if _, there := shown[key]; !there && far < deepest {
			t.Fatalf("%s at %d is missing, but something at %d is there", key, far, deepest)
		}
	}
	cut := len(want) > q.Limit || len(l.Edges) == edgesPerNode*q.Limit
	if l.Cut != (cut || more) {
		t.Fatalf("cut is %v; %d nodes of %d, more %v", l.Cut, len(want), q.Limit, more)
	}
	edges := map[edgeKey]bool{}
	for _, e := range w.edges {
		_, from := shown[e.From.Key()]
		_, to := shown[e.To.Key()]
		if from && to {
			edges[edgeKey{e.From.Key(), e.To.Key(), e.Kind}] = true
		}
	}
	if len(l.Edges) != len(edges) && len(l.Edges) < edgesPerNode*q.Limit && !cut {
		t.Fatalf("%d edges, the graph has %d", len(l.Edges), len(edges))
	}
	for _, e := range l.Edges {
		if !edges[edgeKey{e.From, e.To, e.Kind}] {
			t.Fatalf("%v is no edge between what is shown", e)
		}
	}
}

func TestLineageHidesWithoutATrace(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		k := openLoom(t, d, event.Options{})
		secret := run("EXEC-2").In("delay", "Restricted")
		k.link(read(data("A@1"), run("EXEC-1")), wrote(run("EXEC-1"), data("B@1")), read(data("B@1"), secret), wrote(secret, data("C@1")))
		m := may{projects: []string{"delay"}, classifications: []string{"Public", "Internal"}}
		l, err := k.Lineage(context.Background(), LineageQuery{Node: "B@1", Sees: m})
		k.ok(err)
		if got, want := fmt.Sprint(keys(l), len(l.Edges), l.Cut), "[dataset-version:B@1 execution:EXEC-1 dataset-version:A@1] 2 false"; got != want {
			t.Errorf("seen through: %s", got)
		}
		for _, name := range []string{"EXEC-2", "execution:EXEC-2", "execution:EXEC-9", "EXEC-9"} {
			_, err := k.Lineage(context.Background(), LineageQuery{Node: name, Sees: m})
			if caos.KindOf(err) != caos.NotFound || err.Error() != NoNode().Error() {
				t.Errorf("%s: %v", name, err)
			}
		}
		if l, err = k.Lineage(context.Background(), LineageQuery{Node: "B@1"}); err != nil || len(l.Nodes) != 5 {
			t.Errorf("who sees everything: %v %v", l, err)
		}
		hidden := l.Without(map[string]bool{secret.Key(): true})
		if got := fmt.Sprint(keys(hidden), len(hidden.Edges)); got != "[dataset-version:B@1 execution:EXEC-1 dataset-version:A@1] 2" {
			t.Errorf("without the execution: %s", got)
		}
		if l.Without(map[string]bool{"dataset-version:B@1": true}) != nil {
			t.Error("the root is hidden, and yet there is a lineage")
		}
	})
}

func TestLinkAgain(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		k := openLoom(t, d, event.Options{})
		rows := int64(3)
		full := data("B@1")
		full.URI, full.Digest, full.Rows, full.Label, full.Files = "file:///data/b.parquet", "SHA256:bb", &rows, "B", []string{"SHA256:f1", "SHA256:f2"}
		k.link(wrote(run("EXEC-1"), data("B@1")))
		k.link(wrote(run("EXEC-1").In("delay", "Restricted"), full))
		after := k.records()
		k.link(wrote(run("EXEC-1"), full), wrote(run("EXEC-1"), full))
		if got := k.records(); got != after {
			t.Errorf("what is there already was recorded again: %d, then %d", after, got)
		}
		if after != 1 {
			t.Errorf("%d records of one new edge", after)
		}
		for _, name := range []string{"B@1", "B", "dataset-version:B@1", "file:///data/b.parquet", "SHA256:bb", "SHA256:f2", "https://caos.example/v1/datasets/B/versions/1"} {
			l, err := k.Lineage(context.Background(), LineageQuery{Node: name})
			k.ok(err)
			if n := l.Nodes[0]; l.Root != "dataset-version:B@1" || n.Label != "B" || *n.Rows != 3 || n.Bytes != nil || len(l.Edges) != 1 || l.Edges[0].By != "ada" {
				t.Errorf("%s: %+v", name, l)
			}
			if l.Nodes[1].Classification != "Restricted" {
				t.Errorf("a classification did not rise: %+v", l.Nodes[1])
			}
		}
		k.ok(k.do(func(tx *db.Tx) error {
			found, err := k.NodesByDigest(tx, "SHA256:f1")
			if err == nil && (len(found) != 1 || found[0].ID != "B@1") {
				t.Errorf("by a file's digest: %v", found)
			}
			return err
		}))
	})
}

func TestLinkRefuses(t *testing.T) {
	k := openLoom(t, dbtest.Open(t, db.SQLite), event.Options{})
	for name, e := range map[string]Edge{
		"against the flow":  {From: run("EXEC-1"), To: data("A@1"), Kind: EdgeRead},
		"no such kind":      {From: run("EXEC-1"), To: data("A@1"), Kind: "MADE"},
		"no such node":      {From: Node{Kind: "table", ID: "x"}, To: run("EXEC-1"), Kind: EdgeRead},
		"an id with spaces": {From: data("a b"), To: run("EXEC-1"), Kind: EdgeRead},
		"a long id":         {From: data(strings.Repeat("a", 251)), To: run("EXEC-1"), Kind: EdgeRead},
	} {
		err := k.do(func(tx *db.Tx) error { return k.Link(tx, []Edge{e}, By{Actor: "ada"}) })
		if caos.KindOf(err) != caos.Invalid || caos.AsError(err).Field == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if k.records() != 0 {
		t.Error("a refusal left something behind")
	}
	for name, q := range map[string]LineageQuery{
		"depth": {Node: "A@1", Depth: 33}, "limit": {Node: "A@1", Limit: 2001}, "direction": {Node: "A@1", Direction: "sideways"}, "node": {Node: "\x00"},
	} {
		if _, err := k.Lineage(context.Background(), q); caos.KindOf(err) != caos.Invalid || caos.AsError(err).Field != name {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLineageOfAWideGraph follows a version that 20,000 runs read, and a chain that comes
// back to itself.
func TestLineageOfAWideGraph(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		k := openLoom(t, d, event.Options{})
		for i := range 20 {
			var edges []Edge
			for j := range 1000 {
				edges = append(edges, read(data("A@1"), run(fmt.Sprintf("EXEC-%d-%d", i, j))))
			}
			k.link(edges...)
		}
		var chain []Edge
		for i := range 500 {
			r := run(fmt.Sprintf("EXEC-c%d", i))
			chain = append(chain, read(data(fmt.Sprintf("C@%d", i)), r), wrote(r, data(fmt.Sprintf("C@%d", (i+1)%500))))
		}
		k.link(chain...)
		began := time.Now()
		l, err := k.Lineage(context.Background(), LineageQuery{Node: "A@1", Depth: 32, Limit: 2000})
		k.ok(err)
		t.Logf("2,000 of 20,001 nodes in %s", time.Since(began))
		if len(l.Nodes) != 2000 || !l.Cut || len(l.Edges) != 1999 {
			t.Errorf("%d nodes, %d edges, cut %v", len(l.Nodes), len(l.Edges), l.Cut)
		}
		l, err = k.Lineage(context.Background(), LineageQuery{Node: "C@0", Depth: 32, Direction: LineageDown})
		k.ok(err)
		if len(l.Nodes) != 33 || !l.Cut || l.Nodes[32].Distance != 32 {
			t.Errorf("a chain: %d nodes, cut %v", len(l.Nodes), l.Cut)
		}
	})
}
