package readiness

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"caos"
	"caos/internal/db"
)

func shippedTemplate(t testing.TB) Template {
	t.Helper()
	data, err := shipped.ReadFile("templates/" + ShippedTemplate + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	tpl, err := ParseTemplate(data, "")
	if err != nil {
		t.Fatal(err)
	}
	return tpl
}

func TestShippedTemplate(t *testing.T) {
	tpl := shippedTemplate(t)
	if tpl.TemplateID != ShippedTemplate || len(tpl.Groups) != 8 || len(tpl.Items()) != 32 {
		t.Fatalf("%s: %d groups, %d items", tpl.TemplateID, len(tpl.Groups), len(tpl.Items()))
	}
	minor, facts := 0, map[string]int{}
	for n, g := range tpl.Groups {
		if len(g.Items) != 4 {
			t.Errorf("group %s has %d items", g.ID, len(g.Items))
		}
		for m, i := range g.Items {
			if i.ItemID != fmt.Sprintf("%d.%d", n+1, m+1) || i.OwnerRole == "" || i.EvidenceHint == "" || !strings.HasSuffix(i.Question, "?") {
				t.Errorf("%+v", i)
			}
			if i.Criticality == MinorItem {
				minor++
			}
			if i.Fact != "" {
				facts[i.Fact]++
			}
		}
	}
	if minor != 6 {
		t.Errorf("%d minor items", minor)
	}
	for _, f := range Facts() {
		if facts[f] != 1 {
			t.Errorf("the fact %s is asked %d times", f, facts[f])
		}
	}
	names := tpl.names()
	for name, id := range map[string]string{ // the rows of a programme's table
		"Model / Model Freeze Complete": "1.1", "Model / Performance Validated": "2.1", "Model / Safety Approved": "3.1",
		"Data / Data Pipelines Operational": "4.1", "Data / Data Quality Validated": "4.2", "Infrastructure / MLOps Deployed": "5.1",
		"Infrastructure / Monitoring Active": "5.2", "Hardware / Target Qualified": "6.1", "Hardware / Performance Benchmarked": "6.2",
		"Documentation / Technical Docs Complete": "7.1", "Documentation / Training Materials Ready": "7.3", "Certification / Evidence Package Prep": "8.1",
		"8.4": "8.4", "supply   SECURED": "6.4", "Safety / mitigations in place": "3.2", "no such item": "",
	} {
		if got := names[plainName(name)]; got != id {
			t.Errorf("%q is %q, want %q", name, got, id)
		}
	}
}

// smallTemplate is a template as people write it, changed by pairs of old and new.
func smallTemplate(pairs ...string) string {
	return strings.NewReplacer(pairs...).Replace(`template_id: 95-00-09-01-900
version: "1.0"
title: A small one
groups:
  - id: G1
    title: First
    items:
      - item_id: "1"
        title: Tested
        question: Is it tested?
        owner_role: vv-lead
        fact: vv-passed
      - item_id: "2"
        title: Labelled
        question: Is it labelled?
        criticality: MINOR
`)
}

func TestParseTemplate(t *testing.T) {
	a, err := ParseTemplate([]byte(smallTemplate()), "application/yaml")
	if err != nil {
		t.Fatal(err)
	}
	if a.Groups[0].Items[0].Criticality != CriticalItem || a.Groups[0].Items[1].Criticality != MinorItem {
		t.Errorf("%+v", a.Groups)
	}
	body, err := json.Marshal(templateText{a.TemplateID, a.Version, a.Title, a.Source, a.Groups})
	if err != nil {
		t.Fatal(err)
	}
	b, err := ParseTemplate(body, "application/json")
	if err != nil || a.Digest != b.Digest || len(a.Digest) != 71 {
		t.Errorf("as JSON: %s, as YAML %s, %v", b.Digest, a.Digest, err)
	}
	many := func(n int) string {
		var s strings.Builder
		s.WriteString("template_id: 95-00-09-01-900\nversion: \"1.0\"\ntitle: Long\ngroups:\n  - id: G1\n    title: First\n    items:\n")
		for i := range n {
			fmt.Fprintf(&s, "      - {item_id: \"%d\", title: T, question: Q}\n", i)
		}
		return s.String()
	}
	if tpl, err := ParseTemplate([]byte(many(500)), ""); err != nil || len(tpl.Items()) != 500 {
		t.Errorf("500 items: %v", err)
	}
	first := func(lines ...string) string { return strings.Join(lines, "\n") }
	for _, c := range []struct {
		name, text string
		kind       caos.Kind
		field      string
	}{
		{"nothing", "", caos.Invalid, ""},
		{"not YAML", "\t- :", caos.Invalid, ""},
		{"a list", "- 1\n- 2", caos.Invalid, ""},
		{"no groups", first("template_id: 95-00-09-01-900", `version: "1"`, "title: T", "groups: []"), caos.Invalid, "groups"},
		{"groups left out", first("template_id: 95-00-09-01-900", `version: "1"`, "title: T"), caos.Invalid, "groups"},
		{"a group without items", smallTemplate("items:\n", "items: []\n", "      - item_id", "#      - item_id", "        title", "#", "        question", "#", "        owner_role", "#", "        fact", "#", "        criticality", "#"), caos.Invalid, "groups[0].items"},
		{"another key", smallTemplate("owner_role", "owner"), caos.Invalid, "groups[0].items[0].owner"},
		{"a key twice", smallTemplate("title: A small one", "title: A\ntitle: B"), caos.Invalid, "title"},
		{"an anchor", smallTemplate("title: First", "title: &a First"), caos.Invalid, ""},
		{"id of the template", smallTemplate("95-00-09-01-900", "../etc/passwd"), caos.Invalid, "template_id"},
		{"version", smallTemplate(`"1.0"`, `"one"`), caos.Invalid, "version"},
		{"version as a number", smallTemplate(`"1.0"`, `1.0`), caos.Invalid, "version"},
		{"version too long", smallTemplate(`"1.0"`, `"100000.100000.100000"`), caos.Invalid, "version"},
		{"no title", smallTemplate("A small one", `" "`), caos.Invalid, "title"},
		{"a title that nobody sees", smallTemplate("A small one", `"\u200b\u3164"`), caos.Invalid, "title"},
		{"control character", smallTemplate("A small one", `"A\u0007"`), caos.Invalid, "title"},
		{"a line break", smallTemplate("Is it tested?", `"Is it\ntested?"`), caos.Invalid, "groups[0].items[0].question"},
		{"long question", smallTemplate("Is it tested?", strings.Repeat("x", 1001)), caos.Invalid, "groups[0].items[0].question"},
		{"no question", smallTemplate("Is it tested?", `""`), caos.Invalid, "groups[0].items[0].question"},
		{"criticality", smallTemplate("MINOR", "TRIVIAL"), caos.Invalid, "groups[0].items[1].criticality"},
		{"role", smallTemplate("vv-lead", "boss"), caos.Invalid, "groups[0].items[0].owner_role"},
		{"fact", smallTemplate("vv-passed", "all-fine"), caos.Invalid, "groups[0].items[0].fact"},
		{"item twice", smallTemplate(`item_id: "2"`, `item_id: "1"`), caos.Invalid, "groups[0].items[1].item_id"},
		{"item id", smallTemplate(`item_id: "2"`, `item_id: "a/b"`), caos.Invalid, "groups[0].items[1].item_id"},
		{"dots", smallTemplate(`item_id: "2"`, `item_id: ".."`), caos.Invalid, "groups[0].items[1].item_id"},
		{"group id", smallTemplate("id: G1", "id: G 1"), caos.Invalid, "groups[0].id"},
		{"a name twice", smallTemplate("question: Is it tested?", "question: Q\n        also_called: [A / B, a /  b]"), caos.Invalid, "groups[0].items[0].also_called[1]"},
		{"501 items", many(501), caos.TooLarge, "groups[0].items"},
		{"too large", smallTemplate() + "#" + strings.Repeat("x", maxTemplate), caos.TooLarge, ""},
		{"deep", strings.Repeat("[", 5000), caos.TooLarge, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseTemplate([]byte(c.text), "")
			if e := caos.AsError(err); err == nil || e.Kind != c.kind || c.field != "" && e.Field != c.field {
				t.Errorf("%v (%+v), want %s of %s", err, e, c.kind, c.field)
			}
		})
	}
	if _, err := ParseTemplate([]byte(smallTemplate()), "text/html"); err == nil {
		t.Error("HTML was read")
	}
}

// FuzzParseTemplate: whatever is sent is refused, or is a template that reads back as it is.
func FuzzParseTemplate(f *testing.F) {
	f.Add([]byte(smallTemplate()), "")
	f.Add([]byte(`{"template_id":"95-00-09-01-900","version":"1","title":"T","groups":[{"id":"G","title":"T","items":[{"item_id":"1","title":"T","question":"Q"}]}]}`), "application/json")
	if data, err := shipped.ReadFile("templates/" + ShippedTemplate + ".yaml"); err == nil {
		f.Add(data, "")
	}
	f.Fuzz(func(t *testing.T, data []byte, contentType string) {
		a, err := ParseTemplate(data, contentType)
		if err != nil {
			if k := caos.KindOf(err); k != caos.Invalid && k != caos.TooLarge {
				t.Fatalf("%s: %v", k, err)
			}
			return
		}
		if n := len(a.Items()); n == 0 || n > maxTemplateItems {
			t.Fatalf("%d items", n)
		}
		body, err := json.Marshal(templateText{a.TemplateID, a.Version, a.Title, a.Source, a.Groups})
		if err != nil {
			t.Fatal(err)
		}
		if len(body) > maxTemplate { // JSON escapes may take more room than the text had
			return
		}
		if b, err := ParseTemplate(body, "application/json"); err != nil || a.Digest != b.Digest {
			t.Fatalf("read back: %v, %s and %s", err, a.Digest, b.Digest)
		}
	})
}

func TestRegisterTemplate(t *testing.T) {
	eachDesk(t, func(t *testing.T, d *desk) {
		register := func(text, project, classification string) (*Template, error) {
			tpl, err := ParseTemplate([]byte(text), "")
			d.ok(err)
			tpl.Project, tpl.Classification = project, classification
			var out *Template
			err = d.do(func(tx *db.Tx) (err error) {
				out, err = d.RegisterTemplate(tx, tpl, By{Actor: "quinn"})
				return err
			})
			return out, err
		}
		a, err := register(smallTemplate(), "demo", "Internal")
		d.ok(err)
		records := d.count(`SELECT COUNT(*) FROM audit_records`)
		if again, err := register(smallTemplate(), "demo", "Internal"); err != nil || again.Digest != a.Digest || !again.RegisteredAt.Equal(a.RegisteredAt) {
			t.Errorf("registered again: %+v %v", again, err)
		}
		if n := d.count(`SELECT COUNT(*) FROM audit_records`); n != records {
			t.Errorf("registered again: %d records, %d before", n, records)
		}
		for _, c := range []struct {
			name, text, project, class string
			kind                       caos.Kind
			field                      string
		}{
			{"other words", smallTemplate("A small one", "Another"), "demo", "", caos.Conflict, "version"},
			{"an older version", smallTemplate(`"1.0"`, `"0.9"`), "demo", "", caos.Conflict, "version"},
			{"the same number", smallTemplate(`"1.0"`, `"1"`), "demo", "", caos.Conflict, "version"},
			{"of another project", smallTemplate(), "other", "", caos.Conflict, "template_id"},
			{"of all projects", smallTemplate(`"1.0"`, `"2.0"`), "", "", caos.Conflict, "template_id"},
			{"less classified", smallTemplate(`"1.0"`, `"2.0"`), "demo", "Public", caos.Invalid, "classification"},
			{"no classification", smallTemplate(`"1.0"`, `"2.0"`), "demo", "Secret", caos.Invalid, "classification"},
			{"the shipped one in a project", smallTemplate("95-00-09-01-900", ShippedTemplate, `"1.0"`, `"2.0"`), "demo", "", caos.Conflict, "template_id"},
		} {
			_, err := register(c.text, c.project, c.class)
			if e := caos.AsError(err); err == nil || e.Kind != c.kind || e.Field != c.field {
				t.Errorf("%s: %v, want %s of %s", c.name, err, c.kind, c.field)
			}
		}
		b, err := register(smallTemplate(`"1.0"`, `"1.10"`), "demo", "Restricted")
		d.ok(err)
		if got, err := d.Template(context.Background(), a.TemplateID, ""); err != nil || got.Version != "1.10" || got.Digest != b.Digest {
			t.Errorf("the latest: %+v %v", got, err)
		}
		if got, err := d.Template(context.Background(), a.TemplateID, "1.0"); err != nil || got.Digest != a.Digest || len(got.Items()) != 2 {
			t.Errorf("the first: %+v %v", got, err)
		}
		for _, id := range []string{"95-00-09-01-901", "", "a\x00b", strings.Repeat("x", 5000)} {
			if _, err := d.Template(context.Background(), id, ""); caos.KindOf(err) != caos.NotFound {
				t.Errorf("%.20q: %v", id, err)
			}
		}
	})
}

func TestShip(t *testing.T) {
	eachDesk(t, func(t *testing.T, d *desk) {
		ctx := context.Background()
		d.ok(d.Ship(ctx)) // the fixture has done so once
		if n := d.count(`SELECT COUNT(*) FROM checklist_templates`); n != 1 {
			t.Fatalf("%d templates", n)
		}
		mine := shippedTemplate(t)
		mine.Version, mine.Title = "1.1", "Ours"
		d.must(func(tx *db.Tx) error {
			_, err := d.RegisterTemplate(tx, mine, By{Actor: "quinn"})
			return err
		})
		d.ok(d.Ship(ctx))
		if got, err := d.Template(ctx, ShippedTemplate, ""); err != nil || got.Title != "Ours" || got.RegisteredBy != "quinn" {
			t.Errorf("%+v %v", got, err)
		}
		var pages []string
		cursor := ""
		for {
			list, next, err := d.Templates(ctx, TemplateFilter{TemplateID: ShippedTemplate, Limit: 1}, cursor)
			d.ok(err)
			for _, one := range list {
				pages = append(pages, one.Version)
			}
			if cursor = next; cursor == "" {
				break
			}
		}
		if !slices.Equal(pages, []string{"1.1", "1.0"}) {
			t.Errorf("listed: %v", pages)
		}
		if _, _, err := d.Templates(ctx, TemplateFilter{}, "nonsense"); caos.KindOf(err) != caos.Invalid {
			t.Errorf("a cursor that is none: %v", err)
		}
	})
}
