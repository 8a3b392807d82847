package readiness_test

import (
	"context"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/readiness"
	"caos/internal/registry"
)

// raise gives the model a safety level, as the registry tells readiness.
func (h *house) raise(level string) {
	h.t.Helper()
	h.must(func(tx *db.Tx) error {
		if _, err := h.reg.UpdateModel(tx, fcs, registry.ModelChange{SafetyLevel: &level}, 0, registry.By{Actor: "root"}); err != nil {
			return err
		}
		return h.Reassess(tx, fcs, level)
	})
}

// A version that becomes more critical during its review is decided on by keys of one's own
// from then on: what the server asserted before carries nothing, and one that becomes less
// critical loosens nothing.
func TestRaisedDuringReview(t *testing.T) {
	eachHouse(t, "DAL-C", func(t *testing.T, h *house) {
		v := h.voting("DAL-C", "APPROVED", "bo", "bea", "ben")
		for _, id := range []string{"bo", "chief"} {
			_, err := h.vote(v.PRRID, ballot("APPROVED"), readiness.Proof{}, h.as(id))
			h.ok(err)
		}
		h.raise("DAL-A")
		h.refused("a second factor", caos.Denied, readiness.RulePersonalKey, func() error {
			_, err := h.vote(v.PRRID, ballot("APPROVED"), readiness.Proof{}, h.as("bea"))
			return err
		})
		h.raise("DAL-E")
		h.refused("a second factor, lowered again", caos.Denied, readiness.RulePersonalKey, func() error {
			_, err := h.vote(v.PRRID, ballot("APPROVED"), readiness.Proof{}, h.as("bea"))
			return err
		})
		for _, id := range []string{"bea", "ben"} {
			p, _ := h.enrol(id, "quinn")
			_, err := h.vote(v.PRRID, ballot("APPROVED"), h.signed(v.PRRID, ballot("APPROVED"), h.as(id), p), h.as(id))
			h.ok(err)
		}
		if c := h.tally(v.PRRID); c.Outcome != "" || len(c.Counted) != 2 {
			t.Errorf("what the server asserted before counts: %+v", c)
		}
	})
}

// A vote with a key that was compromised by then carries nothing, whenever that is found
// out; what it has against an approval stands.
func TestCompromisedSinceTheVote(t *testing.T) {
	eachHouse(t, "DAL-A", func(t *testing.T, h *house) {
		v := h.voting("DAL-A", "APPROVED", "bo", "bea")
		ids := map[string]string{}
		for _, id := range []string{"bo", "bea", "chief"} {
			p, key := h.enrol(id, "quinn")
			ids[id] = key
			_, err := h.vote(v.PRRID, ballot("APPROVED"), h.signed(v.PRRID, ballot("APPROVED"), h.as(id), p), h.as(id))
			h.ok(err)
		}
		if c := h.tally(v.PRRID); c.Outcome != "APPROVED" {
			t.Fatalf("%+v", c)
		}
		h.move(time.Minute)
		_, err := h.auth.RevokeKey(context.Background(), h.as("chief"), ids["chief"], h.now())
		h.ok(err)
		if c := h.tally(v.PRRID); c.Outcome != "APPROVED" {
			t.Errorf("a key that was compromised afterwards: %+v", c)
		}
		_, err = h.auth.RevokeKey(context.Background(), h.as("bea"), ids["bea"], h.now().Add(-time.Hour))
		h.ok(err)
		if c := h.tally(v.PRRID); c.Outcome != "" || c.Quorum {
			t.Errorf("the vote with a key that was compromised by then counts: %+v", c)
		}
	})
}

// Who gives the model to a critic does not get rid of what they said.
func TestCriticMadeOwner(t *testing.T) {
	eachHouse(t, "DAL-D", func(t *testing.T, h *house) {
		v := h.voting("DAL-D", "APPROVED", "bo", "bea", "ben")
		_, err := h.vote(v.PRRID, conditional("test it at night", "quinn"), readiness.Proof{}, h.as("bo"))
		h.ok(err)
		h.give(fcs, "bo")
		for _, id := range []string{"bea", "ben", "chief"} {
			_, err := h.vote(v.PRRID, ballot("APPROVED"), readiness.Proof{}, h.as(id))
			h.ok(err)
		}
		if c := h.tally(v.PRRID); c.Outcome != "CONDITIONAL" {
			t.Fatalf("%+v", c)
		}
		got, err := h.decide(v.PRRID, "CONDITIONAL")
		h.ok(err)
		if len(got.Conditions) != 1 || got.Conditions[0].Text != "test it at night" {
			t.Errorf("conditions: %+v", got.Conditions)
		}
	})
}

// The scope of a release says how critical the version is: one that was fixed before that
// was raised is not approved any more, and no closing on the server's word alone stands.
func TestRaisedDuringRelease(t *testing.T) {
	eachHouse(t, "DAL-C", func(t *testing.T, h *house) {
		v := h.voting("DAL-C", "APPROVED", "bo", "bea")
		for _, id := range []string{"bo", "chief"} {
			_, err := h.vote(v.PRRID, conditional("test it at night", "bea"), readiness.Proof{}, h.as(id))
			h.ok(err)
		}
		_, err := h.vote(v.PRRID, ballot("APPROVED"), readiness.Proof{}, h.as("bea"))
		h.ok(err)
		v, err = h.decide(v.PRRID, "CONDITIONAL")
		h.ok(err)
		_, err = h.shut(v.PRRID, v.Conditions[0].ConditionID, h.as("quinn"), readiness.Proof{}, "EVID-1")
		h.ok(err)
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
		proven := func() error {
			return h.do(func(tx *db.Tx) error {
				now, err := h.ReviewIn(tx, v.PRRID)
				if err != nil {
					return err
				}
				return h.Proven(tx, now)
			})
		}
		h.ok(proven())
		h.raise("DAL-A")
		if err := proven(); caos.AsError(err).Rule != readiness.RulePersonalKey {
			t.Errorf("a closing on the server's word at DAL-A: %v", err)
		}
		h.refused("the scope of another level", caos.Conflict, readiness.RuleReleaseScope, func() error {
			return h.do(func(tx *db.Tx) error {
				_, err := h.Approve(tx, id, "qa-lead", readiness.Proof{}, h.as("quinn"))
				return err
			})
		})
	})
}
