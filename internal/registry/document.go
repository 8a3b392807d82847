package registry

import (
	"context"
	"encoding/json"
	"time"

	"caos/internal/db"
)

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
	Statement      string          `json:"statement"` // of who decided
}

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

// Decision is what somebody decided about a document's version.
type Decision struct {
	DocumentID string `json:"document_id"`
	Version    string `json:"version"`
	Approve    bool   `json:"approve"`
	Statement  string `json:"statement"` // why; needed to reject
}

// RegisterDocument keeps a new version of a document, which supersedes the former one, and
// announces it as caos.document.registered. parsed is what ReadDocument made of the very
// same bytes. A document that names a model is in the model's project and classified at
// least as high; both the model and the version have to be there. The same version with the
// same bytes again changes nothing. Errors: NotFound, Invalid naming the field (another model
// or version than the document itself states, a version not higher than the former),
// Conflict for other bytes under the version, or another kind under the id.
func (r *Registry) RegisterDocument(tx *db.Tx, d Document, parsed *Parsed, by By) (*Document, error) {
	return nil, unfinished()
}

// DecideDocument approves or rejects the latest version of a document that nobody decided
// about yet. Errors: NotFound; Denied (rule decided-by-registrar) for whoever registered it;
// Conflict if it was decided or superseded; Invalid for a rejection without a statement.
func (r *Registry) DecideDocument(tx *db.Tx, d Decision, by By) (*Document, error) {
	return nil, unfinished()
}

// Document returns the latest version of a document with its results, or a NotFound error.
func (r *Registry) Document(ctx context.Context, id string) (*Document, error) {
	return nil, unfinished()
}

// DocumentIn returns the latest version as a transaction sees it, without its results.
func (r *Registry) DocumentIn(tx *db.Tx, id string) (*Document, error) { return nil, unfinished() }

// DocumentVersion returns one version of a document with its results.
func (r *Registry) DocumentVersion(ctx context.Context, id, version string) (*Document, error) {
	return nil, unfinished()
}

// DocumentVersions lists the versions of a document, latest first, without results, or
// returns a NotFound error.
func (r *Registry) DocumentVersions(ctx context.Context, id string) ([]*Document, error) {
	return nil, unfinished()
}

// Documents lists versions of documents, latest first, without results. cursor is "" and
// then the one returned.
func (r *Registry) Documents(ctx context.Context, f DocumentFilter, cursor string) ([]*Document, string, error) {
	return nil, "", unfinished()
}
