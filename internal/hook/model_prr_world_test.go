package hook

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
	"caos/internal/evidence"
	"caos/internal/readiness"
)

// The review that the tests are about.
const (
	dlyBaseline = "BL-DLY-1.0.0"
	dlyPRR      = "PRR-NN-DLY-001-1.0.0"
	dlyRelease  = "REL-AUTH-NN-DLY-001-1.0.0"
)

// minorItem is a minor item of the shipped checklist.
func (w *world) minorItem() string {
	w.t.Helper()
	for _, i := range w.checklist().Items {
		if i.Criticality == readiness.MinorItem {
			return i.ItemID
		}
	}
	w.t.Fatal("no item is minor")
	return ""
}

func (w *world) checklist() *readiness.Checklist {
	w.t.Helper()
	c, err := w.readiness.Checklist(context.Background(), "CHK-DLY-1.0.0")
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// answer completes all open items but some.
func (w *world) answer(but ...string) {
	w.t.Helper()
	c := w.checklist()
	w.do(func(tx *db.Tx) error {
		for _, i := range c.Items {
			if i.Closed() || contains(but, i.ItemID) {
				continue
			}
			at := readiness.ItemRef{ChecklistID: c.ChecklistID, ItemID: i.ItemID}
			if _, err := w.readiness.CompleteItem(tx, at, readiness.Completion{Evidence: []string{"EVID-DLY-1"}}, readiness.Proof{}, w.as("mlo")); err != nil {
				return err
			}
		}
		return nil
	})
}

func contains(list []string, s string) bool {
	for _, one := range list {
		if one == s {
			return true
		}
	}
	return false
}

func (w *world) reopen(item string) {
	w.t.Helper()
	w.do(func(tx *db.Tx) error {
		_, err := w.readiness.ReopenItem(tx, readiness.ItemRef{ChecklistID: "CHK-DLY-1.0.0", ItemID: item}, "looked again", readiness.By{Actor: "mlo"})
		return err
	})
}

// risk writes a risk of a likelihood and impact into the register.
func (w *world) risk(id string, likelihood, impact int) *readiness.Risk {
	w.t.Helper()
	var out *readiness.Risk
	w.do(func(tx *db.Tx) (err error) {
		out, err = w.readiness.CreateRisk(tx, readiness.Risk{RiskID: id, Title: "Late data", Likelihood: likelihood, Impact: impact, Owner: "mlo", ModelID: dly,
			Project: "", Classification: "Internal"}, readiness.By{Actor: "mlo"})
		return err
	})
	return out
}

// covered makes a package of the model whose plan has one requirement, and covers it.
func (w *world) covered(cover bool) {
	w.t.Helper()
	w.do(func(tx *db.Tx) error {
		by := evidence.By{Actor: "cora"}
		if _, err := w.evidence.Create(tx, evidence.Package{PackageID: "CERT-PKG-DLY", ModelID: dly}, by); err != nil {
			return err
		}
		_, err := w.evidence.SetPlan(tx, evidence.Plan{PackageID: "CERT-PKG-DLY", Requirements: []string{"REQ-DLY-1"}}, by)
		return err
	})
	if cover {
		w.cover("report.xml", goodJUnit)
	}
}

func (w *world) cover(name, body string) {
	w.t.Helper()
	var out EvidenceOutput
	w.done("cora", evidenceHook, evidenceInput(w.file(name, body), func(m map[string]any) {
		m["model_id"], m["certification_package_id"] = dly, "CERT-PKG-DLY"
		m["artifact_metadata"] = map[string]any{"format": "junit", "requirement_ids": []string{"REQ-DLY-1"}}
	}), &out)
}

// frozen makes a version that is frozen and whose review can approve it, but for some items
// of the checklist.
func (w *world) reviewable(but ...string) {
	w.t.Helper()
	w.ready(4096)
	var out FreezeOutput
	w.done("conny", freezeHook, freezeRequest(nil), &out)
	w.answer(but...)
	w.risk("RISK-DLY-1", 1, 2)
	w.covered(true)
}

func (w *world) prrRequest(change func(in map[string]any)) map[string]any {
	in := map[string]any{"model_id": dly, "baseline_id": dlyBaseline, "criteria_checklist_id": "95-00-09-01-005",
		"prr_board_members": []string{"bo", "bea"}, "prr_date": w.dirs.now().UTC().AddDate(0, 0, 3).Format(time.DateOnly)}
	if change != nil {
		change(in)
	}
	return in
}

// voting begins a review and waits until the board may vote.
func (w *world) voting(change func(in map[string]any)) *engine.Execution {
	w.t.Helper()
	x, err := w.begin("rel", prrHook, w.prrRequest(change))
	if err != nil {
		w.t.Fatal(err)
	}
	w.until(x.ID, "collect-votes", engine.StepWaiting)
	return x
}

// cast votes, and returns the refusal.
func (w *world) cast(x *engine.Execution, who, outcome string, conditions ...readiness.ConditionDraft) error {
	w.t.Helper()
	return w.decide(x, who, topicVote, map[string]any{"outcome": outcome, "conditions": append([]readiness.ConditionDraft{}, conditions...)})
}

// meet closes a condition, and returns the refusal.
func (w *world) meet(x *engine.Execution, who, condition string) error {
	w.t.Helper()
	return w.decide(x, who, topicCondition, map[string]any{"condition_id": condition, "evidence": []string{"EVID-DLY-2"}})
}

func (w *world) decide(x *engine.Execution, who, topic string, payload any) error {
	w.t.Helper()
	raw, err := json.Marshal(payload)
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = w.engine.Decide(context.Background(), x.ID, engine.Decision{Topic: topic, Payload: raw, Actor: who, By: w.as(who)}, nil)
	return err
}

// must fails the test for a refusal.
func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// ends waits for the end of an execution and reads its output.
func (w *world) ends(x *engine.Execution, status engine.Status) (*engine.Execution, PRROutput) {
	w.t.Helper()
	x, err := w.engine.Await(context.Background(), x.ID, patience)
	if err != nil || x.Status != status {
		raw, _ := json.Marshal(x)
		w.t.Fatalf("%v %s", err, raw)
	}
	var out PRROutput
	if err := json.Unmarshal(x.Output, &out); err != nil {
		w.t.Fatal(err)
	}
	return x, out
}

func (w *world) review(id string) *readiness.Review {
	w.t.Helper()
	v, err := w.readiness.Review(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

func (w *world) condition(text string) readiness.ConditionDraft {
	return readiness.ConditionDraft{Text: text, Owner: "mlo", DueOn: w.dirs.now().UTC().AddDate(0, 0, 10).Format(time.DateOnly)}
}

// found reports whether an execution has a finding of a rule, with a remedy.
func found(t *testing.T, x *engine.Execution, rule string) {
	t.Helper()
	for _, f := range x.Findings {
		if f.Rule == rule && f.Message != "" && f.Remedy != "" {
			return
		}
	}
	t.Errorf("no finding %s among %+v", rule, x.Findings)
}

// openAt opens a database that is closed by a later life of the process, or by the test.
func openAt(t testing.TB, url string) *db.DB {
	t.Helper()
	d, err := db.Open(context.Background(), db.Options{URL: url, Budget: dbtest.Budget})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// restart ends this life of the process and begins another on the same database, some time
// later.
func (w *world) restart(url string, later time.Duration) *world {
	w.t.Helper()
	w.close()
	_ = w.db.Close()
	w.dirs.ahead.Add(int64(later))
	return w.dirs.open(w.t, openAt(w.t, url), false)
}
