package readiness

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
)

// register is a desk at which risks and plans are kept.
type register struct{ *desk }

func eachRegister(t *testing.T, fn func(t *testing.T, g *register)) {
	people := crew{
		roles: map[string][]string{"ada": {"vv-lead"}, "bob": {"mlops-engineer"}, "chief": {"chief-engineer"}, "sam": {"safety-engineer"}, "quinn": {"qa-lead"},
			"puppet": {"chief-engineer"}},
		parties: map[string][]string{"puppet": {"ada"}, "chief": {"root"}},
	}
	dbtest.Run(t, func(t *testing.T, d *db.DB) { fn(t, &register{openDesk(t, d, people, 0)}) })
}

const fly = "NN-DLY-001"

var (
	ada = By{Actor: "ada"}
	bob = By{Actor: "bob"}
)

// refused checks kind, field and rule of a refusal; "" is any of the last two.
func (g *register) refused(err error, kind caos.Kind, field, rule string) {
	g.t.Helper()
	var e *caos.Error
	if !errors.As(err, &e) || e.Kind != kind || field != "" && e.Field != field || rule != "" && e.Rule != rule {
		g.t.Errorf("got %v (%+v), want %s of %q by %q", err, e, kind, field, rule)
	} else if e.Hint == "" && kind != caos.NotFound {
		g.t.Errorf("%v has no remedy", err)
	}
}

func (g *register) add(k Risk) *Risk {
	g.t.Helper()
	if k.ModelID == "" {
		k.ModelID, k.Project, k.Classification = fly, "demo", "Internal"
	}
	if k.Title == "" {
		k.Title = "It is wrong"
	}
	var out *Risk
	g.ok(g.do(func(tx *db.Tx) (err error) {
		out, err = g.CreateRisk(tx, k, ada)
		return err
	}))
	return out
}

func (g *register) accept(id, person, reason string) (*Risk, error) {
	var k *Risk
	err := g.do(func(tx *db.Tx) (err error) {
		k, _, err = g.AcceptRisk(tx, id, RiskAcceptance{Reason: reason, SafetyLevel: "DAL-D"}, Proof{}, caos.Principal{ID: person, MFA: "totp"})
		return err
	})
	return k, err
}

func (g *register) update(id string, u RiskUpdate) (*Risk, error) {
	var k *Risk
	err := g.do(func(tx *db.Tx) (err error) {
		k, err = g.UpdateRisk(tx, id, u, 0, ada)
		return err
	})
	return k, err
}

func ptr[T any](v T) *T { return &v }

func TestScale(t *testing.T) {
	s := ShippedScale()
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	// the programme's scale, every score that can be
	for l := 1; l <= 5; l++ {
		for i := 1; i <= 5; i++ {
			want := Low
			switch n := l * i; {
			case n >= 15:
				want = Critical
			case n >= 10:
				want = High
			case n >= 5:
				want = Medium
			}
			if got := s.Level(l * i); got != want {
				t.Errorf("%d × %d is %s, want %s", l, i, got, want)
			}
		}
	}
	at := time.Date(2026, 11, 23, 23, 59, 0, 0, time.UTC)
	for score, want := range map[int]string{25: "2026-11-30", 12: "2026-12-07", 6: "2026-12-23", 1: "2027-02-22"} {
		if got := s.NextReview(score, at); got != want {
			t.Errorf("a score of %d is reviewed on %s, want %s", score, got, want)
		}
	}
	all := caos.Roles()
	for score, want := range map[int]string{4: "chief-engineer", 9: "chief-engineer", 10: "chief-engineer", 15: "", 0: "", 99: ""} {
		if got := s.MayAccept(score, all); got != want {
			t.Errorf("%d is accepted by %q, want %q", score, got, want)
		}
	}
	if got := s.MayAccept(10, []string{"qa-lead", "safety-engineer"}); got != "" {
		t.Errorf("a high risk is accepted by %s", got)
	}
	if got := s.MayAccept(5, []string{"auditor", "qa-lead"}); got != "qa-lead" {
		t.Errorf("a medium risk is accepted by %q", got)
	}
	for name, bad := range map[string]Scale{
		"none": {}, "gap": {Bands: []Band{{From: 1, To: 4, ReviewDays: 9}, {From: 6, To: 25, ReviewDays: 8}}}, "short": {Bands: []Band{{From: 1, To: 24, ReviewDays: 9}}},
		"rarer":    {Bands: []Band{{From: 1, To: 9, ReviewDays: 9}, {From: 10, To: 25, ReviewDays: 10}}},
		"no days":  {Bands: []Band{{From: 1, To: 25}}},
		"reversed": {Bands: []Band{{From: 1, To: 0, ReviewDays: 1}, {From: 1, To: 25, ReviewDays: 1}}},
	} {
		if bad.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestCreateRisk(t *testing.T) {
	eachRegister(t, func(t *testing.T, g *register) {
		k := g.add(Risk{Title: "Drifts", Description: "slowly", Category: "data", Likelihood: 4, Impact: 3, Owner: "bob", Mitigation: "watch it",
			Status: RiskClosed, Accepted: &Acceptance{By: "x"}, ResidualLikelihood: 2, ResidualImpact: 3, Importers: []string{"chief"}})
		if k.RiskID != "RISK-DLY-1" || k.Score != 12 || k.Level != High || k.ResidualScore != 6 || k.ResidualLevel != Medium || k.Status != RiskOpen ||
			k.ReviewOn != "2026-12-23" || k.Accepted != nil || !slices.Equal(k.Involved, []string{"ada", "bob"}) || len(k.Importers) != 0 || k.Stands() != 6 {
			t.Errorf("%+v", k)
		}
		if two := g.add(Risk{Likelihood: 5, Impact: 5, Version: "1.0.0"}); two.RiskID != "RISK-DLY-2" || two.Owner != "ada" || two.StandsAt() != Critical || two.ReviewOn != "2026-11-30" {
			t.Errorf("%+v", two)
		}
		back, err := g.Risk(context.Background(), k.RiskID)
		g.ok(err)
		if d1, _ := k.Digest(); back == nil || back.Title != "Drifts" || back.Level != High || !back.CreatedAt.Equal(k.CreatedAt) {
			t.Errorf("%+v", back)
		} else if d2, _ := back.Digest(); d1 != d2 || !strings.HasPrefix(d1, "SHA256:") {
			t.Errorf("digests %s and %s", d1, d2)
		}
		for _, c := range []struct {
			field string
			to    func(k *Risk)
		}{
			{"title", func(k *Risk) { k.Title = " " }},
			{"title", func(k *Risk) { k.Title = "two\nlines" }},
			{"description", func(k *Risk) { k.Description = strings.Repeat("x", 5000) }},
			{"likelihood", func(k *Risk) { k.Likelihood = 6 }},
			{"impact", func(k *Risk) { k.Impact = 0 }},
			{"residual_impact", func(k *Risk) { k.ResidualLikelihood = 1 }},
			{"residual_likelihood", func(k *Risk) { k.ResidualLikelihood, k.ResidualImpact = -1, 1 }},
			{"owner", func(k *Risk) { k.Owner = "nobody" }},
			{"owner", func(k *Risk) { k.Owner = "No Body" }},
			{"risk_id", func(k *Risk) { k.RiskID = "R-1" }},
			{"risk_id", func(k *Risk) { k.RiskID = "RISK-" + strings.Repeat("A", 42) }},
			{"risk_id", func(k *Risk) { k.RiskID = "RISK-A\n" }},
			{"model_id", func(k *Risk) { k.ModelID = "NN" }},
			{"model_version", func(k *Risk) { k.Version = "one" }},
			{"review_on", func(k *Risk) { k.ReviewOn = "tomorrow" }},
			{"review_on", func(k *Risk) { k.ReviewOn = "2027-11-01" }},
		} {
			bad := Risk{Title: "T", Likelihood: 1, Impact: 1, ModelID: fly, Project: "demo"}
			c.to(&bad)
			err := g.do(func(tx *db.Tx) error { _, err := g.CreateRisk(tx, bad, ada); return err })
			if kind := caos.KindOf(err); kind != caos.Invalid && kind != caos.TooLarge || caos.AsError(err).Field != c.field {
				t.Errorf("%s: %v", c.field, err)
			}
		}
		err = g.do(func(tx *db.Tx) error {
			_, err := g.CreateRisk(tx, Risk{RiskID: "RISK-DLY-1", Title: "T", Likelihood: 1, Impact: 1, ModelID: "NN-FCS-001", Project: "demo"}, ada)
			return err
		})
		g.refused(err, caos.Conflict, "risk_id", "")
		// an id that somebody chose is passed over
		g.add(Risk{RiskID: "RISK-DLY-4", Likelihood: 1, Impact: 1})
		if k := g.add(Risk{Likelihood: 1, Impact: 1}); k.RiskID != "RISK-DLY-5" {
			t.Errorf("got %s", k.RiskID)
		}
	})
}

func TestUpdateRisk(t *testing.T) {
	eachRegister(t, func(t *testing.T, g *register) {
		k := g.add(Risk{Likelihood: 2, Impact: 2})
		created := time.UnixMicro(g.clock.Load())
		if k.ReviewOn != "2027-02-22" {
			t.Errorf("reviewed on %s", k.ReviewOn)
		}
		k, err := g.update(k.RiskID, RiskUpdate{Impact: ptr(5), Mitigation: ptr("a fence"), Status: ptr(RiskMitigating)})
		g.ok(err)
		if k.Level != High || k.ReviewOn != "2026-12-07" || k.Status != RiskMitigating || k.Revision != 2 || k.ContentRevision != 2 {
			t.Errorf("a heavier risk: %+v", k)
		}
		k, err = g.update(k.RiskID, RiskUpdate{ReviewOn: ptr("2026-11-24")})
		g.ok(err)
		if k.ContentRevision != 2 || k.ReviewOn != "2026-11-24" {
			t.Errorf("an earlier review: %+v", k)
		}
		_, err = g.update(k.RiskID, RiskUpdate{ReviewOn: ptr("2026-12-20")})
		g.refused(err, caos.Invalid, "review_on", RuleRiskReview)
		_, err = g.update(k.RiskID, RiskUpdate{Status: ptr(RiskAccepted)})
		g.refused(err, caos.Invalid, "status", "")
		_, err = g.update(k.RiskID, RiskUpdate{Owner: ptr("nobody")})
		g.refused(err, caos.Invalid, "owner", "")
		_, err = g.update(k.RiskID, RiskUpdate{ResidualImpact: ptr(3)})
		g.refused(err, caos.Invalid, "residual_likelihood", "")
		_, err = g.update("RISK-NO", RiskUpdate{})
		g.refused(err, caos.NotFound, "risk_id", "")
		err = g.do(func(tx *db.Tx) error {
			_, err := g.UpdateRisk(tx, k.RiskID, RiskUpdate{Title: ptr("X")}, 1, bob)
			return err
		})
		g.refused(err, caos.Conflict, "revision", "")
		var seen *Risk
		g.ok(g.do(func(tx *db.Tx) (err error) {
			seen, err = g.ReviewRisk(tx, k.RiskID, "no change on the ground", bob)
			return err
		}))
		if seen.ReviewOn != "2026-12-07" || seen.LastReviewedBy != "bob" || seen.LastReviewed == nil || slices.Contains(seen.Involved, "bob") {
			t.Errorf("reviewed: %+v", seen)
		}
		g.refused(g.do(func(tx *db.Tx) error { _, err := g.ReviewRisk(tx, k.RiskID, " ", bob); return err }), caos.Invalid, "note", "")
		// the past
		g.ok(g.do(func(tx *db.Tx) error {
			then, err := g.RisksAt(tx, fly, "1.0.0", created)
			if err == nil && (len(then) != 1 || then[0].Level != Low || then[0].Revision != 1) {
				t.Errorf("at first it was %+v", then)
			}
			return err
		}))
	})
}

func TestAcceptRisk(t *testing.T) {
	eachRegister(t, func(t *testing.T, g *register) {
		low := g.add(Risk{Likelihood: 2, Impact: 2})
		high := g.add(Risk{Likelihood: 5, Impact: 5, ResidualLikelihood: 2, ResidualImpact: 5, Owner: "bob", Mitigation: "a fence"})
		critical := g.add(Risk{Likelihood: 3, Impact: 5})
		for _, c := range []struct{ id, person, reason, rule string }{
			{critical.RiskID, "chief", "we hope", RuleRiskCritical},
			{high.RiskID, "sam", "fine", RuleRiskRole},
			{high.RiskID, "quinn", "fine", RuleRiskRole},
			{high.RiskID, "ada", "fine", RuleSeparation},   // wrote it
			{high.RiskID, "bob", "fine", RuleSeparation},   // owns it
			{low.RiskID, "puppet", "fine", RuleSeparation}, // ada made this account
			{low.RiskID, "bob", "fine", RuleRiskRole},
		} {
			_, err := g.accept(c.id, c.person, c.reason)
			g.refused(err, caos.Denied, "", c.rule)
		}
		_, err := g.accept(low.RiskID, "sam", "two\nlines")
		g.refused(err, caos.Invalid, "reason", "")
		_, err = g.accept(low.RiskID, "sam", "")
		g.refused(err, caos.Invalid, "reason", "")
		err = g.do(func(tx *db.Tx) error {
			_, _, err := g.AcceptRisk(tx, low.RiskID, RiskAcceptance{Reason: "fine"}, Proof{}, caos.Principal{ID: "sam"})
			return err
		})
		g.refused(err, caos.StepUp, "", RuleFactor)
		err = g.do(func(tx *db.Tx) error {
			_, _, err := g.AcceptRisk(tx, low.RiskID, RiskAcceptance{Reason: "fine", SafetyLevel: "DAL-A"}, Proof{}, caos.Principal{ID: "sam", MFA: "totp"})
			return err
		})
		g.refused(err, caos.Denied, "", RulePersonalKey)

		k, err := g.accept(high.RiskID, "chief", "the fence holds")
		g.ok(err)
		if a := k.Accepted; k.Status != RiskAccepted || a == nil || a.By != "chief" || a.Role != "chief-engineer" || a.ResidualScore != 10 || !strings.HasPrefix(a.DecisionID, "DEC-") {
			t.Fatalf("%+v", k)
		}
		if d, _ := k.Digest(); d != k.Accepted.Digest {
			t.Error("what was accepted is not what the risk says")
		}
		_, err = g.accept(high.RiskID, "chief", "again")
		g.refused(err, caos.Conflict, "", "")

		// looking at it again leaves the acceptance, a change of what it says does not
		g.ok(g.do(func(tx *db.Tx) error { _, err := g.ReviewRisk(tx, high.RiskID, "as before", bob); return err }))
		k, err = g.update(high.RiskID, RiskUpdate{ReviewOn: ptr("2026-11-25")})
		g.ok(err)
		if k.Status != RiskAccepted || k.Accepted == nil {
			t.Fatalf("%+v", k)
		}
		accepted := time.UnixMicro(g.clock.Load())
		for i, u := range []RiskUpdate{{Title: ptr("another")}, {ResidualLikelihood: ptr(1)}, {Owner: ptr("quinn")}, {Mitigation: ptr("none")}} {
			k, err = g.update(high.RiskID, u)
			g.ok(err)
			if k.Status != RiskMitigating || k.Accepted != nil {
				t.Errorf("%d: an acceptance outlives what it is about: %+v", i, k)
			}
			// and the same words again need a new decision, which they may have
			if k, err = g.accept(high.RiskID, "chief", "the fence holds"); err != nil || k.Accepted == nil {
				t.Errorf("%d: %v", i, err)
			}
		}
		k, err = g.update(high.RiskID, RiskUpdate{Status: ptr(RiskOpen)})
		g.ok(err)
		if k.Accepted != nil {
			t.Error("an open risk is accepted")
		}
		g.ok(g.do(func(tx *db.Tx) error {
			then, err := g.RisksAt(tx, fly, "", accepted)
			if i := slices.IndexFunc(then, func(k *Risk) bool { return k.RiskID == high.RiskID }); err == nil && (i < 0 || then[i].Accepted == nil || then[i].Accepted.By != "chief") {
				t.Errorf("it was accepted then: %+v", then)
			}
			return err
		}))
	})
}

func TestProposeAcceptance(t *testing.T) {
	eachRegister(t, func(t *testing.T, g *register) {
		k := g.add(Risk{Title: "Drifts", Likelihood: 2, Impact: 2})
		var p Proposal
		a := RiskAcceptance{Reason: "seldom", SafetyLevel: "DAL-B"}
		g.ok(g.do(func(tx *db.Tx) (err error) {
			p, err = g.ProposeAcceptance(tx, k.RiskID, a, caos.Principal{ID: "sam"})
			return err
		}))
		d, _ := k.Digest()
		if p.Digest != d || !p.PersonalKey || !strings.Contains(p.Statement, `"what":"accept:RISK-DLY-1:safety-engineer"`) ||
			!strings.Contains(p.Meaning, "RISK-DLY-1 of every version of NN-DLY-001 (Drifts); no residual is assessed, its score is 4 (Low). Reason: seldom") {
			t.Errorf("%+v", p)
		}
		// the longest that can be said fits
		k = g.add(Risk{Title: strings.Repeat("t", maxLine), Likelihood: 2, Impact: 2, Version: "1.0.0"})
		a.Reason = strings.Repeat("r", maxReason)
		g.ok(g.do(func(tx *db.Tx) error {
			_, err := g.ProposeAcceptance(tx, k.RiskID, a, caos.Principal{ID: "sam"})
			return err
		}))
		err := g.do(func(tx *db.Tx) error {
			_, err := g.ProposeAcceptance(tx, k.RiskID, a, caos.Principal{ID: "ada"})
			return err
		})
		g.refused(err, caos.Denied, "", RuleSeparation)
	})
}

func TestCloseRisk(t *testing.T) {
	eachRegister(t, func(t *testing.T, g *register) {
		k := g.add(Risk{Likelihood: 2, Impact: 2, Owner: "bob"})
		end := func(by By, c RiskClosing) (*Risk, error) {
			var out *Risk
			err := g.do(func(tx *db.Tx) (err error) {
				out, err = g.CloseRisk(tx, k.RiskID, c, by)
				return err
			})
			return out, err
		}
		good := RiskClosing{Evidence: []string{"EVID-1"}}
		sam := By{Actor: "sam"}
		_, err := end(ada, good)
		g.refused(err, caos.Denied, "", RuleSeparation)
		_, err = end(bob, good)
		g.refused(err, caos.Denied, "", RuleSeparation)
		_, err = end(By{Actor: "sam", RecordedBy: "ada"}, good)
		g.refused(err, caos.Denied, "", RuleSeparation)
		_, err = end(sam, RiskClosing{Reason: " "})
		g.refused(err, caos.Invalid, "evidence", "")
		_, err = end(sam, RiskClosing{Evidence: []string{"EVID-1", "OTHER-1"}})
		g.refused(err, caos.Invalid, "evidence[1]", "")
		_, err = end(sam, RiskClosing{Evidence: []string{"EVID-1", "EVID-1"}})
		g.refused(err, caos.Invalid, "evidence[1]", "")
		// who owned it once still does not close it
		_, err = g.update(k.RiskID, RiskUpdate{Owner: ptr("quinn")})
		g.ok(err)
		_, err = end(bob, good)
		g.refused(err, caos.Denied, "", RuleSeparation)
		closed, err := end(sam, good)
		g.ok(err)
		if closed.Status != RiskClosed || closed.ClosedBy != "sam" || !slices.Equal(closed.ClosureEvidence, good.Evidence) {
			t.Errorf("%+v", closed)
		}
		_, err = end(sam, good)
		g.refused(err, caos.Conflict, "", "")
		_, err = g.update(k.RiskID, RiskUpdate{Title: ptr("x")})
		g.refused(err, caos.Conflict, "", "")
		_, err = g.accept(k.RiskID, "chief", "x")
		g.refused(err, caos.Conflict, "", "")
	})
}

// TestModelOwner keeps who owns the model from judging its risks.
func TestModelOwner(t *testing.T) {
	eachRegister(t, func(t *testing.T, g *register) {
		k := g.add(Risk{Likelihood: 5, Impact: 5})
		lower := func(by By, u RiskUpdate) error {
			u.Owners = []string{"chief", "bob"}
			return g.do(func(tx *db.Tx) error { _, err := g.UpdateRisk(tx, k.RiskID, u, 0, by); return err })
		}
		less := RiskUpdate{ResidualLikelihood: ptr(2), ResidualImpact: ptr(5)}
		g.refused(lower(bob, less), caos.Denied, "", RuleSeparation)
		g.refused(lower(By{Actor: "sam", RecordedBy: "bob"}, less), caos.Denied, "", RuleSeparation)
		g.ok(lower(bob, RiskUpdate{Mitigation: ptr("a fence"), Likelihood: ptr(4)})) // it is critical still
		g.ok(lower(ada, less))
		g.refused(lower(bob, RiskUpdate{ResidualLikelihood: ptr(1)}), caos.Denied, "", RuleSeparation)
		every := g.add(Risk{Likelihood: 5, Impact: 5})
		move := func(by By) error {
			stated := StatedRisk{RiskID: every.RiskID, ModelID: every.ModelID, Title: every.Title, Likelihood: 5, Impact: 5}
			before := stated
			stated.Version = "9.0.0"
			return g.do(func(tx *db.Tx) error {
				_, err := g.ImportRisk(tx, RiskImport{Stated: stated, Before: &before, Project: every.Project, Classification: every.Classification, Owners: []string{"bob"}}, by)
				return err
			})
		}
		g.refused(move(bob), caos.Denied, "", RuleSeparation)
		g.ok(move(ada))
		accept := func(owners ...string) error {
			return g.do(func(tx *db.Tx) error {
				_, _, err := g.AcceptRisk(tx, k.RiskID, RiskAcceptance{Reason: "fine", SafetyLevel: "DAL-D", Owners: owners}, Proof{}, caos.Principal{ID: "chief", MFA: "totp"})
				return err
			})
		}
		g.refused(accept("sam", "chief"), caos.Denied, "", RuleSeparation)
		g.refused(accept("root"), caos.Denied, "", RuleSeparation) // who made the account
		g.ok(accept("sam"))
		err := g.do(func(tx *db.Tx) error {
			_, err := g.CloseRisk(tx, k.RiskID, RiskClosing{Reason: "gone", Owners: []string{"sam"}}, By{Actor: "sam"})
			return err
		})
		g.refused(err, caos.Denied, "", RuleSeparation)
	})
}

func TestRisksOf(t *testing.T) {
	eachRegister(t, func(t *testing.T, g *register) {
		g.add(Risk{Likelihood: 1, Impact: 1})
		g.add(Risk{Likelihood: 5, Impact: 5, ResidualLikelihood: 1, ResidualImpact: 2, Version: "1.0.0"})
		g.add(Risk{Likelihood: 4, Impact: 4, Version: "2.0.0"})
		g.add(Risk{Likelihood: 3, Impact: 3, ModelID: "NN-FCS-001", Project: "demo", Owner: "bob"})
		for version, want := range map[string]string{"1.0.0": "RISK-DLY-2 RISK-DLY-1", "": "RISK-DLY-3 RISK-DLY-2 RISK-DLY-1", "3.0.0": "RISK-DLY-1", "\x00": ""} {
			var ids []string
			g.ok(g.do(func(tx *db.Tx) error {
				list, err := g.RisksOf(tx, fly, version)
				for _, k := range list {
					ids = append(ids, k.RiskID)
				}
				return err
			}))
			if got := strings.Join(ids, " "); got != want {
				t.Errorf("%q: %s, want %s", version, got, want)
			}
		}
		for _, c := range []struct {
			f    RiskFilter
			want int
		}{
			{RiskFilter{}, 4}, {RiskFilter{ModelID: fly}, 3}, {RiskFilter{Level: Low}, 2}, {RiskFilter{Level: Critical}, 1}, {RiskFilter{Owner: "bob"}, 1},
			{RiskFilter{ReviewBy: "2026-11-30"}, 1}, {RiskFilter{ReviewBy: "2026-11-29"}, 0}, {RiskFilter{Status: RiskClosed}, 0}, {RiskFilter{Owner: "\x00"}, 0},
		} {
			var n int
			for cursor, first := "", true; first || cursor != ""; first = false {
				c.f.Limit = 2
				list, next, err := g.Risks(context.Background(), c.f, cursor)
				g.ok(err)
				n, cursor = n+len(list), next
			}
			if n != c.want {
				t.Errorf("%+v lists %d, want %d", c.f, n, c.want)
			}
		}
		_, _, err := g.Risks(context.Background(), RiskFilter{ReviewBy: "soon"}, "")
		g.refused(err, caos.Invalid, "review_by", "")
	})
}

// TestRiskLimit fills a register.
func TestRiskLimit(t *testing.T) {
	eachRegister(t, func(t *testing.T, g *register) {
		g.ok(g.do(func(tx *db.Tx) error {
			tx.Exec(`INSERT INTO risks SELECT 'RISK-X-' || n.number, n.number, 'NN-DLY-001', '', 'T', '', '', 1, 1, 0, 0, 1, 'Low', '', 'ada', 'OPEN', '2026-12-01', 0, '', '',
				'', '[]', '', 0, '', '', '[]', '[]', 'demo', 'Internal', n.number, 'ada', 1, 1, 1
				FROM (WITH RECURSIVE c(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM c WHERE number < 1000) SELECT number FROM c) n`)
			return nil
		}))
		err := g.do(func(tx *db.Tx) error {
			_, err := g.CreateRisk(tx, Risk{Title: "T", Likelihood: 1, Impact: 1, ModelID: fly, Project: "demo"}, ada)
			return err
		})
		g.refused(err, caos.TooLarge, "model_id", "")
		g.ok(g.do(func(tx *db.Tx) error {
			list, err := g.RisksOf(tx, fly, "")
			if err == nil && len(list) != maxRisksOf {
				err = fmt.Errorf("%d risks", len(list))
			}
			return err
		}))
	})
}

func (c crew) KeyStood(*db.Tx, string, time.Time) (bool, error) { return true, nil }
