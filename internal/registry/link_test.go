package registry_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"caos"
	"caos/internal/db"
	"caos/internal/registry"
)

func link(source, kind string, relation registry.Relation, target, targetKind string) registry.Link {
	return registry.Link{SourceID: source, SourceType: kind, Relation: relation, TargetID: target, TargetType: targetKind, Project: "demo"}
}

func (f *fixture) link(l registry.Link, by registry.By) (out *registry.Link, o registry.Outcome, err error) {
	err = f.update(func(tx *db.Tx) (err error) {
		out, o, err = f.PutLink(tx, l, by)
		return err
	})
	return out, o, err
}

func TestLink(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		l := link("95-00-03-REQ-001", "Requirement", registry.Implements, "95-00-09-01-001", "Process")
		l.Classification = "Restricted"
		first, o, err := f.link(l, anna)
		f.ok(err)
		if o != registry.Created || first.Status != "ACTIVE" || first.Revision != 1 || !strings.HasPrefix(first.LinkID, "LINK-") {
			t.Errorf("%s %+v", o, first)
		}
		records := f.count(`SELECT count(*) FROM audit_records`)
		same, o, err := f.link(l, bruno)
		f.ok(err)
		if o != registry.Unchanged || *same != *first || f.count(`SELECT count(*) FROM audit_records`) != records {
			t.Errorf("%s %+v", o, same)
		}
		l.Rationale, l.VerifiedOn, l.VerifiedBy, l.Classification = "because", "2026-11-23", "V&V Lead", ""
		second, o, err := f.link(l, bruno)
		f.ok(err)
		if o != registry.Updated || second.LinkID != first.LinkID || second.Revision != 2 || second.CreatedBy != "anna" || second.UpdatedBy != "bruno" ||
			second.Classification != "Restricted" {
			t.Errorf("%s %+v", o, second)
		}
		got, err := f.Link(context.Background(), first.LinkID)
		f.ok(err)
		if *got != *second {
			t.Errorf("stored %+v\nmade   %+v", got, second)
		}
		l.Project = "another"
		elsewhere, o, err := f.link(l, anna)
		f.ok(err)
		if o != registry.Created || elsewhere.LinkID == first.LinkID {
			t.Error("links of two projects are one")
		}
		f.must(func(tx *db.Tx) error { return f.DeleteLink(tx, first.LinkID, anna) })
		err = f.update(func(tx *db.Tx) error { return f.DeleteLink(tx, first.LinkID, anna) })
		refused(t, err, caos.NotFound, "link_id", "no link")
	})
}

func TestLinkRefused(t *testing.T) {
	good := link("A-1", "Requirement", registry.Implements, "B-1", "Process")
	for name, c := range map[string]struct {
		edit     func(l *registry.Link)
		at, says string
	}{
		"source":         {func(l *registry.Link) { l.SourceID = "=A1" }, "source_id", "resource id"},
		"target":         {func(l *registry.Link) { l.TargetID = "" }, "target_id", "resource id"},
		"itself":         {func(l *registry.Link) { l.TargetID = "A-1" }, "target_id", "from one thing to another"},
		"relation":       {func(l *registry.Link) { l.Relation = "IMPLEMENTS" }, "relation", "not known"},
		"type":           {func(l *registry.Link) { l.SourceType = " " }, "source_type", "missing"},
		"long type":      {func(l *registry.Link) { l.TargetType = strings.Repeat("x", 100) }, "target_type", "longer"},
		"status":         {func(l *registry.Link) { l.Status = "a\tb" }, "status", "control"},
		"day":            {func(l *registry.Link) { l.VerifiedOn = "2026-02-29" }, "verified_on", "not a day"},
		"rationale":      {func(l *registry.Link) { l.Rationale = "a\x00b" }, "rationale", "control"},
		"by":             {func(l *registry.Link) { l.VerifiedBy = "\xff" }, "verified_by", "UTF-8"},
		"classification": {func(l *registry.Link) { l.Classification = "secret" }, "classification", "not known"},
	} {
		l := good
		l.Status = "ACTIVE"
		c.edit(&l)
		t.Run(name, func(t *testing.T) { refused(t, l.Check(), caos.Invalid, c.at, c.says) })
	}
	for _, r := range registry.Relations() {
		l := good
		l.Relation, l.Status = registry.Relation(r), "ACTIVE"
		if err := l.Check(); err != nil {
			t.Error(err)
		}
	}
	if len(registry.Relations()) != 8 {
		t.Error("the programme has eight relations")
	}
}

// TestRequirements shows which links make a requirement of a version, and who may unmake it.
func TestRequirements(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		f.model(fcs) // owned by otto
		f.version(fcs, v210)
		made := map[string]string{}
		for _, l := range []registry.Link{
			link(fcs, "Model", registry.Implements, "REQ-MODEL", "Requirement"),
			link("REQ-VERSION", "requirement", registry.Refines, fcs+"@2.1.0", "Model version"),
			link("BL-FCS-2.1.0", "Baseline", registry.Validates, "REQ-BASELINE", "Requirement"),
			link(fcs+"@2.2.0", "Model version", registry.Implements, "REQ-OTHER-VERSION", "Requirement"),
			link(fcs, "Model", registry.References, "95-00-01", "Document"),
			link("REQ-MODEL", "Requirement", registry.Parent, "REQ-CHILD", "Requirement"),
		} {
			out, _, err := f.link(l, anna)
			f.ok(err)
			made[l.SourceID+" "+l.TargetID] = out.LinkID
		}
		needs := func() (out []string) {
			f.must(func(tx *db.Tx) error {
				facts, err := f.FreezeFacts(tx, fcs, v210, "95-00-07-FCS-001")
				if err == nil {
					out = facts.Requirements
				}
				return err
			})
			return out
		}
		if got := fmt.Sprint(needs()); got != "[REQ-BASELINE REQ-MODEL REQ-VERSION]" {
			t.Error(got)
		}
		otto := registry.By{Actor: "otto"}
		for _, id := range []string{made[fcs+" REQ-MODEL"], made["REQ-VERSION "+fcs+"@2.1.0"]} {
			err := f.update(func(tx *db.Tx) error { return f.DeleteLink(tx, id, otto) })
			refused(t, err, caos.Denied, "separation-of-duties", "otto owns or owned NN-FCS-001")
		}
		_, _, err := f.link(link(fcs, "Model", registry.Implements, "REQ-MODEL", "Wish"), otto)
		refused(t, err, caos.Denied, "separation-of-duties", "otto owns or owned NN-FCS-001")
		f.must(func(tx *db.Tx) error { // given away for a moment it is still otto's
			_, err := f.UpdateModel(tx, fcs, registry.ModelChange{Owner: ptr("olga")}, 0, otto)
			return err
		})
		err = f.update(func(tx *db.Tx) error { return f.DeleteLink(tx, made[fcs+" REQ-MODEL"], otto) })
		refused(t, err, caos.Denied, "separation-of-duties", "otto owns or owned NN-FCS-001")
		_, _, err = f.link(link(fcs, "NN", registry.Implements, "REQ-MODEL", "Requirement"), otto)
		f.ok(err)
		f.must(func(tx *db.Tx) error { return f.DeleteLink(tx, made["REQ-VERSION "+fcs+"@2.1.0"], anna) })
		_, _, err = f.link(link(fcs, "NN", registry.Implements, "REQ-MODEL", "Wish"), anna)
		f.ok(err)
		if got := fmt.Sprint(needs()); got != "[REQ-BASELINE]" {
			t.Error(got)
		}
		// Nobody makes requirements for a model from another project.
		for _, end := range []string{fcs, fcs + "@2.1.0", "BL-FCS-2.1.0"} {
			l := link("REQ-X", "Requirement", registry.Implements, end, "Model")
			l.Project = "other"
			_, _, err := f.link(l, anna)
			refused(t, err, caos.Denied, "project", "another project")
		}
	})
}

func TestLinksListed(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		for i := range 5 {
			_, _, err := f.link(link(fmt.Sprintf("A-%d", i), "Requirement", registry.Implements, "B-1", "Process"), anna)
			f.ok(err)
		}
		var all []string
		for cursor, first := "", true; first || cursor != ""; first = false {
			page, next, err := f.Links(context.Background(), registry.LinkFilter{End: "B-1", Project: "demo", Limit: 2}, cursor)
			f.ok(err)
			for _, l := range page {
				all = append(all, l.SourceID)
			}
			cursor = next
		}
		if strings.Join(all, " ") != "A-4 A-3 A-2 A-1 A-0" {
			t.Error(all)
		}
		_, _, err := f.Links(context.Background(), registry.LinkFilter{}, "x")
		refused(t, err, caos.Invalid, "cursor", "cursor")
	})
}

func TestTrace(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		chain := []string{"A", "B", "C", "D", "E"}
		for i := range 4 {
			l := link(chain[i], "T"+chain[i], registry.Refines, chain[i+1], "T"+chain[i+1])
			if i == 3 {
				l.Classification = "Regulated"
			}
			_, _, err := f.link(l, anna)
			f.ok(err)
		}
		_, _, err := f.link(link("E", "TE", registry.References, "A", "TA"), anna) // a circle
		f.ok(err)
		ctx := context.Background()
		show := func(q registry.TraceQuery) string {
			tr, err := f.Trace(ctx, q)
			f.ok(err)
			var out []string
			for _, n := range tr.Nodes {
				out = append(out, fmt.Sprintf("%s%d", n.Type[1:], n.Distance))
			}
			return fmt.Sprintf("%s links %d more %v", strings.Join(out, " "), len(tr.Links), tr.More)
		}
		for want, q := range map[string]registry.TraceQuery{
			"A0 B1 E1 links 2 more true":        {ID: "A", Depth: 1},
			"A0 B1 E1 C2 D2 links 5 more false": {ID: "A"},
			"C0 B1 D1 A2 E2 links 5 more false": {ID: "C", Depth: 2},
			"A0 B1 E1 C2 D3 links 4 more false": {ID: "A", Sees: func(project, classification string) bool { return project == "demo" && classification != "Regulated" }},
		} {
			if got := show(q); got != want {
				t.Errorf("%+v: %s, want %s", q, got, want)
			}
		}
		alone, err := f.Trace(ctx, registry.TraceQuery{ID: "Z"})
		f.ok(err)
		if len(alone.Nodes) != 1 || len(alone.Links) != 0 || alone.More {
			t.Errorf("%+v", alone)
		}
		_, err = f.Trace(ctx, registry.TraceQuery{ID: "A", Depth: 9})
		refused(t, err, caos.Invalid, "depth", "links deep")
		_, err = f.Trace(ctx, registry.TraceQuery{ID: "a b"})
		refused(t, err, caos.Invalid, "id", "resource id")
	})
}

// TestTraceBounds walks a thing that everything hangs on.
func TestTraceBounds(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		for from := 0; from < 1200; from += 400 {
			list := make([]registry.Link, 400)
			for i := range list {
				list[i] = link("HUB", "T", registry.Parent, fmt.Sprintf("N-%d", from+i), "T")
				list[i].Status = "ACTIVE"
			}
			f.must(func(tx *db.Tx) error { _, err := f.PutLinks(tx, list, anna); return err })
		}
		tr, err := f.Trace(context.Background(), registry.TraceQuery{ID: "N-7", Depth: 8})
		f.ok(err)
		if len(tr.Nodes) != 1000 || !tr.More || tr.Nodes[0].ID != "N-7" || tr.Nodes[1].ID != "HUB" || len(tr.Links) != 999 {
			t.Errorf("%d nodes, %d links, more %v", len(tr.Nodes), len(tr.Links), tr.More)
		}
		err = f.update(func(tx *db.Tx) error {
			_, err := f.PutLinks(tx, make([]registry.Link, registry.MaxPut+1), anna)
			return err
		})
		refused(t, err, caos.TooLarge, "", "at once")
	})
}

func TestParseBaselineID(t *testing.T) {
	for id, want := range map[string]string{
		"BL-FCS-2.1.0": "NN-FCS-001 2.1.0", "BL-FCS-002-1.0.0": "NN-FCS-002 1.0.0", "BL-A-1.0.0-rc.1": "NN-A-001 1.0.0-rc.1",
		"BL-A-1234-1.0.0-rc-2": "NN-A-1234 1.0.0-rc-2",
	} {
		model, version, err := registry.ParseBaselineID(id)
		if err != nil || model+" "+version != want || registry.BaselineID(model, version) != id {
			t.Errorf("%s: %s %s %v", id, model, version, err)
		}
	}
	for _, id := range []string{"", "BL-", "BL-FCS", "BL-FCS-", "BL-FCS-2.1", "BL-fcs-2.1.0", "NN-FCS-001", "BL-FCS-001-2.1.0", "BL-FCS-1-2.1.0", "BL-FCS-2.1.0 "} {
		if _, _, err := registry.ParseBaselineID(id); err == nil {
			t.Errorf("%q is taken for a baseline's id", id)
		}
	}
}
