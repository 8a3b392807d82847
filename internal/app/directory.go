package app

import (
	"caos"
	"caos/internal/auditlog"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/dpp"
	"caos/internal/evidence"
	"caos/internal/hook"
	"caos/internal/registry"
)

// directory answers what an audit report's words stand for. It joins nouns that must not
// know each other.
type directory struct {
	auth     *auth.Auth
	log      *auditlog.Log
	evidence *evidence.Repository
	registry *registry.Registry
	dpp      *dpp.Passports
	hooks    func() []*hook.Hook
}

// KnownActor reports whether id is an account, and enabled.
func (d *directory) KnownActor(tx *db.Tx, id string) (known, enabled bool, err error) {
	return d.auth.KnownActor(tx, id)
}

// UnknownResources returns those of ids that are neither something of the registry or the
// evidence repository, nor a passport, an account or a hook.
func (d *directory) UnknownResources(tx *db.Tx, ids []string) ([]string, error) {
	var out []string
	for _, id := range ids {
		known, err := d.knows(tx, id)
		if err != nil {
			return nil, err
		}
		if !known {
			out = append(out, id)
		}
	}
	return out, nil
}

func (d *directory) knows(tx *db.Tx, id string) (bool, error) {
	for _, h := range d.hooks() {
		if h.ID == id {
			return true, nil
		}
	}
	for _, noun := range []interface {
		Known(tx *db.Tx, id string) (bool, error)
	}{d.evidence, d.registry, d.dpp} {
		if known, err := noun.Known(tx, id); known || err != nil {
			return known, err
		}
	}
	if caos.CheckID("user", "", id) != nil {
		return false, nil
	}
	known, _, err := d.auth.KnownActor(tx, id)
	return known, err
}

// Authorization looks an authorisation up in the audit log: it is known if the log has the
// record of an authorisation under that id, and matches if that record names every
// resource.
func (d *directory) Authorization(tx *db.Tx, id, _ string, resources []string) (known, matches bool, by []string, err error) {
	return d.log.Authorised(tx, id, resources)
}

// MayActFor reports whether p may speak for others to a hook.
func (d *directory) MayActFor(tx *db.Tx, p caos.Principal, hookID string) bool {
	return d.auth.Authorize(tx, p, "on-behalf", auth.Resource{Type: "Hook", ID: hookID}, nil) == nil
}
