package auth

import (
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

// WithRole returns the ids of the enabled people who hold a role, sorted.
func (a *Auth) WithRole(tx *db.Tx, role string) ([]string, error) {
	var out []string
	err := tx.Query(`SELECT u.user_id FROM user_roles r JOIN users u ON u.user_id = r.user_id
  WHERE r.role = $1 AND u.enabled = 1 AND u.kind = 'person' ORDER BY u.user_id`, []any{role}, func(scan func(...any) error) error {
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
