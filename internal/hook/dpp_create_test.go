package hook

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/baseline"
	"caos/internal/codec"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/dpp"
	"caos/internal/engine"
	"caos/internal/object"
	"caos/internal/registry"
	"caos/internal/sign"
	"caos/internal/verify"
)

const dppHook = "CAOS.PROD.DPP.CREATE"

// ok fails the test.
func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// sealed registers a version of a model, project "P1", and freezes it as MODEL.FREEZE does
// but without a passport. weights may be any text.
func (w *world) sealed(modelID, version, weights string) *registry.Baseline {
	w.t.Helper()
	ctx := context.Background()
	const exec = "EXEC-20261123T070000.000000Z"
	who := registry.By{Actor: "mlo", RecordedBy: "mlo"}
	ref, err := w.objects.Put(ctx, strings.NewReader(weights), object.PutOptions{})
	w.ok(err)
	a := registry.Artifact{Name: "weights/model file.txt", Role: "weights", Digest: ref.Digest}
	a.Size, a.Scan, err = w.registry.Inspect(ctx, a.Digest, a.Name)
	w.ok(err)
	a.Format = string(a.Scan.Format)
	w.ok(w.db.Update(ctx, func(tx *db.Tx) error {
		_, err := w.registry.ModelIn(tx, modelID)
		if caos.KindOf(err) == caos.NotFound {
			_, err = w.registry.CreateModel(tx, registry.Model{ModelID: modelID, Name: "Delay", Family: "MLP", SafetyLevel: "DAL-D", Owner: "olga", Project: "P1"}, who)
		}
		if err != nil {
			return err
		}
		if _, err := w.registry.CreateVersion(tx, registry.Version{ModelID: modelID, Version: version, Framework: "numpy"}, who); err != nil {
			return err
		}
		if _, err := w.registry.Attach(tx, modelID, version, a, who); err != nil {
			return err
		}
		return w.registry.ClaimFreeze(tx, modelID, version, exec)
	}))
	signer, err := w.keys.Signer(sign.Baseline)
	w.ok(err)
	id := registry.BaselineID(modelID, version)
	open := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(weights)), nil }
	sealed, err := w.frozen.Write(ctx, baseline.Draft{ID: id, Owner: exec, Signer: signer, Files: []baseline.Source{{Path: a.Name, Digest: a.Digest, Size: a.Size, Open: open}}}, nil)
	w.ok(err)
	b := registry.Baseline{BaselineID: id, ModelID: modelID, Version: version, FreezeID: registry.FreezeID(modelID, version), ExecutionID: exec,
		RootDigest: sealed.Root, StatementDigest: sealed.StatementDigest, BundleDigest: sealed.BundleDigest, KeyID: sealed.KeyID, VVReportID: "95-00-07-01-001", VVReportVersion: "1.0",
		Files: []registry.BaselineFile{{Path: a.Name, Role: a.Role, Digest: a.Digest, Size: a.Size}}}
	w.ok(w.db.Update(ctx, func(tx *db.Tx) error { return w.registry.Freeze(tx, b, who) }))
	out, err := w.registry.Baseline(ctx, id)
	w.ok(err)
	return out
}

// become moves a version on.
func (w *world) become(modelID, version string, states ...registry.State) {
	w.t.Helper()
	for _, s := range states {
		w.ok(w.db.Update(context.Background(), func(tx *db.Tx) error {
			_, err := w.registry.Transition(tx, modelID, version, s, registry.By{Actor: "mlo"})
			return err
		}))
	}
}

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return "SHA256:" + hex.EncodeToString(h[:])
}

// fileAt is the address of the sealed version's file.
const fileAt = "/v1/baselines/BL-FCS-2.1.0/files/weights/model%20file.txt"

func dppInput(change func(m map[string]any)) map[string]any {
	m := map[string]any{"model_id": model, "model_version": "2.1.0", "lifecycle_event": "FREEZE", "metadata": map[string]any{"reason": "flight test"},
		"artifacts": []any{baseURL + fileAt}}
	if change != nil {
		change(m)
	}
	return m
}

func TestDPPCreate(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		ctx := context.Background()
		const weights = "w=1.25"
		b := w.sealed(model, "2.1.0", weights)
		w.register(registry.Document{DocumentID: "95-00-07-02-001", Version: "1.0", Kind: "design", ModelID: model, ModelVersion: "2.1.0", MediaType: "text/plain"}, "the design", by("vera"))
		w.register(registry.Document{DocumentID: "95-00-07-02-002", Version: "1.0", Kind: "design", Title: "hidden", ModelID: model, ModelVersion: "2.1.0", MediaType: "text/plain", Classification: "Restricted"}, "not for all", by("vera"))
		note, err := w.objects.Put(ctx, strings.NewReader("a note"), object.PutOptions{})
		w.ok(err)
		var out DPPCreateOutput
		x := w.done("mlo", dppHook, dppInput(func(m map[string]any) {
			m["artifacts"] = []any{baseURL + fileAt, "object://" + note.Digest}
		}), &out)
		row, err := w.dpp.Get(ctx, "DPP-NN-FCS-001-2.1.0-FREEZE")
		w.ok(err)
		raw, err := w.dpp.Credential(row)
		w.ok(err)
		text, err := w.dpp.Annex(row)
		w.ok(err)
		var annex struct {
			dpp.Draft
			V     int    `json:"v"`
			Event string `json:"event"`
		}
		w.ok(json.Unmarshal(text, &annex))

		t.Run("1 Generate DPP record structure", func(t *testing.T) {
			if *out.DPPRecordID != row.PassportID || row.ExecutionID != x.ID || row.IssuedBy != "mlo" || row.Project != "P1" || row.Occurrence != 1 {
				t.Errorf("%s, %+v", *out.DPPRecordID, row)
			}
			if first := w.record(x.Steps[0].AuditRecordID); !strings.Contains(fmt.Sprint(first["resources"]), row.PassportID) {
				t.Errorf("record %v", first)
			}
		})
		t.Run("2 Collect all relevant metadata", func(t *testing.T) {
			if strings.Contains(string(text), "95-00-07-02-002") {
				t.Error("a document of a higher classification is in the annex")
			}
			m := annex.Model
			if m.Name != "Delay" || m.Family != "MLP" || m.SafetyLevel != "DAL-D" || m.Owner != "olga" || m.State != "FROZEN" || m.Framework != "numpy" {
				t.Errorf("model %+v", m)
			}
			if f := annex.Baseline; f.BaselineID != b.BaselineID || f.RootDigest != b.RootDigest || f.FreezeID != b.FreezeID || f.Files != 1 || f.Bytes != int64(len(weights)) {
				t.Errorf("baseline %+v", f)
			}
			if len(annex.Files) != 1 || annex.Files[0].Path != "weights/model file.txt" || annex.Files[0].Role != "weights" {
				t.Errorf("files %+v", annex.Files)
			}
			if len(annex.Documents) != 1 || annex.Documents[0].DocumentID != "95-00-07-02-001" || annex.Documents[0].Digest != sum("the design") {
				t.Errorf("documents %+v", annex.Documents)
			}
			if string(annex.Metadata) != `{"reason":"flight test"}` {
				t.Errorf("metadata %s", annex.Metadata)
			}
		})
		t.Run("3 Calculate content hashes", func(t *testing.T) {
			want := []dpp.ArtifactHash{{URI: baseURL + fileAt, Digest: sum(weights), Size: int64(len(weights))}, {URI: "object://" + note.Digest, Digest: sum("a note"), Size: 6}}
			if fmt.Sprint(annex.Artifacts) != fmt.Sprint(want) {
				t.Errorf("%+v", annex.Artifacts)
			}
		})
		t.Run("4 Create DPP JSON document", func(t *testing.T) {
			pub, err := verify.ParseDIDKey(row.Issuer)
			w.ok(err)
			id, err := verify.KeyID(verify.PurposePassport, pub)
			w.ok(err)
			_, did, _, err := verify.CheckProof(raw)
			if err != nil || did != row.Issuer || id != row.KeyID {
				t.Errorf("signed by %s, %s: %v", did, id, err)
			}
			if canonical, err := codec.Canonical(json.RawMessage(raw)); err != nil || !bytes.Equal(canonical, raw) {
				t.Error("the credential is not canonical")
			}
			var c struct {
				Subject verify.PassportSubject `json:"credentialSubject"`
			}
			w.ok(json.Unmarshal(raw, &c))
			if c.Subject.AnnexDigest != sum(string(text)) || c.Subject.Baseline.RootDigest != b.RootDigest || c.Subject.LifecycleEvent != "FREEZE" || c.Subject.Artifacts != 2 {
				t.Errorf("%+v", c.Subject)
			}
			for _, secret := range []string{"flight test", "olga", "mlo", "weights", "95-00-07", note.Digest} {
				if bytes.Contains(raw, []byte(secret)) {
					t.Errorf("the public part says %q", secret)
				}
			}
		})
		t.Run("5 Store in DPP repository", func(t *testing.T) {
			if row.Digest != sum(string(raw)) || *out.DPPURI != "ipfs://"+verify.CID(sha256.Sum256(raw)) || *out.DPPVerificationURI != baseURL+"/dpp/"+row.PassportID {
				t.Errorf("%+v, output %s %s", row, *out.DPPURI, *out.DPPVerificationURI)
			}
			for _, digest := range []string{row.Digest, row.AnnexDigest} {
				refs, err := w.objects.References(ctx, digest)
				if err != nil || len(refs) != 1 || refs[0].Owner != row.PassportID || refs[0].Project != "P1" {
					t.Errorf("bindings %+v %v", refs, err)
				}
			}
			rec := w.record(row.RecordID)
			if details := rec["details"].(map[string]any); rec["execution"] != x.ID || details["passport_digest"] != row.Digest || details["annex_digest"] != row.AnnexDigest {
				t.Errorf("record %v", rec)
			}
		})
		t.Run("6 Create blockchain transaction", func(t *testing.T) {
			last := w.record(x.Steps[len(x.Steps)-1].AuditRecordID)
			why := last["details"].(map[string]any)["reasons"].(map[string]any)["blockchain_tx_id"].(string)
			if out.BlockchainTxID != nil || out.BlockchainConfirmed || row.ChainTxID != nil || !strings.Contains(why, "no chain is configured") || !strings.Contains(why, "checkpoint covers") {
				t.Errorf("tx %v, confirmed %v, because %s", out.BlockchainTxID, out.BlockchainConfirmed, why)
			}
		})
		t.Run("7 Update DPP index", func(t *testing.T) {
			for _, f := range []dpp.Filter{{ModelID: model}, {Version: "2.1.0"}, {Event: dpp.Freeze}, {ModelID: model, Version: "2.1.0", Event: dpp.Freeze, Latest: true}} {
				list, _, err := w.dpp.List(ctx, f, "")
				if err != nil || len(list) != 1 || list[0].PassportID != row.PassportID {
					t.Errorf("%+v: %+v %v", f, list, err)
				}
			}
			w.counts(map[string]int{`SELECT SUM(passports) FROM passport_index`: 1})
		})
	})
}

// An event that recurs gets an identifier of its own, whoever asks at once; one that does
// not is refused, naming the passport there is.
func TestDPPCreateAgain(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.sealed(model, "2.1.0", "w=1")
		event := func(e string) map[string]any {
			return dppInput(func(m map[string]any) { m["lifecycle_event"] = e })
		}
		each := func(e string) (ids []string, refused int) {
			var mu sync.Mutex
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() {
					x, err := w.submit("mlo", dppHook, event(e))
					mu.Lock()
					defer mu.Unlock()
					switch {
					case caos.KindOf(err) == caos.Conflict:
						refused++
					case err != nil || x.Status != engine.Succeeded:
						t.Errorf("%s: %+v %v", e, x, err)
					default:
						var out DPPCreateOutput
						if err := json.Unmarshal(x.Output, &out); err != nil {
							t.Error(err)
						}
						ids = append(ids, strings.TrimPrefix(*out.DPPRecordID, "DPP-NN-FCS-001-2.1.0-"))
					}
				})
			}
			wg.Wait()
			return ids, refused
		}
		if ids, refused := each("FREEZE"); len(ids) != 1 || ids[0] != "FREEZE" || refused != 2 {
			t.Errorf("%v, %d refused", ids, refused)
		}
		_, err := w.submit("mlo", dppHook, event("FREEZE"))
		if e := caos.AsError(err); e.Kind != caos.Conflict || e.Rule != "passport-once" || !strings.Contains(e.Message, "DPP-NN-FCS-001-2.1.0-FREEZE") {
			t.Errorf("once more: %v", err)
		}
		w.become(model, "2.1.0", registry.ProductionReady, registry.Released)
		ids, refused := each("DEPLOYMENT")
		seen := map[string]bool{}
		for _, id := range ids {
			seen[id] = true
		}
		if refused != 0 || !seen["DEPLOYMENT"] || !seen["DEPLOYMENT-2"] || !seen["DEPLOYMENT-3"] {
			t.Errorf("%v, %d refused", ids, refused)
		}
	})
}

func TestDPPCreateRefusals(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		ctx := context.Background()
		w.sealed(model, "2.1.0", "w=1")
		w.sealed("NN-ENG-001", "1.0.0", "w=2")
		w.ok(w.db.Update(ctx, func(tx *db.Tx) error {
			_, err := w.registry.CreateVersion(tx, registry.Version{ModelID: model, Version: "2.2.0"}, by("mlo"))
			return err
		}))
		foreign, err := w.objects.Put(ctx, strings.NewReader("another project's"), object.PutOptions{})
		w.ok(err)
		w.ok(w.db.Update(ctx, func(tx *db.Tx) error {
			return w.objects.Bind(tx, foreign, object.Binding{Owner: "EVID-1", Kind: "artifact", Project: "P2"})
		}))
		set := func(k string, v any) func(m map[string]any) { return func(m map[string]any) { m[k] = v } }
		deep := any(1)
		for range 9 {
			deep = map[string]any{"a": deep}
		}
		artifacts := func(uris ...any) func(m map[string]any) { return set("artifacts", uris) }
		for name, c := range map[string]struct {
			who    string
			change func(m map[string]any)
			kind   caos.Kind
			field  string
		}{
			"missing role":           {"aud", nil, caos.Denied, ""},
			"unknown model":          {"mlo", set("model_id", "NN-NONE-001"), caos.NotFound, ""},
			"malformed model":        {"mlo", set("model_id", "FCS"), caos.Invalid, "model_id"},
			"unknown version":        {"mlo", set("model_version", "9.9.9"), caos.NotFound, ""},
			"malformed version":      {"mlo", set("model_version", "2.1.0+build"), caos.Invalid, "model_version"},
			"not frozen":             {"mlo", set("model_version", "2.2.0"), caos.Conflict, "model_version"},
			"not released":           {"mlo", set("lifecycle_event", "DEPLOYMENT"), caos.Conflict, "lifecycle_event"},
			"an event of CAOS's own": {"mlo", set("lifecycle_event", "ROLLBACK"), caos.Invalid, "lifecycle_event"},
			"no event":               {"mlo", set("lifecycle_event", ""), caos.Invalid, "lifecycle_event"},
			"deep metadata":          {"mlo", set("metadata", deep), caos.TooLarge, ""},
			"huge metadata":          {"mlo", set("metadata", map[string]any{"a": strings.Repeat("x", dpp.MaxMetadata)}), caos.TooLarge, "metadata"},
			"metadata of no object":  {"mlo", set("metadata", []any{}), caos.Invalid, "metadata"},
			"no metadata":            {"mlo", func(m map[string]any) { delete(m, "metadata") }, caos.Invalid, ""},
			"one member more":        {"mlo", set("signature", "x"), caos.Invalid, ""},
			"an address elsewhere":   {"mlo", artifacts(baseURL+fileAt, "https://example.org/model.onnx"), caos.Invalid, "artifacts[1]"},
			"a local file":           {"mlo", artifacts("file:///etc/passwd"), caos.Invalid, "artifacts[0]"},
			"another resource":       {"mlo", artifacts(baseURL + "/v1/evidence/EVID-1/artifact"), caos.Invalid, "artifacts[0]"},
			"with a query":           {"mlo", artifacts(baseURL + fileAt + "?x=1"), caos.Invalid, "artifacts[0]"},
			"out of the baseline":    {"mlo", artifacts(baseURL + "/v1/baselines/BL-FCS-2.1.0/files/../../x"), caos.Invalid, "artifacts[0]"},
			"out of it, escaped":     {"mlo", artifacts(baseURL + "/v1/baselines/BL-FCS-2.1.0/files/%2e%2e%2fx"), caos.Invalid, "artifacts[0]"},
			"no such file":           {"mlo", artifacts(baseURL + "/v1/baselines/BL-FCS-2.1.0/files/other"), caos.NotFound, "artifacts[0]"},
			"another's baseline":     {"mlo", artifacts(baseURL + "/v1/baselines/BL-ENG-1.0.0/files/weights/model%20file.txt"), caos.NotFound, "artifacts[0]"},
			"no such object":         {"mlo", artifacts("object://" + sum("none")), caos.NotFound, "artifacts[0]"},
			"an object of others":    {"mlo", artifacts("object://" + foreign.Digest), caos.NotFound, "artifacts[0]"},
			"no digest":              {"mlo", artifacts("object://SHA256:00"), caos.Invalid, "artifacts[0]"},
			"the same twice":         {"mlo", artifacts(fileAt, baseURL+fileAt), caos.Invalid, "artifacts[1]"},
			"an empty address":       {"mlo", artifacts(""), caos.Invalid, "artifacts[0]"},
		} {
			_, err := w.submit(c.who, dppHook, dppInput(c.change))
			e := caos.AsError(err)
			if err == nil || e.Kind != c.kind || (c.field != "" && e.Field != c.field) || e.Kind == caos.TooLarge && !strings.HasPrefix(e.Field, "metadata") {
				t.Errorf("%s: %v (kind %s, field %q)", name, err, e.Kind, e.Field)
			}
		}
		w.counts(map[string]int{`SELECT COUNT(*) FROM passports`: 0, `SELECT COUNT(*) FROM passport_claims`: 0, `SELECT COUNT(*) FROM executions WHERE hook_id='` + dppHook + `'`: 0})
		// No artifact named means all files of the baseline.
		var out DPPCreateOutput
		w.done("mlo", dppHook, dppInput(set("artifacts", []any{})), &out)
		row, err := w.dpp.Get(ctx, *out.DPPRecordID)
		w.ok(err)
		annex, err := w.dpp.Annex(row)
		if err != nil || !bytes.Contains(annex, []byte(baseURL+fileAt)) {
			t.Errorf("%s %v", annex, err)
		}
	})
}

// A byte that was changed on disk is found, no passport is made, and its identifier is free
// again once the file is restored.
func TestDPPCreateDamaged(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		b := w.sealed(model, "2.1.0", "w=1.25")
		path := filepath.Join(w.dirs.baselines, b.BaselineID, "weights", "model file.txt")
		write := func(s string) {
			if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, []byte(s), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		write("w=9.25")
		x, err := w.submit("mlo", dppHook, dppInput(nil))
		w.ok(err)
		if x.Status != engine.Failed || x.Error == nil || x.Error.Field != "artifacts[0]" || !strings.Contains(x.Error.Message, sum("w=9.25")) {
			t.Errorf("%s %+v", x.Status, x.Error)
		}
		var out DPPCreateOutput
		if err := json.Unmarshal(x.Output, &out); err != nil || out.DPPRecordID != nil || out.DPPURI != nil || out.DPPVerificationURI != nil {
			t.Errorf("output %s %v", x.Output, err)
		}
		w.counts(map[string]int{`SELECT COUNT(*) FROM passports`: 0, `SELECT COUNT(*) FROM passport_claims`: 0})
		write("w=1.25")
		w.done("mlo", dppHook, dppInput(nil), &out)
		if *out.DPPRecordID != "DPP-NN-FCS-001-2.1.0-FREEZE" {
			t.Errorf("%s", *out.DPPRecordID)
		}
	})
}

// ROLLBACK and RETIREMENT are CAOS's own to enter, and fit their states alone.
func TestEnterPassport(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		ctx := context.Background()
		w.sealed(model, "2.1.0", "w=1")
		c := DPPCollaborators{Registry: w.registry, Passports: w.dpp, Objects: w.objects, Baselines: w.frozen, BaseURL: baseURL}
		enter := func(e dpp.Event) (*dpp.Passport, error) {
			return EnterPassport(ctx, c, DPPEntry{ModelID: model, Version: "2.1.0", Event: e, Metadata: json.RawMessage(`{"why":"drift"}`), Actor: "mlo", Execution: "EXEC-1"})
		}
		for e, kind := range map[dpp.Event]caos.Kind{dpp.Rollback: caos.Conflict, dpp.Retirement: caos.Conflict, dpp.Freeze: caos.Invalid, dpp.Deployment: caos.Invalid, "": caos.Invalid} {
			if _, err := enter(e); caos.KindOf(err) != kind || caos.AsError(err).Field != "lifecycle_event" {
				t.Errorf("%q: %v", e, err)
			}
		}
		w.become(model, "2.1.0", registry.ProductionReady, registry.Released)
		if p, err := enter(dpp.Rollback); err != nil || p.PassportID != "DPP-NN-FCS-001-2.1.0-ROLLBACK" || p.ExecutionID != "EXEC-1" || p.Project != "P1" {
			t.Errorf("%+v %v", p, err)
		}
		w.become(model, "2.1.0", registry.Retired)
		p, err := enter(dpp.Retirement)
		w.ok(err)
		if annex, err := w.dpp.Annex(p); err != nil || !bytes.Contains(annex, []byte(`{"why":"drift"}`)) || !bytes.Contains(annex, []byte(sum("w=1"))) {
			t.Errorf("%s %v", annex, err)
		}
		if _, err := enter(dpp.Rollback); caos.KindOf(err) != caos.Conflict {
			t.Errorf("a rollback of a retired version: %v", err)
		}
		w.counts(map[string]int{`SELECT COUNT(*) FROM passports`: 2, `SELECT COUNT(*) FROM passport_index`: 2})
	})
}

// Once a model has a passport, an item of evidence is linked into its history.
func TestEvidenceIsLinked(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.makePackage()
		w.sealed(model, "2.1.0", "w=1")
		var made DPPCreateOutput
		w.done("mlo", dppHook, dppInput(nil), &made)
		var out EvidenceOutput
		x := w.done("cora", evidenceHook, evidenceInput(w.file("report.xml", goodJUnit), nil), &out)
		list, _, err := w.dpp.History(context.Background(), *made.DPPRecordID, 0, "")
		if err != nil || !out.DPPRecordUpdated || len(list) != 2 || list[0].Kind != dpp.KindEvidence || list[0].Subject != *out.EvidenceID || list[0].ExecutionID != x.ID {
			t.Errorf("dpp_record_updated %v, history %+v, %v", out.DPPRecordUpdated, list, err)
		}
		last := w.record(x.Steps[len(x.Steps)-1].AuditRecordID)
		if reasons := last["details"].(map[string]any)["reasons"].(map[string]any); reasons["dpp_record_updated"] != nil {
			t.Errorf("reasons %v", reasons)
		}
	})
}

// A process dies at a commit of DPP.CREATE, whichever it is and however the commit ends,
// and another one takes over: there is one passport, one line of history, and one record of
// it.
func TestDPPCreateDiesAtEveryCommit(t *testing.T) {
	t.Parallel()
	diesEverywhere(t, 5, func(w *world) (string, any) {
		w.sealed(model, "2.1.0", "w=1")
		return dppHook, dppInput(nil)
	}, func(w *world, x *engine.Execution) {
		var out DPPCreateOutput
		if err := json.Unmarshal(x.Output, &out); err != nil || out.DPPRecordID == nil || *out.DPPRecordID != "DPP-NN-FCS-001-2.1.0-FREEZE" {
			w.t.Fatalf("output %s %v", x.Output, err)
		}
		w.counts(map[string]int{
			`SELECT COUNT(*) FROM passports`: 1, `SELECT COUNT(*) FROM passport_claims`: 1, `SELECT COUNT(*) FROM passport_index`: 1, `SELECT COUNT(*) FROM passport_history`: 1,
			`SELECT COUNT(*) FROM object_refs WHERE kind LIKE 'passport%'`: 2, `SELECT SUM(passports) FROM passport_index`: 1,
		})
		page, err := w.log.List(context.Background(), auditlog.Filter{Type: auditlog.Data, Resource: *out.DPPRecordID}, "")
		if err != nil || len(page.Records) != 2 { // one with everything, and one that anybody may read
			w.t.Errorf("%d records of the passport, %v", len(page.Records), err)
		}
	})
}

// The same of an execution that fails because a file of the baseline was changed: whatever
// commit the process dies at, also that of the compensation, the identifier is free again.
// Mutation that makes this fail: a plan without its compensation.
func TestDPPCreateFailsAndDiesAtEveryCommit(t *testing.T) {
	t.Parallel()
	ordeal{commits: 3, ends: engine.Failed, prepare: func(w *world) (string, any) {
		b := w.sealed(model, "2.1.0", "w=1")
		path := filepath.Join(w.dirs.baselines, b.BaselineID, "weights", "model file.txt")
		w.ok(errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, []byte("w=2"), 0o600)))
		return dppHook, dppInput(nil)
	}, holds: func(w *world, x *engine.Execution) {
		w.counts(map[string]int{`SELECT COUNT(*) FROM passports`: 0, `SELECT COUNT(*) FROM passport_claims`: 0, `SELECT COUNT(*) FROM object_refs WHERE kind LIKE 'passport%'`: 0})
	}}.everywhere(t)
}

func FuzzArtifactURI(f *testing.F) {
	f.Add("object://" + sum("x"))
	f.Add(baseURL + fileAt)
	f.Add("/v1/objects/" + strings.ReplaceAll(sum("x"), ":", "%3A"))
	f.Fuzz(func(t *testing.T, uri string) {
		a, err := parseArtifact(uri, baseURL)
		if err != nil {
			if caos.KindOf(err) != caos.Invalid {
				t.Fatalf("%q: %v", uri, err)
			}
			return
		}
		if (a.Object == "") == (a.Baseline == "") || a.Object != "" && len(a.Object) != 71 ||
			a.Baseline != "" && (strings.Contains(a.Baseline, "/") || a.Path == "" || !filepath.IsLocal(a.Path)) {
			t.Fatalf("%q is read as %+v", uri, a)
		}
	})
}
