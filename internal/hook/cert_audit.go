package hook

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/chain"
	"caos/internal/db"
	"caos/internal/engine"
	"caos/internal/policy"
)

// CAOS.PROD.CERT.AUDIT, section 9.2: records that something was done to production.
//
// It completes in the submitting request and in one commit, and it loses no report: what
// CAOS does not know (an actor, a resource, an authorisation) is recorded as stated,
// beside who sent the report and the server's own time, and answered REVIEW_REQUIRED.

// AuditInput is the hook's input.
type AuditInput struct {
	ActionType        string         `json:"action_type" jsonschema:"enum=MODEL_FREEZE,enum=DEPLOYMENT,enum=ROLLBACK,enum=CONFIG_CHANGE"`
	ActorID           string         `json:"actor_id" jsonschema:"pattern=^[A-Za-z0-9][A-Za-z0-9._:@/+-]{0\\,127}$,description=Who did it; testimony that need not be a user of this installation."`
	Timestamp         string         `json:"timestamp" jsonschema:"format=date-time,maxLength=40,description=When it was done; the record's own time is the server's."`
	AffectedResources []string       `json:"affected_resources" jsonschema:"minItems=1,maxItems=100,uniqueItems=true"`
	ActionDetails     map[string]any `json:"action_details"`
	AuthorizationID   string         `json:"authorization_id,omitempty" jsonschema:"pattern=^[A-Za-z0-9][A-Za-z0-9._:-]{0\\,127}$"`
}

// AuditOutput is the hook's output.
type AuditOutput struct {
	AuditRecordID    *string `json:"audit_record_id"`
	AuditRecordHash  *string `json:"audit_record_hash" jsonschema:"pattern=^SHA256:[0-9a-f]{64}$"`
	BlockchainTxID   *string `json:"blockchain_tx_id"`
	ComplianceStatus *string `json:"compliance_status" jsonschema:"enum=COMPLIANT,enum=REVIEW_REQUIRED"`
	AuditTrailURI    *string `json:"audit_trail_uri"`
}

// auditState is what the hook remembers between commits (it needs one).
type auditState struct {
	In  AuditInput  `json:"in"`
	Out AuditOutput `json:"out"`
}

// Directory answers what CAOS knows about the things an audit report names.
type Directory interface {
	// KnownActor reports whether id is an account and whether it is enabled.
	KnownActor(tx *db.Tx, id string) (known, enabled bool, err error)

	// UnknownResources returns those of ids that CAOS does not know.
	UnknownResources(tx *db.Tx, ids []string) ([]string, error)

	// Authorization reports whether an authorisation is known, covers the action on the
	// resources, and by whom it was given.
	Authorization(tx *db.Tx, id, action string, resources []string) (known, matches bool, by []string, err error)

	// MayActFor reports whether p may send reports in the name of others.
	MayActFor(tx *db.Tx, p caos.Principal, hookID string) bool
}

// certAudit holds the only things the hook may touch.
type certAudit struct {
	directory Directory
	policies  *policy.Set
	chain     ChainPolicy
	baseURL   string
}

// CertAudit makes the hook.
func CertAudit(d Directory, p *policy.Set, chain ChainPolicy, baseURL string) *Hook {
	h := &certAudit{directory: d, policies: p, chain: chain, baseURL: baseURL}
	return &Hook{
		ID: "CAOS.PROD.CERT.AUDIT", Version: "1.0.0", Section: "9.2", Title: "Audit Trail Hook", Trigger: "Any production-impacting action",
		Owner: "Production Planning Board", Retry: engine.DefaultRetry(), Timeout: 30 * time.Second,
		Input: reflect.TypeFor[AuditInput](), Output: reflect.TypeFor[AuditOutput](),
		Read: func(_ context.Context, input json.RawMessage) (Named, error) {
			var in AuditInput
			err := json.Unmarshal(input, &in)
			return Named{Actor: in.ActorID, Model: firstModel(in.AffectedResources), Reports: true}, err
		},
		Gates: []Gate{
			{Name: "resource-ids", Action: "Every affected resource has a well-formed id", Test: h.resourceIDs},
			{Name: "timestamp", Action: "The stated time is a moment with a time zone", Test: h.timestamp},
		},
		Flow: h.plan().Flow(),
	}
}

func (h *certAudit) plan() engine.Plan[auditState] {
	return engine.Plan[auditState]{
		Hook: "CAOS.PROD.CERT.AUDIT", Version: "1.0.0", Revision: 2, Older: []int{1}, Schema: 1, AtOnce: true,
		Begin: func(_ *engine.Run, input json.RawMessage) (*auditState, error) {
			s := new(auditState)
			return s, json.Unmarshal(input, &s.In)
		},
		Steps: []engine.Step[auditState]{
			engine.InTx(1, "Create immutable audit record", "create-record", h.createRecord),
			engine.InTx(2, "Calculate record hash", "hash-record", h.hashRecord),
			engine.InTx(3, "Store in audit log", "store-record", h.storeRecord),
			engine.InTx(4, "Create blockchain entry (if required)", "chain-entry", h.chainEntry),
			engine.InTx(5, "Update audit dashboard", "update-dashboard", h.updateDashboard),
			engine.InTx(6, "Check for compliance violations", "check-compliance", h.checkCompliance),
		},
		Output: func(s *auditState) any { return s.Out },
	}
}

func (h *certAudit) resourceIDs(_ *db.Tx, q Question) (map[string]any, error) {
	var in AuditInput
	if err := json.Unmarshal(q.Input, &in); err != nil {
		return nil, err
	}
	for i, id := range in.AffectedResources {
		if err := caos.CheckID("resource", indexed("affected_resources", i), id); err != nil {
			return nil, err
		}
	}
	return map[string]any{"affected_resources": len(in.AffectedResources)}, nil
}

func (h *certAudit) timestamp(_ *db.Tx, q Question) (map[string]any, error) {
	var in AuditInput
	if err := json.Unmarshal(q.Input, &in); err != nil {
		return nil, err
	}
	if _, err := time.Parse(time.RFC3339, in.Timestamp); err != nil {
		return nil, caos.Errorf(caos.Invalid, "%q is not a moment with a time zone", clip(in.Timestamp)).WithField("timestamp").
			WithHint("write it as 2026-11-22T10:15:00Z")
	}
	return map[string]any{"timestamp": in.Timestamp}, nil
}

// createRecord shapes the audit record of this very commit: the report is the record.
func (h *certAudit) createRecord(_ *db.Tx, r *engine.Run, s *auditState) error {
	rec := r.Record
	rec.Type = auditlog.Type(s.In.ActionType)
	rec.Actor, rec.RecordedBy = s.In.ActorID, r.By.ID
	rec.Resources, rec.Authorization = s.In.AffectedResources, s.In.AuthorizationID
	rec.Details = map[string]any{"stated_timestamp": s.In.Timestamp, "action_details": s.In.ActionDetails}
	s.Out.AuditRecordID = &r.RecordID
	return nil
}

// hashRecord takes the RFC 6962 leaf hash once the record's bytes are fixed.
func (h *certAudit) hashRecord(_ *db.Tx, r *engine.Run, s *auditState) error {
	r.OnRecorded(func(receipt auditlog.Receipt) { s.Out.AuditRecordHash = &receipt.Hash })
	return nil
}

// storeRecord names where the record can be read: the engine appends it to the log in
// this commit.
func (h *certAudit) storeRecord(_ *db.Tx, r *engine.Run, s *auditState) error {
	s.Out.AuditTrailURI = optional(h.baseURL + "/v1/audit/" + r.RecordID)
	return nil
}

// chainEntry decides whether the record needs a transaction of its own. What goes there is
// what the log's leaf tells anybody: the record's id, its type and the leaf's hash. The id of
// the transaction is null until it is mined; why there is none is in the record.
func (h *certAudit) chainEntry(tx *db.Tx, r *engine.Run, s *auditState) error {
	required := slices.Contains(h.chain.Required, s.In.ActionType)
	reason := "not required for this action type: the published checkpoint covers the record"
	switch {
	case required && !h.chain.Available():
		reason = "no chain is configured: the published checkpoint covers the record"
	case required:
		reason = "a transaction is submitted after this commit"
		r.OnRecorded(func(receipt auditlog.Receipt) {
			// It can only fail with the transaction itself, which then keeps nothing.
			_ = h.chain.Chain.Want(tx, chain.Subject{Kind: chain.KindAudit, ID: r.RecordID, ModelID: r.RecordID, Version: s.In.ActionType,
				ContentHash: receipt.Hash, Timestamp: r.Now.Unix(), Project: r.Project})
		})
	}
	r.Record.Details.(map[string]any)["blockchain"] = map[string]any{"required": required, "tx_id": nil, "reason": reason}
	return nil
}

// updateDashboard counts the report once its compliance is known.
func (h *certAudit) updateDashboard(tx *db.Tx, r *engine.Run, s *auditState) error {
	day := r.Now.Format(time.DateOnly)
	r.OnRecorded(func(auditlog.Receipt) {
		tx.Exec(`INSERT INTO audit_dashboard (project, day, action_type, compliance, reports) VALUES ($1,$2,$3,$4,1)
 ON CONFLICT (project, day, action_type, compliance) DO UPDATE SET reports=audit_dashboard.reports+1`, r.Project, day, s.In.ActionType, *s.Out.ComplianceStatus)
	})
	return nil
}

// checkCompliance asks the compliance policies; what they find is part of the record.
func (h *certAudit) checkCompliance(tx *db.Tx, r *engine.Run, s *auditState) error {
	f := policy.Facts{ActionType: s.In.ActionType, Actor: s.In.ActorID, Resources: s.In.AffectedResources,
		Authorization: s.In.AuthorizationID, OnBehalf: s.In.ActorID != r.By.ID}
	stated, err := time.Parse(time.RFC3339, s.In.Timestamp)
	if err != nil {
		return caos.Wrap(caos.Invalid, err, "the stated time cannot be read").WithField("timestamp")
	}
	f.AgeSeconds = int64(r.Now.Sub(stated) / time.Second)
	if f.ActorKnown, f.ActorEnabled, err = h.directory.KnownActor(tx, f.Actor); err != nil {
		return err
	}
	f.OnBehalfPermitted = f.OnBehalf && h.directory.MayActFor(tx, r.By, r.HookID)
	if f.ResourcesUnknown, err = h.directory.UnknownResources(tx, f.Resources); err != nil {
		return err
	}
	if f.Authorization != "" {
		f.AuthorizationKnown, f.AuthorizationMatches, f.AuthorisedBy, err = h.directory.Authorization(tx, f.Authorization, f.ActionType, f.Resources)
		if err != nil {
			return err
		}
	}
	status, findings := h.policies.Compliance(f)
	s.Out.ComplianceStatus = &status
	d := &auditlog.Decision{Effect: status}
	for _, x := range findings {
		r.Find(x)
		d.Policies, d.Reasons = append(d.Policies, x.Rule), append(d.Reasons, x.Message)
	}
	r.Record.Decision = d
	return nil
}

// Reports is a line of the audit dashboard: how many reports a day brought.
type Reports struct {
	Day        string `json:"day"` // UTC
	ActionType string `json:"action_type"`
	Compliance string `json:"compliance_status"`
	Reports    int64  `json:"reports"`
}

// AuditDashboard reads the dashboard of audit reports, the newest day first, of at most 90
// days. sees says whose projects the reader may know of.
func (s *Service) AuditDashboard(ctx context.Context, sees func(project string) bool) ([]Reports, error) {
	rows, err := s.db.Query(ctx, `SELECT project, day, action_type, compliance, reports FROM audit_dashboard WHERE day >= $1
 ORDER BY day DESC, action_type, compliance, project`, s.now().UTC().AddDate(0, 0, -90).Format(time.DateOnly))
	if err != nil {
		return nil, fmt.Errorf("audit dashboard: %w", err)
	}
	defer rows.Close()
	out := []Reports{}
	for rows.Next() {
		var r Reports
		var project string
		if err := rows.Scan(&project, &r.Day, &r.ActionType, &r.Compliance, &r.Reports); err != nil {
			return nil, err
		}
		if !sees(project) {
			continue
		}
		if n := len(out); n > 0 && out[n-1].Day == r.Day && out[n-1].ActionType == r.ActionType && out[n-1].Compliance == r.Compliance {
			out[n-1].Reports += r.Reports
			continue
		}
		out = append(out, r)
	}
	return out, rows.Err()
}
