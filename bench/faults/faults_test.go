package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"caos/bench/faults/freezing"
	"caos/internal/baseline"
	"caos/internal/db"
	"caos/internal/db/dbtest"
)

// table collects the verdicts of this run.
var table struct {
	sync.Mutex
	rows []*verdict
}

func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.RemoveAll(programFolder())
	if len(table.rows) > 0 {
		w := tabwriter.NewWriter(os.Stdout, 2, 4, 2, ' ', 0)
		fmt.Fprintln(w, "\nCAMPAIGN\tKILLS\tACKED\tUNFINISHED\tLOST\tDOUBLED\tMISSING\tSTRANGE\tREPEATED CALLS\tCHECKPOINTS\tLOG\tFROZEN OR REVIEWED\tDRAINED IN\tTIME\tVERDICT")
		for _, v := range table.rows {
			word := "ok"
			if !v.ok() {
				word = "BROKEN: " + v.Problems[0]
			}
			fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d of %d\t%d\t%d\t%s\t%.1f s\t%.0f s\t%s\n", v.Name, v.Kills, v.Acked, v.Unfinished, v.Lost, v.Doubled, v.Missing,
				v.Strange, v.Repeated, v.Calls, v.Published, v.LogSize, v.counts(), v.Drained.Seconds(), v.Took.Seconds(), word)
		}
		w.Flush()
	}
	os.Exit(code)
}

// size is a number of the campaign that the environment can shrink.
func size(t *testing.T, name string, full int) int {
	if s := os.Getenv(name); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("%s=%q is not a number", name, s)
		}
		return n
	}
	return full
}

// wanted skips a test unless CAOS_FAULTS asks for its kind.
func wanted(t *testing.T, kind string) {
	t.Helper()
	if got := os.Getenv("CAOS_FAULTS"); got != kind {
		t.Skipf("CAOS_FAULTS=%s runs it (make faults, make faults-seeded)", kind)
	}
}

// special is a load that has a harm, a preparation and checks of its own.
type special interface {
	prepare(ctx context.Context, c *cluster) error                       // before any node runs
	run(ctx context.Context, t *traffic)                                 // until all is done that was to be done, or ctx ends
	check(context.Context, *cluster, *traffic, *witness, *verdict) error // after all nodes have ended
}

// quiet is a load that looks around when all has ended and the nodes still run.
type quiet interface {
	quiet(ctx context.Context, c *cluster, t *traffic, v *verdict)
}

// campaign is what is done to which nodes under which load.
type campaign struct {
	name    string
	dialect db.Dialect
	nodes   int
	least   int     // executions that have to be acknowledged
	doubt   float64 // share of commits whose answer is lost
	drain   time.Duration
	think   time.Duration
	harm    func(ctx context.Context, c *cluster) error // returns when nothing more is done to the nodes
	special special                                     // what the clients ask for instead of the samples, if not nil
}

// run runs a campaign with a node program and returns what came of it.
func (p campaign) run(t *testing.T, program string) *verdict {
	t.Helper()
	start := time.Now()
	dir := t.TempDir()
	url := "sqlite:" + filepath.Join(dir, "caos.db")
	if p.dialect == db.PostgreSQL {
		url = dbtest.URL(t, db.PostgreSQL)
	}
	c, err := newCluster(program, dir, url, p.nodes)
	if err != nil {
		t.Fatal(err)
	}
	c.doubt, c.logf = p.doubt, t.Logf
	if p.special != nil {
		t.Cleanup(func() { _ = baseline.RemoveAll(filepath.Join(dir, freezing.Baselines)) }) // read-only, which t.TempDir cannot remove
	}
	t.Cleanup(c.destroy)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	if p.special != nil {
		if err := p.special.prepare(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.startAll(ctx); err != nil {
		t.Fatal(err)
	}
	tr, w := newTraffic(c), &witness{}
	if p.think > 0 {
		tr.think = p.think
	}
	watching, enough := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { w.watch(watching, c.client()) })
	harmed := make(chan struct{})
	var harm error
	wg.Go(func() { defer close(harmed); harm = p.harm(ctx, c) })
	// When nothing more is done to the nodes, whoever still waits for an answer gets one
	// soon or never.
	patience, stop := context.WithCancel(ctx)
	wg.Go(func() {
		<-harmed
		pause(patience, p.patience())
		for tr.acked.Load() < int64(p.least) && ctx.Err() == nil && patience.Err() == nil && tr.moving(patience) {
		}
		stop()
	})
	if p.special != nil {
		p.special.run(patience, tr)
	} else {
		tr.run(patience, 12, int64(p.least), harmed)
	}
	stop()
	<-harmed
	draining, done := context.WithTimeout(ctx, p.patience())
	v := &verdict{Name: p.name}
	v.Drained = drain(draining, tr.k)
	if draining.Err() != nil {
		stuck(ctx, c, v) // before the nodes end, which changes what can be seen
	}
	done()
	if q, ok := p.special.(quiet); ok {
		q.quiet(ctx, c, tr, v)
	}
	enough()
	wg.Wait()
	if harm != nil {
		v.problem("%v", harm)
	}
	if err := c.stop(); err != nil {
		v.problem("%v", err)
	}
	for _, n := range c.nodes {
		v.Kills += n.kills
	}
	checks := check
	if p.special != nil {
		checks = p.special.check
	}
	if err := checks(ctx, c, tr, w, v); err != nil {
		v.problem("check: %v", err)
	}
	if v.Unfinished > 0 {
		for _, n := range c.nodes {
			t.Logf("node %d says at its end: %s", n.number, n.output())
		}
	}
	v.Took = time.Since(start)
	table.Lock()
	table.rows = append(table.rows, v)
	table.Unlock()
	return v
}

func (p campaign) patience() time.Duration {
	if p.drain > 0 {
		return p.drain
	}
	return 100 * time.Second // the sweep for lost wake-ups comes once a minute
}

// moving waits a little and reports whether anything was acknowledged meanwhile.
func (t *traffic) moving(ctx context.Context) bool {
	before := t.acked.Load()
	pause(ctx, 5*time.Second)
	return t.acked.Load() > before
}

// must fails the test if anything that was acknowledged did not hold.
func (v *verdict) must(t *testing.T) {
	t.Helper()
	for _, p := range v.Problems {
		t.Error(p)
	}
	t.Logf("%+v", *v)
}

// programFolder holds the program of the nodes, which this process's tests share.
func programFolder() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("caos-faults-%d", os.Getpid()))
}

var built = sync.OnceValues(func() (string, error) {
	if err := os.Mkdir(programFolder(), 0o700); err != nil {
		return "", err
	}
	return buildNode(programFolder(), "")
})

func program(t *testing.T) string {
	t.Helper()
	p, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// kills kills a random node at random moments and starts it again. Every tenth is killed
// once more while it starts.
func kills(n int, every time.Duration) func(context.Context, *cluster) error {
	return func(ctx context.Context, c *cluster) error {
		for left := n; left > 0 && ctx.Err() == nil; left-- {
			pause(ctx, every/2+time.Duration(rand.Int64N(int64(every))))
			p := c.nodes[rand.IntN(len(c.nodes))]
			if !p.kill() {
				return fmt.Errorf("node %d ended by itself: %s", p.number, p.output())
			}
			if left > 1 && rand.IntN(10) == 0 {
				if _, err := p.launch(); err != nil {
					return err
				}
				pause(ctx, time.Duration(rand.IntN(150))*time.Millisecond)
				if p.kill() { // unless it found no free place and had ended by itself
					left--
				}
			}
			starting, cancel := context.WithTimeout(ctx, 3*time.Minute)
			err := p.start(starting)
			cancel()
			if err != nil {
				return err
			}
		}
		return ctx.Err()
	}
}

// TestFaultKillSQLite kills the one node of a SQLite installation.
func TestFaultKillSQLite(t *testing.T) {
	wanted(t, "1")
	n := size(t, "CAOS_FAULT_KILLS_SQLITE", 200)
	v := campaign{name: "kill -9, SQLite", dialect: db.SQLite, nodes: 1, least: size(t, "CAOS_FAULT_EXECUTIONS", 1000),
		harm: kills(n, 200*time.Millisecond)}.run(t, program(t))
	v.must(t)
	if v.Kills < n {
		t.Errorf("%d kills of %d", v.Kills, n)
	}
}

// TestFaultKillPostgres kills the two nodes of a PostgreSQL installation, one at a time. A
// killed node's place stays taken for a minute and there are 32, which sets the pace.
func TestFaultKillPostgres(t *testing.T) {
	wanted(t, "1")
	n := size(t, "CAOS_FAULT_KILLS_POSTGRES", 100)
	v := campaign{name: "kill -9, PostgreSQL, 2 nodes", dialect: db.PostgreSQL, nodes: 2, least: size(t, "CAOS_FAULT_EXECUTIONS", 1000),
		think: 100 * time.Millisecond, harm: kills(n, 2*time.Second)}.run(t, program(t))
	v.must(t)
	if v.Kills < n {
		t.Errorf("%d kills of %d", v.Kills, n)
	}
}

// sleeps stops a node for longer than the others wait for it, and wakes it up.
func sleeps(rounds int) func(context.Context, *cluster) error {
	return func(ctx context.Context, c *cluster) error {
		for i := range rounds {
			p := c.nodes[i%len(c.nodes)]
			pause(ctx, time.Second)
			if err := p.nap(ctx, func() error { return nil }); err != nil {
				return err
			}
		}
		return nil
	}
}

// TestFaultStopPostgres lets a node sleep until others have taken its work, and wakes it.
func TestFaultStopPostgres(t *testing.T) {
	wanted(t, "1")
	campaign{name: "SIGSTOP 9 s, PostgreSQL, 2 nodes", dialect: db.PostgreSQL, nodes: 2, least: size(t, "CAOS_FAULT_EXECUTIONS", 1000), think: 50 * time.Millisecond,
		harm: sleeps(size(t, "CAOS_FAULT_STOPS", 4))}.run(t, program(t)).must(t)
}

// jumps sets the clocks wrong, forth and back, and kills a node now and then, so that the
// next life begins with a wrong clock. In the end all clocks are ahead of every moment
// that was waited for: a Wait until a moment ends when the clock says so, and no earlier.
func jumps(rounds int) func(context.Context, *cluster) error {
	offsets := []time.Duration{time.Hour, -time.Hour, 0, 30 * time.Second, -48 * time.Hour, 24 * time.Hour, -time.Second, 0}
	return func(ctx context.Context, c *cluster) error {
		k := c.client()
		set := func(p *process, d time.Duration) error {
			p.offset = d
			r, err := k.askNode(p.number, http.MethodPost, "/clock/"+d.String(), "")
			if err == nil && r.status != http.StatusOK {
				err = fmt.Errorf("answer %d", r.status)
			}
			if err != nil {
				return fmt.Errorf("set the clock: %w", err)
			}
			return nil
		}
		for i := range rounds {
			p := c.nodes[i%len(c.nodes)]
			if err := set(p, offsets[i%len(offsets)]); err != nil {
				return err
			}
			pause(ctx, 400*time.Millisecond)
			if i%3 == 2 {
				p.kill()
				if err := p.start(ctx); err != nil {
					return err
				}
			}
		}
		for _, p := range c.nodes {
			if err := set(p, 25*time.Hour); err != nil {
				return err
			}
		}
		return nil
	}
}

// TestFaultClockSQLite runs on a clock that jumps.
func TestFaultClockSQLite(t *testing.T) {
	wanted(t, "1")
	campaign{name: "clock jumps, SQLite", dialect: db.SQLite, nodes: 1, least: 200, harm: jumps(size(t, "CAOS_FAULT_JUMPS", 48))}.run(t, program(t)).must(t)
}

// TestFaultClockPostgres runs on two clocks that jump and disagree.
func TestFaultClockPostgres(t *testing.T) {
	wanted(t, "1")
	campaign{name: "clock jumps, PostgreSQL, 2 nodes", dialect: db.PostgreSQL, nodes: 2, least: 200, harm: jumps(size(t, "CAOS_FAULT_JUMPS", 48))}.run(t, program(t)).must(t)
}

// lasts leaves the nodes alone for a while.
func lasts(d time.Duration) func(context.Context, *cluster) error {
	return func(ctx context.Context, _ *cluster) error { pause(ctx, d); return nil }
}

// TestFaultDoubt loses the answer to one of ten commits.
func TestFaultDoubt(t *testing.T) {
	wanted(t, "1")
	d := time.Duration(size(t, "CAOS_FAULT_DOUBT_SECONDS", 10)) * time.Second
	campaign{name: "lost answers, SQLite", dialect: db.SQLite, nodes: 1, least: 500, doubt: .1, harm: lasts(d)}.run(t, program(t)).must(t)
	campaign{name: "lost answers, PostgreSQL, 2 nodes", dialect: db.PostgreSQL, nodes: 2, least: 500, doubt: .1, harm: lasts(d)}.run(t, program(t)).must(t)
}

// TestSmoke runs each kind of harm for a moment, in ordinary test runs.
func TestSmoke(t *testing.T) {
	if testing.Short() && os.Getenv("CAOS_FAULTS") == "" && !strings.EqualFold(os.Getenv("CI"), "true") {
		t.Skip("starts and kills processes")
	}
	p := program(t)
	campaign{name: "smoke: kill -9, SQLite", dialect: db.SQLite, nodes: 1, least: 50, harm: kills(3, 200*time.Millisecond)}.run(t, p).must(t)
	campaign{name: "smoke: lost answers, SQLite", dialect: db.SQLite, nodes: 1, least: 50, doubt: .1, harm: lasts(500 * time.Millisecond)}.run(t, p).must(t)
	campaign{name: "smoke: kill -9, PostgreSQL", dialect: db.PostgreSQL, nodes: 2, least: 50, harm: kills(3, 500*time.Millisecond)}.run(t, p).must(t)
}
