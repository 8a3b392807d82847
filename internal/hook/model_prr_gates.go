package hook

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/evidence"
	"caos/internal/readiness"
	"caos/internal/registry"
	"caos/internal/report"
)

// This file has what speaks for and against a review: the facts, read at one moment, and
// prrVerdicts, the one pure function that says how good a decision they allow. The steps,
// the report, the dry run and "caos why" all ask it.

// prrFacts is all that the verdicts of a review look at. What was not read or is not there
// is nil.
type prrFacts struct {
	Subject   readiness.Subject            `json:"subject"`
	Today     string                       `json:"today"`  // the day of the moment they are of, UTC
	Freeze    *registry.FreezeFacts        `json:"freeze"` // model, version and documents as they are now
	Baseline  *registry.Baseline           `json:"baseline"`
	Checklist *readiness.Checklist         `json:"checklist"`
	Risks     []*readiness.Risk            `json:"risks"` // of the version, closed ones too
	Evidence  *evidence.Standing           `json:"evidence"`
	Plan      *readiness.CertificationPlan `json:"plan"`

	// Conditioned are the minor items that a conditional decision has made conditions of.
	Conditioned []string `json:"conditioned,omitempty"`

	// Ready says that this very review has made the version PRODUCTION_READY.
	Ready bool `json:"ready,omitempty"`
}

// readCriteria reads what the industrialisation criteria are judged by: the checklist of the
// baseline, and what the freeze rested on, as it is now.
func (h *modelPRR) readCriteria(tx *db.Tx, f *prrFacts, template string) (err error) {
	if f.Baseline, err = h.registry.BaselineIn(tx, f.Subject.BaselineID); err != nil {
		return err
	}
	if f.Freeze, err = h.registry.FreezeFacts(tx, f.Subject.ModelID, f.Subject.Version, f.Baseline.VVReportID); err != nil {
		return err
	}
	f.Checklist, err = h.readiness.ChecklistOf(tx, template, f.Subject.BaselineID)
	if caos.KindOf(err) == caos.NotFound {
		f.Checklist, err = nil, nil
	}
	if err != nil || f.Checklist == nil {
		return err
	}
	rejected, err := h.registry.RejectedDocuments(tx, f.Subject.ModelID)
	f.unanswer(rejected)
	return err
}

// unanswer opens the items whose answer rests on a document that was rejected since: in these
// facts alone, because to answer them again is for people.
func (f *prrFacts) unanswer(rejected []string) {
	for _, it := range f.Checklist.Items {
		i := slices.IndexFunc(it.Evidence, func(id string) bool { return slices.Contains(rejected, id) })
		if it.Status == readiness.ItemComplete && i >= 0 {
			it.Status, it.Note = readiness.ItemInProgress, strings.TrimSpace(it.Evidence[i]+", its evidence, was rejected: reopen it. "+it.Note)
		}
	}
}

func (h *modelPRR) readRisks(tx *db.Tx, f *prrFacts) (err error) {
	f.Risks, err = h.readiness.RisksOf(tx, f.Subject.ModelID, f.Subject.Version)
	return err
}

func (h *modelPRR) readEvidence(tx *db.Tx, f *prrFacts) (err error) {
	if f.Evidence, err = h.evidence.StandingIn(tx, f.Subject.ModelID, f.Subject.Project); err != nil {
		return err
	}
	f.Plan, err = h.readiness.PlanOf(tx, f.Subject.ModelID)
	return err
}

// facts reads everything at once.
func (h *modelPRR) facts(tx *db.Tx, s readiness.Subject, template string, now time.Time) (*prrFacts, error) {
	f := &prrFacts{Subject: s, Today: dayOf(now)}
	if err := h.readCriteria(tx, f, template); err != nil {
		return nil, err
	}
	if err := h.readRisks(tx, f); err != nil {
		return nil, err
	}
	return f, h.readEvidence(tx, f)
}

func dayOf(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// prrVerdicts says what every check of a review says to the facts, each with the best
// decision that it allows. It looks at nothing but its argument.
func prrVerdicts(f *prrFacts) []Verdict {
	return slices.Concat(criteriaVerdicts(f), riskVerdicts(f), evidenceVerdicts(f))
}

// criteriaVerdicts are the verdicts about the industrialisation criteria.
func criteriaVerdicts(f *prrFacts) []Verdict {
	return []Verdict{versionFrozen(f), baselineIntact(f), criticalItems(f), minorItems(f),
		atBest(report.Rejected, reportsAgree(f.Freeze)), atBest(report.Rejected, safetyApproved(f.Freeze)), atBest(report.Rejected, defectsClosed(f.Freeze))}
}

func riskVerdicts(f *prrFacts) []Verdict {
	return []Verdict{risksKnown(f), criticalRisks(f), highRisks(f)}
}

func evidenceVerdicts(f *prrFacts) []Verdict {
	return []Verdict{evidencePlanned(f), evidenceComplete(f), objectivesShown(f)}
}

// atBest gives a verdict its ceiling: the best decision that is possible if it does not hold.
func atBest(ceiling string, v Verdict) Verdict {
	if v.Ceiling = report.Approved; !v.Pass {
		v.Ceiling = ceiling
	}
	return v
}

// bestOf is the best decision that all verdicts allow.
func bestOf(list []Verdict) string {
	best := report.Approved
	for _, v := range list {
		best = worseOutcome(best, v.Ceiling)
	}
	return best
}

// worseOutcome returns the worse of two decisions; what is none counts for nothing.
func worseOutcome(a, b string) string {
	order := []string{report.Rejected, report.Conditional, report.Approved}
	i, j := slices.Index(order, a), slices.Index(order, b)
	if i < 0 || j >= 0 && j < i {
		return b
	}
	return a
}

// openFindings are the findings of the verdicts that do not hold.
func openFindings(list []Verdict) []caos.Finding {
	var out []caos.Finding
	for _, v := range list {
		if !v.Pass {
			out = append(out, *v.Finding)
		}
	}
	return out
}

func (f *prrFacts) key() string { return registry.VersionKey(f.Subject.ModelID, f.Subject.Version) }

func versionFrozen(f *prrFacts) Verdict {
	v := passes("version-frozen", "The version is frozen as this baseline, and no further", map[string]any{"state": f.Freeze.Version.State, "baseline_id": f.Subject.BaselineID})
	s := f.Freeze.Version
	if s.State != registry.Frozen && !f.Ready || s.BaselineID != f.Subject.BaselineID {
		v = v.stops(clearing{}, f.key(), "review the baseline of a version that is FROZEN", "%s is %s with the baseline %s", f.key(), s.State, orNone(s.BaselineID))
	}
	return atBest(report.Rejected, v)
}

func orNone(id string) string {
	if id == "" {
		return "none"
	}
	return id
}

func baselineIntact(f *prrFacts) Verdict {
	v := passes("baseline-intact", "The last check of the baseline's bytes found no difference", map[string]any{"status": f.Baseline.CheckStatus, "root_digest": f.Baseline.RootDigest})
	if f.Baseline.CheckedAt != nil {
		v.Facts["checked_at"] = caos.FormatTime(*f.Baseline.CheckedAt)
	}
	if f.Baseline.CheckStatus == registry.Damaged {
		v = v.stops(clearing{action: "baseline:verify"}, f.Subject.BaselineID, "restore its files from a backup and check it: caos baseline verify "+f.Subject.BaselineID,
			"the stored files of %s differ from what was frozen: %s", f.Subject.BaselineID, some(f.Baseline.Problems))
	}
	return atBest(report.Rejected, v)
}

// closingsProven says what was found of how conditions were closed.
func closingsProven(v *readiness.Review, err error) Verdict {
	x := passes("closings-proven", "Every condition was closed with a proof that still counts", map[string]any{"conditions": len(v.Conditions)})
	if e := caos.AsError(err); err != nil {
		x = x.stops(clearing{}, v.PRRID, e.Hint, "%s", e.Message)
	}
	return atBest(report.Rejected, x)
}

// itemNames lists items as a finding names them.
func itemNames(list []*readiness.Item) []string {
	out := make([]string, len(list))
	for i, it := range list {
		out[i] = it.ItemID + " " + it.Title
	}
	return out
}

func itemIDs(list []*readiness.Item) []string {
	out := make([]string, len(list))
	for i, it := range list {
		out[i] = it.ItemID
	}
	return out
}

// answerItems is the clearing of open items: whoever may complete them.
func answerItems() clearing { return clearing{action: "checklist:complete"} }

func criticalItems(f *prrFacts) Verdict {
	v := passes("checklist-critical", "Every critical item of the readiness checklist is answered", nil)
	c := f.Checklist
	if c == nil {
		v.Facts = map[string]any{"checklist": "none"}
		return atBest(report.Rejected, v.stops(clearing{action: "checklist:write"}, f.Subject.BaselineID, "open it: caos checklist open "+f.Subject.BaselineID,
			"%s has no readiness checklist", f.Subject.BaselineID))
	}
	critical, _ := c.Open()
	v.Facts = map[string]any{"checklist": c.ChecklistID, "items": len(c.Items), "open": len(critical)}
	if len(critical) > 0 {
		v.ids = itemIDs(critical)
		v = v.stops(answerItems(), c.ChecklistID, fmt.Sprintf("answer each with evidence or a signed statement: caos checklist complete %s %s --evidence ID", c.ChecklistID, critical[0].ItemID),
			"%s open: %s", count(len(critical), "critical item"), some(itemNames(critical)))
	}
	return atBest(report.Rejected, v)
}

func minorItems(f *prrFacts) Verdict {
	v := passes("checklist-minor", "Every minor item of the readiness checklist is answered", nil)
	c := f.Checklist
	if c == nil {
		v.Facts = map[string]any{"checklist": "none"}
		return atBest(report.Rejected, v.stops(clearing{action: "checklist:write"}, f.Subject.BaselineID, "open it: caos checklist open "+f.Subject.BaselineID,
			"%s has no readiness checklist", f.Subject.BaselineID))
	}
	_, minor := c.Open()
	v.Facts = map[string]any{"checklist": c.ChecklistID, "open": len(minor)}
	minor = slices.DeleteFunc(minor, func(i *readiness.Item) bool { return slices.Contains(f.Conditioned, i.ItemID) })
	if len(minor) > 0 {
		v.ids = itemIDs(minor)
		v = v.stops(answerItems(), c.ChecklistID, "answer them, or let the board make conditions of them",
			"%s open: %s", count(len(minor), "minor item"), some(itemNames(minor)))
	}
	return atBest(report.Conditional, v)
}

// risksKnown wants a register with something in it: that nobody looked is no proof that
// there is nothing to see.
func risksKnown(f *prrFacts) Verdict {
	v := passes("risk-register", "The risks of the version are registered", map[string]any{"risks": len(f.Risks)})
	if len(f.Risks) == 0 {
		v = v.stops(clearing{action: "risk:write"}, f.key(), "write the risks down, small ones too: caos risk add "+f.Subject.ModelID,
			"no risk of %s is registered, which shows that nobody looked", f.key())
	}
	return atBest(report.Conditional, v)
}

// standing returns the risks that are not closed and stand at a level.
func (f *prrFacts) standing(level readiness.Level) (out []*readiness.Risk) {
	for _, k := range f.Risks {
		if k.Status != readiness.RiskClosed && k.StandsAt() == level {
			out = append(out, k)
		}
	}
	return out
}

func riskNames(list []*readiness.Risk) (names, ids, involved []string) {
	for _, k := range list {
		names, ids = append(names, fmt.Sprintf("%s (%d)", k.RiskID, k.Stands())), append(ids, k.RiskID)
		involved = append(append(involved, k.Involved...), k.Importers...)
	}
	return names, ids, involved
}

func criticalRisks(f *prrFacts) Verdict {
	list := f.standing(readiness.Critical)
	v := passes("risk-critical", "No risk that is left is critical", map[string]any{"critical": len(list)})
	if len(list) > 0 {
		names, ids, _ := riskNames(list)
		v.ids = ids
		v = v.stops(clearing{action: "risk:write"}, ids[0], "lower it by mitigation and assess what is left: caos risk update "+ids[0],
			"%s critical: %s", count(len(list), "risk"), some(names))
	}
	return atBest(report.Rejected, v)
}

// highRisks wants the Chief Engineer's word for every high risk, as it reads now: a change
// of the risk voids it.
func highRisks(f *prrFacts) Verdict {
	list := f.standing(readiness.High)
	v := passes("risk-high", "Every high risk that is left was accepted by the Chief Engineer", map[string]any{"high": len(list)})
	list = slices.DeleteFunc(list, func(k *readiness.Risk) bool {
		return k.Status == readiness.RiskAccepted && k.Accepted != nil && k.Accepted.Role == "chief-engineer" && k.Accepted.ResidualScore == k.Stands()
	})
	v.Facts["not_accepted"] = len(list)
	if len(list) > 0 {
		names, ids, involved := riskNames(list)
		v.ids = ids
		v = v.stops(clearing{action: "risk:accept", only: []string{"chief-engineer"}, not: involved}, ids[0],
			"the Chief Engineer accepts it: caos risk accept "+ids[0]+" --reason WHY; or lower it by mitigation",
			"%s high and not accepted by the Chief Engineer: %s", count(len(list), "risk"), some(names))
	}
	return atBest(report.Rejected, v)
}

// collect is the clearing of what lacks evidence.
func collect() clearing { return clearing{action: "hook:submit", resource: "CAOS.PROD.CERT.EVIDENCE"} }

func evidencePlanned(f *prrFacts) Verdict {
	e := f.Evidence
	v := passes("evidence-plan", "A certification package says what evidence is required", map[string]any{"packages": len(e.Packages), "planned": e.Planned, "items": e.Total})
	if e.Planned == 0 {
		v = v.stops(clearing{action: "package:create"}, f.Subject.ModelID, "create and plan one: caos package create --model "+f.Subject.ModelID+", then caos package plan",
			"no certification package of %s has a plan, so nothing shows what evidence is required", f.Subject.ModelID)
	}
	return atBest(report.Rejected, v)
}

func evidenceComplete(f *prrFacts) Verdict {
	e := f.Evidence
	var missing, failed []string
	for _, n := range e.Needs {
		switch {
		case n.Failed != "":
			failed = append(failed, n.ID+" ("+n.Failed+")")
		case !n.Covered:
			missing = append(missing, n.ID)
		}
	}
	v := passes("evidence-required", "Every planned requirement and objective is covered by evidence that did not fail",
		map[string]any{"planned": len(e.Needs), "missing": len(missing), "failed": len(failed)})
	v.ids = append(slices.Clone(missing), failed...)
	switch {
	case e.Cut:
		v = v.stops(clearing{}, f.Subject.ModelID, "divide the packages of the model", "there is more evidence of %s than a review reads", f.Subject.ModelID)
	case len(failed) > 0:
		v = v.stops(collect(), failed[0], "correct the cause, and collect evidence that passes", "the latest evidence failed for %s: %s", count(len(failed), "planned id"), some(failed))
	case len(missing) > 0:
		v = v.stops(collect(), missing[0], "collect evidence that names it, or plan without it", "%s without evidence: %s", count(len(missing), "planned id"), some(missing))
	}
	return atBest(report.Rejected, v)
}

// objectivesShown looks at the certification plan where there is one: whether there has to
// be one is a question of the checklist.
func objectivesShown(f *prrFacts) Verdict {
	v := passes("certification-objectives", "Every applicable objective of the certification plan names evidence", map[string]any{"plan": "none"})
	if f.Plan == nil {
		return atBest(report.Approved, v)
	}
	c := readiness.PlanCoverage(f.Plan)
	v.Facts = map[string]any{"plan": f.Plan.PlanID, "applicable": c.Applicable, "with_evidence": c.WithEvidence, "shown": c.Shown}
	if len(c.Without) > 0 {
		v.ids = c.Without
		v = v.stops(clearing{action: "plan:write"}, f.Plan.PlanID, fmt.Sprintf("name what shows it: caos plan set %s %s --evidence ID; or say why it does not apply", f.Plan.PlanID, c.Without[0]),
			"%s without evidence: %s", count(len(c.Without), "applicable objective"), some(c.Without))
	}
	return atBest(report.Rejected, v)
}

// barredNames lists who cannot vote, sorted.
func barredNames(barred map[string][]readiness.Hand) []string {
	out := make([]string, 0, len(barred))
	for id := range barred {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// partOf says in words why somebody is barred.
func partOf(hands []readiness.Hand) string {
	if len(hands) == 0 {
		return ""
	}
	return strings.ToLower(strings.ReplaceAll(hands[0].Part, "_", " ")) + " (" + hands[0].Source + ")"
}
