package registry

import (
	"strings"

	"caos"
	"caos/internal/db"
)

// Known reports whether id is something that the registry has: a model, a version of one
// ("NN-FCS-001@2.1.0"), a baseline, a freeze, a document, a change or a problem report.
func (r *Registry) Known(tx *db.Tx, id string) (bool, error) {
	if !db.Storable(id) {
		return false, nil
	}
	if model, version, ok := strings.Cut(id, "@"); ok {
		_, err := r.VersionIn(tx, model, version)
		if k := caos.KindOf(err); k == caos.NotFound || k == caos.Invalid {
			return false, nil
		}
		return err == nil, err
	}
	var n int64
	err := tx.QueryRow(`SELECT (SELECT COUNT(*) FROM models WHERE model_id = $1)
		+ (SELECT COUNT(*) FROM baselines WHERE baseline_id = $1 OR freeze_id = $1)
		+ (SELECT COUNT(*) FROM documents WHERE document_id = $1)
		+ (SELECT COUNT(*) FROM changes WHERE change_id = $1)
		+ (SELECT COUNT(*) FROM problem_reports WHERE problem_id = $1)`, id).Scan(&n)
	return n > 0, err
}

// KnownOf reports whether id is a baseline, a freeze or a document that says something about
// a version of a model ("" for any). A document is taken as its latest version is: one that
// was rejected says nothing, one about no model speaks for those of its project, and one
// about another version for that one.
func (r *Registry) KnownOf(tx *db.Tx, id string, of Model, version string) (bool, error) {
	if !db.Storable(id) {
		return false, nil
	}
	var frozen string
	err := tx.Query(`SELECT version FROM baselines WHERE (baseline_id = $1 OR freeze_id = $1) AND model_id = $2`, []any{id, of.ModelID},
		func(scan func(...any) error) error { return scan(&frozen) })
	if frozen != "" || err != nil {
		return err == nil && (version == "" || frozen == version), err
	}
	d, err := r.DocumentIn(tx, id)
	if k := caos.KindOf(err); k == caos.NotFound || k == caos.Invalid {
		return false, nil
	}
	if err != nil || d.Status == DocumentRejected {
		return false, err
	}
	if d.ModelID == "" {
		return d.Project == of.Project, nil
	}
	return d.ModelID == of.ModelID && (d.ModelVersion == "" || version == "" || d.ModelVersion == version), nil
}
