package auth

import (
	"context"
	"database/sql"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/policy"
)

// Bootstrap makes the first accounts of an installation: the first user gets the role
// admin besides any of their own; further ones (for a demo) as described. Each gets a
// token and a second factor that counts at once. It works once in the life of a database,
// whatever happens to the accounts later.
//
// Nobody is authenticated here: whoever can call it owns the data folder.
func (a *Auth) Bootstrap(ctx context.Context, users []NewUser) ([]Created, error) {
	if len(users) == 0 || len(users) > 50 {
		return nil, caos.Errorf(caos.Invalid, "give 1 to 50 users").WithField("users")
	}
	out := make([]Created, len(users))
	tokens := make([]minted, len(users))
	sealed := make([][]byte, len(users))
	for i, u := range users {
		if u.Kind == "" {
			u.Kind = Person
		}
		if i == 0 {
			u.Kind, u.Roles, u.Scope = Person, append([]string{"admin"}, u.Roles...), nil
		}
		if u.Token == nil {
			u.Token = &NewToken{Label: "first token"}
		}
		users[i] = u
		if err := u.check(); err != nil {
			return nil, err
		}
		var err error
		if tokens[i], err = a.mint(*u.Token, u.ID, caos.SystemPrincipal().ID); err != nil {
			return nil, err
		}
		out[i] = Created{User: u.ID, Token: &tokens[i].issued}
		if u.Kind == Person {
			var secret TOTPSecret
			if secret, sealed[i], err = a.newTOTP(u.ID); err != nil {
				return nil, err
			}
			out[i].TOTP = &secret
		}
	}
	err := a.change(ctx, func(tx *db.Tx) (auditlog.Record, error) { return a.bootstrap(tx, users, tokens, sealed) })
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (a *Auth) bootstrap(tx *db.Tx, users []NewUser, tokens []minted, sealed [][]byte) (auditlog.Record, error) {
	system := caos.SystemPrincipal()
	n, err := tx.ExecRows(`UPDATE auth_state SET sealed_at = $1 WHERE id = 1 AND sealed_at IS NULL`, a.micro())
	if err != nil {
		return auditlog.Record{}, err
	}
	if n == 0 {
		return auditlog.Record{}, caos.Errorf(caos.Conflict, "this installation has its first administrator already").
			WithHint("an administrator makes further accounts: caos user create")
	}
	var ids []string
	var made []map[string]any
	for i, u := range users {
		if n, err := a.insertUser(tx, u, system.ID); err != nil {
			return auditlog.Record{}, err
		} else if n == 0 {
			return auditlog.Record{}, caos.Errorf(caos.Invalid, "user %s is named twice", u.ID).WithField("id")
		}
		var held []string
		for _, role := range u.Roles {
			if err := a.separate(u.Kind, role, held); err != nil {
				return auditlog.Record{}, err
			}
			a.insertRole(tx, u.ID, role, system.ID)
			held = append(held, role)
		}
		a.insertScope(tx, u.ID, u.scope(), system.ID)
		a.insertToken(tx, tokens[i])
		if sealed[i] != nil {
			tx.Exec(`INSERT INTO totp (user_id, secret, last_step, failures, retry_at, changed_at) VALUES ($1, $2, 0, 0, 0, $3)`, u.ID, sealed[i], a.micro())
		}
		ids = append(ids, u.ID)
		made = append(made, map[string]any{"user": u.ID, "kind": u.Kind, "roles": u.Roles, "scope": u.scope(), "first_token": tokens[i].id})
	}
	return a.record(auditlog.Access, system, "bootstrap", map[string]any{"users": made}, ids...), nil
}

// separate applies the policies on which roles go together, as if an administrator with a
// second factor granted them.
func (a *Auth) separate(kind, role string, held []string) error {
	admin := caos.Principal{ID: caos.SystemPrincipal().ID, Roles: []string{"admin"}, MFA: "totp"}
	d := a.o.Policies.Decide(policy.Request{
		Subject: a.o.Policies.NewSubject(admin, policy.Standing{}), Action: "role:grant", ResourceType: "Account", Resource: "new",
		Attrs: policy.Attributes{Owner: "new"}, Context: map[string]any{"role": role, "held": append([]string{}, held...)},
	})
	if !d.Allow {
		return explain("role:grant", d).WithField("roles")
	}
	return suits(kind, role)
}

// Bootstrapped reports whether Bootstrap was done.
func (a *Auth) Bootstrapped(ctx context.Context) (bool, error) {
	var at sql.NullInt64
	err := a.o.DB.QueryRow(ctx, `SELECT sealed_at FROM auth_state WHERE id = 1`).Scan(&at)
	return at.Valid, err
}
