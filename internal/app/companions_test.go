package app

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/evidence"
	"caos/internal/object"
	"caos/internal/readiness"
	"caos/internal/verify"
)

// board decides on a version that is frozen without gates: two vote, one of them under a
// condition, a third closes it, and two approve the release. It returns the review's id.
func (n *node) board(model, version string) string {
	n.t.Helper()
	ctx := context.Background()
	check := func(err error) {
		n.t.Helper()
		if err != nil {
			n.t.Fatal(err)
		}
	}
	update := func(fn func(tx *db.Tx) error) {
		n.t.Helper()
		check(n.db.Update(ctx, fn))
	}
	admin := caos.Principal{ID: "admin", Roles: []string{"admin"}, MFA: "totp"}
	_, err := n.auth.CreateUser(ctx, admin, auth.NewUser{ID: "carla", Kind: auth.Person, Name: "Carla", Roles: []string{"admin"}})
	check(err)
	carla := caos.Principal{ID: "carla", Roles: []string{"admin"}, MFA: "totp"}
	people := map[string]caos.Principal{}
	for id, role := range map[string]string{"chief": verify.RoleChiefEngineer, "bo": "prr-board", "quinn": verify.RoleQALead} {
		_, err := n.auth.CreateUser(ctx, carla, auth.NewUser{ID: id, Kind: auth.Person, Name: id, Roles: []string{role}})
		check(err)
		people[id] = caos.Principal{ID: id, Roles: []string{role}, MFA: "totp"}
	}
	c := n.checklist(model, version)
	by := readiness.By{Actor: "admin"}
	put := func(text string) string {
		ref, err := n.objects.Put(ctx, strings.NewReader(text), object.PutOptions{})
		check(err)
		return ref.Digest
	}
	report := readiness.ReviewReport{ReportID: "95-00-09-02-001", Version: "1.0", Digest: put("<html>report</html>"), PDFDigest: put("%PDF report"), FactsDigest: put("{}")}
	subject := readiness.Subject{ModelID: model, Version: version, BaselineID: c.BaselineID, SafetyLevel: "DAL-D"}
	var v *readiness.Review
	update(func(tx *db.Tx) (err error) {
		v, err = n.readiness.OpenReview(tx, readiness.Review{Subject: subject, ChecklistID: c.ChecklistID, Members: []string{"bo"}, ExecutionID: "EXEC-20261123T000000.000002Z",
			PRRDate: n.now().UTC().Format(time.DateOnly), ClosesAt: n.now().Add(time.Hour)}, by)
		if err != nil {
			return err
		}
		v, err = n.readiness.Prepared(tx, v.PRRID, report, verify.OutcomeApproved, by)
		return err
	})
	condition := readiness.ConditionDraft{Text: "Watch the first hundred flights", Owner: "admin", DueOn: n.now().UTC().AddDate(0, 1, 0).Format(time.DateOnly)}
	for id, b := range map[string]readiness.Ballot{"chief": {Outcome: verify.OutcomeApproved}, "bo": {Outcome: verify.OutcomeConditional, Conditions: []readiness.ConditionDraft{condition}}} {
		update(func(tx *db.Tx) error {
			_, err := n.readiness.Vote(tx, v.PRRID, b, readiness.Proof{}, people[id])
			return err
		})
	}
	update(func(tx *db.Tx) (err error) {
		count, err := n.readiness.Tally(tx, v.PRRID)
		if err != nil {
			return err
		}
		if v, err = n.readiness.Decide(tx, v.PRRID, verify.OutcomeConditional, nil, by); err != nil {
			return err
		}
		return n.outcome(tx, v, verify.OutcomeDetails{OutcomeOf: verify.OutcomeOfReview, Outcome: v.BoardDecision, Barred: count.Barred})
	})
	update(func(tx *db.Tx) (err error) {
		one, err := n.readiness.CloseCondition(tx, readiness.ConditionRef{PRRID: v.PRRID, ConditionID: v.Conditions[0].ConditionID}, readiness.Closing{Evidence: []string{c.BaselineID}}, readiness.Proof{}, people["quinn"])
		if err != nil {
			return err
		}
		if v, err = n.readiness.EndReview(tx, v.PRRID, readiness.ReviewDecided, by); err != nil {
			return err
		}
		d, err := n.readiness.DecisionIn(tx, one.DecisionID)
		if err != nil {
			return err
		}
		return n.outcome(tx, v, verify.OutcomeDetails{OutcomeOf: verify.OutcomeOfConditions, Outcome: verify.OutcomeClosed, Votes: []verify.OutcomeVote{{
			Record: d.RecordID, Person: d.Person, Outcome: d.Outcome, Roles: d.Roles, Proof: d.Proof, Subject: one.ConditionID, Digest: d.Digest,
		}}})
	})
	n.release(subject, v.PRRID, people)
	return v.PRRID
}

// outcome records what decisions on a review came to, as the hook does.
func (n *node) outcome(tx *db.Tx, v *readiness.Review, o verify.OutcomeDetails) error {
	o.Subject, o.SubjectDigest, o.PolicyDigest, o.SafetyLevel, o.Members, o.Best = v.PRRID, v.ReportDigest, v.PolicyDigest, v.SafetyLevel, v.Members, v.Best
	o.ReportDigest, o.PDFDigest = v.ReportDigest, v.PDFDigest
	for _, vote := range v.Votes {
		if o.OutcomeOf == verify.OutcomeOfReview {
			o.Votes = append(o.Votes, verify.OutcomeVote{Record: vote.RecordID, Person: vote.Person, Outcome: vote.Outcome, Roles: vote.Roles, Role: vote.Role, Proof: vote.Proof})
		}
	}
	for _, c := range v.Conditions {
		o.Conditions = append(o.Conditions, verify.OutcomeCondition{ConditionID: c.ConditionID, Text: c.Text, Owner: c.Owner, DueOn: c.DueOn})
	}
	_, err := n.log.Append(tx, auditlog.Record{Type: auditlog.Decided, Actor: "admin", Resources: []string{v.PRRID, v.ModelID}, Details: o, Project: v.Project, Classification: v.Classification})
	return err
}

// release has the release of a version approved by the two roles.
func (n *node) release(s readiness.Subject, prr string, people map[string]caos.Principal) {
	n.t.Helper()
	platforms, strategies, until, why := []string{"bench"}, []string{"ROLLING"}, n.now().Add(24*time.Hour), "The board approved it."
	var id string
	for _, step := range []func(tx *db.Tx) error{
		func(tx *db.Tx) error {
			a, err := n.readiness.OpenAuthorization(tx, s, prr, platforms, readiness.By{Actor: "admin"})
			if err == nil {
				id = a.AuthorizationID
			}
			return err
		},
		func(tx *db.Tx) error {
			_, err := n.readiness.UpdateScope(tx, id, readiness.ScopeChange{Strategies: &strategies, NotAfter: &until, Rationale: &why}, 0, readiness.By{Actor: "admin"})
			return err
		},
		func(tx *db.Tx) error {
			_, err := n.readiness.Request(tx, id, caos.Principal{ID: "admin", Roles: []string{"admin"}}, readiness.By{Actor: "admin"})
			return err
		},
		func(tx *db.Tx) error {
			_, err := n.readiness.Approve(tx, id, verify.RoleQALead, readiness.Proof{}, people["quinn"])
			return err
		},
	} {
		if err := n.db.Update(context.Background(), step); err != nil {
			n.t.Fatal(err)
		}
	}
}

// An export for the authority carries all that was decided, and it verifies offline.
func TestExportHoldsTheBoard(t *testing.T) {
	n := launch(t, db.SQLite)
	ctx := context.Background()
	prr := n.board("NN-FCS-001", "2.1.0")
	by := evidence.By{Actor: "admin", RecordedBy: "admin"}
	if err := n.db.Update(ctx, func(tx *db.Tx) error {
		_, err := n.evidence.Create(tx, evidence.Package{PackageID: "CERT-PKG-FCS", ModelID: "NN-FCS-001"}, by)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	_, obj := n.do("POST", "/v1/objects", `<testsuite name="s" tests="1"><testcase name="t" classname="c"/></testsuite>`, "Content-Type", "application/octet-stream")
	if status, x := n.do("POST", "/v1/hooks/CAOS.PROD.CERT.EVIDENCE/executions", map[string]any{
		"model_id": "NN-FCS-001", "evidence_type": "TEST_RESULT", "evidence_category": "VERIFICATION", "artifact_uri": obj["uri"],
		"artifact_metadata": map[string]any{"format": "junit", "requirement_ids": []string{"95-00-03-REQ-001"}}, "certification_package_id": "CERT-PKG-FCS",
	}, "Prefer", "wait=20"); status != 200 || x["status"] != "SUCCEEDED" {
		t.Fatalf("%d %v", status, x)
	}
	trust, err := n.log.Trust(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		audience            evidence.Audience
		decisions, outcomes int
	}{{evidence.Authority, 4, 2}, {evidence.Supplier, 0, 0}} {
		var b bytes.Buffer
		if err := n.evidence.Export(ctx, "CERT-PKG-FCS", c.audience, nil, &b); err != nil {
			t.Fatal(err)
		}
		r, err := verify.Package(bytes.NewReader(b.Bytes()), int64(b.Len()), trust, verify.PackageOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range r.Checks {
			if !k.OK {
				t.Errorf("%s: %+v", c.audience, k)
			}
		}
		if len(r.Decisions) != c.decisions || len(r.Outcomes) != c.outcomes {
			t.Errorf("%s: %+v %+v", c.audience, r.Decisions, r.Outcomes)
		}
		if c.audience != evidence.Authority {
			continue
		}
		i := slices.IndexFunc(r.Decisions, func(d verify.DecisionLine) bool { return d.Person == "bo" })
		if i < 0 || r.Decisions[i].Subject != prr || r.Decisions[i].Role != "member" || r.Decisions[i].Proof != verify.ProofServer {
			t.Errorf("%+v", r.Decisions)
		}
		for _, name := range []string{verify.ReportName(prr, "1.0", "html"), verify.ReportName(prr, "1.0", "pdf")} {
			if !bytes.Contains(b.Bytes(), []byte(name)) {
				t.Errorf("%s is not in the export", name)
			}
		}
	}
}
