package policy

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"caos"
)

// update rewrites the golden table: go test ./internal/policy -run Matrix -update
var update = flag.Bool("update", false, "rewrite testdata/matrix.golden")

func loaded(t testing.TB) *Set {
	t.Helper()
	s, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// cell is one row of the table: an action on a kind of thing.
type cell struct {
	action, kind, resource string
	label                  string // what is special about it
	context                map[string]any
}

// cells are every action on every kind of thing, with every hook that has a rule of its
// own and what is decided by more than roles and ownership.
func cells(s *Set) []cell {
	var rows []cell
	for _, a := range s.Actions() {
		for _, kind := range s.ResourceTypes(a) {
			if a == "hook:submit" {
				for _, h := range []string{"CAOS.PROD.CERT.AUDIT", "CAOS.PROD.CERT.EVIDENCE", "CAOS.PROD.DATA.PIPELINE", "CAOS.PROD.DATA.VALIDATE", "CAOS.PROD.DPP.CREATE", "CAOS.PROD.INCIDENT.ROLLBACK", "CAOS.PROD.MODEL.FREEZE", "CAOS.PROD.MODEL.PRR"} {
					rows = append(rows, cell{action: a, kind: kind, resource: h, label: h})
				}
				continue
			}
			rows = append(rows, cell{action: a, kind: kind, resource: "X-1"})
			with := func(label string, context map[string]any) {
				rows = append(rows, cell{action: a, kind: kind, resource: "X-1", label: label, context: context})
			}
			switch a {
			case "document:register":
				with("design", map[string]any{"kind": "design", "model_owner": "somebody"})
				with("vv-report", map[string]any{"kind": "vv-report", "model_owner": "somebody"})
				with("vv-report, own model", map[string]any{"kind": "vv-report", "model_owner": "me"})
			case "document:decide":
				with("design", map[string]any{"kind": "design"})
				with("safety-assessment", map[string]any{"kind": "safety-assessment"})
			case "checklist:complete":
				with("by statement", map[string]any{"proof": "server"})
			case "risk:accept", "review:vote", "release:approve":
				with("signed", map[string]any{"proof": "sshsig"})
			case "model:update":
				with("classification lower", map[string]any{"declassifies": true})
			case "model:artifact":
				with("training-dataset", map[string]any{"role": "training-dataset"})
				with("trained", map[string]any{"role": "trained"})
			}
		}
	}
	return rows
}

func mark(d Decision) string {
	switch {
	case d.Allow:
		return "+"
	case d.StepUp:
		return "*"
	}
	return "."
}

// TestMatrix holds every role against every action, once on a thing of another and once
// on a thing of one's own. A change of any policy is a change of this file.
func TestMatrix(t *testing.T) {
	s := loaded(t)
	var out bytes.Buffer
	out.WriteString("# + allowed   * allowed with a second factor   . denied; on things of others | on one's own\n")
	columns := append([]string{"(none)"}, caos.Roles()...)
	for i, c := range columns {
		fmt.Fprintf(&out, "# column %2d: %s\n", i+1, c)
	}
	for _, row := range cells(s) {
		name := strings.TrimSpace(row.action + " " + row.label)
		var parts []string
		for _, owner := range []string{"somebody", "me"} {
			var line []string
			for _, role := range columns {
				p := caos.Principal{ID: "me", Roles: []string{role}}
				line = append(line, mark(s.Decide(Request{
					Subject: s.NewSubject(p, Standing{}), Action: row.action, ResourceType: row.kind, Resource: row.resource,
					Attrs: Attributes{Owner: owner}, Context: row.context,
				})))
			}
			parts = append(parts, strings.Join(line, " "))
		}
		fmt.Fprintf(&out, "%-39s %-17s %s\n", name, row.kind, strings.Join(parts, "  |  "))
	}
	const golden = "testdata/matrix.golden"
	if *update {
		if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, out.Bytes()) {
		got, old := strings.Split(out.String(), "\n"), strings.Split(string(want), "\n")
		for _, l := range got {
			if !slices.Contains(old, l) {
				t.Errorf("now:    %s", l)
			}
		}
		for _, l := range old {
			if !slices.Contains(got, l) {
				t.Errorf("golden: %s", l)
			}
		}
		t.Error("who may do what has changed; if that is meant, run with -update and have it reviewed")
	}
}

// The roles of the schema and of the vocabulary are the same list.
func TestRolesAgree(t *testing.T) {
	s := loaded(t)
	if len(s.voc.roles) != len(caos.Roles()) {
		t.Fatalf("the schema has %d roles, the vocabulary %d", len(s.voc.roles), len(caos.Roles()))
	}
	for _, r := range caos.Roles() {
		if len(s.NewSubject(caos.Principal{ID: "x", Roles: []string{r}}, Standing{}).roles) != 1 {
			t.Errorf("role %q is not in the schema", r)
		}
	}
}
