package hook

import (
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"

	"caos"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
	"caos/internal/evidence"
	"caos/internal/object"
	"caos/internal/policy"
)

// A repeated request gets its execution although a gate would refuse a new one by now; a
// caller who lost the right gets nothing. Mutation: Submit without engine.Repeated.
func TestRepetitionAfterTheGateClosed(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.makePackage()
		ctx := context.Background()
		send := func(who string, uri string) (*engine.Execution, error) {
			body, err := json.Marshal(evidenceInput(uri, nil))
			if err != nil {
				t.Fatal(err)
			}
			return w.Submit(ctx, Request{Hook: evidenceHook, Body: body, ContentType: "application/json", IdemKey: "k", By: w.as(who)})
		}
		uri := w.file("report.xml", goodJUnit)
		x, err := send("cora", uri)
		if err != nil {
			t.Fatal(err)
		}
		if x, err = w.engine.Await(ctx, x.ID, patience); err != nil || x.Status != engine.Succeeded {
			t.Fatal(x, err)
		}
		err = w.db.Update(ctx, func(tx *db.Tx) error {
			_, err := w.evidence.Close(tx, pkg, "complete", evidence.By{Actor: "cora"})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		again, err := send("cora", uri)
		if err != nil || again.ID != x.ID || !again.Existing {
			t.Errorf("repeated: %v %v", again, err)
		}
		if _, err := send("cora", w.file("other.xml", goodJUnit)); caos.KindOf(err) != caos.Conflict {
			t.Errorf("another request: %v", err)
		}
		admin := w.as("admin")
		admin.MFA = "totp"
		if err := w.auth.RevokeRole(ctx, admin, "cora", "certification"); err != nil {
			t.Fatal(err)
		}
		if _, err := send("cora", uri); caos.KindOf(err) != caos.Denied {
			t.Errorf("repeated without the right: %v", err)
		}
	})
}

// A refusal is recorded although the caller has hung up. Mutation: refused under the
// caller's context.
func TestRefusalOfACallerWhoHungUp(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		before := countRecords(t, w)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := w.Submit(ctx, Request{Hook: auditHook, Body: []byte(`{}`), ContentType: "application/json", By: w.as("mlo")}); caos.KindOf(err) != caos.Invalid {
			t.Fatal(err)
		}
		if n := countRecords(t, w) - before; n != 1 {
			t.Errorf("%d records of the refusal", n)
		}
	})
}

// A dry run tells nothing of the state of things to who may not submit the hook.
func TestDryRunOfAStranger(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.makePackage()
		body, _ := json.Marshal(evidenceInput("file:///x", nil))
		for who, gates := range map[string]int{"cora": 2, "aud": 1} {
			x, err := w.DryRun(context.Background(), Request{Hook: evidenceHook, Body: body, ContentType: "application/json", By: w.as(who)})
			if err != nil || len(x.Gates) != gates || x.Gates[0].Pass != (gates == 2) {
				t.Errorf("%s: %+v %v", who, x, err)
			}
		}
	})
}

// What another node writes into the registry holds here after a refresh. Mutation: Refresh
// that applies nothing.
func TestRegistryOfAnotherNode(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.makePackage()
		err := d.Write(context.Background(), func(tx *db.Tx) error {
			tx.Exec(`INSERT INTO hook_registrations (hook_id, hook_version, hook_status, hook_owner, retry_policy, timeout_seconds, revision, updated_at, updated_by)
 VALUES ($1,'1.0.0','ACTIVE','x','{"max_attempts":1,"initial_interval_ms":1,"max_interval_ms":1,"factor":1,"jitter":0}',60,1,0,'admin')`, evidenceHook)
			return nil
		})
		if err == nil {
			err = w.Refresh(context.Background())
		}
		if err != nil {
			t.Fatal(err)
		}
		x, err := w.submit("cora", evidenceHook, evidenceInput("http://127.0.0.1:1/report.xml", nil))
		if err != nil || x.Status != engine.Failed || x.Steps[0].Attempt != 1 {
			t.Errorf("%+v %v", x, err)
		}
	})
}

// blind is a directory that cannot be asked just now.
type blind struct{ testDirectory }

func (blind) KnownActor(*db.Tx, string) (bool, bool, error) {
	return false, false, caos.Errorf(caos.Unavailable, "the directory is away")
}

// A report that cannot be judged now is not half recorded: the reporter is told to send it
// again. Mutation: the plan of CERT.AUDIT without AtOnce.
func TestAuditAtOnceOrNotAtAll(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		policies, err := policy.Load()
		if err != nil {
			t.Fatal(err)
		}
		h := CertAudit(blind{testDirectory{w}}, policies, ChainPolicy{}, baseURL)
		stamps := caos.NewStamper(time.Now, time.Now(), 0, 1)
		eng, err := engine.New(engine.Options{DB: d, Log: w.log, Stamps: stamps, Flows: Flows([]*Hook{h})})
		if err != nil {
			t.Fatal(err)
		}
		before := countRecords(t, w)
		input, _ := json.Marshal(auditInput(nil))
		_, err = eng.Submit(context.Background(), engine.Submission{Hook: h.ID, Input: input, By: w.as("mlo")})
		if caos.KindOf(err) != caos.Unavailable {
			t.Errorf("%v", err)
		}
		w.counts(map[string]int{`SELECT COUNT(*) FROM executions`: 0})
		if n := countRecords(t, w); n != before {
			t.Errorf("%d records of nothing", n-before)
		}
	})
}

// A retry that comes when the artifact may have been swept does not bind it. Mutation:
// storeItem without the check.
func TestLateRetryOfEvidence(t *testing.T) {
	h := certEvidence{}
	s := &evidenceState{Stored: time.Now().Add(-object.Grace)}
	if err := h.storeItem(nil, &engine.Run{Now: time.Now()}, s); caos.KindOf(err) != caos.Conflict {
		t.Errorf("%v", err)
	}
}

// What fails before the item is stored leaves null ids, no item and no staged file; the
// object that nothing refers to is swept.
func TestFailedEvidenceLeavesNothing(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.makePackage()
		x, err := w.submit("cora", evidenceHook, evidenceInput(w.file("lie.xml", "no xml at all"), nil))
		if err != nil || x.Status != engine.Failed {
			t.Fatal(x, err)
		}
		const nothing = `{"evidence_id":null,"evidence_hash":null,"evidence_uri":null,"blockchain_tx_id":null,"dpp_record_updated":false,"certification_package_updated":false}`
		if string(x.Output) != nothing {
			t.Errorf("output %s", x.Output)
		}
		w.counts(map[string]int{`SELECT COUNT(*) FROM evidence`: 0, `SELECT COUNT(*) FROM object_refs`: 0})
		if left, err := os.ReadDir(w.dirs.scratch); err != nil || len(left) != 0 {
			t.Errorf("staged files are left: %v %v", left, err)
		}
	})
}

// Whoever lacks the clearance of a package adds nothing to it, and the execution and every
// record of those who may keep its classification.
func TestClassifiedSubmission(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		ctx := context.Background()
		err := d.Update(ctx, func(tx *db.Tx) error {
			_, err := w.evidence.Create(tx, evidence.Package{PackageID: pkg, ModelID: model, Classification: "Restricted"}, evidence.By{Actor: "admin"})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		input := evidenceInput(w.file("report.xml", goodJUnit), nil)
		if _, err := w.submit("cora", evidenceHook, input); caos.KindOf(err) != caos.NotFound || caos.AsError(err).Field != "certification_package_id" {
			t.Fatalf("without a clearance: %v", err)
		}
		admin := w.as("admin")
		admin.MFA = "totp"
		if err := w.auth.SetScope(ctx, admin, "cora", auth.Scope{AllProjects: true, Clearances: []string{"Restricted"}}); err != nil {
			t.Fatal(err)
		}
		x, err := w.submit("cora", evidenceHook, input)
		if err != nil || x.Status != engine.Succeeded || x.Classification != "Restricted" {
			t.Fatalf("%+v %v", x, err)
		}
		for _, st := range x.Steps {
			if r := w.record(st.AuditRecordID); r["classification"] != "Restricted" {
				t.Errorf("record of %s: classification %v", st.Step, r["classification"])
			}
		}
	})
}
