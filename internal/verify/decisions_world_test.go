package verify

import (
	"crypto/sha256"
	"maps"
	"slices"
	"testing"
)

const (
	testPRR    = "PRR-NN-FCS-001-2.1.0"
	testCond   = "COND-FCS-001-2.1.0-1"
	testAuth   = "REL-AUTH-NN-FCS-001-2.1.0"
	reportHTML = "<html>the report</html>"
	reportPDF  = "%PDF the report"
	testScope  = `{"authorization_id":"` + testAuth + `","platforms":["bench"],"prr_id":"` + testPRR + `","safety_level":"DAL-A","strategies":["ROLLING"]}`
)

func digestOf(s string) string { return FormatHash(sha256.Sum256([]byte(s))) }

// spoken is a decision as it is told to a story: statement, proof and record can each say
// something else than the others.
type spoken struct {
	record   string // id of its audit record, and of the decision
	d        Decision
	roles    []string
	role     string
	outcome  string
	key      byte   // seed of the key that signs; 0: asserted by the server
	ns       string // namespace of the signature
	level    string
	policy   string
	subject  string // of a closing
	late     bool   // recorded after the outcome
	unlisted bool   // not in the outcome's votes

	listed  func(v *OutcomeVote) // changes how the outcome lists it
	details func(map[string]any) // changes what its record says
}

// story is a review with its votes, conditions and release, before it is recorded.
type story struct {
	*world
	policyFile []byte
	keys       map[string]byte // seed of each person's key
	revoke     string          // whose key is revoked before the votes
	enrolLate  string          // whose key is enrolled after the votes
	votes      []spoken
	closings   []spoken
	approvals  []spoken
	review     OutcomeDetails
	conditions OutcomeDetails
	release    OutcomeDetails
	reports    map[string]string // entries
	early      bool              // the release is decided before all else
	closeEarly bool              // conditions are closed before they are demanded
}

func newStory(t testing.TB) *story {
	t.Helper()
	file, policy := ShippedDecisionPolicy()
	s := &story{world: newBareWorld(t), policyFile: file,
		keys: map[string]byte{"c.eng": 11, "a.one": 12, "b.two": 13, "c.three": 14, "q.lead": 15, "m.owner": 16}}
	digest := policy.Digest()
	vote := func(person, outcome, meaning string, roles ...string) {
		s.votes = append(s.votes, spoken{record: "AUDIT-V-" + person, d: Decision{Digest: digestOf(reportHTML), Meaning: meaning, Person: person, Time: testTime, What: VoteWhat(testPRR, outcome)},
			roles: roles, outcome: outcome, key: s.keys[person], ns: DecisionNamespace, level: "DAL-A", policy: digest})
	}
	vote("c.eng", OutcomeApproved, "APPROVED: version 2.1.0 may go on", RoleChiefEngineer)
	vote("a.one", OutcomeApproved, "APPROVED: version 2.1.0 may go on", "prr-board")
	vote("b.two", OutcomeConditional, "CONDITIONAL: monitor the heap (owner m.owner, due 2026-12-24)", "prr-board", "safety-engineer")
	s.closings = []spoken{{record: "AUDIT-C-1", d: Decision{Digest: digestOf("condition"), Meaning: "CLOSED with EVID-00000", Person: "q.lead", Time: testTime, What: CloseWhat(testCond)},
		roles: []string{RoleQALead}, outcome: OutcomeClosed, key: 15, ns: DecisionNamespace, level: "DAL-A", policy: digest, subject: testCond}}
	approve := func(person, role string) {
		s.approvals = append(s.approvals, spoken{record: "AUDIT-R-" + role, d: Decision{Digest: digestOf(testScope), Meaning: "the release may go out", Person: person, Time: testTime, What: ApproveWhat(testAuth, role)},
			roles: []string{role}, role: role, outcome: OutcomeApproved, key: s.keys[person], ns: DecisionNamespace, level: "DAL-A", policy: digest})
	}
	approve("c.eng", RoleChiefEngineer)
	approve("q.lead", RoleQALead)
	cond := []OutcomeCondition{{ConditionID: testCond, Text: "monitor the heap", Owner: "m.owner", DueOn: "2026-12-24", From: "AUDIT-V-b.two"}}
	s.review = OutcomeDetails{OutcomeOf: OutcomeOfReview, Subject: testPRR, SubjectDigest: digestOf(reportHTML), PolicyDigest: digest, SafetyLevel: "DAL-A",
		Members: []string{"a.one", "b.two", "c.three"}, Best: OutcomeApproved, Barred: []string{"m.owner"}, Outcome: OutcomeConditional, Conditions: cond,
		ReportDigest: digestOf(reportHTML), PDFDigest: digestOf(reportPDF)}
	s.conditions = OutcomeDetails{OutcomeOf: OutcomeOfConditions, Subject: testPRR, SubjectDigest: digestOf(reportHTML), PolicyDigest: digest, SafetyLevel: "DAL-A",
		Best: OutcomeApproved, Outcome: OutcomeClosed, Conditions: slices.Clone(cond)}
	s.release = OutcomeDetails{OutcomeOf: OutcomeOfRelease, Subject: testAuth, SubjectDigest: digestOf(testScope), PolicyDigest: digest, SafetyLevel: "DAL-A",
		Barred: []string{"m.owner"}, Outcome: OutcomeAuthorised, Scope: testScope}
	s.reports = map[string]string{ReportName(testPRR, "1.0", "html"): reportHTML, ReportName(testPRR, "1.0", "pdf"): reportPDF}
	return s
}

// scoped gives the release another scope, which everybody approved.
func (s *story) scoped(text string) {
	s.release.Scope, s.release.SubjectDigest = text, digestOf(text)
	for i := range s.approvals {
		s.approvals[i].d.Digest = digestOf(text)
	}
}

// enrol records that a person's key is theirs, or no longer.
func (s *story) enrol(person, event string) {
	k := newTestKey(s.t, "person", s.keys[person])
	s.key("AUDIT-K-"+event+"-"+person, map[string]any{"event": event, "person": person, "ssh_key": k.sshLine(), "countersigned_by": "x.other"})
}

// speak records a decision and adds its file.
func (s *story) speak(v spoken) {
	text, err := v.d.Canonical()
	if err != nil {
		s.t.Fatal(err)
	}
	proof := DecisionProof{Kind: ProofServer}
	if v.key != 0 {
		proof = DecisionProof{Kind: ProofSSH, Signature: newTestKey(s.t, "person", v.key).sshSign(text, v.ns)}
	}
	details := map[string]any{
		"statement_hash": StatementHash(text), "what": v.d.What, "subject_digest": v.d.Digest, "outcome": v.outcome, "person": v.d.Person, "role": v.role,
		"roles": v.roles, "proof": proof.Kind, "policy_digest": v.policy, "safety_level": v.level,
	}
	if v.details != nil {
		v.details(details)
	}
	s.contents[RecordName(v.record)] = s.record(v.record, "DECISION", []string{"NN-FCS-001"}, details).Marshal()
	if s.contents[DecisionName(v.record)], err = (DecisionFile{Record: v.record, Statement: string(text), Proof: proof}).Marshal(); err != nil {
		s.t.Fatal(err)
	}
}

// told records decisions and then what they came to.
func (s *story) told(id, typ string, o OutcomeDetails, list []spoken) {
	for _, v := range list {
		if !v.late {
			s.speak(v)
		}
		if v.unlisted {
			continue
		}
		w := OutcomeVote{Record: v.record, Person: v.d.Person, Outcome: v.outcome, Roles: v.roles, Role: v.role, Proof: ProofSSH, Subject: v.subject}
		if v.key == 0 {
			w.Proof = ProofServer
		}
		if v.subject != "" {
			w.Digest = v.d.Digest
		}
		if v.listed != nil {
			v.listed(&w)
		}
		o.Votes = append(o.Votes, w)
	}
	s.contents[RecordName(id)] = s.record(id, typ, []string{o.Subject}, o).Marshal()
	for _, v := range list {
		if v.late {
			s.speak(v)
		}
	}
}

// listClosings tells the outcome of conditions that were closed before.
func (s *story) listClosings() {
	v := s.closings[0]
	s.conditions.Votes = []OutcomeVote{{Record: v.record, Person: v.d.Person, Outcome: v.outcome, Roles: v.roles, Proof: ProofSSH, Subject: v.subject, Digest: v.d.Digest}}
	s.told("AUDIT-O-conditions", "DECISION", s.conditions, nil)
}

// build records everything in its order and seals the log.
func (s *story) build() {
	for _, person := range slices.Sorted(maps.Keys(s.keys)) {
		if person != s.enrolLate {
			s.enrol(person, EnrolmentActive)
		}
	}
	s.evidence(0)
	if s.revoke != "" {
		s.enrol(s.revoke, EnrolmentRevoked)
	}
	if s.early {
		s.told("AUDIT-O-release", "AUTHORISATION", s.release, s.approvals)
	}
	if s.closeEarly {
		for i := range s.closings {
			s.speak(s.closings[i])
		}
	}
	s.told("AUDIT-O-review", "DECISION", s.review, s.votes)
	if s.closeEarly {
		s.listClosings()
	} else if s.conditions.OutcomeOf != "" {
		s.told("AUDIT-O-conditions", "DECISION", s.conditions, s.closings)
	}
	if !s.early {
		s.told("AUDIT-O-release", "AUTHORISATION", s.release, s.approvals)
	}
	if s.enrolLate != "" {
		s.enrol(s.enrolLate, EnrolmentActive)
	}
	s.contents[PolicyName(PolicyDigest(s.policyFile))] = s.policyFile
	for name, text := range s.reports {
		s.contents[name] = []byte(text)
	}
	s.seal()
}

func voteOf(person string) string { return DecisionName("AUDIT-V-" + person) }

func TestReviewAndReleaseVerify(t *testing.T) {
	s := newStory(t)
	s.build()
	r := s.verify(s.write())
	if !r.OK {
		t.Fatal(failures(r))
	}
	if len(r.Decisions) != 6 || len(r.Outcomes) != 3 {
		t.Fatalf("%d decisions, %d outcomes", len(r.Decisions), len(r.Outcomes))
	}
	d := r.Decisions[2]
	if d.Person != "b.two" || d.Role != "member" || d.Subject != testPRR || d.Key == "" || !d.OK {
		t.Errorf("%+v", d)
	}
	if got := r.Decisions[0].Role; got != RoleChiefEngineer {
		t.Errorf("role %q", got)
	}
	if len(r.Findings) != 1 { // that the plan is not covered
		t.Error(r.Findings)
	}
}
