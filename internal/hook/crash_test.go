package hook

import (
	"context"
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
)

// A process dies at a commit of CERT.EVIDENCE, whichever it is and however the commit ends,
// and another one takes over: there is one execution, one item, one binding, one record of
// it and one notice, and the counts are right. Mutations that make this fail: an evidence id
// that sign-statement mints anew; Submit that does not hand the client's key on.
func TestCertEvidenceDiesAtEveryCommit(t *testing.T) {
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

// diesEverywhere breaks each commit of a request in every way, on both databases.
func diesEverywhere(t *testing.T, commits int, prepare func(w *world) (hookID string, input any), holds func(w *world, x *engine.Execution)) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		for _, c := range []struct {
			name  string
			point db.Point
			act   db.Action
		}{
			{"before", db.AtBegin, db.Fail}, {"never sent", db.AtCommit, db.Fail}, {"refused", db.AtCommit, db.Refuse}, {"kept but error", db.AtCommitted, db.Fail},
		} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				for k := 1; ; k++ {
					death := &death{point: c.point, act: c.act, at: k, now: make(chan struct{})}
					if death.meet(t, dialect, prepare, holds); death.seen >= k {
						continue
					}
					if k <= commits {
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
func (d *death) meet(t *testing.T, dialect db.Dialect, prepare func(w *world) (string, any), holds func(w *world, x *engine.Execution)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	url, dirs := dbtest.URL(t, dialect), newPlaces(t)
	first, err := db.Open(ctx, db.Options{URL: url, Fault: &db.Fault{At: d.fault}, Log: slog.New(slog.DiscardHandler), Budget: dbtest.Budget})
	if err != nil {
		t.Fatal(err)
	}
	w := dirs.open(t, first, true)
	hookID, input := prepare(w)
	body, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	who := "cora"
	if hookID == auditHook {
		who = "mlo"
	}
	send := func(ctx context.Context, w *world) (*engine.Execution, error) {
		x, err := w.Submit(ctx, Request{Hook: hookID, Body: body, ContentType: "application/json", IdemKey: "once", By: w.as(who)})
		if err != nil || x.Status.Final() {
			return x, err
		}
		return w.engine.Await(ctx, x.ID, 30*time.Second)
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
	if x.Status != engine.Succeeded {
		raw, _ := json.Marshal(x)
		t.Fatalf("commit %d: %s", d.at, raw)
	}
	w.counts(map[string]int{fmt.Sprintf(`SELECT COUNT(*) FROM executions WHERE hook_id='%s'`, hookID): 1})
	holds(w, x)
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
