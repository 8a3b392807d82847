package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"caos/bench/faults/freezing"
	"caos/bench/faults/reviewing"
	"caos/bench/faults/sample"
	"caos/internal/db"
	"caos/internal/readiness"
	"caos/internal/sign"
)

// reviews is the load of a campaign in which boards review versions, and its harm. The
// versions were frozen before; the clients begin with them bit by bit while nodes are
// killed.
//
// What the board says of a version depends on its number, see plan. All voters of a review
// vote at once, every other one signing what the server proposes with a key of their own;
// everybody repeats the same request until it is answered, and now and then sends it to two
// nodes at once though it was.
type reviews struct {
	versions int
	kills    int

	given   int
	begin   chan freezing.Version
	refused atomic.Int64 // second requests for a review
	late    atomic.Int64 // votes, approvals and closings that came too late or second, and were told so
	again   atomic.Int64 // requests that were sent again and answered as done before

	met      meetings          // what kills met
	evidence map[string]string // an item of each model
	mu       sync.Mutex
	done     []reviewing.Act // that were acknowledged, without their proof
}

// meetings counts in what states kills and stops met reviews and releases.
type meetings struct{ Preparing, Voting, Conditional, Running, Releases int }

// plan is what is done about a version.
type plan struct {
	board    []string
	votes    map[string]string // by person; chiefs among them
	twice    string            // who votes a second time at once, with another outcome
	texts    map[string][]string
	asked    int // for the review, at once
	cancel   bool
	release  string   // what becomes of its release
	approves []string // who does
}

func planOf(v freezing.Version) plan {
	n := int(v)
	all := reviewing.Members()
	p := plan{board: all[:3+2*(n/3%2)], votes: map[string]string{}, texts: map[string][]string{}, asked: 1 + n%2,
		release: []string{"approve", "revoke", "race", "reject"}[n/2%4], approves: []string{reviewing.Chief, reviewing.Quality}}
	for _, who := range append(slices.Clone(p.board), reviewing.Chief) {
		p.votes[who] = "APPROVED"
	}
	condition := func(who string, texts ...string) { p.votes[who], p.texts[who] = "CONDITIONAL", texts }
	switch n % 8 {
	case 1: // conditions of two, one of them the same
		condition("b1", "Show the alarm", "Train the crew")
		condition("b3", "Show the alarm")
	case 2: // one rejection, whenever it comes
		p.votes["b2"] = "REJECTED"
	case 3: // no Chief Engineer, so no quorum
		delete(p.votes, reviewing.Chief)
		p.cancel = true
	case 4: // with conditions by the Chief Engineer alone
		condition(reviewing.Chief, "Measure it on the rig")
	case 5:
		p.twice = "b2"
	case 6: // cancelled while the last ones vote
		p.cancel = true
	case 7:
		condition("b2", "Write it down", "Measure it on the rig", "Show the alarm")
		p.twice = reviewing.Chief
	}
	return p
}

// prepare freezes the versions, before any node runs.
func (f *reviews) prepare(ctx context.Context, c *cluster) (err error) {
	c.review = true
	f.begin, f.evidence = make(chan freezing.Version, f.versions), map[string]string{}
	keys, err := sign.OpenKeys(filepath.Join(c.dir, "keys"))
	if err != nil {
		return err
	}
	for _, purpose := range []sign.Purpose{sign.Baseline, sign.Passport, sign.Evidence} {
		if _, err := keys.Create(ctx, purpose, time.Now()); err != nil {
			return errors.Join(err, keys.Close())
		}
	}
	if err := keys.Close(); err != nil {
		return err
	}
	desk, err := freezing.OpenAlone(ctx, c.url, c.dir)
	if err != nil {
		return err
	}
	board, err := reviewing.Open(desk)
	if err == nil {
		err = board.Prepare(ctx, f.versions)
	}
	for i := 0; i < f.versions && err == nil; i++ {
		v := freezing.Version(i)
		f.evidence[v.Model()], err = board.EvidenceOf(ctx, v)
	}
	return errors.Join(err, desk.Close())
}

// run takes every version that is given to the clients to the end of its release.
func (f *reviews) run(ctx context.Context, t *traffic) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for range f.versions {
		select {
		case v := <-f.begin:
			wg.Go(func() { f.one(ctx, t, v); t.acked.Add(1) })
		case <-ctx.Done():
			return
		}
	}
}

// one takes a version through its review and its release.
func (f *reviews) one(ctx context.Context, t *traffic, v freezing.Version) {
	p := planOf(v)
	id := f.submit(ctx, t, v, p)
	if id == "" {
		return
	}
	r := f.until(ctx, t, v, func(s readiness.ReviewStatus) bool { return s != readiness.ReviewPreparing })
	if r == nil {
		return
	}
	var all sync.WaitGroup
	voters := 0
	for who := range p.votes {
		voters++
		signed := voters%2 == 0
		all.Go(func() {
			pause(ctx, rand.N(300*time.Millisecond))
			a := p.ballot(v, who, p.votes[who])
			a.Contested = who == p.twice
			f.act(ctx, t, a, signed)
		})
		if who == p.twice {
			all.Go(func() {
				pause(ctx, rand.N(300*time.Millisecond))
				for _, outcome := range []string{"APPROVED", "CONDITIONAL"} {
					a := p.ballot(v, who, outcome)
					a.Contested = true
					f.act(ctx, t, a, !signed)
				}
			})
		}
	}
	if p.cancel {
		if p.votes[reviewing.Chief] == "" { // everybody else has voted, and nothing comes of it
			all.Wait()
			pause(ctx, 200*time.Millisecond)
		} else {
			pause(ctx, rand.N(600*time.Millisecond))
		}
		if r := t.insist(ctx, "/cancel/"+id, ""); r.status != http.StatusOK && r.status != http.StatusConflict {
			t.problem("%s was not cancelled: %d %s", id, r.status, r.body)
		}
	}
	all.Wait()
	if r = f.until(ctx, t, v, func(s readiness.ReviewStatus) bool {
		return s != readiness.ReviewPreparing && s != readiness.ReviewVoting
	}); r == nil {
		return
	}
	if r.Status == readiness.ReviewConditional {
		f.meet(ctx, t, v, r)
	}
	if status := t.ended(ctx, id); status == "SUCCEEDED" && r.BoardDecision != "REJECTED" {
		f.release(ctx, t, v, p)
	}
}

func (p plan) ballot(v freezing.Version, who, outcome string) reviewing.Act {
	a := reviewing.Act{Kind: reviewing.Vote, Who: who, ID: reviewing.PRR(v), Outcome: outcome}
	if outcome != "CONDITIONAL" {
		return a
	}
	texts := p.texts[who]
	if len(texts) == 0 {
		texts = []string{"Think again"}
	}
	for _, text := range texts {
		a.Conditions = append(a.Conditions, readiness.ConditionDraft{Text: text, Owner: reviewing.Mender, DueOn: time.Now().UTC().AddDate(0, 0, 30).Format(time.DateOnly)})
	}
	return a
}

// submit asks for the review, twice at once for every other version, and returns the
// execution that one of them was told of.
func (f *reviews) submit(ctx context.Context, t *traffic, v freezing.Version, p plan) string {
	ids := make([]string, p.asked)
	var both sync.WaitGroup
	for i := range ids {
		both.Go(func() {
			key := fmt.Sprintf("review-%d-%d", v, i)
			r := t.insist(ctx, fmt.Sprintf("/review/%d?board=%s", v, strings.Join(p.board, ",")), key)
			var a sample.Answer
			switch {
			case r.status == http.StatusOK && json.Unmarshal(r.body, &a) == nil:
				t.mu.Lock()
				t.acks[key] = ack{a.ID, reviewing.Hook}
				t.mu.Unlock()
				ids[i] = a.ID
			case r.status == http.StatusConflict && p.asked > 1:
				f.refused.Add(1)
			default:
				t.problem("submission %s was refused: %d %s", key, r.status, r.body)
			}
		})
	}
	both.Wait()
	return strings.Join(ids, "")
}

// until waits for a status of a version's review.
func (f *reviews) until(ctx context.Context, t *traffic, v freezing.Version, there func(readiness.ReviewStatus) bool) *readiness.Review {
	for ctx.Err() == nil {
		var r readiness.Review
		if f.read(t, "/prr/"+reviewing.PRR(v), &r) && there(r.Status) {
			return &r
		}
		pause(ctx, 50*time.Millisecond)
	}
	return nil
}

func (f *reviews) read(t *traffic, path string, into any) bool {
	r, err := t.k.ask(http.MethodGet, path, "")
	return err == nil && r.status == http.StatusOK && json.Unmarshal(r.body, into) == nil
}

// act does an act, whatever that takes. It reports whether it is done. One that is not was
// refused, because it came too late or somebody else was before.
func (f *reviews) act(ctx context.Context, t *traffic, a reviewing.Act, signed bool) bool {
	if signed && !f.sign(ctx, t, &a) {
		return false
	}
	body, err := json.Marshal(a)
	if err != nil {
		t.problem("%v", err)
		return false
	}
	done := false
	for sent := 0; ctx.Err() == nil; {
		r, err := t.k.send(rand.IntN(len(t.k.c.nodes)), http.MethodPost, "/act", message{body: body})
		sent++
		var no reviewing.Refusal
		switch {
		case err != nil || r.status >= 500:
			t.mu.Lock()
			t.repeats++
			t.mu.Unlock()
			pause(ctx, time.Duration(10+rand.IntN(40))*time.Millisecond)
			continue
		case r.status == http.StatusOK:
			f.acknowledge(a)
			if done || rand.IntN(4) > 0 {
				return true
			}
			done = true // and once more, as somebody does who does not trust the answer
			continue
		}
		if err := json.Unmarshal(r.body, &no); err != nil || r.status != http.StatusConflict && r.status != http.StatusForbidden {
			t.problem("%+v was refused: %d %s", a, r.status, r.body)
			return false
		}
		switch {
		case done:
			return true
		case no.Rule == "decided-already" && sent > 1 && !a.Contested: // by a request whose answer was lost
			f.again.Add(1)
			f.acknowledge(a)
			return true
		case no.Field == "topic" && f.early(t, a):
			pause(ctx, time.Duration(20+rand.IntN(80))*time.Millisecond)
			continue
		case late(a, no):
			f.late.Add(1)
			return false
		}
		t.problem("%+v was refused after %d tries: %d %s", a, sent, r.status, r.body)
		return false
	}
	return false
}

// early reports whether a review does not wait for an act yet, as an edition of its report
// is being made, or nobody knows.
func (f *reviews) early(t *traffic, a reviewing.Act) bool {
	var v readiness.Review
	if !f.read(t, "/prr/"+a.ID, &v) {
		return true
	}
	if a.Kind == reviewing.Vote {
		return v.Status == readiness.ReviewVoting
	}
	return v.Status == readiness.ReviewConditional && slices.ContainsFunc(v.Conditions, func(c *readiness.Condition) bool {
		return c.ConditionID == a.Condition && c.Status == readiness.ConditionOpen
	})
}

// late reports whether an act may be refused so by what others did before, or by what the
// same request did whose answer was lost.
func late(a reviewing.Act, no reviewing.Refusal) bool {
	switch a.Kind {
	case reviewing.Vote:
		return no.Rule == "votes-open" || no.Field == "topic" || no.Rule == "decided-already" && a.Contested
	case reviewing.Close:
		return no.Rule == "condition-open" || no.Field == "topic"
	}
	return no.Rule == "release-state" || no.Rule == "release-two-people"
}

func (f *reviews) acknowledge(a reviewing.Act) {
	a.Proof = readiness.Proof{}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done = append(f.done, a)
}

// sign fetches what is to be signed, and signs it.
func (f *reviews) sign(ctx context.Context, t *traffic, a *reviewing.Act) bool {
	ask := *a
	ask.Propose = true
	body, err := json.Marshal(ask)
	if err != nil {
		t.problem("%v", err)
		return false
	}
	for ctx.Err() == nil {
		r, err := t.k.send(rand.IntN(len(t.k.c.nodes)), http.MethodPost, "/act", message{body: body})
		var p readiness.Proposal
		var no reviewing.Refusal
		switch {
		case err != nil || r.status >= 500:
			pause(ctx, time.Duration(10+rand.IntN(40))*time.Millisecond)
			continue
		case r.status == http.StatusOK && json.Unmarshal(r.body, &p) == nil && p.Statement != "":
			a.Statement, a.Signature = p.Statement, reviewing.Sign(a.Who, p.Namespace, p.Statement)
			return true
		case json.Unmarshal(r.body, &no) == nil && late(*a, no):
			f.late.Add(1)
			return false
		}
		t.problem("nothing was proposed for %+v: %d %s", ask, r.status, r.body)
		return false
	}
	return false
}

// meet closes all conditions, each by two people at once.
func (f *reviews) meet(ctx context.Context, t *traffic, v freezing.Version, r *readiness.Review) {
	var all sync.WaitGroup
	for i, c := range r.Conditions {
		for j, who := range []string{reviewing.Quality, reviewing.Other} {
			all.Go(func() {
				pause(ctx, rand.N(200*time.Millisecond))
				f.act(ctx, t, reviewing.Act{Kind: reviewing.Close, Who: who, ID: reviewing.PRR(v), Condition: c.ConditionID, Evidence: []string{f.evidence[v.Model()]}}, j == 0 && i%2 == 0)
			})
		}
	}
	all.Wait()
}

// release takes the release that a review has prepared to where its plan wants it.
func (f *reviews) release(ctx context.Context, t *traffic, v freezing.Version, p plan) {
	id := reviewing.Release(v)
	do := func(kind, who string, signed bool) {
		f.act(ctx, t, reviewing.Act{Kind: kind, Who: who, ID: id}, signed)
	}
	do(reviewing.Scope, reviewing.Releaser, false)
	do(reviewing.Ask, reviewing.Releaser, false)
	var all sync.WaitGroup
	for i, who := range append(slices.Clone(p.approves), reviewing.Other) { // two of one role
		kind := reviewing.Approve
		if p.release == "reject" && who == reviewing.Quality {
			kind = reviewing.Reject
		}
		all.Go(func() {
			pause(ctx, rand.N(200*time.Millisecond))
			do(kind, who, who != reviewing.Other && (int(v)+i)%2 == 0)
		})
	}
	switch p.release {
	case "race":
		all.Go(func() { pause(ctx, rand.N(400*time.Millisecond)); do(reviewing.Revoke, reviewing.Stopper, false) })
	case "revoke":
		all.Wait()
		do(reviewing.Revoke, reviewing.Stopper, false)
	}
	all.Wait()
}

// harm kills nodes at random moments, one time in four all of them, and starts them again;
// one time in ten it kills them once more while they start.
func (f *reviews) harm(ctx context.Context, c *cluster) error {
	for i := range f.kills {
		f.give((i + 1) * f.versions / f.kills)
		f.moment(ctx, i)
		victims := c.nodes
		if len(victims) > 1 && rand.IntN(4) > 0 {
			n := rand.IntN(len(victims))
			victims = victims[n : n+1]
		}
		for _, p := range victims {
			if !p.kill() {
				return fmt.Errorf("node %d ended by itself: %s", p.number, p.output())
			}
		}
		if err := f.look(ctx, c); err != nil {
			return err
		}
		for _, p := range victims {
			if rand.IntN(10) == 0 {
				if _, err := p.launch(); err != nil {
					return err
				}
				pause(ctx, time.Duration(rand.IntN(150))*time.Millisecond)
				p.kill()
			}
			starting, cancel := context.WithTimeout(ctx, 3*time.Minute)
			err := p.start(starting)
			cancel()
			if err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// sleep stops nodes until others have taken their work, and wakes them.
func (f *reviews) sleep(ctx context.Context, c *cluster) error {
	for i := range f.kills {
		f.give((i + 1) * f.versions / f.kills)
		f.moment(ctx, i)
		p := c.nodes[i%len(c.nodes)]
		if err := p.nap(ctx, func() error { return f.look(ctx, c) }); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// moment waits for the time to kill: while submissions and first editions of reports are
// being made, or some time later.
func (f *reviews) moment(ctx context.Context, i int) {
	most := 120 * time.Millisecond
	if i%2 == 1 {
		most = 900 * time.Millisecond
	}
	pause(ctx, rand.N(most))
}

// give lets the clients begin with versions, up to a number.
func (f *reviews) give(upTo int) {
	for ; f.given < upTo; f.given++ {
		f.begin <- freezing.Version(f.given)
	}
}

// look counts what a kill has met.
func (f *reviews) look(ctx context.Context, c *cluster) error {
	d, err := db.Open(ctx, db.Options{URL: c.url})
	if err != nil {
		return err
	}
	defer d.Close()
	var n meetings
	if err := d.QueryRow(ctx, `SELECT (SELECT count(*) FROM reviews WHERE status='PREPARING'), (SELECT count(*) FROM reviews WHERE status='VOTING'),
 (SELECT count(*) FROM reviews WHERE status='CONDITIONAL'), (SELECT count(*) FROM executions WHERE hook_id=$1 AND status='RUNNING'),
 (SELECT count(*) FROM release_authorizations WHERE status IN ('DRAFT','REQUESTED'))`, reviewing.Hook).
		Scan(&n.Preparing, &n.Voting, &n.Conditional, &n.Running, &n.Releases); err != nil {
		return err
	}
	f.met.Preparing, f.met.Voting, f.met.Conditional = f.met.Preparing+n.Preparing, f.met.Voting+n.Voting, f.met.Conditional+n.Conditional
	f.met.Running, f.met.Releases = f.met.Running+n.Running, f.met.Releases+n.Releases
	return nil
}
