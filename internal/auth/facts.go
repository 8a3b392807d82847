package auth

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/policy"
)

// facts is one account, and the token it came with if any, at one epoch. It is never
// changed after it was made.
type facts struct {
	epoch    int64
	user     string
	kind     string // "person" or "service"
	enabled  bool
	roles    []string // of the account, narrowed by the token; sorted
	standing policy.Standing
	subject  *policy.Subject // without second factor, without EnabledBy

	token   string // id, "" if the account was looked up by itself
	hash    []byte
	issuer  string // who created the token
	expires time.Time
	revoked bool
	narrow  bool   // the token has fewer roles than the account
	project string // of the token, "" for all
}

// The two queries read an account in one statement, and so at one moment, epoch included.
const (
	accountColumns = `u.user_id, u.kind, u.enabled, u.scoped, s.epoch,
  COALESCE((SELECT string_agg(r.role, ',') FROM user_roles r WHERE r.user_id = u.user_id), ''),
  COALESCE((SELECT string_agg(c.kind || ':' || c.value, ',') FROM user_scopes c WHERE c.user_id = u.user_id), '')`
	byUserSQL  = `SELECT ` + accountColumns + ` FROM users u CROSS JOIN auth_state s WHERE u.user_id = $1`
	byTokenSQL = `SELECT ` + accountColumns + `, t.token_id, t.hash, t.created_by, t.expires_at, t.revoked_at, t.roles, t.project
  FROM tokens t JOIN users u ON u.user_id = t.user_id CROSS JOIN auth_state s WHERE t.token_id = $1`
)

// key names what facts are about: a token, or an account by itself.
type key struct{ token, user string }

// load reads facts through scan, which is that of a pool's or of a transaction's row. It
// returns nil if there is no such account or token.
func (a *Auth) load(k key, row func(query string, args ...any) func(...any) error) (*facts, error) {
	f := &facts{}
	var roles, scopes, tokenRoles string
	var expires int64
	var revoked sql.NullInt64
	dest := []any{&f.user, &f.kind, &f.enabled, &f.standing.Scoped, &f.epoch, &roles, &scopes}
	query, arg := byUserSQL, k.user
	if k.token != "" {
		query, arg = byTokenSQL, k.token
		dest = append(dest, &f.token, &f.hash, &f.issuer, &expires, &revoked, &tokenRoles, &f.project)
	}
	err := row(query, arg)(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f.roles = splitList(roles)
	for _, s := range splitList(scopes) {
		if kind, value, _ := strings.Cut(s, ":"); kind == "project" {
			f.standing.Projects = append(f.standing.Projects, value)
		} else {
			f.standing.Clearances = append(f.standing.Clearances, value)
		}
	}
	if k.token != "" {
		f.expires, f.revoked = time.UnixMicro(expires), revoked.Valid
		f.narrowTo(splitList(tokenRoles))
	}
	slices.Sort(f.roles)
	f.subject = a.o.Policies.NewSubject(caos.Principal{ID: f.user, Roles: f.roles}, f.standing)
	return f, nil
}

// narrowTo applies the limits of a token: some of the account's roles, one project.
func (f *facts) narrowTo(roles []string) {
	if len(roles) > 0 {
		f.narrow = true
		f.roles = slices.DeleteFunc(f.roles, func(r string) bool { return !slices.Contains(roles, r) })
	}
	if f.project != "" {
		f.standing = limitTo(f.standing, f.project)
	}
}

// limitTo narrows a standing to one project; to none if the account lost that project.
func limitTo(st policy.Standing, project string) policy.Standing {
	if st.Scoped && !slices.Contains(st.Projects, project) {
		st.Projects = nil
	} else {
		st.Projects = []string{project}
	}
	st.Scoped = true
	return st
}

func splitList(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// fromTx reads facts inside a transaction. They are not cached: it may yet be rolled back.
func (a *Auth) fromTx(tx *db.Tx, k key) (*facts, error) {
	return a.load(k, func(query string, args ...any) func(...any) error { return tx.QueryRow(query, args...).Scan })
}

// cached returns current facts outside a transaction, nil if there are none.
func (a *Auth) cached(ctx context.Context, k key) (*facts, error) {
	if err := a.refresh(ctx); err != nil {
		return nil, err
	}
	if f := a.cache.get(k); f != nil {
		return f, nil
	}
	f, err := a.load(k, func(query string, args ...any) func(...any) error { return a.o.DB.QueryRow(ctx, query, args...).Scan })
	if err != nil {
		return nil, unavailable(err)
	}
	if f != nil {
		a.cache.put(k, f)
	}
	return f, nil
}

func unavailable(err error) error {
	if e := (*caos.Error)(nil); errors.As(err, &e) {
		return err
	}
	return caos.Wrap(caos.Unavailable, err, "accounts cannot be read now").WithHint("try again")
}

// cache holds facts that were current at one epoch, and when that was last confirmed.
type cache struct {
	refreshing sync.Mutex // held while one caller asks for the epoch

	mu      sync.RWMutex
	known   map[key]*facts // guarded by mu, at most cacheLimit, all of epoch
	epoch   int64          // guarded by mu
	valid   bool           // guarded by mu; false: ask for the epoch before anything else
	checked time.Time      // guarded by mu: the moment before epoch was last asked for
	changes uint64         // guarded by mu: how often this node changed something
}

const (
	cacheLimit = 16384
	// trust is how long an epoch counts as current. With the time of the query itself it
	// stays under the second within which a revocation must count everywhere.
	trust        = 500 * time.Millisecond
	epochTimeout = 2 * time.Second
	epochSQL     = `SELECT epoch FROM auth_state WHERE id = 1`
)

func (c *cache) init() { c.known = make(map[key]*facts) }

func (c *cache) get(k key) *facts {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.known[k]
}

// at returns cached facts if they are of this very epoch.
func (c *cache) at(k key, epoch int64) *facts {
	if f := c.get(k); f != nil && f.epoch == epoch {
		return f
	}
	return nil
}

// put keeps facts unless something changed since the epoch was confirmed.
func (c *cache) put(k key, f *facts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.valid || f.epoch != c.epoch {
		return
	}
	if len(c.known) >= cacheLimit {
		clear(c.known)
	}
	c.known[k] = f
}

// invalidate forgets everything. It runs after a COMMIT and must not block.
func (c *cache) invalidate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.valid = false
	c.changes++
	clear(c.known)
}

// fresh reports whether the epoch was confirmed recently. A clock that went back is no
// proof of anything.
func (c *cache) fresh(now time.Time) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	age := now.Sub(c.checked)
	return c.valid && age >= 0 && age < trust
}

// refresh confirms the epoch if that was not done lately. It fails closed: without an
// answer from the database nobody is authenticated.
func (a *Auth) refresh(ctx context.Context) error {
	c := &a.cache
	if c.fresh(a.o.Now()) {
		return nil
	}
	c.refreshing.Lock()
	defer c.refreshing.Unlock()
	for !c.fresh(a.o.Now()) {
		c.mu.RLock()
		changes := c.changes
		c.mu.RUnlock()
		before := a.o.Now()
		epoch, err := a.readEpoch(ctx)
		if err != nil {
			return unavailable(err)
		}
		c.mu.Lock()
		// If this node changed something meanwhile, the answer may be from before it.
		current := c.changes == changes
		if current {
			if epoch != c.epoch {
				clear(c.known)
			}
			c.epoch, c.valid, c.checked = epoch, true, before
		}
		c.mu.Unlock()
		if current {
			return nil // also if the query took longer than the trust: it is as new as can be
		}
	}
	return nil
}

// readEpoch does not end with the caller: others wait for the answer too.
func (a *Auth) readEpoch(ctx context.Context) (epoch int64, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), epochTimeout)
	defer cancel()
	err = a.o.DB.QueryRow(ctx, epochSQL).Scan(&epoch)
	return epoch, err
}
