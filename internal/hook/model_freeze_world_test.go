package hook

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"caos/internal/db"
	"caos/internal/engine"
	"caos/internal/object"
	"caos/internal/registry"
)

// The version that the tests of a freeze are about.
const (
	dly        = "NN-DLY-001"
	dlyVersion = "1.0.0"
	dlyReport  = "95-00-07-01-001"
)

// safetensors is a model file with n bytes of weights, which holds data and no code.
func safetensors(n int, fill byte) []byte {
	n -= n % 4
	head := fmt.Appendf(nil, `{"w":{"dtype":"F32","shape":[%d],"data_offsets":[0,%d]}}`, n/4, n)
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(head)))
	out = append(out, head...)
	return append(out, bytes.Repeat([]byte{fill}, n)...)
}

// put stores bytes as an upload does.
func (w *world) put(content []byte) string {
	w.t.Helper()
	ref, err := w.objects.Put(context.Background(), bytes.NewReader(content), object.PutOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return ref.Digest
}

// do runs an audited write that must succeed.
func (w *world) do(fn func(tx *db.Tx) error) {
	w.t.Helper()
	if err := w.db.Update(context.Background(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func by(who string) registry.By { return registry.By{Actor: who, RecordedBy: who} }

// attach adds a file to the version.
func (w *world) attach(name, role string, content []byte) {
	w.t.Helper()
	a := registry.Artifact{Name: name, Role: role, Digest: w.put(content)}
	var err error
	if a.Size, a.Scan, err = w.registry.Inspect(context.Background(), a.Digest, name); err != nil {
		w.t.Fatal(err)
	}
	a.Format = string(a.Scan.Format)
	w.do(func(tx *db.Tx) error {
		_, err := w.registry.Attach(tx, dly, dlyVersion, a, by("mlo"))
		return err
	})
}

// register registers a document; content that is no text is written as JSON.
func (w *world) register(d registry.Document, content any, who registry.By) {
	w.t.Helper()
	raw, ok := content.(string)
	if !ok {
		out, err := json.Marshal(content)
		if err != nil {
			w.t.Fatal(err)
		}
		raw = string(out)
	}
	d.Digest = w.put([]byte(raw))
	parsed, err := w.registry.ReadDocument(context.Background(), d.Kind, d.Digest)
	if err != nil {
		w.t.Fatal(err)
	}
	if d.Title == "" {
		d.Title = "A " + d.Kind
	}
	w.do(func(tx *db.Tx) error {
		_, err := w.registry.RegisterDocument(tx, d, parsed, who)
		return err
	})
}

func (w *world) approve(id, version, who string) {
	w.t.Helper()
	w.do(func(tx *db.Tx) error {
		_, err := w.registry.DecideDocument(tx, registry.Decision{DocumentID: id, Version: version, Approve: true, Statement: "read"}, by(who))
		return err
	})
}

// about makes a document of the version.
func about(id, version, kind string) registry.Document {
	return registry.Document{DocumentID: id, Version: version, Kind: kind, ModelID: dly, ModelVersion: dlyVersion, MediaType: "application/json"}
}

// report is a V&V report that passed, changed by change.
func (w *world) report(change func(r map[string]any)) map[string]any {
	artifacts, err := w.registry.Artifacts(context.Background(), dly, dlyVersion)
	if err != nil {
		w.t.Fatal(err)
	}
	tested := []any{}
	for _, a := range artifacts {
		tested = append(tested, map[string]any{"name": a.Name, "digest": a.Digest})
	}
	r := map[string]any{"document_id": dlyReport, "model_id": dly, "model_version": dlyVersion, "status": "PASSED", "performed_on": "2026-11-20", "artifacts": tested,
		"requirements": []any{map[string]any{"requirement_id": "REQ-DLY-1", "title": "Error"}, map[string]any{"requirement_id": "REQ-DLY-2", "title": "Range"}},
		"tests": []any{
			map[string]any{"test_id": "T-1", "title": "Mean error", "requirement_ids": []string{"REQ-DLY-1"}, "result": "PASSED", "metric": "mae", "value": 11.5, "unit": "min", "operator": "<=", "threshold": 15},
			map[string]any{"test_id": "T-2", "title": "Range", "requirement_ids": []string{"REQ-DLY-2"}, "result": "PASSED"},
		}}
	if change != nil {
		change(r)
	}
	return r
}

func defects(list ...map[string]any) map[string]any {
	if list == nil {
		list = []map[string]any{}
	}
	return map[string]any{"model_id": dly, "model_version": dlyVersion, "defects": list}
}

// model registers the model and its version with one file of about size bytes.
func (w *world) model(size int) {
	w.t.Helper()
	w.do(func(tx *db.Tx) error {
		if _, err := w.registry.CreateModel(tx, registry.Model{ModelID: dly, Name: "Delay", Family: "MLP", SafetyLevel: "DAL-D", Owner: "olga"}, by("conny")); err != nil {
			return err
		}
		_, err := w.registry.CreateVersion(tx, registry.Version{ModelID: dly, Version: dlyVersion, Framework: "numpy"}, by("mlo"))
		return err
	})
	w.attach("model.safetensors", "inference", safetensors(size, 7))
}

// documents registers everything that a freeze needs but the V&V report, and approves it.
func (w *world) documents() {
	w.t.Helper()
	w.register(about("95-00-07-00-001", "1.0", registry.KindVVPlan), map[string]any{"document_id": "95-00-07-00-001", "model_id": dly,
		"requirements": []any{map[string]any{"requirement_id": "REQ-DLY-1"}, map[string]any{"requirement_id": "REQ-DLY-2"}}}, by("vera"))
	w.register(about("95-00-07-02-001", "1.0", registry.KindSafetyAssessment), "The model decides nothing.", by("mlo"))
	w.approve("95-00-07-02-001", "1.0", "sam")
	w.register(about("95-00-07-03-001", "1.0", registry.KindDefectList), defects(), by("vera"))
	w.register(about("95-00-07-04-001", "1.0", registry.KindDocumentationReview), "Read, complete.", by("mlo"))
	w.approve("95-00-07-04-001", "1.0", "quin")
}

// ready makes a version that nothing stands against.
func (w *world) ready(size int) {
	w.t.Helper()
	w.model(size)
	w.documents()
	w.register(about(dlyReport, "1.0", registry.KindVVReport), w.report(nil), by("vera"))
}

func freezeRequest(change func(in map[string]any)) map[string]any {
	in := map[string]any{"model_id": dly, "model_version": dlyVersion, "vv_report_id": dlyReport, "vv_status": "PASSED", "freeze_requester": "conny", "freeze_rationale": "V&V is complete"}
	if change != nil {
		change(in)
	}
	return in
}

// freezeFails freezes what must end FAILED and returns the execution.
func (w *world) freezeFails(rule string, change func(in map[string]any)) *engine.Execution {
	w.t.Helper()
	x, err := w.submit("conny", freezeHook, freezeRequest(change))
	if err != nil {
		w.t.Fatal(err)
	}
	var out FreezeOutput
	if err := json.Unmarshal(x.Output, &out); err != nil {
		w.t.Fatal(err)
	}
	found := false
	for _, f := range x.Findings {
		found = found || f.Rule == rule && f.Message != "" && f.Remedy != ""
	}
	if x.Status != engine.Failed || out.Status == nil || *out.Status != freezeFailed || out.FreezeID != nil || out.BaselineID != nil || out.FreezeTimestamp != nil || out.DPPRecordID != nil || !found {
		w.t.Fatalf("%s, output %s, findings %+v, error %v; want FAILED by %s", x.Status, x.Output, x.Findings, x.Error, rule)
	}
	w.nothingHalfMade()
	return x
}

// nothingHalfMade checks that the version is free again and the baseline store empty.
func (w *world) nothingHalfMade() {
	w.t.Helper()
	ctx := context.Background()
	v, err := w.registry.Version(ctx, dly, dlyVersion)
	if err != nil || v.State != registry.Registered || v.Freezing != "" || v.FreezeID != "" || v.BaselineID != "" {
		w.t.Errorf("the version: %+v %v", v, err)
	}
	ids, err := w.frozen.List(ctx)
	if err != nil || len(ids) != 0 {
		w.t.Errorf("baselines in the store: %v %v", ids, err)
	}
	w.emptyStaging()
	w.counts(map[string]int{`SELECT COUNT(*) FROM baselines`: 0, `SELECT COUNT(*) FROM passports`: 0})
}
