package hook

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
	"caos/internal/verify"
)

const auditHook = "CAOS.PROD.CERT.AUDIT"

func auditInput(change func(m map[string]any)) map[string]any {
	m := map[string]any{"action_type": "CONFIG_CHANGE", "actor_id": "mlo", "timestamp": time.Now().UTC().Format(time.RFC3339),
		"affected_resources": []string{model}, "action_details": map[string]any{"threshold": 0.3, "reason": "retuned"}}
	if change != nil {
		change(m)
	}
	return m
}

func TestCertAudit(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.makePackage()
		var out AuditOutput
		x := w.done("mlo", auditHook, auditInput(nil), &out)
		stored, err := w.log.Get(context.Background(), *out.AuditRecordID)
		if err != nil {
			t.Fatal(err)
		}
		rec := w.record(*out.AuditRecordID)

		t.Run("1 Create immutable audit record", func(t *testing.T) {
			if rec["type"] != "CONFIG_CHANGE" || rec["actor"] != "mlo" || rec["recorded_by"] != "mlo" || rec["execution"] != x.ID {
				t.Errorf("record %v", rec)
			}
			details := rec["details"].(map[string]any)
			if details["action_details"].(map[string]any)["reason"] != "retuned" || details["stated_timestamp"] == nil {
				t.Errorf("details %v", details)
			}
			if actions := rec["actions"].([]any); len(actions) != 6 {
				t.Errorf("the record lists %d actions, not 6", len(actions))
			}
		})
		t.Run("2 Calculate record hash", func(t *testing.T) {
			want := verify.FormatHash(verify.RecordHash(stored.Leaf))
			if *out.AuditRecordHash != want {
				t.Errorf("hash %s, the leaf's is %s", *out.AuditRecordHash, want)
			}
			leaf, err := verify.ParseLeaf(stored.Leaf)
			if err != nil {
				t.Fatal(err)
			}
			if c := verify.Commitment(stored.Salt, stored.Record); leaf.Commitment != "SHA256:"+hex.EncodeToString(c[:]) {
				t.Errorf("leaf %s does not commit to the record", stored.Leaf)
			}
		})
		t.Run("3 Store in audit log", func(t *testing.T) {
			if *out.AuditTrailURI != baseURL+"/v1/audit/"+*out.AuditRecordID {
				t.Errorf("audit_trail_uri %s", *out.AuditTrailURI)
			}
			proof, err := w.log.Prove(context.Background(), *out.AuditRecordID)
			if err != nil {
				t.Fatal(err)
			}
			trust, err := w.log.Trust(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			p, err := verify.ParseProof(proof)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Verify(verify.RecordHash(stored.Leaf), trust); err != nil {
				t.Errorf("the record's proof: %v", err)
			}
			if _, err := p.Verify(verify.RecordHash(append([]byte(" "), stored.Leaf...)), trust); err == nil {
				t.Error("the proof proves another leaf too")
			}
		})
		t.Run("4 Create blockchain entry (if required)", func(t *testing.T) {
			chain := rec["details"].(map[string]any)["blockchain"].(map[string]any)
			if out.BlockchainTxID != nil || chain["required"] != false || chain["reason"] == "" {
				t.Errorf("tx %v, record says %v", out.BlockchainTxID, chain)
			}
			var freeze AuditOutput
			w.done("mlo", auditHook, auditInput(func(m map[string]any) { m["action_type"] = "MODEL_FREEZE" }), &freeze)
			chain = w.record(*freeze.AuditRecordID)["details"].(map[string]any)["blockchain"].(map[string]any)
			if freeze.BlockchainTxID != nil || chain["required"] != true || !strings.Contains(chain["reason"].(string), "no chain is configured") {
				t.Errorf("tx %v, record says %v", freeze.BlockchainTxID, chain)
			}
		})
		t.Run("5 Update audit dashboard", func(t *testing.T) { dashboardEqualsRecount(t, w) })
		t.Run("6 Check for compliance violations", func(t *testing.T) {
			if *out.ComplianceStatus != "COMPLIANT" || len(x.Findings) != 0 {
				t.Errorf("%s: %v", *out.ComplianceStatus, x.Findings)
			}
			for name, change := range map[string]func(m map[string]any){
				"unknown actor":         func(m map[string]any) { m["actor_id"] = "stranger" },
				"unknown resource":      func(m map[string]any) { m["affected_resources"] = []string{model, "NN-XXX-009"} },
				"unknown authorisation": func(m map[string]any) { m["authorization_id"] = "AUTH-17" },
				"other actor":           func(m map[string]any) { m["actor_id"] = "admin" },
				"future":                func(m map[string]any) { m["timestamp"] = "2999-01-01T00:00:00Z" },
			} {
				var got AuditOutput
				x := w.done("mlo", auditHook, auditInput(change), &got)
				if *got.ComplianceStatus != "REVIEW_REQUIRED" || len(x.Findings) == 0 || x.Findings[0].Rule == "" {
					t.Errorf("%s: %s %v", name, *got.ComplianceStatus, x.Findings)
				}
				if dec := w.record(*got.AuditRecordID)["decision"].(map[string]any); dec["effect"] != "REVIEW_REQUIRED" {
					t.Errorf("%s: the record says %v", name, dec)
				}
			}
		})
		if x.Status != engine.Succeeded || len(x.Steps) != 6 {
			t.Errorf("status %s with %d steps", x.Status, len(x.Steps))
		}
	})
}

// A deployment complies only under an authorisation that names what was deployed. A record
// of a decision is no authorisation, since it may have been a refusal.
func TestCertAuditAuthorisation(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.makePackage()
		write := func(typ auditlog.Type, resources ...string) (id string) {
			t.Helper()
			err := d.Update(context.Background(), func(tx *db.Tx) error {
				r, err := w.log.Append(tx, auditlog.Record{Type: typ, Actor: "cora", RecordedBy: "cora", Resources: resources})
				id = r.ID
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return id
		}
		for _, c := range []struct{ name, id, want string }{
			{"none", "", "REVIEW_REQUIRED"},
			{"unknown", "AUTH-17", "REVIEW_REQUIRED"},
			{"of the model", write(auditlog.Authorisation, model), "COMPLIANT"},
			{"of another model", write(auditlog.Authorisation, "NN-ENG-001"), "REVIEW_REQUIRED"},
			{"a decision", write(auditlog.Decided, model), "REVIEW_REQUIRED"},
		} {
			var out AuditOutput
			x := w.done("mlo", auditHook, auditInput(func(m map[string]any) {
				if m["action_type"] = "DEPLOYMENT"; c.id != "" {
					m["authorization_id"] = c.id
				}
			}), &out)
			if *out.ComplianceStatus != c.want {
				t.Errorf("%s: %s %v", c.name, *out.ComplianceStatus, x.Findings)
			}
		}
	})
}

// dashboardEqualsRecount compares the projection with a count of the executions.
func dashboardEqualsRecount(t *testing.T, w *world) {
	t.Helper()
	count := func(q string) map[string]int {
		rows, err := w.db.Query(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		out := map[string]int{}
		for rows.Next() {
			var action, compliance string
			var n int
			if err := rows.Scan(&action, &compliance, &n); err != nil {
				t.Fatal(err)
			}
			out[action+" "+compliance] += n
		}
		return out
	}
	projection := count(`SELECT action_type, compliance, reports FROM audit_dashboard`)
	json := ""
	if w.db.Dialect() == db.PostgreSQL {
		json = "::json"
	}
	recount := count(`SELECT input` + json + `->>'action_type', output` + json + `->>'compliance_status', 1 FROM executions WHERE hook_id='CAOS.PROD.CERT.AUDIT'`)
	if fmt.Sprint(projection) != fmt.Sprint(recount) || len(projection) == 0 {
		t.Errorf("the dashboard says %v, a recount %v", projection, recount)
	}
}

func TestCertAuditRefusals(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		body := func(change func(m map[string]any)) any { return auditInput(change) }
		for name, c := range map[string]struct {
			who, hook string
			input     any
			kind      caos.Kind
			field     string
		}{
			"unknown hook":         {"mlo", "CAOS.PROD.CERT.NOTHING", body(nil), caos.NotFound, "hook_id"},
			"missing role":         {"aud", auditHook, body(nil), caos.Denied, ""},
			"unknown field":        {"mlo", auditHook, body(func(m map[string]any) { m["colour"] = "red" }), caos.Invalid, "colour"},
			"wrong-case key":       {"mlo", auditHook, body(func(m map[string]any) { m["Actor_ID"] = m["actor_id"]; delete(m, "actor_id") }), caos.Invalid, "Actor_ID"},
			"duplicate key":        {"mlo", auditHook, `{"action_type":"CONFIG_CHANGE","action_type":"ROLLBACK"}`, caos.Invalid, "action_type"},
			"missing field":        {"mlo", auditHook, body(func(m map[string]any) { delete(m, "actor_id") }), caos.Invalid, "actor_id"},
			"wrong enum":           {"mlo", auditHook, body(func(m map[string]any) { m["action_type"] = "PARTY" }), caos.Invalid, "action_type"},
			"wrong type":           {"mlo", auditHook, body(func(m map[string]any) { m["affected_resources"] = "NN-FCS-001" }), caos.Invalid, "affected_resources"},
			"no resources":         {"mlo", auditHook, body(func(m map[string]any) { m["affected_resources"] = []string{} }), caos.Invalid, "affected_resources"},
			"malformed resource":   {"mlo", auditHook, body(func(m map[string]any) { m["affected_resources"] = []string{"ok", "../etc"} }), caos.Invalid, "affected_resources[1]"},
			"malformed actor":      {"mlo", auditHook, body(func(m map[string]any) { m["actor_id"] = "a\nb" }), caos.Invalid, "actor_id"},
			"time without zone":    {"mlo", auditHook, body(func(m map[string]any) { m["timestamp"] = "2026-11-22T10:15:00" }), caos.Invalid, "timestamp"},
			"not a time":           {"mlo", auditHook, body(func(m map[string]any) { m["timestamp"] = "yesterday" }), caos.Invalid, "timestamp"},
			"details are a string": {"mlo", auditHook, body(func(m map[string]any) { m["action_details"] = "x" }), caos.Invalid, "action_details"},
		} {
			before := countRecords(t, w)
			_, err := w.submit(c.who, c.hook, c.input)
			e := caos.AsError(err)
			if err == nil || e.Kind != c.kind || (c.field != "" && e.Field != c.field) {
				t.Errorf("%s: %v (kind %s, field %q)", name, err, e.Kind, e.Field)
				continue
			}
			if n := countRecords(t, w) - before; n != 1 {
				t.Errorf("%s: %d audit records, want one of the refusal", name, n)
			}
		}
		list, _, err := w.engine.List(context.Background(), engine.Filter{}, "", 10)
		if err != nil || len(list) != 0 {
			t.Errorf("refusals left %d executions (%v)", len(list), err)
		}
	})
}

func countRecords(t *testing.T, w *world) int {
	t.Helper()
	page, err := w.log.List(context.Background(), auditlog.Filter{}, "")
	if err != nil {
		t.Fatal(err)
	}
	size, _, err := w.log.Root(context.Background())
	if err != nil || page == nil {
		t.Fatal(err)
	}
	return int(size)
}
