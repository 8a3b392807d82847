package readiness

import (
	"context"
	"slices"
	"sync"
	"testing"

	"caos"
	"caos/internal/db"

	"pgregory.net/rapid"
)

// TestRiskHistories holds what must be true of every risk after any history: what is accepted
// is what stands there, by somebody who never had a hand in it, in a role that may, and never
// critical; what is closed stays closed.
func TestRiskHistories(t *testing.T) {
	people := []string{"ada", "bob", "chief", "sam", "quinn"}
	eachRegister(t, func(t *testing.T, g *register) {
		rapid.Check(t, func(rt *rapid.T) {
			who := rapid.SampledFrom(people)
			rating := rapid.IntRange(1, 5)
			by := By{Actor: who.Draw(rt, "author")}
			hands := map[string]bool{by.Actor: true}
			var k *Risk
			g.ok(g.do(func(tx *db.Tx) (err error) {
				k, err = g.CreateRisk(tx, Risk{Title: "T", Likelihood: rating.Draw(rt, "l"), Impact: rating.Draw(rt, "i"), ModelID: "NN-H" + rapid.StringMatching(`[A-Z]{8}`).Draw(rt, "m") + "-001",
					Project: "demo"}, by)
				return err
			}))
			closed, revision := false, k.ContentRevision
			for range rapid.IntRange(1, 12).Draw(rt, "steps") {
				by := By{Actor: who.Draw(rt, "who"), RecordedBy: who.Draw(rt, "recorded by")}
				var next *Risk
				err := g.do(func(tx *db.Tx) (err error) {
					switch rapid.IntRange(0, 4).Draw(rt, "act") {
					case 0:
						next, err = g.UpdateRisk(tx, k.RiskID, RiskUpdate{Likelihood: ptr(rating.Draw(rt, "l")), Owner: ptr(who.Draw(rt, "owner"))}, 0, by)
						if err == nil && next.ContentRevision != revision { // who asks for what is there already has no hand in it
							hands[by.Actor], hands[by.RecordedBy], hands[next.Owner] = true, true, true
						}
					case 1:
						next, err = g.UpdateRisk(tx, k.RiskID, RiskUpdate{ResidualLikelihood: ptr(rating.Draw(rt, "rl")), ResidualImpact: ptr(rating.Draw(rt, "ri"))}, 0, by)
						if err == nil && next.ContentRevision != revision { // who asks for what is there already has no hand in it
							hands[by.Actor], hands[by.RecordedBy] = true, true
						}
					case 2:
						next, err = g.ReviewRisk(tx, k.RiskID, "seen", by)
					case 3:
						next, _, err = g.AcceptRisk(tx, k.RiskID, RiskAcceptance{Reason: "fine", SafetyLevel: "DAL-D"}, Proof{}, caos.Principal{ID: by.Actor, MFA: "totp"})
					case 4:
						next, err = g.CloseRisk(tx, k.RiskID, RiskClosing{Reason: "gone"}, by)
						if err == nil && (hands[by.Actor] || hands[by.RecordedBy]) {
							rt.Errorf("%s, for %s, closed what they had a hand in", by.RecordedBy, by.Actor)
						}
					}
					return err
				})
				if err == nil && closed {
					rt.Error("a closed risk changed")
				}
				if kind := caos.KindOf(err); kind != "" && kind != caos.Denied && kind != caos.Conflict {
					rt.Fatal(err)
				}
				is, err := g.Risk(context.Background(), k.RiskID)
				g.ok(err)
				closed, revision = is.Status == RiskClosed, is.ContentRevision
				g.sound(rt, is, hands)
			}
		})
	})
}

// sound checks one state of a risk.
func (g *register) sound(t rapid.TB, k *Risk, hands map[string]bool) {
	if (k.Status == RiskAccepted) != (k.Accepted != nil) {
		t.Errorf("%s is %s with the acceptance %v", k.RiskID, k.Status, k.Accepted)
	}
	if k.ReviewOn > ShippedScale().NextReview(k.Stands(), k.UpdatedAt) {
		t.Errorf("%s at %s is reviewed on %s", k.RiskID, k.StandsAt(), k.ReviewOn)
	}
	a := k.Accepted
	if a == nil {
		return
	}
	d, err := k.Digest()
	if err != nil || d != a.Digest || a.ResidualScore != k.Stands() {
		t.Errorf("%s says something else than was accepted", k.RiskID)
	}
	if hands[a.By] {
		t.Errorf("%s accepted what they had a hand in", a.By)
	}
	roles, _ := crew{roles: map[string][]string{"chief": {"chief-engineer"}, "sam": {"safety-engineer"}, "quinn": {"qa-lead"}}}.RolesOf(nil, a.By)
	if !slices.Contains(roles, a.Role) || k.StandsAt() == Critical || k.StandsAt() == High && a.Role != "chief-engineer" {
		t.Errorf("%s accepted a %s risk as %s", a.By, k.StandsAt(), a.Role)
	}
}

// TestRiskRaces lets many change, accept and close one risk at once.
func TestRiskRaces(t *testing.T) {
	eachRegister(t, func(t *testing.T, g *register) {
		for round := range 5 {
			k := g.add(Risk{Likelihood: 2, Impact: 2})
			var all sync.WaitGroup
			var mu sync.Mutex
			accepted := 0
			for i := range 12 {
				all.Go(func() {
					err := g.do(func(tx *db.Tx) (err error) {
						switch i % 4 {
						case 0, 1:
							person := []string{"chief", "sam", "quinn"}[i%3]
							_, _, err = g.AcceptRisk(tx, k.RiskID, RiskAcceptance{Reason: "fine", SafetyLevel: "DAL-D"}, Proof{}, caos.Principal{ID: person, MFA: "totp"})
						case 2:
							_, err = g.UpdateRisk(tx, k.RiskID, RiskUpdate{Impact: ptr(1 + i%3)}, 0, ada)
						case 3:
							_, err = g.ReviewRisk(tx, k.RiskID, "seen", bob)
						}
						return err
					})
					if kind := caos.KindOf(err); kind != "" && kind != caos.Conflict {
						t.Errorf("%v", err)
					}
					if err == nil && i%4 < 2 {
						mu.Lock()
						accepted++
						mu.Unlock()
					}
				})
			}
			all.Wait()
			is, err := g.Risk(context.Background(), k.RiskID)
			g.ok(err)
			g.sound(t, is, map[string]bool{"ada": true})
			var decisions, editions int
			g.ok(g.d.QueryRow(context.Background(), `SELECT (SELECT count(*) FROM decisions WHERE subject = $1), (SELECT count(*) FROM row_history WHERE noun = 'risk' AND id = $1)`, k.RiskID).
				Scan(&decisions, &editions))
			if decisions != accepted || int64(editions) != is.Revision {
				t.Errorf("round %d: %d acceptances, %d decisions; revision %d, %d editions", round, accepted, decisions, is.Revision, editions)
			}
		}
	})
}
