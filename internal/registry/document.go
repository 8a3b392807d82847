package registry

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/event"
	"caos/internal/object"
)

// maxCurrent is how many current documents of one kind a version may have, where gates look
// at all of them.
const maxCurrent = 10

// DocumentStatus is where a document's version stands.
type DocumentStatus string

// The states of a document's version. Stored.
const (
	DocumentRegistered DocumentStatus = "REGISTERED" // nobody has decided
	DocumentApproved   DocumentStatus = "APPROVED"
	DocumentRejected   DocumentStatus = "REJECTED"
	DocumentSuperseded DocumentStatus = "SUPERSEDED" // a later version is there
)

// The kinds of documents that the registry itself knows; others are free.
const (
	KindVVReport            = "vv-report"
	KindVVPlan              = "vv-plan"
	KindDefectList          = "defect-list"
	KindSafetyAssessment    = "safety-assessment"
	KindDocumentationReview = "documentation-review"
)

// Document is one version of a document.
type Document struct {
	DocumentID     string          `json:"document_id"` // 95-00-07-01-001
	Version        string          `json:"version"`     // 1.0
	Kind           string          `json:"kind"`        // vv-report, safety-assessment, …
	Title          string          `json:"title"`
	Status         DocumentStatus  `json:"status"`
	Stated         string          `json:"stated"`        // what the document itself says: a V&V report's status, "" for others
	ModelID        string          `json:"model_id"`      // "" if it is about no one model
	ModelVersion   string          `json:"model_version"` // "" if it is about no one version
	Digest         string          `json:"digest"`        // of the document's bytes
	Size           int64           `json:"size"`          // bytes
	MediaType      string          `json:"media_type"`
	Results        json.RawMessage `json:"results,omitempty"` // what was read out of a vv-report, vv-plan or defect-list, canonical JSON; left out of lists
	Project        string          `json:"project"`
	Classification string          `json:"classification"`
	RegisteredAt   time.Time       `json:"registered_at"`
	RegisteredBy   string          `json:"registered_by"`
	RecordedBy     string          `json:"recorded_by"` // who authenticated when it was registered
	DecidedAt      *time.Time      `json:"decided_at"`
	DecidedBy      string          `json:"decided_by"`
	Decision       DocumentStatus  `json:"decision"`  // APPROVED or REJECTED, also after it was superseded; "" before
	Statement      string          `json:"statement"` // of who decided
}

// Decision is what somebody decided about a document's version.
type Decision struct {
	DocumentID string `json:"document_id"`
	Version    string `json:"version"` // the one that was read; "" for the latest
	Approve    bool   `json:"approve"`
	Statement  string `json:"statement"` // why; needed to reject
}

func (d *Document) check() error {
	if err := caos.CheckID("document", "document_id", d.DocumentID); err != nil {
		return err
	}
	if err := cmp.Or(checkDocumentVersion("version", d.Version), checkKind(d.Kind), checkTitle("title", d.Title)); err != nil {
		return err
	}
	if strings.TrimSpace(d.Title) == "" {
		return caos.Errorf(caos.Invalid, "the document has no title").WithField("title")
	}
	if err := checkSubject("", d.ModelID, d.ModelVersion); err != nil {
		return err
	}
	if d.ModelVersion != "" && d.ModelID == "" {
		return caos.Errorf(caos.Invalid, "a version is named, and no model").WithField("model_id")
	}
	if d.MediaType != "" {
		if err := checkMediaType("media_type", d.MediaType); err != nil {
			return err
		}
	}
	return cmp.Or(checkDigest("digest", d.Digest), checkScope(d.Project, d.Classification))
}

// agree takes over what the document's own bytes state, and refuses what contradicts them.
func (d *Document) agree(p *Parsed) error {
	if p == nil || p.Kind != d.Kind || p.Digest != d.Digest || p.Size <= 0 {
		return caos.Errorf(caos.Internal, "a document is registered without having been read")
	}
	d.Size, d.Stated = p.Size, p.Stated
	if d.MediaType == "" {
		d.MediaType = p.MediaType
	}
	if d.MediaType == "" {
		d.MediaType = "application/octet-stream"
	}
	var id, model, version string
	switch {
	case p.VVReport != nil:
		id, model, version = p.VVReport.DocumentID, p.VVReport.ModelID, p.VVReport.ModelVersion
	case p.VVPlan != nil:
		id, model, version = p.VVPlan.DocumentID, p.VVPlan.ModelID, p.VVPlan.ModelVersion
	case p.Defects != nil:
		model, version = p.Defects.ModelID, p.Defects.ModelVersion
	}
	for _, f := range []struct {
		field, says string
		said        *string
	}{{"document_id", id, &d.DocumentID}, {"model_id", model, &d.ModelID}, {"model_version", version, &d.ModelVersion}} {
		if f.says == "" {
			continue
		}
		if *f.said != "" && *f.said != f.says {
			return caos.Errorf(caos.Invalid, "the document itself says %s, not %s", f.says, *f.said).WithField(f.field).
				WithHint("register it as what it is, or correct the document")
		}
		*f.said = f.says
	}
	return nil
}

// RegisterDocument keeps a new version of a document, which supersedes the former one, and
// announces it as caos.document.registered. parsed is what ReadDocument made of the very
// same bytes. A document that names a model is in the model's project and classified at
// least as high; both the model and the version have to be there. The same version with the
// same bytes again changes nothing. Errors: NotFound, Invalid naming the field (another model
// or version than the document itself states, a version not higher than the former),
// Conflict for other bytes under the version, another kind under the id, or a document on
// which a freeze rests that would be about something else than before; Denied if a model's
// owner would be rid of a planned requirement or an open defect.
func (r *Registry) RegisterDocument(tx *db.Tx, d Document, parsed *Parsed, by By) (*Document, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	if err := d.agree(parsed); err != nil {
		return nil, err
	}
	if err := r.scope(tx, &d); err != nil {
		return nil, err
	}
	former, seq, err := latest(tx, d.DocumentID)
	if err != nil {
		return nil, err
	}
	if former != nil {
		if same, err := r.follows(tx, &d, former); err != nil || same != nil {
			return same, err
		}
		if err := r.replaces(tx, &d, former, parsed, by); err != nil {
			return nil, err
		}
	}
	if err := crowded(tx, &d, former); err != nil {
		return nil, err
	}
	d.Status, d.RegisteredAt, d.RegisteredBy, d.RecordedBy = DocumentRegistered, r.now(), by.Actor, by.recorder()
	d.DecidedAt, d.DecidedBy, d.Decision, d.Statement, d.Results = nil, "", "", "", parsed.Results
	if err := r.insertDocument(tx, &d, seq+1, parsed); err != nil {
		return nil, err
	}
	details := map[string]any{"version": d.Version, "kind": d.Kind, "title": clip(d.Title), "digest": d.Digest, "size": d.Size, "stated": d.Stated}
	if former != nil {
		details["supersedes"] = former.Version
	}
	if err := r.recordDocument(tx, by, &d, note{Event: "document registered", Details: details}); err != nil {
		return nil, err
	}
	return &d, r.announce(tx, &d, EventDocumentRegistered, d.Stated)
}

// scope gives a document that names a model the model's scope, and checks that model and
// version are there.
func (r *Registry) scope(tx *db.Tx, d *Document) error {
	if d.ModelID == "" {
		return nil
	}
	m, err := r.ModelIn(tx, d.ModelID)
	if err != nil {
		return err
	}
	if d.ModelVersion != "" {
		if _, err := r.VersionIn(tx, d.ModelID, d.ModelVersion); err != nil {
			return caos.AsError(err).WithField("model_version")
		}
	}
	d.Project, d.Classification = m.Project, caos.Stricter(m.Classification, d.Classification)
	return nil
}

// follows checks that a version may come after the former one. A version that is there
// already, with the same bytes, is returned.
func (r *Registry) follows(tx *db.Tx, d, former *Document) (*Document, error) {
	if former.Kind != d.Kind {
		return nil, caos.Errorf(caos.Conflict, "the document %s is of kind %s", d.DocumentID, former.Kind).WithField("kind").
			WithHint("register it under that kind, or under an id of its own")
	}
	if former.Project != "" && former.Project != d.Project {
		return nil, caos.Errorf(caos.Denied, "the document %s belongs to another project", d.DocumentID).WithRule("need-to-know").
			WithField("document_id").WithHint("use another id")
	}
	d.Classification = caos.Stricter(former.Classification, d.Classification)
	there, err := getDocument(tx.Query, d.DocumentID, d.Version)
	if err != nil && caos.KindOf(err) != caos.NotFound {
		return nil, err
	}
	if there != nil {
		if there.Digest == d.Digest && there.ModelID == d.ModelID && there.ModelVersion == d.ModelVersion {
			return there, nil
		}
		return nil, caos.Errorf(caos.Conflict, "the document %s has a version %s already, with other content", d.DocumentID, d.Version).WithField("version").
			WithHint("a registered version never changes: give a version higher than %s", former.Version)
	}
	if compareDocumentVersions(d.Version, former.Version) <= 0 {
		return nil, caos.Errorf(caos.Invalid, "the version %s is not higher than %s, which the document %s has already", d.Version, former.Version, d.DocumentID).
			WithField("version").WithHint("give a version higher than %s", former.Version)
	}
	return nil, nil
}

// gateKind reports whether the gates of a freeze look at documents of a kind.
func gateKind(kind string) bool {
	return slices.Contains([]string{KindVVReport, KindVVPlan, KindSafetyAssessment, KindDefectList, KindDocumentationReview}, kind)
}

// crowded bounds how much a gate has to look at.
func crowded(tx *db.Tx, d, former *Document) error {
	if !gateKind(d.Kind) {
		return nil
	}
	if d.ModelID == "" || d.ModelVersion == "" && d.Kind != KindVVPlan {
		return nil // no gate looks at it
	}
	if former != nil && former.ModelID == d.ModelID && former.ModelVersion == d.ModelVersion {
		return nil // one goes, one comes
	}
	var n int64
	if err := tx.QueryRow(`SELECT COUNT(*) FROM documents WHERE model_id = $1 AND model_version = $2 AND kind = $3 AND status <> 'SUPERSEDED'`,
		d.ModelID, d.ModelVersion, d.Kind).Scan(&n); err != nil {
		return err
	}
	if n < maxCurrent {
		return nil
	}
	return caos.Errorf(caos.TooLarge, "%s has %d documents of kind %s", VersionKey(d.ModelID, d.ModelVersion), n, d.Kind).WithField("document_id").
		WithHint("register a new version of one of them")
}

func (r *Registry) insertDocument(tx *db.Tx, d *Document, seq int64, p *Parsed) error {
	tx.Exec(`UPDATE documents SET status = 'SUPERSEDED' WHERE document_id = $1 AND status <> 'SUPERSEDED'`, d.DocumentID)
	n, err := tx.ExecRows(`INSERT INTO documents (document_id, version, seq, kind, title, status, stated, model_id, model_version, digest, size, media_type,
		project, classification, registered_at, registered_by, recorded_by, decided_at, decided_by, decision, statement)
		VALUES ($1, $2, $3, $4, $5, 'REGISTERED', $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 0, '', '', '') ON CONFLICT DO NOTHING`,
		d.DocumentID, d.Version, seq, d.Kind, d.Title, d.Stated, d.ModelID, d.ModelVersion, d.Digest, d.Size, d.MediaType,
		d.Project, d.Classification, db.Micros(d.RegisteredAt), d.RegisteredBy, d.RecordedBy)
	if err != nil {
		return err
	}
	if n == 0 {
		return caos.Errorf(caos.Conflict, "another version of %s was registered just now", d.DocumentID).WithField("version").WithHint("look at it first")
	}
	if p.facts != "" || len(p.packed) > 0 {
		tx.Exec(`INSERT INTO document_contents (document_id, version, results, facts) VALUES ($1, $2, $3, $4)`, d.DocumentID, d.Version, p.packed, p.facts)
	}
	return r.objects.Bind(tx, object.Ref{Digest: d.Digest, Size: d.Size}, object.Binding{
		Owner: d.DocumentID + "@" + d.Version, Kind: "document", Project: d.Project, Classification: d.Classification,
	})
}

// recordDocument appends the record of a change of a document.
func (r *Registry) recordDocument(tx *db.Tx, by By, d *Document, n note) error {
	n.Resources = []string{d.DocumentID}
	if d.ModelID != "" {
		n.Resources = append(n.Resources, d.ModelID)
	}
	if d.ModelVersion != "" {
		n.Resources = append(n.Resources, VersionKey(d.ModelID, d.ModelVersion))
	}
	n.Project, n.Classification = d.Project, d.Classification
	return r.record(tx, by, n)
}

func (r *Registry) announce(tx *db.Tx, d *Document, what, status string) error {
	return r.events.Emit(tx, event.Event{Type: what, Subject: d.DocumentID, Project: d.Project, Classification: d.Classification, Data: map[string]any{
		"document_id": d.DocumentID, "version": d.Version, "kind": d.Kind, "model_id": d.ModelID, "model_version": d.ModelVersion, "status": status,
	}})
}

// DecideDocument approves or rejects the latest version of a document that nobody decided
// about yet. Errors: NotFound; Denied (rule decided-by-registrar) for whoever registered it;
// Conflict if it was decided or superseded; Invalid for a rejection without a statement.
func (r *Registry) DecideDocument(tx *db.Tx, q Decision, by By) (*Document, error) {
	if err := checkText("statement", q.Statement); err != nil {
		return nil, err
	}
	if !q.Approve && strings.TrimSpace(q.Statement) == "" {
		return nil, caos.Errorf(caos.Invalid, "a rejection says why").WithField("statement").WithHint("name what has to be different")
	}
	d, err := r.decidable(tx, q)
	if err != nil {
		return nil, err
	}
	for _, decider := range []string{by.Actor, by.recorder()} {
		if decider == d.RegisteredBy || decider == d.RecordedBy {
			return nil, caos.Errorf(caos.Denied, "%s registered the document %s and cannot decide about it", decider, d.DocumentID).
				WithRule("decided-by-registrar").WithHint("somebody else has to")
		}
	}
	now := r.now()
	d.Status, d.DecidedAt, d.DecidedBy, d.Statement = DocumentRejected, &now, by.Actor, q.Statement
	if q.Approve {
		d.Status = DocumentApproved
	}
	d.Decision = d.Status
	n, err := tx.ExecRows(`UPDATE documents SET status = $1, decided_at = $2, decided_by = $3, decision = $4, statement = $5 WHERE document_id = $6 AND version = $7 AND status = 'REGISTERED'`,
		string(d.Status), db.Micros(now), d.DecidedBy, string(d.Decision), d.Statement, d.DocumentID, d.Version)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, caos.Errorf(caos.Conflict, "the document %s was decided just now", d.DocumentID).WithField("version")
	}
	if err := r.recordDocument(tx, by, d, note{Event: "document decided", Details: map[string]any{
		"version": d.Version, "kind": d.Kind, "digest": d.Digest, "status": d.Status, "statement": clip(d.Statement),
	}}); err != nil {
		return nil, err
	}
	return d, r.announce(tx, d, EventDocumentDecided, string(d.Status))
}

// decidable returns the version that a decision is about, if it is the latest and nobody has
// decided.
func (r *Registry) decidable(tx *db.Tx, q Decision) (*Document, error) {
	d, err := r.DocumentIn(tx, q.DocumentID)
	if err != nil {
		return nil, err
	}
	if q.Version != "" && q.Version != d.Version {
		old, err := getDocument(tx.Query, q.DocumentID, q.Version)
		if err != nil {
			return nil, err
		}
		return nil, caos.Errorf(caos.Conflict, "the version %s of %s was superseded by %s", old.Version, d.DocumentID, d.Version).WithField("version").
			WithHint("read the latest version and decide about that")
	}
	if d.Status != DocumentRegistered {
		return nil, caos.Errorf(caos.Conflict, "%s decided about %s %s already: %s", d.DecidedBy, d.DocumentID, d.Version, d.Status).WithField("version").
			WithHint("register a new version if the decision is to be another")
	}
	return d, nil
}
