package verify

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
)

// outcomeEntry is an outcome record of the package.
type outcomeEntry struct {
	name string // entry of the record
	at   int64  // index of its leaf
	time string
	*OutcomeDetails
}

// checkOutcomes computes again what decisions came to, and checks the reports that were
// decided on.
func (p *pkg) checkOutcomes() {
	p.checkPolicies()
	all := p.outcomes()
	if len(all) > 0 {
		c := p.report.check("outcomes")
		c.Count = len(all)
		c.Says = "Every outcome is what its decisions come to by the policy that it names: " + count(int64(c.Count), "outcome", "outcomes")
		about := p.decisionsAbout()
		reviews, closed := map[string]outcomeEntry{}, map[string]bool{}
		seen := map[string]string{}
		for _, o := range all {
			x := &outcomeCheck{p: p, c: c, o: o, reviews: reviews, closed: closed, about: about, persons: map[string]bool{}, votes: map[string]bool{}}
			key := o.OutcomeOf + " " + o.Subject
			if seen[key] != "" {
				x.fail("decides on the %s of %s again, after %s", o.OutcomeOf, quote(o.Subject), seen[key])
			}
			seen[key] = o.name
			x.run()
			switch o.OutcomeOf {
			case OutcomeOfReview:
				reviews[o.Subject] = o
			case OutcomeOfConditions:
				closed[o.Subject] = true
			}
		}
	}
	p.checkReports(all)
	p.tellDecided(all)
}

// outcomes lists the outcome records in the order of the log.
func (p *pkg) outcomes() (list []outcomeEntry) {
	p.each(func(i int, f *entryFacts) {
		if r := f.record; r != nil && f.problem == "" && r.outcome != nil {
			list = append(list, outcomeEntry{p.entries[i].name, r.index, r.leaf.Time, r.outcome})
		}
	}, kindRecord)
	slices.SortFunc(list, func(a, b outcomeEntry) int { return cmp.Compare(a.at, b.at) })
	return list
}

// subjects are a package's decisions, found by what outcomes ask for.
type subjects struct {
	record   map[string]*decisionFacts   // by id of their record
	decided  map[string][]*decisionFacts // by verb and object, "vote:PRR-…"
	recorded map[string][]string         // ids of records of decisions, likewise
}

func (p *pkg) decisionsAbout() subjects {
	s := subjects{map[string]*decisionFacts{}, map[string][]*decisionFacts{}, map[string][]string{}}
	for _, d := range p.decided {
		verb, object, _ := d.act()
		s.record[d.file.Record] = d
		s.decided[verb+":"+object] = append(s.decided[verb+":"+object], d)
	}
	p.each(func(i int, f *entryFacts) {
		if f.record == nil || f.record.decision.What == nil {
			return
		}
		verb, object, _ := strings.Cut(*f.record.decision.What, ":")
		object, _, _ = strings.Cut(object, ":")
		s.recorded[verb+":"+object] = append(s.recorded[verb+":"+object], entryID(p.entries[i].name, ".record.json"))
	}, kindRecord)
	return s
}

// Bounds of one outcome.
const (
	maxVotes      = 1000
	maxConditions = 500
)

// outcomeCheck is the check of one outcome.
type outcomeCheck struct {
	p       *pkg
	c       *Check
	o       outcomeEntry
	reviews map[string]outcomeEntry // outcomes of reviews that stand before in the log
	closed  map[string]bool         // reviews whose conditions were closed before
	about   subjects
	policy  DecisionPolicy
	ballots []Ballot
	persons map[string]bool // who has voted; of a closing, which condition is closed
	votes   map[string]bool // records that the outcome names
}

func (x *outcomeCheck) fail(format string, args ...any) { x.c.fail(x.o.name, format, args...) }

func (x *outcomeCheck) run() {
	var err error
	if x.policy, err = x.p.policy(x.o.PolicyDigest); err != nil {
		x.fail("%v", err)
		return
	}
	if _, err := ParseHash(x.o.SubjectDigest); err != nil || !plainID(x.o.Subject) {
		x.fail("names no subject and digest")
		return
	}
	if len(x.o.Votes) > maxVotes || len(x.o.Members) > maxVotes || len(x.o.Conditions) > maxConditions {
		x.fail("has more votes, members or conditions than an outcome can have")
		return
	}
	for _, v := range x.o.Votes {
		if x.votes[v.Record] {
			x.c.fail(DecisionName(v.Record), "counts twice in the %s of %s", x.o.OutcomeOf, x.o.Subject)
			continue
		}
		x.votes[v.Record] = true
		x.vote(v)
	}
	x.leftOut()
	switch x.o.OutcomeOf {
	case OutcomeOfReview:
		x.review()
	case OutcomeOfConditions:
		x.conditions()
	case OutcomeOfRelease:
		x.release()
	default:
		x.fail("is the outcome of %s, which is not known", quote(x.o.OutcomeOf))
	}
}

// vote checks one decision that the outcome rests on, and takes it as a ballot.
func (x *outcomeCheck) vote(v OutcomeVote) {
	d := x.about.record[v.Record]
	if d == nil || d.record == nil {
		x.fail("rests on the decision of %s in %s, which is not in the package", quote(v.Person), quote(v.Record))
		return
	}
	no := func(format string, args ...any) { x.c.fail(d.name, format, args...) }
	what, digest := x.expected(v)
	if d.lapsed && slices.Contains(x.o.Barred, v.Person) {
		return // it counted for nothing; the check of decisions tells of it
	}
	if !d.holds {
		no("does not count for the %s of %s: see the check of decisions", x.o.OutcomeOf, x.o.Subject)
		return
	}
	r := d.record
	switch {
	case r.index >= x.o.at:
		no("came after the outcome that rests on it")
	case d.d.Person != v.Person:
		no("is by %s, not by %s as the outcome says", quote(d.d.Person), quote(v.Person))
	case d.d.What != what:
		no("decides %s, not %s as the outcome says", quote(d.d.What), quote(what))
	case d.d.Digest != digest:
		no("is about %s, not %s as the outcome says", d.d.Digest, quote(digest))
	case d.file.Proof.Kind != v.Proof:
		no("is proven by %s, not by %s as the outcome says", d.file.Proof.Kind, quote(v.Proof))
	case r.decision.Role != v.Role || !slices.Equal(listed(r.decision.Roles), v.Roles):
		no("was made with other roles than the outcome says")
	case r.decision.PolicyDigest == nil || *r.decision.PolicyDigest != x.o.PolicyDigest:
		no("was made under another policy than the outcome names")
	case moreCritical(r.decision.SafetyLevel, x.o.SafetyLevel), x.policy.NeedsPersonalKey(x.o.SafetyLevel) && v.Proof == ProofServer && !slices.Contains(x.o.Barred, v.Person):
		// The version may have become more critical since; then a key of one's own was needed.
		no("was made at the safety level %s, the outcome says %s", quote(r.decision.SafetyLevel), quote(x.o.SafetyLevel))
	case x.persons[x.once(v)]:
		no("is the second decision of %s on %s", quote(v.Person), quote(what))
	default:
		x.ballots = append(x.ballots, Ballot{Person: v.Person, Outcome: v.Outcome, Roles: v.Roles, Role: v.Role, Personal: v.Proof == ProofSSH})
	}
	x.persons[x.once(v)] = true
}

// once is what there can be only one decision of: a person's vote or approval, or the
// closing of a condition.
func (x *outcomeCheck) once(v OutcomeVote) string {
	if x.o.OutcomeOf == OutcomeOfConditions {
		return v.Subject
	}
	return v.Person
}

// expected is what the statement of a vote has to say.
func (x *outcomeCheck) expected(v OutcomeVote) (what, digest string) {
	switch {
	case x.o.OutcomeOf == OutcomeOfReview:
		return VoteWhat(x.o.Subject, v.Outcome), x.o.SubjectDigest
	case x.o.OutcomeOf == OutcomeOfConditions:
		return CloseWhat(v.Subject), v.Digest
	case v.Outcome == OutcomeRejected:
		return RejectWhat(x.o.Subject, v.Role), x.o.SubjectDigest
	}
	return ApproveWhat(x.o.Subject, v.Role), x.o.SubjectDigest
}

// leftOut finds decisions about the subject that the outcome does not name: left out of it,
// or made after it.
func (x *outcomeCheck) leftOut() {
	for _, verb := range map[string][]string{OutcomeOfReview: {"vote"}, OutcomeOfRelease: {"approve", "reject"}}[x.o.OutcomeOf] {
		key := verb + ":" + x.o.Subject
		for _, d := range x.about.decided[key] {
			switch {
			case d.record == nil || x.votes[d.file.Record]:
			case d.record.index < x.o.at:
				x.c.fail(d.name, "is left out of the outcome of %s", x.o.Subject)
			default:
				x.c.fail(d.name, "came after %s was decided", x.o.Subject)
			}
		}
		// A record whose decision was taken out of the package says as much.
		for _, id := range x.about.recorded[key] {
			if x.about.record[id] == nil {
				x.c.fail(RecordName(id), "records a decision about %s that is not in the package", x.o.Subject)
			}
		}
	}
}

// review counts the votes of a board again.
func (x *outcomeCheck) review() {
	o := x.o
	if len(o.Members) == 0 || repeated(o.Members) || rank(o.Best) < 0 {
		x.fail("names no board, a member twice, or no best outcome that is known")
		return
	}
	t := x.policy.TallyReview(o.Members, o.Barred, o.Best, x.ballots)
	for _, b := range x.ballots {
		switch {
		case slices.Contains(t.Counted, b.Person):
		case slices.Contains(o.Barred, b.Person):
			x.p.report.finding("the vote of %s on %s carries nothing: separation of duties, or a proof that does not count; what it says against it stands", b.Person, o.Subject)
		default:
			x.fail("counts the vote of %s, who may not vote on %s", quote(b.Person), o.Subject)
		}
	}
	if t.Outcome != o.Outcome {
		x.fail("says %s, but the votes come to %s", said(o.Outcome), tallied(t))
	}
	if o.ReportDigest != "" && o.ReportDigest != o.SubjectDigest {
		x.fail("names another report than the one that was voted on")
	}
	x.demanded(t.Heard)
}

func repeated(list []string) bool {
	sorted := slices.Sorted(slices.Values(list))
	return len(slices.Compact(sorted)) != len(list)
}

func said(outcome string) string {
	if outcome == "" {
		return "that nothing was decided"
	}
	return quote(outcome)
}

func tallied(t Tally) string {
	switch {
	case t.Outcome != "":
		return t.Outcome
	case len(t.Missing) > 0:
		return "nothing: there lacks " + strings.Join(t.Missing, ", ")
	}
	return "nothing"
}

// demanded checks the conditions against the votes that demanded them; heard are those
// whose votes are.
func (x *outcomeCheck) demanded(heard []string) {
	seen := map[string]bool{}
	for _, c := range x.o.Conditions {
		if !plainID(c.ConditionID) || c.Owner == "" || c.Text == "" || seen[c.ConditionID] {
			x.fail("has the condition %s twice, or without text or owner", quote(c.ConditionID))
		}
		seen[c.ConditionID] = true
		if d := x.about.record[c.From]; c.From != "" && (d == nil || !x.votes[c.From] || !c.in(d.d.Meaning)) {
			x.fail("has the condition %s, which is not in the vote that it names", quote(c.ConditionID))
		}
	}
	for _, c := range x.o.Conditions {
		for _, d := range x.about.decided[CloseWhat(c.ConditionID)] {
			if d.d.Person == c.Owner {
				x.c.fail(d.name, "closes a condition of %s, by its owner", x.o.Subject)
			}
		}
	}
	if x.o.Outcome == OutcomeRejected || x.o.Outcome == "" {
		return // nothing is left for anybody to do
	}
	if x.o.Outcome == OutcomeConditional && len(x.o.Conditions) == 0 {
		x.fail("is conditional and names no condition")
	}
	for _, v := range x.o.Votes {
		d := x.about.record[v.Record]
		if v.Outcome == OutcomeConditional && d != nil && slices.Contains(heard, v.Person) && !allDemanded(d.d.Meaning, x.o.Conditions) {
			x.c.fail(d.name, "demands a condition that the outcome does not have")
		}
	}
}

// The words between which a vote's meaning lists its conditions.
const (
	conditionsBegin = " when these conditions are met: "
	conditionsEnd   = ". Comment: "
)

// allDemanded reports whether every condition that a vote lists is one of an outcome's. Of a
// meaning that lists none in these words, at least one has to be found in it.
func allDemanded(meaning string, conditions []OutcomeCondition) bool {
	_, left, listed := strings.Cut(meaning, conditionsBegin)
	if !listed {
		return slices.ContainsFunc(conditions, func(c OutcomeCondition) bool { return c.in(meaning) })
	}
	return demands(left, conditions, 1, map[int]int{})
}

// demands reports whether a list of conditions, from its nth on, is made of those given. A
// text may begin like another one, so that each that fits is tried; tried has the bits of
// the numbers that led nowhere, by how much was left.
func demands(left string, conditions []OutcomeCondition, n int, tried map[int]int) bool {
	if n > maxDemanded || tried[len(left)]&(1<<n) != 0 {
		return false
	}
	tried[len(left)] |= 1 << n
	for _, c := range conditions {
		rest, fits := strings.CutPrefix(left, c.listed(n))
		if !fits {
			continue
		}
		if rest == "" || strings.HasPrefix(rest, conditionsEnd) {
			return true
		}
		if rest, fits = strings.CutPrefix(rest, "; "); fits && demands(rest, conditions, n+1, tried) {
			return true
		}
	}
	return false
}

// maxDemanded bounds the conditions of one vote.
const maxDemanded = 20

// listed is a condition as the nth of a vote's meaning.
func (c OutcomeCondition) listed(n int) string {
	return fmt.Sprintf("(%d) %s (owner %s, due %s)", n, c.Text, c.Owner, c.DueOn)
}

// in reports whether the meaning of a vote has the condition.
func (c OutcomeCondition) in(meaning string) bool {
	if _, list, listed := strings.Cut(meaning, conditionsBegin); listed {
		for n := 1; n <= maxDemanded; n++ {
			if strings.Contains(list, c.listed(n)) {
				return true
			}
		}
		return false
	}
	return strings.Contains(meaning, c.Text) && strings.Contains(meaning, c.Owner) && strings.Contains(meaning, c.DueOn)
}

// conditions checks that each condition of the review was closed, by somebody else than its
// owner.
func (x *outcomeCheck) conditions() {
	o := x.o
	review, there := x.reviews[o.Subject]
	switch {
	case !there:
		x.fail("is about the conditions of %s, whose outcome is not in the package", o.Subject)
		return
	case review.Outcome != OutcomeConditional:
		x.fail("is about the conditions of %s, which was %s", o.Subject, said(review.Outcome))
		return
	case review.SubjectDigest != o.SubjectDigest || !slices.EqualFunc(review.Conditions, o.Conditions, sameCondition):
		x.fail("has other conditions than the outcome of %s", o.Subject)
		return
	case o.Outcome != OutcomeClosed && o.Outcome != OutcomeApproved:
		x.fail("says %s of conditions", said(o.Outcome))
	}
	for _, v := range o.Votes {
		d := x.about.record[v.Record]
		if !slices.ContainsFunc(o.Conditions, func(c OutcomeCondition) bool { return c.ConditionID == v.Subject }) {
			x.fail("closes %s, which is no condition of %s", quote(v.Subject), o.Subject)
		}
		if d != nil && d.record != nil && d.record.index < review.at {
			x.c.fail(d.name, "closes a condition before there was one")
		}
	}
	for _, c := range o.Conditions {
		k := slices.IndexFunc(o.Votes, func(v OutcomeVote) bool { return v.Subject == c.ConditionID })
		switch {
		case k < 0:
			x.fail("does not say who closed %s", c.ConditionID)
		case o.Votes[k].Person == c.Owner:
			x.fail("closes %s, by its owner", c.ConditionID)
		case slices.Contains(o.Barred, o.Votes[k].Person):
			x.p.report.finding("%s was closed by %s, who was later kept from deciding: separation of duties", c.ConditionID, o.Votes[k].Person)
		}
	}
}

// sameCondition reports whether two records mean the same condition.
func sameCondition(a, b OutcomeCondition) bool {
	return a.ConditionID == b.ConditionID && a.Text == b.Text && a.Owner == b.Owner && a.DueOn == b.DueOn
}

// release counts the approvals of a release again.
func (x *outcomeCheck) release() {
	o := x.o
	x.scope()
	t := x.policy.TallyRelease(o.Barred, x.ballots)
	for _, b := range x.ballots {
		switch {
		case slices.Contains(t.Counted, b.Person):
		case slices.Contains(o.Barred, b.Person):
			x.p.report.finding("the approval of %s by %s carries nothing: separation of duties, or a proof that does not count", o.Subject, b.Person)
		default:
			x.fail("counts the approval of %s, who may not approve %s as %s", quote(b.Person), o.Subject, quote(b.Role))
		}
	}
	if t.Outcome != o.Outcome {
		x.fail("says %s, but the approvals come to %s", said(o.Outcome), tallied(t))
	}
}

// releaseScope is what a verifier understands of a release's scope.
type releaseScope struct {
	_               struct{} `open:"true"`
	AuthorizationID string   `json:"authorization_id"`
	PRRID           string   `json:"prr_id"`
	SafetyLevel     string   `json:"safety_level"`
}

// scope checks that the scope is the one that was approved, and that the review which it
// names had approved before.
func (x *outcomeCheck) scope() {
	o := x.o
	if o.Scope == "" {
		x.p.report.finding("the scope of %s is not in the package: only its digest", o.Subject)
		return
	}
	if FormatHash(sha256.Sum256([]byte(o.Scope))) != o.SubjectDigest {
		x.fail("has a scope of another digest than the one that was approved")
		return
	}
	var s releaseScope
	if err := decodeStrict("scope", []byte(o.Scope), shapeOf[releaseScope](), &s); err != nil {
		x.fail("%v", err)
		return
	}
	if s.AuthorizationID != o.Subject || s.SafetyLevel != o.SafetyLevel {
		x.fail("has the scope of %s at %s", quote(s.AuthorizationID), quote(s.SafetyLevel))
	}
	review, there := x.reviews[s.PRRID]
	switch {
	case o.Outcome != OutcomeAuthorised: // nothing rests on the review
	case !there:
		x.fail("rests on the review %s, whose outcome does not stand before it in the package", quote(s.PRRID))
	case review.Outcome != OutcomeApproved && !(review.Outcome == OutcomeConditional && x.closed[s.PRRID]):
		x.fail("rests on the review %s, which had not approved by then: it was %s", s.PRRID, said(review.Outcome))
	}
}
