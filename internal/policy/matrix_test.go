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

// cells are the rows of the table: every action on every kind of thing, and every hook
// that has a rule of its own.
func cells(s *Set) [][3]string {
	var rows [][3]string
	for _, a := range s.Actions() {
		for _, kind := range s.ResourceTypes(a) {
			if a == "hook:submit" {
				for _, h := range []string{"CAOS.PROD.CERT.AUDIT", "CAOS.PROD.CERT.EVIDENCE", "CAOS.PROD.MODEL.FREEZE"} {
					rows = append(rows, [3]string{a, kind, h})
				}
				continue
			}
			rows = append(rows, [3]string{a, kind, "X-1"})
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
		name := row[0]
		if row[0] == "hook:submit" {
			name += " " + row[2]
		}
		var parts []string
		for _, owner := range []string{"somebody", "me"} {
			var line []string
			for _, role := range columns {
				p := caos.Principal{ID: "me", Roles: []string{role}}
				line = append(line, mark(s.Decide(Request{
					Subject: s.NewSubject(p, Standing{}), Action: row[0], ResourceType: row[1], Resource: row[2],
					Attrs: Attributes{Owner: owner},
				})))
			}
			parts = append(parts, strings.Join(line, " "))
		}
		fmt.Fprintf(&out, "%-36s %-10s %s\n", name, row[1], strings.Join(parts, "  |  "))
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
