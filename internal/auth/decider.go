package auth

import (
	"database/sql"
	"errors"
	"slices"
	"time"

	"caos"
	"caos/internal/db"
)

// This file is what personal decisions ask: which roles somebody has, whose a key is, and
// who else could have decided in their stead.

// RolesOf returns the roles of an account as the transaction sees them, sorted; none for an
// id that is no enabled account. A token may have fewer.
func (a *Auth) RolesOf(tx *db.Tx, id string) ([]string, error) {
	f, err := a.At(tx).account(id)
	if err != nil || f == nil || !f.enabled {
		return []string{}, err
	}
	roles := append([]string{}, f.roles...)
	slices.Sort(roles)
	return roles, nil
}

// Parties returns who could have acted in p's stead, sorted and without p: whoever made the
// account, whoever handed out a token of it at any time, as any token makes further ones,
// and whoever switched the trigger on that acts. CAOS itself, which made the first accounts,
// is nobody who could want to.
func (a *Auth) Parties(tx *db.Tx, p caos.Principal) ([]string, error) {
	out := []string{p.EnabledBy}
	if err := caos.CheckID("user", "user", p.ID); err != nil {
		return nil, err // nothing that could be stored is asked for
	}
	var creator string
	if err := tx.QueryRow(`SELECT created_by FROM users WHERE user_id = $1`, p.ID).Scan(&creator); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	out = append(out, creator)
	err := tx.Query(`SELECT DISTINCT created_by FROM tokens WHERE user_id = $1`, []any{p.ID}, func(scan func(...any) error) error {
		var by string
		err := scan(&by)
		out = append(out, by)
		return err
	})
	slices.Sort(out)
	return slices.DeleteFunc(slices.Compact(out), func(id string) bool { return id == "" || id == p.ID || id == caos.SystemPrincipal().ID }), err
}

// ActiveKey returns the id of a person's key, given its public half in authorized_keys form,
// if it counts now: it is theirs, active, and they are enabled. Errors: Invalid for what is
// no such key, NotFound for one that nobody enrolled, Denied (rule personal-key-active).
func (a *Auth) ActiveKey(tx *db.Tx, person, publicKey string) (string, error) {
	pub, err := parsePublicKey(publicKey)
	if err != nil {
		return "", err
	}
	k, _, err := a.keyRow(tx, keyID(pub))
	if err != nil {
		return "", err
	}
	if k.ID == "" {
		return "", caos.Errorf(caos.NotFound, "nobody enrolled the key %s", pub.Fingerprint()).WithHint("enrol it and have a second person countersign it: caos key enrol")
	}
	ok, err := a.KnownPerson(tx, person)
	if err != nil {
		return "", err
	}
	if !ok || k.User != person || k.PublicKey != pub.String() || k.Status != KeyActive {
		return "", caos.Errorf(caos.Denied, "%s is not an active key of %s", k.ID, clip(person)).WithField("key_id").WithRule("personal-key-active").
			WithHint("enrol a key and have a second person countersign it: caos key enrol")
	}
	return k.ID, nil
}

// KeyStood reports whether what a key signed at a moment counts, as far as is known by now:
// not if it was compromised then.
func (a *Auth) KeyStood(tx *db.Tx, id string, at time.Time) (bool, error) {
	k, _, err := a.keyRow(tx, id)
	return k.ID != "" && (k.CompromisedSince == nil || k.CompromisedSince.After(at)), err
}
