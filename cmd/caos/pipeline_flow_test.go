package main

import (
	"strings"
	"testing"
)

func TestFlowGraph(t *testing.T) {
	nodes := []flowNode{
		{name: "flights", kind: "source"}, {name: "carriers", kind: "source"},
		{name: "clean", kind: "view", from: []string{"flights", "carriers"}},
		{name: "features", kind: "table", from: []string{"clean", "carriers"}},
		{name: "lonely", kind: "view"},
		{name: "train", kind: "target", from: []string{"features"}},
		{name: "monthly", kind: "target", from: []string{"features"}},
	}
	want := []string{"○", "│ ○", "●─┤", "●─┘", "│ ●", "├─◆", "◆"}
	got := flowGraph(nodes)
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	// A line that is passed over is crossed, not joined.
	got = flowGraph([]flowNode{{name: "a", kind: "source"}, {name: "b", kind: "source"}, {name: "c", kind: "source"},
		{name: "ac", kind: "view", from: []string{"a", "c"}}, {name: "t", kind: "target", from: []string{"b"}}, {name: "u", kind: "target", from: []string{"ac"}}})
	want = []string{"○", "│ ○", "│ │ ○", "●─┼─┘", "│ ◆", "◆"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
