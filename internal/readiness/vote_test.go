package readiness_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/readiness"
	"caos/internal/verify"
)

func TestVoteRefuses(t *testing.T) {
	eachHouse(t, "DAL-D", func(t *testing.T, h *house) {
		v := h.voting("DAL-D", verify.OutcomeConditional, board...)
		yes := conditional("Repeat the cold start test", "ned")
		with := func(p caos.Principal, b readiness.Ballot) func() error {
			return func() error { _, err := h.vote(v.PRRID, b, readiness.Proof{}, p); return err }
		}
		// Who had a hand in the version, and who may stand for them.
		for id, part := range map[string]string{"olga": "owner", "oleg": "former owner", "vera": "vv author", "vic": "vv author", "fred": "freeze requester",
			"fran": "freeze requester", "rita": "review requester", "rolf": "review recorder", "rex": "review recorder", "quill": "gave quill this account"} {
			h.refused(id, caos.Denied, readiness.RuleSeparation, with(h.as(id), yes))
			_, err := h.vote(v.PRRID, yes, readiness.Proof{}, h.as(id))
			if e := caos.AsError(err); !strings.Contains(e.Message, part) {
				t.Errorf("%s: %q does not say %q", id, e.Message, part)
			}
			_, err = h.proposal(v.PRRID, yes, h.as(id))
			if caos.AsError(err).Rule != readiness.RuleSeparation {
				t.Errorf("a proposal for %s: %v", id, err)
			}
		}
		// Who has no vote, or does not act for themselves.
		triggered, narrow, bare := h.as("bo"), h.as("bo"), h.as("bo")
		triggered.EnabledBy, narrow.Roles, bare.MFA = "ned", []string{}, ""
		h.refused("a member by a trigger", caos.Denied, readiness.RulePersonal, with(triggered, yes))
		h.refused("a token without the role", caos.Denied, readiness.RuleBoardMember, with(narrow, yes))
		h.refused("without a factor", caos.StepUp, readiness.RuleFactor, with(bare, yes))
		h.refused("no member", caos.Denied, readiness.RuleBoardMember, with(h.as("quinn"), yes))
		h.refused("a service", caos.Denied, readiness.RuleBoardMember, with(h.as("robot"), yes))
		h.refused("nobody", caos.Denied, readiness.RuleBoardMember, with(caos.Principal{ID: "nobody", Roles: []string{"prr-board"}, MFA: "totp"}, yes))
		former := h.as("ben")
		h.ok(h.auth.RevokeRole(context.Background(), h.as("root"), "ben", "prr-board"))
		h.refused("a member without the role", caos.Denied, readiness.RuleBoardMember, with(former, yes))
		// What cannot be said.
		h.refused("better than the findings allow", caos.Conflict, readiness.RuleBestPossible, with(h.as("bo"), ballot(verify.OutcomeApproved)))
		h.refused("no conditions", caos.Invalid, readiness.RuleCondition, with(h.as("bo"), ballot(verify.OutcomeConditional)))
		past := conditional("Repeat", "ned")
		past.Conditions[0].DueOn = "2026-11-22"
		long, many, crowd := conditional(strings.Repeat("x", 161), "ned"), yes, conditional("Repeat", "ned")
		many.Outcome = verify.OutcomeRejected
		for i := range 19 {
			crowd.Conditions = append(crowd.Conditions, readiness.ConditionDraft{Text: strings.Repeat(string(rune('a'+i)), 150), Owner: "ned", DueOn: "2026-12-24"})
		}
		loud := yes
		loud.Comment = "two\nlines"
		twice := yes
		twice.Conditions = append(twice.Conditions[:1:1], twice.Conditions[0])
		for name, b := range map[string]readiness.Ballot{"no outcome": {}, "another outcome": ballot("MAYBE"), "conditions on a no": many, "a day that is over": past,
			"an owner who is not there": conditional("Repeat", "nobody"), "no owner": conditional("Repeat", ""), "too long": long, "control characters": loud,
			"the same twice": twice, "an empty condition": conditional(" ", "ned")} {
			h.refused(name, caos.Invalid, "", with(h.as("bo"), b))
		}
		h.refused("more than can be signed", caos.TooLarge, "", with(h.as("bo"), crowd))
		h.refused("no review", caos.NotFound, "", func() error { _, err := h.vote("PRR-NONE\x00", yes, readiness.Proof{}, h.as("bo")); return err })

		_, err := h.vote(v.PRRID, yes, readiness.Proof{}, h.as("bo"))
		h.ok(err)
		h.refused("twice", caos.Conflict, readiness.RuleOnce, with(h.as("bo"), yes))
		h.refused("twice, another word", caos.Conflict, readiness.RuleOnce, with(h.as("bo"), ballot(verify.OutcomeRejected)))

		// Who was free, and is not any more, does not count.
		h.give(fcs, "bea")
		h.refused("an owner of today", caos.Denied, readiness.RuleSeparation, with(h.as("bea"), yes))
		h.clock.Store(v.ClosesAt.Add(time.Second).UnixMicro())
		chief := caos.Principal{ID: "chief", Roles: []string{"chief-engineer"}, MFA: "totp"} // no token lives that long
		h.refused("after the close", caos.Conflict, readiness.RuleVotesOpen, with(chief, yes))
		h.must(func(tx *db.Tx) error {
			_, err := h.EndReview(tx, v.PRRID, readiness.ReviewFailed, readiness.By{Actor: "caos"})
			return err
		})
		h.refused("of a review that ended", caos.Conflict, readiness.RuleVotesOpen, with(chief, yes))
	})
}

func TestVoteProofs(t *testing.T) {
	eachHouse(t, "DAL-A", func(t *testing.T, h *house) {
		v := h.voting("DAL-A", verify.OutcomeApproved, "bo", "bea", "ben")
		yes := readiness.Ballot{Outcome: verify.OutcomeApproved, Comment: `A "fine" model, <ready> & tested`}
		bo := h.as("bo")
		try := func(proof readiness.Proof) func() error {
			return func() error { _, err := h.vote(v.PRRID, yes, proof, bo); return err }
		}
		h.refused("a second factor alone", caos.Denied, readiness.RulePersonalKey, try(readiness.Proof{}))

		key, id := h.enrol("bo", "quinn")
		pending, _ := h.enrol("bo", "")
		others, _ := h.enrol("bea", "quinn")
		stranger := newPen(t)
		proposal, err := h.proposal(v.PRRID, yes, bo)
		h.ok(err)
		if !proposal.PersonalKey || proposal.Namespace != verify.DecisionNamespace || proposal.Digest != v.ReportDigest || !strings.Contains(proposal.Meaning, fcs) {
			t.Errorf("%+v", proposal)
		}
		sign := func(p pen, statement string) readiness.Proof {
			return readiness.Proof{Statement: statement, Signature: p.sign(t, verify.DecisionNamespace, statement)}
		}
		good := proposal.Statement
		for name, p := range map[string]pen{"a key that nobody vouched for": pending, "another's key": others, "a key that nobody enrolled": stranger} {
			h.refused(name, caos.Denied, readiness.RuleKey, try(sign(p, good)))
		}
		for name, proof := range map[string]readiness.Proof{
			"for another purpose":  {Statement: good, Signature: key.sign(t, "git", good)},
			"for enrolment":        {Statement: good, Signature: key.sign(t, auth.KeyNamespace, good)},
			"over something else":  {Statement: good, Signature: key.sign(t, verify.DecisionNamespace, good+" ")},
			"no signature":         {Statement: good, Signature: "-----BEGIN SSH SIGNATURE-----"},
			"an empty signature":   {Statement: good},
			"an enormous one":      {Statement: good, Signature: strings.Repeat("x", 5000)},
			"a signature of bytes": {Statement: good, Signature: "\x00\xff"},
		} {
			kind := caos.Denied
			if name == "an enormous one" {
				kind = caos.TooLarge
			}
			h.refused(name, kind, readiness.RuleSignature, try(proof))
		}
		d, err := verify.ParseDecision([]byte(good))
		h.ok(err)
		change := func(fn func(d *verify.Decision)) string {
			c := d
			fn(&c)
			b, err := c.Canonical()
			h.ok(err)
			return string(b)
		}
		for name, statement := range map[string]string{
			"a signature without statement": "",
			"other report":                  change(func(d *verify.Decision) { d.Digest = "SHA256:" + strings.Repeat("1", 64) }),
			"other meaning":                 change(func(d *verify.Decision) { d.Meaning = "APPROVED: something" }),
			"other outcome":                 change(func(d *verify.Decision) { d.What = "vote:" + v.PRRID + ":REJECTED" }),
			"other review":                  change(func(d *verify.Decision) { d.What = "vote:" + v.PRRID + "-2:APPROVED" }),
			"other person":                  change(func(d *verify.Decision) { d.Person = "bea" }),
			"too old":                       change(func(d *verify.Decision) { d.Time = caos.FormatTime(h.now().Add(-11 * time.Minute)) }),
			"of the future":                 change(func(d *verify.Decision) { d.Time = caos.FormatTime(h.now().Add(2 * time.Minute)) }),
			"not canonical":                 strings.Replace(good, ",", ", ", 1),
			"no JSON":                       "yes",
			"a field more":                  strings.Replace(good, "}", `,"x":1}`, 1),
			"not text":                      "\x00\xff",
		} {
			h.refused(name, caos.Denied, readiness.RuleFresh, try(sign(key, statement)))
		}
		h.refused("enormous", caos.TooLarge, readiness.RuleFresh, try(sign(key, strings.Repeat("x", 9<<10))))
		h.move(11 * time.Minute)
		h.refused("a proposal of before", caos.Denied, readiness.RuleFresh, try(sign(key, good)))

		proof := h.signed(v.PRRID, yes, bo, key)
		h.move(9 * time.Minute)
		noFactor := bo
		noFactor.MFA = "" // a signature proves more than a second factor
		vote, err := h.vote(v.PRRID, yes, proof, noFactor)
		h.ok(err)
		if vote.Proof != verify.ProofSSH || vote.KeyID != id || !vote.Personal() || vote.Statement != proof.Statement || vote.Role != "prr-board" {
			t.Errorf("%+v", vote)
		}
		h.refused("the same statement again", caos.Conflict, readiness.RuleOnce, try(proof))

		// The file that a package would have, checked as an auditor does.
		raw, err := vote.File().Marshal()
		h.ok(err)
		file, said, by, err := verify.ParseDecisionFile(raw)
		if err != nil || by.String() != key.public || said.Person != "bo" || file.Record != vote.RecordID {
			t.Errorf("%+v %+v %v", file, said, err)
		}
		log := h.recordOf(vote.RecordID)
		if log.Type != auditlog.Decided || !strings.Contains(string(log.details), verify.StatementHash([]byte(vote.Statement))) {
			t.Errorf("%+v %s", log, log.details)
		}

		// A key that was taken away does not vote, whatever was proposed before.
		bea := h.as("bea")
		ready := h.signed(v.PRRID, yes, bea, others)
		keys, err := h.auth.ListKeys(context.Background(), bea, "bea")
		h.ok(err)
		_, err = h.auth.RevokeKey(context.Background(), bea, keys[0].ID, time.Time{})
		h.ok(err)
		h.refused("a revoked key", caos.Denied, readiness.RuleKey, func() error { _, err := h.vote(v.PRRID, yes, ready, bea); return err })

		// What was decided reads back the same.
		got, err := h.DecisionByID(context.Background(), vote.DecisionID)
		h.ok(err)
		if got.Statement != vote.Statement || got.PolicyDigest == "" || got.ModelID != fcs || len(got.Roles) != 1 {
			t.Errorf("%+v", got)
		}
		list, _, err := h.Decisions(context.Background(), readiness.DecisionFilter{Subject: v.PRRID, ModelID: fcs, Person: "bo"}, "")
		if err != nil || len(list) != 1 || list[0].DecisionID != vote.DecisionID {
			t.Errorf("%v %v", list, err)
		}
		if _, err := h.DecisionByID(context.Background(), "DEC-\x00"); caos.KindOf(err) != caos.NotFound {
			t.Error(err)
		}
	})
}
