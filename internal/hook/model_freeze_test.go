package hook

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/baseline"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
	"caos/internal/notify"
	"caos/internal/registry"
	"caos/internal/sign"
)

func TestModelFreeze(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.ready(4096)
		ctx := context.Background()
		var out FreezeOutput
		x := w.done("conny", freezeHook, freezeRequest(nil), &out)
		if *out.FreezeID != "FREEZE-NN-DLY-001-1.0.0" || *out.BaselineID != "BL-DLY-1.0.0" || *out.Status != freezeSuccess || out.FreezeTimestamp == nil {
			t.Fatalf("output %s", x.Output)
		}
		b, err := w.registry.Baseline(ctx, *out.BaselineID)
		if err != nil {
			t.Fatal(err)
		}
		step := func(name string) engine.StepRecord {
			for _, s := range x.Steps {
				if s.Step == name {
					return s
				}
			}
			t.Fatalf("no step %s", name)
			return engine.StepRecord{}
		}

		t.Run("1 Validate V&V completion status", func(t *testing.T) {
			for _, name := range []string{"claim-version", "check-gates", "hash-documents"} {
				if s := step(name); s.Status != engine.StepDone || s.Number != 1 {
					t.Errorf("%+v", s)
				}
			}
		})
		t.Run("2 Create immutable model baseline", func(t *testing.T) {
			signer, err := w.keys.Signer(sign.Baseline)
			if err != nil {
				t.Fatal(err)
			}
			problems, err := w.frozen.Verify(ctx, b.BaselineID, signer.Public(), nil)
			if err != nil || len(problems) != 0 {
				t.Errorf("%v %v", problems, err)
			}
			if len(b.Files) != 1 || b.Files[0].Path != "model.safetensors" || b.KeyID != signer.KeyID() {
				t.Errorf("baseline %+v", b)
			}
			info, err := os.Stat(filepath.Join(w.dirs.baselines, b.BaselineID, "model.safetensors"))
			if err != nil || info.Mode().Perm()&0o222 != 0 {
				t.Errorf("the file can be written: %v %v", info, err)
			}
		})
		t.Run("3 Generate freeze record with timestamp", func(t *testing.T) {
			rec := w.record(step("freeze-record").AuditRecordID)
			details := rec["details"].(map[string]any)
			if rec["type"] != "MODEL_FREEZE" || rec["execution"] != x.ID || details["freeze_id"] != *out.FreezeID || details["freeze_timestamp"] != *out.FreezeTimestamp ||
				details["root_digest"] != b.RootDigest || details["bundle_digest"] != b.BundleDigest {
				t.Errorf("record %v", rec)
			}
			page, err := w.log.List(ctx, auditlog.Filter{Type: auditlog.ModelFreeze, Resource: *out.BaselineID}, "")
			if err != nil || len(page.Records) != 1 {
				t.Errorf("%d freeze records, %v", len(page.Records), err)
			}
		})
		t.Run("4 Update model registry", func(t *testing.T) {
			v, err := w.registry.Version(ctx, dly, dlyVersion)
			if err != nil || v.State != registry.Frozen || v.FreezeID != *out.FreezeID || v.BaselineID != *out.BaselineID || v.Freezing != "" {
				t.Errorf("%+v %v", v, err)
			}
			if b.VVReportID != dlyReport || b.VVReportVersion != "1.0" || b.ExecutionID != x.ID || caos.FormatTime(b.FrozenAt) != *out.FreezeTimestamp {
				t.Errorf("baseline %+v", b)
			}
		})
		t.Run("5 Trigger DPP record creation", func(t *testing.T) {
			if out.DPPRecordID == nil || *out.DPPRecordID != "DPP-NN-DLY-001-1.0.0-FREEZE" || len(x.Children) != 1 {
				raw, _ := json.Marshal(x)
				t.Fatalf("passport %v: %s", out.DPPRecordID, raw)
			}
			child, err := w.engine.Get(ctx, x.Children[0])
			if err != nil || child.Status != engine.Succeeded || child.HookID != passportHook {
				t.Errorf("%+v %v", child, err)
			}
		})
		t.Run("6 Notify stakeholders", func(t *testing.T) {
			for who, told := range map[string]bool{"olga": true, "conny": true, "bo": true, "vera": false} {
				page, _, err := w.notifier.List(ctx, who, notify.Filter{}, "")
				if err != nil || told != (len(page) == 1 && strings.Contains(page[0].Subject, "is frozen as BL-DLY-1.0.0")) {
					t.Errorf("notices of %s: %+v %v", who, page, err)
				}
			}
		})
		t.Run("7 Initiate production planning workflow", func(t *testing.T) {
			i, err := w.registry.Industrialisation(ctx, dly, dlyVersion)
			if err != nil || i.ChecklistTemplate != "95-00-09-01-005" || i.Phase != registry.Planning || i.ExecutionID != x.ID {
				t.Errorf("%+v %v", i, err)
			}
			w.counts(map[string]int{`SELECT COUNT(*) FROM events WHERE type='caos.model.frozen'`: 1})
			checklistOpened(t, w, x)
		})
		t.Run("again", func(t *testing.T) {
			_, err := w.submit("conny", freezeHook, freezeRequest(nil))
			if e := caos.AsError(err); e.Kind != caos.Conflict || !strings.Contains(e.Message, *out.FreezeID) || e.Field != "model_version" {
				t.Errorf("frozen twice: %v", err)
			}
		})
	})
}

// Whatever is wrong with a version ends its freeze FAILED by the gate that names it, and
// leaves nothing half made; once it is put right, the same version can be frozen.
func TestModelFreezeFails(t *testing.T) {
	next := func(w *world, change func(r map[string]any)) {
		w.register(about(dlyReport, "2.0", registry.KindVVReport), w.report(change), by("vera"))
	}
	test := func(n int, change map[string]any) func(r map[string]any) {
		return func(r map[string]any) {
			one := r["tests"].([]any)[n].(map[string]any)
			for k, v := range change {
				one[k] = v
			}
		}
	}
	of := func(model, version string) func(w *world) { // registers the V&V report of another version, which says that it passed
		return func(w *world) {
			w.do(func(tx *db.Tx) error {
				if model != dly {
					if _, err := w.registry.CreateModel(tx, registry.Model{ModelID: model, Name: "Another", Owner: "olga"}, by("conny")); err != nil {
						return err
					}
				}
				_, err := w.registry.CreateVersion(tx, registry.Version{ModelID: model, Version: version}, by("mlo"))
				return err
			})
			d := registry.Document{DocumentID: "95-00-07-01-077", Version: "1.0", Kind: registry.KindVVReport, ModelID: model, ModelVersion: version}
			w.register(d, w.report(func(r map[string]any) {
				r["document_id"], r["model_id"], r["model_version"], r["artifacts"] = d.DocumentID, model, version, []any{}
			}), by("vera"))
		}
	}
	for _, c := range []struct {
		name, rule string
		spoil      func(w *world)
	}{
		{"report of another version", "vv-of-this-version", of(dly, "1.1.0")},
		{"report of another model", "vv-of-this-version", of("NN-OTH-001", "1.0.0")},
		{"zip bomb", "artifacts-safe", func(w *world) {
			var b bytes.Buffer
			z := zip.NewWriter(&b)
			for i := range 4 {
				f, err := z.Create(fmt.Sprintf("w%d.bin", i))
				if err != nil {
					w.t.Fatal(err)
				}
				if _, err := f.Write(make([]byte, 40<<20)); err != nil {
					w.t.Fatal(err)
				}
			}
			if err := z.Close(); err != nil {
				w.t.Fatal(err)
			}
			w.attach("weights.zip", "weights", b.Bytes())
		}},
		{"requirement untested", "vv-requirements", func(w *world) {
			next(w, func(r map[string]any) { r["tests"] = r["tests"].([]any)[:1] })
		}},
		{"test failed", "vv-tests", func(w *world) { next(w, test(1, map[string]any{"result": "FAILED"})) }},
		{"passed against its threshold", "vv-tests", func(w *world) { next(w, test(0, map[string]any{"value": 99})) }},
		{"report by the owner", "vv-registered-by-other", func(w *world) {
			w.register(about(dlyReport, "2.0", registry.KindVVReport), w.report(nil), by("olga"))
		}},
		{"report in the name of somebody, by the owner", "vv-registered-by-other", func(w *world) {
			w.register(about(dlyReport, "2.0", registry.KindVVReport), w.report(nil), registry.By{Actor: "vera", RecordedBy: "olga"})
		}},
		{"another report failed", "vv-undisputed", func(w *world) {
			w.register(about("95-00-07-01-009", "1.0", registry.KindVVReport), w.report(func(r map[string]any) { r["document_id"], r["status"] = "95-00-07-01-009", "FAILED" }), by("vera"))
		}},
		{"open high defect", "defects", func(w *world) {
			w.register(about("95-00-07-03-001", "2.0", registry.KindDefectList), defects(map[string]any{"defect_id": "D-1", "title": "Wrong sign", "severity": "HIGH", "status": "OPEN"}), by("vera"))
		}},
		{"open problem report", "defects", func(w *world) {
			w.do(func(tx *db.Tx) error {
				_, err := w.registry.CreateProblem(tx, registry.ProblemReport{Title: "Wrong at night", Severity: registry.Critical, ModelID: dly, Owner: "mlo"}, by("mlo"))
				return err
			})
		}},
		{"safety assessment undecided", "safety-approved", func(w *world) {
			w.register(about("95-00-07-02-001", "2.0", registry.KindSafetyAssessment), "Another one.", by("mlo"))
		}},
		{"documentation review undecided", "documentation-reviewed", func(w *world) {
			w.register(about("95-00-07-04-001", "2.0", registry.KindDocumentationReview), "Another one.", by("mlo"))
		}},
		{"pickle for inference", "artifacts-safe", func(w *world) {
			w.attach("model.pkl", "inference", []byte("\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R."))
		}},
		{"converted without a record", "conversions", func(w *world) { w.attach("model.onnx.json", "converted", []byte(`{"a":1}`)) }},
		{"document changed on disk", "documents-unchanged", func(w *world) {
			doc, err := w.registry.Document(context.Background(), "95-00-07-02-001")
			if err != nil {
				w.t.Fatal(err)
			}
			w.tamper(doc.Digest)
		}},
		{"document gone from disk", "documents-unchanged", func(w *world) {
			doc, err := w.registry.Document(context.Background(), dlyReport)
			if err != nil {
				w.t.Fatal(err)
			}
			if err := os.Remove(w.objectPath(doc.Digest)); err != nil {
				w.t.Fatal(err)
			}
		}},
		{"artifact changed on disk", "artifacts-intact", func(w *world) {
			list, err := w.registry.Artifacts(context.Background(), dly, dlyVersion)
			if err != nil {
				w.t.Fatal(err)
			}
			w.tamper(list[0].Digest)
		}},
		{"artifact gone from disk", "artifacts-intact", func(w *world) {
			list, err := w.registry.Artifacts(context.Background(), dly, dlyVersion)
			if err != nil {
				w.t.Fatal(err)
			}
			if err := os.Remove(w.objectPath(list[0].Digest)); err != nil {
				w.t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, dbtest.Open(t, db.SQLite))
			w.ready(4096)
			c.spoil(w)
			var change func(in map[string]any)
			if c.rule == "vv-of-this-version" {
				change = func(in map[string]any) { in["vv_report_id"] = "95-00-07-01-077" }
			}
			x := w.freezeFails(c.rule, change)
			if page, err := w.log.List(context.Background(), auditlog.Filter{Type: auditlog.ModelFreeze}, ""); err != nil || len(page.Records) != 0 {
				t.Errorf("%d freeze records of a freeze that failed, %v", len(page.Records), err)
			}
			again, err := w.submit("conny", freezeHook, freezeRequest(change))
			if err != nil || again.ID == x.ID || again.Status != engine.Failed {
				t.Errorf("tried again: %+v %v", again, err)
			}
		})
	}
}

// What the request alone shows is refused, by the field, and makes no execution.
func TestModelFreezeRefuses(t *testing.T) {
	w := newWorld(t, dbtest.Open(t, db.SQLite))
	w.ready(4096)
	w.register(about("95-00-07-01-005", "1.0", registry.KindVVReport), w.report(func(r map[string]any) {
		r["document_id"], r["status"] = "95-00-07-01-005", "FAILED"
	}), by("vera"))
	for _, c := range []struct {
		name, who, field string
		kind             caos.Kind
		change           map[string]any
	}{
		{"model id of the wrong form", "conny", "model_id", caos.Invalid, map[string]any{"model_id": "FCS-1"}},
		{"version that is no version", "conny", "model_version", caos.Invalid, map[string]any{"model_version": "1.0"}},
		{"version with a build part", "conny", "model_version", caos.Invalid, map[string]any{"model_version": "1.0.0+7"}},
		{"unknown model", "conny", "model_id", caos.NotFound, map[string]any{"model_id": "NN-XXX-001"}},
		{"unknown version", "conny", "model_version", caos.NotFound, map[string]any{"model_version": "7.0.0"}},
		{"unknown report", "conny", "vv_report_id", caos.NotFound, map[string]any{"vv_report_id": "95-00-07-09-999"}},
		{"a status that the report does not have", "conny", "vv_status", caos.Invalid, map[string]any{"vv_report_id": "95-00-07-01-005"}},
		{"a word that is no status", "conny", "vv_status", caos.Invalid, map[string]any{"vv_status": "passed"}},
		{"unknown requester", "conny", "freeze_requester", caos.Invalid, map[string]any{"freeze_requester": "nobody"}},
		{"no rationale", "conny", "freeze_rationale", caos.Invalid, map[string]any{"freeze_rationale": ""}},
		{"in the name of another", "mlo", "", caos.Denied, nil},
		{"by who may not", "vera", "", caos.Denied, map[string]any{"freeze_requester": "vera"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, err := w.submit(c.who, freezeHook, freezeRequest(func(in map[string]any) {
				for k, v := range c.change {
					in[k] = v
				}
			}))
			if e := caos.AsError(err); err == nil || e.Kind != c.kind || e.Field != c.field {
				t.Errorf("%+v %v", x, err)
			}
		})
	}
	t.Run("without a second factor", func(t *testing.T) {
		body, err := json.Marshal(freezeRequest(nil))
		if err != nil {
			t.Fatal(err)
		}
		p := w.as("conny")
		p.MFA = ""
		if _, err := w.Submit(t.Context(), Request{Hook: freezeHook, Body: body, ContentType: "application/json", By: p}); caos.KindOf(err) != caos.StepUp {
			t.Errorf("%v", err)
		}
	})
	w.counts(map[string]int{`SELECT COUNT(*) FROM executions`: 0})
	w.nothingHalfMade()
}

// Of many freezes of one version at once one wins, and the others are told which.
func TestModelFreezeAtOnce(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.ready(64 << 10)
		const n = 8
		type answer struct {
			x   *engine.Execution
			err error
		}
		answers := make(chan answer, n)
		for range n {
			go func() {
				x, err := w.submit("conny", freezeHook, freezeRequest(nil))
				answers <- answer{x, err}
			}()
		}
		won, lost := "", []error{}
		for range n {
			switch a := <-answers; {
			case a.err != nil:
				lost = append(lost, a.err)
			case a.x.Status == engine.Succeeded && won == "":
				won = a.x.ID
			default:
				t.Errorf("a second execution: %+v", a.x)
			}
		}
		if won == "" || len(lost) != n-1 {
			t.Fatalf("won %q, lost %v", won, lost)
		}
		for _, err := range lost {
			e := caos.AsError(err)
			if e.Kind != caos.Conflict || !strings.Contains(e.Message, won) && !strings.Contains(e.Message, "FREEZE-NN-DLY-001-1.0.0") {
				t.Errorf("lost by %v", err)
			}
		}
		w.counts(map[string]int{`SELECT COUNT(*) FROM baselines`: 1, `SELECT COUNT(*) FROM passports`: 1})
	})
}

// A defect that is found, and a document that is superseded, while the baseline is being
// written stop the freeze in the transaction that would make it true. Mutation that makes
// this fail: updateRegistry without freezeVerdicts.
func TestModelFreezeGatesAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, rule string
		meanwhile  func(w *world)
	}{
		{"a high defect", "defects", func(w *world) {
			w.register(about("95-00-07-03-002", "1.0", registry.KindDefectList), defects(map[string]any{"defect_id": "D-1", "title": "Wrong sign", "severity": "HIGH", "status": "OPEN"}), by("vera"))
		}},
		{"a superseded assessment", "documents-same", func(w *world) {
			w.register(about("95-00-07-02-001", "2.0", registry.KindSafetyAssessment), "Another one.", by("mlo"))
			w.approve("95-00-07-02-001", "2.0", "sam")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dbtest.Run(t, func(t *testing.T, d *db.DB) {
				w := newWorld(t, d)
				w.ready(4096)
				release := w.holdBaseline()
				done := make(chan *engine.Execution, 1)
				x, err := w.begin("conny", freezeHook, freezeRequest(nil))
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					x, err := w.engine.Await(context.Background(), x.ID, patience)
					if err != nil {
						t.Error(err)
					}
					done <- x
				}()
				w.until(x.ID, "write-baseline", engine.StepRetrying)
				c.meanwhile(w)
				release()
				x = <-done
				found := false
				for _, f := range x.Findings {
					found = found || f.Rule == c.rule
				}
				var out FreezeOutput
				if err := json.Unmarshal(x.Output, &out); err != nil {
					t.Fatal(err)
				}
				if x.Status != engine.Failed || !found || *out.Status != freezeFailed || out.FreezeID != nil {
					t.Fatalf("%s %s %+v", x.Status, x.Output, x.Findings)
				}
				w.nothingHalfMade()
				page, err := w.log.List(context.Background(), auditlog.Filter{Execution: x.ID}, "")
				if err != nil || len(page.Records) == 0 {
					t.Fatalf("%d records, %v", len(page.Records), err)
				}
				for _, r := range page.Records {
					if bytes.Contains(r.Record, []byte("MODEL_FREEZE")) || bytes.Contains(r.Record, []byte("freeze_timestamp\":\"")) {
						t.Errorf("a freeze record of a freeze that failed: %s", r.Record)
					}
				}
			})
		})
	}
}

// A freeze that is cancelled while its baseline is being written gives everything back.
func TestModelFreezeCancelled(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.ready(4096)
		release := w.holdBaseline()
		x, err := w.begin("conny", freezeHook, freezeRequest(nil))
		if err != nil {
			t.Fatal(err)
		}
		w.until(x.ID, "write-baseline", engine.StepRetrying)
		_, err = w.submit("conny", freezeHook, freezeRequest(nil))
		if e := caos.AsError(err); e.Kind != caos.Conflict || !strings.Contains(e.Message, x.ID) {
			t.Errorf("while it is being frozen: %v", err)
		}
		if _, err := w.engine.Cancel(context.Background(), x.ID, "a mistake", w.as("conny"), nil); err != nil {
			t.Fatal(err)
		}
		release()
		x, err = w.engine.Await(context.Background(), x.ID, patience)
		if err != nil || x.Status != engine.Cancelled {
			t.Fatalf("%+v %v", x, err)
		}
		w.nothingHalfMade()
		var out FreezeOutput
		w.done("conny", freezeHook, freezeRequest(nil), &out)
	})
}

// What an earlier freeze could not give back, because it ended without its plan, is taken:
// its claim of the version and its folder in the store. Mutation that makes this fail:
// writeBaseline without clearAway.
func TestModelFreezeTakesWhatWasAbandoned(t *testing.T) {
	w := newWorld(t, dbtest.Open(t, db.SQLite))
	w.ready(4096)
	ctx := context.Background()
	const gone = "EXEC-20200101T000000.000000Z"
	w.do(func(tx *db.Tx) error { return w.registry.ClaimFreeze(tx, dly, dlyVersion, gone) })
	signer, err := w.keys.Signer(sign.Baseline)
	if err != nil {
		t.Fatal(err)
	}
	stray := []byte("of another freeze")
	if _, err := w.frozen.Write(ctx, baseline.Draft{ID: "BL-DLY-1.0.0", Owner: gone, Signer: signer, Files: []baseline.Source{{Path: "stray.txt", Digest: w.put(stray), Size: int64(len(stray)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(stray)), nil }}}}, nil); err != nil {
		t.Fatal(err)
	}
	var out FreezeOutput
	w.done("conny", freezeHook, freezeRequest(nil), &out)
	if problems, err := w.frozen.Verify(ctx, *out.BaselineID, signer.Public(), nil); err != nil || len(problems) != 0 {
		t.Errorf("%v %v", problems, err)
	}
	if _, _, err := w.frozen.Open(*out.BaselineID, "stray.txt"); err == nil {
		t.Error("what was left behind is in the baseline")
	}
}

// Whoever is not cleared for the V&V report neither freezes by it nor learns what it says.
func TestModelFreezeNeedToKnow(t *testing.T) {
	w := newWorld(t, dbtest.Open(t, db.SQLite))
	w.model(4096)
	w.documents()
	secret := about(dlyReport, "1.0", registry.KindVVReport)
	secret.Classification = "Restricted"
	w.register(secret, w.report(func(r map[string]any) { r["tests"].([]any)[0].(map[string]any)["result"] = "FAILED" }), by("vera"))
	if x, err := w.submit("conny", freezeHook, freezeRequest(nil)); caos.KindOf(err) != caos.Denied {
		t.Errorf("%+v %v", x, err)
	}
	x, err := w.Why(context.Background(), w.as("conny"), freezeHook, Subject{Model: dly, Version: dlyVersion})
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := json.Marshal(x); err != nil || strings.Contains(string(raw), "T-1") || len(x.Gates) != 1 {
		t.Errorf("%s %v", raw, err)
	}
}

// A passport that cannot be made leaves the freeze as it is, with a finding that says how to
// make it. Mutation that makes this fail: passportMade that returns the child's error.
func TestModelFreezeWithoutPassport(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.ready(4096)
		for _, k := range w.keys.List() { // without a key nothing signs, however often it is tried
			if k.Purpose == sign.Passport {
				if _, err := w.keys.Retire(context.Background(), k.ID, time.Now()); err != nil {
					t.Fatal(err)
				}
			}
		}
		w.engine.SetPolicy(passportHook, engine.RetryPolicy{MaxAttempts: 1, InitialIntervalMS: 1, MaxIntervalMS: 1, Factor: 1}, time.Minute)
		var out FreezeOutput
		x := w.done("conny", freezeHook, freezeRequest(nil), &out)
		if *out.Status != freezeSuccess || out.DPPRecordID != nil || out.FreezeID == nil {
			t.Errorf("output %s", x.Output)
		}
		found := false
		for _, f := range x.Findings {
			found = found || f.Rule == "passport-not-made" && strings.Contains(f.Remedy, "caos hook run "+passportHook) && strings.Contains(f.Message, x.Children[0])
		}
		if !found {
			t.Errorf("findings %+v", x.Findings)
		}
		if v, err := w.registry.Version(context.Background(), dly, dlyVersion); err != nil || v.State != registry.Frozen {
			t.Errorf("%+v %v", v, err)
		}
	})
}

// Once the version is frozen nothing is undone, also not by whoever cancels the execution.
// Mutation that makes this fail: releaseVersion that does not look at Frozen.
func TestModelFreezeCancelledTooLate(t *testing.T) {
	w := newWorld(t, dbtest.Open(t, db.SQLite))
	w.ready(4096)
	for _, k := range w.keys.List() {
		if k.Purpose == sign.Passport {
			if _, err := w.keys.Retire(context.Background(), k.ID, time.Now()); err != nil {
				t.Fatal(err)
			}
		}
	}
	x, err := w.begin("conny", freezeHook, freezeRequest(nil)) // its passport is tried again and again
	if err != nil {
		t.Fatal(err)
	}
	w.until(x.ID, "create-passport", engine.StepWaiting)
	if _, err := w.engine.Cancel(context.Background(), x.ID, "too late", w.as("conny"), nil); err != nil {
		t.Fatal(err)
	}
	x, err = w.engine.Await(context.Background(), x.ID, patience)
	if err != nil || x.Status != engine.Cancelled {
		t.Fatalf("%+v %v", x, err)
	}
	var out FreezeOutput
	if err := json.Unmarshal(x.Output, &out); err != nil || out.Status == nil || *out.Status != freezeSuccess || out.BaselineID == nil || len(x.Findings) == 0 || x.Findings[len(x.Findings)-1].Rule != "freeze-stands" {
		t.Errorf("%s %+v %v", x.Output, x.Findings, err)
	}
	if v, err := w.registry.Version(context.Background(), dly, dlyVersion); err != nil || v.State != registry.Frozen {
		t.Errorf("%+v %v", v, err)
	}
	if ids, err := w.frozen.List(context.Background()); err != nil || len(ids) != 1 {
		t.Errorf("%v %v", ids, err)
	}
}

// begin submits a hook and does not wait for its end.
func (w *world) begin(who, hookID string, input any) (*engine.Execution, error) {
	w.t.Helper()
	body, err := json.Marshal(input)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.Submit(context.Background(), Request{Hook: hookID, Body: body, ContentType: "application/json", By: w.as(who)})
}

// until waits until a step of an execution has a status.
func (w *world) until(id, step string, status engine.StepStatus) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for u := range w.engine.Watch(ctx, id) {
		if u.Execution == nil {
			continue
		}
		for _, s := range u.Execution.Steps {
			if s.Step == step && s.Status == status {
				return
			}
		}
	}
	w.t.Fatalf("%s never came to %s %s", id, step, status)
}

// holdBaseline keeps the baseline of the version from being written, as another writer of it
// would, until the function that it returns is called.
func (w *world) holdBaseline() func() {
	w.t.Helper()
	f, err := os.OpenFile(filepath.Join(w.dirs.baselines, ".records", "BL-DLY-1.0.0.json"), os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		w.t.Fatal(err)
	}
	return func() { _ = f.Close() }
}

// objectPath is where an object lies.
func (w *world) objectPath(digest string) string {
	h := strings.TrimPrefix(digest, "SHA256:")
	return filepath.Join(w.dirs.objects, h[:2], h[2:])
}

// tamper changes one byte of a stored object.
func (w *world) tamper(digest string) {
	w.t.Helper()
	path := w.objectPath(digest)
	raw, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	raw[len(raw)-1] ^= 1
	if err := os.Chmod(path, 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// emptyStaging checks that nothing lies half written in the baseline store.
func (w *world) emptyStaging() {
	w.t.Helper()
	left, err := filepath.Glob(filepath.Join(w.dirs.baselines, ".staging-*"))
	if err != nil || len(left) != 0 {
		w.t.Errorf("half written: %v %v", left, err)
	}
}

// A model-owner freezes models of their own, and nobody else's.
func TestModelFreezeByAnotherOwner(t *testing.T) {
	w := newWorld(t, dbtest.Open(t, db.SQLite))
	w.ready(4096)
	body, err := json.Marshal(freezeRequest(func(in map[string]any) { in["freeze_requester"] = "mlo" }))
	if err != nil {
		t.Fatal(err)
	}
	other := caos.Principal{ID: "mlo", Roles: []string{"model-owner"}, MFA: "totp"}
	_, err = w.Submit(context.Background(), Request{Hook: freezeHook, Body: body, ContentType: "application/json", By: other})
	if caos.KindOf(err) != caos.Denied {
		t.Errorf("another owner: %v", err)
	}
	if x, err := w.submit("olga", freezeHook, freezeRequest(func(in map[string]any) { in["freeze_requester"] = "olga" })); err != nil || x.Status != engine.Succeeded {
		t.Errorf("the owner: %+v %v", x, err)
	}
}
