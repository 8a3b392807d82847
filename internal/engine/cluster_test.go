package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/sign"
)

// cluster is what nodes share.
type cluster struct {
	t    *testing.T
	url  string
	keys string
}

// newCluster makes an empty database for several nodes.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, url: dbtest.URL(t, db.PostgreSQL), keys: filepath.Join(t.TempDir(), "keys")}
	must[*sign.Keys](t)(sign.OpenKeys(c.keys)) // made before the nodes race for it
	return c
}

// member is one node: a world of its own on the shared database, which can be cut off.
type member struct {
	*world
	node Node
	mute atomic.Bool  // the database refuses its transactions
	luck atomic.Int32 // of 1000 transactions so many break, at any point
	lose atomic.Bool  // the next submission is committed and not answered, then as mute
	gone atomic.Bool  // its connections for the queue are cut, too

	mu    sync.Mutex
	conns []net.Conn
}

// silence is how long a node of a cluster is not heard of until its work is given away: short,
// because tests wait for it, and long enough that a busy machine is not taken for a dead node.
const silence = 2 * time.Second

// steady is for tests in which no node dies: none is taken for dead, however busy the machine.
func steady(opt *Options) { opt.River.dead = time.Minute }

// join starts a node with short times between its life signs, unless mod changes them.
func (c *cluster) join(mod func(*Options), flows ...*Flow) *member {
	c.t.Helper()
	m, err := c.tryJoin(mod, flows...)
	if err != nil {
		c.t.Fatal(err)
	}
	return m
}

func (c *cluster) tryJoin(mod func(*Options), flows ...*Flow) (*member, error) {
	ctx := context.Background()
	m := &member{}
	d, err := db.Open(ctx, db.Options{URL: c.url, Log: slog.New(slog.DiscardHandler), Budget: dbtest.Budget, Fault: &db.Fault{At: func(p db.Point) db.Action {
		if p == db.AtCommitted && m.lose.Load() && m.open() > 0 {
			m.lose.Store(false)
			m.mute.Store(true)
			return db.Fail
		}
		if m.mute.Load() && p == db.AtBegin {
			return db.Fail
		}
		if int32(rand.IntN(3000)) < m.luck.Load() { // there are three points at which it may
			switch p {
			case db.AtBegin, db.AtCommitted:
				return db.Fail
			case db.AtCommit:
				return db.Refuse
			}
		}
		return db.Proceed
	}}})
	if err != nil {
		return nil, err
	}
	m.world = &world{t: c.t, db: d}
	c.t.Cleanup(func() { _ = d.Close() })
	err = d.Write(ctx, func(tx *db.Tx) error {
		tx.Exec(`SELECT pg_advisory_xact_lock(1)`) // CREATE IF NOT EXISTS alone does not keep two apart
		tx.Exec(`CREATE TABLE IF NOT EXISTS effects (trace TEXT NOT NULL)`)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if m.node, err = ClaimNode(ctx, d, "test"); err != nil {
		return nil, err
	}
	keys, err := sign.OpenKeys(c.keys)
	if err != nil {
		return nil, err
	}
	floor, err := auditlog.LastTime(ctx, d)
	if err != nil {
		return nil, err
	}
	stamps := caos.NewStamper(time.Now, floor, m.node.Slot, m.node.Slots)
	m.log, err = auditlog.Open(ctx, auditlog.Options{DB: d, Keys: keys, Origin: "caos.test/log", Stamps: stamps})
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	o := Options{DB: d, Log: m.log, Stamps: stamps, Flows: flows, Node: m.node.Name,
		River: &RiverOptions{URL: c.url, beat: 200 * time.Millisecond, dead: silence, dial: m.dial}}
	if mod != nil {
		mod(&o)
	}
	if m.eng, err = New(o); err != nil {
		return nil, err
	}
	if err := m.eng.Start(ctx); err != nil {
		return nil, err
	}
	c.t.Cleanup(m.stop)
	return m, nil
}

func (m *member) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if m.gone.Load() {
		return nil, errors.New("cut off")
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, network, addr)
	if err == nil {
		m.mu.Lock()
		m.conns = append(m.conns, c)
		m.mu.Unlock()
	}
	return c, err
}

// kill cuts the node off for good, at whatever it is doing. Its process lives on, which is
// worse than if it were dead: it may not do harm.
func (m *member) kill() {
	m.mute.Store(true)
	m.gone.Store(true)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.conns {
		_ = c.Close()
	}
}

// quick is the sample hook without the person.
func quick(o *outside) Plan[sampleState] {
	p := sample(o)
	p.Steps = append(slices.Clone(p.Steps[:5]), p.Steps[6])
	return p
}

// exactly checks that each execution left what one run leaves.
func (m *member) exactly(ids []string, ask bool) {
	m.t.Helper()
	var want []string
	for _, id := range ids {
		_, effects := sampleKeys(id)
		for _, k := range effects {
			if ask || !strings.HasSuffix(k, "/ask") {
				want = append(want, k)
			}
		}
	}
	slices.Sort(want)
	if got := m.effects(); !slices.Equal(got, want) {
		m.t.Errorf("%d InTx effects, want %d: %s", len(got), len(want), firstDifference(got, want))
	}
}

func firstDifference(got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("got %s, want %s", got[i], want[i])
		}
	}
	return "one is longer"
}

// count reads one number.
func (m *member) count(query string, args ...any) int {
	m.t.Helper()
	var n int
	if err := m.db.QueryRow(context.Background(), query, args...).Scan(&n); err != nil {
		m.t.Fatal(err)
	}
	return n
}

// eventually polls until the condition holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("not within %v: %s", patience, what)
		case <-tick.C:
		}
	}
}

func (m *member) open() int {
	return m.count(`SELECT count(*) FROM executions WHERE finished_at IS NULL`)
}

// submitAll submits executions, n in all, to the nodes in turn, over workers callers. An
// unanswered submission is repeated under its id at the last node.
func submitAll(t *testing.T, n, workers int, nodes ...*member) []string {
	ids := make([]string, n)
	next := make(chan int)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range next {
				ids[i] = fmt.Sprintf("EXEC-%04d", i)
				_, err := nodes[i%len(nodes)].submit(ids[i])
				if err != nil {
					_, err = nodes[len(nodes)-1].submit(ids[i])
				}
				if err != nil {
					t.Errorf("submit %s: %v", ids[i], err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	return ids
}

// counts is how often each Call was made.
func (o *outside) counts() map[string]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.calls)
}
