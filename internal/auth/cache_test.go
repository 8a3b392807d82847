package auth

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
)

// What was read before a change must not be kept after it, however late it arrives.
func TestCacheKeepsNothingStale(t *testing.T) {
	e := start(t, dbtest.Open(t, db.SQLite))
	ctx := context.Background()
	p := e.as("ml")
	k := key{token: p.Token}
	old, err := e.cached(ctx, k)
	ok(t, err)
	ok(t, e.RevokeToken(ctx, p, p.Token))
	e.cache.put(k, old) // a slow reader, before anyone asked for the epoch again
	if e.cache.get(k) != nil {
		t.Error("kept while the epoch is unknown")
	}
	ok(t, e.refresh(ctx))
	e.cache.put(k, old)
	if e.cache.get(k) != nil {
		t.Error("kept although it is of an older epoch")
	}
	// Facts that a transaction read may be rolled back with it.
	err = e.d.Update(ctx, func(tx *db.Tx) error {
		tx.Exec(`UPDATE users SET enabled = 0 WHERE user_id = $1`, "qa")
		e.raise(tx)
		if _, enabled, err := e.KnownActor(tx, "qa"); enabled || err != nil {
			t.Errorf("the transaction does not see its own change: %v", err)
		}
		return errors.New("changed my mind")
	})
	if err == nil {
		t.Fatal("no error")
	}
	e.as("qa")
}

// While accounts change and are asked for at once, a revoked token never works after its
// revocation was answered.
func TestRevocationIsNeverOutrun(t *testing.T) {
	e := start(t, dbtest.Open(t, db.SQLite))
	ctx := context.Background()
	root := e.strong("root")
	var tokens []Issued
	for range 20 {
		i, err := e.CreateToken(ctx, root, "robot", NewToken{})
		ok(t, err)
		tokens = append(tokens, i)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 { // keep the cache busy
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
					_, _ = e.Authenticate(ctx, tokens[n%len(tokens)].Value, "", nil)
				}
			}
		})
	}
	for _, i := range tokens {
		ok(t, e.RevokeToken(ctx, root, i.ID))
		if _, err := e.Authenticate(ctx, i.Value, "", nil); caos.KindOf(err) != caos.Unauthenticated {
			t.Errorf("a revoked token works: %v", err)
		}
	}
	close(done)
	wg.Wait()
}

// Work that outlives its request asks without its token: expiry does not matter, what was
// taken away does, and the token's limits stay.
func TestLaterWork(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := context.Background()
		i, err := e.CreateToken(ctx, e.strong("ml"), "ml", NewToken{Roles: []string{"data-engineer"}, Project: "alpha", Life: time.Hour})
		ok(t, err)
		p, err := e.Authenticate(ctx, i.Value, "", nil)
		ok(t, err)
		e.clock.move(2 * time.Hour)
		evidence := func(project string) Resource { return Resource{Type: "Evidence", ID: "E", Project: project} }
		want(t, e.inTx(p, "evidence:read", evidence("alpha")), caos.Unauthenticated, RuleAccount)
		p.Token = ""
		ok(t, e.inTx(p, "evidence:read", evidence("alpha")))
		want(t, e.inTx(p, "evidence:read", evidence("beta")), caos.Denied, "need-to-know-project")
		want(t, e.inTx(p, "hook:submit", Resource{Type: "Hook", ID: "CAOS.PROD.CERT.AUDIT", Project: "alpha"}), caos.Denied)
		ok(t, e.RevokeRole(ctx, e.strong("root"), "ml", "data-engineer"))
		want(t, e.inTx(p, "evidence:read", evidence("alpha")), caos.Denied)
	})
}

func TestRunFlushesAtItsEnd(t *testing.T) {
	e := start(t, dbtest.Open(t, db.SQLite))
	_, _ = e.Authenticate(context.Background(), "x", "", nil)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { e.Run(ctx); close(ended) }()
	cancel()
	<-ended
	if got := e.log.events(); got[len(got)-1] != "authentication-failures" {
		t.Errorf("events %v", got)
	}
}

func TestNewNeedsItsParts(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("made of nothing")
	}
}
