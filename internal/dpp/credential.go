package dpp

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"

	"caos"
	"caos/internal/codec"
	"caos/internal/sign"
	"caos/internal/verify"
)

// Limits of a draft. A passport is read by people and by small devices.
const (
	// MaxMetadata is the most bytes of what a caller may say, in canonical form.
	MaxMetadata      = 64 << 10
	maxMetadataDepth = 8
	maxMetadataNodes = 4000
	// MaxArtifacts is the most artifacts that one passport hashes.
	MaxArtifacts = 10_000
	// MaxDocuments is the most documents about a version that one passport lists.
	MaxDocuments = 1000
	maxFiles     = 10_000
	maxAnnex     = 8 << 20
)

// annexVersion is the form of the annex; readers know all that ever were.
const annexVersion = 1

// NewSalt returns 32 random bytes in hex.
func NewSalt() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails, says its documentation
	return hex.EncodeToString(b[:])
}

// CheckMetadata reads what a caller says about an event: a JSON object, bounded in size,
// depth and number of values. It returns its canonical form.
func CheckMetadata(raw []byte) (json.RawMessage, error) {
	v, err := codec.Value(raw, "application/json", codec.Limits{MaxBytes: MaxMetadata, MaxDepth: maxMetadataDepth, MaxNodes: maxMetadataNodes})
	if err != nil {
		e := caos.AsError(err)
		field := "metadata"
		if e.Field != "" {
			field += "." + e.Field
		}
		return nil, e.WithField(field).WithHint("metadata has at most %d bytes, %d levels and %d values; put more into an artifact", MaxMetadata, maxMetadataDepth, maxMetadataNodes)
	}
	if _, ok := v.(map[string]any); !ok {
		return nil, caos.Errorf(caos.Invalid, "is not a JSON object").WithField("metadata")
	}
	out, err := codec.Canonical(v)
	if err != nil {
		return nil, caos.AsError(err).WithField("metadata")
	}
	return out, nil
}

// check refuses a draft that cannot become a passport. What comes from a caller was
// refused before, by the name of the caller's field.
func (d *Draft) check() error {
	bad := func(field, format string, args ...any) error {
		return caos.Errorf(caos.Invalid, format, args...).WithField(field)
	}
	if err := caos.CheckID("model", "model_id", d.ModelID); err != nil {
		return err
	}
	if err := caos.CheckID("version", "model_version", d.Version); err != nil {
		return err
	}
	switch {
	case !d.Event.Valid():
		return bad("lifecycle_event", "%.40q is no event", d.Event)
	case d.PassportID == "" || d.PassportID != ID(d.ModelID, d.Version, d.Event, d.Occurrence) || d.At.IsZero():
		return bad("passport_id", "the identifier was not claimed for this event")
	case len(d.Salt) != 64:
		return bad("salt", "the annex needs a salt")
	case d.Baseline.BaselineID == "" || d.Baseline.FrozenAt.IsZero():
		return bad("baseline", "a passport is about a frozen version")
	case d.IssuedBy == "":
		return bad("issued_by", "somebody issues a passport")
	case len(d.Artifacts) == 0 || len(d.Artifacts) > MaxArtifacts:
		return bad("artifacts", "a passport has hashed 1 to %d artifacts, not %d", MaxArtifacts, len(d.Artifacts))
	case len(d.Files) > maxFiles || len(d.Documents) > MaxDocuments:
		return bad("baseline", "has %d files and %d documents, more than %d and %d", len(d.Files), len(d.Documents), maxFiles, MaxDocuments)
	}
	if _, err := verify.ParseHash(d.Baseline.RootDigest); err != nil {
		return bad("baseline.root_digest", "%.80q is not a digest", d.Baseline.RootDigest)
	}
	return nil
}

// annex is the restricted part of a passport. Its canonical form is what is hashed.
type annex struct {
	V           int             `json:"v"`
	Salt        string          `json:"salt"`
	PassportID  string          `json:"passport_id"`
	ModelID     string          `json:"model_id"`
	Version     string          `json:"version"`
	Event       Event           `json:"event"`
	IssuedAt    string          `json:"issued_at"`
	IssuedBy    string          `json:"issued_by"`
	ExecutionID string          `json:"execution_id"`
	Model       ModelFacts      `json:"model"`
	Baseline    annexBaseline   `json:"baseline"`
	Files       []FileFacts     `json:"files"`
	Documents   []DocumentFacts `json:"documents"`
	Artifacts   []ArtifactHash  `json:"artifacts"`
	Metadata    json.RawMessage `json:"metadata"`
}

// annexBaseline is BaselineFacts with its time in the one form that is signed.
type annexBaseline struct {
	BaselineFacts
	FrozenAt string `json:"frozen_at"`
}

// credential is the part that anyone may know, before it is signed.
type credential struct {
	Context   []string            `json:"@context"`
	ID        string              `json:"id"`
	Type      []string            `json:"type"`
	Issuer    string              `json:"issuer"`
	ValidFrom string              `json:"validFrom"`
	Status    *verify.StatusEntry `json:"credentialStatus,omitempty"`
	Subject   subject             `json:"credentialSubject"`
	Related   []related           `json:"relatedResource"`
}

type subject struct {
	Type string `json:"type"`
	verify.PassportSubject
}

// related names something that the credential depends on, with its digest, as the data
// model has it (section 5.3).
type related struct {
	ID        string `json:"id"`
	MediaType string `json:"mediaType"`
	Digest    string `json:"digestMultibase"`
}

// Sign makes the two files of a passport and signs the credential with the passport key.
// The same draft gives the same bytes as long as the key is the same.
func (p *Passports) Sign(ctx context.Context, d Draft) (*Document, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	an, err := d.annex()
	if err != nil {
		return nil, err
	}
	signer, did, err := p.signer()
	if err != nil {
		return nil, err
	}
	doc := &Document{PassportID: d.PassportID, Annex: an, AnnexHash: digestOf(an), KeyID: signer.KeyID(), Issuer: did}
	unsecured, err := codec.Canonical(p.credential(d, doc))
	if err != nil {
		return nil, err
	}
	if doc.Credential, err = secure(ctx, signer, did, unsecured, d.At); err != nil {
		return nil, err
	}
	doc.Digest = digestOf(doc.Credential)
	doc.CID = verify.CID(sha256.Sum256(doc.Credential))
	return doc, nil
}

// secure adds the proof to a credential in canonical form: its issuer's, by eddsa-jcs-2022.
func secure(ctx context.Context, signer sign.Signer, did string, unsecured []byte, at time.Time) ([]byte, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(unsecured, &members); err != nil {
		return nil, err
	}
	options := map[string]any{
		"@context": members["@context"], "type": verify.ProofType, "cryptosuite": verify.ProofSuite, "created": at.UTC().Format(time.RFC3339),
		"verificationMethod": verify.VerificationMethod(did), "proofPurpose": verify.ProofPurpose,
	}
	plain, err := codec.Canonical(options)
	if err != nil {
		return nil, err
	}
	input, err := verify.ProofInput(unsecured, plain)
	if err != nil {
		return nil, err
	}
	sig, err := signer.Sign(ctx, input)
	if err != nil {
		return nil, caos.Wrap(caos.Unavailable, err, "the key %s could not sign", signer.KeyID())
	}
	options["proofValue"] = verify.ProofValue(sig)
	if members["proof"], err = codec.Canonical(options); err != nil {
		return nil, err
	}
	signed, err := codec.Canonical(members)
	if err != nil {
		return nil, err
	}
	// What leaves here is what a stranger's verifier will see.
	if _, _, _, err := verify.CheckProof(signed); err != nil {
		return nil, caos.Wrap(caos.Internal, err, "what the key %s signed does not verify", signer.KeyID())
	}
	return signed, nil
}

func (d *Draft) annex() ([]byte, error) {
	a := annex{
		V: annexVersion, Salt: d.Salt, PassportID: d.PassportID, ModelID: d.ModelID, Version: d.Version, Event: d.Event,
		IssuedAt: caos.FormatTime(d.At), IssuedBy: d.IssuedBy, ExecutionID: d.ExecutionID, Model: d.Model,
		Baseline: annexBaseline{d.Baseline, caos.FormatTime(d.Baseline.FrozenAt)},
		Files:    list(d.Files), Documents: list(d.Documents), Artifacts: list(d.Artifacts), Metadata: d.Metadata,
	}
	a.Model.CompatibleWith = list(a.Model.CompatibleWith)
	if len(a.Metadata) == 0 {
		a.Metadata = json.RawMessage("{}")
	}
	out, err := codec.Canonical(a)
	if err == nil && len(out) > maxAnnex {
		return nil, caos.Errorf(caos.TooLarge, "the annex of %s has %d bytes, more than %d", d.PassportID, len(out), maxAnnex).WithField("artifacts")
	}
	return out, err
}

// list makes nil an empty list, so that the signed text has one spelling.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

func (p *Passports) credential(d Draft, doc *Document) credential {
	ours := p.baseURL + verify.PassportContextV2Path
	return credential{
		Context:   []string{verify.CredentialContext, ours},
		ID:        p.PageURI(d.PassportID),
		Type:      []string{verify.CredentialType, verify.PassportType},
		Issuer:    doc.Issuer,
		ValidFrom: caos.FormatTime(d.At),
		Status:    p.statusEntry(d.Claim),
		Subject: subject{Type: "ModelVersion", PassportSubject: verify.PassportSubject{
			ID: "urn:caos:model:" + d.ModelID + ":" + d.Version, PassportID: d.PassportID, ModelID: d.ModelID, ModelVersion: d.Version,
			ModelFamily: d.Model.Family, SafetyLevel: d.Model.SafetyLevel, LifecycleEvent: string(d.Event), Occurrence: d.Occurrence, LogOrigin: p.origin,
			Baseline: verify.PassportBaseline{BaselineID: d.Baseline.BaselineID, FreezeID: d.Baseline.FreezeID, RootDigest: d.Baseline.RootDigest,
				Files: d.Baseline.Files, Bytes: d.Baseline.Bytes, FrozenAt: caos.FormatTime(d.Baseline.FrozenAt)},
			Artifacts: int64(len(d.Artifacts)), Documents: int64(len(d.Documents)), AnnexDigest: doc.AnnexHash,
			Granularity: verify.PassportGranularity, ProductionDate: d.Baseline.FrozenAt.UTC().Format(time.DateOnly), SchemaVersion: verify.PassportSchema,
		}},
		Related: []related{
			{ID: ours, MediaType: "application/ld+json", Digest: verify.Multihash(sha256.Sum256(passportV2))},
			{ID: p.baseURL + "/v1/passports/" + d.PassportID + "/annex", MediaType: "application/json", Digest: verify.Multihash(sha256.Sum256(doc.Annex))},
		},
	}
}

// statusEntry says where the passport's bit is; nil for one that was claimed before there
// were lists.
func (p *Passports) statusEntry(c Claim) *verify.StatusEntry {
	if c.StatusList == 0 {
		return nil
	}
	list, place := p.baseURL+StatusPath(c.StatusList), strconv.FormatInt(c.StatusIndex, 10)
	return &verify.StatusEntry{ID: list + "#" + place, Type: verify.StatusEntryType, Purpose: verify.StatusRevocation, Index: place, List: list}
}

func digestOf(b []byte) string { return verify.FormatHash(sha256.Sum256(b)) }
