package registry_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/registry"
)

func TestFreezeFacts(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		f.model(fcs)
		f.model("NN-NAV-001")
		f.version("NN-NAV-001", v210)
		f.version(fcs, "1.0.0")
		_, err := f.attach(fcs, "1.0.0", "m", "inference", "old")
		f.ok(err)
		f.freeze(fcs, "1.0.0")
		f.version(fcs, v210)

		// Nothing there yet: everything is nil, nothing is an error.
		none, err := f.facts(fcs, v210, "95-00-07-01-001")
		f.ok(err)
		if none.VVReport != nil || none.VV != nil || none.SafetyAssessment != nil || none.DefectList != nil || none.DocumentationReview != nil ||
			len(none.Artifacts)+len(none.Conversions)+len(none.Requirements)+len(none.OpenDefects)+len(none.OpenProblems) != 0 {
			t.Errorf("of nothing: %+v", none)
		}
		if len(none.Earlier) != 1 || none.Earlier[0].BaselineID != "BL-FCS-1.0.0" || none.Earlier[0].Files != nil {
			t.Errorf("earlier %+v", none.Earlier)
		}
		for _, id := range []string{"", "../x", "95-99-99"} {
			if got, err := f.facts(fcs, v210, id); err != nil || got.VVReport != nil {
				t.Errorf("report %q: %+v, %v", id, got.VVReport, err)
			}
		}
		_, err = f.facts(fcs, "9.9.9", "")
		wantError(t, err, caos.NotFound, "version", "")
		_, err = f.facts("NN-FCS-009", v210, "")
		wantError(t, err, caos.NotFound, "model_id", "")

		_, err = f.attach(fcs, v210, "model.onnx", "inference", "onnx")
		f.ok(err)
		_, err = f.attach(fcs, v210, "model.pt", "trained", "pt")
		f.ok(err)
		f.must(func(tx *db.Tx) error {
			_, err := f.RecordConversion(tx, registry.Conversion{ModelID: fcs, Version: v210, From: "model.pt", To: "model.onnx", Tool: "torch.onnx"}, anna)
			return err
		})
		for i, kind := range []string{"safety-assessment", "documentation-review"} {
			d := registry.Document{DocumentID: fmt.Sprintf("95-00-08-%02d", i), Kind: kind, ModelID: fcs, ModelVersion: v210}
			_, err = f.register(d, kind, anna)
			f.ok(err)
			_, err = f.decide(registry.Decision{DocumentID: d.DocumentID, Approve: true}, bruno)
			f.ok(err)
			d.DocumentID, d.ModelID = fmt.Sprintf("95-00-09-%02d", i), "NN-NAV-001" // of another model: not seen
			_, err = f.register(d, kind, anna)
			f.ok(err)
		}
		_, err = f.register(registry.Document{DocumentID: "95-00-10", Kind: "defect-list"}, defects, anna)
		f.ok(err)
		_, err = f.register(registry.Document{DocumentID: "95-00-11", Kind: "defect-list"}, `{"model_id":"NN-FCS-001","model_version":"2.1.0","defects":[]}`, anna)
		f.ok(err)
		plan := `{"model_id":"NN-FCS-001","requirements":[{"requirement_id":"REQ-1"},{"requirement_id":"REQ-7"}]}`
		_, err = f.register(registry.Document{DocumentID: "95-00-12", Kind: "vv-plan", ModelID: fcs, ModelVersion: v210}, plan, anna)
		f.ok(err)
		_, err = f.register(registry.Document{DocumentID: "95-00-13", Kind: "vv-plan"}, strings.Replace(plan, "REQ-7", "REQ-8", 1), anna) // of all versions
		f.ok(err)
		_, err = f.register(registry.Document{DocumentID: "95-00-14", Kind: "vv-plan"}, strings.Replace(plan, "REQ-7", "REQ-9", 1), anna)
		f.ok(err)
		_, err = f.decide(registry.Decision{DocumentID: "95-00-14", Statement: "not this"}, bruno)
		f.ok(err)
		_, err = f.register(registry.Document{DocumentID: "95-00-15", Kind: "vv-plan", ModelID: fcs}, "# Plan\n\nprose", anna)
		f.ok(err)
		_, err = f.register(registry.Document{DocumentID: "95-00-07-01-001", Kind: "vv-report"}, report("PASSED",
			test("T-1", "PASSED", `,"value":1,"operator":"<=","threshold":2`),
			test("T-2", "PASSED", `,"value":3,"operator":"<=","threshold":2`),
			test("T-3", "SKIPPED", `,"note":"no rig"`),
			`{"test_id":"T-4","title":"t","requirement_ids":["REQ-7"],"result":"PASSED"}`), anna)
		f.ok(err)

		got, err := f.facts(fcs, v210, "95-00-07-01-001")
		f.ok(err)
		if len(got.Artifacts) != 2 || got.Artifacts[0].Name != "model.onnx" || got.Artifacts[0].Scan == nil || len(got.Conversions) != 1 || got.Version.Artifacts != 2 {
			t.Errorf("artifacts %+v", got)
		}
		if got.SafetyAssessment.DocumentID != "95-00-08-00" || got.SafetyAssessment.Status != registry.DocumentApproved || got.DocumentationReview.DocumentID != "95-00-08-01" {
			t.Errorf("documents %+v %+v", got.SafetyAssessment, got.DocumentationReview)
		}
		if got.DefectList.DocumentID != "95-00-11" || len(got.OpenDefects) != 2 || got.OpenDefects[0].DefectID != "D-3" || got.OpenDefects[0].DocumentID != "95-00-10" ||
			got.OpenDefectCount["HIGH"] != 1 || got.OpenDefectCount["LOW"] != 1 || got.OpenDefectCount["CRITICAL"] != 0 {
			t.Errorf("defects %+v %v", got.OpenDefects, got.OpenDefectCount)
		}
		wantList(t, got.Requirements, "REQ-1", "REQ-7", "REQ-8")
		if got.RequirementSources["REQ-7"] != "95-00-12" || got.RequirementSources["REQ-8"] != "95-00-13" {
			t.Errorf("sources %v", got.RequirementSources)
		}
		vv := got.VV
		if vv == nil || vv.Tests != 4 || vv.Results["PASSED"] != 3 || vv.Results["SKIPPED"] != 1 || len(vv.NotPassed) != 1 || vv.NotPassed[0].Note != "no rig" ||
			vv.Contradictions != 1 || vv.Contradicted[0].TestID != "T-2" || vv.ModelVersion != v210 || vv.Status != "PASSED" {
			t.Fatalf("report %+v", vv)
		}
		if q := vv.Requirements["REQ-1"]; q.Verified() || q.Tests != 3 || q.Passed != 1 || q.FirstBad != "T-2" {
			t.Errorf("REQ-1 %+v", q)
		}
		if !vv.Requirements["REQ-7"].Verified() || vv.Requirements["REQ-8"].Verified() {
			t.Errorf("requirements %+v", vv.Requirements)
		}

		// A report that is no report is there, and says nothing.
		_, err = f.register(registry.Document{DocumentID: "95-00-77", Kind: "design"}, "x", anna)
		f.ok(err)
		got, err = f.facts(fcs, v210, "95-00-77")
		f.ok(err)
		if got.VVReport == nil || got.VV != nil {
			t.Errorf("%+v %+v", got.VVReport, got.VV)
		}
	})
}

// Operators at their borders. A test that wants a value and states none does not hold.
func TestThresholds(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		f.model(fcs)
		f.version(fcs, v210)
		good := []string{`2,"operator":"<="`, `1.999,"operator":"<"`, `2,"operator":">="`, `2.001,"operator":">"`, `2.0,"operator":"=="`, `-1e300,"operator":"<"`}
		bad := []string{`2.001,"operator":"<="`, `2,"operator":"<"`, `1.999,"operator":">="`, `2,"operator":">"`, `2.0000001,"operator":"=="`}
		var tests []string
		for i, more := range append(good, bad...) {
			tests = append(tests, test(fmt.Sprintf("T-%02d", i), "PASSED", `,"threshold":2,"value":`+more))
		}
		tests = append(tests, test("T-99", "PASSED", `,"threshold":2,"operator":"<"`))
		_, err := f.register(registry.Document{DocumentID: "95-00-07-01-001", Kind: "vv-report"}, report("PASSED", tests...), anna)
		f.ok(err)
		got, err := f.facts(fcs, v210, "95-00-07-01-001")
		f.ok(err)
		var ids []string
		for _, one := range got.VV.Contradicted {
			ids = append(ids, one.TestID)
		}
		wantList(t, ids, "T-06", "T-07", "T-08", "T-09", "T-10", "T-99")
	})
}

// large is the largest report that is taken: 10,000 tests, as many requirements, close to
// 4 MiB, nearly all of it bad.
func large() string {
	tests := make([]string, 10_000)
	for i := range tests {
		tests[i] = fmt.Sprintf(`{"test_id":"TEST-CASE-%05d","title":"%s","requirement_ids":["REQ-FCS-SAFETY-%05d"],"result":"FAILED","metric":"mae","value":%d.5,"operator":"<=","threshold":7,"note":"%s"}`,
			i, strings.Repeat("t", 50), i, i, strings.Repeat("n", 180))
	}
	return report("PASSED", tests...)
}

// fill registers as much as a version may have, of everything that a freeze looks at.
func fill(f *fixture) {
	f.model(fcs)
	f.version(fcs, v210)
	if data := large(); len(data) > 4<<20 || len(data) < 7<<19 {
		f.t.Fatalf("the report has %d bytes", len(data))
	}
	_, err := f.register(registry.Document{DocumentID: "95-00-07-01-001", Kind: "vv-report"}, large(), anna)
	f.ok(err)
	bugs := list(10_000, `{"defect_id":"DEFECT-%05d","title":"`+strings.Repeat("t", 100)+`","severity":"HIGH","status":"OPEN"}`)
	for i := range 10 {
		_, err := f.register(registry.Document{DocumentID: fmt.Sprintf("95-00-10-%02d", i), Kind: "defect-list"}, `{"model_id":"NN-FCS-001","model_version":"2.1.0","defects":[`+bugs+`]}`, anna)
		f.ok(err)
	}
	for i := range 10 {
		reqs := list(10_000, fmt.Sprintf(`{"requirement_id":"REQ-PLAN-%02d-%%05d"}`, i%3))
		_, err := f.register(registry.Document{DocumentID: fmt.Sprintf("95-00-11-%02d", i), Kind: "vv-plan", ModelID: fcs, ModelVersion: v210}, `{"requirements":[`+reqs+`]}`, anna)
		f.ok(err)
	}
	_, err = f.attach(fcs, v210, "f0000", "other", "x")
	f.ok(err)
	f.must(func(tx *db.Tx) error {
		for i := 1; i < 1000; i++ {
			tx.Exec(`INSERT INTO model_artifacts SELECT model_id, version, $1, role, digest, size, media_type, format, source, description, scan, added_at, added_by
				FROM model_artifacts WHERE name = 'f0000'`, fmt.Sprintf("f%04d", i))
		}
		return tx.Err()
	})
}

// The largest facts that there can be are complete, and cost a fraction of what a function
// in a shared transaction may take. The bound here is wide because the machine may be busy;
// BenchmarkFreezeFacts has the figure.
func TestFreezeFactsOfMuch(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		fill(f)
		var took []time.Duration
		for range 5 {
			var got *registry.FreezeFacts
			f.must(func(tx *db.Tx) (err error) {
				start := time.Now()
				got, err = f.FreezeFacts(tx, fcs, v210, "95-00-07-01-001")
				took = append(took, time.Since(start))
				return err
			})
			if got.VV.Tests != 10_000 || len(got.VV.NotPassed) != 100 || got.VV.Results["FAILED"] != 10_000 || len(got.VV.Requirements) != 10_001 ||
				len(got.Requirements) != 30_000 || got.OpenDefectCount["HIGH"] != 100_000 || len(got.OpenDefects) != 100 || len(got.Artifacts) != 1000 {
				t.Fatalf("incomplete: %d tests, %d requirements, %d of the version", got.VV.Tests, len(got.VV.Requirements), len(got.Requirements))
			}
		}
		t.Logf("facts of much took %v", took)
		fastest := took[0]
		for _, d := range took {
			fastest = min(fastest, d)
		}
		if fastest > 200*time.Millisecond {
			t.Errorf("facts took %v", took)
		}
	})
}

// BenchmarkFreezeFacts measures the largest facts that there can be.
func BenchmarkFreezeFacts(b *testing.B) {
	for _, dialect := range []db.Dialect{db.SQLite, db.PostgreSQL} {
		b.Run(string(dialect), func(b *testing.B) {
			f := newFixture(b, dbtest.Open(b, dialect), b.TempDir(), 0)
			fill(f)
			b.ResetTimer()
			f.must(func(tx *db.Tx) error {
				for range b.N {
					if _, err := f.FreezeFacts(tx, fcs, v210, "95-00-07-01-001"); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
}

// BenchmarkParseVVReport measures reading the largest report, outside any transaction.
func BenchmarkParseVVReport(b *testing.B) {
	data := []byte(large())
	b.SetBytes(int64(len(data)))
	for range b.N {
		if _, err := registry.ParseVVReport(data); err != nil {
			b.Fatal(err)
		}
	}
}

// What a conversion record names as its proof counts once it is there, in the model's
// project, and as long as nobody rejected it.
func TestEquivalences(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		f.model(fcs)
		f.version(fcs, v210)
		for i, name := range []string{"a", "b", "c", "d"} {
			_, err := f.attach(fcs, v210, name, "other", name)
			f.ok(err)
			proof := []string{"", "95-00-20-01-001", "95-00-20-01-002", "95-00-20-01-003"}[i]
			if proof == "" {
				continue
			}
			f.must(func(tx *db.Tx) error {
				_, err := f.RecordConversion(tx, registry.Conversion{ModelID: fcs, Version: v210, From: "a", To: name, Tool: "x", Equivalence: proof}, anna)
				return err
			})
		}
		for _, d := range []registry.Document{
			{DocumentID: "95-00-20-01-001", Kind: "equivalence", ModelID: fcs},
			{DocumentID: "95-00-20-01-002", Kind: "equivalence", ModelID: fcs},
			{DocumentID: "95-00-20-01-003", Kind: "equivalence", Project: "elsewhere"},
		} {
			_, err := f.register(d, d.DocumentID, anna)
			f.ok(err)
		}
		_, err := f.decide(registry.Decision{DocumentID: "95-00-20-01-002", Statement: "it does not"}, bruno)
		f.ok(err)
		got, err := f.facts(fcs, v210, "")
		f.ok(err)
		if s := fmt.Sprint(got.Equivalences); s != "map[95-00-20-01-001:true 95-00-20-01-002:false 95-00-20-01-003:false]" {
			t.Error(s)
		}
	})
}
