package auth

import (
	"context"
	"sync"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
)

// Two nodes on one PostgreSQL, each with its own connections, log and cache.
func twoNodes(t *testing.T) (a, b *env) {
	t.Helper()
	url, keys := dbtest.URL(t, db.PostgreSQL), t.TempDir()
	c := &clock{t: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)}
	a = node(t, open(t, url), c, keys, 0)
	a.bootstrap()
	b = node(t, open(t, url), c, keys, 1)
	b.cast = a.cast
	return a, b
}

// Two administrators who take the role from each other at the same moment, on two nodes:
// one remains.
func TestLastAdminOnTwoNodes(t *testing.T) {
	a, b := twoNodes(t)
	ctx := context.Background()
	ok(t, a.GrantRole(ctx, a.strong("root"), "ml", "admin"))
	root, ml := a.strong("root"), b.strong("ml")
	var wg sync.WaitGroup
	var first, second error
	wg.Go(func() { first = a.RevokeRole(ctx, root, "ml", "admin") })
	wg.Go(func() { second = b.RevokeRole(ctx, ml, "root", "admin") })
	wg.Wait()
	if (first == nil) == (second == nil) {
		t.Fatalf("%v and %v", first, second)
	}
	var n int
	ok(t, a.d.QueryRow(ctx, `SELECT COUNT(*) FROM user_roles WHERE role = 'admin'`).Scan(&n))
	if n != 1 {
		t.Errorf("%d administrators", n)
	}
	// Who lost is refused inside the transaction, as somebody without the role or, if the
	// other's turn came first, as one who would leave none.
	for _, err := range []error{first, second} {
		if k := caos.KindOf(err); err != nil && k != caos.Denied && k != caos.Conflict {
			t.Errorf("%v", err)
		}
	}
}

// What one node revokes, the other refuses: in its transactions at once, at its door
// within a second.
func TestRevocationAcrossConnections(t *testing.T) {
	a, b := twoNodes(t)
	ctx := context.Background()
	p := b.as("ml")
	hook := Resource{Type: "Hook", ID: "CAOS.PROD.CERT.AUDIT"}
	ok(t, b.inTx(p, "hook:submit", hook))
	ok(t, a.RevokeRole(ctx, a.strong("root"), "ml", "mlops-engineer"))
	want(t, b.inTx(p, "hook:submit", hook), caos.Denied)
	b.clock.move(time.Second)
	want(t, b.Allow(p, "hook:submit", hook), caos.Denied)
	ok(t, a.DisableUser(ctx, a.strong("root"), "ml"))
	b.clock.move(time.Second)
	_, err := b.Authenticate(ctx, b.cast["ml"].Token.Value, "", nil)
	want(t, err, caos.Unauthenticated)
}

// Two first starts at once: one administrator.
func TestBootstrapOnTwoNodes(t *testing.T) {
	url, keys := dbtest.URL(t, db.PostgreSQL), t.TempDir()
	c := &clock{t: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)}
	a, b := node(t, open(t, url), c, keys, 0), node(t, open(t, url), c, keys, 1)
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i, e := range []*env{a, b} {
		wg.Go(func() {
			_, errs[i] = e.Bootstrap(context.Background(), []NewUser{{ID: []string{"one", "two"}[i], Name: "N"}})
		})
	}
	wg.Wait()
	if (errs[0] == nil) == (errs[1] == nil) {
		t.Errorf("%v", errs)
	}
}
