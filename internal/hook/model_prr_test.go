package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
	"caos/internal/notify"
	"caos/internal/readiness"
	"caos/internal/registry"
	"caos/internal/report"
	"caos/internal/verify"
)

func TestModelPRR(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		ctx := context.Background()
		w.ready(4096)
		var frozen FreezeOutput
		w.done("conny", freezeHook, freezeRequest(nil), &frozen)
		minor := w.minorItem()
		w.answer(minor)
		w.risk("RISK-DLY-1", 1, 2)
		w.covered(true)
		x := w.voting(nil)
		v := w.review(dlyPRR)
		x, err := w.engine.Get(ctx, x.ID)
		if err != nil {
			t.Fatal(err)
		}
		step := func(x *engine.Execution, name string) engine.StepRecord {
			t.Helper()
			for _, s := range x.Steps {
				if s.Step == name {
					return s
				}
			}
			t.Fatalf("no step %s", name)
			return engine.StepRecord{}
		}
		done := func(t *testing.T, x *engine.Execution, number int, names ...string) {
			t.Helper()
			for _, name := range names {
				if s := step(x, name); s.Status != engine.StepDone || s.Number != number {
					t.Errorf("%+v", s)
				}
			}
		}
		read := func(digest string) []byte {
			t.Helper()
			f, _, err := w.objects.Open(digest)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			raw, err := io.ReadAll(f)
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}

		t.Run("1 Validate all industrialization criteria", func(t *testing.T) {
			done(t, x, 1, "open-review", "check-criteria")
			found(t, x, "checklist-minor")
			if v.Status != readiness.ReviewVoting || v.ExecutionID != x.ID || v.ChecklistID != "CHK-DLY-1.0.0" || v.RequestedBy != "rel" {
				t.Errorf("%+v", v)
			}
		})
		t.Run("2 Check risk register for acceptable status", func(t *testing.T) {
			done(t, x, 2, "check-risks")
		})
		t.Run("3 Verify certification evidence completeness", func(t *testing.T) {
			done(t, x, 3, "check-evidence")
		})
		t.Run("4 Generate PRR report", func(t *testing.T) {
			done(t, x, 4, "render-report", "register-report")
			doc, err := w.registry.Document(ctx, v.ReportID)
			if err != nil || doc.DocumentID != "95-00-09-02-001" || doc.Version != "1.0" || doc.Kind != registry.KindPRRReport || doc.Digest != v.ReportDigest || doc.ModelID != dly || doc.ModelVersion != dlyVersion {
				t.Errorf("%+v %v", doc, err)
			}
			html, pdf, facts := read(v.ReportDigest), read(v.PDFDigest), read(v.FactsDigest)
			plain := strings.ReplaceAll(string(html), "<wbr/>", "")
			if !strings.Contains(plain, strings.TrimPrefix(v.PDFDigest, "SHA256:")) || !strings.Contains(plain, strings.TrimPrefix(v.FactsDigest, "SHA256:")) {
				t.Error("the report does not name the digests of the PDF and of the facts")
			}
			if !bytes.HasPrefix(pdf, []byte("%PDF-")) || !json.Valid(facts) || v.Best != report.Conditional {
				t.Errorf("%q %s best %s", pdf[:8], facts, v.Best)
			}
			for who, told := range map[string]bool{"bo": true, "bea": true, "carl": true, "olga": true, "vera": false} {
				page, _, err := w.notifier.List(ctx, who, notify.Filter{}, "")
				if err != nil {
					t.Fatal(err)
				}
				got := false
				for _, n := range page {
					got = got || strings.Contains(n.Subject, "the report is ready") && n.Link == "/v1/reviews/"+dlyPRR+"/report"
				}
				if got != told {
					t.Errorf("%s was told: %v", who, got)
				}
			}
		})

		if err := w.cast(x, "bo", report.Approved); caos.AsError(err).Rule != readiness.RuleBestPossible {
			t.Errorf("better than the findings allow: %v", err)
		}
		w.must(w.cast(x, "bo", report.Conditional, w.condition("Show the alarm in the cockpit")))
		w.must(w.cast(x, "bea", report.Conditional, w.condition("Show the alarm in the cockpit")))
		w.must(w.cast(x, "carl", report.Conditional, w.condition("Show the alarm in the cockpit")))
		w.until(x.ID, "close-conditions", engine.StepWaiting)
		x, err = w.engine.Get(ctx, x.ID)
		if err != nil {
			t.Fatal(err)
		}
		v = w.review(dlyPRR)
		t.Run("5 Record PRR decision", func(t *testing.T) {
			done(t, x, 5, "collect-votes", "record-decision", "render-decision", "register-decision-report")
			rec := w.record(step(x, "record-decision").AuditRecordID)
			details := rec["details"].(map[string]any)
			if rec["type"] != "DECISION" || details["outcome_of"] != verify.OutcomeOfReview || details["outcome"] != report.Conditional || details["subject"] != dlyPRR ||
				details["subject_digest"] != v.ReportDigest || len(details["votes"].([]any)) != 3 || len(details["conditions"].([]any)) != 2 {
				t.Errorf("record %v", rec)
			}
			if v.Status != readiness.ReviewConditional || v.Decision != report.Conditional || len(v.Conditions) != 2 || len(v.Editions) != 2 || v.Editions[1].Version != "2.0" {
				t.Errorf("%+v", v)
			}
			var out PRROutput
			if err := json.Unmarshal(x.Output, &out); err != nil || *out.PRRDecision != report.Conditional || len(out.PRRConditions) != 2 || *out.PRRReportID != v.ReportID {
				t.Errorf("%s %v", x.Output, err)
			}
			if page := string(read(v.Editions[1].Digest)); !strings.Contains(page, "Show the alarm in the cockpit") {
				t.Error("the second edition does not show the conditions")
			}
		})
		version := func() registry.State {
			t.Helper()
			v, err := w.registry.Version(ctx, dly, dlyVersion)
			if err != nil {
				t.Fatal(err)
			}
			return v.State
		}
		if version() != registry.Frozen {
			t.Errorf("with open conditions: %s", version())
		}
		if err := w.meet(x, "mlo", v.Conditions[0].ConditionID); caos.AsError(err).Rule != readiness.RuleByAnother {
			t.Errorf("closed by its owner: %v", err)
		}
		for _, c := range v.Conditions {
			w.must(w.meet(x, "quin", c.ConditionID))
		}
		x, out := w.ends(x, engine.Succeeded)
		v = w.review(dlyPRR)
		t.Run("6 Update model status to PRODUCTION_READY (if approved)", func(t *testing.T) {
			done(t, x, 6, "close-conditions", "update-status", "render-closing", "register-closing-report")
			if version() != registry.ProductionReady || *out.PRRDecision != report.Approved {
				t.Errorf("%s %s", version(), x.Output)
			}
			if v.Status != readiness.ReviewDecided || v.Decision != report.Approved || v.BoardDecision != report.Conditional || len(v.Editions) != 3 {
				t.Errorf("%+v", v)
			}
			rec := w.record(step(x, "update-status").AuditRecordID)
			details := rec["details"].(map[string]any)
			if details["outcome_of"] != verify.OutcomeOfConditions || details["outcome"] != verify.OutcomeClosed || len(details["votes"].([]any)) != 2 {
				t.Errorf("record %v", rec)
			}
		})
		t.Run("7 Trigger release preparation workflow", func(t *testing.T) {
			done(t, x, 7, "prepare-release")
			a, err := w.readiness.Authorization(ctx, dlyRelease)
			if err != nil || a.Status != readiness.AuthorizationDraft || a.PRRID != dlyPRR || a.ExecutionID != x.ID {
				t.Errorf("%+v %v", a, err)
			}
			i, err := w.registry.Industrialisation(ctx, dly, dlyVersion)
			if err != nil || !i.ProductionReady || i.ExecutionID == x.ID {
				t.Errorf("%+v %v", i, err)
			}
			if len(out.NextSteps) == 0 || !strings.Contains(out.NextSteps[0], "caos release scope "+dlyRelease) {
				t.Errorf("next steps %q", out.NextSteps)
			}
		})
		t.Run("again", func(t *testing.T) {
			if _, err := w.submit("rel", prrHook, w.prrRequest(nil)); caos.AsError(err).Rule != "baseline-known" {
				t.Errorf("reviewed although it is PRODUCTION_READY: %v", err)
			}
		})
	})
}
