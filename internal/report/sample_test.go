package report

import (
	"fmt"
	"strings"
	"time"
)

// at is a time of the sample.
func at(day, hour int) time.Time { return time.Date(2026, 11, day, hour, 15, 4, 0, time.UTC) }

func num(f float64) *float64 { return &f }

func digestOf(n int) string {
	return "SHA256:" + strings.Repeat(fmt.Sprintf("%016x", uint64(n)*0x9E3779B97F4A7C15+77), 4)
}

// Editions of the sample.
const (
	beforeVotes = iota
	afterDecision
	afterConditions
)

// sample is a small review in one of its editions.
func sample(edition int) *Review {
	chief, vera, quin := Person{"chris", "Chris Adler"}, Person{"vera", "Vera Lindqvist"}, Person{"quin", "Quin Ito"}
	r := &Review{
		PRRID: "PRR-NN-DLY-001-1.0.0", ReportID: "95-00-09-02-001", ReportVersion: "1.0", CreatedAt: at(23, 9), Classification: "RESTRICTED", Project: "AMPEL",
		ModelID: "NN-DLY-001", ModelName: "Flight delay estimator", ModelPurpose: "Estimates the arrival delay of a flight from its distance, origin and departure delay", Version: "1.0.0", SafetyLevel: "DAL-C",
		Owner: Person{"olga", "Olga Brandt"}, RequestedBy: Person{"rene", "Rene Costa"}, RequestNote: "Entry into service of the winter schedule",
		Members: []Member{{Person: vera, Roles: []string{"prr-board"}}, {Person: quin, Roles: []string{"prr-board", "qa-lead"}}, {Person: chief, Roles: []string{"chief-engineer"}}},
		Rule:    "More than half of the members and the Chief Engineer have to vote; one REJECTED rejects",
		PRRDate: "2026-11-30", OpenedAt: at(23, 9), ClosesAt: time.Date(2026, 11, 30, 23, 59, 59, 0, time.UTC), VoteLink: "https://caos.example.com/v1/reviews/PRR-NN-DLY-001-1.0.0",
		Best: Conditional, Status: "VOTING",
		Verdicts: []Verdict{
			{Rule: "checklist-critical", Title: "Every critical criterion is closed", Pass: true, Ceiling: Approved, Finding: "27 of 27 critical criteria are closed"},
			{Rule: "checklist-minor", Title: "Every minor criterion is closed", Ceiling: Conditional, Finding: "2 minor criteria are open: 7.3 and 8.4", Remedy: "Close them with evidence: `caos checklist complete CHK-DLY-1.0.0 7.3 --evidence ID`; otherwise they become conditions", IDs: []string{"7.3", "8.4"}},
			{Rule: "risk-critical", Title: "No critical risk remains", Pass: true, Ceiling: Approved, Finding: "No residual risk is critical"},
			{Rule: "risk-high", Title: "High risks are accepted by the Chief Engineer", Pass: true, Ceiling: Approved, Finding: "RISK-DLY-2 is accepted by chris", IDs: []string{"RISK-DLY-2"}},
			{Rule: "evidence", Title: "Required evidence is there", Pass: true, Ceiling: Approved, Finding: "3 of 3 required pieces of evidence are there"},
			{Rule: "problems", Title: "No high problem report is open", Pass: true, Ceiling: Approved, Finding: "One problem report of low severity is open", IDs: []string{"PR-12"}},
		},
		NextSteps: []string{"Each member reads this report and votes: `caos vote PRR-NN-DLY-001-1.0.0 approve`.", "Owners close the open criteria before 30 November."},
		Log:       Log{Origin: "caos.example.com/log", Size: 1284, Root: "SHA256:" + strings.Repeat("4d2c91ab", 8), At: at(23, 9), PolicyDigest: digestOf(5), FactsDigest: digestOf(6), ExecutionID: "EXEC-20261123T091500Z-7"},
		Verification: []Instruction{
			{Text: "Get the trust file of the log from its operator, in a way other than this document"},
			{Text: "Ask for the evidence package of the model and check it without a network", Command: "caos-verify CERT-PKG-DLY.tar --trust trust.json", Expect: "VERIFIED"},
			{Text: "Compare the digest that the votes name with that of the HTML file", Command: "sha256sum 95-00-09-02-001-1.0.html"},
		},
	}
	sampleFacts(r)
	switch edition {
	case afterConditions:
		sampleDecision(r)
		sampleClosed(r)
	case afterDecision:
		sampleDecision(r)
	}
	return r
}

func sampleFacts(r *Review) {
	r.Baseline = Baseline{
		BaselineID: "BL-DLY-1.0.0", RootDigest: digestOf(1), FreezeID: "FREEZE-NN-DLY-001-1.0.0", FrozenAt: at(20, 14), FrozenBy: Person{"olga", "Olga Brandt"}, Rationale: "V&V is complete.",
		PassportID: "DPP-NN-DLY-001-FREEZE", CompatibleWith: "1.0.x", SafetyImpact: "None beyond the assessment 95-00-09-03-002.", CheckedAt: at(23, 3), CheckedSays: "all digests agree",
		Files: []File{{"model.onnx", "weights", digestOf(2), 48_220_114}, {"config.yaml", "configuration", digestOf(3), 2_114}, {"train/flights-3m.parquet", "training-data", digestOf(4), 131_000_000}},
		Bytes: 179_222_228, ToolsAndVersion: []Pair{{"Framework", "onnxruntime 1.20"}, {"Seed", "20261101"}},
	}
	r.Validation = Validation{
		ReportID: "95-00-09-03-001", ReportVersion: "1.0", ReportDigest: digestOf(7), Status: "PASSED", PerformedOn: "2026-11-18", Environment: "Jetson Orin, JetPack 6.1", Author: Person{"vic", "Vic Moreau"},
		Tests: []Test{
			{TestID: "TC-001", Title: "Mean absolute error", Result: "PASSED", Metric: "mae", Value: num(7.42), Unit: "min", Operator: "<=", Threshold: num(8), Requirements: []string{"REQ-DLY-1"}},
			{TestID: "TC-002", Title: "Latency of the 99th percentile", Result: "PASSED", Metric: "latency_p99", Value: num(15.3), Unit: "ms", Operator: "<=", Threshold: num(30), Requirements: []string{"REQ-DLY-2"}},
			{TestID: "TC-003", Title: "Refuses inputs out of range", Result: "PASSED", Requirements: []string{"REQ-DLY-3"}, Note: "All 4,096 corner cases."},
		},
		Requirements: []Requirement{{"REQ-DLY-1", "Error on unseen flights", 1, 1, true, ""}, {"REQ-DLY-2", "Latency on the target", 1, 1, true, ""}, {"REQ-DLY-3", "Operational domain is monitored", 1, 1, true, ""}},
	}
	r.Checklist = Checklist{ChecklistID: "CHK-DLY-1.0.0", TemplateID: "95-00-09-01-005", TemplateVersion: "1.0", Title: "Production readiness"}
	for g, group := range []string{"Freeze", "Performance", "Safety", "Data", "Infrastructure", "Hardware", "Documentation", "Certification"} {
		for i := range 4 {
			x := Item{ItemID: fmt.Sprintf("%d.%d", g+1, i+1), Group: group, Title: []string{"The baseline is complete", "Figures are reproduced", "Findings are closed", "The owner signed"}[i], Question: "Is it there, and did someone other than its author look at it?",
				Critical: i < 3 || g < 3, Status: "COMPLETE", Evidence: []string{"BL-DLY-1.0.0"}, CompletedBy: Person{"quin", "Quin Ito"}, CompletedAt: at(21, 8+g), OwnerRole: "mlops-engineer"}
			if x.ItemID == "7.4" || x.ItemID == "8.4" {
				x.Status, x.Evidence, x.CompletedBy, x.CompletedAt = "IN_PROGRESS", nil, Person{}, time.Time{}
				x.Owner, x.DueOn, x.Note = Person{"mia", "Mia Okafor"}, "2026-11-22", "The maintenance manual is with its second reader."
				x.Overdue = x.ItemID == "8.4"
			}
			if x.ItemID == "6.4" {
				x.Status, x.Evidence, x.Reason, x.Statement = "NOT_APPLICABLE", nil, "There is one target platform, so nothing is to be compared.", "qa-lead (DEC-20261129T091501Z)"
			}
			r.Checklist.Items = append(r.Checklist.Items, x)
		}
	}
	r.Risks.Risks = []Risk{
		{RiskID: "RISK-DLY-1", Title: "Winter traffic differs from what was trained on", Description: "Two winters are in the training data.", Category: "Data", Likelihood: 4, Impact: 4, Level: "Critical", ResidualLikelihood: 2, ResidualImpact: 4, ResidualLevel: "Medium", Mitigation: "Drift is watched daily; the rule of thumb takes over above PSI 0.2.", Owner: Person{"dana", "Dana Weiss"}, Status: "MITIGATING", ReviewOn: "2026-12-20"},
		{RiskID: "RISK-DLY-2", Title: "Sensor clock is late", Category: "Integration", Likelihood: 3, Impact: 5, Level: "Critical", ResidualLikelihood: 2, ResidualImpact: 5, ResidualLevel: "High", Mitigation: "Inputs older than 200 ms are refused.", Owner: Person{"dana", "Dana Weiss"}, Status: "ACCEPTED", ReviewOn: "2026-12-04", AcceptedBy: Person{"chris", "Chris Adler"}, AcceptedAs: "chief-engineer", AcceptedAt: at(22, 11), AcceptDecisionID: "DEC-20261122T111504Z-1"},
		{RiskID: "RISK-DLY-3", Title: "Supplier ends the part", Category: "Supply", Likelihood: 2, Impact: 3, Level: "Medium", Owner: Person{"sam", ""}, Status: "OPEN", ReviewOn: "2026-11-20", Overdue: true},
		{RiskID: "RISK-DLY-4", Title: "Wrong units in an old feed", Likelihood: 3, Impact: 3, Level: "Medium", ResidualLikelihood: 1, ResidualImpact: 3, ResidualLevel: "Low", Mitigation: "The feed is gone.", Status: "CLOSED"},
	}
	r.Evidence = Evidence{Packages: []string{"CERT-PKG-DLY"}, Required: []Need{{"VERIFICATION: TEST_RESULT", true, []string{"EVID-DLY-20261118T101500"}, ""}, {"VALIDATION: METRIC", true, []string{"EVID-DLY-20261118T101501"}, ""}}}
	for i := range 4 {
		r.Evidence.Items = append(r.Evidence.Items, EvidenceItem{EvidenceID: fmt.Sprintf("EVID-DLY-20261118T10150%d", i), Type: "TEST_RESULT", Category: "VERIFICATION", Title: "results.json", Digest: digestOf(20 + i), CollectedAt: at(18, 10), Covers: []string{"DA-01"}})
	}
	r.Objectives = Objectives{PlanID: "CPLAN-DLY-1", Regime: "EASA", CatalogueID: "easa-cp-02", Version: "1", CatalogueTitle: "Concept Paper Issue 02", Caveat: "Titles are our words; check against EASA's text.", Objectives: []Objective{
		{ObjectiveID: "DA-01", Title: "Learning process is described", Applicable: true, Means: "Document 95-00-09-03-004", Owner: Person{"dana", "Dana Weiss"}, Status: "SHOWN", Evidence: []string{"EVID-DLY-20261118T101500"}},
		{ObjectiveID: "DA-02", Title: "Data are managed", Applicable: true, Means: "Data plan", Status: "IN_PROGRESS"},
		{ObjectiveID: "HF-01", Title: "Explanations for the crew", Justification: "No crew reads the estimate."},
	}}
	r.Problems = []Problem{{"PR-12", "Axis label in the dashboard", "LOW", "OPEN", true, Person{"mia", "Mia Okafor"}, at(19, 9), "Fixed with 1.0.1."}, {"PR-9", "NaN for zero distance", "HIGH", "CLOSED", false, Person{"mia", "Mia Okafor"}, at(2, 9), "Verified by TC-003."}}
	r.Changes = []Change{{"CHG-3", "Retrain with November", "MINOR", "PROPOSED", true, "For 1.1.0.", at(21, 9)}}
}

func sampleDecision(r *Review) {
	r.ReportVersion, r.CreatedAt, r.Status = "2.0", at(27, 10), "CONDITIONAL"
	r.Decision, r.BoardDecision, r.DecidedAt = Conditional, Conditional, at(27, 9)
	r.DecisionNote = "2 of 2 members and the Chief Engineer voted; one of them with a condition"
	r.NextSteps = []string{"Close each condition with evidence: `caos condition close PRR-NN-DLY-001-1.0.0 COND-DLY-1.0.0-1 --evidence ID`."}
	r.Earlier = []Edition{{"1.0", digestOf(90), at(23, 9), "before the decision"}}
	for i := range r.Members {
		r.Members[i].Voted = true
		r.Votes = append(r.Votes, Vote{Person: r.Members[i].Person, Role: strings.Join(r.Members[i].Roles, ", "), Outcome: Conditional, At: at(24+i, 8), Meaning: "I vote CONDITIONAL on PRR-NN-DLY-001-1.0.0: The maintenance manual is released (owner mia, due 2026-12-05)",
			Proof: "sshsig", Key: "SHA256:Xq9uVv3n8bJrLw2YkQm1oT5sHc7dZfE0aGxP4iRtB6M", DecisionID: fmt.Sprintf("DEC-2026112%dT081504Z-1", 4+i), RecordID: fmt.Sprintf("AUDIT-2026112%dT081504Z-3", 4+i), Digest: digestOf(90), Counted: true})
	}
	r.Votes[1].Outcome, r.Votes[1].Meaning, r.Votes[1].Comment = Approved, "I vote APPROVED on PRR-NN-DLY-001-1.0.0", "Good work."
	r.Votes[1].Proof, r.Votes[1].Key = "server", ""
	r.Best = Conditional
	r.Conditions = []Condition{
		{ConditionID: "COND-DLY-1.0.0-1", Text: "The maintenance manual is released", Owner: Person{"mia", "Mia Okafor"}, DueOn: "2026-12-05", From: "votes of vera and chris"},
		{ConditionID: "COND-DLY-1.0.0-2", Text: "Criterion 8.4 is closed", Owner: Person{"mia", "Mia Okafor"}, DueOn: "2026-12-11", From: "open criterion 8.4"},
	}
}

func sampleClosed(r *Review) {
	r.ReportVersion, r.CreatedAt, r.Status, r.Decision = "3.0", at(30, 16), "DECIDED", Approved
	r.Earlier = append(r.Earlier, Edition{"2.0", digestOf(91), at(27, 10), "after the decision"})
	for i := range r.Conditions {
		c := &r.Conditions[i]
		c.Closed, c.ClosedBy, c.ClosedAt, c.Evidence, c.ClosedNote = true, Person{"quin", "Quin Ito"}, at(29, 9+i), []string{"EVID-DLY-20261129T091500"}, "Read and released."
		c.CloseProof, c.CloseKey, c.CloseRecordID, c.CloseStatement = "sshsig", "SHA256:Xq9uVv3n8bJrLw2YkQm1oT5sHc7dZfE0aGxP4iRtB6M", fmt.Sprintf("AUDIT-20261129T09150%dZ-1", i), digestOf(70+i)
	}
	r.NextSteps = []string{"The Chief Engineer and the QA lead authorise the release: `caos release approve REL-AUTH-NN-DLY-001-1.0.0`."}
}

// large is a review of the size that the figures are about.
func large() *Review {
	r := sample(afterDecision)
	r.Evidence.Items, r.Risks.Risks = nil, nil
	for i := range 500 {
		r.Evidence.Items = append(r.Evidence.Items, EvidenceItem{EvidenceID: fmt.Sprintf("EVID-DLY-20261118T10%04d", i), Type: "TEST_RESULT", Category: "VERIFICATION", Title: fmt.Sprintf("results-%03d.json", i), Digest: digestOf(200 + i), CollectedAt: at(18, 10), Covers: []string{fmt.Sprintf("REQ-DLY-%d", i%40)}})
	}
	for i := range 200 {
		r.Risks.Risks = append(r.Risks.Risks, Risk{RiskID: fmt.Sprintf("RISK-DLY-%d", i+1), Title: "Something may happen to the model in operation", Description: "It was seen on other aircraft, and nobody knows how often it will be seen on this one.", Category: "Operation", Likelihood: i%5 + 1, Impact: i/5%5 + 1,
			ResidualLikelihood: i%3 + 1, ResidualImpact: i/7%3 + 1, Mitigation: "Watched by the monitor; the old procedure takes over.", Owner: Person{"dana", "Dana Weiss"}, Status: "MITIGATING", ReviewOn: "2026-12-20"})
	}
	return r
}
