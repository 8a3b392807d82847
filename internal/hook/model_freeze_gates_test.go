package hook

import (
	"slices"
	"strings"
	"testing"
	"time"

	"caos"
	"caos/internal/modelfile"
	"caos/internal/registry"
)

func digestOf(c string) string { return "SHA256:" + strings.Repeat(c, 64) }

// readyFacts are those of a version that nothing stands against.
func readyFacts() (*registry.FreezeFacts, freezeQuery) {
	const m, v, report = "NN-DLY-001", "1.0.0", "95-00-07-01-001"
	document := func(id, kind string, status registry.DocumentStatus, stated string) *registry.Document {
		return &registry.Document{DocumentID: id, Version: "1.0", Kind: kind, Status: status, Stated: stated, ModelID: m, ModelVersion: v,
			Digest: digestOf(id[len(id)-1:]), Size: 10, RegisteredBy: "vera", RecordedBy: "vera", DecidedBy: "sam"}
	}
	value, limit := 11.5, 12.0
	f := &registry.FreezeFacts{
		Model:   &registry.Model{ModelID: m, Owner: "olga", FormerOwners: []string{}},
		Version: &registry.Version{ModelID: m, Version: v, State: registry.Registered},
		Artifacts: []*registry.Artifact{
			{Name: "model.onnx", Role: "inference", Digest: digestOf("a"), Size: 100, Scan: &modelfile.Report{Format: "onnx"}},
			{Name: "train/model.safetensors", Role: "trained", Digest: digestOf("b"), Size: 100, Scan: &modelfile.Report{Format: "safetensors"}},
		},
		Conversions: []*registry.Conversion{{From: "train/model.safetensors", To: "model.onnx", FromDigest: digestOf("b"), ToDigest: digestOf("a"),
			Tool: "exporter", ToolVersion: "1", Equivalence: "95-00-07-01-009"}},
		Equivalences: map[string]bool{"95-00-07-01-009": true},
		VVReport:     document(report, registry.KindVVReport, registry.DocumentRegistered, "PASSED"),
		VV: &registry.VVFacts{DocumentID: report, ModelID: m, ModelVersion: v, Status: "PASSED", Tests: 2, Results: map[string]int{"PASSED": 2},
			Artifacts:    []registry.VVArtifact{{Name: "model.onnx", Digest: digestOf("a")}},
			Contradicted: []registry.VVTest{{TestID: "T-1", Metric: "mae", Value: &value, Operator: "<=", Threshold: &limit}},
			Requirements: map[string]registry.VVRequirementFacts{"REQ-1": {Tests: 1, Passed: 1}, "REQ-2": {Tests: 1, Passed: 1}}},
		SafetyAssessment:    document("95-00-07-02-002", registry.KindSafetyAssessment, registry.DocumentApproved, ""),
		DefectList:          document("95-00-07-03-003", registry.KindDefectList, registry.DocumentRegistered, ""),
		DocumentationReview: document("95-00-07-04-004", registry.KindDocumentationReview, registry.DocumentApproved, ""),
		OpenDefectCount:     map[string]int{"LOW": 3}, Requirements: []string{"REQ-1", "REQ-2"},
	}
	in := FreezeInput{ModelID: m, ModelVersion: v, VVReportID: report, VVStatus: "PASSED", FreezeRequester: "conny", FreezeRationale: "ready"}
	hashed := map[string]string{}
	for _, d := range gateDocuments(f) {
		hashed[d.key()] = d.Digest
	}
	return f, freezeQuery{in: in, documents: gateDocuments(f), files: filesOf(f), hashed: hashed}
}

// Each gate says yes to a version that is ready, and exactly one says no, by its name and
// with words that help, to each thing that can be wrong with it.
func TestFreezeVerdicts(t *testing.T) {
	f, q := readyFacts()
	names := map[string]bool{}
	for _, v := range freezeVerdicts(f, q) {
		if !v.Pass || v.Finding != nil || len(v.Facts) == 0 || v.Action == "" || names[v.Gate] {
			t.Errorf("ready, and yet %+v %+v", v, v.Finding)
		}
		names[v.Gate] = true
	}
	value := 13.0
	for _, c := range []struct {
		name  string
		spoil func(f *registry.FreezeFacts, q *freezeQuery)
		gates string // that say no, in order
		words string // in the first finding
	}{
		{"no report", func(f *registry.FreezeFacts, _ *freezeQuery) { f.VVReport, f.VV = nil, nil },
			"vv-registered vv-registered-by-other vv-of-this-version vv-passed vv-tests vv-requirements documents-same", "no V&V report of NN-DLY-001@1.0.0 is registered"},
		{"a plan for a report", func(f *registry.FreezeFacts, _ *freezeQuery) { f.VVReport.Kind, f.VV = "vv-plan", nil },
			"vv-registered vv-registered-by-other vv-of-this-version vv-passed vv-tests vv-requirements documents-same", "is a vv-plan, not a V&V report"},
		{"rejected report", func(f *registry.FreezeFacts, _ *freezeQuery) { f.VVReport.Status = registry.DocumentRejected }, "vv-registered", "is REJECTED"},
		{"swapped after the report", func(f *registry.FreezeFacts, _ *freezeQuery) {
			f.VV.Artifacts = nil
			f.Artifacts[0].AddedAt = f.VVReport.RegisteredAt.Add(time.Second)
		}, "vv-of-this-version", "was attached after the V&V report"},
		{"registered by the owner", func(f *registry.FreezeFacts, _ *freezeQuery) { f.VVReport.RegisteredBy = "olga" }, "vv-registered-by-other", "olga owns or owned"},
		{"authenticated by the owner", func(f *registry.FreezeFacts, _ *freezeQuery) { f.VVReport.RecordedBy = "olga" }, "vv-registered-by-other", "olga owns or owned"},
		{"registered by a former owner", func(f *registry.FreezeFacts, _ *freezeQuery) { f.Model.FormerOwners = []string{"vera"} }, "vv-registered-by-other", "vera owns or owned"},
		{"of another version", func(f *registry.FreezeFacts, _ *freezeQuery) { f.VVReport.ModelVersion = "0.9.0" }, "vv-of-this-version", "of NN-DLY-001@0.9.0, not of NN-DLY-001@1.0.0"},
		{"says another model inside", func(f *registry.FreezeFacts, _ *freezeQuery) { f.VV.ModelID = "NN-FCS-001" }, "vv-of-this-version", "of NN-FCS-001@1.0.0"},
		{"tested another file", func(f *registry.FreezeFacts, _ *freezeQuery) { f.VV.Artifacts[0].Digest = digestOf("c") }, "vv-of-this-version", "tested model.onnx with digest SHA256:cccc"},
		{"tested a file that is not there", func(f *registry.FreezeFacts, _ *freezeQuery) { f.VV.Artifacts[0].Name = "other.onnx" }, "vv-of-this-version", "tested other.onnx, which"},
		{"recorded FAILED", func(f *registry.FreezeFacts, _ *freezeQuery) { f.VVReport.Stated = "FAILED" }, "vv-passed", "says FAILED"},
		{"INCOMPLETE", func(f *registry.FreezeFacts, q *freezeQuery) {
			f.VVReport.Stated, f.VV.Status, q.in.VVStatus = "INCOMPLETE", "INCOMPLETE", "INCOMPLETE"
		}, "vv-passed", "says INCOMPLETE"},
		{"another report failed", func(f *registry.FreezeFacts, _ *freezeQuery) {
			f.VVReports = append(f.VVReports, &registry.Document{DocumentID: "95-00-07-01-002", Version: "1.0", Kind: registry.KindVVReport, Stated: "FAILED"})
		}, "vv-undisputed", "95-00-07-01-002@1.0, says FAILED"},
		{"no tests", func(f *registry.FreezeFacts, _ *freezeQuery) { f.VV.Tests = 0 }, "vv-tests", "has no tests"},
		{"a failed test", func(f *registry.FreezeFacts, _ *freezeQuery) {
			f.VV.Results = map[string]int{"PASSED": 1, "FAILED": 1}
			f.VV.NotPassed = []registry.VVTest{{TestID: "T-2", Result: "FAILED"}}
		}, "vv-tests", "1 test of 2 did not pass: T-2 (FAILED)"},
		{"a skipped test", func(f *registry.FreezeFacts, _ *freezeQuery) {
			f.VV.Results = map[string]int{"PASSED": 1, "SKIPPED": 1}
			f.VV.NotPassed = []registry.VVTest{{TestID: "T-2", Result: "SKIPPED"}}
		}, "vv-tests", "T-2 (SKIPPED)"},
		{"passed against the threshold", func(f *registry.FreezeFacts, _ *freezeQuery) {
			f.VV.Contradictions, f.VV.Contradicted[0].Value = 1, &value
		}, "vv-tests", "T-1 (mae 13, wanted <= 12)"},
		{"nothing to verify", func(f *registry.FreezeFacts, _ *freezeQuery) { f.Requirements = nil }, "vv-requirements", "no requirement is linked"},
		{"an untested requirement", func(f *registry.FreezeFacts, _ *freezeQuery) { f.Requirements = append(f.Requirements, "REQ-3") }, "vv-requirements", "1 requirement of 3 without a test in 95-00-07-01-001: REQ-3"},
		{"a requirement that the report lists and does not test", func(f *registry.FreezeFacts, _ *freezeQuery) {
			f.VV.Requirements["REQ-4"] = registry.VVRequirementFacts{}
		}, "vv-requirements", "REQ-4"},
		{"a requirement with a failed test", func(f *registry.FreezeFacts, _ *freezeQuery) {
			f.VV.Requirements["REQ-2"] = registry.VVRequirementFacts{Tests: 2, Passed: 1, FirstBad: "T-9"}
		}, "vv-requirements", "REQ-2 (T-9)"},
		{"no safety assessment", func(f *registry.FreezeFacts, _ *freezeQuery) { f.SafetyAssessment = nil }, "safety-approved documents-same", "no safety assessment of"},
		{"safety not decided", func(f *registry.FreezeFacts, _ *freezeQuery) { f.SafetyAssessment.Status = registry.DocumentRegistered }, "safety-approved", "is REGISTERED, not APPROVED"},
		{"safety rejected", func(f *registry.FreezeFacts, _ *freezeQuery) { f.SafetyAssessment.Status = registry.DocumentRejected }, "safety-approved", "is REJECTED"},
		{"no defect list", func(f *registry.FreezeFacts, _ *freezeQuery) { f.DefectList = nil }, "defects documents-same", "no defect list"},
		{"rejected defect list", func(f *registry.FreezeFacts, _ *freezeQuery) { f.DefectList.Status = registry.DocumentRejected }, "defects", "is REJECTED"},
		{"an open high defect", func(f *registry.FreezeFacts, _ *freezeQuery) {
			f.OpenDefectCount["HIGH"] = 1
			f.OpenDefects = []registry.OpenDefect{{DocumentID: "95-00-07-03-003", Defect: registry.Defect{DefectID: "D-7", Severity: "HIGH", Status: "OPEN"}}}
		}, "defects", "1 critical or high defect open: D-7 (HIGH)"},
		{"an open critical problem report", func(f *registry.FreezeFacts, _ *freezeQuery) {
			f.OpenProblems = []registry.ProblemReport{{ProblemID: "PR-DLY-1", Severity: registry.Critical, Owner: "quin"}, {ProblemID: "PR-DLY-2", Severity: registry.Low}}
		}, "defects", "PR-DLY-1 (CRITICAL)"},
		{"no documentation review", func(f *registry.FreezeFacts, _ *freezeQuery) { f.DocumentationReview = nil }, "documentation-reviewed documents-same", "no documentation review"},
		{"review not decided", func(f *registry.FreezeFacts, _ *freezeQuery) {
			f.DocumentationReview.Status = registry.DocumentRegistered
		}, "documentation-reviewed", "not APPROVED"},
		{"no artifacts", func(f *registry.FreezeFacts, q *freezeQuery) {
			f.Artifacts, f.Conversions, f.VV.Artifacts, q.files = nil, nil, nil, nil
		}, "artifacts artifacts-safe", "has no artifacts"},
		{"an empty artifact", func(f *registry.FreezeFacts, _ *freezeQuery) { f.Artifacts[0].Size = 0 }, "artifacts", "model.onnx is empty"},
		{"nothing that production runs", func(f *registry.FreezeFacts, q *freezeQuery) { f.Artifacts[0].Role, q.files = "other", nil }, "artifacts", "role inference"},
		{"changed while it was frozen", func(f *registry.FreezeFacts, q *freezeQuery) { q.files[0].Digest = digestOf("d") }, "artifacts", "changed while"},
		{"not scanned", func(f *registry.FreezeFacts, _ *freezeQuery) { f.Artifacts[1].Scan = nil }, "artifacts-safe", "was not scanned"},
		{"a pickle as inference artifact", func(f *registry.FreezeFacts, _ *freezeQuery) {
			f.Artifacts[0].Scan = &modelfile.Report{Format: "pickle", Code: true}
		}, "artifacts-safe", "can run code"},
		{"a zip bomb", func(f *registry.FreezeFacts, _ *freezeQuery) {
			f.Artifacts[1].Scan.Findings = []modelfile.Finding{{Rule: "zip-bomb", Severity: modelfile.Critical, Message: "inflates without end", Remedy: "make it again"}}
		}, "artifacts-safe", "inflates without end"},
		{"no conversion record", func(f *registry.FreezeFacts, _ *freezeQuery) { f.Conversions = nil }, "conversions", "nothing says how model.onnx, role inference, was made"},
		{"conversion of other bytes", func(f *registry.FreezeFacts, _ *freezeQuery) { f.Conversions[0].FromDigest = digestOf("e") }, "conversions", "recorded of other bytes"},
		{"unknown proof of equivalence", func(f *registry.FreezeFacts, _ *freezeQuery) { f.Equivalences = nil }, "conversions", "there is no document or evidence 95-00-07-01-009"},
		{"no proof of equivalence", func(f *registry.FreezeFacts, _ *freezeQuery) { f.Conversions[0].Equivalence = "" }, "conversions", "nothing shows that model.onnx computes"},
		{"converted without a record", func(f *registry.FreezeFacts, q *freezeQuery) {
			f.Artifacts[1].Role, f.Conversions, q.files = "converted", nil, nil
		}, "conversions", "role converted"},
		{"a document superseded meanwhile", func(f *registry.FreezeFacts, q *freezeQuery) {
			f.DefectList.Version = "2.0"
			q.hashed["95-00-07-03-003@2.0"] = f.DefectList.Digest
		}, "documents-same", "is 95-00-07-03-003@2.0 now, not 95-00-07-03-003@1.0"},
		{"a document changed on disk", func(f *registry.FreezeFacts, q *freezeQuery) { q.hashed["95-00-07-01-001@1.0"] = digestOf("f") }, "documents-unchanged", "have digest SHA256:ffff"},
		{"a document gone from disk", func(f *registry.FreezeFacts, q *freezeQuery) { q.hashed["95-00-07-01-001@1.0"] = "" }, "documents-unchanged", "missing or damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, q := readyFacts()
			c.spoil(f, &q)
			var no []string
			var first *caos.Finding
			for _, v := range freezeVerdicts(f, q) {
				if v.Pass {
					continue
				}
				if no = append(no, v.Gate); first == nil {
					first = v.Finding
				}
				if v.Finding == nil || v.Finding.Rule != v.Gate || v.Finding.Remedy == "" || v.Finding.Subject == "" {
					t.Errorf("%s: the finding does not help: %+v", v.Gate, v.Finding)
				}
			}
			if got := strings.Join(no, " "); got != c.gates || first == nil || !strings.Contains(first.Message, c.words) {
				t.Errorf("no from %q, want %q: %+v", got, c.gates, first)
			}
			if err := rejected(freezeVerdicts(f, q)); err == nil {
				t.Error("not rejected")
			}
		})
	}
}

// What is listed in a finding is bounded, and the rest is counted.
func TestFreezeFindingsAreBounded(t *testing.T) {
	f, q := readyFacts()
	for i := range 5000 {
		f.Requirements = append(f.Requirements, "REQ-X-"+strings.Repeat("1", 1+i%40))
	}
	slices.Sort(f.Requirements)
	for _, v := range freezeVerdicts(f, q) {
		if v.Finding != nil && len(v.Finding.Message) > 1000 {
			t.Errorf("%s: %d bytes", v.Gate, len(v.Finding.Message))
		}
	}
}
