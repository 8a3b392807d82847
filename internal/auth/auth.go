package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/policy"
)

// Recorder is the audit log.
type Recorder interface {
	Append(tx *db.Tx, r auditlog.Record) (auditlog.Receipt, error)
}

// Options are what an Auth is made of. DB, Log, Policies and Sealer are required.
type Options struct {
	DB       *db.DB
	Log      Recorder
	Policies *policy.Set
	Sealer   Sealer    // encrypts TOTP secrets at rest
	Origin   string    // the log's origin, part of key statements and of the TOTP label
	Random   io.Reader // nil: crypto/rand
	Now      func() time.Time
	Logger   *slog.Logger
}

// Auth is the identity of one node. Use it from any goroutine.
type Auth struct {
	o        Options
	cache    cache
	failures failures
	refusals refusals
	used     lastUsed
	missed   chan key // accounts that transactions looked for in vain in the cache
}

// How often counts and last-used times are written, see [Auth.Run].
const flushEvery = time.Minute

// New makes an Auth. It reads nothing yet.
func New(o Options) (*Auth, error) {
	if o.DB == nil || o.Log == nil || o.Policies == nil || o.Sealer == nil {
		return nil, errors.New("auth: DB, Log, Policies and Sealer are required")
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Origin == "" {
		o.Origin = "caos"
	}
	a := &Auth{o: o, missed: make(chan key, 64)}
	a.cache.init()
	a.failures.init()
	a.refusals.init()
	a.used.init()
	return a, nil
}

// Start records the policies in force if they differ from those of the last start.
func (a *Auth) Start(ctx context.Context) error {
	digest := a.o.Policies.Digest()
	return a.o.DB.Update(ctx, func(tx *db.Tx) error {
		var before string
		if err := tx.QueryRow(`SELECT policy FROM auth_state WHERE id = 1`).Scan(&before); err != nil {
			return err
		}
		if before == digest {
			return nil
		}
		tx.Exec(`UPDATE auth_state SET policy = $1 WHERE id = 1`, digest)
		ids := make([]string, 0, 64)
		for _, p := range a.o.Policies.List() {
			ids = append(ids, p.ID)
		}
		_, err := a.o.Log.Append(tx, auditlog.Record{
			Type: auditlog.ConfigChange, Actor: "caos", Time: a.o.Now(), Resources: []string{"policies"},
			Details: map[string]any{"event": "policies-changed", "before": before, "after": digest, "policies": ids},
		})
		return err
	})
}

// Run writes counts and last-used times every minute until ctx ends, and once more then. In
// between it caches the accounts that transactions asked for.
func (a *Auth) Run(ctx context.Context) {
	t := time.NewTicker(flushEvery)
	defer t.Stop()
	for {
		select {
		case k := <-a.missed:
			_, _ = a.cached(ctx, k) // an error shows itself where the account is needed
		case <-t.C:
			if err := a.Flush(ctx); err != nil {
				a.o.Logger.WarnContext(ctx, "auth: counts were not written, they are kept for the next minute", "error", err)
			}
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if err := a.Flush(last); err != nil {
				a.o.Logger.WarnContext(last, "auth: the last counts were not written", "error", err)
			}
			return
		}
	}
}

// Flush writes what Run writes, now.
func (a *Auth) Flush(ctx context.Context) error {
	return errors.Join(a.flushFailures(ctx), a.flushRefusals(ctx), a.flushUsed(ctx))
}

// change runs one audited change of identity: the change itself, the new epoch and the
// record commit together, and this node forgets what it cached before anyone is answered.
func (a *Auth) change(ctx context.Context, fn func(tx *db.Tx) (auditlog.Record, error)) error {
	err := a.o.DB.Update(ctx, func(tx *db.Tx) error {
		rec, err := fn(tx)
		if err != nil {
			return err
		}
		a.raise(tx)
		_, err = a.o.Log.Append(tx, rec)
		return err
	})
	if err != nil {
		return errors.Join(err, a.RecordRefusal(ctx, err))
	}
	return nil
}

// raise makes every cache out of date when tx commits.
func (a *Auth) raise(tx *db.Tx) {
	tx.Exec(`UPDATE auth_state SET epoch = epoch + 1 WHERE id = 1`)
	tx.Keep(a, nil)
	tx.AfterCommit(a.cache.invalidate)
}

// record begins the record of a change that p makes.
func (a *Auth) record(typ auditlog.Type, p caos.Principal, event string, details map[string]any, resources ...string) auditlog.Record {
	if details == nil {
		details = make(map[string]any)
	}
	details["event"] = event
	if p.Token != "" {
		details["token"] = p.Token
	}
	if p.MFA != "" {
		details["mfa"] = p.MFA
	}
	return auditlog.Record{Type: typ, Time: a.o.Now(), Actor: p.ID, RecordedBy: p.ID, Resources: resources, Details: details}
}
