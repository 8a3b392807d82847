package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"caos/internal/dataset"
	"caos/internal/db"
)

// flow is the lineage of a small pipeline: a file is read by a run that writes a dataset,
// which a run of another classification reads on.
func (w *world) flow() {
	w.t.Helper()
	rows := int64(966406)
	digest := func(c string) string { return "SHA256:" + strings.Repeat(c, 64) }
	source := dataset.Node{Kind: dataset.NodeExternalVersion, ID: "ext:0123456789ab@1", Label: "flights<3m>.parquet", URI: "file:///data/flights-3m.parquet", Digest: digest("e")}.In("", "Internal")
	run := dataset.ExecutionNode("EXEC-DP-DLY-001-20261123T100000.000001Z", "DP-DLY-001 1.0", "SUCCESS", w.now()).In("", "Internal")
	train := dataset.Node{Kind: dataset.NodeDatasetVersion, ID: "DP-DLY-001.train@3", URI: "file:///data/train", Digest: digest("a"), Rows: &rows}.In("", "Internal")
	secret := dataset.ExecutionNode("EXEC-DP-SEC-001-20261123T100000.000001Z", "DP-SEC-001 1.0", "SUCCESS", w.now()).In("P1", "Internal")
	kept := dataset.LineageRun{Namespace: "https://caos.test", ExecutionID: run.ID, Job: "DP-DLY-001"}
	err := w.db.Update(context.Background(), func(tx *db.Tx) error {
		if err := w.datasets.Link(tx, []dataset.Edge{{From: source, To: run, Kind: dataset.EdgeRead}, {From: run, To: train, Kind: dataset.EdgeWrote}, {From: train, To: secret, Kind: dataset.EdgeRead}},
			dataset.By{Actor: "mo"}); err != nil {
			return err
		}
		return w.datasets.RecordRunEvent(tx, kept.Complete(w.now()), "", "Internal")
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func lineageOf(node, more string) string { return "/v1/lineage?node=" + url.QueryEscape(node) + more }

func TestLineage(t *testing.T) {
	w := newWorld(t)
	w.flow()
	w.newVersion("NN-DLY-001", "")
	links := map[string]any{"data": "DP-DLY-001.train@3", "model_id": "NN-DLY-001", "model_version": "1.0.0", "role": "training"}
	var made LineageLink
	a := w.do("dana", "POST", "/v1/lineage/links", links).wants(t, 201)
	if err := json.Unmarshal(a.body, &made); err != nil || made.Kind != "TRAINED_ON" || made.To != "model-version:NN-DLY-001@1.0.0" || made.VersionState != "REGISTERED" {
		t.Errorf("%s %v", a.body, err)
	}
	w.do("owen", "POST", "/v1/lineage/links", with(links, "role", "validation", "data", "file:///data/train")).wants(t, 201)

	var l dataset.Lineage
	for _, name := range []string{"DP-DLY-001.train@3", "DP-DLY-001.train", "file:///data/train", "dataset-version:DP-DLY-001.train@3", "SHA256:" + strings.Repeat("a", 64)} {
		a = w.do("aud", "GET", lineageOf(name, ""), nil).wants(t, 200)
		if err := json.Unmarshal(a.body, &l); err != nil || len(l.Nodes) != 5 || len(l.Edges) != 5 || l.Root != "dataset-version:DP-DLY-001.train@3" || l.Cut {
			t.Fatalf("%s: %s %v", name, a.body, err)
		}
	}
	a = w.do("aud", "GET", lineageOf("NN-DLY-001@1.0.0", "&direction=up&depth=1"), nil).wants(t, 200)
	if err := json.Unmarshal(a.body, &l); err != nil || len(l.Nodes) != 2 || len(l.Edges) != 2 || !l.Cut {
		t.Errorf("%s %v", a.body, err)
	}

	page := w.do("aud", "GET", lineageOf("DP-DLY-001.train", ""), nil, "Accept", "text/html").wants(t, 200)
	for _, want := range []string{"<svg viewBox=", "966,406 rows", "flights&lt;3m&gt;.parquet", `href="/v1/lineage?node=model-version%3ANN-DLY-001%401.0.0"`, "trained on"} {
		if !strings.Contains(string(page.body), want) {
			t.Errorf("the page has no %s", want)
		}
	}
	if strings.Contains(string(page.body), "flights<3m>") || strings.Contains(string(page.body), "style=") {
		t.Error("the picture has what its page's policy forbids, or was not escaped")
	}

	a = w.do("aud", "GET", "/v1/lineage/events?execution=EXEC-DP-DLY-001-20261123T100000.000001Z", nil).wants(t, 200)
	if items := a.json(t)["items"].([]any); len(items) != 1 || items[0].(map[string]any)["event"].(map[string]any)["eventType"] != "COMPLETE" {
		t.Errorf("%s", a.body)
	}
}

func TestLineageNeedToKnow(t *testing.T) {
	w := newWorld(t)
	w.flow()
	w.newVersion("NN-DLY-001", "")
	w.do("owen", "POST", "/v1/lineage/links", map[string]any{"data": "DP-DLY-001.train@3", "model_id": "NN-DLY-001", "model_version": "1.0.0", "role": "training"}).wants(t, 201)
	// Of P1 alone: what is of no project is not there, and no way leads through it.
	own := w.do("d1", "GET", lineageOf("EXEC-DP-SEC-001-20261123T100000.000001Z", ""), nil).wants(t, 200).json(t)
	if len(own["nodes"].([]any)) != 1 || len(own["edges"].([]any)) != 0 || own["cut"] != false {
		t.Errorf("%v", own)
	}
	w.alike(w.do("d1", "GET", lineageOf("DP-DLY-001.train@3", ""), nil).wants(t, 404), w.do("d1", "GET", lineageOf("DP-DLY-001.train@9", ""), nil).wants(t, 404))
	if items := w.do("d1", "GET", "/v1/lineage/events?execution=EXEC-DP-DLY-001-20261123T100000.000001Z", nil).wants(t, 200).json(t)["items"].([]any); len(items) != 0 {
		t.Errorf("events of another project: %v", items)
	}
	// The model is classified higher after it was linked: who may not know of it any more sees
	// the data without it.
	before := w.do("mo", "GET", lineageOf("DP-DLY-001.train@3", ""), nil).wants(t, 200).json(t)["nodes"].([]any)
	err := w.db.Update(context.Background(), func(tx *db.Tx) error {
		tx.Exec(`UPDATE models SET classification = 'Regulated' WHERE model_id = 'NN-DLY-001'`)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	after := w.do("mo", "GET", lineageOf("DP-DLY-001.train@3", ""), nil).wants(t, 200).json(t)["nodes"].([]any)
	if len(after) != len(before)-1 {
		t.Errorf("%d nodes before, %d after", len(before), len(after))
	}
	w.alike(w.do("mo", "GET", lineageOf("NN-DLY-001@1.0.0", ""), nil).wants(t, 404), w.do("mo", "GET", lineageOf("NN-DLY-001@1.0.1", ""), nil).wants(t, 404))
	w.do("bot", "GET", lineageOf("DP-DLY-001.train@3", ""), nil).wants(t, 404) // a service sees its own, and a node has no owner
}

func TestLineageLinksRefused(t *testing.T) {
	w := newWorld(t)
	w.flow()
	w.newVersion("NN-DLY-001", "")
	good := map[string]any{"data": "DP-DLY-001.train@3", "model_id": "NN-DLY-001", "model_version": "1.0.0", "role": "training"}
	for name, c := range map[string]struct {
		who    string
		body   map[string]any
		status int
		field  string
	}{
		"no such data":      {"owen", with(good, "data", "DP-DLY-001.train@9"), 404, "data"},
		"no data at all":    {"owen", with(good, "data", "EXEC-DP-DLY-001-20261123T100000.000001Z"), 422, "data"},
		"no such version":   {"owen", with(good, "model_version", "9.0.0"), 404, "model_version"},
		"no such model":     {"owen", with(good, "model_id", "NN-XXX-001"), 404, "model_id"},
		"no such role":      {"owen", with(good, "role", "test"), 422, "role"},
		"another's project": {"o1", good, 404, "model_id"},
		"an auditor":        {"aud", good, 403, ""},
	} {
		a := w.do(c.who, "POST", "/v1/lineage/links", c.body)
		if a.status != c.status || c.field != "" && !strings.Contains(string(a.body), c.field) {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if a := w.do("aud", "GET", lineageOf("NN-DLY-001@1.0.0", ""), nil); a.status != 404 {
		t.Errorf("a refusal left something behind: %s", a.body)
	}
}

// Nothing lies on something else or outside, and edges lead to the right but for those that
// close a circle.
func TestLayout(t *testing.T) {
	node := func(id, side string) dataset.LineageNode {
		n := dataset.LineageNode{Node: dataset.ExecutionNode(id, "", "", time.Time{}), Side: side}
		n.Key = n.Node.Key()
		return n
	}
	l := &dataset.Lineage{Root: "execution:root", Nodes: []dataset.LineageNode{node("root", "root")}}
	edge := func(from, to string) {
		l.Edges = append(l.Edges, dataset.LineageEdge{From: "execution:" + from, To: "execution:" + to})
	}
	for i := range 50 {
		l.Nodes = append(l.Nodes, node(fmt.Sprintf("up%d", i), "up"), node(fmt.Sprintf("down%d", i), "down"))
		edge(fmt.Sprintf("up%d", i), "root") // the short way
		edge("root", fmt.Sprintf("down%d", i))
		if i > 0 && i < 6 { // and a long one
			edge(fmt.Sprintf("up%d", i), fmt.Sprintf("up%d", i-1))
			edge(fmt.Sprintf("down%d", i-1), fmt.Sprintf("down%d", i))
		}
	}
	circle := dataset.LineageEdge{From: "execution:down5", To: "execution:down1"}
	l.Edges = append(l.Edges, circle)
	at, width, height := layout(l, l.Nodes)
	taken := map[spot]bool{}
	for _, n := range l.Nodes {
		p := at[n.Key]
		if taken[p] || p.x < 0 || p.y < 0 || p.x+boxWidth > width || p.y+boxHeight > height {
			t.Errorf("%s at %v of %d × %d", n.Key, p, width, height)
		}
		taken[p] = true
	}
	for _, e := range l.Edges {
		if e != circle && at[e.From].x >= at[e.To].x {
			t.Errorf("%s at %v leads to %s at %v", e.From, at[e.From], e.To, at[e.To])
		}
	}
	for text, want := range map[string]string{"short": "short", "EXEC-DP-DLY-001-20261123T100000.000001Z": "EXEC-DP-DLY-…0000.000001Z"} {
		if got := short(text, 25); got != want {
			t.Errorf("%q is shortened to %q", text, got)
		}
	}
}
