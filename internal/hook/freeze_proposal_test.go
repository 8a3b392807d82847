package hook

import (
	"context"
	"strings"
	"testing"

	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/event"
	"caos/internal/notify"
	"caos/internal/registry"
)

// A V&V report that passed is told to the model's owner, with what stands in the way of a
// freeze; nothing else is told to anybody. Mutation that makes this fail: ProposeFreeze that
// does not look at the status.
func TestProposeFreeze(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.model(4096)
		w.register(about(dlyReport, "1.0", registry.KindVVReport), w.report(nil), by("vera"))
		propose := ProposeFreeze(w.parts)
		tell := func(change map[string]any) {
			t.Helper()
			data := map[string]any{"document_id": dlyReport, "version": "1.0", "kind": "vv-report", "model_id": dly, "model_version": dlyVersion, "status": "PASSED"}
			for k, v := range change {
				data[k] = v
			}
			w.do(func(tx *db.Tx) error {
				return propose(tx, event.Event{ID: "EVENT-1", Type: registry.EventDocumentRegistered, Data: data})
			})
		}
		letters := func() []notify.Received {
			t.Helper()
			page, _, err := w.notifier.List(context.Background(), "olga", notify.Filter{}, "")
			if err != nil {
				t.Fatal(err)
			}
			return page
		}
		tell(map[string]any{"status": "FAILED"})
		tell(map[string]any{"kind": "vv-plan"})
		tell(map[string]any{"model_id": ""})
		tell(map[string]any{"model_id": "NN-XXX-001"})
		if got := letters(); len(got) != 0 {
			t.Fatalf("told of nothing: %+v", got)
		}
		tell(nil)
		got := letters()
		if len(got) != 1 || !strings.Contains(got[0].Subject, "matters are open") || !strings.Contains(got[0].Body, "no safety assessment") ||
			!strings.Contains(got[0].Body, "caos why NN-DLY-001@1.0.0 freeze") || got[0].Link != "/v1/models/NN-DLY-001/versions/1.0.0/why/freeze" {
			t.Fatalf("%+v", got)
		}
		w.documents()
		tell(nil)
		if got := letters(); len(got) != 2 || !strings.Contains(got[0].Subject, "can be frozen") || !strings.Contains(got[0].Body, "gates hold") {
			t.Fatalf("%+v", got)
		}
		var out FreezeOutput
		w.done("conny", freezeHook, freezeRequest(nil), &out)
		before := len(letters())
		tell(nil)
		if got := letters(); len(got) != before {
			t.Errorf("proposed although it is frozen: %+v", got)
		}
	})
}

// Why answers as a dry run does, for the version's latest report, and shows who could clear
// what; it and the dry run leave nothing behind.
func TestWhy(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		ctx := context.Background()
		w.model(4096)
		version := Subject{Model: dly, Version: dlyVersion}
		verdicts := func(x *Explanation) map[string]Verdict {
			out := map[string]Verdict{}
			for _, v := range x.Gates {
				if out[v.Gate].Gate != "" {
					t.Errorf("%s answers twice", v.Gate)
				}
				out[v.Gate] = v
			}
			return out
		}
		why := func(who string) (*Explanation, map[string]Verdict) {
			t.Helper()
			p := w.as(who)
			p.MFA = ""
			x, err := w.Why(ctx, p, freezeHook, version)
			if err != nil {
				t.Fatal(err)
			}
			return x, verdicts(x)
		}
		x, v := why("conny")
		if x.Would != WouldBeRefused || v["vv-report"].Pass || v["vv-registered"].Pass || !v["authorised"].Pass || !v["artifacts"].Pass {
			t.Errorf("without documents: %+v", x)
		}
		if got := v["vv-registered"].Who; got == nil || strings.Join(got.Roles, " ") != "vv-lead" || strings.Join(got.People, " ") != "vera" {
			t.Errorf("who registers a V&V report: %+v", got)
		}

		w.documents()
		w.register(about(dlyReport, "1.0", registry.KindVVReport), w.report(func(r map[string]any) { r["tests"].([]any)[0].(map[string]any)["result"] = "FAILED" }), by("vera"))
		w.register(about("95-00-07-02-001", "2.0", registry.KindSafetyAssessment), "Another one.", by("sam"))
		x, v = why("conny")
		if x.Would != WouldFail || v["vv-tests"].Pass || v["safety-approved"].Pass || !v["vv-report"].Pass || !v["documents-unchanged"].Pass {
			t.Errorf("with a failed test: %+v", x)
		}
		if got := v["safety-approved"].Who; got == nil || strings.Join(got.Roles, " ") != "safety-engineer" || len(got.People) != 0 {
			t.Errorf("sam registered the assessment, so nobody can approve it: %+v", got)
		}

		w.register(about(dlyReport, "2.0", registry.KindVVReport), w.report(nil), by("vera"))
		w.register(about("95-00-07-02-001", "3.0", registry.KindSafetyAssessment), "A third one.", by("mlo"))
		w.approve("95-00-07-02-001", "3.0", "sam")
		if x, _ = why("conny"); x.Would != WouldRun {
			t.Errorf("nothing stands in the way: %+v", x)
		}
		if x, v = why("aud"); x.Would != WouldBeRefused || v["authorised"].Pass || !v["safety-approved"].Pass {
			t.Errorf("an auditor sees the gates and may not freeze: %+v", x)
		}
		body := []byte(`{"model_id":"NN-DLY-001","model_version":"1.0.0","vv_report_id":"95-00-07-01-001","vv_status":"PASSED","freeze_requester":"conny","freeze_rationale":"why"}`)
		dry, err := w.DryRun(ctx, Request{Hook: freezeHook, Body: body, ContentType: "application/json", By: w.as("conny")})
		if err != nil || dry.Would != WouldRun || len(dry.Gates) != len(x.Gates) {
			t.Errorf("a dry run says %+v %v", dry, err)
		}
		doc, err := w.registry.Document(ctx, dlyReport)
		if err != nil {
			t.Fatal(err)
		}
		w.tamper(doc.Digest)
		if x, v = why("conny"); x.Would != WouldFail || v["documents-unchanged"].Pass {
			t.Errorf("with a changed document: %+v", x)
		}
		w.counts(map[string]int{`SELECT COUNT(*) FROM executions`: 0})
		w.nothingHalfMade()
		if _, err := w.Why(ctx, w.as("conny"), auditHook, version); err == nil {
			t.Error("explained what is not about a version")
		}
	})
}
