package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"caos"
	"caos/internal/codec"
	"caos/internal/db"
)

// What the last check of a baseline's bytes found. Stored.
const (
	Intact  = "INTACT"
	Damaged = "DAMAGED"
)

const (
	maxFiles    = 2 * maxArtifacts // of a baseline
	maxProblems = 100              // of a check that are kept
)

// Baseline is a frozen version: what it consists of, for ever. Only what the checks of its
// bytes find changes.
type Baseline struct {
	BaselineID          string         `json:"baseline_id"` // BL-FCS-2.1.0
	ModelID             string         `json:"model_id"`
	Version             string         `json:"version"`
	FreezeID            string         `json:"freeze_id"`
	ExecutionID         string         `json:"execution_id"`
	RootDigest          string         `json:"root_digest"`      // of all files, as the signed statement has it
	StatementDigest     string         `json:"statement_digest"` // of the signed statement
	BundleDigest        string         `json:"bundle_digest"`    // of model.sig
	KeyID               string         `json:"key_id"`
	Files               []BaselineFile `json:"files,omitempty"` // by path; left out of lists
	FileCount           int            `json:"file_count"`
	Bytes               int64          `json:"bytes"` // of all files
	FrozenAt            time.Time      `json:"frozen_at"`
	FrozenBy            string         `json:"frozen_by"`
	VVReportID          string         `json:"vv_report_id"`
	VVReportVersion     string         `json:"vv_report_version"`
	Supersedes          string         `json:"supersedes"`
	CompatibleWith      []string       `json:"compatible_with"`
	SafetyImpact        string         `json:"safety_impact"`
	CertificationImpact string         `json:"certification_impact"`
	Project             string         `json:"project"`
	Classification      string         `json:"classification"`
	CheckedAt           *time.Time     `json:"checked_at"`   // nil before the first check
	CheckStatus         string         `json:"check_status"` // "", INTACT, DAMAGED
	Problems            []string       `json:"problems"`     // what the last check found, at most 100
}

// BaselineFile is one file of a baseline.
type BaselineFile struct {
	Path   string `json:"path"`
	Role   string `json:"role"` // an artifact's, or another word for what the freeze itself adds
	Digest string `json:"digest"`
	Size   int64  `json:"size"` // bytes
}

// BaselineFilter chooses baselines; empty fields match all.
type BaselineFilter struct {
	ModelID     string
	Project     string
	CheckStatus string
	Limit       int // of a page; 0 means 100, the most is 1000
}

// check refuses what no baseline can be, and sorts and sums up its files.
func (b *Baseline) check() error {
	for _, f := range []struct{ field, digest string }{
		{"root_digest", b.RootDigest}, {"statement_digest", b.StatementDigest}, {"bundle_digest", b.BundleDigest},
	} {
		if err := checkDigest(f.field, f.digest); err != nil {
			return err
		}
	}
	if err := cmp.Or(
		caos.CheckID("resource", "execution_id", b.ExecutionID), caos.CheckID("resource", "key_id", b.KeyID),
		caos.CheckID("document", "vv_report_id", b.VVReportID), checkDocumentVersion("vv_report_version", b.VVReportVersion),
	); err != nil {
		return err
	}
	if len(b.Files) == 0 {
		return caos.Errorf(caos.Invalid, "a baseline without files is none").WithField("files")
	}
	if err := tooMany("files", len(b.Files), maxFiles); err != nil {
		return err
	}
	b.Files = slices.Clone(b.Files)
	slices.SortFunc(b.Files, func(x, y BaselineFile) int { return cmp.Compare(x.Path, y.Path) })
	b.FileCount, b.Bytes = len(b.Files), 0
	for i, f := range b.Files {
		err := cmp.Or(checkPath(f.Path), checkDigest("digest", f.Digest), checkLine("role", f.Role, maxWord))
		if err == nil && f.Size < 0 {
			err = caos.Errorf(caos.Invalid, "a file cannot have %d bytes", f.Size).WithField("size")
		}
		if err == nil && i > 0 && b.Files[i-1].Path == f.Path {
			err = caos.Errorf(caos.Invalid, "the file %s is listed twice", f.Path).WithField("path")
		}
		if err != nil {
			return inList("files", i, err)
		}
		b.Bytes += f.Size
	}
	return nil
}

// checkPath refuses paths that lead out of a folder. The store of baselines, which made
// them, has its own rules for the rest.
func checkPath(path string) error {
	err := checkLine("path", path, 2*maxName)
	if err == nil && (path == "" || strings.HasPrefix(path, "/") || strings.Contains(path, `\`) ||
		slices.ContainsFunc(strings.Split(path, "/"), func(part string) bool { return part == "" || part == "." || part == ".." })) {
		err = caos.Errorf(caos.Invalid, "%.80q is no path inside a baseline", path).WithField("path")
	}
	return err
}

// Freeze makes a claimed version FROZEN and keeps its baseline. Of b the fields from ModelID
// to VVReportVersion count, FileCount and Bytes excepted; FreezeID and BaselineID are what
// they have to be, FrozenAt zero is now and FrozenBy empty the actor. Supersedes,
// CompatibleWith, impacts, project and classification are those of the version. Announces
// caos.model.frozen and caos.model.state. Errors: NotFound, Invalid naming the field,
// Conflict if the version is not claimed by b.ExecutionID or its artifacts are not among the
// files.
func (r *Registry) Freeze(tx *db.Tx, b Baseline, by By) error {
	if err := b.check(); err != nil {
		return err
	}
	v, err := r.VersionIn(tx, b.ModelID, b.Version)
	if err != nil {
		return err
	}
	if !v.State.May(Frozen) {
		return v.frozenAlready()
	}
	if v.Freezing == "" || v.Freezing != b.ExecutionID {
		return caos.Errorf(caos.Conflict, "%s is not claimed by %s", VersionKey(b.ModelID, b.Version), b.ExecutionID).WithField("execution_id").
			WithHint("claim it before its artifacts are read")
	}
	if err := r.complete(tx, &b); err != nil {
		return err
	}
	b.FreezeID, b.BaselineID = FreezeID(b.ModelID, b.Version), BaselineID(b.ModelID, b.Version)
	if b.FrozenAt.IsZero() {
		b.FrozenAt = r.now()
	}
	if b.FrozenBy == "" {
		b.FrozenBy = by.Actor
	}
	b.Supersedes, b.CompatibleWith, b.SafetyImpact, b.CertificationImpact = v.Supersedes, v.CompatibleWith, v.SafetyImpact, v.CertificationImpact
	b.Project, b.Classification = v.Project, v.Classification
	if err := r.move(tx, v, Frozen, by); err != nil {
		return err
	}
	tx.ExecOne(nil, `UPDATE model_versions SET freezing = '', freeze_id = $1, baseline_id = $2, frozen_at = $3 WHERE model_id = $4 AND version = $5`,
		b.FreezeID, b.BaselineID, db.Micros(b.FrozenAt), b.ModelID, b.Version)
	if err := insertBaseline(tx, &b); err != nil {
		return err
	}
	facts := map[string]any{"freeze_id": b.FreezeID, "baseline_id": b.BaselineID, "root_digest": b.RootDigest, "execution_id": b.ExecutionID}
	if err := r.emit(tx, v, EventModelFrozen, facts); err != nil {
		return err
	}
	return r.recordVersion(tx, by, v, note{Event: "version frozen", Resources: []string{b.BaselineID, b.FreezeID, b.VVReportID},
		Details: map[string]any{
			"freeze_id": b.FreezeID, "baseline_id": b.BaselineID, "root_digest": b.RootDigest, "statement_digest": b.StatementDigest,
			"bundle_digest": b.BundleDigest, "key_id": b.KeyID, "files": b.FileCount, "bytes": b.Bytes,
			"vv_report_id": b.VVReportID, "vv_report_version": b.VVReportVersion, "frozen_by": b.FrozenBy,
		}})
}

// complete checks that every artifact of the version is among the files of its baseline.
func (r *Registry) complete(tx *db.Tx, b *Baseline) error {
	in := make(map[string]bool, len(b.Files))
	for _, f := range b.Files {
		in[f.Digest] = true
	}
	n, missing := 0, ""
	err := tx.Query(`SELECT name, digest FROM model_artifacts WHERE model_id = $1 AND version = $2`, []any{b.ModelID, b.Version}, func(scan func(...any) error) error {
		var name, digest string
		err := scan(&name, &digest)
		n++
		if !in[digest] {
			missing = name
		}
		return err
	})
	if err != nil {
		return err
	}
	if n == 0 {
		return caos.Errorf(caos.Conflict, "%s has no artifacts", VersionKey(b.ModelID, b.Version)).WithField("files").WithHint("attach them first")
	}
	if missing != "" {
		return caos.Errorf(caos.Conflict, "the artifact %s of %s is not in the baseline", missing, VersionKey(b.ModelID, b.Version)).WithField("files")
	}
	return nil
}

func insertBaseline(tx *db.Tx, b *Baseline) error {
	files, err := json.Marshal(b.Files)
	if err != nil {
		return caos.Wrap(caos.Internal, err, "the files of a baseline cannot be written")
	}
	n, err := tx.ExecRows(`INSERT INTO baselines (baseline_id, model_id, version, freeze_id, execution_id, root_digest, statement_digest, bundle_digest, key_id,
		files, file_count, bytes, frozen_at, frozen_by, vv_report_id, vv_report_version, supersedes, compatible_with, safety_impact, certification_impact,
		project, classification, checked_at, check_status, problems)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, 0, '', '[]') ON CONFLICT DO NOTHING`,
		b.BaselineID, b.ModelID, b.Version, b.FreezeID, b.ExecutionID, b.RootDigest, b.StatementDigest, b.BundleDigest, b.KeyID,
		string(files), b.FileCount, b.Bytes, db.Micros(b.FrozenAt), b.FrozenBy, b.VVReportID, b.VVReportVersion, b.Supersedes, codec.ListJSON(b.CompatibleWith),
		b.SafetyImpact, b.CertificationImpact, b.Project, b.Classification)
	if err == nil && n == 0 {
		err = caos.Errorf(caos.Conflict, "the baseline %s is there already", b.BaselineID).WithField("version")
	}
	return err
}

const baselineColumns = `baseline_id, model_id, version, freeze_id, execution_id, root_digest, statement_digest, bundle_digest, key_id,
	file_count, bytes, frozen_at, frozen_by, vv_report_id, vv_report_version, supersedes, compatible_with, safety_impact, certification_impact,
	project, classification, checked_at, check_status, problems`

func scanBaseline(scan func(...any) error, more ...any) (*Baseline, error) {
	var b Baseline
	var compatible, problems string
	var frozen, checked int64
	err := scan(append([]any{&b.BaselineID, &b.ModelID, &b.Version, &b.FreezeID, &b.ExecutionID, &b.RootDigest, &b.StatementDigest, &b.BundleDigest, &b.KeyID,
		&b.FileCount, &b.Bytes, &frozen, &b.FrozenBy, &b.VVReportID, &b.VVReportVersion, &b.Supersedes, &compatible, &b.SafetyImpact, &b.CertificationImpact,
		&b.Project, &b.Classification, &checked, &b.CheckStatus, &problems}, more...)...)
	if err != nil {
		return nil, err
	}
	b.FrozenAt, b.CheckedAt = db.Moment(frozen), db.Optional(checked)
	if b.CompatibleWith, err = storedList("compatible versions of "+b.BaselineID, compatible); err != nil {
		return nil, err
	}
	b.Problems, err = storedList("problems of "+b.BaselineID, problems)
	return &b, err
}

func getBaseline(q query, id string) (*Baseline, error) {
	if err := caos.CheckID("resource", "baseline_id", id); err != nil {
		return nil, err
	}
	var b *Baseline
	err := q(`SELECT `+baselineColumns+`, files FROM baselines WHERE baseline_id = $1`, []any{id}, func(scan func(...any) error) (err error) {
		var files string
		if b, err = scanBaseline(scan, &files); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(files), &b.Files); err != nil {
			return fmt.Errorf("registry: read files of %s: %w", id, err)
		}
		return nil
	})
	if err == nil && b == nil {
		err = caos.Errorf(caos.NotFound, "there is no baseline %s", id).WithField("baseline_id").WithHint("a freeze makes it: caos why MODEL@VERSION freeze")
	}
	return b, err
}

// Baseline returns a baseline with its files, or a NotFound error.
func (r *Registry) Baseline(ctx context.Context, id string) (*Baseline, error) {
	return getBaseline(r.pool(ctx), id)
}

// BaselineIn returns a baseline as a transaction sees it.
func (r *Registry) BaselineIn(tx *db.Tx, id string) (*Baseline, error) {
	return getBaseline(within(tx), id)
}

// Baselines lists baselines without their files, latest first. cursor is "" and then the one
// returned.
func (r *Registry) Baselines(ctx context.Context, f BaselineFilter, cursor string) ([]*Baseline, string, error) {
	w := new(db.Where)
	w.Is("model_id", f.ModelID)
	w.Is("project", f.Project)
	w.Is("check_status", f.CheckStatus)
	return db.Page(r.pool(ctx), w, db.Listing[*Baseline]{Columns: baselineColumns, From: "baselines", At: "frozen_at", ID: "baseline_id", Limit: f.Limit,
		Scan: func(row func(...any) error) (*Baseline, error) { return scanBaseline(row) },
		Key:  func(b *Baseline) (time.Time, string) { return b.FrozenAt, b.BaselineID },
	}, cursor)
}

// Checked keeps what a check of a baseline's bytes found: status is INTACT or DAMAGED, with
// the problems of a damaged one, of which the first 100 are kept. Errors: NotFound, Invalid.
func (r *Registry) Checked(tx *db.Tx, id, status string, problems []string, by By) error {
	if err := caos.CheckWord("check_status", status, []string{Intact, Damaged}); err != nil {
		return err
	}
	if (status == Damaged) != (len(problems) > 0) {
		return caos.Errorf(caos.Invalid, "a damaged baseline has problems, and an intact one has none").WithField("problems")
	}
	b, err := r.BaselineIn(tx, id)
	if err != nil {
		return err
	}
	kept := make([]string, 0, min(len(problems), maxProblems))
	for _, p := range problems[:min(len(problems), maxProblems)] {
		kept = append(kept, clip(strings.ToValidUTF8(p, "\uFFFD")))
	}
	tx.Exec(`UPDATE baselines SET checked_at = $1, check_status = $2, problems = $3 WHERE baseline_id = $4`, db.Micros(r.now()), status, codec.ListJSON(kept), id)
	return r.record(tx, by, note{Event: "baseline checked", Resources: []string{id, b.ModelID, VersionKey(b.ModelID, b.Version)},
		Project: b.Project, Classification: b.Classification,
		Details: map[string]any{"check_status": status, "was": b.CheckStatus, "problems": len(problems), "first": kept[:min(len(kept), 5)], "files": b.FileCount, "bytes": b.Bytes}})
}
