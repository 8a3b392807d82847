package verify

import (
	"strings"
	"testing"
)

// A falseStory is a lie about decisions, and the entry that must be blamed for it. Before
// is told while the story is made, so that log, records and proofs all agree with it; after
// changes the package once it is sealed.
type falseStory struct {
	entry  string
	before func(s *story)
	after  func(s *story)
}

const (
	reviewOutcome    = "audit/AUDIT-O-review.record.json"
	conditionOutcome = "audit/AUDIT-O-conditions.record.json"
	releaseOutcome   = "audit/AUDIT-O-release.record.json"
	htmlEntry        = "reviews/" + testPRR + "/1.0/report.html"
	pdfEntry         = "reviews/" + testPRR + "/1.0/report.pdf"
)

func asServer(v *spoken) { v.key = 0 }

// restate makes what a vote says and what its record says the same again.
func (v *spoken) restate(outcome string) {
	v.outcome, v.d.What = outcome, VoteWhat(testPRR, outcome)
}

func voteStories() map[string]falseStory {
	return map[string]falseStory{
		"another person's key":     {voteOf("a.one"), func(s *story) { s.votes[1].key = s.keys["b.two"] }, nil},
		"a stranger's key":         {voteOf("a.one"), func(s *story) { s.votes[1].key = 99 }, nil},
		"key revoked before":       {voteOf("a.one"), func(s *story) { s.revoke = "a.one" }, nil},
		"key enrolled after":       {voteOf("a.one"), func(s *story) { s.enrolLate = "a.one" }, nil},
		"signature for git":        {voteOf("a.one"), func(s *story) { s.votes[1].ns = "git" }, nil},
		"vote on another digest":   {voteOf("a.one"), func(s *story) { s.votes[1].d.Digest = digestOf("another report") }, nil},
		"vote on another review":   {voteOf("a.one"), func(s *story) { s.votes[1].d.What = VoteWhat("PRR-NN-FCS-001-2.1.0-2", OutcomeApproved) }, nil},
		"vote for another outcome": {voteOf("a.one"), func(s *story) { s.votes[1].d.What = VoteWhat(testPRR, OutcomeRejected) }, nil},
		"rejection told as approval": {voteOf("a.one"), func(s *story) {
			s.votes[1].d.What = VoteWhat(testPRR, OutcomeRejected)
			s.votes[1].outcome = OutcomeApproved
		}, nil},
		"rejection outvoted":      {reviewOutcome, func(s *story) { s.votes[1].restate(OutcomeRejected) }, nil},
		"statement too old":       {voteOf("a.one"), func(s *story) { s.votes[1].d.Time = "2026-11-20T04:00:00.000000Z" }, nil},
		"statement of the future": {voteOf("a.one"), func(s *story) { s.votes[1].d.Time = "2027-11-20T04:00:00.000000Z" }, nil},
		"vote dropped from the list": {voteOf("c.three"), func(s *story) {
			v := s.votes[1]
			v.record, v.d.Person, v.key, v.unlisted = "AUDIT-V-c.three", "c.three", s.keys["c.three"], true
			v.restate(OutcomeRejected)
			s.votes = append(s.votes, v)
		}, nil},
		"vote added after the outcome": {voteOf("c.three"), func(s *story) {
			v := s.votes[1]
			v.record, v.d.Person, v.key, v.unlisted, v.late = "AUDIT-V-c.three", "c.three", s.keys["c.three"], true, true
			s.votes = append(s.votes, v)
		}, nil},
		"vote counted before it was given": {voteOf("a.one"), func(s *story) { s.votes[1].late = true }, nil},
		"vote by somebody twice": {voteOf("again"), func(s *story) {
			v := s.votes[1]
			v.record = "AUDIT-V-again"
			s.votes = append(s.votes, v)
		}, nil},
		"vote by a stranger to the board": {reviewOutcome, func(s *story) {
			v := s.votes[1]
			v.record, v.d.Person, v.key = "AUDIT-V-q.lead", "q.lead", s.keys["q.lead"]
			s.votes = append(s.votes, v)
		}, nil},
		"voter barred":                  {reviewOutcome, func(s *story) { s.review.Barred = []string{"b.two"} }, nil},
		"chief engineer barred":         {reviewOutcome, func(s *story) { s.review.Barred = []string{"c.eng"} }, nil},
		"no quorum but decided":         {reviewOutcome, func(s *story) { s.review.Members = append(s.review.Members, "d.four") }, nil},
		"no chief engineer":             {reviewOutcome, func(s *story) { s.votes = s.votes[1:] }, nil},
		"chief engineer without a role": {reviewOutcome, func(s *story) { s.votes[0].roles = []string{"prr-board"} }, nil},
		"better than the best possible": {reviewOutcome, func(s *story) {
			s.votes = s.votes[:2]
			s.review.Members = []string{"a.one"}
			s.review.Best, s.review.Outcome, s.review.Conditions, s.conditions = OutcomeConditional, OutcomeApproved, nil, OutcomeDetails{}
		}, nil},
		"conditional told as approved":  {reviewOutcome, func(s *story) { s.review.Outcome, s.conditions = OutcomeApproved, OutcomeDetails{} }, nil},
		"board with a member twice":     {reviewOutcome, func(s *story) { s.review.Members[2] = "a.one" }, nil},
		"server proof at DAL-A":         {voteOf("a.one"), func(s *story) { asServer(&s.votes[1]) }, nil},
		"server proof told as DAL-C":    {voteOf("a.one"), func(s *story) { asServer(&s.votes[1]); s.votes[1].level = "DAL-C" }, nil},
		"no condition of a conditional": {reviewOutcome, func(s *story) { s.review.Conditions, s.conditions = nil, OutcomeDetails{} }, nil},
		"condition that nobody demanded": {reviewOutcome, func(s *story) {
			s.review.Conditions[0].Text = "do nothing"
			s.conditions.Conditions[0].Text = "do nothing"
		}, nil},
		"one of two conditions left out": {voteOf("b.two"), func(s *story) {
			s.votes[2].d.Meaning = demanding("(1) monitor the heap (owner m.owner, due 2026-12-24); (2) test it at night (owner q.lead, due 2026-12-24)")
		}, nil},
		"a condition cut short": {reviewOutcome, func(s *story) {
			s.votes[2].d.Meaning = demanding("(1) monitor the heap and the stack (owner m.owner, due 2026-12-24)")
		}, nil},
		"a condition put off": {reviewOutcome, func(s *story) {
			s.votes[2].d.Meaning = demanding("(1) monitor the heap (owner m.owner, due 2026-12-04). Comment: not 2026-12-24")
		}, nil},
		"a critic barred": {reviewOutcome, func(s *story) {
			s.review.Members = []string{"a.one", "b.two", "c.eng"}
			s.review.Barred, s.review.Outcome, s.review.Conditions, s.conditions = []string{"b.two"}, OutcomeApproved, nil, OutcomeDetails{}
			s.closings, s.approvals, s.release = nil, nil, OutcomeDetails{}
		}, nil},
		"condition given to another": {reviewOutcome, func(s *story) { s.review.Conditions[0].Owner = "q.lead" }, nil},
		"review decided twice":       {RecordName("AUDIT-O-release"), func(s *story) { s.approvals, s.release = nil, s.again() }, nil},
		"vote listed as another's":   {voteOf("a.one"), func(s *story) { s.votes[1].listed = func(v *OutcomeVote) { v.Person = "c.three" } }, nil},
		"vote listed as asserted":    {voteOf("a.one"), func(s *story) { s.votes[1].listed = func(v *OutcomeVote) { v.Proof = ProofServer } }, nil},
		"vote listed with more roles": {voteOf("a.one"), func(s *story) {
			s.votes = s.votes[1:]
			s.votes[0].listed = func(v *OutcomeVote) { v.Roles = []string{"prr-board", RoleChiefEngineer} }
		}, nil},
		"vote listed in a role":        {voteOf("a.one"), func(s *story) { s.votes[1].listed = func(v *OutcomeVote) { v.Role = RoleChiefEngineer } }, nil},
		"vote by a revoked key counts": {reviewOutcome, func(s *story) { s.revoke = "a.one" }, nil},
		"record of another person":     {voteOf("a.one"), func(s *story) { s.votes[1].details = func(d map[string]any) { d["person"] = "c.three" } }, nil},
		"record of another act":        {voteOf("a.one"), func(s *story) { s.votes[1].details = func(d map[string]any) { d["what"] = "vote:PRR-X:APPROVED" } }, nil},
		"record without a policy":      {voteOf("a.one"), func(s *story) { s.votes[1].details = func(d map[string]any) { delete(d, "policy_digest") } }, nil},
		"another report than voted on": {reviewOutcome, func(s *story) { s.review.ReportDigest = digestOf(reportPDF) }, nil},
		"outcome of a great size":      {reviewOutcome, func(s *story) { s.review.Scope = strings.Repeat("x", maxDecidedDetails) }, nil},
		"condition twice": {reviewOutcome, func(s *story) {
			s.review.Conditions = append(s.review.Conditions, s.review.Conditions[0])
			s.conditions.Conditions = s.review.Conditions
		}, nil},
		"outcome of an unknown thing": {releaseOutcome, func(s *story) { s.release.OutcomeOf = "oracle" }, nil},
	}
}

// again is the outcome of the review with the votes that it lists.
func (s *story) again() OutcomeDetails {
	o := s.review
	for _, v := range s.votes {
		o.Votes = append(o.Votes, OutcomeVote{Record: v.record, Person: v.d.Person, Outcome: v.outcome, Roles: v.roles, Proof: ProofSSH})
	}
	return o
}

func closingStories() map[string]falseStory {
	closing := DecisionName("AUDIT-C-1")
	return map[string]falseStory{
		"condition closed by its owner": {closing, func(s *story) { s.closings[0].d.Person, s.closings[0].key = "m.owner", s.keys["m.owner"] }, nil},
		"condition closed by nobody":    {conditionOutcome, func(s *story) { s.closings = nil }, nil},
		"another condition closed": {conditionOutcome, func(s *story) {
			s.closings[0].d.What, s.closings[0].subject = CloseWhat("COND-2"), "COND-2"
		}, nil},
		"condition forgotten":                   {conditionOutcome, func(s *story) { s.conditions.Conditions = nil }, nil},
		"condition changed since":               {conditionOutcome, func(s *story) { s.conditions.Conditions[0].Text = "nothing" }, nil},
		"conditions of another report":          {conditionOutcome, func(s *story) { s.conditions.SubjectDigest = digestOf("x") }, nil},
		"condition closed before there was one": {closing, func(s *story) { s.closeEarly = true }, nil},
		"conditions rejected":                   {conditionOutcome, func(s *story) { s.conditions.Outcome = OutcomeRejected }, nil},
		"conditions without a review":           {conditionOutcome, nil, func(s *story) { s.drop(reviewOutcome, proofOf(reviewOutcome)) }},
		"condition closed twice":                {DecisionName("AUDIT-C-2"), func(s *story) { c := s.closings[0]; c.record = "AUDIT-C-2"; s.closings = append(s.closings, c) }, nil},
		"condition closed by a server word":     {closing, func(s *story) { asServer(&s.closings[0]) }, nil},
	}
}

func releaseStories() map[string]falseStory {
	qa, chief := DecisionName("AUDIT-R-"+RoleQALead), DecisionName("AUDIT-R-"+RoleChiefEngineer)
	return map[string]falseStory{
		"both approvals by one person": {qa, func(s *story) {
			a := &s.approvals[1]
			a.d.Person, a.key, a.roles = "c.eng", s.keys["c.eng"], []string{RoleChiefEngineer, RoleQALead}
		}, nil},
		"role missing":                  {releaseOutcome, func(s *story) { s.approvals = s.approvals[:1] }, nil},
		"role not held":                 {releaseOutcome, func(s *story) { s.approvals[1].roles = []string{"prr-board"} }, nil},
		"approval told in a role":       {qa, func(s *story) { s.approvals[1].d.What = ApproveWhat(testAuth, "prr-board") }, nil},
		"approver barred":               {releaseOutcome, func(s *story) { s.release.Barred = []string{"c.eng"} }, nil},
		"scope widened":                 {releaseOutcome, func(s *story) { s.release.Scope = strings.Replace(testScope, "bench", "fleet", 1) }, nil},
		"approval of a scope":           {qa, func(s *story) { s.approvals[1].d.Digest = digestOf("another scope") }, nil},
		"scope of another release":      {releaseOutcome, func(s *story) { s.scoped(strings.Replace(testScope, testAuth, testAuth+"-2", 1)) }, nil},
		"scope of another level":        {releaseOutcome, func(s *story) { s.scoped(strings.Replace(testScope, "DAL-A", "DAL-E", 1)) }, nil},
		"scope of another review":       {releaseOutcome, func(s *story) { s.scoped(strings.Replace(testScope, testPRR, testPRR+"-2", 1)) }, nil},
		"scope without a review":        {releaseOutcome, func(s *story) { s.scoped(`{"authorization_id":"` + testAuth + `"}`) }, nil},
		"released before the review":    {releaseOutcome, func(s *story) { s.early = true }, nil},
		"released with open conditions": {releaseOutcome, func(s *story) { s.conditions = OutcomeDetails{} }, nil},
		"released though rejected": {releaseOutcome, func(s *story) {
			s.votes[1].restate(OutcomeRejected)
			s.review.Outcome, s.review.Conditions, s.conditions = OutcomeRejected, nil, OutcomeDetails{}
		}, nil},
		"rejection left out":       {DecisionName("AUDIT-R-no"), func(s *story) { s.rejected(false) }, nil},
		"rejected all the same":    {releaseOutcome, func(s *story) { s.rejected(true) }, nil},
		"approval after the fact":  {chief, func(s *story) { s.approvals[0].late = true }, nil},
		"policy more lenient":      {"policies/" + strings.Repeat("0", 64) + ".json", nil, func(s *story) { s.contents["policies/"+strings.Repeat("0", 64)+".json"] = s.policyFile }},
		"outcome of another level": {qa, func(s *story) { s.release.SafetyLevel = "DAL-C" }, nil},
	}
}

// rejected adds the rejection of a release by another holder of a role.
func (s *story) rejected(listed bool) {
	v := s.approvals[1]
	v.record, v.d.Person, v.key, v.outcome, v.d.What, v.unlisted = "AUDIT-R-no", "a.one", s.keys["a.one"], OutcomeRejected, RejectWhat(testAuth, RoleQALead), !listed
	s.approvals = append(s.approvals, v)
}

func packageStories() map[string]falseStory {
	_, shipped := ShippedDecisionPolicy()
	policy := PolicyName(shipped.Digest())
	return map[string]falseStory{
		"policy missing": {reviewOutcome, nil, func(s *story) { s.drop(policy) }},
		"policy changed": {policy, nil, func(s *story) { s.replace(policy, `"DAL-A","DAL-B"`, `"DAL-A"`) }},
		"another policy's digest": {reviewOutcome, func(s *story) {
			s.review.PolicyDigest = digestOf("policy")
		}, nil},
		"another policy than the votes'": {voteOf("a.one"), func(s *story) {
			other := shipped
			other.PersonalKey = []string{}
			file, _ := marshalPlain(other)
			s.contents[PolicyName(PolicyDigest(file))] = file
			s.review.PolicyDigest = PolicyDigest(file)
		}, nil},
		"policy with a rule unknown": {reviewOutcome, func(s *story) {
			s.policyFile = []byte(strings.Replace(string(s.policyFile), moreThanHalf, "one-is-enough", 1))
			for _, list := range [][]spoken{s.votes, s.closings, s.approvals} {
				for i := range list {
					list[i].policy = PolicyDigest(s.policyFile)
				}
			}
			s.review.PolicyDigest = PolicyDigest(s.policyFile)
			s.conditions.PolicyDigest, s.release.PolicyDigest = s.review.PolicyDigest, s.review.PolicyDigest
		}, nil},
		"report changed":        {htmlEntry, nil, func(s *story) { s.replace(htmlEntry, "the report", "a better report") }},
		"report missing":        {"reviews/" + testPRR, nil, func(s *story) { s.drop(htmlEntry) }},
		"report as PDF changed": {pdfEntry, nil, func(s *story) { s.replace(pdfEntry, "the report", "a better one") }},
		"report as PDF missing": {"reviews/" + testPRR, nil, func(s *story) { s.drop(pdfEntry) }},
		"report more":           {ReportName(testPRR, "2.0", "html"), nil, func(s *story) { s.contents[ReportName(testPRR, "2.0", "html")] = []byte("x") }},
		"report of another review": {"reviews/" + testPRR, nil, func(s *story) {
			s.contents[ReportName("PRR-X", "1.0", "html")] = s.contents[htmlEntry]
			s.drop(htmlEntry)
		}},
		"report stated from outside": {ReportName(testPRR, "2.0", "html"), func(s *story) {
			s.reports[ReportName(testPRR, "2.0", "html")] = "forged"
			s.contents[RecordName("AUDIT-X")] = s.record("AUDIT-X", "CONFIG_CHANGE", nil, map[string]string{"digest": digestOf("forged")}).Marshal()
		}, nil},
		"meaning changed":                {voteOf("a.one"), nil, func(s *story) { s.replace(voteOf("a.one"), "may go on", "may not go on") }},
		"vote taken out":                 {reviewOutcome, nil, func(s *story) { s.drop(voteOf("a.one")) }},
		"vote taken out with its record": {reviewOutcome, nil, func(s *story) { a := RecordName("AUDIT-V-a.one"); s.drop(voteOf("a.one"), a, proofOf(a)) }},
		"unlisted vote taken out, record left": {RecordName("AUDIT-V-c.three"), func(s *story) {
			v := s.votes[1]
			v.record, v.d.Person, v.key, v.unlisted = "AUDIT-V-c.three", "c.three", s.keys["c.three"], true
			s.votes = append(s.votes, v)
		}, func(s *story) { s.drop(voteOf("c.three")) }},
		"vote under a second name":  {voteOf("b.two"), nil, func(s *story) { s.contents[DecisionName("AUDIT-A")] = s.contents[voteOf("b.two")] }},
		"signature taken off":       {voteOf("a.one"), nil, func(s *story) { s.unsign(voteOf("a.one")) }},
		"outcome record changed":    {reviewOutcome, nil, func(s *story) { s.replace(reviewOutcome, `\"best\":\"APPROVED\"`, `\"best\":\"REJECTED\"`) }},
		"outcome record made again": {proofOf(reviewOutcome), nil, func(s *story) { s.editDetails(reviewOutcome, `"best":"APPROVED"`, `"best":"CONDITIONAL"`) }},
		"outcome with a list missing": {reviewOutcome, nil, func(s *story) {
			s.editDetails(reviewOutcome, `"barred":["m.owner"],`, ``)
		}},
		"outcome in capitals": {reviewOutcome, nil, func(s *story) { s.editDetails(reviewOutcome, `"outcome_of"`, `"Outcome_Of"`) }},
	}
}

// unsign makes a signed decision one that only the server asserts.
func (s *story) unsign(name string) {
	f, _, _, err := ParseDecisionFile(s.contents[name])
	if err != nil {
		s.t.Fatal(err)
	}
	f.Proof = DecisionProof{Kind: ProofServer}
	s.contents[name], _ = f.Marshal()
}

// demanding is the meaning of a conditional vote, as the server words it.
func demanding(list string) string { return "CONDITIONAL: version 2.1.0" + conditionsBegin + list }

// What a vote demanded is found in the outcome whatever else its words have in them.
func TestDemandedConditions(t *testing.T) {
	one := OutcomeCondition{ConditionID: "COND-1", Text: "x", Owner: "a", DueOn: "2026-12-01"}
	two := OutcomeCondition{ConditionID: "COND-2", Text: "y", Owner: "b", DueOn: "2026-12-02"}
	both := OutcomeCondition{ConditionID: "COND-3", Text: "x (owner a, due 2026-12-01); (2) y", Owner: "b", DueOn: "2026-12-02"}
	list := "(1) x (owner a, due 2026-12-01); (2) y (owner b, due 2026-12-02)"
	for _, c := range []struct {
		meaning string
		has     []OutcomeCondition
		all     bool
	}{
		{demanding(list), []OutcomeCondition{two, one}, true}, {demanding(list), []OutcomeCondition{one}, false}, {demanding(list), []OutcomeCondition{two}, false},
		{demanding(list + ". Comment: (3) z"), []OutcomeCondition{one, two}, true}, {demanding(list), []OutcomeCondition{both}, true},
		{demanding(list), nil, false}, {"in other words: x, a, 2026-12-01", []OutcomeCondition{one}, true}, {"in other words", []OutcomeCondition{one}, false},
	} {
		if got := allDemanded(c.meaning, c.has); got != c.all {
			t.Errorf("%s with %v: %v", c.meaning, c.has, got)
		}
	}
	if two.in(demanding("(1) x (owner a, due 2026-12-01). Comment: y b 2026-12-02")) {
		t.Error("a condition is found in words that are none")
	}
}

func TestFalseStoriesAreRefused(t *testing.T) {
	n := 0
	for _, table := range []map[string]falseStory{voteStories(), closingStories(), releaseStories(), packageStories()} {
		n += len(table)
		for name, f := range table {
			t.Run(name, func(t *testing.T) {
				s := newStory(t)
				if f.before != nil {
					f.before(s)
				}
				s.build()
				if f.after != nil {
					f.after(s)
				}
				r := s.verify(s.write())
				if r.OK {
					t.Fatal("verified")
				}
				if !blames(r, f.entry) {
					t.Fatalf("%s is not named, but %q", f.entry, failures(r))
				}
			})
		}
	}
	t.Logf("%d false stories", n)
}
