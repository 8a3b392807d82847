package readiness_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"caos"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/readiness"
	"caos/internal/registry"
)

// This test makes random histories of people who change roles, own models and give them
// away, register V&V reports for each other, ask for freezes, reviews and releases through
// others and through services, hand out accounts and tokens, and then vote, approve and
// close conditions. An oracle, which knows only what was done and nothing of how the
// product finds out, says of each act whether it may count. Both have to agree on every
// act, and nothing may ever be approved on the word of somebody who was barred.

// oracle is what the test itself wrote down.
type oracle struct {
	made   map[string][]string        // by account: who made it or a token of it
	roles  map[string]map[string]bool // by account
	hands  map[string]bool            // of the model at hand
	boards map[string]*boardNotes     // reviews of it
}

type boardNotes struct {
	members []string
	votes   map[string]string // outcomes by person, in no order
	chiefs  map[string]bool   // of those who voted: held chief-engineer then
	asked   map[string]string // owners by condition text
}

// could reports whether a could act as b.
func (o *oracle) could(a, b string) bool { return slices.Contains(o.made[b], a) }

// free reports whether somebody may be on the approving side.
func (o *oracle) free(id string) bool {
	for hand := range o.hands {
		if hand == id || o.could(hand, id) || o.could(id, hand) {
			return false
		}
	}
	return true
}

// carried computes, from the notes alone, what a review has to come to. What those say who
// are not free any more carries nothing; what they have against it stands.
func (o *oracle) carried(b *boardNotes) string {
	voted, chief, worst, heard := 0, false, "APPROVED", "APPROVED"
	for person, outcome := range b.votes {
		if outcome == "REJECTED" || outcome == "CONDITIONAL" && heard == "APPROVED" {
			heard = outcome
		}
		if !o.free(person) {
			continue
		}
		if slices.Contains(b.members, person) {
			voted++
		}
		chief = chief || b.chiefs[person]
		if outcome == "REJECTED" || outcome == "CONDITIONAL" && worst == "APPROVED" {
			worst = outcome
		}
	}
	if worst == "REJECTED" {
		return worst
	}
	if chief && 2*voted > len(b.members) {
		return heard
	}
	return ""
}

// town is a house with people who are used for all histories.
type town struct {
	*house
	o      oracle
	people []string
	n      int            // histories begun
	acts   map[string]int // what happened, so that a test of nothing is noticed
}

func newTown(t testing.TB, d *db.DB) *town {
	w := &town{house: newHouse(t, d), acts: map[string]int{}}
	w.o = oracle{made: map[string][]string{}, roles: map[string]map[string]bool{}}
	// Administrators hold no approving role at the same time. Some of these were
	// administrators before, and made the accounts of others.
	w.bootstrap(auth.NewUser{ID: "root"}, auth.NewUser{ID: "ada", Roles: []string{"admin"}}, auth.NewUser{ID: "abe", Roles: []string{"admin"}},
		auth.NewUser{ID: "carl"}, auth.NewUser{ID: "cleo"}, auth.NewUser{ID: "cyra"}, auth.NewUser{ID: "cody"}, auth.NewUser{ID: "curt"},
		auth.NewUser{ID: "dan"}, auth.NewUser{ID: "dora"}, auth.NewUser{ID: "dick"}, auth.NewUser{ID: "drew"}, auth.NewUser{ID: "robot", Kind: auth.Service, Roles: []string{"service"}})
	w.people = []string{"ada", "abe", "carl", "cleo", "cyra", "cody", "curt", "dan", "dora", "dick", "drew"}
	for i, by := range []string{"ada", "ada", "abe"} {
		id := fmt.Sprintf("pupil%d", i)
		w.create(by, id)
		w.o.made[id] = []string{by}
		w.people = append(w.people, id)
	}
	// pupil3 has an account by ada and a token by abe.
	_, err := w.auth.CreateUser(context.Background(), w.as("ada"), auth.NewUser{ID: "pupil3", Name: "P"})
	w.ok(err)
	issued, err := w.auth.CreateToken(context.Background(), w.as("abe"), "pupil3", auth.NewToken{Label: "first", Life: 365 * 24 * time.Hour})
	w.ok(err)
	w.cast["pupil3"] = auth.Created{User: "pupil3", Token: &issued}
	w.o.made["pupil3"] = []string{"ada", "abe"}
	w.people = append(w.people, "pupil3")
	for _, id := range []string{"ada", "abe"} {
		w.ok(w.auth.RevokeRole(context.Background(), w.as("root"), id, "admin"))
	}
	for _, id := range w.people {
		w.o.roles[id] = map[string]bool{}
		for _, role := range []string{"prr-board", "chief-engineer", "qa-lead"} {
			if w.auth.GrantRole(context.Background(), w.as("root"), id, role) == nil {
				w.o.roles[id][role] = true
			}
		}
	}
	return w
}

// principal is a person with their roles of now, as a request of theirs would carry them.
func (w *town) principal(id string) caos.Principal {
	p := caos.Principal{ID: id, MFA: "totp"}
	for role, held := range w.o.roles[id] {
		if held {
			p.Roles = append(p.Roles, role)
		}
	}
	slices.Sort(p.Roles)
	return p
}

func (w *town) someone(t *rapid.T, label string) string {
	return rapid.SampledFrom(w.people).Draw(t, label)
}

// maker is somebody who gets a hand in the model: mostly one of a few, or nobody would be
// left to decide.
func (p *play) maker(t *rapid.T, label string) string {
	if rapid.IntRange(0, 9).Draw(t, "anybody") == 0 {
		return p.someone(t, label)
	}
	return rapid.SampledFrom(p.makers).Draw(t, label)
}

// decider is somebody who decides: mostly one of some who suit.
func (p *play) decider(t *rapid.T, label string, suits func(id string) bool) string {
	list := slices.DeleteFunc(slices.Clone(p.people), func(id string) bool { return !suits(id) })
	if len(list) == 0 || rapid.IntRange(0, 2).Draw(t, "anybody") == 0 {
		return p.someone(t, label)
	}
	return rapid.SampledFrom(list).Draw(t, label)
}

// noted counts an act, and whether it was taken.
func (w *town) noted(what string, err error) {
	if err != nil {
		what += " refused by " + caos.AsError(err).Rule
	}
	w.acts[what]++
}

// agree fails unless the product and the oracle are of one mind about who may decide.
func (w *town) agree(t *rapid.T, what, person string, may bool, err error) {
	w.noted(what, err)
	if may != (err == nil) {
		t.Fatalf("%s by %s: got %v, but the oracle says it may be done: %v; hands %v", what, person, err, may, w.o.hands)
	}
	if !w.o.free(person) && err == nil {
		t.Fatalf("%s by %s, who is barred, counts", what, person)
	}
}

// history plays one random history of one model.
func (w *town) history(t *rapid.T) {
	w.n++
	id := fmt.Sprintf("NN-H-%06d", w.n)
	s := subject(id, "DAL-D")
	w.o.hands, w.o.boards = map[string]bool{}, map[string]*boardNotes{}
	owner := w.someone(t, "owner")
	w.model(id, owner, "DAL-D")
	w.o.hands[owner] = true
	p := &play{town: w, id: id, s: s, makers: []string{owner, w.someone(t, "maker"), rapid.SampledFrom([]string{"ada", "abe", "carl"}).Draw(t, "maker who made accounts")}}
	for range rapid.IntRange(10, 50).Draw(t, "length") {
		rapid.SampledFrom(p.moves()).Draw(t, "move")(t)
	}
}

// moves lists what may be tried now, that which leads on more than once.
func (p *play) moves() []func(t *rapid.T) {
	out := []func(t *rapid.T){p.give, p.report, p.freezeFor, p.role, p.vote, p.revoke, p.cancel, p.review, p.close, p.finish, p.release, p.request, p.approve, p.decide}
	often := func(times int, one func(t *rapid.T)) {
		out = append(out, slices.Repeat([]func(t *rapid.T){one}, times)...)
	}
	status := readiness.ReviewFailed
	if p.current != "" {
		status = p.show(p.current).Status
	}
	switch {
	case p.rel != "":
		often(15, map[readiness.AuthorizationStatus]func(t *rapid.T){readiness.AuthorizationDraft: p.request, readiness.AuthorizationRequested: p.approve}[p.status()])
	case status == readiness.ReviewVoting && p.o.carried(p.o.boards[p.current]) != "":
		often(15, p.decide)
	case status == readiness.ReviewVoting:
		often(40, p.vote)
	case status == readiness.ReviewConditional:
		often(15, p.close)
		often(5, p.finish)
	case status == readiness.ReviewDecided:
		often(15, p.release)
	default:
		often(10, p.review)
	}
	return slices.DeleteFunc(out, func(one func(t *rapid.T)) bool { return one == nil })
}

// play is one history under way.
type play struct {
	*town
	id      string
	s       readiness.Subject
	current string // review that goes on or ended last, ""
	rel     string // release authorisation, ""
	signed  map[string]string
	makers  []string
}

func (p *play) give(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "rarely") > 0 {
		return
	}
	to := p.maker(t, "new owner")
	p.town.give(p.id, to)
	p.o.hands[to] = true
	p.noted("give away", nil)
}

func (p *play) report(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "rarely") > 0 {
		return
	}
	author, recorder := p.maker(t, "author"), p.maker(t, "recorder")
	p.town.report(p.id, registry.By{Actor: author, RecordedBy: recorder})
	p.o.hands[author], p.o.hands[recorder] = true, true
	p.noted("report", nil)
}

func (p *play) freezeFor(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "rarely") > 0 {
		return
	}
	requester, by := p.maker(t, "requester"), p.principal(p.maker(t, "submitter"))
	if rapid.Bool().Draw(t, "by a trigger") {
		by = caos.Principal{ID: "robot", Roles: []string{"service"}, EnabledBy: p.someone(t, "enabled by")}
		p.o.hands[by.EnabledBy] = true
	}
	p.freeze(p.id, requester, by)
	p.o.hands[requester], p.o.hands[by.ID] = true, true
	p.noted("freeze", nil)
}

func (p *play) role(t *rapid.T) {
	who, role := p.someone(t, "who"), rapid.SampledFrom([]string{"prr-board", "chief-engineer", "qa-lead"}).Draw(t, "role")
	if p.o.roles[who][role] {
		if rapid.Bool().Draw(t, "stays") {
			return
		}
		if err := p.auth.RevokeRole(context.Background(), p.as("root"), who, role); err == nil {
			p.o.roles[who][role] = false
		}
	} else if err := p.auth.GrantRole(context.Background(), p.as("root"), who, role); err == nil {
		p.o.roles[who][role] = true
	}
}

func (p *play) review(t *rapid.T) {
	if p.current != "" && p.show(p.current).Status.Open() || p.rel != "" {
		return
	}
	members := []string{}
	for range rapid.IntRange(1, 5).Draw(t, "members") {
		if m := p.decider(t, "member", p.o.free); !slices.Contains(members, m) {
			members = append(members, m)
		}
	}
	requester, recorder, enabled := p.maker(t, "requester"), p.maker(t, "recorder"), ""
	if rapid.Bool().Draw(t, "by a trigger") {
		recorder, enabled = "robot", p.maker(t, "enabled by")
		p.o.hands[enabled] = true
	}
	p.o.hands[requester], p.o.hands[recorder] = true, true
	v, err := p.town.review(p.s, readiness.By{Actor: requester, RecordedBy: recorder}, enabled, members...)
	p.ok(err)
	_, err = p.prepared(v.PRRID, rapid.SampledFrom([]string{"APPROVED", "APPROVED", "CONDITIONAL"}).Draw(t, "best"))
	p.ok(err)
	p.current, p.o.boards[v.PRRID] = v.PRRID, &boardNotes{members: members, votes: map[string]string{}, chiefs: map[string]bool{}, asked: map[string]string{}}
	p.noted("review", nil)
}

func (p *play) vote(t *rapid.T) {
	if p.current == "" {
		return
	}
	v, notes := p.show(p.current), p.o.boards[p.current]
	who := p.decider(t, "voter", func(id string) bool {
		return notes.votes[id] == "" && p.o.free(id) && (slices.Contains(notes.members, id) || p.o.roles[id]["chief-engineer"])
	})
	outcome := "APPROVED"
	switch n := rapid.IntRange(0, 29).Draw(t, "outcome"); {
	case n == 29:
		outcome = "REJECTED"
	case n >= 24:
		outcome = "CONDITIONAL"
	}
	if v.Best == "CONDITIONAL" && outcome == "APPROVED" {
		outcome = "CONDITIONAL"
	}
	b := readiness.Ballot{Outcome: outcome}
	if outcome == "CONDITIONAL" {
		b = conditional("asked by "+who, p.someone(t, "condition owner"))
	}
	by := p.principal(who)
	_, again := notes.votes[who]
	may := v.Status == readiness.ReviewVoting && !again && p.o.free(who) &&
		(p.o.roles[who]["chief-engineer"] || slices.Contains(notes.members, who) && p.o.roles[who]["prr-board"])
	if rapid.IntRange(0, 9).Draw(t, "through a trigger") == 7 {
		by.EnabledBy, may = p.someone(t, "enabled by"), false
	}
	_, err := p.town.vote(p.current, b, readiness.Proof{}, by)
	p.agree(t, "vote", who, may, err)
	if err == nil {
		notes.votes[who], notes.chiefs[who] = outcome, p.o.roles[who]["chief-engineer"]
		for _, c := range b.Conditions {
			notes.asked[c.Text] = c.Owner
		}
	}
}

func (p *play) decide(t *rapid.T) {
	if p.current == "" || p.show(p.current).Status != readiness.ReviewVoting {
		return
	}
	notes := p.o.boards[p.current]
	want := p.o.carried(notes)
	say := rapid.SampledFrom([]string{want, want, want, want, "APPROVED", "CONDITIONAL"}).Draw(t, "decision")
	if say == "" {
		say = "APPROVED"
	}
	may := want == say || want == "APPROVED" && say == "CONDITIONAL"
	err := p.do(func(tx *db.Tx) error {
		_, err := p.Decide(tx, p.current, say, []readiness.ConditionDraft{{Text: "of a finding", Owner: p.people[0], DueOn: "2026-12-24"}}, readiness.By{Actor: "caos"})
		return err
	})
	p.noted("decide "+say, err)
	if may != (err == nil) {
		t.Fatalf("decision %s on %+v: got %v, the oracle says %q", say, notes, err, want)
	}
	if err == nil {
		notes.asked["of a finding"] = p.people[0]
	}
}

func (p *play) close(t *rapid.T) {
	if p.current == "" {
		return
	}
	v, who := p.show(p.current), p.decider(t, "closer", p.o.free)
	if v.Status != readiness.ReviewConditional || len(v.Conditions) == 0 {
		return
	}
	c := v.Conditions[rapid.IntRange(0, len(v.Conditions)-1).Draw(t, "condition")]
	owner := p.o.boards[p.current].asked[c.Text]
	may := c.Status == readiness.ConditionOpen && owner != who && !p.o.could(owner, who) && p.o.free(who)
	err := p.do(func(tx *db.Tx) error {
		_, err := p.CloseCondition(tx, readiness.ConditionRef{PRRID: p.current, ConditionID: c.ConditionID}, readiness.Closing{Evidence: []string{"EVID-1"}}, readiness.Proof{}, p.principal(who))
		return err
	})
	p.agree(t, "close", who, may, err)
}

func (p *play) finish(t *rapid.T) {
	if p.current == "" {
		return
	}
	v := p.show(p.current)
	if v.Status != readiness.ReviewConditional {
		return
	}
	open := slices.ContainsFunc(v.Conditions, func(c *readiness.Condition) bool { return c.Status == readiness.ConditionOpen })
	err := p.do(func(tx *db.Tx) error {
		_, err := p.EndReview(tx, p.current, readiness.ReviewDecided, readiness.By{Actor: "caos"})
		return err
	})
	p.noted("finish", err)
	if open != (err != nil) {
		t.Fatalf("finish with open conditions %v: %v", open, err)
	}
}

func (p *play) cancel(t *rapid.T) {
	if p.current == "" || !p.show(p.current).Status.Open() || rapid.IntRange(0, 3).Draw(t, "rarely") > 0 {
		return
	}
	p.must(func(tx *db.Tx) error {
		_, err := p.EndReview(tx, p.current, readiness.ReviewCancelled, readiness.By{Actor: "caos"})
		return err
	})
}

func (p *play) release(t *rapid.T) {
	if p.rel != "" || p.current == "" || p.show(p.current).Decision != "APPROVED" {
		return
	}
	by := p.maker(t, "drafter")
	p.o.hands[by] = true
	p.must(func(tx *db.Tx) error {
		a, err := p.OpenAuthorization(tx, p.s, p.current, []string{"orin"}, readiness.By{Actor: by})
		if err == nil {
			p.rel, p.signed = a.AuthorizationID, map[string]string{}
		}
		return err
	})
	p.noted("release", nil)
}

func (p *play) request(t *rapid.T) {
	if p.rel == "" || p.status() != readiness.AuthorizationDraft {
		return
	}
	by := p.principal(p.maker(t, "requester"))
	p.o.hands[by.ID] = true
	p.must(func(tx *db.Tx) error {
		until, why := p.now().Add(30*24*time.Hour), "ready"
		if _, err := p.UpdateScope(tx, p.rel, readiness.ScopeChange{Strategies: &[]string{"CANARY"}, NotAfter: &until, Rationale: &why}, 0, readiness.By{Actor: by.ID}); err != nil {
			return err
		}
		_, err := p.Request(tx, p.rel, by, readiness.By{Actor: by.ID})
		return err
	})
	p.noted("request", nil)
}

func (p *play) status() readiness.AuthorizationStatus {
	a, err := p.Authorization(context.Background(), p.rel)
	p.ok(err)
	return a.Status
}

func (p *play) approve(t *rapid.T) {
	if p.rel == "" {
		return
	}
	role := rapid.SampledFrom([]string{"chief-engineer", "qa-lead"}).Draw(t, "role")
	who := p.decider(t, "approver", func(id string) bool { return p.o.free(id) && p.o.roles[id][role] })
	_, twice := p.signed[who]
	given := false
	for _, r := range p.signed {
		given = given || r == role
	}
	may := p.status() == readiness.AuthorizationRequested && p.o.roles[who][role] && p.o.free(who) && !twice && !given
	var a *readiness.ReleaseAuthorization
	err := p.do(func(tx *db.Tx) (err error) {
		a, err = p.Approve(tx, p.rel, role, readiness.Proof{}, p.principal(who))
		return err
	})
	p.agree(t, "approve", who, may, err)
	if err != nil {
		return
	}
	p.signed[who] = role
	counts := 0
	for person := range p.signed {
		if p.o.free(person) {
			counts++
		}
	}
	if (a.Status == readiness.AuthorizationAuthorised) != (counts == 2) {
		t.Fatalf("%s is %s on the word of %v, with hands %v", p.rel, a.Status, p.signed, p.o.hands)
	}
	p.acts["approval leaves it "+string(a.Status)]++
}

func (p *play) revoke(t *rapid.T) {
	if p.rel == "" || rapid.IntRange(0, 5).Draw(t, "rarely") > 0 {
		return
	}
	was := p.status()
	err := p.do(func(tx *db.Tx) error {
		_, err := p.Revoke(tx, p.rel, "no more", readiness.Proof{}, p.principal(p.someone(t, "revoker")))
		return err
	})
	p.noted("revoke", err)
	if over := was == readiness.AuthorizationRevoked || was == readiness.AuthorizationRejected; over != (err != nil) {
		t.Fatalf("revoke of one that is %s: %v", was, err)
	}
}

// TestHistories plays CAOS_HISTORIES random histories, 200 unless told, and 50 of them on
// PostgreSQL.
func TestHistories(t *testing.T) {
	n := 200
	if s := os.Getenv("CAOS_HISTORIES"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil || n < 1 {
			t.Fatalf("CAOS_HISTORIES is %q", s)
		}
	}
	if testing.Short() {
		n = min(n, 50)
	}
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newTown(t, d)
		want := n
		if d.Dialect() == db.PostgreSQL {
			want = max(n/4, 1)
		}
		for w.n < want {
			rapid.Check(t, func(r *rapid.T) {
				if w.n < want {
					w.history(r)
				}
			})
			if t.Failed() {
				return
			}
		}
		t.Logf("%d histories: %v", w.n, w.acts)
		for _, must := range []string{"vote", "vote refused by " + readiness.RuleSeparation, "decide APPROVED", "decide CONDITIONAL", "decide APPROVED refused by " + readiness.RuleQuorum,
			"close", "finish", "release", "request", "approve", "approve refused by " + readiness.RuleSeparation, "approval leaves it " + string(readiness.AuthorizationAuthorised)} {
			if w.acts[must] == 0 && want >= 500 {
				t.Errorf("no history had %q: the test says too little", must)
			}
		}
	})
}
