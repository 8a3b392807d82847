package hook

import (
	"cmp"
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
	"caos/internal/auditlog"
	"caos/internal/baseline"
	"caos/internal/dataset"
	"caos/internal/db"
	"caos/internal/engine"
	"caos/internal/notify"
	"caos/internal/object"
	"caos/internal/policy"
	"caos/internal/readiness"
	"caos/internal/registry"
	"caos/internal/sign"
)

// CAOS.PROD.MODEL.FREEZE, section 4.1: makes a version of a model that has passed its V&V
// into an immutable, signed baseline.
//
// What speaks against a freeze is decided by one pure function, freezeVerdicts, which the
// steps, the dry run and "caos why" share (model_freeze_gates.go). It is asked twice: when
// the version is claimed, and again in the transaction that freezes it, because copying a
// large model takes long enough for a defect to be opened meanwhile. From that transaction
// on the freeze stands, whatever becomes of the passport, the notices and the planning:
// what is wrong with those is a finding.

const (
	freezeHook   = "CAOS.PROD.MODEL.FREEZE"
	passportHook = "CAOS.PROD.DPP.CREATE"

	// readinessTemplate is the checklist by which production is planned.
	readinessTemplate = readiness.ShippedTemplate

	// passportPatience is how long a freeze waits for its passport.
	passportPatience = 15 * time.Minute
)

// The words of the output's status.
const (
	freezeSuccess = "SUCCESS"
	freezeFailed  = "FAILED"
)

// FreezeInput is the hook's input.
type FreezeInput struct {
	ModelID         string `json:"model_id" jsonschema:"pattern=^NN-[A-Z][A-Z0-9]{0\\,15}-[0-9]{3\\,6}$"`
	ModelVersion    string `json:"model_version" jsonschema:"pattern=^(0|[1-9][0-9]{0\\,5})\\.(0|[1-9][0-9]{0\\,5})\\.(0|[1-9][0-9]{0\\,5})(-[0-9A-Za-z][0-9A-Za-z.-]{0\\,31})?$"`
	VVReportID      string `json:"vv_report_id" jsonschema:"pattern=^[0-9A-Za-z]{2\\,12}(-[0-9A-Za-z]{1\\,12}){2\\,5}$"`
	VVStatus        string `json:"vv_status" jsonschema:"enum=PASSED,enum=FAILED,enum=INCOMPLETE,description=What the registered report says; a freeze needs PASSED."`
	FreezeRequester string `json:"freeze_requester" jsonschema:"pattern=^[a-z][a-z0-9._-]{1\\,63}$"`
	FreezeRationale string `json:"freeze_rationale" jsonschema:"minLength=1,maxLength=4000"`
}

// FreezeOutput is the hook's output. A freeze that FAILED has null ids and may be tried
// again.
type FreezeOutput struct {
	FreezeID        *string `json:"freeze_id"`
	BaselineID      *string `json:"baseline_id"`
	FreezeTimestamp *string `json:"freeze_timestamp" jsonschema:"format=date-time"`
	DPPRecordID     *string `json:"dpp_record_id"`
	Status          *string `json:"status" jsonschema:"enum=SUCCESS,enum=FAILED"`
}

// freezeState is what the hook remembers between commits.
type freezeState struct {
	In         FreezeInput       `json:"in"`
	FreezeID   string            `json:"freeze_id"`
	BaselineID string            `json:"baseline_id"`
	Documents  []gateDocument    `json:"documents"` // whose bytes are hashed again in step 1
	Hashed     map[string]string `json:"hashed"`    // gateDocument.key → digest of the bytes
	Files      []frozenFile      `json:"files"`     // what the gates passed, which is what is copied

	// Data is what those files name that say which data the version comes from, by their path.
	Data map[string][]namedData `json:"data,omitempty"`

	Begun    bool             `json:"begun"` // the baseline store may hold something of ours
	Sealed   *baseline.Sealed `json:"sealed"`
	FrozenAt time.Time        `json:"frozen_at"`
	Frozen   bool             `json:"frozen"` // the registry says so: nothing is undone any more
	Owner    string           `json:"owner"`
	Out      FreezeOutput     `json:"out"`
}

// gateDocument is a document on which a gate rests.
type gateDocument struct {
	Kind    string `json:"kind"`
	ID      string `json:"document_id"`
	Version string `json:"version"`
	Digest  string `json:"digest"` // as registered
	Size    int64  `json:"size"`
}

func (d gateDocument) key() string { return d.ID + "@" + d.Version }

// frozenFile is an artifact as the gates saw it.
type frozenFile struct {
	Path   string `json:"path"`
	Role   string `json:"role"`
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
}

// People is what the hook needs to know about accounts.
type People interface {
	// KnownPerson reports whether id is an enabled person.
	KnownPerson(tx *db.Tx, id string) (bool, error)

	// WithRole lists the people who hold a role and may know of a project and classification.
	WithRole(tx *db.Tx, role, project, classification string) ([]string, error)
}

// modelFreeze holds the only things the hook may touch.
type modelFreeze struct {
	registry  *registry.Registry
	baselines *baseline.Store
	readiness *readiness.Readiness // checklists alone
	datasets  *dataset.Datasets    // lineage alone; nil: none is kept
	objects   *object.Store
	keys      *sign.Keys
	notifier  *notify.Notifier
	people    People
	policies  *policy.Set
	baseURL   string
}

// ModelFreeze makes the hook.
func ModelFreeze(c Collaborators) *Hook {
	h := newModelFreeze(c)
	return &Hook{
		ID: freezeHook, Version: "1.0.0", Section: "4.1", Title: "Model Freeze Hook", Trigger: "Model V&V completion and readiness for production",
		Owner: "Production Planning Board", Retry: engine.DefaultRetry(), Timeout: 6 * time.Hour,
		Input: reflect.TypeFor[FreezeInput](), Output: reflect.TypeFor[FreezeOutput](),
		Read: h.read,
		Gates: []Gate{
			{Name: "model-version", Action: "The model and this version of it are registered", Test: h.versionKnown},
			{Name: "version-open", Action: "The version is neither frozen nor being frozen", Test: h.versionOpen},
			{Name: "requester", Action: "The requester is a person of this installation", Test: h.requesterKnown},
			{Name: "vv-report", Action: "The V&V report is registered, and says what vv_status says", Test: h.reportKnown},
		},
		Explain: h.explain, Ask: h.ask,
		Flow: h.plan().Flow(),
	}
}

func newModelFreeze(c Collaborators) *modelFreeze {
	return &modelFreeze{registry: c.Registry, baselines: c.Baselines, readiness: c.Readiness, datasets: c.Datasets, objects: c.Objects, keys: c.Keys, notifier: c.Notifier, people: c.People,
		policies: c.Policies, baseURL: c.BaseURL}
}

func (h *modelFreeze) plan() engine.Plan[freezeState] {
	return engine.Plan[freezeState]{
		Hook: freezeHook, Version: "1.0.0", Revision: 1, Schema: 1,
		Begin: func(_ *engine.Run, input json.RawMessage) (*freezeState, error) {
			in, err := inputOf[FreezeInput](input)
			return &freezeState{In: in, FreezeID: "FREEZE-" + in.ModelID + "-" + in.ModelVersion,
				BaselineID: "BL-" + caos.ShortID(in.ModelID) + "-" + in.ModelVersion, Hashed: map[string]string{}}, err
		},
		Steps: []engine.Step[freezeState]{
			engine.InTx(1, "Validate V&V completion status", "claim-version", h.claimVersion),
			engine.InTx(1, "Validate V&V completion status", "check-gates", h.checkGates),
			engine.Call(1, "Validate V&V completion status", "hash-documents", h.hashDocuments),
			engine.Call(2, "Create immutable model baseline", "write-baseline", h.writeBaseline).Before(h.beginBaseline),
			engine.InTx(3, "Generate freeze record with timestamp", "freeze-record", h.freezeRecord),
			engine.InTx(4, "Update model registry", "update-registry", h.updateRegistry),
			engine.Wait(5, "Trigger DPP record creation", "create-passport", h.startPassport, h.passportMade),
			engine.InTx(6, "Notify stakeholders", "notify-stakeholders", h.notifyStakeholders),
			engine.InTx(7, "Initiate production planning workflow", "plan-production", h.planProduction),
		},
		Output: func(s *freezeState) any { return s.Out },
		// Also of an execution that is cancelled. Once the version is frozen there is nothing
		// left to undo.
		Compensate: []engine.Step[freezeState]{
			engine.Each("half-made", (*freezeState).halfMade,
				engine.Call(2, "Create immutable model baseline", "discard-baseline", h.discardBaseline).Before(h.withdrawRecord).Retry(discardRetry())),
			engine.InTx(4, "Update model registry", "release-version", h.releaseVersion),
		},
	}
}

// inputOf reads a hook's input.
func inputOf[T any](input json.RawMessage) (T, error) {
	var in T
	if err := json.Unmarshal(input, &in); err != nil {
		return in, fmt.Errorf("read input: %w", err)
	}
	return in, nil
}

// read says what an input names. The project is the model's, and the classification that of
// the V&V report if it is higher; of what does not exist the gates will say so.
func (h *modelFreeze) read(ctx context.Context, input json.RawMessage) (Named, error) {
	in, err := inputOf[FreezeInput](input)
	if err != nil {
		return Named{}, err
	}
	n := Named{Actor: in.FreezeRequester, Model: in.ModelID}
	if h.registry == nil {
		return n, caos.Errorf(caos.Unavailable, "this installation has no model registry")
	}
	m, err := h.registry.Model(ctx, in.ModelID)
	if caos.KindOf(err) == caos.NotFound {
		return n, nil
	}
	if err != nil {
		return n, err
	}
	n.Project, n.Classification, n.Owner = m.Project, m.Classification, m.Owner
	report, err := h.registry.Document(ctx, in.VVReportID)
	if k := caos.KindOf(err); k == caos.NotFound || k == caos.Invalid {
		return n, nil
	}
	if err == nil && report.ModelID == in.ModelID { // what it says is told in findings
		n.InputClassification = caos.Stricter(n.Classification, report.Classification)
	}
	return n, err
}

// above reports whether the classification a is higher than b; "" is Internal.
func above(a, b string) bool {
	return caos.Sensitivity(a) > caos.Sensitivity(b)
}

func (h *modelFreeze) by(r *engine.Run) registry.By {
	return registry.By{Actor: r.RequestedBy, RecordedBy: r.By.ID, Execution: r.ExecutionID, Hook: r.HookID}
}

// claimVersion takes the version for this execution: from here on its artifacts stand still
// and nobody else freezes it.
func (h *modelFreeze) claimVersion(tx *db.Tx, r *engine.Run, s *freezeState) error {
	if err := h.releaseAbandoned(tx, s.In, h.by(r)); err != nil {
		return err
	}
	return h.registry.ClaimFreeze(tx, s.In.ModelID, s.In.ModelVersion, r.ExecutionID)
}

// releaseAbandoned gives back a claim whose execution ended without doing so, as one does
// that was cancelled while its plan was in no binary.
func (h *modelFreeze) releaseAbandoned(tx *db.Tx, in FreezeInput, _ registry.By) error {
	v, err := h.registry.VersionIn(tx, in.ModelID, in.ModelVersion)
	if err != nil || v.Freezing == "" {
		return err
	}
	ended, err := engine.Ended(tx, v.Freezing)
	if err != nil || !ended {
		return err
	}
	return h.registry.ReleaseFreeze(tx, in.ModelID, in.ModelVersion, v.Freezing)
}

// checkGates asks all gates and notes what the version is made of.
func (h *modelFreeze) checkGates(tx *db.Tx, r *engine.Run, s *freezeState) error {
	facts, err := h.registry.FreezeFacts(tx, s.In.ModelID, s.In.ModelVersion, s.In.VVReportID)
	if err != nil {
		return err
	}
	if err := rejected(freezeVerdicts(facts, freezeQuery{in: s.In})); err != nil {
		return err
	}
	s.Owner = facts.Model.Owner
	s.Documents, s.Files = gateDocuments(facts), filesOf(facts)
	r.Record.Resources = append([]string{s.In.ModelID, s.In.VVReportID}, documentIDs(s.Documents)...)
	return nil
}

// hashDocuments reads the bytes of the documents on which the gates rest: a document that
// was changed on disk after it was registered, or is gone, passes nothing.
func (h *modelFreeze) hashDocuments(ctx context.Context, r *engine.Run, s *freezeState) error {
	hashed, err := h.hash(ctx, s.Documents)
	if err != nil {
		return err
	}
	s.Hashed = hashed
	return rejected([]Verdict{documentsUnchanged(s.Documents, hashed)})
}

// hash returns the digests of the documents' bytes, "" for one that is not there or not
// readable as what was stored.
func (h *modelFreeze) hash(ctx context.Context, documents []gateDocument) (map[string]string, error) {
	out := map[string]string{}
	for _, d := range documents {
		f, _, err := h.objects.Open(d.Digest)
		var known *caos.Error
		if errors.As(err, &known) && known.Kind != caos.Unavailable {
			out[d.key()] = ""
			continue
		}
		if err != nil {
			return nil, err
		}
		sum := sha256.New()
		_, err = io.Copy(sum, readerUntil{ctx, f})
		_ = f.Close() // was only read
		if err != nil {
			return nil, caos.Wrap(caos.Unavailable, err, "document %s cannot be read", d.ID)
		}
		out[d.key()] = "SHA256:" + hex.EncodeToString(sum.Sum(nil))
	}
	return out, nil
}

// readerUntil stops when ctx ends.
type readerUntil struct {
	ctx context.Context
	r   io.Reader
}

func (u readerUntil) Read(b []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(b)
}

// beginBaseline notes, before anything is written, that there may be something to discard.
func (h *modelFreeze) beginBaseline(_ *db.Tx, r *engine.Run, s *freezeState) error {
	s.Begun = true
	r.Record.Resources = []string{s.In.ModelID, s.BaselineID}
	return nil
}

// writeBaseline copies the artifacts from the object store into the baseline store, hashing
// what it writes, and signs the manifest. A repetition after a crash is the same Write.
func (h *modelFreeze) writeBaseline(ctx context.Context, r *engine.Run, s *freezeState) error {
	signer, err := h.keys.Signer(sign.Baseline)
	if err != nil {
		return err
	}
	files := make([]baseline.Source, len(s.Files))
	for i, f := range s.Files {
		files[i] = baseline.Source{Path: f.Path, Digest: f.Digest, Size: f.Size, Open: func() (io.ReadCloser, error) { return h.stored(f) }}
	}
	if err := h.clearAway(ctx, s, r.ExecutionID); err != nil {
		return err
	}
	shown := int64(0)
	s.Sealed, err = h.baselines.Write(ctx, baseline.Draft{ID: s.BaselineID, Owner: r.ExecutionID, Files: files, Signer: signer}, func(done, total int64) {
		if done-shown >= progressStep || done == total {
			shown = done
			r.Report(engine.Progress{Done: done, Total: total, Unit: "bytes", Message: "copied"})
		}
	})
	var known *caos.Error
	if errors.As(err, &known) && !known.Kind.Retryable() {
		return engine.Reject(caos.Finding{Rule: "artifacts-intact", Subject: cmp.Or(known.Field, s.BaselineID), Message: known.Message,
			Remedy: cmp.Or(known.Hint, "attach the artifact again from its source; the stored bytes are not the ones that were attached")})
	}
	if err == nil {
		s.Data = h.dataNamed(ctx, s.Files)
	}
	return err
}

// stored opens the bytes of an artifact. That they are missing or cut short will not pass by
// trying again.
func (h *modelFreeze) stored(f frozenFile) (io.ReadCloser, error) {
	r, _, err := h.objects.Open(f.Digest)
	var known *caos.Error
	if errors.As(err, &known) && (known.Kind == caos.NotFound || known.Kind == caos.Internal) {
		return nil, caos.Wrap(caos.Invalid, err, "the stored bytes of the artifact %s (%s) are missing or damaged", f.Path, f.Digest).WithField(f.Path).
			WithHint("restore the object store from a backup, or attach the file again")
	}
	return r, err
}

// clearAway discards what an earlier freeze of the version could not clear up behind itself.
// While this one has the version claimed, no row can speak of that. A node that slept may be
// late: its execution has ended elsewhere since, and what lies there may be what another one
// froze. The owner is read before the claim, so that it is an earlier one's if the claim
// still holds, and nobody else's is discarded whatever happens next.
func (h *modelFreeze) clearAway(ctx context.Context, s *freezeState, execution string) error {
	owner, err := h.baselines.Owner(s.BaselineID)
	if err != nil {
		return err
	}
	v, err := h.registry.Version(ctx, s.In.ModelID, s.In.ModelVersion)
	if err != nil {
		return err
	}
	if v.Freezing != execution {
		return caos.Errorf(caos.Conflict, "%s is not claimed by %s any more", registry.VersionKey(v.ModelID, v.Version), execution)
	}
	if owner == "" || owner == execution {
		return nil
	}
	return h.baselines.Discard(ctx, s.BaselineID, owner)
}

// freezeRecord gives the freeze its moment and shapes this commit's audit record, which is
// the freeze record.
func (h *modelFreeze) freezeRecord(_ *db.Tx, r *engine.Run, s *freezeState) error {
	s.FrozenAt = r.Now.UTC().Truncate(time.Microsecond)
	rationale := sha256.Sum256([]byte(s.In.FreezeRationale))
	details := map[string]any{
		"freeze_id": s.FreezeID, "baseline_id": s.BaselineID, "freeze_timestamp": caos.FormatTime(s.FrozenAt),
		"model_id": s.In.ModelID, "model_version": s.In.ModelVersion, "vv_report_id": s.In.VVReportID,
		"root_digest": s.Sealed.Root, "statement_digest": s.Sealed.StatementDigest, "bundle_digest": s.Sealed.BundleDigest, "key_id": s.Sealed.KeyID,
		"files": len(s.Sealed.Files), "bytes": s.Sealed.Bytes, "documents": s.Documents,
		"rationale_sha256": hex.EncodeToString(rationale[:]),
	}
	if len(s.Files) <= maxRecordedFiles { // of more, the root digest speaks
		details["artifacts"] = s.Files
	}
	r.Record.Details = details
	return nil
}

// maxRecordedFiles bounds what of a baseline's files goes into the freeze record.
const maxRecordedFiles = 500

// updateRegistry freezes the version, if everything that step 1 found still holds: this is
// the transaction that decides.
func (h *modelFreeze) updateRegistry(tx *db.Tx, r *engine.Run, s *freezeState) error {
	facts, err := h.registry.FreezeFacts(tx, s.In.ModelID, s.In.ModelVersion, s.In.VVReportID)
	if err != nil {
		return err
	}
	q := freezeQuery{in: s.In, documents: s.Documents, hashed: s.Hashed, files: s.Files}
	if err := rejected(freezeVerdicts(facts, q)); err != nil {
		return err
	}
	v := facts.Version
	b := registry.Baseline{BaselineID: s.BaselineID, ModelID: s.In.ModelID, Version: s.In.ModelVersion, FreezeID: s.FreezeID, ExecutionID: r.ExecutionID,
		RootDigest: s.Sealed.Root, StatementDigest: s.Sealed.StatementDigest, BundleDigest: s.Sealed.BundleDigest, KeyID: s.Sealed.KeyID,
		Bytes: s.Sealed.Bytes, FrozenAt: s.FrozenAt, FrozenBy: r.RequestedBy, VVReportID: s.In.VVReportID, VVReportVersion: facts.VVReport.Version,
		Supersedes: v.Supersedes, CompatibleWith: v.CompatibleWith, SafetyImpact: v.SafetyImpact, CertificationImpact: v.CertificationImpact,
		Project: facts.Model.Project, Classification: facts.Model.Classification}
	for _, f := range s.Files {
		b.Files = append(b.Files, registry.BaselineFile{Path: f.Path, Role: f.Role, Digest: f.Digest, Size: f.Size})
	}
	if err := h.registry.Freeze(tx, b, h.by(r)); err != nil {
		return err
	}
	s.Frozen = true
	r.Record.Type = auditlog.ModelFreeze
	r.Record.Resources = slices.Concat([]string{s.In.ModelID, s.FreezeID, s.BaselineID, s.In.VVReportID}, documentIDs(s.Documents))
	at := caos.FormatTime(s.FrozenAt)
	success := freezeSuccess
	s.Out = FreezeOutput{FreezeID: &s.FreezeID, BaselineID: &s.BaselineID, FreezeTimestamp: &at, Status: &success}
	return h.linkLineage(tx, r, s, facts.Model)
}

// halfMade lists the baseline that compensation has to discard, if any.
func (s *freezeState) halfMade() []string {
	if !s.Begun || s.Frozen {
		return nil
	}
	return []string{s.BaselineID}
}

// withdrawRecord takes back the freeze record that an earlier step of the same commit may
// have shaped: what is recorded is a freeze that failed.
func (h *modelFreeze) withdrawRecord(_ *db.Tx, r *engine.Run, s *freezeState) error {
	r.Record.Type, r.Record.Resources, r.Record.Details = auditlog.Execution, []string{s.In.ModelID}, nil
	return nil
}

// discardRetry outlives a node that has not heard yet that its execution goes on elsewhere,
// and is still writing the baseline.
func discardRetry() engine.RetryPolicy {
	return engine.RetryPolicy{MaxAttempts: 6, InitialIntervalMS: 500, MaxIntervalMS: 8000, Factor: 2, Jitter: 0.2}
}

// discardBaseline removes what this execution has of the baseline. It must not keep the
// version claimed for ever: what cannot be removed, in all attempts, is a finding, and the
// next freeze of the version writes over it.
func (h *modelFreeze) discardBaseline(ctx context.Context, r *engine.Run, s *freezeState) error {
	err := h.baselines.Discard(ctx, s.BaselineID, r.ExecutionID)
	if err == nil || ctx.Err() != nil || caos.KindOf(err) == caos.Unavailable && r.Attempt < discardRetry().MaxAttempts {
		return err
	}
	r.Find(caos.Finding{Rule: "baseline-left", Subject: s.BaselineID, Message: "what was written of the baseline could not be removed: " + caos.AsError(err).Message,
		Remedy: "see the server's log; the next freeze of the version replaces it"})
	return nil
}

// releaseVersion gives the version back and says that the freeze failed. One that is frozen
// stays so, whoever cancels what follows.
func (h *modelFreeze) releaseVersion(tx *db.Tx, r *engine.Run, s *freezeState) error {
	if s.Frozen {
		r.Find(caos.Finding{Rule: "freeze-stands", Subject: s.FreezeID, Message: "the version is frozen and stays so; not all that follows a freeze was done",
			Remedy: fmt.Sprintf("look at the steps of the execution; passport: caos passport list --model %s, planning: caos industrialisation update %s", s.In.ModelID, registry.VersionKey(s.In.ModelID, s.In.ModelVersion))})
		return nil
	}
	failed := freezeFailed
	s.Out = FreezeOutput{Status: &failed}
	return h.registry.ReleaseFreeze(tx, s.In.ModelID, s.In.ModelVersion, r.ExecutionID)
}
