package anchor

import (
	"context"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"caos"
	"caos/internal/chain"
	"caos/internal/db"
	"caos/internal/verify"
)

// contract stands for a registry on a chain, as package chain reads it.
type contract struct {
	mu     sync.Mutex
	has    []chain.LogAnchor // of origin, in the order of their blocks
	listed []chain.LogAnchor // that events tell of besides
	down   error
	unlist error
	most   uint64 // blocks that are listed at once; 0: all
	asked  int
	froms  []uint64
}

func (c *contract) LastAnchor(_ context.Context, of string) (last chain.LogAnchor, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	if of != origin || c.down != nil {
		return last, c.down
	}
	for _, a := range c.has {
		if a.Size > last.Size {
			last = a
		}
	}
	return last, nil
}

func (c *contract) AnchorAt(_ context.Context, of string, size uint64) (chain.LogAnchor, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.has {
		if of == origin && a.Size == size {
			return a, c.down
		}
	}
	return chain.LogAnchor{}, c.down
}

func (c *contract) AnchorsSince(_ context.Context, of string, from, back uint64) ([][]chain.LogAnchor, uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.froms = append(c.froms, from)
	if of != origin || c.unlist != nil {
		return nil, 0, c.unlist
	}
	if c.most > 0 && back > c.most {
		return nil, 0, caos.Errorf(caos.Unavailable, "the endpoints list the registry's entries in too small parts")
	}
	return [][]chain.LogAnchor{c.listed, c.has}, 100, nil
}

func (c *contract) set(change func(*contract)) { c.mu.Lock(); defer c.mu.Unlock(); change(c) }

// point is what a contract has of the world's log as it is now.
func (w *world) point() chain.LogAnchor {
	w.t.Helper()
	size, root, err := w.log.Root(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return chain.LogAnchor{Size: uint64(size), Root: root, Block: 7, Final: true} //nolint:gosec // not negative
}

// registered opens a Service with a contract.
func (w *world) registered(c *contract) *Service {
	return w.open(Settings{Chain: true}, func(o *Options) { o.Registry = c })
}

func (w *world) standing(s *Service) Destination {
	w.t.Helper()
	st, err := s.Status(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return st.Destinations[0]
}

// What a contract has that the log cannot have led to is noticed when the server starts and
// before anything is put on top of it, and alerts; nothing is recorded there until it is gone.
func TestRegistryDiverges(t *testing.T) {
	for name, c := range map[string]struct {
		has    func(at2 chain.LogAnchor, now chain.LogAnchor) []chain.LogAnchor
		listed []chain.LogAnchor
		want   Standing
		says   string
	}{
		"it fits":       {func(at2, now chain.LogAnchor) []chain.LogAnchor { return []chain.LogAnchor{at2, now} }, nil, OK, ""},
		"another root":  {func(at2, _ chain.LogAnchor) []chain.LogAnchor { at2.Root[0]++; return []chain.LogAnchor{at2} }, nil, Diverged, "2 leaves has the root"},
		"a larger tree": {func(at2, _ chain.LogAnchor) []chain.LogAnchor { at2.Size = 999; return []chain.LogAnchor{at2} }, nil, Diverged, "999 leaves"},
		"larger than any log": {func(at2, _ chain.LogAnchor) []chain.LogAnchor {
			at2.Size = math.MaxUint64
			return []chain.LogAnchor{at2}
		}, nil, Diverged, "no log has"},
		"another root below": {func(at2, now chain.LogAnchor) []chain.LogAnchor {
			at2.Root[0]++
			return []chain.LogAnchor{at2, now}
		}, nil, Diverged, "2 leaves has the root"},
		"one endpoint's invention": {func(at2, now chain.LogAnchor) []chain.LogAnchor { return []chain.LogAnchor{now} },
			[]chain.LogAnchor{{Size: 2, Root: tlog.Hash{9}}, {Size: 1 << 40}, {Size: math.MaxUint64}}, OK, ""},
		"not final yet": {func(at2, _ chain.LogAnchor) []chain.LogAnchor {
			at2.Root[0]++
			at2.Final = false
			return []chain.LogAnchor{at2}
		}, nil, Failing, "not final yet"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, db.SQLite, worldOptions{})
			at2 := w.point()
			for at2.Size < 2 {
				w.happen(1)
				at2 = w.point()
			}
			w.happen(3)
			at2says := c.says
			if at2.Size != 2 {
				at2says = strings.ReplaceAll(at2says, "2 leaves has", "leaves has")
			}
			there := &contract{has: c.has(at2, w.point()), listed: c.listed}
			s := w.registered(there)
			w.happen(1)
			w.tick(s)
			d := w.standing(s)
			if d.State != c.want || !strings.Contains(d.Error, at2says) {
				t.Errorf("%s: %q", d.State, d.Error)
			}
			if n := len(w.openAlerts()); n > 0 != (c.want == Diverged) {
				t.Errorf("%d alerts", n)
			}
			if n := len(w.anchors(s, Filter{})); n > 0 != (c.want == OK) {
				t.Errorf("%d anchors", n)
			}
			if c.want == OK {
				return
			}
			for range 30 { // nor later, nor when somebody asks, nor by another process
				w.clock.pass(time.Hour)
				w.happen(1)
				w.tick(s)
			}
			if w.now(s); len(w.anchors(s, Filter{})) != 0 {
				t.Error("it was anchored on top")
			}
			s = w.registered(there)
			w.tick(s)
			if n := len(w.anchors(s, Filter{})) + len(w.chain.subjects); n != 0 || len(w.openAlerts()) != 1 {
				t.Errorf("%d anchors, %d alerts", n, len(w.openAlerts()))
			}
			there.set(func(there *contract) { there.has = nil }) // the database was restored, or the block is gone
			w.clock.pass(time.Hour)
			w.happen(1)
			w.tick(s)
			if n := len(w.anchors(s, Filter{State: Pending})); n != 1 {
				t.Errorf("%d anchors afterwards", n)
			}
		})
	}
}

// No endpoint lists all blocks of a long chain: what it has of the last ones still counts for a
// recovery, and what was said of another log stands in nobody's way.
func TestDivergedOnLongChain(t *testing.T) {
	w := newWorld(t, db.SQLite, worldOptions{})
	w.happen(2)
	forged := w.point()
	w.happen(3)
	forged.Root[0]++
	there := &contract{has: []chain.LogAnchor{forged, w.point()}, most: lookBack}
	w.tick(w.registered(there))
	s := w.registered(there)
	if d := w.standing(s); d.State != Diverged {
		t.Fatalf("%+v", d)
	}
	if d, err := s.Disputed(t.Context()); err != nil || d == nil || d.Has.Size != int64(forged.Size) { //nolint:gosec // small
		t.Errorf("nobody can recover it: %+v %v", d, err)
	}
	there.set(func(c *contract) { c.has = c.has[1:] })
	w.clock.pass(time.Hour)
	w.happen(1)
	w.tick(s)
	if d := w.standing(s); d.State != Diverged || len(w.anchors(s, Filter{})) != 0 {
		t.Errorf("nothing shows that it is gone: %+v", d)
	}
	if err := w.d.Write(t.Context(), func(tx *db.Tx) error {
		tx.Exec(`UPDATE anchor_destinations SET origin = 'before/recovery'`)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	w.clock.pass(time.Hour)
	w.happen(1)
	w.tick(s)
	if n := len(w.anchors(s, Filter{State: Pending})); n != 1 {
		t.Errorf("%d anchors of the successor", n)
	}
}

// A log that is at rest is compared too: when the server starts, and once in every interval.
func TestRegistryIsLookedAtInQuiet(t *testing.T) {
	w := newWorld(t, db.SQLite, worldOptions{})
	w.happen(2)
	there := &contract{}
	s := w.registered(there)
	w.tick(s)
	list := w.anchors(s, Filter{State: Pending})
	if len(list) != 1 {
		t.Fatalf("%d anchors", len(list))
	}
	w.chain.set(subjectID(origin, list[0].Size), func(sub *chain.Subject) { sub.State, sub.Hash = chain.SubjectConfirmed, "0x1" })
	w.tick(s)
	asked := there.asked
	for range 12 * 5 { // five hours
		w.clock.pass(5 * time.Minute)
		w.tick(s)
	}
	if n := there.asked - asked; n < 4 || n > 6 {
		t.Errorf("it was asked %d times in five hours", n)
	}
	if last := there.froms[len(there.froms)-1]; last != 100 {
		t.Errorf("entries are listed from block %d on again", last)
	}
	forged := w.point()
	forged.Size, forged.Root[0] = 1, forged.Root[0]+1
	there.set(func(c *contract) { c.has = append(c.has, forged) })
	w.clock.pass(time.Hour)
	w.tick(s)
	if d := w.standing(s); d.State != Diverged || len(w.openAlerts()) != 1 {
		t.Errorf("%+v", d)
	}
}

// A registry that nobody can ask is given nothing, and alerts like any destination; one whose
// entries are not listed is.
func TestRegistryDown(t *testing.T) {
	w := newWorld(t, db.SQLite, worldOptions{})
	w.happen(2)
	there := &contract{down: caos.Errorf(caos.Unavailable, "no endpoint of the chain answers"), unlist: caos.Errorf(caos.Invalid, "too long a list")}
	s := w.registered(there)
	w.tick(s)
	if d := w.standing(s); d.State != Failing || !strings.Contains(d.Error, "no endpoint") || len(w.anchors(s, Filter{})) != 0 || len(w.openAlerts()) != 0 {
		t.Fatalf("%+v", d)
	}
	w.clock.pass(61 * time.Minute)
	w.tick(s)
	if len(w.openAlerts()) != 1 {
		t.Fatal("nobody is told")
	}
	there.set(func(c *contract) { c.down = nil })
	w.clock.pass(time.Hour)
	w.tick(s)
	if n := len(w.anchors(s, Filter{State: Pending})); n != 1 {
		t.Errorf("%d anchors", n)
	}
}

// A checkpoint that the contract does not take is tried again as it is, less and less often:
// each other one would be a transaction of its own. What is wrong is named at once, with what to
// do, and the alert closes when the contract takes it.
func TestContractRefusesForLong(t *testing.T) {
	for reason, says := range map[string]string{
		"the contract refuses the call: the contract refused: EnforcedPause; nothing was sent":                                                                       "calls unpause",
		"the contract refused: AccessControlUnauthorizedAccount (account 0x5FbDB2315678afecb367f032d93F642f64180aa3, neededRole 0x" + strings.Repeat("ab", 32) + ")": "0x5FbDB2315678afecb367f032d93F642f64180aa3 anchor: it lacks ANCHORER_ROLE",
	} {
		t.Run(says, func(t *testing.T) {
			w := newWorld(t, db.SQLite, worldOptions{})
			w.happen(2)
			over := false
			s := w.open(Settings{Chain: true}, func(o *Options) {
				o.Registry = &contract{}
				o.Why = func(context.Context, string) (bool, *caos.Error, error) {
					if !over {
						return false, nil, nil
					}
					return true, caos.Errorf(caos.Conflict, "%s", reason), nil
				}
			})
			w.tick(s)
			first := w.anchors(s, Filter{})[0]
			id, rounds := subjectID(origin, first.Size), 0
			fail := func(sub *chain.Subject) {
				if sub.State == chain.Wanted {
					rounds++
					sub.State, sub.Reason, sub.ExecutionID, sub.ChangedAt = chain.SubjectFailed, "reverted: the contract refused in block 9", "EXEC-A", w.clock.now()
				}
			}
			w.chain.set(id, fail)
			w.tick(s)
			if a := w.anchors(s, Filter{})[0]; a.State != Pending {
				t.Fatalf("%s before its execution says why", a.State)
			}
			over = true
			w.tick(s)
			d := w.standing(s)
			if d.State != Failing || !strings.Contains(d.Error, says) || len(w.openAlerts()) != 1 || !strings.Contains(w.openAlerts()[0].AlertMessage, says) {
				t.Fatalf("%s: %q, %d alerts", d.State, d.Error, len(w.openAlerts()))
			}
			for range 24 * 60 { // a day
				w.happen(1)
				w.clock.pass(time.Minute)
				w.tick(s)
				w.chain.set(id, fail)
			}
			if n := len(w.anchors(s, Filter{})); n != 1 || len(w.chain.subjects) != 1 || len(w.openAlerts()) != 1 {
				t.Errorf("%d anchors of %d subjects, %d alerts", n, len(w.chain.subjects), len(w.openAlerts()))
			}
			if rounds < 24 || rounds > 32 {
				t.Errorf("tried %d times in a day", rounds)
			}
			w.chain.set(id, func(sub *chain.Subject) { sub.State = chain.Wanted })
			over = false
			w.clock.pass(2 * time.Hour)
			w.tick(s)
			w.chain.set(id, func(sub *chain.Subject) { sub.State, sub.Hash = chain.SubjectConfirmed, "0x1" })
			w.tick(s)
			if d := w.standing(s); d.State != OK || d.Size != first.Size || len(w.openAlerts()) != 0 {
				t.Errorf("%+v, %d alerts", d, len(w.openAlerts()))
			}
			w.clock.pass(2 * time.Hour)
			w.tick(s)
			if list := w.anchors(s, Filter{State: Pending}); len(list) != 1 || list[0].Size <= first.Size {
				t.Error("the newest does not follow")
			}
		})
	}
}

// One that failed because a larger one was there already is not repeated.
func TestStaleIsNotRepeated(t *testing.T) {
	w := newWorld(t, db.SQLite, worldOptions{})
	w.happen(2)
	there := &contract{}
	s := w.registered(there)
	w.tick(s)
	first := w.anchors(s, Filter{})[0]
	w.happen(1)
	there.set(func(c *contract) { c.has = []chain.LogAnchor{w.point()} })
	w.happen(1)
	w.chain.set(subjectID(origin, first.Size), func(sub *chain.Subject) {
		sub.State, sub.Reason = chain.SubjectFailed, "the contract refused: StaleAnchor (stated 2, last 3)"
	})
	for range 4 {
		w.tick(s)
		w.clock.pass(time.Hour)
	}
	if list := w.anchors(s, Filter{Kind: verify.AnchorChain, State: Pending}); len(list) != 1 || list[0].Size <= first.Size {
		t.Errorf("%+v", list)
	}
}
