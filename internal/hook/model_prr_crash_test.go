package hook

import (
	"context"
	"encoding/json"
	"testing"

	"caos/internal/auditlog"
	"caos/internal/engine"
	"caos/internal/readiness"
	"caos/internal/report"
)

// A process dies at a commit of a review that the board approves with a condition, whichever
// it is and however the commit ends: the submission, an edition of the report, a vote, the
// decision, the closing. There is one review, a vote of each, one decision, three editions,
// one release authorisation. Mutation that makes this fail: registerReport without Prepared.
func TestModelPRRDiesAtEveryCommit(t *testing.T) {
	t.Parallel()
	ordeal{commits: 8, ends: engine.Succeeded, brief: true, prepare: func(w *world) (string, any) {
		w.reviewable()
		return prrHook, w.prrRequest(nil)
	}, drive: driveReview, holds: func(w *world, x *engine.Execution) {
		var out PRROutput
		if err := json.Unmarshal(x.Output, &out); err != nil || out.PRRDecision == nil || *out.PRRDecision != report.Approved {
			w.t.Fatalf("output %s %v %+v", x.Output, err, x.Findings)
		}
		w.counts(map[string]int{
			`SELECT COUNT(*) FROM reviews WHERE status='DECIDED'`: 1, `SELECT COUNT(*) FROM review_votes`: 3, `SELECT COUNT(*) FROM review_conditions WHERE status='CLOSED'`: 1,
			`SELECT COUNT(*) FROM documents WHERE kind='prr-report'`: 3, `SELECT COUNT(*) FROM release_authorizations`: 1,
			`SELECT COUNT(*) FROM model_versions WHERE state='PRODUCTION_READY'`: 1, `SELECT COUNT(*) FROM industrialisations WHERE production_ready=1`: 1,
			`SELECT COUNT(*) FROM events WHERE type='caos.review.opened'`: 1, `SELECT COUNT(*) FROM events WHERE type='caos.review.decided'`: 2,
			`SELECT COUNT(*) FROM object_refs WHERE kind='prr-report-pdf'`: 3,
		})
		if v := w.review(dlyPRR); len(v.Editions) != 3 {
			w.t.Errorf("%d editions", len(v.Editions))
		}
		page, err := w.log.List(context.Background(), auditlog.Filter{Type: auditlog.Decided, Resource: dlyPRR}, "")
		outcomes := 0
		for _, r := range page.Records {
			var rec struct {
				Details struct {
					OutcomeOf string `json:"outcome_of"`
				} `json:"details"`
			}
			if json.Unmarshal(r.Record, &rec) == nil && rec.Details.OutcomeOf != "" {
				outcomes++
			}
		}
		if err != nil || outcomes != 2 {
			w.t.Errorf("%d outcome records, %v", outcomes, err)
		}
	}}.everywhere(t)
}

// driveReview votes and closes conditions. What was done before the process died is refused
// the second time.
func driveReview(w *world, x *engine.Execution) {
	send := func(who, topic string, payload any) {
		raw, err := json.Marshal(payload)
		if err == nil {
			_, _ = w.engine.Decide(context.Background(), x.ID, engine.Decision{Topic: topic, Payload: raw, Actor: who, By: w.as(who)}, nil)
		}
	}
	switch x.Topic {
	case topicVote:
		for _, who := range []string{"bo", "bea", "carl"} {
			send(who, topicVote, map[string]any{"outcome": report.Conditional, "conditions": []readiness.ConditionDraft{w.condition("Show the alarm")}})
		}
	case topicCondition:
		v, err := w.readiness.Review(context.Background(), dlyPRR)
		if err != nil {
			return
		}
		for _, c := range v.Conditions {
			send("quin", topicCondition, map[string]any{"condition_id": c.ConditionID, "evidence": []string{"EVID-DLY-2"}})
		}
	}
}
