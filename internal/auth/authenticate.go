package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"sync"

	"caos"
	"caos/internal/db"
)

// Why an authentication failed, as counted and recorded. Callers learn less.
const (
	failMissing   = "no token"
	failMalformed = "malformed token"
	failUnknown   = "unknown token"
	failExpired   = "expired token"
	failRevoked   = "revoked token"
	failDisabled  = "disabled account"
	failFactor    = "wrong second factor"
)

type sourceKey struct{}

// WithSource returns a context that says where a request comes from (an address without
// port, or any short name). Failed authentications are counted by it.
func WithSource(ctx context.Context, source string) context.Context {
	return context.WithValue(ctx, sourceKey{}, source)
}

func sourceOf(ctx context.Context) string {
	s, _ := ctx.Value(sourceKey{}).(string)
	if s == "" {
		return "unknown"
	}
	return s
}

// Authenticate returns who sent a request. bearer is the token (without the word Bearer),
// mfa the value of the header CAOS-MFA ("" for none), digest what identifies this one
// request (any bytes: its method, target and body hashed). A code that was used, for
// whatever came of the request, is used up.
//
// Errors: Unauthenticated, without telling an unknown token from an expired one; Limited
// after too many wrong codes; Unavailable if accounts cannot be read.
func (a *Auth) Authenticate(ctx context.Context, bearer, mfa string, digest []byte) (caos.Principal, error) {
	f, reason, err := a.identify(ctx, bearer)
	if err != nil {
		return caos.Principal{}, err
	}
	if reason != "" {
		a.failures.count(sourceOf(ctx), reason)
		return caos.Principal{}, refusedToken(reason)
	}
	p := caos.Principal{ID: f.user, Roles: slices.Clone(f.roles), Token: f.token, Project: f.defaultProject()}
	if mfa != "" {
		if err := a.useCode(ctx, p, mfa, digest); err != nil {
			if k := caos.KindOf(err); k == caos.Unauthenticated || k == caos.Limited {
				a.failures.count(sourceOf(ctx), failFactor)
			}
			return caos.Principal{}, err
		}
		p.MFA = "totp"
	}
	a.used.note(f.token, a.o.Now())
	return p, nil
}

// identify finds the account of a token. A reason means that there is none to be had.
func (a *Auth) identify(ctx context.Context, bearer string) (f *facts, reason string, err error) {
	if bearer == "" {
		return nil, failMissing, nil
	}
	id, ok := parseToken(bearer)
	if !ok {
		return nil, failMalformed, nil
	}
	if f, err = a.cached(ctx, key{token: id}); err != nil {
		return nil, "", err
	}
	// The hash is compared before anything is said about the token, and an unknown id
	// costs the same comparison.
	sum := sha256.Sum256([]byte(bearer))
	if f == nil {
		var none [32]byte
		_ = subtle.ConstantTimeCompare(sum[:], none[:])
		return nil, failUnknown, nil
	}
	if subtle.ConstantTimeCompare(sum[:], f.hash) != 1 {
		return nil, failUnknown, nil
	}
	return f, a.unusable(f), nil
}

// unusable says why an account or its token cannot act now, "" if it can.
func (a *Auth) unusable(f *facts) string {
	switch {
	case f.revoked:
		return failRevoked
	case f.token != "" && !a.o.Now().Before(f.expires):
		return failExpired
	case !f.enabled:
		return failDisabled
	}
	return ""
}

// refusedToken is one answer for everything that is wrong with a token: the holder of a
// stolen or guessed one learns nothing from it.
func refusedToken(reason string) error {
	if reason == failMissing {
		return caos.Errorf(caos.Unauthenticated, "a token is required").
			WithHint("send the header Authorization: Bearer caos_…; tokens are made with: caos token create")
	}
	return caos.Errorf(caos.Unauthenticated, "the token is not valid").
		WithHint("it may be mistyped, expired or revoked: ask for a new one")
}

// defaultProject is the project that the principal's work belongs to unless it says
// otherwise: the token's, else the only one that the account sees.
func (f *facts) defaultProject() string {
	if f.project != "" {
		return f.project
	}
	if f.standing.Scoped && len(f.standing.Projects) == 1 {
		return f.standing.Projects[0]
	}
	return ""
}

// lastUsed gathers when tokens were last used, to be written once a minute.
type lastUsed struct {
	mu sync.Mutex
	at map[string]int64 // token id → microseconds; guarded by mu
}

func (u *lastUsed) init() { u.at = make(map[string]int64) }

func (u *lastUsed) note(token string, now interface{ UnixMicro() int64 }) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.at[token] = now.UnixMicro()
}

func (u *lastUsed) take() map[string]int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := u.at
	u.at = make(map[string]int64)
	return out
}

// flushUsed writes the gathered times, a hundred in a transaction. They are informative:
// what cannot be written is dropped.
func (a *Auth) flushUsed(ctx context.Context) error {
	at := a.used.take()
	ids := make([]string, 0, len(at))
	for id := range at {
		ids = append(ids, id)
	}
	slices.Sort(ids) // in one order on every node: no deadlock
	for part := range slices.Chunk(ids, 100) {
		err := a.o.DB.Write(ctx, func(tx *db.Tx) error {
			for _, id := range part {
				tx.Exec(`UPDATE tokens SET last_used_at = $1 WHERE token_id = $2 AND (last_used_at IS NULL OR last_used_at < $3)`, at[id], id, at[id])
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
