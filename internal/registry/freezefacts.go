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
	f := &FreezeFacts{OpenDefects: []OpenDefect{}, OpenDefectCount: map[string]int{}}
	var err error
	if f.Model, err = r.ModelIn(tx, modelID); err != nil {
		return nil, err
	}
	if f.Version, err = r.VersionIn(tx, modelID, version); err != nil {
		return nil, err
	}
	if f.Artifacts, err = r.ArtifactsIn(tx, modelID, version); err != nil {
		return nil, err
	}
	if f.Conversions, err = r.ConversionsIn(tx, modelID, version); err != nil {
		return nil, err
	}
	if err := f.readReport(tx, vvReportID); err != nil {
		return nil, err
	}
	if err := f.readDocuments(tx); err != nil {
		return nil, err
	}
	if err := f.readDefects(tx); err != nil {
		return nil, err
	}
	if f.OpenProblems, err = openProblems(tx, modelID, version); err != nil {
		return nil, err
	}
	if err := f.readRequirements(tx); err != nil {
		return nil, err
	}
	return f, f.readEarlier(tx)
}

// readReport reads the V&V report that was asked for.
func (f *FreezeFacts) readReport(tx *db.Tx, id string) (err error) {
	f.VVReport, err = getDocument(tx.Query, id, "")
	if k := caos.KindOf(err); k == caos.NotFound || k == caos.Invalid {
		return nil
	}
	if err != nil || f.VVReport.Kind != KindVVReport {
		return err
	}
	return factsOf(tx, f.VVReport, func(stored string) (err error) {
		f.VV, err = readVVFacts(stored)
		return err
	})
}

// factsOf reads the stored facts of a document, if it has any.
func factsOf(tx *db.Tx, d *Document, read func(stored string) error) error {
	return tx.Query(`SELECT facts FROM document_contents WHERE document_id = $1 AND version = $2`, []any{d.DocumentID, d.Version}, func(scan func(...any) error) error {
		var stored string
		if err := scan(&stored); err != nil {
			return err
		}
		return read(stored)
	})
}

// current lists the documents of a kind about a model and version ("" for those about no one
// version) that nothing superseded, latest first.
func current(tx *db.Tx, kind, modelID, version string) ([]*Document, error) {
	var out []*Document
	err := tx.Query(`SELECT `+documentColumns+` FROM documents WHERE model_id = $1 AND model_version = $2 AND kind = $3 AND status <> 'SUPERSEDED'
		ORDER BY registered_at DESC, document_id DESC LIMIT 100`, []any{modelID, version, kind}, func(scan func(...any) error) error {
		d, err := scanDocument(scan)
		out = append(out, d)
		return err
	})
	return out, err
}

func (f *FreezeFacts) readDocuments(tx *db.Tx) (err error) {
	if f.VVReports, err = current(tx, KindVVReport, f.Version.ModelID, f.Version.Version); err != nil {
		return err
	}
	for kind, into := range map[string]**Document{KindSafetyAssessment: &f.SafetyAssessment, KindDocumentationReview: &f.DocumentationReview} {
		docs, err := current(tx, kind, f.Version.ModelID, f.Version.Version)
		if err != nil {
			return err
		}
		if len(docs) > 0 {
			*into = docs[0]
		}
	}
	return nil
}

// readDefects reads all defect lists of the version: a second list adds to the first, so
// that an empty one hides nothing.
func (f *FreezeFacts) readDefects(tx *db.Tx) error {
	docs, err := current(tx, KindDefectList, f.Version.ModelID, f.Version.Version)
	if err != nil {
		return err
	}
	for _, d := range docs {
		if f.DefectList == nil {
			f.DefectList = d
		}
		if err := factsOf(tx, d, func(stored string) error {
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
		}); err != nil {
			return err
		}
	}
	slices.SortStableFunc(f.OpenDefects, func(a, b OpenDefect) int { return cmp.Compare(weight(b.Severity), weight(a.Severity)) })
	f.OpenDefects = f.OpenDefects[:min(len(f.OpenDefects), maxShown)]
	return nil
}

// readRequirements joins the requirements that links trace to the version with those that
// its V&V plans, and the plans for all versions of the model, are about. A rejected plan
// plans nothing.
func (f *FreezeFacts) readRequirements(tx *db.Tx) error {
	var err error
	if f.RequirementSources, err = requirementsOf(tx, f.Model, f.Version.Version); err != nil {
		return err
	}
	for _, version := range []string{f.Version.Version, ""} {
		plans, err := current(tx, KindVVPlan, f.Version.ModelID, version)
		if err != nil {
			return err
		}
		for _, p := range plans {
			if p.Status == DocumentRejected {
				continue
			}
			if err := factsOf(tx, p, func(stored string) error {
				for id := range strings.SplitSeq(stored, "\n") {
					if id != "" && f.RequirementSources[id] == "" {
						f.RequirementSources[id] = p.DocumentID
					}
				}
				return nil
			}); err != nil {
				return err
			}
		}
	}
	f.Requirements = slices.Sorted(maps.Keys(f.RequirementSources))
	return nil
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
