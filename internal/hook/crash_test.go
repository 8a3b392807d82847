package hook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
	"caos/internal/notify"
	"caos/internal/sign"
)

// A process dies at a commit of CERT.EVIDENCE, whichever it is and however the commit ends,
// and another one takes over: there is one execution, one item, one binding, one record of
// it and one notice, and the counts are right. Mutations that make this fail: an evidence id
// that sign-statement mints anew; Submit that does not hand the client's key on.
func TestCertEvidenceDiesAtEveryCommit(t *testing.T) {
	t.Parallel()
	diesEverywhere(t, 4, func(w *world) (string, any) {
		w.makePackage()
		return evidenceHook, evidenceInput(w.file("report.xml", goodJUnit), nil)
	}, func(w *world, x *engine.Execution) {
		var out EvidenceOutput
		if err := json.Unmarshal(x.Output, &out); err != nil || out.EvidenceID == nil || !out.CertificationPackageUpdated {
			w.t.Fatalf("output %s %v", x.Output, err)
		}
		w.counts(map[string]int{
			`SELECT COUNT(*) FROM evidence`: 1, `SELECT COUNT(*) FROM evidence_covers`: 1, `SELECT COUNT(*) FROM object_refs`: 1, `SELECT COUNT(*) FROM notices`: 1,
		})
		if st, err := w.evidence.Status(context.Background(), pkg); err != nil || st.Package.Counts.Items != 1 || st.Package.Counts.Covered != 1 {
			w.t.Errorf("counts of the package: %+v %v", st, err)
		}
		page, err := w.log.List(context.Background(), auditlog.Filter{Type: auditlog.Evidence, Resource: *out.EvidenceID}, "")
		if err != nil || len(page.Records) != 1 {
			w.t.Errorf("%d records of the item, %v", len(page.Records), err)
		}
		if notices, _, err := w.notifier.List(context.Background(), "cora", notify.Filter{}, ""); err != nil || len(notices) != 1 {
			w.t.Errorf("%d notices, %v", len(notices), err)
		}
	})
}

// The same of CERT.AUDIT, whose one commit is the submission: one report, one record.
// Mutation that makes this fail: Submit that does not hand the client's key on.
func TestCertAuditDiesAtEveryCommit(t *testing.T) {
	t.Parallel()
	diesEverywhere(t, 1, func(*world) (string, any) { return auditHook, auditInput(nil) }, func(w *world, x *engine.Execution) {
		var out AuditOutput
		if err := json.Unmarshal(x.Output, &out); err != nil || out.AuditRecordID == nil || out.AuditRecordHash == nil {
			w.t.Fatalf("output %s %v", x.Output, err)
		}
		page, err := w.log.List(context.Background(), auditlog.Filter{Type: auditlog.ConfigChange}, "")
		if err != nil || len(page.Records) != 1 || page.Records[0].ID != *out.AuditRecordID {
			w.t.Errorf("%d records of the report, %v", len(page.Records), err)
		}
		w.counts(map[string]int{`SELECT SUM(reports) FROM audit_dashboard`: 1})
	})
}

// A process dies at a commit of MODEL.FREEZE or of its passport: there is one baseline, one
// folder of it, one freeze record, one passport and one notice. The commit after the folder
// got its name is among them. Mutation that makes this fail: writeBaseline that names another
// owner at each attempt, and does not clear away.
func TestModelFreezeDiesAtEveryCommit(t *testing.T) {
	t.Parallel()
	diesEverywhere(t, 6, func(w *world) (string, any) {
		w.ready(64 << 10)
		return freezeHook, freezeRequest(nil)
	}, func(w *world, x *engine.Execution) {
		ctx := context.Background()
		var out FreezeOutput
		if err := json.Unmarshal(x.Output, &out); err != nil || out.BaselineID == nil || out.DPPRecordID == nil || *out.Status != freezeSuccess {
			w.t.Fatalf("output %s %v %+v", x.Output, err, x.Findings)
		}
		w.counts(map[string]int{`SELECT COUNT(*) FROM baselines`: 1, `SELECT COUNT(*) FROM passports`: 1, `SELECT COUNT(*) FROM notices`: 1,
			`SELECT COUNT(*) FROM industrialisations`: 1, `SELECT COUNT(*) FROM events WHERE type='caos.model.frozen'`: 1,
			`SELECT COUNT(*) FROM model_versions WHERE state='FROZEN' AND freezing=''`: 1})
		page, err := w.log.List(ctx, auditlog.Filter{Type: auditlog.ModelFreeze}, "")
		if err != nil || len(page.Records) != 1 {
			w.t.Errorf("%d freeze records, %v", len(page.Records), err)
		}
		b, err := w.registry.Baseline(ctx, *out.BaselineID)
		if err != nil {
			w.t.Fatal(err)
		}
		signer, err := w.keys.Signer(sign.Baseline)
		if err != nil {
			w.t.Fatal(err)
		}
		if problems, err := w.frozen.Verify(ctx, b.BaselineID, signer.Public(), nil); err != nil || len(problems) > 0 {
			w.t.Errorf("the baseline: %v %v", problems, err)
		}
		if bundle, err := w.frozen.Bundle(b.BaselineID); err != nil || digestOfBytes(bundle) != b.BundleDigest {
			w.t.Errorf("the bundle is not the recorded one: %v", err)
		}
		w.emptyStaging()
	})
}

// The same of a freeze that fails after its baseline was written, in a transaction that
// finds a defect: whatever commit the process dies at, also one of the compensation, the
// version is free again and the store of baselines empty.
func TestModelFreezeFailsAndDiesAtEveryCommit(t *testing.T) {
	t.Parallel()
	ordeal{commits: 4, ends: engine.Failed, brief: true, prepare: func(w *world) (string, any) {
		w.ready(64 << 10)
		list, err := w.registry.Artifacts(context.Background(), dly, dlyVersion)
		if err != nil {
			w.t.Fatal(err)
		}
		w.attach("second.safetensors", "other", safetensors(64<<10, 9))
		w.tamper(list[0].Digest)
		return freezeHook, freezeRequest(nil)
	}, holds: func(w *world, x *engine.Execution) {
		var out FreezeOutput
		if err := json.Unmarshal(x.Output, &out); err != nil || out.Status == nil || *out.Status != freezeFailed || out.BaselineID != nil || len(x.Findings) == 0 {
			w.t.Errorf("output %s %v %+v", x.Output, err, x.Findings)
		}
		w.nothingHalfMade()
		if page, err := w.log.List(context.Background(), auditlog.Filter{Type: auditlog.ModelFreeze}, ""); err != nil || len(page.Records) != 0 {
			w.t.Errorf("%d freeze records of a freeze that failed, %v", len(page.Records), err)
		}
	}}.everywhere(t)
}

func digestOfBytes(b []byte) string {
	sum := sha256.Sum256(b)
	return "SHA256:" + hex.EncodeToString(sum[:])
}

// diesEverywhere breaks each commit of a request in every way, on both databases; then the
// request succeeds.
func diesEverywhere(t *testing.T, commits int, prepare func(w *world) (hookID string, input any), holds func(w *world, x *engine.Execution)) {
	ordeal{commits: commits, ends: engine.Succeeded, prepare: prepare, holds: holds}.everywhere(t)
}

// ordeal is a request during which processes die.
type ordeal struct {
	commits int           // it has at least so many
	ends    engine.Status // as what it ends all the same
	net     *testNetwork  // chain that transactions go to, nil for none
	brief   bool          // a commit that is lost, and one that is kept, stand for all ways to break it
	prepare func(w *world) (hookID string, input any)
	drive   func(w *world, x *engine.Execution) // does what the execution waits for, as it was last seen; nil for one that waits for nobody
	holds   func(w *world, x *engine.Execution)
}

func (o ordeal) everywhere(t *testing.T) {
	type end struct {
		name  string
		point db.Point
		act   db.Action
	}
	ends := []end{{"before", db.AtBegin, db.Fail}, {"never sent", db.AtCommit, db.Fail}, {"refused", db.AtCommit, db.Refuse}, {"kept but error", db.AtCommitted, db.Fail}}
	if o.brief {
		ends = []end{ends[1], ends[3]}
	}
	dbtest.EachAtOnce(t, func(t *testing.T, dialect db.Dialect) {
		for i, c := range ends {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				o := o
				if o.net != nil { // lives that share an account would take each other's nonces
					if dialect == db.PostgreSQL {
						i += len(ends)
					}
					o.net = o.net.with(i)
				}
				for k := 1; ; k++ {
					death := &death{point: c.point, act: c.act, at: k, now: make(chan struct{})}
					if death.meet(t, dialect, o); death.seen >= k {
						continue
					}
					if k <= o.commits {
						t.Fatalf("only %d commits were broken", k-1)
					}
					return
				}
			})
		}
	})
}

// death ends a process at its at-th transaction that comes to a point.
type death struct {
	point db.Point
	act   db.Action
	at    int
	now   chan struct{} // closed when it comes

	mu    sync.Mutex
	armed bool
	seen  int
}

func (d *death) fault(p db.Point) db.Action {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case !d.armed:
	case d.seen >= d.at && p == db.AtBegin: // a dead process writes nothing
		return db.Fail
	case p == d.point:
		if d.seen++; d.seen == d.at {
			close(d.now)
			return d.act
		}
	}
	return db.Proceed
}

func (d *death) arm(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.armed = on
}

// meet runs a request in a process that dies, and again in one that does not.
func (d *death) meet(t *testing.T, dialect db.Dialect, o ordeal) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute) // a busy machine is not a dead process
	defer cancel()
	url, dirs := dbtest.URL(t, dialect), newPlaces(t)
	dirs.net = o.net
	first, err := db.Open(ctx, db.Options{URL: url, Fault: &db.Fault{At: d.fault}, Log: slog.New(slog.DiscardHandler), Budget: dbtest.Budget})
	if err != nil {
		t.Fatal(err)
	}
	w := dirs.open(t, first, true)
	hookID, input := o.prepare(w)
	body, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	who := map[string]string{auditHook: "mlo", freezeHook: "conny", prrHook: "rel", validateHook: "dana", pipelineHook: "dana", contractHook: "mlo"}[hookID]
	if who == "" {
		who = "cora"
	}
	send := func(ctx context.Context, w *world) (*engine.Execution, error) {
		x, err := w.Submit(ctx, Request{Hook: hookID, Body: body, ContentType: "application/json", IdemKey: "once", By: w.as(who)})
		if err != nil || x.Status.Final() {
			return x, err
		}
		if o.drive != nil {
			for u := range w.engine.Watch(ctx, x.ID) {
				if u.Execution != nil && u.Execution.Status == engine.Waiting {
					o.drive(w, u.Execution)
				}
			}
		}
		return w.engine.Await(ctx, x.ID, patience)
	}
	d.arm(true)
	life, dies := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = send(life, w) // a dead process answers nobody
	}()
	select {
	case <-d.now:
	case <-over:
	}
	dies()
	w.close()
	<-over
	d.arm(false)
	_ = first.Close()

	second, err := db.Open(ctx, db.Options{URL: url, Budget: dbtest.Budget})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	w = dirs.open(t, second, false)
	defer w.close()
	x, err := send(ctx, w) // the client that got no answer asks again under its key
	if err != nil {
		t.Fatalf("commit %d: the repeated request: %v", d.at, err)
	}
	if x.Status != o.ends {
		raw, _ := json.Marshal(x)
		t.Fatalf("commit %d: %s", d.at, raw)
	}
	w.counts(map[string]int{fmt.Sprintf(`SELECT COUNT(*) FROM executions WHERE hook_id='%s'`, hookID): 1})
	o.holds(w, x)
	if left, err := os.ReadDir(dirs.scratch); err != nil || len(left) != 0 {
		t.Errorf("staged files are left: %v %v", left, err)
	}
	sum, err := auditlog.Verify(ctx, auditlog.VerifyOptions{DB: second, OnProblem: func(p auditlog.Problem) { t.Errorf("%+v", p) }})
	if err != nil || sum.Records == 0 {
		t.Errorf("the log: %+v %v", sum, err)
	}
}

// counts compares what queries count with what they should.
func (w *world) counts(want map[string]int) {
	w.t.Helper()
	for q, n := range want {
		var got int
		if err := w.db.QueryRow(context.Background(), q).Scan(&got); err != nil || got != n {
			w.t.Errorf("%s: %d, want %d (%v)", q, got, n, err)
		}
	}
}
