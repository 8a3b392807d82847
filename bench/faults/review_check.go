package faults

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"caos/bench/faults/freezing"
	"caos/bench/faults/reviewing"
	"caos/internal/db"
	"caos/internal/evidence"
	"caos/internal/readiness"
	"caos/internal/registry"
	"caos/internal/verify"
)

// reviewedCount is what a campaign of reviews counts besides.
type reviewedCount struct {
	Versions, Approved, Rejected, Cancelled int
	Votes, Signed                           int
	Conditions                              int
	Released, Revoked, NotReleased          int
	Editions                                int
	Refused, Late, Again                    int // second reviews; acts that came too late or second; acts whose repetition was told that they were done
	Met                                     meetings
	Packages                                int // that caos-verify found nothing wrong with
}

func (n reviewedCount) String() string {
	return fmt.Sprintf("%d reviews: %d approved, %d rejected, %d cancelled; %d votes, %d signed; %d conditions closed; %d editions; %d releases authorised, %d revoked, %d rejected; "+
		"%d second requests refused, %d acts late, %d repeated and done before; kills met %d preparing, %d voting, %d conditional, %d at work, %d releases open; %d packages verify",
		n.Versions, n.Approved, n.Rejected, n.Cancelled, n.Votes, n.Signed, n.Conditions, n.Editions, n.Released, n.Revoked, n.NotReleased, n.Refused, n.Late, n.Again,
		n.Met.Preparing, n.Met.Voting, n.Met.Conditional, n.Met.Running, n.Met.Releases, n.Packages)
}

// check looks at what a campaign of reviews left, after all nodes have ended.
func (f *reviews) check(ctx context.Context, c *cluster, t *traffic, w *witness, v *verdict) error {
	v.Reviews = reviewedCount{Versions: f.versions, Refused: int(f.refused.Load()), Late: int(f.late.Load()), Again: int(f.again.Load()), Met: f.met}
	d, err := db.Open(ctx, db.Options{URL: c.url})
	if err != nil {
		return err
	}
	err = checkLog(ctx, c, d, w, v)
	if err = errors.Join(err, d.Close()); err != nil {
		return err
	}
	desk, err := freezing.OpenAlone(ctx, c.url, c.dir)
	if err != nil {
		return err
	}
	defer desk.Close()
	board, err := reviewing.Open(desk)
	if err != nil {
		return err
	}
	x := &audit{Desk: board, f: f, t: t, v: v, records: map[string]decided{}, dir: c.dir}
	if err := x.all(ctx); err != nil {
		return err
	}
	v.Problems = append(v.Problems, t.problems...)
	return nil
}

// audit compares reviews, votes, decisions, reports, releases, versions and the log. What
// the votes come to it works out by itself, from the rows.
type audit struct {
	*reviewing.Desk
	f       *reviews
	t       *traffic
	v       *verdict
	dir     string
	runs    map[string]frozenRun // executions by id
	records map[string]decided   // the DECISION records that prove a decision, by its id
	sums    map[string][]decided // the records of outcomes, by kind and subject
	rows    []decision
}

// decided is what a record says of a decision, or of what decisions came to.
type decided struct {
	seq     int64
	id, typ string
	Details struct {
		OutcomeOf     string `json:"outcome_of"`
		Subject       string `json:"subject"`
		Outcome       string `json:"outcome"`
		DecisionID    string `json:"decision_id"`
		StatementHash string `json:"statement_hash"`
		Person        string `json:"person"`
		Votes         []struct {
			Record, Person, Outcome string
		} `json:"votes"`
	} `json:"details"`
}

// decision is a row of decisions.
type decision struct {
	id, act, what, subject, digest, outcome, person, role, roles, proof, key, statement, signature, record string
}

func (x *audit) all(ctx context.Context) error {
	if err := x.readRuns(ctx); err != nil {
		return err
	}
	if err := x.readRecords(ctx); err != nil {
		return err
	}
	if err := x.readDecisions(ctx); err != nil {
		return err
	}
	x.checkDecisions()
	x.checkActs()
	for i := range x.f.versions {
		if err := x.version(ctx, freezing.Version(i)); err != nil {
			return err
		}
	}
	if err := x.totals(ctx); err != nil {
		return err
	}
	return x.packages(ctx)
}

func (x *audit) readRuns(ctx context.Context) error {
	x.runs = map[string]frozenRun{}
	rows, err := x.DB.Query(ctx, `SELECT execution_id, hook_id, status, idem_key, COALESCE(parent,''), input, COALESCE(error,''), steps FROM executions WHERE hook_id=$1`, reviewing.Hook)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r frozenRun
		if err := rows.Scan(&r.id, &r.hook, &r.status, &r.idem, &r.parent, &r.input, &r.findings, &r.steps); err != nil {
			return err
		}
		x.runs[r.id] = r
	}
	x.v.Acked, x.v.Executions = len(x.t.acks)+len(x.f.done), len(x.runs)
	told := map[string]bool{}
	for key, a := range x.t.acks {
		told[a.id] = true
		if r, ok := x.runs[a.id]; !ok || r.idem != reviewing.Requester+"/"+reviewing.Hook+"/"+key {
			x.v.Lost++
			x.v.problem("%s was acknowledged as %s, which is not there", key, a.id)
		}
	}
	for _, r := range x.runs {
		switch r.status {
		case "SUCCEEDED", "CANCELLED":
		case "FAILED":
			x.v.Failed++
			x.v.problem("the review %s has FAILED: %s", r.id, r.findings)
		default:
			x.v.Unfinished++
			x.v.problem("execution %s of %s is still %s", r.id, r.hook, r.status)
		}
		if !told[r.id] {
			x.v.Strange++
			x.v.problem("nobody was told of the execution %s", r.id)
		}
	}
	return rows.Err()
}

// readRecords reads what the log says of decisions.
func (x *audit) readRecords(ctx context.Context) error {
	x.sums = map[string][]decided{}
	rows, err := x.DB.Query(ctx, `SELECT seq, id, type, record FROM audit_records WHERE type IN ('DECISION','AUTHORISATION') ORDER BY seq`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r decided
		var text string
		if err := rows.Scan(&r.seq, &r.id, &r.typ, &text); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			continue // details of another shape
		}
		switch d := r.Details; {
		case d.OutcomeOf != "":
			key := d.OutcomeOf + " " + d.Subject
			x.sums[key] = append(x.sums[key], r)
		case d.DecisionID != "":
			if other, ok := x.records[d.DecisionID]; ok {
				x.v.Doubled++
				x.v.problem("the decision %s has the records %s and %s", d.DecisionID, other.id, r.id)
			}
			x.records[d.DecisionID] = r
		}
	}
	return rows.Err()
}

func (x *audit) readDecisions(ctx context.Context) error {
	rows, err := x.DB.Query(ctx, `SELECT decision_id, act, what, subject, digest, outcome, person, role, roles, proof, key_id, statement, signature, record_id FROM decisions ORDER BY decided_at, decision_id`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var d decision
		if err := rows.Scan(&d.id, &d.act, &d.what, &d.subject, &d.digest, &d.outcome, &d.person, &d.role, &d.roles, &d.proof, &d.key, &d.statement, &d.signature, &d.record); err != nil {
			return err
		}
		x.rows = append(x.rows, d)
	}
	return rows.Err()
}

// checkDecisions holds that each decision is one row, one record and one statement, and
// proven.
func (x *audit) checkDecisions() {
	statements, once := map[string]string{}, map[string]string{}
	for _, d := range x.rows {
		r, ok := x.records[d.id]
		if !ok || r.id != d.record || r.Details.StatementHash != verify.StatementHash([]byte(d.statement)) || r.Details.Person != d.person || r.Details.Outcome != d.outcome {
			x.v.Missing++
			x.v.problem("the decision %s of %s (%s) has no record that fits: %+v", d.id, d.person, d.what, r)
		}
		delete(x.records, d.id)
		if other := statements[d.statement]; other != "" {
			x.v.Doubled++
			x.v.problem("%s and %s have one statement", other, d.id)
		}
		if other := once[d.act+" "+d.person]; other != "" {
			x.v.Doubled++
			x.v.problem("%s decided %s in %s and in %s", d.person, d.act, other, d.id)
		}
		statements[d.statement], once[d.act+" "+d.person] = d.id, d.id
		s, err := verify.ParseDecision([]byte(d.statement))
		if err != nil || s.Person != d.person || s.What != d.what || s.Digest != d.digest {
			x.v.problem("the statement of %s does not say what was decided: %+v %v", d.id, s, err)
		}
		if d.proof == verify.ProofServer {
			continue
		}
		key, err := verify.VerifySSHSig([]byte(d.signature), []byte(d.statement), verify.DecisionNamespace)
		if err != nil || key.String() != reviewing.PublicKey(d.person) {
			x.v.problem("the signature of %s is not by %s: %v", d.id, d.person, err)
		}
	}
	for id, r := range x.records {
		x.v.Strange++
		x.v.problem("the log has the decision %s in %s, which is not there", id, r.id)
	}
}

// checkActs holds that nothing that was acknowledged is lost.
func (x *audit) checkActs() {
	for _, a := range x.f.done {
		subject, outcome := a.ID, a.Outcome
		switch a.Kind {
		case reviewing.Scope, reviewing.Ask:
			continue // seen in the release
		case reviewing.Close:
			subject, outcome = a.Condition, "CLOSED"
		case reviewing.Approve:
			outcome = "APPROVED"
		case reviewing.Reject:
			outcome = "REJECTED"
		case reviewing.Revoke:
			outcome = "REVOKED"
		}
		if !slices.ContainsFunc(x.rows, func(d decision) bool { return d.subject == subject && d.person == a.Who && d.outcome == outcome }) {
			x.v.Lost++
			x.v.problem("that %s decided %s about %s was acknowledged and is not there", a.Who, outcome, subject)
		}
	}
}

// about returns the decisions on a subject, in order.
func (x *audit) about(subject string) (out []decision) {
	for _, d := range x.rows {
		if d.subject == subject {
			out = append(out, d)
		}
	}
	return out
}

func (x *audit) wrong(v freezing.Version, format string, args ...any) {
	x.v.problem("%s", reviewing.PRR(v)+": "+fmt.Sprintf(format, args...))
}

func (x *audit) count(v freezing.Version, what string, n, want int) {
	switch {
	case n > want:
		x.v.Doubled += n - want
	case n < want:
		x.v.Missing += want - n
	default:
		return
	}
	x.wrong(v, "%d %s, not %d", n, what, want)
}

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
		x.count(v, "decisions that close "+c.ConditionID, len(list), 1)
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

// packages exports what there is of each model to the authority, and lets caos-verify
// compute every outcome again.
func (x *audit) packages(ctx context.Context) error {
	trust, err := x.Log.Trust(ctx)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(trust)
	if err != nil {
		return err
	}
	file, exported := filepath.Join(x.dir, "trust.json"), filepath.Join(x.dir, "package.tar")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		return err
	}
	last := ""
	for i := range x.f.versions {
		id := reviewing.Package(freezing.Version(i))
		if id == last {
			continue
		}
		last = id
		w, err := os.Create(exported)
		if err != nil {
			return err
		}
		if err := errors.Join(x.Evidence.Export(ctx, id, evidence.Authority, nil, w), w.Close()); err != nil {
			x.v.problem("export of %s: %v", id, err)
			continue
		}
		var said, failed bytes.Buffer
		if code := verify.Main([]string{"--trust", file, exported}, &said, &failed, false); code != verify.ExitOK {
			x.v.problem("the package %s does not verify (%d): %s", id, code, cmp.Or(failed.String(), said.String()))
			continue
		}
		n, err := decisionsIn(exported)
		if err != nil {
			return err
		}
		if of, err := column(ctx, x.DB, `SELECT decision_id FROM decisions WHERE model_id=$1`, freezing.Version(i).Model()); err != nil || n != len(of) {
			x.v.problem("the package %s has %d decisions of %d (%v)", id, n, len(of), err)
		}
		x.v.Reviews.Packages++
	}
	return nil
}

// decisionsIn counts the decisions in a package.
func decisionsIn(file string) (n int, err error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if strings.Contains(h.Name, "decisions/") && strings.HasSuffix(h.Name, ".json") {
			n++
		}
	}
}
