package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"caos/internal/modelfile"
	"caos/internal/registry"
)

// The drafts are what a freeze asks for, made from the file. Each says in its first lines
// that it is a draft from a sandbox, and states nothing that was not looked at.

// sandboxMark begins every title and every document.
const sandboxMark = "SANDBOX DRAFT"

// The ids of the drafts.
const (
	tryPlan   = "95-00-07-TRY-001"
	tryReport = "95-00-07-TRY-002"
	trySafety = "95-00-07-TRY-003"
	tryDefect = "95-00-07-TRY-004"
	tryReview = "95-00-07-TRY-005"
	tryCard   = "95-00-04-TRY-001"
)

// draft is a document of the trial: who brings it, and who decides about it.
type draft struct {
	id, kind, title, file, media string
	by, decider                  string // persona; no decider if nobody has to approve it
	role                         string // as an artifact of the version
	text                         []byte
}

// drafts makes every document.
func (s *subject) drafts(now time.Time) ([]draft, error) {
	report, err := s.vvReport(now)
	if err != nil {
		return nil, err
	}
	plan, err := s.vvPlan()
	if err != nil {
		return nil, err
	}
	defects, err := s.defects()
	if err != nil {
		return nil, err
	}
	const js, md = "application/json", "text/markdown"
	list := []draft{
		{id: tryPlan, kind: registry.KindVVPlan, title: "V&V plan", file: "vv-plan.json", media: js, by: "vv-lead", role: "other", text: plan},
		{id: tryReport, kind: registry.KindVVReport, title: "V&V report", file: "vv-report.json", media: js, by: "vv-lead", role: "test-results", text: report},
		{id: trySafety, kind: registry.KindSafetyAssessment, title: "Safety assessment", file: "safety-assessment.md", media: md, by: "mlops-engineer", decider: "safety-engineer",
			role: "safety-document", text: s.markdown(safetyDraft)},
		{id: tryDefect, kind: registry.KindDefectList, title: "Known defects", file: "defect-list.json", media: js, by: "mlops-engineer", role: "other", text: defects},
		{id: tryCard, kind: "model-card", title: "Model card", file: "model-card.md", media: md, by: "mlops-engineer", role: "design-document", text: s.markdown(cardDraft)},
		{id: tryReview, kind: registry.KindDocumentationReview, title: "Documentation review", file: "documentation-review.md", media: md, by: "mlops-engineer", decider: "qa-lead",
			role: "other", text: s.markdown(reviewDraft)},
	}
	for i := range list {
		list[i].title = sandboxMark + ": " + list[i].title + " of " + tryModel + "@" + tryVersion
	}
	return list, nil
}

func indented(v any) ([]byte, error) {
	text, err := json.MarshalIndent(v, "", "  ")
	return append(text, '\n'), err
}

// vvReport is PASSED only if every test did.
func (s *subject) vvReport(now time.Time) ([]byte, error) {
	status := "FAILED"
	if s.passed() == len(s.tests) {
		status = "PASSED"
	}
	r := registry.VVReport{DocumentID: tryReport, ModelID: tryModel, ModelVersion: tryVersion, Status: status, PerformedOn: now.UTC().Format(time.DateOnly),
		Environment: sandboxMark + ": caos try " + version, Artifacts: []registry.VVArtifact{{Name: s.name, Digest: s.digest}}, Tests: s.tests,
		Summary: fmt.Sprintf("%s. %d of %d tests passed, all of them on the file alone. The model was not run: nothing here says how well it does its task.", sandboxMark, s.passed(), len(s.tests))}
	for _, c := range s.beside {
		r.Artifacts = append(r.Artifacts, registry.VVArtifact{Name: c.name, Digest: c.digest})
	}
	for _, q := range tryRequirements() {
		r.Requirements = append(r.Requirements, registry.VVRequirement{RequirementID: q.id, Title: q.title})
	}
	return indented(r)
}

func (s *subject) vvPlan() ([]byte, error) {
	type entry struct {
		ID        string `json:"requirement_id"`
		Title     string `json:"title"`
		Rationale string `json:"rationale"`
	}
	plan := struct {
		Notice       string  `json:"notice"`
		DocumentID   string  `json:"document_id"`
		ModelID      string  `json:"model_id"`
		ModelVersion string  `json:"model_version"`
		Title        string  `json:"title"`
		Requirements []entry `json:"requirements"`
		Missing      string  `json:"still_missing"`
	}{
		Notice: sandboxMark + ": made by caos try from the file alone", DocumentID: tryPlan, ModelID: tryModel, ModelVersion: tryVersion, Title: sandboxMark + ": V&V plan",
		Missing: "what the model is for; requirements on its performance, robustness and latency, with thresholds that follow from that; the data to measure them on",
	}
	for _, q := range tryRequirements() {
		plan.Requirements = append(plan.Requirements, entry{q.id, q.title, q.why})
	}
	return indented(plan)
}

// defects lists what the scan found below HIGH, and the one thing that holds for every
// draft: nobody has verified what the model computes.
func (s *subject) defects() ([]byte, error) {
	l := registry.DefectList{ModelID: tryModel, ModelVersion: tryVersion, Defects: []registry.Defect{{DefectID: "TRY-DEF-001", Severity: "MEDIUM", Status: "OPEN",
		Title: sandboxMark + ": what the model computes was not verified; outside a sandbox this is no MEDIUM defect and no freeze"}}}
	for _, f := range s.report.Findings {
		if f.Severity == modelfile.Low || f.Severity == modelfile.Medium {
			l.Defects = append(l.Defects, registry.Defect{DefectID: fmt.Sprintf("TRY-DEF-%03d", len(l.Defects)+1), Title: cut(sandboxMark+": "+clean(f.Message), 280), Severity: string(f.Severity),
				Status: "OPEN", Resolution: clean(f.Remedy)})
		}
	}
	return indented(l)
}

// markdown fills the facts of the file into a text.
func (s *subject) markdown(text string) []byte {
	o := s.onnx
	found := "nothing"
	if n := len(s.report.Findings); n > 0 {
		found = plural(n, "finding", "findings")
		for _, f := range s.report.Findings {
			found += fmt.Sprintf("\n  - %s: %s", f.Severity, clean(f.Message))
		}
	}
	weights := fmt.Sprintf("%d weights, %d constants", o.Parameters, o.Constants)
	for _, c := range s.beside {
		weights += fmt.Sprintf("; more in %s, %s", c.name, c.digest)
	}
	return []byte(strings.NewReplacer(
		"{notice}", "> **"+sandboxMark+".** Made by `caos try` from the file alone. Nobody has verified what the model computes. Proves nothing about a product.",
		"{model}", tryModel+", version "+tryVersion, "{file}", s.name, "{size}", fmt.Sprintf("%d bytes", s.size), "{digest}", s.digest,
		"{producer}", orDash(strings.TrimSpace(clean(o.Producer+" "+o.ProducerVersion))), "{opsets}", clean(opsetsOf(o)), "{ir}", fmt.Sprint(o.IRVersion),
		"{ends}", endsOf(o), "{nodes}", fmt.Sprint(o.Nodes), "{operators}", operatorsOf(o, 12), "{weights}", clean(weights), "{graph}", orDash(clean(o.Graph)),
		"{description}", orDash(cut(clean(o.Description), 400)), "{found}", found, "{tests}", fmt.Sprintf("%d of %d", s.passed(), len(s.tests)),
	).Replace(text))
}

const cardDraft = `# {model}

{notice}

| | |
|---|---|
| File | {file}, {size}, {digest} |
| Format | ONNX, IR version {ir}, {opsets} |
| Made by | {producer} |
| Graph | {graph}: {nodes} nodes |
| Operators | {operators} |
| Takes and gives | {ends} |
| Weights | {weights} |
| Says of itself | {description} |

What a scan found: {found}

## For its owner to write

- What it is for, who uses it, and what it must not be used for.
- What it was trained and evaluated on: data sets with digests, sources and licences.
- How well it does its task, by group, with the figures of a V&V report.
- What is known to go wrong.
`

const safetyDraft = `# Safety assessment of {model}

{notice}

Facts: {file}, {digest}; {nodes} nodes; {ends}.

## For a safety engineer to write

| question | answer |
|---|---|
| What depends on the output, and who is between it and an action? | not answered |
| What is the worst effect of no output, a wrong one, a late one? | not answered |
| Which level follows (DAL-A to DAL-E), and why not one lower? | not answered |
| What limits each failure: bounds, monitors, people, other systems? | not answered |
| What would have to be assessed again if it changed? | not answered |
`

const reviewDraft = `# Documentation review of {model}

{notice}

| question | answer |
|---|---|
| Is there a V&V plan with requirements? | a draft of six, about the file alone |
| Is there a V&V report? | a draft: {tests} tests passed |
| Is there a safety assessment? | a draft without answers |
| Is there a model card? | a draft with the facts of the file |
| Are the data sets described? | no |
| Is it said how the file was made? | no more than "{producer}" |

What a scan found: {found}
`

// writeDrafts leaves the documents in a folder, for whoever goes on with them.
func writeDrafts(dir string, list []draft) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, d := range list {
		if err := os.WriteFile(filepath.Join(dir, d.file), d.text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
