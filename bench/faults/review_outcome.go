package faults

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"caos/bench/faults/freezing"
	"caos/bench/faults/reviewing"
	"caos/internal/readiness"
	"caos/internal/registry"
	"caos/internal/verify"
)

// version looks at the review of one version, and at what came of it.
func (x *audit) version(ctx context.Context, v freezing.Version) error {
	ids, err := column(ctx, x.DB, `SELECT prr_id FROM reviews WHERE model_id=$1 AND version=$2`, v.Model(), v.Number())
	if err != nil {
		return err
	}
	if x.count(v, "reviews", len(ids), 1); len(ids) == 0 {
		return nil
	}
	r, err := x.Readiness.Review(ctx, reviewing.PRR(v))
	if err != nil {
		return err
	}
	run := x.runs[r.ExecutionID]
	outcome, complete := x.carried(v, r)
	switch {
	case run.status == "CANCELLED" && planOf(v).cancel && r.Status == readiness.ReviewCancelled && r.Decision == "":
		x.v.Reviews.Cancelled++
		outcome = ""
	case !complete:
		x.wrong(v, "it is %s with %q, and nothing was decided: %s", r.Status, r.Decision, x.words(r))
		return nil
	case run.status == "CANCELLED" && !planOf(v).cancel:
		x.wrong(v, "nobody cancelled it")
	}
	ready := run.status == "SUCCEEDED" && outcome != "" && outcome != "REJECTED"
	state, err := x.Registry.Version(ctx, v.Model(), v.Number())
	if err != nil {
		return err
	}
	if run.status == "CANCELLED" && outcome != "" { // after the decision, which stands
		ready = state.State == registry.ProductionReady
	}
	if want := map[bool]registry.State{true: registry.ProductionReady, false: registry.Frozen}[ready]; state.State != want {
		x.wrong(v, "%s, and the version is %s, not %s: %s", r.Status, state.State, want, x.words(r))
	}
	if outcome != "" {
		x.decided(v, r, outcome, ready)
	}
	if err := x.conditions(ctx, v, r, outcome, ready); err != nil {
		return err
	}
	if err := x.editions(ctx, v, r, outcome, ready); err != nil {
		return err
	}
	return x.release(ctx, v, ready, run.status == "SUCCEEDED")
}

// words are the votes of a review, for a problem.
func (x *audit) words(r *readiness.Review) string {
	var out []string
	for _, d := range x.about(r.PRRID) {
		out = append(out, d.person+" "+d.outcome+" "+d.roles)
	}
	return strings.Join(out, ", ") + " of " + strings.Join(r.Members, ", ")
}

// carried says what the votes on a review come to, and whether they come to anything that
// ends it: one rejection does, and so do the votes of all members with that of a Chief
// Engineer. It also holds that votes and decisions are the same.
func (x *audit) carried(v freezing.Version, r *readiness.Review) (outcome string, complete bool) {
	votes := x.about(r.PRRID)
	x.v.Reviews.Votes += len(votes)
	x.count(v, "votes", len(r.Votes), len(votes))
	members, chief, worst := map[string]bool{}, false, 0
	ranks := []string{"APPROVED", "CONDITIONAL", "REJECTED"}
	for _, d := range votes {
		if d.proof == verify.ProofSSH {
			x.v.Reviews.Signed++
		}
		if members[d.person] = true; !slices.Contains(r.Members, d.person) {
			delete(members, d.person)
		}
		chief = chief || strings.Contains(d.roles, `"chief-engineer"`)
		worst = max(worst, slices.Index(ranks, d.outcome))
		want, planned := planOf(v).votes[d.person], planOf(v).twice == d.person
		if d.outcome != want && !planned || want == "" {
			x.v.Strange++
			x.wrong(v, "%s never voted %s", d.person, d.outcome)
		}
		if i := slices.IndexFunc(r.Votes, func(one *readiness.Vote) bool {
			return one.DecisionID == d.id && one.Outcome == d.outcome && one.Person == d.person
		}); i < 0 {
			x.v.Missing++
			x.wrong(v, "the decision %s of %s is no vote", d.id, d.person)
		}
	}
	return ranks[worst], ranks[worst] == "REJECTED" || chief && len(members) == len(r.Members)
}

// decided holds that a review says what its votes came to, once, also in the log.
func (x *audit) decided(v freezing.Version, r *readiness.Review, outcome string, ready bool) {
	want := readiness.ReviewDecided
	final := outcome
	switch {
	case outcome == "CONDITIONAL" && ready:
		final = "APPROVED"
	case outcome == "CONDITIONAL": // cancelled meanwhile
		want = readiness.ReviewCancelled
	}
	if r.Status != want || r.BoardDecision != outcome || r.Decision != final || r.Best != "APPROVED" {
		x.wrong(v, "it is %s, decided %s, by the board %s, at best %s; its votes come to %s: %s", r.Status, r.Decision, r.BoardDecision, r.Best, outcome, x.words(r))
	}
	switch final {
	case "APPROVED":
		x.v.Reviews.Approved++
	case "REJECTED":
		x.v.Reviews.Rejected++
	}
	sums := x.sums[verify.OutcomeOfReview+" "+r.PRRID]
	x.count(v, "records of the outcome", len(sums), 1)
	for _, s := range sums {
		if s.Details.Outcome != outcome || len(s.Details.Votes) != len(r.Votes) {
			x.wrong(v, "the log says that %d votes came to %s, not %d to %s", len(s.Details.Votes), s.Details.Outcome, len(r.Votes), outcome)
		}
	}
	closed := 0
	if outcome == "CONDITIONAL" && ready {
		closed = 1
	}
	x.count(v, "records of the closing", len(x.sums[verify.OutcomeOfConditions+" "+r.PRRID]), closed)
}

// conditions holds that each condition that a vote asked for is there once, and closed once.
func (x *audit) conditions(ctx context.Context, v freezing.Version, r *readiness.Review, outcome string, ready bool) error {
	want := map[string]bool{}
	if outcome == "CONDITIONAL" {
		for _, vote := range r.Votes {
			for _, c := range vote.Conditions {
				want[c.Text] = true
			}
		}
	}
	x.count(v, "conditions", len(r.Conditions), len(want))
	for _, c := range r.Conditions {
		if !want[c.Text] {
			x.wrong(v, "nobody asked for %s", c.Text)
		}
		delete(want, c.Text)
		list := x.about(c.ConditionID)
		if !ready && len(list) == 0 {
			continue // cancelled before
		}
		x.v.Reviews.Conditions++
		x.count(v, "decisions that close a condition", len(list), 1)
		if len(list) == 1 && (c.Status != readiness.ConditionClosed || c.DecisionID != list[0].id || c.ClosedBy != list[0].person || c.ClosedBy == c.Owner || len(c.Evidence) != 1) {
			x.wrong(v, "%s is %+v", c.ConditionID, c)
		}
	}
	var n int
	if err := x.DB.QueryRow(ctx, `SELECT count(*) FROM events WHERE type='caos.condition.closed' AND envelope LIKE $1`, "%\""+r.PRRID+"\"%").Scan(&n); err != nil {
		return err
	}
	if ready {
		x.count(v, "events of closings", n, len(r.Conditions))
	}
	return nil
}

// editions holds that each edition of the report is registered once, under one id, with the
// bytes that the review names.
func (x *audit) editions(ctx context.Context, v freezing.Version, r *readiness.Review, outcome string, ready bool) error {
	want := []string{}
	if r.ReportID != "" {
		want = append(want, "1.0")
	}
	if outcome != "" {
		want = append(want, "2.0")
	}
	if outcome == "CONDITIONAL" && ready {
		want = append(want, "3.0")
	}
	docs, err := column(ctx, x.DB, `SELECT document_id||' '||version||' '||digest FROM documents WHERE model_id=$1 AND model_version=$2 AND kind='prr-report' ORDER BY document_id, seq`, v.Model(), v.Number())
	if err != nil {
		return err
	}
	there := []string{}
	for _, e := range r.Editions {
		there = append(there, e.Version)
		line := e.ReportID + " " + e.Version + " " + e.Digest
		if !slices.Contains(docs, line) || e.ReportID != r.ReportID {
			x.wrong(v, "the edition %s is not registered, only %v", line, docs)
		}
		for _, digest := range []string{e.Digest, e.PDFDigest, e.FactsDigest} {
			raw, err := x.Read(digest)
			if err != nil || verify.StatementHash(raw) != digest {
				x.wrong(v, "the bytes %s of the edition %s are not there: %v", digest, e.Version, err)
			}
		}
	}
	x.v.Reviews.Editions += len(docs)
	x.count(v, "editions of the report", len(docs), len(there))
	// An execution that was cancelled may not have come to its next edition.
	if run := x.runs[r.ExecutionID]; run.status == "CANCELLED" && len(there) <= len(want) {
		want = want[:len(there)]
	}
	if !slices.Equal(there, want) {
		x.wrong(v, "its report has the editions %v, not %v", there, want)
	}
	return nil
}

// release holds that the release of a version is what was decided about it.
func (x *audit) release(ctx context.Context, v freezing.Version, ready, whole bool) error {
	ids, err := column(ctx, x.DB, `SELECT authorization_id FROM release_authorizations WHERE model_id=$1 AND version=$2`, v.Model(), v.Number())
	if err != nil {
		return err
	}
	want := map[bool]int{true: 1}[ready]
	if ready && !whole {
		want = len(ids) // cancelled before or after it was opened
	}
	if x.count(v, "release authorisations", len(ids), min(want, 1)); len(ids) == 0 {
		return nil
	}
	a, err := x.Readiness.Authorization(ctx, reviewing.Release(v))
	if err != nil {
		return err
	}
	roles, people, rejected, revoked := map[string]int{}, map[string]int{}, false, false
	for _, d := range x.about(a.AuthorizationID) {
		switch d.outcome {
		case "APPROVED":
			roles[d.role]++
			people[d.person]++
		case "REJECTED":
			rejected = true
		case "REVOKED":
			revoked = true
		}
	}
	for what, n := range roles {
		if n > 1 {
			x.v.Doubled += n - 1
			x.wrong(v, "the release was approved %d times as %s", n, what)
		}
	}
	full := roles["chief-engineer"] == 1 && roles["qa-lead"] == 1 && len(people) == 2
	status := readiness.AuthorizationRequested
	switch {
	case revoked:
		status = readiness.AuthorizationRevoked
		x.v.Reviews.Revoked++
	case rejected:
		status = readiness.AuthorizationRejected
		x.v.Reviews.NotReleased++
	case full:
		status = readiness.AuthorizationAuthorised
		x.v.Reviews.Released++
	case !whole:
		status = a.Status
	}
	if a.Status != status || rejected && full {
		x.wrong(v, "its release is %s, and what was decided comes to %s: %+v", a.Status, status, x.about(a.AuthorizationID))
	}
	if how := planOf(v).release; whole && (status == readiness.AuthorizationRequested || revoked && how != "race" && how != "revoke" || !revoked && (how == "race" || how == "revoke")) {
		x.wrong(v, "its release is %s, though it was to %s", status, how)
	}
	sums := x.sums[verify.OutcomeOfRelease+" "+a.AuthorizationID]
	x.count(v, "records of the release", len(sums), map[bool]int{true: 1}[full || rejected])
	for _, s := range sums {
		if outcome := map[bool]string{true: "REJECTED", false: "AUTHORISED"}[rejected]; s.Details.Outcome != outcome || s.typ != "AUTHORISATION" {
			x.wrong(v, "the log says that the release is %s in a record of type %s, not %s", s.Details.Outcome, s.typ, outcome)
		}
	}
	return nil
}

// totals counts what must not be there more often than the reviews know of.
func (x *audit) totals(ctx context.Context) error {
	for _, c := range []struct{ what, sql string }{
		{"votes of nobody's review", `SELECT count(*) FROM review_votes v WHERE NOT EXISTS (SELECT 1 FROM decisions d WHERE d.decision_id=v.decision_id AND d.person=v.person AND d.subject=v.prr_id)`},
		{"reviews that were announced more or less than once", `SELECT (SELECT count(*) FROM reviews) - (SELECT count(*) FROM events WHERE type='caos.review.opened')`},
		{"reports of no review", `SELECT count(*) FROM documents d WHERE d.kind='prr-report' AND NOT EXISTS (SELECT 1 FROM reviews r WHERE r.report_id=d.document_id)`},
		{"reports with one id", `SELECT count(*)-count(DISTINCT report_id) FROM reviews WHERE report_id<>''`},
		{"review documents without an object", `SELECT count(*) FROM documents d WHERE d.kind='prr-report' AND NOT EXISTS (SELECT 1 FROM object_refs o WHERE o.owner=d.document_id||'@'||d.version AND o.kind='prr-report-pdf')`},
	} {
		var n int
		if err := x.DB.QueryRow(ctx, c.sql).Scan(&n); err != nil {
			return fmt.Errorf("%s: %w", c.what, err)
		}
		if n != 0 {
			x.v.Strange++
			x.v.problem("%d %s", n, c.what)
		}
	}
	return nil
}
