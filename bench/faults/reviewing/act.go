package reviewing

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/engine"
	"caos/internal/readiness"
)

// The kinds of acts.
const (
	Vote    = "vote"
	Close   = "close"   // a condition
	Scope   = "scope"   // of a release
	Ask     = "request" // for a release
	Approve = "approve"
	Reject  = "reject"
	Revoke  = "revoke"
)

// Act is what somebody asks a node to do in their own name.
type Act struct {
	Kind       string                     `json:"kind"`
	Who        string                     `json:"who"`
	ID         string                     `json:"id"` // of the review or the release
	Propose    bool                       `json:"propose,omitempty"`
	Outcome    string                     `json:"outcome,omitempty"`
	Conditions []readiness.ConditionDraft `json:"conditions,omitempty"`
	Condition  string                     `json:"condition_id,omitempty"`
	Evidence   []string                   `json:"evidence,omitempty"`
	readiness.Proof

	Contested bool `json:"-"` // the same person asks for something else at the same time
}

// Mender owns the conditions that voters ask for.
const Mender = mender

// scopeUntil is when releases end.
func scopeUntil() time.Time { return time.Now().UTC().AddDate(0, 1, 0).Truncate(24 * time.Hour) }

// errProposed rolls back what a proposal looked at.
var errProposed = errors.New("a proposal")

// Do does an act, or answers what would be signed, which is a readiness.Proposal.
func (d *Desk) Do(ctx context.Context, e *engine.Engine, a Act) (out any, err error) {
	p := As(a.Who)
	ballot := readiness.Ballot{Outcome: a.Outcome, Conditions: a.Conditions}
	closing := readiness.Closing{Evidence: a.Evidence}
	role := map[string]string{Chief: "chief-engineer", Quality: "qa-lead", Other: "qa-lead"}[a.Who]
	reason := "a defect was found in service"
	if a.Propose {
		err = d.DB.Update(ctx, func(tx *db.Tx) (err error) {
			switch a.Kind {
			case Vote:
				out, err = d.Readiness.ProposeVote(tx, a.ID, ballot, p)
			case Close:
				out, err = d.Readiness.ProposeClosing(tx, readiness.ConditionRef{PRRID: a.ID, ConditionID: a.Condition}, closing, p)
			case Approve:
				out, err = d.Readiness.ProposeApproval(tx, a.ID, role, "APPROVED", p)
			case Reject:
				out, err = d.Readiness.ProposeApproval(tx, a.ID, role, "REJECTED", p)
			default:
				err = caos.Errorf(caos.Invalid, "nothing is signed to %q", a.Kind)
			}
			if err == nil {
				err = errProposed
			}
			return err
		})
		if errors.Is(err, errProposed) {
			err = nil
		}
		return out, err
	}
	switch a.Kind {
	case Vote, Close:
		return nil, d.toReview(ctx, e, a, p)
	}
	return nil, d.DB.Update(ctx, func(tx *db.Tx) (err error) {
		switch a.Kind {
		case Scope:
			until, why, by := scopeUntil(), "the review approved it", []string{"CANARY"}
			on := []string{"FCC-1"}
			_, err = d.Readiness.UpdateScope(tx, a.ID, readiness.ScopeChange{Platforms: &on, Strategies: &by, NotAfter: &until, Rationale: &why}, 0, readiness.By{Actor: a.Who})
		case Ask:
			_, err = d.Readiness.Request(tx, a.ID, p, readiness.By{Actor: a.Who})
		case Approve:
			_, err = d.Readiness.Approve(tx, a.ID, role, a.Proof, p)
		case Reject:
			_, err = d.Readiness.Reject(tx, a.ID, role, a.Proof, p)
		case Revoke:
			_, err = d.Readiness.Revoke(tx, a.ID, reason, a.Proof, p)
		default:
			err = caos.Errorf(caos.Invalid, "%q is nothing that is done", a.Kind)
		}
		return err
	})
}

// toReview gives a vote or the closing of a condition to the execution that waits for it.
func (d *Desk) toReview(ctx context.Context, e *engine.Engine, a Act, p caos.Principal) error {
	v, err := d.Readiness.Review(ctx, a.ID)
	if err != nil {
		return err
	}
	topic, payload := "vote", map[string]any{"outcome": a.Outcome}
	if a.Kind == Close {
		topic, payload = "condition", map[string]any{"condition_id": a.Condition, "evidence": a.Evidence}
	}
	if len(a.Conditions) > 0 {
		payload["conditions"] = a.Conditions
	}
	if a.Signature != "" {
		payload["statement"], payload["signature"] = a.Statement, a.Signature
	}
	raw, err := json.Marshal(payload)
	if err != nil {
		return err
	}
	_, err = e.Decide(ctx, v.ExecutionID, engine.Decision{Topic: topic, Payload: raw, Actor: p.ID, By: p}, nil)
	return err
}

// Refusal is why a node did not do an act.
type Refusal struct {
	Rule    string `json:"rule"`
	Field   string `json:"field"`
	Message string `json:"message"`
}
