package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"caos"
	"caos/internal/db"
)

// RiverOptions make an engine one of many nodes on one PostgreSQL database. Options.Node
// must be the name that ClaimNode gave, and Options.Stamps be made for its slot.
type RiverOptions struct {
	URL  string // PostgreSQL URL of Options.DB; River has a few connections of its own
	Lost func() // called once if this node was silent for so long that its place was given away: the process must end

	// For tests; zero means the constants of node.go.
	beat, dead time.Duration
	dial       pgconn.DialFunc
}

// riverQueue is the queue of many nodes. River's table river_job holds at most one live job
// for each execution; whoever has it in state running drives the execution:
//
//   - running, attempted by a node: that node goes on with it, told in memory. If the node
//     falls silent, others make the job available (rescue).
//   - available: the next node that polls gets it.
//   - scheduled: for a later moment. The node that wrote it has a timer and claims the job
//     when it fires; River's own scheduler, which looks every few seconds, is there for when
//     that node is gone.
//
// Jobs are written in the transaction of the commit that makes them necessary, as plain
// statements that share its round trip. A new job replaces the old one instead of changing
// it, because River completes a job some time after its work, by the job's number. Who claims
// a job or rescues it changes it, for whoever waits for the row has to find it, and gives it a
// new number.
type riverQueue struct {
	e    *Engine
	opt  RiverOptions
	node string

	pool   *pgxpool.Pool
	client *river.Client[pgx.Tx]
	timers *localQueue        // executions this node was told of, and those it is to claim later
	stop   context.CancelFunc // nil until started
	loops  sync.WaitGroup

	mu       sync.Mutex
	held     map[string]bool // executions whose job is running and ours as far as we know; false: it was, before we were silent
	promised map[string]bool // held, but not yet begun
	loose    map[string]bool // could not be given back
	beaten   time.Time       // last heartbeat that succeeded
	lost     bool            // our place is gone
}

// wakeKind and wakeQueue mark our jobs in River's table.
const (
	wakeKind  = "caos_wake"
	wakeQueue = "caos"
)

// riverSchema is the version of River's tables that the statements below were written for.
const riverSchema = 8

// liveJob selects the job of execution $1. The index river_job_caos_wake serves it and
// holds what it says: one live job for each execution.
const (
	isLive  = `kind='` + wakeKind + `' AND finalized_at IS NULL`
	liveJob = isLive + ` AND args->>'id'=$1`
	lastBy  = `attempted_by[array_upper(attempted_by,1)]`

	wakeIndex = `CREATE UNIQUE INDEX IF NOT EXISTS river_job_caos_wake ON river_job ((args->>'id')) WHERE ` + isLive
	onLive    = ` ON CONFLICT ((args->>'id')) WHERE ` + isLive + ` DO NOTHING`

	newJob     = `INSERT INTO river_job (kind, queue, max_attempts, args, `
	ourColumns = `'` + wakeKind + `', '` + wakeQueue + `', 32767, jsonb_build_object('id', $1::text), `
	dropJob    = `DELETE FROM river_job WHERE ` + liveJob
	runningJob = newJob + `state, attempt, attempted_at, attempted_by) VALUES (` + ourColumns + `'running', 1, now(), ARRAY[$2::text])` + onLive
	readyJob   = newJob + `state) VALUES (` + ourColumns + `'available')` + onLive
	laterJob   = newJob + `state, scheduled_at) VALUES (` + ourColumns + `'scheduled', now() + make_interval(secs => $2::float8))` + onLive
	dropOurJob = dropJob + ` AND state='running' AND ` + lastBy + `=$2`
	newNumber  = `id=nextval(pg_get_serial_sequence('river_job','id')), `
	claimJob   = `UPDATE river_job SET ` + newNumber + `state='running', attempt=LEAST(attempt+1, 32000), attempted_at=now(),
 attempted_by=CASE WHEN ` + lastBy + `=$2 THEN attempted_by ELSE array_append(attempted_by, $2::text) END
 WHERE ` + liveJob + ` AND (state<>'running' OR ` + lastBy + `=$2)`
	rescueJobs = `UPDATE river_job SET ` + newNumber + `state='available', scheduled_at=now() WHERE ` + isLive + ` AND state='running' AND queue='` + wakeQueue + `'
 AND NOT EXISTS (SELECT 1 FROM nodes n WHERE n.node=` + lastBy + ` AND n.seen > ` + serverNow + ` - $1)`
)

// wakeArgs are the arguments of a job.
type wakeArgs struct {
	ID string `json:"id"`
}

// Kind implements river.JobArgs.
func (wakeArgs) Kind() string { return wakeKind }

func newRiverQueue(e *Engine, opt RiverOptions) (*riverQueue, error) {
	if e.db.Dialect() != db.PostgreSQL {
		return nil, caos.Errorf(caos.Invalid, "many nodes need PostgreSQL").WithField("database").
			WithHint(`use "postgres://user@host:port/database", or a single node`)
	}
	if e.node == localNode {
		return nil, caos.Errorf(caos.Internal, "a node among many needs the name that ClaimNode gives")
	}
	if opt.beat == 0 {
		opt.beat, opt.dead = beatEvery, deadAfter
	}
	return &riverQueue{e: e, opt: opt, node: e.node, timers: newLocalQueue(e.now),
		held: map[string]bool{}, promised: map[string]bool{}, loose: map[string]bool{}}, nil
}

// delay is how long after the present a moment is, zero for a moment that has come.
func (q *riverQueue) delay(at time.Time) time.Duration { return max(at.Sub(q.e.now()), 0) }

// Wake implements queue. Moments are turned into delays, so that the database server's
// clock need not agree with ours.
func (q *riverQueue) Wake(tx *db.Tx, id string, at time.Time, running bool) {
	delay := q.delay(at)
	if !running {
		tx.Exec(dropJob, id)
	}
	switch {
	case running:
		tx.Exec(runningJob, id, q.node)
		tx.AfterCommit(func() { q.hold(id, false) })
	case delay > 0:
		tx.Exec(laterJob, id, delay.Seconds())
		tx.AfterCommit(func() { q.timers.Found(id, at) })
	case q.room():
		tx.Exec(runningJob, id, q.node)
		tx.AfterCommit(func() {
			q.hold(id, true)
			q.timers.Found(id, time.Time{})
		})
	default:
		tx.Exec(readyJob, id)
	}
}

// Done implements queue. Whatever job there is was made by a commit that the present one
// has seen, so no wake-up is lost with it.
func (q *riverQueue) Done(tx *db.Tx, id string) {
	tx.Exec(dropJob, id)
	tx.AfterCommit(func() { q.letGo(id) })
}

// Found implements queue. The job is claimed when the moment has come.
func (q *riverQueue) Found(id string, at time.Time) { q.timers.Found(id, at) }

// room reports whether this node can begin one more execution right away.
func (q *riverQueue) room() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.e.slots)+len(q.promised) < cap(q.e.slots) && q.freshLocked()
}

func (q *riverQueue) hold(id string, promised bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held[id] = true
	if promised {
		q.promised[id] = true
	}
}

func (q *riverQueue) letGo(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.held, id)
}

// freshLocked reports whether the other nodes still take this one for alive. The caller
// holds mu.
func (q *riverQueue) freshLocked() bool {
	return !q.lost && time.Since(q.beaten) < q.opt.dead-q.opt.beat/2
}

func (q *riverQueue) fresh() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.freshLocked()
}

// Hold implements holder. What this node remembers is enough while the others can see that
// it lives; otherwise, or in doubt, the job itself says whose it is.
func (q *riverQueue) Hold(ctx context.Context, id string, doubt bool) (bool, error) {
	q.mu.Lock()
	delete(q.promised, id)
	sure, lost := q.held[id] && q.freshLocked() && !doubt, q.lost
	q.mu.Unlock()
	if sure || lost {
		return !lost, nil
	}
	var n int64
	err := q.e.db.Write(ctx, func(tx *db.Tx) (err error) {
		n, err = tx.ExecRows(claimJob, id, q.node)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("claim job of %s: %w", id, err)
	}
	if n == 0 {
		q.letGo(id)
		return false, nil
	}
	q.hold(id, false)
	return true, nil
}

// Release implements holder: it deletes a job of ours that no commit has deleted, and makes
// another one if something is left to do.
func (q *riverQueue) Release(id string, seen int64) {
	q.mu.Lock()
	_, held := q.held[id]
	delete(q.held, id)
	delete(q.promised, id)
	q.mu.Unlock()
	if !held {
		return
	}
	stopping := q.e.ctx.Err() != nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(q.e.ctx), 5*time.Second)
	defer cancel()
	err := q.e.db.Write(ctx, func(tx *db.Tx) error {
		tx.Exec(dropOurJob, id, q.node)
		// Something that is due, was seen and led to nothing is left to the sweep: looked at
		// again at once it would keep the nodes busy for nothing.
		tx.Exec(newJob+`state, scheduled_at) SELECT `+findColumns(`$2::bigint`)+` WHERE e.execution_id=$1
 AND (`+notDue(`$2::bigint`)+` OR e.status<>'WAITING' OR e.version<>$3 OR $4::int=1)`+onLive, id, q.e.now().UnixMicro(), seen, flag(stopping))
		return nil
	})
	if err != nil {
		q.e.logger.Warn("job not given back", "execution_id", id, "error", err)
		q.mu.Lock()
		q.loose[id] = true
		q.mu.Unlock()
	}
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// notDue is row.due in SQL, denied, with now in microseconds.
func notDue(now string) string {
	return `(e.wake_at > ` + now + ` AND e.wake_at > e.updated_at AND NOT (e.status='RUNNING' AND e.updated_at - ` + now + ` > 60000000))`
}

// findColumns selects from the executions what a job for each of them is made of.
func findColumns(now string) string {
	return `'` + wakeKind + `', '` + wakeQueue + `', 32767, jsonb_build_object('id', e.execution_id),
 (CASE WHEN ` + notDue(now) + ` THEN 'scheduled' ELSE 'available' END)::river_job_state,
 CASE WHEN ` + notDue(now) + ` THEN clock_timestamp() + make_interval(secs => (e.wake_at - ` + now + `)/1e6) ELSE clock_timestamp() END
 FROM (SELECT * FROM executions WHERE wake_at IS NOT NULL AND status NOT IN ('BLOCKED','SUCCEEDED','FAILED','CANCELLED')) e`
}

// sweep frees what was parked for a revision that this binary has, and makes a job for
// every execution that has something left to do and none. A job for later becomes one for
// now if the execution is due by this node's clock: its delay was reckoned by a clock that
// was wrong, or was set back just then. It changes nothing else: what has a job is driven
// by a living node, or will be rescued.
func (q *riverQueue) sweep(ctx context.Context) error {
	rows, err := q.e.db.Query(ctx, `SELECT execution_id, hook_id, revision FROM executions WHERE status='BLOCKED' AND finished_at IS NULL`)
	if err != nil {
		return err
	}
	defer rows.Close()
	var free []string
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.ID, &r.HookID, &r.Revision); err != nil {
			return err
		}
		if q.e.flowFor(&r) != nil {
			free = append(free, r.ID)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	rows.Close()
	for _, id := range free {
		if err := q.e.park(ctx, id, false); waits(caos.KindOf(err)) {
			q.e.logger.Warn("execution cannot be freed yet", "execution_id", id, "error", err)
		} else if err != nil {
			return err
		}
	}
	return q.e.db.Write(ctx, func(tx *db.Tx) error {
		tx.Exec(newJob+`state, scheduled_at) SELECT `+findColumns(`$1::bigint`)+`
 WHERE NOT EXISTS (SELECT 1 FROM river_job j WHERE j.kind='`+wakeKind+`' AND j.finalized_at IS NULL AND j.args->>'id'=e.execution_id)`+onLive,
			q.e.now().UnixMicro())
		tx.Exec(`UPDATE river_job j SET state='available', scheduled_at=clock_timestamp() FROM executions e
 WHERE j.kind='`+wakeKind+`' AND j.finalized_at IS NULL AND j.state='scheduled' AND j.args->>'id'=e.execution_id
 AND e.wake_at IS NOT NULL AND e.status NOT IN ('BLOCKED','SUCCEEDED','FAILED','CANCELLED') AND NOT `+notDue(`$1::bigint`),
			q.e.now().UnixMicro())
		return nil
	})
}

// Start implements starter: it brings River's tables up to date, takes a place among the
// nodes and begins to work.
func (q *riverQueue) Start(ctx context.Context, take func(string)) error {
	cfg, err := pgxpool.ParseConfig(q.opt.URL)
	if err != nil {
		return caos.Errorf(caos.Invalid, "malformed PostgreSQL address").WithField("database") // the driver's text may hold the password
	}
	cfg.MaxConns = 6
	// A server that vanished without a word must be noticed well before a node is given up.
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 5 * time.Second, Interval: 5 * time.Second, Count: 3,
	}}
	cfg.ConnConfig.DialFunc = dialer.DialContext
	if q.opt.dial != nil {
		cfg.ConnConfig.DialFunc = q.opt.dial
	}
	if q.pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return fmt.Errorf("connect queue: %w", err)
	}
	if err := q.begin(ctx, take); err != nil {
		q.pool.Close()
		return err
	}
	return nil
}

func (q *riverQueue) begin(ctx context.Context, take func(string)) error {
	if err := migrateRiver(ctx, q.pool); err != nil {
		return err
	}
	if err := q.register(ctx); err != nil {
		return err
	}
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, &wakeWorker{q: q}); err != nil {
		return fmt.Errorf("queue worker: %w", err)
	}
	var err error
	q.client, err = river.NewClient(riverpgxv5.New(q.pool), &river.Config{
		ID: q.node, Workers: workers, Logger: q.e.logger,
		Queues:        map[string]river.QueueConfig{wakeQueue: {MaxWorkers: cap(q.e.slots)}},
		FetchCooldown: 10 * time.Millisecond, FetchPollInterval: 100 * time.Millisecond,
		JobTimeout: -1, MaxAttempts: 32767, PollOnly: true,
		CompletedJobRetentionPeriod: time.Minute, CancelledJobRetentionPeriod: time.Minute,
	})
	if err != nil {
		return fmt.Errorf("queue client: %w", err)
	}
	// These outlive ctx: what is being driven when the engine stops is still held and given
	// back. Stop ends them.
	alive, stop := context.WithCancel(context.WithoutCancel(ctx))
	if err := q.client.Start(alive); err != nil {
		stop()
		return fmt.Errorf("start queue client: %w", err)
	}
	q.stop = stop
	q.loops.Go(func() { q.beats(alive) })
	return q.timers.Start(ctx, take)
}

// register makes sure that this node still has its place.
func (q *riverQueue) register(ctx context.Context) error {
	began := time.Now()
	if err := beat(ctx, q.e.db, q.node); err != nil {
		return fmt.Errorf("register node %s: %w", q.node, err)
	}
	q.mu.Lock()
	q.beaten = began
	q.mu.Unlock()
	return nil
}

// Stop implements starter. The engine's context has ended: first everything that is being
// driven ends and is given back, then the heartbeats, then the connections.
func (q *riverQueue) Stop() {
	if q.stop == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	q.timers.Stop()
	if err := q.client.Stop(ctx); err != nil {
		q.e.logger.Warn("stop queue", "error", err)
	}
	q.e.wg.Wait()
	q.stop()
	q.loops.Wait()
	if err := leave(ctx, q.e.db, q.node, q.opt.dead); err != nil {
		q.e.logger.Warn("leave the other nodes", "error", err)
	}
	q.pool.Close()
}

// beats is the life of this node: heartbeats, and what goes with them.
func (q *riverQueue) beats(ctx context.Context) {
	tick := time.NewTicker(q.opt.beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := q.round(ctx); err != nil && ctx.Err() == nil {
			q.e.logger.Warn("heartbeat", "node", q.node, "error", err)
		}
	}
}

// round beats once and looks around.
func (q *riverQueue) round(ctx context.Context) error {
	was := q.fresh()
	bound, cancel := context.WithTimeout(ctx, q.opt.dead)
	defer cancel()
	began := time.Now()
	err := beat(bound, q.e.db, q.node)
	q.mu.Lock()
	lost := errors.Is(err, errLost) && !q.lost
	switch {
	case err == nil:
		if q.beaten = began; !was { // others may have taken what was ours
			for id := range q.held {
				q.held[id] = false
			}
		}
	case lost:
		q.lost = true
	}
	q.mu.Unlock()
	if lost && q.opt.Lost != nil {
		q.opt.Lost()
	}
	if err != nil {
		return err
	}
	err = errors.Join(q.notice(bound), q.adopt(bound))
	if was { // after an outage of the database all get the time to show that they live
		err = errors.Join(err, q.rescue(bound))
	}
	return err
}

// rescue makes the jobs of nodes that are silent available to all. They get new numbers: a
// silent node that wakes up reports to River on the old ones, and would end or put off what
// another node has at work by then.
func (q *riverQueue) rescue(ctx context.Context) error {
	return q.e.db.Write(ctx, func(tx *db.Tx) error {
		tx.Exec(rescueJobs, q.opt.dead.Microseconds())
		return nil
	})
}

// notice stops Calls of executions that were cancelled, or moved on, by another node.
func (q *riverQueue) notice(ctx context.Context) error {
	mine := q.e.underway()
	if len(mine) == 0 {
		return nil
	}
	ids := make([]string, 0, len(mine))
	for id := range mine {
		ids = append(ids, id)
	}
	list, err := json.Marshal(ids)
	if err != nil {
		return err
	}
	rows, err := q.e.db.Query(ctx, `SELECT execution_id, version FROM executions
 WHERE execution_id IN (SELECT jsonb_array_elements_text($1::jsonb))`, string(list))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var version int64
		if err := rows.Scan(&id, &version); err != nil {
			return err
		}
		if seen := mine[id]; seen > 0 && version != seen {
			q.e.overtaken(id, seen)
		}
	}
	return rows.Err()
}

// adopt finds jobs that say this node goes on with them although it does not know: the
// answer of the commit that made them was lost, or they could not be given back.
func (q *riverQueue) adopt(ctx context.Context) error {
	rows, err := q.e.db.Query(ctx, `SELECT args->>'id' FROM river_job WHERE `+isLive+` AND state='running' AND queue='`+wakeQueue+`'
 AND `+lastBy+`=$1 AND attempted_at < now() - make_interval(secs => $2::float8)`, q.node, (2 * q.opt.beat).Seconds())
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return err
		}
		q.mu.Lock()
		_, known := q.held[id]
		q.mu.Unlock()
		if !known {
			q.timers.Found(id, time.Time{})
		}
	}
	return rows.Err()
}

// wakeWorker does the jobs that River hands to this node.
type wakeWorker struct {
	river.WorkerDefaults[wakeArgs]
	q *riverQueue
}

// Timeout implements river.Worker: a Call may take days. River then never rescues the job,
// which is for the nodes to do.
func (*wakeWorker) Timeout(*river.Job[wakeArgs]) time.Duration { return -1 }

// handBack is how long a job waits for a slot before another node gets its chance.
const handBack = time.Second

// Work implements river.Worker. It returns when this node drives the execution no more, so
// that the job is River's sign of life for it; retries are the engine's, never River's.
func (w *wakeWorker) Work(_ context.Context, job *river.Job[wakeArgs]) error {
	q, id := w.q, job.Args.ID
	if !q.fresh() {
		// Nodes look for jobs at a steady beat: a delay of whole beats would bring the job back
		// to this one, which was first, for as long as it can reach the queue and not the rest.
		return river.JobSnooze(handBack/2 + rand.N(handBack))
	}
	patience := time.NewTimer(handBack)
	defer patience.Stop()
	q.hold(id, false)
	select {
	case q.e.slots <- struct{}{}:
		<-q.e.drive(id)
	case <-patience.C:
		q.letGo(id)
		return river.JobSnooze(handBack)
	case <-q.e.ctx.Done():
		q.letGo(id)
		return river.JobSnooze(0)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.loose[id] { // it could not be given back
		delete(q.loose, id)
		return river.JobSnooze(handBack)
	}
	if _, held := q.held[id]; held && q.e.ctx.Err() != nil { // it was not begun
		delete(q.held, id)
		return river.JobSnooze(0)
	}
	return nil
}

// migrateLock is the advisory lock under which nodes that start together take turns.
const migrateLock = 0x63616f73 // "caos"

// migrateRiver brings River's tables up to date and adds our index.
func migrateRiver(ctx context.Context, pool *pgxpool.Pool) error {
	c, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect queue: %w", err)
	}
	defer c.Release()
	if _, err := c.Exec(ctx, `SELECT pg_advisory_lock($1)`, int64(migrateLock)); err != nil {
		return fmt.Errorf("lock queue migration: %w", err)
	}
	defer func() { _, _ = c.Exec(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, int64(migrateLock)) }()
	m, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	if err != nil {
		return fmt.Errorf("read queue migrations: %w", err)
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("migrate queue: %w", err)
	}
	if _, err := c.Exec(ctx, wakeIndex); err != nil {
		return fmt.Errorf("index queue: %w", err)
	}
	return nil
}
