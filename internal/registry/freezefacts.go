package registry

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"caos"
	"caos/internal/db"
)

// FreezeFacts is all that the gates of a freeze look at, as of one moment. What is not there
// is nil. Nothing in it is a verdict.
type FreezeFacts struct {
	Model               *Model            `json:"model"`
	Version             *Version          `json:"version"`
	Artifacts           []*Artifact       `json:"artifacts"` // by name
	Conversions         []*Conversion     `json:"conversions"`
	Equivalences        map[string]bool   `json:"equivalences"`      // by id named in a conversion record: whether such a document, not rejected, or item of evidence is there for the model's project
	VVReport            *Document         `json:"vv_report"`         // the latest version of the document asked for, whatever its kind and model
	VV                  *VVFacts          `json:"vv"`                // what it says; nil if it is no V&V report
	VVReports           []*Document       `json:"vv_reports"`        // all V&V reports of the version that nothing superseded, latest first
	SafetyAssessment    *Document         `json:"safety_assessment"` // the latest that names the version and nothing superseded; likewise the next two
	DefectList          *Document         `json:"defect_list"`
	DocumentationReview *Document         `json:"documentation_review"`
	OpenDefects         []OpenDefect      `json:"open_defects"`      // of all defect lists of the version that nothing superseded, worst first, at most 100
	OpenDefectCount     map[string]int    `json:"open_defect_count"` // by severity, all of them
	OpenProblems        []ProblemReport   `json:"open_problems"`
	Requirements        []string          `json:"requirements"`        // ids, sorted: linked to the version, or planned to be verified for it
	RequirementSources  map[string]string `json:"requirement_sources"` // the id of the link or V&V plan that it comes from
	Earlier             []*Baseline       `json:"earlier"`             // of other versions of the model, latest first, without files
}

// FreezeFacts reads what the gates of a freeze look at. An unknown or malformed report id
// leaves VVReport nil. Errors: NotFound without the model or the version.
func (r *Registry) FreezeFacts(tx *db.Tx, modelID, version, vvReportID string) (*FreezeFacts, error) {
	f := &FreezeFacts{VVReports: []*Document{}, OpenDefects: []OpenDefect{}, OpenDefectCount: map[string]int{}}
	var err error
	if f.Model, err = r.ModelIn(tx, modelID); err != nil {
		return nil, err
	}
	if f.Version, err = r.VersionIn(tx, modelID, version); err != nil {
		return nil, err
	}
	if f.Artifacts, err = artifactsOf(tx.Query, modelID, version); err != nil {
		return nil, err
	}
	if f.Conversions, err = conversionsOf(tx.Query, modelID, version); err != nil {
		return nil, err
	}
	if err := f.readEquivalences(tx); err != nil {
		return nil, err
	}
	if err := f.readReport(tx, vvReportID); err != nil {
		return nil, err
	}
	if f.OpenProblems, err = openProblems(tx, modelID, version); err != nil {
		return nil, err
	}
	if f.RequirementSources, err = requirementsOf(tx, f.Model, version); err != nil {
		return nil, err
	}
	if err := f.readDocuments(tx); err != nil {
		return nil, err
	}
	return f, f.readEarlier(tx)
}

// readEquivalences looks for what conversion records name as their proof: a record may be
// made before the proof is there, a freeze is not.
func (f *FreezeFacts) readEquivalences(tx *db.Tx) error {
	f.Equivalences = map[string]bool{}
	var ids []string
	for _, c := range f.Conversions {
		if _, asked := f.Equivalences[c.Equivalence]; !asked && c.Equivalence != "" {
			f.Equivalences[c.Equivalence] = false
			ids = append(ids, c.Equivalence)
		}
	}
	there := func(scan func(...any) error) error {
		var id, project string
		err := scan(&id, &project)
		if project == "" || project == f.Model.Project {
			f.Equivalences[id] = true
		}
		return err
	}
	if err := perID(within(tx), `SELECT document_id, project FROM documents WHERE document_id = {{id}} AND status IN ('REGISTERED', 'APPROVED')`, ids, there); err != nil {
		return err
	}
	return perID(within(tx), `SELECT evidence_id, project FROM evidence WHERE evidence_id = {{id}}`, ids, there)
}

// storedFacts is the column of what was read out of a document. Each statement of a
// transaction is a round trip, so facts come with their documents.
const storedFacts = `COALESCE((SELECT c.facts FROM document_contents c WHERE c.document_id = documents.document_id AND c.version = documents.version), '')`

// readReport reads the V&V report that was asked for.
func (f *FreezeFacts) readReport(tx *db.Tx, id string) error {
	if caos.CheckID("document", "vv_report_id", id) != nil {
		return nil
	}
	return tx.Query(`SELECT `+documentColumns+`, `+storedFacts+` FROM documents WHERE document_id = $1 AND status <> 'SUPERSEDED'`, []any{id},
		func(scan func(...any) error) (err error) {
			var stored string
			if f.VVReport, err = scanDocument(scan, &stored); err == nil && f.VVReport.Kind == KindVVReport {
				f.VV, err = readVVFacts(stored)
			}
			return err
		})
}

// readDocuments reads the documents about the version that nothing superseded, and the V&V
// plans for all versions of the model. There are few: RegisterDocument sees to that.
func (f *FreezeFacts) readDocuments(tx *db.Tx) error {
	err := tx.Query(`SELECT `+documentColumns+`, CASE WHEN kind = 'vv-report' THEN '' ELSE `+storedFacts+` END FROM documents
		WHERE model_id = $1 AND (model_version = $2 OR model_version = '' AND kind = 'vv-plan') AND status <> 'SUPERSEDED'
			AND kind IN ('vv-report', 'vv-plan', 'safety-assessment', 'defect-list', 'documentation-review')
		ORDER BY registered_at DESC, document_id DESC`, []any{f.Version.ModelID, f.Version.Version}, func(scan func(...any) error) error {
		var stored string
		d, err := scanDocument(scan, &stored)
		if err != nil {
			return err
		}
		return f.readDocument(d, stored)
	})
	slices.SortStableFunc(f.OpenDefects, func(a, b OpenDefect) int { return cmp.Compare(weight(b.Severity), weight(a.Severity)) })
	f.OpenDefects = f.OpenDefects[:min(len(f.OpenDefects), maxShown)]
	f.Requirements = slices.Sorted(maps.Keys(f.RequirementSources))
	return err
}

// readDocument takes one document in. They come latest first.
func (f *FreezeFacts) readDocument(d *Document, stored string) error {
	first := func(into **Document) {
		if *into == nil {
			*into = d
		}
	}
	switch d.Kind {
	case KindVVReport:
		f.VVReports = append(f.VVReports, d)
	case KindSafetyAssessment:
		first(&f.SafetyAssessment)
	case KindDocumentationReview:
		first(&f.DocumentationReview)
	case KindDefectList:
		first(&f.DefectList)
		return f.addDefects(d, stored)
	case KindVVPlan:
		if d.Status != DocumentRejected { // a rejected plan plans nothing
			f.addRequirements(d, stored)
		}
	}
	return nil
}

// addDefects adds a list to those before: a second list, perhaps an empty one, hides nothing.
func (f *FreezeFacts) addDefects(d *Document, stored string) error {
	facts, err := readDefectFacts(stored)
	if err != nil {
		return err
	}
	for severity, n := range facts.Open {
		f.OpenDefectCount[severity] += n
	}
	for _, one := range facts.Worst {
		f.OpenDefects = append(f.OpenDefects, OpenDefect{DocumentID: d.DocumentID, Defect: one})
	}
	return nil
}

// addRequirements adds what a plan plans to what links trace to the version.
func (f *FreezeFacts) addRequirements(d *Document, stored string) {
	for id := range strings.SplitSeq(stored, "\n") {
		if id != "" && f.RequirementSources[id] == "" {
			f.RequirementSources[id] = d.DocumentID
		}
	}
}

func (f *FreezeFacts) readEarlier(tx *db.Tx) error {
	f.Earlier = []*Baseline{}
	return tx.Query(`SELECT `+baselineColumns+` FROM baselines WHERE model_id = $1 AND version <> $2 ORDER BY frozen_at DESC, baseline_id DESC LIMIT 100`,
		[]any{f.Version.ModelID, f.Version.Version}, func(scan func(...any) error) error {
			b, err := scanBaseline(scan)
			f.Earlier = append(f.Earlier, b)
			return err
		})
}
