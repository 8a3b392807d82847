package verify

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
)

// DecisionNamespace is the SSHSIG namespace of decisions: a signature made for anything
// else, such as a git commit, is not one.
const DecisionNamespace = "caos-decision@v1"

// Proofs of a decision.
const (
	ProofSSH    = "sshsig" // by a key that the person holds
	ProofServer = "server" // asserted by the server, which checked a second factor
)

// Decision is what a person decided: the statement that their own key signs.
type Decision struct {
	Digest  string // "SHA256:" and hex of the exact thing decided on, such as a report
	Meaning string // what the decision means, in words the person read
	Person  string // user id
	Time    string // caos.TimeLayout, as the server proposed it
	What    string // the act and its object, such as "vote:PRR-…"
}

// Canonical returns the bytes that are signed: canonical JSON with the five fields. It
// refuses a decision that does not say all five.
func (d Decision) Canonical() ([]byte, error) {
	if _, err := ParseHash(d.Digest); err != nil {
		return nil, refuse("digest", "%s is not a digest", quote(d.Digest))
	}
	for _, f := range []struct{ name, value string }{{"meaning", d.Meaning}, {"person", d.Person}, {"what", d.What}} {
		if !printable(f.value, 2000) {
			return nil, refuse(f.name, "must be 1 to 2000 bytes of text without control characters")
		}
	}
	if !plainTime(d.Time) {
		return nil, refuse("time", "%s is not a time", quote(d.Time))
	}
	b := canonicalString([]byte(`{"digest":`), d.Digest)
	b = canonicalString(append(b, `,"meaning":`...), d.Meaning)
	b = canonicalString(append(b, `,"person":`...), d.Person)
	b = canonicalString(append(b, `,"time":`...), d.Time)
	b = canonicalString(append(b, `,"what":`...), d.What)
	return append(b, '}'), nil
}

// StatementHash is what the audit record of a decision must carry in its details as
// "statement_hash".
func StatementHash(statement []byte) string { return FormatHash(sha256.Sum256(statement)) }

// decisionFields mirrors Decision for reading.
type decisionFields struct {
	Digest  string `json:"digest"`
	Meaning string `json:"meaning"`
	Person  string `json:"person"`
	Time    string `json:"time"`
	What    string `json:"what"`
}

// ParseDecision reads what Canonical writes and nothing else.
func ParseDecision(data []byte) (Decision, error) {
	var f decisionFields
	if len(data) > 64<<10 {
		return Decision{}, refuse("decision", "has %d bytes", len(data))
	}
	if err := decodeStrict("decision", data, shapeOf[decisionFields](), &f); err != nil {
		return Decision{}, err
	}
	d := Decision(f)
	canonical, err := d.Canonical()
	if err != nil {
		return Decision{}, err
	}
	if string(canonical) != string(data) {
		return Decision{}, refuse("decision", "is not in canonical form")
	}
	return d, nil
}

// DecisionFile is a decision in a package.
type DecisionFile struct {
	Record    string        `json:"audit_record_id"` // the record whose details have statement_hash, the statement's digest
	Proof     DecisionProof `json:"proof"`
	Statement string        `json:"statement"` // Decision.Canonical
}

// DecisionProof is how a decision is proven.
type DecisionProof struct {
	Kind      string `json:"kind"`                // ProofSSH or ProofServer
	Signature string `json:"signature,omitempty"` // armored SSHSIG over the statement
}

// Marshal writes the file.
func (f DecisionFile) Marshal() ([]byte, error) { return marshalPlain(f) }

// ParseDecisionFile reads the file of a decision and checks its signature, if it has one.
// The key is the zero SSHKey for a decision that only the server asserts.
func ParseDecisionFile(data []byte) (DecisionFile, Decision, SSHKey, error) {
	var f DecisionFile
	if err := decodeStrict("decision", data, shapeOf[DecisionFile](), &f); err != nil {
		return f, Decision{}, SSHKey{}, err
	}
	d, err := ParseDecision([]byte(f.Statement))
	if err != nil {
		return f, d, SSHKey{}, err
	}
	switch {
	case f.Proof.Kind == ProofServer && f.Proof.Signature == "":
		return f, d, SSHKey{}, nil
	case f.Proof.Kind != ProofSSH:
		return f, d, SSHKey{}, refuse("proof", "of kind %s is not known", quote(f.Proof.Kind))
	}
	key, err := VerifySSHSig([]byte(f.Proof.Signature), []byte(f.Statement), DecisionNamespace)
	return f, d, key, err
}

// Enrolment is in the details of the KEY record that gives a person a key of their own, or
// takes it away. The details may say more.
type Enrolment struct {
	_                struct{}    `open:"true"`
	Event            string      `json:"event"`                       // EnrolmentActive or EnrolmentRevoked
	Person           string      `json:"person"`                      // user id
	SSHKey           string      `json:"ssh_key"`                     // public key line
	Countersigned    string      `json:"countersigned_by"`            // another person's user id
	CompromisedSince *string     `json:"compromised_since,omitempty"` // of a revocation: the moment from which nothing signed counts
	Possession       *Possession `json:"possession,omitempty"`        // the person's proof that they hold the key
}

// Possession is a statement about a person and a key, signed by that key.
type Possession struct {
	Namespace string `json:"namespace"` // SSHSIG namespace, never DecisionNamespace
	Signature string `json:"signature"` // armored SSHSIG over the statement
	Statement string `json:"statement"` // JSON with at least "person" and "public_key"
}

// possessed is what a Possession's statement must say.
type possessed struct {
	_         struct{} `open:"true"`
	Person    string   `json:"person"`
	PublicKey string   `json:"public_key"`
}

func (p Possession) check(person string, key SSHKey) error {
	var s possessed
	if err := decodeStrict("possession", []byte(p.Statement), shapeOf[possessed](), &s); err != nil {
		return err
	}
	if p.Namespace == DecisionNamespace || s.Person != person || s.PublicKey != key.String() {
		return refuse("possession", "is a statement about somebody or something else")
	}
	by, err := VerifySSHSig([]byte(p.Signature), []byte(p.Statement), p.Namespace)
	if err == nil && by.String() != key.String() {
		err = refuse("possession", "is signed by another key")
	}
	return err
}

// What happens to a person's key.
const (
	EnrolmentActive  = "enrolled"
	EnrolmentRevoked = "revoked"
)

// enrolled is an Enrolment with the index of its leaf.
type enrolled struct {
	Enrolment
	key   string // SSHKey.String
	index int64
}

// checkKeys checks every KEY record against the trust file, and collects the people's keys.
func (p *pkg) checkKeys() {
	c := p.report.check("keys")
	seen := map[string]bool{}
	p.each(func(i int, f *entryFacts) {
		c.Count++
		if f.record == nil {
			return // named by the check of records
		}
		id, err := p.checkKeyRecord(f.record)
		if err != nil {
			c.fail(p.entries[i].name, "%v", err)
		}
		seen[id] = true
	}, kindKey)
	c.Says = "Every key record agrees with the trust file: " + count(int64(c.Count), "record", "records")
	used := []string{p.checkpoint.KeyID}
	p.each(func(_ int, f *entryFacts) {
		if f.envelope != nil {
			used = append(used, f.envelope.keys...)
		}
	}, kindEnvelope)
	slices.Sort(used)
	for _, id := range slices.Compact(used) {
		if id != "" && !seen[id] {
			p.report.finding("from when to when %s counts rests on the trust file alone: the record of its birth is not in the package", id)
		}
	}
}

// checkKeyRecord checks one KEY record and returns the id of the key whose birth it is.
func (p *pkg) checkKeyRecord(r *recordFacts) (string, error) {
	var probe struct {
		_         struct{} `open:"true"`
		Statement string   `json:"statement,omitempty"`
	}
	if err := json.Unmarshal(r.key, &probe); err != nil || probe.Statement == "" {
		e, err := parseEnrolment(r)
		if err == nil {
			p.people[e.key] = append(p.people[e.key], e)
		}
		return "", err
	}
	var e KeyEvent
	if err := decodeStrict("details", r.key, shapeOf[KeyEvent](), &e); err != nil {
		return "", err
	}
	s, err := e.Parse()
	if err != nil {
		return "", err
	}
	k, err := p.trust.Find(s.KeyID, s.Purpose)
	if err != nil {
		return "", refuse("trust file", "does not know the key %s: get a newer one", s.KeyID)
	}
	by := k
	if s.SignedBy != s.KeyID {
		if by = p.trust.byID(s.SignedBy); by == nil {
			return "", refuse("trust file", "does not know the key %s that signed: get a newer one", s.SignedBy)
		}
	}
	pub, err := by.Public()
	if err != nil {
		return "", err
	}
	if err := e.Verify(pub); err != nil {
		return "", err
	}
	at := &k.ActiveFrom
	switch s.Event {
	case KeyRetired:
		at = k.ActiveUntil
	case KeyCompromised:
		at = k.CompromisedAt
	}
	if at == nil || *at != r.index {
		return "", refuse("trust file", "does not say that %s was %s at leaf %d: get a newer one", s.KeyID, s.Event, r.index)
	}
	if s.Event == KeyCreated {
		return s.KeyID, nil
	}
	return "", nil
}

func (t *Trust) byID(id string) *TrustKey {
	for i := range t.Keys {
		if t.Keys[i].ID == id {
			return &t.Keys[i]
		}
	}
	return nil
}

func parseEnrolment(r *recordFacts) (enrolled, error) {
	e := enrolled{index: r.index}
	if err := decodeStrict("details", r.key, shapeOf[Enrolment](), &e.Enrolment); err != nil {
		return e, err
	}
	key, err := ParseSSHKey(e.SSHKey)
	if err != nil {
		return e, err
	}
	e.key = key.String()
	if e.CompromisedSince != nil && !plainTime(*e.CompromisedSince) {
		return e, refuse("details", "have a malformed compromised_since")
	}
	if e.Possession != nil {
		if err := e.Possession.check(e.Person, key); err != nil {
			return e, err
		}
	}
	switch {
	case e.Event != EnrolmentActive && e.Event != EnrolmentRevoked:
		return e, refuse("details", "have the unknown event %s", quote(e.Event))
	case e.Event == EnrolmentActive && (e.Countersigned == "" || e.Countersigned == e.Person):
		return e, refuse("details", "the key of %s was not countersigned by somebody else", quote(e.Person))
	}
	return e, nil
}

// checkHolder checks that the key which signed a decision was the person's when the
// decision was recorded: the last thing that happened to it before counts, and a later
// revocation if it says that the key was in wrong hands by then.
func (p *pkg) checkHolder(r *recordFacts, d Decision, key SSHKey) error {
	var last *enrolled
	mine := p.people[key.String()]
	for i := range mine {
		e := &mine[i]
		switch {
		case e.index < r.index && (last == nil || e.index > last.index):
			last = e
		case e.index > r.index && e.CompromisedSince != nil && *e.CompromisedSince <= r.leaf.Time:
			return fmt.Errorf("%w: %w", errLapsed, refuse("decision", "the key %s that signed it was compromised since %s", key.Fingerprint(), *e.CompromisedSince))
		}
	}
	switch {
	case last == nil:
		return refuse("decision", "no record of the package enrols the key %s that signed it", key.Fingerprint())
	case last.Event != EnrolmentActive:
		return refuse("decision", "the key %s that signed it was revoked before", key.Fingerprint())
	case last.Person != d.Person:
		return refuse("decision", "is by %s, but the key that signed it is %s's", quote(d.Person), quote(last.Person))
	}
	return nil
}
