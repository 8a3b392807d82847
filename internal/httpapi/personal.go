package httpapi

import (
	"cmp"
	"errors"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"caos"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/policy"
	"caos/internal/readiness"
)

// A personal act is a decision that somebody makes in their own name: a vote, the closing of
// a condition, the approval of a release. The person is always the caller. Its proof is a
// statement that the server proposed and a key of theirs has signed; without one the request
// needs a second factor, and the server asserts the decision.

// Proposing lets a personal act be looked at before it is done.
type Proposing struct {
	Propose bool `query:"propose" doc:"answer the statement that would be signed, and change nothing; the body is that of the act, without statement and signature"`
}

// ProofBody is how a person proves a decision: both, or neither and a second factor.
type ProofBody struct {
	Statement string `json:"statement,omitempty" maxLength:"8192" doc:"the statement that propose=true answered, to the byte, at most ten minutes old"`
	Signature string `json:"signature,omitempty" maxLength:"4096" doc:"armored SSH signature over it in the namespace caos-decision@v1, by an enrolled key of the caller's"`
}

func (b ProofBody) proof() (readiness.Proof, error) {
	p := readiness.Proof{Statement: b.Statement, Signature: b.Signature}
	if (p.Statement == "") != (p.Signature == "") {
		field := "signature"
		if p.Statement == "" {
			field = "statement"
		}
		return p, missing(field)
	}
	return p, nil
}

// aboutProof is said of every personal act.
const aboutProof = " Proven by a statement and its signature, or by a second factor (CAOS-MFA) where the policy of decisions allows it for the model's safety level. " +
	"With propose=true the answer is the statement to sign, and nothing changes. The person is always the caller; a refusal is recorded with its rule."

// personalAct is one request for a decision in the caller's own name.
type personalAct struct {
	Proposing
	ProofBody

	// subject is what is decided on, as the transaction sees it, with everybody who cannot
	// decide on it as its parties.
	subject func(tx *db.Tx) (auth.Resource, error)
	// ask is what would be decided; it makes every check but that of the proof.
	ask func(tx *db.Tx) (readiness.Proposal, error)
	// do decides.
	do func(tx *db.Tx, proof readiness.Proof) (any, error)
}

// errProposed rolls back what a proposal looked at.
var errProposed = errors.New("a proposal")

// inPerson decides, or answers what would be decided. The answer is a readiness.Proposal
// then.
func (a *API) inPerson(c *call, x personalAct) (out any, err error) {
	proof, err := x.proof()
	if err != nil {
		return nil, err
	}
	if x.Propose && proof != (readiness.Proof{}) {
		return nil, caos.Errorf(caos.Invalid, "there is nothing to prove yet").WithField("statement").WithHint("leave it out, or leave propose=true out")
	}
	var res auth.Resource
	decide := func(tx *db.Tx) (err error) {
		if res, err = x.subject(tx); err != nil {
			return err
		}
		if err := a.authorizePersonal(c, tx, res, x.Propose || proof.Signature != ""); err != nil {
			return err
		}
		if !x.Propose {
			out, err = x.do(tx, proof)
			return err
		}
		if out, err = x.ask(tx); err == nil {
			err = errProposed
		}
		return err
	}
	if x.Propose {
		if err = a.DB.Write(c.ctx(), decide); errors.Is(err, errProposed) {
			return out, nil
		}
	} else {
		err = a.DB.Update(c.ctx(), decide)
	}
	if err != nil {
		return nil, c.refusedAct(res, err)
	}
	return out, nil
}

// authorizePersonal is authorize for a personal act. Whether the signature is good is found
// where the decision is kept; that there is one is enough not to ask for a second factor.
func (a *API) authorizePersonal(c *call, tx *db.Tx, res auth.Resource, signed bool) error {
	proof := "server"
	if signed {
		proof = "sshsig"
	}
	return a.Auth.Authorize(tx, c.by, c.endpoint.Rule.Action, res, map[string]any{"proof": proof})
}

// refusedAct makes the refusal of a decision, by whatever rule, one that is recorded with
// who, what and why.
func (c *call) refusedAct(res auth.Resource, err error) error {
	var known *auth.Refusal
	var e *caos.Error
	if errors.As(err, &known) || !errors.As(err, &e) {
		return err
	}
	switch e.Kind {
	case caos.Denied:
	case caos.Invalid, caos.Conflict, caos.TooLarge, caos.NotFound:
		if e.Rule == "" {
			return err
		}
	default:
		return err
	}
	return &auth.Refusal{Principal: c.by, Action: c.endpoint.Rule.Action, Resource: res, Err: e,
		Decision: policy.Decision{Policies: []string{cmp.Or(e.Rule, policy.RuleDefault)}, Reasons: []string{e.Message}}}
}

// orProposal describes the answer of a personal act: T, or the proposal.
func orProposal[T any](a *API, e endpoint) endpoint {
	reg := a.huma.OpenAPI().Components.Schemas
	e.either = []*huma.Schema{
		reg.Schema(reflect.TypeFor[T](), true, e.id+"-answer"),
		reg.Schema(reflect.TypeFor[readiness.Proposal](), true, "Proposal"),
	}
	e.doc += aboutProof
	return e
}

// actor is the caller, for the records of readiness.
func (c *call) actor() readiness.By { return readiness.By{Actor: c.by.ID, RecordedBy: c.by.ID} }
