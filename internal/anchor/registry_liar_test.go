package anchor

import (
	"context"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"caos"
	"caos/internal/chain"
	"caos/internal/db"
)

// What one endpoint alone says accuses nobody while others are configured; when the others say
// it too, it does. And what several said, one alone does not take back.
func TestOneVoiceOfSeveral(t *testing.T) {
	w := newWorld(t, db.SQLite, worldOptions{})
	w.happen(3)
	forged := w.point()
	forged.Root[0]++
	forged.Sole = true
	there := &contract{has: []chain.LogAnchor{forged}}
	s := w.registered(there)
	w.happen(1)
	w.tick(s)
	if d := w.standing(s); d.State != Failing || !strings.Contains(d.Error, "one endpoint alone says") || len(w.openAlerts()) != 0 || len(w.anchors(s, Filter{})) != 0 {
		t.Fatalf("%+v, %d alerts", d, len(w.openAlerts()))
	}
	there.set(func(c *contract) { c.has[0].Sole = false })
	w.clock.pass(time.Hour)
	w.tick(s)
	if d := w.standing(s); d.State != Diverged || len(w.openAlerts()) != 1 {
		t.Fatalf("%+v, %d alerts", d, len(w.openAlerts()))
	}
	right := w.point()
	right.Sole = true
	there.set(func(c *contract) { c.has = []chain.LogAnchor{right} })
	w.happen(1)
	w.clock.pass(time.Hour)
	w.tick(s)
	if d := w.standing(s); d.State != Diverged || len(w.anchors(s, Filter{})) != 0 {
		t.Fatalf("one endpoint cleared it: %+v", d)
	}
	there.set(func(c *contract) { c.has[0].Sole = false })
	w.clock.pass(time.Hour)
	w.tick(s)
	if n := len(w.anchors(s, Filter{State: Pending})); n != 1 {
		t.Errorf("%d anchors afterwards", n)
	}
}

// One endpoint's many inventions do not cover up the one entry that another lists.
func TestInventionsCoverNothing(t *testing.T) {
	w := newWorld(t, db.SQLite, worldOptions{})
	w.happen(40)
	now := w.point()
	forged := chain.LogAnchor{Size: 3, Root: tlog.Hash{7}, Block: 7, Final: true}
	there := &contract{has: []chain.LogAnchor{forged, now}}
	for n := range uint64(30) {
		there.listed = append(there.listed, chain.LogAnchor{Size: n + 4, Root: tlog.Hash{byte(n), 9}})
	}
	s := w.registered(there)
	w.happen(1)
	w.tick(s)
	if d := w.standing(s); d.State != Diverged || !strings.Contains(d.Error, "leaves has the root") {
		t.Errorf("%+v", d)
	}
}

// A lying endpoint may have a call fail with any words. Those that accuse the log are held
// against the registry.
func TestRefusalsThatLie(t *testing.T) {
	for name, c := range map[string]struct {
		reason string
		has    func(now chain.LogAnchor) []chain.LogAnchor
		want   Standing
	}{
		"another root, invented": {"the contract refused: ForkedAnchor (treeSize 2)", func(chain.LogAnchor) []chain.LogAnchor { return nil }, Failing},
		"larger, invented":       {"the contract refused: StaleAnchor (stated 2, last 999)", func(chain.LogAnchor) []chain.LogAnchor { return nil }, Failing},
		"another root": {"the contract refused: ForkedAnchor (treeSize 2)", func(now chain.LogAnchor) []chain.LogAnchor {
			now.Root[0]++
			return []chain.LogAnchor{now}
		}, Diverged},
		"larger": {"the contract refused: StaleAnchor (stated 2, last 999)", func(now chain.LogAnchor) []chain.LogAnchor {
			now.Size = 999
			return []chain.LogAnchor{now}
		}, Diverged},
		"larger, not final": {"the contract refused: StaleAnchor (stated 2, last 999)", func(now chain.LogAnchor) []chain.LogAnchor {
			now.Size, now.Final = 999, false
			return []chain.LogAnchor{now}
		}, Failing},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, db.SQLite, worldOptions{})
			w.happen(2)
			there := &contract{}
			s := w.open(Settings{Chain: true}, func(o *Options) {
				o.Registry = there
				o.Why = func(context.Context, string) (bool, *caos.Error, error) {
					return true, caos.Errorf(caos.Conflict, "%s", c.reason), nil
				}
			})
			w.tick(s)
			first := w.anchors(s, Filter{})[0]
			at, err := pointOf([]byte(first.Checkpoint))
			if err != nil {
				t.Fatal(err)
			}
			there.set(func(there *contract) {
				there.has = c.has(chain.LogAnchor{Size: uint64(at.Size), Root: at.Root, Block: 7, Final: true}) //nolint:gosec // not negative
			})
			w.chain.set(subjectID(origin, first.Size), func(sub *chain.Subject) {
				sub.State, sub.Reason, sub.ExecutionID, sub.ChangedAt = chain.SubjectFailed, "reverted", "EXEC-A", w.clock.now()
			})
			w.tick(s)
			if d := w.standing(s); d.State != c.want || (len(w.openAlerts()) > 0) != (c.want == Diverged) {
				t.Errorf("%+v, %d alerts", d, len(w.openAlerts()))
			}
		})
	}
}
