package httpapi

import (
	"encoding/json"
	"fmt"

	"caos/internal/db"
	"caos/internal/readiness"
)

type votePath struct {
	ReviewPath
	Proposing
}

// VoteBody is a vote on the report of a review.
type VoteBody struct {
	Outcome    string          `json:"outcome" enum:"APPROVED,CONDITIONAL,REJECTED" doc:"not better than the review's best"`
	Comment    string          `json:"comment,omitempty" maxLength:"500" doc:"one line; part of what is signed"`
	Conditions []ConditionBody `json:"conditions,omitempty" maxItems:"20" doc:"of CONDITIONAL: at least one"`
	ProofBody
}

// ConditionBody is a condition that a voter demands.
type ConditionBody struct {
	Text  string `json:"text" minLength:"1" maxLength:"160"`
	Owner string `json:"owner" maxLength:"64" doc:"user id of who sees to it"`
	DueOn string `json:"due_on" maxLength:"10" doc:"today or later" example:"2026-12-15"`
}

func (a *API) registerVotes() {
	vote := post("/v1/reviews/{prr_id}/votes", may("review:vote")).as("vote", "reviews", "Vote on a review").
		about("A decision in one's own name about the report with the digest that the review names. The members of the board vote, and the chief engineers; " +
			"nobody who owns or owned the model, asked for its freeze, review or release, or registered its V&V report; nobody twice, or after the close.")
	operation(a, orProposal[readiness.Review](a, vote), a.vote)
}

func (a *API) vote(c *call, p *votePath, body *VoteBody) (any, error) {
	v, err := a.reviewNamed(c, p.ID)
	if err != nil {
		return nil, err
	}
	b := readiness.Ballot{Outcome: body.Outcome, Comment: body.Comment}
	for _, one := range body.Conditions {
		b.Conditions = append(b.Conditions, readiness.ConditionDraft(one))
	}
	return a.toReview(c, v, topicVote, reviewAct{Proposing: p.Proposing, ProofBody: body.ProofBody,
		ask: func(tx *db.Tx) (readiness.Proposal, error) {
			return a.Readiness.ProposeVote(tx, v.PRRID, b, c.by)
		},
		payload: func(proof readiness.Proof) ([]byte, error) {
			return payloadOf(map[string]any{"outcome": b.Outcome, "comment": b.Comment, "conditions": b.Conditions, "statement": proof.Statement, "signature": proof.Signature})
		}})
}

// payloadOf writes what an execution is given, without what is empty.
func payloadOf(fields map[string]any) ([]byte, error) {
	for name, v := range fields {
		switch v := v.(type) {
		case string:
			if v == "" {
				delete(fields, name)
			}
		case []string:
			if len(v) == 0 {
				delete(fields, name)
			}
		case []readiness.ConditionDraft:
			if len(v) == 0 {
				delete(fields, name)
			}
		}
	}
	payload, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("write a decision: %w", err)
	}
	return payload, nil
}
