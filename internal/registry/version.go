package registry

import (
	"context"
	"regexp"
	"strconv"
	"time"

	"caos"
	"caos/internal/codec"
	"caos/internal/db"

	"github.com/Masterminds/semver/v3"
)

// maxCompatible is how many versions a version may say that it is compatible with.
const maxCompatible = 100

// Version is one version of a model.
type Version struct {
	ModelID             string     `json:"model_id"`
	Version             string     `json:"version"` // semantic version without a build part
	State               State      `json:"state"`
	Framework           string     `json:"framework"` // what it was made with, such as "PyTorch 2.9"
	Description         string     `json:"description"`
	Supersedes          string     `json:"supersedes"`           // an earlier version, "" for none; it may be older than the registry
	CompatibleWith      []string   `json:"compatible_with"`      // versions and ranges such as 2.0.x
	SafetyImpact        string     `json:"safety_impact"`        // in words
	CertificationImpact string     `json:"certification_impact"` // in words
	Freezing            string     `json:"freezing"`             // the execution that has it claimed, "" for none
	FreezeID            string     `json:"freeze_id"`            // "" until it is frozen
	BaselineID          string     `json:"baseline_id"`          // likewise
	FrozenAt            *time.Time `json:"frozen_at"`
	CreatedAt           time.Time  `json:"created_at"`
	CreatedBy           string     `json:"created_by"`
	UpdatedAt           time.Time  `json:"updated_at"`
	Revision            int64      `json:"revision"`       // counts changes from 1, those of artifacts included; the ETag
	Artifacts           int        `json:"artifacts"`      // how many it has
	Project             string     `json:"project"`        // the model's
	Classification      string     `json:"classification"` // the model's
}

// VersionChange is what of a version is to be different; nil fields stay.
type VersionChange struct {
	Framework           *string   `json:"framework,omitempty"`
	Description         *string   `json:"description,omitempty"`
	Supersedes          *string   `json:"supersedes,omitempty"`
	CompatibleWith      *[]string `json:"compatible_with,omitempty"`
	SafetyImpact        *string   `json:"safety_impact,omitempty"`
	CertificationImpact *string   `json:"certification_impact,omitempty"`
}

// VersionAt names a version, at a revision of it if Revision is not 0.
type VersionAt struct {
	ModelID  string
	Version  string
	Revision int64
}

// VersionKey is how a version is named in records and links: "NN-FCS-001@2.1.0".
func VersionKey(modelID, version string) string { return modelID + "@" + version }

// FreezeID is the id of the freeze of a version: "FREEZE-NN-FCS-001-2.1.0".
func FreezeID(modelID, version string) string { return "FREEZE-" + modelID + "-" + version }

// BaselineID is the id of the baseline of a version: "BL-FCS-2.1.0".
func BaselineID(modelID, version string) string {
	return "BL-" + caos.ShortID(modelID) + "-" + version
}

// parseVersion reads a semantic version. The grammar of ids admits a little more, such as
// a pre-release with an empty word or a leading zero.
func parseVersion(field, v string) (*semver.Version, error) {
	if err := caos.CheckID("version", field, v); err != nil {
		return nil, err
	}
	sv, err := semver.StrictNewVersion(v)
	if err != nil {
		return nil, caos.Wrap(caos.Invalid, err, "%q is not a semantic version", clip(v)).WithField(field).
			WithHint("MAJOR.MINOR.PATCH such as 2.1.0, with -rc.1 or the like for a pre-release")
	}
	return sv, nil
}

// compatible is a version or a range of versions: 2.0.1, 2.0.x, 2.x.
var compatible = regexp.MustCompile(`^(0|[1-9][0-9]{0,5})\.(x|(0|[1-9][0-9]{0,5})\.(x|(0|[1-9][0-9]{0,5})(-[0-9A-Za-z][0-9A-Za-z.-]{0,31})?))$`)

func (v *Version) check() error {
	own, err := parseVersion("version", v.Version)
	if err != nil {
		return err
	}
	if err := checkLine("framework", v.Framework, maxLine); err != nil {
		return err
	}
	if v.Supersedes != "" {
		old, err := parseVersion("supersedes", v.Supersedes)
		if err != nil {
			return err
		}
		if !old.LessThan(own) {
			return caos.Errorf(caos.Invalid, "%s cannot supersede %s, which is not lower", v.Version, v.Supersedes).WithField("supersedes").
				WithHint("name the earlier version that it replaces")
		}
	}
	if len(v.CompatibleWith) > maxCompatible {
		return caos.Errorf(caos.TooLarge, "%d versions, more than %d", len(v.CompatibleWith), maxCompatible).WithField("compatible_with").
			WithHint("use ranges such as 2.0.x")
	}
	for i, c := range v.CompatibleWith {
		if !compatible.MatchString(c) {
			return caos.Errorf(caos.Invalid, "%.80q is neither a version nor a range of versions", c).
				WithField("compatible_with[" + strconv.Itoa(i) + "]").WithHint("such as 2.0.1, 2.0.x or 2.x")
		}
	}
	if err := checkText("description", v.Description); err != nil {
		return err
	}
	if err := checkText("safety_impact", v.SafetyImpact); err != nil {
		return err
	}
	return checkText("certification_impact", v.CertificationImpact)
}

// CreateVersion registers a version of a model: REGISTERED, without artifacts. Of v the
// fields from ModelID to CertificationImpact count, State excepted. Errors: NotFound without
// the model; Invalid for what is no semantic version or not higher than the highest version
// that the model has, which it names; Conflict if the version is there already.
func (r *Registry) CreateVersion(tx *db.Tx, v Version, by By) (*Version, error) {
	if err := v.check(); err != nil {
		return nil, err
	}
	m, err := r.ModelIn(tx, v.ModelID)
	if err != nil {
		return nil, err
	}
	seq, err := nextVersion(tx, v.ModelID, v.Version)
	if err != nil {
		return nil, err
	}
	now := r.now()
	if v.CompatibleWith == nil {
		v.CompatibleWith = []string{}
	}
	v = Version{
		ModelID: v.ModelID, Version: v.Version, State: Registered, Framework: v.Framework, Description: v.Description, Supersedes: v.Supersedes,
		CompatibleWith: v.CompatibleWith, SafetyImpact: v.SafetyImpact, CertificationImpact: v.CertificationImpact,
		CreatedAt: now, CreatedBy: by.Actor, UpdatedAt: now, Revision: 1, Project: m.Project, Classification: m.Classification,
	}
	n, err := tx.ExecRows(`INSERT INTO model_versions (model_id, version, seq, state, framework, description, supersedes, compatible_with, safety_impact,
		certification_impact, freezing, freeze_id, baseline_id, frozen_at, created_at, created_by, updated_at, revision, project, classification)
		VALUES ($1, $2, $3, 'REGISTERED', $4, $5, $6, $7, $8, $9, '', '', '', 0, $10, $11, $12, 1, $13, $14) ON CONFLICT DO NOTHING`,
		v.ModelID, v.Version, seq, v.Framework, v.Description, v.Supersedes, codec.ListJSON(v.CompatibleWith), v.SafetyImpact, v.CertificationImpact,
		db.Micros(now), by.Actor, db.Micros(now), v.Project, v.Classification)
	if err != nil {
		return nil, err
	}
	if n == 0 { // somebody else was faster
		return nil, versionExists(v.ModelID, v.Version)
	}
	return &v, r.recordVersion(tx, by, &v, note{Event: "version registered", Details: map[string]any{"framework": clip(v.Framework), "supersedes": v.Supersedes}})
}

// nextVersion returns the place of a new version in the order of a model's versions. Each
// version was higher than all before when it came, so the last is the highest.
func nextVersion(tx *db.Tx, modelID, version string) (seq int64, err error) {
	highest, exists := "", false
	err = tx.Query(`SELECT version, seq FROM model_versions WHERE model_id = $1 AND (version = $2 OR seq = (SELECT MAX(seq) FROM model_versions WHERE model_id = $3))`,
		[]any{modelID, version, modelID}, func(scan func(...any) error) error {
			var v string
			var n int64
			err := scan(&v, &n)
			exists = exists || v == version
			if n > seq {
				highest, seq = v, n
			}
			return err
		})
	if err != nil {
		return 0, err
	}
	if exists {
		return 0, versionExists(modelID, version)
	}
	if highest == "" {
		return 1, nil
	}
	old, err := semver.StrictNewVersion(highest)
	if err != nil {
		return 0, caos.Wrap(caos.Internal, err, "the stored version %s cannot be read", highest)
	}
	own, err := parseVersion("version", version)
	if err != nil {
		return 0, err
	}
	if !old.LessThan(own) {
		return 0, caos.Errorf(caos.Invalid, "the version %s is not higher than %s, which %s has already", version, highest, modelID).WithField("version").
			WithHint("give a version higher than %s", highest)
	}
	return seq + 1, nil
}

func versionExists(modelID, version string) error {
	return caos.Errorf(caos.Conflict, "%s has a version %s already", modelID, version).WithField("version").
		WithHint("use it, or give a higher version")
}

// recordVersion appends the record of a change of a version.
func (r *Registry) recordVersion(tx *db.Tx, by By, v *Version, n note) error {
	n.Resources = append([]string{v.ModelID, VersionKey(v.ModelID, v.Version)}, n.Resources...)
	n.Project, n.Classification = v.Project, v.Classification
	return r.record(tx, by, n)
}

// open returns a version that may still change, or says who keeps it from that.
func (r *Registry) open(tx *db.Tx, modelID, version string) (*Version, error) {
	v, err := r.VersionIn(tx, modelID, version)
	if err != nil {
		return nil, err
	}
	return v, v.mayChange()
}

func (v *Version) mayChange() error {
	if v.State != Registered {
		return v.frozenAlready()
	}
	if v.Freezing != "" {
		return caos.Errorf(caos.Conflict, "%s is being frozen by %s", VersionKey(v.ModelID, v.Version), v.Freezing).WithField("version").
			WithHint("wait until that has ended, or cancel it")
	}
	return nil
}

// frozenAlready is the refusal of whoever wants a version that is not REGISTERED any more.
func (v *Version) frozenAlready() error {
	if v.FreezeID == "" {
		return caos.Errorf(caos.Conflict, "%s is %s", VersionKey(v.ModelID, v.Version), v.State).WithField("version").
			WithHint("register a higher version")
	}
	return caos.Errorf(caos.Conflict, "%s is frozen already: %s, baseline %s", VersionKey(v.ModelID, v.Version), v.FreezeID, v.BaselineID).
		WithField("version").WithHint("register a higher version")
}

// UpdateVersion changes what is said of a version that the caller saw at a revision (0 for
// any). A change that changes nothing leaves no trace. Errors: NotFound, Invalid, Conflict
// for another revision, once it is not REGISTERED any more, and while a freeze has it.
func (r *Registry) UpdateVersion(tx *db.Tx, at VersionAt, c VersionChange, by By) (*Version, error) {
	old, err := r.open(tx, at.ModelID, at.Version)
	if err != nil {
		return nil, err
	}
	if err := caos.CheckRevision(VersionKey(at.ModelID, at.Version), at.Revision, old.Revision); err != nil {
		return nil, err
	}
	v := *old
	changed := edits{}
	changed.set("framework", &v.Framework, c.Framework)
	changed.set("description", &v.Description, c.Description)
	changed.set("supersedes", &v.Supersedes, c.Supersedes)
	changed.set("safety_impact", &v.SafetyImpact, c.SafetyImpact)
	changed.set("certification_impact", &v.CertificationImpact, c.CertificationImpact)
	if c.CompatibleWith != nil && codec.ListJSON(*c.CompatibleWith) != codec.ListJSON(v.CompatibleWith) {
		changed["compatible_with"] = edit{From: clip(codec.ListJSON(v.CompatibleWith)), To: clip(codec.ListJSON(*c.CompatibleWith))}
		v.CompatibleWith = *c.CompatibleWith
	}
	if len(changed) == 0 {
		return old, nil
	}
	if err := v.check(); err != nil {
		return nil, err
	}
	v.UpdatedAt, v.Revision = r.now(), old.Revision+1
	n, err := tx.ExecRows(`UPDATE model_versions SET framework = $1, description = $2, supersedes = $3, compatible_with = $4, safety_impact = $5,
		certification_impact = $6, updated_at = $7, revision = $8
		WHERE model_id = $9 AND version = $10 AND revision = $11 AND state = 'REGISTERED' AND freezing = ''`,
		v.Framework, v.Description, v.Supersedes, codec.ListJSON(v.CompatibleWith), v.SafetyImpact, v.CertificationImpact, db.Micros(v.UpdatedAt), v.Revision,
		v.ModelID, v.Version, old.Revision)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, caos.CheckRevision(VersionKey(at.ModelID, at.Version), old.Revision, old.Revision+1)
	}
	return &v, r.recordVersion(tx, by, &v, note{Event: "version changed", Details: map[string]any{"changed": changed, "revision": v.Revision}})
}

// touch counts a change of what belongs to an open version.
func (r *Registry) touch(tx *db.Tx, v *Version) {
	v.UpdatedAt, v.Revision = r.now(), v.Revision+1
	tx.ExecOne(caos.CheckRevision(VersionKey(v.ModelID, v.Version), v.Revision-1, v.Revision),
		`UPDATE model_versions SET updated_at = $1, revision = $2 WHERE model_id = $3 AND version = $4 AND revision = $5 AND state = 'REGISTERED' AND freezing = ''`,
		db.Micros(v.UpdatedAt), v.Revision, v.ModelID, v.Version, v.Revision-1)
}

const versionColumns = `model_id, version, state, framework, description, supersedes, compatible_with, safety_impact, certification_impact,
	freezing, freeze_id, baseline_id, frozen_at, created_at, created_by, updated_at, revision, project, classification,
	(SELECT COUNT(*) FROM model_artifacts a WHERE a.model_id = model_versions.model_id AND a.version = model_versions.version)`

func scanVersion(scan func(...any) error) (*Version, error) {
	var v Version
	var compatible string
	var frozen, created, updated int64
	err := scan(&v.ModelID, &v.Version, &v.State, &v.Framework, &v.Description, &v.Supersedes, &compatible, &v.SafetyImpact, &v.CertificationImpact,
		&v.Freezing, &v.FreezeID, &v.BaselineID, &frozen, &created, &v.CreatedBy, &updated, &v.Revision, &v.Project, &v.Classification, &v.Artifacts)
	if err != nil {
		return nil, err
	}
	v.FrozenAt, v.CreatedAt, v.UpdatedAt = db.Optional(frozen), db.Moment(created), db.Moment(updated)
	v.CompatibleWith, err = storedList("compatible versions of "+VersionKey(v.ModelID, v.Version), compatible)
	return &v, err
}

func getVersion(q query, modelID, version string) (*Version, error) {
	if err := caos.CheckID("model", "model_id", modelID); err != nil {
		return nil, err
	}
	if err := caos.CheckID("version", "version", version); err != nil {
		return nil, err
	}
	var v *Version
	err := q(`SELECT `+versionColumns+` FROM model_versions WHERE model_id = $1 AND version = $2`, []any{modelID, version},
		func(scan func(...any) error) (err error) {
			v, err = scanVersion(scan)
			return err
		})
	if err == nil && v == nil {
		err = caos.Errorf(caos.NotFound, "%s has no version %s", modelID, version).WithField("version").
			WithHint("register it with: caos model version")
	}
	return v, err
}

// Version returns a version, or a NotFound error.
func (r *Registry) Version(ctx context.Context, modelID, version string) (*Version, error) {
	return getVersion(r.pool(ctx), modelID, version)
}

// VersionIn returns a version as a transaction sees it.
func (r *Registry) VersionIn(tx *db.Tx, modelID, version string) (*Version, error) {
	return getVersion(within(tx), modelID, version)
}

// Versions lists the versions of a model, latest first. limit 0 means 100.
func (r *Registry) Versions(ctx context.Context, modelID string, limit int, cursor string) ([]*Version, string, error) {
	if err := caos.CheckID("model", "model_id", modelID); err != nil {
		return nil, "", err
	}
	w := new(db.Where)
	w.Is("model_id", modelID)
	return db.Page(r.pool(ctx), w, db.Listing[*Version]{Columns: versionColumns, From: "model_versions", At: "created_at", ID: "version", Limit: limit,
		Scan: scanVersion,
		Key:  func(v *Version) (time.Time, string) { return v.CreatedAt, v.Version },
	}, cursor)
}
