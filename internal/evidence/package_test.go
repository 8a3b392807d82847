package evidence_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/evidence"
	"caos/internal/object"
	"caos/internal/sign"
	"caos/internal/verify"
)

// TestProgramme takes the example programme's own files through the whole life of a
// package: planned from its matrix, evidence by its reports, exported, verified, closed.
func TestProgramme(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		pkg := w.create(evidence.Package{ModelID: model, Title: "Flight control, 2.1.0"})
		if pkg.PackageID != "CERT-PKG-FCS" {
			t.Fatal(pkg.PackageID)
		}
		if again := w.create(evidence.Package{ModelID: model}); again.PackageID != "CERT-PKG-FCS-2" {
			t.Fatal(again.PackageID)
		}
		f, err := os.Open(example + "95-00-09-00-004_Production_Traceability_Matrix.csv")
		w.ok(err)
		defer f.Close()
		reqs, err := evidence.ReadIDs(f, evidence.IDSource{Column: "Source_ID", WhereColumn: "Source_Type", WhereValue: "Requirement"})
		w.ok(err)
		if !slices.Equal(reqs, []string{"95-00-03-REQ-001", "95-00-03-REQ-002", "95-00-03-REQ-003"}) {
			t.Fatal(reqs)
		}
		w.plan(pkg.PackageID, reqs, []string{"A-7.5"})

		here, err := os.Getwd()
		w.ok(err)
		root := strings.TrimSuffix(here, "internal/evidence") + "examples/programme/"
		ins, err := w.collect(w.request(pkg.PackageID, "file://"+root+"traceability-junit.xml", evidence.TestResult,
			evidence.Metadata{RequirementIDs: reqs, Tool: "pytest", ToolVersion: "9.2.0"}))
		w.ok(err)
		if ins.Item.Verdict != evidence.Passed || ins.Item.Summary.Tests.Total != 17 || len(ins.Findings) != 0 {
			t.Fatalf("%+v %+v", ins.Item.Summary.Tests, ins.Findings)
		}
		ins, err = w.collect(w.request(pkg.PackageID, "file://"+root+"traceability-ruff.sarif", evidence.TestResult, evidence.Metadata{ObjectiveIDs: []string{"A-7.5"}}))
		w.ok(err)
		if ins.Item.Verdict != evidence.Failed || ins.Item.Summary.Results.Error == 0 || len(ins.Findings) != 1 || !strings.HasPrefix(ins.Item.Summary.Tool, "ruff") {
			t.Fatalf("%+v %+v %+v", ins.Item.Summary, ins.Item.Summary.Results, ins.Findings)
		}
		for _, doc := range []string{"95-00-09-00-004_Production_Traceability_Matrix.csv", "95-00-09-01-A-002_Production_Readiness_Table.csv", "95-00-09-00-005_Industrialization_Registry.json"} {
			ins, err = w.collect(w.request(pkg.PackageID, "file://"+root+doc, evidence.Document, evidence.Metadata{RequirementIDs: reqs[:1]}))
			w.ok(err)
			if ins.Item.Verdict != evidence.Recorded {
				t.Fatalf("%s: %+v", doc, ins.Item.Summary)
			}
		}
		st, err := w.Status(t.Context(), pkg.PackageID)
		w.ok(err)
		if st.Full || st.Coverage.Requirements.Covered != 3 || !slices.Equal(st.Coverage.Objectives.Missing, []string{"A-7.5"}) || len(st.Findings) != 2 {
			t.Fatalf("%+v", st)
		}
		if st.Package.Counts != (evidence.Counts{Items: 5, Passed: 1, Failed: 1, Recorded: 3, Planned: 4, Covered: 3}) {
			t.Fatalf("%+v", st.Package.Counts)
		}

		file := w.export(pkg.PackageID, evidence.Authority)
		if again := w.export(pkg.PackageID, evidence.Authority); !bytes.Equal(file, again) {
			t.Fatal("the same state made other bytes")
		}
		rep := w.verified(file)
		if !rep.OK || rep.Evidence != 5 || !rep.Coverage.Equal(st.Coverage) {
			t.Fatalf("%+v", rep)
		}
		for _, at := range []int{600, len(file) / 2, len(file) - 3000} {
			broken := bytes.Clone(file)
			broken[at] ^= 1
			if w.verified(broken).OK {
				t.Errorf("a flipped byte at %d is not found", at)
			}
		}

		err = w.update(func(tx *db.Tx) error { _, err := w.Close(tx, pkg.PackageID, " ", by); return err })
		wantError(t, err, caos.Conflict, "", "2 findings")
		w.ok(w.update(func(tx *db.Tx) error {
			full, err := w.Close(tx, pkg.PackageID, "A-7.5 follows with the next release", by)
			if full {
				t.Error("full coverage with findings")
			}
			return err
		}))
		closed, err := w.Package(t.Context(), pkg.PackageID)
		w.ok(err)
		if closed.Status != evidence.Closed || len(closed.Findings) != 2 || closed.ClosedBy != "anna" {
			t.Fatalf("%+v", closed)
		}
		_, err = w.collect(w.request(pkg.PackageID, "file://"+root+"traceability-junit.xml", evidence.TestResult, evidence.Metadata{}))
		wantError(t, err, caos.Conflict, "certification_package_id", "was closed")
		if rep := w.verified(w.export(pkg.PackageID, evidence.Authority)); !rep.OK {
			t.Fatalf("%+v", rep)
		}
	})
}

// TestCoverage checks what covers and what does not, through plans that change, and that
// the dashboard equals a recount at every step.
func TestCoverage(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		pkg := w.create(evidence.Package{ModelID: model, PackageID: "CERT-PKG-X"})
		check := func(covered, outside int64, missing ...string) {
			t.Helper()
			st, err := w.Status(t.Context(), pkg.PackageID)
			w.ok(err)
			got := append(slices.Clone(st.Coverage.Requirements.Missing), st.Coverage.Objectives.Missing...)
			if st.Package.Counts.Covered != covered || st.Package.Counts.Outside != outside || !slices.Equal(got, missing) && len(got)+len(missing) > 0 {
				t.Errorf("covered %d outside %d missing %v, want %d %d %v", st.Package.Counts.Covered, st.Package.Counts.Outside, got, covered, outside, missing)
			}
			kept, err := w.Dashboard(t.Context())
			w.ok(err)
			counted, err := w.Recount(t.Context())
			w.ok(err)
			if !reflect.DeepEqual(kept, counted) {
				t.Errorf("the dashboard says %v, a recount %v", kept, counted)
			}
		}
		doc := w.file("note.md", "# A note\n")
		pass, fail := w.file("pass.xml", junit("", "")), w.file("fail.xml", junit("", "<failure/>"))
		mixed := w.file("mixed.xml", junit(
			`<properties><property name="requirement" value="R-1"/></properties>`,
			`<properties><property name="requirement" value="R-2"/></properties><failure message="no"/>`,
			`<properties><property name="requirement" value="R-3"/></properties><skipped/>`))
		add := func(uri string, typ evidence.Type, reqs, objs []string, findings int) {
			t.Helper()
			ins, err := w.collect(w.request(pkg.PackageID, uri, typ, evidence.Metadata{RequirementIDs: reqs, ObjectiveIDs: objs}))
			w.ok(err)
			if len(ins.Findings) != findings {
				t.Errorf("findings %v, want %d", ins.Findings, findings)
			}
		}
		check(0, 0)
		add(doc, evidence.Document, []string{"R-9"}, nil, 1) // before any plan
		check(0, 1)
		w.plan(pkg.PackageID, []string{"R-2", "R-1", "R-3"}, []string{"O-1"})
		check(0, 1, "R-1", "R-2", "R-3", "O-1")
		add(fail, evidence.TestResult, []string{"R-1"}, []string{"O-1"}, 2)
		check(0, 1, "R-1", "R-2", "R-3", "O-1")
		add(mixed, evidence.TestResult, []string{"R-1", "R-2", "R-3"}, nil, 2) // one of three passed
		check(1, 1, "R-2", "R-3", "O-1")
		add(mixed, evidence.TestResult, []string{"R-1"}, nil, 2) // it names too
		add(pass, evidence.TestResult, []string{"R-1", "R-2"}, []string{"O-1"}, 0)
		check(3, 1, "R-3")
		add(doc, evidence.Document, nil, nil, 1)
		check(3, 1, "R-3")
		w.plan(pkg.PackageID, []string{"R-9", "R-1"}, nil)
		check(2, 5)
		plan, err := w.PlanOf(t.Context(), pkg.PackageID, 1)
		w.ok(err)
		if plan.Version != 1 || !slices.Equal(plan.Requirements, []string{"R-1", "R-2", "R-3"}) {
			t.Errorf("%+v", plan)
		}
		if rep := w.verified(w.export(pkg.PackageID, evidence.Authority)); !rep.OK || rep.Coverage.Requirements.Covered != 2 {
			t.Errorf("%+v", rep)
		}
	})
}

func TestPlansThatAreRefused(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		pkg := w.create(evidence.Package{ModelID: model})
		for _, c := range []struct {
			p          evidence.Plan
			kind       caos.Kind
			field, say string
		}{
			{evidence.Plan{PackageID: pkg.PackageID}, caos.Invalid, "requirement_ids", "no requirement"},
			{evidence.Plan{PackageID: pkg.PackageID, Requirements: []string{"R-1", "r 2"}}, caos.Invalid, "requirement_ids[1]", "not the id"},
			{evidence.Plan{PackageID: pkg.PackageID, Objectives: []string{"O-1", "O-1"}}, caos.Invalid, "objective_ids", "twice"},
			{evidence.Plan{PackageID: "CERT-PKG-NONE", Objectives: []string{"O-1"}}, caos.NotFound, "certification_package_id", "no package"},
			{evidence.Plan{PackageID: pkg.PackageID, Objectives: make([]string, 10_001)}, caos.TooLarge, "objective_ids", "10001"},
		} {
			err := w.update(func(tx *db.Tx) error { _, err := w.SetPlan(tx, c.p, by); return err })
			wantError(t, err, c.kind, c.field, c.say)
		}
		for _, c := range []struct {
			p     evidence.Package
			field string
		}{
			{evidence.Package{ModelID: "fcs"}, "model_id"},
			{evidence.Package{ModelID: model, PackageID: "PKG-1"}, "package_id"},
			{evidence.Package{ModelID: model, Classification: "Secret"}, "classification"},
		} {
			err := w.update(func(tx *db.Tx) error { _, err := w.Create(tx, c.p, by); return err })
			wantError(t, err, caos.Invalid, c.field, "")
		}
		err := w.update(func(tx *db.Tx) error { _, err := w.Create(tx, *pkg, by); return err })
		wantError(t, err, caos.Conflict, "package_id", "there already")
		if err := w.Export(t.Context(), pkg.PackageID, evidence.Authority, nil, &bytes.Buffer{}); caos.KindOf(err) != caos.Conflict {
			t.Error(err)
		}
		if err := w.Export(t.Context(), pkg.PackageID, "everyone", nil, &bytes.Buffer{}); caos.KindOf(err) != caos.Invalid {
			t.Error(err)
		}
		large := make([]string, 10_000)
		for i := range large {
			large[i] = fmt.Sprintf("REQ-%05d", i)
		}
		w.plan(pkg.PackageID, large, nil)
		p, err := w.Package(t.Context(), pkg.PackageID)
		w.ok(err)
		if p.Counts.Planned != 10_000 {
			t.Error(p.Counts)
		}
	})
}

// TestAudiences classifies items and looks at who gets what.
func TestAudiences(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		pkg := w.create(evidence.Package{ModelID: model, Classification: "Internal"})
		w.plan(pkg.PackageID, []string{"R-1", "R-2", "R-3"}, nil)
		for i, class := range []string{"Public", "", "Confidential"} {
			uri := w.file(fmt.Sprint("doc", i, ".md"), fmt.Sprintf("secret number %d\n", i))
			_, err := w.collectAs(w.request(pkg.PackageID, uri, evidence.Document, evidence.Metadata{RequirementIDs: []string{fmt.Sprint("R-", i+1)}}), class)
			w.ok(err)
		}
		for audience, items := range map[evidence.Audience]int{evidence.Authority: 3, evidence.Supplier: 2, evidence.Public: 1} {
			file := w.export(pkg.PackageID, audience)
			rep := w.verified(file)
			if !rep.OK || rep.Evidence != items || rep.Coverage.Requirements.Covered != items {
				t.Errorf("%s: %+v", audience, rep)
			}
			for i := range 3 {
				if has := bytes.Contains(file, fmt.Appendf(nil, "secret number %d", i)); has != (i < items) {
					t.Errorf("%s: document %d is there: %v", audience, i, has)
				}
			}
			if audience == evidence.Public && bytes.Contains(file, []byte("plan set")) {
				t.Error("the public file holds an internal record")
			}
		}
	})
}

// TestNeedToKnow takes up objects of others by their digest.
func TestNeedToKnow(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		own := w.create(evidence.Package{ModelID: model, Project: "fcs", Classification: "Confidential"})
		open := w.create(evidence.Package{ModelID: model, Project: "fcs", Classification: "Public"})
		other := w.create(evidence.Package{ModelID: model, Project: "nav", Classification: "Regulated"})
		const text = "what only some may read\n"
		ins, err := w.collect(w.request(own.PackageID, w.file("a.txt", text), evidence.Document, evidence.Metadata{}))
		w.ok(err)
		uri := "object://" + ins.Item.Digest
		for _, p := range []*evidence.Package{open, other} {
			_, err = w.collect(w.request(p.PackageID, uri, evidence.Document, evidence.Metadata{}))
			wantError(t, err, caos.Denied, "artifact_uri", "another project")
		}
		_, err = w.collect(w.request(own.PackageID, uri, evidence.Document, evidence.Metadata{}))
		w.ok(err)
		_, err = w.collect(w.request(other.PackageID, w.file("b.txt", text), evidence.Document, evidence.Metadata{})) // its own bytes
		w.ok(err)
		_, err = w.collect(w.request(other.PackageID, uri, evidence.Document, evidence.Metadata{}))
		w.ok(err)
	})
}

// TestAttach puts the record of something else into a package.
func TestAttach(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		pkg := w.create(evidence.Package{ModelID: model})
		w.plan(pkg.PackageID, []string{"R-1"}, nil)
		_, err := w.collect(w.request(pkg.PackageID, w.file("a.txt", "a\n"), evidence.Document, evidence.Metadata{RequirementIDs: []string{"R-1"}}))
		w.ok(err)
		var freeze, named auditlog.Receipt
		w.ok(w.update(func(tx *db.Tx) (err error) {
			freeze, err = w.log.Append(tx, auditlog.Record{Type: auditlog.ModelFreeze, Actor: "bo", Resources: []string{model}})
			if err != nil {
				return err
			}
			named, err = w.log.Append(tx, auditlog.Record{Type: auditlog.ConfigChange, Actor: "bo", Resources: []string{pkg.PackageID}})
			return err
		}))
		w.ok(w.CheckRecord(t.Context(), freeze.ID))
		wantError(t, w.CheckRecord(t.Context(), "AUDIT-NONE"), caos.NotFound, "audit_record_id", "")
		w.ok(w.update(func(tx *db.Tx) error { return w.Attach(tx, pkg.PackageID, freeze.ID, nil, by) }))
		file := w.export(pkg.PackageID, evidence.Authority)
		if rep := w.verified(file); !rep.OK {
			t.Fatalf("%+v", rep)
		}
		for _, id := range []string{freeze.ID, named.ID} {
			if !bytes.Contains(file, []byte(verify.RecordName(id))) {
				t.Errorf("the record %s is not in the file", id)
			}
		}
	})
}

// TestInsertIsWholeOrNothing fails the transaction after Insert.
func TestInsertIsWholeOrNothing(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		pkg := w.create(evidence.Package{ModelID: model})
		w.plan(pkg.PackageID, []string{"R-1"}, nil)
		req := w.request(pkg.PackageID, w.file("a.txt", "a\n"), evidence.Document, evidence.Metadata{RequirementIDs: []string{"R-1"}})
		it, err := w.Collect(t.Context(), w.NewID(model), req, "anna")
		w.ok(err)
		err = w.update(func(tx *db.Tx) error {
			if _, err := w.Insert(tx, *it, by); err != nil {
				return err
			}
			return caos.Errorf(caos.Denied, "no")
		})
		if caos.KindOf(err) != caos.Denied {
			t.Fatal(err)
		}
		if _, err := w.Get(t.Context(), it.EvidenceID); caos.KindOf(err) != caos.NotFound {
			t.Fatal(err)
		}
		p, err := w.Package(t.Context(), pkg.PackageID)
		w.ok(err)
		if p.Counts.Items != 0 || p.Counts.Covered != 0 {
			t.Fatalf("%+v", p.Counts)
		}
		for range 2 {
			err = w.update(func(tx *db.Tx) error { _, err := w.Insert(tx, *it, by); return err })
		}
		wantError(t, err, caos.Conflict, "", "there already")
		forged := *it
		forged.EvidenceID, forged.Envelope = w.NewID(model), forged.Envelope+" "
		err = w.update(func(tx *db.Tx) error { _, err := w.Insert(tx, forged, by); return err })
		wantError(t, err, caos.Internal, "", "not signed")
		_, err = w.log.KeyRotated(t.Context(), sign.Evidence, "anna")
		w.ok(err)
		late := *it
		late.EvidenceID = w.NewID(model)
		err = w.update(func(tx *db.Tx) error { _, err := w.Insert(tx, late, by); return err })
		wantError(t, err, caos.Conflict, "", "key was changed")
		if rep := w.verified(w.export(pkg.PackageID, evidence.Authority)); !rep.OK {
			t.Errorf("%+v", rep)
		}
		other := *it
		other.ModelID = "NN-ENG-001"
		err = w.update(func(tx *db.Tx) error { _, err := w.Insert(tx, other, by); return err })
		wantError(t, err, caos.Invalid, "model_id", "is that of the model")
		refs, err := w.objects.References(t.Context(), it.Digest)
		w.ok(err)
		if len(refs) != 1 || refs[0].Owner != it.EvidenceID || refs[0].RetainUntil.IsZero() {
			t.Fatal(refs)
		}
	})
}

func TestListAndServe(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		pkg := w.create(evidence.Package{ModelID: model})
		var ids []string
		for i := range 7 {
			ins, err := w.collect(w.request(pkg.PackageID, w.file("a.txt", fmt.Sprintln("text", i)), evidence.Document, evidence.Metadata{RequirementIDs: []string{fmt.Sprint("R-", i%2)}}))
			w.ok(err)
			ids = append([]string{ins.Item.EvidenceID}, ids...)
		}
		var got []string
		pages := 0
		for cursor := ""; ; pages++ {
			items, next, err := w.List(t.Context(), evidence.Filter{PackageID: pkg.PackageID, ModelID: model, Limit: 3}, cursor)
			w.ok(err)
			for _, it := range items {
				got = append(got, it.EvidenceID)
			}
			if cursor = next; cursor == "" {
				break
			}
		}
		if !slices.Equal(got, ids) || pages != 2 {
			t.Fatalf("%v in %d pages, want %v", got, pages+1, ids)
		}
		some, _, err := w.List(t.Context(), evidence.Filter{Covers: "R-1"}, "")
		w.ok(err)
		if len(some) != 3 {
			t.Fatal(len(some))
		}
		for _, cursor := range []string{"x", "%%%", "AAAA"} {
			_, _, err = w.List(t.Context(), evidence.Filter{}, cursor)
			wantError(t, err, caos.Invalid, "cursor", "")
		}
		packages, _, err := w.Packages(t.Context(), evidence.PackageFilter{ModelID: model, Status: evidence.Open}, "")
		w.ok(err)
		if len(packages) != 1 {
			t.Fatal(packages)
		}
		it, dl, err := w.Artifact(t.Context(), ids[0])
		w.ok(err)
		defer dl.Body.Close()
		var b bytes.Buffer
		if _, err := b.ReadFrom(dl.Body); err != nil || b.String() != "text 6\n" || !strings.HasPrefix(dl.MediaType, "text/plain") || it.Metadata.RequirementIDs[0] != "R-0" {
			t.Fatal(b.String(), err, dl)
		}
		// The envelope is an in-toto statement about the artifact's digest.
		e, err := verify.ParseEnvelope([]byte(it.Envelope))
		w.ok(err)
		st, err := verify.ParseStatement(e.Bytes())
		w.ok(err)
		var predicate map[string]any
		w.ok(json.Unmarshal(st.Predicate, &predicate))
		if "SHA256:"+st.Subject[0].Digest.SHA256 != it.Digest || st.Subject[0].Name != it.EvidenceID || st.PredicateType != "urn:caos:evidence:v1" || predicate["model_id"] != model {
			t.Fatalf("%+v %v", st, predicate)
		}
	})
}

// TestGolden verifies a package file and a trust file as an earlier build wrote them: what
// was once handed to an auditor stays good. UPDATE_GOLDEN=1 writes them anew.
func TestGolden(t *testing.T) {
	if os.Getenv("UPDATE_GOLDEN") != "" {
		w := newWorld(t, dbtest.Open(t, db.SQLite), nil)
		pkg := w.create(evidence.Package{ModelID: model, Title: "Golden"})
		w.plan(pkg.PackageID, []string{"R-1", "R-2"}, []string{"O-1"})
		for _, c := range []struct {
			typ     evidence.Type
			content string
			id      string
		}{
			{evidence.TestResult, junit("", "<skipped/>"), "R-1"},
			{evidence.Metric, "time,v\n1,2\n", "R-2"},
		} {
			ref, err := w.objects.Put(t.Context(), strings.NewReader(c.content), object.PutOptions{})
			w.ok(err)
			_, err = w.collect(w.request(pkg.PackageID, "object://"+ref.Digest, c.typ, evidence.Metadata{RequirementIDs: []string{c.id}}))
			w.ok(err)
		}
		w.ok(w.update(func(tx *db.Tx) error { _, err := w.Close(tx, pkg.PackageID, "O-1 comes later", by); return err }))
		w.ok(os.WriteFile("testdata/golden.caospkg", w.export(pkg.PackageID, evidence.Authority), 0o644))
		trust, err := w.log.Trust(t.Context())
		w.ok(err)
		text, err := trust.Marshal()
		w.ok(err)
		w.ok(os.WriteFile("testdata/golden-trust.json", text, 0o644))
	}
	file, err := os.ReadFile("testdata/golden.caospkg")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/golden-trust.json")
	if err != nil {
		t.Fatal(err)
	}
	trust, err := verify.ParseTrust(text)
	if err != nil {
		t.Fatal(err)
	}
	rep, err := verify.Package(bytes.NewReader(file), int64(len(file)), trust, verify.PackageOptions{})
	if err != nil || !rep.OK || rep.Evidence != 2 || rep.Coverage.Requirements.Covered != 2 || !slices.Equal(rep.Coverage.Objectives.Missing, []string{"O-1"}) {
		t.Fatalf("%+v, %v", rep, err)
	}
}
