package hook

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
	"caos/internal/readiness"
	"caos/internal/registry"
	"caos/internal/report"
)

// What no review can come of is refused before there is one, by the rule that names it.
func TestModelPRRRefuses(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.reviewable()
		set := func(field string, v any) func(map[string]any) { return func(in map[string]any) { in[field] = v } }
		day := func(days int) string { return w.dirs.now().UTC().AddDate(0, 0, days).Format(time.DateOnly) }
		for _, c := range []struct {
			name, who, rule, field string
			change                 func(map[string]any)
		}{
			{"member unknown", "rel", "board", "prr_board_members[1]", set("prr_board_members", []string{"bo", "nobody"})},
			{"member without the role", "rel", "board", "prr_board_members[0]", set("prr_board_members", []string{"vera", "bo"})},
			{"member twice", "rel", "board", "prr_board_members[1]", set("prr_board_members", []string{"bo", "bo"})},
			{"nobody", "rel", "", "prr_board_members", set("prr_board_members", []string{})},
			{"day past", "rel", "prr-date", "prr_date", set("prr_date", day(-1))},
			{"day far", "rel", "prr-date", "prr_date", set("prr_date", day(370))},
			{"no day", "rel", "prr-date", "prr_date", set("prr_date", "2026-02-30")},
			{"unknown template", "rel", "checklist", "criteria_checklist_id", set("criteria_checklist_id", "95-00-09-01-099")},
			{"unknown baseline", "rel", "baseline-known", "baseline_id", set("baseline_id", "BL-DLY-7.0.0")},
			{"caller without the role", "vera", "", "", nil},
			{"field too many", "rel", "", "rationale", set("rationale", "why not")},
		} {
			t.Run(c.name, func(t *testing.T) {
				x, err := w.submit(c.who, prrHook, w.prrRequest(c.change))
				e := caos.AsError(err)
				if err == nil || c.rule != "" && e.Rule != c.rule || c.field != "" && e.Field != c.field || e.Kind == caos.Internal {
					t.Fatalf("%+v: %v, rule %q, field %q", x, err, e.Rule, e.Field)
				}
			})
		}
		w.counts(map[string]int{`SELECT COUNT(*) FROM reviews`: 0,
			`SELECT COUNT(*) FROM audit_records WHERE type = 'ACCESS' AND record LIKE '%"policies":["checklist"]%' AND record LIKE '%"resources":["` + dly + `"]%'`: 1})
		x := w.voting(nil)
		_, err := w.submit("conny", prrHook, w.prrRequest(nil))
		if e := caos.AsError(err); e.Rule != readiness.RuleReviewOpen || !strings.Contains(e.Message, dlyPRR) {
			t.Errorf("a second review: %v", err)
		}

		for _, c := range []struct {
			name, who, rule string
			payload         string
		}{
			{"non-member", "ben", readiness.RuleBoardMember, `{"outcome":"APPROVED"}`},
			{"requester", "rel", "", `{"outcome":"APPROVED"}`},
			{"owner", "olga", "", `{"outcome":"APPROVED"}`},
			{"conditional without conditions", "bo", readiness.RuleCondition, `{"outcome":"CONDITIONAL"}`},
			{"no outcome", "bo", "", `{"outcome":"MAYBE"}`},
			{"another field", "bo", "", `{"outcome":"APPROVED","person":"bea"}`},
			{"no object", "bo", "", `"APPROVED"`},
			{"made-up signature", "bo", readiness.RuleFresh, `{"outcome":"APPROVED","statement":"x","signature":"y"}`},
		} {
			t.Run(c.name, func(t *testing.T) {
				_, err := w.engine.Decide(context.Background(), x.ID, engine.Decision{Topic: topicVote, Payload: json.RawMessage(c.payload), Actor: c.who, By: w.as(c.who)}, nil)
				if e := caos.AsError(err); err == nil || c.rule != "" && e.Rule != c.rule || e.Kind == caos.Internal {
					t.Errorf("%v, rule %q", err, e.Rule)
				}
			})
		}
		_, err = w.engine.Decide(context.Background(), x.ID, engine.Decision{Topic: topicVote, Payload: json.RawMessage(`{"outcome":"APPROVED"}`), Actor: "bea", By: w.as("bo")}, nil)
		if e := caos.AsError(err); e.Rule != readiness.RulePersonal {
			t.Errorf("a vote for somebody else: %v", err)
		}
		w.counts(map[string]int{`SELECT COUNT(*) FROM review_votes`: 0, `SELECT COUNT(*) FROM decisions`: 0})
		w.must(w.cast(x, "bo", report.Approved))
		if err := w.cast(x, "bo", report.Rejected); caos.KindOf(err) != caos.Conflict {
			t.Errorf("a second vote: %v", err)
		}
	})
}

// A board that could never decide is refused: members who had a hand in the version, or no
// Chief Engineer who may vote.
func TestModelPRRUnreachableQuorum(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.reviewable()
		ctx := context.Background()
		if err := w.auth.GrantRole(ctx, w.as("admin"), "olga", "prr-board"); err != nil {
			t.Fatal(err)
		}
		_, err := w.submit("rel", prrHook, w.prrRequest(func(in map[string]any) { in["prr_board_members"] = []string{"bo", "olga"} }))
		if e := caos.AsError(err); e.Rule != "quorum-reachable" {
			t.Errorf("half of the board is barred: %v", err)
		}
		if err := w.auth.RevokeRole(ctx, w.as("admin"), "carl", "chief-engineer"); err != nil {
			t.Fatal(err)
		}
		_, err = w.submit("rel", prrHook, w.prrRequest(nil))
		if e := caos.AsError(err); e.Rule != "quorum-reachable" || !strings.Contains(e.Message, "chief-engineer") {
			t.Errorf("no chief engineer: %v", err)
		}
	})
}

// What the facts do not allow ends REJECTED, without a vote, and has SUCCEEDED: the report
// says what stands against it. Afterwards there can be a second review, of its own id.
func TestModelPRRRejectedByFacts(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.reviewable()
		w.risk("RISK-DLY-2", 5, 4)
		x, err := w.begin("rel", prrHook, w.prrRequest(nil))
		w.must(err)
		x, out := w.ends(x, engine.Succeeded)
		found(t, x, "risk-critical")
		if *out.PRRDecision != report.Rejected || len(out.PRRConditions) != 0 || len(out.NextSteps) < 2 || !strings.Contains(out.NextSteps[0], "RISK-DLY-2") {
			t.Errorf("%s", x.Output)
		}
		if v := w.review(dlyPRR); v.Status != readiness.ReviewDecided || v.Decision != report.Rejected || len(v.Votes) != 0 || len(v.Editions) != 2 {
			t.Errorf("%+v", v)
		}
		w.counts(map[string]int{`SELECT COUNT(*) FROM model_versions WHERE state='FROZEN'`: 1, `SELECT COUNT(*) FROM release_authorizations`: 0})
		low := 1
		w.do(func(tx *db.Tx) error {
			_, err := w.readiness.UpdateRisk(tx, "RISK-DLY-2", readiness.RiskUpdate{ResidualLikelihood: &low, ResidualImpact: &low}, 0, readiness.By{Actor: "mlo"})
			return err
		})
		y := w.voting(nil)
		for _, who := range []string{"bo", "bea", "carl"} {
			w.must(w.cast(y, who, report.Approved))
		}
		_, out = w.ends(y, engine.Succeeded)
		if *out.PRRID != dlyPRR+"-2" || *out.PRRDecision != report.Approved || *out.PRRReportID != "95-00-09-02-002" {
			t.Errorf("%+v", out)
		}
	})
}

// One REJECTED ends the vote at once.
func TestModelPRROneRejects(t *testing.T) {
	w := newWorld(t, dbtest.Open(t, db.SQLite))
	w.reviewable()
	x := w.voting(nil)
	w.must(w.cast(x, "bo", report.Approved))
	w.must(w.cast(x, "bea", report.Rejected))
	if _, out := w.ends(x, engine.Succeeded); *out.PRRDecision != report.Rejected {
		t.Errorf("%+v", out)
	}
	if err := w.cast(x, "carl", report.Approved); caos.KindOf(err) != caos.Conflict {
		t.Errorf("a vote after the decision: %v", err)
	}
}

// What gets worse while the board votes lowers the decision; what gets worse while it closes
// conditions stops it. Mutations that make this fail: recordDecision without bestOf;
// updateStatus without allows.
func TestModelPRROvertaken(t *testing.T) {
	t.Parallel()
	problem := func(w *world) {
		w.do(func(tx *db.Tx) error {
			_, err := w.registry.CreateProblem(tx, registry.ProblemReport{Title: "Wrong sign", Severity: registry.High, ModelID: dly}, by("mlo"))
			return err
		})
	}
	approve := func(w *world, x *engine.Execution) {
		for _, who := range []string{"bo", "bea", "carl"} {
			w.must(w.cast(x, who, report.Approved))
		}
	}
	t.Run("a minor item before the decision", func(t *testing.T) {
		dbtest.Run(t, func(t *testing.T, d *db.DB) {
			w := newWorld(t, d)
			w.reviewable()
			x := w.voting(nil)
			w.reopen(w.minorItem())
			approve(w, x)
			w.until(x.ID, "close-conditions", engine.StepWaiting)
			v := w.review(dlyPRR)
			if v.Decision != report.Conditional || len(v.Conditions) != 1 || !strings.Contains(v.Conditions[0].Text, w.minorItem()) {
				t.Fatalf("%+v", v)
			}
			w.must(w.meet(x, "quin", v.Conditions[0].ConditionID))
			if _, out := w.ends(x, engine.Succeeded); *out.PRRDecision != report.Approved {
				t.Errorf("%+v", out)
			}
		})
	})
	t.Run("a high problem before the decision", func(t *testing.T) {
		w := newWorld(t, dbtest.Open(t, db.SQLite))
		w.reviewable()
		x := w.voting(nil)
		problem(w)
		approve(w, x)
		x, out := w.ends(x, engine.Succeeded)
		found(t, x, "defects")
		if *out.PRRDecision != report.Rejected {
			t.Errorf("%+v", out)
		}
	})
	t.Run("a high problem before the last condition is closed", func(t *testing.T) {
		dbtest.Run(t, func(t *testing.T, d *db.DB) {
			w := newWorld(t, d)
			w.reviewable()
			x := w.voting(nil)
			for _, who := range []string{"bo", "bea", "carl"} {
				w.must(w.cast(x, who, report.Conditional, w.condition("Show the alarm")))
			}
			w.until(x.ID, "close-conditions", engine.StepWaiting)
			problem(w)
			w.must(w.meet(x, "quin", w.review(dlyPRR).Conditions[0].ConditionID))
			x, _ = w.ends(x, engine.Failed)
			found(t, x, "defects")
			found(t, x, "decision-overtaken")
			if v := w.review(dlyPRR); v.Status != readiness.ReviewFailed || v.BoardDecision != report.Conditional || v.Conditions[0].Status != readiness.ConditionClosed {
				t.Errorf("%+v", v)
			}
			w.counts(map[string]int{`SELECT COUNT(*) FROM model_versions WHERE state='FROZEN'`: 1, `SELECT COUNT(*) FROM release_authorizations`: 0})
		})
	})
}

// Too few votes until the end of the day: the review FAILED, in a process that was started
// again meanwhile, and there can be another.
func TestModelPRRWithoutQuorum(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		url := dbtest.URL(t, dialect)
		w := newWorld(t, openAt(t, url))
		w.reviewable()
		x := w.voting(nil)
		w.must(w.cast(x, "bo", report.Approved))
		w = w.restart(url, 5*24*time.Hour)
		x, out := w.ends(x, engine.Failed)
		found(t, x, readiness.RuleQuorum)
		if out.PRRDecision != nil || len(out.NextSteps) == 0 {
			t.Errorf("%s", x.Output)
		}
		if v := w.review(dlyPRR); v.Status != readiness.ReviewFailed || v.Decision != "" {
			t.Errorf("%+v", v)
		}
		if err := w.cast(x, "bea", report.Approved); caos.KindOf(err) != caos.Conflict {
			t.Errorf("a vote after the close: %v", err)
		}
		w.voting(nil)
	})
}

// A review waits across restarts, in each of its waits.
func TestModelPRRAcrossRestarts(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		url := dbtest.URL(t, dialect)
		w := newWorld(t, openAt(t, url))
		w.reviewable()
		x := w.voting(nil)
		w.must(w.cast(x, "bo", report.Conditional, w.condition("Show the alarm")))
		w = w.restart(url, 24*time.Hour)
		w.must(w.cast(x, "bea", report.Conditional, w.condition("Show the alarm")))
		w.must(w.cast(x, "carl", report.Conditional, w.condition("Show the alarm")))
		w.until(x.ID, "close-conditions", engine.StepWaiting)
		w = w.restart(url, 24*time.Hour)
		for _, c := range w.review(dlyPRR).Conditions {
			w.must(w.meet(x, "quin", c.ConditionID))
		}
		if _, out := w.ends(x, engine.Succeeded); *out.PRRDecision != report.Approved {
			t.Errorf("%+v", out)
		}
	})
}

// Cancelled in either wait, the review is CANCELLED and the version stays FROZEN; one that
// is PRODUCTION_READY stays so.
func TestModelPRRCancelled(t *testing.T) {
	t.Parallel()
	cancel := func(w *world, x *engine.Execution) *engine.Execution {
		w.t.Helper()
		if _, err := w.engine.Cancel(context.Background(), x.ID, "a mistake", w.as("rel"), nil); err != nil {
			w.t.Fatal(err)
		}
		x, _ = w.ends(x, engine.Cancelled)
		if v := w.review(dlyPRR); v.Status != readiness.ReviewCancelled {
			w.t.Errorf("%+v", v)
		}
		w.counts(map[string]int{`SELECT COUNT(*) FROM model_versions WHERE state='FROZEN'`: 1, `SELECT COUNT(*) FROM release_authorizations`: 0})
		return x
	}
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.reviewable()
		x := cancel(w, w.voting(nil))
		if err := w.cast(x, "bo", report.Approved); caos.KindOf(err) != caos.Conflict {
			t.Errorf("a vote on a cancelled review: %v", err)
		}
		w.voting(nil)
	})
	t.Run("with open conditions", func(t *testing.T) {
		w := newWorld(t, dbtest.Open(t, db.SQLite))
		w.reviewable()
		x := w.voting(nil)
		for _, who := range []string{"bo", "bea", "carl"} {
			w.must(w.cast(x, who, report.Conditional, w.condition("Show the alarm")))
		}
		w.until(x.ID, "close-conditions", engine.StepWaiting)
		cancel(w, x)
		if err := w.meet(x, "quin", w.review(dlyPRR).Conditions[0].ConditionID); caos.KindOf(err) != caos.Conflict {
			t.Errorf("a condition of a cancelled review: %v", err)
		}
	})
}

// A document id or an edition that somebody else takes while the report is made is not in
// its way. Mutation that makes this fail: register that gives every error back.
func TestModelPRRReportIDTaken(t *testing.T) {
	w := newWorld(t, dbtest.Open(t, db.SQLite))
	w.reviewable()
	w.register(registry.Document{DocumentID: "95-00-09-02-001", Version: "1.0", Kind: "memo", MediaType: "text/plain", ModelID: dly}, "Taken.", by("mlo"))
	x := w.voting(nil)
	if v := w.review(dlyPRR); v.ReportID != "95-00-09-02-002" {
		t.Errorf("%+v", v)
	}
	w.register(registry.Document{DocumentID: "95-00-09-02-002", Version: "2.0", Kind: registry.KindPRRReport, MediaType: "text/plain", ModelID: dly}, "Another one.", by("mlo"))
	for _, who := range []string{"bo", "bea", "carl"} {
		w.must(w.cast(x, who, report.Approved))
	}
	w.ends(x, engine.Succeeded)
	if v := w.review(dlyPRR); v.Editions[1].Version != "3.0" {
		t.Errorf("%+v", v.Editions)
	}
}
