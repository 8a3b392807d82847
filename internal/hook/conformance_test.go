package hook

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Every numbered action of the specification is a step of its hook, in the specification's
// words, and a test is named after it. docs/conformance.md and the pages in docs/hooks are
// what the code says; -update writes them.
func TestConformance(t *testing.T) {
	tests := actionTests(t)
	have := map[string]*Hook{}
	for _, h := range catalog(t) {
		have[h.ID] = h
	}
	var table bytes.Buffer
	table.WriteString("# Conformance\n\nThe 97 numbered actions of 95-00-09-00-007, the steps that do them and the tests that check them.\n" +
		"This page is generated from the code (`go test ./internal/hook -run TestConformance -update`) and compared with it by the same test.\n")
	total, done := 0, 0
	for _, spec := range Specification() {
		h := have[spec.ID]
		fmt.Fprintf(&table, "\n## %s (section %s)\n\n", spec.ID, spec.Section)
		total += len(spec.Actions)
		if h == nil {
			fmt.Fprintf(&table, "Not in this version: %d actions planned.\n", len(spec.Actions))
			continue
		}
		if h.Section != spec.Section || h.Title != spec.Title || h.Trigger != spec.Trigger {
			t.Errorf("%s: section, title or trigger differ from the specification", h.ID)
		}
		table.WriteString("| action | steps | test |\n|---|---|---|\n")
		for i, action := range spec.Actions {
			var steps []string
			for _, s := range h.Flow.Describe() {
				if s.Number != i+1 {
					continue
				}
				if s.Action != action {
					t.Errorf("%s: step %s says %q for action %d, the specification %q", h.ID, s.Name, s.Action, i+1, action)
				}
				steps = append(steps, fmt.Sprintf("`%s` (%s)", s.Name, s.Kind))
			}
			name := fmt.Sprintf("%d %s", i+1, action)
			where := tests[fileOf(h.ID)+"_test.go"][name]
			if len(steps) == 0 || where == "" {
				t.Errorf("%s: action %q has steps %v and test %q", h.ID, name, steps, where)
			}
			fmt.Fprintf(&table, "| %d. %s | %s | `%s` |\n", i+1, action, strings.Join(steps, ", "), where)
			done++
		}
		for _, s := range h.Flow.Describe() {
			if s.Number < 1 || s.Number > len(spec.Actions) {
				t.Errorf("%s: step %s belongs to no action of the specification", h.ID, s.Name)
			}
		}
		compareFile(t, filepath.Join("../../docs/hooks", fileOf(h.ID)+".md"), page(h, spec))
	}
	fmt.Fprintf(&table, "\n%d of %d actions are done in this version.\n", done, total)
	if total != 97 {
		t.Errorf("%d actions, the specification has 97", total)
	}
	compareFile(t, "../../docs/conformance.md", table.Bytes())
}

// A hook's file is named after its id, so that a newcomer finds it.
func TestFileNames(t *testing.T) {
	for _, h := range catalog(t) {
		if _, err := os.Stat(fileOf(h.ID) + ".go"); err != nil {
			t.Errorf("%s: %v", h.ID, err)
		}
	}
}

func fileOf(id string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(id, "CAOS.PROD.")), ".", "_")
}

// actionTests finds, by file, the subtests whose name begins with an action's number.
func actionTests(t *testing.T) map[string]map[string]string {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string]string{}
	for _, name := range files {
		out[name] = map[string]string{}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || len(call.Args) != 2 {
					return true
				}
				sel, isSel := call.Fun.(*ast.SelectorExpr)
				lit, isLit := call.Args[0].(*ast.BasicLit)
				if isSel && isLit && sel.Sel.Name == "Run" {
					if s, err := strconv.Unquote(lit.Value); err == nil {
						out[name][s] = fn.Name.Name + "/" + s
					}
				}
				return true
			})
		}
	}
	return out
}

// page is the page of a hook in docs/hooks: everything on it is taken from the code.
func page(h *Hook, spec SpecHook) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n\n%s, section %s of 95-00-09-00-007. Version %s, revision %d. Owner: %s.\n\n", h.ID, h.Title, h.Section, h.Version, h.Flow.Revision(), h.Owner)
	fmt.Fprintf(&b, "Trigger: %s.\n\nCode: `internal/hook/%s.go`. Schemas: `internal/hook/schema/%s`, `%s`.\n", h.Trigger, fileOf(h.ID),
		SchemaName(h.ID, h.Version, "input"), SchemaName(h.ID, h.Version, "output"))
	b.WriteString("\n## Gates\n\nAll must hold before an execution exists; `?dry_run=true` answers each.\n\n- `authorised`: The caller may submit this hook\n")
	for _, g := range h.Gates {
		fmt.Fprintf(&b, "- `%s`: %s\n", g.Name, g.Action)
	}
	if h.ID == freezeHook {
		b.WriteString("\n## Gates of the steps\n\nAsked in step 1, and again in the transaction that freezes; one that says no ends the execution FAILED with its finding. `?dry_run=true` and `caos why MODEL@VERSION freeze` answer each, with who could clear it.\n\n")
		for _, v := range freezeVerdicts(readyFacts()) {
			fmt.Fprintf(&b, "- `%s`: %s\n", v.Gate, v.Action)
		}
	}
	if h.ID == prrHook {
		b.WriteString("\n## Checks of the review\n\nAsked in steps 1 to 3, when the report is made, again in the transaction that records the decision, and again in the one that makes the version PRODUCTION_READY. Each has a ceiling, the best decision that is possible while it does not hold; votes can only lower the lowest. `?dry_run=true` and `caos why MODEL@VERSION prr` answer each, with who could clear it.\n\n| check | what it asks | if not, at most |\n|---|---|---|\n")
		ceilings := map[string]string{}
		for _, c := range prrSpoils() {
			ceilings[c.rule] = c.ceiling
		}
		for _, v := range prrVerdicts(readyPRR()) {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", v.Gate, v.Action, ceilings[v.Gate])
		}
	}
	b.WriteString("\n## Actions and steps\n\nAn `in_tx` step happens exactly once; a `call` is announced in the audit log first and repeated under the same key after a crash.\n\n")
	b.WriteString("| action of the specification | step | kind |\n|---|---|---|\n")
	for _, s := range h.Flow.Describe() {
		fmt.Fprintf(&b, "| %d. %s | `%s` | %s |\n", s.Number, spec.Actions[s.Number-1], s.Name, s.Kind)
	}
	fields := func(title string, of []field) {
		fmt.Fprintf(&b, "\n## %s\n\n| field | type | required |\n|---|---|---|\n", title)
		for _, f := range of {
			fmt.Fprintf(&b, "| `%s` | %s | %v |\n", f.name, f.typ, f.required)
		}
	}
	fields("Input", fieldsOf(h, "input"))
	fields("Output", fieldsOf(h, "output"))
	fmt.Fprintf(&b, "\nAttempts: %d, first pause %d ms, at most %d ms. Timeout: %s of running time.\n", h.Retry.MaxAttempts, h.Retry.InitialIntervalMS, h.Retry.MaxIntervalMS, h.Timeout)
	return b.Bytes()
}

type field struct {
	name, typ string
	required  bool
}

func fieldsOf(h *Hook, which string) []field {
	t := h.Input
	if which == "output" {
		t = h.Output
	}
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		var enum []string
		for part := range strings.SplitSeq(f.Tag.Get("jsonschema"), ",") {
			if v, ok := strings.CutPrefix(part, "enum="); ok {
				enum = append(enum, v)
			}
		}
		typ := strings.TrimPrefix(strings.TrimPrefix(f.Type.String(), "*"), "evidence.")
		switch typ { // the words of JSON, which is what a caller writes
		case "map[string]interface {}":
			typ = "object"
		case "[]string":
			typ = "array of strings"
		case "bool":
			typ = "boolean"
		}
		if len(enum) > 0 {
			typ = strings.Join(enum, ", ")
		}
		out = append(out, field{name, typ, !strings.Contains(opts, "omitempty")})
	}
	return out
}

// compareFile holds a generated file against the committed one, or writes it.
func compareFile(t *testing.T, path string, want []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(have, want) {
		t.Errorf("%s is not what the code says (%v); run go test ./internal/hook -run TestConformance -update", path, err)
	}
}
