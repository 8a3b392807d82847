package hook

import (
	"slices"
	"strings"
	"testing"
	"time"

	"caos/internal/evidence"
	"caos/internal/readiness"
	"caos/internal/registry"
	"caos/internal/report"
)

// readyPRR are the facts of a version that a board can approve.
func readyPRR() *prrFacts {
	f, _ := readyFacts()
	f.Version.State, f.Version.BaselineID = registry.Frozen, "BL-DLY-1.0.0"
	checked := time.Date(2026, 11, 20, 1, 0, 0, 0, time.UTC)
	return &prrFacts{
		Subject:  readiness.Subject{ModelID: "NN-DLY-001", Version: "1.0.0", BaselineID: "BL-DLY-1.0.0", RootDigest: digestOf("c"), SafetyLevel: "DAL-D"},
		Today:    "2026-11-23",
		Freeze:   f,
		Baseline: &registry.Baseline{BaselineID: "BL-DLY-1.0.0", ModelID: "NN-DLY-001", Version: "1.0.0", RootDigest: digestOf("c"), CheckStatus: registry.Intact, CheckedAt: &checked},
		Checklist: &readiness.Checklist{ChecklistID: "CHK-DLY-1.0.0", Items: []*readiness.Item{
			{ItemID: "1.1", Title: "Frozen", Criticality: readiness.CriticalItem, Status: readiness.ItemComplete},
			{ItemID: "2.4", Title: "Headroom", Criticality: readiness.MinorItem, Status: readiness.ItemNotApplicable},
		}},
		Risks: []*readiness.Risk{
			{RiskID: "RISK-1", Score: 20, Level: readiness.Critical, ResidualScore: 12, ResidualLevel: readiness.High, Status: readiness.RiskAccepted, Involved: []string{"mlo"},
				Accepted: &readiness.Acceptance{By: "carl", Role: "chief-engineer", ResidualScore: 12}},
			{RiskID: "RISK-2", Score: 25, Level: readiness.Critical, Status: readiness.RiskClosed},
			{RiskID: "RISK-3", Score: 4, Level: readiness.Low, Status: readiness.RiskOpen},
		},
		Evidence: &evidence.Standing{Packages: []*evidence.Package{{PackageID: "CERT-PKG-DLY"}}, Planned: 1, Total: 1,
			Needs: []evidence.Need{{Kind: "requirement", ID: "REQ-1", Covered: true, Items: []string{"EVID-1"}}}},
		Plan: &readiness.CertificationPlan{PlanID: "CPLAN-DLY-1", Objectives: []*readiness.PlannedObjective{
			{ID: "DM-01", Applicable: true, Evidence: []string{"EVID-1"}}, {ID: "DM-02", Justification: "no data is collected"}}},
	}
}

// spoiltPRR are facts by which no check holds.
func spoiltPRR() *prrFacts {
	f := readyPRR()
	for _, c := range prrSpoils() {
		if c.all {
			c.spoil(f)
		}
	}
	return f
}

type prrSpoil struct {
	name, rule, ceiling, says string
	all                       bool // part of spoiltPRR
	spoil                     func(f *prrFacts)
}

// prrSpoils are the things that can be wrong, each with the check that finds it.
func prrSpoils() []prrSpoil {
	const no, partly = report.Rejected, report.Conditional
	return []prrSpoil{
		{"not frozen", "version-frozen", no, "PRODUCTION_READY", true, func(f *prrFacts) { f.Freeze.Version.State = registry.ProductionReady }},
		{"another baseline", "version-frozen", no, "BL-DLY-0.9.0", false, func(f *prrFacts) { f.Freeze.Version.BaselineID = "BL-DLY-0.9.0" }},
		{"damaged", "baseline-intact", no, "differ", true, func(f *prrFacts) {
			f.Baseline.CheckStatus, f.Baseline.Problems = registry.Damaged, []string{"model.onnx differs"}
		}},
		{"critical item open", "checklist-critical", no, "1.1 Frozen", true, func(f *prrFacts) { f.Checklist.Items[0].Status = readiness.ItemInProgress }},
		{"item of no criticality", "checklist-critical", no, "1.1", false, func(f *prrFacts) {
			f.Checklist.Items[0].Status, f.Checklist.Items[0].Criticality = readiness.ItemPlanned, "WHATEVER"
		}},
		{"minor item open", "checklist-minor", partly, "2.4 Headroom", true, func(f *prrFacts) { f.Checklist.Items[1].Status = readiness.ItemPlanned }},
		{"another report failed", "vv-undisputed", no, "FAILED", true, func(f *prrFacts) {
			f.Freeze.VVReports = append(f.Freeze.VVReports, &registry.Document{DocumentID: "95-00-07-01-077", Version: "1.0", Kind: registry.KindVVReport, Status: registry.DocumentRegistered, Stated: "FAILED"})
		}},
		{"assessment superseded", "safety-approved", no, "REGISTERED", true, func(f *prrFacts) { f.Freeze.SafetyAssessment.Status = registry.DocumentRegistered }},
		{"high problem report", "defects", no, "PR-DLY-1", true, func(f *prrFacts) {
			f.Freeze.OpenProblems = append(f.Freeze.OpenProblems, registry.ProblemReport{ProblemID: "PR-DLY-1", Severity: registry.High, Owner: "mlo"})
		}},
		{"no risk", "risk-register", partly, "nobody looked", false, func(f *prrFacts) { f.Risks = nil }},
		{"critical risk", "risk-critical", no, "RISK-3 (15)", true, func(f *prrFacts) { f.Risks[2].Score, f.Risks[2].Level = 15, readiness.Critical }},
		{"critical residual", "risk-critical", no, "RISK-1 (16)", false, func(f *prrFacts) {
			f.Risks[0].ResidualScore, f.Risks[0].ResidualLevel = 16, readiness.Critical
		}},
		{"high, not accepted", "risk-high", no, "RISK-1 (12)", true, func(f *prrFacts) { f.Risks[0].Status, f.Risks[0].Accepted = readiness.RiskMitigating, nil }},
		{"high, accepted by quality", "risk-high", no, "RISK-1", false, func(f *prrFacts) { f.Risks[0].Accepted.Role = "qa-lead" }},
		{"high, accepted before it rose", "risk-high", no, "RISK-1 (14)", false, func(f *prrFacts) { f.Risks[0].ResidualScore = 14 }},
		{"nothing planned", "evidence-plan", no, "no certification package", true, func(f *prrFacts) { f.Evidence.Planned = 0 }},
		{"evidence missing", "evidence-required", no, "REQ-1", true, func(f *prrFacts) { f.Evidence.Needs[0].Covered = false }},
		{"evidence failed last", "evidence-required", no, "REQ-1 (EVID-2)", false, func(f *prrFacts) { f.Evidence.Needs[0].Covered, f.Evidence.Needs[0].Failed = false, "EVID-2" }},
		{"too much evidence", "evidence-required", no, "more evidence", false, func(f *prrFacts) { f.Evidence.Cut = true }},
		{"objective without evidence", "certification-objectives", no, "DM-01", true, func(f *prrFacts) { f.Plan.Objectives[0].Evidence = nil }},
	}
}

// Each check holds for a version that is ready, and exactly one does not, by its name, its
// ceiling and with words that help, for each thing that can be wrong. Mutations that make
// this fail: a ceiling that is left out; highRisks that does not compare scores.
func TestPRRVerdicts(t *testing.T) {
	for _, v := range prrVerdicts(readyPRR()) {
		if !v.Pass || v.Finding != nil || v.Ceiling != report.Approved || v.Action == "" {
			t.Errorf("ready, and yet %+v %+v", v, v.Finding)
		}
	}
	for _, c := range prrSpoils() {
		t.Run(c.name, func(t *testing.T) {
			f := readyPRR()
			c.spoil(f)
			list := prrVerdicts(f)
			for _, v := range list {
				if v.Pass != (v.Gate != c.rule) {
					t.Errorf("%s: %v %+v", v.Gate, v.Pass, v.Finding)
				}
				if v.Gate == c.rule && (v.Finding == nil || v.Ceiling != c.ceiling || !strings.Contains(v.Finding.Message, c.says) || v.Finding.Remedy == "" || v.Finding.Rule != c.rule) {
					t.Errorf("%+v %+v", v, v.Finding)
				}
			}
			if got := bestOf(list); got != c.ceiling {
				t.Errorf("best %s", got)
			}
		})
	}
	if got := bestOf(prrVerdicts(spoiltPRR())); got != report.Rejected {
		t.Errorf("nothing holds, and the best is %s", got)
	}
}

// Without a checklist, a plan or open items there is something to say, and no panic.
func TestPRRVerdictsOfLittle(t *testing.T) {
	f := readyPRR()
	f.Checklist, f.Plan, f.Evidence = nil, nil, &evidence.Standing{}
	f.Freeze.VVReport, f.Freeze.VV, f.Freeze.SafetyAssessment, f.Freeze.DefectList = nil, nil, nil, nil
	if got := bestOf(prrVerdicts(f)); got != report.Rejected {
		t.Errorf("best %s", got)
	}
	conditionsOf(f, prrVerdicts(f))
}

// What a conditional decision makes conditions of: minor items with their owners and dates,
// and other findings of that weight. Once they are closed, the items may stay open.
func TestPRRConditions(t *testing.T) {
	f := readyPRR()
	f.Risks = nil
	f.Checklist.Items[1].Status, f.Checklist.Items[1].Owner, f.Checklist.Items[1].DueOn = readiness.ItemPlanned, "mlo", "2026-12-01"
	drafts, items := conditionsOf(f, prrVerdicts(f))
	want := []readiness.ConditionDraft{{Text: "Checklist item 2.4: Headroom", Owner: "mlo", DueOn: "2026-12-01"},
		{Text: "no risk of NN-DLY-001@1.0.0 is registered, which shows that nobody looked", Owner: "olga", DueOn: "2026-12-23"}}
	if !slices.Equal(drafts, want) || !slices.Equal(items, []string{"2.4"}) {
		t.Errorf("%+v %v", drafts, items)
	}
	if allows(prrVerdicts(f), report.Conditional) || allows(prrVerdicts(f), report.Approved) {
		t.Error("an open item that is no condition is let pass")
	}
	f.Conditioned = items
	if !allows(prrVerdicts(f), report.Conditional) || allows(prrVerdicts(f), report.Approved) {
		t.Error("a conditioned item stands against the decision")
	}
	f.Freeze.OpenProblems = append(f.Freeze.OpenProblems, registry.ProblemReport{ProblemID: "PR-1", Severity: registry.Critical})
	if allows(prrVerdicts(f), report.Conditional) {
		t.Error("a critical problem is let pass")
	}
}

func TestWorseOutcome(t *testing.T) {
	for _, c := range [][3]string{
		{"APPROVED", "REJECTED", "REJECTED"}, {"CONDITIONAL", "APPROVED", "CONDITIONAL"}, {"REJECTED", "CONDITIONAL", "REJECTED"},
		{"", "APPROVED", "APPROVED"}, {"CONDITIONAL", "", "CONDITIONAL"}, {"APPROVED", "APPROVED", "APPROVED"}, {"", "", ""},
	} {
		if got := worseOutcome(c[0], c[1]); got != c[2] {
			t.Errorf("%q and %q: %q, want %q", c[0], c[1], got, c[2])
		}
	}
}
