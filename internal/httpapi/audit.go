package httpapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/auth"
	"caos/internal/verify"
)

// AuditRecord is a record of the audit log with all that is needed to check it: the leaf
// commits to the record and the salt, and the proof shows the leaf in the signed tree.
type AuditRecord struct {
	ID         string          `json:"id"`
	Hash       string          `json:"audit_record_hash" doc:"RFC 6962 hash of the leaf"`
	Index      int64           `json:"leaf_index"`
	Generation int64           `json:"log_generation" doc:"1, or higher after a recovery"`
	Time       time.Time       `json:"time"`
	Type       string          `json:"type"`
	Leaf       string          `json:"leaf" doc:"canonical JSON, public"`
	Record     json.RawMessage `json:"record" doc:"canonical JSON, confidential; the commitment is over these very bytes"`
	Salt       string          `json:"salt" doc:"base64; commitment = SHA-256(salt, record)"`
	Proof      string          `json:"proof,omitempty" doc:"c2sp.org/tlog-proof@v1"`
	ProofURI   string          `json:"proof_uri"`
}

type auditList struct {
	Paging
	Type      string    `query:"type" maxLength:"40"`
	Actor     string    `query:"actor" maxLength:"256"`
	Resource  string    `query:"resource" maxLength:"256"`
	Execution string    `query:"execution_id" maxLength:"256"`
	Project   string    `query:"project" maxLength:"256"`
	From      time.Time `query:"from" doc:"inclusive"`
	To        time.Time `query:"to" doc:"exclusive"`
}

type auditPath struct {
	ID string `path:"id" maxLength:"120" example:"AUDIT-20261122T101500.123456Z"`
}

func (a *API) registerAudit() {
	operation(a, get("/v1/audit", may("audit:read")).as("list-audit", "audit", "List audit records, latest first"), a.listAudit)
	operation(a, get("/v1/audit/{id}", may("audit:read")).as("get-audit", "audit", "An audit record with its place in the log and the proof of it"), a.getAudit)
	a.plain(get("/v1/audit/{id}/proof", may("audit:prove")).as("prove-audit", "audit", "The proof that a record is in the log"),
		huma.Operation{
			Parameters: []*huma.Param{param("id", "path", "the record", words())},
			Responses:  binary("200", "c2sp.org/tlog-proof@v1", "text/plain"),
		},
		func(c *call) error {
			s, _, err := a.stored(c, c.path("id"))
			if err != nil {
				return err
			}
			proof, err := a.prove(c.ctx(), s)
			if err != nil {
				return err
			}
			c.set("Content-Type", "text/plain; charset=utf-8")
			_, _ = c.w.Write(proof)
			return nil
		})
	operation(a, get("/v1/trust", anyone()).as("trust", "log", "The public keys of this installation").
		about("What an auditor holds to check packages, proofs and checkpoints offline; fetch it once, over a connection that you trust."),
		func(c *call, _ *none, _ *none) (verify.Trust, error) { return a.Log.Trust(c.ctx()) })
}

// readRecord returns a record as it is stored and as it reads.
func (a *API) readRecord(ctx context.Context, id string) (*auditlog.Stored, auditlog.Record, error) {
	s, err := a.Log.Get(ctx, id)
	if err != nil {
		return nil, auditlog.Record{}, err
	}
	rec, err := auditlog.ParseRecord(s.Record)
	if err != nil {
		return nil, rec, caos.Wrap(caos.Internal, err, "record %s cannot be read", s.ID)
	}
	return s, rec, nil
}

// stored returns a record that the caller may see.
func (a *API) stored(c *call, id string) (*auditlog.Stored, auditlog.Record, error) {
	s, rec, err := a.readRecord(c.ctx(), id)
	if err != nil {
		return nil, rec, c.unknown("audit record", err)
	}
	return s, rec, a.see(c, "audit record", recordResource(s, rec))
}

func recordResource(s *auditlog.Stored, rec auditlog.Record) auth.Resource {
	return auth.Resource{ID: s.ID, Project: rec.Project, Classification: rec.Classification, Owner: causedBy(rec)}
}

// causedBy is whose record it is: who authenticated, not who is said to have acted.
func causedBy(r auditlog.Record) string {
	if r.RecordedBy != "" {
		return r.RecordedBy
	}
	return r.Actor
}

func shownRecord(s *auditlog.Stored) AuditRecord {
	return AuditRecord{
		ID: s.ID, Hash: s.Hash, Index: s.Index, Generation: s.Generation, Time: s.Time, Type: string(s.Type),
		Leaf: string(s.Leaf), Record: json.RawMessage(s.Record), Salt: base64.StdEncoding.EncodeToString(s.Salt[:]),
		ProofURI: "/v1/audit/" + s.ID + "/proof",
	}
}

func (a *API) getAudit(c *call, p *auditPath, _ *none) (AuditRecord, error) {
	s, rec, err := a.stored(c, p.ID)
	if err != nil {
		return AuditRecord{}, err
	}
	c.execution = rec.Execution
	out := shownRecord(s)
	// A log in recovery mode has no checkpoint; the record can be read all the same.
	proof, err := a.prove(c.ctx(), s)
	if kind := caos.KindOf(err); err != nil && kind != caos.Unavailable && kind != caos.NotFound && kind != caos.Conflict {
		return out, err
	}
	out.Proof = string(proof)
	return out, nil
}

func (a *API) listAudit(c *call, p *auditList, _ *none) (Page[AuditRecord], error) {
	page := Page[AuditRecord]{Items: []AuditRecord{}}
	sees, err := a.visibility(c)
	if err != nil {
		return page, err
	}
	f := auditlog.Filter{Type: auditlog.Type(p.Type), Actor: p.Actor, Resource: p.Resource, Execution: p.Execution, Project: p.Project,
		From: p.From, To: p.To, Limit: p.Limit}
	if sees.Owner != "" && f.Actor == "" {
		f.Actor = sees.Owner
	}
	if sees.Scoped && len(sees.Projects) == 1 && f.Project == "" {
		f.Project = sees.Projects[0]
	}
	return page, a.fillAudit(c.ctx(), &page, f, func(rec auditlog.Record) bool {
		return sees.Sees(causedBy(rec), rec.Project, rec.Classification)
	}, p.Cursor)
}

// fillAudit fills a page with what may be seen of one page of the log.
func (a *API) fillAudit(ctx context.Context, page *Page[AuditRecord], f auditlog.Filter, seen func(auditlog.Record) bool, cursor string) error {
	list, err := a.Log.List(ctx, f, cursor)
	if err != nil {
		return err
	}
	page.NextCursor = list.Next
	for _, s := range list.Records {
		rec, err := auditlog.ParseRecord(s.Record)
		if err != nil {
			return caos.Wrap(caos.Internal, err, "record %s cannot be read", s.ID)
		}
		if seen(rec) {
			page.Items = append(page.Items, shownRecord(s))
		}
	}
	return nil
}
