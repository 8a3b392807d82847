package app

import (
	"caos/internal/db"
	"caos/internal/readiness"
	"caos/internal/registry"
)

// openReadiness opens what a board looks at and what it decides. Who people are, whose a key
// is, who had a hand in a version and what counts as evidence of it are other nouns' to say.
func (a *App) openReadiness() (err error) {
	a.readiness, err = readiness.Open(readiness.Options{DB: a.db, Log: a.log, Events: a.events, Stamps: a.stamps, Now: a.now,
		People: a.auth, Keys: a.auth, Origin: a.cfg.Origin, Known: a.knownEvidence})
	return err
}

// knownEvidence returns those of ids that show nothing about a version: evidence, documents,
// baselines, freezes and passports of something else, and what is not there at all.
func (a *App) knownEvidence(tx *db.Tx, s readiness.Subject, ids []string) ([]string, error) {
	about := registry.Model{ModelID: s.ModelID, Project: s.Project}
	names := []string{s.ModelID, registry.VersionKey(s.ModelID, s.Version)}
	if s.BaselineID != "" {
		names = append(names, s.BaselineID)
	}
	var missing []string
	for _, id := range ids {
		shows := false
		for _, known := range []func() (bool, error){
			func() (bool, error) { return a.evidence.KnownOf(tx, id, s.ModelID) },
			func() (bool, error) { return a.registry.KnownOf(tx, id, about, s.Version) },
			func() (bool, error) { return a.dpp.KnownOf(tx, id, s.ModelID, s.Version) },
			func() (bool, error) { return a.log.Names(tx, id, names) },
		} {
			there, err := known()
			if err != nil {
				return nil, err
			}
			if shows = there; shows {
				break
			}
		}
		if !shows {
			missing = append(missing, id)
		}
	}
	return missing, nil
}
