package hook

import (
	"context"
	"strings"
	"testing"

	"caos/internal/chain"
	"caos/internal/db"
)

// confirmedSubject waits until something of ours is on the chain and returns it.
func (w *world) confirmedSubject(kind chain.SubjectKind, id string) chain.Subject {
	w.t.Helper()
	var s *chain.Subject
	w.eventually(string(kind)+" "+id+" is recorded", func() (there bool) {
		var err error
		s, err = w.chain.SubjectOf(context.Background(), kind, id)
		w.ok(err)
		return s != nil && s.State == chain.SubjectConfirmed
	})
	return *s
}

// What policy wants on the chain gets there, by executions of their own for which nobody
// waits: passports and evidence as children, audit reports after their commit. What is not
// confirmed is not called so.
func TestRecordedOnChain(t *testing.T) {
	t.Parallel()
	w := chainWorld(t, db.SQLite, func(n *testNetwork) { n.passports, n.evidence = true, []string{"TEST_RESULT"} })
	n, ctx := w.dirs.net, context.Background()

	t.Run("a passport, before the registry can be called", func(t *testing.T) {
		w.sealed(model, "2.1.0", "w=1")
		var out DPPCreateOutput
		x := w.done("mlo", dppHook, dppInput(nil), &out)
		row, err := w.dpp.Get(ctx, *out.DPPRecordID)
		w.ok(err)
		if out.BlockchainConfirmed || out.BlockchainTxID != nil || row.ChainTxID != nil || len(x.Children) != 0 || !strings.Contains(row.ChainReason, "as soon as") {
			t.Errorf("%+v %v %s", out, x.Children, row.ChainReason)
		}
		w.registerRegistry(nil)
		s := w.confirmedSubject(chain.KindPassport, row.PassportID)
		w.eventually("the passport says so", func() bool {
			row, err = w.dpp.Get(ctx, row.PassportID)
			return err == nil && row.ChainTxID != nil
		})
		if row.ChainTxID == nil || *row.ChainTxID != s.Hash || n.recordedOn(t, model) != 1 {
			t.Errorf("%+v", row)
		}
	})
	t.Run("a passport", func(t *testing.T) {
		w.sealed("NN-ENG-001", "1.0.0", "w=2")
		var out DPPCreateOutput
		x := w.done("mlo", dppHook, dppInput(func(m map[string]any) {
			m["model_id"], m["model_version"], m["artifacts"] = "NN-ENG-001", "1.0.0", []any{}
		}), &out)
		if out.BlockchainConfirmed || out.BlockchainTxID != nil || len(x.Children) != 1 {
			t.Errorf("%+v %v", out, x.Children)
		}
		s := w.confirmedSubject(chain.KindPassport, *out.DPPRecordID)
		child, contract := w.end(x.Children[0])
		if *contract.TransactionID != s.Hash || s.ExecutionID != child.ID || child.ModelID != "NN-ENG-001" {
			t.Errorf("%s %+v", child.Output, s)
		}
		row, err := w.dpp.Get(ctx, *out.DPPRecordID)
		w.ok(err)
		if row.ChainTxID == nil || *row.ChainTxID != s.Hash || row.ChainBlock != int64(*s.BlockNumber) || s.ContentHash != row.Digest || s.Timestamp != row.IssuedAt.Unix() {
			t.Errorf("%+v %+v", row, s)
		}
	})
	t.Run("an audit report", func(t *testing.T) {
		var out AuditOutput
		w.done("mlo", auditHook, auditInput(func(m map[string]any) { m["action_type"] = "MODEL_FREEZE" }), &out)
		if out.BlockchainTxID != nil {
			t.Error("it has a transaction before it is mined")
		}
		s := w.confirmedSubject(chain.KindAudit, *out.AuditRecordID)
		if s.ContentHash != *out.AuditRecordHash || s.ModelID != *out.AuditRecordID || s.Version != "MODEL_FREEZE" || n.recordedOn(t, *out.AuditRecordID) != 1 {
			t.Errorf("%+v", s)
		}
		w.done("mlo", auditHook, auditInput(nil), &out) // CONFIG_CHANGE
		if s, err := w.chain.SubjectOf(ctx, chain.KindAudit, *out.AuditRecordID); err != nil || s != nil {
			t.Errorf("one that is not required: %+v %v", s, err)
		}
	})
	t.Run("evidence", func(t *testing.T) {
		w.makePackage()
		var out EvidenceOutput
		x := w.done("cora", evidenceHook, evidenceInput(w.file("report.xml", goodJUnit), nil), &out)
		if out.BlockchainTxID != nil || len(x.Children) != 1 {
			t.Errorf("%+v %v", out, x.Children)
		}
		if s := w.confirmedSubject(chain.KindEvidence, *out.EvidenceID); s.ContentHash != *out.EvidenceHash || s.Version != *out.EvidenceID {
			t.Errorf("%+v", s)
		}
	})
}
