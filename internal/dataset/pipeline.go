package dataset

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/event"
)

// Pipeline is a registered version of a definition. Owner is who registered it where the
// definition names nobody.
type Pipeline struct {
	Definition
	Digest        string     `json:"digest"` // SHA256:… of the definition's canonical JSON
	Latest        bool       `json:"latest"`
	RegisteredAt  time.Time  `json:"registered_at"`
	RegisteredBy  string     `json:"registered_by"`
	RetiredAt     *time.Time `json:"retired_at"` // of the whole pipeline
	RetiredBy     string     `json:"retired_by"`
	RetiredReason string     `json:"retired_reason"`

	Text []byte `json:"-"` // as it was written; not in lists
}

// PipelineFilter chooses pipelines; empty fields match all. Lists show the latest versions.
type PipelineFilter struct {
	Project, Owner string
	Retired        *bool
	Limit          int // of a page; 0 means 100, which is the most
}

// maxDefinitions bounds a page of what comes with its definition.
const maxDefinitions = 100

// Events of pipelines: pipeline_id, pipeline_version.
const (
	EventPipelineRegistered = "caos.pipeline.registered"
	EventPipelineRetired    = "caos.pipeline.retired"
)

// Rules that refuse a change of a pipeline or contract.
const (
	RuleVersionTaken   = "version-taken"          // there is one with another content
	RuleVersionOrder   = "version-order"          // it is not higher than the latest
	RuleProject        = "project-fixed"          // it belongs to another project
	RuleClassification = "classification-lowered" // below that of what is there
	RuleRetired        = "pipeline-retired"
	RuleContract       = "contract-known"
)

const pipelineColumns = `v.pipeline_id, v.version, v.definition, v.digest, v.registered_at, v.registered_by, p.latest, p.retired_at, p.retired_by, p.retired_reason`

func scanPipeline(scan func(...any) error, further ...any) (*Pipeline, error) {
	var p Pipeline
	var id, version, definition, latest string
	var registered, retired int64
	err := scan(append([]any{&id, &version, &definition, &p.Digest, &registered, &p.RegisteredBy, &latest, &retired, &p.RetiredBy, &p.RetiredReason}, further...)...)
	if err != nil {
		return nil, err
	}
	p.Latest, p.RegisteredAt, p.RetiredAt = version == latest, db.Moment(registered), db.Optional(retired)
	err = readJSON(definition, &p.Definition)
	p.Owner = cmp.Or(p.Owner, p.RegisteredBy)
	return &p, err
}

// getPipeline returns a version of a pipeline, the latest for "", or nil.
func getPipeline(q query, id, version string) (*Pipeline, error) {
	var p *Pipeline
	if caos.CheckID("pipeline", "pipeline_id", id) != nil || version != "" && !pipelineVersion.MatchString(version) {
		return nil, nil
	}
	err := q(`SELECT `+pipelineColumns+`, v.source_text FROM pipelines p JOIN pipeline_versions v ON v.pipeline_id = p.pipeline_id
		WHERE p.pipeline_id = $1 AND v.version = CASE WHEN $2 = '' THEN p.latest ELSE $3 END`, []any{id, version, version},
		func(scan func(...any) error) (err error) {
			var text string
			p, err = scanPipeline(scan, &text)
			if err == nil {
				p.Text = []byte(text)
			}
			return err
		})
	return p, err
}

func findPipeline(q query, id, version string) (*Pipeline, error) {
	p, err := getPipeline(q, id, version)
	if err != nil || p != nil {
		return p, err
	}
	if version != "" {
		if latest, err := getPipeline(q, id, ""); err != nil {
			return nil, err
		} else if latest != nil {
			return nil, caos.Errorf(caos.NotFound, "there is no version %.40q of %s", version, id).WithField("pipeline_version").
				WithHint("the latest is %s", latest.PipelineVersion)
		}
	}
	return nil, caos.Errorf(caos.NotFound, "there is no pipeline %.80q, or it is not for you", id).WithField("pipeline_id").WithHint("caos pipeline list shows those there are")
}

// Pipeline returns a version of a pipeline, the latest if version is "", or a NotFound error.
func (d *Datasets) Pipeline(ctx context.Context, id, version string) (*Pipeline, error) {
	return findPipeline(d.pool(ctx), id, version)
}

// PipelineIn is Pipeline as a transaction sees it.
func (d *Datasets) PipelineIn(tx *db.Tx, id, version string) (*Pipeline, error) {
	return findPipeline(within(tx), id, version)
}

// Pipelines lists the latest versions, latest registered first. cursor is "" and then the
// one returned.
func (d *Datasets) Pipelines(ctx context.Context, f PipelineFilter, cursor string) ([]*Pipeline, string, error) {
	w := new(db.Where)
	w.Is("p.project", f.Project)
	w.Is("p.owner", f.Owner)
	if f.Retired != nil && *f.Retired {
		w.And("p.retired_at > 0")
	} else if f.Retired != nil {
		w.And("p.retired_at = 0")
	}
	return db.Page(d.pool(ctx), w, db.Listing[*Pipeline]{Columns: pipelineColumns,
		From: "pipelines p JOIN pipeline_versions v ON v.pipeline_id = p.pipeline_id AND v.version = p.latest", At: "p.registered_at", ID: "p.pipeline_id",
		Limit: page(f.Limit), Scan: func(scan func(...any) error) (*Pipeline, error) { return scanPipeline(scan) },
		Key: func(p *Pipeline) (time.Time, string) { return p.RegisteredAt, p.PipelineID },
	}, cursor)
}

// page is a limit of lists whose items are large.
func page(limit int) int {
	if limit <= 0 {
		return maxDefinitions
	}
	return min(limit, maxDefinitions)
}

// Versions lists the versions of a pipeline, the highest first.
func (d *Datasets) Versions(ctx context.Context, id string, limit int, cursor string) ([]*Pipeline, string, error) {
	w := new(db.Where)
	w.And("1 = 1")
	if w.Is("v.pipeline_id", id); id == "" {
		w.And("1 = 0")
	}
	return db.Page(d.pool(ctx), w, db.Listing[*Pipeline]{Columns: pipelineColumns,
		From: "pipelines p JOIN pipeline_versions v ON v.pipeline_id = p.pipeline_id", At: "v.registered_at", ID: "v.version",
		Limit: page(limit), Scan: func(scan func(...any) error) (*Pipeline, error) { return scanPipeline(scan) },
		Key: func(p *Pipeline) (time.Time, string) { return p.RegisteredAt, p.PipelineVersion },
	}, cursor)
}

// higher reports whether a version is above another, number by number; a number that is
// missing is 0. Both are of digits and dots.
func higher(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	at := func(list []string, i int) int {
		if i >= len(list) {
			return 0
		}
		n, _ := strconv.Atoi(list[i]) // the grammars of versions bound it
		return n
	}
	for i := range max(len(x), len(y)) {
		if c := cmp.Compare(at(x, i), at(y, i)); c != 0 {
			return c > 0
		}
	}
	return false
}

// Register stores a version of a pipeline; text is what somebody wrote, kept beside it. The
// same definition again answers the same. Errors: Invalid by the first lint error or a
// contract that is not there; Conflict, with the rule, for a version that there is with
// another content, one that is not higher than the latest, another project, a classification
// below that of a dataset of the pipeline, or a pipeline that was retired.
func (d *Datasets) Register(tx *db.Tx, def Definition, text []byte, by By) (*Pipeline, error) {
	def.fill()
	if err := FirstError(Lint(def, d.limits)); err != nil {
		return nil, err
	}
	digest, err := def.Digest()
	if err != nil {
		return nil, err
	}
	latest, err := getPipeline(within(tx), def.PipelineID, "")
	if err != nil {
		return nil, err
	}
	if latest != nil {
		same, err := getPipeline(within(tx), def.PipelineID, def.PipelineVersion)
		if err != nil {
			return nil, err
		}
		if same != nil && same.Digest == digest && same.RetiredAt == nil {
			return same, nil
		}
		if err := d.replaces(tx, latest, same, def); err != nil {
			return nil, err
		}
	}
	if err := knownContracts(within(tx), &def); err != nil {
		return nil, err
	}
	return d.insertPipeline(tx, def, digest, text, by)
}

// replaces refuses what cannot be the next version of a pipeline.
func (d *Datasets) replaces(tx *db.Tx, latest, same *Pipeline, def Definition) error {
	switch {
	case latest.RetiredAt != nil:
		return caos.Errorf(caos.Conflict, "%s was retired by %s: %s", def.PipelineID, latest.RetiredBy, latest.RetiredReason).WithField("pipeline_id").WithRule(RuleRetired).
			WithHint("register it under another id")
	case same != nil:
		return caos.Errorf(caos.Conflict, "there is a version %s of %s with another content", def.PipelineVersion, def.PipelineID).WithField("pipeline_version").
			WithRule(RuleVersionTaken).WithHint("versions never change: write one higher than %s", latest.PipelineVersion)
	case !higher(def.PipelineVersion, latest.PipelineVersion):
		return caos.Errorf(caos.Conflict, "%s is not higher than %s, the latest version of %s", def.PipelineVersion, latest.PipelineVersion, def.PipelineID).
			WithField("pipeline_version").WithRule(RuleVersionOrder).WithHint("write a version higher than %s", latest.PipelineVersion)
	case def.Project != latest.Project:
		return caos.Errorf(caos.Conflict, "%s belongs to project %q", def.PipelineID, latest.Project).WithField("project").WithRule(RuleProject).
			WithHint("what it published stays where it is; register another pipeline")
	}
	highest := ""
	err := tx.Query(`SELECT classification FROM datasets WHERE pipeline_id = $1 ORDER BY dataset_id LIMIT 10000`, []any{def.PipelineID}, func(scan func(...any) error) error {
		var c string
		err := scan(&c)
		if highest == "" || caos.Sensitivity(c) > caos.Sensitivity(highest) {
			highest = c
		}
		return err
	})
	if err != nil {
		return err
	}
	if highest != "" && caos.Sensitivity(def.Classification) < caos.Sensitivity(highest) {
		return caos.Errorf(caos.Conflict, "it is %s, and a dataset of %s is %s", def.Classification, def.PipelineID, highest).WithField("classification").
			WithRule(RuleClassification).WithHint("keep it at %s: what was published is not made less secret by a new version", highest)
	}
	return nil
}

// knownContracts refuses contracts that are not there, or not for the pipeline's project.
func knownContracts(q query, def *Definition) error {
	seen := map[string]bool{}
	for i, t := range def.Targets {
		ref, field := t.Contract, indexed("targets", i)+".contract"
		if ref == "" {
			ref, field = def.Contract, "contract"
		}
		if ref == "" || seen[ref] {
			continue
		}
		seen[ref] = true
		id, version, err := ParseContractRef(ref)
		if err != nil {
			return caos.AsError(err).WithField(field)
		}
		c, err := getContract(q, id, version, false)
		if err != nil {
			return err
		}
		if c == nil || c.Project != "" && c.Project != def.Project {
			return caos.Errorf(caos.Invalid, "there is no contract %s, or it is not for this project", ref).WithField(field).WithRule(RuleContract).
				WithHint("register it first: caos contract apply FILE")
		}
		if caos.Sensitivity(c.Classification) > caos.Sensitivity(def.Classification) {
			return caos.Errorf(caos.Invalid, "contract %s is %s, and the pipeline is %s", ref, c.Classification, def.Classification).WithField(field).WithRule(RuleContract).
				WithHint("classify the pipeline as high as what it is checked by: its reports name the checks")
		}
	}
	return nil
}

func (d *Datasets) insertPipeline(tx *db.Tx, def Definition, digest string, text []byte, by By) (*Pipeline, error) {
	definition, err := writeJSON(def)
	if err != nil {
		return nil, err
	}
	source := string(text)
	if source == "" || len(source) > maxDefinition || !db.Storable(source) {
		source = definition
	}
	now := d.now().UnixMicro()
	owner := cmp.Or(def.Owner, by.Actor)
	tx.Exec(`INSERT INTO pipelines (pipeline_id, latest, title, owner, project, classification, created_at, registered_at, retired_at, retired_by, retired_reason)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, '', '')
		ON CONFLICT (pipeline_id) DO UPDATE SET latest = excluded.latest, title = excluded.title, owner = excluded.owner, classification = excluded.classification,
			registered_at = excluded.registered_at`,
		def.PipelineID, def.PipelineVersion, def.Title, owner, def.Project, def.Classification, now, now)
	var number int64
	if err := tx.QueryRow(`SELECT COALESCE(MAX(number), 0) + 1 FROM pipeline_versions WHERE pipeline_id = $1`, def.PipelineID).Scan(&number); err != nil {
		return nil, err
	}
	tx.Exec(`INSERT INTO pipeline_versions (pipeline_id, version, number, definition, source_text, digest, registered_at, registered_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		def.PipelineID, def.PipelineVersion, number, definition, source, digest, now, by.Actor)
	details := map[string]any{"event": "pipeline registered", "version": def.PipelineVersion, "digest": digest}
	if err := d.record(tx, by, auditlog.Record{Resources: []string{def.PipelineID}, Details: details, Project: def.Project, Classification: def.Classification}); err != nil {
		return nil, err
	}
	if err := d.pipelineEvent(tx, EventPipelineRegistered, &def); err != nil {
		return nil, err
	}
	return findPipeline(within(tx), def.PipelineID, def.PipelineVersion)
}

func (d *Datasets) pipelineEvent(tx *db.Tx, what string, def *Definition) error {
	return d.events.Emit(tx, event.Event{Type: what, Subject: def.PipelineID, Project: def.Project, Classification: def.Classification,
		Data: map[string]any{"pipeline_id": def.PipelineID, "pipeline_version": def.PipelineVersion}})
}

// Retire takes a pipeline out of use: no run of it begins any more, and no version is
// registered. What it published stays. A second time is a Conflict.
func (d *Datasets) Retire(tx *db.Tx, id, reason string, by By) (*Pipeline, error) {
	if strings.TrimSpace(reason) == "" || len(reason) > maxText || !printable(reason) {
		return nil, caos.Errorf(caos.Invalid, "a reason is text of 1 to %d bytes", maxText).WithField("reason").WithHint("say why nobody needs the pipeline any more")
	}
	p, err := findPipeline(within(tx), id, "")
	if err != nil {
		return nil, err
	}
	if p.RetiredAt != nil {
		return nil, caos.Errorf(caos.Conflict, "%s was retired by %s on %s", id, p.RetiredBy, p.RetiredAt.Format(time.DateOnly)).WithField("pipeline_id").WithRule(RuleRetired)
	}
	now := d.now()
	tx.ExecOne(caos.Errorf(caos.Conflict, "%s was retired meanwhile", id).WithField("pipeline_id").WithRule(RuleRetired),
		`UPDATE pipelines SET retired_at = $1, retired_by = $2, retired_reason = $3 WHERE pipeline_id = $4 AND retired_at = 0`, now.UnixMicro(), by.Actor, reason, id)
	p.RetiredAt, p.RetiredBy, p.RetiredReason = &now, by.Actor, reason
	details := map[string]any{"event": "pipeline retired", "reason": reason}
	return p, errors.Join(tx.Err(),
		d.record(tx, by, auditlog.Record{Resources: []string{id}, Details: details, Project: p.Project, Classification: p.Classification}),
		d.pipelineEvent(tx, EventPipelineRetired, &p.Definition))
}
