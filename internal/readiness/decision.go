package readiness

import (
	"errors"
	"slices"
	"strings"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/codec"
	"caos/internal/db"
	"caos/internal/verify"
)

// How far the time of a statement may lie from the server's when it comes back signed.
const (
	statementAge   = 10 * time.Minute
	statementAhead = time.Minute
)

// Bounds of what comes with a decision.
const (
	maxStatement = 8 << 10
	maxSignature = 4 << 10
	maxMeaning   = 2000 // bytes; that of verify.Decision
)

// Rules that refuse a decision, as their refusals name them.
const (
	RulePersonal    = "personal-decision"     // not a person who acts for themselves
	RuleFresh       = "statement-fresh"       // the statement is not the one proposed for this act, or too old
	RuleSignature   = "signature"             // it is not a signature over the statement, for decisions
	RuleKey         = "key-not-active"        // the key that signed is not an active one of the person
	RulePersonalKey = "personal-key-required" // the policy wants a signature, not a second factor
	RuleFactor      = "decision-step-up"      // neither a signature nor a second factor
	RuleOnce        = "decided-already"       // the person decided on this very thing before
	RuleSeparation  = "separation-of-duties"  // the person had a hand in the version, or acts for one who had
)

// Act is something that is to be decided: what, on which exact thing, and what it means.
type Act struct {
	What    string // act and object, such as "vote:PRR-…:APPROVED"
	Subject string // id of the thing decided on
	Digest  string // of its exact content
	Meaning string // in words that the person reads, at most 2000 bytes
	// Outcome and Role are what was decided, and the role in which; "" for none. Where What
	// ends with ":" and them, they are not part of what can be decided once: nobody votes a
	// second time with another outcome, or approves a second time in another role.
	Outcome string
	Role    string

	SafetyLevel    string // of the version: the policy demands a personal key at some
	Project        string
	Classification string
	Resources      []string       // ids, the model's among them
	Details        map[string]any // added to the audit record
}

// Proof is how a decision is proven: a statement that was proposed and the person's SSH
// signature over it. Both empty: the server asserts it, having checked a second factor.
type Proof struct {
	Statement string `json:"statement,omitempty"`
	Signature string `json:"signature,omitempty"`
}

// Proposal is what a person is asked to sign.
type Proposal struct {
	Statement   string `json:"statement"` // the exact bytes
	Namespace   string `json:"namespace"` // of the SSH signature
	Digest      string `json:"digest"`    // of what is decided on
	Meaning     string `json:"meaning"`
	PersonalKey bool   `json:"personal_key"` // whether the policy demands a signature
}

// Decision is what a person decided.
type Decision struct {
	DecisionID     string    `json:"decision_id"` // DEC-…
	What           string    `json:"what"`
	Subject        string    `json:"subject"`
	Digest         string    `json:"digest"`
	Meaning        string    `json:"meaning"`
	Outcome        string    `json:"outcome"`
	Person         string    `json:"person"`
	Role           string    `json:"role"`      // in which it was decided
	Roles          []string  `json:"roles"`     // of the account at that moment, as far as the token used had them
	Parties        []string  `json:"parties"`   // who could have decided in the person's stead
	Proof          string    `json:"proof"`     // sshsig, or server
	KeyID          string    `json:"key_id"`    // "" without a signature
	Statement      string    `json:"statement"` // canonical JSON that was signed
	Signature      string    `json:"signature"`
	RecordID       string    `json:"audit_record_id"`
	PolicyDigest   string    `json:"policy_digest"`
	ModelID        string    `json:"model_id"`
	DecidedAt      time.Time `json:"decided_at"`
	Project        string    `json:"project"`
	Classification string    `json:"classification"`
}

// Personal reports whether the person's own key proves the decision.
func (d *Decision) Personal() bool { return d.Proof == verify.ProofSSH }

// File is the decision as a package carries it.
func (d *Decision) File() verify.DecisionFile {
	return verify.DecisionFile{Record: d.RecordID, Statement: d.Statement, Proof: verify.DecisionProof{Kind: d.Proof, Signature: d.Signature}}
}

// statement writes what person signs to decide an act at a moment.
func (a Act) statement(person string, at time.Time) (string, error) {
	b, err := verify.Decision{Digest: a.Digest, Meaning: a.Meaning, Person: person, Time: caos.FormatTime(at), What: a.What}.Canonical()
	if err != nil {
		return "", caos.Wrap(caos.Invalid, err, "what is to be decided cannot be put into a statement: %v", err).WithField("statement")
	}
	return string(b), nil
}

// key is what a person can decide once.
func (a Act) key() string {
	key := a.What
	for _, end := range []string{a.Outcome, a.Role} {
		if end != "" {
			key = strings.TrimSuffix(key, ":"+end)
		}
	}
	return key
}

// modelID is the id of the model among the resources.
func (a Act) modelID() string {
	for _, id := range a.Resources {
		if caos.CheckID("model", "resources", id) == nil {
			return id
		}
	}
	return ""
}

// Propose returns what person is asked to sign for an act, at the server's moment now.
func (r *Readiness) Propose(now time.Time, act Act, person string) (Proposal, error) {
	statement, err := act.statement(person, now)
	if err != nil {
		return Proposal{}, err
	}
	_, policy := verify.ShippedDecisionPolicy()
	return Proposal{Statement: statement, Namespace: verify.DecisionNamespace, Digest: act.Digest, Meaning: act.Meaning,
		PersonalKey: policy.NeedsPersonalKey(act.SafetyLevel)}, nil
}

// propose is Propose at the server's moment, for somebody who may decide.
func (r *Readiness) propose(tx *db.Tx, act Act, p caos.Principal) (Proposal, error) {
	if err := r.personal(tx, p); err != nil {
		return Proposal{}, err
	}
	if err := r.undecided(tx, act, p.ID); err != nil {
		return Proposal{}, err
	}
	return r.Propose(r.now(), act, p.ID)
}

// decide takes a person's decision: it checks the proof, records it and keeps it. It does
// not know who may decide what: the caller has asked that. It refuses, naming the rule,
// what is not the person's own, fresh and proven, and what they decided before.
func (r *Readiness) decide(tx *db.Tx, act Act, proof Proof, p caos.Principal) (*Decision, error) {
	if err := r.personal(tx, p); err != nil {
		return nil, err
	}
	now := r.now()
	d := &Decision{What: act.What, Subject: act.Subject, Digest: act.Digest, Meaning: act.Meaning, Outcome: act.Outcome, Person: p.ID, Role: act.Role,
		ModelID: act.modelID(), DecidedAt: now, Project: act.Project, Classification: act.Classification}
	body, policy := verify.ShippedDecisionPolicy()
	d.PolicyDigest = verify.PolicyDigest(body)
	if err := r.prove(tx, d, act, proof, p); err != nil {
		return nil, err
	}
	if d.Proof == verify.ProofServer && policy.NeedsPersonalKey(act.SafetyLevel) {
		return nil, caos.Errorf(caos.Denied, "decisions about %s models are signed with a key of one's own", act.SafetyLevel).WithField("signature").
			WithRule(RulePersonalKey).WithHint("enrol a key and have it countersigned: caos key enrol; then decide with it")
	}
	if err := r.undecided(tx, act, p.ID); err != nil {
		return nil, err
	}
	var err error
	if d.Roles, err = r.people.RolesOf(tx, p.ID); err != nil {
		return nil, err
	}
	if d.Parties, err = r.people.Parties(tx, p); err != nil {
		return nil, err
	}
	d.Roles = slices.DeleteFunc(slices.Clone(codec.Listed(d.Roles)), func(role string) bool { return !p.Has(role) })
	d.Parties = codec.Listed(d.Parties)
	d.DecisionID = r.stamps.ID("DEC-")
	if err := r.recordDecision(tx, d, act); err != nil {
		return nil, err
	}
	return d, r.insertDecision(tx, d, act.key())
}

// personal refuses whoever is not a person that acts for themselves.
func (r *Readiness) personal(tx *db.Tx, p caos.Principal) error {
	ok, err := r.people.KnownPerson(tx, p.ID)
	if err != nil {
		return err
	}
	if !ok || p.EnabledBy != "" || p.Has("service") {
		return caos.Errorf(caos.Denied, "%.80s is not a person who acts for themselves", p.ID).WithRule(RulePersonal).
			WithHint("decisions are made by people with their own token: no service, trigger or deputy decides")
	}
	return nil
}

// prove checks the proof and notes it in d.
func (r *Readiness) prove(tx *db.Tx, d *Decision, act Act, proof Proof, p caos.Principal) error {
	if proof == (Proof{}) {
		if p.MFA == "" {
			return caos.Errorf(caos.StepUp, "a decision needs the signature of a key of one's own, or a second factor in the same request").WithRule(RuleFactor).
				WithHint("sign the proposed statement, or repeat the request with the header CAOS-MFA: totp and the current six digits")
		}
		statement, err := act.statement(p.ID, d.DecidedAt)
		d.Proof, d.Statement = verify.ProofServer, statement
		return err
	}
	if err := r.fresh(d, act, proof.Statement); err != nil {
		return err
	}
	if len(proof.Signature) > maxSignature {
		return caos.Errorf(caos.TooLarge, "a signature has at most %d bytes", maxSignature).WithField("signature").WithRule(RuleSignature).
			WithHint("send the armored signature that ssh-keygen -Y sign makes, and nothing else")
	}
	key, err := verify.VerifySSHSig([]byte(proof.Signature), []byte(proof.Statement), verify.DecisionNamespace)
	if err != nil {
		return caos.Wrap(caos.Denied, err, "this is not a signature over the statement, made for decisions: %v", err).WithField("signature").WithRule(RuleSignature).
			WithHint("sign the proposed statement to the byte: ssh-keygen -Y sign -n %s -f KEY", verify.DecisionNamespace)
	}
	id, err := r.keys.ActiveKey(tx, p.ID, key.String())
	if k := caos.KindOf(err); k == caos.NotFound || k == caos.Denied || k == caos.Invalid {
		return caos.Wrap(caos.Denied, err, "the key %s is not an active key of %s: %s", key.Fingerprint(), p.ID, caos.AsError(err).Message).WithField("signature").
			WithRule(RuleKey).WithHint("enrol a key of your own and have a second person countersign it: caos key enrol")
	}
	if err != nil {
		return err
	}
	d.Proof, d.KeyID, d.Statement, d.Signature = verify.ProofSSH, id, proof.Statement, proof.Signature
	return nil
}

// fresh refuses a statement that is not, to the byte, what was proposed to this person for
// this act, or that was proposed too long ago.
func (r *Readiness) fresh(d *Decision, act Act, statement string) error {
	if len(statement) > maxStatement {
		return caos.Errorf(caos.TooLarge, "a statement has at most %d bytes", maxStatement).WithField("statement").WithRule(RuleFresh).
			WithHint("ask for a proposal and send its statement as it is")
	}
	refuse := func(format string, args ...any) error {
		return caos.Errorf(caos.Denied, format, args...).WithField("statement").WithRule(RuleFresh).WithHint("ask for a new proposal, read it and sign it")
	}
	s, err := verify.ParseDecision([]byte(statement))
	if err != nil {
		return refuse("this is not a statement as it is proposed: %v", err)
	}
	for _, f := range []struct{ name, says, is string }{
		{"person", s.Person, d.Person}, {"what", s.What, act.What}, {"digest", s.Digest, act.Digest}, {"meaning", s.Meaning, act.Meaning},
	} {
		if f.says != f.is {
			return refuse("the statement's %s is %q, and what is to be decided now has %q", f.name, clip(f.says), clip(f.is))
		}
	}
	at, err := time.Parse(caos.TimeLayout, s.Time)
	if age := d.DecidedAt.Sub(at); err != nil || age > statementAge || age < -statementAhead {
		return refuse("the statement is of %s, and it is %s now", clip(s.Time), caos.FormatTime(d.DecidedAt))
	}
	return nil
}

func clip(s string) string {
	if len(s) > 120 {
		return strings.ToValidUTF8(s[:120], "") + "…"
	}
	return s
}

// undecided refuses what the person decided before.
func (r *Readiness) undecided(tx *db.Tx, act Act, person string) error {
	var id, outcome string
	err := tx.Query(`SELECT decision_id, outcome FROM decisions WHERE act = $1 AND digest = $2 AND person = $3`, []any{act.key(), act.Digest, person},
		func(scan func(...any) error) error { return scan(&id, &outcome) })
	if err == nil && id != "" {
		err = decidedAlready(person, act.Subject, id)
	}
	return err
}

func decidedAlready(person, subject, decision string) *caos.Error {
	return caos.Errorf(caos.Conflict, "%s decided on %s already, in %s", person, subject, decision).WithRule(RuleOnce).
		WithHint("a decision stands; it is not given twice or changed")
}

// recordDecision appends the audit record on which the proof rests.
func (r *Readiness) recordDecision(tx *db.Tx, d *Decision, act Act) error {
	details := map[string]any{}
	for k, v := range act.Details {
		details[k] = v
	}
	for k, v := range map[string]any{
		"statement_hash": verify.StatementHash([]byte(d.Statement)), "decision_id": d.DecisionID, "what": d.What, "subject": d.Subject, "subject_digest": d.Digest,
		"outcome": d.Outcome, "person": d.Person, "role": d.Role, "roles": d.Roles, "proof": d.Proof, "key_id": d.KeyID,
		"policy_digest": d.PolicyDigest, "safety_level": act.SafetyLevel,
	} {
		details[k] = v
	}
	resources := slices.Clone(act.Resources)
	for _, id := range []string{d.Subject, d.DecisionID} {
		if !slices.Contains(resources, id) {
			resources = append(resources, id)
		}
	}
	receipt, err := r.log.Append(tx, auditlog.Record{Type: auditlog.Decided, Time: d.DecidedAt, Actor: d.Person, RecordedBy: d.Person, Resources: resources,
		Details: details, Project: d.Project, Classification: d.Classification})
	d.RecordID = receipt.ID
	return err
}

func (r *Readiness) insertDecision(tx *db.Tx, d *Decision, key string) error {
	n, err := tx.ExecRows(`INSERT INTO decisions (decision_id, act, what, subject, digest, meaning, outcome, person, role, roles, parties, proof, key_id, statement,
			signature, record_id, policy_digest, model_id, decided_at, project, classification)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21) ON CONFLICT DO NOTHING`,
		d.DecisionID, key, d.What, d.Subject, d.Digest, d.Meaning, d.Outcome, d.Person, d.Role, codec.ListJSON(d.Roles), codec.ListJSON(d.Parties), d.Proof, d.KeyID, d.Statement,
		d.Signature, d.RecordID, d.PolicyDigest, d.ModelID, d.DecidedAt.UnixMicro(), d.Project, d.Classification)
	if err == nil && n == 0 {
		err = decidedAlready(d.Person, d.Subject, "another decision")
	}
	return err
}

const decisionColumns = `decision_id, what, subject, digest, meaning, outcome, person, role, roles, parties, proof, key_id, statement, signature, record_id,
	policy_digest, model_id, decided_at, project, classification`

func scanDecision(scan func(...any) error) (*Decision, error) {
	var d Decision
	var roles, parties string
	var at int64
	err := scan(&d.DecisionID, &d.What, &d.Subject, &d.Digest, &d.Meaning, &d.Outcome, &d.Person, &d.Role, &roles, &parties, &d.Proof, &d.KeyID, &d.Statement,
		&d.Signature, &d.RecordID, &d.PolicyDigest, &d.ModelID, &at, &d.Project, &d.Classification)
	if err != nil {
		return nil, err
	}
	d.DecidedAt = db.Moment(at)
	return &d, errors.Join(readJSON(roles, &d.Roles), readJSON(parties, &d.Parties))
}
