package verify

import (
	"errors"
	"slices"
	"strings"
	"time"

	"caos"
)

// How far the time of a statement may lie from that of its record: as far as the server lets
// it, so that an old statement cannot be used again.
const (
	statementAge   = 10 * time.Minute
	statementAhead = time.Minute
)

// decisionFacts is a decision of the package.
type decisionFacts struct {
	name   string // entry
	file   DecisionFile
	d      Decision
	key    SSHKey
	record *recordFacts // nil if it is not there
	holds  bool         // proven, and recorded as it says
	lapsed bool         // but for its key, which was compromised by then, as was found out later
}

// act is what a decision says it decides: the verb, its object, and what comes after.
func (d *decisionFacts) act() (verb, object, rest string) {
	verb, object, _ = strings.Cut(d.d.What, ":")
	object, rest, _ = strings.Cut(object, ":")
	return verb, object, rest
}

// checkDecisions checks every decision: its proof, whose key it is, and its audit record.
func (p *pkg) checkDecisions() {
	c := p.report.check("decisions")
	personal, server := 0, 0
	records := map[string]string{}
	var at []int
	p.each(func(i int, _ *entryFacts) { at = append(at, i) }, kindDecision)
	read, problems := make([]*decisionFacts, len(at)), make([]error, len(at))
	p.parallel(len(at), func(k int) { read[k], problems[k] = p.readDecision(at[k]) })
	for k, i := range at {
		c.Count++
		x, err := read[k], problems[k]
		if err == nil {
			err = p.checkDecision(x)
		}
		if err == nil && records[x.file.Record] != "" {
			err = refuse("decision", "is of the same record as %s", records[x.file.Record])
		}
		if x != nil {
			records[x.file.Record] = x.name
			x.holds = err == nil
			x.lapsed = errors.Is(err, errLapsed)
			p.decided = append(p.decided, x)
		}
		switch {
		case x != nil && x.lapsed && p.passedOver(x):
			p.report.finding("the decision %s of %s does not count, and no outcome rests on it: %v", quote(x.d.What), x.d.Person, err)
		case err != nil:
			c.fail(p.entries[i].name, "%v", err)
		case x.file.Proof.Kind == ProofServer:
			server++
		default:
			personal++
		}
	}
	c.Says = "Every decision is recorded and proven: " + count(int64(personal), "by the person's own key", "by the persons' own keys") +
		", " + count(int64(server), "asserted by the server", "asserted by the server")
	if server > 0 {
		p.report.finding("%s asserted by the server: no key of the person's own signed", count(int64(server), "decision is", "decisions are"))
	}
}

// readDecision reads a decision and the record that it names. What could be read comes
// back beside an error.
func (p *pkg) readDecision(i int) (*decisionFacts, error) {
	if problem := p.facts[i].digest; problem != "" {
		return nil, refuse("decision", "%s", problem)
	}
	data, ok := p.small(p.entries[i].offset+block, p.entries[i].size)
	if !ok {
		return nil, refuse("decision", "cannot be read")
	}
	x := &decisionFacts{name: p.entries[i].name}
	var err error
	if x.file, x.d, x.key, err = ParseDecisionFile(data); err != nil && x.d.What == "" {
		return nil, err
	}
	if r := p.fact(RecordName(x.file.Record)); r != nil && r.problem == "" {
		x.record = r.record
	}
	return x, err
}

// errLapsed is of a decision whose key was compromised when it was made, as was found out
// later.
var errLapsed = errors.New("it does not count any more")

// passedOver reports whether outcomes name a decision, and all of them as one that counts
// for nothing.
func (p *pkg) passedOver(x *decisionFacts) bool {
	named := false
	for _, o := range p.outcomes() {
		for _, v := range o.Votes {
			if v.Record != x.file.Record {
				continue
			}
			if named = true; !slices.Contains(o.Barred, v.Person) || o.OutcomeOf == OutcomeOfConditions {
				return false
			}
		}
	}
	return named
}

func (p *pkg) checkDecision(x *decisionFacts) error {
	r := x.record
	if r == nil {
		return refuse("decision", "its audit record %s is not in the package", quote(x.file.Record))
	}
	if hash := r.details.StatementHash; hash == nil || *hash != StatementHash([]byte(x.file.Statement)) {
		return refuse("decision", "its audit record %s does not have its digest", x.file.Record)
	}
	if r.leaf.Type != "DECISION" && r.leaf.Type != "AUTHORISATION" {
		return refuse("decision", "its audit record %s is of type %s", x.file.Record, r.leaf.Type)
	}
	for _, f := range []struct {
		name   string
		record *string
		is     string
	}{
		{"what", r.decision.What, x.d.What}, {"subject_digest", r.decision.SubjectDigest, x.d.Digest},
		{"person", r.decision.Person, x.d.Person}, {"proof", r.decision.Proof, x.file.Proof.Kind},
	} {
		if f.record != nil && *f.record != f.is {
			return refuse("decision", "says %s where its audit record has the %s %s", quote(f.is), f.name, quote(*f.record))
		}
	}
	if err := p.checkByPolicy(x); err != nil || x.file.Proof.Kind == ProofServer {
		return err
	}
	return p.checkHolder(r, x.d, x.key)
}

// checkByPolicy checks what the policy that a decision names demands of it alone. A decision
// from before there were policies names none.
func (p *pkg) checkByPolicy(x *decisionFacts) error {
	digest := x.record.decision.PolicyDigest
	if digest == nil {
		return nil
	}
	policy, err := p.policy(*digest)
	if err != nil {
		return err
	}
	if level := x.record.decision.SafetyLevel; x.file.Proof.Kind == ProofServer && policy.NeedsPersonalKey(level) {
		return refuse("decision", "is asserted by the server, where the policy %s demands the person's own key at %s", policy.ID, level)
	}
	said, err := time.Parse(caos.TimeLayout, x.d.Time)
	if err != nil {
		return refuse("time", "%s is not a time", quote(x.d.Time))
	}
	recorded, err := time.Parse(caos.TimeLayout, x.record.leaf.Time)
	if age := recorded.Sub(said); err != nil || age > statementAge || age < -statementAhead {
		return refuse("decision", "was stated at %s and recorded at %s: a statement does not wait that long", x.d.Time, x.record.leaf.Time)
	}
	return nil
}

// policy returns the policy of a digest, which has to be in the package.
func (p *pkg) policy(digest string) (DecisionPolicy, error) {
	if known, ok := p.policies[digest]; ok {
		return known, nil
	}
	name := PolicyName(digest)
	i, ok := p.index[name]
	if _, err := ParseHash(digest); err != nil || !ok {
		return DecisionPolicy{}, refuse("policy", "%s is not in the package", quote(digest))
	}
	if p.facts[i].digest != "" || hashPrefix+p.manifest.Entries[i].SHA256 != digest {
		return DecisionPolicy{}, refuse("policy", "%s is not the file of that digest", name)
	}
	data, ok := p.small(p.entries[i].offset+block, p.entries[i].size)
	if !ok {
		return DecisionPolicy{}, refuse("policy", "%s cannot be read", name)
	}
	policy, err := ParseDecisionPolicy(data)
	if err == nil {
		p.policies[digest] = policy
	}
	return policy, err
}

// checkPolicies checks that every policy file is what its name says, and can be applied.
func (p *pkg) checkPolicies() {
	var c *Check
	_, shipped := ShippedDecisionPolicy()
	p.each(func(i int, f *entryFacts) {
		if c == nil {
			c = p.report.check("policies")
		}
		c.Count++
		name := p.entries[i].name
		digest := hashPrefix + entryID(name, ".json")
		if f.digest != "" {
			c.fail(name, "%s", f.digest)
			return
		}
		policy, err := p.policy(digest)
		if err != nil {
			c.fail(name, "%v", err)
			return
		}
		if digest != shipped.Digest() {
			p.report.finding("decisions are counted by the policy %s in %s, which is not the one that this program comes with: read it", policy.ID, name)
		}
	}, kindPolicy)
	if c != nil {
		c.Says = "Every policy that decisions name is the file of that digest, with rules that are known: " + count(int64(c.Count), "policy", "policies")
	}
}
