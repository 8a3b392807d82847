package faults

import (
	"context"
	"fmt"

	"caos/bench/faults/chaining"
	"caos/internal/db"
)

// sentCount is what a campaign of the chain counts.
type sentCount struct {
	Asked    int // productions
	Mined    int // transactions on the chain at the end
	Attempts int // versions that were signed
	Reorgs   int
	Removed  int // transactions that the chain had and forgot
}

func (n sentCount) String() string {
	return fmt.Sprintf("%d productions, %d transactions mined, %d versions signed; %d reorganisations of 3 blocks, %d transactions forgotten by the chain", n.Asked, n.Mined, n.Attempts, n.Reorgs, n.Removed)
}

// check looks at what a campaign of the chain left: at the chain itself, which knows nothing
// of CAOS, and at the database, after all nodes have ended.
func (f *sends) check(ctx context.Context, c *cluster, t *traffic, w *witness, v *verdict) error {
	v.Sends = sentCount{Asked: f.count, Reorgs: int(f.reorgs.Load()), Removed: int(f.removed.Load())}
	d, err := db.Open(ctx, db.Options{URL: c.url})
	if err != nil {
		return err
	}
	err = checkLog(ctx, c, d, w, v)
	if err == nil {
		err = f.checkRuns(ctx, d, t, v)
	}
	if d.Close() != nil || err != nil {
		return err
	}
	direct := f.net
	direct.URL = f.chain.URL
	seen, err := chaining.Recorded(ctx, direct)
	if err != nil {
		return err
	}
	v.Sends.Mined = seen.Sent
	for i := range f.count {
		switch n := seen.Productions[chaining.Content(i)]; {
		case n == 0:
			v.Missing++
			v.problem("production %d is not on the chain", i)
		case n > 1:
			v.Doubled += n - 1
			v.problem("production %d is on the chain %d times", i, n)
		}
	}
	if n := len(seen.Productions) - f.count; n > 0 {
		v.Strange += n
		v.problem("%d productions are on the chain that nobody asked for", n)
	}
	if n := seen.Sent - f.count; n > 0 { // the contract takes a second one without a word: it must not come to that
		v.Doubled += n
		v.problem("%d transactions were mined for %d productions", seen.Sent, f.count)
	}
	if seen.Reverted > 0 {
		v.problem("%d transactions were reverted", seen.Reverted)
	}
	return f.checkRows(ctx, c, v, seen)
}

// checkRuns holds that all that was acknowledged is there, and nothing else, and succeeded.
func (f *sends) checkRuns(ctx context.Context, d *db.DB, t *traffic, v *verdict) error {
	rows, err := executions(ctx, d)
	if err != nil {
		return err
	}
	v.Executions, v.Acked = len(rows), len(t.acks)
	for key, a := range t.acks {
		if x, ok := rows[a.id]; !ok || x.idem != chaining.Requester+"/"+chaining.Hook+"/"+key {
			v.Lost++
			v.problem("%s was acknowledged as %s, which is not there", key, a.id)
		}
	}
	if n := len(rows) - f.count; n > 0 {
		v.Doubled += n
		v.problem("%d productions made %d executions", f.count, len(rows))
	}
	for _, x := range rows {
		switch x.status {
		case "SUCCEEDED":
		case "FAILED", "CANCELLED":
			v.Failed++
			var why string
			if err := d.QueryRow(ctx, `SELECT COALESCE(error, '') FROM executions WHERE execution_id = $1`, x.id).Scan(&why); err != nil {
				return err
			}
			v.problem("execution %s is %s: %s", x.id, x.status, why)
		default:
			v.Unfinished++
			v.problem("execution %s is still %s", x.id, x.status)
		}
	}
	v.Problems = append(v.Problems, t.problems...)
	return nil
}

// checkRows compares what CAOS says of its transactions with the chain.
func (f *sends) checkRows(ctx context.Context, c *cluster, v *verdict, seen *chaining.Evidence) error {
	desk, err := chaining.OpenAlone(ctx, c.url, c.dir)
	if err != nil {
		return err
	}
	defer desk.Close()
	rows, err := desk.DB.Query(ctx, `SELECT transaction_id, execution_id, status, hash, attempts FROM chain_transactions`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id, execution, status, hash string
		var attempts int
		if err := rows.Scan(&id, &execution, &status, &hash, &attempts); err != nil {
			return err
		}
		v.Sends.Attempts += attempts
		if execution == "" {
			v.Strange++
			v.problem("%s only fills a gap between nonces", id)
			continue
		}
		if status != "CONFIRMED" {
			v.problem("%s is %s", id, status)
		}
		if !seen.Has(hash) {
			v.problem("%s is said to be %s, which is not on the chain", id, hash)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if err := desk.Gapless(ctx); err != nil {
		v.problem("%v", err)
	}
	return nil
}
