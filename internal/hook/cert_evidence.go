package hook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"

	"caos"
	"caos/internal/chain"
	"caos/internal/db"
	"caos/internal/dpp"
	"caos/internal/engine"
	"caos/internal/evidence"
	"caos/internal/notify"
	"caos/internal/object"
)

// CAOS.PROD.CERT.EVIDENCE, section 9.1: takes an artifact into the evidence repository and
// the index of its certification package.
//
// The artifact is fetched once, read completely and judged before a byte of it is kept. It
// is then read back from the store and hashed again, so that the digest which is signed is
// that of what lies there and not of what passed by.

// EvidenceInput is the hook's input.
type EvidenceInput struct {
	ModelID                string            `json:"model_id" jsonschema:"pattern=^NN-[A-Z][A-Z0-9]{0\\,15}-[0-9]{3\\,6}$"`
	EvidenceType           evidence.Type     `json:"evidence_type" jsonschema:"enum=TEST_RESULT,enum=LOG,enum=METRIC,enum=DOCUMENT"`
	EvidenceCategory       evidence.Category `json:"evidence_category" jsonschema:"enum=VERIFICATION,enum=VALIDATION,enum=AUDIT"`
	ArtifactURI            string            `json:"artifact_uri" jsonschema:"minLength=1,maxLength=2000"`
	ArtifactMetadata       map[string]any    `json:"artifact_metadata"`
	CertificationPackageID string            `json:"certification_package_id" jsonschema:"pattern=^CERT-PKG-[A-Z0-9][A-Z0-9-]{0\\,47}$"`
}

// EvidenceOutput is the hook's output.
type EvidenceOutput struct {
	EvidenceID                  *string `json:"evidence_id"`
	EvidenceHash                *string `json:"evidence_hash" jsonschema:"pattern=^SHA256:[0-9a-f]{64}$"`
	EvidenceURI                 *string `json:"evidence_uri"`
	BlockchainTxID              *string `json:"blockchain_tx_id"`
	DPPRecordUpdated            bool    `json:"dpp_record_updated"`
	CertificationPackageUpdated bool    `json:"certification_package_updated"`
}

// evidenceState is what the hook remembers between commits.
type evidenceState struct {
	ID      string           `json:"id"` // of the evidence item, fixed at submission
	Request evidence.Request `json:"request"`
	Ref     object.Ref       `json:"ref"`     // of the artifact in the store, from step 1
	Stored  time.Time        `json:"stored"`  // when; what nothing refers to is swept some time after
	Summary evidence.Summary `json:"summary"` // what reading it said
	Item    *evidence.Item   `json:"item"`    // signed, from step 3
	Out     EvidenceOutput   `json:"out"`
	Reasons map[string]any   `json:"reasons"` // why an output says null or false
}

// certEvidence holds the only things the hook may touch.
type certEvidence struct {
	repository *evidence.Repository
	objects    *object.Store
	notifier   *notify.Notifier
	passports  *dpp.Passports
	chain      ChainPolicy
	baseURL    string
}

// CertEvidence makes the hook.
func CertEvidence(c Collaborators) *Hook {
	h := &certEvidence{repository: c.Evidence, objects: c.Objects, notifier: c.Notifier, passports: c.Passports, chain: c.Chain, baseURL: c.BaseURL}
	return &Hook{
		ID: "CAOS.PROD.CERT.EVIDENCE", Version: "1.0.0", Section: "9.1", Title: "Evidence Collection Hook", Trigger: "Continuous or on-demand",
		Owner: "Production Planning Board", Retry: engine.DefaultRetry(), Timeout: 10 * time.Minute,
		Input: reflect.TypeFor[EvidenceInput](), Output: reflect.TypeFor[EvidenceOutput](),
		Read: h.read,
		Gates: []Gate{
			{Name: "package-open", Action: "The package exists, is open and is the model's; the artifact's address and metadata are well formed", Test: h.packageOpen},
		},
		Flow: h.plan().Flow(),
	}
}

func (h *certEvidence) plan() engine.Plan[evidenceState] {
	return engine.Plan[evidenceState]{
		Hook: "CAOS.PROD.CERT.EVIDENCE", Version: "1.0.0", Revision: 2, Older: []int{1}, Schema: 1,
		Begin: func(r *engine.Run, input json.RawMessage) (*evidenceState, error) {
			req, err := evidenceRequest(input)
			return &evidenceState{ID: h.repository.NewID(req.ModelID), Request: req, Reasons: map[string]any{}}, err
		},
		Steps: []engine.Step[evidenceState]{
			engine.Call(1, "Validate evidence artifact", "validate-artifact", h.validateArtifact),
			engine.Call(2, "Calculate artifact hash for integrity", "hash-artifact", h.hashArtifact),
			engine.Call(3, "Store in evidence repository", "sign-statement", h.signStatement),
			engine.InTx(3, "Store in evidence repository", "store-item", h.storeItem),
			engine.InTx(4, "Update certification package index", "update-index", h.updateIndex),
			engine.InTx(5, "Create blockchain record (if applicable)", "chain-record", h.chainRecord),
			engine.InTx(6, "Update DPP with evidence link", "update-passport", h.updatePassport),
			engine.InTx(7, "Notify certification team", "notify-certification", h.notifyCertification),
		},
		Output: func(s *evidenceState) any { return s.Out },
	}
}

// evidenceRequest reads the input as the repository wants it.
func evidenceRequest(input json.RawMessage) (evidence.Request, error) {
	var in EvidenceInput
	if err := json.Unmarshal(input, &in); err != nil {
		return evidence.Request{}, fmt.Errorf("read input: %w", err)
	}
	raw, err := json.Marshal(in.ArtifactMetadata)
	if err != nil {
		return evidence.Request{}, fmt.Errorf("read artifact_metadata: %w", err)
	}
	meta, err := evidence.ParseMetadata(raw)
	return evidence.Request{ModelID: in.ModelID, Type: in.EvidenceType, Category: in.EvidenceCategory, ArtifactURI: in.ArtifactURI,
		Metadata: meta, PackageID: in.CertificationPackageID}, err
}

// read says what an input names. The project is the package's; of a package that does not
// exist the gate will say so.
func (h *certEvidence) read(ctx context.Context, input json.RawMessage) (Named, error) {
	req, err := evidenceRequest(input)
	if err != nil {
		return Named{}, err
	}
	n := Named{Model: req.ModelID}
	p, err := h.repository.Package(ctx, req.PackageID)
	if caos.KindOf(err) == caos.NotFound {
		return n, nil
	}
	if err != nil {
		return n, err
	}
	n.Project, n.Classification = p.Project, p.Classification
	return n, nil
}

func (h *certEvidence) packageOpen(tx *db.Tx, q Question) (map[string]any, error) {
	req, err := evidenceRequest(q.Input)
	if err != nil {
		return nil, err
	}
	facts := map[string]any{"certification_package_id": req.PackageID, "model_id": req.ModelID}
	if err := h.repository.CheckOpen(tx, req); err != nil {
		return facts, err
	}
	if digest, ok := strings.CutPrefix(req.ArtifactURI, "object://"); ok {
		return facts, q.mayUse(tx, h.objects, digest, "artifact_uri")
	}
	return facts, nil
}

// validateArtifact fetches the artifact, reads it as what it claims to be and, only then,
// puts it into the object store. Nothing refers to it there yet: what later steps do not
// bind is swept.
func (h *certEvidence) validateArtifact(ctx context.Context, r *engine.Run, s *evidenceState) error {
	a, err := h.repository.Fetch(ctx, s.Request.ArtifactURI)
	if err != nil {
		return err
	}
	defer a.Close()
	r.Report(engine.Progress{Done: a.Ref.Size, Total: a.Ref.Size, Unit: "bytes", Message: "fetched"})
	if s.Summary, err = h.repository.Inspect(ctx, s.Request, a); err != nil {
		return err
	}
	s.Ref, err = h.repository.Store(ctx, a)
	s.Stored = r.Now // from before it was stored: the safe side
	return err
}

// hashArtifact hashes what lies in the store.
func (h *certEvidence) hashArtifact(ctx context.Context, r *engine.Run, s *evidenceState) error {
	f, size, err := h.objects.Open(s.Ref.Digest)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, &progressReader{ctx: ctx, r: f, total: size, run: r})
	if err != nil {
		return caos.Wrap(caos.Unavailable, err, "the stored artifact cannot be read")
	}
	got := "SHA256:" + hex.EncodeToString(sum.Sum(nil))
	if got != s.Ref.Digest || n != s.Ref.Size {
		return caos.Errorf(caos.Conflict, "the stored artifact has digest %s and %d bytes, not %s and %d", got, n, s.Ref.Digest, s.Ref.Size).
			WithField("artifact_uri").WithHint("the object store changed under CAOS: run caos doctor")
	}
	s.Out.EvidenceHash = &got
	return nil
}

// progressReader reports how much was read and stops when ctx ends.
type progressReader struct {
	ctx   context.Context
	r     io.Reader
	run   *engine.Run
	done  int64
	shown int64
	total int64
}

// progressStep is how many bytes pass between two reports.
const progressStep = 8 << 20

// Read reads from the wrapped reader.
func (p *progressReader) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := p.r.Read(b)
	if p.done += int64(n); p.done-p.shown >= progressStep {
		p.shown = p.done
		p.run.Report(engine.Progress{Done: p.done, Total: p.total, Unit: "bytes"})
	}
	return n, err
}

// signStatement makes the in-toto statement about the artifact and signs it with the
// evidence key. Signing again after a crash makes another envelope of the same statement;
// only the one that is stored counts.
func (h *certEvidence) signStatement(ctx context.Context, r *engine.Run, s *evidenceState) (err error) {
	s.Item, err = h.repository.Sign(ctx, s.ID, s.Request, evidence.Kept{Ref: s.Ref, Summary: s.Summary}, r.RequestedBy)
	return err
}

// storeItem keeps the item, binds its artifact and appends its own audit record.
func (h *certEvidence) storeItem(tx *db.Tx, r *engine.Run, s *evidenceState) error {
	if !s.Stored.IsZero() && r.Now.Sub(s.Stored) > object.Grace/2 { // a late retry
		return caos.Errorf(caos.Conflict, "the artifact was stored at %s and may have been swept since", caos.FormatTime(s.Stored)).
			WithField("artifact_uri").WithHint("submit it again")
	}
	in, err := h.repository.Insert(tx, *s.Item, evidence.By{Actor: r.RequestedBy, RecordedBy: r.By.ID, Execution: r.ExecutionID, Hook: r.HookID})
	if err != nil {
		return err
	}
	s.Item = in.Item
	for _, f := range in.Findings {
		r.Find(f)
	}
	s.Out.EvidenceID = &s.ID
	s.Out.EvidenceURI = optional(h.baseURL + "/v1/evidence/" + s.ID + "/artifact")
	return nil
}

// updateIndex confirms that the package's index, which changed with the item in this very
// transaction, has it.
func (h *certEvidence) updateIndex(tx *db.Tx, _ *engine.Run, s *evidenceState) error {
	p, err := h.repository.PackageIn(tx, s.Request.PackageID)
	if err != nil {
		return err
	}
	var n int
	if err := tx.QueryRow(`SELECT COUNT(*) FROM evidence WHERE evidence_id=$1 AND package_id=$2`, s.ID, p.PackageID).Scan(&n); err != nil {
		return err
	}
	if n != 1 {
		return caos.Errorf(caos.Internal, "the index of %s does not have %s", p.PackageID, s.ID)
	}
	s.Out.CertificationPackageUpdated = true
	return nil
}

// chainRecord has the item recorded on the chain, if policy wants its type there, by an
// execution of its own. The output says null: nobody waits for it.
func (h *certEvidence) chainRecord(tx *db.Tx, r *engine.Run, s *evidenceState) error {
	s.Reasons["blockchain_tx_id"] = "not applicable: the published checkpoint covers the item's audit record"
	switch {
	case !h.chain.Available():
		s.Reasons["blockchain_tx_id"] = "no chain is configured: the published checkpoint covers the item's audit record"
	case slices.Contains(h.chain.Evidence, string(s.Request.Type)) && above(s.Item.Classification, ""):
		s.Reasons["blockchain_tx_id"] = "the item is " + s.Item.Classification + ", and anybody reads the chain: the published checkpoint covers its audit record"
	case slices.Contains(h.chain.Evidence, string(s.Request.Type)):
		why, err := h.chain.startRecording(tx, r, chain.Subject{Kind: chain.KindEvidence, ID: s.ID, ModelID: s.Request.ModelID, Version: s.ID, ContentHash: s.Ref.Digest,
			Timestamp: r.Now.Unix(), Project: s.Item.Project, Classification: s.Item.Classification})
		if err != nil {
			return err
		}
		s.Reasons["blockchain_tx_id"] = why
	}
	r.Record.Details = map[string]any{"reasons": s.Reasons, "evidence_id": s.ID}
	return nil
}

// updatePassport links the item into the history of the model's latest passport. A model
// without one has nothing to link to, and the output says so truthfully; of a passport of
// another project it says no more than of none.
func (h *certEvidence) updatePassport(tx *db.Tx, r *engine.Run, s *evidenceState) error {
	linked, err := h.passports.LinkEvidence(tx, s.Request.ModelID, dpp.EvidenceRef{ID: s.ID, Project: s.Item.Project}, dpp.By{Actor: r.RequestedBy, RecordedBy: r.By.ID, Execution: r.ExecutionID, Hook: r.HookID})
	if err != nil {
		return err
	}
	s.Out.DPPRecordUpdated = linked
	if !linked {
		s.Reasons["dpp_record_updated"] = "model " + s.Request.ModelID + " has no passport yet in the project of " + s.Request.PackageID
	}
	return nil
}

// notifyCertification tells whoever holds the role certification. A notice that reaches
// nobody is a finding.
func (h *certEvidence) notifyCertification(tx *db.Tx, r *engine.Run, s *evidenceState) error {
	d, err := h.notifier.Send(tx, notify.Notice{
		Subject: fmt.Sprintf("Evidence %s for %s: %s", s.ID, s.Request.ModelID, s.Item.Verdict),
		Body: fmt.Sprintf("%s %s evidence was taken into %s.\nDigest %s, %d bytes, verdict %s.",
			s.Request.Category, s.Request.Type, s.Request.PackageID, s.Ref.Digest, s.Ref.Size, s.Item.Verdict),
		Link: "/v1/evidence/" + s.ID, Source: r.ExecutionID, Roles: []string{"certification"},
		Project: s.Item.Project, Classification: s.Item.Classification,
	})
	for _, f := range d.Findings {
		r.Find(f)
	}
	return err
}
