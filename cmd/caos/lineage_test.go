package main

import (
	"strings"
	"testing"
	"time"

	"caos/internal/dataset"
)

// A tree goes each way from its root, unfolds nothing twice, and ends where data went in a
// circle.
func TestLineageTree(t *testing.T) {
	e, out, _ := newTest()
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	rows := int64(966406)
	node := func(n dataset.Node, side string, distance int) dataset.LineageNode {
		return dataset.LineageNode{Node: n, Key: n.Key(), Side: side, Distance: distance}
	}
	run := dataset.ExecutionNode("EXEC-DP-DLY-001-1", "DP-DLY-001 1.0", "SUCCESS", at)
	train := dataset.Node{Kind: dataset.NodeDatasetVersion, ID: "DP-DLY-001.train@3", URI: "file:///data/\x1b[2Jtrain", Digest: "SHA256:" + strings.Repeat("ab", 32), Rows: &rows, At: at}
	source := dataset.Node{Kind: dataset.NodeExternalVersion, ID: "ext:0123456789ab@1", Label: "flights.parquet", Digest: "SHA256:" + strings.Repeat("cd", 32)}
	version := dataset.ModelVersionNode("NN-DLY-001", "1.0.0")
	frozen := dataset.BaselineNode("BL-DLY-1.0.0", "", at)
	edge := func(from, to dataset.Node, kind string) dataset.LineageEdge {
		return dataset.LineageEdge{From: from.Key(), To: to.Key(), Kind: kind}
	}
	l := &dataset.Lineage{Root: train.Key(), Direction: "both", Depth: 8, Cut: true, Nodes: []dataset.LineageNode{node(train, "root", 0), node(run, "up", 1), node(source, "up", 2),
		node(version, "down", 1), node(frozen, "down", 2)},
		Edges: []dataset.LineageEdge{edge(run, train, "WROTE"), edge(source, run, "READ"), edge(train, run, "READ"), edge(train, version, "TRAINED_ON"), edge(train, version, "VALIDATED_ON"),
			edge(version, frozen, "FROZEN_AS")}}
	e.lineage(l)
	want := `DP-DLY-001.train@3 966,406 rows, abababababab, 2026-11-23 10:00:00Z
  file:///data/·[2Jtrain

made from
└─ written by EXEC-DP-DLY-001-1 DP-DLY-001 1.0, SUCCESS, 2026-11-23 10:00:00Z
   ├─ read flights.parquet ext:0123456789ab@1 cdcdcdcdcdcd
   └─ read DP-DLY-001.train@3 …

what was made from it
├─ read by EXEC-DP-DLY-001-1 DP-DLY-001 1.0, SUCCESS, 2026-11-23 10:00:00Z
│  └─ wrote DP-DLY-001.train@3 …
├─ trained NN-DLY-001@1.0.0
│  └─ frozen as BL-DLY-1.0.0 2026-11-23 10:00:00Z
└─ validated NN-DLY-001@1.0.0 …

5 nodes, 6 edges, up to 8 edges away
There is more: give a greater --depth or --limit, or one direction.
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
