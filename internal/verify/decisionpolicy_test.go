package verify

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func ballots(list ...string) (out []Ballot) {
	for _, s := range list {
		p := strings.Split(s, " ")
		b := Ballot{Person: p[0], Outcome: p[1], Personal: true}
		if len(p) > 2 {
			b.Roles = strings.Split(p[2], ",")
		}
		if len(p) > 3 {
			b.Role = p[3]
		}
		out = append(out, b)
	}
	return out
}

func TestTallyReview(t *testing.T) {
	_, p := ShippedDecisionPolicy()
	for _, c := range []struct {
		name            string
		members, barred string
		best            string
		votes           []string
		outcome         string
		quorum, final   bool
		missing         int
	}{
		{"nobody", "a b c", "", OutcomeApproved, nil, "", false, false, 2},
		{"two of three, no chief", "a b c", "", OutcomeApproved, []string{"a APPROVED", "b APPROVED"}, "", false, false, 1},
		{"two of three and the chief", "a b c", "", OutcomeApproved, []string{"a APPROVED", "b APPROVED", "x APPROVED chief-engineer"}, OutcomeApproved, true, false, 0},
		{"the chief is a member", "a b c", "", OutcomeApproved, []string{"a APPROVED", "b APPROVED chief-engineer"}, OutcomeApproved, true, false, 0},
		{"all", "a b c", "", OutcomeApproved, []string{"a APPROVED", "b APPROVED", "c APPROVED chief-engineer"}, OutcomeApproved, true, true, 0},
		{"all but the chief", "a b c", "", OutcomeApproved, []string{"a APPROVED", "b APPROVED", "c APPROVED"}, "", false, false, 1},
		{"half is not more than half", "a b c d", "", OutcomeApproved, []string{"a APPROVED chief-engineer", "b APPROVED"}, "", false, false, 1},
		{"three of four", "a b c d", "", OutcomeApproved, []string{"a APPROVED chief-engineer", "b APPROVED", "c CONDITIONAL"}, OutcomeConditional, true, false, 0},
		{"one rejection", "a b c d", "", OutcomeApproved, []string{"a REJECTED"}, OutcomeRejected, false, true, 2},
		{"a rejection by the chief alone", "a b c d", "", OutcomeApproved, []string{"x REJECTED chief-engineer"}, OutcomeRejected, false, true, 1},
		{"a rejection by a stranger", "a b", "", OutcomeApproved, []string{"x REJECTED qa-lead"}, "", false, false, 2},
		{"a rejection by a barred member", "a b", "a", OutcomeApproved, []string{"a REJECTED"}, "", false, false, 2},
		{"a condition of a barred member stands", "a b c", "c", OutcomeApproved, []string{"c CONDITIONAL", "a APPROVED chief-engineer", "b APPROVED"}, OutcomeConditional, true, true, 0},
		{"a rejection by a barred member stands", "a b c", "c", OutcomeApproved, []string{"c REJECTED", "a APPROVED chief-engineer", "b APPROVED"}, OutcomeRejected, true, true, 0},
		{"a barred member counts in the total", "a b c d", "d", OutcomeApproved, []string{"a APPROVED chief-engineer", "b APPROVED"}, "", false, false, 1},
		{"everybody who is not barred", "a b c", "c", OutcomeApproved, []string{"a APPROVED chief-engineer", "b APPROVED"}, OutcomeApproved, true, true, 0},
		{"a barred chief", "a b c", "x", OutcomeApproved, []string{"a APPROVED", "b APPROVED", "x APPROVED chief-engineer"}, "", false, false, 1},
		{"a second vote of one person", "a b c", "", OutcomeApproved, []string{"a APPROVED chief-engineer", "a REJECTED", "a APPROVED"}, "", false, false, 1},
		{"never better than the best", "a b c", "", OutcomeConditional, []string{"a APPROVED chief-engineer", "b APPROVED", "c APPROVED"}, OutcomeConditional, true, true, 0},
		{"nothing but rejection is possible", "a b c", "", OutcomeRejected, nil, OutcomeRejected, false, true, 2},
		{"a best that nobody knows", "a b c", "", "MAYBE", []string{"a APPROVED chief-engineer", "b APPROVED"}, OutcomeRejected, true, true, 0},
		{"an outcome that nobody knows", "a b c", "", OutcomeApproved, []string{"a AUTHORISED chief-engineer", "b APPROVED"}, "", false, false, 2},
	} {
		tally := p.TallyReview(strings.Fields(c.members), strings.Fields(c.barred), c.best, ballots(c.votes...))
		if tally.Outcome != c.outcome || tally.Quorum != c.quorum || tally.Final != c.final || len(tally.Missing) != c.missing {
			t.Errorf("%s: %+v", c.name, tally)
		}
	}
}

func TestTallyRelease(t *testing.T) {
	_, p := ShippedDecisionPolicy()
	chief, qa := "a APPROVED chief-engineer chief-engineer", "b APPROVED qa-lead qa-lead"
	for _, c := range []struct {
		name, barred string
		approvals    []string
		outcome      string
		final        bool
	}{
		{"nobody", "", nil, "", false},
		{"both", "", []string{chief, qa}, OutcomeAuthorised, true},
		{"one", "", []string{qa}, "", false},
		{"one person in both", "", []string{"a APPROVED chief-engineer,qa-lead chief-engineer", "a APPROVED chief-engineer,qa-lead qa-lead"}, "", false},
		{"a second holder of a role makes no second role", "", []string{chief, "c APPROVED chief-engineer chief-engineer"}, "", false},
		{"whoever holds both speaks for one", "", []string{"a APPROVED chief-engineer,qa-lead chief-engineer", qa}, OutcomeAuthorised, true},
		{"a role not held", "", []string{chief, "b APPROVED prr-board qa-lead"}, "", false},
		{"another role", "", []string{chief, "b APPROVED prr-board prr-board"}, "", false},
		{"no role", "", []string{chief, "b APPROVED qa-lead"}, "", false},
		{"barred", "b", []string{chief, qa}, "", false},
		{"rejected", "", []string{chief, "b REJECTED qa-lead qa-lead"}, OutcomeRejected, true},
		{"rejected beside", "", []string{chief, qa, "c REJECTED qa-lead qa-lead"}, OutcomeRejected, true},
		{"rejected by a stranger", "", []string{chief, qa, "c REJECTED prr-board qa-lead"}, OutcomeAuthorised, true},
		{"a condition is no approval", "", []string{chief, "b CONDITIONAL qa-lead qa-lead"}, "", false},
	} {
		tally := p.TallyRelease(strings.Fields(c.barred), ballots(c.approvals...))
		if tally.Outcome != c.outcome || tally.Final != c.final {
			t.Errorf("%s: %+v", c.name, tally)
		}
	}
}

func TestCanReach(t *testing.T) {
	_, p := ShippedDecisionPolicy()
	for _, c := range []struct{ members, barred, chiefs, why string }{
		{"a b c", "", "x", ""},
		{"a b c", "c", "x", ""},
		{"a b c", "b c", "x", "1 of the 3 members"},
		{"a b", "b", "x", "1 of the 2 members"},
		{"", "", "x", "no member"},
		{"a b c", "x", "x", "chief-engineer"},
		{"a b c", "x", "x a", ""},
		{"a b c", "", "", "chief-engineer"},
	} {
		ok, why := p.CanReach(strings.Fields(c.members), strings.Fields(c.barred), strings.Fields(c.chiefs))
		if ok != (c.why == "") || !strings.Contains(why, c.why) {
			t.Errorf("%+v: %v %q", c, ok, why)
		}
	}
}

// TestTallyHolds compares TallyReview with what the rules say, by counting in another way.
func TestTallyHolds(t *testing.T) {
	_, p := ShippedDecisionPolicy()
	people := []string{"a", "b", "c", "d", "e", "f", "g"}
	rapid.Check(t, func(t *rapid.T) {
		members := rapid.SliceOfNDistinct(rapid.SampledFrom(people), 1, 7, rapid.ID[string]).Draw(t, "members")
		barred := rapid.SliceOfNDistinct(rapid.SampledFrom(people), 0, 4, rapid.ID[string]).Draw(t, "barred")
		chiefs := rapid.SliceOfNDistinct(rapid.SampledFrom(people), 0, 3, rapid.ID[string]).Draw(t, "chiefs")
		best := rapid.SampledFrom([]string{OutcomeApproved, OutcomeConditional, OutcomeRejected}).Draw(t, "best")
		order := rapid.Permutation(people).Draw(t, "order")
		votes := order[:rapid.IntRange(0, len(order)).Draw(t, "voters")]
		var cast []Ballot
		said, heard := map[string]string{}, rank(best)
		for _, v := range votes {
			b := Ballot{Person: v, Outcome: rapid.SampledFrom([]string{OutcomeApproved, OutcomeApproved, OutcomeConditional, OutcomeRejected}).Draw(t, v)}
			if slices.Contains(chiefs, v) {
				b.Roles = []string{"prr-board", RoleChiefEngineer}
			}
			cast = append(cast, b)
			may := slices.Contains(members, v) || slices.Contains(chiefs, v)
			if may {
				heard = min(heard, rank(b.Outcome))
			}
			if may = may && !slices.Contains(barred, v); may {
				said[v] = b.Outcome
			}
		}
		got := p.TallyReview(members, barred, best, cast)
		n, chief, open := 0, false, 0
		worst := rank(best)
		for v, o := range said {
			chief = chief || slices.Contains(chiefs, v)
			worst = min(worst, rank(o))
			if slices.Contains(members, v) {
				n++
			}
		}
		for _, m := range members {
			if _, voted := said[m]; !voted && !slices.Contains(barred, m) {
				open++
			}
		}
		quorum := 2*n > len(members) && chief
		want := ""
		switch {
		case worst == 0:
			want = OutcomeRejected
		case quorum:
			want = []string{OutcomeRejected, OutcomeConditional, OutcomeApproved}[heard]
		}
		final := want == OutcomeRejected || want != "" && open == 0
		if got.Outcome != want || got.Quorum != quorum || got.Final != final || len(got.Waiting) != open || len(got.Counted) != len(said) {
			t.Fatalf("%+v; want %q, quorum %v, final %v, %d waiting", got, want, quorum, final, open)
		}
		// A further vote never makes a final outcome another one. (One who is barred cannot
		// give any: what is counted of theirs was said before they were.)
		for _, m := range people {
			if slices.Contains(barred, m) {
				continue
			}
			more := p.TallyReview(members, barred, best, append(slices.Clone(cast), Ballot{Person: m, Outcome: OutcomeRejected, Roles: []string{"prr-board"}}))
			if got.Final && more.Outcome != got.Outcome {
				t.Fatalf("final %+v became %+v", got, more)
			}
		}
		reach, _ := p.CanReach(members, barred, chiefs)
		if got.Quorum && !reach {
			t.Fatalf("quorum without reach: %+v", got)
		}
	})
}

// TestReleaseHolds: no order of approvals lets one person, a barred one, or one without the
// role authorise a release.
func TestReleaseHolds(t *testing.T) {
	_, p := ShippedDecisionPolicy()
	people := []string{"a", "b", "c"}
	rapid.Check(t, func(t *rapid.T) {
		barred := rapid.SliceOfNDistinct(rapid.SampledFrom(people), 0, 2, rapid.ID[string]).Draw(t, "barred")
		var cast []Ballot
		valid := map[string][]string{}
		for i := range rapid.IntRange(0, 8).Draw(t, "n") {
			b := Ballot{
				Person: rapid.SampledFrom(people).Draw(t, fmt.Sprint("p", i)), Outcome: OutcomeApproved,
				Role:  rapid.SampledFrom([]string{RoleChiefEngineer, RoleQALead, "prr-board"}).Draw(t, fmt.Sprint("r", i)),
				Roles: rapid.SliceOfNDistinct(rapid.SampledFrom([]string{RoleChiefEngineer, RoleQALead, "prr-board"}), 0, 3, rapid.ID[string]).Draw(t, fmt.Sprint("h", i)),
			}
			cast = append(cast, b)
			if !slices.Contains(barred, b.Person) && slices.Contains(b.Roles, b.Role) {
				valid[b.Role] = append(valid[b.Role], b.Person)
			}
		}
		two := false
		for _, c := range valid[RoleChiefEngineer] {
			for _, q := range valid[RoleQALead] {
				two = two || c != q
			}
		}
		if got := p.TallyRelease(barred, cast); got.Outcome == OutcomeAuthorised && !two {
			t.Fatalf("%+v of %+v", got, cast)
		}
	})
}

func TestDecisionPolicy(t *testing.T) {
	data, p := ShippedDecisionPolicy()
	const golden = `{"conditions":{"not_by_owner":true},"id":"caos-decisions-1","personal_key":["DAL-A","DAL-B"],` +
		`"release":{"roles":["chief-engineer","qa-lead"],"two_people":true},` +
		`"review":{"members":"more-than-half","one_rejection_rejects":true,"roles":["chief-engineer"]},"v":1}`
	if string(data) != golden { // decisions of years to come name its digest
		t.Fatalf("%s", data)
	}
	if got, err := ParseDecisionPolicy(data); err != nil || got.Digest() != PolicyDigest(data) || got.ID != p.ID {
		t.Fatalf("%+v %v", got, err)
	}
	for old, new := range map[string]string{
		`"v":1`: `"v":2`, `"more-than-half"`: `"half"`, `"one_rejection_rejects":true`: `"one_rejection_rejects":false`, `"two_people":true`: `"two_people":false`,
		`"not_by_owner":true`: `"not_by_owner":false`, `["chief-engineer","qa-lead"]`: `["qa-lead","chief-engineer"]`, `["chief-engineer"]`: `[]`,
		`["DAL-A","DAL-B"]`: `["DAL-A","DAL-A"]`, `{"conditions"`: `{"more":1,"conditions"`, `,"v"`: `, "v"`, `"personal_key":["DAL-A","DAL-B"]`: `"personal_key":null`,
		`"caos-decisions-1"`: `"a b"`, `"v":1}`: `"v":1}` + "\n", `"qa-lead"]`: `"qa-lead","qa-lead"]`, `["chief-engineer",`: `[`,
	} {
		bad := strings.Replace(golden, old, new, 1)
		if _, err := ParseDecisionPolicy([]byte(bad)); err == nil || bad == golden {
			t.Errorf("read %s", bad)
		}
	}
	if !p.NeedsPersonalKey("DAL-A") || p.NeedsPersonalKey("DAL-C") || p.NeedsPersonalKey("") {
		t.Error("personal keys")
	}
}

func FuzzDecisionPolicy(f *testing.F) {
	data, _ := ShippedDecisionPolicy()
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParseDecisionPolicy(data)
		if err != nil {
			return
		}
		if again, err := marshalPlain(p); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("accepted %q", data)
		}
		p.TallyReview([]string{"a"}, nil, OutcomeApproved, []Ballot{{Person: "a", Outcome: OutcomeApproved, Roles: p.Review.Roles}})
	})
}
