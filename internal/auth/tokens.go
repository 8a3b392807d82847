package auth

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
)

// Life of a token.
const (
	defaultLife = 90 * 24 * time.Hour
	longestLife = 365 * 24 * time.Hour
	maxTokens   = 100 // usable tokens of one account
)

// NewToken describes a token to be made. It never has more than its account.
type NewToken struct {
	Label   string        // what it is for, up to 100 characters
	Roles   []string      // a subset of the account's; none: all that the account has, also later
	Project string        // "" for every project that the account sees
	Life    time.Duration // 0 = 90 days; at most 365 days
}

// Issued is a fresh token. Value is shown this once and not kept.
type Issued struct {
	ID      string    `json:"id"`
	Value   string    `json:"token"`
	Expires time.Time `json:"expires_at"`
}

// Token is a token without its value.
type Token struct {
	ID        string     `json:"id"`
	User      string     `json:"user"`
	Label     string     `json:"label"`
	Roles     []string   `json:"roles"` // none: all of the account's
	Project   string     `json:"project,omitempty"`
	CreatedAt time.Time  `json:"created_at"`
	CreatedBy string     `json:"created_by"`
	ExpiresAt time.Time  `json:"expires_at"`
	RevokedAt *time.Time `json:"revoked_at"`
	RevokedBy string     `json:"revoked_by,omitempty"`
	LastUsed  *time.Time `json:"last_used_at"` // to the minute
}

// minted is a token about to be stored.
type minted struct {
	id      string
	hash    [32]byte
	user    string
	by      string
	spec    NewToken
	issued  Issued
	created time.Time
}

// mint makes a token's secrets outside any transaction.
func (a *Auth) mint(spec NewToken, user, by string) (minted, error) {
	if utf8.RuneCountInString(spec.Label) > 100 || !utf8.ValidString(spec.Label) || strings.ContainsFunc(spec.Label, unicode.IsControl) {
		return minted{}, caos.Errorf(caos.Invalid, "a label has at most 100 printable characters").WithField("token.label").WithHint("shorten it")
	}
	for _, r := range spec.Roles {
		if err := checkRole(r); err != nil {
			return minted{}, err
		}
	}
	if spec.Project != "" && !projectPattern.MatchString(spec.Project) {
		return minted{}, caos.Errorf(caos.Invalid, "%q is not a project", clip(spec.Project)).WithField("token.project").WithHint("a project matches %s", projectPattern)
	}
	if spec.Life == 0 {
		spec.Life = defaultLife
	}
	if spec.Life < time.Minute || spec.Life > longestLife {
		return minted{}, caos.Errorf(caos.Invalid, "a token lives between a minute and 365 days").WithField("token.life").WithHint("choose a shorter life; 0 means 90 days")
	}
	value, id, hash, err := newToken(a.o.Random)
	if err != nil {
		return minted{}, err
	}
	now := a.o.Now()
	return minted{id: id, hash: hash, user: user, by: by, spec: spec, created: now,
		issued: Issued{ID: id, Value: value, Expires: now.Add(spec.Life).UTC().Truncate(time.Microsecond)}}, nil
}

func (a *Auth) insertToken(tx *db.Tx, m minted) {
	tx.Exec(`INSERT INTO tokens (token_id, user_id, hash, label, roles, project, created_at, created_by, expires_at)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`, m.id, m.user, m.hash[:], m.spec.Label, strings.Join(m.spec.Roles, ","), m.spec.Project,
		m.created.UnixMicro(), m.by, m.issued.Expires.UnixMicro())
}

// CreateToken makes a token for an account: one's own, or for an administrator a person's
// first one or a service's. A token made with a narrowed token is as narrow.
func (a *Auth) CreateToken(ctx context.Context, by caos.Principal, user string, spec NewToken) (Issued, error) {
	if err := caos.CheckID("user", "user", user); err != nil {
		return Issued{}, err
	}
	m, err := a.mint(spec, user, by.ID)
	if err != nil {
		return Issued{}, err
	}
	err = a.change(ctx, func(tx *db.Tx) (auditlog.Record, error) {
		m := m // the function may run again
		if err := a.authorizeToken(tx, by, &m); err != nil {
			return auditlog.Record{}, err
		}
		a.insertToken(tx, m)
		return a.record(auditlog.Access, by, "token-created", map[string]any{
			"token": m.id, "by_token": by.Token, "roles": m.spec.Roles, "project": m.spec.Project, "expires_at": caos.FormatTime(m.issued.Expires),
		}, user), nil
	})
	return m.issued, err
}

func (a *Auth) authorizeToken(tx *db.Tx, by caos.Principal, m *minted) error {
	holder, err := a.fromTx(tx, key{user: m.user})
	if err != nil {
		return err
	}
	kind := Person
	if holder != nil {
		kind = holder.kind
	}
	usable, err := a.usableTokens(tx, m.user)
	if err != nil {
		return err
	}
	res := Resource{Type: "Token", ID: m.id, Owner: m.user}
	if err := a.Authorize(tx, by, "token:create", res, map[string]any{"holder": kind, "first": usable == 0}); err != nil {
		return err
	}
	if holder == nil {
		return noUser(m.user)
	}
	if !holder.enabled {
		return caos.Errorf(caos.Conflict, "%s is disabled", m.user).WithHint("enable the account first")
	}
	if usable >= maxTokens {
		return caos.Errorf(caos.Limited, "%s has %d usable tokens", m.user, usable).WithHint("revoke those that are not needed")
	}
	if by.ID == m.user && by.Token != "" {
		if err := a.inherit(tx, by, m); err != nil {
			return err
		}
	}
	for _, r := range m.spec.Roles {
		if !slices.Contains(holder.roles, r) {
			return caos.Errorf(caos.Invalid, "%s does not hold the role %s", m.user, r).WithField("token.roles").WithHint("name roles that the account holds, or none for all of them")
		}
	}
	if p := m.spec.Project; p != "" && holder.standing.Scoped && !slices.Contains(holder.standing.Projects, p) {
		return caos.Errorf(caos.Invalid, "%s does not see the project %s", m.user, p).WithField("token.project").WithHint("name a project within the account's scope")
	}
	return nil
}

// inherit keeps a narrowed token from making a wider one.
func (a *Auth) inherit(tx *db.Tx, by caos.Principal, m *minted) error {
	own, err := a.fromTx(tx, key{token: by.Token})
	if err != nil || own == nil {
		return orGone(err, "the token that asks is gone")
	}
	if own.project != "" {
		if m.spec.Project != "" && m.spec.Project != own.project {
			return caos.Errorf(caos.Denied, "this token is limited to project %s", own.project).WithField("token.project").WithRule("token-no-wider")
		}
		m.spec.Project = own.project
	}
	if !own.narrow {
		return nil
	}
	if len(own.roles) == 0 { // an empty list would mean every role
		return caos.Errorf(caos.Denied, "this token has no role left to pass on").WithField("token.roles").WithRule("token-no-wider")
	}
	if len(m.spec.Roles) == 0 {
		m.spec.Roles = own.roles
	}
	for _, r := range m.spec.Roles {
		if !slices.Contains(own.roles, r) {
			return caos.Errorf(caos.Denied, "this token does not have the role %s", r).WithField("token.roles").WithRule("token-no-wider")
		}
	}
	return nil
}

func orGone(err error, text string) error {
	if err != nil {
		return err
	}
	return caos.Errorf(caos.Unauthenticated, "%s", text)
}

func (a *Auth) usableTokens(tx *db.Tx, user string) (n int64, err error) {
	err = tx.QueryRow(`SELECT COUNT(*) FROM tokens WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2`, user, a.micro()).Scan(&n)
	return n, err
}

// RevokeToken ends a token: one's own, or as an administrator anyone's. It counts at once
// on this node and within a second on others.
func (a *Auth) RevokeToken(ctx context.Context, by caos.Principal, token string) error {
	if len(token) != idChars || !inAlphabet(token) {
		return caos.Errorf(caos.Invalid, "%q is not a token id", clip(token)).WithField("token").WithHint("the id is the part between the two underscores")
	}
	return a.change(ctx, func(tx *db.Tx) (auditlog.Record, error) {
		f, err := a.fromTx(tx, key{token: token})
		if err != nil {
			return auditlog.Record{}, err
		}
		res := Resource{Type: "Token", ID: token}
		if f != nil {
			res.Owner = f.user
		}
		if err := a.Authorize(tx, by, "token:revoke", res, nil); err != nil {
			return auditlog.Record{}, err
		}
		if f == nil {
			return auditlog.Record{}, caos.Errorf(caos.NotFound, "there is no token %s", token)
		}
		tx.ExecOne(caos.Errorf(caos.Conflict, "the token is revoked already"),
			`UPDATE tokens SET revoked_at = $1, revoked_by = $2 WHERE token_id = $3 AND revoked_at IS NULL`, a.micro(), by.ID, token)
		return a.record(auditlog.Access, by, "token-revoked", map[string]any{"revoked_token": token}, f.user), nil
	})
}

// ListTokens returns the tokens of an account, newest first, at most 1000.
func (a *Auth) ListTokens(ctx context.Context, p caos.Principal, user string) ([]Token, error) {
	if err := caos.CheckID("user", "user", user); err != nil {
		return nil, err
	}
	if err := a.Allow(p, "token:read", Resource{Type: "Token", ID: "tokens", Owner: user}); err != nil {
		return nil, err
	}
	rows, err := a.o.DB.Query(ctx, `SELECT token_id, user_id, label, roles, project, created_at, created_by, expires_at, revoked_at, COALESCE(revoked_by, ''), last_used_at
  FROM tokens WHERE user_id = $1 ORDER BY created_at DESC, token_id LIMIT 1000`, user)
	if err != nil {
		return nil, unavailable(err)
	}
	defer rows.Close()
	var out []Token
	for rows.Next() {
		var t Token
		var roles string
		var created, expires int64
		var revoked, used *int64
		if err := rows.Scan(&t.ID, &t.User, &t.Label, &roles, &t.Project, &created, &t.CreatedBy, &expires, &revoked, &t.RevokedBy, &used); err != nil {
			return nil, err
		}
		t.Roles = append([]string{}, splitList(roles)...)
		t.CreatedAt, t.ExpiresAt = time.UnixMicro(created).UTC(), time.UnixMicro(expires).UTC()
		t.RevokedAt, t.LastUsed = moment(revoked), moment(used)
		out = append(out, t)
	}
	return out, rows.Err()
}

func moment(micro *int64) *time.Time {
	if micro == nil {
		return nil
	}
	t := time.UnixMicro(*micro).UTC()
	return &t
}
