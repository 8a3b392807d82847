package readiness_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"caos"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/readiness"
)

// TestVotesAtOnce has ten people act on each of many reviews and release authorisations at
// the same moment: votes, approvals in both roles, two by one person, revocations and the
// decision itself. Each has to end in the one state that its history allows. There are 10
// reviews of 10 acts unless CAOS_CONCURRENT says 100.
func TestVotesAtOnce(t *testing.T) {
	reviews := 10
	if s := os.Getenv("CAOS_CONCURRENT"); s != "" {
		var err error
		if reviews, err = strconv.Atoi(s); err != nil || reviews < 1 || reviews > 500 {
			t.Fatalf("CAOS_CONCURRENT is %q", s)
		}
	}
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		users := []auth.NewUser{{ID: "root"}, {ID: "olga"}, {ID: "rita"}, {ID: "chief", Roles: []string{"chief-engineer"}}, {ID: "cora", Roles: []string{"chief-engineer"}},
			{ID: "quinn", Roles: []string{"qa-lead"}}, {ID: "both", Roles: []string{"qa-lead"}}}
		members := []string{}
		for i := range 8 {
			members = append(members, fmt.Sprintf("member%d", i))
			users = append(users, auth.NewUser{ID: members[i], Roles: []string{"prr-board"}})
		}
		h.bootstrap(users...)
		board := make([]*readiness.Review, reviews)
		for i := range board {
			id := fmt.Sprintf("NN-M-%03d", i+100)
			h.model(id, "olga", "DAL-D")
			v, err := h.review(subject(id, "DAL-D"), readiness.By{Actor: "rita"}, "", members...)
			h.ok(err)
			board[i], err = h.prepared(v.PRRID, "APPROVED")
			h.ok(err)
		}
		began := time.Now()
		h.voteAtOnce(board, members)
		voted := time.Since(began)
		began = time.Now()
		h.releaseAtOnce(board)
		t.Logf("%d votes and decisions on %d reviews in %v, %d approvals and revocations in %v", reviews*10, reviews, voted.Round(time.Millisecond), reviews*10,
			time.Since(began).Round(time.Millisecond))
	})
}

// together runs all at once and returns their errors.
func together(acts []func() error) []error {
	errs := make([]error, len(acts))
	start := make(chan struct{})
	var all sync.WaitGroup
	for i, act := range acts {
		all.Go(func() {
			<-start
			errs[i] = act()
		})
	}
	close(start)
	all.Wait()
	return errs
}

// voteAtOnce: eight members and the chief vote while somebody decides over and over. On
// every third review one member rejects, and one votes twice.
func (h *house) voteAtOnce(board []*readiness.Review, members []string) {
	h.t.Helper()
	var acts []func() error
	for i, v := range board {
		for n, m := range members {
			outcome := "APPROVED"
			if i%3 == 0 && n == 3 {
				outcome = "REJECTED"
			}
			p := caos.Principal{ID: m, Roles: []string{"prr-board"}, MFA: "totp"}
			acts = append(acts, func() error { _, err := h.vote(v.PRRID, ballot(outcome), readiness.Proof{}, p); return err })
		}
		again := caos.Principal{ID: members[0], Roles: []string{"prr-board"}, MFA: "totp"}
		acts = append(acts,
			func() error { _, err := h.vote(v.PRRID, ballot("APPROVED"), readiness.Proof{}, again); return err },
			func() error {
				p := caos.Principal{ID: "chief", Roles: []string{"chief-engineer"}, MFA: "totp"}
				_, err := h.vote(v.PRRID, ballot("APPROVED"), readiness.Proof{}, p)
				return err
			},
			func() error { _, err := h.decide(v.PRRID, "APPROVED"); return err })
	}
	errs := together(acts)
	for i, v := range board {
		mine := errs[i*11 : (i+1)*11]
		cast := 0
		for _, err := range mine[:10] {
			rule := caos.AsError(err).Rule
			if err == nil {
				cast++
			} else if rule != readiness.RuleOnce && rule != readiness.RuleVotesOpen {
				h.t.Errorf("%s: %v", v.PRRID, err)
			}
		}
		if mine[0] == nil && mine[8] == nil {
			h.t.Errorf("%s: two votes of one person count", v.PRRID)
		}
		got := h.show(v.PRRID)
		c := h.tally(v.PRRID)
		if len(got.Votes) != cast {
			h.t.Errorf("%s: %d votes were taken, %d are there", v.PRRID, cast, len(got.Votes))
		}
		if decided := mine[10] == nil; decided != (got.Status == readiness.ReviewDecided) || decided && (c.Outcome != "APPROVED" || !c.Quorum) {
			h.t.Errorf("%s is %s by %v with a tally of %+v", v.PRRID, got.Status, mine[10], c.Tally)
		}
		if got.Status == readiness.ReviewVoting { // whoever decides next has to agree with the votes
			want := c.Outcome
			if i%3 == 0 && want != "REJECTED" {
				h.t.Errorf("%s: the tally is %q, and one member rejected", v.PRRID, want)
			}
			_, err := h.decide(v.PRRID, want)
			h.ok(err)
		}
	}
}

// releaseAtOnce: three people approve, one of them in two roles, while others revoke.
func (h *house) releaseAtOnce(board []*readiness.Review) {
	h.t.Helper()
	var acts []func() error
	ids := make([]string, len(board))
	for i, v := range board {
		h.must(func(tx *db.Tx) error {
			rita := caos.Principal{ID: "rita"}
			a, err := h.OpenAuthorization(tx, v.Subject, v.PRRID, []string{"orin"}, readiness.By{Actor: "rita"})
			if err != nil {
				return err
			}
			ids[i] = a.AuthorizationID
			until, why := h.now().Add(30*24*time.Hour), "ready"
			if _, err = h.UpdateScope(tx, ids[i], readiness.ScopeChange{Strategies: &[]string{"CANARY"}, NotAfter: &until, Rationale: &why}, 0, readiness.By{Actor: "rita"}); err != nil {
				return err
			}
			_, err = h.Request(tx, ids[i], rita, readiness.By{Actor: "rita"})
			return err
		})
		id := ids[i]
		approve := func(person, role string) func() error {
			return func() error {
				p := caos.Principal{ID: person, Roles: []string{"chief-engineer", "qa-lead"}, MFA: "totp"}
				return h.do(func(tx *db.Tx) error { _, err := h.Approve(tx, id, role, readiness.Proof{}, p); return err })
			}
		}
		revoke := func() error {
			if i%2 == 0 {
				return caos.Errorf(caos.Conflict, "not tried")
			}
			p := caos.Principal{ID: "rita", MFA: "totp"}
			return h.do(func(tx *db.Tx) error { _, err := h.Revoke(tx, id, "stop", readiness.Proof{}, p); return err })
		}
		acts = append(acts, approve("chief", "chief-engineer"), approve("quinn", "qa-lead"), approve("both", "chief-engineer"), approve("both", "qa-lead"),
			approve("cora", "chief-engineer"), approve("olga", "qa-lead"), approve("rita", "qa-lead"), approve("chief", "chief-engineer"), revoke, revoke)
	}
	errs := together(acts)
	for i, id := range ids {
		mine := errs[i*10 : (i+1)*10]
		given, people := 0, map[string]int{}
		for n, who := range []string{"chief", "quinn", "both", "both", "cora", "olga", "rita", "chief"} {
			if mine[n] == nil {
				given++
				people[who]++
			}
		}
		revoked := 0
		for _, err := range mine[8:] {
			if err == nil {
				revoked++
			}
		}
		a, err := h.Authorization(context.Background(), id)
		h.ok(err)
		want := readiness.AuthorizationAuthorised
		if i%2 == 1 {
			want = readiness.AuthorizationRevoked
			if revoked != 1 {
				h.t.Errorf("%s was revoked %d times", id, revoked)
			}
		} else if given != 2 {
			h.t.Errorf("%s was approved %d times: %v", id, given, mine)
		}
		if a.Status != want || given > 2 || people["olga"]+people["rita"] > 0 || len(a.Approvals) != given || people["both"] > 1 || people["chief"] > 1 {
			h.t.Errorf("%s is %s, want %s, on the word of %v", id, a.Status, want, people)
		}
	}
}
