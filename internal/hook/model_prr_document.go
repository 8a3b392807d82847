package hook

import (
	"slices"
	"strings"
	"time"

	"caos/internal/readiness"
	"caos/internal/registry"
	"caos/internal/report"
	"caos/internal/verify"
)

// This file turns the facts of a review into the sections of its report. It decides nothing.

func moment(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

func (f *editionFacts) overdue(day string) bool { return day != "" && day < f.Facts.Today }

func (f *editionFacts) baseline() report.Baseline {
	b, v := f.Facts.Baseline, f.Facts.Freeze.Version
	out := report.Baseline{BaselineID: b.BaselineID, RootDigest: b.RootDigest, FreezeID: b.FreezeID, FrozenAt: b.FrozenAt, FrozenBy: person(b.FrozenBy),
		PassportID: "", Supersedes: b.Supersedes, CompatibleWith: strings.Join(b.CompatibleWith, ", "), SafetyImpact: b.SafetyImpact, CertImpact: b.CertificationImpact,
		CheckedAt: moment(b.CheckedAt), Bytes: b.Bytes}
	switch b.CheckStatus {
	case registry.Intact:
		out.CheckedSays = "all digests agree"
	case registry.Damaged:
		out.CheckedSays = "damaged: " + some(b.Problems)
	}
	for _, file := range b.Files {
		out.Files = append(out.Files, report.File{Name: file.Path, Role: file.Role, Digest: file.Digest, Bytes: file.Size})
	}
	for _, p := range []report.Pair{{Name: "Framework", Value: v.Framework}, {Name: "Description", Value: v.Description}, {Name: "Signed with", Value: b.KeyID}} {
		if p.Value != "" {
			out.ToolsAndVersion = append(out.ToolsAndVersion, p)
		}
	}
	return out
}

func (f *editionFacts) validation() report.Validation {
	d := f.Facts.Freeze.VVReport
	if d == nil {
		return report.Validation{}
	}
	out := report.Validation{ReportID: d.DocumentID, ReportVersion: d.Version, ReportDigest: d.Digest, Status: d.Stated, Author: person(d.RegisteredBy)}
	if f.VV == nil {
		return out
	}
	out.PerformedOn, out.Environment, out.Summary = f.VV.PerformedOn, f.VV.Environment, f.VV.Summary
	for _, passed := range []bool{false, true} { // those not passed first
		for _, t := range f.VV.Tests {
			if (t.Result == "PASSED") == passed {
				out.Tests = append(out.Tests, report.Test{TestID: t.TestID, Title: t.Title, Result: t.Result, Metric: t.Metric, Value: t.Value, Unit: t.Unit, Operator: t.Operator,
					Threshold: t.Threshold, Requirements: t.RequirementIDs, Note: t.Note})
			}
		}
	}
	out.Requirements = f.requirements()
	return out
}

// requirements lists those linked to the version and those of the report, the ones that no
// passed test verifies first.
func (f *editionFacts) requirements() (out []report.Requirement) {
	titles := map[string]string{}
	for _, r := range f.VV.Requirements {
		titles[r.RequirementID] = r.Title
	}
	ids := slices.Clone(f.Facts.Freeze.Requirements)
	for id := range f.Facts.Freeze.VV.Requirements {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range firstOf(slices.Compact(ids), maxShownTests) {
		said := f.Facts.Freeze.VV.Requirements[id]
		out = append(out, report.Requirement{RequirementID: id, Title: titles[id], Tests: said.Tests, Passed: said.Passed, Verified: said.Verified()})
	}
	slices.SortStableFunc(out, func(a, b report.Requirement) int {
		if a.Verified == b.Verified {
			return 0
		}
		if b.Verified {
			return -1
		}
		return 1
	})
	return out
}

func (f *editionFacts) checklist() report.Checklist {
	c := f.Facts.Checklist
	if c == nil {
		return report.Checklist{}
	}
	out := report.Checklist{ChecklistID: c.ChecklistID, TemplateID: c.TemplateID, TemplateVersion: c.TemplateVersion, Title: c.Title}
	for _, i := range c.Items {
		item := report.Item{ItemID: i.ItemID, Group: i.GroupTitle, Title: i.Title, Question: i.Question, Critical: i.Criticality != readiness.MinorItem, Status: string(i.Status),
			Owner: person(i.Owner), OwnerRole: i.OwnerRole, DueOn: i.DueOn, Overdue: !i.Closed() && f.overdue(i.DueOn), Note: i.Note, Evidence: i.Evidence,
			CompletedBy: person(i.CompletedBy), CompletedAt: moment(i.CompletedAt)}
		if i.DecisionID != "" {
			item.Reason, item.Statement = f.Reasons[i.ItemID], i.CompletedBy+" ("+i.DecisionID+")"
		}
		out.Items = append(out.Items, item)
	}
	return out
}

func (f *editionFacts) risks() report.Risks {
	var out report.Risks
	for _, b := range readiness.ShippedScale().Bands {
		out.Scale = append(out.Scale, report.RiskLevel{Name: string(b.Level), From: b.From, To: b.To})
	}
	for _, k := range f.Facts.Risks {
		risk := report.Risk{RiskID: k.RiskID, Title: k.Title, Description: k.Description, Category: k.Category, Likelihood: k.Likelihood, Impact: k.Impact, Level: string(k.Level),
			ResidualLikelihood: k.ResidualLikelihood, ResidualImpact: k.ResidualImpact, ResidualLevel: string(k.ResidualLevel), Mitigation: k.Mitigation, Owner: person(k.Owner),
			Status: string(k.Status), ReviewOn: k.ReviewOn, Overdue: k.Status != readiness.RiskClosed && f.overdue(k.ReviewOn)}
		if a := k.Accepted; a != nil {
			risk.AcceptedBy, risk.AcceptedAs, risk.AcceptedAt, risk.AcceptDecisionID = person(a.By), a.Role, a.At, a.DecisionID
		}
		out.Risks = append(out.Risks, risk)
	}
	return out
}

func (f *editionFacts) evidence() report.Evidence {
	e := f.Facts.Evidence
	var out report.Evidence
	for _, p := range e.Packages {
		out.Packages = append(out.Packages, p.PackageID)
	}
	shown := map[string]bool{}
	for _, it := range e.Items {
		shown[it.EvidenceID] = true
		out.Items = append(out.Items, report.EvidenceItem{EvidenceID: it.EvidenceID, Type: it.Type, Category: it.Category, Title: it.Name, Digest: it.Digest,
			CollectedAt: it.CollectedAt, Covers: it.Covers})
	}
	for _, met := range []bool{false, true} {
		for _, n := range e.Needs {
			if n.Covered != met || len(out.Required) >= maxShownTests {
				continue
			}
			need := report.Need{Name: n.ID, Met: met, Note: n.Kind}
			if n.Failed != "" {
				need.Note = n.Kind + "; the latest evidence, " + n.Failed + ", failed"
			}
			for _, id := range n.Items {
				if shown[id] {
					need.Items = append(need.Items, id)
				}
			}
			out.Required = append(out.Required, need)
		}
	}
	return out
}

func (f *editionFacts) objectives() report.Objectives {
	p := f.Facts.Plan
	if p == nil {
		return report.Objectives{}
	}
	out := report.Objectives{PlanID: p.PlanID, Regime: p.Regime, CatalogueID: p.CatalogueID, Version: p.CatalogueVersion}
	if c, err := readiness.CatalogueByID(p.CatalogueID); err == nil { // one that this binary does not bring along keeps its id
		out.CatalogueTitle, out.Caveat = c.Title, c.Note
	}
	for _, o := range p.Objectives {
		out.Objectives = append(out.Objectives, report.Objective{ObjectiveID: o.ID, Title: o.Title, Applicable: o.Applicable, Justification: o.Justification, Means: o.Means,
			Owner: person(o.Owner), Status: string(o.Status), Requirements: o.RequirementIDs, Evidence: o.Evidence})
	}
	return out
}

func (f *editionFacts) problems() (out []report.Problem) {
	for _, open := range []bool{true, false} {
		for _, p := range f.Problems {
			if (p.Status != registry.ProblemClosed) == open {
				out = append(out, report.Problem{ProblemID: p.ProblemID, Title: p.Title, Severity: string(p.Severity), Status: string(p.Status), Open: open, Owner: person(p.Owner),
					OpenedAt: p.CreatedAt, Note: p.Resolution})
			}
		}
	}
	return out
}

func (f *editionFacts) changes() (out []report.Change) {
	for _, open := range []bool{true, false} {
		for _, c := range f.Changes {
			if (c.ClosedAt == nil) == open && !c.UpdatedAt.Before(f.Facts.Baseline.FrozenAt) {
				out = append(out, report.Change{ChangeID: c.ChangeID, Title: c.Title, Class: string(c.Class), Status: string(c.Status), Open: open, Note: c.Statement, OpenedAt: c.CreatedAt})
			}
		}
	}
	return out
}

func (f *editionFacts) conditions() (out []report.Condition) {
	for _, c := range f.Review.Conditions {
		from := "a finding of the review"
		if len(c.AskedBy) > 0 {
			from = "vote of " + strings.Join(c.AskedBy, ", ")
		}
		closed := c.Status == readiness.ConditionClosed
		one := report.Condition{ConditionID: c.ConditionID, Text: c.Text, Owner: person(c.Owner), DueOn: c.DueOn, Overdue: !closed && f.overdue(c.DueOn), From: from,
			Closed: closed, ClosedBy: person(c.ClosedBy), ClosedAt: moment(c.ClosedAt), ClosedNote: c.Note, Evidence: c.Evidence}
		if d := f.Closings[c.ConditionID]; d != nil {
			one.CloseRecordID, one.CloseProof, one.CloseKey, one.CloseStatement = d.RecordID, d.Proof, fingerprint(d), verify.StatementHash([]byte(d.Statement))
		}
		out = append(out, one)
	}
	return out
}

func (f *editionFacts) votes() (out []report.Vote) {
	for _, v := range f.Review.Votes {
		vote := report.Vote{Person: person(v.Person), Role: v.Role, Outcome: v.Outcome, At: v.DecidedAt, Comment: v.Comment, Meaning: v.Meaning, Proof: v.Proof, Key: fingerprint(&v.Decision),
			DecisionID: v.DecisionID, RecordID: v.RecordID, Digest: v.Digest, Counted: slices.Contains(f.Count.Counted, v.Person)}
		if !vote.Counted {
			vote.NotCounted = "separation of duties"
			if part := partOf(f.Barred[v.Person]); part != "" {
				vote.NotCounted += ": " + part
			}
		}
		out = append(out, vote)
	}
	return out
}

// fingerprint is that of the key by which a person signed, "" for a decision that the server
// asserts.
func fingerprint(d *readiness.Decision) string {
	if !d.Personal() {
		return ""
	}
	key, err := verify.VerifySSHSig([]byte(d.Signature), []byte(d.Statement), verify.DecisionNamespace)
	if err != nil {
		return d.KeyID // it was checked when the decision was made
	}
	return key.Fingerprint()
}
