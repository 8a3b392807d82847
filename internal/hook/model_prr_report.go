package hook

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/codec"
	"caos/internal/db"
	"caos/internal/engine"
	"caos/internal/evidence"
	"caos/internal/object"
	"caos/internal/readiness"
	"caos/internal/registry"
	"caos/internal/report"
	"caos/internal/verify"
)

// This file makes an edition of the report: its facts are read at one moment, kept as JSON,
// and shown as HTML and PDF. The HTML names the digests of the other two, so that a vote on
// its digest is a vote on all three.

// editionFacts are the facts of an edition, kept as JSON under their digest.
type editionFacts struct {
	PRRID    string                         `json:"prr_id"`
	Version  string                         `json:"report_version"`
	At       time.Time                      `json:"at"` // the moment they are of
	Best     string                         `json:"best"`
	Verdicts []Verdict                      `json:"verdicts"`
	Facts    *prrFacts                      `json:"facts"`
	Review   *readiness.Review              `json:"review"`
	Count    readiness.Count                `json:"count"`
	Barred   map[string][]readiness.Hand    `json:"barred"`
	Chiefs   []string                       `json:"chief_engineers"`
	Problems []*registry.ProblemReport      `json:"problem_reports"`
	Changes  []*registry.Change             `json:"changes"`
	VV       *registry.VVReport             `json:"vv_report"` // nil without one, or if it is classified higher than the report
	Log      report.Log                     `json:"log"`
	Closings map[string]*readiness.Decision `json:"closings"`      // by condition
	Reasons  map[string]string              `json:"reasons"`       // why checklist items are answered, in the words that were signed, by item
	Made     map[string]time.Time           `json:"editions_made"` // when the editions before were registered, by version
}

// render makes the next edition. Doing it again after a crash makes one of a later moment;
// what was stored before is swept, because nothing names it.
func (h *modelPRR) render(ctx context.Context, r *engine.Run, s *prrState) error {
	before := h.now()
	f, id, err := h.gather(ctx, s, before)
	if err != nil {
		return err
	}
	if f.VV, err = h.vvReport(ctx, f.Facts); err != nil {
		return err
	}
	if f.Made, err = h.editionsMade(ctx, s.ReportID); err != nil {
		return err
	}
	if h.log != nil {
		size, root, err := h.log.Root(ctx)
		if err != nil {
			return err
		}
		f.Log.Size, f.Log.Root = size, verify.FormatHash(root)
	}
	f.Log.At, f.Log.PolicyDigest, f.Log.ExecutionID, f.Log.Origin = before.UTC().Truncate(time.Microsecond), f.Count.PolicyDigest, r.ExecutionID, h.readiness.Origin()
	facts, err := codec.Canonical(f)
	if err != nil {
		return fmt.Errorf("write the facts of %s: %w", s.PRRID, err)
	}
	e := &rendered{ReportID: id, Version: f.Version, Best: f.Best, At: before}
	if e.Facts, err = h.put(ctx, facts); err != nil {
		return err
	}
	f.Log.FactsDigest = e.Facts.Digest
	doc := h.document(f, id)
	var pdf, html bytes.Buffer
	if err := report.PDF(&pdf, doc); err != nil {
		return fmt.Errorf("report of %s as PDF: %w", s.PRRID, err)
	}
	if e.PDF, err = h.put(ctx, pdf.Bytes()); err != nil {
		return err
	}
	doc.Verification = append(doc.Verification, report.Instruction{Text: "The same edition as PDF has this digest.", Command: "sha256sum " + s.PRRID + ".pdf", Expect: plainDigest(e.PDF.Digest)})
	if err := report.HTML(&html, doc); err != nil {
		return fmt.Errorf("report of %s as HTML: %w", s.PRRID, err)
	}
	if e.HTML, err = h.put(ctx, html.Bytes()); err != nil {
		return err
	}
	s.Rendered = e
	return nil
}

// editionsMade says when the editions of a report were registered.
func (h *modelPRR) editionsMade(ctx context.Context, reportID string) (map[string]time.Time, error) {
	out := map[string]time.Time{}
	if reportID == "" {
		return out, nil
	}
	list, err := h.registry.DocumentVersions(ctx, reportID)
	for _, d := range list {
		out[d.Version] = d.RegisteredAt
	}
	return out, err
}

func (h *modelPRR) put(ctx context.Context, data []byte) (object.Ref, error) {
	return h.objects.Put(ctx, bytes.NewReader(data), object.PutOptions{})
}

// gather reads all facts of an edition at one moment, and the document id that it will have.
func (h *modelPRR) gather(ctx context.Context, s *prrState, at time.Time) (f *editionFacts, id string, err error) {
	err = h.db.Update(ctx, func(tx *db.Tx) (err error) {
		f = &editionFacts{PRRID: s.PRRID, At: at.UTC().Truncate(time.Microsecond), Closings: map[string]*readiness.Decision{}}
		if id, f.Version, err = h.nextEdition(tx, s); err != nil {
			return err
		}
		if f.Facts, err = h.facts(tx, s.Subject, s.In.CriteriaChecklistID, at); err != nil {
			return err
		}
		f.Facts.Conditioned, f.Facts.Ready = s.Conditioned, s.Ready
		f.Verdicts = prrVerdicts(f.Facts)
		f.Best = bestOf(f.Verdicts)
		if err := h.gatherReview(tx, f, s); err != nil {
			return err
		}
		if f.Problems, err = h.registry.ProblemsIn(tx, s.Subject.ModelID); err != nil {
			return err
		}
		if f.Changes, err = h.registry.ChangesIn(tx, s.Subject.ModelID); err != nil {
			return err
		}
		return errDryRun
	})
	if !errors.Is(err, errDryRun) {
		return nil, "", err
	}
	f.withhold(f.Review.Classification) // as the model is now, never less than it was
	return f, id, nil
}

// gatherReview reads the review itself: board, votes, conditions and who closed them.
func (h *modelPRR) gatherReview(tx *db.Tx, f *editionFacts, s *prrState) (err error) {
	if f.Review, err = h.readiness.ReviewIn(tx, s.PRRID); err != nil {
		return err
	}
	if f.Barred, err = h.readiness.Barred(tx, s.Subject); err != nil {
		return err
	}
	if f.Count, err = h.readiness.Tally(tx, s.PRRID); err != nil {
		return err
	}
	if f.Chiefs, err = h.people.WithRole(tx, verify.RoleChiefEngineer, s.Subject.Project, s.Subject.Classification); err != nil {
		return err
	}
	if f.Facts.Checklist != nil {
		if f.Reasons, err = h.readiness.ReasonsOf(tx, f.Facts.Checklist); err != nil {
			return err
		}
	}
	for _, c := range f.Review.Conditions {
		if c.DecisionID == "" {
			continue
		}
		if f.Closings[c.ConditionID], err = h.readiness.DecisionIn(tx, c.DecisionID); err != nil {
			return err
		}
	}
	return nil
}

// nextEdition is the id and version of the next edition: a free id of the series and 1.0, or
// the next whole version of the document that there is. Of reviews whose reports are made at
// the same time each leaves the lower ids to those that were opened before it: if all tried
// to take the same one, all but one would have to make their report again, time after time.
func (h *modelPRR) nextEdition(tx *db.Tx, s *prrState) (id, version string, err error) {
	reportID := s.ReportID
	if reportID == "" {
		ahead, err := h.readiness.PreparingBefore(tx, s.PRRID)
		if err != nil {
			return "", "", err
		}
		id, err = h.registry.FreeDocumentID(tx, reportSeries, ahead)
		return id, "1.0", err
	}
	d, err := h.registry.DocumentIn(tx, reportID)
	if err != nil {
		return "", "", err
	}
	major, _, _ := strings.Cut(d.Version, ".")
	n, err := strconv.Atoi(major)
	if err != nil {
		return "", "", caos.Wrap(caos.Internal, err, "the version %s of %s cannot be read", d.Version, reportID)
	}
	return reportID, strconv.Itoa(n+1) + ".0", nil
}

// withhold takes out of the facts what is classified higher than the model: whoever may
// know of the model may read the report. That it exists, and what follows from it, stays.
func (f *editionFacts) withhold(classification string) {
	const hidden = "(classified higher than this report)"
	for i, k := range f.Facts.Risks {
		if above(k.Classification, classification) {
			f.Facts.Risks[i] = &readiness.Risk{RiskID: k.RiskID, Title: hidden, Likelihood: k.Likelihood, Impact: k.Impact, Score: k.Score, Level: k.Level, ResidualLikelihood: k.ResidualLikelihood,
				ResidualImpact: k.ResidualImpact, ResidualScore: k.ResidualScore, ResidualLevel: k.ResidualLevel, Status: k.Status, ReviewOn: k.ReviewOn, ModelID: k.ModelID, Accepted: k.Accepted}
		}
	}
	for i, p := range f.Problems {
		if above(p.Classification, classification) {
			f.Problems[i] = &registry.ProblemReport{ProblemID: p.ProblemID, Title: hidden, Severity: p.Severity, Status: p.Status, ModelID: p.ModelID, CreatedAt: p.CreatedAt}
		}
	}
	for i, p := range f.Facts.Freeze.OpenProblems {
		if above(p.Classification, classification) {
			f.Facts.Freeze.OpenProblems[i] = registry.ProblemReport{ProblemID: p.ProblemID, Title: hidden, Severity: p.Severity, Status: p.Status, ModelID: p.ModelID, CreatedAt: p.CreatedAt}
		}
	}
	for i, c := range f.Changes {
		if above(c.Classification, classification) {
			f.Changes[i] = &registry.Change{ChangeID: c.ChangeID, Title: hidden, Class: c.Class, Status: c.Status, ModelID: c.ModelID, CreatedAt: c.CreatedAt}
		}
	}
	f.Facts.Evidence.Items = slices.DeleteFunc(f.Facts.Evidence.Items, func(c *evidence.Collected) bool { return above(c.Classification, classification) })
	for i, p := range f.Facts.Evidence.Packages {
		if above(p.Classification, classification) {
			f.Facts.Evidence.Packages[i] = &evidence.Package{PackageID: p.PackageID, ModelID: p.ModelID, Title: hidden, Status: p.Status, PlanVersion: p.PlanVersion, Counts: p.Counts}
		}
	}
	f.withholdDocuments(classification, hidden)
}

// withholdDocuments is withhold for what the freeze rests on.
func (f *editionFacts) withholdDocuments(classification, hidden string) {
	z := f.Facts.Freeze
	if d := z.DefectList; d != nil && above(d.Classification, classification) {
		z.OpenDefects = []registry.OpenDefect{}
	}
	if d := z.VVReport; d != nil && above(d.Classification, classification) {
		z.VV = nil
	}
	blind := func(d **registry.Document) {
		if have := *d; have != nil && above(have.Classification, classification) {
			*d = &registry.Document{DocumentID: have.DocumentID, Version: have.Version, Kind: have.Kind, Title: hidden, Status: have.Status, Stated: have.Stated, ModelID: have.ModelID,
				ModelVersion: have.ModelVersion, Digest: have.Digest, Decision: have.Decision}
		}
	}
	for _, d := range []**registry.Document{&z.VVReport, &z.SafetyAssessment, &z.DefectList, &z.DocumentationReview} {
		blind(d)
	}
	for i := range z.VVReports {
		blind(&z.VVReports[i])
	}
}

// vvReport reads the tests of the V&V report, whose registered versions never change.
func (h *modelPRR) vvReport(ctx context.Context, f *prrFacts) (*registry.VVReport, error) {
	d := f.Freeze.VVReport
	if d == nil || f.Freeze.VV == nil {
		return nil, nil
	}
	full, err := h.registry.DocumentVersion(ctx, d.DocumentID, d.Version)
	if err != nil {
		return nil, err
	}
	var out registry.VVReport
	if len(full.Results) == 0 {
		return nil, nil
	}
	if err := json.Unmarshal(full.Results, &out); err != nil {
		return nil, fmt.Errorf("read the results of %s: %w", d.DocumentID, err)
	}
	out.Tests, out.Requirements = out.Tests[:min(len(out.Tests), maxShownTests)], out.Requirements[:min(len(out.Requirements), maxShownTests)]
	return &out, nil
}

// maxShownTests bounds the tests and the requirements of the report.
const maxShownTests = 2000

// maxPurpose bounds, in bytes, what the first page says of what the model is for: the
// decision has to stand on it, too.
const maxPurpose = 500

// document is the edition as package report shows it.
func (h *modelPRR) document(f *editionFacts, id string) *report.Review {
	v, m := f.Review, f.Facts.Freeze.Model
	r := &report.Review{
		PRRID: v.PRRID, ReportID: id, ReportVersion: f.Version, CreatedAt: f.At, Classification: strings.ToUpper(cmp.Or(v.Classification, "Internal")), Project: v.Project,
		ModelID: v.ModelID, ModelName: m.Name, ModelPurpose: clipLine(strings.Join(strings.Fields(m.Description), " "), maxPurpose), Version: v.Version, SafetyLevel: v.SafetyLevel, Owner: person(m.Owner), RequestedBy: person(v.RequestedBy),
		PRRDate: v.PRRDate, OpenedAt: v.OpenedAt, Best: f.best(), Decision: v.Decision, BoardDecision: v.BoardDecision, Status: f.status(), VoteLink: h.baseURL + "/v1/reviews/" + v.PRRID,
		Rule: "More than half of the named members vote, and a Chief Engineer. One vote REJECTED rejects, one CONDITIONAL makes it conditional, and no vote can make it better than the best decision that the facts allow. " +
			"Owners, V&V authors, and whoever asked for the freeze or this review have no vote.",
		Log: f.Log,
	}
	if v.DecidedAt != nil {
		r.DecidedAt = *v.DecidedAt
		r.DecisionNote = decisionNote(f)
	}
	if r.Best != report.Rejected {
		r.ClosesAt = v.ClosesAt
	}
	for _, e := range v.Editions {
		r.Earlier = append(r.Earlier, report.Edition{Version: e.Version, Digest: e.Digest, CreatedAt: f.Made[e.Version], Says: editionSays(e.Version)})
	}
	r.Members = f.members()
	for _, g := range f.Verdicts {
		r.Verdicts = append(r.Verdicts, reportVerdict(g))
	}
	r.Baseline, r.Validation, r.Checklist, r.Risks = f.baseline(), f.validation(), f.checklist(), f.risks()
	r.Evidence, r.Objectives, r.Problems, r.Changes = f.evidence(), f.objectives(), f.problems(), f.changes()
	r.Conditions, r.Votes, r.Verification, r.NextSteps = f.conditions(), f.votes(), f.verification(), f.nextSteps()
	return r
}

// best is the one that binds the votes, once there is one.
func (f *editionFacts) best() string {
	if f.Review.Best != "" {
		return f.Review.Best
	}
	return f.Best
}

// status is how the review stands when the edition is registered: the first one opens the
// vote.
func (f *editionFacts) status() string {
	if f.Review.Status == readiness.ReviewPreparing {
		return string(readiness.ReviewVoting)
	}
	return string(f.Review.Status)
}

func editionSays(version string) string {
	switch version {
	case "1.0":
		return "before the votes"
	case "2.0":
		return "after the decision"
	}
	return "a later edition"
}

// decisionNote says in a sentence how the decision came about.
func decisionNote(f *editionFacts) string {
	by := map[string]int{}
	for _, v := range f.Review.Votes {
		by[v.Outcome]++
	}
	switch {
	case len(f.Review.Votes) == 0:
		return "The facts allow no better decision, so there was nothing to vote on."
	case f.Review.BoardDecision != f.Count.Outcome && f.Count.Outcome != "":
		return fmt.Sprintf("The votes came to %s; what was known when they were counted allowed no better than %s.", f.Count.Outcome, f.Review.BoardDecision)
	}
	return fmt.Sprintf("%s: %d approved, %d conditional, %d rejected.", count(len(f.Review.Votes), "vote"), by[report.Approved], by[report.Conditional], by[report.Rejected])
}

func person(id string) report.Person { return report.Person{ID: id} }

func (f *editionFacts) members() (out []report.Member) {
	voted := func(id string) bool {
		return slices.ContainsFunc(f.Review.Votes, func(v *readiness.Vote) bool { return v.Person == id })
	}
	for _, id := range f.Review.Members {
		roles := []string{"prr-board"}
		if slices.Contains(f.Chiefs, id) {
			roles = append(roles, verify.RoleChiefEngineer)
		}
		out = append(out, report.Member{Person: person(id), Roles: roles, Barred: partOf(f.Barred[id]), Voted: voted(id)})
	}
	for _, id := range f.Chiefs {
		if !slices.Contains(f.Review.Members, id) {
			out = append(out, report.Member{Person: person(id), Roles: []string{verify.RoleChiefEngineer}, Barred: partOf(f.Barred[id]), Voted: voted(id)})
		}
	}
	return out
}

func reportVerdict(v Verdict) report.Verdict {
	out := report.Verdict{Rule: v.Gate, Title: v.Action, Pass: v.Pass, Ceiling: v.Ceiling, IDs: firstOf(v.ids, 50)}
	if v.Finding != nil {
		out.Finding, out.Remedy = v.Finding.Message, v.Finding.Remedy
	}
	return out
}

// verification says how a reader checks the document.
func (f *editionFacts) verification() []report.Instruction {
	return []report.Instruction{
		{Text: "Fetch this edition and compare its digest with the one that the votes name.", Command: "caos review report " + f.PRRID + " --version " + f.Version + " --out report.html && sha256sum report.html"},
		{Text: "The facts that it shows are kept as JSON with this digest.", Command: "caos review report " + f.PRRID + " --version " + f.Version + " --out facts.json && sha256sum facts.json", Expect: plainDigest(f.Log.FactsDigest)},
		{Text: "Export the certification package of the model and check all votes, keys and the log offline.", Command: "caos-verify --trust trust.json PACKAGE.tar", Expect: "Every outcome is what its decisions come to by the policy that it names"},
	}
}

// plainDigest is a digest as sha256sum writes it.
func plainDigest(digest string) string { return strings.TrimPrefix(digest, "SHA256:") }

// nextSteps says what the reader of this edition may do.
func (f *editionFacts) nextSteps() []string {
	v := f.Review
	switch {
	case v.Decision == "" && f.best() == report.Rejected:
		return append(remedies(f.Verdicts), "Ask for another review once that is done.")
	case v.Decision == "":
		return []string{fmt.Sprintf("Members and Chief Engineers vote until the end of %s (UTC): `caos vote %s approve`, `conditional` or `reject`.", v.PRRDate, v.PRRID)}
	case v.Decision == report.Conditional && len(v.Conditions) > 0:
		return []string{fmt.Sprintf("Somebody other than its owner closes each condition with evidence: `caos condition close %s --evidence ID`.", v.Conditions[0].ConditionID)}
	case f.Facts.Ready:
		return []string{fmt.Sprintf("The version is PRODUCTION_READY. See what stands between it and its release: `caos why %s@%s release`.", v.ModelID, v.Version)}
	case v.Decision == report.Approved:
		return []string{fmt.Sprintf("The version becomes PRODUCTION_READY and its release authorisation opens: `caos why %s@%s release`.", v.ModelID, v.Version)}
	}
	return append(remedies(f.Verdicts), "Ask for another review once that is done.")
}
