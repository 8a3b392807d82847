package auth

import (
	"context"
	"database/sql"
	"errors"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
)

// The kinds of account.
const (
	Person  = "person"
	Service = "service" // a program; it has the role service or none
)

// User is an account. Name and Mail never leave the table users but through here.
type User struct {
	ID        string    `json:"id"`
	Kind      string    `json:"kind"` // "person" or "service"
	Name      string    `json:"name"`
	Mail      string    `json:"mail,omitempty"`
	Enabled   bool      `json:"enabled"`
	Roles     []string  `json:"roles"`
	Scope     Scope     `json:"scope"`
	MFA       bool      `json:"mfa"` // has a second factor
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by"`
}

// Scope is what an account may see.
type Scope struct {
	AllProjects bool     `json:"all_projects"`
	Projects    []string `json:"projects"`   // none if AllProjects
	Clearances  []string `json:"clearances"` // of Restricted, Confidential, Regulated
}

// NewUser describes an account to be made.
type NewUser struct {
	ID    string    // grammar "user" of the root package
	Kind  string    // "" = Person
	Name  string    // shown to people, 1 to 200 characters
	Mail  string    // may be ""
	Roles []string  // granted at once, each under the rules of GrantRole
	Scope *Scope    // nil: every project, no clearance
	Token *NewToken // first way in; nil for none
}

// Created is what CreateUser hands over. Secrets are shown this once.
type Created struct {
	User  string      `json:"user"`
	Token *Issued     `json:"token,omitempty"`
	TOTP  *TOTPSecret `json:"totp,omitempty"` // Bootstrap only
}

var (
	projectPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	reservedUsers  = []string{"caos", "system", "anonymous", "nobody"}
)

const maxScope = 100 // projects of one account

func (u NewUser) check() error {
	if err := caos.CheckID("user", "id", u.ID); err != nil {
		return err
	}
	if slices.Contains(reservedUsers, u.ID) {
		return caos.Errorf(caos.Invalid, "%q is reserved", u.ID).WithField("id").WithHint("choose another id")
	}
	if u.Kind != Person && u.Kind != Service {
		return caos.Errorf(caos.Invalid, "kind must be %q or %q", Person, Service).WithField("kind")
	}
	if n := utf8.RuneCountInString(u.Name); n < 1 || n > 200 || !utf8.ValidString(u.Name) || strings.ContainsFunc(u.Name, unicode.IsControl) {
		return caos.Errorf(caos.Invalid, "a name has 1 to 200 printable characters").WithField("name")
	}
	if u.Mail != "" {
		if addr, err := mail.ParseAddress(u.Mail); err != nil || addr.Address != u.Mail || len(u.Mail) > 254 {
			return caos.Errorf(caos.Invalid, "not a mail address").WithField("mail").WithHint("give the bare address, or leave it empty")
		}
	}
	for _, r := range u.Roles {
		if err := checkRole(r); err != nil {
			return err
		}
	}
	return u.scope().check()
}

func (u NewUser) scope() Scope {
	if u.Scope == nil {
		return Scope{AllProjects: true}
	}
	return *u.Scope
}

func (s Scope) check() error {
	if s.AllProjects && len(s.Projects) > 0 {
		return caos.Errorf(caos.Invalid, "either all projects or some").WithField("scope.projects").WithHint("set all_projects to false")
	}
	if len(s.Projects) > maxScope {
		return caos.Errorf(caos.TooLarge, "%d projects, at most %d", len(s.Projects), maxScope).WithField("scope.projects")
	}
	for _, p := range s.Projects {
		if !projectPattern.MatchString(p) {
			return caos.Errorf(caos.Invalid, "%q is not a project", clip(p)).WithField("scope.projects").WithHint("a project matches %s", projectPattern)
		}
	}
	for _, c := range s.Clearances {
		if !slices.Contains(clearances(), c) {
			return caos.Errorf(caos.Invalid, "%q needs or has no clearance", clip(c)).WithField("scope.clearances").
				WithHint("one of %s", strings.Join(clearances(), ", "))
		}
	}
	return nil
}

func checkRole(role string) error {
	if !slices.Contains(caos.Roles(), role) {
		return caos.Errorf(caos.Invalid, "there is no role %q", clip(role)).WithField("role").WithHint("one of %s", strings.Join(caos.Roles(), ", "))
	}
	return nil
}

func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}

// CreateUser makes an account with its roles, scope and first token, all or nothing.
func (a *Auth) CreateUser(ctx context.Context, by caos.Principal, u NewUser) (Created, error) {
	out, err := a.CreateUsers(ctx, by, []NewUser{u})
	if err != nil {
		return Created{}, err
	}
	return out[0], nil
}

// CreateUsers makes up to 50 accounts in one transaction, under one second factor.
func (a *Auth) CreateUsers(ctx context.Context, by caos.Principal, users []NewUser) ([]Created, error) {
	if len(users) == 0 || len(users) > 50 {
		return nil, caos.Errorf(caos.Invalid, "give 1 to 50 users").WithField("users")
	}
	for i := range users {
		if users[i].Kind == "" {
			users[i].Kind = Person
		}
		if err := users[i].check(); err != nil {
			return nil, err
		}
	}
	out := make([]Created, len(users))
	tokens := make([]minted, len(users))
	for i, u := range users {
		out[i].User = u.ID
		if u.Token == nil {
			continue
		}
		var err error
		if tokens[i], err = a.mint(*u.Token, u.ID, by.ID); err != nil {
			return nil, err
		}
		out[i].Token = &tokens[i].issued
	}
	err := a.change(ctx, func(tx *db.Tx) (auditlog.Record, error) {
		var ids []string
		var made []map[string]any
		for i, u := range users {
			if err := a.createOne(tx, by, u, tokens[i]); err != nil {
				return auditlog.Record{}, err
			}
			ids = append(ids, u.ID)
			made = append(made, map[string]any{"user": u.ID, "kind": u.Kind, "roles": u.Roles, "scope": u.scope(), "first_token": tokens[i].id})
		}
		return a.record(auditlog.Access, by, "users-created", map[string]any{"users": made}, ids...), nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (a *Auth) createOne(tx *db.Tx, by caos.Principal, u NewUser, token minted) error {
	v := a.At(tx)
	if err := v.Authorize(by, "user:create", account(u.ID), nil); err != nil {
		return err
	}
	n, err := a.insertUser(tx, u, by.ID)
	if err != nil {
		return err
	}
	if n == 0 {
		return caos.Errorf(caos.Conflict, "there is a user %s already", u.ID).WithField("id").WithHint("choose another id; ids are never used again")
	}
	var held []string
	for _, role := range u.Roles {
		if err := v.authorizeGrant(by, holding{u.ID, u.Kind, held}, role); err != nil {
			return err
		}
		a.insertRole(tx, u.ID, role, by.ID)
		held = append(held, role)
	}
	if u.Scope != nil {
		if err := v.Authorize(by, "user:scope", account(u.ID), nil); err != nil {
			return err
		}
		a.insertScope(tx, u.ID, *u.Scope, by.ID)
	}
	if token.id == "" {
		return nil
	}
	facts := map[string]any{"holder": u.Kind, "first": true}
	if err := v.Authorize(by, "token:create", Resource{Type: "Token", ID: token.id, Owner: u.ID}, facts); err != nil {
		return err
	}
	a.insertToken(tx, token)
	return nil
}

func (a *Auth) insertUser(tx *db.Tx, u NewUser, by string) (int64, error) {
	now := a.micro()
	return tx.ExecRows(`INSERT INTO users (user_id, kind, name, mail, enabled, scoped, created_at, created_by, changed_at)
  VALUES ($1, $2, $3, $4, 1, $5, $6, $7, $8) ON CONFLICT (user_id) DO NOTHING`,
		u.ID, u.Kind, u.Name, u.Mail, flag(!u.scope().AllProjects), now, by, now)
}

func (a *Auth) insertRole(tx *db.Tx, user, role, by string) {
	tx.Exec(`INSERT INTO user_roles (user_id, role, granted_at, granted_by) VALUES ($1, $2, $3, $4) ON CONFLICT (user_id, role) DO NOTHING`,
		user, role, a.micro(), by)
}

func (a *Auth) insertScope(tx *db.Tx, user string, s Scope, by string) {
	for kind, values := range map[string][]string{"project": s.Projects, "clearance": s.Clearances} {
		for _, v := range values {
			tx.Exec(`INSERT INTO user_scopes (user_id, kind, value, granted_at, granted_by) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (user_id, kind, value) DO NOTHING`,
				user, kind, v, a.micro(), by)
		}
	}
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// holding is an account and the roles that it has.
type holding struct {
	user, kind string
	roles      []string
}

// authorizeGrant applies the rules of a grant: who may, not to oneself, what does not go
// together, and that programs have the role service alone.
func (v *View) authorizeGrant(by caos.Principal, to holding, role string) error {
	further := map[string]any{"role": role, "held": append([]string{}, to.roles...)}
	if err := v.Authorize(by, "role:grant", account(to.user), further); err != nil {
		return err
	}
	return suits(to.kind, role)
}

// suits refuses roles of people for services, and the other way round.
func suits(kind, role string) error {
	if (kind == Service) != (role == "service") {
		return caos.Errorf(caos.Conflict, "the role %s is not for a %s", role, kind).WithField("role").
			WithHint("services have the role service, people any other")
	}
	return nil
}

// GrantRole gives an account a role. The separations of package policy hold.
func (a *Auth) GrantRole(ctx context.Context, by caos.Principal, user, role string) error {
	if err := errors.Join(caos.CheckID("user", "user", user), checkRole(role)); err != nil {
		return err
	}
	return a.change(ctx, func(tx *db.Tx) (auditlog.Record, error) {
		v := a.At(tx)
		f, err := a.fromTx(tx, key{user: user})
		if err == nil && f == nil {
			// Nobody learns from here who exists.
			f = &facts{user: user, kind: Person}
		}
		if err != nil {
			return auditlog.Record{}, err
		}
		if err := v.authorizeGrant(by, holding{user, f.kind, f.roles}, role); err != nil {
			return auditlog.Record{}, err
		}
		if f.subject == nil {
			return auditlog.Record{}, noUser(user)
		}
		a.insertRole(tx, user, role, by.ID)
		return a.record(auditlog.Access, by, "role-granted", map[string]any{"role": role}, user), nil
	})
}

// RevokeRole takes a role away. The last enabled administrator keeps theirs.
func (a *Auth) RevokeRole(ctx context.Context, by caos.Principal, user, role string) error {
	if err := errors.Join(caos.CheckID("user", "user", user), checkRole(role)); err != nil {
		return err
	}
	return a.change(ctx, func(tx *db.Tx) (auditlog.Record, error) {
		if err := a.Authorize(tx, by, "role:revoke", account(user), map[string]any{"role": role}); err != nil {
			return auditlog.Record{}, err
		}
		if role == "admin" {
			if err := a.keepAdmin(tx, user); err != nil {
				return auditlog.Record{}, err
			}
		}
		tx.ExecOne(caos.Errorf(caos.NotFound, "%s does not hold the role %s", user, role),
			`DELETE FROM user_roles WHERE user_id = $1 AND role = $2`, user, role)
		return a.record(auditlog.Access, by, "role-revoked", map[string]any{"role": role}, user), nil
	})
}

// keepAdmin refuses if nobody else is an enabled administrator. The transaction holds the
// log's head, so no other node can take away another one meanwhile.
func (a *Auth) keepAdmin(tx *db.Tx, user string) error {
	var n int64
	err := tx.QueryRow(`SELECT COUNT(*) FROM user_roles r JOIN users u ON u.user_id = r.user_id
  WHERE r.role = 'admin' AND u.enabled = 1 AND u.kind = 'person' AND u.user_id <> $1`, user).Scan(&n)
	if err == nil && n == 0 {
		return caos.Errorf(caos.Conflict, "%s is the last enabled administrator", user).WithRule("last-admin").
			WithHint("make another person administrator first")
	}
	return err
}

// SetScope replaces the projects and clearances of an account.
func (a *Auth) SetScope(ctx context.Context, by caos.Principal, user string, s Scope) error {
	if err := errors.Join(caos.CheckID("user", "user", user), s.check()); err != nil {
		return err
	}
	return a.change(ctx, func(tx *db.Tx) (auditlog.Record, error) {
		if err := a.Authorize(tx, by, "user:scope", account(user), nil); err != nil {
			return auditlog.Record{}, err
		}
		n, err := tx.ExecRows(`UPDATE users SET scoped = $1, changed_at = $2 WHERE user_id = $3`, flag(!s.AllProjects), a.micro(), user)
		if err != nil {
			return auditlog.Record{}, err
		}
		if n == 0 {
			return auditlog.Record{}, noUser(user)
		}
		tx.Exec(`DELETE FROM user_scopes WHERE user_id = $1`, user)
		a.insertScope(tx, user, s, by.ID)
		return a.record(auditlog.Access, by, "scope-set", map[string]any{"scope": s}, user), nil
	})
}

// DisableUser stops an account: its tokens no longer work, at once. It stays, with its id,
// its history and its keys.
func (a *Auth) DisableUser(ctx context.Context, by caos.Principal, user string) error {
	return a.setEnabled(ctx, by, user, false)
}

// EnableUser lets a disabled account act again.
func (a *Auth) EnableUser(ctx context.Context, by caos.Principal, user string) error {
	return a.setEnabled(ctx, by, user, true)
}

func (a *Auth) setEnabled(ctx context.Context, by caos.Principal, user string, enabled bool) error {
	if err := caos.CheckID("user", "user", user); err != nil {
		return err
	}
	action, event := "user:disable", "user-disabled"
	if enabled {
		action, event = "user:enable", "user-enabled"
	}
	return a.change(ctx, func(tx *db.Tx) (auditlog.Record, error) {
		if err := a.Authorize(tx, by, action, account(user), nil); err != nil {
			return auditlog.Record{}, err
		}
		if !enabled {
			if err := a.keepAdmin(tx, user); err != nil {
				return auditlog.Record{}, err
			}
		}
		n, err := tx.ExecRows(`UPDATE users SET enabled = $1, changed_at = $2 WHERE user_id = $3`, flag(enabled), a.micro(), user)
		if err != nil {
			return auditlog.Record{}, err
		}
		if n == 0 {
			return auditlog.Record{}, noUser(user)
		}
		return a.record(auditlog.Access, by, event, nil, user), nil
	})
}

func noUser(id string) error {
	return caos.Errorf(caos.NotFound, "there is no user %s", id)
}

// GetUser returns one account.
func (a *Auth) GetUser(ctx context.Context, p caos.Principal, user string) (User, error) {
	if err := caos.CheckID("user", "user", user); err != nil {
		return User{}, err
	}
	if err := a.Allow(p, "user:read", account(user)); err != nil {
		return User{}, err
	}
	list, err := a.users(ctx, user, user, 1)
	if err != nil {
		return User{}, err
	}
	if len(list) == 0 {
		return User{}, noUser(user)
	}
	return list[0], nil
}

// ListUsers returns up to limit accounts with ids after the given one, by id. Who may read
// only their own account gets that.
func (a *Auth) ListUsers(ctx context.Context, p caos.Principal, after string, limit int) ([]User, error) {
	v, err := a.Visible(p, "user:read", "Account")
	if err != nil {
		return nil, err
	}
	limit = min(max(limit, 1), 1000)
	if v.Owner != "" {
		if v.Owner <= after {
			return nil, nil
		}
		return a.users(ctx, v.Owner, v.Owner, 1)
	}
	return a.users(ctx, after+"\x01", "\x7f", limit)
}

const usersSQL = `SELECT u.user_id, u.kind, u.name, u.mail, u.enabled, u.scoped, u.created_at, u.created_by,
  COALESCE((SELECT string_agg(r.role, ',') FROM user_roles r WHERE r.user_id = u.user_id), ''),
  COALESCE((SELECT string_agg(c.kind || ':' || c.value, ',') FROM user_scopes c WHERE c.user_id = u.user_id), ''),
  (SELECT COUNT(*) FROM totp t WHERE t.user_id = u.user_id AND t.secret IS NOT NULL)
  FROM users u WHERE u.user_id >= $1 AND u.user_id <= $2 ORDER BY u.user_id LIMIT $3`

func (a *Auth) users(ctx context.Context, from, to string, limit int) ([]User, error) {
	rows, err := a.o.DB.Query(ctx, usersSQL, from, to, limit)
	if err != nil {
		return nil, unavailable(err)
	}
	defer rows.Close()
	var out []User
	for rows.Next() {
		u, err := scanUser(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, u)
	}
	return out, rows.Err()
}

func scanUser(rows *sql.Rows) (User, error) {
	var u User
	var scoped bool
	var created, factors int64
	var roles, scopes string
	err := rows.Scan(&u.ID, &u.Kind, &u.Name, &u.Mail, &u.Enabled, &scoped, &created, &u.CreatedBy, &roles, &scopes, &factors)
	if err != nil {
		return u, err
	}
	u.CreatedAt, u.MFA = time.UnixMicro(created).UTC(), factors > 0
	u.Roles = append([]string{}, splitList(roles)...)
	slices.Sort(u.Roles)
	u.Scope = Scope{AllProjects: !scoped, Projects: []string{}, Clearances: []string{}}
	for _, s := range splitList(scopes) {
		if kind, value, _ := strings.Cut(s, ":"); kind == "project" {
			u.Scope.Projects = append(u.Scope.Projects, value)
		} else {
			u.Scope.Clearances = append(u.Scope.Clearances, value)
		}
	}
	slices.Sort(u.Scope.Projects)
	slices.Sort(u.Scope.Clearances)
	return u, nil
}
