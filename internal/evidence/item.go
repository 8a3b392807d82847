package evidence

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/object"
	"caos/internal/sign"
	"caos/internal/verify"
)

// Inserted is what Insert did.
type Inserted struct {
	Item     *Item          // with what the package gave it and its audit record
	Record   string         // id of the audit record
	Hash     string         // its leaf hash
	Findings []caos.Finding // what the item does not do: ids outside the plan, failures, no ids
}

// Insert keeps an item that Collect made: the item, the binding of its artifact, its audit
// record, the package's index and the dashboard's counts, all in tx. It repeats nothing
// that happens outside the database. Errors: NotFound without the package, Conflict if it
// is closed or the item is there already, Invalid for another model.
func (r *Repository) Insert(tx *db.Tx, it Item, by By) (*Inserted, error) {
	p, err := openPackage(tx, it.PackageID)
	if err != nil {
		return nil, err
	}
	if p.ModelID != it.ModelID {
		return nil, caos.Errorf(caos.Invalid, "the package %s is that of the model %s", p.PackageID, p.ModelID).WithField("model_id").
			WithHint("give a package of %s", it.ModelID)
	}
	if it.Project == "" {
		it.Project = p.Project
	}
	if it.Classification == "" {
		it.Classification = p.Classification
	}
	it.ExecutionID = by.Execution
	if it.Envelope == "" || it.EnvelopeHash != digestOf([]byte(it.Envelope)) {
		return nil, caos.Errorf(caos.Internal, "the evidence item %s is not signed", it.EvidenceID)
	}
	if err := r.stillSigned(&it); err != nil {
		return nil, err
	}
	if err := r.needToKnow(tx, &it, by); err != nil {
		return nil, err
	}
	rec := by.record(p, "evidence collected", map[string]any{
		"evidence_hash": it.Digest, "envelope_hash": it.EnvelopeHash, "size": it.Size, "evidence_type": it.Type,
		"evidence_category": it.Category, "format": it.Summary.Format, "verdict": it.Verdict, "artifact_uri": redact(it.ArtifactURI),
	})
	rec.Resources = append([]string{it.EvidenceID}, rec.Resources...)
	rec.Project, rec.Classification = it.Project, it.Classification
	receipt, err := r.log.Append(tx, rec)
	if err != nil {
		return nil, err
	}
	it.RecordID, it.RecordHash = receipt.ID, receipt.Hash
	if err := r.insertRow(tx, &it); err != nil {
		return nil, err
	}
	findings, newlyCovered, outside, err := index(tx, &it)
	if err != nil {
		return nil, err
	}
	one := func(v Verdict) int64 {
		if it.Verdict == v {
			return 1
		}
		return 0
	}
	tx.Exec(`UPDATE package_counts SET items = items + 1, passed = passed + $1, failed = failed + $2, recorded = recorded + $3,
		covered = covered + $4, outside = outside + $5 WHERE package_id = $6`,
		one(Passed), one(Failed), one(Recorded), newlyCovered, outside, it.PackageID)
	tx.Exec(`UPDATE packages SET updated_at = $1 WHERE package_id = $2`, r.now().UnixMicro(), it.PackageID)
	return &Inserted{Item: &it, Record: receipt.ID, Hash: receipt.Hash, Findings: findings}, tx.Err()
}

// stillSigned refuses an envelope by a key that was replaced since: its signature would
// not count at the leaf that is about to record it.
func (r *Repository) stillSigned(it *Item) error {
	signer, err := r.keys.Signer(sign.Evidence)
	if err != nil {
		return err
	}
	e, err := verify.ParseEnvelope([]byte(it.Envelope))
	if err != nil {
		return err
	}
	if len(e.Signatures) != 1 || e.Signatures[0].KeyID != signer.KeyID() {
		return caos.Errorf(caos.Conflict, "the evidence key was changed after %s was signed", it.EvidenceID).WithHint("collect it again")
	}
	return nil
}

// needToKnow refuses to lend out, by its digest alone, an object that others keep: one of
// another project, or one that is classified higher where it is kept. Who sends the bytes
// themselves has shown that they know them.
func (r *Repository) needToKnow(tx *db.Tx, it *Item, by By) error {
	if !strings.HasPrefix(it.ArtifactURI, "object://") {
		return nil
	}
	if sent, err := r.objects.SentByIn(tx, it.Digest, cmp.Or(by.RecordedBy, by.Actor)); sent || err != nil {
		return err
	}
	refs, err := r.objects.ReferencesIn(tx, it.Digest)
	if err != nil || len(refs) == 0 {
		return err
	}
	for _, ref := range refs {
		if ref.Project == it.Project && caos.Sensitivity(ref.Classification) <= caos.Sensitivity(it.Classification) {
			return nil
		}
	}
	return caos.Errorf(caos.Denied, "the object is kept by another project, or under a higher classification").WithField("artifact_uri").
		WithRule("need-to-know").WithHint("upload the artifact itself, or collect it into a package of that project and classification")
}

func (r *Repository) insertRow(tx *db.Tx, it *Item) error {
	meta, err := json.Marshal(it.Metadata)
	if err != nil {
		return fmt.Errorf("evidence: write metadata: %w", err)
	}
	sum, err := json.Marshal(it.Summary)
	if err != nil {
		return fmt.Errorf("evidence: write summary: %w", err)
	}
	n, err := tx.ExecRows(`INSERT INTO evidence (evidence_id, package_id, model_id, type, category, format, verdict, digest, size,
		artifact_uri, metadata, summary, envelope, envelope_hash, project, classification, execution_id, collected_at, collected_by, record_id, record_hash)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21) ON CONFLICT (evidence_id) DO NOTHING`,
		it.EvidenceID, it.PackageID, it.ModelID, string(it.Type), string(it.Category), string(it.Summary.Format), string(it.Verdict), it.Digest, it.Size,
		redact(it.ArtifactURI), string(meta), string(sum), it.Envelope, it.EnvelopeHash, it.Project, it.Classification, it.ExecutionID,
		it.CollectedAt.UnixMicro(), it.CollectedBy, it.RecordID, it.RecordHash)
	if err != nil {
		return err
	}
	if n == 0 {
		return caos.Errorf(caos.Conflict, "the evidence item %s is there already", it.EvidenceID)
	}
	var until time.Time
	if r.retain > 0 {
		until = r.now().Add(r.retain)
	}
	return r.objects.Bind(tx, object.Ref{Digest: it.Digest, Size: it.Size}, object.Binding{
		Owner: it.EvidenceID, Kind: "evidence", RetainUntil: until, Project: it.Project, Classification: it.Classification,
	})
}

// index enters an item's ids into the index of its package. It returns what there is to
// say about them, how many planned ids the item is the first to cover, and how many are
// outside the plan.
func index(tx *db.Tx, it *Item) (findings []caos.Finding, covered, outside int64, err error) {
	findings = []caos.Finding{}
	if len(it.Metadata.RequirementIDs)+len(it.Metadata.ObjectiveIDs) == 0 {
		findings = append(findings, caos.Finding{Rule: "evidence-ids", Subject: it.EvidenceID,
			Message: "the item names no requirement and no objective, so it covers nothing", Remedy: "name them in artifact_metadata.requirement_ids or objective_ids"})
	}
	for _, k := range []kind{requirement, objective} {
		good, bad := it.split(k)
		for _, id := range bad {
			findings = append(findings, failedFinding(k, id, it.EvidenceID))
		}
		for covering, ids := range [][]string{bad, good} {
			for _, id := range ids {
				known, first, err := cover(tx, it, k, id, covering)
				if err != nil {
					return nil, 0, 0, err
				}
				if !known {
					outside++
					findings = append(findings, outsideFinding(k, id, it.EvidenceID))
				}
				if first {
					covered++
				}
			}
		}
	}
	return append(findings, unclaimed(it)...), covered, outside, nil
}

// unclaimed says which requirements the report itself names and its metadata does not:
// the metadata decides what an item is evidence for, and one of the two is mistaken.
func unclaimed(it *Item) (out []caos.Finding) {
	for _, id := range slices.Sorted(maps.Keys(it.Summary.Requirements)) {
		if !slices.Contains(it.Metadata.RequirementIDs, id) && len(out) < 50 {
			out = append(out, caos.Finding{Rule: "evidence-unclaimed", Subject: id, Message: fmt.Sprintf("the report %s names the requirement %s, which its metadata leaves out", it.EvidenceID, id),
				Remedy: "name it in artifact_metadata.requirement_ids if the item is evidence for it"})
		}
	}
	return out
}

// cover enters one id. known says that it is in the plan, first that nothing covered it
// before.
func cover(tx *db.Tx, it *Item, k kind, id string, covering int) (known, first bool, err error) {
	err = tx.Query(`UPDATE package_planned SET covering = covering + $1 WHERE package_id = $2 AND kind = $3 AND id = $4 RETURNING covering`,
		[]any{covering, it.PackageID, string(k), id}, func(scan func(...any) error) error {
			var n int
			err := scan(&n)
			known, first = true, covering == 1 && n == 1
			return err
		})
	planned := 0
	if known {
		planned = 1
	}
	tx.Exec(`INSERT INTO evidence_covers (package_id, kind, id, evidence_id, covering, planned) VALUES ($1, $2, $3, $4, $5, $6)`,
		it.PackageID, string(k), id, it.EvidenceID, covering, planned)
	return known, first, err
}

func failedFinding(k kind, id, evidenceID string) caos.Finding {
	return caos.Finding{Rule: "evidence-failed", Subject: id, Message: fmt.Sprintf("the evidence %s failed for the %s %s and does not cover it", evidenceID, k, id),
		Remedy: "correct the cause, and collect evidence that passes"}
}

func outsideFinding(k kind, id, evidenceID string) caos.Finding {
	return caos.Finding{Rule: "evidence-outside-plan", Subject: id, Message: fmt.Sprintf("the evidence %s names the %s %s, which the plan does not have", evidenceID, k, id),
		Remedy: "correct the id, or plan it"}
}

const itemColumns = `evidence_id, package_id, model_id, type, category, verdict, digest, size, artifact_uri, metadata, summary,
	envelope_hash, project, classification, execution_id, collected_at, collected_by, record_id, record_hash`

func scanItem(scan func(...any) error, more ...any) (*Item, error) {
	var it Item
	var meta, sum string
	var at int64
	dest := append([]any{&it.EvidenceID, &it.PackageID, &it.ModelID, &it.Type, &it.Category, &it.Verdict, &it.Digest, &it.Size, &it.ArtifactURI, &meta, &sum,
		&it.EnvelopeHash, &it.Project, &it.Classification, &it.ExecutionID, &at, &it.CollectedBy, &it.RecordID, &it.RecordHash}, more...)
	if err := scan(dest...); err != nil {
		return nil, err
	}
	it.CollectedAt = time.UnixMicro(at).UTC()
	if err := json.Unmarshal([]byte(meta), &it.Metadata); err != nil {
		return nil, fmt.Errorf("evidence: read metadata of %s: %w", it.EvidenceID, err)
	}
	if err := json.Unmarshal([]byte(sum), &it.Summary); err != nil {
		return nil, fmt.Errorf("evidence: read summary of %s: %w", it.EvidenceID, err)
	}
	return &it, nil
}

// Get returns an item with its envelope, or a NotFound error.
func (r *Repository) Get(ctx context.Context, id string) (*Item, error) {
	var it *Item
	err := r.pool(ctx)(`SELECT `+itemColumns+`, envelope FROM evidence WHERE evidence_id = $1`, []any{id}, func(scan func(...any) error) (err error) {
		var envelope string
		it, err = scanItem(scan, &envelope)
		if err == nil {
			it.Envelope = envelope
		}
		return err
	})
	if err == nil && it == nil {
		return nil, caos.Errorf(caos.NotFound, "there is no evidence %.100s", id)
	}
	return it, err
}

// Filter chooses items; empty fields match all.
type Filter struct {
	PackageID string
	ModelID   string
	Type      Type
	Category  Category
	Verdict   Verdict
	Project   string
	Covers    string // a requirement or objective id that the item names
	Limit     int    // of a page; 0 means 100, the most is 1000
}

// List lists items without their envelopes, latest first. cursor is "" and then the one
// returned.
func (r *Repository) List(ctx context.Context, f Filter, cursor string) ([]*Item, string, error) {
	w := new(db.Where)
	w.Is("package_id", f.PackageID)
	w.Is("model_id", f.ModelID)
	w.Is("type", string(f.Type))
	w.Is("category", string(f.Category))
	w.Is("verdict", string(f.Verdict))
	w.Is("project", f.Project)
	if f.Covers != "" {
		w.And(`EXISTS (SELECT 1 FROM evidence_covers c WHERE c.evidence_id = evidence.evidence_id AND c.package_id = evidence.package_id AND c.id = ?)`, f.Covers)
	}
	return db.Page(r.pool(ctx), w, db.Listing[*Item]{Columns: itemColumns, From: "evidence", At: "collected_at", ID: "evidence_id", Limit: f.Limit,
		Scan: func(row func(...any) error) (*Item, error) { return scanItem(row) },
		Key:  func(it *Item) (time.Time, string) { return it.CollectedAt, it.EvidenceID },
	}, cursor)
}

// Artifact opens the bytes of an item for serving: under which media type and name, and a
// reader that fails at its end if they are not the ones that were collected.
func (r *Repository) Artifact(ctx context.Context, id string) (*Item, *Download, error) {
	it, err := r.Get(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	body, size, err := r.objects.VerifyReader(it.Digest)
	if err != nil {
		return nil, nil, err
	}
	return it, &Download{Body: body, Size: size, MediaType: it.Summary.Format.MediaType(), Name: id + "." + string(it.Summary.Format)}, nil
}

// CheckOpen refuses, before anything is fetched, a request whose package is unknown,
// closed or another model's.
func (r *Repository) CheckOpen(tx *db.Tx, req Request) error {
	if err := req.Check(); err != nil {
		return err
	}
	p, err := openPackage(tx, req.PackageID)
	if err != nil {
		return err
	}
	if p.ModelID != req.ModelID {
		return caos.Errorf(caos.Invalid, "the package %s is that of the model %s", p.PackageID, p.ModelID).WithField("model_id").
			WithHint("give a package of %s", req.ModelID)
	}
	return nil
}
