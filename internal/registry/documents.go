package registry

import (
	"context"
	"time"

	"caos"
	"caos/internal/db"
)

// DocumentFilter chooses documents; empty fields match all.
type DocumentFilter struct {
	Kind         string
	Status       DocumentStatus
	ModelID      string
	ModelVersion string
	Project      string
	DocumentID   string // all versions of one document
	Latest       bool   // leaves superseded versions out
	Limit        int    // of a page; 0 means 100, the most is 1000
}

const documentColumns = `document_id, version, kind, title, status, stated, model_id, model_version, digest, size, media_type,
	project, classification, registered_at, registered_by, recorded_by, decided_at, decided_by, decision, statement`

func scanDocument(scan func(...any) error, more ...any) (*Document, error) {
	var d Document
	var registered, decided int64
	err := scan(append([]any{&d.DocumentID, &d.Version, &d.Kind, &d.Title, &d.Status, &d.Stated, &d.ModelID, &d.ModelVersion, &d.Digest, &d.Size, &d.MediaType,
		&d.Project, &d.Classification, &registered, &d.RegisteredBy, &d.RecordedBy, &decided, &d.DecidedBy, &d.Decision, &d.Statement}, more...)...)
	if err != nil {
		return nil, err
	}
	d.RegisteredAt, d.DecidedAt = db.Moment(registered), db.Optional(decided)
	return &d, nil
}

// latest returns the latest version of a document, nil if there is none, and its place.
func latest(tx *db.Tx, id string) (d *Document, seq int64, err error) {
	err = tx.Query(`SELECT `+documentColumns+`, seq FROM documents WHERE document_id = $1 AND status <> 'SUPERSEDED'`, []any{id},
		func(scan func(...any) error) (err error) {
			d, err = scanDocument(scan, &seq)
			return err
		})
	return d, seq, err
}

// getDocument returns one version of a document, the latest if version is "".
func getDocument(q query, id, version string) (*Document, error) {
	if err := caos.CheckID("document", "document_id", id); err != nil {
		return nil, err
	}
	sql, args := ` WHERE document_id = $1 AND status <> 'SUPERSEDED'`, []any{id}
	if version != "" {
		if err := checkDocumentVersion("version", version); err != nil {
			return nil, err
		}
		sql, args = ` WHERE document_id = $1 AND version = $2`, []any{id, version}
	}
	var d *Document
	err := q(`SELECT `+documentColumns+` FROM documents`+sql, args, func(scan func(...any) error) (err error) {
		d, err = scanDocument(scan)
		return err
	})
	if err != nil || d != nil {
		return d, err
	}
	if version != "" {
		return nil, caos.Errorf(caos.NotFound, "there is no version %s of the document %s", version, id).WithField("version")
	}
	return nil, caos.Errorf(caos.NotFound, "there is no document %s", id).WithField("document_id").WithHint("register it with: caos document register")
}

// withResults adds what was read out of a document.
func withResults(q query, d *Document, err error) (*Document, error) {
	if err != nil {
		return nil, err
	}
	err = q(`SELECT results FROM document_contents WHERE document_id = $1 AND version = $2`, []any{d.DocumentID, d.Version}, func(scan func(...any) error) error {
		var packed []byte
		if err := scan(&packed); err != nil {
			return err
		}
		d.Results, err = unpack(packed)
		return err
	})
	return d, err
}

// Document returns the latest version of a document with its results, or a NotFound error.
func (r *Registry) Document(ctx context.Context, id string) (*Document, error) {
	d, err := getDocument(r.pool(ctx), id, "")
	return withResults(r.pool(ctx), d, err)
}

// DocumentIn returns the latest version as a transaction sees it, without its results.
func (r *Registry) DocumentIn(tx *db.Tx, id string) (*Document, error) {
	return getDocument(within(tx), id, "")
}

// DocumentVersion returns one version of a document with its results.
func (r *Registry) DocumentVersion(ctx context.Context, id, version string) (*Document, error) {
	if err := checkDocumentVersion("version", version); err != nil {
		return nil, err
	}
	d, err := getDocument(r.pool(ctx), id, version)
	return withResults(r.pool(ctx), d, err)
}

// DocumentVersions lists the versions of a document, latest first and at most 1000, without
// results, or returns a NotFound error.
func (r *Registry) DocumentVersions(ctx context.Context, id string) ([]*Document, error) {
	if _, err := getDocument(r.pool(ctx), id, ""); err != nil {
		return nil, err
	}
	out := []*Document{}
	err := r.pool(ctx)(`SELECT `+documentColumns+` FROM documents WHERE document_id = $1 ORDER BY seq DESC LIMIT 1000`, []any{id},
		func(scan func(...any) error) error {
			d, err := scanDocument(scan)
			out = append(out, d)
			return err
		})
	return out, err
}

// Documents lists versions of documents, latest first, without results. cursor is "" and
// then the one returned.
func (r *Registry) Documents(ctx context.Context, f DocumentFilter, cursor string) ([]*Document, string, error) {
	const key = `(document_id || '@' || version)`
	w := new(db.Where)
	w.Is("kind", f.Kind)
	w.Is("status", string(f.Status))
	w.Is("model_id", f.ModelID)
	w.Is("model_version", f.ModelVersion)
	w.Is("project", f.Project)
	w.Is("document_id", f.DocumentID)
	if f.Latest {
		w.And("status <> 'SUPERSEDED'")
	}
	return db.Page(r.pool(ctx), w, db.Listing[*Document]{Columns: documentColumns, From: "documents", At: "registered_at", ID: key, Limit: f.Limit,
		Scan: func(row func(...any) error) (*Document, error) { return scanDocument(row) },
		Key:  func(d *Document) (time.Time, string) { return d.RegisteredAt, d.DocumentID + "@" + d.Version },
	}, cursor)
}

// maxRejected bounds what RejectedDocuments returns.
const maxRejected = 1000

// RejectedDocuments returns the ids of the documents about a model whose latest version was
// rejected, at most 1000: what rests on one of them rests on nothing.
func (r *Registry) RejectedDocuments(tx *db.Tx, modelID string) ([]string, error) {
	var out []string
	err := tx.Query(`SELECT document_id FROM documents WHERE model_id = $1 AND status = 'REJECTED' ORDER BY document_id LIMIT $2`, []any{modelID, maxRejected},
		func(scan func(...any) error) error {
			var id string
			err := scan(&id)
			out = append(out, id)
			return err
		})
	return out, err
}
