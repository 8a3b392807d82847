package evidence_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"testing"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/evidence"
	"caos/internal/verify"
)

// board is a review as its companions show it.
type board struct {
	w        *world
	list     []evidence.Companion
	policy   []byte
	digest   string // of the policy
	report   []byte
	outcomes []verify.OutcomeVote
}

const prr = "PRR-NN-FCS-001-2.1.0"

// vote records a vote that the server asserts, about a model where that is enough. Its
// record names an evidence item that no package of the test has.
func (b *board) vote(person, outcome string, roles ...string) {
	b.w.t.Helper()
	digest := verify.FormatHash(sha256.Sum256(b.report))
	now := b.w.now.Load()
	d := verify.Decision{Digest: digest, Meaning: outcome + ": as said", Person: person, Time: caos.FormatTime(time.UnixMicro(now)), What: verify.VoteWhat(prr, outcome)}
	statement, err := d.Canonical()
	b.w.ok(err)
	var rec auditlog.Receipt
	b.w.ok(b.w.update(func(tx *db.Tx) (err error) {
		rec, err = b.w.log.Append(tx, auditlog.Record{Type: auditlog.Decided, Actor: person, Resources: []string{prr, model, "EVID-ELSEWHERE"}, Details: map[string]any{
			"statement_hash": verify.StatementHash(statement), "what": d.What, "subject_digest": digest, "person": person, "outcome": outcome, "role": "",
			"roles": roles, "proof": verify.ProofServer, "policy_digest": b.digest, "safety_level": "DAL-C",
		}})
		return err
	}))
	file, err := verify.DecisionFile{Record: rec.ID, Statement: string(statement), Proof: verify.DecisionProof{Kind: verify.ProofServer}}.Marshal()
	b.w.ok(err)
	b.list = append(b.list, evidence.Companion{Name: verify.DecisionName(rec.ID), Data: file, Record: rec.ID, Authority: true})
	b.outcomes = append(b.outcomes, verify.OutcomeVote{Record: rec.ID, Person: person, Outcome: outcome, Roles: roles, Proof: verify.ProofServer})
}

// decide records what the votes came to.
func (b *board) decide(outcome string, members ...string) {
	b.w.t.Helper()
	digest := verify.FormatHash(sha256.Sum256(b.report))
	var rec auditlog.Receipt
	b.w.ok(b.w.update(func(tx *db.Tx) (err error) {
		rec, err = b.w.log.Append(tx, auditlog.Record{Type: auditlog.Decided, Actor: "anna", Resources: []string{prr, model}, Details: verify.OutcomeDetails{
			OutcomeOf: verify.OutcomeOfReview, Subject: prr, SubjectDigest: digest, PolicyDigest: b.digest, SafetyLevel: "DAL-C", Members: members,
			Best: verify.OutcomeApproved, Votes: b.outcomes, Outcome: outcome, ReportDigest: digest,
		}})
		return err
	}))
	b.list = append(b.list, evidence.Companion{Subject: prr, Record: rec.ID, Authority: true},
		evidence.Companion{Name: verify.ReportName(prr, "1.0", "html"), Subject: prr, Data: b.report, Recorded: true, Authority: true},
		evidence.Companion{Name: verify.PolicyName(b.digest), Data: b.policy, Authority: true})
}

func TestDecisionsGoWithTheModel(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		policy, p := verify.ShippedDecisionPolicy()
		b := &board{w: w, policy: policy, digest: p.Digest(), report: []byte("<html>report</html>")}
		opt := w.options
		opt.Companions = func(context.Context, string) ([]evidence.Companion, error) { return b.list, nil }
		repo, err := evidence.New(opt)
		w.ok(err)
		w.Repository = repo
		pkg := w.create(evidence.Package{ModelID: model})
		w.plan(pkg.PackageID, []string{"R-1"}, nil)
		_, err = w.collectAs(w.request(pkg.PackageID, w.file("a.txt", "a\n"), evidence.Document, evidence.Metadata{RequirementIDs: []string{"R-1"}}), "Public")
		w.ok(err)
		b.vote("carla", verify.OutcomeApproved, verify.RoleChiefEngineer)
		b.vote("bo", verify.OutcomeApproved, "prr-board")
		b.decide(verify.OutcomeApproved, "bo")

		file := w.export(pkg.PackageID, evidence.Authority)
		rep := w.verified(file)
		if !rep.OK || len(rep.Decisions) != 2 || len(rep.Outcomes) != 1 || rep.Outcomes[0].Outcome != verify.OutcomeApproved {
			t.Fatalf("%+v %+v", rep.Decisions, rep.Checks)
		}
		if rep := w.verified(w.export(pkg.PackageID, evidence.Supplier)); !rep.OK || len(rep.Decisions)+len(rep.Outcomes) > 0 {
			t.Errorf("a supplier gets %+v", rep)
		}
		if bytes.Contains(w.export(pkg.PackageID, evidence.Supplier), []byte("carla")) {
			t.Error("a supplier learns who voted")
		}

		b.list[0].Data = bytes.Replace(b.list[0].Data, []byte("as said"), []byte("as wished"), 1)
		if rep := w.verified(w.export(pkg.PackageID, evidence.Authority)); rep.OK {
			t.Error("a vote that was changed verifies")
		}
		b.list = append(b.list, b.list[1]) // twice is once
		w.export(pkg.PackageID, evidence.Authority)
	})
}
