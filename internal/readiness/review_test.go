package readiness_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/readiness"
	"caos/internal/verify"
)

func (h *house) decide(id, decision string, extra ...readiness.ConditionDraft) (v *readiness.Review, err error) {
	err = h.do(func(tx *db.Tx) (err error) {
		v, err = h.Decide(tx, id, decision, extra, readiness.By{Actor: "caos"})
		return err
	})
	return v, err
}

func (h *house) end(id string, status readiness.ReviewStatus) (v *readiness.Review, err error) {
	err = h.do(func(tx *db.Tx) (err error) {
		v, err = h.EndReview(tx, id, status, readiness.By{Actor: "caos"})
		return err
	})
	return v, err
}

func (h *house) tally(id string) (c readiness.Count) {
	h.t.Helper()
	h.must(func(tx *db.Tx) (err error) { c, err = h.Tally(tx, id); return err })
	return c
}

func (h *house) shut(id, condition string, p caos.Principal, proof readiness.Proof, ids ...string) (c *readiness.Condition, err error) {
	err = h.do(func(tx *db.Tx) (err error) {
		c, err = h.CloseCondition(tx, readiness.ConditionRef{PRRID: id, ConditionID: condition}, readiness.Closing{Evidence: ids, Note: "seen"}, proof, p)
		return err
	})
	return c, err
}

func TestReviewLife(t *testing.T) {
	eachHouse(t, "DAL-D", func(t *testing.T, h *house) {
		opened := h.now()
		v, err := h.review(subject(fcs, "DAL-D"), readiness.By{Actor: "rita"}, "", "bo", "bea", "ben")
		h.ok(err)
		if v.PRRID != prr || v.Status != readiness.ReviewPreparing || v.RequestedBy != "rita" || v.RecordedBy != "rita" || v.PolicyDigest == "" {
			t.Errorf("%+v", v)
		}
		h.refused("a second one", caos.Conflict, readiness.RuleReviewOpen, func() error {
			_, err := h.review(subject(fcs, "DAL-D"), readiness.By{Actor: "ned"}, "", "bo")
			return err
		})
		h.refused("a vote on no report", caos.Conflict, readiness.RuleVotesOpen, func() error {
			_, err := h.vote(prr, ballot("APPROVED"), readiness.Proof{}, h.as("bo"))
			return err
		})
		h.refused("no best", caos.Invalid, "", func() error { _, err := h.prepared(prr, "FINE"); return err })
		v, err = h.prepared(prr, verify.OutcomeApproved)
		h.ok(err)
		if v.Status != readiness.ReviewVoting || len(v.Editions) != 1 || v.ReportDigest != zeroes {
			t.Errorf("%+v", v)
		}
		h.refused("prepared twice", caos.Conflict, "", func() error { _, err := h.prepared(prr, verify.OutcomeApproved); return err })
		if c := h.tally(prr); c.Outcome != "" || c.Quorum || len(c.Waiting) != 3 || len(c.Missing) != 2 || !slices.Contains(c.Barred, "vera") {
			t.Errorf("%+v", c)
		}
		h.refused("a decision without votes", caos.Conflict, readiness.RuleQuorum, func() error { _, err := h.decide(prr, "APPROVED"); return err })
		for _, id := range []string{"bo", "bea", "chief"} {
			_, err := h.vote(prr, ballot("APPROVED"), readiness.Proof{}, h.as(id))
			h.ok(err)
		}
		if c := h.tally(prr); c.Outcome != "APPROVED" || c.Final || !slices.Equal(c.Waiting, []string{"ben"}) || len(c.Ballots) != 3 || c.Ballots[2].Role != "chief-engineer" {
			t.Errorf("%+v", c)
		}
		// A voter becomes an owner before anything is decided: half of the members are left.
		h.give(fcs, "bea")
		if c := h.tally(prr); c.Outcome != "" || !slices.Contains(c.Barred, "bea") {
			t.Errorf("%+v", c)
		}
		h.refused("a decision on a barred vote", caos.Conflict, readiness.RuleQuorum, func() error { _, err := h.decide(prr, "APPROVED"); return err })
		_, err = h.vote(prr, ballot("APPROVED"), readiness.Proof{}, h.as("ben"))
		h.ok(err)
		h.refused("nothing to be decided", caos.Invalid, "", func() error { _, err := h.decide(prr, "MAYBE"); return err })
		h.refused("no condition", caos.Invalid, readiness.RuleCondition, func() error { _, err := h.decide(prr, "CONDITIONAL"); return err })
		h.refused("ended before it was decided", caos.Conflict, "", func() error { _, err := h.end(prr, readiness.ReviewDecided); return err })
		v, err = h.decide(prr, "APPROVED")
		h.ok(err)
		if v.Status != readiness.ReviewDecided || v.Decision != "APPROVED" || v.BoardDecision != "APPROVED" || v.DecidedAt == nil || len(v.Votes) != 4 {
			t.Errorf("%+v", v)
		}
		h.refused("decided twice", caos.Conflict, readiness.RuleVotesOpen, func() error { _, err := h.decide(prr, "REJECTED"); return err })
		h.refused("cancelled after that", caos.Conflict, "", func() error { _, err := h.end(prr, readiness.ReviewCancelled); return err })
		edition := readiness.ReviewReport{ReportID: "95-00-09-02-001", Version: "2.0", Digest: zeroes}
		add := func() error {
			return h.do(func(tx *db.Tx) error {
				_, err := h.AddEdition(tx, prr, edition, readiness.By{Actor: "caos"})
				return err
			})
		}
		h.ok(add())
		h.refused("the edition again", caos.Conflict, "", add)
		// The second review of the baseline, and the third.
		for _, id := range []string{prr + "-2", prr + "-3"} {
			v, err = h.review(subject(fcs, "DAL-D"), readiness.By{Actor: "rita"}, "", "bo")
			if err != nil || v.PRRID != id {
				t.Errorf("%v %v", v, err)
			}
			_, err = h.end(id, readiness.ReviewCancelled)
			h.ok(err)
		}
		list, _, err := h.Reviews(context.Background(), readiness.ReviewFilter{ModelID: fcs, BaselineID: v.BaselineID, Status: readiness.ReviewCancelled}, "")
		if err != nil || len(list) != 2 || list[0].PRRID != prr+"-3" {
			t.Errorf("%v %v", list, err)
		}
		// How it read before it was decided, and before it was there.
		h.must(func(tx *db.Tx) error {
			raw, err := h.Past(tx, "review", prr, h.show(prr).DecidedAt.Add(-time.Microsecond))
			h.ok(err)
			var was readiness.Review
			h.ok(json.Unmarshal(raw, &was))
			if was.Status != readiness.ReviewVoting || len(was.Votes) != 4 || was.Votes[3].Person != "ben" {
				t.Errorf("%s", raw)
			}
			raw, err = h.Past(tx, "review", prr, opened)
			if err != nil || raw != nil {
				t.Errorf("%s %v", raw, err)
			}
			return nil
		})
	})
}

func TestOpenReviewRefuses(t *testing.T) {
	eachHouse(t, "DAL-D", func(t *testing.T, h *house) {
		good := readiness.Review{Subject: subject(fcs, "DAL-D"), ChecklistID: "CHK-FCS-2.1.0", Members: []string{"bo"}, PRRDate: "2030-11-30",
			ClosesAt: time.Date(2030, 12, 1, 0, 0, 0, 0, time.UTC)}
		for name, c := range map[string]func(v *readiness.Review){
			"prr_board_members":    func(v *readiness.Review) { v.Members = nil },
			"prr_board_members[1]": func(v *readiness.Review) { v.Members = []string{"bo", "bo"} },
			"prr_board_members[0]": func(v *readiness.Review) { v.Members = []string{"Bo!"} },
			"prr_date":             func(v *readiness.Review) { v.ClosesAt = h.now() },
			"model_id":             func(v *readiness.Review) { v.ModelID = "FCS" },
			"model_version":        func(v *readiness.Review) { v.Version = "two" },
			"baseline_id":          func(v *readiness.Review) { v.BaselineID = "" },
			"checklist_id":         func(v *readiness.Review) { v.ChecklistID = "" },
		} {
			h.refused(name, caos.Invalid, "", func() error {
				v := good
				c(&v)
				err := h.do(func(tx *db.Tx) error { _, err := h.OpenReview(tx, v, readiness.By{Actor: "rita"}); return err })
				if e := caos.AsError(err); e.Field != name {
					t.Errorf("%s: the refusal is about %q", name, e.Field)
				}
				return err
			})
		}
	})
}

// A pre-release can read like the second review of another version.
func TestReviewIDs(t *testing.T) {
	eachHouse(t, "DAL-D", func(t *testing.T, h *house) {
		open := func(version string) *readiness.Review {
			t.Helper()
			s := subject(fcs, "DAL-D")
			s.Version, s.BaselineID = version, "BL-FCS-"+version
			v, err := h.review(s, readiness.By{Actor: "rita"}, "", "bo")
			h.ok(err)
			_, err = h.end(v.PRRID, readiness.ReviewCancelled)
			h.ok(err)
			return v
		}
		var ids []string
		for _, version := range []string{"3.0.0-2", "3.0.0", "3.0.0", "3.0.0", "3.0.0-2"} {
			ids = append(ids, strings.TrimPrefix(open(version).PRRID, "PRR-NN-FCS-001-"))
		}
		if want := []string{"3.0.0-2", "3.0.0", "3.0.0-3", "3.0.0-4", "3.0.0-2-2"}; !slices.Equal(ids, want) {
			t.Errorf("%q, want %q", ids, want)
		}
	})
}

// Reviews whose reports are being made have an order, by which they take their ids.
func TestPreparingBefore(t *testing.T) {
	eachHouse(t, "DAL-D", func(t *testing.T, h *house) {
		before := func(id string, want int) {
			t.Helper()
			h.must(func(tx *db.Tx) error {
				n, err := h.PreparingBefore(tx, id)
				if n != want {
					t.Errorf("%d before %s, want %d", n, id, want)
				}
				return err
			})
		}
		var ids []string
		for _, version := range []string{"9.0.0", "1.0.0", "5.0.0"} {
			s := subject(fcs, "DAL-D")
			s.Version, s.BaselineID = version, "BL-FCS-"+version
			v, err := h.review(s, readiness.By{Actor: "rita"}, "", "bo")
			h.ok(err)
			ids = append(ids, v.PRRID)
		}
		for i, id := range ids {
			before(id, i)
		}
		_, err := h.prepared(ids[1], verify.OutcomeApproved)
		h.ok(err)
		before(ids[2], 1)
		_, err = h.end(ids[0], readiness.ReviewCancelled)
		h.ok(err)
		before(ids[2], 0)
	})
}

func TestConditions(t *testing.T) {
	eachHouse(t, "DAL-A", func(t *testing.T, h *house) {
		v := h.voting("DAL-A", verify.OutcomeApproved, "bo", "bea", "olga")
		pens := map[string]pen{}
		for _, id := range []string{"bo", "bea", "chief", "quinn", "ned", "vera"} {
			by := "quinn"
			if id == "quinn" {
				by = "chief"
			}
			pens[id], _ = h.enrol(id, by)
		}
		cold := conditional("Repeat the cold start test", "ned")
		cold.Conditions = append(cold.Conditions, readiness.ConditionDraft{Text: "Brief the crews", Owner: "quinn", DueOn: "2026-12-01"})
		for id, b := range map[string]readiness.Ballot{"bo": cold, "bea": conditional("Repeat the cold start test", "ned"), "chief": ballot("APPROVED")} {
			proposal, err := h.proposal(v.PRRID, b, h.as(id))
			h.ok(err)
			for _, c := range b.Conditions {
				if !strings.Contains(proposal.Meaning, c.Text+" (owner "+c.Owner+", due "+c.DueOn+")") {
					t.Errorf("%q does not say %v", proposal.Meaning, c)
				}
			}
			_, err = h.vote(v.PRRID, b, h.signed(v.PRRID, b, h.as(id), pens[id]), h.as(id))
			h.ok(err)
		}
		h.refused("more than the votes carry", caos.Conflict, readiness.RuleQuorum, func() error { _, err := h.decide(v.PRRID, "APPROVED"); return err })
		v, err := h.decide(v.PRRID, "CONDITIONAL", readiness.ConditionDraft{Text: "Item 3.2 is open", Owner: "ned", DueOn: ""})
		h.ok(err)
		if v.Status != readiness.ReviewConditional || len(v.Conditions) != 3 || v.Decision != "CONDITIONAL" {
			t.Fatalf("%+v", v)
		}
		var crews, starts string
		for _, c := range v.Conditions {
			if c.Text == "Brief the crews" {
				crews = c.ConditionID
			}
			if c.Text == "Repeat the cold start test" {
				starts = c.ConditionID
				if len(c.AskedBy) != 2 {
					t.Errorf("%+v", c)
				}
			}
		}
		closing := func(p caos.Principal, condition string, ids ...string) func() error {
			return func() error { _, err := h.shut(v.PRRID, condition, p, readiness.Proof{}, ids...); return err }
		}
		h.refused("its owner", caos.Denied, readiness.RuleByAnother, closing(h.as("quinn"), crews, "EVID-1"))
		h.refused("a V&V author", caos.Denied, readiness.RuleSeparation, closing(h.as("vera"), crews, "EVID-1"))
		h.refused("the owner of the model", caos.Denied, readiness.RuleSeparation, closing(h.as("olga"), crews, "EVID-1"))
		h.refused("no evidence", caos.Invalid, readiness.RuleEvidenceRequired, closing(h.as("ned"), crews))
		h.refused("what is no evidence", caos.Invalid, readiness.RuleEvidenceKnown, closing(h.as("ned"), crews, "EVID-1", "PHOTO-1"))
		h.refused("evidence named twice", caos.Invalid, "", closing(h.as("ned"), crews, "EVID-1", "EVID-1"))
		h.refused("no condition", caos.NotFound, "", closing(h.as("ned"), "COND-NONE", "EVID-1"))
		h.refused("a second factor where a key is needed", caos.Denied, readiness.RulePersonalKey, closing(h.as("ned"), crews, "EVID-1"))
		service := h.as("ned")
		service.EnabledBy = "bo"
		h.refused("a trigger", caos.Denied, readiness.RulePersonal, closing(service, crews, "EVID-1"))
		h.refused("ended with open conditions", caos.Conflict, readiness.RuleOpenLeft, func() error { _, err := h.end(v.PRRID, readiness.ReviewDecided); return err })

		shut := func(who, condition string) *readiness.Condition {
			t.Helper()
			var proposal readiness.Proposal
			h.must(func(tx *db.Tx) (err error) {
				proposal, err = h.ProposeClosing(tx, readiness.ConditionRef{PRRID: v.PRRID, ConditionID: condition}, readiness.Closing{Evidence: []string{"EVID-1"}, Note: "seen"}, h.as(who))
				return err
			})
			proof := readiness.Proof{Statement: proposal.Statement, Signature: pens[who].sign(t, proposal.Namespace, proposal.Statement)}
			h.refused("signed for one item, sent with another", caos.Denied, readiness.RuleFresh, func() error {
				_, err := h.shut(v.PRRID, condition, h.as(who), proof, "EVID-2")
				return err
			})
			c, err := h.shut(v.PRRID, condition, h.as(who), proof, "EVID-1")
			h.ok(err)
			return c
		}
		c := shut("ned", crews)
		if c.Status != readiness.ConditionClosed || c.ClosedBy != "ned" || c.DecisionID == "" || !slices.Equal(c.Evidence, []string{"EVID-1"}) {
			t.Errorf("%+v", c)
		}
		h.refused("closed twice", caos.Conflict, readiness.RuleClosable, closing(h.as("bo"), crews, "EVID-1"))
		shut("quinn", starts)
		for _, one := range h.show(v.PRRID).Conditions {
			if one.Status == readiness.ConditionOpen {
				shut("quinn", one.ConditionID)
			}
		}
		v, err = h.end(v.PRRID, readiness.ReviewDecided)
		h.ok(err)
		if v.Decision != "APPROVED" || v.BoardDecision != "CONDITIONAL" || v.Status != readiness.ReviewDecided {
			t.Errorf("%+v", v)
		}
		events := map[string]int{}
		h.ok(h.d.Reader(context.Background())(`SELECT type, COUNT(*) FROM events GROUP BY type`, nil, func(scan func(...any) error) error {
			var name string
			var n int
			err := scan(&name, &n)
			events[name] = n
			return err
		}))
		if events[readiness.EventReviewOpened] != 1 || events[readiness.EventReviewDecided] != 2 || events[readiness.EventConditionClosed] != 3 {
			t.Errorf("%v", events)
		}
	})
}
