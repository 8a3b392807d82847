package hook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"time"

	"caos"
	"caos/internal/chain"
	"caos/internal/db"
	"caos/internal/dpp"
	"caos/internal/engine"
	"caos/internal/object"
	"caos/internal/registry"
)

// CAOS.PROD.DPP.CREATE, section 10.1: issues the digital product passport of an event in
// the life of a model's version.
//
// A passport states facts that are so already: the version is frozen, released, certified.
// What the caller says goes into the restricted annex and decides nothing. Every artifact
// is read and hashed again for the passport, so that the digests in it are of what lies
// there on the day it is signed.

// DPPCreateInput is the hook's input.
type DPPCreateInput struct {
	ModelID        string         `json:"model_id" jsonschema:"pattern=^NN-[A-Z][A-Z0-9]{0\\,15}-[0-9]{3\\,6}$"`
	ModelVersion   string         `json:"model_version" jsonschema:"minLength=5,maxLength=64"`
	LifecycleEvent dpp.Event      `json:"lifecycle_event" jsonschema:"enum=FREEZE,enum=DEPLOYMENT,enum=CERTIFICATION"`
	Metadata       map[string]any `json:"metadata"`
	Artifacts      []string       `json:"artifacts" jsonschema:"maxItems=10000"`
}

// DPPCreateOutput is the hook's output.
type DPPCreateOutput struct {
	DPPRecordID         *string `json:"dpp_record_id"`
	DPPURI              *string `json:"dpp_uri"`
	BlockchainTxID      *string `json:"blockchain_tx_id"`
	BlockchainConfirmed bool    `json:"blockchain_confirmed"`
	DPPVerificationURI  *string `json:"dpp_verification_uri"`
}

// dppState is what the hook remembers between commits.
type dppState struct {
	Request dppRequest      `json:"request"`
	Draft   dpp.Draft       `json:"draft"`  // from step 1
	Doc     *dpp.Document   `json:"doc"`    // signed, from step 4
	Stored  time.Time       `json:"stored"` // when the files were written; what nothing refers to is swept some time after
	Row     *dpp.Passport   `json:"row"`    // from step 5
	Out     DPPCreateOutput `json:"out"`
	Reasons map[string]any  `json:"reasons"` // why an output says null or false
}

// dppRequest is the input, read.
type dppRequest struct {
	ModelID   string          `json:"model_id"`
	Version   string          `json:"version"`
	Event     dpp.Event       `json:"event"`
	Metadata  json.RawMessage `json:"metadata"` // canonical
	Artifacts []artifactAt    `json:"artifacts"`
}

// BaselineFiles opens the files of frozen versions.
type BaselineFiles interface {
	Open(id, path string) (io.ReadSeekCloser, int64, error)
}

// DPPCollaborators are the only things the hook may touch.
type DPPCollaborators struct {
	Registry  *registry.Registry
	Passports *dpp.Passports
	Objects   *object.Store
	Baselines BaselineFiles
	Chain     ChainPolicy
	BaseURL   string
}

type dppCreate struct{ DPPCollaborators }

// DPPCreate makes the hook.
func DPPCreate(c DPPCollaborators) *Hook {
	h := &dppCreate{c}
	return &Hook{
		ID: "CAOS.PROD.DPP.CREATE", Version: "1.0.0", Section: "10.1", Title: "DPP Record Creation Hook",
		Trigger: "Model freeze, deployment, or major lifecycle event",
		Owner:   "Production Planning Board", Retry: engine.DefaultRetry(), Timeout: 2 * time.Hour,
		Input: reflect.TypeFor[DPPCreateInput](), Output: reflect.TypeFor[DPPCreateOutput](),
		Read: h.read,
		Gates: []Gate{
			{Name: "event-fits", Action: "The version is frozen and in a state that the event fits, and has no passport for it if there can be one only", Test: h.eventFits},
			{Name: "artifacts-known", Action: "Each artifact is a file of the version's baseline, or a stored object of its project", Test: h.artifactsKnown},
		},
		Flow: h.plan().Flow(),
	}
}

func (h *dppCreate) plan() engine.Plan[dppState] {
	return engine.Plan[dppState]{
		Hook: "CAOS.PROD.DPP.CREATE", Version: "1.0.0", Revision: 2, Older: []int{1}, Schema: 1,
		Begin: func(_ *engine.Run, input json.RawMessage) (*dppState, error) {
			req, err := h.request(input)
			return &dppState{Request: req, Reasons: map[string]any{}}, err
		},
		Steps: []engine.Step[dppState]{
			engine.InTx(1, "Generate DPP record structure", "make-structure", h.makeStructure),
			engine.Call(2, "Collect all relevant metadata", "collect-metadata", h.collectMetadata),
			engine.Call(3, "Calculate content hashes", "hash-artifacts", h.hashArtifacts),
			engine.Call(4, "Create DPP JSON document", "sign-document", h.signDocument),
			engine.Call(5, "Store in DPP repository", "store-files", h.storeFiles),
			engine.InTx(5, "Store in DPP repository", "insert-passport", h.insertPassport),
			engine.InTx(6, "Create blockchain transaction", "chain-transaction", h.chainTransaction),
			engine.InTx(7, "Update DPP index", "update-index", h.updateIndex),
		},
		Output:     func(s *dppState) any { return s.Out },
		Compensate: []engine.Step[dppState]{engine.InTx(1, "Generate DPP record structure", "release-identifier", h.releaseIdentifier)},
	}
}

// request reads the input: what the request alone shows to be wrong is refused here.
func (h *dppCreate) request(input json.RawMessage) (dppRequest, error) {
	var in struct {
		DPPCreateInput
		Metadata json.RawMessage `json:"metadata"` // as it came: numbers stay what they are
	}
	if err := json.Unmarshal(input, &in); err != nil {
		return dppRequest{}, fmt.Errorf("read input: %w", err)
	}
	req := dppRequest{ModelID: in.ModelID, Version: in.ModelVersion, Event: in.LifecycleEvent}
	if err := caos.CheckID("model", "model_id", in.ModelID); err != nil {
		return req, err
	}
	if err := caos.CheckID("version", "model_version", in.ModelVersion); err != nil {
		return req, err
	}
	if !slices.Contains([]dpp.Event{dpp.Freeze, dpp.Deployment, dpp.Certification}, in.LifecycleEvent) {
		return req, caos.Errorf(caos.Invalid, "%.40q is not one of FREEZE, DEPLOYMENT, CERTIFICATION", in.LifecycleEvent).WithField("lifecycle_event")
	}
	var err error
	if req.Metadata, err = dpp.CheckMetadata(in.Metadata); err != nil {
		return req, err
	}
	req.Artifacts, err = parseArtifacts(in.Artifacts, h.BaseURL)
	return req, err
}

// read says what an input names. Of a model that does not exist the gate will say so.
func (h *dppCreate) read(ctx context.Context, input json.RawMessage) (Named, error) {
	req, err := h.request(input)
	if err != nil {
		return Named{}, err
	}
	n := Named{Model: req.ModelID}
	m, err := h.Registry.Model(ctx, req.ModelID)
	if caos.KindOf(err) == caos.NotFound {
		return n, nil
	}
	if err != nil {
		return n, err
	}
	n.Project, n.Classification = m.Project, m.Classification
	// Whether bytes are there is asked outside of the transaction of the gates.
	for i, a := range req.Artifacts {
		if a.Object == "" {
			continue
		}
		if _, err := h.Objects.Stat(a.Object); caos.KindOf(err) == caos.NotFound {
			return n, absentObject(a.Object).WithField(fmt.Sprintf("artifacts[%d]", i))
		} else if err != nil {
			return n, err
		}
	}
	return n, nil
}

// eventStates are the states in which a version may be for an event. A passport for an
// event that did not happen would be a false statement under our signature.
func eventStates(e dpp.Event) []registry.State {
	switch e {
	case dpp.Freeze, dpp.Certification:
		return []registry.State{registry.Frozen, registry.ProductionReady, registry.Released}
	case dpp.Deployment, dpp.Rollback:
		return []registry.State{registry.Released}
	case dpp.Retirement:
		return []registry.State{registry.Retired}
	}
	return nil
}

// fits reads the version, or says why the event does not fit it.
func (h *dppCreate) fits(tx *db.Tx, req dppRequest) (*registry.Version, error) {
	v, err := h.Registry.VersionIn(tx, req.ModelID, req.Version)
	if err != nil {
		return nil, err
	}
	return v, fits(v, req.Event)
}

// fits says why an event does not fit a version, nil if it does.
func fits(v *registry.Version, e dpp.Event) error {
	allowed := eventStates(e)
	switch {
	case v.BaselineID == "":
		return caos.Errorf(caos.Conflict, "%s %s is %s and not frozen", v.ModelID, v.Version, v.State).WithField("model_version").
			WithRule("passport-frozen").WithHint("freeze it first: CAOS.PROD.MODEL.FREEZE issues the passport as well")
	case !slices.Contains(allowed, v.State):
		return caos.Errorf(caos.Conflict, "%s %s is %s; %s fits a version that is %v", v.ModelID, v.Version, v.State, e, allowed).
			WithField("lifecycle_event").WithRule("passport-state")
	}
	return nil
}

func (h *dppCreate) eventFits(tx *db.Tx, q Question) (map[string]any, error) {
	req, err := h.request(q.Input)
	if err != nil {
		return nil, err
	}
	v, err := h.fits(tx, req)
	if v == nil {
		return nil, err
	}
	facts := map[string]any{"model_id": v.ModelID, "model_version": v.Version, "state": v.State, "baseline_id": v.BaselineID, "lifecycle_event": req.Event}
	if err == nil {
		err = h.Passports.CheckClaim(tx, dpp.ClaimRequest{ModelID: req.ModelID, Version: req.Version, Event: req.Event, Ended: engine.Ended})
	}
	return facts, err
}

// makeStructure takes the passport's identifier and fixes what it is about. An execution
// that another hook started passes here what a request passes at its gates.
func (h *dppCreate) makeStructure(tx *db.Tx, r *engine.Run, s *dppState) error {
	req := s.Request
	v, err := h.fits(tx, req)
	if err != nil {
		return err
	}
	c, err := h.Passports.Claim(tx, dpp.ClaimRequest{ModelID: req.ModelID, Version: req.Version, Event: req.Event, ClaimedBy: r.ExecutionID, Ended: engine.Ended})
	if err != nil {
		return err
	}
	s.Draft = dpp.Draft{
		Claim: *c, ModelID: req.ModelID, Version: req.Version, Event: req.Event, Salt: dpp.NewSalt(), Metadata: req.Metadata,
		Project: v.Project, Classification: v.Classification, IssuedBy: r.RequestedBy, ExecutionID: r.ExecutionID,
	}
	r.Record.Resources = append(r.Record.Resources, c.PassportID, req.ModelID)
	return nil
}

// collectMetadata reads what the registry says of the version: the baseline, which does not
// change any more, and the documents that are registered about it now.
func (h *dppCreate) collectMetadata(ctx context.Context, _ *engine.Run, s *dppState) error {
	req := s.Request
	m, err := h.Registry.Model(ctx, req.ModelID)
	if err != nil {
		return err
	}
	v, err := h.Registry.Version(ctx, req.ModelID, req.Version)
	if err != nil {
		return err
	}
	b, err := h.Registry.Baseline(ctx, v.BaselineID)
	if err != nil {
		return err
	}
	s.Draft.Model = dpp.ModelFacts{
		Name: m.Name, Family: m.Family, SafetyLevel: m.SafetyLevel, Regime: m.Regime, Owner: m.Owner, Description: m.Description,
		State: string(v.State), Framework: v.Framework, Supersedes: v.Supersedes, CompatibleWith: v.CompatibleWith,
		SafetyImpact: v.SafetyImpact, CertificationImpact: v.CertificationImpact,
	}
	s.Draft.Baseline = dpp.BaselineFacts{
		BaselineID: b.BaselineID, FreezeID: b.FreezeID, RootDigest: b.RootDigest, StatementDigest: b.StatementDigest, KeyID: b.KeyID,
		Files: int64(len(b.Files)), Bytes: b.Bytes, FrozenAt: b.FrozenAt, FrozenBy: b.FrozenBy, VVReportID: b.VVReportID, VVReportVersion: b.VVReportVersion,
	}
	s.Draft.Files = make([]dpp.FileFacts, len(b.Files))
	for i, f := range b.Files {
		s.Draft.Files[i] = dpp.FileFacts{Path: f.Path, Role: f.Role, Digest: f.Digest, Size: f.Size}
	}
	list, next, err := h.Registry.Documents(ctx, registry.DocumentFilter{ModelID: req.ModelID, ModelVersion: req.Version, Latest: true, Limit: dpp.MaxDocuments}, "")
	if err != nil {
		return err
	}
	if next != "" {
		return caos.Errorf(caos.TooLarge, "more than %d documents are registered about %s %s", dpp.MaxDocuments, req.ModelID, req.Version)
	}
	s.Draft.Documents = []dpp.DocumentFacts{}
	for _, d := range list {
		if above(d.Classification, s.Draft.Classification) {
			continue // whoever reads the passport need not know of it
		}
		s.Draft.Documents = append(s.Draft.Documents, dpp.DocumentFacts{DocumentID: d.DocumentID, Version: d.Version, Kind: d.Kind, Status: string(d.Status), Stated: d.Stated, Digest: d.Digest})
	}
	s.Request.Artifacts, err = h.resolved(req.Artifacts, b, func(digest string) ([]object.Binding, error) { return h.Objects.References(ctx, digest) })
	return err
}

// hashArtifacts reads every artifact to its end and hashes it. What is not what the
// registry recorded ends the execution: no passport is signed over damaged bytes.
func (h *dppCreate) hashArtifacts(ctx context.Context, r *engine.Run, s *dppState) error {
	var done, total int64
	for _, a := range s.Request.Artifacts {
		total += max(a.Size, 0)
	}
	s.Draft.Artifacts = make([]dpp.ArtifactHash, 0, len(s.Request.Artifacts))
	for i, a := range s.Request.Artifacts {
		field := fmt.Sprintf("artifacts[%d]", i)
		f, err := h.open(a)
		if err != nil {
			return caos.AsError(err).WithField(field)
		}
		sum := sha256.New()
		n, err := io.Copy(sum, &progressReader{ctx: ctx, r: f, total: total, run: r, done: done, shown: done})
		if err = errors.Join(err, f.Close()); err != nil {
			return caos.Wrap(caos.Unavailable, err, "%s cannot be read", a.URI).WithField(field)
		}
		done += n
		got := "SHA256:" + hex.EncodeToString(sum.Sum(nil))
		if got != a.Digest {
			return caos.Errorf(caos.Conflict, "%s has the digest %s and not %s", a.URI, got, a.Digest).
				WithField(field).WithRule("artifact-digest").WithHint("the stored file was changed: run caos baseline verify and restore it")
		}
		s.Draft.Artifacts = append(s.Draft.Artifacts, dpp.ArtifactHash{URI: a.URI, Digest: got, Size: n})
	}
	return nil
}

// signDocument makes the credential and the annex. Signing again after a crash gives the
// same bytes.
func (h *dppCreate) signDocument(ctx context.Context, _ *engine.Run, s *dppState) (err error) {
	if s.Doc, err = h.Passports.Sign(ctx, s.Draft); err != nil {
		return err
	}
	// The annex has it now: the state is written at every commit.
	s.Draft.Files, s.Draft.Documents, s.Draft.Artifacts, s.Draft.Metadata = nil, nil, nil, nil
	s.Request.Artifacts, s.Request.Metadata = nil, nil
	return nil
}

func (h *dppCreate) storeFiles(ctx context.Context, r *engine.Run, s *dppState) error {
	s.Stored = r.Now // from before they were stored: the safe side
	return h.Passports.Store(ctx, s.Doc)
}

func (h *dppCreate) insertPassport(tx *db.Tx, r *engine.Run, s *dppState) (err error) {
	if r.Now.Sub(s.Stored) > object.Grace/2 { // a late retry
		return caos.Errorf(caos.Conflict, "the passport's files were stored at %s and may have been swept since", caos.FormatTime(s.Stored)).
			WithHint("submit it again")
	}
	s.Row, err = h.Passports.Insert(tx, s.Draft, s.Doc, dpp.By{Actor: r.RequestedBy, RecordedBy: r.By.ID, Execution: r.ExecutionID, Hook: r.HookID})
	if err != nil {
		return err
	}
	s.Doc = nil // what not everybody may read lies in the object store alone
	s.Out.DPPRecordID, s.Out.DPPURI, s.Out.DPPVerificationURI = &s.Row.PassportID, &s.Row.URI, &s.Row.Page
	return nil
}

// chainTransaction has the passport recorded on the chain, by an execution of its own. Nobody
// waits for it here: what is not confirmed is not called so, and the passport itself says when
// it is.
func (h *dppCreate) chainTransaction(tx *db.Tx, r *engine.Run, s *dppState) error {
	s.Out.BlockchainTxID, s.Out.BlockchainConfirmed = s.Row.ChainTxID, s.Row.ChainTxID != nil
	why := s.Row.ChainReason
	m, err := h.Registry.ModelIn(tx, s.Row.ModelID)
	if err != nil {
		return err
	}
	level := caos.Stricter(s.Row.Classification, m.Classification)
	switch {
	case h.Chain.Available() && h.Chain.Passports && !dpp.Public(level):
		why = "the model is classified " + level + ", and anybody reads the chain: the published checkpoint covers the passport's audit record"
		if err := h.Passports.Unchained(tx, s.Row.PassportID, why); err != nil {
			return err
		}
	case !h.Chain.Available():
		why = "no chain is configured; " + why
	case h.Chain.Passports:
		reason, err := h.Chain.startRecording(tx, r, chain.Subject{Kind: chain.KindPassport, ID: s.Row.PassportID, ModelID: s.Row.ModelID, Version: s.Row.Version,
			ContentHash: s.Row.Digest, Timestamp: s.Draft.At.Unix(), Project: s.Row.Project, Classification: s.Row.Classification})
		if err != nil {
			return err
		}
		why = reason
		if err := h.Passports.Unchained(tx, s.Row.PassportID, why); err != nil {
			return err
		}
	}
	s.Reasons["blockchain_tx_id"] = why
	r.Record.Resources = append(r.Record.Resources, s.Row.PassportID, s.Row.ModelID, s.Row.BaselineID)
	r.Record.Details = map[string]any{"reasons": s.Reasons, "passport_id": s.Row.PassportID}
	return nil
}

func (h *dppCreate) updateIndex(tx *db.Tx, _ *engine.Run, s *dppState) error {
	return h.Passports.Index(tx, s.Row.PassportID)
}

// releaseIdentifier gives the identifier back, so that a passport can be made later.
func (h *dppCreate) releaseIdentifier(tx *db.Tx, r *engine.Run, s *dppState) error {
	return h.Passports.Release(tx, s.Draft.PassportID, r.ExecutionID)
}
