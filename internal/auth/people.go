package auth

import (
	"slices"

	"caos"
	"caos/internal/db"
)

// KnownActor reports whether an id is an account of this installation, of a person or a
// service, and whether it is enabled. CAOS itself is known.
func (a *Auth) KnownActor(tx *db.Tx, id string) (known, enabled bool, err error) {
	return a.At(tx).KnownActor(id)
}

// KnownActor is Auth.KnownActor.
func (v *View) KnownActor(id string) (known, enabled bool, err error) {
	if id == caos.SystemPrincipal().ID {
		return true, true, nil
	}
	f, err := v.account(id)
	if err != nil || f == nil {
		return false, false, err
	}
	return true, f.enabled, nil
}

// KnownPerson reports whether an id is an enabled person: one who can be named in an input.
func (a *Auth) KnownPerson(tx *db.Tx, id string) (bool, error) {
	f, err := a.At(tx).account(id)
	return f != nil && f.kind == Person && f.enabled, err
}

// account returns facts about an id that somebody stated, nil if there is no such account.
func (v *View) account(id string) (*facts, error) {
	if caos.CheckID("user", "user", id) != nil {
		return nil, nil // nothing that could be stored is asked for
	}
	return v.find(key{user: id})
}

// WithRole returns the ids of the enabled people who hold a role and may see things of a
// project ("" for none) and a classification, sorted: those whom the policies on
// need-to-know would not refuse.
func (a *Auth) WithRole(tx *db.Tx, role, project, classification string) ([]string, error) {
	open := 0
	if slices.Contains([]string{"", "Public", "Internal"}, classification) {
		open = 1
	}
	var out []string
	err := tx.Query(`SELECT u.user_id FROM user_roles r JOIN users u ON u.user_id = r.user_id
  WHERE r.role = $1 AND u.enabled = 1 AND u.kind = 'person'
  AND (u.scoped = 0 OR EXISTS (SELECT 1 FROM user_scopes s WHERE s.user_id = u.user_id AND s.kind = 'project' AND s.value = $2))
  AND (CAST($3 AS INTEGER) = 1 OR EXISTS (SELECT 1 FROM user_scopes s WHERE s.user_id = u.user_id AND s.kind = 'clearance' AND s.value = $4))
  ORDER BY u.user_id`, []any{role, project, open, classification}, func(scan func(...any) error) error {
		var id string
		if err := scan(&id); err != nil {
			return err
		}
		out = append(out, id)
		return nil
	})
	return out, err
}

// PrincipalOf returns the principal of a service identity, for a trigger that acts as it.
// enabledBy is the person who switched the trigger on.
func (a *Auth) PrincipalOf(tx *db.Tx, id, enabledBy string) (caos.Principal, error) {
	f, err := a.At(tx).account(id)
	if err != nil {
		return caos.Principal{}, err
	}
	if f == nil || f.kind != Service || !f.enabled {
		return caos.Principal{}, caos.Errorf(caos.Invalid, "%q is not an enabled service", clip(id)).WithField("identity")
	}
	return caos.Principal{ID: f.user, Roles: f.roles, Project: f.defaultProject(), EnabledBy: enabledBy}, nil
}
