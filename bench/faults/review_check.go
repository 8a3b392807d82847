package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"caos/bench/faults/freezing"
	"caos/bench/faults/reviewing"
	"caos/internal/db"
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
	x.v.problem("%s: "+format, append([]any{reviewing.PRR(v)}, args...)...)
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
	x.wrong(v, "%d "+what+", not %d", n, want)
}
