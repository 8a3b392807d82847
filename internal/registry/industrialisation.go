package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"caos"
	"caos/internal/codec"
	"caos/internal/db"
)

// Phase is how far the way of a version into production has come. The words are the
// programme's.
type Phase string

// The phases. Stored.
const (
	Planning    Phase = "PLANNING"
	Preparation Phase = "PREPARATION"
	Validation  Phase = "VALIDATION"
	Production  Phase = "PRODUCTION"
)

// Phases lists them in order.
func Phases() []string {
	return []string{string(Planning), string(Preparation), string(Validation), string(Production)}
}

// maxSections bounds the sections of a record, in bytes of JSON.
const maxSections = 1 << 20

// Industrialisation is what is planned and known about bringing a version into production.
type Industrialisation struct {
	ModelID         string   `json:"model_id"`
	Version         string   `json:"version"`
	Phase           Phase    `json:"phase"`
	TargetPlatforms []string `json:"target_platforms"`
	ReleaseTarget   string   `json:"release_target"` // as planned, such as 2026-Q1
	// ProductionReady is what a review of CAOS found. What an import states about it is in
	// Sections and counts for nothing.
	ProductionReady   bool                       `json:"production_ready"`
	ChecklistTemplate string                     `json:"checklist_template"` // document id of the readiness checklist
	Sections          map[string]json.RawMessage `json:"sections"`           // what files stated and nothing else has a place for, by section, whole
	Project           string                     `json:"project"`
	Classification    string                     `json:"classification"`
	OpenedAt          time.Time                  `json:"opened_at"`
	OpenedBy          string                     `json:"opened_by"`
	UpdatedAt         time.Time                  `json:"updated_at"`
	ExecutionID       string                     `json:"execution_id"` // freeze that began production planning, "" for none yet
	Revision          int64                      `json:"revision"`
}

func (i *Industrialisation) check() error {
	if err := caos.CheckWord("phase", string(i.Phase), Phases()); err != nil {
		return err
	}
	if len(i.TargetPlatforms) > 100 {
		return caos.Errorf(caos.TooLarge, "%d platforms, more than 100", len(i.TargetPlatforms)).WithField("target_platforms")
	}
	for n, p := range i.TargetPlatforms {
		if err := checkLine(fmt.Sprintf("target_platforms[%d]", n), p, maxLine); err != nil {
			return err
		}
	}
	if err := checkLine("release_target", i.ReleaseTarget, maxWord); err != nil {
		return err
	}
	size := 0
	for name, body := range i.Sections {
		if err := checkLine("sections", name, maxWord); err != nil {
			return err
		}
		if !json.Valid(body) {
			return caos.Errorf(caos.Internal, "the section %s is not JSON", name)
		}
		size += len(body)
	}
	if size > maxSections {
		return caos.Errorf(caos.TooLarge, "the sections of %s have %d bytes, the limit is %d", VersionKey(i.ModelID, i.Version), size, maxSections).
			WithField("sections").WithHint("divide the file")
	}
	if i.ChecklistTemplate == "" {
		return nil
	}
	return caos.CheckID("document", "checklist_template", i.ChecklistTemplate)
}

// OpenIndustrialisation begins production planning of a version: with the record that an
// import may have made, whose phase, platforms and sections stay unless they are given, or
// with a new one, whose phase is PLANNING. Opening again by the same execution changes
// nothing.
func (r *Registry) OpenIndustrialisation(tx *db.Tx, i Industrialisation, by By) (*Industrialisation, error) {
	if i.ExecutionID == "" {
		i.ExecutionID = by.Execution
	}
	out, _, err := r.putIndustrialisation(tx, i, by, "production planning opened")
	return out, err
}

// PutIndustrialisation keeps what a file states about a version's way into production. Empty
// fields and sections that are not given stay as they are, a section that is given as nil
// goes; ProductionReady is not taken from it.
func (r *Registry) PutIndustrialisation(tx *db.Tx, i Industrialisation, by By) (*Industrialisation, Outcome, error) {
	i.ProductionReady, i.ExecutionID = false, ""
	return r.putIndustrialisation(tx, i, by, "industrialisation record kept")
}

func (r *Registry) putIndustrialisation(tx *db.Tx, i Industrialisation, by By, what string) (*Industrialisation, Outcome, error) {
	v, err := r.VersionIn(tx, i.ModelID, i.Version)
	if err != nil {
		return nil, "", err
	}
	old, err := r.IndustrialisationIn(tx, i.ModelID, i.Version)
	if caos.KindOf(err) == caos.NotFound {
		old, err = nil, nil
	}
	if err != nil {
		return nil, "", err
	}
	now := r.now()
	i = i.over(old)
	i.Project, i.Classification = v.Project, v.Classification
	if err := i.check(); err != nil {
		return nil, "", err
	}
	sections, err := json.Marshal(i.Sections)
	if err != nil {
		return nil, "", fmt.Errorf("registry: write sections: %w", err)
	}
	outcome := Updated
	switch {
	case old == nil:
		outcome = Created
		i.OpenedAt, i.OpenedBy, i.UpdatedAt, i.Revision = now, by.Actor, now, 1
		tx.Exec(`INSERT INTO industrialisations (`+industrialisationColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
			i.ModelID, i.Version, string(i.Phase), codec.ListJSON(i.TargetPlatforms), i.ReleaseTarget, number(i.ProductionReady), i.ChecklistTemplate,
			string(sections), i.Project, i.Classification, now.UnixMicro(), i.OpenedBy, now.UnixMicro(), i.ExecutionID, i.Revision)
	case old.same(&i):
		return old, Unchanged, nil
	default:
		i.UpdatedAt, i.Revision = now, old.Revision+1
		tx.ExecOne(caos.Errorf(caos.Conflict, "the industrialisation record was changed meanwhile"),
			`UPDATE industrialisations SET phase = $1, target_platforms = $2, release_target = $3, production_ready = $4, checklist_template = $5,
				sections = $6, classification = $7, updated_at = $8, execution_id = $9, revision = $10 WHERE model_id = $11 AND version = $12 AND revision = $13`,
			string(i.Phase), codec.ListJSON(i.TargetPlatforms), i.ReleaseTarget, number(i.ProductionReady), i.ChecklistTemplate,
			string(sections), i.Classification, now.UnixMicro(), i.ExecutionID, i.Revision, i.ModelID, i.Version, old.Revision)
	}
	names := slices.Sorted(maps.Keys(i.Sections))
	return &i, outcome, r.record(tx, by, note{Event: what, Resources: []string{i.ModelID, VersionKey(i.ModelID, i.Version)}, Project: i.Project,
		Classification: i.Classification, Details: map[string]any{"phase": i.Phase, "target_platforms": i.TargetPlatforms,
			"release_target": i.ReleaseTarget, "checklist_template": i.ChecklistTemplate, "sections": names, "production_ready": i.ProductionReady}})
}

// over lays what i states over what was known before, nil for nothing.
func (i Industrialisation) over(old *Industrialisation) Industrialisation {
	if old == nil {
		if i.Phase == "" {
			i.Phase = Planning
		}
		i.TargetPlatforms = codec.Listed(i.TargetPlatforms)
		if i.Sections == nil {
			i.Sections = map[string]json.RawMessage{}
		}
		return i
	}
	out := *old
	out.Sections = maps.Clone(old.Sections)
	for name, body := range i.Sections {
		if body == nil {
			delete(out.Sections, name)
			continue
		}
		out.Sections[name] = body
	}
	if i.Phase != "" {
		out.Phase = i.Phase
	}
	if i.TargetPlatforms != nil {
		out.TargetPlatforms = i.TargetPlatforms
	}
	out.ProductionReady = old.ProductionReady || i.ProductionReady
	for _, f := range []struct{ to, from *string }{
		{&out.ReleaseTarget, &i.ReleaseTarget}, {&out.ChecklistTemplate, &i.ChecklistTemplate}, {&out.ExecutionID, &i.ExecutionID},
	} {
		if *f.from != "" {
			*f.to = *f.from
		}
	}
	return out
}

// same reports whether two records say the same.
func (i *Industrialisation) same(o *Industrialisation) bool {
	return i.Phase == o.Phase && slices.Equal(i.TargetPlatforms, o.TargetPlatforms) && i.ReleaseTarget == o.ReleaseTarget &&
		i.ProductionReady == o.ProductionReady && i.ChecklistTemplate == o.ChecklistTemplate && i.ExecutionID == o.ExecutionID &&
		i.Classification == o.Classification && maps.EqualFunc(i.Sections, o.Sections, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) })
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

const industrialisationColumns = `model_id, version, phase, target_platforms, release_target, production_ready, checklist_template, sections,
	project, classification, opened_at, opened_by, updated_at, execution_id, revision`

func scanIndustrialisation(scan func(...any) error) (*Industrialisation, error) {
	var i Industrialisation
	var platforms, sections string
	var ready, opened, updated int64
	err := scan(&i.ModelID, &i.Version, &i.Phase, &platforms, &i.ReleaseTarget, &ready, &i.ChecklistTemplate, &sections,
		&i.Project, &i.Classification, &opened, &i.OpenedBy, &updated, &i.ExecutionID, &i.Revision)
	if err != nil {
		return nil, err
	}
	i.ProductionReady, i.OpenedAt, i.UpdatedAt = ready != 0, db.Moment(opened), db.Moment(updated)
	if err := json.Unmarshal([]byte(sections), &i.Sections); err != nil {
		return nil, fmt.Errorf("registry: read sections of %s: %w", VersionKey(i.ModelID, i.Version), err)
	}
	return &i, readList(platforms, &i.TargetPlatforms)
}

func getIndustrialisation(q query, modelID, version string) (*Industrialisation, error) {
	var i *Industrialisation
	err := q(`SELECT `+industrialisationColumns+` FROM industrialisations WHERE model_id = $1 AND version = $2`, []any{modelID, version},
		func(scan func(...any) error) (err error) {
			i, err = scanIndustrialisation(scan)
			return err
		})
	if err == nil && i == nil {
		err = caos.Errorf(caos.NotFound, "there is no industrialisation record of %s", VersionKey(modelID, version)).WithField("version").
			WithHint("a freeze opens it; caos import brings what a registry states")
	}
	return i, err
}

// Industrialisation returns the record of a version, or a NotFound error.
func (r *Registry) Industrialisation(ctx context.Context, modelID, version string) (*Industrialisation, error) {
	return getIndustrialisation(r.pool(ctx), modelID, version)
}

// IndustrialisationIn returns the record of a version as a transaction sees it.
func (r *Registry) IndustrialisationIn(tx *db.Tx, modelID, version string) (*Industrialisation, error) {
	return getIndustrialisation(within(tx), modelID, version)
}

// IndustrialisationFilter chooses industrialisation records; empty fields match all.
type IndustrialisationFilter struct {
	ModelID, Project string
	Phase            Phase
	Limit            int // of a page; 0 means 100, the most is 1000
}

// Industrialisations lists records, latest opened first. cursor is "" and then the one
// returned.
func (r *Registry) Industrialisations(ctx context.Context, f IndustrialisationFilter, cursor string) ([]*Industrialisation, string, error) {
	w := new(db.Where)
	w.Is("model_id", f.ModelID)
	w.Is("project", f.Project)
	w.Is("phase", string(f.Phase))
	return db.Page(r.pool(ctx), w, db.Listing[*Industrialisation]{Columns: industrialisationColumns, From: "industrialisations", At: "opened_at", ID: "model_id || '@' || version", Limit: f.Limit,
		Scan: scanIndustrialisation,
		Key:  func(i *Industrialisation) (time.Time, string) { return i.OpenedAt, VersionKey(i.ModelID, i.Version) },
	}, cursor)
}
