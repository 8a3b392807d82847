package evidence

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"caos"
	"caos/internal/codec"
	"caos/internal/object"
	"caos/internal/sign"
	"caos/internal/verify"
)

// Item is an evidence item. Collect makes it, Insert keeps it, Get and List return it. It
// is JSON throughout, so that a hook can save it between the two.
type Item struct {
	EvidenceID     string    `json:"evidence_id"`
	PackageID      string    `json:"package_id"`
	ModelID        string    `json:"model_id"`
	Type           Type      `json:"evidence_type"`
	Category       Category  `json:"evidence_category"`
	Verdict        Verdict   `json:"verdict"`
	Digest         string    `json:"evidence_hash"` // "SHA256:<hex>" of the artifact
	Size           int64     `json:"size"`          // bytes
	ArtifactURI    string    `json:"artifact_uri"`  // where it came from
	Metadata       Metadata  `json:"artifact_metadata"`
	Summary        Summary   `json:"summary"`
	CollectedAt    time.Time `json:"collected_at"`
	CollectedBy    string    `json:"collected_by"`
	Project        string    `json:"project"`        // "" takes the package's
	Classification string    `json:"classification"` // "" takes the package's
	ExecutionID    string    `json:"execution_id,omitempty"`
	Envelope       string    `json:"envelope,omitempty"` // the signed DSSE envelope, JSON text
	EnvelopeHash   string    `json:"envelope_hash"`      // "SHA256:<hex>" of it
	RecordID       string    `json:"audit_record_id,omitempty"`
	RecordHash     string    `json:"audit_record_hash,omitempty"`
}

// claim is the predicate of an evidence statement. verify.EvidenceClaim reads the first
// three fields. An id that the item failed for is not among those it is evidence for.
type claim struct {
	EvidenceID         string   `json:"evidence_id"`
	RequirementIDs     []string `json:"requirement_ids"`
	ObjectiveIDs       []string `json:"objective_ids"`
	FailedRequirements []string `json:"failed_requirement_ids"`
	FailedObjectives   []string `json:"failed_objective_ids"`
	PackageID          string   `json:"package_id"`
	ModelID            string   `json:"model_id"`
	Type               Type     `json:"evidence_type"`
	Category           Category `json:"evidence_category"`
	Verdict            Verdict  `json:"verdict"`
	ArtifactURI        string   `json:"artifact_uri"`
	Size               int64    `json:"size"`
	Metadata           Metadata `json:"artifact_metadata"`
	Summary            Summary  `json:"summary"`
	CollectedAt        string   `json:"collected_at"`
	CollectedBy        string   `json:"collected_by"`
}

// Inspect checks an artifact against its request: the digest that was announced, and the
// type's format. It keeps nothing.
func (r *Repository) Inspect(ctx context.Context, req Request, a *Artifact) (Summary, error) {
	if want := req.Metadata.SHA256; want != "" && strings.TrimPrefix(want, "SHA256:") != strings.TrimPrefix(a.Ref.Digest, "SHA256:") {
		return Summary{}, caos.Errorf(caos.Invalid, "the artifact's digest is %s, not the one announced", a.Ref.Digest).
			WithField("artifact_metadata.sha256").WithHint("it was changed on its way, or another file was meant")
	}
	return Validate(ctx, req.Type, Input{Content: a.f, Name: a.Name, Format: req.Metadata.Format}, r.lim)
}

// Store puts an inspected artifact into the object store. It refuses bytes that are not
// those that were inspected.
func (r *Repository) Store(ctx context.Context, a *Artifact) (object.Ref, error) {
	if _, err := a.f.Seek(0, 0); err != nil {
		return object.Ref{}, scratchError(err)
	}
	return r.objects.Put(ctx, a.f, object.PutOptions{MaxBytes: max(r.lim.MaxBytes, a.Ref.Size), ExpectSHA256: a.Ref.Digest, ExpectSize: a.Ref.Size})
}

// Collect does all that must happen outside a transaction: it fetches, inspects and stores
// the artifact and signs the statement about it. id comes from NewID and stays the same
// when Collect is repeated after a crash.
func (r *Repository) Collect(ctx context.Context, id string, req Request, by string) (*Item, error) {
	if err := req.Check(); err != nil {
		return nil, err
	}
	a, err := r.Fetch(ctx, req.ArtifactURI)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	sum, err := r.Inspect(ctx, req, a)
	if err != nil {
		return nil, err
	}
	ref, err := r.Store(ctx, a)
	if err != nil {
		return nil, err
	}
	return r.Sign(ctx, id, req, Kept{Ref: ref, Summary: sum}, by)
}

// Kept is an artifact that was inspected and stored.
type Kept struct {
	Ref     object.Ref `json:"ref"`
	Summary Summary    `json:"summary"`
}

// Sign makes the item of a stored artifact: an in-toto statement in a DSSE envelope signed
// with the evidence key.
func (r *Repository) Sign(ctx context.Context, id string, req Request, kept Kept, by string) (*Item, error) {
	it := &Item{
		EvidenceID: id, PackageID: req.PackageID, ModelID: req.ModelID, Type: req.Type, Category: req.Category,
		Verdict: kept.Summary.Verdict, Digest: kept.Ref.Digest, Size: kept.Ref.Size, ArtifactURI: req.ArtifactURI,
		Metadata: req.Metadata, Summary: kept.Summary, CollectedAt: r.now().UTC().Truncate(time.Microsecond), CollectedBy: by,
	}
	envelope, err := r.envelope(ctx, it)
	if err != nil {
		return nil, err
	}
	it.Envelope, it.EnvelopeHash = string(envelope), digestOf(envelope)
	return it, nil
}

func (r *Repository) envelope(ctx context.Context, it *Item) ([]byte, error) {
	signer, err := r.keys.Signer(sign.Evidence)
	if err != nil {
		return nil, err
	}
	reqs, failedReqs := it.split(requirement)
	objs, failedObjs := it.split(objective)
	h, err := object.ParseDigest(it.Digest)
	if err != nil {
		return nil, err
	}
	raw, _ := hex.DecodeString(h)
	predicate, err := codec.Canonical(claim{
		EvidenceID: it.EvidenceID, RequirementIDs: reqs, ObjectiveIDs: objs, FailedRequirements: failedReqs, FailedObjectives: failedObjs,
		PackageID: it.PackageID, ModelID: it.ModelID, Type: it.Type, Category: it.Category, Verdict: it.Verdict,
		ArtifactURI: redact(it.ArtifactURI), Size: it.Size, Metadata: it.Metadata, Summary: it.Summary,
		CollectedAt: caos.FormatTime(it.CollectedAt), CollectedBy: it.CollectedBy,
	})
	if err != nil {
		return nil, err
	}
	statement, err := verify.NewStatement(it.EvidenceID, [32]byte(raw), verify.EvidencePredicate, rawJSON(predicate))
	if err != nil {
		return nil, caos.Wrap(caos.Internal, err, "the evidence statement cannot be written")
	}
	return sign.DSSE(ctx, signer, verify.InTotoType, statement)
}

// redact leaves out the query of an address: it is where passwords and presigned
// signatures stand, and a statement is for everybody.
func redact(uri string) string {
	if i := strings.IndexAny(uri, "?#"); i >= 0 {
		return uri[:i]
	}
	return uri
}

type rawJSON []byte

// MarshalJSON returns the text as it is.
func (r rawJSON) MarshalJSON() ([]byte, error) { return r, nil }

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "SHA256:" + hex.EncodeToString(sum[:])
}

// kind is the sort of an id that evidence can cover. The letters are stored.
type kind string

const (
	requirement kind = "R"
	objective   kind = "O"
)

func (k kind) String() string {
	if k == requirement {
		return "requirement"
	}
	return "objective"
}

func (it *Item) ids(k kind) []string {
	if k == requirement {
		return it.Metadata.RequirementIDs
	}
	return it.Metadata.ObjectiveIDs
}

// split divides the ids that an item was collected for into those it covers and those it
// failed for. Where the report itself says which tests verify a requirement, their word
// counts for it and not the report's as a whole.
func (it *Item) split(k kind) (covered, failed []string) {
	covered, failed = []string{}, []string{}
	for _, id := range it.ids(k) {
		v := it.Verdict
		if own, ok := it.Summary.Requirements[id]; ok && k == requirement {
			v = own
		}
		if v == Failed {
			failed = append(failed, id)
		} else {
			covered = append(covered, id)
		}
	}
	return covered, failed
}
