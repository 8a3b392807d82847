package verify

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// checkReports checks the reports of reviews: that the one which was voted on is there, to
// the byte, and that every edition has its digest in an audit record.
func (p *pkg) checkReports(all []outcomeEntry) {
	c := &Check{Name: "reports", OK: true, Failures: []Failure{}}
	stated := p.statedReports()
	editions := map[string][]string{} // digests by review
	p.each(func(i int, f *entryFacts) {
		c.Count++
		name := p.entries[i].name
		digest := hashPrefix + p.manifest.Entries[i].SHA256
		review := strings.Split(name, "/")[1]
		editions[review] = append(editions[review], digest)
		switch {
		case f.digest != "":
			c.fail(name, "%s", f.digest)
		case !stated[digest]:
			c.fail(name, "no audit record in the package states its digest: it is not the report that was made")
		}
	}, kindReport)
	for _, o := range all {
		if o.OutcomeOf != OutcomeOfReview {
			continue
		}
		for _, digest := range []string{o.SubjectDigest, o.PDFDigest} {
			if digest != "" && !slices.Contains(editions[o.Subject], digest) {
				c.Count++
				c.fail("reviews/"+o.Subject, "the report %s, which %s states, is not in the package", quote(digest), o.name)
			}
		}
	}
	if c.Count > 0 {
		c.Says = "Every review's report is the one that was voted on, or has its digest in an audit record: " + count(int64(c.Count), "file", "files")
		p.report.Checks = append(p.report.Checks, c)
	}
}

// statedReports finds which digests of reports stand in audit records. Records are read
// once more, only if there are reports.
func (p *pkg) statedReports() map[string]bool {
	stated := map[string]bool{}
	p.each(func(i int, _ *entryFacts) { stated[hashPrefix+p.manifest.Entries[i].SHA256] = false }, kindReport)
	if len(stated) == 0 {
		return stated
	}
	p.each(func(i int, f *entryFacts) {
		if f.problem != "" || f.record == nil || !ownType(f.record.leaf.Type) {
			return
		}
		data, _ := p.small(p.entries[i].offset+block, p.entries[i].size)
		for rest := data; ; {
			k := bytes.Index(rest, []byte(hashPrefix))
			if k < 0 {
				return
			}
			rest = rest[k:]
			digest := string(rest[:min(len(rest), len(hashPrefix)+64)])
			if _, there := stated[digest]; there {
				stated[digest] = true
			}
			rest = rest[len(hashPrefix):]
		}
	}, kindRecord)
	return stated
}

// ownType reports whether CAOS alone writes records of a type: what somebody reported from
// outside states no digest of a report.
func ownType(typ string) bool {
	return slices.Contains([]string{"AUTHORISATION", "DATA", "DECISION", "EXECUTION"}, typ)
}

// DecisionLine is a decision as the report lists it.
type DecisionLine struct {
	Subject string `json:"subject"` // id of what was decided on
	Time    string `json:"time"`    // of the audit record
	Person  string `json:"person"`
	Role    string `json:"role"` // in which, and for a vote whether as a member of the board
	What    string `json:"what"`
	Meaning string `json:"meaning"`
	Proof   string `json:"proof"`         // ProofSSH or ProofServer
	Key     string `json:"key,omitempty"` // fingerprint of the person's key
	Record  string `json:"record"`        // id of the audit record
	OK      bool   `json:"ok"`
}

// OutcomeLine is what decisions came to, as the report lists it.
type OutcomeLine struct {
	OutcomeOf string `json:"outcome_of"`
	Subject   string `json:"subject"`
	Outcome   string `json:"outcome"`
	Time      string `json:"time"`
	Policy    string `json:"policy"` // digest
	Record    string `json:"record"` // id of the audit record
	OK        bool   `json:"ok"`     // nothing was found wrong with the record itself

	Conditions []OutcomeCondition `json:"conditions,omitempty"`
}

// tellDecided lists in the report who decided what, and what it came to.
func (p *pkg) tellDecided(all []outcomeEntry) {
	wrong := map[string]bool{}
	for _, c := range p.report.Checks {
		for _, f := range c.Failures {
			wrong[f.Entry] = true
		}
	}
	slices.SortStableFunc(p.decided, func(a, b *decisionFacts) int { return cmp.Compare(a.at(), b.at()) })
	voted := map[string]bool{}
	members := map[string][]string{}
	for _, o := range all {
		if o.OutcomeOf == OutcomeOfReview {
			members[o.Subject] = o.Members
		}
	}
	for _, d := range p.decided {
		verb, object, _ := d.act()
		l := DecisionLine{Subject: object, Time: d.d.Time, Person: d.d.Person, What: d.d.What, Meaning: d.d.Meaning,
			Proof: d.file.Proof.Kind, Record: d.file.Record, OK: d.holds && !wrong[d.name]}
		if d.file.Proof.Kind == ProofSSH {
			l.Key = d.key.Fingerprint()
		}
		if d.record != nil {
			l.Time, l.Role = d.record.leaf.Time, roleOf(d, members[object])
		}
		voted[object] = voted[object] || verb == "vote"
		p.report.Decisions = append(p.report.Decisions, l)
		if verb == "revoke" {
			p.report.finding("%s was revoked by %s at %s", object, d.d.Person, l.Time)
		}
	}
	for _, o := range all {
		p.report.Outcomes = append(p.report.Outcomes, OutcomeLine{OutcomeOf: o.OutcomeOf, Subject: o.Subject, Outcome: o.Outcome, Time: o.time,
			Policy: o.PolicyDigest, Record: entryID(o.name, ".record.json"), OK: !wrong[o.name], Conditions: o.Conditions})
		if o.OutcomeOf == OutcomeOfReview {
			delete(voted, o.Subject)
		}
	}
	for _, d := range p.decided {
		if _, object, _ := d.act(); voted[object] {
			p.report.finding("votes on %s are in the package, but nothing says what they came to", object)
			delete(voted, object)
		}
	}
}

// at is the index of a decision's leaf; without a record, behind all others.
func (d *decisionFacts) at() int64 {
	if d.record == nil {
		return MaxTreeSize
	}
	return d.record.index
}

// roleOf says in which role a decision was made; members are those of its board.
func roleOf(d *decisionFacts, members []string) string {
	role := d.record.decision.Role
	if verb, _, _ := d.act(); verb != "vote" {
		return or(role, strings.Join(d.record.decision.Roles, ", "))
	}
	var as []string
	if slices.Contains(members, d.d.Person) {
		as = append(as, "member")
	}
	if role == RoleChiefEngineer || slices.Contains(d.record.decision.Roles, RoleChiefEngineer) {
		as = append(as, RoleChiefEngineer)
	}
	if len(as) == 0 {
		return role
	}
	return strings.Join(as, ", ")
}
