package hook

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
	"caos/internal/event"
	"caos/internal/notify"
	"caos/internal/readiness"
	"caos/internal/registry"
	"caos/internal/report"
)

// verdicts are those of an explanation by gate; none answers twice.
func verdictsOf(t *testing.T, x *Explanation) map[string]Verdict {
	t.Helper()
	out := map[string]Verdict{}
	for _, v := range x.Gates {
		if out[v.Gate].Gate != "" {
			t.Errorf("%s answers twice", v.Gate)
		}
		out[v.Gate] = v
	}
	return out
}

// Why answers of a review what stands against it, how good a decision could be, who could
// clear it, and what a review that is going on waits for; of the past what was so then. Why
// of a release follows it to the end. Nothing is left behind.
func TestWhyPRRAndRelease(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		ctx := context.Background()
		version := Subject{Model: dly, Version: dlyVersion}
		prr := func(at time.Time) (*Explanation, map[string]Verdict) {
			t.Helper()
			about := version
			about.At = at
			x, err := w.Why(ctx, w.as("rel"), prrHook, about)
			if err != nil {
				t.Fatal(err)
			}
			return x, verdictsOf(t, x)
		}
		release := func(at time.Time) (*Explanation, map[string]Verdict) {
			t.Helper()
			about := version
			about.At = at
			x, err := w.WhyRelease(ctx, w.as("rel"), about)
			if err != nil {
				t.Fatal(err)
			}
			return x, verdictsOf(t, x)
		}
		later := func() time.Time { // a moment between what is done before and after
			w.dirs.ahead.Add(int64(2 * time.Second))
			at := w.dirs.now()
			w.dirs.ahead.Add(int64(2 * time.Second))
			return at
		}
		w.ready(4096)
		if x, v := prr(time.Time{}); x.Would != WouldBeRefused || v["baseline-known"].Pass {
			t.Errorf("not frozen: %+v", x)
		}
		var out FreezeOutput
		w.done("conny", freezeHook, freezeRequest(nil), &out)
		beforeRisk := later()
		w.covered(false)
		w.risk("RISK-DLY-1", 3, 4)
		x, v := prr(time.Time{})
		if x.Would != WouldRun || x.Best != report.Rejected || v["checklist-critical"].Pass || v["risk-high"].Pass || v["evidence-required"].Pass || !v["defects"].Pass {
			t.Errorf("frozen: %s %s %+v", x.Would, x.Best, v)
		}
		if who := v["risk-high"].Who; who == nil || !slices.Equal(who.Roles, []string{"chief-engineer"}) || !slices.Equal(who.People, []string{"carl"}) {
			t.Errorf("who accepts a high risk: %+v", who)
		}
		if who := v["evidence-required"].Who; who == nil || !slices.Contains(who.People, "cora") {
			t.Errorf("who collects evidence: %+v", who)
		}
		if who := v["checklist-critical"].Who; who == nil || !slices.Contains(who.People, "mlo") {
			t.Errorf("who answers items: %+v", who)
		}
		if _, v := release(time.Time{}); v["version-state"].Pass || v["release-open"].Pass || len(v) != 2 {
			t.Errorf("release of a frozen version: %+v", v)
		}

		w.answer()
		w.cover("report.xml", goodJUnit)
		w.do(func(tx *db.Tx) error {
			_, _, err := w.readiness.AcceptRisk(tx, "RISK-DLY-1", readiness.RiskAcceptance{Reason: "It is rare.", SafetyLevel: "DAL-D"}, readiness.Proof{}, w.as("carl"))
			return err
		})
		afterAnswers := later()
		if x, v := prr(time.Time{}); x.Best != report.Approved || x.Would != WouldRun {
			t.Errorf("ready: %s %+v", x.Best, v)
		}
		going := w.voting(nil)
		x, v = prr(time.Time{})
		if who := v["votes"].Who; x.Would != WouldBeRefused || v["review-open"].Pass || v["votes"].Pass || who == nil || !slices.Equal(who.People, []string{"bea", "bo", "carl"}) {
			t.Errorf("while the board votes: %s %+v", x.Would, v["votes"])
		}
		w.must(w.cast(going, "bo", report.Conditional, w.condition("Show the alarm")))
		if _, v := prr(time.Time{}); !slices.Equal(v["votes"].Who.People, []string{"bea", "carl"}) {
			t.Errorf("after a vote: %+v", v["votes"].Who)
		}
		w.must(w.cast(going, "bea", report.Approved))
		w.must(w.cast(going, "carl", report.Approved))
		w.until(going.ID, "close-conditions", engine.StepWaiting)
		if _, v := prr(time.Time{}); v["conditions"].Pass || v["conditions"].Who == nil || slices.Contains(v["conditions"].Who.People, "mlo") || !slices.Contains(v["conditions"].Who.People, "quin") {
			t.Errorf("open conditions: %+v", v["conditions"])
		}
		w.must(w.meet(going, "quin", w.review(dlyPRR).Conditions[0].ConditionID))
		w.ends(going, engine.Succeeded)
		draft := later()

		y, v := release(time.Time{})
		if y.Would != WouldBeRefused || !v["version-state"].Pass || !v["release-open"].Pass || v["release-authorised"].Pass || v["approval-chief-engineer"].Pass {
			t.Errorf("a draft: %+v", v)
		}
		if who := v["release-authorised"].Who; who == nil || !slices.Contains(who.People, "rel") {
			t.Errorf("who asks for a draft: %+v", who)
		}
		w.do(func(tx *db.Tx) error {
			until, why := w.dirs.now().Add(30*24*time.Hour), "the fleet waits"
			platforms, strategies := []string{"AGX-XAVIER"}, []string{"CANARY"}
			if _, err := w.readiness.UpdateScope(tx, dlyRelease, readiness.ScopeChange{Platforms: &platforms, Strategies: &strategies, NotAfter: &until, Rationale: &why}, 0, readiness.By{Actor: "rel"}); err != nil {
				return err
			}
			if _, err := w.readiness.Request(tx, dlyRelease, w.as("rel"), readiness.By{Actor: "rel"}); err != nil {
				return err
			}
			_, err := w.readiness.Approve(tx, dlyRelease, "chief-engineer", readiness.Proof{}, w.as("carl"))
			return err
		})
		_, v = release(time.Time{})
		if who := v["approval-qa-lead"].Who; !v["approval-chief-engineer"].Pass || v["approval-qa-lead"].Pass || who == nil || !slices.Equal(who.People, []string{"quin"}) {
			t.Errorf("one approval: %+v", v)
		}
		w.do(func(tx *db.Tx) error {
			_, err := w.readiness.Approve(tx, dlyRelease, "qa-lead", readiness.Proof{}, w.as("quin"))
			return err
		})
		if y, v := release(time.Time{}); y.Would != WouldRun {
			t.Errorf("authorised: %+v", v)
		}

		// The past.
		x, v = prr(beforeRisk)
		if x.At == "" || x.Best != report.Rejected || !v["risk-high"].Pass || v["risk-register"].Pass || v["checklist-critical"].Pass || v["checklist-critical"].Who != nil {
			t.Errorf("before the risk: %s %+v", x.Best, v)
		}
		if v["evidence-required"].Facts["history"] != noHistory || v["checklist-critical"].Facts["history"] != nil {
			t.Errorf("what was kept: %+v", v["evidence-required"].Facts)
		}
		if _, v := prr(afterAnswers); !v["checklist-critical"].Pass || !v["risk-high"].Pass || !v["version-frozen"].Pass || v["authorised"].Gate != "" {
			t.Errorf("after the answers: %+v", v)
		}
		if _, v := prr(w.dirs.now().Add(-time.Hour)); v["version-frozen"].Pass || len(v) != 1 {
			t.Errorf("before the freeze: %+v", v)
		}
		if _, v := release(draft); !v["version-state"].Pass || !v["release-open"].Pass || v["release-authorised"].Pass || v["release-open"].Facts["status"] != readiness.AuthorizationDraft {
			t.Errorf("when it was a draft: %+v", v)
		}
		if _, v := release(afterAnswers); v["version-state"].Pass || v["release-open"].Pass {
			t.Errorf("before the review: %+v", v)
		}
		about := version
		about.At = w.dirs.now().Add(time.Hour)
		if _, err := w.Why(ctx, w.as("rel"), prrHook, about); caos.AsError(err).Field != "at" {
			t.Errorf("the future: %v", err)
		}
		about.At = beforeRisk
		if _, err := w.Why(ctx, w.as("rel"), freezeHook, about); caos.AsError(err).Field != "at" {
			t.Errorf("the past of a freeze: %v", err)
		}
		w.counts(map[string]int{`SELECT COUNT(*) FROM reviews`: 1, `SELECT COUNT(*) FROM release_authorizations`: 1})
	})
}

// Whoever may not read documents learns no more than that they may not ask.
func TestWhyPRROfAStranger(t *testing.T) {
	w := newWorld(t, dbtest.Open(t, db.SQLite))
	w.ready(4096)
	ctx, p, version := context.Background(), caos.Principal{ID: "nobody"}, Subject{Model: dly, Version: dlyVersion}
	past := version
	past.At = w.dirs.now().Add(-time.Second)
	for name, ask := range map[string]func() (*Explanation, error){
		"release":  func() (*Explanation, error) { return w.WhyRelease(ctx, p, version) },
		"prr":      func() (*Explanation, error) { return w.Why(ctx, p, prrHook, version) },
		"prr then": func() (*Explanation, error) { return w.Why(ctx, p, prrHook, past) },
	} {
		x, err := ask()
		if err != nil || len(x.Gates) != 1 || x.Gates[0].Pass || x.Gates[0].Gate != "authorised" {
			t.Errorf("%s: %+v %v", name, x, err)
		}
	}
}

// When the last critical item closes, the owner and the release managers are told what a
// review would find; of a version that is under review, or not frozen any more, nobody is.
func TestProposePRR(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.reviewable()
		propose := ProposePRR(w.parts)
		tell := func(change map[string]any) {
			t.Helper()
			data := map[string]any{"checklist_id": "CHK-DLY-1.0.0", "model_id": dly, "model_version": dlyVersion, "baseline_id": dlyBaseline}
			for k, v := range change {
				data[k] = v
			}
			w.do(func(tx *db.Tx) error {
				return propose(tx, event.Event{ID: "EVENT-1", Type: EventChecklistCompleted, Data: data})
			})
		}
		letters := func(who string) (out []notify.Received) {
			t.Helper()
			page, _, err := w.notifier.List(context.Background(), who, notify.Filter{}, "")
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range page {
				if n.Source == "EVENT-1" {
					out = append(out, n)
				}
			}
			return out
		}
		tell(map[string]any{"model_id": "NN-XXX-001"})
		tell(map[string]any{"baseline_id": "BL-XXX-1.0.0"})
		tell(map[string]any{"checklist_id": "CHK-XXX-1.0.0"})
		if got := letters("olga"); len(got) != 0 {
			t.Fatalf("told of nothing: %+v", got)
		}
		tell(nil)
		for _, who := range []string{"olga", "rel"} {
			got := letters(who)
			if len(got) != 1 || !strings.Contains(got[0].Subject, "can be reviewed") || !strings.Contains(got[0].Body, "caos why NN-DLY-001@1.0.0 prr") || !strings.HasSuffix(got[0].Link, "/why/prr") {
				t.Fatalf("%s: %+v", who, got)
			}
		}
		w.do(func(tx *db.Tx) error {
			_, err := w.registry.CreateProblem(tx, registry.ProblemReport{Title: "Wrong sign", Severity: registry.High, ModelID: dly}, by("mlo"))
			return err
		})
		tell(nil)
		if got := letters("olga"); len(got) != 2 || !strings.Contains(got[0].Subject, "not ready") || !strings.Contains(got[0].Body, "at most REJECTED") {
			t.Fatalf("%+v", got)
		}
		w.do(func(tx *db.Tx) error {
			_, err := w.registry.CloseProblem(tx, "PR-DLY-1", registry.Closing{Evidence: []string{dlyReport}, Statement: "gone"}, by("quin"))
			return err
		})
		w.voting(nil)
		tell(nil)
		if got := letters("olga"); len(letters("rel")) != 2 || len(got) != 2 {
			t.Errorf("proposed although the board is at it: %+v", got)
		}
	})
}
