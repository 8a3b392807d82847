package readiness_test

import (
	"slices"
	"testing"
	"time"

	"caos/internal/db"
	"caos/internal/readiness"
)

// Who decided while they were free, and stands for somebody who got a hand in the version
// since, does not count when the decisions are counted.
func TestBarredLater(t *testing.T) {
	eachHouse(t, "DAL-D", func(t *testing.T, h *house) {
		h.create("root", "rory", "prr-board")
		h.create("root", "ruth", "chief-engineer")
		v := h.voting("DAL-D", "APPROVED", "rory", "bo", "bea")
		for _, id := range []string{"rory", "bo", "chief"} {
			_, err := h.vote(v.PRRID, ballot("APPROVED"), readiness.Proof{}, h.as(id))
			h.ok(err)
		}
		if c := h.tally(v.PRRID); c.Outcome != "APPROVED" {
			t.Fatalf("%+v", c)
		}
		var id string
		h.must(func(tx *db.Tx) error {
			a, err := h.OpenAuthorization(tx, v.Subject, v.PRRID, []string{"orin"}, readiness.By{Actor: "rita"})
			if err != nil {
				return err
			}
			id = a.AuthorizationID
			until, why := h.now().Add(24*time.Hour), "ready"
			if _, err := h.UpdateScope(tx, id, readiness.ScopeChange{Strategies: &[]string{"CANARY"}, NotAfter: &until, Rationale: &why}, 0, readiness.By{Actor: "rita"}); err != nil {
				return err
			}
			_, err = h.Request(tx, id, h.as("rita"), readiness.By{Actor: "rita"})
			return err
		})
		approve := func(person, role string) (a *readiness.ReleaseAuthorization) {
			t.Helper()
			p := h.as(person)
			h.must(func(tx *db.Tx) (err error) { a, err = h.Approve(tx, id, role, readiness.Proof{}, p); return err })
			return a
		}
		approve("ruth", "chief-engineer")

		h.give(fcs, "root") // who made the accounts of rory and ruth
		if c := h.tally(v.PRRID); c.Outcome != "" || c.Quorum {
			t.Errorf("the vote of somebody whose account the owner made counts: %+v", c)
		}
		if a := approve("quinn", "qa-lead"); a.Status != readiness.AuthorizationRequested {
			t.Errorf("the release is %s with the approval of somebody whose account the owner made", a.Status)
		}
	})
}

// What a review says of its open vote is what a count would say.
func TestStanding(t *testing.T) {
	eachHouse(t, "DAL-D", func(t *testing.T, h *house) {
		v := h.voting("DAL-D", "APPROVED", "olga", "bo", "bea")
		stand := func() *readiness.Standing {
			t.Helper()
			var s *readiness.Standing
			h.must(func(tx *db.Tx) error {
				x, err := h.ReviewIn(tx, v.PRRID)
				if err != nil {
					return err
				}
				s = x.Standing
				if s != nil {
					t.Error("a review that nobody asked about has a standing")
				}
				err = h.Stand(tx, x)
				s = x.Standing
				return err
			})
			return s
		}
		s := stand()
		if s.Quorum || len(s.Missing) != 2 || !slices.Equal(s.Waiting, []string{"bo", "bea"}) || !slices.Equal(s.Barred, []string{"olga"}) {
			t.Errorf("before the votes: %+v", s)
		}
		for _, id := range []string{"bo", "chief", "bea"} {
			_, err := h.vote(v.PRRID, ballot("APPROVED"), readiness.Proof{}, h.as(id))
			h.ok(err)
		}
		if s = stand(); !s.Quorum || s.Outcome != "APPROVED" || len(s.Missing)+len(s.Waiting) != 0 {
			t.Errorf("after them: %+v", s)
		}
	})
}
